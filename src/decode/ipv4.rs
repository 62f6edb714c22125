//! IPv4 (RFC 791) with its options, and what it carries.
//!
//! Options are checked as Suricata does: each known kind has its own form (RFC 791, 1108, 2113, 4782, FIPS 188), only
//! those with a right form are seen by `ipopts`. The header's length says where the payload ends, so that Ethernet
//! padding is never inspected. A total length of zero is a fault, but in captures made on the sending host it is what
//! segmentation offload leaves there: such segments reach to the end of the frame.

use std::net::IpAddr;

use crate::packet::{DecodeEvent, Net, PacketOrigin, Transport};

use super::checksum::{fold, sum};
use super::defrag::Fragment;
use super::walk::{Begin, Decoded, Part, Refused, Walk};
use super::{esp, gre, icmpv4, igmp, sctp, tcp, udp};

/// Length of a header without options.
pub(super) const HEADER_LEN: usize = 20;

/// Decodes a packet.
#[inline]
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.ipv4 += 1;
    w.layer()?;
    let part = part.limit(usize::from(u16::MAX));
    let Some(h) = part.bytes.first_chunk::<HEADER_LEN>() else {
        return w.refuse(DecodeEvent::IPV4_PKT_TOO_SMALL);
    };
    if h[0] >> 4 != 4 {
        return w.refuse(DecodeEvent::IPV4_WRONG_IP_VERSION);
    }
    let header_len = usize::from(h[0] & 0x0f) * 4;
    if header_len < HEADER_LEN {
        return w.refuse(DecodeEvent::IPV4_HLEN_TOO_SMALL);
    }
    let total_len = usize::from(u16::from_be_bytes([h[2], h[3]]));
    let total_len = if total_len == 0 && is_offloaded(w, part, h[9]) {
        part.bytes.len()
    } else {
        total_len
    };
    if total_len < header_len {
        return w.refuse(DecodeEvent::IPV4_IPLEN_SMALLER_THAN_HLEN);
    }
    let Some(packet) = part.bytes.get(..total_len) else {
        return w.refuse(DecodeEvent::IPV4_TRUNC_PKT);
    };
    let (header, payload) = packet.split_at_checked(header_len).unwrap_or_default();
    if header_len > HEADER_LEN {
        options(w, header.get(HEADER_LEN..).unwrap_or_default())?;
    }
    let flags_offset = u16::from_be_bytes([h[6], h[7]]);
    let src = IpAddr::from([h[12], h[13], h[14], h[15]]);
    let dst = IpAddr::from([h[16], h[17], h[18], h[19]]);
    w.addresses(src, dst);
    let layers = &mut *w.layers;
    layers.net = Net::V4;
    layers.network_offset = part.at;
    layers.network_header_len = header_len as u32;
    layers.tos = h[1];
    layers.ip_id = u32::from(u16::from_be_bytes([h[4], h[5]]));
    layers.ip_flags = (flags_offset >> 13) as u8;
    layers.fragment_offset = (flags_offset & 0x1fff) << 3;
    layers.ttl = h[8];
    layers.ip_proto = h[9];
    if w.verify && fold(sum(header)) != 0xffff {
        w.layers.bad_ip_checksum = true;
        w.checksums.wrong_ip(h[10] == 0 && h[11] == 0);
    }
    let payload = Part {
        at: part.at + header_len as u32,
        bytes: payload,
    };
    let more = flags_offset & 0x2000 != 0;
    if more || flags_offset & 0x1fff != 0 {
        w.layers.fragment = true;
        w.fragment = Some(Fragment::v4(part.at, header_len, payload, more, w.layers));
        return Ok(());
    }
    // What the layers above refuse does not make this packet unreadable.
    let _ = transport(w, h[9], payload);
    Ok(())
}

/// Smallest packet that is taken for one left to the card. Offload leaves segments larger than the path's MTU, of which
/// 1,280 bytes (RFC 8200 §5, the least that links in use carry) is a lower bound; smaller ones could be put on the wire
/// to be read here and dropped by the receiver.
const OFFLOADED_MIN: usize = 1280;

