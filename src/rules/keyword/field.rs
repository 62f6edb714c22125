//! Fields of application protocols as keywords: sticky buffers, numbers, and tests of their own.

use super::file::wants_magic;
use super::{Argument, Quotes, Value, parts, value};
use crate::app::Access;
use crate::packet::Direction;
use crate::rules::compare::{self, Range};
use crate::rules::draft::{Draft, GroupKind};
use crate::rules::fields::{FieldKeyword, Fields};
use crate::rules::file_fields::MAGIC;
use crate::rules::ir::{Compare, NumberIndex, NumberTest, TxTest, TxWant};

/// Whether a name that is both an old modifier and a buffer means the modifier here: it does without a sticky buffer and
/// with a content of the payload before it.
pub(in crate::rules) fn is_modifier(draft: &Draft<'_>, name: &str) -> bool {
    if Fields::all().named(name).is_none() {
        return true;
    }
    draft.sticky_name().is_none()
        && draft
            .groups
            .iter()
            .any(|g| g.kind == GroupKind::Payload && !g.tests.is_empty())
}

/// Reads an option of a field.
pub(in crate::rules) fn parse(
    draft: &mut Draft<'_>,
    keyword: &FieldKeyword,
    given: Option<&str>,
) -> Result<(), String> {
    if keyword.is_bytes() {
        let direction = match given {
            None => None,
            Some("to_server" | "request") => Some(Direction::ToServer),
            Some("to_client" | "response") => Some(Direction::ToClient),
            Some(other) => {
                return Err(format!(
                    "is a buffer and takes no value but to_server or to_client, not {other:?}"
                ));
            }
        };
        if let Some(direction) = direction {
            draft.ask(direction)?;
        }
        if keyword.name == MAGIC {
            wants_magic(draft)?;
        }
        return draft.stick_field(keyword, direction);
    }
    let integer = keyword.fields.iter().find_map(|(_, f)| match f.access {
        Access::Integer { names, max, .. } => Some((names, max)),
        _ => None,
    });
    let (only, text) = direction_prefix(draft, given)?;
    let want = match integer {
        Some((names, max)) => {
            let Value { text, .. } = value(Argument::Required, Quotes::Optional, false, text)?;
            TxWant::Number(numbers(text, max, names)?)
        }
        None => {
            let parse = keyword.fields.iter().find_map(|(_, f)| match f.access {
                Access::Test(parse) => Some(parse),
                _ => None,
            });
            // The field's own parser sees the argument as written, without the quotes around it.
            let text = text.unwrap_or_default();
            let bare = text
                .strip_prefix('"')
                .and_then(|t| t.strip_suffix('"'))
                .unwrap_or(text);
            TxWant::Test(parse.ok_or("cannot be tested")?(bare)?)
        }
    };
    draft.require_field(keyword)?;
    draft.signature.tx.push(TxTest {
        name: keyword.name,
        fields: keyword.fields.clone(),
        only,
        want,
    });
    Ok(())
}

/// `to_server,` or `to_client,` before the argument.
pub(super) fn direction_prefix<'a>(
    draft: &mut Draft<'_>,
    given: Option<&'a str>,
) -> Result<(Option<Direction>, Option<&'a str>), String> {
    let Some((first, rest)) = given.and_then(|g| g.split_once(',')) else {
        return Ok((None, given));
    };
    let direction = match first.trim() {
        "to_server" => Direction::ToServer,
        "to_client" => Direction::ToClient,
        _ => return Ok((None, given)),
    };
    draft.ask(direction)?;
    Ok((Some(direction), Some(rest.trim())))
}

/// A comparison with, for fields of several numbers, which of them it is about: `1,all`, `>3,-1`, `count >2`.
pub(super) fn numbers(text: &str, max: u64, names: &[(&str, u64)]) -> Result<NumberTest, String> {
    let count = |text: &str| compare::compare(text, u64::from(u32::MAX), Range::Exclusive);
    let words: Vec<&str> = parts(text).collect();
    let of = match words.get(1).copied() {
        None => match words.first().and_then(|w| w.strip_prefix("count")) {
            Some(number) => {
                let of = NumberIndex::Count(count(number)?);
                return Ok(NumberTest {
                    want: Compare::GreaterOrEqual(0),
                    of,
                    slice: (0, 0),
                });
            }
            None => NumberIndex::Any,
        },
        Some("any") => NumberIndex::Any,
        Some("all") => NumberIndex::All,
        Some("all_or_absent") => NumberIndex::AllOrAbsent,
        Some("or_absent") => NumberIndex::OrAbsent,
        Some(other) => {
            match other.strip_prefix("nb") {
                Some(number) => NumberIndex::Matches(count(number)?),
                None => {
                    let (or_outside, index) = other
                        .strip_prefix("oob_or")
                        .map_or((false, other), |i| (true, i.trim()));
                    let index = index.parse().map_err(|_| format!("\"{other}\" is not any, all, or_absent, all_or_absent, an index or nb N"))?;
                    NumberIndex::At { index, or_outside }
                }
            }
        }
    };
    let slice = match words.get(2) {
        None => (0, 0),
        Some(text) => {
            let wrong = || format!("\"{text}\" is not a slice start:end");
            let (start, end) = text.split_once(':').ok_or_else(wrong)?;
            let (start, end): (i32, i32) = (
                start.parse().map_err(|_| wrong())?,
                end.parse().map_err(|_| wrong())?,
            );
            if end <= start && start.signum() == end.signum() && end != 0 {
                return Err(format!("the slice {text} ends before it starts"));
            }
            (start, end)
        }
    };
    if words.len() > 3 {
        return Err("number[, which[, slice]] expected".into());
    }
    let want = compare::compare_named(words.first().unwrap_or(&""), max, names, Range::Exclusive)?;
    Ok(NumberTest { want, of, slice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_on_several_numbers_say_which() {
        let read = |text| numbers(text, 65_535, &[("mx", 15)]);
        assert_eq!(read("mx").unwrap(), Compare::Equal(15).into());
        assert_eq!(read("!mx,all").unwrap().of, NumberIndex::All);
        assert_eq!(
            read("1,-1").unwrap().of,
            NumberIndex::At {
                index: -1,
                or_outside: false
            }
        );
        assert_eq!(
            read("1,oob_or 2").unwrap().of,
            NumberIndex::At {
                index: 2,
                or_outside: true
            }
        );
        assert_eq!(
            read(">1,nb >2").unwrap().of,
            NumberIndex::Matches(Compare::Greater(2))
        );
        assert_eq!(
            read("count 3").unwrap().of,
            NumberIndex::Count(Compare::Equal(3))
        );
        assert_eq!(read("1,any,1:3").unwrap().slice, (1, 3));
        for bad in ["", "txt", "1,some", "1,any,3:1", "1,any,1:2,3", "70000"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
