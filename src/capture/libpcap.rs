//! libpcap: whatever it can open and the other methods cannot, such as `any`, USB or Bluetooth devices, or cards with a
//! library of their own, with a filter in tcpdump's language.
//!
//! Each frame is copied once more than with AF_PACKET, and one thread reads a device: it is the method for everything else.
//! libpcap does not say which checksums were left to a card, so that none are judged: what was sent by this machine would
//! all be wrong. It puts VLAN tags back itself.
//! The library is loaded when it is wanted ([`crate::sys::PcapDevice`]); without it, that is the error.
//! Limits: one device a thread, link layers that [`crate::decode`] knows; [`BATCH_BYTES`] bytes a batch.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::pool::Buffers;
use super::{Arrivals, CaptureError, Fault, Frame, FrameBatch, Source};
use crate::packet::{FrameBytes, LinkType, Slice, Timestamp};
use crate::sys::{PcapDevice, PcapOptions, wait_readable};

/// Longest wait for a frame: as often does the time pass on a silent wire.
const WAIT: Duration = Duration::from_millis(50);
/// Bytes after which a batch is full.
const BATCH_BYTES: usize = 512 * 1024;
/// Buffers that are used again.
const BUFFERS: usize = 128;

/// A device that libpcap opens.
#[derive(Debug)]
pub struct Libpcap {
    device: PcapDevice,
    interface: u16,
    link: LinkType,
    name: String,
    pool: Buffers,
}

/// The number that capture files have for a link layer (DLT in pcap/dlt.h, LINKTYPE in pcap-linktype(7)). They differ for
/// few; of those that are decoded, for IP without a link layer.
fn link_type(number: u16) -> LinkType {
    match number {
        12 | 14 => LinkType::RAW,
        other => LinkType(other),
    }
}

impl Libpcap {
    /// Opens a device; its frames carry the number `interface`. `filter`: what is seen; empty: everything.
    pub fn open(
        name: &str,
        interface: u16,
        options: &PcapOptions,
        filter: &str,
    ) -> std::io::Result<Self> {
        let device = PcapDevice::open(name, options, filter)
            .map_err(|why| std::io::Error::other(format!("{name}: {why}")))?;
        Ok(Self {
            link: link_type(device.link()),
            device,
            interface,
            name: name.to_owned(),
            pool: Buffers::new(BUFFERS),
        })
    }

    fn fault(&self, error: std::io::Error) -> CaptureError {
        CaptureError {
            path: PathBuf::from(&self.name),
            offset: 0,
            fault: Fault::Io(error),
        }
    }

    /// Takes what waits into a buffer, up to `max` frames.
    fn take(
        &mut self,
        frames: &mut Vec<Frame>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), String> {
        let (link, interface) = (self.link, self.interface);
        while frames.len() < max && out.len() < BATCH_BYTES {
            let frame = self.device.next(|frame| {
                let start = out.len() as u64;
                out.extend_from_slice(frame.bytes);
                Frame {
                    slice: Slice {
                        start,
                        len: u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX),
                        extra: false,
                    },
                    ts: Timestamp::new(frame.time.0, frame.time.1),
                    link,
                    interface,
                    original_len: frame.original_len,
                    unfinished: true,
                    token: 0,
                }
            })?;
            match frame {
                Some(frame) => frames.push(frame),
                None => break,
            }
        }
        Ok(())
    }
}

impl Source for Libpcap {
    fn fill(&mut self, batch: &mut FrameBatch, max: usize) -> Result<bool, CaptureError> {
        batch.frames.clear();
        batch.bytes = FrameBytes::Empty;
        let mut shared = self.pool.take();
        let Some(out) = Arc::get_mut(&mut shared) else {
            return Ok(true);
        };
        let mut taken = self.take(&mut batch.frames, out, max);
        if taken.is_ok() && batch.frames.is_empty() {
            wait_readable(&[self.device.fd()], WAIT).map_err(|error| self.fault(error))?;
            taken = self.take(&mut batch.frames, out, max);
        }
        taken.map_err(|why| self.fault(std::io::Error::other(why)))?;
        if !batch.frames.is_empty() {
            batch.bytes = FrameBytes::Owned(Arc::clone(&shared));
        }
        self.pool.keep(shared);
        Ok(true)
    }

    fn arrivals(&mut self) -> Arrivals {
        let (frames, dropped) = self.device.counts();
        Arrivals { frames, dropped }
    }
}
