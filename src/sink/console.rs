//! The graded summary that people read: alerts grouped by level and signature, each with its arithmetic.
//!
//! Hostile text is made harmless: control and escape characters never reach the terminal.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;

use super::{Sink, SinkError};
use crate::alert::{Alert, Level};
use crate::asset::{Host, Product, Status, roles};
use crate::grade::Event;
use crate::grade::ledger::{Ledger, Stage};

/// Groups kept; beyond it alerts are counted, not listed.
const GROUPS_MAX: usize = 4_096;

#[derive(Debug)]
struct Group {
    level: Level,
    message: String,
    segment: String,
    why: String,
    count: u64,
    blocked: u64,
    first: String,
    attacker: IpAddr,
    victim: IpAddr,
    port: u16,
    attackers: u64,
}

/// Gathers alerts and prints them at the end.
#[derive(Debug, Default)]
pub struct Console {
    groups: HashMap<(u32, u32, Level), Group>,
    unlisted: u64,
    levels: [u64; 4],
    lines: HashMap<&'static str, u64>,
}

impl Console {
    fn alert(&mut self, alert: &Alert<'_>) {
        if let Some(count) = self.levels.get_mut(alert.level as usize) {
            *count += 1;
        }
        let key = (alert.gid, alert.sid, alert.level);
        if let Some(group) = self.groups.get_mut(&key) {
            group.count += 1;
            group.blocked += u64::from(alert.blocked);
            group.attackers += u64::from(group.attacker != alert.attacker);
            return;
        }
        if self.groups.len() >= GROUPS_MAX {
            self.unlisted += 1;
            return;
        }
        self.groups.insert(
            key,
            Group {
                level: alert.level,
                message: harmless(alert.message),
                segment: harmless(&alert.segment),
                why: harmless(&alert.why),
                count: 1,
                blocked: u64::from(alert.blocked),
                first: alert.finding.ts.to_string(),
                attacker: alert.attacker,
                victim: alert.victim,
                port: if alert.victim == alert.finding.key.dst {
                    alert.finding.key.dport
                } else {
                    alert.finding.key.sport
                },
                attackers: 0,
            },
        );
    }

    /// Prints the summary: RED first; `most` groups of each level.
    pub fn print(&self, out: &mut dyn Write, most: usize, colour: bool) -> std::io::Result<()> {
        let mut groups: Vec<(&(u32, u32, Level), &Group)> = self.groups.iter().collect();
        groups.sort_by(|(ka, a), (kb, b)| {
            b.level
                .cmp(&a.level)
                .then(b.count.cmp(&a.count))
                .then((ka.0, ka.1).cmp(&(kb.0, kb.1)))
        });
        for level in [Level::Red, Level::Orange, Level::Yellow, Level::Green] {
            let of_level: Vec<_> = groups.iter().filter(|(_, g)| g.level == level).collect();
            let total = self.levels.get(level as usize).copied().unwrap_or(0);
            let (on, off) = if colour {
                (paint(level), "\x1b[0m")
            } else {
                ("", "")
            };
            writeln!(
                out,
                "{on}{:<6}{off} {total} alert{}",
                level.as_str(),
                if total == 1 { "" } else { "s" }
            )?;
            for ((gid, sid, _), g) in of_level.iter().take(most) {
                writeln!(out, "  {:>5}x [{gid}:{sid}] {}", g.count, g.message)?;
                let port = if g.port == 0 {
                    String::new()
                } else {
                    format!(" port {}", g.port)
                };
                let others = if g.attackers > 0 { " (and others)" } else { "" };
                let blocked = if g.blocked > 0 {
                    format!(", {} blocked", g.blocked)
                } else {
                    String::new()
                };
                let attacker = if g.attacker.is_unspecified() {
                    "many".to_owned()
                } else {
                    g.attacker.to_string()
                };
                writeln!(
                    out,
                    "         {attacker}{others} -> {}{port}, segment {}, first {}{blocked}",
                    g.victim, g.segment, g.first
                )?;
                writeln!(out, "         {}", g.why)?;
            }
            if of_level.len() > most {
                writeln!(
                    out,
                    "         and {} more kinds (in eve.json)",
                    of_level.len() - most
                )?;
            }
        }
        if self.unlisted > 0 {
            writeln!(
                out,
                "and {} alerts of further kinds (in eve.json)",
                self.unlisted
            )?;
        }
        let mut kinds: Vec<_> = self.lines.iter().collect();
        kinds.sort();
        let kinds: Vec<String> = kinds
            .into_iter()
            .map(|(kind, n)| format!("{kind} {n}"))
            .collect();
        if !kinds.is_empty() {
            writeln!(out, "events: {}", kinds.join(" · "))?;
        }
        Ok(())
    }

