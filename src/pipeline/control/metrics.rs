//! The counters of a running sensor: as JSON by Suricata's names where there is one, and as Prometheus text.
//!
//! Text format: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.

use std::fmt::Write;

use serde_json::{Value, json};

use super::operator::Operator;
use crate::pipeline::Stage;
use crate::pipeline::live::{
    Control, Count, MemoryCount, RING, RING_INLINE, WORKER_TABLES, WorkerCounts, WorkerState,
};
use crate::stats::{Memory, MemoryBound};
use crate::sys;

/// The counters as one object: `capture`, `decoder`, `flow` and `detect` by Suricata's names, ours under `sekisho`.
pub fn counters(operator: &Operator) -> Value {
    let control = operator.control();
    let tally = operator.tally();
    let sum = |of: &dyn Fn(&crate::pipeline::live::LaneCounts) -> u64| -> u64 {
        control.lanes.iter().map(of).sum()
    };
    let workers = |of: &dyn Fn(&crate::pipeline::live::WorkerCounts) -> u64| -> u64 {
        control.workers.iter().map(of).sum()
    };
    let frames = sum(&|l| l.frames.get());
    let drops = sum(&|l| l.kernel_drops.get());
    let levels: Vec<u64> = control.report.levels.iter().map(|l| l.get()).collect();
    let [green, yellow, orange, red] = levels.as_slice() else {
        return Value::Null;
    };
    let usage = sys::usage();
    let now = control.in_force();
    let (reloads, reloads_failed) = operator.reloads();
    let stopped = sum(&|l| l.dropped.get() + l.dropped_by_policy.get());
    json!({
        "uptime": control.uptime_ms() / 1000,
        "capture": {"kernel_packets": frames + drops, "kernel_drops": drops},
        "decoder": {"pkts": frames, "bytes": sum(&|l| l.bytes.get())},
        "flow": {"total": workers(&|w| w.flows.get())},
        "ips": {
            "accepted": sum(&|l| l.forwarded.get()), "blocked": stopped, "rejected": sum(&|l| l.rejects.get()),
            "replaced": sum(&|l| l.replaced.get()),
        },
        "memuse": memory(control).into_iter()
            .map(|m| (m.what.to_owned(), json!({"used": m.used, "bound": m.bytes}))).collect::<serde_json::Map<_, _>>(),
        "rings": rings(control).into_iter()
            .map(|r| (r.name, json!({"waiting": r.waiting, "peak": r.peak, "capacity": r.capacity}))).collect::<serde_json::Map<_, _>>(),
        "stages": stages(control),
        "latency_us": latency(control),
        "detect": {
            "alert": levels.iter().sum::<u64>(),
            "engines": [{
                "id": 0, "rules_loaded": now.engine.report().signatures,
                "rules_failed": now.engine.rules().errors.len() + now.engine.report().refused.len(),
            }],
        },
        "sekisho": {
            "alerts": {"RED": red, "ORANGE": orange, "YELLOW": yellow, "GREEN": green}, "blocked_alerts": tally.blocked,
            "packets": workers(&|w| w.packets.get()), "panics": workers(&|w| w.panics.get()),
            "worker_restarts": workers(&|w| w.restarts.get()), "unreported": workers(&|w| w.unreported.get()),
            "ring_full": sum(&|l| l.ring_full.get()), "worker_lost": sum(&|l| l.worker_lost.get()),
            "uninspected": sum(&|l| l.uninspected.get()), "send_errors": sum(&|l| l.send_errors.get()),
            "batches": control.report.batches.get(), "batches_incomplete": control.report.incomplete.get(),
            "reloads": reloads, "reloads_failed": reloads_failed, "blocks_evicted": control.blocks.evicted(),
            "memory_peak_bytes": usage.peak_bytes, "cpu_secs": usage.user_secs + usage.system_secs,
        },
    })
}

/// What every table holds, and may hold: those of capture threads and workers added up.
fn memory(control: &Control) -> Vec<MemoryBound> {
    let mut list: Vec<MemoryBound> = Vec::new();
    for (at, what) in WORKER_TABLES.into_iter().enumerate() {
        let of = |counts: &WorkerCounts| counts.memory.get(at).map(MemoryCount::get);
        let sum = control.workers.iter().filter_map(of);
        list.push(sum.fold(Memory::default(), |a, b| a + b).of(what));
    }
    let defrag = control.lanes.iter().map(|l| l.defrag.get());
    list.push(
        defrag
            .fold(Memory::default(), |a, b| a + b)
            .of("defragmentation"),
    );
    if let Ok(report) = control.report.memory.lock() {
        list.extend(report.iter().cloned());
    }
    list
}

