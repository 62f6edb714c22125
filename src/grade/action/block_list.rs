//! The block list: bounded, with expiry, written by the report stage and by the operator, read by every worker.
//!
//! Readers take no lock: a slot is four atomic words. With nothing restricted, [`BlockList::passes`] is one load.
//! Writers share a book of what is in force, behind a lock that readers never touch.
//!
//! ```text
//! slot   key (keyed hash of whom)  |  until (ns of packet time, 0: free)  |  kind << 32 | per_ten_secs  |  next (ns)
//! ```
//!
//! A flooded service takes a SYN of an unknown client only when it comes again, as TCP sends it again after a second
//! (RFC 6298 §2): invented sources do not. What comes again is limited in rate. Known clients pass at once.
//!
//! Limits: [`CAPACITY`] restrictions in sets of eight; in a full set the one that ends first gives way and is counted. A
//! 64-bit keyed hash stands for an address: that two addresses of a network meet is as likely as one in 2^51.
//! Rates are counted by GCRA (ITU-T I.371 annex A): one word, no timer.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::Action;
use crate::detect::anomaly::table::{SetTable, Worth};
use crate::packet::Timestamp;

/// Restrictions in force at a time.
pub const CAPACITY: usize = 4_096;

const WAYS: usize = 8;

/// What a worker asks about.
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    /// Source of the packet.
    pub src: IpAddr,
    /// Its destination.
    pub dst: IpAddr,
    /// IP protocol.
    pub proto: u8,
    /// Source port, 0 when there is none.
    pub sport: u16,
    /// Destination port, 0 when there is none.
    pub dport: u16,
    /// TCP: its sequence number.
    pub seq: u32,
    /// Whether it opens a flow (TCP: a SYN without ACK; others: no flow known).
    pub opens: bool,
    /// Its time.
    pub now: Timestamp,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Let it through.
    Pass,
    /// Drop it: the source is blocked.
    Blocked,
    /// Drop it: over the rate.
    Limited,
    /// Drop it: first contact of a contained host, over the rate.
    Contained,
}

/// Why an action did not enter the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is nothing to do.
    Nothing,
    /// A writer failed while it held the book.
    Broken,
}

/// A restriction in force, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// What is done.
    pub action: Action,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Its incident, 0: set by the operator.
    pub incident: u64,
}

#[derive(Debug, Default)]
struct Slot {
    key: AtomicU64,
    until: AtomicU64,
    rule: AtomicU64,
    next: AtomicU64,
}

const DROP: u64 = 1;
const LIMIT: u64 = 2;
/// A limit that also ends requests held open.
const HELD: u64 = 5;
const SERVICE: u64 = 3;
const CONTAIN: u64 = 4;

/// See the module.
#[derive(Debug)]
pub struct BlockList {
    slots: Box<[Slot]>,
    /// Restrictions by source and by service: readers look only where there are some.
    sources: AtomicUsize,
    services: AtomicUsize,
    known: KnownPairs,
    /// SYNs of unknown clients towards flooded services; there from the first flood on.
    tries: OnceLock<Tries>,
    hasher: crate::packet::Keyed,
    book: Mutex<Vec<BlockEntry>>,
    /// How often sources were dropped, and when last.
    times: Mutex<SetTable<IpAddr, Times>>,
    evicted: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    count: u32,
    last: Timestamp,
}

impl Worth for Times {
    fn worth(&self) -> u64 {
        self.last.0
    }
}

impl Default for BlockList {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl BlockList {
    /// Room for so many restrictions (rounded up to whole sets of eight).
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self {
            slots: (0..sets * WAYS).map(|_| Slot::default()).collect(),
            sources: AtomicUsize::new(0),
            services: AtomicUsize::new(0),
            known: KnownPairs::new(),
            tries: OnceLock::new(),
            hasher: crate::packet::Keyed::default(),
            book: Mutex::new(Vec::new()),
            times: Mutex::new(SetTable::new(CAPACITY)),
            evicted: AtomicU64::new(0),
        }
    }

