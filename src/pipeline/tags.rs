//! What rules with `tag` want recorded after they matched: the packets that follow in the same flow, or of the same host.
//!
//! A tag on a host covers what it exchanges with the peer it was tagged with: the flows of a pair of hosts share a worker,
//! so what is recorded does not depend on their number.
//! Limits: [`TAGS_MAX`] tags a flow or pair, [`PAIRS_MAX`] pairs (the one tagged longest ago gives way), ten renewals by the
//! same rule. Nothing is done while nothing is tagged, and while something is, a packet asks for its own pair only.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::packet::{Keyed, Timestamp};
use crate::rules::{Tag, TagMetric};
use crate::stats::{Memory, MemoryBound};

/// Tags of one flow or pair.
const TAGS_MAX: usize = 8;
/// Pairs of hosts with tags.
const PAIRS_MAX: usize = 256;
/// Renewals by the same rule before its tag has to run out once.
const RENEWALS_MAX: u8 = 10;

/// A tag in force.
#[derive(Clone, Copy, Debug)]
struct Tagged {
    /// Generator and number of the rule.
    rule: (u32, u32),
    count: u32,
    metric: TagMetric,
    since: Timestamp,
    packets: u32,
    bytes: u64,
    renewals: u8,
    /// The packet that set it was passed over: its alert shows it.
    begun: bool,
}

/// The tags of a flow or pair.
#[derive(Debug, Default)]
pub(super) struct TagList(Vec<Tagged>);

impl TagList {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Sets a rule's tag, or begins it again.
    fn set(&mut self, rule: (u32, u32), tag: &Tag, now: Timestamp) {
        if let Some(known) = self.0.iter_mut().find(|t| t.rule == rule) {
            known.renewals = known.renewals.saturating_add(1);
            if known.renewals < RENEWALS_MAX {
                (known.since, known.packets, known.bytes) = (now, 0, 0);
            }
        } else if self.0.len() < TAGS_MAX {
            self.0.push(Tagged {
                rule,
                count: tag.count,
                metric: tag.metric,
                since: now,
                packets: 0,
                bytes: 0,
                renewals: 0,
                begun: false,
            });
        }
    }

    /// Counts a packet. Says whether it is to be recorded.
    fn count(&mut self, len: usize, now: Timestamp) -> bool {
        let mut wanted = false;
        self.0.retain_mut(|tag| {
            tag.packets = tag.packets.saturating_add(1);
            tag.bytes = tag.bytes.saturating_add(len as u64);
            if !std::mem::replace(&mut tag.begun, true) {
                return true;
            }
            let used = match tag.metric {
                TagMetric::Packets => u64::from(tag.packets),
                TagMetric::Bytes => tag.bytes,
                TagMetric::Seconds => now.secs_since(tag.since),
            };
            let goes_on = used <= u64::from(tag.count);
            wanted |= goes_on;
            goes_on
        });
        wanted
    }
}

/// Tags of one worker that are not a flow's, and those that the packet in hand has just set.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// By host and peer: when it was tagged first, as a number that only grows, and its tags.
    pairs: HashMap<Pair, (u64, TagList), Keyed>,
    /// The same pairs by that number.
    by_age: BTreeMap<u64, Pair>,
    tagged: u64,
    new: Vec<((u32, u32), Tag)>,
}

/// A tagged host and the peer it was tagged with.
type Pair = (IpAddr, IpAddr);

impl Tags {
    /// A rule with a tag matched on the packet in hand.
    pub(super) fn matched(&mut self, rule: (u32, u32), tag: Tag) {
        if self.new.len() < TAGS_MAX {
            self.new.push((rule, tag));
        }
    }

    /// Whether there is anything to do for a packet of a flow with these tags.
    pub(super) fn concern(&self, flow: Option<&TagList>) -> bool {
        !self.new.is_empty() || !self.pairs.is_empty() || flow.is_some_and(|tags| !tags.is_empty())
    }

