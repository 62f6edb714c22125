//! Whole connections, segment by segment.

use proptest::prelude::*;

use super::*;
use crate::flow::{FlowState, TcpState};
use crate::packet::{Layers, Net, Transport};

use Direction::{ToClient, ToServer};

/// Takes everything, and remembers it.
#[derive(Debug, Default)]
struct Recorder {
    bytes: [Vec<u8>; 2],
    gaps: [u64; 2],
    ended: [bool; 2],
    /// Bytes to wait for before taking any.
    needed: usize,
    swaps: u32,
}

impl Receiver for Recorder {
    fn receive(&mut self, _flow: &mut Flow, offer: &Offer<'_>) -> Taken {
        let i = offer.direction.index();
        assert_eq!(offer.offset, self.bytes[i].len() as u64 + self.gaps[i]);
        self.ended[i] |= offer.end;
        if offer.bytes.len() < self.needed && !offer.end && offer.gap == 0 {
            return Taken {
                needed: self.needed,
                parsed: true,
                next: Next::Wait,
                ..Taken::default()
            };
        }
        self.bytes[i].extend_from_slice(offer.bytes);
        self.gaps[i] += offer.gap;
        Taken {
            consumed: offer.bytes.len(),
            parsed: true,
            ..Taken::default()
        }
    }

    fn swap_directions(&mut self) {
        self.swaps += 1;
    }
}

struct Wire {
    engine: StreamEngine,
    flow: Flow,
    streams: StreamPair,
    app: Recorder,
    events: EventSet,
    secs: u64,
    window: u16,
    raw: [Vec<u8>; 2],
    urgent: u16,
}

const CLIENT: u32 = 1000;
const SERVER: u32 = 5000;

impl Wire {
    fn new(settings: StreamSettings) -> Self {
        Self {
            engine: StreamEngine::new(settings),
            flow: Flow::default(),
            streams: StreamPair::default(),
            app: Recorder::default(),
            events: EventSet::default(),
            secs: 100,
            window: 60_000,
            raw: Default::default(),
            urgent: 0,
        }
    }

    /// Data of the client with an urgent pointer.
    fn urgent(&mut self, seq: u32, pointer: u16, data: &[u8]) -> StreamVerdict {
        self.urgent = pointer;
        let verdict = self.send(ToServer, DATA | TcpFlags::URG, seq, SERVER + 1, data);
        self.urgent = 0;
        verdict
    }

    /// What the server's application got, once it acknowledged up to a sequence number.
    fn read_up_to(&mut self, ack: u32) -> &[u8] {
        self.send(ToClient, TcpFlags::ACK, SERVER + 1, ack, b"");
        &self.app.bytes[0]
    }

    fn established(settings: StreamSettings) -> Self {
        let mut wire = Self::new(settings);
        wire.send(ToServer, TcpFlags::SYN, CLIENT, 0, b"");
        wire.send(
            ToClient,
            TcpFlags::SYN | TcpFlags::ACK,
            SERVER,
            CLIENT + 1,
            b"",
        );
        wire.send(ToServer, TcpFlags::ACK, CLIENT + 1, SERVER + 1, b"");
        assert!(wire.events.is_empty());
        assert_eq!(
            (wire.state(), wire.flow.state),
            (TcpState::Established, FlowState::Established)
        );
        wire
    }

    fn send(
        &mut self,
        direction: Direction,
        flags: u8,
        seq: u32,
        ack: u32,
        data: &[u8],
    ) -> StreamVerdict {
        let mut layers = Layers {
            ts: Timestamp::new(self.secs, 0),
            net: Net::V4,
            transport: Transport::Tcp,
            ip_proto: 6,
            payload_len: data.len() as u32,
            ..Layers::default()
        };
        layers.tcp.seq = seq;
        layers.tcp.ack = ack;
        layers.tcp.flags = TcpFlags(flags);
        layers.tcp.window = self.window;
        layers.tcp.urgent = self.urgent;
        let packet = Packet {
            frame: data,
            layers: &layers,
        };
        let Self {
            engine,
            flow,
            streams,
            app,
            events,
            ..
        } = self;
        *events = EventSet::default();
        let verdict = engine.packet(&packet, direction, flow, streams, app, events);
        if verdict.stream {
            self.look(verdict.direction);
        }
        verdict
    }

    /// Raw inspection.
    fn look(&mut self, direction: Direction) {
        let mut after = None;
        while let Some(window) = self
            .engine
            .window(direction, &self.flow, &self.streams, after)
        {
            assert!(window.seen < window.bytes.len());
            self.raw[direction.index()].extend_from_slice(&window.bytes[window.seen..]);
            after = Some(window.end());
        }
        self.engine
            .inspected(direction, &self.flow, &mut self.streams, after);
    }

