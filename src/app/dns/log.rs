//! EVE records of DNS (version 3: one form for requests and responses), mDNS and LLMNR.
//!
//! A TXT record of several strings is written as one answer a string. Addresses of the wrong length are written empty.

use std::fmt::Write;

use super::DnsTx;
use super::message::{Message, Name, RCODES, RData, RRTYPES, Record, name_of};
use crate::alert::Json;

/// `"dns":{…}`.
pub(super) fn dns(tx: &DnsTx, json: &mut Json<'_>) {
    let message = &tx.message;
    let header = message.header;
    let mut text = String::new();
    json.object("dns")
        .num("version", 3)
        .str("type", if tx.response { "response" } else { "request" });
    json.num("tx_id", tx.state.id).num("id", header.id);
    let _ = write!(text, "{:x}", header.flags);
    json.str("flags", &text);
    for (name, bit) in FLAGS {
        if header.flags & bit != 0 {
            json.bool(name, true);
        }
    }
    json.num("opcode", header.opcode());
    json.str("rcode", or_number(RCODES, header.rcode(), &mut text));
    if !message.questions.is_empty() {
        json.array("queries");
        for q in &message.questions {
            json.begin()
                .str("rrname", &q.name.text)
                .str("rrtype", or_number(RRTYPES, q.rrtype, &mut text));
            truncated(&q.name, "rrname_truncated", json);
            json.end();
        }
        json.end_array();
    }
    if !message.answers.is_empty() {
        section("answers", &message.answers, &mut text, json);
        grouped(message, &mut text, json);
    }
    if !message.authorities.is_empty() {
        section("authorities", &message.authorities, &mut text, json);
    }
    if message.additionals.iter().any(is_told) {
        section("additionals", &message.additionals, &mut text, json);
    }
    json.end();
}

const FLAGS: [(&str, u16); 6] = [
    ("qr", 0x8000),
    ("aa", 0x0400),
    ("tc", 0x0200),
    ("rd", 0x0100),
    ("ra", 0x0080),
    ("z", 0x0040),
];

/// An OPT record without options (in nearly every message) tells nothing.
fn is_told(record: &Record) -> bool {
    !matches!(&record.data, RData::Opt(options) if options.is_empty())
}

fn truncated(name: &Name, key: &str, json: &mut Json<'_>) {
    if name.truncated {
        json.bool(key, true);
    }
}

fn or_number<'a>(
    names: &'static [(&'static str, u64)],
    value: u16,
    text: &'a mut String,
) -> &'a str {
    match name_of(names, value) {
        Some(name) => name,
        None => {
            text.clear();
            let _ = write!(text, "{value}");
            text
        }
    }
}

fn section(key: &str, records: &[Record], text: &mut String, json: &mut Json<'_>) {
    json.array(key);
    for record in records
        .iter()
        .filter(|r| is_told(r) || key != "additionals")
    {
        match &record.data {
            RData::Text(strings) => {
                for string in strings {
                    head(record, text, json).str("rdata", string).end();
                }
            }
            data => {
                head(record, text, json);
                match data {
                    RData::Address(address) => {
                        json.str("rdata", address_text(address, text));
                    }
                    RData::Name(name) => {
                        json.str("rdata", &name.text);
                        truncated(name, "rdata_truncated", json);
                    }
                    RData::Null(bytes) => {
                        json.str("rdata", bytes);
                    }
                    RData::Soa { .. } => {
                        json.key("soa");
                        object(data, json);
                    }
                    RData::Sshfp { .. } => {
                        json.key("sshfp");
                        object(data, json);
                    }
                    RData::Srv { .. } => {
                        json.key("srv");
                        object(data, json);
                    }
                    RData::Opt(_) => {
                        json.key("opt");
                        object(data, json);
                    }
                    RData::Text(_) | RData::Other(_) => {}
                }
                json.end();
            }
        }
    }
    json.end_array();
}

fn head<'j, 'o>(record: &Record, text: &mut String, json: &'j mut Json<'o>) -> &'j mut Json<'o> {
    json.begin().str("rrname", &record.name.text);
    truncated(&record.name, "rrname_truncated", json);
    json.str("rrtype", or_number(RRTYPES, record.rrtype, text))
        .num("ttl", record.ttl)
}

/// The answers' data by type, types in the order of their first answer.
fn grouped(message: &Message, text: &mut String, json: &mut Json<'_>) {
    let has_data = |r: &Record| !matches!(r.data, RData::Opt(_) | RData::Other(_));
    let mut types: Vec<u16> = Vec::new();
    for record in message.answers.iter().filter(|r| has_data(r)) {
        if !types.contains(&record.rrtype) {
            types.push(record.rrtype);
        }
    }
    json.object("grouped");
    for rrtype in types {
        json.array(or_number(RRTYPES, rrtype, text));
        for record in message.answers.iter().filter(|r| r.rrtype == rrtype) {
            value(&record.data, text, json);
        }
        json.end_array();
    }
    json.end();
}

