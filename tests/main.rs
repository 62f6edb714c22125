//! Integration tests: one binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod cases;
mod data;
mod declared;
mod detection;
mod flood;
mod fuzz_regressions;
mod house;
mod lab;
mod live;
mod live_methods;
mod live_policies;
mod malformed;
mod operate;
mod switched;
mod syslog;
mod workers;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every capture of `pcaps/`.
fn captures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("pcaps")).unwrap() {
        let traffic = entry.unwrap().path().join("traffic.pcap");
        if traffic.is_file() {
            found.push(traffic);
        }
    }
    found.sort();
    found
}

/// Runs the program.
fn sekisho(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap()
}

/// Replays a capture with the default configuration and gives eve.json and what was printed.
fn replay(capture: &Path, more: &[&str]) -> (String, Output) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().to_str().unwrap();
    let mut arguments = vec!["replay", "-l", log, capture.to_str().unwrap()];
    arguments.extend_from_slice(more);
    let output = sekisho(&arguments);
    (
        std::fs::read_to_string(folder.path().join("eve.json")).unwrap_or_default(),
        output,
    )
}
