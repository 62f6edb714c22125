//! Thresholds of detectors: those of all segments, and those that some segments have for themselves.
//!
//! Segments with the same thresholds of their own share detectors, everybody else shares the first ones. Which segments
//! share is settled at the start: a reload gives every set of detectors its new thresholds, and what they know stays; who
//! would have to change sets keeps the old thresholds until a restart, and [`Thresholds::needs_restart`] names them.

use crate::detect::anomaly::AnomalySettings;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Thresholds {
    /// Of every segment that has none of its own.
    pub all: AnomalySettings,
    /// By name of a segment.
    pub own: Vec<(String, AnomalySettings)>,
}

impl Thresholds {
    /// Those of a segment.
    fn of(&self, segment: &str) -> &AnomalySettings {
        let own = self.own.iter().find(|(name, _)| name == segment);
        own.map_or(&self.all, |(_, settings)| settings)
    }

    /// The segments that share detectors of their own, by name.
    pub fn groups(&self) -> Vec<Vec<&str>> {
        let mut groups: Vec<(&AnomalySettings, Vec<&str>)> = Vec::new();
        for (name, settings) in &self.own {
            match groups.iter_mut().find(|(known, _)| *known == settings) {
                Some((_, members)) => members.push(name),
                None => groups.push((settings, vec![name])),
            }
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }

    /// What segments that share detectors have in common now; none when they no longer agree.
    pub fn common(&self, members: &[impl AsRef<str>]) -> Option<&AnomalySettings> {
        let first = self.of(members.first()?.as_ref());
        members
            .iter()
            .all(|name| self.of(name.as_ref()) == first)
            .then_some(first)
    }

    /// Segments whose thresholds cannot change to these without a restart, of a sensor that was started with `started`.
    pub fn needs_restart(&self, started: &Self) -> Vec<String> {
        let groups = started.groups();
        let apart = groups
            .iter()
            .filter(|members| self.common(members).is_none())
            .flatten()
            .map(|name| format!("segment.{name}.detectors"));
        let new = self
            .own
            .iter()
            .filter(|(name, _)| !groups.iter().any(|g| g.contains(&name.as_str())))
            .filter(|(_, settings)| *settings != self.all)
            .map(|(name, _)| format!("segment.{name}.detectors"));
        apart.chain(new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(targets_min: u32) -> AnomalySettings {
        let mut settings = AnomalySettings::default();
        settings.port_scan.targets_min.dmz = targets_min;
        settings
    }

    fn thresholds(own: &[(&str, u32)]) -> Thresholds {
        Thresholds {
            all: with(10),
            own: own
                .iter()
                .map(|(name, n)| ((*name).to_owned(), with(*n)))
                .collect(),
        }
    }

    #[test]
    fn segments_that_share_detectors_change_together_or_wait() {
        let started = thresholds(&[("a", 20), ("b", 20), ("c", 30)]);
        assert_eq!(started.groups(), [vec!["a", "b"], vec!["c"]]);
        let of = |t: &Thresholds, g: &[&str]| t.common(g).map(|s| s.port_scan.targets_min.dmz);
        let together = thresholds(&[("a", 25), ("b", 25), ("c", 30)]);
        assert_eq!(of(&together, &["a", "b"]), Some(25));
        assert!(together.needs_restart(&started).is_empty());
        // c goes back to what all have: its own detectors take that.
        let back = thresholds(&[("a", 20), ("b", 20)]);
        assert_eq!(of(&back, &["c"]), Some(10));
        assert!(back.needs_restart(&started).is_empty());
        let apart = thresholds(&[("a", 25), ("b", 20), ("c", 30), ("d", 5)]);
        assert_eq!(of(&apart, &["a", "b"]), None);
        assert_eq!(
            apart.needs_restart(&started),
            [
                "segment.a.detectors",
                "segment.b.detectors",
                "segment.d.detectors"
            ]
        );
    }
}
