//! Transforms: what is done to a buffer before it is inspected (`to_lowercase`, `dotprefix`, `xor`, …).
//!
//! Each reads one buffer and fills another. What a transform cannot be applied to passes unchanged, or is empty where
//! the reference says so. Decompression is bounded by the rule's own limit and by [`INFLATE_MAX`].

use std::io::Read as _;

use md5::Digest as _;

use super::base64;
use super::program::LazyRegex;
use crate::rules::{Transform, XorKey};
use crate::sys::pcre::{Matched, RegexScratch};

/// Bytes that one transform may unfold to.
const INFLATE_MAX: u64 = 1 << 20;

/// Applies `transform` to `input`; the result is in `out`, which is emptied first.
pub(super) fn apply(
    transform: &Transform,
    regex: Option<(&LazyRegex, &mut RegexScratch)>,
    input: &[u8],
    out: &mut Vec<u8>,
) {
    out.clear();
    match transform {
        Transform::CompressWhitespace => {
            let mut space = false;
            out.extend(input.iter().filter(|b| {
                let here = is_space(**b);
                let keep = !(here && space);
                space = here;
                keep
            }));
        }
        Transform::StripWhitespace => out.extend(input.iter().filter(|b| !is_space(**b))),
        Transform::StripPseudoHeaders => {
            for line in input
                .split_inclusive(|b| *b == b'\n')
                .filter(|line| !line.starts_with(b":"))
            {
                out.extend_from_slice(line);
            }
        }
        Transform::DotPrefix => {
            if !input.is_empty() {
                out.push(b'.');
                out.extend_from_slice(input);
            }
        }
        Transform::UrlDecode => url_decode(input, out),
        Transform::Xor { key, offset } => xor(input, key, *offset as usize, out),
        Transform::ToLowercase => out.extend(input.iter().map(u8::to_ascii_lowercase)),
        Transform::ToUppercase => out.extend(input.iter().map(u8::to_ascii_uppercase)),
        Transform::HeaderLowercase => {
            let mut in_value = false;
            out.extend(input.iter().map(|byte| match (in_value, byte) {
                (false, b':') => {
                    in_value = true;
                    *byte
                }
                (false, _) => byte.to_ascii_lowercase(),
                (true, _) => {
                    in_value = *byte != b'\n';
                    *byte
                }
            }));
        }
        Transform::Domain => out.extend_from_slice(domain(input)),
        Transform::Tld => out.extend_from_slice(top_level(input)),
        Transform::FromBase64 {
            bytes,
            offset,
            mode,
        } => {
            let from = input.get(*offset as usize..).unwrap_or_default();
            let from = match bytes {
                // As many bytes as were asked for, and one more.
                Some(n) if (*n as usize) < from.len() => from.get(..*n as usize),
                Some(_) => None,
                None => Some(from),
            };
            base64::decode(from.unwrap_or_default(), *mode, out);
            if out.is_empty() {
                out.extend_from_slice(input);
            }
        }
        Transform::Md5 => out.extend_from_slice(&md5::Md5::digest(input)),
        Transform::Sha1 => out.extend_from_slice(&sha1::Sha1::digest(input)),
        Transform::Sha256 => out.extend_from_slice(&sha2::Sha256::digest(input)),
        Transform::PcreCapture(_) => {
            if let Some((regex, scratch)) = regex
                && let Some(regex) = regex.get()
                && let Matched::At(..) = regex.find(input, 0, scratch)
                && let Some((from, to)) = scratch.group(1)
            {
                out.extend_from_slice(input.get(from..to).unwrap_or_default());
            } else {
                out.extend_from_slice(input);
            }
        }
        Transform::Subslice {
            offset,
            len,
            truncate,
        } => {
            out.extend_from_slice(subslice(input, *offset, *len, *truncate).unwrap_or_default());
        }
        Transform::Gunzip { max } => {
            let limit = u64::from(*max).min(INFLATE_MAX);
            // What was unfolded before an error stands.
            let _ = flate2::read::MultiGzDecoder::new(input)
                .take(limit)
                .read_to_end(out);
        }
        Transform::ZlibDeflate { max } => {
            let limit = u64::from(*max).min(INFLATE_MAX);
            let _ = flate2::read::ZlibDecoder::new(input)
                .take(limit)
                .read_to_end(out);
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ')
}

fn url_decode(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                // A broken escape stays as it is, with the byte that broke it.
                let high = after.first().and_then(|b| hex(*b));
                let low = after.get(1).and_then(|b| hex(*b));
                match (high, low) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        rest = after.get(2..).unwrap_or_default();
                    }
                    (high, _) => {
                        let taken = if high.is_some() { 2 } else { 1 };
                        let raw = after.get(..taken).unwrap_or(after);
                        out.push(b'%');
                        out.extend_from_slice(raw);
                        rest = after.get(raw.len()..).unwrap_or_default();
                    }
                }
            }
            other => out.push(*other),
        }
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// What domains are registered under: the last label of a name, or two where that is a registry. A name without a
/// domain has none.
fn top_level(name: &[u8]) -> &[u8] {
    let domain = domain(name);
    memchr::memchr(b'.', domain)
        .and_then(|dot| domain.get(dot + 1..))
        .unwrap_or_default()
}

