//! Requests: the line, the header, the body, and what follows it.
//!
//! Source: RFC 9112 §2–§7 and §9; how lenient servers read (IIS and Apache), as libhtp models it.

use super::chunk::{self, ChunkLine};
use super::content::{entity, gap, set_decoder, wire};
use super::event::Event;
use super::header_field::{self, ReadField};
use super::headers::{self, Side, Step};
use super::session::{FIELD_MAX, Run, Shared};
use super::text::{chomp, contains_word, content_length, digits, is_space, line, take_while, trim};
use super::tx::{Coding, Method, Part, Tx, Version, progress};
use super::uri::{self, Uri};
use crate::packet::Direction;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The next request, if there are any.
    #[default]
    Idle,
    Line,
    Headers,
    /// After a CONNECT: nothing before the answer.
    ConnectWait,
    /// After an accepted CONNECT that is not the first request.
    ConnectProbe,
    ChunkLine,
    ChunkData(u64),
    /// The line end after a chunk.
    ChunkEnd,
    Identity(u64),
    /// The request is complete: what comes with it decides.
    Finalize,
    /// After an HTTP/0.9 request.
    Ignore,
}

/// Reader of the client's stream.
#[derive(Debug, Default)]
pub(super) struct RequestState {
    at: At,
    /// Fields read in the current header or trailer.
    fields: usize,
    /// The body's length and what is missing of it.
    length: u64,
    value: Vec<u8>,
}

/// What one step did.
enum Done {
    /// Took bytes; go on.
    Took(usize),
    Stop(Run),
}

impl RequestState {
    /// Reads as far as the data goes.
    pub(super) fn run(&mut self, shared: &mut Shared, data: &[u8], closed: bool) -> (usize, Run) {
        if self.at == At::Finalize && !shared.request_finished {
            // A response that came meanwhile made it complete.
            self.at = At::Idle;
        }
        let result = self.read(shared, data, closed);
        shared.request_finished = self.at == At::Finalize;
        shared.request_busy = !matches!(self.at, At::Idle | At::Ignore | At::Finalize);
        result
    }

