//! The fast pattern: which content of a signature is searched first, in all traffic at once.
//!
//! What counts is how seldom it is seen, not how long it is. Each byte is worth some bits of information, by how common it
//! is in traffic; words that every request holds are worth little; and a buffer that is large or in every packet costs,
//! since its bytes are all searched. An explicit `fast_pattern` is followed, except where it cannot be: negated contents
//! are absent from most traffic, so their signature would be a candidate for nearly everything.

use std::sync::OnceLock;

use super::context::Context;
use super::draft::{DraftGroup, GroupKind};
use super::ir::{Content, FastPattern, Number, Test};

/// Chooses the fast pattern among the contents of the groups.
pub fn choose(context: &Context, groups: &[DraftGroup]) -> Option<FastPattern> {
    let candidates = || {
        let searchable = |g: &&DraftGroup| {
            matches!(g.kind, GroupKind::Payload | GroupKind::App)
                && !g
                    .tests
                    .iter()
                    .any(|(_, t)| matches!(t, Test::Absent { .. }))
        };
        groups.iter().filter(searchable).flat_map(|g| {
            g.tests.iter().filter_map(move |(_, t)| match t {
                Test::Content(content) if !content.negate => Some((g, content)),
                _ => None,
            })
        })
    };
    let explicit = candidates().find(|(_, content)| content.fast_pattern);
    let (group, content) = explicit.or_else(|| match candidates().count() {
        0 | 1 => candidates().next(),
        _ => {
            let score = |group: &DraftGroup, content: &Content| {
                let transforms = context
                    .set
                    .buffers
                    .get(usize::from(group.buffer.0))
                    .map_or(0, |b| b.transforms.len());
                // Transforming a buffer only to search it costs work on every transaction.
                let transforms = i32::try_from(transforms)
                    .unwrap_or(i32::MAX)
                    .saturating_mul(TRANSFORM_COST);
                information(searched(content), content.nocase) - cost(group) - transforms
            };
            let mut best = None;
            for (group, content) in candidates() {
                let score = score(group, content);
                if best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, (group, content)));
                }
            }
            best.map(|(_, candidate)| candidate)
        }
    })?;
    Some(FastPattern {
        buffer: group.buffer,
        bytes: searched(content).to_vec(),
        nocase: content.nocase,
        bounds: bounds(content),
    })
}

/// The bytes searched: the content, or the part that `fast_pattern:offset,length` names.
fn searched(content: &Content) -> &[u8] {
    let Some((offset, length)) = content.fast_pattern_chop else {
        return &content.bytes;
    };
    let (offset, length) = (usize::from(offset), usize::from(length));
    content
        .bytes
        .get(offset..offset.saturating_add(length))
        .unwrap_or(&content.bytes)
}

/// First start and last end of the searched bytes, from the buffer's start, when the content is bound to them.
fn bounds(content: &Content) -> Option<(u32, u32)> {
    if content.relative() {
        return None;
    }
    let len = u32::try_from(content.bytes.len()).ok()?;
    let (start, end) = if content.starts {
        (0, len)
    } else {
        let offset = match content.offset {
            None => 0,
            Some(Number::Fixed(n)) => u32::try_from(n).ok()?,
            Some(Number::Variable(_)) => return None,
        };
        match content.depth {
            Some(Number::Fixed(n)) => (offset, offset.saturating_add(u32::try_from(n).ok()?)),
            Some(Number::Variable(_)) => return None,
            None if offset == 0 => return None,
            None => (offset, u32::MAX),
        }
    };
    let Some((chop, length)) = content.fast_pattern_chop else {
        return Some((start, end));
    };
    let after = len
        .saturating_sub(u32::from(chop))
        .saturating_sub(u32::from(length));
    let end = if end == u32::MAX {
        end
    } else {
        end.saturating_sub(after)
    };
    Some((start.saturating_add(chop.into()), end))
}

/// Tenths of a bit for each transform.
const TRANSFORM_COST: i32 = 150;
/// Tenths of a bit that count at most: beyond about 100 bits a content is unique anyway, and shorter ones search faster.
const ENOUGH: i32 = 1_000;
/// Tenths of a bit for a byte that repeats the one before it, and for a byte of a common word.
const REPEATED: i32 = 8;
const COMMON: i32 = 8;

/// How much a content tells, in tenths of a bit.
fn information(bytes: &[u8], nocase: bool) -> i32 {
    let common = common_bytes(bytes);
    let mut total = 0_i32;
    let mut before = None;
    for (at, &byte) in bytes.iter().enumerate() {
        let worth = if common.get(at).copied().unwrap_or(false) {
            COMMON
        } else if before == Some(byte) {
            REPEATED
        } else {
            let worth = rarity(byte);
            if nocase && byte.is_ascii_alphabetic() {
                worth - 5
            } else {
                worth
            }
        };
        before = Some(byte);
        total = total.saturating_add(worth);
    }
    total.min(ENOUGH)
}

