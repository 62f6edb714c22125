//! What has been seen before, in fixed memory: a Bloom filter (Bloom 1970) of two generations.
//!
//! A generation ends when it is a third full or old; the one before it is still asked, so that nothing is forgotten before
//! one generation has passed. It may say "seen" of what was not (below 2 % at the fill at which a generation ends), never
//! the reverse within a generation.

use crate::packet::Timestamp;
use crate::stats::Memory;

/// Bits set per element.
const PROBES: u32 = 4;

/// The filter.
#[derive(Debug)]
pub struct Bloom {
    now: Vec<u64>,
    before: Vec<u64>,
    since: Timestamp,
    inserted: u64,
    generation_secs: u64,
}

impl Bloom {
    /// Two generations of so many bytes each (rounded up to a power of two), and how long one lasts.
    pub fn new(bytes: usize, generation_secs: u64) -> Self {
        let words = bytes.div_ceil(8).next_power_of_two().max(8);
        Self {
            now: vec![0; words],
            before: vec![0; words],
            since: Timestamp(0),
            inserted: 0,
            generation_secs: generation_secs.max(1),
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        Memory::whole((self.now.len() + self.before.len()) as u64 * 8)
    }

    /// Whether it was seen.
    pub fn contains(&self, hash: u64) -> bool {
        let in_one = |words: &[u64]| {
            places(hash, words.len()).all(|(at, bit)| words.get(at).is_some_and(|w| w & bit != 0))
        };
        in_one(&self.now) || in_one(&self.before)
    }

    /// Adds it at `now`; whether it was new.
    pub fn insert(&mut self, hash: u64, now: Timestamp) -> bool {
        if self.since == Timestamp(0) {
            self.since = now;
        }
        // A third of the bits are set after about a tenth of their number of elements.
        let full = self.inserted >= self.now.len() as u64 * 64 / 10;
        if full || now.secs_since(self.since) >= self.generation_secs {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.fill(0);
            self.since = now;
            self.inserted = 0;
        }
        let new = !self.contains(hash);
        let words = self.now.len();
        let mut added = false;
        for (at, bit) in places(hash, words) {
            if let Some(word) = self.now.get_mut(at) {
                added |= *word & bit == 0;
                *word |= bit;
            }
        }
        self.inserted += u64::from(added);
        new
    }
}

/// The bits of a hash, by double hashing (Kirsch and Mitzenmacher 2006).
fn places(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (a, b) = (mixed >> 32, (mixed ^ hash.rotate_left(17)) | 1);
    (0..u64::from(PROBES)).map(move |i| {
        let bit = a
            .wrapping_add(i.wrapping_mul(b))
            .wrapping_mul(0xff51_afd7_ed55_8ccd)
            >> 20;
        ((bit >> 6) as usize & (words - 1), 1 << (bit & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_little_else() {
        let mut bloom = Bloom::new(1 << 14, 100);
        let at = Timestamp::new(1_000, 0);
        for i in 0..5_000u64 {
            bloom.insert(i.wrapping_mul(0xdead_beef_1234_5677), at);
        }
        assert!((0..5_000u64).all(|i| bloom.contains(i.wrapping_mul(0xdead_beef_1234_5677))));
        let wrong = (5_000..15_000u64)
            .filter(|i| bloom.contains(i.wrapping_mul(0xdead_beef_1234_5677)))
            .count();
        assert!(wrong < 200, "{wrong} of 10,000");
    }

    #[test]
    fn it_forgets_after_two_generations_and_never_grows() {
        let mut bloom = Bloom::new(1 << 10, 100);
        let bytes = bloom.memory().bytes;
        bloom.insert(7, Timestamp::new(1_000, 0));
        bloom.insert(8, Timestamp::new(1_150, 0));
        assert!(bloom.contains(7));
        bloom.insert(9, Timestamp::new(1_300, 0));
        assert!(!bloom.contains(7));
        for i in 0..1_000_000u64 {
            bloom.insert(
                i.wrapping_mul(0x1234_5678_9abc_def1),
                Timestamp::new(1_301, 0),
            );
        }
        assert_eq!(bloom.memory().bytes, bytes);
    }
}
