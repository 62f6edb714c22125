//! Configuration: one TOML file, `--set key=value`, and the defaults. Everything is checked, and every error is reported
//! at once, before anything is opened.
//!
//! Every key stands once in [`keys::KEYS`] with its default, its unit and what it does; `config show` prints them with
//! where each value came from. A key that does not exist is an error that names the nearest one.
//! Segments and assets are lists of tables and are read by [`segments`].

mod detector_keys;
mod exempt;
mod interfaces;
mod keys;
mod operation;
mod overlay;
mod segments;
mod services;
mod views;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::app::Limits;
use crate::detect::anomaly::AnomalySettings;
use crate::grade::GradeSettings;
use crate::rules::dataset::DatasetText;
use crate::rules::{DataSettings, Variables};
use crate::sink::eve::EveSettings;
use crate::sink::syslog::SyslogSettings;

pub use detector_keys::is_table_size;
pub use interfaces::{Inline, InlineMethod, Listen, ListenMethod};
pub use keys::{KEYS, Key};
pub use operation::{OperationSettings, SOCKET};
pub use services::ServiceText;

/// All keys, those of detectors last.
pub fn all_keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(detector_keys::DETECTOR_KEYS)
}

/// All settings in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Rule files, in order.
    pub rule_files: Vec<PathBuf>,
    /// Variables of rules (`HOME_NET`, `HTTP_PORTS` …).
    pub variables: Variables,
    /// classification.config; `None`: the bundled one.
    pub classification_file: Option<PathBuf>,
    /// reference.config; `None`: the bundled one.
    pub reference_file: Option<PathBuf>,
    /// `host-os-policy`: network, prefix length, name of the system.
    pub host_os: Vec<(IpAddr, u8, String)>,
    /// Files besides the rules that rules ask about.
    pub data: DataSettings,
    /// Folder of data sets; `None`: `data` in the log folder.
    pub datasets_folder: Option<PathBuf>,
    /// Folder for logs.
    pub log_dir: PathBuf,
    /// Folder for compiled rule databases; `None`: the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Signature workers; 0: all stages in one thread (fused).
    pub workers: u16,
    /// Whether the sensor acts inline (`--simulate-ips`).
    pub inline: bool,
    /// Whether checksums are ignored (`-k none`).
    pub ignore_checksums: bool,
    /// `stream.midstream`.
    pub midstream: bool,
    /// `stream.midstream-policy`.
    pub midstream_policy: String,
    /// `stream.reassembly.memcap-policy`.
    pub memcap_policy: String,
    /// `stream.reassembly.urgent.policy`: how urgent data is taken.
    pub urgent_policy: String,
    /// `stream.reassembly.urgent.oob-limit-policy`: how it is taken once a direction had 65,535 bytes out of band.
    pub urgent_limit_policy: String,
    /// `flow.memcap-policy`.
    pub flow_memcap_policy: String,
    /// `stream.async-oneside`.
    pub async_oneside: bool,
    /// `stream.reassembly.depth`, in bytes; 0: no limit.
    pub stream_depth_bytes: u64,
    /// `stream.memcap`, bytes of stream data over all workers.
    pub stream_memory_bytes: u64,
    /// `flow.max`: flows over all workers.
    pub flows_max: u32,
    /// `flow.forced-reports`: half-open connections given up for others that are logged one by one, per second of
    /// packet time.
    pub flow_forced_reports: u32,
    /// `app-layer.protocols.tls.encryption-handling`: track-only, bypass or full.
    pub tls_encryption_handling: String,
    /// Bounds of the application layer.
    pub limits: Limits,
    /// EVE output.
    pub eve: EveSettings,
    /// Syslog output.
    pub syslog: SyslogSettings,
    /// Behavioural detectors.
    pub anomaly: AnomalySettings,
    /// Grading and segments.
    pub grade: GradeSettings,
    /// Interfaces listened to (live).
    pub listen: Vec<Listen>,
    /// Pairs of ports, or queues of the kernel, that traffic passes through the sensor (live).
    pub bridges: Vec<Inline>,
    /// Milliseconds on one batch after which a worker counts as stuck (live).
    pub worker_stuck_ms: u64,
    /// Milliseconds that frames wait for a verdict before the exception policy decides (inline).
    pub verdict_timeout_ms: u64,
    /// How a running sensor is looked after.
    pub operation: OperationSettings,
    /// Thresholds of detectors that differ by the role of a segment.
    pub by_role: Vec<overlay::Override>,
    /// Whether a guardian process joins inline pairs when the sensor is gone (live).
    pub guardian: bool,
    /// Where each value came from, for those that are not defaults.
    pub origins: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rule_files: Vec::new(),
            variables: Variables::default(),
            classification_file: None,
            reference_file: None,
            host_os: Vec::new(),
            data: DataSettings::default(),
            datasets_folder: None,
            log_dir: PathBuf::from("./sekisho-log"),
            cache_dir: None,
            workers: 0,
            inline: false,
            ignore_checksums: false,
            midstream: false,
            midstream_policy: "ignore".to_owned(),
            memcap_policy: "ignore".to_owned(),
            urgent_policy: "oob".to_owned(),
            urgent_limit_policy: "drop".to_owned(),
            flow_memcap_policy: "ignore".to_owned(),
            async_oneside: false,
            stream_depth_bytes: 1 << 20,
            stream_memory_bytes: 256 << 20,
            flows_max: 262_144,
            flow_forced_reports: 4_096,
            tls_encryption_handling: "track-only".to_owned(),
            limits: Limits::default(),
            eve: EveSettings::default(),
            syslog: SyslogSettings {
                spool_bytes: 64 << 20,
                drain_ms: 2_000,
                ..SyslogSettings::default()
            },
            anomaly: AnomalySettings::default(),
            grade: GradeSettings::default(),
            listen: Vec::new(),
            bridges: Vec::new(),
            worker_stuck_ms: 1_000,
            verdict_timeout_ms: 250,
            operation: OperationSettings::default(),
            by_role: Vec::new(),
            guardian: true,
            origins: BTreeMap::new(),
        }
    }
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line, or `--set`.
    pub place: String,
    /// What.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The networks of a system: one, several with commas (in brackets, as Suricata has them), or a list.
