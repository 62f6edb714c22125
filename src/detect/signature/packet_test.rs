//! Tests on headers, the flow and the flow's state.

use std::net::IpAddr;

use super::flow_rules::FlowRules;
use super::inspect::Inspection;
use super::order::is_int_test;
use super::tx::numbers_satisfy;
use crate::app::{AppLayer, AppProto};
use crate::flow::{Flow, TcpState};
use crate::packet::{Direction, Net, Packet, Transport};
use crate::rules::{
    CaptureScope, ChecksumOf, FlagMode, FlowCounter, FlowIntOperand, FlowIntOperation,
    FlowStateOption, FlowTest, IntCompare, NumberTest, PacketTest, ProtocolSide, SctpTest,
    StreamSide, StreamTest,
};

/// Whether a test on the packet's headers holds.
pub(super) fn packet_test(
    test: &PacketTest,
    packet: &Packet<'_>,
    events: &crate::packet::EventSet,
) -> bool {
    let is_tcp = packet.transport == Transport::Tcp;
    let icmp = matches!(packet.transport, Transport::Icmp | Transport::Icmpv6);
    match test {
        PacketTest::TcpFlags {
            flags,
            mode,
            ignore,
        } => is_tcp && flags_match(packet.tcp.flags.0 & !ignore, *flags & !ignore, *mode),
        PacketTest::TcpFlagsNumber(compare) => is_tcp && compare.test(packet.tcp.flags.0.into()),
        PacketTest::Ttl(compare) => packet.is_ip() && compare.test(packet.ttl.into()),
        PacketTest::Tos(compare) => packet.net == Net::V4 && compare.test(packet.tos.into()),
        PacketTest::IpId(compare) => packet.net == Net::V4 && compare.test(packet.ip_id.into()),
        PacketTest::IpProto(compare) => packet.is_ip() && compare.test(packet.ip_proto.into()),
        PacketTest::IpOption(option) => {
            packet.net == Net::V4
                && match option {
                    Some(number) => packet.ip_options & 1 << (number & 0x3f) != 0,
                    None => packet.ip_options != 0,
                }
        }
        PacketTest::Reputation(test) => packet.is_ip() && test.holds(packet.src, packet.dst),
        PacketTest::Country(test) => packet.is_ip() && test.holds(packet.src, packet.dst),
        PacketTest::SameIp => packet.is_ip() && packet.src == packet.dst,
        PacketTest::FragBits { bits, mode } => {
            packet.net == Net::V4 && flags_match(fragment_bits(packet), *bits, *mode)
        }
        PacketTest::FragOffset(compare) => {
            packet.is_ip() && compare.test((packet.fragment_offset / 8).into())
        }
        PacketTest::IcmpType(compare) => icmp && compare.test(packet.sport.into()),
        PacketTest::IcmpCode(compare) => icmp && compare.test(packet.dport.into()),
        PacketTest::IcmpId(id) => icmp && has_icmp_id(packet) && packet.icmp_id == *id,
        PacketTest::IcmpSeq(seq) => icmp && has_icmp_id(packet) && packet.icmp_seq == *seq,
        PacketTest::Icmpv6Mtu(compare) => {
            packet.transport == Transport::Icmpv6
                && packet.sport == 2
                && packet
                    .frame
                    .get(packet.transport_offset as usize + 4..)
                    .and_then(|rest| rest.first_chunk::<4>())
                    .is_some_and(|mtu| compare.test(u32::from_be_bytes(*mtu).into()))
        }
        PacketTest::TcpSeq(seq) => is_tcp && seq.test(packet.tcp.seq.into()),
        PacketTest::TcpAck(ack) => is_tcp && ack.test(packet.tcp.ack.into()),
        PacketTest::TcpWindow(compare) => is_tcp && compare.test(packet.tcp.window.into()),
        PacketTest::TcpMss(compare) => {
            is_tcp && packet.tcp.mss.is_some_and(|mss| compare.test(mss.into()))
        }
        PacketTest::TcpWscale(compare) => {
            is_tcp
                && packet
                    .tcp
                    .wscale
                    .is_some_and(|scale| compare.test(scale.into()))
        }
        PacketTest::PayloadSize(compare) => compare.test(packet.payload_len.into()),
        PacketTest::Event(event) => packet.events.contains(*event) || events.contains(*event),
        PacketTest::Checksum { of, valid } => checksum(*of, packet) == Some(*valid),
        PacketTest::VlanId(test) => vlan(packet, test),
        PacketTest::IpVersion(version) => match version {
            4 => packet.net == Net::V4,
            _ => packet.net == Net::V6,
        },
        PacketTest::RpcCall {
            program,
            version,
            procedure,
        } => rpc_call(packet, *program, *version, *procedure),
        PacketTest::VlanLayers(compare) => compare.test(packet.vlan_count.into()),
        PacketTest::Sctp(test) => packet.transport == Transport::Sctp && sctp(test, packet),
        PacketTest::IgmpType(compare) => {
            packet.ip_proto == 2
                && packet
                    .frame
                    .get(packet.transport_offset as usize)
                    .is_some_and(|t| compare.test((*t).into()))
        }
        PacketTest::Never => false,
    }
}

