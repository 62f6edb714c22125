//! Is this segment believable? Acknowledgments, timestamps (RFC 7323 PAWS), RSTs (RFC 9293 §3.10.7, RFC 5961), keep-alive
//! and window probes, retransmissions, selective acknowledgments (RFC 2018).
//!
//! Where receivers differ the receiver's [`OsPolicy`] decides, as for overlaps.

use super::state::Work;
use super::{OsPolicy, Receiver};
use crate::flow::tcp::{SACK_RANGES, seq_geq, seq_gt, seq_leq, seq_lt};
use crate::flow::{TcpSide, TcpState};
use crate::packet::{DecodeEvent, Direction, TcpFlags};

/// Seconds after which a timestamp is too old to compare with (RFC 7323 §5.5).
const PAWS_SECS: u32 = 24 * 24 * 3600;

/// TCP options that sign a segment: MD5 (RFC 2385) and Authentication (RFC 5925).
const MD5: u8 = 19;
const AO: u8 = 29;

/// Flags that make a segment more than an acknowledgment.
const CONTROL: u8 = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST;

impl<R: Receiver> Work<'_, '_, R> {
    /// The policy of the host that receives packets of a direction.
    pub(super) fn receiver_policy(&mut self) -> OsPolicy {
        let direction = self.direction.reverse();
        let receiver = self.packet.dst;
        let policies = &self.engine.settings.policies;
        // Kept with the stream that host sends: it is asked once a connection.
        *self
            .streams
            .side_mut(direction)
            .policy
            .get_or_insert_with(|| policies.of(receiver))
    }

    /// Whether the acknowledgment lies where the peer of `side` may acknowledge. Raises the event when not.
    pub(super) fn ack_is_valid(&mut self, acked: Direction) -> bool {
        if !self.has(TcpFlags::ACK) {
            return true;
        }
        let ack = self.ack;
        let side = self.tcp.side(acked);
        let valid = if ack == side.last_ack
            || (seq_gt(ack, side.last_ack) && seq_leq(ack, side.next_win))
        {
            true
        } else if seq_lt(ack, side.last_ack) {
            side.window == 0 || !seq_lt(ack, side.last_ack.wrapping_sub(side.window))
        } else if self.tcp.one_sided {
            true
        } else if self.tcp.state > TcpState::SynSent && seq_gt(ack, side.next_win) {
            false
        } else {
            self.tcp.state == TcpState::SynSent
                && self.direction == Direction::ToClient
                && self.has(TcpFlags::RST)
                && ack == side.isn.wrapping_add(1)
        };
        if !valid {
            self.raise(DecodeEvent::STREAM_PKT_INVALID_ACK);
        }
        valid
    }

    /// Whether the timestamp is not from the past. Raises the event when it is.
    pub(super) fn timestamp_is_valid(&mut self) -> bool {
        let policy = self.receiver_policy();
        let Some((ts, _)) = self.packet.tcp.timestamps else {
            return true;
        };
        let sender = *self.tcp.side(self.direction);
        let valid = self.timestamp_check(&sender, ts, policy).is_some();
        if !valid {
            self.raise(DecodeEvent::STREAM_PKT_INVALID_TIMESTAMP);
        }
        valid
    }

    /// `None`: invalid; otherwise whether the timestamp was compared (and may be remembered).
    fn timestamp_check(&self, sender: &TcpSide, ts: u32, policy: OsPolicy) -> Option<bool> {
        let in_order = sender.next_seq == self.seq;
        let mut compare = true;
        if sender.zero_timestamp {
            compare = match policy {
                OsPolicy::Linux | OsPolicy::Windows2003 => false,
                OsPolicy::OldLinux | OsPolicy::Windows | OsPolicy::Vista => !in_order,
                _ => true,
            };
        }
        if policy == OsPolicy::Hpux11 && !in_order {
            compare = false;
        }
        let zero_allowed = matches!(
            policy,
            OsPolicy::OldLinux
                | OsPolicy::Windows
                | OsPolicy::Windows2003
                | OsPolicy::Vista
                | OsPolicy::Solaris
        );
        if ts == 0 && !zero_allowed {
            return None;
        }
        if !compare {
            return Some(false);
        }
        let liberal = policy == OsPolicy::Linux || self.engine.settings.liberal_timestamps;
        let distance = ts
            .wrapping_sub(sender.last_ts)
            .wrapping_add(u32::from(liberal)) as i32;
        let last_secs = if sender.last_packet_secs == 0 && self.tcp.midstream {
            self.secs
        } else {
            sender.last_packet_secs
        };
        let aged = self.secs > last_secs.saturating_add(PAWS_SECS);
        if distance < 0 || (sender.last_ts != 0 && aged) {
            // RFC 7323 §5.5: after an idle time of 24 days the old timestamp says nothing.
            return (in_order && aged).then_some(true);
        }
        Some(true)
    }

