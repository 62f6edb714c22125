//! Evidence: which packets are wanted, and how they come into files.
//!
//! ```text
//! report ──Clerk::file──▶ Desk (what is wanted) ──▶ every worker's Recorder ──chunks──▶ writer thread ──▶ files
//!                 └─▶ capture_file in the alert
//! ```
//!
//! The report thread names the file when it sees the alert, before a packet is in it: the alert does not wait for the disk.
//! Live, each worker remembers its latest packets in a ring ([`super::live`]'s recorder), so that what came before the
//! alert is there too. On replay the captures are read a second time, and nothing is remembered.
//! Limits: [`WANTED_MAX`] flows wanted at a time live, [`REPLAY_MAX`] on replay; the oldest gives way.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::feeder::Feeder;
use crate::alert::{Alert, Level};
use crate::capture::CaptureFile;
use crate::decode::DecodeSettings;
use crate::packet::{Batch, FlowKey, LinkType, Packet, Timestamp};
use crate::sink::evidence::{EvidenceSettings, EvidenceStore, name};
use crate::sink::pcap;

/// Flows wanted at a time.
const WANTED_MAX: usize = 1_024;
/// Flows wanted of a replay.
const REPLAY_MAX: usize = 65_536;
/// How long before an alert a packet of the same addresses and ports is taken for the same flow on replay, in seconds.
const BEFORE_SECS: u64 = 300;
/// Chunks on their way to the disk.
const CHUNKS: usize = 256;

/// A flow's number for evidence: the same in both directions, in every process.
pub fn about(key: &FlowKey) -> u64 {
    let ends = [(key.src, key.sport), (key.dst, key.dport)];
    let [a, b] = ends;
    let ends = if a <= b { [a, b] } else { [b, a] };
    foldhash::fast::FixedState::default().hash_one((ends, key.proto, key.vlan))
}

/// Which packets a file wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// A flow's, by [`about`].
    Flow(u64),
    /// A host's, where there is no one flow.
    Host(IpAddr),
}

impl Whose {
    /// Whether a packet is among them.
    pub fn has(&self, flow: u64, src: IpAddr, dst: IpAddr) -> bool {
        match *self {
            Self::Flow(wanted) => wanted == flow,
            Self::Host(host) => host == src || host == dst,
        }
    }
}

/// Packets that are wanted.
#[derive(Clone, Debug)]
pub struct Want {
    /// Whose.
    pub whose: Whose,
    /// The file, below the evidence folder.
    pub file: Arc<str>,
    /// When the alert came.
    pub since: Timestamp,
    /// Until when packets are added.
    pub until: Timestamp,
}

/// What is wanted: written by the report thread, read by every worker. A worker looks at one counter a batch.
#[derive(Debug)]
pub struct Desk {
    /// What is kept.
    pub settings: EvidenceSettings,
    next: AtomicU64,
    wants: Mutex<VecDeque<(u64, Want)>>,
    most: usize,
    /// Chunks that found no room.
    pub lost: AtomicU64,
}

impl Desk {
    /// With nothing wanted.
    pub fn new(settings: EvidenceSettings) -> Self {
        Self {
            settings,
            next: AtomicU64::new(0),
            wants: Mutex::default(),
            most: WANTED_MAX,
            lost: AtomicU64::new(0),
        }
    }

    /// For a replay, which looks at it when all is over.
    pub fn of_replay(settings: EvidenceSettings) -> Self {
        Self {
            most: REPLAY_MAX,
            ..Self::new(settings)
        }
    }

    fn want(&self, want: Want) {
        if let Ok(mut wants) = self.wants.lock() {
            let number = self.next.load(Ordering::Relaxed);
            if wants.len() >= self.most {
                wants.pop_front();
            }
            wants.push_back((number, want));
            self.next.store(number + 1, Ordering::Release);
        }
    }

