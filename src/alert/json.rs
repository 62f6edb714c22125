//! A JSON writer over one growing buffer: no allocation in steady state, no way to write an invalid document.
//!
//! Hostile bytes are escaped: control characters, quotes and backslashes by JSON's rules; a value that is not UTF-8 has
//! its bytes beyond ASCII written as the text `\xNN`, which is what consumers of Suricata's EVE expect.

/// Writes one JSON document at a time into a buffer it borrows.
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    comma: bool,
}

impl std::fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Json({} bytes)", self.out.len())
    }
}

impl<'a> Json<'a> {
    /// Appends to `out`. Members begin without a comma: `out` holds nothing, or ends with `{`, `[` or a written comma.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, comma: false }
    }

    /// Appends members to an object or array that already has some.
    pub fn resume(out: &'a mut Vec<u8>) -> Self {
        Self { out, comma: true }
    }

    /// Bytes written to the buffer so far, those before this writer included.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    /// Opens an object as an array's element or as the document.
    pub fn begin(&mut self) -> &mut Self {
        self.separate();
        self.out.push(b'{');
        self.comma = false;
        self
    }

    /// Closes an object.
    pub fn end(&mut self) -> &mut Self {
        self.out.push(b'}');
        self.comma = true;
        self
    }

    /// Writes `"name":`; a value must follow. Names are ours: plain ASCII without anything to escape.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.member(name, b"\":");
        self.comma = false;
        self
    }

    /// Writes a name and what stands between it and its value: records are mostly names, so these are few writes.
    fn member(&mut self, name: &str, then: &[u8]) {
        self.out
            .extend_from_slice(if self.comma { b",\"" } else { b"\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(then);
    }

    /// Writes a member's name that came from the wire, with JSON's escapes; a value must follow.
    pub fn hostile_key(&mut self, name: &[u8]) -> &mut Self {
        self.separate();
        self.out.push(b'"');
        escape(self.out, name);
        self.out.extend_from_slice(b"\":");
        self.comma = false;
        self
    }

    /// A string member of at most `max` bytes; how many were left out is told at its end, as Suricata does.
    pub fn limited(&mut self, name: &str, value: impl AsRef<[u8]>, max: usize) -> &mut Self {
        let value = value.as_ref();
        match value.get(..max) {
            Some(kept) if value.len() > max => {
                let cut = format!("[truncated {} additional bytes]", value.len() - max);
                self.str(name, [kept, cut.as_bytes()].concat())
            }
            _ => self.str(name, value),
        }
    }

    /// Opens an object as the value of `name`.
    pub fn object(&mut self, name: &str) -> &mut Self {
        self.member(name, b"\":{");
        self.comma = false;
        self
    }

    /// Opens an array as the value of `name`.
    pub fn array(&mut self, name: &str) -> &mut Self {
        self.member(name, b"\":[");
        self.comma = false;
        self
    }

    /// Opens an array as an array's element, or as the value of a key just written.
    pub fn begin_array(&mut self) -> &mut Self {
        self.separate();
        self.out.push(b'[');
        self.comma = false;
        self
    }

    /// Closes an array.
    pub fn end_array(&mut self) -> &mut Self {
        self.out.push(b']');
        self.comma = true;
        self
    }

    /// A string member from text or hostile bytes.
    pub fn str(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.member(name, b"\":\"");
        escape(self.out, value.as_ref());
        self.out.push(b'"');
        self.comma = true;
        self
    }

    /// A number member.
    pub fn num(&mut self, name: &str, value: impl Into<i128>) -> &mut Self {
        self.key(name);
        self.number(value)
    }

    /// A boolean member.
    pub fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.member(name, if value { b"\":true" } else { b"\":false" });
        self.comma = true;
        self
    }

    /// A string element or value.
    pub fn text(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        self.separate();
        self.out.push(b'"');
        escape(self.out, value.as_ref());
        self.out.push(b'"');
        self
    }

    /// A number element or value.
    pub fn number(&mut self, value: impl Into<i128>) -> &mut Self {
        self.separate();
        let value: i128 = value.into();
        if let Ok(small @ 0..=9) = u8::try_from(value) {
            self.out.push(b'0' + small);
            return self;
        }
        let mut digits = [0u8; 40];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        // Division of 128 bits is a function of its own; most numbers fit in 64.
        while rest > u128::from(u64::MAX) {
            at -= 1;
            if let Some(d) = digits.get_mut(at) {
                *d = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
        }
        let mut rest = rest as u64;
        loop {
            at -= 1;
            if let Some(d) = digits.get_mut(at) {
                *d = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.out.push(b'-');
        }
        self.out
            .extend_from_slice(digits.get(at..).unwrap_or_default());
        self
    }

    /// A floating point value; what JSON cannot say (NaN, infinity) becomes null.
    pub fn float(&mut self, name: &str, value: f64) -> &mut Self {
        use std::io::Write;
        self.key(name);
        self.comma = true;
        if value.is_finite() {
            let _ = write!(self.out, "{value}");
        } else {
            self.out.extend_from_slice(b"null");
        }
        self
    }

    /// A value that is already JSON.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(json);
        self
    }

    /// Members that are already JSON; nothing when there are none.
    pub fn members(&mut self, members: &[u8]) -> &mut Self {
        if members.is_empty() {
            return self;
        }
        self.raw(members)
    }

    /// A string member in lower-case hexadecimal.
    pub fn hex(&mut self, name: &str, value: &[u8], separator: Option<u8>) -> &mut Self {
        self.key(name);
        self.comma = true;
        self.out.push(b'"');
        for (i, byte) in value.iter().enumerate() {
            if let (Some(separator), true) = (separator, i > 0) {
                self.out.push(separator);
            }
            self.out.push(hex_digit(byte >> 4));
            self.out.push(hex_digit(byte & 15));
        }
        self.out.push(b'"');
        self
    }

    /// A string member in base64 (RFC 4648 §4, padded).
    pub fn base64(&mut self, name: &str, value: &[u8]) -> &mut Self {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.key(name);
        self.comma = true;
        self.out.push(b'"');
        for chunk in value.chunks(3) {
            let (a, b, c) = (
                chunk[0],
                chunk.get(1).copied().unwrap_or(0),
                chunk.get(2).copied().unwrap_or(0),
            );
            let word = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
            for i in 0..4 {
                let index = (word >> (18 - 6 * i) & 63) as usize;
                self.out.push(if i <= chunk.len() {
                    ALPHABET[index]
                } else {
                    b'='
                });
            }
        }
        self.out.push(b'"');
        self
    }
}

/// A digit of hexadecimal notation, in lower case, for a value below 16.
pub(crate) fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    }
}

