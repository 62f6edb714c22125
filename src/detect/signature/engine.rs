//! The compiled rule set: shared by all workers, read only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::cache::{self, Key, KeyBuilder, Kind};
use super::compiled::{Compiled, Draft};
use super::inspect::Inspector;
use super::prefilter::MatcherBuilder;
use super::succession::Succession;
use super::values::Transforms;
use crate::alert::XbitCondition;
use crate::app::Digests;
use crate::rules::{AddressSet, PortSet, RuleError, RuleSet, Test};
use crate::sys::hs::{Database, HsError};
use crate::sys::pcre::{Regex, RegexOptions};

/// Patterns and expressions from which on compiled databases are kept in the cache.
const CACHE_WORTH_MIN: usize = 500;

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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// What a segment makes of the rules: why not.
    Segment(String),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Matcher(why) => write!(f, "pattern matcher: {why}"),
            Self::Segment(why) => f.write_str(why),
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
    pub(super) compiled: Compiled,
    pub(super) transforms: Transforms,
    pub(super) settings: EngineSettings,
    /// Tells the memory that flows keep of this engine from that of another.
    pub(super) generation: u32,
    /// What the memory of older engines means here.
    pub(super) succession: Succession,
    /// Number of its first signature in findings.
    first: u32,
}

impl Engine {
    /// Compiles a rule set. Databases come from the cache when it holds them, and are written there when it does not; a
    /// cache that is missing, corrupt or of another library is rebuilt, never trusted.
    pub fn compile(rules: Arc<RuleSet>, settings: &EngineSettings) -> Result<Self, EngineError> {
        Ok(Self::compile_keyed(rules, settings)?.0)
    }

    /// Compiles; and says under which key the cache has the databases, if it does.
    pub(super) fn compile_keyed(
        rules: Arc<RuleSet>,
        settings: &EngineSettings,
    ) -> Result<(Self, Option<Key>), EngineError> {
        if settings.segments.len() > 64 {
            return Err(EngineError::TooManySegments(settings.segments.len()));
        }
        let mut report = CompileReport::default();
        let expressions = Expressions::of(&rules);
        let Draft {
            mut compiled,
            matchers,
        } = Compiled::draft(&rules, &settings.segments);
        let mut key = KeyBuilder::new();
        for matcher in &matchers {
            key.literals(&matcher.literals());
        }
        expressions.add_to(&mut key);
        let key = key.finish();
        // A few patterns are compiled sooner than a file is read, and would only push out what is worth keeping.
        let worth =
            matchers.iter().map(MatcherBuilder::len).sum::<usize>() + expressions.list.len();
        let cache_dir = settings
            .cache_dir
            .as_deref()
            .filter(|_| worth >= CACHE_WORTH_MIN);
        let restored = cache_dir.and_then(|folder| {
            let restored = databases(folder, key);
            if let Err(why) = &restored {
                report.cache_note = Some(why.clone());
            }
            let (databases, refused) = restored.ok().flatten()?;
            (databases.len() == matchers.len()).then_some((databases, refused))
        });
        report.cached = restored.is_some();
        let mut kept = restored.is_some();
        let (databases, refused) = match restored {
            Some(restored) => restored,
            None => {
                let refused = expressions.refused(settings.threads);
                let databases = compile_all(&matchers, settings.threads)?;
                if let Some(folder) = cache_dir {
                    let stored = store(folder, key, &databases, &refused);
                    kept = stored.is_ok();
                    report.cache_note = stored.err().or(report.cache_note);
                }
                (databases, refused)
            }
        };
        let off = expressions.signatures(&refused);
        for (index, expression) in &off {
            if let Some(signature) = rules.signatures.get(*index as usize) {
                report.refused.push(refusal(&rules, signature, expression));
            }
        }
        report.signatures = compiled.signatures.len().saturating_sub(off.len());
        report.patterns = matchers.iter().map(MatcherBuilder::len).sum();
        report.databases = databases.len();
        report.database_bytes = databases.iter().map(Database::size).sum();
        compiled.matchers = matchers
            .into_iter()
            .zip(databases)
            .map(|(m, d)| m.finish(d))
            .collect();
        compiled.switch_off(&off);
        Ok((
            Self::of(rules, compiled, report, settings.clone()),
            kept.then_some(key),
        ))
    }

