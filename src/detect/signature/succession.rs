//! What flows and transactions remember of older engines, in the words of a newer one.
//!
//! A flow keeps flowbits by number and a transaction keeps signatures by rank; both are numbers of one engine. A reload
//! makes a new engine with numbers of its own. So that no flow is forgotten, each engine carries a translation from the
//! engines before it, at most [`KEPT`] of them: bits and integers by name, signatures by gid, sid and revision. What has no
//! counterpart is dropped; what is older than that starts afresh.

use std::collections::HashMap;

use super::Engine;
use crate::rules::RuleSet;

/// Older engines whose memories are still understood: 100 kB each with 26,000 signatures.
const KEPT: usize = 8;

/// A number that means nothing any more.
const GONE: u32 = u32::MAX;

/// Translations, the latest engine's first.
#[derive(Debug, Default)]
pub(super) struct Succession {
    steps: Vec<Translation>,
}

/// From the numbers of one older engine.
#[derive(Debug)]
pub(super) struct Translation {
    generation: u32,
    ranks: Vec<u32>,
    bits: Vec<u32>,
    ints: Vec<u32>,
    /// Whether the rules are the same ones: then what was tested once need not be tested again.
    pub unchanged: bool,
}

impl Translation {
    /// What a rank became.
    pub fn rank(&self, old: u32) -> Option<u32> {
        look_up(&self.ranks, old)
    }

    /// What a flowbit became.
    pub fn bit(&self, old: u32) -> Option<u32> {
        look_up(&self.bits, old)
    }

    /// What a flowint became.
    pub fn int(&self, old: u32) -> Option<u32> {
        look_up(&self.ints, old)
    }

    /// This one, and then `next`.
    fn then(&self, next: &Self) -> Self {
        let through = |mine: &[u32], theirs: &[u32]| {
            mine.iter()
                .map(|old| look_up(theirs, *old).unwrap_or(GONE))
                .collect()
        };
        Self {
            generation: self.generation,
            ranks: through(&self.ranks, &next.ranks),
            bits: through(&self.bits, &next.bits),
            ints: through(&self.ints, &next.ints),
            unchanged: self.unchanged && next.unchanged,
        }
    }
}

impl Succession {
    /// The succession of `engine`, which replaces `before`.
    pub fn of(engine: &Engine, before: &Engine) -> Self {
        let last = between(before, engine);
        let older = before.succession.steps.iter();
        let mut steps: Vec<Translation> = older.take(KEPT - 1).map(|s| s.then(&last)).collect();
        steps.insert(0, last);
        Self { steps }
    }

    /// From the engine with that generation, when it is known.
    pub fn from(&self, generation: u32) -> Option<&Translation> {
        self.steps.iter().find(|s| s.generation == generation)
    }
}

fn look_up(list: &[u32], old: u32) -> Option<u32> {
    list.get(old as usize).copied().filter(|new| *new != GONE)
}

fn between(old: &Engine, new: &Engine) -> Translation {
    let ranks_of = |engine: &Engine| -> Vec<(u32, u32, u32)> {
        let signatures = &engine.rules().signatures;
        engine
            .compiled
            .signatures
            .iter()
            .map(|ranked| {
                let name = signatures.name(ranked.index as usize);
                name.unwrap_or_default()
            })
            .collect()
    };
    let (before, after) = (ranks_of(old), ranks_of(new));
    let unchanged = before == after;
    let by_name: HashMap<(u32, u32, u32), u32, foldhash::fast::FixedState> =
        after.into_iter().zip(0u32..).collect();
    let ranks = before
        .iter()
        .map(|name| by_name.get(name).copied().unwrap_or(GONE))
        .collect();
    let names = |of: fn(&RuleSet) -> &[String]| -> Vec<u32> {
        let known: HashMap<&str, u32, foldhash::fast::FixedState> = of(new.rules())
            .iter()
            .map(String::as_str)
            .zip(0u32..)
            .collect();
        of(old.rules())
            .iter()
            .map(|name| known.get(name.as_str()).copied().unwrap_or(GONE))
            .collect()
    };
    Translation {
        generation: old.generation,
        ranks,
        bits: names(|rules| &rules.bit_names),
        ints: names(|rules| &rules.int_names),
        unchanged,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::detect::signature::EngineSettings;
    use crate::rules::{Variables, load_text};

    fn engine(text: &str, before: Option<&Engine>) -> Engine {
        let rules = load_text("x.rules", text, &Variables::default());
        assert!(rules.errors.is_empty(), "{:?}", rules.errors);
        let engine =
            Engine::compile(Arc::new(rules), &EngineSettings::default()).expect("compiles");
        match before {
            Some(before) => engine.following(before),
            None => engine,
        }
    }

    const A: &str = "alert tcp any any -> any any (content:\"aa\"; flowbits:set,first; sid:1;)\n";
    const B: &str = "alert tcp any any -> any any (content:\"bb\"; flowbits:set,second; sid:2;)\n";
    const C: &str = "alert tcp any any -> any any (content:\"cc\"; flowbits:isset,first; sid:3;)\n";

    #[test]
    fn bits_and_signatures_keep_their_meaning_across_two_reloads() {
        let one = engine(&format!("{A}{C}"), None);
        let two = engine(&format!("{B}{A}{C}"), Some(&one));
        let three = engine(&format!("{C}{A}"), Some(&two));
        let steps = three.succession.from(one.generation).expect("known");
        let name = |engine: &Engine, bit: u32| engine.rules().bit_names[bit as usize].clone();
        for bit in 0..1 {
            let new = steps.bit(bit).expect("still there");
            assert_eq!(name(&one, bit), name(&three, new));
        }
        let sid = |engine: &Engine, rank: u32| {
            let index = engine.compiled.signatures[rank as usize].index;
            engine.rules().signatures[index as usize].sid.0
        };
        for rank in 0..2 {
            let new = steps.rank(rank).expect("still there");
            assert_eq!(sid(&one, rank), sid(&three, new));
        }
        let gone = (0..3).filter(|r| sid(&two, *r) == 2);
        let from_two = three.succession.from(two.generation).expect("known");
        assert!(gone.map(|r| from_two.rank(r)).all(|r| r.is_none()));
        assert!(!from_two.unchanged);
    }

    #[test]
    fn findings_of_two_engines_have_different_numbers() {
        let one = engine(&format!("{A}{C}"), None);
        let two = engine(A, Some(&one));
        assert_eq!((one.first(), two.first()), (0, 2));
        let same = engine(A, Some(&two));
        assert!(
            same.succession
                .from(two.generation)
                .is_some_and(|s| s.unchanged)
        );
    }
}
