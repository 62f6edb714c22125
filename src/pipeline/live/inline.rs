//! A capture thread that traffic passes through: frames → decode → workers → verdicts → out of the other port, in the
//! order in which they came.
//!
//! ```text
//!  receive ─▶ decode ─▶ rings ─▶ workers
//!     │                            │ verdicts
//!     └──▶ in flight, in order ◀───┘ ──▶ transmit, refuse, discard
//! ```
//!
//! The thread never waits for a worker longer than the verdict timeout: then the exception policy of the frame's segment
//! decides, and the worker is passed by until it moves again or is replaced. A worker whose ring is full is passed by at
//! once. Frames that are passed by keep their place in the order.
//! Limits: [`FRAMES`] frames a batch, [`FLIGHT`] batches in flight; beyond it frames wait in the kernel, which counts what
//! it has no room for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::change;
use super::control::{Control, LaneCounts, LaneOrder};
use super::lane::{DRAIN, Link, RING_INLINE, SPARE, clock, with_batches};
use super::refuse;
use super::worker::Work;
use crate::alert::Verdict;
use crate::capture::{Bridge, CaptureError, Fate, Fault, Frame, FrameBatch};
use crate::grade::{Exceptions, OnException};
use crate::packet::{FrameBytes, LinkType, Packet};
use crate::pipeline::feeder::Feeder;
use crate::ring::Bell;
use crate::sys::wait_readable;

/// Frames of a batch: small, because the first waits for the last.
const FRAMES: usize = 64;
/// Batches in flight: twice what the ring to a worker holds.
const FLIGHT: usize = RING_INLINE * 2;
/// Longest sleep; as often does the time pass on a silent wire.
const SLEEP: Duration = Duration::from_millis(20);
/// How often the kernel's counters are read.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// What the thread goes by.
#[derive(Clone, Debug)]
pub(super) struct InlineSettings {
    /// At the start, by interface number.
    pub exceptions: Vec<Exceptions>,
    /// How long a verdict is waited for.
    pub verdict_timeout: Duration,
}

/// A batch whose frames have not left.
struct Flight {
    sequence: u64,
    /// Numbers of its frames, in their order.
    numbers: Vec<u64>,
    bytes: FrameBytes,
    frames: Vec<Frame>,
    fates: Vec<Fate>,
    /// Frames with changes, which leave in place of the ones that came.
    changed: Vec<Vec<u8>>,
    /// Per frame: the workers that look at packets of it, a bit each.
    seen_by: Vec<u64>,
    /// Workers that have not answered.
    open: u64,
    since: Instant,
}

struct Thread<'a> {
    bridge: &'a mut dyn Bridge,
    links: Vec<Link>,
    flights: VecDeque<Flight>,
    spare: Vec<Flight>,
    settings: &'a InlineSettings,
    /// By interface number; a reload may change them.
    exceptions: Vec<Exceptions>,
    counts: &'a LaneCounts,
    index: usize,
}

