//! `sekisho config check|show`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

/// Checks a configuration, or shows what is in force.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Reports every error at once.
    Check(Arguments),
    /// Prints every key with its value and where it came from.
    Show(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration file.
    #[arg(short)]
    config: Option<PathBuf>,
    /// Sets a key.
    #[arg(long = "set", value_name = "K=V")]
    sets: Vec<String>,
}

/// Carries it out.
pub fn run(command: &Command) -> Result<ExitCode> {
    let (Command::Check(arguments) | Command::Show(arguments)) = command;
    let config = match super::load_config(arguments.config.as_deref(), &arguments.sets) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    match command {
        Command::Check(_) => println!("configuration is good"),
        Command::Show(_) => print!("{}", config.show()),
    }
    Ok(ExitCode::SUCCESS)
}
