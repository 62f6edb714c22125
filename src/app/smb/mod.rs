//! SMB 1, 2 and 3 over TCP, with NetBIOS framing (MS-SMB, MS-SMB2, RFC 1002 §4.3): logons, shares, files, pipes.
//!
//! A request and its answer are one transaction, paired by message id; each open file that is read or written is one
//! more, which carries the file; a call in a pipe (DCE/RPC) is one, whose request and answer come in separate writes and reads.
//! What version 3 encrypts is passed over.
//! Limits: a record of 64 KiB is buffered; of longer ones the first 4 KiB are read and the data of a read or write is
//! passed on as it comes; 1,024 live transactions; 512 shares, 1,024 open files, 256 unanswered reads, 1 MiB of
//! parameters of a call.

mod field;
mod log;
mod one;
mod record;
mod two;

use std::collections::VecDeque;

use super::dcerpc::pdu::{self, Call, Interfaces};
use super::krb5::Ticket;
use super::reader::Reader;
use super::{
    Field, File, FileLimits, FileState, Files, FlowInfo, FrameNotes, Input, Limits, LogHead, Login,
    Note, Notes, Outcome, Parsed, Pattern, Probe, Protocol, Rides, Session, Transaction, TxList,
    TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use record::{Ntlmssp, Record};

/// SMB.
#[derive(Debug)]
pub struct Smb;

/// SMB.
pub static SMB: Smb = Smb;

const EVENTS: &[&str] = &[
    "internal_error",
    "malformed_data",
    "record_overflow",
    "malformed_ntlmssp_request",
    "malformed_ntlmssp_response",
    "duplicate_negotiate",
    "negotiate_malformed_dialects",
    "file_overlap",
    "request_to_client",
    "response_to_server",
    "negotiate_max_read_size_too_large",
    "negotiate_max_write_size_too_large",
    "read_request_too_large",
    "read_response_too_large",
    "read_queue_size_exceeded",
    "read_queue_cnt_exceeded",
    "write_request_too_large",
    "write_queue_size_exceeded",
    "write_queue_cnt_exceeded",
    "unusual_ntlmssp_order",
    "too_many_transactions",
];
const MALFORMED_DATA: u8 = 1;
const NEGOTIATE_MALFORMED_DIALECTS: u8 = 6;
const FILE_OVERLAP: u8 = 7;
const REQUEST_TO_CLIENT: u8 = 8;
const RESPONSE_TO_SERVER: u8 = 9;
const READ_REQUEST_TOO_LARGE: u8 = 12;
const READ_RESPONSE_TOO_LARGE: u8 = 13;
const WRITE_REQUEST_TOO_LARGE: u8 = 16;
const TOO_MANY_TRANSACTIONS: u8 = 20;

const LIVE_MAX: usize = 1024;
/// A record is buffered whole up to here.
const RECORD_MAX: usize = 64 * 1024;
/// Of a longer record, so much is read before its data is passed on.
const HEAD_LEN: usize = 4096;
/// Largest read or write that is believed, bytes.
const TRANSFER_MAX: usize = 16 << 20;

static PATTERNS: &[Pattern] = &[
    pattern(b"\xffSMB", Direction::ToServer),
    pattern(b"\xffSMB", Direction::ToClient),
    pattern(b"\xfeSMB", Direction::ToServer),
    pattern(b"\xfeSMB", Direction::ToClient),
    pattern(b"\xfdSMB", Direction::ToServer),
    pattern(b"\xfdSMB", Direction::ToClient),
];

const fn pattern(bytes: &'static [u8], direction: Direction) -> Pattern {
    Pattern {
        bytes,
        nocase: false,
        offset: 4,
        depth: 8,
        direction,
    }
}

impl Protocol for Smb {
    fn name(&self) -> &'static str {
        "smb"
    }

    /// A rule on `dcerpc` means its calls wherever they are.
    fn aliases(&self) -> &'static [&'static str] {
        &["dcerpc"]
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn flushes_stream(&self) -> bool {
        false
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn ports(&self) -> &'static [u16] {
        &[139, 445]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        match bytes {
            [0, _, _, _, 0xfd, b'S', b'M', b'B', ..] => Probe::Match,
            [0, _, _, _, 0xfe | 0xff, b'S', b'M', b'B', ..] => {
                match Record::read(bytes.get(4..).unwrap_or_default()) {
                    Some(r) if r.is_response != (direction == Direction::ToClient) => {
                        Probe::MatchReversed
                    }
                    _ => Probe::Match,
                }
            }
            // A session request or its answer may come first (RFC 1002 §4.3.2).
            [0x81..=0x85, 0, 0, len, rest @ ..] => match rest.get(usize::from(*len)..) {
                Some([0, _, _, _, 0xfe | 0xff, b'S', b'M', b'B', ..]) => Probe::Match,
                Some(next) if next.len() >= 8 => Probe::NotMine,
                _ => Probe::NeedMore,
            },
            [0, ..] if bytes.len() < 8 => Probe::NeedMore,
            _ => Probe::NotMine,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(SmbSession {
            file: limits.file(),
            ..SmbSession::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &[
            "nbss.pdu",
            "nbss.hdr",
            "nbss.data",
            "smb1.pdu",
            "smb1.hdr",
            "smb1.data",
            "smb2.pdu",
            "smb2.hdr",
            "smb2.data",
            "smb3.pdu",
            "smb3.hdr",
            "smb3.data",
        ]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("smb"))
    }

    fn log(&self, session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let (Some(tx), Some(session)) =
            (tx.as_any().downcast_ref(), session.as_any().downcast_ref())
        {
            log::smb(tx, session, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match tx.as_any().downcast_ref::<SmbTx>().and_then(|tx| tx.status) {
            None => Outcome::Unknown,
            Some(0) => Outcome::Success(0),
            // Severity bits: 3 is an error.
            Some(status) if status >> 30 == 3 && status != MORE_PROCESSING_REQUIRED => {
                Outcome::Failure(status)
            }
            Some(status) => Outcome::Answered(status),
        }
    }
}

const PENDING: u32 = 0x103;
const BUFFER_OVERFLOW: u32 = 0x8000_0005;

const MORE_PROCESSING_REQUIRED: u32 = 0xc000_0016;

/// An open file: 16 bytes in version 2, two in version 1.
type Handle = [u8; 16];

/// What is told when a session begins.
#[derive(Debug, Default)]
struct Logon {
    who: Option<Ntlmssp>,
    ticket: Option<Ticket>,
    /// Version 1: operating system and LAN manager of the client and of the server.
    hosts: [Option<[Vec<u8>; 2]>; 2],
}

impl Logon {
    /// From a security blob, whatever is in it.
    fn read(blob: &[u8]) -> Box<Self> {
        Box::new(Self {
            who: Ntlmssp::find(blob),
            ticket: Ticket::find(blob),
            hosts: [None, None],
        })
    }
}

/// What a transaction is about.
#[derive(Debug, Default)]
enum Kind {
    #[default]
    Generic,
    Negotiate {
        dialects: Vec<Vec<u8>>,
        client: Option<Handle>,
        server: Handle,
    },
    Logon(Box<Logon>),
    Tree {
        share: Vec<u8>,
        pipe: bool,
        /// Version 2: 1 disk, 2 pipe, 3 printer.
        share_type: u8,
        /// Version 1: asked and answered.
        services: [Option<Vec<u8>>; 2],
    },
    Create {
        name: Vec<u8>,
        disposition: u32,
        delete: bool,
        directory: bool,
        /// Created, accessed, written, changed: seconds since the epoch.
        times: [u64; 4],
        size: u64,
        handle: Option<Handle>,
    },
    File {
        name: Vec<u8>,
        share: Vec<u8>,
        handle: Handle,
        direction: Direction,
        files: Box<Files>,
    },
    Rename {
        from: Vec<u8>,
        to: Vec<u8>,
        handle: Handle,
    },
    SetPath {
        name: Vec<u8>,
        delete: bool,
        handle: Handle,
    },
    Ioctl(u32),
    Dcerpc {
        call: Box<Call>,
        requested: bool,
        answered: bool,
    },
}

/// A request with its answer, a file, or a call.
#[derive(Debug, Default)]
pub struct SmbTx {
    state: TxState,
    version: u8,
    command: Option<u16>,
    status: Option<u32>,
    dos_status: bool,
    session: u64,
    tree: u32,
    message: u64,
    kind: Kind,
    done: [bool; 2],
    inline: bool,
}

impl SmbTx {
    fn finish(&mut self, direction: Direction) {
        if let Some(done) = self.done.get_mut(direction.index()) {
            *done = true;
        }
        self.state.touch(Direction::ToServer);
        self.state.touch(Direction::ToClient);
    }

    fn answer(&mut self, record: &Record<'_>) {
        self.status = Some(record.status);
        self.dos_status = record.is_dos_status;
        if record.status != PENDING || record.version == 1 {
            self.finish(Direction::ToClient);
        }
    }
}

impl Transaction for SmbTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        let [request, response] = self.done;
        u8::from(if direction == Direction::ToServer {
            request
        } else {
            response
        })
    }
    fn files(&self, direction: Direction) -> Option<&Files> {
        match &self.kind {
            Kind::File {
                files,
                direction: own,
                ..
            } if *own == direction => Some(files),
            _ => None,
        }
    }
    fn files_mut(&mut self, direction: Direction) -> Option<&mut Files> {
        match &mut self.kind {
            Kind::File {
                files,
                direction: own,
                ..
            } if *own == direction => Some(files),
            _ => None,
        }
    }
    fn is_little_endian(&self) -> bool {
        matches!(&self.kind, Kind::Dcerpc { call, .. } if call.little)
    }
}

/// The call of a transaction, when it is one.
pub(super) fn call_of(tx: &dyn Transaction) -> Option<&Call> {
    match &tx.as_any().downcast_ref::<SmbTx>()?.kind {
        Kind::Dcerpc { call, .. } => Some(call),
        _ => None,
    }
}

/// The interfaces of a session, when it is SMB's.
pub(super) fn interfaces_of(session: &dyn Session) -> Option<&Interfaces> {
    session
        .as_any()
        .downcast_ref::<SmbSession>()
        .map(|s| &s.interfaces)
}

/// The newest entries of a map, found by looking: small bounds.
#[derive(Debug)]
struct Recent<K, V> {
    list: VecDeque<(K, V)>,
    max: usize,
}

impl<K: PartialEq, V> Recent<K, V> {
    fn new(max: usize) -> Self {
        Self {
            list: VecDeque::new(),
            max,
        }
    }

    fn put(&mut self, key: K, value: V) {
        self.take(&key);
        if self.list.len() >= self.max {
            self.list.pop_front();
        }
        self.list.push_back((key, value));
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.list
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v)
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let at = self.list.iter().rposition(|(k, _)| k == key)?;
        self.list.remove(at).map(|(_, v)| v)
    }
}

/// A read that awaits its data, or a create that awaits its handle.
#[derive(Clone, Debug)]
enum Awaited {
    Read(Handle, u64),
    Name(Vec<u8>),
}

/// The rest of a long record.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    /// Bytes still to come of it.
    left: usize,
    /// How many of them, from the front, are data of a file, and of which.
    data: usize,
    handle: Option<Handle>,
}

