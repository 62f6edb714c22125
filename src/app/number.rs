//! Numbers of a transaction as rule keywords, where one comparison is not enough: lists, and bits with names.
//!
//! `5`, `!5`, `<5`, `>=5`, `2-9` (ends excluded), `!2-9`, `&0x10=0x10`, or a name; for lists a second part says which of the
//! values must agree: `any` (the default), `all`, `or_absent`, `all_or_absent`, an index (negative from the end,
//! `oob_or 3` also when there is no such), `nb>2` (how many), and a third `a:b` which part of the list; `count>2` alone
//! tests its length. Bits: `dup,!retain`, with `+` (default: these at least), `*` (any), `=` (exactly), `!` or `-` (not all).

use super::{FieldTest, Session, Transaction};
use crate::packet::Direction;

/// The values of a transaction by index, from 0 until none is returned.
pub type Values = fn(&dyn Transaction, Direction, usize) -> Option<u64>;

/// Names of values, in any case.
pub type Names = &'static [(&'static str, u64)];

/// Values looked at, at most.
const VALUES_MAX: usize = 65_536;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `n`
    Equal(u64),
    /// `!n`
    NotEqual(u64),
    /// `<n`
    Less(u64),
    /// `<=n`
    AtMost(u64),
    /// `>n`
    Greater(u64),
    /// `>=n`
    AtLeast(u64),
    /// `a-b`, `a<>b`, the ends excluded.
    Between(u64, u64),
    /// `!a-b`, the ends included.
    Outside(u64, u64),
    /// `&mask=value`
    Bits(u64, u64),
    /// `&mask!=value`
    NotBits(u64, u64),
}

impl Comparison {
    /// Whether `value` satisfies it.
    pub fn holds(self, value: u64) -> bool {
        match self {
            Self::Equal(n) => value == n,
            Self::NotEqual(n) => value != n,
            Self::Less(n) => value < n,
            Self::AtMost(n) => value <= n,
            Self::Greater(n) => value > n,
            Self::AtLeast(n) => value >= n,
            Self::Between(a, b) => value > a && value < b,
            Self::Outside(a, b) => value <= a || value >= b,
            Self::Bits(mask, bits) => value & mask == bits,
            Self::NotBits(mask, bits) => value & mask != bits,
        }
    }

    /// Reads one; a number is at most `max`.
    pub fn parse(text: &str, names: Names, max: u64) -> Result<Self, String> {
        let text = text.trim();
        let one = |text: &str| {
            let text = text.trim();
            let named = names
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text))
                .map(|(_, value)| *value);
            named.or_else(|| digits(text)).filter(|value| *value <= max)
        };
        let need =
            |text: &str| one(text).ok_or_else(|| format!("{:?} is not a value of it", text.trim()));
        if let Some(value) = one(text) {
            return Ok(Self::Equal(value));
        }
        if let Some((mask, bits)) = text.strip_prefix('&').and_then(|t| t.split_once('=')) {
            let (mask, negated) = mask.strip_suffix('!').map_or((mask, false), |m| (m, true));
            let (mask, bits) = (need(mask)?, need(bits)?);
            return Ok(if negated {
                Self::NotBits(mask, bits)
            } else {
                Self::Bits(mask, bits)
            });
        }
        for (sign, make) in SIGNS {
            if let Some(rest) = text.strip_prefix(sign) {
                return need(rest).map(make);
            }
        }
        let (negated, text) = text.strip_prefix('!').map_or((false, text), |t| (true, t));
        if let Some((a, b)) = text.split_once("<>").or_else(|| text.split_once('-')) {
            let (a, b) = (need(a)?, need(b)?);
            if b <= a {
                return Err(format!("the range {text:?} is empty"));
            }
            return Ok(if negated {
                Self::Outside(a, b)
            } else {
                Self::Between(a, b)
            });
        }
        need(text).map(|n| {
            if negated {
                Self::NotEqual(n)
            } else {
                Self::Equal(n)
            }
        })
    }
}

