//! Counters: plain integers with one owner each, added up by whoever reports.

/// Bytes a table, queue or buffer may take at most; the sum is printed at start and never exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// What it is, e.g. `flow table`.
    pub what: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// Of these, in use now. What is not counted entry by entry is taken as in use.
    pub used: u64,
}

/// Memory of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The most bytes it may take.
    pub bytes: u64,
    /// Bytes of what is in it.
    pub used: u64,
}

impl Memory {
    /// Of something that is always as large as it may be.
    pub fn whole(bytes: u64) -> Self {
        Self { bytes, used: bytes }
    }

    /// Of a hash map of entries of type `T` that holds `len` and never more than `max` of them. Its places are a power of
    /// two, seven in eight of them used, with a byte each beside the entry; when it grows, half as many are there beside.
    pub fn of_map<T>(len: usize, max: usize) -> Self {
        let places = max.saturating_mul(8).div_ceil(7).next_power_of_two();
        let entry = size_of::<T>().saturating_add(1);
        Self {
            bytes: (places / 2 * 3).saturating_mul(entry) as u64,
            used: len.saturating_mul(entry) as u64,
        }
    }

    /// With its name.
    pub fn of(self, what: &'static str) -> MemoryBound {
        MemoryBound {
            what,
            bytes: self.bytes,
            used: self.used,
        }
    }
}

impl std::ops::Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            used: self.used.saturating_add(other.used),
        }
    }
}
