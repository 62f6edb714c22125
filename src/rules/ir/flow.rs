//! What a rule asks of a flow, and of its stream.

use super::packet::Compare;
use super::test::CaptureScope;
use crate::alert::XbitCondition;
use crate::app::AppProto;

/// The `flow` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTest {
    /// `to_server` / `from_client`.
    pub to_server: bool,
    /// `to_client` / `from_server`.
    pub to_client: bool,
    /// `established`.
    pub established: bool,
    /// `not_established`.
    pub not_established: bool,
    /// `stateless`.
    pub stateless: bool,
    /// `only_stream`.
    pub only_stream: bool,
    /// `no_stream`.
    pub no_stream: bool,
    /// `only_frag`.
    pub only_frag: bool,
    /// `no_frag`.
    pub no_frag: bool,
}

/// A test on, or change of, state that the flow keeps. Tests are evaluated with the header; changes after a match.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowStateOption {
    /// `flowbits:set`
    BitSet(u32),
    /// `flowbits:unset`
    BitUnset(u32),
    /// `flowbits:toggle`
    BitToggle(u32),
    /// `flowbits:isset,a|b`
    BitIsSet(Vec<u32>),
    /// `flowbits:isnotset,a|b`
    BitIsNotSet(Vec<u32>),
    /// `flowint:name,op,value`
    Int {
        /// Variable.
        variable: u32,
        /// Operation.
        operation: FlowIntOperation,
        /// Operand.
        operand: FlowIntOperand,
    },
    /// xbits, hostbits.
    Xbit(XbitCondition),
    /// `flowvar`, `pktvar`: what an expression captured contains these bytes (or not).
    VarContains {
        /// Of the flow or the packet.
        scope: CaptureScope,
        /// Its name.
        name: String,
        /// What to find.
        bytes: Vec<u8>,
        /// Must not be there.
        negate: bool,
    },
}

/// `flowint` operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowIntOperation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `=`
    Assign,
    /// `==`, `!=`, `<`, `>`, `<=`, `>=`
    Test(IntCompare),
    /// `isset`
    IsSet,
    /// `isnotset` / `notset`
    IsNotSet,
}

/// Comparison of two variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntCompare {
    /// ==
    Equal,
    /// !=
    NotEqual,
    /// <
    Less,
    /// >
    Greater,
    /// <=
    LessOrEqual,
    /// >=
    GreaterOrEqual,
}

/// Right-hand side of a `flowint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowIntOperand {
    /// A constant.
    Value(u32),
    /// Another variable.
    Variable(u32),
    /// None (`isset`).
    None,
}

/// Tests on the flow and stream outside the buffers.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamTest {
    /// `stream_size:dir,op,n`
    Size {
        /// `server`, `client`, `both`, `either`.
        side: StreamSide,
        /// Comparison of the bytes (sequence space) of that side.
        size: Compare,
    },
    /// `app-layer-protocol:[!]name[,side]`
    AppProtocol {
        /// Names meant (`unknown` and `failed` included).
        protos: Vec<AppProto>,
        /// Whether it must not be.
        negate: bool,
        /// Which identification: final, to server, to client, either, original.
        side: ProtocolSide,
    },
    /// `flow.pkts`, `flow.bytes`, `flow.age` …
    FlowCounter {
        /// Which.
        counter: FlowCounter,
        /// Wanted.
        value: Compare,
    },
    /// `flow.pkts:either`: one of two counters.
    FlowCounterEither {
        /// Which.
        counters: [FlowCounter; 2],
        /// Wanted.
        value: Compare,
    },
    /// Flow-wide `app-layer-event:applayer_…`.
    AppLayerEvent(&'static str),
    /// `tcp.session`: in one of these phases of a connection.
    TcpSession {
        /// Before it is established.
        setup: bool,
        /// Established, or after that.
        established: bool,
        /// Being closed, which is also established.
        closing: bool,
    },
}

/// Side of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamSide {
    /// Server's bytes.
    Server,
    /// Client's bytes.
    Client,
    /// Both.
    Both,
    /// Either.
    Either,
}

/// Which identification `app-layer-protocol` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolSide {
    /// The flow's final one (or by the packet's direction).
    Final,
    /// By packet direction.
    Direction,
    /// To server.
    ToServer,
    /// To client.
    ToClient,
    /// Either.
    Either,
    /// Before a switch.
    Original,
}

/// Counters of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowCounter {
    /// Seconds since the first packet.
    Age,
    /// Packets to the server.
    PacketsToServer,
    /// Packets to the client.
    PacketsToClient,
    /// Packets in both directions.
    Packets,
    /// Bytes to the server.
    BytesToServer,
    /// Bytes to the client.
    BytesToClient,
    /// Bytes in both directions.
    Bytes,
}
