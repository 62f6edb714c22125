//! Floods towards a destination (detectors.md D2, D3): `udp_flood`, `icmp_flood`, `smurf`, `amplification`, `tcp_flood`.
//!
//! One meter per destination and detector: packets and distinct sources of a sliding window of eight bins.
//! - `udp_flood`: over the floor with hardly an answer; or from many sources, each with a flow of its own, unanswered.
//! - `icmp_flood`: echo requests over the floor.
//! - `smurf`: echo requests to a directed broadcast, or echo replies that nobody asked for from many hosts.
//! - `amplification`: datagrams that nobody asked for from many sources, all from ports of known amplifiers.
//! - `tcp_flood`: SYN-ACKs or RSTs that nobody asked for from many sources (reflection, backscatter), or SYN-ACKs that a
//!   few repeat over and over.
//!
//! What is *not* a flood: traffic in both directions (QUIC, VoIP, resolvers), whatever its rate.
//! Memory: fixed, one record per destination.

use std::net::IpAddr;

use super::detector::plain_detector;
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, Role};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use super::{AMPLIFICATION, ICMP_FLOOD, SMURF, TCP_FLOOD, UDP_FLOOD};
use crate::alert::Efficacy;
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings of each of the five.
#[derive(Clone, Debug, PartialEq)]
pub struct FloodSettings {
    /// Packets per second towards one destination over which there is an alarm, whatever the sources.
    pub floor_per_sec: ByRole<u32>,
    /// Distinct sources in the window that make an alarm of unanswered packets below that rate.
    pub sources_min: u32,
    /// Packets in the window that are evidence by themselves.
    pub plain_min: u32,
    /// Destinations watched.
    pub destinations: usize,
    /// Quiet seconds after which an incident closes.
    pub off_secs: u32,
}

impl FloodSettings {
    /// Defaults: D2's floors at the edge, in a DMZ and inside (UDP 20,000, 5,000 and 2,000/s, ICMP 1,000, 200 and 100/s), D3's
    /// 50 sources; 30 in a minute for reflected TCP.
    /// By themselves: 1,000 UDP flows in a second that are not answered (measured: hping3 from one address); 20 echo requests to a directed broadcast in ten seconds (a person who pings one sends 10), 20 SYN-ACKs
    /// in a minute that are repeated to somebody who did not ask (a server repeats one five times).
    pub fn of(detector: u16) -> Self {
        let none = ByRole::new(u32::MAX, u32::MAX, u32::MAX);
        let (floor_per_sec, sources_min, plain_min) = match detector {
            UDP_FLOOD => (ByRole::new(20_000, 5_000, 2_000), 100, 1_000),
            ICMP_FLOOD => (ByRole::new(1_000, 200, 100), u32::MAX, u32::MAX),
            SMURF => (none, 10, 20),
            AMPLIFICATION => (none, 50, u32::MAX),
            _ => (none, 30, 20),
        };
        Self {
            floor_per_sec,
            sources_min,
            plain_min,
            destinations: 8_192,
            off_secs: 60,
        }
    }
}

impl Default for FloodSettings {
    fn default() -> Self {
        Self::of(UDP_FLOOD)
    }
}

/// Source ports of known amplifiers (detectors.md D3).
pub(super) const AMPLIFIERS: &[u16] = &[
    17, 19, 53, 69, 111, 123, 137, 161, 389, 500, 520, 623, 1434, 1900, 3283, 3478, 3702, 5351,
    5353, 5683, 10_001, 11_211, 27_015, 33_848, 37_810, 47_808,
];
/// TCP flags of an answer to a SYN.
const SYN_ACK: u32 = 0x12;
/// Bins of the window.
const BINS: usize = 8;

#[derive(Clone, Debug, Default)]
struct Meter {
    bin: u64,
    packets: [u32; BINS],
    answered: [u32; BINS],
    /// Packets that are evidence by themselves.
    plain: [u32; BINS],
    /// SYN-ACKs seen, by connection.
    asked: Bitmap256,
    sources: Bitmap256,
    sources_since: u64,
    total: u64,
    live: Live,
}

