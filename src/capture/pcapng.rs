//! pcapng (draft-ietf-opsawg-pcapng): several sections and interfaces; Enhanced, Simple and (obsolete) Packet blocks;
//! other blocks are skipped.

use super::format::{Format, Order, Step};
use super::{FRAME_BYTES_MAX, Fault, INTERFACES_MAX};
use crate::packet::{LinkType, Timestamp};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;
/// Blocks that are not packets (name resolution, decryption secrets …) may be larger than a frame, not unbounded.
const BLOCK_BYTES_MAX: u32 = 16 * 1024 * 1024;

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    /// Ticks per second, or `None` for nanoseconds-per-tick overflow safe 10^n handled below.
    ticks_per_sec: u64,
    offset_secs: i64,
}

/// Reader of one file.
pub struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
}

impl Default for PcapNg {
    fn default() -> Self {
        Self {
            order: Order { big: false },
            interfaces: Vec::new(),
        }
    }
}

impl Format for PcapNg {
    fn step(&mut self, bytes: &[u8]) -> Step {
        if bytes.len() < 12 {
            return Step::NeedMore(12, "block header");
        }
        let is_section = self.order.u32(bytes, 0) == SECTION_HEADER;
        if is_section {
            match bytes.get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => self.order.big = true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => self.order.big = false,
                _ => {
                    return Step::Fault(Fault::Malformed(
                        "section header without a byte-order magic",
                    ));
                }
            }
        }
        let len = self.order.u32(bytes, 4);
        if len < 12 || !len.is_multiple_of(4) || len > BLOCK_BYTES_MAX {
            return Step::Fault(Fault::BadLength {
                what: "block",
                value: u64::from(len),
            });
        }
        let Some(block) = bytes.get(..len as usize) else {
            return Step::NeedMore(len as usize, "block");
        };
        if self.order.u32(block, block.len() - 4) != len {
            return Step::Fault(Fault::Malformed("block whose two lengths differ"));
        }
        let body = block.get(8..block.len() - 4).unwrap_or_default();
        match self.order.u32(block, 0) {
            SECTION_HEADER => {
                self.interfaces.clear();
                Step::Skip(block.len())
            }
            INTERFACE_DESCRIPTION => self.describe_interface(block.len(), body),
            ENHANCED_PACKET => self.packet(block.len(), body, self.order.u32(body, 0), 4, 12, 20),
            OBSOLETE_PACKET => self.packet(
                block.len(),
                body,
                u32::from(self.order.u16(body, 0)),
                4,
                12,
                20,
            ),
            SIMPLE_PACKET => self.simple_packet(block.len(), body),
            _ => Step::Skip(block.len()),
        }
    }
}

impl PcapNg {
    fn describe_interface(&mut self, block_len: usize, body: &[u8]) -> Step {
        if body.len() < 8 {
            return Step::Fault(Fault::BadLength {
                what: "interface description",
                value: block_len as u64,
            });
        }
        if self.interfaces.len() >= INTERFACES_MAX {
            return Step::Fault(Fault::Malformed("too many interface descriptions"));
        }
        let mut interface = Interface {
            link: LinkType(self.order.u16(body, 0)),
            snaplen: self.order.u32(body, 4),
            ticks_per_sec: 1_000_000,
            offset_secs: 0,
        };
        let mut options = body.get(8..).unwrap_or_default();
        while options.len() >= 4 {
            let (code, len) = (
                self.order.u16(options, 0),
                usize::from(self.order.u16(options, 2)),
            );
            let Some(value) = options.get(4..4 + len) else {
                break;
            };
            match (code, value) {
                (0, _) => break,
                (OPTION_TSRESOL, &[resolution]) => {
                    let exponent = u32::from(resolution & 0x7f);
                    let ticks = if resolution & 0x80 == 0 {
                        10u64.checked_pow(exponent)
                    } else {
                        2u64.checked_pow(exponent)
                    };
                    let Some(ticks) = ticks else {
                        return Step::Fault(Fault::Malformed(
                            "interface with a time resolution beyond 64 bits",
                        ));
                    };
                    interface.ticks_per_sec = ticks;
                }
                (OPTION_TSOFFSET, value) if value.len() == 8 => {
                    let (low, high) = if self.order.big { (4, 0) } else { (0, 4) };
                    let word = u64::from(self.order.u32(value, high)) << 32
                        | u64::from(self.order.u32(value, low));
                    interface.offset_secs = word as i64;
                }
                _ => {}
            }
            options = options
                .get(4 + len.next_multiple_of(4)..)
                .unwrap_or_default();
        }
        self.interfaces.push(interface);
        Step::Skip(block_len)
    }

    /// Enhanced and obsolete packet blocks differ only in the width of the interface number.
    fn packet(
        &self,
        block_len: usize,
        body: &[u8],
        interface: u32,
        ts_at: usize,
        len_at: usize,
        data_at: usize,
    ) -> Step {
        if body.len() < data_at {
            return Step::Fault(Fault::BadLength {
                what: "packet block",
                value: block_len as u64,
            });
        }
        let Some(described) = usize::try_from(interface)
            .ok()
            .and_then(|i| self.interfaces.get(i))
        else {
            return Step::Fault(Fault::UnknownInterface(interface));
        };
        let len = self.order.u32(body, len_at);
        if len > FRAME_BYTES_MAX || (len as usize) > body.len() - data_at {
            return Step::Fault(Fault::BadLength {
                what: "packet",
                value: u64::from(len),
            });
        }
        let ticks = u64::from(self.order.u32(body, ts_at)) << 32
            | u64::from(self.order.u32(body, ts_at + 4));
        Step::Frame {
            consumed: block_len,
            start: 8 + data_at,
            len,
            original_len: self.order.u32(body, len_at + 4).max(len),
            ts: described.time(ticks),
            link: described.link,
            interface: u16::try_from(interface).unwrap_or(u16::MAX),
        }
    }

    /// A simple packet has no time of its own; it belongs to the first interface.
    fn simple_packet(&self, block_len: usize, body: &[u8]) -> Step {
        let Some(first) = self.interfaces.first() else {
            return Step::Fault(Fault::UnknownInterface(0));
        };
        if body.len() < 4 {
            return Step::Fault(Fault::BadLength {
                what: "packet block",
                value: block_len as u64,
            });
        }
        let original_len = self.order.u32(body, 0);
        let snaplen = if first.snaplen == 0 {
            FRAME_BYTES_MAX
        } else {
            first.snaplen
        };
        let len = original_len.min(snaplen).min((body.len() - 4) as u32);
        if len > FRAME_BYTES_MAX {
            return Step::Fault(Fault::BadLength {
                what: "packet",
                value: u64::from(len),
            });
        }
        Step::Frame {
            consumed: block_len,
            start: 12,
            len,
            original_len,
            ts: Timestamp(0),
            link: first.link,
            interface: 0,
        }
    }
}

impl Interface {
    fn time(self, ticks: u64) -> Timestamp {
        let per_sec = self.ticks_per_sec.max(1);
        let secs = (ticks / per_sec).saturating_add_signed(self.offset_secs);
        let nanos = u128::from(ticks % per_sec) * 1_000_000_000 / u128::from(per_sec);
        Timestamp::new(secs, nanos as u32)
    }
}
