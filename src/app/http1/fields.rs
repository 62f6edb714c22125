//! The rule keywords of HTTP/1.x: which part of a transaction each one reads.
//!
//! A field names the stage that brings it: it may be there already while the stage lasts, and is final beyond it.

use super::tx::{Tx, part, progress};
use crate::app::http_keyword::http;
use crate::app::{Access, Field, Transaction};
use crate::packet::Direction;

fn tx(tx: &dyn Transaction) -> Option<&Tx> {
    tx.as_any().downcast_ref::<Tx>()
}

/// A field of the request's or the response's header, by direction.
fn header<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    request: &[u8],
    response: &[u8],
) -> Option<&'a [u8]> {
    let t = tx(t)?;
    match direction {
        Direction::ToServer => t.request.headers.get(request),
        Direction::ToClient => t.response.headers.get(response),
    }
}

macro_rules! header_access {
    ($request:literal) => {
        header_access!($request, $request)
    };
    ($request:literal, $response:literal) => {
        Access::Bytes(|t, d, _| header(t, d, $request, $response))
    };
}

/// `Name\r\n` of every field between two line ends.
fn header_names<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let t = tx(t)?;
    let headers = if direction == Direction::ToServer {
        &t.request.headers
    } else {
        &t.response.headers
    };
    if headers.is_empty() {
        return None;
    }
    out.extend_from_slice(b"\r\n");
    for (name, _) in headers.iter() {
        out.extend_from_slice(name);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(out)
}

/// The first line and all fields, normalised.
fn start<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let t = tx(t)?;
    let (line, headers) = match direction {
        Direction::ToServer => (&t.request.line, &t.request.headers),
        Direction::ToClient => (&t.response.line, &t.response.headers),
    };
    if line.is_empty() {
        return None;
    }
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if !headers.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    Some(out)
}

fn block(t: &dyn Transaction, direction: Direction) -> Option<&[u8]> {
    let t = tx(t)?;
    let headers = if direction == Direction::ToServer {
        &t.request.headers
    } else {
        &t.response.headers
    };
    Some(headers.block()).filter(|b| !b.is_empty())
}

fn raw_block(t: &dyn Transaction, direction: Direction) -> Option<&[u8]> {
    let t = tx(t)?;
    let raw = if direction == Direction::ToServer {
        &t.request.raw
    } else {
        &t.response.raw
    };
    Some(raw.as_slice()).filter(|b| !b.is_empty())
}

fn protocol(t: &dyn Transaction, direction: Direction) -> Option<&[u8]> {
    let t = tx(t)?;
    match direction {
        Direction::ToServer => part(&t.request.line, t.request.protocol),
        Direction::ToClient => part(&t.response.line, t.response.protocol),
    }
}

fn host_raw(t: &dyn Transaction) -> Option<&[u8]> {
    let request = &tx(t)?.request;
    request
        .target
        .host
        .as_deref()
        .or_else(|| request.headers.get(b"host"))
}

/// All of them.
pub(super) static FIELDS: &[Field] = &[
    http(
        "http.method",
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| part(&t.request.line, t.request.method))),
    ),
    http(
        "http.uri",
        progress::LINE,
        Access::Bytes(|t, _, _| {
            tx(t)
                .map(|t| t.request.target.normalized.as_slice())
                .filter(|u| !u.is_empty())
        }),
    ),
    http(
        "http.uri.raw",
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| t.raw_uri())),
    ),
    http(
        "http.request_line",
        progress::LINE,
        Access::Bytes(|t, _, _| {
            tx(t)
                .map(|t| t.request.line.as_slice())
                .filter(|l| !l.is_empty())
        }),
    ),
    http(
        "http.protocol",
        progress::LINE,
        Access::Bytes(|t, d, _| protocol(t, d)),
    ),
    http(
        "http.header",
        progress::HEADERS,
        Access::Bytes(|t, d, _| block(t, d)),
    ),
    http(
        "http.header.raw",
        progress::BODY,
        Access::Bytes(|t, d, _| raw_block(t, d)),
    ),
    http(
        "http.request_header",
        progress::HEADERS,
        Access::Multi(|t, _, i, _| tx(t)?.request.headers.line(i)),
    ),
    http(
        "http.response_header",
        progress::HEADERS,
        Access::Multi(|t, _, i, _| tx(t)?.response.headers.line(i)),
    ),
    http(
        "http.header_names",
        progress::HEADERS,
        Access::Bytes(header_names),
    ),
    http("http.start", progress::HEADERS, Access::Bytes(start)),
    http(
        "http.user_agent",
        progress::HEADERS,
        header_access!(b"user-agent"),
    ),
    http(
        "http.referer",
        progress::HEADERS,
        header_access!(b"referer"),
    ),
    http(
        "http.host",
        progress::HEADERS,
        Access::Bytes(|t, _, _| tx(t)?.request.host.as_deref()),
    ),
    http(
        "http.host.raw",
        progress::HEADERS,
        Access::Bytes(|t, _, _| host_raw(t)),
    ),
    http(
        "http.cookie",
        progress::HEADERS,
        header_access!(b"cookie", b"set-cookie"),
    ),
    http(
        "http.content_type",
        progress::HEADERS,
        header_access!(b"content-type"),
    ),
    http(
        "http.content_len",
        progress::HEADERS,
        header_access!(b"content-length"),
    ),
    http("http.accept", progress::HEADERS, header_access!(b"accept")),
    http(
        "http.accept_enc",
        progress::HEADERS,
        header_access!(b"accept-encoding"),
    ),
    http(
        "http.accept_lang",
        progress::HEADERS,
        header_access!(b"accept-language"),
    ),
    http(
        "http.connection",
        progress::HEADERS,
        header_access!(b"connection"),
    ),
    http("http.server", progress::HEADERS, header_access!(b"server")),
    http(
        "http.location",
        progress::HEADERS,
        header_access!(b"location"),
    ),
    http(
        "http.stat_code",
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| part(&t.response.line, t.response.status_text))),
    ),
    http(
        "http.stat_msg",
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| part(&t.response.line, t.response.message))),
    ),
    http(
        "http.response_line",
        progress::LINE,
        Access::Bytes(|t, _, _| {
            tx(t)
                .map(|t| t.response.line.as_slice())
                .filter(|l| !l.is_empty())
        }),
    ),
    http(
        "http.request_body",
        progress::BODY,
        Access::Streaming(|t, _, i| tx(t).filter(|_| i == 0)?.request_body()),
    ),
    http(
        "http.response_body",
        progress::BODY,
        Access::Streaming(|t, _, i| tx(t)?.file_data(Direction::ToClient, i)),
    ),
    http(
        "file.data",
        progress::BODY,
        Access::Streaming(|t, d, i| tx(t)?.file_data(d, i)),
    ),
    http(
        "file.name",
        progress::BODY,
        Access::Multi(|t, d, i, _| Some(tx(t)?.files(d)?.get(i)?.name.as_slice())),
    ),
];