impl Entry for Meter {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.total
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Meter {
    fn roll(&mut self, ts: Timestamp, bin_nanos: u64) {
        let bin = ts.0 / bin_nanos.max(1);
        let steps = bin.saturating_sub(self.bin).min(BINS as u64);
        for _ in 0..steps {
            self.packets.rotate_left(1);
            self.answered.rotate_left(1);
            self.plain.rotate_left(1);
            self.plain[BINS - 1] = 0;
            self.packets[BINS - 1] = 0;
            self.answered[BINS - 1] = 0;
        }
        self.bin = self.bin.max(bin);
        if self.bin.saturating_sub(self.sources_since) >= BINS as u64 {
            self.sources = Bitmap256::default();
            self.asked = Bitmap256::default();
            self.sources_since = self.bin;
        }
    }

    fn in_window(&self) -> (u64, u64) {
        let sum = |bins: &[u32; BINS]| bins.iter().map(|n| u64::from(*n)).sum();
        (sum(&self.packets), sum(&self.answered))
    }
}

/// One of the five detectors.
#[derive(Debug)]
pub struct Flood {
    detector: u16,
    settings: FloodSettings,
    meters: Watch<IpAddr, Meter>,
}

plain_detector!(
    Flood,
    by role,
    |flood, all| match flood.detector {
        UDP_FLOOD => all.udp_flood.clone(),
        ICMP_FLOOD => all.icmp_flood.clone(),
        SMURF => all.smurf.clone(),
        AMPLIFICATION => all.amplification.clone(),
        _ => all.tcp_flood.clone(),
    },
    Opened | Established | Packets | Unsolicited | Echo,
    |flood, (kind, proto)| match (flood.detector, kind) {
        (TCP_FLOOD, kind) => kind == RecordKind::Unsolicited,
        (_, RecordKind::Unsolicited) => false,
        (UDP_FLOOD | AMPLIFICATION, _) => proto == 17,
        _ => !matches!(proto, 6 | 17),
    }
);

impl Flood {
    /// Takes its memory.
    pub fn new(detector: u16, settings: FloodSettings) -> Self {
        Self {
            detector,
            meters: Watch::new(detector, settings.destinations),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.meters.memory()
    }

    /// Length of the window in seconds: what nobody asked for trickles in, the rest floods.
    fn window_secs(&self) -> u64 {
        match self.detector {
            TCP_FLOOD => 60,
            SMURF => 10,
            _ => 1,
        }
    }

    /// Takes one record.
    pub fn record(
        &mut self,
        record: &HostRecord,
        role: &dyn Fn() -> Role,
        reports: &mut Vec<Report>,
    ) {
        let Some((target, packets, answered)) = self.weigh(record) else {
            return;
        };
        let secs = self.window_secs();
        let Some(meter) = self.meters.entry(target.dst, Meter::default) else {
            return;
        };
        meter.roll(record.ts, secs * 1_000_000_000 / BINS as u64);
        meter.packets[BINS - 1] = meter.packets[BINS - 1].saturating_add(packets);
        meter.answered[BINS - 1] = meter.answered[BINS - 1].saturating_add(answered);
        meter.total = meter.total.saturating_add(u64::from(packets));
        if packets == 0 {
            return;
        }
        meter.sources.insert(endpoint_hash(target.src, 0));
        let evident = match (self.detector, record.kind) {
            // The same answer again: whoever is said to have asked does not know of it.
            (TCP_FLOOD, _) => {
                let connection = endpoint_hash(target.src, target.sport)
                    .rotate_left(17)
                    .wrapping_add(u64::from(target.dport).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                record.detail & SYN_ACK == SYN_ACK && !meter.asked.insert(connection >> 13)
            }
            (SMURF, RecordKind::Echo) => true,
            // A source port of its own for each datagram, as tools have that are told to hide no address.
            (UDP_FLOOD, RecordKind::Opened) => true,
            _ => false,
        };
        meter.plain[BINS - 1] = meter.plain[BINS - 1].saturating_add(u32::from(evident));
        let (seen, answers) = meter.in_window();
        let plain = meter.plain.iter().sum::<u32>() >= self.settings.plain_min
            && (self.detector != UDP_FLOOD || answers * 20 <= seen);
        let unanswered = answers * 20 <= seen || self.detector == ICMP_FLOOD;
        let floor = self.settings.floor_per_sec;
        // Where it lies is asked for only when it matters.
        let least = floor.edge.min(floor.dmz).min(floor.intranet);
        let over = |floor: u32| seen >= u64::from(floor).saturating_mul(secs);
        let fast = over(least) && over(floor.of(role()));
        let enough = u64::from(self.settings.sources_min);
        let many = seen >= enough && u64::from(meter.sources.estimate()) >= enough;
        if !(plain || unanswered && (fast || many)) {
            return;
        }
        let size = meter.total;
        self.meters.alarm(
            target.dst,
            record,
            (target, size),
            reports,
            Meter::default,
            |meter| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: false,
                evidence: evidence(|json| {
                    json.num("packets_in_window", meter.in_window().0)
                        .num("answers_in_window", meter.in_window().1)
                        .num("window_secs", secs)
                        .num("sources", meter.sources.estimate())
                        .num("packets", meter.total)
                        .num("source_port", target.sport);
                }),
            },
        );
    }

    /// What a record counts here: the target it is about, packets towards it, answers from it.
    fn weigh(&self, record: &HostRecord) -> Option<(FlowKey, u32, u32)> {
        let key = record.key;
        let count = u32::try_from(record.value).unwrap_or(u32::MAX);
        let icmp = key.proto == 1 || key.proto == 58;
        let is_request = record.detail >> 31 == 0;
        match (self.detector, record.kind) {
            (UDP_FLOOD, RecordKind::Opened) if key.proto == 17 && !is_multicast(key.dst) => {
                Some((key, 1, 0))
            }
            (UDP_FLOOD, RecordKind::Established) if key.proto == 17 => Some((key, 0, 1)),
            (UDP_FLOOD, RecordKind::Packets) if key.proto == 17 && !is_multicast(key.dst) => {
                match record.detail {
                    0 => Some((key, count, 0)),
                    _ => Some((key, 0, count)),
                }
            }
            (ICMP_FLOOD, RecordKind::Opened) if floods(&key) => Some((key, 1, 0)),
            (ICMP_FLOOD, RecordKind::Packets) if floods(&key) && record.detail == 0 => {
                Some((key, count, 0))
            }
            (SMURF, RecordKind::Opened) if icmp && is_reply(&key) && !is_multicast(key.dst) => {
                Some((key, 1, 0))
            }
            (AMPLIFICATION, RecordKind::Opened)
                if key.proto == 17 && AMPLIFIERS.contains(&key.sport) =>
            {
                let server = key.sport == key.dport && key.sport != 500;
                (!server && !is_multicast(key.dst)).then_some((key, 1, 0))
            }
            (AMPLIFICATION, RecordKind::Established)
                if key.proto == 17 && AMPLIFIERS.contains(&key.sport) =>
            {
                Some((key, 0, 1))
            }
            // Asked in the name of the victim, which is the one that gets all the answers.
            (SMURF, RecordKind::Echo) if key.proto == 1 && is_request && is_directed(key.dst) => {
                Some((key.reversed(), 1, 0))
            }
            (TCP_FLOOD, RecordKind::Unsolicited) => Some((key, 1, 0)),
            _ => None,
        }
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.meters
            .tick(now, self.settings.off_secs, reports, Meter::default);
    }
}

/// An echo reply opened the flow: types are in the source port.
fn is_reply(key: &FlowKey) -> bool {
    matches!((key.proto, key.sport), (1, 0) | (58, 129))
}

/// ICMP, but for what hosts on an IPv6 link tell each other all the time: neighbours, routers, groups (types 130 to 137
/// and 143).
fn floods(key: &FlowKey) -> bool {
    key.proto == 1 || key.proto == 58 && !matches!(key.sport, 130..=137 | 143)
}

/// What is most likely the directed broadcast of a segment: the mask is not in the packet, and /24 is what they have.
fn is_directed(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(a) if a.octets()[3] == 255 && !a.is_broadcast())
}

/// Multicast or limited broadcast.
fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_multicast() || a.is_broadcast(),
        IpAddr::V6(a) => a.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::*;

