//! Lines for everything but alerts: transactions, files, flows, anomalies, drops.

use super::{
    EveSettings, Facing, Subject, endpoints, proto_has_ports, protocol, push, record, time, vlan,
};
use crate::alert::{Json, Outbox};
use crate::app::{AppLayer, AppProto, File, Protocol, Session, Transaction};
use crate::flow::{EndReason, ExceptionPolicy, Flow, FlowState, TcpState};
use crate::packet::{DecodeEvent, Direction, TcpFlags, Timestamp};

/// The record of a finished transaction, when its protocol logs it.
pub fn transaction(
    out: &mut Outbox,
    settings: &EveSettings,
    subject: &Subject<'_>,
    protocol: &dyn Protocol,
    session: &dyn Session,
    tx: &dyn Transaction,
) {
    let Some(log_head) = protocol.log_head(tx) else {
        return;
    };
    let facing = match protocol.log_direction(tx) {
        Some(direction) => Facing::Flow(direction),
        None if log_head.by_packet => Facing::Packet,
        None => Facing::Flow(Direction::ToServer),
    };
    record(
        out,
        settings,
        subject,
        log_head.event_type,
        facing,
        |json| {
            json.num("tx_id", tx.state().id);
            protocol.log(session, tx, json);
        },
    );
}

/// `fileinfo` of a finished file.
pub fn file(
    out: &mut Outbox,
    settings: &EveSettings,
    subject: &Subject<'_>,
    (protocol, session): (&dyn Protocol, &dyn Session),
    (tx, file, direction): (&dyn Transaction, &File, Direction),
) {
    record(
        out,
        settings,
        subject,
        "fileinfo",
        Facing::Flow(direction),
        |json| {
            protocol.log(session, tx, json);
            json.str("app_proto", protocol.name());
            json.object("fileinfo");
            file_members(json, file, tx.state().id);
            json.end();
        },
    );
}

/// The members of a file, here and in alerts' `files`.
pub(super) fn file_members(json: &mut Json<'_>, file: &File, tx_id: u64) {
    if !file.name.is_empty() {
        json.str("filename", &file.name);
    }
    if let Some(magic) = file.magic() {
        json.str("magic", magic);
    }
    json.bool("gaps", file.gaps)
        .str("state", file.state.as_str());
    if let Some(digests) = file.digests() {
        for (name, digest) in ["md5", "sha1", "sha256"].into_iter().zip(digests) {
            if !digest.is_empty() {
                json.hex(name, digest, None);
            }
        }
    }
    json.bool("stored", false).num("size", file.size);
    if let Some((start, end, _)) = file.range {
        json.num("start", start).num("end", end);
    }
    json.num("tx_id", tx_id);
}

/// One `anomaly` record for each decode and stream event of the packet.
pub fn anomaly(
    out: &mut Outbox,
    settings: &EveSettings,
    subject: &Subject<'_>,
    events: impl Iterator<Item = DecodeEvent>,
) {
    if !settings.anomaly_packets {
        return;
    }
    for event in events {
        record(out, settings, subject, "anomaly", Facing::Packet, |json| {
            json.object("anomaly").str(
                "type",
                if event.is_stream() {
                    "stream"
                } else {
                    "decode"
                },
            );
            json.str("event", event.name()).end();
        });
    }
}

/// An `anomaly` record for an application-layer event.
pub fn app_anomaly(
    out: &mut Outbox,
    settings: &EveSettings,
    subject: &Subject<'_>,
    (proto, layer, tx_id): (AppProto, &str, Option<u64>),
    event: &str,
) {
    // Rules write the events of identification in lower case, EVE in upper case (as Suricata).
    let upper = (layer == "proto_detect").then(|| event.to_ascii_uppercase());
    let event = upper.as_deref().unwrap_or(event);
    record(out, settings, subject, "anomaly", Facing::Packet, |json| {
        if let Some(id) = tx_id {
            json.num("tx_id", id);
        }
        json.object("anomaly")
            .str("app_proto", proto.name())
            .str("type", "applayer")
            .str("event", event);
        json.str("layer", layer).end();
    });
}

/// The members that name the flow's protocol.
pub(super) fn app_proto(json: &mut Json<'_>, app: &AppLayer) {
    let proto = app.proto;
    if proto != AppProto::UNKNOWN {
        json.str("app_proto", proto.name());
    }
    for (name, seen) in [("app_proto_ts", app.seen[0]), ("app_proto_tc", app.seen[1])] {
        if seen != AppProto::UNKNOWN && seen != proto {
            json.str(name, seen.name());
        }
    }
    for (name, other) in [
        ("app_proto_orig", app.original),
        ("app_proto_expected", app.expected),
    ] {
        if let Some(other) = other.filter(|other| *other != proto && *other != AppProto::UNKNOWN) {
            json.str(name, other.name());
        }
    }
}

