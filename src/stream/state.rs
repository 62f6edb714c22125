//! TCP's state machine as a sensor between the hosts sees it (RFC 9293 §3.10.7), with Suricata's events.
//!
//! A sensor follows *two* machines through what each host sends, so the states are named after the server's view until
//! it closes first, as in Suricata: `FinWait1` means that the server sent FIN first, `CloseWait` that the client did.
//!
//! ```text
//!  SynSent ─▶ SynRecv ─▶ Established ─┬─ FIN of server ─▶ FinWait1 ─▶ FinWait2 ─▶ TimeWait ─▶ Closed
//!                                     └─ FIN of client ─▶ CloseWait ─▶ LastAck ─────────────▶ Closed
//! ```
//!
//! A refused segment changes nothing (its event remains); inline mode drops it, unless packets of its connection may have
//! gone by unseen ([`StreamEngine::missed`]).

use super::check::prune_ranges;
use super::{
    DropReason, ExceptionPolicy, Receiver, StreamEngine, StreamPair, StreamVerdict, UrgentPolicy,
};
use crate::flow::tcp::{TcpSession, seq_geq, seq_gt, seq_leq, seq_lt};
use crate::flow::{Flow, FlowEvents, FlowState, TcpState};
use crate::packet::{DecodeEvent, Direction, EventSet, Packet, TcpFlags};

use Direction::{ToClient, ToServer};

/// The segment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refuse;

/// What a state made of a segment.
pub(super) type Outcome = Result<(), Refuse>;

/// One packet being worked on.
pub(super) struct Work<'a, 'p, R> {
    pub engine: &'a mut StreamEngine,
    pub packet: &'a Packet<'p>,
    pub flow: &'a mut Flow,
    /// The flow's session, taken out of it meanwhile.
    pub tcp: Box<TcpSession>,
    pub streams: &'a mut StreamPair,
    pub receiver: &'a mut R,
    pub events: &'a mut EventSet,
    pub verdict: StreamVerdict,
    pub direction: Direction,
    pub seq: u32,
    pub ack: u32,
    /// Payload length.
    pub len: u32,
    /// Packet time in seconds.
    pub secs: u32,
    /// Whether it stands for the end of the flow.
    pub pseudo: bool,
}

impl<'a, 'p, R: Receiver> Work<'a, 'p, R> {
    #[expect(clippy::too_many_arguments, reason = "all that a packet touches")]
    pub(super) fn new(
        engine: &'a mut StreamEngine,
        packet: &'a Packet<'p>,
        direction: Direction,
        flow: &'a mut Flow,
        tcp: Box<TcpSession>,
        streams: &'a mut StreamPair,
        receiver: &'a mut R,
        events: &'a mut EventSet,
    ) -> Self {
        Self {
            engine,
            flow,
            tcp,
            streams,
            receiver,
            events,
            verdict: StreamVerdict::new(direction),
            direction,
            seq: packet.tcp.seq,
            ack: packet.tcp.ack,
            len: packet.payload().len() as u32,
            secs: packet.ts.secs() as u32,
            pseudo: false,
            packet,
        }
    }

    /// Whether all of `flags` are set.
    pub(super) fn has(&self, flags: u8) -> bool {
        self.packet.tcp.flags.has(flags)
    }

    /// Whether one of `flags` is set.
    pub(super) fn any(&self, flags: u8) -> bool {
        self.packet.tcp.flags.0 & flags != 0
    }

    pub(super) fn raise(&mut self, event: DecodeEvent) {
        self.events.insert(event);
    }

    pub(super) fn refuse(&mut self, event: DecodeEvent) -> Outcome {
        self.raise(event);
        Err(Refuse)
    }

    /// The packet's window as offered to the sender of `to`.
    pub(super) fn scaled_window(&self, to: Direction) -> u32 {
        u32::from(self.packet.tcp.window) << self.tcp.side(to).wscale.min(14)
    }

