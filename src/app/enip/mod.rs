//! EtherNet/IP and CIP (ODVA, CIP volumes 1 and 2): what controllers of factories are told and answer, over TCP and UDP.
//!
//! A request and its answer are one transaction, paired by command, session and, in connections, sequence number.
//! Implicit messages (port 2222) are not read. Limits: [`message`]'s, and 1,024 transactions a flow; what comes when
//! there is no room is given up with an event.

mod field;
mod log;
pub mod message;
mod name;

use super::reader::Reader;
use super::{
    Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Outcome, Parsed, Probe, Protocol, Rides,
    Session, Transaction, TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use message::{HEADER, Message, Payload};

/// EtherNet/IP.
#[derive(Debug)]
pub struct Enip;

/// EtherNet/IP.
pub static ENIP: Enip = Enip;

const EVENTS: &[&str] = &["too_many_transactions", "invalid_pdu"];
const TOO_MANY_TRANSACTIONS: u8 = 0;
const INVALID_PDU: u8 = 1;

/// Transactions of a flow (the reference sensor's figure).
const LIVE_MAX: usize = 1024;
/// The protocol number of TCP.
const TCP: u8 = 6;

impl Protocol for Enip {
    fn name(&self) -> &'static str {
        "enip"
    }

    fn rides(&self) -> Rides {
        Rides::Both
    }

    fn ports(&self) -> &'static [u16] {
        &[44818]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        if bytes.len() < HEADER && key.proto == TCP {
            Probe::NeedMore
        } else if Message::probe(bytes) {
            Probe::Match
        } else {
            Probe::NotMine
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(EnipSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["hdr", "data", "pdu", "cip", "enip.item"]
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("enip"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            log::enip(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let Some(response) = of(tx).and_then(|tx| tx.response.as_ref()) else {
            return Outcome::Unknown;
        };
        let answer = match &response.payload {
            Payload::Cip(Some(cip), ..) => cip.answer.as_ref(),
            _ => None,
        };
        let status = answer.map_or(response.status, |answer| answer.status.into());
        if status == 0 {
            Outcome::Success(0)
        } else {
            Outcome::Failure(status)
        }
    }
}

/// A request and its answer.
#[derive(Debug, Default)]
struct EnipTx {
    state: TxState,
    request: Option<Message>,
    response: Option<Message>,
    done: bool,
}

impl EnipTx {
    fn half(&self, direction: Direction) -> Option<&Message> {
        match direction {
            Direction::ToServer => self.request.as_ref(),
            Direction::ToClient => self.response.as_ref(),
        }
    }

    fn take(&mut self, message: Message, direction: Direction) {
        if message.invalid {
            self.state.raise(INVALID_PDU);
        }
        self.state.touch(Direction::ToServer);
        self.state.touch(Direction::ToClient);
        *(match direction {
            Direction::ToServer => &mut self.request,
            Direction::ToClient => &mut self.response,
        }) = Some(message);
    }
}

impl Transaction for EnipTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        u8::from(self.done || self.half(direction).is_some())
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct EnipSession {
    txs: TxStore<EnipTx>,
    /// Per direction: bytes were lost, and no message was recognised since.
    lost: [bool; 2],
    /// Headers (0), what follows them (1), whole messages (2), CIP (3) and items (4), for rules on frames.
    frames: FrameNotes,
}

impl EnipSession {
    fn message(&mut self, message: Message, at: usize, direction: Direction) {
        let len = usize::from(message.len);
        self.frames.note(0, at, HEADER, None);
        self.frames.note(1, at + HEADER, len, None);
        self.frames.note(2, at, HEADER + len, None);
        for (offset, len, is_cip) in &message.spans {
            self.frames
                .note(if *is_cip { 3 } else { 4 }, at + offset, *len, None);
        }
        if direction == Direction::ToClient {
            for position in 0..self.txs.len() {
                let waits = |tx: &&EnipTx| tx.response.is_none();
                let Some(request) = self
                    .txs
                    .iter()
                    .nth(position)
                    .filter(waits)
                    .and_then(|tx| tx.request.as_ref())
                else {
                    continue;
                };
                let found = message.answers(request);
                let tx = self.txs.get_mut(position);
                // What was asked before what is answered is no longer waited for.
                tx.done = true;
                if found {
                    tx.take(message, direction);
                    return;
                }
            }
        }
        if self.txs.len() >= LIVE_MAX {
            for (i, tx) in self.txs.too_many().enumerate() {
                tx.done = true;
                if i == 0 {
                    tx.state.raise(TOO_MANY_TRANSACTIONS);
                }
            }
            return;
        }
        self.txs.push(EnipTx::default()).take(message, direction);
    }
}

impl Session for EnipSession {
    session_members!(frames);

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let lost = &mut self.lost[direction.index()];
        if input.gap > 0 {
            *lost = true;
        }
        if *lost {
            if !Message::probe(input.bytes) {
                return Parsed::All;
            }
            *lost = false;
        }
        let wanted = self.frames.wanted;
        let mut r = Reader::new(input.bytes);
        while !r.is_empty() {
            let consumed = r.position();
            match Message::read(&mut r, wanted) {
                Ok(message) => self.message(message, consumed, direction),
                Err(_) if flow.key.proto != TCP => return Parsed::Error,
                Err(needed) => return Parsed::NeedMore { consumed, needed },
            }
            if flow.key.proto != TCP {
                break;
            }
        }
        Parsed::All
    }
}

fn of(tx: &dyn Transaction) -> Option<&EnipTx> {
    tx.as_any().downcast_ref()
}

#[cfg(test)]
mod tests;
