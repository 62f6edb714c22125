//! Lists beside the rules: data sets that rules change, objects, reputations, countries.

use std::path::Path;

use crate::{replay, root, sekisho};

/// Alerts of a replay: sid and `alert.context`, in order.
fn alerts(eve: &str) -> Vec<(u64, serde_json::Value)> {
    eve.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event_type"] == "alert" && event["alert"]["gid"] == 1)
        .map(|event| {
            let alert = &event["alert"];
            (
                alert["signature_id"].as_u64().unwrap(),
                alert["context"].clone(),
            )
        })
        .collect()
}

/// Writes files into a folder, and replays the look-ups of names with the rules among them.
fn looked_up(folder: &Path, files: &[(&str, &str)], workers: &str) -> String {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let rules = folder.join("t.rules");
    let capture = root().join("pcaps/dns_lookup/traffic.pcap");
    let mut sets = vec![
        "detectors.enabled=false".to_owned(),
        format!("datasets.folder={}", folder.display()),
    ];
    if folder.join("categories").exists() {
        sets.push(format!(
            "reputation-categories-file={}",
            folder.join("categories").display()
        ));
        sets.push(format!(
            "reputation-files={}",
            folder.join("scores").display()
        ));
    }
    let mut more = vec!["-S", rules.to_str().unwrap(), "--workers", workers];
    for set in &sets {
        more.extend(["--set", set]);
    }
    let (eve, output) = replay(&capture, &more);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    eve
}

#[test]
fn a_set_changes_in_the_order_of_packets_with_any_number_of_workers() {
    let rules = "\
alert dns any any -> any any (dns.query; dataset:set,seen,type string,state seen.lst; sid:1;)
alert dns any any -> any any (dns.query; content:\"missing\"; dataset:unset,seen; sid:2;)
alert dns any any -> any any (dns.query; dataset:isnotset,seen; sid:3;)
alert ip any any -> any any (ip.src; dataset:set,sources,type ip; sid:4;)
";
    let mut all = Vec::new();
    for workers in ["fused", "1", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let eve = looked_up(folder.path(), &[("t.rules", rules)], workers);
        let of = |sid| alerts(&eve).iter().filter(|(s, _)| *s == sid).count();
        // Ten different names, of which one is forgotten each time it was asked for.
        assert_eq!([of(1), of(2), of(3), of(4)], [11, 2, 2, 7], "{workers}");
        let saved = std::fs::read_to_string(folder.path().join("seen.lst")).unwrap();
        assert_eq!(saved.lines().count(), 9);
        // What was kept is known the next time.
        let again = looked_up(folder.path(), &[], workers);
        let new = alerts(&again).iter().filter(|(sid, _)| *sid == 1).count();
        assert_eq!(new, 2, "{workers}");
        all.push((eve, again, saved));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn objects_and_reputations_are_shown_and_asked() {
    let rules = "\
alert dns any any -> any any (dns.query; dataset:isset,hosts,type string,load hosts.json,format json,context_key threat,value_key host,array_key list,remove_key; sid:1;)
alert dns any any -> any any (dns.query; datarep:scores,>,200,load names.rep,type string; sid:2;)
alert ip any any -> any any (iprep:dst,Bad,>,30; sid:3;)
alert ip any any -> any any (iprep:dst,Bad,>,60; sid:4;)
";
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("t.rules", rules),
        (
            "hosts.json",
            r#"{"list":[{"host":"mail.shop.example","who":"mail"},{"none":1}]}"#,
        ),
        // www.shop.example and mail.shop.example.
        (
            "names.rep",
            "d3d3LnNob3AuZXhhbXBsZQ==,300\nbWFpbC5zaG9wLmV4YW1wbGU=,100\n",
        ),
        ("categories", "1,Bad,Known bad\n"),
        ("scores", "10.20.0.0/16,1,50\n"),
    ];
    let found = alerts(&looked_up(folder.path(), &files, "fused"));
    let of = |sid| found.iter().filter(|(s, _)| *s == sid).count();
    assert_eq!([of(1), of(2), of(3), of(4)], [1, 10, 28, 0]);
    let context = &found.iter().find(|(sid, _)| *sid == 1).unwrap().1;
    assert_eq!(context.to_string(), r#"{"threat":{"who":"mail"}}"#);
}

#[test]
fn a_rule_drops_and_passes_only_where_its_bit_is_set() {
    let rules = "\
drop dns any any -> any any (dns.query; content:\"missing\"; xbits:isset,never,track ip_src; sid:1;)
pass dns any any -> any any (dns.query; content:\"mail\"; xbits:isset,never,track ip_src; sid:2;)
alert dns any any -> any any (dns.query; content:\"mail\"; sid:3;)
drop dns any any -> any any (dns.query; content:\"big\"; dataset:isset,empty,type string; sid:4;)
alert dns any any -> any any (dns.query; content:\"other\"; dataset:set,empty; sid:5;)
drop dns any any -> any any (dns.query; content:\"many\"; xbits:isnotset,never,track ip_src; sid:6;)
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.rules");
    std::fs::write(&path, rules).unwrap();
    let capture = root().join("pcaps/dns_lookup/traffic.pcap");
    let rules = path.to_str().unwrap();
    let more = [
        "-S",
        rules,
        "--simulate-ips",
        "--set",
        "detectors.enabled=false",
    ];
    let (eve, _) = replay(&capture, &more);
    let sids: Vec<u64> = alerts(&eve).iter().map(|(sid, _)| *sid).collect();
    assert!(sids.contains(&3) && sids.contains(&6), "{sids:?}");
    assert!(sids.iter().all(|sid| [3, 6].contains(sid)), "{sids:?}");
    // Only what asked for that name is dropped.
    let asked = |line: &&str| line.contains("\"event_type\":\"drop\"");
    let dropped = eve.lines().filter(asked).count();
    let all = eve
        .lines()
        .filter(|line| line.contains("\"event_type\":\"dns\""))
        .count();
    assert!(dropped > 0 && all > 30, "{dropped} dropped, {all} records");
}

#[test]
fn what_a_list_is_missing_for_is_said() {
    let rules = "\
alert ip any any -> any any (geoip:src,DE; sid:1;)
alert ip any any -> any any (iprep:src,Bad,>,1; sid:2;)
alert dns any any -> any any (dns.query; dataset:isset,x,type string,load not-there; sid:3;)
alert http any any -> any any (lua:x.lua; sid:4;)
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.rules");
    std::fs::write(&path, rules).unwrap();
    let output = sekisho(&["rules", "check", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for (sid, word) in [
        (1, "geoip-database"),
        (2, "reputation-categories-file"),
        (3, "not-there"),
        (4, "lua"),
    ] {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("sid {sid}:")));
        assert!(
            line.is_some_and(|line| line.starts_with("refused") && line.contains(word)),
            "{said}"
        );
    }
}
