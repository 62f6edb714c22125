//! The pcap file format, written: magic 0xa1b23c4d (nanoseconds), little endian, version 2.4
//! (draft-ietf-opsawg-pcap). One link layer a file. Reading is `capture`'s.

use crate::packet::{LinkType, Timestamp};

/// Bytes before each packet.
pub const RECORD_BYTES: usize = 16;
/// Longest packet of a file: what tcpdump writes by default.
const SNAP_BYTES: u32 = 262_144;

/// Writes the header of a file.
pub fn header(out: &mut Vec<u8>, link: LinkType) {
    out.extend_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    out.extend_from_slice(&2u16.to_le_bytes());
    out.extend_from_slice(&4u16.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&SNAP_BYTES.to_le_bytes());
    out.extend_from_slice(&u32::from(link.0).to_le_bytes());
}

/// Writes a packet.
pub fn record(out: &mut Vec<u8>, ts: Timestamp, frame: &[u8]) {
    let whole = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let kept = whole.min(SNAP_BYTES);
    let nanos = u32::try_from(ts.0 % 1_000_000_000).unwrap_or(0);
    // The format has 32 bits for seconds: it ends in 2106.
    for word in [ts.secs() as u32, nanos, kept, whole] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(frame.get(..kept as usize).unwrap_or(frame));
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::capture::{CaptureFile, FrameBatch, Source};

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Vec::new();
        header(&mut bytes, LinkType::ETHERNET);
        record(
            &mut bytes,
            Timestamp::new(1_700_000_000, 123_456_789),
            &[7; 60],
        );
        record(&mut bytes, Timestamp::new(1_700_000_001, 5), &[8; 1500]);
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(&bytes).expect("writes");
        let mut source = CaptureFile::open(file.path()).expect("opens");
        let mut frames = FrameBatch::default();
        let _ = source.fill(&mut frames, 10);
        let seen: Vec<_> = frames
            .frames
            .iter()
            .map(|f| (f.ts.0, f.slice.len))
            .collect();
        assert_eq!(
            seen,
            [
                (1_700_000_000_123_456_789, 60),
                (1_700_000_001_000_000_005, 1500)
            ]
        );
    }
}
