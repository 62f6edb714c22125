//! Drives a [`Session`] in tests as the pipeline does: in pieces of any size, keeping what a parser did not consume.

use super::{FlowInfo, Input, Limits, Parsed, Protocol, Session};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey, Timestamp};

/// A session and the unconsumed bytes of each direction.
#[derive(Debug)]
pub struct Feed {
    /// The session.
    pub session: Box<dyn Session>,
    pending: [Vec<u8>; 2],
    needed: [usize; 2],
    /// What the last call answered.
    pub last: Parsed,
    /// The flow.
    pub flow: FlowInfo,
}

/// A flow between two documentation addresses.
pub fn flow(proto: u8, dport: u16) -> FlowInfo {
    let key = FlowKey {
        sport: 40000,
        dport,
        proto,
        ..FlowKey::default()
    };
    FlowInfo {
        key,
        ts: Timestamp::default(),
        flow_id: 1,
        inline: false,
        original: None,
    }
}

impl Feed {
    /// A fresh session of `protocol` over TCP (6) or UDP (17).
    pub fn new(protocol: &dyn Protocol, proto: u8, dport: u16) -> Self {
        Self {
            session: protocol.session(&Limits::default()),
            pending: Default::default(),
            needed: [0; 2],
            last: Parsed::All,
            flow: flow(proto, dport),
        }
    }

    /// One piece of a stream, or one datagram.
    pub fn give(&mut self, direction: Direction, bytes: &[u8]) -> Parsed {
        if matches!(
            self.last,
            Parsed::Error | Parsed::Bypass | Parsed::Switch { .. }
        ) {
            return self.last;
        }
        let i = direction.index();
        self.pending[i].extend_from_slice(bytes);
        if self.pending[i].len() < self.needed[i] {
            return self.last;
        }
        let input = Input {
            bytes: &self.pending[i],
            gap: 0,
            end: false,
        };
        self.last = self.session.parse(direction, input, &self.flow);
        let (consumed, needed) = match self.last {
            Parsed::NeedMore { consumed, needed } => (consumed, needed),
            Parsed::Switch { consumed, .. } => (consumed, 0),
            _ => (self.pending[i].len(), 0),
        };
        assert!(
            consumed <= self.pending[i].len(),
            "consumed more than was there"
        );
        self.pending[i].drain(..consumed);
        self.needed[i] = if needed == 0 {
            0
        } else {
            self.pending[i].len() + needed
        };
        self.last
    }

    /// A gap in a direction.
    pub fn gap(&mut self, direction: Direction, len: u64, bytes: &[u8]) -> Parsed {
        self.pending[direction.index()].clear();
        self.last = self.session.parse(
            direction,
            Input {
                bytes,
                gap: len,
                end: false,
            },
            &self.flow,
        );
        self.last
    }

    /// A stream in pieces of `size` bytes.
    pub fn pieces(&mut self, direction: Direction, bytes: &[u8], size: usize) -> Parsed {
        for piece in bytes.chunks(size.max(1)) {
            self.give(direction, piece);
        }
        self.last
    }

    /// Every transaction as JSON, with its events: what must not depend on the pieces.
    pub fn logged(&self, protocol: &dyn Protocol) -> Vec<serde_json::Value> {
        let list = self.session.transactions();
        (0..list.len())
            .filter_map(|i| list.at(i))
            .map(|tx| {
                let mut out = Vec::new();
                let mut json = Json::new(&mut out);
                json.begin();
                protocol.log(&*self.session, tx, &mut json);
                json.array("events");
                for &event in &tx.state().events {
                    json.text(
                        protocol
                            .events()
                            .get(usize::from(event))
                            .copied()
                            .unwrap_or("?"),
                    );
                }
                json.end_array().end();
                serde_json::from_slice(&out).expect("a valid document")
            })
            .collect()
    }

    /// A `Bytes` or `Multi` field of a transaction, as text.
    pub fn field(
        &self,
        protocol: &dyn Protocol,
        position: usize,
        name: &str,
        direction: Direction,
    ) -> Vec<String> {
        use super::Access;
        let field = protocol
            .fields()
            .iter()
            .find(|f| f.name == name)
            .expect("a field of that name");
        let tx = self
            .session
            .transactions()
            .at(position)
            .expect("a transaction");
        let mut scratch = Vec::new();
        match &field.access {
            Access::Bytes(read) => read(tx, direction, &mut scratch)
                .map(|b| String::from_utf8_lossy(b).into_owned())
                .into_iter()
                .collect(),
            Access::Multi(read) => (0..)
                .map_while(|i| {
                    scratch.clear();
                    read(tx, direction, i, &mut scratch)
                        .map(|b| String::from_utf8_lossy(b).into_owned())
                })
                .collect(),
            Access::Integer { value, .. } => (0..)
                .map_while(|i| value(tx, direction, i))
                .map(|v| v.to_string())
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Asserts that the transactions do not depend on how the same bytes are cut, for every size up to 64 and whole.
pub fn chunking_never_matters(
    protocol: &dyn Protocol,
    dport: u16,
    exchange: &[(Direction, &[u8])],
) {
    let run = |size: usize| {
        let mut feed = Feed::new(protocol, 6, dport);
        for (direction, bytes) in exchange {
            feed.pieces(*direction, bytes, size);
        }
        (feed.logged(protocol), matches!(feed.last, Parsed::Error))
    };
    let whole = run(usize::MAX);
    for size in 1..64 {
        assert_eq!(run(size), whole, "pieces of {size} bytes");
    }
}

/// Feeds arbitrary bytes to a session in both directions: nothing may panic, fields and log included.
pub fn survives(protocol: &dyn Protocol, proto: u8, dport: u16, pieces: &[(bool, Vec<u8>)]) {
    let mut feed = Feed::new(protocol, proto, dport);
    for (server, bytes) in pieces {
        let direction = if *server {
            Direction::ToClient
        } else {
            Direction::ToServer
        };
        let _ = protocol.probe(direction, bytes, &feed.flow.key);
        feed.give(direction, bytes);
        if feed.last == Parsed::Error {
            feed.last = Parsed::All;
        }
    }
    let _ = feed.logged(protocol);
    for position in 0..feed.session.transactions().len().min(8) {
        for field in protocol.fields() {
            for direction in [Direction::ToServer, Direction::ToClient] {
                let _ = feed.field(protocol, position, field.name, direction);
            }
        }
    }
}