fn flags_match(have: u8, want: u8, mode: FlagMode) -> bool {
    match mode {
        FlagMode::Exact => have == want,
        FlagMode::All => have & want == want,
        FlagMode::Any => have & want != 0,
        FlagMode::Not => have & want != want,
    }
}

/// Bits of `fragbits`: 1 more fragments, 2 don't fragment, 4 reserved, from the IPv4 header (RFC 791 §3.1).
fn fragment_bits(packet: &Packet<'_>) -> u8 {
    let byte = packet
        .frame
        .get(packet.network_offset as usize + 6)
        .copied()
        .unwrap_or(0);
    byte >> 5
}

/// ICMP types that carry an identifier and a sequence number (RFC 792, RFC 950, RFC 4443 §4).
fn has_icmp_id(packet: &Packet<'_>) -> bool {
    match packet.transport {
        Transport::Icmp => matches!(packet.sport, 0 | 8 | 13..=18),
        Transport::Icmpv6 => matches!(packet.sport, 128 | 129),
        _ => false,
    }
}

/// Whether a checksum is valid; `None` when the packet has none of that kind.
fn checksum(of: ChecksumOf, packet: &Packet<'_>) -> Option<bool> {
    let (net, transport) = (packet.net, packet.transport);
    let applies = match of {
        ChecksumOf::Ipv4 => net == Net::V4,
        ChecksumOf::TcpV4 => net == Net::V4 && transport == Transport::Tcp,
        ChecksumOf::TcpV6 => net == Net::V6 && transport == Transport::Tcp,
        ChecksumOf::UdpV4 => net == Net::V4 && transport == Transport::Udp,
        ChecksumOf::UdpV6 => net == Net::V6 && transport == Transport::Udp,
        ChecksumOf::IcmpV4 => transport == Transport::Icmp,
        ChecksumOf::IcmpV6 => transport == Transport::Icmpv6,
        ChecksumOf::Igmp => packet.ip_proto == 2,
    };
    if !applies || packet.fragment {
        return None;
    }
    if of == ChecksumOf::Ipv4 {
        return Some(ones_sum(packet.network_header(), 0) == 0xffff);
    }
    let segment = segment(packet);
    if segment.is_empty() {
        return None;
    }
    if of == ChecksumOf::UdpV4 && segment.get(6..8) == Some(&[0, 0]) {
        return None;
    }
    let pseudo = match of {
        ChecksumOf::IcmpV4 | ChecksumOf::Igmp => 0,
        _ => pseudo_header(packet, segment.len()),
    };
    Some(ones_sum(segment, pseudo) == 0xffff)
}