/// The state of one flow.
#[derive(Debug)]
pub struct SmbSession {
    txs: TxStore<SmbTx>,
    dialect: u16,
    dialect_name: Option<Vec<u8>>,
    max_read: u32,
    max_write: u32,
    /// Shares by session and tree: name, whether it is for pipes.
    trees: Recent<(u64, u32), (Vec<u8>, bool)>,
    names: Recent<Handle, Vec<u8>>,
    awaited: Recent<(u8, u64), Awaited>,
    interfaces: Interfaces,
    rest: [Rest; 2],
    lost: [bool; 2],
    file: FileLimits,
    /// Name of the file that an earlier request of the same compound opens.
    compound: Option<Vec<u8>>,
    inline: bool,
    /// Frames noted.
    frames: FrameNotes,
    /// Logins and their outcome.
    notes: Notes,
}

impl Default for SmbSession {
    fn default() -> Self {
        Self {
            txs: TxStore::default(),
            dialect: 0,
            dialect_name: None,
            max_read: 0,
            max_write: 0,
            trees: Recent::new(512),
            names: Recent::new(1024),
            awaited: Recent::new(256),
            interfaces: Interfaces::default(),
            rest: [Rest::default(); 2],
            lost: [false; 2],
            file: Limits::default().file(),
            compound: None,
            inline: false,
            frames: FrameNotes::default(),
            notes: Notes::default(),
        }
    }
}