    fn finish(&mut self) {
        let unfinished = self
            .engine
            .unfinished(&self.flow, &self.streams, [false; 2]);
        for direction in [ToServer, ToClient] {
            if unfinished[direction.index()] {
                let Self {
                    engine,
                    flow,
                    streams,
                    app,
                    events,
                    ..
                } = self;
                engine.end(direction, flow, streams, app, events);
                self.look(direction);
            }
        }
        self.engine.release(&mut self.streams);
        assert_eq!(self.engine.held_bytes(), 0);
    }

    fn state(&self) -> TcpState {
        self.flow
            .tcp
            .as_ref()
            .map_or(TcpState::None, |tcp| tcp.state)
    }

    fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(DecodeEvent::name).collect()
    }
}

const DATA: u8 = TcpFlags::ACK | TcpFlags::PSH;

#[test]
fn bytes_are_handed_over_when_acknowledged() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"GET /");
    assert!(wire.app.bytes[0].is_empty());
    let verdict = wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 4, b"");
    assert_eq!(
        (wire.app.bytes[0].as_slice(), verdict.updated),
        (&b"GET"[..], [true, false])
    );
    wire.send(ToClient, DATA, SERVER + 1, CLIENT + 6, b"200");
    assert_eq!(
        (wire.app.bytes[0].as_slice(), wire.app.bytes[1].as_slice()),
        (&b"GET /"[..], &b""[..])
    );
    wire.send(ToServer, TcpFlags::ACK, CLIENT + 6, SERVER + 4, b"");
    assert_eq!(wire.app.bytes[1], b"200");
}

#[test]
fn inline_bytes_are_handed_over_at_once() {
    let mut wire = Wire::established(StreamSettings {
        inline: true,
        ..StreamSettings::default()
    });
    let verdict = wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"GET /");
    assert_eq!(
        (wire.app.bytes[0].as_slice(), verdict.updated, verdict.added),
        (&b"GET /"[..], [true, false], true)
    );
    assert_eq!(wire.raw[0], b"GET /");
}

#[test]
fn inline_overlap_with_other_bytes_is_dropped_and_the_first_bytes_stay() {
    let mut wire = Wire::established(StreamSettings {
        inline: true,
        drop_different_overlap: true,
        ..StreamSettings::default()
    });
    wire.send(ToServer, DATA, CLIENT + 4, SERVER + 1, b"DEF");
    let verdict = wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"ABCxyz");
    assert_eq!(verdict.drop, Some(DropReason::StreamReassembly));
    assert_eq!(wire.app.bytes[0], b"ABCDEF");
}

fn oob() -> Wire {
    Wire::established(StreamSettings::default())
}

#[test]
fn the_urgent_byte_is_not_part_of_the_stream() {
    let mut wire = oob();
    wire.urgent(CLIENT + 1, 10, b"GET /malicX");
    // The pointer covers the space: hosts take the byte it covers last, wherever the segment ends.
    assert_eq!(wire.read_up_to(CLIENT + 12), b"GET /maliX");
    let mut wire = oob();
    wire.urgent(CLIENT + 1, 11, b"GET /malicX");
    wire.send(ToServer, DATA, CLIENT + 12, SERVER + 1, b"ious");
    assert_eq!(wire.read_up_to(CLIENT + 16), b"GET /malicious");
    assert!(wire.events.is_empty() && wire.app.gaps == [0; 2]);
    let mut wire = Wire::established(StreamSettings {
        urgent: UrgentPolicy::Inline,
        ..StreamSettings::default()
    });
    wire.urgent(CLIENT + 1, 4, b"malX");
    assert_eq!(wire.read_up_to(CLIENT + 5), b"malX");
    let mut wire = Wire::established(StreamSettings {
        urgent: UrgentPolicy::Gap,
        ..StreamSettings::default()
    });
    wire.urgent(CLIENT + 1, 4, b"malXic");
    wire.send(ToServer, DATA, CLIENT + 7, SERVER + 1, b"ious");
    assert_eq!(wire.read_up_to(CLIENT + 11), b"malicious");
    assert_eq!(wire.app.gaps, [1, 0]);
}

