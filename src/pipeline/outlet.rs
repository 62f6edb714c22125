//! A sink on its own thread: what its receiver costs in time is not the packets' problem.
//!
//! A bounded queue (a ring) leads to the thread; when it is full the report stage waits on replay, because nothing may be
//! lost there, and the delivery spools as fast as the disk takes it.

use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::alert::Level;
use crate::grade::Event;
use crate::packet::Timestamp;
use crate::ring::{Sender, ring};
use crate::sink::delivery::Delivery;
use crate::sink::syslog::Messages;
use crate::sink::{Sink, SinkError};

/// The type of EVE lines that are signs of life.
pub const HEARTBEAT: &str = "heartbeat";
/// Messages in the queue.
const QUEUE: usize = 1024;

/// Sends graded alerts of a level and above, and signs of life, to a delivery on a thread of its own.
#[derive(Debug)]
pub struct SyslogOutlet {
    messages: Messages,
    level: Level,
    queue: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<Result<(), SinkError>>>,
}

impl SyslogOutlet {
    /// Starts the thread. At the end, what is not delivered is tried again for `drain`.
    pub fn start(
        messages: Messages,
        level: Level,
        mut delivery: Delivery,
        drain: Duration,
    ) -> Self {
        let (sender, mut receiver) = ring::<Vec<u8>>(QUEUE);
        let thread = std::thread::spawn(move || {
            while let Some(message) = receiver.receive() {
                delivery.message(&message);
            }
            let until = Instant::now() + drain;
            while !delivery.catch_up() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(100).min(drain));
            }
            delivery.finish()
        });
        Self {
            messages,
            level,
            queue: Some(sender),
            thread: Some(thread),
        }
    }
}

fn clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::new(since.as_secs(), since.subsec_nanos())
}

impl Sink for SyslogOutlet {
    fn event(&mut self, event: &Event<'_>) {
        let Some(queue) = &mut self.queue else {
            return;
        };
        match event {
            Event::Alert(alert) if alert.level >= self.level && !alert.digest => {
                let _ = queue.send(self.messages.alert(alert));
            }
            Event::Line { kind, line } if *kind == HEARTBEAT => {
                let _ = queue.send(self.messages.heartbeat(clock(), line));
            }
            _ => {}
        }
    }

    fn flush(&mut self) {}

    fn finish(&mut self) -> Result<(), SinkError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(SinkError {
                sink: "syslog".to_owned(),
                lost: 0,
                error: std::io::Error::other("its thread failed"),
            }),
        }
    }
}
