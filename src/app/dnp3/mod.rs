//! DNP3 over TCP (IEEE 1815): what outstations of power and water are told and answer.
//!
//! Frames of the link layer are checked and stripped of their checksums, segments put together to messages, and their
//! objects read. Each message is a transaction of its own, as requests and answers are paired by neither side. Frames
//! without user data and confirmations are passed over; DNP3 over UDP and serial lines is not read.
//! Limits: a message is 16,065 bytes (63 segments of 255), [`object`] bounds what it holds; a flow keeps [`LIVE_MAX`]
//! unfinished messages, then says `flooded` and gives up the oldest.

mod field;
mod link;
mod log;
mod object;

use super::reader::Reader;
use super::{
    Field, FlowInfo, Input, Limits, LogHead, Parsed, Probe, Protocol, Rides, Session, Transaction,
    TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use link::{Link, NotAFrame};
use object::{Object, Trouble};

/// DNP3.
#[derive(Debug)]
pub struct Dnp3;

/// DNP3.
pub static DNP3: Dnp3 = Dnp3;

const EVENTS: &[&str] = &[
    "FLOODED",
    "LEN_TOO_SMALL",
    "BAD_LINK_CRC",
    "BAD_TRANSPORT_CRC",
    "MALFORMED",
    "UNKNOWN_OBJECT",
    "TOO_MANY_POINTS",
    "TOO_MANY_OBJECTS",
    "TOO_LONG_REASSEMBLY",
];
const FLOODED: u8 = 0;
const LEN_TOO_SMALL: u8 = 1;
const BAD_LINK_CRC: u8 = 2;
const BAD_TRANSPORT_CRC: u8 = 3;
const MALFORMED: u8 = 4;
const UNKNOWN_OBJECT: u8 = 5;
const TOO_MANY_POINTS: u8 = 6;
const TOO_MANY_OBJECTS: u8 = 7;
const TOO_LONG_REASSEMBLY: u8 = 8;

/// Unfinished messages of a flow (the reference sensor's figure).
const LIVE_MAX: usize = 32;
/// Bytes of a message: 63 segments of 255 bytes.
const MESSAGE_MAX: usize = 63 * 255;
/// The function that only confirms.
const CONFIRM: u8 = 0;
/// Some servers greet with text that has this in it before they speak DNP3.
const BANNER: &[u8] = b"DNP3";
/// Bytes of a greeting that are looked at.
const BANNER_BYTES: usize = 256;
/// Bytes before the objects: control and function, in answers also two of indications.
const REQUEST_HEADER: usize = 2;
const RESPONSE_HEADER: usize = 4;

fn is_banner(bytes: &[u8]) -> bool {
    let front = bytes.get(..BANNER_BYTES.min(bytes.len()));
    let front = front.unwrap_or_default();
    memchr::memmem::find(front, BANNER).is_some() && !front.starts_with(&link::START)
}

impl Protocol for Dnp3 {
    fn name(&self) -> &'static str {
        "dnp3"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[20000]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let as_sent_by = |server: bool| {
            if server == (direction == Direction::ToClient) {
                Probe::Match
            } else {
                Probe::MatchReversed
            }
        };
        let front = bytes.get(..BANNER_BYTES.min(bytes.len()));
        let printable = |b: &u8| b.is_ascii_graphic() || *b == b' ';
        if is_banner(bytes) && front.is_some_and(|front| front.iter().all(printable)) {
            return as_sent_by(true);
        }
        if bytes.len() < link::HEADER {
            return Probe::NeedMore;
        }
        match bytes {
            // The direction bit is the master's, who is the client.
            [0x05, 0x64, len, control, ..] if *len >= 5 => as_sent_by(control & 0x80 == 0),
            _ => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(Dnp3Session::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        of(tx)
            .filter(|tx| tx.done)
            .map(|_| LogHead::by_flow("dnp3"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            json.object("dnp3");
            log::message(tx, json);
            json.end();
        }
    }

    fn log_alert(
        &self,
        _session: &dyn Session,
        tx: &dyn Transaction,
        _direction: Direction,
        json: &mut Json<'_>,
    ) {
        if let Some(tx) = of(tx).filter(|tx| tx.done) {
            json.object("dnp3").object(if tx.is_request() {
                "request"
            } else {
                "response"
            });
            log::message(tx, json);
            json.end().end();
        }
    }
}

/// Transport header: final(1) first(1) sequence(6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Transport(u8);

impl Transport {
    fn is_final(self) -> bool {
        self.0 & 0x80 != 0
    }
    fn is_first(self) -> bool {
        self.0 & 0x40 != 0
    }
    fn precedes(self, next: Self) -> bool {
        self.0.wrapping_add(1) & 0x3f == next.0 & 0x3f
    }
}

/// A message.
#[derive(Debug)]
struct Dnp3Tx {
    state: TxState,
    direction: Direction,
    link: Link,
    /// Of its last segment.
    transport: Transport,
    /// First and final fragment, confirmation asked, unsolicited, sequence.
    control: u8,
    function: u8,
    /// What the outstation says of itself; 0 in requests.
    indications: u16,
    /// The message without checksums and transport headers.
    message: Vec<u8>,
    objects: Vec<Object>,
    /// Nothing more will come.
    done: bool,
    /// All objects were read.
    complete: bool,
    /// Too many others came before it was finished.
    given_up: bool,
}

impl Dnp3Tx {
    fn is_request(&self) -> bool {
        self.direction == Direction::ToServer
    }

    /// Takes a segment: transport header and what follows.
    fn segment(&mut self, transport: Transport, bytes: &[u8]) {
        self.transport = transport;
        self.state.touch(self.direction);
        self.message.extend_from_slice(bytes);
        if self.message.len() > MESSAGE_MAX {
            self.state.raise(TOO_LONG_REASSEMBLY);
            self.done = true;
        } else if transport.is_final() {
            self.done = true;
            let header = if self.is_request() {
                REQUEST_HEADER
            } else {
                RESPONSE_HEADER
            };
            let (objects, trouble) = Object::read_all(&self.message, header);
            self.objects = objects;
            self.complete = trouble.is_none();
            match trouble {
                Some(Trouble::Objects) => self.state.raise(TOO_MANY_OBJECTS),
                Some(Trouble::Points) => self.state.raise(TOO_MANY_POINTS),
                Some(Trouble::Unknown) => self.state.raise(UNKNOWN_OBJECT),
                Some(Trouble::Header) | None => {}
            }
        }
    }
}

impl Transaction for Dnp3Tx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        u8::from(self.done || self.given_up)
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct Dnp3Session {
    txs: TxStore<Dnp3Tx>,
    flooded: bool,
    /// Per direction: the input begins with the rest of the last one.
    pending: [bool; 2],
    /// User data of the frame in hand.
    data: Vec<u8>,
}

impl Dnp3Session {
    fn open(&mut self, direction: Direction, link: Link) -> &mut Dnp3Tx {
        let live = self.txs.len();
        self.flooded &= live >= LIVE_MAX;
        let begins = !self.flooded && live >= LIVE_MAX;
        self.flooded |= begins;
        if self.flooded {
            for old in 0..(live + 1).saturating_sub(LIVE_MAX) {
                let tx = self.txs.get_mut(old);
                if tx.done {
                    continue;
                }
                tx.given_up = true;
                tx.message = Vec::new();
            }
        }
        let tx = self.txs.push(Dnp3Tx {
            state: TxState::only(direction),
            direction,
            link,
            transport: Transport::default(),
            control: 0,
            function: 0,
            indications: 0,
            message: Vec::new(),
            objects: Vec::new(),
            done: false,
            complete: false,
            given_up: false,
        });
        if begins {
            tx.state.raise(FLOODED);
        }
        tx
    }

    /// Raises an event on the newest message, or on one that is nothing but the event.
    fn raise(&mut self, event: u8, direction: Direction) {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(event);
            return;
        }
        let tx = self.open(direction, Link::default());
        tx.given_up = true;
        tx.state.raise(event);
    }

    /// A frame with user data.
    fn frame(&mut self, link: Link, direction: Direction) {
        let Some((&transport, bytes)) = self.data.split_first() else {
            return;
        };
        let transport = Transport(transport);
        if !transport.is_first() {
            let begun = self.txs.find_mut(|tx| {
                (tx.link.source, tx.link.destination) == (link.source, link.destination)
                    && tx.direction == direction
                    && !(tx.done || tx.given_up)
                    && tx.transport.precedes(transport)
            });
            if let Some(tx) = begun {
                tx.segment(transport, bytes);
            }
            return;
        }
        let mut header = Reader::new(bytes);
        let (control, function) = (header.u8(), header.u8().unwrap_or_default());
        if direction == Direction::ToServer && function == CONFIRM {
            return;
        }
        let indications = match direction {
            Direction::ToServer => None,
            Direction::ToClient => header.u16(),
        };
        let data = std::mem::take(&mut self.data);
        let tx = self.open(direction, link);
        tx.control = control.unwrap_or_default();
        tx.function = function;
        tx.indications = indications.unwrap_or_default();
        match data.get(1..).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => tx.segment(transport, bytes),
            None => {
                tx.state.raise(MALFORMED);
                tx.done = true;
            }
        }
        self.data = data;
    }
}

impl Session for Dnp3Session {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if input.gap > 0 {
            return Parsed::Error;
        }
        let pending = std::mem::take(&mut self.pending[direction.index()]);
        if direction == Direction::ToClient && !pending && is_banner(input.bytes) {
            return Parsed::All;
        }
        let mut r = Reader::new(input.bytes);
        while !r.is_empty() {
            let consumed = r.position();
            let (link, data) = match Link::read(&mut r) {
                Ok(frame) => frame,
                Err(NotAFrame::Lacks(needed)) => {
                    self.pending[direction.index()] = true;
                    return Parsed::NeedMore { consumed, needed };
                }
                Err(NotAFrame::Start) => return Parsed::Error,
                Err(NotAFrame::Checksum) => {
                    self.raise(BAD_LINK_CRC, direction);
                    return Parsed::Error;
                }
                Err(NotAFrame::Length) => {
                    self.raise(LEN_TOO_SMALL, direction);
                    return Parsed::Error;
                }
            };
            if !link.carries_data() {
                continue;
            }
            if !link.has_room(direction) {
                self.raise(LEN_TOO_SMALL, direction);
                if direction == Direction::ToClient {
                    return Parsed::Error;
                }
                continue;
            }
            self.data.clear();
            if link::strip(data, &mut self.data) {
                self.frame(link, direction);
            } else {
                self.raise(BAD_TRANSPORT_CRC, direction);
            }
        }
        Parsed::All
    }
}

fn of(tx: &dyn Transaction) -> Option<&Dnp3Tx> {
    tx.as_any().downcast_ref()
}

#[cfg(test)]
mod tests;
