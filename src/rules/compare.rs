//! Numbers in options: `5`, `!5`, `<5`, `>=5`, `5-9`, `5<>9`, `&0x10=0x10`, with units, by Suricata's grammar of integers.

use super::ir::Compare;

/// How a range `a-b` or `a<>b` of a keyword is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The ends are outside.
    Exclusive,
}

/// A decimal or `0x` number, with a unit `kb`, `mb`, `gb`, `kib` … of 1,024.
pub fn number(text: &str, max: u64) -> Option<u64> {
    let (value, rest) = number_prefix(text)?;
    (rest.is_empty() && value <= max).then_some(value)
}

/// A number at the front, and what follows it.
fn number_prefix(text: &str) -> Option<(u64, &str)> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let end = hex
            .bytes()
            .position(|b| !b.is_ascii_hexdigit())
            .unwrap_or(hex.len());
        let (digits, rest) = hex.split_at(end);
        return Some((u64::from_str_radix(digits, 16).ok()?, rest));
    }
    let end = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let value: u64 = digits.parse().ok()?;
    const UNITS: [(&str, u64); 6] = [
        ("kib", 1 << 10),
        ("kb", 1 << 10),
        ("mib", 1 << 20),
        ("mb", 1 << 20),
        ("gib", 1 << 30),
        ("gb", 1 << 30),
    ];
    for (unit, factor) in UNITS {
        if let Some((head, tail)) = rest.split_at_checked(unit.len())
            && head.eq_ignore_ascii_case(unit)
        {
            return Some((value.checked_mul(factor)?, tail));
        }
    }
    Some((value, rest))
}

/// A comparison of a number of at most `max`.
pub fn compare(text: &str, max: u64, range: Range) -> Result<Compare, String> {
    let text = text.trim();
    parse(text, max, range)
        .ok_or_else(|| format!("\"{text}\" is not a number, comparison or range up to {max}"))
}

fn parse(text: &str, max: u64, range: Range) -> Option<Compare> {
    let within = |value: u64| (value <= max).then_some(value);
    if let Some(rest) = text.strip_prefix('&') {
        let (mask, rest) = number_prefix(rest.trim_start())?;
        let rest = rest.trim_start();
        let (negate, rest) = rest
            .strip_prefix('!')
            .map_or((false, rest), |rest| (true, rest));
        let value = number(rest.strip_prefix('=')?.trim_start(), max)?;
        return (value & mask == value && mask <= max).then_some(Compare::Masked {
            mask,
            value,
            negate,
        });
    }
    for (sign, make) in [
        (">=", Compare::GreaterOrEqual as fn(u64) -> Compare),
        ("<=", Compare::LessOrEqual),
        ("!=", Compare::NotEqual),
        ("=", Compare::Equal),
    ] {
        if let Some(rest) = text.strip_prefix(sign) {
            return possible(make(number(rest.trim_start(), max)?), max);
        }
    }
    if let Some(rest) = text.strip_prefix('>') {
        return possible(Compare::Greater(number(rest.trim_start(), max)?), max);
    }
    if let Some(rest) = text.strip_prefix('<') {
        return possible(Compare::Less(number(rest.trim_start(), max)?), max);
    }
    let (negate, rest) = text
        .strip_prefix('!')
        .map_or((false, text), |rest| (true, rest.trim_start()));
    let (first, rest) = number_prefix(rest)?;
    let first = within(first)?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Some(if negate {
            Compare::NotEqual(first)
        } else {
            Compare::Equal(first)
        });
    }
    let rest = rest.strip_prefix("<>").or_else(|| rest.strip_prefix('-'))?;
    let last = number(rest.trim(), max)?;
    let (from, to) = match range {
        Range::Exclusive => (first.checked_add(1)?, last.checked_sub(1)?),
    };
    if from > to {
        return None;
    }
    Some(if negate {
        Compare::Outside(from, to)
    } else {
        Compare::Between(from, to)
    })
}

/// A comparison that can be true for some numbers and false for others.
fn possible(compare: Compare, max: u64) -> Option<Compare> {
    match compare {
        Compare::Less(0) | Compare::GreaterOrEqual(0) => None,
        Compare::Greater(n) | Compare::LessOrEqual(n) if n == max => None,
        other => Some(other),
    }
}

/// A comparison, or one of the names (`!name` too). Case does not matter.
pub fn compare_named(
    text: &str,
    max: u64,
    names: &[(&str, u64)],
    range: Range,
) -> Result<Compare, String> {
    let text = text.trim();
    if let Some(compare) = parse(text, max, range) {
        return Ok(compare);
    }
    let (negate, name) = text
        .strip_prefix('!')
        .map_or((false, text), |rest| (true, rest.trim_start()));
    match names.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some((_, value)) if negate => Ok(Compare::NotEqual(*value)),
        Some((_, value)) => Ok(Compare::Equal(*value)),
        None => Err(format!(
            "\"{text}\" is neither a number nor one of its names"
        )),
    }
}

/// The largest number that satisfies a comparison; `None`: there is no largest.
pub fn largest(compare: Compare) -> Option<u64> {
    match compare {
        Compare::Equal(n) | Compare::LessOrEqual(n) | Compare::Between(_, n) => Some(n),
        Compare::Less(n) => n.checked_sub(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_comparison_is_read() {
        let c = |t| compare(t, 65_535, Range::Exclusive).ok();
        assert_eq!(c("5"), Some(Compare::Equal(5)));
        assert_eq!(c("=5"), Some(Compare::Equal(5)));
        assert_eq!(c("!5"), Some(Compare::NotEqual(5)));
        assert_eq!(c("!=5"), Some(Compare::NotEqual(5)));
        assert_eq!(c("> 5"), Some(Compare::Greater(5)));
        assert_eq!(c("<=5"), Some(Compare::LessOrEqual(5)));
        assert_eq!(c("5<>9"), Some(Compare::Between(6, 8)));
        assert_eq!(c("5 - 9"), Some(Compare::Between(6, 8)));
        assert_eq!(c("!5-9"), Some(Compare::Outside(6, 8)));
        assert_eq!(c("0x10"), Some(Compare::Equal(16)));
        assert_eq!(c("1kb"), Some(Compare::Equal(1024)));
        assert_eq!(
            c("&0x40=0x40"),
            Some(Compare::Masked {
                mask: 64,
                value: 64,
                negate: false
            })
        );
    }

    #[test]
    fn what_never_or_always_holds_is_refused() {
        for bad in [
            "<0", ">65535", ">=0", "<=65535", "5<>6", "9-5", "70000", "", "x", "5x", "-1", "&1=2",
        ] {
            assert!(compare(bad, 65_535, Range::Exclusive).is_err(), "{bad}");
        }
    }
}