    /// An engine of its parts.
    pub(super) fn of(
        rules: Arc<RuleSet>,
        compiled: Compiled,
        report: CompileReport,
        settings: EngineSettings,
    ) -> Self {
        static GENERATIONS: AtomicU32 = AtomicU32::new(1);
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        let transforms = Transforms::of_rules(&rules);
        Self {
            rules,
            report,
            compiled,
            transforms,
            settings,
            generation,
            succession: Succession::default(),
            first: 0,
        }
    }

    /// This engine as the one that replaces `before` while traffic goes on: flows and transactions keep what they know, and
    /// the numbers of its signatures in findings are different from those of `before`.
    #[must_use]
    pub fn following(mut self, before: &Self) -> Self {
        let count =
            |engine: &Self| u32::try_from(engine.rules.signatures.len()).unwrap_or(u32::MAX);
        let next = before.first.checked_add(count(before));
        // Only the latest few engines are in use at a time, so the numbers may begin anew.
        self.first = next
            .filter(|first| first.checked_add(count(&self)).is_some())
            .unwrap_or(0);
        self.succession = Succession::of(&self, before);
        self
    }

    /// Number of its first signature in findings (`FindingSource::Signature`); 0 when nothing was reloaded.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// An inspector for one worker.
    pub fn worker(self: &Arc<Self>) -> Inspector {
        Inspector::new(self.clone())
    }

    /// The rules it was compiled from.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Adds to the report why the cache did not serve.
    pub(super) fn note(&mut self, note: Option<String>) {
        self.report.cache_note = note.or(self.report.cache_note.take());
    }

    /// What compiling did.
    pub fn report(&self) -> &CompileReport {
        &self.report
    }

    /// Whether any signature looks at frames.
    pub fn wants_frames(&self) -> bool {
        !self.compiled.frames.is_empty()
    }

    /// The digests of files that signatures ask for.
    pub fn wants_digests(&self) -> Digests {
        self.compiled.digests
    }

    /// Whether any signature looks at the raw stream; if none does, windows need not be kept.
    pub fn wants_stream(&self) -> bool {
        self.compiled.wants_stream.contains(&true)
    }

    /// xbits and hostbits options of a signature, to be settled in packet order by the report stage.
    pub fn xbits(&self, signature: u32) -> Vec<XbitCondition> {
        self.rules
            .signatures
            .get(signature as usize)
            .map_or(&[][..], |s| s.state.as_slice())
            .iter()
            .filter_map(|option| match option {
                crate::rules::FlowStateOption::Xbit(condition) => Some(*condition),
                _ => None,
            })
            .collect()
    }
}

fn refusal(rules: &RuleSet, signature: &crate::rules::Signature, expression: &str) -> RuleError {
    let (file, line) = signature.origin;
    RuleError {
        file: rules
            .files
            .get(usize::from(file))
            .cloned()
            .unwrap_or_default(),
        line,
        sid: Some(signature.sid),
        message: format!("pcre: {expression}"),
    }
}

fn store(folder: &Path, key: Key, databases: &[Database], refused: &[u32]) -> Result<(), String> {
    let databases: Result<Vec<Vec<u8>>, _> = databases.iter().map(Database::serialize).collect();
    let databases = databases.map_err(|error| error.to_string())?;
    let stored = cache::Databases {
        refused: refused.to_vec(),
        list: databases.iter().map(Vec::as_slice).collect(),
    };
    cache::write(folder, Kind::Databases, key, &stored.body()?)
}

/// Databases, and the expressions that pcre2 refuses, by index.
type Cached = (Vec<Database>, Vec<u32>);

/// What the cache has of them. `Ok(None)`: it has none under the key.
pub(super) fn databases(folder: &Path, key: Key) -> Result<Option<Cached>, String> {
    let Some(sealed) = cache::read(folder, Kind::Databases, key)? else {
        return Ok(None);
    };
    let stored = cache::Databases::parse(sealed.body()).ok_or("cached databases: corrupt")?;
    let databases: Result<Vec<Database>, _> = stored
        .list
        .iter()
        .map(|b| Database::deserialize(b))
        .collect();
    let databases = databases.map_err(|error| error.to_string())?;
    Ok(Some((databases, stored.refused)))
}

