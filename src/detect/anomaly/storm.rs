//! Broadcast storms and loops (detectors.md D19): a link that is busy with itself.
//!
//! Per link (interface and VLAN), frames to everybody within a sliding second: broadcast, and the multicast that no router
//! forwards (224.0.0/24, ff02::/16, link protocols). Streams to other groups are meant to be many. Alarm over the role's
//! rate in two seconds running, so that a burst is none.
//! A loop shows at once: the very same frame (identification and checksum included) 25 times within a second.
//! What is *not* a storm: a burst of discovery; a cable gateway that asks for its subscribers; repeated requests of one host
//! (the same ARP request comes once a second, not 25 times).
//! Memory: fixed, one record per link and one per frame that repeats.

use std::net::IpAddr;

use super::STORM;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::ByRole;
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StormSettings {
    /// Frames to everybody per second. Default 1,000 everywhere (detectors.md D19).
    pub frames_per_sec: ByRole<u32>,
    /// The same frame so often within a second. Default 25: detectors.md D19 says 10, which a host that asks for a
    /// neighbour again and again after sleep reaches without any loop.
    pub repeats_min: u32,
    /// Links watched. Default 1,024.
    pub links: usize,
    /// Frames remembered for a second. Default 4,096.
    pub frames: usize,
    /// Quiet seconds after which an incident closes. Default 60.
    pub off_secs: u32,
}

impl Default for StormSettings {
    fn default() -> Self {
        Self {
            frames_per_sec: ByRole::new(1_000, 1_000, 1_000),
            repeats_min: 25,
            links: 1_024,
            frames: 4_096,
            off_secs: 60,
        }
    }
}

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug, Default)]
struct Link {
    second: u64,
    frames: u32,
    before: u32,
    /// Seconds in a row that were over the rate, this one not counted.
    over: u32,
    senders: Bitmap256,
    total: u64,
    looped: u32,
    live: Live,
}

impl Entry for Link {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.second
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// A frame, and how often it came within a second.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    since: Timestamp,
    count: u32,
}

impl Worth for Frame {
    fn worth(&self) -> u64 {
        // What repeats stays; what is old goes.
        self.since.secs() << 8 | u64::from(self.count.min(255))
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Storm {
    settings: StormSettings,
    links: Watch<(u16, u16), Link>,
    frames: SetTable<(u64, u16), Frame>,
}

impl Storm {
    /// Takes its memory.
    pub fn new(settings: StormSettings) -> Self {
        Self {
            links: Watch::new(STORM, settings.links),
            frames: SetTable::new(settings.frames),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let vlan = record.key.vlan[0];
        let place = (record.interface, vlan);
        let repeats = self.repeats(record);
        let looped = repeats >= self.settings.repeats_min;
        let everybody = record.detail & 1 != 0 || is_link_group(record.key.dst);
        let Some(link) = self.links.entry(place, Link::default) else {
            return;
        };
        let second = record.ts.secs();
        let rate = self.settings.frames_per_sec.of(seen.place().role);
        if second > link.second {
            let storming = link.frames >= rate && second == link.second + 1;
            link.over = if storming { link.over + 1 } else { 0 };
            link.before = link.frames;
            link.frames = 0;
            link.second = second;
            if link.over == 0 {
                link.senders = Bitmap256::default();
            }
        }
        link.looped += u32::from(looped);
        if everybody {
            link.frames += 1;
            link.total += 1;
            link.senders.insert(endpoint_hash(record.key.src, 0));
        }
        let storm = everybody && link.frames >= rate && link.over >= 1;
        if link.frames * 2 >= rate {
            Watch::<(u16, u16), Link>::keep(&mut link.live, record.ts);
        }
        if !storm && !looped {
            return;
        }
        let size = link.total.max(1);
        let severity = if looped {
            Severity::Critical
        } else {
            Severity::Major
        };
        let min = self.settings.repeats_min;
        self.links.alarm_as(
            severity,
            place,
            record,
            (record.key, size),
            reports,
            Link::default,
            |link| Says {
                confidence: 0.9,
                efficacy: Efficacy::Reached,
                reason: "every host of the link receives it",
                source_verified: false,
                evidence: evidence(|json| {
                    json.str("what", if looped { "loop" } else { "storm" })
                        .num("frames_this_second", link.frames)
                        .num("frames_last_second", link.before)
                        .num("frames_per_sec_min", rate)
                        .num("same_frame", repeats)
                        .num("same_frame_min", min)
                        .num("senders", link.senders.estimate())
                        .num("vlan", vlan);
                }),
            },
        );
    }

    /// How often the frame came within a second.
    fn repeats(&mut self, record: &HostRecord) -> u32 {
        let Some(frame) = self
            .frames
            .entry((record.value, record.interface), Frame::default)
        else {
            return 0;
        };
        if record.ts.since(frame.since) >= SECOND {
            *frame = Frame {
                since: record.ts,
                count: 0,
            };
        }
        frame.count += 1;
        frame.count
    }
}

/// Groups that no router forwards; frames without IP are of the link anyway.
fn is_link_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            a.is_broadcast() || a.is_unspecified() || matches!(a.octets(), [224, 0, 0, _])
        }
        IpAddr::V6(a) => matches!(a.segments(), [0xff02, ..]),
    }
}

