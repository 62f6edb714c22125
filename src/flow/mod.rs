//! Flows: who talks with whom, since when, in which state.
//!
//! A worker owns its [`FlowTable`] outright. The table is generic over what later stages attach to a flow (streams,
//! application layer, rule state), so that this module names none of them.
//!
//! Which packets open a flow, which packets share one, and how long it lives follow Suricata, because rules (`flow`,
//! `flowbits`) and every consumer of EVE rely on it. What differs on purpose: a full table ranks what it gives up
//! (see [`table`]), and ids and the order in which flows end depend on the packets alone, never on the workers.

mod exception;
pub mod half_open;
mod index;
mod key;
pub mod table;
pub mod tcp;
mod wheel;

pub use exception::{ExceptionPolicy, Exceptions};
pub use half_open::HalfOpen;
pub use table::{
    ANSWER_SECS, Ended, EndedHalfOpen, FlowHandle, FlowSettings, FlowStats, FlowTable, Foreseen,
    Found, Recycle, Silent, Slot, Timeouts,
};
pub use tcp::{TcpSession, TcpSide, TcpState};

use crate::packet::{Direction, FlowKey, Packet, TcpFlags, Timestamp, Transport};

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

impl EndReason {
    /// EVE's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "unknown",
            Self::Timeout => "timeout",
            Self::Forced => "forced",
            Self::Shutdown => "shutdown",
            Self::TcpReuse => "tcp_reuse",
        }
    }
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

impl FlowState {
    /// EVE's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
            Self::Bypassed => "bypassed",
        }
    }
}

/// What a packet, or the end of the flow, made known about the connection: the pipeline makes host records of it.
///
/// A set: several may come with one packet. Cleared when the next packet of the flow is looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowEvents(pub u16);

impl FlowEvents {
    /// First packet of the flow.
    pub const OPENED: u16 = 1;
    /// TCP: the client completed the handshake. Others: the first answer.
    pub const ESTABLISHED: u16 = 1 << 1;
    /// TCP: RST to the SYN. Others: an ICMP error about the flow.
    pub const REFUSED: u16 = 1 << 2;
    /// The flow ended with the handshake incomplete, or without any answer.
    pub const UNANSWERED: u16 = 1 << 3;
    /// TCP: reset after establishment.
    pub const RESET: u16 = 1 << 4;
    /// TCP: a segment that belongs to no connection (FIN, NULL, Xmas, ACK probes).
    pub const STRAY: u16 = 1 << 5;
    /// TCP: SYN-ACK or RST that nobody asked for.
    pub const UNSOLICITED: u16 = 1 << 6;
    /// TCP: SYN retransmitted.
    pub const SYN_RETRY: u16 = 1 << 7;
    /// TCP: SYN of a client.
    pub const SYN: u16 = 1 << 8;
    /// TCP: SYN-ACK of a server.
    pub const SYN_ACK: u16 = 1 << 9;
    /// The flow ended.
    pub const CLOSED: u16 = 1 << 10;

    /// Whether it holds `event`.
    pub const fn has(self, event: u16) -> bool {
        self.0 & event != 0
    }

    /// Adds one.
    pub const fn add(&mut self, event: u16) {
        self.0 |= event;
    }
}

/// A flow, without what later stages attach to it.
#[derive(Debug, Default)]
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
    /// TCP flags seen per direction, since a session exists.
    pub tcp_flags: [TcpFlags; 2],
    /// TCP's own state, once a segment was accepted.
    pub tcp: Option<Box<TcpSession>>,
    /// Memory of an earlier flow's session, for this one's.
    pub(crate) spare_tcp: Option<Box<TcpSession>>,
    /// ICMP type and code of the first packet per direction.
    pub icmp: [Option<(u8, u8)>; 2],
    /// Smallest and largest TTL per direction.
    pub ttl: [(u8, u8); 2],
    /// Directions in which a packet (other than an ICMP error) was seen.
    pub seen: [bool; 2],
    /// Whether client and server changed places after the first packet (picked up in the middle).
    pub reversed: bool,
    /// What the packet in hand made known. See [`FlowEvents`].
    pub happened: FlowEvents,
    /// TCP: whether it has been said that nobody answers ([`Ended::Silent`]).
    pub unanswered: bool,
    /// Whether an alert fired in it.
    pub alerted: bool,
    /// Whether its end is not reported: one of too many half-open connections given up at once.
    pub unreported: bool,
    /// Exception policies that were applied to it.
    pub exceptions: Exceptions,
    /// Whether it is being dropped.
    pub dropped: bool,
    /// Whether packets and payloads are no longer inspected (pass rule, bypass).
    pub no_inspection: bool,
    /// Whether payloads (not headers) are no longer inspected: the encrypted remainder of a flow.
    pub no_payload_inspection: bool,
}

