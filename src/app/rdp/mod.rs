//! RDP, the opening of a connection ([MS-RDPBCGR] §1.3.1.1) over TPKT (RFC 1006), X.224 and T.125.
//!
//! Requests, answers, the client's description of itself, and the certificate when TLS follows are a transaction each,
//! of one direction. After that nothing can be read, and reading ends.
//! Limits: a message of 16 KiB, 31 channels ([MS-RDPBCGR] §2.2.1.3.4).

mod client;

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    FlowInfo, Input, Limits, LogHead, Login, Note, Notes, Parsed, Probe, Protocol, Rides, Session,
    Transaction, TxState, TxStore,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use client::Client;

/// RDP.
#[derive(Debug)]
pub struct Rdp;

/// RDP.
pub static RDP: Rdp = Rdp;

const MESSAGE_MAX: usize = 16 * 1024;

impl Protocol for Rdp {
    fn name(&self) -> &'static str {
        "rdp"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[3389]
    }

    /// TPKT version 3 with a connection request or confirm, or TLS where the opening was not seen.
    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let code = match direction {
            Direction::ToServer => 0xe0,
            Direction::ToClient => 0xd0,
        };
        match bytes {
            [3, 0, a, b, len, kind, ..]
                if kind & 0xf0 == code
                    && usize::from(*len) + 5 <= usize::from(u16::from_be_bytes([*a, *b])) =>
            {
                Probe::Match
            }
            [3, 0, ..] | [3] | [] if bytes.len() < 6 => Probe::NeedMore,
            _ => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(RdpSession::default())
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("rdp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<RdpTx>() {
            // Counted from 1 here, as consumers of Suricata's records know it.
            json.object("rdp").num("tx_id", tx.state.id + 1);
            tx.item.log(json);
            json.end();
        }
    }
}

/// What a message said, as far as EVE has members for it.
#[derive(Debug)]
enum Item {
    Request { cookie: Option<Vec<u8>> },
    Confirm,
    Refused,
    Connect(Box<Client>),
    Connected,
    Certificates,
}

impl Item {
    fn log(&self, json: &mut Json<'_>) {
        match self {
            Self::Request { cookie } => {
                json.str("event_type", "initial_request");
                if let Some(cookie) = cookie {
                    json.str("cookie", cookie);
                }
            }
            Self::Confirm | Self::Refused => {
                json.str("event_type", "initial_response");
            }
            Self::Connect(client) => {
                json.str("event_type", "connect_request");
                client.log(json);
            }
            Self::Connected => {
                json.str("event_type", "connect_response");
            }
            Self::Certificates => {
                json.str("event_type", "tls_handshake");
            }
        }
    }
}

/// A message.
#[derive(Debug)]
struct RdpTx {
    state: TxState,
    item: Item,
}

impl Transaction for RdpTx {
    transaction_members!();
    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct RdpSession {
    txs: TxStore<RdpTx>,
    notes: Notes,
    /// TLS has begun.
    tls: bool,
    /// Nothing more can be read.
    over: bool,
}

impl RdpSession {
    fn push(&mut self, direction: Direction, item: Item) {
        self.txs.push(RdpTx {
            state: TxState::only(direction),
            item,
        });
    }

    /// The contents of a TPKT.
    fn tpkt(&mut self, direction: Direction, bytes: &[u8]) {
        let mut r = Reader::new(bytes);
        let (Some(len), Some(code)) = (r.u8(), r.u8()) else {
            return;
        };
        match (direction, code & 0xf0) {
            (Direction::ToServer, 0xe0) => {
                if let Some(item) = connection(r, len).map(request) {
                    self.push(direction, item);
                }
            }
            (Direction::ToClient, 0xd0) => {
                if let Some(item) = connection(r, len).map(confirm) {
                    if matches!(item, Item::Confirm) {
                        self.notes.login(Login::Tried);
                    }
                    self.push(direction, item);
                }
            }
            // X.224 data: end of message, then T.125.
            (_, 0xf0) if len == 2 => {
                let _ = r.u8();
                let connect = match r.rest() {
                    [0x7f, kind, ..] => *kind,
                    _ => return,
                };
                if (direction, connect) == (Direction::ToServer, 101) {
                    if let Some(client) = client::read(r.rest()) {
                        self.push(direction, Item::Connect(Box::new(client)));
                    }
                } else if (direction, connect) == (Direction::ToClient, 102) {
                    self.push(direction, Item::Connected);
                    self.over = true;
                }
            }
            _ => {}
        }
    }

