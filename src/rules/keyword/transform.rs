//! Transforms: changes of the sticky buffer just named, before its tests.

use super::{Argument, Keyword, Quotes, Value, parts};
use crate::rules::compare;
use crate::rules::draft::Draft;
use crate::rules::ir::{Base64Mode, Transform, XorKey};

/// A transform without an argument, shown on the request's headers.
macro_rules! bare {
    ($name:literal, $aliases:expr, $doc:literal, $transform:expr) => {
        Keyword {
            name: $name,
            aliases: $aliases,
            doc: $doc,
            example: concat!("tcp.hdr; ", $name, r#"; content:"a";"#),
            parse: |draft, _| draft.transform($transform),
            ..Keyword::BARE
        }
    };
}

pub(super) const KEYWORDS: &[Keyword] = &[
    bare!(
        "compress_whitespace",
        &[],
        "runs of white space become one blank",
        Transform::CompressWhitespace
    ),
    bare!(
        "strip_whitespace",
        &[],
        "white space is left out",
        Transform::StripWhitespace
    ),
    bare!(
        "strip_pseudo_headers",
        &[],
        "lines that begin with : are left out",
        Transform::StripPseudoHeaders
    ),
    bare!(
        "header_lowercase",
        &[],
        "header names in lower case, values as they are",
        Transform::HeaderLowercase
    ),
    bare!(
        "dotprefix",
        &[],
        "a dot is put in front, so .example.com matches whole labels",
        Transform::DotPrefix
    ),
    bare!(
        "url_decode",
        &[],
        "percent-encoding and + are decoded",
        Transform::UrlDecode
    ),
    bare!(
        "to_lowercase",
        &[],
        "letters in lower case",
        Transform::ToLowercase
    ),
    bare!(
        "to_uppercase",
        &[],
        "letters in upper case",
        Transform::ToUppercase
    ),
    bare!("to_md5", &[], "MD5 of the buffer, 16 bytes", Transform::Md5),
    bare!(
        "to_sha1",
        &[],
        "SHA-1 of the buffer, 20 bytes",
        Transform::Sha1
    ),
    bare!(
        "to_sha256",
        &[],
        "SHA-256 of the buffer, 32 bytes",
        Transform::Sha256
    ),
    bare!(
        "domain",
        &[],
        "the registered domain of a host name",
        Transform::Domain
    ),
    bare!(
        "tld",
        &[],
        "the top-level domain of a host name",
        Transform::Tld
    ),
    Keyword {
        name: "xor",
        doc: "exclusive or with a hex key, or with `extract BYTES OFFSET` of the buffer; `offset N,` says where it begins",
        example: r#"tcp.hdr; xor:"0d0ac8ff"; content:"a"; udp.hdr; xor:offset 1,extract 1 0; content:"b";"#,
        quotes: Quotes::Optional,
        parse: xor,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "from_base64",
        doc: "base64 is decoded: bytes n, offset n, mode rfc4648 | rfc2045 | strict",
        example: r#"tcp.hdr; from_base64: bytes 40, offset 2, mode rfc2045; content:"a";"#,
        argument: Argument::Optional,
        parse: from_base64,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "pcrexform",
        doc: "the expression's one capture group becomes the buffer",
        example: r#"tcp.hdr; pcrexform:"id=(.*)"; content:"a";"#,
        quotes: Quotes::Required,
        parse: pcrexform,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "subslice",
        doc: "a part of the buffer: offset[, bytes][, truncate]; negative numbers count from its end",
        example: r#"tcp.hdr; subslice:2,8; content:"a";"#,
        parse: subslice,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "gunzip",
        doc: "gzip is decompressed, to at most max-size (1 KB)",
        example: r#"tcp.hdr; gunzip:max-size 4kb; content:"a";"#,
        argument: Argument::Optional,
        parse: |draft, value| {
            let max = max_size(value)?;
            draft.transform(Transform::Gunzip { max })
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "zlib_deflate",
        doc: "zlib data is decompressed, to at most max-size (1 KB)",
        example: r#"tcp.hdr; zlib_deflate; content:"a";"#,
        argument: Argument::Optional,
        parse: |draft, value| {
            let max = max_size(value)?;
            draft.transform(Transform::ZlibDeflate { max })
        },
        ..Keyword::PLAIN
    },
];

/// Bytes that a decompressing transform gives without `max-size`, and may give at most.
const DECOMPRESSED_BYTES: u32 = 1024;
const DECOMPRESSED_BYTES_MAX: u32 = 16 * 1024 * 1024;

fn max_size(value: Value<'_>) -> Result<u32, String> {
    if value.text.is_empty() {
        return Ok(DECOMPRESSED_BYTES);
    }
    let size = value
        .text
        .strip_prefix("max-size")
        .map(str::trim)
        .ok_or("max-size N expected")?;
    let max = compare::number(size, u64::from(DECOMPRESSED_BYTES_MAX)).filter(|n| *n > 0);
    let max =
        max.ok_or_else(|| format!("\"{size}\" is not a size from 1 to {DECOMPRESSED_BYTES_MAX}"))?;
    u32::try_from(max).map_err(|_| "too large".into())
}

fn xor(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut text = value.text.trim();
    let mut offset = 0;
    if let Some(rest) = text.strip_prefix("offset") {
        let (number, key) = rest
            .split_once(',')
            .ok_or("the key is missing after the offset")?;
        offset = number
            .trim()
            .parse()
            .map_err(|_| format!("\"{number}\" is not an offset"))?;
        text = key.trim();
    }
    let key = if let Some(location) = text.strip_prefix("extract") {
        let mut words = location.split_ascii_whitespace();
        let bytes: Option<u8> = words.next().and_then(|w| w.parse().ok()).filter(|b| *b > 0);
        let at: Option<u16> = words.next().and_then(|w| w.parse().ok());
        match (bytes, at, words.next()) {
            (Some(bytes), Some(offset), None) => XorKey::Extract { bytes, offset },
            _ => return Err("extract BYTES OFFSET expected".into()),
        }
    } else {
        XorKey::Bytes(
            hex(text.trim_matches('"'))
                .filter(|k| (1..=255).contains(&k.len()))
                .ok_or("the key is 1 to 255 bytes in hex")?,
        )
    };
    draft.transform(Transform::Xor { key, offset })
}

/// Bytes of hex digits.
pub(in crate::rules) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn from_base64(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (mut bytes, mut offset, mut mode) = (None, 0, Base64Mode::Rfc4648);
    let number = |text: &str| {
        text.parse::<u16>()
            .map(u32::from)
            .map_err(|_| format!("\"{text}\" is not a number up to 65,535"))
    };
    for part in parts(value.text).filter(|p| !p.is_empty()) {
        match part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(name, rest)| (name, rest.trim()))
        {
            ("bytes", n) => bytes = Some(number(n)?).filter(|n| *n > 0),
            ("offset", n) => offset = number(n)?,
            ("mode", "rfc4648") => mode = Base64Mode::Rfc4648,
            ("mode", "rfc2045") => mode = Base64Mode::Rfc2045,
            ("mode", "strict") => mode = Base64Mode::Strict,
            _ => {
                return Err(format!(
                    "\"{part}\" is not bytes N, offset N or mode rfc4648, rfc2045, strict"
                ));
            }
        }
    }
    draft.transform(Transform::FromBase64 {
        bytes,
        offset,
        mode,
    })
}

fn pcrexform(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    draft.context.check_expression(value.text, "")?;
    draft.transform(Transform::PcreCapture(value.text.into()))
}

fn subslice(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words: Vec<&str> = parts(value.text).collect();
    let truncate = words
        .last()
        .is_some_and(|w| w.eq_ignore_ascii_case("truncate"));
    if truncate {
        words.pop();
    }
    let number = |text: &str| {
        text.parse::<i32>()
            .map_err(|_| format!("\"{text}\" is not a number"))
    };
    let (offset, len) = match words.as_slice() {
        [offset] => (number(offset)?, None),
        [offset, len] => (number(offset)?, Some(number(len)?).filter(|n| *n != 0)),
        _ => return Err("offset[, bytes][, truncate] expected".into()),
    };
    if words.len() == 2 && len.is_none() {
        return Err("zero bytes are nothing".into());
    }
    draft.transform(Transform::Subslice {
        offset,
        len,
        truncate,
    })
}
