//! Ways in: libpcap and its filters, how several threads share an interface, what they are pinned to, whose clock, and the
//! block list behind NFQUEUE. Each test in a namespace of its own, as in [`crate::live`].

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::{ip, veth};
use crate::live::{CASES, DEADLINE, End, Sensor, alerts, alone_in, same_as_replay, udp, until};

fn alone(name: &str) -> bool {
    alone_in("live_methods", name)
}

fn libpcap() -> bool {
    let there = ["/usr/lib", "/lib", "/usr/lib64"]
        .iter()
        .flat_map(|folder| {
            let arch = format!("{folder}/{}-linux-gnu", std::env::consts::ARCH);
            [(*folder).to_owned(), arch]
        })
        .any(|folder| {
            ["libpcap.so.0.8", "libpcap.so.1"]
                .iter()
                .any(|name| std::path::Path::new(&folder).join(name).exists())
        });
    if !there {
        println!("skipped: no libpcap");
    }
    there
}

#[test]
fn libpcap_gives_the_alerts_of_the_replay() {
    if libpcap() && alone("libpcap_gives_the_alerts_of_the_replay") {
        let config = "workers = 2\n[[interface]]\nname = \"a1\"\nmethod = \"pcap\"\n";
        same_as_replay(config, CASES);
    }
}

const PORTS: &str = "alert udp any any -> any any (msg:\"seen\"; content:\"look\"; sid:1;)\n";

/// A datagram to 10.0.0.2 port 9, from port 1000 + `number`.
fn look(number: u16, vlan: bool) -> Vec<u8> {
    udp(number, b"look here", vlan)
}

#[test]
fn a_filter_lets_through_what_it_says_over_af_packet_and_libpcap() {
    if !libpcap() || !alone("a_filter_lets_through_what_it_says_over_af_packet_and_libpcap") {
        return;
    }
    veth("a0", "a1");
    for method in ["af-packet", "pcap"] {
        let config = format!(
            "[[interface]]\nname = \"a1\"\nmethod = \"{method}\"\nfilter = \"udp and not src port 1002\"\n"
        );
        let sensor = Sensor::start(&config, Some(PORTS));
        let end = End::open("a0");
        for number in 1..=3 {
            end.send(&look(number, false));
        }
        let events = sensor.stop();
        let ports: Vec<&serde_json::Value> = events
            .iter()
            .filter(|e| e["event_type"] == "alert" && e["alert"]["signature_id"] == 1)
            .map(|e| &e["src_port"])
            .collect();
        assert_eq!(ports, [1001, 1003], "{method}");
        drop(end);
    }
}

#[test]
fn the_device_any_sees_what_passes_an_interface() {
    if !libpcap() || !alone("the_device_any_sees_what_passes_an_interface") {
        return;
    }
    let config = "[[interface]]\nname = \"any\"\nmethod = \"pcap\"\nfilter = \"udp\"\n";
    let sensor = Sensor::start(config, Some(PORTS));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"look here", "127.0.0.1:9").unwrap();
    let seen = alerts(&sensor.stop());
    assert!(
        seen.iter()
            .any(|a| a.starts_with("1 ") && a.contains("127.0.0.1")),
        "{seen:?}"
    );
    // Nobody's cable: it is not missed.
    assert!(!seen.iter().any(|a| a.starts_with("100 ")), "{seen:?}");
}

#[test]
fn by_queue_and_by_processor_threads_see_each_frame_once() {
    if !alone("by_queue_and_by_processor_threads_see_each_frame_once") {
        return;
    }
    veth("a0", "a1");
    for fanout in ["queue", "cpu", "hash"] {
        let config = format!(
            "workers = 2\n[[interface]]\nname = \"a1\"\nthreads = 3\nfanout = \"{fanout}\"\n"
        );
        let sensor = Sensor::start(&config, Some(PORTS));
        let end = End::open("a0");
        for number in 0..60 {
            end.send(&look(number, number % 2 == 0));
        }
        let events = sensor.stop();
        let mut ports: Vec<u64> = events
            .iter()
            .filter(|e| e["event_type"] == "alert" && e["alert"]["signature_id"] == 1)
            .filter_map(|e| e["src_port"].as_u64())
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, (1000..1060).collect::<Vec<u64>>(), "{fanout}");
        // The tag that the kernel took out is there again.
        let tagged = events
            .iter()
            .filter(|e| e["event_type"] == "alert" && e["vlan"] == serde_json::json!([7]))
            .count();
        assert_eq!(tagged, 30, "{fanout}");
    }
}

