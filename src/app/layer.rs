//! The application layer of one flow: identification, the session, and what becomes of it.
//!
//! TCP bytes come through [`Receiver`] (bytes not yet consumed are offered again, so nothing is buffered here),
//! datagrams through [`AppLayer::datagram`]. When the protocol is known a [`Session`] parses; when it changes in the
//! middle (CONNECT, STARTTLS, upgrades) identification starts afresh; when it fails the flow is no longer parsed, but
//! raw inspection goes on. So it goes when there is no memory for what a parser would hold ([`super::account`]). The
//! order of events and the names of `applayer_*` events follow Suricata.

use super::account::{Account, Booked};
use super::expect::Expectations;
use super::identify::{Hints, Identified, Identifier, Progress, pick, set};
use super::note::NOTES_MAX;
use super::{
    AppProto, FlowInfo, FrameNotes, Frames, Input, Limits, Note, Parsed, Protocol, Rides, Session,
    registry,
};
use crate::flow::Flow;
use crate::packet::{Direction, Timestamp};
use crate::stats::MemoryBound;
use crate::stream::{Next, Offer, Receiver, Taken};
use crate::sys::heap;

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
    /// Per direction: nothing more will be parsed, so that transactions count as complete in it.
    pub ended: [bool; 2],
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
            ended: [false; 2],
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
            && !(self.error || self.data_taken || self.disabled)
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

    /// Bytes of a direction whose protocol is not known yet.
    fn identify(&mut self, context: &mut AppContext, flow: &mut Flow, offer: &Offer<'_>) -> Taken {
        let direction = offer.direction;
        let found = self.look(
            context,
            flow,
            direction,
            offer.bytes,
            &Transport::Tcp,
            offer.ts,
        );
        let Some(found) = found else {
            return self.not_identified(context, flow, offer);
        };
        set(&mut self.seen, direction, found.proto);
        set(&mut self.identified_now, direction, true);
        set(&mut self.completed, direction, true);
        let other = pick(&self.seen, direction.reverse());
        if other != AppProto::UNKNOWN && other != found.proto {
            self.raise(event::MISMATCH);
            // What was already parsed stays; otherwise the server is believed.
            self.proto = if self.data_taken || direction == Direction::ToServer {
                other
            } else {
                found.proto
            };
        } else {
            self.proto = found.proto;
        }
        if other != AppProto::UNKNOWN {
            AppStats::count(&mut context.stats.flows, self.proto);
        }
        if found.reversed && offer.midstream && other == AppProto::UNKNOWN {
            set(&mut self.waiting, direction, true);
            return Taken {
                next: Next::Reverse,
                ..Taken::default()
            };
        }
        self.after_reversal(context, flow, offer)
    }

    /// Once the direction is certain: the first data of the connection is parsed first.
    fn after_reversal(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        offer: &Offer<'_>,
    ) -> Taken {
        if !self.data_taken && offer.first_data == Some(offer.direction.reverse()) {
            set(&mut self.waiting, offer.direction, true);
            return Taken {
                next: Next::OtherSideFirst,
                ..Taken::default()
            };
        }
        self.after_identification(context, flow, offer)
    }

    fn after_identification(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        offer: &Offer<'_>,
    ) -> Taken {
        let direction = offer.direction;
        if !self.data_taken {
            let first = registry::protocol(self.proto).and_then(Protocol::first_data);
            if let Some(first) = first {
                if offer.first_data.is_some_and(|seen| seen != first) {
                    self.raise(event::WRONG_DIRECTION);
                    return self.give_up(context);
                }
                if direction != first {
                    // Identified by the answer, the question not seen yet: start over when it comes.
                    self.session = None;
                    set(&mut self.completed, direction, false);
                    set(&mut self.seen, direction, AppProto::UNKNOWN);
                    set(&mut self.progress.patterns_done, direction, false);
                    set(&mut self.progress.probes_done, direction, false);
                    set(&mut self.progress.expectations_done, direction, false);
                    return Taken {
                        next: Next::Wait,
                        ..Taken::default()
                    };
                }
            }
        }
        self.data_taken = true;
        if pick(&self.seen, direction.reverse()) == AppProto::UNKNOWN
            && pick(&self.completed, direction.reverse())
        {
            AppStats::count(&mut context.stats.flows, self.proto);
        }
        self.parse(
            context,
            flow,
            direction,
            offer.bytes,
            0,
            offer.end,
            offer.ts,
        )
    }

    /// Nothing recognised in this direction, so far or for good.
    fn not_identified(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        offer: &Offer<'_>,
    ) -> Taken {
        let direction = offer.direction;
        let wait = Taken {
            next: Next::Wait,
            ..Taken::default()
        };
        if offer.midstream && self.progress.settled(Direction::ToServer) {
            return self.give_up(context);
        }
        let other = pick(&self.seen, direction.reverse());
        if other == AppProto::UNKNOWN {
            if self.change.is_some() {
                if offer.bytes.len() >= CHANGE_BYTES_MAX || offer.end {
                    return self.give_up(context);
                }
                return wait;
            }
            return if self.hopeless(offer) {
                self.give_up(context)
            } else {
                wait
            };
        }
        let first = registry::protocol(other).and_then(Protocol::first_data);
        if !self.data_taken && first.is_some_and(|first| first != direction) {
            return self.give_up(context);
        }
        if self.progress.settled(direction) {
            if !offer.bytes.is_empty() {
                self.data_taken = true;
            }
            let mut taken = wait;
            if other != AppProto::FAILED {
                taken = self.parse(
                    context,
                    flow,
                    direction,
                    offer.bytes,
                    0,
                    offer.end,
                    offer.ts,
                );
                self.raise(event::ONE_DIRECTION);
                AppStats::count(&mut context.stats.flows, self.proto);
            }
            set(&mut self.seen, direction, AppProto::FAILED);
            set(&mut self.completed, direction, true);
            set(&mut self.identified_now, direction, true);
            return taken;
        }
        if offer.end {
            let proto = self.proto;
            set(&mut self.seen, direction, proto);
            set(&mut self.completed, direction, true);
            AppStats::count(&mut context.stats.flows, proto);
        }
        wait
    }

    /// Whether waiting for more bytes cannot help, or costs too much memory.
    fn hopeless(&mut self, offer: &Offer<'_>) -> bool {
        use Direction::{ToClient, ToServer};
        if !offer.established {
            return false;
        }
        let (held_server, held_client) = (pick(&offer.held, ToServer), pick(&offer.held, ToClient));
        let limit_server = UNKNOWN_BYTES_MAX.max(u64::from(pick(&offer.windows, ToClient)));
        let limit_client = UNKNOWN_BYTES_MAX.max(u64::from(pick(&offer.windows, ToServer)));
        let (server, client) = (
            self.progress.settled(ToServer),
            self.progress.settled(ToClient),
        );
        if (server || pick(&self.completed, ToServer))
            && (client || pick(&self.completed, ToClient))
        {
            return true;
        }
        let too_much = held_client > 2 * limit_client
            || held_server > 2 * limit_server
            || (server && held_server > limit_server && (held_client == 0 || !client))
            || (client && held_client > limit_client && (held_server == 0 || !server));
        if too_much {
            self.raise(event::SKIPPED);
        }
        too_much
    }

    /// After an announced change: what do the bytes look like now?
    fn identify_again(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        offer: &Offer<'_>,
    ) -> Taken {
        let (old, change) = (self.proto, self.change);
        let forced = change.and_then(|change| change.to).filter(|to| {
            registry::protocol(*to).is_some_and(|protocol| protocol.rides() == Rides::Switched)
        });
        if let Some(proto) = forced {
            self.change = None;
            self.begin(proto, context);
            return self.parse(
                context,
                flow,
                offer.direction,
                offer.bytes,
                0,
                offer.end,
                offer.ts,
            );
        }
        let session = self.session.take();
        self.progress = Progress::default();
        self.proto = AppProto::UNKNOWN;
        self.seen = [AppProto::UNKNOWN; 2];
        self.completed = [false; 2];
        self.ended = [false; 2];
        let taken = self.identify(context, flow, offer);
        if self.proto == AppProto::UNKNOWN {
            // Not recognised yet: what it was still counts.
            self.proto = old;
            self.seen = [old; 2];
            self.session = session;
            self.ended = [true; 2];
            return taken;
        }
        self.change = None;
        if let Some(expected) = change.and_then(|change| change.to)
            && self.proto.is_known()
            && self.proto != expected
        {
            self.raise(event::UNEXPECTED);
            if expected.name() == "tls" {
                self.raise(event::NO_TLS);
            }
        }
        taken
    }

    /// Starts a protocol whose bytes need no recognition.
    fn begin(&mut self, proto: AppProto, context: &mut AppContext) {
        self.proto = proto;
        self.seen = [proto; 2];
        self.completed = [true; 2];
        self.ended = [false; 2];
        self.session = None;
        AppStats::count(&mut context.stats.flows, proto);
    }

    /// Patterns, probes, announcements.
    fn look(
        &mut self,
        context: &mut AppContext,
        flow: &Flow,
        direction: Direction,
        bytes: &[u8],
        transport: &Transport,
        ts: Timestamp,
    ) -> Option<Identified> {
        let other = pick(&self.seen, direction.reverse());
        let expected = self.change.and_then(|change| change.to);
        let hints = Hints {
            key: flow.key,
            first: expected.or(Some(other).filter(|other| other.is_known())),
            either_way: context.midstream,
        };
        let identifier = match transport {
            Transport::Tcp => &context.tcp,
            Transport::Udp => &context.udp,
        };
        let patterns_before = pick(&self.progress.patterns_done, direction);
        let found = identifier.identify(direction, bytes, &hints, &mut self.progress);
        if let Some(found) = found {
            if !patterns_before
                && pick(&self.progress.patterns_done, direction)
                && other == AppProto::UNKNOWN
            {
                // The other direction may be probed for what this one turned out to be.
                set(&mut self.progress.probes_done, direction.reverse(), false);
            }
            return Some(found);
        }
        if pick(&self.progress.expectations_done, direction) {
            return None;
        }
        set(&mut self.progress.expectations_done, direction, true);
        let expected = context.expectations.take(&flow.key, ts)?;
        let protocol = registry::protocol(expected.proto)?;
        let mut session = protocol.session(&context.limits);
        session.expected(&expected.context);
        self.session = Some(session);
        for seen in &mut self.seen {
            if *seen == AppProto::UNKNOWN {
                *seen = expected.proto;
            }
        }
        Some(Identified {
            proto: expected.proto,
            reversed: false,
        })
    }

    /// Gives bytes, a gap or the end to the session.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call of a parser, spelled out"
    )]
    fn parse(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        direction: Direction,
        bytes: &[u8],
        gap: u64,
        end: bool,
        ts: Timestamp,
    ) -> Taken {
        let Some(protocol) = registry::protocol(self.proto) else {
            return Taken {
                consumed: bytes.len(),
                next: Next::Stop,
                ..Taken::default()
            };
        };
        if end {
            set(&mut self.ended, direction, true);
        }
        let session = self
            .session
            .get_or_insert_with(|| protocol.session(&context.limits));
        if context.limits.frames
            && let Some(notes) = session.frame_notes()
        {
            notes.wanted = true;
        }
        if bytes.is_empty() && gap == 0 && !end {
            return Taken {
                parsed: true,
                ..Taken::default()
            };
        }
        let info = FlowInfo {
            key: flow.key,
            ts,
            flow_id: flow.id,
            inline: context.inline,
            original: self.original,
        };
        let before = snapshot(session.as_ref(), direction);
        let parsed = session.parse(direction, Input { bytes, gap, end }, &info);
        take_notes(session.as_mut(), &mut self.notes);
        if context.limits.frames {
            let mut none = FrameNotes::default();
            let noted = session.frame_notes().unwrap_or(&mut none);
            self.frames.take(noted, direction, self.at, bytes);
        }
        for _ in 0..EXPECTATIONS_MAX {
            let Some(expectation) = session.take_expectation() else {
                break;
            };
            let told = session
                .expectation_context(expectation.tag)
                .unwrap_or_default();
            context.expectations.add(&flow.key, expectation, told, ts);
        }
        if let Some(to) = session.turned_into().filter(|to| *to != self.proto) {
            // The other direction needs no recognition any more: what the flow is says what both are.
            self.original = Some(self.proto);
            self.seen = [to; 2];
            self.proto = to;
        }
        let flush = protocol.flushes_stream() && snapshot(session.as_ref(), direction) != before;
        let all = Taken {
            consumed: bytes.len(),
            parsed: true,
            flush,
            ..Taken::default()
        };
        match parsed {
            Parsed::All => all,
            Parsed::NeedMore { consumed, needed } => {
                let consumed = consumed.min(bytes.len());
                let rest = bytes.len() - consumed;
                Taken {
                    consumed,
                    needed: rest.saturating_add(needed.max(1)),
                    next: Next::Wait,
                    ..all
                }
            }
            // One datagram that makes no sense says nothing about the next.
            Parsed::Error if flow.key.proto == 17 => {
                AppStats::count(&mut context.stats.errors, self.proto);
                all
            }
            Parsed::Error => {
                self.error = true;
                self.disabled = true;
                self.ended = [true; 2];
                AppStats::count(&mut context.stats.errors, self.proto);
                Taken {
                    flush: true,
                    next: Next::Stop,
                    ..all
                }
            }
            Parsed::Switch { consumed, to } => {
                self.change = Some(Change { to });
                self.expected = to;
                self.original = Some(self.proto);
                self.ended = [true; 2];
                for seen in &mut self.seen {
                    if *seen == AppProto::UNKNOWN {
                        *seen = self.proto;
                    }
                }
                Taken {
                    consumed: consumed.min(bytes.len()),
                    next: Next::ProtocolChange,
                    ..all
                }
            }
            Parsed::Bypass => match context.tls_encryption {
                EncryptionHandling::Full => all,
                EncryptionHandling::TrackOnly if protocol.name() == "tls" => Taken {
                    next: Next::Encrypted,
                    ..all
                },
                EncryptionHandling::TrackOnly => {
                    self.disabled = true;
                    self.ended = [true; 2];
                    Taken {
                        next: Next::Stop,
                        flush: true,
                        ..all
                    }
                }
                EncryptionHandling::Bypass => {
                    self.disabled = true;
                    self.ended = [true; 2];
                    Taken {
                        next: Next::Bypass,
                        ..all
                    }
                }
            },
        }
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

/// Which identifier to ask.
#[derive(Clone, Copy, Debug)]
enum Transport {
    Tcp,
    Udp,
}

/// Passes on what the session has to tell, up to a bound.
fn take_notes(session: &mut dyn Session, notes: &mut Vec<Note>) {
    while notes.len() < NOTES_MAX
        && let Some(note) = session.take_note()
    {
        notes.push(note);
    }
}

/// How far the transactions of a direction have come: when this changes, raw stream inspection looks too.
fn snapshot(session: &dyn Session, direction: Direction) -> (u64, u8) {
    if let Some(whole) = session.whole_messages(direction) {
        return (whole, 0);
    }
    let transactions = session.transactions();
    let newest = transactions
        .len()
        .checked_sub(1)
        .and_then(|last| transactions.at(last));
    (
        transactions.total(),
        newest.map_or(0, |tx| tx.progress(direction)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FlowKey;

    use Direction::{ToClient, ToServer};

    struct Talk {
        context: AppContext,
        layer: AppLayer,
        flow: Flow,
        first: Option<Direction>,
    }

    impl Talk {
        fn new(dport: u16, proto: u8) -> Self {
            let key = FlowKey {
                sport: 40_000,
                dport,
                proto,
                ..FlowKey::default()
            };
            Self {
                context: AppContext::new(Limits::default(), false, false),
                layer: AppLayer::default(),
                flow: Flow {
                    key,
                    ..Flow::default()
                },
                first: None,
            }
        }

        fn offer(&mut self, direction: Direction, bytes: &[u8], gap: u64) -> Taken {
            self.first.get_or_insert(direction);
            let offer = Offer {
                direction,
                bytes,
                gap,
                end: false,
                offset: 0,
                ts: Timestamp::new(100, 0),
                first_data: self.first,
                midstream: false,
                established: true,
                depth_reached: false,
                held: [bytes.len() as u64; 2],
                windows: [60_000; 2],
            };
            AppInput {
                layer: &mut self.layer,
                context: &mut self.context,
            }
            .receive(&mut self.flow, &offer)
        }

        fn name(&self) -> &'static str {
            self.layer.proto.name()
        }
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const BANNER: &[u8] = b"SSH-2.0-server\r\n";

    #[test]
    fn a_request_is_recognised_and_parsed() {
        let mut talk = Talk::new(8080, 6);
        let taken = talk.offer(ToServer, REQUEST, 0);
        assert_eq!(
            (talk.name(), taken.consumed, taken.parsed),
            ("http", REQUEST.len(), true)
        );
        assert_eq!(
            talk.layer
                .session
                .as_ref()
                .map(|s| s.transactions().total()),
            Some(1)
        );
        assert!(talk.layer.identified_now[0] && !talk.layer.identified_now[1]);
    }

    #[test]
    fn flows_that_would_grow_beyond_the_memory_cap_are_parsed_no_further() {
        const CAP: u64 = 200_000;
        let mut talk = Talk::new(8080, 6);
        talk.context.account = Account::new(CAP);
        let mut flows = Vec::new();
        for _ in 0..1_000 {
            (talk.layer, talk.first) = (AppLayer::default(), None);
            let taken = talk.offer(ToServer, REQUEST, 0);
            let mut layer = std::mem::take(&mut talk.layer);
            assert_eq!(layer.starved, taken.next == Next::Stop);
            if layer.starved {
                assert_eq!(layer.events, [event::MEMCAP]);
                assert_eq!(layer.ended, [true; 2]);
                layer.events.clear();
                // What was parsed is inspected and logged, and then its memory is free.
                layer.logged(&mut talk.context);
                assert!(layer.session.is_some());
                layer.remove(&mut talk.context, 0);
                layer.logged(&mut talk.context);
                assert!(layer.session.is_none());
            }
            flows.push(layer);
            // The last one that grew is over the cap, and a starved flow keeps a few words.
            let held = talk.context.account.held();
            assert!(held < CAP + 4_096 + 64 * flows.len() as u64, "{held}");
        }
        let starved = flows.iter().filter(|l| l.starved).count();
        assert!((1..1_000).contains(&starved), "{starved}");
        assert_eq!(talk.context.account.refused, starved as u64);
        // Silent flows make room: who comes now is parsed again.
        for layer in &mut flows {
            layer.release(&mut talk.context);
        }
        assert_eq!(talk.context.account.held(), 0);
        (talk.layer, talk.first) = (AppLayer::default(), None);
        assert!(talk.offer(ToServer, REQUEST, 0).parsed && !talk.layer.starved);
    }

    #[test]
    fn a_server_may_speak_first() {
        let mut talk = Talk::new(2222, 6);
        assert!(talk.offer(ToClient, BANNER, 0).parsed);
        assert!(talk.offer(ToServer, b"SSH-2.0-client\r\n", 0).parsed);
        assert_eq!((talk.name(), talk.layer.events.len()), ("ssh", 0));
    }

    #[test]
    fn directions_that_disagree_raise_an_event() {
        let mut talk = Talk::new(22, 6);
        talk.offer(ToServer, REQUEST, 0);
        talk.offer(ToClient, BANNER, 0);
        assert_eq!(
            talk.layer.events,
            ["applayer_mismatch_protocol_both_directions"]
        );
        assert_eq!((talk.name(), talk.layer.seen[1].name()), ("http", "ssh"));
    }

    #[test]
    fn an_answer_waits_until_the_question_was_parsed() {
        let mut talk = Talk::new(8080, 6);
        talk.first = Some(ToServer);
        let answer = talk.offer(ToClient, b"HTTP/1.1 200 OK\r\n\r\n", 0);
        assert_eq!(answer.next, Next::OtherSideFirst);
        talk.offer(ToServer, REQUEST, 0);
        assert!(talk.offer(ToClient, b"HTTP/1.1 200 OK\r\n\r\n", 0).parsed);
    }

    #[test]
    fn noise_in_both_directions_is_given_up() {
        let mut talk = Talk::new(9999, 6);
        talk.offer(ToServer, &[0xfe; 300], 0);
        let last = talk.offer(ToClient, &[0xfe; 300], 0);
        assert_eq!(
            (talk.name(), last.next, talk.layer.ended),
            ("failed", Next::Stop, [true; 2])
        );
    }

    #[test]
    fn connect_changes_to_what_follows() {
        let mut talk = Talk::new(8002, 6);
        talk.offer(
            ToServer,
            b"CONNECT abc:443 HTTP/1.1\r\nHost: abc\r\n\r\n",
            0,
        );
        let answer = talk.offer(ToClient, b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", 0);
        assert_eq!(answer.next, Next::ProtocolChange);
        talk.offer(ToServer, b"\x16\x03\x00\0\0\0\0\0\0\0\0\0\0\0", 0);
        assert_eq!(
            (talk.name(), talk.layer.original.map(AppProto::name)),
            ("tls", Some("http"))
        );
        assert!(talk.layer.events.is_empty(), "{:?}", talk.layer.events);
    }

    /// Segments through the stream engine: direction, flags beside ACK, payload. Sequence numbers follow.
    fn through_engine(segments: &[(Direction, u8, &[u8])]) -> AppLayer {
        use crate::packet::{EventSet, Layers, Net, Packet, TcpFlags, Transport};
        use crate::stream::{StreamEngine, StreamPair, StreamSettings};
        let mut engine = StreamEngine::new(StreamSettings::default());
        let (mut streams, mut talk) = (StreamPair::default(), Talk::new(8002, 6));
        let mut next = [1000u32, 5000];
        for (i, (direction, flags, payload)) in segments.iter().enumerate() {
            let d = direction.index();
            let mut layers = Layers {
                net: Net::V4,
                transport: Transport::Tcp,
                ip_proto: 6,
                payload_len: payload.len() as u32,
                ..Layers::default()
            };
            layers.tcp.flags = TcpFlags(flags | if i == 0 { 0 } else { TcpFlags::ACK });
            layers.tcp.seq = next[d];
            layers.tcp.ack = if i == 0 { 0 } else { next[1 - d] };
            layers.tcp.window = 60_000;
            let syn_or_fin = u32::from(flags & (TcpFlags::SYN | TcpFlags::FIN) != 0);
            next[d] += payload.len() as u32 + syn_or_fin;
            let packet = Packet {
                frame: payload,
                layers: &layers,
            };
            let Talk {
                context,
                layer,
                flow,
                ..
            } = &mut talk;
            let mut input = AppInput { layer, context };
            let mut events = EventSet::default();
            let verdict = engine.packet(
                &packet,
                *direction,
                flow,
                &mut streams,
                &mut input,
                &mut events,
            );
            assert!(
                events.is_empty(),
                "packet {i}: {:?}",
                events.iter().collect::<Vec<_>>()
            );
            let sides = if verdict.flush {
                vec![direction.reverse(), *direction, *direction]
            } else {
                vec![*direction]
            };
            for side in sides.into_iter().filter(|_| verdict.stream) {
                let upto = engine
                    .window(side, &talk.flow, &streams, None)
                    .map(|window| window.end());
                engine.inspected(side, &talk.flow, &mut streams, upto);
            }
        }
        talk.layer
    }

    #[test]
    fn connect_changes_through_the_stream_engine_too() {
        let (syn, none) = (crate::packet::TcpFlags::SYN, 0);
        let layer = through_engine(&[
            (ToServer, syn, b""),
            (ToClient, syn, b""),
            (ToServer, none, b""),
            (ToClient, none, b""),
            (
                ToServer,
                none,
                b"CONNECT abc:443 HTTP/1.1\r\nUser-Agent: Victor/1.0\r\n\r\n",
            ),
            (ToClient, none, b""),
            (
                ToClient,
                none,
                b"HTTP/1.1 200 OK\r\nServer: VictorServer/1.0\r\n\r\n",
            ),
            (ToServer, none, b""),
            (ToServer, none, b"\x16\x03\x00\0\0\0\0\0\0\0\0\0\0\0"),
            (ToClient, none, b""),
        ]);
        assert_eq!(layer.proto.name(), "tls");
    }

    #[test]
    fn a_gap_before_recognition_leaves_the_other_direction_its_chance() {
        let mut talk = Talk::new(8080, 6);
        assert!(!talk.offer(ToClient, &[], 100).parsed);
        talk.offer(ToServer, REQUEST, 0);
        assert_eq!(talk.name(), "http");
    }

    #[test]
    fn datagrams_are_recognised_one_by_one() {
        let mut talk = Talk::new(53, 17);
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01";
        let Talk {
            context,
            layer,
            flow,
            ..
        } = &mut talk;
        assert_eq!(
            layer.datagram(context, flow, ToServer, query, Timestamp(0)),
            (true, ToServer)
        );
        assert_eq!(talk.name(), "dns");
        let mut noise = Talk::new(9, 17);
        let Talk {
            context,
            layer,
            flow,
            ..
        } = &mut noise;
        assert_eq!(
            layer.datagram(context, flow, ToServer, &[0xff; 20], Timestamp(0)),
            (false, ToServer)
        );
        assert_eq!(noise.name(), "failed");
    }
}
