//! MQTT control packets of versions 3.1, 3.1.1 and 5.0 (OASIS MQTT §2, §3).
//!
//! Limits: a packet of 1 MiB is read, longer ones are only named; of properties and topics the first 1,024 are kept.

use crate::app::reader::Reader;

/// Largest packet that is read, without its fixed header, bytes.
pub const MESSAGE_MAX: usize = 1 << 20;
/// Properties and topics kept of a packet.
const LIST_MAX: usize = 1024;

/// Names of the packet types.
pub static TYPES: &[(&str, u64)] = &[
    ("unassigned", 0),
    ("connect", 1),
    ("connack", 2),
    ("publish", 3),
    ("puback", 4),
    ("pubrec", 5),
    ("pubrel", 6),
    ("pubcomp", 7),
    ("subscribe", 8),
    ("suback", 9),
    ("unsubscribe", 10),
    ("unsuback", 11),
    ("pingreq", 12),
    ("pingresp", 13),
    ("disconnect", 14),
    ("auth", 15),
];

/// The fixed header: `TTTTDQQR`, then the length in 7-bit groups, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Packet type, 0..=15.
    pub kind: u8,
    /// Sent again.
    pub dup: bool,
    /// Quality of service, 0..=3 (3 is invalid).
    pub qos: u8,
    /// To be kept by the server.
    pub retain: bool,
    /// Bytes that follow.
    pub len: usize,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Too few bytes yet.
    NeedMore,
    /// The length has more than four groups.
    Malformed,
}

impl Header {
    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Broken> {
        let first = r.u8().ok_or(Broken::NeedMore)?;
        let (mut len, mut shift) = (0usize, 0);
        loop {
            let byte = r.u8().ok_or(Broken::NeedMore)?;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 21 {
                return Err(Broken::Malformed);
            }
        }
        Ok(Self {
            kind: first >> 4,
            dup: first & 8 != 0,
            qos: first >> 1 & 3,
            retain: first & 1 != 0,
            len,
        })
    }
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u32),
    /// Text or binary.
    Bytes(Vec<u8>),
}

/// A property (MQTT 5 §2.2.2): name and value; user properties bring their own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// EVE's name.
    pub name: Vec<u8>,
    /// Value.
    pub value: Value,
}

/// CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// `MQTT` or `MQIsdp`.
    pub protocol: Vec<u8>,
    /// 3, 4 or 5.
    pub version: u8,
    /// `UPRQQWC0`: user name, password, will retain, will QoS, will, clean session.
    pub flags: u8,
    /// Client identifier.
    pub client_id: Vec<u8>,
    /// Topic and message published when the client is lost.
    pub will: Option<(Vec<u8>, Vec<u8>)>,
    /// User name.
    pub username: Option<Vec<u8>>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// Properties of the will.
    pub will_properties: Option<Vec<Property>>,
}

/// What a packet says, by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// CONNECT.
    Connect(Box<Connect>),
    /// CONNACK: session present, return code.
    Connack(bool, u8),
    /// PUBLISH: topic, message id, message.
    Publish(Vec<u8>, Option<u16>, Vec<u8>),
    /// PUBACK, PUBREC, PUBREL, PUBCOMP: message id, reason code.
    Acknowledge(u16, Option<u8>),
    /// SUBSCRIBE: message id, topics with their QoS.
    Subscribe(u16, Vec<(Vec<u8>, u8)>),
    /// SUBACK: message id, QoS granted.
    Suback(u16, Vec<u8>),
    /// UNSUBSCRIBE: message id, topics.
    Unsubscribe(u16, Vec<Vec<u8>>),
    /// UNSUBACK: message id, reason codes.
    Unsuback(u16, Vec<u8>),
    /// DISCONNECT, AUTH: reason code.
    Reason(Option<u8>),
    /// PINGREQ, PINGRESP, unassigned types.
    Empty,
    /// Too long to be read: all of its bytes, header included.
    Truncated(usize),
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// Properties, `None` when there are none.
    pub properties: Option<Vec<Property>>,
    /// The rest.
    pub body: Body,
}

impl Message {
    /// Reads a packet's bytes behind its fixed header; `version` is that of the connection.
    pub fn read(header: Header, bytes: &[u8], version: u8) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let five = version == 5;
        let mut properties = None;
        let body = match header.kind {
            1 => {
                let (connect, own) = connect(&mut r)?;
                properties = own;
                Body::Connect(Box::new(connect))
            }
            2 => {
                let (flags, code) = (r.u8()?, r.u8()?);
                properties = self::properties(&mut r, five)?;
                Body::Connack(flags & 1 != 0, code)
            }
            3 => {
                let topic = r.counted16()?.to_vec();
                let id = if header.qos > 0 { Some(r.u16()?) } else { None };
                properties = self::properties(&mut r, five)?;
                Body::Publish(topic, id, r.take_rest().to_vec())
            }
            4..=7 => {
                let id = r.u16()?;
                let code = match (version < 5, r.peek()) {
                    (true, _) => None,
                    // MQTT 5 §3.4.2.1: left out when it is success.
                    (false, None) => Some(0),
                    (false, code) => code,
                };
                let _ = r.u8();
                if version >= 5 && !r.is_empty() {
                    properties = self::properties(&mut r, true)?;
                }
                Body::Acknowledge(id, code)
            }
            8 => {
                let id = r.u16()?;
                properties = self::properties(&mut r, five)?;
                let mut topics = Vec::new();
                while let (Some(topic), true) = (r.counted16(), topics.len() < LIST_MAX) {
                    let Some(qos) = r.u8() else { break };
                    topics.push((topic.to_vec(), qos));
                }
                if topics.is_empty() {
                    return None;
                }
                Body::Subscribe(id, topics)
            }
            9 => {
                let id = r.u16()?;
                properties = self::properties(&mut r, five)?;
                Body::Suback(id, first(r.take_rest()))
            }
            10 => {
                let id = r.u16()?;
                properties = self::properties(&mut r, five)?;
                let mut topics = Vec::new();
                while let (Some(topic), true) = (r.counted16(), topics.len() < LIST_MAX) {
                    topics.push(topic.to_vec());
                }
                Body::Unsubscribe(id, topics)
            }
            11 => {
                let id = r.u16()?;
                properties = self::properties(&mut r, five)?;
                Body::Unsuback(id, first(r.take_rest()))
            }
            14 if version < 5 => Body::Reason(None),
            14 if bytes.len() < 2 => Body::Reason(Some(0)),
            14 | 15 => {
                let code = r.u8()?;
                properties = self::properties(&mut r, true)?;
                Body::Reason(Some(code))
            }
            _ => Body::Empty,
        };
        Some(Self {
            header,
            properties,
            body,
        })
    }
}

