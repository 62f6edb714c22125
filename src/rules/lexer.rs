//! Rule text into rules, and a rule into its header's words and its options. Nothing is copied.
//!
//! A rule is one logical line: a backslash at the end of a line continues it (the line break and the blanks before the
//! backslash's successor stay white space), LF and CRLF both end it, and a line whose first character is `#` is a comment,
//! which is also how rules are disabled. Options are `name;` or `name:value;`; a semicolon in a value is written `\;`.
//!
//! Limits: a logical line of [`LINE_BYTES_MAX`]. What a value means is the keyword's business, not this file's.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Longest logical line, in bytes. The longest rule in public sets has about 6,000.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// One logical line of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Number of its first physical line, from 1.
    pub number: u32,
    /// Its text, without the line end.
    pub text: Cow<'a, [u8]>,
}

/// The logical lines of a file, without blank lines and comments.
#[derive(Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> Lines<'a> {
    /// Over the bytes of a file. A UTF-8 byte order mark is skipped.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
            number: 0,
        }
    }

    /// How many of the bytes it began with it is through with.
    pub fn offset(&self, bytes: &[u8]) -> u32 {
        u32::try_from(bytes.len().saturating_sub(self.rest.len())).unwrap_or(u32::MAX)
    }

    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', self.rest) {
            Some(end) => (
                self.rest.get(..end).unwrap_or_default(),
                self.rest.get(end + 1..).unwrap_or_default(),
            ),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let first = self.physical()?;
            let number = self.number;
            let trimmed = first.trim_ascii();
            if trimmed.is_empty() || trimmed.first() == Some(&b'#') {
                continue;
            }
            let Some(head) = trimmed.strip_suffix(b"\\") else {
                return Some(Line {
                    number,
                    text: Cow::Borrowed(trimmed),
                });
            };
            let mut text = head.to_vec();
            while let Some(next) = self.physical() {
                let (part, more) = match next.trim_ascii_end().strip_suffix(b"\\") {
                    Some(part) => (part, true),
                    None => (next, false),
                };
                // Beyond the limit the bytes are dropped but the lines still belong to this rule, which will be refused.
                if text.len() <= LINE_BYTES_MAX {
                    text.extend_from_slice(part);
                }
                if !more {
                    break;
                }
            }
            return Some(Line {
                number,
                text: Cow::Owned(text),
            });
        }
    }
}

/// The words before the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// `alert`, `drop`, …
    pub action: &'a str,
    /// `tcp`, `http`, `http1:request_started`, …
    pub proto: &'a str,
    /// Source addresses.
    pub src: &'a str,
    /// Source ports.
    pub sport: &'a str,
    /// `->`, `<>`, `=>`.
    pub direction: &'a str,
    /// Destination addresses.
    pub dst: &'a str,
    /// Destination ports.
    pub dport: &'a str,
}

/// Splits a rule into its header and the text between its parentheses.
pub fn split(rule: &str) -> Result<(Header<'_>, &str), String> {
    let mut rest = rule.trim();
    let mut word = |what: &str| -> Result<&str, String> {
        let (word, tail) =
            next_word(rest).ok_or_else(|| format!("the rule ends before its {what}"))?;
        rest = tail;
        Ok(word)
    };
    let header = Header {
        action: word("action")?,
        proto: word("protocol")?,
        src: word("source addresses")?,
        sport: word("source ports")?,
        direction: word("direction")?,
        dst: word("destination addresses")?,
        dport: word("destination ports")?,
    };
    let body = rest.trim_start();
    let body = body
        .strip_prefix('(')
        .ok_or("the rule has no options: \"(\" expected after the destination ports")?;
    let body = body.trim_end();
    let body = body
        .strip_suffix(')')
        .ok_or("the rule does not end with \")\"")?;
    Ok((header, body))
}

/// A word of the header: up to white space, or to `(` outside brackets. Lists may hold blanks between brackets.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let mut depth = 0_usize;
    let end = text
        .bytes()
        .position(|byte| match byte {
            b'[' => {
                depth += 1;
                false
            }
            b']' => {
                depth = depth.saturating_sub(1);
                false
            }
            b'(' => depth == 0,
            _ => depth == 0 && byte.is_ascii_whitespace(),
        })
        .unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    Some(text.split_at(end))
}

/// One option of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    /// Keyword.
    pub name: &'a str,
    /// What follows the colon, trimmed; `None` without a colon or with nothing after it.
    pub value: Option<&'a str>,
}

/// The options of a rule, in order. Stops after the first error.
#[derive(Debug)]
pub struct Options<'a> {
    rest: &'a str,
}

impl<'a> Options<'a> {
    /// Over the text between the parentheses.
    pub fn new(body: &'a str) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Opt<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.trim_ascii_start();
        if text.is_empty() {
            return None;
        }
        let Some(end) = option_end(text.as_bytes()) else {
            self.rest = "";
            let shown: String = text.chars().take(40).collect();
            return Some(Err(format!("no \";\" ends the option {shown:?}")));
        };
        // Both cuts are at ASCII bytes, so they are on character boundaries.
        let (option, rest) = text.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        let (name, value) = match option.split_once(':') {
            Some((name, value)) => (
                name.trim_ascii(),
                Some(value.trim_ascii()).filter(|v| !v.is_empty()),
            ),
            None => (option.trim_ascii(), None),
        };
        if name.is_empty() {
            // `;;` is an empty option, which is harmless; `:x;` is not.
            return match value {
                None => self.next(),
                Some(_) => Some(Err("an option has a value and no name".into())),
            };
        }
        Some(Ok(Opt { name, value }))
    }
}

