use sekisho::rules::*;
use std::collections::BTreeMap;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(") ").next().unwrap().split(' ').collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn mem(k: &str) -> String {
    std::fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .find(|l| l.starts_with(k))
        .unwrap()
        .to_string()
}
fn main() {
    let trust = std::env::var("TRUST").is_ok();
    let v = std::env::var("V").is_ok();
    for f in std::env::args().skip(1) {
        println!("before {} {}", mem("VmRSS"), cpu());
        let t = std::time::Instant::now();
        let set = load(&LoadSettings {
            paths: vec![f.clone().into()],
            trust_expressions: trust,
            ..Default::default()
        })
        .unwrap();
        println!(
            "{f}: {} loaded {} refused {} skipped {} warnings  {:?} cpu {} {} {} sizeof {} {} {}",
            set.signatures.len(),
            set.errors.len(),
            set.skipped.len(),
            set.warnings.len(),
            t.elapsed(),
            cpu(),
            mem("VmRSS"),
            mem("VmHWM"),
            std::mem::size_of::<Signature>(),
            std::mem::size_of::<Test>(),
            std::mem::size_of::<Content>()
        );
        let mut c = BTreeMap::new();
        for e in &set.errors {
            *c.entry(if v {
                format!("{}:{} {:?} {}", e.file, e.line, e.sid, e.message)
            } else {
                e.message.clone()
            })
            .or_insert(0) += 1;
        }
        let mut c: Vec<_> = c.into_iter().collect();
        c.sort_by_key(|x| -(x.1 as i64));
        for (m, n) in c.iter().take(60) {
            println!("{n:6} {m}");
        }
        let mut k = BTreeMap::new();
        for s in &set.signatures {
            *k.entry(format!("{:?}", s.kind)).or_insert(0) += 1;
        }
        println!(
            "{k:?} nofast {}",
            set.signatures.iter().filter(|s| s.fast.is_none()).count()
        );
    }
}