    /// Bytes it takes at most.
    pub fn bytes(&self) -> u64 {
        let slots = self.slots.len() * (size_of::<Slot>() + size_of::<BlockEntry>());
        let times = self.times.lock().map_or(0, |t| t.memory().bytes);
        slots as u64 + self.known.bytes() + times + TRIES as u64 * 8
    }

    /// How often a source was dropped before: each time is longer.
    pub fn times(&self, source: IpAddr) -> u32 {
        let times = self.times.lock();
        times.map_or(0, |mut t| t.get_mut(&source).map_or(0, |t| t.count))
    }

    /// Restrictions that gave way to others before their time.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Whether a packet may pass. Called per packet by every worker: no lock, no allocation.
    pub fn passes(&self, contact: &Contact) -> Passage {
        if self.sources.load(Ordering::Relaxed) > 0 {
            let passage = self.source(contact);
            if passage != Passage::Pass {
                return passage;
            }
        }
        if contact.opens && self.services.load(Ordering::Relaxed) > 0 {
            return self.service(contact);
        }
        Passage::Pass
    }

    fn service(&self, contact: &Contact) -> Passage {
        let mut again = None;
        for port in [contact.dport, 0] {
            let Some((slot, rule)) = self.find(self.key(contact.dst, port, SERVICE), contact.now)
            else {
                continue;
            };
            if self.knows(contact.src, contact.dst, false) {
                return Passage::Pass;
            }
            let again = *again.get_or_insert_with(|| contact.proto != 6 || self.again(contact));
            if !again || !slot.take(rule as u32, contact.now) {
                return Passage::Limited;
            }
        }
        Passage::Pass
    }

    /// Whether a SYN was here before, as its sender's timer sends it again.
    fn again(&self, contact: &Contact) -> bool {
        let (ends, ports) = ((contact.src, contact.dst), (contact.sport, contact.dport));
        let hash = self.hasher.hash_one((ends, ports, contact.seq));
        let tries = self.tries.get();
        tries.is_some_and(|tries| tries.again(hash, contact.now))
    }

    fn source(&self, contact: &Contact) -> Passage {
        let Some((slot, rule)) = self.find(self.key(contact.src, 0, DROP), contact.now) else {
            return Passage::Pass;
        };
        match rule >> 32 {
            DROP => Passage::Blocked,
            LIMIT | HELD if contact.opens && !slot.take(rule as u32, contact.now) => {
                Passage::Limited
            }
            // Names and addresses: without DNS and DHCP nothing that is allowed works either.
            CONTAIN
                if contact.opens
                    && !matches!(contact.dport, 53 | 67 | 68 | 546 | 547)
                    && !self.knows(contact.src, contact.dst, true)
                    && !slot.take(rule as u32, contact.now) =>
            {
                Passage::Contained
            }
            _ => Passage::Pass,
        }
    }

    /// Whether requests that a source holds open itself are to be ended.
    pub fn ends_held(&self, source: IpAddr, now: Timestamp) -> bool {
        self.sources.load(Ordering::Relaxed) > 0
            && self
                .find(self.key(source, 0, DROP), now)
                .is_some_and(|(_, rule)| rule >> 32 == HELD)
    }

