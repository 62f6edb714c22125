//! `--expect`: what must come out of a replay, for CI pipelines and for the project's own cases.
//!
//! ```toml
//! about = "one sentence"
//! [[alert]]
//! sid = 1900101            # or detector = "syn_flood": its incidents
//! count = 1                # exact; or min, max
//! level = "YELLOW"         # of each of them, if given
//! [[absent]]
//! detector = "port_scan"   # or sid, or level_at_least = "YELLOW"
//! ```

use std::path::Path;

use serde::Deserialize;

use crate::alert::{Alert, Level};
use crate::grade::Event;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    #[expect(dead_code, reason = "for people who read the file")]
    about: String,
    #[serde(default)]
    alert: Vec<Wanted>,
    #[serde(default)]
    absent: Vec<Wanted>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    sid: Option<u32>,
    detector: Option<String>,
    count: Option<u64>,
    min: Option<u64>,
    max: Option<u64>,
    level: Option<String>,
    level_at_least: Option<String>,
    #[serde(skip)]
    seen: u64,
    #[serde(skip)]
    wrong_level: Option<Level>,
}

impl Wanted {
    fn check(&self) -> Result<(), String> {
        if self.sid.is_none() && self.detector.is_none() && self.level_at_least.is_none() {
            return Err("an entry wants sid, detector or level_at_least".to_owned());
        }
        for level in [&self.level, &self.level_at_least].into_iter().flatten() {
            Level::from_name(level)
                .ok_or_else(|| format!("'{level}' is not GREEN, YELLOW, ORANGE or RED"))?;
        }
        Ok(())
    }

    fn is_about(&self, alert: &Alert<'_>) -> bool {
        let floor = self.level_at_least.as_deref().and_then(Level::from_name);
        self.sid.is_none_or(|sid| {
            // What raises an alert afterwards is not one more.
            alert.detector.is_empty() && alert.sid == sid && alert.finding.state.is_empty()
        }) && self
            .detector
            .as_ref()
            .is_none_or(|d| alert.detector == d && alert.finding.state == "open")
            && floor.is_none_or(|floor| alert.level >= floor)
    }

    fn name(&self) -> String {
        let sid = self.sid.map(|s| format!("sid {s}"));
        let detector = self.detector.as_ref().map(|d| format!("detector {d}"));
        let level = self
            .level_at_least
            .as_ref()
            .map(|l| format!("{l} or above"));
        [sid, detector, level]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// What is expected, and what was seen of it.
#[derive(Debug)]
pub struct Expectations {
    alerts: Vec<Wanted>,
    absent: Vec<Wanted>,
}

impl Expectations {
    /// Reads a file. The message names it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text: Text = toml::from_str(text).map_err(|e| e.to_string())?;
        for wanted in text.alert.iter().chain(&text.absent) {
            wanted.check()?;
        }
        Ok(Self {
            alerts: text.alert,
            absent: text.absent,
        })
    }

    /// Notes an event.
    pub fn event(&mut self, event: &Event<'_>) {
        let Event::Alert(alert) = event else { return };
        for wanted in self.alerts.iter_mut().chain(&mut self.absent) {
            if wanted.is_about(alert) {
                wanted.seen += 1;
                if wanted
                    .level
                    .as_deref()
                    .and_then(Level::from_name)
                    .is_some_and(|l| l != alert.level)
                {
                    wanted.wrong_level = Some(alert.level);
                }
            }
        }
    }

    /// What is not as expected, a line each.
    pub fn unmet(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for wanted in &self.alerts {
            let exact = wanted
                .count
                .or((wanted.min.is_none() && wanted.max.is_none()).then_some(1));
            let low = exact.or(wanted.min).unwrap_or(0);
            let high = exact.or(wanted.max).unwrap_or(u64::MAX);
            if wanted.seen < low || wanted.seen > high {
                let range = if low == high {
                    low.to_string()
                } else {
                    format!("{low} or more (at most {high})")
                };
                lines.push(format!(
                    "{}: wanted {range}, saw {}",
                    wanted.name(),
                    wanted.seen
                ));
            } else if let Some(level) = wanted.wrong_level {
                let want = wanted.level.as_deref().unwrap_or_default();
                lines.push(format!(
                    "{}: wanted {want}, one is {}",
                    wanted.name(),
                    level.as_str()
                ));
            }
        }
        for wanted in self.absent.iter().filter(|w| w.seen > 0) {
            lines.push(format!(
                "{}: wanted none, saw {}",
                wanted.name(),
                wanted.seen
            ));
        }
        lines
    }
}
