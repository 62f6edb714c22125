//! Urgent data: which byte of a segment is not part of the stream its receiver reads.
//!
//! ```text
//!   sequence numbers   …  m  a  l  X  i  c  …        the urgent pointer covers "malX"
//!   the stream         …  m  a  l  │  i  c  …        the mark │ says: one number was taken out before this byte
//! ```
//!
//! Sockets hand the last byte the urgent pointer covers to their owner out of band, unless it asked for it inline
//! (RFC 6093 §3.1), whatever RFC 1122 meant. A sensor that reads it inline sees another stream than the server.
//! The places of urgent bytes are kept in sequence order, not counted: an urgent segment sent twice, or one that
//! arrives after what follows it, shifts nothing.
//!
//! The pointer may cover bytes that are still to come; like the hosts, we remember the last such place only.
//! A byte that was in order before a pointer covered it was read already, and stays.
//!
//! Limits: [`OUT_OF_BAND_MAX`] urgent bytes a direction as in Suricata; more than [`MARKS_MAX`] of them above what was
//! given up are data, since a host has one urgent byte at a time. Marks count as stream memory.
//! Deliberately not here: what the bytes say.

use super::policy::OsPolicy;
use super::{StreamSettings, UrgentPolicy};

/// Urgent bytes taken out of one direction. Suricata counts them in 16 bits.
pub(super) const OUT_OF_BAND_MAX: u16 = u16::MAX;

/// Marks kept at a time: bounds the work on one segment.
pub(super) const MARKS_MAX: usize = 1024;

/// The urgent bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    /// Bytes taken out so far.
    pub(super) taken: u16,
    /// Offset of the stream's byte behind each urgent byte, ascending; equal where urgent bytes follow each other.
    pub(super) marks: Vec<u64>,
    /// Sequence number of an urgent byte that did not come yet.
    pub(super) awaited: Option<u32>,
}

impl Urgent {
    /// Memory taken.
    pub(super) fn held(&self) -> u64 {
        (size_of::<Self>() + self.marks.capacity() * size_of::<u64>()) as u64
    }

    /// Bytes taken out within the `distance` sequence numbers after the byte at `base`.
    pub(super) fn before(&self, base: u64, distance: u64) -> u64 {
        let place = |(i, mark): (usize, &u64)| mark.saturating_sub(base) + i as u64;
        // The places ascend, as the marks do.
        self.marks
            .iter()
            .enumerate()
            .map(place)
            .take_while(|place| *place < distance)
            .count() as u64
    }

    /// Whether the byte `distance` sequence numbers after the one at `base` was taken out.
    pub(super) fn is_at(&self, base: u64, distance: u64) -> bool {
        self.before(base, distance) < self.before(base, distance.saturating_add(1))
    }
}

/// What to do with the urgent byte of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    Inline,
    OutOfBand,
    Gap,
    /// Nothing of the segment is kept.
    Drop,
}

impl StreamSettings {
    /// By policy, and by what the direction may still take out.
    pub(super) fn treatment(&self, urgent: &Urgent) -> Treatment {
        match self.urgent {
            UrgentPolicy::OutOfBand if urgent.taken == OUT_OF_BAND_MAX => match self.urgent_limit {
                UrgentPolicy::Drop if self.inline => Treatment::Drop,
                UrgentPolicy::Gap => Treatment::Gap,
                _ => Treatment::Inline,
            },
            UrgentPolicy::OutOfBand if urgent.marks.len() >= MARKS_MAX => Treatment::Inline,
            UrgentPolicy::OutOfBand => Treatment::OutOfBand,
            UrgentPolicy::Gap => Treatment::Gap,
            // Passive, nothing is dropped.
            UrgentPolicy::Inline | UrgentPolicy::Drop => Treatment::Inline,
        }
    }
}

/// How many bytes after the segment's first the urgent one is.
pub(super) fn place(pointer: u16, receiver: OsPolicy) -> Option<u32> {
    // The pointer names the byte after the urgent data on every host we know of (RFC 6093 §3.1). Zero is no pointer,
    // except to Linux, which does not look.
    match (pointer.checked_sub(1), receiver) {
        (None, OsPolicy::Linux | OsPolicy::OldLinux) => Some(0),
        (place, _) => place.map(u32::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_count_what_lies_before() {
        // Sequence numbers 3, 4 and 9 after base are urgent.
        let urgent = Urgent {
            marks: vec![103, 103, 107],
            ..Urgent::default()
        };
        let counts: Vec<u64> = [0, 3, 4, 5, 9, 10, 50]
            .map(|distance| urgent.before(100, distance))
            .into();
        assert_eq!(counts, [0, 0, 1, 2, 2, 3, 3]);
        let at: Vec<u64> = (0..20).filter(|i| urgent.is_at(100, *i)).collect();
        assert_eq!(at, [3, 4, 9]);
    }

    #[test]
    fn a_pointer_of_zero_means_something_to_linux_only() {
        assert_eq!(place(0, OsPolicy::Bsd), None);
        assert_eq!(place(0, OsPolicy::Linux), Some(0));
        assert_eq!(place(1, OsPolicy::Windows), Some(0));
        assert_eq!(place(7, OsPolicy::Linux), Some(6));
    }

    #[test]
    fn the_limit_has_a_policy_of_its_own() {
        let settings = StreamSettings {
            urgent_limit: UrgentPolicy::Gap,
            ..StreamSettings::default()
        };
        let mut urgent = Urgent::default();
        assert_eq!(settings.treatment(&urgent), Treatment::OutOfBand);
        urgent.taken = OUT_OF_BAND_MAX;
        assert_eq!(settings.treatment(&urgent), Treatment::Gap);
        // Passive, the receiver has it whatever we would drop.
        let mut settings = StreamSettings::default();
        assert_eq!(settings.treatment(&urgent), Treatment::Inline);
        settings.inline = true;
        assert_eq!(settings.treatment(&urgent), Treatment::Drop);
    }
}
