//! The handshake: SYN, SYN-ACK, and everything that competes with them.
//!
//! Spoofed or retransmitted SYNs and SYN-ACKs must not make us follow another connection than the hosts do. Those that
//! differ wait ([`TcpSession::rivals`]) until the other side shows which one it took. Handles simultaneous open (RFC 9293
//! §3.5), Fast Open (RFC 7413), and sessions of which only one side is seen.

use super::Receiver;
use super::state::{Outcome, Refuse, Work};
use crate::flow::tcp::{Handshake, seq_gt, seq_leq};
use crate::flow::{FlowEvents, TcpState};
use crate::packet::{DecodeEvent, Direction, TcpFlags};

/// Largest window scale (RFC 7323 §2.3): taken where the handshake was not seen.
pub(super) const WSCALE_MAX: u8 = 14;

use Direction::{ToClient, ToServer};

impl<R: Receiver> Work<'_, '_, R> {
    /// A SYN opens a session.
    pub(super) fn open_with_syn(&mut self) -> Outcome {
        self.set_state(TcpState::SynSent);
        self.flow.happened.add(FlowEvents::SYN);
        self.tcp.one_sided |= self.engine.settings.async_oneside;
        let (tcp, seq, secs) = (self.packet.tcp, self.seq, self.secs);
        let [client, server] = &mut self.tcp.sides;
        client.isn = seq;
        client.next_seq = seq.wrapping_add(1);
        if let Some((ts, _)) = tcp.timestamps {
            client.last_ts = ts;
            client.zero_timestamp = ts == 0;
            client.last_packet_secs = secs;
            client.timestamps = true;
        }
        server.window = u32::from(tcp.window);
        server.wscale = tcp.wscale.unwrap_or(0);
        self.tcp.wscale_offered = tcp.wscale.is_some();
        self.tcp.sack_offered = tcp.sack_permitted;
        self.start_stream(ToServer);
        if tcp.fast_open.is_some() {
            self.tcp.fast_open = true;
            if self.len > 0 {
                let next = self.tcp.side(ToServer).next_seq.wrapping_add(self.len);
                self.set_next_seq(ToServer, next);
                self.segment(ToServer);
                self.verdict.stream = true;
            }
        }
        Ok(())
    }

    /// A SYN-ACK opens a session whose SYN was not seen: client and server change places.
    pub(super) fn open_with_syn_ack(&mut self) -> Outcome {
        self.reverse();
        self.set_state(TcpState::SynRecv);
        self.tcp.midstream = true;
        self.tcp.midstream_synack = true;
        self.tcp.one_sided |= self.engine.settings.async_oneside;
        let (tcp, seq, ack) = (self.packet.tcp, self.seq, self.ack);
        let [client, server] = &mut self.tcp.sides;
        server.isn = seq;
        server.next_seq = seq.wrapping_add(1);
        server.window = u32::from(tcp.window);
        server.last_ack = seq;
        server.next_win = server.last_ack.wrapping_add(server.window);
        client.isn = ack.wrapping_sub(1);
        client.next_seq = ack;
        client.last_ack = ack;
        if let Some(wscale) = tcp.wscale {
            client.wscale = wscale;
            server.wscale = WSCALE_MAX;
        }
        self.first_timestamps(ToClient);
        self.tcp.sack_used |= tcp.sack_permitted;
        self.start_stream(ToServer);
        self.start_stream(ToClient);
        Ok(())
    }

    /// Data or a FIN opens a session in the middle.
    pub(super) fn open_in_the_middle(&mut self, state: TcpState) -> Outcome {
        self.set_state(state);
        self.tcp.midstream = true;
        self.tcp.midstream_established = true;
        self.tcp.one_sided |= self.engine.settings.async_oneside;
        let fin = u32::from(self.has(TcpFlags::FIN));
        let (window, seq, ack, len) = (
            u32::from(self.packet.tcp.window),
            self.seq,
            self.ack,
            self.len,
        );
        let [client, server] = &mut self.tcp.sides;
        client.wscale = WSCALE_MAX;
        server.wscale = WSCALE_MAX;
        client.isn = seq.wrapping_sub(1);
        client.next_seq = seq.wrapping_add(len).wrapping_add(fin);
        client.window = window << WSCALE_MAX;
        client.last_ack = seq;
        client.next_win = seq.wrapping_add(client.window);
        server.isn = ack.wrapping_sub(1);
        server.next_seq = ack;
        server.last_ack = ack;
        server.next_win = ack;
        self.first_timestamps(ToServer);
        self.start_stream(ToServer);
        self.start_stream(ToClient);
        self.segment(ToServer);
        self.tcp.sack_used = true;
        Ok(())
    }

