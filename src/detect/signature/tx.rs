//! Inspection of transactions: stage by stage as they grow, each signature at most once a transaction and direction.
//!
//! A direction of a transaction has stages, its protocol's progress values. When it comes to a stage, the stage's buffers
//! are scanned and its candidates inspected; a candidate that needs a later stage is noted with the transaction and goes
//! on there. A stage is looked at again until the transaction has gone beyond it.

use std::any::Any;

use super::Engine;
use super::compiled::{Ranked, TxLook, TxScan, TxStep, tx_range};
use super::inspect::{Facts, HitPlace, Inspection, Match, Work, matched};
use super::prefilter::PATTERN_MAX;
use super::program::Program;
use super::values::VALUES_MAX;
use super::verify::Subject;
use crate::app::{Access, AppProto, Field, Session, Transaction, Watcher, registry};
use crate::packet::{Direction, Transport};
use crate::rules::{BufferId, Compare, Hook, NumberIndex, NumberTest, Signature, TxWant};

/// Signatures that may wait on one direction of a transaction.
const WAITING_MAX: usize = 1024;

/// Values that grow of which it is remembered how far they were scanned: the buffers of bodies and files.
const LOOKS_MAX: usize = 16;

/// The signature matched, or cannot match any more.
const DONE: u32 = 1 << 31;

/// What detection remembers of one direction of a transaction.
#[derive(Debug, Default)]
struct TxMemory {
    /// The engine whose ranks these are.
    generation: u32,
    /// Signatures begun or done, with the steps that matched.
    waiting: Vec<Waiting>,
    /// How far values that grow were scanned.
    looks: Vec<Look>,
    /// Candidates that those scans found: a later look at the same bytes has them without a scan.
    found: Vec<Found>,
}

/// How far a value that grows was scanned.
#[derive(Clone, Copy, Debug)]
struct Look {
    buffer: BufferId,
    index: usize,
    file: u32,
    /// Offset after the last byte.
    upto: u64,
}

/// A candidate of bytes that were scanned.
#[derive(Clone, Copy, Debug)]
struct Found {
    buffer: BufferId,
    index: usize,
    rank: u32,
    /// Offset after the last byte of the scan: from there on it is not in what is looked at.
    upto: u64,
}

impl TxMemory {
    fn of(engine: &Engine) -> Self {
        Self {
            generation: engine.generation,
            waiting: Vec::new(),
            looks: Vec::new(),
            found: Vec::new(),
        }
    }

    /// How far a value was scanned.
    fn scanned(&self, buffer: BufferId, index: usize, file: u32) -> u64 {
        let same = |l: &&Look| (l.buffer, l.index, l.file) == (buffer, index, file);
        self.looks.iter().find(same).map_or(0, |look| look.upto)
    }

    /// Notes that a value was scanned up to an offset, and what that found, unless there is too much: then it will be
    /// scanned again.
    fn note_scan(&mut self, look: Look, found: &[u32], offset: u64) {
        self.found
            .retain(|f| (f.buffer, f.index) != (look.buffer, look.index) || f.upto > offset);
        let fits = self.found.len() + found.len() <= WAITING_MAX && self.looks.len() < LOOKS_MAX;
        self.looks
            .retain(|l| (l.buffer, l.index) != (look.buffer, look.index));
        if fits {
            self.looks.push(look);
            self.found.extend(found.iter().map(|rank| Found {
                buffer: look.buffer,
                index: look.index,
                rank: *rank,
                upto: look.upto,
            }));
        }
    }

    /// Puts an older engine's ranks into the words of this one.
    fn adopt(&mut self, engine: &Engine) {
        if self.generation == engine.generation {
            return;
        }
        let known = engine.succession.from(self.generation);
        self.waiting.retain_mut(|waiting| {
            let rank = known.and_then(|known| known.rank(waiting.rank));
            waiting.rank = rank.unwrap_or(waiting.rank);
            rank.is_some()
        });
        self.generation = engine.generation;
        self.looks.clear();
        self.found.clear();
    }
}

