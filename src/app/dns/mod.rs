//! DNS over UDP and TCP (RFC 1035, RFC 7766), and its two cousins with the same messages: mDNS (RFC 6762) and LLMNR
//! (RFC 4795).
//!
//! Each message is a transaction of its own, complete at once, as in the reference: a request in one direction, a
//! response in the other, not paired (over UDP they often cannot be, and rules look at one of them at a time).
//! Limits: those of [`message`]; over TCP one message (64 KiB) is buffered; the oldest transaction goes when there are
//! more than [`Limits::transactions`].

mod field;
mod log;
pub mod message;

use super::reader::Reader;
use super::{
    Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Outcome, Parsed, Probe, Protocol, Rides,
    Session, Transaction, TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use message::{Header, Message};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    Dns,
    Mdns,
    Llmnr,
}

/// DNS, mDNS or LLMNR.
#[derive(Debug)]
pub struct Dns(Variant);

/// DNS.
pub static DNS: Dns = Dns(Variant::Dns);
/// Multicast DNS.
pub static MDNS: Dns = Dns(Variant::Mdns);
/// Link-local multicast name resolution.
pub static LLMNR: Dns = Dns(Variant::Llmnr);

const EVENTS: &[&str] = &[
    "malformed_data",
    "not_request",
    "not_response",
    "z_flag_set",
    "invalid_opcode",
    "name_too_long",
    "infinite_loop",
    "too_many_labels",
    "invalid_additionals",
    "invalid_authorities",
];
const MALFORMED_DATA: u8 = 0;
const NOT_REQUEST: u8 = 1;
const NOT_RESPONSE: u8 = 2;
const Z_FLAG_SET: u8 = 3;
const INVALID_OPCODE: u8 = 4;
const NAME_TOO_LONG: u8 = 5;
const INFINITE_LOOP: u8 = 6;
const TOO_MANY_LABELS: u8 = 7;
const INVALID_ADDITIONALS: u8 = 8;
const INVALID_AUTHORITIES: u8 = 9;

impl Protocol for Dns {
    fn name(&self) -> &'static str {
        match self.0 {
            Variant::Dns => "dns",
            Variant::Mdns => "mdns",
            Variant::Llmnr => "llmnr",
        }
    }

    /// A rule on `doh2` means DNS wherever it is, as in Suricata.
    fn aliases(&self) -> &'static [&'static str] {
        match self.0 {
            Variant::Dns => &["doh2"],
            Variant::Mdns | Variant::Llmnr => &[],
        }
    }

    fn rides(&self) -> Rides {
        if self.0 == Variant::Mdns {
            Rides::Udp
        } else {
            Rides::Both
        }
    }

    fn ports(&self) -> &'static [u16] {
        match self.0 {
            Variant::Dns => &[53],
            Variant::Mdns => &[5353],
            Variant::Llmnr => &[5355],
        }
    }

    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        let header = if key.proto == TCP {
            let mut r = Reader::new(bytes);
            let Some(len) = r.u16() else {
                return Probe::NeedMore;
            };
            if r.left() < Header::LEN {
                return if len == 0 {
                    Probe::NotMine
                } else {
                    Probe::NeedMore
                };
            }
            Message::probe(r.rest(), usize::from(len))
        } else {
            Message::probe(bytes, bytes.len())
        };
        match header {
            None => Probe::NotMine,
            // Every mDNS host is client and server at once; all of it counts as sent to the server.
            Some(_) if self.0 == Variant::Mdns && direction == Direction::ToServer => Probe::Match,
            Some(_) if self.0 == Variant::Mdns => Probe::MatchReversed,
            Some(h) if h.is_response() == (direction == Direction::ToClient) => Probe::Match,
            Some(_) => Probe::MatchReversed,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(DnsSession {
            variant: self.0,
            txs: TxStore::default(),
            lost: [false; 2],
            max: limits.transactions.max(1),
            silenced: Vec::new(),
            frames: FrameNotes::default(),
        })
    }

    fn fields(&self) -> &'static [Field] {
        match self.0 {
            Variant::Dns => field::DNS,
            Variant::Mdns => field::MDNS,
            Variant::Llmnr => field::LLMNR,
        }
    }

    fn frames(&self) -> &'static [&'static str] {
        &["pdu"]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        let tx = tx.as_any().downcast_ref::<DnsTx>()?;
        match self.0 {
            Variant::Dns if tx.message.questions.is_empty() => None,
            Variant::Dns => Some(LogHead {
                event_type: "dns",
                by_packet: !tx.tcp,
            }),
            Variant::Mdns => Some(LogHead::by_flow("mdns")),
            Variant::Llmnr => Some(LogHead::by_flow("llmnr")),
        }
    }

    fn log_direction(&self, tx: &dyn Transaction) -> Option<Direction> {
        let tx = tx.as_any().downcast_ref::<DnsTx>()?;
        (tx.tcp && self.0 == Variant::Dns).then_some(tx.direction)
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<DnsTx>() {
            match self.0 {
                Variant::Dns => log::dns(tx, json),
                Variant::Mdns => log::local(tx, "mdns", json),
                Variant::Llmnr => log::local(tx, "llmnr", json),
            }
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match tx.as_any().downcast_ref::<DnsTx>() {
            Some(tx) if tx.response => match tx.message.header.rcode() {
                0 if tx.message.answers.is_empty() => Outcome::Answered(0),
                0 => Outcome::Success(0),
                code => Outcome::Failure(u32::from(code)),
            },
            _ => Outcome::Unknown,
        }
    }
}

