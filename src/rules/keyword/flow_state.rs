//! State kept between matches: flowbits, flowint, xbits, hostbits; and tags, which say what to record afterwards.

use super::{Argument, Keyword, Value, parts};
use crate::alert::{XbitCondition, XbitOperation, XbitTrack};
use crate::rules::draft::Draft;
use crate::rules::ir::{
    CaptureScope, FlowIntOperand, FlowIntOperation, FlowStateOption, IntCompare, Tag, TagMetric,
};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "flowbits",
        doc: "bits of the flow: set, unset, toggle, isset, isnotset NAME (isset: a|b), noalert",
        example: "flowbits:isset,logged_in|guest; flowbits:set,seen;",
        parse: flowbits,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "flowint",
        doc: "numbers of the flow: NAME, + | - | = | == | != | < | > | <= | >= | isset | notset, number or NAME",
        example: "flowint:tries,+,1; flowint:tries,>,5; flowint:other,notset;",
        parse: flowint,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "xbits",
        doc: "bits of hosts: set | unset | toggle | isset | isnotset, NAME, track ip_src | ip_dst | ip_pair | tx, expire seconds",
        example: "xbits:set,badssh,track ip_src,expire 60;",
        parse: xbits,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "hostbits",
        doc: "bits of hosts: set | unset | toggle | isset | isnotset, NAME, src | dst",
        example: "hostbits:set,scanner,src;",
        parse: hostbits,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "flowvar",
        doc: "what an expression captured for the flow contains these bytes: NAME, [!]\"bytes\"",
        example: r#"flowvar:user,"root";"#,
        parse: |draft, value| variable(draft, value, CaptureScope::Flow),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "pktvar",
        doc: "what an expression captured in the packet contains these bytes: NAME, [!]\"bytes\"",
        example: r#"pktvar:user,"root";"#,
        parse: |draft, value| variable(draft, value, CaptureScope::Packet),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "tag",
        doc: "record what follows a match: session or host, count, packets | seconds | bytes, src | dst",
        example: "tag:host,20,packets,src;",
        argument: Argument::Required,
        parse: tag,
        ..Keyword::PLAIN
    },
];

/// Life of an xbit without `expire`, of a hostbit; seconds.
const XBIT_EXPIRE_SECS: u32 = 30;
const HOSTBIT_EXPIRE_SECS: u32 = 300;

fn flowbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (operation, name) = value
        .text
        .split_once(',')
        .map_or((value.text, ""), |(o, n)| (o.trim(), n.trim()));
    if operation == "noalert" {
        if !name.is_empty() {
            return Err("noalert takes no name".into());
        }
        draft.signature.silent = true;
        return Ok(());
    }
    if name.is_empty() || name.contains(char::is_whitespace) && !name.contains('|') {
        return Err(format!("{operation} needs the name of a bit"));
    }
    let ids: Vec<u32> = name
        .split('|')
        .map(str::trim)
        .map(|n| draft.context.bits.id(n))
        .collect();
    if name.split('|').any(|n| n.trim().is_empty()) {
        return Err("an empty name between |".into());
    }
    let one = |ids: &[u32]| match ids {
        [id] => Ok(*id),
        _ => Err(format!(
            "{operation} takes one name; | goes with isset and isnotset"
        )),
    };
    let option = match operation {
        "set" => FlowStateOption::BitSet(one(&ids)?),
        "unset" => FlowStateOption::BitUnset(one(&ids)?),
        "toggle" => FlowStateOption::BitToggle(one(&ids)?),
        "isset" => FlowStateOption::BitIsSet(ids.clone()),
        "isnotset" => FlowStateOption::BitIsNotSet(ids.clone()),
        other => {
            return Err(format!(
                "\"{other}\" is not set, unset, toggle, isset, isnotset or noalert"
            ));
        }
    };
    match option {
        FlowStateOption::BitIsSet(_) => draft.bits_tested.extend(ids),
        FlowStateOption::BitSet(id) | FlowStateOption::BitToggle(id) => {
            _ = draft.context.bits_set.insert(id)
        }
        _ => {}
    }
    if let Some(note) = contradiction(&draft.signature.state, &option)? {
        draft.context.notes.push(format!("flowbits: {note}"));
    }
    draft.signature.state.push(option);
    Ok(())
}

