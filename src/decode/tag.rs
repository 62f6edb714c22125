//! Tags between Ethernet and the network layer other than VLAN's: backbone bridges (IEEE 802.1ah), E-TAG
//! (IEEE 802.1BR) and VN-TAG.

use crate::packet::DecodeEvent;

use super::ethernet;
use super::walk::{Decoded, Part, Walk};

/// IEEE 802.1ah: flags with the service id, the customer's addresses, an ethertype.
pub(super) fn backbone(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    let (Some(ethertype), Some(rest)) = (part.u16(16), part.skip(18)) else {
        return w.refuse(DecodeEvent::IEEE8021AH_HEADER_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, ethertype, rest);
    Ok(())
}

/// E-TAG.
pub(super) fn etag(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.etag += 1;
    let (Some(ethertype), Some(rest)) = (part.u16(6), part.skip(8)) else {
        return w.refuse(DecodeEvent::ETAG_HEADER_TOO_SMALL);
    };
    w.layer()?;
    if !ethernet::network(w, ethertype, rest) {
        return w.refuse(DecodeEvent::ETAG_UNKNOWN_TYPE);
    }
    Ok(())
}

/// VN-TAG.
pub(super) fn vntag(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.vntag += 1;
    let (Some(ethertype), Some(rest)) = (part.u16(4), part.skip(6)) else {
        return w.refuse(DecodeEvent::VNTAG_HEADER_TOO_SMALL);
    };
    w.layer()?;
    if !ethernet::network(w, ethertype, rest) {
        return w.refuse(DecodeEvent::VNTAG_UNKNOWN_TYPE);
    }
    Ok(())
}
