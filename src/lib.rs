//! sekisho: an inline network sensor (IDS and IPS) for ordinary Linux machines.
//!
//! ```text
//!  capture ─▶ decode ─▶ flow ─▶ stream ─▶ app ─▶ rules/detect ─▶ grade ─▶ sink
//!     │                                              ▲
//!     └── batches over SPSC rings ──▶ workers ───────┘
//! ```
//!
//! Modules are declared in the order in which data flows.
//! **A module names only modules declared above it**; `tests/house.rs` checks this, since the compiler does not.
//! The core (`decode` … `grade`) does no I/O, reads no clock and starts no thread: time arrives in the packet.

pub mod packet;

pub mod alert;

pub mod stats;

pub mod sys;

pub mod ring;

pub mod capture;

pub mod decode;

pub mod flow;

pub mod stream;

pub mod app;

pub mod rules;

pub mod detect;

pub mod asset;

pub mod grade;

pub mod sink;

pub mod config;

pub mod pipeline;

/// Unit tests count the heap as the program does.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: sys::heap::Counting = sys::heap::Counting;
