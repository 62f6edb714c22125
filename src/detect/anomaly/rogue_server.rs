//! Servers that nobody put there (detectors.md D18): a second DHCP server with another router, a router advertisement of
//! another network or a flood of them, answers to one DNS question from two mouths.
//!
//! Per link (interface and VLAN) the servers seen first are known. A DHCP server is a stranger when it hands out another
//! router than a known one; two that hand out the same are a failover pair. Where servers are declared (role `dhcp`,
//! `router`), every other one is a stranger at once. A router is a stranger when it wants to be the default router and
//! announces other prefixes than a known one. DNS: a second answer with other addresses although nobody asked again,
//! seen twice within ten minutes.
//! What is *not* rogue: failover pairs; a server that changes its configuration; routers with one prefix (HSRP, VRRP);
//! hubs that announce a network of their own but no default route (Thread, Matter); repeated queries.
//! Memory: fixed, a few servers per link and one record per stranger.

use std::net::{IpAddr, Ipv4Addr};

use super::ROGUE_SERVER;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::lan;
use super::live::{Entry, Live, Says, Watch};
use super::place::HostRole;
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct RogueServerSettings {
    /// Answers of a strange DHCP server. Default 1: one lease is enough to be led astray.
    pub offers_min: u32,
    /// Distinct pairs of router and prefix in ten seconds that are a flood of advertisements. Default 20: hosts accept 16
    /// prefixes (RFC 6104 lists the accidents).
    pub adverts_min: u32,
    /// Advertisements of one strange router. Default 2: routers repeat themselves, floods do not.
    pub routers_min: u32,
    /// Second, differing answers to one question within ten minutes. Default 2.
    pub answers_min: u32,
    /// Strangers watched. Default 1,024.
    pub strangers: usize,
    /// Quiet seconds after which an incident closes. Default 3,600: leases are renewed that often.
    pub off_secs: u32,
}

impl Default for RogueServerSettings {
    fn default() -> Self {
        Self {
            offers_min: 1,
            adverts_min: 20,
            routers_min: 2,
            answers_min: 2,
            strangers: 1_024,
            off_secs: 3_600,
        }
    }
}

/// Links known.
const LINKS: usize = 1_024;
/// Servers known per link and service.
const KNOWN: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Service {
    Dhcp,
    Router,
    RouterFlood,
    Dns,
}

impl Service {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Router => "router_advertisement",
            Self::RouterFlood => "router_advertisement_flood",
            Self::Dns => "dns",
        }
    }
}

/// A server, and what it hands out.
#[derive(Clone, Copy, Debug)]
struct Known {
    server: IpAddr,
    offer: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    known: [Option<Known>; KNOWN],
    pairs: Bitmap256,
    since: Timestamp,
    last: Timestamp,
}

impl Worth for Link {
    fn worth(&self) -> u64 {
        self.last.secs()
    }
}

#[derive(Clone, Debug, Default)]
struct Stranger {
    seen: u32,
    since: Timestamp,
    mac: u64,
    offer: u32,
    live: Live,
}

