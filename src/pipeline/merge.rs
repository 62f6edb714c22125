//! The records of several workers about one batch, in the order of their packets.
//!
//! A worker's records come in order but for flows that ended at the border of the batch, so that they are two stretches in
//! order, or one. Stretches are merged: each record is copied once, and costs as many comparisons as there are stretches,
//! which are a few a worker. What has more of them than [`STRETCHES_MAX`] (flows that ended in the middle of a batch, in
//! great numbers) is sorted.

use super::report::Said;
use crate::detect::anomaly::HostRecord;

/// Stretches that are merged; beyond, sorting is cheaper.
const STRETCHES_MAX: usize = 32;

/// What orders records. The flow decides between workers, which all may say something at the border of a batch.
fn rank(record: &HostRecord) -> (u64, u32, u64) {
    (record.number, record.order, record.flow_id)
}

/// Merges records; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Merge {
    spare: Vec<HostRecord>,
}

impl Merge {
    /// The records in order; `None` when those of the only worker are already.
    pub(super) fn records(&mut self, said: &[&Said]) -> Option<Vec<HostRecord>> {
        if let [only] = said
            && only.hosts.is_sorted_by_key(|r| (r.number, r.order))
        {
            return None;
        }
        let mut merged = std::mem::take(&mut self.spare);
        merged.clear();
        let mut stretches: Vec<&[HostRecord]> = Vec::with_capacity(STRETCHES_MAX);
        for one in said {
            stretches.extend(one.hosts.chunk_by(|a, b| rank(a) <= rank(b)));
            if stretches.len() > STRETCHES_MAX {
                break;
            }
        }
        if stretches.len() > STRETCHES_MAX {
            for one in said {
                merged.extend_from_slice(&one.hosts);
            }
            merged.sort_by_key(rank);
            return Some(merged);
        }
        // Of equal ranks the earlier stretch's comes first, as sorting would have it.
        while let Some(least) = stretches
            .iter_mut()
            .filter(|rest| !rest.is_empty())
            .min_by_key(|rest| rest.first().map(rank))
        {
            if let Some((first, rest)) = least.split_first() {
                merged.push(*first);
                *least = rest;
            }
        }
        Some(merged)
    }

    /// Takes its memory back.
    pub(super) fn take_back(&mut self, merged: Vec<HostRecord>) {
        self.spare = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::anomaly::RecordKind;
    use crate::packet::{FlowKey, Timestamp};

    fn said(numbers: impl IntoIterator<Item = u64>, worker: u32) -> Said {
        let record = |number| HostRecord {
            number,
            order: 0,
            ts: Timestamp(number),
            key: FlowKey::default(),
            interface: 0,
            kind: RecordKind::Opened,
            detail: worker,
            value: 0,
            flow_id: 0,
        };
        Said {
            hosts: numbers.into_iter().map(record).collect(),
            ..Said::default()
        }
    }

    fn check(said: &[Said]) {
        let said: Vec<&Said> = said.iter().collect();
        let mut sorted: Vec<HostRecord> = said.iter().flat_map(|s| s.hosts.clone()).collect();
        sorted.sort_by_key(rank);
        let merged = Merge::default().records(&said);
        assert_eq!(merged.unwrap_or_else(|| said[0].hosts.clone()), sorted);
    }

    #[test]
    fn merging_is_sorting_however_many_stretches_there_are() {
        check(&[]);
        check(&[said([1, 2, 2, 9], 0)]);
        check(&[
            said([1, 5, 9, 2, 3], 0),
            said([], 1),
            said([2, 3, 5, 5, 1], 2),
        ]);
        let zigzag = (0..500u64).map(|i| i.wrapping_mul(0x9e37_79b9) % 101);
        check(&[said(zigzag.clone(), 0), said(0..40, 1), said(zigzag, 2)]);
    }

    #[test]
    fn what_is_in_order_is_not_copied() {
        let one = said([1, 2, 2, 9], 0);
        assert!(Merge::default().records(&[&one]).is_none());
    }
}
