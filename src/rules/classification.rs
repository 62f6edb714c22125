//! `classification.config` (classes with their priority) and `reference.config` (systems with their URL prefix).
//!
//! Lines are `config classification: name,Description,priority` and `config reference: name URL`. Names of classes are
//! compared without case, as rule writers mix it. Without files the classes every rule set assumes are built in.

use std::collections::HashMap;

use super::ir::Class;
use super::lexer::Lines;

/// Classes and reference systems.
#[derive(Clone, Debug)]
pub struct Classes {
    /// Classes, in order.
    pub list: Vec<Class>,
    /// Reference systems: name and URL prefix.
    pub references: Vec<(String, String)>,
    by_name: HashMap<String, u16, foldhash::fast::FixedState>,
}

impl Default for Classes {
    fn default() -> Self {
        let mut all = Self {
            list: Vec::new(),
            references: Vec::new(),
            by_name: HashMap::default(),
        };
        for (name, description, priority) in BUILT_IN {
            all.add(name, description, *priority);
        }
        for (name, prefix) in SYSTEMS {
            all.references
                .push(((*name).to_owned(), (*prefix).to_owned()));
        }
        all
    }
}

impl Classes {
    /// The classes and systems of a rule set that was loaded.
    pub fn of(list: Vec<Class>, references: Vec<(String, String)>) -> Self {
        let names = list.iter().map(|class| class.name.to_ascii_lowercase());
        Self {
            by_name: names.zip(0u16..).collect(),
            list,
            references,
        }
    }

    /// Number of a class by its name, in any case.
    pub fn number(&self, name: &str) -> Option<u16> {
        match self.by_name.get(name) {
            Some(number) => Some(*number),
            None => self.by_name.get(&name.to_ascii_lowercase()).copied(),
        }
    }

    /// Adds or replaces a class.
    pub fn add(&mut self, name: &str, description: &str, priority: u8) -> u16 {
        let class = Class {
            name: name.to_owned(),
            description: description.to_owned(),
            priority,
        };
        if let Some(number) = self.number(name) {
            if let Some(known) = self.list.get_mut(usize::from(number)) {
                *known = class;
            }
            return number;
        }
        let number = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
        self.list.push(class);
        self.by_name.insert(name.to_ascii_lowercase(), number);
        number
    }

    /// Reads a classification file, adding to what is known. Returns what is wrong, by line.
    pub fn read_classes(&mut self, bytes: &[u8]) -> Vec<(u32, String)> {
        let mut errors = Vec::new();
        for line in Lines::new(bytes) {
            if let Err(why) = String::from_utf8_lossy(&line.text).split_once(':').map_or(
                Err("no \":\""),
                |(head, body)| {
                    config(head, "classification")?;
                    let mut parts = body.splitn(3, ',').map(str::trim);
                    let (name, rest) = (
                        parts.next().unwrap_or_default(),
                        (parts.next(), parts.next()),
                    );
                    let (Some(description), Some(priority)) = rest else {
                        return Err("name,description,priority expected");
                    };
                    let priority = priority
                        .parse::<u8>()
                        .ok()
                        .filter(|p| *p > 0)
                        .ok_or("a priority is 1 to 255")?;
                    if name.is_empty() {
                        return Err("the class has no name");
                    }
                    self.add(name, description, priority);
                    Ok(())
                },
            ) {
                errors.push((line.number, why.to_owned()));
            }
        }
        errors
    }

    /// Reads a reference file, adding to what is known. Returns what is wrong, by line.
    pub fn read_references(&mut self, bytes: &[u8]) -> Vec<(u32, String)> {
        let mut errors = Vec::new();
        for line in Lines::new(bytes) {
            if let Err(why) = String::from_utf8_lossy(&line.text).split_once(':').map_or(
                Err("no \":\""),
                |(head, body)| {
                    config(head, "reference")?;
                    let (name, prefix) = body
                        .trim()
                        .split_once([' ', '\t'])
                        .unwrap_or((body.trim(), ""));
                    if name.is_empty() {
                        return Err("the reference system has no name");
                    }
                    self.references
                        .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                    self.references
                        .push((name.to_owned(), prefix.trim().to_owned()));
                    Ok(())
                },
            ) {
                errors.push((line.number, why.to_owned()));
            }
        }
        errors
    }
}

fn config(head: &str, what: &str) -> Result<(), &'static str> {
    let mut words = head.split_ascii_whitespace();
    if words.next() == Some("config") && words.next() == Some(what) && words.next().is_none() {
        Ok(())
    } else {
        Err("a line begins with \"config classification:\" or \"config reference:\"")
    }
}

