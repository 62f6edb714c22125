//! A running sensor is asked, told and reloaded, between two network namespaces of its own.
//!
//! Needs root, `ip` and `python3` (which plays client and server); says so and passes when it lacks them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::wait_for_link;
use crate::live::{DEADLINE, PATIENT};

/// Two namespaces joined by a veth pair; they go away with this.
pub struct Net {
    near: String,
    far: String,
}

fn quiet(command: &[&str]) -> bool {
    let [program, arguments @ ..] = command else {
        return false;
    };
    let done = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|s| s.success())
}

impl Net {
    /// 10.77.0.1 (the client) and 10.77.0.2 (the server, where the sensor listens on `inside`).
    pub fn new(tag: &str) -> Option<Self> {
        let id = format!("{tag}{}", std::process::id());
        let net = Self {
            near: format!("skn{id}"),
            far: format!("skf{id}"),
        };
        if !quiet(&["python3", "-c", "pass"]) {
            eprintln!("skipped: no python3");
            return None;
        }
        if !quiet(&["ip", "netns", "add", &net.near]) || !quiet(&["ip", "netns", "add", &net.far]) {
            eprintln!("skipped: no right to make network namespaces");
            return None;
        }
        let steps: [&[&str]; 5] = [
            &[
                "ip", "-n", &net.near, "link", "add", "outside", "type", "veth", "peer", "inside",
                "netns", &net.far,
            ],
            &[
                "ip",
                "-n",
                &net.near,
                "address",
                "add",
                "10.77.0.1/24",
                "dev",
                "outside",
            ],
            &[
                "ip",
                "-n",
                &net.far,
                "address",
                "add",
                "10.77.0.2/24",
                "dev",
                "inside",
            ],
            &["ip", "-n", &net.near, "link", "set", "outside", "up"],
            &["ip", "-n", &net.far, "link", "set", "inside", "up"],
        ];
        for step in steps {
            assert!(quiet(step), "{step:?}");
        }
        for (space, name) in [(&net.near, "outside"), (&net.far, "inside")] {
            wait_for_link(&["-n", space, "-o", "link", "show", "dev", name]);
        }
        Some(net)
    }

    pub fn run(&self, far: bool, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        let name = if far { &self.far } else { &self.near };
        command.args(["netns", "exec", name]).args(arguments);
        command
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        quiet(&["ip", "netns", "del", &self.near]);
        quiet(&["ip", "netns", "del", &self.far]);
    }
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a sensor under test waits for, unless the test says it itself.
fn patient(more: &str) -> String {
    let said = |line: &&str| !line.contains("worker-stuck-ms") || !more.contains("worker-stuck-ms");
    let lines = PATIENT.lines().filter(said);
    lines.map(|line| format!("{line}\n")).collect()
}

pub struct Sensor {
    process: Running,
    folder: tempfile::TempDir,
}

impl Sensor {
    pub fn start(net: &Net, rules: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let patient = patient(more);
        let text = format!(
            "log-dir = \"{at}\"\ncontrol.socket = \"{at}/c.sock\"\nrule-files = \"{at}/r.rules\"\nworkers = 2\n{patient}{more}\n[[interface]]\nname = \"inside\"\nmethod = \"af-packet\"\n"
        );
        std::fs::write(folder.path().join("sensor.toml"), text).unwrap();
        std::fs::write(folder.path().join("r.rules"), rules).unwrap();
        let config = folder.path().join("sensor.toml");
        let log = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let process = net
            .run(
                true,
                &[
                    env!("CARGO_BIN_EXE_sekisho"),
                    "run",
                    "-c",
                    config.to_str().unwrap(),
                ],
            )
            .stderr(log)
            .spawn()
            .unwrap();
        let sensor = Self {
            process: Running(process),
            folder,
        };
        sensor.wait("the sensor to answer", || sensor.ctl(&["status"]).is_ok());
        sensor
    }