/// Counters and start of a flow.
pub(super) fn flow_members(json: &mut Json<'_>, flow: &Flow) {
    json.num("pkts_toserver", flow.packets[0])
        .num("pkts_toclient", flow.packets[1]);
    json.num("bytes_toserver", flow.bytes[0])
        .num("bytes_toclient", flow.bytes[1]);
    time(json, "start", flow.first);
}

/// Gaps and transactions of a flow, which [`Flow`] itself does not know.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowExtras<'a> {
    /// What rules noted of the flow, as members of the record.
    pub noted: &'a [u8],
    /// Whether rules let the flow pass.
    pub passed: bool,
    /// Whether bytes are missing, per direction.
    pub gap: [bool; 2],
    /// Urgent bytes taken out of the stream, per direction.
    pub urgent: [u16; 2],
    /// Transactions seen.
    pub transactions: u64,
}

/// The record of a flow that ended; `now` is the capture's time.
pub fn flow(
    out: &mut Outbox,
    settings: &EveSettings,
    now: Timestamp,
    flow: &Flow,
    app: &AppLayer,
    extras: FlowExtras<'_>,
) {
    let start = out.text.len();
    out.text.push(b'{');
    let mut json = Json::new(&mut out.text);
    let json = &mut json;
    time(json, "timestamp", now);
    json.num("flow_id", flow.id).str("event_type", "flow");
    vlan(json, &flow.key.vlan, flow.vlan_count);
    endpoints(json, settings, &flow.key, proto_has_ports(flow.key.proto));
    json.num("ip_v", if flow.key.src.is_ipv4() { 4 } else { 6 });
    protocol(json, flow.key.proto);
    for (kind, code, icmp) in [
        ("icmp_type", "icmp_code", flow.icmp[0]),
        ("response_icmp_type", "response_icmp_code", flow.icmp[1]),
    ] {
        if let Some((kind_number, code_number)) = icmp {
            json.num(kind, kind_number).num(code, code_number);
        }
    }
    json.members(extras.noted);
    app_proto(json, app);
    json.object("flow");
    flow_members(json, flow);
    time(json, "end", flow.last);
    json.num("age", flow.last.secs().saturating_sub(flow.first.secs()));
    match flow.state {
        FlowState::New => json.str("state", "new"),
        FlowState::Established => json.str("state", "established"),
        FlowState::Closed => json.str("state", "closed"),
        FlowState::Bypassed => json.str("state", "bypassed").str("bypass", "local"),
    };
    json.str(
        "reason",
        match flow.reason {
            EndReason::None => "unknown",
            EndReason::Timeout => "timeout",
            EndReason::Forced => "forced",
            EndReason::Shutdown => "shutdown",
            EndReason::TcpReuse => "tcp_reuse",
        },
    );
    json.bool("alerted", flow.alerted);
    if flow.dropped {
        json.str("action", "drop");
    } else if extras.passed {
        json.str("action", "pass");
    }
    if extras.transactions > 0 {
        json.num("tx_cnt", extras.transactions);
    }
    exceptions(json, flow, app);
    json.end();
    if flow.key.proto == 6 {
        tcp(json, flow, extras);
    }
    json.end();
    push(out, "flow", start);
}

/// What could not be handled as usual, and by which policy it was. A parser that gave up is passed over: there is no
/// policy for it here but to go on.
fn exceptions(json: &mut Json<'_>, flow: &Flow, app: &AppLayer) {
    let applied = [
        ("stream_reassembly_memcap", flow.exceptions.reassembly),
        ("stream_midstream", flow.exceptions.midstream),
        (
            "app_layer_error",
            app.failed.then_some(ExceptionPolicy::Ignore),
        ),
    ];
    if applied.iter().all(|(_, policy)| policy.is_none()) {
        return;
    }
    json.array("exception_policy");
    for (target, policy) in applied {
        if let Some(policy) = policy {
            json.begin().str("target", target);
            json.str("policy", policy.as_str()).end();
        }
    }
    json.end_array();
}

