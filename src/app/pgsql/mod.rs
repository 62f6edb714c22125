//! PostgreSQL, frontend/backend protocol 3.0 (postgresql.org documentation, chapter "Frontend/Backend Protocol").
//!
//! A request and the answers up to the next request are a transaction. Rows and copied data are counted, not kept; a
//! password is never written anywhere. After the server agrees to TLS the flow is TLS.
//! Limits: 4 KiB of a message, 64 parameters or fields, 256 live transactions.

mod message;
#[cfg(test)]
mod tests;

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    Access, AppProto, Field, FieldDirection, FlowInfo, Input, Limits, LogHead, Login, Note, Notes,
    Outcome, Parsed, Probe, Protocol, Rides, Session, Transaction, TxList, TxState, TxStore,
    registry,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use message::{Answer, Request};

/// PostgreSQL.
#[derive(Debug)]
pub struct Pgsql;

/// PostgreSQL.
pub static PGSQL: Pgsql = Pgsql;

const EVENTS: &[&str] = &[
    "invalid_length",
    "malformed_request",
    "malformed_response",
    "too_many_transactions",
];
const INVALID_LENGTH: u8 = 0;
const MALFORMED_REQUEST: u8 = 1;
const TOO_MANY_TRANSACTIONS: u8 = 3;

const MESSAGE_MAX: usize = 4096;
const TRANSACTIONS_MAX: usize = 256;
/// Answers kept of one transaction.
const ANSWERS_MAX: usize = 64;

/// Codes that stand where a startup message has its version.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

impl Protocol for Pgsql {
    fn name(&self) -> &'static str {
        "pgsql"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[5432]
    }

    fn probe_any_port(&self) -> bool {
        true
    }

    /// A startup message, or a request for encryption: each has its length and a code in front.
    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        if direction == Direction::ToClient {
            return if key.dport == 5432 {
                self.confirm(direction, bytes, key)
            } else {
                Probe::NotMine
            };
        }
        let mut r = Reader::new(bytes);
        match (r.u32(), r.u32()) {
            (Some(8), Some(SSL | GSSENC)) | (Some(16), Some(CANCEL)) => Probe::Match,
            (Some(len @ 9..=10_000), Some(0x3_0000 | 0x3_0002)) => {
                // Names and values follow, and a zero ends them.
                match bytes.get(len as usize - 1) {
                    Some(0) => Probe::Match,
                    Some(_) => Probe::NotMine,
                    None => Probe::NeedMore,
                }
            }
            (Some(0..=10_000), None) => Probe::NeedMore,
            (None, _) if bytes.first().is_none_or(|b| *b == 0) => Probe::NeedMore,
            _ => Probe::NotMine,
        }
    }

    fn confirm(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        if direction == Direction::ToServer {
            return self.probe(direction, bytes, key);
        }
        match bytes {
            [b'S' | b'N' | b'G'] => Probe::Match,
            [kind, a, b, c, d, ..] if message::is_answer(*kind) => {
                match u32::from_be_bytes([*a, *b, *c, *d]) {
                    4..=0x10_0000 => Probe::Match,
                    _ => Probe::NotMine,
                }
            }
            [kind, ..] if bytes.len() < 5 && message::is_answer(*kind) => Probe::NeedMore,
            [] => Probe::NeedMore,
            _ => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(PgsqlSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("pgsql"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            tx.log(json);
        }
    }

    fn tells_logins(&self) -> bool {
        true
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx) {
            Some(tx) if tx.answers.iter().any(Answer::is_error) => Outcome::Failure(0),
            Some(tx) if tx.complete && !tx.answers.is_empty() => Outcome::Success(0),
            _ => Outcome::Unknown,
        }
    }
}

/// A request with its answers.
#[derive(Debug, Default)]
struct PgsqlTx {
    state: TxState,
    requests: Vec<Request>,
    answers: Vec<Answer>,
    rows: u64,
    row_bytes: u64,
    copied: u64,
    copied_bytes: u64,
    complete: bool,
}

impl PgsqlTx {
    fn log(&self, json: &mut Json<'_>) {
        json.object("pgsql").num("tx_id", self.state.id);
        if !self.requests.is_empty() || self.copied > 0 {
            json.object("request");
            // A member is written once.
            let mut before: Option<std::mem::Discriminant<Request>> = None;
            for request in &self.requests {
                if before != Some(std::mem::discriminant(request)) {
                    request.log(json);
                }
                before = Some(std::mem::discriminant(request));
            }
            json.end();
        }
        if !self.answers.is_empty() || self.rows > 0 {
            json.object("response");
            message::log_answers(&self.answers, json);
            if self.rows > 0 {
                json.num("data_rows", self.rows)
                    .num("data_size", self.row_bytes);
            }
            if self.copied > 0 {
                json.object("copy_data_out")
                    .num("row_count", self.copied)
                    .num("data_size", self.copied_bytes)
                    .end();
            }
            json.end();
        }
        json.end();
    }
}