/// Compiles every database, the largest first, on `threads` threads.
fn compile_all(matchers: &[MatcherBuilder], threads: usize) -> Result<Vec<Database>, EngineError> {
    let mut order: Vec<usize> = (0..matchers.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(matchers.get(*i).map_or(0, MatcherBuilder::len)));
    let next = AtomicU32::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if let Some(matcher) = matchers.get(*index) {
                done.push((*index, Database::compile(&matcher.literals())));
            }
        }
        done
    };
    let mut compiled: Vec<(usize, Result<Database, HsError>)> = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.clamp(1, 16))
            .map(|_| scope.spawn(work))
            .collect();
        let mut all = work();
        for helper in helpers {
            if let Ok(done) = helper.join() {
                all.extend(done);
            }
        }
        all
    });
    compiled.sort_by_key(|(index, _)| *index);
    if compiled.len() != matchers.len() {
        return Err(EngineError::Matcher("a compiling thread failed".to_owned()));
    }
    compiled
        .into_iter()
        .map(|(_, database)| database.map_err(|e| EngineError::Matcher(e.to_string())))
        .collect()
}

/// The different expressions of a rule set, and which signatures use them.
struct Expressions<'r> {
    list: Vec<(&'r str, RegexOptions)>,
    uses: Vec<(u32, u32)>,
}

impl<'r> Expressions<'r> {
    fn of(rules: &'r RuleSet) -> Self {
        let mut known: HashMap<(&str, &str, bool), u32, foldhash::fast::RandomState> =
            HashMap::default();
        let mut this = Self {
            list: Vec::new(),
            uses: Vec::new(),
        };
        for signature in &rules.signatures {
            for test in signature.groups.iter().flat_map(|g| &g.tests) {
                let Test::Pcre(pcre) = test else { continue };
                let captures = !pcre.captures.is_empty();
                let next = u32::try_from(this.list.len()).unwrap_or(u32::MAX);
                let at = *known
                    .entry((&pcre.expression, &pcre.flags, captures))
                    .or_insert(next);
                if at == next {
                    let options = RegexOptions {
                        captures,
                        ..RegexOptions::from_letters(&pcre.flags)
                    };
                    this.list.push((&pcre.expression, options));
                }
                this.uses.push((signature.index, at));
            }
        }
        this
    }

    fn add_to(&self, key: &mut KeyBuilder) {
        for (expression, options) in &self.list {
            key.bytes(expression.as_bytes());
            key.bytes(&options.bits().to_le_bytes());
            key.bytes(&[u8::from(options.captures)]);
        }
    }

    /// Those that pcre2 does not compile.
    fn refused(&self, threads: usize) -> Vec<u32> {
        let threads = threads.clamp(1, 16);
        let share = self.list.len().div_ceil(threads).max(1);
        let check = |(at, (expression, options)): (usize, &(&str, RegexOptions))| {
            Regex::compile(expression.as_bytes(), *options)
                .is_err()
                .then(|| u32::try_from(at).ok())
                .flatten()
        };
        std::thread::scope(|scope| {
            let parts: Vec<_> = self
                .list
                .chunks(share)
                .enumerate()
                .map(|(i, part)| {
                    scope.spawn(move || {
                        (i * share..)
                            .zip(part)
                            .filter_map(check)
                            .collect::<Vec<u32>>()
                    })
                })
                .collect();
            parts
                .into_iter()
                .filter_map(|part| part.join().ok())
                .flatten()
                .collect()
        })
    }

    /// Signatures that use a refused expression, with what is wrong.
    fn signatures(&self, refused: &[u32]) -> Vec<(u32, String)> {
        let mut off: Vec<(u32, String)> = Vec::new();
        if refused.is_empty() {
            return off;
        }
        for (signature, expression) in &self.uses {
            if refused.contains(expression)
                && off.last().is_none_or(|(last, _)| last != signature)
                && let Some((text, options)) = self.list.get(*expression as usize)
            {
                let why = Regex::compile(text.as_bytes(), *options)
                    .err()
                    .map(|e| e.to_string());
                off.push((*signature, why.unwrap_or_else(|| "refused".to_owned())));
            }
        }
        off
    }
}
