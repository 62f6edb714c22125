//! The rule keywords of MQTT.

use super::MqttTx;
use super::message::{Body, Connect, TYPES};
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction, number};
use crate::packet::Direction;

fn of(tx: &dyn Transaction) -> Option<&MqttTx> {
    tx.as_any().downcast_ref()
}

fn connect(tx: &dyn Transaction) -> Option<&Connect> {
    of(tx)?.messages.iter().find_map(|m| match &m.body {
        Body::Connect(connect) => Some(&**connect),
        _ => None,
    })
}

fn filled(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

fn client_id<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    filled(&connect(tx)?.client_id)
}

fn protocol<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    filled(&connect(tx)?.protocol)
}

fn username<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    connect(tx)?.username.as_deref()
}

fn password<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    connect(tx)?.password.as_deref()
}

fn will_topic<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    connect(tx)?
        .will
        .as_ref()
        .map(|(topic, _)| topic.as_slice())
}

fn will_message<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    connect(tx)?
        .will
        .as_ref()
        .map(|(_, message)| message.as_slice())
}

fn publish(tx: &dyn Transaction) -> Option<(&[u8], &[u8])> {
    of(tx)?.messages.iter().find_map(|m| match &m.body {
        Body::Publish(topic, _, message) => Some((topic.as_slice(), message.as_slice())),
        _ => None,
    })
}

fn publish_topic<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    filled(publish(tx)?.0)
}

fn publish_message<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    filled(publish(tx)?.1)
}

/// Topics inspected of a transaction.
const TOPICS_MAX: usize = 100;

fn subscribe_topic<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let topics = of(tx)?.messages.iter().filter_map(|m| match &m.body {
        Body::Subscribe(_, topics) => Some(topics),
        _ => None,
    });
    topics
        .flatten()
        .map(|(topic, _)| topic.as_slice())
        .take(TOPICS_MAX)
        .nth(index)
}

fn unsubscribe_topic<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let topics = of(tx)?.messages.iter().filter_map(|m| match &m.body {
        Body::Unsubscribe(_, topics) => Some(topics),
        _ => None,
    });
    topics
        .flatten()
        .map(Vec::as_slice)
        .take(TOPICS_MAX)
        .nth(index)
}

fn kinds(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?
        .messages
        .get(index)
        .map(|m| u64::from(m.header.kind))
}

fn kind(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    number::list(argument, TYPES, 15, kinds)
}

fn reasons(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    let codes = of(tx)?.messages.iter().flat_map(|m| {
        let (one, many): (Option<u8>, &[u8]) = match &m.body {
            Body::Connack(_, code) => (Some(*code), &[]),
            Body::Acknowledge(_, code) | Body::Reason(code) => (*code, &[]),
            Body::Suback(_, codes) | Body::Unsuback(_, codes) => (None, codes),
            _ => (None, &[]),
        };
        one.into_iter().chain(many.iter().copied())
    });
    codes.map(u64::from).take(TOPICS_MAX).nth(index)
}

fn reason(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    number::list(argument, &[], 255, reasons)
}

fn flag_bits(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?
        .messages
        .get(index)
        .map(|m| u64::from(m.header.retain) | u64::from(m.header.dup) << 3)
}

fn flags(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    number::bits(argument, &[("retain", 1), ("dup", 8)], 15, flag_bits)
}

fn connect_bits(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    connect(tx)
        .filter(|_| index == 0)
        .map(|c| u64::from(c.flags))
}

fn connect_flags(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    const NAMES: number::Names = &[
        ("username", 0x80),
        ("password", 0x40),
        ("will_retain", 0x20),
        ("will", 0x04),
        ("clean_session", 0x02),
    ];
    number::bits(argument, NAMES, 255, connect_bits)
}

fn version(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)
        .filter(|_| index == 0)
        .map(|tx| u64::from(tx.version))
}

fn qos(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?.messages.get(index).map(|m| u64::from(m.header.qos))
}

/// `mqtt.connack.session_present:yes`.
#[derive(Debug)]
struct SessionPresent(bool);

impl FieldTest for SessionPresent {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, _: Direction) -> bool {
        of(tx).is_some_and(|tx| {
            tx.messages
                .iter()
                .any(|m| matches!(m.body, Body::Connack(p, _) if p == self.0))
        })
    }
}

fn session_present(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    match argument.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(Box::new(SessionPresent(true))),
        "no" | "false" => Ok(Box::new(SessionPresent(false))),
        other => Err(format!("{other:?} is neither yes nor no")),
    }
}

const fn field(
    name: &'static str,
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc).at(1)
}

use FieldDirection::{Both, ToServer};

pub(super) static FIELDS: &[Field] = &[
    field("mqtt.type", Both, Access::Test(kind), "packet types"),
    Field {
        name: "mqtt.reason_code",
        aliases: &["mqtt.connack.return_code"],
        modifier: None,
        direction: Both,
        progress: 1,
        access: Access::Test(reason),
        doc: "reason and return codes",
    },
    field(
        "mqtt.connack.session_present",
        Both,
        Access::Test(session_present),
        "the session present flag: yes or no",
    ),
    field(
        "mqtt.qos",
        Both,
        Access::Integer {
            value: qos,
            names: &[],
            max: 2,
        },
        "quality of service",
    ),
    field(
        "mqtt.flags",
        Both,
        Access::Test(flags),
        "retain and dup of the fixed header",
    ),
    field(
        "mqtt.connect.flags",
        ToServer,
        Access::Test(connect_flags),
        "the flags of CONNECT",
    ),
    field(
        "mqtt.protocol_version",
        Both,
        Access::Integer {
            value: version,
            names: &[],
            max: 255,
        },
        "version of the connection: 3, 4 or 5",
    ),
    field(
        "mqtt.connect.clientid",
        ToServer,
        Access::Bytes(client_id),
        "client identifier of CONNECT",
    ),
    field(
        "mqtt.connect.protocol_string",
        ToServer,
        Access::Bytes(protocol),
        "protocol name of CONNECT",
    ),
    field(
        "mqtt.connect.username",
        ToServer,
        Access::Bytes(username),
        "user name of CONNECT",
    ),
    field(
        "mqtt.connect.password",
        ToServer,
        Access::Bytes(password),
        "password of CONNECT",
    ),
    field(
        "mqtt.connect.willtopic",
        ToServer,
        Access::Bytes(will_topic),
        "topic of the will",
    ),
    field(
        "mqtt.connect.willmessage",
        ToServer,
        Access::Bytes(will_message),
        "message of the will",
    ),
    field(
        "mqtt.publish.topic",
        Both,
        Access::Bytes(publish_topic),
        "topic published to",
    ),
    field(
        "mqtt.publish.message",
        Both,
        Access::Bytes(publish_message),
        "message published",
    ),
    field(
        "mqtt.subscribe.topic",
        Both,
        Access::Multi(subscribe_topic),
        "topics subscribed to",
    ),
    field(
        "mqtt.unsubscribe.topic",
        Both,
        Access::Multi(unsubscribe_topic),
        "topics unsubscribed from",
    ),
];
