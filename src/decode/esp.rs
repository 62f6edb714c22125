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
