//! Tests of the layer: identification, feeding of parsers, what a flow keeps.

use super::*;
use crate::packet::FlowKey;

use Direction::{ToClient, ToServer};

struct Talk {
    context: AppContext,
    layer: AppLayer,
    flow: Flow,
    first: Option<Direction>,
}

impl Talk {
    fn new(dport: u16, proto: u8) -> Self {
        let key = FlowKey {
            sport: 40_000,
            dport,
            proto,
            ..FlowKey::default()
        };
        Self {
            context: AppContext::new(Limits::default(), false, false),
            layer: AppLayer::default(),
            flow: Flow {
                key,
                ..Flow::default()
            },
            first: None,
        }
    }

    fn offer(&mut self, direction: Direction, bytes: &[u8], gap: u64) -> Taken {
        self.first.get_or_insert(direction);
        let offer = Offer {
            direction,
            bytes,
            gap,
            end: false,
            offset: 0,
            ts: Timestamp::new(100, 0),
            first_data: self.first,
            midstream: false,
            established: true,
            depth_reached: false,
            held: [bytes.len() as u64; 2],
            windows: [60_000; 2],
        };
        AppInput {
            layer: &mut self.layer,
            context: &mut self.context,
        }
        .receive(&mut self.flow, &offer)
    }

    fn name(&self) -> &'static str {
        self.layer.proto.name()
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const BANNER: &[u8] = b"SSH-2.0-server\r\n";

#[test]
fn a_request_is_recognised_and_parsed() {
    let mut talk = Talk::new(8080, 6);
    let taken = talk.offer(ToServer, REQUEST, 0);
    assert_eq!(
        (talk.name(), taken.consumed, taken.parsed),
        ("http", REQUEST.len(), true)
    );
    assert_eq!(
        talk.layer
            .session
            .as_ref()
            .map(|s| s.transactions().total()),
        Some(1)
    );
    assert!(talk.layer.identified_now[0] && !talk.layer.identified_now[1]);
}

#[test]
fn flows_that_would_grow_beyond_the_memory_cap_are_parsed_no_further() {
    const CAP: u64 = 200_000;
    let mut talk = Talk::new(8080, 6);
    talk.context.account = Account::new(CAP);
    let mut flows = Vec::new();
    for _ in 0..1_000 {
        (talk.layer, talk.first) = (AppLayer::default(), None);
        let taken = talk.offer(ToServer, REQUEST, 0);
        let mut layer = std::mem::take(&mut talk.layer);
        assert_eq!(layer.starved, taken.next == Next::Stop);
        if layer.starved {
            assert_eq!(layer.events, [event::MEMCAP]);
            assert_eq!(layer.ended, [true; 2]);
            layer.events.clear();
            // What was parsed is inspected and logged, and then its memory is free.
            layer.logged(&mut talk.context);
            assert!(layer.session.is_some());
            layer.remove(&mut talk.context, 0);
            layer.logged(&mut talk.context);
            assert!(layer.session.is_none());
        }
        flows.push(layer);
        // The last one that grew is over the cap, and a starved flow keeps a few words.
        let held = talk.context.account.held();
        assert!(held < CAP + 4_096 + 64 * flows.len() as u64, "{held}");
    }
    let starved = flows.iter().filter(|l| l.starved).count();
    assert!((1..1_000).contains(&starved), "{starved}");
    assert_eq!(talk.context.account.refused, starved as u64);
    // Silent flows make room: who comes now is parsed again.
    for layer in &mut flows {
        layer.release(&mut talk.context);
    }
    assert_eq!(talk.context.account.held(), 0);
    (talk.layer, talk.first) = (AppLayer::default(), None);
    assert!(talk.offer(ToServer, REQUEST, 0).parsed && !talk.layer.starved);
}

#[test]
fn a_server_may_speak_first() {
    let mut talk = Talk::new(2222, 6);
    assert!(talk.offer(ToClient, BANNER, 0).parsed);
    assert!(talk.offer(ToServer, b"SSH-2.0-client\r\n", 0).parsed);
    assert_eq!((talk.name(), talk.layer.events.len()), ("ssh", 0));
}

#[test]
fn directions_that_disagree_raise_an_event() {
    let mut talk = Talk::new(22, 6);
    talk.offer(ToServer, REQUEST, 0);
    talk.offer(ToClient, BANNER, 0);
    assert_eq!(
        talk.layer.events,
        ["applayer_mismatch_protocol_both_directions"]
    );
    assert_eq!((talk.name(), talk.layer.seen[1].name()), ("http", "ssh"));
}

#[test]
fn an_answer_waits_until_the_question_was_parsed() {
    let mut talk = Talk::new(8080, 6);
    talk.first = Some(ToServer);
    let answer = talk.offer(ToClient, b"HTTP/1.1 200 OK\r\n\r\n", 0);
    assert_eq!(answer.next, Next::OtherSideFirst);
    talk.offer(ToServer, REQUEST, 0);
    assert!(talk.offer(ToClient, b"HTTP/1.1 200 OK\r\n\r\n", 0).parsed);
}

#[test]
fn noise_in_both_directions_is_given_up() {
    let mut talk = Talk::new(9999, 6);
    talk.offer(ToServer, &[0xfe; 300], 0);
    let last = talk.offer(ToClient, &[0xfe; 300], 0);
    assert_eq!(
        (talk.name(), last.next, talk.layer.ended),
        ("failed", Next::Stop, [true; 2])
    );
}

#[test]
fn connect_changes_to_what_follows() {
    let mut talk = Talk::new(8002, 6);
    talk.offer(
        ToServer,
        b"CONNECT abc:443 HTTP/1.1\r\nHost: abc\r\n\r\n",
        0,
    );
    let answer = talk.offer(ToClient, b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", 0);
    assert_eq!(answer.next, Next::ProtocolChange);
    talk.offer(ToServer, b"\x16\x03\x00\0\0\0\0\0\0\0\0\0\0\0", 0);
    assert_eq!(
        (talk.name(), talk.layer.original.map(AppProto::name)),
        ("tls", Some("http"))
    );
    assert!(talk.layer.events.is_empty(), "{:?}", talk.layer.events);
}

/// Segments through the stream engine: direction, flags beside ACK, payload. Sequence numbers follow.
fn through_engine(segments: &[(Direction, u8, &[u8])]) -> AppLayer {
    use crate::packet::{EventSet, Layers, Net, Packet, TcpFlags, Transport};
    use crate::stream::{StreamEngine, StreamPair, StreamSettings};
    let mut engine = StreamEngine::new(StreamSettings::default());
    let (mut streams, mut talk) = (StreamPair::default(), Talk::new(8002, 6));
    let mut next = [1000u32, 5000];
    for (i, (direction, flags, payload)) in segments.iter().enumerate() {
        let d = direction.index();
        let mut layers = Layers {
            net: Net::V4,
            transport: Transport::Tcp,
            ip_proto: 6,
            payload_len: payload.len() as u32,
            ..Layers::default()
        };
        layers.tcp.flags = TcpFlags(flags | if i == 0 { 0 } else { TcpFlags::ACK });
        layers.tcp.seq = next[d];
        layers.tcp.ack = if i == 0 { 0 } else { next[1 - d] };
        layers.tcp.window = 60_000;
        let syn_or_fin = u32::from(flags & (TcpFlags::SYN | TcpFlags::FIN) != 0);
        next[d] += payload.len() as u32 + syn_or_fin;
        let packet = Packet {
            frame: payload,
            layers: &layers,
        };
        let Talk {
            context,
            layer,
            flow,
            ..
        } = &mut talk;
        let mut input = AppInput { layer, context };
        let mut events = EventSet::default();
        let verdict = engine.packet(
            &packet,
            *direction,
            flow,
            &mut streams,
            &mut input,
            &mut events,
        );
        assert!(
            events.is_empty(),
            "packet {i}: {:?}",
            events.iter().collect::<Vec<_>>()
        );
        let sides = if verdict.flush {
            vec![direction.reverse(), *direction, *direction]
        } else {
            vec![*direction]
        };
        for side in sides.into_iter().filter(|_| verdict.stream) {
            let upto = engine
                .window(side, &talk.flow, &streams, None)
                .map(|window| window.end());
            engine.inspected(side, &talk.flow, &mut streams, upto);
        }
    }
    talk.layer
}

#[test]
fn connect_changes_through_the_stream_engine_too() {
    let (syn, none) = (crate::packet::TcpFlags::SYN, 0);
    let layer = through_engine(&[
        (ToServer, syn, b""),
        (ToClient, syn, b""),
        (ToServer, none, b""),
        (ToClient, none, b""),
        (
            ToServer,
            none,
            b"CONNECT abc:443 HTTP/1.1\r\nUser-Agent: Victor/1.0\r\n\r\n",
        ),
        (ToClient, none, b""),
        (
            ToClient,
            none,
            b"HTTP/1.1 200 OK\r\nServer: VictorServer/1.0\r\n\r\n",
        ),
        (ToServer, none, b""),
        (ToServer, none, b"\x16\x03\x00\0\0\0\0\0\0\0\0\0\0\0"),
        (ToClient, none, b""),
    ]);
    assert_eq!(layer.proto.name(), "tls");
}

#[test]
fn a_gap_before_recognition_leaves_the_other_direction_its_chance() {
    let mut talk = Talk::new(8080, 6);
    assert!(!talk.offer(ToClient, &[], 100).parsed);
    talk.offer(ToServer, REQUEST, 0);
    assert_eq!(talk.name(), "http");
}

#[test]
fn datagrams_are_recognised_one_by_one() {
    let mut talk = Talk::new(53, 17);
    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01";
    let Talk {
        context,
        layer,
        flow,
        ..
    } = &mut talk;
    assert_eq!(
        layer.datagram(context, flow, ToServer, query, Timestamp(0)),
        (true, ToServer)
    );
    assert_eq!(talk.name(), "dns");
    let mut noise = Talk::new(9, 17);
    let Talk {
        context,
        layer,
        flow,
        ..
    } = &mut noise;
    assert_eq!(
        layer.datagram(context, flow, ToServer, &[0xff; 20], Timestamp(0)),
        (false, ToServer)
    );
    assert_eq!(noise.name(), "failed");
}