type Make = fn(u64) -> Comparison;
const SIGNS: [(&str, Make); 5] = [
    (">=", Comparison::AtLeast as Make),
    ("<=", Comparison::AtMost),
    (">", Comparison::Greater),
    ("<", Comparison::Less),
    ("=", Comparison::Equal),
];

fn digits(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// Which values of a list must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Any,
    All,
    OrAbsent,
    AllOrAbsent,
    /// Position, and whether none there agrees too.
    At(i64, bool),
    /// How many.
    Agreeing(Comparison),
    /// How many there are.
    Count(Comparison),
}

/// A test on a list of numbers.
#[derive(Debug)]
struct List {
    comparison: Comparison,
    which: Which,
    /// Start and end of the part looked at; negative and 0 (as end) count from the end.
    part: (i64, i64),
    values: Values,
}

/// Makes a test of the option's argument.
pub fn list(
    argument: &str,
    names: Names,
    max: u64,
    values: Values,
) -> Result<Box<dyn FieldTest>, String> {
    let mut parts = argument.split(',').map(str::trim);
    let first = parts.next().unwrap_or_default();
    if let Some(count) = first.strip_prefix("count") {
        let which = Which::Count(Comparison::parse(count, &[], u64::MAX)?);
        return Ok(Box::new(List {
            comparison: Comparison::AtLeast(0),
            which,
            part: (0, 0),
            values,
        }));
    }
    let comparison = Comparison::parse(first, names, max)?;
    let wrong = |text: &str| format!("{text:?} does not say which values");
    let which = match parts.next() {
        None | Some("any") => Which::Any,
        Some("all") => Which::All,
        Some("or_absent") => Which::OrAbsent,
        Some("all_or_absent") => Which::AllOrAbsent,
        Some(text) => match (text.strip_prefix("nb"), text.strip_prefix("oob_or")) {
            (Some(count), _) => Which::Agreeing(Comparison::parse(count, &[], u64::MAX)?),
            (_, Some(index)) => Which::At(index.trim().parse().map_err(|_| wrong(text))?, true),
            _ => Which::At(text.parse().map_err(|_| wrong(text))?, false),
        },
    };
    let part = match parts.next() {
        None => (0, 0),
        Some(text) => text
            .split_once(':')
            .and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)))
            .ok_or_else(|| wrong(text))?,
    };
    if parts.next().is_some() {
        return Err(format!("{argument:?} has too many parts"));
    }
    Ok(Box::new(List {
        comparison,
        which,
        part,
        values,
    }))
}

impl FieldTest for List {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let value = |index: usize| (self.values)(tx, direction, index);
        let len = (0..VALUES_MAX).take_while(|i| value(*i).is_some()).count();
        let from_end = |at: i64, end: bool| match at {
            0 if end => Some(len),
            at if at < 0 => len.checked_sub(usize::try_from(at.unsigned_abs()).ok()?),
            at => usize::try_from(at).ok(),
        };
        let bounds = (from_end(self.part.0, false), from_end(self.part.1, true));
        let range = match bounds {
            (Some(a), Some(b)) if b <= len && a < b => a..b,
            _ => 0..0,
        };
        let holds = |i: usize| value(i).is_some_and(|v| self.comparison.holds(v));
        match self.which {
            Which::Any => range.clone().any(holds),
            Which::All => !range.is_empty() && range.clone().all(holds),
            Which::OrAbsent => range.is_empty() || range.clone().any(holds),
            Which::AllOrAbsent => range.clone().all(holds),
            Which::Agreeing(count) => {
                count.holds(range.clone().filter(|i| holds(*i)).count() as u64)
            }
            Which::Count(count) => count.holds(range.len() as u64),
            Which::At(at, absent) => {
                let offset = if at < 0 {
                    usize::try_from(at.unsigned_abs())
                        .ok()
                        .and_then(|back| range.len().checked_sub(back))
                } else {
                    usize::try_from(at).ok()
                };
                match offset.filter(|o| *o < range.len()) {
                    Some(offset) => holds(range.start + offset),
                    None => absent,
                }
            }
        }
    }
}

