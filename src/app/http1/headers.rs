//! Header fields: cut out of the stream one at a time, kept in order, repeated ones joined.
//!
//! Reading is as tolerant as the most tolerant of real servers (requests) and browsers (responses): any mix of CR and LF,
//! folding, lines without a colon, names with blanks. What is odd is told by [`Oddities`], never an error.
//! Limits: [`Headers::COUNT_MAX`] distinct fields, [`Headers::BYTES_MAX`] bytes, 64 repetitions, 128 folds.
//!
//! Source: RFC 9112 §5, and how browsers depart from it.

use super::text::{is_token, same_name, take_while, trim};

/// Whose header it is; servers and browsers tolerate different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A request, read as servers do: only LF ends a line.
    Request,
    /// A response, read as browsers do: a lone CR ends a line as well.
    Response,
}

/// What is odd about one header field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    /// No name before the colon.
    pub name_empty: bool,
    /// No colon at all: the whole line is the value.
    pub no_colon: bool,
    /// The name is not a token.
    pub name_not_token: bool,
    /// Blanks between name and colon.
    pub name_trailing_space: bool,
    /// Blanks before the name.
    pub name_leading_space: bool,
    /// CR and LF mixed in a way that no program writes.
    pub deformed_eol: bool,
}

/// What the front of the data holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// One header field; the value is in the scratch buffer.
    Field {
        /// Bytes it took.
        consumed: usize,
        /// Its name, trimmed.
        name: &'a [u8],
        /// What is odd about it.
        odd: Oddities,
        /// Whether the header ends with it (a NUL in the place of a line's end).
        last: bool,
    },
    /// The empty line.
    End {
        /// Bytes it took.
        consumed: usize,
    },
    /// Cannot tell yet.
    NeedMore,
}

/// Bytes of the line end at the front (0: none).
fn eol(data: &[u8], side: Side) -> usize {
    match (data, side) {
        ([b'\r', b'\n', ..], _) => 2,
        ([b'\n', b'\r', ..], Side::Response) => 2,
        ([b'\n', ..], _) => 1,
        ([b'\r', ..], Side::Response) => 1,
        _ => 0,
    }
}

/// A line end that mixes CR and LF oddly; `Err` when more data is needed to tell.
fn eol_deformed(data: &[u8], side: Side, closed: bool) -> Result<usize, ()> {
    match side {
        Side::Request => match data {
            [b'\n', b'\r', b'\r', b'\n', b'\n', ..]
            | [b'\n', b'\r', b'\r', b'\n', b'\r', b'\n', ..] => Ok(4),
            [b'\n', b'\r', b'\r', b'\n', ..] => Ok(2),
            _ => Ok(0),
        },
        Side::Response => {
            if let [b'\n', b'\r', b'\r', b'\n', rest @ ..] = data
                && matches!(rest, [b'\n', ..] | [b'\r', b'\n', ..])
            {
                return Ok(4);
            }
            let [b'\r', b'\n', b'\r', rest @ ..] = data else {
                return Ok(0);
            };
            let (blanks, after) = take_while(rest, |b| matches!(b, b'\r' | b' ' | b'\t'));
            if after.is_empty() && !closed {
                return Err(());
            }
            if blanks.is_empty() {
                return Ok(0);
            }
            let lf = usize::from(after.first() == Some(&b'\n'));
            let after = after.get(lf..).unwrap_or_default();
            if matches!(after, [b'\n', ..] | [b'\r', b'\n', ..]) {
                Ok(0)
            } else {
                Ok(3 + blanks.len() + lf)
            }
        }
    }
}

/// How a piece of a value ends.
enum Ending {
    /// At a line end; the value is complete.
    Line { len: usize, deformed: bool },
    /// At a line end followed by a blank: the value goes on. `len` includes the blank.
    Fold { len: usize, eol: usize, blank: u8 },
    /// At a NUL where a line end should be.
    Nul,
}