/// Which bytes belong to a word that is in most traffic.
fn common_bytes(bytes: &[u8]) -> Vec<bool> {
    static BY_FIRST: OnceLock<Vec<Vec<&[u8]>>> = OnceLock::new();
    let by_first = BY_FIRST.get_or_init(|| {
        let mut table = vec![Vec::new(); 256];
        for word in WORDS {
            if let Some(list) = word.first().and_then(|b| table.get_mut(usize::from(*b))) {
                list.push(*word);
            }
        }
        table
    });
    let mut common = vec![false; bytes.len()];
    for at in 0..bytes.len() {
        let Some(rest) = bytes.get(at..) else { break };
        let Some(list) = rest
            .first()
            .and_then(|b| by_first.get(usize::from(b.to_ascii_lowercase())))
        else {
            break;
        };
        for word in list {
            if rest
                .get(..word.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(word))
            {
                common
                    .iter_mut()
                    .skip(at)
                    .take(word.len())
                    .for_each(|c| *c = true);
            }
        }
    }
    common
}

/// Words in most traffic of the protocols that signatures look at, in lower case.
const WORDS: &[&[u8]] = &[
    b"http/1.",
    b"http://",
    b"https://",
    b"www.",
    b".com",
    b".net",
    b".org",
    b"host: ",
    b"user-agent",
    b"mozilla",
    b"accept",
    b"content-type",
    b"content-length",
    b"text/html",
    b"application/",
    b"connection",
    b"keep-alive",
    b"windows",
    b"get ",
    b"post ",
    b"index",
    b".php",
    b".html",
    b"<html",
    b"<script",
    b"function",
    b"document",
    b"\r\n",
    b"\0\0\0",
    b"referer",
    b"cookie",
    b"server",
    b"200 ok",
    b"/api/",
    b"this program",
    b"length",
    b"return",
    b"string",
    b"<div",
    b"class=",
    b".asp",
    b".jsp",
    b".js",
    b"var ",
    b"new ",
    b"msie",
    b"name=",
    b"value",
    b"charset",
    b"utf-8",
    b"encoding",
    b"gzip",
];

/// Tenths of a bit that a byte is worth, from its frequency in mixed text and binary traffic.
fn rarity(byte: u8) -> i32 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 38,
        b'l' | b'c' | b'd' | b'p' | b'm' | b'h' | b'u' => 44,
        b'0' | b'1' | b'2' | b'3' => 46,
        b' ' | b'/' | b'.' | b'-' | b'=' | b':' | b'"' => 42,
        0 => 20,
        0xff => 50,
        b'b' | b'f' | b'g' | b'v' | b'w' | b'y' | b'k' | b'x' => 52,
        b'4'..=b'9' => 52,
        b'A'..=b'Z' => 56,
        b'j' | b'q' | b'z' => 62,
        b'\r' | b'\n' | b'\t' => 44,
        b'_' | b'&' | b';' | b',' | b'<' | b'>' | b'(' | b')' | b'%' | b'?' => 54,
        0x21..=0x7e => 62,
        1..=0x1f => 58,
        _ => 66,
    }
}

/// Tenths of a bit for the bytes of a buffer that must be searched for each time it could match.
fn cost(group: &DraftGroup) -> i32 {
    match group.kind {
        GroupKind::Payload => 110,
        _ => match group.name {
            // Large buffers: every byte of every body is searched.
            "file.data" | "http.response_body" => 150,
            "http.request_body" | "email.body_md5" => 100,
            "http.header" | "http.header.raw" | "http.header_names" | "http.start" => 90,
            "tls.certs" => 110,
            // Few different values, each in much traffic.
            "http.method" | "http.stat_code" | "http.protocol" | "tls.version"
            | "http.stat_msg" | "ssh.proto" => 130,
            "http.accept" | "http.accept_enc" | "http.accept_lang" | "http.connection"
            | "http.content_type" => 100,
            "http.user_agent" | "http.server" | "http.cookie" | "http.referer"
            | "http.request_line" => 70,
            "http.uri" | "http.uri.raw" => 60,
            _ => 45,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_short_word_beats_a_long_common_one() {
        assert!(information(b"zX9%q|", false) > information(b"HTTP/1.1\r\nHost: www.", false));
        assert!(information(b"abcdef", false) > information(b"\0\0\0\0\0\0\0\0\0\0", false));
        assert!(information(b"AbCdEf", false) > information(b"AbCdEf", true));
    }
}
