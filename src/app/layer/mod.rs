//! The application layer of one flow: identification, the session, and what becomes of it.
//!
//! TCP bytes come through [`Receiver`] (bytes not yet consumed are offered again, so nothing is buffered here),
//! datagrams through [`AppLayer::datagram`]. When the protocol is known a [`Session`] parses; when it changes in the
//! middle (CONNECT, STARTTLS, upgrades) identification starts afresh; when it fails the flow is no longer parsed, but
//! raw inspection goes on. So it goes when there is no memory for what a parser would hold ([`super::account`]). The
//! order of events and the names of `applayer_*` events follow Suricata.

mod parse;
mod recognise;

use super::account::{Account, Booked};
use super::expect::Expectations;
use super::identify::{Identifier, Progress, pick, set};
use super::{AppProto, Frames, Limits, Note, Rides, Session};
use crate::flow::Flow;
use crate::packet::{Direction, Timestamp};
use crate::stats::MemoryBound;
use crate::stream::{Next, Offer, Receiver, Taken};
use crate::sys::heap;
use recognise::Transport;

/// Bytes after which a flow that announced another protocol is given up when none is recognised.
const CHANGE_BYTES_MAX: usize = 4096;

/// Bytes a direction may hold while its protocol is unknown, unless its window is larger.
const UNKNOWN_BYTES_MAX: u64 = 100_000;

/// Connections that may be announced with one piece of data.
const EXPECTATIONS_MAX: usize = 8;

/// Flow-wide events, by Suricata's names.
mod event {
    pub const MISMATCH: &str = "applayer_mismatch_protocol_both_directions";
    pub const WRONG_DIRECTION: &str = "applayer_wrong_direction_first_data";
    pub const ONE_DIRECTION: &str = "applayer_detect_protocol_only_one_direction";
    pub const SKIPPED: &str = "applayer_proto_detection_skipped";
    pub const NO_TLS: &str = "applayer_no_tls_after_starttls";
    pub const UNEXPECTED: &str = "applayer_unexpected_protocol";
    /// Ours: Suricata has memory caps for single protocols only, and no event.
    pub const MEMCAP: &str = "applayer_memcap_reached";
}

/// What becomes of the encrypted remainder of a flow: `app-layer.protocols.tls.encryption-handling`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncryptionHandling {
    /// Count it, look at no payload.
    #[default]
    TrackOnly,
    /// Take the flow out of inspection altogether.
    Bypass,
    /// Go on as with any other payload.
    Full,
}

/// Application-layer counters of one worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppStats {
    /// Flows identified, by protocol number.
    pub flows: Vec<u64>,
    /// Flows not identified.
    pub failed: u64,
    /// Flows whose parser gave up, by protocol number.
    pub errors: Vec<u64>,
}

impl AppStats {
    fn count(list: &mut Vec<u64>, proto: AppProto) {
        let i = usize::from(proto.0);
        if list.len() <= i {
            list.resize(i + 1, 0);
        }
        if let Some(counter) = list.get_mut(i) {
            *counter += 1;
        }
    }
}

/// What all flows of a worker share.
#[derive(Debug)]
pub struct AppContext {
    /// Bounds of the parsers.
    pub limits: Limits,
    /// Whether data is inspected before it is delivered.
    pub inline: bool,
    /// Whether sessions may be picked up in the middle: a sender's bytes may then be the other side's.
    pub midstream: bool,
    /// What becomes of encrypted TLS.
    pub tls_encryption: EncryptionHandling,
    /// Counters.
    pub stats: AppStats,
    /// What parsers hold.
    pub account: Account,
    tcp: Identifier,
    udp: Identifier,
    expectations: Expectations,
}

impl AppContext {
    /// For one worker.
    pub fn new(limits: Limits, inline: bool, midstream: bool) -> Self {
        Self {
            limits,
            inline,
            midstream,
            tls_encryption: EncryptionHandling::default(),
            stats: AppStats::default(),
            account: Account::new(limits.memory_bytes),
            tcp: Identifier::of_registry(Rides::Tcp),
            udp: Identifier::of_registry(Rides::Udp),
            expectations: Expectations::default(),
        }
    }