fn first(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..LIST_MAX).unwrap_or(bytes).to_vec()
}

fn connect(r: &mut Reader<'_>) -> Option<(Connect, Option<Vec<Property>>)> {
    let protocol = r.counted16()?.to_vec();
    let (version, flags) = (r.u8()?, r.u8()?);
    r.u16()?;
    let own = properties(r, version == 5)?;
    let client_id = r.counted16()?.to_vec();
    let has_will = flags & 4 != 0;
    let will_properties = properties(r, version == 5 && has_will)?;
    let will = if has_will {
        Some((r.counted16()?.to_vec(), r.counted16()?.to_vec()))
    } else {
        None
    };
    let username = if flags & 0x80 != 0 {
        Some(r.counted16()?.to_vec())
    } else {
        None
    };
    let password = if flags & 0x40 != 0 {
        Some(r.counted16()?.to_vec())
    } else {
        None
    };
    Some((
        Connect {
            protocol,
            version,
            flags,
            client_id,
            will,
            username,
            password,
            will_properties,
        },
        own,
    ))
}

/// A number in 7-bit groups.
fn grouped(r: &mut Reader<'_>) -> Option<u32> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = r.u8()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The outer `None`: malformed.
#[expect(
    clippy::option_option,
    reason = "a list that is absent is not one that is broken"
)]
fn properties(r: &mut Reader<'_>, present: bool) -> Option<Option<Vec<Property>>> {
    if !present {
        return Some(None);
    }
    let len = grouped(r)? as usize;
    if len == 0 {
        return Some(None);
    }
    let mut part = r.part(len)?;
    let mut list = Vec::new();
    while !part.is_empty() {
        let property = property(&mut part)?;
        if let (Some(property), true) = (property, list.len() < LIST_MAX) {
            list.push(property);
        }
    }
    Some(Some(list))
}

/// MQTT 5 §2.2.2.2. An unknown identifier has no value and is passed over.
#[expect(
    clippy::option_option,
    reason = "an unknown property is not a broken one"
)]
fn property(r: &mut Reader<'_>) -> Option<Option<Property>> {
    let id = grouped(r)?;
    let Some((name, form)) = PROPERTIES
        .iter()
        .find(|(i, ..)| *i == id)
        .map(|(_, name, form)| (*name, *form))
    else {
        return Some(None);
    };
    let value = match form {
        1 => Value::Number(u32::from(r.u8()?)),
        2 => Value::Number(u32::from(r.u16()?)),
        4 => Value::Number(r.u32()?),
        GROUPED => Value::Number(grouped(r)?),
        PAIR => {
            let (name, value) = (r.counted16()?.to_vec(), r.counted16()?.to_vec());
            return Some(Some(Property {
                name,
                value: Value::Bytes(value),
            }));
        }
        _ => Value::Bytes(r.counted16()?.to_vec()),
    };
    Some(Some(Property {
        name: name.as_bytes().to_vec(),
        value,
    }))
}

const COUNTED: u8 = 10;
const GROUPED: u8 = 11;
const PAIR: u8 = 12;

/// Identifier, EVE's name, form: bytes of a number, or one of the above.
static PROPERTIES: &[(u32, &str, u8)] = &[
    (1, "payload_format_indicator", 1),
    (2, "message_expiry_interval", 4),
    (3, "content_type", COUNTED),
    (8, "response_topic", COUNTED),
    (9, "correlation_data", COUNTED),
    (11, "subscription_identifier", GROUPED),
    (17, "session_expiry_interval", 4),
    (18, "assigned_client_identifier", COUNTED),
    (19, "server_keep_alive", 2),
    (21, "authentication_method", COUNTED),
    (22, "authentication_data", COUNTED),
    (23, "request_problem_information", 1),
    (24, "will_delay_interval", 4),
    (25, "request_response_information", 1),
    (26, "response_information", COUNTED),
    (28, "server_reference", COUNTED),
    (31, "reason_string", COUNTED),
    (33, "receive_maximum", 2),
    (34, "topic_alias_maximum", 2),
    (35, "topic_alias", 2),
    (36, "maximum_qos", 1),
    (37, "retain_available", 1),
    (38, "user_property", PAIR),
    (39, "maximum_packet_size", 4),
    (40, "wildcard_subscription_available", 1),
    (41, "subscription_identifier_available", 1),
    (42, "shared_subscription_available", 1),
];
