//! Data sets: values that rules look up (`dataset`, `datarep`), read from files when rules are loaded.
//!
//! A set that no rule changes is only read afterwards. A set that rules change (`set`, `unset`) is kept in packet order by
//! the report stage, on top of what was loaded (`detect::signature::Datasets`); nothing here is written while traffic flows.
//!
//! Formats, one value a line: strings in base64, digests in hexadecimal, addresses as text, each with `,REPUTATION` behind
//! it if it has one; or JSON, an array of objects (`json`) or an object a line (`ndjson`), whose member `value_key` is the
//! value and which alerts show.
//!
//! Limits: [`VALUES_MAX`] values and [`FILE_BYTES_MAX`] bytes a file, [`JSON_BYTES_MAX`] bytes of JSON a value.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::compare::number;
use super::keyword::hex;

/// Values in one set, at most.
pub const VALUES_MAX: usize = 10_000_000;

/// Bytes of one file, at most.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Bytes of JSON that a value may have with it (Suricata's DATAJSON_JSON_LENGTH).
const JSON_BYTES_MAX: usize = 8192;

/// Bytes that a set may grow by where nothing is said (Suricata's THASH_DEFAULT_MEMCAP).
pub const MEMCAP_DEFAULT: u64 = 16 << 20;

/// What an added value takes besides its bytes.
pub const VALUE_OVERHEAD_BYTES: u64 = 64;

/// Bytes of a name (Suricata's DATASET_NAME_MAX_LEN).
const NAME_MAX: usize = 63;

/// What the values of a [`Dataset`] are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatasetKind {
    /// Byte strings, in the file as base64.
    #[default]
    String,
    /// MD5: the buffer is a digest of 16 bytes (`to_md5`).
    Md5,
    /// SHA-256: the buffer is a digest of 32 bytes (`to_sha256`).
    Sha256,
    /// IPv4 address, 4 bytes (`ip.src`, `ip.dst`).
    Ipv4,
    /// IPv6 or IPv4 address.
    Ip,
}

impl DatasetKind {
    /// From its name in rules.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "md5" => Self::Md5,
            "sha256" => Self::Sha256,
            "ipv4" => Self::Ipv4,
            "ip" | "ipv6" => Self::Ip,
            _ => return None,
        })
    }

    /// The bytes under which a buffer is looked up; `None` when it cannot be a value of this kind.
    pub fn key<'b>(self, buffer: &'b [u8], own: &'b mut [u8; 16]) -> Option<&'b [u8]> {
        match (self, buffer.len()) {
            (_, 0) => None,
            (Self::String, _) | (Self::Md5 | Self::Ip, 16) | (Self::Sha256, 32) => Some(buffer),
            (Self::Ipv4, 4) => Some(buffer),
            (Self::Ip, 4) => {
                let v4 = <[u8; 4]>::try_from(buffer).ok()?;
                *own = Ipv4Addr::from(v4).to_ipv6_mapped().octets();
                Some(&own[..])
            }
            _ => None,
        }
    }

    /// A value from its form in a file.
    pub fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::String => decode_base64(text),
            Self::Md5 => hex(text).filter(|v| v.len() == 16),
            Self::Sha256 => hex(text).filter(|v| v.len() == 32),
            _ => self.read_plain(text),
        }
    }

    /// A value as JSON has it: strings as they are.
    fn read_plain(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::String => Some(text.as_bytes().to_vec()),
            Self::Md5 | Self::Sha256 => self.read(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().ok().map(|a| a.octets().to_vec()),
            Self::Ip => text.parse::<IpAddr>().ok().map(|a| match a {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            }),
        }
    }

    /// A value in the form of a file.
    pub fn write(self, value: &[u8]) -> String {
        match self {
            Self::String => encode_base64(value),
            Self::Md5 | Self::Sha256 => value.iter().map(|b| format!("{b:02x}")).collect(),
            Self::Ipv4 => <[u8; 4]>::try_from(value)
                .map(|a| Ipv4Addr::from(a).to_string())
                .unwrap_or_default(),
            Self::Ip => <[u8; 16]>::try_from(value)
                .map(|a| Ipv6Addr::from(a).to_canonical().to_string())
                .unwrap_or_default(),
        }
    }
}