/// Stands between two ports until the sensor is to end, or a port fails.
pub(super) fn stand_between(
    index: usize,
    bridge: &mut dyn Bridge,
    mut feeder: Feeder,
    links: Vec<Link>,
    (settings, bell): (&InlineSettings, &Bell),
    control: &Arc<Control>,
) -> Result<(), CaptureError> {
    let (Some(counts), Some(orders)) = (control.lanes.get(index), control.lane_orders.get(index))
    else {
        return Ok(());
    };
    let mut thread = Thread {
        bridge,
        links,
        flights: VecDeque::new(),
        spare: Vec::new(),
        settings,
        exceptions: settings.exceptions.clone(),
        counts,
        index,
    };
    let mut handles = thread.bridge.handles();
    handles.extend(bell.event());
    let mut counted = Instant::now();
    let mut ticked = Instant::now();
    let mut frames = FrameBatch::default();
    let mut stopping = None;
    loop {
        for order in orders.take() {
            match order {
                LaneOrder::Worker(at, link) => thread.replace(at, *link),
                LaneOrder::Exceptions(exceptions) => thread.exceptions = exceptions,
            }
        }
        let mut busy = thread.answers();
        thread.overdue();
        busy |= thread.leave();
        let mut closed = false;
        if control.stopping() {
            let since = *stopping.get_or_insert_with(Instant::now);
            closed = since.elapsed() > DRAIN || !thread.bridge.is_ready();
            if closed && thread.flights.is_empty() {
                break;
            }
        }
        if !closed && thread.flights.len() < FLIGHT {
            let received = thread.bridge.receive(&mut frames, FRAMES);
            if let Err(error) = received {
                thread.all_by_policy();
                return Err(CaptureError {
                    path: counts.name.clone().into(),
                    offset: 0,
                    fault: Fault::Io(error),
                });
            }
            if !frames.frames.is_empty() {
                busy = true;
                thread.take(&mut feeder, &mut frames);
                ticked = Instant::now();
            } else if ticked.elapsed() >= SLEEP * 2 {
                // The time passes for the workers too.
                ticked = Instant::now();
                feeder.pass_time(clock());
                thread.take(&mut feeder, &mut frames);
            }
        }
        counts.beat_ms.set(control.uptime_ms());
        if counted.elapsed() >= COUNT_EVERY {
            counted = Instant::now();
            counts.kernel_drops.add(thread.bridge.arrivals().dropped);
            super::lane::measure(counts, &feeder);
        }
        if !busy {
            let (links, bridge) = (&thread.links, &thread.bridge);
            let full = thread.flights.len() >= FLIGHT;
            bell.poll(
                || {
                    orders.is_full()
                        || (stopping.is_none() && control.stopping())
                        || links.iter().any(Link::has_answer)
                        || (!full && bridge.is_ready())
                },
                || {
                    let _ = wait_readable(&handles, SLEEP);
                },
            );
        }
    }
    counts.kernel_drops.add(thread.bridge.arrivals().dropped);
    let mut works: Vec<Work> = thread.links.iter_mut().map(Link::fresh).collect();
    with_batches(&mut works, |batches| feeder.finish(batches));
    let expected = u16::try_from(works.len()).unwrap_or(u16::MAX);
    for (mut work, link) in works.into_iter().zip(&mut thread.links) {
        work.lane = u16::try_from(index).unwrap_or(u16::MAX);
        work.expected = expected;
        let _ = link.out.try_send(work);
    }
    Ok(())
}

/// The bit of a worker; those beyond the 64th share one, so that a frame waits for one too many rather than too few.
fn bit(worker: usize) -> u64 {
    1 << worker.min(63)
}

