//! What the bytes of a flow are taken for: identification, its ends, and once more after a change of protocol.
//!
//! Which patterns and probes there are is [`crate::app::identify`]'s.

use super::{AppContext, AppLayer, AppStats, CHANGE_BYTES_MAX, UNKNOWN_BYTES_MAX, event};
use crate::app::identify::{Hints, Identified, Progress, pick, set};
use crate::app::{AppProto, Protocol, Rides, registry};
use crate::flow::Flow;
use crate::packet::{Direction, Timestamp};
use crate::stream::{Next, Offer, Taken};

/// Which identifier to ask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl AppLayer {
    /// Bytes of a direction whose protocol is not known yet.
    pub(super) fn identify(
        &mut self,
        context: &mut AppContext,
        flow: &mut Flow,
        offer: &Offer<'_>,
    ) -> Taken {
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

    pub(super) fn after_identification(
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
    pub(super) fn identify_again(
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
    pub(super) fn look(
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
}
