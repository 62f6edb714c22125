//! Tests of the engine as a whole: rules as text, packets as the decoder gives them, hits and verdicts out.

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::alert::Verdict;
use crate::app::{AppLayer, AppProto, Input, Limits, registry};
use crate::packet::{Direction, EventSet, Layers, Net, Packet, Timestamp, Transport};
use crate::rules::{Variables, load_text};
use crate::stream::StreamWindow;

fn engine_with(rules: &str, settings: &EngineSettings) -> Arc<Engine> {
    let rules = load_text("test", rules, &Variables::default());
    assert!(rules.errors.is_empty(), "{:?}", rules.errors);
    Arc::new(Engine::compile(Arc::new(rules), settings).unwrap())
}

fn engine(rules: &str) -> Arc<Engine> {
    engine_with(rules, &EngineSettings::default())
}

/// A datagram from 10.0.0.1:1000 to 10.0.0.2:53, or back.
fn datagram(payload: &[u8], direction: Direction) -> Layers {
    let (client, server) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let (src, dst, sport, dport) = match direction {
        Direction::ToServer => (client, server, 1000, 53),
        Direction::ToClient => (server, client, 53, 1000),
    };
    Layers {
        net: Net::V4,
        src,
        dst,
        sport,
        dport,
        ip_proto: 17,
        transport: Transport::Udp,
        payload_len: payload.len() as u32,
        ..Layers::default()
    }
}

/// A flow's memory, and an inspector.
struct Bench {
    inspector: Inspector,
    engine: Arc<Engine>,
    flow: crate::flow::Flow,
    rules: FlowRules,
    app: AppLayer,
}

impl Bench {
    fn new(engine: &Arc<Engine>) -> Self {
        let layers = datagram(b"", Direction::ToServer);
        Self {
            inspector: engine.worker(),
            engine: engine.clone(),
            flow: crate::flow::Flow {
                key: layers.key(),
                ..crate::flow::Flow::default()
            },
            rules: FlowRules::default(),
            app: AppLayer::default(),
        }
    }

    /// A flow that speaks HTTP.
    fn http(engine: &Arc<Engine>) -> Self {
        let mut bench = Self::new(engine);
        let proto = registry::number("http");
        assert_ne!(proto, AppProto::UNKNOWN);
        bench.flow.key.proto = 6;
        bench.app.proto = proto;
        bench.app.seen = [proto; 2];
        bench.app.session = registry::protocol(proto).map(|p| p.session(&Limits::default()));
        bench
    }

    /// Sids that a segment hits whose bytes the parser takes first.
    fn segment(&mut self, direction: Direction, bytes: &[u8]) -> Vec<u32> {
        let info = crate::app::FlowInfo {
            key: self.flow.key,
            ts: Timestamp(0),
            flow_id: 1,
            inline: false,
            original: None,
        };
        let input = Input {
            bytes,
            gap: 0,
            end: false,
        };
        self.app
            .session
            .as_mut()
            .unwrap()
            .parse(direction, input, &info);
        let layers = Layers {
            transport: Transport::Tcp,
            ip_proto: 6,
            ..datagram(b"", direction)
        };
        let view = StreamView {
            established: true,
            flow_established: true,
            added: true,
            app_updated: true,
            ..StreamView::default()
        };
        self.packet(&layers, b"", view).0
    }

    /// Sids that a packet hits, and the verdict.
    fn packet(
        &mut self,
        layers: &Layers,
        payload: &[u8],
        stream: StreamView<'_>,
    ) -> (Vec<u32>, Verdict) {
        let direction = self.flow.direction_of(&layers.key());
        let mut hits = Vec::new();
        let input = Inspection {
            packet: Packet {
                frame: payload,
                layers,
            },
            direction,
            flow: Some(&mut self.flow),
            stream,
            app: Some(&mut self.app),
            rules: Some(&mut self.rules),
            segment: 0,
            inline: true,
        };
        let verdict = self.inspector.inspect(input, &mut hits);
        let sid = |hit: &Hit| self.engine.rules().signatures[hit.signature as usize].sid.0;
        (hits.iter().map(sid).collect(), verdict)
    }

    fn datagram(&mut self, payload: &[u8], direction: Direction) -> (Vec<u32>, Verdict) {
        let view = StreamView {
            established: true,
            flow_established: true,
            ..StreamView::default()
        };
        self.packet(&datagram(payload, direction), payload, view)
    }

    fn server_bound(&mut self, payload: &[u8]) -> Vec<u32> {
        self.datagram(payload, Direction::ToServer).0
    }
}

