//! Request targets: cut into their parts, and normalised as rules expect them (`http.uri`).
//!
//! Normalising follows the most permissive reading of real servers: percent and `%u` decoding, backslashes as slashes,
//! repeated slashes as one, UTF-8 brought down to one byte a character by best fit, dot segments removed. Letter case
//! stays. The query is decoded once, nothing else is done to it.
//!
//! Source: RFC 3986 §3 and §5.2.4; Microsoft's `%u` encoding.

use super::bestfit;
use super::text::{decimal, take_while};

/// The parts of a request target. Slices of it, not decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// Before `:`, unless the target begins with `/`.
    pub scheme: Option<&'a [u8]>,
    /// The host, with its brackets.
    pub host: Option<&'a [u8]>,
    /// What follows the host's colon.
    pub port: Option<&'a [u8]>,
    /// From the host to `?` or `#`.
    pub path: Option<&'a [u8]>,
    /// After `?`.
    pub query: Option<&'a [u8]>,
    /// After `#`.
    pub fragment: Option<&'a [u8]>,
}

/// A request target, normalised.
#[derive(Debug, Default)]
pub(super) struct Uri {
    /// Path, query and fragment.
    pub normalized: Vec<u8>,
    /// How much of `normalized` is the path.
    pub path_len: usize,
    /// Whether there is a path.
    pub has_path: bool,
    /// Host, lower case, without trailing dots.
    pub host: Option<Vec<u8>>,
    /// Port, when it is a number 1–65535.
    pub port: Option<u16>,
    /// The port or the host is not valid.
    pub host_invalid: bool,
}

fn cut(input: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = memchr::memchr(at, input)?;
    Some((input.get(..i)?, input.get(i + 1..)?))
}

/// A host at the front: an IPv6 address in brackets, or anything up to `/`, `?`, `#` or `:`.
fn host(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let input = input.strip_prefix(b"//").unwrap_or(input);
    if input.first() == Some(&b'/') {
        return None;
    }
    let (_, input) = take_while(input, |b| b == b' ');
    let (mut host, rest) = match input {
        [b'[', after @ ..] => {
            let (inner, _) = take_while(after, |b| !b"/?#]".contains(&b));
            if inner.is_empty() {
                take_while(input, |b| !b"/?#:".contains(&b))
            } else {
                let len = 1 + inner.len() + usize::from(after.get(inner.len()) == Some(&b']'));
                input.split_at(len.min(input.len()))
            }
        }
        _ => take_while(input, |b| !b"/?#:".contains(&b)),
    };
    if host.is_empty() {
        return None;
    }
    while let [front @ .., b' '] = host {
        host = front;
    }
    Some((host, rest))
}

/// A port at the front: `:` and what follows up to `/`, `?` or `#`, blanks ignored.
fn port(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = input.strip_prefix(b":")?;
    let (_, rest) = take_while(rest, |b| b == b' ');
    let (port, rest) = take_while(rest, |b| !b"/?#".contains(&b));
    let (port, _) = take_while(port, |b| b != b' ');
    (!port.is_empty()).then_some((port, rest))
}

/// Cuts a request target into its parts.
pub(super) fn parts(input: &[u8]) -> Parts<'_> {
    let mut parts = Parts::default();
    let mut rest = input;
    if input.first() != Some(&b'/')
        && let Some((scheme, after)) = cut(input, b':')
    {
        parts.scheme = Some(scheme);
        rest = after;
        // Credentials only after exactly two slashes.
        if let (Some(authority), false) = (rest.strip_prefix(b"//"), rest.starts_with(b"///"))
            && let Some((_, after)) = cut(authority, b'@')
        {
            rest = after;
        }
        if let Some((name, after)) = host(rest) {
            parts.host = Some(name);
            rest = after;
            if let Some((number, after)) = port(rest) {
                parts.port = Some(number);
                rest = after;
            }
        }
    }
    let (path, after) = take_while(rest, |b| b != b'?' && b != b'#');
    parts.path = (!path.is_empty()).then_some(path);
    rest = after;
    if let Some(after) = rest.strip_prefix(b"?") {
        let (query, after) = take_while(after, |b| b != b'#');
        parts.query = Some(query);
        rest = after;
    }
    parts.fragment = rest.strip_prefix(b"#");
    parts
}

/// A port as a number 1–65535.
fn port_number(port: &[u8]) -> Option<u16> {
    decimal(port)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n != 0)
}

/// An authority (`Host` header, CONNECT target).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// The host as sent.
    pub host: &'a [u8],
    /// Whether a port was given, and its number when that is one.
    pub port: Option<Option<u16>>,
    /// Whether both are well formed.
    pub valid: bool,
}

/// Reads an authority; none when there is no host in it.
pub(super) fn authority(input: &[u8]) -> Option<Authority<'_>> {
    let (name, rest) = host(input)?;
    let mut valid = is_valid_host(name);
    let port = match port(rest) {
        Some((digits, _)) => {
            let number = port_number(digits);
            valid = valid && number.is_some();
            Some(number)
        }
        None => {
            valid = valid && rest.is_empty();
            None
        }
    };
    Some(Authority {
        host: name,
        port,
        valid,
    })
}

