//! ERSPAN: mirrored Ethernet frames in GRE (draft-foschiano-erspan-03), types I and II.

use crate::packet::{DecodeEvent, VLAN_MAX};

use super::ethernet;
use super::walk::{Decoded, Part, Refused, Walk};

/// Length of type II's header.
const HEADER_LEN: usize = 8;

/// Type I: the frame follows at once.
pub(super) fn type_i(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.erspan += 1;
    ethernet::decode(w, part)
}

/// Type II: version, VLAN of the mirrored frame, session.
pub(super) fn type_ii(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.erspan += 1;
    let (Some(field), Some(rest)) = (part.u16(0), part.skip(HEADER_LEN)) else {
        w.event(DecodeEvent::ERSPAN_HEADER_TOO_SMALL);
        return Err(Refused);
    };
    w.layer()?;
    if field >> 12 != 1 {
        w.event(DecodeEvent::ERSPAN_UNSUPPORTED_VERSION);
        return Err(Refused);
    }
    let id = field & 0x0fff;
    if id > 0 {
        let position = usize::from(w.layers.vlan_count);
        let Some(slot) = w
            .layers
            .vlan
            .get_mut(position)
            .filter(|_| position < VLAN_MAX)
        else {
            w.event(DecodeEvent::ERSPAN_TOO_MANY_VLAN_LAYERS);
            return Err(Refused);
        };
        *slot = id;
        w.layers.vlan_count += 1;
    }
    ethernet::decode(w, rest)
}
