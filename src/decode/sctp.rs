//! SCTP (RFC 9260): ports, and the chunks of a packet.

use crate::packet::{DecodeEvent, Transport};

use super::walk::{Decoded, Part, Walk};

/// Ports, verification tag, checksum.
const HEADER_LEN: usize = 12;

/// Type, flags, length.
const CHUNK_HEADER_LEN: usize = 4;

/// Header of a DATA chunk, before the user's bytes (RFC 9260 §3.3.1).
const DATA_HEADER_LEN: usize = 16;

/// Chunks of a packet after which an event says that there are many (Suricata's limit).
const CHUNKS_MANY: usize = 16;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Its type (RFC 9260 §3.2).
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// All of it with its header, without padding.
    pub bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The user's bytes, when it is a DATA chunk.
    pub fn data(&self) -> Option<&'a [u8]> {
        if self.kind == DATA {
            self.bytes.get(DATA_HEADER_LEN..)
        } else {
            None
        }
    }
}

/// Why the chunks ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// Fewer bytes than a chunk's header.
    TooSmall,
    /// A length that is too small for its header, or goes beyond the packet.
    Length,
}

/// The chunks of a packet. Each takes at least 4 bytes, so the packet bounds the walk.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    /// The chunks in the bytes after the common header.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The chunks of a whole SCTP packet: `packet` begins with the common header, as
    /// [`crate::packet::Layers::transport_offset`] says.
    pub fn of_packet(packet: &'a [u8]) -> Self {
        Self::new(packet.get(HEADER_LEN..).unwrap_or_default())
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some([kind, flags, l1, l2]) = self.rest.first_chunk::<CHUNK_HEADER_LEN>().copied()
        else {
            self.rest = &[];
            return Some(Err(ChunkError::TooSmall));
        };
        let len = usize::from(u16::from_be_bytes([l1, l2]));
        let Some(bytes) = self.rest.get(..len).filter(|_| len >= CHUNK_HEADER_LEN) else {
            self.rest = &[];
            return Some(Err(ChunkError::Length));
        };
        // Padded to 4 bytes; the last one's padding may be missing.
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Chunk { kind, flags, bytes }))
    }
}

/// Decodes a packet. The payload is the user's bytes of the first DATA chunk.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.sctp += 1;
    let (Some([s1, s2, d1, d2, t1, t2, t3, t4]), Some(body)) = (
        part.bytes.first_chunk::<8>().copied(),
        part.skip(HEADER_LEN),
    ) else {
        return w.refuse(DecodeEvent::SCTP_PKT_TOO_SMALL);
    };
    let first_data = chunks(w, body.bytes, [t1, t2, t3, t4] == [0; 4])?;
    w.layers.transport = Transport::Sctp;
    w.layers.transport_offset = part.at;
    w.layers.sport = u16::from_be_bytes([s1, s2]);
    w.layers.dport = u16::from_be_bytes([d1, d2]);
    w.layers.has_flow = true;
    let payload = match first_data {
        Some((offset, len)) => body.skip(offset).map(|p| p.limit(len)),
        None => body.skip(body.bytes.len()),
    };
    if let Some(payload) = payload {
        w.payload(payload);
    }
    Ok(())
}

