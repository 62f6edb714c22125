//! What later stages attach to a flow.

use crate::app::AppLayer;
use crate::detect::signature::FlowRules;
use crate::flow::{Flow, Recycle};
use crate::pipeline::host_records;
use crate::pipeline::tags::TagList;
use crate::stream::StreamPair;

/// What later stages attach to a flow.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    pub(super) streams: StreamPair,
    pub(super) app: AppLayer,
    pub(super) rules: FlowRules,
    /// Per direction: the application layer changed since its packets were last inspected.
    pub(super) changed: [bool; 2],
    /// A signature matched in it, silently or not.
    pub(super) hit: bool,
    /// What the detectors have been told of its payloads.
    pub(super) told: host_records::Told,
    /// Its segment, once known, by which state of the segments.
    pub(super) segment: Option<(u32, u8)>,
    /// What rules noted of it, as members of records.
    pub(super) noted: Vec<u8>,
    /// Rules switched off the records of its transactions, or its own.
    pub(super) silenced: Silenced,
    /// Rules want its packets recorded.
    pub(super) tags: TagList,
}

impl Recycle for Tracked {
    fn recycle(&mut self) {
        self.streams.rewind();
        self.app.recycle();
        self.rules = FlowRules::default();
        self.changed = [false; 2];
        self.hit = false;
        self.told = host_records::Told::default();
        self.segment = None;
        self.noted.clear();
        self.silenced = Silenced::default();
        self.tags.clear();
    }

    fn is_half_open(&self, flow: &Flow) -> bool {
        !self.hit
            && self.rules.is_untouched()
            && self.streams.is_half_open(flow)
            && self.app.is_untouched()
    }

    fn restore(&mut self, flow: &Flow) {
        self.streams.restore(flow);
    }
}

/// Records that rules (`config`) switched off for a whole flow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silenced {
    pub(super) transactions: bool,
    pub(super) flow: bool,
}
