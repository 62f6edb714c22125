//! What signature workers tell the anomaly worker: outcomes of connections and transactions, a few dozen bytes each.

use crate::packet::{FlowKey, Timestamp};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// First packet of a flow (TCP: a SYN that opens one).
    Opened,
    /// TCP: the client completed the handshake. UDP and others: the first answer.
    Established,
    /// TCP: RST to the SYN. UDP: ICMP unreachable.
    Refused,
    /// TCP: no answer within the deadline, or the handshake never completed.
    Unanswered,
    /// TCP: reset after establishment.
    Reset,
    /// The flow ended (any reason); `value` carries bytes.
    Closed,
    /// A segment that belongs to no connection (FIN, NULL, Xmas, ACK probes); `detail` = flags.
    Stray,
    /// SYN-ACK or RST that nobody asked for (backscatter, reflection).
    Unsolicited,
    /// SYN retransmitted.
    SynRetry,
    /// SYN seen, with its fingerprint: `detail` = TTL, `value` = options hash.
    Syn,
    /// SYN-ACK seen.
    SynAck,
    /// The application protocol was identified; `detail` = its number.
    AppProto,
    /// A transaction completed; `detail` = protocol-specific outcome code, `value` = protocol-specific.
    Transaction,
    /// Packets without a flow of their own, counted per interval; `value` = count.
    Packets,
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
