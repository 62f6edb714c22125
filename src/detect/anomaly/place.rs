//! Where something happens, as far as behaviour depends on it: the segment's role, which end is ours, declared roles of
//! hosts; and thresholds that differ by the segment's role.
//!
//! The segments themselves are grading's; it implements [`Places`].

use std::net::IpAddr;

use crate::packet::FlowKey;

/// Where a segment lies: what an attack seen there means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Outside the firewall: attempts are the weather.
    Edge,
    /// Servers that the outside may reach.
    #[default]
    Dmz,
    /// Inside.
    Intranet,
}

impl Role {
    /// Its name in configuration and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Dmz => "dmz",
            Self::Intranet => "intranet",
        }
    }
}

/// What a host is for: behaviour that is an attack elsewhere is a duty here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostRole {
    /// Looks for holes on our behalf.
    Scanner,
    /// Asks hosts whether they live: monitoring, inventory, load balancers.
    Monitor,
    /// Resolves names for others.
    Resolver,
    /// Carries mail.
    Mail,
    /// Speaks for many clients: proxy, NAT, VPN concentrator.
    Proxy,
    /// Copies much data: backup, replication.
    Backup,
    /// Router or gateway.
    Router,
    /// Lends addresses.
    Dhcp,
}

impl HostRole {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Scanner,
        Self::Monitor,
        Self::Resolver,
        Self::Mail,
        Self::Proxy,
        Self::Backup,
        Self::Router,
        Self::Dhcp,
    ];

    /// Its name in configuration and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::Monitor => "monitor",
            Self::Resolver => "resolver",
            Self::Mail => "mail",
            Self::Proxy => "proxy",
            Self::Backup => "backup",
            Self::Router => "router",
            Self::Dhcp => "dhcp",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == name)
    }
}

/// Where a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Role of the segment.
    pub role: Role,
    /// Whether the client is one of ours.
    pub src_ours: bool,
    /// Whether the server is one of ours.
    pub dst_ours: bool,
    /// Whether any segment says which networks it holds: then what is not ours is not.
    pub declared: bool,
}

/// What is known of segments and hosts.
pub trait Places: std::fmt::Debug + Send {
    /// Where a flow is.
    fn place(&self, key: &FlowKey, interface: u16) -> Place;
    /// Whether a host has a role.
    fn has_role(&self, address: IpAddr, role: HostRole) -> bool;
    /// Whether any host is declared to have a role.
    fn declares(&self, role: HostRole) -> bool {
        let _ = role;
        false
    }
    /// Names of the segments whose networks hold client and server; [`super::matrix::OUTSIDE`] for who is not ours where
    /// segments are declared, empty for anybody else.
    fn segments(&self, key: &FlowKey) -> (&str, &str) {
        let _ = key;
        ("", "")
    }
}

/// Nothing declared: RFC 1918 and unique local addresses are ours, and the role is one for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Undeclared(pub Role);

impl Places for Undeclared {
    fn place(&self, key: &FlowKey, _: u16) -> Place {
        Place {
            role: self.0,
            src_ours: is_private(key.src),
            dst_ours: is_private(key.dst),
            declared: false,
        }
    }

    fn has_role(&self, _: IpAddr, _: HostRole) -> bool {
        false
    }
}

/// RFC 1918, RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_private(),
        IpAddr::V6(a) => a.is_unique_local(),
    }
}

/// Multicast, or limited broadcast.
pub fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_multicast() || a.is_broadcast(),
        IpAddr::V6(a) => a.is_multicast(),
    }
}

/// Never leaves its link or host.
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_loopback() || a.is_link_local() || a.is_unspecified(),
        IpAddr::V6(a) => a.is_loopback() || a.is_unicast_link_local() || a.is_unspecified(),
    }
}

/// A threshold by the role of the segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ByRole<T> {
    /// Outside the firewall.
    pub edge: T,
    /// DMZ.
    pub dmz: T,
    /// Inside.
    pub intranet: T,
}

impl<T: std::fmt::Debug> std::fmt::Debug for ByRole<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries([&self.edge, &self.dmz, &self.intranet])
            .finish()
    }
}

impl<T: Copy> ByRole<T> {
    /// For edge, DMZ and intranet, in that order.
    pub const fn new(edge: T, dmz: T, intranet: T) -> Self {
        Self {
            edge,
            dmz,
            intranet,
        }
    }

    /// The value for a role.
    pub const fn of(&self, role: Role) -> T {
        match role {
            Role::Edge => self.edge,
            Role::Dmz => self.dmz,
            Role::Intranet => self.intranet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_by_the_names_they_print() {
        for role in HostRole::ALL {
            assert_eq!(HostRole::from_name(role.as_str()), Some(*role));
        }
        assert_eq!(HostRole::from_name("nobody"), None);
        let limits = ByRole::new(3, 2, 1);
        assert_eq!((limits.of(Role::Edge), limits.of(Role::Intranet)), (3, 1));
    }
}
