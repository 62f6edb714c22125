//! The keywords: one file per group, one line each in a group's list, one line per group in [`GROUPS`].
//!
//! A keyword says how it is written (argument, quotes, negation), what it does, and gives an example that a test parses.
//! Fields that application protocols declare are keywords too ([`field`]); they are not listed here.

mod app;
mod base64;
mod buffer;
mod bytes;
mod content;
mod dataset;
mod event;
pub(super) mod field;
mod file;
mod flow;
mod flow_state;
mod icmp;
mod ip;
mod meta;
mod payload;
mod pcre;
mod tcp;
mod threshold;
mod transform;

pub(super) use app::{no_protocol, state};
pub(super) use meta::{alerts, unmet};
pub(in crate::rules) use transform::hex;

use std::collections::HashMap;
use std::sync::OnceLock;

use super::draft::Draft;
use super::fields::Fields;
use super::lexer::Opt;
use super::names::nearest;

/// Whether a keyword takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// It must not have one.
    None,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// Whether the argument is in double quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// No.
    Refused,
    /// May be.
    Optional,
    /// Must be.
    Required,
}

/// An argument, without its quotes and its `!`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value<'a> {
    /// The text; empty without an argument.
    pub text: &'a str,
    /// Whether a `!` stood before it.
    pub negated: bool,
}

/// A keyword of the language.
#[derive(Debug)]
pub struct Keyword {
    /// Its name.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What it does, in one line.
    pub doc: &'static str,
    /// Options that show it; a rule beginning with `alert` when they need a certain header.
    pub example: &'static str,
    /// Argument.
    pub argument: Argument,
    /// Quotes.
    pub quotes: Quotes,
    /// Whether `!` may stand before the argument and is the language's, not the keyword's own.
    pub negation: bool,
    /// Reads it.
    pub parse: fn(&mut Draft<'_>, Value<'_>) -> Result<(), String>,
}

impl Keyword {
    /// A keyword with an argument without quotes, to be changed by struct update.
    pub const PLAIN: Self = Self {
        name: "",
        aliases: &[],
        doc: "",
        example: "",
        argument: Argument::Required,
        quotes: Quotes::Refused,
        negation: false,
        parse: |_, _| Ok(()),
    };

    /// A keyword without an argument.
    pub const BARE: Self = Self {
        argument: Argument::None,
        ..Self::PLAIN
    };

    /// A keyword with a quoted argument that may be negated.
    pub const QUOTED: Self = Self {
        quotes: Quotes::Required,
        negation: true,
        ..Self::PLAIN
    };
}

/// A group of keywords, as the documentation shows them.
#[derive(Debug)]
pub struct KeywordGroup {
    /// Its title.
    pub title: &'static str,
    /// Its keywords.
    pub keywords: &'static [Keyword],
}

/// Every group.
pub static GROUPS: &[KeywordGroup] = &[
    KeywordGroup {
        title: "What the alert says",
        keywords: meta::KEYWORDS,
    },
    KeywordGroup {
        title: "Contents",
        keywords: content::KEYWORDS,
    },
    KeywordGroup {
        title: "Sizes and presence",
        keywords: payload::KEYWORDS,
    },
    KeywordGroup {
        title: "Regular expressions",
        keywords: pcre::KEYWORDS,
    },
    KeywordGroup {
        title: "Numbers in bytes",
        keywords: bytes::KEYWORDS,
    },
    KeywordGroup {
        title: "Base64",
        keywords: base64::KEYWORDS,
    },
    KeywordGroup {
        title: "Transforms of buffers",
        keywords: transform::KEYWORDS,
    },
    KeywordGroup {
        title: "Buffers of packets",
        keywords: buffer::KEYWORDS,
    },
    KeywordGroup {
        title: "Flows and streams",
        keywords: flow::KEYWORDS,
    },
    KeywordGroup {
        title: "State kept between matches",
        keywords: flow_state::KEYWORDS,
    },
    KeywordGroup {
        title: "Thresholds",
        keywords: threshold::KEYWORDS,
    },
    KeywordGroup {
        title: "IP headers",
        keywords: ip::KEYWORDS,
    },
    KeywordGroup {
        title: "TCP headers",
        keywords: tcp::KEYWORDS,
    },
    KeywordGroup {
        title: "ICMP, IGMP and SCTP headers",
        keywords: icmp::KEYWORDS,
    },
    KeywordGroup {
        title: "Events",
        keywords: event::KEYWORDS,
    },
    KeywordGroup {
        title: "Application protocols",
        keywords: app::KEYWORDS,
    },
    KeywordGroup {
        title: "Files",
        keywords: file::KEYWORDS,
    },
    KeywordGroup {
        title: "Data sets",
        keywords: dataset::KEYWORDS,
    },
];

