//! The report stage: behaviour in packet order, grading, sinks.

use std::sync::Arc;

use super::evidence::Clerk;
use super::merge::Merge;
use super::thresholds::Thresholds;
use crate::alert::{Alert, Finding, FindingSource, Outbox, TextRange, Verdict};
use crate::detect::anomaly::{AnomalyEngine, AnomalySettings, HostRecord, Report, ServiceWires};
use crate::detect::signature::Replacement;
use crate::grade::action::BlockList;
use crate::grade::{Event, GradeCounts, GradeSettings, Grader, Ground, Heads, Segments};
use crate::packet::Timestamp;
use crate::rules::RuleSet;
use crate::rules::dataset::Ask;
use crate::sink::eve::stats::{self, Traffic};
use crate::sink::eve::{self, EveSettings};
use crate::sink::{Sink, SinkError};
use crate::stats::{Memory, MemoryBound};

/// What one worker says about one batch.
#[derive(Debug, Default)]
pub struct Said {
    /// Findings and log lines.
    pub outbox: Outbox,
    /// Records for the behavioural detectors.
    pub hosts: Vec<HostRecord>,
    /// Inline: packets that are not to go on, by their place in the batch, and why.
    pub stopped: Vec<(u32, Verdict)>,
    /// Inline: packets of whose payload bytes are to be changed (`replace`), by their place in the batch.
    pub changed: Vec<(u32, Vec<Replacement>)>,
    /// Which capture thread made the batch (live).
    pub lane: u16,
    /// Workers that were given this batch (live): so many answers are to be expected.
    pub expected: u16,
    /// The capture thread's last (live).
    pub ends: bool,
}

/// Behaviour, grading and sinks.
pub struct ReportStage {
    anomaly: Option<AnomalyEngine>,
    grader: Grader,
    sinks: Vec<Box<dyn Sink>>,
    eve: EveSettings,
    merge: Merge,
    reports: Vec<Report>,
    services: ServiceWires,
    behaviour: Outbox,
    evidence: Option<Clerk>,
    started: Option<Timestamp>,
    /// The latest time that a batch said.
    now: Timestamp,
    listed: usize,
    segments: Arc<Segments>,
    tuned: Vec<Tuned>,
    share: Vec<HostRecord>,
}

/// Detectors of segments with thresholds of their own.
struct Tuned {
    settings: AnomalySettings,
    members: Vec<String>,
    segments: Vec<usize>,
    engine: AnomalyEngine,
    records: Vec<HostRecord>,
}

impl std::fmt::Debug for ReportStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReportStage({} sinks)", self.sinks.len())
    }
}

impl ReportStage {
    /// For a rule set.
    pub fn new(
        rules: Arc<RuleSet>,
        (grade, anomaly, eve): (GradeSettings, &AnomalySettings, EveSettings),
        sinks: Vec<Box<dyn Sink>>,
    ) -> Self {
        let listed = grade.map.listed;
        let segments = Arc::new(grade.segments.clone());
        Self {
            anomaly: anomaly.enabled.then(|| {
                AnomalyEngine::new(anomaly, Box::new(Ground::new(grade.segments.clone())))
            }),
            grader: Grader::new(rules, grade, heads(eve)),
            sinks,
            eve,
            merge: Merge::default(),
            reports: Vec::new(),
            services: ServiceWires::default(),
            behaviour: Outbox::default(),
            evidence: None,
            started: None,
            now: Timestamp(0),
            listed,
            segments,
            tuned: Vec::new(),
            share: Vec::new(),
        }
    }

    /// Gives a segment (its index) thresholds of its own. Segments with the same thresholds share detectors.
    pub fn tune(&mut self, segment: usize, settings: &AnomalySettings) {
        if self.anomaly.is_none() {
            return;
        }
        let member = self.segments.list.get(segment).map(|s| s.name.clone());
        if let Some(tuned) = self.tuned.iter_mut().find(|t| t.settings == *settings) {
            tuned.segments.push(segment);
            tuned.members.extend(member);
            return;
        }
        let places = Box::new(Ground::new((*self.segments).clone()));
        self.tuned.push(Tuned {
            settings: settings.clone(),
            members: member.into_iter().collect(),
            segments: vec![segment],
            engine: AnomalyEngine::new(settings, places),
            records: Vec::new(),
        });
    }

    /// From now on packets of alerts are kept.
    pub fn keep_evidence(&mut self, clerk: Clerk) {
        self.evidence = Some(clerk);
    }

