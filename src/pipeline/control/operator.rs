//! What `sekisho ctl` can ask a running sensor for.
//!
//! A reload is built aside, on the thread of whoever asked, while packets go through; the old rules stay when the new ones
//! fail. Rules, variables, segments, assets, grading and the thresholds of detectors change without a restart; of other
//! keys that were changed the answer says that they wait for one.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::tally::Tally;
use super::{Answer, Request};
use crate::detect::signature::Engine;
use crate::grade::GradeSettings;
use crate::grade::action::Action;
use crate::packet::Timestamp;
use crate::pipeline::Thresholds;
use crate::pipeline::live::{Control, HostTap, WorkerOrder, WorkerState};
use crate::rules::dataset::{Ask, DatasetKind};
use crate::sys;

/// What a reload loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The rules, compiled.
    pub engine: Engine,
    /// Segments and grading.
    pub grade: GradeSettings,
    /// Thresholds of detectors.
    pub thresholds: Thresholds,
    /// Keys that a reload changes, with their values.
    pub keys: Vec<(String, String)>,
    /// Rules that were refused, and why.
    pub refused: Vec<String>,
    /// Keys that were changed and need a restart.
    pub restart: Vec<String>,
}

/// Loads configuration and rules anew.
pub type Load = dyn Fn() -> Result<Loaded, String> + Send + Sync;

/// Rules refused that an answer names.
const REFUSED_SHOWN: usize = 20;
/// Longest block, in seconds: a week. Every restriction ends by itself.
const BLOCK_SECS_MAX: u64 = 7 * 86_400;
/// How long an address is blocked when nothing is said, in seconds.
const BLOCK_SECS: u64 = 3_600;

#[derive(Debug, Default)]
struct Reloads {
    done: u64,
    failed: u64,
    last: Value,
}

/// Answers what `sekisho ctl` asks.
pub struct Operator {
    control: Arc<Control>,
    tally: Arc<Mutex<Tally>>,
    load: Box<Load>,
    reloading: Mutex<()>,
    reloads: Mutex<Reloads>,
    keys: Mutex<Vec<(String, String)>>,
    inline: bool,
    started: u64,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operator")
    }
}

fn epoch_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

impl Operator {
    /// For a sensor; `load` is asked at each reload. `keys`: those that a reload changes, as they are in force.
    pub fn new(
        control: Arc<Control>,
        tally: Arc<Mutex<Tally>>,
        (load, keys): (Box<Load>, Vec<(String, String)>),
        inline: bool,
    ) -> Self {
        Self {
            control,
            tally,
            load,
            reloading: Mutex::new(()),
            reloads: Mutex::default(),
            keys: Mutex::new(keys),
            inline,
            started: epoch_secs(),
        }
    }

    /// The counters it reads.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// What was said lately.
    pub fn tally(&self) -> Tally {
        self.tally.lock().map(|t| t.clone()).unwrap_or_default()
    }

    /// Reloads done and failed.
    pub fn reloads(&self) -> (u64, u64) {
        self.reloads.lock().map_or((0, 0), |r| (r.done, r.failed))
    }

    /// Carries out a request.
    pub fn answer(&self, request: &Request) -> Result<Answer, String> {
        let done = |value| Ok(Answer::Done(value));
        match request.command.as_str() {
            "status" => done(self.status()),
            "stats" | "dump-counters" => done(super::metrics::counters(self)),
            "top" => done(self.top()),
            "reload" | "reload-rules" | "ruleset-reload-rules" => self.reload().map(Answer::Done),
            "block" => self.block(request).map(Answer::Done),
            "unblock" => self.unblock(request).map(Answer::Done),
            "blocklist" => done(self.block_list()),
            "capture" => self.capture(request),
            "profile" => self.profile(request).map(Answer::Done),
            "dataset-add" => self.dataset(Ask::Add, request).map(Answer::Done),
            "dataset-remove" => self.dataset(Ask::Remove, request).map(Answer::Done),
            "dataset-lookup" => self.dataset(Ask::LookUp, request).map(Answer::Done),
            "dataset-clear" => self.dataset(Ask::Clear, request).map(Answer::Done),
            "dataset-dump" => self.dump_datasets().map(Answer::Done),
            other => Err(format!(
                "no command '{other}'; there are status, stats, top, reload, block, unblock, blocklist, capture, profile, dataset-add, dataset-remove, dataset-lookup, dataset-clear, dataset-dump"
            )),
        }
    }

