//! A compiled rule set in the cache: with it a start reads neither rules nor patterns, and a rule's text only when the
//! rule is looked at ([`crate::rules::Signatures`]).
//!
//! The key is made of everything that goes into loading and compiling: the program's own source, libhs and the CPU, the
//! bytes of the rule files, variables, classification, and what segments change. Rules that name data sets, reputations or
//! countries are compiled at every start, because these are of other files.

use std::path::Path;
use std::sync::Arc;

use super::cache::{self, Key, KeyBuilder, Kind};
use super::compiled::Compiled;
use super::engine::{CompileReport, Engine, EngineError, EngineSettings, SegmentView, databases};
use super::prefilter::{Matcher, PatternTable};
use crate::rules::{LoadSettings, RuleFiles, RuleSet, load_files};

/// Bytes of rules from which on it is worth it: some five hundred rules.
const WORTH_MIN: usize = 256 * 1024;

/// What is stored, as it is read. (It is written from references to the same, in the same order.)
type Stored = (RuleSet, Compiled, Vec<PatternTable>, CompileReport);

impl Engine {
    /// Loads and compiles the rules of files, or takes both from the cache. `views` gives the segments' views of loaded
    /// rules; `segments` tells one state of their configuration from another.
    pub fn load(
        files: RuleFiles,
        load: &LoadSettings,
        settings: EngineSettings,
        segments: &str,
        views: impl FnOnce(&RuleSet) -> Result<Vec<SegmentView>, String>,
    ) -> Result<Self, EngineError> {
        let size: usize = files.pieces().map(|(_, bytes)| bytes.len()).sum();
        let folder = settings.cache_dir.clone().filter(|_| size >= WORTH_MIN);
        let Some(folder) = folder else {
            return Ok(compile(&files, load, settings, views)?.0);
        };
        let key = key(&files, load, segments);
        let mut note = None;
        match restore(&folder, key) {
            Ok(Some((rules, compiled, report))) => {
                let rules = Arc::new(rules.with_text(files, &load.variables));
                let report = CompileReport {
                    cached: true,
                    cache_note: None,
                    ..report
                };
                return Ok(Self::of(rules, compiled, report, settings));
            }
            Ok(None) => {}
            Err(why) => note = Some(why),
        }
        let (mut engine, databases) = compile(&files, load, settings, views)?;
        if let Some(databases) = databases
            && let Some(body) = engine.stored(databases)
            && let Err(why) = cache::write(&folder, Kind::RuleSet, key, &body)
        {
            note = Some(why);
        }
        engine.note(note);
        Ok(engine)
    }

    /// The body of its file; `None` when something in it cannot be stored.
    fn stored(&self, databases: Key) -> Option<Vec<u8>> {
        if self.rules().uncached {
            return None;
        }
        let tables: Vec<&PatternTable> =
            self.compiled.matchers.iter().map(Matcher::table).collect();
        let parts = (&**self.rules(), &self.compiled, tables, self.report());
        postcard::to_extend(&parts, databases.0.to_vec()).ok()
    }
}

fn compile(
    files: &RuleFiles,
    load: &LoadSettings,
    settings: EngineSettings,
    views: impl FnOnce(&RuleSet) -> Result<Vec<SegmentView>, String>,
) -> Result<(Engine, Option<Key>), EngineError> {
    let rules = load_files(load, files);
    let segments = views(&rules).map_err(EngineError::Segment)?;
    let settings = EngineSettings {
        segments,
        ..settings
    };
    Engine::compile_keyed(Arc::new(rules), &settings)
}

fn key(files: &RuleFiles, load: &LoadSettings, segments: &str) -> Key {
    let mut key = KeyBuilder::new();
    key.bytes(env!("SEKISHO_SOURCE").as_bytes());
    key.bytes(format!("{:?}", load.variables).as_bytes());
    key.bytes(segments.as_bytes());
    for (name, bytes) in files.pieces() {
        key.bytes(name.as_bytes());
        key.bytes(bytes);
    }
    key.finish()
}

/// What the cache has under a key; `Ok(None)` when it has nothing.
fn restore(folder: &Path, key: Key) -> Result<Option<(RuleSet, Compiled, CompileReport)>, String> {
    let Some(sealed) = cache::read(folder, Kind::RuleSet, key)? else {
        return Ok(None);
    };
    let body = sealed.body().split_first_chunk::<32>();
    let (of_databases, body) = body.ok_or("cached rule set: too short")?;
    let Some((databases, _)) = databases(folder, Key(*of_databases))? else {
        return Ok(None);
    };
    let (rules, mut compiled, tables, report): Stored =
        postcard::from_bytes(body).map_err(|error| format!("cached rule set: {error}"))?;
    if tables.len() != databases.len() {
        return Err("cached rule set: it has other databases".to_owned());
    }
    let matchers = databases.into_iter().zip(tables);
    compiled.matchers = matchers.map(|(d, t)| Matcher::restored(d, t)).collect();
    Ok(Some((rules, compiled, report)))
}
