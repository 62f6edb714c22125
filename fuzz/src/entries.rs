//! The sensor's mouths, one function each: bytes from outside go in; a panic, a line that is not JSON or a fault that was
//! swallowed is the bug. `tests/fuzz_regressions.rs` drives the same functions with every input that once was one.

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sekisho::app::layer::EncryptionHandling;
use sekisho::app::{Access, Digests, Limits, Protocol, Rides, registry};
use sekisho::capture::{CaptureFile, Frame, FrameBatch};
use sekisho::config::Config;
use sekisho::decode::DecodeSettings;
use sekisho::detect::anomaly::AnomalySettings;
use sekisho::detect::signature::{Engine, EngineSettings};
use sekisho::flow::FlowSettings;
use sekisho::grade::{Event, GradeSettings};
use sekisho::packet::{Batch, FrameBytes, LinkType, Slice, Timestamp};
use sekisho::pipeline::{Feeder, ReportStage, Said, SignatureWorker, WorkerSettings};
use sekisho::rules::{Variables, load_text};
use sekisho::sink::eve::{self, EveSettings};
use sekisho::sink::{Sink, SinkError};
use sekisho::stream::{ExceptionPolicy, StreamSettings};

/// A capture file, perhaps packed: read, decoded, and taken through the whole sensor.
pub fn capture(data: &[u8]) {
    let name = Path::new("fuzz");
    let reader = Box::new(Cursor::new(data.to_vec()));
    let Ok(mut file) = CaptureFile::from_reader(name, reader, data.len() as u64) else {
        return;
    };
    let mut sensor = Sensor::new(false);
    // A packed file may unfold to more than a fuzzer has time for.
    for _ in 0..64 {
        let more = sensor.feeder.next(&mut file, &mut sensor.batches);
        sensor.work();
        match more {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                break;
            }
        }
    }
    sensor.end();
}

/// A conversation between two hosts: what lies above decoding, reached without guessing checksums and sequence numbers.
///
/// ```text
/// protocol(8) how(8) { what(8) len(16, little endian) bytes }…
/// ```
///
/// `protocol` chooses one of the registry's, its port and transport. `how`: 1 no handshake, 2 inline, 4 acknowledgements
/// come late, 8 the port is another one. `what`: 1 the server sends; 2 bytes are lost before; 4 the bytes are sent
/// again, changed; 8 they come before those of the next record; 16 FIN; 32 RST; 64 one byte a segment; 128 urgent.
pub fn conversation(data: &[u8]) {
    let [protocol, how, records @ ..] = data else {
        return;
    };
    let Some(protocol) =
        registry::PROTOCOLS.get(usize::from(*protocol) % registry::PROTOCOLS.len())
    else {
        return;
    };
    let mut wire = Wire::new(*protocol, *how);
    if wire.tcp && how & 1 == 0 {
        wire.handshake();
    }
    let mut rest = records;
    let mut held: Option<(bool, Vec<u8>)> = None;
    let mut count = 0;
    while let [what, low, high, more @ ..] = rest
        && count < 64
    {
        count += 1;
        let len = usize::from(u16::from_le_bytes([*low, *high]))
            .min(more.len())
            .min(8192);
        let (bytes, after) = more.split_at(len);
        rest = after;
        let server = what & 1 != 0;
        if what & 2 != 0 {
            wire.lose(server, 7);
        }
        if what & 8 != 0 && held.is_none() {
            held = Some((server, wire.prepare(server, bytes, 0x18)));
        } else {
            let size = if what & 64 != 0 && len < 200 { 1 } else { 1400 };
            let flags = if what & 128 != 0 { 0x38 } else { 0x18 };
            for piece in bytes.chunks(size) {
                wire.send(server, piece, flags);
            }
            if what & 4 != 0 {
                let other: Vec<u8> = bytes.iter().map(|b| b ^ 0x20).collect();
                wire.again(server, &other);
            }
            if let Some((server, frame)) = held.take() {
                wire.frames.push(frame);
                wire.acknowledge(!server);
            }
        }
        if what & 16 != 0 {
            wire.send(server, &[], 0x11);
        }
        if what & 32 != 0 {
            wire.send(server, &[], 0x14);
        }
    }
    let mut sensor = Sensor::new(how & 2 != 0);
    for frames in wire.frames.chunks(16) {
        sensor.frames(frames);
    }
    sensor.end();
}

