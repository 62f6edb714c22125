//! The application layer: protocols, their parsers, their transactions, and the fields that rules may ask for.
//!
//! A protocol is one file or folder and one line in [`registry::PROTOCOLS`]. It gives
//! - a [`Protocol`]: name, how to recognise it, which fields (= rule keywords) and events it has, how to log it;
//! - a [`Session`]: the parser's state for one flow, fed with in-order bytes of each direction;
//! - [`Transaction`]s: what the session found, kept until inspected and logged.
//!
//! A field that a protocol declares *is* a rule keyword: parser and rule language cannot drift apart.
//! Memory and work are bounded per transaction and per flow ([`Limits`]).

pub mod account;
pub mod ber;
pub mod bittorrent_dht;
pub mod dcerpc;
pub mod dhcp;
pub mod dnp3;
pub mod dns;
pub mod enip;
mod expect;
#[cfg(test)]
pub mod feed;
pub mod file;
pub mod frame;
pub mod ftp;
pub mod http1;
pub mod http2;
mod http_keyword;
mod identify;
pub mod ike;
pub mod imap;
pub mod krb5;
pub mod layer;
pub mod ldap;
pub(crate) mod line;
pub mod modbus;
pub mod mqtt;
pub mod mysql;
pub mod nfs;
pub mod note;
pub mod ntp;
pub mod number;
pub mod pgsql;
pub mod pop3;
pub mod quic;
pub mod rdp;
pub mod reader;
pub mod registry;
pub mod rfb;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod ssh;
pub mod telnet;
pub mod tftp;
pub mod tls;
mod tx;
pub mod websocket;

pub use file::{Digests, File, FileLimits, FileState, Files};
pub use frame::{Frame, FrameNotes, Frames};
pub use layer::{AppContext, AppInput, AppLayer, AppStats, EncryptionHandling};
pub use note::{Login, Note, Notes};
use serde::{Deserialize, Serialize};
pub use tx::{NoTransaction, Transaction, TxList, TxState, TxStore, Watcher};

use tx::{session_members, transaction_members};

use std::any::Any;

use crate::alert::Json;
use crate::packet::{Direction, FlowKey, Timestamp};

/// An application protocol: an index into [`registry::PROTOCOLS`], or one of the two special values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AppProto(pub u8);

impl AppProto {
    /// Not identified (yet).
    pub const UNKNOWN: Self = Self(255);
    /// Identification gave up.
    pub const FAILED: Self = Self(254);

    /// EVE's `app_proto`: the protocol's name, `failed`, or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UNKNOWN => "unknown",
            Self::FAILED => "failed",
            known => registry::protocol(known).map_or("unknown", |p| p.name()),
        }
    }

    /// Whether a protocol was identified.
    pub fn is_known(self) -> bool {
        self != Self::UNKNOWN && self != Self::FAILED
    }
}

/// What a parser made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// All of the input was consumed (parsers that buffer partial messages themselves always answer this).
    All,
    /// `consumed` bytes were; the rest is to be offered again together with at least `needed` further bytes.
    NeedMore {
        /// Bytes consumed from the front.
        consumed: usize,
        /// How many bytes beyond the unconsumed rest are needed at least (0: any).
        needed: usize,
    },
    /// The bytes are not of this protocol, or beyond repair: stop parsing the flow.
    Error,
    /// From `consumed` on the flow speaks another protocol (CONNECT, STARTTLS, Upgrade).
    Switch {
        /// Bytes consumed from the front.
        consumed: usize,
        /// Which, when it is known; otherwise it is identified afresh.
        to: Option<AppProto>,
    },
    /// Nothing of interest follows in this flow (encrypted remainder): track it, do not scan it.
    Bypass,
}

/// In-order bytes of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The bytes. For datagram protocols: one datagram.
    pub bytes: &'a [u8],
    /// Bytes that were lost just before `bytes` (0: none). A parser that cannot go on after a gap answers `Error`.
    pub gap: u64,
    /// Whether the direction ends with these bytes (FIN, RST, timeout). May come with empty bytes.
    pub end: bool,
}

/// What a parser may know about its flow.
#[derive(Clone, Copy, Debug)]
pub struct FlowInfo {
    /// Client to server.
    pub key: FlowKey,
    /// Time of the packet that brings the bytes.
    pub ts: Timestamp,
    /// EVE flow id.
    pub flow_id: u64,
    /// Whether the data is inspected inline (before it is delivered).
    pub inline: bool,
    /// What the flow spoke before it switched (STARTTLS, CONNECT).
    pub original: Option<AppProto>,
}