/// A signature that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    rank: u32,
    /// Bits of the steps that matched, and [`DONE`].
    bits: u32,
}

/// A candidate of the transaction in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    /// Begun before: goes before the same signature found anew.
    is_new: bool,
    bits: u32,
}

/// Buffers that are kept from transaction to transaction.
#[derive(Debug, Default)]
pub(super) struct TxScratch {
    /// Transactions to be looked at, by number.
    ids: Vec<u64>,
    found: Vec<u32>,
    candidates: Vec<Candidate>,
    /// Transactional signatures whose request matched: for the response.
    handed_over: Vec<Waiting>,
}

/// A transaction in hand.
struct InHand<'t> {
    tx: &'t dyn Transaction,
    session: &'t dyn Session,
    proto: AppProto,
    direction: Direction,
    progress: [u8; 2],
    complete_at: u8,
}

/// What inspecting a signature gave.
struct Inspected {
    matched: bool,
    /// See [`Match::noted`].
    noted: u16,
    /// State to be noted; `None`: nothing new.
    bits: Option<u32>,
}

/// Why transactions are looked at.
mod because {
    /// They changed.
    pub const CHANGED: u8 = 0;
    /// The direction is beyond the depth of reassembly: whatever it carried is complete.
    pub const CUT: u8 = 1;
    /// Rules are not to look any more.
    pub const SKIPPED: u8 = 2;
}

/// Marks all transactions as inspected where rules are not to look.
pub(super) fn skip(work: &mut Work, input: &mut Inspection<'_>) {
    let direction = input.direction;
    let Some(app) = input.app.as_deref_mut() else {
        return;
    };
    let Some(protocol) = registry::protocol(app.proto) else {
        return;
    };
    let Some(session) = app.session.as_mut() else {
        return;
    };
    let list = session.transactions_mut();
    let ids = &mut work.tx.ids;
    list.changed(Watcher::Detection(direction), Some(because::SKIPPED), ids);
    for id in ids {
        if let Some(tx) = list.position(*id).and_then(|at| list.at_mut(at)) {
            let done = tx.progress(direction) >= protocol.complete_at(direction);
            let state = tx.state_mut();
            set(&mut state.updated, direction, false);
            if done {
                set(&mut state.inspected, direction, true);
            }
        }
    }
}

/// Inspects the transactions of the packet's direction.
pub(super) fn inspect(work: &mut Work, engine: &Engine, input: &mut Inspection<'_>, facts: &Facts) {
    if !is_due(input, facts) {
        return;
    }
    let Some(app) = input.app.as_deref_mut() else {
        return;
    };
    let proto = app.proto;
    let Some(protocol) = registry::protocol(proto) else {
        return;
    };
    let direction = facts.direction;
    let complete_at = protocol.complete_at(direction);
    // The session is taken out so that the rest of the input can be borrowed beside it.
    let Some(mut session) = app.session.take() else {
        return;
    };
    let mut ids = std::mem::take(&mut work.tx.ids);
    // What the last bytes of a flow show is asked of all transactions, each time.
    let circumstances = (!has_ended(input)).then_some(match input.stream.cut {
        true => because::CUT,
        false => because::CHANGED,
    });
    let watcher = Watcher::Detection(direction);
    session
        .transactions_mut()
        .changed(watcher, circumstances, &mut ids);
    for id in &ids {
        if let Some(position) = session.transactions().position(*id) {
            inspect_one(
                work,
                engine,
                input,
                facts,
                &mut *session,
                position,
                proto,
                complete_at,
            );
        }
    }
    work.tx.ids = ids;
    if let Some(app) = input.app.as_deref_mut() {
        app.session = Some(session);
    }
}

fn has_ended(input: &Inspection<'_>) -> bool {
    input.stream.ended || input.packet.origin.is_made()
}

