//! Never dark: numbered datagrams pass through the sensor while something of it fails. Prints what was lost, the longest
//! time in which nothing arrived, and how the sensor counted it; fail-open and fail-closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sekisho::grade::{Exceptions, OnException};
use sekisho::pipeline::live::{Control, Live, WorkerOrder};
use sekisho::sys::af_packet::VNET_HEADER;
use sekisho::sys::{Signal, send_signal, wait_readable};

use super::lab::{Between, ward};
use super::{frame, port, sensor};

/// Datagrams a second.
const RATE: u64 = 2_000;
/// Before something fails, and after it.
const BEFORE: Duration = Duration::from_millis(1_000);
const AFTER: Duration = Duration::from_millis(6_000);

/// Where the number of a datagram stands in a frame: behind Ethernet, IPv4 and UDP.
const NUMBER_AT: usize = 42;

/// What arrived.
struct Arrived {
    sent: u64,
    lost: u64,
    reordered: u64,
    longest: Duration,
    /// Where the first gap is: number of the first datagram that is missing, and that which was sent when it failed.
    missing: Option<(u64, u64)>,
    /// Frames that the receiving end had no room for, or did not know.
    unseen: u64,
}

/// Sends and receives while `fail` does what it does.
fn traffic(fail: impl FnOnce()) -> Arrived {
    let sent = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (count, flag) = (Arc::clone(&sent), Arc::clone(&stop));
    // Both ends are open before the first datagram leaves: else it is lost to nobody but this bench.
    let (a, mut b) = (port("a0", 64), port("b0", 4096));
    let sender = std::thread::spawn(move || {
        let begun = Instant::now();
        let mut number = 0u64;
        while !flag.load(Ordering::Relaxed) {
            let due = begun.elapsed().as_micros() as u64 * RATE / 1_000_000;
            while number < due {
                let mut bytes = frame(128, (number % 64) as u16);
                let at = VNET_HEADER + NUMBER_AT;
                bytes[at..at + 8].copy_from_slice(&number.to_be_bytes());
                // UDP over IPv4: no checksum.
                bytes[at - 2..at].copy_from_slice(&[0, 0]);
                if a.send(&[&bytes]) != 1 {
                    break;
                }
                number += 1;
            }
            count.store(number, Ordering::Relaxed);
            std::thread::sleep(Duration::from_micros(300));
        }
    });
    let flag = Arc::clone(&stop);
    let receiver = std::thread::spawn(move || {
        let (mut seen, mut reordered, mut highest) = (0u64, 0u64, None::<u64>);
        let (mut numbers, mut strange) = (Vec::new(), 0u64);
        let (mut last, mut longest) = (None::<Instant>, Duration::ZERO);
        let mut quiet = None::<Instant>;
        loop {
            let number = b.take(|arrived| {
                let bytes = arrived.bytes.get(NUMBER_AT..NUMBER_AT + 8)?;
                (arrived.bytes.get(23) == Some(&17)).then(|| {
                    let number: [u8; 8] = bytes.try_into().unwrap();
                    u64::from_be_bytes(number)
                })
            });
            match number {
                Some(None) => strange += 1,
                Some(Some(number)) => {
                    seen += 1;
                    numbers.push(number);
                    reordered += u64::from(highest.is_some_and(|h| number < h));
                    highest = highest.max(Some(number));
                    let now = Instant::now();
                    if let Some(last) = last {
                        longest = longest.max(now - last);
                    }
                    last = Some(now);
                    quiet = None;
                }
                None if flag.load(Ordering::Relaxed) => {
                    if quiet.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(500)
                    {
                        return (
                            seen,
                            reordered,
                            longest,
                            numbers,
                            strange + b.counts().drops,
                        );
                    }
                    let _ = wait_readable(&[b.fd()], Duration::from_millis(5));
                }
                None => {
                    let _ = wait_readable(&[b.fd()], Duration::from_millis(5));
                }
            }
        }
    });
    std::thread::sleep(BEFORE);
    let failed_at = sent.load(Ordering::Relaxed);
    fail();
    std::thread::sleep(AFTER);
    stop.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    let (seen, reordered, longest, mut numbers, unseen) = receiver.join().unwrap();
    let sent = sent.load(Ordering::Relaxed);
    assert!(seen > 0 && seen <= sent, "{seen} of {sent}");
    numbers.sort_unstable();
    let first = (0..sent).zip(numbers.iter().map(Some).chain(std::iter::repeat(None)));
    let missing = first
        .filter(|(number, got)| got.is_none_or(|got| got != number))
        .map(|(number, _)| (number, failed_at))
        .next();
    Arrived {
        sent,
        lost: sent - seen,
        reordered,
        longest,
        missing,
        unseen,
    }
}

