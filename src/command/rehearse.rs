//! A replay whose alerts are counted instead of written: what a configuration would say about captures.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use sekisho::alert::Level;
use sekisho::capture::{CaptureFile, FrameBatch, Source};
use sekisho::config::Config;
use sekisho::grade::Event;
use sekisho::grade::ledger::Ledger;
use sekisho::packet::Timestamp;
use sekisho::pipeline::replay;
use sekisho::sink::{Sink, SinkError};

/// Kinds of alerts kept apart; beyond it they are counted under their rule alone.
const KINDS_MAX: usize = 65_536;

/// What alerts of a kind have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Generator.
    pub gid: u32,
    /// Signature id.
    pub sid: u32,
    /// Segment.
    pub segment: String,
    /// Who attacks; `None` when there are too many kinds.
    pub ends: Option<(IpAddr, IpAddr)>,
}

/// How alerts of a kind were.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Their text.
    pub message: String,
    /// Name of the detector; empty for rules.
    pub detector: String,
    /// By level, GREEN first.
    pub levels: [u64; 4],
    /// How many of them failed, as far as is known.
    pub failed: u64,
    /// The arithmetic of the highest.
    pub why: String,
}

impl Tally {
    /// The highest level among them.
    pub fn highest(&self) -> Level {
        let levels = [Level::Red, Level::Orange, Level::Yellow];
        let seen = |l: &Level| self.levels.get(*l as usize).is_some_and(|n| *n > 0);
        levels.into_iter().find(seen).unwrap_or(Level::Green)
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.levels.iter().sum()
    }

    /// Those that people are sent: YELLOW and above.
    pub fn loud(&self) -> u64 {
        self.levels.iter().skip(1).sum()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Alerts by kind; closing records are left out.
    pub kinds: BTreeMap<Kind, Tally>,
    /// What was removed as noise.
    pub noise: Ledger,
}

#[derive(Debug, Default)]
struct Counter(Arc<Mutex<BTreeMap<Kind, Tally>>>);

impl Sink for Counter {
    fn event(&mut self, event: &Event<'_>) {
        let Event::Alert(alert) = event else { return };
        let Ok(mut kinds) = self.0.lock() else { return };
        if alert.finding.state == "close" {
            return;
        }
        let mut kind = Kind {
            gid: alert.gid,
            sid: alert.sid,
            segment: alert.segment.clone(),
            ends: Some((alert.attacker, alert.victim)),
        };
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
            kind.ends = None;
        }
        let tally = kinds.entry(kind).or_default();
        if tally.count() == 0 || alert.level > tally.highest() {
            tally.message = alert.message.to_owned();
            tally.detector = alert.detector.to_owned();
            tally.why.clone_from(&alert.why);
        }
        tally.failed += u64::from(alert.efficacy == sekisho::alert::Efficacy::Failed);
        if let Some(count) = tally.levels.get_mut(alert.level as usize) {
            *count += 1;
        }
    }

    fn flush(&mut self) {}

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Replays captures under a configuration.
pub fn rehearse(config: &Config, files: &[PathBuf]) -> Result<Rehearsal> {
    let engine = super::load_engine(config)?;
    let counter = Counter::default();
    let kinds = Arc::clone(&counter.0);
    let mut report = super::report_stage(config, &engine, vec![Box::new(counter)]);
    let options = super::replay::options(config, files.to_vec(), report.watches_hosts());
    let summary = replay(options, &engine, &mut report, &mut |_, _| {});
    for error in &summary.errors {
        eprintln!("sekisho: {error}");
    }
    let noise = report.grader().ledger().clone();
    drop(report);
    let kinds = kinds.lock().map(|k| k.clone()).unwrap_or_default();
    Ok(Rehearsal { kinds, noise })
}

/// Seconds of traffic in captures: each one's own span, added up.
pub fn seconds(files: &[PathBuf]) -> f64 {
    files.iter().map(|file| span(file).unwrap_or(0.0)).sum()
}

fn span(file: &std::path::Path) -> Option<f64> {
    let mut source = CaptureFile::open(file).ok()?;
    let mut batch = FrameBatch::default();
    let mut ends: Option<(Timestamp, Timestamp)> = None;
    loop {
        let more = source.fill(&mut batch, 4_096).unwrap_or(false);
        for frame in &batch.frames {
            let (first, last) = ends.unwrap_or((frame.ts, frame.ts));
            ends = Some((first.min(frame.ts), last.max(frame.ts)));
        }
        batch.frames.clear();
        if !more {
            break;
        }
    }
    let (first, last) = ends?;
    Some(last.since(first) as f64 / 1e9)
}

/// A count of alerts, as alerts a day.
pub fn a_day(count: u64, seconds: f64) -> String {
    let rate = count as f64 * 86_400.0 / seconds.max(1.0);
    if rate >= 10.0 {
        format!("{rate:.0}")
    } else {
        format!("{rate:.1}")
    }
}

/// A length of time for people.
pub fn long(seconds: f64) -> String {
    if seconds >= 7_200.0 {
        format!("{:.1} h", seconds / 3_600.0)
    } else if seconds >= 120.0 {
        format!("{:.1} min", seconds / 60.0)
    } else {
        format!("{seconds:.1} s")
    }
}