    /// Memory of the table of announced connections.
    pub fn bound(&self) -> MemoryBound {
        self.expectations.bound()
    }
}

/// A change of protocol that was announced and has not happened yet.
#[derive(Clone, Copy, Debug)]
struct Change {
    to: Option<AppProto>,
}

/// Application-layer state of one flow.
#[derive(Debug)]
pub struct AppLayer {
    /// What the flow speaks.
    pub proto: AppProto,
    /// What each direction was identified as (they may differ: `applayer_mismatch_protocol_both_directions`).
    pub seen: [AppProto; 2],
    /// What it spoke before a switch (EVE `app_proto_orig`).
    pub original: Option<AppProto>,
    /// What was expected before identification (EVE `app_proto_expected`).
    pub expected: Option<AppProto>,
    /// The parser.
    pub session: Option<Box<dyn Session>>,
    /// Flow-wide `applayer_*` events not yet logged or inspected.
    pub events: Vec<&'static str>,
    /// What parsers told the behavioural detectors, not yet passed on.
    pub notes: Vec<Note>,
    /// Frames that wait for inspection.
    pub frames: Frames,
    /// Offset in the stream of the bytes in hand.
    at: u64,
    /// Whether the parser gave up: nothing of what follows is parsed.
    pub error: bool,
    /// Whether a parser could not read something: it gave up, or (UDP) skipped the datagram.
    pub failed: bool,
    /// Per direction: nothing more will be parsed, so that transactions count as complete in it.
    pub ended: [bool; 2],
    /// Per direction: files are done of which a packet of the direction is awaited, with which they are written.
    pub files_due: [bool; 2],
    /// Per direction: it was identified, and no packet of it was inspected since (cleared by inspection).
    pub identified_now: [bool; 2],
    completed: [bool; 2],
    progress: Progress,
    /// A parser was given data: what came first matters no more.
    data_taken: bool,
    /// Directions identified, whose bytes wait until the other side's first ones are parsed.
    waiting: [bool; 2],
    change: Option<Change>,
    /// Nothing is parsed any more.
    disabled: bool,
    /// What the worker's account has of it.
    booked: Booked,
    /// Nothing is parsed any more because there was no memory for it.
    starved: bool,
}

impl Default for AppLayer {
    fn default() -> Self {
        Self {
            proto: AppProto::UNKNOWN,
            seen: [AppProto::UNKNOWN; 2],
            original: None,
            expected: None,
            session: None,
            events: Vec::new(),
            notes: Vec::new(),
            frames: Frames::default(),
            at: 0,
            error: false,
            failed: false,
            ended: [false; 2],
            files_due: [false; 2],
            identified_now: [false; 2],
            completed: [false; 2],
            progress: Progress::default(),
            data_taken: false,
            waiting: [false; 2],
            change: None,
            disabled: false,
            booked: Booked::default(),
            starved: false,
        }
    }
}

/// The application layer of a flow together with what its worker shares: what the stream engine hands bytes to.
#[derive(Debug)]
pub struct AppInput<'a> {
    /// The flow's.
    pub layer: &'a mut AppLayer,
    /// The worker's.
    pub context: &'a mut AppContext,
}

impl Receiver for AppInput<'_> {
    fn receive(&mut self, flow: &mut Flow, offer: &Offer<'_>) -> Taken {
        let before = heap::held();
        let taken = self.layer.receive(self.context, flow, offer);
        self.layer.book(self.context, before, taken)
    }

    fn swap_directions(&mut self) {
        self.layer.swap_directions();
    }
}

impl AppLayer {
    /// Makes it fit for another flow, keeping what memory it has.
    pub fn recycle(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let mut notes = std::mem::take(&mut self.notes);
        notes.clear();
        *self = Self {
            events,
            notes,
            ..Self::default()
        };
    }

