//! HTTP/0.9, 1.0 and 1.1, read as leniently as real servers and browsers do.
//!
//! Pipelining, chunked bodies, content encodings one over another, multipart uploads, CONNECT and Upgrade, responses
//! whose request was not seen, gaps in bodies. Not done: cookies and forms taken apart, ranges put together.
//! Limits: 18,000 bytes a line or field, 1,024 fields, 512 live transactions; bodies as [`crate::app::Limits`] say.
//!
//! Source: RFC 9110, 9112; for what lenient means: libhtp's documentation, HTTP evasion studies.

mod bestfit;
mod body;
mod chunk;
mod content;
mod decode;
mod event;

mod fields;
mod header_field;
mod headers;
mod log;
mod lzma;
mod multipart;
mod request;
mod response;
mod session;
mod text;
mod tx;
mod uri;

pub(in crate::app) use body::Pace;
pub(in crate::app) use content::range_is_valid;
pub(in crate::app) use decode::{Decoder, Encoding};

#[cfg(test)]
mod tests;

use super::{
    Field, Limits, LogHead, Outcome, Pattern, Probe, Protocol, Rides, Session, Transaction,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use tx::{REQUEST_STATES, RESPONSE_STATES, Status, Tx};

/// HTTP/1.x.
#[derive(Debug)]
pub struct Http;

/// The registry's line.
pub static HTTP: Http = Http;

const fn pattern(bytes: &'static [u8], depth: u16, direction: Direction) -> Pattern {
    Pattern {
        bytes,
        nocase: true,
        offset: 0,
        depth,
        direction,
    }
}

macro_rules! methods {
    ($($name:literal),* $(,)?) => {
        &[
            $(
                pattern(concat!($name, " ").as_bytes(), $name.len() as u16 + 1, Direction::ToServer),
                pattern(concat!($name, "\t").as_bytes(), $name.len() as u16 + 1, Direction::ToServer),
            )*
            pattern(b"HTTP/0.9", 8, Direction::ToClient),
            pattern(b"HTTP/1.0", 8, Direction::ToClient),
            pattern(b"HTTP/1.1", 8, Direction::ToClient),
        ]
    };
}

static PATTERNS: &[Pattern] = methods![
    "GET",
    "PUT",
    "POST",
    "HEAD",
    "TRACE",
    "OPTIONS",
    "CONNECT",
    "DELETE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "CHECKOUT",
    "UNCHECKOUT",
    "CHECKIN",
    "UPDATE",
    "LABEL",
    "REPORT",
    "MKWORKSPACE",
    "MKACTIVITY",
    "MERGE",
    "INVALID",
    "VERSION-CONTROL",
    "BASELINE-CONTROL",
];

impl Protocol for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["http1"]
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn probe(&self, _direction: Direction, _bytes: &[u8], _key: &FlowKey) -> Probe {
        Probe::NotMine
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(session::Http1::new(limits))
    }

    fn fields(&self) -> &'static [Field] {
        fields::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        event::NAMES
    }

    fn frames(&self) -> &'static [&'static str] {
        &["request", "response"]
    }

    fn states(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::ToServer => REQUEST_STATES,
            Direction::ToClient => RESPONSE_STATES,
        }
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("http"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<Tx>() {
            log::write(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let Some(tx) = tx.as_any().downcast_ref::<Tx>() else {
            return Outcome::Unknown;
        };
        match tx.response.status {
            Status::Code(code @ 200..=299) => Outcome::Success(u32::from(code)),
            Status::Code(code @ 400..=599) => Outcome::Failure(u32::from(code)),
            Status::Code(code) => Outcome::Answered(u32::from(code)),
            Status::Unknown | Status::Invalid => Outcome::Unknown,
        }
    }
}
