//! Incidents: what belongs together is said once.
//!
//! A detector opens, updates and closes an incident per key of its own (a source, a pair, a service). Here they become
//! incidents of people:
//! - **collapse**: the same detector with the same attacker, or a flood of the same victim, or the fifth attacker of one
//!   victim, is one incident with more of it: said again at 10, 100, 1,000;
//! - **re-opening** within [`REOPEN_SECS`] goes on with the same incident;
//! - **part of**: what another open incident explains is not said ([`explains`]): a flood explains half-open scans of
//!   its victim, a worm the guessing of its host;
//! - what shows that it *worked* is always said.
//!
//! Limits: [`INCIDENTS_MAX`] incidents, the closed ones go first, then the oldest; [`PER_HOST`] per host are looked at.

use std::collections::HashMap;
use std::net::IpAddr;

use super::ledger::Stage;
use crate::alert::{Efficacy, Finding};
use crate::detect::anomaly::{DETECTORS, Hides};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Incidents kept.
pub const INCIDENTS_MAX: usize = 8_192;
/// Incidents of a host that are looked at.
const PER_HOST: usize = 16;
/// Seconds in which a closed incident goes on when it comes back (detectors.md §1.3).
pub const REOPEN_SECS: u64 = 600;
/// Attackers of one victim, in the same way, that are incidents of their own.
const APART: u32 = 4;

/// What becomes of what a detector reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Say it, as a state of this incident.
    Say(u64, &'static str),
    /// Do not: this stage of the ledger, because of this incident.
    Hide(Stage, u64),
    /// The end of something that was not said.
    Drop,
}

#[derive(Clone, Debug)]
struct Incident {
    detector: u16,
    /// [`Finding::subject`].
    subject: u64,
    attacker: IpAddr,
    victim: IpAddr,
    since: Timestamp,
    closed: Option<Timestamp>,
    efficacy: Efficacy,
    /// How often it worked after the first time.
    worked: u64,
    merged: u64,
    attackers: u32,
    victims: u32,
}

/// Totals of an incident, for its closing record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Reports merged into it.
    pub merged: u64,
    /// Attackers and victims that came with them, the first included.
    pub attackers: u32,
    /// See `attackers`.
    pub victims: u32,
    /// How long it lasted.
    pub secs: u64,
}

/// How a new report relates to an incident.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It is more of it.
    More,
    /// It is explained by it.
    Part,
    /// Same victim and detector, another attacker: an incident of its own, but counted.
    Apart,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Incidents {
    table: HashMap<u64, Incident, crate::packet::Keyed>,
    /// Detectors' incidents that are part of others: which, and since which stage.
    aliases: HashMap<u64, (u64, Stage), crate::packet::Keyed>,
    by_host: HashMap<IpAddr, Vec<u64>, crate::packet::Keyed>,
}

impl Incidents {
    /// Memory of the table.
    pub fn memory(&self) -> Memory {
        let host = size_of::<IpAddr>() + PER_HOST * 8 + 32;
        let each = size_of::<Incident>() + 24 + 2 * host;
        Memory {
            bytes: (INCIDENTS_MAX * each) as u64,
            used: (self.table.len() * each) as u64,
        }
    }

    /// What becomes of a report.
    pub fn admit(&mut self, finding: &Finding, detector: u16) -> Admit {
        let id = finding.incident;
        match finding.state {
            "open" => self.open(finding, detector),
            "update" => match self.aliases.get(&id).copied() {
                Some((parent, stage)) => self.worked(finding, parent, stage),
                None => self.more(finding),
            },
            _ => {
                if self.aliases.remove(&id).is_some() {
                    return Admit::Drop;
                }
                if let Some(incident) = self.table.get_mut(&id) {
                    incident.closed = Some(finding.ts);
                }
                Admit::Say(id, "close")
            }
        }
    }

    /// Totals of an incident.
    pub fn totals(&self, id: u64, now: Timestamp) -> Totals {
        self.table.get(&id).map_or(Totals::default(), |i| Totals {
            merged: i.merged,
            attackers: i.attackers,
            victims: i.victims,
            secs: now.secs_since(i.since),
        })
    }

