//! Single-producer single-consumer rings between threads: bounded, lock-free on the way, blocking only when empty or full.
//!
//! Messages are batches, never packets, so that a hand-over costs a few nanoseconds a packet. A thread that finds nothing
//! to do (or no room) parks; its peer wakes it. The queue itself is `rtrb`'s; this adds the waiting and the end of stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

/// How long a thread parks at most before it looks again: a lost wake-up costs this much, never more.
const PARK: Duration = Duration::from_millis(5);
/// Looks before a thread parks.
const SPINS: u32 = 64;

#[derive(Debug, Default)]
struct Waiting {
    asleep: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Waiting {
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
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
    producer: Waiting,
    consumer: Waiting,
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

/// A ring with room for `capacity` messages.
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity.max(1));
    let shared = Arc::new(Shared::default());
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
