//! Where patterns of payload are looked for, by place in the network: small tables for few, databases for many.

use std::collections::{BTreeMap, HashMap};

use super::{Class, Ranked, Reach, Scans, SiteScans};
use crate::detect::signature::prefilter::MatcherBuilder;
use crate::detect::signature::situation::Situations;
use crate::detect::signature::starts::StartsBuilder;
use crate::packet::Direction;
use crate::rules::{Compare, FastPattern, PacketTest, RuleSet, Signature};

/// Patterns of the front, and their bytes, with which they are looked for together with the others: a scan costs a tenth of
/// a microsecond before its first byte, short patterns cost where they are found.
pub(super) const FRONT_FEW: usize = 32;

pub(super) const FRONT_LONG: usize = 4;

/// Where a payload is looked at: the packets of a class or the stream, in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Site {
    Payload(u8, u8),
    Stream(u8),
}

/// What is looked for at a site.
#[derive(Debug, Default)]
pub(super) struct SitePatterns<'r> {
    /// Patterns that are searched.
    pub(super) floating: Vec<Floating<'r>>,
    /// Patterns that can stand at the front only.
    pub(super) starts: StartsBuilder,
}

/// A pattern that is searched in payloads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floating<'r> {
    pub(super) fast: &'r FastPattern,
    pub(super) bounds: Option<(u32, u32)>,
    pub(super) rank: u32,
    pub(super) reach: Reach,
}

/// Payloads up to here are small. Most of the rules that name the size of a payload (`dsize`) want a small one; in the
/// large ones, which are most of the bytes, their patterns need not be looked for.
pub(super) const SMALL_BYTES: u32 = 512;

/// Whether a rule wants a small payload.
pub(super) fn wants_small(rule: &Signature) -> bool {
    let small = u64::from(SMALL_BYTES);
    rule.packet.iter().any(|test| match test {
        PacketTest::PayloadSize(size) => match *size {
            Compare::Equal(most) | Compare::LessOrEqual(most) | Compare::Between(_, most) => {
                most <= small
            }
            Compare::Less(above) => above <= small,
            _ => false,
        },
        _ => false,
    })
}

/// Makes matchers of sites; the same patterns in two situations are one matcher.
pub(super) struct SiteBuilder<'r, 'c> {
    pub(super) rules: &'r RuleSet,
    pub(super) signatures: &'c [Ranked],
    pub(super) situations: Situations,
    pub(super) segmented: bool,
    pub(super) matchers: Vec<MatcherBuilder>,
    /// Matchers by what they hold: pattern (by address) and rank.
    pub(super) known: HashMap<Vec<(usize, u32)>, usize, foldhash::fast::RandomState>,
}

impl<'r> SiteBuilder<'r, '_> {
    pub(super) fn site(
        &mut self,
        patterns: SitePatterns<'r>,
        class: Class,
        direction: Direction,
    ) -> SiteScans {
        let (rules, signatures) = (self.rules, self.signatures);
        let mut by_situation = |patterns: &[Floating<'r>]| -> Vec<Scans> {
            (0..self.situations.len())
                .map(|number| {
                    if self.situations.is_of(number, class) {
                        self.scans(patterns, direction, number)
                    } else {
                        Scans::default()
                    }
                })
                .collect()
        };
        let all = by_situation(&patterns.floating);
        let mut large = patterns.floating;
        large.retain(|p| {
            let ranked = signatures.get(p.rank as usize);
            let rule = ranked.and_then(|r| rules.signatures.get(r.index as usize));
            !rule.is_some_and(wants_small)
        });
        SiteScans {
            starts: patterns.starts.finish(),
            large: by_situation(&large),
            by_situation: all,
        }
    }

    pub(super) fn scans(
        &mut self,
        patterns: &[Floating<'r>],
        direction: Direction,
        situation: usize,
    ) -> Scans {
        let admitted = |reach: Reach| -> Vec<Floating<'r>> {
            patterns
                .iter()
                .filter(|p| p.reach == reach)
                .filter(|p| {
                    let ranked = self.signatures.get(p.rank as usize);
                    let rule = ranked.and_then(|r| self.rules.signatures.get(r.index as usize));
                    ranked.zip(rule).is_none_or(|(ranked, rule)| {
                        self.situations
                            .admits(situation, direction, rule, ranked, self.segmented)
                    })
                })
                .copied()
                .collect()
        };
        let (mut front, mut all) = (admitted(Reach::Front), admitted(Reach::All));
        // Few patterns of the front that are not short cost less together with the others than a scan of their own.
        if front.len() <= FRONT_FEW && front.iter().all(|p| p.fast.bytes.len() >= FRONT_LONG) {
            all.append(&mut front);
        }
        Scans {
            front: self.matcher(&front),
            all: self.matcher(&all),
        }
    }

    pub(super) fn matcher(&mut self, patterns: &[Floating<'r>]) -> Option<usize> {
        if patterns.is_empty() {
            return None;
        }
        let key = patterns
            .iter()
            .map(|p| (std::ptr::from_ref(p.fast) as usize, p.rank))
            .collect();
        let next = self.matchers.len();
        let at = *self.known.entry(key).or_insert(next);
        if at == next {
            let mut builder = MatcherBuilder::default();
            for pattern in patterns {
                builder.add_within(pattern.fast, pattern.bounds, pattern.rank);
            }
            self.matchers.push(builder);
        }
        Some(at)
    }
}

/// Protocols that signatures with patterns on payloads name, as bits.
pub(super) fn named(sites: &BTreeMap<Site, SitePatterns<'_>>, signatures: &[Ranked]) -> u128 {
    sites
        .values()
        .flat_map(|site| &site.floating)
        .filter_map(|pattern| signatures.get(pattern.rank as usize))
        .fold(0, |bits, ranked| bits | ranked.app.0)
}
