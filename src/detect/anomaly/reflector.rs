//! Our own servers used as amplifiers (detectors.md D3, the reflector's side): small questions with a forged sender, large
//! answers to whoever is to suffer.
//!
//! Per (server of ours, "client"): first answers of a UDP service known to amplify, their bytes against the questions'
//! bytes. Alarm when enough answers in ten seconds are `ratio_min` times as large as their questions and the client is not
//! one of ours. The more of our servers answer the same client, the surer.
//! What is *not* abuse: a resolver of ours that answers our own clients; large zones for a client that asks a few names;
//! game servers and calls, whose packets go both ways.
//! Memory: fixed, one record per pair and one per client.

use std::net::IpAddr;

use super::REFLECTOR;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::flood::AMPLIFIERS;
use super::live::{Entry, Live, Says, Watch};
use super::place::ByRole;
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ReflectorSettings {
    /// Large answers to one client within ten seconds. Default edge 200, DMZ 50, intranet 50 (detectors.md D3: 50).
    pub answers_min: ByRole<u32>,
    /// Bytes of an answer per byte of its question. Default 5, of frames; detectors.md D3 has 10 of payloads.
    pub ratio_min: u32,
    /// Pairs watched. Default 8,192.
    pub pairs: usize,
    /// Quiet seconds after which an incident closes. Default 60.
    pub off_secs: u32,
}

impl Default for ReflectorSettings {
    fn default() -> Self {
        Self {
            answers_min: ByRole::new(200, 50, 50),
            ratio_min: 5,
            pairs: 8_192,
            off_secs: 60,
        }
    }
}

/// Clients of which it is known how many of our servers answer them.
const CLIENTS: usize = 2_048;

#[derive(Clone, Debug, Default)]
struct Pair {
    since: Timestamp,
    answers: u32,
    asked_bytes: u64,
    answered_bytes: u64,
    total: u64,
    live: Live,
}

impl Entry for Pair {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.answers.min(0xffff)) << 40 | self.since.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    servers: Bitmap256,
    last: Timestamp,
}

