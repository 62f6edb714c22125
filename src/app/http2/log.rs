//! HTTP/2 in EVE: the `http` object with `version` 2.

use super::fields::{ERRORS, SETTINGS};
use super::tx::{Side, Tx};
use crate::alert::Json;

/// Whether there is anything to write.
pub(super) fn is_due(tx: &Tx) -> bool {
    tx.sides
        .iter()
        .any(|side| !side.fields.is_empty() || has_frames(side))
}

fn has_frames(side: &Side) -> bool {
    !side.settings.is_empty()
        || side
            .frames
            .iter()
            .any(|f| f.error_code.is_some() || f.priority.is_some())
}

fn number(value: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

/// Writes `"http":{…}`.
pub(super) fn write(tx: &Tx, json: &mut Json<'_>) {
    json.object("http").str("version", "2");
    let [server, client] = &tx.sides;
    for (name, side) in [("request_headers", server), ("response_headers", client)] {
        if side.fields.is_empty() {
            continue;
        }
        json.array(name);
        for (name, value) in side.fields.iter() {
            json.begin().str("name", name).str("value", value).end();
        }
        for size in &side.size_updates {
            json.begin().num("table_size_update", *size).end();
        }
        json.end_array();
    }
    for (key, name) in [
        ("http_method", &b":method"[..]),
        ("url", b":path"),
        ("hostname", b"host"),
        ("http_user_agent", b"user-agent"),
    ] {
        if let Some(value) = server.fields.first(name) {
            json.str(key, value);
        }
    }
    let length = client
        .fields
        .first(b"content-length")
        .or_else(|| server.fields.first(b"content-length"));
    if let Some(length) = number(length) {
        json.num("length", length);
    }
    if let Some(status) = number(client.fields.first(b":status")) {
        json.num("status", status);
    }
    json.object("http2").num("stream_id", tx.stream);
    for (name, side) in [("request", server), ("response", client)] {
        if has_frames(side) {
            json.object(name);
            frames(side, json);
            json.end();
        }
    }
    json.end().end();
}

fn frames(side: &Side, json: &mut Json<'_>) {
    if !side.settings.is_empty() {
        json.array("settings");
        for (id, value) in &side.settings {
            let Some((name, _)) = SETTINGS.iter().find(|(_, n)| n == id) else {
                continue;
            };
            json.begin()
                .str("settings_id", format!("SETTINGS{name}"))
                .num("settings_value", *value)
                .end();
        }
        json.end_array();
    }
    let mut multiple = None;
    let mut codes = side.frames.iter().filter_map(|f| f.error_code);
    if let Some(code) = codes.next() {
        match ERRORS.iter().find(|(_, n)| *n == u64::from(code)) {
            // Without the underscores that rules write.
            Some((name, _)) => json.str("error_code", name.replace('_', "")),
            None => json.str("error_code", format!("unknown-{code}")),
        };
        multiple = codes.next().map(|_| "error_code");
    }
    let mut priorities = side.frames.iter().filter_map(|f| f.priority);
    if let Some(priority) = priorities.next() {
        json.num("priority", priority);
        multiple = multiple.or(priorities.next().map(|_| "priority"));
    }
    if let Some(what) = multiple {
        json.str("has_multiple", what);
    }
}
