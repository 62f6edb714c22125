//! Successive clicks (detectors.md D6): one visitor hammers reload (F5).
//!
//! Per identity (client address and user agent) and server: requests for the same path that ask for a fresh copy, in the
//! last ten seconds. Gaps between them tell who presses: a person's are log-normal (their logarithms spread by 0.1 and
//! more, none below 80 ms); a tool's are alike or shorter.
//! What is *not* hammering: polling by a page (even gaps of 0.4 s and more); a page with its many parts (differing paths);
//! a few reloads; a NAT (other user agents are other identities); a crowd, which is told once per page, as a statistic,
//! when many identities do the same.
//! Requests without the wish for a fresh copy are [`super::request_flood`]'s.
//! Memory: fixed, one record per identity and one per page.

use std::net::IpAddr;

use super::SUCCESSIVE_CLICKS;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, Role};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SuccessiveClicksSettings {
    /// Reloads of one page within ten seconds. Default edge 16, DMZ 10, intranet 10 (detectors.md D6); at most 16.
    pub reloads_min: ByRole<u32>,
    /// Reloads of one page within ten seconds that keep an incident open. Default 4.
    pub reloads_off: u32,
    /// Identities that hammer one page at a time: from then on it is a crowd. Default 10.
    pub crowd_min: u32,
    /// Identities watched. Default 16,384.
    pub identities: usize,
    /// Pages watched. Default 2,048.
    pub pages: usize,
    /// Quiet seconds after which an incident closes. Default 86,400: one notice per identity and day (detectors.md D6).
    pub off_secs: u32,
}

impl Default for SuccessiveClicksSettings {
    fn default() -> Self {
        Self {
            reloads_min: ByRole::new(16, 10, 10),
            reloads_off: 4,
            crowd_min: 10,
            identities: 16_384,
            pages: 2_048,
            off_secs: 86_400,
        }
    }
}

/// Reloads of a page that are remembered.
const TIMES: usize = 16;
/// Pages of an identity that are counted.
const PAGES: usize = 3;
/// The window.
const WINDOW: u64 = 10_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Page {
    path: u64,
    times: [u64; TIMES],
    next: u8,
}

impl Page {
    fn press(&mut self, at: u64) {
        if let Some(slot) = self.times.get_mut(usize::from(self.next) % TIMES) {
            *slot = at;
        }
        self.next = self.next.wrapping_add(1) % TIMES as u8;
    }

    fn last(&self) -> u64 {
        self.times.iter().copied().max().unwrap_or(0)
    }

    /// Times within the window, oldest first.
    fn recent(&self, now: u64) -> ([u64; TIMES], usize) {
        let mut times = self.times;
        times.sort_unstable();
        let first = times
            .iter()
            .position(|t| *t != 0 && now.saturating_sub(*t) < WINDOW)
            .unwrap_or(TIMES);
        (times, first)
    }
}

/// Who presses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    Person,
    Tool,
    Polling,
}

#[derive(Clone, Debug, Default)]
struct Visitor {
    pages: [Page; PAGES],
    reloads: u64,
    last: Timestamp,
    live: Live,
}

