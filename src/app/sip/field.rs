//! The rule keywords of SIP and SDP.

use super::SipTx;
use super::sdp::Sdp;
use crate::app::{Access, Field, FieldDirection, Transaction};
use crate::packet::Direction;

fn of(tx: &dyn Transaction, direction: Direction) -> Option<&SipTx> {
    tx.as_any()
        .downcast_ref::<SipTx>()
        .filter(|tx| tx.direction == direction)
}

fn sdp(tx: &dyn Transaction, direction: Direction) -> Option<&Sdp> {
    of(tx, direction)?.sdp.as_ref()
}

/// Part of the first line.
fn part(tx: &dyn Transaction, direction: Direction, which: usize) -> Option<&[u8]> {
    of(tx, direction)?.start.get(which).map(Vec::as_slice)
}

/// A keyword whose value is an expression of the transaction and the direction.
macro_rules! keyword {
    ($name:literal, $way:ident, $doc:expr, |$tx:ident, $direction:ident| $value:expr) => {
        Field {
            name: $name,
            aliases: &[],
            modifier: None,
            direction: FieldDirection::$way,
            progress: 1,
            access: Access::Bytes(|$tx, $direction, _| $value),
            doc: $doc,
        }
    };
    ($name:literal, $way:ident, $doc:expr, |$tx:ident, $direction:ident, $index:ident| $value:expr) => {
        Field {
            name: $name,
            aliases: &[],
            modifier: None,
            direction: FieldDirection::$way,
            progress: 1,
            access: Access::Multi(|$tx, $direction, $index, _| $value),
            doc: $doc,
        }
    };
}

/// A keyword for a header.
macro_rules! header {
    ($name:literal, $header:literal) => {
        keyword!($name, Both, concat!("header ", $header), |tx, d, i| of(
            tx, d
        )?
        .header($header.as_bytes())
        .nth(i))
    };
}

pub(super) static FIELDS: &[Field] = &[
    keyword!(
        "sip.method",
        ToServer,
        "method of a request",
        |tx, _d| part(tx, Direction::ToServer, 0)
    ),
    keyword!("sip.uri", ToServer, "URI of a request", |tx, _d| part(
        tx,
        Direction::ToServer,
        1
    )),
    keyword!("sip.protocol", Both, "protocol and version", |tx, d| {
        part(tx, d, if d == Direction::ToServer { 2 } else { 0 })
    }),
    keyword!("sip.stat_code", ToClient, "code of a response", |tx, _d| {
        part(tx, Direction::ToClient, 1)
    }),
    keyword!(
        "sip.stat_msg",
        ToClient,
        "reason of a response",
        |tx, _d| part(tx, Direction::ToClient, 2)
    ),
    keyword!(
        "sip.request_line",
        ToServer,
        "first line of a request",
        |tx, _d| { Some(of(tx, Direction::ToServer)?.line.as_slice()) }
    ),
    keyword!(
        "sip.response_line",
        ToClient,
        "first line of a response",
        |tx, _d| { Some(of(tx, Direction::ToClient)?.line.as_slice()) }
    ),
    header!("sip.from", "From"),
    header!("sip.to", "To"),
    header!("sip.via", "Via"),
    header!("sip.user_agent", "User-Agent"),
    header!("sip.content_type", "Content-Type"),
    header!("sip.content_length", "Content-Length"),
    keyword!("sdp.origin", Both, "originator of a session", |tx, d| Some(
        sdp(tx, d)?.origin.as_slice()
    )),
    keyword!("sdp.session_name", Both, "name of a session", |tx, d| Some(
        sdp(tx, d)?.session_name.as_slice()
    )),
    keyword!("sdp.session_info", Both, "about a session", |tx, d| sdp(
        tx, d
    )?
    .session_info
    .as_deref()),
    keyword!("sdp.uri", Both, "URI about a session", |tx, d| sdp(tx, d)?
        .uri
        .as_deref()),
    keyword!("sdp.email", Both, "mail address", |tx, d| sdp(tx, d)?
        .email
        .as_deref()),
    keyword!("sdp.phone_number", Both, "phone number", |tx, d| sdp(
        tx, d
    )?
    .phone
    .as_deref()),
    keyword!("sdp.connection_data", Both, "where media go", |tx, d| sdp(
        tx, d
    )?
    .connection
    .as_deref()),
    keyword!("sdp.bandwidth", Both, "bandwidths", |tx, d, i| sdp(tx, d)?
        .bandwidths
        .get(i)
        .map(Vec::as_slice)),
    keyword!("sdp.time", Both, "times of a session", |tx, d, i| Some(
        sdp(tx, d)?.times.get(i)?.0.as_slice()
    )),
    keyword!("sdp.repeat_time", Both, "when times repeat", |tx, d, i| {
        sdp(tx, d)?
            .times
            .iter()
            .filter_map(|(_, repeat)| repeat.as_deref())
            .nth(i)
    }),
    keyword!("sdp.timezone", Both, "time zone adjustments", |tx, d| sdp(
        tx, d
    )?
    .timezone
    .as_deref()),
    keyword!("sdp.encryption_key", Both, "key of a session", |tx, d| sdp(
        tx, d
    )?
    .key
    .as_deref()),
    keyword!(
        "sdp.attribute",
        Both,
        "attributes of a session",
        |tx, d, i| { sdp(tx, d)?.attributes.get(i).map(Vec::as_slice) }
    ),
    keyword!("sdp.media.media", Both, "media", |tx, d, i| Some(
        sdp(tx, d)?.media.get(i)?.media.as_slice()
    )),
    keyword!("sdp.media.media_info", Both, "about media", |tx, d, i| {
        sdp(tx, d)?
            .media
            .iter()
            .filter_map(|m| m.info.as_deref())
            .nth(i)
    }),
    keyword!(
        "sdp.media.connection_data",
        Both,
        "where one medium goes",
        |tx, d, i| {
            sdp(tx, d)?
                .media
                .iter()
                .filter_map(|m| m.connection.as_deref())
                .nth(i)
        }
    ),
    keyword!(
        "sdp.media.encryption_key",
        Both,
        "key of a medium",
        |tx, d, i| {
            sdp(tx, d)?
                .media
                .iter()
                .filter_map(|m| m.key.as_deref())
                .nth(i)
        }
    ),
];
