//! Linux cooked captures, version 1 and 2 (tcpdump.org: LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2).

use crate::packet::DecodeEvent;

use super::ethernet;
use super::walk::{Decoded, Part, Walk};

/// Length of version 1's header, the protocol at its end.
const HEADER_LEN: usize = 16;

/// Length of version 2's header, the protocol at its beginning.
const HEADER_V2_LEN: usize = 20;

/// Decodes a frame of version 1.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.sll += 1;
    let (Some(protocol), Some(rest)) = (part.u16(14), part.skip(HEADER_LEN)) else {
        return w.refuse(DecodeEvent::SLL_PKT_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, protocol, rest);
    Ok(())
}

/// Decodes a frame of version 2.
pub(super) fn decode_v2(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.sll += 1;
    let (Some(protocol), Some(rest)) = (part.u16(0), part.skip(HEADER_V2_LEN)) else {
        return w.refuse(DecodeEvent::SLL2_PKT_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, protocol, rest);
    Ok(())
}
