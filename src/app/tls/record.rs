//! The record layer (RFC 8446 §5): records, and the handshake messages that are spread over them.

use super::certificate::Chain;
use super::hello::{Fault, Hello, Side, md5_hex};
use super::{
    CLIENT_CERT_DONE, CLIENT_FINISHED, CLIENT_HANDSHAKE_DONE, CLIENT_HELLO_DONE, SERVER_CERT_DONE,
    SERVER_FINISHED, SERVER_HANDSHAKE_DONE, SERVER_HELLO, SERVER_HELLO_DONE, TlsTx, ssl2, version,
};
use crate::app::reader::Reader;
use crate::app::{FrameNotes, Parsed};
use crate::packet::Direction;

/// One direction's records.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// Bytes of an application record still to pass over.
    skip: usize,
    /// Bytes of a handshake message that is too long, or of no interest, still to pass over.
    skip_message: usize,
    /// A handshake message that is not complete yet, with its header.
    message: Vec<u8>,
    /// Nothing more can be read in this direction.
    lost: bool,
}

/// Heartbeats in flight (one at a time, as OpenSSL has it).
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// Who asked.
    by: Option<Direction>,
    /// Length of the encrypted request's record, 0 when it was readable.
    encrypted_len: usize,
}

/// Bytes a record may have beyond its header.
const RECORD_MAX: usize = (1 << 14) + 1024;
/// Bytes a handshake message may have.
const MESSAGE_MAX: usize = 128 * 1024;

const HEADER_LEN: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// The flow is beyond repair.
#[derive(Debug)]
pub(super) struct Broken;

impl Layer {
    /// Takes what is there of a direction's stream.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        r: &mut Reader<'_>,
        tx: &mut TlsTx,
        (heartbeat, frames): (&mut Heartbeat, &mut FrameNotes),
    ) -> Parsed {
        loop {
            if self.lost {
                return Parsed::All;
            }
            let passed = self.skip.min(r.left());
            self.skip -= passed;
            let _ = r.skip(passed);
            let consumed = r.position();
            let Some(first) = r.peek() else {
                return Parsed::All;
            };
            let outcome = if first & 0xc0 != 0 && tx.side(direction).hello.is_none() {
                ssl2::record(direction, r, tx)
            } else {
                self.record(direction, r, tx, heartbeat)
            };
            match outcome {
                Ok(0) => note_frames(frames, r.all(), consumed, r.position(), tx.state.id),
                Ok(needed) => return Parsed::NeedMore { consumed, needed },
                Err(Broken) => return Parsed::Error,
            }
            if tx.sides.iter().all(|s| s.data) {
                return Parsed::Bypass;
            }
        }
    }

    /// Takes one record; answers how many bytes it lacks.
    fn record(
        &mut self,
        direction: Direction,
        r: &mut Reader<'_>,
        tx: &mut TlsTx,
        heartbeat: &mut Heartbeat,
    ) -> Result<usize, Broken> {
        let mut header = *r;
        let (Some(kind), Some(record_version), Some(len)) =
            (header.u8(), header.u16(), header.u16())
        else {
            return Ok(HEADER_LEN - r.left());
        };
        let len = usize::from(len);
        let before = tx.side(direction).version;
        if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) {
            tx.raise("INVALID_RECORD_TYPE");
            // TLS 1.0 and 1.1 let unknown types pass; where the next record begins is then anyone's guess.
            if before == 0x0301 || before == 0x0302 {
                self.lost = true;
                return Ok(0);
            }
            return Err(Broken);
        }
        if tx.side(direction).hello.is_none() {
            tx.side_mut(direction).version = record_version;
            if len > 0 && !version::is_valid(record_version) {
                tx.raise("INVALID_RECORD_VERSION");
                return Err(Broken);
            }
        }
        if len == 0 && kind == APPLICATION_DATA {
            // Empty fragments were a defence against attacks on CBC.
            *r = header;
            return Ok(0);
        }
        if len == 0 || len > RECORD_MAX {
            tx.raise("INVALID_RECORD_LENGTH");
            return Err(Broken);
        }
        if kind == APPLICATION_DATA {
            *r = header;
            self.skip = len;
            data(direction, tx);
            return Ok(0);
        }
        let Some(body) = header.take(len) else {
            return Ok(len - header.left());
        };
        *r = header;
        match kind {
            CHANGE_CIPHER_SPEC => {
                tx.side_mut(direction).ciphered = true;
                tx.settle();
                match direction {
                    Direction::ToServer => tx.advance(direction, CLIENT_HANDSHAKE_DONE),
                    Direction::ToClient => tx.advance(direction, SERVER_HANDSHAKE_DONE),
                }
            }
            ALERT => alert(body, tx)?,
            HANDSHAKE => self.handshake(direction, body, tx)?,
            _ => heartbeat.message(direction, body, tx)?,
        }
        Ok(0)
    }

    fn handshake(
        &mut self,
        direction: Direction,
        body: &[u8],
        tx: &mut TlsTx,
    ) -> Result<(), Broken> {
        let [client, server] = &tx.sides;
        // RFC 8446 appendix D.4: in TLS 1.3 ChangeCipherSpec changes nothing; otherwise what follows is encrypted.
        let compatibility =
            client.hello.is_some() && client.version > version::TLS12 && server.hello.is_none();
        if (client.ciphered || server.ciphered) && !compatibility {
            return Ok(());
        }
        let mut r = Reader::new(body);
        let passed = self.skip_message.min(r.left());
        self.skip_message -= passed;
        let _ = r.skip(passed);
        if self.message.is_empty() && passed == 0 && body.len() < 4 {
            tx.raise("INVALID_SSL_RECORD");
        }
        while !r.is_empty() {
            if self.message.is_empty() {
                // The usual case: whole messages, read where they lie.
                let mut whole = r;
                if let (Some(kind), Some(message)) = (whole.u8(), whole.counted24()) {
                    r = whole;
                    message_done(direction, kind, message, tx);
                    continue;
                }
            }
            let header_lacks = 4usize.saturating_sub(self.message.len());
            self.message
                .extend_from_slice(r.take(header_lacks.min(r.left())).unwrap_or_default());
            let mut header = Reader::new(&self.message);
            let (Some(kind), Some(len)) = (header.u8(), header.u24()) else {
                return Ok(());
            };
            let len = len as usize;
            if !is_message(kind) || len > MESSAGE_MAX {
                if is_message(kind) {
                    tx.raise("HANDSHAKE_INVALID_LENGTH");
                    self.skip_message = len;
                } else {
                    tx.raise("INVALID_HANDSHAKE_MESSAGE");
                    // Only to the end of the record: the length of an unknown type says nothing.
                    let _ = r.skip(len.min(r.left()));
                }
                let passed = self.skip_message.min(r.left());
                self.skip_message -= passed;
                let _ = r.skip(passed);
                self.message.clear();
                continue;
            }
            let lacks = (len + 4).saturating_sub(self.message.len());
            let part = r.take(lacks.min(r.left())).unwrap_or_default();
            self.message.extend_from_slice(part);
            if part.len() < lacks {
                return Ok(());
            }
            let message = std::mem::take(&mut self.message);
            message_done(direction, kind, message.get(4..).unwrap_or_default(), tx);
        }
        Ok(())
    }
}

