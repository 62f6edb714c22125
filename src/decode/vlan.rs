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

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};

    #[test]
    fn three_tags_are_kept_and_a_fourth_is_an_event() {
        let mut payload = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let mut ethertype = [8, 0];
        for id in [3u16, 2, 1] {
            payload = [&id.to_be_bytes()[..], &ethertype, &payload].concat();
            ethertype = [0x81, 0];
        }
        let layers = only(&frame(0x88a8, &payload));
        assert_eq!(
            (layers.vlan, layers.vlan_count, layers.ethertype),
            ([1, 2, 3], 3, 0x0800)
        );
        assert!(layers.has_flow);
        let deeper = [&[0x20, 9, 0x81, 0][..], &payload].concat();
        assert_eq!(events(0x8100, &deeper), ["decoder.vlan.too_many_layers"]);
    }

    #[test]
    fn cut_tags_and_unknown_types_are_events() {
        assert_eq!(
            events(0x8100, &[0, 1, 8]),
            ["decoder.vlan.header_too_small"]
        );
        let unknown = events(0x8100, &[0, 1, 0x12, 0x34]);
        assert_eq!(
            unknown,
            [
                "decoder.ethernet.unknown_ethertype",
                "decoder.vlan.unknown_type"
            ]
        );
    }
}
