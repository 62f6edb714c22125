//! The rule keywords of HTTP/2: those of HTTP/1, read from pseudo-header fields, and its own.

use super::tx::{Fields, Frame, Tx, progress};
use crate::app::http_keyword::http;
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

use FieldDirection::Both;

fn tx(tx: &dyn Transaction) -> Option<&Tx> {
    tx.as_any().downcast_ref::<Tx>()
}

fn fields(t: &dyn Transaction, direction: Direction) -> Option<&Fields> {
    Some(&tx(t)?.side(direction).fields).filter(|f| !f.is_empty())
}

macro_rules! header {
    ($request:literal) => {
        header!($request, $request)
    };
    ($request:literal, $response:literal) => {
        Access::Bytes(|t, d, out| {
            let name: &[u8] = if d == Direction::ToServer {
                $request
            } else {
                $response
            };
            fields(t, d)?.joined(name, out)
        })
    };
}

macro_rules! first {
    ($name:literal) => {
        Access::Bytes(|t, d, _| fields(t, d)?.first($name))
    };
}

/// The host asked for: without user, port and capitals.
fn host<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let value = fields(t, direction)?.first(b":authority")?;
    let value = value
        .iter()
        .position(|b| *b == b'@')
        .and_then(|at| value.get(at + 1..))
        .unwrap_or(value);
    let value = value.split(|b| *b == b':').next()?;
    out.extend(value.iter().map(u8::to_ascii_lowercase));
    Some(out)
}

fn block<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let cookie: &[u8] = if direction == Direction::ToServer {
        b"cookie"
    } else {
        b"set-cookie"
    };
    for (name, value) in fields(t, direction)?
        .iter()
        .filter(|(n, _)| !n.eq_ignore_ascii_case(cookie))
    {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.trim_ascii());
        out.extend_from_slice(b"\r\n");
    }
    Some(out)
}

fn names<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    out.extend_from_slice(b"\r\n");
    for (name, _) in fields(t, direction)?.iter() {
        out.extend_from_slice(name);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(out)
}

fn request_line<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let fields = fields(t, direction)?;
    out.extend_from_slice(fields.first(b":method").unwrap_or_default());
    out.push(b' ');
    out.extend_from_slice(fields.first(b":path").unwrap_or_default());
    out.extend_from_slice(b" HTTP/2\r\n");
    Some(out)
}

fn response_line<'a>(
    t: &'a dyn Transaction,
    direction: Direction,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    out.extend_from_slice(b"HTTP/2 ");
    out.extend_from_slice(fields(t, direction)?.first(b":status").unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    Some(out)
}

fn frame_number(
    t: &dyn Transaction,
    direction: Direction,
    index: usize,
    number: fn(&Frame) -> Option<u64>,
) -> Option<u64> {
    tx(t)?
        .side(direction)
        .frames
        .iter()
        .filter_map(number)
        .nth(index)
}

/// Frame types as rules name them.
static KINDS: &[(&str, u64)] = &[
    ("data", 0),
    ("headers", 1),
    ("priority", 2),
    ("rststream", 3),
    ("settings", 4),
    ("pushpromise", 5),
    ("ping", 6),
    ("goaway", 7),
    ("windowupdate", 8),
    ("continuation", 9),
];

/// Error codes (RFC 9113 §7).
pub(super) static ERRORS: &[(&str, u64)] = &[
    ("NO_ERROR", 0),
    ("PROTOCOL_ERROR", 1),
    ("INTERNAL_ERROR", 2),
    ("FLOW_CONTROL_ERROR", 3),
    ("SETTINGS_TIMEOUT", 4),
    ("STREAM_CLOSED", 5),
    ("FRAME_SIZE_ERROR", 6),
    ("REFUSED_STREAM", 7),
    ("CANCEL", 8),
    ("COMPRESSION_ERROR", 9),
    ("CONNECT_ERROR", 10),
    ("ENHANCE_YOUR_CALM", 11),
    ("INADEQUATE_SECURITY", 12),
    ("HTTP_1_1_REQUIRED", 13),
    ("HTTP11_REQUIRED", 13),
];

