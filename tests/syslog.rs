//! Syslog to a real rsyslog: UDP, TCP with octet counting, TLS with a verified name, and the local socket.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::operate::{Net, Sensor};
use crate::{root, sekisho};

/// A running rsyslogd, ended when dropped.
struct Rsyslog(Child);

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installed() -> bool {
    let found = Path::new("/usr/sbin/rsyslogd").exists()
        && Command::new("openssl").arg("version").output().is_ok();
    if !found {
        eprintln!(
            "skipped: no rsyslogd here (Debian: apt-get install rsyslog rsyslog-gnutls openssl); .ci/test installs it"
        );
    }
    found
}

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn start(folder: &Path, inputs: &str) -> Rsyslog {
    start_by(Command::new("/usr/sbin/rsyslogd"), folder, inputs)
}

/// With a command that starts it where it is to be.
fn start_by(mut program: Command, folder: &Path, inputs: &str) -> Rsyslog {
    let config = format!(
        "{inputs}\nmodule(load=\"builtin:omfile\")\ntemplate(name=\"raw\" type=\"string\" string=\"%syslogseverity% %app-name% %msgid% %msg%\\n\")\n\
         action(type=\"omfile\" file=\"{}/got\" template=\"raw\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n",
        folder.display()
    );
    let path = folder.join("rsyslog.conf");
    std::fs::write(&path, format!("global(maxMessageSize=\"64k\")\n{config}")).unwrap();
    let child = program
        .args([
            "-n",
            "-f",
            path.to_str().unwrap(),
            "-i",
            folder.join("pid").to_str().unwrap(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Rsyslog(child)
}

/// Waits, bounded, until `ready`.
fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let until = Instant::now() + crate::live::DEADLINE;
    while !ready() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Replays a capture with alerts into a target; the messages that arrived.
fn send(folder: &Path, sets: &[String]) -> Vec<String> {
    let log = folder.join("log");
    let mut arguments = vec![
        "replay".to_owned(),
        "-l".to_owned(),
        log.display().to_string(),
    ];
    for set in sets {
        arguments.extend(["--set".to_owned(), set.clone()]);
    }
    arguments.push(
        root()
            .join("pcaps/webattack_sqli/traffic.pcap")
            .display()
            .to_string(),
    );
    let output = sekisho(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let eve = std::fs::read_to_string(log.join("eve.json")).unwrap();
    let level = |l: &str| {
        ["YELLOW", "ORANGE", "RED"]
            .iter()
            .any(|w| l.contains(&format!("\"level\":\"{w}\"")))
    };
    let wanted = eve
        .lines()
        .filter(|l| l.contains("\"event_type\":\"alert\"") && level(l))
        .count();
    assert!(wanted > 0, "the capture has no alerts");
    let got = || std::fs::read_to_string(folder.join("got")).unwrap_or_default();
    wait("the messages", || {
        got()
            .lines()
            .filter(|l| l.contains("{\"timestamp\""))
            .count()
            >= wanted
    });
    got()
        .lines()
        .filter(|l| l.contains("{\"timestamp\""))
        .map(str::to_owned)
        .collect()
}

/// Each message is the alert's JSON, whole.
fn check(messages: &[String]) {
    for message in messages {
        let json = message
            .get(message.find("{\"timestamp\"").unwrap()..)
            .unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["event_type"], "alert");
        assert!(message.is_ascii());
    }
}

#[test]
fn a_running_sensor_gives_signs_of_life_until_its_last_word() {
    if !installed() {
        return;
    }
    let Some(net) = Net::new("h") else { return };
    // Before its server, which cannot listen on an address that is not there yet, and does not try again.
    assert!(
        net.run(true, &["ip", "link", "set", "lo", "up"])
            .status()
            .unwrap()
            .success()
    );
    let folder = tempfile::tempdir().unwrap();
    let mut program = net.run(true, &["/usr/sbin/rsyslogd"]);
    program.stdin(Stdio::null());
    let _server = start_by(
        program,
        folder.path(),
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"5514\" address=\"127.0.0.1\")",
    );
    let rules = "alert udp any any -> any 7 (msg:\"any\"; sid:1;)\n";
    let more = "heartbeat.interval-secs = 1\nmetrics.port = 9469\nsyslog.target = \"tcp://127.0.0.1:5514\"";
    let sensor = Sensor::start(&net, rules, more);
    let beats = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.path().join("got")).unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with("6 sekisho heartbeat "))
            .map(|line| serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap())
            .collect()
    };
    wait("three signs of life", || beats().len() >= 3);
    let beat = &beats()[2]["heartbeat"];
    assert_eq!(
        (&beat["seq"], &beat["interval_secs"], &beat["state"]),
        (&3.into(), &1.into(), &"ok".into()),
        "{beat}"
    );
    // What a monitor reads: tables, rings, stages.
    let page = net
        .run(true, &["curl", "-fsS", "http://127.0.0.1:9469/metrics"])
        .output()
        .unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    for line in [
        "sekisho_table_used_bytes{table=\"flow table\"} ",
        "sekisho_table_bound_bytes{table=\"port_scan\"} ",
        "sekisho_table_used_bytes{table=\"asset map\"} ",
        "sekisho_ring_waiting{to=\"worker 1\"} ",
        "sekisho_ring_capacity{to=\"report\"} ",
        "sekisho_stage_sampled_seconds_total{stage=\"signatures\"} ",
        "sekisho_capture_cpu_seconds_total{lane=\"inside\"} ",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let stats = sensor.ctl(&["stats"]).unwrap();
    let table = &stats["memuse"]["port_scan"];
    assert!(table["used"].as_u64() < table["bound"].as_u64(), "{stats}");
    assert_eq!(stats["rings"]["worker 0"]["capacity"], 64, "{stats}");
    sensor.end();
    wait("the last word", || {
        beats()
            .last()
            .is_some_and(|b| b["heartbeat"]["state"] == "stopping")
    });
}

#[test]
fn alerts_arrive_over_udp_tcp_and_the_local_socket() {
    if !installed() {
        return;
    }
    let (udp, tcp) = (free_port(), free_port());
    for (kind, target) in [
        ("udp", format!("udp://127.0.0.1:{udp}")),
        ("tcp", format!("tcp://127.0.0.1:{tcp}")),
        ("unix", String::new()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("log.sock");
        let target = if kind == "unix" {
            format!("unix://{}", socket.display())
        } else {
            target
        };
        let inputs = match kind {
            "udp" => format!(
                "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")"
            ),
            "tcp" => format!(
                "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")"
            ),
            _ => format!(
                "module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{}\")",
                socket.display()
            ),
        };
        let _rsyslog = start(folder.path(), &inputs);
        match kind {
            "tcp" => wait("rsyslog", || {
                std::net::TcpStream::connect(("127.0.0.1", tcp)).is_ok()
            }),
            "udp" => wait("rsyslog", || {
                std::net::UdpSocket::bind(("127.0.0.1", udp)).is_err()
            }),
            _ => wait("rsyslog", || {
                std::os::unix::net::UnixDatagram::unbound()
                    .unwrap()
                    .connect(&socket)
                    .is_ok()
            }),
        }
        check(&send(folder.path(), &[format!("syslog.target={target}")]));
    }
}

