//! Data sets that rules change while traffic flows: what was added to, and taken out of, what their files have.
//!
//! Whether a value is new depends on the order of all packets, which no single worker knows. A signature with such an
//! option therefore matches in the worker as if the option held, and tells the values; the report stage settles them in
//! packet order ([`Datasets::settle`]), as it does with xbits. The result does not depend on the number of workers. What
//! rules do otherwise: a set changes when the whole rule matched (Suricata changes it when it comes to the option).
//!
//! Limits: each set grows by its memcap; what does not fit is not added, and counted.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::Arc;

use crate::alert::{DatasetChange, DatasetCondition};
use crate::packet::Keyed;
use crate::rules::Dataset;
use crate::rules::dataset::{Ask, VALUE_OVERHEAD_BYTES, keys};
use crate::stats::Memory;

type Values = HashSet<Box<[u8]>, Keyed>;

/// A set with what rules made of it.
#[derive(Debug)]
struct Kept {
    base: Arc<Dataset>,
    added: Values,
    removed: Values,
    added_bytes: u64,
    refused: u64,
    /// An operator emptied it: what its file has counts no more.
    cleared: bool,
}

impl Kept {
    fn of(base: Arc<Dataset>) -> Self {
        Self {
            base,
            added: Values::default(),
            removed: Values::default(),
            added_bytes: 0,
            refused: 0,
            cleared: false,
        }
    }

    /// Whether the file has a value, and nobody took it out.
    fn has_loaded(&self, key: &[u8]) -> bool {
        !self.cleared && self.base.get(key).is_some() && !self.removed.contains(key)
    }

    /// Carries out what an operator asks.
    fn ask(&mut self, ask: Ask, key: &[u8]) -> bool {
        match ask {
            Ask::Add => self.add(key),
            Ask::Remove => self.remove(key),
            Ask::LookUp => self.has(key),
            Ask::Clear => {
                self.added.clear();
                self.removed.clear();
                (self.added_bytes, self.cleared) = (0, true);
                true
            }
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        self.added.contains(key) || self.has_loaded(key)
    }

    /// Adds a value; `false`: it is there, or there is no room.
    fn add(&mut self, key: &[u8]) -> bool {
        if self.has(key) {
            return false;
        }
        if self.removed.remove(key) {
            return true;
        }
        let bytes = key.len() as u64 + VALUE_OVERHEAD_BYTES;
        if self.added_bytes.saturating_add(bytes) > self.base.info.memcap_bytes {
            self.refused += 1;
            return false;
        }
        self.added_bytes += bytes;
        self.added.insert(key.into())
    }

    /// Takes a value out; `false`: it is not there.
    fn remove(&mut self, key: &[u8]) -> bool {
        if self.added.remove(key) {
            let bytes = key.len() as u64 + VALUE_OVERHEAD_BYTES;
            self.added_bytes = self.added_bytes.saturating_sub(bytes);
            return true;
        }
        self.has_loaded(key) && self.removed.insert(key.into())
    }

    /// Asks, or carries out, what one option says of one value.
    fn settle(&mut self, condition: &DatasetCondition) -> bool {
        let kind = self.base.info.kind;
        let has = |this: &Self| {
            let look = |key: &[u8]| this.has(key).then_some(());
            keys(kind, &condition.value, condition.subdomain, look).is_some()
        };
        let mut own = [0; 16];
        match condition.change {
            DatasetChange::IsSet => has(self),
            DatasetChange::IsNotSet => !has(self),
            DatasetChange::Set => kind
                .key(&condition.value, &mut own)
                .is_some_and(|key| self.add(key)),
            DatasetChange::Unset => kind
                .key(&condition.value, &mut own)
                .is_some_and(|key| self.remove(key)),
        }
    }

    /// The values, a line each, in order.
    fn text(&self) -> String {
        let mut all = self.base.sorted();
        all.retain(|value| self.has_loaded(value));
        all.extend(self.added.iter().map(|v| &**v));
        all.sort_unstable();
        let mut text = String::new();
        for value in all {
            text.push_str(&self.base.info.kind.write(value));
            text.push('\n');
        }
        text
    }
}

/// All sets that rules change, by name.
#[derive(Debug, Default)]
pub struct Datasets {
    kept: HashMap<String, Kept, Keyed>,
}

impl Datasets {
    /// The sets of a rule set that is in force from now on. Sets go on with what they have, but for those that a rule
    /// only loads from a file: these begin anew with the file.
    pub fn adopt(&mut self, sets: &[Arc<Dataset>]) {
        for set in sets.iter().filter(|set| set.changes()) {
            let name = set.info.name.to_ascii_lowercase();
            let known = self.kept.get(&name);
            let goes_on = known.is_some_and(|kept| kept.base.info.kind == set.info.kind)
                && !set.info.is_renewed();
            if !goes_on {
                self.kept.insert(name, Kept::of(Arc::clone(set)));
            }
        }
    }

    /// Settles the options of a match, in their order: for each, one of its values must fit. `sets` are those of the rule
    /// set that the conditions speak of.
    pub fn settle(&mut self, sets: &[Arc<Dataset>], conditions: &[DatasetCondition]) -> bool {
        let mut options = conditions.chunk_by(|a, b| a.option == b.option);
        options.all(|values| {
            values.iter().any(|condition| {
                let Some(set) = sets.get(usize::from(condition.set)) else {
                    return false;
                };
                let kept = if set.info.name.bytes().any(|b| b.is_ascii_uppercase()) {
                    self.kept.get_mut(&set.info.name.to_ascii_lowercase())
                } else {
                    self.kept.get_mut(&set.info.name)
                };
                kept.is_some_and(|kept| kept.settle(condition))
            })
        })
    }

