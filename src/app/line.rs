//! Lines of text protocols (FTP, SMTP), with a bound on what is kept of one.
//!
//! A line longer than the bound is given once, cut; its rest is passed over up to its end, however it arrives.

/// A line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its bytes.
    pub text: &'a [u8],
    /// Whether it was longer than the bound.
    pub cut: bool,
}

/// Takes lines off the front of what has arrived.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    max: usize,
}

impl<'a> Lines<'a> {
    /// Of `bytes`, at most `max` bytes a line.
    pub fn new(bytes: &'a [u8], max: usize) -> Self {
        Self { bytes, at: 0, max }
    }

    /// Bytes taken.
    pub fn consumed(&self) -> usize {
        self.at
    }

    /// What was not taken.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Takes `len` bytes that are not a line.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let taken = self.rest().get(..len).unwrap_or(self.rest());
        self.at += taken.len();
        taken
    }

    /// The next line; `None` when it is not there yet. `skipping` is kept between calls: the rest of a cut line.
    pub fn next(&mut self, skipping: &mut bool) -> Option<Line<'a>> {
        loop {
            let rest = self.rest();
            let end = memchr::memchr(b'\n', rest);
            if *skipping {
                self.at += end.map_or(rest.len(), |end| end + 1);
                end?;
                *skipping = false;
                continue;
            }
            if end.is_none_or(|end| end >= self.max) {
                let text = rest.get(..self.max)?;
                self.at += end.map_or(rest.len(), |end| end + 1);
                *skipping = end.is_none();
                return Some(Line { text, cut: true });
            }
            let text = rest.get(..end?)?;
            self.at += text.len() + 1;
            return Some(Line {
                text: text.strip_suffix(b"\r").unwrap_or(text),
                cut: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let (mut skipping, mut kept, mut found) = (false, Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            let mut lines = Lines::new(&kept, 8);
            while let Some(line) = lines.next(&mut skipping) {
                found.push((line.text.to_vec(), line.cut));
            }
            let consumed = lines.consumed();
            kept.drain(..consumed);
        }
        found
    }

    #[test]
    fn a_long_line_is_cut_once_however_it_arrives() {
        let text = b"one\r\n0123456789abcdef\ntwo\n";
        let whole = all(&[text]);
        assert_eq!(
            whole,
            [
                (b"one".to_vec(), false),
                (b"01234567".to_vec(), true),
                (b"two".to_vec(), false)
            ]
        );
        for at in 0..text.len() {
            assert_eq!(all(&[&text[..at], &text[at..]]), whole);
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&bytes), whole);
    }
}
