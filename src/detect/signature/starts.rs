//! Patterns that can stand at few places of a block only: found by comparing, not by searching.
//!
//! Nine of ten of et-open's patterns that are bound to the front of a payload can stand at one offset only, mostly the
//! first, and most of the others at no more than a few. Looking them up by the byte there costs a few comparisons
//! a block, where searching costs a scan of the front, a thousand instructions before its first byte.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::rules::FastPattern;

/// Bytes of a pattern that are compared.
const PATTERN_MAX: usize = 48;

/// Furthest place; what can stand further behind only is searched.
const PLACE_MAX: u32 = 256;

/// Places of a pattern that are looked at one by one; what has more is searched.
const PLACES_MAX: u32 = 8;

/// The same of a pattern shorter than [`SHORT`], which is costly to search because it is found often.
const PLACES_OF_SHORT_MAX: u32 = 17;
const SHORT: u32 = 4;

/// Places of one table of first bytes.
const PLACES_OF_TABLE: usize = 64;

/// A pattern that is entered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Draft {
    bytes: Box<[u8]>,
    nocase: bool,
    rank: u32,
}

/// Patterns while signatures are compiled.
#[derive(Debug, Default)]
pub(super) struct StartsBuilder {
    /// By place.
    drafts: BTreeMap<u32, Vec<Draft>>,
}

impl StartsBuilder {
    /// The places where a pattern can stand, if there are few.
    fn places(fast: &FastPattern) -> Option<RangeInclusive<u32>> {
        let len = u32::try_from(fast.bytes.len())
            .ok()
            .filter(|len| *len > 0)?;
        let (start, end) = fast.bounds?;
        let room = end.saturating_sub(start).saturating_sub(len);
        let most = if len < SHORT {
            PLACES_OF_SHORT_MAX
        } else {
            PLACES_MAX
        };
        (room < most && start < PLACE_MAX).then(|| start..=start + room)
    }

    /// Adds a signature's pattern if it has few places; says whether.
    pub fn take(&mut self, fast: &FastPattern, rank: u32) -> bool {
        let Some(places) = Self::places(fast) else {
            return false;
        };
        let bytes = fast.bytes.get(..PATTERN_MAX).unwrap_or(&fast.bytes);
        for place in places {
            self.drafts.entry(place).or_default().push(Draft {
                bytes: bytes.into(),
                nocase: fast.nocase,
                rank,
            });
        }
        true
    }

    /// The table.
    pub fn finish(self) -> Starts {
        let mut starts = Starts::default();
        for (number, (at, drafts)) in self.drafts.into_iter().enumerate() {
            let place = Place::new(drafts);
            if number % PLACES_OF_TABLE == 0 {
                starts.tables.push(Table::default());
            }
            if let Some(table) = starts.tables.last_mut() {
                table.add(at as usize, &place);
            }
            starts.places.push(place);
        }
        starts
    }
}

/// The first bytes of a pattern beside those of the others with its first byte: what most patterns fail at is compared
/// without following a pointer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Head {
    /// The first four bytes, or as many as there are, little-endian, under `mask`.
    value: u32,
    /// Bits that count: of a letter without case all but the one that makes the difference.
    mask: u32,
    /// Its number in [`Place::patterns`].
    number: u32,
}

impl Head {
    fn new(pattern: &Pattern, number: u32) -> Self {
        let mask = |byte: &u8| {
            if pattern.nocase && byte.is_ascii_alphabetic() {
                !0x20
            } else {
                0xff
            }
        };
        let mut masks = [0u8; 4];
        for (slot, byte) in masks.iter_mut().zip(&pattern.bytes) {
            *slot = mask(byte);
        }
        let mask = u32::from_le_bytes(masks);
        Self {
            value: front(&pattern.bytes) & mask,
            mask,
            number,
        }
    }
}

/// The first four bytes, little-endian; zeros for those that are missing.
fn front(bytes: &[u8]) -> u32 {
    match bytes.first_chunk() {
        Some(first) => u32::from_le_bytes(*first),
        None => bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte)),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Pattern {
    bytes: Box<[u8]>,
    nocase: bool,
    /// Its signatures: a range of [`Place::ranks`].
    ranks: (u32, u32),
}

