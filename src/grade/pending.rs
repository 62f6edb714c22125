//! Alerts that wait for their outcome, found by flow when it shows.
//!
//! Bounded by [`WAITING_MAX`]; what an outcome costs is the number of alerts of its own transaction (or flow, where it says
//! something of the flow), however many wait.

use std::collections::{BTreeMap, HashMap};

use crate::alert::{Efficacy, Finding, OutcomeNote};
use crate::packet::Timestamp;

/// Alerts that wait at a time.
pub const WAITING_MAX: usize = 4_096;

/// An alert that waits, with its parts of the log line.
#[derive(Debug)]
pub struct Waiting {
    /// What was found.
    pub finding: Finding,
    /// Members before `"alert"`.
    pub head: Vec<u8>,
    /// Members after it.
    pub tail: Vec<u8>,
    /// The protocol's code behind the outcome, 0 for none.
    pub code: u32,
}

/// Alerts in the order of their coming.
#[derive(Debug, Default)]
pub struct Pending {
    waiting: BTreeMap<u64, Waiting>,
    by_flow: HashMap<u64, ByTx, crate::packet::Keyed>,
    /// Alerts whose outcome has shown.
    ready: Vec<u64>,
    next: u64,
}

/// Alerts of one flow, by transaction.
type ByTx = BTreeMap<Option<u64>, Vec<u64>>;

impl Pending {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds one; gives the oldest when there are too many.
    pub fn add(&mut self, waiting: Waiting) -> Option<Waiting> {
        let full = self.waiting.len() >= WAITING_MAX;
        let oldest = full.then(|| self.waiting.keys().next().copied()).flatten();
        let oldest = oldest.and_then(|at| self.take(at));
        let at = self.next;
        self.next += 1;
        let (flow, tx) = (waiting.finding.flow_id, waiting.finding.tx);
        let by_tx = self.by_flow.entry(flow).or_default();
        by_tx.entry(tx).or_default().push(at);
        self.waiting.insert(at, waiting);
        oldest
    }

    /// An outcome showed.
    pub fn outcome(&mut self, note: &OutcomeNote) {
        let Some(by_tx) = self.by_flow.get(&note.flow_id) else {
            return;
        };
        let lists = match note.tx {
            Some(_) => by_tx.range(note.tx..=note.tx),
            None => by_tx.range(..),
        };
        for at in lists.flat_map(|(_, list)| list) {
            let Some(waiting) = self.waiting.get_mut(at) else {
                continue;
            };
            let finding = &mut waiting.finding;
            if !finding.open {
                continue;
            }
            finding.open = false;
            self.ready.push(*at);
            if note.efficacy > finding.efficacy {
                finding.efficacy = note.efficacy;
                finding.efficacy_reason = note.reason;
                waiting.code = note.code;
            }
        }
    }

    /// What a victim did shows that an attack worked: true when its alert was still waiting.
    pub fn confirm(&mut self, of: &Finding, efficacy: Efficacy, reason: &'static str) -> bool {
        let place = (of.number, of.order);
        let by_tx = self.by_flow.get(&of.flow_id);
        let list = by_tx.and_then(|by_tx| by_tx.get(&of.tx));
        for at in list.into_iter().flatten() {
            let Some(waiting) = self.waiting.get_mut(at) else {
                continue;
            };
            let finding = &mut waiting.finding;
            if (finding.number, finding.order) != place {
                continue;
            }
            (finding.efficacy, finding.efficacy_reason) = (efficacy, reason);
            finding.open = false;
            self.ready.push(*at);
            return true;
        }
        false
    }

    /// Takes out what is to be said now: those whose outcome showed, and those that waited since before `until` (all
    /// when `None`), in the order of their coming.
    pub fn due(&mut self, until: Option<Timestamp>) -> Vec<Waiting> {
        let mut due = std::mem::take(&mut self.ready);
        let is_due = |w: &Waiting| until.is_none_or(|until| w.finding.ts <= until);
        let old = self.waiting.iter().take_while(|(_, w)| is_due(w));
        due.extend(old.map(|(at, _)| *at));
        due.sort_unstable();
        due.dedup();
        due.into_iter().filter_map(|at| self.take(at)).collect()
    }

    /// Takes out those that `wanted` picks, in the order of their coming.
    pub fn take_if(&mut self, wanted: impl Fn(&Finding) -> bool) -> Vec<Waiting> {
        let picked: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, w)| wanted(&w.finding))
            .map(|(at, _)| *at)
            .collect();
        picked.into_iter().filter_map(|at| self.take(at)).collect()
    }

    fn take(&mut self, at: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&at)?;
        let (flow, tx) = (waiting.finding.flow_id, waiting.finding.tx);
        if let Some(by_tx) = self.by_flow.get_mut(&flow) {
            if let Some(list) = by_tx.get_mut(&tx) {
                // In the order of their coming.
                if let Ok(place) = list.binary_search(&at) {
                    list.remove(place);
                }
                if list.is_empty() {
                    by_tx.remove(&tx);
                }
            }
            if by_tx.is_empty() {
                self.by_flow.remove(&flow);
            }
        }
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::tests::finding;

    fn waiting(flow_id: u64, tx: u64, secs: u64) -> Waiting {
        let finding = Finding {
            flow_id,
            tx: Some(tx),
            open: true,
            ts: Timestamp::new(secs, 0),
            ..finding()
        };
        Waiting {
            finding,
            head: Vec::new(),
            tail: Vec::new(),
            code: 0,
        }
    }

    fn note(flow_id: u64, tx: Option<u64>) -> OutcomeNote {
        OutcomeNote {
            number: 1,
            flow_id,
            tx,
            efficacy: Efficacy::Failed,
            reason: "answered with refusal",
            code: 404,
        }
    }

    #[test]
    fn an_outcome_finds_the_alerts_of_its_transaction_or_flow() {
        let mut pending = Pending::default();
        for (flow, tx) in [(1, 0), (1, 1), (2, 0), (3, 0)] {
            assert!(pending.add(waiting(flow, tx, flow)).is_none());
        }
        pending.outcome(&note(1, Some(1)));
        pending.outcome(&note(2, None));
        let before = Some(Timestamp::new(0, 0));
        let due = pending.due(before);
        let said: Vec<_> = due.iter().map(|w| (w.finding.flow_id, w.code)).collect();
        assert_eq!(said, [(1, 404), (2, 404)]);
        assert_eq!(pending.due(Some(Timestamp::new(1, 0))).len(), 1);
        assert_eq!((pending.due(None).len(), pending.len()), (1, 0));
    }

    #[test]
    fn when_too_many_wait_the_oldest_is_said() {
        let mut pending = Pending::default();
        let hurried = (0..WAITING_MAX as u64 + 10)
            .filter_map(|i| pending.add(waiting(i, 0, i)))
            .map(|w| w.finding.flow_id);
        assert!(hurried.eq(0..10));
        assert_eq!(pending.by_flow.len(), WAITING_MAX);
    }
}
