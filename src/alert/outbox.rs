//! What a worker hands to the report stage: findings and finished log lines, in the order of the packets.
//!
//! One [`Outbox`] per batch and worker, recycled: text goes into one buffer, records are ranges of it, so a worker
//! allocates nothing per event once the buffers have grown. The report stage merges the outboxes of all workers by
//! packet number and settles what no single worker can know: thresholds, xbits, incidents, the level.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Efficacy, Severity, Verdict};
use crate::packet::{FlowKey, Timestamp};

/// A range of [`Outbox::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextRange {
    /// First byte.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

/// EVE's `event_type`.
pub type EventKind = &'static str;

/// A finished log line (every EVE event but `alert`).
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Packet that completed it.
    pub number: u64,
    /// Order among the records and findings of that packet.
    pub order: u64,
    /// Its `event_type`.
    pub kind: EventKind,
    /// The line, without the newline.
    pub line: TextRange,
}

/// What saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FindingSource {
    /// A signature: its index in the rule set in force.
    Signature(u32),
    /// A behavioural detector: its stable signature id under gid 400, an index into `detect::anomaly::DETECTORS`.
    Detector(u16),
}

/// What an xbits or hostbits option does. Settled by the report stage, in packet order, because the hosts' flows may be
/// on different workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XbitOperation {
    /// Sets the bit for a time.
    Set,
    /// Clears it.
    Unset,
    /// Inverts it.
    Toggle,
    /// Requires it to be set.
    IsSet,
    /// Requires it not to be set.
    IsNotSet,
}

/// Whom an xbit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XbitTrack {
    /// The packet's source.
    Source,
    /// The packet's destination.
    Destination,
    /// Both, in either order.
    Pair,
    /// The transaction, settled in the worker.
    Transaction,
}

/// One xbits or hostbits option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XbitCondition {
    /// What it does.
    pub operation: XbitOperation,
    /// Which bit (an id of the rule set's names).
    pub bit: u32,
    /// Whose.
    pub track: XbitTrack,
    /// Life of a set bit, in seconds.
    pub expire_secs: u32,
}

/// What a `dataset` option asks or does. Settled by the report stage, in packet order, when rules change the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetChange {
    /// Requires the set to have the value.
    IsSet,
    /// Requires it not to have it.
    IsNotSet,
    /// Adds it; requires that it was not there.
    Set,
    /// Takes it out; requires that it was there.
    Unset,
}

/// A `dataset` option on a set that rules change, with the values of the packet or transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetCondition {
    /// Number of the set in the rule set.
    pub set: u16,
    /// Which option of the rule set: the values of one option come one after the other.
    pub option: u32,
    /// What is asked or done.
    pub change: DatasetChange,
    /// Also look for the domains above a name.
    pub subdomain: bool,
    /// The buffer.
    pub value: Box<[u8]>,
}

/// What a signature or a detector saw, not yet graded.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Packet (`pcap_cnt`) that showed it.
    pub number: u64,
    /// Order among the records and findings of that packet.
    pub order: u64,
    /// When.
    pub ts: Timestamp,
    /// What saw it.
    pub source: FindingSource,
    /// From whom to whom, as the packet (for a detector: attacker to victim) goes.
    pub key: FlowKey,
    /// Input interface.
    pub interface: u16,
    /// Segment of the flow, whose rules were in force: an index into the segments.
    pub segment: u8,
    /// Whether the packet came from the side that opened the flow.
    pub from_client: bool,
    /// EVE's flow id, 0 for none.
    pub flow_id: u64,
    /// The transaction it was found in.
    pub tx: Option<u64>,
    /// Whether the outcome may still show (the answer has not been seen): grading waits a moment for it.
    pub open: bool,
    /// xbits and hostbits to be settled in packet order: conditions first, then changes.
    pub xbits: Vec<XbitCondition>,
    /// Values of data sets to be settled likewise.
    pub datasets: Vec<DatasetCondition>,
    /// What data sets know of the values that matched: members of a JSON object.
    pub context: Option<Arc<str>>,
    /// What the worker did with the packet.
    pub verdict: Verdict,
    /// Whether the traffic already shows that it worked.
    pub efficacy: Efficacy,
    /// Why `efficacy` is what it is: a few plain words.
    pub efficacy_reason: &'static str,
    /// 0..=1: how sure the source is (detectors; signatures have theirs in the rule's metadata).
    pub confidence: f32,
    /// How bad a detector says it is; signatures have theirs in the rule's metadata.
    pub severity: Severity,
    /// Whether the rule says `noalert`: it only sets bits.
    pub silent: bool,
    /// EVE members before `"alert"`, without the opening brace.
    pub head: TextRange,
    /// EVE members after `"alert"`, without the closing brace; empty or begins with a comma.
    pub tail: TextRange,
    /// What a detector's report is about beyond attacker and victim; 0 for most.
    pub subject: u64,
    /// Detector's evidence: the members of a JSON object.
    pub evidence: TextRange,
    /// open, update or close for behavioural alerts; empty for signatures.
    pub state: &'static str,
    /// Identity of the incident (behavioural), 0 for none.
    pub incident: u64,
    /// Whether the source address of the packet may be trusted (a handshake was seen).
    pub source_verified: bool,
    /// Who attacks, when it is not `key.src` (the rule's `target` option, or the detector).
    pub attacker: Option<IpAddr>,
}

/// What the traffic later showed of the outcome of a transaction or flow that had alerts.
#[derive(Clone, Copy, Debug)]
pub struct OutcomeNote {
    /// Packet that showed it.
    pub number: u64,
    /// Which flow.
    pub flow_id: u64,
    /// Which transaction; `None`: the flow ended.
    pub tx: Option<u64>,
    /// Did it work?
    pub efficacy: Efficacy,
    /// Why, in a few plain words.
    pub reason: &'static str,
    /// The protocol's own code (HTTP status …), 0 for none.
    pub code: u32,
}

/// Everything one worker says about one batch.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Number of the batch.
    pub sequence: u64,
    /// The capture's time at its end.
    pub now: Timestamp,
    /// Whether it is the last.
    pub last: bool,
    /// Whether the capture is over, and what follows are ends of flows.
    pub over: bool,
    /// The text that records and findings point into.
    pub text: Vec<u8>,
    /// Finished log lines.
    pub records: Vec<Record>,
    /// Findings.
    pub findings: Vec<Finding>,
    /// Outcomes of earlier findings.
    pub outcomes: Vec<OutcomeNote>,
    /// Order of the next record or finding; see [`Outbox::begin`].
    next_order: u64,
    number: u64,
}

impl Outbox {
    /// Empties it, keeping its buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.records.clear();
        self.findings.clear();
        self.outcomes.clear();
        self.last = false;
        self.over = false;
    }

    /// Begins the records of packet `number` (or of the batch border behind it): `order` ranks it among what other
    /// workers say with the same number (inner packets of tunnels, flows that time out at the same moment).
    pub fn begin(&mut self, number: u64, order: u64) {
        self.number = number;
        self.next_order = order << 20;
    }

    /// The place of one more record or finding: number and order.
    pub fn rank(&mut self) -> (u64, u64) {
        self.next_order += 1;
        (self.number, self.next_order)
    }

    /// The bytes of a range; empty when out of range.
    pub fn slice(&self, range: TextRange) -> &[u8] {
        self.text
            .get(range.start..range.start.saturating_add(range.len))
            .unwrap_or_default()
    }

    /// The range from `start` to the end of the text.
    pub fn since(&self, start: usize) -> TextRange {
        TextRange {
            start,
            len: self.text.len().saturating_sub(start),
        }
    }
}