    /// What was wanted since `seen`, which moves on.
    pub fn since(&self, seen: &mut u64) -> Vec<Want> {
        let next = self.next.load(Ordering::Acquire);
        if next == *seen {
            return Vec::new();
        }
        let from = std::mem::replace(seen, next);
        let wants = self.wants.lock();
        wants
            .map(|wants| {
                let new = wants.iter().filter(|(n, _)| *n >= from && *n < next);
                new.map(|(_, want)| want.clone()).collect()
            })
            .unwrap_or_default()
    }
}

/// Gives alerts their files.
#[derive(Debug)]
pub struct Clerk {
    desk: Arc<Desk>,
    level: Level,
    prefix: String,
    known: HashMap<Key, (Arc<str>, Timestamp)>,
    order: VecDeque<Key>,
}

type Key = (bool, u64);

impl Clerk {
    /// `prefix` is what the alerts put before the name of a file: its folder.
    pub fn new(desk: Arc<Desk>, level: Level, prefix: String) -> Self {
        Self {
            desk,
            level,
            prefix,
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The file of an alert, when it gets one. Alerts of one flow share it.
    pub fn file(&mut self, alert: &Alert<'_>) -> Option<String> {
        if alert.level < self.level {
            return None;
        }
        let key = &alert.finding.key;
        let one_flow = alert.detector.is_empty() || key.sport != 0 && key.dport != 0;
        let whose = if one_flow {
            Whose::Flow(about(key))
        } else {
            let host = [alert.attacker, alert.victim]
                .into_iter()
                .find(|a| !a.is_unspecified())?;
            Whose::Host(host)
        };
        let number = match whose {
            Whose::Flow(flow) => flow,
            Whose::Host(host) => foldhash::fast::FixedState::default().hash_one(host),
        };
        let known = (one_flow, number);
        let ts = alert.finding.ts;
        let after = u64::from(self.desk.settings.after_secs).saturating_mul(1_000_000_000);
        if let Some((file, until)) = self.known.get(&known)
            && ts <= *until
        {
            return Some(format!("{}/{file}", self.prefix));
        }
        let file: Arc<str> = name(ts, alert.gid, alert.sid, number).into();
        let until = ts.plus_nanos(after);
        if self
            .known
            .insert(known, (Arc::clone(&file), until))
            .is_none()
        {
            self.order.push_back(known);
        }
        if self.order.len() > WANTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let told = format!("{}/{file}", self.prefix);
        self.desk.want(Want {
            whose,
            file,
            since: ts,
            until,
        });
        Some(told)
    }
}

/// Packets on their way to the disk.
#[derive(Debug)]
pub struct Chunk {
    /// Their file.
    pub file: Arc<str>,
    /// Their link layer.
    pub link: LinkType,
    /// Records as a pcap file has them.
    pub records: Vec<u8>,
}

/// The thread that writes. It ends when every sender is gone.
#[derive(Debug)]
pub struct Writer {
    out: Option<SyncSender<Chunk>>,
    thread: Option<JoinHandle<EvidenceStore>>,
}

/// How often old files are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60);

impl Writer {
    /// Starts it.
    pub fn start(store: EvidenceStore) -> std::io::Result<Self> {
        let (out, chunks) = sync_channel(CHUNKS);
        let thread = std::thread::Builder::new()
            .name("evidence".to_owned())
            .spawn(move || write(store, &chunks))?;
        Ok(Self {
            out: Some(out),
            thread: Some(thread),
        })
    }

    /// The way in.
    pub fn sender(&self) -> Option<SyncSender<Chunk>> {
        self.out.clone()
    }

    /// Ends it; gives the first error. Workers that still hold the way in are not waited for.
    pub fn finish(mut self) -> Option<std::io::Error> {
        self.out = None;
        let thread = self.thread.take()?;
        let until = Instant::now() + Duration::from_secs(2);
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            return None;
        }
        thread.join().ok()?.error
    }
}

fn write(mut store: EvidenceStore, chunks: &Receiver<Chunk>) -> EvidenceStore {
    store.tidy(SystemTime::now());
    let mut tidied = Instant::now();
    loop {
        match chunks.recv_timeout(TIDY_EVERY) {
            Ok(chunk) => store.add(&chunk.file, chunk.link, &chunk.records),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return store,
        }
        if store.is_full() || tidied.elapsed() >= TIDY_EVERY {
            store.tidy(SystemTime::now());
            tidied = Instant::now();
        }
    }
}

/// Sends a chunk; never waits for the disk.
pub(super) fn send(desk: &Desk, out: &SyncSender<Chunk>, chunk: Chunk) {
    if chunk.records.is_empty() {
        return;
    }
    if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = out.try_send(chunk) {
        desk.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Replay: reads the captures again and writes what is wanted. Gives the number of files, and the first error.
pub fn extract(
    files: &[PathBuf],
    decode: &DecodeSettings,
    desk: &Desk,
    mut store: EvidenceStore,
) -> (usize, Option<std::io::Error>) {
    let wants = desk.since(&mut 0);
    if wants.is_empty() {
        return (0, None);
    }
    let mut wanted: HashMap<Whose, Vec<&Want>, crate::packet::Keyed> = HashMap::default();
    for want in &wants {
        wanted.entry(want.whose).or_default().push(want);
    }
    let mut feeder = Feeder::new(decode.clone());
    let mut batch = [Batch::with_capacity(1_024)];
    for file in files {
        let Ok(mut source) = CaptureFile::open(file) else {
            continue;
        };
        loop {
            let more = feeder.next(&mut source, &mut batch);
            for packet in batch.iter().flat_map(Batch::iter) {
                keep(&packet, &wanted, &mut store);
            }
            if !matches!(more, Ok(true)) {
                break;
            }
        }
    }
    store.tidy(SystemTime::now());
    (wants.len(), store.error)
}

fn keep(
    packet: &Packet<'_>,
    wanted: &HashMap<Whose, Vec<&Want>, crate::packet::Keyed>,
    store: &mut EvidenceStore,
) {
    if packet.frame.is_empty() || !packet.is_ip() {
        return;
    }
    let flow = Whose::Flow(about(&packet.key()));
    let (src, dst) = (Whose::Host(packet.src), Whose::Host(packet.dst));
    let lists = [flow, src, dst].map(|whose| wanted.get(&whose));
    for want in lists.into_iter().flatten().flatten() {
        let early = packet.ts.plus_nanos(BEFORE_SECS * 1_000_000_000) < want.since;
        if early || packet.ts > want.until {
            continue;
        }
        let mut record = Vec::with_capacity(packet.frame.len() + pcap::RECORD_BYTES);
        pcap::record(&mut record, packet.ts, packet.frame);
        store.add(&want.file, packet.link, &record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_has_one_number_in_both_directions() {
        let key = FlowKey {
            src: "192.0.2.1".parse().expect("address"),
            dst: "192.0.2.2".parse().expect("address"),
            sport: 1025,
            dport: 80,
            proto: 6,
            ..FlowKey::default()
        };
        assert_eq!(about(&key), about(&key.reversed()));
        assert_ne!(about(&key), about(&FlowKey { sport: 1026, ..key }));
    }

    #[test]
    fn a_reader_sees_each_want_once_and_the_desk_is_bounded() {
        let desk = Desk::new(EvidenceSettings::default());
        let want = |n: u64| Want {
            whose: Whose::Flow(n),
            file: "x".into(),
            since: Timestamp::default(),
            until: Timestamp::default(),
        };
        let mut seen = 0;
        desk.want(want(1));
        desk.want(want(2));
        assert_eq!(desk.since(&mut seen).len(), 2);
        assert!(desk.since(&mut seen).is_empty());
        for n in 0..5_000 {
            desk.want(want(n));
        }
        assert_eq!(desk.since(&mut seen).len(), WANTED_MAX);
    }
}
