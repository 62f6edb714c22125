//! BitTorrent DHT (BEP 5, with BEP 32 for IPv6): queries, responses and errors, bencoded, one transaction a datagram.
//!
//! Limits: dictionaries and lists nested 4 deep, 64 nodes and peers, strings as long as the datagram.

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    FlowInfo, Input, Limits, LogHead, Parsed, Pattern, Protocol, Rides, Session, Transaction,
    TxState, TxStore,
};
use crate::alert::Json;
use crate::packet::Direction;

/// BitTorrent DHT.
#[derive(Debug)]
pub struct BittorrentDht;

/// BitTorrent DHT.
pub static BITTORRENT_DHT: BittorrentDht = BittorrentDht;

const MALFORMED_PACKET: u8 = 0;
const DEPTH_MAX: u8 = 4;
const LIST_MAX: usize = 64;

/// What a message begins with, bencode having its keys sorted.
const STARTS: [&[u8]; 4] = [b"d1:ad", b"d1:rd", b"d2:ip", b"d1:el"];

const fn pattern(direction: Direction) -> Pattern {
    Pattern {
        bytes: b"d1:ad2:id20:",
        nocase: false,
        offset: 0,
        depth: 12,
        direction,
    }
}

static PATTERNS: &[Pattern] = &[pattern(Direction::ToServer), pattern(Direction::ToClient)];

impl Protocol for BittorrentDht {
    fn name(&self) -> &'static str {
        "bittorrent-dht"
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(DhtSession::default())
    }

    fn events(&self) -> &'static [&'static str] {
        &["malformed_packet"]
    }

    fn event_prefix(&self) -> &'static str {
        "bittorrent_dht"
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("bittorrent_dht"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<DhtTx>() {
            tx.log(json);
        }
    }
}

/// A bencoded value (BEP 3).
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    /// The bytes inside of `l … e` or `d … e`.
    List(&'a [u8]),
    Dictionary(&'a [u8]),
}

/// Reads one value; `None` when there is no whole one.
fn value<'a>(r: &mut Reader<'a>, depth: u8) -> Option<Value<'a>> {
    let depth = depth.checked_sub(1)?;
    match r.peek()? {
        b'i' => {
            r.skip(1)?;
            let digits = std::str::from_utf8(r.until(b'e')?).ok()?;
            digits.parse().ok().map(Value::Integer)
        }
        kind @ (b'l' | b'd') => {
            r.skip(1)?;
            let start = r.position();
            while r.peek()? != b'e' {
                value(r, depth)?;
            }
            let inside = r.all().get(start..r.position())?;
            r.skip(1)?;
            Some(if kind == b'l' {
                Value::List(inside)
            } else {
                Value::Dictionary(inside)
            })
        }
        b'0'..=b'9' => {
            let digits = r.until(b':')?;
            let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
            r.take(len).map(Value::Bytes)
        }
        _ => None,
    }
}

/// The pairs of a dictionary, as far as they can be read.
fn pairs(inside: &[u8]) -> impl Iterator<Item = (&[u8], Value<'_>)> {
    let mut r = Reader::new(inside);
    std::iter::from_fn(move || match value(&mut r, DEPTH_MAX)? {
        Value::Bytes(key) => Some((key, value(&mut r, DEPTH_MAX)?)),
        _ => None,
    })
}

/// The elements of a list.
fn elements(inside: &[u8]) -> impl Iterator<Item = Value<'_>> {
    let mut r = Reader::new(inside);
    std::iter::from_fn(move || value(&mut r, DEPTH_MAX))
}

/// Number or address and port of somebody.
#[derive(Debug, PartialEq, Eq)]
struct Node {
    id: Vec<u8>,
    address: Vec<u8>,
    port: u16,
}

impl Node {
    fn read(r: &mut Reader<'_>, id: usize, address: usize) -> Option<Self> {
        Some(Self {
            id: r.take(id)?.to_vec(),
            address: r.take(address)?.to_vec(),
            port: r.u16()?,
        })
    }

    fn list(bytes: &[u8], address: usize) -> Vec<Self> {
        let mut r = Reader::new(bytes);
        std::iter::from_fn(|| Self::read(&mut r, 20, address))
            .take(LIST_MAX)
            .collect()
    }

    fn log(&self, json: &mut Json<'_>) {
        json.begin();
        if !self.id.is_empty() {
            json.hex("id", &self.id, None);
        }
        let text = match (self.address.first_chunk::<4>(), self.address.first_chunk()) {
            (_, Some(v6)) => {
                let groups = std::net::Ipv6Addr::from(*v6).segments();
                groups.map(|group| format!("{group:04x}")).join(":")
            }
            (Some(v4), None) => std::net::Ipv4Addr::from(*v4).to_string(),
            _ => String::new(),
        };
        json.str("ip", text).num("port", self.port).end();
    }
}

