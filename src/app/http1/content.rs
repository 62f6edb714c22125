//! What bodies carry: encodings undone, bytes kept for inspection, files cut out.
//!
//! Limits: inspection ends at the body limits of [`crate::app::Limits`]; a body that unfolds to more than
//! `decompress_bytes` is not unfolded further, and it is a bomb when it also grew more than 2,048-fold.

use super::decode::{Decoder, Encoding};
use super::event::Event;
use super::multipart::{Multipart, Piece};
use super::session::Shared;
use super::text::{decimal, same_name, take_while};
use super::tx::{BodyKind, Method, Tx};
use crate::app::{File, FileLimits, FileState, TxStore};
use crate::packet::Direction;

/// Growth beyond which a compressed body is a bomb.
const BOMB_RATIO: u64 = 2048;

/// Bombs after which a connection's bodies are not unfolded any more.
const BOMBS_MAX: u8 = 3;

/// Longest file name, in bytes.
const NAME_MAX: usize = 4096;

fn find(txs: &mut TxStore<Tx>, id: u64) -> Option<&mut Tx> {
    if txs.last_mut().is_some_and(|t| t.state.id == id) {
        return txs.last_mut();
    }
    txs.by_id(id)
}

/// Notes that bytes of a body are missing.
pub(super) fn gap(shared: &mut Shared, id: u64, direction: Direction, len: u64) {
    let Shared { txs, files, .. } = shared;
    let Some(tx) = find(txs, id) else { return };
    match direction {
        Direction::ToServer => tx.request.message_len = tx.request.message_len.saturating_add(len),
        Direction::ToClient => {
            tx.response.message_len = tx.response.message_len.saturating_add(len)
        }
    }
    tx.gap(direction, len, files);
}

/// Counts bytes of a message that are not part of what it carries (chunk sizes).
pub(super) fn wire(shared: &mut Shared, id: u64, direction: Direction, len: usize) {
    if let Some(tx) = shared.tx(id) {
        match direction {
            Direction::ToServer => tx.request.message_len += len as u64,
            Direction::ToClient => tx.response.message_len += len as u64,
        }
    }
}

/// Takes the next bytes of a body, still encoded.
pub(super) fn entity(shared: &mut Shared, id: u64, direction: Direction, bytes: &[u8]) {
    wire(shared, id, direction, bytes.len());
    let limit = u64::from(shared.limits.decompress_bytes);
    let Shared {
        txs, files, bombs, ..
    } = shared;
    let Some(tx) = find(txs, id) else { return };
    let decoder = match direction {
        Direction::ToServer => &mut tx.request.decoder,
        Direction::ToClient => &mut tx.response.decoder,
    };
    if decoder.is_empty() {
        tx.store(direction, bytes, files);
        return;
    }
    let mut decoder = std::mem::take(decoder);
    let mut bomb = false;
    decoder.push(bytes, limit.saturating_mul(4), &mut |plain| {
        tx.store(direction, plain, files);
        let (wire, plain) = match direction {
            Direction::ToServer => (tx.request.message_len, tx.request.entity_len),
            Direction::ToClient => (tx.response.message_len, tx.response.entity_len),
        };
        let over = plain > limit;
        bomb |= over && plain > wire.saturating_mul(BOMB_RATIO);
        !over
    });
    match direction {
        Direction::ToServer => tx.request.decoder = decoder,
        Direction::ToClient => tx.response.decoder = decoder,
    }
    if bomb {
        *bombs = bombs.saturating_add(1);
        let last = *bombs == BOMBS_MAX;
        shared.raise(id, Event::CompressionBomb);
        if last {
            shared.raise(id, Event::CompressionBombLimitReached);
        }
    }
}

