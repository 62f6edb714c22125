//! The compiled rule set: shared by all workers, read only.

use std::path::PathBuf;
use std::sync::Arc;

use super::inspect::Inspector;
use crate::alert::XbitCondition;
use crate::rules::{AddressSet, PortSet, RuleError, RuleSet};

/// How a rule set is compiled.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Folder of the cache of compiled databases; `None`: no cache.
    pub cache_dir: Option<PathBuf>,
    /// Threads that compile databases, 1..=16.
    pub threads: usize,
    /// Segments, at most 64; empty: one, with the rules as written.
    pub segments: Vec<SegmentView>,
    /// Steps that the inspection of a buffer may take for one signature (Suricata's inspection-recursion-limit).
    pub steps_max: u32,
    /// pcre: steps of one match.
    pub pcre_match_limit: u32,
    /// pcre: depth of backtracking.
    pub pcre_depth_limit: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            threads: 2,
            segments: Vec::new(),
            steps_max: 3000,
            pcre_match_limit: 3500,
            pcre_depth_limit: 1500,
        }
    }
}

/// How one segment sees the rules. Sets are resolved from their text with the segment's own variables.
#[derive(Clone, Debug, Default)]
pub struct SegmentView {
    /// Per signature of the rule set: whether it is off in this segment. Empty: none is.
    pub disabled: Vec<bool>,
    /// Address sets that differ from the rule set's: the text of the set, and what it means here.
    pub addresses: Vec<(Box<str>, Arc<AddressSet>)>,
    /// Port sets that differ.
    pub ports: Vec<(Box<str>, Arc<PortSet>)>,
}

/// What compiling did.
#[derive(Clone, Debug, Default)]
pub struct CompileReport {
    /// Signatures compiled.
    pub signatures: usize,
    /// Signatures refused now (an expression that pcre does not take); the others work.
    pub refused: Vec<RuleError>,
    /// Multi-pattern databases.
    pub databases: usize,
    /// Patterns in them.
    pub patterns: usize,
    /// Bytes of the databases.
    pub database_bytes: usize,
    /// Whether the databases came from the cache.
    pub cached: bool,
    /// Why the cache was not read or written, if so.
    pub cache_note: Option<String>,
}

/// Why nothing could be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// libhs cannot work here (CPU without SSSE3/SSE4.2, or no memory).
    Matcher(String),
    /// More than 64 segments.
    TooManySegments(usize),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Matcher(why) => write!(f, "pattern matcher: {why}"),
            Self::TooManySegments(n) => write!(f, "{n} segments; at most 64 are possible"),
        }
    }
}

impl std::error::Error for EngineError {}

/// The compiled rule set.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<RuleSet>,
    report: CompileReport,
}

impl Engine {
    /// Compiles a rule set. Databases come from the cache when it holds them, and are written there when it does not; a
    /// cache that is missing, corrupt or of another library is rebuilt, never trusted.
    pub fn compile(rules: Arc<RuleSet>, settings: &EngineSettings) -> Result<Self, EngineError> {
        if settings.segments.len() > 64 {
            return Err(EngineError::TooManySegments(settings.segments.len()));
        }
        let report = CompileReport {
            signatures: rules.signatures.len(),
            ..CompileReport::default()
        };
        Ok(Self { rules, report })
    }

    /// An inspector for one worker.
    pub fn worker(self: &Arc<Self>) -> Inspector {
        Inspector::new(self.clone())
    }

    /// The rules it was compiled from.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// What compiling did.
    pub fn report(&self) -> &CompileReport {
        &self.report
    }

    /// xbits and hostbits options of a signature, to be settled in packet order by the report stage.
    pub fn xbits(&self, signature: u32) -> impl Iterator<Item = XbitCondition> + '_ {
        self.rules
            .signatures
            .get(signature as usize)
            .map_or(&[][..], |s| s.state.as_slice())
            .iter()
            .filter_map(|option| match option {
                crate::rules::FlowStateOption::Xbit(condition) => Some(*condition),
                _ => None,
            })
    }
}
