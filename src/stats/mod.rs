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