/// Notes the record that began at `at` and was read up to `end`.
fn note_frames(frames: &mut FrameNotes, bytes: &[u8], at: usize, end: usize, id: u64) {
    let record = bytes.get(at..).unwrap_or_default();
    let id = Some(id);
    if let [kind @ CHANGE_CIPHER_SPEC..=HEARTBEAT, _, _, a, b, ..] = record {
        let len = usize::from(u16::from_be_bytes([*a, *b]));
        frames.note(0, at, HEADER_LEN + len, id);
        frames.note(1, at, HEADER_LEN, id);
        let body = at + HEADER_LEN;
        match *kind {
            ALERT => frames.note(3, body, len, id),
            HEARTBEAT => frames.note(4, body, len, id),
            _ => frames.note(2, body, len, id),
        }
    } else if end > at {
        let header = if record.first().is_some_and(|b| b & 0x80 != 0) {
            2
        } else {
            3
        };
        frames.note(5, at, header, id);
        frames.note(6, at, end - at, id);
    }
}

/// Handshake types (RFC 8446 §4, RFC 5246 §7.4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO_MESSAGE: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE_MESSAGE: u8 = 14;
const CLIENT_KEY_EXCHANGE: u8 = 16;

const fn is_message(kind: u8) -> bool {
    matches!(kind, 0 | CLIENT_HELLO | SERVER_HELLO_MESSAGE | 4 | CERTIFICATE..=CLIENT_KEY_EXCHANGE | 20..=22)
}

fn message_done(direction: Direction, kind: u8, body: &[u8], tx: &mut TlsTx) {
    let to_client = direction == Direction::ToClient;
    tx.state.touch(direction);
    match kind {
        CLIENT_HELLO => hello(direction, body, Side::Client, tx),
        SERVER_HELLO_MESSAGE => hello(direction, body, Side::Server, tx),
        CERTIFICATE => {
            if tx.side(direction).chain.certificates.is_empty() {
                let (chain, fault) = Chain::read(body);
                tx.side_mut(direction).chain = chain;
                if let Some(event) = fault {
                    tx.raise(event);
                }
            }
            tx.advance(
                direction,
                if to_client {
                    SERVER_CERT_DONE
                } else {
                    CLIENT_CERT_DONE
                },
            );
            if !to_client {
                tx.settle();
            }
        }
        CERTIFICATE_REQUEST if to_client => tx.wants_client_certificate = true,
        SERVER_KEY_EXCHANGE | CLIENT_KEY_EXCHANGE => tx.side_mut(direction).key_exchange = true,
        SERVER_HELLO_DONE_MESSAGE if to_client => {
            tx.advance(direction, SERVER_HELLO_DONE);
            tx.settle();
        }
        kind if !is_message(kind) => tx.raise("INVALID_HANDSHAKE_MESSAGE"),
        _ => {}
    }
}

