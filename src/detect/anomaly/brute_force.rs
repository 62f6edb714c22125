//! Password guessing (detectors.md D7): failed logins where the protocol shows them (SSH: see [`super::ssh_login`]), uniform
//! short sessions where it is encrypted (RDP), requests that carry passwords over and over (HTTP forms).
//!
//! Per (client, server, port). Failures fade with a half-life. A success after enough failures says that it worked.
//! What is *not* guessing: a few mistakes before a success; sessions of differing sizes; long sessions.
//! Memory: fixed, one record per client and service.

use std::net::IpAddr;

use super::BRUTE_FORCE;
use super::detector::plain_detector;
use super::engine::{Report, evidence};
use super::first_bytes::Login;
use super::live::{Entry, Fading, Live, Says, Watch};
use super::place::{ByRole, Role};
use super::record::{HostRecord, RecordKind};
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct BruteForceSettings {
    /// Failed logins that are guessing. Default edge 20, DMZ 10, intranet 5 (detectors.md D7).
    pub failures_min: ByRole<u32>,
    /// Failed logins within [`BURST_SECS`] that are guessing: no person types as fast. Default 5 (CrowdSec's `ssh-bf`: more
    /// than 5 in 10 s).
    pub burst_min: u32,
    /// Requests with a password whose outcome is not plain. Default 15.
    pub tries_min: u32,
    /// Uniform short sessions of an encrypted protocol. Default 8 (detectors.md D7).
    pub sessions_min: u32,
    /// Seconds in which counts halve. Default 120 (detectors.md D7: windows of 2 to 5 minutes).
    pub half_life_secs: u32,
    /// Clients and services watched. Default 16,384.
    pub services: usize,
    /// Quiet seconds after which an incident closes. Default 900.
    pub off_secs: u32,
}

impl Default for BruteForceSettings {
    fn default() -> Self {
        Self {
            failures_min: ByRole::new(20, 10, 5),
            burst_min: 5,
            tries_min: 15,
            sessions_min: 8,
            half_life_secs: 120,
            services: 16_384,
            off_secs: 900,
        }
    }
}

/// Seconds of a burst of failed logins.
const BURST_SECS: u64 = 10;
/// Sessions whose sizes are compared.
const SIZES: usize = 16;
/// Bytes of a session that only tried to log in, at most.
const SHORT: u64 = 16_384;

#[derive(Clone, Debug, Default)]
struct Service {
    failures: Fading,
    burst: u32,
    burst_since: Timestamp,
    tries: Fading,
    failed: u32,
    tried: u32,
    succeeded: u32,
    sizes: [u32; SIZES],
    sessions: u32,
    last: Timestamp,
    live: Live,
}

