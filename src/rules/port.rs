//! Ports of rule headers: single, range `a:b`, open range `a:` and `:b`, lists, variables, negation.

use super::ir::PortSet;
use super::ranges::is_full;
use super::variables::{Member, Variables, evaluate, join, without};

struct Ranges(Vec<(u16, u16)>);

impl Member for Ranges {
    fn all() -> Self {
        Self(vec![(u16::MIN, u16::MAX)])
    }

    fn none() -> Self {
        Self(Vec::new())
    }

    fn literal(text: &str) -> Result<Self, String> {
        let one = |text: &str, default| match text.trim() {
            "" => Some(default),
            digits => digits.parse::<u16>().ok(),
        };
        let range = match text.split_once(':') {
            Some((first, last)) => one(first, u16::MIN)
                .zip(one(last, u16::MAX))
                .filter(|(first, last)| first <= last),
            None => text.parse().ok().map(|port| (port, port)),
        };
        range
            .map(|range| Self(vec![range]))
            .ok_or_else(|| format!("\"{text}\" is not a port or a range of ports"))
    }

    fn variable<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
        variables.ports.get(name).map(String::as_str)
    }

    fn join(&mut self, other: Self) {
        join(&mut self.0, other.0);
    }

    fn without(wanted: Self, unwanted: Self) -> Self {
        Self(without(wanted.0, &unwanted.0, (u16::MIN, u16::MAX)))
    }

    fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// The ports that `text` means under `variables`.
pub fn ports(text: &str, variables: &Variables) -> Result<PortSet, String> {
    let Ranges(ranges) = evaluate(text, variables)?.set;
    let any = is_full(&ranges);
    Ok(PortSet {
        text: text.into(),
        any,
        ranges: if any { Vec::new() } else { ranges },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Result<Vec<(u16, u16)>, String> {
        ports(text, &Variables::default()).map(|set| set.ranges)
    }

    #[test]
    fn ports_ranges_and_lists_are_read() {
        assert_eq!(ranges("80"), Ok(vec![(80, 80)]));
        assert_eq!(ranges("1024:"), Ok(vec![(1024, 65_535)]));
        assert_eq!(ranges(":1023"), Ok(vec![(0, 1023)]));
        assert_eq!(
            ranges("[80,81,443:450,!445]"),
            Ok(vec![(80, 81), (443, 444), (446, 450)])
        );
        assert_eq!(ranges("80,82"), Ok(vec![(80, 80), (82, 82)]));
        assert_eq!(ranges("!80"), Ok(vec![(0, 79), (81, 65_535)]));
        assert_eq!(
            ranges("[!80,!443]"),
            Ok(vec![(0, 79), (81, 442), (444, 65_535)])
        );
        assert_eq!(ranges("$SIP_PORTS"), Ok(vec![(5060, 5061)]));
        assert_eq!(ranges("![$SSH_PORTS,1:21]"), Ok(vec![(0, 0), (23, 65_535)]));
        assert!(ports("any", &Variables::default()).unwrap().any);
        assert!(ports("[any]", &Variables::default()).unwrap().any);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in [
            "65536",
            "80:79",
            "http",
            "!any",
            "[80,!80]",
            "80,",
            "[80",
            "$HOME_NET",
        ] {
            assert!(ranges(bad).is_err(), "{bad}");
        }
    }
}
