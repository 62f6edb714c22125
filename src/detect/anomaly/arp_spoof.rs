//! ARP spoofing (detectors.md D17): somebody claims the address of another, again and again, to stand in the middle.
//!
//! Who has which address is learned from ARP itself. A claim counts against the hardware address that makes it:
//! - an answer that nobody asked for, which contradicts what is known of the address: 2; when it repeats a takeover: 1;
//! - the owner and the other claim the address in turns: 2 a turn;
//! - the frame came from another hardware address than it says: 1, with one of the others.
//!
//! Alarm at [`ArpSpoofSettings::score_min`] within a minute. Two addresses taken by one is the man in the middle.
//! What is *not* spoofing: an announcement after which the old owner is silent (new card, DHCP, failover); virtual routers
//! (VRRP, HSRP, GLBP); a router that answers for others when asked (proxy ARP); probes.
//! Memory: fixed, one record per address and one per hardware address that contradicts.

use std::net::IpAddr;

use super::ARP_SPOOF;
use super::detector::{Detector, Seen};
use super::engine::{Report, evidence};
use super::lan;
use super::live::{Entry, Fading, Live, Says, Watch};
use super::place::HostRole;
use super::record::{HostRecord, RecordKind};
use super::table::{SetTable, Worth};
use crate::alert::Efficacy;
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ArpSpoofSettings {
    /// Score at which contradicting claims are an attack. Default 4.5: two to four of them.
    pub score_min: f64,
    /// Score below which an incident may close. Default 1.
    pub score_off: f64,
    /// Seconds in which a score halves. Default 60: tools repeat their claims every 1 to 10 seconds.
    pub half_life_secs: u32,
    /// Seconds for which an answer to a question is expected. Default 5.
    pub answer_secs: u32,
    /// Seconds for which an owner counts as alive after its last claim. Default 600.
    pub alive_secs: u32,
    /// Addresses known. Default 16,384.
    pub addresses: usize,
    /// Quiet seconds after which an incident closes. Default 300.
    pub off_secs: u32,
}

impl Default for ArpSpoofSettings {
    fn default() -> Self {
        Self {
            score_min: 4.5,
            score_off: 1.0,
            half_life_secs: 60,
            answer_secs: 5,
            alive_secs: 600,
            addresses: 16_384,
            off_secs: 300,
        }
    }
}

/// Hardware addresses that contradict, at a time.
const SPOOFERS: usize = 1_024;
/// Questions whose answers are awaited.
const QUESTIONS: usize = 4_096;
/// Addresses remembered per spoofer.
const TAKEN: usize = 4;

/// Who has an address.
#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    mac: u64,
    last: Timestamp,
    /// Who claims it besides, and when that began.
    other: u64,
    other_last: Timestamp,
}

impl Worth for Owner {
    fn worth(&self) -> u64 {
        u64::from(self.other != 0) << 60 | self.last.secs()
    }
}

#[derive(Clone, Copy, Debug)]
struct Question(Timestamp);

impl Worth for Question {
    fn worth(&self) -> u64 {
        self.0.0
    }
}

#[derive(Clone, Debug, Default)]
struct Spoofer {
    score: Fading,
    claims: u32,
    turns: u32,
    foreign_frames: u32,
    taken: [Option<IpAddr>; TAKEN],
    /// Its own address, if it has claimed one that was nobody else's.
    began: Timestamp,
    last: Timestamp,
    live: Live,
}

