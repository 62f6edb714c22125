//! Transactions: what a parser found, kept in order until it is inspected in both directions and logged.

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
    /// The transaction at a position.
    fn at_mut(&mut self, position: usize) -> Option<&mut dyn Transaction>;
    /// Removes the transaction at a position (inspected and logged).
    fn remove(&mut self, position: usize);
    /// Transactions made so far.
    fn total(&self) -> u64;
}

/// A [`TxList`] for one type of transaction.
#[derive(Debug)]
pub struct TxStore<T> {
    live: VecDeque<T>,
    total: u64,
}

impl<T> Default for TxStore<T> {
    fn default() -> Self {
        Self {
            live: VecDeque::new(),
            total: 0,
        }
    }
}

impl<T: Transaction> TxStore<T> {
    /// Adds a transaction, giving it the next number, and returns it.
    pub fn push(&mut self, mut tx: T) -> &mut T {
        tx.state_mut().id = self.total;
        self.total += 1;
        self.live.push_back(tx);
        let last = self.live.len() - 1;
        &mut self.live[last]
    }

    /// The transaction numbered `id`, while it lives.
    pub fn by_id(&mut self, id: u64) -> Option<&mut T> {
        self.live.iter_mut().find(|tx| tx.state().id == id)
    }

    /// The transaction at a position (0 = oldest) or, beyond the end, the newest; one must live.
    pub fn get_mut(&mut self, position: usize) -> &mut T {
        let last = self.live.len() - 1;
        &mut self.live[position.min(last)]
    }

    /// The newest.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.live.back_mut()
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.live.iter()
    }

    /// All, oldest first.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.live.iter_mut()
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
        self.live
            .get_mut(position)
            .map(|tx| tx as &mut dyn Transaction)
    }
    fn remove(&mut self, position: usize) {
        self.live.remove(position);
    }
    fn total(&self) -> u64 {
        self.total
    }
}
