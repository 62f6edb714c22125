//! The rule language: from rule text to [`Signature`]s.
//!
//! Suricata's language, versions 8 and 9, with the Snort 2 forms its users still have. Text → [`lexer`] → [`parser`]
//! (header, options) → one file per keyword group in `keyword/` → [`Signature`]. Nothing is silently ignored: what is not
//! understood is an error that names rule, file and line, and the other rules still load.
//!
//! Matching itself is `detect::signature`'s work. This module says *what* to match, as plain data.

pub mod ir;

pub use ir::*;