impl Entry for Stranger {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.since.secs()
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct RogueServer {
    settings: RogueServerSettings,
    links: SetTable<(Service, u16, u16), Link>,
    strangers: Watch<(Service, u16, IpAddr), Stranger>,
}

impl RogueServer {
    /// Takes its memory.
    pub fn new(settings: RogueServerSettings) -> Self {
        Self {
            links: SetTable::new(LINKS),
            strangers: Watch::new(ROGUE_SERVER, settings.strangers),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        match record.kind {
            // An offer or an acknowledgement.
            RecordKind::Dhcp if matches!(record.detail, 2 | 5) => {
                let named = Ipv4Addr::from((record.value >> 32) as u32);
                let server = if named.is_unspecified() {
                    record.key.src
                } else {
                    IpAddr::V4(named)
                };
                let offer = record.value as u32;
                if self.is_strange(Service::Dhcp, record, (server, offer), seen) {
                    self.meet(Service::Dhcp, record, (server, offer), reports);
                }
            }
            RecordKind::RouterAdvert if record.detail & 1 != 0 => {
                let (router, offer) = (record.key.src, record.detail >> 1);
                if self.floods(record, offer) {
                    self.meet(Service::RouterFlood, record, (router, offer), reports);
                } else if self.is_strange(Service::Router, record, (router, offer), seen) {
                    self.meet(Service::Router, record, (router, offer), reports);
                }
            }
            RecordKind::DnsTrouble if record.detail == 2 => {
                let server = record.key.dst;
                self.meet(Service::Dns, record, (server, 0), reports);
            }
            _ => {}
        }
    }

    /// Whether a server is none of those known on its link; it becomes known when it hands out what they do.
    fn is_strange(
        &mut self,
        service: Service,
        record: &HostRecord,
        (server, offer): (IpAddr, u32),
        seen: &Seen<'_>,
    ) -> bool {
        let role = if service == Service::Dhcp {
            HostRole::Dhcp
        } else {
            HostRole::Router
        };
        if seen.places.has_role(server, role) {
            return false;
        }
        let place = (service, record.interface, record.key.vlan[0]);
        let Some(link) = self.links.entry(place, Link::default) else {
            return false;
        };
        link.last = record.ts;
        if let Some(known) = link.known.iter_mut().flatten().find(|k| k.server == server) {
            known.offer = offer;
            return false;
        }
        // A known or declared server hands out something else.
        let differs = |k: &Known| k.offer != 0 && offer != 0 && k.offer != offer;
        if link.known.iter().flatten().any(differs) || seen.places.declares(role) {
            return true;
        }
        if let Some(slot) = link.known.iter_mut().find(|k| k.is_none()) {
            *slot = Some(Known { server, offer });
        }
        false
    }

    /// Whether so many routers and prefixes appear at once that it is a flood.
    fn floods(&mut self, record: &HostRecord, offer: u32) -> bool {
        let place = (Service::RouterFlood, record.interface, record.key.vlan[0]);
        let Some(link) = self.links.entry(place, Link::default) else {
            return false;
        };
        link.last = record.ts;
        if record.ts.is_outside(link.since, 10) {
            link.since = record.ts;
            link.pairs = Bitmap256::default();
        }
        let pair =
            endpoint_hash(record.key.src, 0) ^ u64::from(offer).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        link.pairs.insert(pair >> 7);
        link.pairs.estimate() >= self.settings.adverts_min
    }

    fn meet(
        &mut self,
        service: Service,
        record: &HostRecord,
        (server, offer): (IpAddr, u32),
        reports: &mut Vec<Report>,
    ) {
        let vlan = record.key.vlan[0];
        // A flood has invented senders: one incident for the link.
        let who = if service == Service::RouterFlood {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            server
        };
        let key = (service, vlan, who);
        let Some(stranger) = self.strangers.entry(key, Stranger::default) else {
            return;
        };
        if stranger.seen == 0 || record.ts.is_outside(stranger.since, 600) {
            stranger.since = record.ts;
            stranger.seen = 0;
        }
        stranger.seen += 1;
        stranger.offer = offer;
        if service != Service::Dhcp {
            stranger.mac = record.value;
        }
        let settings = &self.settings;
        let needed = match service {
            Service::Dhcp => settings.offers_min,
            Service::Dns => settings.answers_min,
            Service::Router => settings.routers_min,
            Service::RouterFlood => 1,
        };
        if stranger.seen < needed {
            return;
        }
        let size = u64::from(stranger.seen);
        // A second router with a network of its own may be meant; the rest never is.
        let severity = if service == Service::Router {
            Severity::Minor
        } else {
            Severity::Major
        };
        let flow = FlowKey {
            src: server,
            dst: if service == Service::Dns {
                record.key.src
            } else {
                record.key.dst
            },
            ..record.key
        };
        let known = self
            .links
            .entry((service, record.interface, vlan), Link::default)
            .map(|link| link.known)
            .unwrap_or_default();
        let pairs = self
            .links
            .entry(
                (Service::RouterFlood, record.interface, vlan),
                Link::default,
            )
            .map_or(0, |link| link.pairs.estimate());
        self.strangers.alarm_as(
            severity,
            key,
            record,
            (flow, size),
            reports,
            Stranger::default,
            |stranger| Says {
                confidence: if service == Service::Router { 0.7 } else { 0.9 },
                efficacy: Efficacy::Reached,
                reason: "clients hear it",
                source_verified: false,
                evidence: evidence(|json| {
                    json.str("service", service.as_str())
                        .str("server", server.to_string())
                        .num("seen", stranger.seen)
                        .num("seen_min", needed);
                    match service {
                        Service::Dhcp => {
                            json.str("hands_out_router", Ipv4Addr::from(offer).to_string());
                            json.array("known");
                            for k in known.iter().flatten() {
                                json.text(format!(
                                    "{} with router {}",
                                    k.server,
                                    Ipv4Addr::from(k.offer)
                                ));
                            }
                            json.end_array();
                        }
                        Service::Router | Service::RouterFlood => {
                            json.str("hardware_address", lan::mac_text(stranger.mac))
                                .num("routers_and_prefixes_in_10s", pairs)
                                .num("routers_and_prefixes_min", settings.adverts_min);
                        }
                        Service::Dns => {
                            json.str("what", "a second answer with other addresses");
                        }
                    }
                }),
            },
        );
    }
}

impl Detector for RogueServer {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[K::Dhcp, K::RouterAdvert, K::DnsTrouble]
    }
    fn memory(&self) -> Memory {
        self.links.memory() + self.strangers.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.rogue_server.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.strangers
            .tick(now, self.settings.off_secs, reports, Stranger::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::{Declared, run_at, run_with};
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn offer(server: u8, router: u8, ms: u64) -> HostRecord {
        let ip = |last: u8| u64::from(u32::from(Ipv4Addr::new(10, 0, 0, last)));
        HostRecord {
            detail: 2,
            value: ip(server) << 32 | ip(router),
            ..record(RecordKind::Dhcp, 17, u32::from(server), 1, 68, ms)
        }
    }

    fn advert(router: u32, prefix: u32, default: bool, ms: u64) -> HostRecord {
        HostRecord {
            detail: prefix << 1 | u32::from(default),
            value: 7,
            ..record(RecordKind::RouterAdvert, 58, router, 1, 0, ms)
        }
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut rogue = RogueServer::new(RogueServerSettings::default());
        run_with(&mut rogue, Role::Intranet, records)
    }

    #[test]
    fn a_second_server_with_another_router_is_found_by_its_first_offer() {
        let reports = run(vec![
            offer(1, 1, 0),
            offer(1, 1, 10_000),
            offer(9, 9, 20_000),
        ]);
        assert_eq!(reports.len(), 1);
        assert_eq!((reports[0].number, reports[0].state), (20_000, "open"));
        println!("rogue DHCP server: alert at its first offer");
    }

    #[test]
    fn a_failover_pair_and_a_changed_configuration_are_quiet() {
        assert!(run(vec![offer(1, 1, 0), offer(2, 1, 10), offer(1, 5, 20)]).is_empty());
    }

    #[test]
    fn where_servers_are_declared_every_other_one_is_a_stranger() {
        let mut rogue = RogueServer::new(RogueServerSettings::default());
        let declared = Declared {
            role: Role::Intranet,
            host: "10.0.0.1".parse().expect("address"),
            is: HostRole::Dhcp,
        };
        let reports = run_at(&mut rogue, &declared, vec![offer(9, 1, 0), offer(1, 1, 1)]);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].key.src, IpAddr::from([10, 0, 0, 9]));
    }