    fn run(detector: u16, records: impl Iterator<Item = HostRecord>) -> Vec<Report> {
        let mut flood = Flood::new(detector, FloodSettings::of(detector));
        let mut reports = Vec::new();
        for record in records {
            flood.record(&record, &|| Role::Dmz, &mut reports);
        }
        reports
    }

    #[test]
    fn unanswered_datagrams_from_many_sources_are_a_flood() {
        let spray = (0..400).map(|i| record(RecordKind::Opened, 17, i, 1, 53, u64::from(i) * 4));
        assert_eq!(run(UDP_FLOOD, spray).len(), 1);
    }

    #[test]
    fn a_busy_resolver_answers_and_is_not_flooded() {
        let busy = (0..4_000).flat_map(|i| {
            let at = u64::from(i) / 4;
            [
                record(RecordKind::Opened, 17, i, 1, 53, at),
                record(RecordKind::Established, 17, i, 1, 53, at),
            ]
        });
        assert!(run(UDP_FLOOD, busy).is_empty());
    }

    #[test]
    fn echo_requests_over_the_floor_are_a_flood_and_a_ping_is_not() {
        let echo = |n: u64, ms: u64| {
            (0..n).map(move |i| HostRecord {
                value: 64,
                ..record(RecordKind::Packets, 1, 1, 1, 0, i * ms)
            })
        };
        assert_eq!(run(ICMP_FLOOD, echo(20, 50)).len(), 1);
        assert!(run(ICMP_FLOOD, echo(20, 64_000)).is_empty());
    }