    pub(super) fn set_state(&mut self, state: TcpState) {
        if state == self.tcp.state || self.pseudo {
            return;
        }
        self.tcp.previous = self.tcp.state;
        self.tcp.state = state;
        let flow_state = match state {
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::Closing
            | TcpState::CloseWait => FlowState::Established,
            TcpState::LastAck | TcpState::TimeWait | TcpState::Closed => FlowState::Closed,
            TcpState::None | TcpState::SynSent | TcpState::SynRecv => return,
        };
        if state == TcpState::Established {
            self.flow.happened.add(FlowEvents::ESTABLISHED);
        }
        if self.flow.state != FlowState::Bypassed {
            self.flow.state = flow_state;
        }
    }

    pub(super) fn close_with_rst(&mut self) {
        if self.tcp.state >= TcpState::Established {
            self.flow.happened.add(FlowEvents::RESET);
        }
        self.tcp.closed_by_rst = true;
        self.set_state(TcpState::Closed);
    }

    /// Anchors the stream of a direction at its initial sequence number.
    pub(super) fn start_stream(&mut self, direction: Direction) {
        let first = self.tcp.side(direction).isn.wrapping_add(1);
        self.streams.side_mut(direction).start_at(first);
    }

    /// The peer acknowledged what `acked` sent.
    pub(super) fn acknowledge(&mut self, acked: Direction, ack: u32) {
        let base = self.streams.side(acked).base_seq();
        let side = self.tcp.side_mut(acked);
        if seq_gt(ack, side.last_ack) && seq_gt(ack, base) {
            side.last_ack = ack;
            prune_ranges(side);
        }
    }

    pub(super) fn set_next_seq(&mut self, direction: Direction, next: u32) {
        let one_sided = self.tcp.one_sided;
        let side = self.tcp.side_mut(direction);
        side.next_seq = next;
        if one_sided && seq_gt(next, side.last_ack) {
            side.last_ack = next;
        }
    }

    fn widen_window(&mut self, direction: Direction) {
        let side = self.tcp.side_mut(direction);
        let next = side
            .last_ack
            .wrapping_add(side.window)
            .wrapping_add(side.sacked);
        if seq_gt(next, side.next_win) {
            side.next_win = next;
        }
    }

    /// Client and server change places.
    pub(super) fn reverse(&mut self) {
        self.flow.swap_directions();
        let tcp = &mut self.tcp;
        tcp.sides.swap(0, 1);
        tcp.probe.swap(0, 1);
        self.streams.swap_directions();
        self.receiver.swap_directions();
        self.direction = self.direction.reverse();
        self.verdict.direction = self.direction;
        self.verdict.updated.swap(0, 1);
    }

    /// Everything a packet does, from its flags to the bytes handed over.
    pub(super) fn run(&mut self) {
        let fresh = self.tcp.state == TcpState::None;
        let outcome = if fresh { self.none() } else { self.follow() };
        if self.tcp.state >= TcpState::Established {
            self.verdict.stream = true;
        }
        if outcome.is_err() {
            self.engine.stats.invalid += 1;
            self.verdict.invalid = true;
            let settings = &self.engine.settings;
            let sure = self.engine.saw_all(self.flow) && (settings.drop_strays || !fresh);
            if settings.inline && settings.drop_invalid && sure && self.verdict.drop.is_none() {
                self.verdict.drop = Some(DropReason::StreamError);
            }
        }
    }

    /// What flags tell before any state does.
    pub(super) fn note_flags(&mut self) {
        let flags = self.packet.tcp.flags;
        if let Some(seen) = self.flow.tcp_flags.get_mut(self.direction.index()) {
            seen.0 |= flags.0;
        }
        if self.tcp.one_sided && self.flow.tcp_flags.iter().all(|flags| flags.0 != 0) {
            self.tcp.one_sided = false;
        }
    }

