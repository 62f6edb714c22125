//! Which operating system a host is said to run: how it puts overlapping fragments and segments together.
//!
//! Suricata's `host-os-policy`. The longest prefix that covers the destination decides.

use std::net::IpAddr;

/// Systems, by Suricata's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OsPolicy {
    /// `bsd`: what Suricata takes for hosts it is not told about.
    #[default]
    Bsd,
    /// `bsd-right`
    BsdRight,
    /// `old-linux`
    OldLinux,
    /// `linux`
    Linux,
    /// `old-solaris`
    OldSolaris,
    /// `solaris`
    Solaris,
    /// `hpux10`
    Hpux10,
    /// `hpux11`
    Hpux11,
    /// `irix`
    Irix,
    /// `macos`
    MacOs,
    /// `windows`
    Windows,
    /// `vista`
    Vista,
    /// `windows2k3`
    Windows2003,
    /// `first`: what came first stays.
    First,
    /// `last`: what came last stays.
    Last,
}

impl OsPolicy {
    /// All of them with their names in the configuration.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("bsd", Self::Bsd),
        ("bsd-right", Self::BsdRight),
        ("old-linux", Self::OldLinux),
        ("linux", Self::Linux),
        ("old-solaris", Self::OldSolaris),
        ("solaris", Self::Solaris),
        ("hpux10", Self::Hpux10),
        ("hpux11", Self::Hpux11),
        ("irix", Self::Irix),
        ("macos", Self::MacOs),
        ("windows", Self::Windows),
        ("vista", Self::Vista),
        ("windows2k3", Self::Windows2003),
        ("first", Self::First),
        ("last", Self::Last),
    ];

    /// The policy of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, policy)| *policy)
    }
}

/// Policies by network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicies {
    default: OsPolicy,
    /// Network, prefix length in bits, policy; the longest prefixes first.
    networks: Vec<(IpAddr, u8, OsPolicy)>,
}

impl HostPolicies {
    /// Policies with this one for hosts that no network covers.
    pub fn new(default: OsPolicy) -> Self {
        Self {
            default,
            networks: Vec::new(),
        }
    }

    /// Adds a network; `prefix` bits of `address` count.
    pub fn add(&mut self, address: IpAddr, prefix: u8, policy: OsPolicy) {
        self.networks.push((address, prefix, policy));
        self.networks
            .sort_by_key(|(_, prefix, _)| std::cmp::Reverse(*prefix));
    }

    /// The policy of a host.
    pub fn of(&self, host: IpAddr) -> OsPolicy {
        self.networks
            .iter()
            .find(|(network, prefix, _)| covers(*network, *prefix, host))
            .map_or(self.default, |(_, _, policy)| *policy)
    }
}

fn covers(network: IpAddr, prefix: u8, host: IpAddr) -> bool {
    match (network, host) {
        (IpAddr::V4(n), IpAddr::V4(h)) => {
            (n.to_bits() ^ h.to_bits())
                .checked_shr(32 - u32::from(prefix).min(32))
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(n), IpAddr::V6(h)) => {
            (n.to_bits() ^ h.to_bits())
                .checked_shr(128 - u32::from(prefix).min(128))
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let mut policies = HostPolicies::new(OsPolicy::Bsd);
        policies.add("0.0.0.0".parse().unwrap(), 0, OsPolicy::Windows);
        policies.add("10.0.0.0".parse().unwrap(), 8, OsPolicy::Linux);
        policies.add("10.1.2.3".parse().unwrap(), 32, OsPolicy::Solaris);
        assert_eq!(policies.of("192.0.2.1".parse().unwrap()), OsPolicy::Windows);
        assert_eq!(policies.of("10.9.9.9".parse().unwrap()), OsPolicy::Linux);
        assert_eq!(policies.of("10.1.2.3".parse().unwrap()), OsPolicy::Solaris);
        assert_eq!(policies.of("2001:db8::1".parse().unwrap()), OsPolicy::Bsd);
        for (name, policy) in OsPolicy::NAMES {
            assert_eq!(OsPolicy::named(name), Some(*policy));
        }
    }
}
