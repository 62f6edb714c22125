//! What signature workers tell the anomaly worker: outcomes of connections and transactions, a few dozen bytes each.

use crate::packet::{FlowKey, Timestamp};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// First packet of a flow (TCP: a SYN that opens one).
    Opened,
    /// TCP: the client completed the handshake. UDP and others: the first answer.
    Established,
    /// TCP: RST to the SYN (`detail` = 1: from the client, after the server's answer). UDP: ICMP unreachable.
    Refused,
    /// TCP: no answer within the deadline, or the handshake never completed. Where nothing but the SYN was seen, this is
    /// the end of the connection: no `Closed` follows.
    Unanswered,
    /// TCP: reset after establishment.
    Reset,
    /// The flow ended (any reason); `value` carries its bytes, `detail` those of the client (at most 4 GiB).
    Closed,
    /// A segment that belongs to no connection (FIN, NULL, Xmas, ACK probes); `detail` = flags.
    Stray,
    /// SYN-ACK or RST that nobody asked for (backscatter, reflection); from its sender; `detail` = flags.
    Unsolicited,
    /// SYN retransmitted.
    SynRetry,
    /// SYN seen, with its fingerprint: `detail` = TTL, `value` = options hash.
    Syn,
    /// SYN-ACK seen: `detail` = TTL, `value` = nanoseconds since the SYN.
    SynAck,
    /// The application protocol was identified; `detail` = its number.
    AppProto,
    /// A transaction completed; `detail` = protocol-specific outcome code, `value` = protocol-specific.
    Transaction,
    /// A flow had `value` further packets in one direction; `detail` = 0 from the client, 1 from the server.
    Packets,
    /// What the first payload of a direction looks like: `detail` = number of a [`super::FirstBytes`].
    FirstBytes,
    /// ICMP echo: `detail` = reply << 31 | payload length (15 bits) << 16 | sequence number; `value` = hash of the payload.
    Echo,
    /// ARP request: from the asker to the address asked for; `value` = hardware address of the asker.
    ArpRequest,
    /// DNS query or failed answer: see [`super::dns_names`].
    DnsName,
    /// Outcome of a login: `detail` = number of a [`super::first_bytes::Login`]; `value` = 1: it may be a step of one that
    /// goes on.
    Login,
    /// HTTP request began: `value` = hash of server name and path without query; `detail` bit 0: it asks for a fresh
    /// copy (reload), bit 1: it carries a password.
    Request,
    /// The server began to answer; `detail` = HTTP status, 0 when it is not HTTP.
    Answered,
    /// A request that a parser read (HTTP, MySQL, PostgreSQL): `detail` = number of the protocol.
    Asked,
    /// The answer to the oldest open request: `detail` = number of the protocol | failed << 8, `value` = microseconds
    /// that the request waited (from its last byte to the answer's first, as far as acknowledgements show).
    Replied,
    /// DHCP, from sender to receiver: `detail` = type of message (RFC 2132 §9.6), `value` = server address (option 54)
    /// << 32 | first router handed out (option 3).
    Dhcp,
    /// A server says what it is: `detail` = number of an `asset::Product`, `value` = its version.
    Software,
}

impl RecordKind {
    /// Number of kinds.
    pub const COUNT: usize = Self::Software as usize + 1;
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostRecord {
    /// Packet that caused it; orders records of all workers.
    pub number: u64,
    /// Order among the records of that packet.
    pub order: u32,
    /// When.
    pub ts: Timestamp,
    /// Client to server.
    pub key: FlowKey,
    /// Input interface.
    pub interface: u16,
    /// What.
    pub kind: RecordKind,
    /// See [`RecordKind`].
    pub detail: u32,
    /// See [`RecordKind`].
    pub value: u64,
    /// EVE flow id.
    pub flow_id: u64,
}
