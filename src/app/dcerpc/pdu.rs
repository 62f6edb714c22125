//! DCE/RPC protocol data units of version 5 (C706 §12.6, MS-RPCE §2.2.2), as TCP and SMB pipes carry them.

use crate::app::reader::Reader;

/// Types.
pub const REQUEST: u8 = 0;
/// Answer to a request.
pub const RESPONSE: u8 = 2;
/// Refusal of a request.
pub const FAULT: u8 = 3;
/// Asks for interfaces.
pub const BIND: u8 = 11;
/// Grants them.
pub const BINDACK: u8 = 12;
/// Refuses them.
pub const BINDNAK: u8 = 13;
/// Asks for more interfaces.
pub const ALTER_CONTEXT: u8 = 14;
/// Grants them.
pub const ALTER_CONTEXT_RESP: u8 = 15;

/// The first fragment of a call.
pub const FIRST: u8 = 1;
/// The last one.
pub const LAST: u8 = 2;

/// Names of the types.
pub fn kind_name(kind: u8) -> &'static str {
    const NAMES: [&str; 21] = [
        "REQUEST",
        "PING",
        "RESPONSE",
        "FAULT",
        "WORKING",
        "NOCALL",
        "REJECT",
        "ACK",
        "CL_CANCEL",
        "FACK",
        "CANCEL_ACK",
        "BIND",
        "BINDACK",
        "BINDNAK",
        "ALTER_CONTEXT",
        "ALTER_CONTEXT_RESP",
        "AUTH3",
        "SHUTDOWN",
        "CO_CANCEL",
        "ORPHANED",
        "RTS",
    ];
    NAMES.get(usize::from(kind)).copied().unwrap_or("UNKNOWN")
}

/// Whether clients send it.
pub const fn is_request(kind: u8) -> bool {
    matches!(
        kind,
        REQUEST | BIND | ALTER_CONTEXT | 1 | 8 | 9 | 16 | 18 | 19
    )
}

/// The common header.
///
/// ```text
/// 05 minor type flags | drep (4) | frag_length auth_length | call_id
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Minor version.
    pub minor: u8,
    /// Type.
    pub kind: u8,
    /// `PFC_*`.
    pub flags: u8,
    /// Byte order of numbers.
    pub little: bool,
    /// Bytes of the whole unit.
    pub frag_len: u16,
    /// Which call.
    pub call_id: u32,
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 16;

    /// Reads it; `None` when it is too short or not version 5.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        Self::of_any_version(bytes)
            .filter(|(major, header)| *major == 5 && header.minor < 3)
            .map(|(_, header)| header)
    }

    /// Reads a header whatever its version, and the version.
    pub fn of_any_version(bytes: &[u8]) -> Option<(u8, Self)> {
        let mut r = Reader::new(bytes);
        let (major, minor, kind, flags) = (r.u8()?, r.u8()?, r.u8()?, r.u8()?);
        let little = r.u8()? & 0x10 != 0;
        r.skip(3)?;
        let frag_len = u16(&mut r, little)?;
        let _auth_len = u16(&mut r, little)?;
        let call_id = u32(&mut r, little)?;
        let header = Self {
            minor,
            kind,
            flags,
            little,
            frag_len,
            call_id,
        };
        Some((major, header))
    }

    /// A strict look at the first bytes of a stream.
    pub fn is_plausible(bytes: &[u8]) -> bool {
        let drep = (
            bytes.get(4).copied().unwrap_or(0xff),
            bytes.get(5).copied().unwrap_or(0xff),
        );
        Self::read(bytes).is_some_and(|h| {
            h.minor == 0
                && h.kind <= 20
                && usize::from(h.frag_len) >= Self::LEN
                && drep.0 & 0xee == 0
                && drep.1 <= 3
        })
    }

    /// Whether it is the last fragment; a unit that says neither first nor last counts as last.
    pub const fn is_last(self) -> bool {
        self.flags & (FIRST | LAST) == 0 || self.flags & LAST != 0
    }
}

/// 16 bits in either order.
pub fn u16(r: &mut Reader<'_>, little: bool) -> Option<u16> {
    if little { r.u16_le() } else { r.u16() }
}

/// 32 bits in either order.
pub fn u32(r: &mut Reader<'_>, little: bool) -> Option<u32> {
    if little { r.u32_le() } else { r.u32() }
}

/// A UUID in the order it is written.
pub fn uuid(r: &mut Reader<'_>, little: bool) -> Option<[u8; 16]> {
    let mut id: [u8; 16] = r.take(16)?.try_into().ok()?;
    if little {
        let [a, b, c, d, e, f, g, h, ..] = &mut id;
        std::mem::swap(a, d);
        std::mem::swap(b, c);
        std::mem::swap(e, f);
        std::mem::swap(g, h);
    }
    Some(id)
}

/// `367abb81-9844-35f1-ad32-98f038001003`.
pub fn uuid_text(id: &[u8; 16]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(36);
    for (i, byte) in id.iter().enumerate() {
        let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(out, "{dash}{byte:02x}");
    }
    out
}

/// An interface that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Number by which requests name it.
    pub context: u16,
    /// Position in its bind.
    pub index: u16,
    /// Which.
    pub uuid: [u8; 16],
    /// Version, major and minor.
    pub version: (u16, u16),
    /// Whether it was in a first fragment.
    pub first: bool,
    /// Call that asked.
    pub call_id: u32,
    /// The answer, 0 for granted; `None` before it.
    pub result: Option<u16>,
    /// Why it was not granted.
    pub reason: u16,
}

