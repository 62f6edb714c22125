//! The command line: one match over the commands.
//!
//! Exit codes: 0 done · 1 error · 2 bad usage or configuration · 3 `--fail-on` or `--expect` not met.

mod command;

/// Counts what parsers hold, so that their bound holds (`app-layer.memcap`).
#[global_allocator]
static ALLOCATOR: sekisho::sys::heap::Counting = sekisho::sys::heap::Counting;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An inline network sensor: Suricata's rules, behaviour of hosts, graded and explained alerts.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replays capture files into graded alerts.
    Replay(command::replay::Arguments),
    /// Watches interfaces, or stands between them.
    Run(command::run::Arguments),
    /// Asks a running sensor, or tells it what to do.
    Ctl(command::ctl::Arguments),
    /// Looks at rules: what loads, what is refused and why.
    #[command(subcommand)]
    Rules(command::ruleset::Command),
    /// Checks a configuration, or shows what is in force.
    #[command(subcommand)]
    Config(command::config::Command),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let result = match arguments.command {
        Command::Replay(arguments) => command::replay::run(&arguments),
        Command::Run(arguments) => command::run::run(&arguments),
        Command::Ctl(arguments) => command::ctl::run(&arguments),
        Command::Rules(command) => command::ruleset::run(&command),
        Command::Config(command) => command::config::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sekisho: {error:#}");
            ExitCode::FAILURE
        }
    }
}
