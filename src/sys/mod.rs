//! The kernel and C libraries, behind safe types. The only unsafe code besides `ring`.
#![expect(
    unsafe_code,
    reason = "system calls and C libraries; each use names its invariants"
)]

pub mod af_packet;
pub mod af_xdp;
pub mod bpf;
pub mod heap;
pub mod hs;
pub mod interface;
pub mod libmagic;
mod libpcap;
mod memory;
pub mod netlink;
mod notify;
pub mod numa;
pub mod pcre;
mod process;
pub mod sandbox;
mod signal;
mod socket;
mod word_sum;

pub use libpcap::{PcapDevice, PcapOptions, compile_filter};
pub use memory::{give_memory_back, map_file, prefetch, release_mapped, thread_cpu_ns};
pub use notify::{Notify, relayed};
pub use process::{Usage, stand_before, usage};
pub use signal::{Signal, Signals, send_signal};
pub use socket::{EventFd, echo_socket, interface_index, pin_thread, wait_readable};
pub use word_sum::word_sum;