/// Sets up the decoder of a body, once its header is known.
pub(super) fn set_decoder(shared: &mut Shared, id: u64, direction: Direction) {
    let (layers, bombs) = (shared.limits.decompress_layers, shared.bombs);
    let Some(tx) = shared.tx(id) else { return };
    let (headers, slot) = match direction {
        Direction::ToServer => (&tx.request.headers, &mut tx.request.decoder),
        Direction::ToClient => (&tx.response.headers, &mut tx.response.decoder),
    };
    let Some(value) = headers.get(b"content-encoding") else {
        return;
    };
    let (made, raised) = decoder(value, layers, direction, bombs);
    *slot = made;
    for event in raised {
        shared.raise(id, event);
    }
}

/// The decoder that a Content-Encoding asks for, read as browsers read it: what contains `gzip` is gzip.
fn decoder(value: &[u8], layers_max: u8, direction: Direction, bombs: u8) -> (Decoder, Vec<Event>) {
    let mut decoder = Decoder::default();
    let mut raised = Vec::new();
    if bombs >= BOMBS_MAX {
        return (decoder, raised);
    }
    let single = [
        (&b"gzip"[..], Some(Encoding::Gzip)),
        (b"x-gzip", Some(Encoding::Gzip)),
        (b"deflate", Some(Encoding::Deflate)),
        (b"x-deflate", Some(Encoding::Deflate)),
        (b"br", Some(Encoding::Brotli)),
        (b"zstd", Some(Encoding::Zstd)),
        (b"lzma", Some(Encoding::Lzma)),
        (b"inflate", None),
        (b"none", None),
    ];
    if let Some((_, encoding)) = single.iter().find(|(name, _)| same_name(value, name)) {
        if let Some(encoding) = encoding {
            decoder.add(*encoding);
        }
        return (decoder, raised);
    }
    let mut layers = 0u8;
    for name in value
        .split(|b| *b == b',' || *b == b' ')
        .filter(|n| !n.is_empty())
    {
        layers = layers.saturating_add(1);
        if layers > layers_max {
            raised.push(Event::TooManyEncodingLayers);
            break;
        }
        let has = |word: &[u8]| {
            name.windows(word.len())
                .any(|w| w.eq_ignore_ascii_case(word))
        };
        let (encoding, usual) = if has(b"gzip") {
            (Some(Encoding::Gzip), matches!(name, b"gzip" | b"x-gzip"))
        } else if has(b"deflate") {
            (
                Some(Encoding::Deflate),
                matches!(name, b"deflate" | b"x-deflate"),
            )
        } else {
            match name {
                b"br" => (Some(Encoding::Brotli), true),
                b"zstd" => (Some(Encoding::Zstd), true),
                b"lzma" => {
                    raised.push(match direction {
                        Direction::ToServer => Event::RequestTooManyLzmaLayers,
                        Direction::ToClient => Event::ResponseTooManyLzmaLayers,
                    });
                    break;
                }
                b"inflate" | b"none" => (None, true),
                b"identity" => (None, direction == Direction::ToClient),
                _ => (None, false),
            }
        };
        if !usual {
            raised.push(Event::AbnormalCeHeader);
        }
        if let Some(encoding) = encoding {
            decoder.add(encoding);
        }
    }
    (decoder, raised)
}

impl Tx {
    /// Keeps decoded bytes of a body.
    fn store(&mut self, direction: Direction, bytes: &[u8], files: &mut u32) {
        if bytes.is_empty() {
            return;
        }
        let limit = self.limits.get(direction.index()).copied().unwrap_or(0);
        match direction {
            Direction::ToServer => self.store_request(bytes, limit, files),
            Direction::ToClient => self.store_response(bytes, limit, files),
        }
    }

    fn store_request(&mut self, bytes: &[u8], limit: u64, files: &mut u32) {
        self.request.entity_len += bytes.len() as u64;
        self.decide_kind();
        let taken = self.request.body.push(bytes, limit);
        if taken == 0 {
            if self.request.file_open {
                self.request.file_open = false;
                if let Some(file) = self.request.files.last_mut() {
                    file.close(FileState::Truncated);
                }
            }
            return;
        }
        match std::mem::take(&mut self.request.kind) {
            BodyKind::Multipart(mut reader) => {
                self.multipart(&mut reader, limit, files);
                self.request.kind = BodyKind::Multipart(reader);
            }
            BodyKind::File => {
                self.request.kind = BodyKind::File;
                self.request_file(limit, files);
                if let (true, Some(file)) = (self.request.file_open, self.request.files.last_mut())
                {
                    file.append(bytes.get(..taken).unwrap_or_default());
                }
            }
            other => self.request.kind = other,
        }
    }

