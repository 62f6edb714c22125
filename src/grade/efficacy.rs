//! Did it work? What the asset map adds to what the traffic of the attack itself showed (detectors.md §1.4).
//!
//! | | what shows it |
//! |---|---|
//! | failed | the port refuses, or is silent; the software is another than the one attacked |
//! | reached | a service lives there |
//! | likely | an answer of success to an exploit; the service is measurably hurt |
//! | confirmed | see [`super::watch`] |

use std::net::IpAddr;

use crate::alert::{Efficacy, Finding, FindingSource, Phenomenon, Threat};
use crate::asset::{AssetMap, Product, Status};

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Attack<'a> {
    /// What was found.
    pub finding: &'a Finding,
    /// Efficacy and reason so far.
    pub so_far: (Efficacy, &'static str),
    /// What happens.
    pub phenomenon: Phenomenon,
    /// What it threatens.
    pub threats: &'a [Threat],
    /// Who is attacked.
    pub victim: IpAddr,
    /// Software that the rule is about; empty: any.
    pub software: &'a [Product],
}

/// Efficacy, its reason, and bits of `Alert::impact`.
pub fn judge(assets: &mut AssetMap, attack: &Attack<'_>) -> (Efficacy, &'static str, u8) {
    let finding = attack.finding;
    let key = &finding.key;
    let (mut efficacy, mut reason) = attack.so_far;
    let port = if attack.victim == key.dst {
        key.dport
    } else {
        key.sport
    };
    let mut impact = u8::from(assets.get(attack.victim).is_some());
    if efficacy == Efficacy::Reached
        && reason == SUCCESS
        && attack.phenomenon == Phenomenon::UnauthorizedAccess
    {
        efficacy = Efficacy::Likely;
    }
    // Only what the attacker sends to a service is judged by the service; a scan is none the less a scan when ports
    // refuse it.
    let signature = matches!(finding.source, FindingSource::Signature(_));
    let at_service = signature && attack.victim == key.dst && finding.from_client && key.dport != 0;
    if at_service && let Some(service) = assets.service(attack.victim, key.proto, port) {
        impact |= u8::from(service.status == Status::Listening) << 1;
        impact |= u8::from(service.product != Product::Unknown) << 2;
        let other = service.product != Product::Unknown
            && !attack.software.is_empty()
            && !attack.software.contains(&service.product);
        impact |= u8::from(other) << 3;
        if efficacy == Efficacy::Unknown {
            (efficacy, reason) = match service.status {
                Status::Refused => (Efficacy::Failed, "nobody listens there"),
                Status::Silent if key.proto == 6 => (Efficacy::Failed, "nobody answers there"),
                Status::Silent => (efficacy, reason),
                Status::Listening if other => (Efficacy::Failed, "the service is another software"),
                Status::Listening => (Efficacy::Reached, "a service lives there"),
            };
        }
    }
    if efficacy < Efficacy::Likely
        && attack.threats.contains(&Threat::BusinessStoppage)
        && let Some(hurt) = assets.hurt(attack.victim, port, finding.ts)
    {
        (efficacy, reason) = (Efficacy::Likely, hurt.as_str());
    }
    (efficacy, reason, impact)
}

/// What the workers call an answer with a success code.
pub const SUCCESS: &str = "answered with success";

/// Words in a rule's message or `affected_product` that name the software it is about, and which that is.
const NAMED: &[(&str, &[Product])] = &[
    ("tomcat", &[Product::ApacheTomcat]),
    ("weblogic", &[Product::WebLogic]),
    ("iis", &[Product::Iis, Product::HttpApi]),
    ("nginx", &[Product::Nginx, Product::OpenResty]),
    ("lighttpd", &[Product::Lighttpd]),
    ("goahead", &[Product::GoAhead]),
    ("openssh", &[Product::OpenSsh]),
    ("libssh", &[Product::LibSsh]),
    ("vsftpd", &[Product::Vsftpd]),
    ("proftpd", &[Product::ProFtpd]),
    ("pure-ftpd", &[Product::PureFtpd]),
    ("exim", &[Product::Exim]),
    ("sendmail", &[Product::Sendmail]),
    ("postfix", &[Product::Postfix]),
    ("dovecot", &[Product::Dovecot]),
    ("mariadb", &[Product::MariaDb, Product::MySql]),
    ("mysql", &[Product::MySql, Product::MariaDb]),
];

