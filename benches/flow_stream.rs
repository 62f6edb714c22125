//! Flow table and stream engine alone: ns/packet and allocations/packet, once warm.
//!
//! `cargo bench --bench flow_stream`. Every load asserts what came of it, so that it cannot win by doing less. The
//! spoofed SYN flood also asserts that a real client among it stays tracked and that memory is flat.

mod counting;

use std::hint::black_box;

use sekisho::flow::{Ended, Flow, FlowSettings, FlowTable, Recycle, TcpState};
use sekisho::packet::{Direction, EventSet, Layers, Net, Packet, TcpFlags, Timestamp, Transport};
use sekisho::stream::{Offer, Receiver, StreamEngine, StreamPair, StreamSettings, Taken};

/// Packets between two looks at the clock of the capture, as the pipeline's batches have them.
const BATCH: u64 = 256;

#[derive(Default)]
struct Tracked {
    streams: StreamPair,
    app: Counter,
}

impl Recycle for Tracked {
    fn recycle(&mut self) {
        self.app = Counter::default();
    }
    fn is_half_open(&self, flow: &Flow) -> bool {
        self.app.bytes == 0 && self.streams.is_half_open(flow)
    }
    fn restore(&mut self, flow: &Flow) {
        self.streams.restore(flow);
    }
}

/// Takes everything.
#[derive(Default)]
struct Counter {
    bytes: u64,
}

impl Receiver for Counter {
    fn receive(&mut self, _flow: &mut Flow, offer: &Offer<'_>) -> Taken {
        self.bytes += offer.bytes.len() as u64;
        Taken {
            consumed: offer.bytes.len(),
            parsed: true,
            ..Taken::default()
        }
    }
    fn swap_directions(&mut self) {}
}

/// One worker's flow and stream stages.
struct Worker {
    flows: FlowTable<Tracked>,
    streams: StreamEngine,
    packets: u64,
    bytes: u64,
}

impl Worker {
    fn new(settings: StreamSettings) -> Self {
        Self {
            flows: FlowTable::new(FlowSettings::default()),
            streams: StreamEngine::new(settings),
            packets: 0,
            bytes: 0,
        }
    }

    fn packet(&mut self, layers: &Layers, frame: &[u8]) -> Option<TcpState> {
        self.packets += 1;
        let packet = Packet { frame, layers };
        let found = self.flows.lookup(&packet);
        self.ended();
        if self.packets.is_multiple_of(BATCH) {
            self.flows.tick(layers.ts);
            self.ended();
        }
        let found = found?;
        let slot = self.flows.get_mut(found.handle)?;
        if packet.transport == Transport::Tcp {
            let mut events = EventSet::default();
            let (flow, ext) = (&mut slot.flow, &mut slot.ext);
            let before = ext.app.bytes;
            let verdict = self.streams.packet(
                &packet,
                found.direction,
                flow,
                &mut ext.streams,
                &mut ext.app,
                &mut events,
            );
            self.bytes += ext.app.bytes - before;
            if verdict.stream {
                let window = self
                    .streams
                    .window(verdict.direction, flow, &ext.streams, None);
                let upto = black_box(window).map(|window| window.end());
                self.streams
                    .inspected(verdict.direction, flow, &mut ext.streams, upto);
            }
        }
        let state = slot.flow.tcp.as_ref().map(|tcp| tcp.state);
        self.flows.settle(found.handle);
        state
    }

    fn ended(&mut self) {
        while let Some(ended) = self.flows.take_ended() {
            if let Ended::Flow(mut slot) = ended {
                self.streams.release(&mut slot.ext.streams);
                self.flows.recycle(slot);
            }
        }
    }
}

