//! Target-based reassembly: whose bytes count when segments overlap.
//!
//! Operating systems disagree about overlapping segments (Novak and Sturges, "Target-Based TCP Stream Reassembly",
//! 2007). A sensor that decides otherwise than the receiver sees another stream than the receiver: the oldest evasion
//! there is. So the choice follows the receiver's address, as configured (`host-os-policy`), BSD where it is not.

use std::net::IpAddr;

/// How a receiver treats overlaps, RSTs and timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OsPolicy {
    /// What came first stays.
    First,
    /// BSD and most others: what begins first in the stream wins.
    #[default]
    Bsd,
    /// What came last wins.
    Last,
    /// HP-UX 10.
    Hpux10,
    /// HP-UX 11.
    Hpux11,
    /// IRIX.
    Irix,
    /// Linux.
    Linux,
    /// Linux 2.0 and before.
    OldLinux,
    /// macOS.
    MacOs,
    /// Solaris.
    Solaris,
    /// Windows.
    Windows,
    /// Windows Server 2003.
    Windows2003,
    /// Windows Vista and later.
    Vista,
}

impl OsPolicy {
    /// By the name the configuration uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "first" => Self::First,
            "bsd" | "bsd-right" => Self::Bsd,
            "last" => Self::Last,
            "hpux10" => Self::Hpux10,
            "hpux11" => Self::Hpux11,
            "irix" => Self::Irix,
            "linux" => Self::Linux,
            "old-linux" => Self::OldLinux,
            "macos" => Self::MacOs,
            "solaris" | "old-solaris" => Self::Solaris,
            "windows" => Self::Windows,
            "windows2k3" => Self::Windows2003,
            "vista" => Self::Vista,
            _ => return None,
        })
    }

    /// Whether the bytes of a new segment replace those of an older one where both overlap.
    ///
    /// Segments are given as first offset and offset after the last.
    pub fn prefers_new(self, new: (u64, u64), old: (u64, u64)) -> bool {
        let covers_end = new.1 >= old.1;
        match self {
            Self::Last => true,
            Self::First | Self::Vista => false,
            Self::Solaris | Self::Hpux11 => match new.0.cmp(&old.0) {
                std::cmp::Ordering::Greater => new.1 > old.1,
                _ => covers_end,
            },
            Self::OldLinux => new.0 < old.0 || (new.0 == old.0 && covers_end),
            Self::Linux => new.0 < old.0 || (new.0 == old.0 && new.1 > old.1),
            Self::Bsd
            | Self::Hpux10
            | Self::Irix
            | Self::Windows
            | Self::Windows2003
            | Self::MacOs => new.0 < old.0,
        }
    }
}

/// Which host follows which policy: the longest prefix that contains the address.
#[derive(Clone, Debug, Default)]
pub struct HostPolicies {
    /// Network, prefix length, policy; longest prefixes first.
    networks: Vec<(IpAddr, u8, OsPolicy)>,
}

impl HostPolicies {
    /// Adds a network. A prefix longer than the address is taken as a host.
    pub fn add(&mut self, network: IpAddr, prefix: u8, policy: OsPolicy) {
        self.networks.push((network, prefix, policy));
        self.networks
            .sort_by_key(|(_, prefix, _)| std::cmp::Reverse(*prefix));
    }

    /// The policy of a receiver.
    pub fn of(&self, receiver: IpAddr) -> OsPolicy {
        let within = |(network, prefix, _): &&(IpAddr, u8, OsPolicy)| match (network, receiver) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32 - u32::from((*prefix).min(32));
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from((*prefix).min(128));
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        };
        self.networks
            .iter()
            .find(within)
            .map(|(_, _, policy)| *policy)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_names_the_policy() {
        let mut hosts = HostPolicies::default();
        hosts.add([10, 0, 0, 0].into(), 8, OsPolicy::Windows);
        hosts.add([10, 1, 0, 0].into(), 16, OsPolicy::Linux);
        hosts.add([0, 0, 0, 0].into(), 0, OsPolicy::Last);
        assert_eq!(hosts.of([10, 1, 2, 3].into()), OsPolicy::Linux);
        assert_eq!(hosts.of([10, 2, 2, 3].into()), OsPolicy::Windows);
        assert_eq!(hosts.of([192, 0, 2, 1].into()), OsPolicy::Last);
        assert_eq!(
            hosts.of(std::net::Ipv6Addr::LOCALHOST.into()),
            OsPolicy::Bsd
        );
    }

    #[test]
    fn policies_differ_where_systems_do() {
        let (before, same, after) = ((0, 10), (5, 15), (7, 20));
        let old = (5, 15);
        assert!(OsPolicy::Bsd.prefers_new(before, old) && !OsPolicy::Bsd.prefers_new(same, old));
        assert!(
            OsPolicy::OldLinux.prefers_new(same, old) && !OsPolicy::Linux.prefers_new(same, old)
        );
        assert!(OsPolicy::Linux.prefers_new((5, 16), old));
        assert!(
            OsPolicy::Solaris.prefers_new(after, old)
                && !OsPolicy::Solaris.prefers_new(before, old)
        );
        assert!(
            OsPolicy::Last.prefers_new(after, old) && !OsPolicy::First.prefers_new(before, old)
        );
    }
}
