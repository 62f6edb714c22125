//! PPP over Ethernet (RFC 2516): discovery and session.

use crate::packet::DecodeEvent;

use super::ppp;
use super::walk::{Decoded, Part, Walk};

/// Version and type, code, session id, length.
const HEADER_LEN: usize = 6;

/// Decodes a discovery packet: its code and the length of its tags.
pub(super) fn discovery(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.pppoe += 1;
    let (Some(code), Some(len), Some(rest)) = (part.u8(1), part.u16(4), part.skip(HEADER_LEN))
    else {
        return w.refuse(DecodeEvent::PPPOE_PKT_TOO_SMALL);
    };
    // PADI, PADO, PADR, PADS, PADT.
    if !matches!(code, 0x09 | 0x07 | 0x19 | 0x65 | 0xa7) {
        w.invalid(DecodeEvent::PPPOE_WRONG_CODE);
    } else if usize::from(len) > rest.bytes.len() {
        w.invalid(DecodeEvent::PPPOE_MALFORMED_TAGS);
    }
    Ok(())
}

/// Decodes a session packet and the PPP frame in it, which has no HDLC framing (RFC 2516 §6).
pub(super) fn session(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.pppoe += 1;
    let (Some(len), Some(rest)) = (
        part.u16(4),
        part.skip(HEADER_LEN).filter(|rest| !rest.bytes.is_empty()),
    ) else {
        return w.refuse(DecodeEvent::PPPOE_PKT_TOO_SMALL);
    };
    if len == 0 {
        return Ok(());
    }
    let Some((protocol, rest)) = ppp::protocol(rest) else {
        return w.refuse(DecodeEvent::PPPOE_PKT_TOO_SMALL);
    };
    // What is wrong inside is in the events.
    let _ = ppp::carried(w, protocol, rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};
    use crate::packet::Net;

    #[test]
    fn a_session_carries_ip() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let session = [&[0x11, 0, 0, 1, 0, 30, 0, 0x21][..], &packet].concat();
        assert_eq!(only(&frame(0x8864, &session)).net, Net::V4);
    }

    #[test]
    fn faults_of_discovery_and_session_are_events() {
        assert_eq!(events(0x8863, &[0x11, 9, 0, 0, 0, 0]), [""; 0]);
        assert_eq!(
            events(0x8863, &[0x11, 8, 0, 0, 0, 0]),
            ["decoder.pppoe.wrong_code"]
        );
        assert_eq!(
            events(0x8863, &[0x11, 9, 0, 0, 0, 1]),
            ["decoder.pppoe.malformed_tags"]
        );
        assert_eq!(
            events(0x8863, &[0x11, 9, 0, 0, 0]),
            ["decoder.pppoe.pkt_too_small"]
        );
        assert_eq!(
            events(0x8864, &[0x11, 0, 0, 1, 0, 2]),
            ["decoder.pppoe.pkt_too_small"]
        );
    }
}