    #[test]
    fn advertisements_of_invented_routers_are_one_flood() {
        let flood: Vec<_> = (0..300)
            .map(|i| advert(i, i * 77 + 1, true, u64::from(i)))
            .collect();
        let reports = run(flood);
        let floods: Vec<_> = reports
            .iter()
            .filter(|r| String::from_utf8_lossy(&r.evidence).contains("flood"))
            .collect();
        assert_eq!(floods.iter().filter(|r| r.state == "open").count(), 1);
        println!(
            "router advertisement flood: alert after {} ms",
            floods[0].number
        );
    }

    #[test]
    fn two_routers_with_one_prefix_and_a_hub_without_default_route_are_quiet() {
        let mut records = Vec::new();
        for i in 0..50 {
            records.push(advert(1, 5, true, i * 10_000));
            records.push(advert(2, 5, true, i * 10_000 + 1));
            records.push(advert(3, 9, false, i * 10_000 + 2));
        }
        assert!(run(records).is_empty());
        assert!(run(vec![advert(1, 5, true, 0), advert(2, 6, true, 1)]).is_empty());
        let second = run(vec![
            advert(1, 5, true, 0),
            advert(2, 6, true, 1),
            advert(2, 6, true, 200_000),
        ]);
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].severity, Severity::Minor);
    }

    #[test]
    fn one_odd_answer_is_an_accident_two_are_a_second_mouth() {
        let odd = |ms| HostRecord {
            detail: 2,
            ..record(RecordKind::DnsTrouble, 17, 1, 1, 53, ms)
        };
        assert!(run(vec![odd(0)]).is_empty());
        assert!(run(vec![odd(0), odd(700_000)]).is_empty());
        assert_eq!(run(vec![odd(0), odd(60_000)]).len(), 1);
    }

    #[test]
    fn random_servers_take_no_more_memory() {
        let mut rogue = RogueServer::new(RogueServerSettings {
            strangers: 64,
            ..RogueServerSettings::default()
        });
        let bytes = Detector::memory(&rogue).bytes;
        let records = (0..50_000u32)
            .map(|i| {
                let mut r = offer((i % 250) as u8, (i % 249) as u8, u64::from(i));
                r.key.vlan[0] = (i % 4_000) as u16;
                r
            })
            .collect();
        run_with(&mut rogue, Role::Intranet, records);
        assert_eq!(Detector::memory(&rogue).bytes, bytes);
    }
}
