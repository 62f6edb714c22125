//! TLS 1.0–1.3 (RFC 2246, 4346, 5246, 8446) and the SSL 2 and 3 before it: what can be read without keys.
//!
//! Records are taken apart, handshake messages put together over them however they are split, hellos and certificates
//! read. One transaction a flow. Once both sides send application data nothing more can be learnt: the rest of the
//! flow is bypassed (`encryption-handling: track-only`).
//!
//! Limits: a record of 17 KiB is buffered, and per direction a handshake message of 128 KiB; longer ones are passed
//! over with an event. Heartbeats are checked for Heartbleed (RFC 6520, CVE-2014-0160) while they are readable, and by
//! length when they are not.

pub mod certificate;
mod field;
pub mod hello;
mod log;
mod record;
mod ssl2;
pub mod version;

use super::note::CERTIFICATE_SECS;
use super::reader::Reader;
use super::{
    AppProto, Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Note, Parsed, Pattern, Probe,
    Protocol, Rides, Session, Transaction, TxList, TxState, TxStore, session_members,
    transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey, Timestamp};
use certificate::Chain;
use hello::Hello;

/// TLS.
#[derive(Debug)]
pub struct Tls;

/// TLS.
pub static TLS: Tls = Tls;

const EVENTS: &[&str] = &[
    "INVALID_SSLV2_HEADER",
    "INVALID_TLS_HEADER",
    "INVALID_RECORD_VERSION",
    "INVALID_RECORD_TYPE",
    "INVALID_RECORD_LENGTH",
    "INVALID_HANDSHAKE_MESSAGE",
    "HEARTBEAT_MESSAGE",
    "INVALID_HEARTBEAT_MESSAGE",
    "OVERFLOW_HEARTBEAT_MESSAGE",
    "DATALEAK_HEARTBEAT_MISMATCH",
    "HANDSHAKE_INVALID_LENGTH",
    "MULTIPLE_SNI_EXTENSIONS",
    "INVALID_SNI_TYPE",
    "INVALID_SNI_LENGTH",
    "TOO_MANY_RECORDS_IN_PACKET",
    "INVALID_ALERT_MESSAGE",
    "INVALID_CERTIFICATE",
    "CERTIFICATE_INVALID_LENGTH",
    "CERTIFICATE_INVALID_VERSION",
    "CERTIFICATE_INVALID_SERIAL",
    "CERTIFICATE_INVALID_ALGORITHMIDENTIFIER",
    "CERTIFICATE_INVALID_X509NAME",
    "CERTIFICATE_INVALID_DATE",
    "CERTIFICATE_INVALID_EXTENSIONS",
    "CERTIFICATE_INVALID_DER",
    "CERTIFICATE_INVALID_SUBJECT",
    "CERTIFICATE_INVALID_ISSUER",
    "CERTIFICATE_INVALID_VALIDITY",
    "ERROR_MESSAGE_ENCOUNTERED",
    "INVALID_SSL_RECORD",
];

const fn pattern(bytes: &'static [u8], direction: Direction) -> Pattern {
    Pattern {
        bytes,
        nocase: false,
        offset: 0,
        depth: 3,
        direction,
    }
}

static PATTERNS: &[Pattern] = &[
    pattern(b"\x16\x03\x00", Direction::ToServer),
    pattern(b"\x16\x03\x01", Direction::ToServer),
    pattern(b"\x16\x03\x02", Direction::ToServer),
    pattern(b"\x16\x03\x03", Direction::ToServer),
    pattern(b"\x01\x03\x00", Direction::ToServer),
    pattern(b"\x01\x03\x01", Direction::ToServer),
    pattern(b"\x01\x03\x02", Direction::ToServer),
    pattern(b"\x01\x03\x03", Direction::ToServer),
    pattern(b"\x15\x03\x00", Direction::ToClient),
    pattern(b"\x15\x03\x01", Direction::ToClient),
    pattern(b"\x15\x03\x02", Direction::ToClient),
    pattern(b"\x15\x03\x03", Direction::ToClient),
    pattern(b"\x16\x03\x00", Direction::ToClient),
    pattern(b"\x16\x03\x01", Direction::ToClient),
    pattern(b"\x16\x03\x02", Direction::ToClient),
    pattern(b"\x16\x03\x03", Direction::ToClient),
    pattern(b"\x17\x03\x00", Direction::ToClient),
    pattern(b"\x17\x03\x01", Direction::ToClient),
    pattern(b"\x17\x03\x02", Direction::ToClient),
    pattern(b"\x17\x03\x03", Direction::ToClient),
];

