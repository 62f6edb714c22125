//! From what was seen to a level: the base matrix and one integer walk, printed with every alert.
//!
//! ```text
//! base (phenomenon × threat)  G0 Y1 O2 R3
//!   severity of the rule       Informational: GREEN · Minor −1 · Critical +1
//!   outcome                    failed −1 · likely +1 · confirmed → RED
//!   blocked from outside −1 (never for an internal source: blocking does not cure the host)
//!   critical asset +1 · segment's role · campaign of one actor +1 · its duty, as it seems −1, declared: GREEN
//!   caps: confidence < 0.9 at most ORANGE, < 0.6 at most YELLOW; ORANGE unless the outcome is likely or better, or an
//!   inside host shows two independent signs of infection; a success code alone is RED for critical rules only; morals
//!   alone at most ORANGE
//! ```

use crate::alert::{Efficacy, Level, Phenomenon, Threat};

pub use crate::alert::Severity;
pub use crate::detect::anomaly::place::Role;

/// All that the level depends on.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// What happened.
    pub phenomenon: Phenomenon,
    /// What it threatens.
    pub threats: &'a [Threat],
    /// How bad, by its author.
    pub severity: Severity,
    /// Where.
    pub role: Role,
    /// Whether the attacker is one of ours.
    pub internal_source: bool,
    /// Whether the victim is a critical asset.
    pub critical_asset: bool,
    /// Whether it was blocked.
    pub blocked: bool,
    /// Whether it worked.
    pub efficacy: Efficacy,
    /// Why `efficacy` is what it is.
    pub efficacy_reason: &'a str,
    /// The protocol's code behind it, 0 for none.
    pub efficacy_code: u32,
    /// 0..=1.
    pub confidence: f32,
    /// What makes its actor's doings a campaign; empty: nothing.
    pub campaign: &'a str,
    /// A duty that the attacker seems to have and that explains it; empty: none.
    pub duty: &'a str,
    /// A duty that was declared and explains it; empty: none.
    pub declared_duty: &'a str,
    /// Two independent pieces of evidence that an inside host is infected: RED without an outcome.
    pub infected: bool,
}

/// The level, and the walk to it.
pub fn grade(grounds: &Grounds<'_>) -> (Level, String) {
    let mut walk = Walk::new(base(grounds));
    match grounds.severity {
        Severity::Informational => walk.cap(Level::Green, "informational"),
        Severity::Minor => walk.add(-1, "minor severity"),
        Severity::Major => {}
        Severity::Critical => walk.add(1, "critical severity"),
    }
    match grounds.efficacy {
        Efficacy::Unknown => walk.note("outcome not known"),
        Efficacy::Failed => walk.add_outcome(-1, "failed", grounds),
        Efficacy::Reached => walk.add_outcome(0, "reached", grounds),
        Efficacy::Likely => walk.add_outcome(1, "likely worked", grounds),
        Efficacy::Confirmed => {
            let step = 3 - walk.step;
            walk.add_outcome(step.max(0), "worked", grounds);
        }
    }
    if grounds.blocked && !grounds.internal_source {
        walk.add(-1, "blocked");
    }
    if grounds.critical_asset && walk.step > 0 {
        walk.add(1, "critical asset");
    }
    if grounds.role == Role::Intranet
        && grounds.internal_source
        && walk.step == 1
        && grounds.severity != Severity::Minor
    {
        walk.add(1, "from inside");
    }
    if !grounds.campaign.is_empty() && walk.step > 0 {
        walk.add(1, &format!("campaign: {}", grounds.campaign));
    }
    if !grounds.duty.is_empty() && walk.step > 0 {
        walk.add(-1, &format!("seems to be its duty: {}", grounds.duty));
    }
    if !grounds.declared_duty.is_empty() {
        walk.cap(
            Level::Green,
            &format!("its declared duty: {}", grounds.declared_duty),
        );
    }
    if walk.step > 2 && grounds.threats.iter().all(|t| *t == Threat::MoralsCollapse) {
        walk.cap(Level::Orange, "morals only");
    }
    if walk.step > 2
        && grounds.efficacy == Efficacy::Likely
        && grounds.efficacy_reason == super::efficacy::SUCCESS
        && grounds.severity < Severity::Critical
    {
        // Many servers answer everything with 200.
        walk.cap(Level::Orange, "a success code alone");
    }
    if walk.step > 2 && grounds.efficacy < Efficacy::Likely && !grounds.infected {
        walk.cap(Level::Orange, "no sign that it worked");
    }
    if grounds.confidence < 0.6 {
        walk.cap(Level::Yellow, "confidence below 0.6");
    } else if grounds.confidence < 0.9 {
        walk.cap(Level::Orange, "confidence below 0.9");
    }
    walk.finish()
}

/// The matrix of detectors.md §1.4: the worst of the threats counts.
fn base(grounds: &Grounds<'_>) -> (Level, &'static str) {
    use Level::{Green, Orange, Yellow};
    use Phenomenon::{
        DeviceTrouble, OperationAccident, PolicyViolation, SuspiciousAccess, UnauthorizedAccess,
    };
    let one = |threat: &Threat| match (grounds.phenomenon, threat) {
        (UnauthorizedAccess, Threat::BusinessStoppage | Threat::InformationLeak) => Orange,
        (UnauthorizedAccess, Threat::MoralsCollapse) => Yellow,
        (PolicyViolation, Threat::InformationLeak) => Orange,
        (PolicyViolation, _) => Yellow,
        (DeviceTrouble, Threat::BusinessStoppage) => Orange,
        (DeviceTrouble, Threat::InformationLeak) => Yellow,
        (DeviceTrouble, Threat::MoralsCollapse) => Green,
        (OperationAccident, Threat::BusinessStoppage) => Yellow,
        (OperationAccident, Threat::InformationLeak) => Orange,
        (OperationAccident, Threat::MoralsCollapse) => Green,
        (SuspiciousAccess, Threat::BusinessStoppage) => match grounds.role {
            Role::Edge => Green,
            Role::Dmz => Yellow,
            Role::Intranet => Orange,
        },
        (SuspiciousAccess, Threat::InformationLeak) => {
            if grounds.role == Role::Intranet {
                Orange
            } else {
                Yellow
            }
        }
        (SuspiciousAccess, Threat::MoralsCollapse) => Green,
    };
    let level = grounds.threats.iter().map(one).max().unwrap_or(Green);
    (level, grounds.phenomenon.as_str())
}