    /// More of an incident: detectors say so at 1, 10, 100 times the size, and each time it works; that it worked once
    /// more is said at the 10th, 100th … time.
    fn more(&mut self, finding: &Finding) -> Admit {
        let id = finding.incident;
        let Some(incident) = self.table.get_mut(&id) else {
            return Admit::Say(id, "update");
        };
        let again =
            finding.efficacy == Efficacy::Confirmed && incident.efficacy == Efficacy::Confirmed;
        incident.efficacy = incident.efficacy.max(finding.efficacy);
        if again {
            incident.worked += 1;
            if !is_round(incident.worked) {
                return Admit::Hide(Stage::Collapsed, id);
            }
        }
        Admit::Say(id, "update")
    }

    /// Something that is part of another incident is said all the same once it worked.
    fn worked(&mut self, finding: &Finding, parent: u64, stage: Stage) -> Admit {
        let Some(incident) = self.table.get_mut(&parent) else {
            return Admit::Hide(stage, parent);
        };
        if finding.efficacy >= Efficacy::Likely && finding.efficacy > incident.efficacy {
            incident.efficacy = finding.efficacy;
            if stage == Stage::Collapsed {
                return Admit::Say(parent, "update");
            }
            // Explained, but it worked: an incident of its own from here on.
            self.aliases.remove(&finding.incident);
            self.add(finding, incident_detector(finding));
            return Admit::Say(finding.incident, "open");
        }
        Admit::Hide(stage, parent)
    }

    fn open(&mut self, finding: &Finding, detector: u16) -> Admit {
        let (attacker, victim) = (finding.key.src, finding.key.dst);
        let near = |i: &Incident| {
            i.closed
                .is_none_or(|at| finding.ts.secs_since(at) < REOPEN_SECS)
        };
        let hosts = [attacker, victim];
        let candidates = hosts
            .iter()
            .filter(|a| !a.is_unspecified())
            .filter_map(|a| self.by_host.get(a))
            .flatten();
        let mut found = None;
        for id in candidates {
            let Some(i) = self.table.get(id).filter(|i| near(i)) else {
                continue;
            };
            if i.detector == detector && i.subject != finding.subject {
                continue;
            }
            if i.detector == detector {
                let same_attacker = i.attacker == attacker && !attacker.is_unspecified();
                let same_victim = i.victim == victim && !victim.is_unspecified();
                if same_attacker || same_victim && (is_flood(detector) || i.attackers >= APART) {
                    found = Some((*id, Relation::More));
                    break;
                }
                if same_victim && found.is_none() {
                    found = Some((*id, Relation::Apart));
                }
            } else if i.closed.is_none() && explains(i.detector, i, detector, finding) {
                found = Some((*id, Relation::Part));
            }
        }
        match found {
            Some((parent, Relation::More)) => self.merge(finding, parent),
            Some((parent, Relation::Part)) if finding.efficacy < Efficacy::Likely => {
                self.alias(finding.incident, parent, Stage::PartOf);
                Admit::Hide(Stage::PartOf, parent)
            }
            other => {
                if let Some((first, Relation::Apart)) = other
                    && let Some(i) = self.table.get_mut(&first)
                {
                    i.attackers = i.attackers.saturating_add(1);
                }
                self.add(finding, detector);
                Admit::Say(finding.incident, "open")
            }
        }
    }

    fn merge(&mut self, finding: &Finding, parent: u64) -> Admit {
        let Some(i) = self.table.get_mut(&parent) else {
            return Admit::Say(finding.incident, "open");
        };
        i.merged += 1;
        i.attackers = i
            .attackers
            .saturating_add(u32::from(i.attacker != finding.key.src));
        i.victims = i
            .victims
            .saturating_add(u32::from(i.victim != finding.key.dst));
        let (worked, reopened) = (
            finding.efficacy >= Efficacy::Likely && finding.efficacy > i.efficacy,
            i.closed.take().is_some(),
        );
        i.efficacy = i.efficacy.max(finding.efficacy);
        let merged = i.merged;
        self.alias(finding.incident, parent, Stage::Collapsed);
        if is_round(merged) || worked || reopened {
            Admit::Say(parent, "update")
        } else {
            Admit::Hide(Stage::Collapsed, parent)
        }
    }

    fn alias(&mut self, child: u64, parent: u64, stage: Stage) {
        if self.aliases.len() >= INCIDENTS_MAX {
            let table = &self.table;
            self.aliases
                .retain(|_, (p, _)| table.get(p).is_some_and(|i| i.closed.is_none()));
            if self.aliases.len() >= INCIDENTS_MAX {
                self.aliases.clear();
            }
        }
        if child != parent {
            self.aliases.insert(child, (parent, stage));
        }
    }

