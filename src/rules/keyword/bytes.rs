//! `byte_test`, `byte_jump`, `byte_extract`, `byte_math`: numbers read from buffers.

use super::{Keyword, Value, parts};
use crate::rules::draft::{Draft, integer};
use crate::rules::ir::{ByteFormat, ByteOperator, MathOperator, Number, Test};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "byte_test",
        doc: "compare a number read at an offset: bytes, [!]operator, value, offset, options",
        example: r#"content:"a"; byte_test:2,>,1000,4,relative,little; byte_test:4,=,0x31,0,string,hex;"#,
        parse: byte_test,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "byte_jump",
        doc: "move the cursor by a number read at an offset: bytes, offset, options",
        example: r#"content:"a"; byte_jump:4,8,relative,align,post_offset -4; content:"b"; distance:0;"#,
        parse: byte_jump,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "byte_extract",
        doc: "keep a number read at an offset in a variable: bytes, offset, name, options",
        example: r#"byte_extract:2,0,len; content:"a"; depth:len;"#,
        parse: byte_extract,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "byte_math",
        doc: "compute with a number read at an offset, and keep the result in a variable",
        example: r#"byte_math:bytes 2, offset 0, oper +, rvalue 4, result sum; isdataat:sum;"#,
        parse: byte_math,
        ..Keyword::PLAIN
    },
];

/// Bytes that may be read as a number, and as text (the longest octal number of 64 bits).
const BYTES_MAX: i64 = 8;
const TEXT_BYTES_MAX: i64 = 23;

/// Options that the byte keywords share.
#[derive(Default)]
struct Shared {
    relative: bool,
    text: bool,
    base: Option<u8>,
    endian: Option<Endian>,
}

/// Byte order of a binary number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endian {
    Big,
    Little,
    Dce,
}

impl Shared {
    /// Takes a word when it is one of these options.
    fn take(&mut self, word: &str) -> bool {
        match word.to_ascii_lowercase().as_str() {
            "relative" => self.relative = true,
            "string" => self.text = true,
            "dec" => self.base = Some(10),
            "hex" => self.base = Some(16),
            "oct" => self.base = Some(8),
            "big" => self.endian = Some(Endian::Big),
            "little" => self.endian = Some(Endian::Little),
            "dce" => self.endian = Some(Endian::Dce),
            _ => return false,
        }
        true
    }

    /// The format they mean together.
    fn format(&self, base_without_string: bool) -> Result<ByteFormat, String> {
        let dce = self.endian == Some(Endian::Dce);
        if dce && (self.text || self.base.is_some()) {
            return Err(
                "dce takes the byte order of the message, so it goes with no other format".into(),
            );
        }
        if self.base.is_some() && !self.text && !base_without_string {
            return Err("hex, dec and oct go with string".into());
        }
        let string_base = self.text.then_some(self.base.unwrap_or(10));
        Ok(ByteFormat {
            string_base,
            little: self.endian == Some(Endian::Little),
            dce,
        })
    }

    /// Checks a count of bytes.
    fn bytes(&self, bytes: Number, least: i64) -> Result<Number, String> {
        let most = if self.text { TEXT_BYTES_MAX } else { BYTES_MAX };
        match bytes {
            Number::Fixed(n) if !(least..=most).contains(&n) => Err(format!(
                "{n} is not a number of bytes from {least} to {most}"
            )),
            ok => Ok(ok),
        }
    }
}

/// A mask of 32 bits.
fn mask(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let value = integer(text).or_else(|| i64::from_str_radix(text, 16).ok());
    value
        .and_then(|v| u32::try_from(v).ok())
        .map(u64::from)
        .ok_or_else(|| format!("\"{text}\" is not a mask of 32 bits"))
}

/// `dce` means the rule is about DCERPC.
fn need_dce(draft: &mut Draft<'_>, format: ByteFormat) -> Result<(), String> {
    if format.dce && draft.sticky_name().is_none() {
        draft.require_named("dcerpc")
    } else {
        Ok(())
    }
}

/// The word and what follows the blank after it.
fn split_word(part: &str) -> (&str, &str) {
    part.split_once([' ', '\t'])
        .map_or((part, ""), |(word, rest)| (word, rest.trim()))
}

