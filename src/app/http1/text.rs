//! Small questions about bytes that every part of the parser asks: what counts as white space, as a token, as a line.
//!
//! Servers and browsers do not agree with RFC 9112 here, so neither does this: white space is C's `isspace`.

/// C's `isspace` in the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// RFC 9110 §5.6.2 `tchar`, as an RFC 2616 reader would have it.
pub(super) fn is_token(byte: u8) -> bool {
    matches!(byte, 33..=126) && !b"()<>@,;:\\\"/[]?={}".contains(&byte)
}

/// Without leading and trailing white space.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    while let [rest @ .., last] = bytes {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Without the line's end (any mix of CR and LF).
pub(super) fn chomp(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The front of `bytes` that satisfies a test, and the rest.
pub(super) fn take_while(bytes: &[u8], test: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|b| !test(*b)).unwrap_or(bytes.len());
    bytes.split_at(at)
}

/// The first line with its LF, if there is one.
pub(super) fn line(bytes: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'\n', bytes).and_then(|at| bytes.get(..=at))
}

/// Whether `name`, ignoring letter case and NUL bytes within it (as servers that use C strings carelessly do), is `want`.
pub(super) fn same_name(name: &[u8], want: &[u8]) -> bool {
    if name.len() == want.len() {
        return name.eq_ignore_ascii_case(want);
    }
    name.len() > want.len()
        && name
            .iter()
            .filter(|b| **b != 0)
            .map(u8::to_ascii_lowercase)
            .eq(want.iter().map(u8::to_ascii_lowercase))
}

/// Whether `text`, ignoring letter case and NUL bytes, contains `want` (written in lower case).
pub(super) fn contains_word(text: &[u8], want: &[u8]) -> bool {
    if text.len() < want.len() {
        return false;
    }
    if text
        .windows(want.len())
        .any(|w| w.eq_ignore_ascii_case(want))
    {
        return true;
    }
    if !text.contains(&0) {
        return false;
    }
    let plain: Vec<u8> = text.iter().copied().filter(|b| *b != 0).collect();
    plain
        .windows(want.len())
        .any(|w| w.eq_ignore_ascii_case(want))
}

/// A decimal number with what stands before and after it: (junk before, number, junk after). Junk before is what is
/// neither white space nor digit; white space around the number is not junk.
pub(super) fn digits(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = |b: u8| b == b' ' || b == b'\t';
    let (_, rest) = take_while(text, blank);
    let (before, rest) = take_while(rest, |b| !b.is_ascii_digit());
    let (number, rest) = take_while(rest, |b| b.is_ascii_digit());
    let (_, after) = take_while(rest, blank);
    (!number.is_empty()).then_some((before, number, after))
}

/// The value of decimal digits; none when there is none or it does not fit.
pub(super) fn decimal(number: &[u8]) -> Option<u64> {
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// A Content-Length: the first number in the value, whatever stands around it.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    digits(value).and_then(|(_, number, _)| decimal(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_the_first_number_whatever_surrounds_it() {
        assert_eq!(content_length(b"    \t134    "), Some(134));
        assert_eq!(content_length(b"abcd134, 200"), Some(134));
        assert_eq!(content_length(b"abcd"), None);
        assert_eq!(content_length(b"99999999999999999999999"), None);
    }

    #[test]
    fn nul_bytes_and_letter_case_do_not_hide_a_name() {
        assert!(
            same_name(b"Te\0st", b"test")
                && !same_name(b"Tes", b"test")
                && !same_name(b"Testx", b"test")
        );
        assert!(
            contains_word(b"x-Chu\0nked,", b"chunked") && !contains_word(b"chunke", b"chunked")
        );
    }
}
