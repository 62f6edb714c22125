//! Thresholds of detectors by role and by segment, over those for all.
//!
//! ```toml
//! [detectors.port-scan]                  # for all
//! targets-min = 15
//! [role.intranet.detectors.port-scan]    # for every segment of that role
//! targets-min = 8
//! [[segment]]
//! name = "lab"
//! role = "intranet"
//! [segment.detectors.port-scan]          # for this one
//! targets-min = 40
//! ```
//!
//! What is not said stays as it is for all. Segments with the same thresholds share one set of detectors; a segment with
//! thresholds of its own has detectors of its own, with their memory.

use super::{Config, ConfigError, all_keys};
use crate::detect::anomaly::AnomalySettings;
use crate::detect::anomaly::matrix::{Line, OUTSIDE};
use crate::grade::Role;

/// A threshold for a role.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The role.
    pub role: Role,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: toml::Value,
    /// Where it was said.
    pub place: String,
}

/// The values of nested tables with their dotted keys.
pub(super) fn leaves(
    prefix: &str,
    table: &toml::Table,
    place: &str,
    out: &mut Vec<Override>,
    role: Role,
) {
    for (key, value) in table {
        let key = key.replace('_', "-");
        let key = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(inner) => leaves(&key, inner, place, out, role),
            value => out.push(Override {
                role,
                key,
                value: value.clone(),
                place: place.to_owned(),
            }),
        }
    }
}

impl Config {
    /// Thresholds of a segment where they differ from those for all.
    pub fn detectors_of(&self, segment: usize) -> Option<AnomalySettings> {
        let segment = self.grade.segments.list.get(segment)?;
        let role = self.by_role.iter().filter(|o| o.role == segment.role);
        let role = role.map(|o| (&o.key, &o.value));
        let own = segment.detectors.iter().map(|(key, value, _)| (key, value));
        let mut changed = None;
        for (key, value) in role.chain(own) {
            let config = changed.get_or_insert_with(|| Self {
                anomaly: self.anomaly.clone(),
                ..Self::default()
            });
            if let Some(key) = all_keys().find(|k| k.name == key) {
                // What does not fit was reported when the configuration was read.
                let _ = (key.set)(config, value);
            }
        }
        changed.map(|config| config.anomaly)
    }

    /// Reports names of segments in the matrix that no segment has.
    pub(super) fn check_matrix(&self, errors: &mut Vec<ConfigError>) {
        const KEY: &str = "detectors.policy.paths";
        let segments = &self.grade.segments.list;
        let known = |name: &str| {
            name == OUTSIDE
                || segments
                    .iter()
                    .any(|s| s.name == name && !s.subnets.is_empty())
        };
        let origin = self.origins.get(KEY).map_or("default", String::as_str);
        let mut check = |texts: &[String], place: &str| {
            for line in texts.iter().filter_map(|text| Line::parse(text).ok()) {
                for name in [&line.from, &line.to] {
                    if !known(name) {
                        errors.push(ConfigError {
                            place: place.to_owned(),
                            message: format!(
                                "{KEY}: no segment with subnets is called '{name}' ({OUTSIDE} is whoever is not ours)"
                            ),
                        });
                    }
                }
            }
        };
        check(&self.anomaly.policy.paths, origin);
        for segment in 0..segments.len() {
            if let Some(own) = self.detectors_of(segment)
                && own.policy.paths != self.anomaly.policy.paths
            {
                let place = segments.get(segment).and_then(|s| s.detectors.first());
                check(
                    &own.policy.paths,
                    place.map_or(origin, |(_, _, place)| place),
                );
            }
        }
    }

    /// Reports what is wrong with thresholds of roles and segments.
    pub(super) fn check_overlays(&self, errors: &mut Vec<ConfigError>) {
        let role = self.by_role.iter().map(|o| (&o.key, &o.value, &o.place));
        let own = self.grade.segments.list.iter().flat_map(|s| &s.detectors);
        let own = own.map(|(key, value, place)| (key, value, place));
        let mut scratch = Self::default();
        for (key, value, place) in role.chain(own) {
            let known = all_keys().find(|k| k.name == key);
            let message = match known {
                Some(_) if !key.starts_with("detectors.") || key == "detectors.enabled" => {
                    format!("{key}: differs by no role or segment; only thresholds of detectors do")
                }
                None => match super::nearest(key) {
                    Some(near) => format!("no such key '{key}'; did you mean '{near}'?"),
                    None => format!("no such key '{key}'"),
                },
                Some(known) => match (known.set)(&mut scratch, value) {
                    Ok(()) => continue,
                    Err(message) => format!("{key}: {message}"),
                },
            };
            errors.push(ConfigError {
                place: place.clone(),
                message,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (Config, Vec<ConfigError>) {
        let (mut config, mut errors) = (Config::default(), Vec::new());
        config.read("sensor.toml", text, &mut errors);
        config.check_overlays(&mut errors);
        (config, errors)
    }

    #[test]
    fn a_segment_goes_before_its_role_and_the_role_before_all() {
        let (config, errors) = config(
            r#"
[detectors.port-scan]
targets-min = 30
[role.intranet.detectors.port-scan]
targets-min = 8
[[segment]]
name = "office"
role = "intranet"
subnets = ["10.1.0.0/16"]
[[segment]]
name = "lab"
role = "intranet"
subnets = ["10.2.0.0/16"]
[segment.detectors.port-scan]
targets-min = 40
[segment.detectors.worm-scan]
other-hosts-min = 77
"#,
        );
        assert_eq!(errors, []);
        let worm = config.detectors_of(1).map(|s| s.worm_scan.other_hosts_min);
        assert_eq!(worm, Some(77), "the keys of all detectors are known here");
        let of = |at| {
            config
                .detectors_of(at)
                .map(|s| s.port_scan.targets_min.intranet)
        };
        assert_eq!((of(0), of(1), of(2)), (Some(8), Some(40), None));
        // A partial table leaves the rest alone.
        let (mine, all) = (config.detectors_of(1), AnomalySettings::default());
        assert_eq!(
            mine.map(|s| s.port_scan.off_secs),
            Some(all.port_scan.off_secs)
        );
        assert!(
            config
                .show()
                .contains("# segment lab: detectors.port-scan.targets-min = 40")
        );
    }

    #[test]
    fn every_threshold_of_every_detector_may_differ_by_segment() {
        for key in all_keys().filter(|k| k.name.starts_with("detectors.")) {
            if key.name == "detectors.enabled" {
                continue;
            }
            let (_, errors) = config(&format!(
                "[role.dmz]\n{} = {}\n",
                key.name,
                (key.get)(&Config::default())
            ));
            assert!(errors.is_empty(), "{}: {errors:?}", key.name);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let (_, errors) = config(
            "[role.attic.detectors]\nx = 1\n[role.dmz.detectors.port-scan]\ntarget-min = 1\nalpha = 7\n[role.dmz.flow]\nmax = 3\n",
        );
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(
            said.iter()
                .any(|s| s.contains("did you mean 'detectors.port-scan.targets-min'"))
        );
    }
}