/// Classes that rule sets assume, from the documentation of the rule language: names, texts and priorities of the table
/// "Snort Default Classifications" of the Snort 2 users manual (section on `classtype`; high = 1 … very low = 4), in its
/// order; then the classes that newer public rules name, as Suricata's project publishes them. Names, texts and
/// priorities are facts of the language: alerts carry the text as EVE's `alert.category`, by which consumers know them.
const BUILT_IN: &[(&str, &str, u8)] = &[
    // Snort 2 users manual, table of default classifications: high
    (
        "attempted-admin",
        "Attempted Administrator Privilege Gain",
        1,
    ),
    ("attempted-user", "Attempted User Privilege Gain", 1),
    (
        "inappropriate-content",
        "Inappropriate Content was Detected",
        1,
    ),
    (
        "policy-violation",
        "Potential Corporate Privacy Violation",
        1,
    ),
    ("shellcode-detect", "Executable code was detected", 1),
    (
        "successful-admin",
        "Successful Administrator Privilege Gain",
        1,
    ),
    ("successful-user", "Successful User Privilege Gain", 1),
    ("trojan-activity", "A Network Trojan was detected", 1),
    ("unsuccessful-user", "Unsuccessful User Privilege Gain", 1),
    ("web-application-attack", "Web Application Attack", 1),
    // medium
    ("attempted-dos", "Attempted Denial of Service", 2),
    ("attempted-recon", "Attempted Information Leak", 2),
    ("bad-unknown", "Potentially Bad Traffic", 2),
    (
        "default-login-attempt",
        "Attempt to login by a default username and password",
        2,
    ),
    (
        "denial-of-service",
        "Detection of a Denial of Service Attack",
        2,
    ),
    ("misc-attack", "Misc Attack", 2),
    (
        "non-standard-protocol",
        "Detection of a non-standard protocol or event",
        2,
    ),
    ("rpc-portmap-decode", "Decode of an RPC Query", 2),
    ("successful-dos", "Denial of Service", 2),
    (
        "successful-recon-largescale",
        "Large Scale Information Leak",
        2,
    ),
    ("successful-recon-limited", "Information Leak", 2),
    (
        "suspicious-filename-detect",
        "A suspicious filename was detected",
        2,
    ),
    (
        "suspicious-login",
        "An attempted login using a suspicious username was detected",
        2,
    ),
    ("system-call-detect", "A system call was detected", 2),
    (
        "unusual-client-port-connection",
        "A client was using an unusual port",
        2,
    ),
    (
        "web-application-activity",
        "Access to a potentially vulnerable web application",
        2,
    ),
    // low
    ("icmp-event", "Generic ICMP event", 3),
    ("misc-activity", "Misc activity", 3),
    ("network-scan", "Detection of a Network Scan", 3),
    ("not-suspicious", "Not Suspicious Traffic", 3),
    (
        "protocol-command-decode",
        "Generic Protocol Command Decode",
        3,
    ),
    ("string-detect", "A suspicious string was detected", 3),
    ("unknown", "Unknown Traffic", 3),
    // very low
    ("tcp-connection", "A TCP connection was detected", 4),
    // later classes
    (
        "command-and-control",
        "Malware Command and Control Activity Detected",
        1,
    ),
    (
        "credential-theft",
        "Successful Credential Theft Detected",
        1,
    ),
    ("domain-c2", "Domain Observed Used for C2 Detected", 1),
    ("exploit-kit", "Exploit Kit Activity Detected", 1),
    (
        "targeted-activity",
        "Targeted Malicious Activity was Detected",
        1,
    ),
    ("coin-mining", "Crypto Currency Mining Activity Detected", 2),
    (
        "external-ip-check",
        "Device Retrieving External IP Address Detected",
        2,
    ),
    ("pup-activity", "Possibly Unwanted Program Detected", 2),
    (
        "social-engineering",
        "Possible Social Engineering Attempted",
        2,
    ),
];

/// Reference systems that rule sets assume.
const SYSTEMS: &[(&str, &str)] = &[
    ("url", "https://"),
    ("cve", "https://www.cve.org/CVERecord?id="),
    ("bugtraq", "https://www.securityfocus.com/bid/"),
    ("bid", "https://www.securityfocus.com/bid/"),
    ("nessus", "https://www.tenable.com/plugins/nessus/"),
    ("arachnids", ""),
    ("mcafee", ""),
    ("md5", ""),
    ("osvdb", ""),
    ("et", ""),
    ("etpro", ""),
    ("msft", ""),
    ("exploitdb", "https://www.exploit-db.com/exploits/"),
    ("openpacket", ""),
    ("securitytracker", ""),
    ("secunia", ""),
    ("xforce", ""),
    ("telus", ""),
    ("system", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_adds_and_replaces_classes() {
        let mut classes = Classes::default();
        let before = classes.list.len();
        let errors = classes.read_classes(b"# x\nconfig classification: mine,My own, 4\nconfig classification: Trojan-Activity,T,2\n");
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(classes.list.len(), before + 1);
        let number = classes.number("trojan-activity").unwrap();
        assert_eq!(classes.list[usize::from(number)].priority, 2);
        assert_eq!(classes.number("MINE"), classes.number("mine"));
    }

    #[test]
    fn broken_lines_are_named() {
        let errors = Classes::default().read_classes(
            b"config classification: a,b\nconfig x: a,b,1\nconfig classification: a,b,0\n",
        );
        assert_eq!(
            errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }

    #[test]
    fn reference_systems_are_read() {
        let mut classes = Classes::default();
        assert!(
            classes
                .read_references(b"config reference: x \t https://x/\n")
                .is_empty()
        );
        assert_eq!(
            classes.references.last(),
            Some(&("x".into(), "https://x/".into()))
        );
    }
}
