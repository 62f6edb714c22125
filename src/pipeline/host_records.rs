//! What a flow made known, as records for the behavioural detectors.

use super::link_records;
use crate::asset::software;
use crate::detect::anomaly::account::Account;
use crate::detect::anomaly::first_bytes::{self, FirstBytes};
use crate::detect::anomaly::pace::{self, Pace, Segment};
use crate::detect::anomaly::ssh_login::{Shown, SshLogin};
use crate::detect::anomaly::{HostRecord, RecordKind, dns_names, service_names};
use crate::flow::{EndReason, Flow, FlowEvents, FlowState, Silent, TcpState};
use crate::packet::{Direction, Packet, TcpFlags, Timestamp, Transport};

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
            packet.and_then(link_records::source_mac).unwrap_or(0),
        );
    }
    let simple = [
        (FlowEvents::SYN_RETRY, RecordKind::SynRetry),
        (FlowEvents::ESTABLISHED, RecordKind::Established),
        (FlowEvents::REFUSED, RecordKind::Refused),
        (FlowEvents::RESET, RecordKind::Reset),
        (FlowEvents::UNANSWERED, RecordKind::Unanswered),
    ];
    if happened.has(FlowEvents::SYN_ACK) {
        let delay = ts.since(flow.first);
        push(
            RecordKind::SynAck,
            packet.map_or(0, |p| u32::from(p.ttl)),
            delay,
        );
    }
    for (event, kind) in simple {
        if happened.has(event) {
            // A TCP client that resets after the answer of the server broke off by itself.
            let aborted = kind == RecordKind::Refused
                && tcp
                && packet.is_some_and(|p| flow.direction_of(&p.key()) == Direction::ToServer);

            let value = match (kind, tcp) {
                (RecordKind::Established, false) => both(flow.bytes),
                (RecordKind::Established, true) => {
                    packet.and_then(link_records::source_mac).unwrap_or(0)
                }
                _ => 0,
            };
            let unproven = kind == RecordKind::Established && tcp && !flow.proves_client();
            let ttl = match kind {
                RecordKind::Established | RecordKind::Refused | RecordKind::Unanswered if tcp => {
                    flow.ttl[0].0
                }
                _ => 0,
            };
            let ttl = u32::from(ttl) << 8;
            push(kind, u32::from(aborted || unproven) | ttl, value);
        }
    }
    if tcp && happened.has(FlowEvents::CLOSED) && flow.is_established() {
        let never = matches!(flow.reason, EndReason::Shutdown | EndReason::Timeout);
        push(
            RecordKind::Ended,
            u32::from(never && flow.state != FlowState::Closed),
            flow.last.since(flow.first) / 1_000_000,
        );
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
            u32::try_from(flow.bytes[0]).unwrap_or(u32::MAX),
            flow.bytes[0].saturating_add(flow.bytes[1]),
        );
    }
    if happened.has(FlowEvents::UNSOLICITED)
        && let Some(packet) = packet
    {
        out.push(HostRecord {
            number,
            order,
            ts,
            key: packet.key(),
            interface: flow.interface,
            kind: RecordKind::Unsolicited,
            detail: u32::from(packet.tcp.flags.0),
            value: 0,
            flow_id: flow.id,
        });
    }
}

/// Appends the record of a plain SYN that opens a flow: what [`of_flow`] says of one.
pub fn of_syn(flow: &Flow, packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    out.push(HostRecord {
        number: packet.number,
        order: u32::from(packet.depth),
        ts: packet.ts,
        key: flow.key,
        interface: flow.interface,
        kind: RecordKind::Opened,
        detail: u32::from(packet.ttl),
        value: 0,
        flow_id: flow.id,
    });
}

/// The record of a SYN that nobody answers. When nothing more comes of the connection this stays its only one: there is
/// nothing else to say of it, and in a flood there are as many of these as packets.
pub fn unanswered(silent: &Silent, (number, order, ts): (u64, u32, Timestamp)) -> HostRecord {
    HostRecord {
        number,
        order,
        ts,
        key: silent.key,
        interface: silent.interface,
        kind: RecordKind::Unanswered,
        detail: u32::from(silent.ttl) << 8,
        value: 0,
        flow_id: silent.id,
    }
}

