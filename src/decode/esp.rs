//! ESP (RFC 4303), recognised: what follows the sequence number is encrypted.

use crate::packet::{DecodeEvent, Transport};

use super::walk::{Decoded, Part, Walk};

/// Index of the security parameters, and sequence number.
const HEADER_LEN: usize = 8;

/// Decodes a packet.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.esp += 1;
    w.layer()?;
    let Some(payload) = part.skip(HEADER_LEN) else {
        return w.refuse(DecodeEvent::ESP_PKT_TOO_SMALL);
    };
    w.layers.transport = Transport::Other(50);
    w.layers.transport_offset = part.at;
    // The index tells flows between two hosts apart, as ports do elsewhere.
    w.layers.sport = part.u16(0).unwrap_or(0);
    w.layers.dport = part.u16(2).unwrap_or(0);
    w.layers.has_flow = true;
    w.payload(payload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};
    use crate::packet::Transport;

    #[test]
    fn it_has_a_flow_by_its_index() {
        let layers = only(&frame(
            0x0800,
            &ipv4(50, &[], &[0, 1, 0, 2, 0, 0, 0, 3, 9, 9]),
        ));
        assert_eq!(
            (layers.transport, layers.has_flow, layers.payload_len),
            (Transport::Other(50), true, 2)
        );
        assert_eq!((layers.sport, layers.dport), (1, 2));
        assert_eq!(
            events(0x0800, &ipv4(50, &[], &[0; 7])),
            ["decoder.esp.pkt_too_small"]
        );
    }
}
