//! The `stats` record: counters of the traffic by Suricata's names; under `sekisho` what grading removed as noise and why,
//! and the hosts of ours with their services.
//!
//! Only what is counted is named: a counter of Suricata's that has no meaning here (caches, pools) is left out. On replay
//! nothing is in it that depends on the number of workers.

use crate::alert::Json;
use crate::asset::{AssetMap, Host, Product, Status, roles};
use crate::decode::{DecodeStats, DefragStats};
use crate::flow::FlowStats;
use crate::grade::Grader;
use crate::grade::ledger::Ledger;
use crate::packet::Timestamp;
use crate::stream::StreamStats;

/// Lines of a stage of the noise ledger.
const LINES: usize = 16;

/// What went through.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'a> {
    /// Decoding.
    pub decoder: &'a DecodeStats,
    /// Defragmentation.
    pub defrag: &'a DefragStats,
    /// Frames and packets that made decoding or analysis fail.
    pub panics: u64,
    /// Flows, all workers'.
    pub flow: &'a FlowStats,
    /// Streams, all workers'.
    pub stream: &'a StreamStats,
    /// Rules that work, and rules that were refused.
    pub rules: (u64, u64),
}

/// Writes the line (without the newline): from the first time to now, at most so many hosts; none of them, and nothing of
/// ours, when that is not wanted.
pub fn write(
    out: &mut Vec<u8>,
    grader: &Grader,
    (since, now): (Timestamp, Timestamp),
    traffic: Option<&Traffic<'_>>,
    hosts: Option<usize>,
) {
    let mut json = Json::new(out);
    json.begin()
        .str("timestamp", now.eve())
        .str("event_type", "stats");
    json.object("stats").num("uptime", now.secs_since(since));
    if let Some(traffic) = traffic {
        counters(&mut json, traffic, grader.counts.levels.iter().sum());
    }
    json.end();
    if let Some(hosts) = hosts {
        json.object("sekisho");
        summary(&mut json, grader.ledger(), grader.assets(), hosts);
        json.num("raised", grader.counts.raised);
        if let Some(traffic) = traffic {
            json.num("panics", traffic.panics);
        }
        json.end();
    }
    json.end();
}

/// The members by Suricata's names.
fn counters(json: &mut Json<'_>, traffic: &Traffic<'_>, alerts: u64) {
    let Traffic {
        decoder: d,
        defrag,
        flow,
        stream,
        ..
    } = traffic;
    json.object("decoder");
    let [vlan, qinq, qinqinq] = d.vlan;
    for (name, value) in [
        ("pkts", d.packets),
        ("bytes", d.bytes),
        ("invalid", d.invalid),
        ("ipv4", d.ipv4),
        ("ipv6", d.ipv6),
        ("ethernet", d.ethernet),
        ("arp", d.arp),
        ("unknown_ethertype", d.ethertype_unknown),
        ("chdlc", d.chdlc),
        ("raw", d.raw),
        ("null", d.null),
        ("sll", d.sll),
        ("tcp", d.tcp),
        ("udp", d.udp),
        ("sctp", d.sctp),
        ("esp", d.esp),
        ("icmpv4", d.icmpv4),
        ("icmpv6", d.icmpv6),
        ("igmp", d.igmp),
        ("ppp", d.ppp),
        ("pppoe", d.pppoe),
        ("geneve", d.geneve),
        ("gre", d.gre),
        ("vlan", vlan),
        ("vlan_qinq", qinq),
        ("vlan_qinqinq", qinqinq),
        ("vxlan", d.vxlan),
        ("vntag", d.vntag),
        ("etag", d.etag),
        ("teredo", d.teredo),
        ("ipv4_in_ipv4", d.ipv4_in_ipv4),
        ("ipv6_in_ipv4", d.ipv6_in_ipv4),
        ("ipv4_in_ipv6", d.ipv4_in_ipv6),
        ("ipv6_in_ipv6", d.ipv6_in_ipv6),
        ("mpls", d.mpls),
        ("erspan", d.erspan),
        ("nsh", d.nsh),
        ("avg_pkt_size", d.bytes / d.packets.max(1)),
    ] {
        json.num(name, value);
    }
    json.end();
    json.object("defrag");
    for (name, fragments, whole) in [
        ("ipv4", defrag.ipv4_fragments, defrag.ipv4_reassembled),
        ("ipv6", defrag.ipv6_fragments, defrag.ipv6_reassembled),
    ] {
        json.object(name)
            .num("fragments", fragments)
            .num("reassembled", whole)
            .end();
    }
    json.end();
    let [tcp, udp, icmpv4, icmpv6, _] = flow.opened;
    json.object("flow")
        .num("total", flow.opened.iter().sum::<u64>())
        .num("tcp", tcp)
        .num("udp", udp)
        .num("icmpv4", icmpv4)
        .num("icmpv6", icmpv6)
        .num("tcp_reuse", flow.tcp_reuse)
        .end();
    json.object("tcp")
        .num("sessions", stream.sessions)
        .num("midstream_pickups", stream.midstream_pickups)
        .num("invalid_checksum", stream.invalid_checksum)
        .num("reassembly_gap", stream.gaps)
        .num("overlap", stream.overlaps)
        .num("overlap_diff_data", stream.overlaps_different)
        .num("stream_depth_reached", stream.depth_reached)
        .end();
    let (loaded, failed) = traffic.rules;
    json.object("detect").num("alert", alerts).array("engines");
    json.begin()
        .num("id", 0u64)
        .num("rules_loaded", loaded)
        .num("rules_failed", failed)
        .end();
    json.end_array().end();
}

/// The members `noise` and `assets`.
pub fn summary(json: &mut Json<'_>, ledger: &Ledger, assets: Option<&AssetMap>, hosts: usize) {
    ledger.write(json, LINES);
    let Some(assets) = assets else { return };
    let (ours, all) = assets.list(hosts);
    json.object("assets")
        .num("known", all as u64)
        .num("evicted", assets.evicted())
        .array("hosts");
    for (address, host) in ours {
        one(json, &address.to_string(), host);
    }
    json.end_array().end();
}

fn one(json: &mut Json<'_>, address: &str, host: &Host) {
    json.begin()
        .str("address", address)
        .str("first", host.first.eve())
        .str("last", host.last.eve());
    if !host.system().is_empty() {
        json.str("system", host.system());
    }
    let duties = roles::duties(host);
    if !duties.is_empty() {
        json.array("roles");
        for duty in duties {
            json.text(duty);
        }
        json.end_array();
    }
    let mut services: Vec<_> = host
        .services()
        .filter(|s| s.status == Status::Listening)
        .collect();
    services.sort_by_key(|s| (s.proto, s.port));
    json.array("services");
    for service in services {
        json.begin()
            .num("proto", service.proto)
            .num("port", service.port)
            .str("status", service.status.as_str())
            .str("seen", service.seen.eve())
            .num("clients", service.clients.estimate());
        if service.product != Product::Unknown {
            json.str("software", service.product.as_str());
            if service.version.0 != 0 {
                json.str("version", service.version.to_string());
            }
        }
        json.end();
    }
    json.end_array().end();
}