fn hello(direction: Direction, body: &[u8], side: Side, tx: &mut TlsTx) {
    let hello = Hello::read(body, side);
    for fault in &hello.faults {
        tx.raise(match fault {
            Fault::Length => "HANDSHAKE_INVALID_LENGTH",
            Fault::SniType => "INVALID_SNI_TYPE",
            Fault::SniLength => "INVALID_SNI_LENGTH",
            Fault::SniMultiple => "MULTIPLE_SNI_EXTENSIONS",
        });
    }
    if side == Side::Server {
        let draft = hello.legacy_version == version::TLS13 || hello.legacy_version >> 8 == 0x7f;
        let asked = tx
            .side(Direction::ToServer)
            .hello
            .as_ref()
            .is_none_or(|c| c.has_versions);
        tx.without_certificate |=
            draft || (hello.has_versions && asked && hello.version > version::TLS12);
        let offered = tx
            .side(Direction::ToServer)
            .hello
            .as_ref()
            .map(|c| c.session_id.as_slice());
        tx.resumed |= !hello.session_id.is_empty() && offered == Some(hello.session_id.as_slice());
    } else {
        tx.resumed |= hello.ticket;
        // A second hello that no retry request of the server called for (RFC 8446 §4.1.2) names a host again.
        let unasked = tx.side(Direction::ToClient).hello.is_none();
        let first = tx.side(direction).hello.as_ref();
        let named = first.is_some_and(|h| h.sni.is_some()) && hello.sni.is_some();
        if unasked && named {
            tx.raise("MULTIPLE_SNI_EXTENSIONS");
        }
    }
    let complete = hello.complete;
    let kept = tx.side_mut(direction);
    kept.version = hello.version;
    if kept.hello.is_none() {
        if complete {
            let text = hello.ja3(side);
            let digest = md5_hex(text.as_bytes());
            kept.ja3 = Some((text, digest));
            kept.ja4 = (side == Side::Client).then(|| hello.ja4('t'));
        }
        kept.hello = Some(hello);
    }
    if complete {
        tx.advance(
            direction,
            if direction == Direction::ToServer {
                CLIENT_HELLO_DONE
            } else {
                SERVER_HELLO
            },
        );
    }
}

/// Application data: the handshake must be over, unless it is early data (RFC 8446 §2.3).
fn data(direction: Direction, tx: &mut TlsTx) {
    let early = tx
        .side(Direction::ToServer)
        .hello
        .as_ref()
        .is_some_and(|h| h.early_data);
    if early && tx.side(Direction::ToClient).hello.is_none() {
        return;
    }
    tx.side_mut(direction).data = true;
    tx.settle();
    tx.advance(
        direction,
        if direction == Direction::ToServer {
            CLIENT_HANDSHAKE_DONE
        } else {
            SERVER_HANDSHAKE_DONE
        },
    );
}

fn alert(body: &[u8], tx: &mut TlsTx) -> Result<(), Broken> {
    match body {
        [] | [_] => {
            tx.raise("INVALID_ALERT_MESSAGE");
            Err(Broken)
        }
        [2, _] => {
            tx.advance(Direction::ToServer, CLIENT_FINISHED);
            tx.advance(Direction::ToClient, SERVER_FINISHED);
            Ok(())
        }
        // Longer: encrypted.
        _ => Ok(()),
    }
}

impl Heartbeat {
    fn message(&mut self, direction: Direction, body: &[u8], tx: &mut TlsTx) -> Result<(), Broken> {
        let mut r = Reader::new(body);
        let (Some(kind), Some(payload_len)) = (r.u8(), r.u16()) else {
            return Ok(());
        };
        let encrypted = tx.sides.iter().any(|s| s.ciphered);
        let mut broken = |event| {
            tx.raise(event);
            Err(Broken)
        };
        if !encrypted && !matches!(kind, 1 | 2) {
            return broken("INVALID_HEARTBEAT_MESSAGE");
        }
        match self.by {
            None => {
                self.by = Some(direction);
                if encrypted {
                    self.encrypted_len = body.len();
                    return Ok(());
                }
                // What is asked back must be there (CVE-2014-0160), and 16 bytes of padding (RFC 6520 §4).
                let needed = usize::from(payload_len) + 3;
                if needed > body.len() {
                    return broken("OVERFLOW_HEARTBEAT_MESSAGE");
                }
                if body.len() - needed < 16 {
                    return broken("INVALID_HEARTBEAT_MESSAGE");
                }
            }
            Some(by) if by == direction => return broken("INVALID_HEARTBEAT_MESSAGE"),
            Some(_) => {
                let asked = std::mem::take(&mut self.encrypted_len);
                self.by = None;
                if encrypted && asked > 0 && asked < body.len() {
                    return broken("DATALEAK_HEARTBEAT_MISMATCH");
                }
            }
        }
        Ok(())
    }
}
