//! One file a command.

mod compare;
pub mod config;
pub mod ctl;
mod daemon;
mod guard;
mod rehearse;
pub mod replay;
pub mod ruleset;
pub mod run;
mod top;
mod tune;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use sekisho::config::{Config, ConfigError};
use sekisho::detect::signature::{Engine, EngineSettings};
use sekisho::pipeline::evidence::{Clerk, Desk};
use sekisho::pipeline::{ReportStage, Thresholds};
use sekisho::rules::{self, DataSettings, LoadError, LoadSettings, RuleSet};
use sekisho::sink::Sink;
use sekisho::sink::evidence::EvidenceStore;

/// Prints every error of a configuration; exit code 2.
fn print_errors(errors: &[ConfigError]) -> ExitCode {
    for error in errors {
        eprintln!("sekisho: {error}");
    }
    ExitCode::from(2)
}

/// Loads a configuration, or says all that is wrong with it.
fn load_config(file: Option<&Path>, sets: &[String]) -> Result<Config, ExitCode> {
    Config::load(file, sets).map_err(|errors| print_errors(&errors))
}

/// What the rules of a configuration are loaded from.
fn load_settings(config: &Config) -> LoadSettings {
    LoadSettings {
        paths: config.rule_files.clone(),
        variables: config.variables.clone(),
        classification: config.classification_file.clone(),
        reference: config.reference_file.clone(),
        data: data_settings(config),
        ..LoadSettings::default()
    }
}

/// Files besides the rules that rules ask about.
fn data_settings(config: &Config) -> DataSettings {
    let mut data = config.data.clone();
    data.datasets.folder = datasets_folder(config);
    data
}

/// Where data sets lie that rules write.
fn datasets_folder(config: &Config) -> PathBuf {
    let folder = config.datasets_folder.clone();
    folder.unwrap_or_else(|| config.log_dir.join("data"))
}

/// Writes the data sets that rules changed, where they are to be kept. Each file is replaced as a whole.
fn save_datasets(report: &ReportStage) {
    let datasets = report.grader().datasets();
    for fault in sekisho::pipeline::control::write_datasets(datasets.to_save()) {
        eprintln!("sekisho: {fault}");
    }
    let refused = datasets.refused();
    if refused > 0 {
        eprintln!("sekisho: data sets: {refused} values did not fit (memcap)");
    }
}

/// All that could not be read, in one error.
fn unreadable(errors: Vec<LoadError>) -> anyhow::Error {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{}", lines.join("; "))
}

/// Loads the rules of a configuration.
fn load_rules(config: &Config) -> anyhow::Result<RuleSet> {
    rules::load(&load_settings(config)).map_err(unreadable)
}

/// Loads and compiles the rules of a configuration. Refused rules are in the report; the others work.
fn compile_engine(config: &Config) -> anyhow::Result<Engine> {
    let load = load_settings(config);
    let files = rules::read_files(&load).map_err(unreadable)?;
    let settings = EngineSettings {
        cache_dir: cache_dir(config),
        ..EngineSettings::default()
    };
    let views = |rules: &RuleSet| config.segment_views(rules);
    let segments = config.segment_views_text();
    Ok(Engine::load(files, &load, settings, &segments, views)?)
}

/// Loads and compiles for a process that uses no other rules until it ends.
fn load_engine(config: &Config) -> anyhow::Result<Arc<Engine>> {
    let engine = Arc::new(compile_engine(config)?);
    // The process ends with it: freeing 26,000 signatures one by one would take 40 ms for nothing.
    std::mem::forget(Arc::clone(&engine));
    Ok(engine)
}

/// The report stage of a configuration, with the thresholds of its segments.
fn report_stage(config: &Config, engine: &Engine, sinks: Vec<Box<dyn Sink>>) -> ReportStage {
    let settings = (config.grade.clone(), &config.anomaly, config.eve);
    let mut report = ReportStage::new(Arc::clone(engine.rules()), settings, sinks);
    for segment in 0..config.grade.segments.list.len() {
        if let Some(detectors) = config.detectors_of(segment) {
            report.tune(segment, &detectors);
        }
    }
    report
}

/// Thresholds of detectors, with those of segments.
fn thresholds(config: &Config) -> Thresholds {
    let list = config.grade.segments.list.iter().enumerate();
    let own = list.filter_map(|(at, s)| Some((s.name.clone(), config.detectors_of(at)?)));
    Thresholds {
        all: config.anomaly.clone(),
        own: own.collect(),
    }
}

/// Where compiled rules are kept: as configured, else the user's cache folder.
fn cache_dir(config: &Config) -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    config
        .cache_dir
        .clone()
        .or_else(|| variable("XDG_CACHE_HOME").map(|d| d.join("sekisho")))
        .or_else(|| variable("HOME").map(|d| d.join(".cache/sekisho")))
}

/// Errors of rules shown at most.
const ERRORS_SHOWN: usize = 20;

/// Says on stderr which rules were refused.
fn print_refused(engine: &Engine) {
    let errors: Vec<_> = engine
        .rules()
        .errors
        .iter()
        .chain(&engine.report().refused)
        .collect();
    for error in errors.iter().take(ERRORS_SHOWN) {
        eprintln!("sekisho: {error}");
    }
    if !errors.is_empty() {
        eprintln!(
            "sekisho: {} rules refused, {} loaded",
            errors.len(),
            engine.rules().signatures.len()
        );
    }
}

/// Folder of the project's own rules: beside the program when it is installed, else where it was built.
fn bundled_signatures() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| {
        let exe = exe.canonicalize().unwrap_or(exe);
        exe.ancestors()
            .skip(1)
            .take(4)
            .map(|folder| folder.join("signatures"))
            .find(|f| f.is_dir())
    });
    let installed = || Some(PathBuf::from("/usr/share/sekisho/signatures")).filter(|f| f.is_dir());
    let built =
        || Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures")).filter(|f| f.is_dir());
    beside.or_else(installed).or_else(built)
}

/// Where packets of alerts are kept.
fn evidence_folder(config: &Config) -> PathBuf {
    let folder = config.operation.evidence.folder.clone();
    folder.unwrap_or_else(|| config.log_dir.join("evidence"))
}

/// The folder with its bounds.
fn evidence_store(config: &Config) -> EvidenceStore {
    EvidenceStore::new(evidence_folder(config), config.operation.evidence.clone())
}

/// Who names the files of alerts; none when nothing is kept.
fn evidence_clerk(config: &Config, desk: &Arc<Desk>) -> Option<Clerk> {
    let settings = &config.operation.evidence;
    let folder = settings.folder.as_ref();
    let prefix = folder.map_or("evidence".to_owned(), |f| f.display().to_string());
    let level = settings.level?;
    Some(Clerk::new(Arc::clone(desk), level, prefix))
}