    /// Remembers the timestamp of an accepted segment.
    pub(super) fn note_timestamp(&mut self) {
        if !self.tcp.timestamps {
            return;
        }
        let policy = self.receiver_policy();
        let Some((ts, _)) = self.packet.tcp.timestamps else {
            if policy == OsPolicy::Solaris {
                self.tcp.timestamps = false;
            }
            return;
        };
        let (secs, seq) = (self.secs, self.seq);
        let sender = *self.tcp.side(self.direction);
        let checked = self.timestamp_check(&sender, ts, policy);
        if sender.zero_timestamp {
            match policy {
                OsPolicy::Linux | OsPolicy::Windows2003 => self.tcp.timestamps = false,
                OsPolicy::OldLinux | OsPolicy::Windows | OsPolicy::Vista => {
                    let sender = self.tcp.side_mut(self.direction);
                    sender.zero_timestamp = false;
                    if sender.next_seq == seq {
                        sender.last_ts = ts;
                    }
                }
                _ => {}
            }
        }
        match checked {
            None => self.raise(DecodeEvent::STREAM_PKT_INVALID_TIMESTAMP),
            Some(false) => {}
            Some(true) => {
                let sender = self.tcp.side_mut(self.direction);
                if sender.next_seq == seq {
                    sender.last_ts = ts;
                }
                sender.last_packet_secs = secs;
            }
        }
    }

    /// Whether an RST would end the connection at its receiver.
    pub(super) fn rst_is_valid(&mut self) -> bool {
        if self.tcp.lossy {
            return true;
        }
        if self.tcp.timestamps && !self.timestamp_is_valid() {
            return false;
        }
        if self.len > 0 {
            self.raise(DecodeEvent::STREAM_RST_WITH_DATA);
        }
        let policy = self.receiver_policy();
        let other = self.direction.reverse();
        if self.has(TcpFlags::ACK) && self.ack != 0 && !self.ack_is_valid(other) {
            self.raise(DecodeEvent::STREAM_RST_INVALID_ACK);
            return false;
        }
        let options = self.packet.transport_header().get(20..).unwrap_or_default();
        if find_option(options, MD5).is_some() || find_option(options, AO).is_some() {
            // RFC 2385, RFC 5925: whether the signature is right only the receiver knows; who goes on did not take it.
            self.tcp.side_mut(other).rst_received = true;
        }
        let sender = self.tcp.side(self.direction);
        if self.tcp.one_sided {
            return seq_geq(self.seq, sender.next_seq);
        }
        match policy {
            OsPolicy::Hpux11 => seq_geq(self.seq, sender.next_seq),
            OsPolicy::OldLinux | OsPolicy::Linux | OsPolicy::Solaris => {
                seq_geq(self.seq.wrapping_add(self.len), sender.last_ack)
                    && seq_lt(self.seq, sender.next_seq.wrapping_add(sender.window))
            }
            _ => self.seq == sender.next_seq,
        }
    }

    /// A probe of an idle peer: one byte or none, just before what was acknowledged (RFC 9293 §3.8.4).
    pub(super) fn is_keepalive(&mut self) -> bool {
        if self.len > 1 || self.any(CONTROL) {
            return false;
        }
        let last_ack = self.tcp.side(self.direction.reverse()).last_ack;
        let (seq, ack) = (self.seq, self.ack);
        let sender = self.tcp.side_mut(self.direction);
        let probe = ack == last_ack && seq == sender.next_seq.wrapping_sub(1);
        sender.keepalive |= probe;
        probe
    }

    /// The answer to such a probe.
    pub(super) fn is_keepalive_ack(&mut self) -> bool {
        if self.len > 0 || self.any(CONTROL) || self.packet.tcp.window == 0 {
            return false;
        }
        let other = self.direction.reverse();
        let window = self.scaled_window(other);
        let next_seq = self.tcp.side(self.direction).next_seq;
        let (seq, ack) = (self.seq, self.ack);
        let peer = self.tcp.side_mut(other);
        let answer =
            window == peer.window && peer.keepalive && ack == peer.last_ack && seq == next_seq;
        if answer {
            peer.keepalive = false;
        }
        answer
    }

