//! `sekisho replay --compare OLD NEW`: which alerts appear, vanish or change their level, and what each change costs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use sekisho::alert::Level;
use sekisho::config::{Config, all_keys};

use super::rehearse::{Kind, Rehearsal, Tally, a_day, long, rehearse, seconds};

/// Changed settings whose cost is measured one by one.
const SETTINGS_MAX: usize = 8;
/// Alerts of a kind of change that are listed.
const LISTED: usize = 20;

/// What differs between two configurations.
struct Change {
    name: String,
    /// The old configuration with this change alone.
    alone: Config,
}

/// Carries it out. `adjust` adds what the command line says to a configuration.
pub fn run(
    (old, new): (&Path, &Path),
    files: &[PathBuf],
    adjust: &dyn Fn(&Path) -> Result<Config, ExitCode>,
    json: bool,
) -> Result<ExitCode> {
    let (Ok(old_config), Ok(new_config)) = (adjust(old), adjust(new)) else {
        return Ok(ExitCode::from(2));
    };
    let seconds = seconds(files);
    let before = rehearse(&old_config, files)?;
    let after = rehearse(&new_config, files)?;
    let changes = changes(&old_config, &new_config);
    let mut costs = Vec::new();
    if changes.len() > 1 {
        for change in changes.iter().take(SETTINGS_MAX) {
            let alone = rehearse(&change.alone, files)?;
            costs.push((change.name.as_str(), loud(&alone) - loud(&before)));
        }
    } else {
        costs.extend(
            changes
                .iter()
                .map(|c| (c.name.as_str(), loud(&after) - loud(&before))),
        );
    }
    let difference = Difference::between(&before, &after);
    let mut out = std::io::stdout().lock();
    let written = if json {
        difference.json(&mut out, seconds, &costs)
    } else {
        difference.print(&mut out, (&before, &after), seconds, &costs, changes.len())
    };
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn loud(rehearsal: &Rehearsal) -> i64 {
    let sum: u64 = rehearsal.kinds.values().map(Tally::loud).sum();
    i64::try_from(sum).unwrap_or(i64::MAX)
}

/// Settings that differ, each applied alone to the old configuration.
fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for key in all_keys() {
        let (was, is) = ((key.get)(old), (key.get)(new));
        if was == is || key.name == "log-dir" {
            continue;
        }
        let mut alone = old.clone();
        // Values are shown as TOML, so that they can be read again; what cannot (an empty option) is left out.
        let read = format!("v = {is}").parse::<toml::Table>();
        let value = read.ok().and_then(|table| table.get("v").cloned());
        if value.is_some_and(|value| (key.set)(&mut alone, &value).is_ok()) {
            changes.push(Change {
                name: format!("{} {was} -> {is}", key.name),
                alone,
            });
        }
    }
    let mut whole = |name: &str, differs: bool, apply: &dyn Fn(&mut Config)| {
        if differs {
            let mut alone = old.clone();
            apply(&mut alone);
            changes.push(Change {
                name: name.to_owned(),
                alone,
            });
        }
    };
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let (a, b) = (&old.grade, &new.grade);
    whole(
        "segments and assets",
        text(&a.segments) != text(&b.segments),
        &|c| c.grade.segments.clone_from(&b.segments),
    );
    whole(
        "exemptions",
        text(&a.exemptions) != text(&b.exemptions),
        &|c| c.grade.exemptions.clone_from(&b.exemptions),
    );
    whole("thresholds by role", old.by_role != new.by_role, &|c| {
        c.by_role.clone_from(&new.by_role);
    });
    whole("variables", old.variables != new.variables, &|c| {
        c.variables.clone_from(&new.variables);
    });
    changes
}

/// A change of one kind of alerts.
struct Moved<'a> {
    kind: &'a Kind,
    was: Option<&'a Tally>,
    is: Option<&'a Tally>,
}

#[derive(Default)]
struct Difference<'a> {
    appear: Vec<Moved<'a>>,
    vanish: Vec<Moved<'a>>,
    level: Vec<Moved<'a>>,
    /// The same level, another number.
    number: Vec<Moved<'a>>,
}

impl<'a> Difference<'a> {
    fn between(before: &'a Rehearsal, after: &'a Rehearsal) -> Self {
        let mut difference = Self::default();
        let kinds: BTreeSet<&Kind> = before.kinds.keys().chain(after.kinds.keys()).collect();
        for kind in kinds {
            let moved = Moved {
                kind,
                was: before.kinds.get(kind),
                is: after.kinds.get(kind),
            };
            match (moved.was, moved.is) {
                (None, Some(_)) => difference.appear.push(moved),
                (Some(_), None) => difference.vanish.push(moved),
                (Some(was), Some(is)) if was.highest() != is.highest() => {
                    difference.level.push(moved);
                }
                (Some(was), Some(is)) if was.levels != is.levels => difference.number.push(moved),
                _ => {}
            }
        }
        difference
    }

