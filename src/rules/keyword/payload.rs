//! Sizes of buffers, data at a position, absence, entropy.

use super::{Argument, Keyword, Value, parts};
use crate::rules::compare::{self, Range};
use crate::rules::draft::{Draft, GroupKind};
use crate::rules::fields::Fields;
use crate::rules::ir::{Asn1Test, Compare, Number, PacketTest, Test};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "isdataat",
        doc: "there is (! is not) a byte at this position, absolute or relative to the last match",
        example: r#"content:"abc"; isdataat:10,relative; isdataat:!1000;"#,
        parse: isdataat,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "dsize",
        doc: "size of the packet's payload in bytes",
        example: "dsize:100<>300;",
        parse: |draft, value| {
            draft.needs_packet = true;
            draft
                .signature
                .packet
                .push(PacketTest::PayloadSize(compare::compare(
                    value.text,
                    65_535,
                    Range::Exclusive,
                )?));
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "rpc",
        doc: "the packet is a call of ONC RPC: program[, version | *[, procedure | *]]",
        example: "rpc:100000,2,3;",
        parse: rpc,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "bsize",
        doc: "size of the sticky buffer in bytes",
        example: r#"alert tcp any any -> any any (tcp.hdr; bsize:20<>60; sid:1;)"#,
        parse: bsize,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "urilen",
        doc: "size of the request's URI in bytes; norm (default) or raw",
        example: "alert http any any -> any any (urilen:>100,raw; sid:1;)",
        parse: urilen,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "absent",
        doc: "the sticky buffer is not there (or_else: or satisfies the tests that follow)",
        example: r#"alert tls any any -> any any (tls.sni; absent; sid:1;)"#,
        argument: Argument::Optional,
        parse: absent,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "entropy",
        doc: "Shannon entropy of the buffer in bits per byte: value OP number, bytes n, offset n",
        example: r#"content:"a"; entropy: value > 7.5, bytes 100, offset 4;"#,
        parse: entropy,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "asn1",
        doc: "ASN.1 tests of Snort: oversize_length, bitstring_overflow, double_overflow, offsets",
        example: "asn1:oversize_length 500, relative_offset 1;",
        parse: asn1,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "prefilter",
        doc: "accepted: which test is looked at first is chosen here",
        example: r#"content:"abc"; prefilter;"#,
        parse: prefilter,
        ..Keyword::BARE
    },
];

fn rpc(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let program = words
        .next()
        .and_then(|n| n.parse().ok())
        .ok_or("the number of the program is missing")?;
    let mut next = || match words.next() {
        None | Some("*") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| format!("\"{text}\" is neither a number nor *")),
    };
    let test = PacketTest::RpcCall {
        program,
        version: next()?,
        procedure: next()?,
    };
    if words.next().is_some() {
        return Err("program[, version[, procedure]] expected".into());
    }
    draft.needs_packet = true;
    draft.signature.packet.push(test);
    Ok(())
}

fn isdataat(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (negate, text) = value
        .text
        .strip_prefix('!')
        .map_or((false, value.text), |t| (true, t.trim_start()));
    let mut words = parts(text);
    let at = words.next().unwrap_or_default();
    let at = draft.number(at, 0, 65_535)?;
    let mut relative = false;
    for word in words {
        match word {
            "relative" => relative = true,
            "rawbytes" => {}
            other => return Err(format!("\"{other}\" is neither relative nor rawbytes")),
        }
    }
    // "No byte follows the last content" is what endswith says, and is cheaper so.
    if negate
        && relative
        && at == Number::Fixed(1)
        && let Some(content) = draft.last_anchor_content()
    {
        content.ends = true;
        return Ok(());
    }
    draft.test_after_last(
        Test::IsDataAt {
            at,
            relative,
            negate,
        },
        relative,
    )
}

fn bsize(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let Some(name) = draft.sticky_name() else {
        return Err("needs a sticky buffer before it".into());
    };
    if draft.sticky_kind() == Some(GroupKind::Payload) {
        return Err(format!("cannot be used with {name}"));
    }
    let size = compare::compare(value.text, u64::MAX, Range::Exclusive)?;
    draft.test(Test::BufferSize(size))
}

fn urilen(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (size, which) = match value.text.split_once(',') {
        Some((size, which)) => (size, which.trim()),
        None => (value.text, "norm"),
    };
    let name = match which {
        "norm" => "http.uri",
        "raw" => "http.uri.raw",
        other => return Err(format!("\"{other}\" is neither norm nor raw")),
    };
    let size = compare::compare(size, 65_535, Range::Exclusive)?;
    let keyword = Fields::all()
        .named(name)
        .ok_or_else(|| format!("needs {name}, which no protocol of this sensor has"))?;
    draft.require_field(keyword)?;
    draft.test_field(keyword, Test::Length(size))
}

