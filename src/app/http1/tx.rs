//! An HTTP transaction: a request and its response, as far as they were seen.

use super::body::{Body, REQUEST_PACE, RESPONSE_PACE};
use super::decode::Decoder;
use super::headers::Headers;
use super::multipart::Multipart;
use super::uri::Uri;
use crate::app::{Digests, Files, Transaction, TxState, Window, transaction_members};
use crate::packet::Direction;

/// Progress of a request or response: indexes of [`REQUEST_STATES`] and [`RESPONSE_STATES`].
pub(super) mod progress {
    /// In the first line.
    pub const LINE: u8 = 1;
    /// In the header: the first line is known.
    pub const HEADERS: u8 = 2;
    /// In the body: the header is known.
    pub const BODY: u8 = 3;
    /// In the trailer.
    pub const TRAILER: u8 = 4;
    /// All seen.
    pub const COMPLETE: u8 = 5;
}

/// Names of a request's progress.
pub(super) static REQUEST_STATES: &[&str] = &[
    "request_started",
    "request_line",
    "request_headers",
    "request_body",
    "request_trailer",
    "request_complete",
];
/// Names of a response's progress.
pub(super) static RESPONSE_STATES: &[&str] = &[
    "response_started",
    "response_line",
    "response_headers",
    "response_body",
    "response_trailer",
    "response_complete",
];

/// Methods that matter to the parser; the others are known or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Method {
    /// Not one we know.
    #[default]
    Unknown,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// CONNECT.
    Connect,
    /// Any other known one.
    Other,
}

/// Known methods besides those of [`Method`].
const METHODS: &[&[u8]] = &[
    b"GET",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"VERSION-CONTROL",
    b"CHECKOUT",
    b"UNCHECKOUT",
    b"CHECKIN",
    b"UPDATE",
    b"LABEL",
    b"REPORT",
    b"MKWORKSPACE",
    b"MKACTIVITY",
    b"BASELINE-CONTROL",
    b"MERGE",
    b"INVALID",
];

impl Method {
    /// By its name; methods are case-sensitive (RFC 9110 §9.1).
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"CONNECT" => Self::Connect,
            known if METHODS.contains(&known) => Self::Other,
            _ => Self::Unknown,
        }
    }
}

/// The protocol's version, in the order in which they grew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Something else was said.
    Invalid,
    /// Nothing was said yet.
    #[default]
    Unknown,
    /// HTTP/0.9.
    V09,
    /// HTTP/1.0.
    V10,
    /// HTTP/1.1.
    V11,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    /// Not known yet.
    #[default]
    Unknown,
    /// There is none.
    NoBody,
    /// By its length, or the connection's end.
    Identity,
    /// RFC 9112 §7.1.
    Chunked,
    /// Not understood.
    Invalid,
}

/// A status code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// Not seen.
    #[default]
    Unknown,
    /// Not a number 100–999.
    Invalid,
    /// 100–999.
    Code(u16),
}

impl Status {
    /// Whether it is a code within `from..=to`.
    pub(super) fn within(self, from: u16, to: u16) -> bool {
        matches!(self, Self::Code(code) if (from..=to).contains(&code))
    }
}

/// A part of a line.
pub(super) type Part = Option<(usize, usize)>;

/// What a request body is made of.
#[derive(Debug, Default)]
pub(super) enum BodyKind {
    /// Not looked at yet.
    #[default]
    Undecided,
    /// Bytes of no file.
    Plain,
    /// The body is a file (POST and PUT).
    File,
    /// RFC 7578.
    Multipart(Box<Multipart>),
}

/// The request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub progress: u8,
    pub line: Vec<u8>,
    pub method: Part,
    pub uri: Part,
    pub protocol: Part,
    pub number: Method,
    pub version: Version,
    /// HTTP/0.9: no header, and the connection is the response.
    pub short: bool,
    pub target: Uri,
    pub headers: Headers,
    /// The header as sent, with its end; then the trailer.
    pub raw: Vec<u8>,
    pub host: Option<Vec<u8>>,
    pub port: Option<u16>,
    pub coding: Coding,
    pub length: Option<u64>,
    pub flags: Flags,
    /// Bytes of the body on the wire, and decoded.
    pub message_len: u64,
    pub entity_len: u64,
    pub decoder: Decoder,
    pub body: Body,
    pub kind: BodyKind,
    pub files: Files,
    pub file_open: bool,
}

/// What is wrong with a request as a whole, told when it is complete.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub transfer_encoding_invalid: bool,
    pub content_length_invalid: bool,
    pub host_missing: bool,
    pub host_ambiguous: bool,
    pub uri_host_invalid: bool,
    pub header_host_invalid: bool,
    pub auth_unrecognized: bool,
}

/// The response.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub progress: u8,
    pub line: Vec<u8>,
    pub protocol: Part,
    pub status_text: Part,
    pub message: Part,
    pub version: Version,
    pub status: Status,
    pub headers: Headers,
    pub raw: Vec<u8>,
    pub coding: Coding,
    pub message_len: u64,
    pub entity_len: u64,
    pub decoder: Decoder,
    /// Bytes handed to the file.
    pub body_len: u64,
    pub body_seen: bool,
    pub files: Files,
    pub file_open: bool,
    pub continued: bool,
}

/// A part of a line.
pub(super) fn part(line: &[u8], part: Part) -> Option<&[u8]> {
    part.and_then(|(from, to)| line.get(from..to))
}