    /// Whether it is as it was made.
    pub fn is_untouched(&self) -> bool {
        self.proto == AppProto::UNKNOWN
            && self.seen == [AppProto::UNKNOWN; 2]
            && self.original.is_none()
            && self.expected.is_none()
            && self.session.is_none()
            && self.change.is_none()
            && self.events.is_empty()
            && self.ended == [false; 2]
            && !(self.error || self.failed || self.data_taken || self.disabled)
    }

    /// Books what the heap grew by since `before`. When there is no memory for it, nothing of what follows is parsed, and
    /// what was parsed is complete.
    fn book(&mut self, context: &mut AppContext, before: i64, taken: Taken) -> Taken {
        let grown = heap::held().wrapping_sub(before);
        if !context.account.book(&mut self.booked, grown, self.proto) || self.disabled {
            return taken;
        }
        context.account.refused += 1;
        self.starved = true;
        self.error = true;
        self.failed = true;
        self.disabled = true;
        self.change = None;
        self.ended = [true; 2];
        let before = heap::held();
        self.raise(event::MEMCAP);
        let grown = heap::held().wrapping_sub(before);
        context.account.book(&mut self.booked, grown, self.proto);
        Taken {
            flush: true,
            next: Next::Stop,
            ..taken
        }
    }

    /// Removes a transaction that was inspected and logged.
    pub fn remove(&mut self, context: &mut AppContext, at: usize) {
        if let Some(session) = self.session.as_deref_mut() {
            let before = heap::held();
            session.transactions_mut().remove(at);
            let freed = heap::held().wrapping_sub(before);
            context.account.book(&mut self.booked, freed, self.proto);
        }
    }

    /// What was parsed was logged: a parser that must not go on, and has nothing left to show, gives its memory back.
    pub fn logged(&mut self, context: &mut AppContext) {
        if self.starved
            && self
                .session
                .as_ref()
                .is_some_and(|s| s.transactions().is_empty())
        {
            let before = heap::held();
            self.session = None;
            self.events.shrink_to_fit();
            self.notes.shrink_to_fit();
            let freed = heap::held().wrapping_sub(before);
            context.account.book(&mut self.booked, freed, self.proto);
        }
    }

    /// The flow is over, and everything of it was logged.
    pub fn release(&mut self, context: &mut AppContext) {
        self.session = None;
        context.account.release(&mut self.booked);
    }

    /// Bytes that it holds, as far as they are counted.
    pub fn held(&self) -> u64 {
        self.booked.bytes()
    }

    /// Whether nothing more is parsed in this flow.
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Whether a change of protocol was announced that has not happened yet.
    pub fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    /// Exchanges the directions.
    pub fn swap_directions(&mut self) {
        self.seen.swap(0, 1);
        self.ended.swap(0, 1);
        self.files_due.swap(0, 1);
        self.identified_now.swap(0, 1);
        self.completed.swap(0, 1);
        self.waiting.swap(0, 1);
        self.progress.swap();
        self.frames.swap();
    }