/// Progress of the client.
const CLIENT_STATES: &[&str] = &[
    "client_in_progress",
    "client_hello_done",
    "client_cert_done",
    "client_handshake_done",
    "client_finished",
];
const CLIENT_HELLO_DONE: u8 = 1;
const CLIENT_CERT_DONE: u8 = 2;
const CLIENT_HANDSHAKE_DONE: u8 = 3;
const CLIENT_FINISHED: u8 = 4;

/// Progress of the server.
const SERVER_STATES: &[&str] = &[
    "server_in_progress",
    "server_hello",
    "server_cert_done",
    "server_hello_done",
    "server_handshake_done",
    "server_finished",
];
const SERVER_HELLO: u8 = 1;
const SERVER_CERT_DONE: u8 = 2;
const SERVER_HELLO_DONE: u8 = 3;
const SERVER_HANDSHAKE_DONE: u8 = 4;
const SERVER_FINISHED: u8 = 5;

impl Protocol for Tls {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["ssl"]
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn ports(&self) -> &'static [u16] {
        &[443]
    }

    fn probe_any_port(&self) -> bool {
        true
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        if direction == Direction::ToServer && ssl2::is_client_hello(bytes) {
            Probe::Match
        } else {
            Probe::NotMine
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(TlsSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &[
            "pdu",
            "hdr",
            "data",
            "alert",
            "heartbeat",
            "ssl2.hdr",
            "ssl2.pdu",
        ]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn states(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::ToServer => CLIENT_STATES,
            Direction::ToClient => SERVER_STATES,
        }
    }

    fn log_ready(&self, tx: &dyn Transaction, ended: bool) -> bool {
        let done = tx.progress(Direction::ToServer) >= CLIENT_HANDSHAKE_DONE
            && tx.progress(Direction::ToClient) >= SERVER_HANDSHAKE_DONE;
        ended || done
    }

    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        let tx = tx.as_any().downcast_ref::<TlsTx>()?;
        let told = tx.side(Direction::ToClient).chain.leaf.is_some()
            || tx.resumed
            || tx.without_certificate;
        told.then_some(LogHead::by_flow("tls"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<TlsTx>() {
            log::tls(tx, json);
        }
    }
}

/// What one side showed.
#[derive(Debug, Default)]
pub struct Side {
    /// Version: of the hello; before it, of the first record.
    pub version: u16,
    /// Its first hello.
    pub hello: Option<Hello>,
    /// JA3 (client) or JA3S (server): string and MD5.
    pub ja3: Option<(String, String)>,
    /// JA4 (client).
    pub ja4: Option<String>,
    /// Its certificates.
    pub chain: Chain,
    /// Whether it changed the cipher spec.
    ciphered: bool,
    /// Whether it sent application data.
    data: bool,
    /// Whether it sent a key exchange message.
    key_exchange: bool,
    /// Progress.
    progress: u8,
}

/// The transaction of a flow.
#[derive(Debug, Default)]
pub struct TlsTx {
    state: TxState,
    sides: [Side; 2],
    /// The client asked to resume a session, or the server agreed to.
    resumed: bool,
    /// TLS 1.3: the certificate is encrypted.
    without_certificate: bool,
    /// The server asked for a certificate.
    wants_client_certificate: bool,
    /// Time of the last bytes.
    last: Timestamp,
    /// What the flow spoke before STARTTLS or CONNECT.
    from: Option<AppProto>,
}

impl TlsTx {
    /// What one side showed: the client (to the server) or the server (to the client).
    pub fn side(&self, direction: Direction) -> &Side {
        let [client, server] = &self.sides;
        match direction {
            Direction::ToServer => client,
            Direction::ToClient => server,
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [client, server] = &mut self.sides;
        match direction {
            Direction::ToServer => client,
            Direction::ToClient => server,
        }
    }

    /// Notes an event by its name.
    fn raise(&mut self, event: &'static str) {
        if let Some(index) = EVENTS.iter().position(|e| *e == event) {
            self.state.raise(index as u8);
        }
    }

    fn advance(&mut self, direction: Direction, progress: u8) {
        let side = self.side_mut(direction);
        if side.progress < progress {
            side.progress = progress;
            self.state.touch(direction);
        }
    }

    /// The handshake is over for both as far as it can be read.
    fn settle(&mut self) {
        let one = if self.wants_client_certificate {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        if self.side(one).chain.leaf.is_some() {
            self.advance(Direction::ToServer, CLIENT_HANDSHAKE_DONE);
            self.advance(Direction::ToClient, SERVER_HANDSHAKE_DONE);
        }
    }
}

impl Transaction for TlsTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        self.side(direction).progress
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct TlsSession {
    txs: TxStore<TlsTx>,
    layers: [record::Layer; 2],
    heartbeat: record::Heartbeat,
    /// Frames noted.
    frames: FrameNotes,
    /// The server's certificate was looked at for its end.
    dated: bool,
}

impl Session for TlsSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if self.txs.total() == 0 {
            self.txs.push(TlsTx::default());
        }
        // The transaction is removed once the flow needs it no more; what follows is of no interest then.
        let Some(tx) = self.txs.last_mut() else {
            return Parsed::Bypass;
        };
        tx.last = flow.ts;
        tx.from = flow.original;
        if !input.bytes.is_empty() {
            // Part of a message is also something that rules on progress may ask for.
            tx.state.touch(direction);
        }
        if input.gap > 0 {
            return if tx.side(direction).data {
                Parsed::Bypass
            } else {
                Parsed::Error
            };
        }
        let [client, server] = &mut self.layers;
        let layer = if direction == Direction::ToServer {
            client
        } else {
            server
        };
        let parsed = layer.take(
            direction,
            &mut Reader::new(input.bytes),
            tx,
            (&mut self.heartbeat, &mut self.frames),
        );
        if input.end {
            let finished = if direction == Direction::ToServer {
                CLIENT_FINISHED
            } else {
                SERVER_FINISHED
            };
            tx.advance(direction, finished);
        }
        parsed
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }

    fn take_note(&mut self) -> Option<Note> {
        if self.dated {
            return None;
        }
        let tx = self.txs.last_mut()?;
        let leaf = tx.side(Direction::ToClient).chain.leaf.as_ref()?;
        self.dated = true;
        let ends = u64::try_from(leaf.not_after).unwrap_or(0);
        (ends <= tx.last.secs().saturating_add(CERTIFICATE_SECS)).then_some(Note::Certificate(ends))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};

    /// A TLS record.
    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3][..], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    fn client_hello() -> Vec<u8> {
        let sni = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09localhost";
        let alpn = b"\x00\x10\x00\x05\x00\x03\x02h2";
        let versions = b"\x00\x2b\x00\x05\x04\x0a\x0a\x03\x04";
        let extensions = [&sni[..], alpn, versions].concat();
        let head = [
            &[3, 3][..],
            &[7; 32],
            b"\x00\x00\x04\x13\x01\x13\x02\x01\x00",
        ]
        .concat();
        message(
            1,
            &[
                &head[..],
                &(extensions.len() as u16).to_be_bytes(),
                &extensions,
            ]
            .concat(),
        )
    }

    fn server_hello() -> Vec<u8> {
        let head = [
            &[3, 3][..],
            &[9; 32],
            b"\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04",
        ]
        .concat();
        message(2, &head)
    }

    fn exchange() -> (Vec<u8>, Vec<u8>) {
        let hello = client_hello();
        let (first, second) = hello.split_at(20);
        let client = [
            record(22, first),
            record(22, second),
            record(20, &[1]),
            record(23, &[5; 40]),
        ]
        .concat();
        let server = [
            record(22, &server_hello()),
            record(20, &[1]),
            record(23, &[6; 300]),
        ]
        .concat();
        (client, server)
    }

    #[test]
    fn a_hello_split_over_records_is_read_and_logged() {
        let (client, server) = exchange();
        let mut feed = Feed::new(&TLS, 6, 443);
        feed.give(Direction::ToServer, &client);
        assert_eq!(feed.give(Direction::ToClient, &server), Parsed::Bypass);
        let log = &feed.logged(&TLS)[0]["tls"];
        assert_eq!(
            (log["sni"].as_str(), log["version"].as_str()),
            (Some("localhost"), Some("TLS 1.3"))
        );
        assert_eq!(log["client_alpns"], serde_json::json!(["h2"]));
        assert_eq!(log["ja3"]["string"], "771,4865-4866,0-16-43,,");
        assert_eq!(log["ja3s"]["string"], "771,4865,43");
        assert!(
            log["ja4"]
                .as_str()
                .is_some_and(|j| j.starts_with("t13d0203h2_"))
        );
        assert_eq!(
            feed.field(&TLS, 0, "tls.sni", Direction::ToServer),
            ["localhost"]
        );
        let tx = feed.session.transactions().at(0).expect("one");
        assert!(TLS.log_ready(tx, false) && TLS.log_head(tx).is_some());
    }

    #[test]
    fn pieces_never_matter() {
        let (client, server) = exchange();
        chunking_never_matters(
            &TLS,
            443,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
    }

    #[test]
    fn a_hello_in_records_of_one_byte_is_still_read() {
        let stream: Vec<u8> = client_hello()
            .iter()
            .flat_map(|b| record(22, &[*b]))
            .collect();
        let mut feed = Feed::new(&TLS, 6, 443);
        feed.give(Direction::ToServer, &stream);
        assert_eq!(
            feed.field(&TLS, 0, "tls.sni", Direction::ToServer),
            ["localhost"]
        );
        assert_eq!(feed.logged(&TLS)[0]["events"][0], "INVALID_SSL_RECORD");
    }

    #[test]
    fn heartbleed_is_told() {
        let mut feed = Feed::new(&TLS, 6, 443);
        feed.give(Direction::ToServer, &record(24, &[1, 0x40, 0]));
        assert_eq!(
            feed.logged(&TLS)[0]["events"],
            serde_json::json!(["OVERFLOW_HEARTBEAT_MESSAGE"])
        );
    }

    #[test]
    fn a_longer_encrypted_heartbeat_answer_is_told() {
        let mut feed = Feed::new(&TLS, 6, 443);
        feed.give(
            Direction::ToServer,
            &[record(20, &[1]), record(24, &[7; 40])].concat(),
        );
        feed.give(Direction::ToClient, &record(24, &[8; 4000]));
        assert_eq!(
            feed.logged(&TLS)[0]["events"],
            serde_json::json!(["DATALEAK_HEARTBEAT_MISMATCH"])
        );
    }

    #[test]
    fn an_overlong_message_is_passed_over_without_being_kept() {
        let mut feed = Feed::new(&TLS, 6, 443);
        feed.give(
            Direction::ToClient,
            &record(22, &[11, 0xff, 0xff, 0xff, 0, 0]),
        );
        for _ in 0..100 {
            feed.give(Direction::ToClient, &record(22, &[0; 16000]));
        }
        assert_eq!(
            feed.logged(&TLS)[0]["events"],
            serde_json::json!(["HANDSHAKE_INVALID_LENGTH"])
        );
    }

    #[test]
    fn an_ssl2_hello_is_recognised_strictly() {
        let hello = b"\x80\x12\x01\x03\x01\x00\x03\x00\x00\x00\x06\x00\x00\x35abcdef";
        let key = FlowKey::default();
        assert_eq!(TLS.probe(Direction::ToServer, hello, &key), Probe::Match);
        assert_eq!(
            TLS.probe(
                Direction::ToServer,
                b"\x80\x13\x01\x03\x01\x00\x03\x00\x00\x00\x06",
                &key
            ),
            Probe::NotMine
        );
        let mut feed = Feed::new(&TLS, 6, 443);
        feed.give(Direction::ToServer, hello);
        assert_eq!(
            feed.session
                .transactions()
                .at(0)
                .map(|t| t.progress(Direction::ToServer)),
            Some(1)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..5)) {
            survives(&TLS, 6, 443, &pieces);
        }

        #[test]
        fn arbitrary_messages_do_no_harm(kind in 0u8..25, body in proptest::collection::vec(any::<u8>(), 0..400)) {
            survives(&TLS, 6, 443, &[(false, record(22, &message(kind, &body))), (true, record(22, &message(kind, &body)))]);
        }

        #[test]
        fn a_damaged_hello_does_no_harm(at in 0usize..120, value: u8) {
            let mut stream = record(22, &client_hello());
            if let Some(b) = stream.get_mut(at) { *b = value; }
            survives(&TLS, 6, 443, &[(false, stream)]);
        }
    }
}
