//! From matches to hits and a verdict: the order of alerts, pass before drop before alert, the limit of alerts a packet.

use super::flow_rules::FlowAction;
use super::inspect::{Hit, HitPlace, Inspection, InspectorStats, Match};
use super::threshold::Thresholds;
use super::{ALERTS_MAX, Engine};
use crate::alert::Verdict;
use crate::rules::{Action, ActionScope, FlowStateOption, SignatureKind};

/// Turns the matches of a packet into hits, notes decisions for the flow, and says what becomes of the packet. A rule
/// whose threshold is not reached does not act: `thresholds` are what this worker counted.
pub(super) fn settle(
    engine: &Engine,
    queue: &mut [Match],
    (stats, thresholds): (&mut InspectorStats, &mut Thresholds),
    input: &mut Inspection<'_>,
    hits: &mut Vec<Hit>,
) -> Verdict {
    if queue.is_empty() {
        return Verdict::Accept;
    }
    // The same signature in several transactions: the latest transaction first, the packet's own match last.
    queue.sort_by_key(|m| (m.rank, m.tx.is_none(), std::cmp::Reverse(m.tx)));
    let mut verdict = Verdict::Accept;
    let mut alerts = 0;
    for found in queue.iter() {
        let Some(ranked) = engine.compiled.signatures.get(found.rank as usize) else {
            continue;
        };
        let Some(rule) = engine.rules().signatures.get(ranked.index as usize) else {
            continue;
        };
        let whole_flow = match rule.action_scope {
            Some(scope) => scope == ActionScope::Flow,
            None => applies_to_flow(ranked.kind, ranked.is_tx(), found.place),
        };
        if rule.action == Action::Pass {
            if whole_flow && verdict == Verdict::Accept {
                decide(input, FlowAction::Pass);
            }
            // A pass rule with the option `alert` says that it let something pass.
            if !rule.silent && alerts < ALERTS_MAX {
                hits.push(Hit {
                    signature: ranked.index,
                    rank: found.rank,
                    tx: found.tx,
                    tx_guessed: false,
                    place: found.place,
                    action: rule.action,
                    silent: false,
                    xbits: false,
                });
            }
            break;
        }
        let acts = match &rule.threshold {
            Some(threshold) if input.inline && is_blocking(rule.action) => {
                let flow = input.flow.as_deref().map_or(0, |f| f.id);
                let (key, now) = (input.packet.key(), input.packet.ts);
                thresholds
                    .passes((rule.gid, rule.sid.0), threshold, &key, flow, now)
                    .acts
            }
            _ => true,
        };
        let action = if acts { rule.action } else { Action::Alert };
        let wanted = match action {
            Action::Drop if whole_flow => Verdict::DropFlow,
            Action::Drop => Verdict::DropPacket,
            Action::RejectSource => Verdict::RejectSource,
            Action::RejectDestination => Verdict::RejectDestination,
            Action::RejectBoth => Verdict::RejectBoth,
            _ => Verdict::Accept,
        };
        if wanted != Verdict::Accept && whole_flow {
            decide(input, FlowAction::Drop);
        }
        verdict = verdict.max(wanted);
        let silent = rule.silent || rule.action == Action::Config;
        let xbits = rule
            .state
            .iter()
            .any(|o| matches!(o, FlowStateOption::Xbit(_)));
        if silent && !xbits && rule.action != Action::Config {
            continue;
        }
        if !silent {
            alerts += 1;
            if alerts > ALERTS_MAX {
                stats.alerts_dropped += 1;
                continue;
            }
        }
        hits.push(Hit {
            signature: ranked.index,
            rank: found.rank,
            tx: found.tx,
            tx_guessed: false,
            place: found.place,
            action,
            silent,
            xbits,
        });
    }
    verdict
}

fn is_blocking(action: Action) -> bool {
    matches!(
        action,
        Action::Drop | Action::RejectSource | Action::RejectDestination | Action::RejectBoth
    )
}

/// Whether pass and drop of a signature of this kind mean the flow (Suricata's signature properties).
fn applies_to_flow(kind: SignatureKind, is_tx: bool, place: HitPlace) -> bool {
    is_tx
        || match kind {
            SignatureKind::IpOnly
            | SignatureKind::IpOnlyEveryPacket
            | SignatureKind::ProtocolDetected
            | SignatureKind::ProtocolPackets
            | SignatureKind::Transaction => true,
            SignatureKind::PacketAndStream | SignatureKind::Stream => place != HitPlace::Packet,
            SignatureKind::DecodeEvent | SignatureKind::Packet => false,
        }
}

fn decide(input: &mut Inspection<'_>, action: FlowAction) {
    if let Some(rules) = input.rules.as_deref_mut() {
        rules.decide(action);
    }
}
