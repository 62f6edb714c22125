//! QUIC packets and frames as far as they can be read: headers of every version, the frames of Initial packets
//! (RFC 9000 §17, §19), and Google's older QUIC with its tags.

use crate::app::reader::Reader;

/// Kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    Retry,
    Handshake,
    ZeroRtt,
    VersionNegotiation,
    Short,
}

/// A packet's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) kind: Kind,
    pub(super) version: u32,
    /// Destination connection id.
    pub(super) connection: &'a [u8],
    /// Bytes before the packet number (IETF) or the frames (Google).
    pub(super) len: usize,
    /// Bytes after that belong to the packet.
    pub(super) length: usize,
}

const Q043: u32 = 0x5130_3433;
const Q046: u32 = 0x5130_3436;

/// Google's QUIC of versions 43 to 46: not encrypted as IETF's is.
pub(super) const fn is_google(version: u32) -> bool {
    version >= Q043 && version <= Q046
}

/// A number of 1, 2, 4 or 8 bytes (RFC 9000 §16).
pub(super) fn varint(r: &mut Reader<'_>) -> Option<u64> {
    let first = r.u8()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1u8 << (first >> 6) {
        value = value << 8 | u64::from(r.u8()?);
    }
    Some(value)
}

fn varlen(r: &mut Reader<'_>) -> Option<usize> {
    usize::try_from(varint(r)?).ok()
}

impl<'a> Header<'a> {
    /// Reads it.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let first = r.u8()?;
        if first & 0x80 == 0 {
            return Self::short(first, r);
        }
        let version = r.u32()?;
        let bits = first >> 4 & 3;
        let kind = match version {
            0 => Kind::VersionNegotiation,
            version if is_google(version) && version != Q046 => match first & 0x7f {
                0x7f => Kind::Initial,
                0x7e => Kind::Retry,
                0x7d => Kind::Handshake,
                0x7c => Kind::ZeroRtt,
                _ => return None,
            },
            // RFC 9369 §3.2: the types are turned by one.
            super::crypto::V2 => {
                [Kind::Retry, Kind::Initial, Kind::ZeroRtt, Kind::Handshake][usize::from(bits)]
            }
            _ => [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry][usize::from(bits)],
        };
        let connection = if is_google(version) {
            let lengths = r.u8()?;
            let len = |n: u8| usize::from(if n == 0 { 0 } else { n + 3 });
            let connection = r.take(len(lengths >> 4))?;
            r.skip(len(lengths & 15))?;
            connection
        } else {
            let connection = r.counted8()?;
            r.counted8()?;
            connection
        };
        let length = match kind {
            Kind::Initial if is_google(version) => {
                r.skip(4 + 12)?;
                r.left()
            }
            Kind::Initial => {
                let token = varlen(&mut r)?;
                r.skip(token)?;
                varlen(&mut r).filter(|l| *l <= r.left())?
            }
            Kind::Retry => {
                r.take_rest();
                0
            }
            _ => r.left(),
        };
        Some(Self {
            kind,
            version,
            connection,
            len: r.position(),
            length,
        })
    }

    fn short(first: u8, mut r: Reader<'a>) -> Option<Self> {
        let (mut version, mut connection, mut kind) = (0, &[][..], Kind::Short);
        if first & 0x40 == 0 {
            // Google's public header: flags, connection id, nonce, version, number, hash.
            if first & 8 != 0 {
                connection = r.take(8)?;
            } else if first & 4 != 0 {
                r.skip(32)?;
            }
            if first & 1 != 0 {
                version = r.u32()?;
                kind = Kind::Initial;
            }
            r.skip(1 + usize::from(first >> 4 & 3))?;
            if first & 8 != 0 {
                r.skip(12)?;
            }
        }
        Some(Self {
            kind,
            version,
            connection,
            len: r.position(),
            length: r.left(),
        })
    }
}

/// What the frames of a packet hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frames<'a> {
    /// CRYPTO: offset and bytes.
    pub(super) crypto: Vec<(u64, &'a [u8])>,
    /// Google's: tags with values, per handshake message.
    pub(super) tags: Vec<Vec<(&'a [u8], &'a [u8])>>,
}

impl<'a> Frames<'a> {
    /// Reads all frames; `None` when one is broken.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut frames = Self::default();
        let mut r = Reader::new(bytes);
        while let Some(kind) = r.u8() {
            match kind {
                0x80.. => frames.stream(kind, &mut r)?,
                0 | 1 => {}
                2 | 3 => {
                    varint(&mut r)?;
                    varint(&mut r)?;
                    let ranges = varint(&mut r)?;
                    varint(&mut r)?;
                    for _ in 0..ranges {
                        varint(&mut r)?;
                        varint(&mut r)?;
                    }
                    if kind == 3 {
                        varint(&mut r)?;
                        varint(&mut r)?;
                        varint(&mut r)?;
                    }
                }
                6 => {
                    let offset = varint(&mut r)?;
                    let len = varlen(&mut r)?;
                    frames.crypto.push((offset, r.take(len)?));
                }
                8 => {
                    varint(&mut r)?;
                    let len = varlen(&mut r)?;
                    frames.tags.extend(tags(r.take(len)?));
                }
                _ => break,
            }
        }
        Some(frames)
    }

    /// Google's STREAM: `1FDOOOSS`.
    fn stream(&mut self, kind: u8, r: &mut Reader<'a>) -> Option<()> {
        let offset = match kind >> 2 & 7 {
            0 => 0,
            n => usize::from(n) + 1,
        };
        r.skip(usize::from(kind & 3) + 1 + offset)?;
        let data = if kind & 0x20 != 0 {
            r.counted16()?
        } else {
            r.take_rest()
        };
        self.tags.extend(tags(data));
        Some(())
    }
}

/// `CHLO count pad (tag end)* values`: Google's handshake message.
fn tags(data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut r = Reader::new(data);
    let name = |r: &mut Reader<'_>| r.peek().is_some_and(|b| b.is_ascii_uppercase());
    name(&mut r).then_some(())?;
    r.skip(4)?;
    let count = r.u16_le()?;
    r.skip(2)?;
    let mut index = r.part(usize::from(count) * 8)?;
    let (mut list, mut before) = (Vec::new(), 0);
    while !index.is_empty() {
        let (tag, end) = (index.take(4)?, index.u32_le()?);
        let text = tag.split(|b| *b == 0).next().unwrap_or_default();
        if text.is_empty() || !text.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        list.push((
            text,
            r.take(usize::try_from(end.checked_sub(before)?).ok()?)?,
        ));
        before = end;
    }
    r.is_empty().then_some(list)
}