/// Messages from a parser to the flows to come (FTP's data connection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Who will connect, to whom, to which port; `sport` 0 = any.
    pub key: FlowKey,
    /// The protocol it will speak.
    pub proto: AppProto,
    /// A number that the expecting session chooses, given to the new session (e.g. an index of its commands).
    pub tag: u64,
}

/// The parser's state for one flow.
pub trait Session: Any + Send + std::fmt::Debug {
    /// Takes in-order bytes. Never panics, bounded work and memory.
    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed;

    /// Its live transactions.
    fn transactions(&self) -> &dyn TxList;

    /// Its live transactions.
    fn transactions_mut(&mut self) -> &mut dyn TxList;

    /// A connection the session expects to follow; taken once after each call of `parse`.
    fn take_expectation(&mut self) -> Option<Expectation> {
        None
    }

    /// For sessions opened by an expectation: what the expecting session knew.
    fn expected(&mut self, _context: &ExpectedContext) {}

    /// Where it notes frames, when its protocol has some; taken after each call of `parse`.
    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        None
    }

    /// What it tells the behavioural detectors; taken after each call of `parse` until there is none.
    fn take_note(&mut self) -> Option<Note> {
        None
    }

    /// What the control session tells a data session about to open (see [`Expectation`]).
    fn expectation_context(&self, _tag: u64) -> Option<ExpectedContext> {
        None
    }

    /// A number that changes when the raw stream of a direction is to be inspected; none: when a transaction begins or
    /// goes on. For protocols whose transactions begin before their message is whole, since what is inspected in parts
    /// is not inspected across them.
    fn whole_messages(&self, _direction: Direction) -> Option<u64> {
        None
    }

    /// What the flow turned out to speak inside of its protocol (DNS over HTTP/2), once that is known.
    fn turned_into(&self) -> Option<AppProto> {
        None
    }

    /// A rule says that a transaction is not to be logged.
    fn silence(&mut self, id: u64) {
        let list = self.transactions_mut();
        if let Some(tx) = list.position(id).and_then(|at| list.at_mut(at)) {
            tx.state_mut().logged = true;
        }
    }

    /// For `fields` and `log`, which need the protocol's own type.
    fn as_any(&self) -> &dyn Any;
}

/// What a control session tells the session of an expected connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedContext {
    /// The command that opened it (`RETR`, `STOR`).
    pub command: Vec<u8>,
    /// The file it is about.
    pub filename: Vec<u8>,
    /// Which way the data will go in the new flow.
    pub upload: bool,
}

/// Verdict of a probing function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is this protocol.
    Match,
    /// It is this protocol, and the sender is the server (the flow was picked up in the middle).
    MatchReversed,
    /// Cannot tell yet.
    NeedMore,
    /// It is not.
    NotMine,
}

/// Bytes that identify a protocol wherever the flow goes.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// What to find.
    pub bytes: &'static [u8],
    /// Whether letter case does not matter.
    pub nocase: bool,
    /// The match must start at or after this offset …
    pub offset: u16,
    /// … and end at or before this one.
    pub depth: u16,
    /// The direction that sends it.
    pub direction: Direction,
}

/// Transports a protocol rides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rides {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// Both.
    Both,
    /// Never identified by content (opened by an expectation or a switch).
    Switched,
}

/// Which directions a field is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldDirection {
    /// Requests.
    ToServer,
    /// Responses.
    ToClient,
    /// Either (inspected in both).
    Both,
}

impl FieldDirection {
    /// Whether the field exists in `direction`.
    pub fn covers(self, direction: Direction) -> bool {
        match self {
            Self::ToServer => direction == Direction::ToServer,
            Self::ToClient => direction == Direction::ToClient,
            Self::Both => true,
        }
    }
}

/// A part of a stream-like field (bodies, files) that may be inspected now.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Offset of the first of them in the whole.
    pub offset: u64,
    /// Whether nothing follows.
    pub complete: bool,
    /// Number of the file they are of, so that a later look is known to be at the same; 0 for a body.
    pub file: u32,
}

/// Reads one value of a transaction.
pub type ReadOne = for<'a> fn(&'a dyn Transaction, Direction, &'a mut Vec<u8>) -> Option<&'a [u8]>;

/// Reads the value at an index.
pub type ReadMany =
    for<'a> fn(&'a dyn Transaction, Direction, usize, &'a mut Vec<u8>) -> Option<&'a [u8]>;

