//! How a client goes on with a request, and who makes it slow (detectors.md D5): per connection, a few words of state.
//!
//! ```text
//!  Idle ──request──▶ Header ──blank line──▶ Body ──all of it──▶ Waiting ──the server answers──▶ Reading ──request──▶ …
//!                    unfinished             unfinished          nothing is asked of the client   its window is shut
//! ```
//!
//! Three may limit a connection, and only two of them attack: the *sender*, who pauses for much longer than any network
//! takes, loses nothing and sends little; the *receiver*, whose window stays below a segment while its acknowledgments come
//! promptly; and the *path*: retransmissions, or full segments that come slowly. Whoever waits for an answer (long poll,
//! events, WebSockets) is none of these: its request is whole.
//!
//! A TLS connection shows no header: there the phase lasts from a client's record of data to the next data of the server, and
//! is told of from the second piece on, so that whoever waits for an answer is not in it either.
//! Not looked at: HTTP/2 and QUIC, where many requests share a connection.
//! Told of at most once a second and connection, so that who trickles faster costs no more.

use crate::packet::{TcpFlags, Timestamp};

/// A window below this holds no segment (RFC 9293 §3.7.1: the default MSS of IPv4).
pub const SEGMENT: u32 = 536;

/// See [`Said::is_held`]: milliseconds, and bytes per second.
const HEADER_MS: u32 = 10_000;
const BODY_MS: u32 = 20_000;
const READ_MS: u32 = 15_000;
const RATE: u64 = 100;

/// Nanoseconds between two records of a connection.
const EVERY: u64 = 1_000_000_000;
/// A path is bad when so many in a hundred segments came again …
const AGAIN_PERCENT: u32 = 10;
/// … and at least so many. One may be chance.
const AGAIN_MIN: u32 = 2;

/// Where a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing is open, or the server is to answer.
    #[default]
    Done,
    /// The header is not finished.
    Header,
    /// The body is not finished.
    Body,
    /// The answer is not taken.
    Read,
}

/// What a record of [`super::RecordKind::Pace`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Where the request is.
    pub phase: Phase,
    /// Whether the path makes it slow.
    pub by_path: bool,
    /// New bytes since the phase began; of an answer, what was taken of it from its beginning: who took much and then
    /// pauses (a player whose buffer is full) is no slow reader.
    pub bytes: u32,
    /// Milliseconds since then.
    pub ms: u32,
}

impl Said {
    /// `detail` and `value` of the record.
    pub const fn pack(self) -> (u32, u64) {
        let detail = self.phase as u32 | (self.by_path as u32) << 4;
        (detail, (self.bytes as u64) << 32 | self.ms as u64)
    }

    /// Whether its own client has held a request open for longer than anybody needs, at less than any line carries: a header
    /// for [`HEADER_MS`], a body or an answer below [`RATE`] for [`BODY_MS`] and [`READ_MS`] (detectors.md D5). Never so
    /// where the path is slow. For ending connections of a known attacker: one that is not sure goes on.
    pub const fn is_held(self) -> bool {
        let below = (self.bytes as u64) * 1_000 < RATE * self.ms as u64;
        let held = match self.phase {
            Phase::Done => false,
            Phase::Header => self.ms > HEADER_MS,
            Phase::Body => self.ms > BODY_MS && below,
            Phase::Read => self.ms > READ_MS && below,
        };
        held && !self.by_path
    }

    /// From a record.
    pub const fn unpack(detail: u32, value: u64) -> Self {
        let phase = match detail & 0xf {
            1 => Phase::Header,
            2 => Phase::Body,
            3 => Phase::Read,
            _ => Phase::Done,
        };
        Self {
            phase,
            by_path: detail & 0x10 != 0,
            bytes: (value >> 32) as u32,
            ms: value as u32,
        }
    }
}

/// A segment, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When.
    pub ts: Timestamp,
    /// Whether the client sent it.
    pub to_server: bool,
    /// Sequence number of its first byte.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Window that the client offers after this segment, scaled; `None`: not known.
    pub window: Option<u32>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether the payload begins a request.
    pub begins: bool,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// The next sequence number, once data was seen.
    next: Option<u32>,
    pieces: u16,
    again: u16,
    full: u16,
}

