//! VLAN tags (IEEE 802.1Q, 802.1ad, QinQ): up to [`VLAN_MAX`] of them.

use crate::packet::{DecodeEvent, VLAN_MAX};

use super::ethernet;
use super::walk::{Decoded, Part, Refused, Walk};

/// Decodes a tag: priority, eligibility, 12 bits of id, and the ethertype of what follows.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    let position = usize::from(w.layers.vlan_count);
    if position >= VLAN_MAX {
        w.event(DecodeEvent::VLAN_TOO_MANY_LAYERS);
        return Err(Refused);
    }
    if let Some(counter) = w.stats.vlan.get_mut(position) {
        *counter += 1;
    }
    let (Some(control), Some(ethertype), Some(rest)) = (part.u16(0), part.u16(2), part.skip(4))
    else {
        return w.refuse(DecodeEvent::VLAN_HEADER_TOO_SMALL);
    };
    w.layer()?;
    if let Some(id) = w.layers.vlan.get_mut(position) {
        *id = control & 0x0fff;
        w.layers.vlan_count += 1;
    }
    if !ethernet::network(w, ethertype, rest) {
        return w.refuse(DecodeEvent::VLAN_UNKNOWN_TYPE);
    }
    Ok(())
}