fn host_os(system: &str, networks: &toml::Value) -> Result<Vec<(IpAddr, u8, String)>, String> {
    let known = crate::decode::OsPolicy::named(system).is_some()
        && crate::stream::OsPolicy::from_name(system).is_some();
    if !known {
        let names = crate::decode::OsPolicy::NAMES.iter().map(|(name, _)| *name);
        let names: Vec<&str> = names.collect();
        return Err(format!("is none of {}", names.join(", ")));
    }
    let mut all = Vec::new();
    let list: Vec<&str> = match networks {
        toml::Value::String(text) => vec![text],
        toml::Value::Array(list) => list
            .iter()
            .map(|item| item.as_str().ok_or("wants networks as strings"))
            .collect::<Result<_, _>>()?,
        other => return Err(format!("wants a list of networks, not {other}")),
    };
    let parts = list.into_iter().flat_map(|text| text.split(','));
    for part in parts.map(|p| p.trim_matches([' ', '[', ']'])) {
        let (address, prefix) = part
            .split_once('/')
            .map_or((part, None), |(a, p)| (a, Some(p)));
        let wrong = || format!("\"{part}\" is not an address or network");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(text) => text
                .parse()
                .ok()
                .filter(|p| *p <= whole)
                .ok_or_else(wrong)?,
            None => whole,
        };
        all.push((address, prefix, system.to_owned()));
    }
    Ok(all)
}