/// A rule file: parsed, described, compiled.
pub fn rule(data: &[u8]) {
    // A file of many rules only repeats what one does.
    let Ok(text) = std::str::from_utf8(data.get(..4096).unwrap_or(data)) else {
        return;
    };
    let rules = load_text("fuzz.rules", text, &Variables::default());
    for error in &rules.errors {
        assert!(!error.to_string().is_empty());
    }
    if let Ok(engine) = Engine::compile(Arc::new(rules), &EngineSettings::default()) {
        let mut sensor = Sensor::with(&Arc::new(engine), false);
        let mut wire = Wire::new(&sekisho::app::http1::HTTP, 0);
        wire.handshake();
        wire.send(false, b"GET /a?b=c HTTP/1.1\r\nHost: d\r\n\r\n", 0x18);
        wire.send(
            true,
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            0x18,
        );
        sensor.frames(&wire.frames);
        sensor.end();
    }
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut errors = Vec::new();
    let mut config = Config::default();
    config.read("fuzz.toml", text, &mut errors);
    for error in &errors {
        assert!(!error.to_string().is_empty());
    }
    assert!(!config.show().is_empty());
}

/// The stages between capture and output, in one thread, with a rule for every field.
struct Sensor {
    feeder: Feeder,
    batches: [Batch; 1],
    worker: SignatureWorker,
    said: Said,
    report: ReportStage,
}

impl Sensor {
    fn new(inline: bool) -> Self {
        static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
        Self::with(ENGINE.get_or_init(every_field), inline)
    }

    fn with(engine: &Arc<Engine>, inline: bool) -> Self {
        let settings = WorkerSettings {
            flow: FlowSettings {
                flows_max: 4096,
                pending_max: 1024,
                ..FlowSettings::default()
            },
            stream: StreamSettings {
                inline,
                ..StreamSettings::default()
            },
            limits: Limits {
                file_digests: Digests {
                    md5: true,
                    sha1: true,
                    sha256: true,
                    magic: false,
                },
                ..Limits::default()
            },
            tls_encryption: EncryptionHandling::default(),
            eve: EveSettings::default(),
            inline,
            hosts: true,
            failed_closed: Vec::new(),
            flow_memcap: ExceptionPolicy::Ignore,
            segments: Arc::default(),
            blocks: None,
        };
        let grade = (
            GradeSettings::default(),
            &AnomalySettings::default(),
            EveSettings::default(),
        );
        Self {
            feeder: Feeder::new(DecodeSettings::default()),
            batches: [Batch::with_capacity(64)],
            worker: SignatureWorker::new(engine, settings),
            said: Said::default(),
            report: ReportStage::new(Arc::clone(engine.rules()), grade, vec![Box::new(Reader)]),
        }
    }

    fn work(&mut self) {
        for batch in &self.batches {
            self.worker.batch(batch, &mut self.said);
            self.report.batch(&[&self.said]);
        }
    }

    fn frames(&mut self, frames: &[Vec<u8>]) {
        let mut bytes = Vec::new();
        let mut list = Vec::new();
        for frame in frames {
            let len = u32::try_from(frame.len()).unwrap_or(0);
            list.push(Frame {
                slice: Slice {
                    start: bytes.len() as u64,
                    len,
                    extra: false,
                },
                ts: Timestamp(1_000_000_000 + 1_000_000 * self.feeder.stats().frames),
                link: LinkType::RAW,
                interface: 0,
                original_len: len,
                unfinished: true,
                token: 0,
            });
            bytes.extend_from_slice(frame);
        }
        let batch = FrameBatch {
            bytes: FrameBytes::Owned(Arc::new(bytes)),
            frames: list,
        };
        self.feeder.take(&batch, &mut self.batches);
        self.work();
    }

    /// Ends all flows. A panic that a stage caught, to go on with the next packet, is one all the same.
    fn end(mut self) {
        self.feeder.finish(&mut self.batches);
        self.work();
        assert_eq!(self.feeder.stats().panics, 0);
        assert_eq!(self.worker.stats().panics, 0);
        let (_, errors) = self.report.finish();
        assert!(errors.is_empty());
    }
}

/// Reads every line as a consumer would.
struct Reader;

