//! The parser of one HTTP/2 connection: frames, header blocks that span several, and the streams they belong to.
//!
//! Limits: 64 KiB a frame before it is handled in part, 100 KiB a header block, 4,096 live transactions.
//! A gap ends the session: header compression cannot go on without what is missing.

use super::doh;
use super::event::Event;
use super::hpack::{Item, Table, Truncated};
use super::tx::{Frame, Side, Tx, progress};
use crate::app::http1::{Encoding, range_is_valid};
use crate::app::{
    AppProto, File, FileLimits, FileState, FlowInfo, FrameNotes, Input, Limits, Parsed, Session,
    TxList, TxStore, registry, session_members,
};
use crate::packet::Direction;

/// What a client sends first.
pub(super) const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_LEN: usize = 9;
/// Frames as long as this are handled with what is there.
const FRAME_MAX: usize = 65_536;
/// … once this much is there.
const FRAME_MIN: usize = 256;
/// Longest header block over several frames.
const BLOCK_MAX: usize = 102_400;
const TX_MAX: usize = 4096;
/// Bytes of header fields and data that a connection's live streams hold before it is given up.
const HELD_MAX: usize = 16 << 20;
/// Growth beyond which compressed data is a bomb, when there is more than `decompress_bytes` of it.
const BOMB_RATIO: u64 = 2048;

mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

const END_STREAM: u8 = 0x01;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const HAS_PRIORITY: u8 = 0x20;

/// A frame's head (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug)]
struct Head {
    len: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let &[a, b, c, kind, flags, s0, s1, s2, s3, ..] = bytes else {
        return None;
    };
    let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    Some(Head {
        len,
        kind,
        flags,
        stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
    })
}

fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|b| u32::from_be_bytes(*b))
}

/// One direction of the connection.
#[derive(Debug, Default)]
struct Way {
    table: Table,
    /// Bytes of an overlong frame still to be skipped.
    skip: usize,
    /// A header block that goes on, and its stream.
    block: Vec<u8>,
    block_stream: u32,
}

/// The parser's state for one connection.
#[derive(Debug)]
pub(super) struct Http2 {
    limits: Limits,
    txs: TxStore<Tx>,
    ways: [Way; 2],
    magic_done: bool,
    failed: bool,
    files: u32,
    inline: bool,
    /// A message of DNS was read.
    found_dns: bool,
    /// Headers (0), payloads (1) and whole frames (2), for rules on frames.
    frames: FrameNotes,
    /// Bytes taken since what is held was counted.
    taken: usize,
}

/// What a frame says, as far as its stream has to know.
#[derive(Debug, Default)]
struct Said {
    frame: Frame,
    /// The stream it is about, when that is not its own.
    stream: Option<u32>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    settings: Vec<(u16, u32)>,
    size_updates: Vec<u64>,
    events: Vec<Event>,
    /// Its payload made no sense.
    unhandled: bool,
}

