//! TCP (RFC 9293 §3.1) with its options.

use crate::packet::{DecodeEvent, Net, Tcp, TcpFlags, Transport};

use super::checksum::pseudo;
use super::walk::{Decoded, Part, Walk};

/// Length of a header without options.
const HEADER_LEN: usize = 20;

/// Largest window scale (RFC 7323 §2.3).
const WINDOW_SCALE_MAX: u8 = 14;

/// Magic of a fast open cookie in an experimental option (RFC 7413 appendix A).
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

/// Decodes a segment.
#[inline]
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.tcp += 1;
    let Some(h) = part.bytes.first_chunk::<HEADER_LEN>() else {
        return w.refuse(DecodeEvent::TCP_PKT_TOO_SMALL);
    };
    let header_len = usize::from(h[12] >> 4) * 4;
    if part.bytes.len() < header_len {
        return w.refuse(DecodeEvent::TCP_HLEN_TOO_SMALL);
    }
    let (Some(options), Some(payload)) = (
        part.bytes.get(HEADER_LEN..header_len),
        part.skip(header_len),
    ) else {
        return w.refuse(DecodeEvent::TCP_INVALID_OPTLEN);
    };
    let tcp = &mut w.layers.tcp;
    tcp.seq = u32::from_be_bytes([h[4], h[5], h[6], h[7]]);
    tcp.ack = u32::from_be_bytes([h[8], h[9], h[10], h[11]]);
    tcp.flags = TcpFlags(h[13]);
    tcp.reserved = h[12] & 0x0f;
    tcp.window = u16::from_be_bytes([h[14], h[15]]);
    tcp.urgent = u16::from_be_bytes([h[18], h[19]]);
    w.layers.transport = Transport::Tcp;
    w.layers.transport_offset = part.at;
    w.layers.sport = u16::from_be_bytes([h[0], h[1]]);
    w.layers.dport = u16::from_be_bytes([h[2], h[3]]);
    w.layers.has_flow = true;
    w.payload(payload);
    if !options.is_empty() && !timestamps_only(options, &mut w.layers.tcp) {
        parse_options(w, options);
    }
    w.verify_transport(6, part.bytes, [h[16], h[17]]);
    Ok(())
}

impl Walk<'_> {
    /// Checks the checksum of a segment that has a pseudo-header.
    #[inline]
    pub(super) fn verify_transport(&mut self, protocol: u8, segment: &[u8], field: [u8; 2]) {
        if !self.verify {
            return;
        }
        let ip = self
            .frame
            .get(self.layers.network_offset as usize..)
            .unwrap_or_default();
        let addresses = match self.layers.net {
            Net::V4 => ip.get(12..20),
            Net::V6 => ip.get(8..40),
            _ => None,
        };
        let Some(addresses) = addresses else { return };
        let pseudo = pseudo(addresses, protocol, segment.len());
        self.layers.bad_checksum = self.checksums.transport_is_wrong(pseudo, segment, field);
    }
}

/// The form nearly every segment of a connection has (RFC 7323 appendix A): two NOPs and the timestamps.
#[inline]
fn timestamps_only(options: &[u8], tcp: &mut Tcp) -> bool {
    let [1, 1, 8, 10, a, b, c, d, e, f, g, h] = *options else {
        return false;
    };
    tcp.timestamps = Some((
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    ));
    true
}