impl Side {
    /// Takes a segment with data; how many bytes of it are new.
    fn take(&mut self, seq: u32, len: u32) -> u32 {
        let end = seq.wrapping_add(len);
        let new = match self.next {
            None => len,
            Some(next) => end.wrapping_sub(next).min(1 << 31),
        };
        // Beyond half of the sequence space: it ends before what was seen.
        let new = if new == 1 << 31 { 0 } else { new.min(len) };
        self.pieces = self.pieces.saturating_add(1);
        if new == 0 {
            self.again = self.again.saturating_add(1);
        } else {
            self.next = Some(end);
            self.full = self.full.saturating_add(u16::from(len >= SEGMENT));
        }
        new
    }

    /// Whether much of it had to be sent again.
    fn is_lossy(&self) -> bool {
        let again = u32::from(self.again);
        again >= AGAIN_MIN && again * 100 >= u32::from(self.pieces) * AGAIN_PERCENT
    }

    /// Whether most of it are full segments, as of a sender that has more to send than the path takes.
    fn is_full(&self) -> bool {
        self.full > 1 && u32::from(self.full) * 2 >= u32::from(self.pieces)
    }

    fn begin(&mut self) {
        (self.pieces, self.again, self.full) = (0, 0, 0);
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    phase: Phase,
    /// The phase was told of.
    told: bool,
    /// A request was seen.
    asked: bool,
    chunked: bool,
    /// The window is below a segment.
    shut: bool,
    /// The last bytes of the header so far.
    tail: [u8; 3],
    /// Bytes of the body that are to come.
    left: u64,
    since: Timestamp,
    said: Timestamp,
    bytes: u32,
    /// The client's acknowledgment when its request was whole.
    acked: u32,
    sides: [Side; 2],
}

impl Pace {
    /// Takes a segment of an HTTP or TLS connection.
    pub fn segment(&mut self, segment: &Segment<'_>) -> Option<Said> {
        if segment.flags & (TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) != 0 {
            return None;
        }
        let len = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let [client, server] = &mut self.sides;
        if !segment.to_server {
            if len > 0 && server.take(segment.seq, len) > 0 {
                let unfinished = matches!(self.phase, Phase::Header | Phase::Body);
                // An answer before the end: the server gave up, or does not want the rest. "Continue" is none (RFC 9110
                // §15.2.1).
                if unfinished && !segment.payload.starts_with(b"HTTP/1.1 100") {
                    return self.done(segment);
                }
            }
            return None;
        }
        let new = if len > 0 {
            client.take(segment.seq, len)
        } else {
            0
        };
        if new > 0 {
            return self.sent(segment, new);
        }
        self.reads(segment)
    }

    /// The client sent something new.
    fn sent(&mut self, segment: &Segment<'_>, new: u32) -> Option<Said> {
        if segment.tls {
            self.asked = true;
            // A record of application data (RFC 8446 §5.1), or the middle of one.
            if self.phase != Phase::Header {
                if segment.payload.first() == Some(&23) {
                    self.enter(Phase::Header, segment.ts);
                }
                return None;
            }
            return self.goes_on(
                segment.ts,
                new,
                self.sides[0].is_lossy() || self.sides[0].is_full(),
            );
        }
        if segment.begins || (self.phase != Phase::Header && self.phase != Phase::Body) {
            if !segment.begins {
                return None;
            }
            let over = self.told.then(|| self.done(segment)).flatten();
            self.asked = true;
            (self.left, self.chunked, self.tail) = (0, false, [0; 3]);
            self.enter(Phase::Header, segment.ts);
            return self.header(segment, new).or(over);
        }
        if self.phase == Phase::Header {
            return self.header(segment, new);
        }
        self.body(segment, segment.payload, new)
    }