    /// Both timestamps of a session picked up in the middle.
    fn first_timestamps(&mut self, sender: Direction) {
        let (timestamps, secs) = (self.packet.tcp.timestamps, self.secs);
        let Some((value, echo)) = timestamps else {
            return;
        };
        self.tcp.timestamps = true;
        let side = self.tcp.side_mut(sender);
        side.last_ts = value;
        side.last_packet_secs = secs;
        side.zero_timestamp |= value == 0;
        let peer = self.tcp.side_mut(sender.reverse());
        peer.last_ts = echo;
        peer.zero_timestamp |= echo == 0;
    }

    /// What this packet offers.
    fn offered(&self) -> Handshake {
        let tcp = &self.packet.tcp;
        Handshake {
            sack: tcp.sack_permitted,
            wscale: tcp.wscale,
            ts: tcp.timestamps.map(|(value, _)| value),
            window: tcp.window,
            seq: self.seq,
            ack: self.ack,
            secs: self.secs,
        }
    }

    /// What the SYN in force offered.
    fn syn_in_force(&self) -> Handshake {
        let [client, server] = &self.tcp.sides;
        Handshake {
            sack: self.tcp.sack_offered,
            wscale: self.tcp.wscale_offered.then_some(server.wscale),
            ts: client.timestamps.then_some(client.last_ts),
            window: server.window as u16,
            seq: client.isn,
            ack: 0,
            secs: client.last_packet_secs,
        }
    }

    pub(super) fn syn_sent(&mut self) -> Outcome {
        const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
        if self.has(SYN_ACK) {
            self.flow.happened.add(FlowEvents::SYN_ACK);
            return if self.direction == ToClient {
                self.syn_ack_of_server()
            } else {
                self.syn_ack_of_client()
            };
        }
        if !self.echo_is_valid() {
            return self.refuse(DecodeEvent::STREAM_PKT_INVALID_TIMESTAMP);
        }
        if self.has(TcpFlags::RST) {
            if !self.rst_is_valid() {
                return Err(Refuse);
            }
            let isn = self.tcp.side(ToServer).isn;
            let direction = self.direction;
            let believable = direction == ToClient
                || (self.seq == isn
                    && self.packet.tcp.window == 0
                    && self.ack == isn.wrapping_add(1));
            if believable {
                self.flow.happened.add(FlowEvents::REFUSED);
                self.tcp.side_mut(direction.reverse()).rst_received = true;
                self.close_with_rst();
                self.tcp.rivals.clear();
            }
            return Ok(());
        }
        if self.has(TcpFlags::FIN) {
            return Ok(());
        }
        if self.has(TcpFlags::SYN) {
            if self.direction == ToClient {
                self.syn_of_server();
            } else {
                self.flow.happened.add(FlowEvents::SYN_RETRY);
                self.syn_again();
            }
            return Ok(());
        }
        if self.has(TcpFlags::ACK) && self.engine.settings.async_oneside {
            return self.one_sided_established();
        }
        Ok(())
    }

    /// The SYN-ACK that answers the SYN (or one of its rivals).
    fn syn_ack_of_server(&mut self) -> Outcome {
        let mismatch = !(self.engine.settings.liberal_timestamps || self.echo_is_valid());
        let client = *self.tcp.side(ToServer);
        let plain = self.ack == client.isn.wrapping_add(1);
        let fast_open = self.tcp.fast_open || self.packet.tcp.fast_open.is_some();
        let answers = if fast_open {
            self.ack == client.next_seq || plain
        } else {
            plain
        };
        if !answers || mismatch {
            if !self.take_rival_syn() {
                return self.refuse(if answers {
                    DecodeEvent::STREAM_PKT_INVALID_TIMESTAMP
                } else {
                    DecodeEvent::STREAM_3WHS_SYNACK_WITH_WRONG_ACK
                });
            }
        } else if fast_open && self.ack != client.next_seq {
            // RFC 7413 §4.2.2: the server may take the SYN and leave its data.
            self.tcp.side_mut(ToServer).next_seq = client.isn;
            self.raise(DecodeEvent::STREAM_3WHS_SYNACK_TFO_DATA_IGNORED);
            self.tcp.fast_open_ignored = true;
        }
        self.tcp.fast_open |= fast_open;
        self.tcp.rivals.clear();
        let offer = self.offered();
        self.adopt_syn_ack(&offer);
        Ok(())
    }