    /// A TLS record: only the server's certificates are of interest.
    fn record(&mut self, direction: Direction, kind: u8, body: &[u8]) {
        match (direction, kind) {
            (Direction::ToClient, 22) => {
                let mut r = Reader::new(body);
                while let Some(message) = r.u8()
                    && r.counted24().is_some()
                {
                    if message == 11 {
                        self.push(direction, Item::Certificates);
                        self.over = true;
                    }
                }
            }
            (_, 23) => self.over = true,
            _ => {}
        }
    }
}

/// The variable part of an X.224 connection message; `r` stands behind its code.
fn connection(mut r: Reader<'_>, len: u8) -> Option<Reader<'_>> {
    let rest = usize::from(len).checked_sub(6)?;
    let destination = r.u16()?;
    r.skip(2)?;
    // Class 0 without options is what RDP uses.
    let class = r.u8()?;
    if destination != 0 || class != 0 {
        return None;
    }
    r.part(rest)
}

fn request(r: Reader<'_>) -> Item {
    let cookie = r
        .rest()
        .strip_prefix(b"Cookie: mstshash=")
        .and_then(|rest| rest.get(..memchr::memmem::find(rest, b"\r\n")?))
        .map(<[u8]>::to_vec);
    Item::Request { cookie }
}

/// §2.2.1.2: type 3 is a refusal.
fn confirm(r: Reader<'_>) -> Item {
    match r.rest() {
        [3, _, 8, 0, ..] => Item::Refused,
        _ => Item::Confirm,
    }
}

impl Session for RdpSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if self.over {
            return Parsed::Bypass;
        }
        if input.gap > 0 {
            return Parsed::Error;
        }
        let mut r = Reader::new(input.bytes);
        while !r.is_empty() && !self.over {
            let start = r;
            let more = |needed: usize| Parsed::NeedMore {
                consumed: start.position(),
                needed: needed.max(1),
            };
            self.tls |= matches!(r.rest(), [20..=23, 3, 0..=4, ..]);
            let header = if self.tls { 5 } else { 4 };
            let Some(head) = r.take(header) else {
                return more(header - r.left());
            };
            let (len, kind) = match *head {
                [kind, 3, _, a, b] => (usize::from(u16::from_be_bytes([a, b])), kind),
                [3, _, a, b] => match usize::from(u16::from_be_bytes([a, b])).checked_sub(4) {
                    Some(len) => (len, 0),
                    None => return Parsed::Error,
                },
                _ => return Parsed::Error,
            };
            // Longer ones do not occur before the session proper.
            if len > MESSAGE_MAX + 2048 {
                return Parsed::Error;
            }
            let Some(body) = r.take(len) else {
                return more(len - r.left());
            };
            if self.tls {
                self.record(direction, kind, body);
            } else {
                self.tpkt(direction, body);
            }
        }
        Parsed::All
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    const REQUEST: &[u8] =
        b"\x03\0\0\x2b\x26\xe0\0\0\0\0\0Cookie: mstshash=joe12\r\n\x01\x01\x08\0\x03\0\0\0";
    const CONFIRM: &[u8] = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x1f\x08\0\x02\0\0\0";
    const REFUSED: &[u8] = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x03\0\x08\0\x05\0\0\0";

    fn exchange() -> Vec<(Direction, &'static [u8])> {
        vec![(ToServer, REQUEST), (ToClient, CONFIRM)]
    }

    #[test]
    fn a_connection_opens() {
        let len = REQUEST.len();
        assert_eq!(
            (len, usize::from(REQUEST[3]), usize::from(REQUEST[4])),
            (43, 43, 38)
        );
        let mut feed = Feed::new(&RDP, 6, 3389);
        for (direction, bytes) in exchange() {
            feed.give(direction, bytes);
        }
        let logged = feed.logged(&RDP);
        assert_eq!(
            logged[0]["rdp"],
            json!({"tx_id": 1, "event_type": "initial_request", "cookie": "joe12"})
        );
        assert_eq!(logged[1]["rdp"]["event_type"], "initial_response");
        assert_eq!(feed.session.take_note(), Some(Note::Login(Login::Tried)));
        chunking_never_matters(&RDP, 3389, &exchange());
    }

    #[test]
    fn a_refusal_is_no_login() {
        let mut feed = Feed::new(&RDP, 6, 3389);
        feed.give(ToClient, REFUSED);
        assert_eq!(feed.logged(&RDP).len(), 1);
        assert_eq!(feed.session.take_note(), None);
    }

    #[test]
    fn every_prefix_does_no_harm() {
        for (direction, bytes) in exchange() {
            for len in 0..bytes.len() {
                let mut feed = Feed::new(&RDP, 6, 3389);
                feed.give(direction, &bytes[..len]);
                assert!(feed.logged(&RDP).is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
            let framed = pieces.into_iter().map(|(server, body)| {
                (server, [&[3, 0, 0, body.len() as u8 + 4], &body[..]].concat())
            });
            survives(&RDP, 6, 3389, &framed.collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_client_data_does_no_harm(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = client::read(&data);
            let _ = client::blocks(&data);
        }
    }
}
