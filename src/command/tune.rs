//! `sekisho rules tune`: what each rule and detector costs in each segment, from replayed traffic, and settings that
//! would quieten the loudest. It writes nothing: what it proposes is TOML to read, try with `replay --compare`, and keep.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use sekisho::alert::Level;
use sekisho::capture::expand_paths;
use sekisho::config::Config;
use sekisho::grade::ledger::Stage;

use super::rehearse::{Tally, a_day, long, rehearse, seconds};

#[derive(clap::Args)]
pub struct Arguments {
    /// Capture files and folders to learn from: a day of ordinary traffic says most.
    #[arg(required = true, value_name = "PCAP|DIR")]
    pub captures: Vec<PathBuf>,
    /// The configuration file.
    #[arg(short)]
    pub config: Option<PathBuf>,
    /// Load exactly these rules.
    #[arg(short = 'S', value_name = "RULES")]
    pub only_rules: Vec<PathBuf>,
    /// Sets a key.
    #[arg(long = "set", value_name = "K=V")]
    pub sets: Vec<String>,
    /// Rules and detectors listed.
    #[arg(long, default_value_t = 20)]
    pub top: usize,
    /// Alerts a day (YELLOW and above) of one rule in one segment from which a setting is proposed.
    #[arg(long, default_value_t = 50.0)]
    pub loud: f64,
}

/// What a rule or detector says in a segment.
#[derive(Default)]
struct Line {
    message: String,
    detector: String,
    levels: [u64; 4],
    failed: u64,
    /// Attackers with their number of alerts.
    attackers: BTreeMap<Option<IpAddr>, u64>,
    victims: BTreeSet<Option<IpAddr>>,
}

impl Line {
    fn loud(&self) -> u64 {
        self.levels.iter().skip(1).sum()
    }

    fn add(&mut self, ends: Option<(IpAddr, IpAddr)>, tally: &Tally) {
        if self.message.is_empty() {
            self.message.clone_from(&tally.message);
            self.detector.clone_from(&tally.detector);
        }
        for (sum, count) in self.levels.iter_mut().zip(tally.levels) {
            *sum += count;
        }
        self.failed += tally.failed;
        *self.attackers.entry(ends.map(|e| e.0)).or_default() += tally.count();
        self.victims.insert(ends.map(|e| e.1));
    }
}

/// Carries it out.
pub fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode> {
    let files = expand_paths(&arguments.captures).context("capture folder")?;
    if files.is_empty() {
        anyhow::bail!("no capture files found");
    }
    let seconds = seconds(&files);
    let rehearsal = rehearse(config, &files)?;
    let mut lines: BTreeMap<(u32, u32, &str), Line> = BTreeMap::new();
    for (kind, tally) in &rehearsal.kinds {
        let line = lines
            .entry((kind.gid, kind.sid, &kind.segment))
            .or_default();
        line.add(kind.ends, tally);
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(key, line)| (std::cmp::Reverse((line.loud(), line.levels)), *key));
    let print = |out: &mut dyn Write| -> std::io::Result<()> {
        writeln!(
            out,
            "# {} of traffic in {} files",
            long(seconds),
            files.len()
        )?;
        writeln!(
            out,
            "# {:>8} {:>6} {:>6} {:>6} {:>6} {:>7}  segment  rule or detector",
            "a day", "RED", "ORANGE", "YELLOW", "GREEN", "failed"
        )?;
        for ((gid, sid, segment), line) in lines.iter().take(arguments.top) {
            let [green, yellow, orange, red] = line.levels;
            writeln!(
                out,
                "# {:>8} {red:>6} {orange:>6} {yellow:>6} {green:>6} {:>7}  {segment}  [{gid}:{sid}] {}",
                a_day(line.loud(), seconds),
                line.failed,
                line.message.escape_debug()
            )?;
        }
        for stage in Stage::ALL {
            if rehearsal.noise.total(stage) > 0 {
                writeln!(
                    out,
                    "# already removed: {} {}",
                    rehearsal.noise.total(stage),
                    stage.says()
                )?;
            }
        }
        let mut proposed = 0;
        for ((_, sid, segment), line) in &lines {
            let rate = line.loud() as f64 * 86_400.0 / seconds.max(1.0);
            // A RED alert is never proposed away.
            if rate < arguments.loud || line.levels[Level::Red as usize] > 0 {
                continue;
            }
            proposed += 1;
            let rate = a_day(line.loud(), seconds);
            propose(out, (*sid, segment), line, &rate, &|host| {
                let segments = &config.grade.segments.list;
                segments.iter().any(|s| s.is_home(host))
            })?;
        }
        if proposed == 0 {
            writeln!(
                out,
                "# nothing is louder than {} alerts a day",
                arguments.loud
            )?;
        } else {
            writeln!(
                out,
                "# try it: sekisho replay --compare old.toml new.toml DIR"
            )?;
        }
        Ok(())
    };
    match print(&mut std::io::stdout().lock()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A setting that quietens one line, with what it costs and why that one.
fn propose(
    out: &mut dyn Write,
    (sid, segment): (u32, &str),
    line: &Line,
    rate: &str,
    ours: &dyn Fn(IpAddr) -> bool,
) -> std::io::Result<()> {
    let what = if line.detector.is_empty() {
        format!("sids = [{sid}]")
    } else {
        format!("detectors = [\"{}\"]", line.detector)
    };
    writeln!(
        out,
        "\n# {}: about {rate} alerts a day in {segment}",
        line.message.escape_debug()
    )?;
    let all: u64 = line.levels.iter().sum();
    let busiest = line.attackers.iter().max_by_key(|(_, n)| **n);
    match busiest {
        Some((Some(host), n)) if *n * 10 >= all * 8 && !host.is_unspecified() && !ours(*host) => {
            writeln!(
                out,
                "# {n} of {all} come from {host}, which is not ours: an attack, no duty; block it there"
            )
        }
        Some((Some(host), n)) if *n * 10 >= all * 8 && !host.is_unspecified() => {
            writeln!(
                out,
                "# {n} of {all} come from one host: is it its duty? (roles = [...] in [[asset]], or:)"
            )?;
            writeln!(
                out,
                "[[exempt]]\nreason = \"{host} does this by duty: confirm\"\n{what}\nsources = [\"{host}\"]\nsegments = [\"{segment}\"]\neffect = \"green\""
            )
        }
        _ if line.detector.is_empty() => {
            let failed = if line.failed * 10 >= all * 8 {
                " and most failed"
            } else {
                ""
            };
            writeln!(
                out,
                "# {} attackers, {} victims{failed}: one a host and hour says as much",
                line.attackers.len(),
                line.victims.len()
            )?;
            writeln!(
                out,
                "# in [[segment]] name = \"{segment}\":\n[segment.threshold.{sid}]\ntype = \"limit\"\ntrack = \"by_src\"\ncount = 1\nseconds = 3600"
            )
        }
        _ => writeln!(
            out,
            "# many hosts do it: raise its thresholds here, after a look at docs/tuning.md:\n# in [[segment]] name = \"{segment}\":\n# [segment.detectors.{}]",
            line.detector.replace('_', "-")
        ),
    }
}
