//! EVE JSON: Suricata's event format, field for field (docs.suricata.io, etc/schema.json).
//!
//! Workers write whole lines for every event but alerts, and the parts around `"alert"` for those; the report stage
//! puts the graded middle in ([`alert::compose`]). All text goes into the worker's [`Outbox`]: no allocation per event.

pub mod alert;
pub mod metadata;
mod record;
pub mod stats;

pub use record::{FlowExtras, anomaly, app_anomaly, drop, file, flow, tagged, transaction};

use std::net::{IpAddr, Ipv4Addr};

use crate::alert::{Json, Outbox, Record};
use crate::app::Digests;
use crate::flow::Flow;
use crate::packet::{Direction, FlowKey, Net, Packet, Timestamp, Transport};

/// What is written, from the configuration.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct EveSettings {
    /// Leave out everything that Suricata's schema does not know (the `sekisho` key).
    pub strict: bool,
    /// Alerts carry the payload (base64 and printable).
    pub payload: bool,
    /// Alerts carry the packet.
    pub packet: bool,
    /// Alerts carry the application layer's metadata.
    pub metadata: bool,
    /// Write `http`, `dns`, `tls` … records.
    pub app: bool,
    /// Write `fileinfo` records.
    pub files: bool,
    /// What `fileinfo` has of every file, besides what rules ask for.
    pub forced: Digests,
    /// Write `flow` records.
    pub flow: bool,
    /// Write `anomaly` records.
    pub anomaly: bool,
    /// Write them for decode and stream events too, not only for the application layer (as Suricata does by default).
    pub anomaly_packets: bool,
    /// Write `pcap_cnt`, the number of the frame in its capture. Off live, as in Suricata: there is no capture to look
    /// it up in.
    pub numbers: bool,
    /// Write `stats` at the end (and live: at intervals).
    pub stats: bool,
    /// IPv6 addresses in RFC 5952's short form instead of Suricata's eight full groups.
    pub compress_ipv6: bool,
    /// Most bytes of a payload or packet in an alert.
    pub payload_bytes: usize,
}

impl Default for EveSettings {
    fn default() -> Self {
        Self {
            strict: false,
            payload: true,
            packet: true,
            metadata: true,
            app: true,
            files: true,
            forced: Digests::default(),
            flow: true,
            anomaly: true,
            anomaly_packets: false,
            numbers: true,
            stats: true,
            compress_ipv6: false,
            payload_bytes: 4096,
        }
    }
}

/// How a line's addresses read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// As the packet goes.
    Packet,
    /// As the flow goes in a direction.
    Flow(Direction),
}

/// What a line is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The packet in hand.
    pub packet: Packet<'a>,
    /// Its flow and its direction in it.
    pub flow: Option<(&'a Flow, Direction)>,
    /// What rules noted of the flow, as members of the record ([`metadata`]); may be empty.
    pub noted: &'a [u8],
}

