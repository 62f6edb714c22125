//! The same actor in several ways or places: one hour's memory of who attacked how and where (detectors.md §4.13).
//!
//! Two families (a scan, then guessing), or two segments (seen outside, then in the DMZ), are a campaign and raise its
//! alerts by one level.
//!
//! Limits: [`ACTORS`] actors; the one not seen for longest gives way.

use std::net::IpAddr;

use crate::alert::Phenomenon;
use crate::detect::anomaly::Family as Kind;
use crate::detect::anomaly::table::{SetTable, Worth};
use crate::packet::Timestamp;
use crate::stats::MemoryBound;

/// Actors kept.
pub const ACTORS: usize = 8_192;
/// How long an actor is remembered, in seconds.
pub const MEMORY_SECS: u64 = 3_600;

/// Ways of attacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Looks for hosts and services.
    Scan,
    /// Guesses passwords.
    Guessing,
    /// Exploits.
    Exploit,
    /// Stops services.
    Denial,
    /// Is steered from outside, or steers.
    Control,
    /// Takes data out.
    Leak,
}

impl Family {
    const ALL: [Self; 6] = [
        Self::Scan,
        Self::Guessing,
        Self::Exploit,
        Self::Denial,
        Self::Control,
        Self::Leak,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Guessing => "guessing",
            Self::Exploit => "exploit",
            Self::Denial => "denial of service",
            Self::Control => "control",
            Self::Leak => "leak",
        }
    }

    /// The family of a detector; `None` for what is no step of an attack (policy, trouble), and for floods, whose
    /// sources are anybody's, as are those of forgeries.
    pub const fn of_detector(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Scan => Some(Self::Scan),
            Kind::Guessing => Some(Self::Guessing),
            Kind::Load => Some(Self::Denial),
            Kind::Control => Some(Self::Control),
            Kind::Leak => Some(Self::Leak),
            Kind::Flood | Kind::Forgery | Kind::Use | Kind::Trouble => None,
        }
    }

    /// The family of a signature by its class.
    pub fn of_class(class: &str, phenomenon: Phenomenon) -> Option<Self> {
        Some(match class {
            "attempted-recon"
            | "network-scan"
            | "successful-recon-limited"
            | "successful-recon-largescale" => Self::Scan,
            "suspicious-login" | "default-login-attempt" | "unsuccessful-user" => Self::Guessing,
            "trojan-activity" | "command-and-control" | "domain-c2" => Self::Control,
            "attempted-dos" | "denial-of-service" | "successful-dos" => Self::Denial,
            _ if phenomenon == Phenomenon::UnauthorizedAccess => Self::Exploit,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Actor {
    families: u8,
    segments: u64,
    last: Timestamp,
}

impl Worth for Actor {
    fn worth(&self) -> u64 {
        self.last.0
    }
}

/// See the module.
#[derive(Debug)]
pub struct Campaigns {
    actors: SetTable<IpAddr, Actor>,
}

impl Default for Campaigns {
    fn default() -> Self {
        Self {
            actors: SetTable::new(ACTORS),
        }
    }
}

impl Campaigns {
    /// What it takes at most.
    pub fn bound(&self) -> MemoryBound {
        self.actors.memory().of("actors")
    }

    /// An actor is seen at YELLOW or above. Says what makes it a campaign; empty: nothing.
    pub fn note(&mut self, actor: IpAddr, family: Family, segment: usize, at: Timestamp) -> String {
        if actor.is_unspecified() {
            return String::new();
        }
        let Some(entry) = self.actors.entry(actor, Actor::default) else {
            return String::new();
        };
        if at.secs_since(entry.last) > MEMORY_SECS {
            *entry = Actor::default();
        }
        entry.last = entry.last.max(at);
        entry.families |= 1 << family as u8;
        entry.segments |= 1 << (segment & 63);
        let mut why = Vec::new();
        if entry.families.count_ones() > 1 {
            let seen = |f: &Family| entry.families & 1 << *f as u8 != 0;
            let names: Vec<&str> = Family::ALL
                .iter()
                .filter(|f| seen(f))
                .map(|f| f.as_str())
                .collect();
            why.push(names.join(", "));
        }
        if entry.segments.count_ones() > 1 {
            why.push(format!("{} segments", entry.segments.count_ones()));
        }
        why.join(" in ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_or_two_places_are_a_campaign_for_an_hour() {
        let mut campaigns = Campaigns::default();
        let actor = IpAddr::from([203, 0, 113, 1]);
        let at = |s: u64| Timestamp::new(10_000 + s, 0);
        assert_eq!(campaigns.note(actor, Family::Scan, 0, at(0)), "");
        assert_eq!(campaigns.note(actor, Family::Scan, 0, at(10)), "");
        assert_eq!(
            campaigns.note(actor, Family::Guessing, 0, at(20)),
            "scan, guessing"
        );
        assert_eq!(
            campaigns.note(actor, Family::Scan, 1, at(30)),
            "scan, guessing in 2 segments"
        );
        assert_eq!(campaigns.note(actor, Family::Exploit, 0, at(9_000)), "");
        assert_eq!(
            campaigns.note(IpAddr::from([0, 0, 0, 0]), Family::Scan, 0, at(1)),
            ""
        );
    }
}
