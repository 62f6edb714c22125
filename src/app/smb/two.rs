//! Requests and responses of SMB 2 and 3 (MS-SMB2 §2.2).

use std::borrow::Cow;

use super::record::{Record, plain};
use super::{
    Awaited, BUFFER_OVERFLOW, Handle, Kind, Logon, MALFORMED_DATA, READ_REQUEST_TOO_LARGE,
    READ_RESPONSE_TOO_LARGE, Rest, SmbSession, TRANSFER_MAX, WRITE_REQUEST_TOO_LARGE,
};
use crate::app::reader::Reader;
use crate::packet::Direction;

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const TREE_DISCONNECT: u16 = 4;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const GET_INFO: u16 = 16;
const SET_INFO: u16 = 17;

/// Reads and writes a pipe in one go (MS-FSCC §2.3.49).
const PIPE_TRANSCEIVE: u32 = 0x0011_c017;

impl SmbSession {
    /// A request.
    pub(super) fn request2(&mut self, record: &Record<'_>) -> Rest {
        let done = match record.command {
            NEGOTIATE => self.negotiate2(record),
            SESSION_SETUP => self.logon2(record),
            TREE_CONNECT => self.tree2(record),
            CREATE => self.create2(record),
            READ => self.read2(record),
            WRITE => match self.write2(record) {
                Some(rest) => return rest,
                None => None,
            },
            CLOSE => self.close2(record),
            IOCTL => self.ioctl2(record),
            SET_INFO => self.set_info2(record),
            GET_INFO => Some(()),
            _ => self.request(record, Kind::Generic).map(|_| ()),
        };
        if done.is_none() {
            if !matches!(record.command, READ | WRITE | SET_INFO) {
                self.request(record, Kind::Generic);
            }
            self.fault(MALFORMED_DATA);
        }
        Rest::default()
    }

