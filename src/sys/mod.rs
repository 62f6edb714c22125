//! The kernel and C libraries, behind safe types. The only unsafe code besides `ring`.
#![expect(
    unsafe_code,
    reason = "system calls and C libraries; each use names its invariants"
)]

pub mod hs;
mod memory;
pub mod pcre;
mod process;

pub use memory::{map_file, release_mapped};
pub use process::{Usage, usage};
