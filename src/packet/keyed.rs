//! The hash of tables whose keys come from the wire.
//!
//! A sender who knows the hash can aim at one bucket of a table, and push out what he does not want kept. So the hash has
//! a key: random for live traffic ([`choose`], once, before the first table is made), fixed for replay, where a full table
//! must behave the same every time and for every number of workers.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::quality::{FixedState, FoldHasher};

static KEY: OnceLock<u64> = OnceLock::new();

/// Replay's.
const FIXED: u64 = 0x5ec1_5400_0000_0001;

/// Sets the key of every table made from now on. Says whether it could: only the first call, before any table, can.
pub fn choose(key: u64) -> bool {
    KEY.set(key).is_ok()
}

/// The key of this process.
pub fn key() -> u64 {
    *KEY.get_or_init(|| FIXED)
}

/// A hash state with the key of this process.
#[derive(Clone, Debug)]
pub struct Keyed(FixedState);

impl Default for Keyed {
    fn default() -> Self {
        Self(FixedState::with_seed(key()))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_one_process_hash_alike() {
        assert_eq!(Keyed::default().hash_one(7), Keyed::default().hash_one(7));
        assert!(!choose(1), "a table is made already");
        assert_eq!(key(), FIXED);
    }
}
