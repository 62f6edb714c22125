//! Responses: the status line, the header, the body, and what follows it.
//!
//! Browsers take nearly anything for a response, and so does this: junk before the status line, a status that is no
//! number, a body where none may be, chunk sizes that are none.
//!
//! Source: RFC 9112 §4–§9; what browsers accept (Steffen Ullrich's HTTP evasion studies), as libhtp models it.

use super::chunk::{self, ChunkLine};
use super::content::{entity, gap, set_decoder, wire};
use super::event::Event;
use super::header_field::{self, ReadField};
use super::headers::{self, Side, Step};
use super::request::{extra_data, split, version};
use super::session::{FIELD_MAX, Run, Shared};
use super::text::{chomp, contains_word, content_length, is_space, line, take_while, trim};
use super::tx::{Coding, Method, Status, Tx, Version, progress};
use crate::app::{TxList, registry};
use crate::packet::Direction;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// The next response, if there are any.
    #[default]
    Idle,
    Line,
    Headers,
    ChunkLine,
    ChunkData(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// A body of known length.
    Identity(u64),
    /// A body until the connection ends.
    UntilClose,
    /// The response is complete: what comes with it decides.
    Finalize,
}

/// Reader of the server's stream.
#[derive(Debug, Default)]
pub(super) struct ResponseState {
    at: At,
    /// Fields read in the current header or trailer.
    fields: usize,
    /// The last line end of the header was an LF that a CR may follow and belong to.
    skip_cr: bool,
    value: Vec<u8>,
    /// The request's body will not come.
    pub ends_request: bool,
}

/// What one step did.
enum Done {
    /// Took bytes; go on.
    Took(usize),
    Stop(Run),
    /// Took bytes, and stops.
    After(usize, Run),
}

/// Whether a line cannot be a status line: browsers only look for `HTTP` at its front.
fn is_body(line: &[u8]) -> bool {
    let (_, rest) = take_while(line, |b| is_space(b) || b == 0);
    !rest
        .get(..4)
        .is_some_and(|w| w.eq_ignore_ascii_case(b"http"))
}