/// Whether a total length of zero means that the packet reaches to the end of the frame. Its checksums are then the
/// card's to fill in. The event remains, as Suricata raises it.
#[cold]
fn is_offloaded(w: &mut Walk<'_>, part: Part<'_>, protocol: u8) -> bool {
    if !w.settings.offloaded_lengths || protocol != 6 || part.bytes.len() <= OFFLOADED_MIN {
        return false;
    }
    w.stats.ipv4_offloaded += 1;
    w.verify = false;
    w.event(DecodeEvent::IPV4_IPLEN_SMALLER_THAN_HLEN);
    true
}

#[inline]
fn transport(w: &mut Walk<'_>, protocol: u8, payload: Part<'_>) -> Decoded {
    match protocol {
        6 => tcp::decode(w, payload),
        17 => udp::decode(w, payload),
        1 => icmpv4::decode(w, payload),
        47 => gre::decode(w, payload),
        132 => sctp::decode(w, payload),
        50 => esp::decode(w, payload),
        2 => igmp::decode(w, payload),
        41 => {
            w.stats.ipv6_in_ipv4 +=
                u64::from(w.tunnel(payload, Begin::Ipv6, PacketOrigin::Ip4InIp));
            ip_in_ip(w, payload)
        }
        4 => {
            w.stats.ipv4_in_ipv4 +=
                u64::from(w.tunnel(payload, Begin::Ipv4, PacketOrigin::Ip4InIp));
            ip_in_ip(w, payload)
        }
        58 => w.refuse(DecodeEvent::IPV4_ICMPV6),
        51 => authenticated(w, payload),
        other => {
            w.event(DecodeEvent::IPV4_UNKNOWN_PROTOCOL);
            w.other(other, payload);
            Ok(())
        }
    }
}

/// Authentication header (RFC 4302): what follows is in clear, and the receiver reads it. Suricata does not (it raises
/// the event and stops), so that an attack behind one passes it.
fn authenticated(w: &mut Walk<'_>, payload: Part<'_>) -> Decoded {
    w.event(DecodeEvent::IPV4_UNKNOWN_PROTOCOL);
    // RFC 4302 §2.2: the length is in units of 4 bytes, minus 2. One within another is no more than an evasion.
    let inside = match (payload.u8(0), payload.u8(1)) {
        (Some(next), Some(units)) if next != 51 && units > 0 => payload
            .skip((usize::from(units) + 2) * 4)
            .map(|p| (next, p)),
        _ => None,
    };
    match inside {
        Some((next, rest)) => {
            w.layers.ip_proto = next;
            transport(w, next, rest)
        }
        None => {
            w.other(51, payload);
            Ok(())
        }
    }
}

/// The outside of IP in IP has a flow of its own.
fn ip_in_ip(w: &mut Walk<'_>, payload: Part<'_>) -> Decoded {
    w.other(w.layers.ip_proto, payload);
    w.layers.has_flow = true;
    Ok(())
}

impl Walk<'_> {
    /// A protocol above IP that has no decoder of its own.
    pub(super) fn other(&mut self, protocol: u8, payload: Part<'_>) {
        self.layers.transport = Transport::Other(protocol);
        self.layers.transport_offset = payload.at;
        self.payload(payload);
    }
}

/// Option kinds, as they are on the wire (with the copy and class bits).
mod kind {
    pub const END: u8 = 0x00;
    pub const NOP: u8 = 0x01;
    pub const RECORD_ROUTE: u8 = 0x07;
    pub const QUICK_START: u8 = 0x19;
    pub const TIMESTAMP: u8 = 0x44;
    pub const SECURITY: u8 = 0x82;
    pub const LOOSE_ROUTE: u8 = 0x83;
    pub const EXTENDED_SECURITY: u8 = 0x85;
    pub const CIPSO: u8 = 0x86;
    pub const STREAM_ID: u8 = 0x88;
    pub const STRICT_ROUTE: u8 = 0x89;
    pub const ROUTER_ALERT: u8 = 0x94;
}

/// Walks the options. Lengths that contradict the header refuse the packet; a malformed option only marks it.
#[cold]
fn options(w: &mut Walk<'_>, mut rest: &[u8]) -> Decoded {
    if !rest.len().is_multiple_of(8) {
        w.event(DecodeEvent::IPV4_OPT_PAD_REQUIRED);
    }
    while let Some((&kind, after)) = rest.split_first() {
        if kind == kind::END {
            w.layers.ip_options |= 1;
            break;
        }
        if kind == kind::NOP {
            w.layers.ip_options |= 1 << kind::NOP;
            rest = after;
            continue;
        }
        let Some(&len) = after.first() else {
            w.event(DecodeEvent::IPV4_OPT_EOL_REQUIRED);
            break;
        };
        let Some((option, after)) = rest.split_at_checked(usize::from(len)).filter(|_| len >= 2)
        else {
            w.invalid(DecodeEvent::IPV4_OPT_INVALID_LEN);
            return Err(Refused);
        };
        option_of_kind(w, kind, option, rest.get(2..).unwrap_or_default());
        rest = after;
    }
    Ok(())
}