    fn raise(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    /// Stops parsing: nothing was recognised, or what was cannot be right.
    fn give_up(&mut self, context: &mut AppContext) -> Taken {
        self.disabled = true;
        self.session = None;
        self.change = None;
        self.proto = AppProto::FAILED;
        self.ended = [true; 2];
        self.completed = [true; 2];
        for seen in &mut self.seen {
            if *seen == AppProto::UNKNOWN {
                *seen = AppProto::FAILED;
            }
        }
        self.identified_now = [true; 2];
        context.stats.failed += 1;
        Taken {
            next: Next::Stop,
            ..Taken::default()
        }
    }

    fn receive(&mut self, context: &mut AppContext, flow: &mut Flow, offer: &Offer<'_>) -> Taken {
        if self.disabled {
            return Taken {
                next: Next::Stop,
                ..Taken::default()
            };
        }
        let direction = offer.direction;
        self.at = offer.offset;
        if offer.gap > 0 {
            return self.receive_gap(context, flow, offer);
        }
        if std::mem::replace(&mut self.waiting[direction.index()], false) {
            if self.change.take().is_some() {
                // The other side's first bytes ask for another protocol already, against what these ones are.
                self.raise(event::UNEXPECTED);
            }
            return self.after_identification(context, flow, offer);
        }
        let seen = pick(&self.seen, direction);
        if seen == AppProto::UNKNOWN && !pick(&self.completed, direction) {
            return self.identify(context, flow, offer);
        }
        if seen != AppProto::UNKNOWN && self.change.is_some() {
            return self.identify_again(context, flow, offer);
        }
        if self.proto.is_known() {
            return self.parse(
                context,
                flow,
                direction,
                offer.bytes,
                0,
                offer.end,
                offer.ts,
            );
        }
        Taken {
            next: Next::Wait,
            ..Taken::default()
        }
    }

    fn receive_gap(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        offer: &Offer<'_>,
    ) -> Taken {
        if pick(&self.seen, offer.direction) == AppProto::UNKNOWN {
            set(&mut self.completed, offer.direction, true);
            if self.proto == AppProto::UNKNOWN {
                return Taken {
                    next: Next::Wait,
                    ..Taken::default()
                };
            }
        }
        if self.change.take().is_some() || !self.proto.is_known() {
            return Taken {
                next: Next::Wait,
                ..Taken::default()
            };
        }
        self.parse(
            context,
            flow,
            offer.direction,
            &[],
            offer.gap,
            offer.end,
            offer.ts,
        )
    }

    /// Takes a datagram of a flow over UDP. Says whether a parser was given it, and which way it turned out to go: a
    /// probe may show that the first packet seen was the server's.
    pub fn datagram(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        direction: Direction,
        bytes: &[u8],
        ts: Timestamp,
    ) -> (bool, Direction) {
        let before = heap::held();
        let taken = self.take_datagram(context, flow, direction, bytes, ts);
        self.book(context, before, Taken::default());
        taken
    }

    fn take_datagram(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        mut direction: Direction,
        bytes: &[u8],
        ts: Timestamp,
    ) -> (bool, Direction) {
        if self.disabled || self.seen == [AppProto::FAILED; 2] {
            return (false, direction);
        }
        if pick(&self.seen, direction) == AppProto::UNKNOWN {
            let other = pick(&self.seen, direction.reverse());
            let found = self.look(context, flow, direction, bytes, &Transport::Udp, ts);
            let mut reversed = false;
            match found {
                None => {
                    if other != AppProto::UNKNOWN {
                        self.proto = other;
                        set(&mut self.seen, direction, other);
                    } else {
                        set(&mut self.seen, direction, AppProto::FAILED);
                    }
                }
                Some(found) => {
                    reversed = found.reversed;
                    set(&mut self.seen, direction, found.proto);
                    if other.is_known() {
                        if other != found.proto {
                            self.raise(event::MISMATCH);
                        }
                    } else {
                        self.proto = found.proto;
                    }
                }
            }
            if other == AppProto::UNKNOWN {
                if self.proto == AppProto::UNKNOWN {
                    self.proto = AppProto::FAILED;
                    context.stats.failed += 1;
                } else {
                    AppStats::count(&mut context.stats.flows, self.proto);
                }
            }
            self.identified_now = [true; 2];
            if !self.proto.is_known() {
                return (false, direction);
            }
            if reversed {
                flow.swap_directions();
                self.swap_directions();
                direction = direction.reverse();
            }
        }
        if !self.proto.is_known() {
            return (false, direction);
        }
        if context.limits.frames {
            self.at = 0;
            self.frames.datagram(direction);
        }
        let taken = self.parse(context, flow, direction, bytes, 0, false, ts);
        if matches!(
            taken.next,
            Next::Encrypted | Next::InspectionEnds | Next::Bypass
        ) {
            flow.no_payload_inspection = true;
        }
        (taken.parsed, direction)
    }
}

#[cfg(test)]
mod tests;