/// How full the rings to a thread are.
struct Fill {
    name: String,
    waiting: u64,
    peak: u64,
    capacity: u64,
}

fn rings(control: &Control) -> Vec<Fill> {
    let inline = control.lanes.iter().any(|l| l.inline);
    let ring = if inline { RING_INLINE } else { RING };
    let workers = control.workers.iter().enumerate().map(|(at, w)| Fill {
        name: format!("worker {at}"),
        waiting: w.queued.get(),
        peak: w.queued_peak.get(),
        capacity: (ring * control.lanes.len()) as u64,
    });
    let report = Fill {
        name: "report".to_owned(),
        waiting: control.report.queued.get(),
        peak: control.report.queued_peak.get(),
        capacity: (ring * control.workers.len()) as u64,
    };
    workers.chain([report]).collect()
}

/// What threads and stages cost: processor seconds of capture and of the report thread, and, from a sample of batches,
/// nanoseconds a packet of each stage of the workers.
fn stages(control: &Control) -> Value {
    let secs = |ns: u64| (ns as f64 / 1e6).round() / 1e3;
    let sampled: u64 = control.workers.iter().map(|w| w.stage_packets.get()).sum();
    let each = |at: usize| -> u64 {
        let of = |w: &WorkerCounts| w.stage_ns.get(at).map_or(0, Count::get);
        control.workers.iter().map(of).sum()
    };
    let nanos: serde_json::Map<String, Value> = Stage::NAMES
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), json!(each(at) / sampled.max(1))))
        .collect();
    json!({
        "capture_decode_cpu_secs": secs(control.lanes.iter().map(|l| l.cpu_ns.get()).sum()),
        "workers_busy_secs": secs(control.workers.iter().map(|w| w.busy_ns.get()).sum()),
        "report_cpu_secs": secs(control.report.cpu_ns.get()),
        "sampled_packets": sampled, "nanos_per_packet": nanos,
    })
}

/// Inline: microseconds within which so many of the frames had passed, over all pairs. From a histogram by powers of two:
/// the upper bound of the power.
fn latency(control: &Control) -> Value {
    let mut sums = [0u64; 24];
    for lane in &control.lanes {
        for (sum, count) in sums.iter_mut().zip(&lane.latency_us) {
            *sum += count.get();
        }
    }
    let all: u64 = sums.iter().sum();
    if all == 0 {
        return Value::Null;
    }
    let within = |share: f64| {
        let wanted = (all as f64 * share).ceil() as u64;
        let mut sum = 0;
        let power = sums.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        1u64 << power.unwrap_or(23)
    };
    json!({"frames": all, "p50": within(0.5), "p90": within(0.9), "p99": within(0.99), "p999": within(0.999)})
}

/// One metric's lines.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// A metric with one label.
    fn many<V: std::fmt::Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        label: &str,
        values: impl Iterator<Item = (String, V)>,
    ) {
        self.head(name, kind, help);
        for (of, value) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{}\"}} {value}", escaped(&of));
        }
    }
}

