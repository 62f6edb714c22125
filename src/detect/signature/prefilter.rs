//! The prefilter: one rare content of each signature, in multi-pattern databases by buffer and direction.
//!
//! A match only makes candidates; verification decides. So a database may report more than it should (patterns are cut
//! to [`PATTERN_MAX`] bytes, bounds are checked at the first occurrence only), never less.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use memchr::memchr_iter;
use memchr::memmem::Finder;

use crate::rules::FastPattern;
use crate::sys::hs::{Database, Literal, Scratch};

/// Bytes of a pattern that are looked for; more costs memory and does not make it rarer.
pub(super) const PATTERN_MAX: usize = 48;

/// Bytes of a pattern that must be left behind its NULs to do without them.
const AFTER_NULS_MIN: usize = 3;

/// A candidate of a pattern.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Entry {
    rank: u32,
    /// The pattern must end here or before, in the whole buffer; `u32::MAX`: no bound.
    end_max: u32,
}

/// Patterns of one buffer and direction while signatures are compiled.
#[derive(Debug, Default)]
pub(super) struct MatcherBuilder {
    ids: HashMap<(Box<[u8]>, bool), usize, foldhash::fast::RandomState>,
    patterns: Vec<(Box<[u8]>, bool, Vec<Entry>)>,
}

impl MatcherBuilder {
    /// Adds a signature's pattern with its bounds.
    pub fn add(&mut self, fast: &FastPattern, rank: u32) {
        self.add_within(fast, fast.bounds, rank);
    }

    /// Adds a signature's pattern with other bounds.
    pub fn add_within(&mut self, fast: &FastPattern, bounds: Option<(u32, u32)>, rank: u32) {
        let cut = fast.bytes.len() > PATTERN_MAX;
        let mut bytes: Box<[u8]> =
            without_nuls(fast.bytes.get(..PATTERN_MAX).unwrap_or(&fast.bytes)).into();
        if fast.nocase {
            bytes.make_ascii_lowercase();
        }
        let end_max = bounds.map_or(u32::MAX, |(_, end)| if cut { u32::MAX } else { end });
        let next = self.patterns.len();
        let at = *self.ids.entry((bytes.clone(), fast.nocase)).or_insert(next);
        if at == next {
            self.patterns.push((bytes, fast.nocase, Vec::new()));
        }
        if let Some((_, _, entries)) = self.patterns.get_mut(at) {
            entries.push(Entry { rank, end_max });
        }
    }

    /// Number of patterns.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// The patterns that libhs looks for, for compiling and for the key of the cache.
    pub fn literals(&self) -> Vec<Literal<'_>> {
        let alone = self.needles_alone();
        self.patterns
            .iter()
            .zip(0..)
            .filter(|((bytes, nocase, _), _)| alone || !is_needle(bytes, *nocase))
            .map(|((bytes, nocase, _), id)| Literal {
                bytes,
                nocase: *nocase,
                id,
            })
            .collect()
    }

    /// Whether there are only patterns for which libhs is not the best: something must be in its database.
    fn needles_alone(&self) -> bool {
        self.patterns
            .iter()
            .all(|(bytes, nocase, _)| is_needle(bytes, *nocase))
    }

    /// The matcher, with its compiled database.
    pub fn finish(self, database: Database) -> Matcher {
        let shortest = self
            .patterns
            .iter()
            .map(|(bytes, ..)| bytes.len())
            .min()
            .unwrap_or(0);
        let alone = self.needles_alone();
        let needles = self
            .patterns
            .iter()
            .zip(0..)
            .filter(|((bytes, nocase, _), _)| !alone && is_needle(bytes, *nocase))
            .map(|((bytes, ..), id)| (bytes.to_vec(), id))
            .collect::<Vec<_>>()
            .into();
        let mut starts = Vec::with_capacity(self.patterns.len() + 1);
        let mut entries = Vec::new();
        for (_, _, list) in &self.patterns {
            starts.push(u32::try_from(entries.len()).unwrap_or(u32::MAX));
            entries.extend_from_slice(list);
        }
        starts.push(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        entries.shrink_to_fit();
        Matcher {
            database,
            table: PatternTable {
                needles,
                shortest,
                starts,
                entries,
            },
        }
    }
}

/// A pattern without the NULs it begins with, when enough of it is left: libhs compiles literals that begin with NUL
/// five times slower, and NULs do not make a pattern rare. Where it ends, which is what bounds ask, stays.
fn without_nuls(pattern: &[u8]) -> &[u8] {
    let nuls = pattern.iter().take_while(|byte| **byte == 0).count();
    pattern
        .get(nuls..)
        .filter(|rest| rest.len() >= AFTER_NULS_MIN)
        .unwrap_or(pattern)
}

