//! Inspection of frames: each signature at most once a frame, with what of the frame is there.

use super::Engine;
use super::inspect::{Facts, HitPlace, Inspection, Match, Work, header_transformed, matched};
use super::verify::Subject;
use crate::app::{Frame, registry};

/// Inspects the frames of the packet's direction that changed.
pub(super) fn inspect(work: &mut Work, engine: &Engine, input: &mut Inspection<'_>, facts: &Facts) {
    if engine.compiled.frames.is_empty() {
        return;
    }
    let direction = facts.direction;
    // Taken out so that the rest of the input can be borrowed beside them.
    let Some(app) = input.app.as_deref_mut() else {
        return;
    };
    let proto = app.proto;
    let mut frames = std::mem::take(&mut app.frames);
    for frame in frames
        .of_mut(direction)
        .iter_mut()
        .filter(|frame| frame.due)
    {
        let looks = engine.compiled.frames.iter();
        for look in looks.filter(|look| look.proto == registry::events_of(proto)) {
            let Some(signature) = engine.compiled.signatures.get(look.rank as usize) else {
                continue;
            };
            let Some(rule) = engine.rules().signatures.get(signature.index as usize) else {
                continue;
            };
            if frame.matched.contains(&look.rank)
                || !look.buffers.iter().all(|(kind, ..)| *kind == frame.kind)
                || !signature.covers(direction)
                || !work.header(engine, signature, &input.packet, facts)
                || !work.tests(rule, input, facts)
            {
                continue;
            }
            work.stats.verified += 1;
            work.verifier.begin(signature.variables);
            let all = look
                .buffers
                .iter()
                .all(|(_, buffer, program)| matches(work, engine, frame, *buffer, *program));
            if !all {
                continue;
            }
            let noted = if signature.notes {
                let again = |work: &mut Work| {
                    for (_, buffer, program) in &look.buffers {
                        matches(work, engine, frame, *buffer, *program);
                    }
                };
                match work.note(engine, signature, again) {
                    Some(noted) => noted,
                    None => continue,
                }
            } else {
                0
            };
            frame.matched.push(look.rank);
            matched(rule, input);
            work.note_captures(input);
            work.found(Match {
                rank: look.rank,
                tx: frame.tx,
                place: HitPlace::Frame(frame.id),
                noted,
            });
        }
    }
    if let Some(app) = input.app.as_deref_mut() {
        app.frames = frames;
    }
}

fn matches(
    work: &mut Work,
    engine: &Engine,
    frame: &Frame,
    buffer: crate::rules::BufferId,
    program: super::program::Program,
) -> bool {
    let mut transformed = std::mem::take(&mut work.header);
    let bytes = header_transformed(
        engine,
        buffer,
        &frame.bytes,
        &mut transformed,
        work.regex.as_mut(),
    );
    let subject = Subject {
        complete: frame.is_complete(),
        ..Subject::whole(bytes)
    };
    let found = work
        .verifier
        .matches(&engine.compiled.programs, program, subject);
    work.header = transformed;
    found
}
