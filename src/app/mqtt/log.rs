//! EVE's `mqtt` object: one member a packet of the transaction. Passwords are written, as Suricata's default does; strings are cut at 1 KiB.

use super::MqttTx;
use super::message::{Body, Message, Property, TYPES, Value};
use crate::alert::Json;

const STRING_MAX: usize = 1024;

/// `"mqtt":{…}`.
pub(super) fn mqtt(tx: &MqttTx, json: &mut Json<'_>) {
    json.object("mqtt");
    for message in &tx.messages {
        let kind = usize::from(message.header.kind);
        if let (Some((name, _)), 1..) = (TYPES.get(kind), kind) {
            one(name, message, json);
        }
    }
    json.end();
}

fn one(name: &str, message: &Message, json: &mut Json<'_>) {
    let header = message.header;
    json.object(name)
        .num("qos", header.qos)
        .bool("retain", header.retain)
        .bool("dup", header.dup);
    match &message.body {
        Body::Connect(c) => {
            json.str("protocol_string", &c.protocol)
                .num("protocol_version", c.version);
            json.limited("client_id", &c.client_id, STRING_MAX)
                .object("flags");
            for (name, bit) in FLAGS {
                json.bool(name, c.flags & bit != 0);
            }
            json.end();
            if let Some(username) = &c.username {
                json.limited("username", username, STRING_MAX);
            }
            if let Some(password) = &c.password {
                json.str("password", password);
            }
            if let Some((topic, message)) = &c.will {
                json.object("will")
                    .limited("topic", topic, STRING_MAX)
                    .limited("message", message, STRING_MAX);
                properties(c.will_properties.as_deref(), json);
                json.end();
            }
        }
        Body::Connack(present, code) => {
            json.bool("session_present", *present)
                .num("return_code", *code);
        }
        Body::Publish(topic, id, message) => {
            json.limited("topic", topic, STRING_MAX);
            if let Some(id) = id {
                json.num("message_id", *id);
            }
            json.limited("message", message, STRING_MAX);
        }
        Body::Acknowledge(id, code) => {
            json.num("message_id", *id);
            if let Some(code) = code {
                json.num("reason_code", *code);
            }
        }
        Body::Subscribe(id, topics) => {
            json.num("message_id", *id).array("topics");
            let mut left = STRING_MAX;
            for (topic, qos) in topics {
                json.begin()
                    .limited("topic", topic, left)
                    .num("qos", *qos)
                    .end();
                left = match left.checked_sub(topic.len()) {
                    Some(left) => left,
                    None => break,
                };
            }
            json.end_array();
        }
        Body::Suback(id, granted) => {
            json.num("message_id", *id);
            codes("qos_granted", granted, json);
        }
        Body::Unsubscribe(id, topics) => {
            json.num("message_id", *id).array("topics");
            for topic in topics {
                json.text(topic);
            }
            json.end_array();
        }
        Body::Unsuback(id, reasons) => {
            json.num("message_id", *id);
            if !reasons.is_empty() {
                codes("reason_codes", reasons, json);
            }
        }
        Body::Reason(Some(code)) => {
            json.num("reason_code", *code);
        }
        Body::Truncated(skipped) => {
            json.bool("truncated", true)
                .num("skipped_length", *skipped as u64);
        }
        Body::Reason(None) | Body::Empty => {}
    }
    properties(message.properties.as_deref(), json);
    json.end();
}

const FLAGS: [(&str, u8); 5] = [
    ("username", 0x80),
    ("password", 0x40),
    ("will_retain", 0x20),
    ("will", 0x04),
    ("clean_session", 0x02),
];

fn codes(key: &str, codes: &[u8], json: &mut Json<'_>) {
    json.array(key);
    for code in codes {
        json.number(*code);
    }
    json.end_array();
}

fn properties(list: Option<&[Property]>, json: &mut Json<'_>) {
    let Some(list) = list else { return };
    json.object("properties");
    for property in list {
        json.hostile_key(&property.name);
        match &property.value {
            Value::Number(number) => json.number(*number),
            Value::Bytes(bytes) => json.text(bytes.get(..STRING_MAX).unwrap_or(bytes)),
        };
    }
    json.end();
}
