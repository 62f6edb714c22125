//! What the sensor says: raw findings, graded alerts, and the words both are written with.
//!
//! A [`Finding`] is what a signature or a detector saw. Grading makes an [`Alert`] of it. Both are plain data.

mod graded;
mod json;
mod outbox;

pub use graded::Alert;
pub use json::Json;
pub(crate) use json::hex_digit;
pub use outbox::{
    DatasetChange, DatasetCondition, EventKind, Finding, FindingSource, Outbox, OutcomeNote,
    Record, TextRange, XbitCondition, XbitOperation, XbitTrack,
};

/// How much it matters: the SOC's own promise of response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Information, statistics.
    #[default]
    Green,
    /// Attention: weekly and monthly review.
    Yellow,
    /// Precaution: urgent.
    Orange,
    /// Prompt response.
    Red,
}

impl Level {
    /// `GREEN`, `YELLOW`, `ORANGE`, `RED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Green => "GREEN",
            Self::Yellow => "YELLOW",
            Self::Orange => "ORANGE",
            Self::Red => "RED",
        }
    }

    /// From its name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Green, Self::Yellow, Self::Orange, Self::Red]
            .into_iter()
            .find(|l| l.as_str().eq_ignore_ascii_case(name))
    }

    /// From 0 (green) to 3 (red); anything outside is clamped.
    pub const fn from_step(step: i32) -> Self {
        match step {
            i32::MIN..=0 => Self::Green,
            1 => Self::Yellow,
            2 => Self::Orange,
            _ => Self::Red,
        }
    }
}

/// How bad the author of a rule, or a detector, says it is (`metadata: signature_severity`), or the class's priority where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Informational,
    /// Small.
    Minor,
    /// Serious.
    #[default]
    Major,
    /// As bad as it gets.
    Critical,
}

impl Severity {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }

    /// From its name; anything else is major.
    pub fn from_name(name: &str) -> Self {
        match name {
            "informational" => Self::Informational,
            "minor" => Self::Minor,
            "critical" => Self::Critical,
            _ => Self::Major,
        }
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phenomenon {
    /// Unauthorized access, or an attempt at it.
    UnauthorizedAccess,
    /// A security policy is violated.
    PolicyViolation,
    /// A device is in trouble.
    DeviceTrouble,
    /// An operation accident or a wrong setting.
    OperationAccident,
    /// Access that looks suspicious.
    #[default]
    SuspiciousAccess,
}

impl Phenomenon {
    /// The name used in metadata and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnauthorizedAccess => "unauthorized_access",
            Self::PolicyViolation => "policy_violation",
            Self::DeviceTrouble => "device_trouble",
            Self::OperationAccident => "operation_accident",
            Self::SuspiciousAccess => "suspicious_access",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::UnauthorizedAccess,
            Self::PolicyViolation,
            Self::DeviceTrouble,
            Self::OperationAccident,
            Self::SuspiciousAccess,
        ]
        .into_iter()
        .find(|p| p.as_str() == name)
    }
}

/// What it threatens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Threat {
    /// Business stops.
    BusinessStoppage,
    /// Information leaks.
    InformationLeak,
    /// Morals collapse.
    MoralsCollapse,
}

impl Threat {
    /// The name used in metadata and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BusinessStoppage => "business_stoppage",
            Self::InformationLeak => "information_leak",
            Self::MoralsCollapse => "morals_collapse",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::BusinessStoppage,
            Self::InformationLeak,
            Self::MoralsCollapse,
        ]
        .into_iter()
        .find(|t| t.as_str() == name)
    }
}

/// Whether the attack worked, as far as the traffic shows (E0 … E4 of the grading).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Efficacy {
    /// Not known.
    #[default]
    Unknown,
    /// It failed: refused, reset, no listener, error status, blocked.
    Failed,
    /// It reached a live service; no usable answer.
    Reached,
    /// It likely worked, at least in part: a success code, or a service measurably hurt.
    Likely,
    /// It worked.
    Confirmed,
}

impl Efficacy {
    /// The name used in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Reached => "reached",
            Self::Likely => "likely",
            Self::Confirmed => "confirmed",
        }
    }
}

/// What a rule, or the engine, wants done with a packet. Ordered by strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Let it through.
    #[default]
    Accept,
    /// Drop this packet.
    DropPacket,
    /// Drop this packet and all that follow in its flow.
    DropFlow,
    /// Drop, and tell the source (TCP reset, ICMP unreachable).
    RejectSource,
    /// Drop, and tell the destination.
    RejectDestination,
    /// Drop, and tell both.
    RejectBoth,
}
