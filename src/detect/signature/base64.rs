//! Base64 as rules decode it: lenient (RFC 4648 up to the first stranger, RFC 2045 skipping strangers) or all or nothing.
//!
//! A group that makes no sense (padding in its first half, a single character at the end) voids the whole, as in the
//! reference.

use crate::rules::Base64Mode;

/// Appends what `input` decodes to, at most three bytes for four of input. Strict: nothing unless all of it is valid.
pub(super) fn decode(input: &[u8], mode: Base64Mode, out: &mut Vec<u8>) {
    let start = out.len();
    let made_sense = match mode {
        Base64Mode::Rfc4648 => decode_until_invalid(input, out),
        Base64Mode::Rfc2045 => decode_skipping(input, out),
        Base64Mode::Strict => decode_strict(input, out),
    };
    if !made_sense {
        out.truncate(start);
    }
}

fn decode_until_invalid(input: &[u8], out: &mut Vec<u8>) -> bool {
    let valid = input
        .iter()
        .position(|b| sextet(*b).is_none() && *b != b'=')
        .unwrap_or(input.len());
    let (front, _) = input.split_at(valid);
    for group in front.chunks(4) {
        let mut quad = [b'='; 4];
        for (slot, byte) in quad.iter_mut().zip(group) {
            *slot = *byte;
        }
        if !decode_quad(quad, out) {
            return false;
        }
    }
    true
}

fn decode_skipping(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut quad = [0u8; 4];
    let mut filled = 0;
    for byte in input
        .iter()
        .filter(|b| sextet(**b).is_some() || **b == b'=')
    {
        if let Some(slot) = quad.get_mut(filled) {
            *slot = *byte;
        }
        filled += 1;
        if filled == 4 {
            filled = 0;
            if !decode_quad(quad, out) {
                return false;
            }
        }
    }
    true
}

/// RFC 4648 §4 with padding; unused bits must be zero.
fn decode_strict(input: &[u8], out: &mut Vec<u8>) -> bool {
    let padding = input.iter().rev().take_while(|b| **b == b'=').count();
    let body = input.get(..input.len() - padding).unwrap_or_default();
    let whole =
        input.len().is_multiple_of(4) && padding <= 2 && body.iter().all(|b| sextet(*b).is_some());
    let spare = match (padding, body.last().and_then(|b| sextet(*b))) {
        (1, Some(last)) => last & 0b11,
        (2, Some(last)) => last & 0b1111,
        (0, _) => 0,
        _ => 1,
    };
    if !whole || spare != 0 {
        return false;
    }
    for group in input.chunks_exact(4) {
        let quad = <[u8; 4]>::try_from(group).unwrap_or([b'='; 4]);
        if !decode_quad(quad, out) {
            return false;
        }
    }
    true
}

/// Decodes one group; whether it was valid.
fn decode_quad(quad: [u8; 4], out: &mut Vec<u8>) -> bool {
    let [a, b, c, d] = quad;
    let (Some(a), Some(b)) = (sextet(a), sextet(b)) else {
        return false;
    };
    out.push(a << 2 | b >> 4);
    if c == b'=' {
        return true;
    }
    let Some(c) = sextet(c) else {
        out.pop();
        return false;
    };
    if d == b'=' {
        out.push(b << 4 | c >> 2);
        return true;
    }
    let Some(d) = sextet(d) else {
        out.pop();
        return false;
    };
    out.push(b << 4 | c >> 2);
    out.push(c << 6 | d);
    true
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(input: &[u8], mode: Base64Mode) -> Vec<u8> {
        let mut out = Vec::new();
        decode(input, mode, &mut out);
        out
    }

    #[test]
    fn rfc4648_stops_at_the_first_stranger_and_keeps_what_is_there() {
        let mode = Base64Mode::Rfc4648;
        assert_eq!(decoded(b"Zm9vYmFy", mode), b"foobar");
        assert_eq!(decoded(b"Zm9vYg==", mode), b"foob");
        assert_eq!(decoded(b"Zm9vYmE", mode), b"fooba");
        assert_eq!(decoded(b"Zm 9v", mode), b"f");
        assert_eq!(decoded(b"Zm9v$YmFy", mode), b"foo");
        assert_eq!(decoded(b"Zm9vY", mode), b"");
    }

    #[test]
    fn rfc2045_skips_strangers() {
        assert_eq!(decoded(b"Zm 9v\r\nYm.Fy", Base64Mode::Rfc2045), b"foobar");
        assert_eq!(decoded(b"Zm9vYm", Base64Mode::Rfc2045), b"foo");
    }

    #[test]
    fn strict_takes_all_or_nothing() {
        let mode = Base64Mode::Strict;
        assert_eq!(decoded(b"Zm9vYg==", mode), b"foob");
        assert_eq!(decoded(b"Zm9vYg=", mode), b"");
        assert_eq!(decoded(b"Zm9vYh==", mode), b"");
        assert_eq!(decoded(b"Zm 9v", mode), b"");
    }
}
