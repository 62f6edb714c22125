//! MQTT over TCP (OASIS MQTT 3.1.1 and 5.0).
//!
//! A request and what acknowledges it are one transaction, paired by message id; what needs no answer is complete at
//! once. Limits: those of [`message`], 1,024 unanswered transactions, 1,024 packets in one.

mod field;
mod log;
pub mod message;

use super::reader::Reader;
use super::{
    Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Outcome, Parsed, Probe, Protocol, Rides,
    Session, Transaction, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use message::{Body, Broken, Header, MESSAGE_MAX, Message};

/// MQTT.
#[derive(Debug)]
pub struct Mqtt;

/// MQTT.
pub static MQTT: Mqtt = Mqtt;

const EVENTS: &[&str] = &[
    "missing_connect",
    "missing_publish",
    "missing_subscribe",
    "missing_unsubscribe",
    "double_connect",
    "unintroduced_message",
    "invalid_qos_level",
    "missing_msg_id",
    "unassigned_msg_type",
    "too_many_transactions",
    "malformed_traffic",
    "too_many_messages",
];
const MISSING_CONNECT: u8 = 0;
const MISSING_PUBLISH: u8 = 1;
const MISSING_SUBSCRIBE: u8 = 2;
const MISSING_UNSUBSCRIBE: u8 = 3;
const DOUBLE_CONNECT: u8 = 4;
const UNINTRODUCED_MESSAGE: u8 = 5;
const INVALID_QOS_LEVEL: u8 = 6;
const UNASSIGNED_MSG_TYPE: u8 = 8;
const TOO_MANY_TRANSACTIONS: u8 = 9;
const MALFORMED_TRAFFIC: u8 = 10;
const TOO_MANY_MESSAGES: u8 = 11;

/// Unanswered transactions of a flow, and packets of a transaction.
const LIVE_MAX: usize = 1024;

impl Protocol for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[1883]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        match Header::read(&mut Reader::new(bytes)) {
            Ok(header) if header.kind == 0 || header.qos > 2 => Probe::NotMine,
            Ok(_) => Probe::Match,
            Err(Broken::NeedMore) => Probe::NeedMore,
            Err(Broken::Malformed) => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(MqttSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["pdu", "header", "data"]
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("mqtt"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref() {
            log::mqtt(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let Some(tx) = tx.as_any().downcast_ref::<MqttTx>() else {
            return Outcome::Unknown;
        };
        let code = tx.messages.iter().find_map(|m| match m.body {
            Body::Connack(_, code) => Some(code),
            _ => None,
        });
        match code {
            None => Outcome::Unknown,
            Some(0) => Outcome::Success(0),
            Some(code) => Outcome::Failure(u32::from(code)),
        }
    }
}

/// A request and its answers.
#[derive(Debug)]
struct MqttTx {
    state: TxState,
    messages: Vec<Message>,
    direction: Direction,
    complete: bool,
    /// What answers are paired by.
    awaits: Option<Awaited>,
    /// The connection's version when it began.
    version: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Connack,
    Id(u16),
}

impl Transaction for MqttTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        u8::from(self.complete || direction != self.direction)
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct MqttSession {
    txs: TxStore<MqttTx>,
    version: u8,
    connected: bool,
    /// Bytes of an overlong packet still to pass over, by direction.
    skip: [usize; 2],
    /// Packets (0), their fixed headers (1) and what follows those (2), for rules on frames.
    frames: FrameNotes,
}

impl MqttSession {
    fn open(&mut self, message: Option<Message>, direction: Direction) -> &mut MqttTx {
        if self.txs.iter().filter(|t| !t.complete).count() >= LIVE_MAX
            && let Some(oldest) = self.txs.find_mut(|t| !t.complete)
        {
            oldest.complete = true;
            oldest.state.raise(TOO_MANY_TRANSACTIONS);
        }
        let mut state = TxState::default();
        state.inspected[direction.reverse().index()] = true;
        state.touch(direction);
        let messages = message.into_iter().collect();
        let version = self.version;
        self.txs.push(MqttTx {
            state,
            messages,
            direction,
            complete: false,
            awaits: None,
            version,
        })
    }

    fn message(&mut self, message: Message, direction: Direction) {
        let (kind, qos) = (message.header.kind, message.header.qos);
        let connected = self.connected;
        let unintroduced = |tx: &mut MqttTx| {
            if !connected {
                tx.state.raise(UNINTRODUCED_MESSAGE);
            }
        };
        match &message.body {
            Body::Connect(connect) => {
                self.version = connect.version;
                let tx = self.open(Some(message), direction);
                tx.awaits = Some(Awaited::Connack);
                if connected {
                    tx.state.raise(DOUBLE_CONNECT);
                }
            }
            Body::Publish(_, id, _) => {
                let id = *id;
                let tx = self.open(Some(message), direction);
                request(tx, qos, id);
                unintroduced(tx);
            }
            Body::Subscribe(id, _) | Body::Unsubscribe(id, _) => {
                let id = *id;
                let tx = self.open(Some(message), direction);
                request(tx, qos, Some(id));
                unintroduced(tx);
            }
            Body::Connack(..) => {
                let known =
                    self.answer(Awaited::Connack, message, true, direction, MISSING_CONNECT);
                self.connected |= known;
            }
            Body::Acknowledge(id, _) => {
                let id = Awaited::Id(*id);
                // PUBREC and PUBREL are on the way, PUBACK and PUBCOMP the end.
                let last = matches!(kind, 4 | 7);
                self.answer(id, message, last, direction, MISSING_PUBLISH);
            }
            Body::Suback(id, _) => {
                let id = Awaited::Id(*id);
                self.answer(id, message, true, direction, MISSING_SUBSCRIBE);
            }
            Body::Unsuback(id, _) => {
                let id = Awaited::Id(*id);
                self.answer(id, message, true, direction, MISSING_UNSUBSCRIBE);
            }
            Body::Reason(_) | Body::Empty | Body::Truncated(_) => {
                let truncated = matches!(message.body, Body::Truncated(_));
                let tx = self.open(Some(message), direction);
                tx.complete = true;
                if kind == 0 {
                    tx.state.raise(UNASSIGNED_MSG_TYPE);
                } else if !truncated {
                    unintroduced(tx);
                }
            }
        }
    }

    /// Adds an answer to what awaits it; whether there was something.
    fn answer(
        &mut self,
        id: Awaited,
        message: Message,
        last: bool,
        direction: Direction,
        missing: u8,
    ) -> bool {
        let connected = self.connected;
        if let Some(tx) = self
            .txs
            .iter_mut()
            .find(|t| !t.complete && t.awaits == Some(id))
        {
            if tx.messages.len() >= LIVE_MAX {
                tx.state.raise(TOO_MANY_MESSAGES);
            } else {
                tx.messages.push(message);
            }
            tx.complete |= last;
            tx.state.touch(Direction::ToServer);
            tx.state.touch(Direction::ToClient);
            return true;
        }
        let tx = self.open(Some(message), direction);
        tx.state.raise(missing);
        if missing != MISSING_CONNECT && !connected {
            tx.state.raise(UNINTRODUCED_MESSAGE);
        }
        tx.complete = true;
        false
    }
}

fn request(tx: &mut MqttTx, qos: u8, id: Option<u16>) {
    match qos {
        0 => tx.complete = true,
        1 | 2 => tx.awaits = id.map(Awaited::Id),
        _ => tx.state.raise(INVALID_QOS_LEVEL),
    }
}

impl Session for MqttSession {
    session_members!(frames);

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if input.gap > 0 {
            return Parsed::Error;
        }
        let mut r = Reader::new(input.bytes);
        loop {
            let skip = &mut self.skip[direction.index()];
            let passed = (*skip).min(r.left());
            *skip -= passed;
            let _ = r.skip(passed);
            let consumed = r.position();
            if r.is_empty() {
                return Parsed::All;
            }
            let mut whole = r;
            let message = match Header::read(&mut whole) {
                Err(Broken::NeedMore) => {
                    return Parsed::NeedMore {
                        consumed,
                        needed: 1,
                    };
                }
                Err(Broken::Malformed) => None,
                Ok(header) if header.len > MESSAGE_MAX => {
                    let total = header.len + whole.position() - consumed;
                    self.skip[direction.index()] = header.len;
                    Some(Message {
                        header,
                        properties: None,
                        body: Body::Truncated(total),
                    })
                }
                Ok(header) => match whole.take(header.len) {
                    None => {
                        return Parsed::NeedMore {
                            consumed,
                            needed: header.len - whole.left(),
                        };
                    }
                    Some(bytes) => Message::read(header, bytes, self.version),
                },
            };
            let Some(message) = message else {
                let tx = self.open(None, direction);
                tx.state.raise(MALFORMED_TRAFFIC);
                tx.complete = true;
                return Parsed::Error;
            };
            let len = message.header.len;
            let head = match &message.body {
                Body::Truncated(total) => total.saturating_sub(len),
                _ => whole.position().saturating_sub(consumed + len),
            };
            self.frames.note(0, consumed, head + len, None);
            self.frames.note(1, consumed, head, None);
            self.frames.note(2, consumed + head, len, None);
            self.message(message, direction);
            r = whole;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};

    const CONNECT: &[u8] =
        b"\x10\x1d\x00\x04MQTT\x05\xc2\x00\x3c\x00\x00\x01c\x00\x05alice\x00\x06secret";
    const CONNACK: &[u8] = b"\x20\x03\x00\x05\x00";
    const PUBLISH: &[u8] = b"\x32\x0a\x00\x03top\x00\x07\x00hi";
    const PUBACK: &[u8] = b"\x40\x02\x00\x07";

    #[test]
    fn requests_and_answers_are_paired() {
        let mut feed = Feed::new(&MQTT, 6, 1883);
        feed.give(Direction::ToServer, CONNECT);
        feed.give(Direction::ToClient, CONNACK);
        feed.give(Direction::ToServer, PUBLISH);
        feed.give(Direction::ToClient, PUBACK);
        let log = feed.logged(&MQTT);
        assert_eq!(log.len(), 2);
        assert_eq!(log[0]["mqtt"]["connect"]["username"], "alice");
        assert_eq!(log[0]["mqtt"]["connack"]["return_code"], 5);
        assert_eq!(log[1]["mqtt"]["publish"]["message"], "hi");
        assert_eq!(log[1]["mqtt"]["puback"]["reason_code"], 0);
        assert_eq!(
            feed.field(&MQTT, 0, "mqtt.connect.password", Direction::ToServer),
            ["secret"]
        );
        let tx = feed.session.transactions().at(0).expect("one");
        assert_eq!(MQTT.outcome(tx), Outcome::Failure(5));
    }

    #[test]
    fn pieces_never_matter() {
        let client = [CONNECT, PUBLISH, b"\xc0\x00"].concat();
        let server = [CONNACK, PUBACK, b"\xd0\x00"].concat();
        chunking_never_matters(
            &MQTT,
            1883,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
    }

    #[test]
    fn an_answer_without_a_question_and_a_packet_too_long_are_told() {
        let mut feed = Feed::new(&MQTT, 6, 1883);
        feed.give(Direction::ToClient, CONNACK);
        feed.give(Direction::ToServer, b"\x30\xff\xff\xff\x7fxx");
        feed.give(Direction::ToServer, &[0; 5000]);
        feed.give(Direction::ToClient, b"\x00\x00");
        let log = feed.logged(&MQTT);
        assert_eq!(log[0]["events"], serde_json::json!(["missing_connect"]));
        assert_eq!(log[1]["mqtt"]["publish"]["truncated"], true);
        assert_eq!(log[2]["events"], serde_json::json!(["unassigned_msg_type"]));
    }

    #[test]
    fn hostile_names_of_properties_are_escaped() {
        let mut feed = Feed::new(&MQTT, 6, 1883);
        feed.give(Direction::ToServer, CONNECT);
        feed.give(
            Direction::ToServer,
            b"\x30\x0d\x00\x01t\x08\x26\x00\x01\"\x00\x02\\\nx",
        );
        assert_eq!(
            feed.logged(&MQTT)[1]["mqtt"]["publish"]["properties"]["\""],
            "\\\n"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200)), 1..6)) {
            survives(&MQTT, 6, 1883, &pieces);
        }

        #[test]
        fn arbitrary_packets_do_no_harm(kind: u8, five: bool, body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let packet = [&[kind, body.len() as u8][..], &body].concat();
            let mut pieces = vec![(false, packet)];
            if five {
                pieces.insert(0, (false, CONNECT.to_vec()));
            }
            survives(&MQTT, 6, 1883, &pieces);
        }
    }
}
