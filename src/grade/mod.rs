//! From findings to graded alerts: xbits and thresholds settled in packet order, the outcome awaited, the level worked out.
//!
//! [`Grader`] receives the outboxes of all workers, batch by batch, merges them by packet number, and gives finished log
//! lines and [`Alert`]s to a receiver in that order. What it gives does not depend on the number of workers.
//! An alert whose request has not been answered yet waits for the answer, at most [`GradeSettings::outcome_wait_ms`] of
//! packet time, because a refused attack and one that worked are not the same alert.

pub mod action;
mod exceptions;
pub mod level;
mod pending;
mod profile;
mod segment;
pub mod xbit;

pub use exceptions::{Exceptions, OnException};
pub use level::{Role, Severity};
use pending::{Pending, Waiting};
pub use profile::Profile;
pub use segment::{Asset, RuleChanges, Segment, Segments, Subnet};

use std::collections::VecDeque;
use std::sync::Arc;

use crate::alert::{Alert, Efficacy, Finding, FindingSource, Level, Outbox};
use crate::detect::anomaly::{DETECTORS, GID};
use crate::detect::signature::threshold::Thresholds;
use crate::packet::Timestamp;
use crate::rules::{RuleSet, Target};

/// Settings of grading.
#[derive(Clone, Debug)]
pub struct GradeSettings {
    /// How long, in milliseconds of packet time, an alert waits for the outcome of what it is about.
    pub outcome_wait_ms: u64,
    /// Segments and assets.
    pub segments: Segments,
}

impl Default for GradeSettings {
    fn default() -> Self {
        Self {
            outcome_wait_ms: 2_000,
            segments: Segments::default(),
        }
    }
}

/// What grading gives out.
#[derive(Debug)]
pub enum Event<'a> {
    /// A finished EVE line that is not an alert.
    Line {
        /// Its `event_type`.
        kind: &'static str,
        /// Without the newline.
        line: &'a [u8],
    },
    /// A graded alert.
    Alert(&'a Alert<'a>),
}

/// How many alerts of each level were given out, and what was held back.
#[derive(Clone, Copy, Debug, Default)]
pub struct GradeCounts {
    /// By level, GREEN first.
    pub levels: [u64; 4],
    /// Findings that a threshold removed.
    pub thresholded: u64,
    /// Findings whose xbits did not hold.
    pub unsettled: u64,
    /// Findings disabled in their segment.
    pub disabled: u64,
    /// Alerts given out before their outcome because too many were waiting.
    pub hurried: u64,
}

/// Rules with what they are graded by.
struct InForce {
    /// Number of its first signature in findings.
    first: u32,
    rules: Arc<RuleSet>,
    settings: Arc<GradeSettings>,
    profiles: Vec<Option<Arc<Profile>>>,
}

impl InForce {
    fn new(first: u32, rules: Arc<RuleSet>, settings: GradeSettings) -> Self {
        let profiles = rules.signatures.iter().map(|_| None).collect();
        Self {
            first,
            rules,
            settings: Arc::new(settings),
            profiles,
        }
    }

    /// Place of a signature that findings know by `number`.
    fn index(&self, number: u32) -> Option<usize> {
        let index = number.checked_sub(self.first)? as usize;
        (index < self.rules.signatures.len()).then_some(index)
    }
}

/// Rule sets kept after reloads: the one in force, and those whose findings may still be on their way.
const SETS_MAX: usize = 3;

/// The stage.
pub struct Grader {
    /// Rules and settings in force, the latest last: findings of the one before may still come after a reload.
    sets: VecDeque<InForce>,
    thresholds: Thresholds,
    xbits: xbit::Xbits,
    pending: Pending,
    order: Vec<(u64, u64, u32, u32)>,
    /// Counters.
    pub counts: GradeCounts,
}

impl std::fmt::Debug for Grader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grader({} waiting)", self.pending.len())
    }
}

impl Grader {
    /// For a rule set.
    pub fn new(rules: Arc<RuleSet>, settings: GradeSettings) -> Self {
        Self {
            sets: VecDeque::from([InForce::new(0, rules, settings)]),
            thresholds: Thresholds::default(),
            xbits: xbit::Xbits::default(),
            pending: Pending::default(),
            order: Vec::new(),
            counts: GradeCounts::default(),
        }
    }

