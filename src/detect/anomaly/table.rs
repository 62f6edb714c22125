//! A fixed-size table: eight-way sets, the least valuable entry of a full set gives way. All memory is taken at start.

use std::hash::{BuildHasher, Hash};

/// Entries of a set.
const WAYS: usize = 8;

/// A bounded map. `V::worth` ranks entries: the lowest goes first.
///
/// A set's tags (15 bits of the hash of each key, 0: empty) lie together, so that a key that is not there costs one line of
/// the cache, and one that is there two.
#[derive(Debug)]
pub struct SetTable<K, V> {
    tags: Vec<[u16; WAYS]>,
    slots: Vec<Option<(K, V)>>,
    hasher: foldhash::quality::RandomState,
    /// Entries that had to go.
    pub evicted: u64,
}

/// How much an entry is worth keeping.
pub trait Worth {
    /// Higher stays.
    fn worth(&self) -> u64;
}

impl<K: Eq + Hash + Copy, V: Worth> SetTable<K, V> {
    /// Room for `capacity` entries (rounded up to whole sets).
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self {
            tags: vec![[0; WAYS]; sets],
            slots: (0..sets * WAYS).map(|_| None).collect(),
            hasher: foldhash::quality::RandomState::default(),
            evicted: 0,
        }
    }

    /// Bytes the table takes.
    pub fn bytes(&self) -> u64 {
        let tags = self.tags.len() * size_of::<[u16; WAYS]>();
        (tags + self.slots.len() * size_of::<Option<(K, V)>>()) as u64
    }

    /// The set of a key, and the key's tag.
    fn place(&self, key: &K) -> (usize, u16) {
        let hash = self.hasher.hash_one(key);
        let set = hash as usize % self.tags.len().max(1);
        (set, (hash >> 48) as u16 | 1 << 15)
    }

    /// Where in its set a key is.
    fn find(&self, (set, tag): (usize, u16), key: &K) -> Option<usize> {
        let tags = self.tags.get(set)?;
        tags.iter().enumerate().find_map(|(way, other)| {
            let slot = || self.slots.get(set * WAYS + way);
            let mine = *other == tag && matches!(slot(), Some(Some((k, _))) if k == key);
            mine.then_some(way)
        })
    }

    /// The entry of `key`, when it is there.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key);
        let way = self.find(place, key)?;
        let slot = self.slots.get_mut(place.0 * WAYS + way)?;
        slot.as_mut().map(|(_, v)| v)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.slots.iter().flatten()
    }

    /// The entry of `key`; made by `new` when it is not there.
    pub fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        let place = self.place(&key);
        let (set, tag) = place;
        let found = self.find(place, &key);
        let tags = self.tags.get_mut(set)?;
        let slots = self.slots.get_mut(set * WAYS..(set + 1) * WAYS)?;
        let way = match found.or_else(|| tags.iter().position(|tag| *tag == 0)) {
            Some(way) => way,
            None => {
                self.evicted += 1;
                let worth = |slot: &Option<(K, V)>| slot.as_ref().map_or(0, |(_, v)| v.worth());
                slots
                    .iter()
                    .enumerate()
                    .min_by_key(|(_, slot)| worth(slot))
                    .map(|(way, _)| way)?
            }
        };
        let slot = slots.get_mut(way)?;
        if found.is_none() {
            *tags.get_mut(way)? = tag;
            *slot = Some((key, new()));
        }
        slot.as_mut().map(|(_, v)| v)
    }
}

/// A set of up to some two hundred hashes in 32 bytes: enough to tell first contacts from repeated ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bitmap256([u64; 4]);

impl Bitmap256 {
    /// Adds a hash; whether it was new.
    pub fn insert(&mut self, hash: u64) -> bool {
        let (word, bit) = ((hash >> 6 & 3) as usize, 1u64 << (hash & 63));
        match self.0.get_mut(word) {
            Some(w) => {
                let new = *w & bit == 0;
                *w |= bit;
                new
            }
            None => false,
        }
    }

    /// Estimate of the number of distinct hashes (linear counting, Whang 1990); saturates at about 1,400.
    pub fn estimate(&self) -> u32 {
        let zero = self.0.iter().map(|w| w.count_zeros()).sum::<u32>();
        let share = f64::from(zero.max(1)) / 256.0;
        (-256.0 * share.ln()).round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Worth for u64 {
        fn worth(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn the_least_valuable_entry_gives_way() {
        let mut table: SetTable<u32, u64> = SetTable::new(8);
        for key in 0..8 {
            table.entry(key, || u64::from(key) + 10);
        }
        table.entry(100, || 1);
        let keys: Vec<u32> = table.slots.iter().flatten().map(|(k, _)| *k).collect();
        assert!(!keys.contains(&0) && keys.contains(&7) && keys.contains(&100));
        assert_eq!(table.evicted, 1);
    }

    #[test]
    fn estimates_follow_the_number_of_distinct_hashes() {
        let mut map = Bitmap256::default();
        let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        for i in 0..100u64 {
            map.insert(mix(i));
            map.insert(mix(i));
        }
        assert!((80..=120).contains(&map.estimate()), "{}", map.estimate());
    }
}