fn byte_test(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let bytes = draft.number(words.next().unwrap_or_default(), 0, TEXT_BYTES_MAX)?;
    let sign = words.next().ok_or("needs bytes, operator, value, offset")?;
    let (negate, mut sign) = sign
        .strip_prefix('!')
        .map_or((false, sign), |rest| (true, rest.trim()));
    let mut operand = words.next().ok_or("needs bytes, operator, value, offset")?;
    if negate && sign.is_empty() && ["<", ">", "=", "<=", ">=", "&", "^"].contains(&operand) {
        // `!,=,…` is how some rules write `!=,…`.
        sign = operand;
        operand = words.next().ok_or("needs bytes, operator, value, offset")?;
    }
    let operator = match sign {
        "=" => ByteOperator::Equal,
        "" if negate => ByteOperator::Equal,
        "<" => ByteOperator::Less,
        ">" => ByteOperator::Greater,
        "<=" => ByteOperator::LessOrEqual,
        ">=" => ByteOperator::GreaterOrEqual,
        "&" => ByteOperator::And,
        "^" => ByteOperator::Xor,
        other => return Err(format!("\"{other}\" is not an operator")),
    };
    let operand = wide(draft, operand)?;
    let offset = words.next().ok_or("needs bytes, operator, value, offset")?;
    let offset = draft.number(offset, -65_535, 65_535)?;
    let (mut shared, mut bitmask) = (Shared::default(), None);
    for word in words {
        if !shared.take(word) {
            match split_word(word) {
                ("bitmask", text) => bitmask = Some(mask(text)?),
                _ => return Err(format!("\"{word}\" is not one of its options")),
            }
        }
    }
    let format = shared.format(true)?;
    let bytes = shared.bytes(bytes, 0)?;
    need_dce(draft, format)?;
    let relative = shared.relative;
    draft.test_after_last(
        Test::ByteTest {
            bytes,
            operator,
            negate,
            value: operand,
            offset,
            relative,
            format,
            bitmask,
        },
        relative,
    )
}

/// A number of up to 64 bits without a sign (kept as its bits), or a variable.
fn wide(draft: &Draft<'_>, text: &str) -> Result<Number, String> {
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return draft.number(text, 0, 0);
    }
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        // A leading zero means octal in this place.
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    value
        .map(|v| Number::Fixed(i64::from_ne_bytes(v.to_ne_bytes())))
        .ok_or_else(|| format!("\"{text}\" is not a number"))
}

fn byte_jump(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let bytes = draft.number(words.next().unwrap_or_default(), 0, TEXT_BYTES_MAX)?;
    let offset = draft.number(
        words.next().ok_or("needs bytes and offset")?,
        -65_535,
        65_535,
    )?;
    let (mut shared, mut bitmask, mut multiplier, mut post_offset) =
        (Shared::default(), None, 1, Number::Fixed(0));
    let (mut align, mut from_beginning, mut from_end) = (false, false, false);
    for word in words {
        if shared.take(word) {
            continue;
        }
        match split_word(word) {
            ("align", "") => align = true,
            ("from_beginning", "") => from_beginning = true,
            ("from_end", "") => from_end = true,
            ("bitmask", text) => bitmask = Some(mask(text)?).filter(|m| *m != 0),
            ("post_offset", text) => post_offset = draft.number(text, -65_535, 65_535)?,
            ("multiplier", text) => {
                multiplier = text
                    .parse()
                    .ok()
                    .filter(|m| (1..=65_535).contains(m))
                    .ok_or("a multiplier is 1 to 65,535")?;
            }
            _ => return Err(format!("\"{word}\" is not one of its options")),
        }
    }
    if from_beginning && from_end {
        return Err("from_beginning and from_end contradict each other".into());
    }
    let format = shared.format(false)?;
    if format.dce && (from_beginning || from_end) {
        return Err("dce does not go with from_beginning or from_end".into());
    }
    let bytes = shared.bytes(bytes, 0)?;
    need_dce(draft, format)?;
    let relative = shared.relative;
    let jump = Test::ByteJump {
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
    };
    draft.test_after_last(jump, relative)
}