impl Thread<'_> {
    fn policy(&self, interface: u16) -> Exceptions {
        self.exceptions
            .get(usize::from(interface))
            .copied()
            .unwrap_or_default()
    }

    /// Decodes frames and sends their packets to the workers; without frames, only the time.
    fn take(&mut self, feeder: &mut Feeder, frames: &mut FrameBatch) {
        let counts = self.counts;
        let (before, sequence) = (feeder.stats(), feeder.sequence());
        let mut works: Vec<Work> = self.links.iter_mut().map(Link::fresh).collect();
        with_batches(&mut works, |batches| feeder.take(frames, batches));
        counts.frames.add(feeder.stats().frames - before.frames);
        counts.bytes.add(feeder.stats().bytes - before.bytes);
        let count = frames.frames.len();
        let mut flight = self.spare.pop().unwrap_or_else(Flight::new);
        flight.sequence = sequence;
        flight.numbers.clear();
        flight.numbers.extend_from_slice(feeder.taken());
        flight.bytes = std::mem::replace(&mut frames.bytes, FrameBytes::Empty);
        std::mem::swap(&mut flight.frames, &mut frames.frames);
        frames.frames.clear();
        flight.changed.clear();
        flight.fates.clear();
        flight.fates.resize(count, Fate::Forward);
        for number in feeder.failed() {
            for link in &mut self.links {
                link.missed = true;
            }
            let place = flight.place(*number).unwrap_or(usize::MAX);
            let closed = flight
                .frames
                .get(place)
                .is_some_and(|f| self.policy(f.interface).parser_error == OnException::Drop);
            counts.panics.add(1);
            if closed && let Some(fate) = flight.fates.get_mut(place) {
                *fate = Fate::Discard;
                counts.dropped_by_policy.add(1);
            }
        }
        flight.seen_by.clear();
        flight.seen_by.resize(count, 0);
        flight.open = 0;
        flight.since = Instant::now();
        let ready: Vec<bool> = self.links.iter_mut().map(Link::takes).collect();
        let expected = u16::try_from(ready.iter().filter(|r| **r).count()).unwrap_or(u16::MAX);
        for (at, (mut work, ready)) in works.into_iter().zip(ready).enumerate() {
            for packet in &work.batch.packets {
                let place = flight.place(packet.number);
                if let Some(seen_by) = place.and_then(|place| flight.seen_by.get_mut(place)) {
                    *seen_by |= bit(at);
                }
            }
            let Some(link) = self.links.get_mut(at) else {
                continue;
            };
            let packets = work.batch.packets.len() as u64;
            if ready {
                work.lane = u16::try_from(self.index).unwrap_or(u16::MAX);
                work.expected = expected;
                work.missed = std::mem::take(&mut link.missed);
                if packets > 0 {
                    flight.open |= bit(at);
                }
                let _ = link.out.try_send(work);
                continue;
            }
            // Passed by: the policy decides at once.
            work.clear();
            link.keep(work);
            if packets == 0 {
                continue;
            }
            link.missed = true;
            let lost = link.stalled || link.out.is_abandoned();
            if lost {
                counts.worker_lost.add(packets);
            } else {
                counts.ring_full.add(packets);
            }
            self.decide(&mut flight, bit(at), lost);
        }
        if count > 0 {
            self.flights.push_back(flight);
        } else {
            self.spare.push(flight);
        }
    }

    /// What becomes of frames that these workers do not look at.
    fn decide(&self, flight: &mut Flight, workers: u64, lost: bool) {
        for ((frame, fate), seen_by) in flight
            .frames
            .iter()
            .zip(&mut flight.fates)
            .zip(&flight.seen_by)
        {
            if seen_by & workers == 0 || *fate == Fate::Discard {
                continue;
            }
            let exceptions = self.policy(frame.interface);
            let policy = if lost {
                exceptions.worker_lost
            } else {
                exceptions.ring_full
            };
            match policy {
                OnException::Pass => self.counts.uninspected.add(1),
                OnException::Drop => {
                    *fate = Fate::Discard;
                    self.counts.dropped_by_policy.add(1);
                }
            }
        }
    }

    /// Takes what the workers have decided. Says whether there was something.
    fn answers(&mut self) -> bool {
        let mut some = false;
        for at in 0..self.links.len() {
            while let Some(work) = self.links.get_mut(at).and_then(Link::answer) {
                some = true;
                self.settle(at, work);
            }
        }
        some
    }

    fn settle(&mut self, at: usize, mut work: Work) {
        let first = self.flights.front().map_or(u64::MAX, |f| f.sequence);
        // Sequences of empty batches are not in flight: so it is looked for.
        let place = self
            .flights
            .partition_point(|f| f.sequence < work.batch.sequence);
        if work.batch.sequence >= first
            && let Some(flight) = self.flights.get_mut(place)
            && flight.sequence == work.batch.sequence
            && flight.open & bit(at) != 0
        {
            flight.open &= !bit(at);
            work.batch.bytes = flight.bytes.clone();
            let bytes = &flight.bytes;
            for (place, changes) in work.changed.drain(..) {
                let Some(layers) = work.batch.packets.get(place as usize) else {
                    continue;
                };
                let Some(place) = flight.place(layers.number) else {
                    continue;
                };
                let (Some(frame), Some(fate)) =
                    (flight.frames.get(place), flight.fates.get_mut(place))
                else {
                    continue;
                };
                let packet = Packet {
                    frame: bytes.slice(layers.frame.start, layers.frame.len),
                    layers,
                };
                // A packet that the firewall takes back changed leaves as it is given: its checksum must be whole.
                let left_to_card = frame.unfinished && frame.link == LinkType::ETHERNET;
                if *fate == Fate::Forward
                    && let Some(changed) = change::changed(&packet, &changes, left_to_card)
                {
                    *fate = Fate::Changed(u16::try_from(flight.changed.len()).unwrap_or(u16::MAX));
                    flight.changed.push(changed);
                    self.counts.replaced.add(1);
                }
            }
            for (place, verdict) in work.stopped.drain(..) {
                let Some(layers) = work.batch.packets.get(place as usize) else {
                    continue;
                };
                let Some(place) = flight.place(layers.number) else {
                    continue;
                };
                let (Some(fate), Some(frame)) =
                    (flight.fates.get_mut(place), flight.frames.get(place))
                else {
                    continue;
                };
                if *fate != Fate::Discard {
                    *fate = Fate::Discard;
                    self.counts.dropped.add(1);
                }
                if verdict >= Verdict::RejectSource {
                    let packet = Packet {
                        frame: work.batch.bytes.slice(layers.frame.start, layers.frame.len),
                        layers,
                    };
                    for refusal in refuse::refusals(&packet, verdict) {
                        let done = if refusal.to_source {
                            self.bridge.inject(frame.interface, &refusal.frame)
                        } else {
                            self.bridge.send_on(frame, &refusal.frame)
                        };
                        self.counts.rejects.add(u64::from(done));
                    }
                }
            }
        }
        work.clear();
        if let Some(link) = self.links.get_mut(at) {
            link.keep(work);
        }
    }

    /// Decides for workers that have taken too long.
    fn overdue(&mut self) {
        let late = self
            .flights
            .front()
            .is_some_and(|f| f.open != 0 && f.since.elapsed() > self.settings.verdict_timeout);
        if !late {
            return;
        }
        let open = self.flights.front().map_or(0, |f| f.open);
        for (at, link) in self.links.iter_mut().enumerate() {
            link.stalled |= open & bit(at) != 0;
        }
        self.give_up(open);
    }

    /// Everything that these workers have in hand is decided by policy.
    fn give_up(&mut self, workers: u64) {
        let mut flights = std::mem::take(&mut self.flights);
        for flight in &mut flights {
            let of_them = flight.open & workers;
            if of_them != 0 {
                flight.open &= !of_them;
                self.counts.worker_lost.add(1);
                self.decide(flight, of_them, true);
            }
        }
        self.flights = flights;
    }

    /// A worker was replaced: what the old one has in hand will not be answered.
    fn replace(&mut self, at: usize, link: Link) {
        self.answers();
        self.give_up(bit(at));
        if let Some(slot) = self.links.get_mut(at) {
            *slot = link;
        }
    }

    fn all_by_policy(&mut self) {
        self.give_up(u64::MAX);
        self.leave();
    }

    /// Lets decided batches go, in order. Says whether there were some.
    fn leave(&mut self) -> bool {
        let mut some = false;
        while self.flights.front().is_some_and(|f| f.open == 0) {
            let Some(mut flight) = self.flights.pop_front() else {
                break;
            };
            some = true;
            let sent = self.bridge.transmit(
                &flight.bytes,
                &flight.frames,
                &flight.fates,
                &flight.changed,
            );
            self.counts.forwarded.add(sent.forwarded);
            self.counts.send_errors.add(sent.errors);
            let us = u64::try_from(flight.since.elapsed().as_micros()).unwrap_or(u64::MAX);
            let place = (u64::BITS - us.leading_zeros()) as usize;
            if let Some(count) = self
                .counts
                .latency_us
                .get(place.min(self.counts.latency_us.len() - 1))
            {
                count.add(flight.frames.len() as u64);
            }
            flight.bytes = FrameBytes::Empty;
            flight.frames.clear();
            // More were in flight once than are needed now: their memory goes back.
            if self.spare.len() < SPARE {
                self.spare.push(flight);
            }
        }
        some
    }
}

impl Flight {
    /// Where the frame of this number is among its frames.
    fn place(&self, number: u64) -> Option<usize> {
        let place = self.numbers.binary_search(&number).ok()?;
        (place < self.frames.len()).then_some(place)
    }

    fn new() -> Self {
        Self {
            sequence: 0,
            numbers: Vec::new(),
            bytes: FrameBytes::Empty,
            frames: Vec::new(),
            fates: Vec::new(),
            changed: Vec::new(),
            seen_by: Vec::new(),
            open: 0,
            since: Instant::now(),
        }
    }
}
