//! ONC RPC (RFC 5531): heads of calls and replies, and who calls.

use crate::app::reader::Reader;

/// Program number of NFS (RFC 1813 §2.1).
pub(super) const PROGRAM: u32 = 100_003;
const AUTH_UNIX: u32 = 1;

/// Who calls (RFC 5531 §14, appendix A).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub flavor: u32,
    pub machine: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
}

impl Credentials {
    /// The name of the way of authentication.
    pub fn flavor_name(&self) -> String {
        match self.flavor {
            0 => "NULL".into(),
            1 => "UNIX".into(),
            2 => "SHORT".into(),
            3 => "DH".into(),
            4 => "KERB".into(),
            5 => "RSA".into(),
            6 => "GSS".into(),
            other => other.to_string(),
        }
    }

    pub fn is_unix(&self) -> bool {
        self.flavor == AUTH_UNIX
    }
}

/// The head of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub xid: u32,
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
    pub credentials: Credentials,
}

/// Bytes with their length in front, padded to four.
pub(super) fn opaque<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = r.u32()? as usize;
    let bytes = r.take(len)?;
    let _ = r.skip(len.next_multiple_of(4).checked_sub(len)?);
    Some(bytes)
}

impl Call {
    /// Reads a head; the reader then stands before the arguments.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let xid = r.u32()?;
        if r.u32()? != 0 || r.u32()? != 2 {
            return None;
        }
        let (program, version, procedure) = (r.u32()?, r.u32()?, r.u32()?);
        let flavor = r.u32()?;
        let mut body = Reader::new(opaque(r)?);
        let mut credentials = Credentials {
            flavor,
            ..Credentials::default()
        };
        if flavor == AUTH_UNIX {
            let _ = body.u32();
            credentials.machine = opaque(&mut body)?.to_vec();
            credentials.uid = body.u32()?;
            credentials.gid = body.u32()?;
        }
        r.skip(4)?;
        opaque(r)?;
        Some(Self {
            xid,
            program,
            version,
            procedure,
            credentials,
        })
    }
}

/// The head of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub xid: u32,
    /// 0 accepted, 1 denied.
    pub state: u32,
}

impl Reply {
    /// Reads a head; the reader then stands before the results, when the call was accepted and carried out.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let xid = r.u32()?;
        if r.u32()? != 1 {
            return None;
        }
        let state = r.u32()?;
        match state {
            0 => {
                r.skip(4)?;
                opaque(r)?;
                let _ = r.u32();
            }
            1 => {}
            _ => return None,
        }
        Some(Self { xid, state })
    }
}
