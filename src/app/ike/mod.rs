//! IKE: version 1 (RFC 2408, 2409) and 2 (RFC 7296), what its messages show before encryption begins.
//!
//! Each message is a transaction of one direction. What the sides proposed, chose and exchanged is kept with the flow and
//! shown with the messages that follow. Limits: 64 payloads a message, 64 transforms, 256 bytes of a key exchange or
//! nonce, 32 vendor ids.

mod field;
mod log;
mod one;
#[cfg(test)]
mod tests;
mod two;

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    Field, FlowInfo, Input, Limits, LogHead, Parsed, Probe, Protocol, Rides, Session, Transaction,
    TxState, TxStore,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use one::{Attribute, Shown};
use two::Chosen;

/// IKE.
#[derive(Debug)]
pub struct Ike;

/// IKE.
pub static IKE: Ike = Ike;

const EVENTS: &[&str] = &[
    "malformed_data",
    "no_encryption",
    "weak_crypto_enc",
    "weak_crypto_prf",
    "weak_crypto_dh",
    "weak_crypto_auth",
    "weak_crypto_no_dh",
    "weak_crypto_no_auth",
    "invalid_proposal",
    "unknown_proposal",
    "payload_extra_data",
    "multiple_server_proposal",
];

/// Numbers of the events.
mod event {
    pub const MALFORMED_DATA: u8 = 0;
    pub const NO_ENCRYPTION: u8 = 1;
    pub const WEAK_CRYPTO_ENC: u8 = 2;
    pub const WEAK_CRYPTO_PRF: u8 = 3;
    pub const WEAK_CRYPTO_DH: u8 = 4;
    pub const WEAK_CRYPTO_AUTH: u8 = 5;
    pub const WEAK_CRYPTO_NO_DH: u8 = 6;
    pub const WEAK_CRYPTO_NO_AUTH: u8 = 7;
    pub const INVALID_PROPOSAL: u8 = 8;
    pub const UNKNOWN_PROPOSAL: u8 = 9;
    pub const PAYLOAD_EXTRA_DATA: u8 = 10;
    pub const MULTIPLE_SERVER_PROPOSAL: u8 = 11;
}

const PAYLOADS_MAX: usize = 64;

impl Protocol for Ike {
    fn name(&self) -> &'static str {
        "ike"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["ikev2"]
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn ports(&self) -> &'static [u16] {
        &[500, 4500]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        let Some(bytes) = without_marker(bytes, key) else {
            return Probe::NotMine;
        };
        let Some(header) = Header::read(&mut Reader::new(bytes)) else {
            return Probe::NotMine;
        };
        let sound = match header.version {
            0x10 => header.exchange <= 6 || (32..=33).contains(&header.exchange),
            0x20 => (34..=37).contains(&header.exchange) && header.len as usize == bytes.len(),
            _ => false,
        };
        match (sound, header.responder, direction) {
            (false, ..) => Probe::NotMine,
            (true, 0, Direction::ToClient) => Probe::MatchReversed,
            _ => Probe::Match,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(IkeSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("ike"))
    }

    fn log(&self, session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let (Some(session), Some(tx)) = (session.as_any().downcast_ref(), of(tx)) {
            log::write(session, tx, json);
        }
    }
}

/// RFC 3948 §2.2: on port 4500 four zero bytes tell IKE from ESP.
fn without_marker<'a>(bytes: &'a [u8], key: &FlowKey) -> Option<&'a [u8]> {
    if key.dport == 4500 || key.sport == 4500 {
        bytes.strip_prefix(&[0; 4])
    } else {
        Some(bytes)
    }
}

/// The header of both versions (RFC 2408 §3.1, RFC 7296 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Header {
    initiator: u64,
    responder: u64,
    next: u8,
    version: u8,
    exchange: u8,
    flags: u8,
    message: u32,
    len: u32,
}

impl Header {
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            initiator: r.u64()?,
            responder: r.u64()?,
            next: r.u8()?,
            version: r.u8()?,
            exchange: r.u8()?,
            flags: r.u8()?,
            message: r.u32()?,
            len: r.u32()?,
        })
    }
}

/// Generic payload header (RFC 2408 §3.2, RFC 7296 §3.2): type of the next payload, its own length with this header.
struct Payloads<'a> {
    r: Reader<'a>,
    next: u8,
    count: usize,
}

impl<'a> Payloads<'a> {
    fn new(r: Reader<'a>, next: u8) -> Self {
        Self { r, next, count: 0 }
    }

    /// Type and contents of the next payload; `None` at the end, `Some(Err)` when it is cut.
    fn next(&mut self) -> Option<Result<(u8, &'a [u8]), ()>> {
        if self.next == 0 || self.count >= PAYLOADS_MAX {
            return None;
        }
        self.count += 1;
        let kind = self.next;
        let read = |r: &mut Reader<'a>| {
            let next = r.u8()?;
            r.skip(1)?;
            let len = usize::from(r.u16()?).checked_sub(4)?;
            Some((next, r.take(len)?))
        };
        Some(match read(&mut self.r) {
            Some((next, contents)) => {
                self.next = next;
                Ok((kind, contents))
            }
            None => {
                self.next = 0;
                Err(())
            }
        })
    }
}

/// A message.
#[derive(Debug)]
pub(super) struct IkeTx {
    state: TxState,
    direction: Direction,
    header: Header,
    /// Types of its payloads, in order, each once (version 1) or as they come (version 2).
    payloads: Vec<u8>,
    /// Version 1: what this message showed.
    shown: Shown,
    /// Version 1: transforms of its proposals.
    transforms: Vec<Vec<Attribute>>,
    /// Version 2: types of notifications.
    notify: Vec<u16>,
    /// What the responder chose, as far as it was known then.
    chosen: Vec<Attribute>,
    chosen_two: Chosen,
}

impl IkeTx {
    fn is_one(&self) -> bool {
        self.header.version >> 4 == 1
    }
}

impl Transaction for IkeTx {
    transaction_members!();
    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
pub(super) struct IkeSession {
    txs: TxStore<IkeTx>,
    doi: Option<u32>,
    /// What client and server showed (version 1).
    shown: [Shown; 2],
    /// First transform of the server, and how many it sent (version 1).
    chosen: Vec<Attribute>,
    chosen_count: usize,
    /// What the responder chose (version 2).
    chosen_two: Chosen,
}

impl Session for IkeSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let Some(bytes) = without_marker(input.bytes, &flow.key) else {
            // ESP, or a keep-alive.
            return Parsed::All;
        };
        if bytes.is_empty() {
            return Parsed::All;
        }
        let mut r = Reader::new(bytes);
        let Some(header) = Header::read(&mut r).filter(|h| matches!(h.version >> 4, 1 | 2)) else {
            return Parsed::Error;
        };
        let mut tx = IkeTx {
            state: TxState::only(direction),
            direction,
            header,
            payloads: Vec::new(),
            shown: Shown::default(),
            transforms: Vec::new(),
            notify: Vec::new(),
            chosen: Vec::new(),
            chosen_two: Chosen::default(),
        };
        if header.version >> 4 == 1 {
            self.one(&mut tx, r);
            tx.chosen.clone_from(&self.chosen);
        } else {
            self.two(&mut tx, r);
            tx.chosen_two = self.chosen_two;
        }
        self.txs.push(tx);
        Parsed::All
    }
}

fn of(tx: &dyn Transaction) -> Option<&IkeTx> {
    tx.as_any().downcast_ref()
}