/// The registered domain: two labels, or three below the second-level registries that most countries have. A name of
/// one label, or that is a registry itself, is no domain.
fn domain(name: &[u8]) -> &[u8] {
    const SECOND_LEVEL: [&[u8]; 10] = [
        b"co", b"com", b"net", b"org", b"gov", b"edu", b"ac", b"or", b"ne", b"go",
    ];
    let trimmed = name.strip_suffix(b".").unwrap_or(name);
    let mut dots = memchr::memrchr_iter(b'.', trimmed);
    let Some(last) = dots.next() else {
        return &[];
    };
    let second = dots.next();
    let start_of = |dot: Option<usize>| dot.map_or(0, |dot| dot + 1);
    let top = trimmed.get(last + 1..).unwrap_or_default();
    let middle = trimmed.get(start_of(second)..last).unwrap_or_default();
    let registry = top.len() == 2 && SECOND_LEVEL.iter().any(|s| middle.eq_ignore_ascii_case(s));
    let start = match (registry, second) {
        (true, None) => return &[],
        (true, Some(_)) => start_of(dots.next()),
        (false, second) => start_of(second),
    };
    trimmed.get(start..).unwrap_or(trimmed)
}

/// Exclusive or with a repeated key. Without a usable key or place the buffer passes unchanged.
fn xor(input: &[u8], key: &XorKey, offset: usize, out: &mut Vec<u8>) {
    let key = match key {
        XorKey::Bytes(bytes) => Some(bytes.as_slice()),
        XorKey::Extract { bytes, offset } => {
            let start = usize::from(*offset);
            input.get(start..start + usize::from(*bytes))
        }
    };
    match (key, input.split_at_checked(offset)) {
        (Some(key), Some((front, rest))) if !key.is_empty() => {
            out.extend_from_slice(front);
            out.extend(
                rest.iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        }
        _ => out.extend_from_slice(input),
    }
}

/// A part of the buffer; a negative offset or length counts from the end, reversed ends are exchanged. What lies beyond
/// the buffer is cut when `truncate`, otherwise there is no part.
fn subslice(input: &[u8], offset: i32, len: Option<i32>, truncate: bool) -> Option<&[u8]> {
    let total = i64::try_from(input.len()).ok()?;
    let offset = i64::from(offset);
    if offset.abs() > total && !truncate {
        return None;
    }
    let start = if offset >= 0 {
        offset.min(total)
    } else {
        total + offset.max(-total)
    };
    let end = match len.map(i64::from) {
        None => total,
        Some(len) if len < 0 => total + len,
        Some(len) => start + len,
    };
    if !(0..=total).contains(&end) && !truncate {
        return None;
    }
    let end = end.clamp(0, total);
    input.get(usize::try_from(start.min(end)).ok()?..usize::try_from(start.max(end)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Base64Mode;

    fn done(transform: Transform, input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        apply(&transform, None, input, &mut out);
        out
    }

    #[test]
    fn whitespace_goes_or_shrinks() {
        assert_eq!(
            done(Transform::CompressWhitespace, b"a \t b\n c"),
            b"a b\nc"
        );
        assert_eq!(done(Transform::StripWhitespace, b"a \t b\x0b\n c"), b"abc");
    }

    #[test]
    fn urls_are_decoded_and_broken_escapes_stay() {
        assert_eq!(done(Transform::UrlDecode, b"a%20b+c%41"), b"a b cA");
        assert_eq!(done(Transform::UrlDecode, b"%4x%zz%4"), b"%4x%zz%4");
        assert_eq!(done(Transform::UrlDecode, b"%"), b"%");
    }

    #[test]
    fn headers_are_lowered_up_to_the_colon() {
        assert_eq!(
            done(Transform::HeaderLowercase, b"Host: ExA\r\nX-Y:Z\r\n"),
            b"host: ExA\r\nx-y:Z\r\n"
        );
        assert_eq!(
            done(Transform::StripPseudoHeaders, b":path: /\r\nhost: a\r\n"),
            b"host: a\r\n"
        );
    }

    #[test]
    fn names_are_cut_to_their_domain() {
        assert_eq!(done(Transform::Domain, b"www.example.com"), b"example.com");
        assert_eq!(
            done(Transform::Domain, b"www.example.co.jp"),
            b"example.co.jp"
        );
        assert_eq!(done(Transform::Tld, b"www.example.com"), b"com");
        assert_eq!(done(Transform::Tld, b"sub.domain.co.uk"), b"co.uk");
        assert_eq!(done(Transform::Domain, b"example.com"), b"example.com");
        assert_eq!(done(Transform::Domain, b"domain.co.uk"), b"domain.co.uk");
        for none in [&b"localhost"[..], b"co.uk", b""] {
            assert_eq!(done(Transform::Domain, none), b"");
            assert_eq!(done(Transform::Tld, none), b"");
        }
        assert_eq!(done(Transform::DotPrefix, b"a.b"), b".a.b");
        assert_eq!(done(Transform::DotPrefix, b""), b"");
    }

    #[test]
    fn the_others_do_what_they_say() {
        let key = XorKey::Bytes(vec![1, 2]);
        assert_eq!(
            done(Transform::Xor { key, offset: 1 }, &[9, 1, 1, 1]),
            [9, 0, 3, 0]
        );
        let key = XorKey::Extract {
            bytes: 1,
            offset: 0,
        };
        assert_eq!(
            done(Transform::Xor { key, offset: 1 }, &[7, 7, 6]),
            [7, 0, 1]
        );
        let part = |offset, len, truncate| {
            done(
                Transform::Subslice {
                    offset,
                    len,
                    truncate,
                },
                b"abcd",
            )
        };
        assert_eq!(part(-2, Some(1), false), b"c");
        assert_eq!(part(1, None, false), b"bcd");
        assert_eq!(part(1, Some(-1), false), b"bc");
        assert_eq!(part(3, Some(9), false), b"");
        assert_eq!(part(3, Some(9), true), b"d");
        let mode = Base64Mode::Rfc4648;
        assert_eq!(
            done(
                Transform::FromBase64 {
                    bytes: None,
                    offset: 1,
                    mode
                },
                b"xZm9v"
            ),
            b"foo"
        );
        let base64 = |bytes, offset, input: &[u8]| {
            done(
                Transform::FromBase64 {
                    bytes,
                    offset,
                    mode: Base64Mode::Rfc4648,
                },
                input,
            )
        };
        // What cannot be decoded, or not as asked, stays as it is.
        assert_eq!(base64(None, 0, b"***"), b"***");
        assert_eq!(base64(None, 9, b"Zm9v"), b"Zm9v");
        assert_eq!(base64(Some(4), 0, b"Zm9v"), b"Zm9v");
        assert_eq!(base64(Some(4), 0, b"Zm9vZm9v"), b"foo");
        assert_eq!(done(Transform::Md5, b"").len(), 16);
    }
}
