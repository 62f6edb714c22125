//! LDAP over TCP and UDP (RFC 4511), up to StartTLS (§4.14), which hands the flow to TLS.
//!
//! A request and its responses are one transaction, paired by message id. Limits: a message of 256 KiB, 256 live
//! transactions, 256 responses and 1 MiB of them in one.

mod field;
mod log;
pub mod message;

use super::ber::{self, Unread};
use super::reader::Reader;
use super::{
    Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Login, Note, Notes, Outcome, Parsed,
    Probe, Protocol, Rides, Session, Transaction, TxList, TxState, TxStore, registry,
    session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use message::{Message, Operation, is_operation, is_request};

/// Result of a bind with a wrong name or password (RFC 4511 appendix A.1).
const INVALID_CREDENTIALS: u32 = 49;

/// LDAP.
#[derive(Debug)]
pub struct Ldap;

/// LDAP.
pub static LDAP: Ldap = Ldap;

const EVENTS: &[&str] = &[
    "too_many_transactions",
    "invalid_data",
    "request_not_found",
    "incomplete_data",
    "too_many_responses",
];
const TOO_MANY_TRANSACTIONS: u8 = 0;
const INVALID_DATA: u8 = 1;
const REQUEST_NOT_FOUND: u8 = 2;
const INCOMPLETE_DATA: u8 = 3;
const TOO_MANY_RESPONSES: u8 = 4;

const MESSAGE_MAX: usize = 256 * 1024;
const LIVE_MAX: usize = 256;
const RESPONSES_MAX: usize = 256;
const RESPONSE_BYTES_MAX: usize = 1 << 20;
const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const TCP: u8 = 6;

impl Protocol for Ldap {
    fn name(&self) -> &'static str {
        "ldap"
    }

    fn rides(&self) -> Rides {
        Rides::Both
    }

    fn ports(&self) -> &'static [u16] {
        &[389, 3268]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let mut r = Reader::new(bytes);
        let outer = ber::header(&mut r);
        match outer {
            Err(Unread::NeedMore(_)) => return Probe::NeedMore,
            Ok((0, true, ber::SEQUENCE, len)) if len <= MESSAGE_MAX => {}
            _ => return Probe::NotMine,
        }
        let id = match ber::element(&mut r) {
            Err(Unread::NeedMore(_)) if bytes.len() < 16 => return Probe::NeedMore,
            Ok(e) if e.class == 0 && e.tag == ber::INTEGER => ber::unsigned(e.body),
            _ => None,
        };
        match (id, ber::header(&mut r)) {
            (None, _) | (_, Err(Unread::Broken)) => Probe::NotMine,
            (_, Err(Unread::NeedMore(_))) => Probe::NeedMore,
            (_, Ok((1, _, tag, _))) if is_operation(tag) => {
                let request = u8::try_from(tag).is_ok_and(is_request);
                if request == (direction == Direction::ToServer) {
                    Probe::Match
                } else {
                    Probe::MatchReversed
                }
            }
            _ => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(LdapSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["pdu"]
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("ldap"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref() {
            log::ldap(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let Some(tx) = tx.as_any().downcast_ref::<LdapTx>() else {
            return Outcome::Unknown;
        };
        match tx
            .responses
            .iter()
            .rev()
            .find_map(Message::result)
            .map(|r| r.code)
        {
            None => Outcome::Unknown,
            Some(0) => Outcome::Success(0),
            // Compare true and false, referral, SASL in progress are answers.
            Some(code @ (5 | 6 | 10 | 14)) => Outcome::Answered(code),
            Some(code) => Outcome::Failure(code),
        }
    }
}

/// A request and its responses.
#[derive(Debug, Default)]
struct LdapTx {
    state: TxState,
    request: Option<Message>,
    responses: Vec<Message>,
    response_bytes: usize,
    complete: bool,
}

impl Transaction for LdapTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        u8::from(self.complete)
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct LdapSession {
    txs: TxStore<LdapTx>,
    /// StartTLS was asked for, was granted.
    tls_asked: bool,
    tls: bool,
    /// Messages, for rules on frames.
    frames: FrameNotes,
    /// Logins and their outcome.
    notes: Notes,
}

impl LdapSession {
    fn open(&mut self) -> Option<&mut LdapTx> {
        if self.txs.len() >= LIVE_MAX {
            for tx in self.txs.too_many().filter(|t| !t.complete) {
                tx.complete = true;
                tx.state.raise(TOO_MANY_TRANSACTIONS);
            }
            return None;
        }
        Some(self.txs.push(LdapTx::default()))
    }

    fn fault(&mut self, event: u8) {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(event);
        }
    }

    fn request(&mut self, message: Message) -> Option<()> {
        if let Operation::Extended(Some(name), _) = &message.operation {
            self.tls_asked |= name == STARTTLS;
        }
        let tx = self.open()?;
        // Unbind and abandon are not answered.
        tx.complete = matches!(message.tag, 2 | 16);
        tx.state.touch(Direction::ToServer);
        tx.request = Some(message);
        Some(())
    }

    /// The answer to a bind: RFC 4511 §4.2.2. An empty name is nobody's login; 14 (a further step of SASL) no end of one.
    fn bound(&mut self, answer: &Message) {
        let named = self.txs.iter().any(|tx| {
            tx.request.as_ref().is_some_and(|request| {
                let named = match &request.operation {
                    Operation::Bind(_, name, sasl) => !name.is_empty() || sasl.is_some(),
                    _ => false,
                };
                request.id == answer.id && named
            })
        });
        match answer.result().map(|r| r.code) {
            Some(0) if named => self.notes.login(Login::Succeeded),
            Some(INVALID_CREDENTIALS) if named => self.notes.login(Login::Failed),
            _ => {}
        }
    }

    fn response(&mut self, message: Message) -> Option<()> {
        if message.tag == 24 && self.tls_asked {
            self.tls |= message.result().is_some_and(|r| r.code == 0);
            self.tls_asked = false;
        }
        let id = message.id;
        if message.tag == 1 {
            self.bound(&message);
        }
        let known = self
            .txs
            .iter_mut()
            .find(|t| t.request.as_ref().is_some_and(|r| r.id == id));
        let tx = match known {
            Some(tx) => {
                tx.complete |= message.result().is_some();
                tx
            }
            None => {
                let unsolicited = message.tag == 24;
                let tx = self.open()?;
                tx.complete = true;
                if !unsolicited {
                    tx.state.raise(REQUEST_NOT_FOUND);
                }
                tx
            }
        };
        tx.state.touch(Direction::ToClient);
        if tx.complete {
            tx.state.touch(Direction::ToServer);
        }
        tx.response_bytes += message.len;
        if tx.responses.len() >= RESPONSES_MAX || tx.response_bytes > RESPONSE_BYTES_MAX {
            tx.state.raise(TOO_MANY_RESPONSES);
        } else {
            tx.responses.push(message);
        }
        Some(())
    }
}

impl Session for LdapSession {
    session_members!(frames);

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let mut r = Reader::new(input.bytes);
        let stream = flow.key.proto == TCP;
        if self.tls && direction == Direction::ToServer && !r.is_empty() {
            return Parsed::Switch {
                consumed: 0,
                to: Some(registry::number("tls")),
            };
        }
        while !r.is_empty() {
            let (consumed, start) = (r.position(), r);
            let outer = ber::header(&mut r.clone());
            if outer.is_ok_and(|(class, _, tag, len)| {
                class != 0 || tag != ber::SEQUENCE || len > MESSAGE_MAX
            }) {
                self.fault(INVALID_DATA);
                return if stream { Parsed::Error } else { Parsed::All };
            }
            let message = match ber::element(&mut r) {
                Err(Unread::NeedMore(needed)) if stream => {
                    return Parsed::NeedMore { consumed, needed };
                }
                Err(Unread::NeedMore(_)) => {
                    self.fault(INCOMPLETE_DATA);
                    return Parsed::All;
                }
                Err(Unread::Broken) => None,
                Ok(outer) => Message::read(outer.body, r.position() - start.position()),
            };
            let Some(message) = message else {
                self.fault(INVALID_DATA);
                return if stream { Parsed::Error } else { Parsed::All };
            };
            self.frames.note(0, consumed, r.position() - consumed, None);
            let taken = match direction {
                Direction::ToServer => self.request(message),
                Direction::ToClient => self.response(message),
            };
            if taken.is_none() {
                return Parsed::Error;
            }
        }
        Parsed::All
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, flow, survives};

    const BIND: &[u8] = b"\x30\x16\x02\x01\x01\x60\x11\x02\x01\x03\x04\x05cn=me\x80\x05hello";
    const BOUND: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00";
    const SEARCH: &[u8] = b"\x30\x25\x02\x01\x02\x63\x20\x04\x04dc=x\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x01a\x30\x06\x04\x01b\x04\x01c";
    const ENTRY: &[u8] =
        b"\x30\x13\x02\x01\x02\x64\x0e\x04\x01e\x30\x09\x30\x07\x04\x01b\x31\x02\x04\x00";
    const DONE: &[u8] = b"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00";

    #[test]
    fn a_refused_bind_is_a_failed_login_and_a_nameless_one_is_none() {
        let mut feed = Feed::new(&LDAP, 6, 389);
        feed.give(Direction::ToServer, BIND);
        feed.give(Direction::ToClient, BOUND);
        assert_eq!(feed.session.take_note(), Some(Note::Login(Login::Failed)));
        let mut accepted = BOUND.to_vec();
        accepted[9] = 0;
        feed.give(Direction::ToServer, BIND);
        feed.give(Direction::ToClient, &accepted);
        assert_eq!(
            feed.session.take_note(),
            Some(Note::Login(Login::Succeeded))
        );
        let mut nameless = Feed::new(&LDAP, 6, 389);
        nameless.give(
            Direction::ToServer,
            b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",
        );
        nameless.give(Direction::ToClient, &accepted);
        assert_eq!(nameless.session.take_note(), None);
    }

    #[test]
    fn responses_are_added_to_their_request() {
        let mut feed = Feed::new(&LDAP, 6, 389);
        feed.give(Direction::ToServer, BIND);
        feed.give(Direction::ToClient, BOUND);
        feed.give(Direction::ToServer, SEARCH);
        feed.give(Direction::ToClient, &[ENTRY, DONE].concat());
        let log = feed.logged(&LDAP);
        assert_eq!(log[0]["ldap"]["request"]["bind_request"]["name"], "cn=me");
        assert_eq!(
            log[0]["ldap"]["responses"][0]["bind_response"]["result_code"],
            "invalid_credentials"
        );
        assert_eq!(
            log[1]["ldap"]["request"]["search_request"]["attributes"][1],
            "c"
        );
        assert_eq!(
            log[1]["ldap"]["responses"][0]["search_result_entry"]["attributes"][0]["type"],
            "b"
        );
        assert_eq!(
            log[1]["ldap"]["responses"][1]["operation"],
            "search_result_done"
        );
        let tx = feed.session.transactions().at(0).expect("one");
        assert_eq!(LDAP.outcome(tx), Outcome::Failure(49));
        assert_eq!(
            feed.field(&LDAP, 1, "ldap.request.dn", Direction::ToServer),
            ["dc=x"]
        );
    }

    #[test]
    fn pieces_never_matter() {
        let server = [BOUND, ENTRY, DONE].concat();
        let client = [BIND, SEARCH].concat();
        chunking_never_matters(
            &LDAP,
            389,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
    }

    #[test]
    fn the_probe_tells_the_side_and_refuses_other_asn1() {
        let key = flow(6, 389).key;
        assert_eq!(LDAP.probe(Direction::ToServer, BIND, &key), Probe::Match);
        assert_eq!(
            LDAP.probe(Direction::ToServer, BOUND, &key),
            Probe::MatchReversed
        );
        assert_eq!(
            LDAP.probe(Direction::ToServer, &BIND[..4], &key),
            Probe::NeedMore
        );
        assert_eq!(
            LDAP.probe(
                Direction::ToServer,
                b"\x30\x10\x02\x01\x01\x04\x06public\xa0\x03",
                &key
            ),
            Probe::NotMine
        );
    }

    #[test]
    fn start_tls_switches_the_flow() {
        let mut feed = Feed::new(&LDAP, 6, 389);
        feed.give(
            Direction::ToServer,
            b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
        );
        feed.give(
            Direction::ToClient,
            b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
        );
        let parsed = feed.give(Direction::ToServer, b"\x16\x03\x01");
        assert_eq!(
            parsed,
            Parsed::Switch {
                consumed: 0,
                to: Some(registry::number("tls"))
            }
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(tag in 0u8..26, server: bool, body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let inner = [&[2, 1, 1, 0x60 | tag, body.len() as u8][..], &body].concat();
            let message = [&[0x30, inner.len() as u8][..], &inner].concat();
            survives(&LDAP, 6, 389, &[(server, message), (server, body.clone())]);
            survives(&LDAP, 17, 389, &[(server, body)]);
        }

        #[test]
        fn a_damaged_search_does_no_harm(at in 0usize..40, value: u8) {
            let mut m = SEARCH.to_vec();
            if let Some(b) = m.get_mut(at) { *b = value; }
            survives(&LDAP, 6, 389, &[(false, m)]);
        }
    }
}
