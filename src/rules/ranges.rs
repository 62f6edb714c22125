//! Sets of numbers as sorted, disjoint, inclusive ranges: what lists of addresses and ports become.

/// A number with an end and neighbours.
pub trait Bound: Copy + Ord {
    /// Smallest.
    const MIN: Self;
    /// Largest.
    const MAX: Self;
    /// The next larger.
    fn after(self) -> Option<Self>;
    /// The next smaller.
    fn before(self) -> Option<Self>;
}

macro_rules! bound {
    ($($t:ty),*) => { $(impl Bound for $t {
        const MIN: Self = <$t>::MIN;
        const MAX: Self = <$t>::MAX;
        fn after(self) -> Option<Self> { self.checked_add(1) }
        fn before(self) -> Option<Self> { self.checked_sub(1) }
    })* };
}
bound!(u16, u32, u128);

/// Sorts and joins ranges that overlap or touch.
pub fn normalize<T: Bound>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for &(first, last) in ranges.iter() {
        match joined.last_mut() {
            Some(previous) if previous.1.after().is_none_or(|next| first <= next) => {
                previous.1 = previous.1.max(last)
            }
            _ => joined.push((first, last)),
        }
    }
    *ranges = joined;
}

/// What of `from` is not in `without`. Both normalized; so is the answer.
pub fn subtract<T: Bound>(from: &[(T, T)], without: &[(T, T)]) -> Vec<(T, T)> {
    let mut out = Vec::with_capacity(from.len() + without.len());
    for &(mut first, last) in from {
        let mut open = true;
        let start = without.partition_point(|(_, cut_last)| *cut_last < first);
        for &(cut_first, cut_last) in without.iter().skip(start) {
            if cut_first > last {
                break;
            }
            if let Some(before) = cut_first
                .before()
                .filter(|before| *before >= first && cut_first > first)
            {
                out.push((first, before));
            }
            match cut_last.after().filter(|after| *after <= last) {
                Some(after) => first = after,
                None => {
                    open = false;
                    break;
                }
            }
        }
        if open {
            out.push((first, last));
        }
    }
    out
}

/// Whether the set is everything.
pub fn is_full<T: Bound>(ranges: &[(T, T)]) -> bool {
    ranges == [(T::MIN, T::MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_hold_what_sets_of_numbers_hold(
            a in prop::collection::vec((0_u16..60, 0_u16..60), 0..8),
            b in prop::collection::vec((0_u16..60, 0_u16..60), 0..8),
        ) {
            let order = |v: &[(u16, u16)]| v.iter().map(|(x, y)| (*x.min(y), *x.max(y))).collect::<Vec<_>>();
            let (mut a, mut b) = (order(&a), order(&b));
            let inside = |v: &[(u16, u16)], n: u16| v.iter().any(|(x, y)| (*x..=*y).contains(&n));
            let wanted: Vec<bool> = (0..64).map(|n| inside(&a, n) && !inside(&b, n)).collect();
            normalize(&mut a);
            normalize(&mut b);
            let left = subtract(&a, &b);
            prop_assert_eq!((0..64).map(|n| inside(&left, n)).collect::<Vec<_>>(), wanted);
            let mut again = left.clone();
            normalize(&mut again);
            prop_assert_eq!(again, left);
        }
    }

    #[test]
    fn everything_without_the_ends_keeps_the_middle() {
        assert_eq!(
            subtract(&[(0_u16, 65_535)], &[(0, 0), (65_535, 65_535)]),
            [(1, 65_534)]
        );
        assert!(is_full(&[(0_u16, 65_535)]));
    }
}