type Table = HashMap<&'static str, &'static Keyword, foldhash::fast::FixedState>;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let all = GROUPS.iter().flat_map(|g| g.keywords);
        all.flat_map(|k| {
            std::iter::once(k.name)
                .chain(k.aliases.iter().copied())
                .map(move |name| (name, k))
        })
        .collect()
    })
}

/// The keyword of a name.
pub fn named(name: &str) -> Option<&'static Keyword> {
    table().get(name).copied()
}

/// Reads one option into the draft.
pub(super) fn apply(draft: &mut Draft<'_>, option: Opt<'_>) -> Result<(), String> {
    let mut name = option.name;
    let mut keyword = named(name);
    let lower;
    if keyword.is_none() && name.bytes().any(|b| b.is_ascii_uppercase()) {
        lower = name.to_ascii_lowercase();
        name = &lower;
        keyword = named(name);
    }
    let outcome = if let Some(keyword) = keyword {
        value(
            keyword.argument,
            keyword.quotes,
            keyword.negation,
            option.value,
        )
        .and_then(|v| (keyword.parse)(draft, v))
    } else if let Some(keyword) = Fields::all()
        .modifier(name)
        .filter(|_| field::is_modifier(draft, name))
    {
        value(Argument::None, Quotes::Refused, false, option.value)
            .and_then(|_| draft.move_last_content(keyword))
    } else if let Some(keyword) = Fields::all().named(name) {
        field::parse(draft, keyword, option.value)
    } else {
        return Err(unknown(name));
    };
    outcome.map_err(|why| format!("{}: {why}", option.name))
}

/// A content as written, without modifiers.
#[cfg(test)]
pub(super) fn plain_content(text: &str) -> Result<super::ir::Content, String> {
    content::plain(Value {
        text,
        negated: false,
    })
}

/// Keywords of Suricata that this sensor does not have, with the reason.
const ABSENT: &[(&[&str], &str)] = &[(
    &["lua", "luajit", "luaxform"],
    "scripts are not run by this sensor (nor by Suricata, unless security.lua.allow-rules is set)",
)];

/// The error for a keyword that does not exist.
fn unknown(name: &str) -> String {
    if let Some((_, why)) = ABSENT.iter().find(|(names, _)| names.contains(&name)) {
        return format!("{name}: {why}");
    }
    match nearest(name, table().keys().copied().chain(Fields::all().names())) {
        Some(near) => format!("{name}: no such keyword; is {near} meant?"),
        None => format!("{name}: no such keyword"),
    }
}

/// Checks how an argument is written, and takes off its quotes and `!`.
pub(super) fn value(
    argument: Argument,
    quotes: Quotes,
    negation: bool,
    given: Option<&str>,
) -> Result<Value<'_>, String> {
    let Some(mut text) = given else {
        return if argument == Argument::Required {
            Err("needs a value".into())
        } else {
            Ok(Value::default())
        };
    };
    if argument == Argument::None {
        return Err(format!("takes no value, but {text:?} was given"));
    }
    let mut negated = false;
    if negation && let Some(rest) = text.strip_prefix('!') {
        negated = true;
        text = rest.trim_start();
    }
    match (text.strip_prefix('"'), quotes) {
        (Some(_), Quotes::Refused) => return Err("the value must not be in quotes".into()),
        (None, Quotes::Required) => return Err("the value must be in double quotes".into()),
        (Some(inner), _) => {
            text = inner
                .strip_suffix('"')
                .ok_or("no quote closes the value; is a \";\" missing or unescaped?")?;
        }
        (None, _) => {}
    }
    if text.is_empty() {
        return Err("the value is empty".into());
    }
    Ok(Value { text, negated })
}

/// The comma-separated parts of a value, trimmed.
pub(super) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim)
}