    /// No session yet: does the packet open one?
    fn none(&mut self) -> Outcome {
        const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
        let settings = &self.engine.settings;
        let (midstream, one_sided) = (settings.midstream, settings.async_oneside);
        if self.has(TcpFlags::RST) {
            self.flow.happened.add(FlowEvents::UNSOLICITED);
            return self.refuse(DecodeEvent::STREAM_RST_BUT_NO_SESSION);
        }
        if self.has(TcpFlags::FIN) {
            self.flow.happened.add(FlowEvents::STRAY);
            let wanted = self.midstream_wanted();
            if !midstream || self.len == 0 || !wanted {
                return self.refuse(DecodeEvent::STREAM_FIN_BUT_NO_SESSION);
            }
            self.begin_session(true);
            return self.open_in_the_middle(TcpState::FinWait1);
        }
        if self.has(SYN_ACK) {
            self.flow.happened.add(FlowEvents::UNSOLICITED);
            let wanted = self.midstream_wanted();
            if !(midstream || one_sided) || !wanted {
                return Ok(());
            }
            self.begin_session(true);
            return self.open_with_syn_ack();
        }
        if self.has(TcpFlags::SYN) {
            self.begin_session(false);
            return self.open_with_syn();
        }
        self.flow.happened.add(FlowEvents::STRAY);
        if self.has(TcpFlags::ACK) {
            let wanted = self.midstream_wanted();
            if !midstream || !wanted {
                return Ok(());
            }
            self.begin_session(true);
            return self.open_in_the_middle(TcpState::Established);
        }
        Ok(())
    }

    /// Applies the policy for packets in the middle of what was not seen; whether a session may be picked up.
    fn midstream_wanted(&mut self) -> bool {
        let [own, _] = self.engine.own;
        let policy = own.unwrap_or(self.engine.settings.midstream_policy);
        self.flow.exceptions.midstream = Some(policy);
        self.apply(policy, DropReason::StreamMidstream)
    }

    /// Carries an exception policy out; whether the packet is looked at all the same.
    pub(super) fn apply(&mut self, policy: ExceptionPolicy, reason: DropReason) -> bool {
        self.verdict.policy = policy;
        match policy {
            ExceptionPolicy::Ignore => true,
            ExceptionPolicy::PassFlow => {
                self.flow.no_inspection = true;
                true
            }
            ExceptionPolicy::PassPacket => false,
            ExceptionPolicy::Bypass => {
                self.flow.state = FlowState::Bypassed;
                false
            }
            ExceptionPolicy::DropPacket
            | ExceptionPolicy::DropFlow
            | ExceptionPolicy::Reject
            | ExceptionPolicy::RejectBoth => {
                if self.engine.settings.inline {
                    self.verdict.drop = Some(reason);
                    self.flow.dropped |= policy != ExceptionPolicy::DropPacket;
                }
                false
            }
        }
    }

    fn begin_session(&mut self, midstream: bool) {
        self.engine.stats.sessions += 1;
        self.engine.stats.midstream_pickups += u64::from(midstream);
        self.note_flags();
    }

    /// A packet of a session.
    fn follow(&mut self) -> Outcome {
        let outcome = self.follow_state();
        if outcome.is_ok() {
            // RFC 5961: a host that goes on speaking did not take the RST.
            let direction = self.direction;
            if !self.has(TcpFlags::RST) && self.tcp.side(direction.reverse()).rst_received {
                self.tcp.side_mut(direction.reverse()).rst_received = false;
                self.tcp.closed_by_rst = false;
                self.raise(DecodeEvent::STREAM_SUSPECTED_RST_INJECT);
            }
        }
        outcome
    }

    fn follow_state(&mut self) -> Outcome {
        if self.is_keepalive() {
            return Ok(());
        }
        let direction = self.direction;
        let answered = self.is_keepalive_ack();
        self.tcp.side_mut(direction).keepalive = false;
        if answered {
            return Ok(());
        }
        let probe_answered = self.is_probe_ack();
        if let Some(probe) = self.tcp.probe.get_mut(direction.reverse().index()) {
            *probe = false;
        }
        if probe_answered {
            return Ok(());
        }
        if !self.is_shutdown_ack()
            && !self.is_window_update()
            && (self.is_bad_window_update() || self.is_outdated_ack())
        {
            return Ok(());
        }
        if self.is_spurious() {
            return Ok(());
        }
        self.dispatch(self.tcp.state)
    }