/// A label's value, escaped as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Everything as Prometheus text.
pub fn prometheus(operator: &Operator) -> String {
    let control = operator.control();
    let mut page = Page(String::with_capacity(8 * 1024));
    page.one(
        "sekisho_up_seconds",
        "gauge",
        "Seconds since the start.",
        control.uptime_ms() / 1000,
    );
    lanes(&mut page, control);
    workers(&mut page, control);
    tables(&mut page, control);
    costs(&mut page, control);
    let levels = ["GREEN", "YELLOW", "ORANGE", "RED"].map(str::to_owned);
    page.many(
        (
            "sekisho_alerts_total",
            "counter",
            "Alerts given out, by level.",
        ),
        "level",
        levels
            .into_iter()
            .zip(control.report.levels.iter().map(|c| c.get())),
    );
    let report = &control.report;
    page.one(
        "sekisho_report_batches_total",
        "counter",
        "Batches graded.",
        report.batches.get(),
    );
    page.one(
        "sekisho_report_incomplete_total",
        "counter",
        "Batches graded although a worker had not answered.",
        report.incomplete.get(),
    );
    let now = control.in_force();
    let rules = now.engine.report();
    page.one(
        "sekisho_rules_loaded",
        "gauge",
        "Signatures in force.",
        rules.signatures,
    );
    page.one(
        "sekisho_rules_refused",
        "gauge",
        "Rules that did not load.",
        now.engine.rules().errors.len() + rules.refused.len(),
    );
    let (done, failed) = operator.reloads();
    page.many(
        ("sekisho_reloads_total", "counter", "Reloads, by result."),
        "result",
        [("done".to_owned(), done), ("failed".to_owned(), failed)].into_iter(),
    );
    let tally = operator.tally();
    let mut events: Vec<_> = tally
        .events
        .iter()
        .map(|(k, n)| ((*k).to_owned(), *n))
        .collect();
    events.sort();
    page.many(
        (
            "sekisho_eve_events_total",
            "counter",
            "EVE events that are not alerts, by type.",
        ),
        "type",
        events.into_iter(),
    );
    let usage = sys::usage();
    page.one(
        "sekisho_memory_peak_bytes",
        "gauge",
        "Peak resident memory.",
        usage.peak_bytes,
    );
    page.one(
        "sekisho_cpu_seconds_total",
        "counter",
        "Processor time, user and system.",
        usage.user_secs + usage.system_secs,
    );
    page.0
}

fn tables(page: &mut Page, control: &Control) {
    let memory = memory(control);
    let each = |of: fn(&MemoryBound) -> u64| memory.iter().map(move |m| (m.what.to_owned(), of(m)));
    let used = (
        "sekisho_table_used_bytes",
        "gauge",
        "Memory in use, by table.",
    );
    page.many(used, "table", each(|m| m.used));
    let bound = (
        "sekisho_table_bound_bytes",
        "gauge",
        "Memory a table may take.",
    );
    page.many(bound, "table", each(|m| m.bytes));
    let rings = rings(control);
    let each = |of: fn(&Fill) -> u64| rings.iter().map(move |r| (r.name.clone(), of(r)));
    let waiting = (
        "sekisho_ring_waiting",
        "gauge",
        "Batches that wait for a thread.",
    );
    page.many(waiting, "to", each(|r| r.waiting));
    let peak = (
        "sekisho_ring_waiting_max",
        "gauge",
        "The most that have waited.",
    );
    page.many(peak, "to", each(|r| r.peak));
    let capacity = ("sekisho_ring_capacity", "gauge", "Batches that may wait.");
    page.many(capacity, "to", each(|r| r.capacity));
}

fn costs(page: &mut Page, control: &Control) {
    let secs = |ns: u64| ns as f64 / 1e9;
    let lanes = control.lanes.iter();
    page.many(
        (
            "sekisho_capture_cpu_seconds_total",
            "counter",
            "Processor time of capture and decoding.",
        ),
        "lane",
        lanes.map(|l| (l.name.clone(), secs(l.cpu_ns.get()))),
    );
    page.one(
        "sekisho_report_cpu_seconds_total",
        "counter",
        "Processor time of detectors, grading and writing.",
        secs(control.report.cpu_ns.get()),
    );
    let sum = |of: &dyn Fn(&WorkerCounts) -> u64| control.workers.iter().map(of).sum::<u64>();
    let stage = |at: usize| sum(&|w: &WorkerCounts| w.stage_ns.get(at).map_or(0, Count::get));
    page.many(
        (
            "sekisho_stage_sampled_seconds_total",
            "counter",
            "Time of the workers' stages in the batches that were measured.",
        ),
        "stage",
        Stage::NAMES
            .iter()
            .enumerate()
            .map(|(at, name)| ((*name).to_owned(), secs(stage(at)))),
    );
    page.one(
        "sekisho_stage_sampled_packets_total",
        "counter",
        "Packets of the batches that were measured.",
        sum(&|w: &WorkerCounts| w.stage_packets.get()),
    );
}

