//! QUIC (RFC 9000, RFC 9369, drafts 23 to 34, Google's 43 to 46): the hellos, which anyone on the path may read.
//!
//! Each packet until the hello is a transaction. A hello that is spread over CRYPTO frames and packets is put together.
//! Once both hellos were seen the rest is bypassed.
//! Limits: 64 KiB of CRYPTO data a direction, 256 fragments; the oldest transaction goes when there are too many.

mod crypto;
mod field;
mod log;
mod packet;

use super::reader::Reader;
use super::tls::hello::{Hello, Side, extensions, is_grease, md5_hex};
use super::{
    Field, FlowInfo, Input, Limits, LogHead, Parsed, Probe, Protocol, Rides, Session, Transaction,
    TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use packet::{Frames, Header, Kind};

/// QUIC.
#[derive(Debug)]
pub struct Quic;

/// QUIC.
pub static QUIC: Quic = Quic;

const EVENTS: &[&str] = &[
    "failed_decrypt",
    "error_on_data",
    "error_on_header",
    "crypto_frag_too_long",
];
const FAILED_DECRYPT: u8 = 0;
const ERROR_ON_DATA: u8 = 1;
const CRYPTO_FRAG_TOO_LONG: u8 = 3;

/// Bytes of CRYPTO data put together.
const CRYPTO_MAX: usize = 65_535;
/// Pieces of it.
const PIECES_MAX: usize = 256;

impl Protocol for Quic {
    fn name(&self) -> &'static str {
        "quic"
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn ports(&self) -> &'static [u16] {
        &[443, 80]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let Some(header) = Header::read(bytes) else {
            return Probe::NotMine;
        };
        let first = bytes.first().copied().unwrap_or(0);
        let mine = match header.kind {
            // RFC 9000 §17.3: the fixed bit, in a packet long enough to be protected.
            Kind::Short => first & 0x40 != 0 && bytes.len() >= 21,
            Kind::VersionNegotiation => bytes.len() >= 11 && header.connection.len() <= 20,
            // `Q0..`, `T0..`, a draft, 1, 2 or a reserved number.
            _ => {
                matches!(header.version >> 16, 0x5130 | 0x5430 | 0xff00 | 0xface)
                    || matches!(header.version, 1 | crypto::V2)
                    || header.version & 0x0f0f_0f0f == 0x0a0a_0a0a
            }
        };
        if mine { Probe::Match } else { Probe::NotMine }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(QuicSession {
            max: limits.transactions.max(1),
            ..QuicSession::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("quic"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref() {
            log::quic(tx, json);
        }
    }
}

/// What one packet showed.
#[derive(Debug)]
struct QuicTx {
    state: TxState,
    direction: Direction,
    version: u32,
    sni: Option<Vec<u8>>,
    /// Google's user agent id.
    agent: Option<Vec<u8>>,
    /// Google's hello: tags in order, and the MD5 of them (CYU).
    cyu: Vec<(String, String)>,
    /// Type and values of each TLS extension.
    extensions: Vec<(u16, Vec<Vec<u8>>)>,
    /// JA3 or JA3S: string and MD5.
    ja3: Option<(String, String)>,
    ja4: Option<String>,
}

impl Transaction for QuicTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// CRYPTO data of one direction.
#[derive(Debug, Default)]
struct Crypto {
    bytes: Vec<u8>,
    /// What of it was received: start and end, in order, apart.
    have: Vec<(usize, usize)>,
    hello_seen: bool,
}

impl Crypto {
    /// Adds a piece; false when it is beyond the limits.
    fn add(&mut self, offset: u64, piece: &[u8]) -> bool {
        let start = usize::try_from(offset).ok().filter(|s| *s <= CRYPTO_MAX);
        let Some((start, end)) = start.and_then(|s| Some((s, s.checked_add(piece.len())?))) else {
            return false;
        };
        if end > CRYPTO_MAX || self.have.len() >= PIECES_MAX {
            return false;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(piece);
        }
        self.have.push((start, end));
        self.have.sort_unstable();
        self.have.dedup_by(|next, before| {
            let joined = next.0 <= before.1;
            if joined {
                before.1 = before.1.max(next.1);
            }
            joined
        });
        true
    }

    /// What is there from the start on without a hole.
    fn ready(&self) -> &[u8] {
        match self.have.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct QuicSession {
    txs: TxStore<QuicTx>,
    keys: Option<crypto::Keys>,
    retried: bool,
    crypto: [Crypto; 2],
    max: usize,
}

impl QuicSession {
    fn open(&mut self, header: &Header<'_>, direction: Direction) -> &mut QuicTx {
        if self.txs.len() >= self.max {
            self.txs.remove(0);
        }
        let mut state = TxState::default();
        state.inspected[direction.reverse().index()] = true;
        state.touch(direction);
        self.txs.push(QuicTx {
            state,
            direction,
            version: header.version,
            sni: None,
            agent: None,
            cyu: Vec::new(),
            extensions: Vec::new(),
            ja3: None,
            ja4: None,
        })
    }

    /// Takes the frames of an Initial packet; `None` when they are broken.
    fn frames(&mut self, header: &Header<'_>, direction: Direction, bytes: &[u8]) -> Option<()> {
        let frames = Frames::read(bytes)?;
        let crypto = &mut self.crypto[direction.index()];
        let mut too_long = false;
        for (offset, piece) in &frames.crypto {
            too_long |= !crypto.add(*offset, piece);
        }
        let side = if direction == Direction::ToServer {
            Side::Client
        } else {
            Side::Server
        };
        let mut ready = Reader::new(crypto.ready());
        let kind = ready.u8();
        let body = ready.counted24();
        // Whatever is there first must be a hello.
        if kind.is_some_and(|k| k != if side == Side::Client { 1 } else { 2 }) {
            return None;
        }
        let hello = body.map(|body| {
            let list = extensions(body, side);
            let mut hello = Hello::read(body, side);
            if let Some(version) = highest_version(&list) {
                hello.version = version;
            }
            let shown = list.into_iter();
            let shown = shown.map(|(kind, data)| (kind, values(kind, data, side)));
            (hello, shown.collect())
        });
        crypto.hello_seen |= hello.is_some();
        if hello.is_some() {
            crypto.bytes = Vec::new();
            crypto.have = Vec::new();
        }
        let tx = self.open(header, direction);
        if too_long {
            tx.state.raise(CRYPTO_FRAG_TOO_LONG);
        }
        for list in &frames.tags {
            google(header.version, list, tx);
        }
        if let Some((hello, list)) = hello {
            let text = hello.ja3(side);
            tx.ja3 = Some((text.clone(), md5_hex(text.as_bytes())));
            tx.ja4 = (side == Side::Client).then(|| hello.ja4('q'));
            tx.extensions = list;
            tx.sni = hello.sni;
        }
        Some(())
    }
}

/// The tags of one of Google's hellos.
fn google(version: u32, tags: &[(&[u8], &[u8])], tx: &mut QuicTx) {
    for (tag, value) in tags {
        match *tag {
            b"SNI" => tx.sni = Some(value.to_vec()),
            b"UAID" => tx.agent = Some(value.to_vec()),
            _ => {}
        }
    }
    let number = match version & 0xff {
        b if b == u32::from(b'3') => "43",
        b if b == u32::from(b'6') => "46",
        // CYU knows no 45.
        _ => "44",
    };
    if packet::is_google(version) {
        let names: Vec<_> = tags
            .iter()
            .map(|(tag, _)| String::from_utf8_lossy(tag))
            .collect();
        let text = format!("{number},{}", names.join("-"));
        let digest = md5_hex(text.as_bytes());
        tx.cyu.push((text, digest));
    }
}

/// Pairs of bytes as numbers.
fn words(list: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let pairs = list.chunks_exact(2);
    pairs.filter_map(|p| p.first_chunk().map(|p| u16::from_be_bytes(*p)))
}

/// The highest version a client offers, drafts included: what JA4 takes in QUIC.
fn highest_version(extensions: &[(u16, &[u8])]) -> Option<u16> {
    let (_, data) = extensions.iter().find(|(kind, _)| *kind == 43)?;
    let offered = Reader::new(data).counted8()?;
    words(offered).filter(|v| !is_grease(*v)).max()
}

/// A version as EVE shows it in QUIC.
fn version_name(version: u16) -> String {
    match version {
        0x0300 => "Ssl30".into(),
        0x0301..=0x0304 => format!("Tls1{}", version - 0x0301),
        0x7f12..=0x7f17 => format!("Tls13Draft{}", version & 0xff),
        0xfeff => "DTls10".into(),
        0xfefe => "DTls11".into(),
        0xfefd => "DTls12".into(),
        other => format!("TlsVersion({other} / {other:#x})"),
    }
}

/// The values of the extensions that EVE shows.
fn values(kind: u16, data: &[u8], side: Side) -> Vec<Vec<u8>> {
    let mut r = Reader::new(data);
    let shown = |list: &[u8], text: fn(u16) -> String| {
        words(list).map(|word| text(word).into_bytes()).collect()
    };
    match (kind, side) {
        (0, Side::Client) => {
            let _ = r.skip(3);
            r.counted16().map(<[u8]>::to_vec).into_iter().collect()
        }
        (13, _) => shown(r.counted16().unwrap_or_default(), |w| w.to_string()),
        (16, _) => {
            let mut names = Reader::new(r.counted16().unwrap_or_default());
            std::iter::from_fn(|| names.counted8().map(<[u8]>::to_vec)).collect()
        }
        (43, Side::Client) => shown(r.counted8().unwrap_or_default(), version_name),
        (43, Side::Server) => shown(data, version_name),
        _ => Vec::new(),
    }
}

impl Session for QuicSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        let mut rest = input.bytes;
        // Several packets may share a datagram (RFC 9000 §12.2).
        while !rest.is_empty() {
            if self.crypto.iter().all(|c| c.hello_seen) {
                return Parsed::Bypass;
            }
            let Some(header) = Header::read(rest) else {
                return Parsed::Error;
            };
            if self.crypto[direction.index()].hello_seen || header.kind == Kind::Short {
                return Parsed::All;
            }
            if self.keys.is_none() && header.kind == Kind::Initial {
                self.keys = crypto::Keys::initial(header.version, header.connection);
            } else if header.kind == Kind::Retry
                && direction == Direction::ToClient
                && !self.retried
            {
                // RFC 9001 §5.2: after a retry the client begins again, with new keys.
                self.keys = None;
                self.retried = true;
                self.crypto = Default::default();
            }
            let end = header.len.saturating_add(header.length);
            let (packet, next) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = next;
            if header.kind != Kind::Initial {
                self.open(&header, direction);
                continue;
            }
            let opened;
            let mut bytes = packet.get(header.len..).unwrap_or_default();
            if let (Some(keys), false) = (&self.keys, bytes.is_empty()) {
                match keys.open(direction, packet, header.len, header.length) {
                    Some(payload) => {
                        opened = payload;
                        bytes = &opened;
                    }
                    None => {
                        self.open(&header, direction).state.raise(FAILED_DECRYPT);
                        return Parsed::Error;
                    }
                }
            }
            if self.frames(&header, direction, bytes).is_none() {
                self.open(&header, direction).state.raise(ERROR_ON_DATA);
                return Parsed::Error;
            }
        }
        Parsed::All
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, survives};

    fn client_hello() -> Vec<u8> {
        let extensions =
            b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09localhost\x00\x10\x00\x05\x00\x03\x02h3";
        let head = [
            &[3, 3][..],
            &[7; 32],
            b"\x00\x00\x02\x13\x01\x01\x00\x00\x1b",
        ]
        .concat();
        let body = [&head[..], extensions].concat();
        [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat()
    }

    fn crypto_frame(offset: u8, data: &[u8]) -> Vec<u8> {
        [&[6, offset, data.len() as u8][..], data].concat()
    }

    fn initial(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        payload.resize(payload.len().max(30), 0);
        let length = 1 + payload.len() + crypto::TAG_LEN;
        let connection = [9; 8];
        let mut header = vec![0xc0, 0, 0, 0, 1, 8];
        header.extend(connection);
        header.extend([0, 0]);
        header.extend((0x4000 | length as u16).to_be_bytes());
        crypto::Keys::initial(1, &connection).expect("keys").seal(
            Direction::ToServer,
            &header,
            number,
            &payload,
        )
    }

    #[test]
    fn versions_are_named_and_the_highest_counts() {
        let offered: &[u8] = b"\x08\x0a\x0a\x03\x04\x7f\x1c\x7f\x17";
        assert_eq!(highest_version(&[(0, b""), (43, offered)]), Some(0x7f1c));
        assert_eq!(highest_version(&[(43, b"\x09\x03")]), None);
        let shown = values(43, offered, Side::Client);
        let names: Vec<_> = shown.iter().map(|v| String::from_utf8_lossy(v)).collect();
        assert_eq!(
            names,
            [
                "TlsVersion(2570 / 0xa0a)",
                "Tls13",
                "TlsVersion(32540 / 0x7f1c)",
                "Tls13Draft23"
            ]
        );
    }

    #[test]
    fn a_hello_in_two_packets_out_of_order_is_read() {
        let hello = client_hello();
        let (a, b) = hello.split_at(20);
        let mut feed = Feed::new(&QUIC, 17, 443);
        feed.give(Direction::ToServer, &initial(0, &crypto_frame(20, b)));
        feed.give(
            Direction::ToServer,
            &initial(1, &[&[1, 0, 0][..], &crypto_frame(0, a)].concat()),
        );
        let log = feed.logged(&QUIC);
        assert_eq!(log.len(), 2);
        assert_eq!(log[1]["quic"]["sni"], "localhost");
        assert_eq!(
            log[1]["quic"]["extensions"][1]["values"],
            serde_json::json!(["h3"])
        );
        assert!(
            log[1]["quic"]["ja4"]
                .as_str()
                .is_some_and(|j| j.starts_with("q12d0102h3_")),
            "{}",
            log[1]
        );
        assert_eq!(
            feed.field(&QUIC, 1, "quic.sni", Direction::ToServer),
            ["localhost"]
        );
    }

    #[test]
    fn a_damaged_packet_fails_to_decrypt() {
        let mut bytes = initial(0, &crypto_frame(0, &client_hello()));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut feed = Feed::new(&QUIC, 17, 443);
        assert_eq!(feed.give(Direction::ToServer, &bytes), Parsed::Error);
        assert_eq!(
            feed.logged(&QUIC)[0]["events"],
            serde_json::json!(["failed_decrypt"])
        );
    }

    #[test]
    fn pieces_far_out_are_refused() {
        let mut crypto = Crypto::default();
        assert!(
            !crypto.add(u64::MAX, b"x")
                && !crypto.add(70_000, b"x")
                && crypto.add(5, b"abc")
                && crypto.ready().is_empty()
        );
        assert!(crypto.add(0, b"12345") && crypto.ready() == b"12345abc");
    }

    #[test]
    fn the_probe_is_strict() {
        let key = FlowKey::default();
        assert_eq!(
            QUIC.probe(Direction::ToServer, &initial(0, &[1]), &key),
            Probe::Match
        );
        assert_eq!(
            QUIC.probe(
                Direction::ToServer,
                b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\0",
                &key
            ),
            Probe::NotMine
        );
        assert_eq!(
            QUIC.probe(Direction::ToServer, b"GET / HTTP/1.0\r\n\r\n", &key),
            Probe::NotMine
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(server: bool, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            survives(&QUIC, 17, 443, &[(false, bytes.clone()), (server, bytes)]);
        }

        #[test]
        fn arbitrary_frames_do_no_harm(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            survives(&QUIC, 17, 443, &[(false, initial(0, &payload)), (false, initial(1, &crypto_frame(0, &payload)))]);
        }
    }
}
