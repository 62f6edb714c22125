//! `[[service]]`: services that should answer. They are asked (`active`), and what the traffic shows of them is watched
//! (`passive`).
//!
//! ```toml
//! [[service]]
//! name = "shop"
//! address = "192.0.2.10"
//! check = "http"               # ping, tcp, dns or http
//! port = 80                    # default: 80 (http), 53 (dns)
//! ask = "/health"              # path (http) or name (dns)
//! every-secs = 30
//! timeout-ms = 2000            # what takes longer is no answer, or a slow one
//! active = true                # false: the sensor has no address, or no way there
//! passive = true
//! ```

use std::net::IpAddr;

use serde::Deserialize;

use crate::detect::anomaly::service_impaired::{DeclaredService, SERVICES_MAX, ServiceCheck};

/// A service as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceText {
    /// For people.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// `ping`, `tcp`, `dns` or `http`.
    pub check: String,
    /// Its port; 0: the usual one.
    #[serde(default)]
    pub port: u16,
    /// Path or name.
    #[serde(default)]
    pub ask: String,
    /// Seconds between two tries.
    #[serde(default = "every")]
    pub every_secs: u32,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: u32,
    /// Whether it is asked.
    #[serde(default = "yes")]
    pub active: bool,
    /// Whether the traffic is watched for it.
    #[serde(default = "yes")]
    pub passive: bool,
}

impl ServiceText {
    /// What the detectors know of it.
    pub fn declared(&self) -> Option<DeclaredService> {
        Some(DeclaredService {
            name: self.name.clone(),
            address: self.address,
            port: self.port,
            check: ServiceCheck::from_name(&self.check)?,
            timeout_ms: self.timeout_ms,
        })
    }
}

/// Adds a service to those that are there.
pub fn declare(
    text: ServiceText,
    asked: &mut Vec<ServiceText>,
    watched: &mut Vec<DeclaredService>,
) -> Result<(), Vec<String>> {
    if text.passive {
        if watched.len() >= SERVICES_MAX {
            return Err(vec![format!("at most {SERVICES_MAX} are watched")]);
        }
        watched.extend(text.declared());
    }
    if text.active {
        asked.push(text);
    }
    Ok(())
}

fn yes() -> bool {
    true
}

fn every() -> u32 {
    30
}

fn timeout() -> u32 {
    2_000
}

/// Reads one. All that is wrong with it.
pub fn service(value: &toml::Value) -> Result<ServiceText, Vec<String>> {
    let mut text: ServiceText = value
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| vec![e.message().to_owned()])?;
    let mut errors = Vec::new();
    text.port = match (text.check.as_str(), text.port) {
        ("http", 0) => 80,
        ("dns", 0) => 53,
        ("tcp", 0) => {
            errors.push("port: tcp wants one".to_owned());
            0
        }
        ("ping" | "http" | "dns" | "tcp", port) => port,
        (other, _) => {
            errors.push(format!(
                "check: wants ping, tcp, dns or http, not '{other}'"
            ));
            0
        }
    };
    if text.check == "dns" && text.ask.is_empty() {
        errors.push("ask: dns wants a name".to_owned());
    }
    if !text.active && !text.passive {
        errors.push("active, passive: one of them at least".to_owned());
    }
    if text.every_secs == 0 || text.timeout_ms == 0 {
        errors.push("every-secs, timeout-ms: want at least 1".to_owned());
    }
    if errors.is_empty() {
        Ok(text)
    } else {
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServiceText, Vec<String>> {
        service(&toml::Value::Table(text.parse().expect("toml")))
    }

    #[test]
    fn a_service_is_asked_and_watched_unless_it_says_otherwise() {
        let base = "name = \"shop\"\naddress = \"192.0.2.10\"\ncheck = \"http\"\n";
        let (mut asked, mut watched) = (Vec::new(), Vec::new());
        for more in ["", "active = false", "passive = false"] {
            let text = read(&format!("{base}{more}")).expect("reads");
            assert_eq!(text.port, 80);
            declare(text, &mut asked, &mut watched).expect("room");
        }
        assert_eq!((asked.len(), watched.len()), (2, 2));
        let neither = read(&format!("{base}active = false\npassive = false"));
        assert!(neither.is_err());
        let wrong = read("name = \"x\"\naddress = \"192.0.2.1\"\ncheck = \"dns\"\nevery-secs = 0");
        assert_eq!(wrong.expect_err("wrong").len(), 2);
    }
}
