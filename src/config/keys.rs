//! Every configuration key: name, what it does, how it is set and shown.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::Value;

use super::Config;
use super::detector_keys::by_role;
use crate::alert::Level;
use crate::app::Digests;
use crate::grade::Subnet;
use crate::stream::{ExceptionPolicy, UrgentPolicy};
use crate::sys::libmagic;

/// A key.
pub struct Key {
    /// Dotted name, Suricata's where the concept is the same.
    pub name: &'static str,
    /// What it does, with its unit.
    pub doc: &'static str,
    /// Sets it; the message says what is wanted.
    pub set: fn(&mut Config, &Value) -> Result<(), String>,
    /// Its value, as TOML.
    pub get: fn(&Config) -> String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! key {
    ($name:literal, $doc:literal, $($field:ident).+, $read:expr) => {
        Key {
            name: $name,
            doc: $doc,
            set: |config, value| {
                config.$($field).+ = $read(value)?;
                Ok(())
            },
            get: |config| show(&config.$($field).+),
        }
    };
}

/// All keys, by topic.
pub static KEYS: &[Key] = &[
    key!(
        "workers",
        "signature workers; 0 or \"fused\": all stages in one thread",
        workers,
        workers
    ),
    key!(
        "live.worker-stuck-ms",
        "milliseconds on one batch after which a worker counts as stuck and is replaced",
        worker_stuck_ms,
        size
    ),
    key!(
        "live.verdict-timeout-ms",
        "inline: milliseconds that frames wait for a verdict before the exception policy decides",
        verdict_timeout_ms,
        size
    ),
    key!(
        "control.socket",
        "unix socket for sekisho ctl (live); empty: none",
        operation.socket,
        path
    ),
    key!(
        "metrics.port",
        "TCP port of the Prometheus page /metrics (live); 0: none",
        operation.metrics_port,
        port
    ),
    key!(
        "metrics.address",
        "address it listens on; anyone who can connect may read it",
        operation.metrics_address,
        address
    ),
    key!(
        "stats.interval-secs",
        "seconds between EVE stats events (live); 0: none",
        operation.stats_secs,
        number
    ),
    key!(
        "heartbeat.interval-secs",
        "seconds between two signs of life to the SOC, by syslog and in eve.json; 0: none",
        operation.heartbeat_secs,
        number
    ),
    key!(
        "live.guardian",
        "inline: a guardian process joins the pairs when the sensor is gone",
        guardian,
        boolean
    ),
    key!(
        "evidence.level",
        "keep the packets of alerts from this level on; default: of none",
        operation.evidence.level,
        level
    ),
    key!(
        "evidence.folder",
        "folder for them; default: evidence in the log folder",
        operation.evidence.folder,
        some_path
    ),
    key!(
        "evidence.ring-bytes",
        "bytes of packets remembered for the time before an alert, all workers together (live)",
        operation.evidence.ring_bytes,
        size
    ),
    key!(
        "evidence.file-bytes",
        "bytes of one file at most",
        operation.evidence.file_bytes,
        size
    ),
    key!(
        "evidence.after-secs",
        "seconds after an alert during which packets are still added",
        operation.evidence.after_secs,
        number
    ),
    key!(
        "evidence.bytes-max",
        "bytes of all files; the oldest go first",
        operation.evidence.bytes_max,
        size
    ),
    key!(
        "evidence.days-max",
        "days after which a file goes",
        operation.evidence.days_max,
        number
    ),
    key!(
        "health.loss-share",
        "share of packets lost in ten seconds over which it is device trouble (live)",
        operation.loss_share,
        share
    ),
    key!(
        "privileges.confine",
        "give up capabilities, paths and system calls once the sockets are open (live)",
        operation.confine,
        boolean
    ),
    Key {
        name: "eve.force-magic",
        doc: "fileinfo has the kind of every file, in libmagic's words",
        set: |config, value| {
            let on = boolean(value)?;
            if on {
                libmagic::load()?;
            }
            config.eve.forced.magic = on;
            Ok(())
        },
        get: |config| show(&config.eve.forced.magic),
    },
    Key {
        name: "eve.force-hash",
        doc: "digests that fileinfo has of every file: md5, sha1, sha256",
        set: |config, value| {
            let mut forced = Digests {
                magic: config.eve.forced.magic,
                ..Digests::default()
            };
            for name in texts(value)? {
                match name.as_str() {
                    "md5" => forced.md5 = true,
                    "sha1" => forced.sha1 = true,
                    "sha256" => forced.sha256 = true,
                    other => return Err(format!("wants md5, sha1 or sha256, not '{other}'")),
                }
            }
            config.eve.forced = forced;
            Ok(())
        },
        get: |config| {
            let forced = config.eve.forced;
            let all = [
                (forced.md5, "md5"),
                (forced.sha1, "sha1"),
                (forced.sha256, "sha256"),
            ];
            let on: Vec<&str> = all.iter().filter(|a| a.0).map(|a| a.1).collect();
            show(&on)
        },
    },
    key!("log-dir", "folder for eve.json", log_dir, path),
    key!(
        "cache-dir",
        "folder for compiled rules; default: the user's cache folder",
        cache_dir,
        some_path
    ),
    key!(
        "datasets.folder",
        "folder of data sets that rules write, and of [[dataset]]; default: data in the log folder",
        datasets_folder,
        some_path
    ),
    key!(
        "datasets.rules.allow-write",
        "rules may have files written (save, state) in that folder",
        data.datasets.allow_write,
        boolean
    ),
    key!(
        "datasets.rules.allow-absolute-filenames",
        "rules may have files written anywhere",
        data.datasets.allow_absolute,
        boolean
    ),
    key!(
        "datasets.defaults.memcap",
        "bytes that rules may add to one data set where it says nothing else",
        data.datasets.memcap_bytes,
        size
    ),
    Key {
        name: "datasets.defaults.hashsize",
        doc: "as Suricata has it; tables here grow by themselves",
        set: |_, value| size(value).map(|_| ()),
        get: |_| "0".to_owned(),
    },
    key!(
        "reputation-categories-file",
        "categories of reputations (iprep): NUMBER,NAME,DESCRIPTION a line",
        data.reputation.categories,
        some_path
    ),
    key!(
        "default-reputation-path",
        "folder of reputation-files",
        data.reputation.folder,
        path
    ),
    key!(
        "reputation-files",
        "lists of addresses (iprep): ADDRESS,CATEGORY,SCORE a line",
        data.reputation.files,
        paths
    ),
    key!(
        "geoip-database",
        "database of countries in MaxMind's format (geoip)",
        data.countries,
        some_path
    ),
    key!(
        "rule-files",
        "rule files, folders and globs, in order",
        rule_files,
        paths
    ),
    key!(
        "classification-file",
        "classification.config; default: the bundled one",
        classification_file,
        some_path
    ),
    key!(
        "reference-config-file",
        "reference.config; default: the bundled one",
        reference_file,
        some_path
    ),
    key!(
        "stream.midstream",
        "pick up TCP sessions without their handshake",
        midstream,
        boolean
    ),
    key!(
        "stream.midstream-policy",
        "what to do with them: ignore, pass-flow, pass-packet, drop-flow, drop-packet, reject, bypass",
        midstream_policy,
        exception_policy_name
    ),
    key!(
        "stream.reassembly.memcap-policy",
        "what to do when there is no memory for bytes of a stream: as stream.midstream-policy",
        memcap_policy,
        exception_policy_name
    ),
    key!(
        "stream.reassembly.urgent.policy",
        "urgent data: oob (the urgent byte is not in the stream), inline, drop (inline mode), gap",
        urgent_policy,
        urgent_policy
    ),
    key!(
        "stream.reassembly.urgent.oob-limit-policy",
        "the same once a direction had 65,535 urgent bytes out of band: drop, inline, gap",
        urgent_limit_policy,
        urgent_limit_policy
    ),
    key!(
        "flow.memcap-policy",
        "what to do with a packet for which the flow table has no room: as stream.midstream-policy",
        flow_memcap_policy,
        exception_policy_name
    ),
    key!(
        "stream.async-oneside",
        "expect to see only one side of sessions",
        async_oneside,
        boolean
    ),
    key!(
        "stream.reassembly.depth",
        "bytes of a direction that are reassembled; 0: all",
        stream_depth_bytes,
        size
    ),
    key!(
        "stream.memcap",
        "bytes of stream data held, all workers together",
        stream_memory_bytes,
        size
    ),
    key!(
        "flow.max",
        "flows tracked at a time, all workers together",
        flows_max,
        number
    ),
    key!(
        "flow.forced-reports",
        "half-open connections given up in a flood that are logged one by one, a second",
        flow_forced_reports,
        number
    ),
    key!(
        "app-layer.protocols.tls.encryption-handling",
        "after the handshake: track-only, bypass or full",
        tls_encryption_handling,
        text
    ),
    key!(
        "app-layer.memcap",
        "bytes that parsers hold for all flows, all workers together; beyond, flows that grow are parsed no further",
        limits.memory_bytes,
        size
    ),
    key!(
        "app-layer.transactions-max",
        "live transactions a flow keeps",
        limits.transactions,
        count
    ),
    key!(
        "app-layer.protocols.http.request-body-limit",
        "bytes of a request body inspected",
        limits.request_body_bytes,
        number
    ),
    key!(
        "app-layer.protocols.http.response-body-limit",
        "bytes of a response body inspected",
        limits.response_body_bytes,
        number
    ),
    key!(
        "app-layer.protocols.http.response-body-decompress-layer-limit",
        "content encodings undone",
        limits.decompress_layers,
        small
    ),
    key!(
        "app-layer.decompress-limit",
        "bytes one compressed body may unfold to",
        limits.decompress_bytes,
        number
    ),
    key!(
        "eve.strict",
        "leave out what Suricata's schema does not know (the sekisho key)",
        eve.strict,
        boolean
    ),
    key!(
        "eve.payload",
        "alerts carry the payload",
        eve.payload,
        boolean
    ),
    key!("eve.packet", "alerts carry the packet", eve.packet, boolean),
    key!(
        "eve.metadata",
        "alerts carry the application layer's metadata",
        eve.metadata,
        boolean
    ),
    key!(
        "eve.app",
        "write http, dns, tls, ... records",
        eve.app,
        boolean
    ),
    key!("eve.files", "write fileinfo records", eve.files, boolean),
    key!("eve.flow", "write flow records", eve.flow, boolean),
    key!("eve.anomaly", "write anomaly records", eve.anomaly, boolean),
    key!(
        "eve.anomaly-packets",
        "anomaly records for decode and stream events too",
        eve.anomaly_packets,
        boolean
    ),
    key!("eve.stats", "write stats records", eve.stats, boolean),
    key!(
        "eve.compress-ipv6",
        "IPv6 addresses in short form",
        eve.compress_ipv6,
        boolean
    ),
    key!(
        "eve.payload-bytes",
        "most bytes of a payload or packet in an alert",
        eve.payload_bytes,
        count
    ),
    key!(
        "syslog.target",
        "udp://host:port, tcp://..., tls://... or unix:///dev/log; empty: off",
        syslog.target,
        target
    ),
    key!(
        "syslog.level",
        "alerts below this level are not sent; default YELLOW",
        syslog.level,
        level
    ),
    key!(
        "syslog.ca-file",
        "PEM file of the authority that vouches for the receiver (TLS)",
        syslog.tls.authority,
        some_path
    ),
    key!(
        "syslog.cert-file",
        "PEM file of our own certificate (TLS)",
        syslog.tls.certificate,
        some_path
    ),
    key!(
        "syslog.key-file",
        "PEM file of its key (TLS)",
        syslog.tls.key,
        some_path
    ),
    key!(
        "syslog.server-name",
        "name the receiver's certificate must have; default: the host of the target",
        syslog.tls.server_name,
        some_text
    ),
    key!(
        "syslog.spool-dir",
        "folder of undelivered alerts; default: the log folder",
        syslog.spool_dir,
        some_path
    ),
    key!(
        "syslog.spool-bytes",
        "bytes of undelivered alerts kept on disk",
        syslog.spool_bytes,
        size
    ),
    key!(
        "syslog.drain-ms",
        "milliseconds to wait at the end for what is not delivered",
        syslog.drain_ms,
        size
    ),
    key!(
        "grade.outcome-wait-ms",
        "milliseconds of packet time an alert waits for the answer to what it is about",
        grade.outcome_wait_ms,
        size
    ),
    key!(
        "assets.enabled",
        "keep the passive map of hosts, services and roles",
        grade.map.enabled,
        boolean
    ),
    key!(
        "assets.hosts",
        "hosts kept in the map",
        grade.map.hosts,
        count
    ),
    key!(
        "assets.services",
        "services whose health is metered",
        grade.map.services,
        count
    ),
    key!(
        "assets.observe-secs",
        "seconds a host is watched before the roles it seems to have lower an alert",
        grade.map.observe_secs,
        size
    ),
    key!(
        "assets.listed",
        "hosts of ours listed in the stats record and --json",
        grade.map.listed,
        count
    ),
    key!(
        "budget.orange-per-hour",
        "ORANGE alerts of one rule or detector that people are sent in an hour; 0: no limit",
        grade.budget.orange_per_hour,
        number
    ),
    key!(
        "budget.yellow-per-hour",
        "YELLOW alerts of one rule or detector that people are sent in an hour; 0: no limit",
        grade.budget.yellow_per_hour,
        number
    ),
    key!(
        "actions.enabled",
        "carry out what detectors lead to (inline); off: alerts say what would be done",
        grade.actions.enabled,
        boolean
    ),
    key!(
        "actions.drop-secs",
        "seconds a source is dropped the first time; six times as long each further time",
        grade.actions.drop_secs,
        number
    ),
    key!(
        "actions.drop-secs-max",
        "seconds a source is dropped at most",
        grade.actions.drop_secs_max,
        number
    ),
    key!(
        "actions.limit-secs",
        "seconds a source or service is limited",
        grade.actions.limit_secs,
        number
    ),
    key!(
        "actions.contain-secs",
        "seconds a host of ours is contained",
        grade.actions.contain_secs,
        number
    ),
    key!(
        "actions.service-per-ten-secs",
        "flows in ten seconds that unknown clients may open towards a flooded service",
        grade.actions.service_per_ten_secs,
        number
    ),
    key!(
        "actions.policy",
        "act on tunnels, P2P and the like too",
        grade.actions.policy,
        boolean
    ),
    key!(
        "actions.off",
        "detectors that never lead to an action",
        grade.actions.off,
        texts
    ),
    Key {
        name: "actions.never",
        doc: "addresses and networks that are never restricted",
        set: |config, value| {
            config.grade.actions.never = texts(value)?
                .iter()
                .map(|text| Subnet::parse(text))
                .collect::<Result<_, _>>()?;
            Ok(())
        },
        get: |config| {
            let nets = config.grade.actions.never.iter();
            show(&nets.map(ToString::to_string).collect::<Vec<_>>())
        },
    },
    key!(
        "detectors.enabled",
        "watch the behaviour of hosts",
        anomaly.enabled,
        boolean
    ),
    key!(
        "detectors.syn-flood.floor-per-sec",
        "incomplete SYNs per second towards a destination below which there is no alarm, by role",
        anomaly.syn_flood.floor_per_sec,
        by_role
    ),
    key!(
        "detectors.syn-flood.services",
        "services watched",
        anomaly.syn_flood.services,
        count
    ),
    key!(
        "detectors.syn-flood.off-secs",
        "quiet seconds that close an incident",
        anomaly.syn_flood.off_secs,
        number
    ),
    key!(
        "detectors.port-scan.alpha",
        "false alarms per tested source",
        anomaly.port_scan.alpha,
        share
    ),
    key!(
        "detectors.port-scan.targets-min",
        "distinct failed targets, at least, by role",
        anomaly.port_scan.targets_min,
        by_role
    ),
    key!(
        "detectors.port-scan.stealth-ports-min",
        "distinct ports of stealth probes, at least",
        anomaly.port_scan.stealth_ports_min,
        number
    ),
    key!(
        "detectors.port-scan.arp-hosts-min",
        "addresses asked for by ARP from which fewer failures are enough",
        anomaly.port_scan.arp_hosts_min,
        number
    ),
    key!(
        "detectors.port-scan.half-life-secs",
        "seconds in which a score halves",
        anomaly.port_scan.half_life_secs,
        number
    ),
    key!(
        "detectors.port-scan.sources",
        "sources watched",
        anomaly.port_scan.sources,
        count
    ),
    key!(
        "detectors.port-scan.shared-sources-min",
        "sources that share a scan, at least",
        anomaly.port_scan.thin.sources_min,
        number
    ),
    key!(
        "detectors.port-scan.shared-targets-min",
        "targets of a shared scan, at least",
        anomaly.port_scan.thin.targets_min,
        number
    ),
    key!(
        "detectors.port-scan.shared-secs",
        "seconds of a shared scan",
        anomaly.port_scan.thin.spread_secs,
        number
    ),
    key!(
        "detectors.port-scan.slow-targets-min",
        "distinct failed targets of a source or network within a day",
        anomaly.port_scan.thin.slow_targets_min,
        number
    ),
    key!(
        "detectors.port-scan.campaigns",
        "hosts, networks and origins watched for shared and slow scans",
        anomaly.port_scan.thin.entries,
        count
    ),
    key!(
        "detectors.port-scan.off-secs",
        "quiet seconds that close an incident",
        anomaly.port_scan.off_secs,
        number
    ),
    key!(
        "detectors.udp-flood.floor-per-sec",
        "packets per second towards a destination over which there is an alarm, by role",
        anomaly.udp_flood.floor_per_sec,
        by_role
    ),
    key!(
        "detectors.udp-flood.sources-min",
        "distinct sources that make an alarm of unanswered packets",
        anomaly.udp_flood.sources_min,
        number
    ),
    key!(
        "detectors.udp-flood.plain-min",
        "unanswered flows in a second that are a flood whatever their sources",
        anomaly.udp_flood.plain_min,
        number
    ),
    key!(
        "detectors.udp-flood.destinations",
        "destinations watched",
        anomaly.udp_flood.destinations,
        count
    ),
    key!(
        "detectors.udp-flood.off-secs",
        "quiet seconds that close an incident",
        anomaly.udp_flood.off_secs,
        number
    ),
    key!(
        "detectors.icmp-flood.floor-per-sec",
        "packets per second towards a destination over which there is an alarm, by role",
        anomaly.icmp_flood.floor_per_sec,
        by_role
    ),
    key!(
        "detectors.icmp-flood.sources-min",
        "distinct sources that make an alarm of unanswered packets",
        anomaly.icmp_flood.sources_min,
        number
    ),
    key!(
        "detectors.icmp-flood.destinations",
        "destinations watched",
        anomaly.icmp_flood.destinations,
        count
    ),
    key!(
        "detectors.icmp-flood.off-secs",
        "quiet seconds that close an incident",
        anomaly.icmp_flood.off_secs,
        number
    ),
    key!(
        "detectors.smurf.floor-per-sec",
        "packets per second towards a destination over which there is an alarm, by role",
        anomaly.smurf.floor_per_sec,
        by_role
    ),
    key!(
        "detectors.smurf.sources-min",
        "distinct sources that make an alarm of unanswered packets",
        anomaly.smurf.sources_min,
        number
    ),
    key!(
        "detectors.smurf.plain-min",
        "echo requests to a directed broadcast in ten seconds",
        anomaly.smurf.plain_min,
        number
    ),
    key!(
        "detectors.smurf.destinations",
        "destinations watched",
        anomaly.smurf.destinations,
        count
    ),
    key!(
        "detectors.smurf.off-secs",
        "quiet seconds that close an incident",
        anomaly.smurf.off_secs,
        number
    ),
    key!(
        "detectors.amplification.floor-per-sec",
        "packets per second towards a destination over which there is an alarm, by role",
        anomaly.amplification.floor_per_sec,
        by_role
    ),
    key!(
        "detectors.amplification.sources-min",
        "distinct sources that make an alarm of unanswered packets",
        anomaly.amplification.sources_min,
        number
    ),
    key!(
        "detectors.amplification.destinations",
        "destinations watched",
        anomaly.amplification.destinations,
        count
    ),
    key!(
        "detectors.amplification.off-secs",
        "quiet seconds that close an incident",
        anomaly.amplification.off_secs,
        number
    ),
    key!(
        "detectors.tcp-flood.floor-per-sec",
        "packets per second towards a destination over which there is an alarm, by role",
        anomaly.tcp_flood.floor_per_sec,
        by_role
    ),
    key!(
        "detectors.tcp-flood.sources-min",
        "distinct sources that make an alarm of unanswered packets",
        anomaly.tcp_flood.sources_min,
        number
    ),
    key!(
        "detectors.tcp-flood.plain-min",
        "SYN-ACKs repeated to one who did not ask, in a minute",
        anomaly.tcp_flood.plain_min,
        number
    ),
    key!(
        "detectors.tcp-flood.destinations",
        "destinations watched",
        anomaly.tcp_flood.destinations,
        count
    ),
    key!(
        "detectors.tcp-flood.off-secs",
        "quiet seconds that close an incident",
        anomaly.tcp_flood.off_secs,
        number
    ),
    key!(
        "detectors.host-scan.hosts-min",
        "distinct addresses asked for in the window",
        anomaly.host_scan.hosts_min,
        number
    ),
    key!(
        "detectors.host-scan.window-secs",
        "seconds of the window",
        anomaly.host_scan.window_secs,
        number
    ),
    key!(
        "detectors.host-scan.sources",
        "askers watched",
        anomaly.host_scan.sources,
        count
    ),
    key!(
        "detectors.host-scan.off-secs",
        "quiet seconds that close an incident",
        anomaly.host_scan.off_secs,
        number
    ),
    key!(
        "detectors.arp-scan.hosts-min",
        "distinct addresses asked for in the window",
        anomaly.arp_scan.hosts_min,
        number
    ),
    key!(
        "detectors.arp-scan.in-order-min",
        "addresses asked for in order that are a sweep however slow",
        anomaly.arp_scan.in_order_min,
        number
    ),
    key!(
        "detectors.arp-scan.window-secs",
        "seconds of the window",
        anomaly.arp_scan.window_secs,
        number
    ),
    key!(
        "detectors.arp-scan.sources",
        "askers watched",
        anomaly.arp_scan.sources,
        count
    ),
    key!(
        "detectors.arp-scan.off-secs",
        "quiet seconds that close an incident",
        anomaly.arp_scan.off_secs,
        number
    ),
    key!(
        "detectors.brute-force.failures-min",
        "failed logins that are guessing, by role",
        anomaly.brute_force.failures_min,
        by_role
    ),
    key!(
        "detectors.brute-force.burst-min",
        "failed logins in ten seconds that are guessing",
        anomaly.brute_force.burst_min,
        number
    ),
    key!(
        "detectors.brute-force.tries-min",
        "requests with a password that are guessing",
        anomaly.brute_force.tries_min,
        number
    ),
    key!(
        "detectors.brute-force.sessions-min",
        "uniform short sessions that are guessing",
        anomaly.brute_force.sessions_min,
        number
    ),
    key!(
        "detectors.brute-force.half-life-secs",
        "seconds in which counts halve",
        anomaly.brute_force.half_life_secs,
        number
    ),
    key!(
        "detectors.brute-force.services",
        "clients and services watched",
        anomaly.brute_force.services,
        count
    ),
    key!(
        "detectors.brute-force.off-secs",
        "quiet seconds that close an incident",
        anomaly.brute_force.off_secs,
        number
    ),
    key!(
        "detectors.dns-tunnel.info-bytes-min",
        "information bytes in names below one domain",
        anomaly.dns_tunnel.info_bytes_min,
        number
    ),
    key!(
        "detectors.dns-tunnel.unheard-min",
        "new names of types that nobody asks for",
        anomaly.dns_tunnel.unheard_min,
        number
    ),
    key!(
        "detectors.dns-tunnel.name-len-min",
        "mean length from which names are long",
        anomaly.dns_tunnel.name_len_min,
        number
    ),
    key!(
        "detectors.dns-tunnel.half-life-secs",
        "seconds in which the count halves",
        anomaly.dns_tunnel.half_life_secs,
        number
    ),
    key!(
        "detectors.dns-tunnel.slow-bytes-min",
        "information bytes of a slow tunnel, with a half-life of an hour",
        anomaly.dns_tunnel.slow_bytes_min,
        number
    ),
    key!(
        "detectors.dns-tunnel.slow-minutes-min",
        "minutes of the last 64 in which a slow tunnel asked",
        anomaly.dns_tunnel.slow_minutes_min,
        number
    ),
    key!(
        "detectors.dns-tunnel.domains",
        "clients and domains watched",
        anomaly.dns_tunnel.domains,
        count
    ),
    key!(
        "detectors.dns-tunnel.off-secs",
        "quiet seconds that close an incident",
        anomaly.dns_tunnel.off_secs,
        number
    ),
    key!(
        "detectors.icmp-tunnel.mismatches-min",
        "echo replies that differ from their requests",
        anomaly.icmp_tunnel.mismatches_min,
        number
    ),
    key!(
        "detectors.icmp-tunnel.pairs",
        "pairs of hosts watched",
        anomaly.icmp_tunnel.pairs,
        count
    ),
    key!(
        "detectors.icmp-tunnel.off-secs",
        "quiet seconds that close an incident",
        anomaly.icmp_tunnel.off_secs,
        number
    ),
    key!(
        "detectors.p2p.flows-min",
        "flows of a client that show it",
        anomaly.p2p.flows_min,
        number
    ),
    key!(
        "detectors.p2p.clients",
        "clients watched",
        anomaly.p2p.clients,
        count
    ),
    key!(
        "detectors.p2p.off-secs",
        "quiet seconds that close an incident",
        anomaly.p2p.off_secs,
        number
    ),
    key!(
        "detectors.vpn-tor.flows-min",
        "flows of a client that show it",
        anomaly.vpn_tor.flows_min,
        number
    ),
    key!(
        "detectors.vpn-tor.clients",
        "clients watched",
        anomaly.vpn_tor.clients,
        count
    ),
    key!(
        "detectors.vpn-tor.off-secs",
        "quiet seconds that close an incident",
        anomaly.vpn_tor.off_secs,
        number
    ),
    key!(
        "detectors.proxy-tunnel.flows-min",
        "flows of a client that show it",
        anomaly.proxy_tunnel.flows_min,
        number
    ),
    key!(
        "detectors.proxy-tunnel.clients",
        "clients watched",
        anomaly.proxy_tunnel.clients,
        count
    ),
    key!(
        "detectors.proxy-tunnel.off-secs",
        "quiet seconds that close an incident",
        anomaly.proxy_tunnel.off_secs,
        number
    ),
    key!(
        "detectors.wrong-port.flows-min",
        "flows of a client that show it",
        anomaly.wrong_port.flows_min,
        number
    ),
    key!(
        "detectors.wrong-port.clients",
        "clients watched",
        anomaly.wrong_port.clients,
        count
    ),
    key!(
        "detectors.wrong-port.off-secs",
        "quiet seconds that close an incident",
        anomaly.wrong_port.off_secs,
        number
    ),
    key!(
        "detectors.dga.invented-min",
        "distinct failed domains that look invented",
        anomaly.dga.invented_min,
        number
    ),
    key!(
        "detectors.dga.failed-min",
        "distinct failed domains",
        anomaly.dga.failed_min,
        number
    ),
    key!(
        "detectors.dga.paced-min",
        "distinct domains asked for at an even pace, some of which do not exist",
        anomaly.dga.paced_min,
        number
    ),
    key!(
        "detectors.dga.window-secs",
        "seconds of the window",
        anomaly.dga.window_secs,
        number
    ),
    key!(
        "detectors.dga.clients",
        "clients watched",
        anomaly.dga.clients,
        count
    ),
    key!(
        "detectors.dga.off-secs",
        "quiet seconds that close an incident",
        anomaly.dga.off_secs,
        number
    ),
    key!(
        "detectors.request-flood.requests-min",
        "requests of a client in ten seconds",
        anomaly.request_flood.requests_min,
        number
    ),
    key!(
        "detectors.request-flood.same-min",
        "requests for one path in ten seconds",
        anomaly.request_flood.same_min,
        number
    ),
    key!(
        "detectors.request-flood.clients",
        "clients watched",
        anomaly.request_flood.clients,
        count
    ),
    key!(
        "detectors.request-flood.off-secs",
        "quiet seconds that close an incident",
        anomaly.request_flood.off_secs,
        number
    ),
];

pub(super) fn show<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(b) => Ok(*b),
        Value::String(s) => match s.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("wants true or false, not '{s}'")),
        },
        other => Err(format!("wants true or false, not {other}")),
    }
}