/// Position of the semicolon that ends the option at the front of `text`.
fn option_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| memchr(b';', rest)) {
        let end = from + at;
        if end == 0 || text.get(end - 1) != Some(&b'\\') {
            return Some(end);
        }
        from = end + 1;
    }
    None
}

/// Whether the text holds control characters other than tab, CR and LF, and where the first one is.
pub fn control_character(text: &[u8]) -> Option<usize> {
    let control = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0x7f;
    // Most texts have none: a loop without an early end is done many bytes at a time.
    let any = text.iter().fold(false, |any, b| any | control(*b));
    if any {
        text.iter().position(|b| control(*b))
    } else {
        None
    }
}

/// The bytes of a content: text with `|hex|` parts and the escapes `\"`, `\;`, `\:`, `\\`.
pub fn content_bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let mut hex: Option<Option<u8>> = None;
    // Runs of plain text, which are most of it, are taken at once.
    while let Some((&byte, tail)) = rest.split_first() {
        match (hex, byte) {
            (None, b'|') => hex = Some(None),
            (None, b'\\') => match tail.split_first() {
                Some((&escaped @ (b':' | b';' | b'\\' | b'"'), after)) => {
                    out.push(escaped);
                    rest = after;
                    continue;
                }
                Some((other, _)) => {
                    return Err(format!(
                        "'{}' cannot be escaped in a content",
                        char::from(*other)
                    ));
                }
                None => return Err("a content ends with a single backslash".into()),
            },
            (None, b'"') => {
                return Err("a double quote inside a content must be escaped: \\\"".into());
            }
            (None, _) => {
                let run = memchr2(b'|', b'\\', rest).unwrap_or(rest.len());
                let run = memchr(b'"', rest.get(..run).unwrap_or_default()).unwrap_or(run);
                let (plain, after) = rest.split_at(run);
                out.extend_from_slice(plain);
                rest = after;
                continue;
            }
            (Some(None), b'|') => hex = None,
            (Some(Some(_)), b'|') => {
                return Err("an odd number of hex digits between | and |".into());
            }
            (Some(half), b' ' | b',' | b'\t') => hex = Some(half),
            (Some(half), digit) => {
                let Some(value) = char::from(digit)
                    .to_digit(16)
                    .and_then(|v| u8::try_from(v).ok())
                else {
                    return Err(format!("'{}' is not a hex digit", char::from(digit)));
                };
                hex = Some(match half {
                    None => Some(value),
                    Some(high) => {
                        out.push(high << 4 | value);
                        None
                    }
                });
            }
        }
        rest = tail;
    }
    if hex.is_some() {
        return Err("| opens hex digits and no | closes them".into());
    }
    if out.capacity() > out.len() + 8 {
        out.shrink_to_fit();
    }
    if out.is_empty() {
        return Err("empty".into());
    }
    if out.len() > usize::from(u16::MAX) {
        return Err("longer than 65,535 bytes".into());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u32, String)> {
        Lines::new(text.as_bytes())
            .map(|l| (l.number, String::from_utf8_lossy(&l.text).into_owned()))
            .collect()
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_numbers_kept() {
        assert_eq!(
            lines("# a\n\n  alert x\r\n#drop y\nlast"),
            [(3, "alert x".into()), (5, "last".into())]
        );
    }

    #[test]
    fn a_backslash_continues_a_line() {
        assert_eq!(
            lines("a \\\n  b \\\r\n c\nd"),
            [(1, "a   b  c".into()), (4, "d".into())]
        );
    }

    #[test]
    fn a_continuation_at_the_end_of_the_file_ends_the_rule() {
        assert_eq!(lines("a \\"), [(1, "a ".into())]);
    }

    #[test]
    fn a_header_may_hold_lists_with_blanks() {
        let (header, body) =
            split("alert tcp [10.0.0.0/8, !10.1.0.0/16] any -> $HOME_NET [80,!81] (sid:1;)")
                .unwrap();
        assert_eq!(header.src, "[10.0.0.0/8, !10.1.0.0/16]");
        assert_eq!(header.dport, "[80,!81]");
        assert_eq!(body, "sid:1;");
    }

    #[test]
    fn a_parenthesis_may_follow_the_ports_directly() {
        assert_eq!(
            split("alert ip any any -> any any(sid:1;)")
                .unwrap()
                .0
                .dport,
            "any"
        );
    }

    #[test]
    fn a_rule_without_options_is_refused() {
        assert!(split("alert ip any any -> any any").is_err());
        assert!(split("alert ip any any ->").is_err());
    }

    #[test]
    fn options_end_at_unescaped_semicolons() {
        let all: Vec<_> = Options::new(r#"msg:"a\;b"; nocase; depth : 5 ; content:"x\"";"#)
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            all[0],
            Opt {
                name: "msg",
                value: Some(r#""a\;b""#)
            }
        );
        assert_eq!(
            all[1],
            Opt {
                name: "nocase",
                value: None
            }
        );
        assert_eq!(
            all[2],
            Opt {
                name: "depth",
                value: Some("5")
            }
        );
        assert_eq!(all[3].value, Some(r#""x\"""#));
    }

    #[test]
    fn an_unterminated_option_is_an_error() {
        assert!(Options::new("sid:1").next().unwrap().is_err());
    }

    #[test]
    fn contents_mix_text_hex_and_escapes() {
        assert_eq!(
            content_bytes(r#"a|20 0D0a|b\"\;\:\\"#).unwrap(),
            b"a \r\nb\";:\\"
        );
        assert_eq!(content_bytes("|3A|").unwrap(), b":");
    }

    #[test]
    fn broken_contents_are_refused() {
        for bad in ["", "||", "|4|", "|41", "a\\q", "a\\", "|zz|", "a\"b"] {
            assert!(content_bytes(bad).is_err(), "{bad}");
        }
    }
}
