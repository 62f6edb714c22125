//! Scans that no single source shows within an hour (detectors.md D8, "distributed" and "slow"), for [`super::port_scan`].
//!
//! - *Spread*: within ten minutes many sources fail at many ports of one host, or at one port of many hosts of a network (/24,
//!   /48), a few tries each. Who was told as a scanner already does not count.
//! - *Slow*: within a day one source (for an hour at least), or the sources of one network, fail at many distinct (host,
//!   port), and hardly succeed at any.
//!
//! What is *not* evidence: clients of a farm that is down (it answered before); one dead service; floods (the caller leaves
//! out what goes to a flooded service); crawlers and offices, most of whose contacts succeed.
//! Memory: fixed, [`Settings::entries`] records of each kind; who failed at least gives way.

use std::net::IpAddr;

use super::engine::endpoint_hash;
use super::record::HostRecord;
use super::table::{Bitmap256, SetTable, Worth};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings, a part of those of `port_scan`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sources that share a scan. Default 10: fewer show by themselves (15 targets each).
    pub sources_min: u32,
    /// Targets of a shared scan. Default 30.
    pub targets_min: u32,
    /// Seconds of a shared scan. Default 600.
    pub spread_secs: u32,
    /// Targets of a slow scan in a day. Default 30 (detectors.md D8: a daily sketch per source and per /24).
    pub slow_targets_min: u32,
    /// Records of each kind. Default 8,192.
    pub entries: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources_min: 10,
            targets_min: 30,
            spread_secs: 600,
            slow_targets_min: 30,
            entries: 8_192,
        }
    }
}

const DAY_SECS: u64 = 86_400;
/// What one source does faster than this is judged by the fast test, with its own threshold: four of its half-lives.
const SLOW_SECS: u64 = 3_600;
/// Sources of a network without which it is one source's scan.
const NEIGHBOURS_MIN: u32 = 3;
/// Failures a second from which sources that come once each are forged, or may be.
const SPRAY_PER_SEC: u64 = 5;
/// Of the failures of a spread scan: so many in a hundred may be answered targets of the same service.
const ANSWERED_PERCENT: u32 = 25;

/// Where a spread scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Ports of a host.
    Host(IpAddr),
    /// A port of a network, named by its first address.
    Net(IpAddr, u16),
}

/// Who scans slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A source.
    Host(IpAddr),
    /// The sources of a network, named by its first address.
    Net(IpAddr),
}

/// What a failure completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thin {
    /// Many sources.
    Spread {
        /// Ports or hosts that failed.
        targets: u32,
        /// Sources that share them.
        sources: u32,
        /// Whether it is one port of a network.
        horizontal: bool,
    },
    /// Little at a time.
    Slow {
        /// (host, port) that failed within a day.
        targets: u32,
        /// Sources of the network; 1: a single source.
        sources: u32,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    since: Timestamp,
    targets: Bitmap256,
    sources: Bitmap256,
    answered: Bitmap256,
    /// Targets that answered in the window before.
    answered_before: u32,
    fails: u32,
    told: bool,
}

impl Shared {
    /// Forged sources come once each, and as fast as a flood: whoever shares a scan tries a few times, or takes its time.
    fn is_no_spray(&self, now: Timestamp, (targets, sources): (u32, u32)) -> bool {
        let secs = now.secs_since(self.since).max(1);
        targets >= sources * 2 || u64::from(self.fails) <= secs * SPRAY_PER_SEC
    }
}