fn once(rules: &str, payload: &[u8]) -> Vec<u32> {
    Bench::new(&engine(rules)).server_bound(payload)
}

#[test]
fn a_content_hits_with_its_header_only() {
    let rules = "alert udp any any -> any 53 (content:\"abc\"; sid:1;)\n\
                 alert udp any any -> any 54 (content:\"abc\"; sid:2;)\n\
                 alert tcp any any -> any 53 (content:\"abc\"; sid:3;)\n\
                 alert udp 10.0.0.9 any -> any any (content:\"abc\"; sid:4;)\n\
                 alert udp any 53 <> any any (content:\"abc\"; sid:5;)\n\
                 alert udp any any -> any any (flow:to_client; content:\"abc\"; sid:6;)\n";
    assert_eq!(once(rules, b"..abc"), [1, 5]);
    assert_eq!(once(rules, b"..ab"), [0u32; 0]);
}

#[test]
fn alerts_come_by_action_priority_and_sid() {
    let rules = "alert udp any any -> any any (content:\"a\"; priority:3; sid:1;)\n\
                 alert udp any any -> any any (content:\"a\"; priority:1; sid:9;)\n\
                 alert udp any any -> any any (content:\"a\"; priority:1; sid:2;)\n\
                 drop udp any any -> any any (content:\"a\"; priority:4; sid:7;)\n";
    let mut bench = Bench::new(&engine(rules));
    assert_eq!(
        bench.datagram(b"a", Direction::ToServer),
        (vec![7, 2, 9, 1], Verdict::DropPacket)
    );
}

#[test]
fn pass_comes_before_everything_and_stops_it() {
    let rules = "alert udp any any -> any any (content:\"a\"; sid:1;)\n\
                 pass udp any any -> any any (content:\"b\"; sid:2;)\n";
    assert_eq!(once(rules, b"a"), [1]);
    assert_eq!(once(rules, b"ab"), [0u32; 0]);
}

#[test]
fn a_flowbit_set_by_one_is_seen_by_the_next_in_the_same_packet() {
    let rules = "alert udp any any -> any any (flowbits:isset,x; sid:1;)\n\
                 alert udp any any -> any any (content:\"set\"; flowbits:set,x; flowbits:noalert; sid:2;)\n\
                 alert udp any any -> any any (content:\"q\"; flowbits:isnotset,x; sid:3;)\n";
    let mut bench = Bench::new(&engine(rules));
    assert_eq!(bench.server_bound(b"q"), [3]);
    assert_eq!(bench.server_bound(b"set q"), [1]);
    assert_eq!(bench.server_bound(b"q"), [1]);
}

#[test]
fn addresses_alone_hit_once_a_flow_and_direction() {
    let rules = "alert ip 10.0.0.0/24 any -> any any (sid:1;)\nalert ip 192.0.2.0/24 any -> any any (sid:2;)\n";
    let mut bench = Bench::new(&engine(rules));
    assert_eq!(bench.server_bound(b"x"), [1]);
    assert_eq!(bench.server_bound(b"x"), [0u32; 0]);
    assert_eq!(bench.datagram(b"x", Direction::ToClient).0, [1]);
    assert_eq!(bench.datagram(b"x", Direction::ToClient).0, [0u32; 0]);
}

#[test]
fn a_packet_raises_a_bounded_number_of_alerts() {
    let rules: String = (1..40)
        .map(|sid| format!("alert udp any any -> any any (content:\"a\"; sid:{sid};)\n"))
        .collect();
    let mut bench = Bench::new(&engine(&rules));
    assert_eq!(bench.server_bound(b"a").len(), ALERTS_MAX);
    assert_eq!(
        bench.inspector.stats().alerts_dropped,
        39 - ALERTS_MAX as u64
    );
}

#[test]
fn a_stream_is_inspected_across_its_seams_and_said_once() {
    let engine = engine("alert tcp any any -> any any (content:\"abcd\"; sid:1;)\n");
    let mut bench = Bench::new(&engine);
    let layers = Layers {
        transport: Transport::Tcp,
        ip_proto: 6,
        ..datagram(b"", Direction::ToServer)
    };
    let mut piece = |bytes: &[u8], seen: usize| {
        let window = Some(StreamWindow {
            bytes,
            offset: 0,
            seen,
        });
        let view = StreamView {
            window,
            established: true,
            flow_established: true,
            added: true,
            ..StreamView::default()
        };
        let mut hits = Vec::new();
        let input = Inspection {
            packet: Packet {
                frame: b"",
                layers: &layers,
            },
            direction: Direction::ToServer,
            flow: Some(&mut bench.flow),
            stream: view,
            app: None,
            rules: Some(&mut bench.rules),
            segment: 0,
            inline: false,
        };
        bench.inspector.inspect(input, &mut hits);
        hits.len()
    };
    assert_eq!(piece(b"..ab", 0), 0);
    assert_eq!(piece(b"..abcd.", 4), 1);
    assert_eq!(piece(b"..abcd..", 7), 0);
    assert_eq!(piece(b"abcd", 0), 1);
}

