//! The detectors' own work: host records through all of them, nothing else. ns and allocations per record.
//!
//! `cargo bench --bench behaviour [-- ROUNDS]`. The records are what the workers say of traffic invented here from a fixed
//! seed: an office at its work (pages, names, mail, SSH), the same with attacks in it (a flood, scans, guessing, a tunnel,
//! slow requests), and a flood of invented sources alone. Each asserts what is reported, so that it cannot win by doing less.
//!
//! Instructions, which a busy machine does not change:
//! `valgrind --tool=callgrind --toggle-collect='*AnomalyEngine*batch*' target/release/deps/behaviour-… 1`
//! and the sum of it by the records that the last line prints.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod counting;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use sekisho::detect::anomaly::first_bytes::Login;
use sekisho::detect::anomaly::pace::{Phase, Said};
use sekisho::detect::anomaly::place::Undeclared;
use sekisho::detect::anomaly::{
    AnomalyEngine, AnomalySettings, DETECTORS, HostRecord, RecordKind, Report,
};
use sekisho::packet::{FlowKey, Timestamp};

/// Records of a mix.
const RECORDS: usize = 200_000;
const ROUNDS: usize = 5;

/// xorshift64* (Marsaglia 2003, Vigna 2016): a fixed sequence, so that two runs see the same records.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % n
    }
}

struct Mix {
    records: Vec<HostRecord>,
    random: Random,
    nanos: u64,
    flow: u64,
}

impl Mix {
    fn new() -> Self {
        Self {
            records: Vec::with_capacity(RECORDS + 64),
            random: Random(0x9e37_79b9_7f4a_7c15),
            nanos: 1_000_000_000_000,
            flow: 0,
        }
    }

    fn say(&mut self, key: FlowKey, kind: RecordKind, detail: u32, value: u64) {
        self.records.push(HostRecord {
            number: self.records.len() as u64 + 1,
            order: 0,
            ts: Timestamp(self.nanos),
            key,
            interface: 0,
            kind,
            detail,
            value,
            flow_id: self.flow,
        });
        self.nanos += 20_000;
    }

    fn key(&mut self, src: [u8; 4], dst: [u8; 4], dport: u16, proto: u8) -> FlowKey {
        self.flow += 1;
        FlowKey {
            src: IpAddr::from(src),
            dst: IpAddr::from(dst),
            sport: 32_768 + self.random.below(28_000) as u16,
            dport,
            proto,
            ..FlowKey::default()
        }
    }

