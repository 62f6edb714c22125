//! Numbers read from a buffer: `byte_test`, `byte_jump`, `byte_extract`, `byte_math`, and `entropy`, `asn1`.
//!
//! Arithmetic wraps at 64 bits where Suricata's does. Reads outside the buffer are no match.

use super::verify::Subject;
use crate::rules::{Asn1Test, ByteFormat, ByteOperator, MathOperator, Number, Test};

/// The cursor of the inspection, and the signature's variables.
pub(super) struct Cursor<'a> {
    pub at: usize,
    pub variables: &'a mut [u64; 256],
}

impl Cursor<'_> {
    fn value(&self, number: Number) -> i64 {
        match number {
            Number::Fixed(value) => value,
            Number::Variable(slot) => self
                .variables
                .get(usize::from(slot))
                .map_or(0, |v| *v as i64),
        }
    }

    fn store(&mut self, slot: u8, value: u64) {
        if let Some(variable) = self.variables.get_mut(usize::from(slot)) {
            *variable = value;
        }
    }
}

/// Whether a test holds; jumps and extractions move the cursor.
pub(super) fn test(test: &Test, subject: Subject<'_>, cursor: &mut Cursor<'_>) -> bool {
    match test {
        Test::ByteTest {
            bytes,
            operator,
            negate,
            value,
            offset,
            relative,
            format,
            bitmask,
        } => {
            let value = cursor.value(*value) as u64;
            read(
                subject,
                cursor,
                cursor.value(*bytes),
                cursor.value(*offset),
                *relative,
                *format,
                true,
            )
            .is_some_and(|read| compare(*operator, masked(read.value, *bitmask), value) != *negate)
        }
        Test::ByteJump { .. } => jump(test, subject, cursor).is_some(),
        Test::ByteExtract {
            bytes,
            offset,
            relative,
            format,
            multiplier,
            align,
            bitmask,
            into,
        } => {
            let offset = cursor.value(*offset);
            let Some(read) = read(
                subject,
                cursor,
                i64::from(*bytes),
                offset,
                *relative,
                *format,
                true,
            ) else {
                return false;
            };
            let mut value =
                masked(read.value, *bitmask).wrapping_mul(u64::from((*multiplier).max(1)));
            if *align > 1 {
                value = round_up(value, u64::from(*align));
            }
            cursor.at = read.end;
            cursor.store(*into, value);
            true
        }
        Test::ByteMath {
            bytes,
            offset,
            relative,
            format,
            operator,
            value,
            bitmask,
            into,
        } => {
            let operand = cursor.value(*value) as u64;
            let (bytes, offset) = (cursor.value(*bytes), cursor.value(*offset));
            let Some(read) = read(subject, cursor, bytes, offset, *relative, *format, true) else {
                return false;
            };
            let Some(result) = calculate(*operator, read.value, operand) else {
                return false;
            };
            cursor.at = read.end;
            cursor.store(*into, masked(result, *bitmask));
            true
        }
        Test::Entropy {
            value,
            bytes,
            offset,
            ..
        } => entropy(subject.bytes, *bytes, *offset)
            .is_some_and(|entropy| value.test((entropy * 1_000_000.0).round() as u64)),
        Test::Asn1(options) => asn1(options, subject.bytes, cursor.at),
        _ => false,
    }
}

/// A number read, and where reading it ended.
struct Read {
    value: u64,
    start: usize,
    end: usize,
}

/// Bytes of the longest number in text: 64 bits in octal, with its prefix.
const TEXT_MAX: usize = 23;

/// Reads a number of `bytes` bytes (text: up to that many digits). `strict`: a relative read needs something at its place
/// even when it reads nothing.
fn read(
    subject: Subject<'_>,
    cursor: &Cursor<'_>,
    bytes: i64,
    offset: i64,
    relative: bool,
    format: ByteFormat,
    strict: bool,
) -> Option<Read> {
    let buffer = subject.bytes;
    if buffer.is_empty() {
        return None;
    }
    let base = if relative { cursor.at as i64 } else { 0 };
    let start = usize::try_from(base.checked_add(offset)?).ok()?;
    let bytes = usize::try_from(bytes).ok()?;
    let here = buffer.get(start..)?;
    if relative && here.is_empty() && (strict || bytes > 0) {
        return None;
    }
    let field = here.get(..bytes)?;
    let (value, used) = match format.string_base {
        // No length: as many digits as there are.
        Some(base) if bytes == 0 => {
            text_number(here.get(..TEXT_MAX).unwrap_or(here), u32::from(base))?
        }
        Some(base) => text_number(field, u32::from(base))?,
        None if bytes <= 8 => {
            let little = format.little || (format.dce && subject.little);
            let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            let value = if little {
                field.iter().rev().fold(0, fold)
            } else {
                field.iter().fold(0, fold)
            };
            (value, bytes)
        }
        None => return None,
    };
    Some(Read {
        value,
        start,
        end: start + used,
    })
}