impl Worth for Shared {
    fn worth(&self) -> u64 {
        u64::from(self.targets.estimate()) << 40 | self.since.secs() & 0xff_ffff_ffff
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Daily {
    since: Timestamp,
    failed: Bitmap256,
    answered: Bitmap256,
    sources: Bitmap256,
    told: bool,
}

impl Worth for Daily {
    fn worth(&self) -> u64 {
        u64::from(self.failed.estimate()) << 40 | self.since.secs() & 0xff_ffff_ffff
    }
}

/// See the module.
#[derive(Debug)]
pub struct ThinScans {
    settings: Settings,
    shared: SetTable<Target, Shared>,
    daily: SetTable<Origin, Daily>,
}

impl ThinScans {
    /// Takes its memory.
    pub fn new(settings: Settings) -> Self {
        Self {
            shared: SetTable::new(settings.entries),
            daily: SetTable::new(settings.entries),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.shared.memory() + self.daily.memory()
    }

    /// Goes on with other thresholds.
    pub fn tune(&mut self, settings: &Settings) {
        self.settings = settings.clone();
    }

    /// A connection succeeded. Only what is watched is looked at: most hosts never fail.
    pub fn succeeded(&mut self, record: &HostRecord) {
        let key = record.key;
        let host = endpoint_hash(key.dst, 0);
        let service = endpoint_hash(key.dst, key.dport);
        for (target, what) in targets(record) {
            let watched = match target {
                // Farms are remembered from their first answer: that they answered is what tells an outage from a scan.
                Target::Net(..) => self.shared.entry(target, || Shared {
                    since: record.ts,
                    ..Shared::default()
                }),
                Target::Host(_) => self.shared.get_mut(&target),
            };
            if let Some(shared) = watched {
                shared
                    .answered
                    .insert(if what == 0 { host } else { service });
            }
        }
        for origin in origins(key.src) {
            if let Some(daily) = self.daily.get_mut(&origin) {
                daily.answered.insert(service);
            }
        }
    }

    /// A first contact failed, of a source that was not told as a scanner. What it completes, and where.
    pub fn failed(&mut self, record: &HostRecord) -> Option<Thin> {
        let key = record.key;
        let mut found = None;
        for (target, what) in targets(record) {
            let Some(shared) = self.shared.entry(target, Shared::default) else {
                continue;
            };
            let secs = u64::from(self.settings.spread_secs);
            if record.ts.is_outside(shared.since, secs) {
                *shared = Shared {
                    since: record.ts,
                    answered_before: shared.answered.estimate(),
                    ..Shared::default()
                };
            }
            shared.fails = shared.fails.saturating_add(1);
            shared.targets.insert(what_hash(key.dst, what, target));
            shared.sources.insert(endpoint_hash(key.src, 0));
            let (count, sources) = (shared.targets.estimate(), shared.sources.estimate());
            let answered = shared.answered.estimate().max(shared.answered_before);
            if !shared.told
                && count >= self.settings.targets_min
                && sources >= self.settings.sources_min
                && answered * 100 <= count * ANSWERED_PERCENT
                && shared.is_no_spray(record.ts, (count, sources))
            {
                shared.told = true;
                found = Some(Thin::Spread {
                    targets: count,
                    sources,
                    horizontal: matches!(target, Target::Net(..)),
                });
            }
        }
        for origin in origins(key.src) {
            let Some(daily) = self.daily.entry(origin, Daily::default) else {
                continue;
            };
            if record.ts.is_outside(daily.since, DAY_SECS) {
                *daily = Daily {
                    since: record.ts,
                    ..Daily::default()
                };
            }
            daily.failed.insert(endpoint_hash(key.dst, key.dport));
            daily.sources.insert(endpoint_hash(key.src, 0));
            let (count, sources) = (daily.failed.estimate(), daily.sources.estimate());
            let (least, alone) = match origin {
                Origin::Host(_) => (1, true),
                Origin::Net(_) => (NEIGHBOURS_MIN, false),
            };
            let slow = !alone || record.ts.is_outside(daily.since, SLOW_SECS);
            if !daily.told
                && slow
                && count >= self.settings.slow_targets_min
                && sources >= least
                // θ0 of the fast test: whoever means well succeeds four times in five.
                && count * 4 >= (count + daily.answered.estimate()) * 3
            {
                daily.told = true;
                found = found.or(Some(Thin::Slow {
                    targets: count,
                    sources: if alone { 1 } else { sources },
                }));
            }
        }
        found
    }
}

/// A host with its port, and a network's port with its host.
fn targets(record: &HostRecord) -> [(Target, u16); 2] {
    let key = record.key;
    [
        (Target::Host(key.dst), key.dport),
        (Target::Net(network(key.dst), key.dport), 0),
    ]
}

fn what_hash(host: IpAddr, port: u16, target: Target) -> u64 {
    match target {
        Target::Host(_) => endpoint_hash(IpAddr::from([0; 4]), port),
        Target::Net(..) => endpoint_hash(host, 0),
    }
}

fn origins(source: IpAddr) -> [Origin; 2] {
    [Origin::Host(source), Origin::Net(network(source))]
}

/// Its /24, its /48.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, _] = a.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(a) => {
            let [a, b, c, ..] = a.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::super::record::RecordKind;
    use super::*;

    fn contact(src: u32, dst: u32, port: u16, secs: u64) -> HostRecord {
        record(RecordKind::Refused, 6, src, dst, port, secs * 1_000)
    }

    #[test]
    fn forty_sources_with_a_port_each_scan_one_host() {
        let mut scans = ThinScans::new(Settings::default());
        let found = (0..60u32).find_map(|i| {
            let thin = scans.failed(&contact(i * 300, 1, i as u16 + 1, u64::from(i) * 5))?;
            Some((i, thin))
        });
        println!("distributed scan, one port of each of 40 sources: {found:?}");
        let (
            at,
            Thin::Spread {
                horizontal: false, ..
            },
        ) = found.unwrap()
        else {
            panic!("{found:?}");
        };
        assert!(at <= 45);
    }

    #[test]
    fn a_spray_of_forged_sources_is_a_flood_and_no_scan() {
        let mut scans = ThinScans::new(Settings::default());
        for i in 0..20_000u32 {
            let mut one = contact(i * 77, i % 250, 22, 0);
            one.ts = one.ts.plus_nanos(u64::from(i) * 1_000_000);
            assert_eq!(scans.failed(&one), None, "{i}");
        }
    }

    #[test]
    fn clients_of_a_farm_that_is_down_scan_nothing() {
        let mut scans = ThinScans::new(Settings::default());
        for i in 0..60u32 {
            scans.succeeded(&contact(i, 1_000 + i % 40, 443, 0));
        }
        for i in 0..400u32 {
            let thin = scans.failed(&contact(i % 60, 1_000 + i % 40, 443, 60 + u64::from(i)));
            assert!(!matches!(thin, Some(Thin::Spread { .. })), "{thin:?}");
        }
    }

    #[test]
    fn a_probe_in_ten_minutes_is_found_within_a_day_and_an_office_is_not() {
        let mut scans = ThinScans::new(Settings::default());
        let found = (0..140u32).find_map(|i| {
            let thin = scans.failed(&contact(1, 2_000 + i, 22, u64::from(i) * 600))?;
            Some((i + 1, thin))
        });
        println!("slow scan, one probe in ten minutes: {found:?}");
        let (probes, Thin::Slow { sources: 1, .. }) = found.unwrap() else {
            panic!("{found:?}");
        };
        assert!(probes <= 40);
        // Two hundred people who each succeed four times in five.
        let mut office = ThinScans::new(Settings::default());
        for i in 0..4_000u32 {
            let mut one = contact(i % 200, 3_000 + i % 900, 443, u64::from(i) * 20);
            if i % 5 == 0 {
                one.key.dst = contact(0, 9_000 + i % 100, 443, 0).key.dst;
                assert_eq!(office.failed(&one), None);
            } else {
                office.succeeded(&one);
            }
        }
    }

    #[test]
    fn what_one_source_does_fast_is_left_to_the_fast_test() {
        let mut scans = ThinScans::new(Settings::default());
        for i in 0..200 {
            let thin = scans.failed(&contact(1, 1, 2_000 + i, u64::from(i)));
            assert!(!matches!(thin, Some(Thin::Slow { .. })), "{i}: {thin:?}");
        }
    }

    #[test]
    fn random_sources_take_no_more_memory() {
        let mut scans = ThinScans::new(Settings::default());
        let before = scans.memory().bytes;
        for i in 0..200_000u32 {
            let random = i.wrapping_mul(0x9e37_79b9);
            scans.failed(&contact(random, random >> 7, (random >> 3) as u16, 0));
        }
        assert_eq!(scans.memory().bytes, before);
    }
}
