//! Signature detection alone: ns/packet, Gbit/s and allocations/packet over datagrams made here, with rules made here.
//!
//! `cargo bench --bench detect`. `SEKISHO_BENCH_RULES=file` inspects the same packets with other rules. Every round
//! asserts its hits, so that it cannot win by doing less.

mod counting;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sekisho::detect::signature::{Engine, EngineSettings, FlowRules, Inspection, StreamView};
use sekisho::flow::Flow;
use sekisho::packet::{Direction, Layers, Net, Packet, Transport};
use sekisho::rules::{RuleSet, Variables, load_text};

/// Signatures made here: as many as et-open has for payloads.
const SIGNATURES: u32 = 5000;
/// Packets a round.
const PACKETS: usize = 4096;
/// One packet in so many holds what a signature looks for.
const HIT_EVERY: usize = 64;
const ROUNDS: usize = 40;

fn main() {
    let rules = match std::env::var("SEKISHO_BENCH_RULES") {
        Ok(path) => load_text(
            &path,
            &std::fs::read_to_string(&path).unwrap_or_default(),
            &Variables::default(),
        ),
        Err(_) => own_rules(),
    };
    let own = rules.signatures.len() == SIGNATURES as usize;
    let began = Instant::now();
    let engine = match Engine::compile(Arc::new(rules), &EngineSettings::default()) {
        Ok(engine) => Arc::new(engine),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let report = engine.report();
    println!(
        "{} signatures, {} patterns, {} KiB, compiled in {} ms",
        report.signatures,
        report.patterns,
        report.database_bytes / 1024,
        began.elapsed().as_millis()
    );
    println!(
        "{:>8} {:>10} {:>8} {:>13} {:>11}",
        "bytes", "ns/packet", "Gbit/s", "alloc/packet", "hits/round"
    );
    for len in [64, 400, 1400] {
        run(&engine, len, own);
    }
}

/// Contents of eight letters each, of the letters that the text is made of, a third of them with a second content that
/// must follow; and a few that begin with two letters that many packets hold, and go on with what none does: what the matcher
/// finds is then looked at in vain, as on real traffic.
fn own_rules() -> RuleSet {
    let text: String = (0..SIGNATURES)
        .map(|i| {
            let (content, second) = match i {
                i if i % SHORT_EVERY == 1 => (short(i), "fast_pattern; content:\"#never\"; "),
                i if i % 3 == 0 => (word(i), "content:\"tail\"; distance:0; within:40; "),
                i => (word(i), ""),
            };
            format!(
                "alert udp any any -> any any (content:\"{content}\"; {second}sid:{};)\n",
                i + 1
            )
        })
        .collect();
    load_text("bench", &text, &Variables::default())
}

/// One signature in so many looks for two letters.
const SHORT_EVERY: u32 = 500;

/// What the text is made of.
const LETTERS: &[u8; 31] = b"abcdefghijklmnopqrstuvwxyz /.=&";

/// A word of the text's own letters, different for each signature, that random text hardly ever holds whole: eight letters
/// are one of 31^8.
fn word(i: u32) -> String {
    let mut rest = i.wrapping_mul(2_654_435_761);
    let mut letter = || {
        let at = rest % 26;
        rest = (rest / 26) ^ i.rotate_left(at);
        char::from(b'a' + at as u8)
    };
    let front: String = (0..4).map(|_| letter()).collect();
    let number = [i / 676, i / 26 % 26, i % 26].map(|at| char::from(b'a' + at as u8));
    format!("{front}{}&", number.iter().collect::<String>())
}

/// Two letters.
fn short(i: u32) -> String {
    [i / SHORT_EVERY % 26, (i / SHORT_EVERY + 7) % 26]
        .map(|at| char::from(b'a' + at as u8))
        .iter()
        .collect()
}

fn run(engine: &Arc<Engine>, len: usize, own: bool) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let payloads: Vec<Vec<u8>> = (0..PACKETS)
        .map(|i| {
            let mut bytes: Vec<u8> = (0..len)
                .map(|_| LETTERS[random() as usize % LETTERS.len()])
                .collect();
            if i % HIT_EVERY == 0 {
                let found = format!("{}tail", word(i as u32 % SIGNATURES));
                bytes[10..10 + found.len()].copy_from_slice(found.as_bytes());
            }
            bytes
        })
        .collect();
    let layers = Layers {
        net: Net::V4,
        src: IpAddr::from([10, 0, 0, 1]),
        dst: IpAddr::from([10, 0, 0, 2]),
        sport: 1000,
        dport: 53,
        ip_proto: 17,
        transport: Transport::Udp,
        payload_len: len as u32,
        ..Layers::default()
    };
    let mut inspector = engine.worker();
    let mut flow = Flow::default();
    flow.key = layers.key();
    let mut memory = FlowRules::default();
    let mut hits = Vec::with_capacity(64);
    let mut round = || {
        let mut found = 0;
        for payload in &payloads {
            hits.clear();
            let input = Inspection {
                packet: Packet {
                    frame: payload,
                    layers: &layers,
                },
                direction: Direction::ToServer,
                flow: Some(&mut flow),
                stream: StreamView {
                    established: true,
                    flow_established: true,
                    ..StreamView::default()
                },
                app: None,
                rules: Some(&mut memory),
                segment: 0,
                inline: false,
            };
            inspector.inspect(input, &mut hits);
            found += hits.len();
        }
        found
    };
    let expected = round();
    if own {
        assert_eq!(expected, PACKETS / HIT_EVERY, "hits with own rules");
    }
    let before = counting::allocations();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        assert_eq!(round(), expected, "hits differ from round to round");
    }
    let nanos = began.elapsed().as_nanos() as f64;
    let allocations = counting::allocations() - before;
    let packets = (PACKETS * ROUNDS) as f64;
    println!(
        "{len:>8} {:>10.0} {:>8.2} {:>13.4} {expected:>11}",
        nanos / packets,
        packets * len as f64 * 8.0 / nanos,
        allocations as f64 / packets
    );
}
