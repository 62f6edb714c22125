//! Worms (detectors.md D9): one of our hosts tries the same service on hosts it has never talked to.
//!
//! The sequential test of [`super::port_scan`] (Jung et al. 2004), on *first contacts* only: a pair that ever completed a
//! handshake is known for 30 days and says nothing. A contact fails when it is refused, retried, or not answered within
//! `answer_ms`, so that the verdict does not wait for a connection to time out (Weaver et al. 2004). Alarm at
//! ln(0.999/α): 9 failures in a row at α = 1e-5, on a port that worms use; `other_targets_min` targets on other ports.
//!
//! Where a dead address does not even get a SYN, because nobody answers for it on the link, the questions for its hardware
//! address are the contacts: `other_hosts_min` addresses never met, asked for again without an answer within
//! `chain_secs`, by a host that meanwhile reached two it had never talked to on a port of worms.
//!
//! Infection chain: who was reached by a scanner on port p and scans p within `chain_secs` was infected by it; the first
//! of the chain is patient zero. With a chain, or with two victims that accepted, it is taken to work.
//!
//! What is *not* a worm: who resets what is answered, sends everything from one source port, or tries each host on several
//! ports, which is `port_scan`'s (the first two only off the ports of worms); declared scanners and monitors; contacts that are answered (browsers, P2P, inventory); known
//! peers that are down (laptops with old mounts); one host with many ports; services being flooded.
//! Memory: fixed: one record per host, one per infected host, and the filter of known pairs.

use std::net::IpAddr;

use super::WORM_SCAN;
use super::bloom::Bloom;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, HostRole, is_group, is_local};
use super::port_scan::bound;
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::Efficacy;
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct WormScanSettings {
    /// False alarms per tested host. Default 1e-5 (detectors.md D9).
    pub alpha: f64,
    /// Distinct failed hosts on a port that worms use. Default edge 25, DMZ 8, intranet 8 (detectors.md D9: 7–15).
    pub hosts_min: ByRole<u32>,
    /// Distinct failed hosts on any other port. Default 25 (detectors.md D9).
    pub other_hosts_min: u32,
    /// Milliseconds without an answer after which a first contact has failed. Default 300: inside a site answers take
    /// below 10 ms, between sites below 200 ms.
    pub answer_ms: u32,
    /// Seconds between being reached and scanning that make an infection. Default 600 (detectors.md D9).
    pub chain_secs: u32,
    /// Seconds in which a score halves. Default 900 (detectors.md D8).
    pub half_life_secs: u32,
    /// Hosts watched. Default 8,192.
    pub hosts: usize,
    /// Bytes of each generation of the filter of known pairs. Default 1 MiB: 800,000 pairs.
    pub peers_bytes: usize,
    /// Quiet seconds after which an incident closes. Default 1,800 (detectors.md D9).
    pub off_secs: u32,
}

impl Default for WormScanSettings {
    fn default() -> Self {
        Self {
            alpha: 1e-5,
            hosts_min: ByRole::new(25, 8, 8),
            other_hosts_min: 25,
            answer_ms: 300,
            chain_secs: 600,
            half_life_secs: 900,
            hosts: 8_192,
            peers_bytes: 1 << 20,
            off_secs: 1_800,
        }
    }
}

/// Ports that worms spread by (detectors.md D9).
const WORM_PORTS: &[u16] = &[
    22, 23, 135, 139, 445, 1433, 2323, 2375, 3306, 3389, 5555, 5985, 5986, 6379, 8080,
];
/// ln((1 − θ1)/(1 − θ0)) with θ0 = 0.8, θ1 = 0.2.
const STEP: f32 = 1.386;
/// Score at which a host is suspected: ln(0.999/1e-3). Not an alert; it makes who it reached part of a chain.
const SUSPECT: f32 = 6.9;
/// First contacts without a verdict, per host.
const PENDING: usize = 16;
/// How long a pair is known: two generations.
const GENERATION_SECS: u64 = 15 * 86_400;
/// Hosts of which it is kept who reached them.
const REACHED: usize = 8_192;

#[derive(Clone, Copy, Debug, Default)]
struct Contact {
    target: u64,
    dst: u64,
    port: u16,
    since: Timestamp,
}

