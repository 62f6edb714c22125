//! From findings to graded alerts: thresholds, outcome, level.

pub mod level;
pub mod threshold;
pub mod xbit;