fn absent(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let or_else = match value.text {
        "" => false,
        "or_else" => true,
        other => return Err(format!("\"{other}\" is not or_else")),
    };
    match draft.sticky_kind() {
        None => return Err("needs a sticky buffer before it".into()),
        Some(GroupKind::Frame) => return Err("does not work with frames".into()),
        Some(_) => {}
    }
    if draft.sticky_has_tests() {
        return Err("must be the first test of its buffer".into());
    }
    draft.test(Test::Absent { or_else })
}

fn entropy(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (mut bytes, mut offset, mut wanted) = (0, 0, None);
    for part in parts(value.text) {
        let (name, rest) = part.split_once([' ', '\t']).unwrap_or((part, ""));
        let rest = rest.trim();
        match name {
            "bytes" => {
                bytes = rest
                    .parse()
                    .map_err(|_| format!("\"{rest}\" is not a number of bytes"))?
            }
            "offset" => {
                offset = rest
                    .parse()
                    .map_err(|_| format!("\"{rest}\" is not an offset"))?
            }
            "value" => wanted = Some(millionths(rest)?),
            // `value>4`, `value:4`
            other => match other.strip_prefix("value") {
                Some(attached) => wanted = Some(millionths(&format!("{attached}{rest}"))?),
                None => return Err(format!("\"{other}\" is not value, bytes or offset")),
            },
        }
    }
    let value = wanted.ok_or("value is missing")?;
    let buffer = draft.sticky_name().unwrap_or("content").replace('.', "_");
    draft.test(Test::Entropy {
        buffer: buffer.into(),
        value,
        bytes,
        offset,
    })
}

/// A comparison of a decimal fraction, in millionths.
fn millionths(text: &str) -> Result<Compare, String> {
    let text = text.trim();
    let read = |text: &str| -> Result<u64, String> {
        let value: f64 = text
            .trim()
            .parse()
            .map_err(|_| format!("\"{text}\" is not a number"))?;
        if !(0.0..=8.0).contains(&value) {
            return Err(format!("{value} is not an entropy: 0 to 8 bits per byte"));
        }
        // At most 8,000,000, so the conversion is exact.
        Ok((value * 1e6).round() as u64)
    };
    let step = 1;
    for (sign, make) in [
        (">=", Compare::GreaterOrEqual as fn(u64) -> Compare),
        ("<=", Compare::LessOrEqual),
        ("!=", Compare::NotEqual),
        ("=", Compare::Equal),
        (">", Compare::Greater),
        ("<", Compare::Less),
    ] {
        if let Some(rest) = text.strip_prefix(sign) {
            return Ok(make(read(rest)?));
        }
    }
    if let Some((first, last)) = text.split_once("<>").or_else(|| text.split_once('-')) {
        let (negated, first) = first
            .strip_prefix('!')
            .map_or((false, first), |rest| (true, rest));
        let (first, last) = (read(first)?, read(last)?);
        if first >= last {
            return Err("a range goes from the smaller to the larger number".into());
        }
        let (first, last) = (first.saturating_add(step), last.saturating_sub(step));
        return Ok(if negated {
            Compare::Outside(first, last)
        } else {
            Compare::Between(first, last)
        });
    }
    match text.strip_prefix('!') {
        Some(rest) => Ok(Compare::NotEqual(read(rest)?)),
        None => Ok(Compare::Equal(read(text)?)),
    }
}

fn asn1(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut test = Asn1Test::default();
    for part in parts(value.text) {
        let (name, argument) = part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(n, a)| (n, a.trim()));
        let number = || {
            argument
                .parse::<u32>()
                .map_err(|_| format!("{name} needs a number, not \"{argument}\""))
        };
        match name {
            "bitstring_overflow" => test.bitstring_overflow = true,
            "double_overflow" => test.double_overflow = true,
            "oversize_length" => test.oversize_length = Some(number()?),
            "absolute_offset" => test.absolute_offset = Some(number()?),
            "relative_offset" => {
                test.relative_offset = Some(
                    argument
                        .parse()
                        .map_err(|_| format!("\"{argument}\" is not an offset"))?,
                );
            }
            other => return Err(format!("\"{other}\" is not one of its options")),
        }
    }
    draft.test(Test::Asn1(test))
}

fn prefilter(draft: &mut Draft<'_>, _: Value<'_>) -> Result<(), String> {
    let signature = &draft.signature;
    let tested = !signature.packet.is_empty()
        || !signature.stream.is_empty()
        || !signature.tx.is_empty()
        || !signature.state.is_empty();
    if !tested && draft.contents().next().is_none() {
        return Err("needs a test before it".into());
    }
    Ok(())
}
