//! MIME of a message (RFC 5322, 2045, 2046): headers, parts, attachments as files, addresses in texts.
//!
//! Fed line by line. A part with a file name is a file, decoded from base64 or quoted-printable; texts are searched for
//! `http://` addresses. Parts nest as their boundaries do. Limits: [`HEADERS_MAX`] fields, [`VALUE_MAX`] bytes of one,
//! [`BOUNDARIES_MAX`] open boundaries, [`LIST_MAX`] attachments and addresses each; beyond them nothing is noted.

use md5::{Digest, Md5};

use super::base64::Decoder;
use super::parameter::parameter;
use crate::app::{File, FileLimits, FileState, Files};

/// Header fields that are kept.
const HEADERS_MAX: usize = 512;
/// Bytes of a field's value that are kept.
const VALUE_MAX: usize = 16 * 1024;
/// Boundaries open at a time.
const BOUNDARIES_MAX: usize = 32;
/// Attachments and addresses that are noted.
const LIST_MAX: usize = 256;
/// Bytes of an address, and of a text line awaited for its end.
const TEXT_MAX: usize = 8192;

/// RFC 5322 §2.1.1, RFC 2045 §6.7; the others are Suricata's.
const LINE_MAX: usize = 998;
const ENCODED_LINE_MAX: usize = 76;
const HEADER_NAME_LONG: usize = 75;
const HEADER_VALUE_LONG: usize = 2000;
const BOUNDARY_LONG: usize = 254;
const FILE_NAME_MAX: usize = 255;

/// What is wrong with a message: bits for [`Mime::line`]'s answer.
pub(super) mod fault {
    pub const BASE64: u16 = 1;
    pub const QUOTED_PRINTABLE: u16 = 1 << 1;
    pub const LONG_LINE: u16 = 1 << 2;
    pub const LONG_ENCODED_LINE: u16 = 1 << 3;
    pub const LONG_HEADER_NAME: u16 = 1 << 4;
    pub const LONG_HEADER_VALUE: u16 = 1 << 5;
    pub const LONG_BOUNDARY: u16 = 1 << 6;
    pub const LONG_FILE_NAME: u16 = 1 << 7;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    Header,
    Body,
}

#[derive(Debug, Default)]
enum Encoding {
    #[default]
    Plain,
    Base64(Decoder),
    QuotedPrintable,
}

/// A field of a header.
#[derive(Debug, Default)]
pub(super) struct Header {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The state of a message.
#[derive(Debug, Default)]
pub(super) struct Mime {
    stage: Stage,
    /// Those of the message, then those of the part in hand.
    headers: Vec<Header>,
    /// How many of them are the message's; 0 until all are there.
    own_headers: usize,
    /// Name of the part in hand.
    file_name: Vec<u8>,
    /// Whether the part in hand is a text that may hold addresses.
    text: bool,
    encoding: Encoding,
    /// With their two hyphens; the innermost last.
    boundaries: Vec<Vec<u8>>,
    /// Names of attachments.
    pub attachments: Vec<Vec<u8>>,
    /// Addresses, without their scheme.
    pub urls: Vec<Vec<u8>>,
    /// End of a line that may belong to a boundary, or the beginning of an escape.
    held: Vec<u8>,
    /// Text whose line has not ended.
    open_text: Vec<u8>,
    scratch: Vec<u8>,
    body: Option<Md5>,
    /// MD5 of the body, in hexadecimal, once the message is complete.
    pub body_md5: Option<String>,
}

impl Mime {
    /// Whether bodies are read now: their lines are not bounded as those of headers are.
    pub fn in_body(&self) -> bool {
        self.stage == Stage::Body
    }

    /// A field of the message by its name in lower case; `index` counts those of the same name.
    pub fn header(&self, name: &str, index: usize) -> Option<&[u8]> {
        self.headers
            .get(..self.own_headers)?
            .iter()
            .filter(|h| h.name.eq_ignore_ascii_case(name.as_bytes()))
            .nth(index)
            .map(|h| h.value.as_slice())
    }

    /// Takes a line: its text and its end, which is empty when the line goes on. Answers what is wrong with it.
    pub fn line(&mut self, text: &[u8], end: &[u8], files: &mut Files, limits: FileLimits) -> u16 {
        let mut faults = if text.len() > LINE_MAX {
            fault::LONG_LINE
        } else {
            0
        };
        faults |= match self.stage {
            Stage::Body => self.body_line(text, end, files),
            _ if text.is_empty() => self.end_of_headers(files, limits),
            Stage::Header if matches!(text.first(), Some(b' ' | b'\t')) => {
                if let (Some(header), Some(more)) = (self.headers.last_mut(), text.get(1..)) {
                    let room = VALUE_MAX.saturating_sub(header.value.len());
                    header
                        .value
                        .extend_from_slice(more.get(..room).unwrap_or(more));
                }
                0
            }
            _ => self.header_line(text),
        };
        faults
    }