/// How to read a field. Scratch is an empty buffer to build the value in when it does not lie in the transaction as such.
#[derive(Clone, Copy)]
pub enum Access {
    /// At most one value a transaction.
    Bytes(ReadOne),
    /// Values by index, from 0 until none is returned.
    Multi(ReadMany),
    /// Grows while it is received; by index as `Multi` (several files in a transaction). The engine inspects each time
    /// that more is there; a window overlaps the last one by what the protocol's limits say.
    Streaming(for<'a> fn(&'a dyn Transaction, Direction, usize) -> Option<Window<'a>>),
    /// A number, tested with `<`, `>`, `<=`, `>=`, `!`, ranges `a-b`, names of `names` (case-insensitive).
    Integer {
        /// Values by index, from 0 until none is returned. The test is true when one satisfies it.
        value: fn(&dyn Transaction, Direction, usize) -> Option<u64>,
        /// Names for values, e.g. `("connect", 1)`.
        names: &'static [(&'static str, u64)],
        /// Largest value.
        max: u64,
    },
    /// Anything else: parses the option's argument into a test.
    Test(fn(&str) -> Result<Box<dyn FieldTest>, String>),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Multi(_) => "Multi",
            Self::Streaming(_) => "Streaming",
            Self::Integer { .. } => "Integer",
            Self::Test(_) => "Test",
        })
    }
}

/// A compiled test on a transaction, for fields that are neither bytes nor one number.
pub trait FieldTest: Send + Sync + std::fmt::Debug {
    /// Whether the transaction satisfies it.
    fn test(&self, tx: &dyn Transaction, session: &dyn Session, direction: Direction) -> bool;
}

/// A field that rules may ask for.
#[derive(Debug)]
pub struct Field {
    /// The keyword, e.g. `http.uri`.
    pub name: &'static str,
    /// Other spellings of the same keyword (`http_uri` where it is a sticky buffer, `tls_sni`, `dns_query`).
    pub aliases: &'static [&'static str],
    /// The old keyword that *modifies the preceding content* to mean this field (`http_uri`), if any.
    pub modifier: Option<&'static str>,
    /// Directions it exists in.
    pub direction: FieldDirection,
    /// Progress (of its direction) from which on it can be read. See [`Protocol::states`].
    pub progress: u8,
    /// How.
    pub access: Access,
    /// One line for `rules explain` and the documentation.
    pub doc: &'static str,
}

impl Field {
    /// A field under one name.
    pub const fn new(
        name: &'static str,
        direction: FieldDirection,
        access: Access,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            modifier: None,
            direction,
            progress: 0,
            access,
            doc,
        }
    }

    /// The same, readable from a later progress on.
    pub const fn at(self, progress: u8) -> Self {
        Self { progress, ..self }
    }

    /// The same, under further names.
    pub const fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// A field that holds a number of at most `max`.
    pub const fn number(
        name: &'static str,
        direction: FieldDirection,
        value: fn(&dyn Transaction, Direction, usize) -> Option<u64>,
        max: u64,
        doc: &'static str,
    ) -> Self {
        let access = Access::Integer {
            value,
            names: &[],
            max,
        };
        Self::new(name, direction, access, doc)
    }
}

/// What a log line is about and how its header reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// EVE `event_type` and, unless `key` differs, the name of the object.
    pub event_type: &'static str,
    /// Source and destination: as the flow's client to server, or as the packet in hand goes.
    pub by_packet: bool,
}

impl LogHead {
    /// A record that goes from client to server.
    pub const fn by_flow(event_type: &'static str) -> Self {
        Self {
            event_type,
            by_packet: false,
        }
    }

    /// A record that goes as the packet that completed it.
    pub const fn by_packet(event_type: &'static str) -> Self {
        Self {
            event_type,
            by_packet: true,
        }
    }
}

/// A protocol: one line of the registry.
pub trait Protocol: Sync + std::fmt::Debug {
    /// Its number.
    fn proto(&self) -> AppProto {
        registry::number(self.name())
    }

    /// EVE's `app_proto`, and the protocol in rule headers.
    fn name(&self) -> &'static str;

    /// Other names in rule headers and `app-layer-protocol` (`ssl`, `http1`).
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// What it rides on.
    fn rides(&self) -> Rides;