impl SmbSession {
    /// A new transaction for a record; `None` when there are too many.
    fn open(&mut self, record: &Record<'_>, kind: Kind) -> Option<&mut SmbTx> {
        if self.txs.len() >= LIVE_MAX {
            self.fault(TOO_MANY_TRANSACTIONS);
            let oldest = self.txs.find_mut(|t| t.done != [true; 2]);
            match oldest {
                Some(oldest) => {
                    oldest.finish(Direction::ToServer);
                    oldest.finish(Direction::ToClient);
                }
                None => self.txs.remove(0),
            }
            if self.txs.len() >= 2 * LIVE_MAX {
                return None;
            }
        }
        let tx = self.txs.push(SmbTx {
            version: record.version,
            command: Some(record.command),
            session: record.session,
            tree: record.tree,
            message: record.message,
            kind,
            inline: self.inline,
            ..SmbTx::default()
        });
        tx.state.touch(Direction::ToServer);
        tx.state.touch(Direction::ToClient);
        Some(tx)
    }

    /// A request that is complete.
    fn request(&mut self, record: &Record<'_>, kind: Kind) -> Option<&mut SmbTx> {
        let tx = self.open(record, kind)?;
        tx.finish(Direction::ToServer);
        Some(tx)
    }

    /// The unanswered request of a record's message id and command.
    fn asked(&mut self, record: &Record<'_>) -> Option<&mut SmbTx> {
        self.txs.find_mut(|t| {
            t.version == record.version
                && t.message == record.message
                && t.command == Some(record.command)
                && !t.done[1]
                && !matches!(t.kind, Kind::File { .. } | Kind::Dcerpc { .. })
        })
    }