/// Bytes of client and server in one number.
fn both(bytes: [u64; 2]) -> u64 {
    let [client, server] = bytes.map(|b| b.min(u64::from(u32::MAX)));
    client << 32 | server
}

/// What the detectors have been told of the payloads of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// What each direction begins with, once it has.
    first: [Option<FirstBytes>; 2],
    /// Payloads looked at per direction.
    payloads: [u16; 2],
    /// It carried a request of HTTP.
    http: bool,
    /// Its client went on without an answer that was seen.
    half_view: bool,
    /// A request is open.
    asked: bool,
    /// Packets per direction.
    packets: [u64; 2],
    /// What the first datagram said that the answer must repeat.
    mark: u32,
    /// Where a login over SSH stands.
    ssh: SshLogin,
    /// The server said what it is.
    software: bool,
    /// Who logs in.
    account: Account,
    /// How its client goes on with a request.
    pace: Pace,
    /// What [`link_records`] has said.
    link: link_records::Told,
}

/// Payloads of a direction among which a tunnel or a transfer may begin later than with the first.
const LATER: u16 = 12;
/// Payloads of a server that may carry its certificate.
const CERTIFICATE: u16 = 4;
/// Packets of a direction that make one record.
const PACKETS: u64 = 64;
/// Payloads of a direction that are looked at.
const PAYLOADS: u16 = 512;
/// Payloads of a server in which it may say what it is.
const BANNERS: u16 = 4;
/// Names of a flow that are read.
const NAMES: u16 = 4_096;

/// Appends what parsers told since the last packet.
pub fn of_notes(
    flow: &Flow,
    packet: &Packet<'_>,
    (app, told): (&mut crate::app::AppLayer, &Told),
    out: &mut Vec<HostRecord>,
) {
    use crate::app::{Login, Note};
    let proto = u32::from(app.proto.0);
    for note in app.notes.drain(..) {
        let (kind, detail, value) = match note {
            Note::Login(login) => {
                let outcome = match login {
                    Login::Failed => first_bytes::Login::Failed,
                    Login::Succeeded => first_bytes::Login::Succeeded,
                    Login::Tried => first_bytes::Login::Tried,
                };
                let account = u64::from(told.account.hash);
                (RecordKind::Login, outcome as u32, account)
            }
            Note::Certificate(ends) => (RecordKind::Certificate, 0, ends),
            Note::Asked => (RecordKind::Asked, proto, 0),
            Note::Replied { micros, failed } => {
                (RecordKind::Replied, proto | u32::from(failed) << 8, micros)
            }
            Note::Dhcp {
                kind,
                server,
                router,
            } => {
                let value = u64::from(server) << 32 | u64::from(router);
                (RecordKind::Dhcp, u32::from(kind), value)
            }
        };
        let key = if kind == RecordKind::Dhcp {
            packet.key()
        } else {
            flow.key
        };
        out.push(HostRecord {
            number: packet.number,
            order: u32::from(packet.depth),
            ts: packet.ts,
            key,
            interface: packet.interface,
            kind,
            detail,
            value,
            flow_id: flow.id,
        });
    }
}

