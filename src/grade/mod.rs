//! From findings to graded alerts: xbits and thresholds settled in packet order, the outcome awaited, incidents made, the
//! level worked out, noise removed and accounted for, actions decided.
//!
//! ```text
//!  findings ─▶ xbits ─▶ threshold ─▶ incidents ─▶ outcome ─▶ level ─▶ exemptions ─▶ budget ─▶ action ─▶ sinks
//!                  └────────┴───────────┴────── noise ledger ──────────┴────────────┘
//! ```
//!
//! [`Grader`] receives the outboxes of all workers, batch by batch, merges them by packet number, and gives finished log
//! lines and [`crate::alert::Alert`]s to a receiver in that order. What it gives does not depend on the number of workers.
//! An alert whose request has not been answered yet waits for the answer, at most [`GradeSettings::outcome_wait_ms`] of
//! packet time, because a refused attack and one that worked are not the same alert; and for ten minutes its victim is
//! watched ([`watch`]).

pub mod action;
mod budget;
mod campaign;
mod efficacy;
mod exceptions;
mod exempt;
mod grader;
mod incident;
pub mod ledger;
pub mod level;
mod pending;
mod profile;
mod repeat;
mod segment;
mod watch;

pub use budget::BudgetSettings;
pub use exceptions::{Exceptions, OnException};
pub use exempt::{Effect, Exemption, Window};
pub use grader::{Event, GradeCounts, Grader, Heads};
pub use level::{Role, Severity};
pub use profile::Profile;
pub use segment::{Asset, Ground, RuleChanges, Segment, Segments, Subnet};

use crate::asset::AssetSettings;

/// Settings of grading.
#[derive(Clone, Debug)]
pub struct GradeSettings {
    /// How long, in milliseconds of packet time, an alert waits for the outcome of what it is about.
    pub outcome_wait_ms: u64,
    /// Segments and assets.
    pub segments: Segments,
    /// The asset map.
    pub map: AssetSettings,
    /// What the operator does not want to hear.
    pub exemptions: Vec<Exemption>,
    /// How much people are sent.
    pub budget: BudgetSettings,
    /// What is done inline.
    pub actions: action::ActionSettings,
}

impl Default for GradeSettings {
    fn default() -> Self {
        Self {
            outcome_wait_ms: 2_000,
            segments: Segments::default(),
            map: AssetSettings::default(),
            exemptions: Vec::new(),
            budget: BudgetSettings::default(),
            actions: action::ActionSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Efficacy, Finding, FindingSource, TextRange, Verdict};
    use crate::packet::{FlowKey, Timestamp};

    /// A finding for tests.
    pub fn finding() -> Finding {
        Finding {
            number: 1,
            order: 0,
            ts: Timestamp::new(1, 0),
            source: FindingSource::Signature(0),
            key: FlowKey::default(),
            interface: 0,
            segment: 0,
            from_client: true,
            flow_id: 1,
            tx: None,
            open: false,
            xbits: Vec::new(),
            datasets: Vec::new(),
            context: None,
            verdict: Verdict::Accept,
            efficacy: Efficacy::Unknown,
            efficacy_reason: "",
            confidence: 0.9,
            severity: Severity::Major,
            silent: false,
            subject: 0,
            head: TextRange::default(),
            tail: TextRange::default(),
            evidence: TextRange::default(),
            state: "",
            incident: 0,
            source_verified: false,
            attacker: None,
        }
    }
}