/// A whole number with an optional unit (b, kb, mb, gb, kib, mib, gib; all powers of 1024, as in Suricata).
pub(super) fn size(value: &Value) -> Result<u64, String> {
    let text = match value {
        Value::Integer(n) => {
            return u64::try_from(*n).map_err(|_| format!("wants a number of at least 0, not {n}"));
        }
        Value::String(s) => s.trim().to_ascii_lowercase(),
        other => return Err(format!("wants a number, not {other}")),
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u64 = match text.get(digits.len()..).unwrap_or_default().trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => {
            return Err(format!(
                "wants a number, with kb, mb or gb if you like, not '{text}'"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("wants a number, not '{text}'"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("'{text}' is too large"))
}

pub(super) fn number(value: &Value) -> Result<u32, String> {
    u32::try_from(size(value)?).map_err(|_| format!("wants at most {}", u32::MAX))
}

fn port(value: &Value) -> Result<u16, String> {
    u16::try_from(size(value)?).map_err(|_| "wants a port, 0 to 65535".to_owned())
}

fn address(value: &Value) -> Result<IpAddr, String> {
    let text = text(value)?;
    text.parse()
        .map_err(|_| format!("wants an IP address, not '{text}'"))
}

fn small(value: &Value) -> Result<u8, String> {
    u8::try_from(size(value)?).map_err(|_| "wants at most 255".to_owned())
}

pub(super) fn count(value: &Value) -> Result<usize, String> {
    let wanted = number(value)? as usize;
    if wanted == 0 {
        Err("wants at least 1".to_owned())
    } else {
        Ok(wanted)
    }
}

pub(super) fn share(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Float(f) => Some(*f),
        Value::Integer(n) => Some(*n as f64),
        Value::String(s) => s.parse().ok(),
        _ => None,
    };
    number
        .filter(|n| (0.0..=1.0).contains(n))
        .ok_or_else(|| format!("wants a number from 0 to 1, not {value}"))
}

fn workers(value: &Value) -> Result<u16, String> {
    if value.as_str() == Some("fused") {
        return Ok(0);
    }
    u16::try_from(size(value)?)
        .ok()
        .filter(|n| *n <= 256)
        .ok_or_else(|| "wants \"fused\" or 0 to 256".to_owned())
}

/// An exception policy by Suricata's names; `auto`: fail open.
pub(super) fn exception_policy(name: &str) -> Result<ExceptionPolicy, String> {
    if name == "auto" {
        return Ok(ExceptionPolicy::Ignore);
    }
    ExceptionPolicy::from_name(name).ok_or_else(|| {
        format!(
            "wants ignore, pass-flow, pass-packet, bypass, drop-flow, drop-packet, reject, rejectboth or auto, not '{name}'"
        )
    })
}

fn exception_policy_name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    exception_policy(&name).map(|_| name)
}

/// What to do with urgent data, by Suricata's names.
fn urgent_policy(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    match UrgentPolicy::from_name(&name) {
        Some(_) => Ok(name),
        None => Err(format!("wants oob, inline, drop or gap, not '{name}'")),
    }
}

fn urgent_limit_policy(value: &Value) -> Result<String, String> {
    match urgent_policy(value)?.as_str() {
        "oob" => Err("wants inline, drop or gap, not 'oob'".to_owned()),
        name => Ok(name.to_owned()),
    }
}

fn text(value: &Value) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("wants a string, not {value}"))
}

fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

fn some_path(value: &Value) -> Result<Option<PathBuf>, String> {
    path(value).map(Some)
}

fn paths(value: &Value) -> Result<Vec<PathBuf>, String> {
    match value {
        Value::Array(list) => list.iter().map(path).collect(),
        one => path(one).map(|p| vec![p]),
    }
}

/// A list of strings; one string, or several with commas, will do.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(text(one)?
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()),
    }
}

fn some_text(value: &Value) -> Result<Option<String>, String> {
    text(value).map(Some)
}

fn target(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    if !text.is_empty() {
        crate::sink::syslog::Target::parse(&text)?;
    }
    Ok(text)
}

fn level(value: &Value) -> Result<Option<Level>, String> {
    let name = text(value)?;
    Level::from_name(&name)
        .map(Some)
        .ok_or_else(|| format!("wants GREEN, YELLOW, ORANGE or RED, not '{name}'"))
}
