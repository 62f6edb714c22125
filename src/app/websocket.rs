//! WebSocket (RFC 6455) with per-message deflate (RFC 7692): what follows an HTTP upgrade.
//!
//! Each frame is a transaction; the last frame of a fragmented or compressed message carries the whole message.
//! Limits: 64 KiB of payload a frame and a message (what is beyond is skipped, with an event), compressed or not.
//! A gap ends the session: there is no way to find the next frame.

use flate2::{Decompress, FlushDecompress};

use super::{
    Access, AppProto, Field, FieldDirection, FieldTest, FlowInfo, FrameNotes, Input, Limits,
    LogHead, Parsed, Protocol, Rides, Session, Transaction, TxList, TxState, TxStore,
    session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::Direction;

/// Payload kept of a frame or message, in bytes.
const PAYLOAD_MAX: usize = 0xffff;

/// Bytes that one message may unfold to before its sender is no longer followed.
const UNFOLD_MAX: usize = 1 << 20;

/// Live transactions of a connection; more at once end it.
const TX_MAX: usize = 4096;

const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// Names of the opcodes.
static OPCODES: &[(&str, u64)] = &[
    ("continuation", 0),
    ("text", 1),
    ("binary", 2),
    ("close", 8),
    ("ping", 9),
    ("pong", 10),
];

static EVENTS: &[&str] = &["skip_end_of_payload", "reassembly_limit_reached"];
const SKIP_END_OF_PAYLOAD: u8 = 0;
const REASSEMBLY_LIMIT_REACHED: u8 = 1;

static STATES: &[&str] = &["started", "complete"];

/// One frame.
#[derive(Debug, Default)]
struct Message {
    state: TxState,
    /// The first byte's upper half: FIN and the reserved bits.
    flags: u8,
    opcode: u8,
    mask: Option<u32>,
    payload: Vec<u8>,
}

impl Transaction for Message {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// One direction.
#[derive(Default)]
struct Side {
    /// Payload bytes still to come that are not kept.
    skip: u64,
    /// A fragmented message so far, and whether it is compressed.
    message: Vec<u8>,
    compressed: bool,
    /// The compressor's window lives on between messages.
    inflate: Option<Decompress>,
}

/// The parser's state for one connection.
#[derive(Default)]
struct WebSocketSession {
    txs: TxStore<Message>,
    sides: [Side; 2],
    /// Frames noted.
    frames: FrameNotes,
}

impl std::fmt::Debug for WebSocketSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebSocketSession({} live)", self.txs.len())
    }
}

/// The head of a frame: RFC 6455 §5.2.
struct Head {
    flags: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    len: u64,
    head_len: usize,
}

/// Reads a frame's head; `Err` is how many bytes are missing at least.
fn head(bytes: &[u8]) -> Result<Head, usize> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Err(2 - bytes.len());
    };
    let short = second & 0x7f;
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = second & 0x80 != 0;
    let wanted = extended + if masked { 4 } else { 0 };
    if rest.len() < wanted {
        return Err(wanted - rest.len());
    }
    let (long, rest) = rest.split_at(extended);
    let len = if extended == 0 {
        u64::from(short)
    } else {
        long.iter().fold(0u64, |n, b| n << 8 | u64::from(*b))
    };
    let mask = if masked {
        rest.first_chunk::<4>().copied()
    } else {
        None
    };
    Ok(Head {
        flags: first & 0xf0,
        opcode: first & 0x0f,
        mask,
        len,
        head_len: 2 + wanted,
    })
}

/// Unfolds a message; what is not deflate stays as it is. Says whether the window is still good for the next message.
fn unfold(inflate: &mut Decompress, payload: &mut Vec<u8>) -> bool {
    // RFC 7692 §7.2.2: the tail that the sender took off.
    payload.extend_from_slice(&[0, 0, 0xff, 0xff]);
    let mut out = Vec::with_capacity(payload.len().saturating_mul(4).min(PAYLOAD_MAX));
    let mut buffer = [0u8; 8192];
    let mut rest = payload.as_slice();
    let mut work = 0usize;
    let good = loop {
        let (read, made) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(rest, &mut buffer, FlushDecompress::Sync);
        let read = usize::try_from(inflate.total_in() - read).unwrap_or(0);
        let made = usize::try_from(inflate.total_out() - made).unwrap_or(0);
        rest = rest.get(read..).unwrap_or_default();
        let room = PAYLOAD_MAX.saturating_sub(out.len());
        out.extend_from_slice(buffer.get(..made.min(room)).unwrap_or_default());
        work = work.saturating_add(made);
        if status.is_err() || work > UNFOLD_MAX {
            break false;
        }
        if (read == 0 && made == 0) || (rest.is_empty() && made < buffer.len()) {
            break true;
        }
    };
    if !out.is_empty() {
        *payload = out;
    }
    good
}

