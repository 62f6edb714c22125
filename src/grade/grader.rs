//! The stage itself: findings in, graded alerts out.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::action::{self, BlockList};
use super::budget::{Budgets, Spent};
use super::campaign::{Campaigns, Family};
use super::efficacy::{Attack, judge, software_of};
use super::exempt::{Effect, Question};
use super::incident::{Admit, Incidents};
use super::ledger::{Ledger, Stage};
use super::level::{self, Role, Severity};
use super::pending::{Pending, Waiting};
use super::repeat::Repeats;
use super::watch::{Suspect, Watch};
use super::{GradeSettings, Profile, Segment};
use crate::alert::{
    Alert, Efficacy, Finding, FindingSource, Json, Level, Outbox, Phenomenon, TextRange, Threat,
    Verdict,
};
use crate::asset::{AssetMap, Product, roles};
use crate::detect::anomaly::place::{HostRole, Places};
use crate::detect::anomaly::{DETECTORS, GID, HostRecord, RecordKind};
use crate::detect::signature::Datasets;
use crate::detect::signature::threshold::Thresholds;
use crate::detect::signature::xbit::Xbits;
use crate::packet::Timestamp;
use crate::rules::dataset::Ask;
use crate::rules::{RuleSet, Signature, Target};
use crate::stats::{Memory, MemoryBound};

/// Makes the EVE members before `"alert"` of a finding that no packet in hand shows.
pub type Heads = Box<dyn Fn(&Finding) -> Vec<u8> + Send>;

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
    /// Alerts given out before their outcome because too many were waiting.
    pub hurried: u64,
    /// Alerts that were raised by what their victims did afterwards.
    pub raised: u64,
}

/// What is known of a signature; made once, at its first alert.
#[derive(Debug)]
struct Known {
    profile: Profile,
    software: Vec<Product>,
    family: Option<Family>,
}

/// Rules with what they are graded by.
struct InForce {
    /// Number of its first signature in findings.
    first: u32,
    rules: Arc<RuleSet>,
    settings: Arc<GradeSettings>,
    known: Vec<Option<Arc<Known>>>,
}

impl InForce {
    fn new(first: u32, rules: Arc<RuleSet>, settings: GradeSettings) -> Self {
        let known = (0..rules.signatures.len()).map(|_| None).collect();
        Self {
            first,
            rules,
            settings: Arc::new(settings),
            known,
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
    /// The settings in force now.
    settings: Arc<GradeSettings>,
    thresholds: Thresholds,
    xbits: Xbits,
    datasets: Datasets,
    pending: Pending,
    order: Vec<(u64, u64, u32, u32)>,
    assets: Option<AssetMap>,
    blocks: Arc<BlockList>,
    enforce: bool,
    /// There is a list that workers read: actions may be carried out.
    can_enforce: bool,
    incidents: Incidents,
    repeats: Repeats,
    watch: Watch,
    campaigns: Campaigns,
    budgets: Budgets,
    ledger: Ledger,
    heads: Heads,
    swept: u64,
    /// Counters.
    pub counts: GradeCounts,
}

impl std::fmt::Debug for Grader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grader({} waiting)", self.pending.len())
    }
}