/// RFC 1071: the folded sum of 16-bit words; 0xffff when the checksum in them is right.
fn ones_sum(bytes: &[u8], start: u32) -> u32 {
    let mut sum = u64::from(start);
    for pair in bytes.chunks(2) {
        let high = pair.first().copied().unwrap_or(0);
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u64::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u32
}

/// RFC 9293 §3.1, RFC 8200 §8.1.
fn pseudo_header(packet: &Packet<'_>, len: usize) -> u32 {
    let mut sum = u32::from(packet.ip_proto) + (len as u32 & 0xffff) + (len as u32 >> 16);
    let mut add = |octets: &[u8]| sum = sum.wrapping_add(ones_sum(octets, 0));
    for address in [packet.src, packet.dst] {
        match address {
            IpAddr::V4(v4) => add(&v4.octets()),
            IpAddr::V6(v6) => add(&v6.octets()),
        }
    }
    sum
}

fn vlan(packet: &Packet<'_>, test: &NumberTest) -> bool {
    let count = usize::from(packet.vlan_count).min(packet.vlan.len());
    let ids = packet.vlan.get(..count).unwrap_or_default();
    numbers_satisfy(test, &|index| ids.get(index).map(|id| u64::from(*id)), true)
}

/// RFC 5531 §9: xid, type (0: a call), version of RPC, program, version, procedure; over TCP after a record mark (§11).
fn rpc_call(
    packet: &Packet<'_>,
    program: u32,
    version: Option<u32>,
    procedure: Option<u32>,
) -> bool {
    let payload = packet.payload();
    let message = match packet.transport {
        Transport::Tcp => payload.get(4..),
        Transport::Udp => Some(payload),
        _ => None,
    };
    let mut words = message
        .unwrap_or_default()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|w| u32::from_be_bytes(*w));
    let (Some(_), Some(0), Some(_)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let (Some(p), Some(v), Some(c)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    p == program && version.is_none_or(|n| n == v) && procedure.is_none_or(|n| n == c)
}

/// RFC 9260 §3: common header, then chunks of type, flags, length.
fn sctp(test: &SctpTest, packet: &Packet<'_>) -> bool {
    let header = packet
        .frame
        .get(packet.transport_offset as usize..)
        .unwrap_or_default();
    match test {
        SctpTest::VerificationTag(compare) => header
            .get(4..8)
            .and_then(|b| b.first_chunk::<4>())
            .is_some_and(|tag| compare.test(u32::from_be_bytes(*tag).into())),
        SctpTest::ChunkCount(compare) => compare.test(sctp_chunks(packet).count() as u64),
        SctpTest::ChunkType(compare) => {
            sctp_chunks(packet).any(|(kind, _)| compare.test(kind.into()))
        }
    }
}

/// The transport's bytes, header and all, up to the end that the IP header states.
pub(super) fn segment<'a>(packet: &Packet<'a>) -> &'a [u8] {
    let network = packet.network_offset as usize;
    let number = |at: usize| {
        packet
            .frame
            .get(network + at..)
            .and_then(|b| b.first_chunk::<2>())
            .map_or(0, |b| usize::from(u16::from_be_bytes(*b)))
    };
    let stated = match packet.net {
        Net::V4 => number(2),
        Net::V6 => 40 + number(4),
        _ => return &[],
    };
    let end = (network + stated).min(packet.frame.len());
    packet
        .frame
        .get(packet.transport_offset as usize..end)
        .unwrap_or_default()
}

/// Type and value of each chunk of an SCTP packet, at most 256.
pub(super) fn sctp_chunks<'a>(
    packet: &Packet<'a>,
) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
    let mut rest = segment(packet).get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [kind, _flags, high, low, ..] = *rest else {
            return None;
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len < 4 {
            return None;
        }
        let value = rest
            .get(4..len)
            .unwrap_or_else(|| rest.get(4..).unwrap_or_default());
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
    .take(256)
}

/// User data of each DATA chunk (RFC 9260 §3.3.1: 12 bytes of numbers go before it).
pub(super) fn sctp_user_data<'a>(packet: &Packet<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    sctp_chunks(packet)
        .filter(|(kind, _)| *kind == 0)
        .filter_map(|(_, value)| value.get(12..))
}

/// Whether the `flow` option holds.
pub(super) fn flow_test(
    test: FlowTest,
    direction: Direction,
    has_flow: bool,
    established: bool,
    rebuilt: bool,
) -> bool {
    let needs_flow = test.to_server || test.to_client || test.established;
    if needs_flow && !has_flow {
        return false;
    }
    (!test.to_server || test.to_client || direction == Direction::ToServer)
        && (!test.to_client || test.to_server || direction == Direction::ToClient)
        && (!test.established || established)
        && (!test.not_established || !established)
        && (!test.no_frag || !rebuilt)
        && (!test.only_frag || rebuilt)
}

/// Whether the packet counts as part of an established flow.
pub(super) fn is_established(input: &Inspection<'_>) -> bool {
    input.flow.is_some() && input.stream.flow_established
}