/// Refuses what can never be true within one rule; answers a remark on what changes nothing.
fn contradiction(
    state: &[FlowStateOption],
    new: &FlowStateOption,
) -> Result<Option<&'static str>, String> {
    use FlowStateOption::{BitIsNotSet, BitIsSet, BitSet, BitUnset};
    let never = |old: &FlowStateOption| match (old, new) {
        (BitIsSet(a), BitIsNotSet(b)) | (BitIsNotSet(a), BitIsSet(b)) => a.len() == 1 && a == b,
        _ => false,
    };
    if state.iter().any(never) {
        return Err("a bit must be set and not set at once, so the rule never matches".into());
    }
    let idle = |old: &FlowStateOption| match (old, new) {
        (BitSet(a), BitUnset(b)) | (BitUnset(a), BitSet(b)) => a == b,
        (BitSet(a), BitIsSet(b)) | (BitIsSet(b), BitSet(a)) => b.as_slice() == [*a],
        (BitUnset(a), BitIsNotSet(b)) | (BitIsNotSet(b), BitUnset(a)) => b.as_slice() == [*a],
        _ => old == new,
    };
    Ok(state
        .iter()
        .any(idle)
        .then_some("a bit is changed to what it already is, or twice"))
}

fn flowint(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let (Some(name), Some(operation)) = (words.next(), words.next()) else {
        return Err("NAME, operation[, value] expected".into());
    };
    let operand = words.next().filter(|w| !w.is_empty());
    if words.next().is_some() {
        return Err("too many parts".into());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b))
    {
        return Err(format!("\"{name}\" is not a name"));
    }
    let operation = match operation {
        "+" => FlowIntOperation::Add,
        "-" => FlowIntOperation::Subtract,
        "=" => FlowIntOperation::Assign,
        "==" => FlowIntOperation::Test(IntCompare::Equal),
        "!=" => FlowIntOperation::Test(IntCompare::NotEqual),
        "<" => FlowIntOperation::Test(IntCompare::Less),
        ">" => FlowIntOperation::Test(IntCompare::Greater),
        "<=" => FlowIntOperation::Test(IntCompare::LessOrEqual),
        ">=" => FlowIntOperation::Test(IntCompare::GreaterOrEqual),
        "isset" => FlowIntOperation::IsSet,
        "notset" | "isnotset" => FlowIntOperation::IsNotSet,
        other => return Err(format!("\"{other}\" is not an operation")),
    };
    let operand = match (operation, operand) {
        (FlowIntOperation::IsSet | FlowIntOperation::IsNotSet, _) => FlowIntOperand::None,
        (_, None) => return Err("the value is missing".into()),
        (_, Some(text)) if text.starts_with(|c: char| c.is_ascii_digit()) => FlowIntOperand::Value(
            text.parse()
                .map_err(|_| format!("\"{text}\" is not a number of 32 bits"))?,
        ),
        (_, Some(text)) => FlowIntOperand::Variable(draft.context.ints.id(text)),
    };
    let variable = draft.context.ints.id(name);
    draft.signature.state.push(FlowStateOption::Int {
        variable,
        operation,
        operand,
    });
    Ok(())
}

fn operation(word: &str) -> Result<XbitOperation, String> {
    Ok(match word {
        "set" => XbitOperation::Set,
        "unset" => XbitOperation::Unset,
        "toggle" => XbitOperation::Toggle,
        "isset" => XbitOperation::IsSet,
        "isnotset" => XbitOperation::IsNotSet,
        other => {
            return Err(format!(
                "\"{other}\" is not set, unset, toggle, isset or isnotset"
            ));
        }
    })
}

