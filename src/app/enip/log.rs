//! The EVE object of EtherNet/IP.

use super::EnipTx;
use super::message::{Cip, Message, Payload, Segment};
use super::name::{
    CLASSES, COMMANDS, DEVICES, EXTENDED, SERVICES, STATES, STATUS, VENDORS, known, name,
};
use crate::alert::Json;

/// Writes `"enip":{…}`.
pub(super) fn enip(tx: &EnipTx, json: &mut Json<'_>) {
    json.object("enip");
    for (key, half) in [("request", &tx.request), ("response", &tx.response)] {
        if let Some(half) = half {
            json.object(key);
            message(half, key == "response", json);
            json.end();
        }
    }
    json.end();
}

fn message(message: &Message, response: bool, json: &mut Json<'_>) {
    json.str("command", &*name(COMMANDS, message.command.into()))
        .str("status", &*name(STATES, message.status));
    match &message.payload {
        Payload::Cip(Some(one), ..) => {
            json.object("cip");
            cip(one, json);
            json.end();
        }
        Payload::Register(version, options) => {
            json.object("register_session")
                .num("protocol_version", *version)
                .num("options", *options)
                .end();
        }
        Payload::Services(services) if response => {
            json.object("list_services")
                .num("protocol_version", services.protocol_version)
                .num("capabilities", services.capabilities)
                .str("service_name", &services.name)
                .end();
        }
        Payload::Identity(identity) if response => {
            let (major, minor) = identity.revision;
            json.object("identity")
                .num("protocol_version", identity.protocol_version)
                .str("revision", format!("{major}.{minor}"))
                .str("vendor_id", &*name(VENDORS, identity.vendor.into()))
                .str("device_type", &*name(DEVICES, identity.device.into()))
                .num("product_code", identity.product)
                .num("status", identity.status)
                .num("serial", identity.serial)
                .str("product_name", &identity.name)
                .num("state", identity.state)
                .end();
        }
        _ => {}
    }
}

/// The members of a service; those of its parts are one level deep.
fn cip(cip: &Cip, json: &mut Json<'_>) {
    json.str("service", &*name(SERVICES, cip.service.into()));
    if let Some(answer) = &cip.answer {
        json.str("status", &*name(STATUS, answer.status.into()));
        if !answer.extended.is_empty() {
            json.hex("status_extended", &answer.extended, None);
        }
        if let [low, high] = *answer.extended
            && let Some(meaning) = known(EXTENDED, u16::from_le_bytes([low, high]).into())
        {
            json.str("status_extended_meaning", meaning);
        }
    }
    if !cip.path.is_empty() {
        json.array("path");
        for segment in &cip.path {
            json.begin();
            match kind(*segment) {
                Some(kind) => json.str("segment_type", kind),
                None => json.str("segment_type", format!("unknown-{}", segment.kind)),
            };
            json.num("value", segment.value).end();
        }
        json.end_array();
        if let Some(class) = cip.path.iter().rev().find(|s| s.is_class()) {
            json.str("class_name", &*name(CLASSES, class.value));
        }
    }
    if !cip.parts.is_empty() {
        json.array("multiple");
        for part in &cip.parts {
            json.begin();
            self::cip(part, json);
            json.end();
        }
        json.end_array();
    }
}

fn kind(segment: Segment) -> Option<&'static str> {
    match segment {
        s if s.is_class() => Some("class"),
        s if s.is_instance() => Some("instance"),
        s if s.is_attribute() => Some("attribute"),
        _ => None,
    }
}