/// Whether a host name could be one: labels of letters, digits, `-` and `_`, or an IPv6 address in brackets.
pub(super) fn is_valid_host(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > 255 {
        return false;
    }
    if let [b'[', inner @ .., b']'] = name {
        return std::str::from_utf8(inner).is_ok_and(|s| s.parse::<std::net::Ipv6Addr>().is_ok());
    }
    if name.starts_with(b".") || name.windows(2).any(|w| w == b"..") {
        return false;
    }
    // Bytes over 127 pass when they are letters in Latin-1: international names are often sent raw.
    name.split(|b| *b == b'.').all(|label| {
        label.len() <= 63
            && label
                .iter()
                .all(|&b| b == b'_' || b == b'-' || char::from(b).is_alphanumeric())
    })
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [a, b, ..] => Some(hex(*a)? << 4 | hex(*b)?),
        _ => None,
    }
}

/// A character after `%`: its byte, and how many bytes after the `%` it took. None: not an encoding, the `%` stays.
fn percent(rest: &[u8]) -> Option<(u8, usize)> {
    if let [b'u' | b'U', digits @ ..] = rest {
        let (high, low) = (hex_pair(digits)?, hex_pair(digits.get(2..)?)?);
        let byte = if high == 0 {
            low
        } else {
            bestfit::byte(u32::from(high) << 8 | u32::from(low))
        };
        return Some((byte, 5));
    }
    hex_pair(rest).map(|byte| (byte, 2))
}

/// Decodes a query or fragment.
fn decode(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        match percent(rest) {
            Some((byte, len)) => {
                out.push(byte);
                rest = rest.get(len..).unwrap_or_default();
            }
            None => out.push(b'%'),
        }
    }
    out.extend_from_slice(rest);
}

/// Decodes a path: as [`decode`], and backslashes and repeated slashes become one slash.
fn decode_path(input: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut at = 0usize;
    while let Some(&byte) = input.get(at) {
        at += 1;
        let mut byte = byte;
        if byte == b'%'
            && let Some((decoded, len)) = percent(input.get(at..).unwrap_or_default())
        {
            byte = decoded;
            at += len;
        }
        if byte == b'\\' {
            byte = b'/';
        }
        if byte == b'/' && out.len() > start && out.last() == Some(&b'/') {
            continue;
        }
        out.push(byte);
    }
}

/// Brings UTF-8 (overlong forms too) down to a byte a character; what is not UTF-8 becomes `?`.
fn fit_utf8(path: &mut Vec<u8>, from: usize) {
    let tail = path.get(from..).unwrap_or_default();
    if tail.is_ascii() {
        return;
    }
    let input = tail.to_vec();
    path.truncate(from);
    let mut at = 0usize;
    while let Some(&lead) = input.get(at) {
        let (len, mut code) = match lead {
            0x00..=0x7f => (1, u32::from(lead)),
            0xc0..=0xdf => (2, u32::from(lead & 0x1f)),
            0xe0..=0xef => (3, u32::from(lead & 0x0f)),
            0xf0..=0xf4 => (4, u32::from(lead & 0x07)),
            _ => (0, 0),
        };
        if len == 0 {
            path.push(b'?');
            at += 1;
            continue;
        }
        let mut seen = 1usize;
        let mut broken = false;
        while seen < len {
            let Some(&next) = input.get(at + seen) else {
                break;
            };
            // Surrogates and code points beyond Unicode are not UTF-8.
            let most = match (lead, seen) {
                (0xed, 1) => 0x9f,
                (0xf4, 1) => 0x8f,
                _ => 0xbf,
            };
            if !(0x80..=most).contains(&next) {
                broken = true;
                break;
            }
            code = code << 6 | u32::from(next & 0x3f);
            seen += 1;
        }
        if seen == len {
            path.push(if code < 0x100 {
                (code & 0xff) as u8
            } else {
                bestfit::byte(code)
            });
        } else if broken {
            path.push(b'?');
        } else {
            // Cut off: one replacement for each continuation that did come.
            path.extend(std::iter::repeat_n(b'?', seen - 1));
        }
        at += seen;
    }
}

/// Removes dot segments from `path[from..]` (RFC 3986 §5.2.4).
fn remove_dots(path: &mut Vec<u8>, from: usize) {
    let tail = path.get(from..).unwrap_or_default();
    if !tail.starts_with(b".") && !tail.windows(2).any(|w| w == b"/.") {
        return;
    }
    let input = tail.to_vec();
    path.truncate(from);
    let mut rest = input.as_slice();
    let mut leading = true;
    while let Some(&first) = rest.first() {
        if leading {
            // A leading "./" or "../", and a path of dots alone, go.
            if rest == b"." || rest == b".." {
                return;
            }
            if let Some(after) = rest
                .strip_prefix(b"./")
                .or_else(|| rest.strip_prefix(b"../"))
            {
                rest = after;
                continue;
            }
            leading = false;
        }
        if first == b'/' {
            if rest == b"/." {
                return;
            }
            if rest.starts_with(b"/./") {
                rest = rest.get(2..).unwrap_or_default();
                if rest == b"/" {
                    return;
                }
                continue;
            }
            if rest == b"/.." || rest.starts_with(b"/../") {
                let cut = path
                    .get(from..)
                    .unwrap_or_default()
                    .iter()
                    .rposition(|b| *b == b'/')
                    .unwrap_or(0);
                path.truncate(from + cut);
                rest = rest.get(3..).unwrap_or_default();
                if rest == b"/" {
                    return;
                }
                continue;
            }
        }
        let len = rest
            .iter()
            .skip(1)
            .position(|b| *b == b'/')
            .map_or(rest.len(), |p| p + 1);
        let (segment, after) = rest.split_at(len);
        path.extend_from_slice(segment);
        rest = after;
    }
}