    /// Ends the message.
    pub fn complete(&mut self, files: &mut Files) {
        self.end_part(files);
        if let Some(body) = self.body.take() {
            self.body_md5 = Some(body.finalize().iter().fold(
                String::with_capacity(32),
                |mut hex, byte| {
                    hex.extend(
                        [byte >> 4, byte & 0x0f]
                            .map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')),
                    );
                    hex
                },
            ));
        }
    }

    fn header_line(&mut self, text: &[u8]) -> u16 {
        let Some(colon) = text.iter().position(|b| *b == b':') else {
            return 0;
        };
        let name = text.get(..colon).unwrap_or_default();
        let value = text.get(colon + 1..).unwrap_or_default().trim_ascii_start();
        self.stage = Stage::Header;
        let mut faults = 0;
        if name.len() > HEADER_NAME_LONG {
            faults |= fault::LONG_HEADER_NAME;
        }
        if value.len() > HEADER_VALUE_LONG {
            faults |= fault::LONG_HEADER_VALUE;
        }
        if self.headers.len() < HEADERS_MAX {
            self.headers.push(Header {
                name: name.to_vec(),
                value: value.to_vec(),
            });
        }
        faults
    }

    /// An empty line: what follows is the body, or another header when a message is enclosed (RFC 2046 §5.2.1).
    fn end_of_headers(&mut self, files: &mut Files, limits: FileLimits) -> u16 {
        let (faults, encloses) = self.read_headers();
        if self.own_headers == 0 {
            self.own_headers = self.headers.len();
        }
        if encloses {
            self.restart();
            return faults;
        }
        self.stage = Stage::Body;
        if self.body.is_none() && self.body_md5.is_none() {
            self.body = Some(Md5::new());
        }
        if !self.file_name.is_empty() {
            let id = u32::try_from(self.attachments.len()).unwrap_or(u32::MAX);
            files.open(File::new(self.file_name.clone(), limits)).id = id;
        }
        faults
    }

    fn read_headers(&mut self) -> (u16, bool) {
        let (mut faults, mut encloses) = (0, false);
        self.text = true;
        for header in self.headers.get(self.own_headers..).unwrap_or_default() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name.as_bytes());
            let value = header.value.as_slice();
            let name_parameter = if is("content-disposition") {
                "filename"
            } else if is("content-type") {
                "name"
            } else if is("content-transfer-encoding") {
                let value = value.trim_ascii_end();
                if value.eq_ignore_ascii_case(b"base64") {
                    self.encoding = Encoding::Base64(Decoder::default());
                } else if value.eq_ignore_ascii_case(b"quoted-printable") {
                    self.encoding = Encoding::QuotedPrintable;
                }
                continue;
            } else {
                continue;
            };
            if self.file_name.is_empty()
                && let Some(mut name) = parameter(value, name_parameter)
            {
                if name.len() > FILE_NAME_MAX {
                    faults |= fault::LONG_FILE_NAME;
                    name.truncate(FILE_NAME_MAX);
                }
                if self.attachments.len() < LIST_MAX {
                    self.attachments.push(name.clone());
                }
                self.file_name = name;
            }
            if name_parameter == "filename" {
                continue;
            }
            if let Some(boundary) = parameter(value, "boundary") {
                if boundary.len() > BOUNDARY_LONG {
                    faults |= fault::LONG_BOUNDARY;
                }
                if self.boundaries.len() < BOUNDARIES_MAX {
                    self.boundaries.push([b"--", boundary.as_slice()].concat());
                }
            }
            let kind = value
                .split(|b| *b == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii_end();
            self.text =
                kind.eq_ignore_ascii_case(b"text/plain") || kind.eq_ignore_ascii_case(b"text/html");
            encloses |= kind
                .get(..8)
                .is_some_and(|front| front.eq_ignore_ascii_case(b"message/"));
        }
        (faults, encloses)
    }

    /// Begins the next part.
    fn restart(&mut self) {
        self.stage = Stage::Start;
        self.headers.truncate(self.own_headers);
        self.encoding = Encoding::Plain;
        self.file_name.clear();
        self.held.clear();
        self.open_text.clear();
    }

    fn end_part(&mut self, files: &mut Files) {
        // The last line's text may still be open.
        self.find_urls(b"\n");
        if let Encoding::Base64(decoder) = &mut self.encoding {
            self.scratch.clear();
            decoder.finish(&mut self.scratch);
            if !self.file_name.is_empty()
                && let Some(file) = files.last_mut()
            {
                file.append(&self.scratch);
            }
        }
        if !self.file_name.is_empty()
            && let Some(file) = files.last_mut()
        {
            file.close(FileState::Closed);
        }
    }

