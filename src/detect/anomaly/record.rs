//! What signature workers tell the anomaly worker: outcomes of connections and transactions, a few dozen bytes each.

use crate::packet::{FlowKey, Timestamp};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// First packet of a flow (TCP: a SYN that opens one). `detail` = TTL; `value` = source hardware address, 0 for none.
    Opened,
    /// TCP: the client completed the handshake; `value` = its hardware address; `detail` = 1 when it was not seen in both
    /// directions. UDP and others: the first answer; `value` =
    /// bytes of the client so far << 32 | bytes of the server.
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
    /// What the first payload of a direction looks like: `detail` = number of a [`super::FirstBytes`]; `value` = 1 when
    /// TCP's handshake was seen before it in both directions.
    FirstBytes,
    /// ICMP echo: `detail` = reply << 31 | payload length (15 bits) << 16 | sequence number; `value` = hash of the payload.
    Echo,
    /// ARP request: from the asker to the address asked for; `value` and `detail` as in `ArpClaim`.
    ArpRequest,
    /// DNS query or failed answer: see [`super::dns_names`].
    DnsName,
    /// Text of the domain of a DNS answer that says that it does not exist or gives addresses, a piece of it: see
    /// [`super::dns_names::DomainText`]. Before the `DnsName` or `Resolved` of the same packet.
    Domain,
    /// TCP: a client acknowledges an answer to its SYN that was not seen: half a view of a connection. Once a flow.
    HalfView,
    /// Outcome of a login: `detail` = number of a [`super::first_bytes::Login`]; `value` = hash of the account
    /// ([`super::account`]), 0 when it is not known;
    /// bit 32: it may be a step of one that goes on; bits 40..48: failures of the session that this success ends.
    Login,
    /// HTTP request began: `value` = hash of server name and path without query; `detail` bit 0: it asks for a fresh
    /// copy (reload), bit 1: it carries a password, bit 2: the server is named by its address, bits 3..16: hash of the
    /// query, bits 16..32: hash of the user agent.
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
    /// ARP answer or announcement: the sender claims the source address, towards the destination address. `value` = its
    /// hardware address; `detail` bit 0: an announcement (source = destination), bit 1: the frame came from another
    /// hardware address.
    ArpClaim,
    /// IPv6 router advertisement: `detail` = hash of prefix << 1 | it wants to be the default router; `value` =
    /// hardware address.
    RouterAdvert,
    /// An address that a name resolved to: from the client to that address; `value` = hash of the name.
    Resolved,
    /// DNS trouble: `detail` 1: SERVFAIL, 2: a second, differing answer to one question, 3: an answer that nobody asked
    /// for in a flow of questions.
    DnsTrouble,
    /// The flow carried so much more: `detail` = KiB of the client, `value` = bytes of the server. At doublings from
    /// 256 KiB, every 8 MiB from 16 MiB on.
    Volume,
    /// A frame to a group of hosts (broadcast, multicast): `value` = hash of its first bytes; `detail` bit 0: broadcast.
    Group,
    /// ICMP time exceeded: from the router to whoever sent too far; `value` = hash of the destination they wanted.
    TimeExceeded,
    /// An established TCP connection ended; `value` = milliseconds it lived, `detail` = 1 when it was never closed.
    Ended,
    /// IRC line: `detail` = number of an [`super::irc::Line`], `value` = hash of its subject.
    Irc,
    /// TLS: the server chose a version before 1.2; `detail` = version.
    OldTls,
    /// TLS: the server's certificate has ended or will within a month; `value` = when, in seconds since the epoch.
    Certificate,
    /// How a client goes on with a request that is not finished, or with an answer it does not take: see
    /// [`super::pace::Said`]. At most one a second and flow.
    Pace,
}

impl RecordKind {
    /// Number of kinds.
    pub const COUNT: usize = Self::Pace as usize + 1;
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

impl HostRecord {
    /// TCP: the client's TTL of a connection that was established, refused or not answered; 0 when it is not known.
    pub fn client_ttl(&self) -> u8 {
        (self.detail >> 8) as u8
    }

    /// TCP: whether a refusal is the client's own: RST after the server's answer.
    pub fn is_aborted(&self) -> bool {
        self.kind == RecordKind::Refused && self.detail & 1 == 1
    }

    /// Whether it proves that its source is who it says: TCP's handshake, seen in both directions. An answer over UDP
    /// proves nothing, since it goes to whoever was named.
    pub fn proves_source(&self) -> bool {
        self.key.proto == 6
            && match self.kind {
                RecordKind::Established => self.detail & 1 == 0,
                RecordKind::FirstBytes => self.value == 1,
                _ => false,
            }
    }
}
