//! HTTP/2 (RFC 9113) with HPACK (RFC 7541), in the clear: prior knowledge, or upgraded from HTTP/1.
//!
//! A stream is a transaction; a frame of stream 0 is one of its own. A flow that carries DNS (RFC 8484) becomes `doh2`,
//! which is HTTP/2 with the fields of DNS. What HTTP/1's keywords
//! mean is read from the pseudo-header fields.
//! Limits: see [`session`] and [`hpack`].

mod doh;
mod event;
mod fields;
mod hpack;
mod huffman;
mod log;
mod session;
mod tx;

use super::{
    Field, Limits, LogHead, Outcome, Pattern, Probe, Protocol, Rides, Session, Transaction,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
pub use doh::{DOH2, message};
use tx::{KINDS, REQUEST_STATES, RESPONSE_STATES, Tx, progress};

/// HTTP/2.
#[derive(Debug)]
pub struct Http2Protocol;

/// The registry's line.
pub static HTTP2: Http2Protocol = Http2Protocol;

static PATTERNS: &[Pattern] = &[Pattern {
    bytes: session::MAGIC,
    nocase: true,
    offset: 0,
    depth: 24,
    direction: Direction::ToServer,
}];

impl Protocol for Http2Protocol {
    fn name(&self) -> &'static str {
        "http2"
    }

    /// A rule on `doh2` also means what may still become it.
    fn aliases(&self) -> &'static [&'static str] {
        &["http", "doh2"]
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn probe_any_port(&self) -> bool {
        true
    }

    /// A server begins with SETTINGS: type 4 on stream 0, whole settings of six bytes, no flag but ACK.
    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        if direction == Direction::ToServer {
            return Probe::NotMine;
        }
        let wanted = [
            Some(0),
            None,
            None,
            Some(4),
            None,
            Some(0),
            Some(0),
            Some(0),
            Some(0),
        ];
        let fits = bytes
            .iter()
            .zip(wanted)
            .all(|(byte, want)| want.is_none_or(|want| *byte == want));
        match bytes {
            _ if !fits => Probe::NotMine,
            [_, high, low, _, flags, _, _, _, _, ..] => {
                let len = u16::from_be_bytes([*high, *low]);
                if len <= 16_384 && len % 6 == 0 && flags & 0xfe == 0 {
                    Probe::Match
                } else {
                    Probe::NotMine
                }
            }
            _ => Probe::NeedMore,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(session::Http2::new(limits))
    }

    fn fields(&self) -> &'static [Field] {
        fields::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        event::NAMES
    }

    fn frames(&self) -> &'static [&'static str] {
        &["hdr", "data", "pdu"]
    }

    fn states(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::ToServer => REQUEST_STATES,
            Direction::ToClient => RESPONSE_STATES,
        }
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        let tx = tx.as_any().downcast_ref::<Tx>()?;
        log::is_due(tx).then_some(LogHead::by_flow("http"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<Tx>() {
            log::write(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let status = tx
            .as_any()
            .downcast_ref::<Tx>()
            .and_then(|tx| tx.side(Direction::ToClient).fields.first(b":status"))
            .and_then(|s| std::str::from_utf8(s).ok()?.parse::<u32>().ok());
        match status {
            Some(code @ 200..=299) => Outcome::Success(code),
            Some(code @ 400..=599) => Outcome::Failure(code),
            Some(code) => Outcome::Answered(code),
            None => Outcome::Unknown,
        }
    }

    fn complete_at(&self, _direction: Direction) -> u8 {
        progress::COMPLETE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Parsed;
    use crate::app::feed::Feed;
    use crate::app::http2::session::MAGIC;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend_from_slice(&[kind, flags]);
        out.extend_from_slice(&stream.to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn exchange(size: usize) -> (Vec<serde_json::Value>, String) {
        let mut feed = Feed::new(&HTTP2, 6, 80);
        let mut client = MAGIC.to_vec();
        client.extend(frame(4, 0, 0, b"\x00\x01\x00\x00\x10\x00"));
        // POST /, over HEADERS and CONTINUATION; then data with padding.
        client.extend(frame(1, 0, 1, b"\x83\x86\x84"));
        client.extend(frame(9, 4, 1, b"\x41\x05Ex.io\x40\x04host\x05other"));
        client.extend(frame(0, 9, 1, b"\x02abc\0\0"));
        let mut server = frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x64");
        server.extend(frame(1, 4, 1, b"\x88\x5f\x0atext/plain"));
        server.extend(frame(0, 0, 1, b"hel"));
        server.extend(frame(0, 1, 1, b"lo"));
        for piece in client.chunks(size) {
            feed.give(Direction::ToServer, piece);
        }
        for piece in server.chunks(size) {
            feed.give(Direction::ToClient, piece);
        }
        let list = feed.session.transactions();
        let files: Vec<String> = (0..list.len())
            .filter_map(|i| list.at(i))
            .flat_map(|tx| {
                [Direction::ToServer, Direction::ToClient]
                    .map(|d| tx.files(d).expect("files").get(0))
            })
            .flatten()
            .map(|f| format!("{} {:?}", f.window().bytes.escape_ascii(), f.state))
            .collect();
        (feed.logged(&HTTP2), files.join(", "))
    }

    #[test]
    fn a_stream_over_several_frames_is_one_transaction_at_any_cut() {
        let (logged, files) = exchange(usize::MAX >> 1);
        assert_eq!(files, "abc Closed, hello Closed");
        assert_eq!(logged.len(), 3);
        let stream = &logged[1];
        assert_eq!(
            (
                stream["http"]["url"].as_str(),
                stream["http"]["status"].as_u64()
            ),
            (Some("/"), Some(200))
        );
        assert_eq!(
            stream["events"],
            serde_json::json!(["authority_host_mismatch"])
        );
        for size in 1..80 {
            assert_eq!(exchange(size), (logged.clone(), files.clone()), "{size}");
        }
    }

    #[test]
    fn endless_continuations_and_streams_are_bounded() {
        let mut feed = Feed::new(&HTTP2, 6, 80);
        feed.give(Direction::ToServer, MAGIC);
        feed.give(Direction::ToServer, &frame(1, 0, 1, b"\x83"));
        for _ in 0..100 {
            feed.give(Direction::ToServer, &frame(9, 0, 1, &[0x83; 16_000]));
        }
        feed.give(Direction::ToServer, &frame(9, 4, 1, b""));
        let logged = feed.logged(&HTTP2);
        assert_eq!(
            logged[0]["events"].as_array().map(Vec::len),
            Some(1),
            "{:?}",
            logged[0]["events"]
        );
        for stream in 1..20_000u32 {
            feed.give(Direction::ToServer, &frame(1, 4, stream * 2 + 1, b"\x82"));
        }
        assert!(feed.session.transactions().len() <= 4096);
    }

    #[test]
    fn a_server_is_known_by_its_settings() {
        let settings = frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x64");
        let probe = |bytes: &[u8]| HTTP2.probe(Direction::ToClient, bytes, &FlowKey::default());
        assert_eq!(
            (probe(&settings), probe(&settings[..5])),
            (Probe::Match, Probe::NeedMore)
        );
        assert_eq!(probe(&frame(4, 0, 0, b"12345")), Probe::NotMine);
        assert_eq!(probe(b"HTTP/1.1 200 OK"), Probe::NotMine);
    }

    #[test]
    fn hostile_frames_neither_panic_nor_grow_without_bound() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..300 {
            let mut feed = Feed::new(&HTTP2, 6, 80);
            feed.give(Direction::ToServer, MAGIC);
            for _ in 0..30 {
                let payload: Vec<u8> = (0..random() % 60).map(|_| random() as u8).collect();
                let bytes = frame(
                    (random() % 11) as u8,
                    random() as u8,
                    (random() % 4) as u32,
                    &payload,
                );
                let direction = if random() % 2 == 0 {
                    Direction::ToServer
                } else {
                    Direction::ToClient
                };
                feed.give(direction, &bytes);
            }
        }
        // One entry of the table, named over and over on ever new streams.
        let mut feed = Feed::new(&HTTP2, 6, 80);
        feed.give(Direction::ToServer, MAGIC);
        let mut block = b"\x40\x01a\x7f\xd1\x1e".to_vec();
        block.extend(std::iter::repeat_n(b'x', 127 + 0x51 + (0x1e << 7)));
        feed.give(Direction::ToServer, &frame(1, 4, 1, &block));
        for stream in 1..2000u32 {
            feed.give(
                Direction::ToServer,
                &frame(1, 4, stream * 2 + 1, &[0xbe; 60]),
            );
        }
        assert_eq!(feed.last, Parsed::Error);
    }
}
