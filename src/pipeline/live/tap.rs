//! Packets of one host, copied for whoever asked (`sekisho ctl capture`): a pcap file, piece by piece.
//!
//! Limits: so many packets or so long, whichever comes first; [`QUEUE`] packets on their way to the asker. A packet for
//! which there is no room is left out and counted, never waited for. [`TAPS_MAX`] taps at a time on a worker.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::packet::{Batch, LinkType, Net};
use crate::sink::pcap;

/// Taps at a time.
pub(super) const TAPS_MAX: usize = 8;
/// Packets on their way.
const QUEUE: usize = 4_096;

/// A packet that was copied.
struct Copied {
    link: LinkType,
    record: Vec<u8>,
}

/// The end that workers hold.
#[derive(Debug)]
pub struct HostTap {
    host: IpAddr,
    left: AtomicI64,
    until: Instant,
    missed: AtomicU64,
    out: SyncSender<Copied>,
}

/// The asker's end: the bytes of the file.
pub struct Captured {
    packets: Receiver<Copied>,
    until: Instant,
    link: Option<LinkType>,
}

impl HostTap {
    /// At most so many packets of a host, for at most so long.
    pub fn new(host: IpAddr, packets: u64, time: Duration) -> (Self, Captured) {
        let (out, packets_in) = sync_channel(QUEUE);
        let until = Instant::now() + time;
        let tap = Self {
            host,
            left: AtomicI64::new(i64::try_from(packets).unwrap_or(i64::MAX)),
            until,
            missed: AtomicU64::new(0),
            out,
        };
        let captured = Captured {
            packets: packets_in,
            until,
            link: None,
        };
        (tap, captured)
    }

    /// Copies the host's packets out of a batch. False when nothing more is wanted.
    pub(super) fn batch(&self, batch: &Batch) -> bool {
        if self.left.load(Ordering::Relaxed) <= 0 || Instant::now() > self.until {
            return false;
        }
        for packet in batch.iter() {
            let is_host = packet.src == self.host || packet.dst == self.host;
            if !is_host || matches!(packet.net, Net::None) || packet.frame.is_empty() {
                continue;
            }
            if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
                return false;
            }
            let mut record = Vec::with_capacity(packet.frame.len() + pcap::RECORD_BYTES);
            pcap::record(&mut record, packet.ts, packet.frame);
            let link = packet.link;
            if let Err(error) = self.out.try_send(Copied { link, record }) {
                self.missed.fetch_add(1, Ordering::Relaxed);
                if matches!(error, TrySendError::Disconnected(_)) {
                    return false;
                }
            }
        }
        true
    }
}

impl Iterator for Captured {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            // A little longer than the taps are open: what they sent last is still to come.
            let end = self.until + Duration::from_secs(1);
            let wait = end.saturating_duration_since(Instant::now());
            let copied = match self.packets.recv_timeout(wait) {
                Ok(copied) => copied,
                // A file without packets is a file, too.
                Err(_) if self.link.is_none() => return Some(self.begin(LinkType::ETHERNET)),
                Err(_) => return None,
            };
            match self.link {
                None => {
                    let mut bytes = self.begin(copied.link);
                    bytes.extend_from_slice(&copied.record);
                    return Some(bytes);
                }
                // A file has one link layer; what was inside tunnels has another.
                Some(link) if link == copied.link => return Some(copied.record),
                Some(_) => {}
            }
        }
    }
}

impl Captured {
    fn begin(&mut self, link: LinkType) -> Vec<u8> {
        let mut header = Vec::new();
        pcap::header(&mut header, *self.link.insert(link));
        header
    }
}

/// The taps of a worker.
#[derive(Debug, Default)]
pub(super) struct Taps(Vec<Arc<HostTap>>);

impl Taps {
    /// One more; when there are too many, the oldest ends.
    pub fn add(&mut self, tap: Arc<HostTap>) {
        if self.0.len() >= TAPS_MAX {
            self.0.remove(0);
        }
        self.0.push(tap);
    }

    /// Copies from a batch what is wanted.
    pub fn batch(&mut self, batch: &Batch) {
        self.0.retain(|tap| tap.batch(batch));
    }
}
