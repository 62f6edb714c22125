//! What is done when a flow cannot be handled as usual, and which flows it was done to (`flow.exception_policy`).
//!
//! Only names and notes: the stages that meet the exception carry the policy out.

/// What to do with a flow or packet that cannot be handled as usual (`stream.midstream-policy`,
/// `stream.reassembly.memcap-policy`, `flow.memcap-policy`). Passive, what would drop is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExceptionPolicy {
    /// Go on.
    #[default]
    Ignore,
    /// Drop the packet (inline).
    DropPacket,
    /// Drop the flow (inline).
    DropFlow,
    /// Drop the flow and tell the source.
    Reject,
    /// Drop the flow and tell both ends.
    RejectBoth,
    /// Do not inspect the rest of the flow.
    PassFlow,
    /// Do not inspect this packet.
    PassPacket,
    /// Track the rest of the flow without inspection.
    Bypass,
}

impl ExceptionPolicy {
    /// By the name the configuration uses. `auto` is the caller's business.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ignore" | "none" => Self::Ignore,
            "drop-packet" => Self::DropPacket,
            "drop-flow" => Self::DropFlow,
            "reject" => Self::Reject,
            "rejectboth" => Self::RejectBoth,
            "pass-flow" => Self::PassFlow,
            "pass-packet" => Self::PassPacket,
            "bypass" => Self::Bypass,
            _ => return None,
        })
    }

    /// The name the configuration and EVE use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::DropPacket => "drop-packet",
            Self::DropFlow => "drop-flow",
            Self::Reject => "reject",
            Self::RejectBoth => "rejectboth",
            Self::PassFlow => "pass-flow",
            Self::PassPacket => "pass-packet",
            Self::Bypass => "bypass",
        }
    }
}

/// The policies that were applied to a flow, if only "ignore".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// There was no memory for its stream (`stream_reassembly_memcap`).
    pub reassembly: Option<ExceptionPolicy>,
    /// Its beginning was not seen (`stream_midstream`).
    pub midstream: Option<ExceptionPolicy>,
}

#[cfg(test)]
mod tests {
    use super::ExceptionPolicy;

    #[test]
    fn every_name_is_read_as_the_policy_that_wrote_it() {
        for policy in [
            ExceptionPolicy::Ignore,
            ExceptionPolicy::DropPacket,
            ExceptionPolicy::DropFlow,
            ExceptionPolicy::Reject,
            ExceptionPolicy::RejectBoth,
            ExceptionPolicy::PassFlow,
            ExceptionPolicy::PassPacket,
            ExceptionPolicy::Bypass,
        ] {
            assert_eq!(ExceptionPolicy::from_name(policy.as_str()), Some(policy));
        }
    }
}
