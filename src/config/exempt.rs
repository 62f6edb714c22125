//! `[[exempt]]` of the configuration.
//!
//! ```toml
//! [[exempt]]
//! reason = "weekly scan by the security team"   # said in the noise ledger
//! detectors = ["port_scan", "host_scan"]        # by name; or sids = [2100498]; any when both are left out
//! sources = ["10.0.9.5"]                        # attackers; victims = [...], hosts = [...] (either end)
//! roles = ["scanner"]                           # the attacker has one of these declared roles
//! segments = ["lan"]
//! days = ["sat", "sun"]                         # every day when left out
//! hours = "22:00-04:00"                         # UTC of the packets; over midnight when the end is before the begin
//! effect = "mute"                               # or "green"
//! red = false                                   # whether RED alerts are exempt too
//! ```

use serde::Deserialize;

use crate::detect::anomaly::DETECTORS;
use crate::detect::anomaly::place::HostRole;
use crate::grade::{Effect, Exemption, Subnet, Window};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    reason: String,
    #[serde(default)]
    sids: Vec<u32>,
    #[serde(default)]
    detectors: Vec<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    victims: Vec<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    segments: Vec<String>,
    days: Option<Vec<String>>,
    hours: Option<String>,
    effect: Option<String>,
    #[serde(default)]
    red: bool,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Adds an exemption. All that is wrong with it at once.
pub fn read(exemptions: &mut Vec<Exemption>, value: &toml::Value) -> Result<(), Vec<String>> {
    let text: Text = value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| vec![e.message().to_owned()])?;
    let mut errors = Vec::new();
    let mut nets = |texts: &[String]| -> Vec<Subnet> {
        let read = texts.iter().map(|t| Subnet::parse(t));
        read.filter_map(|net| net.map_err(|e| errors.push(e)).ok())
            .collect()
    };
    let (sources, victims, hosts) = (nets(&text.sources), nets(&text.victims), nets(&text.hosts));
    for name in &text.detectors {
        if !DETECTORS.iter().any(|d| d.name == name) {
            errors.push(format!("detectors: there is no '{name}'"));
        }
    }
    let mut roles = Vec::new();
    for name in &text.roles {
        match HostRole::from_name(name) {
            Some(role) => roles.push(role),
            None => errors.push(format!("roles: there is no '{name}'")),
        }
    }
    let effect = match text.effect.as_deref() {
        None | Some("mute") => Effect::Mute,
        Some("green") => Effect::Green,
        Some(other) => {
            errors.push(format!("effect: wants mute or green, not '{other}'"));
            Effect::Mute
        }
    };
    let when = window(text.days.as_deref(), text.hours.as_deref());
    let when = when.unwrap_or_else(|e| {
        errors.push(e);
        None
    });
    let says_nothing = text.sids.is_empty()
        && text.detectors.is_empty()
        && sources.is_empty()
        && victims.is_empty()
        && hosts.is_empty()
        && roles.is_empty();
    if says_nothing && errors.is_empty() {
        errors.push("names no rule, detector, host or role: it would mute everything".to_owned());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    exemptions.push(Exemption {
        sids: text.sids,
        detectors: text.detectors,
        sources,
        victims,
        hosts,
        roles,
        segments: text.segments,
        when,
        effect,
        red: text.red,
        reason: text.reason,
    });
    Ok(())
}

fn window(days: Option<&[String]>, hours: Option<&str>) -> Result<Option<Window>, String> {
    if days.is_none() && hours.is_none() {
        return Ok(None);
    }
    let mut bits = 0;
    for day in days.unwrap_or_default() {
        let at = DAYS.iter().position(|d| d == day);
        let at = at.ok_or_else(|| format!("days: wants {}, not '{day}'", DAYS.join(", ")))?;
        bits |= 1 << at;
    }
    let (from, to) = match hours {
        None => (0, 1_440),
        Some(text) => {
            let wrong = || format!("hours: wants HH:MM-HH:MM, not '{text}'");
            let (from, to) = text.split_once('-').ok_or_else(wrong)?;
            (
                minute(from).ok_or_else(wrong)?,
                minute(to).ok_or_else(wrong)?,
            )
        }
    };
    Ok(Some(Window {
        days: if days.is_none() { 0x7f } else { bits },
        from_minute: from,
        to_minute: to,
    }))
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60 || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Exemption, Vec<String>> {
        let value: toml::Value = toml::from_str(text).expect("TOML");
        let mut list = Vec::new();
        read(&mut list, &value).map(|()| list.remove(0))
    }

    #[test]
    fn an_exemption_is_read_whole() {
        let one = parse(
            r#"
reason = "backup"
detectors = ["port_scan"]
sources = ["10.0.9.0/24"]
days = ["sat", "sun"]
hours = "22:00-04:30"
effect = "green"
"#,
        )
        .expect("reads");
        let window = one.when.expect("a window");
        assert_eq!(
            (window.days, window.from_minute, window.to_minute),
            (0x60, 1_320, 270)
        );
        assert_eq!(
            (one.effect, one.sources.len(), one.red),
            (Effect::Green, 1, false)
        );
    }

    #[test]
    fn all_that_is_wrong_is_said_and_nothing_mutes_everything() {
        let wrong =
            parse("reason = \"x\"\ndetectors = [\"nap\"]\nhosts = [\"x\"]\nhours = \"7\"\n");
        assert_eq!(wrong.map_err(|e| e.len()).err(), Some(3));
        assert!(parse("reason = \"x\"\nsegments = [\"lan\"]\n").is_err());
    }
}
