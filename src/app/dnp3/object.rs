//! Objects of DNP3's application layer (IEEE 1815 §4.2 and annex A): the headers of objects, and the points they hold.
//!
//! Points are not kept: an object remembers where its points lie in the message, and they are read again when they are
//! written out. What a point looks like is one line of [`SHAPES`]. Sets of data (groups 85 to 91), device attributes and
//! octet strings are told as objects without points, and end the reading of the message.
//! Limits: [`OBJECTS_MAX`] objects and [`POINTS_MAX`] points a message.

use crate::app::reader::Reader;

/// Objects of a message.
pub const OBJECTS_MAX: usize = 2048;
/// Points of a message.
pub const POINTS_MAX: u64 = 16_384;

/// What ended the reading of objects too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// More than [`OBJECTS_MAX`].
    Objects,
    /// More than [`POINTS_MAX`].
    Points,
    /// A group and variation without a shape here, or points that do not have theirs.
    Unknown,
    /// The header of an object is cut off or uses a reserved code.
    Header,
}

/// A group of points in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Kind of data.
    pub group: u8,
    /// How it is written.
    pub variation: u8,
    /// How points are addressed: prefix (bits 4–6) and range (bits 0–3).
    pub qualifier: u8,
    /// The first point, with a range.
    pub start: u32,
    /// The last point, with a range.
    pub stop: u32,
    /// How many.
    pub count: u32,
    /// Where its points begin in the message.
    at: u32,
    /// Whether there are points to be read.
    has_points: bool,
}

impl Object {
    /// The code that says what stands before each point.
    pub fn prefix_code(self) -> u8 {
        self.qualifier >> 4 & 7
    }

    /// The code that says how points are counted.
    pub fn range_code(self) -> u8 {
        self.qualifier & 15
    }

    /// Whether what stands before each point is its size.
    pub fn prefix_is_size(self) -> bool {
        matches!(self.prefix_code(), 4..=6)
    }

    /// Reads the header (§4.2.2.7).
    ///
    /// ```text
    /// group(8) variation(8) | 0(1) prefix(3) range(4) | range: start and stop, or count
    /// ```
    fn header(r: &mut Reader<'_>) -> Option<(Self, bool)> {
        let mut object = Self {
            group: r.u8()?,
            variation: r.u8()?,
            qualifier: r.u8()?,
            ..Self::default()
        };
        // From here on the object is known by kind, whatever is wrong with its range.
        let range = match object.range_code() {
            0 | 3 => r.u8().zip(r.u8()).map(|(a, b)| (a.into(), b.into())),
            1 | 4 => r
                .u16_le()
                .zip(r.u16_le())
                .map(|(a, b)| (a.into(), b.into())),
            2 | 5 => r.u32_le().zip(r.u32_le()),
            6 => return Some((object, true)),
            code @ (7 | 8 | 9 | 11) => {
                let count = match code {
                    8 => r.u16_le().map(u32::from),
                    9 => r.u32_le(),
                    _ => r.u8().map(u32::from),
                };
                object.count = count.unwrap_or_default();
                return Some((object, count.is_some()));
            }
            _ => return Some((object, false)),
        };
        if let Some((start, stop)) = range {
            (object.start, object.stop) = (start, stop);
            object.count = stop.wrapping_sub(start).wrapping_add(1);
        }
        Some((object, range.is_some()))
    }