    /// Puts an action into force, or prolongs it.
    pub fn apply(&self, action: Action, incident: u64, now: Timestamp) -> Result<(), Refused> {
        let Some((address, port)) = action.target() else {
            return Err(Refused::Nothing);
        };
        let (kind, rate) = match action {
            Action::None => return Err(Refused::Nothing),
            Action::DropSource { .. } => (DROP, 0),
            Action::LimitSource {
                per_ten_secs,
                ends_held,
                ..
            } => (if ends_held { HELD } else { LIMIT }, per_ten_secs),
            Action::LimitService { per_ten_secs, .. } => (SERVICE, per_ten_secs),
            Action::Contain { per_ten_secs, .. } => (CONTAIN, per_ten_secs),
        };
        if let (Action::DropSource { .. }, Ok(mut times)) = (action, self.times.lock())
            && let Some(times) = times.entry(address, Times::default)
        {
            // Prolonging is not another time.
            times.count += u32::from(now.secs_since(times.last) > u64::from(action.secs()));
            times.last = now;
        }
        if kind == SERVICE {
            self.tries.get_or_init(Tries::new);
        }
        let until = now.plus_nanos(u64::from(action.secs()) * 1_000_000_000);
        let mut book = self.book.lock().map_err(|_| Refused::Broken)?;
        let key = self.key(address, port, kind);
        let set = self.set(key);
        let at = set
            .iter()
            .position(|s| s.key.load(Ordering::Relaxed) == key)
            .or_else(|| {
                set.iter()
                    .position(|s| s.until.load(Ordering::Relaxed) <= now.0)
            })
            .or_else(|| {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                let ends = |s: &Slot| s.until.load(Ordering::Relaxed);
                (0..set.len()).min_by_key(|i| set.get(*i).map_or(u64::MAX, ends))
            });
        let Some(slot) = at.and_then(|at| set.get(at)) else {
            return Err(Refused::Nothing);
        };
        let old = slot.key.load(Ordering::Relaxed);
        // Free first: a reader between the stores sees a restriction that is over.
        slot.until.store(0, Ordering::Release);
        slot.rule
            .store(kind << 32 | u64::from(rate), Ordering::Release);
        slot.key.store(key, Ordering::Release);
        slot.until.store(until.0, Ordering::Release);
        book.retain(|e| e.until > now && ![key, old].contains(&self.key_of(&e.action)));
        if book.len() >= self.slots.len() {
            book.remove(0);
        }
        book.push(BlockEntry {
            action,
            since: now,
            until,
            incident,
        });
        self.count(&book);
        Ok(())
    }

    /// Lifts what restricts an address (and a port of it; 0: whatever is there). Says whether there was something.
    pub fn remove(&self, address: IpAddr, port: u16) -> bool {
        let Ok(mut book) = self.book.lock() else {
            return false;
        };
        let before = book.len();
        let mut gone = Vec::new();
        book.retain(|e| {
            let hit = e
                .action
                .target()
                .is_some_and(|(a, p)| a == address && (port == 0 || p == port));
            if hit {
                gone.push(e.action);
            }
            !hit
        });
        for action in gone {
            let key = self.key_of(&action);
            for slot in self.set(key) {
                if slot.key.load(Ordering::Relaxed) == key {
                    slot.until.store(0, Ordering::Release);
                }
            }
        }
        self.count(&book);
        book.len() != before
    }

    /// What is in force.
    pub fn entries(&self, now: Timestamp) -> Vec<BlockEntry> {
        let book = self.book.lock();
        book.map(|b| b.iter().filter(|e| e.until > now).cloned().collect())
            .unwrap_or_default()
    }

    /// Forgets what is over, so that readers need not look. To be called now and then (every second).
    pub fn sweep(&self, now: Timestamp) {
        if let Ok(mut book) = self.book.lock() {
            book.retain(|e| e.until > now);
            self.count(&book);
        }
        self.known.turn(now);
    }

    /// Two hosts completed a handshake, client first: later they pass a containment or a limit.
    pub fn learn(&self, client: IpAddr, server: IpAddr) {
        self.known.insert(self.pair(client, server));
    }

    /// Whether `client` completed a handshake with `server`; `before`: more than [`EPOCH_SECS`] ago or so, so that what
    /// a worm has just infected does not count.
    pub fn knows(&self, client: IpAddr, server: IpAddr, before: bool) -> bool {
        self.known.contains(self.pair(client, server), before)
    }

    fn pair(&self, client: IpAddr, server: IpAddr) -> u64 {
        self.hasher.hash_one((client, server))
    }