impl WebSocketSession {
    /// Takes one frame whose kept payload is there.
    fn frame(&mut self, direction: Direction, head: &Head, payload: &[u8]) {
        let Some(side) = self.sides.get_mut(direction.index()) else {
            return;
        };
        let mut tx = Message {
            flags: head.flags,
            opcode: head.opcode,
            ..Message::default()
        };
        tx.mask = head.mask.map(u32::from_be_bytes);
        tx.payload = payload.to_vec();
        if let Some(mask) = head.mask {
            for (byte, key) in tx.payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= key;
            }
        }
        let kept = payload.len() as u64;
        if head.len > kept {
            side.skip = head.len - kept;
            tx.state.raise(SKIP_END_OF_PAYLOAD);
        }
        let fin = head.flags & FIN != 0;
        let mut compressed = head.flags & COMPRESSED != 0;
        // Control frames may come between the fragments of a message (RFC 6455 §5.4).
        if head.opcode < 8 && (!side.message.is_empty() || !fin) {
            if side.message.is_empty() {
                side.compressed = compressed;
            }
            let room = PAYLOAD_MAX.saturating_sub(side.message.len());
            if tx.payload.len() > room {
                tx.state.raise(REASSEMBLY_LIMIT_REACHED);
            }
            side.message.extend_from_slice(
                tx.payload
                    .get(..room.min(tx.payload.len()))
                    .unwrap_or_default(),
            );
        }
        if head.opcode < 8 && fin && !side.message.is_empty() {
            compressed = side.compressed;
            tx.payload = std::mem::take(&mut side.message);
        }
        if compressed && fin {
            side.compressed = false;
            let inflate = side.inflate.get_or_insert_with(|| Decompress::new(false));
            if !unfold(inflate, &mut tx.payload) {
                side.inflate = None;
            }
        }
        tx.state.touch(direction);
        if let Some(other) = tx.state.inspected.get_mut(direction.reverse().index()) {
            *other = true;
        }
        self.txs.push(tx);
    }
}

impl Session for WebSocketSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if input.gap > 0 {
            return Parsed::Error;
        }
        let mut at = 0usize;
        loop {
            let rest = input.bytes.get(at..).unwrap_or_default();
            if let Some(side) = self.sides.get_mut(direction.index()) {
                let skipped = usize::try_from(side.skip)
                    .unwrap_or(usize::MAX)
                    .min(rest.len());
                if skipped > 0 {
                    side.skip -= skipped as u64;
                    at += skipped;
                    continue;
                }
            }
            if rest.is_empty() {
                return Parsed::All;
            }
            let head = match head(rest) {
                Ok(head) => head,
                Err(needed) => {
                    return Parsed::NeedMore {
                        consumed: at,
                        needed,
                    };
                }
            };
            let kept = usize::try_from(head.len)
                .unwrap_or(usize::MAX)
                .min(PAYLOAD_MAX);
            let Some(payload) = rest.get(head.head_len..head.head_len + kept) else {
                return Parsed::NeedMore {
                    consumed: at,
                    needed: head.head_len + kept - rest.len(),
                };
            };
            if self.txs.len() >= TX_MAX {
                return Parsed::Error;
            }
            let (tx, whole) = (
                Some(self.txs.total()),
                usize::try_from(head.len).unwrap_or(usize::MAX),
            );
            self.frames.note(0, at, head.head_len, tx);
            let total = head.head_len.saturating_add(whole);
            self.frames.note(1, at, total, tx);
            self.frames.note(2, at + head.head_len, whole, tx);
            at += head.head_len + kept;
            self.frame(direction, &head, payload);
        }
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }
}

fn message(tx: &dyn Transaction) -> Option<&Message> {
    tx.as_any().downcast_ref::<Message>()
}

/// `websocket.flags`: names of bits, or a number.
#[derive(Debug)]
struct FlagsTest {
    bits: u8,
    negated: bool,
    exact: bool,
}

fn flags_test(text: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = text.trim();
    let (negated, text) = text.strip_prefix('!').map_or((false, text), |t| (true, t));
    let (exact, text) = text.strip_prefix('=').map_or((false, text), |t| (true, t));
    let mut bits = 0u8;
    for name in text.split(',').map(str::trim) {
        bits |= match name.to_ascii_lowercase().as_str() {
            "fin" => FIN,
            "comp" => COMPRESSED,
            other => {
                let hex = other.strip_prefix("0x").map(|h| u8::from_str_radix(h, 16));
                hex.unwrap_or_else(|| other.parse())
                    .map_err(|_| format!("{other}: fin, comp or a number expected"))?
            }
        };
    }
    Ok(Box::new(FlagsTest {
        bits,
        negated,
        exact,
    }))
}

