//! Traffic with a source that cannot be (detectors.md D17), from the first packets of flows:
//! - `land`: source and destination are one;
//! - `loopback`, `group`, `reserved`: addresses that no packet may come from (RFC 1122 §3.2.1.3, RFC 6890);
//! - `foreign`: where segments are declared, neither end is ours (reverse path);
//! - `ours_from_outside`: where segments are declared, a source of ours comes from the hardware address behind which the
//!   outside is, and behind which none of ours ever completed a connection (reverse path, RFC 2827);
//! - `bogon`: at the edge, where segments are declared, a source that the Internet does not route (RFC 1918, RFC 6598,
//!   RFC 6890) and that is not ours;
//! - `many_sources`: one hardware address that has an address of ours by ARP sends from many others, none of which
//!   completes a connection: a host that forges, named by its hardware address;
//! - `illegal_flags`: TCP flags that contradict each other (SYN with FIN or RST, RFC 9293 §3.10.7).
//!
//! One incident per reason and link. What is *not* spoofed: the loopback of the host that captures; DHCP, IGMP and duplicate
//! address detection, whose senders have no address yet; routers, which send for many that do connect; tunnels.
//! Memory: fixed, one record per reason and link and one per hardware address.

use std::net::{IpAddr, Ipv4Addr};