impl Worth for Client {
    fn worth(&self) -> u64 {
        u64::from(self.servers.estimate()) << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Reflector {
    settings: ReflectorSettings,
    pairs: Watch<(IpAddr, IpAddr, u16), Pair>,
    clients: SetTable<IpAddr, Client>,
}

impl Reflector {
    /// Takes its memory.
    pub fn new(settings: ReflectorSettings) -> Self {
        Self {
            pairs: Watch::new(REFLECTOR, settings.pairs),
            clients: SetTable::new(CLIENTS),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        if key.proto != 17 || !AMPLIFIERS.contains(&key.dport) {
            return;
        }
        let (asked, answered) = (record.value >> 32, record.value & 0xffff_ffff);
        if answered < asked.saturating_mul(u64::from(self.settings.ratio_min)) {
            return;
        }
        let place = seen.place();
        if !place.dst_ours || place.src_ours {
            return;
        }
        let servers = self.clients.entry(key.src, Client::default).map_or(0, |c| {
            c.last = record.ts;
            c.servers.insert(endpoint_hash(key.dst, 0));
            c.servers.estimate()
        });
        let pair_key = (key.dst, key.src, key.dport);
        let Some(pair) = self.pairs.entry(pair_key, Pair::default) else {
            return;
        };
        if record.ts.is_outside(pair.since, 10) {
            pair.since = record.ts;
            pair.answers = 0;
            pair.asked_bytes = 0;
            pair.answered_bytes = 0;
        }
        pair.answers += 1;
        pair.asked_bytes += asked;
        pair.answered_bytes += answered;
        pair.total = pair.total.saturating_add(1);
        let enough = self.settings.answers_min.of(place.role);
        if pair.answers < enough {
            if pair.answers * 4 >= enough {
                Watch::<(IpAddr, IpAddr, u16), Pair>::keep(&mut pair.live, record.ts);
            }
            return;
        }
        let severity = if servers >= 3 {
            Severity::Critical
        } else {
            Severity::Major
        };
        let size = pair.total;
        let ratio = self.settings.ratio_min;
        self.pairs.alarm_as(
            severity,
            pair_key,
            record,
            (key, size),
            reports,
            Pair::default,
            |pair| Says {
                confidence: 0.85,
                efficacy: Efficacy::Reached,
                reason: "our server answers the forged questions",
                source_verified: false,
                evidence: evidence(|json| {
                    json.num("large_answers_in_10s", pair.answers)
                        .num("large_answers_min", enough)
                        .num("asked_bytes", pair.asked_bytes)
                        .num("answered_bytes", pair.answered_bytes)
                        .float(
                            "ratio",
                            (pair.answered_bytes as f64 / pair.asked_bytes.max(1) as f64).round(),
                        )
                        .num("ratio_min", ratio)
                        .num("our_servers_that_answer_it", servers)
                        .num("port", key.dport);
                }),
            },
        );
    }
}

impl Detector for Reflector {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Established]
    }
    fn memory(&self) -> Memory {
        self.pairs.memory() + self.clients.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.reflector.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.pairs
            .tick(now, self.settings.off_secs, reports, Pair::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    /// Our 10.0.0.`server` answers 192.0.2.`client`.
    fn answer(
        client: u32,
        server: u32,
        port: u16,
        (asked, answered): (u64, u64),
        ms: u64,
    ) -> HostRecord {
        let mut r = record(RecordKind::Established, 17, server, client, port, ms);
        std::mem::swap(&mut r.key.src, &mut r.key.dst);
        r.value = asked << 32 | answered;
        r
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut reflector = Reflector::new(ReflectorSettings::default());
        run_with(&mut reflector, Role::Dmz, records)
    }

    #[test]
    fn large_answers_to_a_stranger_are_abuse_by_the_fiftieth() {
        let reports = run((0..400)
            .map(|i| answer(1, 1, 53, (80, 3_000), i * 10))
            .collect());
        assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
        println!(
            "reflector: alert at answer {}, {} ms",
            reports[0].number / 10 + 1,
            reports[0].number
        );
        assert_eq!(reports[0].number / 10 + 1, 50);
    }

    #[test]
    fn several_of_our_servers_for_one_victim_are_worse() {
        let records = (0..400)
            .map(|i| answer(1, (i % 4) as u32 + 1, 123, (90, 4_000), i * 5))
            .collect();
        assert!(
            run(records)
                .iter()
                .any(|r| r.severity == Severity::Critical)
        );
    }

    #[test]
    fn our_own_clients_small_answers_and_a_few_large_ones_are_quiet() {
        let ours = (0..400)
            .map(|i| record(RecordKind::Established, 17, 1, 1, 53, i * 10))
            .map(|mut r| {
                r.key.dst = IpAddr::from([10, 0, 0, 53]);
                r.value = 80 << 32 | 3_000;
                r
            });
        assert!(run(ours.collect()).is_empty());
        assert!(
            run((0..400)
                .map(|i| answer(1, 1, 53, (80, 200), i * 10))
                .collect())
            .is_empty()
        );
        assert!(
            run((0..400)
                .map(|i| answer(1, 1, 53, (80, 3_000), i * 1_000))
                .collect())
            .is_empty()
        );
        assert!(
            run((0..400)
                .map(|i| answer(1, 1, 27_999, (80, 3_000), i * 10))
                .collect())
            .is_empty()
        );
        assert!(
            run((0..49)
                .map(|i| answer(1, 1, 53, (80, 3_000), i * 10))
                .collect())
            .is_empty()
        );
    }

    #[test]
    fn random_clients_take_no_more_memory_and_do_not_hide_a_victim() {
        let mut reflector = Reflector::new(ReflectorSettings {
            pairs: 128,
            ..ReflectorSettings::default()
        });
        let bytes = Detector::memory(&reflector).bytes;
        let mut records = Vec::new();
        for i in 0..50_000u32 {
            records.push(answer(1_000 + i, 1, 53, (80, 3_000), u64::from(i)));
            if i % 20 == 0 {
                records.push(answer(1, 1, 53, (80, 3_000), u64::from(i)));
            }
        }
        let reports = run_with(&mut reflector, Role::Dmz, records);
        assert_eq!(Detector::memory(&reflector).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([192, 0, 2, 1]))
        );
    }
}
