//! Whose password a client tries: the account named in its payload, as a hash, for [`super::password_spray`].
//!
//! One small state a flow ([`Account`]); payloads are read once, no more than [`LOOK`] bytes of each. Names are compared
//! without case. What is encrypted has no account here (SSH, TLS); Telnet types its names letter by letter and has none.
//!
//! Sources: RFC 959 §4.1.1, RFC 1939 §7, RFC 3501 §6.2.3, RFC 4954 §4 with RFC 4616, RFC 7617 §2, RFC 4511 §4.2,
//! RFC 4120 §5.2.2, MS-NLMP §2.2.1.3, MS-RDPBCGR §2.2.1.1, MQTT 3.1.1 §3.1, the protocols of MySQL (handshake response 41)
//! and PostgreSQL (startup message).

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Bytes of a payload that are read.
const LOOK: usize = 2_048;
/// Bytes of a name that count.
const NAME: usize = 64;

/// What is known of the account of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Hash of the last name, 0 for none.
    pub hash: u32,
    /// The next line of the client is a name (SMTP `AUTH LOGIN`).
    name_next: bool,
}

impl Account {
    /// Takes a payload of the client.
    pub fn client(&mut self, payload: &[u8], port: u16) {
        let bytes = payload.get(..LOOK.min(payload.len())).unwrap_or(payload);
        let found = match port {
            21 | 990 | 2121 | 110 | 995 => after(bytes, b"USER ").map(hash),
            143 | 993 => imap(bytes),
            25 | 465 | 587 => self.smtp(bytes),
            3306 => mysql(bytes),
            5432 => postgres(bytes),
            1883 => mqtt(bytes),
            389 | 3268 => ldap(bytes),
            88 => kerberos(bytes),
            139 | 445 => ntlm(bytes),
            3389 => field(bytes, &WORDS.cookie).map(hash),
            _ => http(bytes),
        };
        if let Some(found) = found {
            self.hash = found;
        }
    }

    fn smtp(&mut self, bytes: &[u8]) -> Option<u32> {
        if std::mem::take(&mut self.name_next) {
            return Some(hash(&base64(line(bytes))?));
        }
        let mechanism = after(bytes, b"AUTH ")?;
        if let Some(given) = after(mechanism, b"PLAIN ") {
            // authorization identity, NUL, name, NUL, password
            let plain = base64(given)?;
            return plain.split(|b| *b == 0).nth(1).map(hash);
        }
        if let Some(given) = after(mechanism, b"LOGIN ") {
            return Some(hash(&base64(given)?));
        }
        self.name_next = mechanism.eq_ignore_ascii_case(b"LOGIN");
        None
    }
}

/// Hash of a name, never 0.
fn hash(name: &[u8]) -> u32 {
    let name = name.get(..NAME.min(name.len())).unwrap_or(name);
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    });
    ((hash ^ (hash >> 32)) as u32) | 1
}

/// The first line, without its end.
fn line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

/// What follows a word at the beginning of a line, without case.
fn after<'a>(bytes: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line(bytes).split_at_checked(word.len())?;
    (head.eq_ignore_ascii_case(word) && !rest.is_empty()).then_some(rest)
}

/// What is searched in payloads, made ready once: that costs more than a search.
#[derive(Debug)]
struct Words {
    basic: Finder<'static>,
    names: [Finder<'static>; 6],
    cookie: Finder<'static>,
    ntlm: Finder<'static>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    basic: Finder::new("Authorization: Basic "),
    names: [
        "username=",
        "user=",
        "login=",
        "email=",
        "log=",
        "\"username\":\"",
    ]
    .map(Finder::new),
    cookie: Finder::new("mstshash="),
    ntlm: Finder::new(b"NTLMSSP\0\x03\0\0\0"),
});

/// The value behind a name up to `&`, white space or a quotation mark.
fn field<'a>(bytes: &'a [u8], name: &Finder<'_>) -> Option<&'a [u8]> {
    let rest = bytes.get(name.find(bytes)? + name.needle().len()..)?;
    let end = rest
        .iter()
        .position(|b| matches!(b, b'&' | b' ' | b'\r' | b'\n' | b'"' | b';'))
        .unwrap_or(rest.len());
    rest.get(..end).filter(|value| !value.is_empty())
}

fn imap(bytes: &[u8]) -> Option<u32> {
    let mut words = line(bytes).split(|b| *b == b' ');
    let verb = words.nth(1)?;
    let name = words.next()?;
    verb.eq_ignore_ascii_case(b"LOGIN").then(|| {
        hash(
            name.trim_ascii()
                .strip_prefix(b"\"")
                .map_or(name, |n| n.strip_suffix(b"\"").unwrap_or(n)),
        )
    })
}

fn http(bytes: &[u8]) -> Option<u32> {
    if let Some(given) = field(bytes, &WORDS.basic) {
        let plain = base64(given)?;
        return plain.split(|b| *b == b':').next().map(hash);
    }
    if !super::first_bytes::is_http_request(bytes) && !bytes.contains(&b'=') {
        return None;
    }
    WORDS
        .names
        .iter()
        .find_map(|name| field(bytes, name))
        .map(hash)
}

