//! Names of services that carry the traffic of others (VPN, P2P): from the server name of a ClientHello and from the
//! names of a certificate, both in the clear up to TLS 1.2 (RFC 6066 §3, RFC 5280 §4.2.1.6).
//!
//! Reads single segments only, and no more than [`super::first_bytes::LOOK`] bytes of each.
//! The list is of names that the programs of these services call, as far as their documentation and their published
//! certificates say; it cannot be complete. A visit to the web site of a service that uses the same name counts too.

use super::first_bytes::FirstBytes;

/// Ends of names, with what they stand for.
const NAMES: &[(&[u8], FirstBytes)] = &[
    (b"anchorfree.us", FirstBytes::VpnService),
    (b"cloudflareclient.com", FirstBytes::VpnService),
    (b"cyberghostvpn.com", FirstBytes::VpnService),
    (b"expressvpn.com", FirstBytes::VpnService),
    (b"getlantern.org", FirstBytes::VpnService),
    (b"hide.me", FirstBytes::VpnService),
    (b"hidemyass.com", FirstBytes::VpnService),
    (b"hola.org", FirstBytes::VpnService),
    (b"hotspotshield.com", FirstBytes::VpnService),
    (b"ipvanish.com", FirstBytes::VpnService),
    (b"ivpn.net", FirstBytes::VpnService),
    (b"mullvad.net", FirstBytes::VpnService),
    (b"nordvpn.com", FirstBytes::VpnService),
    (b"northghost.com", FirstBytes::VpnService),
    (b"polargrizzly.com", FirstBytes::VpnService),
    (b"privateinternetaccess.com", FirstBytes::VpnService),
    (b"protonvpn.com", FirstBytes::VpnService),
    (b"protonvpn.ch", FirstBytes::VpnService),
    (b"psiphon.ca", FirstBytes::VpnService),
    (b"psiphon3.com", FirstBytes::VpnService),
    (b"psiphon3.net", FirstBytes::VpnService),
    (b"purevpn.com", FirstBytes::VpnService),
    (b"surfshark.com", FirstBytes::VpnService),
    (b"tunnelbear.com", FirstBytes::VpnService),
    (b"ultrasurf.us", FirstBytes::VpnService),
    (b"windscribe.com", FirstBytes::VpnService),
    (b"bittorrent.com", FirstBytes::P2pService),
    (b"libtorrent.org", FirstBytes::P2pService),
    (b"transmissionbt.com", FirstBytes::P2pService),
    (b"utorrent.com", FirstBytes::P2pService),
];

/// Certificates of TLS tunnels that name their maker, and the port on which the tunnel is offered by default.
const MAKERS: &[(&[u8], u16)] = &[(b"FortiGate", 10_443)];

/// What a name stands for.
fn of_name(name: &[u8]) -> Option<FirstBytes> {
    NAMES.iter().find_map(|(end, stands_for)| {
        let before = name.len().checked_sub(end.len())?;
        let (head, tail) = name.split_at(before);
        let whole = head.is_empty() || head.ends_with(b".");
        (whole && tail.eq_ignore_ascii_case(end)).then_some(*stands_for)
    })
}

/// What the server name of a ClientHello stands for.
pub fn of_hello(hello: &[u8]) -> Option<FirstBytes> {
    of_name(server_name(hello)?)
}

/// What the certificate in a segment of a server stands for.
pub fn of_certificate(segment: &[u8], port: u16) -> Option<FirstBytes> {
    // dNSName is context tag 2 of a GeneralName, then a length below 128.
    let by_name = memchr::memchr_iter(0x82, segment).find_map(|at| {
        let (len, name) = segment.get(at + 1..)?.split_first()?;
        of_name(name.get(..usize::from(*len))?)
    });
    by_name.or_else(|| {
        MAKERS
            .iter()
            .any(|(maker, on)| *on == port && memchr::memmem::find(segment, maker).is_some())
            .then_some(FirstBytes::VpnService)
    })
}

/// The server name of a ClientHello (RFC 8446 §4.1.2, RFC 6066 §3).
pub fn server_name(hello: &[u8]) -> Option<&[u8]> {
    // Record header (5), handshake header (4), version (2), random (32).
    let [0x16, 3, _, _, _, 1, ..] = hello else {
        return None;
    };
    let rest = hello.get(43..)?;
    let (len, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(*len)..)?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*len))..)?;
    let (len, rest) = rest.split_first()?;
    let mut rest = rest.get(usize::from(*len) + 2..)?;
    loop {
        let [a, b, c, d, tail @ ..] = rest else {
            return None;
        };
        let len = usize::from(u16::from_be_bytes([*c, *d]));
        if (*a, *b) == (0, 0) {
            // Length of the list (2), type host_name, length of the name (2).
            let [_, _, 0, e, f, name @ ..] = tail else {
                return None;
            };
            return name.get(..usize::from(u16::from_be_bytes([*e, *f])));
        }
        rest = tail.get(len..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: &[u8]) -> Vec<u8> {
        let mut out = vec![0x16, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
        out.extend([7; 32]);
        out.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 0]);
        // An extension before the name.
        out.extend([0, 23, 0, 0]);
        out.extend([0, 0, 0, name.len() as u8 + 5, 0, name.len() as u8 + 3, 0, 0]);
        out.push(name.len() as u8);
        out.extend(name);
        out
    }

    #[test]
    fn a_service_is_known_by_the_end_of_its_name() {
        assert_eq!(
            of_hello(&hello(b"api.NordVPN.com")),
            Some(FirstBytes::VpnService)
        );
        assert_eq!(of_hello(&hello(b"notnordvpn.com")), None);
        assert_eq!(of_hello(&hello(b"nordvpn.com.example.org")), None);
        let mut certificate = vec![0x30, 0x82, 0x01, 0x11, 0x82, 14];
        certificate.extend(b"*.utorrent.com");
        assert_eq!(
            of_certificate(&certificate, 443),
            Some(FirstBytes::P2pService)
        );
    }

    #[test]
    fn a_cut_hello_gives_nothing_and_breaks_nothing() {
        let whole = hello(b"api.nordvpn.com");
        for end in 0..whole.len() {
            assert_eq!(of_hello(whole.get(..end).unwrap_or_default()), None);
        }
        assert_eq!(of_certificate(&[0x82], 443), None);
    }
}