fn parse_options(w: &mut Walk<'_>, mut rest: &[u8]) {
    let mut seen = Seen::default();
    while let Some((&kind, after)) = rest.split_first() {
        match kind {
            0 => return,
            1 => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let Some(&len) = after.first() else { return };
        let Some((option, after)) = rest.split_at_checked(usize::from(len)).filter(|_| len >= 2)
        else {
            return w.invalid(DecodeEvent::TCP_OPT_INVALID_LEN);
        };
        match take(
            &mut w.layers.tcp,
            &mut seen,
            kind,
            option.get(2..).unwrap_or_default(),
        ) {
            Taken::Well => {}
            Taken::Again => w.event(DecodeEvent::TCP_OPT_DUPLICATE),
            Taken::WrongLen => w.event(DecodeEvent::TCP_OPT_INVALID_LEN),
            Taken::Invalid => w.invalid(DecodeEvent::TCP_OPT_INVALID_LEN),
        }
        rest = after;
    }
}

/// Options whose presence [`Tcp`] cannot tell from their absence.
#[derive(Default)]
struct Seen {
    window_scale: bool,
    sack: bool,
}

enum Taken {
    Well,
    Again,
    WrongLen,
    Invalid,
}

/// Takes one option's data.
fn take(tcp: &mut Tcp, seen: &mut Seen, kind: u8, data: &[u8]) -> Taken {
    match (kind, data) {
        (2, [a, b]) => once(&mut tcp.mss, u16::from_be_bytes([*a, *b])),
        (3, [scale]) => {
            if std::mem::replace(&mut seen.window_scale, true) {
                return Taken::Again;
            }
            // RFC 7323 §2.3: a larger one is an error; Suricata then takes none.
            tcp.wscale = Some(if *scale <= WINDOW_SCALE_MAX {
                *scale
            } else {
                0
            });
            Taken::Well
        }
        (4, []) => {
            if std::mem::replace(&mut tcp.sack_permitted, true) {
                return Taken::Again;
            }
            Taken::Well
        }
        // An empty one is useless but common.
        (5, []) => Taken::Well,
        (5, blocks) if blocks.len() % 8 == 0 && blocks.len() <= 32 => {
            if std::mem::replace(&mut seen.sack, true) {
                return Taken::Again;
            }
            tcp.sack_blocks = (blocks.len() / 8) as u8;
            Taken::Well
        }
        (8, [a, b, c, d, e, f, g, h]) => once(
            &mut tcp.timestamps,
            (
                u32::from_be_bytes([*a, *b, *c, *d]),
                u32::from_be_bytes([*e, *f, *g, *h]),
            ),
        ),
        (34, cookie) if cookie.len() <= 16 && cookie.len() % 2 == 0 => {
            once(&mut tcp.fast_open, cookie.len() as u8)
        }
        (253 | 254, data) if data.len() == 2 || data.len() == 10 => {
            if data.first_chunk() == Some(&FAST_OPEN_MAGIC) {
                return once(&mut tcp.fast_open, (data.len() - 2) as u8);
            }
            Taken::Well
        }
        (2 | 3 | 4 | 5 | 8 | 34 | 253 | 254, _) => Taken::WrongLen,
        // RFC 2385: the digest has 16 bytes. RFC 5925 §2.2: key ids at least.
        (19, data) if data.len() != 16 => Taken::Invalid,
        (29, data) if data.len() < 2 => Taken::Invalid,
        _ => Taken::Well,
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Taken {
    if slot.is_some() {
        return Taken::Again;
    }
    *slot = Some(value);
    Taken::Well
}

#[cfg(test)]
mod tests {
    use super::super::tests::{frame, ipv4, names, only};
    use crate::packet::{Layers, Transport};

    fn segment(options: &[u8]) -> Layers {
        let words = ((20 + options.len()) / 4) as u8;
        let mut tcp = vec![
            0,
            80,
            4,
            0,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            2,
            words << 4,
            0x12,
            1,
            0,
            0,
            0,
            0,
            0,
        ];
        tcp.extend_from_slice(options);
        only(&frame(0x0800, &ipv4(6, &[], &tcp)))
    }

    #[test]
    fn options_are_read() {
        let layers = segment(&[
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7, 34, 4, 1, 2,
        ]);
        let tcp = layers.tcp;
        assert_eq!(
            (tcp.mss, tcp.wscale, tcp.sack_permitted),
            (Some(1460), Some(7), true)
        );
        assert_eq!((tcp.timestamps, tcp.fast_open), (Some((1, 2)), Some(2)));
        assert!(layers.events.is_empty());
        assert_eq!(
            segment(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
                .tcp
                .timestamps,
            Some((1, 2))
        );
        assert_eq!(
            segment(&[1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4])
                .tcp
                .sack_blocks,
            2
        );
    }

    #[test]
    fn faulty_options_are_events_and_the_segment_still_has_a_flow() {
        let twice = segment(&[2, 4, 5, 0xb4, 2, 4, 0, 1]);
        assert_eq!(
            (names(&twice), twice.tcp.mss),
            (vec!["decoder.tcp.opt_duplicate"], Some(1460))
        );
        assert_eq!(
            names(&segment(&[3, 4, 5, 0])),
            ["decoder.tcp.opt_invalid_len"]
        );
        let beyond = segment(&[8, 10, 0, 0]);
        assert_eq!(names(&beyond), ["decoder.tcp.opt_invalid_len"]);
        assert!(beyond.invalid && beyond.has_flow);
        assert!(segment(&[19, 4, 0, 0]).invalid);
        assert_eq!(segment(&[3, 3, 15, 0]).tcp.wscale, Some(0));
    }

    #[test]
    fn cut_headers_have_no_transport() {
        let mut tcp = [0u8; 20];
        tcp[12] = 0xf0;
        let layers = only(&frame(0x0800, &ipv4(6, &[], &tcp)));
        assert_eq!(
            (names(&layers), layers.transport),
            (vec!["decoder.tcp.hlen_too_small"], Transport::None)
        );
        tcp[12] = 0x40;
        assert_eq!(
            names(&only(&frame(0x0800, &ipv4(6, &[], &tcp)))),
            ["decoder.tcp.invalid_optlen"]
        );
        assert_eq!(
            names(&only(&frame(0x0800, &ipv4(6, &[], &tcp[..19])))),
            ["decoder.tcp.pkt_too_small"]
        );
    }
}
