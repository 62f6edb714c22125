//! Password spraying (detectors.md D7): guessing spread so thin that no pair of client and service shows it.
//!
//! Two views of the logins of all protocols that show an outcome, and of the uniform short sessions of those that do not
//! (SSH, RDP):
//! - one source, many accounts: distinct accounts that failed, few tries each, within a window;
//! - many sources, one service: distinct sources that failed there, few tries each, hardly one of them successful; with
//!   accounts where they are known (one account from many sources), by the same size of session where they are not.
//!
//! A success of a spraying source says that it worked. Many tries of one account from one source are
//! [`super::brute_force`]'s.
//! What is *not* spraying: many accounts behind one proxy, gateway or NAT most of whose logins succeed; one device with a
//! stale password; users of one office who mistype.
//! Memory: fixed, one record per source and one per service.
//!
//! Source: Javed and Paxson 2013 (distributed guessing of SSH passwords); ATT&CK T1110.003.

use std::net::IpAddr;

use super::PASSWORD_SPRAY;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::first_bytes::Login;
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, HostRole, Role};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordSpraySettings {
    /// Accounts of one source that failed. Default edge 20, DMZ 10, intranet 10 (detectors.md D7: 10 in 10 minutes).
    pub accounts_min: ByRole<u32>,
    /// Sources that failed at one service. Default edge 40, DMZ 20, intranet 15.
    pub sources_min: ByRole<u32>,
    /// Tries per account, or per source, above which it is ordinary guessing. Default 4: lockouts begin at 5.
    pub tries_max: u32,
    /// Share of failures among logins, at least. Default 0.75.
    pub failed_share_min: f64,
    /// The window in seconds. Default 600 (detectors.md D7).
    pub window_secs: u32,
    /// Sources watched, and services watched. Default 8,192 each.
    pub sources: usize,
    /// Quiet seconds after which an incident closes. Default 900.
    pub off_secs: u32,
}

impl Default for PasswordSpraySettings {
    fn default() -> Self {
        Self {
            accounts_min: ByRole::new(20, 10, 10),
            sources_min: ByRole::new(40, 20, 15),
            tries_max: 4,
            failed_share_min: 0.75,
            window_secs: 600,
            sources: 8_192,
            off_secs: 900,
        }
    }
}

/// Bytes of a session of SSH or RDP that only tried to log in, at most.
const SHORT: u64 = 16_384;
/// Sessions whose sizes are compared.
const SIZES: usize = 16;

#[derive(Clone, Debug, Default)]
struct Group {
    since: Timestamp,
    /// Distinct accounts (of a source) or sources (of a service) that failed.
    members: Bitmap256,
    /// Distinct services of a source, or accounts of a service.
    others: Bitmap256,
    failures: u32,
    successes: u32,
    total: u32,
    sizes: [u32; SIZES],
    sessions: u32,
    worked: bool,
    live: Live,
}

impl Entry for Group {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.members.estimate().min(0xffff)) << 44 | self.since.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Group {
    fn roll(&mut self, now: Timestamp, window_secs: u32) {
        if now.is_outside(self.since, u64::from(window_secs)) {
            *self = Self {
                since: now,
                total: self.total,
                live: self.live,
                ..Self::default()
            };
        }
    }

    /// Whether thin enough for spraying, and mostly in vain.
    fn is_spray(&self, settings: &PasswordSpraySettings, members_min: u32) -> bool {
        let members = self.members.estimate();
        let logins = f64::from(self.failures + self.successes).max(1.0);
        members >= members_min
            && self.failures <= members.saturating_mul(settings.tries_max)
            && f64::from(self.failures) / logins >= settings.failed_share_min
    }