    fn fault(&mut self, event: u8) {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(event);
        }
    }

    fn share(&self, record: &Record<'_>) -> (Vec<u8>, bool) {
        let key = (record.session, record.tree);
        self.trees.get(&key).cloned().unwrap_or_default()
    }

    /// Data of a read or write, beginning at an offset of a file or pipe; `len` bytes in all.
    fn data(
        &mut self,
        record: &Record<'_>,
        direction: Direction,
        handle: Handle,
        offset: u64,
        bytes: &[u8],
    ) {
        let (share, pipe) = self.share(record);
        let known = self.file_of(&handle, direction).is_some();
        // What is written to a pipe is taken for RPC whatever it looks like: exploits write what they like. What is read
        // may be the rest of what was read before.
        let written = pipe && direction == Direction::ToServer;
        if !known && (written || (pipe || share.is_empty()) && pdu_like(bytes)) {
            match direction {
                Direction::ToServer => self.pipe_write(record, bytes),
                Direction::ToClient => self.pipe_read(record, bytes),
            }
            return;
        }
        if !known && pipe {
            return;
        }
        if !known {
            let name = self
                .names
                .get(&handle)
                .cloned()
                .unwrap_or_else(|| b"<unknown>".to_vec());
            let mut files = Box::<Files>::default();
            let mut file = File::new(name.clone(), self.file);
            file.id = u32::try_from(self.txs.total())
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            files.open(file);
            let Some(tx) = self.open(
                record,
                Kind::File {
                    name,
                    share,
                    handle,
                    direction,
                    files,
                },
            ) else {
                return;
            };
            tx.message = 0;
        }
        self.append(&handle, direction, Some(offset), bytes);
    }

    fn file_of(&mut self, handle: &Handle, direction: Direction) -> Option<&mut SmbTx> {
        self.txs.find_last_mut(|t| {
            t.done != [true; 2]
                && matches!(&t.kind, Kind::File { handle: own, direction: way, .. } if own == handle && *way == direction)
        })
    }

    /// Bytes of a file: at an offset, or where the last ones ended.
    fn append(&mut self, handle: &Handle, direction: Direction, offset: Option<u64>, bytes: &[u8]) {
        let Some(tx) = self.file_of(handle, direction) else {
            return;
        };
        let mut overlap = false;
        if let Kind::File { files, .. } = &mut tx.kind
            && let Some(file) = files.last_mut()
        {
            let offset = offset.unwrap_or(file.size);
            if offset < file.size {
                overlap = true;
            } else {
                if offset > file.size {
                    file.gap(offset - file.size);
                }
                file.append(bytes);
            }
        }
        if overlap {
            tx.state.raise(FILE_OVERLAP);
        }
        tx.state.touch(direction);
    }

    /// A handle is closed, or its end was read: its files are complete.
    fn close(&mut self, handle: &Handle, ways: &[Direction]) {
        for direction in ways {
            let Some(tx) = self.file_of(handle, *direction) else {
                continue;
            };
            if let Kind::File { files, .. } = &mut tx.kind {
                for file in files.iter_mut() {
                    let state = if file.gaps {
                        FileState::Truncated
                    } else {
                        FileState::Closed
                    };
                    file.close(state);
                }
            }
            tx.status.get_or_insert(0);
            tx.finish(Direction::ToServer);
            tx.finish(Direction::ToClient);
        }
    }

    /// A unit written to a pipe.
    fn pipe_write(&mut self, record: &Record<'_>, bytes: &[u8]) {
        let Some((_, header)) = pdu::Header::of_any_version(bytes) else {
            return;
        };
        let unit = bytes
            .get(pdu::Header::LEN..usize::from(header.frag_len).min(bytes.len()))
            .unwrap_or_default();
        let request = (header.kind == pdu::REQUEST)
            .then(|| pdu::request(header, unit))
            .flatten();
        if let (pdu::REQUEST, 0) = (header.kind, header.flags & pdu::FIRST) {
            let stub = request.map_or(&[][..], |(_, _, stub)| stub);
            if let Some(tx) = self.call(header.call_id) {
                if let Kind::Dcerpc { call, .. } = &mut tx.kind {
                    call.add(0, stub, usize::MAX);
                }
                if header.is_last() {
                    tx.finish(Direction::ToServer);
                }
            }
            return;
        }
        let mut call = Call {
            id: header.call_id,
            request: header.kind,
            little: header.little,
            ..Call::default()
        };
        if let Some((context, operation, stub)) = request {
            (call.context, call.operation, call.requested) = (context, operation, true);
            call.add(0, stub, usize::MAX);
        }
        if header.kind == pdu::BIND {
            self.interfaces = Interfaces::default();
        }
        let granted = !matches!(header.kind, pdu::BIND | pdu::ALTER_CONTEXT)
            || self.interfaces.bind(header, unit).is_some();
        let kind = Kind::Dcerpc {
            call: Box::new(call),
            requested: true,
            answered: false,
        };
        let Some(tx) = self.open(record, kind) else {
            return;
        };
        if !granted || header.kind > 20 || (header.kind == pdu::REQUEST && request.is_none()) {
            tx.state.raise(MALFORMED_DATA);
        }
        if header.kind != pdu::REQUEST || header.is_last() {
            tx.finish(Direction::ToServer);
        }
    }

    /// A unit read from a pipe.
    fn pipe_read(&mut self, record: &Record<'_>, bytes: &[u8]) {
        let Some(header) = pdu::Header::read(bytes) else {
            return;
        };
        let unit = bytes
            .get(pdu::Header::LEN..usize::from(header.frag_len).min(bytes.len()))
            .unwrap_or_default();
        if matches!(header.kind, pdu::BINDACK | pdu::ALTER_CONTEXT_RESP) {
            self.interfaces.answer(header, unit);
        }
        if self.call(header.call_id).is_none() {
            let call = Call {
                id: header.call_id,
                little: header.little,
                ..Call::default()
            };
            let kind = Kind::Dcerpc {
                call: Box::new(call),
                requested: false,
                answered: false,
            };
            if self.open(record, kind).is_none() {
                return;
            }
        }
        let Some(tx) = self.call(header.call_id) else {
            return;
        };
        tx.status = Some(record.status);
        if let Kind::Dcerpc { call, answered, .. } = &mut tx.kind {
            call.response = header.kind;
            *answered = true;
            if header.kind == pdu::RESPONSE {
                // Allocation hint, context, cancels and padding come before the parameters.
                call.add(1, unit.get(8..).unwrap_or_default(), usize::MAX);
            }
        }
        if header.kind > 20 {
            tx.state.raise(MALFORMED_DATA);
        }
        if header.kind != pdu::RESPONSE || header.is_last() {
            tx.finish(Direction::ToClient);
        } else {
            tx.state.touch(Direction::ToClient);
        }
    }

    fn call(&mut self, id: u32) -> Option<&mut SmbTx> {
        self.txs.find_mut(|t| {
            t.done != [true; 2] && matches!(&t.kind, Kind::Dcerpc { call, .. } if call.id == id)
        })
    }

    /// Takes the messages of one record (all of it, or its head).
    fn messages(&mut self, direction: Direction, mut bytes: &[u8]) -> Option<Rest> {
        let mut rest = Rest::default();
        self.compound = None;
        while !bytes.is_empty() {
            if bytes.starts_with(b"\xfdSMB") {
                return Some(rest);
            }
            let Some(record) = Record::read(bytes) else {
                self.fault(MALFORMED_DATA);
                return None;
            };
            let (message, next) = match record.next {
                0 => (bytes, &[][..]),
                next => bytes.split_at_checked(next).unwrap_or((bytes, &[])),
            };
            let record = Record {
                whole: message,
                ..record
            };
            match (record.is_response, direction) {
                (true, Direction::ToServer) => self.fault(RESPONSE_TO_SERVER),
                (false, Direction::ToClient) => self.fault(REQUEST_TO_CLIENT),
                (false, _) if record.version == 1 => rest = self.request1(&record),
                (true, _) if record.version == 1 => rest = self.response1(&record),
                (false, _) => rest = self.request2(&record),
                (true, _) => rest = self.response2(&record),
            }
            bytes = next;
        }
        Some(rest)
    }
}

