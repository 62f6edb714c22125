//! Transactions: what a parser found, kept in order until it is inspected in both directions and logged.
//!
//! A flow may have thousands that wait for an answer. Who goes through them after each packet goes through those that
//! changed only ([`TxList::changed`]): whatever a session changes, it takes from its [`TxStore`], which notes it.

use std::any::Any;
use std::collections::VecDeque;

use super::Files;
use crate::packet::Direction;

/// What every transaction carries for the stages that handle it.
#[derive(Debug, Default)]
pub struct TxState {
    /// Number in its flow, from 0 (`tx_id`).
    pub id: u64,
    /// Events the parser raised, as numbers of [`super::Protocol::events`]; at most [`TxState::EVENTS_MAX`], no repeats.
    pub events: Vec<u8>,
    /// Events already written as `anomaly`.
    pub events_logged: usize,
    /// Per direction: whether something changed since detection last looked. Parsers set it by [`TxState::touch`].
    pub updated: [bool; 2],
    /// Per direction: detection is done with it.
    pub inspected: [bool; 2],
    /// Per direction: detection's own note of the progress up to which buffers were scanned.
    pub detect_progress: [u8; 2],
    /// Detection's memory of partly matched signatures per direction; opaque to parsers.
    pub detect: [Option<Box<dyn Any + Send>>; 2],
    /// Whether its record was written.
    pub logged: bool,
    /// Whether an alert fired on it.
    pub alerted: bool,
    /// By [`Watcher`]: it is on the list of those that changed.
    listed: u8,
}

impl TxState {
    /// Most events a transaction keeps.
    pub const EVENTS_MAX: usize = 32;

    /// Notes an event, once.
    pub fn raise(&mut self, event: u8) {
        if self.events.len() < Self::EVENTS_MAX && !self.events.contains(&event) {
            self.events.push(event);
            self.updated = [true; 2];
        }
    }

    /// For messages that only one side sends: detection has nothing to look for in the other direction.
    pub fn only(direction: Direction) -> Self {
        let mut state = Self::default();
        state.inspected[direction.reverse().index()] = true;
        state.updated[direction.index()] = true;
        state
    }

    /// Says that something changed in a direction.
    pub fn touch(&mut self, direction: Direction) {
        self.updated[direction.index()] = true;
    }
}

/// A request with its response, a message, a command with its reply: the unit of inspection and logging.
pub trait Transaction: Any + Send + std::fmt::Debug {
    /// Shared state.
    fn state(&self) -> &TxState;

    /// Shared state.
    fn state_mut(&mut self) -> &mut TxState;

    /// How far it has come in a direction: an index of [`super::Protocol::states`].
    fn progress(&self, direction: Direction) -> u8;

    /// Its kind, one of [`super::Protocol::kinds`]; empty when there are none.
    fn kind(&self) -> &'static str {
        ""
    }

    /// Files it carries in a direction.
    fn files(&self, _direction: Direction) -> Option<&Files> {
        None
    }

    /// Files it carries in a direction.
    fn files_mut(&mut self, _direction: Direction) -> Option<&mut Files> {
        None
    }

    /// Byte order of its numbers, for `byte_test: … dce` and its kin.
    fn is_little_endian(&self) -> bool {
        false
    }

    /// For fields, which need the protocol's own type.
    fn as_any(&self) -> &dyn Any;
}

/// A transaction that never is, for protocols that are followed but give rules nothing to look at beyond the stream.
#[derive(Debug)]
pub enum NoTransaction {}