/// How a file is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DatasetFormat {
    /// A value a line, with a reputation behind a comma.
    #[default]
    Lines,
    /// A JSON document with an array of objects, below the members of `array` (`response.threats`).
    Json {
        /// The member that is the value.
        value: String,
        /// Where the array is; empty: the document is the array.
        array: String,
        /// Alerts do not show the value again.
        remove: bool,
    },
    /// A JSON object a line.
    JsonLines {
        /// The member that is the value.
        value: String,
        /// Alerts do not show the value again.
        remove: bool,
    },
}

/// What a value has with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attached {
    /// Nothing.
    #[default]
    Nothing,
    /// Its reputation, for `datarep`.
    Reputation(u16),
    /// An object that alerts show.
    Json(Box<str>),
}

/// What a set is, apart from its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetInfo {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: DatasetKind,
    /// File that its values come from.
    pub load: Option<PathBuf>,
    /// File that its values are written to when the sensor ends.
    pub save: Option<PathBuf>,
    /// Bytes that rules may add.
    pub memcap_bytes: u64,
    /// Format of the file.
    pub format: DatasetFormat,
    /// Declared in the configuration: it stays as it is when rules are loaded again.
    pub configured: bool,
}

impl DatasetInfo {
    /// Whether a reload begins it anew with what its file has then: a set of rules with a file that is only read.
    pub fn is_renewed(&self) -> bool {
        !self.configured && self.load.is_some() && self.save.is_none()
    }
}

/// A set of values.
#[derive(Debug, Default)]
pub struct Dataset {
    /// What it is.
    pub info: DatasetInfo,
    /// Its place in [`super::RuleSet::datasets`].
    pub number: u16,
    values: HashMap<Box<[u8]>, Attached, foldhash::fast::RandomState>,
    set: AtomicBool,
    unset: AtomicBool,
    /// What an operator changed, and whether there is anything: readers take the lock only then.
    changed: RwLock<Changed>,
    touched: AtomicBool,
}

/// What an operator made of the values of a file.
#[derive(Debug, Default)]
struct Changed {
    added: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    removed: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    bytes: u64,
    cleared: bool,
}

/// What an operator asks of a value of a set, or of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To add it.
    Add,
    /// To take it out.
    Remove,
    /// Whether it is there.
    LookUp,
    /// To empty the set.
    Clear,
}

impl Dataset {
    /// A set with the values of its file. A file that is written at the end need not be there at first.
    pub fn load(info: DatasetInfo, number: u16) -> Result<Self, String> {
        let mut this = Self {
            number,
            ..Self::default()
        };
        if let Some(path) = &info.load {
            let shown = path.display();
            match read_file(path) {
                Ok(bytes) => this.read(&bytes, &info).map_err(|(line, why)| {
                    if line == 0 {
                        format!("{shown}: {why}")
                    } else {
                        format!("{shown}:{line}: {why}")
                    }
                })?,
                Err(why)
                    if why.kind() == std::io::ErrorKind::NotFound
                        && info.save.as_ref() == Some(path) => {}
                Err(why) => return Err(format!("{shown}: {why}")),
            }
        }
        this.info = info;
        Ok(this)
    }

    fn read(&mut self, bytes: &[u8], info: &DatasetInfo) -> Result<(), (usize, String)> {
        match &info.format {
            DatasetFormat::Lines => self.read_lines(bytes, info.kind),
            DatasetFormat::Json {
                value,
                array,
                remove,
            } => {
                let document: serde_json::Value =
                    serde_json::from_slice(bytes).map_err(|e| (e.line(), e.to_string()))?;
                let mut at = &document;
                for member in array.split('.').filter(|m| !m.is_empty()) {
                    at = at
                        .get(member)
                        .ok_or_else(|| (0, format!("it has no member {array}")))?;
                }
                let list = at.as_array().ok_or_else(|| {
                    let whose = if array.is_empty() {
                        "the document"
                    } else {
                        array
                    };
                    (0, format!("{whose} is not an array"))
                })?;
                for object in list {
                    self.take_object(object.clone(), info.kind, (value, *remove), 0)?;
                }
                self.some_value(value)
            }
            DatasetFormat::JsonLines { value, remove } => {
                for (at, line) in lines(bytes) {
                    let object: serde_json::Value =
                        serde_json::from_slice(line).map_err(|e| (at, e.to_string()))?;
                    self.take_object(object, info.kind, (value, *remove), at)?;
                }
                self.some_value(value)
            }
        }
    }

