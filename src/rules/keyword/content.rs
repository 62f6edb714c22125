//! `content` and what modifies it.

use super::{Argument, Keyword, Value};
use crate::rules::draft::{Draft, GroupKind};
use crate::rules::fields::Fields;
use crate::rules::ir::{Content, Number, Test};
use crate::rules::lexer::content_bytes;

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "content",
        doc: "bytes that must, or with ! must not, be in the buffer",
        example: r#"content:"GET |2f|index\;"; content:!"x";"#,
        parse: content,
        ..Keyword::QUOTED
    },
    Keyword {
        name: "uricontent",
        doc: "old form of http.uri with a content",
        example: r#"alert http any any -> any any (uricontent:"/admin"; sid:1;)"#,
        parse: uricontent,
        ..Keyword::QUOTED
    },
    Keyword {
        name: "nocase",
        doc: "the last content matches in any letter case",
        example: r#"content:"abc"; nocase;"#,
        parse: |draft, _| {
            draft.last_content()?.nocase = true;
            Ok(())
        },
        ..Keyword::BARE
    },
    Keyword {
        name: "depth",
        doc: "the last content lies within so many bytes of the buffer's start (or of offset)",
        example: r#"content:"abc"; depth:10;"#,
        parse: depth,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "offset",
        doc: "the last content starts at or after this byte",
        example: r#"content:"abc"; offset:4; depth:10;"#,
        parse: offset,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "distance",
        doc: "the last content starts so many bytes or more after the match before it",
        example: r#"content:"abc"; content:"def"; distance:2;"#,
        parse: distance,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "within",
        doc: "the last content ends within so many bytes of the match before it",
        example: r#"content:"abc"; content:"def"; distance:0; within:10;"#,
        parse: within,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "startswith",
        doc: "the last content is at the buffer's start",
        example: r#"content:"abc"; startswith;"#,
        parse: startswith,
        ..Keyword::BARE
    },
    Keyword {
        name: "endswith",
        doc: "the last content is at the buffer's end",
        example: r#"content:"abc"; endswith;"#,
        parse: endswith,
        ..Keyword::BARE
    },
    Keyword {
        name: "rawbytes",
        doc: "accepted for old rules; contents always see the raw bytes",
        example: r#"content:"abc"; rawbytes;"#,
        parse: |draft, _| draft.last_content().map(|_| ()),
        ..Keyword::BARE
    },
    Keyword {
        name: "fast_pattern",
        doc: "search the last content (or a part of it: offset,length) first; only: it needs no other test",
        example: r#"content:"rare bytes"; fast_pattern:2,4; content:"x";"#,
        argument: Argument::Optional,
        parse: fast_pattern,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "replace",
        doc: "inline: overwrite the last content with bytes of the same length",
        example: r#"content:"abc"; replace:"xyz";"#,
        parse: replace,
        ..Keyword::QUOTED
    },
];

/// A content as written, without modifiers.
pub(super) fn plain(value: Value<'_>) -> Result<Content, String> {
    Ok(Content {
        bytes: content_bytes(value.text)?,
        nocase: false,
        negate: value.negated,
        offset: None,
        depth: None,
        distance: None,
        within: None,
        starts: false,
        ends: false,
        fast_pattern: false,
        fast_pattern_only: false,
        fast_pattern_chop: None,
        replace: None,
    })
}

fn content(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    draft.test(Test::Content(plain(value)?))
}

fn uricontent(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let keyword = Fields::all()
        .named("http.uri")
        .ok_or("needs http.uri, which no protocol of this sensor has")?;
    draft.require_field(keyword)?;
    draft.test_field(keyword, Test::Content(plain(value)?))
}

/// Length of a content as a number of the language (at most 65,535).
fn len(content: &Content) -> i64 {
    i64::try_from(content.bytes.len()).unwrap_or(i64::MAX)
}

/// What `depth`, `offset`, `startswith` refuse alike.
fn absolute(content: &Content) -> Result<(), String> {
    if content.relative() {
        return Err("the content already has within or distance, which is relative".into());
    }
    if content.fast_pattern_only {
        return Err("the content is fast_pattern:only, which takes no position".into());
    }
    if content.negate && content.fast_pattern {
        return Err("a negated fast_pattern content takes no position".into());
    }
    Ok(())
}

/// What `distance` and `within` refuse alike.
fn relative(draft: &mut Draft<'_>) -> Result<(), String> {
    let content = draft.last_content()?;
    if content.offset.is_some() || content.depth.is_some() || content.starts {
        return Err(
            "the content already has offset, depth or startswith, which are absolute".into(),
        );
    }
    if content.fast_pattern_only {
        return Err("the content is fast_pattern:only, which takes no position".into());
    }
    if content.negate && content.fast_pattern {
        return Err("a negated fast_pattern content takes no position".into());
    }
    if matches!(draft.before_last_content(), Some(Test::Content(before)) if before.fast_pattern_only)
    {
        return Err(
            "the content before is fast_pattern:only, so nothing can be relative to it".into(),
        );
    }
    Ok(())
}