#[test]
fn urgent_segments_sent_again_or_late_shift_nothing() {
    let mut wire = oob();
    wire.urgent(CLIENT + 1, 4, b"malX");
    wire.urgent(CLIENT + 1, 4, b"malX");
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"malXic");
    wire.urgent(CLIENT + 7, 4, b"iouY");
    assert_eq!(wire.read_up_to(CLIENT + 11), b"maliciou");
    wire.urgent(CLIENT + 7, 4, b"iouY");
    wire.send(ToServer, DATA, CLIENT + 11, SERVER + 1, b"s");
    assert_eq!(wire.read_up_to(CLIENT + 12), b"malicious");
    // What follows the urgent byte comes first, in parts, and once more with the urgent byte.
    let mut wire = oob();
    wire.send(ToServer, DATA, CLIENT + 9, SERVER + 1, b"us");
    wire.send(ToServer, DATA, CLIENT + 5, SERVER + 1, b"ici");
    wire.urgent(CLIENT + 4, 5, b"XiciY");
    assert_eq!(wire.app.bytes[0], b"");
    wire.urgent(CLIENT + 1, 4, b"malX");
    assert_eq!(wire.read_up_to(CLIENT + 11), b"malicius");
    assert_eq!(wire.app.gaps, [0; 2]);
}

#[test]
fn an_urgent_pointer_may_cover_bytes_to_come() {
    let mut wire = oob();
    wire.urgent(CLIENT + 1, 6, b"");
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"mal");
    wire.send(ToServer, DATA, CLIENT + 4, SERVER + 1, b"icXious");
    assert_eq!(wire.read_up_to(CLIENT + 11), b"malicious");
    // Only the last one counts, and none that points at what was read.
    let mut wire = oob();
    wire.urgent(CLIENT + 1, 5, b"mal");
    wire.urgent(CLIENT + 1, 6, b"mal");
    wire.send(ToServer, DATA, CLIENT + 4, SERVER + 1, b"icXi");
    wire.urgent(CLIENT + 1, 2, b"mal");
    wire.send(ToServer, DATA, CLIENT + 8, SERVER + 1, b"ous");
    assert_eq!(wire.read_up_to(CLIENT + 11), b"malicious");
}

#[test]
fn acknowledged_means_the_same_behind_urgent_bytes() {
    let mut wire = oob();
    for i in 0..20 {
        wire.urgent(CLIENT + 1 + i, 1, b"X");
    }
    wire.send(ToServer, DATA, CLIENT + 21, SERVER + 1, b"abc");
    wire.send(ToServer, DATA, CLIENT + 25, SERVER + 1, b"efg");
    // Seen and not seen: what is missing was not acknowledged, so nothing is lost.
    assert_eq!(wire.read_up_to(CLIENT + 23), b"ab");
    assert_eq!(wire.app.gaps, [0; 2]);
    wire.send(ToServer, DATA, CLIENT + 24, SERVER + 1, b"d");
    assert_eq!(wire.read_up_to(CLIENT + 28), b"abcdefg");
}

#[test]
fn urgent_bytes_out_of_band_are_bounded() {
    let mut wire = oob();
    let mut reached = 0;
    for i in 0..70_000u32 {
        wire.urgent(CLIENT + 1 + i, 1, b"X");
        reached += u32::from(
            wire.events
                .contains(crate::packet::DecodeEvent::STREAM_REASSEMBLY_URGENT_OOB_LIMIT_REACHED),
        );
        wire.read_up_to(CLIENT + 2 + i);
    }
    assert_eq!((reached, wire.app.bytes[0].len()), (1, 70_000 - 65_535));
    // Nobody acknowledges: the marks are bounded, too.
    let mut wire = oob();
    for i in 0..5000u32 {
        wire.urgent(CLIENT + 1 + i, 1, b"X");
    }
    assert_eq!(
        wire.read_up_to(CLIENT + 5001).len(),
        5000 - urgent::MARKS_MAX
    );
}

proptest! {
    /// However the segments of a stream with urgent bytes arrive, the same is read, and what one urgent byte covers not.
    #[test]
    fn urgent_bytes_are_out_in_any_order(
        sizes in proptest::collection::vec((1usize..6, any::<bool>()), 1..12),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut segments = Vec::new();
        let mut read: Vec<u8> = Vec::new();
        let mut seq = CLIENT + 1;
        for (i, (size, urgent)) in sizes.iter().enumerate() {
            let mut data = vec![b'a' + i as u8; *size];
            if *urgent {
                data[size - 1] = b'!';
            }
            read.extend(data.iter().filter(|b| **b != b'!'));
            segments.push((seq, *urgent, data));
            seq += *size as u32;
        }
        let mut sent: Vec<usize> = order.iter().map(|i| i.index(segments.len())).collect();
        sent.extend(0..segments.len());
        let mut wire = oob();
        for i in sent {
            let (seq, urgent, data) = &segments[i];
            if *urgent {
                wire.urgent(*seq, data.len() as u16, data);
            } else {
                wire.send(ToServer, DATA, *seq, SERVER + 1, data);
            }
        }
        prop_assert_eq!(wire.read_up_to(seq), read.as_slice());
        prop_assert_eq!(wire.app.gaps, [0; 2]);
    }
}