    fn lists(&self) -> [(&'static str, &[Moved<'a>]); 4] {
        [
            ("appear", &self.appear),
            ("vanish", &self.vanish),
            ("change level", &self.level),
            ("change number", &self.number),
        ]
    }

    fn print(
        &self,
        out: &mut dyn Write,
        (before, after): (&Rehearsal, &Rehearsal),
        seconds: f64,
        costs: &[(&str, i64)],
        changes: usize,
    ) -> std::io::Result<()> {
        let rough = if seconds < 3_600.0 {
            ": less than an hour, so that figures a day are rough"
        } else {
            ""
        };
        writeln!(out, "{} of traffic{rough}", long(seconds))?;
        for (name, list) in self.lists() {
            if list.is_empty() {
                continue;
            }
            writeln!(out, "\n{} kinds of alerts {name}", list.len())?;
            let mut list: Vec<&Moved<'_>> = list.iter().collect();
            list.sort_by_key(|m| std::cmp::Reverse(m.highest()));
            for moved in list.iter().take(LISTED) {
                moved.print(out)?;
            }
            if list.len() > LISTED {
                writeln!(out, "  and {} more (--json has all)", list.len() - LISTED)?;
            }
        }
        if self.lists().iter().all(|(_, list)| list.is_empty()) {
            writeln!(out, "\nno alert changes")?;
        }
        writeln!(out, "\nlevel      old     new   a day (old -> new)")?;
        for level in [Level::Red, Level::Orange, Level::Yellow, Level::Green] {
            let sum = |r: &Rehearsal| -> u64 {
                let of = |t: &Tally| t.levels.get(level as usize).copied().unwrap_or(0);
                r.kinds.values().map(of).sum()
            };
            let (was, is) = (sum(before), sum(after));
            writeln!(
                out,
                "{:<8}{was:>6}{is:>8}   {} -> {}",
                level.as_str(),
                a_day(was, seconds),
                a_day(is, seconds)
            )?;
        }
        if changes > 0 {
            writeln!(out)?;
        }
        for (name, cost) in costs {
            let rate = a_day(cost.unsigned_abs(), seconds);
            let says = match cost.signum() {
                0 => "costs nothing here".to_owned(),
                1 => format!("costs about {rate} alerts a day (YELLOW and above)"),
                _ => format!("saves about {rate} alerts a day (YELLOW and above)"),
            };
            writeln!(out, "{name}: {says}")?;
        }
        if changes > costs.len() {
            writeln!(out, "and {} more settings differ", changes - costs.len())?;
        }
        Ok(())
    }

    fn json(
        &self,
        out: &mut dyn Write,
        seconds: f64,
        costs: &[(&str, i64)],
    ) -> std::io::Result<()> {
        let list = |list: &[Moved<'_>]| -> Vec<serde_json::Value> {
            list.iter().map(Moved::json).collect()
        };
        let costs: BTreeMap<&str, f64> = costs
            .iter()
            .map(|(name, cost)| (*name, *cost as f64 * 86_400.0 / seconds.max(1.0)))
            .collect();
        let document = serde_json::json!({
            "seconds": seconds, "appear": list(&self.appear), "vanish": list(&self.vanish),
            "change_level": list(&self.level), "change_number": list(&self.number),
            "cost_alerts_a_day": costs,
        });
        writeln!(out, "{document}")
    }
}

impl Moved<'_> {
    fn highest(&self) -> Level {
        let level = |t: Option<&Tally>| t.map_or(Level::Green, Tally::highest);
        level(self.was).max(level(self.is))
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Some(tally) = self.is.or(self.was) else {
            return Ok(());
        };
        let says = |t: Option<&Tally>| match t {
            None => "nothing".to_owned(),
            Some(t) => format!("{} x{}", t.highest().as_str(), t.count()),
        };
        let ends = match self.kind.ends {
            Some((a, v)) if a.is_unspecified() => format!("many -> {v}"),
            Some((a, v)) => format!("{a} -> {v}"),
            None => "several".to_owned(),
        };
        writeln!(
            out,
            "  {} -> {}  [{}:{}] {}\n      {ends}, segment {}",
            says(self.was),
            says(self.is),
            self.kind.gid,
            self.kind.sid,
            tally.message.escape_debug(),
            self.kind.segment
        )?;
        if let (Some(was), Some(is)) = (self.was, self.is)
            && was.highest() != is.highest()
        {
            writeln!(out, "      was {}", was.why.escape_debug())?;
        }
        writeln!(out, "      {}", tally.why.escape_debug())
    }

    fn json(&self) -> serde_json::Value {
        let tally = |t: Option<&Tally>| match t {
            None => serde_json::Value::Null,
            Some(t) => serde_json::json!({
                "level": t.highest().as_str(), "count": t.count(), "why": t.why,
            }),
        };
        let ends = self.kind.ends.map(|(a, v)| [a.to_string(), v.to_string()]);
        let message = self.is.or(self.was).map(|t| t.message.as_str());
        serde_json::json!({
            "gid": self.kind.gid, "sid": self.kind.sid, "segment": self.kind.segment,
            "attacker_victim": ends, "message": message,
            "old": tally(self.was), "new": tally(self.is),
        })
    }
}