fn tcp(json: &mut Json<'_>, flow: &Flow, extras: FlowExtras<'_>) {
    let [client, server] = flow.tcp_flags;
    let both = client.0 | server.0;
    json.object("tcp");
    for (name, flags) in [
        ("tcp_flags", both),
        ("tcp_flags_ts", client.0),
        ("tcp_flags_tc", server.0),
    ] {
        json.hex(name, &[flags], None);
    }
    const NAMES: [(u8, &str); 8] = [
        (TcpFlags::SYN, "syn"),
        (TcpFlags::FIN, "fin"),
        (TcpFlags::RST, "rst"),
        (TcpFlags::PSH, "psh"),
        (TcpFlags::ACK, "ack"),
        (TcpFlags::URG, "urg"),
        (TcpFlags::ECE, "ecn"),
        (TcpFlags::CWR, "cwr"),
    ];
    for (bit, name) in NAMES {
        if both & bit != 0 {
            json.bool(name, true);
        }
    }
    if let Some(session) = &flow.tcp {
        json.str("state", tcp_state(session.state));
        for (name, gap) in [("tc_gap", extras.gap[1]), ("ts_gap", extras.gap[0])] {
            if gap {
                json.bool(name, true);
            }
        }
        // A direction's buffer is one piece here, however far apart what it holds lies.
        json.num("ts_max_regions", 1u8).num("tc_max_regions", 1u8);
        let names = ["ts_urgent_oob_data", "tc_urgent_oob_data"];
        for (name, urgent) in names.into_iter().zip(extras.urgent) {
            if urgent > 0 {
                json.num(name, urgent);
            }
        }
    }
    json.end();
}

fn tcp_state(state: TcpState) -> &'static str {
    match state {
        TcpState::None => "none",
        TcpState::SynSent => "syn_sent",
        TcpState::SynRecv => "syn_recv",
        TcpState::Established => "established",
        TcpState::FinWait1 => "fin_wait1",
        TcpState::FinWait2 => "fin_wait2",
        TcpState::TimeWait => "time_wait",
        TcpState::LastAck => "last_ack",
        TcpState::CloseWait => "close_wait",
        TcpState::Closing => "closing",
        TcpState::Closed => "closed",
    }
}

/// A `packet` record: a packet that a rule's `tag` asked for.
pub fn tagged(out: &mut Outbox, settings: &EveSettings, subject: &Subject<'_>) {
    let packet = subject.packet;
    record(out, settings, subject, "packet", Facing::Packet, |json| {
        let len = packet.frame.len().min(settings.payload_bytes);
        json.base64("packet", packet.frame.get(..len).unwrap_or_default());
        json.object("packet_info")
            .num("linktype", packet.link.0)
            .end();
    });
}

/// A `drop` record: the packet's own fields, and why it was dropped.
pub fn drop(out: &mut Outbox, settings: &EveSettings, subject: &Subject<'_>, reason: &str) {
    let packet = subject.packet;
    record(out, settings, subject, "drop", Facing::Packet, |json| {
        if let Some((_, direction)) = subject.flow {
            json.str("direction", direction_name(direction));
        }
        json.object("drop");
        let header = packet.network_header();
        let word = |at: usize| {
            header
                .get(at..)
                .and_then(|h| h.first_chunk::<2>())
                .map_or(0, |b| u16::from_be_bytes(*b))
        };
        match packet.net {
            crate::packet::Net::V4 => {
                json.num("len", word(2))
                    .num("tos", packet.tos)
                    .num("ttl", packet.ttl)
                    .num("ipid", packet.ip_id);
            }
            crate::packet::Net::V6 => {
                let label = u32::from(word(0) & 0xf) << 16 | u32::from(word(2));
                json.num("len", word(4))
                    .num("tc", packet.tos)
                    .num("hoplimit", packet.ttl)
                    .num("flowlbl", label);
            }
            _ => {}
        }
        match packet.transport {
            crate::packet::Transport::Tcp => {
                let tcp = &packet.tcp;
                json.num("tcpseq", tcp.seq)
                    .num("tcpack", tcp.ack)
                    .num("tcpwin", tcp.window);
                for (name, bit) in [
                    ("syn", TcpFlags::SYN),
                    ("ack", TcpFlags::ACK),
                    ("psh", TcpFlags::PSH),
                    ("rst", TcpFlags::RST),
                    ("urg", TcpFlags::URG),
                    ("fin", TcpFlags::FIN),
                ] {
                    json.bool(name, tcp.flags.has(bit));
                }
                json.num("tcpres", tcp.reserved).num("tcpurgp", tcp.urgent);
            }
            crate::packet::Transport::Udp => {
                json.num("udplen", packet.payload_len.saturating_add(8));
            }
            crate::packet::Transport::Icmp | crate::packet::Transport::Icmpv6 => {
                json.num("icmp_id", packet.icmp_id)
                    .num("icmp_seq", packet.icmp_seq);
            }
            _ => {}
        }
        json.str("reason", reason).end();
    });
}

/// `to_server` or `to_client`.
pub(super) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "to_server",
        Direction::ToClient => "to_client",
    }
}