const TCP: u8 = 6;

/// Questions of a flow whose answers are awaited so as not to be logged.
const SILENCED_MAX: usize = 64;

/// One message.
#[derive(Debug)]
pub struct DnsTx {
    state: TxState,
    /// The message.
    pub message: Message,
    /// Whether it is a response.
    pub response: bool,
    /// Direction it was sent in.
    pub direction: Direction,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// Every name of a response, in order: section (0 questions … 3 additionals), record, whether it is in the data.
    names: Vec<(u8, u16, bool)>,
}

impl DnsTx {
    /// A message that came inside of another protocol; `None` when it is none.
    pub(in crate::app) fn inside(bytes: &[u8], direction: Direction) -> Option<Self> {
        let plausible =
            Header::read(&mut Reader::new(bytes)).is_some_and(|h| h.is_plausible(bytes.len()));
        let message = Message::read(bytes).filter(|_| plausible)?;
        Some(Self::new(message, direction, true, Variant::Dns))
    }

    /// A message that was read, as a transaction; its events are raised.
    fn new(message: Message, direction: Direction, tcp: bool, variant: Variant) -> Self {
        let header = message.header;
        let response = match variant {
            Variant::Mdns => header.is_response(),
            _ => direction == Direction::ToClient,
        };
        let mut state = TxState::default();
        let mut raise = |condition: bool, event| {
            if condition {
                state.raise(event);
            }
        };
        raise(message.bad_additionals, INVALID_ADDITIONALS);
        raise(message.bad_authorities, INVALID_AUTHORITIES);
        raise(
            direction == Direction::ToClient && variant != Variant::Mdns && !header.is_response(),
            NOT_RESPONSE,
        );
        raise(header.flags & 0x40 != 0, Z_FLAG_SET);
        let llmnr_request = variant == Variant::Llmnr && direction == Direction::ToServer;
        raise(
            header.opcode() >= 7 || (llmnr_request && header.opcode() != 0),
            INVALID_OPCODE,
        );
        raise(message.oddity.truncated, NAME_TOO_LONG);
        raise(message.oddity.loops, INFINITE_LOOP);
        raise(message.oddity.labels, TOO_MANY_LABELS);
        // A message is in one direction only: there is nothing to wait for in the other.
        state.inspected[direction.reverse().index()] = true;
        state.touch(direction);
        let names = if response {
            field::name_order(&message)
        } else {
            Vec::new()
        };
        Self {
            state,
            message,
            response,
            direction,
            tcp,
            names,
        }
    }
}