/// Patterns of one place, by their first byte.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    /// By first byte: a range of `heads`.
    by_first: Vec<(u32, u32)>,
    heads: Vec<Head>,
    patterns: Vec<Pattern>,
    ranks: Vec<u32>,
}

impl Place {
    fn new(mut drafts: Vec<Draft>) -> Self {
        // Equal patterns stand together, so that they are compared once.
        drafts.sort();
        let mut place = Self {
            by_first: Vec::with_capacity(256),
            heads: Vec::new(),
            patterns: Vec::new(),
            ranks: Vec::new(),
        };
        let mut buckets: Vec<Vec<u32>> = vec![Vec::new(); 256];
        for same in drafts.chunk_by(|a, b| a.bytes == b.bytes && a.nocase == b.nocase) {
            let Some(Draft { bytes, nocase, .. }) = same.first() else {
                continue;
            };
            let number = u32::try_from(place.patterns.len()).unwrap_or(u32::MAX);
            let from = u32::try_from(place.ranks.len()).unwrap_or(u32::MAX);
            place.ranks.extend(same.iter().map(|draft| draft.rank));
            let to = u32::try_from(place.ranks.len()).unwrap_or(u32::MAX);
            place.patterns.push(Pattern {
                bytes: bytes.clone(),
                nocase: *nocase,
                ranks: (from, to),
            });
            let first = bytes.first().copied().unwrap_or(0);
            let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
            for first in if *nocase { [lower, upper] } else { [first; 2] } {
                if let Some(bucket) = buckets.get_mut(usize::from(first))
                    && bucket.last() != Some(&number)
                {
                    bucket.push(number);
                }
            }
        }
        for bucket in buckets {
            let from = u32::try_from(place.heads.len()).unwrap_or(u32::MAX);
            for number in bucket {
                if let Some(pattern) = place.patterns.get(number as usize) {
                    place.heads.push(Head::new(pattern, number));
                }
            }
            let to = u32::try_from(place.heads.len()).unwrap_or(u32::MAX);
            place.by_first.push((from, to));
        }
        place
    }

    /// Adds the ranks of the patterns that the block begins with.
    fn find(&self, block: &[u8], candidates: &mut Vec<u32>) {
        let Some(heads) = block
            .first()
            .and_then(|first| self.by_first.get(usize::from(*first)))
        else {
            return;
        };
        let head = front(block);
        for pattern in range(&self.heads, *heads) {
            if head & pattern.mask != pattern.value {
                continue;
            }
            let Some(pattern) = self.patterns.get(pattern.number as usize) else {
                continue;
            };
            let Some(front) = block.get(..pattern.bytes.len()) else {
                continue;
            };
            let equal = if pattern.nocase {
                front.eq_ignore_ascii_case(&pattern.bytes)
            } else {
                *front == *pattern.bytes
            };
            if equal {
                candidates.extend_from_slice(range(&self.ranks, pattern.ranks));
            }
        }
    }
}

/// What patterns begin with at up to [`PLACES_OF_TABLE`] places: small, so that what does not begin one costs little.
#[derive(Debug, Serialize, Deserialize)]
struct Table {
    /// Where the places are in a block, in order.
    at: Vec<usize>,
    /// By byte: the places where a pattern begins with it, as bits.
    begins: Box<[u64]>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            at: Vec::new(),
            begins: vec![0; 256].into(),
        }
    }
}

impl Table {
    fn add(&mut self, at: usize, place: &Place) {
        let bit = 1u64 << (self.at.len() % PLACES_OF_TABLE);
        for (bits, (from, to)) in self.begins.iter_mut().zip(&place.by_first) {
            if from < to {
                *bits |= bit;
            }
        }
        self.at.push(at);
    }

    /// The places of the block at which a pattern may begin, as bits.
    fn candidates(&self, block: &[u8]) -> u64 {
        let mut found = 0;
        let mut bit = 1u64;
        for at in &self.at {
            // The places are in order.
            let Some(byte) = block.get(*at) else { break };
            found |= self.begins.get(usize::from(*byte)).map_or(0, |b| b & bit);
            bit = bit.rotate_left(1);
        }
        found
    }
}