impl Transaction for NoTransaction {
    fn state(&self) -> &TxState {
        match *self {}
    }
    fn state_mut(&mut self) -> &mut TxState {
        match *self {}
    }
    fn progress(&self, _direction: Direction) -> u8 {
        match *self {}
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The members of [`Transaction`] that most protocols write alike: the field `state`, and itself.
macro_rules! transaction_members {
    () => {
        fn state(&self) -> &$crate::app::TxState {
            &self.state
        }
        fn state_mut(&mut self) -> &mut $crate::app::TxState {
            &mut self.state
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    };
}
pub(super) use transaction_members;

/// The members of [`super::Session`] that most protocols write alike: the field `txs`, and itself.
macro_rules! session_members {
    () => {
        fn transactions(&self) -> &dyn $crate::app::TxList {
            &self.txs
        }
        fn transactions_mut(&mut self) -> &mut dyn $crate::app::TxList {
            &mut self.txs
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    };
    (frames) => {
        $crate::app::tx::session_members!();
        fn frame_notes(&mut self) -> Option<&mut $crate::app::FrameNotes> {
            Some(&mut self.frames)
        }
    };
}
pub(super) use session_members;

/// Who goes through the transactions of a session that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// Detection, in a direction.
    Detection(Direction),
    /// The writer of records, who also removes what is done with.
    Log,
}

impl Watcher {
    /// All of them.
    const ALL: [Self; 3] = [
        Self::Detection(Direction::ToServer),
        Self::Detection(Direction::ToClient),
        Self::Log,
    ];

    fn bit(self) -> u8 {
        match self {
            Self::Detection(Direction::ToServer) => 1,
            Self::Detection(Direction::ToClient) => 2,
            Self::Log => 4,
        }
    }
}

/// The live transactions of a session, oldest first, as detection and logging see them.
pub trait TxList {
    /// Number of live transactions.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The transaction at a position (0 = oldest).
    fn at(&self, position: usize) -> Option<&dyn Transaction>;
    /// The transaction at a position, to be changed: the log will look at it.
    fn at_mut(&mut self, position: usize) -> Option<&mut dyn Transaction>;
    /// The transaction at a position, for the log to note what it has written.
    fn at_written(&mut self, position: usize) -> Option<&mut dyn Transaction>;
    /// Where the transaction numbered `id` is, while it lives.
    fn position(&self, id: u64) -> Option<usize>;
    /// Replaces `ids` by the numbers, ascending, of the transactions that changed since the watcher last asked; by all
    /// when it did not ask under the same circumstances (any number it likes) or asks for all (none), or when too many
    /// changed to be listed.
    fn changed(&mut self, watcher: Watcher, circumstances: Option<u8>, ids: &mut Vec<u64>);
    /// Removes the transaction at a position (inspected and logged).
    fn remove(&mut self, position: usize);
    /// Transactions made so far.
    fn total(&self) -> u64;
}

/// Transactions listed as changed; when there are more, all are looked at.
const CHANGED_MAX: usize = 1024;

/// The transactions that changed since a watcher last asked.
#[derive(Debug)]
struct Changed {
    /// The first few numbers, without an allocation: most flows have one transaction at a time.
    near: [u64; 3],
    near_len: u8,
    further: Vec<u64>,
    /// Too many to be listed.
    all: bool,
    circumstances: Option<u8>,
}

impl Default for Changed {
    fn default() -> Self {
        Self {
            near: [0; 3],
            near_len: 0,
            further: Vec::new(),
            all: true,
            circumstances: None,
        }
    }
}

impl Changed {
    /// Lists a number that is not on the list.
    fn push(&mut self, id: u64) {
        if let Some(slot) = self.near.get_mut(usize::from(self.near_len)) {
            *slot = id;
            self.near_len += 1;
        } else if self.further.len() < CHANGED_MAX {
            self.further.push(id);
        } else {
            self.all = true;
        }
    }

    /// Gives the list away, and begins anew. False: it says nothing, everything may have changed.
    fn take(&mut self, circumstances: Option<u8>, ids: &mut Vec<u64>) -> bool {
        let same = !self.all && circumstances.is_some() && self.circumstances == circumstances;
        if same {
            ids.extend(self.near.iter().take(usize::from(self.near_len)));
            ids.extend_from_slice(&self.further);
        }
        self.near_len = 0;
        self.further.clear();
        self.all = false;
        self.circumstances = circumstances;
        same
    }
}

/// A [`TxList`] for one type of transaction.
#[derive(Debug)]
pub struct TxStore<T> {
    live: VecDeque<T>,
    total: u64,
    /// By [`Watcher`].
    changed: [Changed; 3],
    /// `total` when there were too many.
    given_up_at: u64,
}

impl<T> Default for TxStore<T> {
    fn default() -> Self {
        Self {
            live: VecDeque::new(),
            total: 0,
            changed: Default::default(),
            given_up_at: 0,
        }
    }
}

impl<T: Transaction> TxStore<T> {
    /// Adds a transaction, giving it the next number, and returns it.
    pub fn push(&mut self, mut tx: T) -> &mut T {
        let state = tx.state_mut();
        state.id = self.total;
        state.listed = 0;
        self.total += 1;
        self.live.push_back(tx);
        let last = self.live.len() - 1;
        self.note(last);
        &mut self.live[last]
    }

    /// The transaction numbered `id`, while it lives.
    pub fn by_id(&mut self, id: u64) -> Option<&mut T> {
        let position = self.position(id)?;
        self.note(position);
        self.live.get_mut(position)
    }

    /// The transaction at a position (0 = oldest) or, beyond the end, the newest; one must live.
    pub fn get_mut(&mut self, position: usize) -> &mut T {
        let position = position.min(self.live.len() - 1);
        self.note(position);
        &mut self.live[position]
    }

    /// The newest.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        let last = self.live.len().checked_sub(1)?;
        self.note(last);
        self.live.get_mut(last)
    }

    /// The oldest of which something is true.
    pub fn find_mut(&mut self, what: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let position = self.live.iter().position(what)?;
        self.note(position);
        self.live.get_mut(position)
    }

    /// The newest of which something is true.
    pub fn find_last_mut(&mut self, what: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let position = self.live.iter().rposition(what)?;
        self.note(position);
        self.live.get_mut(position)
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.live.iter()
    }

    /// All, oldest first, to be changed: all will be looked at, so this is not for finding one.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        for changed in &mut self.changed {
            changed.all = true;
        }
        self.live.iter_mut()
    }