    fn body_line(&mut self, text: &[u8], end: &[u8], files: &mut Files) -> u16 {
        if let Some(body) = &mut self.body {
            body.update(text);
            body.update(end);
        }
        let boundary = self
            .boundaries
            .last()
            .filter(|boundary| text.starts_with(boundary));
        if let Some(len) = boundary.map(Vec::len) {
            self.end_part(files);
            if text.get(len..).is_some_and(|rest| rest.starts_with(b"--")) {
                self.boundaries.pop();
            }
            self.restart();
            return 0;
        }
        // RFC 5321 §4.5.2: the sender doubled a dot at the beginning of a line.
        let text = text
            .strip_prefix(b".")
            .filter(|rest| rest.starts_with(b"."))
            .unwrap_or(text);
        let is_file = !self.file_name.is_empty();
        if !is_file && !self.text {
            return 0;
        }
        let mut decoded = std::mem::take(&mut self.scratch);
        decoded.clear();
        let faults = match &mut self.encoding {
            Encoding::Base64(decoder) => {
                let mut faults = if text.len() > ENCODED_LINE_MAX {
                    fault::LONG_ENCODED_LINE
                } else {
                    0
                };
                if decoder.decode(text, &mut decoded).is_err() {
                    faults |= fault::BASE64;
                }
                faults
            }
            Encoding::QuotedPrintable => quoted_printable(text, end, &mut self.held, &mut decoded),
            Encoding::Plain => {
                // The end of the line before a boundary belongs to the boundary (RFC 2046 §5.1.1).
                decoded.append(&mut self.held);
                decoded.extend_from_slice(text);
                self.held.extend_from_slice(end);
                0
            }
        };
        if is_file && let Some(file) = files.last_mut() {
            file.append(&decoded);
        }
        self.find_urls(&decoded);
        self.scratch = decoded;
        faults
    }

    /// Looks for addresses in whole lines of text.
    fn find_urls(&mut self, text: &[u8]) {
        let (whole, open) = match memchr::memrchr(b'\n', text) {
            Some(at) => text.split_at_checked(at + 1).unwrap_or_default(),
            None if self.open_text.len() + text.len() > TEXT_MAX => (text, &[][..]),
            None => (&[][..], text),
        };
        if whole.is_empty() {
            self.open_text.extend_from_slice(open);
            return;
        }
        let mut line = std::mem::take(&mut self.open_text);
        line.extend_from_slice(whole);
        for at in memchr::memmem::find_iter(&line, b"://") {
            let is_http = at.checked_sub(4).and_then(|begin| line.get(begin..at));
            if !is_http.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http"))
                || self.urls.len() >= LIST_MAX
            {
                continue;
            }
            let rest = line.get(at + 3..).unwrap_or_default();
            let stops = |b: &u8| {
                matches!(
                    b,
                    b' ' | b'"' | b'\'' | b'<' | b'>' | b']' | b'\t' | b'\r' | b'\n'
                )
            };
            let end = rest
                .iter()
                .position(stops)
                .unwrap_or(rest.len())
                .min(TEXT_MAX);
            self.urls.push(rest.get(..end).unwrap_or_default().to_vec());
        }
        line.clear();
        line.extend_from_slice(open);
        self.open_text = line;
    }
}