    /// Bounds of the tables of detectors and grading.
    pub fn bounds(&self) -> Vec<MemoryBound> {
        let detectors = self.anomaly.as_ref().map(AnomalyEngine::bounds);
        let mut bounds = detectors.unwrap_or_default();
        for tuned in &self.tuned {
            let all = Memory::default();
            let add = |sum: Memory, b: &MemoryBound| Memory {
                bytes: sum.bytes.saturating_add(b.bytes),
                used: sum.used.saturating_add(b.used),
            };
            let memory = tuned.engine.bounds().iter().fold(all, add);
            bounds.push(memory.of("detectors of tuned segments"));
        }
        bounds.extend(self.grader.bounds());
        bounds
    }

    /// Whether host records are wanted.
    pub fn watches_hosts(&self) -> bool {
        self.anomaly.is_some() || self.grader.wants_records()
    }

    /// The grading stage: its ledger, map and block list.
    pub fn grader(&self) -> &Grader {
        &self.grader
    }

    /// Carries out what an operator asks of a data set that rules change; `None`: there is none of that name.
    pub fn ask_dataset(&mut self, name: &str, ask: Ask, key: &[u8]) -> Option<bool> {
        self.grader.ask_dataset(name, ask, key)
    }

    /// What is decided goes into a list that the workers read (inline, `actions.enabled`).
    pub fn enforce(&mut self, blocks: Arc<BlockList>) {
        self.grader.enforce(blocks);
    }

    /// Counters of grading.
    pub fn counts(&self) -> GradeCounts {
        self.grader.counts
    }

    /// Takes what every worker said about one batch, or live about some.
    pub fn batch(&mut self, said: &[&Said]) {
        self.behaviour.clear();
        // Of one batch all say the same; of several, live, what is known is known until the latest.
        let Some(now) = said.iter().map(|s| s.outbox.now).max() else {
            return;
        };
        let last = said.iter().any(|s| s.outbox.last);
        self.started.get_or_insert(now);
        let merged = self.merge.records(said);
        let records: &[HostRecord] = merged.as_deref().unwrap_or_else(|| match said {
            [only] => &only.hosts,
            _ => &[],
        });
        self.behaviour.now = now;
        self.behaviour.last = last;
        let over = last || said.iter().any(|s| s.outbox.over);
        self.behaviour.over = over;
        if let Some(anomaly) = &mut self.anomaly {
            self.reports.clear();
            if self.tuned.is_empty() {
                anomaly.batch(records, now, over, &mut self.reports);
            } else {
                self.share.clear();
                for tuned in &mut self.tuned {
                    tuned.records.clear();
                }
                for record in records {
                    let key = &record.key;
                    let at = self
                        .segments
                        .index(record.interface, key.vlan[0], key.dst, key.src);
                    match self.tuned.iter_mut().find(|t| t.segments.contains(&at)) {
                        Some(tuned) => tuned.records.push(*record),
                        None => self.share.push(*record),
                    }
                }
                anomaly.batch(&self.share, now, over, &mut self.reports);
                for tuned in &mut self.tuned {
                    tuned
                        .engine
                        .batch(&tuned.records, now, over, &mut self.reports);
                }
            }
            let services = &mut self.services;
            self.reports.retain_mut(|report| services.passes(report));
            for report in &self.reports {
                finding(&mut self.behaviour, &self.eve, report);
            }
        }
        let mut boxes: Vec<&Outbox> = said.iter().map(|s| &s.outbox).collect();
        boxes.push(&self.behaviour);
        let (sinks, evidence) = (&mut self.sinks, &mut self.evidence);
        self.grader.batch(&boxes, records, &mut |event| {
            give(sinks, evidence, &event);
        });
        if let Some(merged) = merged {
            self.merge.take_back(merged);
        }
        self.now = self.now.max(now);
    }

    /// Traffic has ended: what waits for more is said, and the statistics (live; on replay the last batch does the one,
    /// and whoever replays the other).
    pub fn end(&mut self, now: Timestamp) {
        let mut said = Said::default();
        (said.outbox.now, said.outbox.last) = (now, true);
        self.batch(&[&said]);
        self.say_stats(None);
    }

    /// From now on findings with numbers from `first` on speak of `rules`, graded with `grade`, and detectors go by
    /// `thresholds`.
    pub fn adopt(
        &mut self,
        first: u32,
        rules: Arc<RuleSet>,
        grade: GradeSettings,
        thresholds: &Thresholds,
    ) {
        if let Some(anomaly) = &mut self.anomaly {
            anomaly.adopt(Box::new(Ground::new(grade.segments.clone())));
            anomaly.tune(&thresholds.all);
        }
        for tuned in &mut self.tuned {
            tuned
                .engine
                .adopt(Box::new(Ground::new(grade.segments.clone())));
            if let Some(settings) = thresholds.common(&tuned.members) {
                tuned.engine.tune(settings);
            }
            // The list may have another order now.
            let list = grade.segments.list.iter().enumerate();
            let mine = list.filter(|(_, s)| tuned.members.contains(&s.name));
            tuned.segments = mine.map(|(at, _)| at).collect();
        }
        self.segments = Arc::new(grade.segments.clone());
        let (sinks, evidence) = (&mut self.sinks, &mut self.evidence);
        self.grader.adopt(first, rules, grade, &mut |event| {
            give(sinks, evidence, &event);
        });
    }

