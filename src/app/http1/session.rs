//! The parser of one HTTP/1.x connection: two streams that are read apart, and the transactions that join them.
//!
//! Each direction keeps at most one undecided line or header field ([`FIELD_MAX`] bytes); bodies are handed on at once.
//! How bytes are cut into packets does not matter, with one exception that the protocol forces: what follows a message
//! that is complete is its body when it comes with it, and the next message when it comes later.

use std::any::Any;

use super::event::Event;
use super::request::RequestState;
use super::response::ResponseState;
use super::tx::{Status, Tx, progress};
use crate::app::{
    AppProto, FlowInfo, FrameNotes, Input, Limits, Note, Notes, Parsed, Session, TxList, TxStore,
};
use crate::packet::{Direction, Timestamp};

/// Longest line or header field, in bytes (libhtp's default `meta-field-limit`).
pub(super) const FIELD_MAX: usize = 18_000;

/// Live transactions of one connection.
pub(super) const TX_MAX: usize = 512;

/// Bytes of lines, headers and bodies that a connection's live transactions hold before no further one is opened.
const HELD_MAX: usize = 4 << 20;

/// Events raised in one connection; the last one says that no more are told.
const EVENTS_MAX: u16 = 512;

/// How a run over the data of one direction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// As far as it goes for now.
    Wait,
    /// The other direction has to come first (CONNECT).
    Suspend,
    /// The stream is not HTTP any more.
    Error,
    /// Another protocol follows.
    Switch(Option<AppProto>),
}

/// What both directions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    pub txs: TxStore<Tx>,
    /// Number of the transaction whose request is (or will be) read.
    pub request_id: u64,
    /// Number of the transaction whose response is (or will be) read.
    pub response_id: u64,
    /// A request is being read.
    pub request_busy: bool,
    /// A request was read as far as it goes, but what comes with it is not decided.
    pub request_finished: bool,
    /// Responses complete so far.
    pub responses: u64,
    /// Both directions carry something else (CONNECT, Upgrade): nothing more is read.
    pub tunnel: bool,
    /// The client's stream has failed.
    pub request_error: bool,
    /// Compression bombs seen.
    pub bombs: u8,
    /// Files seen.
    pub files: u32,
    pub inline: bool,
    /// Requests (0) and responses (1), for rules on frames.
    pub frames: FrameNotes,
    /// Bytes of the data in hand that were held back from earlier input.
    pub before: usize,
    events: u16,
}

impl Shared {
    /// Notes that a message begins, or ended, at a place of the data in hand.
    pub(super) fn note_frame(&mut self, direction: Direction, at: usize, idle: (bool, bool)) {
        if !self.frames.wanted {
            return;
        }
        let at = at.saturating_sub(self.before);
        let (kind, id) = match direction {
            Direction::ToServer => (0, self.request_id),
            Direction::ToClient => (1, self.response_id),
        };
        match idle {
            (true, false) => self.frames.begin(kind, at, Some(id)),
            (false, true) => self.frames.end(kind, at),
            _ => {}
        }
    }

    /// The transaction of a number.
    pub(super) fn tx(&mut self, id: u64) -> Option<&mut Tx> {
        if self.txs.last_mut().is_some_and(|t| t.state.id == id) {
            return self.txs.last_mut();
        }
        self.txs.by_id(id)
    }

    /// A new transaction; none when there are too many.
    pub(super) fn open(&mut self) -> Option<&mut Tx> {
        if self.txs.len() >= TX_MAX || self.txs.iter().map(Tx::held_bytes).sum::<usize>() > HELD_MAX
        {
            return None;
        }
        let limits = [
            u64::from(self.limits.request_body_bytes),
            u64::from(self.limits.response_body_bytes),
        ];
        Some(self.txs.push(Tx {
            inline: self.inline,
            limits,
            digests: self.limits.file_digests,
            ..Tx::default()
        }))
    }

    /// The current request is complete.
    pub(super) fn complete_request(&mut self) {
        let id = self.request_id;
        self.request_finished = false;
        if let Some(tx) = self.tx(id)
            && tx.request.progress != progress::COMPLETE
        {
            tx.request.progress = progress::COMPLETE;
            tx.raise_flags();
            tx.close_file(Direction::ToServer);
            tx.state.touch(Direction::ToServer);
        }
        self.request_id = id + 1;
    }

    /// Raises an event on a transaction.
    pub(super) fn raise(&mut self, id: u64, event: Event) {
        if self.events >= EVENTS_MAX {
            return;
        }
        self.events += 1;
        let event = if self.events == EVENTS_MAX {
            Event::TooManyWarnings
        } else {
            event
        };
        let id = if self.txs.total() == 0 {
            0
        } else {
            id.min(self.txs.total() - 1)
        };
        if let Some(tx) = self.tx(id) {
            tx.state.raise(event as u8);
        }
    }
}

/// One direction's undecided bytes.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    failed: bool,
    closed: bool,
}

/// The parser's state for one connection.
#[derive(Debug)]
pub(super) struct Http1 {
    pub shared: Shared,
    request: RequestState,
    response: ResponseState,
    held: [Held; 2],
    notes: Notes,
    /// Requests and answers told to the detectors.
    told: [u64; 2],
}