impl Http2 {
    /// For a new connection.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            txs: TxStore::default(),
            ways: [Way::default(), Way::default()],
            magic_done: false,
            failed: false,
            files: 0,
            inline: false,
            found_dns: false,
            frames: FrameNotes::default(),
            taken: 0,
        }
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        let [server, client] = &mut self.ways;
        if direction == Direction::ToServer {
            server
        } else {
            client
        }
    }

    fn raise_last(&mut self, event: Event) {
        if let Some(tx) = self.txs.last_mut() {
            tx.state.raise(event as u8);
        }
    }

    /// Handles as many frames as are there; answers how many bytes that is, and how many more are needed.
    fn frames(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        start: usize,
    ) -> Result<(usize, usize), ()> {
        let mut at = 0usize;
        loop {
            let mut rest = bytes.get(at..).unwrap_or_default();
            let way = self.way(direction);
            if way.skip > 0 {
                let skipped = way.skip.min(rest.len());
                way.skip -= skipped;
                at += skipped;
                rest = rest.get(skipped..).unwrap_or_default();
            }
            if rest.is_empty() {
                return Ok((at, 0));
            }
            let Some(head) = head(rest) else {
                return Ok((at, HEAD_LEN - rest.len()));
            };
            let there = rest.len() - HEAD_LEN;
            let mut len = head.len;
            if there < head.len {
                if head.len < FRAME_MAX {
                    return Ok((at, head.len - there));
                }
                if there < FRAME_MIN {
                    return Ok((at, FRAME_MIN - there));
                }
                self.raise_last(Event::LongFrameData);
                self.way(direction).skip = head.len - there;
                len = there;
            }
            self.frames.note(0, start + at, HEAD_LEN, None);
            self.frames.note(1, start + at + HEAD_LEN, head.len, None);
            self.frames.note(2, start + at, HEAD_LEN + head.len, None);
            let payload = rest.get(HEAD_LEN..HEAD_LEN + len).unwrap_or_default();
            at += HEAD_LEN + len;
            if head.len == 0 && head.kind == kind::SETTINGS {
                continue;
            }
            let overlong = len < head.len;
            self.frame(direction, head, payload, overlong)?;
        }
    }

    fn frame(
        &mut self,
        direction: Direction,
        head: Head,
        payload: &[u8],
        overlong: bool,
    ) -> Result<(), ()> {
        let mut said = self.read(direction, head, payload);
        if overlong {
            said.events.push(Event::LongFrameData);
        }
        let stream = match (said.stream, head.kind) {
            (Some(promised), _) => promised,
            (None, kind::CONTINUATION) if direction == Direction::ToClient => self
                .txs
                .iter()
                .rev()
                .find(|tx| tx.stream == head.stream)
                .map_or(head.stream, |tx| {
                    if tx.child > 0 { tx.child } else { head.stream }
                }),
            _ => head.stream,
        };
        self.taken += payload.len()
            + said
                .fields
                .iter()
                .map(|(n, v)| n.len() + v.len())
                .sum::<usize>();
        if self.taken > HELD_MAX / 2 {
            // Counting costs little against what was taken since the last time.
            self.taken = 0;
            let held: usize = self
                .txs
                .iter()
                .flat_map(|tx| &tx.sides)
                .map(|side| {
                    side.fields.len() + side.files.get(0).map_or(0, |f| f.window().bytes.len())
                })
                .sum();
            if held > HELD_MAX / 2 {
                self.raise_last(Event::TooManyStreams);
                return Err(());
            }
        }
        let id = self.find_or_open(direction, stream, head.kind).ok_or(())?;
        let limits = self.limits;
        let files = &mut self.files;
        let Some(tx) = self.txs.by_id(id) else {
            return Err(());
        };
        tx.note_inspection(direction);
        for event in &said.events {
            tx.state.raise(*event as u8);
        }
        tx.state.touch(direction);
        let allowed = [
            kind::SETTINGS,
            kind::WINDOW_UPDATE,
            kind::PING,
            kind::GOAWAY,
        ];
        if head.stream == 0 && !allowed.contains(&head.kind) {
            let event = if head.kind == kind::DATA {
                Event::DataStreamZero
            } else {
                Event::InvalidFrameHeader
            };
            tx.state.raise(event as u8);
            return Ok(());
        }
        take(tx, direction, head, said);
        self.found_dns |= doh::question(tx, direction);
        if head.kind == kind::DATA {
            data(tx, direction, head.flags, payload, &limits, files);
            self.found_dns |= doh::answer(tx, direction, head.flags & END_STREAM != 0);
            let side = tx.side(direction);
            let bomb = side.plain_len > u64::from(limits.decompress_bytes)
                && side.plain_len > side.data_len.saturating_mul(BOMB_RATIO);
            if bomb {
                tx.state.raise(Event::CompressionBomb as u8);
                return Err(());
            }
        }
        Ok(())
    }

    /// The transaction of a stream; frames of stream 0 are one each.
    fn find_or_open(&mut self, direction: Direction, stream: u32, kind: u8) -> Option<u64> {
        if stream != 0
            && let Some(tx) = self.txs.find_last_mut(|tx| tx.stream == stream)
        {
            let complete = tx.sides.iter().all(|s| s.progress >= progress::COMPLETE);
            let late = [kind::RST_STREAM, kind::WINDOW_UPDATE, kind::PRIORITY].contains(&kind);
            if complete && !late {
                tx.state.raise(Event::StreamIdReuse as u8);
            }
            return Some(tx.state.id);
        }
        if self.txs.len() >= TX_MAX {
            for tx in self.txs.too_many() {
                tx.state.raise(Event::TooManyStreams as u8);
                for side in &mut tx.sides {
                    side.progress = progress::COMPLETE;
                }
            }
            return None;
        }
        let mut tx = Tx {
            stream,
            inline: self.inline,
            ..Tx::default()
        };
        if stream == 0 {
            for side in &mut tx.sides {
                side.progress = progress::COMPLETE;
            }
            if let Some(done) = tx.state.inspected.get_mut(direction.reverse().index()) {
                *done = true;
            }
        }
        Some(self.txs.push(tx).state.id)
    }

    /// What a frame says.
    fn read(&mut self, direction: Direction, head: Head, payload: &[u8]) -> Said {
        let mut said = Said {
            frame: Frame {
                kind: head.kind,
                ..Frame::default()
            },
            ..Said::default()
        };
        let wrong_length = |said: &mut Said| {
            said.events.push(Event::InvalidFrameLength);
            said.unhandled = true;
        };
        match head.kind {
            kind::GOAWAY => match payload.get(4..8).and_then(be32) {
                Some(code) => said.frame.error_code = Some(code),
                None => wrong_length(&mut said),
            },
            kind::RST_STREAM => match be32(payload).filter(|_| payload.len() == 4) {
                Some(code) => said.frame.error_code = Some(code),
                None => wrong_length(&mut said),
            },
            kind::PRIORITY => match payload {
                [_, _, _, _, weight] => said.frame.priority = Some(*weight),
                _ => wrong_length(&mut said),
            },
            kind::WINDOW_UPDATE => match be32(payload).filter(|_| payload.len() == 4) {
                Some(window) => said.frame.window = Some(window & 0x7fff_ffff),
                None => wrong_length(&mut said),
            },
            kind::SETTINGS => {
                for setting in payload.chunks_exact(6).take(256) {
                    let &[i0, i1, ref value @ ..] = setting else {
                        continue;
                    };
                    let (id, value) = (u16::from_be_bytes([i0, i1]), be32(value).unwrap_or(0));
                    if id == 1 {
                        // The table that the other side writes with.
                        self.way(direction.reverse())
                            .table
                            .set_max(u64::from(value));
                    }
                    said.settings.push((id, value));
                }
                if !payload.len().is_multiple_of(6) {
                    said.events.push(Event::InvalidFrameData);
                }
            }
            kind::HEADERS | kind::PUSH_PROMISE => self.headers(direction, head, payload, &mut said),
            kind::CONTINUATION => {
                let way = self.way(direction);
                let joined = way.block_stream == head.stream && head.stream != 0;
                if !joined {
                    self.block(direction, payload, &mut said);
                    return said;
                }
                let room = BLOCK_MAX.saturating_sub(way.block.len());
                if payload.len() > room {
                    said.events.push(Event::ReassemblyLimitReached);
                }
                way.block
                    .extend_from_slice(payload.get(..room.min(payload.len())).unwrap_or_default());
                if head.flags & END_HEADERS != 0 {
                    let block = std::mem::take(&mut way.block);
                    way.block_stream = 0;
                    self.block(direction, &block, &mut said);
                }
            }
            _ => {}
        }
        said
    }

    fn headers(&mut self, direction: Direction, head: Head, payload: &[u8], said: &mut Said) {
        let mut rest = payload;
        let mut padding = 0usize;
        if head.flags & PADDED != 0 {
            let Some((len, after)) = rest.split_first() else {
                said.events.push(Event::InvalidFrameData);
                return;
            };
            (padding, rest) = (usize::from(*len), after);
        }
        if head.kind == kind::PUSH_PROMISE {
            let Some((stream, after)) = rest.split_at_checked(4) else {
                said.events.push(Event::InvalidFrameData);
                return;
            };
            said.stream = be32(stream).map(|s| s & 0x7fff_ffff);
            rest = after;
        } else if head.flags & HAS_PRIORITY != 0 {
            let Some((priority, after)) = rest.split_at_checked(5) else {
                said.events.push(Event::InvalidFrameData);
                return;
            };
            said.frame.priority = priority.last().copied();
            rest = after;
        }
        let Some(block) = rest
            .len()
            .checked_sub(padding)
            .and_then(|len| rest.get(..len))
        else {
            said.events.push(Event::InvalidFrameData);
            return;
        };
        if head.flags & END_HEADERS == 0 {
            let way = self.way(direction);
            way.block.clear();
            way.block
                .extend_from_slice(block.get(..BLOCK_MAX.min(block.len())).unwrap_or_default());
            way.block_stream = head.stream;
            return;
        }
        self.block(direction, block, said);
    }

    fn block(&mut self, direction: Direction, block: &[u8], said: &mut Said) {
        let Said {
            fields,
            size_updates,
            events,
            ..
        } = said;
        let result = self
            .way(direction)
            .table
            .decode(block, &mut |item| match item {
                Item::Field(name, value) => fields.push((name.to_vec(), value.to_vec())),
                Item::SizeUpdate(size) => size_updates.push(size),
                Item::NotIndexed => events.push(Event::InvalidHeader),
                Item::Overflow => events.push(Event::HeaderIntegerOverflow),
                Item::TooMuch => events.push(Event::ReassemblyLimitReached),
            });
        if result == Err(Truncated) {
            said.events.push(Event::InvalidFrameData);
        }
    }
}

