//! What is told of flows that are over, or that nobody answered.

use super::Slot;
use crate::flow::half_open::HalfOpen;
use crate::flow::{EndReason, Flow};
use crate::packet::FlowKey;

/// A flow that ended.
#[derive(Debug)]
pub enum Ended<X> {
    /// Give it back with [`FlowTable::recycle`].
    Flow(Box<Slot<X>>),
    /// A connection that was never answered.
    HalfOpen(EndedHalfOpen),
    /// Not an end: nobody has answered the SYN for [`ANSWER_SECS`]; said once, while the flow waits on.
    Silent(Silent),
}

impl<X> Ended<X> {
    /// What orders ended flows.
    pub(super) fn rank(&self) -> (u64, u64) {
        match self {
            Self::Flow(slot) => (slot.flow.first_number, slot.flow.id),
            Self::HalfOpen(ended) => (ended.half_open.first_number, ended.half_open.id),
            Self::Silent(silent) => (silent.first_number, silent.id),
        }
    }
}

/// A SYN that nobody answers.
#[derive(Clone, Copy, Debug)]
pub struct Silent {
    /// Client to server.
    pub key: FlowKey,
    /// EVE's `flow_id`.
    pub id: u64,
    /// Number of the SYN.
    pub first_number: u64,
    /// Its input interface.
    pub interface: u16,
    /// Its TTL.
    pub ttl: u8,
}

impl Silent {
    pub(super) fn of_flow(flow: &Flow) -> Self {
        Self {
            key: flow.key,
            id: flow.id,
            first_number: flow.first_number,
            interface: flow.interface,
            ttl: flow.ttl[0].0,
        }
    }

    /// Of a half-open connection.
    pub fn of_half_open(half_open: &HalfOpen) -> Self {
        Self {
            key: half_open.key,
            id: half_open.id,
            first_number: half_open.first_number,
            interface: half_open.interface,
            ttl: half_open.ttl,
        }
    }
}

/// A half-open connection that ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedHalfOpen {
    /// What is known of it.
    pub half_open: HalfOpen,
    /// Why it ended.
    pub reason: EndReason,
    /// Whether it is to be reported as a flow of its own.
    pub report: bool,
}
