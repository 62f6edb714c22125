//! Frames: the pieces that a protocol's stream is made of (records, headers, lines, bodies), as rules see them
//! (`frame:ssh.record.hdr`).
//!
//! A parser notes where a frame begins in the bytes it was given and how long it is; the application layer keeps the
//! frame's bytes as they come until detection has looked. Nothing is kept unless a rule asks for frames.
//! Limits: [`FRAMES_MAX`] frames a direction, [`BYTES_MAX`] bytes of one, [`TOTAL_MAX`] of all of a direction; of what
//! is longer the front is inspected, what comes when there is no room is passed over and counted.

use super::{AppProto, registry};
use crate::packet::Direction;

/// Frames of a direction that wait for inspection.
const FRAMES_MAX: usize = 64;
/// Bytes kept of one frame.
const BYTES_MAX: usize = 16 * 1024;
/// Bytes kept of all frames of a direction.
const TOTAL_MAX: usize = 256 * 1024;

/// The frame that is a direction's whole stream, in every protocol.
pub const STREAM: u8 = 255;

/// A frame as its parser notes it.
#[derive(Clone, Copy, Debug)]
struct Noted {
    kind: u8,
    at: usize,
    len: Option<u64>,
    tx: Option<u64>,
    /// It ends here, having been noted before without a length.
    ends: bool,
}

/// What a parser notes, until it is taken. Part of a session.
#[derive(Debug, Default)]
pub struct FrameNotes {
    /// Whether anybody asks for frames.
    pub wanted: bool,
    list: Vec<Noted>,
    lost: u64,
}

impl FrameNotes {
    /// Notes a frame: index of its name in [`super::Protocol::frames`], where it begins in the input in hand, and its
    /// length. The bytes need not be there yet.
    pub fn note(&mut self, kind: u8, at: usize, len: usize, tx: Option<u64>) {
        self.push(Noted {
            kind,
            at,
            len: Some(len as u64),
            tx,
            ends: false,
        });
    }

    /// Notes the beginning of a frame whose length is not known before its end.
    pub fn begin(&mut self, kind: u8, at: usize, tx: Option<u64>) {
        self.push(Noted {
            kind,
            at,
            len: None,
            tx,
            ends: false,
        });
    }

    /// Notes where the last frame of a kind that was begun ends.
    pub fn end(&mut self, kind: u8, at: usize) {
        self.push(Noted {
            kind,
            at,
            len: None,
            tx: None,
            ends: true,
        });
    }

    fn push(&mut self, noted: Noted) {
        if !self.wanted {
            return;
        }
        if self.list.len() >= FRAMES_MAX {
            self.lost += 1;
        } else {
            self.list.push(noted);
        }
    }
}

/// A frame.
#[derive(Debug)]
pub struct Frame {
    /// Index of its name, or [`STREAM`].
    pub kind: u8,
    /// Number in its direction, from 1.
    pub id: u32,
    /// Where it begins in the stream.
    pub offset: u64,
    /// Its length, when it is known.
    pub len: Option<u64>,
    /// Its bytes, as far as they are there and kept.
    pub bytes: Vec<u8>,
    /// Bytes that came, kept or not.
    pub received: u64,
    /// Its transaction.
    pub tx: Option<u64>,
    /// Whether it changed since detection last looked.
    pub due: bool,
    /// Signatures that matched on it, by rank: each says so once.
    pub matched: Vec<u32>,
}

impl Frame {
    /// Whether all of it came.
    pub fn is_complete(&self) -> bool {
        self.len.is_some_and(|len| self.received >= len)
    }

    /// Its name in a protocol.
    pub fn name(&self, proto: AppProto) -> &'static str {
        if self.kind == STREAM {
            return "stream";
        }
        registry::protocol(proto)
            .and_then(|p| p.frames().get(usize::from(self.kind)).copied())
            .unwrap_or("unknown")
    }

    /// Takes what of `bytes`, which begin at `offset` of the stream, belongs to it and is new.
    fn take(&mut self, offset: u64, bytes: &[u8], room: usize) -> usize {
        let end = self.len.map(|len| self.offset.saturating_add(len));
        let have = self.offset.saturating_add(self.received);
        let from = have.max(offset);
        let until = (offset + bytes.len() as u64).min(end.unwrap_or(u64::MAX));
        if until <= from {
            return 0;
        }
        let start = usize::try_from(from - offset).unwrap_or(usize::MAX);
        let stop = usize::try_from(until - offset).unwrap_or(usize::MAX);
        let new = bytes.get(start..stop).unwrap_or_default();
        // What is missing in the middle is not put together with what comes after it.
        let kept = if from == have && self.received == self.bytes.len() as u64 {
            new.len()
                .min(room)
                .min(BYTES_MAX - self.bytes.len().min(BYTES_MAX))
        } else {
            0
        };
        self.bytes
            .extend_from_slice(new.get(..kept).unwrap_or_default());
        self.received = until - self.offset;
        self.due |= kept > 0 || self.is_complete();
        kept
    }
}

/// One direction's frames.
#[derive(Debug, Default)]
struct Side {
    list: Vec<Frame>,
    next_id: u32,
    held: usize,
    streams: bool,
}

/// The frames of a flow that are not inspected to their end.
#[derive(Debug, Default)]
pub struct Frames {
    sides: [Side; 2],
    /// Frames passed over because there was no room.
    pub lost: u64,
}

impl Frames {
    /// Exchanges the directions.
    pub fn swap(&mut self) {
        self.sides.swap(0, 1);
    }

