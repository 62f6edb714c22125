//! `pcre`: expressions, their options, the buffer letters of Snort, and captures.

use super::{Keyword, Quotes, Value};
use crate::rules::draft::Draft;
use crate::rules::fields::Fields;
use crate::rules::ir::{CaptureScope, Pcre, Test};

pub(super) const KEYWORDS: &[Keyword] = &[Keyword {
    name: "pcre",
    doc: "Perl-compatible expression /…/ with options i s m x A E G O, R (relative), and buffer letters",
    example: r#"content:"id="; pcre:"/^[0-9a-f]{8}\x3b/Ri";"#,
    quotes: Quotes::Optional,
    negation: true,
    parse: pcre,
    ..Keyword::PLAIN
}];

/// Captures in one expression, at most.
const CAPTURES_MAX: usize = 8;

fn pcre(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let start = value
        .text
        .find('/')
        .ok_or("the expression must stand between slashes")?;
    let end = value
        .text
        .rfind('/')
        .filter(|end| *end > start)
        .ok_or("no slash ends the expression")?;
    let expression = value.text.get(start + 1..end).unwrap_or_default();
    let after = value.text.get(end + 1..).unwrap_or_default();
    if start != 0 {
        return Err("something stands before the expression's first slash".into());
    }
    let (letters, names) = after.split_once(',').unwrap_or((after, ""));
    let (mut flags, mut relative, mut raw, mut buffer) = (String::new(), false, false, None);
    for letter in letters.trim().chars() {
        let field = match letter {
            'i' | 's' | 'm' | 'x' | 'A' | 'E' | 'G' | 'O' => {
                flags.push(letter);
                continue;
            }
            'R' => {
                relative = true;
                continue;
            }
            'B' => {
                raw = true;
                continue;
            }
            other => letter_field(other)
                .ok_or_else(|| format!("'{other}' is not an option of expressions"))?,
        };
        if buffer.is_some_and(|b| b != field) {
            return Err("two letters name different buffers".into());
        }
        buffer = Some(field);
    }
    if raw && buffer.is_some() {
        return Err("B (raw bytes) and a letter for another buffer contradict each other".into());
    }
    if buffer == Some("http.host")
        && !flags.contains('i')
        && expression.bytes().any(|b| b.is_ascii_uppercase())
        && has_upper(expression)
    {
        return Err("http.host is in lower case, so an upper-case letter never matches".into());
    }
    let keyword = match buffer {
        None => None,
        Some(name) => Some(
            Fields::all()
                .named(name)
                .ok_or_else(|| format!("needs {name}, which no protocol of this sensor has"))?,
        ),
    };
    if let (Some(keyword), Some(sticky)) = (keyword, draft.sticky_name()) {
        // Q means bodies of responses, which have two names.
        let same_body = keyword.name == "file.data" && sticky == "http.response_body";
        if keyword.name != sticky && !same_body {
            return Err(format!(
                "a letter means {}, but the sticky buffer {sticky} is in force",
                keyword.name
            ));
        }
    }
    if relative && draft.sticky_name().is_none() && !draft.has_anchor(keyword) {
        return Err("R needs a content or expression before it in the same buffer".into());
    }
    let captures = captures(expression, names)?;
    draft.context.check_expression(expression, &flags)?;
    let test = Test::Pcre(Pcre {
        expression: expression.to_owned(),
        flags,
        relative,
        negate: value.negated,
        captures,
    });
    match keyword {
        Some(keyword) if draft.sticky_name().is_none() => {
            draft.require_field(keyword)?;
            draft.test_field(keyword, test)
        }
        _ => draft.test(test),
    }
}

/// The buffer that an option letter means.
fn letter_field(letter: char) -> Option<&'static str> {
    Some(match letter {
        'U' => "http.uri",
        'I' => "http.uri.raw",
        'P' => "http.request_body",
        'Q' => "file.data",
        'H' => "http.header",
        'D' => "http.header.raw",
        'M' => "http.method",
        'C' => "http.cookie",
        'S' => "http.stat_code",
        'Y' => "http.stat_msg",
        'V' => "http.user_agent",
        'W' => "http.host",
        'Z' => "http.host.raw",
        _ => return None,
    })
}

/// Whether an upper-case letter stands in the expression other than after a backslash.
fn has_upper(expression: &str) -> bool {
    // Letters that belong to an escape: the one after the backslash, and the digits of `\x2E` and its kin.
    let mut of_escape = 0u8;
    expression.bytes().any(|b| {
        let literal = of_escape == 0 && b.is_ascii_uppercase();
        of_escape = match (of_escape, b) {
            (0, b'\\') => 3,
            (0, _) => 0,
            (3, b'x' | b'X') => 2,
            (3, _) => 0,
            (left, _) => left - 1,
        };
        literal
    })
}

/// Captures: named after the options (`, flow:name`), or by their group (`(?P<flow_name>…)`).
fn captures(expression: &str, names: &str) -> Result<Vec<(CaptureScope, String)>, String> {
    let mut all = Vec::new();
    for name in names.split([',', ' ']).filter(|n| !n.is_empty()) {
        let (scope, name) = name
            .split_once(':')
            .ok_or_else(|| format!("\"{name}\" is not flow:NAME, pkt:NAME or alert:NAME"))?;
        let scope =
            scope_of(scope).ok_or_else(|| format!("\"{scope}\" is not flow, pkt or alert"))?;
        all.push((scope, name.to_owned()));
    }
    if names.trim().is_empty() {
        for part in expression.split("(?P<").skip(1) {
            let Some((name, _)) = part.split_once('>') else {
                continue;
            };
            let Some((scope, name)) = name.split_once('_') else {
                continue;
            };
            if let Some(scope) = scope_of(scope) {
                all.push((scope, name.to_owned()));
            }
        }
    }
    if all.len() > CAPTURES_MAX {
        return Err(format!("more than {CAPTURES_MAX} captures"));
    }
    Ok(all)
}

fn scope_of(name: &str) -> Option<CaptureScope> {
    match name {
        "flow" => Some(CaptureScope::Flow),
        "pkt" => Some(CaptureScope::Packet),
        "alert" => Some(CaptureScope::Alert),
        _ => None,
    }
}