    fn add(&mut self, finding: &Finding, detector: u16) {
        if self.table.len() >= INCIDENTS_MAX {
            self.make_room();
        }
        let id = finding.incident;
        let incident = Incident {
            detector,
            subject: finding.subject,
            attacker: finding.key.src,
            victim: finding.key.dst,
            since: finding.ts,
            closed: None,
            efficacy: finding.efficacy,
            worked: 0,
            merged: 0,
            attackers: 1,
            victims: 1,
        };
        self.table.insert(id, incident);
        for host in [finding.key.src, finding.key.dst] {
            if host.is_unspecified() {
                continue;
            }
            let list = self.by_host.entry(host).or_default();
            if list.len() >= PER_HOST {
                list.remove(0);
            }
            list.push(id);
        }
    }

    /// Half of them go: the closed ones first, then the oldest.
    fn make_room(&mut self) {
        let mut order: Vec<(bool, Timestamp, u64)> = self
            .table
            .iter()
            .map(|(id, i)| (i.closed.is_none(), i.since, *id))
            .collect();
        order.sort_unstable();
        for (.., id) in order.iter().take(INCIDENTS_MAX / 2) {
            self.table.remove(id);
        }
        let table = &self.table;
        self.by_host.retain(|_, list| {
            list.retain(|id| table.contains_key(id));
            !list.is_empty()
        });
        self.aliases.retain(|_, (p, _)| table.contains_key(p));
    }
}

/// Numbers at which an incident is said again.
fn is_round(count: u64) -> bool {
    matches!(
        count,
        10 | 100 | 1_000 | 10_000 | 100_000 | 1_000_000 | 10_000_000
    )
}

fn incident_detector(finding: &Finding) -> u16 {
    match finding.source {
        crate::alert::FindingSource::Detector(index) => index,
        crate::alert::FindingSource::Signature(_) => u16::MAX,
    }
}

/// Whether the victim, not the attacker, makes incidents of this detector one.
fn is_flood(detector: u16) -> bool {
    DETECTORS
        .get(usize::from(detector))
        .is_some_and(|info| info.by_victim)
}

