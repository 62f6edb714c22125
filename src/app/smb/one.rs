//! Requests and responses of SMB 1 (MS-CIFS §2.2.4, MS-SMB §2.2.4).

use super::record::{Record, plain, string};
use super::two::unix;
use super::{
    Awaited, BUFFER_OVERFLOW, Handle, Kind, Logon, MALFORMED_DATA, Rest, SmbSession, TRANSFER_MAX,
};
use crate::app::reader::Reader;
use crate::packet::Direction;

const CLOSE: u16 = 0x04;
const RENAME: u16 = 0x07;
const WRITE: u16 = 0x0b;
const LOCKING_ANDX: u16 = 0x24;
const TRANS: u16 = 0x25;
const WRITE_AND_CLOSE: u16 = 0x2c;
const OPEN_ANDX: u16 = 0x2d;
const READ_ANDX: u16 = 0x2e;
const WRITE_ANDX: u16 = 0x2f;
const TRANS2: u16 = 0x32;
const TRANS2_SECONDARY: u16 = 0x33;

/// Where the data of a WRITE_ANDX begins at the earliest, from its header on, to be taken for well-formed.
const ANDX_DATA_MIN: usize = 0x3c;
const TREE_DISCONNECT: u16 = 0x71;
const NEGOTIATE: u16 = 0x72;
const SESSION_SETUP_ANDX: u16 = 0x73;
const LOGOFF_ANDX: u16 = 0x74;
const TREE_CONNECT_ANDX: u16 = 0x75;
const NT_CREATE_ANDX: u16 = 0xa2;
const NT_CANCEL: u16 = 0xa4;

/// Operating system and LAN manager.
fn host(r: &mut Reader<'_>, unicode: bool) -> [Vec<u8>; 2] {
    [string(r, unicode), string(r, unicode)]
}

/// Who asks for a logon.
fn client(part: Part<'_>, unicode: bool) -> Option<[Vec<u8>; 2]> {
    let (mut words, mut r) = (part.words, part.bytes);
    words.skip(14)?;
    let first = usize::from(words.u16_le()?);
    if part.count == 12 {
        r.skip(first)?;
    } else {
        // Two passwords; then, before the host, account and domain.
        r.skip(first.checked_add(usize::from(words.u16_le()?))?)?;
        string(&mut r, unicode);
        string(&mut r, unicode);
    }
    Some(host(&mut r, unicode))
}

/// Who answers a logon.
fn server(part: Part<'_>, unicode: bool) -> Option<[Vec<u8>; 2]> {
    let (mut words, mut r) = (part.words, part.bytes);
    if part.count == 4 {
        words.skip(6)?;
        r.skip(usize::from(words.u16_le()?))?;
    }
    Some(host(&mut r, unicode))
}

/// Commands of one message that follow each other.
const CHAIN_MAX: usize = 16;

/// One command of a message: its words and its bytes.
#[derive(Clone, Copy)]
struct Part<'a> {
    count: u8,
    words: Reader<'a>,
    /// The bytes; it counts from the start of the message, so that UTF-16 finds its alignment.
    bytes: Reader<'a>,
}

impl<'a> Part<'a> {
    fn read(whole: &'a [u8], at: usize) -> Option<Self> {
        let mut r = Reader::starting(whole, at);
        let count = r.u8()?;
        let words = r.part(usize::from(count) * 2)?;
        let len = usize::from(r.u16_le().unwrap_or(0));
        let start = r.position();
        let end = start.saturating_add(len).min(whole.len());
        Some(Self {
            count,
            words,
            bytes: Reader::starting(whole.get(..end)?, start),
        })
    }
}

fn has_andx(command: u16) -> bool {
    matches!(
        command,
        LOCKING_ANDX
            | OPEN_ANDX
            | READ_ANDX
            | WRITE_ANDX
            | SESSION_SETUP_ANDX
            | LOGOFF_ANDX
            | TREE_CONNECT_ANDX
            | NT_CREATE_ANDX
    )
}

