//! Single-producer single-consumer rings between threads: bounded, lock-free on the way, blocking only when empty or full.
//!
//! Messages are batches, never packets, so that a hand-over costs a few nanoseconds a packet. A thread that finds nothing
//! to do (or no room) parks; its peer wakes it. The queue itself is `rtrb`'s; this adds the waiting and the end of stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

use crate::sys::EventFd;

/// How long a thread parks at most before it looks again: a lost wake-up costs this much, never more.
const PARK: Duration = Duration::from_millis(5);
/// Looks before a thread parks.
const SPINS: u32 = 64;

#[derive(Debug, Default)]
struct Waiting {
    asleep: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
    /// Rung instead of unparking the thread, when it waits for descriptors too.
    event: Option<EventFd>,
}

impl Waiting {
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if !self.asleep.load(Ordering::Relaxed) {
            return;
        }
        if let Some(event) = &self.event {
            event.ring();
        } else if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Parks unless `ready` becomes true first.
    fn sleep(&self, ready: impl Fn() -> bool) {
        self.thread.get_or_init(std::thread::current);
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !ready() {
            std::thread::park_timeout(PARK);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Shared {
    producer: Arc<Waiting>,
    consumer: Arc<Waiting>,
    /// Times the producer found the ring full.
    full: AtomicU64,
}

/// The sending end. Must be used by one thread.
#[derive(Debug)]
pub struct Sender<T> {
    ring: rtrb::Producer<T>,
    shared: Arc<Shared>,
}

/// The receiving end. Must be used by one thread.
#[derive(Debug)]
pub struct Receiver<T> {
    ring: rtrb::Consumer<T>,
    shared: Arc<Shared>,
}

/// Wakes a thread that looks at several rings, and perhaps at descriptors. Belongs to one thread.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Waiting>);

impl Bell {
    /// For a thread that also polls descriptors: [`Bell::event`] is to be among them.
    pub fn with_event() -> std::io::Result<Self> {
        Ok(Self(Arc::new(Waiting {
            event: Some(EventFd::new()?),
            ..Waiting::default()
        })))
    }

    /// The descriptor that becomes readable when the bell rings.
    pub fn event(&self) -> Option<std::os::fd::RawFd> {
        self.0.event.as_ref().map(EventFd::fd)
    }

    /// Parks the calling thread until the bell rings, unless `ready` says that there is something to do.
    pub fn wait(&self, ready: impl Fn() -> bool) {
        self.0.sleep(ready);
    }

    /// Calls `poll`, which waits for descriptors, unless `ready` says that there is something to do.
    pub fn poll(&self, ready: impl Fn() -> bool, poll: impl FnOnce()) {
        self.0.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !ready() {
            poll();
        }
        self.0.asleep.store(false, Ordering::Relaxed);
        if let Some(event) = &self.0.event {
            event.clear();
        }
    }

    /// Wakes the thread.
    pub fn ring(&self) {
        self.0.wake();
    }
}

/// A ring with room for `capacity` messages.
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ring_to(capacity, &Bell::default())
}

/// A ring whose consumer is woken by a bell of its own.
pub fn ring_to<T>(capacity: usize, bell: &Bell) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity.max(1));
    let shared = Arc::new(Shared {
        consumer: Arc::clone(&bell.0),
        ..Shared::default()
    });
    (
        Sender {
            ring: producer,
            shared: Arc::clone(&shared),
        },
        Receiver {
            ring: consumer,
            shared,
        },
    )
}

impl<T> Sender<T> {
    /// Waits for room and sends. The message comes back when the receiver is gone.
    pub fn send(&mut self, mut message: T) -> Result<(), T> {
        let mut spins = 0;
        loop {
            if self.ring.is_abandoned() {
                return Err(message);
            }
            match self.ring.push(message) {
                Ok(()) => {
                    self.shared.consumer.wake();
                    return Ok(());
                }
                Err(rtrb::PushError::Full(back)) => message = back,
            }
            spins += 1;
            if spins == 1 {
                self.shared.full.fetch_add(1, Ordering::Relaxed);
            }
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                self.shared
                    .producer
                    .sleep(|| self.ring.slots() > 0 || self.ring.is_abandoned());
            }
        }
    }

    /// Sends if there is room; the message comes back when there is none.
    pub fn try_send(&mut self, message: T) -> Result<(), T> {
        match self.ring.push(message) {
            Ok(()) => {
                self.shared.consumer.wake();
                Ok(())
            }
            Err(rtrb::PushError::Full(back)) => {
                self.shared.full.fetch_add(1, Ordering::Relaxed);
                Err(back)
            }
        }
    }

    /// Whether a message could be sent now.
    pub fn has_room(&self) -> bool {
        self.ring.slots() > 0
    }

    /// Whether the receiver is gone.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }

    /// Times the ring was found full.
    pub fn times_full(&self) -> u64 {
        self.shared.full.load(Ordering::Relaxed)
    }
}

impl<T> Receiver<T> {
    /// Waits for a message; `None` when the sender is gone and nothing is left.
    pub fn receive(&mut self) -> Option<T> {
        let mut spins = 0;
        loop {
            if let Some(message) = self.try_receive() {
                return Some(message);
            }
            if self.ring.is_abandoned() {
                // The sender may have sent between the two looks.
                return self.try_receive();
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                self.shared
                    .consumer
                    .sleep(|| self.ring.slots() > 0 || self.ring.is_abandoned());
            }
        }
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.ring.slots()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.ring.slots() == 0
    }

    /// Whether a message waits.
    pub fn is_ready(&self) -> bool {
        self.ring.slots() > 0
    }

    /// Whether the sender is gone and nothing is left.
    pub fn is_finished(&self) -> bool {
        self.ring.is_abandoned() && self.ring.slots() == 0
    }

    /// A message, if there is one.
    pub fn try_receive(&mut self) -> Option<T> {
        let message = self.ring.pop().ok()?;
        self.shared.producer.wake();
        Some(message)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.consumer.wake();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.producer.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_once_and_in_order_through_a_small_ring() {
        let (mut sender, mut receiver) = ring::<u32>(4);
        let producer = std::thread::spawn(move || {
            for i in 0..50_000 {
                sender.send(i).expect("receiver lives");
            }
        });
        let mut expected = 0;
        while let Some(i) = receiver.receive() {
            assert_eq!(i, expected);
            expected += 1;
        }
        producer.join().expect("joins");
        assert_eq!(expected, 50_000);
    }

    #[test]
    fn a_sender_without_receiver_gets_its_message_back() {
        let (mut sender, receiver) = ring::<u32>(1);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err(2));
        drop(receiver);
        assert_eq!(sender.send(3), Err(3));
    }
}
