//! What a packet makes known about its link and about names: ARP claims, router advertisements, frames to groups, routes
//! that end, resolved addresses, volume. Records for the behavioural detectors.
//!
//! One small record per event: a claim, an address in an answer, a doubling of a flow's bytes. Only frames to groups have
//! a record each, because a loop shows in nothing else; switches carry few of them.

use std::net::IpAddr;

use crate::detect::anomaly::{HostRecord, RecordKind, dns_answers, dns_names, irc, lan};
use crate::flow::Flow;
use crate::packet::{FlowKey, LinkType, Net, Packet, Transport};

/// Questions of a flow whose answers are awaited.
const QUESTIONS: usize = 4;
/// Payloads of an IRC session that are read, per direction.
const IRC_PAYLOADS: u16 = 4_096;
/// DNS messages of a flow that are read.
const DNS_MESSAGES: u16 = 8_192;

/// What the detectors have been told of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Bytes at which the next record of volume is due.
    volume: u64,
    /// Last questions: identification, digest of the answer + 1 << 1, asked again.
    questions: [(u16, u32, bool); QUESTIONS],
    next: u8,
    messages: u16,
    /// Trouble has been told: a bit each.
    trouble: u8,
    irc: bool,
    irc_payloads: u16,
}

/// The hardware address a frame came from, outside of tunnels.
pub fn source_mac(packet: &Packet<'_>) -> Option<u64> {
    let at = packet.ethernet_offset.filter(|_| packet.depth == 0)? as usize;
    lan::mac(packet.frame.get(at + 6..)?)
}

fn record(packet: &Packet<'_>, key: FlowKey, kind: RecordKind) -> HostRecord {
    HostRecord {
        number: packet.number,
        order: u32::from(packet.depth),
        ts: packet.ts,
        key,
        interface: packet.interface,
        kind,
        detail: 0,
        value: 0,
        flow_id: 0,
    }
}

/// A packet of a flow.
pub fn of_packet(
    flow: &Flow,
    packet: &Packet<'_>,
    to_server: bool,
    told: &mut Told,
    out: &mut Vec<HostRecord>,
) {
    group(packet, out);
    volume(flow, packet, told, out);
    match packet.transport {
        Transport::Udp if flow.key.dport == 53 => dns(flow, packet, to_server, told, out),
        Transport::Tcp => {
            chat(flow, packet, to_server, told, out);
            hello(flow, packet, to_server, out);
        }
        Transport::Icmp | Transport::Icmpv6 => icmp(packet, out),
        _ => {}
    }
}

/// A packet without a flow.
pub fn of_stray(packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    group(packet, out);
    match (packet.net, packet.transport) {
        (Net::Arp, _) => arp(packet, out),
        (_, Transport::Icmp | Transport::Icmpv6) => icmp(packet, out),
        // An IP protocol without flows: what asks for one after the other is a scan of protocols.
        (Net::V4 | Net::V6, Transport::Other(_)) => {
            out.push(record(packet, packet.key(), RecordKind::Opened));
        }
        _ => {}
    }
}

/// A frame to a group.
fn group(packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    let Some(at) = packet.ethernet_offset else {
        return;
    };
    if packet.depth != 0 || packet.link != LinkType::ETHERNET {
        return;
    }
    let Some(frame) = packet.frame.get(at as usize..) else {
        return;
    };
    if frame.first().is_none_or(|first| first & 1 == 0) {
        return;
    }
    let broadcast = frame.get(..6) == Some(&[0xff; 6]);
    out.push(HostRecord {
        detail: u32::from(broadcast),
        value: lan::frame_hash(frame),
        ..record(packet, packet.key(), RecordKind::Group)
    });
}

/// ARP for IPv4 (RFC 826): who asks, and who claims what.
fn arp(packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    let bytes = packet
        .frame
        .get(packet.network_offset as usize..)
        .unwrap_or_default();
    let Some(arp) = lan::arp(bytes) else {
        return;
    };
    // RFC 5227 §1.1: a probe claims nothing.
    if arp.sender.is_unspecified() {
        return;
    }
    let announcement = arp.sender == arp.target;
    let kind = if arp.request && !announcement {
        RecordKind::ArpRequest
    } else {
        RecordKind::ArpClaim
    };
    let foreign = source_mac(packet).is_some_and(|mac| mac != arp.sender_mac);
    let key = FlowKey {
        src: IpAddr::V4(arp.sender),
        dst: IpAddr::V4(arp.target),
        vlan: packet.vlan,
        ..FlowKey::default()
    };
    out.push(HostRecord {
        detail: u32::from(announcement) | u32::from(foreign) << 1,
        value: arp.sender_mac,
        ..record(packet, key, kind)
    });
}

/// Router advertisements (RFC 4861 §4.2) and time exceeded (RFC 792, RFC 4443 §3.3).
fn icmp(packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    match (packet.transport, packet.sport) {
        (Transport::Icmpv6, 134) => {
            let body = packet
                .frame
                .get(packet.transport_offset as usize + 4..)
                .unwrap_or_default();
            if let Some(advert) = lan::router_advert(body) {
                out.push(HostRecord {
                    detail: advert.prefixes << 1 | u32::from(advert.default_router),
                    value: source_mac(packet).unwrap_or(0),
                    ..record(packet, packet.key(), RecordKind::RouterAdvert)
                });
            }
        }
        (Transport::Icmp, 11) | (Transport::Icmpv6, 3) => {
            let wanted = packet
                .embedded_key()
                .map_or(0, |key| crate::detect::anomaly::endpoint_hash(key.dst, 0));
            out.push(HostRecord {
                value: wanted,
                ..record(packet, packet.key(), RecordKind::TimeExceeded)
            });
        }
        _ => {}
    }
}

