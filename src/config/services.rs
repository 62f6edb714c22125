//! `[[service]]`: services that are asked whether they answer.
//!
//! ```toml
//! [[service]]
//! name = "shop"
//! address = "192.0.2.10"
//! check = "http"               # ping, tcp, dns or http
//! port = 80                    # default: 80 (http), 53 (dns)
//! ask = "/health"              # path (http) or name (dns)
//! every-secs = 30
//! timeout-ms = 2000
//! ```

use serde::Deserialize;

use std::net::IpAddr;

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
    if text.every_secs == 0 || text.timeout_ms == 0 {
        errors.push("every-secs, timeout-ms: want at least 1".to_owned());
    }
    if errors.is_empty() {
        Ok(text)
    } else {
        Err(errors)
    }
}