fn option_of_kind(w: &mut Walk<'_>, kind: u8, option: &[u8], rest: &[u8]) {
    let bit = 1u64 << (kind & 0x3f);
    let known = matches!(
        kind,
        kind::RECORD_ROUTE
            | kind::QUICK_START
            | kind::TIMESTAMP
            | kind::SECURITY
            | kind::LOOSE_ROUTE
            | kind::EXTENDED_SECURITY
            | kind::CIPSO
            | kind::STREAM_ID
            | kind::STRICT_ROUTE
            | kind::ROUTER_ALERT
    );
    if !known {
        return w.event(DecodeEvent::IPV4_OPT_INVALID);
    }
    if w.layers.ip_options & bit != 0 {
        return w.event(DecodeEvent::IPV4_OPT_DUPLICATE);
    }
    match form(kind, option, rest) {
        Ok(()) => w.layers.ip_options |= bit,
        Err(event) => w.invalid(event),
    }
}

/// Checks one option's own form. `rest` is what follows its length byte to the end of all options.
fn form(kind: u8, option: &[u8], rest: &[u8]) -> Result<(), DecodeEvent> {
    let len = option.len();
    let right_len = match kind {
        kind::QUICK_START => len >= 8,
        kind::SECURITY | kind::EXTENDED_SECURITY => len >= 3,
        kind::STREAM_ID | kind::ROUTER_ALERT => len == 4,
        kind::TIMESTAMP => len >= 5,
        kind::CIPSO => len >= 10,
        _ => len >= 3,
    };
    if !right_len {
        return Err(DecodeEvent::IPV4_OPT_INVALID_LEN);
    }
    let sound = match kind {
        kind::RECORD_ROUTE | kind::LOOSE_ROUTE | kind::STRICT_ROUTE => {
            // The pointer counts from 1 and steps over whole addresses.
            rest.first().is_some_and(|&pointer| {
                pointer >= 4 && pointer % 4 == 0 && usize::from(pointer) <= len + 1
            })
        }
        kind::TIMESTAMP => timestamp_is_sound(rest, len),
        kind::CIPSO => cipso_is_sound(option.get(6..).unwrap_or_default()),
        _ => true,
    };
    if sound {
        Ok(())
    } else {
        Err(DecodeEvent::IPV4_OPT_MALFORMED)
    }
}

/// RFC 791 §3.1: records of 4 bytes, or of 8 when addresses are noted too.
fn timestamp_is_sound(rest: &[u8], len: usize) -> bool {
    let [pointer, flag, ..] = rest else {
        return false;
    };
    if *pointer < 5 {
        return false;
    }
    let record = if matches!(flag & 0x0f, 1 | 3) { 8 } else { 4 };
    (pointer - 5) % record == 0 && usize::from(*pointer) <= len + 1
}