    /// Reads the objects of a message from an offset on. Those before trouble are kept.
    pub fn read_all(message: &[u8], from: usize) -> (Vec<Self>, Option<Trouble>) {
        let mut r = Reader::starting(message, from);
        let (mut objects, mut points) = (Vec::new(), 0u64);
        while !r.is_empty() {
            if objects.len() >= OBJECTS_MAX {
                return (objects, Some(Trouble::Objects));
            }
            let Some((mut object, whole)) = Self::header(&mut r) else {
                return (objects, Some(Trouble::Header));
            };
            let held = whole && object.variation != 0 && object.count != 0;
            points += if held { object.count.into() } else { 0 };
            object.at = u32::try_from(r.position()).unwrap_or(u32::MAX);
            object.has_points = held && points <= POINTS_MAX;
            objects.push(object);
            if !whole {
                return (objects, Some(Trouble::Header));
            }
            if points > POINTS_MAX {
                return (objects, Some(Trouble::Points));
            }
            if object.has_points && object.points(&mut r, &mut |_, _, _| true).is_none() {
                return (objects, Some(Trouble::Unknown));
            }
        }
        (objects, None)
    }

    /// Gives each point of the object in its message to `each` (prefix, index, values), until that says no.
    pub fn each_point(self, message: &[u8], each: &mut dyn FnMut(u32, u32, Point<'_>) -> bool) {
        if self.has_points {
            let mut r = Reader::starting(message, usize::try_from(self.at).unwrap_or(usize::MAX));
            let _ = self.points(&mut r, each);
        }
    }

    fn points(
        self,
        r: &mut Reader<'_>,
        each: &mut dyn FnMut(u32, u32, Point<'_>) -> bool,
    ) -> Option<()> {
        let shape = shape(self.group, self.variation)?;
        if let Shape::Packed(name, width) = *shape {
            return self.packed(r, name, width, each);
        }
        let Shape::Parts(parts, sized) = *shape else {
            return None;
        };
        let fits = match sized {
            Sized::Either => true,
            Sized::Any => self.prefix_is_size(),
            Sized::Two => self.prefix_code() == 5,
        };
        if !fits {
            return None;
        }
        let mut index = self.start;
        for _ in 0..self.count {
            let prefix = self.prefix(r)?;
            let mut end = *r;
            read_parts(parts, &mut end, prefix, &mut |_, _| ())?;
            let shown = if matches!(self.prefix_code(), 1..=3) {
                prefix
            } else {
                index
            };
            let point = Point {
                parts,
                bytes: r.rest(),
                prefix,
            };
            if !each(prefix, shown, point) {
                return Some(());
            }
            *r = end;
            index = index.wrapping_add(1);
        }
        Some(())
    }

    /// Points of one or two bits each (§A.2): filled up to whole bytes.
    fn packed(
        self,
        r: &mut Reader<'_>,
        name: &'static str,
        width: u8,
        each: &mut dyn FnMut(u32, u32, Point<'_>) -> bool,
    ) -> Option<()> {
        let prefix = self.prefix(r)?;
        let bits = usize::try_from(self.count).ok()? * usize::from(width);
        let bytes = r.take(bits.div_ceil(8))?;
        let per_byte = 8 / width.max(1);
        let values = bytes
            .iter()
            .flat_map(|byte| (0..per_byte).map(move |i| byte >> (i * width) & ((1 << width) - 1)));
        for (i, value) in (0..self.count).zip(values) {
            let parts: &[Part] = &[Part::U8(name)];
            let point = Point {
                parts,
                bytes: &[value],
                prefix,
            };
            let index = if matches!(self.prefix_code(), 1..=3) {
                prefix
            } else {
                self.start.wrapping_add(i)
            };
            if !each(prefix, index, point) {
                break;
            }
        }
        Some(())
    }

    fn prefix(self, r: &mut Reader<'_>) -> Option<u32> {
        match self.prefix_code() {
            1 | 4 => r.u8().map(u32::from),
            2 | 5 => r.u16_le().map(u32::from),
            3 | 6 => r.u32_le(),
            _ => Some(0),
        }
    }
}

/// A point, not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    parts: &'a [Part],
    bytes: &'a [u8],
    prefix: u32,
}

impl Point<'_> {
    /// Gives the name and value of each of its parts to `each`.
    pub fn read(self, each: &mut dyn FnMut(&'static str, Value<'_>)) {
        let _ = read_parts(self.parts, &mut Reader::new(self.bytes), self.prefix, each);
    }
}

/// A value of a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number.
    Integer(i64),
    /// A measured value.
    Float(f64),
    /// Text.
    Text(&'a [u8]),
    /// Anything, of any length.
    Binary(&'a [u8]),
}

/// A part of a point.
#[derive(Clone, Copy, Debug)]
enum Part {
    U8(&'static str),
    U16(&'static str),
    U24(&'static str),
    U32(&'static str),
    /// Milliseconds since 1970, 48 bits.
    Time(&'static str),
    I16(&'static str),
    I32(&'static str),
    F32(&'static str),
    F64(&'static str),
    /// The bits of a byte from the lowest on: name and width.
    Bits(&'static [(&'static str, u8)]),
    /// A 16-bit length that is shown and says how long a part of the same number further on is.
    Length(u8, &'static str),
    /// Text, and bytes, of a length given before.
    Text(u8, &'static str),
    Bytes(u8, &'static str),
    /// Text of at most 255 bytes, text, and bytes, as long as the prefix leaves.
    ShortRest(&'static str),
    TextRest(&'static str),
    Rest(&'static str),
    /// Four letters.
    Four(&'static str),
}

/// Which prefix points must have.
#[derive(Clone, Copy, Debug)]
enum Sized {
    Either,
    /// Their size, in any width.
    Any,
    /// Their size, in two bytes.
    Two,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Name and width in bits.
    Packed(&'static str, u8),
    Parts(&'static [Part], Sized),
}

/// Lengths a point may announce for later parts.
const LENGTHS: usize = 3;

fn read_parts(
    parts: &[Part],
    r: &mut Reader<'_>,
    prefix: u32,
    each: &mut dyn FnMut(&'static str, Value<'_>),
) -> Option<()> {
    use Value::{Binary, Float, Integer, Text};
    let size = usize::try_from(prefix).ok()?;
    let begin = r.position();
    let mut lengths = [0u16; LENGTHS];
    let given = |lengths: &[u16; LENGTHS], slot: u8| {
        usize::from(lengths.get(usize::from(slot)).copied().unwrap_or_default())
    };
    for part in parts {
        let rest = |r: &Reader<'_>| size.checked_sub(r.position().saturating_sub(begin));
        match *part {
            Part::U8(name) => each(name, Integer(r.u8()?.into())),
            Part::U16(name) => each(name, Integer(r.u16_le()?.into())),
            Part::U24(name) => {
                let [a, b, c] = *r.take(3)?.first_chunk::<3>()?;
                each(name, Integer(u32::from_le_bytes([a, b, c, 0]).into()));
            }
            Part::U32(name) => each(name, Integer(r.u32_le()?.into())),
            Part::Time(name) => {
                let (low, high) = (r.u32_le()?, r.u16_le()?);
                each(name, Integer(i64::from(high) << 32 | i64::from(low)));
            }
            Part::I16(name) => each(name, Integer(r.u16_le()?.cast_signed().into())),
            Part::I32(name) => each(name, Integer(r.u32_le()?.cast_signed().into())),
            Part::F32(name) => each(name, Float(f32::from_bits(r.u32_le()?).into())),
            Part::F64(name) => each(name, Float(f64::from_bits(r.u64_le()?))),
            Part::Bits(names) => {
                let mut byte = u16::from(r.u8()?);
                for (name, width) in names {
                    each(name, Integer((byte & ((1 << width) - 1)).into()));
                    byte >>= width;
                }
            }
            Part::Length(slot, name) => {
                let len = r.u16_le()?;
                if let Some(place) = lengths.get_mut(usize::from(slot)) {
                    *place = len;
                }
                each(name, Integer(len.into()));
            }
            Part::Text(slot, name) => each(name, Text(r.take(given(&lengths, slot))?)),
            Part::Bytes(slot, name) => each(name, Binary(r.take(given(&lengths, slot))?)),
            Part::ShortRest(name) => {
                let len = rest(r).filter(|len| *len < 256)?;
                each(name, Text(r.take(len)?));
            }
            Part::TextRest(name) => each(name, Text(r.take(rest(r)?)?)),
            Part::Rest(name) => each(name, Binary(r.take(rest(r)?)?)),
            Part::Four(name) => {
                let letters = r.take(4)?;
                let end = letters.iter().position(|b| *b == 0).unwrap_or(4);
                each(name, Text(letters.get(..end)?));
            }
        }
    }
    Some(())
}

/// Flags that all measured points have, and three of their own.
macro_rules! flags {
    ($($name:literal $width:literal),+) => {
        Part::Bits(&[("online", 1), ("restart", 1), ("comm_lost", 1), ("remote_forced", 1), ("local_forced", 1), $(($name, $width)),+])
    };
}

const BINARY: Part = flags!("chatter_filter" 1, "reserved" 1, "state" 1);
const DOUBLE: Part = flags!("chatter_filter" 1, "state" 2);
const OUTPUT: Part = flags!("reserved0" 1, "reserved1" 1, "state" 1);
const COUNTER: Part = flags!("rollover" 1, "reserved0" 1, "reserved1" 1);
/// Older variations know of jumps.
const JUMPING: Part = flags!("rollover" 1, "discontinuity" 1, "reserved0" 1);
const JUMPING1: Part = flags!("rollover" 1, "discontinuity" 1, "reserved1" 1);
const ANALOG: Part = flags!("over_range" 1, "reference_err" 1, "reserved0" 1);
const STATISTIC: Part = flags!("reserved0" 1, "discontinuity" 1, "reserved1" 1);
const STATE: Part = Part::Bits(&[("status_code", 7), ("commanded_state", 1)]);
const STATUS: Part = Part::Bits(&[("status_code", 7), ("reserved0", 1)]);
const STAMP: Part = Part::Time("timestamp");
const COUNT4: Part = Part::U32("count");
const COUNT2: Part = Part::U16("count");
const LONG: Part = Part::I32("value");
const SHORT: Part = Part::I16("value");
const FLOAT: Part = Part::F32("value");
const DOUBLE_FLOAT: Part = Part::F64("value");
const CONTROL: &[Part] = &[
    Part::Bits(&[("op_type", 4), ("qu", 1), ("cr", 1), ("tcc", 2)]),
    Part::U8("count"),
    Part::U32("ontime"),
    Part::U32("offtime"),
    Part::Bits(&[("status_code", 7), ("reserved", 1)]),
];

const fn parts(parts: &'static [Part]) -> Shape {
    Shape::Parts(parts, Sized::Either)
}

const fn sized(parts: &'static [Part]) -> Shape {
    Shape::Parts(parts, Sized::Two)
}

/// The shape of a group's variation.
fn shape(group: u8, variation: u8) -> Option<&'static Shape> {
    let shapes = SHAPES.iter().find(|(g, _)| *g == group)?.1;
    shapes.get(usize::from(variation).checked_sub(1)?)
}

/// Groups, and their variations from 1 on (annex A).
static SHAPES: &[(u8, &[Shape])] = &[
    (1, &[Shape::Packed("state", 1), parts(&[BINARY])]),
    (
        2,
        &[
            parts(&[Part::U8("state")]),
            parts(&[BINARY, STAMP]),
            parts(&[BINARY, Part::U16("timestamp")]),
        ],
    ),
    (3, &[Shape::Packed("state", 2), parts(&[DOUBLE])]),
    (
        4,
        &[
            parts(&[DOUBLE]),
            parts(&[DOUBLE, STAMP]),
            parts(&[DOUBLE, Part::U16("relative_time_ms")]),
        ],
    ),
    (10, &[Shape::Packed("state", 1), parts(&[OUTPUT])]),
    (11, &[parts(&[OUTPUT]), parts(&[OUTPUT, STAMP])]),
    (
        12,
        &[parts(CONTROL), parts(CONTROL), Shape::Packed("point", 1)],
    ),
    (13, &[parts(&[STATE]), parts(&[STATE, STAMP])]),
    (
        20,
        &[
            parts(&[JUMPING, COUNT4]),
            parts(&[JUMPING, COUNT2]),
            parts(&[COUNTER, COUNT4]),
            parts(&[COUNTER, COUNT2]),
            parts(&[COUNT4]),
            parts(&[COUNT2]),
            parts(&[COUNT4]),
            parts(&[COUNT2]),
        ],
    ),
    (
        21,
        &[
            parts(&[JUMPING, COUNT4]),
            parts(&[JUMPING, COUNT2]),
            parts(&[COUNTER, COUNT4]),
            parts(&[COUNTER, COUNT2]),
            parts(&[JUMPING1, COUNT4, STAMP]),
            parts(&[JUMPING1, COUNT2, STAMP]),
            parts(&[COUNTER, COUNT4, STAMP]),
            parts(&[COUNTER, COUNT2, STAMP]),
            parts(&[COUNT4]),
            parts(&[COUNT2]),
            parts(&[COUNT4]),
            parts(&[COUNT2]),
        ],
    ),
    (
        22,
        &[
            parts(&[JUMPING, COUNT4]),
            parts(&[JUMPING, COUNT2]),
            parts(&[COUNTER, COUNT4]),
            parts(&[COUNTER, COUNT2]),
            parts(&[COUNTER, COUNT4, STAMP]),
            parts(&[JUMPING, COUNT2, STAMP]),
            parts(&[COUNTER, COUNT4, STAMP]),
            parts(&[COUNTER, COUNT2, STAMP]),
        ],
    ),
    (
        23,
        &[
            parts(&[JUMPING, COUNT4]),
            parts(&[COUNTER, COUNT2]),
            parts(&[COUNTER, COUNT4]),
            parts(&[COUNTER, COUNT2]),
            parts(&[JUMPING, COUNT4, STAMP]),
            parts(&[JUMPING, COUNT2, STAMP]),
            parts(&[COUNTER, COUNT4, STAMP]),
            parts(&[COUNTER, COUNT2, STAMP]),
        ],
    ),
    (
        30,
        &[
            parts(&[ANALOG, LONG]),
            parts(&[ANALOG, SHORT]),
            parts(&[LONG]),
            parts(&[SHORT]),
            parts(&[ANALOG, FLOAT]),
            parts(&[ANALOG, DOUBLE_FLOAT]),
        ],
    ),
    (
        31,
        &[
            parts(&[ANALOG, LONG]),
            parts(&[ANALOG, SHORT]),
            parts(&[ANALOG, LONG, STAMP]),
            parts(&[ANALOG, SHORT, STAMP]),
            parts(&[LONG]),
            parts(&[SHORT]),
            parts(&[ANALOG, FLOAT]),
            parts(&[ANALOG, DOUBLE_FLOAT]),
        ],
    ),
    (32, ANALOG_EVENTS),
    (33, ANALOG_EVENTS),
    (
        34,
        &[
            parts(&[Part::U16("deadband_value")]),
            parts(&[Part::U32("deadband_value")]),
            parts(&[Part::F32("deadband_value")]),
        ],
    ),
    (
        40,
        &[
            parts(&[ANALOG, LONG]),
            parts(&[ANALOG, SHORT]),
            parts(&[ANALOG, FLOAT]),
            parts(&[ANALOG, DOUBLE_FLOAT]),
        ],
    ),
    (
        41,
        &[
            parts(&[LONG, Part::U8("control_status")]),
            parts(&[SHORT, Part::U8("control_status")]),
            parts(&[FLOAT, Part::U8("control_status")]),
            parts(&[DOUBLE_FLOAT, Part::U8("control_status")]),
        ],
    ),
    (42, ANALOG_EVENTS),
    (
        43,
        &[
            parts(&[STATUS, Part::I32("commanded_value")]),
            parts(&[STATUS, Part::I16("commanded_value")]),
            parts(&[STATUS, Part::I32("commanded_value"), STAMP]),
            parts(&[STATUS, Part::I16("commanded_value"), STAMP]),
            parts(&[STATUS, Part::F32("commanded_value")]),
            parts(&[STATUS, Part::F64("commanded_value")]),
            parts(&[STATUS, Part::F32("commanded_value"), STAMP]),
            parts(&[STATUS, Part::F64("commanded_value"), STAMP]),
        ],
    ),
    (
        50,
        &[
            parts(&[STAMP]),
            parts(&[STAMP, Part::U32("interval")]),
            parts(&[STAMP]),
            parts(&[
                STAMP,
                Part::U32("interval_count"),
                Part::U8("interval_units"),
            ]),
        ],
    ),
    (51, &[parts(&[STAMP]), parts(&[STAMP])]),
    (
        52,
        &[
            parts(&[Part::U16("delay_secs")]),
            parts(&[Part::U16("delay_ms")]),
        ],
    ),
    (70, FILES),
    (80, &[Shape::Packed("state", 1)]),
    (
        81,
        &[parts(&[
            Part::Bits(&[("fill_percentage", 7), ("overflow_state", 1)]),
            Part::U8("group"),
            Part::U8("variation"),
        ])],
    ),
    (
        83,
        &[parts(&[
            Part::Four("vendor_code"),
            Part::U16("object_id"),
            Part::Length(0, "length"),
            Part::Bytes(0, "data_objects"),
        ])],
    ),
    (102, &[parts(&[Part::U8("value")])]),
    (120, AUTHENTICATION),
    (
        121,
        &[parts(&[
            STATISTIC,
            Part::U16("association_id"),
            Part::U32("count_value"),
        ])],
    ),
    (
        122,
        &[
            parts(&[
                STATISTIC,
                Part::U16("association_id"),
                Part::U32("count_value"),
            ]),
            parts(&[
                STATISTIC,
                Part::U16("association_id"),
                Part::U32("count_value"),
                STAMP,
            ]),
        ],
    ),
];

const ANALOG_EVENTS: &[Shape] = &[
    parts(&[ANALOG, LONG]),
    parts(&[ANALOG, SHORT]),
    parts(&[ANALOG, LONG, STAMP]),
    parts(&[ANALOG, SHORT, STAMP]),
    parts(&[ANALOG, FLOAT]),
    parts(&[ANALOG, DOUBLE_FLOAT]),
    parts(&[ANALOG, FLOAT, STAMP]),
    parts(&[ANALOG, DOUBLE_FLOAT, STAMP]),
];

/// Group 70: files.
const FILES: &[Shape] = &[
    parts(&[
        Part::Length(0, "filename_size"),
        Part::U8("filetype_code"),
        Part::U8("attribute_code"),
        Part::U16("start_record"),
        Part::U16("end_record"),
        Part::U32("file_size"),
        Part::Time("created_timestamp"),
        Part::U16("permission"),
        Part::U32("file_id"),
        Part::U32("owner_id"),
        Part::U32("group_id"),
        Part::U8("file_function_code"),
        Part::U8("status_code"),
        Part::Text(0, "filename"),
        Part::Length(1, "data_size"),
        Part::Text(1, "data"),
    ]),
    parts(&[
        Part::U16("username_offset"),
        Part::Length(0, "username_size"),
        Part::U16("password_offset"),
        Part::Length(1, "password_size"),
        Part::U32("authentication_key"),
        Part::Text(0, "username"),
        Part::Text(1, "password"),
    ]),
    parts(&[
        Part::U16("filename_offset"),
        Part::Length(0, "filename_size"),
        Part::Time("created"),
        Part::U16("permissions"),
        Part::U32("authentication_key"),
        Part::U32("file_size"),
        Part::U16("operational_mode"),
        Part::U16("maximum_block_size"),
        Part::U16("request_id"),
        Part::Text(0, "filename"),
    ]),
    Shape::Parts(
        &[
            Part::U32("file_handle"),
            Part::U32("file_size"),
            Part::U16("maximum_block_size"),
            Part::U16("request_id"),
            Part::U8("status_code"),
            Part::ShortRest("optional_text"),
        ],
        Sized::Any,
    ),
    Shape::Parts(
        &[
            Part::U32("file_handle"),
            Part::U32("block_number"),
            Part::ShortRest("file_data"),
        ],
        Sized::Any,
    ),
    Shape::Parts(
        &[
            Part::U32("file_handle"),
            Part::U32("block_number"),
            Part::U8("status_code"),
            Part::ShortRest("optional_text"),
        ],
        Sized::Any,
    ),
    parts(&[
        Part::U16("filename_offset"),
        Part::Length(0, "filename_size"),
        Part::U16("file_type"),
        Part::U32("file_size"),
        Part::Time("created_timestamp"),
        Part::U16("permissions"),
        Part::U16("request_id"),
        Part::Text(0, "filename"),
    ]),
    sized(&[Part::TextRest("file_specification")]),
];

/// Group 120: secure authentication.
const AUTHENTICATION: &[Shape] = &[
    sized(&[
        Part::U32("csq"),
        Part::U16("usr"),
        Part::U8("mal"),
        Part::U8("reason"),
        Part::Rest("challenge_data"),
    ]),
    sized(&[Part::U32("csq"), Part::U16("usr"), Part::Rest("mac_value")]),
    parts(&[Part::U32("csq"), Part::U16("user_number")]),
    parts(&[Part::U16("user_number")]),
    sized(&[
        Part::U32("ksq"),
        Part::U16("user_number"),
        Part::U8("key_wrap_alg"),
        Part::U8("key_status"),
        Part::U8("mal"),
        Part::Length(0, "challenge_data_len"),
        Part::Bytes(0, "challenge_data"),
        Part::Rest("mac_value"),
    ]),
    sized(&[
        Part::U24("ksq"),
        Part::U16("usr"),
        Part::Rest("wrapped_key_data"),
    ]),
    sized(&[
        Part::U32("sequence_number"),
        Part::U16("usr"),
        Part::U16("association_id"),
        Part::U8("error_code"),
        Part::Time("time_of_error"),
        Part::TextRest("error_text"),
    ]),
    sized(&[
        Part::U8("key_change_method"),
        Part::U8("certificate_type"),
        Part::Rest("certificate"),
    ]),
    parts(&[Part::Rest("mac_value")]),
    sized(&[
        Part::U8("key_change_method"),
        Part::U8("operation"),
        Part::U32("scs"),
        Part::U16("user_role"),
        Part::U16("user_role_expiry_interval"),
        Part::Length(0, "username_len"),
        Part::Length(1, "user_public_key_len"),
        Part::Length(2, "certification_data_len"),
        Part::Text(0, "username"),
        Part::Bytes(1, "user_public_key"),
        Part::Bytes(2, "certification_data"),
    ]),
    sized(&[
        Part::U8("key_change_method"),
        Part::Length(0, "username_len"),
        Part::Length(1, "master_challenge_data_len"),
        Part::Text(0, "username"),
        Part::Bytes(1, "master_challenge_data"),
    ]),
    sized(&[
        Part::U32("ksq"),
        Part::U16("user_number"),
        Part::Length(0, "challenge_data_len"),
        Part::Bytes(0, "challenge_data"),
    ]),
    sized(&[
        Part::U32("ksq"),
        Part::U16("user_number"),
        Part::Length(0, "encrypted_update_key_len"),
        Part::Bytes(0, "encrypted_update_key_data"),
    ]),
    sized(&[Part::Rest("digital_signature")]),
    sized(&[Part::Rest("mac")]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &[u8]) -> Vec<String> {
        let (objects, _) = Object::read_all(message, 0);
        let mut out = Vec::new();
        for object in objects {
            object.each_point(message, &mut |prefix, index, point| {
                let mut text = format!("{prefix} {index}");
                point.read(&mut |name, value| text.push_str(&format!(" {name}={value:?}")));
                out.push(text);
                true
            });
        }
        out
    }

    #[test]
    fn bits_are_packed_eight_to_a_byte() {
        let message = b"\x01\x01\0\x03\x0c\xff\x01";
        let (objects, trouble) = Object::read_all(message, 0);
        assert_eq!((objects[0].count, trouble), (10, None));
        let shown = shown(message);
        assert_eq!(shown.len(), 10);
        assert_eq!(shown[0], "0 3 state=Integer(1)");
        assert_eq!(shown[9], "0 12 state=Integer(0)");
        assert_eq!(
            super::tests::shown(b"\x03\x01\0\0\x04\xe4\x01").len(),
            5,
            "two bits each"
        );
    }

    #[test]
    fn a_control_says_which_relay_does_what_how_long() {
        let message = b"\x0c\x01\x28\x01\0\x09\0\x41\x01\xf4\x01\0\0\xf4\x01\0\0\0";
        assert_eq!(
            shown(message),
            [
                "9 9 op_type=Integer(1) qu=Integer(0) cr=Integer(0) tcc=Integer(1) count=Integer(1) ontime=Integer(500) \
                 offtime=Integer(500) status_code=Integer(0) reserved=Integer(0)"
            ]
        );
    }

    #[test]
    fn what_is_cut_off_or_unknown_keeps_what_came_before() {
        let (objects, trouble) = Object::read_all(b"\x3c\x02\x06\x1e\x01\0\0\0\x01", 0);
        assert_eq!((objects.len(), trouble), (2, Some(Trouble::Unknown)));
        let (objects, trouble) = Object::read_all(b"\x3c\x02\x06\x64\x01\x07\x01", 0);
        assert_eq!((objects.len(), trouble), (2, Some(Trouble::Unknown)));
        let (objects, trouble) = Object::read_all(b"\x3c\x02\x06\x01", 0);
        assert_eq!((objects.len(), trouble), (1, Some(Trouble::Header)));
        let (objects, trouble) = Object::read_all(b"\x3c\x02\x0f", 0);
        assert_eq!((objects.len(), trouble), (1, Some(Trouble::Header)));
    }

    #[test]
    fn objects_and_points_are_bounded() {
        let many = b"\x3c\x02\x06".repeat(OBJECTS_MAX + 1);
        let (objects, trouble) = Object::read_all(&many, 0);
        assert_eq!(
            (objects.len(), trouble),
            (OBJECTS_MAX, Some(Trouble::Objects))
        );
        let (_, trouble) = Object::read_all(b"\x1e\x01\x02\0\0\0\0\xff\xff\xff\xff", 0);
        assert_eq!(
            trouble, None,
            "a range that wraps to nothing holds no point"
        );
        let (_, trouble) = Object::read_all(b"\x1e\x01\x09\xff\xff\xff\xff", 0);
        assert_eq!(trouble, Some(Trouble::Points));
    }

    #[test]
    fn what_has_a_size_before_it_ends_with_it() {
        let message = b"\x46\x05\x5b\x01\x0b\0\x01\0\0\0\0\0\0\0abc\x3c\x02\x06";
        assert_eq!(
            shown(message),
            ["11 0 file_handle=Integer(1) block_number=Integer(0) file_data=Text([97, 98, 99])"]
        );
        let (objects, trouble) = Object::read_all(message, 0);
        assert_eq!((objects.len(), trouble), (2, None));
    }
}
