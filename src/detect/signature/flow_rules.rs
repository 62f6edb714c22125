//! What the rules remember of a flow: flowbits, flowints, what was already inspected, pass or drop.
//!
//! Attached to each flow by the pipeline. Costs no heap until a rule writes to it. Bounded: [`FlowRules::BITS_MAX`] bits
//! and [`FlowRules::INTS_MAX`] integers; beyond them a change is refused and counted.

use super::flow_vars::FlowVars;
use super::succession::Succession;
use crate::packet::Direction;

/// What a rule decided for the whole flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowAction {
    /// Nothing.
    #[default]
    None,
    /// Let it through without inspection.
    Pass,
    /// Drop what follows.
    Drop,
}

/// The rules' memory of a flow. First decision wins: a flow that is passed is not dropped later.
#[derive(Clone, Debug, Default)]
pub struct FlowRules {
    bits: Vec<u32>,
    ints: Vec<(u32, u32)>,
    /// Captures and entropies; boxed, because few flows have any.
    vars: Option<Box<FlowVars>>,
    /// Whether what records show of it changed since it was last written out.
    changed: bool,
    /// Decision for the flow.
    pub action: FlowAction,
    /// Per direction: whether signatures on addresses alone were tested.
    pub(super) addresses_done: [bool; 2],
    /// Generation of the engine that wrote this.
    pub(super) generation: u32,
    /// Client's port and address, when the first packet was inspected.
    client: Option<(std::net::IpAddr, u16)>,
    /// Changes refused because of the bounds.
    pub refused: u32,
}

impl FlowRules {
    /// Flowbits a flow keeps.
    pub const BITS_MAX: usize = 256;
    /// Flowints a flow keeps.
    pub const INTS_MAX: usize = 64;

    /// Whether a flowbit is set.
    pub fn bit(&self, bit: u32) -> bool {
        self.bits.contains(&bit)
    }

    /// The flowbits that are set, by id of `RuleSet::bit_names`, in the order of setting.
    pub fn bits(&self) -> &[u32] {
        &self.bits
    }

    /// The flowints with their values, by id of `RuleSet::int_names`.
    pub fn ints(&self) -> &[(u32, u32)] {
        &self.ints
    }

    /// Whether no rule wrote to it. What was tested so far may then be tested again: it comes to the same.
    pub fn is_untouched(&self) -> bool {
        self.bits.is_empty()
            && self.ints.is_empty()
            && self.vars.is_none()
            && !self.changed
            && self.action == FlowAction::None
            && self.refused == 0
    }

    /// Forgets what was tested. Only when it is untouched.
    pub fn begin_again(&mut self) {
        self.addresses_done = [false; 2];
        self.client = None;
    }

    /// Sets a flowbit.
    pub fn set_bit(&mut self, bit: u32) {
        if self.bit(bit) {
            return;
        }
        if self.bits.len() >= Self::BITS_MAX {
            self.refused = self.refused.saturating_add(1);
            return;
        }
        self.bits.push(bit);
        self.changed = true;
    }

    /// Captures and entropies, when there are any.
    pub fn vars(&self) -> Option<&FlowVars> {
        self.vars.as_deref()
    }

    /// Captures and entropies, to be changed.
    pub(super) fn vars_mut(&mut self) -> &mut FlowVars {
        self.changed = true;
        self.vars.get_or_insert_default()
    }

    /// Forgets what belongs to the packet before.
    pub(super) fn next_packet(&mut self) {
        if let Some(vars) = &mut self.vars {
            self.changed |= vars.next_packet();
        }
    }

    /// Whether what records show of it changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Clears a flowbit.
    pub fn unset_bit(&mut self, bit: u32) {
        self.changed |= self.bit(bit);
        self.bits.retain(|b| *b != bit);
    }

    /// Inverts a flowbit.
    pub fn toggle_bit(&mut self, bit: u32) {
        if self.bit(bit) {
            self.unset_bit(bit);
        } else {
            self.set_bit(bit);
        }
    }

    /// Value of a flowint, when it was set.
    pub fn int(&self, variable: u32) -> Option<u32> {
        self.ints
            .iter()
            .find(|(v, _)| *v == variable)
            .map(|(_, value)| *value)
    }

    /// Sets a flowint.
    pub fn set_int(&mut self, variable: u32, value: u32) {
        self.changed = true;
        if let Some(slot) = self.ints.iter_mut().find(|(v, _)| *v == variable) {
            slot.1 = value;
        } else if self.ints.len() < Self::INTS_MAX {
            self.ints.push((variable, value));
        } else {
            self.refused = self.refused.saturating_add(1);
        }
    }

    /// Puts what an older engine's rules wrote into the words of this one; what has no name here, or is too old, is
    /// forgotten, except the decision for the flow. Signatures on addresses alone are due again when the rules are not
    /// the same ones.
    pub(super) fn adopt(&mut self, generation: u32, succession: &Succession) {
        if self.generation == generation {
            return;
        }
        let known = succession.from(self.generation);
        if let Some(known) = known {
            self.bits.retain_mut(|bit| replace(bit, known.bit(*bit)));
            self.ints
                .retain_mut(|(variable, _)| replace(variable, known.int(*variable)));
        } else {
            self.changed |= !self.bits.is_empty() || !self.ints.is_empty();
            self.bits.clear();
            self.ints.clear();
        }
        if known.is_none_or(|known| !known.unchanged) {
            self.addresses_done = [false; 2];
        }
        self.generation = generation;
    }

    /// Exchanges what is kept by direction when client and server changed places.
    pub(super) fn orient(&mut self, key: &crate::packet::FlowKey) {
        let client = (key.src, key.sport);
        if self
            .client
            .is_some_and(|before| before != client && before == (key.dst, key.dport))
        {
            self.addresses_done.reverse();
        }
        self.client = Some(client);
    }

    /// Notes a decision; the first one stays.
    pub(super) fn decide(&mut self, action: FlowAction) {
        if self.action == FlowAction::None {
            self.action = action;
        }
    }

    /// Whether signatures on addresses alone were tested in `direction`.
    pub(super) fn addresses_were_tested(&self, direction: Direction) -> bool {
        self.addresses_done
            .get(direction.index())
            .copied()
            .unwrap_or(true)
    }
}

/// Writes what a number became; false when it is nothing any more.
fn replace(number: &mut u32, new: Option<u32>) -> bool {
    *number = new.unwrap_or(*number);
    new.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_once_and_toggle() {
        let mut flow = FlowRules::default();
        flow.set_bit(7);
        flow.set_bit(7);
        assert_eq!(flow.bits(), [7]);
        flow.toggle_bit(7);
        flow.toggle_bit(9);
        assert_eq!(flow.bits(), [9]);
    }

    #[test]
    fn bounds_refuse_and_count() {
        let mut flow = FlowRules::default();
        for i in 0..300 {
            flow.set_bit(i);
            flow.set_int(i, i);
        }
        assert_eq!(flow.bits().len(), FlowRules::BITS_MAX);
        assert_eq!(flow.ints().len(), FlowRules::INTS_MAX);
        assert_eq!(flow.refused, 300 - 256 + 300 - 64);
        flow.set_int(3, 9);
        assert_eq!(flow.int(3), Some(9));
    }

    #[test]
    fn first_decision_stays() {
        let mut flow = FlowRules::default();
        flow.decide(FlowAction::Pass);
        flow.decide(FlowAction::Drop);
        assert_eq!(flow.action, FlowAction::Pass);
    }
}