impl ResponseState {
    /// Reads as far as the data goes.
    pub(super) fn run(&mut self, shared: &mut Shared, data: &[u8], closed: bool) -> (usize, Run) {
        let mut at = 0usize;
        loop {
            let mut rest = data.get(at..).unwrap_or_default();
            if self.skip_cr && !rest.is_empty() {
                self.skip_cr = false;
                if rest.first() == Some(&b'\r') {
                    at += 1;
                    rest = data.get(at..).unwrap_or_default();
                }
            }
            let id = shared.response_id;
            let idle = matches!(self.at, At::Idle | At::Finalize);
            let done = match self.at {
                At::Idle if closed => Done::Stop(Run::Wait),
                At::Idle => self.idle(shared, rest),
                At::Line => self.line(shared, id, rest, closed),
                At::Headers => self.headers(shared, id, rest, closed),
                At::ChunkLine => self.chunk_line(shared, id, rest),
                At::ChunkEnd => match line(rest) {
                    Some(line) => {
                        wire(shared, id, Direction::ToClient, line.len());
                        self.at = At::ChunkLine;
                        Done::Took(line.len())
                    }
                    None if rest.is_empty() => Done::Stop(Run::Wait),
                    None => Done::Took(rest.len()),
                },
                At::ChunkData(left) | At::Identity(left) => {
                    self.data(shared, id, rest, left, closed)
                }
                At::UntilClose if !rest.is_empty() => {
                    entity(shared, id, Direction::ToClient, rest);
                    Done::Took(rest.len())
                }
                At::UntilClose if closed => {
                    self.at = At::Finalize;
                    Done::Took(0)
                }
                At::UntilClose => Done::Stop(Run::Wait),
                At::Finalize => self.finalize(shared, id, rest, closed),
            };
            let taken = match done {
                Done::Took(taken) => taken,
                Done::After(taken, _) => taken,
                Done::Stop(_) => 0,
            };
            let idle = (idle, matches!(self.at, At::Idle | At::Finalize));
            shared.note_frame(Direction::ToClient, at + taken, idle);
            match done {
                Done::Took(taken) => at += taken,
                Done::Stop(run) => return (at, run),
                Done::After(taken, run) => return (at + taken, run),
            }
            if shared.tunnel {
                return (data.len(), Run::Wait);
            }
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, shared: &mut Shared, len: u64) {
        let id = shared.response_id;
        let mut len = len;
        match self.at {
            At::Identity(left) => {
                let missing = left.min(len);
                len -= missing;
                gap(shared, id, Direction::ToClient, missing);
                self.at = At::Identity(left - missing);
                if left == missing {
                    let _ = self.complete(shared, id);
                }
            }
            At::UntilClose => {
                gap(shared, id, Direction::ToClient, len);
                len = 0;
            }
            At::Finalize => {
                let _ = self.complete(shared, id);
            }
            _ => {}
        }
        if len > 0 && id + u64::from(self.at != At::Idle) > 0 {
            shared.raise(id, Event::InvalidGap);
        }
    }

    fn idle(&mut self, shared: &mut Shared, rest: &[u8]) -> Done {
        if rest.is_empty() {
            return Done::Stop(Run::Wait);
        }
        let mut id = shared.response_id;
        if id >= shared.txs.total() {
            // No request for it was seen.
            let busy = shared.request_busy;
            if shared.request_finished {
                shared.complete_request();
            }
            let Some(tx) = shared.open() else {
                return Done::Stop(Run::Error);
            };
            tx.unrequested = true;
            tx.request.progress = progress::COMPLETE;
            id = tx.state.id;
            shared.response_id = id;
            if !busy {
                shared.request_id = id + 1;
            }
            shared.raise(id, Event::UnableToMatchResponseToRequest);
        }
        let Some(tx) = shared.tx(id) else {
            return Done::Stop(Run::Error);
        };
        if tx.request.short {
            tx.response.coding = Coding::Identity;
            tx.response.progress = progress::BODY;
            self.at = At::UntilClose;
        } else {
            tx.response.progress = progress::LINE;
            self.at = At::Line;
        }
        if tx.request.progress == progress::LINE && tx.request.method.is_none() {
            shared.raise(id, Event::RequestLineIncomplete);
        }
        Done::Took(0)
    }

    fn line(&mut self, shared: &mut Shared, id: u64, rest: &[u8], closed: bool) -> Done {
        let end = match memchr::memchr2(b'\r', b'\n', rest) {
            Some(at) if rest.get(at) == Some(&b'\n') => Some(at + 1),
            Some(at) => match rest.get(at + 1) {
                Some(b'\n') => Some(at + 2),
                Some(_) => Some(at + 1),
                None if closed => Some(at + 1),
                None => None,
            },
            None => None,
        };
        let taken = match end {
            Some(end) => end,
            None if closed && !rest.is_empty() => rest.len(),
            None if rest.len() <= FIELD_MAX => return Done::Stop(Run::Wait),
            None => rest.len(),
        };
        if taken > FIELD_MAX {
            shared.raise(id, Event::ResponseFieldTooLong);
            return Done::Stop(Run::Error);
        }
        let text = rest.get(..taken).unwrap_or_default();
        let after = rest.get(taken..).unwrap_or_default();
        if matches!(text, b"\r" | b"\n" | b"\r\n") {
            if closed {
                self.at = At::Finalize;
            }
            return Done::Took(taken);
        }
        let Some(tx) = shared.tx(id) else {
            return Done::Stop(Run::Error);
        };
        if is_body(text) {
            if after.len() < 2 && !closed {
                // What follows decides whether it is junk before the status line or a body without one.
                return Done::Stop(if rest.len() > FIELD_MAX {
                    Run::Error
                } else {
                    Run::Wait
                });
            }
            if after.len() > 1 && (after.first() == Some(&b'H') || chomp(text).len() <= 2) {
                return Done::Took(taken);
            }
            if after.is_empty() {
                tx.response.coding = Coding::Identity;
                tx.response.progress = progress::BODY;
                self.at = At::Finalize;
            }
            entity(shared, id, Direction::ToClient, text);
            return Done::Took(taken);
        }
        let mut raised = Vec::new();
        parse_line(tx, text, &mut raised);
        tx.response.progress = progress::HEADERS;
        self.at = At::Headers;
        self.fields = 0;
        for event in raised {
            shared.raise(id, event);
        }
        Done::Took(taken)
    }

    fn headers(&mut self, shared: &mut Shared, id: u64, rest: &[u8], closed: bool) -> Done {
        let mut value = std::mem::take(&mut self.value);
        let step = headers::step(rest, Side::Response, closed, self.fields == 0, &mut value);
        let done = match step {
            Step::Field { consumed, .. } if consumed > FIELD_MAX => {
                shared.raise(id, Event::ResponseFieldTooLong);
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
                if !header_field::add(shared, id, Direction::ToClient, read) {
                    Done::Stop(Run::Error)
                } else if last {
                    self.headers_end(shared, id).unwrap_or(Done::Took(consumed))
                } else {
                    Done::Took(consumed)
                }
            }
            Step::End { consumed } => {
                if let Some(tx) = shared.tx(id) {
                    tx.response
                        .raw
                        .extend_from_slice(rest.get(..consumed).unwrap_or_default());
                }
                self.skip_cr = self.fields > 0 && consumed == 1 && rest == b"\n";
                match self.headers_end(shared, id) {
                    None => Done::Took(consumed),
                    Some(Done::Stop(run)) => Done::After(consumed, run),
                    Some(done) => done,
                }
            }
            Step::NeedMore if closed => {
                // The connection ends within the header.
                if let Some(tx) = shared.tx(id) {
                    tx.response.raw.extend_from_slice(rest);
                    tx.response.headers.seal(b"set-cookie");
                }
                self.at = At::Finalize;
                Done::Took(rest.len())
            }
            Step::NeedMore if rest.len() > FIELD_MAX => {
                shared.raise(id, Event::ResponseFieldTooLong);
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
        tx.response.headers.seal(b"set-cookie");
        tx.state.touch(Direction::ToClient);
        if tx.response.progress > progress::HEADERS {
            self.at = At::Finalize;
            return None;
        }
        self.body(shared, id)
    }

    /// Whether there is a body, and how it is delimited.
    fn body(&mut self, shared: &mut Shared, id: u64) -> Option<Done> {
        let Some(tx) = shared.tx(id) else {
            return Some(Done::Stop(Run::Error));
        };
        let mut raised = Vec::new();
        let status = tx.response.status;
        if tx.request.number == Method::Connect && status.within(200, 299) {
            self.at = At::Finalize;
            return None;
        }
        let length = tx
            .response
            .headers
            .get(b"content-length")
            .map(<[u8]>::to_vec);
        let coding = tx
            .response
            .headers
            .get(b"transfer-encoding")
            .map(<[u8]>::to_vec);
        let bare = length.is_none() && coding.is_none();
        if status == Status::Code(101) {
            if bare {
                return Some(self.upgrade(shared, id));
            }
            raised.push(Event::SwitchingProtoWithContentLength);
        } else if status == Status::Code(100)
            && coding.is_none()
            && length
                .as_deref()
                .and_then(content_length)
                .is_none_or(|n| n == 0)
        {
            if tx.response.continued {
                raised.push(Event::ContinueAlreadySeen);
            }
            tx.response.continued = true;
            tx.response.headers.clear();
            tx.response.raw.clear();
            tx.response.progress = progress::LINE;
            self.at = At::Line;
            for event in raised {
                shared.raise(id, event);
            }
            return None;
        } else if status.within(400, 499)
            && tx.request.headers.get(b"expect") == Some(b"100-continue")
        {
            self.ends_request = true;
        }
        let tx = shared.tx(id)?;
        let response = &mut tx.response;
        let mut none = tx.request.number == Method::Head;
        if !none && (status.within(100, 199) || matches!(status, Status::Code(204 | 304))) {
            // There should be no body, but browsers take one that is announced.
            none = bare;
            if !none {
                raised.push(Event::ResponseBodyUnexpected);
            }
        }
        let byteranges = response
            .headers
            .get(b"content-type")
            .is_some_and(|t| contains_word(t, b"multipart/byteranges"));
        let mut fatal = false;
        if none {
            response.coding = Coding::NoBody;
            self.at = At::Finalize;
        } else if let Some(coding) = coding.filter(|c| contains_word(c, b"chunked")) {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                raised.push(Event::ResponseAbnormalTransferEncoding);
            }
            if response.version < Version::V11 {
                raised.push(Event::ResponseChunkedOldProto);
            }
            response.coding = Coding::Chunked;
            self.at = At::ChunkLine;
        } else if let Some(length) = length {
            response.coding = Coding::Identity;
            extra_data(&length, &mut raised);
            match content_length(&length) {
                Some(0) => self.at = At::Finalize,
                Some(length) => self.at = At::Identity(length),
                None => {
                    raised.push(Event::InvalidContentLengthFieldInResponse);
                    fatal = true;
                }
            }
        } else if byteranges {
            raised.push(Event::ResponseMultipartByteranges);
            fatal = true;
        } else {
            response.coding = Coding::Identity;
            self.at = At::UntilClose;
        }
        if !fatal && !matches!(self.at, At::Finalize) {
            response.progress = progress::BODY;
        }
        for event in raised {
            shared.raise(id, event);
        }
        if fatal {
            return Some(Done::Stop(Run::Error));
        }
        set_decoder(shared, id, Direction::ToClient);
        None
    }

    /// 101: the connection goes on in another protocol.
    fn upgrade(&mut self, shared: &mut Shared, id: u64) -> Done {
        let Some(tx) = shared.tx(id) else {
            return Done::Stop(Run::Error);
        };
        tx.response.coding = Coding::NoBody;
        let to = tx.response.headers.get(b"upgrade").and_then(|upgrade| {
            let name = match upgrade {
                b"h2c" => "http2",
                other if other.eq_ignore_ascii_case(b"websocket") => "websocket",
                _ => return None,
            };
            Some(registry::number(name)).filter(|proto| proto.is_known())
        });
        tx.response.progress = progress::COMPLETE;
        tx.request.progress = progress::COMPLETE;
        tx.state.updated = [true; 2];
        shared.responses += 1;
        shared.response_id = id + 1;
        self.at = At::Idle;
        if to.is_none() {
            shared.tunnel = true;
            return Done::Took(0);
        }
        Done::Stop(Run::Switch(to))
    }

    fn chunk_line(&mut self, shared: &mut Shared, id: u64, rest: &[u8]) -> Done {
        let to_identity = |state: &mut Self, shared: &mut Shared| {
            if let Some(tx) = shared.tx(id) {
                tx.response.coding = Coding::Identity;
            }
            shared.raise(id, Event::InvalidResponseChunkLen);
            state.at = At::UntilClose;
            Done::Took(0)
        };
        match chunk::line(rest) {
            ChunkLine::NeedMore if rest.len() > FIELD_MAX => {
                shared.raise(id, Event::ResponseFieldTooLong);
                Done::Stop(Run::Error)
            }
            ChunkLine::NeedMore => Done::Stop(Run::Wait),
            ChunkLine::Blank { taken } => {
                wire(shared, id, Direction::ToClient, taken);
                Done::Took(taken)
            }
            ChunkLine::Invalid => to_identity(self, shared),
            ChunkLine::Length {
                taken,
                length,
                extension,
            } => {
                wire(shared, id, Direction::ToClient, taken);
                if extension {
                    shared.raise(id, Event::ResponseChunkExtension);
                }
                match length {
                    Some(0) => {
                        self.at = At::Headers;
                        self.fields = 0;
                        if let Some(tx) = shared.tx(id) {
                            tx.response.progress = progress::TRAILER;
                        }
                    }
                    Some(length) => self.at = At::ChunkData(length),
                    None => {}
                }
                Done::Took(taken)
            }
        }
    }

    fn data(&mut self, shared: &mut Shared, id: u64, rest: &[u8], left: u64, closed: bool) -> Done {
        let chunked = matches!(self.at, At::ChunkData(_));
        let (bytes, left) = split(rest, left);
        if bytes.is_empty() {
            if closed {
                self.at = At::Finalize;
                return Done::Took(0);
            }
            return Done::Stop(Run::Wait);
        }
        entity(shared, id, Direction::ToClient, bytes);
        self.at = match (chunked, left) {
            (true, 0) => At::ChunkEnd,
            (true, left) => At::ChunkData(left),
            (false, 0) => At::Finalize,
            (false, left) => At::Identity(left),
        };
        Done::Took(bytes.len())
    }

    /// The response is complete, unless what comes with it can be no response.
    fn finalize(&mut self, shared: &mut Shared, id: u64, rest: &[u8], closed: bool) -> Done {
        if rest.is_empty() {
            return self.complete(shared, id);
        }
        let text = match rest.first() {
            _ if closed => rest,
            Some(b'\n') => rest,
            _ => match line(rest) {
                Some(line) => line,
                None if rest.len() > FIELD_MAX => {
                    shared.raise(id, Event::ResponseFieldTooLong);
                    return Done::Stop(Run::Error);
                }
                None => return Done::Stop(Run::Wait),
            },
        };
        if is_body(text) {
            shared.raise(id, Event::ResponseBodyUnexpected);
            entity(shared, id, Direction::ToClient, text);
            return Done::Took(text.len());
        }
        self.complete(shared, id)
    }

    fn complete(&mut self, shared: &mut Shared, id: u64) -> Done {
        self.at = At::Idle;
        shared.responses += 1;
        shared.response_id = id + 1;
        let first = shared.responses == 1;
        let Some(tx) = shared.tx(id) else {
            return Done::Took(0);
        };
        tx.response.progress = progress::COMPLETE;
        tx.close_file(Direction::ToClient);
        tx.state.touch(Direction::ToClient);
        if tx.request.number == Method::Connect && tx.response.status.within(200, 299) && first {
            if tx.request.progress != progress::COMPLETE {
                // Its headers are not judged as those of a request are: whoever opened a tunnel said enough (Suricata).
                tx.request.progress = progress::COMPLETE;
                tx.state.touch(Direction::ToServer);
            }
            return Done::Stop(Run::Switch(None));
        }
        Done::Took(0)
    }
}

/// Reads a status line into the transaction.
fn parse_line(tx: &mut Tx, text: &[u8], raised: &mut Vec<Event>) {
    let response = &mut tx.response;
    let line = chomp(text);
    response.line.clear();
    response.line.extend_from_slice(line);
    (response.protocol, response.status_text, response.message) = (None, None, None);
    (response.version, response.status) = (Version::Invalid, Status::Invalid);
    let offset = |part: &[u8]| {
        let from = part.as_ptr() as usize - line.as_ptr() as usize;
        Some((from, from + part.len()))
    };
    let (_, rest) = take_while(line, |b| is_space(b) || b == 0);
    let (protocol, rest) = take_while(rest, |b| !is_space(b));
    if !protocol.is_empty() {
        response.protocol = offset(protocol);
        let (number, extra) = version(protocol);
        response.version = number;
        if extra {
            raised.push(Event::ProtocolContainsExtraData);
        }
        let (blank, rest) = take_while(rest, is_space);
        let (status, rest) = take_while(rest, |b| !is_space(b));
        if !blank.is_empty() && !status.is_empty() {
            response.status_text = offset(status);
            response.status = match super::text::digits(status) {
                Some(([], number, [])) => {
                    match super::text::decimal(number).and_then(|n| u16::try_from(n).ok()) {
                        Some(code @ 100..=999) => Status::Code(code),
                        _ => Status::Invalid,
                    }
                }
                _ => Status::Invalid,
            };
            let (blank, message) = take_while(rest, |b| b.is_ascii_whitespace());
            // The line's own end counts as the blank: an empty message is a message.
            if !blank.is_empty() || text.len() > line.len() {
                response.message = offset(message);
            }
        }
    }
    if response.version == Version::Invalid {
        raised.push(Event::ResponseLineInvalidProtocol);
    }
    if response.status == Status::Invalid {
        raised.push(Event::ResponseLineInvalidResponseStatus);
    }
}