/// Gives a stream what a frame said.
fn take(tx: &mut Tx, direction: Direction, head: Head, said: Said) {
    let mut userinfo = false;
    let (mut authority, mut host): (Option<&[u8]>, Option<&[u8]>) = (None, None);
    for (name, value) in &said.fields {
        if name.eq_ignore_ascii_case(b":authority") {
            authority = Some(value);
            userinfo |= value.contains(&b'@');
        } else if name.eq_ignore_ascii_case(b"host") {
            host = Some(value);
        }
    }
    if userinfo {
        tx.state.raise(Event::UserinfoInUri as u8);
    }
    if let (Some(authority), Some(host)) = (authority, host)
        && !authority.eq_ignore_ascii_case(host)
    {
        tx.state.raise(Event::AuthorityHostMismatch as u8);
    }
    if direction == Direction::ToClient {
        match head.kind {
            kind::PUSH_PROMISE if head.flags & END_HEADERS == 0 => {
                tx.child = said.stream.unwrap_or(0)
            }
            kind::HEADERS | kind::RST_STREAM => tx.child = 0,
            kind::CONTINUATION if head.flags & END_HEADERS != 0 => tx.child = 0,
            _ => {}
        }
    }
    let stream = tx.stream;
    let side = tx.side_mut(direction);
    let mut full = !side.note(said.frame);
    for (name, value) in &said.fields {
        if name.as_slice() == b"content-encoding" {
            let encoding = [
                (&b"gzip"[..], Encoding::Gzip),
                (b"deflate", Encoding::Deflate),
                (b"br", Encoding::Brotli),
                (b"zstd", Encoding::Zstd),
            ]
            .into_iter()
            .find(|(n, _)| value.eq_ignore_ascii_case(n));
            if let (Some((_, encoding)), true) = (encoding, side.decoder.is_empty()) {
                side.decoder.add(encoding);
            }
        }
        full |= !side.fields.push(name, value);
    }
    side.settings.extend(
        said.settings
            .into_iter()
            .take(256usize.saturating_sub(side.settings.len())),
    );
    side.size_updates.extend(
        said.size_updates
            .into_iter()
            .take(16usize.saturating_sub(side.size_updates.len())),
    );
    if stream != 0 {
        let seen = match head.kind {
            kind::HEADERS | kind::DATA if head.flags & END_STREAM != 0 => progress::CLOSED,
            kind::DATA => progress::DATA,
            kind::HEADERS => progress::HEADERS,
            kind::PUSH_PROMISE if direction == Direction::ToClient => progress::HEADERS,
            _ => progress::STARTED,
        };
        side.progress = side.progress.max(seen);
        if tx.sides.iter().all(|s| s.progress >= progress::CLOSED) {
            for side in &mut tx.sides {
                side.progress = progress::COMPLETE;
            }
            tx.state.updated = [true; 2];
        }
    }
    if full {
        tx.state.raise(Event::TooManyFrames as u8);
    }
}