    fn dispatch(&mut self, state: TcpState) -> Outcome {
        match state {
            TcpState::None => Ok(()),
            TcpState::SynSent => self.syn_sent(),
            TcpState::SynRecv => self.syn_recv(),
            TcpState::Established => self.established(),
            TcpState::FinWait1 => self.fin_wait1(),
            TcpState::FinWait2 => self.fin_wait2(),
            TcpState::Closing => self.closing(),
            TcpState::CloseWait => self.close_wait(),
            TcpState::LastAck => self.last_ack(),
            TcpState::TimeWait => self.time_wait(),
            TcpState::Closed => self.closed(),
        }
    }

    fn timestamp_ok(&mut self) -> Outcome {
        if self.tcp.timestamps && !self.timestamp_is_valid() {
            Err(Refuse)
        } else {
            Ok(())
        }
    }

    /// The acknowledgment must be believable, or `event`.
    fn ack_ok(&mut self, event: DecodeEvent) -> Outcome {
        if self.ack_is_valid(self.direction.reverse()) {
            Ok(())
        } else {
            self.refuse(event)
        }
    }

    /// An RST in any state after the handshake.
    fn reset(&mut self) -> Outcome {
        if !self.rst_is_valid() {
            return Err(Refuse);
        }
        let (direction, other) = (self.direction, self.direction.reverse());
        let established = self.tcp.state == TcpState::Established;
        self.close_with_rst();
        if established {
            let fin = u32::from(direction == ToClient);
            self.tcp.side_mut(other).next_seq = self.ack;
            self.tcp.side_mut(direction).next_seq =
                self.seq.wrapping_add(self.len).wrapping_add(fin);
            let window = self.scaled_window(direction);
            self.tcp.side_mut(direction).window = window;
        }
        if self.has(TcpFlags::ACK) && self.ack_is_valid(other) {
            self.acknowledge(other, self.ack);
        }
        self.acknowledge(direction, self.seq);
        self.note_timestamp();
        self.segment(direction);
        Ok(())
    }

    fn established(&mut self) -> Outcome {
        const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        if self.has(TcpFlags::FIN) {
            self.timestamp_ok()?;
            return self.first_fin();
        }
        if self.has(SYN_ACK) {
            let [client, server] = &self.tcp.sides;
            return if self.direction == ToServer {
                self.refuse(DecodeEvent::STREAM_EST_SYNACK_TOSERVER)
            } else if self.ack != client.last_ack {
                self.refuse(DecodeEvent::STREAM_EST_SYNACK_RESEND_WITH_DIFF_ACK)
            } else if self.seq != server.isn {
                self.refuse(DecodeEvent::STREAM_EST_SYNACK_RESEND_WITH_DIFF_SEQ)
            } else if self.tcp.handshake_confirmed {
                self.refuse(DecodeEvent::STREAM_EST_SYNACK_RESEND)
            } else {
                Ok(())
            };
        }
        if self.has(TcpFlags::SYN) {
            return if self.direction == ToClient {
                self.refuse(DecodeEvent::STREAM_EST_SYN_TOCLIENT)
            } else if self.ack != self.tcp.side(ToServer).isn {
                self.refuse(DecodeEvent::STREAM_EST_SYN_RESEND_DIFF_SEQ)
            } else {
                self.refuse(DecodeEvent::STREAM_EST_SYN_RESEND)
            };
        }
        if self.has(TcpFlags::ACK) {
            self.timestamp_ok()?;
            if self.direction == ToClient {
                self.tcp.handshake_confirmed = true;
            }
            // What is wrong with the data has its events, but does not make the segment invalid as such.
            let _ = self.established_data();
        }
        Ok(())
    }

