//! Behaviour of hosts: small fixed records from the workers go in, findings come out. Never frames.
//!
//! Records of all workers are merged in packet order before a detector sees them, so that findings do not depend on the
//! number of workers. Time is the packets'. Memory is fixed at start.

pub mod record;

pub use record::{HostRecord, RecordKind};