fn xbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let first = words.next().unwrap_or_default();
    if first == "noalert" && value.text == "noalert" {
        draft.signature.silent = true;
        return Ok(());
    }
    let operation = operation(first)?;
    let name = words
        .next()
        .filter(|n| !n.is_empty())
        .ok_or("the name is missing")?;
    let (mut track, mut expire_secs) = (None, XBIT_EXPIRE_SECS);
    for word in words {
        match word.split_once([' ', '\t']).map(|(w, v)| (w, v.trim())) {
            Some(("track", whom)) if track.is_none() => {
                track = Some(match whom {
                    "ip_src" => XbitTrack::Source,
                    "ip_dst" => XbitTrack::Destination,
                    "ip_pair" => XbitTrack::Pair,
                    "tx" => XbitTrack::Transaction,
                    other => {
                        return Err(format!("\"{other}\" is not ip_src, ip_dst, ip_pair or tx"));
                    }
                });
            }
            Some(("expire", seconds)) => {
                expire_secs = seconds
                    .parse()
                    .ok()
                    .filter(|s| *s > 0)
                    .ok_or_else(|| format!("\"{seconds}\" is not a number of seconds"))?;
            }
            _ => return Err(format!("\"{word}\" is not track WHOM or expire SECONDS")),
        }
    }
    let track = track.ok_or("track is missing")?;
    if track == XbitTrack::Transaction
        && !matches!(operation, XbitOperation::Set | XbitOperation::IsSet)
    {
        return Err("track tx goes with set and isset alone".into());
    }
    let bit = draft.context.xbits.id(name);
    draft
        .signature
        .state
        .push(FlowStateOption::Xbit(XbitCondition {
            operation,
            bit,
            track,
            expire_secs,
        }));
    Ok(())
}

fn hostbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    if value.text == "noalert" {
        draft.signature.silent = true;
        return Ok(());
    }
    let mut words = parts(value.text);
    let operation = operation(words.next().unwrap_or_default())?;
    let name = words
        .next()
        .filter(|n| !n.is_empty())
        .ok_or("the name is missing")?;
    let track = match words.next().unwrap_or("src") {
        "src" | "" => XbitTrack::Source,
        "dst" => XbitTrack::Destination,
        other => return Err(format!("\"{other}\" is neither src nor dst")),
    };
    let bit = draft.context.xbits.id(name);
    let condition = XbitCondition {
        operation,
        bit,
        track,
        expire_secs: HOSTBIT_EXPIRE_SECS,
    };
    draft.signature.state.push(FlowStateOption::Xbit(condition));
    Ok(())
}

fn variable(draft: &mut Draft<'_>, value: Value<'_>, scope: CaptureScope) -> Result<(), String> {
    let (name, content) = value
        .text
        .split_once(',')
        .map(|(name, content)| (name.trim(), content.trim()))
        .filter(|(name, content)| !name.is_empty() && !content.is_empty())
        .ok_or("a name and what to find are expected")?;
    let (negate, content) = content
        .strip_prefix('!')
        .map_or((false, content), |rest| (true, rest.trim_start()));
    let text = content
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(content);
    draft.signature.state.push(FlowStateOption::VarContains {
        scope,
        name: name.to_owned(),
        bytes: super::content::plain(Value {
            text,
            negated: false,
        })?
        .bytes,
        negate,
    });
    Ok(())
}

/// Packets that a tag records at most, and records without a count.
const TAG_PACKETS_MAX: u32 = 256;

fn tag(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let words: Vec<&str> = parts(value.text).collect();
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("\"{text}\" is not a number"))
    };
    let (kind, mut count, metric, side) = match words.as_slice() {
        [kind] => (*kind, TAG_PACKETS_MAX, "packets", None),
        [kind, count, metric] => (*kind, number(count)?, *metric, None),
        [kind, count, metric, side] => (*kind, number(count)?, *metric, Some(*side)),
        _ => {
            return Err(
                "session | host [, count, packets | seconds | bytes [, src | dst]] expected".into(),
            );
        }
    };
    let metric = match metric {
        "packets" => {
            count = count.min(TAG_PACKETS_MAX);
            TagMetric::Packets
        }
        "seconds" => TagMetric::Seconds,
        "bytes" => TagMetric::Bytes,
        other => return Err(format!("\"{other}\" is not packets, seconds or bytes")),
    };
    let host_source = match (kind, side) {
        ("session", None) => None,
        ("session", Some(_)) => return Err("src and dst go with host".into()),
        ("host", None | Some("dst")) => Some(false),
        ("host", Some("src")) => Some(true),
        ("host", Some(other)) => return Err(format!("\"{other}\" is neither src nor dst")),
        (other, _) => return Err(format!("\"{other}\" is neither session nor host")),
    };
    draft.signature.tag = Some(Tag {
        host_source,
        count,
        metric,
    });
    Ok(())
}