/// Whether a pattern is searched by itself: libhs takes literals that begin with NUL only among expressions, which makes the
/// databases they are in ten times as large and slow by cache misses. There are a handful.
fn is_needle(pattern: &[u8], nocase: bool) -> bool {
    pattern.first() == Some(&0) && !(nocase && pattern.iter().any(u8::is_ascii_alphabetic))
}

/// Compiled patterns of one buffer and direction.
#[derive(Debug)]
pub(super) struct Matcher {
    database: Database,
    table: PatternTable,
}

/// What the patterns of a database stand for, and those that are not in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PatternTable {
    /// Patterns that are not in the database.
    needles: Needles,
    shortest: usize,
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

/// Patterns that begin with NUL, searched together: where no NUL is, none is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(Vec<u8>, u32)>", into = "Vec<(Vec<u8>, u32)>")]
struct Needles {
    /// With their numbers.
    list: Vec<(Finder<'static>, u32)>,
    /// By second byte: those of the first 64 that go on with it, as bits. Empty when there is no needle.
    seconds: Vec<u64>,
}

/// Bytes of a block for each NUL that is looked at by itself. Where there are more, the needles are searched one by one.
/// Random bytes have one in 256.
const BYTES_A_NUL: usize = 128;

impl From<Vec<(Vec<u8>, u32)>> for Needles {
    fn from(needles: Vec<(Vec<u8>, u32)>) -> Self {
        let mut seconds = vec![0; if needles.is_empty() { 0 } else { 256 }];
        for (at, (bytes, _)) in needles.iter().enumerate().take(64) {
            for (second, bits) in seconds.iter_mut().enumerate() {
                if bytes.get(1).is_none_or(|b| usize::from(*b) == second) {
                    *bits |= 1 << at;
                }
            }
        }
        let finder = |(bytes, id): (Vec<u8>, u32)| (Finder::new(&bytes).into_owned(), id);
        Self {
            list: needles.into_iter().map(finder).collect(),
            seconds,
        }
    }
}

impl From<Needles> for Vec<(Vec<u8>, u32)> {
    fn from(needles: Needles) -> Self {
        let list = needles.list.into_iter();
        list.map(|(finder, id)| (finder.needle().to_vec(), id))
            .collect()
    }
}

impl Needles {
    /// Gives the number of each needle that the block holds, and the offset of the end of its first occurrence.
    fn find(&self, block: &[u8], mut found: impl FnMut(u32, usize)) {
        if self.list.is_empty() {
            return;
        }
        let count = self.list.len().min(64);
        let mut left = u64::MAX >> (64 - count);
        let mut nuls = block.len() / BYTES_A_NUL;
        // Where those are searched one by one that are left.
        let mut from = block.len();
        for at in memchr_iter(0, block) {
            if nuls == 0 {
                from = at;
                break;
            }
            nuls -= 1;
            let rest = block.get(at..).unwrap_or_default();
            let second = rest.get(1).map_or(u64::MAX, |b| {
                self.seconds.get(usize::from(*b)).copied().unwrap_or(0)
            });
            let mut here = left & second;
            while here != 0 {
                let number = here.trailing_zeros();
                here &= here - 1;
                if let Some((finder, id)) = self.list.get(number as usize)
                    && rest.starts_with(finder.needle())
                {
                    found(*id, at + finder.needle().len());
                    left &= !(1 << number);
                }
            }
            if left == 0 {
                break;
            }
        }
        let rest = block.get(from..).unwrap_or_default();
        for (number, (finder, id)) in self.list.iter().enumerate() {
            let (at, area) = if number < 64 {
                (from, rest)
            } else {
                (0, block)
            };
            let open = number >= 64 || left & 1 << number != 0;
            if open && let Some(place) = finder.find(area) {
                found(*id, at + place + finder.needle().len());
            }
        }
    }
}

impl Matcher {
    /// From what was stored.
    pub fn restored(database: Database, table: PatternTable) -> Self {
        Self { database, table }
    }

    /// What is to be stored, besides the database.
    pub fn table(&self) -> &PatternTable {
        &self.table
    }

