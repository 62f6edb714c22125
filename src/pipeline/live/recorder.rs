//! The latest packets of a worker, remembered for the alert that may come: a ring of bytes, and an index.
//!
//! Everything is copied into the ring; the oldest gives way. When a flow is wanted as evidence, what the ring has of it
//! goes to the disk, and what follows, until its time is over. One look at the index costs time in proportion to the ring,
//! once for each alerted flow.
//! Limits: the ring's bytes, one index entry for each [`ENTRY_PER`] of them, [`WATCHED_MAX`] flows at a time.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::packet::{Batch, LinkType, Timestamp};
use crate::pipeline::evidence::{Chunk, Desk, Want, about, send};
use crate::sink::pcap;

/// Bytes of ring for one entry of the index (72 bytes): small packets fill the index before the ring.
const ENTRY_PER: usize = 512;
/// Flows followed at a time.
const WATCHED_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    len: usize,
    ts: Timestamp,
    flow: u64,
    src: IpAddr,
    dst: IpAddr,
    link: LinkType,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Recorder {
    desk: Arc<Desk>,
    out: SyncSender<Chunk>,
    seen: u64,
    bytes: Box<[u8]>,
    entries: VecDeque<Entry>,
    entries_max: usize,
    end: usize,
    watched: Vec<Want>,
}

impl Recorder {
    /// With a ring of so many bytes.
    pub fn new(desk: Arc<Desk>, out: SyncSender<Chunk>, bytes: usize) -> Self {
        let entries_max = (bytes / ENTRY_PER).max(1);
        Self {
            // What was wanted before this worker was there is not its own.
            seen: 0,
            desk,
            out,
            bytes: vec![0; bytes].into_boxed_slice(),
            entries: VecDeque::with_capacity(entries_max),
            entries_max,
            end: 0,
            watched: Vec::new(),
        }
    }

    /// Remembers the packets of a batch, and hands over those that are wanted.
    pub fn batch(&mut self, batch: &Batch) {
        let desk = Arc::clone(&self.desk);
        for want in desk.since(&mut self.seen) {
            self.hand_over(&want);
            if want.until > batch.now {
                if self.watched.len() >= WATCHED_MAX {
                    self.watched.remove(0);
                }
                self.watched.push(want);
            }
        }
        self.watched.retain(|want| want.until > batch.now);
        let mut chunks: Vec<Option<Chunk>> = Vec::new();
        chunks.resize_with(self.watched.len(), || None);
        for packet in batch.iter() {
            if packet.frame.is_empty() || !packet.is_ip() {
                continue;
            }
            let flow = about(&packet.key());
            for (want, chunk) in self.watched.iter().zip(&mut chunks) {
                if want.whose.has(flow, packet.src, packet.dst) {
                    let chunk = chunk.get_or_insert_with(|| Chunk {
                        file: Arc::clone(&want.file),
                        link: packet.link,
                        records: Vec::new(),
                    });
                    if chunk.link == packet.link {
                        pcap::record(&mut chunk.records, packet.ts, packet.frame);
                    }
                }
            }
            self.remember(
                Entry {
                    start: 0,
                    len: packet.frame.len(),
                    ts: packet.ts,
                    flow,
                    src: packet.src,
                    dst: packet.dst,
                    link: packet.link,
                },
                packet.frame,
            );
        }
        for chunk in chunks.into_iter().flatten() {
            send(&desk, &self.out, chunk);
        }
    }

    fn remember(&mut self, mut entry: Entry, frame: &[u8]) {
        if frame.len() > self.bytes.len() {
            return;
        }
        if self.end + frame.len() > self.bytes.len() {
            // What lies behind is older than what begins at the front: it goes first.
            while self.entries.front().is_some_and(|e| e.start >= self.end) {
                self.entries.pop_front();
            }
            self.end = 0;
        }
        let (start, end) = (self.end, self.end + frame.len());
        let overlaps = |e: &Entry| e.start < end && e.start + e.len > start;
        while self.entries.len() >= self.entries_max || self.entries.front().is_some_and(overlaps) {
            self.entries.pop_front();
        }
        if let Some(room) = self.bytes.get_mut(start..end) {
            room.copy_from_slice(frame);
            entry.start = start;
            self.entries.push_back(entry);
            self.end = end;
        }
    }

    fn hand_over(&mut self, want: &Want) {
        let mut chunk: Option<Chunk> = None;
        let most = usize::try_from(self.desk.settings.file_bytes).unwrap_or(usize::MAX);
        for entry in &self.entries {
            if !want.whose.has(entry.flow, entry.src, entry.dst) {
                continue;
            }
            let chunk = chunk.get_or_insert_with(|| Chunk {
                file: Arc::clone(&want.file),
                link: entry.link,
                records: Vec::new(),
            });
            let frame = self.bytes.get(entry.start..entry.start + entry.len);
            if let Some(frame) = frame.filter(|_| chunk.link == entry.link)
                && chunk.records.len() + frame.len() + 64 < most
            {
                pcap::record(&mut chunk.records, entry.ts, frame);
            }
        }
        if let Some(chunk) = chunk {
            send(&self.desk, &self.out, chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::pipeline::evidence::Whose;
    use crate::sink::evidence::EvidenceSettings;

    fn entry(flow: u64, len: usize) -> Entry {
        let none = IpAddr::from([192, 0, 2, 1]);
        Entry {
            start: 0,
            len,
            ts: Timestamp::new(1, 0),
            flow,
            src: none,
            dst: none,
            link: LinkType::ETHERNET,
        }
    }

    #[test]
    fn the_ring_gives_back_the_latest_packets_whole() {
        let (out, chunks) = sync_channel(8);
        let desk = Arc::new(Desk::new(EvidenceSettings::default()));
        let mut recorder = Recorder::new(desk, out, 64 * 1024);
        for n in 0..10_000u64 {
            let len = 60 + (n as usize * 37) % 1_400;
            recorder.remember(entry(n % 7, len), &vec![(n % 7) as u8; len]);
            let total: usize = recorder.entries.iter().map(|e| e.len).sum();
            assert!(total <= 64 * 1024 && recorder.entries.len() <= 128);
        }
        assert!(recorder.entries.len() > 60);
        recorder.hand_over(&Want {
            whose: Whose::Flow(3),
            file: "x".into(),
            since: Timestamp::default(),
            until: Timestamp::default(),
        });
        let chunk = chunks.try_recv().expect("packets");
        let mut rest = chunk.records.as_slice();
        let mut count = 0;
        while let Some((head, behind)) = rest.split_at_checked(16) {
            let len = u32::from_le_bytes(head[8..12].try_into().expect("word")) as usize;
            let (frame, behind) = behind.split_at(len);
            assert!(frame.iter().all(|b| *b == 3));
            rest = behind;
            count += 1;
        }
        assert!(count >= 5 && rest.is_empty());
    }
}
