//! Segments: where on the network something happens, and what that changes.
//!
//! A segment is chosen by interface, VLAN and subnet; its role, variables, rule changes and assets apply to what happens
//! in it. The first segment of the configuration that fits is taken; [`Segments::DEFAULT`] when none does.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::exceptions::Exceptions;
use super::level::Role;
use crate::alert::Level;
use crate::detect::anomaly::matrix::OUTSIDE;
use crate::detect::anomaly::place::{HostRole, Place, Places};
use crate::packet::FlowKey;
use crate::rules::Threshold;

/// An address range written as `10.0.0.0/8`, `2001:db8::/32` or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    bits: u8,
}

impl Subnet {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address
            .trim()
            .parse()
            .map_err(|_| format!("'{text}' is not an address or subnet"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .trim()
                .parse()
                .ok()
                .filter(|b| *b <= most)
                .ok_or_else(|| format!("'{text}': prefix must be 0 to {most}"))?,
        };
        Ok(Self { address, bits })
    }

    /// Whether it is all addresses of its family.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether it holds `address`.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        // The bits that differ, of those that count.
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(a)) => {
                let differs = net.to_bits() ^ a.to_bits();
                let shift = 32 - u32::from(self.bits);
                differs.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(a)) => {
                let differs = net.to_bits() ^ a.to_bits();
                let shift = 128 - u32::from(self.bits);
                differs.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// What a segment changes about rules.
#[derive(Clone, Debug, Default)]
pub struct RuleChanges {
    /// Signatures that do not alert here.
    pub disabled: Vec<u32>,
    /// Level given to a signature whatever the arithmetic says.
    pub levels: HashMap<u32, Level>,
    /// Threshold given to a signature.
    pub thresholds: HashMap<u32, Threshold>,
}

/// A segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Interfaces by name; empty: any.
    pub interfaces: Vec<String>,
    /// VLAN ids; empty: any.
    pub vlans: Vec<u16>,
    /// Subnets that are inside it; empty: any address belongs.
    pub subnets: Vec<Subnet>,
    /// Networks whose hosts are ours.
    pub home: Vec<Subnet>,
    /// Rule changes.
    pub changes: RuleChanges,
    /// Variables of rules that mean something else here (`HOME_NET` …), names without `$`.
    pub variables: BTreeMap<String, String>,
    /// Thresholds of detectors that differ here: key of the configuration, value, and where it was said.
    pub detectors: Vec<(String, toml::Value, String)>,
    /// What becomes of traffic that cannot be inspected (inline).
    pub exceptions: Exceptions,
}

impl Segment {
    /// Whether an address is one of ours.
    pub fn is_home(&self, address: IpAddr) -> bool {
        self.home.iter().any(|net| net.contains(address))
    }
}

/// A host or network with what is known of it.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Whom it is about.
    pub subnet: Subnet,
    /// Whether an incident there is worse than elsewhere.
    pub critical: bool,
    /// What it is for.
    pub roles: Vec<HostRole>,
}

/// All segments and assets.
#[derive(Clone, Debug)]
pub struct Segments {
    /// In the order of the configuration; the last one is the default.
    pub list: Vec<Segment>,
    /// Assets.
    pub assets: Vec<Asset>,
    /// Names of the source's interfaces, by number.
    pub interfaces: Vec<String>,
}

impl Default for Segments {
    fn default() -> Self {
        Self {
            list: vec![Segment::default()],
            assets: Vec::new(),
            interfaces: Vec::new(),
        }
    }
}

impl Default for Segment {
    /// Suricata's default HOME_NET, role dmz: neither outside nor inside is assumed.
    fn default() -> Self {
        let home = ["192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "fc00::/7"];
        Self {
            name: "default".to_owned(),
            role: Role::Dmz,
            interfaces: Vec::new(),
            vlans: Vec::new(),
            subnets: Vec::new(),
            home: home
                .iter()
                .filter_map(|net| Subnet::parse(net).ok())
                .collect(),
            changes: RuleChanges::default(),
            variables: BTreeMap::new(),
            detectors: Vec::new(),
            exceptions: Exceptions::default(),
        }
    }
}

impl Segments {
    /// The exception policies of each interface: those of the first segment that names it, else of the last one (the
    /// default).
    pub fn exceptions(&self) -> Vec<Exceptions> {
        let of = |name: &String| {
            self.list
                .iter()
                .find(|s| s.interfaces.contains(name))
                .or(self.list.last())
                .map_or(Exceptions::default(), |s| s.exceptions)
        };
        self.interfaces.iter().map(of).collect()
    }