impl Sink for Reader {
    fn event(&mut self, event: &Event<'_>) {
        let mut composed = Vec::new();
        let line = match event {
            Event::Line { line, .. } => line,
            Event::Alert(alert) => {
                eve::alert::compose(&mut composed, &EveSettings::default(), alert);
                composed.as_slice()
            }
        };
        let value: Result<serde_json::Value, _> = serde_json::from_slice(line);
        assert!(value.is_ok(), "not JSON: {}", String::from_utf8_lossy(line));
    }
    fn flush(&mut self) {}
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Rules that read every field of every protocol, with and without a fast pattern.
fn every_field() -> Arc<Engine> {
    let mut text = String::new();
    let mut sid = 0;
    for protocol in registry::PROTOCOLS {
        for field in protocol.fields() {
            let name = field.name;
            let tests: &[String] = match field.access {
                Access::Bytes(_) | Access::Multi(_) | Access::Streaming(_) => &[
                    format!("{name}; content:\"a\";"),
                    format!(
                        "{name}; content:\"ab\"; nocase; content:!\"c\"; distance:0; within:9;"
                    ),
                    format!("{name}; pcre:\"/[^a-y]{{3}}/i\"; byte_test:2,>,9,1,relative;"),
                ],
                Access::Integer { .. } => &[format!("{name}:>3;")],
                Access::Test(_) => &[],
            };
            for test in tests {
                sid += 1;
                let head = protocol.name();
                text += &format!("alert {head} any any -> any any ({test} sid:{sid};)\n");
            }
        }
        for event in protocol.events() {
            sid += 1;
            let (head, prefix) = (protocol.name(), protocol.event_prefix());
            text += &format!(
                "alert {head} any any -> any any (app-layer-event:{prefix}.{event}; sid:{sid};)\n"
            );
        }
        for frame in protocol.frames() {
            sid += 1;
            let head = protocol.name();
            text += &format!(
                "alert {head} any any -> any any (frame:{frame}; content:\"a\"; sid:{sid};)\n"
            );
        }
    }
    text += "alert tcp any any -> any any (content:\"GET\"; startswith; filestore; sid:900000;)\n";
    text +=
        "alert ip any any -> any any (content:\"|00 00|\"; tag:session,5,packets; sid:900001;)\n";
    let rules = load_text("every-field.rules", &text, &Variables::default());
    let engine = Engine::compile(Arc::new(rules), &EngineSettings::default());
    Arc::new(engine.unwrap_or_else(|error| panic!("{error}")))
}

/// Frames between two hosts, with headers in order.
struct Wire {
    tcp: bool,
    port: u16,
    late: bool,
    /// Next sequence number: client, server.
    next: [u32; 2],
    frames: Vec<Vec<u8>>,
}

impl Wire {
    fn new(protocol: &dyn Protocol, how: u8) -> Self {
        let port = protocol.ports().first().copied().unwrap_or(5900);
        Self {
            tcp: protocol.rides() != Rides::Udp,
            port: if how & 8 == 0 { port } else { 4444 },
            late: how & 4 != 0,
            next: [1000, 500_000],
            frames: Vec::new(),
        }
    }

    fn handshake(&mut self) {
        let syn = self.prepare(false, &[], 0x02);
        let answer = self.prepare(true, &[], 0x12);
        self.frames.extend([syn, answer]);
        self.acknowledge(false);
    }

    fn lose(&mut self, server: bool, bytes: u32) {
        let next = &mut self.next[usize::from(server)];
        *next = next.wrapping_add(bytes);
    }

    fn send(&mut self, server: bool, bytes: &[u8], flags: u8) {
        let frame = self.prepare(server, bytes, flags);
        self.frames.push(frame);
        if !self.late {
            self.acknowledge(!server);
        }
    }

    fn again(&mut self, server: bool, bytes: &[u8]) {
        let back = u32::try_from(bytes.len()).unwrap_or(0);
        let next = &mut self.next[usize::from(server)];
        *next = next.wrapping_sub(back);
        for piece in bytes.chunks(1400) {
            let frame = self.prepare(server, piece, 0x18);
            self.frames.push(frame);
        }
    }

    fn acknowledge(&mut self, server: bool) {
        if self.tcp {
            let frame = self.prepare(server, &[], 0x10);
            self.frames.push(frame);
        }
    }

    /// An IPv4 packet; takes its bytes' sequence numbers.
    fn prepare(&mut self, server: bool, bytes: &[u8], flags: u8) -> Vec<u8> {
        let (from, to) = (usize::from(server), usize::from(!server));
        let transport = if self.tcp { 20 } else { 8 };
        let len = u16::try_from(20 + transport + bytes.len()).unwrap_or(u16::MAX);
        let mut frame = vec![0x45, 0];
        frame.extend(len.to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, if self.tcp { 6 } else { 17 }, 0, 0]);
        let hosts = [[192, 0, 2, 1], [198, 51, 100, 1]];
        frame.extend(hosts[from]);
        frame.extend(hosts[to]);
        let ports = [40_000, self.port];
        frame.extend(ports[from].to_be_bytes());
        frame.extend(ports[to].to_be_bytes());
        if self.tcp {
            frame.extend(self.next[from].to_be_bytes());
            frame.extend(self.next[to].to_be_bytes());
            frame.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 1]);
            let taken = bytes.len() + usize::from(flags & 3 != 0);
            self.lose(server, u32::try_from(taken).unwrap_or(0));
        } else {
            frame.extend((len - 20).to_be_bytes());
            frame.extend([0, 0]);
        }
        frame.extend(bytes);
        frame
    }
}