impl Detector for Storm {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Group]
    }
    fn memory(&self) -> Memory {
        self.links.memory() + self.frames.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.storm.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.links
            .tick(now, self.settings.off_secs, reports, Link::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn frame(hash: u64, us: u64) -> HostRecord {
        let mut r = record(RecordKind::Group, 0, 1, 0, 0, us / 1_000);
        r.ts = Timestamp(1_000_000_000_000 + us * 1_000);
        r.value = hash;
        r.detail = 1;
        r
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut storm = Storm::new(StormSettings::default());
        run_with(&mut storm, Role::Intranet, records)
    }

    #[test]
    fn a_storm_is_found_in_its_second_second() {
        let reports = run((0..20_000).map(|i| frame(i, i * 500)).collect());
        assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
        println!(
            "storm: alert after {} ms at 2,000 frames a second",
            reports[0].number
        );
        assert!(reports[0].number <= 2_000);
    }

    #[test]
    fn a_loop_is_found_by_its_25th_copy() {
        let reports = run((0..50).map(|i| frame(7, i * 1_000)).collect());
        assert_eq!((reports.len(), reports[0].number), (1, 24));
        assert_eq!(reports[0].severity, Severity::Critical);
        println!("loop: alert at the 25th copy, {} ms", reports[0].number);
    }

    #[test]
    fn bursts_gateways_and_repeated_requests_are_quiet() {
        let burst = (0..1_500).map(|i| frame(i, i * 500));
        assert!(run(burst.collect()).is_empty(), "burst");
        let gateway = (0..30_000).map(|i| frame(i, i * 2_000));
        assert!(run(gateway.collect()).is_empty(), "cable gateway");
        let again = (0..100).map(|i| frame(i / 5, i * 200_000));
        assert!(run(again.collect()).is_empty(), "repeated request");
    }

    #[test]
    fn streams_to_groups_are_meant_to_be_many() {
        let stream = (0..50_000).map(|i| {
            let mut r = frame(i, i * 200);
            r.detail = 0;
            r.key.dst = "239.1.2.3".parse().expect("address");
            r
        });
        assert!(run(stream.collect()).is_empty());
    }

    #[test]
    fn random_frames_take_no_more_memory_and_do_not_hide_a_loop() {
        let mut storm = Storm::new(StormSettings {
            links: 16,
            frames: 256,
            ..StormSettings::default()
        });
        let bytes = Detector::memory(&storm).bytes;
        let mut records = Vec::new();
        for i in 0..50_000u64 {
            let mut r = frame(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i * 2_000);
            r.key.vlan[0] = (i % 4_000) as u16;
            records.push(r);
            if i % 20 == 0 {
                records.push(frame(7, i * 2_000));
            }
        }
        let reports = run_with(&mut storm, Role::Intranet, records);
        assert_eq!(Detector::memory(&storm).bytes, bytes);
        assert!(!reports.is_empty());
    }
}