fn mysql(bytes: &[u8]) -> Option<u32> {
    // Header of 4 bytes with sequence number 1, then 32 bytes of capabilities, sizes and zeros.
    let [_, _, 0, 1, caps_low, caps_high, ..] = bytes else {
        return None;
    };
    let protocol_41 = u16::from_le_bytes([*caps_low, *caps_high]) & 0x0200 != 0;
    let name = bytes.get(36..)?.split(|b| *b == 0).next()?;
    (protocol_41 && !name.is_empty()).then(|| hash(name))
}

fn postgres(bytes: &[u8]) -> Option<u32> {
    if bytes.get(4..8)? != [0, 3, 0, 0] {
        return None;
    }
    let mut words = bytes.get(8..)?.split(|b| *b == 0);
    loop {
        let (key, value) = (words.next()?, words.next()?);
        if key.is_empty() {
            return None;
        }
        if key == b"user" {
            return Some(hash(value));
        }
    }
}

fn mqtt(bytes: &[u8]) -> Option<u32> {
    let (0x10, mut rest) = (*bytes.first()?, bytes.get(1..)?) else {
        return None;
    };
    for _ in 0..4 {
        let (byte, after) = rest.split_first()?;
        rest = after;
        if byte & 0x80 == 0 {
            break;
        }
    }
    fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let len = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        let (text, after) = rest.get(2..)?.split_at_checked(len)?;
        *rest = after;
        Some(text)
    }
    text(&mut rest)?;
    let flags = *rest.get(1)?;
    rest = rest.get(4..)?;
    text(&mut rest)?;
    if flags & 4 != 0 {
        text(&mut rest)?;
        text(&mut rest)?;
    }
    (flags & 0x80 != 0).then(|| text(&mut rest).map(hash))?
}

fn ldap(bytes: &[u8]) -> Option<u32> {
    // BindRequest: application 0, version 3, the name as an octet string. Short lengths only.
    let at = bytes
        .windows(7)
        .take(32)
        .position(|w| matches!(w, [0x60, _, 2, 1, 3, 4, 1..=0x7f]))?;
    let len = usize::from(*bytes.get(at + 6)?);
    bytes.get(at + 7..at + 7 + len).map(hash)
}

fn kerberos(bytes: &[u8]) -> Option<u32> {
    // The first name of one part: [1] { SEQUENCE { GeneralString } }.
    let at = bytes.windows(6).position(|w| {
        matches!(w, [0xa1, outer, 0x30, inner, 0x1b, len]
            if *outer == inner.wrapping_add(2) && *inner == len.wrapping_add(2) && *len > 0)
    })?;
    let len = usize::from(*bytes.get(at + 5)?);
    bytes.get(at + 6..at + 6 + len).map(hash)
}

fn ntlm(bytes: &[u8]) -> Option<u32> {
    let message = bytes.get(WORDS.ntlm.find(bytes)?..)?;
    let len = usize::from(u16::from_le_bytes(*message.get(36..)?.first_chunk()?));
    let at = u32::from_le_bytes(*message.get(40..)?.first_chunk()?) as usize;
    let name = message.get(at..at.checked_add(len)?)?;
    (!name.is_empty()).then(|| hash(name))
}

/// Base 64 of at most [`NAME`] × 2 bytes (RFC 4648 §4); what is not of its alphabet ends it.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(NAME * 2);
    let (mut held, mut bits) = (0u32, 0);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        held = held << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
        }
        if out.len() >= NAME * 2 {
            break;
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payloads: &[&[u8]], port: u16) -> u32 {
        let mut account = Account::default();
        payloads.iter().for_each(|p| account.client(p, port));
        account.hash
    }

    #[test]
    fn one_name_is_one_account_whatever_the_protocol() {
        let alice = hash(b"alice");
        assert_eq!(read(&[b"USER alice\r\n"], 21), alice);
        assert_eq!(read(&[b"user Alice\r\n"], 110), alice);
        assert_eq!(read(&[b"a1 LOGIN \"alice\" secret\r\n"], 143), alice);
        assert_eq!(read(&[b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"], 25), alice);
        assert_eq!(
            read(&[b"AUTH LOGIN\r\n", b"YWxpY2U=\r\n", b"c2VjcmV0\r\n"], 587),
            alice
        );
        let basic = b"GET / HTTP/1.1\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n";
        assert_eq!(read(&[basic], 80), alice);
        assert_eq!(
            read(&[b"POST /l HTTP/1.1\r\n\r\nuser=alice&pass=x"], 8080),
            alice
        );
        assert_eq!(
            read(&[b"\0\0\0\x20\0\x03\0\0user\0alice\0database\0x\0\0"], 5432),
            alice
        );
        assert_eq!(
            read(
                &[b"\x10\x14\0\x04MQTT\x04\xc2\0\x3c\0\x01c\0\x05alice\0\x01x"],
                1883
            ),
            alice
        );
        let bind = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x05alice\x80\x02xx";
        assert_eq!(read(&[bind], 389), alice);
        let mut login = vec![0x40, 0, 0, 1, 0x05, 0xa6];
        login.resize(36, 0);
        login.extend_from_slice(b"alice\0");
        assert_eq!(read(&[&login], 3306), alice);
    }

    #[test]
    fn no_bytes_make_it_panic_and_nonsense_has_no_account() {
        for port in [21, 143, 25, 3306, 5432, 1883, 389, 88, 445, 3389, 80] {
            for len in 0..80 {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 37 + len) as u8).collect();
                read(&[&bytes, &bytes], port);
            }
            assert_eq!(read(&[b""], port), 0);
        }
        assert_eq!(read(&[b"QUIT\r\n"], 21), 0);
    }
}