/// A request and its response.
#[derive(Debug, Default)]
pub(super) struct Tx {
    pub state: TxState,
    pub request: Request,
    pub response: Response,
    /// The request was never seen (the flow was picked up in the middle).
    pub unrequested: bool,
    /// Bodies are shown at once.
    pub inline: bool,
    /// Bytes of each direction's body that are kept.
    pub limits: [u64; 2],
    /// Digests of files that are computed.
    pub digests: Digests,
    /// The direction's stream has ended.
    pub ended: [bool; 2],
    /// Kinds of oddities already told, see [`Tx::tell_once`].
    pub told: [bool; 3],
}

/// Oddities of header fields of which a transaction tells one of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// The field's name is odd.
    Invalid = 0,
    /// The field is folded oddly.
    Folding = 1,
    /// The field has no name.
    Unparseable = 2,
}

/// What stands for the URI of a request that was not seen (the field's name for it).
pub(super) const URI_NOT_SEEN: &[u8] = b"/libhtp::request_uri_not_seen";

impl Tx {
    /// Bytes it holds, files excepted (whose bytes are the body's).
    pub(super) fn held_bytes(&self) -> usize {
        let (request, response) = (&self.request, &self.response);
        let texts = [&request.line, &request.raw, &response.line, &response.raw];
        let texts: usize = texts.into_iter().map(Vec::len).sum();
        let bodies =
            request.body.bytes().len() + usize::try_from(response.body_len).unwrap_or(usize::MAX);
        texts.saturating_mul(2).saturating_add(bodies)
    }

    /// The URI as sent.
    pub(super) fn raw_uri(&self) -> Option<&[u8]> {
        if self.unrequested {
            Some(URI_NOT_SEEN)
        } else {
            part(&self.request.line, self.request.uri)
        }
    }

    /// The normalised path.
    pub(super) fn path(&self) -> Option<&[u8]> {
        if self.unrequested {
            Some(URI_NOT_SEEN)
        } else {
            self.request.target.path()
        }
    }

    /// Whether an oddity of a kind is the first one in this transaction.
    pub(super) fn tell_once(&mut self, kind: Once) -> bool {
        self.told
            .get_mut(kind as usize)
            .is_some_and(|told| !std::mem::replace(told, true))
    }

    fn is_body_due(&self, direction: Direction, len: u64) -> bool {
        let pace = if direction == Direction::ToServer {
            REQUEST_PACE
        } else {
            RESPONSE_PACE
        };
        let limit = self.limits.get(direction.index()).copied().unwrap_or(0);
        self.is_body_over(direction) || self.inline || pace.is_due(len, limit)
    }

    fn is_body_over(&self, direction: Direction) -> bool {
        self.progress(direction) > progress::BODY
            || self.ended.get(direction.index()).copied().unwrap_or(true)
    }

    /// The request body, when it is to be looked at.
    pub(super) fn request_body(&self) -> Option<Window<'_>> {
        let body = &self.request.body;
        if !self.is_body_due(Direction::ToServer, body.len()) {
            return None;
        }
        body.window(REQUEST_PACE, self.is_body_over(Direction::ToServer))
    }

    /// A file of a direction, when it is to be looked at.
    pub(super) fn file_data(&self, direction: Direction, index: usize) -> Option<Window<'_>> {
        let file = self.files(direction)?.get(index)?;
        let window = file.window();
        let len = window.offset + window.bytes.len() as u64;
        if !window.complete && !self.is_body_due(direction, len) {
            return None;
        }
        let pace = if direction == Direction::ToServer {
            REQUEST_PACE
        } else {
            RESPONSE_PACE
        };
        let from = pace
            .offset(len, file.inspected())
            .saturating_sub(window.offset);
        let bytes = window
            .bytes
            .get(usize::try_from(from).unwrap_or(usize::MAX)..)?;
        let complete = window.complete || self.is_body_over(direction);
        Some(Window {
            bytes,
            offset: window.offset + from,
            complete,
            file: window.file,
        })
    }

    /// Called before more data of a direction is taken: what was shown and looked at need not be shown again.
    pub(super) fn note_inspection(&mut self, direction: Direction) {
        if self
            .state
            .updated
            .get(direction.index())
            .copied()
            .unwrap_or(true)
        {
            return;
        }
        if direction == Direction::ToServer && self.request_body().is_some() {
            self.request.body.mark_inspected();
        }
        for index in 0..Files::MAX {
            let Some(window) = self.file_data(direction, index) else {
                if self.files(direction).is_none_or(|f| f.get(index).is_none()) {
                    break;
                }
                continue;
            };
            let seen = window.offset + window.bytes.len() as u64;
            let files = if direction == Direction::ToServer {
                &mut self.request.files
            } else {
                &mut self.response.files
            };
            if let Some(file) = files.iter_mut().nth(index) {
                file.set_inspected(seen);
            }
        }
    }
}

impl Transaction for Tx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        match direction {
            Direction::ToServer => self.request.progress,
            Direction::ToClient => self.response.progress,
        }
    }

    fn files(&self, direction: Direction) -> Option<&Files> {
        Some(match direction {
            Direction::ToServer => &self.request.files,
            Direction::ToClient => &self.response.files,
        })
    }

    fn files_mut(&mut self, direction: Direction) -> Option<&mut Files> {
        Some(match direction {
            Direction::ToServer => &mut self.request.files,
            Direction::ToClient => &mut self.response.files,
        })
    }
}
