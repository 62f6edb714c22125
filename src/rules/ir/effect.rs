//! What a match does besides the alert: thresholds, tags, switches of the log.

/// `threshold` and `detection_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Kind.
    pub kind: ThresholdKind,
    /// Whom to count.
    pub track: ThresholdTrack,
    /// Count.
    pub count: u32,
    /// Seconds.
    pub seconds: u32,
    /// For `multiplier` of backoff.
    pub multiplier: u32,
    /// `unique_on`: counts different values of this instead of matches.
    pub unique: Option<UniqueOn>,
}

/// Kinds of thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// At most `count` alerts in `seconds`.
    Limit,
    /// An alert each `count` matches in `seconds`.
    Threshold,
    /// One alert in `seconds`, after `count` matches.
    Both,
    /// Alerts once `count` matches were exceeded in `seconds` (`detection_filter`).
    DetectionFilter,
    /// Alerts at count, count*multiplier, …
    Backoff,
}

/// What a threshold counts different values of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueOn {
    /// Source ports.
    SourcePort,
    /// Destination ports.
    DestinationPort,
}

/// Whom a threshold counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdTrack {
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Both.
    Both,
    /// The rule.
    Rule,
    /// The flow.
    Flow,
}

/// `tag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Session or one host's packets: `None` session, `Some(true)` source, `Some(false)` destination.
    pub host_source: Option<bool>,
    /// Count.
    pub count: u32,
    /// packets, seconds or bytes.
    pub metric: TagMetric,
}

/// What a tag counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagMetric {
    /// Packets.
    Packets,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// `config:` options (conditional logging).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEffect {
    /// `logging disable`, …
    pub subsystem: String,
    /// `type`
    pub kind: String,
    /// `scope`
    pub scope: String,
}