impl Entry for Visitor {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.reloads.min(0xffff) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// One page under many hands.
#[derive(Clone, Debug, Default)]
struct Crowd {
    since: Timestamp,
    hands: Bitmap256,
    live: Live,
}

impl Entry for Crowd {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.hands.estimate()) << 40 | self.since.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct SuccessiveClicks {
    settings: SuccessiveClicksSettings,
    visitors: Watch<(IpAddr, IpAddr, u16), Visitor>,
    crowds: Watch<(IpAddr, u64), Crowd>,
}

/// Gaps between presses in numbers.
#[derive(Clone, Copy, Debug)]
struct Gaps {
    mean_ms: f64,
    spread: f64,
    shortest_ms: f64,
}

impl Gaps {
    fn of(times: &[u64]) -> Option<Self> {
        let gaps: Vec<f64> = times
            .windows(2)
            .filter_map(|w| match w {
                [a, b] => Some((b.saturating_sub(*a) as f64 / 1e6).max(0.1)),
                _ => None,
            })
            .collect();
        let n = gaps.len() as f64;
        if n < 3.0 {
            return None;
        }
        let logs: Vec<f64> = gaps.iter().map(|g| g.ln()).collect();
        let mean = logs.iter().sum::<f64>() / n;
        let spread = (logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        Some(Self {
            mean_ms: gaps.iter().sum::<f64>() / n,
            spread,
            shortest_ms: gaps.iter().copied().fold(f64::MAX, f64::min),
        })
    }

    fn hand(&self) -> Hand {
        match self {
            g if g.spread < 0.1 && g.mean_ms >= 400.0 => Hand::Polling,
            g if g.spread < 0.1 || g.mean_ms < 100.0 || g.shortest_ms < 40.0 => Hand::Tool,
            _ => Hand::Person,
        }
    }
}

impl SuccessiveClicks {
    /// Takes its memory.
    pub fn new(settings: SuccessiveClicksSettings) -> Self {
        Self {
            visitors: Watch::new(SUCCESSIVE_CLICKS, settings.identities),
            crowds: Watch::new(SUCCESSIVE_CLICKS, settings.pages),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        // Only what asks for a fresh copy is a press of the key.
        if record.detail & 1 == 0 {
            return;
        }
        let key = record.key;
        let agent = (record.detail >> 16) as u16;
        let identity = (key.src, key.dst, agent);
        let role = seen.place().role;
        let settings = &self.settings;
        let Some(visitor) = self.visitors.entry(identity, Visitor::default) else {
            return;
        };
        visitor.last = record.ts;
        visitor.reloads += 1;
        // With its query: a search for something else is another page.
        let path = record.value ^ u64::from(record.detail >> 3 & 0x1fff).rotate_left(40);
        let known = visitor.pages.iter().position(|p| p.path == path);
        let oldest = (0..PAGES).min_by_key(|at| visitor.pages.get(*at).map_or(0, Page::last));
        let Some(page) = known.or(oldest).and_then(|at| visitor.pages.get_mut(at)) else {
            return;
        };
        if known.is_none() {
            *page = Page {
                path,
                ..Page::default()
            };
        }
        page.press(record.ts.0);
        let (times, first) = page.recent(record.ts.0);
        let presses = (TIMES - first) as u32;
        let recent = times.get(first..).unwrap_or_default();
        if presses >= settings.reloads_off {
            Watch::<(IpAddr, IpAddr, u16), Visitor>::keep(&mut visitor.live, record.ts);
        }
        let enough = settings.reloads_min.of(role).clamp(4, TIMES as u32);
        if presses < enough {
            return;
        }
        let Some(gaps) = Gaps::of(recent) else {
            return;
        };
        let hand = gaps.hand();
        if hand == Hand::Polling {
            return;
        }
        if self.is_crowd(record, agent, reports) {
            return;
        }
        let size = self
            .visitors
            .entry(identity, Visitor::default)
            .map_or(0, |v| v.reloads);
        let severity = match (hand, role) {
            (Hand::Tool, Role::Intranet) => Severity::Major,
            (Hand::Tool, _) => Severity::Critical,
            (_, Role::Intranet) => Severity::Minor,
            _ => Severity::Major,
        };
        self.visitors.alarm_as(
            severity,
            identity,
            record,
            (key, size),
            reports,
            Visitor::default,
            |visitor| Says {
                confidence: 0.85,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.str(
                        "pressed_by",
                        if hand == Hand::Tool {
                            "a tool"
                        } else {
                            "a person"
                        },
                    )
                    .num("reloads_in_10s", presses)
                    .num("reloads_min", enough)
                    .num("reloads", visitor.reloads)
                    .float("mean_gap_ms", gaps.mean_ms.round())
                    .float("shortest_gap_ms", gaps.shortest_ms.round())
                    .float("spread_of_log_gaps", (gaps.spread * 100.0).round() / 100.0)
                    .hex("user_agent_hash", &agent.to_be_bytes(), None);
                }),
            },
        );
    }

    /// Whether many identities hammer the page: then it is told once, for the page.
    fn is_crowd(&mut self, record: &HostRecord, agent: u16, reports: &mut Vec<Report>) -> bool {
        let page = (record.key.dst, record.value);
        let Some(crowd) = self.crowds.entry(page, Crowd::default) else {
            return false;
        };
        if record.ts.is_outside(crowd.since, 60) {
            crowd.since = record.ts;
            crowd.hands = Bitmap256::default();
        }
        crowd.hands.insert(endpoint_hash(record.key.src, agent));
        let hands = crowd.hands.estimate();
        if hands < self.settings.crowd_min {
            return false;
        }
        let crowd_min = self.settings.crowd_min;
        self.crowds.alarm_as(
            Severity::Informational,
            page,
            record,
            (record.key, u64::from(hands)),
            reports,
            Crowd::default,
            |_| Says {
                confidence: 0.8,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.str("pressed_by", "a crowd")
                        .num("identities_in_a_minute", hands)
                        .num("identities_min", crowd_min);
                }),
            },
        );
        true
    }
}