/// RFC 2045 §6.7. `held` keeps an escape that is cut by the end of a piece, and the end of an empty line, which may be a
/// boundary's.
fn quoted_printable(text: &[u8], end: &[u8], held: &mut Vec<u8>, out: &mut Vec<u8>) -> u16 {
    let mut faults = if text.len() > ENCODED_LINE_MAX {
        fault::LONG_ENCODED_LINE
    } else {
        0
    };
    let joined;
    let mut rest = text;
    if held.first() == Some(&b'=') {
        joined = [held.as_slice(), text].concat();
        rest = &joined;
        held.clear();
    } else {
        out.append(held);
    }
    if rest.is_empty() {
        held.extend_from_slice(end);
        return faults;
    }
    let mut soft_end = false;
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at..).unwrap_or_default();
        match *escape {
            [_] if !end.is_empty() => {
                soft_end = true;
                rest = &[];
            }
            [_] | [_, _] if end.is_empty() => {
                held.extend_from_slice(escape);
                rest = &[];
            }
            [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
                // Small letters are not allowed, and are read all the same.
                if high.is_ascii_lowercase() || low.is_ascii_lowercase() {
                    faults |= fault::QUOTED_PRINTABLE;
                }
                out.push(digit(high) << 4 | digit(low));
                rest = escape.get(3..).unwrap_or_default();
            }
            _ => {
                faults |= fault::QUOTED_PRINTABLE;
                rest = escape.get(3..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    if !soft_end {
        out.extend_from_slice(end);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Limits;

    fn read(message: &str) -> (Mime, Files, u16) {
        let (mut mime, mut files, mut faults) = (Mime::default(), Files::default(), 0);
        for line in message.split_inclusive("\r\n") {
            let text = line.strip_suffix("\r\n").unwrap_or(line);
            faults |= mime.line(
                text.as_bytes(),
                &line.as_bytes()[text.len()..],
                &mut files,
                Limits::default().file(),
            );
        }
        mime.complete(&mut files);
        (mime, files, faults)
    }

    fn bytes(files: &Files, index: usize) -> Vec<u8> {
        files
            .get(index)
            .map(|file| file.window().bytes.to_vec())
            .unwrap_or_default()
    }

    const MIXED: &str = "From: a@x\r\nSubject: one\r\n two\r\nContent-Type: multipart/mixed; boundary=\"B\"\r\n\r\n\
        preamble\r\n--B\r\nContent-Type: text/plain\r\n\r\nsee http://x.test/a?b and HTTP://y.test>\r\n--B\r\n\
        Content-Disposition: attachment; filename=a.txt\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--B\r\n\
        Content-Type: text/plain; name=b.txt\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db =\r\nc\r\n--B\r\n\
        Content-Disposition: attachment; filename=c\r\n\r\n..one\r\ntwo\r\n--B--\r\nend\r\n";

    #[test]
    fn parts_are_files_and_texts() {
        let (mime, files, faults) = read(MIXED);
        assert_eq!(mime.header("subject", 0), Some(&b"onetwo"[..]));
        assert_eq!(mime.header("content-disposition", 0), None);
        assert_eq!(mime.attachments, [&b"a.txt"[..], b"b.txt", b"c"]);
        assert_eq!(mime.urls, [&b"x.test/a?b"[..], b"y.test"]);
        let found = [0, 1, 2].map(|index| bytes(&files, index));
        assert_eq!(
            found,
            [
                b"hello".to_vec(),
                b"a=b c\r\n".to_vec(),
                b".one\r\ntwo".to_vec()
            ]
        );
        assert!(files.iter().all(|file| file.state == FileState::Closed));
        assert_eq!((faults, mime.body_md5.map(|md5| md5.len())), (0, Some(32)));
    }

    #[test]
    fn faults_are_told() {
        let long = "x".repeat(2100);
        assert_eq!(
            read(&format!("A: {long}\r\n")).2,
            fault::LONG_LINE | fault::LONG_HEADER_VALUE
        );
        assert_eq!(
            read(&format!("{}: v\r\n", "n".repeat(76))).2,
            fault::LONG_HEADER_NAME
        );
        let part = |headers: &str, body: &str| read(&format!("{headers}\r\n\r\n{body}\r\n")).2;
        let attached = "Content-Disposition: attachment; filename=a";
        let base64 = format!("{attached}\r\nContent-Transfer-Encoding: base64");
        assert_eq!(part(&base64, "=AAA"), fault::BASE64);
        assert_eq!(part(&base64, &"A".repeat(80)), fault::LONG_ENCODED_LINE);
        let quoted = format!("{attached}\r\nContent-Transfer-Encoding: quoted-printable");
        assert_eq!(part(&quoted, "=zz"), fault::QUOTED_PRINTABLE);
        assert_eq!(
            part(&format!("{attached}{}", "b".repeat(300)), ""),
            fault::LONG_FILE_NAME
        );
        let boundary = format!(
            "Content-Type: multipart/mixed; boundary={}",
            "b".repeat(300)
        );
        assert_eq!(part(&boundary, ""), fault::LONG_BOUNDARY);
    }

    #[test]
    fn an_enclosed_message_has_headers_of_its_own() {
        let message = "From: a\r\nContent-Type: message/rfc822\r\n\r\nFrom: b\r\nContent-Disposition: x; filename=f\r\n\r\nhi\r\n";
        let (mime, files, _) = read(message);
        assert_eq!(
            (mime.header("from", 0), mime.header("from", 1)),
            (Some(&b"a"[..]), None)
        );
        assert_eq!(bytes(&files, 0), b"hi");
    }

    #[test]
    fn an_escape_may_be_cut_by_a_piece() {
        for at in 0..8 {
            let text = b"ab=3Dcd!";
            let (mut held, mut out) = (Vec::new(), Vec::new());
            quoted_printable(&text[..at], b"", &mut held, &mut out);
            quoted_printable(&text[at..], b"\r\n", &mut held, &mut out);
            assert_eq!(out, b"ab=cd!\r\n", "{at}");
        }
    }
}