impl Transaction for PgsqlTx {
    transaction_members!();
    fn progress(&self, direction: Direction) -> u8 {
        match direction {
            Direction::ToServer => 1,
            Direction::ToClient => u8::from(self.complete),
        }
    }
}

/// What the client's bytes are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Messages without a type: startup, requests for encryption.
    #[default]
    Startup,
    /// The server answers a request for encryption with one byte.
    Encryption,
    Messages,
}

/// The state of one flow.
#[derive(Debug, Default)]
struct PgsqlSession {
    txs: TxStore<PgsqlTx>,
    notes: Notes,
    stage: Stage,
    /// Per direction: bytes of a message still to pass over.
    skip: [u64; 2],
    logged_in: bool,
    /// A login was asked for and its outcome is not told yet.
    login_open: bool,
    /// The server offers SASL: what looks like a password is an answer to it.
    sasl: u8,
}

/// What came of a message.
enum Step {
    Go,
    Switch,
    Stop,
}

impl PgsqlSession {
    /// The transaction that further messages belong to, or a new one. `None` when there are too many.
    fn current(&mut self, fresh: bool) -> Option<&mut PgsqlTx> {
        let full = self.txs.len() >= TRANSACTIONS_MAX;
        let open = self.txs.last_mut().is_some_and(|tx| !tx.complete);
        if !open || fresh {
            if full {
                if let Some(tx) = self.txs.last_mut() {
                    tx.state.raise(TOO_MANY_TRANSACTIONS);
                }
                return None;
            }
            if fresh && let Some(tx) = self.txs.last_mut() {
                tx.complete = true;
            }
            self.txs.push(PgsqlTx::default());
        }
        self.txs.last_mut()
    }

    fn untyped(&mut self, code: u32, body: &[u8]) {
        let request = match code {
            SSL | GSSENC => {
                self.stage = Stage::Encryption;
                Request::Ssl
            }
            CANCEL => Request::cancel(body),
            _ => {
                self.stage = Stage::Messages;
                self.login_open = true;
                Request::startup(code, body)
            }
        };
        let over = matches!(request, Request::Cancel { .. });
        if let Some(tx) = self.current(true) {
            tx.requests.push(request);
            tx.complete |= over;
            tx.state.touch(Direction::ToServer);
        }
    }

    fn request(&mut self, kind: u8, body: &[u8], whole: usize, flow: &FlowInfo) {
        let request = Request::read(kind, body, &mut self.sasl);
        match kind {
            // A query, or the execution of a prepared one.
            b'Q' | b'E' | b'F' => self.notes.asked(flow.ts),
            _ => {}
        }
        let belongs = matches!(kind, b'd' | b'c' | b'f' | b'S' | b'H')
            || matches!(kind, b'B' | b'D' | b'E' | b'C');
        let ends = matches!(kind, b'X');
        let Some(tx) = self.current(!belongs) else {
            return;
        };
        match request {
            Some(Request::CopyData { .. }) => {
                if !tx
                    .requests
                    .iter()
                    .any(|request| matches!(request, Request::CopyData { .. }))
                {
                    tx.requests.push(Request::CopyData { count: 0, bytes: 0 });
                }
                for request in &mut tx.requests {
                    if let Request::CopyData { count, bytes } = request {
                        *count += 1;
                        *bytes += whole as u64;
                    }
                }
            }
            Some(request) if tx.requests.len() < ANSWERS_MAX => tx.requests.push(request),
            Some(_) => {}
            None if message::is_request(kind) => {}
            None => tx.state.raise(MALFORMED_REQUEST),
        }
        tx.complete |= ends;
        tx.state.touch(Direction::ToServer);
    }

