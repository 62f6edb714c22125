//! Tests on the bytes of a buffer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::packet::Compare;
use crate::alert::DatasetChange;
use crate::rules::dataset::Dataset;

/// A number in a rule: written out, or read earlier from the traffic (`byte_extract`, `byte_math`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Number {
    /// Written out.
    Fixed(i64),
    /// Slot of the signature's variables.
    Variable(u8),
}

/// `content` with its modifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes to find, 1..=65535.
    pub bytes: Vec<u8>,
    /// Case-insensitive.
    pub nocase: bool,
    /// Must not be there.
    pub negate: bool,
    /// Absolute: start at or after.
    pub offset: Option<Number>,
    /// Absolute: must end within this many bytes counted from `offset`.
    pub depth: Option<Number>,
    /// Relative to the last match: start at or after (may be negative).
    pub distance: Option<Number>,
    /// Relative: must end within this many bytes of last match (+ distance).
    pub within: Option<Number>,
    /// `startswith`.
    pub starts: bool,
    /// `endswith`.
    pub ends: bool,
    /// Use this one for the fast pattern.
    pub fast_pattern: bool,
    /// `fast_pattern:only`.
    pub fast_pattern_only: bool,
    /// `fast_pattern:offset,len`.
    pub fast_pattern_chop: Option<(u16, u16)>,
    /// `rawbytes`-like and `noalert`-less flags that do not change matching are not kept.
    pub replace: Option<Vec<u8>>,
}

impl Content {
    /// Whether its position depends on the last match.
    pub fn relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// `pcre`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pcre {
    /// The expression between the slashes.
    pub expression: String,
    /// Option letters of the library: i s m x A E G U O (already checked).
    pub flags: String,
    /// `R`: relative to the last match.
    pub relative: bool,
    /// Must not match.
    pub negate: bool,
    /// Named captures into flow variables or alert (`flow:name`, `pkt:name`, `alert:name`).
    pub captures: Vec<(CaptureScope, String)>,
}

/// Where a capture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CaptureScope {
    /// Flow variable.
    Flow,
    /// Packet variable.
    Packet,
    /// Alert metadata.
    Alert,
}

/// How bytes are read as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteFormat {
    /// Text of digits instead of binary, in this base (8, 10, 16).
    pub string_base: Option<u8>,
    /// Little endian (binary only).
    pub little: bool,
    /// By the DCE/RPC header's own byte order.
    pub dce: bool,
}

/// Operators of `byte_test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByteOperator {
    /// =
    Equal,
    /// <
    Less,
    /// >
    Greater,
    /// <=
    LessOrEqual,
    /// >=
    GreaterOrEqual,
    /// & (any bit)
    And,
    /// ^ (xor non-zero)
    Xor,
}

/// Operators of `byte_math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MathOperator {
    /// +
    Add,
    /// -
    Subtract,
    /// *
    Multiply,
    /// /
    Divide,
    /// <<
    ShiftLeft,
    /// >>
    ShiftRight,
}

/// One step of inspecting a buffer. Steps run in order over a cursor (the end of the last match); relative steps that
/// fail make earlier contents look for their next occurrence (backtracking, bounded).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Test {
    /// `content`
    Content(Content),
    /// `pcre`
    Pcre(Pcre),
    /// `isdataat`
    IsDataAt {
        /// Position.
        at: Number,
        /// From the cursor.
        relative: bool,
        /// Must not be.
        negate: bool,
    },
    /// `byte_test`
    ByteTest {
        /// Bytes to read.
        bytes: Number,
        /// Comparison.
        operator: ByteOperator,
        /// Must not hold.
        negate: bool,
        /// Right-hand side.
        value: Number,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// `bitmask`, with the shift by its trailing zeros.
        bitmask: Option<u64>,
    },
    /// `byte_jump`
    ByteJump {
        /// Bytes to read (0 only with `from_end`/`post_offset` forms).
        bytes: Number,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// Factor.
        multiplier: u32,
        /// Round up to four.
        align: bool,
        /// Count from the buffer's start.
        from_beginning: bool,
        /// Count from its end.
        from_end: bool,
        /// Added to the result.
        post_offset: Number,
        /// `bitmask`.
        bitmask: Option<u64>,
    },
    /// `byte_extract`
    ByteExtract {
        /// Bytes to read.
        bytes: u8,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// Factor.
        multiplier: u32,
        /// Round up to 2 or 4 (0: not).
        align: u8,
        /// `bitmask`.
        bitmask: Option<u64>,
        /// Variable slot.
        into: u8,
    },
    /// `byte_math`
    ByteMath {
        /// Bytes to read.
        bytes: Number,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// Operator.
        operator: MathOperator,
        /// Right-hand side.
        value: Number,
        /// `bitmask`.
        bitmask: Option<u64>,
        /// Variable slot.
        into: u8,
    },
    /// `base64_decode`: fills the signature's base64 buffer, which later groups inspect.
    Base64Decode {
        /// Bytes to take.
        bytes: Option<u32>,
        /// Where.
        offset: u32,
        /// From the cursor.
        relative: bool,
    },
    /// `bsize`
    BufferSize(Compare),
    /// `absent` (`or_else`: or the rest matches).
    Absent {
        /// `absent:or_else`.
        or_else: bool,
    },
    /// `entropy: value > 4.0, bytes 0, offset 0`; values times 1,000,000.
    Entropy {
        /// The buffer, as records name it.
        buffer: Arc<str>,
        /// Comparison of entropy in millionths of a bit per byte.
        value: Compare,
        /// Bytes to take (0: all).
        bytes: u32,
        /// Where.
        offset: u32,
    },
    /// `asn1` tests on the payload.
    Asn1(Asn1Test),
    /// `dsize`-like checks of `urilen` (`norm`/`raw` chose the buffer already).
    Length(Compare),
    /// `dataset`, `datarep` on the whole buffer. Its values are of another file, so it is not stored;
    /// last, because what is stored is numbered without it.
    #[serde(skip)]
    Dataset(DatasetTest),
}

/// What a rule asks of a set, or does to it.
#[derive(Clone, Debug)]
pub struct DatasetTest {
    /// The set.
    pub set: Arc<Dataset>,
    /// What.
    pub operation: DatasetOperation,
    /// Also look for the domains above a name.
    pub subdomain: bool,
    /// Name under which alerts show the object of a value.
    pub context: Option<Arc<str>>,
}

/// What a rule asks of a set, or does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetOperation {
    /// The set has the value, loses it, …
    Change(DatasetChange),
    /// The value's reputation (`datarep`).
    Reputation(Compare),
}

/// `asn1` options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asn1Test {
    /// `oversize_length`.
    pub oversize_length: Option<u32>,
    /// `bitstring_overflow`.
    pub bitstring_overflow: bool,
    /// `double_overflow`.
    pub double_overflow: bool,
    /// `absolute_offset`.
    pub absolute_offset: Option<u32>,
    /// `relative_offset`.
    pub relative_offset: Option<i32>,
}
