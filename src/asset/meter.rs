//! Is a service hurt? Handshakes of clients it knows, the delay of its SYN-ACK, and its 5xx share, against what is usual.
//!
//! Each (server, port) has bins of ten seconds and a baseline that learns from bins in which it was well; while it is
//! hurt the baseline is frozen, so that an attack does not become the usual. Needs no attacker: a server in trouble shows
//! in the same way. Source: detectors.md §1.4 (completion −50 % or p95 times five for 10 s).
//!
//! Limits: fixed table; known clients of a service are a filter of 1,024 bits, good for about 150 of them.

use std::net::IpAddr;

use crate::detect::anomaly::table::{SetTable, Worth};
use crate::detect::anomaly::{HostRecord, RecordKind};
use crate::packet::Timestamp;
use crate::stats::MemoryBound;

/// Seconds of a bin.
const BIN_SECS: u64 = 10;
/// Bins without which there is no baseline.
const BASELINE_BINS: u32 = 3;
/// Attempts of known clients, or answers, that a bin needs to say anything.
const SAMPLES_MIN: u32 = 5;
/// Delays below this hurt nobody: 50 ms.
const DELAY_MIN_US: u32 = 50_000;

/// What hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hurt {
    /// Clients that it served before get no connection.
    Handshakes,
    /// Its answer to a SYN takes five times as long.
    Delay,
    /// It answers with 5xx.
    Errors,
}

impl Hurt {
    /// In plain words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshakes => "known clients get no connection",
            Self::Delay => "the service answers five times as slowly",
            Self::Errors => "the service answers with 5xx",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    tried: u32,
    completed: u32,
    /// SYN-ACK delays by power of two of microseconds.
    delays: [u16; 24],
    answers: u32,
    errors: u32,
}

#[derive(Clone, Copy, Debug)]
struct Meter {
    bin: Bin,
    bin_at: u64,
    known: [u64; 16],
    bins: u32,
    /// Usual share of completed handshakes of known clients, p95 of the delay in µs, share of 5xx.
    completion: f32,
    delay_us: f32,
    errors: f32,
    hurt: Option<(Hurt, Timestamp)>,
    last: Timestamp,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            bin: Bin::default(),
            bin_at: 0,
            known: [0; 16],
            bins: 0,
            completion: 1.0,
            delay_us: 0.0,
            errors: 0.0,
            hurt: None,
            last: Timestamp(0),
        }
    }
}

impl Worth for Meter {
    fn worth(&self) -> u64 {
        u64::from(self.bins.min(0xffff)) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
}

impl Bin {
    fn p95_us(&self) -> Option<u32> {
        let all: u32 = self.delays.iter().map(|n| u32::from(*n)).sum();
        if all < SAMPLES_MIN {
            return None;
        }
        let mut left = all - all * 95 / 100;
        let slow = self.delays.iter().enumerate().rev().find(|(_, n)| {
            let reached = u32::from(**n) >= left;
            left = left.saturating_sub(u32::from(**n));
            reached
        });
        slow.map(|(at, _)| 1 << at.min(30))
    }
}

impl Meter {
    fn bit(client: u64) -> (usize, u64) {
        ((client >> 6 & 15) as usize, 1 << (client & 63))
    }

    fn knows(&self, client: u64) -> bool {
        let (word, bit) = Self::bit(client);
        self.known.get(word).is_some_and(|w| w & bit != 0)
    }

    fn learn(&mut self, client: u64) {
        let (word, bit) = Self::bit(client);
        if let Some(word) = self.known.get_mut(word) {
            *word |= bit;
        }
    }

    /// Ends the bins that are over.
    fn turn(&mut self, now: Timestamp) {
        let at = now.secs() / BIN_SECS;
        if at <= self.bin_at {
            return;
        }
        let bin = std::mem::take(&mut self.bin);
        self.bin_at = at;
        let completion = (bin.tried >= SAMPLES_MIN)
            .then(|| (bin.completed.min(bin.tried)) as f32 / bin.tried as f32);
        let delay = bin.p95_us();
        let errors = (bin.answers >= SAMPLES_MIN).then(|| bin.errors as f32 / bin.answers as f32);
        if self.bins >= BASELINE_BINS {
            let hurt = if completion.is_some_and(|c| c < self.completion * 0.5) {
                Some(Hurt::Handshakes)
            } else if delay.is_some_and(|d| {
                d >= DELAY_MIN_US && self.delay_us > 0.0 && d as f32 >= self.delay_us * 5.0
            }) {
                Some(Hurt::Delay)
            } else if errors.is_some_and(|e| e >= 0.5 && self.errors < 0.1) {
                Some(Hurt::Errors)
            } else {
                None
            };
            self.hurt = hurt.map(|what| (what, now));
        }
        if self.hurt.is_some() || (completion, delay, errors) == (None, None, None) {
            return;
        }
        self.bins = self.bins.saturating_add(1);
        // An eighth of each new bin: a baseline of some 80 s of busy bins.
        let mix = |old: f32, new: f32| old + (new - old) / 8.0;
        self.completion = completion.map_or(self.completion, |c| mix(self.completion, c));
        self.errors = errors.map_or(self.errors, |e| mix(self.errors, e));
        if let Some(delay) = delay {
            self.delay_us = if self.delay_us > 0.0 {
                mix(self.delay_us, delay as f32)
            } else {
                delay as f32
            };
        }
    }
}

/// Meters of all services.
#[derive(Debug)]
pub struct Meters {
    table: SetTable<(IpAddr, u16), Meter>,
}

impl Meters {
    /// Room for so many services.
    pub fn new(services: usize) -> Self {
        Self {
            table: SetTable::new(services),
        }
    }