    /// All, for upkeep that neither detection nor the log needs to hear of.
    pub fn tend(&mut self) -> impl Iterator<Item = &mut T> {
        self.live.iter_mut()
    }

    /// All, to be given up because there are too many; none until a further one was added, so that whoever goes on costs
    /// no walk a message.
    pub fn too_many(&mut self) -> impl Iterator<Item = &mut T> {
        let fresh = std::mem::replace(&mut self.given_up_at, self.total) != self.total;
        let count = if fresh { self.live.len() } else { 0 };
        for changed in &mut self.changed {
            changed.all |= fresh;
        }
        self.live.iter_mut().take(count)
    }

    /// A session changes the transaction at a position.
    fn note(&mut self, position: usize) {
        if let Some(tx) = self.live.get_mut(position) {
            let state = tx.state_mut();
            let (listed, id) = (std::mem::replace(&mut state.listed, 7), state.id);
            if listed != 7 {
                for (watcher, changed) in Watcher::ALL.iter().zip(&mut self.changed) {
                    if listed & watcher.bit() == 0 {
                        changed.push(id);
                    }
                }
            }
        }
    }
}

impl<T: Transaction> TxList for TxStore<T> {
    fn len(&self) -> usize {
        self.live.len()
    }
    fn at(&self, position: usize) -> Option<&dyn Transaction> {
        self.live.get(position).map(|tx| tx as &dyn Transaction)
    }
    fn at_mut(&mut self, position: usize) -> Option<&mut dyn Transaction> {
        let tx = self.live.get_mut(position)?;
        let state = tx.state_mut();
        if state.listed & Watcher::Log.bit() == 0 {
            state.listed |= Watcher::Log.bit();
            let [.., log] = &mut self.changed;
            log.push(state.id);
        }
        Some(tx)
    }
    fn at_written(&mut self, position: usize) -> Option<&mut dyn Transaction> {
        self.live
            .get_mut(position)
            .map(|tx| tx as &mut dyn Transaction)
    }
    fn position(&self, id: u64) -> Option<usize> {
        // Numbers ascend; as long as none was removed from the middle, they even follow each other.
        let first = self.live.front()?.state().id;
        let near = usize::try_from(id.checked_sub(first)?).ok()?;
        match self.live.get(near) {
            Some(tx) if tx.state().id == id => Some(near),
            _ => self.live.binary_search_by_key(&id, |tx| tx.state().id).ok(),
        }
    }
    fn changed(&mut self, watcher: Watcher, circumstances: Option<u8>, ids: &mut Vec<u64>) {
        ids.clear();
        let bit = watcher.bit();
        let at = usize::from(bit >> 1);
        let listed = self
            .changed
            .get_mut(at)
            .is_some_and(|changed| changed.take(circumstances, ids));
        if listed {
            ids.sort_unstable();
            for id in ids.iter() {
                if let Some(tx) = self.position(*id).and_then(|at| self.live.get_mut(at)) {
                    tx.state_mut().listed &= !bit;
                }
            }
        } else {
            for tx in &mut self.live {
                let state = tx.state_mut();
                state.listed &= !bit;
                ids.push(state.id);
            }
        }
    }
    fn remove(&mut self, position: usize) {
        self.live.remove(position);
    }
    fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Tx {
        state: TxState,
        answered: bool,
    }