fn is_due(input: &Inspection<'_>, facts: &Facts) -> bool {
    let Some(app) = &input.app else { return false };
    if app.session.is_none() {
        return false;
    }
    // ICMP errors come with the flow they are about.
    let same = input
        .flow
        .as_ref()
        .is_some_and(|flow| flow.key.proto == input.packet.ip_proto);
    if !same && !facts.flow_end {
        return false;
    }
    if input.packet.transport == Transport::Tcp {
        return input.stream.established
            && (input.stream.app_updated
                || facts.flow_end
                || input.stream.ended
                || input.stream.cut);
    }
    true
}

#[allow(clippy::too_many_arguments)]
fn inspect_one(
    work: &mut Work,
    engine: &Engine,
    input: &mut Inspection<'_>,
    facts: &Facts,
    session: &mut dyn Session,
    position: usize,
    proto: AppProto,
    complete_at: u8,
) {
    let direction = facts.direction;
    let ended = has_ended(input);
    let Some(tx) = session.transactions().at(position) else {
        return;
    };
    // Most of those that wait for an answer are done with in this direction.
    let state = tx.state();
    if get(&state.inspected, direction) {
        return;
    }
    let due = get(&state.updated, direction) || ended;
    let here = if input.stream.cut {
        complete_at
    } else {
        tx.progress(direction)
    };
    if !due && here < complete_at {
        return;
    }
    let there = tx.progress(direction.reverse());
    let progress = match direction {
        Direction::ToServer => [here, there],
        Direction::ToClient => [there, here],
    };
    let Some(tx) = session.transactions_mut().at_mut(position) else {
        return;
    };
    let state = tx.state_mut();
    set(&mut state.updated, direction, false);
    let mut memory = state
        .detect
        .get_mut(direction.index())
        .and_then(Option::take)
        .and_then(|memory| memory.downcast::<TxMemory>().ok());
    if let Some(memory) = &mut memory {
        memory.adopt(engine);
    }
    let id = state.id;
    let mut scanned_to = state
        .detect_progress
        .get(direction.index())
        .copied()
        .unwrap_or(0);
    if let Some(tx) = session.transactions().at(position) {
        let hand = InHand {
            tx,
            session: &*session,
            proto,
            direction,
            progress,
            complete_at,
        };
        inspect_in_hand(
            work,
            engine,
            input,
            facts,
            &hand,
            &mut memory,
            &mut scanned_to,
            id,
        );
    }
    if let Some(tx) = session.transactions_mut().at_mut(position) {
        let state = tx.state_mut();
        if let Some(progress) = state.detect_progress.get_mut(direction.index()) {
            *progress = scanned_to;
        }
        hand_over(engine, &mut work.tx.handed_over, &mut state.detect);
        if here >= complete_at {
            set(&mut state.inspected, direction, true);
        } else if let Some(memory) = memory
            && let Some(slot) = state.detect.get_mut(direction.index())
        {
            *slot = Some(memory);
        }
    }
}

/// Gives what the request of a transactional signature showed to the response's memory.
fn hand_over(
    engine: &Engine,
    waiting: &mut Vec<Waiting>,
    detect: &mut [Option<Box<dyn Any + Send>>; 2],
) {
    if waiting.is_empty() {
        return;
    }
    let [_, response] = detect;
    let mut memory = match response.take().map(|memory| memory.downcast::<TxMemory>()) {
        Some(Ok(memory)) => memory,
        _ => Box::new(TxMemory::of(engine)),
    };
    memory.adopt(engine);
    for given in waiting.drain(..) {
        let full = memory.waiting.len() >= WAITING_MAX;
        match memory.waiting.iter_mut().find(|w| w.rank == given.rank) {
            Some(known) => known.bits |= given.bits,
            None if full => {}
            None => memory.waiting.push(given),
        }
    }
    *response = Some(memory);
}