impl Flow {
    /// Which way a packet with this key goes in the flow. A packet between equal endpoints goes to the
    /// server, and so does every packet of a protocol without ports (tunnels, ESP), as in Suricata.
    pub fn direction_of(&self, packet: &FlowKey) -> Direction {
        let to_server = match packet.proto {
            6 | 17 | 132 if packet.sport != packet.dport => self.key.sport == packet.sport,
            1 | 6 | 17 | 58 | 132 => self.key.src == packet.src,
            _ => true,
        };
        if to_server {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// Whether the flow counts as established for the rule option `flow:established`.
    pub fn is_established(&self) -> bool {
        self.state == FlowState::Established
            || self
                .tcp
                .as_ref()
                .is_some_and(|tcp| tcp.state >= TcpState::Established)
    }

    /// Whether its client is who it says: TCP's handshake was seen in both directions, so that the client knows what the
    /// server sent it. Not so of a connection picked up in the middle, where a single forged segment will do.
    pub fn proves_client(&self) -> bool {
        self.tcp.as_ref().is_some_and(|tcp| {
            tcp.state >= TcpState::Established && !tcp.midstream && !tcp.one_sided
        })
    }

    /// The TCP session, made when there is none.
    pub fn open_session(&mut self) -> &mut TcpSession {
        let spare = &mut self.spare_tcp;
        self.tcp.get_or_insert_with(|| {
            let mut session = spare.take().unwrap_or_default();
            *session = TcpSession::default();
            session
        })
    }

    /// Puts a session back that was taken out for work. One that never began is kept as memory only.
    pub(crate) fn put_session(&mut self, session: Box<TcpSession>) {
        if session.state == TcpState::None {
            self.spare_tcp = Some(session);
        } else {
            self.tcp = Some(session);
        }
    }

    /// Exchanges client and server: the first packet seen was the server's.
    ///
    /// The counters change places with the directions they count. What later stages keep per direction (streams,
    /// application layer) they exchange themselves.
    pub fn swap_directions(&mut self) {
        self.reversed = !self.reversed;
        self.key = self.key.reversed();
        self.packets.swap(0, 1);
        self.bytes.swap(0, 1);
        self.tcp_flags.swap(0, 1);
        self.icmp.swap(0, 1);
        self.ttl.swap(0, 1);
        self.seen.swap(0, 1);
        if let Some(tcp) = &mut self.tcp {
            tcp.swap_directions();
        }
    }

    /// Takes one more packet into account: times, counters, TTL, and for anything but TCP the state.
    pub(crate) fn count(&mut self, packet: &Packet<'_>, direction: Direction) {
        let i = direction.index();
        self.last = self.last.max(packet.ts);
        if let Some(packets) = self.packets.get_mut(i) {
            *packets += 1;
        }
        if let Some(bytes) = self.bytes.get_mut(i) {
            *bytes += packet.frame.len() as u64;
        }
        if let Some(ttl) = self.ttl.get_mut(i) {
            ttl.0 = if ttl.0 == 0 {
                packet.ttl
            } else {
                ttl.0.min(packet.ttl)
            };
            ttl.1 = ttl.1.max(packet.ttl);
        }
        let error = key::is_icmp_error(packet);
        let icmp = matches!(packet.transport, Transport::Icmp | Transport::Icmpv6);
        if let (true, Some(first)) = (
            icmp && matches!(self.key.proto, 1 | 58),
            self.icmp.get_mut(i),
        ) {
            first.get_or_insert((packet.sport as u8, packet.dport as u8));
        }
        if let (false, Some(seen)) = (error, self.seen.get_mut(i)) {
            *seen = true;
        }
        if self.key.proto != 6 && self.state == FlowState::New && self.seen == [true; 2] {
            self.state = FlowState::Established;
            self.happened.add(FlowEvents::ESTABLISHED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_follows_ports_and_then_addresses() {
        let key = FlowKey {
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
            sport: 7,
            dport: 9,
            proto: 6,
            vlan: [0; 3],
            wire: 0,
        };
        let flow = Flow {
            key,
            ..Flow::default()
        };
        assert_eq!(flow.direction_of(&key), Direction::ToServer);
        assert_eq!(flow.direction_of(&key.reversed()), Direction::ToClient);
        let same = Flow {
            key: FlowKey { dport: 7, ..key },
            ..Flow::default()
        };
        assert_eq!(same.direction_of(&same.key.reversed()), Direction::ToClient);
    }

    #[test]
    fn swapping_twice_changes_nothing() {
        let mut flow = Flow {
            packets: [3, 1],
            bytes: [300, 100],
            ..Flow::default()
        };
        flow.swap_directions();
        assert_eq!((flow.packets, flow.reversed), ([1, 3], true));
        flow.swap_directions();
        assert_eq!((flow.bytes, flow.reversed), ([300, 100], false));
    }
}
