//! The house rules that the compiler does not check.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::root;

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    files
        .into_iter()
        .map(|p| (p.clone(), std::fs::read_to_string(p).unwrap()))
        .collect()
}

#[test]
fn a_module_names_only_modules_declared_above_it() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let order: BTreeMap<&str, usize> = lib
        .lines()
        .filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';'))
        .enumerate()
        .map(|(i, name)| (name, i))
        .collect();
    assert!(order.len() >= 15);
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let own = inside
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let Some(&own_at) = order.get(own) else {
            continue;
        };
        // Tests may use what they like.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            for part in line.split("crate::").skip(1) {
                let name: String = part
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if order.get(name.as_str()).is_some_and(|at| *at > own_at) {
                    wrong.push(format!(
                        "{}:{}: {own} names {name}",
                        inside.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let bare: Vec<_> = sources()
        .into_iter()
        .filter(|(_, t)| !t.starts_with("//!"))
        .map(|(p, _)| p)
        .collect();
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn the_core_reads_no_clock_does_no_io_and_starts_no_thread() {
    let core = [
        "packet", "alert", "decode", "flow", "stream", "app", "asset", "grade",
    ];
    let banned = [
        "Instant::now",
        "SystemTime::now",
        "thread::spawn",
        "thread::sleep",
        "std::fs::",
        "std::net::Tcp",
        "std::net::Udp",
        "println!",
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let own = inside.iter().next().unwrap().to_str().unwrap();
        if !core.contains(&own) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in banned {
            if code
                .lines()
                .any(|l| l.split("//").next().unwrap().contains(word))
            {
                wrong.push(format!("{}: {word}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_detector_is_listed_with_its_number_in_the_docs() {
    let docs = std::fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let missing: Vec<_> = sekisho::detect::anomaly::DETECTORS
        .iter()
        .filter(|d| !docs.contains(&format!("| {} | `{}` |", d.sid, d.name)))
        .map(|d| d.name)
        .collect();
    assert!(missing.is_empty(), "docs/alerts.md lacks {missing:?}");
    let listed = docs
        .lines()
        .filter(|l| l.starts_with("| ") && l.as_bytes().get(2).is_some_and(u8::is_ascii_digit))
        .count();
    assert_eq!(listed, sekisho::detect::anomaly::DETECTORS.len());
}

/// Text of every file under a folder.
fn texts(folder: &std::path::Path, out: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_trap_in_the_documentation_has_its_test() {
    let docs = std::fs::read_to_string(root().join("docs/detection.md")).unwrap();
    let from = docs.find("## Traps, and the test").unwrap();
    let section = docs[from..].split("\n## ").next().unwrap();
    let mut program = String::new();
    texts(&root().join("src"), &mut program);
    let names: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .flat_map(|line| line.rsplit('|').nth(1).unwrap_or_default().split('`'))
        .filter(|word| word.contains('_'))
        .collect();
    assert!(names.len() > 40, "{}", names.len());
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !program.contains(&format!("fn {name}()")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