fn jump(test: &Test, subject: Subject<'_>, cursor: &mut Cursor<'_>) -> Option<()> {
    let Test::ByteJump {
        bytes,
        offset,
        relative,
        format,
        multiplier,
        align,
        from_beginning,
        from_end,
        post_offset,
        bitmask,
    } = test
    else {
        return None;
    };
    let (bytes, offset) = (cursor.value(*bytes), cursor.value(*offset));
    let read = if bytes == 0 && format.string_base.is_none() {
        // Nothing is read: the jump is from the place itself.
        let base = if *relative { cursor.at as i64 } else { 0 };
        let start = usize::try_from(base.checked_add(offset)?).ok()?;
        (start <= subject.bytes.len() && !subject.bytes.is_empty()).then_some(Read {
            value: 0,
            start,
            end: start,
        })?
    } else {
        read(subject, cursor, bytes, offset, *relative, *format, false)?
    };
    let mut value = masked(read.value, *bitmask).wrapping_mul(u64::from((*multiplier).max(1)));
    if *align {
        value = round_up(value, 4);
    }
    let distance = value.wrapping_add(cursor.value(*post_offset) as u64) as i64;
    let from = if *from_beginning {
        0
    } else if *from_end {
        subject.bytes.len()
    } else {
        read.end.max(read.start)
    };
    let to = (from as i64).saturating_add(distance).max(0);
    let to = usize::try_from(to)
        .ok()
        .filter(|to| *to <= subject.bytes.len())?;
    cursor.at = to;
    Some(())
}

fn masked(value: u64, bitmask: Option<u64>) -> u64 {
    match bitmask {
        Some(mask) if mask != 0 => (value & mask) >> mask.trailing_zeros(),
        Some(_) => 0,
        None => value,
    }
}

fn round_up(value: u64, step: u64) -> u64 {
    match value.checked_rem(step) {
        Some(rest) if rest != 0 => value.wrapping_add(step - rest),
        _ => value,
    }
}

fn compare(operator: ByteOperator, read: u64, value: u64) -> bool {
    match operator {
        ByteOperator::Equal => read == value,
        ByteOperator::Less => read < value,
        ByteOperator::Greater => read > value,
        ByteOperator::LessOrEqual => read <= value,
        ByteOperator::GreaterOrEqual => read >= value,
        ByteOperator::And => read & value != 0,
        ByteOperator::Xor => read ^ value != 0,
    }
}

fn calculate(operator: MathOperator, read: u64, operand: u64) -> Option<u64> {
    Some(match operator {
        MathOperator::Add => read.wrapping_add(operand),
        MathOperator::Subtract => read.wrapping_sub(operand),
        MathOperator::Multiply => read.wrapping_mul(operand),
        MathOperator::Divide => read.checked_div(operand)?,
        MathOperator::ShiftLeft => u32::try_from(operand)
            .ok()
            .and_then(|n| read.checked_shl(n))
            .unwrap_or(0),
        MathOperator::ShiftRight => u32::try_from(operand)
            .ok()
            .and_then(|n| read.checked_shr(n))
            .unwrap_or(0),
    })
}

/// A number in digits, as C's strtoull reads it: leading space, a sign, 0x before base 16; the rest is left. At most 23
/// characters, no overflow.
fn text_number(field: &[u8], base: u32) -> Option<(u64, usize)> {
    if field.len() > 23 {
        return None;
    }
    let mut at = field
        .iter()
        .take_while(|b| matches!(**b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r'))
        .count();
    let negative = match field.get(at) {
        Some(b'-') => {
            at += 1;
            true
        }
        Some(b'+') => {
            at += 1;
            false
        }
        _ => false,
    };
    let prefixed = base == 16
        && matches!(field.get(at..at + 2), Some([b'0', b'x' | b'X']))
        && field.get(at + 2).is_some_and(u8::is_ascii_hexdigit);
    if prefixed {
        at += 2;
    }
    let base = if base == 0 { 10 } else { base };
    let mut value = 0u64;
    let mut digits = 0;
    while let Some(digit) = field.get(at).and_then(|b| char::from(*b).to_digit(base)) {
        value = value
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))?;
        at += 1;
        digits += 1;
    }
    if digits == 0 {
        return None;
    }
    Some((
        if negative {
            value.wrapping_neg()
        } else {
            value
        },
        at,
    ))
}

