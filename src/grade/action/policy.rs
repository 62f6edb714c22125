//! Which action an alert deserves. Pure: facts in, decision and its reason out.
//!
//! What each detector's alerts lead to follows detectors.md §2 ("inline" of D1 to D20). Signatures act by their own rule
//! (`drop`, `reject`); they block nobody beyond their flow.

use std::net::IpAddr;

use super::Action;
use crate::alert::Level;
use crate::detect::anomaly::{DETECTORS, Family};
use crate::grade::{Role, Subnet};

/// Settings of actions (`actions.*`).
#[derive(Clone, Debug)]
pub struct ActionSettings {
    /// Whether actions are carried out (inline). Off: alerts say what would be done. Default off: detectors.md §2 wants
    /// a shadow period of seven days first.
    pub enabled: bool,
    /// Seconds for which a source is dropped the first time; six times as long each further time. Default 600.
    pub drop_secs: u32,
    /// Seconds for which a source is dropped at most. Default 86,400.
    pub drop_secs_max: u32,
    /// Seconds for which a source or service is limited. Default 300.
    pub limit_secs: u32,
    /// Seconds for which a host is contained. Default 900.
    pub contain_secs: u32,
    /// Flows in ten seconds that unknown clients may open towards a flooded service. Default 500.
    pub service_per_ten_secs: u32,
    /// Whether tunnels, P2P and the like are stopped too. Default off: that is the operator's policy.
    pub policy: bool,
    /// Detectors that never lead to an action.
    pub off: Vec<String>,
    /// Addresses that are never restricted.
    pub never: Vec<Subnet>,
}

impl Default for ActionSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            drop_secs: 600,
            drop_secs_max: 86_400,
            limit_secs: 300,
            contain_secs: 900,
            service_per_ten_secs: 500,
            policy: false,
            off: Vec::new(),
            never: Vec::new(),
        }
    }
}

/// The facts.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The detector.
    pub detector: &'a str,
    /// Its level.
    pub level: Level,
    /// Role of the segment.
    pub role: Role,
    /// Who attacks; unspecified when there are many.
    pub attacker: IpAddr,
    /// Who is attacked, and on which port (0: all).
    pub victim: (IpAddr, u16),
    /// Whether the attacker is one of ours.
    pub internal: bool,
    /// Whether the attacker completed a handshake, so that its address is its own.
    pub verified: bool,
    /// How often this attacker was dropped before.
    pub before: u32,
    /// What the attacker is to our network when it may not be cut off (`resolver`, `dhcp` …); empty: nothing.
    pub needed: &'a str,
}

/// What is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why that, or why nothing.
    pub why: String,
}

/// The family of a detector by its name; signatures and notices have none.
fn family(detector: &str) -> Option<Family> {
    DETECTORS
        .iter()
        .find(|info| info.name == detector)
        .map(|info| info.family)
}