impl Entry for Spoofer {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        (self.score.value() * 16.0) as u64 & 0xffff | self.last.secs() << 16
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct ArpSpoof {
    settings: ArpSpoofSettings,
    owners: SetTable<(IpAddr, u16), Owner>,
    questions: SetTable<(IpAddr, IpAddr), Question>,
    spoofers: Watch<u64, Spoofer>,
}

impl ArpSpoof {
    /// Takes its memory.
    pub fn new(settings: ArpSpoofSettings) -> Self {
        Self {
            owners: SetTable::new(settings.addresses),
            questions: SetTable::new(QUESTIONS),
            spoofers: Watch::new(ARP_SPOOF, SPOOFERS),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        let mac = record.value;
        if mac == 0 || lan::is_virtual(mac) {
            return;
        }
        let announcement = record.detail & 1 != 0;
        let asks = record.kind == RecordKind::ArpRequest;
        if asks {
            let at = Question(record.ts);
            if let Some(question) = self.questions.entry((key.src, key.dst), || at) {
                *question = at;
            }
        }
        let solicited = asks || announcement || self.was_asked(record);
        let weight = self.weigh(record, mac, solicited);
        if weight <= 0.0 {
            return;
        }
        let settings = &self.settings;
        let Some(spoofer) = self.spoofers.entry(mac, Spoofer::default) else {
            return;
        };
        let foreign = record.detail & 2 != 0;
        if spoofer.claims == 0 {
            spoofer.began = record.ts;
        }
        spoofer.last = record.ts;
        spoofer.claims += 1;
        spoofer.turns += u32::from(weight >= 2.0 && solicited);
        spoofer.foreign_frames += u32::from(foreign);
        let weight = if foreign { weight + 1.0 } else { weight };
        let score = spoofer
            .score
            .add(weight, record.ts, settings.half_life_secs);
        if !spoofer.taken.contains(&Some(key.src))
            && let Some(slot) = spoofer.taken.iter_mut().find(|t| t.is_none())
        {
            *slot = Some(key.src);
        }
        if score >= settings.score_off {
            Watch::<u64, Spoofer>::keep(&mut spoofer.live, record.ts);
        }
        if score + 0.01 < settings.score_min {
            return;
        }
        let taken = spoofer.taken.iter().flatten().count();
        let router = spoofer
            .taken
            .iter()
            .flatten()
            .any(|a| seen.places.has_role(*a, HostRole::Router));
        let size = u64::from(spoofer.claims);
        let secs = record.ts.secs_since(spoofer.began);
        let who = FlowKey {
            vlan: key.vlan,
            ..key
        };
        self.spoofers.alarm(
            mac,
            record,
            (who, size),
            reports,
            Spoofer::default,
            |spoofer| Says {
                confidence: 0.95,
                efficacy: if taken >= 2 || router {
                    Efficacy::Likely
                } else {
                    Efficacy::Reached
                },
                reason: if taken >= 2 {
                    "it stands between two hosts"
                } else if router {
                    "it took the router's address"
                } else {
                    ""
                },
                source_verified: false,
                evidence: evidence(|json| {
                    json.str("claimed_by", lan::mac_text(mac));
                    json.array("addresses");
                    for address in spoofer.taken.iter().flatten() {
                        json.text(address.to_string());
                    }
                    json.end_array();
                    json.num("claims", spoofer.claims)
                        .num("turns", spoofer.turns)
                        .num("frames_of_another_sender", spoofer.foreign_frames)
                        .num("secs", secs);
                    json.float("score", (score * 10.0).round() / 10.0)
                        .float("score_min", settings.score_min);
                }),
            },
        );
    }

    /// Whether the receiver of an answer asked for it. A question has one answer.
    fn was_asked(&mut self, record: &HostRecord) -> bool {
        let limit = u64::from(self.settings.answer_secs);
        let never = Question(Timestamp(0));
        self.questions
            .entry((record.key.dst, record.key.src), || never)
            .is_some_and(|question| {
                let asked = std::mem::replace(question, Question(Timestamp(0))).0;
                asked != Timestamp(0) && record.ts.secs_since(asked) <= limit
            })
    }

    /// How much a claim counts against whoever makes it.
    fn weigh(&mut self, record: &HostRecord, mac: u64, solicited: bool) -> f64 {
        let place = (record.key.src, record.key.vlan[0]);
        let now = record.ts;
        let alive = u64::from(self.settings.alive_secs);
        let Some(owner) = self.owners.entry(place, Owner::default) else {
            return 0.0;
        };
        if owner.mac == 0 {
            *owner = Owner {
                mac,
                last: now,
                ..Owner::default()
            };
            return 0.0;
        }
        if owner.mac == mac {
            let contested = owner.other != 0 && now.secs_since(owner.other_last) <= alive;
            // The rightful owner speaks up; the other's next claim is a turn. Not held against the owner.
            if contested || !solicited {
                owner.last = now;
                return 0.0;
            }
            owner.last = now;
            owner.other = 0;
            return 0.0;
        }
        if now.secs_since(owner.last) > alive {
            // The old owner has long been silent: a new card, another lease.
            *owner = Owner {
                mac,
                last: now,
                ..Owner::default()
            };
            return 0.0;
        }
        let first = owner.other != mac;
        let owner_spoke_since = owner.last > owner.other_last;
        owner.other = mac;
        owner.other_last = now;
        match (first, solicited, owner_spoke_since) {
            // One takeover, said aloud: failover, a new card. It owns the address unless the old owner speaks again.
            (true, true, _) => 0.5,
            (true, false, _) => 2.0,
            (false, _, true) => 2.0,
            (false, false, false) => 1.0,
            (false, true, false) => 0.0,
        }
    }
}

impl Detector for ArpSpoof {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::ArpRequest, RecordKind::ArpClaim]
    }
    fn memory(&self) -> Memory {
        self.owners.memory() + self.questions.memory() + self.spoofers.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.arp_spoof.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.spoofers
            .tick(now, self.settings.off_secs, reports, Spoofer::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    const ROUTER: u64 = 0x02_00_00_00_00_01;
    const HOST: u64 = 0x02_00_00_00_00_05;
    const EVIL: u64 = 0x02_00_00_00_00_66;

    /// 10.0.0.`src` claims itself towards 10.0.0.`dst` by `mac`.
    fn says(kind: RecordKind, src: u32, dst: u32, mac: u64, ms: u64) -> HostRecord {
        let mut r = record(kind, 0, src, 0, 0, ms);
        r.key.dst = IpAddr::from((10 << 24 | dst).to_be_bytes());
        r.value = mac;
        r.detail = u32::from(src == dst);
        r
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut spoof = ArpSpoof::new(ArpSpoofSettings::default());
        run_with(&mut spoof, Role::Intranet, records)
    }

    fn normal() -> Vec<HostRecord> {
        vec![
            says(RecordKind::ArpRequest, 5, 1, HOST, 0),
            says(RecordKind::ArpClaim, 1, 5, ROUTER, 1),
        ]
    }

    #[test]
    fn repeated_answers_that_nobody_asked_for_are_found_in_seconds() {
        let mut records = normal();
        for i in 0..20 {
            records.push(says(RecordKind::ArpClaim, 1, 5, EVIL, 1_000 + i * 2_000));
        }
        let reports = run(records);
        assert_eq!(reports.first().map(|r| r.state), Some("open"));
        println!(
            "arp spoof: alert {} ms after the first claim",
            reports[0].number - 1_000
        );
        assert!(reports[0].number <= 11_000);
    }

    #[test]
    fn the_man_in_the_middle_takes_both_ends() {
        let mut records = normal();
        for i in 0..10 {
            records.push(says(RecordKind::ArpClaim, 1, 5, EVIL, 1_000 + i * 1_000));
            records.push(says(RecordKind::ArpClaim, 5, 1, EVIL, 1_001 + i * 1_000));
        }
        let reports = run(records);
        assert_eq!(reports[0].efficacy, Efficacy::Likely);
        println!(
            "man in the middle: alert {} ms after the first claim",
            reports[0].number - 1_000
        );
    }

    #[test]
    fn two_owners_that_answer_in_turns_are_a_conflict() {
        let mut records = Vec::new();
        for i in 0..20u64 {
            let mac = if i % 2 == 0 { ROUTER } else { EVIL };
            records.push(says(RecordKind::ArpRequest, 5, 1, HOST, i * 3_000));
            records.push(says(RecordKind::ArpClaim, 1, 5, mac, i * 3_000 + 1));
        }
        assert!(!run(records).is_empty());
    }

    #[test]
    fn a_failover_an_announcement_and_a_virtual_router_are_quiet() {
        let mut records = normal();
        // The address moves once, is announced three times, and the new card answers from then on.
        for i in 0..3 {
            records.push(says(RecordKind::ArpClaim, 1, 1, EVIL, 5_000 + i * 1_000));
        }
        for i in 0..10 {
            records.push(says(RecordKind::ArpRequest, 5, 1, HOST, 10_000 + i * 5_000));
            records.push(says(RecordKind::ArpClaim, 1, 5, EVIL, 10_001 + i * 5_000));
        }
        assert!(run(records).is_empty());
        let vrrp = (0..20).map(|i| {
            let mac = if i % 2 == 0 { ROUTER } else { 0x0000_5e00_0101 };
            says(RecordKind::ArpClaim, 1, 5, mac, i * 1_000)
        });
        assert!(run(vrrp.collect()).is_empty());
    }

    #[test]
    fn proxy_arp_answers_for_many_when_asked() {
        let mut records = Vec::new();
        for i in 0..100u32 {
            records.push(says(
                RecordKind::ArpRequest,
                5,
                1_000 + i,
                HOST,
                u64::from(i) * 100,
            ));
            records.push(says(
                RecordKind::ArpClaim,
                1_000 + i,
                5,
                ROUTER,
                u64::from(i) * 100 + 1,
            ));
        }
        assert!(run(records).is_empty());
    }

    #[test]
    fn random_claims_take_no_more_memory_and_hide_nobody() {
        let mut spoof = ArpSpoof::new(ArpSpoofSettings {
            addresses: 256,
            ..ArpSpoofSettings::default()
        });
        let bytes = Detector::memory(&spoof).bytes;
        let mut records = normal();
        for i in 0..40_000u32 {
            records.push(says(
                RecordKind::ArpClaim,
                1_000 + i,
                7,
                0x0400_0000_0000 + u64::from(i),
                u64::from(i),
            ));
            if i % 500 == 0 {
                records.extend(normal());
                let last = records.len() - 2;
                for r in &mut records[last..] {
                    r.ts = Timestamp(1_000_000_000_000 + u64::from(i) * 1_000_000);
                }
                records.push(says(RecordKind::ArpClaim, 1, 5, EVIL, u64::from(i)));
            }
        }
        let reports = run_with(&mut spoof, Role::Intranet, records);
        assert_eq!(Detector::memory(&spoof).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([10, 0, 0, 1]))
        );
    }
}
