//! Addresses and ports of a rule's header.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A set of addresses: sorted, non-overlapping, inclusive ranges; negations already taken out. `any` is empty `ranges`
/// with `any` set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressSet {
    /// As the rule writes it; another segment resolves it with its own variables.
    pub text: Box<str>,
    /// Every address.
    pub any: bool,
    /// Whether a negation or a range `a-b` is in it, written in the rule or in a variable.
    pub carved: bool,
    /// IPv4 ranges.
    pub v4: Vec<(u32, u32)>,
    /// IPv6 ranges.
    pub v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// Whether it contains `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.any {
            return true;
        }
        match address {
            IpAddr::V4(v4) => holds(&self.v4, u32::from(v4)),
            IpAddr::V6(v6) => holds(&self.v6, u128::from(v6)),
        }
    }

    /// Whether both hold the same addresses, however they are written.
    pub fn same(&self, other: &Self) -> bool {
        self.any == other.any && self.v4 == other.v4 && self.v6 == other.v6
    }
}

/// A set of ports: sorted, non-overlapping, inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortSet {
    /// As the rule writes it; another segment resolves it with its own variables.
    pub text: Box<str>,
    /// Every port.
    pub any: bool,
    /// Ranges.
    pub ranges: Vec<(u16, u16)>,
}

impl PortSet {
    /// Whether it contains `port`.
    pub fn contains(&self, port: u16) -> bool {
        self.any || holds(&self.ranges, port)
    }

    /// Whether both hold the same ports, however they are written.
    pub fn same(&self, other: &Self) -> bool {
        self.any == other.any && self.ranges == other.ranges
    }
}

pub(super) fn holds<T: PartialOrd + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let at = ranges.partition_point(|(first, _)| *first <= value);
    at.checked_sub(1)
        .and_then(|i| ranges.get(i))
        .is_some_and(|(_, last)| value <= *last)
}
