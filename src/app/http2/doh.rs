//! DNS over HTTP/2 (RFC 8484): the message in a request's path or in a body of type `application/dns-message`.
//!
//! Once a message was read the flow's protocol is `doh2`: everything that HTTP/2 has, and the fields of DNS. One
//! transaction holds the question and its answer. Limits: 64 KiB of a message (RFC 1035 §4.2.2).

use std::sync::LazyLock;

use super::event::Event;
use super::tx::{Tx, progress};
use super::{HTTP2, log};
use crate::alert::Json;
use crate::app::dns::{DNS, DnsTx};
use crate::app::{Field, Limits, LogHead, Outcome, Protocol, Rides, Session, Transaction};
use crate::packet::Direction;

/// DNS over HTTP/2.
#[derive(Debug)]
pub struct Doh2Protocol;

/// The registry's line.
pub static DOH2: Doh2Protocol = Doh2Protocol;

const MESSAGE_MAX: usize = 0xffff;
const MEDIA_TYPE: &[u8] = b"application/dns-message";

/// What a direction of a stream carries of DNS.
#[derive(Debug, Default)]
pub(super) struct Doh {
    /// The body, while it is DNS and not complete.
    body: Option<Vec<u8>>,
    /// It was longer than a message can be.
    too_long: bool,
    message: Option<Box<DnsTx>>,
}

impl Doh {
    /// Takes bytes of the body.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if let Some(body) = &mut self.body {
            if body.len() + bytes.len() > MESSAGE_MAX {
                self.body = None;
                self.too_long = true;
            } else {
                body.extend_from_slice(bytes);
            }
        }
    }
}

/// The message of DNS that a transaction carries in a direction.
pub fn message(tx: &dyn Transaction, direction: Direction) -> Option<&DnsTx> {
    let tx = tx.as_any().downcast_ref::<Tx>()?;
    tx.side(direction).doh.message.as_deref()
}

/// Looks at the header of a direction. Says whether it held a message.
pub(super) fn question(tx: &mut Tx, direction: Direction) -> bool {
    let side = tx.side_mut(direction);
    if side.doh.message.is_some() || side.doh.body.is_some() || side.doh.too_long {
        return false;
    }
    let is = |name: &[u8]| side.fields.first(name) == Some(MEDIA_TYPE);
    let (body, accepts) = (is(b"content-type"), is(b"accept"));
    if body {
        side.doh.body = Some(Vec::new());
    }
    if direction == Direction::ToClient || !(body || accepts) {
        return false;
    }
    let asked = side
        .fields
        .first(b":path")
        .and_then(parameter)
        .and_then(decode)
        .and_then(|bytes| DnsTx::inside(&bytes, direction));
    side.doh.message = asked.map(Box::new);
    side.doh.message.is_some()
}

/// After data: reads the message when the direction has ended. Says whether there was one.
pub(super) fn answer(tx: &mut Tx, direction: Direction, ended: bool) -> bool {
    let side = tx.side_mut(direction);
    if std::mem::take(&mut side.doh.too_long) {
        let event = match direction {
            Direction::ToServer => Event::DnsRequestTooLong,
            Direction::ToClient => Event::DnsResponseTooLong,
        };
        tx.state.raise(event as u8);
        return false;
    }
    if !ended {
        return false;
    }
    let Some(body) = side.doh.body.take() else {
        return false;
    };
    if let Some(message) = DnsTx::inside(&body, direction) {
        side.doh.message = Some(Box::new(message));
    }
    side.doh.message.is_some()
}

/// The value of `dns=` in a path's query.
fn parameter(path: &[u8]) -> Option<&[u8]> {
    let query = path.split(|b| *b == b'?').nth(1)?;
    query
        .split(|b| *b == b'&')
        .find_map(|part| part.strip_prefix(b"dns="))
}

/// base64url without padding (RFC 4648 §5).
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let text = text
        .strip_suffix(b"==")
        .or(text.strip_suffix(b"="))
        .unwrap_or(text);
    if text.len() > MESSAGE_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut word, mut bits) = (0u32, 0u32);
    for &byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(out)
}

/// The fields of HTTP/2, and those of DNS: these can be read when the direction has ended.
static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let of_http = HTTP2.fields().iter().map(|field| Field { ..*field });
    let of_dns = DNS.fields().iter().map(|field| Field {
        progress: progress::CLOSED,
        ..*field
    });
    of_http.chain(of_dns).collect()
});

impl Protocol for Doh2Protocol {
    fn name(&self) -> &'static str {
        "doh2"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["http", "http2", "dns"]
    }

    fn rides(&self) -> Rides {
        Rides::Switched
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        HTTP2.session(limits)
    }

    fn fields(&self) -> &'static [Field] {
        &FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        HTTP2.events()
    }

    fn kinds(&self) -> &'static [&'static str] {
        HTTP2.kinds()
    }

    fn states(&self, direction: Direction) -> &'static [&'static str] {
        HTTP2.states(direction)
    }

    fn complete_at(&self, direction: Direction) -> u8 {
        HTTP2.complete_at(direction)
    }

    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        let head = HTTP2.log_head(tx)?;
        let carries = |direction| message(tx, direction).is_some();
        Some(LogHead {
            event_type: if carries(Direction::ToServer) || carries(Direction::ToClient) {
                "dns"
            } else {
                head.event_type
            },
            ..head
        })
    }

    fn log(&self, session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(http) = tx.as_any().downcast_ref::<Tx>() {
            log::write(http, json);
        }
        // The answer repeats the question.
        let said = message(tx, Direction::ToClient).or_else(|| message(tx, Direction::ToServer));
        if let Some(said) = said {
            DNS.log(session, said, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        HTTP2.outcome(tx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_in_paths_are_decoded() {
        let path = b"/dns-query?ct=x&dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let bytes = parameter(path).and_then(decode).expect("a message");
        let asked = DnsTx::inside(&bytes, Direction::ToServer).expect("a question");
        assert_eq!(asked.message.questions[0].name.text, b"www.example.com");
        assert_eq!(decode(b"AA%A"), None);
        assert_eq!(parameter(b"/x?a=b"), None);
    }

    #[test]
    fn a_body_too_long_for_dns_is_an_event() {
        let mut tx = Tx::default();
        tx.side_mut(Direction::ToServer)
            .fields
            .push(b"content-type", MEDIA_TYPE);
        assert!(!question(&mut tx, Direction::ToServer));
        for _ in 0..5 {
            tx.side_mut(Direction::ToServer).doh.take(&[0; 20_000]);
        }
        assert!(!answer(&mut tx, Direction::ToServer, false));
        assert_eq!(tx.state.events, [Event::DnsRequestTooLong as u8]);
    }
}
