//! What the alert says and how it is filed: message, ids, class, priority, references, metadata.

use super::{Keyword, Value, parts};
use crate::rules::draft::Draft;
use crate::rules::ir::{Action, Sid, Target};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "nfq_set_mark",
        doc: "mark[/mask] for NFQUEUE; this sensor sets no marks, which a warning says",
        example: "nfq_set_mark:0x8/0xf;",
        parse: |draft, value| {
            let mut parts = value.text.splitn(2, '/');
            let max = u64::from(u32::MAX);
            if !parts.all(|part| crate::rules::compare::number(part.trim(), max).is_some()) {
                return Err(format!("\"{}\" is not MARK or MARK/MASK", value.text));
            }
            let note = "nfq_set_mark: marks are not set; the rule acts without it";
            draft.context.notes.push(note.to_owned());
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "msg",
        doc: "text of the alert",
        example: r#"msg:"what was seen\; and why";"#,
        negation: false,
        parse: msg,
        ..Keyword::QUOTED
    },
    Keyword {
        name: "sid",
        doc: "the rule's number, 1 to 4,294,967,295; required",
        example: "",
        quotes: super::Quotes::Optional,
        parse: |draft, value| {
            let sid = Sid(number(value.text)?);
            let before = std::mem::replace(&mut draft.signature.sid, sid);
            if before == Sid(0) || before == sid {
                Ok(())
            } else {
                Err("given twice".into())
            }
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "gid",
        doc: "the rule's group, 1 when not given",
        example: "gid:7;",
        quotes: super::Quotes::Optional,
        parse: |draft, value| {
            draft.signature.gid = number(value.text)?;
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "rev",
        doc: "the rule's revision",
        example: "rev:3;",
        quotes: super::Quotes::Optional,
        parse: |draft, value| {
            draft.signature.rev = number(value.text)?;
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "classtype",
        doc: "class of the alert, which gives its category and priority",
        example: "classtype:attempted-recon;",
        quotes: super::Quotes::Optional,
        parse: classtype,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "priority",
        doc: "1 (highest) to 255; overrides the class",
        example: "priority:2;",
        quotes: super::Quotes::Optional,
        parse: |draft, value| {
            let new = value
                .text
                .trim()
                .parse()
                .ok()
                .filter(|p| *p > 0)
                .ok_or_else(|| format!("\"{}\" is not 1 to 255", value.text))?;
            if draft.priority_given {
                draft
                    .context
                    .notes
                    .push("priority: given more than once; the highest counts".into());
                draft.signature.priority = draft.signature.priority.min(new);
            } else {
                draft.signature.priority = new;
            }
            draft.priority_given = true;
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "reference",
        doc: "where more is written: system,id",
        example: "reference:cve,2021-44228; reference:url,example.com/x;",
        quotes: super::Quotes::Optional,
        parse: reference,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "metadata",
        doc: "key value pairs, separated by commas",
        example: "metadata:created_at 2026_01_01, signature_severity Major;",
        quotes: super::Quotes::Optional,
        parse: |draft, value| {
            if !draft.metadata.is_empty() {
                draft.metadata.push(',');
            }
            draft.metadata.push_str(value.text);
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "target",
        doc: "which end of the packet is the victim: src_ip or dest_ip",
        example: "target:dest_ip;",
        parse: |draft, value| {
            draft.signature.target = Some(match value.text {
                "src_ip" => Target::Source,
                "dest_ip" => Target::Destination,
                other => return Err(format!("\"{other}\" is neither src_ip nor dest_ip")),
            });
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "noalert",
        doc: "a match changes state, but says nothing",
        example: r#"content:"a"; flowbits:set,seen; noalert;"#,
        parse: |draft, _| {
            draft.signature.silent = true;
            Ok(())
        },
        ..Keyword::BARE
    },
    Keyword {
        name: "alert",
        doc: "a match alerts, also of a pass or drop rule that would not",
        example: r#"pass tcp any any -> any any (alert; sid:1;)"#,
        parse: |draft, _| {
            draft.signature.silent = false;
            draft.force_alert = true;
            Ok(())
        },
        ..Keyword::BARE
    },
    Keyword {
        name: "requires",
        doc: "load the rule only where a version, feature or keyword is there; otherwise it is skipped, not refused",
        example: "requires: version >= 8.0.0, keyword http.uri;",
        // Read before everything else, since the rest of the rule may not be understood.
        parse: |_, _| Ok(()),
        ..Keyword::PLAIN
    },
];

fn number(text: &str) -> Result<u32, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("\"{text}\" is not a number from 1 to 4,294,967,295"))
}

fn msg(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    if !draft.signature.msg.is_empty() {
        return Err("given twice".into());
    }
    if !value.text.contains('\\') {
        draft.signature.msg = value.text.into();
        return Ok(());
    }
    let mut text = String::with_capacity(value.text.len());
    let mut rest = value.text.chars();
    while let Some(c) = rest.next() {
        match c {
            // A backslash before anything else is dropped too, as Snort did.
            '\\' => match rest.next() {
                Some(escaped) => text.push(escaped),
                None => return Err("ends with a single backslash".into()),
            },
            plain => text.push(plain),
        }
    }
    draft.signature.msg = text.into();
    Ok(())
}

fn classtype(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let name = value.text.trim();
    let class = match draft.context.classes.number(name) {
        Some(class) => class,
        None => {
            // An unknown class is no reason to lose the rule: it is added with the lowest usual priority, and said.
            draft.context.notes.push(format!("classtype: the class \"{name}\" is not in the classification; taken with priority 3"));
            draft.context.classes.add(name, name, 3)
        }
    };
    let known = draft
        .signature
        .class
        .and_then(|c| draft.context.classes.list.get(usize::from(c)))
        .map(|c| c.priority);
    let priority = draft
        .context
        .classes
        .list
        .get(usize::from(class))
        .map_or(3, |c| c.priority);
    // Of two classes the one that matters more counts.
    if known.is_none_or(|known| priority < known) {
        draft.signature.class = Some(class);
        if !draft.priority_given {
            draft.signature.priority = priority;
        }
    }
    Ok(())
}

fn reference(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (system, id) = value.text.split_once(',').ok_or("system,id expected")?;
    let (system, id) = (system.trim(), id.trim());
    if system.is_empty() || id.is_empty() {
        return Err("system,id expected".into());
    }
    for part in [system, ",", id] {
        draft.references.push_str(part);
    }
    draft.references.push('\n');
    Ok(())
}

/// Whether a rule's action alerts without `alert`.
pub fn alerts(action: Action) -> bool {
    !matches!(action, Action::Pass | Action::Config)
}

/// What `requires` says that is not met; `None`: all is met.
pub fn unmet(text: &str) -> Result<Option<String>, String> {
    for part in parts(text).filter(|p| !p.is_empty()) {
        let (what, rest) = part
            .split_once(|c: char| c.is_whitespace() || ['<', '>'].contains(&c))
            .unwrap_or((part, ""));
        let rest = part.get(what.len()..).unwrap_or(rest).trim();
        match what {
            "version" => {
                let met = rest
                    .split('|')
                    .map(version_met)
                    .collect::<Result<Vec<bool>, String>>()?;
                if !met.contains(&true) {
                    return Ok(Some(format!(
                        "requires version {rest}; the language here is version 9.0.0"
                    )));
                }
            }
            "feature" => {
                if !FEATURES.contains(&rest) {
                    return Ok(Some(format!("requires the feature {rest}")));
                }
            }
            "keyword" => {
                let there = super::named(rest).is_some()
                    || crate::rules::fields::Fields::all().named(rest).is_some();
                if !there {
                    return Ok(Some(format!("requires the keyword {rest}")));
                }
            }
            other => return Ok(Some(format!("requires {other}, which is not known"))),
        }
    }
    Ok(None)
}

/// Features that `requires` may name.
const FEATURES: &[&str] = &["ja3", "ja4"];

/// The version of the language spoken here.
const VERSION: [u16; 3] = [9, 0, 0];

/// Whether all of `>= 7.0.3 < 8` hold.
fn version_met(text: &str) -> Result<bool, String> {
    let wrong = || format!("requires: \"{text}\" is not a comparison of versions");
    let (mut rest, mut met, mut any) = (text.trim(), true, false);
    while !rest.is_empty() {
        let (order, after) = [">=", "<=", ">", "<"]
            .iter()
            .find_map(|sign| Some((*sign, rest.strip_prefix(sign)?.trim_start())))
            .ok_or_else(wrong)?;
        let end = after.find([' ', '<', '>']).unwrap_or(after.len());
        let (version, tail) = after.split_at(end);
        let mut wanted = [0; 3];
        for (slot, part) in wanted.iter_mut().zip(version.split(['.', '-'])) {
            *slot = part.parse().map_err(|_| wrong())?;
        }
        met &= match order {
            ">=" => VERSION >= wanted,
            "<=" => VERSION <= wanted,
            ">" => VERSION > wanted,
            _ => VERSION < wanted,
        };
        any = true;
        rest = tail.trim_start();
    }
    if any { Ok(met) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_compared_with_the_language() {
        assert_eq!(unmet("version >= 7.0.3"), Ok(None));
        assert_eq!(unmet("version >= 7.0.3 < 8 | >= 9, feature ja4"), Ok(None));
        assert!(unmet("version < 8").unwrap().is_some());
        assert!(unmet("feature lua").unwrap().is_some());
        assert!(unmet("keyword no.such").unwrap().is_some());
        assert!(unmet("version 8").is_err());
    }
}