/// Notes the frames of a NetBIOS message of `len` bytes that begins at `at`, and of the first SMB message in it.
fn note_frames(frames: &mut FrameNotes, bytes: &[u8], at: usize, len: usize) {
    frames.note(0, at, len + 4, None);
    frames.note(1, at, 4, None);
    frames.note(2, at + 4, len, None);
    let (first, header) = match bytes.first_chunk::<4>() {
        Some([0xff, b'S', b'M', b'B']) => (3, 32),
        Some([0xfe, b'S', b'M', b'B']) => (6, 64),
        Some([0xfd, b'S', b'M', b'B']) => (9, 52),
        _ => return,
    };
    frames.note(first, at + 4, len, None);
    frames.note(first + 1, at + 4, header.min(len), None);
    if len > header {
        frames.note(first + 2, at + 4 + header, len - header, None);
    }
}

/// Whether bytes begin like a DCE/RPC unit.
fn pdu_like(bytes: &[u8]) -> bool {
    pdu::Header::read(bytes).is_some_and(|h| h.frag_len > 0 && h.kind <= 20)
}

/// Statuses that refuse a login (MS-ERREF §2.3.1): no such user, wrong password, logon failure, restrictions of the account,
/// password expired, account disabled, locked out.
const LOGON_REFUSED: &[u32] = &[
    0xc000_0064,
    0xc000_006a,
    0xc000_006d,
    0xc000_006e,
    0xc000_0071,
    0xc000_0072,
    0xc000_0234,
];