/// Checks the chunks. Answers offset and length of the first DATA chunk's bytes.
fn chunks(
    w: &mut Walk<'_>,
    body: &[u8],
    zero_tag: bool,
) -> Result<Option<(usize, usize)>, super::walk::Refused> {
    let mut first_data = None;
    let (mut count, mut data_count, mut has_init) = (0usize, 0usize, false);
    let mut offset = 0;
    let mut failed = None;
    for chunk in Chunks::new(body) {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        count += 1;
        if count == CHUNKS_MANY + 1 {
            w.event(DecodeEvent::SCTP_TOO_MANY_CHUNKS);
        }
        match chunk.kind {
            INIT => {
                has_init = true;
                // RFC 9260 §8.5.1.
                if !zero_tag {
                    w.event(DecodeEvent::SCTP_INIT_WITH_NON_ZERO_VTAG);
                }
            }
            INIT_ACK => has_init = true,
            DATA => {
                if let Some(data) = chunk.data() {
                    data_count += 1;
                    first_data = first_data.or(Some((offset + DATA_HEADER_LEN, data.len())));
                    if data_count == CHUNKS_MANY + 1 {
                        w.event(DecodeEvent::SCTP_TOO_MANY_DATA_CHUNKS);
                    }
                }
                if zero_tag {
                    w.event(DecodeEvent::SCTP_DATA_WITH_ZERO_VTAG);
                }
            }
            _ => {}
        }
        offset += chunk.bytes.len().next_multiple_of(4);
    }
    // RFC 9260 §6.10: INIT and INIT ACK come alone.
    if has_init && count > 1 {
        w.event(DecodeEvent::SCTP_INIT_CHUNK_BUNDLED);
    }
    match failed {
        None => Ok(first_data),
        Some(ChunkError::TooSmall) => w.refuse(DecodeEvent::SCTP_CHUNK_TOO_SMALL).map(|()| None),
        Some(ChunkError::Length) => w.refuse(DecodeEvent::SCTP_CHUNK_LEN_INVALID).map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};
    use super::*;
    use crate::packet::Packet;

    fn packet(tag: u8, chunks: &[&[u8]]) -> Vec<u8> {
        ipv4(
            132,
            &[],
            &[
                &[0, 1, 0, 2, 0, 0, 0, tag, 0, 0, 0, 0][..],
                &chunks.concat(),
            ]
            .concat(),
        )
    }

    const USER: [u8; 20] = [
        0, 3, 0, 18, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'h', b'i', 0, 0,
    ];
    const SHORT: [u8; 4] = [3, 0, 0, 4];

    #[test]
    fn the_payload_is_the_first_data_chunk() {
        let bytes = frame(0x0800, &packet(1, &[&SHORT, &USER, &USER]));
        let layers = only(&bytes);
        let found = Packet {
            frame: &bytes,
            layers: &layers,
        };
        assert_eq!(
            (found.payload(), found.sport, found.dport),
            (&b"hi"[..], 1, 2)
        );
        let all: Vec<u8> = Chunks::of_packet(&bytes[layers.transport_offset as usize..])
            .map(|c| c.expect("chunk").kind)
            .collect();
        assert_eq!(all, [3, 0, 0]);
    }

    #[test]
    fn faults_of_chunks_are_events() {
        assert_eq!(
            events(0x0800, &packet(0, &[&USER])),
            ["decoder.sctp.data_with_zero_vtag"]
        );
        assert_eq!(
            events(0x0800, &packet(1, &[&[1, 0, 0, 4]])),
            ["decoder.sctp.init_with_non_zero_vtag"]
        );
        assert_eq!(
            events(0x0800, &packet(0, &[&[1, 0, 0, 4], &SHORT])),
            ["decoder.sctp.init_chunk_bundled"]
        );
        assert_eq!(
            events(0x0800, &packet(1, &[&[3, 0, 0, 3]])),
            ["decoder.sctp.chunk_len_invalid"]
        );
        assert_eq!(
            events(0x0800, &packet(1, &[&[3, 0, 0, 9]])),
            ["decoder.sctp.chunk_len_invalid"]
        );
        assert_eq!(
            events(0x0800, &packet(1, &[&[3, 0]])),
            ["decoder.sctp.chunk_too_small"]
        );
        assert_eq!(
            events(0x0800, &packet(1, &[&SHORT.repeat(17)])),
            ["decoder.sctp.too_many_chunks"]
        );
        assert_eq!(
            events(0x0800, &ipv4(132, &[], &[0; 11])),
            ["decoder.sctp.pkt_too_small"]
        );
    }
}