#[test]
fn capture_threads_stay_on_their_processor_and_say_whose_clock_it_is() {
    if !alone("capture_threads_stay_on_their_processor_and_say_whose_clock_it_is") {
        return;
    }
    veth("a0", "a1");
    let config = "[[interface]]\nname = \"a1\"\ncpus = [0]\nhardware-timestamps = true\n";
    let sensor = Sensor::begin(config, Some(PORTS));
    // A veth has no clock: that is said, and the kernel's is taken.
    sensor.wait_for("the card does not note times");
    sensor.wait_for("sekisho: running");
    let tasks = format!("/proc/{}/task", sensor.id());
    // A thread that has not run yet has not named itself.
    until("a capture thread that stays on its processor", || {
        std::fs::read_dir(&tasks)
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
            .find(|status| status.starts_with("Name:\tlane 0\n"))
            .is_some_and(|status| status.contains("Cpus_allowed_list:\t0\n"))
    });
    let end = End::open("a0");
    end.send(&look(1, false));
    let events = sensor.stop();
    assert_eq!(alerts(&events).len(), 1);
}

fn nft(command: &str) -> Option<String> {
    let done = Command::new("nft").arg(command).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    done.status.success().then_some(text)
}

#[test]
fn a_source_blocked_behind_nfqueue_is_dropped_by_the_kernel_until_its_time_is_over() {
    if !alone("a_source_blocked_behind_nfqueue_is_dropped_by_the_kernel_until_its_time_is_over") {
        return;
    }
    // Where nft cannot queue, the older way can; the sets of blocked sources are nft's either way.
    let rules = [
        "add table ip t",
        "add chain ip t in { type filter hook input priority 0 ; }",
        "add rule ip t in udp dport 9 queue num 3",
    ];
    let queues = rules.iter().all(|rule| nft(rule).is_some())
        || ["iptables-legacy", "iptables"].iter().any(|program| {
            Command::new(program)
                .args("-A INPUT -p udp --dport 9 -j NFQUEUE --queue-num 3".split(' '))
                .status()
                .is_ok_and(|s| s.success())
        });
    if !queues || nft("list tables").is_none() {
        println!("skipped: neither nft nor iptables can queue here, or there is no nft");
        return;
    }
    ip("address add 127.0.0.7/8 dev lo");
    let receiver = std::net::UdpSocket::bind("127.0.0.1:9").unwrap();
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    let send = |from: &str, text: &str| {
        let socket = std::net::UdpSocket::bind(format!("{from}:0")).unwrap();
        socket.send_to(text.as_bytes(), "127.0.0.1:9").unwrap();
    };
    let mut buffer = [0; 64];
    let mut heard = || {
        let count = receiver.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("c.sock");
    let config = format!(
        "[control]\nsocket = \"{}\"\n[[inline]]\nmethod = \"nfqueue\"\nqueue = 3\nkernel-block-list = true\n",
        control.display()
    );
    let sensor = Sensor::start(&config, Some(PORTS));
    let ctl = |words: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(["ctl", "--socket", control.to_str().unwrap()])
            .args(words)
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "{words:?}");
    };
    let dropped = || -> u64 {
        let text = nft("list table ip sekisho-q3").unwrap();
        let (_, rest) = text.split_once("counter packets ").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let inside = || {
        nft("list set ip sekisho-q3 blocked")
            .unwrap()
            .contains("127.0.0.7")
    };
    send("127.0.0.7", "before");
    assert_eq!(heard(), "before");
    ctl(&["block", "127.0.0.7", "--seconds", "600"]);
    until("the kernel's set", inside);
    let before = dropped();
    send("127.0.0.7", "blocked");
    send("127.0.0.1", "of another");
    assert_eq!(heard(), "of another");
    assert_eq!(dropped(), before + 1);
    // An entry ends by itself, in the kernel as well as here.
    ctl(&["block", "127.0.0.7", "--seconds", "3"]);
    until("the end of the entry", || !inside());
    until("a packet of the source whose time is over", || {
        send("127.0.0.7", "after");
        receiver
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut buffer = [0; 64];
        receiver.recv(&mut buffer).is_ok()
    });
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    ctl(&["block", "127.0.0.7", "--seconds", "600"]);
    until("the kernel's set again", inside);
    ctl(&["unblock", "127.0.0.7"]);
    until("the entry to go", || !inside());
    sensor.stop();
    // With the sensor goes its table.
    assert!(nft("list table ip sekisho-q3").is_none());
    assert!(nft("list table ip6 sekisho-q3").is_none());
}
