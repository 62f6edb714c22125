//! What a flow made known, as records for the behavioural detectors.

use crate::detect::anomaly::{HostRecord, RecordKind};
use crate::flow::{Flow, FlowEvents};
use crate::packet::{Packet, TcpFlags, Timestamp, Transport};

/// Appends the records of what just happened in a flow. `number` and `ts` are the packet's, or those of the batch border
/// at which the flow ended.
pub fn of_flow(
    flow: &Flow,
    packet: Option<&Packet<'_>>,
    (number, order, ts): (u64, u32, Timestamp),
    out: &mut Vec<HostRecord>,
) {
    let happened = flow.happened;
    if happened == FlowEvents::default() {
        return;
    }
    let tcp = flow.key.proto == 6;
    let mut push = |kind, detail, value| {
        out.push(HostRecord {
            number,
            order,
            ts,
            key: flow.key,
            interface: flow.interface,
            kind,
            detail,
            value,
            flow_id: flow.id,
        });
    };
    let opens = if tcp {
        happened.has(FlowEvents::SYN)
    } else {
        happened.has(FlowEvents::OPENED)
    };
    if opens && !happened.has(FlowEvents::SYN_RETRY) {
        push(
            RecordKind::Opened,
            packet.map_or(0, |p| u32::from(p.ttl)),
            0,
        );
    }
    let simple = [
        (FlowEvents::SYN_RETRY, RecordKind::SynRetry),
        (FlowEvents::SYN_ACK, RecordKind::SynAck),
        (FlowEvents::ESTABLISHED, RecordKind::Established),
        (FlowEvents::REFUSED, RecordKind::Refused),
        (FlowEvents::RESET, RecordKind::Reset),
        (FlowEvents::UNANSWERED, RecordKind::Unanswered),
        (FlowEvents::UNSOLICITED, RecordKind::Unsolicited),
    ];
    for (event, kind) in simple {
        if happened.has(event) {
            push(kind, 0, 0);
        }
    }
    if happened.has(FlowEvents::STRAY) {
        push(
            RecordKind::Stray,
            packet.map_or(0, |p| u32::from(p.tcp.flags.0)),
            0,
        );
    }
    if happened.has(FlowEvents::CLOSED) {
        push(
            RecordKind::Closed,
            0,
            flow.bytes[0].saturating_add(flow.bytes[1]),
        );
    }
}

/// A TCP probe that made no flow at all (no SYN, no session): FIN, NULL, Xmas.
pub fn of_stray(packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    if packet.transport != Transport::Tcp
        || packet.tcp.flags.0 & (TcpFlags::SYN | TcpFlags::RST | TcpFlags::ACK) != 0
    {
        return;
    }
    out.push(HostRecord {
        number: packet.number,
        order: u32::from(packet.depth),
        ts: packet.ts,
        key: packet.key(),
        interface: packet.interface,
        kind: RecordKind::Stray,
        detail: u32::from(packet.tcp.flags.0),
        value: 0,
        flow_id: 0,
    });
}