#[test]
fn alerts_arrive_over_tls_and_a_wrong_name_is_refused() {
    if !installed() || !Path::new("/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &at("ca.key"),
        "-out",
        &at("ca.pem"),
        "-subj",
        "/CN=test authority",
        "-days",
        "2",
    ]);
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &at("server.key"),
        "-out",
        &at("server.csr"),
        "-subj",
        "/CN=collector.test",
    ]);
    std::fs::write(
        folder.path().join("ext"),
        "subjectAltName=DNS:collector.test\n",
    )
    .unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &at("server.csr"),
        "-CA",
        &at("ca.pem"),
        "-CAkey",
        &at("ca.key"),
        "-CAcreateserial",
        "-out",
        &at("server.pem"),
        "-days",
        "2",
        "-extfile",
        &at("ext"),
    ]);
    let port = free_port();
    let inputs = format!(
        "global(DefaultNetstreamDriverCAFile=\"{}\" DefaultNetstreamDriverCertFile=\"{}\" DefaultNetstreamDriverKeyFile=\"{}\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")",
        at("ca.pem"),
        at("server.pem"),
        at("server.key")
    );
    let _rsyslog = start(folder.path(), &inputs);
    wait("rsyslog", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let target = format!("syslog.target=tls://127.0.0.1:{port}");
    let authority = format!("syslog.ca-file={}", at("ca.pem"));
    check(&send(
        folder.path(),
        &[
            target.clone(),
            authority.clone(),
            "syslog.server-name=collector.test".to_owned(),
        ],
    ));

    let log = at("refused");
    let capture = root()
        .join("pcaps/webattack_sqli/traffic.pcap")
        .display()
        .to_string();
    let sets = [
        "--set",
        &target,
        "--set",
        &authority,
        "--set",
        "syslog.server-name=other.test",
        "--set",
        "syslog.drain-ms=0",
    ];
    let output = sekisho(&[&["replay", "-l", &log][..], &sets, &[&capture]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("syslog.spool"), "{said}");
    assert!(
        std::fs::metadata(Path::new(&log).join("syslog.spool"))
            .unwrap()
            .len()
            > 0
    );
}
