//! The `stats` record: what grading removed as noise and why, and the hosts of ours with their services.
//!
//! Suricata's counters are not imitated: `stats` carries the uptime alone, everything else is under `sekisho`.

use crate::alert::Json;
use crate::asset::{AssetMap, Host, Product, Status, roles};
use crate::grade::Grader;
use crate::grade::ledger::Ledger;
use crate::packet::Timestamp;

/// Lines of a stage of the noise ledger.
const LINES: usize = 16;

/// Writes the line (without the newline): from the first time to now, at most so many hosts.
pub fn write(
    out: &mut Vec<u8>,
    grader: &Grader,
    (since, now): (Timestamp, Timestamp),
    hosts: usize,
) {
    let mut json = Json::new(out);
    json.begin()
        .str("timestamp", now.eve())
        .str("event_type", "stats");
    json.object("stats")
        .num("uptime", now.secs_since(since))
        .end();
    json.object("sekisho");
    summary(&mut json, grader.ledger(), grader.assets(), hosts);
    json.num("raised", grader.counts.raised).end().end();
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