#[allow(clippy::too_many_arguments)]
fn inspect_in_hand(
    work: &mut Work,
    engine: &Engine,
    input: &mut Inspection<'_>,
    facts: &Facts,
    hand: &InHand<'_>,
    memory: &mut Option<Box<TxMemory>>,
    progress: &mut u8,
    id: u64,
) {
    work.values.forget();
    let mut scratch = std::mem::take(&mut work.tx);
    let scanned_to = *progress;
    *progress = scan(work, engine, hand, memory, scanned_to, &mut scratch.found);
    scratch.found.extend_from_slice(&work.tx_candidates);
    scratch.candidates.clear();
    scratch
        .candidates
        .extend(scratch.found.drain(..).map(|rank| Candidate {
            rank,
            is_new: true,
            bits: 0,
        }));
    if let Some(memory) = memory {
        let waiting = memory.waiting.iter().map(|w| Candidate {
            rank: w.rank,
            is_new: false,
            bits: w.bits,
        });
        scratch.candidates.extend(waiting);
    }
    scratch.candidates.sort_unstable();
    scratch.candidates.dedup_by_key(|c| c.rank);
    work.stats.candidates += scratch.candidates.len() as u64;
    for candidate in &scratch.candidates {
        if candidate.bits & DONE != 0 {
            continue;
        }
        let Some(signature) = engine.compiled.signatures.get(candidate.rank as usize) else {
            continue;
        };
        let Some(rule) = engine.rules().signatures.get(signature.index as usize) else {
            continue;
        };
        let begun = work.costs.begin();
        let outcome = signature_on(
            work, engine, input, facts, hand, signature, rule, *candidate,
        );
        work.costs.end(begun, signature.index, outcome.matched);
        if signature.transactional && hand.direction == Direction::ToServer {
            // Decided when the response is there.
            if let Some(bits) = outcome.bits.filter(|bits| bits & DONE == 0) {
                scratch.handed_over.push(Waiting {
                    rank: candidate.rank,
                    bits,
                });
            }
            continue;
        }
        if let Some(bits) = outcome.bits {
            note(work, engine, memory, *candidate, bits);
        }
        if outcome.matched {
            matched(rule, input);
            work.note_captures(input);
            work.found(Match {
                rank: candidate.rank,
                tx: Some(id),
                place: HitPlace::Transaction,
                noted: outcome.noted,
            });
        }
    }
    work.tx = scratch;
}

fn note(
    work: &mut Work,
    engine: &Engine,
    memory: &mut Option<Box<TxMemory>>,
    candidate: Candidate,
    bits: u32,
) {
    let memory = memory.get_or_insert_with(|| Box::new(TxMemory::of(engine)));
    if !candidate.is_new {
        if let Some(waiting) = memory.waiting.iter_mut().find(|w| w.rank == candidate.rank) {
            waiting.bits = bits;
        }
    } else if memory.waiting.len() < WAITING_MAX {
        memory.waiting.push(Waiting {
            rank: candidate.rank,
            bits,
        });
    } else {
        work.stats.state_limits += 1;
    }
}

/// Scans the stages that the transaction has come to, and gives the progress below which that was the last time.
fn scan(
    work: &mut Work,
    engine: &Engine,
    hand: &InHand<'_>,
    memory: &mut Option<Box<TxMemory>>,
    scanned_to: u8,
    found: &mut Vec<u32>,
) -> u8 {
    let d = hand.direction.index();
    let here = hand.progress.get(d).copied().unwrap_or(0);
    let Some(plan) = engine
        .compiled
        .plans
        .get(usize::from(hand.proto.0))
        .and_then(|p| p.get(d))
    else {
        return scanned_to;
    };
    let mut reached = scanned_to;
    for stage in &plan.stages {
        if stage.progress > here {
            break;
        }
        if here > stage.progress && scanned_to > stage.progress {
            continue;
        }
        found.extend_from_slice(&stage.always);
        if let Some(TxScan {
            buffer,
            field,
            matcher,
        }) = stage.scan
        {
            scan_buffer(work, engine, hand, memory, (buffer, field), matcher, found);
        }
        if here > stage.progress && stage.last {
            reached = stage.progress.saturating_add(1);
        }
    }
    let events = &hand.tx.state().events;
    if !events.is_empty() {
        found.extend(
            plan.events
                .iter()
                .filter(|(event, _)| events.contains(event))
                .map(|(_, rank)| *rank),
        );
    }
    reached
}