    /// Sets what the packet's rules asked for and counts the packet (`len` bytes; none: a pseudo packet). Says whether
    /// it is to be recorded.
    pub(super) fn packet(
        &mut self,
        (src, dst): (IpAddr, IpAddr),
        len: Option<usize>,
        now: Timestamp,
        mut flow: Option<&mut TagList>,
    ) -> bool {
        for (rule, tag) in std::mem::take(&mut self.new) {
            let (host, peer) = match tag.host_source {
                None => {
                    if let Some(flow) = flow.as_deref_mut() {
                        flow.set(rule, &tag, now);
                    }
                    continue;
                }
                Some(true) => (src, dst),
                Some(false) => (dst, src),
            };
            self.pair((host, peer)).set(rule, &tag, now);
        }
        let Some(len) = len else { return false };
        let mut wanted = flow.is_some_and(|tags| tags.count(len, now));
        let both = [(src, dst), (dst, src)];
        // A host that talks to itself is one pair, not two.
        let both = if src == dst { &both[..1] } else { &both };
        for pair in both {
            let Some((age, tags)) = self.pairs.get_mut(pair) else {
                continue;
            };
            wanted |= tags.count(len, now);
            if tags.is_empty() {
                self.by_age.remove(age);
                self.pairs.remove(pair);
            }
        }
        wanted
    }

    /// The tags of a pair; room is made for a new one.
    fn pair(&mut self, pair: Pair) -> &mut TagList {
        if !self.pairs.contains_key(&pair) {
            if self.pairs.len() >= PAIRS_MAX
                && let Some((_, oldest)) = self.by_age.pop_first()
            {
                self.pairs.remove(&oldest);
            }
            self.tagged += 1;
            self.by_age.insert(self.tagged, pair);
        }
        let age = self.tagged;
        let (_, tags) = self
            .pairs
            .entry(pair)
            .or_insert_with(|| (age, TagList::default()));
        tags
    }

    /// Memory of the pairs.
    pub(super) fn bound(&self) -> MemoryBound {
        let tags = TAGS_MAX * size_of::<Tagged>();
        // Once by its addresses in a table that may be half empty, once by its age.
        let pair = 2 * size_of::<(Pair, (u64, TagList))>() + 2 * size_of::<(u64, Pair)>();
        let memory = Memory {
            bytes: (PAIRS_MAX * (pair + tags)) as u64,
            used: (self.pairs.len() * (pair + tags)) as u64,
        };
        memory.of("tagged hosts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn tag(host_source: Option<bool>, count: u32, metric: TagMetric) -> Tag {
        Tag {
            host_source,
            count,
            metric,
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::new(second, 0)
    }

    #[test]
    fn the_packets_after_the_match_are_recorded_up_to_the_count() {
        let (mut tags, mut flow) = (Tags::default(), TagList::default());
        tags.matched((1, 7), tag(None, 3, TagMetric::Packets));
        let said: Vec<bool> = (0..5)
            .map(|i| tags.packet((A, B), Some(60), at(i), Some(&mut flow)))
            .collect();
        assert_eq!(said, [false, true, true, false, false]);
        assert!(flow.is_empty() && !tags.concern(Some(&flow)));
    }

    #[test]
    fn a_host_is_followed_through_other_flows_for_some_seconds() {
        let (mut tags, mut other) = (Tags::default(), TagList::default());
        tags.matched((1, 7), tag(Some(true), 10, TagMetric::Seconds));
        assert!(!tags.packet((A, B), Some(60), at(0), None));
        assert!(tags.packet((B, A), Some(60), at(10), Some(&mut other)));
        assert!(!tags.packet((A, A), Some(60), at(10), None));
        assert!(!tags.packet((A, B), Some(60), at(11), None));
        assert!(!tags.concern(None));
    }

    #[test]
    fn a_match_begins_the_tag_again_until_it_has_to_run_out() {
        let (mut tags, mut flow) = (Tags::default(), TagList::default());
        let mut ran_out = 0;
        for i in 0..100 {
            tags.matched((1, 7), tag(None, 200, TagMetric::Bytes));
            tags.packet((A, B), Some(100), at(i), Some(&mut flow));
            ran_out += u32::from(flow.is_empty());
        }
        assert!((5..15).contains(&ran_out), "{ran_out}");
    }

    #[test]
    fn pairs_are_bounded() {
        let mut tags = Tags::default();
        for i in 0..1000u32 {
            tags.matched((1, 7), tag(Some(false), 10, TagMetric::Packets));
            tags.packet((A, IpAddr::V4(i.into())), Some(60), at(0), None);
        }
        assert_eq!(
            (tags.pairs.len(), tags.by_age.len()),
            (PAIRS_MAX, PAIRS_MAX)
        );
        // The latest are there, and go when their time is over.
        for i in 744..1000u32 {
            let peer = IpAddr::V4(i.into());
            assert!(tags.packet((peer, A), Some(60), at(0), None), "{i}");
            for _ in 0..10 {
                tags.packet((A, peer), Some(60), at(0), None);
            }
        }
        assert!(tags.pairs.is_empty() && tags.by_age.is_empty());
    }
}
