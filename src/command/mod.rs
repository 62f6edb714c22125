//! One file a command.

pub mod config;
pub mod replay;
pub mod rules;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sekisho::config::{Config, ConfigError};

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