/// What ends the value at the front of `data`, which begins with a line end.
fn ending(data: &[u8], side: Side, closed: bool) -> Result<Ending, ()> {
    let regular = eol(data, side);
    let deformed = eol_deformed(data, side, closed)?;
    // Requests may fold after a deformed line end too.
    let first = if side == Side::Request && deformed > 0 {
        deformed
    } else {
        regular
    };
    if first > 0 {
        match data.get(first) {
            Some(&blank @ (b' ' | b'\t' | 0)) => {
                return Ok(Ending::Fold {
                    len: first + 1,
                    eol: first,
                    blank,
                });
            }
            Some(_) => {}
            None if closed => {}
            None => return Err(()),
        }
    }
    if deformed > 0 {
        match data.get(deformed) {
            Some(b' ' | b'\t' | 0) => {}
            Some(_) => {
                return Ok(Ending::Line {
                    len: deformed,
                    deformed: true,
                });
            }
            None if closed => {
                return Ok(Ending::Line {
                    len: deformed,
                    deformed: true,
                });
            }
            None => return Err(()),
        }
    }
    if regular > 0 {
        Ok(Ending::Line {
            len: regular,
            deformed: false,
        })
    } else {
        Ok(Ending::Nul)
    }
}

/// Folds one value may have.
const FOLDS_MAX: usize = 128;

/// A value, folded lines joined, in `out`. Returns bytes consumed, whether a line end was deformed, whether a NUL ended it.
fn value(
    data: &[u8],
    side: Side,
    closed: bool,
    out: &mut Vec<u8>,
) -> Result<(usize, bool, bool), ()> {
    out.clear();
    let mut at = 0usize;
    let mut accepted = 0usize;
    let mut odd = false;
    let mut fold: Option<u8> = None;
    for round in 0..=FOLDS_MAX {
        let rest = data.get(at..).unwrap_or_default();
        if fold.is_some() && side == Side::Response {
            // After a fold, `name: value` is a header of its own to browsers.
            let (_, token) = take_while(rest, |b| b == b' ' || b == b'\t');
            let (name, after) = take_while(token, is_token);
            let (_, after) = take_while(after, |b| b == b' ' || b == b'\t');
            match after.first() {
                None if !closed => return Err(()),
                Some(b':') if !name.is_empty() => return Ok((at, odd, false)),
                _ => {}
            }
        }
        let end = match side {
            Side::Request => memchr::memchr(b'\n', rest),
            Side::Response => memchr::memchr2(b'\n', b'\r', rest),
        };
        // A line without end is no line, even when the connection ends with it.
        let Some(mut end) = end else {
            return Err(());
        };
        if end > 0 && rest.get(end - 1) == Some(&b'\r') {
            end -= 1;
        }
        let piece = rest.get(..end).unwrap_or_default();
        let tail = rest.get(end..).unwrap_or_default();
        let ending = ending(tail, side, closed)?;
        let eol_len = match ending {
            Ending::Line { len, .. } => len,
            Ending::Fold { eol, .. } => eol,
            Ending::Nul => 1,
        };
        let taken = end
            + match ending {
                Ending::Line { len, deformed } => {
                    odd |= deformed;
                    len
                }
                Ending::Fold { len, .. } => len,
                Ending::Nul => 1,
            };
        at = at.saturating_add(taken);
        match fold {
            None => {
                out.extend_from_slice(piece);
                accepted = at;
            }
            Some(blank) => {
                if !out.is_empty() {
                    out.push(blank);
                }
                if !piece.is_empty() || eol_len > 1 {
                    out.extend_from_slice(piece);
                    accepted = at;
                } else if eol_len == 1 && data.get(at) == Some(&b'\n') {
                    // An empty folded line before the empty line: the latter ends the header.
                    accepted = at;
                }
            }
        }
        match ending {
            Ending::Fold { blank, .. } if round < FOLDS_MAX => fold = Some(blank),
            Ending::Nul => return Ok((accepted, odd, true)),
            _ => return Ok((accepted, odd, false)),
        }
    }
    Ok((accepted, odd, false))
}

/// Where the colon is that ends the name at the front of `data`, if the line has one. A browser looks past a line end
/// that is followed by a blank.
fn name_len(data: &[u8], side: Side) -> Option<usize> {
    let mut ended = 0u8;
    for (i, &byte) in data.iter().enumerate() {
        if ended == 0 {
            if byte == b':' {
                return Some(i);
            }
            if byte == b'\n' || (side == Side::Response && byte == b'\r') {
                ended = byte;
            }
        } else if byte == b' ' {
            ended = 0;
        } else if byte == b'\n' && ended == b'\r' {
            ended = byte;
        } else {
            return None;
        }
    }
    None
}