impl Grader {
    /// For a rule set. `heads` writes the beginning of alerts that no packet in hand shows.
    pub fn new(rules: Arc<RuleSet>, settings: GradeSettings, heads: Heads) -> Self {
        let assets = settings.map.enabled.then(|| AssetMap::new(&settings.map));
        let mut datasets = Datasets::default();
        datasets.adopt(&rules.datasets);
        let set = InForce::new(0, rules, settings);
        Self {
            settings: Arc::clone(&set.settings),
            sets: VecDeque::from([set]),
            assets,
            thresholds: Thresholds::default(),
            xbits: Xbits::default(),
            datasets,
            pending: Pending::default(),
            order: Vec::new(),
            blocks: Arc::new(BlockList::default()),
            enforce: false,
            can_enforce: false,
            incidents: Incidents::default(),
            repeats: Repeats::default(),
            watch: Watch::default(),
            campaigns: Campaigns::default(),
            budgets: Budgets::default(),
            ledger: Ledger::default(),
            heads,
            swept: 0,
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
        self.datasets.adopt(&rules.datasets);
        let set = InForce::new(first, rules, settings);
        self.settings = Arc::clone(&set.settings);
        self.enforce = self.can_enforce && self.settings.actions.enabled;
        self.sets.push_back(set);
    }

    /// The rules and settings that a finding was made with: place among the sets, and of the signature.
    fn set_of(&self, number: u32) -> Option<(usize, usize)> {
        (0..self.sets.len())
            .rev()
            .find_map(|at| Some((at, self.sets.get(at)?.index(number)?)))
    }

    /// Actions go into a list that workers read (inline); without it alerts say what would be done.
    pub fn enforce(&mut self, blocks: Arc<BlockList>) {
        self.blocks = blocks;
        self.can_enforce = true;
        self.enforce = self.settings.actions.enabled;
    }

    /// The block list.
    pub fn blocks(&self) -> &Arc<BlockList> {
        &self.blocks
    }

    /// Carries out what an operator asks of a data set that rules change; `None`: there is none of that name.
    pub fn ask_dataset(&mut self, name: &str, ask: Ask, key: &[u8]) -> Option<bool> {
        self.datasets.ask(name, ask, key)
    }

    /// The data sets that rules change.
    pub fn datasets(&self) -> &Datasets {
        &self.datasets
    }

    /// Whether host records are wanted.
    pub fn wants_records(&self) -> bool {
        self.assets.is_some()
    }

    /// Bounds of its tables.
    pub fn bounds(&self) -> Vec<MemoryBound> {
        let mut bounds: Vec<MemoryBound> = self.assets.iter().flat_map(AssetMap::bounds).collect();
        bounds.extend([
            self.incidents.memory().of("incidents"),
            self.datasets.memory().of("data sets"),
            (self.thresholds.memory() + self.xbits.memory())
                .of("counts and bits of rules that alert"),
            self.repeats.bound(),
            self.watch.bound(),
            self.campaigns.bound(),
            Memory::whole(self.blocks.bytes()).of("block list"),
        ]);
        bounds
    }

    /// What was removed as noise.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The asset map.
    pub fn assets(&self) -> Option<&AssetMap> {
        self.assets.as_ref()
    }

    /// Takes what every worker said about one batch, and the records of hosts in packet order; gives out what is ready.
    pub fn batch(
        &mut self,
        outboxes: &[&Outbox],
        records: &[HostRecord],
        receive: &mut dyn FnMut(Event<'_>),
    ) {
        let now = outboxes.iter().map(|o| o.now).max().unwrap_or_default();
        let last = outboxes.iter().any(|o| o.last);
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        for (box_at, outbox) in outboxes.iter().enumerate() {
            let lines = outbox
                .records
                .iter()
                .enumerate()
                .map(|(i, r)| (r.number, r.order, box_at as u32, i as u32));
            let findings = outbox
                .findings
                .iter()
                .enumerate()
                .map(|(i, f)| (f.number, f.order, box_at as u32, FINDING | i as u32));
            order.extend(lines);
            order.extend(findings);
        }
        order.sort_unstable();
        let mut records = records.iter().peekable();
        for &(number, _, box_at, at) in &order {
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
                // What hosts did up to this packet is known to what is said about it.
                while let Some(record) = records.next_if(|r| r.number <= number) {
                    self.record(record, receive);
                }
                self.finding(outbox, finding, receive);
            }
        }
        self.order = order;
        for record in records {
            self.record(record, receive);
        }
        for outbox in outboxes {
            for note in &outbox.outcomes {
                self.pending.outcome(note);
            }
        }
        let wait = self.settings.outcome_wait_ms.saturating_mul(1_000_000);
        let until = (!last).then(|| Timestamp(now.0.saturating_sub(wait)));
        for waiting in self.pending.due(until) {
            self.give_waiting(&waiting, receive);
        }
        if now.secs() != self.swept {
            self.swept = now.secs();
            self.blocks.sweep(now);
        }
    }

    /// A host did something: the map learns it, and victims under watch may give themselves away.
    fn record(&mut self, record: &HostRecord, receive: &mut dyn FnMut(Event<'_>)) {
        let Some(assets) = &mut self.assets else {
            return;
        };
        let (src, dst) = (record.key.src, record.key.dst);
        if record.kind == RecordKind::Opened && self.watch.is_watching(record.ts) {
            let met = self.blocks.knows(src, dst, false);
            let place = self.settings.segments.place(&record.key, record.interface);
            let first_outside = place.src_ours
                && !place.dst_ours
                && assets.get(src).is_some_and(|host| {
                    host.outside_since.is_none() && record.ts.secs_since(host.first) >= 600
                });
            let shown = self.watch.opens(record, met, first_outside);
            self.raise(shown, record.ts, record.number, receive);
        }
        if let Some(assets) = &mut self.assets {
            assets.record(record, &self.settings.segments);
        }
        if record.kind == RecordKind::Established && record.key.proto == 6 {
            self.blocks.learn(src, dst);
        }
    }

    /// Attacks that were printed, and have worked.
    fn raise(
        &mut self,
        shown: Vec<(Suspect, Efficacy, &'static str)>,
        ts: Timestamp,
        number: u64,
        receive: &mut dyn FnMut(Event<'_>),
    ) {
        for (suspect, efficacy, reason) in shown {
            self.counts.raised += 1;
            let mut finding = suspect.finding;
            if self.pending.confirm(&finding, efficacy, reason) {
                continue;
            }
            (finding.efficacy, finding.efficacy_reason) = (efficacy, reason);
            (finding.ts, finding.number, finding.state) = (ts, number, "update");
            finding.incident = suspect.incident;
            finding.open = false;
            let head = (self.heads)(&finding);
            self.give(&finding, (&head, &[]), 0, &[], receive);
        }
    }

    fn finding(&mut self, outbox: &Outbox, finding: &Finding, receive: &mut dyn FnMut(Event<'_>)) {
        let mut finding = finding.clone();
        let admitted = match finding.source {
            FindingSource::Signature(index) => self.admit_signature(&mut finding, index),
            FindingSource::Detector(index) => self.admit_report(&mut finding, index, receive),
        };
        if !admitted {
            return;
        }
        let waits = finding.open
            && finding.efficacy < Efficacy::Likely
            && self.settings.outcome_wait_ms > 0;
        if waits {
            let waiting = Waiting {
                head: outbox.slice(finding.head).to_vec(),
                tail: outbox.slice(finding.tail).to_vec(),
                finding,
                code: 0,
            };
            if let Some(oldest) = self.pending.add(waiting) {
                self.counts.hurried += 1;
                self.give_waiting(&oldest, receive);
            }
            return;
        }
        let parts = (outbox.slice(finding.head), outbox.slice(finding.tail));
        let totals;
        let mut evidence = outbox.slice(finding.evidence);
        if finding.state == "close" && evidence.is_empty() {
            totals = self.totals(&finding);
            evidence = &totals;
        }
        self.give(&finding, parts, 0, evidence, receive);
    }

    /// Whether a signature's finding becomes an alert; gives it its incident.
    fn admit_signature(&mut self, finding: &mut Finding, index: u32) -> bool {
        let Some((set, at)) = self.set_of(index) else {
            return false;
        };
        let Some((rules, settings)) = self
            .sets
            .get(set)
            .map(|s| (Arc::clone(&s.rules), Arc::clone(&s.settings)))
        else {
            return false;
        };
        let Some(signature) = rules.signatures.get(at) else {
            return false;
        };
        let what = (signature.gid, signature.sid.0, 0);
        let (key, now) = (&finding.key, finding.ts);
        if !self.xbits.hold(&finding.xbits, key, now) {
            if !finding.silent {
                self.ledger.note(Stage::Xbits, what, String::new);
            }
            return false;
        }
        // A value that is not new, or not there, is no noise that somebody may want to know of.
        if !self.datasets.settle(&rules.datasets, &finding.datasets) {
            return false;
        }
        self.xbits.carry_out(&finding.xbits, key, now);
        if finding.silent {
            return false;
        }
        let segment = settings.segments.list.get(usize::from(finding.segment));
        let changes = segment.map(|s| &s.changes);
        if changes.is_some_and(|c| c.disabled.contains(&signature.sid.0)) {
            let name = || segment.map_or_else(String::new, |s| format!("segment {}", s.name));
            self.ledger.note(Stage::Disabled, what, name);
            return false;
        }
        let changed = changes.and_then(|c| c.thresholds.get(&signature.sid.0));
        if let Some(threshold) = changed.or(signature.threshold.as_ref()).copied() {
            let (key, flow, now) = (&finding.key, finding.flow_id, finding.ts);
            let whose = (signature.gid, signature.sid.0);
            let passes = self.thresholds.passes(whose, &threshold, key, flow, now);
            if !passes.alerts {
                let by = if changed.is_some() {
                    "the segment's"
                } else {
                    "the rule's"
                };
                self.ledger.note(Stage::Threshold, what, || {
                    format!("{by}: {} in {} s", threshold.count, threshold.seconds)
                });
                return false;
            }
        }
        let (attacker, victim) = ends(signature, finding);
        finding.incident = self
            .repeats
            .incident(signature.sid.0, attacker, victim, finding.ts);
        let known = self.known((set, at), signature);
        let serious = known.as_ref().is_some_and(|k| {
            k.profile.phenomenon == Phenomenon::UnauthorizedAccess
                && k.profile.severity > Severity::Informational
                && k.profile
                    .threats
                    .iter()
                    .any(|t| *t != Threat::MoralsCollapse)
        });
        // The attacker's own connection carried it, so that a call back is news.
        let carried = if finding.from_client {
            attacker == finding.key.src
        } else {
            attacker == finding.key.dst
        };
        if serious && carried && finding.flow_id != 0 && finding.verdict == Verdict::Accept {
            let suspect = Suspect {
                finding: without_text(finding),
                attacker,
                incident: finding.incident,
            };
            self.watch.begin(victim, suspect);
        }
        true
    }

    /// Whether a detector's report is said; gives it the state and incident under which it is.
    fn admit_report(
        &mut self,
        finding: &mut Finding,
        index: u16,
        receive: &mut dyn FnMut(Event<'_>),
    ) -> bool {
        let Some(detector) = DETECTORS.get(usize::from(index)) else {
            return false;
        };
        let attacker = finding.attacker.unwrap_or(finding.key.src);
        let family = Family::of_detector(detector.family);
        if finding.state == "open"
            && let Some(assets) = &mut self.assets
        {
            if family == Some(Family::Scan) {
                assets.scanned(attacker, finding.ts);
            }
            if matches!(
                family,
                Some(Family::Scan | Family::Guessing | Family::Control)
            ) {
                let shown = self.watch.attacks(attacker, finding.ts, finding.number);
                self.raise(shown, finding.ts, finding.number, receive);
            }
        }
        match self.incidents.admit(finding, index) {
            Admit::Say(incident, state) => {
                (finding.incident, finding.state) = (incident, state);
                if state == "open" && family == Some(Family::Guessing) {
                    let suspect = Suspect {
                        finding: without_text(finding),
                        attacker,
                        incident,
                    };
                    self.watch.begin(finding.key.dst, suspect);
                }
                true
            }
            Admit::Hide(stage, incident) => {
                let what = (GID, detector.sid, incident);
                let why = || format!("{} of incident {incident:016x}", detector.name);
                self.ledger.note(stage, what, why);
                false
            }
            Admit::Drop => false,
        }
    }

    /// Totals of an incident, as members of an evidence object.
    fn totals(&self, finding: &Finding) -> Vec<u8> {
        let totals = self.incidents.totals(finding.incident, finding.ts);
        let mut out = Vec::new();
        Json::new(&mut out)
            .num("seconds", totals.secs)
            .num("merged", totals.merged)
            .num("attackers", totals.attackers)
            .num("victims", totals.victims);
        out
    }

    fn known(&mut self, (set, at): (usize, usize), signature: &Signature) -> Option<Arc<Known>> {
        let set = self.sets.get_mut(set)?;
        let rules = &set.rules;
        let slot = set.known.get_mut(at)?;
        let known = slot.get_or_insert_with(|| {
            let class = signature
                .class
                .and_then(|c| rules.classes.get(usize::from(c)));
            let name = class.map_or("", |c| c.name.as_str());
            let profile = Profile::new(name, signature.priority, signature.metadata.iter());
            let affected = signature.metadata.value("affected_product").unwrap_or("");
            Arc::new(Known {
                software: software_of(&signature.msg, affected),
                family: Family::of_class(name, profile.phenomenon),
                profile,
            })
        });
        Some(Arc::clone(known))
    }

    fn give_waiting(&mut self, waiting: &Waiting, receive: &mut dyn FnMut(Event<'_>)) {
        let parts = (waiting.head.as_slice(), waiting.tail.as_slice());
        self.give(&waiting.finding, parts, waiting.code, &[], receive);
    }

    fn give(
        &mut self,
        finding: &Finding,
        parts: (&[u8], &[u8]),
        code: u32,
        evidence: &[u8],
        receive: &mut dyn FnMut(Event<'_>),
    ) {
        match finding.source {
            FindingSource::Signature(index) => {
                let Some((set, at)) = self.set_of(index) else {
                    return;
                };
                let Some((rules, settings)) = self
                    .sets
                    .get(set)
                    .map(|s| (Arc::clone(&s.rules), Arc::clone(&s.settings)))
                else {
                    return;
                };
                let Some(signature) = rules.signatures.get(at) else {
                    return;
                };
                let Some(known) = self.known((set, at), signature) else {
                    return;
                };
                let class = signature
                    .class
                    .and_then(|c| rules.classes.get(usize::from(c)));
                let alert = Alert {
                    gid: signature.gid,
                    sid: signature.sid.0,
                    rev: signature.rev,
                    message: &signature.msg,
                    category: class.map_or("", |c| c.description.as_str()),
                    severity: signature.priority,
                    metadata: signature.metadata.iter().collect(),
                    ..draft(
                        finding,
                        parts,
                        evidence,
                        ends(signature, finding),
                        &known.profile,
                    )
                };
                let about = (known.software.as_slice(), known.family);
                self.grade(&settings, alert, code, about, receive);
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
                let ends = (finding.key.src, finding.key.dst);
                let alert = Alert {
                    gid: GID,
                    sid: detector.sid,
                    rev: 1,
                    message: detector.message,
                    category: detector.category,
                    severity: 2,
                    detector: detector.name,
                    ..draft(finding, parts, evidence, ends, &profile)
                };
                let family = Family::of_detector(detector.family);
                let settings = Arc::clone(&self.settings);
                self.grade(&settings, alert, code, (&[], family), receive);
            }
        }
    }

    /// The level and everything that depends on it.
    fn grade(
        &mut self,
        settings: &GradeSettings,
        mut alert: Alert<'_>,
        code: u32,
        (software, family): (&[Product], Option<Family>),
        receive: &mut dyn FnMut(Event<'_>),
    ) {
        let finding = alert.finding;
        let mut reason = if alert.efficacy == finding.efficacy {
            finding.efficacy_reason
        } else {
            alert.impact |= 32;
            "the rule sees only what worked"
        };
        if let Some(assets) = &mut self.assets
            && finding.state != "close"
        {
            let attack = Attack {
                finding,
                so_far: (alert.efficacy, reason),
                phenomenon: alert.phenomenon,
                threats: &alert.threats,
                victim: alert.victim,
                software,
            };
            let (efficacy, why, impact) = judge(assets, &attack);
            (alert.efficacy, reason) = (efficacy, why);
            alert.impact |= impact;
        }
        alert.impact |= u8::from(alert.blocked) << 4;
        let segments = &settings.segments;
        let at = segments.index(
            finding.interface,
            finding.key.vlan[0],
            alert.victim,
            alert.attacker,
        );
        let segment = segments.list.get(at);
        let declared = |role: &&HostRole| segments.has_role(alert.attacker, **role);
        let excuses = excuses(alert.detector);
        let declared_duty = excuses.iter().find(declared).map_or("", |r| r.as_str());
        let seems = |host: &crate::asset::Host| {
            let ripe = roles::is_ripe(host, finding.ts, settings.map.observe_secs);
            let mut proposed = roles::propose(host).into_iter().filter(|_| ripe);
            proposed
                .find(|(role, _)| excuses.contains(role))
                .map_or("", |(role, _)| role.as_str())
        };
        let duty = match &mut self.assets {
            Some(assets) if !excuses.is_empty() => assets.get(alert.attacker).map_or("", seems),
            _ => "",
        };
        let severity = if finding.state == "close" {
            Severity::Informational
        } else {
            Severity::from_name(alert.severity_word)
        };
        let internal = segment.is_some_and(|s| s.is_home(alert.attacker));
        let threats = std::mem::take(&mut alert.threats);
        let mut grounds = level::Grounds {
            phenomenon: alert.phenomenon,
            threats: &threats,
            severity,
            role: segment.map_or(Role::Dmz, |s| s.role),
            internal_source: internal,
            critical_asset: segments.is_critical(alert.victim),
            blocked: alert.blocked,
            efficacy: alert.efficacy,
            efficacy_reason: reason,
            efficacy_code: code,
            confidence: alert.confidence,
            campaign: "",
            duty,
            declared_duty,
            infected: false,
        };
        (alert.level, alert.why) = level::grade(&grounds);
        let campaign = match family {
            Some(family) if alert.level >= Level::Yellow && finding.state != "close" => {
                self.campaigns.note(alert.attacker, family, at, finding.ts)
            }
            _ => String::new(),
        };
        if !campaign.is_empty() {
            grounds.campaign = &campaign;
            let spreads = matches!(family, Some(Family::Scan | Family::Control));
            grounds.infected = internal && spreads && campaign.contains(Family::Control.as_str());
            (alert.level, alert.why) = level::grade(&grounds);
        }
        alert.threats = threats;
        let what = (alert.gid, alert.sid, 0);
        let duty = if declared_duty.is_empty() {
            duty
        } else {
            declared_duty
        };
        if !duty.is_empty() {
            self.ledger.note(Stage::Role, what, || duty.to_owned());
        }
        if let Some(segment) = segment {
            alert.segment.clone_from(&segment.name);
            fix_level(segment, &mut alert);
        }
        if self.is_exempt(settings, &mut alert) {
            return;
        }
        self.spend(&mut alert, receive);
        self.act(&mut alert, internal);
        if alert.gid == GID {
            // What consumers colour by follows the level: RED 1 … GREEN 4.
            alert.severity = 4 - alert.level as u8;
        }
        if let Some(count) = self.counts.levels.get_mut(alert.level as usize) {
            *count += 1;
        }
        receive(Event::Alert(&alert));
    }

    /// Applies exemptions; whether the alert is not said.
    fn is_exempt(&mut self, settings: &GradeSettings, alert: &mut Alert<'_>) -> bool {
        let question = Question {
            sid: alert.sid,
            detector: alert.detector,
            attacker: alert.attacker,
            victim: alert.victim,
            segment: &alert.segment,
            at: alert.finding.ts,
            level: alert.level,
        };
        let has = |role| settings.segments.has_role(question.attacker, role);
        let found = settings
            .exemptions
            .iter()
            .enumerate()
            .find(|(_, e)| e.applies(&question, has));
        let Some((at, exemption)) = found else {
            return false;
        };
        let what = (alert.gid, alert.sid, at as u64 + 1);
        let why = || format!("exemption {}: {}", at + 1, exemption.reason);
        self.ledger.note(Stage::Exempt, what, why);
        if exemption.effect == Effect::Mute {
            return true;
        }
        alert.level = Level::Green;
        alert.why = format!("GREEN: exempt: {}; {}", exemption.reason, alert.why);
        false
    }

    /// Counts against the budget; over it the alert is for the digest, and the first time that is said.
    fn spend(&mut self, alert: &mut Alert<'_>, receive: &mut dyn FnMut(Event<'_>)) {
        let (finding, kind) = (alert.finding, (alert.gid, alert.sid));
        let spent = self
            .budgets
            .spend(&self.settings.budget, kind, alert.level, finding.ts);
        if spent == Spent::Within {
            return;
        }
        alert.digest = true;
        let level = alert.level.as_str();
        self.ledger
            .note(Stage::Budget, (kind.0, kind.1, 0), || level.to_owned());
        // A detector's alerts are not Suricata's, so that people may be told in their place; so is this one.
        if spent == Spent::Over || alert.gid != GID {
            return;
        }
        let mut about = without_text(finding);
        (about.state, about.incident) = ("update", 0);
        let head = (self.heads)(&about);
        let message = format!("SEKISHO budget exceeded: {level} of {}", alert.detector);
        let notice = Alert {
            finding: &about,
            head: &head,
            tail: &[],
            evidence: &[],
            sid: BUDGET_SID,
            message: &message,
            category: "Digest",
            severity: 4,
            metadata: Vec::new(),
            detector: "budget",
            level: Level::Green,
            why:
                "GREEN: what follows in this hour is in the digest; tune the detector or its budget"
                    .to_owned(),
            action: Default::default(),
            ..alert.clone()
        };
        if let Some(count) = self.counts.levels.get_mut(0) {
            *count += 1;
        }
        receive(Event::Alert(&notice));
    }

    /// Decides what is done inline.
    fn act(&mut self, alert: &mut Alert<'_>, internal: bool) {
        let finding = alert.finding;
        if alert.gid != GID || finding.state == "close" {
            return;
        }
        let host = self.assets.as_mut().and_then(|a| a.get(alert.attacker));
        let needed = host.map_or("", |h| if h.ours { roles::needed(h) } else { "" });
        // A host of ours that completed handshakes here is who it says: containment leaves it what it had.
        let met = host.is_some_and(|h| h.ours && h.opened > 0);
        let case = action::Case {
            detector: alert.detector,
            level: alert.level,
            role: Role::Dmz,
            attacker: alert.attacker,
            victim: (alert.victim, finding.key.dport),
            internal,
            verified: finding.source_verified || internal && met,
            before: self.blocks.times(alert.attacker),
            needed,
        };
        let decision = action::decide(&self.settings.actions, &case);
        if alert.level < Level::Yellow && decision.action == action::Action::None {
            return;
        }
        let in_force = self.enforce
            && self
                .blocks
                .apply(decision.action, finding.incident, finding.ts)
                .is_ok();
        let words = match (decision.action, in_force) {
            (action::Action::None, _) => decision.why,
            (a, true) => format!("for {} s: {}", a.secs(), decision.why),
            (a, false) => format!("would, for {} s: {}", a.secs(), decision.why),
        };
        alert.action = (decision.action.as_str(), words);
    }
}

/// Signature id of the notice that a budget is exceeded.
const BUDGET_SID: u32 = 99;

/// Duties that explain what a detector sees.
fn excuses(detector: &str) -> &'static [HostRole] {
    DETECTORS
        .iter()
        .find(|info| info.name == detector)
        .map_or(&[], |info| info.duties)
}

/// Who attacks whom.
fn ends(signature: &Signature, finding: &Finding) -> (IpAddr, IpAddr) {
    let (src, dst) = (finding.key.src, finding.key.dst);
    match signature.target {
        Some(Target::Source) => (dst, src),
        // An answer that shows what the client's attack on the server did.
        None if signature.flow.to_client
            && signature.metadata.value("attack_target") == Some("Server") =>
        {
            (dst, src)
        }
        _ => (src, dst),
    }
}

/// A finding whose texts belong to an outbox that is gone.
fn without_text(finding: &Finding) -> Finding {
    Finding {
        head: TextRange::default(),
        tail: TextRange::default(),
        evidence: TextRange::default(),
        xbits: Vec::new(),
        datasets: Vec::new(),
        ..finding.clone()
    }
}

/// The members that do not depend on the kind of source.
fn draft<'a>(
    finding: &'a Finding,
    (head, tail): (&'a [u8], &'a [u8]),
    evidence: &'a [u8],
    (attacker, victim): (IpAddr, IpAddr),
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
        blocked: finding.verdict > Verdict::Accept,
        action: Default::default(),
        digest: false,
        impact: 0,
        attacker: finding.attacker.unwrap_or(attacker),
        victim,
    }
}

/// The level that a segment gives a signature whatever the arithmetic says.
fn fix_level(segment: &Segment, alert: &mut Alert<'_>) {
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

/// Marks a finding among the ordered items of a batch.
const FINDING: u32 = 1 << 31;