/// Patterns by place.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Starts {
    tables: Vec<Table>,
    places: Vec<Place>,
}

impl Starts {
    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds the ranks of the patterns that stand at their place in the block to `candidates`.
    pub fn find(&self, block: &[u8], candidates: &mut Vec<u32>) {
        for (table, places) in self.tables.iter().zip(self.places.chunks(PLACES_OF_TABLE)) {
            let mut left = table.candidates(block);
            while left != 0 {
                let number = left.trailing_zeros() as usize;
                left &= left - 1;
                if let (Some(at), Some(place)) = (table.at.get(number), places.get(number)) {
                    place.find(block.get(*at..).unwrap_or_default(), candidates);
                }
            }
        }
    }
}

fn range<T>(list: &[T], (from, to): (u32, u32)) -> &[T] {
    list.get(from as usize..to as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::BufferId;

    fn fast(bytes: &[u8], nocase: bool, bounds: Option<(u32, u32)>) -> FastPattern {
        FastPattern {
            buffer: BufferId(0),
            bytes: bytes.to_vec(),
            nocase,
            bounds,
        }
    }

    fn found(starts: &Starts, block: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        starts.find(block, &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn only_its_own_place_counts() {
        let mut builder = StartsBuilder::default();
        assert!(builder.take(&fast(b"abc", false, Some((0, 3))), 1));
        assert!(builder.take(&fast(b"ABC", true, Some((0, 3))), 2));
        assert!(builder.take(&fast(b"abc", false, Some((0, 3))), 3));
        assert!(builder.take(&fast(b"\0", false, Some((0, 1))), 4));
        assert!(builder.take(&fast(b"cd", false, Some((2, 4))), 5));
        let starts = builder.finish();
        assert_eq!(found(&starts, b"abc"), [1, 2, 3]);
        assert_eq!(found(&starts, b"abcd"), [1, 2, 3, 5]);
        assert_eq!(found(&starts, b"aBc"), [2]);
        assert!(found(&starts, b".abcd").is_empty());
        assert!(found(&starts, b"ab").is_empty());
        assert_eq!(found(&starts, b"\0.cd"), [4, 5]);
        assert!(found(&starts, b"").is_empty());
        assert!(found(&StartsBuilder::default().finish(), b"abc").is_empty());
    }

    #[test]
    fn a_pattern_with_little_room_to_move_is_found_at_each_of_its_places() {
        let mut builder = StartsBuilder::default();
        assert!(builder.take(&fast(b"aBc", true, Some((1, 6))), 1));
        let starts = builder.finish();
        for block in ["xabc", "xxAbC", "xxxABC"] {
            assert_eq!(found(&starts, block.as_bytes()), [1], "{block}");
        }
        for block in ["abc", "xxxxabc", "xxab"] {
            assert!(found(&starts, block.as_bytes()).is_empty(), "{block}");
        }
    }

    #[test]
    fn a_pattern_with_much_room_to_move_is_not_taken() {
        let mut builder = StartsBuilder::default();
        assert!(!builder.take(&fast(b"abc", false, Some((0, 20))), 1));
        assert!(!builder.take(&fast(b"abcd", false, Some((0, 12))), 1));
        assert!(!builder.take(&fast(b"abc", false, None), 1));
        assert!(!builder.take(&fast(b"abc", false, Some((300, 303))), 1));
        assert!(builder.finish().is_empty());
    }

    #[test]
    fn there_may_be_any_number_of_places() {
        let mut builder = StartsBuilder::default();
        for place in 0..200 {
            assert!(builder.take(&fast(b"xyz", false, Some((place, place + 3))), place));
        }
        let starts = builder.finish();
        for place in [0, 63, 64, 127, 128, 199] {
            let mut block = vec![b'.'; place as usize];
            block.extend_from_slice(b"xyz");
            assert_eq!(found(&starts, &block), [place]);
        }
    }

    #[test]
    fn a_long_pattern_is_found_by_its_front() {
        let mut builder = StartsBuilder::default();
        assert!(builder.take(&fast(&[b'x'; 200], false, Some((1, 201))), 1));
        assert_eq!(found(&builder.finish(), &[b'x'; 201]), [1]);
    }
}
