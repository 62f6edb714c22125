//! NFS 2 (RFC 1094), 3 (RFC 1813) and 4 (RFC 7530, RFC 8881) over RPC: calls with their replies, and the files read and
//! written, each a transaction of its own as long as it lasts.
//!
//! Limits: 64 KiB of a record are buffered, of longer ones the data goes straight into its file; 512 open calls,
//! 1,024 names of handles, 256 live transactions. Callbacks and other programs are passed over.

mod field;
mod four;
mod log;
mod rpc;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    Field, File, FileLimits, FileState, Files, FlowInfo, Input, Limits, LogHead, Outcome, Parsed,
    Probe, Protocol, Rides, Session, Transaction, TxList, TxState, TxStore,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use rpc::{Call, Credentials, Reply, opaque};

/// NFS.
#[derive(Debug)]
pub struct Nfs;

/// NFS.
pub static NFS: Nfs = Nfs;

const EVENTS: &[&str] = &[
    "malformed_data",
    "non_existing_version",
    "unsupported_version",
    "too_many_transactions",
];
const MALFORMED_DATA: u8 = 0;
const NON_EXISTING_VERSION: u8 = 1;
const TOO_MANY_TRANSACTIONS: u8 = 3;

const RECORD_MAX: usize = 64 * 1024;
/// A record of which no more than this is needed to know what it is.
const HEAD_MAX: usize = 4096;
/// Records longer than this do not occur: rsize and wsize are at most 1 MiB (Linux).
const WHOLE_MAX: usize = 4 << 20;
const CALLS_MAX: usize = 512;
const NAMES_MAX: usize = 1024;
const TRANSACTIONS_MAX: usize = 256;
const HANDLE_MAX: usize = 128;
const NAME_MAX: usize = 1024;

const TCP: u8 = 6;

/// Procedures of version 3 (RFC 1813 §3.3).
mod three {
    pub const GETATTR: u32 = 1;
    pub const LOOKUP: u32 = 3;
    pub const READ: u32 = 6;
    pub const WRITE: u32 = 7;
    pub const CREATE: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const SYMLINK: u32 = 10;
    pub const MKNOD: u32 = 11;
    pub const REMOVE: u32 = 12;
    pub const RMDIR: u32 = 13;
    pub const RENAME: u32 = 14;
    pub const READDIRPLUS: u32 = 17;
    pub const COMMIT: u32 = 21;
}

