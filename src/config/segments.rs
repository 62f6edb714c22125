//! `[[segment]]` and `[[asset]]` of the configuration.
//!
//! ```toml
//! [[segment]]
//! name = "dmz"
//! role = "dmz"                     # edge, dmz or intranet
//! interfaces = ["eth1"]            # any when left out
//! vlans = [20]                     # any when left out
//! subnets = ["192.0.2.0/24"]       # whose victims (or attackers) belong here
//! home = ["192.0.2.0/24"]          # whose hosts are ours; default: subnets
//! disable = [2100498]              # signatures that do not alert here
//! [segment.exception]              # inline: what becomes of traffic that cannot be inspected: pass or drop
//! worker-lost = "pass"             # also ring-full, parser-error, process-lost
//! midstream-policy = "drop-flow"   # and memcap-policy: by Suricata's names, instead of stream.midstream-policy and so on
//! [segment.level]
//! 1900001 = "RED"                  # level whatever the arithmetic says
//! [segment.vars]
//! HOME_NET = "[192.0.2.0/24]"      # default: home, when it or subnets is given
//! [segment.detectors.port-scan]    # thresholds of detectors that differ here
//! targets-min = 30
//! [segment.threshold.1900002]
//! type = "limit"                   # limit, threshold, both
//! track = "by_src"                 # by_src, by_dst, by_both, by_rule
//! count = 1
//! seconds = 60
//!
//! [[asset]]
//! address = "192.0.2.10"           # or a subnet
//! critical = true
//! roles = ["scanner"]              # scanner, monitor, resolver, mail, proxy, backup, router, dhcp
//! ```

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::keys::exception_policy;
use crate::alert::Level;
use crate::detect::anomaly::place::HostRole;
use crate::grade::{Asset, Exceptions, OnException, Role, RuleChanges, Segment, Segments, Subnet};
use crate::rules::{Threshold, ThresholdKind, ThresholdTrack};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentText {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    interfaces: Vec<String>,
    #[serde(default)]
    vlans: Vec<u16>,
    #[serde(default)]
    subnets: Vec<String>,
    home: Option<Vec<String>>,
    #[serde(default)]
    disable: Vec<u32>,
    #[serde(default)]
    level: HashMap<String, String>,
    #[serde(default)]
    threshold: HashMap<String, ThresholdText>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    detectors: toml::Table,
    #[serde(default)]
    exception: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThresholdText {
    #[serde(rename = "type")]
    kind: String,
    track: String,
    count: u32,
    seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssetText {
    address: String,
    #[serde(default)]
    critical: bool,
    #[serde(default)]
    roles: Vec<String>,
}

/// Adds a segment. All that is wrong with it at once.
pub fn segment(
    segments: &mut Segments,
    value: &toml::Value,
    place: &str,
) -> Result<(), Vec<String>> {
    let text: SegmentText = value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| vec![e.message().to_owned()])?;
    let mut errors = Vec::new();
    if text.name.is_empty() {
        errors.push("name is missing".to_owned());
    }
    let role = role(&text.role).unwrap_or_else(|message| {
        errors.push(format!("role: {message}"));
        Role::Dmz
    });
    let subnets = nets(&text.subnets, &mut errors);
    let home = match &text.home {
        Some(home) => nets(home, &mut errors),
        None if subnets.is_empty() => Segment::default().home,
        None => subnets.clone(),
    };
    let mut variables = text.vars.clone();
    if !variables.contains_key("HOME_NET") && (text.home.is_some() || !subnets.is_empty()) {
        let list: Vec<String> = home.iter().map(ToString::to_string).collect();
        // A segment of everything says nothing about what is at home: there would be no $EXTERNAL_NET.
        if !list.is_empty() && !home.iter().any(Subnet::is_everything) {
            variables.insert("HOME_NET".to_owned(), format!("[{}]", list.join(",")));
        }
    }
    let mut detectors = Vec::new();
    leaves("detectors", &text.detectors, place, &mut detectors);
    let mut changes = RuleChanges {
        disabled: text.disable,
        ..RuleChanges::default()
    };
    for (sid, level) in &text.level {
        match (sid.parse(), Level::from_name(level)) {
            (Ok(sid), Some(level)) => drop(changes.levels.insert(sid, level)),
            _ => errors.push(format!(
                "level.{sid}: wants a signature id and GREEN, YELLOW, ORANGE or RED, not '{level}'"
            )),
        }
    }
    for (sid, wanted) in &text.threshold {
        match (sid.parse(), threshold(wanted)) {
            (Ok(sid), Ok(threshold)) => drop(changes.thresholds.insert(sid, threshold)),
            (Err(_), _) => errors.push(format!("threshold.{sid}: wants a signature id")),
            (_, Err(message)) => errors.push(format!("threshold.{sid}: {message}")),
        }
    }
    let mut exceptions = Exceptions::default();
    for (name, wanted) in &text.exception {
        let name = name.replace('_', "-");
        let suricatas = match name.as_str() {
            "midstream-policy" => Some(&mut exceptions.midstream),
            "memcap-policy" => Some(&mut exceptions.memcap),
            _ => None,
        };
        if let Some(slot) = suricatas {
            match exception_policy(wanted) {
                Ok(policy) => *slot = Some(policy),
                Err(message) => errors.push(format!("exception.{name}: {message}")),
            }
            continue;
        }
        let slot = match name.replace('_', "-").as_str() {
            "ring-full" => &mut exceptions.ring_full,
            "worker-lost" => &mut exceptions.worker_lost,
            "parser-error" => &mut exceptions.parser_error,
            "process-lost" => &mut exceptions.process_lost,
            other => {
                errors.push(format!(
                    "exception.{other}: no such exception (ring-full, worker-lost, parser-error, process-lost, midstream-policy, memcap-policy)"
                ));
                continue;
            }
        };
        match OnException::from_name(wanted) {
            Some(policy) => *slot = policy,
            None => errors.push(format!(
                "exception.{name}: wants pass or drop, not '{wanted}'"
            )),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let at = segments.list.len().saturating_sub(1);
    segments.list.insert(
        at,
        Segment {
            name: text.name,
            role,
            interfaces: text.interfaces,
            vlans: text.vlans,
            subnets,
            home,
            changes,
            variables,
            detectors,
            exceptions,
        },
    );
    Ok(())
}

/// The role of a name.
pub fn role(name: &str) -> Result<Role, String> {
    match name {
        "edge" => Ok(Role::Edge),
        "dmz" => Ok(Role::Dmz),
        "intranet" => Ok(Role::Intranet),
        other => Err(format!("wants edge, dmz or intranet, not '{other}'")),
    }
}

/// The values of nested tables with their dotted keys, and where they were said.
fn leaves(
    prefix: &str,
    table: &toml::Table,
    place: &str,
    out: &mut Vec<(String, toml::Value, String)>,
) {
    for (key, value) in table {
        let key = format!("{prefix}.{}", key.replace('_', "-"));
        match value {
            toml::Value::Table(inner) => leaves(&key, inner, place, out),
            value => out.push((key, value.clone(), place.to_owned())),
        }
    }
}

fn nets(texts: &[String], errors: &mut Vec<String>) -> Vec<Subnet> {
    texts
        .iter()
        .filter_map(|text| Subnet::parse(text).map_err(|e| errors.push(e)).ok())
        .collect()
}

fn threshold(text: &ThresholdText) -> Result<Threshold, String> {
    let kind = match text.kind.as_str() {
        "limit" => ThresholdKind::Limit,
        "threshold" => ThresholdKind::Threshold,
        "both" => ThresholdKind::Both,
        other => {
            return Err(format!(
                "type: wants limit, threshold or both, not '{other}'"
            ));
        }
    };
    let track = match text.track.as_str() {
        "by_src" => ThresholdTrack::Source,
        "by_dst" => ThresholdTrack::Destination,
        "by_both" => ThresholdTrack::Both,
        "by_rule" => ThresholdTrack::Rule,
        other => {
            return Err(format!(
                "track: wants by_src, by_dst, by_both or by_rule, not '{other}'"
            ));
        }
    };
    if text.count == 0 {
        return Err("count: wants at least 1".to_owned());
    }
    Ok(Threshold {
        kind,
        track,
        count: text.count,
        seconds: text.seconds,
        multiplier: 1,
        unique: None,
    })
}

/// Adds an asset.
pub fn asset(segments: &mut Segments, value: &toml::Value) -> Result<(), Vec<String>> {
    let text: AssetText = value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| vec![e.message().to_owned()])?;
    let mut errors = Vec::new();
    let subnet = Subnet::parse(&text.address).map_err(|e| errors.push(e));
    let mut roles = Vec::new();
    for name in &text.roles {
        match HostRole::from_name(name) {
            Some(role) => roles.push(role),
            None => {
                let all: Vec<&str> = HostRole::ALL.iter().map(|r| r.as_str()).collect();
                errors.push(format!("roles: wants {}, not '{name}'", all.join(", ")));
            }
        }
    }
    let (Ok(subnet), true) = (subnet, errors.is_empty()) else {
        return Err(errors);
    };
    segments.assets.push(Asset {
        subnet,
        critical: text.critical,
        roles,
    });
    Ok(())
}
