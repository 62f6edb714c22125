//! Behaviour of hosts: small fixed records from the workers go in, findings come out. Never frames.
//!
//! Records of all workers are merged in packet order before a detector sees them, so that findings do not depend on the
//! number of workers. Time is the packets'. Memory is fixed at start.
//!
//! A detector is one file and one line in [`DETECTORS`].

mod engine;
mod port_scan;
pub mod record;
mod syn_flood;
mod table;

pub use engine::{AnomalyEngine, AnomalySettings, Report};
pub use port_scan::PortScanSettings;
pub use record::{HostRecord, RecordKind};
pub use syn_flood::SynFloodSettings;

use crate::alert::{Phenomenon, Threat};

/// Generator id of behavioural alerts.
pub const GID: u32 = 400;

/// What a detector is, for alerts and documentation (docs/alerts.md).
#[derive(Debug)]
pub struct DetectorInfo {
    /// Its name (`sekisho.detector`).
    pub name: &'static str,
    /// Its stable signature id under [`GID`].
    pub sid: u32,
    /// Text of its alerts.
    pub message: &'static str,
    /// Text of their category.
    pub category: &'static str,
    /// What happens.
    pub phenomenon: Phenomenon,
    /// What it threatens.
    pub threats: &'static [Threat],
    /// ATT&CK techniques.
    pub techniques: &'static [&'static str],
}

/// Index of [`DETECTORS`].
pub const SYN_FLOOD: u16 = 0;
/// Index of [`DETECTORS`].
pub const PORT_SCAN: u16 = 1;

/// All detectors.
pub static DETECTORS: &[DetectorInfo] = &[
    DetectorInfo {
        name: "syn_flood",
        sid: 1,
        message: "SEKISHO SYN flood: handshakes towards a service are not completed",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001", "T1499.001"],
    },
    DetectorInfo {
        name: "port_scan",
        sid: 8,
        message: "SEKISHO port scan: a host tries services it does not use",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1595.001", "T1046"],
    },
];