    /// Adds the ranks of the candidates to `candidates`, with repeats. `offset`: where the block begins in its buffer.
    /// Bytes scanned. Without scratch memory, or when libhs fails, everything is a candidate: never a silent pass.
    pub fn scan(
        &self,
        scratch: Option<&mut Scratch>,
        block: &[u8],
        offset: u64,
        candidates: &mut Vec<u32>,
    ) -> u64 {
        if block.len() < self.table.shortest {
            return 0;
        }
        let mut found = |id: u32, end: usize| {
            let id = id as usize;
            let (Some(start), Some(stop)) =
                (self.table.starts.get(id), self.table.starts.get(id + 1))
            else {
                return true;
            };
            let end = offset.saturating_add(end as u64);
            for entry in self
                .table
                .entries
                .get(*start as usize..*stop as usize)
                .unwrap_or_default()
            {
                if entry.end_max == u32::MAX || end <= u64::from(entry.end_max) {
                    candidates.push(entry.rank);
                }
            }
            true
        };
        self.table.needles.find(block, |id, end| {
            found(id, end);
        });
        let scanned = scratch.map(|scratch| self.database.scan(scratch, block, found));
        if !matches!(scanned, Some(Ok(()))) {
            candidates.extend(self.table.entries.iter().map(|e| e.rank));
        }
        block.len() as u64
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }
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

    fn candidates(builder: MatcherBuilder, block: &[u8], offset: u64) -> Vec<u32> {
        let database = Database::compile(&builder.literals()).unwrap();
        let matcher = builder.finish(database);
        let mut scratch = Scratch::for_databases([matcher.database()])
            .unwrap()
            .unwrap();
        let mut found = Vec::new();
        matcher.scan(Some(&mut scratch), block, offset, &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn shared_patterns_give_all_their_signatures() {
        let mut builder = MatcherBuilder::default();
        builder.add(&fast(b"abc", false, None), 3);
        builder.add(&fast(b"abc", false, Some((0, 3))), 5);
        builder.add(&fast(b"ABC", true, None), 7);
        assert_eq!(builder.len(), 2);
        assert_eq!(candidates(builder, b".abc", 0), [3, 7]);
    }

    #[test]
    fn bounds_count_from_the_start_of_the_whole_buffer() {
        let mut builder = MatcherBuilder::default();
        builder.add(&fast(b"abc", false, Some((0, 5))), 1);
        assert!(candidates(builder, b"abc", 3).is_empty());
    }

    #[test]
    fn patterns_that_begin_with_nul_are_found_beside_others() {
        let mut builder = MatcherBuilder::default();
        builder.add(&fast(b"\0\x19", false, None), 1);
        builder.add(&fast(b"\0\0abc", false, Some((1, 6))), 2);
        builder.add(&fast(b"xyz", false, None), 3);
        builder.add(&fast(b"\0\x02", false, Some((0, 2))), 4);
        builder.add(&fast(b"\0k", true, None), 5);
        let block = b"\0\0\0abc\0\x19xyz\0\x02\0K";
        assert_eq!(candidates(builder, block, 0), [1, 2, 3, 5]);
        let mut builder = MatcherBuilder::default();
        builder.add(&fast(b"\0\x19", false, None), 1);
        assert_eq!(candidates(builder, b"..\0\x19", 0), [1]);
    }

    #[test]
    fn needles_are_found_where_they_first_stand_however_many_nuls_there_are() {
        let bytes: [&[u8]; 5] = [b"\0", b"\0\0", b"\0ab", b"\0\0\0c", b"\0\xff\0"];
        let needles: Needles = (bytes.iter().map(|b| b.to_vec()).zip(0..))
            .collect::<Vec<_>>()
            .into();
        let mut state = 7u32;
        for round in 0..4_000usize {
            let block: Vec<u8> = (0..round % 300)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let letters = b"\0abc\xff.......................";
                    letters[(state >> 16) as usize % (5 + round % 24)]
                })
                .collect();
            let mut found = Vec::new();
            needles.find(&block, |id, end| found.push((id, end)));
            found.sort_unstable();
            let naive: Vec<(u32, usize)> = (bytes.iter().zip(0u32..))
                .filter_map(|(needle, id)| {
                    let at = block.windows(needle.len()).position(|w| w == *needle)?;
                    Some((id, at + needle.len()))
                })
                .collect();
            assert_eq!(found, naive, "{block:?}");
        }
    }

    #[test]
    fn a_long_pattern_is_found_by_its_front() {
        let long = [b'x'; 200];
        let mut builder = MatcherBuilder::default();
        builder.add(&fast(&long, false, Some((0, 200))), 1);
        assert_eq!(candidates(builder, &long, 0), [1]);
    }
}