    /// What the request body is made of.
    fn decide_kind(&mut self) {
        if matches!(self.request.kind, BodyKind::Undecided) {
            let content_type = self.request.headers.get(b"content-type");
            self.request.kind = match self.request.number {
                Method::Post => match content_type.and_then(Multipart::new) {
                    Some(reader) => BodyKind::Multipart(Box::new(reader)),
                    None => BodyKind::File,
                },
                Method::Put => BodyKind::File,
                _ => BodyKind::Plain,
            };
        }
    }

    /// Opens the file that a request body is, with its first byte.
    fn request_file(&mut self, limit: u64, files: &mut u32) {
        if self.request.file_open {
            return;
        }
        if let Some(name) = self.path().map(<[u8]>::to_vec) {
            let file = self.new_file(name, limit, files);
            self.request.files.open(file);
            self.request.file_open = true;
        }
    }

    fn multipart(&mut self, reader: &mut Multipart, limit: u64, files: &mut u32) {
        let request = &mut self.request;
        let (list, open, state) = (&mut request.files, &mut request.file_open, &mut self.state);
        let limits = FileLimits {
            window: usize::try_from(limit).unwrap_or(usize::MAX),
            digests: self.digests,
        };
        let unread = request.body.bytes().get(reader.read..).unwrap_or_default();
        let taken = reader.push(unread, &mut |piece| match piece {
            Piece::Open(mut name) => {
                name.truncate(NAME_MAX);
                if *open && let Some(file) = list.last_mut() {
                    file.close(FileState::Closed);
                }
                *files = files.saturating_add(1);
                let mut file = File::new(name, limits);
                file.id = *files;
                list.open(file);
                *open = true;
            }
            Piece::Bytes(bytes) => {
                if let (true, Some(file)) = (*open, list.last_mut()) {
                    file.append(bytes);
                }
            }
            Piece::Close => {
                if let (true, Some(file)) = (*open, list.last_mut()) {
                    file.close(FileState::Closed);
                }
                *open = false;
            }
            Piece::InvalidHeader => state.raise(Event::MultipartInvalidHeader as u8),
            Piece::NoFileData => state.raise(Event::MultipartNoFiledata as u8),
        });
        reader.read += taken;
    }

    fn new_file(&mut self, mut name: Vec<u8>, limit: u64, files: &mut u32) -> File {
        if name.len() > NAME_MAX {
            name.truncate(NAME_MAX);
            self.state.raise(Event::FileNameTooLong as u8);
        }
        *files = files.saturating_add(1);
        let limits = FileLimits {
            window: usize::try_from(limit).unwrap_or(usize::MAX),
            digests: self.digests,
        };
        let mut file = File::new(name, limits);
        file.id = *files;
        file
    }