/// A test on the named bits of a number (of any of several).
pub fn bits(
    argument: &str,
    names: Names,
    max: u64,
    values: Values,
) -> Result<Box<dyn FieldTest>, String> {
    if let Ok(comparison) = Comparison::parse(argument, &[], max) {
        return Ok(Box::new(List {
            comparison,
            which: Which::Any,
            part: (0, 0),
            values,
        }));
    }
    let text = argument.trim();
    let (mode, text) = match text.split_at_checked(1) {
        Some(("+" | "*" | "=", rest)) => (text.get(..1).unwrap_or("+"), rest),
        Some(("-", rest)) => ("-", rest),
        _ => ("+", text),
    };
    let (mut mask, mut wanted) = (0u64, 0u64);
    for word in text
        .split([',', ' '])
        .map(str::trim)
        .filter(|w| !w.is_empty())
    {
        let (negated, word) = word
            .strip_prefix('!')
            .map_or((false, word), |w| (true, w.trim()));
        let bit = names
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, bit)| *bit);
        let bit = bit.ok_or_else(|| format!("{word:?} is not one of its bits"))?;
        if mask & bit != 0 {
            return Err(format!("{word:?} is named twice"));
        }
        mask |= bit;
        wanted |= if negated { 0 } else { bit };
    }
    if mask == 0 {
        return Err("names no bit".into());
    }
    let comparison = match mode {
        "=" => Comparison::Equal(wanted),
        "*" => Comparison::NotBits(mask, wanted ^ mask),
        "-" => Comparison::NotBits(mask, wanted),
        _ => Comparison::Bits(mask, wanted),
    };
    Ok(Box::new(List {
        comparison,
        which: Which::Any,
        part: (0, 0),
        values,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::feed::Feed;
    use crate::app::{TxState, dns};

    #[derive(Debug, Default)]
    struct Three(TxState);
    impl Transaction for Three {
        fn state(&self) -> &TxState {
            &self.0
        }
        fn state_mut(&mut self) -> &mut TxState {
            &mut self.0
        }
        fn progress(&self, _: Direction) -> u8 {
            0
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    fn three(_: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
        [1, 2, 7].get(index).copied()
    }

    fn check(test: Result<Box<dyn FieldTest>, String>) -> bool {
        let session = Feed::new(&dns::DNS, 17, 53).session;
        test.expect("a test")
            .test(&Three::default(), &*session, Direction::ToServer)
    }

    #[test]
    fn lists_say_which_values_must_agree() {
        let test = |text: &str| check(list(text, &[("seven", 7)], 255, three));
        for yes in [
            "1",
            "seven",
            ">2",
            "1-7",
            "<8,all",
            "7,-1",
            "2,1",
            "9,oob_or 5",
            ">1,nb2",
            "count3",
            "7,any,-1:0",
            "!1-2",
        ] {
            assert!(test(yes), "{yes}");
        }
        for no in [
            "3",
            "1-2",
            ">1,all",
            "7,0",
            "2,5",
            ">1,nb>2",
            "count>3",
            "1,any,1:3",
            "&4=4,all",
        ] {
            assert!(!test(no), "{no}");
        }
        for wrong in ["x", "1,2,3,4", "5-2", "256", "1,what"] {
            assert!(list(wrong, &[], 255, three).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bits_have_names() {
        fn five(_: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
            (index == 0).then_some(5)
        }
        let names: Names = &[("one", 1), ("two", 2), ("four", 4)];
        let test = |text: &str| check(bits(text, names, 255, five));
        assert!(
            test("one") && test("one,!two") && test("=one,four") && test("*two,four") && test("5")
        );
        assert!(!test("two") && !test("one,two") && !test("=one") && !test("-one"));
        assert!(bits("one,!one", names, 255, five).is_err() && bits("", names, 255, five).is_err());
    }
}