#[derive(Clone, Debug, Default)]
struct Host {
    score: f32,
    contacts: Bitmap256,
    failed: Bitmap256,
    failed_hosts: Bitmap256,
    pending: [Contact; PENDING],
    tried: u32,
    fails: u32,
    accepted: u32,
    /// It completed a handshake: not spoofed.
    proven: bool,
    /// The port of most failures, and how many they are (Boyer and Moore 1991).
    port: u16,
    port_votes: u32,
    port_fails: u32,
    accepted_on_port: u32,
    /// Answered contacts that it reset itself: a scan, since a worm has something to say.
    half_open: u32,
    /// Outside hosts tried on ports that no worm uses, and how many failed contacts were with one of them.
    elsewhere: Bitmap256,
    several: u32,
    /// First contacts from the source port of the one before: packets made by hand, not connections of a system.
    by_hand: u32,
    sport: u16,
    began: Timestamp,
    link: Link,
    last: Timestamp,
    live: Live,
}

/// What a host asks of its link for hosts it never met, since `since`.
#[derive(Clone, Debug, Default)]
struct Link {
    since: Timestamp,
    asked: Bitmap256,
    answered: Bitmap256,
    /// Asked for again without an answer.
    dark: Bitmap256,
    /// Never-met hosts that it tried on a port of worms: one bit of 64 each.
    tried: u64,
    port: u16,
}

