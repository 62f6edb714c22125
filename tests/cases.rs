//! Every folder of `pcaps/` is a case: what `case.toml` says must come out of `traffic.pcap`.

use crate::{replay, root};

#[test]
fn every_case_gives_what_it_says() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for capture in crate::captures() {
        let case = capture.with_file_name("case.toml");
        assert!(case.is_file(), "{} has no case.toml", capture.display());
        assert!(
            capture.with_file_name("README.md").is_file(),
            "{} has no README.md",
            capture.display()
        );
        let mut arguments = vec!["--expect", case.to_str().unwrap()];
        // What needs segments, or limits that a small capture can reach, brings its configuration.
        let sensor = capture.with_file_name("sensor.toml");
        if sensor.is_file() {
            arguments.extend(["-c", sensor.to_str().unwrap()]);
        }
        let (_, output) = replay(&capture, &arguments);
        cases += 1;
        if !output.status.success() {
            let name = capture
                .parent()
                .unwrap()
                .strip_prefix(root())
                .unwrap()
                .display()
                .to_string();
            failures.push(format!(
                "{name}: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    assert!(cases > 20, "only {cases} cases");
    assert!(
        failures.is_empty(),
        "{} of {cases} cases fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn eve_lines_are_json_with_the_exact_timestamp_form() {
    let (eve, _) = replay(&root().join("pcaps/http_browse/traffic.pcap"), &[]);
    assert!(!eve.is_empty());
    for line in eve.lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let timestamp = value["timestamp"].as_str().unwrap();
        assert_eq!(
            (timestamp.len(), &timestamp[26..]),
            (31, "+0000"),
            "{timestamp}"
        );
        assert!(value["event_type"].is_string());
    }
}

#[test]
fn strict_eve_has_no_key_of_ours() {
    let (eve, _) = replay(
        &root().join("pcaps/webattack_sqli/traffic.pcap"),
        &["--set", "eve.strict=true"],
    );
    let alerts = eve
        .lines()
        .filter(|l| l.contains("\"event_type\":\"alert\""));
    for line in alerts {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value.get("sekisho").is_none());
        assert!(value["alert"]["metadata"]["sekisho_level"][0].is_string());
    }
}