impl Detector for SuccessiveClicks {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Request]
    }
    fn memory(&self) -> Memory {
        self.visitors.memory() + self.crowds.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.successive_clicks.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.visitors.tick(now, secs, reports, Visitor::default);
        self.crowds.tick(now, 60, reports, Crowd::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::*;

    /// A reload of page `path` by 10.0.0.`src` with a user agent.
    fn press(src: u32, agent: u32, path: u64, ms: u64) -> HostRecord {
        HostRecord {
            detail: 1 | agent << 16,
            value: path,
            ..record(RecordKind::Request, 6, src, 1, 80, ms)
        }
    }

    /// Gaps as people have them: log-normal around `mean` ms with a spread of 0.35.
    fn human(n: u64, mean: f64) -> Vec<u64> {
        let mut at = 0.0;
        (0..n)
            .map(|i| {
                let unit = |k: u64| {
                    (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64
                };
                // The sum of twelve uniform numbers is nearly normal.
                let normal = (0..12).map(|k| unit(i * 12 + k + 1)).sum::<f64>() - 6.0;
                at += mean * (normal * 0.35).exp();
                at as u64
            })
            .collect()
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut clicks = SuccessiveClicks::new(SuccessiveClicksSettings::default());
        run_with(&mut clicks, Role::Dmz, records)
    }

    fn says(report: &Report) -> String {
        String::from_utf8_lossy(&report.evidence).into_owned()
    }

    #[test]
    fn a_person_and_a_tool_are_told_apart() {
        let person = human(20, 500.0).into_iter().map(|ms| press(1, 7, 1, ms));
        let reports = run(person.collect());
        assert_eq!(reports.len(), 1);
        assert!(
            says(&reports[0]).contains("a person"),
            "{}",
            says(&reports[0])
        );
        println!(
            "F5 by a person: alert after {} ms, 10 presses",
            reports[0].number
        );
        let tool = (0..60).map(|i| press(1, 7, 1, i * 50));
        let reports = run(tool.collect());
        assert!(says(&reports[0]).contains("a tool"));
        assert_eq!(reports[0].severity, Severity::Critical);
        println!("F5 by a tool: alert after {} ms", reports[0].number);
    }

    #[test]
    fn nine_presses_and_slow_ones_are_quiet() {
        let few = human(9, 500.0).into_iter().map(|ms| press(1, 7, 1, ms));
        assert!(run(few.collect()).is_empty());
        let slow = human(100, 3_000.0).into_iter().map(|ms| press(1, 7, 1, ms));
        assert!(run(slow.collect()).is_empty());
    }

    #[test]
    fn polling_parts_of_a_page_and_ordinary_requests_are_quiet() {
        let poll = (0..100).map(|i| press(1, 7, 1, i * 700));
        assert!(run(poll.collect()).is_empty(), "polling");
        let parts = (0..60).map(|i| press(1, 7, i % 30, i * 100));
        assert!(run(parts.collect()).is_empty(), "parts");
        let usual = (0..60).map(|i| HostRecord {
            detail: 7 << 16,
            ..press(1, 7, 1, i * 100)
        });
        assert!(run(usual.collect()).is_empty(), "no reload");
    }

    #[test]
    fn an_office_behind_one_address_is_many_identities() {
        let mut records = Vec::new();
        for agent in 0..40u32 {
            for (i, ms) in human(6, 900.0).into_iter().enumerate() {
                records.push(press(
                    1,
                    agent + 1,
                    1,
                    ms + u64::from(agent) * 37 + i as u64,
                ));
            }
        }
        records.sort_by_key(|r| r.ts);
        assert!(run(records).is_empty());
    }

    #[test]
    fn a_crowd_is_one_statistic() {
        let mut records = Vec::new();
        for src in 0..60u32 {
            for ms in human(20, 450.0) {
                records.push(press(src + 1, 7, 1, ms + u64::from(src) * 31));
            }
        }
        records.sort_by_key(|r| r.ts);
        let reports = run(records);
        let crowds = reports
            .iter()
            .filter(|r| says(r).contains("a crowd"))
            .count();
        assert_eq!(crowds, 1);
        assert!(reports.len() <= 12, "{}", reports.len());
    }

    #[test]
    fn random_identities_take_no_more_memory_and_do_not_hide_a_hammer() {
        let mut clicks = SuccessiveClicks::new(SuccessiveClicksSettings {
            identities: 256,
            pages: 64,
            ..SuccessiveClicksSettings::default()
        });
        let bytes = Detector::memory(&clicks).bytes;
        let mut records = Vec::new();
        for i in 0..60_000u32 {
            records.push(press(1_000 + i, i & 0xfff, u64::from(i), u64::from(i)));
        }
        records.extend(
            human(60, 500.0)
                .into_iter()
                .map(|ms| press(1, 7, 1, ms + 5_000)),
        );
        records.sort_by_key(|r| r.ts);
        let reports = run_with(&mut clicks, Role::Dmz, records);
        assert_eq!(Detector::memory(&clicks).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([10, 0, 0, 1]))
        );
    }
}
