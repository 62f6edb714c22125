//! What a signature says about itself: phenomenon, threats, severity, confidence, from its metadata and its class.

use super::level::Severity;
use crate::alert::{Efficacy, Phenomenon, Threat};

/// What grading needs of a signature. Made once, at its first alert.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What happens when it fires.
    pub phenomenon: Phenomenon,
    /// What that threatens.
    pub threats: Vec<Threat>,
    /// How bad.
    pub severity: Severity,
    /// 0..=1.
    pub confidence: f32,
    /// ATT&CK techniques.
    pub techniques: Vec<String>,
    /// What the rule itself proves of the outcome: it looks at answers, or at what only a successful attack does.
    pub efficacy: Efficacy,
}

use Phenomenon::{PolicyViolation, SuspiciousAccess, UnauthorizedAccess};
use Threat::{BusinessStoppage, InformationLeak, MoralsCollapse};

/// Classes of classification.config by what they mean. Classes not listed are suspicious access without a threat of
/// their own, which is GREEN.
const CLASSES: &[(&str, Phenomenon, Threat)] = &[
    ("attempted-admin", UnauthorizedAccess, InformationLeak),
    ("attempted-user", UnauthorizedAccess, InformationLeak),
    ("unsuccessful-user", UnauthorizedAccess, InformationLeak),
    ("successful-admin", UnauthorizedAccess, InformationLeak),
    ("successful-user", UnauthorizedAccess, InformationLeak),
    ("shellcode-detect", UnauthorizedAccess, InformationLeak),
    (
        "web-application-attack",
        UnauthorizedAccess,
        InformationLeak,
    ),
    ("misc-attack", UnauthorizedAccess, InformationLeak),
    ("trojan-activity", UnauthorizedAccess, InformationLeak),
    ("command-and-control", UnauthorizedAccess, InformationLeak),
    ("domain-c2", UnauthorizedAccess, InformationLeak),
    ("targeted-activity", UnauthorizedAccess, InformationLeak),
    ("exploit-kit", UnauthorizedAccess, InformationLeak),
    ("credential-theft", UnauthorizedAccess, InformationLeak),
    ("social-engineering", UnauthorizedAccess, InformationLeak),
    ("default-login-attempt", UnauthorizedAccess, InformationLeak),
    ("suspicious-login", SuspiciousAccess, InformationLeak),
    ("attempted-dos", UnauthorizedAccess, BusinessStoppage),
    ("successful-dos", UnauthorizedAccess, BusinessStoppage),
    ("denial-of-service", UnauthorizedAccess, BusinessStoppage),
    ("coin-mining", UnauthorizedAccess, MoralsCollapse),
    ("policy-violation", PolicyViolation, MoralsCollapse),
    ("inappropriate-content", PolicyViolation, MoralsCollapse),
    ("kickass-porn", PolicyViolation, MoralsCollapse),
    ("pup-activity", PolicyViolation, MoralsCollapse),
    ("external-ip-check", SuspiciousAccess, MoralsCollapse),
    ("sdf", PolicyViolation, InformationLeak),
    (
        "successful-recon-limited",
        SuspiciousAccess,
        InformationLeak,
    ),
    (
        "successful-recon-largescale",
        SuspiciousAccess,
        InformationLeak,
    ),
    ("attempted-recon", SuspiciousAccess, InformationLeak),
    ("network-scan", SuspiciousAccess, InformationLeak),
    (
        "web-application-activity",
        SuspiciousAccess,
        InformationLeak,
    ),
    ("rpc-portmap-decode", SuspiciousAccess, InformationLeak),
    (
        "suspicious-filename-detect",
        SuspiciousAccess,
        InformationLeak,
    ),
    ("system-call-detect", SuspiciousAccess, InformationLeak),
    (
        "unusual-client-port-connection",
        SuspiciousAccess,
        InformationLeak,
    ),
    ("bad-unknown", SuspiciousAccess, InformationLeak),
    ("non-standard-protocol", SuspiciousAccess, InformationLeak),
];

impl Profile {
    /// From a class name, a priority (1 worst) and metadata pairs. `sekisho_phenomenon`, `sekisho_threat`, `sekisho_efficacy`,
    /// `signature_severity`, `confidence` and `mitre_technique_id` are read; what is missing comes from the class.
    pub fn new<'a>(
        class: &str,
        priority: u8,
        metadata: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let by_class = CLASSES.iter().find(|(name, ..)| *name == class);
        let mut profile = Self {
            phenomenon: by_class.map_or(SuspiciousAccess, |c| c.1),
            threats: Vec::new(),
            severity: match priority {
                0..=2 => Severity::Major,
                3 => Severity::Minor,
                _ => Severity::Informational,
            },
            confidence: 0.8,
            techniques: Vec::new(),
            efficacy: match class {
                "successful-admin" | "successful-user" | "successful-dos" => Efficacy::Likely,
                _ => Efficacy::Unknown,
            },
        };
        for (key, value) in metadata {
            match key {
                "sekisho_phenomenon" => {
                    profile.phenomenon = Phenomenon::from_name(value).unwrap_or(profile.phenomenon)
                }
                "sekisho_threat" => profile.threats.extend(Threat::from_name(value)),
                "signature_severity" => {
                    profile.severity = severity(value).unwrap_or(profile.severity)
                }
                "confidence" => {
                    profile.confidence = confidence(value).unwrap_or(profile.confidence)
                }
                "sekisho_efficacy" => {
                    profile.efficacy = efficacy(value).unwrap_or(profile.efficacy)
                }
                "mitre_technique_id" => profile.techniques.push(value.to_owned()),
                _ => {}
            }
        }
        if profile.threats.is_empty() {
            profile
                .threats
                .push(by_class.map_or(MoralsCollapse, |c| c.2));
        }
        profile
    }
}

fn severity(value: &str) -> Option<Severity> {
    Some(match value.to_ascii_lowercase().as_str() {
        "informational" | "info" | "audit" => Severity::Informational,
        "minor" | "low" => Severity::Minor,
        "major" | "medium" | "high" => Severity::Major,
        "critical" => Severity::Critical,
        _ => return None,
    })
}

fn efficacy(value: &str) -> Option<Efficacy> {
    [
        Efficacy::Unknown,
        Efficacy::Failed,
        Efficacy::Reached,
        Efficacy::Likely,
        Efficacy::Confirmed,
    ]
    .into_iter()
    .find(|e| e.as_str().eq_ignore_ascii_case(value))
}

fn confidence(value: &str) -> Option<f32> {
    Some(match value.to_ascii_lowercase().as_str() {
        "high" => 0.95,
        "medium" => 0.75,
        "low" => 0.5,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_outweighs_the_class() {
        let pairs = [
            ("signature_severity", "Critical"),
            ("confidence", "High"),
            ("sekisho_threat", "business_stoppage"),
        ];
        let profile = Profile::new("bad-unknown", 3, pairs.into_iter());
        assert_eq!(
            (profile.severity, profile.threats.as_slice()),
            (Severity::Critical, &[BusinessStoppage][..])
        );
        assert!(profile.confidence > 0.9);
        let plain = Profile::new("trojan-activity", 1, std::iter::empty());
        assert_eq!(
            (plain.phenomenon, plain.threats[0]),
            (UnauthorizedAccess, InformationLeak)
        );
    }
}