/// The commands of a message, one after the other.
fn chain<'a>(record: Record<'a>, mut each: impl FnMut(&Record<'a>, Option<Part<'a>>)) {
    let (mut record, mut at) = (record, record.header_len);
    for _ in 0..CHAIN_MAX {
        let part = Part::read(record.whole, at);
        each(&record, part);
        let Some(mut words) = part.filter(|_| has_andx(record.command)).map(|p| p.words) else {
            return;
        };
        let (Some(next), Some(()), Some(offset)) = (words.u8(), words.skip(1), words.u16_le())
        else {
            return;
        };
        let offset = usize::from(offset);
        if next == 0xff || offset <= at || offset >= record.whole.len() {
            return;
        }
        (record.command, at) = (u16::from(next), offset);
    }
}

/// A file id and the user it belongs to, as a handle.
fn handle(fid: u16, record: &Record<'_>) -> Handle {
    let mut out = Handle::default();
    let [a, b] = fid.to_le_bytes();
    let user = record.session.to_le_bytes();
    // What no handle of version 2 begins with is not needed: the two are never mixed in one session.
    for (to, from) in out.iter_mut().zip([a, b].iter().chain(&user)) {
        *to = *from;
    }
    out
}

impl SmbSession {
    /// A request, with those chained to it.
    pub(super) fn request1(&mut self, record: &Record<'_>) -> Rest {
        let mut rest = Rest::default();
        chain(*record, |record, part| {
            let done = part.and_then(|part| match record.command {
                NEGOTIATE => self.negotiate1(record, part),
                SESSION_SETUP_ANDX => self.logon1(record, part),
                TREE_CONNECT_ANDX => self.tree1(record, part),
                NT_CREATE_ANDX => self.create1(record, part),
                READ_ANDX => self.read1(record, part),
                WRITE | WRITE_ANDX | WRITE_AND_CLOSE => {
                    rest = self.write1(record, part)?;
                    if record.command == WRITE_ANDX {
                        Some(())
                    } else {
                        self.generic1(record)
                    }
                }
                CLOSE => self.close1(record, part),
                RENAME => self.rename1(record, part),
                TRANS => self.trans1(record, part),
                TRANS2 => Some(()),
                TREE_DISCONNECT => {
                    self.trees.take(&(record.session, record.tree));
                    self.generic1(record)
                }
                _ => self.generic1(record),
            });
            if done.is_none() {
                if !matches!(record.command, READ_ANDX | TRANS | TRANS2) {
                    self.generic1(record);
                }
                self.fault(MALFORMED_DATA);
            }
        });
        rest
    }

    fn generic1(&mut self, record: &Record<'_>) -> Option<()> {
        let unanswered = matches!(record.command, NT_CANCEL | TRANS2_SECONDARY | LOCKING_ANDX);
        let tx = self.request(record, Kind::Generic)?;
        if unanswered {
            tx.finish(Direction::ToClient);
        }
        Some(())
    }