fn line(what: &str, closed: bool, arrived: &Arrived, counted: &str) {
    println!(
        "{what:<28} {:<7} {:>7} {:>7} {:>9} {:>11.1}  {counted}",
        if closed { "closed" } else { "open" },
        arrived.sent,
        arrived.lost,
        arrived.reordered,
        arrived.longest.as_secs_f64() * 1000.0,
    );
    if let Some((first, failed_at)) = arrived.missing {
        println!(
            "    first missing: {first}; {failed_at} were sent when it failed; {} not taken by the receiving end",
            arrived.unseen
        );
    }
}

fn exceptions(closed: bool) -> Exceptions {
    let policy = if closed {
        OnException::Drop
    } else {
        OnException::Pass
    };
    Exceptions {
        ring_full: policy,
        worker_lost: policy,
        parser_error: policy,
        process_lost: policy,
        midstream: None,
        memcap: None,
    }
}

/// A sensor in this process, so that its worker can be told to fail.
fn in_process(closed: bool) -> Live {
    let between = Between {
        rules: "drop udp any any -> any 4000 (msg:\"never\"; content:\"never seen\"; sid:1;)\n",
        exceptions: exceptions(closed),
        // The defaults.
        stuck_ms: 1_000,
        verdict_timeout_ms: 250,
    };
    between.start()
}

fn worker_fails(what: &str, closed: bool, order: WorkerOrder) -> bool {
    let mut live = in_process(closed);
    let control: Arc<Control> = Arc::clone(live.control());
    let watching = std::thread::spawn(move || {
        live.watch(&mut |_| {});
        live
    });
    let arrived = traffic(|| control.worker_orders[0].give(order));
    let lane = &control.lanes[0];
    let counted = format!(
        "{} of {} uninspected, {} dropped by policy, {} by the kernel, {} not sent, {} new workers",
        lane.uninspected.get(),
        lane.forwarded.get(),
        lane.dropped_by_policy.get(),
        lane.kernel_drops.get(),
        lane.send_errors.get(),
        control.workers[0].restarts.get(),
    );
    line(what, closed, &arrived, &counted);
    let by_policy = lane.dropped_by_policy.get();
    control.stop();
    watching.join().unwrap().stop();
    should(
        arrived.lost == by_policy && arrived.reordered == 0,
        "lost but not by policy, or out of order",
    )
}

/// Says what is not as it should be.
fn should(good: bool, what: &str) -> bool {
    if !good {
        println!("NOT AS IT SHOULD BE  {what}");
    }
    good
}

fn process_fails(what: &str, closed: bool, signal: &str) -> bool {
    let policy = if closed { "drop" } else { "pass" };
    let config = format!(
        "[[inline]]\nports = [\"a1\", \"b1\"]\n[[segment]]\nname = \"dmz\"\nrole = \"dmz\"\ninterfaces = [\"a1\", \"b1\"]\n\
         [segment.exception]\nprocess-lost = \"{policy}\"\nworker-lost = \"{policy}\"\nring-full = \"{policy}\"\n"
    );
    let (mut child, _folder) = sensor(&config, None);
    let victim = ward(child.id()).to_string();
    let arrived = traffic(|| {
        let done = std::process::Command::new("kill")
            .args([signal, &victim])
            .status();
        assert!(done.unwrap().success());
    });
    let again = ward(child.id()).to_string();
    let counted = if again == victim {
        "the same process"
    } else {
        "a new process"
    };
    line(what, closed, &arrived, counted);
    send_signal(child.id(), Signal::End).unwrap();
    child.wait().unwrap();
    // The guardian notices within two seconds; a dead process at once.
    let most = if signal == "-9" { 2_000 } else { 4_000 };
    should(
        again != victim && arrived.longest < Duration::from_millis(most),
        "no new process, or dark for too long",
    )
}

/// An order, made when it is given.
type Order = fn() -> WorkerOrder;

/// Everything that can fail, each both ways; or what is named, with dashes for spaces. Says whether all was as it should
/// be: without a failure nothing is lost, and when a worker fails nothing but by policy.
pub fn dark(names: &[String]) -> bool {
    println!(
        "{:<28} {:<7} {:>7} {:>7} {:>9} {:>11}  counted",
        "what fails", "policy", "sent", "lost", "reordered", "dark ms"
    );
    let kinds: [(&str, Option<Order>, &str); 6] = [
        ("nothing", Some(|| WorkerOrder::Profile(false)), ""),
        (
            "worker slow (ring full)",
            Some(|| WorkerOrder::Stall(900)),
            "",
        ),
        ("worker stuck", Some(|| WorkerOrder::Stall(20_000)), ""),
        ("worker ended", Some(|| WorkerOrder::End), ""),
        ("process killed", None, "-9"),
        ("process stuck", None, "-STOP"),
    ];
    let name = |what: &str| what.replace(' ', "-");
    let named = |what: &str| names.iter().any(|n| *n == name(what));
    let all = !kinds.iter().any(|(what, ..)| named(what));
    let mut good = true;
    for closed in [false, true] {
        for (what, order, signal) in kinds.iter().filter(|(what, ..)| all || named(what)) {
            good &= match order {
                Some(order) => worker_fails(what, closed, order()),
                None => process_fails(what, closed, signal),
            };
        }
    }
    good
}
