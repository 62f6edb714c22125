//! TFTP requests (RFC 1350): which file is read or written. Each request is a transaction; the transfer itself goes
//! between other ports and is not followed.

use super::{
    FlowInfo, Input, Limits, LogHead, Parsed, Probe, Protocol, Rides, Session, Transaction,
    TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// Bytes of a datagram from which on it is looked at.
const DATAGRAM_MIN: usize = 4;

/// Modes of transfer (RFC 1350 §1).
const MODES: &[&str] = &["netascii", "mail", "octet"];

const STATES: &[&str] = &["in_progress", "finished"];
const FINISHED: u8 = 1;

/// TFTP.
#[derive(Debug)]
pub struct Tftp;

/// TFTP.
pub static TFTP: Tftp = Tftp;

impl Protocol for Tftp {
    fn name(&self) -> &'static str {
        "tftp"
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn ports(&self) -> &'static [u16] {
        &[69]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        if bytes.len() >= DATAGRAM_MIN && bytes.first() == Some(&0) {
            Probe::Match
        } else {
            Probe::NotMine
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(TftpSession::default())
    }

    fn states(&self, _direction: Direction) -> &'static [&'static str] {
        STATES
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("tftp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = tx.as_any().downcast_ref::<TftpTx>() else {
            return;
        };
        let packet = match tx.opcode {
            1 => "read",
            2 => "write",
            _ => "error",
        };
        json.object("tftp")
            .str("packet", packet)
            .str("file", &tx.file)
            .str("mode", tx.mode)
            .end();
    }
}

/// A request.
#[derive(Debug)]
struct TftpTx {
    state: TxState,
    opcode: u8,
    file: Vec<u8>,
    mode: &'static str,
}

impl TftpTx {
    /// `0 opcode file 0 mode 0`.
    fn read(bytes: &[u8]) -> Option<Self> {
        let [0, opcode @ 1..=5, rest @ ..] = bytes else {
            return None;
        };
        let mut texts = rest.split(|b| *b == 0);
        let (file, mode) = (texts.next()?, texts.next()?);
        let mode = MODES
            .iter()
            .find(|known| mode.eq_ignore_ascii_case(known.as_bytes()))?;
        Some(Self {
            state: TxState::default(),
            opcode: *opcode,
            file: file.to_vec(),
            mode,
        })
    }
}

impl Transaction for TftpTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        FINISHED
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct TftpSession {
    txs: TxStore<TftpTx>,
}

impl Session for TftpSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if direction == Direction::ToClient || input.bytes.is_empty() {
            return Parsed::All;
        }
        let Some(tx) = TftpTx::read(input.bytes) else {
            return Parsed::Error;
        };
        self.txs.push(tx).state.touch(direction);
        Parsed::All
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, survives};

    #[test]
    fn a_request_names_its_file() {
        let mut feed = Feed::new(&TFTP, 17, 69);
        feed.give(Direction::ToServer, b"\0\x01rfc1350.txt\0OCTET\0");
        let expected =
            serde_json::json!({"packet": "read", "file": "rfc1350.txt", "mode": "octet"});
        assert_eq!(feed.logged(&TFTP)[0]["tftp"], expected);
        assert_eq!(
            feed.give(Direction::ToServer, b"\0\x01rfc1350.txt\0ccccc\0"),
            Parsed::Error
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 1..5)) {
            survives(&TFTP, 17, 69, &pieces);
        }
    }
}
