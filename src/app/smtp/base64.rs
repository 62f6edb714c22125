//! Base64 of mail bodies (RFC 2045 §6.8): in pieces of any size, passing over what is not of its alphabet.

/// A quantum of four characters, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    quantum: [u8; 4],
    filled: usize,
}

/// A quantum whose first two characters are padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl Decoder {
    /// Decodes more characters into `out`.
    pub fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Invalid> {
        let mut result = Ok(());
        for &byte in text {
            if byte != b'=' && value(byte).is_none() {
                continue;
            }
            if let Some(slot) = self.quantum.get_mut(self.filled) {
                *slot = byte;
                self.filled += 1;
            }
            if self.filled == 4 {
                self.filled = 0;
                result = result.and(self.take(out));
            }
        }
        result
    }

    /// Decodes what is left, as if it were padded.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.filled > 1 {
            let padding = self.quantum.get_mut(self.filled..).unwrap_or_default();
            padding.fill(b'=');
            let _ = self.take(out);
        }
        self.filled = 0;
    }

    fn take(&self, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let [a, b, c, d] = self.quantum;
        let (Some(a), Some(b)) = (value(a), value(b)) else {
            return Err(Invalid);
        };
        out.push(a << 2 | b >> 4);
        let Some(c) = value(c) else { return Ok(()) };
        out.push(b << 4 | c >> 2);
        if let Some(d) = value(d) {
            out.push(c << 6 | d);
        }
        Ok(())
    }
}

fn value(byte: u8) -> Option<u8> {
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

    #[test]
    fn pieces_junk_and_missing_padding_do_not_matter() {
        let text = b"aGVs\r\nbG8g d29y!bGQ";
        for at in 0..text.len() {
            let (mut decoder, mut out) = (Decoder::default(), Vec::new());
            decoder.decode(&text[..at], &mut out).expect("valid");
            decoder.decode(&text[at..], &mut out).expect("valid");
            decoder.finish(&mut out);
            assert_eq!(out, b"hello world");
        }
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        assert_eq!(decoder.decode(b"=abcYQ==", &mut out), Err(Invalid));
        assert_eq!(out, b"a");
    }
}