use super::SPOOFED;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::lan;
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, HostRole, Place, Role, is_group, is_local};
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::{TcpFlags, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SpoofedSettings {
    /// Packets in a minute that are an alert. Default edge 1,000, DMZ 1, intranet 1 (detectors.md D17).
    pub packets_min: ByRole<u32>,
    /// Packets in a minute where no segment is declared: what is odd there may be how the capture was made. Default 10.
    pub undeclared_min: u32,
    /// Packets in a minute that make it serious inside. Default 100 (detectors.md D17).
    pub serious_min: u32,
    /// Packets with illegal flags in a minute, at least: single ones are broken stacks. Default 20.
    pub flags_min: u32,
    /// Foreign sources of one hardware address in a minute. Default 50.
    pub sources_min: u32,
    /// Links watched, times reasons. Default 512.
    pub links: usize,
    /// Hardware addresses known. Default 4,096.
    pub senders: usize,
    /// Quiet seconds after which an incident closes. Default 300.
    pub off_secs: u32,
}

impl Default for SpoofedSettings {
    fn default() -> Self {
        Self {
            packets_min: ByRole::new(1_000, 1, 1),
            undeclared_min: 10,
            serious_min: 100,
            flags_min: 20,
            sources_min: 50,
            links: 512,
            senders: 4_096,
            off_secs: 300,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reason {
    Land,
    Loopback,
    Group,
    Reserved,
    Foreign,
    OursFromOutside,
    Bogon,
    ManySources,
    IllegalFlags,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Land => "land",
            Self::Loopback => "loopback",
            Self::Group => "group",
            Self::Reserved => "reserved",
            Self::Foreign => "foreign",
            Self::OursFromOutside => "ours_from_outside",
            Self::Bogon => "bogon",
            Self::ManySources => "many_sources",
            Self::IllegalFlags => "illegal_flags",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Counter {
    since: Timestamp,
    packets: u32,
    total: u64,
    sources: Bitmap256,
    mac: u64,
    live: Live,
}

impl Entry for Counter {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.total.min(0xffff) << 40 | self.since.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// What a hardware address sends from.
#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    own: Option<IpAddr>,
    sources: Bitmap256,
    since: Timestamp,
    /// A foreign source completed a connection: it is a router.
    routes: bool,
    /// Connections that sources outside completed through it, and whether one of ours did that is not its own.
    outside: u8,
    inside: bool,
    last: Timestamp,
}

impl Worth for Sender {
    fn worth(&self) -> u64 {
        u64::from(self.sources.estimate()) << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Spoofed {
    settings: SpoofedSettings,
    counters: Watch<(Reason, u16, u16), Counter>,
    senders: SetTable<u64, Sender>,
}

impl Spoofed {
    /// Takes its memory.
    pub fn new(settings: SpoofedSettings) -> Self {
        Self {
            counters: Watch::new(SPOOFED, settings.links),
            senders: SetTable::new(settings.senders),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        match record.kind {
            RecordKind::ArpRequest | RecordKind::ArpClaim => {
                let own = key.src;
                if let Some(sender) = self.senders.entry(record.value, Sender::default) {
                    sender.own.get_or_insert(own);
                    sender.last = record.ts;
                }
            }
            RecordKind::Established => {
                // Of a TCP client: the value is its hardware address. Not ours: a router.
                if key.proto == 6
                    && record.value != 0
                    && let Some(sender) = self.senders.entry(record.value, Sender::default)
                {
                    sender.routes |= sender.own.is_some_and(|own| own != key.src);
                    sender.last = record.ts;
                    let place = seen.place();
                    if place.src_ours {
                        sender.inside |= sender.own != Some(key.src);
                    } else if place.declared {
                        sender.outside = sender.outside.saturating_add(1);
                    }
                }
            }
            RecordKind::Stray if is_illegal(record.detail as u8) => {
                self.count(Reason::IllegalFlags, record, seen, reports);
            }
            // What comes with a flood is the flood's.
            RecordKind::Opened if seen.is_flooded() => {}
            RecordKind::Opened => {
                let reason = bogus(record).or_else(|| {
                    let place = seen.place();
                    let foreign = place.declared
                        && place.role != Role::Edge
                        && !place.src_ours
                        && !place.dst_ours
                        && !is_group(key.dst)
                        && !is_local(key.src)
                        && !is_local(key.dst);
                    if foreign {
                        Some(Reason::Foreign)
                    } else if place.declared && place.role == Role::Edge && is_bogon(record, &place)
                    {
                        Some(Reason::Bogon)
                    } else if place.declared && place.src_ours && self.is_behind(record) {
                        Some(Reason::OursFromOutside)
                    } else if !place.src_ours && self.forges(record, seen) {
                        Some(Reason::ManySources)
                    } else {
                        None
                    }
                });
                if let Some(reason) = reason {
                    self.count(reason, record, seen, reports);
                }
            }
            _ => {}
        }
    }

    /// Whether a source of ours comes from where only the outside is.
    fn is_behind(&mut self, record: &HostRecord) -> bool {
        if record.value == 0 || lan::is_virtual(record.value) || is_local(record.key.src) {
            return false;
        }
        self.senders
            .get_mut(&record.value)
            .is_some_and(|s| s.outside >= OUTSIDE_MIN && !s.inside && s.own != Some(record.key.src))
    }

    /// Whether the hardware address behind a flow sends from more sources than a host has.
    fn forges(&mut self, record: &HostRecord, seen: &Seen<'_>) -> bool {
        if record.value == 0 || lan::is_virtual(record.value) {
            return false;
        }
        let Some(sender) = self.senders.entry(record.value, Sender::default) else {
            return false;
        };
        sender.last = record.ts;
        let Some(own) = sender.own else {
            return false;
        };
        // What a router forwards has lost a hop; what a host forges has not.
        let fresh = matches!(record.detail, 32 | 64 | 128 | 255);
        if sender.routes
            || !fresh
            || own == record.key.src
            || is_local(record.key.src)
            || seen.places.has_role(own, HostRole::Router)
        {
            return false;
        }
        if record.ts.is_outside(sender.since, 60) {
            sender.since = record.ts;
            sender.sources = Bitmap256::default();
        }
        sender.sources.insert(endpoint_hash(record.key.src, 0));
        sender.sources.estimate() >= self.settings.sources_min
    }

    fn count(
        &mut self,
        reason: Reason,
        record: &HostRecord,
        seen: &Seen<'_>,
        reports: &mut Vec<Report>,
    ) {
        let link = (reason, record.interface, record.key.vlan[0]);
        let place = seen.place();
        let role = place.role;
        let Some(counter) = self.counters.entry(link, Counter::default) else {
            return;
        };
        if record.ts.is_outside(counter.since, 60) {
            counter.since = record.ts;
            counter.packets = 0;
            counter.sources = Bitmap256::default();
        }
        counter.packets += 1;
        counter.total = counter.total.saturating_add(1);
        counter.sources.insert(endpoint_hash(record.key.src, 0));
        counter.mac = record.value;
        let settings = &self.settings;
        let enough = match reason {
            Reason::IllegalFlags => settings.packets_min.of(role).max(settings.flags_min),
            // The first connection of ours through a router shows that it is one inside as well.
            Reason::OursFromOutside => settings.packets_min.of(role).max(OURS_MIN),
            // No capture makes these by itself.
            Reason::Land | Reason::ManySources | Reason::Foreign => settings.packets_min.of(role),
            _ if !place.declared => settings.packets_min.of(role).max(settings.undeclared_min),
            _ => settings.packets_min.of(role),
        };
        if counter.packets < enough {
            if counter.packets * 2 >= enough {
                Watch::<(Reason, u16, u16), Counter>::keep(&mut counter.live, record.ts);
            }
            return;
        }
        let severity = if role == Role::Intranet && counter.packets < settings.serious_min {
            Severity::Minor
        } else {
            Severity::Major
        };
        let size = counter.total;
        let own = self
            .senders
            .entry(record.value, Sender::default)
            .and_then(|s| s.own)
            .filter(|_| record.value != 0 && reason == Reason::ManySources);
        self.counters.alarm_as(
            severity,
            link,
            record,
            (record.key, size),
            reports,
            Counter::default,
            |counter| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: false,
                evidence: evidence(|json| {
                    json.str("rule", reason.as_str())
                        .num("packets_in_minute", counter.packets)
                        .num("packets_in_minute_min", enough)
                        .num("sources", counter.sources.estimate())
                        .num("packets", counter.total)
                        .num(
                            "ttl",
                            if reason == Reason::IllegalFlags {
                                0
                            } else {
                                record.detail
                            },
                        );
                    if counter.mac != 0 && reason != Reason::IllegalFlags {
                        json.str("hardware_address", lan::mac_text(counter.mac));
                    }
                    if let Some(own) = own {
                        json.str("has_address", own.to_string());
                    }
                }),
            },
        );
    }
}

/// Connections that the outside completed through a hardware address until it is known to lead there.
const OUTSIDE_MIN: u8 = 8;
/// Flows in a minute with a source of ours from there, at least.
const OURS_MIN: u32 = 5;

/// A source that the Internet does not route, towards one of ours.
fn is_bogon(record: &HostRecord, place: &Place) -> bool {
    if place.src_ours || !place.dst_ours || record.value == 0 {
        return false;
    }
    match record.key.src {
        IpAddr::V4(a) => {
            let [first, second, third, _] = a.octets();
            a.is_private()
                || a.is_documentation()
                || (first == 100 && second & 0xc0 == 64)
                || (first == 198 && second & 0xfe == 18)
                || (first == 192 && second == 0 && third == 0)
        }
        IpAddr::V6(a) => {
            let [first, second, ..] = a.segments();
            first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfec0
                || (first, second) == (0x2001, 0xdb8)
        }
    }
}

/// Addresses that cannot be a source. Only where the frame has a sender: a loopback interface has none.
fn bogus(record: &HostRecord) -> Option<Reason> {
    let key = record.key;
    if record.value == 0 {
        return None;
    }
    let ports = !matches!(key.proto, 6 | 17) || key.sport == key.dport;
    if key.src == key.dst && ports && !is_local(key.src) {
        return Some(Reason::Land);
    }
    let loops = |a: IpAddr| match a {
        IpAddr::V4(a) => a.is_loopback(),
        IpAddr::V6(a) => a.is_loopback(),
    };
    if loops(key.src) || loops(key.dst) {
        return Some(Reason::Loopback);
    }
    if is_group(key.src) {
        return Some(Reason::Group);
    }
    match key.src {
        IpAddr::V4(a) if is_reserved(a) => Some(Reason::Reserved),
        _ => None,
    }
}

/// "This network" but for hosts without an address, and class E.
fn is_reserved(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (first == 0 && !address.is_unspecified()) || first >= 240
}

/// Flags that contradict each other. Those of stealth scans (none, FIN, FIN with PSH and URG) are the port scan's.
fn is_illegal(flags: u8) -> bool {
    flags & (TcpFlags::SYN | TcpFlags::FIN) == TcpFlags::SYN | TcpFlags::FIN
        || flags & (TcpFlags::SYN | TcpFlags::RST) == TcpFlags::SYN | TcpFlags::RST
}

impl Detector for Spoofed {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[
            K::Opened,
            K::Established,
            K::Stray,
            K::ArpRequest,
            K::ArpClaim,
        ]
    }
    fn memory(&self) -> Memory {
        self.counters.memory() + self.senders.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.spoofed.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.counters
            .tick(now, self.settings.off_secs, reports, Counter::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::{run_at, run_with};
    use super::super::live::tests::record;
    use super::super::place::Places;
    use super::*;
    use crate::packet::FlowKey;

    fn from(src: [u8; 4], dst: [u8; 4], ms: u64) -> HostRecord {
        let mut r = record(RecordKind::Opened, 17, 1, 1, 9, ms);
        r.key.src = IpAddr::from(src);
        r.key.dst = IpAddr::from(dst);
        r.value = 5;
        r.detail = 64;
        r
    }

    fn run(role: Role, records: Vec<HostRecord>) -> Vec<Report> {
        let mut spoofed = Spoofed::new(SpoofedSettings::default());
        run_with(&mut spoofed, role, records)
    }

    #[test]
    fn impossible_sources_are_found_by_their_first_packet() {
        for (src, rule) in [
            ([127, 0, 0, 1], "loopback"),
            ([224, 1, 2, 3], "group"),
            ([250, 1, 2, 3], "reserved"),
            ([0, 1, 2, 3], "reserved"),
        ] {
            let packet = from(src, [10, 0, 0, 1], 0);
            assert!(
                run(Role::Dmz, vec![packet; 9]).is_empty(),
                "nobody declared what is ours"
            );
            let mut spoofed = Spoofed::new(SpoofedSettings::default());
            let reports = run_at(&mut spoofed, &Segmented, vec![packet]);
            assert_eq!(reports.len(), 1, "{rule}");
            let text = String::from_utf8_lossy(&reports[0].evidence).into_owned();
            assert!(text.contains(rule), "{text}");
        }
        let mut land = from([10, 0, 0, 1], [10, 0, 0, 1], 0);
        land.key.sport = 9;
        assert_eq!(run(Role::Dmz, vec![land]).len(), 1);
        println!("spoofed: alert at the first packet");
    }

    #[test]
    fn outside_only_many_count_and_inside_many_are_worse() {
        let some = |n: u64| {
            (0..n)
                .map(|i| from([250, 1, 2, 3], [10, 0, 0, 1], i))
                .collect()
        };
        assert!(run(Role::Edge, some(900)).is_empty());
        assert_eq!(run(Role::Edge, some(1_100)).len(), 1);
        let inside = run(Role::Intranet, some(300));
        assert_eq!(inside[0].severity, Severity::Minor);
        assert!(inside.iter().any(|r| r.severity == Severity::Major));
    }

    #[test]
    fn a_capture_of_loopback_dhcp_and_address_detection_are_quiet() {
        let mut own = from([127, 0, 0, 1], [127, 0, 0, 1], 0);
        own.value = 0;
        let dhcp = from([0, 0, 0, 0], [255, 255, 255, 255], 1);
        let mut dad = from([0, 0, 0, 0], [0, 0, 0, 0], 2);
        dad.key.src = "::".parse().expect("address");
        dad.key.dst = "ff02::1:ff00:1".parse().expect("address");
        let mut lo = from([192, 168, 1, 5], [192, 168, 1, 5], 3);
        lo.value = 0;
        assert!(run(Role::Dmz, vec![own, dhcp, dad, lo]).is_empty());
    }

    /// Segments are declared; 10/8 is ours.
    #[derive(Debug)]
    struct Segmented;
    impl Places for Segmented {
        fn place(&self, key: &FlowKey, interface: u16) -> Place {
            Place {
                declared: true,
                ..super::super::place::Undeclared(Role::Intranet).place(key, interface)
            }
        }
        fn has_role(&self, _: IpAddr, _: HostRole) -> bool {
            false
        }
    }

    #[test]
    fn where_segments_are_declared_strangers_do_not_talk_through_them() {
        let mut spoofed = Spoofed::new(SpoofedSettings::default());
        let records = vec![
            from([8, 8, 8, 8], [10, 0, 0, 1], 0),
            from([8, 8, 8, 8], [9, 9, 9, 9], 1),
        ];
        let reports = run_at(&mut spoofed, &Segmented, records);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].number, 1);
    }

    /// Segments are declared at the edge; 10/8 is ours.
    #[derive(Debug)]
    struct Outside;
    impl Places for Outside {
        fn place(&self, key: &FlowKey, interface: u16) -> Place {
            Place {
                role: Role::Edge,
                ..Segmented.place(key, interface)
            }
        }
        fn has_role(&self, _: IpAddr, _: HostRole) -> bool {
            false
        }
    }

    fn connected(src: [u8; 4], mac: u64) -> HostRecord {
        HostRecord {
            kind: RecordKind::Established,
            value: mac,
            key: FlowKey {
                proto: 6,
                ..from(src, [10, 0, 0, 1], 0).key
            },
            ..from(src, [10, 0, 0, 1], 0)
        }
    }

    #[test]
    fn our_own_addresses_do_not_come_from_outside() {
        let visitors = || (0..20).map(|i| connected([8, 8, 8, i], 77));
        let ours = |mac: u64, n: u64| {
            (0..n).map(move |i| HostRecord {
                value: mac,
                ..from([10, 0, 0, 9], [10, 0, 0, 1], 1_000 + i)
            })
        };
        let run = |records: Vec<HostRecord>| {
            let mut spoofed = Spoofed::new(SpoofedSettings::default());
            run_at(&mut spoofed, &Segmented, records)
        };
        let reports = run(visitors().chain(ours(77, 20)).collect());
        assert_eq!(reports.len(), 1);
        assert!(String::from_utf8_lossy(&reports[0].evidence).contains("ours_from_outside"));
        println!("our address from outside: alert at packet {OURS_MIN}");
        // From where they always come; through a router that also leads to others of ours; one retry.
        assert!(run(visitors().chain(ours(5, 20)).collect()).is_empty());
        let inside = [connected([10, 0, 3, 3], 77)];
        assert!(run(visitors().chain(inside).chain(ours(77, 20)).collect()).is_empty());
        assert!(run(visitors().chain(ours(77, 2)).collect()).is_empty());
    }

    #[test]
    fn at_the_edge_sources_that_nobody_routes_count_from_a_thousand_a_minute() {
        let run = |src: [u8; 4], n: u64| {
            let mut spoofed = Spoofed::new(SpoofedSettings::default());
            let records = (0..n).map(|i| from(src, [10, 0, 0, 1], i)).collect();
            run_at(&mut spoofed, &Outside, records)
        };
        for src in [[100, 64, 0, 1], [198, 18, 0, 1], [198, 51, 100, 7]] {
            assert_eq!(run(src, 1_100).len(), 1, "{src:?}");
            assert!(run(src, 900).is_empty(), "{src:?}");
        }
        assert!(run([8, 8, 8, 8], 1_100).is_empty());
        assert!(run([10, 1, 1, 1], 1_100).is_empty());
    }

    #[test]
    fn a_host_that_forges_is_named_and_a_router_is_not() {
        let world = |i: u32| {
            from(
                (0x0b00_0000 + i * 7_919).to_be_bytes(),
                [10, 9, 9, 9],
                u64::from(i),
            )
        };
        let mut arp = from([10, 0, 0, 5], [10, 0, 0, 1], 0);
        arp.kind = RecordKind::ArpRequest;
        let flood: Vec<_> = [arp].into_iter().chain((0..200).map(world)).collect();
        let reports = run(Role::Intranet, flood.clone());
        let text = String::from_utf8_lossy(&reports[0].evidence).into_owned();
        assert!(
            text.contains("many_sources") && text.contains("10.0.0.5"),
            "{text}"
        );
        println!(
            "forging host: alert after {} packets",
            reports[0].number + 1
        );
        let behind: Vec<_> = flood
            .iter()
            .map(|r| HostRecord { detail: 63, ..*r })
            .collect();
        assert!(run(Role::Intranet, behind).is_empty());
        let mut established = from([11, 0, 0, 1], [10, 9, 9, 9], 0);
        established.kind = RecordKind::Established;
        established.key.proto = 6;
        let routed = [arp, established].into_iter().chain((0..200).map(world));
        assert!(run(Role::Intranet, routed.collect()).is_empty());
    }

    #[test]
    fn illegal_flags_need_more_than_a_broken_stack() {
        let stray = |n: u64| {
            (0..n)
                .map(|i| HostRecord {
                    detail: 3,
                    ..record(RecordKind::Stray, 6, 1, 1, 80, i)
                })
                .collect::<Vec<_>>()
        };
        assert!(run(Role::Dmz, stray(10)).is_empty());
        assert_eq!(run(Role::Dmz, stray(30)).len(), 1);
    }

    #[test]
    fn random_senders_take_no_more_memory() {
        let mut spoofed = Spoofed::new(SpoofedSettings {
            senders: 64,
            links: 16,
            ..SpoofedSettings::default()
        });
        let bytes = Detector::memory(&spoofed).bytes;
        let records = (0..50_000u32)
            .map(|i| {
                let mut r = from(
                    (0x0b00_0000 + i * 7_919).to_be_bytes(),
                    [10, 0, 0, 1],
                    u64::from(i),
                );
                r.value = u64::from(i) + 1;
                r.key.vlan[0] = (i % 4_000) as u16;
                r
            })
            .collect();
        run_with(&mut spoofed, Role::Intranet, records);
        assert_eq!(Detector::memory(&spoofed).bytes, bytes);
    }
}
