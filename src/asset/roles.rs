//! Roles that a host seems to have. Proposals: they count once they were watched long enough, and only lower an alert by
//! one level; what the operator declares exempts.
//!
//! detectors.md §1.3: most false alarms are true sightings of somebody's duty.

use super::host::Host;
use crate::detect::anomaly::place::HostRole;
use crate::packet::Timestamp;

/// Clients that make a server of names, mail, time or addresses. A few could be a test.
const CLIENTS_MIN: u32 = 3;
/// Hosts that a monitor watches, at least.
const WATCHED_MIN: u32 = 8;
/// Bytes that a backup server moves, at least: 1 GiB.
const BACKUP_BYTES: u64 = 1 << 30;

/// Roles with the reason for each.
pub fn propose(host: &Host) -> Vec<(HostRole, &'static str)> {
    let mut roles = Vec::new();
    let mut add = |role, holds: bool, why| {
        if holds {
            roles.push((role, why));
        }
    };
    let serves = |proto, port| host.clients(proto, port) >= CLIENTS_MIN;
    add(
        HostRole::Resolver,
        serves(17, 53) || serves(6, 53),
        "answers DNS of several clients",
    );
    add(
        HostRole::Mail,
        host.mail_peers.estimate() >= CLIENTS_MIN || [25, 465, 587].iter().any(|p| serves(6, *p)),
        "carries mail to or from several hosts",
    );
    add(
        HostRole::Dhcp,
        host.listens(17, 67) || host.listens(17, 547),
        "answers DHCP",
    );
    add(
        HostRole::Proxy,
        [1080, 3128, 8080, 8118].iter().any(|p| serves(6, *p)) && host.peers.estimate() >= 10,
        "serves clients on a proxy's port and calls many hosts",
    );
    add(
        HostRole::Proxy,
        // Clients behind it are different numbers of hops away.
        host.ttl.1 > host.ttl.0 && host.ttl.1 - host.ttl.0 >= 2 && host.peers.estimate() >= 30,
        "its packets come from different distances",
    );
    add(
        HostRole::Monitor,
        host.watched.estimate() >= WATCHED_MIN,
        "asks many hosts whether they live",
    );
    add(
        HostRole::Backup,
        host.bulk_bytes >= BACKUP_BYTES && host.bulk_peers.estimate() >= CLIENTS_MIN,
        "moves much data of several hosts",
    );
    add(
        HostRole::Scanner,
        host.scans.0 >= 5 && host.last.secs_since(host.scans.1) >= 86_400,
        "scans again and again over days",
    );
    roles.dedup_by_key(|(role, _)| *role);
    roles
}

/// What a host is to the network, beyond the roles that exempt: for people, and for what may not be cut off.
pub fn duties(host: &Host) -> Vec<&'static str> {
    let listens = |proto, port| host.listens(proto, port);
    let mut duties: Vec<&'static str> = propose(host).iter().map(|(r, _)| r.as_str()).collect();
    let more = [
        ("domain_controller", listens(6, 88) && listens(6, 389)),
        ("time", host.clients(17, 123) >= CLIENTS_MIN),
        ("web", [80, 443, 8443].iter().any(|p| listens(6, *p))),
        (
            "database",
            [1433, 1521, 3306, 5432, 6379, 27_017]
                .iter()
                .any(|p| listens(6, *p)),
        ),
        ("files", listens(6, 445) || listens(6, 2_049)),
        ("printer", listens(6, 9_100) || listens(6, 631)),
    ];
    duties.extend(more.into_iter().filter(|(_, is)| *is).map(|(name, _)| name));
    duties
}

/// The duty because of which a host of ours may not be cut off; empty: none.
pub fn needed(host: &Host) -> &'static str {
    const NEEDED: &[&str] = &[
        "resolver",
        "dhcp",
        "domain_controller",
        "proxy",
        "router",
        "time",
    ];
    let duties = duties(host);
    NEEDED
        .iter()
        .copied()
        .find(|duty| duties.contains(duty))
        .unwrap_or("")
}

/// Whether proposals of a host count: it was watched for so long.
pub fn is_ripe(host: &Host, now: Timestamp, observe_secs: u64) -> bool {
    now.secs_since(host.first) >= observe_secs
}

#[cfg(test)]
mod tests {
    use super::super::host::Status;
    use super::*;

    #[test]
    fn roles_follow_from_what_a_host_does() {
        let mut host = Host::default();
        assert!(propose(&host).is_empty() && needed(&host).is_empty());
        let dns = host.service_mut(17, 53).expect("room");
        dns.status = Status::Listening;
        for client in 0..9u64 {
            dns.clients.insert(client * 31);
        }
        assert_eq!(
            propose(&host).first().map(|r| r.0),
            Some(HostRole::Resolver)
        );
        assert_eq!(needed(&host), "resolver");
        for port in [88, 389] {
            host.service_mut(6, port).expect("room").status = Status::Listening;
        }
        assert!(duties(&host).contains(&"domain_controller"));
    }

    #[test]
    fn proposals_count_only_after_they_were_watched() {
        let host = Host {
            first: Timestamp::new(1_000, 0),
            ..Host::default()
        };
        assert!(!is_ripe(&host, Timestamp::new(2_000, 0), 86_400));
        assert!(is_ripe(&host, Timestamp::new(90_000, 0), 86_400));
    }
}