#[derive(Debug, Default)]
struct Request {
    id: Vec<u8>,
    target: Option<Vec<u8>>,
    info_hash: Option<Vec<u8>>,
    token: Option<Vec<u8>>,
    implied_port: Option<u8>,
    port: Option<u16>,
}

impl Request {
    fn read(inside: &[u8]) -> Option<Self> {
        let (mut request, mut id) = (Self::default(), None);
        for (key, value) in pairs(inside) {
            match (key, value) {
                (b"id", Value::Bytes(bytes)) => id = Some(bytes.to_vec()),
                (b"target", Value::Bytes(bytes)) => request.target = Some(bytes.to_vec()),
                (b"info_hash", Value::Bytes(bytes)) => request.info_hash = Some(bytes.to_vec()),
                (b"token", Value::Bytes(bytes)) => request.token = Some(bytes.to_vec()),
                (b"implied_port", Value::Integer(n)) => {
                    request.implied_port = Some(u8::try_from(n).ok()?);
                }
                (b"port", Value::Integer(n)) => request.port = Some(u16::try_from(n).ok()?),
                (b"id" | b"target" | b"info_hash" | b"token" | b"implied_port" | b"port", _) => {
                    return None;
                }
                _ => {}
            }
        }
        request.id = id?;
        Some(request)
    }

    fn log(&self, json: &mut Json<'_>) {
        json.object("request").hex("id", &self.id, None);
        for (name, value) in [
            ("target", &self.target),
            ("info_hash", &self.info_hash),
            ("token", &self.token),
        ] {
            if let Some(value) = value {
                json.hex(name, value, None);
            }
        }
        if let Some(implied) = self.implied_port {
            json.num("implied_port", implied);
        }
        if let Some(port) = self.port {
            json.num("port", port);
        }
        json.end();
    }
}

#[derive(Debug, Default)]
struct Response {
    id: Vec<u8>,
    nodes: [Vec<Node>; 2],
    values: Vec<Node>,
    token: Option<Vec<u8>>,
}

impl Response {
    fn read(inside: &[u8]) -> Option<Self> {
        let (mut response, mut id) = (Self::default(), None);
        for (key, value) in pairs(inside) {
            match (key, value) {
                (b"id", Value::Bytes(bytes)) => id = Some(bytes.to_vec()),
                (b"nodes", Value::Bytes(bytes)) => response.nodes[0] = Node::list(bytes, 4),
                (b"nodes6", Value::Bytes(bytes)) => response.nodes[1] = Node::list(bytes, 16),
                (b"token", Value::Bytes(bytes)) => response.token = Some(bytes.to_vec()),
                (b"values", Value::List(list)) => {
                    for value in elements(list).take(LIST_MAX) {
                        let Value::Bytes(bytes) = value else {
                            return None;
                        };
                        let address = if bytes.len() < 18 { 4 } else { 16 };
                        response
                            .values
                            .push(Node::read(&mut Reader::new(bytes), 0, address)?);
                    }
                }
                (b"id" | b"nodes" | b"nodes6" | b"token", _) => return None,
                _ => {}
            }
        }
        response.id = id?;
        Some(response)
    }

    fn log(&self, json: &mut Json<'_>) {
        json.object("response").hex("id", &self.id, None);
        let [nodes, nodes6] = &self.nodes;
        for (name, list) in [
            ("nodes", nodes),
            ("nodes6", nodes6),
            ("values", &self.values),
        ] {
            if list.is_empty() {
                continue;
            }
            json.array(name);
            for node in list {
                node.log(json);
            }
            json.end_array();
        }
        if let Some(token) = &self.token {
            json.hex("token", token, None);
        }
        json.end();
    }
}

/// A message.
#[derive(Debug, Default)]
struct DhtTx {
    state: TxState,
    id: Vec<u8>,
    version: Option<Vec<u8>>,
    query: Option<Vec<u8>>,
    request: Option<Request>,
    response: Option<Response>,
    error: Option<(u16, Vec<u8>)>,
}

