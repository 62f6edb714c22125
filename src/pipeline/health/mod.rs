//! The sensor's own health, and that of declared services: what is wrong becomes an alert of device trouble.
//!
//! Looked at once a second on a thread of its own. Each trouble has a beginning and an end, and is said once for each:
//! link down, a capture thread that stands still, workers lost, a share of packets lost over a limit, a service that does
//! not answer. For a service the alert says whether it is under attack at the same time, by the latest alerts of the
//! detectors about it: is it trouble or attack?
//! Deliberately not here: what the traffic itself shows of hosts (`asset`).
//! Limits: as many troubles as there are interfaces, threads and services.

mod check;

pub use check::{Service, ServiceState};

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::alert::{Efficacy, Json, Severity};
use crate::detect::anomaly::{ATTACK_SECS, DETECTORS, Report};
use crate::packet::{FlowKey, Timestamp};
use crate::pipeline::control::Tally;
use crate::pipeline::live::{Control, ReportOrder};

/// Limits over which something is trouble.
#[derive(Clone, Debug)]
pub struct HealthSettings {
    /// Share of packets lost in [`HealthSettings::window_secs`], 0..=1.
    pub loss_share: f64,
    /// Seconds over which losses are counted.
    pub window_secs: u32,
    /// Seconds after which a capture thread that does not go round stands still.
    pub stall_secs: u32,
    /// Services to check.
    pub services: Vec<Service>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            loss_share: 0.01,
            window_secs: 10,
            stall_secs: 5,
            services: Vec::new(),
        }
    }
}

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Times in a row that a link must be found down: a port that is just coming up is no trouble.
const DOWN_TIMES: u32 = 3;