impl SmbSession {
    /// The answer to a session setup. A guest or nobody who is let in proved no password.
    fn logged_on(&mut self, status: u32, nobody: bool) {
        if LOGON_REFUSED.contains(&status) {
            self.notes.login(Login::Failed);
        } else if status == 0 && !nobody {
            self.notes.login(Login::Succeeded);
        }
    }
}

impl Session for SmbSession {
    session_members!();

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        self.inline = flow.inline;
        for tx in self.txs.tend() {
            let (done, inline) = (tx.done, tx.inline);
            if let Some(files) = tx.files_mut(direction) {
                files.note_inspection(done == [true; 2], inline);
            }
        }
        let side = direction.index();
        let mut r = Reader::new(input.bytes);
        if input.gap > 0 {
            // What was lost may have ended a file's data, or not.
            let rest = &mut self.rest[side];
            let lost = usize::try_from(input.gap).unwrap_or(usize::MAX);
            if lost <= rest.left {
                let of_file = rest.data.min(lost);
                rest.left -= lost;
                rest.data -= of_file;
                let handle = rest.handle;
                if let Some(handle) = handle
                    && let Some(Kind::File { files, .. }) =
                        self.file_of(&handle, direction).map(|t| &mut t.kind)
                    && let Some(file) = files.last_mut()
                {
                    file.gap(of_file as u64);
                }
            } else {
                *rest = Rest::default();
                self.lost[side] = true;
            }
        }
        loop {
            let rest = self.rest[side];
            if rest.left > 0 {
                let bytes = r.take(rest.left.min(r.left())).unwrap_or_default();
                let data = bytes.get(..rest.data.min(bytes.len())).unwrap_or_default();
                self.rest[side] = Rest {
                    left: rest.left - bytes.len(),
                    data: rest.data - data.len(),
                    ..rest
                };
                if let (Some(handle), false) = (rest.handle, data.is_empty()) {
                    self.append(&handle, direction, None, data);
                }
                if self.rest[side].left > 0 {
                    return Parsed::All;
                }
            }
            if self.lost[side] {
                while r.left() >= 8 && !is_record(r.rest()) {
                    let _ = r.skip(1);
                }
                if r.left() < 8 {
                    return Parsed::NeedMore {
                        consumed: r.position(),
                        needed: 8 - r.left(),
                    };
                }
                self.lost[side] = false;
            }
            let (consumed, mut whole) = (r.position(), r);
            if r.is_empty() {
                return Parsed::All;
            }
            let (Some(kind), Some(len)) = (whole.u8(), whole.u24()) else {
                return Parsed::NeedMore {
                    consumed,
                    needed: 4 - r.left(),
                };
            };
            let len = len as usize;
            // Session requests, answers and keep-alives of NetBIOS.
            if kind != 0 {
                if !(0x81..=0x85).contains(&kind) || len > 1024 {
                    self.fault(MALFORMED_DATA);
                    return Parsed::Error;
                }
                r = whole;
                self.rest[side] = Rest {
                    left: len,
                    ..Rest::default()
                };
                continue;
            }
            let head = if len > RECORD_MAX { HEAD_LEN } else { len };
            let Some(bytes) = whole.take(head) else {
                return Parsed::NeedMore {
                    consumed,
                    needed: head - whole.left(),
                };
            };
            r = whole;
            note_frames(&mut self.frames, bytes, consumed, len);
            let Some(rest) = self.messages(direction, bytes) else {
                return Parsed::Error;
            };
            let left = len - head;
            self.rest[side] = Rest {
                left,
                data: rest.data.min(left),
                handle: rest.handle,
            };
        }
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }
}

fn is_record(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, _, 0xfd..=0xff, b'S', b'M', b'B', ..])
}

#[cfg(test)]
mod tests;