    fn some_value(&self, key: &str) -> Result<(), (usize, String)> {
        if self.values.is_empty() {
            return Err((0, format!("no object in it has a member {key}")));
        }
        Ok(())
    }

    fn read_lines(&mut self, bytes: &[u8], kind: DatasetKind) -> Result<(), (usize, String)> {
        for (number, line) in lines(bytes) {
            let text = std::str::from_utf8(line).map_err(|_| (number, "is not text".to_owned()))?;
            if text.starts_with('#') {
                continue;
            }
            let (text, attached) = match text.split_once(',') {
                Some((value, reputation)) => {
                    let reputation = reputation.trim().parse().map_err(|_| {
                        let message = format!("\"{reputation}\" is not a reputation, 0 to 65535");
                        (number, message)
                    })?;
                    (value.trim(), Attached::Reputation(reputation))
                }
                None => (text, Attached::Nothing),
            };
            let value = kind.read(text).ok_or_else(|| {
                let message = format!("\"{text}\" is not a value of the set's type");
                (number, message)
            })?;
            self.take(value, attached, number)?;
        }
        Ok(())
    }

    /// Takes an object; one without the member is passed over.
    fn take_object(
        &mut self,
        mut object: serde_json::Value,
        kind: DatasetKind,
        (key, remove): (&str, bool),
        line: usize,
    ) -> Result<(), (usize, String)> {
        let member = key.split('.').try_fold(&object, |at, name| at.get(name));
        let Some(text) = member.and_then(serde_json::Value::as_str) else {
            return Ok(());
        };
        let value = kind.read_plain(text).ok_or_else(|| {
            let message = format!("\"{text}\" is not a value of the set's type");
            (line, message)
        })?;
        if remove && let Some(members) = object.as_object_mut() {
            members.shift_remove(key);
        }
        let json = object.to_string();
        if json.len() > JSON_BYTES_MAX {
            return Err((line, format!("an object has over {JSON_BYTES_MAX} bytes")));
        }
        self.take(value, Attached::Json(json.into()), line)
    }

    fn take(
        &mut self,
        value: Vec<u8>,
        attached: Attached,
        line: usize,
    ) -> Result<(), (usize, String)> {
        if self.values.len() >= VALUES_MAX {
            return Err((line, format!("more than {VALUES_MAX} values")));
        }
        // The first of equal ones stays.
        self.values
            .entry(value.into_boxed_slice())
            .or_insert(attached);
        Ok(())
    }

    /// What a value that was loaded has with it; the key is from [`DatasetKind::key`].
    pub fn get(&self, key: &[u8]) -> Option<&Attached> {
        static NOTHING: Attached = Attached::Nothing;
        if self.touched.load(Ordering::Acquire)
            && let Ok(changed) = self.changed.read()
        {
            if changed.added.contains(key) {
                return Some(&NOTHING);
            }
            if changed.cleared || changed.removed.contains(key) {
                return None;
            }
        }
        self.values.get(key)
    }

