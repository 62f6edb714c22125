//! Records of transactions and files, and the release of those that are done.

use super::outcome::outcome_of;
use super::stages::Stages;
use super::tracked::Silenced;
use crate::alert::{Outbox, OutcomeNote};
use crate::app::{AppLayer, FileState, Transaction, Watcher, registry};
use crate::packet::Direction;
use crate::sink::eve;
use crate::sink::eve::Subject;

impl Stages {
    /// Records of transactions that are complete (or, at the end of the flow, of all), and their release. Looks at those
    /// that changed, unless something else changed that decides about all of them.
    pub(super) fn log(
        &mut self,
        subject: &Subject<'_>,
        (app, silenced): (&mut AppLayer, Silenced),
        ended: bool,
        out: &mut Outbox,
    ) {
        let Some(protocol) = registry::protocol(app.proto) else {
            return;
        };
        let complete_at =
            [Direction::ToServer, Direction::ToClient].map(|d| protocol.complete_at(d));
        let logs = self.eve.app && !silenced.transactions;
        let uninspected = subject.flow.is_some_and(|(f, _)| f.no_inspection);
        // As in Suricata, a file is written with a packet of its own direction, once nothing more can come of any.
        let done = ended || app.ended == [true; 2];
        let is = subject.flow.map(|(_, direction)| direction);
        let facing = [Direction::ToServer, Direction::ToClient].map(|d| done || is == Some(d));
        app.files_due = [false; 2];
        let circumstances = (!ended).then(|| {
            let [server, client] = app.ended.map(u8::from);
            server | client << 1 | u8::from(logs) << 2 | u8::from(uninspected) << 3
        });
        let mut ids = std::mem::take(&mut self.ids);
        if let Some(session) = app.session.as_deref_mut() {
            let list = session.transactions_mut();
            list.changed(Watcher::Log, circumstances, &mut ids);
        }
        for id in ids.drain(..) {
            let Some(session) = app.session.as_deref() else {
                break;
            };
            let list = session.transactions();
            let Some((at, tx)) = list.position(id).and_then(|at| Some((at, list.at(at)?))) else {
                continue;
            };
            let complete = ended || tx_complete(complete_at, tx, app.ended);
            self.log_events(subject, app.proto, protocol, tx, out);
            let ready = logs && !tx.state().logged && protocol.log_ready(tx, complete);
            if ready {
                eve::transaction(out, &self.eve, subject, protocol, session, tx);
            }
            let files = self.log_files(subject, (protocol, session), tx, (facing, ended), out);
            for (due, owed) in app.files_due.iter_mut().zip(files.owed) {
                *due |= owed;
            }
            let state = tx.state();
            let inspected = state.inspected == [true; 2] || ended || uninspected;
            let outcome = (state.alerted && complete).then(|| outcome_of(protocol.outcome(tx)));
            let (id, logged, events) =
                (state.id, state.logged || ready || !logs, state.events.len());
            if let (Some((efficacy, reason, code)), Some((flow, _))) = (outcome, subject.flow)
                && !ended
            {
                let number = subject.packet.number;
                out.outcomes.push(OutcomeNote {
                    number,
                    flow_id: flow.id,
                    tx: Some(id),
                    efficacy,
                    reason,
                    code,
                });
            }
            let told = outcome.is_some() || files.written;
            let noted = (logged, events) == (state.logged, state.events_logged);
            if complete && inspected && logged && !files.open && files.owed == [false; 2] {
                app.remove(&mut self.app, at);
                continue;
            }
            let Some(session) = app.session.as_deref_mut() else {
                break;
            };
            if files.owed != [false; 2] {
                // It is looked at again with the packet that the files wait for.
                session.transactions_mut().at_mut(at);
            }
            // Most wait for an answer: there is nothing to note of them.
            if (told || !noted)
                && let Some(tx) = session.transactions_mut().at_written(at)
            {
                if files.written {
                    mark_files(tx, (facing, ended));
                }
                let state = tx.state_mut();
                state.logged = logged;
                state.events_logged = events;
                if outcome.is_some() {
                    state.alerted = false;
                }
            }
        }
        self.ids = ids;
        app.logged(&mut self.app);
    }

    pub(super) fn log_events(
        &self,
        subject: &Subject<'_>,
        proto: crate::app::AppProto,
        protocol: &dyn crate::app::Protocol,
        tx: &dyn Transaction,
        out: &mut Outbox,
    ) {
        let state = tx.state();
        if !self.eve.anomaly || state.events.len() <= state.events_logged {
            return;
        }
        for event in state.events.iter().skip(state.events_logged) {
            if let Some(name) = protocol.events().get(usize::from(*event)) {
                eve::app_anomaly(
                    out,
                    &self.eve,
                    subject,
                    (proto, "proto_parser", Some(state.id)),
                    name,
                );
            }
        }
    }

    /// Writes `fileinfo` of files that are done, of those directions whose turn it is.
    pub(super) fn log_files(
        &self,
        subject: &Subject<'_>,
        by: (&dyn crate::app::Protocol, &dyn crate::app::Session),
        tx: &dyn Transaction,
        (facing, ended): ([bool; 2], bool),
        out: &mut Outbox,
    ) -> FilesLogged {
        let mut said = FilesLogged::default();
        for direction in [Direction::ToServer, Direction::ToClient] {
            let turn = facing[direction.index()];
            for file in tx
                .files(direction)
                .into_iter()
                .flat_map(crate::app::Files::iter)
            {
                let done = file.state != FileState::Open || ended;
                let fresh = done && !file.logged;
                if fresh && turn && self.eve.files {
                    eve::file(out, &self.eve, subject, by, (tx, file, direction));
                }
                said.open |= !done;
                said.written |= fresh && turn;
                said.owed[direction.index()] |= fresh && !turn && self.eve.files;
            }
        }
        said
    }
}

/// What there is to say of the files of a transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FilesLogged {
    /// Some are not done.
    open: bool,
    /// Some were written now.
    written: bool,
    /// Per direction: some are done and wait for its next packet.
    owed: [bool; 2],
}

/// Notes which files were written.
pub(super) fn mark_files(tx: &mut dyn Transaction, (facing, ended): ([bool; 2], bool)) {
    for direction in [Direction::ToServer, Direction::ToClient] {
        if !facing[direction.index()] {
            continue;
        }
        for file in tx
            .files_mut(direction)
            .into_iter()
            .flat_map(crate::app::Files::iter_mut)
        {
            file.logged |= file.state != FileState::Open || ended;
        }
    }
}

pub(super) fn tx_complete(complete_at: [u8; 2], tx: &dyn Transaction, ended: [bool; 2]) -> bool {
    [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .all(|d| ended[d.index()] || tx.progress(d) >= complete_at[d.index()])
}
