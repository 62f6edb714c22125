//! What the protocols of a link say about who is who, in a few numbers: ARP, IPv6 router advertisements, and a hash of a
//! frame.
//!
//! Pure functions of bytes, called for packets of those protocols only. What does not read as its protocol gives nothing.
//! Sources: RFC 826, RFC 4861 §4.2 and §4.6.

use std::net::Ipv4Addr;

use super::first_bytes::hash;

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Whether it asks; otherwise it answers.
    pub request: bool,
    /// Hardware address of the sender.
    pub sender_mac: u64,
    /// Address of the sender.
    pub sender: Ipv4Addr,
    /// Address asked for or answered.
    pub target: Ipv4Addr,
}

/// Reads ARP.
pub fn arp(bytes: &[u8]) -> Option<Arp> {
    let [0, 1, 8, 0, 6, 4, 0, operation @ (1 | 2)] = bytes.first_chunk::<8>()? else {
        return None;
    };
    Some(Arp {
        request: *operation == 1,
        sender_mac: mac(bytes.get(8..)?)?,
        sender: Ipv4Addr::from(*bytes.get(14..)?.first_chunk::<4>()?),
        target: Ipv4Addr::from(*bytes.get(24..)?.first_chunk::<4>()?),
    })
}

/// A hardware address as a number.
pub fn mac(bytes: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, f] = *bytes.first_chunk::<6>()?;
    Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// A hardware address as people write it.
pub fn mac_text(mac: u64) -> String {
    let [_, _, a, b, c, d, e, f] = mac.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// Hardware addresses that stand for an address, not for a host, and move between hosts on purpose: VRRP (RFC 9568
/// §7.3), HSRP, GLBP.
pub fn is_virtual(mac: u64) -> bool {
    mac >> 8 == 0x00_00_5e_00_01
        || mac >> 8 == 0x00_00_5e_00_02
        || mac >> 8 == 0x00_00_0c_07_ac
        || mac >> 12 == 0x0_0000_c9ff
        || mac >> 24 == 0x00_07_b4
}

/// A router advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterAdvert {
    /// Whether it wants to be a default router (its lifetime is not zero).
    pub default_router: bool,
    /// Hash of the prefixes it announces.
    pub prefixes: u32,
}

/// Reads the body of an ICMPv6 message of type 134, from behind the checksum on.
pub fn router_advert(body: &[u8]) -> Option<RouterAdvert> {
    let lifetime = u16::from_be_bytes(*body.get(2..)?.first_chunk::<2>()?);
    let mut rest = body.get(12..)?;
    let mut prefixes = 0u64;
    while let [kind, units, ..] = rest {
        if *units == 0 {
            break;
        }
        let Some((option, after)) = rest.split_at_checked(usize::from(*units) * 8) else {
            break;
        };
        if *kind == 3
            && let (Some(len), Some(prefix)) = (option.get(2), option.get(16..32))
        {
            prefixes ^= hash(prefix).rotate_left(u32::from(*len));
        }
        rest = after;
    }
    Some(RouterAdvert {
        default_router: lifetime > 0,
        prefixes: (prefixes ^ (prefixes >> 32)) as u32,
    })
}

/// Hash of the first bytes of a frame: the same frame again has the same, because the identification and checksums of IP
/// differ from packet to packet.
pub fn frame_hash(frame: &[u8]) -> u64 {
    let head = frame.get(..96.min(frame.len())).unwrap_or(frame);
    hash(head) ^ (frame.len() as u64).rotate_left(48)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arp_answer_names_who_claims_what() {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 2];
        bytes.extend([2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 2, 0, 0, 0, 0, 5, 10, 0, 0, 5]);
        let arp = arp(&bytes).expect("ARP");
        assert!(!arp.request);
        assert_eq!(mac_text(arp.sender_mac), "02:00:00:00:00:09");
        assert_eq!(
            (arp.sender, arp.target),
            (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 5))
        );
        for cut in 0..bytes.len() {
            super::arp(&bytes[..cut]);
        }
    }

    #[test]
    fn an_advertisement_without_lifetime_is_no_router() {
        let mut body = vec![64, 0, 0, 0];
        body.extend([0; 8]);
        body.extend([3, 4, 64, 0xc0]);
        body.extend([0; 28]);
        assert_eq!(
            router_advert(&body).map(|ra| ra.default_router),
            Some(false)
        );
        body[3] = 30;
        assert_eq!(router_advert(&body).map(|ra| ra.default_router), Some(true));
    }

    #[test]
    fn virtual_routers_may_move() {
        assert!(is_virtual(0x0000_5e00_0107) && is_virtual(0x0000_0c9f_f123));
        assert!(!is_virtual(0x0200_0000_0001));
    }
}
