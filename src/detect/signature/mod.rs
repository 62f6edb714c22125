//! Signature detection: prefilter → verify → flow state.