    /// Writes the configuration anew.
    fn configure(&self, more: &str) {
        let at = self.folder.path().display();
        let patient = patient(more);
        let text = format!(
            "log-dir = \"{at}\"\ncontrol.socket = \"{at}/c.sock\"\nrule-files = \"{at}/r.rules\"\nworkers = 2\n{patient}{more}\n[[interface]]\nname = \"inside\"\nmethod = \"af-packet\"\n"
        );
        std::fs::write(self.path("sensor.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rules(&self, text: &str) {
        std::fs::write(self.path("r.rules"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let socket = self.path("c.sock");
        command.args(["ctl", "--socket", socket.to_str().unwrap(), "--json"]);
        command.args(arguments);
        command
    }

    pub fn ctl(&self, arguments: &[&str]) -> Result<Value, String> {
        let output = self.command(arguments).output().unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Events of eve.json.
    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("eve.json")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Times a signature alerted.
    fn alerts(&self, gid: u64, sid: u64) -> Vec<Value> {
        let is = |e: &Value| {
            e["event_type"] == "alert"
                && e["alert"]["gid"] == gid
                && e["alert"]["signature_id"] == sid
        };
        self.events().into_iter().filter(is).collect()
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !done() {
            if Instant::now() > until {
                let said = std::fs::read_to_string(self.path("stderr")).unwrap_or_default();
                panic!("waited too long for {what}\n{said}");
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Ends it as systemd would; gives what it said.
    pub fn end(self) -> String {
        self.end_with_events().1
    }

    /// The same, and everything that is in eve.json then.
    fn end_with_events(mut self) -> (Vec<Value>, String) {
        quiet(&["kill", "-TERM", &self.process.0.id().to_string()]);
        let status = self.process.0.wait().unwrap();
        let said = std::fs::read_to_string(self.path("stderr")).unwrap_or_default();
        assert!(status.success(), "{status}: {said}");
        (self.events(), said)
    }
}

/// A TCP connection from near to far that says what it is told to, line by line.
struct Talk {
    _server: Running,
    _client: Running,
    say: ChildStdin,
    heard: BufReader<std::process::ChildStdout>,
}

const SERVER: &str = "
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('10.77.0.2', 7777)); s.listen(); print('ready', flush=True)
c, _ = s.accept()
while True:
    data = c.recv(65536)
    if not data: break
    c.sendall(b'heard ' + data)
";

const CLIENT: &str = "
import socket, sys
c = socket.create_connection(('10.77.0.2', 7777))
for line in sys.stdin:
    c.sendall(line.encode()); print(c.recv(65536).decode(), end='', flush=True)
";

impl Talk {
    fn new(net: &Net) -> Self {
        let mut server = net
            .run(true, &["python3", "-c", SERVER])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        out.read_line(&mut ready).unwrap();
        let mut client = net
            .run(false, &["python3", "-c", CLIENT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let say = client.stdin.take().unwrap();
        let heard = BufReader::new(client.stdout.take().unwrap());
        Self {
            _server: Running(server),
            _client: Running(client),
            say,
            heard,
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.say, "{line}").unwrap();
        let mut answer = String::new();
        self.heard.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), format!("heard {line}"));
    }
}

const FIRST: &str = "alert tcp any any -> any 7777 (msg:\"first\"; dsize:>0; content:\"first\"; flowbits:set,seen; sid:1;)\n";
const SECOND: &str = "alert tcp any any -> any 7777 (msg:\"second\"; dsize:>0; content:\"second\"; flowbits:isset,seen; sid:2;)\n";
const OTHER: &str = "alert tcp any any -> any 7777 (msg:\"other\"; dsize:>0; content:\"other\"; flowbits:set,elsewhere; sid:3;)\n";

#[test]
fn rules_change_under_traffic_and_flows_keep_what_they_know() {
    let Some(net) = Net::new("r") else { return };
    let sensor = Sensor::start(&net, &format!("{FIRST}{SECOND}"), "");
    let mut talk = Talk::new(&net);
    talk.say("first words");
    sensor.wait("the first alert", || sensor.alerts(1, 1).len() == 1);
    // Other numbers for everything: one rule in front, one gone.
    sensor.rules(&format!("{OTHER}{SECOND}"));
    let answer = sensor.ctl(&["reload"]).unwrap();
    assert_eq!(
        (&answer["loaded"], &answer["before"]),
        (&2.into(), &2.into()),
        "{answer}"
    );
    talk.say("first no more, but second");
    sensor.wait("the bit set before the reload", || {
        sensor.alerts(1, 2).len() == 1
    });
    talk.say("other");
    sensor.wait("the new rule", || sensor.alerts(1, 3).len() == 1);
    assert_eq!(sensor.alerts(1, 1).len(), 1, "the rule is gone");
    // What cannot be loaded changes nothing, and says why.
    std::fs::remove_file(sensor.path("r.rules")).unwrap();
    let why = sensor.ctl(&["reload"]).unwrap_err();
    assert!(
        why.contains("old rules stay in force") && why.contains("r.rules"),
        "{why}"
    );
    sensor.rules("alert tcp any any -> any any (msg:\"broken\"; contnet:\"x\"; sid:9;)\n");
    let why = sensor.ctl(&["reload"]).unwrap_err();
    assert!(why.contains("not one rule loads"), "{why}");
    let status = sensor.ctl(&["status"]).unwrap();
    assert_eq!(status["rules"]["loaded"], 2, "{status}");
    assert_eq!(status["reloads"]["failed"], 2, "{status}");
    // A configuration with a mistake, by signal.
    sensor.rules(&format!("{FIRST}{SECOND}{OTHER}"));
    quiet(&["kill", "-HUP", &sensor.process.0.id().to_string()]);
    sensor.wait("the reload by signal", || {
        sensor
            .ctl(&["status"])
            .is_ok_and(|s| s["rules"]["loaded"] == 3)
    });
    talk.say("second, still");
    sensor.wait("the bit after two reloads", || {
        sensor.alerts(1, 2).len() == 2
    });
    let stats = sensor.ctl(&["stats"]).unwrap();
    assert_eq!(stats["capture"]["kernel_drops"], 0, "{stats}");
    assert_eq!(stats["sekisho"]["worker_restarts"], 0, "{stats}");
    let said = sensor.end();
    assert!(said.contains("reloaded"), "{said}");
}

#[test]
fn an_operator_changes_data_sets_while_packets_pass() {
    let Some(net) = Net::new("d") else { return };
    let sensor = Sensor::start(&net, FIRST, "");
    std::fs::write(sensor.path("known.lst"), "192.0.2.1\n").unwrap();
    sensor.rules(
        "alert tcp any any -> any 7777 (msg:\"known\"; ip.src; dataset:isset,known,type ipv4,load known.lst; sid:11;)\n\
         alert tcp any any -> any 7777 (msg:\"new\"; ip.src; dataset:set,seen,type ipv4,state seen.lst; sid:12;)\n",
    );
    sensor.ctl(&["reload"]).unwrap();
    let ask = |what: &str, set: &str| {
        let answer = sensor.ctl(&[what, set, "ipv4", "10.77.0.1"]).unwrap();
        answer["done"] == true
    };
    let mut talk = Talk::new(&net);
    talk.say("hello");
    sensor.wait("a new address", || sensor.alerts(1, 12).len() == 1);
    assert!(ask("dataset-lookup", "seen") && !ask("dataset-lookup", "known"));
    assert!(sensor.alerts(1, 11).is_empty());
    // A set that rules only read.
    assert!(ask("dataset-add", "known") && !ask("dataset-add", "known"));
    talk.say("known now");
    sensor.wait("a known address", || !sensor.alerts(1, 11).is_empty());
    assert!(ask("dataset-remove", "known") && !ask("dataset-lookup", "known"));
    // A set that a rule fills: what is taken out is new again.
    assert!(ask("dataset-remove", "seen"));
    talk.say("new again");
    sensor.wait("the address again", || sensor.alerts(1, 12).len() == 2);
    sensor.ctl(&["dataset-dump"]).unwrap();
    let kept = std::fs::read_to_string(sensor.path("data/seen.lst")).unwrap();
    assert_eq!(kept, "10.77.0.1\n");
    sensor.ctl(&["dataset-clear", "known", "ipv4"]).unwrap();
    for wrong in [
        ["dataset-add", "known", "md5", "10.77.0.1"],
        ["dataset-add", "known", "ipv4", "ten"],
        ["dataset-add", "nothing", "ipv4", "10.77.0.1"],
    ] {
        assert!(sensor.ctl(&wrong).is_err(), "{wrong:?}");
    }
    sensor.end();
}

/// Tries so many closed ports, from the first on.
const KNOCK: &str = "
import socket, sys
first, count = int(sys.argv[1]), int(sys.argv[2])
for port in range(first, first + count):
    try: socket.create_connection(('10.77.0.2', port), 1).close()
    except OSError: pass
";

#[test]
fn thresholds_change_by_reload_and_detectors_keep_what_they_know() {
    let Some(net) = Net::new("t") else { return };
    let deaf = "detectors.port-scan.targets-min = 1000\n";
    let sensor = Sensor::start(&net, FIRST, deaf);
    let knock = |first: &str, count: &str| {
        let mut client = net.run(false, &["python3", "-c", KNOCK, first, count]);
        assert!(client.status().unwrap().success());
    };
    knock("2000", "60");
    sensor.wait("the packets", || {
        let stats = sensor.ctl(&["stats"]).unwrap();
        stats["decoder"]["pkts"].as_u64() >= Some(120)
    });
    // Table sizes and threads stay as they are, and the answer says so.
    sensor.configure(
        "detectors.port-scan.targets-min = 20\ndetectors.port-scan.sources = 100\nlive.worker-stuck-ms = 7777\ndetectors.worm-scan.answer-ms = 900\n",
    );
    let answer = sensor.ctl(&["reload"]).unwrap();
    let texts = |name: &str| -> Vec<String> {
        let list = answer[name].as_array().cloned().unwrap_or_default();
        list.iter()
            .filter_map(|v| Some(v.as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(
        texts("needs_restart"),
        ["live.worker-stuck-ms", "detectors.port-scan.sources"],
        "{answer}"
    );
    let changed = texts("changed");
    assert!(
        changed.contains(
            &"detectors.port-scan.targets-min: [1000, 1000, 1000] -> [20, 20, 20]".to_owned()
        ) && changed
            .iter()
            .any(|c| c.starts_with("detectors.worm-scan.answer-ms: ")),
        "{answer}"
    );
    let scans = || sensor.alerts(400, 8);
    assert_eq!(scans().len(), 0, "nothing was said under the old threshold");
    // Three more are far under the new threshold: only with the sixty from before is this a scan.
    knock("3000", "3");
    sensor.wait("the scan", || !scans().is_empty());
    sensor.end();
}

#[test]
fn a_running_sensor_shows_captures_blocks_and_measures() {
    let Some(net) = Net::new("o") else { return };
    let sensor = Sensor::start(
        &net,
        &format!("{FIRST}{SECOND}"),
        "stats.interval-secs = 1\nevidence.level = \"GREEN\"\n[[service]]\nname = \"nobody\"\naddress = \"10.77.0.2\"\nport = 9\ncheck = \"tcp\"\nevery-secs = 1\n",
    );
    sensor.ctl(&["profile", "on"]).unwrap();
    let mut talk = Talk::new(&net);
    let file = sensor.path("host.pcap");
    let capture = sensor
        .command(&[
            "capture",
            "10.77.0.1",
            file.to_str().unwrap(),
            "--packets",
            "20",
            "--seconds",
            "60",
        ])
        .spawn()
        .unwrap();
    let mut capture = Running(capture);
    // The file has its packets when something is said; until then the tap may not be open yet.
    while capture.0.try_wait().unwrap().is_none() {
        talk.say("first words");
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&file)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(bytes.get(..4), Some(&0xa1b2_3c4d_u32.to_le_bytes()[..]));
    assert!(bytes.windows(5).any(|w| w == b"first"));
    // The view of one second: rates, levels, who talks, which rules are busy.
    sensor.wait("the view to show them", || {
        let top = sensor.command(&["top", "--once"]).output().unwrap();
        let view = String::from_utf8_lossy(&top.stdout).into_owned();
        top.status.success() && view.contains("10.77.0.1") && view.contains("first")
    });
    let costs = sensor.ctl(&["profile", "show"]).unwrap();
    assert_eq!(costs["rules"][0]["sid"], 1, "{costs}");
    sensor
        .ctl(&["block", "192.0.2.7", "--seconds", "100"])
        .unwrap();
    let list = sensor.ctl(&["blocklist"]).unwrap();
    assert_eq!(list["entries"][0]["address"], "192.0.2.7", "{list}");
    sensor.ctl(&["unblock", "192.0.2.7"]).unwrap();
    assert!(sensor.ctl(&["unblock", "192.0.2.7"]).is_err());
    sensor.wait("an event of statistics", || {
        sensor
            .events()
            .iter()
            .any(|e| e["event_type"] == "stats" && e["stats"]["decoder"]["pkts"].as_u64() > Some(0))
    });
    // Packets of the alert, those before it too: the handshake.
    sensor.wait("evidence", || {
        let alerts = sensor.alerts(1, 1);
        let file = alerts.first().and_then(|a| a["capture_file"].as_str());
        file.is_some_and(|f| {
            let bytes = std::fs::read(sensor.path(f)).unwrap_or_default();
            let handshake = bytes.windows(2).filter(|w| w == &[0xa0, 0x02]).count() > 0;
            handshake && bytes.windows(5).any(|w| w == b"first")
        })
    });
    // A service that nobody offers, and a cable that is pulled.
    sensor.wait("the service to be down", || {
        !sensor.alerts(400, 104).is_empty()
    });
    let down = &sensor.alerts(400, 104)[0]["sekisho"];
    assert_eq!(
        (&down["phenomenon"], &down["evidence"]["cause"]),
        (&"device_trouble".into(), &"trouble".into()),
        "{down}"
    );
    quiet(&["ip", "-n", &net.near, "link", "set", "outside", "down"]);
    let link = |state: &str| {
        let alerts = sensor.alerts(400, 100);
        alerts.iter().any(|a| a["sekisho"]["state"] == state)
    };
    sensor.wait("the link to be down", || link("open"));
    quiet(&["ip", "-n", &net.near, "link", "set", "outside", "up"]);
    sensor.wait("the link to be up", || link("close"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(sensor.path("c.sock"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o660);
    assert!(Path::new(&sensor.path("eve.json")).exists());
    let (eve, said) = sensor.end_with_events();
    // The last record of statistics was written when the last packet was counted.
    let frames = said.lines().filter_map(|line| {
        let (_, count) = line.split_once(" frames, ")?.0.rsplit_once(' ')?;
        count.parse::<u64>().ok()
    });
    let traffic = |e: &&Value| e["event_type"] == "stats" && !e["stats"]["decoder"].is_null();
    assert_eq!(
        eve.iter().rfind(traffic).unwrap()["stats"]["decoder"]["pkts"],
        frames.sum::<u64>(),
        "{said}"
    );
    assert!(said.contains("sekisho: inside: NUMA"), "{said}");
    assert!(
        said.contains("confined: 0 capabilities") && !said.contains("not confined: seccomp"),
        "{said}"
    );
}

#[test]
fn a_replay_counts_by_suricatas_names_whatever_the_workers() {
    let capture = crate::root().join("pcaps/webattack_sqli/traffic.pcap");
    let stats = |workers: &str| {
        let (eve, _) = crate::replay(&capture, &["--workers", workers]);
        let of = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let mut all = eve.lines().map(of).filter(|e| e["event_type"] == "stats");
        let stats = all.next().unwrap();
        assert!(all.next().is_none(), "one record at the end");
        stats["stats"].clone()
    };
    let fused = stats("fused");
    for (topic, counter) in [
        ("decoder", "pkts"),
        ("decoder", "ipv4"),
        ("flow", "total"),
        ("tcp", "sessions"),
        ("detect", "alert"),
    ] {
        assert!(
            fused[topic][counter].as_u64() > Some(0),
            "{topic}.{counter}: {fused}"
        );
    }
    assert_eq!(fused, stats("2"));
}

/// A capture without its first packets: the handshake was not seen.
fn from_the_middle(capture: &Path, skip: usize) -> Vec<u8> {
    let bytes = std::fs::read(capture).unwrap();
    let (head, mut rest) = bytes.split_at(24);
    for _ in 0..skip {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap());
        rest = &rest[16 + len as usize..];
    }
    [head, rest].concat()
}

/// Reasons of drops in a replay, inline, of a capture that begins in the middle, with one segment.
fn drops(subnet: &str, exception: &str, sets: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("middle.pcap");
    let whole = crate::root().join("pcaps/http_browse/traffic.pcap");
    std::fs::write(&capture, from_the_middle(&whole, 6)).unwrap();
    let config = folder.path().join("sensor.toml");
    let text = format!(
        "[[segment]]\nname = \"dmz\"\nrole = \"dmz\"\nsubnets = [\"{subnet}\"]\n[segment.exception]\n{exception}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut more = vec!["--simulate-ips", "-c", config.to_str().unwrap()];
    for set in sets {
        more.extend(["--set", set]);
    }
    let (eve, output) = crate::replay(&capture, &more);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    eve.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|e| e["event_type"] == "drop")
        .map(|e| e["drop"]["reason"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn exception_policies_differ_by_segment() {
    let picked_up = ["stream.midstream=true"];
    let policy = "midstream-policy = \"drop-flow\"";
    let here = drops("0.0.0.0/0", policy, &picked_up);
    assert!(
        !here.is_empty()
            && here
                .iter()
                .all(|r| r == "stream midstream" || r == "flow drop"),
        "{here:?}"
    );
    assert!(
        drops("203.0.113.0/24", policy, &picked_up).is_empty(),
        "another segment"
    );
    let full = ["stream.midstream=true", "stream.memcap=1"];
    let policy = "memcap-policy = \"drop-packet\"";
    let here = drops("0.0.0.0/0", policy, &full);
    assert!(
        !here.is_empty() && here.iter().all(|r| r == "stream reassembly"),
        "{here:?}"
    );
    assert!(
        drops("203.0.113.0/24", policy, &full).is_empty(),
        "another segment"
    );
    // What Suricata calls the same thing everywhere.
    let all = [
        "stream.midstream=true",
        "stream.memcap=1",
        "stream.reassembly.memcap-policy=drop-packet",
    ];
    assert!(!drops("203.0.113.0/24", "", &all).is_empty());
    let output = crate::sekisho(&[
        "config",
        "check",
        "--set",
        "stream.midstream-policy=dropflow",
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("drop-flow"),
        "{said}"
    );
}

#[test]
fn a_replay_keeps_the_packets_of_its_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("r.rules");
    std::fs::write(
        &rules,
        "alert http any any -> any any (msg:\"any\"; http.method; content:\"GET\"; sid:1;)\n",
    )
    .unwrap();
    let capture = crate::root().join("pcaps/http_browse/traffic.pcap");
    let run = || {
        let log = folder.path().to_str().unwrap();
        let output = crate::sekisho(&[
            "replay",
            "-l",
            log,
            "-S",
            rules.to_str().unwrap(),
            "--set",
            "evidence.level=GREEN",
            capture.to_str().unwrap(),
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let eve = std::fs::read_to_string(folder.path().join("eve.json")).unwrap();
        let alert = eve
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap())
            .find(|e| e["event_type"] == "alert");
        let file = alert.unwrap()["capture_file"].as_str().unwrap().to_owned();
        (
            file.clone(),
            std::fs::read(folder.path().join(file)).unwrap(),
        )
    };
    let (file, bytes) = run();
    assert!(
        file.starts_with("evidence/") && bytes.windows(4).any(|w| w == b"GET "),
        "{file}"
    );
    assert_eq!(run(), (file, bytes), "the same again, not appended to");
}

#[test]
fn the_example_configurations_are_good() {
    let mut seen = 0;
    for entry in std::fs::read_dir(crate::root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        let output = crate::sekisho(&["config", "check", "-c", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", path.display());
        seen += 1;
    }
    assert!(seen >= 4);
}