    /// Whether it answers a probe of a zero window with a zero window.
    pub(super) fn is_probe_ack(&self) -> bool {
        let other = self.direction.reverse();
        let asked = self
            .tcp
            .probe
            .get(other.index())
            .is_some_and(|probe| *probe);
        let (sender, peer) = (self.tcp.side(self.direction), self.tcp.side(other));
        asked
            && self.tcp.state >= TcpState::Established
            && self.len == 0
            && self.packet.tcp.flags.0 & (CONTROL | TcpFlags::ACK) == TcpFlags::ACK
            && self.packet.tcp.window == 0
            && peer.window == 0
            && self.seq == sender.next_seq
            && self.ack == peer.last_ack
    }

    /// The last acknowledgment after both have sent FIN.
    pub(super) fn is_shutdown_ack(&self) -> bool {
        matches!(
            self.tcp.state,
            TcpState::TimeWait | TcpState::CloseWait | TcpState::LastAck
        ) && self.packet.tcp.flags.0 == TcpFlags::ACK
            && self.len == 0
            && self.tcp.side(self.direction).next_seq.wrapping_add(1) == self.seq
            && self
                .tcp
                .side(self.direction.reverse())
                .next_seq
                .wrapping_add(1)
                == self.ack
    }

    /// An acknowledgment that only changes the window.
    pub(super) fn is_window_update(&self) -> bool {
        let other = self.direction.reverse();
        let peer = self.tcp.side(other);
        self.tcp.state >= TcpState::Established
            && self.len == 0
            && !self.any(CONTROL)
            && self.packet.tcp.window != 0
            && self.scaled_window(other) != peer.window
            && self.ack == peer.last_ack
            && self.seq == self.tcp.side(self.direction).next_seq
    }

    /// A window that shrinks by more than was received, on a segment from ahead: injected, or we lost much. Raises the event.
    pub(super) fn is_bad_window_update(&mut self) -> bool {
        if self.tcp.state < TcpState::Established
            || self.tcp.state == TcpState::Closed
            || self.any(CONTROL)
        {
            return false;
        }
        let other = self.direction.reverse();
        let window = self.scaled_window(other);
        let peer = self.tcp.side(other);
        let Some(shrunk) = peer.window.checked_sub(window).filter(|shrunk| *shrunk > 0) else {
            return false;
        };
        let ahead = shrunk > self.len
            && seq_gt(self.ack, peer.next_seq)
            && seq_gt(self.seq, self.tcp.side(self.direction).next_seq);
        let acked = self.ack.wrapping_sub(peer.last_ack);
        let bad = ahead
            && shrunk
                > if window > 1024 {
                    acked.saturating_add(32)
                } else {
                    acked
                };
        if bad {
            self.raise(DecodeEvent::STREAM_PKT_BAD_WINDOW_UPDATE);
        }
        bad
    }

    /// An acknowledgment overtaken by a later one.
    pub(super) fn is_outdated_ack(&self) -> bool {
        let peer = self.tcp.side(self.direction.reverse());
        self.tcp.state >= TcpState::Established
            && self.len == 0
            && self.packet.tcp.flags.0 & (CONTROL | TcpFlags::ACK) == TcpFlags::ACK
            && self.seq == self.tcp.side(self.direction).next_seq
            && seq_lt(self.ack, peer.last_ack)
            && self.sack_blocks().all(|(left, right)| {
                peer.sack.iter().any(|range| {
                    range.0 != range.1 && seq_geq(left, range.0) && seq_leq(right, range.1)
                })
            })
    }

    /// Data sent again although it was acknowledged. Raises the event; true when none of it is kept any more.
    pub(super) fn is_spurious(&mut self) -> bool {
        if self.len == 0 {
            return false;
        }
        let end = self.seq.wrapping_add(self.len);
        let side = self.streams.side(self.direction);
        let gone = !side.closed && seq_leq(end, side.base_seq());
        if gone || seq_leq(end, self.tcp.side(self.direction).last_ack) {
            self.raise(DecodeEvent::STREAM_PKT_SPURIOUS_RETRANSMISSION);
        }
        gone
    }

    /// Data sent again. Raises the event.
    pub(super) fn is_retransmission(&mut self) -> bool {
        if self.len == 0 {
            return false;
        }
        let end = self.seq.wrapping_add(self.len);
        let sender = self.tcp.side(self.direction);
        let again = seq_leq(end, sender.last_ack)
            || seq_leq(end, sender.next_seq)
            || (seq_lt(self.seq, sender.last_ack) && seq_gt(end, sender.last_ack));
        if again {
            self.raise(DecodeEvent::STREAM_PKT_RETRANSMISSION);
        }
        again
    }