    /// Highest level seen, if there was any alert.
    pub fn highest(&self) -> Option<Level> {
        [Level::Red, Level::Orange, Level::Yellow, Level::Green]
            .into_iter()
            .find(|level| self.levels.get(*level as usize).is_some_and(|n| *n > 0))
    }

    /// Alerts by level, GREEN first.
    pub fn levels(&self) -> [u64; 4] {
        self.levels
    }
}

/// Lines of a stage of the ledger that are shown.
const LINES: usize = 4;

/// Prints what was removed as noise, and why.
pub fn print_noise(out: &mut dyn Write, ledger: &Ledger) -> std::io::Result<()> {
    for stage in Stage::ALL {
        let total = ledger.total(stage);
        if total == 0 {
            continue;
        }
        // Of one rule or detector together, whatever the incident.
        let mut by: Vec<((u32, u32), u64, &str)> = Vec::new();
        for ((gid, sid, _), count, why) in ledger.of(stage) {
            match by.iter_mut().find(|(of, ..)| *of == (gid, sid)) {
                Some((_, sum, _)) => *sum += count,
                None => by.push(((gid, sid), count, why)),
            }
        }
        by.sort_by_key(|(of, count, _)| (std::cmp::Reverse(*count), *of));
        writeln!(out, "noise  {total} {}", stage.says())?;
        for ((gid, sid), count, why) in by.iter().take(LINES) {
            let why = if why.is_empty() {
                String::new()
            } else {
                format!(" ({})", harmless(why))
            };
            writeln!(out, "  {count:>5}x [{gid}:{sid}]{why}")?;
        }
    }
    Ok(())
}

/// A host of the asset map in one line.
pub fn host(address: IpAddr, host: &Host) -> String {
    let mut services: Vec<_> = host
        .services()
        .filter(|s| s.status == Status::Listening)
        .collect();
    services.sort_by_key(|s| (s.proto, s.port));
    let services: Vec<String> = services
        .into_iter()
        .map(|s| {
            let proto = if s.proto == 17 { "udp" } else { "tcp" };
            let software = match (s.product, s.version.0) {
                (Product::Unknown, _) => String::new(),
                (product, 0) => format!(" {}", product.as_str()),
                (product, _) => format!(" {} {}", product.as_str(), s.version),
            };
            format!("{proto}/{}{software}", s.port)
        })
        .collect();
    let mut parts = vec![address.to_string()];
    parts.extend((!host.system().is_empty()).then(|| host.system().to_owned()));
    parts.extend((!services.is_empty()).then(|| services.join(", ")));
    let duties = roles::duties(host);
    parts.extend((!duties.is_empty()).then(|| format!("seems to be {}", duties.join(", "))));
    parts.join(" · ")
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::Red => "\x1b[1;31m",
        Level::Orange => "\x1b[1;38;5;208m",
        Level::Yellow => "\x1b[1;33m",
        Level::Green => "\x1b[32m",
    }
}

/// Control characters become `\x..`.
fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

impl Sink for Console {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Line { kind, .. } => *self.lines.entry(kind).or_default() += 1,
            Event::Alert(alert) => self.alert(alert),
        }
    }

    fn flush(&mut self) {}

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