impl Http1 {
    /// For a new connection.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            shared: Shared {
                limits: *limits,
                txs: TxStore::default(),
                request_id: 0,
                response_id: 0,
                request_busy: false,
                request_finished: false,
                responses: 0,
                tunnel: false,
                request_error: false,
                bombs: 0,
                files: 0,
                inline: false,
                frames: FrameNotes::default(),
                before: 0,
                events: 0,
            },
            request: RequestState::default(),
            response: ResponseState::default(),
            held: [Held::default(), Held::default()],
            notes: Notes::default(),
            told: [0; 2],
        }
    }

    fn run(&mut self, direction: Direction, data: &[u8], closed: bool) -> (usize, Run) {
        match direction {
            Direction::ToServer => self.request.run(&mut self.shared, data, closed),
            Direction::ToClient => {
                let result = self.response.run(&mut self.shared, data, closed);
                if std::mem::take(&mut self.response.ends_request) {
                    self.request.body_refused(&mut self.shared);
                }
                result
            }
        }
    }

    /// Takes bytes; answers how many and how it went.
    fn feed(&mut self, direction: Direction, bytes: &[u8], closed: bool) -> (usize, Run) {
        let Some(held) = self.held.get_mut(direction.index()) else {
            return (0, Run::Error);
        };
        let mut buffer = std::mem::take(&mut held.bytes);
        let before = buffer.len();
        self.shared.before = before;
        let (taken, run) = if buffer.is_empty() {
            self.run(direction, bytes, closed)
        } else {
            buffer.extend_from_slice(bytes);
            self.run(direction, &buffer, closed)
        };
        if run == Run::Wait {
            if before == 0 {
                buffer.extend_from_slice(bytes.get(taken..).unwrap_or_default());
            } else {
                buffer.drain(..taken.min(buffer.len()));
            }
            if let Some(held) = self.held.get_mut(direction.index()) {
                held.bytes = buffer;
            }
            return (bytes.len(), run);
        }
        (taken.saturating_sub(before).min(bytes.len()), run)
    }

    /// Tells the detectors of requests that are complete and of answers that have begun.
    fn tell(&mut self, now: Timestamp) {
        let begun = |tx: &Tx| u64::from(tx.response.progress > 0);
        let answer = self.shared.response_id;
        let answered = answer + self.shared.tx(answer).map_or(0, |tx| begun(tx));
        let [asked, replied] = &mut self.told;
        // Bounded by what one piece of input can hold; the notes have their own bound.
        while *asked < self.shared.request_id {
            *asked += 1;
            self.notes.asked(now);
        }
        while *replied < answered {
            let failed = self
                .shared
                .tx(*replied)
                .is_some_and(|tx| matches!(tx.response.status, Status::Code(500..)));
            *replied += 1;
            self.notes.replied(now, failed);
        }
    }

    fn touch(&mut self, direction: Direction) {
        let id = match direction {
            Direction::ToServer => self.shared.request_id,
            Direction::ToClient => self.shared.response_id,
        };
        if let Some(tx) = self.shared.tx(id) {
            tx.state.touch(direction);
        }
    }
}

impl Session for Http1 {
    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        self.shared.inline = flow.inline;
        if self.shared.tunnel {
            return Parsed::All;
        }
        let index = direction.index();
        if self.held.get(index).is_none_or(|h| h.failed) {
            return Parsed::Error;
        }
        let id = match direction {
            Direction::ToServer => self.shared.request_id,
            Direction::ToClient => self.shared.response_id,
        };
        if let Some(tx) = self.shared.tx(id) {
            tx.note_inspection(direction);
        }
        if input.gap > 0 {
            match direction {
                Direction::ToServer => self.request.gap(&mut self.shared, input.gap),
                Direction::ToClient => self.response.gap(&mut self.shared, input.gap),
            }
        }
        let (taken, run) = self.feed(direction, input.bytes, false);
        self.touch(direction);
        self.tell(flow.ts);
        match run {
            Run::Wait => {}
            Run::Suspend => {
                // Blank lines after a CONNECT belong to it; anything else is for whoever the answer names.
                let rest = input.bytes.get(taken..).unwrap_or_default();
                if !rest.iter().all(|b| b.is_ascii_whitespace()) {
                    return Parsed::NeedMore {
                        consumed: taken,
                        needed: 0,
                    };
                }
            }
            Run::Error => {
                if let Some(held) = self.held.get_mut(index) {
                    held.failed = true;
                }
                self.shared.request_error |= direction == Direction::ToServer;
                return Parsed::Error;
            }
            Run::Switch(to) => {
                self.shared.tunnel = true;
                return Parsed::Switch {
                    consumed: taken,
                    to,
                };
            }
        }
        if input.end && !self.held.get(index).is_none_or(|h| h.closed) {
            if let Some(held) = self.held.get_mut(index) {
                held.closed = true;
            }
            let (_, run) = self.feed(direction, &[], true);
            self.touch(direction);
            for tx in self.shared.txs.iter_mut() {
                tx.end(direction);
            }
            if run == Run::Error {
                return Parsed::Error;
            }
        }
        Parsed::All
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.shared.frames)
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }

    fn whole_messages(&self, direction: Direction) -> Option<u64> {
        Some(match direction {
            Direction::ToServer => self.shared.request_id + u64::from(self.shared.request_finished),
            Direction::ToClient => self.shared.responses,
        })
    }

    fn transactions(&self) -> &dyn TxList {
        &self.shared.txs
    }

    fn transactions_mut(&mut self) -> &mut dyn TxList {
        &mut self.shared.txs
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
