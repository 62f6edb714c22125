//! The rule keywords that every version of HTTP has: their names, their old forms, whose side they are of, and what they are.
//!
//! Each version says how it reads a keyword ([`http`] looks the rest up by name, when the program is compiled), so that a
//! rule means the same whichever version the wire speaks.

use super::{Access, Field, FieldDirection};

use FieldDirection::{Both, ToClient, ToServer};

/// Name, other names, the modifier of the old form, side, and what it is.
type Keyword = (
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
    FieldDirection,
    &'static str,
);

const KEYWORDS: &[Keyword] = &[
    (
        "http.method",
        &[],
        Some("http_method"),
        ToServer,
        "the request's method",
    ),
    (
        "http.uri",
        &["http.uri.normalized"],
        Some("http_uri"),
        ToServer,
        "the request's path, query and fragment, normalised",
    ),
    (
        "http.uri.raw",
        &[],
        Some("http_raw_uri"),
        ToServer,
        "the request's target as sent",
    ),
    (
        "http.request_line",
        &["http_request_line"],
        None,
        ToServer,
        "the request's first line",
    ),
    (
        "http.protocol",
        &["http_protocol"],
        None,
        Both,
        "the protocol as the first line names it",
    ),
    (
        "http.header",
        &[],
        Some("http_header"),
        Both,
        "all header fields but cookies, normalised",
    ),
    (
        "http.header.raw",
        &[],
        Some("http_raw_header"),
        Both,
        "the header as sent",
    ),
    (
        "http.request_header",
        &[],
        None,
        ToServer,
        "one field of the request's header",
    ),
    (
        "http.response_header",
        &[],
        None,
        ToClient,
        "one field of the response's header",
    ),
    (
        "http.header_names",
        &["http_header_names"],
        None,
        Both,
        "the names of all header fields, in order",
    ),
    (
        "http.start",
        &["http_start"],
        None,
        Both,
        "first line and header",
    ),
    (
        "http.user_agent",
        &[],
        Some("http_user_agent"),
        ToServer,
        "User-Agent",
    ),
    ("http.referer", &["http_referer"], None, ToServer, "Referer"),
    (
        "http.host",
        &[],
        Some("http_host"),
        ToServer,
        "the host asked for, lower case, without port",
    ),
    (
        "http.host.raw",
        &[],
        Some("http_raw_host"),
        ToServer,
        "the host asked for, as sent",
    ),
    (
        "http.cookie",
        &[],
        Some("http_cookie"),
        Both,
        "Cookie and Set-Cookie",
    ),
    (
        "http.content_type",
        &["http_content_type"],
        None,
        Both,
        "Content-Type",
    ),
    (
        "http.content_len",
        &["http_content_len"],
        None,
        Both,
        "Content-Length",
    ),
    ("http.accept", &["http_accept"], None, ToServer, "Accept"),
    (
        "http.accept_enc",
        &["http_accept_enc"],
        None,
        ToServer,
        "Accept-Encoding",
    ),
    (
        "http.accept_lang",
        &["http_accept_lang"],
        None,
        ToServer,
        "Accept-Language",
    ),
    (
        "http.connection",
        &["http_connection"],
        None,
        Both,
        "Connection",
    ),
    ("http.server", &[], None, ToClient, "Server"),
    ("http.location", &[], None, ToClient, "Location"),
    (
        "http.stat_code",
        &[],
        Some("http_stat_code"),
        ToClient,
        "the response's status code",
    ),
    (
        "http.stat_msg",
        &[],
        Some("http_stat_msg"),
        ToClient,
        "the response's status in words",
    ),
    (
        "http.response_line",
        &["http_response_line"],
        None,
        ToClient,
        "the response's first line",
    ),
    (
        "http.request_body",
        &[],
        Some("http_client_body"),
        ToServer,
        "the request's body, decoded",
    ),
    (
        "http.response_body",
        &[],
        Some("http_server_body"),
        ToClient,
        "the response's body, decoded",
    ),
    (
        "file.data",
        &["file_data"],
        None,
        Both,
        "the bytes of files",
    ),
    ("file.name", &[], None, Both, "the names of files"),
];

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The keyword `name` of HTTP, read by `access` and final beyond the stage `progress`.
///
/// # Panics
/// When there is no such keyword: in the tables of fields, which are constants, that stops the compiler.
#[expect(
    clippy::panic,
    reason = "runs in the compiler only, where a panic is an error message"
)]
pub(super) const fn http(name: &str, progress: u8, access: Access) -> Field {
    let mut at = 0;
    while at < KEYWORDS.len() {
        let (known, aliases, modifier, direction, doc) = KEYWORDS[at];
        if same(known, name) {
            return Field {
                name: known,
                aliases,
                modifier,
                direction,
                progress,
                access,
                doc,
            };
        }
        at += 1;
    }
    panic!("no such keyword of HTTP")
}
