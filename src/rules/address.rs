//! Addresses of rule headers: single, CIDR, netmask, range, lists, variables, negation.

use std::net::{IpAddr, Ipv4Addr};

use super::ir::AddressSet;
use super::ranges::{Bound, is_full};
use super::variables::{Evaluated, Member, Variables, evaluate, join, without};

/// Ranges of both families.
struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Whether one was written as first and last address.
    range: bool,
}

impl Member for Ranges {
    fn all() -> Self {
        Self {
            v4: vec![(u32::MIN, u32::MAX)],
            v6: vec![(u128::MIN, u128::MAX)],
            range: false,
        }
    }

    fn none() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            range: false,
        }
    }

    fn literal(text: &str) -> Result<Self, String> {
        literal(text).ok_or_else(|| {
            format!("\"{text}\" is not an address, a network or a range of addresses")
        })
    }

    fn variable<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
        variables.addresses.get(name).map(String::as_str)
    }

    fn join(&mut self, other: Self) {
        join(&mut self.v4, other.v4);
        join(&mut self.v6, other.v6);
        self.range |= other.range;
    }

    fn without(wanted: Self, unwanted: Self) -> Self {
        Self {
            v4: without(wanted.v4, &unwanted.v4, (u32::MIN, u32::MAX)),
            v6: without(wanted.v6, &unwanted.v6, (u128::MIN, u128::MAX)),
            range: wanted.range || unwanted.range,
        }
    }

    fn is_none(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The addresses that `text` means under `variables`.
pub fn addresses(text: &str, variables: &Variables) -> Result<AddressSet, String> {
    let Evaluated {
        set: Ranges { v4, v6, range },
        negation,
    } = evaluate(text, variables)?;
    let text = text.into();
    let carved = negation || range;
    if is_full(&v4) && is_full(&v6) {
        return Ok(AddressSet {
            text,
            any: true,
            carved,
            ..AddressSet::default()
        });
    }
    Ok(AddressSet {
        text,
        any: false,
        carved,
        v4,
        v6,
    })
}

fn literal(text: &str) -> Option<Ranges> {
    let of = |first: IpAddr, last: IpAddr| match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Some(Ranges {
            v4: vec![(a.into(), b.into())],
            v6: Vec::new(),
            range: false,
        }),
        (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => Some(Ranges {
            v4: Vec::new(),
            v6: vec![(a.into(), b.into())],
            range: false,
        }),
        _ => None,
    };
    if let Some((address, mask)) = text.split_once('/') {
        return match address.trim().parse().ok()? {
            IpAddr::V4(v4) => {
                let bits = match mask.trim().parse::<Ipv4Addr>() {
                    Ok(mask) => {
                        let mask = u32::from(mask);
                        (mask.leading_ones() + mask.trailing_zeros() >= 32)
                            .then(|| mask.leading_ones())?
                    }
                    Err(_) => prefix(mask, 32)?,
                };
                Some(Ranges {
                    v4: vec![network(
                        u32::from(v4),
                        u32::MAX.checked_shl(32 - bits).unwrap_or(0),
                    )],
                    v6: Vec::new(),
                    range: false,
                })
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - prefix(mask, 128)?).unwrap_or(0);
                Some(Ranges {
                    v4: Vec::new(),
                    v6: vec![network(u128::from(v6), mask)],
                    range: false,
                })
            }
        };
    }
    if let Some((first, last)) = text.split_once('-') {
        return Some(Ranges {
            range: true,
            ..of(first.trim().parse().ok()?, last.trim().parse().ok()?)?
        });
    }
    let one = text.parse().ok()?;
    of(one, one)
}

fn prefix(text: &str, max: u32) -> Option<u32> {
    text.trim().parse::<u32>().ok().filter(|bits| *bits <= max)
}