#[test]
fn fin_from_both_closes_and_hands_over_the_rest() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"hi");
    wire.send(
        ToClient,
        DATA | TcpFlags::FIN,
        SERVER + 1,
        CLIENT + 3,
        b"bye",
    );
    assert_eq!(wire.state(), TcpState::FinWait1);
    wire.send(
        ToServer,
        TcpFlags::ACK | TcpFlags::FIN,
        CLIENT + 3,
        SERVER + 5,
        b"",
    );
    assert_eq!(
        (wire.state(), wire.flow.state),
        (TcpState::TimeWait, FlowState::Closed)
    );
    wire.send(ToClient, TcpFlags::ACK, SERVER + 5, CLIENT + 4, b"");
    assert_eq!(wire.state(), TcpState::Closed);
    assert!(wire.events.is_empty(), "{:?}", wire.names());
    assert_eq!(
        (wire.app.bytes[0].as_slice(), wire.app.bytes[1].as_slice()),
        (&b"hi"[..], &b"bye"[..])
    );
    assert_eq!(wire.app.ended, [true; 2]);
    wire.finish();
}

#[test]
fn the_client_may_close_first() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(
        ToServer,
        TcpFlags::ACK | TcpFlags::FIN,
        CLIENT + 1,
        SERVER + 1,
        b"",
    );
    assert_eq!(wire.state(), TcpState::CloseWait);
    wire.send(
        ToClient,
        TcpFlags::ACK | TcpFlags::FIN,
        SERVER + 1,
        CLIENT + 2,
        b"",
    );
    assert_eq!(wire.state(), TcpState::LastAck);
    wire.send(ToServer, TcpFlags::ACK, CLIENT + 2, SERVER + 2, b"");
    assert_eq!((wire.state(), wire.names()), (TcpState::Closed, vec![]));
}

#[test]
fn rst_closes_only_where_the_receiver_would_take_it() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(ToClient, TcpFlags::RST, SERVER + 500, 0, b"");
    assert_eq!(wire.state(), TcpState::Established);
    wire.send(ToClient, TcpFlags::RST, SERVER + 1, 0, b"");
    assert_eq!(
        (wire.state(), wire.flow.state),
        (TcpState::Closed, FlowState::Closed)
    );
}

#[test]
fn refused_connections_and_strays_are_told() {
    let mut wire = Wire::new(StreamSettings::default());
    wire.send(ToServer, TcpFlags::SYN, CLIENT, 0, b"");
    wire.send(ToClient, TcpFlags::RST | TcpFlags::ACK, 0, CLIENT + 1, b"");
    assert!(wire.flow.happened.has(crate::flow::FlowEvents::REFUSED));
    assert_eq!(wire.state(), TcpState::Closed);
    let mut stray = Wire::new(StreamSettings::default());
    stray.send(ToServer, TcpFlags::FIN, CLIENT, 0, b"");
    assert_eq!(stray.names(), ["stream.fin_but_no_session"]);
    assert!(stray.flow.happened.has(crate::flow::FlowEvents::STRAY) && stray.flow.tcp.is_none());
    stray.send(ToServer, TcpFlags::RST, CLIENT, 0, b"");
    assert_eq!(stray.names(), ["stream.rst_but_no_session"]);
}

#[test]
fn a_gap_is_reported_once_acknowledged_data_is_missing() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(ToServer, DATA, CLIENT + 11, SERVER + 1, b"KLMNO");
    wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 16, b"");
    assert_eq!(
        (wire.app.gaps[0], wire.app.bytes[0].as_slice()),
        (10, &b"KLMNO"[..])
    );
    assert_eq!(wire.names(), ["stream.reassembly_seq_gap"]);
    wire.send(ToServer, DATA, CLIENT + 16, SERVER + 1, b"PQ");
    wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 18, b"");
    assert_eq!(wire.app.bytes[0], b"KLMNOPQ");
    wire.finish();
    assert_eq!(wire.raw[0], b"KLMNOPQ");
}

#[test]
fn a_segment_beyond_the_depth_does_not_hide_what_is_sent_before_it() {
    for inline in [false, true] {
        let mut wire = Wire::established(StreamSettings {
            depth: 100,
            inline,
            ..StreamSettings::default()
        });
        wire.send(ToServer, DATA, CLIENT + 1 + 200, SERVER + 1, b"far");
        assert!(wire.events.is_empty());
        wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"attack");
        assert_eq!(wire.read_up_to(CLIENT + 7), b"attack");
        // What is lost and was acknowledged is not waited for.
        wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 204, b"");
        wire.send(ToServer, DATA, CLIENT + 204, SERVER + 1, b"further");
        assert_eq!(wire.names(), ["stream.reassembly_depth_reached"]);
    }
}