/// Shannon entropy in bits a byte of a part of the buffer; `None` when the part is not there.
/// Shannon entropy of a part of a buffer, in bits a byte.
pub(super) fn entropy(buffer: &[u8], bytes: u32, offset: u32) -> Option<f64> {
    let part = buffer.get(offset as usize..)?;
    let part = if bytes > 0 {
        part.get(..bytes as usize)?
    } else {
        part
    };
    if part.is_empty() {
        return Some(0.0);
    }
    let mut counts = [0u32; 256];
    for byte in part {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let len = part.len() as f64;
    Some(counts.iter().filter(|c| **c > 0).fold(0.0, |sum, count| {
        let share = f64::from(*count) / len;
        sum - share * share.log2()
    }))
}

/// `asn1`: walks BER frames (X.690 §8.1) from the place on and looks for what the options name. At most 30 frames.
fn asn1(options: &Asn1Test, buffer: &[u8], cursor: usize) -> bool {
    let start = match (options.absolute_offset, options.relative_offset) {
        (Some(absolute), _) => Some(absolute as usize),
        (None, Some(relative)) => (cursor as i64)
            .checked_add(i64::from(relative))
            .and_then(|at| usize::try_from(at).ok()),
        (None, None) => Some(0),
    };
    let Some(mut rest) = start.and_then(|at| buffer.get(at..)) else {
        return false;
    };
    for _ in 0..30 {
        let Some((tag, constructed, len, content)) = ber_frame(rest) else {
            return false;
        };
        if options
            .oversize_length
            .is_some_and(|max| len > u64::from(max))
        {
            return true;
        }
        // X.690 §8.6.2: the first content octet of a primitive bit string counts its unused bits, 0 to 7.
        if options.bitstring_overflow && tag == 3 && !constructed && len > 0 {
            let unused = content.first().copied().unwrap_or(0);
            if u64::from(unused >> 3) > len || unused > 7 {
                return true;
            }
        }
        // X.690 §8.5.8: decimal encodings longer than 256 bytes overflow printf buffers of old readers.
        if options.double_overflow && tag == 9 && !constructed && len > 256 {
            let first = content.first().copied().unwrap_or(0xff);
            if first & 0xc0 == 0 && (first & 0x03) != 0 {
                return true;
            }
        }
        rest = if constructed {
            content
        } else {
            match usize::try_from(len).ok().and_then(|len| content.get(len..)) {
                Some(next) if !next.is_empty() => next,
                _ => return false,
            }
        };
    }
    false
}

/// Tag, whether constructed, length, and everything after the header.
fn ber_frame(bytes: &[u8]) -> Option<(u32, bool, u64, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let mut tag = u32::from(first & 0x1f);
    if tag == 0x1f {
        tag = 0;
        loop {
            let (byte, next) = rest.split_first()?;
            rest = next;
            tag = tag.checked_mul(128)?.checked_add(u32::from(byte & 0x7f))?;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let (length, mut rest) = rest.split_first()?;
    let mut len = u64::from(*length);
    if length & 0x80 != 0 {
        let octets = usize::from(length & 0x7f);
        let (field, after) = rest.split_at_checked(octets)?;
        rest = after;
        len = field.iter().fold(0u64, |value, byte| {
            value.saturating_mul(256).saturating_add(u64::from(*byte))
        });
    }
    Some((tag, first & 0x20 != 0, len, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_length_is_read_to_its_last_digit() {
        let format = ByteFormat {
            string_base: Some(10),
            ..ByteFormat::default()
        };
        let mut variables = [0; 256];
        let cursor = Cursor {
            at: 0,
            variables: &mut variables,
        };
        let subject = Subject::whole(b"1234 bytes");
        let read = read(subject, &cursor, 0, 0, false, format, true).expect("a number");
        assert_eq!(read.value, 1234);
    }

    #[test]
    fn text_is_read_as_strtoull_reads_it() {
        assert_eq!(text_number(b" 12x", 10), Some((12, 3)));
        assert_eq!(text_number(b"0x1f", 16), Some((31, 4)));
        assert_eq!(text_number(b"0xzz", 16), Some((0, 1)));
        assert_eq!(text_number(b"-1", 10), Some((u64::MAX, 2)));
        assert_eq!(text_number(b"19", 8), Some((1, 1)));
        assert_eq!(text_number(b"x", 10), None);
        assert_eq!(text_number(b"99999999999999999999999", 10), None);
    }

    #[test]
    fn a_division_by_zero_is_no_match() {
        assert_eq!(calculate(MathOperator::Divide, 7, 0), None);
        assert_eq!(calculate(MathOperator::ShiftLeft, 7, 64), Some(0));
        assert_eq!(calculate(MathOperator::Subtract, 1, 2), Some(u64::MAX));
    }
}
