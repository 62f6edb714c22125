//! `sekisho rules check|list|explain`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

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
    let config = match super::load_config(arguments.config.as_deref(), &arguments.sets) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let _ = (config, &arguments.files);
    Ok(ExitCode::SUCCESS)
}