fn lanes(page: &mut Page, control: &Control) {
    type Of = fn(&crate::pipeline::live::LaneCounts) -> u64;
    let list: [(&str, &str, Of); 12] = [
        ("frames", "Frames taken.", |l| l.frames.get()),
        ("bytes", "Bytes of frames taken.", |l| l.bytes.get()),
        (
            "kernel_drops",
            "Frames the kernel dropped for want of room.",
            |l| l.kernel_drops.get(),
        ),
        (
            "ring_full",
            "Packets not inspected because a ring was full.",
            |l| l.ring_full.get(),
        ),
        (
            "worker_lost",
            "Packets not inspected because a worker was gone.",
            |l| l.worker_lost.get(),
        ),
        ("forwarded", "Inline: frames sent on.", |l| {
            l.forwarded.get()
        }),
        (
            "uninspected",
            "Inline: frames sent on without inspection.",
            |l| l.uninspected.get(),
        ),
        ("dropped", "Inline: frames stopped by a rule.", |l| {
            l.dropped.get()
        }),
        (
            "dropped_by_policy",
            "Inline: frames stopped by an exception policy.",
            |l| l.dropped_by_policy.get(),
        ),
        (
            "rejects",
            "Inline: packets made to refuse a connection.",
            |l| l.rejects.get(),
        ),
        (
            "send_errors",
            "Inline: frames that could not be sent.",
            |l| l.send_errors.get(),
        ),
        ("replaced", "Inline: frames changed on their way.", |l| {
            l.replaced.get()
        }),
    ];
    for (name, help, of) in list {
        let name = format!("sekisho_lane_{name}_total");
        page.many(
            (&name, "counter", help),
            "lane",
            control.lanes.iter().map(|l| (l.name.clone(), of(l))),
        );
    }
    page.many(
        (
            "sekisho_lane_silent_seconds",
            "gauge",
            "Seconds since a capture thread last went round.",
        ),
        "lane",
        control.lanes.iter().map(|l| {
            let silent = control.uptime_ms().saturating_sub(l.beat_ms.get());
            (l.name.clone(), silent as f64 / 1000.0)
        }),
    );
    let name = "sekisho_latency_seconds";
    page.head(name, "histogram", "Inline: time that frames spend here.");
    for lane in &control.lanes {
        let mut sum = 0;
        for (power, count) in lane.latency_us.iter().enumerate() {
            sum += count.get();
            let upto = (1u64 << power.min(40)) as f64 / 1e6;
            let _ = writeln!(
                page.0,
                "{name}_bucket{{lane=\"{}\",le=\"{upto}\"}} {sum}",
                escaped(&lane.name)
            );
        }
        let lane = escaped(&lane.name);
        let _ = writeln!(page.0, "{name}_bucket{{lane=\"{lane}\",le=\"+Inf\"}} {sum}");
        let _ = writeln!(page.0, "{name}_count{{lane=\"{lane}\"}} {sum}");
    }
}

fn workers(page: &mut Page, control: &Control) {
    type Of = fn(&crate::pipeline::live::WorkerCounts) -> f64;
    let list: [(&str, &str, &str, Of); 9] = [
        ("packets_total", "counter", "Packets.", |w| {
            w.packets.get() as f64
        }),
        (
            "panics_total",
            "counter",
            "Packets that made the analysis fail.",
            |w| w.panics.get() as f64,
        ),
        ("flows_total", "counter", "Flows opened.", |w| {
            w.flows.get() as f64
        }),
        (
            "restarts_total",
            "counter",
            "Times it was restarted.",
            |w| w.restarts.get() as f64,
        ),
        (
            "busy_seconds_total",
            "counter",
            "Seconds spent on batches.",
            |w| w.busy_ns.get() as f64 / 1e9,
        ),
        (
            "memory_full_total",
            "counter",
            "Packets for which there was no memory (exception policy).",
            |w| w.memory_full.get() as f64,
        ),
        (
            "unreported_total",
            "counter",
            "Answers there was no room for.",
            |w| w.unreported.get() as f64,
        ),
        (
            "batches_waiting",
            "gauge",
            "Batches taken and not done.",
            |w| w.taken.get().saturating_sub(w.done.get()) as f64,
        ),
        (
            "running",
            "gauge",
            "1 when it works, 0 when it is stuck or gone.",
            |w| f64::from(u8::from(w.state() == WorkerState::Running)),
        ),
    ];
    for (name, kind, help, of) in list {
        let name = format!("sekisho_worker_{name}");
        page.many(
            (&name, kind, help),
            "worker",
            control
                .workers
                .iter()
                .enumerate()
                .map(|(at, w)| (at.to_string(), of(w))),
        );
    }
}