    /// Finds the SYN this SYN-ACK answers among the rivals, and makes it the one in force.
    fn take_rival_syn(&mut self) -> bool {
        let seq = self.ack.wrapping_sub(1);
        let echo = self.packet.tcp.timestamps.map(|(_, echo)| echo);
        let liberal = self.engine.settings.liberal_timestamps;
        let found = self.tcp.rivals.iter().find(|rival| match echo {
            Some(echo) => rival.ts == Some(echo) && rival.seq == seq,
            None => liberal && rival.seq == seq,
        });
        let Some(rival) = found.copied() else {
            return false;
        };
        self.adopt_syn(&rival);
        true
    }

    fn adopt_syn(&mut self, syn: &Handshake) {
        let [client, server] = &mut self.tcp.sides;
        if let Some(ts) = syn.ts {
            client.last_packet_secs = syn.secs;
            client.last_ts = ts;
            client.timestamps = true;
        }
        server.wscale = syn.wscale.unwrap_or(0);
        server.window = u32::from(syn.window);
        client.isn = syn.seq;
        client.next_seq = syn.seq.wrapping_add(1);
        if syn.wscale.is_some() {
            self.tcp.wscale_offered = true;
        }
        self.tcp.sack_offered = syn.sack;
        self.start_stream(ToServer);
    }

    fn adopt_syn_ack(&mut self, answer: &Handshake) {
        if self.tcp.state != TcpState::SynRecv {
            self.set_state(TcpState::SynRecv);
        }
        let (wscale_offered, sack_offered) = (self.tcp.wscale_offered, self.tcp.sack_offered);
        let [client, server] = &mut self.tcp.sides;
        server.isn = answer.seq;
        server.next_seq = answer.seq.wrapping_add(1);
        client.window = u32::from(answer.window);
        match answer.ts.filter(|_| client.timestamps) {
            Some(ts) => {
                server.last_ts = ts;
                server.last_packet_secs = answer.secs;
                server.zero_timestamp |= ts == 0;
                self.tcp.timestamps = true;
            }
            None => {
                client.last_ts = 0;
                server.last_ts = 0;
                client.zero_timestamp = false;
            }
        }
        client.last_ack = answer.ack;
        server.last_ack = server.isn.wrapping_add(1);
        client.wscale = answer.wscale.filter(|_| wscale_offered).unwrap_or(0);
        server.next_win = server.last_ack.wrapping_add(server.window);
        client.next_win = client.last_ack.wrapping_add(client.window);
        self.tcp.sack_used = sack_offered && answer.sack;
        self.tcp.four_way = false;
        self.start_stream(ToClient);
    }

    /// Simultaneous open: the client, too, answers with a SYN-ACK.
    fn syn_ack_of_client(&mut self) -> Outcome {
        if !self.tcp.four_way {
            return self.refuse(DecodeEvent::STREAM_3WHS_SYNACK_IN_WRONG_DIRECTION);
        }
        let [client, server] = &self.tcp.sides;
        if self.ack != server.isn.wrapping_add(1) {
            return self.refuse(DecodeEvent::STREAM_4WHS_SYNACK_WITH_WRONG_ACK);
        }
        if self.seq != client.isn {
            return self.refuse(DecodeEvent::STREAM_4WHS_SYNACK_WITH_WRONG_SYN);
        }
        self.set_state(TcpState::SynRecv);
        let (tcp, seq, ack, secs) = (self.packet.tcp, self.seq, self.ack, self.secs);
        let wscale_offered = self.tcp.wscale_offered;
        let [client, server] = &mut self.tcp.sides;
        client.isn = seq;
        client.next_seq = seq.wrapping_add(1);
        server.window = u32::from(tcp.window);
        match tcp.timestamps.filter(|_| server.timestamps) {
            Some((ts, _)) => {
                client.last_ts = ts;
                client.last_packet_secs = secs;
                client.zero_timestamp |= ts == 0;
                self.tcp.timestamps = true;
            }
            None => {
                server.last_ts = 0;
                client.last_ts = 0;
                server.zero_timestamp = false;
            }
        }
        server.last_ack = ack;
        client.last_ack = client.isn.wrapping_add(1);
        server.wscale = tcp.wscale.filter(|_| wscale_offered).unwrap_or(0);
        client.next_win = client.last_ack.wrapping_add(client.window);
        server.next_win = server.last_ack.wrapping_add(server.window);
        self.tcp.sack_used |= self.tcp.sack_offered && tcp.sack_permitted;
        self.start_stream(ToServer);
        Ok(())
    }

