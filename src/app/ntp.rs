//! NTP (RFC 5905): mode, version, stratum and reference of each message. One transaction a datagram.
//!
//! Control (mode 6, RFC 9327) and private (mode 7) messages are recognised, not read. Versions 1 to 4.

use super::tx::{session_members, transaction_members};
use super::{
    Access, Field, FieldDirection, FlowInfo, Input, Limits, LogHead, Parsed, Probe, Protocol,
    Rides, Session, Transaction, TxState, TxStore,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// NTP.
#[derive(Debug)]
pub struct Ntp;

/// NTP.
pub static NTP: Ntp = Ntp;

const EVENTS: &[&str] = &["unsolicited_response", "malformed_data"];

/// Bytes of a message of the time protocol proper.
const MESSAGE_MIN: usize = 48;
/// Bytes of a control message's header (RFC 9327 §2).
const CONTROL_MIN: usize = 12;
/// Bytes of a private message's header.
const PRIVATE_MIN: usize = 8;

static MODES: &[(&str, u64)] = &[
    ("reserved", 0),
    ("symmetric_active", 1),
    ("symmetric_passive", 2),
    ("client", 3),
    ("server", 4),
    ("broadcast", 5),
    ("control", 6),
    ("private", 7),
];

impl Protocol for Ntp {
    fn name(&self) -> &'static str {
        "ntp"
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn ports(&self) -> &'static [u16] {
        &[123]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        if NtpTx::read(bytes, Direction::ToServer).is_some() {
            Probe::Match
        } else {
            Probe::NotMine
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(NtpSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("ntp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = of(tx) else { return };
        json.object("ntp")
            .num("version", tx.version)
            .num("mode", tx.mode);
        if let Some((stratum, reference)) = &tx.source {
            json.num("stratum", *stratum)
                .hex("reference_id", reference, Some(b':'));
        }
        json.end();
    }
}

/// A message.
#[derive(Debug)]
struct NtpTx {
    state: TxState,
    version: u8,
    mode: u8,
    /// Stratum and reference, in messages of the time protocol proper.
    source: Option<(u8, [u8; 4])>,
}

impl NtpTx {
    /// ```text
    /// LI(2) VN(3) Mode(3) | Stratum | Poll | Precision | root delay | root dispersion | reference …
    /// ```
    fn read(bytes: &[u8], direction: Direction) -> Option<Self> {
        let first = *bytes.first()?;
        let (version, mode) = (first >> 3 & 7, first & 7);
        let least = match mode {
            6 => CONTROL_MIN,
            7 => PRIVATE_MIN,
            0 => return None,
            _ => MESSAGE_MIN,
        };
        if !(1..=4).contains(&version) || bytes.len() < least {
            return None;
        }
        let source = if mode < 6 {
            let reference = bytes.get(12..16).and_then(|b| b.first_chunk::<4>())?;
            Some((*bytes.get(1)?, *reference))
        } else {
            None
        };
        Some(Self {
            state: TxState::only(direction),
            version,
            mode,
            source,
        })
    }
}

impl Transaction for NtpTx {
    transaction_members!();
    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct NtpSession {
    txs: TxStore<NtpTx>,
}

impl Session for NtpSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        match NtpTx::read(input.bytes, direction) {
            Some(tx) => {
                self.txs.push(tx);
                Parsed::All
            }
            None if input.bytes.is_empty() => Parsed::All,
            None => Parsed::Error,
        }
    }
}

fn of(tx: &dyn Transaction) -> Option<&NtpTx> {
    tx.as_any().downcast_ref()
}

static FIELDS: &[Field] = &[
    Field::new(
        "ntp.mode",
        FieldDirection::Both,
        Access::Integer {
            value: |tx, _, index| of(tx).filter(|_| index == 0).map(|tx| tx.mode.into()),
            names: MODES,
            max: 255,
        },
        "mode of the message",
    ),
    Field::number(
        "ntp.version",
        FieldDirection::Both,
        |tx, _, index| of(tx).filter(|_| index == 0).map(|tx| tx.version.into()),
        255,
        "version of the protocol",
    ),
    Field::number(
        "ntp.stratum",
        FieldDirection::Both,
        |tx, _, index| Some(of(tx).filter(|_| index == 0)?.source?.0.into()),
        255,
        "distance from a clock",
    ),
    Field::new(
        "ntp.reference_id",
        FieldDirection::Both,
        Access::Bytes(|tx, _, _| Some(&of(tx)?.source.as_ref()?.1[..])),
        "what the clock follows: an address or a name, 4 bytes",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, survives};

    fn message(first: u8) -> Vec<u8> {
        let mut bytes = vec![first, 2, 6, 0xec];
        bytes.resize(12, 0);
        bytes.extend(b"GPS\0");
        bytes.resize(48, 0);
        bytes
    }

    #[test]
    fn a_request_and_its_answer() {
        let mut feed = Feed::new(&NTP, 17, 123);
        feed.give(Direction::ToServer, &message(0x23));
        feed.give(Direction::ToClient, &message(0x24));
        let logged = feed.logged(&NTP);
        assert_eq!(
            logged[1]["ntp"],
            json!({"version": 4, "mode": 4, "stratum": 2, "reference_id": "47:50:53:00"})
        );
        assert_eq!(
            feed.field(&NTP, 1, "ntp.reference_id", Direction::ToClient),
            ["GPS\0"]
        );
        assert_eq!(feed.field(&NTP, 0, "ntp.mode", Direction::ToServer), ["3"]);
    }

    #[test]
    fn short_messages_are_none() {
        for len in 0..48 {
            assert_eq!(
                NTP.probe(
                    Direction::ToServer,
                    &message(0x23)[..len],
                    &FlowKey::default()
                ),
                Probe::NotMine
            );
        }
        assert_eq!(
            NTP.probe(
                Direction::ToServer,
                &[0x17, 0, 3, 42, 0, 0, 0, 0],
                &FlowKey::default()
            ),
            Probe::Match,
            "a monlist request"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
            survives(&NTP, 17, 123, &pieces);
        }
    }
}