    /// Carries out what an operator asks of a set that no rule changes; says whether it changed something, or of a
    /// question whether it is so. It lasts until the set is loaded again. What is added counts against the memcap.
    pub fn ask(&self, ask: Ask, key: &[u8]) -> Result<bool, &'static str> {
        let has = self.get(key).is_some();
        if ask == Ask::LookUp {
            return Ok(has);
        }
        let mut changed = self.changed.write().map_err(|_| "the set is broken")?;
        let bytes = key.len() as u64 + VALUE_OVERHEAD_BYTES;
        let done = match ask {
            Ask::Add if has => false,
            Ask::Add if !changed.cleared && changed.removed.remove(key) => {
                changed.bytes = changed.bytes.saturating_sub(bytes);
                true
            }
            Ask::Remove if changed.added.remove(key) => {
                changed.bytes = changed.bytes.saturating_sub(bytes);
                true
            }
            Ask::Remove if !has => false,
            Ask::Add | Ask::Remove => {
                if changed.bytes.saturating_add(bytes) > self.info.memcap_bytes {
                    return Err("the set has no room for more changes (memcap)");
                }
                changed.bytes += bytes;
                let changes = &mut *changed;
                let list = if ask == Ask::Add {
                    &mut changes.added
                } else {
                    &mut changes.removed
                };
                list.insert(key.into())
            }
            Ask::Clear | Ask::LookUp => {
                *changed = Changed {
                    cleared: true,
                    ..Changed::default()
                };
                true
            }
        };
        self.touched.store(true, Ordering::Release);
        Ok(done)
    }

    /// What was loaded for a buffer; with `subdomain` also for what follows each of its dots, at most
    /// [`SUBDOMAINS_MAX`] of them.
    pub fn look_up(&self, buffer: &[u8], subdomain: bool) -> Option<&Attached> {
        keys(self.info.kind, buffer, subdomain, |key| self.get(key))
    }

    /// Values that were loaded, in order.
    pub fn sorted(&self) -> Vec<&[u8]> {
        let mut all: Vec<&[u8]> = self.values.keys().map(|v| &**v).collect();
        all.sort_unstable();
        all
    }

    /// Notes that a rule adds values.
    pub fn note_set(&self) {
        self.set.store(true, Ordering::Relaxed);
    }

    /// Notes that a rule takes values out.
    pub fn note_unset(&self) {
        self.unset.store(true, Ordering::Relaxed);
    }

    /// Whether rules change it.
    pub fn changes(&self) -> bool {
        self.set.load(Ordering::Relaxed) || self.shrinks()
    }

    /// Whether rules take values out.
    pub fn shrinks(&self) -> bool {
        self.unset.load(Ordering::Relaxed)
    }
}

/// Parent domains that are looked up for one name (Suricata's DATASET_SUBDOMAIN_MAX_LOOKUPS).
pub const SUBDOMAINS_MAX: usize = 126;

/// Asks for a buffer, and with `subdomain` for what each of its dots begins, until one is known.
pub fn keys<T>(
    kind: DatasetKind,
    buffer: &[u8],
    subdomain: bool,
    mut ask: impl FnMut(&[u8]) -> Option<T>,
) -> Option<T> {
    let mut own = [0; 16];
    let key = kind.key(buffer, &mut own)?;
    if let Some(found) = ask(key) {
        return Some(found);
    }
    if !subdomain {
        return None;
    }
    buffer
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| matches!(pair, [before, b'.'] if *before != b'.'))
        .take(SUBDOMAINS_MAX)
        .find_map(|(at, _)| ask(buffer.get(at + 1..)?))
}

/// A set as the configuration declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DatasetText {
    /// Its name.
    pub name: String,
    /// `string`, `md5`, `sha256`, `ipv4` or `ip`.
    #[serde(rename = "type")]
    pub kind: String,
    /// File to load; relative to the folder of data sets.
    #[serde(default)]
    pub load: Option<PathBuf>,
    /// File to load and to save.
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// Bytes that rules may add (`10mb`).
    #[serde(default)]
    pub memcap: Option<String>,
    /// As Suricata has it; tables here grow by themselves.
    #[serde(default)]
    pub hashsize: Option<u64>,
}

/// Where sets lie and what rules may do with files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSettings {
    /// Folder of `state` and `save`, and of sets of the configuration.
    pub folder: PathBuf,
    /// Sets of the configuration.
    pub declared: Vec<DatasetText>,
    /// Rules may name files to write.
    pub allow_write: bool,
    /// Rules may name files to write outside the folder.
    pub allow_absolute: bool,
    /// Bytes that rules may add to a set.
    pub memcap_bytes: u64,
}

impl Default for DatasetSettings {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("."),
            declared: Vec::new(),
            allow_write: true,
            allow_absolute: false,
            memcap_bytes: MEMCAP_DEFAULT,
        }
    }
}

