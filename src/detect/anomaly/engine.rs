//! The anomaly worker's work: records in packet order through every detector.

use std::net::IpAddr;

use super::port_scan::{PortScan, PortScanSettings};
use super::record::HostRecord;
use super::syn_flood::{SynFlood, SynFloodSettings};
use crate::alert::{Efficacy, Json};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::MemoryBound;

/// Settings of all detectors.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnomalySettings {
    /// Whether behaviour is watched at all.
    pub enabled: bool,
    /// SYN floods.
    pub syn_flood: SynFloodSettings,
    /// Port scans.
    pub port_scan: PortScanSettings,
}

impl Default for AnomalySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            syn_flood: SynFloodSettings::default(),
            port_scan: PortScanSettings::default(),
        }
    }
}

/// What a detector says.
#[derive(Clone, Debug)]
pub struct Report {
    /// Index of [`super::DETECTORS`].
    pub detector: u16,
    /// open, update or close.
    pub state: &'static str,
    /// Packet that showed it.
    pub number: u64,
    /// When.
    pub ts: Timestamp,
    /// From the attacker to the victim, as far as there is one of each.
    pub key: FlowKey,
    /// Input interface.
    pub interface: u16,
    /// 0..=1.
    pub confidence: f32,
    /// Whether it works.
    pub efficacy: Efficacy,
    /// Why.
    pub reason: &'static str,
    /// Whether the source address may be trusted.
    pub source_verified: bool,
    /// The incident.
    pub incident: u64,
    /// Members of the evidence object.
    pub evidence: Vec<u8>,
}

/// All detectors with their state.
#[derive(Debug)]
pub struct AnomalyEngine {
    syn_flood: SynFlood,
    port_scan: PortScan,
}

impl AnomalyEngine {
    /// Takes all the memory it will ever use.
    pub fn new(settings: &AnomalySettings) -> Self {
        Self {
            syn_flood: SynFlood::new(settings.syn_flood.clone()),
            port_scan: PortScan::new(settings.port_scan.clone()),
        }
    }

    /// Bounds of its tables.
    pub fn bounds(&self) -> Vec<MemoryBound> {
        vec![
            MemoryBound {
                what: "syn_flood services",
                bytes: self.syn_flood.bytes(),
            },
            MemoryBound {
                what: "port_scan sources",
                bytes: self.port_scan.bytes(),
            },
        ]
    }

    /// Takes the records of one batch, in packet order, and the time at its end; `last` when the capture ends with it.
    pub fn batch(
        &mut self,
        records: &[HostRecord],
        now: Timestamp,
        last: bool,
        reports: &mut Vec<Report>,
    ) {
        for record in records {
            self.syn_flood.record(record, reports);
            self.port_scan.record(record, &self.syn_flood, reports);
        }
        self.syn_flood.tick(now, last, reports);
        self.port_scan.tick(now, reports);
    }
}

/// A JSON writer over a new evidence buffer.
pub(super) fn evidence(write: impl FnOnce(&mut Json<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Json::new(&mut out));
    out
}

/// A stable number for an incident: what, who, when it began.
pub(super) fn incident(detector: u16, address: IpAddr, port: u16, since: Timestamp) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    mix(&detector.to_be_bytes());
    match address {
        IpAddr::V4(a) => mix(&a.octets()),
        IpAddr::V6(a) => mix(&a.octets()),
    }
    mix(&port.to_be_bytes());
    mix(&since.0.to_be_bytes());
    hash
}

/// The same hash over an endpoint, for bitmaps and sketches.
pub(super) fn endpoint_hash(address: IpAddr, port: u16) -> u64 {
    let hash = incident(0, address, port, Timestamp(0));
    hash ^ (hash >> 29)
}