/// FIPS 188: tags of type 1, 2, 5, 6, 7; all but 7 have an alignment byte of zero.
fn cipso_is_sound(mut tags: &[u8]) -> bool {
    while !tags.is_empty() {
        let [kind, len, ..] = *tags else { return false };
        if !matches!(kind, 1 | 2 | 5 | 6 | 7) || len < 4 {
            return false;
        }
        let Some((tag, rest)) = tags.split_at_checked(usize::from(len)) else {
            return false;
        };
        if kind != 7 && tag.get(2) != Some(&0) {
            return false;
        }
        tags = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, names, only};
    use crate::packet::Net;

    const PING: [u8; 8] = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];

    fn option_events(options: &[u8]) -> Vec<&'static str> {
        events(0x0800, &ipv4(1, options, &PING))
    }

    #[test]
    fn sound_options_are_seen_and_make_no_event() {
        let options = [0x94, 4, 0, 0, 7, 3, 4, 0];
        let layers = only(&frame(0x0800, &ipv4(1, &options, &PING)));
        assert!(layers.events.is_empty());
        assert_eq!(layers.ip_options, 1 << 20 | 1 << 7 | 1);
    }

    #[test]
    fn each_fault_of_an_option_has_its_event() {
        assert_eq!(
            option_events(&[1, 1, 1, 0]),
            ["decoder.ipv4.opt_pad_required"]
        );
        assert_eq!(
            option_events(&[1, 1, 1, 1, 1, 1, 1, 7]),
            ["decoder.ipv4.opt_eol_required"]
        );
        assert_eq!(
            option_events(&[7, 9, 4, 0, 0, 0, 0, 0]),
            ["decoder.ipv4.opt_invalid_len"]
        );
        assert_eq!(
            option_events(&[7, 0, 4, 0, 0, 0, 0, 0]),
            ["decoder.ipv4.opt_invalid_len"]
        );
        assert_eq!(
            option_events(&[7, 3, 5, 0, 0, 0, 0, 0]),
            ["decoder.ipv4.opt_malformed"]
        );
        assert_eq!(
            option_events(&[0x99, 4, 0, 0, 0, 0, 0, 0]),
            ["decoder.ipv4.opt_invalid"]
        );
        assert_eq!(
            option_events(&[0x94, 4, 0, 0, 0x94, 4, 0, 0]),
            ["decoder.ipv4.opt_duplicate"]
        );
        assert_eq!(
            option_events(&[0x94, 3, 0, 0, 0, 0, 0, 0]),
            ["decoder.ipv4.opt_invalid_len"]
        );
        assert_eq!(
            option_events(&[0x44, 8, 4, 0, 0, 0, 0, 0]),
            ["decoder.ipv4.opt_malformed"]
        );
        assert_eq!(option_events(&[0x44, 8, 5, 0, 0, 0, 0, 0]), [""; 0]);
    }

    #[test]
    fn lengths_that_contradict_each_other_leave_no_network_layer() {
        let mut short = ipv4(1, &[], &PING);
        short[3] = 60;
        let layers = only(&frame(0x0800, &short));
        assert_eq!(
            (layers.net, layers.invalid, layers.has_flow),
            (Net::None, true, false)
        );
        assert_eq!(events(0x0800, &short), ["decoder.ipv4.trunc_pkt"]);
        short[3] = 19;
        assert_eq!(
            events(0x0800, &short),
            ["decoder.ipv4.iplen_smaller_than_hlen"]
        );
        short[0] = 0x44;
        assert_eq!(events(0x0800, &short), ["decoder.ipv4.hlen_too_small"]);
        short[0] = 0x55;
        assert_eq!(events(0x0800, &short), ["decoder.ipv4.wrong_ip_version"]);
        assert_eq!(events(0x0800, &short[..19]), ["decoder.ipv4.pkt_too_small"]);
    }

    #[test]
    fn a_large_segment_without_length_reaches_to_the_end_of_the_frame() {
        let mut segment = vec![0u8; 20 + 1400];
        segment[12] = 0x50;
        segment[13] = 0x18;
        let mut packet = ipv4(6, &[], &segment);
        packet[2..4].fill(0);
        let layers = only(&frame(0x0800, &packet));
        assert_eq!(names(&layers), ["decoder.ipv4.iplen_smaller_than_hlen"]);
        assert_eq!(
            (layers.invalid, layers.has_flow, layers.payload_len),
            (false, true, 1400)
        );
        assert!(!layers.bad_checksum && !layers.bad_ip_checksum);
        // Small ones, and those of other protocols, are what they look like.
        assert!(only(&frame(0x0800, &packet[..1280])).invalid);
        packet[9] = 17;
        assert!(only(&frame(0x0800, &packet)).invalid);
    }

    #[test]
    fn what_does_not_belong_in_ipv4_is_an_event() {
        assert_eq!(
            events(0x0800, &ipv4(58, &[], &PING)),
            ["decoder.ipv4.icmpv6"]
        );
        assert_eq!(
            events(0x0800, &ipv4(200, &[], &PING)),
            ["decoder.ipv4.unknown_protocol"]
        );
    }

    #[test]
    fn a_wrong_header_checksum_is_noted() {
        let mut packet = ipv4(1, &[], &PING);
        packet[8] = 63;
        assert!(only(&frame(0x0800, &packet)).bad_ip_checksum);
    }
}
