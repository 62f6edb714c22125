//! What the stages say of a packet: findings, tagged packets, anomalies, drops.

use std::sync::Arc;

use super::outcome::outcome_of;
use super::stages::Stages;
use super::tracked::Silenced;
use crate::alert::{Efficacy, Finding, FindingSource, Outbox, TextRange, Verdict};
use crate::app::{AppLayer, registry};
use crate::detect::signature::{Engine, Hit, HitPlace, replacements};
use crate::packet::Direction;
use crate::pipeline::tags::TagList;
use crate::sink::eve;
use crate::sink::eve::Subject;
use crate::sink::eve::alert::Matched;

impl Stages {
    /// Findings for the hits of the packet.
    pub(super) fn say_hits(
        &mut self,
        subject: &Subject<'_>,
        app: Option<(&mut AppLayer, Option<&[u8]>)>,
        (verdict, segment): (Verdict, u8),
        silenced: &mut Silenced,
        out: &mut Outbox,
    ) {
        let engine = Arc::clone(self.inspector.engine());
        let (mut app, stream_bytes) = app.map_or((None, None), |(a, b)| (Some(a), b));
        for hit in self.hits.drain(..) {
            if hit.action == crate::rules::Action::Config {
                configure(&engine, &hit, app.as_deref_mut(), silenced);
            }
            let rule = engine.rules().signatures.get(hit.signature as usize);
            if let Some((rule, tag)) = rule.and_then(|rule| Some((rule, rule.tag?))) {
                self.tags.matched((rule.gid, rule.sid.0), tag);
            }
            if self.inline
                && hit.place == HitPlace::Packet
                && let Some(rule) = rule
            {
                let payload = subject.packet.payload();
                self.changes
                    .extend(replacements(engine.rules(), rule, payload));
            }
            let tx = hit
                .tx
                .and_then(|id| app.as_deref_mut().and_then(|a| tx_mut(a, id)));
            let (efficacy, open) = match tx {
                Some((outcome, alerted)) => {
                    *alerted |= !hit.silent;
                    (outcome, outcome.0 == Efficacy::Unknown)
                }
                None => (
                    (Efficacy::Unknown, "", 0),
                    subject.flow.is_some_and(|(f, _)| f.key.proto == 6),
                ),
            };
            let frame = match hit.place {
                HitPlace::Frame(id) => app.as_deref().and_then(|app| {
                    let direction = subject.flow.map(|(_, direction)| direction)?;
                    app.frames.of(direction).iter().find(|f| f.id == id)
                }),
                _ => None,
            };
            let matched = Matched {
                tx: hit.tx,
                stream: hit.place != HitPlace::Packet,
                stream_bytes,
                frame,
            };
            let (head, tail) = if hit.silent {
                (TextRange::default(), TextRange::default())
            } else {
                eve::alert::fragments(out, &self.eve, subject, app.as_deref(), &matched)
            };
            let blocks = matches!(
                hit.action,
                crate::rules::Action::RejectSource
                    | crate::rules::Action::RejectDestination
                    | crate::rules::Action::RejectBoth
            ) || (self.inline && hit.action == crate::rules::Action::Drop);
            let packet = subject.packet;
            let noted = self.inspector.noted(&hit).unwrap_or_default();
            let context = eve::alert::context(&noted.objects);
            let (number, order) = out.rank();
            out.findings.push(Finding {
                number,
                order,
                ts: packet.ts,
                source: FindingSource::Signature(engine.first().saturating_add(hit.signature)),
                key: packet.key(),
                interface: packet.interface,
                segment,
                from_client: subject.flow.is_none_or(|(_, d)| d == Direction::ToServer),
                flow_id: subject.flow.map_or(0, |(f, _)| f.id),
                tx: hit.tx,
                open: open && !blocks && verdict == Verdict::Accept,
                xbits: if hit.xbits {
                    engine.xbits(hit.signature)
                } else {
                    Vec::new()
                },
                datasets: noted.conditions,
                context,
                verdict: if blocks {
                    verdict.max(Verdict::DropPacket)
                } else {
                    Verdict::Accept
                },
                efficacy: if blocks { Efficacy::Failed } else { efficacy.0 },
                efficacy_reason: if blocks { "blocked" } else { efficacy.1 },
                confidence: 0.0,
                severity: crate::alert::Severity::default(),
                silent: hit.silent,
                subject: 0,
                head,
                tail,
                evidence: TextRange::default(),
                state: "",
                incident: 0,
                source_verified: subject.flow.is_some_and(|(f, _)| f.is_established()),
                attacker: None,
            });
        }
    }

    /// Sets the tags of rules that matched, and records the packet when an earlier match asked for it.
    pub(super) fn say_tagged(
        &mut self,
        subject: &Subject<'_>,
        flow: Option<&mut TagList>,
        out: &mut Outbox,
    ) {
        let packet = subject.packet;
        let len = (!packet.origin.is_made()).then_some(packet.frame.len());
        let ends = (packet.src, packet.dst);
        if self.tags.concern(flow.as_deref()) && self.tags.packet(ends, len, packet.ts, flow) {
            eve::tagged(out, &self.eve, subject);
        }
    }

    pub(super) fn say_anomalies(
        &mut self,
        subject: &Subject<'_>,
        app: Option<&mut AppLayer>,
        out: &mut Outbox,
    ) {
        if self.eve.anomaly && !subject.packet.events.is_empty() {
            let events = subject.packet.events.iter().filter(|e| !e.is_ours());
            eve::anomaly(out, &self.eve, subject, events);
        }
        if let Some(app) = app {
            for event in app.events.drain(..) {
                if self.eve.anomaly {
                    eve::app_anomaly(
                        out,
                        &self.eve,
                        subject,
                        (app.proto, "proto_detect", None),
                        event,
                    );
                }
            }
        }
    }

    pub(super) fn say_drop(
        &mut self,
        subject: &Subject<'_>,
        verdict: Verdict,
        reason: &str,
        out: &mut Outbox,
    ) {
        if self.inline && verdict > Verdict::Accept {
            self.dropped += 1;
            eve::drop(out, &self.eve, subject, reason);
        }
    }
}

/// Carries out what a `config` rule switches off.
pub(super) fn configure(
    engine: &Engine,
    hit: &Hit,
    app: Option<&mut AppLayer>,
    silenced: &mut Silenced,
) {
    let rule = engine.rules().signatures.get(hit.signature as usize);
    let Some(effect) = rule
        .and_then(|rule| rule.config.as_ref())
        .filter(|effect| effect.subsystem == "logging disable")
    else {
        return;
    };
    match (effect.kind.as_str(), effect.scope.as_str()) {
        ("flow", _) => silenced.flow = true,
        ("tx", "tx") => {
            let session = app.and_then(|app| app.session.as_deref_mut());
            if let (Some(id), Some(session)) = (hit.tx, session) {
                session.silence(id);
            }
        }
        _ => silenced.transactions = true,
    }
}

/// A transaction's outcome so far, and its mark that an alert fired on it.
pub(super) fn tx_mut(
    app: &mut AppLayer,
    id: u64,
) -> Option<((Efficacy, &'static str, u32), &mut bool)> {
    let protocol = registry::protocol(app.proto)?;
    let list = app.session.as_deref_mut()?.transactions_mut();
    let at = list.position(id)?;
    let outcome = list.at(at).map(|tx| outcome_of(protocol.outcome(tx)))?;
    let tx = list.at_mut(at)?;
    Some((outcome, &mut tx.state_mut().alerted))
}
