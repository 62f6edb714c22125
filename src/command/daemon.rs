//! What surrounds a running sensor: control socket, metrics page, statistics, signals, systemd.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sekisho::config::{Config, SOCKET, ServiceText, all_keys, is_table_size};
use sekisho::detect::anomaly::service_impaired::ServiceCheck;
use sekisho::packet::Timestamp;
use sekisho::pipeline::HEARTBEAT;
use sekisho::pipeline::control::{
    ControlSocket, Loaded, MetricsServer, Operator, Tally, counters, prometheus,
};
use sekisho::pipeline::health::{Health, HealthSettings, Service};
use sekisho::pipeline::live::{Control, Count, LaneCounts, ReportOrder, WorkerCounts, WorkerState};
use sekisho::sys::{Notify, Signal, Signals};

/// A capture thread that has not gone round for so long keeps systemd's watchdog from being told that all is well.
const LANE_SILENCE: Duration = Duration::from_secs(10);

/// Seconds after which a capture thread that does not go round is an alert: it may wait for a worker until that is stuck.
fn stall_secs(config: &Config) -> u32 {
    let stuck = config.worker_stuck_ms.saturating_mul(2) / 1_000;
    HealthSettings::default()
        .stall_secs
        .max(u32::try_from(stuck).unwrap_or(u32::MAX))
}

/// See the module.
pub struct Daemon {
    operator: Arc<Operator>,
    notify: Notify,
    said_alive: Instant,
    said_stats: Instant,
    stats_every: Option<Duration>,
    heartbeat_every: Option<Duration>,
    said_heartbeat: Option<Instant>,
    ended: bool,
    heartbeats: u64,
    reloading: Arc<AtomicBool>,
    _health: Health,
    // Last, so that they end before what they answer from.
    _socket: Option<ControlSocket>,
    _metrics: Option<MetricsServer>,
}

impl Daemon {
    /// Opens everything. `resolve` reads the configuration anew, as the command line has it.
    pub fn start(
        config: &Config,
        control: &Arc<Control>,
        tally: &Arc<Mutex<Tally>>,
        notify: Notify,
        resolve: impl Fn() -> Result<Config, String> + Send + Sync + 'static,
    ) -> Result<Self> {
        let interfaces = config.grade.segments.interfaces.clone();
        let at_start = waiting(config);
        let thresholds = super::thresholds(config);
        let keys = changeable(config);
        let load = move || -> Result<Loaded, String> {
            let mut config = resolve()?;
            config.grade.segments.interfaces.clone_from(&interfaces);
            let now = super::thresholds(&config);
            let mut restart: Vec<String> = waiting(&config)
                .into_iter()
                .zip(&at_start)
                .filter(|(now, before)| now != *before)
                .map(|((key, _), _)| key)
                .collect();
            restart.extend(now.needs_restart(&thresholds));
            let engine = super::compile_engine(&config).map_err(|error| format!("{error:#}"))?;
            if engine.rules().signatures.is_empty() && !config.rule_files.is_empty() {
                return Err("not one rule loads".to_owned());
            }
            let refused = engine.rules().errors.iter().chain(&engine.report().refused);
            let refused = refused.map(ToString::to_string).collect();
            Ok(Loaded {
                engine,
                thresholds: now,
                keys: changeable(&config),
                grade: config.grade,
                refused,
                restart,
            })
        };
        let operator = Arc::new(Operator::new(
            Arc::clone(control),
            Arc::clone(tally),
            (Box::new(load), keys),
            config.inline,
        ));
        let settings = &config.operation;
        let answering = Arc::clone(&operator);
        let socket = match settings.socket.as_os_str().is_empty() {
            true => None,
            false => {
                let answer = Arc::new(move |request: &_| answering.answer(request));
                match ControlSocket::open(&settings.socket, answer) {
                    Ok(socket) => Some(socket),
                    // Nobody asked for this very place: the sensor is worth more than its socket.
                    Err(error) if settings.socket.as_os_str() == SOCKET => {
                        eprintln!("sekisho: control socket {SOCKET}: {error}; going on without");
                        None
                    }
                    Err(error) => {
                        let path = settings.socket.display().to_string();
                        return Err(error).with_context(|| format!("control socket {path}"));
                    }
                }
            }
        };
        let metrics = match settings.metrics_port {
            0 => None,
            port => {
                let address = SocketAddr::from((settings.metrics_address, port));
                let asked = Arc::clone(&operator);
                let page = Arc::new(move || prometheus(&asked));
                let opened = MetricsServer::open(address, page);
                Some(opened.with_context(|| format!("metrics on {address}"))?)
            }
        };
        let health = Health::start(
            HealthSettings {
                loss_share: settings.loss_share,
                stall_secs: stall_secs(config),
                services: settings.services.iter().filter_map(service).collect(),
                ..HealthSettings::default()
            },
            config.grade.segments.interfaces.clone(),
            Arc::clone(control),
            Arc::clone(tally),
        )
        .context("health")?;
        let now = Instant::now();
        let stats = u64::from(settings.stats_secs);
        let heartbeat = u64::from(settings.heartbeat_secs);
        Ok(Self {
            operator,
            notify,
            said_alive: now,
            said_stats: now,
            heartbeat_every: (heartbeat > 0).then(|| Duration::from_secs(heartbeat)),
            said_heartbeat: None,
            ended: false,
            heartbeats: 0,
            stats_every: (stats > 0).then(|| Duration::from_secs(stats)),
            reloading: Arc::default(),
            _health: health,
            _socket: socket,
            _metrics: metrics,
        })
    }