fn scan_buffer(
    work: &mut Work,
    engine: &Engine,
    hand: &InHand<'_>,
    memory: &mut Option<Box<TxMemory>>,
    (buffer, field): (BufferId, &Field),
    matcher: usize,
    found: &mut Vec<u32>,
) {
    let many = !matches!(field.access, Access::Bytes(_));
    let grows =
        matches!(field.access, Access::Streaming(_)) && engine.transforms.of(buffer).is_empty();
    let mut values = std::mem::take(&mut work.values);
    for index in 0..=VALUES_MAX {
        let regex = work.regex.as_mut();
        let value = values.value(
            &engine.transforms,
            regex,
            buffer,
            field,
            hand.tx,
            hand.direction,
            index,
        );
        let Some(subject) = value else {
            if index == VALUES_MAX {
                work.stats.value_limits += 1;
            }
            break;
        };
        if grows {
            scan_growing(
                work,
                engine,
                memory,
                (buffer, index),
                subject,
                matcher,
                found,
            );
        } else {
            work.scan_tx(engine, matcher, subject, found);
        }
        if !many {
            break;
        }
    }
    work.values = values;
}

/// Scans what is new of a value that grows. Each look at it shows much of what the last one showed (a segment more of a
/// body shows 16 KiB of it): candidates found there before are candidates again.
fn scan_growing(
    work: &mut Work,
    engine: &Engine,
    memory: &mut Option<Box<TxMemory>>,
    (buffer, index): (BufferId, usize),
    subject: Subject<'_>,
    matcher: usize,
    found: &mut Vec<u32>,
) {
    let end = subject.offset.saturating_add(subject.bytes.len() as u64);
    let scanned = memory
        .as_ref()
        .map_or(0, |m| m.scanned(buffer, index, subject.file));
    let before = found.len();
    // A pattern may have begun before.
    let known = scanned.saturating_sub(PATTERN_MAX as u64 - 1);
    let skip = known.saturating_sub(subject.offset);
    let fresh = usize::try_from(skip)
        .ok()
        .filter(|_| scanned <= end)
        .and_then(|skip| subject.bytes.get(skip..));
    if let Some(fresh) = fresh.filter(|_| skip > 0) {
        let rest = Subject {
            bytes: fresh,
            offset: known,
            ..subject
        };
        work.scan_tx(engine, matcher, rest, found);
    } else {
        work.scan_tx(engine, matcher, subject, found);
    }
    let new = before..found.len();
    if let Some(memory) = memory {
        let again = |f: &&Found| f.buffer == buffer && f.upto > subject.offset;
        found.extend(memory.found.iter().filter(again).map(|f| f.rank));
    }
    if !subject.complete {
        let memory = memory.get_or_insert_with(|| Box::new(TxMemory::of(engine)));
        let look = Look {
            buffer,
            index,
            file: subject.file,
            upto: end,
        };
        memory.note_scan(look, found.get(new).unwrap_or_default(), subject.offset);
    }
}

