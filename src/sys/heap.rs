//! How much of the heap each thread holds: an allocator that counts.
//!
//! What parsers keep lies in the boxes and vectors of forty protocols, and only the allocator knows their sum. Work that is
//! done on one thread between two readings of [`held`] took what they differ by.
//!
//! Costs an addition an allocation. It counts what malloc takes, not what was asked for: a header of eight bytes, multiples
//! of sixteen. A program that installs another allocator reads 0, and accounts made of it stay empty.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    /// Bytes this thread took, less those it gave back: negative where it frees what others took.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that this thread took less those it gave back. Only differences mean something.
#[inline]
pub fn held() -> i64 {
    HELD.try_with(Cell::get).unwrap_or(0)
}

#[inline]
fn note(bytes: i64) {
    // There is nothing to do about a thread that is ending.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(bytes)));
}

/// What malloc takes for so many bytes (glibc: `request2size`).
#[inline]
fn taken(size: usize) -> i64 {
    let chunk = (size.saturating_add(8 + 15) & !15).max(32);
    i64::try_from(chunk).unwrap_or(i64::MAX)
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds (the cell of a thread
// has no destructor and is there from the start).
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(taken(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(taken(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(taken(size) - taken(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-taken(layout.size()));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_given_back_is_counted() {
        let before = held();
        let mut bytes: Vec<u8> = Vec::with_capacity(1_000);
        assert_eq!(held() - before, 1_008);
        bytes.resize(5_000, 0);
        assert!(held() - before >= 5_008);
        let zeroes = vec![0u8; 24];
        drop(bytes);
        assert_eq!(held() - before, 32);
        drop(zeroes);
        assert_eq!(held(), before);
    }
}