    /// Tells whoever started us that packets are looked at from now on.
    pub fn ready(&self) {
        self.notify.say("READY=1");
    }

    /// Once in a while: signals, statistics, systemd's watchdog.
    pub fn pulse(&mut self, signals: &Signals, control: &Control) {
        while let Some(signal) = signals.next() {
            match signal {
                Signal::End => {
                    self.stopping();
                    control.stop();
                    return;
                }
                Signal::Reload => self.reload(),
                Signal::Reopen => control.report_orders.give(ReportOrder::Reopen),
            }
        }
        if self
            .stats_every
            .is_some_and(|every| self.said_stats.elapsed() >= every)
        {
            self.said_stats = Instant::now();
            let line = ReportOrder::Line("stats", self.stats());
            control.report_orders.give(line);
        }
        if self.heartbeat_every.is_some_and(|every| {
            self.said_heartbeat
                .is_none_or(|said| said.elapsed() >= every)
        }) {
            self.said_heartbeat = Some(Instant::now());
            let line = ReportOrder::Line(HEARTBEAT, self.heartbeat(control, None));
            control.report_orders.give(line);
        }
        if let Some(every) = self.notify.alive_every()
            && self.said_alive.elapsed() >= every
            && is_alive(control)
        {
            self.said_alive = Instant::now();
            self.notify.say("WATCHDOG=1");
        }
    }

    /// The end is near: what is on its way is still reported. Said once.
    pub fn stopping(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.notify.say("STOPPING=1");
        }
    }

    /// EVE lines, each with its type, for when every thread has ended: the counters with the last packet in them, and that
    /// silence is meant from here on.
    pub fn last_words(&mut self, control: &Control) -> Vec<(&'static str, Vec<u8>)> {
        let mut words = Vec::new();
        if self.stats_every.is_some() {
            words.push(("stats", self.stats()));
        }
        if self.heartbeat_every.is_some() {
            words.push((HEARTBEAT, self.heartbeat(control, Some("stopping"))));
        }
        words
    }

    /// A sign of life to the SOC. It goes the way of alerts, through the report thread and its sinks: when it arrives, so
    /// do they. That it stays away for longer than `interval_secs` without a last word ("stopping") is an alarm.
    fn heartbeat(&mut self, control: &Control, state: Option<&str>) -> Vec<u8> {
        self.heartbeats += 1;
        let running = |w: &&WorkerCounts| w.state() == WorkerState::Running;
        let workers = control.workers.iter().filter(running).count();
        let well = is_alive(control) && workers == control.workers.len();
        let state = state.unwrap_or(if well { "ok" } else { "degraded" });
        let sum = |of: fn(&LaneCounts) -> u64| control.lanes.iter().map(of).sum::<u64>();
        let [green, yellow, orange, red] = control.report.levels.each_ref().map(Count::get);
        let event = serde_json::json!({
            "timestamp": now_eve(), "event_type": HEARTBEAT,
            "heartbeat": {
                "seq": self.heartbeats, "interval_secs": self.heartbeat_every.map_or(0, |e| e.as_secs()), "state": state,
                "uptime": control.uptime_ms() / 1000, "workers": control.workers.len(), "workers_running": workers,
                "packets": sum(|l| l.frames.get()), "kernel_drops": sum(|l| l.kernel_drops.get()),
                "rules_loaded": control.in_force().engine.report().signatures,
                "alerts": {"RED": red, "ORANGE": orange, "YELLOW": yellow, "GREEN": green},
            },
        });
        event.to_string().into_bytes()
    }

    /// On a thread of its own: the workers are looked after meanwhile.
    fn reload(&self) {
        let operator = Arc::clone(&self.operator);
        let under_way = Arc::clone(&self.reloading);
        if under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let done = Arc::clone(&under_way);
        let started = std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                match operator.reload() {
                    Ok(message) => eprintln!("sekisho: reloaded: {message}"),
                    Err(why) => eprintln!("sekisho: reload failed; {why}"),
                }
                done.store(false, Ordering::Release);
            });
        if let Err(error) = started {
            eprintln!("sekisho: reload: {error}");
            under_way.store(false, Ordering::Release);
        }
    }

    fn stats(&self) -> Vec<u8> {
        let event = serde_json::json!({
            "timestamp": now_eve(), "event_type": "stats", "stats": counters(&self.operator),
        });
        event.to_string().into_bytes()
    }
}