impl Protocol for Nfs {
    fn name(&self) -> &'static str {
        "nfs"
    }

    fn rides(&self) -> Rides {
        Rides::Both
    }

    fn ports(&self) -> &'static [u16] {
        &[2049]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        let mut r = Reader::new(bytes);
        if key.proto == TCP {
            let Some(mark) = r.u32() else {
                return Probe::NeedMore;
            };
            if mark & 0x7fff_ffff < 24 || mark & 0x7fff_ffff > WHOLE_MAX as u32 {
                return Probe::NotMine;
            }
        }
        if r.left() < 24 {
            return if key.proto == TCP {
                Probe::NeedMore
            } else {
                Probe::NotMine
            };
        }
        let (_, kind, third, fourth) = (r.u32(), r.u32(), r.u32(), r.u32());
        match (direction, kind, third, fourth) {
            (Direction::ToServer, Some(0), Some(2), Some(rpc::PROGRAM)) => match r.u32() {
                Some(2..=4) => Probe::Match,
                _ => Probe::NotMine,
            },
            // Only flavors of verifiers that there are.
            (Direction::ToClient, Some(1), Some(0), Some(0..=6)) => Probe::Match,
            (Direction::ToServer, Some(1), Some(0), Some(0..=6)) => Probe::MatchReversed,
            (Direction::ToClient, Some(0), Some(2), Some(rpc::PROGRAM)) => Probe::MatchReversed,
            _ => Probe::NotMine,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(NfsSession {
            file: limits.file(),
            ..NfsSession::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    /// Attributes are asked for all the time: not logged, as in Suricata.
    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        let tx = of(tx)?;
        (tx.version > 3 || tx.procedure != three::GETATTR).then_some(LogHead::by_packet("nfs"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            log::write(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx).and_then(|tx| tx.status) {
            Some(0) => Outcome::Success(0),
            Some(status) => Outcome::Failure(status),
            None => Outcome::Unknown,
        }
    }
}

/// The file of a transaction.
#[derive(Debug)]
struct Transfer {
    direction: Direction,
    files: Files,
    chunks: u32,
    last_xid: u32,
    ended: bool,
}

/// A call with its reply, or a file.
#[derive(Debug, Default)]
pub(super) struct NfsTx {
    state: TxState,
    xid: u32,
    version: u32,
    procedure: u32,
    credentials: Credentials,
    name: Vec<u8>,
    to: Vec<u8>,
    handle: Vec<u8>,
    status: Option<u32>,
    denied: bool,
    done: [bool; 2],
    transfer: Option<Box<Transfer>>,
    inline: bool,
}

impl Transaction for NfsTx {
    transaction_members!();
    fn progress(&self, direction: Direction) -> u8 {
        u8::from(self.done.get(direction.index()).copied().unwrap_or(true))
    }
    fn files(&self, direction: Direction) -> Option<&Files> {
        let transfer = self.transfer.as_ref()?;
        (transfer.direction == direction).then_some(&transfer.files)
    }
    fn files_mut(&mut self, direction: Direction) -> Option<&mut Files> {
        let transfer = self.transfer.as_mut()?;
        (transfer.direction == direction).then_some(&mut transfer.files)
    }
}

/// A call without a reply.
#[derive(Debug)]
struct Open {
    xid: u32,
    version: u32,
    procedure: u32,
    handle: Vec<u8>,
    name: Vec<u8>,
    offset: u64,
}

/// The rest of a record that goes by unbuffered.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    left: usize,
    /// Of these, data of a file, and its transaction.
    data: usize,
    file: u64,
}

/// The state of one flow.
#[derive(Debug, Default)]
struct NfsSession {
    txs: TxStore<NfsTx>,
    calls: VecDeque<Open>,
    names: VecDeque<(Vec<u8>, Vec<u8>)>,
    rest: [Rest; 2],
    file: FileLimits,
    inline: bool,
}

fn cut(bytes: &[u8], max: usize) -> Vec<u8> {
    bytes.get(..max).unwrap_or(bytes).to_vec()
}

impl NfsSession {
    fn fault(&mut self, event: u8) {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(event);
        }
    }

    fn learn(&mut self, handle: &[u8], name: &[u8]) {
        if handle.is_empty() || handle.len() > HANDLE_MAX || name.is_empty() {
            return;
        }
        self.names.retain(|(known, _)| known != handle);
        if self.names.len() >= NAMES_MAX {
            self.names.pop_front();
        }
        self.names.push_back((handle.to_vec(), cut(name, NAME_MAX)));
    }

    fn name_of(&self, handle: &[u8]) -> Vec<u8> {
        let known = self.names.iter().rev().find(|(known, _)| known == handle);
        known.map(|(_, name)| name.clone()).unwrap_or_default()
    }

    /// A new transaction; the oldest open ones end when there are too many.
    fn open(&mut self, call: &Call, procedure: u32) -> &mut NfsTx {
        if self.txs.len() >= TRANSACTIONS_MAX {
            for tx in self.txs.iter_mut() {
                if tx.done != [true; 2] {
                    tx.state.raise(TOO_MANY_TRANSACTIONS);
                    tx.done = [true; 2];
                }
            }
        }
        if self.txs.len() >= 2 * TRANSACTIONS_MAX {
            self.txs.remove(0);
        }
        let inline = self.inline;
        let tx = self.txs.push(NfsTx {
            xid: call.xid,
            version: call.version,
            procedure,
            credentials: call.credentials.clone(),
            inline,
            ..NfsTx::default()
        });
        tx.state.touch(Direction::ToServer);
        tx
    }

    /// The number of the open file of a handle, made when there is none.
    fn file(&mut self, call: &Call, procedure: u32, handle: &[u8], direction: Direction) -> u64 {
        let open = self.txs.iter().rev().find(|tx| {
            tx.handle == handle
                && tx
                    .transfer
                    .as_ref()
                    .is_some_and(|t| t.direction == direction && !t.ended)
        });
        if let Some(tx) = open {
            return tx.state.id;
        }
        let (name, limits) = (self.name_of(handle), self.file);
        let tx = self.open(call, procedure);
        let mut files = Files::default();
        let mut file = File::new(name.clone(), limits);
        file.id = u32::try_from(tx.state.id)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        files.open(file);
        tx.name = name;
        tx.handle = cut(handle, HANDLE_MAX);
        tx.transfer = Some(Box::new(Transfer {
            direction,
            files,
            chunks: 0,
            last_xid: call.xid,
            ended: false,
        }));
        tx.state.id
    }

    /// Puts bytes of a file where they belong, as far as they come in order.
    fn append(&mut self, id: u64, offset: Option<u64>, bytes: &[u8]) {
        let Some(tx) = self.txs.by_id(id) else { return };
        let Some(transfer) = &mut tx.transfer else {
            return;
        };
        let direction = transfer.direction;
        if let Some(file) = transfer.files.last_mut() {
            let at = offset.unwrap_or(file.size);
            if at > file.size {
                file.gap(at - file.size);
            }
            // What was written before is not looked at again.
            let known = usize::try_from(file.size.saturating_sub(at)).unwrap_or(usize::MAX);
            file.append(bytes.get(known..).unwrap_or_default());
        }
        tx.state.touch(direction);
    }

    fn end_file(&mut self, id: u64, xid: u32) {
        let Some(tx) = self.txs.by_id(id) else { return };
        if let Some(transfer) = &mut tx.transfer {
            transfer.ended = true;
            transfer.last_xid = xid;
            for file in transfer.files.iter_mut() {
                file.close(FileState::Closed);
            }
        }
        tx.done = [true; 2];
        tx.status.get_or_insert(0);
        tx.state.touch(Direction::ToServer);
        tx.state.touch(Direction::ToClient);
    }

    fn remember(&mut self, open: Open) {
        if self.calls.len() >= CALLS_MAX {
            self.calls.pop_front();
        }
        self.calls.push_back(open);
    }

    /// A call. Gives what of its data is still to come.
    fn call(&mut self, bytes: &[u8]) -> Rest {
        let mut r = Reader::new(bytes);
        let Some(call) = Call::read(&mut r) else {
            self.fault(MALFORMED_DATA);
            return Rest::default();
        };
        if call.program != rpc::PROGRAM {
            return Rest::default();
        }
        if !(2..=4).contains(&call.version) {
            self.fault(NON_EXISTING_VERSION);
            return Rest::default();
        }
        let asked = match (call.version, call.procedure) {
            (4, 0) | (2 | 3, _) => self.call_old(&call, r),
            _ => self.call_new(&call, r),
        };
        asked.unwrap_or_else(|| {
            self.fault(MALFORMED_DATA);
            Rest::default()
        })
    }

    fn handle<'a>(version: u32, r: &mut Reader<'a>) -> Option<&'a [u8]> {
        // RFC 1094 §2.3.3: 32 bytes; RFC 1813 §2.3.3: up to 64 with their length.
        if version == 2 { r.take(32) } else { opaque(r) }
    }

    /// Version 2 or 3. The procedures of version 2 that matter are told by the numbers of version 3.
    fn call_old(&mut self, call: &Call, mut r: Reader<'_>) -> Option<Rest> {
        let version = call.version;
        let procedure = match (version, call.procedure) {
            (2, 4) => three::LOOKUP,
            (2, 9) => three::CREATE,
            (2, 10) => three::REMOVE,
            (2, 11) => three::RENAME,
            (2, 14) => three::MKDIR,
            (2, 15) => three::RMDIR,
            (2, 6) => three::READ,
            (2, 8) => three::WRITE,
            (2, _) => 0,
            (_, procedure) => procedure,
        };
        let mut open = Open {
            xid: call.xid,
            version,
            procedure,
            handle: Vec::new(),
            name: Vec::new(),
            offset: 0,
        };
        let mut to = Vec::new();
        let mut rest = Rest::default();
        if procedure != 0 {
            open.handle = cut(Self::handle(version, &mut r)?, HANDLE_MAX);
        }
        match procedure {
            three::LOOKUP
            | three::CREATE
            | three::MKDIR
            | three::SYMLINK
            | three::MKNOD
            | three::REMOVE
            | three::RMDIR => open.name = cut(opaque(&mut r)?, NAME_MAX),
            three::RENAME => {
                open.name = cut(opaque(&mut r)?, NAME_MAX);
                Self::handle(version, &mut r)?;
                to = cut(opaque(&mut r)?, NAME_MAX);
            }
            0 => {}
            _ => open.name = self.name_of(&open.handle),
        }
        let number = call.procedure;
        match procedure {
            three::READ => {
                open.offset = if version == 2 {
                    r.u32()?.into()
                } else {
                    r.u64()?
                };
                self.file(call, number, &open.handle, Direction::ToClient);
            }
            three::WRITE => {
                let (offset, len) = if version == 2 {
                    r.skip(4)?;
                    let offset = u64::from(r.u32()?);
                    r.skip(4)?;
                    (offset, r.u32()? as usize)
                } else {
                    let offset = r.u64()?;
                    r.skip(8)?;
                    (offset, r.u32()? as usize)
                };
                let id = self.file(call, number, &open.handle, Direction::ToServer);
                rest = self.chunk(id, call.xid, (offset, len), r.rest());
            }
            three::COMMIT => {
                let open_file = self.txs.iter().rev().find(|tx| {
                    tx.handle == open.handle
                        && tx
                            .transfer
                            .as_ref()
                            .is_some_and(|t| t.direction == Direction::ToServer && !t.ended)
                });
                if let Some(id) = open_file.map(|tx| tx.state.id) {
                    if let Some(transfer) = self.txs.by_id(id).and_then(|tx| tx.transfer.as_mut()) {
                        transfer.chunks += 1;
                    }
                    self.end_file(id, call.xid);
                }
            }
            _ => {
                let (name, handle) = (open.name.clone(), open.handle.clone());
                let tx = self.open(call, number);
                tx.name = name;
                tx.handle = handle;
                tx.to = to;
                tx.done = [true, false];
            }
        }
        self.remember(open);
        Some(rest)
    }

    /// A compound of version 4.
    fn call_new(&mut self, call: &Call, mut r: Reader<'_>) -> Option<Rest> {
        let compound = four::request(&mut r)?;
        let handle = cut(&compound.handle, HANDLE_MAX);
        let mut rest = Rest::default();
        let name = if compound.name.is_empty() {
            self.name_of(&handle)
        } else {
            cut(&compound.name, NAME_MAX)
        };
        match compound.main {
            four::WRITE => {
                let id = self.file(call, four::WRITE, &handle, Direction::ToServer);
                let place = (compound.offset, compound.len);
                rest = self.chunk(id, call.xid, place, compound.data);
            }
            four::READ => {
                self.file(call, four::READ, &handle, Direction::ToClient);
            }
            main => {
                if compound.closes {
                    let ended: Vec<u64> = self
                        .txs
                        .iter()
                        .filter(|tx| {
                            tx.handle == handle && tx.transfer.as_ref().is_some_and(|t| !t.ended)
                        })
                        .map(|tx| tx.state.id)
                        .collect();
                    for id in ended {
                        self.end_file(id, call.xid);
                    }
                }
                let tx = self.open(call, main);
                tx.name = name.clone();
                tx.handle = handle.clone();
                tx.to = cut(&compound.to, NAME_MAX);
                tx.done = [true, false];
            }
        }
        self.remember(Open {
            xid: call.xid,
            version: 4,
            procedure: compound.main,
            handle,
            name,
            offset: compound.offset,
        });
        Some(rest)
    }

    /// Data of a file: what is there now, and what of it is still to come.
    fn chunk(&mut self, id: u64, xid: u32, place: (u64, usize), bytes: &[u8]) -> Rest {
        let (offset, len) = place;
        let here = bytes.get(..len).unwrap_or(bytes);
        if let Some(transfer) = self.txs.by_id(id).and_then(|tx| tx.transfer.as_mut()) {
            transfer.chunks = transfer.chunks.saturating_add(1);
            transfer.last_xid = xid;
        }
        self.append(id, Some(offset), here);
        Rest {
            left: 0,
            data: len - here.len(),
            file: id,
        }
    }

    /// A reply. Gives what of its data is still to come.
    fn reply(&mut self, bytes: &[u8]) -> Rest {
        let mut r = Reader::new(bytes);
        let Some(reply) = Reply::read(&mut r) else {
            self.fault(MALFORMED_DATA);
            return Rest::default();
        };
        let Some(at) = self.calls.iter().position(|open| open.xid == reply.xid) else {
            return Rest::default();
        };
        let Some(open) = self.calls.remove(at) else {
            return Rest::default();
        };
        let status = r.u32();
        let mut rest = Rest::default();
        if reply.state == 0 && status == Some(0) {
            rest = self.results(&open, r).unwrap_or_default();
        }
        let answered = self
            .txs
            .iter_mut()
            .find(|tx| tx.xid == reply.xid && tx.transfer.is_none());
        if let Some(tx) = answered {
            tx.status = status;
            tx.denied = reply.state != 0;
            tx.done = [true; 2];
            tx.state.touch(Direction::ToClient);
        }
        rest
    }

    fn results(&mut self, open: &Open, mut r: Reader<'_>) -> Option<Rest> {
        if open.version == 4 {
            let results = four::results(&mut r);
            if let Some(handle) = results.handle {
                self.learn(handle, &open.name);
            }
            let (end, len, data) = results.read?;
            return self.read(open, end, len, data);
        }
        match open.procedure {
            three::LOOKUP => {
                let handle = Self::handle(open.version, &mut r)?.to_vec();
                self.learn(&handle, &open.name);
            }
            three::CREATE => {
                if open.version == 3 && r.u32()? == 0 {
                    return None;
                }
                let handle = Self::handle(open.version, &mut r)?.to_vec();
                self.learn(&handle, &open.name);
            }
            three::READDIRPLUS => {
                let _ = self.entries(r);
            }
            three::READ => {
                let end = if open.version == 2 {
                    r.skip(68)?;
                    false
                } else {
                    if r.u32()? != 0 {
                        r.skip(84)?;
                    }
                    r.skip(4)?;
                    r.u32()? != 0
                };
                let len = r.u32()? as usize;
                return self.read(open, end, len, r.rest());
            }
            _ => {}
        }
        None
    }

    /// Names and handles of a directory (RFC 1813 §3.3.17).
    fn entries(&mut self, mut r: Reader<'_>) -> Option<()> {
        if r.u32()? != 0 {
            r.skip(84)?;
        }
        r.skip(8)?;
        while r.u32()? != 0 {
            r.skip(8)?;
            let name = opaque(&mut r)?;
            r.skip(8)?;
            if r.u32()? != 0 {
                r.skip(84)?;
            }
            if r.u32()? != 0 {
                let handle = opaque(&mut r)?;
                self.learn(handle, name);
            }
        }
        Some(())
    }

    fn read(&mut self, open: &Open, end: bool, len: usize, bytes: &[u8]) -> Option<Rest> {
        let id = self
            .txs
            .iter()
            .rev()
            .find(|tx| {
                tx.handle == open.handle
                    && tx
                        .transfer
                        .as_ref()
                        .is_some_and(|t| t.direction == Direction::ToClient && !t.ended)
            })
            .map(|tx| tx.state.id)?;
        let rest = self.chunk(id, open.xid, (open.offset, len), bytes);
        if end {
            // What is still to come is appended all the same: a file that has ended takes no more than its window.
            if rest.data == 0 {
                self.end_file(id, open.xid);
            }
        }
        Some(rest)
    }

    fn record(&mut self, direction: Direction, bytes: &[u8]) -> Rest {
        match direction {
            Direction::ToServer => self.call(bytes),
            Direction::ToClient => self.reply(bytes),
        }
    }
}