/// Takes the payload of a DATA frame.
fn data(
    tx: &mut Tx,
    direction: Direction,
    flags: u8,
    payload: &[u8],
    limits: &Limits,
    files: &mut u32,
) {
    let mut bytes = payload;
    if flags & PADDED != 0
        && let Some((pad, rest)) = payload.split_first()
        && let Some(len) = rest.len().checked_sub(usize::from(*pad))
    {
        bytes = rest.get(..len).unwrap_or_default();
    }
    let limit = match direction {
        Direction::ToServer => limits.request_body_bytes,
        Direction::ToClient => limits.response_body_bytes,
    };
    let work_max = u64::from(limits.decompress_bytes);
    let limits = FileLimits {
        window: usize::try_from(limit).unwrap_or(usize::MAX),
        digests: limits.file_digests,
    };
    let mut range_invalid = false;
    let side = tx.side_mut(direction);
    side.data_len = side.data_len.saturating_add(bytes.len() as u64);
    let mut decoder = std::mem::take(&mut side.decoder);
    if decoder.is_empty() {
        range_invalid |= store(side, direction, bytes, limits, files);
    } else {
        decoder.push(bytes, work_max.saturating_mul(4), &mut |plain| {
            range_invalid |= store(side, direction, plain, limits, files);
            side.plain_len <= work_max
        });
    }
    side.decoder = decoder;
    if flags & END_STREAM != 0 {
        close(side, FileState::Closed);
    }
    if range_invalid {
        tx.state.raise(Event::InvalidRange as u8);
    }
}

