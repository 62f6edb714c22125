//! `multipart/form-data` request bodies (RFC 7578): the files in them.
//!
//! Reads as the body grows. Only parts with a `filename` become files; the boundary's line and part headers are read,
//! nested multiparts are not. Limits: boundary 255 bytes, part header line 4 KiB.

/// What a piece of the body means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A file begins.
    Open(Vec<u8>),
    /// Bytes of the open part.
    Bytes(&'a [u8]),
    /// The open part ends.
    Close,
    /// A part header is malformed.
    InvalidHeader,
    /// A file without bytes.
    NoFileData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looking for a boundary's line.
    Start,
    /// The boundary's line goes on.
    BoundaryLine,
    /// In a part's header.
    Header,
    /// At a part's first byte.
    Begin,
    /// In a part.
    Bytes,
}

/// A reader of one multipart body.
#[derive(Debug)]
pub(super) struct Multipart {
    /// `--` and the boundary.
    boundary: Vec<u8>,
    state: State,
    has_file: bool,
    /// Bytes of the body read so far (kept by the caller).
    pub read: usize,
}

const BOUNDARY_MAX: usize = 255;
const HEADER_LINE_MAX: usize = 4096;

/// A parameter of a header value: `; name=value` or `; name="value"`, backslashes removed; RFC 2231 continuations
/// (`name*0`, `name*1` …) joined.
pub(super) fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    let mut pieces: Vec<(u32, Vec<u8>)> = Vec::new();
    let at = memchr::memchr(b';', value)?;
    let mut rest = value.get(at + 1..)?;
    // The number of parameters is bounded by the length of a header field.
    while !rest.is_empty() {
        rest = rest.trim_ascii_start();
        let Some(eq) = memchr::memchr(b'=', rest) else {
            break;
        };
        let key = rest.get(..eq)?;
        rest = rest.get(eq + 1..)?;
        let value: &[u8];
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let mut escaped = false;
            let end = quoted.iter().position(|&b| {
                let ends = b == b'"' && !escaped;
                escaped = b == b'\\';
                ends
            });
            match end {
                Some(end) => {
                    value = quoted.get(..end)?;
                    rest = quoted.get(end + 1..)?;
                }
                None => {
                    let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                    value = rest.get(..end)?.trim_ascii_end();
                    rest = rest.get(end..)?;
                }
            }
        } else {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            value = rest.get(..end)?.trim_ascii_end();
            rest = rest.get(end..)?;
        }
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b";").unwrap_or(rest);
        let plain = || {
            value
                .iter()
                .copied()
                .filter(|b| *b != b'\\')
                .collect::<Vec<u8>>()
        };
        if key == name {
            found = Some(plain());
        } else if let Some(number) = key.strip_prefix(name).and_then(|k| k.strip_prefix(b"*"))
            && let Some(n) = std::str::from_utf8(number)
                .ok()
                .and_then(|n| n.parse().ok())
        {
            pieces.push((n, plain()));
        }
    }
    if found.is_some() || pieces.is_empty() {
        return found;
    }
    pieces.sort_by_key(|(n, _)| *n);
    let mut joined = Vec::new();
    for (want, (n, bytes)) in (0u32..).zip(&pieces) {
        if *n != want {
            break;
        }
        joined.extend_from_slice(bytes);
    }
    (!joined.is_empty()).then_some(joined)
}

impl Multipart {
    /// For a Content-Type; none when it names no usable boundary.
    pub(super) fn new(content_type: &[u8]) -> Option<Self> {
        let name = parameter(content_type, b"boundary")?;
        if name.len() > BOUNDARY_MAX {
            return None;
        }
        let mut boundary = b"--".to_vec();
        boundary.extend_from_slice(&name);
        Some(Self {
            boundary,
            state: State::Start,
            has_file: false,
            read: 0,
        })
    }