fn depth(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let depth = draft.number(value.text, 0, 65_535)?;
    let content = draft.last_content()?;
    if content.depth.is_some() || content.starts {
        return Err("the content already has depth or startswith".into());
    }
    absolute(content)?;
    if matches!(depth, Number::Fixed(n) if n < len(content)) {
        return Err(format!(
            "the depth {} is shorter than the content, so it never matches",
            value.text
        ));
    }
    content.depth = Some(depth);
    Ok(())
}

fn offset(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let offset = draft.number(value.text, 0, 65_535)?;
    let content = draft.last_content()?;
    if content.offset.is_some() || content.starts {
        return Err("the content already has offset or startswith".into());
    }
    absolute(content)?;
    content.offset = Some(offset);
    Ok(())
}

fn distance(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    // ±1 MiB is the language's limit for relative positions.
    let distance = draft.number(value.text, -1_048_576, 1_048_576)?;
    relative(draft)?;
    let content = draft.last_content()?;
    if content.distance.replace(distance).is_some() {
        return Err("the content already has a distance".into());
    }
    Ok(())
}

fn within(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let within = draft.number(value.text, -1_048_576, 1_048_576)?;
    relative(draft)?;
    let content = draft.last_content()?;
    if content.within.is_some() {
        return Err("the content already has a within".into());
    }
    if matches!(within, Number::Fixed(n) if n < len(content)) {
        return Err(format!(
            "within {} is shorter than the content, so it never matches",
            value.text
        ));
    }
    content.within = Some(within);
    Ok(())
}

fn startswith(draft: &mut Draft<'_>, _: Value<'_>) -> Result<(), String> {
    let content = draft.last_content()?;
    if content.depth.is_some() || content.starts {
        return Err("the content already has depth or startswith".into());
    }
    if content.offset.is_some() {
        return Err("the content already has an offset".into());
    }
    absolute(content)?;
    content.starts = true;
    Ok(())
}

fn endswith(draft: &mut Draft<'_>, _: Value<'_>) -> Result<(), String> {
    let content = draft.last_content()?;
    if content.fast_pattern_only {
        return Err("the content is fast_pattern:only, which takes no position".into());
    }
    content.ends = true;
    Ok(())
}

fn fast_pattern(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    if draft
        .contents()
        .any(|c| c.fast_pattern || c.fast_pattern_only || c.fast_pattern_chop.is_some())
    {
        return Err("only one content of a rule can be the fast pattern".into());
    }
    if draft.last_content_kind() == Some(GroupKind::Base64) {
        return Err("base64_data cannot hold the fast pattern".into());
    }
    let content = draft.last_content()?;
    let positioned =
        content.relative() || content.offset.is_some() || content.depth.is_some() || content.starts;
    if content.negate && positioned {
        return Err("a negated content with a position cannot be the fast pattern".into());
    }
    match value.text.trim() {
        "" => {}
        "only" => {
            if content.negate || positioned {
                return Err(
                    "only goes with contents that have no position and are not negated".into(),
                );
            }
            content.fast_pattern_only = true;
        }
        chop => {
            let (offset, length) = chop
                .split_once(',')
                .ok_or("\"only\" or \"offset,length\" expected")?;
            let number = |text: &str| {
                text.trim()
                    .parse::<u16>()
                    .map_err(|_| format!("\"{text}\" is not a number"))
            };
            let (offset, length) = (number(offset)?, number(length)?);
            let end = usize::from(offset) + usize::from(length);
            if length == 0 || end > content.bytes.len() {
                return Err(format!(
                    "{chop} is not inside the content of {} bytes",
                    content.bytes.len()
                ));
            }
            content.fast_pattern_chop = Some((offset, length));
        }
    }
    content.fast_pattern = true;
    Ok(())
}

fn replace(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    if value.negated {
        return Err("cannot be negated".into());
    }
    if draft.sticky_name().is_some() || draft.last_content_kind() != Some(GroupKind::Payload) {
        return Err("works on contents of the payload alone".into());
    }
    let bytes = content_bytes(value.text)?;
    let content = draft.last_content()?;
    if content.negate {
        return Err("the content is negated, so there is nothing to replace".into());
    }
    if content.bytes.len() != bytes.len() {
        return Err("must be as long as the content".into());
    }
    content.replace = Some(bytes);
    draft.needs_packet = true;
    Ok(())
}