#[test]
fn depth_ends_reassembly() {
    let mut wire = Wire::established(StreamSettings {
        depth: 10,
        ..StreamSettings::default()
    });
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"01234567");
    wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 9, b"");
    wire.send(ToServer, DATA, CLIENT + 9, SERVER + 1, b"89abcdef");
    assert_eq!(wire.names(), ["stream.reassembly_depth_reached"]);
    assert_eq!(wire.app.bytes[0], b"01234567");
    let verdict = wire.send(ToServer, DATA, CLIENT + 17, SERVER + 1, b"more");
    assert!(!verdict.added && wire.engine.held_bytes() == 0);
}

#[test]
fn out_of_window_data_is_not_taken() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(ToServer, DATA, CLIENT + 1 + 70_000, SERVER + 1, b"far");
    assert_eq!(wire.names(), ["stream.est_packet_out_of_window"]);
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 70_000, b"x");
    assert_eq!(
        wire.names(),
        ["stream.est_invalid_ack", "stream.pkt_invalid_ack"]
    );
}

#[test]
fn retransmissions_and_keepalives_are_known() {
    let mut wire = Wire::established(StreamSettings::default());
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"hello");
    wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 6, b"");
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"hello");
    assert_eq!(wire.names()[0], "stream.pkt_spurious_retransmission");
    wire.send(ToServer, TcpFlags::ACK, CLIENT + 5, SERVER + 1, b"");
    assert!(wire.events.is_empty());
    assert_eq!(wire.app.bytes[0], b"hello");
}

#[test]
fn sessions_are_picked_up_in_the_middle_only_when_told_to() {
    let mut wire = Wire::new(StreamSettings::default());
    wire.send(ToServer, DATA, CLIENT, SERVER, b"data");
    assert!(wire.flow.tcp.is_none());
    let midstream = StreamSettings {
        midstream: true,
        ..StreamSettings::default()
    };
    let mut wire = Wire::new(midstream.clone());
    wire.send(ToServer, DATA, CLIENT, SERVER, b"data");
    assert_eq!(wire.state(), TcpState::Established);
    wire.send(ToClient, DATA, SERVER, CLIENT + 4, b"back");
    assert_eq!(wire.app.bytes[0], b"data");
    let mut wire = Wire::new(midstream);
    let verdict = wire.send(
        ToServer,
        TcpFlags::SYN | TcpFlags::ACK,
        SERVER,
        CLIENT + 1,
        b"",
    );
    assert_eq!(
        (verdict.direction, wire.flow.reversed, wire.app.swaps),
        (ToClient, true, 1)
    );
    wire.send(ToServer, TcpFlags::ACK, CLIENT + 1, SERVER + 1, b"");
    assert_eq!(
        (wire.state(), wire.names()),
        (TcpState::Established, vec![])
    );
}

#[test]
fn inline_what_is_refused_passes_when_packets_may_have_gone_by_unseen() {
    let inline = || StreamSettings {
        inline: true,
        ..StreamSettings::default()
    };
    let (syn_ack, fin) = (TcpFlags::SYN | TcpFlags::ACK, TcpFlags::FIN | TcpFlags::ACK);
    // The client's acknowledgment and request went by unseen; the server answers them.
    for missed in [None, Some(100), Some(99)] {
        let mut wire = Wire::new(inline());
        wire.flow.first = Timestamp::new(100, 0);
        wire.send(ToServer, TcpFlags::SYN, CLIENT, 0, b"");
        wire.send(ToClient, syn_ack, SERVER, CLIENT + 1, b"");
        if let Some(until) = missed {
            wire.engine.missed(Timestamp::new(until, 0));
        }
        let whole = missed != Some(100);
        let drops = whole.then_some(DropReason::StreamError);
        for data in [&b""[..], b"200"] {
            let verdict = wire.send(ToClient, DATA, SERVER + 1, CLIENT + 50, data);
            assert_eq!(verdict.drop, drops, "{missed:?} {data:?}");
        }
    }
    // The end of a connection that nobody knows.
    for drop_strays in [true, false] {
        let mut wire = Wire::new(StreamSettings {
            drop_strays,
            ..inline()
        });
        let verdict = wire.send(ToServer, fin, CLIENT, SERVER, b"");
        assert!(verdict.invalid);
        assert_eq!(verdict.drop.is_some(), drop_strays);
    }
}