    /// Whether most of the last sessions have the same size, within 4 %.
    fn is_uniform(&self) -> bool {
        let known = (self.sessions as usize).min(SIZES);
        let mut sizes = self.sizes;
        sizes.sort_unstable();
        let Some(median) = sizes.get(SIZES - known.div_ceil(2).max(1)).copied() else {
            return false;
        };
        let near = sizes
            .iter()
            .filter(|size| **size > 0 && size.abs_diff(median) <= median / 25)
            .count();
        known >= 8 && near * 10 >= known * 7
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct PasswordSpray {
    settings: PasswordSpraySettings,
    sources: Watch<(IpAddr, u16), Group>,
    services: Watch<(IpAddr, u16), Group>,
}

impl PasswordSpray {
    /// Takes its memory.
    pub fn new(settings: PasswordSpraySettings) -> Self {
        Self {
            sources: Watch::new(PASSWORD_SPRAY, settings.sources),
            services: Watch::new(PASSWORD_SPRAY, settings.sources),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        let session = record.kind == RecordKind::Closed
            && key.proto == 6
            && matches!(key.dport, 22 | 2222 | 3389)
            && record.detail > 600
            && record.value < SHORT;
        let outcome = match record.kind {
            RecordKind::Login if record.detail == Login::Failed as u32 => false,
            RecordKind::Login if record.detail == Login::Succeeded as u32 => true,
            RecordKind::Closed if session => false,
            _ => return,
        };
        let account = record.value & 0xffff_ffff;
        if !session && account == 0 && record.value >> 32 & 1 == 1 {
            // A challenge before anybody has said who they are.
            return;
        }
        let role = seen.place().role;
        if !session && account != 0 && !seen.places.has_role(key.src, HostRole::Proxy) {
            self.source(record, outcome, role, reports);
        }
        self.service(record, (outcome, session), role, reports);
    }

    /// One source, many accounts.
    fn source(
        &mut self,
        record: &HostRecord,
        success: bool,
        role: Role,
        reports: &mut Vec<Report>,
    ) {
        let settings = &self.settings;
        let place = (record.key.src, record.key.dport);
        let Some(group) = self.sources.entry(place, Group::default) else {
            return;
        };
        group.roll(record.ts, settings.window_secs);
        let enough = settings.accounts_min.of(role);
        if success {
            group.successes += 1;
            // Half of what an alert needs, and a success: it guessed one.
            group.worked |= group.is_spray(settings, enough.div_ceil(2));
        } else {
            group.failures += 1;
            group.total = group.total.saturating_add(1);
            group.members.insert(spread(record.value & 0xffff_ffff));
            group.others.insert(endpoint_hash(record.key.dst, 0));
        }
        if !group.worked && !group.is_spray(settings, enough) {
            return;
        }
        let size = if group.worked && success {
            u64::MAX
        } else {
            u64::from(group.total)
        };
        self.sources.alarm(
            place,
            record,
            (record.key, size),
            reports,
            Group::default,
            |group| Says {
                confidence: 0.9,
                efficacy: if group.worked {
                    Efficacy::Confirmed
                } else {
                    Efficacy::Unknown
                },
                reason: if group.worked {
                    "login accepted after failures of other accounts"
                } else {
                    ""
                },
                source_verified: record.key.proto == 6,
                evidence: evidence(|json| {
                    json.str("view", "one source, many accounts")
                        .num("accounts", group.members.estimate())
                        .num("accounts_min", enough)
                        .num("failures", group.failures)
                        .num("successes", group.successes)
                        .num("servers", group.others.estimate())
                        .num("port", record.key.dport)
                        .num("window_secs", settings.window_secs);
                }),
            },
        );
    }

    /// Many sources, one service.
    fn service(
        &mut self,
        record: &HostRecord,
        (success, session): (bool, bool),
        role: Role,
        reports: &mut Vec<Report>,
    ) {
        let settings = &self.settings;
        let place = (record.key.dst, record.key.dport);
        let Some(group) = self.services.entry(place, Group::default) else {
            return;
        };
        group.roll(record.ts, settings.window_secs);
        if session {
            let at = group.sessions as usize % SIZES;
            if let Some(slot) = group.sizes.get_mut(at) {
                *slot = record.value as u32;
            }
            group.sessions += 1;
        }
        let enough = settings.sources_min.of(role);
        if success {
            group.successes += 1;
        } else {
            group.failures += 1;
            group.total = group.total.saturating_add(1);
            group.members.insert(endpoint_hash(record.key.src, 0));
            if record.value != 0 && !session {
                group.others.insert(spread(record.value & 0xffff_ffff));
            }
        }
        if !group.is_spray(settings, enough) || (session && !group.is_uniform()) {
            return;
        }
        let size = u64::from(group.total);
        self.services.alarm(
            place,
            record,
            (record.key, size),
            reports,
            Group::default,
            |group| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: record.key.proto == 6,
                evidence: evidence(|json| {
                    json.str("view", "many sources, one service")
                        .num("sources", group.members.estimate())
                        .num("sources_min", enough)
                        .num("accounts", group.others.estimate())
                        .num("failures", group.failures)
                        .num("successes", group.successes)
                        .num("uniform_sessions", if session { group.sessions } else { 0 })
                        .num("port", record.key.dport)
                        .num("window_secs", settings.window_secs);
                }),
            },
        );
    }
}

/// Spreads the hash of an account over all bits.
fn spread(value: u64) -> u64 {
    value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24
}

impl Detector for PasswordSpray {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Login, RecordKind::Closed]
    }
    fn memory(&self) -> Memory {
        self.sources.memory() + self.services.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.password_spray.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.sources.tick(now, secs, reports, Group::default);
        self.services.tick(now, secs, reports, Group::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::{Declared, run_at, run_with};
    use super::super::live::tests::record;
    use super::*;

    fn login(outcome: Login, src: u32, account: u64, ms: u64) -> HostRecord {
        HostRecord {
            detail: outcome as u32,
            value: account,
            ..record(RecordKind::Login, 6, src, 1, 143, ms)
        }
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut spray = PasswordSpray::new(PasswordSpraySettings::default());
        run_with(&mut spray, Role::Dmz, records)
    }

    #[test]
    fn one_password_for_many_accounts_is_spraying_by_the_tenth_account() {
        let tries: Vec<_> = (1..=30)
            .map(|i| login(Login::Failed, 1, i * 7_919, i * 3_000))
            .collect();
        let reports = run(tries);
        assert_eq!(reports.first().map(|r| r.state), Some("open"));
        let accounts = reports[0].number / 3_000;
        println!(
            "password spray: alert at account {accounts}, {} s",
            accounts * 3
        );
        assert!(accounts <= 11, "{accounts}");
    }

    #[test]
    fn a_success_among_them_worked() {
        let mut tries: Vec<_> = (1..=14)
            .map(|i| login(Login::Failed, 1, i * 7_919, i * 3_000))
            .collect();
        tries.push(login(Login::Succeeded, 1, 99, 50_000));
        let last = run(tries).pop().expect("report");
        assert_eq!((last.state, last.efficacy), ("update", Efficacy::Confirmed));
    }

    #[test]
    fn one_account_from_many_sources_is_spraying_too() {
        let tries: Vec<_> = (1..=40u32)
            .map(|i| login(Login::Failed, i * 77, 5, u64::from(i) * 5_000))
            .collect();
        let reports = run(tries);
        assert_eq!(reports.len(), 1);
        let sources = reports[0].number / 5_000;
        println!("distributed guessing: alert at source {sources}");
        assert!(sources <= 22);
    }

    #[test]
    fn sessions_of_one_size_from_many_sources_are_guessing_of_ssh() {
        let sessions = |vary: u64| -> Vec<HostRecord> {
            (1..=60u32)
                .map(|i| HostRecord {
                    detail: 1_500,
                    value: 4_900 + u64::from(i * i * 37) % vary,
                    ..record(RecordKind::Closed, 6, i * 77, 1, 22, u64::from(i) * 4_000)
                })
                .collect()
        };
        assert_eq!(run(sessions(20)).len(), 1);
        assert!(run(sessions(9_000)).is_empty());
    }

    #[test]
    fn a_webmail_server_whose_users_mostly_know_their_passwords_is_quiet() {
        let logins = (1..=300)
            .map(|i| {
                let outcome = if i % 3 == 0 {
                    Login::Failed
                } else {
                    Login::Succeeded
                };
                login(outcome, 1, i * 7_919, i * 1_500)
            })
            .collect();
        assert!(run(logins).is_empty());
        let mut spray = PasswordSpray::new(PasswordSpraySettings::default());
        let declared = Declared {
            role: Role::Dmz,
            host: "10.0.0.1".parse().expect("address"),
            is: HostRole::Proxy,
        };
        let failing = (1..=30)
            .map(|i| login(Login::Failed, 1, i * 7_919, i * 1_500))
            .collect();
        assert!(run_at(&mut spray, &declared, failing).is_empty());
    }

    #[test]
    fn stale_passwords_and_ordinary_guessing_are_not_spraying() {
        let stale = (1..=200)
            .map(|i| login(Login::Failed, 1, 5, i * 3_000))
            .collect();
        assert!(run(stale).is_empty(), "one account");
        let nine = (1..=9)
            .map(|i| login(Login::Failed, 1, i * 7_919, i * 3_000))
            .collect();
        assert!(run(nine).is_empty(), "near miss");
        let slow = (1..=40)
            .map(|i| login(Login::Failed, 1, i * 7_919, i * 120_000))
            .collect();
        assert!(run(slow).is_empty(), "two minutes apart");
    }

    #[test]
    fn random_sources_take_no_more_memory_and_hide_nobody() {
        let mut spray = PasswordSpray::new(PasswordSpraySettings {
            sources: 256,
            ..PasswordSpraySettings::default()
        });
        let bytes = Detector::memory(&spray).bytes;
        let mut records = Vec::new();
        for i in 0..60_000u32 {
            let mut noise = login(Login::Failed, 1_000 + i, u64::from(i), u64::from(i) * 5);
            noise.key.dst = noise.key.src;
            records.push(noise);
            if i % 100 == 0 {
                records.push(login(
                    Login::Failed,
                    1,
                    u64::from(i) * 7_919 + 1,
                    u64::from(i) * 5,
                ));
            }
        }
        let reports = run_with(&mut spray, Role::Dmz, records);
        assert_eq!(Detector::memory(&spray).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([10, 0, 0, 1]))
        );
    }
}
