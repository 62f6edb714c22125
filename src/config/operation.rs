//! How a running sensor is looked after: control socket, metrics, statistics.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::services::ServiceText;
use crate::sink::evidence::EvidenceSettings;

/// Where the control socket is unless configured otherwise.
pub const SOCKET: &str = "/run/sekisho/control.sock";

/// See the module.
#[derive(Clone, Debug)]
pub struct OperationSettings {
    /// The control socket; empty: none.
    pub socket: PathBuf,
    /// Port of the metrics page; 0: none.
    pub metrics_port: u16,
    /// Address it listens on.
    pub metrics_address: IpAddr,
    /// Seconds between EVE `stats` events; 0: none.
    pub stats_secs: u32,
    /// Seconds between two signs of life to the SOC; 0: none.
    pub heartbeat_secs: u32,
    /// Packets of alerts.
    pub evidence: EvidenceSettings,
    /// Share of packets lost, 0..=1, over which it is device trouble.
    pub loss_share: f64,
    /// Whether privileges are given up once the sockets are open.
    pub confine: bool,
    /// Services asked whether they answer.
    pub services: Vec<ServiceText>,
}

impl Default for OperationSettings {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(SOCKET),
            metrics_port: 0,
            metrics_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            stats_secs: 30,
            heartbeat_secs: 60,
            evidence: EvidenceSettings::default(),
            loss_share: 0.01,
            confine: true,
            services: Vec::new(),
        }
    }
}