    #[test]
    fn echo_requests_of_ipv6_are_a_flood_and_neighbours_are_not() {
        let of = |kind: u16| {
            (0..40).map(move |i| {
                let mut r = record(RecordKind::Packets, 58, 1, 1, 0, i * 25);
                (r.key.sport, r.value) = (kind, 64);
                r
            })
        };
        assert!(!run(ICMP_FLOOD, of(128)).is_empty());
        assert!(run(ICMP_FLOOD, of(135)).is_empty());
    }

    #[test]
    fn a_few_reflectors_that_repeat_their_answers_are_an_attack() {
        let answers = |repeats: u64, hosts: u32, flags: u32| {
            (0..repeats).flat_map(move |i| {
                (0..hosts).map(move |host| HostRecord {
                    detail: flags,
                    ..record(RecordKind::Unsolicited, 6, host, 1, 21, i * 2_000)
                })
            })
        };
        assert_eq!(run(TCP_FLOOD, answers(24, 2, SYN_ACK)).len(), 1);
        // A host that came up again while a few servers still answered it.
        assert!(run(TCP_FLOOD, answers(5, 3, SYN_ACK)).is_empty());
        // Backscatter of resets from a few hosts.
        assert!(run(TCP_FLOOD, answers(24, 2, 4)).is_empty());
        assert_eq!(run(TCP_FLOOD, answers(1, 60, SYN_ACK)).len(), 1);
    }

    #[test]
    fn pings_of_a_directed_broadcast_are_smurf_when_no_person_sends_them() {
        let pings = |n: u64, ms: u64, last: u32| {
            (0..n).map(move |i| record(RecordKind::Echo, 1, 1, last, 0, i * ms))
        };
        assert_eq!(run(SMURF, pings(40, 100, 255)).len(), 1);
        assert!(run(SMURF, pings(40, 1_000, 255)).is_empty());
        assert!(run(SMURF, pings(40, 100, 7)).is_empty());
    }

    #[test]
    fn reflected_answers_from_many_hosts_are_an_attack() {
        let answers = |port| {
            (0..200).map(move |i| {
                let mut r = record(RecordKind::Opened, 17, i, 1, 40_000, u64::from(i));
                r.key.sport = port;
                r
            })
        };
        assert_eq!(run(AMPLIFICATION, answers(123)).len(), 1);
        assert!(run(AMPLIFICATION, answers(40_001)).is_empty());
    }
}