    /// Reads as much as it can decide of `input`; answers how much that is. The rest is to come again with more.
    pub(super) fn push<'a>(&mut self, input: &'a [u8], found: &mut dyn FnMut(Piece<'a>)) -> usize {
        let mut at = 0usize;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return at;
            }
            let taken = match self.state {
                State::Start => self.start(rest),
                State::BoundaryLine => Some(match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        self.state = State::Header;
                        end + 1
                    }
                    None => rest.len(),
                }),
                State::Header => self.header(rest, found),
                State::Begin => self.begin(rest, found),
                State::Bytes => self.bytes(rest, found),
            };
            match taken {
                Some(taken) => at += taken,
                None => return at,
            }
        }
    }

    // Each of these answers how much it took, or none when it needs more to decide. Taking nothing means a new state.

    fn start(&mut self, rest: &[u8]) -> Option<usize> {
        if let Some(end) = memchr::memchr(b'\n', rest) {
            if rest.starts_with(&self.boundary) {
                self.state = State::Header;
            }
            return Some(end + 1);
        }
        if rest.len() >= self.boundary.len() + 128 {
            if rest.starts_with(&self.boundary) {
                self.state = State::BoundaryLine;
            }
            return Some(rest.len());
        }
        None
    }

    fn header<'a>(&mut self, rest: &'a [u8], found: &mut dyn FnMut(Piece<'a>)) -> Option<usize> {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else {
            if rest.len() <= HEADER_LINE_MAX {
                return None;
            }
            self.state = State::BoundaryLine;
            return Some(0);
        };
        let line = rest.get(..end).unwrap_or_default();
        if line.is_empty() || line == b"\r" {
            self.state = State::Begin;
            return Some(end + 2);
        }
        match memchr::memchr(b':', line) {
            Some(colon) => {
                let (name, value) = (
                    line.get(..colon).unwrap_or_default(),
                    line.get(colon + 1..).unwrap_or_default(),
                );
                if value.trim_ascii().is_empty() {
                    found(Piece::InvalidHeader);
                }
                if name.eq_ignore_ascii_case(b"content-disposition")
                    && let Some(file) = parameter(value, b"filename").filter(|f| !f.is_empty())
                {
                    self.has_file = true;
                    found(Piece::Open(file));
                }
            }
            None => found(Piece::InvalidHeader),
        }
        Some(end + 2)
    }

    fn begin<'a>(&mut self, rest: &'a [u8], found: &mut dyn FnMut(Piece<'a>)) -> Option<usize> {
        if rest.len() < self.boundary.len() && self.boundary.starts_with(rest) {
            return None;
        }
        if rest.starts_with(&self.boundary) {
            if self.has_file {
                found(Piece::NoFileData);
            }
            self.end(found);
        } else {
            self.state = State::Bytes;
        }
        Some(0)
    }

    fn end<'a>(&mut self, found: &mut dyn FnMut(Piece<'a>)) {
        self.state = State::Start;
        self.has_file = false;
        found(Piece::Close);
    }

    fn bytes<'a>(&mut self, rest: &'a [u8], found: &mut dyn FnMut(Piece<'a>)) -> Option<usize> {
        let mut from = 0usize;
        while let Some(cr) = memchr::memchr(b'\r', rest.get(from..).unwrap_or_default()) {
            let cr = from + cr;
            let after = rest.get(cr + 1..).unwrap_or_default();
            let (like, whole) = match after.strip_prefix(b"\n") {
                Some(next) => {
                    let len = next.len().min(self.boundary.len());
                    (
                        next.get(..len) == self.boundary.get(..len),
                        len == self.boundary.len(),
                    )
                }
                None => (after.is_empty(), false),
            };
            if like && whole {
                if cr > 0 {
                    found(Piece::Bytes(rest.get(..cr).unwrap_or_default()));
                }
                self.end(found);
                return Some(cr + 2);
            }
            if like {
                // It may be the boundary: what comes before it is decided.
                if cr > 0 {
                    found(Piece::Bytes(rest.get(..cr).unwrap_or_default()));
                }
                return (cr > 0).then_some(cr);
            }
            from = cr + 1;
        }
        found(Piece::Bytes(rest));
        Some(rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(body: &[u8], chunk: usize) -> Vec<String> {
        let mut reader =
            Multipart::new(b"multipart/form-data; boundary=\"x--y\"").expect("a boundary");
        let mut out: Vec<String> = Vec::new();
        let mut bytes: Vec<u8> = Vec::new();
        let mut held: Vec<u8> = Vec::new();
        for piece in body.chunks(chunk) {
            held.extend_from_slice(piece);
            let taken = reader.push(&held, &mut |p| match p {
                Piece::Bytes(b) => bytes.extend_from_slice(b),
                Piece::Open(name) => out.push(format!("open {}", name.escape_ascii())),
                Piece::Close => out.push(format!(
                    "close {}",
                    std::mem::take(&mut bytes).escape_ascii()
                )),
                other => out.push(format!("{other:?}")),
            });
            held.drain(..taken);
        }
        out
    }

    #[test]
    fn files_are_found_whatever_the_chunking() {
        let body = b"--x--y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--x--y\r\n\
            Content-Disposition: form-data; name=\"f\"; filename=\"e\\\\vil.php\"\r\nContent-Type: text/plain\r\n\r\n\
            line1\r\n--x-\r\nline2\r\n--x--y\r\nContent-Disposition: form-data; filename=z\r\n\r\n--x--y--\r\n";
        let want = [
            "close value",
            "open evil.php",
            "close line1\\r\\n--x-\\r\\nline2",
            "open z",
            "NoFileData",
            "close ",
        ];
        for chunk in 1..body.len() {
            assert_eq!(run(body, chunk), want, "{chunk}");
        }
    }

    #[test]
    fn continued_parameters_are_joined_and_long_boundaries_refused() {
        assert_eq!(
            parameter(b"a; filename*0=ab; filename*1=\"cd\"", b"filename"),
            Some(b"abcd".to_vec())
        );
        let long = format!("multipart/form-data; boundary={}", "b".repeat(300));
        assert!(Multipart::new(long.as_bytes()).is_none());
        assert!(Multipart::new(b"application/x-www-form-urlencoded").is_none());
    }
}
