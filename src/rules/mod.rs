//! The rule language: from rule text to [`Signature`]s.
//!
//! ```text
//! file ─▶ lexer: logical lines ─▶ parser: header, options ─▶ keyword/: one fn each ─▶ draft ─▶ finish ─▶ Signature
//!                                     │ variables, address, port      │ fields of app protocols   │ direction, kind, fast
//! ```
//!
//! Suricata's language, versions 8 and 9, with the Snort 2 forms its users still have. Nothing is silently ignored: what
//! is not understood is an error that names rule, file and line, and the other rules still load.
//!
//! Matching itself is `detect::signature`'s work. This module says *what* to match, as plain data.

mod address;
mod classification;
mod compare;
mod context;
mod country;
pub mod dataset;
mod document;
mod draft;
mod explain;
mod fast;
mod field_checks;
mod fields;
mod file_fields;
mod finish;
pub mod ir;
pub mod keyword;
mod lexer;
mod load;
mod names;
mod parser;
mod port;
mod ranges;
mod reputation;
mod signatures;
pub mod stored;
mod variables;

pub use address::addresses;
pub use classification::Classes;
pub use context::DataSettings;
pub use country::Countries;
pub use dataset::{Attached, Dataset, DatasetInfo, DatasetKind, DatasetSettings};
pub use document::document;
pub use explain::explain;
pub use fields::{FieldKeyword, Fields};
pub use ir::*;
pub use load::{LoadError, LoadSettings, RuleFiles, load, load_files, load_text, read_files};
pub use names::nearest;
pub use port::ports;
pub use reputation::{ReputationSettings, Reputations};
pub use signatures::Signatures;
pub use variables::Variables;
