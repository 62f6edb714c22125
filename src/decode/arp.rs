//! ARP for IPv4 over Ethernet (RFC 826, and the reverse operations of RFC 903).

use std::net::IpAddr;

use crate::packet::{DecodeEvent, Net};

use super::walk::{Decoded, Part, Walk};

/// Decodes a request or reply. `src` and `dst` are the protocol addresses of sender and target.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.arp += 1;
    let Some([hw1, hw2, p1, p2, hw_len, p_len, op1, op2]) = part.bytes.first_chunk::<8>().copied()
    else {
        return w.refuse(DecodeEvent::ARP_PKT_TOO_SMALL);
    };
    w.layer()?;
    if u16::from_be_bytes([hw1, hw2]) != 1 {
        return w.refuse(DecodeEvent::ARP_UNSUPPORTED_HARDWARE);
    }
    if u16::from_be_bytes([p1, p2]) != 0x0800 {
        return w.refuse(DecodeEvent::ARP_UNSUPPORTED_PROTOCOL);
    }
    let Some(h) = part.bytes.first_chunk::<28>() else {
        return w.refuse(DecodeEvent::ARP_INVALID_PKT);
    };
    if hw_len != 6 {
        return w.refuse(DecodeEvent::ARP_INVALID_HARDWARE_SIZE);
    }
    if p_len != 4 {
        return w.refuse(DecodeEvent::ARP_INVALID_PROTOCOL_SIZE);
    }
    if !matches!(u16::from_be_bytes([op1, op2]), 1..=4) {
        return w.refuse(DecodeEvent::ARP_UNSUPPORTED_OPCODE);
    }
    w.addresses(
        IpAddr::from([h[14], h[15], h[16], h[17]]),
        IpAddr::from([h[24], h[25], h[26], h[27]]),
    );
    w.layers.net = Net::Arp;
    w.layers.network_offset = part.at;
    w.layers.network_header_len = 28;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, only};
    use crate::packet::Net;

    const REQUEST: [u8; 28] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    ];

    fn with(position: usize, value: u8) -> Vec<&'static str> {
        let mut changed = REQUEST;
        changed[position] = value;
        events(0x0806, &changed)
    }

    #[test]
    fn sender_and_target_are_the_addresses() {
        let layers = only(&frame(0x0806, &REQUEST));
        assert_eq!(
            (layers.net, layers.events.is_empty(), layers.has_flow),
            (Net::Arp, true, false)
        );
        assert_eq!(
            (layers.src, layers.dst),
            ([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
        );
    }

    #[test]
    fn each_fault_has_its_event() {
        assert_eq!(with(1, 2), ["decoder.arp.unsupported_hardware"]);
        assert_eq!(with(2, 9), ["decoder.arp.unsupported_protocol"]);
        assert_eq!(with(4, 5), ["decoder.arp.invalid_hardware_size"]);
        assert_eq!(with(5, 5), ["decoder.arp.invalid_protocol_size"]);
        assert_eq!(with(7, 9), ["decoder.arp.unsupported_opcode"]);
        assert_eq!(events(0x0806, &REQUEST[..7]), ["decoder.arp.pkt_too_small"]);
        assert_eq!(events(0x0806, &REQUEST[..27]), ["decoder.arp.invalid_pkt"]);
    }
}