/// At doublings from 256 KiB, every 8 MiB from 16 MiB on.
fn volume(flow: &Flow, packet: &Packet<'_>, told: &mut Told, out: &mut Vec<HostRecord>) {
    const FIRST: u64 = 256 << 10;
    const STEP: u64 = 8 << 20;
    let [client, server] = flow.bytes;
    let total = client.saturating_add(server);
    if total < told.volume.max(FIRST) {
        return;
    }
    told.volume = if total < STEP {
        total.saturating_mul(2)
    } else {
        total.saturating_add(STEP)
    };
    out.push(HostRecord {
        detail: u32::try_from(client >> 10).unwrap_or(u32::MAX),
        value: server,
        flow_id: flow.id,
        ..record(packet, flow.key, RecordKind::Volume)
    });
}

/// Addresses that names resolve to, and answers that do not fit their questions.
fn dns(
    flow: &Flow,
    packet: &Packet<'_>,
    to_server: bool,
    told: &mut Told,
    out: &mut Vec<HostRecord>,
) {
    told.messages = told.messages.saturating_add(1);
    if told.messages > DNS_MESSAGES {
        return;
    }
    let message = packet.payload();
    if to_server {
        if let Some(id) = dns_answers::query_id(message) {
            let again = told.questions.iter_mut().find(|q| q.0 == id && q.1 != 0);
            match again {
                Some(question) => question.2 = true,
                None => {
                    let at = usize::from(told.next) % QUESTIONS;
                    told.next = told.next.wrapping_add(1);
                    if let Some(slot) = told.questions.get_mut(at) {
                        *slot = (id, 1, false);
                    }
                }
            }
        }
        return;
    }
    let Some(answer) = dns_answers::read(message) else {
        return;
    };
    let mut trouble = |what: u32| {
        let bit = 1u8 << what;
        if what == 1 || told.trouble & bit == 0 {
            told.trouble |= bit;
            out.push(HostRecord {
                detail: what,
                value: u64::from(answer.name),
                flow_id: flow.id,
                ..record(packet, flow.key, RecordKind::DnsTrouble)
            });
        }
    };
    if answer.code == 2 {
        trouble(1);
    }
    let digest = (answer.digest | 1) << 1 | 1;
    match told
        .questions
        .iter_mut()
        .find(|q| q.0 == answer.id && q.1 != 0)
    {
        // An answer after the answer, with other addresses, although nobody asked again.
        Some((_, before, again))
            if *before > 1
                && *before != digest
                && !*again
                && answer.code == 0
                && answer.digest != 0 =>
        {
            trouble(2);
        }
        Some((_, before, _)) => *before = digest,
        None if told.next > 0 => trouble(3),
        None => {}
    }
    if answer.code != 0 {
        return;
    }
    if answer.addresses().next().is_some()
        && let Some(text) = dns_names::DomainText::of(message)
    {
        out.extend(text.pieces().map(|(value, detail)| HostRecord {
            detail,
            value,
            flow_id: flow.id,
            ..record(packet, flow.key, RecordKind::Domain)
        }));
    }
    for address in answer.addresses() {
        out.push(HostRecord {
            value: u64::from(answer.name),
            flow_id: flow.id,
            ..record(
                packet,
                FlowKey {
                    dst: address,
                    ..flow.key
                },
                RecordKind::Resolved,
            )
        });
    }
}

/// Lines of IRC.
fn chat(
    flow: &Flow,
    packet: &Packet<'_>,
    to_server: bool,
    told: &mut Told,
    out: &mut Vec<HostRecord>,
) {
    if packet.payload_len == 0 || told.irc_payloads >= IRC_PAYLOADS {
        return;
    }
    let payload = packet.payload();
    if !told.irc {
        // Only the first payloads of a client may begin a session.
        told.irc = to_server && flow.packets.iter().sum::<u64>() < 16 && irc::is_client(payload);
        if !told.irc {
            return;
        }
    }
    told.irc_payloads += 1;
    for (line, subject) in irc::lines(payload, to_server) {
        out.push(HostRecord {
            detail: line as u32,
            value: subject,
            flow_id: flow.id,
            ..record(packet, flow.key, RecordKind::Irc)
        });
    }
}

/// A server's hello of TLS that chooses a version before 1.2 (RFC 8446 §4.1.3: later versions still say 1.2 here).
fn hello(flow: &Flow, packet: &Packet<'_>, to_server: bool, out: &mut Vec<HostRecord>) {
    if to_server || flow.packets.iter().sum::<u64>() > 32 {
        return;
    }
    let payload = packet.payload();
    if let [0x16, 3, _, _, _, 2, _, _, _, 3, minor @ ..] = payload
        && let Some(minor) = minor.first().filter(|m| **m < 3)
    {
        out.push(HostRecord {
            detail: 0x0300 | u32::from(*minor),
            flow_id: flow.id,
            ..record(packet, flow.key, RecordKind::OldTls)
        });
    }
}
