//! Budgets: how many alerts of a kind people are sent in an hour (detectors.md §5.4). What is over goes to the digest,
//! with its count; RED is never held back.
//!
//! Limits: [`KINDS_MAX`] kinds; beyond it, all further kinds share one budget.

use std::collections::HashMap;

use crate::alert::Level;
use crate::packet::Timestamp;

/// Kinds counted.
pub const KINDS_MAX: usize = 4_096;

/// Settings (`budget.*`): alerts an hour of packet time, of one signature or detector; 0: no limit.
#[derive(Clone, Copy, Debug)]
pub struct BudgetSettings {
    /// ORANGE. Default 60.
    pub orange_per_hour: u32,
    /// YELLOW. Default 60.
    pub yellow_per_hour: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            orange_per_hour: 60,
            yellow_per_hour: 60,
        }
    }
}

/// What an alert is to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Within.
    Within,
    /// The first over it in this hour.
    First,
    /// Over it.
    Over,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Budgets {
    kinds: HashMap<(u32, u32, u8), (u64, u32), crate::packet::Keyed>,
}

impl Budgets {
    /// Counts an alert of a kind (generator, signature id).
    pub fn spend(
        &mut self,
        settings: &BudgetSettings,
        (gid, sid): (u32, u32),
        level: Level,
        at: Timestamp,
    ) -> Spent {
        let limit = match level {
            Level::Orange => settings.orange_per_hour,
            Level::Yellow => settings.yellow_per_hour,
            Level::Green | Level::Red => 0,
        };
        if limit == 0 {
            return Spent::Within;
        }
        let mut key = (gid, sid, level as u8);
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&key) {
            key = (0, 0, level as u8);
        }
        let hour = at.secs() / 3_600;
        let (of, count) = self.kinds.entry(key).or_insert((hour, 0));
        if *of != hour {
            (*of, *count) = (hour, 0);
        }
        *count = count.saturating_add(1);
        match (*count).cmp(&(limit + 1)) {
            std::cmp::Ordering::Less => Spent::Within,
            std::cmp::Ordering::Equal => Spent::First,
            std::cmp::Ordering::Greater => Spent::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_held_back_and_red_never() {
        let mut budgets = Budgets::default();
        let settings = BudgetSettings {
            orange_per_hour: 2,
            ..BudgetSettings::default()
        };
        let mut spend =
            |level, secs| budgets.spend(&settings, (1, 7), level, Timestamp::new(secs, 0));
        let hour = [0, 1, 2, 3].map(|s| spend(Level::Orange, s));
        assert_eq!(
            hour,
            [Spent::Within, Spent::Within, Spent::First, Spent::Over]
        );
        assert_eq!(spend(Level::Orange, 3_600), Spent::Within);
        assert!((0..1_000).all(|s| spend(Level::Red, s) == Spent::Within));
    }
}
