//! FTP commands, and how a line is read as one (RFC 959, 2228, 2428, 3659).
//!
//! The name may stand anywhere in the line, in any case, as Suricata finds it: what ends first is the command.

/// Every command that makes a transaction.
pub(super) const NAMES: &[&str] = &[
    "ABOR", "ACCT", "ALLO", "APPE", "AUTH_TLS", "CDUP", "CHMOD", "CWD", "DELE", "EPRT", "EPSV",
    "HELP", "IDLE", "LIST", "MAIL", "MDTM", "MKD", "MLFL", "MLSD", "MODE", "MRCP", "MRSQ", "MSAM",
    "MSND", "MSOM", "NLST", "NOOP", "PASS", "PASV", "PORT", "PWD", "QUIT", "REIN", "REST", "RETR",
    "RMD", "RNFR", "RNTO", "SITE", "SIZE", "SMNT", "STAT", "STOR", "STOU", "STRU", "SYST", "TYPE",
    "UMASK", "USER",
];

/// Length of the shortest name.
const SHORTEST: usize = 3;

/// The command of a line.
pub(super) fn of_line(line: &[u8]) -> Option<&'static str> {
    let mut found: Option<(usize, &'static str)> = None;
    for (at, first) in line.iter().enumerate() {
        if found.is_some_and(|(end, _)| at + SHORTEST >= end) {
            break;
        }
        let first = first.to_ascii_uppercase();
        if !first.is_ascii_uppercase() {
            continue;
        }
        let begin =
            NAMES.partition_point(|name| name.as_bytes().first().is_some_and(|b| *b < first));
        let rest = line.get(at..).unwrap_or_default();
        for name in NAMES.get(begin..).unwrap_or_default() {
            let bytes = name.as_bytes();
            if bytes.first() != Some(&first) {
                break;
            }
            let end = at + bytes.len();
            if rest
                .get(..bytes.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(bytes))
                && found.is_none_or(|(best, _)| end < best)
            {
                found = Some((end, name));
            }
        }
    }
    found.map(|(_, name)| name)
}

/// Whether the line asks for TLS (RFC 4217 §4).
pub(super) fn asks_for_tls(line: &[u8]) -> bool {
    line.get(..8)
        .is_some_and(|l| l.eq_ignore_ascii_case(b"AUTH TLS") || l.eq_ignore_ascii_case(b"AUTH SSL"))
}

/// Whether data is sent by the client.
pub(super) fn is_upload(command: &str) -> bool {
    matches!(command, "STOR" | "APPE" | "STOU")
}

/// The port of a PORT command's argument: `h1,h2,h3,h4,p1,p2`.
pub(super) fn port_of_six(argument: &[u8]) -> Option<u16> {
    let mut parts = argument.trim_ascii().splitn(6, |b| *b == b',');
    for _ in 0..4 {
        let part = parts.next()?.trim_ascii();
        if part.is_empty() || !part.iter().all(u8::is_ascii_digit) {
            return None;
        }
    }
    let (high, low) = (byte(parts.next()?)?, byte(parts.next()?)?);
    Some(u16::from_be_bytes([high, low])).filter(|port| *port != 0)
}

fn byte(part: &[u8]) -> Option<u8> {
    number(part).and_then(|n| u8::try_from(n).ok())
}

/// The digits at the front, after white space.
fn number(part: &[u8]) -> Option<u16> {
    let part = part.trim_ascii_start();
    let digits = part
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(part.len());
    std::str::from_utf8(part.get(..digits)?).ok()?.parse().ok()
}

/// The port of a reply to PASV: `227 … (h1,h2,h3,h4,p1,p2)`.
pub(super) fn port_of_pasv(reply: &[u8]) -> Option<u16> {
    let inside = reply.split(|b| *b == b'(').nth(1)?;
    inside
        .contains(&b')')
        .then(|| port_of_six(inside.split(|b| *b == b')').next()?))?
}

/// The port of a reply to EPSV: `229 … (|||port|)` (RFC 2428 §3).
pub(super) fn port_of_epsv(reply: &[u8]) -> Option<u16> {
    let at = memchr::memmem::find(reply, b"|||")?;
    let rest = reply.get(at + 3..)?;
    let end = memchr::memmem::find(rest, b"|)")?;
    number(rest.get(..end)?).filter(|port| *port != 0)
}

/// The port of an EPRT command: `EPRT |af|address|port|` (RFC 2428 §2).
pub(super) fn port_of_eprt(line: &[u8]) -> Option<u16> {
    number(line.split(|b| *b == b'|').nth(3)?).filter(|port| *port != 0)
}

/// The four numbers of the address in a PORT command.
pub(super) fn address_of_port(line: &[u8]) -> Option<[u8; 4]> {
    let at = line.iter().position(u8::is_ascii_digit)?;
    let mut parts = line.get(at..)?.split(|b| *b == b',');
    let mut address = [0; 4];
    for octet in &mut address {
        *octet = byte(parts.next()?)?;
    }
    parts.next().map(|_| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_their_first_letter() {
        assert!(NAMES.is_sorted_by_key(|name| name.as_bytes()[0]));
    }

    #[test]
    fn the_name_that_ends_first_is_the_command() {
        assert_eq!(of_line(b"USER anonymous"), Some("USER"));
        assert_eq!(of_line(b"site chmod 777 x"), Some("SITE"));
        assert_eq!(of_line(b"XMKD dir"), Some("MKD"));
        assert_eq!(of_line(b"FEAT"), None);
        assert_eq!(of_line(b""), None);
        assert_eq!(of_line(&[b'M'; 4096]), None);
    }

    #[test]
    fn ports_are_read_in_every_form() {
        assert_eq!(port_of_six(b"192,168,0,13,234,10"), Some(59_914));
        assert_eq!(port_of_six(b"212,27,32,66,257,243"), None);
        assert_eq!(
            port_of_pasv(b"227 Entering Passive Mode (212,27,32,66,221,243)."),
            Some(56_819)
        );
        assert_eq!(
            port_of_pasv(b"227 Entering Passive Mode (212,27,32,66,255,65535)."),
            None
        );
        assert_eq!(
            port_of_epsv(b"229 Entering Extended Passive Mode (|||48758|)"),
            Some(48_758)
        );
        assert_eq!(port_of_eprt(b"EPRT |2|2a01:e34::6301|41813|"), Some(41_813));
        assert_eq!(port_of_eprt(b"EPRT |2|2a01:e34::6301|81813|"), None);
        assert_eq!(address_of_port(b"PORT 10,0,0,9,1,2"), Some([10, 0, 0, 9]));
    }
}
