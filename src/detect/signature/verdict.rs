//! From matches to hits and a verdict: the order of alerts, pass before drop before alert, the limit of alerts a packet.

use super::datasets::Datasets;
use super::flow_rules::FlowAction;
use super::inspect::{Hit, HitPlace, Inspection, InspectorStats, Match};
use super::threshold::Thresholds;
use super::verify::Noted;
use super::xbit::Xbits;
use super::{ALERTS_MAX, Engine};
use crate::alert::Verdict;
use crate::rules::dataset::Ask;
use crate::rules::{Action, ActionScope, FlowStateOption, Signature, SignatureKind, Test};
use crate::stats::Memory;

/// Turns the matches of a packet into hits, notes decisions for the flow, and says what becomes of the packet. A rule
/// whose threshold is not reached does not act: `thresholds` are what this worker counted.
pub(super) fn settle(
    engine: &Engine,
    queue: &mut [Match],
    (stats, thresholds): (&mut InspectorStats, &mut Thresholds),
    own: &mut OwnView,
    notes: &[Noted],
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
        let holds =
            !engine.compiled.acts_on_shared || own.settle(engine, rule, found, notes, input);
        if rule.action == Action::Pass {
            if !holds {
                continue;
            }
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
                    noted: found.noted,
                });
            }
            break;
        }
        let acts = match &rule.threshold {
            Some(threshold) if holds && input.inline && is_blocking(rule.action) => {
                let flow = input.flow.as_deref().map_or(0, |f| f.id);
                let (key, now) = (input.packet.key(), input.packet.ts);
                thresholds
                    .passes((rule.gid, rule.sid.0), threshold, &key, flow, now)
                    .acts
            }
            _ => holds,
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
        if silent && !xbits && found.noted == 0 && rule.action != Action::Config {
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
            noted: found.noted,
        });
    }
    verdict
}

/// What this worker knows of bits of hosts and of data sets that rules change: enough for what pairs of hosts do, as each
/// pair has one worker. Rules that pass or block act by it; whether they *alert* is settled over all workers. It is kept
/// only where a rule acts on such conditions.
#[derive(Debug, Default)]
pub(super) struct OwnView {
    xbits: Xbits,
    datasets: Datasets,
    /// The engine whose sets these are.
    generation: u32,
}

impl OwnView {
    /// Carries out what an operator asks of a set that rules change.
    pub(super) fn ask(&mut self, engine: &Engine, name: &str, ask: Ask, key: &[u8]) {
        if engine.compiled.acts_on_shared {
            self.adopt(engine);
            let _ = self.datasets.ask(name, ask, key);
        }
    }

    fn adopt(&mut self, engine: &Engine) {
        if self.generation != engine.generation {
            self.datasets.adopt(&engine.rules().datasets);
            self.generation = engine.generation;
        }
    }

    /// What it may take under an engine, and takes.
    pub(super) fn memory(&self, engine: &Engine) -> Memory {
        if !engine.compiled.acts_on_shared {
            return Memory::default();
        }
        let sets = engine.rules().datasets.iter();
        let changing = sets.filter(|set| set.changes());
        let of_sets = Memory {
            bytes: changing.map(|set| set.info.memcap_bytes).sum(),
            used: self.datasets.memory().used,
        };
        self.xbits.memory() + of_sets
    }

    /// Whether a rule's conditions on bits and sets hold, as far as this worker knows; carries out its changes.
    fn settle(
        &mut self,
        engine: &Engine,
        rule: &Signature,
        found: &Match,
        notes: &[Noted],
        input: &Inspection<'_>,
    ) -> bool {
        let noted = found.noted.checked_sub(1);
        let noted = noted.and_then(|at| notes.get(usize::from(at)));
        let conditions = noted.map_or(&[][..], |noted| &noted.conditions);
        let bits = engine.xbits(rule.index);
        if conditions.is_empty() && bits.is_empty() {
            return true;
        }
        let sets = &engine.rules().datasets;
        self.adopt(engine);
        let (key, now) = (input.packet.key(), input.packet.ts);
        if !self.xbits.hold(&bits, &key, now) || !self.datasets.settle(sets, conditions) {
            return false;
        }
        self.xbits.carry_out(&bits, &key, now);
        true
    }
}

/// Whether a rule passes or blocks, depending on what several workers share.
pub(super) fn acts_on_shared(rule: &Signature) -> bool {
    let of_sets = |test: &Test| matches!(test, Test::Dataset(test) if test.set.changes());
    let shared = rule
        .state
        .iter()
        .any(|option| matches!(option, FlowStateOption::Xbit(_)))
        || rule.groups.iter().flat_map(|g| &g.tests).any(of_sets);
    shared && (rule.action == Action::Pass || is_blocking(rule.action))
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
