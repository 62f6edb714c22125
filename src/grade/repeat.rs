//! Repeats of a signature: the same rule, attacker and victim within ten minutes are one incident with a stable identity.
//! Every alert stays in the log; people group by the incident.
//!
//! Limits: [`INCIDENTS`] incidents, the one not seen for longest gives way.

use std::net::IpAddr;

use crate::detect::anomaly::table::{SetTable, Worth};
use crate::packet::Timestamp;
use crate::stats::MemoryBound;

/// Incidents kept.
pub const INCIDENTS: usize = 8_192;
/// Quiet seconds after which it is another incident.
const QUIET_SECS: u64 = 600;

#[derive(Clone, Copy, Debug)]
struct Repeat {
    since: Timestamp,
    last: Timestamp,
}

impl Worth for Repeat {
    fn worth(&self) -> u64 {
        self.last.0
    }
}

/// See the module.
#[derive(Debug)]
pub struct Repeats {
    table: SetTable<(u32, IpAddr, IpAddr), Repeat>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self {
            table: SetTable::new(INCIDENTS),
        }
    }
}

impl Repeats {
    /// What it takes at most.
    pub fn bound(&self) -> MemoryBound {
        self.table.memory().of("signature incidents")
    }

    /// The incident of an alert: a number that depends on rule, attacker, victim and when it began, and nothing else.
    pub fn incident(&mut self, sid: u32, attacker: IpAddr, victim: IpAddr, at: Timestamp) -> u64 {
        let fresh = Repeat {
            since: at,
            last: at,
        };
        let Some(repeat) = self.table.entry((sid, attacker, victim), || fresh) else {
            return 0;
        };
        if at.secs_since(repeat.last) > QUIET_SECS {
            *repeat = fresh;
        }
        repeat.last = repeat.last.max(at);
        // FNV-1a.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        mix(&sid.to_be_bytes());
        for address in [attacker, victim] {
            match address {
                IpAddr::V4(a) => mix(&a.octets()),
                IpAddr::V6(a) => mix(&a.octets()),
            }
        }
        mix(&repeat.since.0.to_be_bytes());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_share_an_incident_until_it_is_quiet() {
        let mut repeats = Repeats::default();
        let (a, v) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let mut at = |sid, secs| repeats.incident(sid, a, v, Timestamp::new(secs, 0));
        let first = at(7, 100);
        assert_eq!(at(7, 600), first);
        assert_eq!(at(7, 1_100), first);
        assert_ne!(at(8, 1_100), first);
        assert_ne!(at(7, 9_000), first);
    }
}