/// Whether a test on the flow or the stream holds.
pub(super) fn stream_test(test: &StreamTest, input: &Inspection<'_>) -> bool {
    match test {
        StreamTest::Size { side, size } => {
            let [to_server, to_client] = input.stream.sizes;
            // A SYN takes one number, so a session has none of both sizes at zero.
            let session = input.stream.sizes != [0; 2] && input.flow.is_some();
            let known = input.packet.transport == Transport::Tcp && session;
            let (client, server) = (size.test(to_server), size.test(to_client));
            known
                && match side {
                    StreamSide::Client => client,
                    StreamSide::Server => server,
                    StreamSide::Both => client && server,
                    StreamSide::Either => client || server,
                }
        }
        StreamTest::AppProtocol {
            protos,
            negate,
            side,
        } => input
            .app
            .as_deref()
            .is_some_and(|app| app_protocol(app, protos, *negate, *side, input.direction)),
        StreamTest::FlowCounter { counter, value } => input
            .flow
            .as_deref()
            .is_some_and(|flow| value.test(flow_counter(flow, *counter))),
        StreamTest::FlowCounterEither { counters, value } => input
            .flow
            .as_deref()
            .is_some_and(|flow| counters.iter().any(|c| value.test(flow_counter(flow, *c)))),
        StreamTest::AppLayerEvent(name) => input
            .app
            .as_deref()
            .is_some_and(|app| app.events.iter().any(|event| event == name)),
        StreamTest::TcpSession {
            setup,
            established,
            closing,
        } => {
            let Some(flow) = input.flow.as_deref() else {
                return false;
            };
            let state = flow.tcp.as_ref().map(|tcp| tcp.state);
            let ends = state.is_some_and(|s| s > TcpState::Established && s < TcpState::Closed);
            let is_established = input.stream.flow_established;
            input.packet.transport == Transport::Tcp
                && ((*setup && !is_established)
                    || (*established && is_established)
                    || (*closing && ends))
        }
    }
}

fn app_protocol(
    app: &AppLayer,
    protos: &[AppProto],
    negate: bool,
    side: ProtocolSide,
    direction: Direction,
) -> bool {
    let [to_server, to_client] = app.seen;
    let one = match side {
        ProtocolSide::Final => app.proto,
        ProtocolSide::Direction if direction == Direction::ToServer => to_server,
        ProtocolSide::Direction => to_client,
        ProtocolSide::ToServer => to_server,
        ProtocolSide::ToClient => to_client,
        ProtocolSide::Original => app.original.unwrap_or(AppProto::UNKNOWN),
        ProtocolSide::Either => {
            if negate && to_server == AppProto::UNKNOWN && to_client == AppProto::UNKNOWN {
                return false;
            }
            return (protos.contains(&to_server) || protos.contains(&to_client)) != negate;
        }
    };
    if negate && one == AppProto::UNKNOWN {
        return false;
    }
    protos.contains(&one) != negate
}

fn flow_counter(flow: &Flow, counter: FlowCounter) -> u64 {
    let [to_server, to_client] = flow.packets;
    let [bytes_to_server, bytes_to_client] = flow.bytes;
    match counter {
        // Seconds of the clock, not of a stopwatch: a flow that begins late in one is a second old early in the next.
        FlowCounter::Age => flow.last.secs().saturating_sub(flow.first.secs()),
        FlowCounter::PacketsToServer => to_server,
        FlowCounter::PacketsToClient => to_client,
        FlowCounter::Packets => to_server.saturating_add(to_client),
        FlowCounter::BytesToServer => bytes_to_server,
        FlowCounter::BytesToClient => bytes_to_client,
        FlowCounter::Bytes => bytes_to_server.saturating_add(bytes_to_client),
    }
}

/// Whether the conditions among the state options hold. Without a flow nothing is set.
pub(super) fn state_tests(options: &[FlowStateOption], flow: Option<&FlowRules>) -> bool {
    options.iter().all(|option| match option {
        FlowStateOption::BitIsSet(bits) => flow.is_some_and(|f| bits.iter().any(|b| f.bit(*b))),
        FlowStateOption::BitIsNotSet(bits) => flow.is_some_and(|f| bits.iter().any(|b| !f.bit(*b))),
        FlowStateOption::Int {
            variable,
            operation,
            operand,
        } if is_int_test(*operation) => {
            flow.is_some_and(|f| int_test(f, *variable, *operation, *operand))
        }
        FlowStateOption::VarContains {
            scope,
            name,
            bytes,
            negate,
        } => {
            let vars = flow.and_then(FlowRules::vars);
            let list = vars.map_or(&[][..], |vars| match scope {
                CaptureScope::Flow => vars.of_flow(),
                CaptureScope::Packet | CaptureScope::Alert => vars.of_packet(),
            });
            list.iter()
                .find(|(known, _)| **known == **name)
                .is_some_and(|(_, value)| memchr::memmem::find(value, bytes).is_some() != *negate)
        }
        _ => true,
    })
}