    /// Takes what a parser noted of `bytes`, which begin at `offset` of the stream, and what of them belongs to frames
    /// noted before.
    pub fn take(
        &mut self,
        notes: &mut FrameNotes,
        direction: Direction,
        offset: u64,
        bytes: &[u8],
    ) {
        let Some(side) = self.sides.get_mut(direction.index()) else {
            return;
        };
        self.lost += std::mem::take(&mut notes.lost);
        if !std::mem::replace(&mut side.streams, true) && !bytes.is_empty() {
            side.open(STREAM, offset, None, None);
        }
        for noted in notes.list.drain(..) {
            let at = offset.saturating_add(noted.at as u64);
            if noted.ends {
                side.close(noted.kind, at);
            } else if !side.open(noted.kind, at, noted.len, noted.tx) {
                self.lost += 1;
            }
        }
        for frame in &mut side.list {
            let room = TOTAL_MAX.saturating_sub(side.held);
            side.held += frame.take(offset, bytes, room);
        }
    }

    /// A datagram is a stream of its own.
    pub fn datagram(&mut self, direction: Direction) {
        if let Some(side) = self.sides.get_mut(direction.index()) {
            side.list.clear();
            side.held = 0;
            side.streams = false;
        }
    }

    /// The frames of a direction.
    pub fn of(&self, direction: Direction) -> &[Frame] {
        self.sides
            .get(direction.index())
            .map_or(&[], |side| &side.list)
    }

    /// The frames of a direction.
    pub fn of_mut(&mut self, direction: Direction) -> &mut [Frame] {
        self.sides
            .get_mut(direction.index())
            .map_or(&mut [], |side| &mut side.list)
    }

    /// Detection has looked: what is complete, or will not grow as far as it is kept, goes.
    pub fn inspected(&mut self, direction: Direction) {
        let Some(side) = self.sides.get_mut(direction.index()) else {
            return;
        };
        let held = &mut side.held;
        side.list.retain_mut(|frame| {
            frame.due = false;
            let goes = frame.is_complete() && frame.kind != STREAM;
            if goes {
                *held = held.saturating_sub(frame.bytes.len());
            }
            !goes
        });
    }
}

impl Side {
    fn close(&mut self, kind: u8, end: u64) {
        let mut frames = self.list.iter_mut().rev();
        if let Some(frame) = frames.find(|f| f.kind == kind && f.len.is_none()) {
            let len = end.saturating_sub(frame.offset);
            frame.len = Some(len);
            frame.received = frame.received.min(len);
            frame
                .bytes
                .truncate(usize::try_from(len).unwrap_or(usize::MAX));
            frame.due = true;
        }
    }

    fn open(&mut self, kind: u8, offset: u64, len: Option<u64>, tx: Option<u64>) -> bool {
        if self.list.len() >= FRAMES_MAX {
            return false;
        }
        self.next_id += 1;
        self.list.push(Frame {
            kind,
            id: self.next_id,
            offset,
            len,
            bytes: Vec::new(),
            received: 0,
            tx,
            due: true,
            matched: Vec::new(),
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(list: &[(u8, usize, usize)]) -> FrameNotes {
        let mut notes = FrameNotes {
            wanted: true,
            ..FrameNotes::default()
        };
        for (kind, at, len) in list {
            notes.note(*kind, *at, *len, None);
        }
        notes
    }

    #[test]
    fn a_frame_grows_with_the_stream_however_it_is_offered() {
        let mut frames = Frames::default();
        let d = Direction::ToServer;
        frames.take(&mut notes(&[(0, 2, 6)]), d, 100, b"..abc");
        let frame = &frames.of(d)[1];
        assert_eq!(
            (&frame.bytes[..], frame.is_complete(), frame.offset),
            (&b"abc"[..], false, 102)
        );
        frames.inspected(d);
        // The unconsumed rest is offered again together with more.
        frames.take(&mut notes(&[]), d, 103, b"bcdefghi");
        let frame = &frames.of(d)[1];
        assert_eq!(
            (&frame.bytes[..], frame.is_complete()),
            (&b"abcdef"[..], true)
        );
        frames.inspected(d);
        assert_eq!(frames.of(d).len(), 1, "the stream stays");
    }

    #[test]
    fn a_frame_without_a_length_ends_where_its_parser_says() {
        let mut frames = Frames::default();
        let d = Direction::ToServer;
        let mut noted = notes(&[]);
        noted.begin(3, 1, None);
        frames.take(&mut noted, d, 0, b".GET");
        assert!(!frames.of(d)[1].is_complete());
        frames.inspected(d);
        noted.end(3, 2);
        noted.begin(3, 2, None);
        frames.take(&mut noted, d, 4, b" /HE");
        let [_, first, second] = frames.of(d) else {
            panic!("{:?}", frames.of(d));
        };
        assert_eq!(
            (&first.bytes[..], first.is_complete(), first.due),
            (&b"GET /"[..], true, true)
        );
        assert_eq!(
            (&second.bytes[..], second.is_complete()),
            (&b"HE"[..], false)
        );
    }

    #[test]
    fn nothing_is_noted_unless_wanted() {
        let mut notes = FrameNotes::default();
        notes.note(0, 0, 1, None);
        assert!(notes.list.is_empty());
    }

    #[test]
    fn frames_and_bytes_are_bounded() {
        let mut frames = Frames::default();
        let d = Direction::ToClient;
        let many: Vec<(u8, usize, usize)> = (0..500).map(|i| (0, i, 100_000)).collect();
        frames.take(&mut notes(&many), d, 0, &[7; 100_000]);
        assert!(frames.of(d).len() <= FRAMES_MAX);
        let held: usize = frames.of(d).iter().map(|f| f.bytes.len()).sum();
        assert!(held <= TOTAL_MAX && frames.lost > 400);
        assert!(frames.of(d).iter().all(|f| f.bytes.len() <= BYTES_MAX));
    }
}