/// Inspects one signature on one transaction, from where it stood.
#[allow(clippy::too_many_arguments)]
fn signature_on(
    work: &mut Work,
    engine: &Engine,
    input: &mut Inspection<'_>,
    facts: &Facts,
    hand: &InHand<'_>,
    signature: &Ranked,
    rule: &Signature,
    candidate: Candidate,
) -> Inspected {
    const NOTHING: Inspected = Inspected {
        matched: false,
        noted: 0,
        bits: None,
    };
    if candidate.is_new {
        let of_kind = match &rule.hook {
            Some(Hook::Progress {
                kind: Some(kind), ..
            }) => *kind == hand.tx.kind(),
            _ => true,
        };
        if !of_kind
            || !signature.app.holds(hand.proto)
            || !work.header(engine, signature, &input.packet, facts)
            || !work.tests(rule, input, facts)
        {
            return NOTHING;
        }
        work.verifier.begin(signature.variables);
        if !work.header_buffers(engine, signature, &input.packet) {
            return NOTHING;
        }
        work.stats.verified += 1;
    }
    let steps = tx_range(&engine.compiled.tx_steps, signature.tx);
    let mut bits = candidate.bits;
    let mut matches = 0;
    let mut whole = true;
    let mut never = false;
    let mut beyond_fast = false;
    let mut in_fast = false;
    let both = signature.transactional && hand.direction == Direction::ToClient;
    for step in steps {
        if bits & bit(step) != 0 || step.proto != AppProto::UNKNOWN && step.proto != hand.proto {
            continue;
        }
        if step.direction != hand.direction && !both {
            // A transactional rule is decided when the response is there.
            if signature.transactional {
                whole = false;
            }
            continue;
        }
        let progress = hand
            .progress
            .get(step.direction.index())
            .copied()
            .unwrap_or(0);
        if progress < step.progress {
            whole = false;
            break;
        }
        if step.fast {
            beyond_fast |= progress > step.progress;
            in_fast |= progress == step.progress;
        }
        let answer = step_on(
            work,
            engine,
            input,
            hand,
            rule,
            step,
            progress > step.progress,
        );
        match answer {
            Answer::Match => {
                bits |= bit(step);
                matches += 1;
                continue;
            }
            // Nothing is stored while the stage lasts: the rule matches each time the transaction grows in it.
            Answer::Reached => {
                return Inspected {
                    matched: true,
                    noted: 0,
                    bits: (progress > step.progress).then_some(bits | DONE),
                };
            }
            Answer::Never => never = true,
            Answer::NoMatch => never |= step.fast && beyond_fast,
        }
        whole = false;
        break;
    }
    let mut matched = whole && matches > 0;
    let mut noted = 0;
    if matched && signature.notes {
        let look = |work: &mut Work| {
            work.header_buffers(engine, signature, &input.packet);
            for step in steps {
                if step.proto == AppProto::UNKNOWN || step.proto == hand.proto {
                    note_values(work, engine, hand, step);
                }
            }
        };
        match work.note(engine, signature, look) {
            Some(place) => noted = place,
            None => (matched, never) = (false, true),
        }
    }
    if !candidate.is_new {
        let end = if matched || never { DONE } else { 0 };
        return Inspected {
            matched,
            noted,
            bits: Some(bits | end),
        };
    }
    if matched {
        // Past the fast pattern's stage the signature does not come up again.
        return Inspected {
            matched,
            noted,
            bits: (!beyond_fast || signature.transactional).then_some(bits | DONE),
        };
    }
    if never {
        return Inspected {
            matched,
            noted,
            bits: (!beyond_fast).then_some(bits | DONE),
        };
    }
    // While the fast pattern's stage lasts, the signature is found again.
    let waits = hand
        .progress
        .get(hand.direction.index())
        .is_some_and(|p| *p < hand.complete_at);
    Inspected {
        matched,
        noted,
        bits: (bits != 0 && (waits && !in_fast || signature.transactional)).then_some(bits),
    }
}

fn bit(step: &TxStep) -> u32 {
    1 << step.bit.min(30)
}

/// A step's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Match,
    NoMatch,
    Never,
    /// A rule on a hook alone.
    Reached,
}

