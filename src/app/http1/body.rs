//! What is kept of a body for inspection, and when it is shown.
//!
//! Inspecting a body with every packet that adds to it would cost the square of its length, so inspection waits until
//! enough is there (or the body ends), and then sees what is new with some of what came before. Inline, nothing waits:
//! a packet must be judged before it passes.

use crate::app::Window;

/// When and how a body is shown: Suricata's `*-body-minimal-inspect-size` and `*-body-inspect-window`.
#[derive(Clone, Copy, Debug)]
pub(in crate::app) struct Pace {
    /// Bytes before the first look.
    pub first: u64,
    /// Bytes that a later look sees at least, old ones included.
    pub window: u64,
}

/// Request bodies.
pub(in crate::app) const REQUEST_PACE: Pace = Pace {
    first: 32 * 1024,
    window: 4 * 1024,
};
/// Response bodies.
pub(in crate::app) const RESPONSE_PACE: Pace = Pace {
    first: 40 * 1024,
    window: 16 * 1024,
};

impl Pace {
    /// Whether a body of `len` bytes is to be looked at, when more may come.
    pub(in crate::app) fn is_due(self, len: u64, limit: u64) -> bool {
        len >= self.first || len >= limit
    }

    /// Where the next look begins, when `inspected` of `len` bytes have been seen.
    pub(in crate::app) fn offset(self, len: u64, inspected: u64) -> u64 {
        if inspected == 0 {
            return 0;
        }
        let fresh = len.saturating_sub(inspected);
        let behind = if fresh < self.window {
            self.window - fresh
        } else {
            self.window / 4
        };
        inspected.saturating_sub(behind)
    }
}

/// The front of a body, as much as the limit allows.
#[derive(Debug, Default)]
pub(in crate::app) struct Body {
    bytes: Vec<u8>,
    inspected: u64,
}

impl Body {
    /// Bytes kept.
    pub(in crate::app) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Keeps the next bytes as far as `limit` allows; answers how many.
    pub(in crate::app) fn push(&mut self, bytes: &[u8], limit: u64) -> usize {
        let room = usize::try_from(limit.saturating_sub(self.len())).unwrap_or(usize::MAX);
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend_from_slice(taken);
        taken.len()
    }

    /// Detection has seen all that is kept.
    pub(in crate::app) fn mark_inspected(&mut self) {
        self.inspected = self.len();
    }

    /// What is to be looked at.
    pub(in crate::app) fn window(&self, pace: Pace, complete: bool) -> Option<Window<'_>> {
        if self.bytes.is_empty() {
            return None;
        }
        let offset = pace.offset(self.len(), self.inspected);
        let bytes = self
            .bytes
            .get(usize::try_from(offset).unwrap_or(usize::MAX)..)?;
        Some(Window {
            bytes,
            offset,
            complete,
            file: 0,
        })
    }

    /// All that is kept.
    pub(in crate::app) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_looks_overlap_the_earlier_ones() {
        let pace = Pace {
            first: 100,
            window: 40,
        };
        assert!(!pace.is_due(99, 1000) && pace.is_due(100, 1000) && pace.is_due(50, 50));
        assert_eq!(
            (
                pace.offset(100, 0),
                pace.offset(110, 100),
                pace.offset(200, 100)
            ),
            (0, 70, 90)
        );
        let mut body = Body::default();
        assert_eq!(
            (
                body.push(&[1; 90], 100),
                body.push(&[2; 90], 100),
                body.push(&[3; 9], 100)
            ),
            (90, 10, 0)
        );
        body.mark_inspected();
        assert_eq!(
            body.window(pace, true).map(|w| (w.offset, w.bytes.len())),
            Some((60, 40))
        );
    }
}