    fn store_response(&mut self, bytes: &[u8], limit: u64, files: &mut u32) {
        self.response.entity_len += bytes.len() as u64;
        let room =
            usize::try_from(limit.saturating_sub(self.response.body_len)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        if bytes.is_empty() {
            if self.response.file_open {
                self.response.file_open = false;
                if let Some(file) = self.response.files.last_mut() {
                    file.close(FileState::Truncated);
                }
            }
            return;
        }
        self.response.body_len += bytes.len() as u64;
        self.response_file(limit, files);
        if let (true, Some(file)) = (self.response.file_open, self.response.files.last_mut()) {
            file.append(bytes);
        }
    }

    /// Opens the file that a response is, with its first byte.
    fn response_file(&mut self, limit: u64, files: &mut u32) {
        if self.response.body_seen {
            return;
        }
        self.response.body_seen = true;
        let named = self
            .response
            .headers
            .get(b"content-disposition")
            .and_then(disposition_name);
        let Some(name) = named.or_else(|| self.path().map(<[u8]>::to_vec)) else {
            return;
        };
        let mut file = self.new_file(name, limit, files);
        if let Some(value) = self.response.headers.get(b"content-range") {
            match range(value) {
                Some(Range {
                    start: Some(start),
                    end: Some(end),
                    size: Some(size),
                }) if end > 0 && size > 0 => {
                    let whole = start == 0 && end == size - 1;
                    if !whole && (start > end || end > size - 1) {
                        self.state.raise(Event::RangeInvalid as u8);
                    } else if !whole {
                        file.range = Some((start, end, size));
                    }
                }
                Some(_) => {}
                None => self.state.raise(Event::RangeInvalid as u8),
            }
        }
        self.response.files.open(file);
        self.response.file_open = true;
    }

    /// Bytes of a body are missing.
    fn gap(&mut self, direction: Direction, len: u64, files: &mut u32) {
        self.state.touch(direction);
        let limit = self.limits.get(direction.index()).copied().unwrap_or(0);
        let decoder = match direction {
            Direction::ToServer => &mut self.request.decoder,
            Direction::ToClient => &mut self.response.decoder,
        };
        if !decoder.is_empty() {
            // What is encoded cannot be read on.
            decoder.stop();
            return;
        }
        let kept = match direction {
            Direction::ToServer => self.request.body.len(),
            Direction::ToClient => self.response.body_len,
        };
        if kept >= limit {
            self.end_file(direction, FileState::Truncated);
            return;
        }
        match direction {
            Direction::ToServer => {
                self.decide_kind();
                if matches!(self.request.kind, BodyKind::File) {
                    self.request_file(limit, files);
                }
            }
            Direction::ToClient => self.response_file(limit, files),
        }
        let (list, open) = match direction {
            Direction::ToServer => (&mut self.request.files, self.request.file_open),
            Direction::ToClient => (&mut self.response.files, self.response.file_open),
        };
        if let (true, Some(file)) = (open, list.last_mut()) {
            file.gap(len.min(limit - kept));
        }
    }

    /// The message is complete, and its file with it.
    pub(super) fn close_file(&mut self, direction: Direction) {
        self.end_file(direction, FileState::Closed);
    }

    fn end_file(&mut self, direction: Direction, state: FileState) {
        let (files, open) = match direction {
            Direction::ToServer => (&mut self.request.files, &mut self.request.file_open),
            Direction::ToClient => (&mut self.response.files, &mut self.response.file_open),
        };
        if let (true, Some(file)) = (std::mem::take(open), files.last_mut()) {
            file.close(state);
        }
    }

    /// The direction's stream has ended.
    pub(super) fn end(&mut self, direction: Direction) {
        if let Some(ended) = self.ended.get_mut(direction.index())
            && !*ended
        {
            *ended = true;
            self.state.touch(direction);
        }
        self.end_file(direction, FileState::Truncated);
    }

    /// Tells what is wrong with the request as a whole.
    pub(super) fn raise_flags(&mut self) {
        let flags = self.request.flags;
        for (is, event) in [
            (
                flags.transfer_encoding_invalid,
                Event::InvalidTransferEncodingValueInRequest,
            ),
            (
                flags.content_length_invalid,
                Event::InvalidContentLengthFieldInRequest,
            ),
            (flags.host_missing, Event::MissingHostHeader),
            (flags.host_ambiguous, Event::HostHeaderAmbiguous),
            (flags.uri_host_invalid, Event::RequestUriHostInvalid),
            (flags.header_host_invalid, Event::RequestHeaderHostInvalid),
            (flags.auth_unrecognized, Event::RequestAuthUnrecognized),
        ] {
            if is {
                self.state.raise(event as u8);
            }
        }
    }
}

/// The file name of a Content-Disposition, wherever in it: `filename=` after a `;` or at the front.
fn disposition_name(value: &[u8]) -> Option<Vec<u8>> {
    let mut quotes = 0usize;
    let mut from = 0usize;
    let mut previous = 0u8;
    let mut tokens = Vec::new();
    for (i, &byte) in value.iter().enumerate() {
        if byte == b'"' && i > 0 && previous != b'\\' {
            quotes += 1;
        }
        if byte == b';' && previous != b'\\' && quotes.is_multiple_of(2) {
            tokens.push(value.get(from..i)?);
            from = i + 1;
        }
        previous = byte;
    }
    if quotes.is_multiple_of(2) {
        tokens.push(value.get(from..)?);
    }
    let name = tokens
        .into_iter()
        .map(<[u8]>::trim_ascii_start)
        .find_map(|token| {
            let (key, value) = token.split_at_checked(b"filename=".len())?;
            (key.eq_ignore_ascii_case(b"filename=") && !value.is_empty()).then_some(value)
        })?;
    let name = name.strip_prefix(b"\"").unwrap_or(name);
    let name = name.strip_suffix(b"\"").unwrap_or(name);
    Some(name.to_vec())
}

/// A Content-Range (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// First byte.
    pub start: Option<u64>,
    /// Last byte.
    pub end: Option<u64>,
    /// Size of the whole.
    pub size: Option<u64>,
}

