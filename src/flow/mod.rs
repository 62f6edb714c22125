//! Flows: who talks with whom, since when, in which state.
//!
//! A worker owns its [`FlowTable`] outright. The table is generic over what later stages attach to a flow (streams,
//! application layer, rule state), so that this module names none of them.

pub mod table;
pub mod tcp;

pub use table::{FlowSettings, FlowTable, Slot};
pub use tcp::{TcpSession, TcpState};

use crate::packet::{Direction, FlowKey, TcpFlags, Timestamp};

/// Why a flow ended: EVE's `flow.reason`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndReason {
    /// It has not.
    #[default]
    None,
    /// Nothing for too long.
    Timeout,
    /// The table was full.
    Forced,
    /// The capture ended.
    Shutdown,
    /// The same addresses and ports began a new connection.
    TcpReuse,
}

/// EVE's `flow.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowState {
    /// One direction seen (TCP: handshake not complete).
    #[default]
    New,
    /// Both directions seen (TCP: handshake complete).
    Established,
    /// Ended by its own rules (FIN, RST).
    Closed,
    /// Tracked without inspection.
    Bypassed,
}

/// A flow, without what later stages attach to it.
#[derive(Debug)]
pub struct Flow {
    /// EVE's `flow_id`: derived from the first packet's number and the key; the same for any number of workers.
    pub id: u64,
    /// Number of the first packet: orders flows independently of tables.
    pub first_number: u64,
    /// Client to server.
    pub key: FlowKey,
    /// Number of VLAN ids in the key.
    pub vlan_count: u8,
    /// Input interface of the first packet.
    pub interface: u16,
    /// Time of the first packet.
    pub first: Timestamp,
    /// Time of the last packet.
    pub last: Timestamp,
    /// Packets per direction.
    pub packets: [u64; 2],
    /// Bytes (whole frames) per direction.
    pub bytes: [u64; 2],
    /// State.
    pub state: FlowState,
    /// Why it ended.
    pub reason: EndReason,
    /// TCP flags seen per direction.
    pub tcp_flags: [TcpFlags; 2],
    /// TCP's own state, once a segment was accepted.
    pub tcp: Option<Box<TcpSession>>,
    /// ICMP type and code of the first packet per direction.
    pub icmp: [Option<(u8, u8)>; 2],
    /// Smallest and largest TTL per direction.
    pub ttl: [(u8, u8); 2],
    /// Whether an alert fired in it.
    pub alerted: bool,
    /// Whether it is being dropped.
    pub dropped: bool,
    /// Whether packets and payloads are no longer inspected (pass rule, bypass).
    pub no_inspection: bool,
}

impl Flow {
    /// Which way a packet with this key goes in the flow. A packet between equal endpoints goes to the server.
    pub fn direction_of(&self, packet: &FlowKey) -> Direction {
        if self.key.src == packet.src
            && (self.key.sport == packet.sport || self.key.src != self.key.dst)
        {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }
}
