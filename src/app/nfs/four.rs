//! NFS 4 (RFC 7530, RFC 8881): the operations of a compound, as far as they name files and carry data.

use super::rpc::opaque;
use crate::app::reader::Reader;

/// Operations looked at in one compound.
const OPERATIONS_MAX: usize = 64;

pub(super) const CLOSE: u32 = 4;
pub(super) const READ: u32 = 25;
pub(super) const RENAME: u32 = 29;
pub(super) const WRITE: u32 = 38;

/// What a compound asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compound<'a> {
    /// The operation that it is about: the last that is not only preparation.
    pub main: u32,
    pub handle: Vec<u8>,
    pub name: Vec<u8>,
    /// New name, for a rename.
    pub to: Vec<u8>,
    /// Offset of a read or write, length and data of a write as far as they are there.
    pub offset: u64,
    pub len: usize,
    pub data: &'a [u8],
    pub closes: bool,
}

fn bitmap(r: &mut Reader<'_>) -> Option<()> {
    let words = r.u32()? as usize;
    r.skip(words.checked_mul(4)?)
}

/// Reads a compound's arguments; what comes behind an operation that is not known is not looked at.
pub(super) fn request<'a>(r: &mut Reader<'a>) -> Option<Compound<'a>> {
    opaque(r)?;
    r.skip(4)?;
    let count = (r.u32()? as usize).min(OPERATIONS_MAX);
    let mut found = Compound::default();
    for _ in 0..count {
        let Some(operation) = r.u32() else { break };
        let prepares = matches!(operation, 9 | 10 | 22..=24 | 31 | 32 | 53);
        if !prepares || found.main == 0 {
            found.main = operation;
        }
        if arguments(operation, r, &mut found).is_none() {
            break;
        }
    }
    Some(found)
}

fn arguments<'a>(operation: u32, r: &mut Reader<'a>, found: &mut Compound<'a>) -> Option<()> {
    match operation {
        // ACCESS
        3 => r.skip(4)?,
        CLOSE => {
            r.skip(20)?;
            found.closes = true;
        }
        // COMMIT
        5 => r.skip(12)?,
        // GETATTR
        9 => bitmap(r)?,
        // GETFH, LOOKUPP, PUTPUBFH, PUTROOTFH, READLINK, RESTOREFH, SAVEFH
        10 | 16 | 23 | 24 | 27 | 31 | 32 => {}
        // LOOKUP, REMOVE
        15 | 28 => found.name = opaque(r)?.to_vec(),
        // OPEN
        18 => {
            r.skip(20)?;
            opaque(r)?;
            if r.u32()? == 1 {
                match r.u32()? {
                    0 | 1 => {
                        bitmap(r)?;
                        opaque(r)?;
                    }
                    2 => r.skip(8)?,
                    _ => {
                        r.skip(8)?;
                        bitmap(r)?;
                        opaque(r)?;
                    }
                }
            }
            match r.u32()? {
                0 => found.name = opaque(r)?.to_vec(),
                1 => r.skip(4)?,
                _ => return None,
            }
        }
        // OPEN_CONFIRM
        20 => r.skip(20)?,
        // PUTFH
        22 => found.handle = opaque(r)?.to_vec(),
        READ => {
            r.skip(16)?;
            found.offset = r.u64()?;
            r.skip(4)?;
        }
        // READDIR
        26 => {
            r.skip(24)?;
            bitmap(r)?;
        }
        RENAME => {
            found.name = opaque(r)?.to_vec();
            found.to = opaque(r)?.to_vec();
        }
        // RENEW
        30 => r.skip(8)?,
        // SETATTR
        34 => {
            r.skip(16)?;
            bitmap(r)?;
            opaque(r)?;
        }
        // SETCLIENTID_CONFIRM
        36 => r.skip(16)?,
        WRITE => {
            r.skip(16)?;
            found.offset = r.u64()?;
            r.skip(4)?;
            found.len = r.u32()? as usize;
            found.data = r.rest().get(..found.len).unwrap_or(r.rest());
            r.skip(found.len.next_multiple_of(4))?;
        }
        // SEQUENCE
        53 => r.skip(32)?,
        // CREATE of a directory; other kinds carry more.
        6 => {
            if r.u32()? != 2 {
                return None;
            }
            found.name = opaque(r)?.to_vec();
            bitmap(r)?;
            opaque(r)?;
        }
        _ => return None,
    }
    Some(())
}

/// What a compound's results hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results<'a> {
    /// Handle that was asked for.
    pub handle: Option<&'a [u8]>,
    /// Whether a read came to the end, its length, and its data as far as they are there.
    pub read: Option<(bool, usize, &'a [u8])>,
}

/// Reads results, up to the first of which the length is not known.
pub(super) fn results<'a>(r: &mut Reader<'a>) -> Results<'a> {
    let mut found = Results::default();
    let _ = each_result(r, &mut found);
    found
}

fn each_result<'a>(r: &mut Reader<'a>, found: &mut Results<'a>) -> Option<()> {
    opaque(r)?;
    let count = (r.u32()? as usize).min(OPERATIONS_MAX);
    for _ in 0..count {
        let (operation, status) = (r.u32()?, r.u32()?);
        if status != 0 {
            return None;
        }
        match operation {
            3 => r.skip(8)?,
            CLOSE => r.skip(16)?,
            9 => {
                bitmap(r)?;
                opaque(r)?;
            }
            10 => found.handle = Some(opaque(r)?),
            15 | 16 | 22 | 23 | 24 | 31 | 32 => {}
            18 => {
                r.skip(40)?;
                bitmap(r)?;
                match r.u32()? {
                    0 => {}
                    _ => return None,
                }
            }
            20 => r.skip(16)?,
            READ => {
                let end = r.u32()? != 0;
                let len = r.u32()? as usize;
                let data = r.rest().get(..len).unwrap_or(r.rest());
                found.read = Some((end, len, data));
                r.skip(len.next_multiple_of(4))?;
            }
            53 => r.skip(36)?,
            _ => return None,
        }
    }
    Some(())
}

/// Names of operations (RFC 7530 §16, RFC 8881 §18), by number.
pub(super) static OPERATIONS: &[(&str, u64)] = &[
    ("null", 0),
    ("compound", 1),
    ("access", 3),
    ("close", 4),
    ("commit", 5),
    ("create", 6),
    ("delegpurge", 7),
    ("delegreturn", 8),
    ("getattr", 9),
    ("getfh", 10),
    ("link", 11),
    ("lock", 12),
    ("lockt", 13),
    ("locku", 14),
    ("lookup", 15),
    ("lookupp", 16),
    ("nverify", 17),
    ("open", 18),
    ("openattr", 19),
    ("open_confirm", 20),
    ("open_downgrade", 21),
    ("putfh", 22),
    ("putpubfh", 23),
    ("putrootfh", 24),
    ("read", 25),
    ("readdir", 26),
    ("readlink", 27),
    ("remove", 28),
    ("rename", 29),
    ("renew", 30),
    ("restorefh", 31),
    ("savefh", 32),
    ("secinfo", 33),
    ("setattr", 34),
    ("setclientid", 35),
    ("setclientid_confirm", 36),
    ("verify", 37),
    ("write", 38),
    ("release_lockowner", 39),
    ("exchange_id", 42),
    ("create_session", 43),
    ("destroy_session", 44),
    ("getdevinfo", 47),
    ("layoutget", 50),
    ("layoutreturn", 51),
    ("secinfo_no_name", 52),
    ("sequence", 53),
    ("destroy_clientid", 57),
    ("reclaim_complete", 58),
    ("illegal", 10044),
];
