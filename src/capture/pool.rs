//! Buffers in which batches of frames lie, used again once nobody looks at them any more.
//!
//! The one used last comes first: its memory is warm. What only a burst needed goes back, one buffer in [`LOOK_EVERY`]
//! calls; else a sensor would keep for ever what the worst moment of its life took.
//! Limits: so many buffers are kept as the pool is made for; what is beyond is freed when it is no longer looked at.

use std::sync::Arc;

/// Buffers that are kept although nobody needs them now: more are on their way even in quiet traffic.
const KEPT: usize = 16;
/// Calls between two looks whether a buffer can go.
const LOOK_EVERY: u32 = 64;
/// Bytes that a new buffer has room for.
const BYTES: usize = 128 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The one used last at the end.
    list: Vec<Arc<Vec<u8>>>,
    most: usize,
    calls: u32,
}

impl Buffers {
    /// Keeps at most so many.
    pub fn new(most: usize) -> Self {
        Self {
            list: Vec::with_capacity(most),
            most,
            calls: 0,
        }
    }

    /// An empty buffer that nobody else looks at.
    pub fn take(&mut self) -> Arc<Vec<u8>> {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(LOOK_EVERY)
            && self.list.len() > KEPT
            && self
                .list
                .first_mut()
                .is_some_and(|b| Arc::get_mut(b).is_some())
        {
            self.list.remove(0);
        }
        let free = self
            .list
            .iter_mut()
            .rposition(|b| Arc::get_mut(b).is_some());
        let mut shared = match free {
            Some(at) => self.list.remove(at),
            None => Arc::new(Vec::with_capacity(BYTES)),
        };
        if let Some(buffer) = Arc::get_mut(&mut shared) {
            buffer.clear();
        }
        shared
    }

    /// Keeps one that is in use, to be used again.
    pub fn keep(&mut self, shared: Arc<Vec<u8>>) {
        if self.list.len() < self.most {
            self.list.push(shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_burst_needed_goes_back_and_a_buffer_in_use_is_nobody_elses() {
        let mut pool = Buffers::new(64);
        let in_use: Vec<Arc<Vec<u8>>> = (0..200)
            .map(|_| {
                let shared = pool.take();
                pool.keep(Arc::clone(&shared));
                shared
            })
            .collect();
        assert_eq!(pool.list.len(), 64);
        for (at, one) in in_use.iter().enumerate() {
            assert!(in_use.iter().skip(at + 1).all(|o| !Arc::ptr_eq(one, o)));
        }
        drop(in_use);
        for _ in 0..64 * 100 {
            let shared = pool.take();
            pool.keep(shared);
        }
        assert_eq!(pool.list.len(), KEPT);
    }
}