impl Link {
    fn turn(&mut self, now: Timestamp, secs: u32) {
        if now.is_outside(self.since, u64::from(secs)) {
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
    }
}

impl Entry for Host {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        let score = (self.score.max(0.0) * 16.0) as u64;
        score.min(0xffff) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Host {
    fn decay(&mut self, now: Timestamp, half_life_secs: u32) {
        let passed = now.secs_since(self.last);
        let half_life = u64::from(half_life_secs.max(1));
        if passed > half_life * 8 && !self.live.open {
            *self = Self::default();
        } else if passed > 0 {
            self.score *= 0.5f32.powf(passed as f32 / half_life as f32);
        }
        self.last = self.last.max(now);
    }

    fn fail(&mut self, contact: &Contact) {
        let port = contact.port;
        self.failed.insert(contact.target);
        self.failed_hosts.insert(contact.dst);
        self.several += u32::from(self.elsewhere.contains(contact.dst));
        self.fails += 1;
        self.score += STEP;
        if port == self.port {
            self.port_votes += 1;
            self.port_fails += 1;
        } else if self.port_votes == 0 {
            (self.port, self.port_votes, self.port_fails) = (port, 1, 1);
            self.accepted_on_port = 0;
        } else {
            self.port_votes -= 1;
        }
    }

    /// Takes a contact out of those without a verdict.
    fn settle(&mut self, target: u64) -> Option<Contact> {
        let slot = self.pending.iter_mut().find(|c| c.target == target)?;
        Some(std::mem::take(slot))
    }
}

/// Who reached a host last, on which port.
#[derive(Clone, Copy, Debug)]
struct Reached {
    by: IpAddr,
    first: IpAddr,
    port: u16,
    at: Timestamp,
    length: u32,
}

impl Worth for Reached {
    fn worth(&self) -> u64 {
        self.at.secs()
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct WormScan {
    settings: WormScanSettings,
    threshold: f32,
    hosts: Watch<IpAddr, Host>,
    reached: SetTable<IpAddr, Reached>,
    known: Bloom,
}

impl WormScan {
    /// Takes its memory.
    pub fn new(settings: WormScanSettings) -> Self {
        Self {
            threshold: bound(settings.alpha),
            hosts: Watch::new(WORM_SCAN, settings.hosts),
            reached: SetTable::new(REACHED),
            known: Bloom::new(settings.peers_bytes, GENERATION_SECS),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = &record.key;
        if matches!(record.kind, RecordKind::ArpRequest | RecordKind::ArpClaim) {
            return self.link(record, seen, reports);
        }
        if key.proto != 6 || is_group(key.dst) || is_local(key.src) || key.src == key.dst {
            return;
        }
        let place = seen.place();
        if !place.src_ours {
            return;
        }
        // Outward only ports of worms: everything else that fails out there is the port scan's.
        let worm_port = WORM_PORTS.contains(&key.dport);
        if !(place.dst_ours || worm_port) {
            // Not only hosts that are watched already: a scan of several ports begins with any.
            if record.kind == RecordKind::Opened
                && let Some(host) = self.hosts.entry(key.src, Host::default)
            {
                host.elsewhere.insert(endpoint_hash(key.dst, 0));
            }
            return;
        }
        let pair = pair(key.src, key.dst);
        if record.kind != RecordKind::Established && self.known.contains(pair) {
            return;
        }
        let exempt = seen.places.has_role(key.src, HostRole::Scanner)
            || seen.places.has_role(key.src, HostRole::Monitor);
        if exempt || seen.is_flooded() {
            return;
        }
        let Some(host) = self.hosts.entry(key.src, Host::default) else {
            return;
        };
        host.decay(record.ts, self.settings.half_life_secs);
        let target = endpoint_hash(key.dst, key.dport) | 1;
        let dst = endpoint_hash(key.dst, 0);
        match record.kind {
            RecordKind::Opened => {
                if !host.contacts.insert(target) {
                    return;
                }
                if host.tried == 0 {
                    host.began = record.ts;
                }
                host.tried += 1;
                host.by_hand += u32::from(host.sport == key.sport);
                host.sport = key.sport;
                if worm_port && place.dst_ours {
                    host.link.turn(record.ts, self.settings.chain_secs);
                    host.link.tried |= 1 << (dst % 64);
                    host.link.port = key.dport;
                }
                // More at a time than are kept: the first ones decide, and they decide soon.
                if let Some(slot) = host.pending.iter_mut().find(|c| c.target == 0) {
                    *slot = Contact {
                        target,
                        dst,
                        port: key.dport,
                        since: record.ts,
                    };
                }
            }
            RecordKind::Established => {
                host.proven |= record.proves_source();
                host.settle(target);
                let late = host.failed.contains(target);
                if self.known.insert(pair, record.ts) {
                    let steps = if late { 2.0 } else { 1.0 };
                    host.score = (host.score - STEP * steps).max(-STEP);
                    host.accepted += 1;
                    host.accepted_on_port += u32::from(key.dport == host.port);
                    let suspect = host.score >= 0.0 && host.fails > 0;
                    self.reach(record, suspect);
                }
                return;
            }
            RecordKind::Refused | RecordKind::SynRetry | RecordKind::Unanswered => {
                if record.is_aborted() {
                    host.half_open += 1;
                }
                if let Some(contact) = host.settle(target) {
                    host.fail(&contact);
                }
            }
            _ => return,
        }
        // Contacts that were not answered in time.
        let limit = u64::from(self.settings.answer_ms) * 1_000_000;
        for at in 0..PENDING {
            let Some(contact) = host.pending.get(at).copied() else {
                break;
            };
            if contact.target != 0
                && contact.target != target
                && record.ts.since(contact.since) >= limit
            {
                host.settle(contact.target);
                host.fail(&contact);
            }
        }
        self.weigh(record, place.role, reports);
    }

    /// A question for a hardware address, or its answer.
    fn link(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        if key.src == key.dst || is_local(key.src) || is_local(key.dst) {
            return;
        }
        let secs = self.settings.chain_secs;
        if record.kind == RecordKind::ArpClaim {
            if let Some(host) = self.hosts.get(&key.dst) {
                host.link.turn(record.ts, secs);
                host.link.answered.insert(endpoint_hash(key.src, 0));
            }
            return;
        }
        let place = seen.place();
        let exempt = [HostRole::Scanner, HostRole::Monitor, HostRole::Router]
            .into_iter()
            .any(|role| seen.places.has_role(key.src, role));
        if exempt || !place.src_ours || self.known.contains(pair(key.src, key.dst)) {
            return;
        }
        let Some(host) = self.hosts.entry(key.src, Host::default) else {
            return;
        };
        host.decay(record.ts, self.settings.half_life_secs);
        let link = &mut host.link;
        link.turn(record.ts, secs);
        let dst = endpoint_hash(key.dst, 0);
        if link.asked.insert(dst) || link.answered.contains(dst) {
            return;
        }
        link.dark.insert(dst);
        let (dark, tried, port) = (link.dark.estimate(), link.tried.count_ones(), link.port);
        let enough = self.settings.other_hosts_min;
        if dark < enough || tried < 2 {
            return;
        }
        let chain = self
            .reached
            .get_mut(&key.src)
            .copied()
            .filter(|r| r.port == port && record.ts.secs_since(r.at) <= u64::from(secs));
        let who = FlowKey {
            dport: port,
            proto: 6,
            ..key
        };
        self.hosts.alarm(
            key.src,
            record,
            (who, u64::from(dark)),
            reports,
            Host::default,
            |host| Says {
                confidence: 0.9,
                efficacy: if chain.is_some() {
                    Efficacy::Likely
                } else {
                    Efficacy::Unknown
                },
                reason: if chain.is_some() {
                    "it was reached on this port by another scanner"
                } else {
                    ""
                },
                source_verified: host.proven,
                evidence: evidence(|json| {
                    json.num("dark_addresses", dark)
                        .num("dark_addresses_min", enough)
                        .num("tried_on_worm_ports", tried)
                        .num("accepted", host.accepted)
                        .num("port", port)
                        .num("secs", record.ts.secs_since(host.link.since));
                    if let Some(chain) = chain {
                        json.str("infected_by", chain.by.to_string())
                            .str("patient_zero", chain.first.to_string())
                            .num("chain", chain.length + 1);
                    }
                }),
            },
        );
    }

    /// A first contact was accepted: whoever it reached may be the next.
    fn reach(&mut self, record: &HostRecord, suspect: bool) {
        let key = record.key;
        let fresh = |r: &Reached, now: Timestamp, secs: u32| {
            r.port == key.dport && now.secs_since(r.at) <= u64::from(secs)
        };
        let secs = self.settings.chain_secs;
        let blank = Reached {
            by: key.src,
            first: key.src,
            port: 0,
            at: Timestamp(0),
            length: 0,
        };
        let (first, length) = match self.reached.entry(key.src, || blank) {
            Some(r) if fresh(r, record.ts, secs) => (r.first, r.length + 1),
            _ => (key.src, 1),
        };
        if !suspect && length == 1 {
            return;
        }
        if let Some(slot) = self.reached.entry(key.dst, || blank) {
            // The first infection counts, not the last visit.
            if !fresh(slot, record.ts, secs) {
                *slot = Reached {
                    by: key.src,
                    first,
                    port: key.dport,
                    at: record.ts,
                    length,
                };
            }
        }
    }

    fn weigh(&mut self, record: &HostRecord, role: super::place::Role, reports: &mut Vec<Report>) {
        let address = record.key.src;
        let Some(host) = self.hosts.entry(address, Host::default) else {
            return;
        };
        let hosts = host.failed_hosts.estimate();
        let worm_port = WORM_PORTS.contains(&host.port) && host.port_fails * 10 >= host.fails * 7;
        // A scanner's ways: it resets what answers, sends all from one port, or tries each host on several. Worms make
        // packets by hand too (Mirai), on their own ports.
        let scanner = !worm_port && (host.half_open > 0 || host.by_hand * 2 > host.tried)
            || host.several * 2 > host.port_fails;
        let enough = if scanner {
            u32::MAX
        } else if worm_port {
            self.settings.hosts_min.of(role)
        } else {
            self.settings.other_hosts_min
        };
        if host.score < SUSPECT || host.score < self.threshold || hosts < enough {
            if host.score >= SUSPECT / 2.0 {
                Watch::<IpAddr, Host>::keep(&mut host.live, record.ts);
            }
            return;
        }
        let (port, fails, threshold) = (host.port, u64::from(host.fails), self.threshold);
        let blank = Reached {
            by: address,
            first: address,
            port: 0,
            at: Timestamp(0),
            length: 0,
        };
        let chain = self.reached.entry(address, || blank).copied().filter(|r| {
            r.port == port && record.ts.secs_since(r.at) <= u64::from(self.settings.chain_secs)
        });
        let victims = host_accepted(&mut self.hosts, address);
        let works = chain.is_some() || victims >= 2;
        self.hosts.alarm(
            address,
            record,
            (record.key, fails),
            reports,
            Host::default,
            |host| Says {
                confidence: 0.95,
                efficacy: if works {
                    Efficacy::Likely
                } else {
                    Efficacy::Unknown
                },
                reason: match (chain.is_some(), victims) {
                    (true, _) => "it was reached on this port by another scanner",
                    (false, 2..) => "hosts accepted the connection",
                    _ => "",
                },
                source_verified: host.proven,
                evidence: evidence(|json| {
                    json.num("first_contacts", host.tried)
                        .num("failed", host.fails)
                        .num("failed_hosts", hosts)
                        .num("failed_hosts_min", enough)
                        .num("accepted", host.accepted)
                        .num("port", host.port)
                        .num("secs", record.ts.secs_since(host.began));
                    json.float("score", f64::from((host.score * 10.0).round() / 10.0))
                        .float("score_min", f64::from((threshold * 10.0).round() / 10.0));
                    if let Some(chain) = chain {
                        json.str("infected_by", chain.by.to_string())
                            .str("patient_zero", chain.first.to_string())
                            .num("chain", chain.length + 1);
                    }
                }),
            },
        );
    }
}

/// Names a pair of hosts, from client to server.
fn pair(src: IpAddr, dst: IpAddr) -> u64 {
    endpoint_hash(src, 0).rotate_left(23) ^ endpoint_hash(dst, 0)
}

/// Hosts that accepted a first contact on the port of the scan.
fn host_accepted(hosts: &mut Watch<IpAddr, Host>, address: IpAddr) -> u32 {
    hosts
        .entry(address, Host::default)
        .map_or(0, |host| host.accepted_on_port)
}

impl Detector for WormScan {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[
            K::Opened,
            K::Established,
            K::Refused,
            K::SynRetry,
            K::Unanswered,
            K::ArpRequest,
            K::ArpClaim,
        ]
    }
    fn memory(&self) -> Memory {
        self.hosts.memory() + self.reached.memory() + self.known.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.threshold = bound(settings.worm_scan.alpha);
        self.settings = settings.worm_scan.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.hosts
            .tick(now, self.settings.off_secs, reports, Host::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    /// A contact of 10.0.0.`src` with 10.0.1.`dst` at port `port`.
    fn contact(kind: RecordKind, src: u32, dst: u32, port: u16, ms: u64) -> HostRecord {
        let mut r = record(kind, 6, src, 0, port, ms);
        r.key.dst = IpAddr::from((10 << 24 | 0x100 | dst).to_be_bytes());
        r
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut worm = WormScan::new(WormScanSettings::default());
        run_with(&mut worm, Role::Intranet, records)
    }

    fn opens(reports: &[Report]) -> usize {
        reports.iter().filter(|r| r.state == "open").count()
    }

    #[test]
    fn a_worm_is_found_within_15_first_contacts_refused_or_not_answered() {
        let refused = (0..40u32).flat_map(|i| {
            let at = u64::from(i) * 50;
            [
                contact(RecordKind::Opened, 1, i, 445, at),
                contact(RecordKind::Refused, 1, i, 445, at + 1),
            ]
        });
        let silent = (0..80u32).map(|i| contact(RecordKind::Opened, 1, i, 445, u64::from(i) * 60));
        let fast = (0..400u32).map(|i| contact(RecordKind::Opened, 1, i, 445, u64::from(i) * 2));
        for (name, records) in [
            ("refused", refused.collect::<Vec<_>>()),
            ("silent", silent.collect()),
            ("fast", fast.collect()),
        ] {
            let reports = run(records.clone());
            assert_eq!(opens(&reports), 1, "{name}");
            let at = reports[0].number;
            let contacts = records
                .iter()
                .filter(|r| r.kind == RecordKind::Opened && r.number <= at)
                .count();
            let ms = at;
            println!("worm, {name}: alert after {contacts} first contacts, {ms} ms");
            assert!(
                contacts <= 15 || (name == "fast" && ms <= 5_000),
                "{name}: {contacts}"
            );
        }
    }

    #[test]
    fn who_infected_whom_is_told_and_makes_it_work() {
        let mut records = Vec::new();
        let mut spread = |src: u32, from: u32, at: u64| {
            for i in 0..30u32 {
                let ms = at + u64::from(i) * 100;
                records.push(contact(RecordKind::Opened, src, from + i, 445, ms));
                let kind = if i == 12 || i == 20 {
                    RecordKind::Established
                } else {
                    RecordKind::Refused
                };
                records.push(contact(kind, src, from + i, 445, ms + 1));
            }
        };
        spread(1, 10, 0);
        // 10.0.1.22 was reached by 10.0.0.1; 10.0.1.72 by 10.0.1.22.
        spread(0x100 | 22, 60, 60_000);
        spread(0x100 | 72, 110, 120_000);
        let reports = run(records);
        assert_eq!(opens(&reports), 3);
        let last = reports.iter().rfind(|r| r.state == "open").expect("open");
        let text = String::from_utf8_lossy(&last.evidence).into_owned();
        assert!(text.contains("\"patient_zero\":\"10.0.0.1\""), "{text}");
        assert!(text.contains("\"infected_by\":\"10.0.1.22\""), "{text}");
        assert_eq!(last.efficacy, Efficacy::Likely);
    }

    #[test]
    fn eight_dead_neighbours_are_no_worm() {
        let few = (0..7u32).flat_map(|i| {
            let at = u64::from(i) * 500;
            [
                contact(RecordKind::Opened, 1, i, 445, at),
                contact(RecordKind::Refused, 1, i, 445, at + 1),
            ]
        });
        assert!(run(few.collect()).is_empty());
    }

    #[test]
    fn monitors_browsers_peers_and_stale_mounts_are_none() {
        // A monitor asks a hundred hosts at once; nine in ten answer.
        let burst = (0..100u32).map(|i| contact(RecordKind::Opened, 1, i, 22, u64::from(i) / 10));
        let answers = (0..100u32).map(|i| {
            let kind = if i % 10 == 0 {
                RecordKind::Refused
            } else {
                RecordKind::Established
            };
            contact(kind, 1, i, 22, 20 + u64::from(i) / 10)
        });
        assert!(run(burst.chain(answers).collect()).is_empty(), "monitor");
        // A browser opens fifty connections outside at once.
        let fan = (0..50u32).map(|i| record(RecordKind::Opened, 6, 1, i, 443, u64::from(i)));
        assert!(run(fan.collect()).is_empty(), "browser");
        // P2P: many failures outside on high ports.
        let p2p = (0..300u32).flat_map(|i| {
            let at = u64::from(i) * 40;
            [
                record(RecordKind::Opened, 6, 1, i, 40_000 + (i % 100) as u16, at),
                record(
                    RecordKind::Unanswered,
                    6,
                    1,
                    i,
                    40_000 + (i % 100) as u16,
                    at + 30,
                ),
            ]
        });
        assert!(run(p2p.collect()).is_empty(), "p2p");
        // Known peers that are down.
        let known = (0..40u32).flat_map(|i| {
            let at = u64::from(i) * 100;
            [
                contact(RecordKind::Opened, 1, i, 445, at),
                contact(RecordKind::Established, 1, i, 445, at + 1),
            ]
        });
        let down = (0..40u32).flat_map(|i| {
            let at = 86_400_000 + u64::from(i) * 100;
            [
                contact(RecordKind::Opened, 1, i, 139, at),
                contact(RecordKind::Unanswered, 1, i, 139, at + 50),
            ]
        });
        assert!(run(known.chain(down).collect()).is_empty(), "stale mounts");
    }

    /// 10.0.0.`src` asks three times, a second apart, for each of the dead 10.0.1.`from`.. as a system does.
    fn dead(src: u32, from: u32, count: u32) -> Vec<HostRecord> {
        (0..count * 3)
            .map(|i| {
                let at = u64::from(i) * 1_000;
                let mut r = contact(RecordKind::ArpRequest, src, from + i / 3, 0, at);
                r.key.proto = 0;
                r
            })
            .collect()
    }

    fn with(mut records: Vec<HostRecord>, others: &[HostRecord]) -> Vec<HostRecord> {
        records.extend_from_slice(others);
        records.sort_by_key(|r| r.ts);
        records
    }

    #[test]
    fn dead_addresses_of_the_link_are_first_contacts_of_who_also_reaches_living_ones() {
        let living = [
            contact(RecordKind::Opened, 1, 200, 445, 20_000),
            contact(RecordKind::Established, 1, 200, 445, 20_001),
            contact(RecordKind::Opened, 1, 201, 445, 30_000),
            contact(RecordKind::Established, 1, 201, 445, 30_001),
        ];
        let reports = run(with(dead(1, 10, 60), &living));
        assert_eq!(opens(&reports), 1);
        assert_eq!(reports[0].key.dport, 445);
        println!("worm, dead addresses: alert after {} ms", reports[0].number);
        // A sweep alone is arp_scan's, few dead neighbours are nobody's.
        assert!(run(dead(1, 10, 60)).is_empty());
        assert!(run(with(dead(1, 10, 15), &living)).is_empty());
        // Neighbours that answer are asked again all day.
        let mut alive = Vec::new();
        for r in dead(1, 10, 60) {
            let mut claim = r;
            (claim.kind, claim.key.src, claim.key.dst) =
                (RecordKind::ArpClaim, r.key.dst, r.key.src);
            claim.ts = r.ts.plus_nanos(1_000);
            alive.extend([r, claim]);
        }
        assert!(run(with(alive, &living)).is_empty());
    }

    #[test]
    fn packets_made_by_hand_are_a_scan_except_on_ports_of_worms() {
        let sweep = |port, sport: fn(u32) -> u16| {
            (0..60u32)
                .flat_map(|i| {
                    let at = u64::from(i) * 50;
                    let mut opened = contact(RecordKind::Opened, 1, i, port, at);
                    opened.key.sport = sport(i);
                    let mut refused = contact(RecordKind::Refused, 1, i, port, at + 1);
                    refused.key.sport = sport(i);
                    [opened, refused]
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(opens(&run(sweep(80, |i| 40_000 + i as u16))), 1);
        assert!(run(sweep(80, |_| 52_435)).is_empty());
        assert_eq!(opens(&run(sweep(23, |_| 52_435))), 1);
    }

    #[test]
    fn a_declared_scanner_is_quiet() {
        let scan: Vec<_> = (0..200u32)
            .map(|i| contact(RecordKind::Refused, 1, i, 445, u64::from(i) * 20))
            .flat_map(|r| {
                [
                    HostRecord {
                        kind: RecordKind::Opened,
                        ..r
                    },
                    r,
                ]
            })
            .collect();
        let mut worm = WormScan::new(WormScanSettings::default());
        let declared = super::super::detector::tests::Declared {
            role: Role::Intranet,
            host: "10.0.0.1".parse().expect("address"),
            is: HostRole::Scanner,
        };
        assert!(
            super::super::detector::tests::run_at(&mut worm, &declared, scan.clone()).is_empty()
        );
        assert_eq!(opens(&run(scan)), 1);
    }

    #[test]
    fn random_hosts_take_no_more_memory_and_do_not_hide_a_worm() {
        let mut worm = WormScan::new(WormScanSettings {
            hosts: 512,
            peers_bytes: 1 << 14,
            ..WormScanSettings::default()
        });
        let bytes = Detector::memory(&worm).bytes;
        let mut records = Vec::new();
        for i in 0..200_000u32 {
            records.push(contact(
                RecordKind::Opened,
                0x10000 + i.wrapping_mul(2_654_435_761) % 0x7f_ffff,
                i % 250,
                445,
                u64::from(i) / 4,
            ));
            if i % 1_000 == 0 {
                let n = i / 1_000;
                records.push(contact(RecordKind::Opened, 1, n, 445, u64::from(i) / 4));
                records.push(contact(RecordKind::Refused, 1, n, 445, u64::from(i) / 4));
            }
        }
        let reports = run_with(&mut worm, Role::Intranet, records);
        assert_eq!(Detector::memory(&worm).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([10, 0, 0, 1]))
        );
    }
}
