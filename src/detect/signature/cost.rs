//! What each signature costs: time spent on its buffers, when somebody asked for it.
//!
//! Off unless asked for, and then only a test of an `Option` for each signature that comes to its buffers. It is the one
//! place of detection that reads a clock; nothing that is said of packets depends on it.
//! Only verification is measured: the multi-pattern scan is shared by all signatures.

use std::time::Instant;

/// What one signature cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCost {
    /// Times its buffers were inspected.
    pub checks: u64,
    /// Times they matched.
    pub matches: u64,
    /// Nanoseconds, all together.
    pub nanos: u64,
    /// Nanoseconds of the longest inspection.
    pub nanos_max: u64,
}

impl RuleCost {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.checks += other.checks;
        self.matches += other.matches;
        self.nanos += other.nanos;
        self.nanos_max = self.nanos_max.max(other.nanos_max);
    }
}

/// The costs of all signatures, by their place in the rule set.
#[derive(Debug, Default)]
pub(super) struct Costs(Option<Vec<RuleCost>>);

impl Costs {
    /// Begins anew for so many signatures, or stops.
    pub fn set(&mut self, signatures: Option<usize>) {
        self.0 = signatures.map(|count| vec![RuleCost::default(); count]);
    }

    /// Whether costs are measured.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// An inspection begins.
    pub fn begin(&self) -> Option<Instant> {
        self.0.is_some().then(Instant::now)
    }

    /// It ends.
    pub fn end(&mut self, begun: Option<Instant>, signature: u32, matched: bool) {
        let (Some(begun), Some(list)) = (begun, &mut self.0) else {
            return;
        };
        if let Some(cost) = list.get_mut(signature as usize) {
            let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            cost.checks += 1;
            cost.matches += u64::from(matched);
            cost.nanos = cost.nanos.saturating_add(nanos);
            cost.nanos_max = cost.nanos_max.max(nanos);
        }
    }

    /// A copy of what was measured.
    pub fn copy(&self) -> Vec<RuleCost> {
        self.0.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_measured_unless_asked_for() {
        let mut costs = Costs::default();
        assert!(costs.begin().is_none());
        costs.end(None, 0, true);
        assert!(costs.copy().is_empty());
        costs.set(Some(2));
        let begun = costs.begin();
        costs.end(begun, 1, true);
        let begun = costs.begin();
        costs.end(begun, 7, true);
        assert_eq!((costs.copy()[0].checks, costs.copy()[1].matches), (0, 1));
    }
}
