//! Connections that another flow has announced (FTP's PORT, PASV and their kin): who will speak what with whom.
//!
//! Bounded: [`TABLE_MAX`] announcements per worker, [`PAIR_MAX`] per pair of hosts, each good for [`LIFE_SECS`]. A
//! control connection and its data connections share their addresses, so they share their worker.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{AppProto, Expectation, ExpectedContext};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::{Memory, MemoryBound};

/// Announcements kept per pair of hosts; the oldest goes first.
const PAIR_MAX: usize = 10;

/// Pairs of hosts with announcements.
const TABLE_MAX: usize = 4096;

/// Seconds an announcement is good for.
const LIFE_SECS: u64 = 30;

/// An announcement that came true.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The protocol it will speak.
    pub proto: AppProto,
    /// What the control session told.
    pub context: ExpectedContext,
}

#[derive(Debug)]
struct Waiting {
    sport: u16,
    dport: u16,
    since: Timestamp,
    expected: Expected,
}

/// Announcements of one worker.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    pairs: HashMap<(IpAddr, IpAddr), Vec<Waiting>, crate::packet::Keyed>,
}

impl Expectations {
    /// Notes an announcement made in the flow `of`.
    pub fn add(
        &mut self,
        of: &FlowKey,
        expectation: Expectation,
        context: ExpectedContext,
        now: Timestamp,
    ) {
        let key = pair(of);
        if !self.pairs.contains_key(&key) && self.pairs.len() >= TABLE_MAX {
            self.pairs.retain(|_, list| {
                list.retain(|waiting| now.secs_since(waiting.since) <= LIFE_SECS);
                !list.is_empty()
            });
            if self.pairs.len() >= TABLE_MAX {
                return;
            }
        }
        let list = self.pairs.entry(key).or_default();
        if list.len() >= PAIR_MAX {
            list.remove(0);
        }
        let Expectation {
            key: FlowKey { sport, dport, .. },
            proto,
            ..
        } = expectation;
        list.push(Waiting {
            sport,
            dport,
            since: now,
            expected: Expected { proto, context },
        });
    }

    /// The announcement of this flow, newest first, if there is one.
    pub fn take(&mut self, of: &FlowKey, now: Timestamp) -> Option<Expected> {
        if self.pairs.is_empty() {
            return None;
        }
        let key = pair(of);
        let list = self.pairs.get_mut(&key)?;
        list.retain(|waiting| now.secs_since(waiting.since) <= LIFE_SECS);
        let fits = |waiting: &Waiting| {
            let ports = |sport, dport| {
                (waiting.sport == 0 || waiting.sport == sport)
                    && (waiting.dport == 0 || waiting.dport == dport)
            };
            ports(of.sport, of.dport)
        };
        let found = list
            .iter()
            .rposition(fits)
            .map(|at| list.remove(at).expected);
        if list.is_empty() {
            self.pairs.remove(&key);
        }
        found
    }

    /// The most memory it takes.
    pub fn bound(&self) -> MemoryBound {
        let each = PAIR_MAX * (size_of::<Waiting>() + 4096) + 64;
        let memory = Memory {
            bytes: (TABLE_MAX * each) as u64,
            used: (self.pairs.len() * each) as u64,
        };
        memory.of("announced connections")
    }
}

fn pair(key: &FlowKey) -> (IpAddr, IpAddr) {
    if key.src <= key.dst {
        (key.src, key.dst)
    } else {
        (key.dst, key.src)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8, sport: u16, dport: u16) -> FlowKey {
        FlowKey {
            src: [10, 0, 0, last].into(),
            dst: [10, 0, 0, 1].into(),
            sport,
            dport,
            proto: 6,
            vlan: [0; 3],
            wire: 0,
        }
    }

    fn announce(table: &mut Expectations, of: &FlowKey, dport: u16, now: u64) {
        let expectation = Expectation {
            key: FlowKey {
                sport: 0,
                dport,
                ..*of
            },
            proto: AppProto(3),
            tag: 0,
        };
        table.add(
            of,
            expectation,
            ExpectedContext::default(),
            Timestamp::new(now, 0),
        );
    }

    #[test]
    fn an_announced_connection_is_recognised_once_and_in_time() {
        let mut table = Expectations::default();
        announce(&mut table, &key(9, 4000, 21), 1025, 100);
        assert!(
            table
                .take(&key(9, 4001, 1026), Timestamp::new(101, 0))
                .is_none()
        );
        assert!(
            table
                .take(&key(9, 4001, 1025), Timestamp::new(101, 0))
                .is_some()
        );
        assert!(
            table
                .take(&key(9, 4001, 1025), Timestamp::new(101, 0))
                .is_none()
        );
        announce(&mut table, &key(9, 4000, 21), 1025, 100);
        assert!(
            table
                .take(&key(9, 4001, 1025), Timestamp::new(200, 0))
                .is_none()
        );
    }

    #[test]
    fn announcements_are_bounded() {
        let mut table = Expectations::default();
        for i in 0..100_000u32 {
            let src = std::net::Ipv4Addr::from(i).into();
            announce(
                &mut table,
                &FlowKey {
                    src,
                    ..key(9, 1, 21)
                },
                1025,
                100,
            );
        }
        assert_eq!(table.pairs.len(), TABLE_MAX);
        for i in 0..100 {
            announce(&mut table, &key(0, 1, 21), i, 200);
        }
        assert!(table.pairs.len() == 1 && table.pairs.values().all(|list| list.len() == PAIR_MAX));
    }
}
