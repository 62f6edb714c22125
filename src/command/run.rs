//! `sekisho run`: live traffic, passive or inline.

use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use sekisho::capture::{
    AfPacket, AfXdp, BlockedSources, Bridge, Libpcap, Nfqueue, NftBlocked, PacketBridge, Pass,
    QueueOptions, Source, XdpBridge,
};
use sekisho::config::{Config, ConfigError, Inline, InlineMethod, Listen, ListenMethod};
use sekisho::packet::choose_hash_key;
use sekisho::pipeline::control::{Tally, TallySink};
use sekisho::pipeline::evidence::{Desk, Writer};
use sekisho::pipeline::live::{
    Control, Count, KeepEvidence, Lane, LaneWork, Live, LiveOptions, WorkerCounts,
};
use sekisho::sink::{EveFile, Sink};
use sekisho::sys::af_packet::{Fanout, PacketOptions};
use sekisho::sys::bpf::{XdpMode, XdpProgram};
use sekisho::sys::interface;
use sekisho::sys::numa;
use sekisho::sys::sandbox::{self, Capability, Confinement};
use sekisho::sys::{Notify, PcapOptions, Signals};

use super::daemon::Daemon;

/// Watches interfaces, or stands between them.
#[derive(Clone, clap::Args)]
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
    let mut config = match resolve(arguments) {
        Ok(config) => config,
        Err(errors) => return Ok(super::print_errors(&errors)),
    };
    if config.listen.is_empty() && config.bridges.is_empty() {
        eprintln!(
            "sekisho: {}: no [[interface]] to listen to and no [[inline]] pair",
            arguments.config.display()
        );
        return Ok(ExitCode::from(2));
    }
    // Everybody's packets wait for this process.
    if config.inline
        && let Err(error) = sekisho::sys::stand_before(NICE)
    {
        eprintln!("sekisho: no priority over other processes of this machine: {error}");
    }
    if super::guard::wanted(&config) {
        return super::guard::run(&config, &signals);
    }
    let mut guardian = super::guard::Guardian::find();
    // Nobody on the wire may know where a table puts what. The standard library takes its key from the kernel.
    let key = std::hash::RandomState::new().hash_one(std::process::id());
    ensure!(choose_hash_key(key), "tables were made before their key");
    let engine = Arc::new(super::compile_engine(&config)?);
    super::print_refused(&engine);
    // The slow part is done: from here on the ports are ours.
    if let Some(guardian) = &mut guardian {
        guardian.ready(&config);
    }
    let mut opened = Opened::default();
    for listen in &config.listen {
        open_listen(listen, &mut opened)?;
    }
    for bridge in &config.bridges {
        open_bridge(bridge, &mut opened)?;
    }
    config.grade.segments.interfaces.append(&mut opened.names);
    config.anomaly.wires = opened.wires;
    if config.operation.confine {
        confine(arguments, &config)?;
    }
    let eve = EveFile::append(&config.log_dir, config.eve)
        .with_context(|| format!("log folder {}", config.log_dir.display()))?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(eve)];
    sinks.extend(super::replay::syslog(&config)?);
    let tally = Arc::new(Mutex::new(Tally::default()));
    sinks.push(Box::new(TallySink(Arc::clone(&tally))));
    let mut report = super::report_stage(&config, &engine, sinks);
    let mut options = options(&config, opened, report.watches_hosts());
    let desk = Arc::new(Desk::new(config.operation.evidence.clone()));
    let writer = match super::evidence_clerk(&config, &desk) {
        None => None,
        Some(clerk) => {
            report.keep_evidence(clerk);
            let writer = Writer::start(super::evidence_store(&config)).context("evidence")?;
            let ring = config.operation.evidence.ring_bytes / u64::from(options.workers.max(1));
            options.evidence = writer.sender().map(|out| KeepEvidence {
                desk: Arc::clone(&desk),
                out,
                ring_bytes: usize::try_from(ring).unwrap_or(usize::MAX),
            });
            Some(writer)
        }
    };
    super::replay::print_bounds(&sekisho::pipeline::live::bounds(&engine, &options, &report));
    let mut live = Live::start(options, &engine, report)?;
    // From here on the rules in force are those of the sensor: after a reload these are freed.
    drop(engine);
    let control = Arc::clone(live.control());
    let again = arguments.clone();
    let resolve_again = move || {
        resolve(&again).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            lines.join("; ")
        })
    };
    let notify = match guardian.as_ref().map(super::guard::Guardian::notify) {
        Some(Ok(notify)) => notify,
        _ => Notify::from_environment(),
    };
    let mut daemon = match Daemon::start(&config, &control, &tally, notify, resolve_again) {
        Ok(daemon) => daemon,
        Err(error) => {
            live.stop();
            return Err(error);
        }
    };
    eprintln!("sekisho: running");
    daemon.ready();
    let mut pulses = 0u32;
    live.watch(&mut |control| {
        pulses = pulses.wrapping_add(1);
        if let Some(guardian) = &mut guardian
            && pulses.is_multiple_of(PULSES)
            && lanes_alive(control)
        {
            guardian.alive();
        }
        daemon.pulse(&signals, control);
    });
    daemon.stopping();
    let (mut report, errors) = live.stop();
    if let Some(report) = &mut report {
        for (kind, line) in daemon.last_words(&control) {
            report.line(kind, &line);
        }
    }
    print_totals(&control);
    if let Some(error) = writer.and_then(Writer::finish) {
        eprintln!("sekisho: evidence: {error}");
    }
    let lost = desk.lost.load(std::sync::atomic::Ordering::Relaxed);
    if lost > 0 {
        eprintln!("sekisho: evidence: {lost} groups of packets found the disk too slow");
    }
    let Some(report) = report else {
        anyhow::bail!("the report thread failed");
    };
    super::save_datasets(&report);
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

