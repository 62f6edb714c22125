//! `sekisho replay`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use sekisho::alert::{Json, Level};
use sekisho::app::Limits;
use sekisho::app::layer::EncryptionHandling;
use sekisho::capture::expand_paths;
use sekisho::config::Config;
use sekisho::decode::{ChecksumMode, DecodeSettings};
use sekisho::flow::FlowSettings;
use sekisho::grade::Event;
use sekisho::grade::ledger::Ledger;
use sekisho::pipeline::evidence::{Desk, extract};
use sekisho::pipeline::{
    ReplayOptions, ReplaySummary, ReportStage, SyslogOutlet, WorkerSettings, bounds, replay,
};
use sekisho::sink::console::{self, Console};
use sekisho::sink::delivery::{Delivery, Spool};
use sekisho::sink::syslog::{Messages, Target, Transport};
use sekisho::sink::{EveFile, Expectations, Sink, SinkError};
use sekisho::stats::MemoryBound;
use sekisho::stream::{ExceptionPolicy, StreamSettings, UrgentPolicy};

/// Replays capture files into graded alerts.
#[derive(clap::Args)]
pub struct Arguments {
    /// Capture files and folders (pcap, pcapng, also in gzip and zstd); `-` for standard input.
    #[arg(required = true, value_name = "PCAP|DIR")]
    captures: Vec<PathBuf>,
    /// The configuration file.
    #[arg(short)]
    config: Option<PathBuf>,
    /// Load exactly these rules.
    #[arg(short = 'S', value_name = "RULES")]
    only_rules: Vec<PathBuf>,
    /// Load these rules besides the configured ones.
    #[arg(short = 's', value_name = "RULES")]
    more_rules: Vec<PathBuf>,
    /// Folder for eve.json.
    #[arg(short = 'l', value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Checksums: `none` ignores them.
    #[arg(short = 'k', value_name = "none|all|auto")]
    checksums: Option<String>,
    /// Sets a key of the configuration.
    #[arg(long = "set", value_name = "K=V")]
    sets: Vec<String>,
    /// Act as if inline: drop and reject rules block.
    #[arg(long)]
    simulate_ips: bool,
    /// Fail (exit 3) when an alert is at or over this level.
    #[arg(long, value_name = "LEVEL")]
    fail_on: Option<String>,
    /// Fail (exit 3) unless what came out is as this file says.
    #[arg(long, value_name = "expected.toml")]
    expect: Option<PathBuf>,
    /// Signature workers, or `fused`.
    #[arg(long, value_name = "N|fused")]
    workers: Option<String>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Replay under two configurations: which alerts appear, vanish or change level, and what each change costs.
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["config", "expect", "fail_on"])]
    compare: Vec<PathBuf>,
}

/// Kinds of alerts shown of each level.
const SHOWN: usize = 8;