/// Inspects one step. `beyond`: the transaction has gone beyond the step's stage, so what is missing now stays missing.
fn step_on(
    work: &mut Work,
    engine: &Engine,
    input: &Inspection<'_>,
    hand: &InHand<'_>,
    rule: &Signature,
    step: &TxStep,
    beyond: bool,
) -> Answer {
    let otherwise = if beyond {
        Answer::Never
    } else {
        Answer::NoMatch
    };
    match step.look {
        TxLook::Reached => Answer::Reached,
        TxLook::Payload { program } => payload(work, engine, input, program),
        TxLook::Test { index, field } => {
            let Some(test) = rule.tx.get(usize::from(index)) else {
                return Answer::Never;
            };
            // What a test looks at may still come: it is never final.
            if tx_test(hand, &test.want, field, step.direction) {
                Answer::Match
            } else {
                Answer::NoMatch
            }
        }
        TxLook::Buffer {
            buffer,
            field,
            program,
        } => {
            let many = !matches!(field.access, Access::Bytes(_));
            let mut any = false;
            let mut values = std::mem::take(&mut work.values);
            let mut answer = None;
            for index in 0..VALUES_MAX {
                let regex = work.regex.as_mut();
                let value = values.value(
                    &engine.transforms,
                    regex,
                    buffer,
                    field,
                    hand.tx,
                    step.direction,
                    index,
                );
                let Some(subject) = value else { break };
                any = true;
                let complete = subject.complete || beyond;
                let subject = Subject {
                    complete,
                    little: hand.tx.is_little_endian(),
                    ..subject
                };
                if work
                    .verifier
                    .matches(&engine.compiled.programs, program, subject)
                {
                    answer = Some(Answer::Match);
                    break;
                }
                if !many {
                    break;
                }
            }
            work.values = values;
            match answer {
                Some(answer) => answer,
                None if !any && program.on_absent && is_settled(hand, field, step, beyond) => {
                    Answer::Match
                }
                // A multi-buffer or a file may still get values.
                None if many => Answer::NoMatch,
                None => otherwise,
            }
        }
    }
}

/// Runs the program of a step over every value of its buffer, for what data sets say of them.
fn note_values(work: &mut Work, engine: &Engine, hand: &InHand<'_>, step: &TxStep) {
    let TxLook::Buffer {
        buffer,
        field,
        program,
    } = step.look
    else {
        return;
    };
    if !engine.compiled.programs.has_dataset(program) {
        return;
    }
    let mut values = std::mem::take(&mut work.values);
    for index in 0..VALUES_MAX {
        let value = values.value(
            &engine.transforms,
            work.regex.as_mut(),
            buffer,
            field,
            hand.tx,
            step.direction,
            index,
        );
        let Some(subject) = value else { break };
        let subject = Subject {
            little: hand.tx.is_little_endian(),
            ..subject
        };
        work.verifier
            .matches(&engine.compiled.programs, program, subject);
        if matches!(field.access, Access::Bytes(_)) {
            break;
        }
    }
    work.values = values;
}

/// Whether what a field lacks now stays missing. A single value can be read, or is missing for good, from its progress on.
fn is_settled(hand: &InHand<'_>, field: &Field, step: &TxStep, beyond: bool) -> bool {
    let here = hand
        .progress
        .get(step.direction.index())
        .copied()
        .unwrap_or(0);
    let single = matches!(field.access, Access::Bytes(_));
    let complete = step.direction == hand.direction && here >= hand.complete_at;
    beyond || complete || single && field.progress > 0 && here >= field.progress
}

fn tx_test(
    hand: &InHand<'_>,
    want: &TxWant,
    field: Option<&'static Field>,
    direction: Direction,
) -> bool {
    match want {
        TxWant::Event(proto, number) => {
            registry::events_of(hand.proto) == registry::events_of(*proto)
                && hand.tx.state().events.contains(number)
        }
        TxWant::Progress {
            proto,
            direction,
            state,
        } => {
            let progress = hand.progress.get(direction.index()).copied().unwrap_or(0);
            *proto == hand.proto && state.test(progress.into())
        }
        TxWant::Test(test) => test.test(hand.tx, hand.session, direction),
        TxWant::Number(test) => {
            let Some(Field {
                access: Access::Integer { value, .. },
                progress,
                ..
            }) = field
            else {
                return false;
            };
            let here = hand.progress.get(direction.index()).copied().unwrap_or(0);
            let beyond =
                here > *progress || direction == hand.direction && here >= hand.complete_at;
            numbers_satisfy(test, &|index| value(hand.tx, direction, index), beyond)
        }
    }
}