    fn negotiate2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(2)?;
        let count = r.u16_le()?;
        r.skip(8)?;
        let client: Handle = r.take(16)?.try_into().ok()?;
        r.skip(8)?;
        let dialects = (0..count)
            .map_while(|_| r.u16_le())
            .map(|d| dialect(d).into_owned().into_bytes())
            .collect();
        self.request(
            record,
            Kind::Negotiate {
                dialects,
                client: Some(client),
                server: Handle::default(),
            },
        )
        .map(|_| ())
    }

    fn logon2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(12)?;
        let (offset, len) = (usize::from(r.u16_le()?), usize::from(r.u16_le()?));
        let blob = record.at(offset, len).unwrap_or_default();
        self.request(record, Kind::Logon(Logon::read(blob)))
            .map(|_| ())
    }

    fn tree2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(4)?;
        let (offset, len) = (usize::from(r.u16_le()?), usize::from(r.u16_le()?));
        let share = plain(record.at(offset, len)?);
        let kind = Kind::Tree {
            share,
            pipe: false,
            share_type: 0,
            services: [None, None],
        };
        self.request(record, kind).map(|_| ())
    }

    fn create2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(36)?;
        let (disposition, options) = (r.u32_le()?, r.u32_le()?);
        let (offset, len) = (usize::from(r.u16_le()?), usize::from(r.u16_le()?));
        let name = plain(record.at(offset, len)?);
        self.awaited
            .put((2, record.message), Awaited::Name(name.clone()));
        self.compound = Some(name.clone());
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

    fn read2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(4)?;
        let (len, offset) = (r.u32_le()?, r.u64_le()?);
        let handle: Handle = r.take(16)?.try_into().ok()?;
        if (self.max_read > 0 && len > self.max_read) || len as usize > TRANSFER_MAX {
            self.fault(READ_REQUEST_TOO_LARGE);
        } else {
            self.awaited
                .put((2, record.message), Awaited::Read(handle, offset));
        }
        Some(())
    }

    fn write2(&mut self, record: &Record<'_>) -> Option<Rest> {
        let mut r = record.body();
        r.skip(2)?;
        let (start, len, offset) = (usize::from(r.u16_le()?), r.u32_le()? as usize, r.u64_le()?);
        let handle: Handle = r.take(16)?.try_into().ok()?;
        if (self.max_write > 0 && len > self.max_write as usize) || len > TRANSFER_MAX {
            self.fault(WRITE_REQUEST_TOO_LARGE);
            return Some(Rest::default());
        }
        let here = record.whole.get(start..).unwrap_or_default();
        let here = here.get(..len).unwrap_or(here);
        self.data(record, Direction::ToServer, handle, offset, here);
        Some(Rest {
            left: 0,
            data: len - here.len(),
            handle: Some(handle),
        })
    }

    fn close2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(8)?;
        let handle: Handle = r.take(16)?.try_into().ok()?;
        self.names.take(&handle);
        self.close(&handle, &[Direction::ToServer, Direction::ToClient]);
        self.request(record, Kind::Generic).map(|_| ())
    }

    fn ioctl2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(4)?;
        let function = r.u32_le()?;
        r.skip(16)?;
        let (offset, len) = (r.u32_le()? as usize, r.u32_le()? as usize);
        if function == PIPE_TRANSCEIVE {
            let bytes = record.at(offset, len)?;
            if super::pdu_like(bytes) {
                self.pipe_write(record, bytes);
                return Some(());
            }
        }
        self.request(record, Kind::Ioctl(function)).map(|_| ())
    }

    fn set_info2(&mut self, record: &Record<'_>) -> Option<()> {
        let mut r = record.body();
        r.skip(2)?;
        let (kind, class) = (r.u8()?, r.u8()?);
        let (len, offset) = (r.u32_le()? as usize, usize::from(r.u16_le()?));
        r.skip(6)?;
        let handle: Handle = r.take(16)?.try_into().ok()?;
        let mut buffer = Reader::new(record.at(offset, len)?);
        // MS-SMB2 §3.2.4.1.4: all ones mean the file of the request before.
        let name = if handle == [0xff; 16] {
            self.compound.clone()
        } else {
            self.names.get(&handle).cloned()
        };
        let kind = match (kind, class) {
            (1, 10) => {
                buffer.skip(16)?;
                let len = buffer.u32_le()? as usize;
                let to = plain(buffer.take(len)?);
                Kind::Rename {
                    from: name.unwrap_or_else(|| b"<unknown>".to_vec()),
                    to,
                    handle,
                }
            }
            (1, 13) => Kind::SetPath {
                name: name.unwrap_or_default(),
                delete: buffer.u8()? & 1 != 0,
                handle,
            },
            _ => return Some(()),
        };
        self.request(record, kind).map(|_| ())
    }

    /// A response.
    pub(super) fn response2(&mut self, record: &Record<'_>) -> Rest {
        let ok = record.status == 0;
        match record.command {
            READ if ok || record.status == BUFFER_OVERFLOW => {
                return self.read_response2(record).unwrap_or_else(|| {
                    self.fault(MALFORMED_DATA);
                    Rest::default()
                });
            }
            // A read behind the end tells nothing of the file: it is complete when its handle is closed.
            READ => {
                self.awaited.take(&(2, record.message));
            }
            CREATE if ok => self.created2(record),
            CREATE if record.status != super::PENDING => {
                self.awaited.take(&(2, record.message));
            }
            TREE_CONNECT if ok => self.connected2(record),
            TREE_DISCONNECT => {
                self.trees.take(&(record.session, record.tree));
            }
            NEGOTIATE => self.negotiated2(record),
            IOCTL if ok || record.status == BUFFER_OVERFLOW => self.ioctl_response2(record),
            SESSION_SETUP => {
                // MS-SMB2 §2.2.6: guest, or nobody.
                let mut body = record.body();
                let flags = body.skip(2).and_then(|()| body.u16_le()).unwrap_or(0);
                self.logged_on(record.status, flags & 3 != 0);
                if let Some(tx) = self.asked(record) {
                    tx.session = record.session;
                }
            }
            _ => {}
        }
        if let Some(tx) = self.asked(record) {
            tx.answer(record);
        }
        Rest::default()
    }

    fn read_response2(&mut self, record: &Record<'_>) -> Option<Rest> {
        let mut r = record.body();
        r.skip(2)?;
        let start = usize::from(r.u8()?);
        r.skip(1)?;
        let len = r.u32_le()? as usize;
        let Some(Awaited::Read(handle, offset)) = self.awaited.take(&(2, record.message)) else {
            // Picked up in the middle: a pipe's units still show themselves.
            let bytes = record.whole.get(start..).unwrap_or_default();
            if super::pdu_like(bytes) {
                self.pipe_read(record, bytes);
            }
            return Some(Rest::default());
        };
        if (self.max_read > 0 && len > self.max_read as usize) || len > TRANSFER_MAX {
            self.fault(READ_RESPONSE_TOO_LARGE);
            return Some(Rest::default());
        }
        let here = record.whole.get(start..).unwrap_or_default();
        let here = here.get(..len).unwrap_or(here);
        self.data(record, Direction::ToClient, handle, offset, here);
        Some(Rest {
            left: 0,
            data: len - here.len(),
            handle: Some(handle),
        })
    }

    fn created2(&mut self, record: &Record<'_>) {
        let mut r = record.body();
        let read = (|| {
            r.skip(8)?;
            let mut times = [0; 4];
            for time in &mut times {
                *time = unix(r.u64_le()?);
            }
            r.skip(8)?;
            let size = r.u64_le()?;
            r.skip(8)?;
            Some((times, size, Handle::try_from(r.take(16)?).ok()?))
        })();
        let Some((all, len, id)) = read else {
            return self.fault(MALFORMED_DATA);
        };
        if let Some(Awaited::Name(name)) = self.awaited.take(&(2, record.message)) {
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
    }

    fn connected2(&mut self, record: &Record<'_>) {
        let mut r = record.body();
        let Some(kind) = r.skip(2).and_then(|()| r.u8()) else {
            return self.fault(MALFORMED_DATA);
        };
        let Some(tx) = self.asked(record) else { return };
        (tx.session, tx.tree) = (record.session, record.tree);
        if let Kind::Tree {
            share,
            pipe,
            share_type,
            ..
        } = &mut tx.kind
        {
            (*pipe, *share_type) = (kind == 2, kind);
            let name = share.clone();
            self.trees
                .put((record.session, record.tree), (name, kind == 2));
        }
    }

    fn negotiated2(&mut self, record: &Record<'_>) {
        let mut r = record.body();
        let read = (|| {
            r.skip(4)?;
            let number = r.u16_le()?;
            r.skip(2)?;
            let id = Handle::try_from(r.take(16)?).ok()?;
            r.skip(8)?;
            Some((number, id, r.u32_le()?, r.u32_le()?))
        })();
        let Some((number, id, max_read, max_write)) = read.filter(|_| record.status == 0) else {
            return;
        };
        (self.dialect, self.max_read, self.max_write) = (number, max_read, max_write);
        // A client may have asked in version 1 and be answered in version 2.
        let asked = self
            .txs
            .iter_mut()
            .find(|t| !t.done[1] && matches!(t.kind, Kind::Negotiate { .. }));
        if let Some(tx) = asked {
            if let Kind::Negotiate { server, .. } = &mut tx.kind {
                *server = id;
            }
            tx.answer(record);
        }
    }

    fn ioctl_response2(&mut self, record: &Record<'_>) {
        let mut r = record.body();
        let read = (|| {
            r.skip(4)?;
            let function = r.u32_le()?;
            r.skip(24)?;
            Some((function, r.u32_le()? as usize, r.u32_le()? as usize))
        })();
        let Some((PIPE_TRANSCEIVE, offset, len)) = read else {
            return;
        };
        let bytes = record.at(offset, len).unwrap_or_default();
        if super::pdu_like(bytes) {
            self.pipe_read(record, bytes);
        }
    }
}

/// Seconds since 1970 of a FILETIME (100 ns since 1601); 0 before.
pub(super) fn unix(filetime: u64) -> u64 {
    (filetime / 10_000_000).saturating_sub(11_644_473_600) & 0xffff_ffff
}

/// A dialect's name.
pub(super) fn dialect(number: u16) -> Cow<'static, str> {
    let known = match number {
        0x02ff => "2.??",
        0x0202 => "2.02",
        0x0210 => "2.10",
        0x0222 => "2.22",
        0x0224 => "2.24",
        0x0300 => "3.00",
        0x0302 => "3.02",
        0x0310 => "3.10",
        0x0311 => "3.11",
        other => return other.to_string().into(),
    };
    known.into()
}
