//! Exemptions (`[[exempt]]`): what the operator knows and does not want to hear again. By rule or detector, host, role,
//! segment, and time of the week. Every use is in the noise ledger.
//!
//! A RED alert is muted by an exemption only when that says so (`red = true`): a host that may scan may still be taken over.

use std::net::IpAddr;

use super::Subnet;
use crate::alert::Level;
use crate::detect::anomaly::place::HostRole;
use crate::packet::Timestamp;

/// What becomes of an exempt alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// It is not said.
    #[default]
    Mute,
    /// It is GREEN.
    Green,
}

/// One exemption. Everything that is given must fit.
#[derive(Clone, Debug, Default)]
pub struct Exemption {
    /// Signature ids; empty: any.
    pub sids: Vec<u32>,
    /// Detectors by name; empty: any.
    pub detectors: Vec<String>,
    /// Attackers; empty: any.
    pub sources: Vec<Subnet>,
    /// Victims; empty: any.
    pub victims: Vec<Subnet>,
    /// Attacker or victim, whichever; empty: any.
    pub hosts: Vec<Subnet>,
    /// The attacker has one of these roles, declared; empty: any.
    pub roles: Vec<HostRole>,
    /// Segments by name; empty: any.
    pub segments: Vec<String>,
    /// Time of the week; `None`: always.
    pub when: Option<Window>,
    /// What becomes of it.
    pub effect: Effect,
    /// Whether it is about RED alerts too.
    pub red: bool,
    /// Why, for the ledger.
    pub reason: String,
}

/// Hours of days of the week, in UTC of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Days, a bit each, Monday first.
    pub days: u8,
    /// First minute of the day, 0..1440.
    pub from_minute: u16,
    /// First minute after it; before `from_minute` it runs over midnight, and belongs to the day on which it begins.
    pub to_minute: u16,
}

impl Window {
    /// Whether a time is in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        let minutes = at.secs() / 60;
        let minute = (minutes % 1_440) as u16;
        // 1 January 1970 was a Thursday.
        let day = ((minutes / 1_440 + 3) % 7) as u8;
        let on = |day: u8| self.days & 1 << day != 0;
        if self.from_minute <= self.to_minute {
            on(day) && (self.from_minute..self.to_minute).contains(&minute)
        } else {
            on(day) && minute >= self.from_minute || on((day + 6) % 7) && minute < self.to_minute
        }
    }
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Signature id.
    pub sid: u32,
    /// Name of the detector; empty for signatures.
    pub detector: &'a str,
    /// Who attacks.
    pub attacker: IpAddr,
    /// Who is attacked.
    pub victim: IpAddr,
    /// Segment.
    pub segment: &'a str,
    /// When.
    pub at: Timestamp,
    /// Level without exemptions.
    pub level: Level,
}

impl Exemption {
    /// Whether it applies. `has_role` says whether the attacker has a declared role.
    pub fn applies(&self, q: &Question<'_>, has_role: impl Fn(HostRole) -> bool) -> bool {
        let within = |nets: &[Subnet], a: IpAddr| nets.iter().any(|net| net.contains(a));
        let named = match (self.sids.is_empty(), self.detectors.is_empty()) {
            (true, true) => true,
            _ if q.detector.is_empty() => self.sids.contains(&q.sid),
            _ => self.detectors.iter().any(|d| d == q.detector),
        };
        named
            && (self.red || q.level < Level::Red)
            && (self.sources.is_empty() || within(&self.sources, q.attacker))
            && (self.victims.is_empty() || within(&self.victims, q.victim))
            && (self.hosts.is_empty()
                || within(&self.hosts, q.attacker)
                || within(&self.hosts, q.victim))
            && (self.segments.is_empty() || self.segments.iter().any(|s| s == q.segment))
            && (self.roles.is_empty() || self.roles.iter().any(|r| has_role(*r)))
            && self.when.is_none_or(|window| window.holds(q.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(detector: &str) -> Question<'_> {
        Question {
            sid: 8,
            detector,
            attacker: IpAddr::from([10, 0, 0, 5]),
            victim: IpAddr::from([10, 0, 0, 9]),
            segment: "lan",
            at: Timestamp::new(0, 0),
            level: Level::Orange,
        }
    }

    #[test]
    fn everything_that_is_given_must_fit() {
        let exemption = Exemption {
            detectors: vec!["port_scan".to_owned()],
            sources: vec![Subnet::parse("10.0.0.5").expect("net")],
            ..Exemption::default()
        };
        let applies = |q: &Question<'_>| exemption.applies(q, |_| false);
        assert!(applies(&question("port_scan")));
        assert!(!applies(&question("brute_force")) && !applies(&question("")));
        let other = Question {
            attacker: IpAddr::from([10, 0, 0, 6]),
            ..question("port_scan")
        };
        assert!(!applies(&other));
        let red = Question {
            level: Level::Red,
            ..question("port_scan")
        };
        assert!(!applies(&red));
    }

    #[test]
    fn a_window_may_run_over_midnight() {
        // Friday 22:00 to 04:00: 2 January 1970 was a Friday.
        let window = Window {
            days: 1 << 4,
            from_minute: 22 * 60,
            to_minute: 4 * 60,
        };
        let at = |day: u64, hour: u64| window.holds(Timestamp::new(day * 86_400 + hour * 3_600, 0));
        assert!(at(1, 23) && at(2, 3));
        assert!(!at(1, 3) && !at(2, 5) && !at(2, 23));
    }
}