impl Transaction for DnsTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug)]
struct DnsSession {
    variant: Variant,
    txs: TxStore<DnsTx>,
    /// Per direction: bytes were lost, and no message was found since.
    lost: [bool; 2],
    max: usize,
    /// Requests (by id) whose answers are not to be logged either.
    silenced: Vec<u16>,
    /// Frames noted.
    frames: FrameNotes,
}

impl DnsSession {
    /// Takes one message; false when the stream cannot be DNS.
    fn message(&mut self, direction: Direction, bytes: &[u8], tcp: bool) -> bool {
        let plausible =
            Header::read(&mut Reader::new(bytes)).is_some_and(|h| h.is_plausible(bytes.len()));
        if !plausible {
            return !tcp;
        }
        let Some(message) = Message::read(bytes) else {
            return self.fault(MALFORMED_DATA);
        };
        let to_server = direction == Direction::ToServer;
        if to_server
            && self.variant != Variant::Mdns
            && message.header.is_response()
            && self.variant == Variant::Dns
        {
            return self.fault(NOT_REQUEST);
        }
        if self.txs.len() >= self.max {
            self.txs.remove(0);
        }
        let id = message.header.id;
        let tx = self
            .txs
            .push(DnsTx::new(message, direction, tcp, self.variant));
        if let Some(at) = self.silenced.iter().position(|known| *known == id)
            && tx.response
        {
            self.silenced.swap_remove(at);
            tx.state.logged = true;
        }
        true
    }

    /// Notes an event on the newest transaction, there being none for a message that cannot be read.
    fn fault(&mut self, event: u8) -> bool {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(event);
        }
        false
    }

    fn stream(&mut self, direction: Direction, input: Input<'_>) -> Parsed {
        let lost = &mut self.lost[direction.index()];
        *lost |= input.gap > 0;
        if *lost {
            // After a gap a message must begin where a segment does, or nothing can be found.
            let mut r = Reader::new(input.bytes);
            let Some(len) = r.u16() else {
                return Parsed::All;
            };
            if r.left() >= Header::LEN && Message::probe(r.rest(), usize::from(len)).is_none() {
                return Parsed::All;
            }
            *lost = false;
        }
        let mut r = Reader::new(input.bytes);
        loop {
            let start = r;
            let (consumed, left) = (r.position(), r.left());
            if left == 0 {
                return Parsed::All;
            }
            let Some(len) = r.u16() else {
                return Parsed::NeedMore {
                    consumed,
                    needed: 1,
                };
            };
            let Some(bytes) = r.take(usize::from(len)) else {
                return Parsed::NeedMore {
                    consumed,
                    needed: usize::from(len) + 2 - start.left().min(usize::from(len)),
                };
            };
            let tx = Some(self.txs.total());
            self.frames.note(0, consumed + 2, bytes.len(), tx);
            if len > 0 && !self.message(direction, bytes, true) {
                return Parsed::Error;
            }
        }
    }
}