impl DatasetSettings {
    /// A declared set.
    pub fn info(&self, text: &DatasetText) -> Result<DatasetInfo, String> {
        check_name(&text.name)?;
        let kind = DatasetKind::from_name(&text.kind)
            .ok_or_else(|| format!("type: \"{}\" is not a type of sets", text.kind))?;
        if text.load.is_some() && text.state.is_some() {
            return Err("load and state cannot both be there".into());
        }
        let memcap_bytes = match &text.memcap {
            Some(text) => size(text).ok_or("memcap: wants a size like 10mb")?,
            None => self.memcap_bytes,
        };
        Ok(DatasetInfo {
            name: text.name.clone(),
            kind,
            load: text
                .load
                .as_ref()
                .or(text.state.as_ref())
                .map(|f| self.folder.join(f)),
            save: text.state.as_ref().map(|f| self.folder.join(f)),
            memcap_bytes,
            format: DatasetFormat::Lines,
            configured: true,
        })
    }

    /// Where a rule may write.
    pub fn save_path(&self, file: &str) -> Result<PathBuf, String> {
        if !self.allow_write {
            return Err("rules may not write files (datasets.rules.allow-write)".into());
        }
        let path = Path::new(file);
        let leaves = path.is_absolute() || path.components().any(|c| c == Component::ParentDir);
        if leaves && !self.allow_absolute {
            return Err(format!(
                "{file} leaves the folder of data sets (datasets.rules.allow-absolute-filenames)"
            ));
        }
        Ok(self.folder.join(path))
    }
}

/// Whether a name may be one.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the set's name is missing".into());
    }
    if name.len() > NAME_MAX || name.contains([' ', '\t']) {
        return Err(format!(
            "the set's name has at most {NAME_MAX} bytes and no blanks"
        ));
    }
    Ok(())
}

/// A number of bytes: `1024`, `10kb`, `10mb`, `1gb`.
pub fn size(text: &str) -> Option<u64> {
    number(&text.trim().to_ascii_lowercase(), u64::MAX)
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let len = std::fs::metadata(path)?.len();
    if len > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "has {len} bytes; at most {FILE_BYTES_MAX} are read"
        )));
    }
    std::fs::read(path)
}

/// Lines with something in them, trimmed, with their numbers.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii)
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| (at + 1, line))
}

/// Decodes base64 (RFC 4648 §4) with or without padding; `None` when it is not.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    data_encoding::BASE64_NOPAD.decode(text.as_bytes()).ok()
}

