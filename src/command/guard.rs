//! The guardian of inline pairs: a small process that does nothing while the sensor lives, and forwards while it does not.
//!
//! `sekisho run` with inline pairs starts the sensor as its child. When the child ends, or gives no sign of life, the
//! guardian joins the ports itself at once (over AF_PACKET, without looking at anything), starts a new child, and steps
//! aside when that one is ready. Pairs whose segment says `process-lost = "drop"` stay closed meanwhile.
//! It reads no rules and parses no packet, so that what makes the sensor fail does not make it fail.
//! What it cannot help: both processes killed at the same moment, and the machine without power. For these a bypass card,
//! or for NFQUEUE the kernel's own `bypass`, is needed; docs/deploy-inline.md says so.
//!
//! ```text
//! child ─▶ guardian   r: rules are loaded, ports may be opened      guardian ─▶ child   g: go, I have let go of the ports
//!                     b: alive (ten times a second)
//!                     R, W, S: words for systemd, which are passed on
//! ```

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sekisho::capture::{Bridge, Fate, FrameBatch, PacketBridge};
use sekisho::config::{Config, InlineMethod};
use sekisho::grade::OnException;
use sekisho::sys::af_packet::PacketOptions;
use sekisho::sys::{Notify, Signals, relayed, send_signal, wait_readable};

/// Says to the sensor that it has a guardian, on its standard input.
const GUARDED: &str = "SEKISHO_GUARDED";
/// Without a sign of life for so long, the sensor is ended; twice `live.worker-stuck-ms` if that is longer.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the sensor may take to end when it is told to, longer than that for its workers.
const FAREWELL: Duration = Duration::from_secs(15);
/// Shortest time between two starts.
const AGAIN: Duration = Duration::from_secs(1);
/// Frames of a batch.
const FRAMES: usize = 64;

/// Without a sign of life for so long, the sensor is ended.
fn silence(config: &Config) -> Duration {
    SILENCE.max(Duration::from_millis(
        config.worker_stuck_ms.saturating_mul(2),
    ))
}

/// Whether this configuration wants a guardian, and this process is not already the one that is guarded.
pub fn wanted(config: &Config) -> bool {
    config.guardian
        && std::env::var_os(GUARDED).is_none()
        && config
            .bridges
            .iter()
            .any(|b| b.method != InlineMethod::Nfqueue)
}

/// The sensor's end of the line to its guardian.
#[derive(Debug)]
pub struct Guardian(UnixStream);

impl Guardian {
    /// The guardian of this process, if it has one.
    pub fn find() -> Option<Self> {
        std::env::var_os(GUARDED)?;
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        Some(Self(UnixStream::from(stdin)))
    }

    /// The way to systemd, which leads through the guardian.
    pub fn notify(&self) -> std::io::Result<Notify> {
        Ok(Notify::through(self.0.try_clone()?))
    }

    /// Waits until the guardian has let go of the ports.
    pub fn ready(&mut self, config: &Config) {
        let mut go = [0];
        let _ = self.0.write_all(b"r");
        let _ = self.0.set_read_timeout(Some(silence(config)));
        let _ = self.0.read(&mut go);
        let _ = self.0.set_nonblocking(true);
    }

    /// A sign of life.
    pub fn alive(&mut self) {
        let _ = self.0.write(b"b");
    }
}

/// The sensor, as its guardian sees it.
struct Ward {
    child: Child,
    line: UnixStream,
    started: Instant,
    /// When it last gave a sign of life; `None`: it still loads.
    seen: Option<Instant>,
}