fn int_test(
    flow: &FlowRules,
    variable: u32,
    operation: FlowIntOperation,
    operand: FlowIntOperand,
) -> bool {
    let value = flow.int(variable);
    match operation {
        FlowIntOperation::IsSet => value.is_some(),
        FlowIntOperation::IsNotSet => value.is_none(),
        FlowIntOperation::Test(compare) => {
            let (Some(left), Some(right)) = (value, operand_value(flow, operand)) else {
                return false;
            };
            match compare {
                IntCompare::Equal => left == right,
                IntCompare::NotEqual => left != right,
                IntCompare::Less => left < right,
                IntCompare::Greater => left > right,
                IntCompare::LessOrEqual => left <= right,
                IntCompare::GreaterOrEqual => left >= right,
            }
        }
        _ => true,
    }
}

fn operand_value(flow: &FlowRules, operand: FlowIntOperand) -> Option<u32> {
    match operand {
        FlowIntOperand::Value(value) => Some(value),
        FlowIntOperand::Variable(variable) => flow.int(variable),
        FlowIntOperand::None => None,
    }
}

/// Carries out the changes among the state options, after a match.
pub(super) fn state_changes(options: &[FlowStateOption], flow: &mut FlowRules) {
    for option in options {
        match option {
            FlowStateOption::BitSet(bit) => flow.set_bit(*bit),
            FlowStateOption::BitUnset(bit) => flow.unset_bit(*bit),
            FlowStateOption::BitToggle(bit) => flow.toggle_bit(*bit),
            FlowStateOption::Int {
                variable,
                operation,
                operand,
            } => {
                let Some(operand) = operand_value(flow, *operand) else {
                    continue;
                };
                let old = flow.int(*variable).unwrap_or(0);
                match operation {
                    FlowIntOperation::Assign => flow.set_int(*variable, operand),
                    FlowIntOperation::Add => flow.set_int(*variable, old.wrapping_add(operand)),
                    FlowIntOperation::Subtract => {
                        flow.set_int(*variable, old.wrapping_sub(operand))
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_compare_by_mode() {
        assert!(flags_match(0x12, 0x12, FlagMode::Exact));
        assert!(!flags_match(0x12, 0x02, FlagMode::Exact));
        assert!(flags_match(0x12, 0x02, FlagMode::All));
        assert!(flags_match(0x12, 0x03, FlagMode::Any));
        assert!(!flags_match(0x12, 0x02, FlagMode::Not));
        assert!(flags_match(0x10, 0x02, FlagMode::Not));
    }

    #[test]
    fn state_options_test_and_change() {
        let mut flow = FlowRules::default();
        let isset = [FlowStateOption::BitIsSet(vec![1, 2])];
        let notset = [FlowStateOption::BitIsNotSet(vec![1])];
        assert!(!state_tests(&isset, Some(&flow)));
        assert!(state_tests(&notset, Some(&flow)) && !state_tests(&notset, None));
        state_changes(&[FlowStateOption::BitSet(2)], &mut flow);
        assert!(state_tests(&isset, Some(&flow)));
        let add = FlowStateOption::Int {
            variable: 1,
            operation: FlowIntOperation::Add,
            operand: FlowIntOperand::Value(2),
        };
        let over = FlowStateOption::Int {
            variable: 1,
            operation: FlowIntOperation::Test(IntCompare::Greater),
            operand: FlowIntOperand::Value(3),
        };
        state_changes(std::slice::from_ref(&add), &mut flow);
        assert!(!state_tests(std::slice::from_ref(&over), Some(&flow)));
        state_changes(std::slice::from_ref(&add), &mut flow);
        assert!(state_tests(&[over], Some(&flow)));
    }

    #[test]
    fn checksums_add_up_to_all_ones() {
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 192, 168, 0, 1, 192, 168, 0,
            199,
        ];
        assert_eq!(ones_sum(&header, 0), 0xffff);
        assert_eq!(ones_sum(&[0xff, 0xff, 0x01], 0), 0x0100);
    }
}