#[test]
fn one_sided_sessions_hand_over_what_they_see() {
    let mut wire = Wire::new(StreamSettings {
        async_oneside: true,
        ..StreamSettings::default()
    });
    wire.send(ToServer, TcpFlags::SYN, CLIENT, 0, b"");
    wire.send(ToServer, TcpFlags::ACK, CLIENT + 1, SERVER + 1, b"");
    assert_eq!(wire.state(), TcpState::Established);
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"GET");
    wire.send(ToServer, DATA, CLIENT + 4, SERVER + 100, b" /");
    wire.finish();
    assert_eq!(wire.app.bytes[0], b"GET /");
}

#[test]
fn raw_inspection_waits_for_a_chunk_or_the_end() {
    let mut wire = Wire::established(StreamSettings::default());
    let mut seq = CLIENT + 1;
    for i in 0..10u8 {
        wire.send(ToServer, DATA, seq, SERVER + 1, &[b'a' + i; 400]);
        seq += 400;
        wire.send(ToClient, TcpFlags::ACK, SERVER + 1, seq, b"");
        assert_eq!(wire.raw[0].is_empty(), i < 7, "{i}");
    }
    assert_eq!(wire.raw[0].len(), 2800);
    wire.finish();
    assert_eq!(wire.raw[0].len(), 4000);
}

#[test]
fn a_window_follows_the_one_before() {
    let mut wire = Wire::established(StreamSettings {
        chunk_bytes: [10; 2],
        ..StreamSettings::default()
    });
    wire.send(ToServer, DATA, CLIENT + 1, SERVER + 1, b"0123456789");
    wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 11, b"");
    wire.send(ToServer, DATA, CLIENT + 11, SERVER + 1, b"abcdefghij");
    wire.send(ToClient, TcpFlags::ACK, SERVER + 1, CLIENT + 21, b"");
    let window = wire
        .engine
        .window(ToServer, &wire.flow, &wire.streams, None)
        .expect("a chunk");
    assert_eq!(
        (window.bytes, window.seen, window.offset),
        (&b"abcdefghij"[..], 0, 10)
    );
}

#[test]
fn memory_is_bounded_and_comes_back() {
    let settings = StreamSettings {
        memory_bytes: 30_000,
        depth: 0,
        ..StreamSettings::default()
    };
    let mut wire = Wire::established(settings);
    for i in 0..200u32 {
        wire.send(
            ToServer,
            DATA,
            CLIENT + 1 + i * 1000,
            SERVER + 1,
            &[7; 1000],
        );
        assert!(wire.engine.held_bytes() <= 60_000);
    }
    assert!(wire.engine.stats().memory_refused > 0);
    wire.finish();
}

#[test]
fn worst_case_out_of_order_is_bounded() {
    let settings = StreamSettings {
        out_of_order_max: 32,
        ..StreamSettings::default()
    };
    let mut wire = Wire::established(settings);
    for i in 0..20_000u32 {
        wire.send(ToServer, DATA, CLIENT + 3 + i * 2, SERVER + 1, b"x");
    }
    assert!(wire.engine.stats().limit_refused > 19_000);
    // Of each block a list entry and the smallest buffer, and as many boundaries.
    assert!(wire.engine.held_bytes() <= 32 * (32 + 8 + 2 * 16));
}

#[test]
fn the_syn_ack_of_another_connection_is_not_followed() {
    let mut wire = Wire::new(StreamSettings::default());
    wire.send(ToServer, TcpFlags::SYN, CLIENT, 0, b"");
    wire.send(
        ToClient,
        TcpFlags::SYN | TcpFlags::ACK,
        SERVER,
        CLIENT + 9,
        b"",
    );
    assert_eq!(wire.names(), ["stream.3whs_synack_with_wrong_ack"]);
    wire.send(
        ToClient,
        TcpFlags::SYN | TcpFlags::ACK,
        SERVER,
        CLIENT + 1,
        b"",
    );
    wire.send(
        ToClient,
        TcpFlags::SYN | TcpFlags::ACK,
        SERVER + 77,
        CLIENT + 1,
        b"",
    );
    wire.send(ToServer, TcpFlags::ACK, CLIENT + 1, SERVER + 78, b"");
    assert_eq!(
        (wire.state(), wire.names()),
        (TcpState::Established, vec![])
    );
}