    fn count(&self, book: &[BlockEntry]) {
        let services = book
            .iter()
            .filter(|e| matches!(e.action, Action::LimitService { .. }))
            .count();
        self.services.store(services, Ordering::Release);
        self.sources.store(book.len() - services, Ordering::Release);
    }

    /// Services have keys of their own; everything else is about a source.
    fn key(&self, address: IpAddr, port: u16, kind: u64) -> u64 {
        self.hasher.hash_one((address, port, kind == SERVICE)) | 1
    }

    fn key_of(&self, action: &Action) -> u64 {
        let kind = if matches!(action, Action::LimitService { .. }) {
            SERVICE
        } else {
            DROP
        };
        action
            .target()
            .map_or(0, |(address, port)| self.key(address, port, kind))
    }

    fn set(&self, key: u64) -> &[Slot] {
        let sets = (self.slots.len() / WAYS).max(1) as u64;
        let first = ((key >> 8) % sets) as usize * WAYS;
        self.slots.get(first..first + WAYS).unwrap_or_default()
    }

    fn find(&self, key: u64, now: Timestamp) -> Option<(&Slot, u64)> {
        let slot = self
            .set(key)
            .iter()
            .find(|s| s.key.load(Ordering::Acquire) == key)?;
        let (until, rule) = (
            slot.until.load(Ordering::Acquire),
            slot.rule.load(Ordering::Acquire),
        );
        // The slot may have changed hands between the loads.
        (until > now.0 && slot.key.load(Ordering::Acquire) == key).then_some((slot, rule))
    }
}

/// Bursts that a rate lets through at once, in emissions.
const BURST: u64 = 4;

impl Slot {
    /// Takes one of `per_ten_secs`; false when the rate is used up.
    fn take(&self, per_ten_secs: u32, now: Timestamp) -> bool {
        let step = 10_000_000_000 / u64::from(per_ten_secs.max(1));
        let take = |next: u64| {
            let due = next.max(now.0);
            (due - now.0 <= step.saturating_mul(BURST)).then(|| due.saturating_add(step))
        };
        self.next
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok()
    }
}

/// SYNs that are remembered: 8 MiB. At 200,000 a second four of five are still there after a second.
const TRIES: usize = 1 << 20;
/// Milliseconds between a SYN and the same SYN again: the timer begins at one second (RFC 6298 §2), with some stacks
/// sooner, and doubles.
const AGAIN_MS: std::ops::RangeInclusive<u32> = 200..=10_000;

/// SYNs by hash: `tag << 32 | milliseconds`. A newer one takes the place of an older one.
#[derive(Debug)]
struct Tries(Box<[AtomicU64]>);

impl Tries {
    fn new() -> Self {
        Self((0..TRIES).map(|_| AtomicU64::new(0)).collect())
    }

    fn again(&self, hash: u64, now: Timestamp) -> bool {
        let Some(slot) = self.0.get(hash as usize % TRIES) else {
            return false;
        };
        let (tag, ms) = (hash >> 32, (now.0 / 1_000_000) as u32);
        let old = slot.load(Ordering::Relaxed);
        let age = ms.wrapping_sub(old as u32);
        if old >> 32 == tag && age <= *AGAIN_MS.end() {
            // The time of the first stays: the same SYN passes several places of one sensor.
            return AGAIN_MS.contains(&age);
        }
        slot.store(tag << 32 | u64::from(ms), Ordering::Relaxed);
        false
    }
}

/// Seconds of packet time after which a pair of hosts counts as known from before.
pub const EPOCH_SECS: u64 = 10;
/// Bits of each of the two filters: 128 KiB each.
const BITS: u64 = 1 << 20;
/// Pairs a filter takes; beyond it one in 80 strangers would be taken for known, so that it begins anew.
const PAIRS_MAX: u64 = 150_000;

/// Pairs of hosts in two Bloom filters: those of this epoch, and those before it.
#[derive(Debug)]
struct KnownPairs {
    young: Box<[AtomicU64]>,
    old: Box<[AtomicU64]>,
    pairs: AtomicU64,
    epoch: AtomicU64,
}

