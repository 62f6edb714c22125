//! The latest packets of a worker, remembered for the alert that may come: a ring of bytes, and an index.
//!
//! Everything is copied into the ring; the oldest gives way. When a flow is wanted as evidence, what the ring has of it
//! goes to the disk, and what follows, until its time is over. Entries of one flow, source and destination are chained from
//! the latest back, by a hash, so that looking for a flow or host costs time in proportion to what there is of it.
//! Limits: the ring's bytes, one index entry for each [`ENTRY_PER`] of them, [`WATCHED_MAX`] flows at a time.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::packet::{Batch, Keyed, LinkType, Timestamp};
use crate::pipeline::evidence::{Chunk, Desk, Want, Whose, about, send};
use crate::sink::pcap;

/// Bytes of ring for one entry of the index (88 bytes, and up to 24 where chains begin): small packets fill the index before the ring.
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
    /// For each chain, the number of the entry before it.
    before: [u32; CHAINS],
}

/// By flow, by source, by destination.
const CHAINS: usize = 3;

/// The latest entry of each chain. Numbers of entries wrap; what is not in the ring any more ends its chain.
#[derive(Debug)]
struct Chains {
    hasher: Keyed,
    latest: Vec<[u32; CHAINS]>,
}

impl Chains {
    fn new(entries: usize) -> Self {
        Self {
            hasher: Keyed::default(),
            // Of what is not in the ring: the first entry has number 0, and none is behind it.
            latest: vec![[u32::MAX; CHAINS]; entries.next_power_of_two()],
        }
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & self.latest.len().wrapping_sub(1)
    }

    /// Where an entry's chains are.
    fn places(&self, entry: &Entry) -> [usize; CHAINS] {
        let host = |address| self.place(self.hasher.hash_one(address));
        [self.place(entry.flow), host(entry.src), host(entry.dst)]
    }

    /// Makes an entry the latest of its chains.
    fn add(&mut self, entry: &mut Entry, number: u32) {
        let places = self.places(entry);
        for (chain, place) in places.into_iter().enumerate() {
            let latest = self.latest.get_mut(place).and_then(|l| l.get_mut(chain));
            if let (Some(latest), Some(before)) = (latest, entry.before.get_mut(chain)) {
                *before = std::mem::replace(latest, number);
            }
        }
    }

