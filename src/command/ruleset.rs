//! `sekisho rules check|list|explain`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use sekisho::config::Config;

/// Looks at rules.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Loads and compiles rules: what is refused, and why.
    Check(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    /// Rule files and folders; default: the bundled ones.
    files: Vec<PathBuf>,
    /// The configuration file.
    #[arg(short)]
    config: Option<PathBuf>,
    /// Sets a key.
    #[arg(long = "set", value_name = "K=V")]
    sets: Vec<String>,
}

/// Carries it out.
pub fn run(command: &Command) -> Result<ExitCode> {
    let Command::Check(arguments) = command;
    let mut config = match super::load_config(arguments.config.as_deref(), &arguments.sets) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    if !arguments.files.is_empty() {
        config.rule_files.clone_from(&arguments.files);
    } else if config.rule_files.is_empty() {
        config.rule_files.extend(super::bundled_signatures());
    }
    check(&config)
}

/// What loads, what is refused and why, and what it costs.
fn check(config: &Config) -> Result<ExitCode> {
    let engine = super::load_engine(config)?;
    let (rules, report) = (engine.rules(), engine.report());
    let refused = rules.errors.len() + report.refused.len();
    for error in rules.errors.iter().chain(&report.refused) {
        println!("refused  {error}");
    }
    for skipped in &rules.skipped {
        println!("skipped  {skipped}");
    }
    for warning in &rules.warnings {
        println!("warning  {warning}");
    }
    for (at, file) in rules.files.iter().enumerate() {
        let loaded = rules
            .signatures
            .iter()
            .filter(|s| usize::from(s.origin.0) == at)
            .count();
        let of_file = rules
            .errors
            .iter()
            .chain(&report.refused)
            .filter(|e| e.file == *file)
            .count();
        println!("{file}: {loaded} loaded, {of_file} refused");
    }
    println!(
        "{} loaded, {refused} refused, {} skipped, {} warnings",
        rules.signatures.len(),
        rules.skipped.len(),
        rules.warnings.len()
    );
    let origin = if report.cached {
        "from the cache"
    } else {
        "compiled"
    };
    println!(
        "{} patterns in {} databases, {} KiB, {origin}",
        report.patterns,
        report.databases,
        report.database_bytes / 1024
    );
    if let Some(note) = &report.cache_note {
        println!("cache: {note}");
    }
    let usage = sekisho::sys::usage();
    println!(
        "{:.2} s of processor time ({:.2} user, {:.2} system), peak memory {} MiB",
        usage.user_secs + usage.system_secs,
        usage.user_secs,
        usage.system_secs,
        usage.peak_bytes >> 20
    );
    Ok(if refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