impl FieldTest for FlagsTest {
    fn test(&self, tx: &dyn Transaction, _session: &dyn Session, _direction: Direction) -> bool {
        let Some(message) = message(tx) else {
            return false;
        };
        let same = if self.exact {
            message.flags == self.bits
        } else {
            message.flags & self.bits == self.bits
        };
        same != self.negated
    }
}

static FIELDS: &[Field] = &[
    Field {
        name: "websocket.opcode",
        aliases: &[],
        modifier: None,
        direction: FieldDirection::Both,
        progress: 1,
        access: Access::Integer {
            value: |tx, _, i| message(tx).filter(|_| i == 0).map(|m| u64::from(m.opcode)),
            names: OPCODES,
            max: 15,
        },
        doc: "the frame's kind",
    },
    Field {
        name: "websocket.mask",
        aliases: &[],
        modifier: None,
        direction: FieldDirection::Both,
        progress: 1,
        access: Access::Integer {
            value: |tx, _, i| message(tx).filter(|_| i == 0)?.mask.map(u64::from),
            names: &[],
            max: u32::MAX as u64,
        },
        doc: "the masking key, when there is one",
    },
    Field {
        name: "websocket.flags",
        aliases: &[],
        modifier: None,
        direction: FieldDirection::Both,
        progress: 1,
        access: Access::Test(flags_test),
        doc: "FIN and the reserved bits",
    },
    Field {
        name: "websocket.payload",
        aliases: &[],
        modifier: None,
        direction: FieldDirection::Both,
        progress: 1,
        access: Access::Bytes(|tx, _, _| message(tx).map(|m| m.payload.as_slice())),
        doc: "the payload, unmasked and unfolded",
    },
];

/// WebSocket.
#[derive(Debug)]
pub struct WebSocketProtocol;

/// The registry's line.
pub static WEBSOCKET: WebSocketProtocol = WebSocketProtocol;

impl Protocol for WebSocketProtocol {
    fn proto(&self) -> AppProto {
        super::registry::number(self.name())
    }

    fn name(&self) -> &'static str {
        "websocket"
    }

    fn rides(&self) -> Rides {
        Rides::Switched
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(WebSocketSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["header", "pdu", "data"]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn states(&self, _direction: Direction) -> &'static [&'static str] {
        STATES
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("websocket"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(message) = message(tx) else { return };
        json.object("websocket")
            .bool("fin", message.flags & FIN != 0);
        if let Some(mask) = message.mask {
            json.num("mask", mask);
        }
        match OPCODES
            .iter()
            .find(|(_, n)| *n == u64::from(message.opcode))
        {
            Some((name, _)) => json.str("opcode", name),
            None => json.str("opcode", format!("unknown-{}", message.opcode)),
        };
        json.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::feed::Feed;

    fn payloads(feed: &Feed) -> Vec<String> {
        let list = feed.session.transactions();
        (0..list.len())
            .filter_map(|i| message(list.at(i)?))
            .map(|m| format!("{:x} {} {}", m.flags, m.opcode, m.payload.escape_ascii()))
            .collect()
    }

    fn read(bytes: &[u8], size: usize) -> Vec<String> {
        let mut feed = Feed::new(&WEBSOCKET, 6, 80);
        for piece in bytes.chunks(size) {
            feed.give(Direction::ToServer, piece);
        }
        payloads(&feed)
    }

    #[test]
    fn masked_fragmented_and_compressed_messages_are_read_at_any_cut() {
        // RFC 6455 §5.7: "Hello" masked; then a fragmented one with a ping between; RFC 7692 §7.2.3.1: compressed.
        let mut bytes = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
        bytes.extend_from_slice(b"\x01\x03Hel\x89\x02hi\x80\x02lo");
        bytes.extend_from_slice(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
        let want = [
            "80 1 Hello",
            "0 1 Hel",
            "80 9 hi",
            "80 0 Hello",
            "c0 1 Hello",
        ];
        for size in 1..bytes.len() {
            assert_eq!(read(&bytes, size), want, "{size}");
        }
    }

    #[test]
    fn a_frame_beyond_the_limit_is_cut_and_what_follows_is_found() {
        let mut bytes = b"\x82\x7f\0\0\0\0\0\x01\0\x10".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 0x1_0010));
        bytes.extend_from_slice(b"\x81\x01y");
        let got = read(&bytes, 1000);
        assert_eq!((got.len(), got[1].as_str()), (2, "80 1 y"));
    }

    #[test]
    fn flags_are_named_or_numbered() {
        assert!(
            flags_test("fin,comp").is_ok()
                && flags_test("!0x80").is_ok()
                && flags_test("nonsense").is_err()
        );
    }
}
