//! `sekisho ctl top`: what a sensor does, in a terminal, once a second. Plain ANSI sequences; no terminal library.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::ctl::clean;

/// How often the view is made new.
const EVERY: Duration = Duration::from_secs(1);

/// Shows it until interrupted; `once` prints one view of one second.
pub fn run(ask: &mut dyn FnMut() -> Result<Value>, once: bool) -> Result<ExitCode> {
    let mut before = (Instant::now(), ask()?);
    let live = std::io::stdout().is_terminal() && !once;
    loop {
        std::thread::sleep(EVERY);
        let now = (Instant::now(), ask()?);
        let secs = now.0.duration_since(before.0).as_secs_f64();
        let view = view(&before.1, &now.1, secs);
        let mut out = std::io::stdout().lock();
        if live {
            // Home, the view with each line cleared to its end, and what was below it cleared.
            write!(out, "\x1b[H{}\x1b[J", view.replace('\n', "\x1b[K\n"))?;
        } else {
            out.write_all(view.as_bytes())?;
        }
        out.flush()?;
        if once {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, name| &value[*name])
}

fn number(value: &Value, path: &[&str]) -> f64 {
    at(value, path).as_f64().unwrap_or(0.0)
}

fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn text(value: &Value, path: &[&str]) -> String {
    match at(value, path) {
        Value::String(text) => clean(text),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A rate with k, M or G.
fn short(rate: f64) -> String {
    let (number, unit) = match rate {
        r if r >= 1e9 => (r / 1e9, "G"),
        r if r >= 1e6 => (r / 1e6, "M"),
        r if r >= 1e3 => (r / 1e3, "k"),
        r => (r, ""),
    };
    if unit.is_empty() {
        format!("{number:.0}")
    } else {
        format!("{number:.1}{unit}")
    }
}

/// The view, from two answers so many seconds apart.
fn view(before: &Value, now: &Value, secs: f64) -> String {
    let rate = |path: &[&str]| {
        let mut full = vec!["counters"];
        full.extend(path);
        (number(now, &full) - number(before, &full)).max(0.0) / secs.max(0.001)
    };
    let status = &now["status"];
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "sekisho {}  {}  up {} s  rules {} ({} refused)  workers {}",
        text(status, &["version"]),
        text(status, &["mode"]),
        text(status, &["uptime_secs"]),
        text(status, &["rules", "loaded"]),
        text(status, &["rules", "refused"]),
        list(status, &["workers"]).len(),
    ));
    let drops = rate(&["capture", "kernel_drops"]);
    let frames = rate(&["decoder", "pkts"]);
    line(format!(
        "frames {}/s  {}bit/s  flows {}/s  kernel drops {}/s ({:.2}%)  not inspected {}/s",
        short(frames),
        short(rate(&["decoder", "bytes"]) * 8.0),
        short(rate(&["flow", "total"])),
        short(drops),
        drops / (frames + drops).max(1.0) * 100.0,
        short(rate(&["sekisho", "ring_full"]) + rate(&["sekisho", "worker_lost"])),
    ));
    if text(status, &["mode"]) == "inline" {
        line(format!(
            "inline: forwarded {}/s  blocked {}/s  rejected {}/s  uninspected {}/s  on the block list {}",
            short(rate(&["ips", "accepted"])),
            short(rate(&["ips", "blocked"])),
            short(rate(&["ips", "rejected"])),
            short(rate(&["sekisho", "uninspected"])),
            text(status, &["blocked"]),
        ));
    }
    let levels: Vec<String> = ["RED", "ORANGE", "YELLOW", "GREEN"]
        .iter()
        .map(|level| {
            format!(
                "{level} {} ({}/s)",
                text(status, &["alerts", level]),
                short(rate(&["sekisho", "alerts", level]))
            )
        })
        .collect();
    line(format!("alerts: {}", levels.join("  ")));
    line(String::new());
    line(format!("{:<42}{}", "TALKERS (sampled)", "RULES"));
    let (talkers, rules) = (list(now, &["talkers"]), list(now, &["rules"]));
    for row in 0..10 {
        let talker = talkers.get(row).map_or(String::new(), |t| {
            format!(
                "{:<30}{:>9}",
                text(t, &["address"]),
                short(number(t, &["bits_per_sec"]))
            )
        });
        let rule = rules.get(row).map_or(String::new(), |r| {
            let name: String = text(r, &["signature"]).chars().take(60).collect();
            format!(
                "{:>8} {}:{} {name}",
                text(r, &["alerts"]),
                text(r, &["gid"]),
                text(r, &["sid"])
            )
        });
        if talker.is_empty() && rule.is_empty() {
            break;
        }
        line(format!("{talker:<42}{rule}"));
    }
    line(String::new());
    line("LATEST".to_owned());
    for alert in list(now, &["latest"]).iter().rev().take(10) {
        let alert: String = text(alert, &[]).chars().take(120).collect();
        line(alert);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_the_difference_and_hostile_text_is_cleaned() {
        let answer = |pkts: u64| {
            serde_json::json!({
                "status": {"mode": "passive", "alerts": {"RED": 1}},
                "counters": {"decoder": {"pkts": pkts, "bytes": pkts * 100}, "capture": {"kernel_drops": 0}},
                "talkers": [{"address": "192.0.2.1", "bits_per_sec": 12_345_678}],
                "rules": [{"alerts": 3, "gid": 1, "sid": 7, "signature": "evil \u{1b}[2J name"}], "latest": [],
            })
        };
        let view = view(&answer(1_000), &answer(5_000), 2.0);
        assert!(view.contains("frames 2.0k/s  1.6Mbit/s"), "{view}");
        assert!(
            view.contains("12.3M") && view.contains("1:7 evil .[2J name"),
            "{view}"
        );
        assert!(!view.contains('\u{1b}'));
    }
}