/// The configuration as file and command line have it.
fn resolve(arguments: &Arguments) -> Result<Config, Vec<ConfigError>> {
    let mut config = Config::load(Some(&arguments.config), &arguments.sets)?;
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
    config.inline = !config.bridges.is_empty();
    config.eve.numbers = false;
    Ok(config)
}

/// Standing of an inline sensor: ten times the share of an ordinary process where processors are short (sched(7)).
const NICE: i32 = -10;
/// Rounds of the watch between two signs of life: ten a second.
const PULSES: u32 = 5;
/// A capture thread that has not gone round for so long is stuck.
const LANE_STUCK_MS: u64 = 1_000;

fn lanes_alive(control: &Control) -> bool {
    let now = control.uptime_ms();
    control
        .lanes
        .iter()
        .filter(|lane| lane.inline)
        .all(|lane| now.saturating_sub(lane.beat_ms.get()) < LANE_STUCK_MS)
}

/// Makes an interface ready, and says what about it changes what is seen.
fn prepare(name: &str, inline: bool, cpus: &[usize]) {
    eprintln!("sekisho: {name}: {}", numa::statement(name, cpus));
    match interface::bring_up(name) {
        Ok(true) => eprintln!("sekisho: {name}: was down; brought up"),
        Ok(false) => {}
        Err(error) => eprintln!("sekisho: {name}: {error}"),
    }
    let offloads = interface::offloads(name).unwrap_or_default();
    if offloads.lro && inline {
        match interface::disable_lro(name) {
            Ok(()) => {
                eprintln!("sekisho: {name}: LRO switched off: joined segments cannot be forwarded")
            }
            Err(error) => eprintln!(
                "sekisho: {name}: LRO is on and cannot be switched off ({error}): joined segments cannot be forwarded"
            ),
        }
    } else if offloads.lro {
        eprintln!(
            "sekisho: {name}: LRO is on: segments are seen joined by the card (ethtool -K {name} lro off)"
        );
    }
    if offloads.gro {
        eprintln!(
            "sekisho: {name}: GRO is on: segments are seen joined by the kernel (ethtool -K {name} gro off)"
        );
    }
    if inline {
        // The port speaks for nobody: no address of its own, no neighbour solicitation, no answer to ARP.
        for (path, value) in [
            (format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1"),
            (format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore"), "8"),
        ] {
            let _ = std::fs::write(path, value);
        }
    }
}

/// Gives up what is not needed any more. The sockets are open; nothing was read yet that others wrote.
fn confine(arguments: &Arguments, config: &Config) -> Result<()> {
    let folder = |path: &Path| {
        path.parent()
            .map(Path::to_path_buf)
            .filter(|p| *p != Path::new(""))
    };
    let mut keep = Confinement::default();
    // Names, certificates, the time zone; links of interfaces.
    let system = [
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/nsswitch.conf",
        "/etc/host.conf",
        "/etc/gai.conf",
        "/etc/localtime",
        "/etc/ssl",
        "/etc/ld.so.cache",
        "/run/systemd/resolve",
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/share/sekisho",
        "/proc",
        "/sys/class/net",
        "/sys/devices",
        "/dev/null",
        "/dev/urandom",
    ];
    keep.read
        .extend(system.map(PathBuf::from).into_iter().filter(|p| p.exists()));
    keep.read
        .push(folder(&arguments.config).unwrap_or_else(|| PathBuf::from(".")));
    for rules in &config.rule_files {
        keep.read.push(if rules.is_dir() {
            rules.clone()
        } else {
            folder(rules).unwrap_or_else(|| PathBuf::from("."))
        });
    }
    let files = [
        &config.classification_file,
        &config.reference_file,
        &config.data.reputation.categories,
        &config.data.countries,
        &config.syslog.tls.authority,
        &config.syslog.tls.certificate,
        &config.syslog.tls.key,
    ];
    keep.read
        .extend(files.into_iter().flatten().filter_map(|f| folder(f)));
    let spool = config.syslog.spool_dir.clone();
    let socket = folder(&config.operation.socket);
    let evidence = config.operation.evidence.folder.clone();
    let reputation = &config.data.reputation;
    let lists = reputation.files.iter();
    keep.read
        .extend(lists.filter_map(|file| folder(&reputation.folder.join(file))));
    keep.write = [
        Some(config.log_dir.clone()),
        super::cache_dir(config),
        spool,
        evidence,
        Some(super::datasets_folder(config)),
    ]
    .into_iter()
    .flatten()
    .collect();
    for folder in &keep.write {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    // The socket's folder may not be ours to make; then opening it says so.
    keep.write
        .extend(socket.filter(|s| std::fs::create_dir_all(s).is_ok()));
    let xdp = config.bridges.iter().any(|b| {
        b.method == InlineMethod::AfXdp
            || (b.kernel_block_list && b.method != InlineMethod::Nfqueue)
    }) || config
        .listen
        .iter()
        .any(|l| l.method == ListenMethod::AfXdp);
    if xdp
        || config
            .bridges
            .iter()
            .any(|b| b.method == InlineMethod::Nfqueue)
    {
        keep.capabilities.push(Capability::NetAdmin);
    }
    if xdp {
        keep.capabilities.push(Capability::Bpf);
    }
    let done = sandbox::confine(&keep);
    for note in &done.notes {
        eprintln!("sekisho: not confined: {note}");
    }
    eprintln!(
        "sekisho: confined: {} capabilities, {} paths (Landlock {}), {} system calls",
        done.capabilities,
        keep.read.len() + keep.write.len(),
        done.landlock,
        done.system_calls
    );
    Ok(())
}

/// What is open.
#[derive(Default)]
struct Opened {
    /// Interfaces, by the number that their frames carry.
    names: Vec<String>,
    lanes: Vec<Lane>,
    /// How many wires.
    wires: u16,
    kernel_blocks: Vec<Arc<dyn BlockedSources>>,
}

fn options(config: &Config, opened: Opened, hosts: bool) -> LiveOptions {
    let workers = config.workers.max(1);
    let (decode, worker) = super::replay::stage_settings(config, workers, hosts);
    LiveOptions {
        lanes: opened.lanes,
        workers,
        decode,
        worker,
        evidence: None,
        stuck_ms: config.worker_stuck_ms,
        verdict_timeout_ms: config.verdict_timeout_ms,
        exceptions: config.grade.segments.exceptions(),
        kernel_blocks: opened.kernel_blocks,
    }
}

/// Slots of an inline port: at 2 KiB each, 16 MiB.
const SLOTS: u32 = 8192;

/// Opens an inline pair: one capture thread for each of its `threads`.
fn open_bridge(inline: &Inline, opened: &mut Opened) -> Result<()> {
    let Opened {
        names,
        lanes,
        wires,
        kernel_blocks,
    } = opened;
    let wire = *wires;
    *wires += 1;
    let first = names.len();
    let programs: Vec<Arc<XdpProgram>> =
        if inline.method == InlineMethod::AfXdp || inline.kernel_block_list {
            // None for nfqueue, which has no ports.
            inline
                .ports
                .iter()
                .map(|p| {
                    XdpProgram::attach(p)
                        .map(Arc::new)
                        .with_context(|| format!("{p}: XDP"))
                })
                .collect::<Result<_>>()?
        } else {
            Vec::new()
        };
    if inline.kernel_block_list {
        let programs = programs.iter().map(Arc::clone);
        kernel_blocks.extend(programs.map(|p| p as Arc<dyn BlockedSources>));
        if inline.method == InlineMethod::Nfqueue {
            let set = NftBlocked::open(inline.queue).with_context(|| {
                format!(
                    "nfqueue {}: the table of blocked sources in nftables",
                    inline.queue
                )
            })?;
            kernel_blocks.push(Arc::new(set));
        }
    }
    let number = |at: usize| u16::try_from(first + at).unwrap_or(u16::MAX);
    names.extend(inline.ports.iter().cloned());
    if inline.method == InlineMethod::Nfqueue {
        names.push("nfqueue".to_owned());
    }
    for port in &inline.ports {
        prepare(port, true, &inline.cpus);
    }
    for thread in 0..inline.threads {
        let bridge: Box<dyn Bridge> = match (inline.method, inline.ports.as_slice()) {
            (InlineMethod::AfPacket, [one, other]) => {
                let options = PacketOptions {
                    fanout: (inline.threads > 1).then_some((fanout_group(first), Fanout::Hash)),
                    promiscuous: true,
                    ignore_outgoing: true,
                    unit_bytes: slot_bytes(one).max(slot_bytes(other)),
                    units: SLOTS,
                    timeout_ms: 1,
                    card_times: false,
                };
                Box::new(
                    PacketBridge::open([one, other], [number(0), number(1)], &options)
                        .context("af-packet")?,
                )
            }
            (InlineMethod::AfXdp, [one, other]) => {
                let [program, program_other] = &programs[..] else {
                    anyhow::bail!("{}: no XDP program", inline.ports.join("<->"));
                };
                let bridge = XdpBridge::open(
                    [one, other],
                    thread.into(),
                    [number(0), number(1)],
                    [program, program_other],
                )
                .context("af-xdp")?;
                say_xdp(&inline.ports.join("<->"), bridge.is_zero_copy(), &programs);
                Box::new(bridge)
            }
            (InlineMethod::Nfqueue, _) => {
                let queue = inline.queue.saturating_add(thread);
                let options = QueueOptions {
                    pass: inline
                        .repeat
                        .map_or(Pass::Accept, |(mark, mask)| Pass::Repeat(mark, mask)),
                    fail_open: inline.fail_open,
                };
                let opened = Nfqueue::open(queue, number(0), options);
                Box::new(opened.with_context(|| format!("nfqueue {queue}"))?)
            }
            _ => anyhow::bail!("{}: wants two ports", inline.ports.join("<->")),
        };
        let name = match (inline.method, inline.threads) {
            (InlineMethod::Nfqueue, _) => format!("nfqueue {}", inline.queue + thread),
            (_, 1) => inline.ports.join("<->"),
            _ => format!("{} thread {thread}", inline.ports.join("<->")),
        };
        lanes.push(Lane {
            name,
            wire,
            work: LaneWork::Bridge(bridge),
            cpu: inline.cpus.get(usize::from(thread)).copied(),
        });
    }
    Ok(())
}

/// Bytes of a slot that holds a frame of the interface's MTU, with its headers and the kernel's.
pub(super) fn slot_bytes(interface: &str) -> u32 {
    let mtu = std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu"))
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
        .unwrap_or(1500);
    mtu.saturating_add(200)
        .next_power_of_two()
        .clamp(2048, 16384)
}

/// Says how AF_XDP works here: it may be slower than hoped for.
fn say_xdp(name: &str, zero_copy: bool, programs: &[Arc<XdpProgram>]) {
    let driver = programs.iter().all(|p| p.mode() == XdpMode::Driver);
    eprintln!(
        "sekisho: {name}: af-xdp {}, program {}",
        if zero_copy {
            "without copies"
        } else {
            "with one copy"
        },
        if driver {
            "in the driver"
        } else {
            "in the network stack"
        },
    );
}

/// Opens an interface: one capture thread for each of its `threads`.
fn open_listen(listen: &Listen, opened: &mut Opened) -> Result<()> {
    let Opened {
        names,
        lanes,
        wires,
        ..
    } = opened;
    let wire = *wires;
    *wires += 1;
    let first = names.len();
    let program = match (listen.method, listen.names.as_slice()) {
        (ListenMethod::AfXdp, [name]) => Some(Arc::new(
            XdpProgram::attach(name).with_context(|| format!("{name}: XDP"))?,
        )),
        (ListenMethod::AfXdp, _) => {
            anyhow::bail!(
                "{}: af-xdp listens to one interface",
                listen.names.join("+")
            )
        }
        _ => None,
    };
    names.extend(listen.names.iter().cloned());
    let numbered: Vec<(String, u16)> = listen
        .names
        .iter()
        .zip(first..)
        .map(|(name, number)| (name.clone(), u16::try_from(number).unwrap_or(u16::MAX)))
        .collect();
    for name in &listen.names {
        // libpcap also knows devices that are no interfaces.
        if listen.method != ListenMethod::Pcap || interface::exists(name) {
            prepare(name, false, &listen.cpus);
        }
    }
    let card_times = listen.hardware_timestamps && listen.names.iter().all(|name| by_card(name));
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
                    card_times,
                };
                Box::new(AfPacket::open(&numbered, &options, &listen.filter).context("af-packet")?)
            }
            ListenMethod::AfXdp => {
                let (Some(program), [(name, number)]) = (&program, numbered.as_slice()) else {
                    anyhow::bail!("af-xdp listens to one interface");
                };
                let source =
                    AfXdp::open(name, thread.into(), *number, program).context("af-xdp")?;
                say_xdp(name, source.is_zero_copy(), std::slice::from_ref(program));
                Box::new(source)
            }
            ListenMethod::Pcap => {
                let [(name, number)] = numbered.as_slice() else {
                    anyhow::bail!("pcap listens to one interface");
                };
                let options = PcapOptions {
                    promiscuous: listen.promiscuous,
                    buffer_bytes: listen.block_bytes.saturating_mul(listen.blocks),
                    timeout_ms: listen.block_timeout_ms,
                };
                let source = Libpcap::open(name, *number, &options, &listen.filter);
                Box::new(source.context("pcap")?)
            }
        };
        let name = match listen.threads {
            1 => listen.names.join("+"),
            _ => format!("{} thread {thread}", listen.names.join("+")),
        };
        lanes.push(Lane {
            name,
            wire,
            work: LaneWork::Listen(source),
            cpu: listen.cpus.get(usize::from(thread)).copied(),
        });
    }
    Ok(())
}