    /// The segment of something between `victim` and `attacker` on an interface and VLAN.
    pub fn of(
        &self,
        interface: u16,
        vlan: u16,
        victim: IpAddr,
        attacker: IpAddr,
    ) -> Option<&Segment> {
        self.list.get(self.index(interface, vlan, victim, attacker))
    }

    /// Its index in [`Segments::list`]: the victim's segment, else the attacker's, else the first that takes any address.
    pub fn index(&self, interface: u16, vlan: u16, victim: IpAddr, attacker: IpAddr) -> usize {
        if self.list.len() <= 1 {
            return 0;
        }
        let name = self
            .interfaces
            .get(usize::from(interface))
            .map(String::as_str);
        let placed = |s: &Segment| {
            (s.interfaces.is_empty() || name.is_some_and(|n| s.interfaces.iter().any(|i| i == n)))
                && (s.vlans.is_empty() || s.vlans.contains(&vlan))
        };
        let holds = |s: &Segment, a: IpAddr| s.subnets.iter().any(|net| net.contains(a));
        let mut victims = None;
        let mut attackers = None;
        let mut any = None;
        for (at, segment) in self.list.iter().enumerate().filter(|(_, s)| placed(s)) {
            if victims.is_none() && holds(segment, victim) {
                victims = Some(at);
            }
            if attackers.is_none() && holds(segment, attacker) {
                attackers = Some(at);
            }
            if any.is_none() && segment.subnets.is_empty() {
                any = Some(at);
            }
        }
        victims
            .or(attackers)
            .or(any)
            .unwrap_or(self.list.len().saturating_sub(1))
    }

    /// The name of the first segment whose networks hold an address.
    fn name_of(&self, address: IpAddr) -> Option<&str> {
        let holds = |s: &&Segment| s.subnets.iter().any(|net| net.contains(address));
        self.list.iter().find(holds).map(|s| s.name.as_str())
    }

    /// Whether an address is a critical asset.
    pub fn is_critical(&self, address: IpAddr) -> bool {
        self.assets
            .iter()
            .any(|asset| asset.critical && asset.subnet.contains(address))
    }
}

/// [`Segments`] as detectors ask them, for each SYN of a flood: whose networks are ours is worked out beforehand.
#[derive(Debug)]
pub struct Ground {
    segments: Segments,
    /// Networks of ours, each once: network and mask.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    declared: bool,
}

impl Ground {
    /// Of segments as they are now.
    pub fn new(segments: Segments) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in segments.list.iter().flat_map(|s| &s.home) {
            let bits = u32::from(net.bits);
            match net.address {
                IpAddr::V4(a) => {
                    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                    v4.push((a.to_bits() & mask, mask));
                }
                IpAddr::V6(a) => {
                    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                    v6.push((a.to_bits() & mask, mask));
                }
            }
        }
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Self {
            declared: segments.list.iter().any(|s| !s.subnets.is_empty()),
            segments,
            v4,
            v6,
        }
    }

    fn is_ours(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => {
                let bits = a.to_bits();
                self.v4.iter().any(|(net, mask)| bits & mask == *net)
            }
            IpAddr::V6(a) => {
                let bits = a.to_bits();
                self.v6.iter().any(|(net, mask)| bits & mask == *net)
            }
        }
    }
}

impl Places for Ground {
    fn place(&self, key: &FlowKey, interface: u16) -> Place {
        let segment = self.segments.of(interface, key.vlan[0], key.dst, key.src);
        Place {
            role: segment.map_or(Role::Dmz, |s| s.role),
            src_ours: self.is_ours(key.src),
            dst_ours: self.is_ours(key.dst),
            declared: self.declared,
        }
    }

    fn has_role(&self, address: IpAddr, role: HostRole) -> bool {
        self.segments.has_role(address, role)
    }

    fn declares(&self, role: HostRole) -> bool {
        self.segments.declares(role)
    }

    fn segments(&self, key: &FlowKey) -> (&str, &str) {
        self.segments.segments(key)
    }
}

impl Places for Segments {
    fn place(&self, key: &FlowKey, interface: u16) -> Place {
        let segment = self.of(interface, key.vlan[0], key.dst, key.src);
        let ours = |address| self.list.iter().any(|s| s.is_home(address));
        Place {
            role: segment.map_or(Role::Dmz, |s| s.role),
            src_ours: ours(key.src),
            dst_ours: ours(key.dst),
            declared: self.list.iter().any(|s| !s.subnets.is_empty()),
        }
    }

