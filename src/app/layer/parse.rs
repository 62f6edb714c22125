//! One call of a parser, and what its answer means for the flow.

use super::{AppContext, AppLayer, AppStats, Change, EXPECTATIONS_MAX, EncryptionHandling};
use crate::app::identify::set;
use crate::app::note::NOTES_MAX;
use crate::app::{AppProto, FlowInfo, FrameNotes, Input, Note, Parsed, Session, registry};
use crate::flow::Flow;
use crate::packet::{Direction, Timestamp};
use crate::stream::{Next, Taken};

impl AppLayer {
    /// Gives bytes, a gap or the end to the session.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call of a parser, spelled out"
    )]
    pub(super) fn parse(
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
                self.failed = true;
                AppStats::count(&mut context.stats.errors, self.proto);
                all
            }
            Parsed::Error => {
                self.error = true;
                self.failed = true;
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