    fn status(&self) -> Value {
        let control = &self.control;
        let now = control.in_force();
        let report = now.engine.report();
        let lanes: Vec<Value> = control
            .lanes
            .iter()
            .map(|lane| {
                json!({
                    "name": lane.name, "frames": lane.frames.get(), "kernel_drops": lane.kernel_drops.get(),
                    "silent_ms": control.uptime_ms().saturating_sub(lane.beat_ms.get()),
                })
            })
            .collect();
        let workers: Vec<&str> = control
            .workers
            .iter()
            .map(|worker| match worker.state() {
                WorkerState::Running => "running",
                WorkerState::Stuck => "stuck",
                WorkerState::Ended => "ended",
            })
            .collect();
        let segments: Vec<&str> = now.segments.list.iter().map(|s| s.name.as_str()).collect();
        let refused = now.engine.rules().errors.len() + report.refused.len();
        let (done, failed, last) = self
            .reloads
            .lock()
            .map_or((0, 0, Value::Null), |r| (r.done, r.failed, r.last.clone()));
        let [green, yellow, orange, red] = &control.report.levels;
        json!({
            "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "uptime_secs": control.uptime_ms() / 1000,
            "started": self.started, "mode": if self.inline { "inline" } else { "passive" },
            "lanes": lanes, "workers": workers, "segments": segments,
            "rules": {"loaded": report.signatures, "refused": refused, "from_cache": report.cached},
            "reloads": {"done": done, "failed": failed, "last": last},
            "alerts": {"RED": red.get(), "ORANGE": orange.get(), "YELLOW": yellow.get(), "GREEN": green.get()},
            "blocked": control.blocks.entries(clock()).len(),
        })
    }

    fn top(&self) -> Value {
        let control = &self.control;
        let tally = self.tally();
        let mut talkers: std::collections::HashMap<IpAddr, u64> = std::collections::HashMap::new();
        for slot in &control.talkers {
            for (who, rate) in slot.lock().iter().flat_map(|list| list.iter()) {
                *talkers.entry(*who).or_default() += rate;
            }
        }
        let mut talkers: Vec<_> = talkers.into_iter().collect();
        talkers.sort_unstable_by_key(|(who, rate)| (std::cmp::Reverse(*rate), *who));
        talkers.truncate(20);
        let talkers: Vec<Value> = talkers
            .iter()
            .map(|(who, rate)| json!({"address": who.to_string(), "bits_per_sec": rate}))
            .collect();
        let rules: Vec<Value> = tally
            .busiest(20)
            .into_iter()
            .map(|(gid, sid, alerts, message)| json!({"gid": gid, "sid": sid, "alerts": alerts, "signature": message}))
            .collect();
        json!({
            "status": self.status(), "counters": super::metrics::counters(self), "talkers": talkers, "rules": rules,
            "latest": tally.latest,
        })
    }

    /// Loads anew and puts it in force. One at a time.
    pub fn reload(&self) -> Result<Value, String> {
        let Ok(_one) = self.reloading.try_lock() else {
            return Err("a reload is under way".to_owned());
        };
        let begun = Instant::now();
        let result = self.try_reload(begun);
        if let Ok(mut reloads) = self.reloads.lock() {
            reloads.last = match &result {
                Ok(message) => {
                    reloads.done += 1;
                    json!({"time": epoch_secs(), "result": "done", "detail": message})
                }
                Err(why) => {
                    reloads.failed += 1;
                    json!({"time": epoch_secs(), "result": "failed", "detail": why})
                }
            };
        }
        sys::give_memory_back();
        result.map_err(|why| format!("the old rules stay in force: {why}"))
    }