impl Entry for Service {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        let seen = u64::from(self.failed.max(self.sessions).min(0xffff));
        seen << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Service {
    /// Sessions within 4 % of the median size, among the last ones.
    fn uniform(&self) -> u32 {
        let mut sizes = self.sizes;
        sizes.sort_unstable();
        let known = (self.sessions as usize).min(SIZES);
        // Unused slots are zero and sort first.
        let Some(median) = sizes.get(SIZES - known.div_ceil(2).max(1)) else {
            return 0;
        };
        let near = median / 25;
        sizes
            .iter()
            .filter(|size| **size > 0 && size.abs_diff(*median) <= near)
            .count() as u32
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct BruteForce {
    settings: BruteForceSettings,
    services: Watch<(IpAddr, IpAddr, u16), Service>,
}

plain_detector!(
    BruteForce,
    by role,
    |_, all| all.brute_force.clone(),
    Closed | Request | Login
);

impl BruteForce {
    /// Takes its memory.
    pub fn new(settings: BruteForceSettings) -> Self {
        Self {
            services: Watch::new(BRUTE_FORCE, settings.services),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.services.memory()
    }

    /// Takes one record.
    pub fn record(
        &mut self,
        record: &HostRecord,
        role: &dyn Fn() -> Role,
        reports: &mut Vec<Report>,
    ) {
        let key = (record.key.src, record.key.dst, record.key.dport);
        let encrypted = key.2 == 3389;
        let session = record.kind == RecordKind::Closed
            && record.key.proto == 6
            && encrypted
            && record.detail > 600
            && record.value < SHORT;
        let secret = record.kind == RecordKind::Request && record.detail & 2 != 0;
        if !session && !secret && record.kind != RecordKind::Login {
            return;
        }
        let settings = &self.settings;
        let failures_min = settings.failures_min.of(role());
        let Some(service) = self.services.entry(key, Service::default) else {
            return;
        };
        if record.ts.secs_since(service.last) > u64::from(settings.half_life_secs) * 8
            && !service.live.open
        {
            *service = Service::default();
        }
        service.last = service.last.max(record.ts);
        let half_life = settings.half_life_secs;
        let mut worked = false;
        if session {
            let at = service.sessions as usize % SIZES;
            if let Some(slot) = service.sizes.get_mut(at) {
                *slot = record.value as u32;
            }
            service.sessions = service.sessions.saturating_add(1);
        } else if secret {
            service.tried = service.tried.saturating_add(1);
            service.tries.add(1.0, record.ts, half_life);
        } else if record.detail == Login::Failed as u32 {
            service.failed = service.failed.saturating_add(1);
            service.failures.add(1.0, record.ts, half_life);
            if record.ts.is_outside(service.burst_since, BURST_SECS) {
                service.burst_since = record.ts;
                service.burst = 0;
            }
            // A 401 may be a step of a login that goes on.
            service.burst += u32::from(record.value >> 32 == 0);
        } else if record.detail == Login::Tried as u32 {
            service.tried = service.tried.saturating_add(1);
            service.tries.add(1.0, record.ts, half_life);
        } else if record.detail == Login::Succeeded as u32 {
            // Who is let in by the third key of its agent guessed nothing.
            let keys = (record.value >> 40) as u8;
            service.failed = service.failed.saturating_sub(u32::from(keys));
            service.burst = service.burst.saturating_sub(u32::from(keys));
            service.failures.take_back(f64::from(keys));
            worked = service.failures.value() >= f64::from(failures_min.min(5));
            service.succeeded = service.succeeded.saturating_add(1);
        }
        let uniform = service.uniform();
        let enough = service.failures.value() + 0.5 >= f64::from(failures_min)
            || service.burst >= settings.burst_min
            || service.tries.value() + 0.5 >= f64::from(settings.tries_min)
            || (uniform >= settings.sessions_min
                && uniform * 10 >= service.sessions.min(SIZES as u32) * 6);
        if !enough && !worked {
            return;
        }
        let size = u64::from(service.failed.max(service.tried).max(service.sessions));
        // The first success is told at once, the next after ten.
        let size = if worked {
            u64::from(service.succeeded) << 40
        } else {
            size
        };
        self.services.alarm(
            key,
            record,
            (record.key, size),
            reports,
            Service::default,
            |service| Says {
                confidence: 0.9,
                efficacy: if worked {
                    Efficacy::Confirmed
                } else {
                    Efficacy::Unknown
                },
                reason: if worked {
                    "login accepted after failures"
                } else {
                    ""
                },
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("failures", service.failed)
                        .num("tries", service.tried)
                        .num("sessions", service.sessions)
                        .num("uniform_sessions", uniform)
                        .num("successes", service.succeeded)
                        .num("port", record.key.dport);
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.services
            .tick(now, self.settings.off_secs, reports, Service::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::*;

    fn run(records: impl Iterator<Item = HostRecord>) -> Vec<Report> {
        let mut brute = BruteForce::new(BruteForceSettings::default());
        let mut reports = Vec::new();
        for record in records {
            brute.record(&record, &|| Role::Dmz, &mut reports);
        }
        reports
    }

    fn login(outcome: Login, port: u16, ms: u64) -> HostRecord {
        HostRecord {
            detail: outcome as u32,
            ..record(RecordKind::Login, 6, 1, 1, port, ms)
        }
    }

    fn session(bytes: u64, ms: u64) -> HostRecord {
        HostRecord {
            detail: 1_500,
            value: bytes,
            ..record(RecordKind::Closed, 6, 1, 1, 3389, ms)
        }
    }

    #[test]
    fn an_agent_whose_first_keys_are_refused_guesses_nothing() {
        // A build server that fetches every second, with two wrong keys each time.
        let session = |keys: u64, ms: u64| {
            let failed = (0..keys).map(move |i| login(Login::Failed, 22, ms + i));
            failed.chain([HostRecord {
                value: keys << 40,
                ..login(Login::Succeeded, 22, ms + 9)
            }])
        };
        assert!(run((0..200).flat_map(|i| session(2, i * 1_000))).is_empty());
        // Twenty guesses before it are guesses all the same.
        let guesses = (0..20).map(|i| login(Login::Failed, 22, i * 400));
        let taken = run(guesses.chain(session(3, 9_000)));
        assert!(taken.iter().any(|r| r.efficacy == Efficacy::Confirmed));
    }

    #[test]
    fn many_failures_are_guessing_and_a_success_after_them_worked() {
        let failures = (0..30).map(|i| login(Login::Failed, 21, i * 1_000));
        let reports = run(failures.chain([login(Login::Succeeded, 21, 31_000)]));
        assert_eq!(reports.first().map(|r| r.state), Some("open"));
        assert_eq!(
            reports.last().map(|r| r.efficacy),
            Some(Efficacy::Confirmed)
        );
    }

    #[test]
    fn five_failures_in_ten_seconds_are_a_tool_and_challenges_are_not() {
        let run_with = |value: u64, gap_ms: u64| {
            run((0..7).map(|i| HostRecord {
                value,
                ..login(Login::Failed, 22, i * gap_ms)
            }))
            .len()
        };
        assert_eq!(run_with(0, 300), 1);
        assert_eq!(run_with(1 << 32, 300), 0);
        assert_eq!(run_with(0, 6_000), 0);
    }

    #[test]
    fn a_few_mistakes_before_a_success_are_not() {
        let person = [Login::Failed, Login::Failed, Login::Succeeded];
        assert!(
            run(person
                .into_iter()
                .enumerate()
                .map(|(i, l)| login(l, 21, i as u64 * 5_000)))
            .is_empty()
        );
    }

    #[test]
    fn uniform_short_sessions_are_guessing_and_differing_ones_are_not() {
        assert_eq!(
            run((0..12).map(|i| session(4_917 + i % 3, i * 2_000))).len(),
            1
        );
        assert!(run((0..40).map(|i| session(3_000 + i * i * 7 % 9_000, i * 2_000))).is_empty());
        assert!(run((0..40).map(|i| session(90_000, i * 2_000))).is_empty());
    }

    #[test]
    fn failures_far_apart_are_forgotten() {
        assert!(run((0..40).map(|i| login(Login::Failed, 21, i * 600_000))).is_empty());
    }
}