/// Has a card note when frames come; says so.
fn by_card(name: &str) -> bool {
    match interface::note_times(name) {
        Ok(()) => {
            eprintln!(
                "sekisho: {name}: times by the card's clock; keep it at the system's time (phc2sys)"
            );
            true
        }
        Err(error) => {
            eprintln!("sekisho: {name}: the card does not note times ({error}); the kernel does");
            false
        }
    }
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
        if lane.forwarded.get() > 0 || lane.dropped.get() > 0 {
            eprintln!(
                "sekisho: {}: {} forwarded ({} of them not inspected), {} dropped by verdict, {} by exception policy, {} refusals sent, {} could not be sent",
                lane.name,
                lane.forwarded.get(),
                lane.uninspected.get(),
                lane.dropped.get(),
                lane.dropped_by_policy.get(),
                lane.rejects.get(),
                lane.send_errors.get(),
            );
        }
    }
    let sum =
        |of: fn(&WorkerCounts) -> &Count| control.workers.iter().map(|w| of(w).get()).sum::<u64>();
    let (restarts, blocked) = (sum(|w| &w.restarts), sum(|w| &w.blocked));
    let (panics, unreported) = (sum(|w| &w.panics), sum(|w| &w.unreported));
    if restarts + blocked + panics + unreported > 0 {
        eprintln!(
            "sekisho: {blocked} packets of blocked sources, {restarts} workers replaced, {panics} packets that failed, {unreported} batches not reported"
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
