//! Where a flow is filed, by the hash of its key: open addressing, linear probing, one word an entry.
//!
//! ```text
//!  63            32 31              0
//! ┌────────────────┬─────────────────┐
//! │ top of the hash│ number plus one │   all zero: empty
//! └────────────────┴─────────────────┘
//! ```
//!
//! An entry's home is the top of its hash, which the word holds: finding, adding and taking out touch nothing but
//! neighbouring words (eight to a cache line), and a key is compared only where 32 bits of the hash agree. Taking out
//! moves back what probing had pushed behind, so that there are no tombstones and it never degrades.
//!
//! It grows with what is in it, so that few entries stay in the cache; words hold all that is needed to move them.
//!
//! Limits: as many entries as it was made for, which fill at most half of it. The hash must be keyed.

use crate::sys::prefetch;

/// Numbers by hash.
#[derive(Debug)]
pub(super) struct Index {
    words: Vec<u64>,
    shift: u32,
    len: usize,
    /// Places it may have.
    places_max: usize,
}

/// Places at first: two pages.
const PLACES_MIN: usize = 1024;

impl Index {
    /// For so many entries.
    pub(super) fn new(entries: usize) -> Self {
        let places_max = (entries.max(8) * 2).next_power_of_two();
        let places = places_max.min(PLACES_MIN);
        Self {
            words: vec![0; places],
            shift: 64 - places.trailing_zeros(),
            len: 0,
            places_max,
        }
    }

    /// Most bytes it takes: the last growth holds the old words beside the new ones.
    pub(super) fn bytes(&self) -> usize {
        self.places_max * size_of::<u64>() / 2 * 3
    }

    /// Twice as many places.
    #[cold]
    fn grow(&mut self) {
        let places = self.words.len() * 2;
        let old = std::mem::replace(&mut self.words, vec![0; places]);
        self.shift -= 1;
        for word in old.into_iter().filter(|word| *word != 0) {
            self.put(word);
        }
    }

    /// Writes a word to the first empty place from its home on.
    #[inline]
    fn put(&mut self, word: u64) {
        let mut at = self.home(word);
        // Twice as many places as entries: an empty one is always found.
        while let Some(place) = self.words.get_mut(at) {
            if *place == 0 {
                *place = word;
                return;
            }
            at = self.after(at);
        }
    }

    #[inline]
    fn home(&self, word: u64) -> usize {
        (word >> self.shift) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.words.len() - 1)
    }

    /// The number filed under `hash` of which `same` says that its key is the one looked for.
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let word = *self.words.get(at)?;
            if word == 0 {
                return None;
            }
            if word >> 32 == hash >> 32 {
                let number = word as u32 - 1;
                if same(number) {
                    return Some(number);
                }
            }
            at = self.after(at);
        }
    }

    /// Asks for the word a hash begins at. Of many hashes at once, memory answers while lookups would wait in turn.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&self.words, self.home(hash));
    }

    /// Files a number. Its key must not be there yet.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        if self.len * 2 >= self.words.len() && self.words.len() < self.places_max {
            self.grow();
        }
        self.len += 1;
        self.put(hash >> 32 << 32 | u64::from(number + 1));
    }

    /// Files `new` where `old` was, under the same hash.
    pub(super) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let at = self.place(hash, old);
        if let Some(word) = self.words.get_mut(at).filter(|word| **word != 0) {
            *word = hash >> 32 << 32 | u64::from(new + 1);
        }
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let mut at = self.place(hash, number);
        let mut hole = at;
        if self.words.get(at).is_none_or(|word| *word == 0) {
            return;
        }
        self.len -= 1;
        loop {
            at = self.after(at);
            let Some(&word) = self.words.get(at) else {
                return;
            };
            if word == 0 {
                break;
            }
            let mask = self.words.len() - 1;
            // It may move into the hole unless its home lies between the hole and where it is.
            if (at.wrapping_sub(self.home(word)) & mask) >= (at.wrapping_sub(hole) & mask) {
                if let Some(place) = self.words.get_mut(hole) {
                    *place = word;
                }
                hole = at;
            }
        }
        if let Some(place) = self.words.get_mut(hole) {
            *place = 0;
        }
    }

    /// Where a number stands, or the empty place where it would.
    #[inline]
    fn place(&self, hash: u64, number: u32) -> usize {
        let mut at = self.home(hash);
        while self
            .words
            .get(at)
            .is_some_and(|word| *word != 0 && *word as u32 != number + 1)
        {
            at = self.after(at);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_agrees_with_a_map_however_entries_come_and_go() {
        let mut index = Index::new(64);
        let mut model: HashMap<u32, u64> = HashMap::new();
        let mut state = 1u64;
        for step in 0..20_000u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Few homes, so that probing runs long and wraps.
            let hash = (state >> 61 << 61) | u64::from(step) << 32;
            if model.len() < 64 {
                index.insert(hash, step);
                model.insert(step, hash);
            }
            if state & 1 == 0
                && let Some((&number, &hash)) = model.iter().next()
            {
                index.remove(hash, number);
                model.remove(&number);
                assert_eq!(index.find(hash, |found| found == number), None);
            }
            for (&number, &hash) in &model {
                assert_eq!(index.find(hash, |found| found == number), Some(number));
            }
        }
    }

    #[test]
    fn it_grows_to_what_it_was_made_for_and_no_further() {
        let mut index = Index::new(5_000);
        let hash = |i: u32| u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for i in 0..5_000 {
            index.insert(hash(i), i);
        }
        assert_eq!(index.words.len(), 16_384);
        assert!((0..5_000).all(|i| index.find(hash(i), |n| n == i) == Some(i)));
        for i in 0..5_000 {
            index.remove(hash(i), i);
        }
        assert!(index.words.iter().all(|word| *word == 0));
    }

    #[test]
    fn a_replaced_number_is_found_under_the_same_hash() {
        let mut index = Index::new(8);
        index.insert(7 << 60, 1);
        index.insert(7 << 60 | 1 << 40, 2);
        index.replace(7 << 60 | 1 << 40, 2, 9);
        assert_eq!(index.find(7 << 60 | 1 << 40, |_| true), Some(9));
        assert_eq!(index.find(7 << 60, |_| true), Some(1));
    }
}
