//! Cisco HDLC: address, control, and an ethertype.

use crate::packet::DecodeEvent;

use super::ethernet;
use super::walk::{Decoded, Part, Walk};

/// Decodes a frame.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.chdlc += 1;
    let (Some(protocol), Some(rest)) = (part.u16(2), part.skip(4)) else {
        return w.refuse(DecodeEvent::CHDLC_PKT_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, protocol, rest);
    Ok(())
}
