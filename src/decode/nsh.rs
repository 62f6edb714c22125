//! Network service header (RFC 8300).

use crate::packet::DecodeEvent;

use super::walk::{Decoded, Part, Walk};
use super::{ethernet, ipv4, ipv6, mpls};

/// Base header and service path header.
const HEADER_LEN: usize = 8;

/// Decodes a header.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.nsh += 1;
    let Some([b0, b1, kind, next, ..]) = part.bytes.first_chunk::<HEADER_LEN>().copied() else {
        return w.refuse(DecodeEvent::NSH_HEADER_TOO_SMALL);
    };
    w.layer()?;
    if b0 >> 6 != 0 {
        w.event(DecodeEvent::NSH_UNSUPPORTED_VERSION);
        return Ok(());
    }
    let len = usize::from(u16::from_be_bytes([b0, b1]) & 0x3f) * 4;
    let Some(rest) = part.skip(len).filter(|rest| !rest.bytes.is_empty()) else {
        return w.refuse(DecodeEvent::NSH_BAD_HEADER_LENGTH);
    };
    match kind {
        0 | 0x0f => {
            w.event(DecodeEvent::NSH_RESERVED_TYPE);
            return Ok(());
        }
        // MD type 1 has four context headers of 4 bytes, always.
        1 if len != 24 => return w.refuse(DecodeEvent::NSH_BAD_HEADER_LENGTH),
        1 | 2 => {}
        _ => {
            w.event(DecodeEvent::NSH_UNSUPPORTED_TYPE);
            return Ok(());
        }
    }
    match next {
        1 => ipv4::decode(w, rest),
        2 => ipv6::decode(w, rest),
        3 => ethernet::decode(w, rest),
        5 => mpls::decode(w, rest),
        _ => {
            w.event(DecodeEvent::NSH_UNKNOWN_PAYLOAD);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};
    use crate::packet::Net;

    #[test]
    fn the_payload_follows_the_context_headers() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let header = [&[0, 6, 1, 1][..], &[0; 20]].concat();
        assert_eq!(
            only(&frame(0x894f, &[&header[..], &packet].concat())).net,
            Net::V4
        );
    }

    #[test]
    fn each_fault_has_its_event() {
        let with = |head: [u8; 4], len: usize| events(0x894f, &[&head[..], &vec![0; len]].concat());
        assert_eq!(with([0, 6, 1, 1], 2), ["decoder.nsh.header_too_small"]);
        assert_eq!(
            with([0x40, 6, 1, 1], 30),
            ["decoder.nsh.unsupported_version"]
        );
        assert_eq!(with([0, 6, 1, 1], 20), ["decoder.nsh.bad_header_length"]);
        assert_eq!(with([0, 5, 1, 1], 30), ["decoder.nsh.bad_header_length"]);
        assert_eq!(with([0, 6, 0, 1], 30), ["decoder.nsh.reserved_type"]);
        assert_eq!(with([0, 6, 3, 1], 30), ["decoder.nsh.unsupported_type"]);
        assert_eq!(with([0, 6, 2, 9], 30), ["decoder.nsh.unknown_payload"]);
    }
}