    fn answer(&mut self, kind: u8, body: &[u8], whole: usize, flow: &FlowInfo) {
        let answer = Answer::read(kind, body);
        let failed = answer.as_ref().is_some_and(Answer::is_error);
        if let Some(Answer::Authentication(0, _)) = answer {
            self.logged_in = true;
            if std::mem::take(&mut self.login_open) {
                self.notes.login(Login::Succeeded);
            }
        }
        if let Some(Answer::Authentication(10, _)) = answer {
            self.sasl = 1;
        }
        if failed && std::mem::take(&mut self.login_open) {
            // Class 28: invalid authorization specification.
            if answer
                .as_ref()
                .is_some_and(|answer| answer.sqlstate().starts_with(b"28"))
            {
                self.notes.login(Login::Failed);
            }
        }
        match kind {
            b'T' | b'C' | b'E' | b'I' | b'D' | b'G' | b'H' | b's' | b'V' => {
                self.notes.replied(flow.ts, failed);
            }
            b'Z' => self.notes.idle(flow.ts, failed),
            _ => {}
        }
        let logged_in = self.logged_in;
        let Some(tx) = self.current(false) else {
            return;
        };
        match kind {
            b'D' => {
                tx.rows += 1;
                tx.row_bytes += whole as u64;
            }
            b'd' => {
                tx.copied += 1;
                tx.copied_bytes += whole as u64;
            }
            _ => {
                if let Some(answer) = answer.filter(|_| tx.answers.len() < ANSWERS_MAX) {
                    tx.answers.push(answer);
                }
            }
        }
        // The server is ready again, or asks for the next step of a login.
        let waits = kind == b'Z' || failed && !logged_in;
        let asks =
            kind == b'R' && !matches!(tx.answers.last(), Some(Answer::Authentication(0 | 12, _)));
        tx.complete |= waits || asks;
        tx.state.touch(Direction::ToClient);
    }

    /// One message of a direction, of which the reader holds the start. `None`: more is needed.
    fn step(&mut self, direction: Direction, r: &mut Reader<'_>, flow: &FlowInfo) -> Option<Step> {
        if direction == Direction::ToClient && self.stage == Stage::Encryption {
            let byte = r.u8()?;
            let agreed = byte == b'S' || byte == b'G';
            self.stage = Stage::Startup;
            if let Some(tx) = self.txs.last_mut() {
                tx.answers.push(Answer::Encryption(agreed));
                tx.complete = true;
                tx.state.touch(Direction::ToClient);
            }
            return Some(if agreed { Step::Switch } else { Step::Go });
        }
        let typed = direction == Direction::ToClient || self.stage == Stage::Messages;
        let start = *r;
        let kind = if typed { r.u8()? } else { 0 };
        let len = r.u32()? as usize;
        let Some(len) = len.checked_sub(4) else {
            if let Some(tx) = self.current(false) {
                tx.state.raise(INVALID_LENGTH);
            }
            return Some(Step::Stop);
        };
        if !typed && !(4..=10_000).contains(&len) {
            return Some(Step::Stop);
        }
        let kept = len.min(MESSAGE_MAX);
        let Some(body) = r.take(kept) else {
            *r = start;
            return None;
        };
        if let Some(skip) = self.skip.get_mut(direction.index()) {
            *skip = (len - kept) as u64;
        }
        match (direction, typed) {
            (Direction::ToServer, false) => {
                let mut r = Reader::new(body);
                self.untyped(r.u32()?, r.rest());
            }
            (Direction::ToServer, true) => self.request(kind, body, len, flow),
            (Direction::ToClient, _) => self.answer(kind, body, len, flow),
        }
        Some(Step::Go)
    }
}

impl Session for PgsqlSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let d = direction.index();
        let skip = self.skip.get(d).copied().unwrap_or(0);
        if input.gap > 0 {
            if skip < input.gap {
                return Parsed::Error;
            }
            if let Some(skip) = self.skip.get_mut(d) {
                *skip -= input.gap;
            }
        }
        let mut r = Reader::new(input.bytes);
        loop {
            if let Some(skip) = self.skip.get_mut(d) {
                let len = r.left().min(usize::try_from(*skip).unwrap_or(usize::MAX));
                let _ = r.skip(len);
                *skip -= len as u64;
            }
            if r.is_empty() {
                return Parsed::All;
            }
            let start = r.position();
            match self.step(direction, &mut r, flow) {
                Some(Step::Go) => {}
                Some(Step::Stop) => return Parsed::Error,
                Some(Step::Switch) => {
                    let to = registry::number("tls");
                    return Parsed::Switch {
                        consumed: r.position(),
                        to: Some(to).filter(|to| *to != AppProto::UNKNOWN),
                    };
                }
                None => {
                    return Parsed::NeedMore {
                        consumed: start,
                        needed: 1,
                    };
                }
            }
        }
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }
}

fn of(tx: &dyn Transaction) -> Option<&PgsqlTx> {
    tx.as_any().downcast_ref()
}

static FIELDS: &[Field] = &[Field::new(
    "pgsql.query",
    FieldDirection::ToServer,
    Access::Bytes(|tx, _, _| {
        of(tx)?.requests.iter().find_map(|request| match request {
            Request::Query(text) => Some(&text[..]),
            _ => None,
        })
    }),
    "text of a simple query, at most 4 KiB",
)];
