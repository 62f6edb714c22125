//! What is known of a TCP connection (RFC 9293 §3.3.1), and when a SYN begins a new one.
//!
//! Data only: [`crate::stream`] drives it. Each direction has a [`TcpSide`], which describes the *sender* of that
//! direction: what it sent, what of it was acknowledged, and the window its peer offers it.
//!
//! ```text
//!         last_ack            next_seq              next_win
//!  ──────────┼───────────────────┼─────────────────────┼──────▶ sequence numbers
//!  acked     │ sent, not acked   │ may be sent         │ outside the window
//! ```

use super::Flow;
use crate::packet::{Direction, Packet, TcpFlags};

/// Where a connection stands (EVE's `tcp.state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TcpState {
    /// Nothing accepted yet.
    #[default]
    None,
    /// SYN seen.
    SynSent,
    /// SYN-ACK seen.
    SynRecv,
    /// Handshake complete, or picked up in the middle.
    Established,
    /// First FIN from the server.
    FinWait1,
    /// Its FIN acknowledged.
    FinWait2,
    /// Closed for good, waiting for stray segments.
    TimeWait,
    /// FIN from both, last acknowledgment missing.
    LastAck,
    /// First FIN from the client, the server has not closed.
    CloseWait,
    /// Both closed at once.
    Closing,
    /// Over.
    Closed,
}

impl TcpState {
    /// EVE's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::LastAck => "last_ack",
            Self::CloseWait => "close_wait",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// Whether `a` comes after `b` in sequence space (RFC 9293 §3.4: modulo 2^32).
pub const fn seq_gt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Whether `a` comes after `b` or is the same.
pub const fn seq_geq(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) >= 0
}

/// Whether `a` comes before `b`.
pub const fn seq_lt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` comes before `b` or is the same.
pub const fn seq_leq(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) <= 0
}

/// Selectively acknowledged ranges remembered per sender (RFC 2018 §3: an option holds at most four).
pub const SACK_RANGES: usize = 4;

/// The sender of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSide {
    /// Its initial sequence number.
    pub isn: u32,
    /// The next one it is expected to send.
    pub next_seq: u32,
    /// The highest that its peer acknowledged.
    pub last_ack: u32,
    /// Right edge of what it may send.
    pub next_win: u32,
    /// Window its peer offers it, scaled, in bytes.
    pub window: u32,
    /// Shift of the windows its peer offers it.
    pub wscale: u8,
    /// Its last timestamp (RFC 7323).
    pub last_ts: u32,
    /// When that was seen, in seconds of packet time.
    pub last_packet_secs: u32,
    /// Whether it uses timestamps.
    pub timestamps: bool,
    /// Whether its first timestamp was zero.
    pub zero_timestamp: bool,
    /// Whether it was sent a keep-alive probe not yet answered.
    pub keepalive: bool,
    /// Whether it received an RST that ended the connection and has not been heard of since.
    pub rst_received: bool,
    /// Whether data of it is missing for good.
    pub gap: bool,
    /// Bytes acknowledged selectively above `last_ack`.
    pub sacked: u32,
    /// The ranges of these, not in order; equal ends: none.
    pub sack: [(u32, u32); SACK_RANGES],
}

/// One connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpSession {
    /// State.
    pub state: TcpState,
    /// The state before.
    pub previous: TcpState,
    /// Senders: the client's data (to the server) and the server's.
    pub sides: [TcpSide; 2],
    /// Whether it was picked up in the middle.
    pub midstream: bool,
    /// Picked up at a SYN-ACK.
    pub midstream_synack: bool,
    /// Picked up at data, nothing yet from the other side.
    pub midstream_established: bool,
    /// Whether only one direction is seen.
    pub one_sided: bool,
    /// Simultaneous open (RFC 9293 §3.5).
    pub four_way: bool,
    /// Whether timestamps are used by both.
    pub timestamps: bool,
    /// Whether the client offered window scaling.
    pub wscale_offered: bool,
    /// Whether the client offered SACK.
    pub sack_offered: bool,
    /// Whether SACK is used.
    pub sack_used: bool,
    /// TCP Fast Open (RFC 7413).
    pub fast_open: bool,
    /// The server did not take the data in the SYN.
    pub fast_open_ignored: bool,
    /// Whether the server was heard of after the handshake.
    pub handshake_confirmed: bool,
    /// A segment tried to complete the handshake with a wrong acknowledgment.
    pub evasion: bool,
    /// Whether packets were lost on the way to us: RSTs are believed more easily.
    pub lossy: bool,
    /// Whether an RST ended it.
    pub closed_by_rst: bool,
    /// A zero-window probe is outstanding, by the direction it went.
    pub probe: [bool; 2],
    /// Handshakes that compete for this connection (other SYNs, or other SYN-ACKs). Bounded by the stream settings.
    pub rivals: Vec<Handshake>,
}

/// What a SYN or SYN-ACK offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// SACK permitted.
    pub sack: bool,
    /// Window scale.
    pub wscale: Option<u8>,
    /// Timestamp.
    pub ts: Option<u32>,
    /// Window.
    pub window: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number (SYN-ACK).
    pub ack: u32,
    /// When, in seconds of packet time.
    pub secs: u32,
}

impl TcpSession {
    /// The sender of a direction.
    pub fn side(&self, direction: Direction) -> &TcpSide {
        let [client, server] = &self.sides;
        if direction == Direction::ToServer {
            client
        } else {
            server
        }
    }

    /// The sender of a direction.
    pub fn side_mut(&mut self, direction: Direction) -> &mut TcpSide {
        let [client, server] = &mut self.sides;
        if direction == Direction::ToServer {
            client
        } else {
            server
        }
    }

    /// Exchanges client and server.
    pub(super) fn swap_directions(&mut self) {
        self.sides.swap(0, 1);
        self.probe.swap(0, 1);
    }
}

/// Whether the packet begins a new connection on the addresses and ports of a flow that is over.
pub(super) fn reuses(flow: &Flow, packet: &Packet<'_>, midstream: bool) -> bool {
    const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
    let flags = packet.tcp.flags.0;
    if flags & (TcpFlags::RST | TcpFlags::FIN) != 0 {
        return false;
    }
    let session = flow.tcp.as_deref();
    let over = |session: &TcpSession| {
        session.state == TcpState::None || session.state >= TcpState::LastAck
    };
    let direction = flow.direction_of(&packet.key());
    match (flags & SYN_ACK, session) {
        (TcpFlags::SYN, None) => true,
        (TcpFlags::SYN, Some(session)) if direction == Direction::ToServer => {
            session.fast_open_ignored
                || (session.side(direction).isn != packet.tcp.seq && over(session))
        }
        (SYN_ACK, None) if midstream => direction == Direction::ToServer,
        (SYN_ACK, Some(session)) if midstream && direction == Direction::ToClient => {
            session.side(direction).isn != packet.tcp.seq && over(session)
        }
        (TcpFlags::SYN, Some(session)) => over(session),
        (SYN_ACK, Some(session)) if midstream => over(session),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_across_the_wrap() {
        assert!(seq_gt(5, u32::MAX - 5) && seq_lt(u32::MAX, 0) && seq_geq(7, 7) && seq_leq(7, 7));
    }
}