/// Carries it out.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let [old, new] = arguments.compare.as_slice() {
        let files = expand_paths(&arguments.captures).context("capture folder")?;
        let adjust = |file: &Path| settings(arguments, Some(file));
        return super::compare::run((old, new), &files, &adjust, arguments.json);
    }
    let config = match settings(arguments, arguments.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let fail_on = match arguments
        .fail_on
        .as_deref()
        .map(|name| (name, Level::from_name(name)))
    {
        None => None,
        Some((_, Some(level))) => Some(level),
        Some((name, None)) => {
            eprintln!("sekisho: --fail-on: '{name}' is not GREEN, YELLOW, ORANGE or RED");
            return Ok(ExitCode::from(2));
        }
    };
    let expected = match &arguments.expect {
        None => None,
        Some(path) => match Expectations::read(path) {
            Ok(expected) => Some(expected),
            Err(message) => {
                eprintln!("sekisho: {message}");
                return Ok(ExitCode::from(2));
            }
        },
    };
    let engine = super::load_engine(&config)?;
    super::print_refused(&engine);
    let console = Arc::new(Mutex::new(Summary {
        console: Console::default(),
        expected,
    }));
    let eve = EveFile::create(&config.log_dir, config.eve)
        .with_context(|| format!("log folder {}", config.log_dir.display()))?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(eve), Box::new(Shared(Arc::clone(&console)))];
    sinks.extend(syslog(&config)?);
    let mut report = super::report_stage(&config, &engine, sinks);
    let files = expand_paths(&arguments.captures).context("capture folder")?;
    if files.is_empty() {
        anyhow::bail!("no capture files found");
    }
    let options = options(&config, files, report.watches_hosts());
    let desk = Arc::new(Desk::of_replay(config.operation.evidence.clone()));
    if let Some(clerk) = super::evidence_clerk(&config, &desk) {
        report.keep_evidence(clerk);
    }
    let again = (options.files.clone(), options.decode.clone());
    print_bounds(&bounds(&engine, &options, &report));
    let mut bar = progress_bar();
    let summary = replay(options, &engine, &mut report, &mut |done, total| {
        if let Some(bar) = &mut bar {
            bar.set_length(total);
            bar.set_position(done.min(total));
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let noise = report.grader().ledger().clone();
    let hosts = hosts(&report, config.grade.map.listed);
    super::save_datasets(&report);
    let (_, sink_errors) = report.finish();
    if config.operation.evidence.level.is_some() {
        let store = super::evidence_store(&config);
        let (kept, error) = extract(&again.0, &again.1, &desk, store);
        eprintln!("sekisho: evidence: {kept} files");
        if let Some(error) = error {
            return Err(error).context("evidence");
        }
    }
    let result = Replayed {
        summary,
        noise,
        hosts,
        sink_errors,
    };
    finish(arguments, &console, &result, fail_on)
}

/// What a replay leaves behind.
struct Replayed {
    summary: ReplaySummary,
    noise: Ledger,
    /// The asset map: for people, and as JSON.
    hosts: (Vec<String>, serde_json::Value),
    sink_errors: Vec<SinkError>,
}

/// The hosts of ours with their services: for people, and as JSON.
fn hosts(report: &ReportStage, most: usize) -> (Vec<String>, serde_json::Value) {
    let Some(assets) = report.grader().assets() else {
        return (Vec::new(), serde_json::Value::Null);
    };
    let lines = assets.list(HOSTS_SHOWN).0;
    let lines = lines.iter().map(|(a, h)| console::host(*a, h)).collect();
    let mut out = Vec::new();
    let mut json = Json::new(&mut out);
    json.begin();
    sekisho::sink::eve::stats::summary(&mut json, report.grader().ledger(), Some(assets), most);
    json.end();
    (lines, serde_json::from_slice(&out).unwrap_or_default())
}

/// Hosts shown to people.
const HOSTS_SHOWN: usize = 12;

/// The configuration with what the command line adds; or everything that is wrong, and exit code 2.
fn settings(arguments: &Arguments, file: Option<&Path>) -> Result<Config, ExitCode> {
    let mut sets = arguments.sets.clone();
    if let Some(workers) = &arguments.workers {
        sets.push(format!("workers={workers}"));
    }
    let mut config = super::load_config(file, &sets)?;
    if let Some(dir) = &arguments.log_dir {
        config.log_dir.clone_from(dir);
    }
    match arguments.checksums.as_deref() {
        None | Some("all" | "auto") => {}
        Some("none") => config.ignore_checksums = true,
        Some(other) => {
            eprintln!("sekisho: -k: wants none, all or auto, not '{other}'");
            return Err(ExitCode::from(2));
        }
    }
    config.inline |= arguments.simulate_ips;
    if !arguments.only_rules.is_empty() {
        config.rule_files.clone_from(&arguments.only_rules);
    } else if config.rule_files.is_empty() {
        config.rule_files.extend(super::bundled_signatures());
    }
    config
        .rule_files
        .extend(arguments.more_rules.iter().cloned());
    Ok(config)
}

/// How a configuration replays files.
pub(super) fn options(config: &Config, files: Vec<PathBuf>, hosts: bool) -> ReplayOptions {
    let (decode, worker) = stage_settings(config, config.workers, hosts);
    ReplayOptions {
        files,
        workers: config.workers,
        decode,
        worker,
    }
}

/// The settings of decoding and of a worker out of the configuration; alike for replay and live.
pub(super) fn stage_settings(
    config: &Config,
    workers: u16,
    hosts: bool,
) -> (DecodeSettings, WorkerSettings) {
    let workers = u32::from(workers.max(1));
    let mut fragments = DecodeSettings::default().host_policies;
    let mut segments = StreamSettings::default().policies;
    for (address, prefix, system) in &config.host_os {
        if let Some(policy) = sekisho::decode::OsPolicy::named(system) {
            fragments.add(*address, *prefix, policy);
        }
        if let Some(policy) = sekisho::stream::OsPolicy::from_name(system) {
            segments.add(*address, *prefix, policy);
        }
    }
    let decode = DecodeSettings {
        host_policies: fragments,
        checksums: if config.ignore_checksums {
            ChecksumMode::None
        } else {
            DecodeSettings::default().checksums
        },
        offloaded_lengths: !config.inline,
        ..DecodeSettings::default()
    };
    let flow = FlowSettings {
        flows_max: config.flows_max,
        forced_reports_per_sec: config.flow_forced_reports,
        workers,
        midstream: config.midstream || config.async_oneside,
        ..FlowSettings::default()
    };
    let policy = |name: &str| ExceptionPolicy::from_name(name).unwrap_or_default();
    let urgent = |name: &str| UrgentPolicy::from_name(name).unwrap_or_default();
    let stream = StreamSettings {
        inline: config.inline,
        midstream: config.midstream,
        async_oneside: config.async_oneside,
        midstream_policy: policy(&config.midstream_policy),
        memcap_policy: policy(&config.memcap_policy),
        urgent: urgent(&config.urgent_policy),
        urgent_limit: urgent(&config.urgent_limit_policy),
        depth: u32::try_from(config.stream_depth_bytes).unwrap_or(u32::MAX),
        memory_bytes: config.stream_memory_bytes / u64::from(workers),
        policies: segments,
        ..StreamSettings::default()
    };
    let worker = WorkerSettings {
        flow,
        stream,
        limits: Limits {
            memory_bytes: config.limits.memory_bytes / u64::from(workers),
            ..config.limits
        },
        tls_encryption: match config.tls_encryption_handling.as_str() {
            "bypass" => EncryptionHandling::Bypass,
            "full" => EncryptionHandling::Full,
            _ => EncryptionHandling::TrackOnly,
        },
        eve: config.eve,
        inline: config.inline,
        hosts,
        failed_closed: Vec::new(),
        flow_memcap: policy(&config.flow_memcap_policy),
        segments: Arc::new(config.grade.segments.clone()),
        blocks: None,
    };
    (decode, worker)
}

/// The syslog output, when there is one.
pub(super) fn syslog(config: &Config) -> Result<Option<Box<dyn Sink>>> {
    let settings = &config.syslog;
    if settings.target.is_empty() {
        return Ok(None);
    }
    let target = Target::parse(&settings.target).map_err(anyhow::Error::msg)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let messages = Messages::new(target.format(), host.trim(), std::process::id());
    let folder = settings.spool_dir.as_ref().unwrap_or(&config.log_dir);
    std::fs::create_dir_all(folder)
        .with_context(|| format!("spool folder {}", folder.display()))?;
    let path = folder.join("syslog.spool");
    let spool = Spool::open(&path, settings.spool_bytes)
        .with_context(|| format!("spool {}", path.display()))?;
    let transport = Transport::new(target, &settings.tls).context("syslog")?;
    let level = settings.level.unwrap_or(Level::Yellow);
    let drain = Duration::from_millis(settings.drain_ms);
    let delivery = Delivery::new(Box::new(transport), spool);
    Ok(Some(Box::new(SyslogOutlet::start(
        messages, level, delivery, drain,
    ))))
}

/// The most memory that tables and buffers may take, at start.
pub(super) fn print_bounds(bounds: &[MemoryBound]) {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let sum = bounds.iter().map(|b| b.bytes).sum();
    let parts: Vec<String> = bounds
        .iter()
        .map(|b| format!("{} {}", b.what, mib(b.bytes)))
        .collect();
    eprintln!(
        "sekisho: memory bound {} MiB: {}",
        mib(sum),
        parts.join(", ")
    );
}

fn progress_bar() -> Option<indicatif::ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = indicatif::ProgressBar::new(0);
    if let Ok(style) = indicatif::ProgressStyle::with_template(
        "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    ) {
        bar.set_style(style);
    }
    Some(bar)
}

/// What is shown at the end: gathered by the report thread, printed by the main one.
struct Summary {
    console: Console,
    expected: Option<Expectations>,
}

struct Shared(Arc<Mutex<Summary>>);

impl Sink for Shared {
    fn event(&mut self, event: &Event<'_>) {
        if let Ok(mut summary) = self.0.lock() {
            summary.console.event(event);
            if let Some(expected) = &mut summary.expected {
                expected.event(event);
            }
        }
    }

    fn flush(&mut self) {}

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn finish(
    arguments: &Arguments,
    summary: &Arc<Mutex<Summary>>,
    result: &Replayed,
    fail_on: Option<Level>,
) -> Result<ExitCode> {
    let (replayed, sink_errors) = (&result.summary, &result.sink_errors);
    let summary = summary
        .lock()
        .map_err(|_| anyhow::anyhow!("the report stage failed"))?;
    let mut out = std::io::stdout().lock();
    let print = |out: &mut dyn Write| -> std::io::Result<()> {
        if arguments.json {
            let [green, yellow, orange, red] = summary.console.levels();
            let levels =
                serde_json::json!({"GREEN": green, "YELLOW": yellow, "ORANGE": orange, "RED": red});
            let document = serde_json::json!({
                "packets": replayed.feeder.frames, "bytes": replayed.feeder.bytes, "alerts": levels,
                "errors": replayed.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "noise": result.hosts.1.get("noise"), "assets": result.hosts.1.get("assets"),
            });
            return writeln!(out, "{document}");
        }
        summary
            .console
            .print(out, SHOWN, std::io::stdout().is_terminal())?;
        console::print_noise(out, &result.noise)?;
        if !result.hosts.0.is_empty() {
            writeln!(out, "hosts of ours (all in eve.json, record stats):")?;
        }
        for line in &result.hosts.0 {
            writeln!(out, "  {line}")?;
        }
        writeln!(
            out,
            "{} packets, {} bytes",
            replayed.feeder.frames, replayed.feeder.bytes
        )
    };
    match print(&mut out) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    if replayed.offloaded_checksums {
        eprintln!(
            "sekisho: the capture shows checksums left to the network card (offload); packets with them were not inspected as streams; -k none ignores checksums"
        );
    }
    if replayed.offloaded_lengths > 0 {
        eprintln!(
            "sekisho: {} segments have no IPv4 length (segmentation offload); they were taken as the rest of their frames",
            replayed.offloaded_lengths
        );
    }
    if replayed.workers.flow.unreported > 0 {
        eprintln!(
            "sekisho: {} half-open connections given up in a flood are not in the log one by one (flow.forced-reports)",
            replayed.workers.flow.unreported
        );
    }
    let limits = replayed.workers.inspector;
    for (count, what) in [
        (
            limits.alerts_dropped,
            "matches beyond what a packet may say",
        ),
        (
            limits.value_limits,
            "buffers with more values than are inspected",
        ),
        (
            limits.state_limits,
            "signatures that could not wait for the rest of their transaction",
        ),
    ] {
        if count > 0 {
            eprintln!("sekisho: {count} {what} (limits of detection)");
        }
    }
    if replayed.workers.app_refused > 0 {
        let most = replayed.workers.app_most.list();
        let most: Vec<String> = most
            .iter()
            .take(3)
            .map(|(name, bytes)| format!("{name} {} KiB", bytes >> 10))
            .collect();
        eprintln!(
            "sekisho: {} flows were parsed no further, what parsers may hold was used up (app-layer.memcap); most was held for {}",
            replayed.workers.app_refused,
            most.join(", ")
        );
    }
    if replayed.workers.panics > 0 {
        eprintln!(
            "sekisho: {} packets made the analysis fail; they were skipped. Please report this.",
            replayed.workers.panics
        );
    }
    for error in &replayed.errors {
        eprintln!("sekisho: {error}");
    }
    for error in sink_errors {
        eprintln!("sekisho: {error}");
    }
    let unmet = summary
        .expected
        .as_ref()
        .map(Expectations::unmet)
        .unwrap_or_default();
    for line in &unmet {
        eprintln!("sekisho: not as expected: {line}");
    }
    let too_high = summary
        .console
        .highest()
        .zip(fail_on)
        .is_some_and(|(highest, limit)| highest >= limit);
    if too_high {
        eprintln!("sekisho: an alert is at or over the level of --fail-on");
    }
    Ok(if !replayed.errors.is_empty() || !sink_errors.is_empty() {
        ExitCode::FAILURE
    } else if too_high || !unmet.is_empty() {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    })
}