    /// Bytes that identify it.
    fn patterns(&self) -> &'static [Pattern] {
        &[]
    }

    /// Server ports on which `probe` is asked.
    fn ports(&self) -> &'static [u16] {
        &[]
    }

    /// Whether `probe` is also asked on any other port when nothing else was found (only for strong tests).
    fn probe_any_port(&self) -> bool {
        false
    }

    /// The direction that must send the first data, when the protocol prescribes it (TLS: the client).
    fn first_data(&self) -> Option<Direction> {
        None
    }

    /// Whether a transaction that goes on is a reason to inspect the stream, instead of waiting for a whole chunk of it.
    fn flushes_stream(&self) -> bool {
        true
    }

    /// Looks at the first bytes of a direction.
    fn probe(&self, _direction: Direction, _bytes: &[u8], _key: &FlowKey) -> Probe {
        Probe::NotMine
    }

    /// As [`Protocol::probe`], when the other direction is known to speak it: the port no longer matters.
    fn confirm(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        self.probe(direction, bytes, key)
    }

    /// A parser for a new flow.
    fn session(&self, limits: &Limits) -> Box<dyn Session>;

    /// Its fields.
    fn fields(&self) -> &'static [Field] {
        &[]
    }

    /// Its `app-layer-event` names, without the protocol's prefix; the number of an event is its index.
    fn events(&self) -> &'static [&'static str] {
        &[]
    }

    /// Prefix of its events in rules and EVE when it is not the name (`http` for `http1`).
    fn event_prefix(&self) -> &'static str {
        self.name()
    }

    /// Its frames (`frame:request.line` in rules), in lower case.
    fn frames(&self) -> &'static [&'static str] {
        &[]
    }

    /// Names of the progress values in a direction, from 0; the last one means complete. The default suits protocols
    /// whose requests and responses are read whole.
    fn states(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::ToServer => &["request_started", "request_complete"],
            Direction::ToClient => &["response_started", "response_complete"],
        }
    }

    /// Kinds of its transactions (HTTP/2: those of streams and the connection's own), when it has more than one.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Progress from which a transaction is complete in a direction.
    fn complete_at(&self, direction: Direction) -> u8 {
        u8::try_from(self.states(direction).len().saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// Whether the transaction is due to be logged (default: complete in both directions). Asked until true, and once
    /// more when the flow ends.
    fn log_ready(&self, tx: &dyn Transaction, ended: bool) -> bool {
        ended
            || [Direction::ToServer, Direction::ToClient]
                .into_iter()
                .all(|d| tx.progress(d) >= self.complete_at(d))
    }

    /// How its record begins; `None`: not logged on its own.
    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        None
    }

    /// Which way its record goes, when neither the flow's nor the packet's way is right.
    fn log_direction(&self, _tx: &dyn Transaction) -> Option<Direction> {
        None
    }

    /// Writes its members (`"http":{…}`), for its own record.
    fn log(&self, session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>);

    /// Writes its members for an alert on it; the same by default.
    fn log_alert(
        &self,
        session: &dyn Session,
        tx: &dyn Transaction,
        _direction: Direction,
        json: &mut Json<'_>,
    ) {
        self.log(session, tx, json);
    }

    /// Whether its sessions tell of logins ([`Session::take_note`]), so that nobody has to guess from first bytes.
    fn tells_logins(&self) -> bool {
        false
    }

    /// What the transaction shows of the outcome of an attack carried by the client: see [`Outcome`].
    fn outcome(&self, _tx: &dyn Transaction) -> Outcome {
        Outcome::Unknown
    }
}

/// How a server answered a request, as far as its protocol says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Not answered yet, or the protocol does not say.
    #[default]
    Unknown,
    /// Answered with success (HTTP 2xx, FTP 230, …); the number is the protocol's own code.
    Success(u32),
    /// Answered with refusal or failure.
    Failure(u32),
    /// Answered, neither success nor failure (redirect, continue).
    Answered(u32),
}

/// Bounds of the application layer, from the configuration (Suricata's defaults).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Live transactions a flow keeps (the oldest go first, with an event).
    pub transactions: usize,
    /// Bytes of a request body kept for inspection.
    pub request_body_bytes: u32,
    /// Bytes of a response body kept for inspection.
    pub response_body_bytes: u32,
    /// Layers of content encoding undone.
    pub decompress_layers: u8,
    /// Bytes that one compressed body may unfold to.
    pub decompress_bytes: u32,
    /// Bytes of one file kept for inspection at a time.
    pub file_window_bytes: u32,
    /// Which digests of files are computed.
    pub file_digests: Digests,
    /// Whether rules ask for frames.
    pub frames: bool,
    /// Bytes that the parsers of all flows of a worker hold at a time (`app-layer.memcap` divided by the workers).
    pub memory_bytes: u64,
}

impl Limits {
    /// Those of one file.
    pub fn file(&self) -> FileLimits {
        FileLimits {
            window: usize::try_from(self.file_window_bytes).unwrap_or(usize::MAX),
            digests: self.file_digests,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transactions: 4096,
            request_body_bytes: 100 * 1024,
            response_body_bytes: 100 * 1024,
            decompress_layers: 3,
            decompress_bytes: 1024 * 1024,
            file_window_bytes: 100 * 1024,
            file_digests: Digests::default(),
            frames: false,
            // A thousand bytes for each of the flows tracked by default.
            memory_bytes: 256 << 20,
        }
    }
}