struct Walk {
    step: i32,
    text: String,
}

impl Walk {
    fn new((level, why): (Level, &'static str)) -> Self {
        Self {
            step: level as i32,
            text: format!("base {} {}", level.as_str(), why.replace('_', " ")),
        }
    }

    fn note(&mut self, what: &str) {
        self.text.push_str("; 0 ");
        self.text.push_str(what);
    }

    fn add(&mut self, by: i32, what: &str) {
        self.step = (self.step + by).clamp(0, 3);
        self.text.push_str(&format!("; {by:+} {what}"));
    }

    fn add_outcome(&mut self, by: i32, what: &str, grounds: &Grounds<'_>) {
        let code = if grounds.efficacy_code == 0 {
            String::new()
        } else {
            format!(" {}", grounds.efficacy_code)
        };
        let reason = if grounds.efficacy_reason.is_empty() {
            String::new()
        } else {
            format!(" ({}{code})", grounds.efficacy_reason)
        };
        if by == 0 {
            self.note(&format!("{what}{reason}"));
        } else {
            self.add(by, &format!("{what}{reason}"));
        }
    }

    fn cap(&mut self, level: Level, what: &str) {
        if self.step > level as i32 {
            self.step = level as i32;
            self.text
                .push_str(&format!("; at most {}: {what}", level.as_str()));
        }
    }

    fn finish(self) -> (Level, String) {
        let level = Level::from_step(self.step);
        (level, format!("{}: {}", level.as_str(), self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grounds() -> Grounds<'static> {
        Grounds {
            phenomenon: Phenomenon::UnauthorizedAccess,
            threats: &[Threat::InformationLeak],
            severity: Severity::Major,
            role: Role::Dmz,
            internal_source: false,
            critical_asset: false,
            blocked: false,
            efficacy: Efficacy::Unknown,
            efficacy_reason: "",
            efficacy_code: 0,
            confidence: 0.95,
            campaign: "",
            duty: "",
            declared_duty: "",
            infected: false,
        }
    }

    #[test]
    fn the_outcome_moves_the_level_and_the_walk_says_so() {
        let failed = Grounds {
            efficacy: Efficacy::Failed,
            efficacy_reason: "HTTP",
            efficacy_code: 404,
            ..grounds()
        };
        let (level, why) = grade(&failed);
        assert_eq!(
            (level, why.as_str()),
            (
                Level::Yellow,
                "YELLOW: base ORANGE unauthorized access; -1 failed (HTTP 404)"
            )
        );
        assert_eq!(grade(&grounds()).0, Level::Orange);
        assert_eq!(
            grade(&Grounds {
                efficacy: Efficacy::Confirmed,
                ..grounds()
            })
            .0,
            Level::Red
        );
    }

    #[test]
    fn red_needs_a_sign_that_it_worked_and_confidence() {
        let critical = Grounds {
            severity: Severity::Critical,
            critical_asset: true,
            ..grounds()
        };
        assert_eq!(grade(&critical).0, Level::Orange);
        let likely = Grounds {
            efficacy: Efficacy::Likely,
            ..critical
        };
        assert_eq!(grade(&likely).0, Level::Red);
        assert_eq!(
            grade(&Grounds {
                confidence: 0.7,
                ..likely
            })
            .0,
            Level::Orange
        );
        assert_eq!(
            grade(&Grounds {
                confidence: 0.5,
                ..likely
            })
            .0,
            Level::Yellow
        );
    }

    #[test]
    fn campaigns_raise_and_duties_lower() {
        let minor = Grounds {
            severity: Severity::Minor,
            ..grounds()
        };
        assert_eq!(grade(&minor).0, Level::Yellow);
        let campaign = Grounds {
            campaign: "scan, guessing",
            ..minor
        };
        assert_eq!(grade(&campaign).0, Level::Orange);
        let duty = Grounds {
            duty: "monitor",
            ..grounds()
        };
        assert_eq!(grade(&duty).0, Level::Yellow);
        let declared = Grounds {
            declared_duty: "scanner",
            ..grounds()
        };
        let (level, why) = grade(&declared);
        assert_eq!(level, Level::Green);
        assert!(
            why.ends_with("at most GREEN: its declared duty: scanner"),
            "{why}"
        );
    }

    #[test]
    fn a_success_code_alone_is_red_only_for_critical_rules() {
        let code = Grounds {
            efficacy: Efficacy::Likely,
            efficacy_reason: crate::grade::efficacy::SUCCESS,
            efficacy_code: 200,
            ..grounds()
        };
        assert_eq!(grade(&code).0, Level::Orange);
        let critical = Grounds {
            severity: Severity::Critical,
            ..code
        };
        assert_eq!(grade(&critical).0, Level::Red);
    }

    #[test]
    fn informational_rules_stay_green_whatever_happens() {
        let loud = Grounds {
            severity: Severity::Informational,
            critical_asset: true,
            ..grounds()
        };
        assert_eq!(grade(&loud).0, Level::Green);
    }
}