    /// Carries out what an operator asks of a set that rules change; `None`: there is none of that name. Says whether it
    /// changed something, or of a question whether it is so.
    pub fn ask(&mut self, name: &str, ask: Ask, key: &[u8]) -> Option<bool> {
        let kept = self.kept.get_mut(&name.to_ascii_lowercase())?;
        Some(kept.ask(ask, key))
    }

    /// What is to be written when the sensor ends: files and their text.
    pub fn to_save(&self) -> impl Iterator<Item = (&Path, String)> {
        self.kept
            .values()
            .filter_map(|kept| Some((kept.base.info.save.as_deref()?, kept.text())))
    }

    /// Values that did not fit, of all sets.
    pub fn refused(&self) -> u64 {
        self.kept.values().map(|kept| kept.refused).sum()
    }

    /// What rules may add to all sets.
    pub fn memory(&self) -> Memory {
        self.kept.values().fold(Memory::default(), |sum, kept| {
            sum + Memory {
                bytes: kept.base.info.memcap_bytes,
                used: kept.added_bytes,
            }
        })
    }
}

/// Values that a worker told of before.
const SETTLED: usize = 4096;

/// Values that are in their sets for good, as far as a worker knows: a rule that adds them does not match again, so that
/// a rule on every packet is told of once a value and not once a packet. A value of a set that nothing leaves is in it
/// from the first time that it was to be added, or did not fit and never will.
#[derive(Debug, Default)]
pub(super) struct Settled {
    known: Vec<u64>,
    hasher: Keyed,
}

impl Settled {
    /// Whether conditions may still hold; notes what they add.
    pub fn may_hold(&mut self, sets: &[Arc<Dataset>], conditions: &[DatasetCondition]) -> bool {
        let mut options = conditions.chunk_by(|a, b| a.option == b.option);
        // Only a rule with one option always comes to it.
        let (Some([condition]), None) = (options.next(), options.next()) else {
            return true;
        };
        let lasts = sets
            .get(usize::from(condition.set))
            .is_some_and(|set| !set.shrinks());
        if condition.change != DatasetChange::Set || !lasts {
            return true;
        }
        if self.known.is_empty() {
            self.known.resize(SETTLED, 0);
        }
        // Never 0, which stands for nothing.
        let hash = self.hasher.hash_one((condition.set, &condition.value)) | 1;
        let at = usize::try_from(hash >> 1).unwrap_or_default() % SETTLED;
        let Some(known) = self.known.get_mut(at) else {
            return true;
        };
        std::mem::replace(known, hash) != hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::dataset::{DatasetInfo, DatasetKind};

    fn set(memcap_bytes: u64) -> Vec<Arc<Dataset>> {
        let info = DatasetInfo {
            name: "Seen".into(),
            kind: DatasetKind::String,
            memcap_bytes,
            save: Some("seen.lst".into()),
            ..DatasetInfo::default()
        };
        let set = Dataset::load(DatasetInfo { load: None, ..info }, 0).unwrap();
        set.note_set();
        vec![Arc::new(set)]
    }

    fn condition(change: DatasetChange, value: &[u8]) -> DatasetCondition {
        DatasetCondition {
            set: 0,
            option: 1,
            change,
            subdomain: false,
            value: value.into(),
        }
    }

    #[test]
    fn a_value_is_new_once() {
        let sets = set(1000);
        let mut all = Datasets::default();
        all.adopt(&sets);
        let mut on = |change, value: &[u8]| all.settle(&sets, &[condition(change, value)]);
        assert!(on(DatasetChange::IsNotSet, b"a"));
        assert!(on(DatasetChange::Set, b"a"));
        assert!(!on(DatasetChange::Set, b"a"));
        assert!(on(DatasetChange::IsSet, b"a"));
        assert!(on(DatasetChange::Unset, b"a"));
        assert!(!on(DatasetChange::Unset, b"a"));
        assert!(on(DatasetChange::Set, b"b"));
        // The same sets again: a reload keeps what is there.
        all.adopt(&sets);
        let saved: Vec<_> = all.to_save().collect();
        assert_eq!(saved, [(Path::new("seen.lst"), "Yg==\n".to_owned())]);
    }

    #[test]
    fn one_value_of_an_option_is_enough_and_every_option_is_needed() {
        let sets = set(1000);
        let mut all = Datasets::default();
        all.adopt(&sets);
        let (a, b) = (
            condition(DatasetChange::Set, b"a"),
            condition(DatasetChange::Set, b"b"),
        );
        assert!(all.settle(&sets, &[a.clone(), b.clone()]));
        assert!(all.settle(&sets, &[a.clone(), b.clone()]));
        assert!(!all.settle(&sets, &[a.clone(), b]));
        let other = DatasetCondition {
            option: 2,
            ..condition(DatasetChange::IsSet, b"c")
        };
        assert!(!all.settle(&sets, &[condition(DatasetChange::IsSet, b"a"), other]));
    }

    #[test]
    fn a_set_grows_by_its_memcap() {
        let sets = set(2 * (VALUE_OVERHEAD_BYTES + 1));
        let mut all = Datasets::default();
        all.adopt(&sets);
        for (value, fits) in [(b"a", true), (b"b", true), (b"c", false)] {
            assert_eq!(
                all.settle(&sets, &[condition(DatasetChange::Set, value)]),
                fits
            );
        }
        assert_eq!((all.refused(), all.memory().used), (1, all.memory().bytes));
    }

    #[test]
    fn a_worker_tells_of_a_value_once() {
        let sets = set(1000);
        let mut settled = Settled::default();
        let once = [condition(DatasetChange::Set, b"a")];
        assert!(settled.may_hold(&sets, &once));
        assert!(!settled.may_hold(&sets, &once));
        sets[0].note_unset();
        assert!(settled.may_hold(&sets, &once));
    }
}
