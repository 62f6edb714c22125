//! The classic capture file (pcap, draft-ietf-opsawg-pcap): both byte orders, microseconds and nanoseconds, and the
//! "modified" variant with 24-byte record headers.

use super::format::{Format, Order, Step};
use super::{FRAME_BYTES_MAX, Fault};
use crate::packet::{LinkType, Timestamp};

const FILE_HEADER_BYTES: usize = 24;

/// Reader of one file.
pub struct Pcap {
    order: Order,
    nanos: bool,
    record_header_bytes: usize,
    link: Option<LinkType>,
}

impl Pcap {
    /// By the file's magic number.
    pub fn from_magic(magic: [u8; 4]) -> Option<Self> {
        let (big, nanos, record_header_bytes) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false, 16),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true, 16),
            // Kuznetzov's patched libpcap: interface index and protocol follow the lengths.
            [0xa1, 0xb2, 0xcd, 0x34] => (true, false, 24),
            [0x34, 0xcd, 0xb2, 0xa1] => (false, false, 24),
            _ => return None,
        };
        Some(Self {
            order: Order { big },
            nanos,
            record_header_bytes,
            link: None,
        })
    }
}

impl Format for Pcap {
    fn step(&mut self, bytes: &[u8]) -> Step {
        let Some(link) = self.link else {
            if bytes.len() < FILE_HEADER_BYTES {
                return Step::NeedMore(FILE_HEADER_BYTES, "file header");
            }
            // The upper bits of the field carry the FCS length; the link type is the lower 16.
            self.link = Some(LinkType((self.order.u32(bytes, 20) & 0xffff) as u16));
            return Step::Skip(FILE_HEADER_BYTES);
        };
        if bytes.len() < self.record_header_bytes {
            return Step::NeedMore(self.record_header_bytes, "record header");
        }
        let secs = self.order.u32(bytes, 0);
        let fraction = self.order.u32(bytes, 4);
        let len = self.order.u32(bytes, 8);
        if len > FRAME_BYTES_MAX {
            return Step::Fault(Fault::BadLength {
                what: "record",
                value: u64::from(len),
            });
        }
        let whole = self.record_header_bytes + len as usize;
        if bytes.len() < whole {
            return Step::NeedMore(whole, "record");
        }
        let nanos = if self.nanos {
            fraction
        } else {
            fraction.saturating_mul(1000)
        };
        Step::Frame {
            consumed: whole,
            start: self.record_header_bytes,
            len,
            original_len: self.order.u32(bytes, 12).max(len),
            ts: Timestamp::new(u64::from(secs), nanos),
            link,
            interface: 0,
        }
    }
}