/// Whether an open incident explains what another detector reports.
fn explains(parent: u16, incident: &Incident, child: u16, finding: &Finding) -> bool {
    let same_attacker = incident.attacker == finding.key.src && !finding.key.src.is_unspecified();
    let same_victim = incident.victim == finding.key.dst && !finding.key.dst.is_unspecified();
    match DETECTORS
        .get(usize::from(parent))
        .map_or(Hides::Nothing, |info| info.hides)
    {
        Hides::Nothing => false,
        Hides::OfAttacker(what) => same_attacker && what.contains(&child),
        Hides::OfVictim(what) => same_victim && what.contains(&child),
        Hides::OfUnproven(what) => same_victim && !finding.source_verified && what.contains(&child),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::FindingSource;
    use crate::grade::tests::finding;

    fn index(detector: &str) -> u16 {
        DETECTORS
            .iter()
            .position(|d| d.name == detector)
            .and_then(|at| u16::try_from(at).ok())
            .expect("a detector")
    }

    fn report(
        detector: &str,
        id: u64,
        state: &'static str,
        src: u8,
        dst: u8,
        secs: u64,
    ) -> Finding {
        let mut f = finding();
        f.source = FindingSource::Detector(index(detector));
        (f.state, f.incident, f.ts) = (state, id, Timestamp::new(secs, 0));
        f.key.src = IpAddr::from([10, 0, 0, src]);
        f.key.dst = IpAddr::from([192, 0, 2, dst]);
        f
    }

    fn admit(incidents: &mut Incidents, f: &Finding) -> Admit {
        incidents.admit(f, incident_detector(f))
    }

    #[test]
    fn one_attacker_is_one_incident_however_many_victims() {
        let mut incidents = Incidents::default();
        let mut said = Vec::new();
        for i in 0..120u64 {
            let f = report("brute_force", 100 + i, "open", 1, i as u8, i);
            if let Admit::Say(id, state) = admit(&mut incidents, &f) {
                said.push((id, state));
            }
        }
        assert_eq!(said, [(100, "open"), (100, "update"), (100, "update")]);
        assert_eq!(incidents.totals(100, Timestamp::new(120, 0)).victims, 120);
        // The end of a merged one is no news; the end of the incident is.
        let close = report("brute_force", 150, "close", 1, 50, 200);
        assert_eq!(admit(&mut incidents, &close), Admit::Drop);
        let close = report("brute_force", 100, "close", 1, 0, 200);
        assert_eq!(admit(&mut incidents, &close), Admit::Say(100, "close"));
        // Within ten minutes it goes on; later it is a new one.
        let again = report("brute_force", 900, "open", 1, 7, 300);
        assert_eq!(admit(&mut incidents, &again), Admit::Say(100, "update"));
        let end = report("brute_force", 100, "close", 1, 0, 400);
        admit(&mut incidents, &end);
        let later = report("brute_force", 901, "open", 1, 7, 2_000);
        assert_eq!(admit(&mut incidents, &later), Admit::Say(901, "open"));
    }

    #[test]
    fn what_is_about_something_else_is_another_incident() {
        let mut incidents = Incidents::default();
        let mut first = report("policy", 1, "open", 1, 1, 0);
        first.subject = 7;
        assert_eq!(admit(&mut incidents, &first), Admit::Say(1, "open"));
        let mut other = report("policy", 2, "open", 1, 1, 1);
        other.subject = 8;
        assert_eq!(admit(&mut incidents, &other), Admit::Say(2, "open"));
        let mut more = report("policy", 3, "open", 1, 2, 2);
        more.subject = 7;
        assert_eq!(
            admit(&mut incidents, &more),
            Admit::Hide(Stage::Collapsed, 1)
        );
    }

    #[test]
    fn what_worked_is_said_even_when_it_is_part_of_something() {
        let mut incidents = Incidents::default();
        admit(&mut incidents, &report("brute_force", 1, "open", 1, 1, 0));
        let mut second = report("brute_force", 2, "open", 1, 2, 1);
        assert_eq!(
            admit(&mut incidents, &second),
            Admit::Hide(Stage::Collapsed, 1)
        );
        (second.state, second.efficacy) = ("update", Efficacy::Confirmed);
        assert_eq!(admit(&mut incidents, &second), Admit::Say(1, "update"));
    }

    #[test]
    fn that_it_worked_is_said_once_and_then_at_ten_and_a_hundred() {
        let mut incidents = Incidents::default();
        admit(&mut incidents, &report("brute_force", 1, "open", 1, 1, 0));
        let said = (0..150u64)
            .filter(|i| {
                let mut f = report("brute_force", 1, "update", 1, 1, *i);
                f.efficacy = Efficacy::Confirmed;
                matches!(admit(&mut incidents, &f), Admit::Say(1, "update"))
            })
            .count();
        assert_eq!(said, 3);
    }

    #[test]
    fn a_flood_explains_scans_of_its_victim_that_show_no_handshake() {
        let mut incidents = Incidents::default();
        let flood = report("syn_flood", 1, "open", 0, 80, 0);
        assert_eq!(admit(&mut incidents, &flood), Admit::Say(1, "open"));
        let scan = report("port_scan", 2, "open", 9, 80, 1);
        assert_eq!(admit(&mut incidents, &scan), Admit::Hide(Stage::PartOf, 1));
        let real = Finding {
            source_verified: true,
            ..report("port_scan", 3, "open", 8, 80, 1)
        };
        assert_eq!(admit(&mut incidents, &real), Admit::Say(3, "open"));
        let other = report("port_scan", 4, "open", 7, 81, 1);
        assert_eq!(admit(&mut incidents, &other), Admit::Say(4, "open"));
    }

    #[test]
    fn many_attackers_of_one_victim_become_one_incident() {
        let mut incidents = Incidents::default();
        let said = (0..200u64)
            .filter(|i| {
                let f = report("port_scan", 1 + i, "open", *i as u8, 80, *i);
                matches!(admit(&mut incidents, &f), Admit::Say(..))
            })
            .count();
        assert!((4..=9).contains(&said), "{said}");
    }

    #[test]
    fn endless_incidents_take_no_more_memory() {
        let mut incidents = Incidents::default();
        for i in 0..50_000u64 {
            let mut f = report("port_scan", i, "open", 0, 0, i);
            f.key.src = IpAddr::from((i as u32).to_be_bytes());
            f.key.dst = IpAddr::from((!i as u32).to_be_bytes());
            admit(&mut incidents, &f);
        }
        assert!(incidents.table.len() <= INCIDENTS_MAX);
        assert!(incidents.by_host.len() <= 2 * INCIDENTS_MAX);
    }
}
