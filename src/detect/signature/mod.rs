//! Signature detection: prefilter → header → verify → flow state → verdict.
//!
//! ```text
//! RuleSet ──Engine::compile──▶ Engine (shared, read only) ──Engine::worker──▶ Inspector (one a thread)
//!
//! packet, stream window, transactions ──Inspector::inspect──▶ Hits in order, Verdict
//! ```
//!
//! One rare content of each signature goes into a multi-pattern database (libhs) by buffer and direction. A signature
//! whose content was seen, or that has none, is a *candidate*: its header is tested, then its flow state, then its
//! buffers, with the exact semantics of Suricata's content inspection. Signatures are looked at in Suricata's order
//! (action, flowbits writers before readers, priority, sid), so that a bit set by one is seen by the next.
//!
//! What is not decided here: thresholds, suppression and xbits (they need all workers; the report stage settles them in
//! packet order). A signature with xbits conditions gives a [`Hit`] when everything else holds.
//!
//! Limits: 3,000 steps a signature and buffer, [`ALERTS_MAX`] alerts a packet, match and depth limits for pcre, a bound on
//! the values of a multi-buffer. Each has a counter in [`InspectorStats`].

mod address_index;
mod base64;
mod bytes;
mod cache;
mod compiled;
mod cost;
mod datasets;
mod engine;
mod flow_rules;
mod flow_vars;
mod frame;
mod inspect;
mod order;
mod packet_test;
mod prefilter;
mod program;
mod replace;
mod sets;
mod situation;
mod starts;
mod stored;
mod succession;
#[cfg(test)]
mod tests;
pub mod threshold;
mod transform;
mod tx;
mod values;
mod verdict;
mod verify;
pub mod xbit;

pub use cost::RuleCost;
pub use datasets::Datasets;
pub use engine::{CompileReport, Engine, EngineError, EngineSettings, SegmentView};
pub use flow_rules::{FlowAction, FlowRules};
pub use flow_vars::{Captured, FlowVars};
pub use inspect::{Hit, HitPlace, Inspection, Inspector, InspectorStats, StreamView};
pub use replace::{Replacement, replacements};
pub use verify::Noted;

/// Alerts that one packet may raise (Suricata's `packet-alert-max`).
pub const ALERTS_MAX: usize = 15;
