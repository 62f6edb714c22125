//! What was said lately: alerts by rule, and the latest ones, for `ctl top` and the metrics.
//!
//! Limits: [`RULES_MAX`] rules counted (when full, the one with the fewest gives way: Space-Saving, so a busy rule is
//! never missed), [`LATEST_MAX`] alerts kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::alert::{Alert, Phenomenon};
use crate::detect::anomaly::service_impaired::SERVICES_MAX;
use crate::detect::anomaly::{DETECTORS, SERVICE_IMPAIRED};
use crate::grade::Event;
use crate::sink::{Sink, SinkError};

/// Rules counted.
const RULES_MAX: usize = 4_096;
/// Hosts that were attacked, remembered.
const ATTACKED_MAX: usize = 1_024;
/// Alerts kept.
const LATEST_MAX: usize = 20;

/// A rule that alerted.
#[derive(Clone, Debug, Default)]
pub struct BusyRule {
    /// Its alerts.
    pub alerts: u64,
    /// Its text.
    pub message: String,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By gid and sid.
    pub rules: HashMap<(u32, u32), BusyRule>,
    /// One line each, newest last.
    pub latest: VecDeque<String>,
    /// Other EVE events, by type.
    pub events: HashMap<&'static str, u64>,
    /// By host: the detector that saw it attacked last, and when (seconds since the epoch).
    pub attacked: HashMap<IpAddr, (&'static str, u64)>,
    /// Declared services whose clients are not served, as the traffic shows.
    pub impaired: HashSet<(IpAddr, u16)>,
    /// Alerts that something was blocked for.
    pub blocked: u64,
}

impl Tally {
    /// The busiest rules: gid, sid, alerts, text.
    pub fn busiest(&self, count: usize) -> Vec<(u32, u32, u64, String)> {
        let mut list: Vec<_> = self
            .rules
            .iter()
            .map(|((gid, sid), rule)| (*gid, *sid, rule.alerts, rule.message.clone()))
            .collect();
        list.sort_unstable_by_key(|(gid, sid, alerts, _)| (std::cmp::Reverse(*alerts), *gid, *sid));
        list.truncate(count);
        list
    }

    /// What the traffic shows of a declared service.
    fn service(&mut self, alert: &Alert<'_>) {
        let info = DETECTORS.get(usize::from(SERVICE_IMPAIRED));
        if info.is_none_or(|info| info.name != alert.detector) {
            return;
        }
        let key = (alert.finding.key.dst, alert.finding.key.dport);
        if alert.finding.state == "close" {
            self.impaired.remove(&key);
        } else if self.impaired.len() < SERVICES_MAX {
            self.impaired.insert(key);
        }
    }

    fn attack(&mut self, alert: &Alert<'_>) {
        let named = DETECTORS.iter().find(|d| d.name == alert.detector);
        let Some(detector) = named.filter(|d| d.phenomenon != Phenomenon::DeviceTrouble) else {
            return;
        };
        if self.attacked.len() >= ATTACKED_MAX
            && let Some(oldest) = self
                .attacked
                .iter()
                .min_by_key(|(_, (_, at))| *at)
                .map(|(host, _)| *host)
        {
            self.attacked.remove(&oldest);
        }
        let at = alert.finding.ts.secs();
        self.attacked.insert(alert.victim, (detector.name, at));
    }

    fn alert(&mut self, name: (u32, u32), message: &str) {
        if let Some(rule) = self.rules.get_mut(&name) {
            rule.alerts += 1;
            return;
        }
        let mut alerts = 1;
        if self.rules.len() >= RULES_MAX
            && let Some((least, count)) = self
                .rules
                .iter()
                .map(|(name, rule)| (*name, rule.alerts))
                .min_by_key(|(_, count)| *count)
        {
            self.rules.remove(&least);
            alerts += count;
        }
        let message = message.to_owned();
        self.rules.insert(name, BusyRule { alerts, message });
    }
}

/// Keeps a tally that others read.
#[derive(Debug, Default)]
pub struct TallySink(pub Arc<Mutex<Tally>>);

impl Sink for TallySink {
    fn event(&mut self, event: &Event<'_>) {
        let Ok(mut tally) = self.0.lock() else {
            return;
        };
        match event {
            Event::Line { kind, .. } => *tally.events.entry(kind).or_default() += 1,
            Event::Alert(alert) => {
                tally.alert((alert.gid, alert.sid), alert.message);
                tally.blocked += u64::from(alert.blocked);
                tally.attack(alert);
                tally.service(alert);
                if tally.latest.len() >= LATEST_MAX {
                    tally.latest.pop_front();
                }
                let time = alert.finding.ts.eve();
                let time = time.get(11..19).map(String::from_utf8_lossy);
                tally.latest.push_back(format!(
                    "{} {:<6} {} -> {}  {}",
                    time.unwrap_or_default(),
                    alert.level.as_str(),
                    alert.finding.key.src,
                    alert.finding.key.dst,
                    alert.message
                ));
            }
        }
    }

    fn flush(&mut self) {}

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_rules_survive_a_flood_of_others() {
        let mut tally = Tally::default();
        for i in 0..20_000u32 {
            tally.alert((1, i + 10), "noise");
            tally.alert((1, 1), "busy");
        }
        assert!(tally.rules.len() <= RULES_MAX);
        let busiest = tally.busiest(1);
        assert_eq!((busiest[0].1, busiest[0].3.as_str()), (1, "busy"));
    }
}
