//! How far away sources are: the hop counts that proven handshakes of a network showed, and whether a packet that claims
//! to come from there came as far (hop-count filtering; Jin, Wang, Shin, CCS 2003; detectors.md D17).
//!
//! A sender chooses its address but not the routers on its way. Per /24 (IPv6: /48): the least and the greatest number of
//! hops of completed handshakes. A packet contradicts when it came [`SLACK`] hops nearer or farther than any of them.
//! It is a hint and never an alert: routes change, hosts of one network start from different hop limits, and who knows the
//! distance may choose a fitting hop limit. It explains a flood as forged, and takes trust from a source that proved itself
//! before.
//! Limits: a network is known from [`HANDSHAKES_MIN`] handshakes on; the hop limit a host starts from is taken to be the
//! next of 32, 64, 128 and 255.
//! Memory: fixed, one record per network.

use std::net::IpAddr;

use super::record::HostRecord;
use super::table::{SetTable, Worth};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Networks known.
const NETWORKS: usize = 16_384;
/// Handshakes from which a network is known.
const HANDSHAKES_MIN: u8 = 3;
/// Hops that a route may change by (Jin et al. take one to two).
const SLACK: u8 = 2;

/// What is known of a network.
#[derive(Clone, Copy, Debug, Default)]
struct Distance {
    least: u8,
    most: u8,
    handshakes: u8,
    last: Timestamp,
}

impl Worth for Distance {
    /// Known networks stay, an hour longer for each handshake.
    fn worth(&self) -> u64 {
        self.last.secs() + u64::from(self.handshakes) * 3_600
    }
}

/// How a packet compares with what is known of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Too few handshakes of the network were seen.
    Unknown,
    /// It came as far as they did.
    Fits,
    /// It came from nearer or farther.
    Contradicts,
}

/// See the module.
#[derive(Debug)]
pub struct Hops {
    networks: SetTable<u64, Distance>,
}

impl Default for Hops {
    fn default() -> Self {
        Self {
            networks: SetTable::new(NETWORKS),
        }
    }
}

impl Hops {
    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.networks.memory()
    }

    /// Learns from a handshake that proves its source.
    pub fn learn(&mut self, record: &HostRecord) {
        let (true, Some(hops)) = (record.proves_source(), hops(record.client_ttl())) else {
            return;
        };
        let fresh = || Distance {
            least: hops,
            most: hops,
            ..Distance::default()
        };
        if let Some(known) = self.networks.entry(network(record.key.src), fresh) {
            known.least = known.least.min(hops);
            known.most = known.most.max(hops);
            known.handshakes = known.handshakes.saturating_add(1);
            known.last = record.ts;
        }
    }

    /// Whether a packet with this TTL fits the network it claims to come from.
    pub fn judge(&self, source: IpAddr, ttl: u8) -> Fit {
        let (Some(known), Some(hops)) = (self.networks.peek(&network(source)), hops(ttl)) else {
            return Fit::Unknown;
        };
        if known.handshakes < HANDSHAKES_MIN {
            return Fit::Unknown;
        }
        let near = known.least.saturating_sub(SLACK);
        let far = known.most.saturating_add(SLACK);
        if (near..=far).contains(&hops) {
            Fit::Fits
        } else {
            Fit::Contradicts
        }
    }
}

/// Hops that a packet has taken; nothing for a TTL of 0, which stands for one that was not seen.
fn hops(ttl: u8) -> Option<u8> {
    let began = [32u8, 64, 128, 255];
    began
        .into_iter()
        .find(|at| *at >= ttl)
        .filter(|_| ttl > 0)
        .map(|at| at - ttl)
}

/// The /24 or /48 of an address.
fn network(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(a) => u64::from(a.to_bits() >> 8),
        IpAddr::V6(a) => (a.to_bits() >> 80) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::super::record::RecordKind;
    use super::*;

    fn handshake(src: u32, ttl: u8, unproven: u32) -> HostRecord {
        HostRecord {
            detail: u32::from(ttl) << 8 | unproven,
            ..record(RecordKind::Established, 6, src, 1, 80, u64::from(src))
        }
    }

    #[test]
    fn a_network_is_as_far_as_its_handshakes_showed() {
        let mut known = Hops::default();
        let source = IpAddr::from([10, 0, 0, 77]);
        for (host, ttl) in [(1, 52), (2, 116), (3, 53)] {
            assert_eq!(known.judge(source, 52), Fit::Unknown);
            known.learn(&handshake(host, ttl, 0));
        }
        // Eleven and twelve hops, whatever a host starts from.
        for ttl in [52, 53, 50, 55, 117, 243] {
            assert_eq!(known.judge(source, ttl), Fit::Fits, "{ttl}");
        }
        for ttl in [64, 128, 40, 255, 90, 31] {
            assert_eq!(known.judge(source, ttl), Fit::Contradicts, "{ttl}");
        }
        assert_eq!(known.judge(source, 0), Fit::Unknown);
        assert_eq!(known.judge(IpAddr::from([10, 0, 1, 1]), 64), Fit::Unknown);
    }

    #[test]
    fn what_proves_no_source_teaches_nothing() {
        let mut known = Hops::default();
        for host in 1..100 {
            known.learn(&handshake(host, 64, 1));
            known.learn(&record(RecordKind::Opened, 6, host, 1, 80, 0));
        }
        assert_eq!(known.judge(IpAddr::from([10, 0, 0, 1]), 64), Fit::Unknown);
    }

    #[test]
    fn networks_without_end_take_no_more_memory() {
        let mut known = Hops::default();
        let bytes = known.memory().bytes;
        for host in 0..100u32 {
            known.learn(&handshake(host % 200, 52, 0));
        }
        for i in 0..300_000u32 {
            known.learn(&handshake(i << 8 & 0xff_ffff, 64, 0));
        }
        assert_eq!(known.memory().bytes, bytes);
    }
}