impl Session for NfsSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        self.inline = flow.inline;
        for tx in self.txs.tend() {
            let (done, inline) = (tx.done, tx.inline);
            if let Some(files) = tx.files_mut(direction) {
                files.note_inspection(done == [true; 2], inline);
            }
        }
        if flow.key.proto != TCP {
            if !input.bytes.is_empty() {
                self.record(direction, input.bytes);
            }
            return Parsed::All;
        }
        let d = direction.index();
        let mut rest = self.rest.get(d).copied().unwrap_or_default();
        if input.gap > 0 {
            let lost = usize::try_from(input.gap).unwrap_or(usize::MAX);
            if lost > rest.left {
                return Parsed::Error;
            }
            let of_file = lost.min(rest.data);
            let transfer = self
                .txs
                .by_id(rest.file)
                .and_then(|tx| tx.transfer.as_mut());
            if let Some(file) = transfer
                .and_then(|t| t.files.last_mut())
                .filter(|_| of_file > 0)
            {
                file.gap(of_file as u64);
            }
            rest.left -= lost;
            rest.data -= of_file;
        }
        let mut r = Reader::new(input.bytes);
        let answer = loop {
            if rest.left > 0 {
                let bytes = r.take(rest.left.min(r.left())).unwrap_or_default();
                let data = bytes.get(..rest.data.min(bytes.len())).unwrap_or_default();
                rest.left -= bytes.len();
                rest.data -= data.len();
                if !data.is_empty() {
                    self.append(rest.file, None, data);
                }
            }
            if r.is_empty() {
                break Parsed::All;
            }
            let start = r;
            let more = |needed: usize| Parsed::NeedMore {
                consumed: start.position(),
                needed: needed.max(1),
            };
            // RFC 5531 §11: the top bit says that the record ends with this fragment.
            let Some(mark) = r.u32() else {
                break more(4 - r.left());
            };
            let len = (mark & 0x7fff_ffff) as usize;
            if len > WHOLE_MAX {
                break Parsed::Error;
            }
            let head = if len > RECORD_MAX { HEAD_MAX } else { len };
            let Some(bytes) = r.take(head) else {
                break more(head - r.left());
            };
            let said = self.record(direction, bytes);
            let left = len - head;
            rest = Rest {
                left,
                data: said.data.min(left),
                file: said.file,
            };
        };
        if let Some(kept) = self.rest.get_mut(d) {
            *kept = rest;
        }
        answer
    }
}

fn of(tx: &dyn Transaction) -> Option<&NfsTx> {
    tx.as_any().downcast_ref()
}
