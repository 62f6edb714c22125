//! What the fuzzer drives; see README.md.

pub mod entries;