/// Reads a Content-Range.
pub(super) fn range(value: &[u8]) -> Option<Range> {
    let (_, rest) = take_while(value, |b| b == b' ');
    let (_unit, rest) = take_while(rest, |b| b != b' ');
    let (_, rest) = take_while(rest, |b| b == b' ');
    let number = |text: &[u8]| -> Option<(u64, usize)> {
        let (digits, _) = take_while(text, |b| b.is_ascii_digit());
        decimal(digits)
            .filter(|n| i64::try_from(*n).is_ok())
            .map(|n| (n, digits.len()))
    };
    if let Some(rest) = rest.strip_prefix(b"*/") {
        return number(rest).map(|(size, _)| Range {
            start: None,
            end: None,
            size: Some(size),
        });
    }
    let (start, len) = number(rest)?;
    let rest = rest.get(len..)?.strip_prefix(b"-")?;
    let (end, len) = number(rest)?;
    let rest = rest.get(len..)?.strip_prefix(b"/")?;
    let size = if rest.first() == Some(&b'*') {
        None
    } else {
        Some(number(rest)?.0)
    };
    Some(Range {
        start: Some(start),
        end: Some(end),
        size,
    })
}

/// Whether a Content-Range makes sense.
pub(in crate::app) fn range_is_valid(value: &[u8]) -> bool {
    match range(value) {
        Some(Range {
            start: Some(start),
            end: Some(end),
            size,
        }) => start <= end && size.is_none_or(|size| end == 0 || size == 0 || end < size),
        Some(_) => true,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_come_out_of_odd_dispositions() {
        for (value, name) in [
            ("attachment; filename=\"a;b.exe\"", Some("a;b.exe")),
            ("filename=x.txt", Some("x.txt")),
            ("attachment;filename=x.txt; size=3", Some("x.txt")),
            ("attachment", None),
            ("attachment; filename=", None),
        ] {
            assert_eq!(
                disposition_name(value.as_bytes()),
                name.map(|n| n.as_bytes().to_vec()),
                "{value}"
            );
        }
        assert_eq!(
            super::super::multipart::parameter(b"form-data; filename=\"x\"", b"filename"),
            Some(b"x".to_vec())
        );
    }

    #[test]
    fn ranges_are_read_in_all_their_forms() {
        let all = |start, end, size| Some(Range { start, end, size });
        assert_eq!(range(b"bytes 0-9/10"), all(Some(0), Some(9), Some(10)));
        assert_eq!(range(b" bytes  5-9/*"), all(Some(5), Some(9), None));
        assert_eq!(range(b"bytes */10"), all(None, None, Some(10)));
        assert_eq!(range(b"bytes x-9/10"), None);
    }
}