fn stream(
    seq_start: u32,
    plan: &[(usize, usize)],
    text: &[u8],
    acks: &[bool],
    inline: bool,
    needed: usize,
) -> Wire {
    let mut wire = Wire::new(StreamSettings {
        inline,
        ..StreamSettings::default()
    });
    wire.app.needed = needed;
    wire.send(ToServer, TcpFlags::SYN, seq_start, 0, b"");
    wire.send(
        ToClient,
        TcpFlags::SYN | TcpFlags::ACK,
        SERVER,
        seq_start.wrapping_add(1),
        b"",
    );
    wire.send(
        ToServer,
        TcpFlags::ACK,
        seq_start.wrapping_add(1),
        SERVER + 1,
        b"",
    );
    let mut have = vec![false; text.len()];
    for (i, &(from, len)) in plan.iter().enumerate() {
        let (from, to) = (from.min(text.len()), (from + len).min(text.len()));
        wire.send(
            ToServer,
            DATA,
            seq_start.wrapping_add(1 + from as u32),
            SERVER + 1,
            &text[from..to],
        );
        have[from..to].fill(true);
        if acks[i % acks.len()] {
            let acked = have.iter().take_while(|have| **have).count() as u32;
            wire.send(
                ToClient,
                TcpFlags::ACK,
                SERVER + 1,
                seq_start.wrapping_add(1 + acked),
                b"",
            );
        }
    }
    wire
}