    fn established_data(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        let (seq, ack, len) = (self.seq, self.ack, self.len);
        let end = seq.wrapping_add(len);
        let probe_sent = self
            .tcp
            .probe
            .get(other.index())
            .is_some_and(|probe| *probe);
        if probe_sent && ack == self.tcp.side(other).next_seq.wrapping_add(1) {
            self.raise(DecodeEvent::STREAM_EST_ACK_ZWP_DATA);
        } else {
            self.ack_ok(DecodeEvent::STREAM_EST_INVALID_ACK)?;
        }
        if direction == ToClient && self.tcp.midstream && self.tcp.midstream_established {
            let window = self.scaled_window(ToClient);
            let server = self.tcp.side_mut(ToClient);
            server.window = window;
            server.next_win = server.last_ack.wrapping_add(window);
            self.tcp.midstream_established = false;
        }
        let sender = *self.tcp.side(direction);
        let probing = len <= 1 && seq == sender.next_seq.wrapping_sub(1);
        if !probing && seq_lt(end, sender.last_ack) {
            self.before_last_ack(&sender, end)?;
        }
        let sender = *self.tcp.side(direction);
        if len == 1 && seq == sender.next_seq && sender.window == 0 {
            // A probe of a closed window: its byte may or may not be taken.
            if let Some(probe) = self.tcp.probe.get_mut(direction.index()) {
                *probe = true;
            }
            self.segment(direction);
            return Ok(());
        }
        if seq_geq(end, sender.next_seq) {
            self.set_next_seq(direction, end);
        }
        if !(seq_leq(end, self.tcp.side(direction).next_win)
            || self.tcp.midstream
            || self.tcp.one_sided)
        {
            return self.refuse(DecodeEvent::STREAM_EST_PACKET_OUT_OF_WINDOW);
        }
        let window = self.scaled_window(other);
        self.tcp.side_mut(other).window = window;
        self.acknowledge(other, ack);
        self.note_timestamp();
        self.note_sack();
        self.widen_window(other);
        self.segment(direction);
        Ok(())
    }

    /// Data from before what was acknowledged: acceptable only when we do not see everything.
    fn before_last_ack(&mut self, sender: &crate::flow::TcpSide, end: u32) -> Outcome {
        let (direction, seq) = (self.direction, self.seq);
        let picked_up =
            direction == ToServer && self.engine.settings.async_oneside && self.tcp.midstream;
        if self.tcp.one_sided {
            if direction == ToServer {
                self.acknowledge(direction, seq);
            } else {
                self.tcp.side_mut(direction).last_ack = seq;
            }
        } else if picked_up
            && (sender.next_seq == seq || sender.last_ack == sender.isn.wrapping_add(1))
        {
            self.acknowledge(direction, seq);
            self.tcp.one_sided = true;
        } else if !(seq_gt(sender.last_ack, sender.next_seq) && seq_gt(end, sender.next_seq)) {
            return self.refuse(DecodeEvent::STREAM_EST_PKT_BEFORE_LAST_ACK);
        }
        Ok(())
    }