    /// Selective acknowledgments of this segment.
    fn sack_blocks(&self) -> impl Iterator<Item = (u32, u32)> + use<'_, R> {
        let count = usize::from(self.packet.tcp.sack_blocks);
        let options = if count == 0 {
            &[][..]
        } else {
            self.packet.transport_header().get(20..).unwrap_or_default()
        };
        let blocks = find_option(options, 5).unwrap_or_default();
        blocks.chunks_exact(8).take(count).filter_map(|block| {
            let (left, right) = block.split_first_chunk::<4>()?;
            Some((
                u32::from_be_bytes(*left),
                u32::from_be_bytes(*right.first_chunk::<4>()?),
            ))
        })
    }

    /// Takes note of selective acknowledgments: they widen what the peer may send.
    pub(super) fn note_sack(&mut self) {
        if self.packet.tcp.sack_blocks == 0 {
            return;
        }
        let other = self.direction.reverse();
        let mut ranges = self.tcp.side(other).sack;
        let peer = *self.tcp.side(other);
        // RFC 2883: a first block below the acknowledgment reports a duplicate; a second block that holds the first one as well.
        for (i, (left, right)) in self.sack_blocks().enumerate() {
            let usable = i != 1
                && !seq_lt(left, self.ack)
                && seq_gt(right, peer.last_ack)
                && seq_leq(right, peer.next_win)
                && seq_lt(left, right)
                && !seq_gt(left, peer.last_ack.wrapping_add(peer.window));
            if usable {
                add_range(&mut ranges, left, right);
            }
        }
        self.tcp.side_mut(other).sack = ranges;
        prune_ranges(self.tcp.side_mut(other));
    }
}

/// Value of the first TCP option of a kind.
fn find_option(mut options: &[u8], kind: u8) -> Option<&[u8]> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [found, len, ..] => {
                let value = options.get(2..usize::from(*len).max(2))?;
                if *found == kind {
                    return Some(value);
                }
                options = options.get(usize::from(*len).max(2)..)?;
            }
            [_] => return None,
        }
    }
}

/// Adds a range to the few remembered, joining those it touches. When there is no place it is forgotten.
fn add_range(ranges: &mut [(u32, u32); SACK_RANGES], mut left: u32, mut right: u32) {
    for range in ranges.iter_mut() {
        if range.0 != range.1 && seq_leq(range.0, right) && seq_leq(left, range.1) {
            left = if seq_lt(range.0, left) { range.0 } else { left };
            right = if seq_gt(range.1, right) {
                range.1
            } else {
                right
            };
            *range = (0, 0);
        }
    }
    if let Some(free) = ranges.iter_mut().find(|range| range.0 == range.1) {
        *free = (left, right);
    }
}

/// Forgets ranges that the ordinary acknowledgment has reached, and counts the rest.
pub(super) fn prune_ranges(side: &mut TcpSide) {
    let mut sacked = 0u32;
    for range in &mut side.sack {
        if range.0 == range.1 {
            continue;
        }
        if seq_leq(range.1, side.last_ack) {
            *range = (0, 0);
        } else if seq_lt(range.0, side.last_ack) {
            range.0 = side.last_ack;
        }
        sacked = sacked.wrapping_add(range.1.wrapping_sub(range.0));
    }
    side.sacked = sacked;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_behind_padding_and_never_beyond_the_end() {
        assert_eq!(find_option(&[1, 1, 5, 4, 9, 8], 5), Some(&[9, 8][..]));
        assert_eq!(find_option(&[2, 4, 0, 0, 5, 10, 1], 5), None);
        assert_eq!(find_option(&[7, 0, 7, 0], 5), None);
        assert_eq!(find_option(&[0, 5, 2], 5), None);
    }

    #[test]
    fn sack_ranges_join_and_are_pruned() {
        let mut side = TcpSide {
            last_ack: 10,
            ..TcpSide::default()
        };
        for (left, right) in [(20, 30), (40, 50), (30, 40)] {
            add_range(&mut side.sack, left, right);
        }
        prune_ranges(&mut side);
        assert_eq!(side.sacked, 30);
        side.last_ack = 45;
        prune_ranges(&mut side);
        assert_eq!(side.sacked, 5);
    }
}
