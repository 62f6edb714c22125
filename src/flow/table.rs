//! The flow table.

use super::Flow;

/// Settings of flow tracking.
#[derive(Clone, Debug)]
pub struct FlowSettings {
    /// Most flows tracked at a time, over all workers.
    pub flows_max: u32,
}

/// A flow with what later stages attach to it.
#[derive(Debug)]
pub struct Slot<X> {
    /// The flow.
    pub flow: Flow,
    /// The attachment.
    pub ext: X,
}

/// Flows by key.
#[derive(Debug)]
pub struct FlowTable<X> {
    slots: Vec<Slot<X>>,
}

impl<X> FlowTable<X> {
    /// Number of live flows.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