    /// The first FIN of the connection.
    pub(super) fn first_fin(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        self.ack_ok(DecodeEvent::STREAM_FIN_INVALID_ACK)?;
        let end = self.seq.wrapping_add(self.len);
        let sender = self.tcp.side(direction);
        if !(seq_geq(self.seq, sender.last_ack) && seq_leq(end, sender.next_win)) {
            return self.refuse(DecodeEvent::STREAM_FIN_OUT_OF_WINDOW);
        }
        if direction == ToServer && self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_FIN_SYN);
        }
        let (state, fin) = if direction == ToServer {
            (TcpState::CloseWait, 0)
        } else {
            (TcpState::FinWait1, 1)
        };
        self.set_state(state);
        self.tcp.side_mut(direction).next_seq = end.wrapping_add(fin);
        let window = self.scaled_window(other);
        self.tcp.side_mut(other).window = window;
        self.note_timestamp();
        self.catch_up(0);
        if self.has(TcpFlags::ACK) {
            self.acknowledge(other, self.ack);
        }
        self.segment(direction);
        Ok(())
    }

    /// Data we did not see was acknowledged: the peer's next number is at least that. `fin`: its FIN counts as one.
    fn catch_up(&mut self, fin: u32) {
        let ack = self.ack;
        let peer = self.tcp.side_mut(self.direction.reverse());
        if seq_lt(peer.next_seq.wrapping_sub(fin), ack) {
            peer.next_seq = ack;
        }
    }

    /// Sets the peer's window from this packet.
    fn take_window(&mut self) {
        let other = self.direction.reverse();
        let window = self.scaled_window(other);
        self.tcp.side_mut(other).window = window;
    }

    fn within_window(&self) -> bool {
        let end = self.seq.wrapping_add(self.len);
        seq_leq(end, self.tcp.side(self.direction).next_win)
            || self.tcp.midstream
            || self.tcp.one_sided
    }

    fn fin_wait1(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        let to_server = direction == ToServer;
        let (seq, ack, len) = (self.seq, self.ack, self.len);
        let end = seq.wrapping_add(len);
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        if self.has(TcpFlags::FIN) {
            self.timestamp_ok()?;
            let acking = self.has(TcpFlags::ACK);
            let sender = *self.tcp.side(direction);
            let fin_again = !to_server
                && acking
                && sender.next_seq.wrapping_sub(1) == seq
                && self.tcp.side(other).last_ack == ack;
            let again = self.is_retransmission() || fin_again;
            if !again
                && (seq_lt(seq, sender.next_seq.wrapping_sub(1))
                    || seq_gt(seq, sender.last_ack.wrapping_add(sender.window)))
            {
                return self.refuse(DecodeEvent::STREAM_FIN1_FIN_WRONG_SEQ);
            }
            self.ack_ok(DecodeEvent::STREAM_FIN1_INVALID_ACK)?;
            if !again {
                self.set_state(if acking {
                    TcpState::TimeWait
                } else {
                    TcpState::Closing
                });
                self.take_window();
            }
            self.note_timestamp();
            if acking && !to_server && again {
                self.segment(direction);
                return Ok(());
            }
            self.catch_up(1);
            let expected = if acking && to_server {
                sender.next_seq
            } else {
                sender.next_seq.wrapping_sub(1)
            };
            if seq == expected {
                self.set_next_seq(direction, end);
            }
            if acking {
                self.acknowledge(other, ack);
            }
            self.segment(direction);
            return Ok(());
        }
        if self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_SHUTDOWN_SYN_RESEND);
        }
        if !self.has(TcpFlags::ACK) {
            return Ok(());
        }
        self.timestamp_ok()?;
        let again = self.is_retransmission();
        self.ack_ok(DecodeEvent::STREAM_FIN1_INVALID_ACK)?;
        let sender = *self.tcp.side(direction);
        let peer = *self.tcp.side(other);
        let expected = if to_server {
            sender.next_seq
        } else {
            sender.next_seq.wrapping_sub(1)
        };
        // Data of the server may still be on its way; only an acknowledgment of its FIN goes on.
        let ready = if to_server {
            ack == peer.next_seq
        } else {
            true
        };
        let early = to_server && seq_lt(ack, peer.next_seq);
        if !early && !again && ready {
            if !self.within_window() {
                return self.refuse(DecodeEvent::STREAM_FIN1_ACK_WRONG_SEQ);
            }
            if seq == expected {
                self.set_state(TcpState::FinWait2);
            }
            self.take_window();
        }
        self.note_timestamp();
        self.catch_up(1);
        if seq == expected {
            self.set_next_seq(direction, end);
        }
        self.acknowledge(other, ack);
        self.note_sack();
        self.widen_window(other);
        self.segment(direction);
        Ok(())
    }

    fn fin_wait2(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        let (seq, ack, len) = (self.seq, self.ack, self.len);
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        let sender = *self.tcp.side(direction);
        if self.has(TcpFlags::FIN) {
            self.timestamp_ok()?;
            let fin_again =
                seq == sender.next_seq.wrapping_sub(1) && ack == self.tcp.side(other).last_ack;
            let again = fin_again || self.is_retransmission();
            if !again
                && (seq_lt(seq, sender.next_seq)
                    || seq_gt(seq, sender.last_ack.wrapping_add(sender.window)))
            {
                return self.refuse(DecodeEvent::STREAM_FIN2_FIN_WRONG_SEQ);
            }
            self.ack_ok(DecodeEvent::STREAM_FIN2_INVALID_ACK)?;
            if !again {
                self.set_state(TcpState::TimeWait);
                if direction == ToServer && sender.next_seq == seq {
                    self.set_next_seq(direction, seq.wrapping_add(len));
                }
                self.take_window();
            }
            self.note_timestamp();
            self.catch_up(0);
            if self.has(TcpFlags::ACK) {
                self.acknowledge(other, ack);
            }
            self.segment(direction);
            return Ok(());
        }
        if self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_SHUTDOWN_SYN_RESEND);
        }
        if !self.has(TcpFlags::ACK) {
            return Ok(());
        }
        self.timestamp_ok()?;
        let again = self.is_retransmission();
        self.ack_ok(DecodeEvent::STREAM_FIN2_INVALID_ACK)?;
        if !again {
            if !self.within_window() {
                return self.refuse(DecodeEvent::STREAM_FIN2_ACK_WRONG_SEQ);
            }
            self.take_window();
        }
        self.note_timestamp();
        if sender.next_seq == seq {
            self.set_next_seq(direction, seq.wrapping_add(len));
        }
        self.acknowledge(other, ack);
        self.note_sack();
        self.widen_window(other);
        self.segment(direction);
        Ok(())
    }

    fn closing(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        if self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_SHUTDOWN_SYN_RESEND);
        }
        if !self.has(TcpFlags::ACK) {
            return Ok(());
        }
        self.timestamp_ok()?;
        let again = self.is_retransmission();
        if self.seq != self.tcp.side(direction).next_seq {
            return self.refuse(DecodeEvent::STREAM_CLOSING_ACK_WRONG_SEQ);
        }
        self.ack_ok(DecodeEvent::STREAM_CLOSING_INVALID_ACK)?;
        if !again {
            self.set_state(TcpState::TimeWait);
            let window = self.scaled_window(ToServer);
            self.tcp.side_mut(ToServer).window = window;
        }
        self.note_timestamp();
        self.catch_up(0);
        self.acknowledge(other, self.ack);
        self.segment(direction);
        Ok(())
    }

    fn close_wait(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        let (seq, ack, len) = (self.seq, self.ack, self.len);
        let end = seq.wrapping_add(len);
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        let sender = *self.tcp.side(direction);
        let window_end = sender.last_ack.wrapping_add(sender.window);
        if self.has(TcpFlags::FIN) {
            self.timestamp_ok()?;
            let again = self.is_retransmission();
            if !again && (seq_lt(seq, sender.next_seq) || seq_gt(seq, window_end)) {
                return self.refuse(DecodeEvent::STREAM_CLOSEWAIT_FIN_OUT_OF_WINDOW);
            }
            self.ack_ok(DecodeEvent::STREAM_CLOSEWAIT_INVALID_ACK)?;
            if !again {
                if direction == ToClient {
                    self.set_state(TcpState::LastAck);
                }
                self.take_window();
            }
            self.note_timestamp();
            self.catch_up(0);
            if self.has(TcpFlags::ACK) {
                self.acknowledge(other, ack);
            }
            self.segment(direction);
            return Ok(());
        }
        if self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_SHUTDOWN_SYN_RESEND);
        }
        if !self.has(TcpFlags::ACK) {
            return Ok(());
        }
        self.timestamp_ok()?;
        let again = self.is_retransmission();
        if len > 0 && seq_leq(end, sender.last_ack) {
            return self.refuse(DecodeEvent::STREAM_CLOSEWAIT_PKT_BEFORE_LAST_ACK);
        }
        if seq_gt(seq, window_end) {
            return self.refuse(DecodeEvent::STREAM_CLOSEWAIT_ACK_OUT_OF_WINDOW);
        }
        self.ack_ok(DecodeEvent::STREAM_CLOSEWAIT_INVALID_ACK)?;
        if !again {
            self.take_window();
        }
        self.note_timestamp();
        self.catch_up(0);
        if seq == sender.next_seq {
            self.set_next_seq(direction, end);
        }
        self.acknowledge(other, ack);
        self.segment(direction);
        Ok(())
    }

    fn last_ack(&mut self) -> Outcome {
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        if self.has(TcpFlags::FIN) {
            return Ok(());
        }
        if self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_SHUTDOWN_SYN_RESEND);
        }
        if !self.has(TcpFlags::ACK) {
            return Ok(());
        }
        self.timestamp_ok()?;
        if self.direction == ToClient {
            return Ok(());
        }
        let again = self.is_retransmission();
        self.ack_ok(DecodeEvent::STREAM_LASTACK_INVALID_ACK)?;
        if !again {
            let next_seq = self.tcp.side(ToServer).next_seq;
            if !seq_lt(self.seq, next_seq) {
                if self.seq != next_seq && self.seq != next_seq.wrapping_add(1) {
                    return self.refuse(DecodeEvent::STREAM_LASTACK_ACK_WRONG_SEQ);
                }
                self.set_state(TcpState::Closed);
            }
            self.take_window();
        }
        self.note_timestamp();
        self.catch_up(0);
        self.acknowledge(ToClient, self.ack);
        self.segment(ToServer);
        Ok(())
    }

    fn time_wait(&mut self) -> Outcome {
        let (direction, other) = (self.direction, self.direction.reverse());
        if self.has(TcpFlags::RST) {
            return self.reset();
        }
        if self.has(TcpFlags::FIN) {
            return Ok(());
        }
        if self.has(TcpFlags::SYN) {
            return self.refuse(DecodeEvent::STREAM_SHUTDOWN_SYN_RESEND);
        }
        if !self.has(TcpFlags::ACK) {
            return Ok(());
        }
        self.timestamp_ok()?;
        let again = self.is_retransmission();
        let sender = *self.tcp.side(direction);
        let near = if direction == ToServer {
            sender.next_seq.wrapping_add(1)
        } else {
            sender.next_seq.wrapping_sub(1)
        };
        if !again && self.seq != sender.next_seq && self.seq != near {
            if direction == ToClient && self.len > 0 && self.seq == sender.last_ack {
                return Ok(());
            }
            return self.refuse(DecodeEvent::STREAM_TIMEWAIT_ACK_WRONG_SEQ);
        }
        self.ack_ok(DecodeEvent::STREAM_TIMEWAIT_INVALID_ACK)?;
        if !again {
            self.set_state(TcpState::Closed);
            self.take_window();
        }
        self.note_timestamp();
        self.catch_up(0);
        self.acknowledge(other, self.ack);
        self.segment(direction);
        Ok(())
    }

    /// After an RST: who did not receive it may go on as before.
    fn closed(&mut self) -> Outcome {
        if self.has(TcpFlags::RST) {
            return Ok(());
        }
        let received = self.tcp.side(self.direction).rst_received;
        if !received && self.tcp.side(self.direction.reverse()).rst_received {
            let previous = self.tcp.previous;
            if previous != TcpState::Closed {
                self.dispatch(previous)?;
            }
            if self.tcp.state == TcpState::Closed {
                self.tcp.state = self.tcp.previous;
            }
        }
        Ok(())
    }

    /// Urgent data in inline mode, by policy.
    pub(super) fn drops_urgent(&self) -> bool {
        let settings = &self.engine.settings;
        settings.inline && settings.urgent == UrgentPolicy::Drop && self.has(TcpFlags::URG)
    }
}
