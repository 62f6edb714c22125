//! A host and its services.

use super::software::{Product, Version};
use crate::detect::anomaly::FirstBytes;
use crate::detect::anomaly::table::{Bitmap256, Worth};
use crate::packet::Timestamp;

/// Services kept of a host.
pub const SERVICES_MAX: usize = 12;

/// What a port does, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It was asked and said nothing.
    #[default]
    Silent,
    /// It refuses.
    Refused,
    /// It answers.
    Listening,
}

impl Status {
    /// Its name in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Listening => "listening",
        }
    }
}

/// A service of a host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Service {
    /// IP protocol; 0: an empty place.
    pub proto: u8,
    /// Port.
    pub port: u16,
    /// What it does.
    pub status: Status,
    /// What it says it is.
    pub product: Product,
    /// Which version.
    pub version: Version,
    /// What its first bytes look like.
    pub looks: FirstBytes,
    /// When it last did what `status` says.
    pub seen: Timestamp,
    /// Connections it accepted.
    pub accepted: u32,
    /// Distinct clients.
    pub clients: Bitmap256,
}

/// A host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    /// Whether it is one of ours.
    pub ours: bool,
    /// First and last time it did something.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
    pub(super) services: [Service; SERVICES_MAX],
    /// TTL of its packets here: lowest and highest; 0: not seen.
    pub ttl: (u8, u8),
    /// Connections it opened that were answered.
    pub opened: u32,
    /// Hosts it opened them to.
    pub peers: Bitmap256,
    /// Mail servers it opened them to.
    pub mail_peers: Bitmap256,
    /// Hosts it asked over ICMP echo or SNMP that answered.
    pub watched: Bitmap256,
    /// Whether it opened a connection to a host that is not ours, and when first.
    pub outside_since: Option<Timestamp>,
    /// Bytes it sent or received in connections of more than [`BULK_BYTES`].
    pub bulk_bytes: u64,
    /// Hosts of those connections.
    pub bulk_peers: Bitmap256,
    /// Scans it was seen to make, and the first of them.
    pub scans: (u32, Timestamp),
}

/// A connection of so many bytes is bulk: 64 MiB.
pub const BULK_BYTES: u64 = 64 << 20;

impl Worth for Host {
    fn worth(&self) -> u64 {
        let serves = self.services().any(|s| s.status == Status::Listening);
        u64::from(self.ours) << 62 | u64::from(serves) << 61 | (self.last.secs() & ((1 << 60) - 1))
    }
}

impl Host {
    /// Its services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|s| s.proto != 0)
    }

    /// A service of it.
    pub fn service(&self, proto: u8, port: u16) -> Option<&Service> {
        self.services().find(|s| s.proto == proto && s.port == port)
    }

    /// A service to write to; a new one takes an empty place, else that of a port that does not listen, else of the
    /// least used one.
    pub fn service_mut(&mut self, proto: u8, port: u16) -> Option<&mut Service> {
        let found = self
            .services
            .iter()
            .position(|s| s.proto == proto && s.port == port);
        if let Some(at) = found {
            return self.services.get_mut(at);
        }
        let worth = |s: &Service| {
            (
                s.proto != 0,
                s.status == Status::Listening,
                s.accepted,
                s.seen,
            )
        };
        let slot = self.services.iter_mut().min_by_key(|s| worth(s))?;
        *slot = Service {
            proto,
            port,
            ..Service::default()
        };
        Some(slot)
    }

    /// Whether it listens on a port.
    pub fn listens(&self, proto: u8, port: u16) -> bool {
        self.service(proto, port)
            .is_some_and(|s| s.status == Status::Listening)
    }

    /// Distinct clients of a service.
    pub fn clients(&self, proto: u8, port: u16) -> u32 {
        self.service(proto, port)
            .map_or(0, |s| s.clients.estimate())
    }

    /// What system it runs, as far as its packets and banners say; empty when they say nothing. Initial TTLs are 64
    /// (Unix), 128 (Windows) and 255 (network devices), less the hops on the way.
    pub fn system(&self) -> &'static str {
        let said = self
            .services()
            .map(|s| s.product.os())
            .find(|os| !os.is_empty());
        said.unwrap_or(match self.ttl.1 {
            0 => "",
            1..=64 => "Unix-like",
            65..=128 => "Windows",
            _ => "network device",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_of_all_ports_does_not_push_out_services_that_live() {
        let mut host = Host::default();
        for port in [22, 80, 443] {
            let service = host.service_mut(6, port).expect("room");
            (service.status, service.accepted) = (Status::Listening, 1);
        }
        for port in 1..=1_000 {
            if let Some(service) = host.service_mut(6, port)
                && service.status != Status::Listening
            {
                service.status = Status::Refused;
            }
        }
        assert!([22, 80, 443].iter().all(|p| host.listens(6, *p)));
        assert_eq!(host.services().count(), SERVICES_MAX);
        assert_eq!(host.system(), "");
        host.ttl = (57, 57);
        assert_eq!(host.system(), "Unix-like");
        host.service_mut(6, 80).expect("it").product = Product::Iis;
        assert_eq!(host.system(), "Windows");
    }
}