impl Config {
    /// Reads a file (if any) and then `key=value` settings. All errors at once.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self, Vec<ConfigError>> {
        let mut config = Self::default();
        let mut errors = Vec::new();
        if let Some(path) = file {
            match std::fs::read_to_string(path) {
                Ok(text) => config.read(&path.display().to_string(), &text, &mut errors),
                Err(error) => errors.push(ConfigError {
                    place: path.display().to_string(),
                    message: error.to_string(),
                }),
            }
        }
        for set in sets {
            let place = format!("--set {set}");
            match set.split_once('=') {
                Some((key, value)) => config.set(
                    &place,
                    key.trim(),
                    &toml::Value::String(value.trim().to_owned()),
                    &mut errors,
                ),
                None => errors.push(ConfigError {
                    place,
                    message: "wants KEY=VALUE".to_owned(),
                }),
            }
        }
        config.check_overlays(&mut errors);
        config.check_matrix(&mut errors);
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors)
        }
    }

    /// Takes the text of a file.
    pub fn read(&mut self, name: &str, text: &str, errors: &mut Vec<ConfigError>) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                let line = error.span().map_or(0, |span| {
                    text.get(..span.start)
                        .unwrap_or_default()
                        .lines()
                        .count()
                        .max(1)
                });
                errors.push(ConfigError {
                    place: format!("{name}:{line}"),
                    message: error.message().to_owned(),
                });
                return;
            }
        };
        for (key, value) in &table {
            self.take(name, text, key, value, errors);
        }
    }

    fn take(
        &mut self,
        name: &str,
        text: &str,
        key: &str,
        value: &toml::Value,
        errors: &mut Vec<ConfigError>,
    ) {
        let place = || format!("{name}:{}", line_of(text, key));
        match (key, value) {
            ("segment" | "asset" | "exempt", toml::Value::Array(list)) => {
                for (at, item) in list.iter().enumerate() {
                    let place = format!("{} ([[{key}]] number {})", place(), at + 1);
                    let read = match key {
                        "segment" => segments::segment(&mut self.grade.segments, item, &place),
                        "asset" => segments::asset(&mut self.grade.segments, item),
                        _ => exempt::read(&mut self.grade.exemptions, item),
                    };
                    if let Err(messages) = read {
                        errors.extend(messages.into_iter().map(|message| ConfigError {
                            place: place.clone(),
                            message,
                        }));
                    }
                }
            }
            ("interface" | "inline", toml::Value::Array(list)) => {
                for (at, item) in list.iter().enumerate() {
                    let read = if key == "interface" {
                        interfaces::listen(item).map(|l| self.listen.push(l))
                    } else {
                        interfaces::inline(item).map(|i| self.bridges.push(i))
                    };
                    if let Err(messages) = read {
                        let place = format!("{} ([[{key}]] number {})", place(), at + 1);
                        errors.extend(messages.into_iter().map(|message| ConfigError {
                            place: place.clone(),
                            message,
                        }));
                    }
                }
            }
            ("dataset", toml::Value::Array(list)) => {
                for (at, item) in list.iter().enumerate() {
                    let read = item.clone().try_into().map_err(|e| e.to_string());
                    let checked = read
                        .and_then(|text: DatasetText| self.data.datasets.info(&text).map(|_| text));
                    match checked {
                        Ok(text) => self.data.datasets.declared.push(text),
                        Err(message) => errors.push(ConfigError {
                            place: format!("{} ([[dataset]] number {})", place(), at + 1),
                            message: message.trim().to_owned(),
                        }),
                    }
                }
            }
            ("service", toml::Value::Array(list)) => {
                for (at, item) in list.iter().enumerate() {
                    let added = services::service(item).and_then(|service| {
                        let watched = &mut self.anomaly.service_impaired.services;
                        services::declare(service, &mut self.operation.services, watched)
                    });
                    match added {
                        Ok(()) => {}
                        Err(messages) => {
                            let place = format!("{} ([[service]] number {})", place(), at + 1);
                            errors.extend(messages.into_iter().map(|message| ConfigError {
                                place: place.clone(),
                                message,
                            }));
                        }
                    }
                }
            }
            ("host-os-policy", toml::Value::Table(systems)) => {
                for (system, networks) in systems {
                    let read = host_os(system, networks);
                    match read {
                        Ok(list) => self.host_os.extend(list),
                        Err(message) => errors.push(ConfigError {
                            place: place(),
                            message: format!("host-os-policy.{system}: {message}"),
                        }),
                    }
                }
            }
            ("vars", toml::Value::Table(vars)) => {
                for (variable, value) in vars {
                    match value.as_str() {
                        Some(value) => self.set_variable(variable, value),
                        None => errors.push(ConfigError {
                            place: place(),
                            message: format!("vars.{variable}: wants a string"),
                        }),
                    }
                }
            }
            ("role", toml::Value::Table(roles)) => {
                for (role, value) in roles {
                    let place = format!("{name}:{}", line_of(text, &format!("role.{role}")));
                    match (segments::role(role), value) {
                        (Ok(role), toml::Value::Table(inner)) => {
                            overlay::leaves("", inner, &place, &mut self.by_role, role);
                        }
                        (Err(message), _) => errors.push(ConfigError { place, message }),
                        (Ok(_), other) => errors.push(ConfigError {
                            place,
                            message: format!("role.{role}: wants a table, not {other}"),
                        }),
                    }
                }
            }
            (_, toml::Value::Table(inner)) => {
                for (name_in, value) in inner {
                    self.take(name, text, &format!("{key}.{name_in}"), value, errors);
                }
            }
            _ => self.set(&place(), key, value, errors),
        }
    }

    /// Sets one key.
    pub fn set(
        &mut self,
        place: &str,
        key: &str,
        value: &toml::Value,
        errors: &mut Vec<ConfigError>,
    ) {
        if let Some(variable) = key.strip_prefix("vars.") {
            match value.as_str() {
                Some(value) => self.set_variable(variable, value),
                None => errors.push(ConfigError {
                    place: place.to_owned(),
                    message: format!("{key}: wants a string"),
                }),
            }
            return;
        }
        let wanted = key.replace('_', "-");
        let Some(known) = all_keys().find(|k| k.name == wanted) else {
            let nearest =
                nearest(&wanted).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
            errors.push(ConfigError {
                place: place.to_owned(),
                message: format!("no such key '{key}'{nearest}"),
            });
            return;
        };
        match (known.set)(self, value) {
            Ok(()) => drop(self.origins.insert(known.name.to_owned(), place.to_owned())),
            Err(message) => errors.push(ConfigError {
                place: place.to_owned(),
                message: format!("{key}: {message}"),
            }),
        }
    }

    /// Ports when it is known as one or its name says so, addresses otherwise.
    fn set_variable(&mut self, name: &str, value: &str) {
        let ports = self.variables.ports.contains_key(name) || name.contains("PORT");
        let map = if ports {
            &mut self.variables.ports
        } else {
            &mut self.variables.addresses
        };
        map.insert(name.to_owned(), value.to_owned());
    }

    /// What is in force, one key a line, with where it came from.
    pub fn show(&self) -> String {
        let mut out = String::new();
        for key in all_keys() {
            let origin = self.origins.get(key.name).map_or("default", String::as_str);
            out.push_str(&format!(
                "{} = {}  # {origin}; {}\n",
                key.name,
                (key.get)(self),
                key.doc
            ));
        }
        for (name, value) in self.variables.addresses.iter().chain(&self.variables.ports) {
            out.push_str(&format!("vars.{name} = \"{value}\"\n"));
        }
        for one in &self.by_role {
            let role = one.role.as_str();
            out.push_str(&format!(
                "# role {role}: {} = {}  # {}\n",
                one.key, one.value, one.place
            ));
        }
        for segment in &self.grade.segments.list {
            let (name, role) = (&segment.name, segment.role.as_str());
            out.push_str(&format!("# segment {name}: role {role}\n"));
            for (key, value, place) in &segment.detectors {
                out.push_str(&format!("# segment {name}: {key} = {value}  # {place}\n"));
            }
            for (variable, value) in &segment.variables {
                out.push_str(&format!(
                    "# segment {name}: vars.{variable} = \"{value}\"\n"
                ));
            }
        }
        for (at, exemption) in self.grade.exemptions.iter().enumerate() {
            out.push_str(&format!("# exemption {}: {}\n", at + 1, exemption.reason));
        }
        out
    }
}