    /// Gives a line that no packet brought about to the sinks.
    pub fn line(&mut self, kind: &'static str, line: &[u8]) {
        for sink in &mut self.sinks {
            sink.event(&Event::Line { kind, line });
        }
    }

    /// Grades and says what is wrong with a device, a service or the sensor itself.
    pub fn trouble(&mut self, trouble: Report) {
        let mut outbox = Outbox::default();
        outbox.now = trouble.ts;
        finding(&mut outbox, &self.eve, &trouble);
        let (sinks, evidence) = (&mut self.sinks, &mut self.evidence);
        self.grader.batch(&[&outbox], &[], &mut |event| {
            give(sinks, evidence, &event);
        });
    }

    /// Log files were moved away: the sinks open them again.
    pub fn reopen(&mut self) {
        for sink in &mut self.sinks {
            sink.reopen();
        }
    }

    /// Everything until here is to leave the sinks' buffers.
    pub fn flush(&mut self) {
        for sink in &mut self.sinks {
            sink.flush();
        }
    }

    /// Writes a `stats` record: counters of the traffic (replay; a running sensor says them itself), what was removed as
    /// noise and why, and the hosts of ours.
    pub fn say_stats(&mut self, traffic: Option<&Traffic<'_>>) {
        if !self.eve.stats || (self.eve.strict && traffic.is_none()) {
            return;
        }
        let now = self.now;
        let started = *self.started.get_or_insert(now);
        let mut line = Vec::new();
        let listed = (!self.eve.strict).then_some(self.listed);
        stats::write(&mut line, &self.grader, (started, now), traffic, listed);
        for sink in &mut self.sinks {
            sink.event(&Event::Line {
                kind: "stats",
                line: &line,
            });
        }
    }

    /// The end: every sink delivers what it has. Gives the sinks back, and what they could not do.
    pub fn finish(mut self) -> (Vec<Box<dyn Sink>>, Vec<SinkError>) {
        let errors = self
            .sinks
            .iter_mut()
            .filter_map(|sink| sink.finish().err())
            .collect();
        (self.sinks, errors)
    }
}

/// The beginning of alerts that no packet in hand shows.
fn heads(settings: EveSettings) -> Heads {
    Box::new(move |finding| {
        let mut out = Outbox::default();
        let at = (finding.number, finding.ts);
        let head = eve::alert::detector_head(&mut out, &settings, at, &finding.key);
        out.slice(head).to_vec()
    })
}

/// Gives an event to every sink; an alert with the file in which its packets are kept.
fn give(sinks: &mut [Box<dyn Sink>], evidence: &mut Option<Clerk>, event: &Event<'_>) {
    let mut kept = None;
    if let (Event::Alert(alert), Some(clerk)) = (event, evidence)
        && let Some(capture_file) = clerk.file(alert)
    {
        kept = Some(Alert {
            capture_file,
            ..(*alert).clone()
        });
    }
    for sink in sinks {
        match &kept {
            Some(alert) => sink.event(&Event::Alert(alert)),
            None => sink.event(event),
        }
    }
}

/// A detector's report as a finding.
fn finding(out: &mut Outbox, settings: &EveSettings, report: &Report) {
    // Behind everything that packets said with the same number.
    out.begin(report.number, 0xfff_ffff_ffff);
    let head = eve::alert::detector_head(out, settings, (report.number, report.ts), &report.key);
    let start = out.text.len();
    out.text.extend_from_slice(&report.evidence);
    let evidence = out.since(start);
    let (number, order) = out.rank();
    out.findings.push(Finding {
        number,
        order,
        ts: report.ts,
        source: FindingSource::Detector(report.detector),
        key: report.key,
        interface: report.interface,
        segment: 0,
        from_client: true,
        flow_id: 0,
        tx: None,
        open: false,
        xbits: Vec::new(),
        datasets: Vec::new(),
        context: None,
        verdict: Verdict::Accept,
        efficacy: report.efficacy,
        efficacy_reason: report.reason,
        confidence: report.confidence,
        severity: report.severity,
        silent: false,
        subject: report.subject,
        head,
        tail: TextRange::default(),
        evidence,
        state: report.state,
        incident: report.incident,
        source_verified: report.source_verified,
        attacker: None,
    });
}