/// The interfaces of a connection; at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(pub Vec<Interface>);

/// Interfaces kept.
const INTERFACES_MAX: usize = 64;

impl Interfaces {
    /// Takes the body of a BIND or ALTER_CONTEXT.
    pub fn bind(&mut self, header: Header, body: &[u8]) -> Option<()> {
        let mut r = Reader::new(body);
        r.skip(8)?;
        let count = r.u8()?;
        r.skip(3)?;
        for index in 0..u16::from(count) {
            let context = u16(&mut r, header.little)?;
            let syntaxes = r.u8()?;
            r.skip(1)?;
            let id = uuid(&mut r, header.little)?;
            let version = (u16(&mut r, header.little)?, u16(&mut r, header.little)?);
            r.skip(20 * usize::from(syntaxes.max(1)))?;
            let interface = Interface {
                context,
                index,
                uuid: id,
                version,
                first: header.flags & FIRST != 0,
                call_id: header.call_id,
                result: None,
                reason: 0,
            };
            let room = self.0.len() < INTERFACES_MAX;
            match self.0.iter_mut().find(|i| i.context == context) {
                Some(known) => *known = interface,
                None if room => self.0.push(interface),
                None => {}
            }
        }
        Some(())
    }

    /// Takes the body of a BINDACK or ALTER_CONTEXT_RESP.
    pub fn answer(&mut self, header: Header, body: &[u8]) -> Option<()> {
        let mut r = Reader::new(body);
        r.skip(8)?;
        let address = usize::from(u16(&mut r, header.little)?);
        r.skip(address)?;
        // The results are aligned to four bytes.
        r.skip((4 - (address + 2) % 4) % 4)?;
        let count = r.u8()?;
        r.skip(3)?;
        for index in 0..u16::from(count) {
            let result = u16(&mut r, header.little)?;
            let reason = u16(&mut r, header.little)?;
            r.skip(20)?;
            for known in self
                .0
                .iter_mut()
                .filter(|i| i.index == index && i.call_id == header.call_id)
            {
                known.result = Some(result);
                known.reason = reason;
            }
        }
        Some(())
    }
}

/// What follows the header of a request: context, operation, and where the stub begins.
pub fn request(header: Header, body: &[u8]) -> Option<(u16, u16, &[u8])> {
    let mut r = Reader::new(body);
    r.skip(4)?;
    let (context, operation) = (u16(&mut r, header.little)?, u16(&mut r, header.little)?);
    Some((context, operation, r.rest()))
}

/// A call: a request and its answer, over any transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub id: u32,
    /// Interface it is for.
    pub context: u16,
    /// Operation.
    pub operation: u16,
    /// Whether the request was seen, so that `context` and `operation` are known.
    pub requested: bool,
    /// Type of the request.
    pub request: u8,
    /// Type of the answer.
    pub response: u8,
    /// Fragments of each direction.
    pub fragments: [u16; 2],
    /// Parameters of each direction, at most [`STUB_MAX`] bytes.
    pub stub: [Vec<u8>; 2],
    /// Byte order.
    pub little: bool,
}

/// Bytes of parameters kept of a direction.
pub const STUB_MAX: usize = 1 << 20;

impl Call {
    /// Adds a fragment's parameters; how many bytes were kept.
    pub fn add(&mut self, direction: usize, bytes: &[u8], budget: usize) -> usize {
        let (Some(stub), Some(count)) = (
            self.stub.get_mut(direction),
            self.fragments.get_mut(direction),
        ) else {
            return 0;
        };
        *count = count.saturating_add(1);
        let room = STUB_MAX.saturating_sub(stub.len()).min(budget);
        let kept = bytes.get(..room).unwrap_or(bytes);
        stub.extend_from_slice(kept);
        kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_another_version_is_read_when_asked_for() {
        let (version, header) = Header::of_any_version(&[b'A'; 16]).unwrap();
        assert_eq!((version, header.kind), (b'A', b'A'));
        assert!(Header::read(&[b'A'; 16]).is_none());
        assert!(Header::of_any_version(&[b'A'; 15]).is_none());
    }

    #[test]
    fn interfaces_are_granted_by_position_and_call() {
        let header = Header {
            minor: 0,
            kind: BIND,
            flags: 3,
            little: true,
            frag_len: 0,
            call_id: 7,
        };
        let mut bind = vec![0; 8];
        bind.extend([1, 0, 0, 0, 5, 0, 1, 0]);
        bind.extend([
            0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10,
            3, 2, 0, 0, 0,
        ]);
        bind.extend([0; 20]);
        let mut all = Interfaces::default();
        all.bind(header, &bind).unwrap();
        assert_eq!(
            uuid_text(&all.0[0].uuid),
            "367abb81-9844-35f1-ad32-98f038001003"
        );
        let mut ack = vec![0; 8];
        ack.extend([4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        ack.extend([0; 22]);
        all.answer(header, &ack).unwrap();
        assert_eq!(
            (all.0[0].context, all.0[0].version, all.0[0].result),
            (5, (2, 0), Some(0))
        );
    }
}