#[test]
fn events_are_looked_up_by_number() {
    let engine = engine(
        "alert pkthdr any any -> any any (decode-event:ipv4.trunc_pkt; sid:1;)\n\
         alert udp any any -> any any (decode-event:udp.hlen_invalid; sid:2;)\n",
    );
    let mut events = EventSet::default();
    events.insert(crate::packet::DecodeEvent::IPV4_TRUNC_PKT);
    let layers = Layers {
        events,
        invalid: true,
        net: Net::None,
        transport: Transport::None,
        ..Layers::default()
    };
    let mut hits = Vec::new();
    let input = Inspection {
        packet: Packet {
            frame: b"",
            layers: &layers,
        },
        direction: Direction::ToServer,
        flow: None,
        stream: StreamView::default(),
        app: None,
        rules: None,
        segment: 0,
        inline: false,
    };
    engine.worker().inspect(input, &mut hits);
    assert_eq!(hits.len(), 1);
}

#[test]
fn a_segment_switches_a_signature_off() {
    let rules = "alert udp any any -> any any (content:\"a\"; sid:1;)\nalert udp any any -> any any (content:\"a\"; sid:2;)\n";
    let view = SegmentView {
        disabled: vec![true, false],
        ..SegmentView::default()
    };
    let settings = EngineSettings {
        segments: vec![view],
        ..EngineSettings::default()
    };
    let mut bench = Bench::new(&engine_with(rules, &settings));
    assert_eq!(bench.server_bound(b"a"), [2]);
}

