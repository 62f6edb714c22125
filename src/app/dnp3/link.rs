//! Frames of DNP3's data link layer (IEEE 1815 §9): header, checksums, user data.

use crate::app::reader::Reader;
use crate::packet::Direction;

/// How a frame begins.
pub const START: [u8; 2] = [0x05, 0x64];
/// Bytes of a frame's header with its checksum.
pub const HEADER: usize = 10;
/// Bytes of user data under one checksum.
const BLOCK: usize = 16;
/// Bytes of a checksum.
const CRC: usize = 2;
/// Bytes of the header that the length counts: control and both addresses.
const COUNTED: u8 = 5;

/// Header of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Bytes that follow, without checksums.
    pub len: u8,
    /// Direction, primary, frame count, function.
    pub control: u8,
    /// Address of the receiver.
    pub destination: u16,
    /// Address of the sender.
    pub source: u16,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAFrame {
    /// It does not begin as one.
    Start,
    /// The header's checksum is wrong.
    Checksum,
    /// Its length is less than that of its header.
    Length,
    /// So many bytes lack.
    Lacks(usize),
}

/// The checksum of DNP3 (IEEE 1815 §9.2.5): x¹⁶+x¹³+x¹²+x¹¹+x¹⁰+x⁸+x⁶+x⁵+x²+1, bits reversed.
pub fn checksum(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0u16; 256];
        let mut i = 0;
        while i < 256 {
            let (mut value, mut bit) = (i as u16, 0);
            while bit < 8 {
                value = value >> 1 ^ if value & 1 == 1 { 0xa6bc } else { 0 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    let step = |crc: u16, byte: &u8| {
        let index = usize::from(crc as u8 ^ byte);
        crc >> 8 ^ TABLE.get(index).copied().unwrap_or_default()
    };
    !bytes.iter().fold(0, step)
}

/// The bytes before a checksum, when it is right.
fn checked(block: &[u8]) -> Option<&[u8]> {
    let (bytes, crc) = block.split_last_chunk::<CRC>()?;
    (!bytes.is_empty() && checksum(bytes) == u16::from_le_bytes(*crc)).then_some(bytes)
}

impl Link {
    /// Reads a header and answers with it and its user data, checksums included.
    ///
    /// ```text
    /// 05 64 | length(8) control(8) destination(16) source(16) crc(16) | 1..16 bytes, crc(16) | …
    /// ```
    pub fn read<'a>(r: &mut Reader<'a>) -> Result<(Self, &'a [u8]), NotAFrame> {
        let left = r.left();
        let lacks = |wanted: usize| NotAFrame::Lacks(wanted.saturating_sub(left));
        let start = r.rest().get(..START.len().min(left)).unwrap_or_default();
        if !START.starts_with(start) {
            return Err(NotAFrame::Start);
        }
        let mut whole = *r;
        let header = whole.take(HEADER).ok_or(lacks(HEADER))?;
        let mut head = Reader::new(checked(header).ok_or(NotAFrame::Checksum)?);
        let link = head
            .skip(START.len())
            .and_then(|()| {
                Some(Self {
                    len: head.u8()?,
                    control: head.u8()?,
                    destination: head.u16_le()?,
                    source: head.u16_le()?,
                })
            })
            .ok_or(NotAFrame::Checksum)?;
        let bytes = link.len.checked_sub(COUNTED).ok_or(NotAFrame::Length)?;
        let bytes = usize::from(bytes);
        let len = bytes + bytes.div_ceil(BLOCK) * CRC;
        let data = whole.take(len).ok_or(lacks(HEADER + len))?;
        *r = whole;
        Ok((link, data))
    }

    /// Whether it carries user data (functions 3 and 4 of a primary station).
    pub fn carries_data(self) -> bool {
        matches!(self.control & 0x0f, 3 | 4)
    }

    /// Whether there is room for transport and application header of its direction.
    pub fn has_room(self, direction: Direction) -> bool {
        let indications = if direction == Direction::ToClient {
            2
        } else {
            0
        };
        self.len >= COUNTED + 1 + 2 + indications
    }
}

/// Appends user data without its checksums; false when one of them is wrong.
pub fn strip(data: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    for block in data.chunks(BLOCK + CRC) {
        let Some(bytes) = checked(block) else {
            out.truncate(before);
            return false;
        };
        out.extend_from_slice(bytes);
    }
    true
}

/// A frame around user data, for tests.
#[cfg(test)]
pub fn frame(control: u8, destination: u16, source: u16, data: &[u8]) -> Vec<u8> {
    let len = data.len() as u8 + COUNTED;
    let mut out = vec![0x05, 0x64, len, control];
    out.extend(destination.to_le_bytes());
    out.extend(source.to_le_bytes());
    out.extend(checksum(&out).to_le_bytes());
    for block in data.chunks(BLOCK) {
        out.extend(block);
        out.extend(checksum(block).to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standards() {
        // A reset of the link from station 1024 to station 1, IEEE 1815's common example.
        assert_eq!(
            checksum(&[0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x00, 0x04]).to_le_bytes(),
            [0xe9, 0x21]
        );
    }

    #[test]
    fn a_frame_is_read_whole_or_not_at_all() {
        let data: Vec<u8> = (0..40).collect();
        let bytes = frame(0xc4, 1, 2, &data);
        for len in 0..bytes.len() {
            let mut r = Reader::new(&bytes[..len]);
            assert!(
                matches!(Link::read(&mut r), Err(NotAFrame::Lacks(_))),
                "{len}"
            );
            assert_eq!(r.position(), 0);
        }
        let mut r = Reader::new(&bytes);
        let (link, body) = Link::read(&mut r).expect("a frame");
        assert_eq!((link.control, link.destination, link.source), (0xc4, 1, 2));
        let mut out = Vec::new();
        assert!(strip(body, &mut out) && r.is_empty());
        assert_eq!(out, data);
    }

    #[test]
    fn wrong_bytes_are_told_apart() {
        let read = |bytes: &[u8]| Link::read(&mut Reader::new(bytes)).unwrap_err();
        assert_eq!(read(b"\x05\x65"), NotAFrame::Start);
        assert_eq!(
            read(b"\x05\x64\x05\xc0\x01\0\0\x04\xe9\x22"),
            NotAFrame::Checksum
        );
        let mut short = vec![0x05, 0x64, 4, 0xc0, 1, 0, 2, 0];
        short.extend(checksum(&short).to_le_bytes());
        assert_eq!(read(&short), NotAFrame::Length);
        let mut data = frame(0xc4, 1, 2, &[1; 20]);
        let last = data.len() - 1;
        data[last] ^= 1;
        let (_, body) = Link::read(&mut Reader::new(&data)).expect("a frame");
        let mut out = vec![9];
        assert!(!strip(body, &mut out));
        assert_eq!(out, [9]);
    }
}