impl DhtTx {
    /// Reads a message; what can be read of a malformed one stays.
    fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let Value::Dictionary(inside) = value(&mut Reader::new(bytes), DEPTH_MAX)? else {
            return None;
        };
        let (mut kind, mut query, mut id) = (None, None, None);
        let (mut request, mut response, mut error) = (None, None, None);
        let mut sound = true;
        for (key, value) in pairs(inside) {
            match (key, value) {
                (b"y", Value::Bytes(bytes)) => kind = Some(bytes),
                (b"q", Value::Bytes(bytes)) => query = Some(bytes),
                (b"a", Value::Dictionary(inside)) => {
                    request = Request::read(inside);
                    sound &= request.is_some();
                }
                (b"r", Value::Dictionary(inside)) => {
                    response = Response::read(inside);
                    sound &= response.is_some();
                }
                (b"e", Value::List(inside)) => {
                    let (mut number, mut text) = (None, None);
                    for value in elements(inside).take(4) {
                        match value {
                            Value::Integer(n) => number = u16::try_from(n).ok(),
                            Value::Bytes(bytes) => text = Some(bytes.to_vec()),
                            _ => {}
                        }
                    }
                    error = number.zip(text);
                    sound &= error.is_some();
                }
                (b"t", Value::Bytes(bytes)) => id = Some(bytes),
                (b"v", Value::Bytes(bytes)) => self.version = Some(bytes.to_vec()),
                (b"y" | b"q" | b"a" | b"r" | b"e" | b"t" | b"v", _) => sound = false,
                _ => {}
            }
        }
        if !sound {
            return None;
        }
        match kind? {
            b"q" => {
                self.query = Some(query?.to_vec());
                self.request = Some(request?);
            }
            b"r" => self.response = Some(response?),
            b"e" => self.error = Some(error?),
            _ => return None,
        }
        self.id = id?.to_vec();
        Some(())
    }

    fn log(&self, json: &mut Json<'_>) {
        json.object("bittorrent_dht")
            .hex("transaction_id", &self.id, None);
        if let Some(version) = &self.version {
            json.hex("client_version", version, None);
        }
        if let Some(query) = &self.query {
            json.str("request_type", query);
        }
        if let Some((number, text)) = &self.error {
            json.object("error")
                .num("num", *number)
                .str("msg", text)
                .end();
        }
        if let Some(request) = &self.request {
            request.log(json);
        }
        if let Some(response) = &self.response {
            response.log(json);
        }
        json.end();
    }
}

impl Transaction for DhtTx {
    transaction_members!();
    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct DhtSession {
    txs: TxStore<DhtTx>,
}

impl Session for DhtSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        // Other protocols of the same program share the port.
        if !STARTS.iter().any(|start| input.bytes.starts_with(start)) {
            return Parsed::All;
        }
        let mut tx = DhtTx {
            state: TxState::only(direction),
            ..DhtTx::default()
        };
        let sound = tx.read(input.bytes).is_some();
        if !sound {
            tx.state.raise(MALFORMED_PACKET);
        }
        self.txs.push(tx);
        if sound { Parsed::All } else { Parsed::Error }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, survives};

    const PING: &[u8] = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    const PEERS: &[u8] =
        b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re";

    #[test]
    fn queries_and_responses() {
        let mut feed = Feed::new(&BITTORRENT_DHT, 17, 6881);
        feed.give(Direction::ToServer, PING);
        feed.give(Direction::ToClient, PEERS);
        feed.give(Direction::ToClient, b"d1:eli201e7:Generice1:t2:aa1:y1:ee");
        let logged = feed.logged(&BITTORRENT_DHT);
        assert_eq!(logged[0]["bittorrent_dht"]["request_type"], "ping");
        assert_eq!(
            logged[1]["bittorrent_dht"]["response"]["values"][0],
            json!({"ip": "97.120.106.101", "port": 11893})
        );
        assert_eq!(logged[2]["bittorrent_dht"]["error"]["num"], 201);
    }

    #[test]
    fn every_prefix_is_malformed() {
        for message in [PING, PEERS] {
            for len in 5..message.len() {
                let mut feed = Feed::new(&BITTORRENT_DHT, 17, 6881);
                feed.give(Direction::ToServer, &message[..len]);
                let logged = feed.logged(&BITTORRENT_DHT);
                assert_eq!(logged[0]["events"], json!(["malformed_packet"]), "{len}");
            }
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let deep = [&b"d1:ad"[..], &[b'l'; 60_000]].concat();
        let mut feed = Feed::new(&BITTORRENT_DHT, 17, 6881);
        assert_eq!(feed.give(Direction::ToServer, &deep), Parsed::Error);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), "[dlie0-9:aqyt]{0,60}"), 1..6)) {
            let pieces: Vec<(bool, Vec<u8>)> = pieces.into_iter().map(|(s, t)| (s, [b"d1:ad", t.as_bytes()].concat())).collect();
            survives(&BITTORRENT_DHT, 17, 6881, &pieces);
        }
    }
}
