//! Counters: plain integers with one owner each, added up by whoever reports.

/// Bytes a table, queue or buffer may take at most; the sum is printed at start and never exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// What it is, e.g. `flow table`.
    pub what: &'static str,
    /// Bytes.
    pub bytes: u64,
}