fn encode_base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: DatasetKind, format: DatasetFormat, bytes: &[u8]) -> Result<Dataset, String> {
        let info = DatasetInfo {
            kind,
            format,
            ..DatasetInfo::default()
        };
        let mut set = Dataset::default();
        set.read(bytes, &info)
            .map_err(|(line, why)| format!("{line}: {why}"))?;
        set.info = info;
        Ok(set)
    }

    #[test]
    fn an_operator_adds_takes_out_and_empties() {
        let info = DatasetInfo {
            memcap_bytes: 200,
            ..DatasetInfo::default()
        };
        let mut set = Dataset {
            info,
            ..Dataset::default()
        };
        set.values.insert((*b"file").into(), Attached::Nothing);
        let has = |set: &Dataset, key: &[u8]| set.get(key).is_some();
        assert_eq!(set.ask(Ask::LookUp, b"file"), Ok(true));
        assert_eq!(set.ask(Ask::Add, b"file"), Ok(false));
        assert_eq!(set.ask(Ask::Add, b"new"), Ok(true));
        assert!(has(&set, b"file") && has(&set, b"new"));
        assert_eq!(set.ask(Ask::Remove, b"file"), Ok(true));
        assert_eq!(set.ask(Ask::Remove, b"file"), Ok(false));
        assert!(!has(&set, b"file"));
        assert_eq!(set.ask(Ask::Add, b"file"), Ok(true));
        assert_eq!(set.ask(Ask::Remove, b"new"), Ok(true));
        assert!(has(&set, b"file") && !has(&set, b"new"));
        assert!(set.ask(Ask::Add, &[b'x'; 150]).is_err(), "memcap");
        assert_eq!(set.ask(Ask::Clear, b""), Ok(true));
        assert!(!has(&set, b"file"));
        assert_eq!(set.ask(Ask::Add, b"file"), Ok(true));
        assert!(has(&set, b"file"));
    }

    #[test]
    fn values_are_read_by_their_type() {
        let lines = DatasetFormat::Lines;
        let names = set(DatasetKind::String, lines.clone(), b"c3VyaWNhdGE=\n\n# x\n").unwrap();
        assert!(names.look_up(b"suricata", false).is_some());
        let addresses = set(DatasetKind::Ip, lines.clone(), b"192.0.2.4\n2001:db8::1\n").unwrap();
        assert!(addresses.look_up(&[192, 0, 2, 4], false).is_some());
        assert!(addresses.look_up(&[192, 0, 2, 5], false).is_none());
        assert!(
            set(DatasetKind::Md5, lines.clone(), b"ab\n")
                .unwrap_err()
                .starts_with('1')
        );
        let digests = set(
            DatasetKind::Md5,
            lines,
            b"d41d8cd98f00b204e9800998ecf8427e\n",
        )
        .unwrap();
        assert!(digests.look_up(b"", false).is_none());
        let empty = [
            0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0, 0xb2, 4, 0xe9, 0x80, 9, 0x98, 0xec, 0xf8, 0x42, 0x7e,
        ];
        assert!(digests.look_up(&empty, false).is_some());
    }

    #[test]
    fn a_value_may_have_a_reputation() {
        let set = set(
            DatasetKind::String,
            DatasetFormat::Lines,
            b"YQ==,300\nYg==\n",
        )
        .unwrap();
        assert_eq!(set.look_up(b"a", false), Some(&Attached::Reputation(300)));
        assert_eq!(set.look_up(b"b", false), Some(&Attached::Nothing));
    }

    #[test]
    fn objects_are_found_by_a_member() {
        let nested = DatasetFormat::Json {
            value: "host".into(),
            array: "response.threats".into(),
            remove: false,
        };
        let text = br#"{"response":{"threats":[{"host":"a.example","from":"x"},{"other":1}]}}"#;
        let found = set(DatasetKind::String, nested.clone(), text).unwrap();
        let json = r#"{"host":"a.example","from":"x"}"#;
        let object = found.look_up(b"a.example", false);
        assert!(matches!(object, Some(Attached::Json(j)) if
            serde_json::from_str::<serde_json::Value>(j).unwrap()
                == serde_json::from_str::<serde_json::Value>(json).unwrap()));
        assert!(set(DatasetKind::String, nested, b"{}").is_err());
        let one_a_line = DatasetFormat::JsonLines {
            value: "ip".into(),
            remove: true,
        };
        let text = b"{\"ip\":\"192.0.2.1\",\"n\":1}\n{\"ip\":\"192.0.2.2\"}\n";
        let found = set(DatasetKind::Ip, one_a_line, text).unwrap();
        let object = found.look_up(&[192, 0, 2, 1], false);
        assert_eq!(object, Some(&Attached::Json(r#"{"n":1}"#.into())));
    }

    #[test]
    fn a_name_matches_by_its_parent_domain() {
        let set = set(DatasetKind::String, DatasetFormat::Lines, b"LmV2aWwuY29t\n").unwrap();
        assert!(set.look_up(b".mail.evil.com", true).is_some());
        assert!(set.look_up(b".mail.evil.com", false).is_none());
        assert!(set.look_up(b".mailevil.com", true).is_none());
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        for value in [&b""[..], b"a", b"ab", b"abc", b"abcd\xff"] {
            let text = DatasetKind::String.write(value);
            assert_eq!(DatasetKind::String.read(&text).unwrap(), value);
        }
        for text in ["192.0.2.1", "2001:db8::1"] {
            let value = DatasetKind::Ip.read(text).unwrap();
            assert_eq!(DatasetKind::Ip.write(&value), text);
        }
    }

    #[test]
    fn rules_write_into_the_folder_only() {
        let mut settings = DatasetSettings::default();
        assert!(settings.save_path("seen.lst").is_ok());
        assert!(settings.save_path("/etc/passwd").is_err());
        assert!(settings.save_path("../x").is_err());
        settings.allow_write = false;
        assert!(settings.save_path("seen.lst").is_err());
        assert_eq!(size("10mb"), Some(10 << 20));
        assert_eq!(size("ten"), None);
    }
}