/// Appends what a packet of a flow shows of its payload: small verdicts of its first bytes, counts, names.
/// `parsed`: the flow's parser tells of logins itself.
pub fn of_packet(
    flow: &Flow,
    packet: &Packet<'_>,
    direction: Direction,
    (told, parsed): (&mut Told, bool),
    out: &mut Vec<HostRecord>,
) {
    // A capture may begin in the middle of a connection, with the server's word: its port tells.
    let swapped = packet.transport == Transport::Tcp
        && flow.tcp.is_none()
        && flow.key.sport < 1_024
        && flow.key.dport >= 1_024;
    let (key, direction) = if swapped {
        (flow.key.reversed(), direction.reverse())
    } else {
        (flow.key, direction)
    };
    let at = direction.index();
    let to_server = direction == Direction::ToServer;
    let proof = u64::from(flow.proves_client());
    link_records::of_packet(flow, packet, to_server, &mut told.link, out);
    let mut push = |kind, detail, value| {
        out.push(HostRecord {
            number: packet.number,
            order: u32::from(packet.depth),
            ts: packet.ts,
            key,
            interface: packet.interface,
            kind,
            detail,
            value,
            flow_id: flow.id,
        });
    };
    if packet.transport != Transport::Tcp
        && let Some(count) = told.packets.get_mut(at)
    {
        *count += 1;
        if count.is_multiple_of(PACKETS) {
            push(RecordKind::Packets, at as u32, PACKETS);
        }
        // One packet may be chance; ESP's flows are of one direction.
        if *count == 2 && key.proto == 50 {
            push(RecordKind::FirstBytes, FirstBytes::Esp as u32, proof);
        }
    }
    let half = packet.transport == Transport::Tcp
        && to_server
        && !told.half_view
        && flow.seen == [true, false]
        && packet.tcp.flags.0 & (TcpFlags::ACK | TcpFlags::SYN | TcpFlags::RST) == TcpFlags::ACK
        && flow
            .tcp
            .as_ref()
            .is_some_and(|tcp| tcp.state == TcpState::SynSent);
    if half {
        told.half_view = true;
        push(RecordKind::HalfView, 0, 0);
    }
    let ssh = told.first == [Some(FirstBytes::Ssh); 2];
    if ssh
        && packet.tcp.flags.0 & (TcpFlags::FIN | TcpFlags::RST) != 0
        && let Shown::Outcome(outcome) = told.ssh.end()
    {
        push(RecordKind::Login, outcome as u32, 0);
    }
    let payload = packet.payload();
    let tcp = packet.transport == Transport::Tcp;
    if tcp && let Some(said) = paced(flow, packet, to_server, told) {
        let (detail, value) = said.pack();
        push(RecordKind::Pace, detail, value);
    }
    let Some(seen) = told.payloads.get_mut(at) else {
        return;
    };
    if matches!(packet.transport, Transport::Icmp | Transport::Icmpv6) {
        // Types of echo (RFC 792, RFC 4443 §4).
        let (request, reply) = if packet.transport == Transport::Icmp {
            (8, 0)
        } else {
            (128, 129)
        };
        if packet.sport == request || packet.sport == reply {
            *seen = seen.saturating_add(1);
            if *seen <= 256 {
                let len = (payload.len() as u32).min(0x7fff);
                let detail =
                    u32::from(packet.sport == reply) << 31 | len << 16 | u32::from(packet.icmp_seq);
                push(RecordKind::Echo, detail, first_bytes::hash(payload));
            }
        }
        return;
    }
    if payload.is_empty() || !(tcp || packet.transport == Transport::Udp) {
        return;
    }
    *seen = seen.saturating_add(1);
    let seen = *seen;
    let firsts = told.first;
    let first = |at: usize| firsts.get(at).copied().flatten();
    if first(at).is_none() {
        let other = first(1 - at).unwrap_or_default();
        let ports = (key.sport, key.dport);
        let verdict = first_bytes::classify(payload, (tcp, to_server), ports, (other, told.mark));
        told.mark = first_bytes::mark(payload);
        if let Some(slot) = told.first.get_mut(at) {
            // What looks random may still be the middle of something.
            let random = verdict == FirstBytes::Random;
            *slot = Some(if random { FirstBytes::Nothing } else { verdict });
        }
        if verdict.is_told() {
            push(RecordKind::FirstBytes, verdict as u32, proof);
        }
    }
    if !tcp {
        if to_server && key.dport == 88 {
            told.account.client(payload, key.dport);
        }
        if (key.dport == 53 || key.sport == 53)
            && seen <= NAMES
            && let Some(name) = dns_names::read(payload)
        {
            if name.failed
                && let Some(text) = dns_names::DomainText::of(payload)
            {
                for (value, detail) in text.pieces() {
                    push(RecordKind::Domain, detail, value);
                }
            }
            let (value, detail) = name.pack();
            push(RecordKind::DnsName, detail, value);
        }
        return;
    }
    if seen > PAYLOADS {
        // A long connection that carries requests goes on to: who asks, and that it was answered.
        if told.http && to_server && first_bytes::is_http_request(payload) {
            let (path, detail) = first_bytes::request(payload);
            told.asked = true;
            push(RecordKind::Request, detail, path);
        } else if told.asked && !to_server {
            told.asked = false;
            push(RecordKind::Answered, http_status(payload), 0);
        }
        return;
    }
    if ssh {
        match told.ssh.payload(payload, to_server) {
            Shown::Outcome(outcome) => {
                let before = match outcome {
                    first_bytes::Login::Succeeded => u64::from(told.ssh.told()) << 40,
                    _ => 0,
                };
                push(RecordKind::Login, outcome as u32, before);
            }
            Shown::Reversed => push(
                RecordKind::FirstBytes,
                FirstBytes::SshReversed as u32,
                proof,
            ),
            Shown::Nothing => {}
        }
        return;
    }
    if (2..=LATER).contains(&seen) {
        let client = first(0).unwrap_or_default();
        let mine = first(at).unwrap_or_default();
        let verdict = first_bytes::later(payload, mine, client);
        if verdict != FirstBytes::Nothing && verdict != mine {
            told.first = [Some(verdict); 2];
            push(RecordKind::FirstBytes, verdict as u32, proof);
        }
    }
    if !to_server
        && seen <= CERTIFICATE
        && first(0) == Some(FirstBytes::Tls)
        && let Some(verdict) = service_names::of_certificate(payload, key.dport)
    {
        told.first = [Some(verdict); 2];
        push(RecordKind::FirstBytes, verdict as u32, proof);
    }
    // RFC 1035 §4.2.2: over TCP a message is preceded by its length.
    if (key.dport == 53 || key.sport == 53)
        && seen <= NAMES
        && let Some(name) = payload.get(2..).and_then(dns_names::read)
    {
        let (value, detail) = name.pack();
        push(RecordKind::DnsName, detail, value);
    }
    if to_server {
        told.account.client(payload, key.dport);
        if first_bytes::is_http_request(payload) {
            let (path, detail) = first_bytes::request(payload);
            (told.http, told.asked) = (true, true);
            push(RecordKind::Request, detail, path);
        } else if told.asked {
            // A body may carry the password; and a request that goes on trickling is still open.
            push(RecordKind::Packets, 2, 1);
        }
        return;
    }
    if told.asked {
        told.asked = false;
        push(RecordKind::Answered, http_status(payload), 0);
    }
    if !told.software
        && seen <= BANNERS
        && let Some((product, version)) = software::read(payload, flow.key.dport)
    {
        told.software = true;
        push(RecordKind::Software, product as u32, version.0);
    }
    if !parsed && let Some(outcome) = first_bytes::login(payload, key.dport) {
        // 401 may be a step of a login that goes on.
        let step = u64::from(payload.starts_with(b"HTTP/"));
        let account = u64::from(told.account.hash);
        push(RecordKind::Login, outcome as u32, step << 32 | account);
    }
}

