//! `sekisho run`: live traffic, passive or inline.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use sekisho::capture::{AfPacket, Source};
use sekisho::config::{Config, Listen, ListenMethod};
use sekisho::pipeline::ReportStage;
use sekisho::pipeline::live::{Control, Lane, LaneWork, Live, LiveOptions};
use sekisho::sink::{EveFile, Sink};
use sekisho::sys::af_packet::PacketOptions;
use sekisho::sys::{Signal, Signals};

/// Watches interfaces, or stands between them.
#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration file.
    #[arg(short)]
    config: PathBuf,
    /// Load exactly these rules.
    #[arg(short = 'S', value_name = "RULES")]
    only_rules: Vec<PathBuf>,
    /// Load these rules besides the configured ones.
    #[arg(short = 's', value_name = "RULES")]
    more_rules: Vec<PathBuf>,
    /// Folder for eve.json.
    #[arg(short = 'l', value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Sets a key of the configuration.
    #[arg(long = "set", value_name = "K=V")]
    sets: Vec<String>,
}

/// Carries it out.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    // Before any thread: all of them leave the signals to this one.
    let signals = Signals::take().context("signals")?;
    let mut config = match super::load_config(Some(&arguments.config), &arguments.sets) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    if let Some(dir) = &arguments.log_dir {
        config.log_dir.clone_from(dir);
    }
    if !arguments.only_rules.is_empty() {
        config.rule_files.clone_from(&arguments.only_rules);
    } else if config.rule_files.is_empty() {
        config.rule_files.extend(super::bundled_signatures());
    }
    config
        .rule_files
        .extend(arguments.more_rules.iter().cloned());
    if config.listen.is_empty() && config.bridges.is_empty() {
        eprintln!(
            "sekisho: {}: no [[interface]] to listen to and no [[inline]] pair",
            arguments.config.display()
        );
        return Ok(ExitCode::from(2));
    }
    let mut lanes = Vec::new();
    let mut names = Vec::new();
    for listen in &config.listen {
        open_listen(listen, &mut names, &mut lanes)?;
    }
    config.grade.segments.interfaces = names;
    let engine = super::load_engine(&config)?;
    super::print_refused(&engine);
    let eve = EveFile::append(&config.log_dir, config.eve)
        .with_context(|| format!("log folder {}", config.log_dir.display()))?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(eve)];
    sinks.extend(super::replay::syslog(&config)?);
    let report = ReportStage::new(
        Arc::clone(engine.rules()),
        (config.grade.clone(), &config.anomaly, config.eve),
        sinks,
    );
    let options = options(&config, lanes, report.watches_hosts());
    super::replay::print_bounds(&sekisho::pipeline::live::bounds(&engine, &options, &report));
    let mut live = Live::start(options, &engine, report)?;
    eprintln!("sekisho: running");
    let control = Arc::clone(live.control());
    live.watch(&mut |control| {
        while let Some(signal) = signals.next() {
            if signal == Signal::End {
                control.stop();
            }
        }
    });
    let (report, errors) = live.stop();
    print_totals(&control);
    for error in &errors {
        eprintln!("sekisho: {error}");
    }
    let Some(report) = report else {
        anyhow::bail!("the report thread failed");
    };
    let (_, sink_errors) = report.finish();
    for error in &sink_errors {
        eprintln!("sekisho: {error}");
    }
    Ok(if errors.is_empty() && sink_errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn options(config: &Config, lanes: Vec<Lane>, hosts: bool) -> LiveOptions {
    let workers = config.workers.max(1);
    let (decode, worker) = super::replay::stage_settings(config, workers, hosts);
    LiveOptions {
        lanes,
        workers,
        decode,
        worker,
        stuck_ms: config.worker_stuck_ms,
    }
}

/// Opens an interface: one capture thread for each of its `threads`.
fn open_listen(listen: &Listen, names: &mut Vec<String>, lanes: &mut Vec<Lane>) -> Result<()> {
    let first = names.len();
    names.extend(listen.names.iter().cloned());
    let numbered: Vec<(String, u16)> = listen
        .names
        .iter()
        .zip(first..)
        .map(|(name, number)| (name.clone(), u16::try_from(number).unwrap_or(u16::MAX)))
        .collect();
    for thread in 0..listen.threads {
        let source: Box<dyn Source + Send> = match listen.method {
            ListenMethod::AfPacket => {
                let group = fanout_group(first);
                let options = PacketOptions {
                    fanout: (listen.threads > 1).then_some((group, listen.fanout)),
                    promiscuous: listen.promiscuous,
                    ignore_outgoing: false,
                    unit_bytes: listen.block_bytes,
                    units: listen.blocks,
                    timeout_ms: listen.block_timeout_ms,
                };
                Box::new(AfPacket::open(&numbered, &options).context("af-packet")?)
            }
            ListenMethod::AfXdp | ListenMethod::Pcap => {
                anyhow::bail!("{}: only af-packet", listen.names.join("+"))
            }
        };
        let name = match listen.threads {
            1 => listen.names.join("+"),
            _ => format!("{} thread {thread}", listen.names.join("+")),
        };
        lanes.push(Lane {
            name,
            work: LaneWork::Listen(source),
            cpu: listen.cpus.get(usize::from(thread)).copied(),
        });
    }
    Ok(())
}

/// A number for a group of sockets that other programs are unlikely to use.
fn fanout_group(interface: usize) -> u16 {
    let process = std::process::id().wrapping_mul(31);
    (process as u16).wrapping_add(interface as u16)
}

/// What was taken, lost and said, at the end.
fn print_totals(control: &Control) {
    for lane in &control.lanes {
        eprintln!(
            "sekisho: {}: {} frames, {} bytes, {} dropped by the kernel, {} not inspected (ring full), {} (worker lost)",
            lane.name,
            lane.frames.get(),
            lane.bytes.get(),
            lane.kernel_drops.get(),
            lane.ring_full.get(),
            lane.worker_lost.get(),
        );
    }
    let [green, yellow, orange, red] = &control.report.levels;
    eprintln!(
        "sekisho: alerts: {} RED, {} ORANGE, {} YELLOW, {} GREEN",
        red.get(),
        orange.get(),
        yellow.get(),
        green.get()
    );
}