    fn read(&mut self, shared: &mut Shared, data: &[u8], closed: bool) -> (usize, Run) {
        let mut at = 0usize;

        loop {
            let rest = data.get(at..).unwrap_or_default();
            let id = shared.request_id;
            let idle = matches!(self.at, At::Idle | At::Finalize);
            let done = match self.at {
                At::Idle => self.idle(shared, rest),
                At::Line => self.line(shared, id, rest, closed),
                At::Headers => self.headers(shared, id, rest, closed),
                At::ConnectWait => self.connect_wait(shared, id),
                At::ConnectProbe => self.connect_probe(shared, rest),
                At::ChunkLine => self.chunk_line(shared, id, rest),
                At::ChunkData(left) => self.chunk_data(shared, id, rest, left),
                At::ChunkEnd => match line(rest) {
                    Some(line) => {
                        self.at = At::ChunkLine;
                        Done::Took(line.len())
                    }
                    None if rest.is_empty() => Done::Stop(Run::Wait),
                    None => Done::Took(rest.len()),
                },
                At::Identity(left) => self.identity(shared, id, rest, left),
                At::Finalize => self.finalize(shared, id, rest, closed),
                At::Ignore if rest.is_empty() => Done::Stop(Run::Wait),
                At::Ignore => Done::Took(rest.len()),
            };
            let taken = match done {
                Done::Took(taken) => taken,
                Done::Stop(_) => 0,
            };
            let idle = (idle, matches!(self.at, At::Idle | At::Finalize));
            shared.note_frame(Direction::ToServer, at + taken, idle);
            match done {
                Done::Took(taken) => at += taken,
                Done::Stop(run) => return (at, run),
            }
            if shared.tunnel {
                return (data.len(), Run::Wait);
            }
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, shared: &mut Shared, len: u64) {
        let id = shared.request_id;
        let mut len = len;
        if let At::Identity(left) = self.at {
            let missing = left.min(len);
            len -= missing;
            gap(shared, id, Direction::ToServer, missing);
            self.at = At::Identity(left - missing);
            if left == missing {
                self.at = At::Finalize;
                self.complete(shared, id);
            }
        } else if self.at == At::Finalize {
            self.complete(shared, id);
        }
        if len > 0 && id + u64::from(self.at != At::Idle) > 0 {
            shared.raise(id, Event::InvalidGap);
        }
    }

    /// The server refused the body that the client announced (`Expect: 100-continue`).
    pub(super) fn body_refused(&mut self, shared: &mut Shared) {
        if let At::Identity(left) = self.at
            && left == self.length
        {
            self.at = At::Finalize;
            (shared.request_finished, shared.request_busy) = (true, false);
        }
    }

    fn idle(&mut self, shared: &mut Shared, rest: &[u8]) -> Done {
        if rest.is_empty() {
            return Done::Stop(Run::Wait);
        }
        let Some(tx) = shared.open() else {
            return Done::Stop(Run::Error);
        };
        tx.request.progress = progress::LINE;
        shared.request_id = tx.state.id;
        self.at = At::Line;
        Done::Took(0)
    }

    fn line(&mut self, shared: &mut Shared, id: u64, rest: &[u8], closed: bool) -> Done {
        let text = match line(rest) {
            Some(line) => line,
            None if closed && !rest.is_empty() => rest,
            None if rest.len() <= FIELD_MAX => return Done::Stop(Run::Wait),
            None => rest,
        };
        if text.len() > FIELD_MAX {
            shared.raise(id, Event::RequestFieldTooLong);
            return Done::Stop(Run::Error);
        }
        let taken = text.len();
        if matches!(text, b"\r" | b"\n" | b"\r\n") {
            return Done::Took(taken);
        }
        let mut raised = Vec::new();
        let Some(tx) = shared.tx(id) else {
            return Done::Stop(Run::Error);
        };
        parse_line(tx, chomp(text), &mut raised);
        if tx.request.number == Method::Connect && tx.request.uri.is_none() {
            return Done::Stop(Run::Error);
        }
        let target = Uri::new(
            tx.raw_uri().unwrap_or_default(),
            tx.request.number == Method::Connect,
        );
        tx.request.flags.uri_host_invalid = target.host_invalid;
        tx.request.target = target;
        if tx.request.flags.uri_host_invalid {
            tx.state.raise(Event::RequestUriHostInvalid as u8);
        }
        self.at = At::Headers;
        self.fields = 0;
        if tx.request.short {
            let after = rest.get(taken..).unwrap_or_default();
            let (blank, more) = take_while(after, is_space);
            if more.is_empty() && blank.len() <= 16 {
                self.at = At::Finalize;
            } else {
                // A header follows: it is a later version that does not say so.
                tx.request.short = false;
                raised.push(Event::RequestLineMissingProtocol);
            }
        }
        if self.at == At::Headers {
            tx.request.progress = progress::HEADERS;
        }
        for event in raised {
            shared.raise(id, event);
        }
        Done::Took(taken)
    }

    fn headers(&mut self, shared: &mut Shared, id: u64, rest: &[u8], closed: bool) -> Done {
        let mut value = std::mem::take(&mut self.value);
        let step = headers::step(rest, Side::Request, closed, self.fields == 0, &mut value);
        let done = match step {
            Step::Field { consumed, .. } if consumed > FIELD_MAX => {
                shared.raise(id, Event::RequestFieldTooLong);
                Done::Stop(Run::Error)
            }
            Step::Field {
                consumed,
                name,
                odd,
                last,
            } => {
                self.fields += 1;
                let raw = rest.get(..consumed).unwrap_or_default();
                let value = trim(&value);
                let read = ReadField {
                    raw,
                    name,
                    value,
                    odd,
                };
                if !header_field::add(shared, id, Direction::ToServer, read) {
                    Done::Stop(Run::Error)
                } else if last {
                    self.headers_end(shared, id).unwrap_or(Done::Took(consumed))
                } else {
                    Done::Took(consumed)
                }
            }
            Step::End { consumed } => {
                if let Some(tx) = shared.tx(id) {
                    tx.request
                        .raw
                        .extend_from_slice(rest.get(..consumed).unwrap_or_default());
                }
                self.headers_end(shared, id).unwrap_or(Done::Took(consumed))
            }
            Step::NeedMore if closed => {
                // The connection ends within the header.
                if let Some(tx) = shared.tx(id) {
                    tx.request.raw.extend_from_slice(rest);
                    tx.request.headers.seal(b"cookie");
                    tx.request.progress = progress::TRAILER;
                }
                self.at = At::Finalize;
                Done::Took(rest.len())
            }
            Step::NeedMore if rest.len() > FIELD_MAX => {
                shared.raise(id, Event::RequestFieldTooLong);
                Done::Stop(Run::Error)
            }
            Step::NeedMore => Done::Stop(Run::Wait),
        };
        self.value = value;
        done
    }

    fn headers_end(&mut self, shared: &mut Shared, id: u64) -> Option<Done> {
        let Some(tx) = shared.tx(id) else {
            return Some(Done::Stop(Run::Error));
        };
        tx.request.headers.seal(b"cookie");
        tx.state.touch(Direction::ToServer);
        if tx.request.progress > progress::HEADERS {
            self.at = At::Finalize;
            return None;
        }
        let mut raised = Vec::new();
        understand(tx, &mut raised);
        let coding = tx.request.coding;
        let connect = tx.request.number == Method::Connect;
        let length = tx.request.length.unwrap_or(0);
        if coding == Coding::Invalid {
            tx.raise_flags();
        }
        self.length = length;
        self.at = match coding {
            _ if connect => At::ConnectWait,
            Coding::Chunked => At::ChunkLine,
            Coding::Identity if length > 0 => At::Identity(length),
            _ => At::Finalize,
        };
        if matches!(self.at, At::ChunkLine | At::Identity(_)) {
            tx.request.progress = progress::BODY;
        }
        for event in raised {
            shared.raise(id, event);
        }
        set_decoder(shared, id, Direction::ToServer);
        (coding == Coding::Invalid).then_some(Done::Stop(Run::Error))
    }

    fn connect_wait(&mut self, shared: &mut Shared, id: u64) -> Done {
        let Some(tx) = shared.tx(id) else {
            return Done::Stop(Run::Error);
        };
        if tx.response.progress <= progress::LINE {
            return Done::Stop(Run::Suspend);
        }
        self.at = if tx.response.status.within(200, 299) {
            At::ConnectProbe
        } else {
            At::Finalize
        };
        Done::Took(0)
    }

    fn connect_probe(&mut self, shared: &mut Shared, rest: &[u8]) -> Done {
        let Some(end) = memchr::memchr2(b'\n', 0, rest) else {
            return Done::Stop(if rest.len() > FIELD_MAX {
                Run::Error
            } else {
                Run::Wait
            });
        };
        if first_word(rest.get(..end).unwrap_or_default()) == Method::Unknown {
            shared.tunnel = true;
            return Done::Took(rest.len());
        }
        self.complete(shared, shared.request_id);
        Done::Took(0)
    }

    fn chunk_line(&mut self, shared: &mut Shared, id: u64, rest: &[u8]) -> Done {
        match chunk::line(rest) {
            ChunkLine::NeedMore if rest.len() > FIELD_MAX => {
                shared.raise(id, Event::RequestFieldTooLong);
                Done::Stop(Run::Error)
            }
            ChunkLine::NeedMore => Done::Stop(Run::Wait),
            ChunkLine::Blank { taken } => {
                wire(shared, id, Direction::ToServer, taken);
                Done::Took(taken)
            }
            ChunkLine::Invalid => {
                shared.raise(id, Event::InvalidRequestChunkLen);
                Done::Stop(Run::Error)
            }
            ChunkLine::Length {
                taken,
                length,
                extension,
            } => {
                wire(shared, id, Direction::ToServer, taken);
                if extension {
                    shared.raise(id, Event::RequestChunkExtension);
                }
                let Some(length) = length else {
                    shared.raise(id, Event::InvalidRequestChunkLen);
                    return Done::Stop(Run::Error);
                };
                if length > 0 {
                    self.at = At::ChunkData(length);
                } else {
                    self.at = At::Headers;
                    self.fields = 0;
                    if let Some(tx) = shared.tx(id) {
                        tx.request.progress = progress::TRAILER;
                    }
                }
                Done::Took(taken)
            }
        }
    }

    fn chunk_data(&mut self, shared: &mut Shared, id: u64, rest: &[u8], left: u64) -> Done {
        let (bytes, left) = split(rest, left);
        if bytes.is_empty() {
            return Done::Stop(Run::Wait);
        }
        entity(shared, id, Direction::ToServer, bytes);
        self.at = if left == 0 {
            At::ChunkEnd
        } else {
            At::ChunkData(left)
        };
        Done::Took(bytes.len())
    }

    fn identity(&mut self, shared: &mut Shared, id: u64, rest: &[u8], left: u64) -> Done {
        let (bytes, left) = split(rest, left);
        if bytes.is_empty() {
            return Done::Stop(Run::Wait);
        }
        entity(shared, id, Direction::ToServer, bytes);
        self.at = if left == 0 {
            At::Finalize
        } else {
            At::Identity(left)
        };
        Done::Took(bytes.len())
    }

    /// The request is complete, unless what comes with it can be no request.
    fn finalize(&mut self, shared: &mut Shared, id: u64, rest: &[u8], closed: bool) -> Done {
        if rest.is_empty() {
            self.complete(shared, id);
            return Done::Took(0);
        }
        let (text, with_end) = match line(rest) {
            Some(line) => (line.get(..line.len() - 1).unwrap_or_default(), line),
            None if closed => (rest, rest),
            None if rest.len() > FIELD_MAX => {
                shared.raise(id, Event::RequestFieldTooLong);
                return Done::Stop(Run::Error);
            }
            None => return Done::Stop(Run::Wait),
        };
        let (_, word) = take_while(text, is_space);
        if text.is_empty() || (!word.is_empty() && first_word(text) != Method::Unknown) {
            self.complete(shared, id);
            return Done::Took(0);
        }
        if !word.is_empty() {
            shared.raise(id, Event::RequestBodyUnexpected);
        }
        entity(shared, id, Direction::ToServer, with_end);
        Done::Took(with_end.len())
    }

    fn complete(&mut self, shared: &mut Shared, id: u64) {
        let short = shared.tx(id).is_some_and(|tx| tx.request.short);
        self.at = if short { At::Ignore } else { At::Idle };
        shared.complete_request();
    }
}

/// The front of `rest` that belongs to something of which `left` bytes are missing, and what is missing then.
pub(super) fn split(rest: &[u8], left: u64) -> (&[u8], u64) {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    (rest.get(..len).unwrap_or_default(), left - len as u64)
}

/// The method that a line begins with.
fn first_word(text: &[u8]) -> Method {
    let (_, text) = take_while(text, is_space);
    let (word, _) = take_while(text, |b| !is_space(b));
    Method::named(word)
}

/// A version in words: `HTTP/1.1`, blanks and leading zeros allowed. Also whether there were any.
pub(super) fn version(text: &[u8]) -> (Version, bool) {
    let (_, rest) = take_while(text, |b| b.is_ascii_whitespace());
    let Some((http, rest)) = rest.split_at_checked(4) else {
        return (Version::Invalid, false);
    };
    if !http.eq_ignore_ascii_case(b"http") {
        return (Version::Invalid, false);
    }
    let (before, rest) = take_while(rest, |b| b.is_ascii_whitespace());
    let Some(rest) = rest.strip_prefix(b"/") else {
        return (Version::Invalid, false);
    };
    let (after, rest) = take_while(rest, |b| b.is_ascii_whitespace() || b == b'0');
    let version = match rest.trim_ascii_end() {
        b".9" => Version::V09,
        b"1.0" => Version::V10,
        b"1.1" => Version::V11,
        _ => return (Version::Invalid, false),
    };
    // "0.9" has a zero of its own.
    (version, !before.is_empty() || !after.is_empty())
}

/// Reads a request line into the transaction.
fn parse_line(tx: &mut Tx, text: &[u8], raised: &mut Vec<Event>) {
    let request = &mut tx.request;
    request.line.clear();
    request.line.extend_from_slice(text);
    let offset = |part: &[u8]| -> Part {
        let from = part.as_ptr() as usize - text.as_ptr() as usize;
        Some((from, from + part.len()))
    };
    let (leading, rest) = take_while(text, is_space);
    if !leading.is_empty() {
        raised.push(Event::RequestLineLeadingWhitespace);
    }
    let (method, rest) = take_while(rest, |b| !is_space(b));
    request.method = offset(method);
    request.number = Method::named(method);
    let unknown = request.number == Method::Unknown;
    let (blanks, rest) = take_while(rest, is_space);
    if blanks.iter().any(|b| *b != b' ') {
        raised.push(Event::MethodDelimNonCompliant);
    }
    if rest.is_empty() {
        (request.short, request.version) = (true, Version::V09);
        if unknown {
            raised.push(Event::RequestLineUnknownMethod);
        }
        return;
    }
    let rest = trim(rest);
    // Blanks within the URI are allowed: the last one is before the protocol.
    let cut = |test: &dyn Fn(u8) -> bool| match rest.iter().rposition(|b| test(*b)) {
        Some(at) => (
            trim(rest.get(..at).unwrap_or_default()),
            trim(rest.get(at + 1..).unwrap_or_default()),
        ),
        None => (rest, &rest[rest.len()..]),
    };
    let (mut uri, mut protocol) = cut(&|b| b == b' ');
    if uri.iter().any(|b| is_space(*b) && *b != b' ') {
        raised.push(Event::UriDelimNonCompliant);
        if uri.len() == rest.len() {
            (uri, protocol) = cut(&is_space);
        }
    }
    request.uri = offset(uri);
    if protocol.is_empty() {
        (request.short, request.version) = (true, Version::V09);
        if unknown {
            raised.push(Event::RequestLineUnknownMethodNoProtocol);
        }
        return;
    }
    request.protocol = offset(protocol);
    let (number, extra) = version(protocol);
    request.version = number;
    if extra {
        raised.push(Event::ProtocolContainsExtraData);
    }
    if unknown && number == Version::Invalid {
        raised.push(Event::RequestLineUnknownMethodInvalidProtocol);
    }
}

/// What the header says about body and host.
fn understand(tx: &mut Tx, raised: &mut Vec<Event>) {
    let request = &mut tx.request;
    let headers = &request.headers;
    let length = headers.get(b"content-length");
    if let Some(te) = headers.get(b"transfer-encoding") {
        if contains_word(te, b"chunked") {
            // Chunked before HTTP/1.1: some servers ignore it.
            request.flags.transfer_encoding_invalid = request.version < Version::V11;
            request.coding = Coding::Chunked;
        } else {
            request.flags.transfer_encoding_invalid = true;
            request.coding = Coding::Invalid;
        }
    } else if let Some(length) = length {
        request.length = content_length(length);
        extra_data(length, raised);
        request.flags.content_length_invalid = request.length.is_none();
        request.coding = if request.length.is_some() {
            Coding::Identity
        } else {
            Coding::Invalid
        };
    } else {
        request.coding = Coding::NoBody;
    }
    request.host = request.target.host.clone();
    request.port = request.target.port;
    match headers.get(b"host") {
        Some(value) => match uri::authority(value) {
            Some(authority) => {
                request.flags.header_host_invalid = !authority.valid;
                match &request.host {
                    None => {
                        request.host = Some(authority.host.to_ascii_lowercase());
                        request.port = authority.port.flatten().or(request.port);
                    }
                    Some(host) => {
                        let other_port = authority
                            .port
                            .is_some_and(|p| request.port.is_some() && p != request.port);
                        request.flags.host_ambiguous =
                            !host.eq_ignore_ascii_case(authority.host) || other_port;
                    }
                }
            }
            None => request.flags.host_ambiguous = request.host.is_some(),
        },
        None => request.flags.host_missing = request.version >= Version::V11,
    }
    if let Some(auth) = headers.get(b"authorization") {
        let known = [&b"basic"[..], b"digest", b"bearer"];
        request.flags.auth_unrecognized = !known.iter().any(|k| {
            auth.get(..k.len())
                .is_some_and(|a| a.eq_ignore_ascii_case(k))
        });
    }
}

/// A Content-Length with something around the number.
pub(super) fn extra_data(value: &[u8], raised: &mut Vec<Event>) {
    if let Some((before, _, after)) = digits(value) {
        if !before.is_empty() {
            raised.push(Event::ContentLengthExtraDataStart);
        }
        if !after.is_empty() {
            raised.push(Event::ContentLengthExtraDataEnd);
        }
    }
}