    fn latest(&self, chain: usize, hash: u64) -> u32 {
        let latest = self.latest.get(self.place(hash));
        latest
            .and_then(|l| l.get(chain))
            .copied()
            .unwrap_or(u32::MAX)
    }
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
    /// Number of the oldest entry.
    first: u32,
    chains: Chains,
    end: usize,
    watched: Vec<Want>,
    /// Which of those watched want what.
    by_whose: HashMap<Whose, Vec<usize>, Keyed>,
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
            first: 0,
            chains: Chains::new(entries_max),
            end: 0,
            watched: Vec::new(),
            by_whose: HashMap::default(),
        }
    }

    /// Remembers the packets of a batch, and hands over those that are wanted.
    pub fn batch(&mut self, batch: &Batch) {
        let desk = Arc::clone(&self.desk);
        let mut changed = false;
        for want in desk.since(&mut self.seen) {
            changed = true;
            self.hand_over(&want);
            if want.until > batch.now {
                if self.watched.len() >= WATCHED_MAX {
                    self.watched.remove(0);
                }
                self.watched.push(want);
            }
        }
        let before = self.watched.len();
        self.watched.retain(|want| want.until > batch.now);
        if changed || self.watched.len() != before {
            self.by_whose.clear();
            for (at, want) in self.watched.iter().enumerate() {
                self.by_whose.entry(want.whose).or_default().push(at);
            }
        }
        let mut chunks: Vec<Option<Chunk>> = Vec::new();
        chunks.resize_with(self.watched.len(), || None);
        for packet in batch.iter() {
            if packet.frame.is_empty() || !packet.is_ip() {
                continue;
            }
            let flow = about(&packet.key());
            for at in self.wanting(flow, packet.src, packet.dst) {
                let (Some(want), Some(chunk)) = (self.watched.get(at), chunks.get_mut(at)) else {
                    continue;
                };
                let chunk = chunk.get_or_insert_with(|| Chunk {
                    file: Arc::clone(&want.file),
                    link: packet.link,
                    records: Vec::new(),
                });
                if chunk.link == packet.link {
                    pcap::record(&mut chunk.records, packet.ts, packet.frame);
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
                    before: [u32::MAX; CHAINS],
                },
                packet.frame,
            );
        }
        for chunk in chunks.into_iter().flatten() {
            send(&desk, &self.out, chunk);
        }
    }

    /// Which of those watched want a packet.
    fn wanting(&self, flow: u64, src: IpAddr, dst: IpAddr) -> impl Iterator<Item = usize> {
        let whose = [
            Some(Whose::Flow(flow)),
            Some(Whose::Host(src)),
            (dst != src).then_some(Whose::Host(dst)),
        ];
        let nobody = self.by_whose.is_empty();
        let lists = whose
            .into_iter()
            .flatten()
            .take_while(move |_| !nobody)
            .filter_map(|whose| self.by_whose.get(&whose));
        lists.flatten().copied()
    }

    fn forget_oldest(&mut self) {
        if self.entries.pop_front().is_some() {
            self.first = self.first.wrapping_add(1);
        }
    }

    /// Entries of a chain that `wanted` picks, by their place in the ring, the latest first.
    fn chain(&self, chain: usize, hash: u64, wanted: impl Fn(&Entry) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        let mut number = self.chains.latest(chain, hash);
        let mut newer = self.entries.len();
        loop {
            let at = number.wrapping_sub(self.first) as usize;
            // Beyond the ring, or numbers that wrapped: the chain ends.
            let Some(entry) = self.entries.get(at).filter(|_| at < newer) else {
                return found;
            };
            if wanted(entry) {
                found.push(at);
            }
            newer = at;
            number = entry.before.get(chain).copied().unwrap_or(u32::MAX);
        }
    }

    /// Entries that are somebody's, by their place in the ring, the oldest first.
    fn entries_of(&self, whose: Whose) -> Vec<usize> {
        let mut found = match whose {
            Whose::Flow(flow) => self.chain(0, flow, |e| e.flow == flow),
            Whose::Host(host) => {
                let hash = self.chains.hasher.hash_one(host);
                let mut found = self.chain(1, hash, |e| e.src == host);
                found.extend(self.chain(2, hash, |e| e.dst == host && e.src != host));
                found
            }
        };
        found.sort_unstable();
        found
    }

    fn remember(&mut self, mut entry: Entry, frame: &[u8]) {
        if frame.len() > self.bytes.len() {
            return;
        }
        if self.end + frame.len() > self.bytes.len() {
            // What lies behind is older than what begins at the front: it goes first.
            while self.entries.front().is_some_and(|e| e.start >= self.end) {
                self.forget_oldest();
            }
            self.end = 0;
        }
        let (start, end) = (self.end, self.end + frame.len());
        let overlaps = |e: &Entry| e.start < end && e.start + e.len > start;
        while self.entries.len() >= self.entries_max || self.entries.front().is_some_and(overlaps) {
            self.forget_oldest();
        }
        if let Some(room) = self.bytes.get_mut(start..end) {
            room.copy_from_slice(frame);
            entry.start = start;
            let number = self.first.wrapping_add(self.entries.len() as u32);
            self.chains.add(&mut entry, number);
            self.entries.push_back(entry);
            self.end = end;
        }
    }

    fn hand_over(&mut self, want: &Want) {
        let mut chunk: Option<Chunk> = None;
        let most = usize::try_from(self.desk.settings.file_bytes).unwrap_or(usize::MAX);
        for at in self.entries_of(want.whose) {
            let Some(entry) = self.entries.get(at) else {
                continue;
            };
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
            before: [u32::MAX; CHAINS],
        }
    }

    #[test]
    fn chains_find_what_a_walk_through_the_ring_finds() {
        let (out, _chunks) = sync_channel(8);
        let desk = Arc::new(Desk::new(EvidenceSettings::default()));
        let mut recorder = Recorder::new(desk, out, 64 * 1024);
        // Numbers wrap on the way.
        recorder.first = u32::MAX - 500;
        let mut random = 7u64;
        for n in 0..3_000u64 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(n);
            let host = |bits: u64| IpAddr::from([10, 0, 0, (bits % 9) as u8]);
            let packet = Entry {
                src: host(random >> 40),
                dst: host(random >> 50),
                ..entry(random >> 30 & 15, 60 + n as usize % 700)
            };
            recorder.remember(packet, &vec![0; packet.len]);
            if !n.is_multiple_of(50) {
                continue;
            }
            let wanted = (0..16).map(Whose::Flow);
            let hosts = (0..9).map(|i| Whose::Host(IpAddr::from([10, 0, 0, i])));
            for whose in wanted.chain(hosts) {
                let has = |e: &Entry| whose.has(e.flow, e.src, e.dst);
                let walk = recorder.entries.iter().enumerate();
                let walk: Vec<usize> = walk.filter(|(_, e)| has(e)).map(|(at, _)| at).collect();
                assert_eq!(recorder.entries_of(whose), walk, "{whose:?}");
            }
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
