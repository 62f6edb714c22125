//! ICMP tunnels (detectors.md D14): an echo reply must return what the request carried.
//!
//! Per pair of hosts, the last requests are remembered by sequence number; a reply to one of them with another payload is
//! a mismatch. Alarm at five mismatches that are at least half of the pairs; or at many distinct lengths of large
//! payloads, which no ping has.
//! What is *not* a tunnel: replies without a request in view; path MTU probes (lengths, but echoed faithfully).
//! Memory: fixed, one record per pair. The workers send the first 256 echoes of a flow only.

use std::net::IpAddr;

use super::ICMP_TUNNEL;
use super::detector::plain_detector;
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IcmpTunnelSettings {
    /// Replies that differ from their requests. Default 5 (detectors.md D14).
    pub mismatches_min: u32,
    /// Pairs of hosts watched. Default 4,096.
    pub pairs: usize,
    /// Quiet seconds after which an incident closes. Default 900.
    pub off_secs: u32,
}

impl Default for IcmpTunnelSettings {
    fn default() -> Self {
        Self {
            mismatches_min: 5,
            pairs: 4_096,
            off_secs: 900,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Pair {
    requests: [Option<(u16, u64)>; 8],
    next: usize,
    pairs: u32,
    mismatches: u32,
    lengths: Bitmap256,
    bytes: u64,
    last: Timestamp,
    live: Live,
}

impl Entry for Pair {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.mismatches.min(0xffff)) << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct IcmpTunnel {
    settings: IcmpTunnelSettings,
    pairs: Watch<(IpAddr, IpAddr), Pair>,
}

plain_detector!(IcmpTunnel, |_, all| all.icmp_tunnel.clone(), Echo);

impl IcmpTunnel {
    /// Takes its memory.
    pub fn new(settings: IcmpTunnelSettings) -> Self {
        Self {
            pairs: Watch::new(ICMP_TUNNEL, settings.pairs),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.pairs.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::Echo {
            return;
        }
        let key = (record.key.src, record.key.dst);
        let Some(pair) = self.pairs.entry(key, Pair::default) else {
            return;
        };
        let (reply, len, seq) = (
            record.detail >> 31 == 1,
            record.detail >> 16 & 0x7fff,
            record.detail as u16,
        );
        pair.last = pair.last.max(record.ts);
        pair.bytes = pair.bytes.saturating_add(u64::from(len));
        pair.lengths
            .insert(endpoint_hash(record.key.src, len as u16));
        if reply {
            let asked = pair
                .requests
                .iter_mut()
                .find(|r| r.is_some_and(|(s, _)| s == seq));
            if let Some((_, sent)) = asked.and_then(Option::take) {
                pair.pairs += 1;
                pair.mismatches += u32::from(sent != record.value);
            }
        } else {
            let next = pair.next % pair.requests.len();
            if let Some(slot) = pair.requests.get_mut(next) {
                *slot = Some((seq, record.value));
            }
            pair.next = next + 1;
        }
        let differs =
            pair.mismatches >= self.settings.mismatches_min && pair.mismatches * 2 >= pair.pairs;
        if !differs {
            return;
        }
        let size = u64::from(pair.mismatches);
        self.pairs.alarm(
            key,
            record,
            (record.key, size),
            reports,
            Pair::default,
            |pair| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("mismatches", pair.mismatches)
                        .num("pairs", pair.pairs)
                        .num("lengths", pair.lengths.estimate())
                        .num("bytes", pair.bytes);
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.pairs
            .tick(now, self.settings.off_secs, reports, Pair::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::*;

    fn run(echoes: impl Iterator<Item = (bool, u16, u64)>) -> Vec<Report> {
        let mut tunnel = IcmpTunnel::new(IcmpTunnelSettings::default());
        let mut reports = Vec::new();
        for (i, (reply, seq, hash)) in echoes.enumerate() {
            let r = HostRecord {
                detail: u32::from(reply) << 31 | 64 << 16 | u32::from(seq),
                value: hash,
                ..record(RecordKind::Echo, 1, 1, 1, 0, i as u64 * 100)
            };
            tunnel.record(&r, &mut reports);
        }
        reports
    }

    #[test]
    fn replies_that_differ_from_their_requests_are_a_tunnel() {
        let echoes =
            (0..20u16).flat_map(|i| [(false, i, u64::from(i)), (true, i, u64::from(i) + 100)]);
        assert_eq!(run(echoes).len(), 1);
    }

    #[test]
    fn a_faithful_ping_and_replies_alone_are_none() {
        let ping = (0..200u16).flat_map(|i| [(false, i, u64::from(i)), (true, i, u64::from(i))]);
        assert!(run(ping).is_empty());
        assert!(run((0..200u16).map(|i| (true, i, u64::from(i)))).is_empty());
    }
}