/// Keeps decoded bytes in the stream's file. Says whether its range makes no sense.
fn store(
    side: &mut Side,
    direction: Direction,
    bytes: &[u8],
    limits: FileLimits,
    files: &mut u32,
) -> bool {
    if bytes.is_empty() {
        return false;
    }
    side.plain_len = side.plain_len.saturating_add(bytes.len() as u64);
    side.doh.take(bytes);
    let mut range_invalid = false;
    if !side.file_seen {
        side.file_seen = true;
        side.file_open = true;
        *files = files.saturating_add(1);
        let mut file = File::new(Vec::new(), limits);
        file.id = *files;
        side.files.open(file);
        range_invalid = direction == Direction::ToClient
            && side
                .fields
                .first(b"content-range")
                .is_some_and(|value| !range_is_valid(value));
    }
    if let (true, Some(file)) = (side.file_open, side.files.last_mut()) {
        file.append(bytes);
    }
    range_invalid
}

fn close(side: &mut Side, state: FileState) {
    if let (true, Some(file)) = (std::mem::take(&mut side.file_open), side.files.last_mut()) {
        file.close(state);
    }
}

impl Session for Http2 {
    session_members!(frames);

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        self.inline = flow.inline;
        if self.failed || input.gap > 0 {
            return Parsed::Error;
        }
        let mut start = 0usize;
        if direction == Direction::ToServer && !self.magic_done && !input.bytes.is_empty() {
            match input.bytes.get(..MAGIC.len()) {
                Some(magic) => {
                    self.magic_done = true;
                    if magic == MAGIC {
                        start = MAGIC.len();
                    } else {
                        self.raise_last(Event::InvalidClientMagic);
                    }
                }
                None => {
                    return Parsed::NeedMore {
                        consumed: 0,
                        needed: MAGIC.len() - input.bytes.len(),
                    };
                }
            }
        }
        let parsed = match self.frames(
            direction,
            input.bytes.get(start..).unwrap_or_default(),
            start,
        ) {
            Ok((taken, 0)) if start + taken == input.bytes.len() => Parsed::All,
            Ok((taken, needed)) => Parsed::NeedMore {
                consumed: start + taken,
                needed,
            },
            Err(()) => {
                self.failed = true;
                Parsed::Error
            }
        };
        if input.end {
            for tx in self.txs.iter_mut() {
                let side = tx.side_mut(direction);
                side.ended = true;
                close(side, FileState::Truncated);
                tx.state.touch(direction);
            }
        }
        parsed
    }

    fn turned_into(&self) -> Option<AppProto> {
        self.found_dns.then(|| registry::number("doh2"))
    }
}