    /// From now on findings with numbers from `first` on speak of `rules`. Earlier ones are still understood for two
    /// more changes; alerts of rules older than that which wait for their outcome are given out as they are.
    pub fn adopt(
        &mut self,
        first: u32,
        rules: Arc<RuleSet>,
        settings: GradeSettings,
        receive: &mut dyn FnMut(Event<'_>),
    ) {
        while self.sets.len() >= SETS_MAX {
            let Some(oldest) = self.sets.front() else {
                break;
            };
            for waiting in self.pending.take_if(|finding| match finding.source {
                FindingSource::Signature(number) => oldest.index(number).is_some(),
                FindingSource::Detector(_) => false,
            }) {
                self.give_waiting(&waiting, receive);
            }
            self.sets.pop_front();
        }
        self.sets.push_back(InForce::new(first, rules, settings));
    }

    /// The rules and settings that a finding was made with: place among the sets, and of the signature.
    fn set_of(&self, number: u32) -> Option<(usize, usize)> {
        (0..self.sets.len())
            .rev()
            .find_map(|at| Some((at, self.sets.get(at)?.index(number)?)))
    }

    /// The settings in force now.
    fn settings(&self) -> Arc<GradeSettings> {
        self.sets
            .back()
            .map(|s| Arc::clone(&s.settings))
            .unwrap_or_default()
    }

    /// Takes what every worker said about one batch, and gives out what is ready.
    pub fn batch(&mut self, outboxes: &[&Outbox], receive: &mut dyn FnMut(Event<'_>)) {
        let now = outboxes.iter().map(|o| o.now).max().unwrap_or_default();
        let last = outboxes.iter().any(|o| o.last);
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        for (box_at, outbox) in outboxes.iter().enumerate() {
            let records = outbox
                .records
                .iter()
                .enumerate()
                .map(|(i, r)| (r.number, r.order, box_at as u32, i as u32));
            let findings = outbox
                .findings
                .iter()
                .enumerate()
                .map(|(i, f)| (f.number, f.order, box_at as u32, FINDING | i as u32));
            order.extend(records);
            order.extend(findings);
        }
        order.sort_unstable();
        for &(.., box_at, at) in &order {
            let Some(outbox) = outboxes.get(box_at as usize) else {
                continue;
            };
            if at & FINDING == 0 {
                if let Some(record) = outbox.records.get(at as usize) {
                    receive(Event::Line {
                        kind: record.kind,
                        line: outbox.slice(record.line),
                    });
                }
            } else if let Some(finding) = outbox.findings.get((at & !FINDING) as usize) {
                self.finding(outbox, finding, receive);
            }
        }
        self.order = order;
        for outbox in outboxes {
            for note in &outbox.outcomes {
                self.pending.outcome(note);
            }
        }
        self.release(now, last, receive);
    }

    fn finding(&mut self, outbox: &Outbox, finding: &Finding, receive: &mut dyn FnMut(Event<'_>)) {
        if let FindingSource::Signature(index) = finding.source {
            if !finding.xbits.is_empty()
                && !self.xbits.settle(&finding.xbits, &finding.key, finding.ts)
            {
                self.counts.unsettled += 1;
                return;
            }
            let Some((set, signature)) = self
                .set_of(index)
                .and_then(|(set, at)| Some((self.sets.get(set)?, at)))
                .and_then(|(set, at)| Some((set, set.rules.signatures.get(at)?)))
            else {
                return;
            };
            if finding.silent {
                return;
            }
            let segments = &set.settings.segments.list;
            let changes = segments
                .get(usize::from(finding.segment))
                .map(|s| &s.changes);
            if changes.is_some_and(|c| c.disabled.contains(&signature.sid.0)) {
                self.counts.disabled += 1;
                return;
            }
            let threshold = changes
                .and_then(|c| c.thresholds.get(&signature.sid.0))
                .or(signature.threshold.as_ref());
            if let Some(threshold) = threshold.copied()
                && !self
                    .thresholds
                    .passes(
                        (signature.gid, signature.sid.0),
                        &threshold,
                        &finding.key,
                        finding.flow_id,
                        finding.ts,
                    )
                    .alerts
            {
                self.counts.thresholded += 1;
                return;
            }
        }
        let waits = finding.open
            && finding.efficacy < Efficacy::Likely
            && self.settings().outcome_wait_ms > 0;
        if waits {
            let waiting = Waiting {
                finding: finding.clone(),
                head: outbox.slice(finding.head).to_vec(),
                tail: outbox.slice(finding.tail).to_vec(),
                code: 0,
            };
            if let Some(oldest) = self.pending.add(waiting) {
                self.counts.hurried += 1;
                self.give_waiting(&oldest, receive);
            }
        } else {
            let parts = (outbox.slice(finding.head), outbox.slice(finding.tail));
            self.give(finding, parts, 0, outbox.slice(finding.evidence), receive);
        }
    }

    fn release(&mut self, now: Timestamp, all: bool, receive: &mut dyn FnMut(Event<'_>)) {
        let wait = self.settings().outcome_wait_ms.saturating_mul(1_000_000);
        let until = (!all).then(|| Timestamp(now.0.saturating_sub(wait)));
        for waiting in self.pending.due(until) {
            self.give_waiting(&waiting, receive);
        }
    }

    fn give_waiting(&mut self, waiting: &Waiting, receive: &mut dyn FnMut(Event<'_>)) {
        let parts = (waiting.head.as_slice(), waiting.tail.as_slice());
        self.give(&waiting.finding, parts, waiting.code, &[], receive);
    }

    fn give(
        &mut self,
        finding: &Finding,
        (head, tail): (&[u8], &[u8]),
        code: u32,
        evidence: &[u8],
        receive: &mut dyn FnMut(Event<'_>),
    ) {
        let rules;
        let mut settings = self.settings();
        let mut alert = match finding.source {
            FindingSource::Signature(index) => {
                let Some((set, at)) = self.set_of(index) else {
                    return;
                };
                let Some(set) = self.sets.get_mut(set) else {
                    return;
                };
                settings = Arc::clone(&set.settings);
                rules = Arc::clone(&set.rules);
                let Some(signature) = rules.signatures.get(at) else {
                    return;
                };
                let class = signature
                    .class
                    .and_then(|c| rules.classes.get(usize::from(c)));
                let Some(slot) = set.profiles.get_mut(at) else {
                    return;
                };
                let profile = slot.get_or_insert_with(|| {
                    let name = class.map_or("", |c| c.name.as_str());
                    Arc::new(Profile::new(
                        name,
                        signature.priority,
                        signature.metadata.iter(),
                    ))
                });
                let profile = Arc::clone(profile);
                let (attacker, victim) = match signature.target {
                    Some(Target::Source) => (finding.key.dst, finding.key.src),
                    // An answer that shows what the client's attack on the server did.
                    None if signature.flow.to_client
                        && signature.metadata.value("attack_target") == Some("Server") =>
                    {
                        (finding.key.dst, finding.key.src)
                    }
                    _ => (finding.key.src, finding.key.dst),
                };
                Alert {
                    gid: signature.gid,
                    sid: signature.sid.0,
                    rev: signature.rev,
                    message: &signature.msg,
                    category: class.map_or("", |c| c.description.as_str()),
                    severity: signature.priority,
                    metadata: signature.metadata.iter().collect(),
                    detector: "",
                    ..self.draft(
                        finding,
                        (head, tail),
                        evidence,
                        (attacker, victim),
                        &profile,
                    )
                }
            }
            FindingSource::Detector(index) => {
                let Some(detector) = DETECTORS.get(usize::from(index)) else {
                    return;
                };
                let profile = Profile {
                    phenomenon: detector.phenomenon,
                    threats: detector.threats.to_vec(),
                    severity: finding.severity,
                    confidence: finding.confidence,
                    techniques: detector
                        .techniques
                        .iter()
                        .map(|t| (*t).to_owned())
                        .collect(),
                    efficacy: Efficacy::Unknown,
                };
                Alert {
                    gid: GID,
                    sid: detector.sid,
                    rev: 1,
                    message: detector.message,
                    category: detector.category,
                    severity: 2,
                    metadata: Vec::new(),
                    detector: detector.name,
                    ..self.draft(
                        finding,
                        (head, tail),
                        evidence,
                        (finding.key.src, finding.key.dst),
                        &profile,
                    )
                }
            }
        };
        Self::level(&settings, finding, code, &mut alert);
        if alert.gid == GID {
            // What consumers colour by follows the level: RED 1 … GREEN 4.
            alert.severity = 4 - alert.level as u8;
        }
        if let Some(count) = self.counts.levels.get_mut(alert.level as usize) {
            *count += 1;
        }
        receive(Event::Alert(&alert));
    }

    /// The members that do not depend on the kind of source.
    fn draft<'a>(
        &self,
        finding: &'a Finding,
        (head, tail): (&'a [u8], &'a [u8]),
        evidence: &'a [u8],
        (attacker, victim): (std::net::IpAddr, std::net::IpAddr),
        profile: &Profile,
    ) -> Alert<'a> {
        Alert {
            finding,
            head,
            tail,
            capture_file: String::new(),
            evidence,
            gid: 1,
            sid: 0,
            rev: 0,
            message: "",
            category: "",
            severity: 3,
            metadata: Vec::new(),
            detector: "",
            level: Level::Green,
            why: String::new(),
            phenomenon: profile.phenomenon,
            threats: profile.threats.clone(),
            efficacy: if finding.efficacy == Efficacy::Failed {
                Efficacy::Failed
            } else {
                finding.efficacy.max(profile.efficacy)
            },
            confidence: profile.confidence,
            severity_word: profile.severity.as_str(),
            segment: String::new(),
            techniques: profile.techniques.clone(),
            blocked: finding.verdict > crate::alert::Verdict::Accept,
            attacker: finding.attacker.unwrap_or(attacker),
            victim,
        }
    }

    fn level(settings: &GradeSettings, finding: &Finding, code: u32, alert: &mut Alert<'_>) {
        let segments = &settings.segments;
        let segment = segments.of(
            finding.interface,
            finding.key.vlan[0],
            alert.victim,
            alert.attacker,
        );
        let severity = Severity::from_name(alert.severity_word);
        let grounds = level::Grounds {
            phenomenon: alert.phenomenon,
            threats: &alert.threats,
            severity,
            role: segment.map_or(Role::Dmz, |s| s.role),
            internal_source: segment.is_some_and(|s| s.is_home(alert.attacker)),
            critical_asset: segments.is_critical(alert.victim),
            blocked: alert.blocked,
            efficacy: alert.efficacy,
            efficacy_reason: if alert.efficacy == finding.efficacy {
                finding.efficacy_reason
            } else {
                "the rule sees only what worked"
            },
            efficacy_code: code,
            confidence: alert.confidence,
        };
        let severity = if finding.state == "close" {
            Severity::Informational
        } else {
            severity
        };
        let grounds = level::Grounds {
            severity,
            ..grounds
        };
        (alert.level, alert.why) = level::grade(&grounds);
        if let Some(segment) = segment {
            alert.segment = segment.name.clone();
            if let Some(fixed) = segment.changes.levels.get(&alert.sid) {
                alert.level = *fixed;
                alert.why = format!(
                    "{}: set for sid {} in segment {}",
                    fixed.as_str(),
                    alert.sid,
                    segment.name
                );
            }
        }
    }
}

/// Marks a finding among the ordered items of a batch.
const FINDING: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{TextRange, Verdict};
    use crate::packet::FlowKey;

    /// A finding for tests.
    pub fn finding() -> Finding {
        Finding {
            number: 1,
            order: 0,
            ts: Timestamp::new(1, 0),
            source: FindingSource::Signature(0),
            key: FlowKey::default(),
            interface: 0,
            segment: 0,
            from_client: true,
            flow_id: 1,
            tx: None,
            open: false,
            xbits: Vec::new(),
            verdict: Verdict::Accept,
            efficacy: Efficacy::Unknown,
            efficacy_reason: "",
            confidence: 0.9,
            severity: Severity::Major,
            silent: false,
            head: TextRange::default(),
            tail: TextRange::default(),
            evidence: TextRange::default(),
            state: "",
            incident: 0,
            source_verified: false,
            attacker: None,
        }
    }
}