fn byte_extract(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let bytes = draft.number(words.next().unwrap_or_default(), 0, TEXT_BYTES_MAX)?;
    let offset = draft.number(
        words.next().ok_or("needs bytes, offset, name")?,
        -32_768,
        32_767,
    )?;
    let name = words.next().ok_or("needs bytes, offset, name")?;
    let (mut shared, mut bitmask, mut multiplier, mut align, mut slice) =
        (Shared::default(), None, 1, 0, false);
    for word in words {
        if shared.take(word) {
            continue;
        }
        match split_word(word) {
            ("slice", "") => slice = true,
            ("bitmask", text) => bitmask = Some(mask(text)?).filter(|m| *m != 0),
            ("align", text) => {
                align = text
                    .parse()
                    .ok()
                    .filter(|a| [2, 4].contains(a))
                    .ok_or("align is 2 or 4")?
            }
            ("multiplier", text) => {
                multiplier = text
                    .parse()
                    .ok()
                    .filter(|m| (1..=65_535).contains(m))
                    .ok_or("a multiplier is 1 to 65,535")?;
            }
            _ => return Err(format!("\"{word}\" is not one of its options")),
        }
    }
    if shared.text && shared.endian.is_some() {
        return Err("string and a byte order contradict each other".into());
    }
    if shared.text && slice {
        return Err("string and slice contradict each other".into());
    }
    let format = shared.format(false)?;
    let bytes = match shared.bytes(bytes, 1)? {
        Number::Fixed(n) => u8::try_from(n).map_err(|_| "too many bytes")?,
        Number::Variable(_) => return Err("the number of bytes must be written out".into()),
    };
    need_dce(draft, format)?;
    let into = draft.define(name)?;
    let relative = shared.relative;
    let test = Test::ByteExtract {
        bytes,
        offset,
        relative,
        format,
        multiplier,
        align,
        bitmask,
        into,
    };
    draft.test_after_last(test, relative)
}

fn byte_math(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (mut bytes, mut offset, mut operator, mut rvalue, mut result) =
        (None, None, None, None, None);
    let (mut shared, mut bitmask) = (Shared::default(), None);
    for part in parts(value.text) {
        match split_word(part) {
            ("bytes", text) => bytes = Some(draft.number(text, 1, 10)?),
            ("offset", text) => offset = Some(draft.number(text, -65_535, 65_535)?),
            ("oper", text) => {
                operator = Some(match text {
                    "+" => MathOperator::Add,
                    "-" => MathOperator::Subtract,
                    "*" => MathOperator::Multiply,
                    "/" => MathOperator::Divide,
                    "<<" => MathOperator::ShiftLeft,
                    ">>" => MathOperator::ShiftRight,
                    other => return Err(format!("\"{other}\" is not an operator")),
                });
            }
            ("rvalue", text) => rvalue = Some(draft.number(text, 0, i64::from(u32::MAX))?),
            ("result", text) => result = Some(text.to_owned()),
            ("endian", text) if ["big", "little", "dce"].contains(&text) => _ = shared.take(text),
            ("string", text) if ["hex", "dec", "oct"].contains(&text) => {
                shared.text = true;
                shared.take(text);
            }
            ("dce", "") => shared.endian = Some(Endian::Dce),
            ("relative", "") => shared.relative = true,
            ("bitmask", text) => bitmask = Some(mask_hex(text)?).filter(|m| *m != 0),
            _ => return Err(format!("\"{part}\" is not one of its options")),
        }
    }
    let (Some(bytes), Some(offset), Some(operator), Some(value), Some(result)) =
        (bytes, offset, operator, rvalue, result)
    else {
        return Err("needs bytes, offset, oper, rvalue and result".into());
    };
    let format = shared.format(false)?;
    let bytes = if shared.text {
        bytes
    } else {
        shared.bytes(bytes, 1)?
    };
    let shift = matches!(operator, MathOperator::ShiftLeft | MathOperator::ShiftRight);
    if shift && matches!(bytes, Number::Fixed(n) if n > 4) {
        return Err("a shift reads 1 to 4 bytes".into());
    }
    need_dce(draft, format)?;
    let into = draft.define(&result)?;
    let relative = shared.relative;
    draft.test_after_last(
        Test::ByteMath {
            bytes,
            offset,
            relative,
            format,
            operator,
            value,
            bitmask,
            into,
        },
        relative,
    )
}

/// A mask in hexadecimal, with or without `0x`.
fn mask_hex(text: &str) -> Result<u64, String> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    u32::from_str_radix(digits, 16)
        .map(u64::from)
        .map_err(|_| format!("\"{text}\" is not a mask of 32 bits"))
}