/// Decides. The reason is for people.
pub fn decide(settings: &ActionSettings, case: &Case<'_>) -> Decision {
    let nothing = |why: String| Decision {
        action: Action::None,
        why,
    };
    let family = family(case.detector);
    // A flood at the edge that hurts nobody is GREEN, which is no reason to let it through.
    if case.level < Level::Yellow && family != Some(Family::Flood) {
        return nothing("below YELLOW".to_owned());
    }
    if settings.off.iter().any(|d| d == case.detector) {
        return nothing(format!("actions of {} are off", case.detector));
    }
    let never = |address: IpAddr| settings.never.iter().any(|net| net.contains(address));
    if family == Some(Family::Flood) {
        if case.victim.0.is_unspecified() || case.victim.0.is_multicast() {
            return nothing("no single service is flooded".to_owned());
        }
        if never(case.victim.0) {
            return nothing("the service is never restricted".to_owned());
        }
        let action = Action::LimitService {
            address: case.victim.0,
            port: case.victim.1,
            per_ten_secs: settings.service_per_ten_secs,
            secs: settings.limit_secs,
        };
        let why = "sources of a flood can be spoofed: unknown clients are limited, known ones pass";
        return Decision {
            action,
            why: why.to_owned(),
        };
    }
    if case.attacker.is_unspecified() || case.attacker.is_multicast() {
        return nothing("no single source".to_owned());
    }
    if never(case.attacker) {
        return nothing("the source is never restricted".to_owned());
    }
    if !case.needed.is_empty() {
        return nothing(format!("the source serves the network as {}", case.needed));
    }
    if !case.verified {
        return nothing("the source can be spoofed: no handshake seen".to_owned());
    }
    let drop = || {
        let times = 6u32.saturating_pow(case.before.min(6));
        let secs = settings.drop_secs.saturating_mul(times);
        Action::DropSource {
            address: case.attacker,
            secs: secs.min(settings.drop_secs_max),
        }
    };
    let limit = |per_ten_secs| Action::LimitSource {
        address: case.attacker,
        per_ten_secs,
        secs: settings.limit_secs,
        ends_held: false,
    };
    let contain = || Action::Contain {
        host: case.attacker,
        per_ten_secs: 10,
        secs: settings.contain_secs,
    };
    let Some(family) = family else {
        return nothing("no action is defined".to_owned());
    };
    let (action, why) = match family {
        Family::Scan if case.internal => (contain(), "an internal host tries hosts it never met"),
        Family::Scan => (drop(), "the scanner completed a handshake"),
        // 1 in 5 s (detectors.md D7); our own users are slowed down, not locked out.
        Family::Guessing if case.internal => (limit(2), "an internal user is slowed down"),
        Family::Guessing if case.level >= Level::Orange => {
            (drop(), "guessing from outside goes on")
        }
        Family::Guessing => (limit(2), "guessing from outside is slowed down"),
        // Twenty or a third of the service's connections (detectors.md D5): what is held goes back to others.
        Family::Load if case.detector == "slow_http" && case.level >= Level::Orange => {
            let action = Action::LimitSource {
                address: case.attacker,
                per_ten_secs: 20,
                secs: settings.limit_secs,
                ends_held: true,
            };
            (
                action,
                "one client holds what others need: requests that it stalls are ended",
            )
        }
        Family::Load => (limit(20), "one client takes what others need"),
        Family::Control if case.internal && case.level == Level::Red => {
            (contain(), "an infected host is contained")
        }
        Family::Control => return nothing("more evidence is needed".to_owned()),
        Family::Leak | Family::Use if settings.policy && case.internal => {
            (limit(2), "policy: the host is slowed down")
        }
        Family::Leak | Family::Use => {
            return nothing("policy is the operator's (actions.policy)".to_owned());
        }
        Family::Forgery => return nothing("who is forged would be hit, not who forges".to_owned()),
        Family::Trouble => return nothing("trouble is repaired, not blocked".to_owned()),
        Family::Flood => return nothing("no action is defined".to_owned()),
    };
    Decision {
        action,
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(detector: &str) -> Case<'_> {
        Case {
            detector,
            level: Level::Orange,
            role: Role::Dmz,
            attacker: IpAddr::from([203, 0, 113, 9]),
            victim: (IpAddr::from([10, 0, 0, 1]), 80),
            internal: false,
            verified: true,
            before: 0,
            needed: "",
        }
    }

    #[test]
    fn a_source_that_can_be_spoofed_is_never_punished() {
        for detector in [
            "port_scan",
            "brute_force",
            "slow_http",
            "worm_scan",
            "beacon",
            "p2p",
        ] {
            let spoofable = Case {
                verified: false,
                ..case(detector)
            };
            assert_eq!(
                decide(&ActionSettings::default(), &spoofable).action,
                Action::None,
                "{detector}"
            );
        }
        let flood = decide(&ActionSettings::default(), &case("syn_flood")).action;
        assert_eq!(flood.target(), Some((IpAddr::from([10, 0, 0, 1]), 80)));
    }

    #[test]
    fn requests_that_are_held_open_are_ended_when_they_exhaust_a_service() {
        let ends = |detector, level| {
            let case = Case {
                level,
                ..case(detector)
            };
            let action = decide(&ActionSettings::default(), &case).action;
            matches!(
                action,
                Action::LimitSource {
                    ends_held: true,
                    ..
                }
            )
        };
        assert!(ends("slow_http", Level::Orange) && ends("slow_http", Level::Red));
        assert!(!ends("slow_http", Level::Yellow) && !ends("request_flood", Level::Orange));
    }

    #[test]
    fn a_flood_is_limited_at_every_level_and_nothing_else_below_yellow() {
        let green = |detector| {
            let case = Case {
                level: Level::Green,
                ..case(detector)
            };
            decide(&ActionSettings::default(), &case).action
        };
        assert!(matches!(green("syn_flood"), Action::LimitService { .. }));
        assert_eq!(green("port_scan"), Action::None);
    }

    #[test]
    fn outsiders_are_dropped_longer_each_time_and_insiders_contained() {
        let settings = ActionSettings::default();
        let secs = |before| {
            decide(
                &settings,
                &Case {
                    before,
                    ..case("port_scan")
                },
            )
            .action
            .secs()
        };
        assert_eq!([secs(0), secs(1), secs(9)], [600, 3_600, 86_400]);
        let inside = Case {
            internal: true,
            ..case("worm_scan")
        };
        assert!(matches!(
            decide(&settings, &inside).action,
            Action::Contain { .. }
        ));
    }

    #[test]
    fn what_the_network_needs_is_left_alone() {
        let resolver = Case {
            needed: "resolver",
            ..case("port_scan")
        };
        assert_eq!(
            decide(&ActionSettings::default(), &resolver).action,
            Action::None
        );
        let never = ActionSettings {
            never: vec![Subnet::parse("203.0.113.0/24").expect("net")],
            ..ActionSettings::default()
        };
        assert_eq!(decide(&never, &case("port_scan")).action, Action::None);
    }
}