fn start() -> Result<Ward> {
    let (line, theirs) = UnixStream::pair().context("guardian")?;
    line.set_nonblocking(true).context("guardian")?;
    let child = Command::new(std::env::current_exe().context("guardian")?)
        .args(std::env::args_os().skip(1))
        .env(GUARDED, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .context("starting the sensor")?;
    Ok(Ward {
        child,
        line,
        started: Instant::now(),
        seen: None,
    })
}

/// Joins the ports of pairs that are to stay open.
fn open_pairs(config: &Config) -> Vec<PacketBridge> {
    let mut bridges = Vec::new();
    for pair in &config.bridges {
        let [one, other] = pair.ports.as_slice() else {
            continue;
        };
        let segments = &config.grade.segments.list;
        let closed = segments
            .iter()
            .find(|s| pair.ports.iter().any(|p| s.interfaces.contains(p)))
            .or(segments.last())
            .is_some_and(|s| s.exceptions.process_lost == OnException::Drop);
        if closed {
            eprintln!("sekisho: guardian: {one}<->{other} stays closed");
            continue;
        }
        let options = PacketOptions {
            ignore_outgoing: true,
            unit_bytes: super::run::slot_bytes(one).max(super::run::slot_bytes(other)),
            units: 1024,
            ..PacketOptions::default()
        };
        match PacketBridge::open([one, other], [0, 1], &options) {
            Ok(bridge) => bridges.push(bridge),
            Err(error) => eprintln!("sekisho: guardian: {error}"),
        }
    }
    bridges
}

/// Forwards what waits. Says whether there was something.
fn forward(bridges: &mut [PacketBridge], batch: &mut FrameBatch, count: &mut u64) -> bool {
    let mut some = false;
    for bridge in bridges {
        if bridge.receive(batch, FRAMES).is_err() || batch.frames.is_empty() {
            continue;
        }
        some = true;
        let fates = [Fate::Forward; FRAMES];
        let sent = bridge.transmit(&batch.bytes, &batch.frames, &fates, &[]);
        *count += sent.forwarded;
    }
    some
}

/// Guards until the sensor ends by itself or is told to end.
pub fn run(config: &Config, signals: &Signals) -> Result<ExitCode> {
    let mut ward = start()?;
    let mut bridges: Vec<PacketBridge> = Vec::new();
    let mut forwarded = 0;
    let mut batch = FrameBatch::default();
    // It has worked before: from now on it is started again whatever happens.
    let mut proven = false;
    let mut dead_since: Option<Instant> = None;
    // While the sensor loads, its guardian is who tells systemd that somebody is alive.
    let notify = Notify::from_environment();
    let mut said_alive = Instant::now();
    loop {
        let loading = proven && (dead_since.is_some() || ward.seen.is_none());
        if loading && said_alive.elapsed() >= AGAIN {
            said_alive = Instant::now();
            notify.say("WATCHDOG=1");
        }
        while let Some(signal) = signals.next() {
            let _ = send_signal(ward.child.id(), signal);
            if signal == sekisho::sys::Signal::End {
                return end(ward, config);
            }
        }
        match dead_since {
            None => {
                let silent = ward
                    .seen
                    .is_some_and(|seen| seen.elapsed() > silence(config));
                if silent {
                    eprintln!("sekisho: guardian: the sensor gives no sign of life; it is ended");
                    let _ = ward.child.kill();
                }
                if silent
                    || gone(
                        &mut ward,
                        &notify,
                        &mut bridges,
                        &mut forwarded,
                        &mut proven,
                    )
                {
                    if proven && bridges.is_empty() {
                        bridges = open_pairs(config);
                    }
                    dead_since = Some(Instant::now());
                    let status = ward.child.wait().context("the sensor")?;
                    if !proven || status.success() {
                        return Ok(code(status));
                    }
                    eprintln!(
                        "sekisho: guardian: the sensor has ended ({status}); {} pairs are joined without it",
                        bridges.len()
                    );
                }
            }
            Some(_) if ward.started.elapsed() >= AGAIN => match start() {
                Ok(new) => (ward, dead_since) = (new, None),
                Err(error) => {
                    eprintln!("sekisho: guardian: {error:#}");
                    ward.started = Instant::now();
                }
            },
            Some(_) => {}
        }
        if !forward(&mut bridges, &mut batch, &mut forwarded) {
            let mut handles = vec![signals.fd()];
            if dead_since.is_none() {
                handles.push(ward.line.as_raw_fd());
            }
            handles.extend(bridges.iter().flat_map(PacketBridge::handles));
            let _ = wait_readable(&handles, Duration::from_millis(100));
        }
    }
}

/// Reads what the sensor says. Answers whether it is gone.
fn gone(
    ward: &mut Ward,
    notify: &Notify,
    bridges: &mut Vec<PacketBridge>,
    forwarded: &mut u64,
    proven: &mut bool,
) -> bool {
    let mut said = [0; 64];
    loop {
        match ward.line.read(&mut said) {
            Ok(0) => return true,
            Ok(count) => {
                ward.seen = Some(Instant::now());
                for word in said.iter().take(count).filter_map(|byte| relayed(*byte)) {
                    notify.say(word);
                }
                if said.iter().take(count).any(|b| *b == b'r') {
                    if !bridges.is_empty() {
                        eprintln!(
                            "sekisho: guardian: the sensor is ready again; {forwarded} frames were forwarded without it"
                        );
                    }
                    bridges.clear();
                    *forwarded = 0;
                    *proven = true;
                    let _ = ward.line.write(b"g");
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// The sensor was told to end.
fn end(mut ward: Ward, config: &Config) -> Result<ExitCode> {
    let until = Instant::now() + FAREWELL + silence(config);
    while Instant::now() < until {
        if let Some(status) = ward.child.try_wait().context("the sensor")? {
            return Ok(code(status));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("sekisho: guardian: the sensor does not end; it is killed");
    let _ = ward.child.kill();
    ward.child.wait().context("the sensor").map(code)
}

fn code(status: std::process::ExitStatus) -> ExitCode {
    let number = status.code().unwrap_or(1);
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}