/// Software that hides what is behind it: a reverse proxy contradicts nothing.
const FRONTS: &[Product] = &[
    Product::Nginx,
    Product::OpenResty,
    Product::Cloudflare,
    Product::Squid,
    Product::Caddy,
];

/// Software that a rule is about, by the words of its message; fronts of web servers count as matching.
pub fn software_of(message: &str, affected: &str) -> Vec<Product> {
    let text = format!("{message} {affected}").to_ascii_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .collect();
    let mut all: Vec<Product> = NAMED
        .iter()
        .filter(|(word, _)| words.contains(word))
        .flat_map(|(_, products)| products.iter().copied())
        .collect();
    if !all.is_empty() {
        all.extend(FRONTS);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::{AssetSettings, Version};
    use crate::detect::anomaly::place::Undeclared;
    use crate::detect::anomaly::{HostRecord, RecordKind};
    use crate::grade::tests::finding;

    fn map(kinds: &[(RecordKind, u16, u32)]) -> AssetMap {
        let mut map = AssetMap::new(&AssetSettings::default());
        for (kind, port, detail) in kinds {
            let record = HostRecord {
                number: 1,
                order: 0,
                ts: finding().ts,
                key: key(*port),
                interface: 0,
                kind: *kind,
                detail: *detail,
                value: Version(1 << 32).0,
                flow_id: 1,
            };
            map.record(&record, &Undeclared::default());
        }
        map
    }

    fn key(port: u16) -> crate::packet::FlowKey {
        crate::packet::FlowKey {
            src: IpAddr::from([203, 0, 113, 1]),
            dst: IpAddr::from([192, 168, 0, 80]),
            sport: 40_000,
            dport: port,
            proto: 6,
            ..Default::default()
        }
    }

    fn ask(
        map: &mut AssetMap,
        port: u16,
        so_far: (Efficacy, &'static str),
        software: &[Product],
    ) -> Efficacy {
        let finding = Finding {
            key: key(port),
            ..finding()
        };
        let attack = Attack {
            finding: &finding,
            so_far,
            phenomenon: Phenomenon::UnauthorizedAccess,
            threats: &[Threat::InformationLeak],
            victim: finding.key.dst,
            software,
        };
        judge(map, &attack).0
    }

    #[test]
    fn the_map_says_whether_an_attack_can_have_worked() {
        let mut map = map(&[
            (RecordKind::Established, 80, 0),
            (RecordKind::Software, 80, Product::Apache as u32),
            (RecordKind::Refused, 81, 0),
        ]);
        let unknown = (Efficacy::Unknown, "");
        assert_eq!(ask(&mut map, 80, unknown, &[]), Efficacy::Reached);
        assert_eq!(ask(&mut map, 81, unknown, &[]), Efficacy::Failed);
        assert_eq!(ask(&mut map, 82, unknown, &[]), Efficacy::Unknown);
        let iis = software_of("ET EXPLOIT Microsoft IIS Remote Code Execution", "");
        assert_eq!(ask(&mut map, 80, unknown, &iis), Efficacy::Failed);
        // What the answer shows counts more than the map.
        let success = (Efficacy::Reached, SUCCESS);
        assert_eq!(ask(&mut map, 80, success, &iis), Efficacy::Likely);
    }

    #[test]
    fn a_rule_names_its_software_by_whole_words() {
        assert!(software_of("crisis of a missile", "").is_empty());
        assert!(software_of("vsFTPd 2.3.4 backdoor", "").contains(&Product::Vsftpd));
    }
}
