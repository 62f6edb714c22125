//! BSD loopback: the address family as 32 bits in the capturing host's byte order (NULL) or the network's (LOOP).

use crate::packet::DecodeEvent;

use super::walk::{Decoded, Part, Walk};
use super::{ipv4, ipv6};

/// Length of the header.
const HEADER_LEN: usize = 4;

/// Decodes a frame with the family in either byte order: the file does not say whose it is.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    let Some(family) = part.bytes.first_chunk().map(|f| u32::from_le_bytes(*f)) else {
        return w.refuse(DecodeEvent::LTNULL_PKT_TOO_SMALL);
    };
    by_family(
        w,
        part,
        if family > 0xffff {
            family.swap_bytes()
        } else {
            family
        },
    )
}

/// Decodes a frame with the family in network byte order.
pub(super) fn decode_loop(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    let Some(family) = part.bytes.first_chunk().map(|f| u32::from_be_bytes(*f)) else {
        return w.refuse(DecodeEvent::LTNULL_PKT_TOO_SMALL);
    };
    by_family(w, part, family)
}

fn by_family(w: &mut Walk<'_>, part: Part<'_>, family: u32) -> Decoded {
    w.stats.null += 1;
    let Some(rest) = part.skip(HEADER_LEN) else {
        return Ok(());
    };
    match family {
        2 => {
            w.layers.ethertype = 0x0800;
            let _ = ipv4::decode(w, rest);
        }
        // AF_INET6 as Linux, Windows, BSD, Solaris, FreeBSD and Darwin number it.
        10 | 23 | 24 | 26 | 28 | 30 => {
            w.layers.ethertype = 0x86dd;
            let _ = ipv6::decode(w, rest);
        }
        _ => w.event(DecodeEvent::LTNULL_UNSUPPORTED_TYPE),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, ipv4, names};
    use crate::packet::{LinkType, Net};

    #[test]
    fn the_family_is_read_in_either_byte_order() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
            let found = decode(&[&family[..], &packet].concat(), LinkType::NULL);
            assert_eq!(found[0].net, Net::V4);
        }
        assert_eq!(
            decode(&[&[0, 0, 0, 2][..], &packet].concat(), LinkType::LOOP)[0].net,
            Net::V4
        );
        assert_eq!(
            names(&decode(&[7, 0, 0, 0], LinkType::NULL)[0]),
            ["decoder.ltnull.unsupported_type"]
        );
        assert_eq!(
            names(&decode(&[7, 0], LinkType::NULL)[0]),
            ["decoder.ltnull.pkt_too_small"]
        );
    }
}