/// Now, as EVE writes it.
fn now_eve() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let time = Timestamp::new(now.as_secs(), now.subsec_nanos()).eve();
    String::from_utf8_lossy(&time).into_owned()
}

/// A service of the configuration, whose check is known to be one.
fn service(text: &ServiceText) -> Option<Service> {
    Some(Service {
        name: text.name.clone(),
        address: text.address,
        port: text.port,
        check: ServiceCheck::from_name(&text.check)?,
        ask: text.ask.clone(),
        every_secs: text.every_secs,
        timeout_ms: text.timeout_ms,
    })
}

/// Whether every capture thread goes round.
fn is_alive(control: &Control) -> bool {
    let now = control.uptime_ms();
    let silence = |beat: u64| now.saturating_sub(beat) > LANE_SILENCE.as_millis() as u64;
    !control.lanes.iter().any(|lane| silence(lane.beat_ms.get()))
}

/// Whether a reload puts a key in force.
fn is_changeable(key: &str) -> bool {
    const KEYS: [&str; 3] = ["rule-files", "classification-file", "reference-config-file"];
    let graded = ["grade.", "budget.", "actions."];
    KEYS.contains(&key)
        || graded.iter().any(|topic| key.starts_with(topic))
        || (key.starts_with("detectors.") && key != "detectors.enabled" && !is_table_size(key))
}

fn values(config: &Config, changeable: bool) -> Vec<(String, String)> {
    all_keys()
        .filter(|key| is_changeable(key.name) == changeable)
        .map(|key| (key.name.to_owned(), (key.get)(config)))
        .collect()
}

/// What a reload puts in force, with its value.
fn changeable(config: &Config) -> Vec<(String, String)> {
    let mut list = values(config, true);
    let segments = &config.grade.segments;
    let names: Vec<&str> = segments.list.iter().map(|s| s.name.as_str()).collect();
    list.push(("segments".to_owned(), names.join(", ")));
    let own = segments.list.iter().map(|s| &s.detectors);
    let own = own
        .flatten()
        .map(|(key, value, _)| format!("{key} {value}"));
    let own: Vec<String> = own.collect();
    list.push(("segment.detectors".to_owned(), own.join(", ")));
    list
}

/// What waits for a restart, with its value.
fn waiting(config: &Config) -> Vec<(String, String)> {
    let segments = config.grade.segments.list.iter();
    // What happens when the sensor is gone was told to the guardian, which is another process.
    let exceptions: Vec<_> = segments
        .map(|s| (&s.name, s.exceptions.process_lost))
        .collect();
    let mut list = values(config, false);
    for (name, value) in [
        ("interface", format!("{:?}", config.listen)),
        ("inline", format!("{:?}", config.bridges)),
        ("service", format!("{:?}", config.operation.services)),
        ("segment.exception.process-lost", format!("{exceptions:?}")),
    ] {
        list.push((name.to_owned(), value));
    }
    list
}