/// Appends `value` with JSON's escapes. UTF-8 passes; in a value that is not, each byte beyond ASCII becomes the text
/// `\xNN`, as Suricata has it.
fn escape(out: &mut Vec<u8>, value: &[u8]) {
    if is_plain(value) {
        out.extend_from_slice(value);
        return;
    }
    if std::str::from_utf8(value).is_err() {
        for run in value.chunk_by(|a, b| a.is_ascii() == b.is_ascii()) {
            if run.is_ascii() {
                escape(out, run);
            } else {
                for &byte in run {
                    out.extend_from_slice(b"\\\\x");
                    out.push(hex_digit(byte >> 4));
                    out.push(hex_digit(byte & 15));
                }
            }
        }
        return;
    }
    for chunk in value.utf8_chunks() {
        let text = chunk.valid().as_bytes();
        let mut plain = 0;
        for (i, &byte) in text.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0x7f {
                continue;
            }
            out.extend_from_slice(text.get(plain..i).unwrap_or_default());
            plain = i + 1;
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0x08 => out.extend_from_slice(b"\\b"),
                0x0c => out.extend_from_slice(b"\\f"),
                _ => escape_byte(out, byte),
            }
        }
        out.extend_from_slice(text.get(plain..).unwrap_or_default());
    }
}

/// Whether a value is printable ASCII without anything to escape, as most are. Whole pieces are tested without a branch, so
/// that the compiler can test their bytes side by side.
fn is_plain(value: &[u8]) -> bool {
    let odd = |byte: &u8| !(0x20..0x7f).contains(byte) || *byte == b'"' || *byte == b'\\';
    !value
        .chunks(32)
        .any(|piece| piece.iter().fold(false, |any, byte| any | odd(byte)))
}

fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\u00");
    out.push(hex_digit(byte >> 4));
    out.push(hex_digit(byte & 15));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_one_valid_document() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.begin()
            .str("a", b"q\"\\\n\x00\xff\x7f\xc3\xa9")
            .num("n", -5)
            .num("most", u64::MAX)
            .num("least", i128::MIN)
            .bool("b", true);
        json.array("l")
            .text("x")
            .number(7u32)
            .end_array()
            .object("o")
            .base64("p", b"ab")
            .hex("h", &[1, 255], Some(b':'))
            .end()
            .end();
        let value: serde_json::Value = serde_json::from_slice(&out).expect("valid");
        assert_eq!(value["a"], "q\"\\\n\u{0}\\xff\u{7f}\\xc3\\xa9");
        assert_eq!(
            (value["n"].as_i64(), value["l"][1].as_u64()),
            (Some(-5), Some(7))
        );
        assert_eq!(value["most"].as_u64(), Some(u64::MAX));
        assert!(
            String::from_utf8_lossy(&out)
                .contains("\"least\":-170141183460469231731687303715884105728")
        );
        assert_eq!(
            (value["o"]["p"].as_str(), value["o"]["h"].as_str()),
            (Some("YWI="), Some("01:ff"))
        );
    }
}