/// The line on which the last part of a dotted key stands, 1 when it is not found.
fn line_of(text: &str, key: &str) -> usize {
    let last = key.rsplit('.').next().unwrap_or(key);
    let named = |line: &str| {
        let line = line.trim_start().trim_start_matches(['[', '"']);
        line.strip_prefix(last).is_some_and(|rest| {
            rest.trim_start_matches(['"', ' ', '\t'])
                .starts_with(['=', ']', '.'])
        }) || line.split(['.', ']', ' ', '=']).any(|part| part == last)
    };
    text.lines().position(named).map_or(1, |i| i + 1)
}

/// The known key that differs least, when it is near enough to be a slip.
fn nearest(key: &str) -> Option<&'static str> {
    all_keys()
        .map(|k| (distance(key, k.name), k.name))
        .min()
        .filter(|(d, name)| *d <= name.len() / 2)
        .map(|(_, name)| name)
}

/// Levenshtein distance over bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let next = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*slot + 1);
            diagonal = *slot;
            *slot = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_keys_in_the_documentation_is_the_programs() {
        let rows = |text: &str| -> Vec<String> {
            let rows = text.lines().filter(|line| line.starts_with("| `"));
            let ours = ["grade", "assets", "budget", "actions", "detectors"];
            let ours = ours.map(|prefix| format!("| `{prefix}."));
            rows.filter(|row| ours.iter().any(|prefix| row.starts_with(prefix)))
                .map(str::to_owned)
                .collect()
        };
        let default = Config::default();
        let told: String = all_keys()
            .map(|key| {
                format!(
                    "| `{}` | {} | {} |\n",
                    key.name,
                    (key.get)(&default),
                    key.doc
                )
            })
            .collect();
        let (told, written) = (rows(&told), rows(include_str!("../../docs/tuning.md")));
        // Thresholds of detectors say besides where they come from.
        let tells = |row: &str, told: &str| {
            let more = row.strip_prefix(told);
            let sourced =
                row.starts_with("| `detectors.") && !row.starts_with("| `detectors.enabled`");
            more.is_some_and(|more| {
                if sourced {
                    more.trim_matches([' ', '|']).len() > 1
                } else {
                    more.is_empty()
                }
            })
        };
        let lacking: Vec<_> = told
            .iter()
            .filter(|told| !written.iter().any(|row| tells(row, told)))
            .collect();
        assert!(lacking.is_empty(), "docs/tuning.md lacks {lacking:#?}");
        for row in &written {
            assert!(
                told.iter().any(|told| tells(row, told)),
                "docs/tuning.md has {row}"
            );
        }
    }

    #[test]
    fn every_error_is_reported_at_once_with_its_line() {
        let mut config = Config::default();
        let mut errors = Vec::new();
        let text =
            "workers = 2\n[stream]\nmidstrem = true\n[stream.reassembly]\ndepth = \"many\"\n";
        config.read("sensor.toml", text, &mut errors);
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("sensor.toml:3")
                && lines[0].contains("did you mean 'stream.midstream'"),
            "{lines:?}"
        );
        assert!(lines[1].contains("sensor.toml:5"), "{lines:?}");
        assert_eq!(config.workers, 2);
    }

    #[test]
    fn set_takes_suricatas_names_and_sizes() {
        let sets = [
            "stream.midstream=yes",
            "stream.reassembly.depth=8kb",
            "vars.HOME_NET=[1.2.3.0/24]",
            "detectors.enabled=false",
        ];
        let config = Config::load(None, &sets.map(str::to_owned)).expect("loads");
        assert!(config.midstream && !config.anomaly.enabled);
        assert_eq!(
            (
                config.stream_depth_bytes,
                config.variables.addresses["HOME_NET"].as_str()
            ),
            (8192, "[1.2.3.0/24]")
        );
        assert!(
            config
                .show()
                .contains("stream.midstream = true  # --set stream.midstream=yes")
        );
        assert!(Config::load(None, &["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn segments_and_assets_are_read_with_their_rule_changes() {
        let mut config = Config::default();
        let mut errors = Vec::new();
        let text = r#"
[[segment]]
name = "lan"
role = "intranet"
subnets = ["10.1.0.0/16"]
disable = [2100498]
[segment.level]
1900001 = "RED"
[[asset]]
address = "10.1.0.5"
critical = true
"#;
        config.read("sensor.toml", text, &mut errors);
        assert_eq!(errors, []);
        let lan = &config.grade.segments.list[0];
        assert_eq!(
            (lan.name.as_str(), lan.changes.disabled.as_slice()),
            ("lan", &[2_100_498][..])
        );
        assert!(
            config
                .grade
                .segments
                .is_critical(std::net::IpAddr::from([10, 1, 0, 5]))
        );
        config.read(
            "x",
            "[[segment]]\nrole = \"attic\"\nsubnets = [\"10.0.0.0/99\"]\n",
            &mut errors,
        );
        assert_eq!(errors.len(), 3, "{errors:?}");
    }
}
