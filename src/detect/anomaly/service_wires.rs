//! One voice for a declared service that is seen on several wires.
//!
//! Each wire has its detectors, and so has each set of thresholds: what passes two of them must not count twice. But a
//! service is one: [`super::service_impaired`] says of each wire what clients get there, and this says it once. The first
//! wire on which the service is impaired speaks; when it is well there and not yet on another, that one goes on; the alert
//! closes when the last wire says so.
//! Deliberately not here: adding up what the wires saw. A firewall between them answers for the service on one only.
//! Limits: [`SERVICES_MAX`] services, [`WIRES_MAX`] voices each; a voice beyond that is heard as if it were alone.

use super::SERVICE_IMPAIRED;
use super::engine::Report;
use super::service_impaired::SERVICES_MAX;

/// Wires that speak of one service at a time.
const WIRES_MAX: usize = 64;

/// The alerts that are open.
#[derive(Debug, Default)]
pub struct ServiceWires {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    /// The service ([`Report::subject`]).
    service: u64,
    /// What was said to be one incident.
    incident: u64,
    /// Wires that say so, each with the incident as its detector calls it. The first is the one that is heard.
    voices: Vec<(u16, u64)>,
}

impl ServiceWires {
    /// Whether a report is to be passed on. What is passed on speaks of the incident that was said first.
    pub fn passes(&mut self, report: &mut Report) -> bool {
        if report.detector != SERVICE_IMPAIRED {
            return true;
        }
        let voice = (report.key.wire, report.incident);
        let service = report.subject;
        let Some(at) = self.open.iter().position(|o| o.service == service) else {
            if report.state == "open" && self.open.len() < SERVICES_MAX {
                self.open.push(Open {
                    service,
                    incident: report.incident,
                    voices: vec![voice],
                });
            }
            return true;
        };
        let Some(open) = self.open.get_mut(at) else {
            return true;
        };
        let Some(place) = open.voices.iter().position(|v| *v == voice) else {
            let another = report.state == "open" && open.voices.len() < WIRES_MAX;
            if another {
                open.voices.push(voice);
            }
            return !another;
        };
        report.incident = open.incident;
        if report.state == "close" {
            open.voices.remove(place);
            let last = open.voices.is_empty();
            if last {
                self.open.swap_remove(at);
            }
            return last;
        }
        place == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::service_impaired::{ServiceCheck, subject};
    use super::*;
    use crate::alert::{Efficacy, Severity};
    use crate::packet::{FlowKey, Timestamp};

    fn report(wire: u16, state: &'static str, service: &str) -> Report {
        Report {
            detector: SERVICE_IMPAIRED,
            state,
            number: 0,
            ts: Timestamp(0),
            key: FlowKey {
                wire,
                ..FlowKey::default()
            },
            interface: 0,
            confidence: 0.9,
            efficacy: Efficacy::Unknown,
            reason: "",
            severity: Severity::Major,
            source_verified: false,
            incident: 100 + u64::from(wire),
            subject: subject(service, ServiceCheck::Tcp),
            evidence: Vec::new(),
        }
    }

    /// What is said: state and incident.
    fn said(list: &[(u16, &'static str)]) -> Vec<(&'static str, u64)> {
        let mut wires = ServiceWires::default();
        let reports = list
            .iter()
            .map(|(wire, state)| report(*wire, state, "shop"));
        reports
            .filter_map(|mut r| wires.passes(&mut r).then_some((r.state, r.incident)))
            .collect()
    }

    #[test]
    fn a_service_on_two_wires_is_told_once() {
        let both = [(0, "open"), (1, "open"), (1, "update"), (0, "update")];
        assert_eq!(said(&both), [("open", 100), ("update", 100)]);
        let well = [(0, "open"), (1, "open"), (0, "close"), (1, "close")];
        assert_eq!(said(&well), [("open", 100), ("close", 100)]);
        let again = [(0, "open"), (0, "close"), (1, "open"), (1, "close")];
        assert_eq!(
            said(&again),
            [("open", 100), ("close", 100), ("open", 101), ("close", 101)]
        );
    }

    #[test]
    fn the_wire_that_is_left_goes_on_with_the_same_incident() {
        let list = [
            (0, "open"),
            (1, "open"),
            (0, "close"),
            (1, "update"),
            (1, "close"),
        ];
        assert_eq!(
            said(&list),
            [("open", 100), ("update", 100), ("close", 100)]
        );
    }

    #[test]
    fn services_are_told_apart_by_name_and_check() {
        let mut wires = ServiceWires::default();
        for service in ["shop", "mail"] {
            assert!(wires.passes(&mut report(0, "open", service)));
            assert!(!wires.passes(&mut report(1, "open", service)));
        }
    }
}