fn packet(number: u64, nanos: u64, client: u32, port: u16, direction: Direction) -> Layers {
    let mut layers = Layers {
        number,
        ts: Timestamp(1_700_000_000_000_000_000 + nanos),
        net: Net::V4,
        has_flow: true,
        src: std::net::Ipv4Addr::from(client).into(),
        dst: [192, 0, 2, 1].into(),
        sport: port,
        dport: 443,
        ip_proto: 6,
        transport: Transport::Tcp,
        hash: u64::from(client).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7,
        ..Layers::default()
    };
    layers.tcp.window = 60_000;
    if direction == Direction::ToClient {
        std::mem::swap(&mut layers.src, &mut layers.dst);
        std::mem::swap(&mut layers.sport, &mut layers.dport);
    }
    layers
}

fn tcp(mut layers: Layers, flags: u8, seq: u32, ack: u32, len: u32) -> Layers {
    layers.tcp.flags = TcpFlags(flags);
    layers.tcp.seq = seq;
    layers.tcp.ack = ack;
    layers.payload_len = len;
    layers
}

/// CPU time of this thread, in seconds: what others do on the machine does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

fn report(name: &str, packets: u64, seconds: f64, allocations: u64, bytes: u64) {
    let ns = seconds * 1e9 / packets as f64;
    println!(
        "{name:28} {ns:>9.1} {:>11.0} {:>8.2} {:>12.4}",
        packets as f64 / seconds,
        bytes as f64 * 8.0 / seconds / 1e9,
        allocations as f64 / packets as f64,
    );
}

/// 64-byte SYNs from spoofed addresses, and one real client that must stay tracked.
fn syn_flood() {
    const PACKETS: u64 = 4_000_000;
    let frame = [0u8; 60];
    let mut worker = Worker::new(StreamSettings::default());
    let client = u32::from_be_bytes([10, 9, 8, 7]);
    let real = |number, nanos, direction, flags, seq, ack| {
        tcp(
            packet(number, nanos, client, 5555, direction),
            flags,
            seq,
            ack,
            0,
        )
    };
    let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
    worker.packet(
        &real(1, 0, Direction::ToServer, TcpFlags::SYN, 10, 0),
        &frame,
    );
    worker.packet(&real(2, 0, Direction::ToClient, syn_ack, 90, 11), &frame);
    let state = worker.packet(
        &real(3, 0, Direction::ToServer, TcpFlags::ACK, 11, 91),
        &frame,
    );
    assert_eq!(state, Some(TcpState::Established));
    let flood = |worker: &mut Worker, from: u64, count: u64| {
        for i in from..from + count {
            // 2 Mpps of packet time; addresses by a multiplicative walk, so that hardly any comes twice.
            let source = (i as u32).wrapping_mul(2_654_435_761);
            let layers = packet(10 + i, i * 500, source, i as u16, Direction::ToServer);
            worker.packet(&tcp(layers, TcpFlags::SYN, i as u32, 0, 0), &frame);
        }
    };
    flood(&mut worker, 0, 1_000_000);
    let start = cpu_seconds();
    let (allocations, live) = (counting::allocations(), counting::live_bytes());
    flood(&mut worker, 1_000_000, PACKETS);
    let allocations = counting::allocations() - allocations;
    let seconds = cpu_seconds() - start;
    report(
        "spoofed SYN flood, 64 bytes",
        PACKETS,
        seconds,
        allocations,
        PACKETS * 64,
    );
    let late = real(
        9,
        5_000_000 * 500,
        Direction::ToServer,
        TcpFlags::ACK,
        11,
        91,
    );
    assert_eq!(worker.packet(&late, &frame), Some(TcpState::Established));
    assert!(worker.flows.len() <= worker.flows.settings().pending_max as usize + 1);
    assert!(worker.flows.stats().evicted_pending > PACKETS / 2);
    assert_eq!(allocations, 0, "allocations in a flood");
    assert!(counting::live_bytes() - live < 4096, "memory is not flat");
}