impl Session for DnsSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if flow.key.proto == TCP {
            return self.stream(direction, input);
        }
        if !input.bytes.is_empty() {
            let tx = Some(self.txs.total());
            self.frames.note(0, 0, input.bytes.len(), tx);
            // One bad datagram says nothing about the next.
            self.message(direction, input.bytes, false);
        }
        Parsed::All
    }

    /// The answer belongs to its question.
    fn silence(&mut self, id: u64) {
        if let Some(tx) = self.txs.by_id(id) {
            tx.state.logged = true;
            let question = tx.message.header.id;
            if !tx.response && self.silenced.len() < SILENCED_MAX {
                self.silenced.push(question);
            }
        }
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, flow, survives};

    const QUERY: &[u8] = b"\x10\x32\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x06google\x03com\x00\x00\x10\x00\x01";
    const ANSWER: &[u8] = b"\x10\x32\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x06google\x03com\x00\x00\x10\x00\x01\
        \xc0\x0c\x00\x10\x00\x01\x00\x00\x01\x0e\x00\x04\x01a\x01b\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x0e\x00\x04\x01\x02\x03\x04";

    #[test]
    fn a_query_and_its_answer_are_two_transactions() {
        let mut feed = Feed::new(&DNS, 17, 53);
        feed.give(Direction::ToServer, QUERY);
        feed.give(Direction::ToClient, ANSWER);
        let log = feed.logged(&DNS);
        assert_eq!(log[0]["dns"]["type"], "request");
        assert_eq!(log[0]["dns"]["queries"][0]["rrname"], "www.google.com");
        assert_eq!(log[0]["dns"]["queries"][0]["rrtype"], "TXT");
        assert_eq!(log[1]["dns"]["tx_id"], 1);
        assert_eq!(log[1]["dns"]["rcode"], "NOERROR");
        assert_eq!(log[1]["dns"]["answers"][1]["rdata"], "b");
        assert_eq!(log[1]["dns"]["answers"][2]["rdata"], "1.2.3.4");
        assert_eq!(
            log[1]["dns"]["grouped"]["TXT"],
            serde_json::json!(["a", "b"])
        );
        assert_eq!(
            feed.field(&DNS, 0, "dns.query", Direction::ToServer),
            ["www.google.com"]
        );
        assert_eq!(
            feed.field(&DNS, 1, "dns.response.rrname", Direction::ToClient)
                .len(),
            3
        );
    }

    #[test]
    fn a_response_sent_by_the_client_turns_the_flow_round() {
        let key = flow(17, 53).key;
        assert_eq!(
            DNS.probe(Direction::ToServer, ANSWER, &key),
            Probe::MatchReversed
        );
        assert_eq!(DNS.probe(Direction::ToServer, QUERY, &key), Probe::Match);
        assert_eq!(
            DNS.probe(Direction::ToServer, &QUERY[..20], &key),
            Probe::NotMine
        );
        assert_eq!(
            DNS.probe(Direction::ToServer, b"GET / HTTP/1.0\r\n\r\n", &key),
            Probe::NotMine
        );
    }

    #[test]
    fn pieces_of_a_tcp_stream_never_matter() {
        let framed = |m: &[u8]| [&(m.len() as u16).to_be_bytes()[..], m].concat();
        let client = [framed(QUERY), framed(QUERY)].concat();
        let server = [framed(ANSWER), vec![0, 0], framed(ANSWER)].concat();
        chunking_never_matters(
            &DNS,
            53,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
    }

    #[test]
    fn odd_flags_raise_events() {
        let mut feed = Feed::new(&DNS, 17, 53);
        let mut odd = QUERY.to_vec();
        odd[2] = 0x79;
        odd[3] = 0x40;
        feed.give(Direction::ToServer, &odd);
        assert_eq!(
            feed.logged(&DNS)[0]["events"],
            serde_json::json!(["z_flag_set", "invalid_opcode"])
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..5)) {
            survives(&DNS, 17, 53, &pieces);
            survives(&DNS, 6, 53, &pieces);
            survives(&LLMNR, 17, 5355, &pieces);
        }

        #[test]
        fn a_damaged_answer_does_no_harm(at in 0usize..70, value: u8) {
            let mut m = ANSWER.to_vec();
            if let Some(b) = m.get_mut(at) { *b = value; }
            survives(&DNS, 17, 53, &[(true, m.clone())]);
            survives(&MDNS, 17, 5353, &[(false, m)]);
        }
    }
}