/// Settings (RFC 9113 §6.5.2, RFC 8441, RFC 9218).
pub(super) static SETTINGS: &[(&str, u16)] = &[
    ("HEADERTABLESIZE", 1),
    ("ENABLEPUSH", 2),
    ("MAXCONCURRENTSTREAMS", 3),
    ("INITIALWINDOWSIZE", 4),
    ("MAXFRAMESIZE", 5),
    ("MAXHEADERLISTSIZE", 6),
    ("ENABLECONNECTPROTOCOL", 8),
    ("NORFC7540PRIORITIES", 9),
];

/// `http2.settings:SETTINGS_ENABLE_PUSH=0` and the like.
#[derive(Debug)]
struct SettingsTest {
    id: u16,
    compare: Option<(Compare, u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Within,
}

fn settings_test(text: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let plain = name.to_ascii_uppercase().replace('_', "");
    let plain = plain.strip_prefix("SETTINGS").unwrap_or(&plain);
    let id = SETTINGS
        .iter()
        .find(|(n, _)| *n == plain)
        .map(|(_, id)| *id)
        .ok_or_else(|| format!("{name}: not a setting of HTTP/2"))?;
    let rest = rest.trim();
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .map_err(|_| format!("{text}: a number expected"))
    };
    let compare = if rest.is_empty() {
        None
    } else if let Some(n) = rest.strip_prefix(">=") {
        Some((Compare::GreaterOrEqual, number(n)?, 0))
    } else if let Some(n) = rest.strip_prefix("<=") {
        Some((Compare::LessOrEqual, number(n)?, 0))
    } else if let Some(n) = rest.strip_prefix('>') {
        Some((Compare::Greater, number(n)?, 0))
    } else if let Some(n) = rest.strip_prefix('<') {
        Some((Compare::Less, number(n)?, 0))
    } else {
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        match rest.split_once("<>").or_else(|| rest.split_once('-')) {
            Some((from, to)) => Some((Compare::Within, number(from)?, number(to)?)),
            None => Some((Compare::Equal, number(rest)?, 0)),
        }
    };
    Ok(Box::new(SettingsTest { id, compare }))
}

impl FieldTest for SettingsTest {
    fn test(&self, t: &dyn Transaction, _session: &dyn Session, direction: Direction) -> bool {
        let Some(tx) = tx(t) else { return false };
        tx.side(direction)
            .settings
            .iter()
            .filter(|(id, _)| *id == self.id)
            .any(|(_, value)| {
                let value = u64::from(*value);
                match self.compare {
                    None => true,
                    Some((Compare::Equal, n, _)) => value == n,
                    Some((Compare::Less, n, _)) => value < n,
                    Some((Compare::LessOrEqual, n, _)) => value <= n,
                    Some((Compare::Greater, n, _)) => value > n,
                    Some((Compare::GreaterOrEqual, n, _)) => value >= n,
                    Some((Compare::Within, from, to)) => from < value && value < to,
                }
            })
    }
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    modifier: Option<&'static str>,
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field {
        modifier,
        ..Field::new(name, direction, access, doc)
            .at(progress::HEADERS)
            .also(aliases)
    }
}

