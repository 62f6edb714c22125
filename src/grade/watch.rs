//! Ten minutes on probation: what the victim of an attack does afterwards tells whether it worked (detectors.md §1.4, E4).
//!
//! - The victim opens a connection to its attacker, whom it never called before: *confirmed*.
//! - The victim, watched for a while and never seen to call the outside, does: *likely*.
//! - The victim scans, beacons or guesses itself: *confirmed*.
//!
//! Only attacks that the attacker's own connection carried are watched: a client whose server attacked it calls that
//! server anyway. What is seen raises an alert that was printed before, by an update.
//!
//! Limits: [`VICTIMS`] victims, [`SUSPECTS`] attacks each; the oldest gives way.

use std::net::IpAddr;

use crate::alert::{Efficacy, Finding};
use crate::detect::anomaly::HostRecord;
use crate::detect::anomaly::table::{SetTable, Worth};
use crate::packet::Timestamp;
use crate::stats::{Memory, MemoryBound};

/// Victims watched.
pub const VICTIMS: usize = 2_048;
/// Attacks on one victim.
pub const SUSPECTS: usize = 4;
/// How long, in seconds.
pub const WATCH_SECS: u64 = 600;

/// An attack that may have worked.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// What was found. Its text is gone.
    pub finding: Finding,
    /// Who attacked.
    pub attacker: IpAddr,
    /// Its incident.
    pub incident: u64,
}

#[derive(Debug, Default)]
struct Probation {
    suspects: Vec<Suspect>,
    last: Timestamp,
}

impl Worth for Probation {
    fn worth(&self) -> u64 {
        self.last.0
    }
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    victims: SetTable<IpAddr, Probation>,
    /// Attacks under watch, roughly: with none a record costs one comparison.
    any_until: Timestamp,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            victims: SetTable::new(VICTIMS),
            any_until: Timestamp(0),
        }
    }
}

impl Watch {
    /// What it takes at most.
    pub fn bound(&self) -> MemoryBound {
        let each = SUSPECTS * (size_of::<Suspect>() + 64);
        let suspects = Memory {
            bytes: (VICTIMS * each) as u64,
            used: (self.victims.iter().count() * each) as u64,
        };
        (self.victims.memory() + suspects).of("watched victims")
    }

    /// Begins to watch the victim of an attack.
    pub fn begin(&mut self, victim: IpAddr, suspect: Suspect) {
        let at = suspect.finding.ts;
        self.any_until = self
            .any_until
            .max(at.plus_nanos(WATCH_SECS * 1_000_000_000));
        let Some(probation) = self.victims.entry(victim, Probation::default) else {
            return;
        };
        probation.last = probation.last.max(at);
        let suspects = &mut probation.suspects;
        let is_over = |s: &Suspect| at.secs_since(s.finding.ts) > WATCH_SECS;
        suspects.retain(|s| !is_over(s) && s.incident != suspect.incident);
        if suspects.len() >= SUSPECTS {
            suspects.remove(0);
        }
        suspects.push(suspect);
    }

    /// Whether a connection that a host opens may say something about an attack on it.
    pub fn is_watching(&self, now: Timestamp) -> bool {
        now <= self.any_until
    }

    /// A host opens a connection. `met`: it had one with that host before. `first_outside`: it is watched for long
    /// enough and never called the outside before. Gives the attacks that this shows to have worked.
    pub fn opens(
        &mut self,
        record: &HostRecord,
        met: bool,
        first_outside: bool,
    ) -> Vec<(Suspect, Efficacy, &'static str)> {
        let (victim, peer) = (record.key.src, record.key.dst);
        // Identification (RFC 1413) and active FTP are what servers open to their clients.
        if record.key.proto != 6 || record.key.dport == 113 || record.key.sport == 20 {
            return Vec::new();
        }
        self.take(victim, record.ts, record.number, |suspect| {
            if suspect.attacker == peer && !met {
                Some((Efficacy::Confirmed, "the victim called its attacker"))
            } else if suspect.attacker != peer && first_outside {
                Some((Efficacy::Likely, "the victim's first call to the outside"))
            } else {
                None
            }
        })
    }

