//! UDP (RFC 768), and the tunnels that ride on its ports.

use crate::packet::{DecodeEvent, Net, Transport};

use super::walk::{Decoded, Part, Walk};
use super::{geneve, teredo, vxlan};

/// Length of a header.
const HEADER_LEN: usize = 8;

/// Decodes a datagram.
#[inline]
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.udp += 1;
    let Some(h) = part.bytes.first_chunk::<HEADER_LEN>() else {
        return w.refuse(DecodeEvent::UDP_HLEN_TOO_SMALL);
    };
    let len = usize::from(u16::from_be_bytes([h[4], h[5]]));
    if part.bytes.len() < len {
        return w.refuse(DecodeEvent::UDP_PKT_TOO_SMALL);
    }
    let Some(payload) = part.limit(len).skip(HEADER_LEN) else {
        return w.refuse(DecodeEvent::UDP_LEN_INVALID);
    };
    let (sport, dport) = (
        u16::from_be_bytes([h[0], h[1]]),
        u16::from_be_bytes([h[2], h[3]]),
    );
    w.layers.transport = Transport::Udp;
    w.layers.transport_offset = part.at;
    w.layers.sport = sport;
    w.layers.dport = dport;
    w.layers.has_flow = true;
    w.payload(payload);
    let field = [h[6], h[7]];
    // RFC 768: zero says that the sender computed none; RFC 8200 §8.1 forbids that in IPv6.
    if field != [0, 0] || w.layers.net == Net::V6 {
        w.verify_transport(17, part.limit(len).bytes, field);
    }
    let settings = w.settings;
    let teredo_ports = &settings.teredo_ports;
    if settings.teredo
        && (teredo_ports.is_empty()
            || teredo_ports.contains(&sport)
            || teredo_ports.contains(&dport))
        && teredo::decode(w, payload)
    {
        return Ok(());
    }
    if (settings.geneve_ports.contains(&sport) || settings.geneve_ports.contains(&dport))
        && geneve::decode(w, payload)
    {
        return Ok(());
    }
    if settings.vxlan_ports.contains(&dport) {
        vxlan::decode(w, payload);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only, udp};

    #[test]
    fn lengths_that_do_not_fit_are_events() {
        let mut datagram = udp(53, 53, b"abc");
        datagram[5] = 12;
        assert_eq!(
            events(0x0800, &ipv4(17, &[], &datagram)),
            ["decoder.udp.pkt_too_small"]
        );
        datagram[5] = 7;
        assert_eq!(
            events(0x0800, &ipv4(17, &[], &datagram)),
            ["decoder.udp.len_invalid"]
        );
        assert_eq!(
            events(0x0800, &ipv4(17, &[], &datagram[..7])),
            ["decoder.udp.hlen_too_small"]
        );
        datagram[5] = 10;
        let layers = only(&frame(0x0800, &ipv4(17, &[], &datagram)));
        assert_eq!((layers.payload_len, layers.bad_checksum), (2, false));
    }
}