/// All of them.
pub(super) static FIELDS: &[Field] = &[
    http("http.method", progress::HEADERS, first!(b":method")),
    http("http.uri", progress::HEADERS, first!(b":path")),
    http("http.uri.raw", progress::HEADERS, first!(b":path")),
    http(
        "http.request_line",
        progress::HEADERS,
        Access::Bytes(request_line),
    ),
    http(
        "http.response_line",
        progress::HEADERS,
        Access::Bytes(response_line),
    ),
    http(
        "http.protocol",
        progress::HEADERS,
        Access::Bytes(|t, d, _| fields(t, d).map(|_| &b"HTTP/2"[..])),
    ),
    http("http.header", progress::HEADERS, Access::Bytes(block)),
    http(
        "http.header.raw",
        progress::HEADERS,
        Access::Bytes(|t, d, _| Some(fields(t, d)?.raw())),
    ),
    http(
        "http.request_header",
        progress::HEADERS,
        Access::Multi(|t, d, i, _| fields(t, d)?.line(i)),
    ),
    http(
        "http.response_header",
        progress::HEADERS,
        Access::Multi(|t, d, i, _| fields(t, d)?.line(i)),
    ),
    http("http.header_names", progress::HEADERS, Access::Bytes(names)),
    http("http.user_agent", progress::HEADERS, header!(b"user-agent")),
    http("http.referer", progress::HEADERS, header!(b"referer")),
    http("http.host", progress::HEADERS, Access::Bytes(host)),
    http("http.host.raw", progress::HEADERS, header!(b":authority")),
    http(
        "http.cookie",
        progress::HEADERS,
        header!(b"cookie", b"set-cookie"),
    ),
    http(
        "http.content_type",
        progress::HEADERS,
        header!(b"content-type"),
    ),
    http(
        "http.content_len",
        progress::HEADERS,
        header!(b"content-length"),
    ),
    http("http.accept", progress::HEADERS, header!(b"accept")),
    http(
        "http.accept_enc",
        progress::HEADERS,
        header!(b"accept-encoding"),
    ),
    http(
        "http.accept_lang",
        progress::HEADERS,
        header!(b"accept-language"),
    ),
    http("http.connection", progress::HEADERS, header!(b"connection")),
    http("http.server", progress::HEADERS, header!(b"server")),
    http("http.location", progress::HEADERS, header!(b"location")),
    http("http.stat_code", progress::HEADERS, first!(b":status")),
    http(
        "http.request_body",
        progress::DATA,
        Access::Streaming(|t, _, i| tx(t)?.file_data(Direction::ToServer, i)),
    ),
    http(
        "http.response_body",
        progress::DATA,
        Access::Streaming(|t, _, i| tx(t)?.file_data(Direction::ToClient, i)),
    ),
    http(
        "file.data",
        progress::DATA,
        Access::Streaming(|t, d, i| tx(t)?.file_data(d, i)),
    ),
    field(
        "http2.frametype",
        &[],
        None,
        Both,
        Access::Integer {
            value: |t, d, i| frame_number(t, d, i, |f| Some(u64::from(f.kind))),
            names: KINDS,
            max: 255,
        },
        "the type of a frame",
    ),
    field(
        "http2.errorcode",
        &[],
        None,
        Both,
        Access::Integer {
            value: |t, d, i| frame_number(t, d, i, |f| f.error_code.map(u64::from)),
            names: ERRORS,
            max: u32::MAX as u64,
        },
        "the error code of GOAWAY and RST_STREAM",
    ),
    field(
        "http2.priority",
        &[],
        None,
        Both,
        Access::Integer {
            value: |t, d, i| frame_number(t, d, i, |f| f.priority.map(u64::from)),
            names: &[],
            max: 255,
        },
        "the weight of PRIORITY and HEADERS",
    ),
    field(
        "http2.window",
        &[],
        None,
        Both,
        Access::Integer {
            value: |t, d, i| frame_number(t, d, i, |f| f.window.map(u64::from)),
            names: &[],
            max: u32::MAX as u64,
        },
        "the increment of WINDOW_UPDATE",
    ),
    field(
        "http2.settings",
        &[],
        None,
        Both,
        Access::Test(settings_test),
        "a setting and its value",
    ),
    field(
        "http2.size_update",
        &[],
        None,
        Both,
        Access::Integer {
            value: |t, d, i| tx(t)?.side(d).size_updates.get(i).copied(),
            names: &[],
            max: u64::MAX,
        },
        "a change of the header table's size",
    ),
    field(
        "http2.header_name",
        &[],
        None,
        Both,
        Access::Multi(|t, d, i, _| fields(t, d)?.iter().nth(i).map(|(n, _)| n)),
        "the name of a header field",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_with_or_without_underscores() {
        for good in [
            "SETTINGS_ENABLE_PUSH=0",
            "SETTINGS_MAX_HEADER_LIST_SIZE >1024",
            "ENABLEPUSH",
            "SETTINGS_INITIAL_WINDOW_SIZE 1<>9",
        ] {
            assert!(settings_test(good).is_ok(), "{good}");
        }
        assert!(
            settings_test("SETTINGS_NONSENSE").is_err() && settings_test("ENABLEPUSH=x").is_err()
        );
    }
}
