//! The rule keywords of HTTP/1.x: which part of a transaction each one reads.
//!
//! A field names the stage that brings it: it may be there already while the stage lasts, and is final beyond it.

use super::tx::{Tx, part, progress};
use crate::app::{Access, Field, FieldDirection, Transaction};
use crate::packet::Direction;

use FieldDirection::{Both, ToClient, ToServer};

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

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    modifier: Option<&'static str>,
    direction: FieldDirection,
    progress: u8,
    access: Access,
    doc: &'static str,
) -> Field {
    Field {
        name,
        aliases,
        modifier,
        direction,
        progress,
        access,
        doc,
    }
}

/// All of them.
pub(super) static FIELDS: &[Field] = &[
    field(
        "http.method",
        &[],
        Some("http_method"),
        ToServer,
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| part(&t.request.line, t.request.method))),
        "the request's method",
    ),
    field(
        "http.uri",
        &["http.uri.normalized"],
        Some("http_uri"),
        ToServer,
        progress::LINE,
        Access::Bytes(|t, _, _| {
            tx(t)
                .map(|t| t.request.target.normalized.as_slice())
                .filter(|u| !u.is_empty())
        }),
        "the request's path, query and fragment, normalised",
    ),
    field(
        "http.uri.raw",
        &[],
        Some("http_raw_uri"),
        ToServer,
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| t.raw_uri())),
        "the request's target as sent",
    ),
    field(
        "http.request_line",
        &["http_request_line"],
        None,
        ToServer,
        progress::LINE,
        Access::Bytes(|t, _, _| {
            tx(t)
                .map(|t| t.request.line.as_slice())
                .filter(|l| !l.is_empty())
        }),
        "the request's first line",
    ),
    field(
        "http.protocol",
        &["http_protocol"],
        None,
        Both,
        progress::LINE,
        Access::Bytes(|t, d, _| protocol(t, d)),
        "the protocol as the first line names it",
    ),
    field(
        "http.header",
        &[],
        Some("http_header"),
        Both,
        progress::HEADERS,
        Access::Bytes(|t, d, _| block(t, d)),
        "all header fields but cookies, normalised",
    ),
    field(
        "http.header.raw",
        &[],
        Some("http_raw_header"),
        Both,
        progress::BODY,
        Access::Bytes(|t, d, _| raw_block(t, d)),
        "the header as sent",
    ),
    field(
        "http.request_header",
        &[],
        None,
        ToServer,
        progress::HEADERS,
        Access::Multi(|t, _, i, _| tx(t)?.request.headers.line(i)),
        "one field of the request's header",
    ),
    field(
        "http.response_header",
        &[],
        None,
        ToClient,
        progress::HEADERS,
        Access::Multi(|t, _, i, _| tx(t)?.response.headers.line(i)),
        "one field of the response's header",
    ),
    field(
        "http.header_names",
        &["http_header_names"],
        None,
        Both,
        progress::HEADERS,
        Access::Bytes(header_names),
        "the names of all header fields, in order",
    ),
    field(
        "http.start",
        &["http_start"],
        None,
        Both,
        progress::HEADERS,
        Access::Bytes(start),
        "first line and header",
    ),
    field(
        "http.user_agent",
        &[],
        Some("http_user_agent"),
        ToServer,
        progress::HEADERS,
        header_access!(b"user-agent"),
        "User-Agent",
    ),
    field(
        "http.referer",
        &["http_referer"],
        None,
        ToServer,
        progress::HEADERS,
        header_access!(b"referer"),
        "Referer",
    ),
    field(
        "http.host",
        &[],
        Some("http_host"),
        ToServer,
        progress::HEADERS,
        Access::Bytes(|t, _, _| tx(t)?.request.host.as_deref()),
        "the host asked for, lower case, without port",
    ),
    field(
        "http.host.raw",
        &[],
        Some("http_raw_host"),
        ToServer,
        progress::HEADERS,
        Access::Bytes(|t, _, _| host_raw(t)),
        "the host asked for, as sent",
    ),
    field(
        "http.cookie",
        &[],
        Some("http_cookie"),
        Both,
        progress::HEADERS,
        header_access!(b"cookie", b"set-cookie"),
        "Cookie and Set-Cookie",
    ),
    field(
        "http.content_type",
        &["http_content_type"],
        None,
        Both,
        progress::HEADERS,
        header_access!(b"content-type"),
        "Content-Type",
    ),
    field(
        "http.content_len",
        &["http_content_len"],
        None,
        Both,
        progress::HEADERS,
        header_access!(b"content-length"),
        "Content-Length",
    ),
    field(
        "http.accept",
        &["http_accept"],
        None,
        ToServer,
        progress::HEADERS,
        header_access!(b"accept"),
        "Accept",
    ),
    field(
        "http.accept_enc",
        &["http_accept_enc"],
        None,
        ToServer,
        progress::HEADERS,
        header_access!(b"accept-encoding"),
        "Accept-Encoding",
    ),
    field(
        "http.accept_lang",
        &["http_accept_lang"],
        None,
        ToServer,
        progress::HEADERS,
        header_access!(b"accept-language"),
        "Accept-Language",
    ),
    field(
        "http.connection",
        &["http_connection"],
        None,
        Both,
        progress::HEADERS,
        header_access!(b"connection"),
        "Connection",
    ),
    field(
        "http.server",
        &[],
        None,
        ToClient,
        progress::HEADERS,
        header_access!(b"server"),
        "Server",
    ),
    field(
        "http.location",
        &[],
        None,
        ToClient,
        progress::HEADERS,
        header_access!(b"location"),
        "Location",
    ),
    field(
        "http.stat_code",
        &[],
        Some("http_stat_code"),
        ToClient,
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| part(&t.response.line, t.response.status_text))),
        "the response's status code",
    ),
    field(
        "http.stat_msg",
        &[],
        Some("http_stat_msg"),
        ToClient,
        progress::LINE,
        Access::Bytes(|t, _, _| tx(t).and_then(|t| part(&t.response.line, t.response.message))),
        "the response's status in words",
    ),
    field(
        "http.response_line",
        &["http_response_line"],
        None,
        ToClient,
        progress::LINE,
        Access::Bytes(|t, _, _| {
            tx(t)
                .map(|t| t.response.line.as_slice())
                .filter(|l| !l.is_empty())
        }),
        "the response's first line",
    ),
    field(
        "http.request_body",
        &[],
        Some("http_client_body"),
        ToServer,
        progress::BODY,
        Access::Streaming(|t, _, i| tx(t).filter(|_| i == 0)?.request_body()),
        "the request's body, decoded",
    ),
    field(
        "http.response_body",
        &[],
        Some("http_server_body"),
        ToClient,
        progress::BODY,
        Access::Streaming(|t, _, i| tx(t)?.file_data(Direction::ToClient, i)),
        "the response's body, decoded",
    ),
    field(
        "file.data",
        &["file_data"],
        None,
        Both,
        progress::BODY,
        Access::Streaming(|t, d, i| tx(t)?.file_data(d, i)),
        "the bytes of files",
    ),
    field(
        "file.name",
        &[],
        None,
        Both,
        progress::BODY,
        Access::Multi(|t, d, i, _| Some(tx(t)?.files(d)?.get(i)?.name.as_slice())),
        "the names of files",
    ),
];