    impl Transaction for Tx {
        transaction_members!();
        fn progress(&self, _direction: Direction) -> u8 {
            u8::from(self.answered)
        }
    }

    const SERVER: Watcher = Watcher::Detection(Direction::ToServer);
    const CLIENT: Watcher = Watcher::Detection(Direction::ToClient);

    fn asked(store: &mut TxStore<Tx>, watcher: Watcher) -> Vec<u64> {
        let mut ids = vec![99];
        store.changed(watcher, Some(0), &mut ids);
        ids
    }

    fn of(count: usize) -> TxStore<Tx> {
        let mut store = TxStore::default();
        for _ in 0..count {
            store.push(Tx::default());
        }
        for watcher in Watcher::ALL {
            assert_eq!(asked(&mut store, watcher).len(), count);
        }
        store
    }

    #[test]
    fn who_asks_again_hears_of_what_changed_since() {
        let mut store = of(4000);
        assert!(asked(&mut store, SERVER).is_empty());
        store.by_id(7).unwrap().answered = true;
        store.find_last_mut(|tx| !tx.answered).unwrap().answered = true;
        store.find_mut(|tx| !tx.answered).unwrap().answered = true;
        store.get_mut(7).answered = true;
        assert_eq!(asked(&mut store, SERVER), [0, 7, 3999]);
        assert!(asked(&mut store, SERVER).is_empty());
        store.push(Tx::default());
        // Each watcher has a list of its own.
        assert_eq!(asked(&mut store, SERVER), [4000]);
        assert_eq!(asked(&mut store, CLIENT), [0, 7, 3999, 4000]);
        assert_eq!(asked(&mut store, Watcher::Log), [0, 7, 3999, 4000]);
    }

    #[test]
    fn what_detection_notes_is_for_the_log_only() {
        let mut store = of(10);
        store.at_mut(3).unwrap().state_mut().inspected = [true; 2];
        store.at_mut(3).unwrap().state_mut().alerted = true;
        store.at_written(5).unwrap().state_mut().logged = true;
        assert!(asked(&mut store, SERVER).is_empty() && asked(&mut store, CLIENT).is_empty());
        assert_eq!(asked(&mut store, Watcher::Log), [3]);
    }

    #[test]
    fn other_circumstances_are_a_reason_to_look_at_all() {
        let mut store = of(3);
        let mut ids = Vec::new();
        store.changed(Watcher::Log, Some(1), &mut ids);
        assert_eq!(ids, [0, 1, 2]);
        store.changed(Watcher::Log, Some(1), &mut ids);
        assert!(ids.is_empty());
        assert_eq!(asked(&mut store, Watcher::Log), [0, 1, 2]);
    }

    #[test]
    fn more_changes_than_are_listed_mean_all() {
        let mut store = of(2 * CHANGED_MAX);
        for id in 0..CHANGED_MAX as u64 + 4 {
            store.by_id(id);
        }
        assert_eq!(asked(&mut store, SERVER).len(), 2 * CHANGED_MAX);
        store.by_id(1);
        assert_eq!(asked(&mut store, SERVER), [1]);
        for _ in store.iter_mut() {}
        assert_eq!(asked(&mut store, CLIENT).len(), 2 * CHANGED_MAX);
    }

    #[test]
    fn too_many_are_given_up_once() {
        let mut store = of(5);
        assert_eq!(store.too_many().count(), 5);
        assert_eq!(asked(&mut store, SERVER).len(), 5);
        assert_eq!(store.too_many().count(), 0);
        assert!(asked(&mut store, SERVER).is_empty());
        store.push(Tx::default());
        assert_eq!(store.too_many().count(), 6);
    }

    #[test]
    fn numbers_are_found_between_removed_ones() {
        let mut store = of(6);
        for at in [4, 1, 0] {
            store.by_id(at as u64);
            TxList::remove(&mut store, at);
        }
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6].map(|id| store.position(id)),
            [None, None, Some(0), Some(1), None, Some(2), None]
        );
        store.by_id(5);
        // Who was removed is still listed; there is nothing to look at any more.
        assert_eq!(asked(&mut store, Watcher::Log), [0, 1, 4, 5]);
    }
}