    /// Whether a SYN-ACK echoes the timestamp of the SYN.
    fn echo_is_valid(&self) -> bool {
        let Some((_, echo)) = self
            .packet
            .tcp
            .timestamps
            .filter(|_| self.direction == ToClient)
        else {
            return true;
        };
        let client = self.tcp.side(ToServer);
        if client.timestamps {
            client.last_ts == 0 || echo == 0 || echo == client.last_ts
        } else {
            client.last_ts != 0 || echo == 0
        }
    }

    /// A SYN from the other side as well.
    fn syn_of_server(&mut self) {
        self.tcp.four_way = true;
        let (tcp, seq, secs) = (self.packet.tcp, self.seq, self.secs);
        let server = self.tcp.side_mut(ToClient);
        server.isn = seq;
        server.next_seq = seq.wrapping_add(1);
        if let Some((ts, _)) = tcp.timestamps {
            server.last_ts = ts;
            server.zero_timestamp |= ts == 0;
            server.last_packet_secs = secs;
            server.timestamps = true;
        }
        server.window = u32::from(tcp.window);
        server.wscale = tcp.wscale.unwrap_or(0);
        self.tcp.wscale_offered = tcp.wscale.is_some();
        self.tcp.sack_offered = tcp.sack_permitted;
        self.start_stream(ToClient);
    }

    /// Another SYN of the client: the newest counts, the one before waits.
    fn syn_again(&mut self) {
        let (new, old) = (
            Handshake {
                ack: 0,
                ..self.offered()
            },
            self.syn_in_force(),
        );
        if new != old {
            let known = self
                .tcp
                .rivals
                .iter()
                .any(|rival| old.ts.is_some() && rival.ts == old.ts && rival.seq == old.seq);
            let max = self.engine.settings.syn_queue_max;
            if !known && max > 0 {
                if self.tcp.rivals.len() >= max {
                    self.raise(DecodeEvent::STREAM_3WHS_SYN_FLOOD);
                    self.tcp.rivals.remove(0);
                }
                self.tcp.rivals.push(old);
            }
        }
        self.adopt_syn(&new);
    }

    /// Only the client is seen: its first acknowledgment completes the handshake.
    fn one_sided_established(&mut self) -> Outcome {
        if self.seq != self.tcp.side(ToServer).next_seq {
            return self.refuse(DecodeEvent::STREAM_3WHS_ASYNC_WRONG_SEQ);
        }
        self.tcp.one_sided = true;
        self.set_state(TcpState::Established);
        self.tcp.rivals.clear();
        let (window, seq, ack, secs) = (
            u32::from(self.packet.tcp.window),
            self.seq,
            self.ack,
            self.secs,
        );
        let (wscale_offered, timestamp) = (
            self.tcp.wscale_offered,
            self.packet.tcp.timestamps.is_some(),
        );
        let [client, server] = &mut self.tcp.sides;
        client.window = window;
        client.last_ack = seq;
        client.next_win = seq.wrapping_add(window);
        server.isn = ack.wrapping_sub(1);
        server.next_seq = ack;
        server.last_ack = ack;
        server.next_win = ack;
        if wscale_offered {
            client.wscale = WSCALE_MAX;
        }
        if timestamp && client.timestamps {
            self.tcp.timestamps = true;
            client.timestamps = false;
            client.last_packet_secs = secs;
        } else {
            client.last_ts = 0;
            client.zero_timestamp = false;
        }
        self.tcp.sack_used |= self.tcp.sack_offered;
        self.start_stream(ToClient);
        self.segment(ToServer);
        Ok(())
    }