impl KnownPairs {
    fn new() -> Self {
        let words = || (0..BITS / 64).map(|_| AtomicU64::new(0)).collect();
        Self {
            young: words(),
            old: words(),
            pairs: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    fn bytes(&self) -> u64 {
        BITS / 4
    }

    fn bits(hash: u64) -> [(usize, u64); 4] {
        // Double hashing (Kirsch and Mitzenmacher 2006).
        let (a, b) = (hash, hash.rotate_left(32) | 1);
        [0u64, 1, 2, 3].map(|i| {
            let bit = a.wrapping_add(b.wrapping_mul(i)) >> 20 & (BITS - 1);
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn insert(&self, hash: u64) {
        let mut new = false;
        for (word, bit) in Self::bits(hash) {
            // Every packet of a flow says it again: a look is cheaper than a write that all workers wait for.
            if let Some(word) = self.young.get(word)
                && word.load(Ordering::Relaxed) & bit == 0
            {
                new |= word.fetch_or(bit, Ordering::Relaxed) & bit == 0;
            }
        }
        if new {
            self.pairs.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn contains(&self, hash: u64, before: bool) -> bool {
        let holds = |filter: &[AtomicU64]| {
            Self::bits(hash).iter().all(|(word, bit)| {
                filter
                    .get(*word)
                    .is_some_and(|w| w.load(Ordering::Relaxed) & bit != 0)
            })
        };
        holds(&self.old) || (!before && holds(&self.young))
    }

    /// At the end of an epoch the young are old.
    fn turn(&self, now: Timestamp) {
        let epoch = now.secs() / EPOCH_SECS;
        if self.epoch.swap(epoch, Ordering::Relaxed) == epoch {
            return;
        }
        let full = self.pairs.load(Ordering::Relaxed) > PAIRS_MAX;
        if full {
            self.pairs.store(0, Ordering::Relaxed);
        }
        for (young, old) in self.young.iter().zip(&self.old) {
            let bits = young.swap(0, Ordering::Relaxed);
            if full {
                old.store(bits, Ordering::Relaxed);
            } else if bits != 0 {
                old.fetch_or(bits, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn contact(src: u8, dst: u8, dport: u16, ms: u64) -> Contact {
        Contact {
            src: ip(src),
            dst: ip(dst),
            proto: 6,
            sport: 40_000,
            dport,
            seq: 1,
            opens: true,
            now: Timestamp(1_000_000_000_000 + ms * 1_000_000),
        }
    }

    const START: Timestamp = Timestamp(1_000_000_000_000);

    #[test]
    fn a_blocked_source_is_dropped_until_its_time_is_over_or_it_is_lifted() {
        let list = BlockList::default();
        assert_eq!(list.passes(&contact(1, 2, 80, 0)), Passage::Pass);
        let drop = Action::DropSource {
            address: ip(1),
            secs: 10,
        };
        list.apply(drop, 7, START).expect("applied");
        assert_eq!(list.passes(&contact(1, 2, 80, 9_999)), Passage::Blocked);
        assert_eq!(list.passes(&contact(3, 2, 80, 0)), Passage::Pass);
        assert_eq!(list.passes(&contact(1, 2, 80, 10_000)), Passage::Pass);
        assert_eq!(list.entries(START).len(), 1);
        assert!(list.remove(ip(1), 0) && !list.remove(ip(1), 0));
        assert_eq!(list.passes(&contact(1, 2, 80, 5)), Passage::Pass);
    }

    #[test]
    fn held_requests_are_ended_of_who_is_limited_for_them_and_of_nobody_else() {
        let list = BlockList::new(64);
        let limit = |last, ends_held| Action::LimitSource {
            address: ip(last),
            per_ten_secs: 20,
            secs: 60,
            ends_held,
        };
        let now = Timestamp::new(1_000, 0);
        list.apply(limit(1, true), 1, now).unwrap();
        list.apply(limit(2, false), 2, now).unwrap();
        let ends = |last, secs| list.ends_held(ip(last), Timestamp::new(secs, 0));
        assert!(ends(1, 1_010) && !ends(2, 1_010) && !ends(3, 1_010));
        assert!(!ends(1, 1_060), "it ends by itself");
        let opens = |ms| contact(1, 9, 80, ms);
        let passed = (0..40).filter(|_| list.passes(&opens(1)) == Passage::Pass);
        assert!(passed.count() <= 21, "new connections are limited, too");
    }

    #[test]
    fn containment_lets_old_peers_and_names_through_and_few_first_contacts() {
        let list = BlockList::default();
        list.sweep(START);
        list.learn(ip(1), ip(50));
        list.sweep(Timestamp(START.0 + 20_000_000_000));
        list.learn(ip(1), ip(51));
        let contain = Action::Contain {
            host: ip(1),
            per_ten_secs: 10,
            secs: 600,
        };
        list.apply(contain, 1, START).expect("applied");
        let passed = (100..200)
            .filter(|d| list.passes(&contact(1, *d, 445, 0)) == Passage::Pass)
            .count();
        assert!((1..=6).contains(&passed), "{passed}");
        assert_eq!(list.passes(&contact(1, 50, 445, 0)), Passage::Pass);
        assert_eq!(list.passes(&contact(1, 60, 53, 0)), Passage::Pass);
        // A peer made just before the alarm may be a victim.
        assert_eq!(list.passes(&contact(1, 51, 445, 0)), Passage::Contained);
        let answer = Contact {
            opens: false,
            ..contact(1, 77, 40_000, 0)
        };
        assert_eq!(list.passes(&answer), Passage::Pass);
    }

    #[test]
    fn a_service_under_flood_serves_known_clients() {
        let list = BlockList::default();
        list.learn(ip(9), ip(2));
        let limit = Action::LimitService {
            address: ip(2),
            port: 80,
            per_ten_secs: 100,
            secs: 60,
        };
        list.apply(limit, 1, START).expect("applied");
        let passed = (0..=250u8)
            .filter(|s| *s != 9 && list.passes(&contact(*s, 2, 80, 0)) == Passage::Pass)
            .count();
        assert!(passed < 10, "{passed}");
        assert_eq!(list.passes(&contact(9, 2, 80, 1)), Passage::Pass);
        assert_eq!(list.passes(&contact(3, 2, 443, 1)), Passage::Pass);
    }

    #[test]
    fn an_unknown_client_of_a_flooded_service_passes_when_its_syn_comes_again() {
        let list = BlockList::default();
        let limit = Action::LimitService {
            address: ip(2),
            port: 80,
            per_ten_secs: 100,
            secs: 60,
        };
        list.apply(limit, 1, START).expect("applied");
        assert_eq!(list.passes(&contact(5, 2, 80, 0)), Passage::Limited);
        assert_eq!(list.passes(&contact(5, 2, 80, 20)), Passage::Limited);
        assert_eq!(list.passes(&contact(5, 2, 80, 1_000)), Passage::Pass);
        let other = Contact {
            seq: 2,
            ..contact(5, 2, 80, 1_000)
        };
        assert_eq!(list.passes(&other), Passage::Limited, "not the same SYN");
        let udp = Contact {
            proto: 17,
            ..contact(6, 2, 80, 1_000)
        };
        assert_eq!(list.passes(&udp), Passage::Pass, "the rate alone limits");
    }

    #[test]
    fn a_flood_of_restrictions_takes_no_more_memory() {
        let list = BlockList::new(64);
        let bytes = list.bytes();
        for i in 0..10_000u32 {
            let address = IpAddr::from(i.to_be_bytes());
            let _ = list.apply(Action::DropSource { address, secs: 60 }, 1, START);
        }
        assert_eq!(list.bytes(), bytes);
        assert!(list.entries(START).len() <= 64 && list.evicted() > 9_000);
    }
}