    fn header(&mut self, segment: &Segment<'_>, new: u32) -> Option<Said> {
        let payload = segment.payload;
        self.length(payload);
        let Some(end) = self.blank_line(payload) else {
            return self.goes_on(segment.ts, new, self.sides[0].is_lossy());
        };
        let rest = payload.get(end..).unwrap_or_default();
        if self.left == 0 && !self.chunked {
            return self.done(segment);
        }
        let told = self.told;
        self.enter(Phase::Body, segment.ts);
        self.told = told;
        let new = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        self.body(segment, rest, new)
    }

    fn body(&mut self, segment: &Segment<'_>, data: &[u8], new: u32) -> Option<Said> {
        self.left = self.left.saturating_sub(u64::from(new));
        let over = if self.chunked {
            data.ends_with(b"0\r\n\r\n")
        } else {
            self.left == 0
        };
        if over {
            return self.done(segment);
        }
        let side = &self.sides[0];
        let by_path = side.is_lossy() || side.is_full();
        self.goes_on(segment.ts, new, by_path)
    }

    /// An acknowledgment without data: what of the answer is taken.
    fn reads(&mut self, segment: &Segment<'_>) -> Option<Said> {
        if !self.asked || matches!(self.phase, Phase::Header | Phase::Body) {
            return None;
        }
        let shut = segment.window? < SEGMENT;
        // A receiver that is slow by itself shuts its window; one behind a bad path keeps it open while the server
        // sends again.
        let lossy = !shut && self.sides[1].is_lossy();
        if !shut && !lossy {
            self.shut = false;
            return if self.phase == Phase::Read {
                self.done(segment)
            } else {
                None
            };
        }
        if self.phase != Phase::Read || shut != self.shut {
            let told = self.told;
            self.enter(Phase::Read, segment.ts);
            (self.shut, self.told) = (shut, told);
            return None;
        }
        let taken = segment.ack.wrapping_sub(self.acked);
        // An old acknowledgment says nothing.
        if taken < 1 << 31 {
            self.bytes = taken;
        }
        self.goes_on(segment.ts, 0, lossy)
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        (self.told, self.since, self.bytes) = (false, now, 0);
        if phase != Phase::Read {
            self.sides[0].begin();
            self.sides[1].begin();
        }
    }

    fn goes_on(&mut self, now: Timestamp, new: u32, by_path: bool) -> Option<Said> {
        self.bytes = self.bytes.saturating_add(new);
        if self.told && now.since(self.said) < EVERY {
            return None;
        }
        (self.told, self.said) = (true, now);
        Some(Said {
            phase: self.phase,
            by_path,
            bytes: self.bytes,
            ms: u32::try_from(now.since(self.since) / 1_000_000).unwrap_or(u32::MAX),
        })
    }

    fn done(&mut self, segment: &Segment<'_>) -> Option<Said> {
        let told = self.told;
        if segment.to_server && self.phase != Phase::Read {
            self.acked = segment.ack;
        }
        self.enter(Phase::Done, segment.ts);
        told.then(Said::default)
    }

    /// What the header says of the body.
    fn length(&mut self, payload: &[u8]) {
        const LENGTH: &[u8] = b"content-length:";
        const CODING: &[u8] = b"transfer-encoding:";
        for line in payload.split(|b| *b == b'\n').take(128) {
            let named = |name: &[u8]| {
                line.get(..name.len())
                    .is_some_and(|n| n.eq_ignore_ascii_case(name))
            };
            if named(LENGTH) {
                let digits = line.get(LENGTH.len()..).unwrap_or_default();
                let digits = digits.trim_ascii();
                self.left = digits
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .take(18)
                    .fold(0, |n, d| n * 10 + u64::from(d - b'0'));
            } else if named(CODING) {
                self.chunked = line.windows(7).any(|w| w.eq_ignore_ascii_case(b"chunked"));
            } else if line == b"\r" {
                return;
            }
        }
    }