/// Appends a record to the outbox: `write` fills the line between the braces, after the head.
pub fn record(
    out: &mut Outbox,
    settings: &EveSettings,
    subject: &Subject<'_>,
    kind: &'static str,
    facing: Facing,
    write: impl FnOnce(&mut Json<'_>),
) {
    let start = out.text.len();
    out.text.push(b'{');
    let mut json = Json::new(&mut out.text);
    head(&mut json, settings, subject, kind, facing);
    write(&mut json);
    json.end();
    push(out, kind, start);
}

/// Notes the text from `start` on as a record.
pub(crate) fn push(out: &mut Outbox, kind: &'static str, start: usize) {
    let line = out.since(start);
    let (number, order) = out.rank();
    out.records.push(Record {
        number,
        order,
        kind,
        line,
    });
}

/// The members every packet event begins with.
pub fn head(
    json: &mut Json<'_>,
    settings: &EveSettings,
    subject: &Subject<'_>,
    kind: &str,
    facing: Facing,
) {
    let packet = &subject.packet;
    json.str("timestamp", packet.ts.eve());
    if let Some((flow, _)) = subject.flow {
        json.num("flow_id", flow.id);
    }
    if settings.numbers && packet.number != 0 {
        json.num("pcap_cnt", packet.number);
    }
    json.str("event_type", kind);
    vlan(json, &packet.vlan, packet.vlan_count);
    if packet.is_ip() {
        let key = match (facing, subject.flow) {
            (Facing::Flow(wanted), Some((_, is))) if wanted != is => packet.key().reversed(),
            _ => packet.key(),
        };
        endpoints(json, settings, &key, has_ports(packet.transport));
        protocol(json, packet.ip_proto);
        json.num("ip_v", if packet.net == Net::V4 { 4 } else { 6 });
    }
    json.members(subject.noted);
    match packet.transport {
        Transport::Icmp | Transport::Icmpv6 => {
            json.num("icmp_type", packet.sport)
                .num("icmp_code", packet.dport);
        }
        Transport::Sctp => sctp(json, packet),
        _ => {}
    }
    json.str("pkt_src", packet.origin.as_str());
}

fn sctp(json: &mut Json<'_>, packet: &Packet<'_>) {
    let header = packet
        .frame
        .get(packet.transport_offset as usize..)
        .unwrap_or_default();
    let Some(vtag) = header.get(4..).and_then(|h| h.first_chunk::<4>()) else {
        return;
    };
    let mut kinds = [0u8; 32];
    let mut count = 0usize;
    let mut rest = header.get(12..).unwrap_or_default();
    while let [kind, _, a, b, ..] = *rest {
        if let Some(slot) = kinds.get_mut(count) {
            *slot = kind;
        }
        count += 1;
        let len = usize::from(u16::from_be_bytes([a, b]));
        if len < 4 {
            break;
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    let kinds = kinds.get(..count.min(kinds.len())).unwrap_or_default();
    json.object("sctp")
        .num("vtag", u32::from_be_bytes(*vtag))
        .num("chunk_cnt", count as u64);
    json.array("chunk_types");
    for &kind in kinds {
        match SCTP_CHUNKS.iter().find(|(number, _)| *number == kind) {
            Some((_, name)) => json.text(name),
            None => json.text(format!("unknown({kind})")),
        };
    }
    json.end_array();
    let has = |wanted: u8| kinds.contains(&wanted);
    json.bool("has_init", has(1))
        .bool("has_init_ack", has(2))
        .bool("has_data", has(0))
        .bool("has_abort", has(6))
        .end();
}

/// SCTP chunk types (IANA).
const SCTP_CHUNKS: [(u8, &str); 22] = [
    (0, "data"),
    (1, "init"),
    (2, "init_ack"),
    (3, "sack"),
    (4, "heartbeat"),
    (5, "heartbeat_ack"),
    (6, "abort"),
    (7, "shutdown"),
    (8, "shutdown_ack"),
    (9, "error"),
    (10, "cookie_echo"),
    (11, "cookie_ack"),
    (12, "ecne"),
    (13, "cwr"),
    (14, "shutdown_complete"),
    (15, "auth"),
    (64, "i_data"),
    (128, "asconf_ack"),
    (130, "re_config"),
    (132, "pad"),
    (192, "forward_tsn"),
    (193, "asconf"),
];

pub(crate) fn vlan(json: &mut Json<'_>, ids: &[u16], count: u8) {
    if count > 0 {
        json.array("vlan");
        for id in ids.iter().take(usize::from(count)) {
            json.number(*id);
        }
        json.end_array();
    }
}

/// Source and destination.
pub(crate) fn endpoints(json: &mut Json<'_>, settings: &EveSettings, key: &FlowKey, ports: bool) {
    address(json, settings, "src_ip", key.src);
    if ports {
        json.num("src_port", key.sport);
    }
    address(json, settings, "dest_ip", key.dst);
    if ports {
        json.num("dest_port", key.dport);
    }
}

/// Whether a transport has ports that EVE shows.
pub(crate) fn has_ports(transport: Transport) -> bool {
    matches!(transport, Transport::Tcp | Transport::Udp | Transport::Sctp)
}

/// Whether an IP protocol has ports that EVE shows.
pub(crate) fn proto_has_ports(proto: u8) -> bool {
    matches!(proto, 6 | 17 | 132)
}

/// An address member, without allocation.
pub(crate) fn address(json: &mut Json<'_>, settings: &EveSettings, name: &str, address: IpAddr) {
    let mut text = [0u8; 48];
    let used = match address {
        IpAddr::V4(v4) => dotted(v4, &mut text),
        IpAddr::V6(v6) => {
            use std::io::Write;
            let room = text.len();
            let mut rest = &mut text[..];
            let _ = if settings.compress_ipv6 {
                write!(rest, "{v6}")
            } else {
                let s = v6.segments();
                write!(
                    rest,
                    "{:04x}:{:04x}:{:04x}:{:04x}:{:04x}:{:04x}:{:04x}:{:04x}",
                    s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
                )
            };
            room - rest.len()
        }
    };
    json.str(name, text.get(..used).unwrap_or_default());
}

/// Writes an IPv4 address and says how long it is. Two stand in every record, and the formatter takes ten times as long.
fn dotted(address: Ipv4Addr, text: &mut [u8]) -> usize {
    let mut used = 0;
    for (i, octet) in address.octets().into_iter().enumerate() {
        let skip = usize::from(octet < 100) + usize::from(octet < 10);
        let digits = [octet / 100, octet / 10 % 10, octet % 10].map(|digit| b'0' + digit);
        let dot = (i > 0).then_some(b'.');
        for byte in dot.into_iter().chain(digits.into_iter().skip(skip)) {
            if let Some(slot) = text.get_mut(used) {
                *slot = byte;
                used += 1;
            }
        }
    }
    used
}

/// The `proto` member: the protocol's name as /etc/protocols writes it, or its number.
pub(crate) fn protocol(json: &mut Json<'_>, number: u8) {
    match PROTOCOLS.iter().find(|(n, _)| *n == number) {
        Some((_, name)) => json.str("proto", name),
        None => json.str("proto", number.to_string()),
    };
}

/// Names of IP protocols as EVE consumers know them (IANA's keywords, spelling of /etc/protocols).
const PROTOCOLS: [(u8, &str); 40] = [
    (6, "TCP"),
    (17, "UDP"),
    (1, "ICMP"),
    (58, "IPv6-ICMP"),
    (132, "SCTP"),
    (0, "HOPOPT"),
    (2, "IGMP"),
    (3, "GGP"),
    (4, "IP-in-IP"),
    (5, "ST"),
    (8, "EGP"),
    (9, "IGP"),
    (12, "PUP"),
    (20, "HMP"),
    (22, "XNS-IDP"),
    (27, "RDP"),
    (29, "ISO-TP4"),
    (33, "DCCP"),
    (36, "XTP"),
    (37, "DDP"),
    (41, "IPv6"),
    (43, "IPv6-Route"),
    (44, "IPv6-Frag"),
    (46, "RSVP"),
    (47, "GRE"),
    (50, "ESP"),
    (51, "AH"),
    (57, "SKIP"),
    (59, "IPv6-NoNxt"),
    (60, "IPv6-Opts"),
    (73, "CPHB"),
    (81, "VMTP"),
    (88, "EIGRP"),
    (89, "OSPFIGP"),
    (94, "IPIP"),
    (98, "ENCAP"),
    (103, "PIM"),
    (108, "IPComp"),
    (112, "VRRP"),
    (115, "L2TP"),
];

/// The time as text.
pub(crate) fn time(json: &mut Json<'_>, name: &str, ts: Timestamp) {
    json.str(name, ts.eve());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_formatter_does() {
        for address in ["0.0.0.0", "1.20.100.255", "10.0.9.99", "255.255.255.255"] {
            let mut text = [0; 48];
            let used = dotted(address.parse().unwrap(), &mut text);
            assert_eq!(std::str::from_utf8(&text[..used]), Ok(address));
        }
    }
}
