//! `sekisho rules check|list|explain`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use sekisho::config::Config;

/// Looks at rules.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Loads and compiles rules: what is refused, and why.
    Check(Arguments),
    /// Lists the rules that load.
    List(ListArguments),
    /// Tells one rule in words: what it looks at, what must hold, what follows.
    Explain(ExplainArguments),
    /// What each rule and detector costs in each segment, from replayed traffic; proposes settings for the loudest.
    Tune(super::tune::Arguments),
}

#[derive(clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    rules: Arguments,
    /// Only rules whose message, class or metadata contains this, in any case.
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Only rules of this class.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Only rules about this application protocol.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct ExplainArguments {
    /// The rule's sid.
    sid: u32,
    #[command(flatten)]
    rules: Arguments,
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
    if let Command::Tune(arguments) = command {
        return tune(arguments);
    }
    let arguments = match command {
        Command::Check(arguments) => arguments,
        Command::List(arguments) => &arguments.rules,
        Command::Explain(arguments) => &arguments.rules,
        Command::Tune(_) => return Ok(ExitCode::FAILURE),
    };
    let mut config = match super::load_config(arguments.config.as_deref(), &arguments.sets) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    if !arguments.files.is_empty() {
        config.rule_files.clone_from(&arguments.files);
    } else if config.rule_files.is_empty() {
        config.rule_files.extend(super::bundled_signatures());
    }
    match command {
        Command::Check(_) => check(&config),
        Command::List(arguments) => list(&config, arguments),
        Command::Explain(arguments) => explain(&config, arguments.sid),
        Command::Tune(_) => Ok(ExitCode::FAILURE),
    }
}

fn tune(arguments: &super::tune::Arguments) -> Result<ExitCode> {
    let mut config = match super::load_config(arguments.config.as_deref(), &arguments.sets) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    if !arguments.only_rules.is_empty() {
        config.rule_files.clone_from(&arguments.only_rules);
    } else if config.rule_files.is_empty() {
        config.rule_files.extend(super::bundled_signatures());
    }
    super::tune::run(&config, arguments)
}

/// The rules that load, filtered.
fn list(config: &Config, filter: &ListArguments) -> Result<ExitCode> {
    let set = super::load_rules(config)?;
    let mut out = std::io::stdout().lock();
    let contains = filter.contains.as_ref().map(|text| text.to_lowercase());
    for signature in &set.signatures {
        let class = signature
            .class
            .and_then(|c| set.classes.get(usize::from(c)))
            .map_or("", |c| c.name.as_str());
        let protocols: Vec<&str> = signature.app.iter().map(|p| p.name()).collect();
        let text = || format!("{} {class} {}", signature.msg, signature.metadata.0).to_lowercase();
        let wanted = filter
            .class
            .as_ref()
            .is_none_or(|c| c.eq_ignore_ascii_case(class))
            && filter
                .protocol
                .as_ref()
                .is_none_or(|p| protocols.contains(&p.as_str()))
            && contains.as_ref().is_none_or(|part| text().contains(part));
        if !wanted {
            continue;
        }
        let file = set
            .files
            .get(usize::from(signature.origin.0))
            .map_or("", String::as_str);
        let line = signature.origin.1;
        let written = if filter.json {
            let metadata: serde_json::Map<String, serde_json::Value> = signature
                .metadata
                .iter()
                .map(|(k, v)| (k.to_owned(), v.into()))
                .collect();
            let object = serde_json::json!({
                "gid": signature.gid, "sid": signature.sid.0, "rev": signature.rev, "msg": &*signature.msg,
                "class": class, "priority": signature.priority, "action": format!("{:?}", signature.action).to_lowercase(),
                "kind": format!("{:?}", signature.kind), "protocols": protocols, "silent": signature.silent,
                "metadata": metadata, "file": file, "line": line,
            });
            writeln!(out, "{object}")
        } else {
            writeln!(
                out,
                "{:>10}  {:>3}  {:<26} {}",
                signature.sid.0, signature.rev, class, signature.msg
            )
        };
        match written {
            Ok(()) => {}
            // `rules list | head` closes the pipe; that is no error.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One rule in words.
fn explain(config: &Config, sid: u32) -> Result<ExitCode> {
    let set = super::load_rules(config)?;
    let mut found = false;
    for signature in set.signatures.iter().filter(|s| s.sid.0 == sid) {
        print!("{}", sekisho::rules::explain(&set, signature));
        found = true;
    }
    for error in set
        .errors
        .iter()
        .filter(|e| e.sid.is_some_and(|s| s.0 == sid))
    {
        println!("refused  {error}");
        found = true;
    }
    if !found {
        eprintln!("sekisho: no rule has the sid {sid}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
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
        let loaded = rules.signatures.of_file(at);
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
