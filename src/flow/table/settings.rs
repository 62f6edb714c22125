//! Settings of a flow table: how many flows, and when they are over.

use super::ANSWER_SECS;
use crate::flow::{Flow, FlowState};
use crate::packet::Timestamp;

/// Seconds without a packet after which a flow ends, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One direction seen (TCP: handshake not complete).
    pub new_secs: u32,
    /// Both directions seen.
    pub established_secs: u32,
    /// Closed (TCP).
    pub closed_secs: u32,
    /// Bypassed.
    pub bypassed_secs: u32,
}

/// Settings of flow tracking.
#[derive(Clone, Debug)]
pub struct FlowSettings {
    /// Most flows tracked at a time, over all workers.
    pub flows_max: u32,
    /// Of these, most half-open TCP connections (SYN seen, nothing else).
    pub pending_max: u32,
    /// Most half-open connections given up in a second of packet time that are reported one by one; those beyond are
    /// counted ([`FlowStats::unreported`]). A flood makes as many of them as it has packets.
    pub forced_reports_per_sec: u32,
    /// How many workers share `flows_max`.
    pub workers: u32,
    /// Keys the hash: that of the process, see [`crate::packet::hash_key`].
    pub seed: u64,
    /// TCP.
    pub tcp: Timeouts,
    /// UDP.
    pub udp: Timeouts,
    /// ICMP and ICMPv6.
    pub icmp: Timeouts,
    /// Everything else.
    pub other: Timeouts,
    /// Seconds of silence after which an established flow may make room for a new one.
    pub idle_secs: u32,
    /// Whether a SYN-ACK may begin a session (`stream.midstream` or `stream.async-oneside`): it may then also reuse a flow.
    pub midstream: bool,
}

impl Default for FlowSettings {
    fn default() -> Self {
        let other = Timeouts {
            new_secs: 30,
            established_secs: 300,
            closed_secs: 0,
            bypassed_secs: 100,
        };
        Self {
            flows_max: 1 << 18,
            pending_max: 1 << 16,
            // 2 MB of EVE a second, about a hundredth of a core.
            forced_reports_per_sec: 4096,
            workers: 1,
            seed: crate::packet::hash_key(),
            tcp: Timeouts {
                new_secs: 60,
                established_secs: 600,
                closed_secs: 60,
                bypassed_secs: 100,
            },
            udp: other,
            icmp: other,
            other,
            idle_secs: 30,
            midstream: false,
        }
    }
}

impl FlowSettings {
    /// The same for a half-open connection.
    pub(super) fn half_open_deadline(&self, since: Timestamp) -> Timestamp {
        since.plus_nanos(u64::from(self.tcp.new_secs) * 1_000_000_000)
    }

    /// The deadline of a flow: the time at which it has been silent for too long.
    pub(super) fn deadline(&self, flow: &Flow) -> Timestamp {
        let timeouts = match flow.key.proto {
            6 => &self.tcp,
            17 => &self.udp,
            1 | 58 => &self.icmp,
            _ => &self.other,
        };
        let secs = match flow.state {
            FlowState::New => timeouts.new_secs,
            FlowState::Established => timeouts.established_secs,
            FlowState::Closed => timeouts.closed_secs,
            FlowState::Bypassed => timeouts.bypassed_secs,
        };
        flow.last.plus_nanos(u64::from(secs) * 1_000_000_000)
    }
}

/// When a flow that waits for the answer to its SYN counts as unanswered; `None` for others, and once it was said.
pub(super) fn answer_deadline(flow: &Flow) -> Option<Timestamp> {
    let waits = flow.key.proto == 6
        && flow.state == FlowState::New
        && flow.seen == [true, false]
        && !flow.unanswered;
    waits.then(|| flow.first.plus_nanos(ANSWER_SECS * 1_000_000_000))
}
