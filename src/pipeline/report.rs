//! The report stage: behaviour in packet order, grading, sinks.

use std::sync::Arc;

use super::evidence::Clerk;
use crate::alert::{Alert, Finding, FindingSource, Outbox, TextRange, Verdict};
use crate::detect::anomaly::{AnomalyEngine, AnomalySettings, HostRecord, Report};
use crate::grade::{Event, GradeCounts, GradeSettings, Grader};
use crate::rules::RuleSet;
use crate::sink::eve::{self, EveSettings};
use crate::sink::{Sink, SinkError};

/// What one worker says about one batch.
#[derive(Debug, Default)]
pub struct Said {
    /// Findings and log lines.
    pub outbox: Outbox,
    /// Records for the behavioural detectors.
    pub hosts: Vec<HostRecord>,
    /// Inline: packets that are not to go on, by their place in the batch, and why.
    pub stopped: Vec<(u32, Verdict)>,
    /// Which capture thread made the batch (live).
    pub lane: u16,
    /// Workers that were given this batch (live): so many answers are to be expected.
    pub expected: u16,
}

/// Behaviour, grading and sinks.
pub struct ReportStage {
    anomaly: Option<AnomalyEngine>,
    grader: Grader,
    sinks: Vec<Box<dyn Sink>>,
    eve: EveSettings,
    hosts: Vec<HostRecord>,
    reports: Vec<Report>,
    behaviour: Outbox,
    evidence: Option<Clerk>,
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
        Self {
            anomaly: anomaly
                .enabled
                .then(|| AnomalyEngine::new(anomaly, Box::new(grade.segments.clone()))),
            grader: Grader::new(rules, grade),
            sinks,
            eve,
            hosts: Vec::new(),
            reports: Vec::new(),
            behaviour: Outbox::default(),
            evidence: None,
        }
    }

    /// From now on packets of alerts are kept.
    pub fn keep_evidence(&mut self, clerk: Clerk) {
        self.evidence = Some(clerk);
    }

    /// Bounds of the detectors' tables.
    pub fn bounds(&self) -> Vec<crate::stats::MemoryBound> {
        self.anomaly
            .as_ref()
            .map(AnomalyEngine::bounds)
            .unwrap_or_default()
    }

    /// Whether host records are wanted.
    pub fn watches_hosts(&self) -> bool {
        self.anomaly.is_some()
    }

    /// Counters of grading.
    pub fn counts(&self) -> GradeCounts {
        self.grader.counts
    }

    /// Takes what every worker said about one batch.
    pub fn batch(&mut self, said: &[&Said]) {
        self.behaviour.clear();
        if let (Some(anomaly), Some(first)) = (&mut self.anomaly, said.first()) {
            // One worker's records come in order but for flows that ended at the border; several workers' do not.
            let records: &[HostRecord] = match said {
                [only] if only.hosts.is_sorted_by_key(|r| (r.number, r.order)) => &only.hosts,
                _ => {
                    self.hosts.clear();
                    for one in said {
                        self.hosts.extend_from_slice(&one.hosts);
                    }
                    self.hosts.sort_by_key(|r| (r.number, r.order, r.flow_id));
                    &self.hosts
                }
            };
            self.reports.clear();
            anomaly.batch(
                records,
                first.outbox.now,
                first.outbox.last,
                &mut self.reports,
            );
            self.behaviour.now = first.outbox.now;
            self.behaviour.last = first.outbox.last;
            for report in &self.reports {
                finding(&mut self.behaviour, &self.eve, report);
            }
        }
        let mut boxes: Vec<&Outbox> = said.iter().map(|s| &s.outbox).collect();
        boxes.push(&self.behaviour);
        let (sinks, evidence) = (&mut self.sinks, &mut self.evidence);
        self.grader.batch(&boxes, &mut |event| {
            give(sinks, evidence, &event);
        });
    }

    /// From now on findings with numbers from `first` on speak of `rules`, graded with `grade`.
    pub fn adopt(&mut self, first: u32, rules: Arc<RuleSet>, grade: GradeSettings) {
        if let Some(anomaly) = &mut self.anomaly {
            anomaly.adopt(Box::new(grade.segments.clone()));
        }
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
        self.grader.batch(&[&outbox], &mut |event| {
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
        verdict: Verdict::Accept,
        efficacy: report.efficacy,
        efficacy_reason: report.reason,
        confidence: report.confidence,
        severity: report.severity,
        silent: false,
        head,
        tail: TextRange::default(),
        evidence,
        state: report.state,
        incident: report.incident,
        source_verified: report.source_verified,
        attacker: None,
    });
}