    /// Where the header ends in this piece of it: behind the blank line, which may have begun in the piece before.
    fn blank_line(&mut self, payload: &[u8]) -> Option<usize> {
        let mut seam = [0u8; 6];
        let head = payload.get(..payload.len().min(3)).unwrap_or_default();
        if let Some(to) = seam.get_mut(..3) {
            to.copy_from_slice(&self.tail);
        }
        if let Some(to) = seam.get_mut(3..3 + head.len()) {
            to.copy_from_slice(head);
        }
        let seam = seam.get(..3 + head.len()).unwrap_or_default();
        if let Some(at) = seam.windows(4).position(|w| w == b"\r\n\r\n") {
            return Some((at + 4).saturating_sub(3));
        }
        if let Some(at) = memchr::memmem::find(payload, b"\r\n\r\n") {
            return Some(at + 4);
        }
        // The last three bytes of all that came.
        let last = |at: usize| {
            let all = self.tail.len() + payload.len();
            let at = all - 3 + at;
            let old = self.tail.get(at).copied();
            old.or_else(|| payload.get(at - self.tail.len()).copied())
                .unwrap_or_default()
        };
        self.tail = [last(0), last(1), last(2)];
        None
    }
}

/// Whether the few bytes may be the beginning of a request whose first word is not even finished.
pub fn may_begin(payload: &[u8]) -> bool {
    const METHODS: [&[u8]; 4] = [b"GET /", b"POST /", b"HEAD /", b"PUT /"];
    !payload.is_empty() && METHODS.iter().any(|m| m.starts_with(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Client {
        pace: Pace,
        seq: u32,
    }

    impl Client {
        fn new() -> Self {
            Self {
                pace: Pace::default(),
                seq: 1,
            }
        }

        fn segment<'a>(payload: &'a [u8], ms: u64) -> Segment<'a> {
            Segment {
                ts: Timestamp(ms * 1_000_000),
                to_server: true,
                seq: 0,
                ack: 0,
                flags: TcpFlags::ACK,
                payload,
                window: Some(64_000),
                tls: false,
                begins: super::super::first_bytes::is_http_request(payload) || may_begin(payload),
            }
        }

        fn sends(&mut self, payload: &[u8], ms: u64) -> Option<Said> {
            let seq = self.seq;
            self.seq = self.seq.wrapping_add(payload.len() as u32);
            let segment = Segment {
                seq,
                ..Self::segment(payload, ms)
            };
            self.pace.segment(&segment)
        }

        fn acks(&mut self, (ack, window): (u32, u32), ms: u64) -> Option<Said> {
            let segment = Segment {
                seq: self.seq,
                ack,
                window: Some(window),
                ..Self::segment(b"", ms)
            };
            self.pace.segment(&segment)
        }

        fn hears(&mut self, seq: u32, len: usize, ms: u64) -> Option<Said> {
            let data = vec![b'x'; len];
            let segment = Segment {
                to_server: false,
                seq,
                ..Self::segment(&data, ms)
            };
            self.pace.segment(&segment)
        }
    }

    #[test]
    fn only_what_its_client_holds_beyond_every_deadline_is_held() {
        let said = |phase, bytes, ms| Said {
            phase,
            by_path: false,
            bytes,
            ms,
        };
        for (one, held) in [
            (said(Phase::Header, 400, 10_001), true),
            (said(Phase::Header, 400, 9_000), false),
            (said(Phase::Body, 200, 21_000), true),
            (said(Phase::Body, 2_200, 21_000), false),
            (said(Phase::Read, 90, 16_000), true),
            (said(Phase::Read, 90, 14_000), false),
            (said(Phase::Done, 0, 60_000), false),
        ] {
            assert_eq!(one.is_held(), held, "{one:?}");
            let by_path = Said {
                by_path: true,
                ..one
            };
            assert!(!by_path.is_held(), "a slow line");
        }
    }

    #[test]
    fn a_whole_request_says_nothing_wherever_it_is_cut() {
        let request = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(Client::new().sends(request, 0), None);
        for at in 1..request.len() {
            let mut client = Client::new();
            let (a, b) = request.split_at(at);
            client.sends(a, 0);
            // Begun is said at once, whole too; nothing of it stays.
            let whole = client.sends(b, 10);
            assert_eq!(whole.map(|s| s.phase), Some(Phase::Done), "cut at {at}");
            assert_eq!(client.pace.phase, Phase::Done);
        }
    }

    #[test]
    fn a_header_that_trickles_is_limited_by_its_sender() {
        let mut client = Client::new();
        let first = client.sends(b"GET / HTTP/1.1\r\nHost: x\r\n", 0).unwrap();
        assert_eq!((first.phase, first.by_path), (Phase::Header, false));
        let later = client.sends(b"X-a: b\r\n", 12_000).unwrap();
        assert_eq!(
            (later.phase, later.by_path, later.ms),
            (Phase::Header, false, 12_000)
        );
        assert_eq!(Said::unpack(later.pack().0, later.pack().1), later);
    }

    #[test]
    fn a_long_poll_is_whole() {
        let mut client = Client::new();
        assert_eq!(client.sends(b"GET /poll HTTP/1.1\r\n\r\n", 0), None);
        assert_eq!(client.acks((1, 64_000), 15_000), None);
        assert_eq!(client.acks((1, 64_000), 30_000), None);
    }

    #[test]
    fn a_body_in_full_segments_is_slow_by_its_path_and_one_of_crumbs_is_not() {
        let head = b"POST /u HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
        let mut upload = Client::new();
        upload.sends(head, 0);
        let mut last = None;
        for i in 1..20 {
            last = upload.sends(&[b'x'; 1_400], i * 5_000);
        }
        assert!(last.unwrap().by_path);
        let mut crumbs = Client::new();
        crumbs.sends(head, 0);
        for i in 1..20 {
            last = crumbs.sends(b"a=1&", i * 5_000);
        }
        let last = last.unwrap();
        assert_eq!(
            (last.phase, last.by_path, last.bytes),
            (Phase::Body, false, 76)
        );
    }

    #[test]
    fn what_is_sent_again_is_the_path() {
        let mut client = Client::new();
        client.sends(b"GET / HTTP/1.1\r\nHost: x\r\n", 0);
        for i in 1..4 {
            let seq = client.seq;
            client.sends(b"Cookie: a\r\n", i * 4_000);
            client.seq = seq;
            client.sends(b"Cookie: a\r\n", i * 4_000 + 500);
        }
        let said = client.sends(b"Cookie: b\r\n", 14_000).unwrap();
        assert!(said.by_path && said.phase == Phase::Header);
    }

    #[test]
    fn a_shut_window_is_the_receiver_and_an_open_one_with_losses_the_path() {
        let mut reader = Client::new();
        reader.sends(b"GET /big HTTP/1.1\r\n\r\n", 0);
        reader.hears(1, 100, 10);
        assert_eq!(reader.acks((101, 0), 20), None);
        let said = reader.acks((117, 16), 16_000).unwrap();
        assert_eq!(
            (said.phase, said.by_path, said.bytes),
            (Phase::Read, false, 117)
        );
        assert_eq!(reader.acks((900, 60_000), 17_000), Some(Said::default()));

        let mut far = Client::new();
        far.sends(b"GET /big HTTP/1.1\r\n\r\n", 0);
        for i in 0..10u32 {
            far.hears(1 + i * 1_400, 1_400, u64::from(i) * 3_000);
            far.hears(1 + i * 1_400, 1_400, u64::from(i) * 3_000 + 900);
            if let Some(said) =
                far.acks((1 + (i + 1) * 1_400, 64_000), u64::from(i) * 3_000 + 1_000)
            {
                assert!(said.by_path && said.phase == Phase::Read);
            }
        }
        assert_eq!(far.pace.phase, Phase::Read);
    }

    #[test]
    fn crumbs_of_tls_without_an_answer_are_told_and_a_wait_is_not() {
        let mut client = Client::new();
        let data = [23, 3, 3, 0, 20, 1, 2, 3];
        let tls = |client: &mut Client, ms| {
            let segment = Segment {
                seq: client.seq,
                tls: true,
                ..Client::segment(&data, ms)
            };
            client.seq += data.len() as u32;
            client.pace.segment(&segment)
        };
        assert_eq!(tls(&mut client, 0), None);
        let said = tls(&mut client, 12_000).unwrap();
        assert_eq!((said.phase, said.ms), (Phase::Header, 12_000));
    }
}