    fn has_role(&self, address: IpAddr, role: HostRole) -> bool {
        self.assets
            .iter()
            .any(|asset| asset.roles.contains(&role) && asset.subnet.contains(address))
    }

    fn declares(&self, role: HostRole) -> bool {
        self.assets.iter().any(|asset| asset.roles.contains(&role))
    }

    fn segments(&self, key: &FlowKey) -> (&str, &str) {
        if self.list.iter().all(|s| s.subnets.is_empty()) {
            return ("", "");
        }
        let of = |address: IpAddr| match self.name_of(address) {
            Some(name) => name,
            None if self.list.iter().any(|s| s.is_home(address)) => "",
            None => OUTSIDE,
        };
        (of(key.src), of(key.dst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ground_is_what_the_segments_say() {
        let net = |text: &str| Subnet::parse(text).expect("net");
        let segment = |subnets: &[&str], home: &[&str]| Segment {
            subnets: subnets.iter().map(|n| net(n)).collect(),
            home: home.iter().map(|n| net(n)).collect(),
            ..Segment::default()
        };
        for list in [
            vec![Segment::default()],
            vec![
                segment(
                    &["10.1.0.0/16"],
                    &["10.1.0.0/16", "192.0.2.7", "2001:db8::/33"],
                ),
                segment(&[], &["10.1.0.0/24", "2001:db8:ffff::/48"]),
            ],
            vec![segment(&[], &["0.0.0.0/0"])],
            vec![segment(&[], &["::/0"])],
            vec![segment(&[], &[])],
        ] {
            let segments = Segments {
                list,
                ..Segments::default()
            };
            let ground = Ground::new(segments.clone());
            let mut addresses: Vec<IpAddr> = (0..2_000u32)
                .map(|i| i.wrapping_mul(0x9e37_79b9).to_be_bytes().into())
                .collect();
            for text in [
                "10.1.0.5",
                "10.1.2.5",
                "192.0.2.7",
                "2001:db8::1",
                "2001:db8:ffff::1",
            ] {
                addresses.push(text.parse().expect("address"));
            }
            for pair in addresses.windows(2) {
                let key = FlowKey {
                    src: pair[0],
                    dst: pair[1],
                    ..FlowKey::default()
                };
                assert_eq!(ground.place(&key, 0), segments.place(&key, 0), "{key:?}");
            }
        }
    }

    #[test]
    fn the_victims_subnet_decides_before_the_attackers() {
        let segment = |name: &str, net: &str| Segment {
            name: name.to_owned(),
            subnets: vec![Subnet::parse(net).expect("net")],
            ..Segment::default()
        };
        let segments = Segments {
            list: vec![
                segment("lan", "10.1.0.0/16"),
                segment("dmz", "10.2.0.0/16"),
                Segment::default(),
            ],
            ..Segments::default()
        };
        let of = |v: [u8; 4], a: [u8; 4]| {
            segments
                .of(0, 0, IpAddr::from(v), IpAddr::from(a))
                .map(|s| s.name.clone())
        };
        assert_eq!(of([10, 2, 0, 1], [10, 1, 0, 1]).as_deref(), Some("dmz"));
        assert_eq!(of([8, 8, 8, 8], [10, 1, 0, 1]).as_deref(), Some("lan"));
        assert_eq!(of([8, 8, 8, 8], [9, 9, 9, 9]).as_deref(), Some("default"));
        let between = |src: [u8; 4], dst: [u8; 4]| {
            let key = FlowKey {
                src: src.into(),
                dst: dst.into(),
                ..FlowKey::default()
            };
            segments.segments(&key)
        };
        assert_eq!(between([10, 1, 0, 1], [10, 2, 0, 1]), ("lan", "dmz"));
        assert_eq!(between([8, 8, 8, 8], [10, 2, 0, 1]), ("outside", "dmz"));
        assert_eq!(between([10, 9, 0, 1], [8, 8, 8, 8]), ("", "outside"));
        assert!(Subnet::parse("10.0.0.0/33").is_err());
        assert!(Subnet::parse("0.0.0.0/0").is_ok_and(|n| n.contains(IpAddr::from([1, 2, 3, 4]))));
    }
}
