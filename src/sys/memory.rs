//! Memory maps of files, memory that will be needed soon, and the time of a thread.

use std::fs::File;
use std::io;

/// Maps a file for reading.
///
/// A file that is cut while it is mapped makes the kernel end the process with SIGBUS; captures that are still being
/// written are to be read through a pipe (`-`).
pub fn map_file(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the map is private and read-only; nothing here hands out mutable access. Changes of the file by others may
    // change the bytes seen, which parsers treat as hostile input anyway: they read each byte as plain data.
    unsafe { memmap2::Mmap::map(file) }
}

/// Gives memory that was freed back to the kernel: after a reload, that of the old rules.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes an integer, touches only free memory, and takes the allocator's locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Processor time that the calling thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is ours and lives until the call returns; the kernel fills it.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if result != 0 {
        return 0;
    }
    let (secs, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    secs.unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos.unwrap_or(0))
}

/// Asks for the cache lines of an element, without waiting for them; out of range, nothing. Where the processor has no
/// such hint, nothing either.
///
/// A plain read would do the same work, but holds up everything behind it until memory has answered: of a flood of SYNs,
/// each with an address of its own, that wait is the larger part.
#[inline]
pub fn prefetch<T>(of: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = of.get(at) {
        const LINE: usize = 64;
        let first: *const i8 = std::ptr::from_ref(element).cast();
        for offset in (0..size_of::<T>().max(1)).step_by(LINE) {
            // SAFETY: a prefetch neither reads nor writes as far as the program can see, and never faults; the address
            // lies within a live element. SSE, which has the instruction, is part of every x86-64.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(
                    first.wrapping_add(offset),
                );
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (of, at);
}

/// Tells the kernel that a part of a map is not needed for now: it leaves memory, and is read again if touched.
pub fn release_mapped(map: &memmap2::Mmap, offset: usize, len: usize) {
    const PAGE: usize = 4096;
    let start = offset.next_multiple_of(PAGE);
    let end = offset.saturating_add(len).min(map.len()) / PAGE * PAGE;
    if start < end {
        // SAFETY: the range lies inside the map and is page-aligned. MADV_DONTNEED on a private read-only file mapping
        // keeps its contents readable: pages are faulted in again from the file.
        unsafe {
            libc::madvise(
                map.as_ptr().add(start).cast_mut().cast(),
                end - start,
                libc::MADV_DONTNEED,
            );
        }
    }
}