/// Many connections that transfer data in order, acknowledged at once.
fn transfer(name: &str, settings: StreamSettings, segment: u32) {
    const FLOWS: u32 = 2000;
    let rounds: u32 = 500;
    let frame = vec![0x20u8; 54 + segment as usize];
    let mut worker = Worker::new(settings);
    let mut number = 0;
    let mut next = |flow: u32, direction| {
        number += 1;
        packet(number, number * 1000, 0x0a00_0000 + flow, 1000, direction)
    };
    for flow in 0..FLOWS {
        let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
        worker.packet(
            &tcp(next(flow, Direction::ToServer), TcpFlags::SYN, 0, 0, 0),
            &frame,
        );
        worker.packet(
            &tcp(next(flow, Direction::ToClient), syn_ack, 0, 1, 0),
            &frame,
        );
        worker.packet(
            &tcp(next(flow, Direction::ToServer), TcpFlags::ACK, 1, 1, 0),
            &frame,
        );
    }
    let (mut packets, mut allocations, mut start) = (0, 0, 0.0);
    for round in 0..rounds {
        if round == rounds / 5 {
            (packets, start) = (worker.packets, cpu_seconds());
            allocations = counting::allocations();
        }
        let seq = 1 + round * segment;
        for flow in 0..FLOWS {
            let mut data = tcp(
                next(flow, Direction::ToServer),
                TcpFlags::ACK,
                seq,
                1,
                segment,
            );
            data.payload_offset = 54;
            worker.packet(&data, &frame);
            worker.packet(
                &tcp(
                    next(flow, Direction::ToClient),
                    TcpFlags::ACK,
                    1,
                    seq + segment,
                    0,
                ),
                &frame,
            );
        }
    }
    let allocations = counting::allocations() - allocations;
    let seconds = cpu_seconds() - start;
    let packets = worker.packets - packets;
    report(
        name,
        packets,
        seconds,
        allocations,
        packets / 2 * u64::from(segment),
    );
    assert_eq!(
        worker.bytes,
        u64::from(FLOWS) * u64::from(rounds) * u64::from(segment)
    );
    assert!(allocations * 1000 < packets, "{allocations} allocations");
}

/// Datagrams of many pairs, both ways.
fn datagrams() {
    const PACKETS: u64 = 4_000_000;
    let frame = [0u8; 60];
    let mut worker = Worker::new(StreamSettings::default());
    let mut send = |from: u64, count: u64| {
        for i in from..from + count {
            let direction = if i % 2 == 0 {
                Direction::ToServer
            } else {
                Direction::ToClient
            };
            let mut layers = packet(
                i,
                i * 1000,
                0x0a00_0000 + (i / 2 % 10_000) as u32,
                53,
                direction,
            );
            layers.transport = Transport::Udp;
            layers.ip_proto = 17;
            worker.packet(&layers, &frame);
        }
        worker.flows.len()
    };
    send(0, 100_000);
    let start = cpu_seconds();
    let allocations = counting::allocations();
    let live = send(100_000, PACKETS);
    let allocations = counting::allocations() - allocations;
    let seconds = cpu_seconds() - start;
    report(
        "UDP both ways, 10,000 flows",
        PACKETS,
        seconds,
        allocations,
        PACKETS * 60,
    );
    assert_eq!((live, allocations), (10_000, 0));
}

fn main() {
    println!(
        "flow {} session {} streams {} layers {}",
        size_of::<Flow>(),
        size_of::<sekisho::flow::TcpSession>(),
        size_of::<StreamPair>(),
        size_of::<Layers>()
    );
    println!(
        "{:28} {:>9} {:>11} {:>8} {:>12}",
        "load", "ns/packet", "packets/s", "Gbit/s", "alloc/packet"
    );
    syn_flood();
    datagrams();
    let depth = StreamSettings {
        depth: 0,
        ..StreamSettings::default()
    };
    transfer("TCP passive, 1400 bytes", depth.clone(), 1400);
    transfer("TCP passive, 64 bytes", depth.clone(), 64);
    transfer(
        "TCP inline, 1400 bytes",
        StreamSettings {
            inline: true,
            ..depth
        },
        1400,
    );
}