    /// What it takes at most.
    pub fn bound(&self) -> MemoryBound {
        self.table.memory().of("service meters")
    }

    /// Takes one record; `client` is a hash of the client's address.
    pub fn record(&mut self, record: &HostRecord, client: u64) {
        let key = (record.key.dst, record.key.dport);
        if record.key.proto != 6 {
            return;
        }
        let meter = match record.kind {
            // A service is worth watching once it served somebody; a flood of SYNs makes none.
            RecordKind::Established => self.table.entry(key, Meter::default),
            RecordKind::Opened | RecordKind::SynAck | RecordKind::Answered => {
                self.table.get_mut(&key)
            }
            _ => return,
        };
        let Some(meter) = meter else { return };
        meter.turn(record.ts);
        meter.last = meter.last.max(record.ts);
        match record.kind {
            RecordKind::Opened if meter.knows(client) => meter.bin.tried += 1,
            RecordKind::Established => {
                if meter.knows(client) {
                    meter.bin.completed += 1;
                } else {
                    meter.learn(client);
                }
            }
            RecordKind::SynAck => {
                let micros = record.value / 1_000;
                let at = (u64::BITS - micros.leading_zeros()).min(23) as usize;
                if let Some(slot) = meter.bin.delays.get_mut(at) {
                    *slot = slot.saturating_add(1);
                }
            }
            RecordKind::Answered if record.detail != 0 => {
                meter.bin.answers += 1;
                meter.bin.errors += u32::from((500..600).contains(&record.detail));
            }
            _ => {}
        }
    }

    /// Whether a service (port 0: any that floods name) is hurt, as of the last two bins.
    pub fn hurt(&mut self, server: IpAddr, port: u16, now: Timestamp) -> Option<Hurt> {
        let meter = self.table.get_mut(&(server, port))?;
        meter.turn(now);
        let (hurt, since) = meter.hurt?;
        (now.secs_since(since) < 2 * BIN_SECS).then_some(hurt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FlowKey;

    fn record(kind: RecordKind, secs: u64, value: u64, detail: u32) -> HostRecord {
        HostRecord {
            number: secs,
            order: 0,
            ts: Timestamp::new(10_000 + secs, 0),
            key: FlowKey {
                dst: IpAddr::from([192, 0, 2, 80]),
                dport: 80,
                proto: 6,
                ..FlowKey::default()
            },
            interface: 0,
            kind,
            detail,
            value,
            flow_id: 1,
        }
    }

    /// One connection of a client in a second.
    fn connect(meters: &mut Meters, client: u64, secs: u64, served: bool, delay_ms: u64) {
        meters.record(&record(RecordKind::Opened, secs, 0, 0), client);
        if served {
            let delay = record(RecordKind::SynAck, secs, delay_ms * 1_000_000, 0);
            meters.record(&delay, client);
            meters.record(&record(RecordKind::Established, secs, 0, 0), client);
        }
    }

    fn hurt(meters: &mut Meters, secs: u64) -> Option<Hurt> {
        let now = Timestamp::new(10_000 + secs, 0);
        meters.hurt(IpAddr::from([192, 0, 2, 80]), 80, now)
    }

    fn healthy() -> Meters {
        let mut meters = Meters::new(64);
        for secs in 0..60 {
            connect(&mut meters, secs % 5, secs, true, 20);
        }
        assert_eq!(hurt(&mut meters, 60), None);
        meters
    }

    #[test]
    fn known_clients_without_connection_hurt_and_strangers_do_not() {
        let mut meters = healthy();
        for secs in 60..80 {
            connect(&mut meters, 7_000 + secs * 131, secs, false, 0);
        }
        assert_eq!(hurt(&mut meters, 80), None);
        for secs in 80..91 {
            connect(&mut meters, secs % 5, secs, false, 0);
        }
        assert_eq!(hurt(&mut meters, 91), Some(Hurt::Handshakes));
    }

    #[test]
    fn slow_answers_and_5xx_hurt() {
        let mut meters = healthy();
        for secs in 60..71 {
            connect(&mut meters, secs % 5, secs, true, 400);
        }
        assert_eq!(hurt(&mut meters, 71), Some(Hurt::Delay));
        let mut meters = healthy();
        for secs in 60..71 {
            connect(&mut meters, secs % 5, secs, true, 20);
            meters.record(&record(RecordKind::Answered, secs, 0, 503), 1);
        }
        assert_eq!(hurt(&mut meters, 71), Some(Hurt::Errors));
    }

    #[test]
    fn a_flood_of_services_takes_no_more_memory() {
        let mut meters = Meters::new(64);
        let bytes = meters.bound().bytes;
        for port in 0..20_000u16 {
            let mut one = record(RecordKind::Established, 1, 0, 0);
            one.key.dport = port;
            meters.record(&one, 1);
        }
        assert_eq!(meters.bound().bytes, bytes);
    }
}