/// The data as an element: a string, several, or an object.
fn value(data: &RData, text: &mut String, json: &mut Json<'_>) {
    match data {
        RData::Address(address) => {
            json.text(address_text(address, text));
        }
        RData::Name(name) => {
            json.text(&name.text);
        }
        RData::Text(strings) => {
            for string in strings {
                json.text(string);
            }
        }
        RData::Null(bytes) | RData::Other(bytes) => {
            json.text(bytes);
        }
        other => object(other, json),
    }
}

/// The data of the types with several members.
fn object(data: &RData, json: &mut Json<'_>) {
    match data {
        RData::Soa {
            mname,
            rname,
            numbers,
        } => {
            json.begin().str("mname", &mname.text);
            truncated(mname, "mname_truncated", json);
            json.str("rname", &rname.text);
            truncated(rname, "rname_truncated", json);
            for (key, number) in ["serial", "refresh", "retry", "expire", "minimum"]
                .into_iter()
                .zip(numbers)
            {
                json.num(key, *number);
            }
            json.end();
        }
        RData::Sshfp {
            algorithm,
            kind,
            fingerprint,
        } => {
            json.begin()
                .hex("fingerprint", fingerprint, Some(b':'))
                .num("algo", *algorithm)
                .num("type", *kind)
                .end();
        }
        RData::Srv {
            priority,
            weight,
            port,
            target,
        } => {
            json.begin()
                .num("priority", *priority)
                .num("weight", *weight)
                .num("port", *port);
            json.str("name", &target.text).end();
        }
        RData::Opt(options) => {
            json.begin_array();
            for (code, data) in options {
                json.begin()
                    .num("code", *code)
                    .hex("data", data, None)
                    .end();
            }
            json.end_array();
        }
        _ => {}
    }
}

fn address_text<'a>(address: &[u8], text: &'a mut String) -> &'a str {
    text.clear();
    if let Ok(v4) = <[u8; 4]>::try_from(address) {
        let _ = write!(text, "{}", std::net::Ipv4Addr::from(v4));
    } else if let Ok(v6) = <[u8; 16]>::try_from(address) {
        for (i, group) in v6.chunks(2).enumerate() {
            let colon = if i > 0 { ":" } else { "" };
            let _ = write!(
                text,
                "{colon}{:02x}{:02x}",
                group.first().unwrap_or(&0),
                group.last().unwrap_or(&0)
            );
        }
    }
    text
}

/// `"mdns":{…}` and `"llmnr":{…}`: records carry their data under the name of their type.
pub(super) fn local(tx: &DnsTx, key: &str, json: &mut Json<'_>) {
    let message = &tx.message;
    let header = message.header;
    let mdns = key == "mdns";
    let mut text = String::new();
    json.object(key)
        .str("type", if tx.response { "response" } else { "request" })
        .num("id", header.id);
    let flags: &[(&str, u16)] = if mdns { &MDNS_FLAGS } else { &LLMNR_FLAGS };
    if flags.iter().any(|(_, bit)| header.flags & bit != 0) {
        json.array("flags");
        for (name, _) in flags.iter().filter(|(_, bit)| header.flags & bit != 0) {
            json.text(name);
        }
        json.end_array();
    }
    json.num("opcode", header.opcode());
    if mdns {
        json.num("rcode", header.rcode());
    }
    if !message.questions.is_empty() {
        json.array("queries");
        for q in &message.questions {
            let rrtype = or_number(RRTYPES, q.rrtype, &mut text).to_ascii_lowercase();
            json.begin()
                .str("rrname", &q.name.text)
                .str("rrtype", &rrtype);
            truncated(&q.name, "rrname_truncated", json);
            json.end();
        }
        json.end_array();
    }
    for (key, records) in [
        ("answers", &message.answers),
        ("authorities", &message.authorities),
        ("additionals", &message.additionals),
    ] {
        if !records.iter().any(|r| is_told(r) || key != "additionals") {
            continue;
        }
        json.array(key);
        for record in records
            .iter()
            .filter(|r| is_told(r) || key != "additionals")
        {
            json.begin().str("rrname", &record.name.text);
            truncated(&record.name, "rrname_truncated", json);
            let kind = or_number(RRTYPES, record.rrtype, &mut text).to_ascii_lowercase();
            // EVE's schema knows only these members of mdns records.
            if mdns && (key == "authorities" || !matches!(kind.as_str(), "ptr" | "txt")) {
                json.end();
                continue;
            }
            json.key(&kind);
            if let RData::Text(strings) = &record.data {
                json.begin_array();
                for string in strings {
                    json.text(string);
                }
                json.end_array();
            } else {
                value(&record.data, &mut text, json);
                if let RData::Name(name) = &record.data {
                    truncated(name, "rdata_truncated", json);
                }
            }
            json.end();
        }
        json.end_array();
    }
    json.end();
}

const LLMNR_FLAGS: [(&str, u16); 3] = [("c", 0x0400), ("tc", 0x0200), ("t", 0x0100)];
const MDNS_FLAGS: [(&str, u16); 7] = [
    ("aa", 0x0400),
    ("tc", 0x0200),
    ("rd", 0x0100),
    ("ra", 0x0080),
    ("z", 0x0040),
    ("ad", 0x0020),
    ("cd", 0x0010),
];