    /// A host is seen to attack: what was done to it before has worked.
    pub fn attacks(
        &mut self,
        host: IpAddr,
        now: Timestamp,
        number: u64,
    ) -> Vec<(Suspect, Efficacy, &'static str)> {
        self.take(host, now, number, |_| {
            Some((Efficacy::Confirmed, "the victim attacks others"))
        })
    }

    fn take(
        &mut self,
        victim: IpAddr,
        now: Timestamp,
        number: u64,
        shows: impl Fn(&Suspect) -> Option<(Efficacy, &'static str)>,
    ) -> Vec<(Suspect, Efficacy, &'static str)> {
        let mut shown = Vec::new();
        if let Some(probation) = self.victims.get_mut(&victim) {
            probation.suspects.retain(|suspect| {
                let since = now.secs_since(suspect.finding.ts);
                let after = number == 0 || number > suspect.finding.number;
                match (since <= WATCH_SECS && after)
                    .then(|| shows(suspect))
                    .flatten()
                {
                    Some((efficacy, why)) => {
                        shown.push((suspect.clone(), efficacy, why));
                        false
                    }
                    None => since <= WATCH_SECS,
                }
            });
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::anomaly::RecordKind;
    use crate::grade::tests::finding;
    use crate::packet::FlowKey;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn watched() -> Watch {
        let mut watch = Watch::default();
        let suspect = Suspect {
            finding: Finding {
                number: 10,
                ts: Timestamp::new(100, 0),
                ..finding()
            },
            attacker: ip(66),
            incident: 1,
        };
        watch.begin(ip(80), suspect);
        watch
    }

    fn call(to: u8, secs: u64) -> HostRecord {
        HostRecord {
            number: secs,
            order: 0,
            ts: Timestamp::new(secs, 0),
            key: FlowKey {
                src: ip(80),
                dst: ip(to),
                sport: 40_000,
                dport: 4_444,
                proto: 6,
                ..FlowKey::default()
            },
            interface: 0,
            kind: RecordKind::Opened,
            detail: 0,
            value: 0,
            flow_id: 1,
        }
    }

    #[test]
    fn a_victim_that_calls_its_attacker_was_taken() {
        let shown = watched().opens(&call(66, 130), false, false);
        assert_eq!(shown[0].1, Efficacy::Confirmed);
        assert!(watched().opens(&call(66, 130), true, false).is_empty());
        assert!(watched().opens(&call(67, 130), false, false).is_empty());
        assert_eq!(
            watched().opens(&call(67, 130), false, true)[0].1,
            Efficacy::Likely
        );
        // After ten minutes, and before the attack, it says nothing.
        assert!(watched().opens(&call(66, 800), false, false).is_empty());
        assert!(watched().opens(&call(66, 9), false, false).is_empty());
    }

    #[test]
    fn it_is_said_once() {
        let mut watch = watched();
        assert_eq!(watch.attacks(ip(80), Timestamp::new(200, 0), 200).len(), 1);
        assert!(
            watch
                .attacks(ip(80), Timestamp::new(201, 0), 201)
                .is_empty()
        );
    }

    #[test]
    fn random_victims_take_no_more_memory() {
        let mut watch = Watch::default();
        let bytes = watch.bound().bytes;
        for i in 0..20_000u32 {
            let suspect = Suspect {
                finding: finding(),
                attacker: ip(1),
                incident: u64::from(i),
            };
            watch.begin(IpAddr::from((i / 9).to_be_bytes()), suspect);
        }
        assert_eq!(watch.bound().bytes, bytes);
        assert!(
            watch
                .victims
                .iter()
                .all(|(_, p)| p.suspects.len() <= SUSPECTS)
        );
    }
}