    /// A connection that an office opens, with what it tells in its life.
    fn connection(&mut self) {
        use RecordKind as K;
        let client = [
            10,
            0,
            self.random.below(4) as u8,
            self.random.below(250) as u8 + 1,
        ];
        let server = [
            93,
            184,
            self.random.below(40) as u8,
            self.random.below(20) as u8,
        ];
        let port = [443, 443, 443, 80, 80, 25, 22, 993][self.random.below(8) as usize];
        let key = self.key(client, [10, 0, 0, 53], 53, 17);
        self.say(key, K::Opened, 64, 0);
        let name = self.random.below(5_000);
        self.say(key, K::DnsName, 1, name.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        self.say(key, K::Established, 0, 60 << 32 | 120);
        let key = self.key(client, server, port, 6);
        self.say(key, K::Opened, 64, 0);
        self.say(key, K::SynAck, 55, 20_000_000);
        self.say(key, K::Established, 0, 0);
        match port {
            80 => {
                for _ in 0..3 {
                    let path = self.random.below(2_000);
                    self.say(key, K::Request, 0x1234 << 16, path);
                    self.say(key, K::Asked, 1, 0);
                    self.say(key, K::Answered, 200, 0);
                    self.say(key, K::Replied, 1, 40_000);
                }
            }
            443 => self.say(key, K::FirstBytes, 0, 0),
            _ => {}
        }
        let bytes = 2_000 + self.random.below(400_000);
        if bytes > 256 << 10 {
            self.say(key, K::Volume, 20, bytes);
        }
        self.say(key, K::Ended, 0, 900);
        self.say(key, K::Closed, 3_000, bytes);
    }

    /// A piece of each of several attacks.
    fn attack(&mut self) {
        use RecordKind as K;
        let target = [10, 0, 9, 80];
        for _ in 0..6 {
            let [a, b, c, ..] = self.random.below(1 << 24).to_le_bytes();
            let key = self.key([100, a, b, c], target, 80, 6);
            self.say(key, K::Opened, 64, 0);
        }
        let port = self.random.below(60_000) as u16;
        let key = self.key([203, 0, 113, 9], [10, 0, 9, 81], port, 6);
        self.say(key, K::Opened, 50, 0);
        self.say(key, K::Refused, 0, 0);
        let key = self.key([203, 0, 113, 10], [10, 0, 9, 82], 22, 6);
        self.say(key, K::Login, Login::Failed as u32, 7);
        let key = self.key([203, 0, 113, 11], [10, 0, 9, 83], 80, 6);
        let held = Said {
            phase: Phase::Header,
            by_path: false,
            bytes: 90,
            ms: 14_000,
        };
        let (detail, value) = held.pack();
        self.say(key, K::Pace, detail, value);
    }

    fn office(mut self) -> Vec<HostRecord> {
        while self.records.len() < RECORDS {
            self.connection();
        }
        self.records
    }

    fn attacked(mut self) -> Vec<HostRecord> {
        while self.records.len() < RECORDS {
            self.connection();
            if self.records.len() > RECORDS / 4 {
                self.attack();
            }
        }
        self.records
    }

    fn flood(mut self) -> Vec<HostRecord> {
        while self.records.len() < RECORDS {
            let [a, b, c, ..] = self.random.below(1 << 24).to_le_bytes();
            let key = self.key([100, a, b, c], [10, 0, 9, 80], 80, 6);
            self.say(key, RecordKind::Opened, 64, 0);
            self.say(key, RecordKind::Unanswered, 0, 0);
        }
        self.records
    }
}

fn judge(records: &[HostRecord]) -> (u64, u64, Vec<Report>) {
    let mut engine =
        AnomalyEngine::new(&AnomalySettings::default(), Box::new(Undeclared::default()));
    let mut reports = Vec::with_capacity(1_024);
    let before = counting::allocations();
    let began = Instant::now();
    for batch in records.chunks(256) {
        let now = batch.last().map_or(Timestamp(0), |r| r.ts);
        engine.batch(batch, now, false, &mut reports);
    }
    let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap();
    (nanos, counting::allocations() - before, reports)
}

fn main() {
    let asked = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let rounds: usize = asked.unwrap_or(ROUNDS).max(1);
    let mixes: [(&str, Vec<HostRecord>, &[&str]); 3] = [
        ("an office at work", Mix::new().office(), &[]),
        (
            "the office, attacked",
            Mix::new().attacked(),
            &["syn_flood", "port_scan", "brute_force", "slow_http"],
        ),
        ("a flood alone", Mix::new().flood(), &["syn_flood"]),
    ];
    println!(
        "{:>22} {:>10} {:>10} {:>13} {:>8}",
        "records of", "records", "ns/record", "alloc/record", "reports"
    );
    let mut total = 0;
    for (name, records, wanted) in &mixes {
        let mut best = u64::MAX;
        let mut allocations = 0;
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for _ in 0..rounds {
            let (nanos, allocated, reports) = judge(records);
            best = best.min(nanos);
            allocations = allocated;
            found.clear();
            for report in &reports {
                let info = DETECTORS.get(usize::from(report.detector)).unwrap();
                *found.entry(info.name).or_default() += 1;
            }
            total += records.len();
        }
        for detector in *wanted {
            assert!(
                found.contains_key(detector),
                "{name}: no {detector}: {found:?}"
            );
        }
        assert!(!wanted.is_empty() || found.is_empty(), "{name}: {found:?}");
        let each = records.len() as f64;
        println!(
            "{name:>22} {:>10} {:>10.1} {:>13.5} {:>8}  {found:?}",
            records.len(),
            best as f64 / each,
            allocations as f64 / each,
            found.values().sum::<usize>()
        );
    }
    println!("{total} records in all rounds");
}
