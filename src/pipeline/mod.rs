//! The wiring: stages on threads, rings between them. The stages do not know.
//!
//! ```text
//! fused      feeder → worker → anomaly → report                       one thread
//! live       lane 0..n ─rings─▶ worker 0..m ─rings─▶ report               see `live`
//! threaded   feeder ─ring─▶ worker 0..n ─ring─▶ report (merges by batch, anomaly in packet order)
//! ```
//!
//! Every worker receives every batch, and answers every batch: the report stage takes the answers of all workers to one
//! batch together, in packet order, so that what comes out does not depend on their number.

pub mod control;
pub mod evidence;
mod feeder;
pub mod health;
mod host_records;
mod link_records;
pub mod live;
mod merge;
mod outlet;
mod replay;
mod report;
mod signature_worker;
mod stage_clock;
mod tags;
mod thresholds;

pub use feeder::{Feeder, FeederStats};
pub use outlet::{HEARTBEAT, SyslogOutlet};
pub use replay::{ReplayOptions, ReplaySummary, bounds, replay};
pub use report::{ReportStage, Said};
pub use signature_worker::{SignatureWorker, WorkerSettings, WorkerStats};
pub use stage_clock::{Stage, StageCosts};
pub use thresholds::Thresholds;