    pub(super) fn syn_recv(&mut self) -> Outcome {
        const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;
        if self.has(TcpFlags::RST) {
            if !self.rst_is_valid() {
                return Err(Refuse);
            }
            use super::OsPolicy::{Linux, OldLinux, Solaris};
            let ignores = matches!(self.receiver_policy(), Linux | OldLinux | Solaris);
            if !(self.tcp.evasion && ignores) {
                self.flow.happened.add(FlowEvents::REFUSED);
                self.close_with_rst();
                self.note_timestamp();
            }
            return Ok(());
        }
        if self.has(TcpFlags::FIN) {
            if self.tcp.timestamps && !self.timestamp_is_valid() {
                return Err(Refuse);
            }
            return self.first_fin();
        }
        if self.has(SYN_ACK) {
            return self.syn_ack_again();
        }
        if self.has(TcpFlags::SYN) {
            if self.direction == ToClient {
                return self.refuse(DecodeEvent::STREAM_3WHS_SYN_TOCLIENT_ON_SYN_RECV);
            }
            self.flow.happened.add(FlowEvents::SYN_RETRY);
            if self.seq != self.tcp.side(ToServer).isn {
                return self.refuse(DecodeEvent::STREAM_3WHS_SYN_RESEND_DIFF_SEQ_ON_SYN_RECV);
            }
            return Ok(());
        }
        if self.has(TcpFlags::ACK) {
            return self.handshake_ack();
        }
        Ok(())
    }

    fn syn_ack_again(&mut self) -> Outcome {
        if self.direction == ToServer {
            return self.refuse(DecodeEvent::STREAM_3WHS_SYNACK_TOSERVER_ON_SYN_RECV);
        }
        if self.ack != self.tcp.side(ToServer).last_ack {
            return self.refuse(DecodeEvent::STREAM_3WHS_SYNACK_RESEND_WITH_DIFF_ACK);
        }
        if self.seq == self.tcp.side(ToClient).isn {
            return Ok(());
        }
        let offer = self.offered();
        let same =
            |rival: &Handshake| Handshake { secs: 0, ..*rival } == Handshake { secs: 0, ..offer };
        if self.tcp.rivals.iter().any(same) {
            return Ok(());
        }
        if self.tcp.rivals.len() >= self.engine.settings.synack_queue_max {
            return self.refuse(DecodeEvent::STREAM_3WHS_SYNACK_FLOOD);
        }
        self.tcp.rivals.insert(0, offer);
        Ok(())
    }

    /// The acknowledgment that completes the handshake, or what comes in its place.
    fn handshake_ack(&mut self) -> Outcome {
        let (seq, ack, len) = (self.seq, self.ack, self.len);
        let rival = self
            .tcp
            .rivals
            .iter()
            .find(|rival| rival.seq == ack.wrapping_sub(1) && rival.ack == seq);
        if let Some(rival) = rival.copied() {
            self.adopt_syn_ack(&rival);
        }
        if self.tcp.timestamps && !self.timestamp_is_valid() {
            return Err(Refuse);
        }
        if self.tcp.four_way && self.direction == ToClient {
            return self.four_way_ack();
        }
        let to_client = self.direction == ToClient;
        let inline = self.engine.settings.inline && self.engine.saw_all(self.flow);
        let client = *self.tcp.side(ToServer);
        let server = *self.tcp.side(ToClient);
        // The server speaks although we have not seen the client's acknowledgment.
        let missed = to_client && !self.tcp.midstream_synack && !self.tcp.fast_open;
        if missed && inline {
            let injected = len > 0 && ack == client.last_ack && seq == server.next_seq;
            return self.refuse(if injected {
                DecodeEvent::STREAM_3WHS_ACK_DATA_INJECT
            } else {
                DecodeEvent::STREAM_3WHS_ACK_IN_WRONG_DIR
            });
        }
        if seq == client.next_seq && ack == server.next_seq {
            self.note_timestamp();
            self.acknowledge(ToClient, ack);
            self.set_next_seq(ToServer, client.next_seq.wrapping_add(len));
            self.window_from_client();
            if self.tcp.midstream {
                let window = u32::from(self.packet.tcp.window);
                let client = self.tcp.side_mut(ToServer);
                client.window = window << client.wscale;
                client.next_win = client.last_ack.wrapping_add(client.window);
                self.widen_unless_synack_seen();
            }
            self.set_state(TcpState::Established);
            self.verdict.established |= len > 0;
            self.segment(ToServer);
            return Ok(());
        }
        if self.engine.settings.async_oneside && seq == server.next_seq {
            return self.one_sided_server();
        }
        if seq == client.next_seq {
            self.tcp.evasion = true;
            return self.refuse(DecodeEvent::STREAM_3WHS_RIGHT_SEQ_WRONG_ACK_EVASION);
        }
        if to_client && !inline && seq_gt(seq, client.next_seq) && seq_gt(ack, client.last_ack) {
            // Both the acknowledgment and data of the client were missed.
            self.note_timestamp();
            self.acknowledge(ToServer, ack);
            let window = u32::from(self.packet.tcp.window);
            self.tcp.side_mut(ToClient).next_seq = seq.wrapping_add(len);
            let client = self.tcp.side_mut(ToServer);
            client.next_win = client.last_ack.wrapping_add(window << client.wscale);
            client.window = window;
            let server = self.tcp.side_mut(ToClient);
            server.next_win = server.last_ack.wrapping_add(server.window);
            self.set_state(TcpState::Established);
            self.segment(ToClient);
            return Ok(());
        }
        if seq_gt(seq, client.next_seq) && seq_leq(seq, client.next_win) && ack == server.next_seq {
            // The acknowledgment was lost, its data is ahead.
            self.note_timestamp();
            self.tcp.side_mut(ToServer).next_seq = seq.wrapping_add(len);
            self.acknowledge(ToClient, ack);
            self.window_from_client();
            if self.tcp.midstream {
                let window = u32::from(self.packet.tcp.window);
                self.tcp.side_mut(ToServer).window = window;
                self.widen();
            }
            self.set_state(TcpState::Established);
            self.segment(ToServer);
            return Ok(());
        }
        if (missed || self.tcp.fast_open) && ack == client.last_ack && seq == server.next_seq {
            self.set_next_seq(ToClient, seq.wrapping_add(len));
            self.window_from_client();
            self.set_state(TcpState::Established);
            self.segment(ToClient);
            return Ok(());
        }
        self.refuse(DecodeEvent::STREAM_3WHS_WRONG_SEQ_WRONG_ACK)
    }

