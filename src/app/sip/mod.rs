//! SIP over UDP and TCP (RFC 3261): requests and responses, each a transaction of its own, with the session they describe.
//!
//! Limits: 64 KiB of a message's head, of a body the first 64 KiB are read and the rest is passed over, 256 headers;
//! the oldest transaction goes when there are too many.

mod field;
mod sdp;

use super::reader::Reader;
use super::{
    Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Outcome, Parsed, Pattern, Probe, Protocol,
    Rides, Session, Transaction, TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use sdp::Sdp;

/// SIP.
#[derive(Debug)]
pub struct Sip;

/// SIP.
pub static SIP: Sip = Sip;

const INVALID_DATA: u8 = 0;

const HEAD_MAX: usize = 64 * 1024;
const BODY_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 256;

static PATTERNS: &[Pattern] = &[
    method(b"REGISTER"),
    method(b"INVITE"),
    method(b"BYE"),
    method(b"CANCEL"),
    method(b"REFER"),
    method(b"PRACK"),
    method(b"PUBLISH"),
    method(b"MESSAGE"),
    method(b"ACK"),
    method(b"INFO"),
    method(b"NOTIFY"),
    method(b"SUBSCRIBE"),
    method(b"OPTIONS"),
    method(b"UPDATE"),
    Pattern {
        bytes: b"SIP/2.0",
        nocase: false,
        offset: 0,
        depth: 8,
        direction: Direction::ToClient,
    },
];

const fn method(bytes: &'static [u8]) -> Pattern {
    Pattern {
        bytes,
        nocase: false,
        offset: 0,
        depth: bytes.len() as u16,
        direction: Direction::ToServer,
    }
}

impl Protocol for Sip {
    fn name(&self) -> &'static str {
        "sip"
    }

    fn rides(&self) -> Rides {
        Rides::Both
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn ports(&self) -> &'static [u16] {
        &[]
    }

    /// A first line that names SIP.
    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let line = match memchr::memchr(b'\n', bytes) {
            Some(end) => bytes.get(..end).unwrap_or_default(),
            None if bytes.len() > 4096 => return Probe::NotMine,
            None => return Probe::NeedMore,
        };
        let names_sip = line.starts_with(b"SIP/") || memchr::memmem::find(line, b" SIP/").is_some();
        if names_sip {
            Probe::Match
        } else {
            Probe::NotMine
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(SipSession {
            max: limits.transactions.max(1),
            ..SipSession::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &[
            "pdu",
            "request.line",
            "response.line",
            "request.headers",
            "response.headers",
            "request.body",
            "response.body",
        ]
    }

    fn events(&self) -> &'static [&'static str] {
        &["invalid_data"]
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("sip"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = tx.as_any().downcast_ref::<SipTx>() else {
            return;
        };
        let [first, second, third] = &tx.start;
        json.object("sip");
        if tx.direction == Direction::ToServer {
            json.str("method", first)
                .str("uri", second)
                .str("version", third);
        } else {
            json.str("version", first)
                .str("code", second)
                .str("reason", third);
        }
        if let Some(sdp) = &tx.sdp {
            sdp.log(json);
        }
        let name = if tx.direction == Direction::ToServer {
            "request_line"
        } else {
            "response_line"
        };
        json.str(name, &tx.line).end();
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let code = tx.as_any().downcast_ref::<SipTx>().and_then(SipTx::code);
        match code {
            Some(code @ 200..=299) => Outcome::Success(code),
            Some(code @ 400..) => Outcome::Failure(code),
            Some(code) => Outcome::Answered(code),
            None => Outcome::Unknown,
        }
    }
}

/// A request or a response.
#[derive(Debug)]
struct SipTx {
    state: TxState,
    direction: Direction,
    /// The first line, and its three parts: method, URI, version; or version, code, reason.
    line: Vec<u8>,
    start: [Vec<u8>; 3],
    /// Headers by their long names.
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    sdp: Option<Sdp>,
}

impl SipTx {
    fn code(&self) -> Option<u32> {
        let [_, code, _] = &self.start;
        if self.direction == Direction::ToServer {
            return None;
        }
        std::str::from_utf8(code).ok()?.parse().ok()
    }

    /// Reads the head of a message, without the empty line.
    fn read(direction: Direction, head: &[u8]) -> Option<Self> {
        let mut lines = head
            .split(|b| *b == b'\n')
            .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let line = lines.next()?;
        let mut parts = line.splitn(3, |b| *b == b' ').map(<[u8]>::to_vec);
        let start = [parts.next()?, parts.next()?, parts.next()?];
        let [first, second, third] = &start;
        let sound = match direction {
            Direction::ToServer => {
                first.iter().all(u8::is_ascii_alphabetic)
                    && !second.is_empty()
                    && third.starts_with(b"SIP/")
            }
            Direction::ToClient => first.starts_with(b"SIP/") && second.len() == 3,
        };
        if !sound {
            return None;
        }
        let mut headers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for line in lines {
            match (line, headers.last_mut()) {
                ([], _) => {}
                // A value goes on in the next line (RFC 3261 §7.3.1).
                ([b' ' | b'\t', ..], Some((_, value))) => {
                    value.extend_from_slice(b"\r\n");
                    value.extend_from_slice(line.trim_ascii_end());
                }
                _ => {
                    let colon = memchr::memchr(b':', line)?;
                    let (name, value) = line.split_at_checked(colon)?;
                    let value = value.get(1..).unwrap_or_default().trim_ascii();
                    if headers.len() < HEADERS_MAX {
                        headers.push((long_name(name.trim_ascii()).to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Some(Self {
            state: TxState::default(),
            direction,
            line: line.to_vec(),
            start,
            headers,
            sdp: None,
        })
    }

    /// The values of a header.
    fn header<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    fn content_length(&self) -> usize {
        let text = self
            .header(b"Content-Length")
            .next()
            .and_then(|v| std::str::from_utf8(v).ok());
        text.and_then(|t| t.trim().parse().ok()).unwrap_or(0)
    }
}

/// Short names of headers (RFC 3261 §7.3.3).
fn long_name(name: &[u8]) -> &[u8] {
    match name {
        b"i" => b"Call-ID",
        b"m" => b"Contact",
        b"e" => b"Content-Encoding",
        b"l" => b"Content-Length",
        b"c" => b"Content-Type",
        b"f" => b"From",
        b"s" => b"Subject",
        b"k" => b"Supported",
        b"t" => b"To",
        b"v" => b"Via",
        other => other,
    }
}

impl Transaction for SipTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct SipSession {
    txs: TxStore<SipTx>,
    /// Of a body on TCP: bytes to pass over.
    skip: [usize; 2],
    max: usize,
    /// Frames noted.
    frames: FrameNotes,
}

/// Where the head of a message ends, and how many bytes the empty line takes.
fn head_end(bytes: &[u8]) -> Option<(usize, usize)> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| (at, 4))
}

impl SipSession {
    fn fault(&mut self) -> Parsed {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(INVALID_DATA);
        }
        Parsed::Error
    }

    /// Notes the frames of a message at `at`: its first line, headers and body (`head` bytes without the empty line).
    fn note_frames(&mut self, tx: &SipTx, at: usize, head: usize, body: usize) {
        let id = Some(self.txs.total());
        let line = (tx.line.len() + 2).min(head + 2);
        let side = u8::from(tx.direction == Direction::ToClient);
        self.frames.note(0, at, head + 4 + body, id);
        self.frames.note(1 + side, at, line, id);
        let headers = (head + 2).saturating_sub(line);
        if headers > 0 {
            self.frames.note(3 + side, at + line, headers, id);
        }
        if body > 0 {
            self.frames.note(5 + side, at + head + 4, body, id);
        }
    }

    fn push(&mut self, mut tx: SipTx, body: &[u8]) {
        if self.txs.len() >= self.max {
            self.txs.remove(0);
        }
        tx.sdp = Sdp::read(body);
        tx.state.inspected[tx.direction.reverse().index()] = true;
        tx.state.touch(tx.direction);
        self.txs.push(tx);
    }
}

impl Session for SipSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if flow.key.proto == 17 {
            if input.bytes.is_empty() {
                return Parsed::All;
            }
            let read = head_end(input.bytes).and_then(|(at, len)| {
                let tx = SipTx::read(direction, input.bytes.get(..at)?)?;
                Some((tx, at, input.bytes.get(at + len..)?))
            });
            let Some((tx, head, body)) = read else {
                return self.fault();
            };
            self.note_frames(&tx, 0, head, body.len());
            self.push(tx, body);
            return Parsed::All;
        }
        if input.gap > 0 {
            let skip = &mut self.skip[direction.index()];
            let lost = usize::try_from(input.gap).unwrap_or(usize::MAX);
            if lost > *skip {
                return self.fault();
            }
            *skip -= lost;
        }
        let mut r = Reader::new(input.bytes);
        loop {
            let skip = &mut self.skip[direction.index()];
            let passed = (*skip).min(r.left());
            let _ = r.skip(passed);
            *skip -= passed;
            // Keep-alives (RFC 5626 §4.4.1).
            while matches!(r.peek(), Some(b'\r' | b'\n')) {
                let _ = r.skip(1);
            }
            if r.is_empty() {
                return Parsed::All;
            }
            let consumed = r.position();
            let Some((at, len)) = head_end(r.rest()) else {
                return if r.left() > HEAD_MAX {
                    self.fault()
                } else {
                    Parsed::NeedMore {
                        consumed,
                        needed: 1,
                    }
                };
            };
            let Some(tx) = r
                .rest()
                .get(..at)
                .and_then(|head| SipTx::read(direction, head))
            else {
                return self.fault();
            };
            let body_len = tx.content_length();
            let wanted = body_len.min(BODY_MAX);
            let body = r.rest().get(at + len..).unwrap_or_default();
            let Some(body) = body.get(..wanted) else {
                return Parsed::NeedMore {
                    consumed,
                    needed: wanted - body.len(),
                };
            };
            self.note_frames(&tx, consumed, at, body_len);
            let _ = r.skip(at + len + wanted);
            self.skip[direction.index()] = body_len - wanted;
            self.push(tx, body);
        }
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    const INVITE: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\n\
From: <sip:alice@example.com>\r\nl: 106\r\n\r\n\
v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=call\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=sendrecv\r\nm=audio 30000 RTP/AVP 0 8\r\nk=x\r\n";
    const DENIED: &[u8] = b"SIP/2.0 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn a_call_refused() {
        let mut feed = Feed::new(&SIP, 17, 5060);
        feed.give(ToServer, INVITE);
        feed.give(ToClient, DENIED);
        let logged = feed.logged(&SIP);
        assert_eq!(logged[0]["sip"]["method"], json!("INVITE"));
        assert_eq!(
            logged[0]["sip"]["request_line"],
            json!("INVITE sip:bob@example.com SIP/2.0")
        );
        assert_eq!(
            logged[0]["sip"]["sdp"]["media_descriptions"][0]["media"],
            json!("audio 30000 RTP/AVP 0 8")
        );
        assert_eq!(logged[1]["sip"]["code"], json!("401"));
        assert_eq!(
            feed.field(&SIP, 0, "sip.via", ToServer),
            ["SIP/2.0/UDP a", "SIP/2.0/UDP b"]
        );
        assert_eq!(
            feed.field(&SIP, 0, "sdp.connection_data", ToServer),
            ["IN IP4 192.0.2.1"]
        );
        assert!(feed.field(&SIP, 0, "sip.stat_code", ToServer).is_empty());
        let tx = feed.session.transactions().at(1).expect("a response");
        assert_eq!(SIP.outcome(tx), Outcome::Failure(401));
    }

    #[test]
    fn pieces_do_not_matter() {
        let twice = [INVITE, b"\r\n\r\n", INVITE].concat();
        chunking_never_matters(&SIP, 5060, &[(ToServer, &twice), (ToClient, DENIED)]);
    }

    #[test]
    fn not_sip() {
        let key = FlowKey::default();
        assert_eq!(
            SIP.probe(ToServer, b"OPTIONS * RTSP/1.0\r\n", &key),
            Probe::NotMine
        );
        assert_eq!(SIP.probe(ToServer, INVITE, &key), Probe::Match);
        assert_eq!(SIP.probe(ToClient, DENIED, &key), Probe::Match);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes(
            proto in prop::sample::select(vec![6_u8, 17]),
            pieces in prop::collection::vec((any::<bool>(), "(INVITE a SIP/2.0|SIP/2.0 200 OK|[vosctrm]=[ -~]{0,5}|l: [0-9]{1,9}|\r\n){0,12}"), 1..6)
        ) {
            let pieces: Vec<_> = pieces.into_iter().map(|(server, text)| (server, text.into_bytes())).collect();
            survives(&SIP, proto, 5060, &pieces);
        }
    }
}
