//! A graded alert: what every sink receives.

use std::net::IpAddr;

use super::{Efficacy, Finding, Level, Phenomenon, Threat};

/// A finding with its level, and the arithmetic that led to it.
#[derive(Clone, Debug)]
pub struct Alert<'a> {
    /// What was seen.
    pub finding: &'a Finding,
    /// EVE members before `"alert"`.
    pub head: &'a [u8],
    /// EVE members after `"alert"`.
    pub tail: &'a [u8],
    /// File in which its packets are kept; empty: none.
    pub capture_file: String,
    /// Members of the detector's evidence object.
    pub evidence: &'a [u8],
    /// Generator: 1 for signatures, 400 for behavioural detectors.
    pub gid: u32,
    /// Signature id.
    pub sid: u32,
    /// Revision.
    pub rev: u32,
    /// Text.
    pub message: &'a str,
    /// Text of its class.
    pub category: &'a str,
    /// The rule's priority (EVE `alert.severity`).
    pub severity: u8,
    /// Metadata pairs as written in the rule.
    pub metadata: Vec<(&'a str, &'a str)>,
    /// Name of the behavioural detector; empty for signatures.
    pub detector: &'a str,
    /// How much it matters.
    pub level: Level,
    /// The arithmetic, for people: `O: base O; -1 failed (HTTP 404)`.
    pub why: String,
    /// How bad its author says it is.
    pub severity_word: &'static str,
    /// What kind of thing happened.
    pub phenomenon: Phenomenon,
    /// What it threatens.
    pub threats: Vec<Threat>,
    /// Whether it worked.
    pub efficacy: Efficacy,
    /// 0..=1.
    pub confidence: f32,
    /// Name of the segment.
    pub segment: String,
    /// ATT&CK techniques.
    pub techniques: Vec<String>,
    /// Whether something was blocked.
    pub blocked: bool,
    /// What is done about it inline, or would be, and why: words for output. Empty: nothing was considered.
    pub action: (&'static str, String),
    /// Whether it is over its budget: for the digest, not for people at once.
    pub digest: bool,
    /// What is known of the target: 1 in the asset map, 2 the port listens, 4 its software is known, 8 the software
    /// contradicts the attack, 16 blocked, 32 the rule sees only what worked.
    pub impact: u8,
    /// Who attacks and who is attacked.
    pub attacker: IpAddr,
    /// See `attacker`.
    pub victim: IpAddr,
}
