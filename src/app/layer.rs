//! The application layer of one flow: identification, the session, and what becomes of it.

use super::{AppProto, Session};

/// Application-layer state of one flow.
#[derive(Debug)]
pub struct AppLayer {
    /// What the flow speaks.
    pub proto: AppProto,
    /// What each direction was identified as (they may differ: `applayer_mismatch_protocol_both_directions`).
    pub seen: [AppProto; 2],
    /// What it spoke before a switch (EVE `app_proto_orig`).
    pub original: Option<AppProto>,
    /// What was expected before identification (EVE `app_proto_expected`).
    pub expected: Option<AppProto>,
    /// The parser.
    pub session: Option<Box<dyn Session>>,
    /// Flow-wide `applayer_*` events not yet logged or inspected.
    pub events: Vec<&'static str>,
}

impl Default for AppLayer {
    fn default() -> Self {
        Self {
            proto: AppProto::UNKNOWN,
            seen: [AppProto::UNKNOWN; 2],
            original: None,
            expected: None,
            session: None,
            events: Vec::new(),
        }
    }
}