/// Takes one header field, or the header's end, from the front of `data`. `first`: no field came before it.
pub(super) fn step<'a>(
    data: &'a [u8],
    side: Side,
    closed: bool,
    first: bool,
    out: &mut Vec<u8>,
) -> Step<'a> {
    if data.is_empty() {
        return Step::NeedMore;
    }
    if first {
        match data {
            [b'\r', b'\n', ..] => {
                return match eol_deformed(data, side, closed) {
                    Ok(0) => Step::End { consumed: 2 },
                    Ok(consumed) => Step::End { consumed },
                    Err(()) => Step::End { consumed: 2 },
                };
            }
            // Browsers take an LF right after the status line for the header's end only when nothing follows it.
            [b'\n'] => return Step::End { consumed: 1 },
            [b'\n', ..] if side == Side::Request => return Step::End { consumed: 1 },
            [b'\r'] if !closed => return Step::NeedMore,
            _ => {}
        }
    } else {
        if data == b"\r" && !closed {
            return Step::NeedMore;
        }
        let len = eol(data, side);
        if len > 0 {
            return Step::End { consumed: len };
        }
    }
    if let Some(colon) = name_len(data, side) {
        let name = data.get(..colon).unwrap_or_default();
        let rest = data.get(colon + 1..).unwrap_or_default();
        let (blanks, rest) = take_while(rest, |b| b == b' ' || b == b'\t');
        if rest.is_empty() && !closed {
            return Step::NeedMore;
        }
        let Ok((len, deformed_eol, last)) = value(rest, side, closed, out) else {
            return Step::NeedMore;
        };
        let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        let (_, inner) = take_while(name, |b| b == b' ' || b == b'\t');
        let (_, inner) = take_while(inner, is_token);
        let (_, inner) = take_while(inner, |b| b == b' ' || b == b'\t');
        let odd = Oddities {
            name_empty: name.is_empty(),
            no_colon: false,
            name_not_token: !inner.is_empty(),
            name_trailing_space: blank(name.last()),
            name_leading_space: blank(name.first()),
            deformed_eol,
        };
        return Step::Field {
            consumed: colon + 1 + blanks.len() + len,
            name: trim(name),
            odd,
            last,
        };
    }
    match value(data, side, closed, out) {
        Ok((consumed, deformed_eol, last)) if consumed > 0 => Step::Field {
            consumed,
            name: &[],
            odd: Oddities {
                no_colon: true,
                deformed_eol,
                ..Oddities::default()
            },
            last,
        },
        _ => Step::NeedMore,
    }
}

/// One field of a finished header.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: (u32, u32),
    value: (u32, u32),
    hash: u32,
    repeated: bool,
    cookie: bool,
}

/// What became of a field that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is the first of its name.
    New,
    /// It is the second of its name.
    Repeated,
    /// It repeats one that was repeated before.
    Again,
    /// There are too many fields or bytes.
    Full,
}

/// The fields of one header, in the order of their first appearance.
///
/// While fields come in they lie in `text` one after the other; [`Headers::seal`] writes them as rules see them:
/// `Name: value\r\n`, repeated ones joined by `, `, cookies last (so that the buffer without them is one slice).
#[derive(Debug, Default)]
pub(super) struct Headers {
    text: Vec<u8>,
    fields: Vec<Field>,
    /// Further values of repeated fields: which field, where.
    more: Vec<(u16, (u32, u32))>,
    repetitions: u8,
    plain_len: usize,
    sealed: bool,
}

fn slice(text: &[u8], (from, to): (u32, u32)) -> &[u8] {
    text.get(from as usize..to as usize).unwrap_or_default()
}

fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |h, b| {
        (h ^ u32::from(b.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}

impl Headers {
    /// Distinct fields kept.
    pub(super) const COUNT_MAX: usize = 1024;
    /// Bytes of names and values kept.
    pub(super) const BYTES_MAX: usize = 256 * 1024;

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Forgets all (a 100-continue is followed by another header).
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.more.clear();
        (self.repetitions, self.plain_len, self.sealed) = (0, 0, false);
    }

    fn store(&mut self, bytes: &[u8]) -> (u32, u32) {
        let from = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(bytes);
        (from, u32::try_from(self.text.len()).unwrap_or(u32::MAX))
    }

    /// Adds a field. Only the first Content-Length counts; other repeated fields are joined.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) -> Added {
        if self
            .text
            .len()
            .saturating_add(name.len())
            .saturating_add(value.len())
            > Self::BYTES_MAX
        {
            return Added::Full;
        }
        let hash = hash(name);
        let text = &self.text;
        let same = self
            .fields
            .iter_mut()
            .enumerate()
            .find(|(_, f)| f.hash == hash && slice(text, f.name).eq_ignore_ascii_case(name));
        if let Some((at, field)) = same {
            let again = field.repeated;
            if again {
                if self.repetitions >= 64 {
                    return Added::Again;
                }
                self.repetitions += 1;
            }
            field.repeated = true;
            if !name.eq_ignore_ascii_case(b"content-length") {
                let range = self.store(value);
                self.more
                    .push((u16::try_from(at).unwrap_or(u16::MAX), range));
                self.sealed = false;
            }
            return if again { Added::Again } else { Added::Repeated };
        }
        if self.fields.len() > Self::COUNT_MAX {
            return Added::Full;
        }
        let (name, value) = (self.store(name), self.store(value));
        self.fields.push(Field {
            name,
            value,
            hash,
            repeated: false,
            cookie: false,
        });
        self.sealed = false;
        Added::New
    }

    /// Writes the fields as rules see them. `cookie`: the lower-case name that is left out of [`Headers::block`].
    pub(super) fn seal(&mut self, cookie: &[u8]) {
        if self.sealed {
            return;
        }
        self.more.sort_by_key(|(at, _)| *at);
        let old = std::mem::take(&mut self.text);
        for field in &mut self.fields {
            field.cookie = slice(&old, field.name).eq_ignore_ascii_case(cookie);
        }
        let mut text = Vec::with_capacity(old.len() + 4 * self.fields.len() + 2 * self.more.len());
        let end = |text: &Vec<u8>| u32::try_from(text.len()).unwrap_or(u32::MAX);
        for cookies in [false, true] {
            for (i, field) in self.fields.iter_mut().enumerate() {
                if field.cookie != cookies {
                    continue;
                }
                let from = end(&text);
                text.extend_from_slice(slice(&old, field.name));
                let name = (from, end(&text));
                text.extend_from_slice(b": ");
                let from = end(&text);
                text.extend_from_slice(slice(&old, field.value));
                let first = self.more.partition_point(|(at, _)| usize::from(*at) < i);
                for (_, range) in self
                    .more
                    .iter()
                    .skip(first)
                    .take_while(|(at, _)| usize::from(*at) == i)
                {
                    text.extend_from_slice(b", ");
                    text.extend_from_slice(slice(&old, *range));
                }
                (field.name, field.value) = (name, (from, end(&text)));
                text.extend_from_slice(b"\r\n");
            }
            if !cookies {
                self.plain_len = text.len();
            }
        }
        self.more.clear();
        self.text = text;
        self.sealed = true;
    }

    /// `Name: value\r\n` of every field but the cookies. Sealed headers only.
    pub(super) fn block(&self) -> &[u8] {
        if self.sealed {
            self.text.get(..self.plain_len).unwrap_or_default()
        } else {
            &[]
        }
    }

    /// The value of a field, by its lower-case name. Of a repeated field that is not sealed yet: the first value.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).map(|f| slice(&self.text, f.value))
    }

    fn find(&self, name: &[u8]) -> Option<&Field> {
        self.fields
            .iter()
            .find(|f| same_name(slice(&self.text, f.name), name))
    }

    /// `Name: value` of the field at a position. Sealed headers only.
    pub(super) fn line(&self, position: usize) -> Option<&[u8]> {
        let field = self.fields.get(position).filter(|_| self.sealed)?;
        Some(slice(&self.text, (field.name.0, field.value.1)))
    }

    /// Names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|f| (slice(&self.text, f.name), slice(&self.text, f.value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All fields of a block as `name=value`, and what is left of it.
    fn read(mut data: &[u8], side: Side) -> (Vec<String>, Option<usize>) {
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        loop {
            match step(data, side, false, out.is_empty(), &mut scratch) {
                Step::Field {
                    consumed,
                    name,
                    last,
                    ..
                } => {
                    out.push(format!(
                        "{}={}",
                        name.escape_ascii(),
                        trim(&scratch).escape_ascii()
                    ));
                    data = &data[consumed..];
                    if last {
                        return (out, Some(data.len()));
                    }
                }
                Step::End { consumed } => return (out, Some(data.len() - consumed)),
                Step::NeedMore => return (out, None),
            }
        }
    }

    #[test]
    fn any_mix_of_line_ends_is_read() {
        let want = vec!["Name1=Value1", "Name2=Value2", "Name3=Val ue3"];
        for block in [
            &b"Name1: Value1\r\nName2:Value2\r\nName3: Val\r\n ue3\r\n\r\nbody"[..],
            b"Name1: Value1\nName2:Value2\nName3: Val\n ue3\n\nbody",
            b"Name1: Value1\r\nName2:Value2\nName3: Val\r\n ue3\r\n\nbody",
        ] {
            for side in [Side::Request, Side::Response] {
                assert_eq!(
                    read(block, side),
                    (want.iter().map(|s| s.to_string()).collect(), Some(4))
                );
            }
        }
        let cr = b"Name1: Value1\rName2:Value2\rName3: Val\r ue3\r\n\r\nbody";
        assert_eq!(read(cr, Side::Response).0, want);
        assert_eq!(
            read(cr, Side::Request).0,
            ["Name1=Value1\\rName2:Value2\\rName3: Val\\r ue3"]
        );
    }

    #[test]
    fn a_line_without_colon_and_one_without_name_are_fields() {
        assert_eq!(
            read(b"k4 v4\r\n:v2\r\n v2+\r\n\r\n", Side::Request).0,
            ["=k4 v4", "=v2 v2+"]
        );
    }

    #[test]
    fn a_folded_line_that_looks_like_a_field_is_one_in_responses_only() {
        let block = b"b: x\r\n c: d\r\n\r\n";
        assert_eq!(read(block, Side::Request).0, ["b=x c: d"]);
        assert_eq!(read(block, Side::Response).0, ["b=x", "c=d"]);
    }

    #[test]
    fn nothing_is_decided_before_the_byte_after_a_line_end() {
        for (block, _) in [
            (&b"a: b\r\n"[..], 0),
            (b"a: b\r", 0),
            (b"a: ", 0),
            (b"a", 0),
            (b"a: b\n", 0),
        ] {
            assert_eq!(read(block, Side::Response), (vec![], None));
        }
    }

    #[test]
    fn repeated_fields_are_joined_and_cookies_left_out_of_the_block() {
        let mut headers = Headers::default();
        for (n, v) in [
            ("A", "1"),
            ("Cookie", "c"),
            ("B", "2"),
            ("a", "3"),
            ("Content-Length", "5"),
            ("content-length", "6"),
        ] {
            headers.add(n.as_bytes(), v.as_bytes());
        }
        headers.seal(b"cookie");
        assert_eq!(headers.block(), b"A: 1, 3\r\nB: 2\r\nContent-Length: 5\r\n");
        assert_eq!(headers.get(b"cookie"), Some(&b"c"[..]));
        assert_eq!(headers.iter().nth(1), Some((&b"Cookie"[..], &b"c"[..])));
        assert_eq!(headers.line(0), Some(&b"A: 1, 3"[..]));
        headers.add(b"A", b"9");
        headers.seal(b"cookie");
        assert_eq!(headers.get(b"a"), Some(&b"1, 3, 9"[..]));
    }

    #[test]
    fn the_number_of_fields_and_bytes_is_bounded() {
        let mut headers = Headers::default();
        let full = (0..5000).find(|i| headers.add(format!("h{i}").as_bytes(), b"v") == Added::Full);
        assert_eq!(full, Some(Headers::COUNT_MAX + 1));
        let mut headers = Headers::default();
        assert_eq!(
            headers.add(b"a", &vec![b'x'; Headers::BYTES_MAX]),
            Added::Full
        );
    }
}
