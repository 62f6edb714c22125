//! IGMP, versions 1 to 3 (RFC 1112, 2236, 3376).

use crate::packet::{DecodeEvent, Transport};

use super::walk::{Decoded, Part, Walk};

/// Length of a message before version 3.
const HEADER_LEN: usize = 8;

/// Sources a version 3 query may name: what fits a datagram.
const SOURCES_MAX: usize = (65_535 - 24 - 12) / 4;

/// Decodes a message.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.igmp += 1;
    let Some(kind) = part.u8(0).filter(|_| part.bytes.len() >= HEADER_LEN) else {
        return w.refuse(DecodeEvent::IGMP_PKT_TOO_SMALL);
    };
    w.layers.transport = Transport::Other(2);
    w.layers.transport_offset = part.at;
    let header = match (kind, part.u16(10)) {
        (0x11, Some(sources)) => query_len(usize::from(sources)),
        (0x22, _) => report_len(part),
        _ => Ok(HEADER_LEN),
    };
    let payload = match header {
        Ok(len) if len >= usize::from(u16::MAX) => Err(DecodeEvent::IGMP_MALFORMED),
        Ok(len) => part.skip(len).ok_or(DecodeEvent::IGMP_V3_PKT_TOO_SMALL),
        Err(event) => Err(event),
    };
    match payload {
        Ok(payload) => {
            w.payload(payload);
            Ok(())
        }
        Err(event) => w.refuse(event),
    }
}

fn query_len(sources: usize) -> Result<usize, DecodeEvent> {
    if sources > SOURCES_MAX {
        Err(DecodeEvent::IGMP_MALFORMED)
    } else {
        Ok(12 + sources * 4)
    }
}

/// RFC 3376 §4.2: group records with sources and auxiliary data. Each takes at least 8 bytes.
fn report_len(part: Part<'_>) -> Result<usize, DecodeEvent> {
    let records = part.u16(6).unwrap_or(0);
    let mut len = HEADER_LEN;
    for _ in 0..records {
        let (Some(auxiliary), Some(sources)) = (
            part.u8(len + 1),
            part.u16(len + 2).filter(|_| part.bytes.len() >= len + 8),
        ) else {
            return Err(DecodeEvent::IGMP_V3_PKT_TOO_SMALL);
        };
        len += 8 + (usize::from(auxiliary) + usize::from(sources)) * 4;
        if len > part.bytes.len() {
            return Err(DecodeEvent::IGMP_MALFORMED);
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};

    #[test]
    fn messages_of_three_versions_are_read() {
        let payload = |bytes: &[u8]| only(&frame(0x0800, &ipv4(2, &[], bytes))).payload_len;
        assert_eq!(payload(&[0x16, 0, 0, 0, 224, 0, 0, 1]), 0);
        assert_eq!(
            payload(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 10, 0, 0, 1, 7]),
            1
        );
        assert_eq!(
            payload(&[
                0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 224, 0, 0, 1, 10, 0, 0, 1, 7, 7
            ]),
            2
        );
    }

    #[test]
    fn lengths_that_do_not_fit_are_events() {
        let found = |bytes: &[u8]| events(0x0800, &ipv4(2, &[], bytes));
        assert_eq!(found(&[0x16; 7]), ["decoder.igmp.pkt_too_small"]);
        assert_eq!(
            found(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ["decoder.igmp.v3_pkt_too_small"]
        );
        assert_eq!(
            found(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1]),
            ["decoder.igmp.malformed"]
        );
        assert_eq!(
            found(&[0x22, 0, 0, 0, 0, 0, 0, 1]),
            ["decoder.igmp.v3_pkt_too_small"]
        );
        assert_eq!(
            found(&[0x22, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 224, 0, 0, 1]),
            ["decoder.igmp.malformed"]
        );
    }
}