/// The thread that watches. It ends with this.
#[derive(Debug)]
pub struct Health {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Health {
    /// Starts to watch.
    pub fn start(
        settings: HealthSettings,
        interfaces: Vec<String>,
        control: Arc<Control>,
        tally: Arc<Mutex<Tally>>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                let mut watch = Watch::new(settings, interfaces, control, tally);
                while !stopping.load(Ordering::Acquire) {
                    watch.look();
                    std::thread::park_timeout(EVERY);
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Packets taken and lost, at the beginning of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    taken: u64,
    lost: u64,
}

struct Watch {
    settings: HealthSettings,
    interfaces: Vec<String>,
    control: Arc<Control>,
    tally: Arc<Mutex<Tally>>,
    open: HashMap<(&'static str, String), u64>,
    /// By interface: times in a row that it was found down.
    down: Vec<u32>,
    losses: Vec<Losses>,
    window: Instant,
    restarts: Vec<u64>,
    /// By worker: packets for which there was no memory.
    memory_full: Vec<u64>,
    services: Vec<ServiceState>,
}

impl Watch {
    fn new(
        settings: HealthSettings,
        interfaces: Vec<String>,
        control: Arc<Control>,
        tally: Arc<Mutex<Tally>>,
    ) -> Self {
        let mut interfaces = interfaces;
        interfaces.retain(|name| !name.contains('/') && state_file(name).exists());
        let services = settings.services.iter().cloned().map(ServiceState::new);
        Self {
            services: services.collect(),
            losses: vec![Losses::default(); control.lanes.len()],
            restarts: vec![0; control.workers.len()],
            memory_full: vec![0; control.workers.len()],
            down: vec![0; interfaces.len()],
            settings,
            interfaces,
            control,
            tally,
            open: HashMap::new(),
            window: Instant::now(),
        }
    }

    fn look(&mut self) {
        for (at, name) in self.interfaces.clone().into_iter().enumerate() {
            let is_down = link_is_down(&name);
            let Some(times) = self.down.get_mut(at) else {
                continue;
            };
            *times = if is_down { times.saturating_add(1) } else { 0 };
            let down = *times >= DOWN_TIMES;
            let facts = [("interface", name.clone())];
            self.settle("link_down", &name, down, None, &facts);
        }
        let control = Arc::clone(&self.control);
        let now = control.uptime_ms();
        for lane in &control.lanes {
            let silent = now.saturating_sub(lane.beat_ms.get());
            let still = silent > u64::from(self.settings.stall_secs) * 1_000;
            let facts = [
                ("lane", lane.name.clone()),
                ("silent_ms", silent.to_string()),
            ];
            self.settle("capture_stalled", &lane.name, still, None, &facts);
        }
        if self.window.elapsed() >= Duration::from_secs(self.settings.window_secs.max(1).into()) {
            self.window = Instant::now();
            self.look_at_losses(&control);
        }
        self.look_at_services();
    }

    fn look_at_losses(&mut self, control: &Control) {
        for (at, lane) in control.lanes.iter().enumerate() {
            let now = Losses {
                taken: lane.frames.get(),
                lost: lane.kernel_drops.get() + lane.ring_full.get() + lane.worker_lost.get(),
            };
            let Some(before) = self.losses.get_mut(at) else {
                continue;
            };
            let before = std::mem::replace(before, now);
            let lost = now.lost.saturating_sub(before.lost);
            let seen = now.taken.saturating_sub(before.taken) + lost;
            let share = lost as f64 / seen.max(1) as f64;
            let facts = [
                ("lane", lane.name.clone()),
                ("lost", lost.to_string()),
                ("share", format!("{share:.4}")),
            ];
            let over = share > self.settings.loss_share;
            self.settle("packets_lost", &lane.name, over, None, &facts);
        }
        for (at, worker) in control.workers.iter().enumerate() {
            let restarts = worker.restarts.get();
            let before = self.restarts.get_mut(at);
            let before = before.map_or(restarts, |slot| std::mem::replace(slot, restarts));
            let full = worker.memory_full.get();
            let grown = match self.memory_full.get_mut(at) {
                Some(slot) => full.saturating_sub(std::mem::replace(slot, full)),
                None => 0,
            };
            let what = ("worker", at.to_string());
            let facts = [what, ("packets", grown.to_string())];
            self.settle("memory_full", &at.to_string(), grown > 0, None, &facts);
            let facts = [
                ("worker", at.to_string()),
                ("restarts", restarts.to_string()),
            ];
            self.settle(
                "worker_lost",
                &at.to_string(),
                restarts > before,
                None,
                &facts,
            );
        }
    }

    fn look_at_services(&mut self) {
        let mut services = std::mem::take(&mut self.services);
        for state in &mut services {
            let Some(down) = state.look() else {
                continue;
            };
            let service = &state.service;
            let attack = self.attack_on(service.address);
            // The other half of the check: a service that clients are served by is not down, but out of our reach.
            let impaired = self
                .tally
                .lock()
                .is_ok_and(|tally| tally.impaired.contains(&(service.address, service.port)));
            let facts = [
                ("service", service.name.clone()),
                ("check", service.check.as_str().to_owned()),
                ("error", state.error.clone()),
                (
                    "cause",
                    if attack.is_some() {
                        "attack"
                    } else {
                        "trouble"
                    }
                    .to_owned(),
                ),
                ("attack", attack.unwrap_or_default()),
                (
                    "clients",
                    if impaired {
                        "not served"
                    } else {
                        "no complaint seen"
                    }
                    .to_owned(),
                ),
            ];
            let name = service.name.clone();
            let address = Some((service.address, service.port));
            self.settle("service_down", &name, down, address, &facts);
        }
        self.services = services;
    }

    /// What the detectors said of a host lately.
    fn attack_on(&self, host: IpAddr) -> Option<String> {
        let now = clock().secs();
        let tally = self.tally.lock().ok()?;
        let (name, at) = tally.attacked.get(&host)?;
        (now.saturating_sub(*at) <= ATTACK_SECS).then(|| (*name).to_owned())
    }

    /// Says a trouble when it begins and when it ends.
    fn settle(
        &mut self,
        kind: &'static str,
        about: &str,
        bad: bool,
        address: Option<(IpAddr, u16)>,
        facts: &[(&str, String)],
    ) {
        let key = (kind, about.to_owned());
        let now = clock();
        let (state, incident) = match (self.open.get(&key).copied(), bad) {
            (None, true) => {
                let number = foldhash::fast::FixedState::default().hash_one((&key, now.0));
                self.open.insert(key, number);
                ("open", number)
            }
            (Some(number), false) => {
                self.open.remove(&key);
                ("close", number)
            }
            _ => return,
        };
        let Some(detector) = DETECTORS.iter().position(|d| d.name == kind) else {
            return;
        };
        let mut evidence = Vec::new();
        let mut json = Json::new(&mut evidence);
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            json.str(name, value);
        }
        let mut flow = FlowKey::default();
        if let Some((address, port)) = address {
            flow.dst = address;
            flow.dport = port;
        }
        let report = Report {
            detector: u16::try_from(detector).unwrap_or(u16::MAX),
            state,
            number: 0,
            ts: now,
            key: flow,
            interface: 0,
            confidence: 0.95,
            efficacy: Efficacy::Unknown,
            reason: "",
            severity: Severity::Major,
            source_verified: false,
            incident,
            subject: 0,
            evidence,
        };
        self.control
            .report_orders
            .give(ReportOrder::Trouble(Box::new(report)));
    }
}

/// The state of an interface that is one: not NFQUEUE, not what only libpcap knows.
fn state_file(name: &str) -> PathBuf {
    Path::new("/sys/class/net").join(name).join("operstate")
}

/// Whether an interface has no carrier, or is gone. What cannot be told (loopback) is up.
fn link_is_down(name: &str) -> bool {
    let state = std::fs::read_to_string(state_file(name));
    match state {
        Ok(state) => matches!(state.trim(), "down" | "lowerlayerdown" | "notpresent"),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::new(since.as_secs(), since.subsec_nanos())
}