impl Uri {
    /// Normalises the target of a request; `connect`: it is an authority.
    pub(super) fn new(target: &[u8], connect: bool) -> Self {
        let mut uri = Self::default();
        if connect {
            if let Some(authority) = authority(target) {
                uri.host = Some(normal_host(authority.host));
                uri.port = authority.port.flatten();
                uri.host_invalid = !authority.valid;
            }
            return uri;
        }
        let parts = parts(target);
        if let Some(host) = parts.host {
            let host = normal_host(host);
            uri.host_invalid = !is_valid_host(&host);
            uri.host = Some(host);
        }
        if let Some(port) = parts.port {
            uri.port = port_number(port);
            uri.host_invalid |= uri.port.is_none();
        }
        let out = &mut uri.normalized;
        out.reserve(target.len());
        if let Some(path) = parts.path {
            uri.has_path = true;
            decode_path(path, out);
            fit_utf8(out, 0);
            remove_dots(out, 0);
        }
        uri.path_len = out.len();
        if let Some(query) = parts.query {
            out.push(b'?');
            decode(query, out);
        }
        if let Some(fragment) = parts.fragment {
            out.push(b'#');
            decode(fragment, out);
        }
        uri
    }

    /// The path.
    pub(super) fn path(&self) -> Option<&[u8]> {
        self.has_path
            .then(|| self.normalized.get(..self.path_len).unwrap_or_default())
    }
}

fn normal_host(host: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(host.len());
    decode(host, &mut out);
    out.make_ascii_lowercase();
    while out.last() == Some(&b'.') {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(target: &[u8]) -> String {
        Uri::new(target, false)
            .normalized
            .escape_ascii()
            .to_string()
    }

    #[test]
    fn paths_are_normalised_as_a_permissive_server_would() {
        for (target, want) in [
            (&b"/a%2fb%5Cc\\d//e"[..], "/a/b/c/d/e"),
            (
                b"/a/./b/../c?x=%41%2B+&y=a//b/../c",
                "/a/c?x=A++&y=a//b/../c",
            ),
            (b"/%u0041%u2215%zz%4", "/A/%zz%4"),
            (b"/../../etc/passwd", "/etc/passwd"),
            (b"/a/b/..", "/a"),
            (b"/a/b/../", "/a"),
            (b"/a/.", "/a"),
            (b"./a", "a"),
            (b"/caf%c3%a9/%c0%af", "/caf\\xe9//"),
            (b"/%ff%e4%b8%ad", "/??"),
            (b"/p?q#f%41", "/p?q#fA"),
            (b"?only=query", "?only=query"),
            (b"/a..b/.c/..d", "/a..b/.c/..d"),
        ] {
            assert_eq!(normal(target), want, "{}", target.escape_ascii());
        }
    }

    #[test]
    fn absolute_targets_give_host_and_port() {
        let uri = Uri::new(b"HTTP://user:pw@WWW.Example.COM.:8080/x?y", false);
        assert_eq!(
            (uri.host.as_deref(), uri.port),
            (Some(&b"www.example.com"[..]), Some(8080))
        );
        assert_eq!(uri.normalized, b"/x?y");
        let uri = Uri::new(b"[::1]:443", true);
        assert_eq!(
            (uri.host.as_deref(), uri.port, uri.host_invalid),
            (Some(&b"[::1]"[..]), Some(443), false)
        );
        assert!(
            Uri::new(b"http://a..b/", false).host_invalid
                && Uri::new(b"http://a:0/", false).host_invalid
        );
    }

    #[test]
    fn an_authority_says_whether_it_is_well_formed() {
        for (text, host, port, valid) in [
            (
                " www.example.com :  8001 ",
                "www.example.com",
                Some(Some(8001)),
                true,
            ),
            ("www.example.com.", "www.example.com.", None, true),
            ("www.example.com:ff", "www.example.com", Some(None), false),
            ("www.example.com:", "www.example.com", None, false),
            ("[::1]x", "[::1]", None, false),
            ("[::1", "[::1", None, false),
        ] {
            let got = authority(text.as_bytes()).expect("a host");
            assert_eq!(
                (got.host, got.port, got.valid),
                (host.as_bytes(), port, valid),
                "{text}"
            );
        }
    }
}