#[test]
fn a_transaction_hits_once() {
    let rules = "alert http any any -> any any (http.uri; content:\"/x\"; sid:1;)\n\
                 alert http any any -> any any (http.method; content:\"GET\"; http.uri; content:\"/y\"; sid:2;)\n\
                 alert http any any => any any (http.uri; content:\"/x\"; http.stat_code; content:\"200\"; sid:3;)\n\
                 alert http any any -> any any (http.referer; absent; sid:4;)\n";
    let engine = engine(rules);
    let mut bench = Bench::http(&engine);
    let mut feed = |direction: Direction, bytes: &[u8]| bench.segment(direction, bytes);
    let first = feed(Direction::ToServer, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(first, [1, 4]);
    assert_eq!(feed(Direction::ToServer, b""), [0u32; 0]);
    assert_eq!(
        feed(
            Direction::ToClient,
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
        ),
        [3]
    );
    assert_eq!(feed(Direction::ToClient, b""), [0u32; 0]);
    assert_eq!(
        feed(
            Direction::ToServer,
            b"GET /y HTTP/1.1\r\nHost: a\r\nReferer: b\r\n\r\n"
        ),
        [2]
    );
}

#[test]
fn what_a_look_at_a_body_found_counts_in_the_next_one() {
    let rules = "alert http any any -> any any (file.data; content:\"first of two\"; fast_pattern; content:\"second\"; sid:1;)\n\
                 alert http any any -> any any (http.response_body; content:\"cut in the middle\"; sid:2;)\n\
                 alert http any any -> any any (file.data; content:\"first of two\"; content:\"third\"; within:60000; fast_pattern; sid:3;)\n";
    let mut bench = Bench::http(&engine(rules));
    let none = [0u32; 0];
    bench.segment(Direction::ToServer, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut begin = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    begin.resize(begin.len() + 45_000, b'.');
    begin.extend_from_slice(b"first of two");
    assert_eq!(bench.segment(Direction::ToClient, &begin), none);
    let mut piece = vec![b'.'; 1_000];
    assert_eq!(bench.segment(Direction::ToClient, &piece), none);
    piece.extend_from_slice(b"cut in the");
    assert_eq!(bench.segment(Direction::ToClient, &piece), none);
    assert_eq!(bench.segment(Direction::ToClient, b" middle"), [2]);
    assert_eq!(bench.segment(Direction::ToClient, b"...second"), [1]);
    assert_eq!(bench.segment(Direction::ToClient, b"..third"), [3]);
    // Beyond the window the first content is gone.
    piece.resize(20_000, b'.');
    assert_eq!(bench.segment(Direction::ToClient, &piece), none);
    assert_eq!(bench.segment(Direction::ToClient, b"second third"), none);
}

#[test]
fn the_cache_is_used_and_a_corrupt_one_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let settings = EngineSettings {
        cache_dir: Some(folder.path().to_owned()),
        ..EngineSettings::default()
    };
    let rules: String = (1..700)
        .map(|sid| {
            format!("alert udp any any -> any any (content:\"pattern{sid}|00|\"; sid:{sid};)\n")
        })
        .collect();
    assert!(!engine_with(&rules, &settings).report().cached);
    let second = engine_with(&rules, &settings);
    assert!(second.report().cached);
    assert_eq!(Bench::new(&second).server_bound(b"..pattern123\0"), [123]);
    let file = std::fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let third = engine_with(&rules, &settings);
    assert!(!third.report().cached);
    assert!(third.report().cache_note.is_some());
    assert!(engine_with(&rules, &settings).report().cached);
}

#[test]
fn a_bad_expression_is_refused_and_the_others_work() {
    let rules = load_text(
        "test",
        "alert udp any any -> any any (content:\"a\"; pcre:\"/(/\"; sid:1;)\n\
         alert udp any any -> any any (content:\"a\"; pcre:\"/b/\"; sid:2;)\n",
        &Variables::default(),
    );
    let engine = Arc::new(Engine::compile(Arc::new(rules), &EngineSettings::default()).unwrap());
    let refused = engine.report().refused.len() + engine.rules().errors.len();
    assert_eq!(refused, 1);
    assert_eq!(Bench::new(&engine).server_bound(b"ab"), [2]);
}

#[test]
fn a_rule_set_from_the_cache_alerts_as_the_one_that_was_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let many: String = (100..2000)
        .map(|sid| {
            format!(
                "alert udp any any -> any any (msg:\"{:0150}\"; content:\"many{sid}\"; sid:{sid};)\n",
                sid
            )
        })
        .collect();
    let rules = format!(
        "{many}\
         alert udp any any -> any 53 (content:\"abc\"; byte_test:1,>,4,0,relative; flowbits:set,seen; sid:1;)\n\
         alert udp any any -> any any (flowbits:isset,seen; content:\"abc\"; pcre:\"/a(b+)c\\x09/\"; sid:2;)\n\
         alert http any any -> any any (http.uri; to_uppercase; content:\"/EVIL\"; startswith; sid:3;)\n\
         alert http any any -> any any (file.data; content:\"|00 00 01|body\"; sid:4;)\n\
         alert udp 10.0.0.1 any -> [10.0.0.0/24,!10.0.0.3] any (sid:5;)\n"
    );
    let path = folder.path().join("many.rules");
    std::fs::write(&path, rules).unwrap();
    let load = crate::rules::LoadSettings {
        paths: vec![path.clone()],
        ..crate::rules::LoadSettings::default()
    };
    let start = || {
        let settings = EngineSettings {
            cache_dir: Some(folder.path().join("cache")),
            ..EngineSettings::default()
        };
        let files = crate::rules::read_files(&load).unwrap();
        let views = |_: &crate::rules::RuleSet| Ok(Vec::new());
        Arc::new(Engine::load(files, &load, settings, "", views).unwrap())
    };
    let alerts = |engine: &Arc<Engine>| {
        let mut all = Bench::new(engine).server_bound(b"..abc\x09 many1234");
        let mut web = Bench::http(engine);
        let request = b"GET /evil/x HTTP/1.1\r\nHost: a\r\n\r\n";
        all.extend(web.segment(Direction::ToServer, request));
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\0\0\x01body";
        all.extend(web.segment(Direction::ToClient, response));
        all
    };
    let first = start();
    assert!(!first.report().cached && first.rules().errors.is_empty());
    let second = start();
    assert!(second.report().cached);
    assert_eq!(second.report().cache_note, None);
    assert_eq!(second.report().signatures, first.report().signatures);
    let found = alerts(&first);
    assert!(
        [1, 2, 3, 4, 5, 1234].iter().all(|sid| found.contains(sid)),
        "{found:?}"
    );
    assert_eq!(alerts(&second), found);
    // One byte more, and it is another rule set.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n")).unwrap();
    let set_of = |engine: &Arc<Engine>| engine.rules().signatures.len();
    assert_eq!(set_of(&start()), set_of(&first));
    // A file that was changed is not believed.
    for file in std::fs::read_dir(folder.path().join("cache")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "set") {
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let third = start();
    assert!(third.report().cache_note.is_some());
    assert_eq!(alerts(&third), found);
}
