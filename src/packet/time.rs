//! Time as the capture gives it.

use std::fmt;

/// Nanoseconds since the Unix epoch, as stamped by the capture. Never read from a clock inside the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From seconds and nanoseconds; nanoseconds over a second carry, overflow saturates.
    pub const fn new(secs: u64, nanos: u32) -> Self {
        Self(
            secs.saturating_mul(1_000_000_000)
                .saturating_add(nanos as u64),
        )
    }

    /// Whole seconds since the epoch.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Microseconds within the second, 0..1_000_000.
    pub const fn subsec_micros(self) -> u32 {
        (self.0 % 1_000_000_000 / 1000) as u32
    }

    /// Nanoseconds from `earlier` to here; 0 when `earlier` is later (captures jump back).
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether a window of so many seconds that began at `since` does not hold this time: it is over, or the clock was
    /// set back by more than it is long. Without the second, a capture that jumps back in time would never leave it.
    pub fn is_outside(self, since: Self, secs: u64) -> bool {
        self.secs_since(since) >= secs || since.secs_since(self) >= secs
    }

    /// Seconds from `earlier` to here, rounded down; 0 when `earlier` is later.
    pub const fn secs_since(self, earlier: Self) -> u64 {
        self.since(earlier) / 1_000_000_000
    }

    /// This time plus some nanoseconds, saturating.
    pub const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian; Howard Hinnant's civil-from-days).
    pub const fn civil(self) -> (u64, u32, u32, u32, u32, u32) {
        let secs = self.secs();
        let days = secs / 86_400;
        let rest = (secs % 86_400) as u32;
        let z = days + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
    }

    /// EVE's exact form, `2026-11-22T05:40:01.123456+0000` (31 bytes: consumers read it by offset).
    pub fn eve(self) -> [u8; 31] {
        let (y, mo, d, h, mi, s) = self.civil();
        let mut out = *b"0000-00-00T00:00:00.000000+0000";
        put(&mut out, 0, 4, (y % 10_000) as u32);
        put(&mut out, 5, 2, mo);
        put(&mut out, 8, 2, d);
        put(&mut out, 11, 2, h);
        put(&mut out, 14, 2, mi);
        put(&mut out, 17, 2, s);
        put(&mut out, 20, 6, self.subsec_micros());
        out
    }
}

/// Writes `value` in decimal, `width` digits, at `at`.
fn put(out: &mut [u8; 31], at: usize, width: usize, mut value: u32) {
    for i in (at..at + width).rev() {
        if let Some(byte) = out.get_mut(i) {
            *byte = b'0' + (value % 10) as u8;
        }
        value /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.eve()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eve_form_has_six_digits_and_no_colon_in_the_zone() {
        assert_eq!(
            Timestamp::new(1_256_000_000, 83_524_000).to_string(),
            "2009-10-20T00:53:20.083524+0000"
        );
        assert_eq!(
            Timestamp::new(951_782_400, 1).to_string(),
            "2000-02-29T00:00:00.000000+0000"
        );
        assert_eq!(Timestamp(u64::MAX).secs(), 18_446_744_073);
    }
}