proptest! {
    /// Any segmentation, any order, any overlap of the same bytes, anywhere in sequence space: the same stream.
    #[test]
    fn chunking_never_matters(
        seed in any::<u32>(),
        near_wrap in any::<bool>(),
        plan in proptest::collection::vec((0usize..3000, 1usize..700), 1..40),
        acks in proptest::collection::vec(any::<bool>(), 1..5),
        inline in any::<bool>(),
        needed in 0usize..50,
    ) {
        let start = if near_wrap { u32::MAX - 1500 } else { seed };
        let text: Vec<u8> = (0..3000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut plan = plan;
        // Then everything once more, in order, so that nothing is missing.
        plan.extend((0..30).map(|i| (i * 100, 100)));
        let mut wire = stream(start, &plan, &text, &acks, inline, needed);
        wire.send(ToClient, TcpFlags::ACK, SERVER + 1, start.wrapping_add(3001), b"");
        wire.finish();
        // A parser that waits for more than there is does not get the rest.
        let taken = wire.app.bytes[0].len();
        prop_assert!(taken + needed > text.len() || taken == text.len(), "{} bytes", taken);
        prop_assert!(wire.app.bytes[0] == text[..taken]);
        prop_assert_eq!(wire.app.gaps, [0, 0]);
        if !inline {
            prop_assert!(wire.raw[0] == text, "{} raw bytes", wire.raw[0].len());
        }
    }

    /// Arbitrary segments: no panic, memory bounded and given back, events by name.
    #[test]
    fn arbitrary_segments_do_no_harm(
        packets in proptest::collection::vec(
            (any::<bool>(), any::<u8>(), 0u32..5000, 0u32..5000, 0usize..600, any::<u16>()), 1..200),
        midstream in any::<bool>(),
        inline in any::<bool>(),
        one_sided in any::<bool>(),
    ) {
        let settings = StreamSettings {
            midstream, inline, async_oneside: one_sided, depth: 4000, memory_bytes: 20_000, ..StreamSettings::default()
        };
        let mut wire = Wire::new(settings);
        let data = [0x41; 600];
        for (to_server, flags, seq, ack, len, window) in packets {
            wire.window = window;
            let direction = if to_server { ToServer } else { ToClient };
            // The recorder checks offsets only while nobody is swapped.
            wire.app = Recorder::default();
            let mut layers = Layers { transport: Transport::Tcp, ip_proto: 6, payload_len: len as u32, ..Layers::default() };
            layers.tcp.seq = seq;
            layers.tcp.ack = ack;
            layers.tcp.flags = TcpFlags(flags);
            layers.tcp.window = window;
            let packet = Packet { frame: &data[..len], layers: &layers };
            let mut taker = Taker;
            let Wire { engine, flow, streams, events, .. } = &mut wire;
            let verdict = engine.packet(&packet, direction, flow, streams, &mut taker, events);
            if verdict.stream {
                wire.look(verdict.direction);
            }
            prop_assert!(wire.engine.held_bytes() <= 60_000);
        }
        wire.engine.release(&mut wire.streams);
        prop_assert_eq!(wire.engine.held_bytes(), 0);
    }
}

/// Takes everything, and checks nothing.
struct Taker;

impl Receiver for Taker {
    fn receive(&mut self, _flow: &mut Flow, offer: &Offer<'_>) -> Taken {
        Taken {
            consumed: offer.bytes.len(),
            parsed: true,
            ..Taken::default()
        }
    }
    fn swap_directions(&mut self) {}
}

/// What a flow table keeps beside its flows here; `half_open` says whether SYNs may become records.
#[derive(Debug)]
struct Kept<const HALF_OPEN: bool>(StreamPair);

impl<const HALF_OPEN: bool> Default for Kept<HALF_OPEN> {
    fn default() -> Self {
        Self(StreamPair::default())
    }
}

impl<const HALF_OPEN: bool> crate::flow::Recycle for Kept<HALF_OPEN> {
    fn recycle(&mut self) {
        self.0.rewind();
    }
    fn is_half_open(&self, flow: &Flow) -> bool {
        HALF_OPEN && self.0.is_half_open(flow)
    }
    fn restore(&mut self, flow: &Flow) {
        self.0.restore(flow);
    }
}

/// The flow that SYN and answer make; with `by_record`, the SYN's session is not even begun.
fn after_answer<const HALF_OPEN: bool>(
    settings: &StreamSettings,
    [syn, answer]: [&Layers; 2],
    by_record: bool,
) -> String {
    let mut engine = StreamEngine::new(settings.clone());
    let mut table = crate::flow::FlowTable::<Kept<HALF_OPEN>>::new(Default::default());
    let mut shown = String::new();
    // Twice, with another flow in between: memory that is used again shows nothing of what it held.
    for round in 0..2u64 {
        for (layers, other) in [(syn, true), (syn, false), (answer, false)] {
            let mut layers = Layers {
                number: 10 * round + u64::from(other),
                ..layers.clone()
            };
            if other {
                (layers.tcp.seq, layers.tcp.timestamps) = (77, Some((5, 0)));
                layers.sport += 1;
            }
            let frame = [0; 60];
            let packet = Packet {
                frame: &frame,
                layers: &layers,
            };
            let found = table.lookup(&packet).unwrap();
            if found.syn && by_record && StreamEngine::only_opens(&packet) {
                let one_sided = engine.note_opened();
                table.file_syn(&packet, one_sided);
                continue;
            }
            let slot = table.get_mut(found.handle).unwrap();
            let mut events = EventSet::default();
            let _ = engine.packet(
                &packet,
                found.direction,
                &mut slot.flow,
                &mut slot.ext.0,
                &mut Recorder::default(),
                &mut events,
            );
            if packet.tcp.flags.has(TcpFlags::ACK) {
                shown += &format!("{found:?} {slot:?} {events:?}\n");
            }
            table.settle(found.handle);
        }
        table.expire_all(crate::flow::EndReason::Shutdown);
        while let Some(ended) = table.take_ended() {
            if let crate::flow::Ended::Flow(mut slot) = ended {
                engine.release(&mut slot.ext.0);
                table.recycle(slot);
            }
        }
    }
    // Numbers of entries and spare memory are not the flow's.
    let blank = |text: &str, from: &str, to: &str| {
        let mut out = String::new();
        for (i, part) in text.split(from).enumerate() {
            out += if i == 0 {
                part
            } else {
                part.split_once(to).map_or("", |(_, rest)| rest)
            };
        }
        out
    };
    blank(&blank(&shown, "FlowHandle(", ")"), "spare_tcp: ", ", icmp")
}

proptest! {
    #[test]
    fn a_half_open_record_becomes_the_flow_that_it_was(
        seq: u32,
        window: u16,
        timestamps in proptest::option::of((any::<u32>(), any::<u32>())),
        wscale in proptest::option::of(0u8..15),
        sack_permitted: bool,
        flags in 0u8..4,
        ttl: u8,
        async_oneside: bool,
        right_ack: bool,
    ) {
        let settings = StreamSettings { async_oneside, ..StreamSettings::default() };
        let mut syn = Layers {
            ts: Timestamp::new(100, 7),
            net: Net::V4,
            transport: Transport::Tcp,
            ip_proto: 6,
            has_flow: true,
            src: [10, 0, 0, 9].into(),
            dst: [10, 0, 0, 1].into(),
            sport: 4000,
            dport: 80,
            ttl,
            ..Layers::default()
        };
        syn.tcp.flags = TcpFlags(TcpFlags::SYN | flags << 6);
        (syn.tcp.seq, syn.tcp.window, syn.tcp.wscale) = (seq, window, wscale);
        (syn.tcp.timestamps, syn.tcp.sack_permitted) = (timestamps, sack_permitted);
        let mut answer = Layers { ts: Timestamp::new(100, 9), ..syn.clone() };
        std::mem::swap(&mut answer.src, &mut answer.dst);
        std::mem::swap(&mut answer.sport, &mut answer.dport);
        answer.tcp.flags = TcpFlags(TcpFlags::SYN | TcpFlags::ACK);
        answer.tcp.ack = seq.wrapping_add(if right_ack { 1 } else { 9 });
        answer.tcp.timestamps = timestamps.map(|(value, _)| (3, value));
        let whole = after_answer::<false>(&settings, [&syn, &answer], false);
        prop_assert!(whole.contains("SynRecv") || !right_ack);
        prop_assert_eq!(&after_answer::<true>(&settings, [&syn, &answer], false), &whole);
        prop_assert_eq!(&after_answer::<true>(&settings, [&syn, &answer], true), &whole);
    }
}
