//! Chunk sizes of chunked bodies (RFC 9112 §7.1), read as leniently as browsers do.

use super::text::take_while;

/// What the line before a chunk says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChunkLine {
    /// The line is not complete.
    NeedMore,
    /// White space only: look at the next one.
    Blank {
        /// Bytes it took.
        taken: usize,
    },
    /// It does not begin with a number.
    Invalid,
    /// A size.
    Length {
        /// Bytes it took.
        taken: usize,
        /// The chunk's length; none when it is beyond 2³¹.
        length: Option<u64>,
        /// Whether something follows the number after a `;`.
        extension: bool,
    },
}

fn is_control(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | 0x0b | 0x0c)
}

/// Reads the line at the front of `data`.
pub(super) fn line(data: &[u8]) -> ChunkLine {
    let (_, from_first) = take_while(data, is_control);
    let Some(line) = super::text::line(data) else {
        // What begins with no hexadecimal digit can be told without the line's end.
        return match from_first.first() {
            Some(byte) if !byte.is_ascii_hexdigit() => ChunkLine::Invalid,
            _ => ChunkLine::NeedMore,
        };
    };
    let taken = line.len();
    let (_, rest) = take_while(line, is_control);
    if rest.is_empty() {
        return ChunkLine::Blank { taken };
    }
    let (number, rest) = take_while(rest, |b| b.is_ascii_hexdigit());
    if number.is_empty() {
        return ChunkLine::Invalid;
    }
    let length = std::str::from_utf8(number)
        .ok()
        .and_then(|n| u64::from_str_radix(n, 16).ok());
    let Some(length) = length else {
        return ChunkLine::Invalid;
    };
    let extension = rest.contains(&b';');
    let length = (length <= 0x7fff_ffff).then_some(length);
    ChunkLine::Length {
        taken,
        length,
        extension: extension && length.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_readable_sizes_are_read() {
        let size = |text: &[u8]| match line(text) {
            ChunkLine::Length {
                length, extension, ..
            } => (length, extension),
            other => panic!("{other:?}"),
        };
        assert_eq!(size(b"12a5\r\n"), (Some(0x12a5), false));
        assert_eq!(size(b" \t 0012a5 ;ext=1\n"), (Some(0x12a5), true));
        assert_eq!(size(b"5goo\r\n"), (Some(5), false));
        assert_eq!(size(b"80000000\r\n"), (None, false));
        assert_eq!(line(b"\r\n"), ChunkLine::Blank { taken: 2 });
        assert_eq!(
            (line(b"x\r\n"), line(b" \rg"), line(b"12")),
            (ChunkLine::Invalid, ChunkLine::Invalid, ChunkLine::NeedMore)
        );
    }
}