fn network<T>(address: T, mask: T) -> (T, T)
where
    T: Bound
        + std::ops::BitAnd<Output = T>
        + std::ops::BitOr<Output = T>
        + std::ops::Not<Output = T>,
{
    (address & mask, address | !mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<AddressSet, String> {
        addresses(text, &Variables::default())
    }

    fn has(text: &str, address: &str) -> bool {
        set(text).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn literals_of_every_form_are_read() {
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(has("10.1.0.0/16", "10.1.255.255") && !has("10.1.0.0/16", "10.2.0.0"));
        assert!(has("10.1.0.0/255.255.0.0", "10.1.9.9"));
        assert!(has("10.0.0.5-10.0.0.9", "10.0.0.7") && !has("10.0.0.5-10.0.0.9", "10.0.0.10"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1"));
        assert!(set("any").unwrap().any);
    }

    #[test]
    fn lists_nest_and_negate() {
        let text = "[10.0.0.0/8,![10.1.0.0/16,!10.1.1.0/24],2001:db8::1]";
        assert!(
            has(text, "10.2.0.1")
                && !has(text, "10.1.2.1")
                && has(text, "10.1.1.1")
                && has(text, "2001:db8::1")
        );
        assert!(has("[!10.0.0.0/8]", "11.0.0.1") && !has("[!10.0.0.0/8]", "10.0.0.1"));
        let text = "[10.0.0.0/8,[!10.1.0.0/16,172.16.0.0/12]]";
        assert!(has(text, "10.2.0.1") && !has(text, "10.1.0.1") && has(text, "172.16.0.1"));
    }

    #[test]
    fn a_negation_speaks_of_its_own_family() {
        assert!(!has("!10.0.0.0/8", "::1"));
        assert!(!has("!2001:db8::/32", "1.2.3.4") && has("!2001:db8::/32", "::1"));
        assert!(has("[!10.0.0.0/8,2001:db8::/32]", "1.2.3.4"));
        assert!(has("[any,!10.0.0.0/8]", "::1"));
        assert!(has("!!10.0.0.1", "10.0.0.2") && !has("!!10.0.0.1", "10.0.0.1"));
    }

    #[test]
    fn what_negates_or_spans_is_carved_by_variables_too() {
        let carved = |text: &str| set(text).unwrap().carved;
        assert!(!carved("$HOME_NET") && !carved("any") && !carved("[10.0.0.1,::1]"));
        assert!(carved("$EXTERNAL_NET") && carved("!10.0.0.1") && carved("$AIM_SERVERS"));
        assert!(carved("10.0.0.1-10.0.0.9") && carved("[11.0.0.1,!$HTTP_SERVERS]"));
    }

    #[test]
    fn variables_refer_to_each_other() {
        assert!(has("$EXTERNAL_NET", "8.8.8.8") && !has("$EXTERNAL_NET", "192.168.1.1"));
        assert!(has("[$HOME_NET,!192.168.1.0/24]", "192.168.2.1"));
        assert!(
            set("[0.0.0.0/0,!$EXTERNAL_NET,$HOME_NET]")
                .unwrap()
                .same(&set("$HOME_NET").unwrap())
        );
    }

    #[test]
    fn a_set_that_holds_nothing_is_refused() {
        for bad in [
            "!any",
            "[10.0.0.1,!10.0.0.0/8]",
            "[]",
            "",
            "$NOPE",
            "10.0.0.0/33",
            "10.0.0.9-10.0.0.1",
            "[1.1.1.1",
            "x",
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_variable_that_names_itself_is_an_error() {
        let mut variables = Variables::default();
        variables
            .addresses
            .insert("LOOP".into(), "[$LOOP,10.0.0.1]".into());
        assert!(addresses("$LOOP", &variables).is_err());
    }

    #[test]
    fn a_netmask_must_be_contiguous() {
        assert!(set("10.0.0.0/255.0.255.0").is_err());
        assert_eq!(set("10.0.0.0/0.0.0.0").unwrap().v4, [(0, u32::MAX)]);
    }
}