/// Whether the numbers of a field satisfy a test. `beyond`: no more will come.
pub(super) fn numbers_satisfy(
    test: &NumberTest,
    value: &dyn Fn(usize) -> Option<u64>,
    beyond: bool,
) -> bool {
    let all = || (0..VALUES_MAX).map_while(value);
    let (first, last) = if test.slice == (0, 0) {
        (0, VALUES_MAX)
    } else {
        let len = all().count();
        let end = if test.slice.1 > 0 {
            Some(test.slice.1 as usize)
        } else {
            from_end(len, test.slice.1)
        };
        let start = if test.slice.0 >= 0 {
            Some(test.slice.0 as usize)
        } else {
            from_end(len, test.slice.0)
        };
        match (start, end) {
            (Some(start), Some(end)) if start < end && end <= len => (start, end),
            _ => (0, 0),
        }
    };
    let mut numbers = all().take(last).skip(first);
    // A count may still grow: only "more than" can be said early.
    let counted = |compare: Compare, n: usize| {
        (beyond || matches!(compare, Compare::Greater(_) | Compare::GreaterOrEqual(_)))
            && compare.test(n as u64)
    };
    match test.of {
        NumberIndex::Any => numbers.any(|n| test.want.test(n)),
        NumberIndex::OrAbsent => {
            let mut some = false;
            numbers.inspect(|_| some = true).any(|n| test.want.test(n)) || !some && beyond
        }
        NumberIndex::All => {
            let mut some = false;
            beyond && numbers.inspect(|_| some = true).all(|n| test.want.test(n)) && some
        }
        NumberIndex::AllOrAbsent => beyond && numbers.all(|n| test.want.test(n)),
        NumberIndex::At { index, or_outside } => {
            let len = all().take(last).skip(first).count();
            let index = if index >= 0 {
                Some(index as usize)
            } else {
                from_end(len, index)
            };
            match index.and_then(|index| numbers.nth(index)) {
                Some(number) => test.want.test(number),
                None => or_outside && beyond,
            }
        }
        NumberIndex::Matches(compare) => {
            counted(compare, numbers.filter(|n| test.want.test(*n)).count())
        }
        NumberIndex::Count(compare) => counted(compare, numbers.count()),
    }
}

/// An index counted from the end; 0 is the end itself.
fn from_end(len: usize, back: i32) -> Option<usize> {
    len.checked_sub(back.unsigned_abs() as usize)
}

/// Contents without a buffer in a rule on transactions: the stream as it comes, or the datagram.
fn payload(work: &mut Work, engine: &Engine, input: &Inspection<'_>, program: Program) -> Answer {
    let bytes = match input.packet.transport {
        Transport::Tcp => match input.stream.window {
            Some(window) => {
                let subject = Subject::whole(window.bytes);
                let matched = work.window_matches(engine, program, window, input.inline, subject);
                return if matched {
                    Answer::Match
                } else {
                    Answer::NoMatch
                };
            }
            None if !input.stream.added => input.packet.payload(),
            None => return Answer::NoMatch,
        },
        Transport::Udp => input.packet.payload(),
        _ => return Answer::Match,
    };
    if work
        .verifier
        .matches(&engine.compiled.programs, program, Subject::whole(bytes))
    {
        Answer::Match
    } else {
        Answer::NoMatch
    }
}

fn get(flags: &[bool; 2], direction: Direction) -> bool {
    flags.get(direction.index()).copied().unwrap_or(false)
}

fn set(flags: &mut [bool; 2], direction: Direction, value: bool) {
    if let Some(flag) = flags.get_mut(direction.index()) {
        *flag = value;
    }
}
