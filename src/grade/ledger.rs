//! The noise ledger: what was not said, by which stage, and why. Quiet without a ledger would be a silent pass.
//!
//! ```text
//! threshold · xbits · disabled │ exempt │ collapsed │ part of │ over budget        each with counts by rule or detector
//! ```
//!
//! Limits: [`LINES_MAX`] lines; beyond it a stage's total still counts.

use std::collections::BTreeMap;

use crate::alert::Json;

/// Lines kept.
pub const LINES_MAX: usize = 1_024;

/// The stage that removed something, in the order in which findings pass them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// xbits or hostbits of the rule did not hold.
    Xbits,
    /// The rule is off in its segment.
    Disabled,
    /// The rule's threshold, or the segment's.
    Threshold,
    /// An exemption of the operator.
    Exempt,
    /// A role of the host: lowered, not removed.
    Role,
    /// One more of an incident that is open.
    Collapsed,
    /// Explained by another incident.
    PartOf,
    /// Over the budget: counted, not sent.
    Budget,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Xbits,
        Self::Disabled,
        Self::Threshold,
        Self::Exempt,
        Self::Role,
        Self::Collapsed,
        Self::PartOf,
        Self::Budget,
    ];

    /// Its name in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xbits => "xbits",
            Self::Disabled => "disabled",
            Self::Threshold => "threshold",
            Self::Exempt => "exempt",
            Self::Role => "role",
            Self::Collapsed => "collapsed",
            Self::PartOf => "part_of",
            Self::Budget => "budget",
        }
    }

    /// What it does, for people.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Xbits => "conditions on hosts did not hold",
            Self::Disabled => "off in their segment",
            Self::Threshold => "held back by a threshold",
            Self::Exempt => "exempt",
            Self::Role => "lowered: the host's duty",
            Self::Collapsed => "repeats of open incidents",
            Self::PartOf => "explained by another incident",
            Self::Budget => "over budget: in the digest",
        }
    }
}

/// What was removed: generator, signature id, and the reason's own number (an incident, an exemption).
pub type What = (u32, u32, u64);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    lines: BTreeMap<(Stage, What), (u64, String)>,
    totals: [u64; Stage::ALL.len()],
}

impl Ledger {
    /// Notes that a stage removed something. `why` is asked for the first of a line only.
    pub fn note(&mut self, stage: Stage, what: What, why: impl FnOnce() -> String) {
        if let Some(total) = self.totals.get_mut(stage as usize) {
            *total += 1;
        }
        if let Some((count, _)) = self.lines.get_mut(&(stage, what)) {
            *count += 1;
        } else if self.lines.len() < LINES_MAX {
            self.lines.insert((stage, what), (1, why()));
        }
    }

    /// What a stage removed.
    pub fn total(&self, stage: Stage) -> u64 {
        self.totals.get(stage as usize).copied().unwrap_or(0)
    }

    /// Lines of a stage, the largest first: what, how often, why.
    pub fn of(&self, stage: Stage) -> Vec<(What, u64, &str)> {
        let mut lines: Vec<_> = self
            .lines
            .iter()
            .filter(|((s, _), _)| *s == stage)
            .map(|((_, what), (count, why))| (*what, *count, why.as_str()))
            .collect();
        lines.sort_by_key(|(what, count, _)| (std::cmp::Reverse(*count), *what));
        lines
    }

    /// Writes it as a member `noise`: per stage its total and its largest lines.
    pub fn write(&self, json: &mut Json<'_>, lines: usize) {
        json.object("noise");
        for stage in Stage::ALL {
            let total = self.total(stage);
            if total == 0 {
                continue;
            }
            json.object(stage.as_str())
                .num("removed", total)
                .array("lines");
            for ((gid, sid, _), count, why) in self.of(stage).into_iter().take(lines) {
                json.begin().num("gid", gid).num("signature_id", sid);
                json.num("count", count).str("why", why).end();
            }
            json.end_array().end();
        }
        json.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_counted_by_stage_and_reason() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.note(Stage::Threshold, (1, 7, 0), || "limit 1 in 60 s".to_owned());
        }
        ledger.note(Stage::PartOf, (400, 8, 9), || "worm_scan".to_owned());
        assert_eq!(
            (ledger.total(Stage::Threshold), ledger.total(Stage::Budget)),
            (3, 0)
        );
        assert_eq!(
            ledger.of(Stage::Threshold),
            [((1, 7, 0), 3, "limit 1 in 60 s")]
        );
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.begin();
        ledger.write(&mut json, 5);
        json.end();
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid");
        assert_eq!(value["noise"]["part_of"]["lines"][0]["why"], "worm_scan");
    }

    #[test]
    fn many_reasons_take_no_more_memory_and_still_count() {
        let mut ledger = Ledger::default();
        for i in 0..10_000 {
            ledger.note(Stage::Exempt, (1, i, 0), String::new);
        }
        assert_eq!(
            (ledger.lines.len(), ledger.total(Stage::Exempt)),
            (LINES_MAX, 10_000)
        );
    }
}