    fn negotiate1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut r = part.bytes;
        let mut dialects = Vec::new();
        while !r.is_empty() && dialects.len() < 64 {
            if r.u8()? != 2 {
                return None;
            }
            dialects.push(plain(r.until(0)?));
        }
        self.request(
            record,
            Kind::Negotiate {
                dialects,
                client: None,
                server: Handle::default(),
            },
        )
        .map(|_| ())
    }

    fn logon1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut logon = Logon::read(part.bytes.rest());
        logon.hosts[0] = client(part, record.unicode);
        self.request(record, Kind::Logon(logon)).map(|_| ())
    }

    fn tree1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let (mut words, mut r) = (part.words, part.bytes);
        words.skip(6)?;
        r.skip(usize::from(words.u16_le()?))?;
        let mut share = string(&mut r, record.unicode);
        if share.len() > 1 {
            // The reference keeps one of the two leading backslashes.
            share.remove(0);
        }
        let service = string(&mut r, false);
        let kind = Kind::Tree {
            share,
            pipe: false,
            share_type: 0,
            services: [Some(service), None],
        };
        self.request(record, kind).map(|_| ())
    }

    fn create1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let (mut words, mut r) = (part.words, part.bytes);
        words.skip(5)?;
        let len = usize::from(words.u16_le()?);
        words.skip(28)?;
        let (disposition, options) = (words.u32_le()?, words.u32_le()?);
        if record.unicode && r.position() % 2 != 0 {
            r.skip(1)?;
        }
        let name = plain(r.take(len.min(r.left()))?);
        self.awaited
            .put((1, record.message), Awaited::Name(name.clone()));
        let kind = Kind::Create {
            name,
            disposition,
            delete: options & 0x1000 != 0,
            directory: options & 1 != 0,
            times: [0; 4],
            size: 0,
            handle: None,
        };
        self.request(record, kind).map(|_| ())
    }

    fn read1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut words = part.words;
        words.skip(4)?;
        let fid = words.u16_le()?;
        let low = u64::from(words.u32_le()?);
        words.skip(10)?;
        let high = if part.count >= 12 {
            u64::from(words.u32_le()?)
        } else {
            0
        };
        self.awaited.put(
            (1, record.message),
            Awaited::Read(handle(fid, record), high << 32 | low),
        );
        Some(())
    }

    fn write1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<Rest> {
        let mut words = part.words;
        let (fid, offset, len, start);
        if record.command == WRITE_ANDX {
            words.skip(4)?;
            fid = words.u16_le()?;
            let low = u64::from(words.u32_le()?);
            words.skip(8)?;
            let long = usize::from(words.u16_le()?);
            len = long << 16 | usize::from(words.u16_le()?);
            start = usize::from(words.u16_le()?);
            if start < ANDX_DATA_MIN {
                // Legal with twelve words, and told as in Suricata, which leaves the data unread; we read it.
                self.generic1(record);
                self.fault(MALFORMED_DATA);
            }
            let high = if part.count >= 14 {
                u64::from(words.u32_le()?)
            } else {
                0
            };
            offset = high << 32 | low;
        } else {
            fid = words.u16_le()?;
            len = usize::from(words.u16_le()?);
            offset = u64::from(words.u32_le()?);
            // Before the data: a format and a length, or one byte of padding.
            start = part.bytes.position() + if record.command == WRITE { 3 } else { 1 };
        }
        if len > TRANSFER_MAX {
            return None;
        }
        let handle = handle(fid, record);
        let here = record.whole.get(start..)?;
        let here = here.get(..len).unwrap_or(here);
        self.data(record, Direction::ToServer, handle, offset, here);
        if record.command == WRITE_AND_CLOSE {
            self.close(&handle, &[Direction::ToServer, Direction::ToClient]);
        }
        Some(Rest {
            left: 0,
            data: len - here.len(),
            handle: Some(handle),
        })
    }

    fn close1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut words = part.words;
        let handle = handle(words.u16_le()?, record);
        self.names.take(&handle);
        self.close(&handle, &[Direction::ToServer, Direction::ToClient]);
        self.generic1(record)
    }

    fn rename1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut r = part.bytes;
        r.skip(1)?;
        let from = string(&mut r, record.unicode);
        r.skip(1)?;
        let to = string(&mut r, record.unicode);
        self.request(
            record,
            Kind::Rename {
                from,
                to,
                handle: Handle::default(),
            },
        )
        .map(|_| ())
    }

    /// A named pipe is written and read in one go; other transactions leave no mark.
    fn trans1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut words = part.words;
        words.skip(22)?;
        let (len, offset) = (usize::from(words.u16_le()?), usize::from(words.u16_le()?));
        let setup = words.u8()?;
        words.skip(1)?;
        if setup < 2 || words.u16_le()? != 0x26 {
            return Some(());
        }
        let bytes = record.at(offset, len)?;
        if super::pdu_like(bytes) {
            self.pipe_write(record, bytes);
        }
        Some(())
    }

    /// A response, with those chained to it.
    pub(super) fn response1(&mut self, record: &Record<'_>) -> Rest {
        let mut rest = Rest::default();
        let ok = record.status == 0;
        chain(*record, |record, part| {
            let done = match (record.command, part) {
                (READ_ANDX, Some(part)) if ok || record.status == BUFFER_OVERFLOW => {
                    self.read_response1(record, part).map(|r| rest = r)
                }
                (READ_ANDX, _) => {
                    self.awaited.take(&(1, record.message));
                    Some(())
                }
                (NEGOTIATE, Some(part)) => self.negotiated1(part),
                (TREE_CONNECT_ANDX, Some(part)) if ok => self.connected1(record, part),
                (TREE_DISCONNECT, _) => {
                    self.trees.take(&(record.session, record.tree));
                    Some(())
                }
                (NT_CREATE_ANDX, Some(part)) if ok => self.created1(record, part),
                (NT_CREATE_ANDX, _) => {
                    self.awaited.take(&(1, record.message));
                    Some(())
                }
                (TRANS, Some(part)) if ok || record.status == BUFFER_OVERFLOW => {
                    self.trans_response1(record, part)
                }
                (SESSION_SETUP_ANDX, part) => {
                    // Nobody's sessions look as everybody's do here: only refusals are told.
                    self.logged_on(record.status, true);
                    if let Some(tx) = self.asked(record) {
                        tx.session = record.session;
                        if let Kind::Logon(logon) = &mut tx.kind {
                            logon.hosts[1] = part.and_then(|part| server(part, record.unicode));
                        }
                    }
                    Some(())
                }
                _ => Some(()),
            };
            if done.is_none() {
                self.fault(MALFORMED_DATA);
            }
            if let Some(tx) = self.asked(record) {
                tx.answer(record);
            }
        });
        rest
    }

    fn read_response1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<Rest> {
        let mut words = part.words;
        words.skip(10)?;
        let low = usize::from(words.u16_le()?);
        let start = usize::from(words.u16_le()?);
        let len = usize::from(words.u16_le()?) << 16 | low;
        let here = record.whole.get(start..)?;
        let here = here.get(..len).unwrap_or(here);
        let Some(Awaited::Read(handle, offset)) = self.awaited.take(&(1, record.message)) else {
            if super::pdu_like(here) {
                self.pipe_read(record, here);
            }
            return Some(Rest::default());
        };
        if len > TRANSFER_MAX {
            return None;
        }
        self.data(record, Direction::ToClient, handle, offset, here);
        Some(Rest {
            left: 0,
            data: len - here.len(),
            handle: Some(handle),
        })
    }

    fn negotiated1(&mut self, part: Part<'_>) -> Option<()> {
        let mut words = part.words;
        let index = usize::from(words.u16_le()?);
        let extended = part.count == 17;
        let mut bytes = part.bytes;
        let id = bytes
            .take(16)
            .filter(|_| extended)
            .and_then(|id| Handle::try_from(id).ok());
        let asked = self
            .txs
            .iter_mut()
            .find(|t| !t.done[1] && matches!(t.kind, Kind::Negotiate { .. }))?;
        if let Kind::Negotiate {
            dialects, server, ..
        } = &mut asked.kind
        {
            *server = id.unwrap_or_default();
            self.dialect_name = dialects.get(index).cloned();
        }
        if self.dialect_name.is_none() {
            asked.state.raise(super::NEGOTIATE_MALFORMED_DIALECTS);
        }
        Some(())
    }

    fn connected1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut r = part.bytes;
        let service = string(&mut r, false);
        let tx = self.asked(record)?;
        (tx.session, tx.tree) = (record.session, record.tree);
        if let Kind::Tree {
            share,
            pipe,
            services: [_, answered],
            ..
        } = &mut tx.kind
        {
            *pipe = service == b"IPC";
            *answered = Some(service);
            let known = (share.clone(), *pipe);
            self.trees.put((record.session, record.tree), known);
        }
        Some(())
    }

    fn created1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        let mut words = part.words;
        words.skip(5)?;
        let id = handle(words.u16_le()?, record);
        words.skip(4)?;
        let mut all = [0; 4];
        for time in &mut all {
            *time = unix(words.u64_le()?);
        }
        words.skip(12)?;
        let len = words.u64_le()?;
        if let Some(Awaited::Name(name)) = self.awaited.take(&(1, record.message)) {
            self.names.put(id, name);
        }
        if let Some(Kind::Create {
            times,
            size,
            handle,
            ..
        }) = self.asked(record).map(|t| &mut t.kind)
        {
            (*times, *size, *handle) = (all, len, Some(id));
        }
        Some(())
    }

    fn trans_response1(&mut self, record: &Record<'_>, part: Part<'_>) -> Option<()> {
        if part.count < 10 {
            return Some(());
        }
        let mut words = part.words;
        words.skip(12)?;
        let (len, offset) = (usize::from(words.u16_le()?), usize::from(words.u16_le()?));
        let bytes = record.at(offset, len)?;
        if super::pdu_like(bytes) {
            self.pipe_read(record, bytes);
        }
        Some(())
    }
}