    fn try_reload(&self, begun: Instant) -> Result<Value, String> {
        // A fault in loading must not take the sensor with it.
        let loaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.load)()))
            .unwrap_or_else(|_| Err("loading failed".to_owned()))?;
        let before = self.control.in_force().engine;
        let counted = |engine: &Engine| engine.report().signatures;
        let engine = Arc::new(loaded.engine.following(&before));
        let built_ms = begun.elapsed().as_millis();
        let swap_ms = self
            .control
            .adopt(&engine, loaded.grade, loaded.thresholds)?;
        let changed = self.changed(loaded.keys);
        let shown = loaded.refused.len().min(REFUSED_SHOWN);
        Ok(json!({
            "loaded": counted(&engine), "before": counted(&before), "refused": loaded.refused.len(),
            "refused_rules": loaded.refused.get(..shown).unwrap_or_default(), "changed": changed,
            "needs_restart": loaded.restart,
            "built_ms": built_ms as u64, "swap_ms": swap_ms,
        }))
    }

    /// Takes what is in force now; names the keys that are new, with their values before and after.
    fn changed(&self, now: Vec<(String, String)>) -> Vec<String> {
        let Ok(mut keys) = self.keys.lock() else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut *keys, now);
        keys.iter()
            .zip(&before)
            .filter(|(now, before)| now != before)
            .map(|((key, now), (_, before))| format!("{key}: {before} -> {now}"))
            .collect()
    }

    fn address(request: &Request) -> Result<IpAddr, String> {
        let text = request.text("address").unwrap_or_default();
        text.parse()
            .map_err(|_| format!("address: wants an IP address, not '{text}'"))
    }

    fn block(&self, request: &Request) -> Result<Value, String> {
        let address = Self::address(request)?;
        let secs = request.number("seconds").unwrap_or(BLOCK_SECS);
        if !(1..=BLOCK_SECS_MAX).contains(&secs) {
            return Err(format!("seconds: wants 1 to {BLOCK_SECS_MAX}"));
        }
        let secs = u32::try_from(secs).unwrap_or(u32::MAX);
        let action = Action::DropSource { address, secs };
        self.control
            .blocks
            .apply(action, 0, clock())
            .map_err(|why| format!("{address}: {why:?}"))?;
        let note = (!self.inline).then_some("this sensor listens only: nothing is stopped");
        Ok(json!({"address": address.to_string(), "seconds": secs, "note": note}))
    }

    fn unblock(&self, request: &Request) -> Result<Value, String> {
        let address = Self::address(request)?;
        if self.control.blocks.remove(address, 0) {
            Ok(json!({"address": address.to_string()}))
        } else {
            Err(format!("{address} is not on the block list"))
        }
    }

    fn block_list(&self) -> Value {
        let now = clock();
        let entries: Vec<Value> = self
            .control
            .blocks
            .entries(now)
            .iter()
            .map(|entry| {
                let (address, port) = entry.action.target().unzip();
                json!({
                    "action": entry.action.as_str(), "address": address.map(|a| a.to_string()), "port": port,
                    "seconds_left": entry.until.secs_since(now),
                    "by": if entry.incident == 0 { "operator".to_owned() } else { format!("incident {:016x}", entry.incident) },
                })
            })
            .collect();
        json!({"entries": entries, "evicted": self.control.blocks.evicted()})
    }

    fn capture(&self, request: &Request) -> Result<Answer, String> {
        let host = Self::address(request)?;
        let packets = request
            .number("packets")
            .unwrap_or(10_000)
            .clamp(1, 1_000_000);
        let secs = request.number("seconds").unwrap_or(60).clamp(1, 3_600);
        let (tap, packets_in) = HostTap::new(host, packets, Duration::from_secs(secs));
        let tap = Arc::new(tap);
        for orders in &self.control.worker_orders {
            orders.give(WorkerOrder::Tap(Arc::clone(&tap)));
        }
        let message = json!({"address": host.to_string(), "packets": packets, "seconds": secs});
        Ok(Answer::Stream(message, Box::new(packets_in)))
    }

    /// A value of a data set, in the form that files have; Suricata's names of arguments.
    fn dataset(&self, ask: Ask, request: &Request) -> Result<Value, String> {
        let text = |name| {
            let given = request.text(name);
            given.ok_or_else(|| format!("{name}: wants a text"))
        };
        let (name, kind) = (text("setname")?, text("settype")?);
        let engine = self.control.in_force().engine;
        let mut sets = engine.rules().datasets.iter();
        let set = sets
            .find(|set| set.info.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("no rule in force names a data set '{name}'"))?;
        if DatasetKind::from_name(kind) != Some(set.info.kind) {
            return Err(format!("settype: {name} is not of type '{kind}'"));
        }
        let key = match ask {
            Ask::Clear => Vec::new(),
            _ => {
                let value = text("datavalue")?;
                let key = set.info.kind.read(value).filter(|key| !key.is_empty());
                key.ok_or_else(|| format!("datavalue: '{value}' is no value of type {kind}"))?
            }
        };
        let done = if set.changes() {
            let answer = self.control.ask_dataset(&set.info.name, ask, &key);
            answer.ok_or_else(|| format!("{name}: the report thread does not answer"))?
        } else {
            set.ask(ask, &key).map_err(|why| format!("{name}: {why}"))?
        };
        let said = match (ask, done) {
            (Ask::Add, true) => "added",
            (Ask::Add, false) => "there already, or no room",
            (Ask::Remove, true) => "removed",
            (Ask::Remove | Ask::LookUp, false) => "not there",
            (Ask::LookUp, true) => "there",
            (Ask::Clear, _) => "empty",
        };
        let until = (ask != Ask::LookUp && set.info.is_renewed())
            .then_some("until the next reload, which reads its file again");
        Ok(json!({"setname": set.info.name, "result": said, "done": done, "lasts": until}))
    }

    /// Writes the data sets that are to be kept to their files, now and not only at the end.
    fn dump_datasets(&self) -> Result<Value, String> {
        let sets = self.control.datasets();
        let sets = sets.ok_or("the report thread does not answer")?;
        let files: Vec<String> = sets.iter().map(|(p, _)| p.display().to_string()).collect();
        let faults = write_datasets(sets.iter().map(|(path, text)| (path.as_path(), text)));
        if faults.is_empty() {
            Ok(json!({"files": files}))
        } else {
            Err(faults.join("; "))
        }
    }

    fn profile(&self, request: &Request) -> Result<Value, String> {
        match request.text("do").unwrap_or("show") {
            "on" | "off" => {
                let on = request.text("do") == Some("on");
                for orders in &self.control.worker_orders {
                    orders.give(WorkerOrder::Profile(on));
                }
                Ok(json!({"profile": if on { "on" } else { "off" }}))
            }
            "show" => {
                let engine = self.control.in_force().engine;
                let costs = self.control.rule_costs();
                if costs.is_empty() {
                    return Err("nothing is measured; 'profile on' begins".to_owned());
                }
                let mut list: Vec<_> = costs
                    .iter()
                    .zip(&engine.rules().signatures)
                    .filter(|(cost, _)| cost.checks > 0)
                    .collect();
                list.sort_unstable_by_key(|(cost, s)| (std::cmp::Reverse(cost.nanos), s.sid.0));
                let total: u64 = list.iter().map(|(cost, _)| cost.nanos).sum();
                let count = request.number("count").unwrap_or(20).min(1_000) as usize;
                let rules: Vec<Value> = list
                    .iter()
                    .take(count)
                    .map(|(cost, s)| {
                        json!({
                            "gid": s.gid, "sid": s.sid.0, "checks": cost.checks, "matches": cost.matches,
                            "nanos": cost.nanos, "nanos_max": cost.nanos_max,
                            "share": (cost.nanos as f64 / total.max(1) as f64 * 1000.0).round() / 1000.0,
                            "signature": s.msg,
                        })
                    })
                    .collect();
                Ok(json!({"rules": rules, "checked": list.len(), "nanos": total}))
            }
            other => Err(format!("profile: wants on, off or show, not '{other}'")),
        }
    }
}

/// Writes the text of data sets to their files, each replaced as a whole. Says what failed.
pub fn write_datasets<'a, T: AsRef<str>>(sets: impl Iterator<Item = (&'a Path, T)>) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in sets {
        let save = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut new = path.as_os_str().to_owned();
            new.push(".new");
            std::fs::write(&new, text.as_ref())?;
            std::fs::rename(&new, path)
        };
        if let Err(error) = save() {
            faults.push(format!("data set {}: {error}", path.display()));
        }
    }
    faults
}

/// Now, as the packets' clock says it.
fn clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::new(since.as_secs(), since.subsec_nanos())
}