    /// Takes the packet's window as what it offers the server.
    fn window_from_client(&mut self) {
        let window = u32::from(self.packet.tcp.window);
        let server = self.tcp.side_mut(ToClient);
        server.window = window << server.wscale;
        server.next_win = server.last_ack.wrapping_add(server.window);
    }

    fn widen_unless_synack_seen(&mut self) {
        if !self.tcp.midstream_synack {
            self.widen();
        }
    }

    /// The handshake was not seen: any window is possible.
    fn widen(&mut self) {
        for side in &mut self.tcp.sides {
            side.wscale = WSCALE_MAX;
        }
        self.tcp.sack_used = true;
    }

    fn four_way_ack(&mut self) -> Outcome {
        let (ack, len) = (self.ack, self.len);
        let server = *self.tcp.side(ToClient);
        if self.seq != server.next_seq {
            return self.refuse(DecodeEvent::STREAM_4WHS_WRONG_SEQ);
        }
        if !self.ack_is_valid(ToServer) {
            return self.refuse(DecodeEvent::STREAM_4WHS_INVALID_ACK);
        }
        self.note_timestamp();
        self.acknowledge(ToServer, ack);
        self.set_next_seq(ToClient, server.next_seq.wrapping_add(len));
        let window = u32::from(self.packet.tcp.window);
        let client = self.tcp.side_mut(ToServer);
        client.window = window << client.wscale;
        client.next_win = client.last_ack.wrapping_add(client.window);
        self.set_state(TcpState::Established);
        self.segment(ToClient);
        Ok(())
    }

    /// Only the server is seen.
    fn one_sided_server(&mut self) -> Outcome {
        let (seq, ack, len) = (self.seq, self.ack, self.len);
        let window = u32::from(self.packet.tcp.window);
        self.tcp.one_sided = true;
        let [client, server] = &mut self.tcp.sides;
        server.next_seq = server.next_seq.wrapping_add(len);
        server.last_ack = seq;
        client.window = window << client.wscale;
        client.last_ack = ack;
        self.note_timestamp();
        if self.tcp.midstream {
            let server = self.tcp.side_mut(ToClient);
            server.window = window;
            server.next_win = server.last_ack.wrapping_add(window);
            self.widen();
        }
        self.set_state(TcpState::Established);
        self.segment(ToClient);
        Ok(())
    }
}