/// How the client goes on, in what is or may be HTTP or TLS.
fn paced(flow: &Flow, packet: &Packet<'_>, to_server: bool, told: &mut Told) -> Option<pace::Said> {
    let payload = packet.payload();
    let first = told.first.first().copied().flatten();
    let tls = match first {
        Some(FirstBytes::Tls | FirstBytes::VpnService | FirstBytes::P2pService) => true,
        // Whose first word is not finished when it is first looked at.
        None | Some(FirstBytes::Nothing) => {
            told.http |=
                to_server && (pace::may_begin(payload) || first_bytes::is_http_request(payload));
            false
        }
        Some(_) => false,
    };
    if !tls && !told.http {
        return None;
    }
    // What its peer offers the server is the client's window.
    let window = flow
        .tcp
        .as_ref()
        .map(|tcp| tcp.side(Direction::ToClient).window);
    told.pace.segment(&Segment {
        ts: packet.ts,
        to_server,
        seq: packet.tcp.seq,
        ack: packet.tcp.ack,
        flags: packet.tcp.flags.0,
        payload,
        window,
        tls,
        begins: to_server
            && !tls
            && (first_bytes::is_http_request(payload)
                || first.is_none() && pace::may_begin(payload)),
    })
}

/// The status of an HTTP answer, 0 when it is none.
fn http_status(payload: &[u8]) -> u32 {
    match payload {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            _,
            b' ',
            a,
            b,
            c,
            ..,
        ] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => [a, b, c]
            .iter()
            .fold(0, |n, d| n * 10 + u32::from(**d - b'0')),
        _ => 0,
    }
}

/// A packet that made no flow: one of the link's own protocols, or a TCP probe (no SYN, no session): FIN, NULL, Xmas.
pub fn of_stray(packet: &Packet<'_>, out: &mut Vec<HostRecord>) {
    link_records::of_stray(packet, out);
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
