//! What becomes of traffic that cannot be inspected, by segment: exception policies.

use crate::stream::ExceptionPolicy;

/// What is done with a packet that cannot be inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnException {
    /// It goes on (fail open).
    #[default]
    Pass,
    /// It does not (fail closed).
    Drop,
}

impl OnException {
    /// `pass` or `drop`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "pass" | "open" => Some(Self::Pass),
            "drop" | "closed" => Some(Self::Drop),
            _ => None,
        }
    }
}

/// The policies of a segment. All pass by default: a sensor that fails must not stop the business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// The workers do not keep up: a ring is full.
    pub ring_full: OnException,
    /// A worker is stuck or gone.
    pub worker_lost: OnException,
    /// The analysis of the packet failed.
    pub parser_error: OnException,
    /// The sensor itself is gone: what the guardian does.
    pub process_lost: OnException,
    /// A session is picked up in the middle; none: as `stream.midstream-policy` says.
    pub midstream: Option<ExceptionPolicy>,
    /// No memory for a flow or for its bytes; none: as `flow.memcap-policy` and `stream.reassembly.memcap-policy` say.
    pub memcap: Option<ExceptionPolicy>,
}
