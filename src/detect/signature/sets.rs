//! Address and port sets, each once, and what each segment makes of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SegmentView;
use crate::rules::{AddressSet, PortSet};

/// Number of an address or port set; [`SetId::ANY`] holds everything in every segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct SetId(pub u16);

impl SetId {
    pub const ANY: Self = Self(u16::MAX);
}

/// All sets by segment.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sets {
    addresses: Vec<Vec<Arc<AddressSet>>>,
    ports: Vec<Vec<Arc<PortSet>>>,
}

impl Sets {
    pub fn address_count(&self) -> usize {
        self.addresses.first().map_or(0, Vec::len)
    }

    pub fn port_count(&self) -> usize {
        self.ports.first().map_or(0, Vec::len)
    }

    /// Whether an address is in a set, in a segment.
    pub fn holds_address(&self, segment: usize, id: SetId, address: IpAddr) -> bool {
        id == SetId::ANY
            || self
                .addresses
                .get(segment)
                .and_then(|sets| sets.get(usize::from(id.0)))
                .is_some_and(|set| set.contains(address))
    }

    /// Whether a set holds every port, in a segment.
    pub fn any_port(&self, segment: usize, id: SetId) -> bool {
        id == SetId::ANY
            || self
                .ports
                .get(segment)
                .and_then(|sets| sets.get(usize::from(id.0)))
                .is_some_and(|set| set.any)
    }

    /// Whether a port is in a set, in a segment.
    pub fn holds_port(&self, segment: usize, id: SetId, port: u16) -> bool {
        id == SetId::ANY
            || self
                .ports
                .get(segment)
                .and_then(|sets| sets.get(usize::from(id.0)))
                .is_some_and(|set| set.contains(port))
    }
}

/// Collects sets while signatures are compiled.
#[derive(Debug, Default)]
pub(super) struct SetBuilder {
    by_pointer: HashMap<usize, SetId, foldhash::fast::RandomState>,
    addresses: Vec<Arc<AddressSet>>,
    ports: Vec<Arc<PortSet>>,
    address_ids: HashMap<AddressSet, SetId, foldhash::fast::RandomState>,
    port_ids: HashMap<PortSet, SetId, foldhash::fast::RandomState>,
}

impl SetBuilder {
    /// Number of an address set. Beyond 65,534 different sets there is none.
    pub fn address(&mut self, set: &Arc<AddressSet>) -> Option<SetId> {
        // A literal `any` cannot mean anything else in another segment; a variable can.
        if set.any && !set.text.contains('$') {
            return Some(SetId::ANY);
        }
        let pointer = Arc::as_ptr(set) as usize;
        if let Some(id) = self.by_pointer.get(&pointer) {
            return Some(*id);
        }
        let id = match self.address_ids.get(&**set) {
            Some(id) => *id,
            None => {
                let id = next(self.addresses.len())?;
                self.addresses.push(set.clone());
                self.address_ids.insert((**set).clone(), id);
                id
            }
        };
        self.by_pointer.insert(pointer, id);
        Some(id)
    }

    /// Number of a port set.
    pub fn port(&mut self, set: &Arc<PortSet>) -> Option<SetId> {
        if set.any && !set.text.contains('$') {
            return Some(SetId::ANY);
        }
        let pointer = Arc::as_ptr(set) as usize;
        if let Some(id) = self.by_pointer.get(&pointer) {
            return Some(*id);
        }
        let id = match self.port_ids.get(&**set) {
            Some(id) => *id,
            None => {
                let id = next(self.ports.len())?;
                self.ports.push(set.clone());
                self.port_ids.insert((**set).clone(), id);
                id
            }
        };
        self.by_pointer.insert(pointer, id);
        Some(id)
    }

    /// The sets as every segment has them. No segment: one, as written.
    pub fn finish(self, segments: &[SegmentView]) -> Sets {
        if segments.is_empty() {
            return Sets {
                addresses: vec![self.addresses],
                ports: vec![self.ports],
            };
        }
        let mut sets = Sets::default();
        for segment in segments {
            let addresses: HashMap<&str, &Arc<AddressSet>> = segment
                .addresses
                .iter()
                .map(|(text, set)| (&**text, set))
                .collect();
            let ports: HashMap<&str, &Arc<PortSet>> = segment
                .ports
                .iter()
                .map(|(text, set)| (&**text, set))
                .collect();
            let own = |set: &Arc<AddressSet>| {
                Arc::clone(addresses.get(&*set.text).copied().unwrap_or(set))
            };
            sets.addresses
                .push(self.addresses.iter().map(own).collect());
            let own =
                |set: &Arc<PortSet>| Arc::clone(ports.get(&*set.text).copied().unwrap_or(set));
            sets.ports.push(self.ports.iter().map(own).collect());
        }
        sets
    }
}

fn next(len: usize) -> Option<SetId> {
    u16::try_from(len)
        .ok()
        .map(SetId)
        .filter(|id| *id != SetId::ANY)
}

/// Answers of set tests for the packet in hand: each is asked once.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// Stamp of the packet, doubled, plus the answer.
    answers: Vec<u32>,
    stamp: u32,
}

impl Memo {
    /// Forgets, for a packet.
    pub fn clear(&mut self, count: usize) {
        self.stamp = (self.stamp + 1) & 0x7fff_ffff;
        if self.stamp == 0 || self.answers.len() != count {
            self.stamp = 1;
            self.answers.clear();
            self.answers.resize(count, 0);
        }
    }

    /// The answer for a set, computed when it is not known.
    pub fn ask(&mut self, id: SetId, test: impl FnOnce() -> bool) -> bool {
        if id == SetId::ANY {
            return true;
        }
        match self.answers.get_mut(usize::from(id.0)) {
            Some(answer) => {
                if *answer >> 1 != self.stamp {
                    *answer = self.stamp << 1 | u32::from(test());
                }
                *answer & 1 == 1
            }
            None => test(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_gives_a_variable_another_meaning() {
        let home = Arc::new(AddressSet {
            text: "$HOME_NET".into(),
            any: true,
            ..AddressSet::default()
        });
        let mut builder = SetBuilder::default();
        let id = builder.address(&home).unwrap();
        assert_ne!(id, SetId::ANY);
        assert_eq!(
            builder.address(&Arc::new(AddressSet {
                any: true,
                ..AddressSet::default()
            })),
            Some(SetId::ANY)
        );
        let narrow = Arc::new(AddressSet {
            v4: vec![(0x0a00_0000, 0x0aff_ffff)],
            ..AddressSet::default()
        });
        let view = SegmentView {
            addresses: vec![("$HOME_NET".into(), narrow)],
            ..SegmentView::default()
        };
        let sets = builder.finish(&[SegmentView::default(), view]);
        let outside = IpAddr::from([192, 0, 2, 1]);
        assert!(sets.holds_address(0, id, outside));
        assert!(!sets.holds_address(1, id, outside));
        assert!(sets.holds_address(1, id, IpAddr::from([10, 1, 1, 1])));
    }

    #[test]
    fn a_memo_asks_once() {
        let mut memo = Memo::default();
        memo.clear(4);
        assert!(memo.ask(SetId(2), || true));
        assert!(memo.ask(SetId(2), || unreachable!()));
        memo.clear(4);
        assert!(!memo.ask(SetId(2), || false));
    }
}
