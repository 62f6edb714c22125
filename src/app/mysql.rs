//! MySQL and MariaDB, client/server protocol (dev.mysql.com, Client/Server Protocol; mariadb.com/kb): login and commands.
//!
//! Each command is a transaction with the kind of its first answer. Rows are passed over by their length. After the
//! switch to TLS the flow is TLS. Limits: 4 KiB of a command, 256 live transactions; compressed sessions end the reading.

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    Access, AppProto, Field, FieldDirection, FlowInfo, Input, Limits, Login, Note, Notes, Outcome,
    Parsed, Probe, Protocol, Rides, Session, Transaction, TxList, TxState, TxStore, registry,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// MySQL.
#[derive(Debug)]
pub struct Mysql;

/// MySQL.
pub static MYSQL: Mysql = Mysql;

/// Bytes of a command that are kept.
const COMMAND_MAX: usize = 4096;
const TRANSACTIONS_MAX: usize = 256;
/// Bytes of the greeting and of login messages that are read.
const LOGIN_MAX: usize = 1024;

const CLIENT_COMPRESS: u32 = 0x20;
const CLIENT_SSL: u32 = 0x800;
/// Access denied for user; also without a password; and for a database.
const DENIED: [u16; 3] = [1045, 1698, 1044];

mod command {
    pub const QUIT: u8 = 1;
    pub const INIT_DB: u8 = 2;
    pub const QUERY: u8 = 3;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
}

static COMMANDS: &[(&str, u64)] = &[
    ("sleep", 0),
    ("quit", 1),
    ("init_db", 2),
    ("query", 3),
    ("field_list", 4),
    ("create_db", 5),
    ("drop_db", 6),
    ("refresh", 7),
    ("shutdown", 8),
    ("statistics", 9),
    ("process_info", 10),
    ("process_kill", 12),
    ("debug", 13),
    ("ping", 14),
    ("change_user", 17),
    ("binlog_dump", 18),
    ("stmt_prepare", 22),
    ("stmt_execute", 23),
    ("stmt_close", 25),
    ("stmt_reset", 26),
    ("set_option", 27),
    ("stmt_fetch", 28),
    ("reset_connection", 31),
];

impl Protocol for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[3306]
    }

    fn probe_any_port(&self) -> bool {
        true
    }

    /// The greeting is strong evidence; what the client sends counts only once that was seen.
    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        match direction {
            Direction::ToClient => probe_greeting(bytes),
            Direction::ToServer if key.dport == 3306 => self.confirm(direction, bytes, key),
            Direction::ToServer => Probe::NotMine,
        }
    }

    fn confirm(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        if direction == Direction::ToClient {
            return probe_greeting(bytes);
        }
        match bytes {
            [a, b, 0, 1, ..] if u16::from_le_bytes([*a, *b]) >= 32 => Probe::Match,
            [_, _, 0, 1, ..] | [_, _, 0, _, ..] => Probe::NotMine,
            [_, _, _, ..] if bytes.len() >= 4 => Probe::NotMine,
            _ => Probe::NeedMore,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(MysqlSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    /// EVE has no record of MySQL.
    fn log(&self, _session: &dyn Session, _tx: &dyn Transaction, _json: &mut Json<'_>) {}

    fn tells_logins(&self) -> bool {
        true
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx).and_then(|tx| tx.reply) {
            Some(Reply::Error(code)) => Outcome::Failure(code.into()),
            Some(Reply::Rows | Reply::Ok) => Outcome::Success(0),
            None => Outcome::Unknown,
        }
    }
}

/// A greeting: length, sequence 0, protocol 10, a version of digits and dots up to a zero.
fn probe_greeting(bytes: &[u8]) -> Probe {
    let Some([a, b, 0, 0, kind]) = bytes.first_chunk::<5>() else {
        return if bytes.len() < 5 && bytes.get(2).is_none_or(|c| *c == 0) {
            Probe::NeedMore
        } else {
            Probe::NotMine
        };
    };
    let rest = bytes.get(5..).unwrap_or_default();
    match kind {
        10 if (20..=512).contains(&u16::from_le_bytes([*a, *b])) => match rest {
            [b'1'..=b'9', b'0'..=b'9' | b'.', ..] => Probe::Match,
            [] | [b'1'..=b'9'] => Probe::NeedMore,
            _ => Probe::NotMine,
        },
        // Refused at once: host blocked (1129), not allowed (1130), too many connections (1040).
        0xff => match rest {
            [lo, hi, ..] if matches!(u16::from_le_bytes([*lo, *hi]), 1129 | 1130 | 1040) => {
                Probe::Match
            }
            [] | [_] => Probe::NeedMore,
            _ => Probe::NotMine,
        },
        _ => Probe::NotMine,
    }
}

/// Kind of a command's first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Ok,
    Rows,
    /// Error with its number.
    Error(u16),
}

/// A command.
#[derive(Debug)]
struct MysqlTx {
    state: TxState,
    command: u8,
    text: Vec<u8>,
    reply: Option<Reply>,
    /// It has no answer.
    silent: bool,
}

impl Transaction for MysqlTx {
    transaction_members!();
    fn progress(&self, direction: Direction) -> u8 {
        match direction {
            Direction::ToServer => 1,
            Direction::ToClient => u8::from(self.reply.is_some() || self.silent),
        }
    }
}

/// How far the session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Greeting,
    /// The client's login is awaited.
    Login,
    /// The login's outcome is awaited.
    Verdict,
    Commands,
    /// Nothing can be read any more.
    Over,
}

/// The state of one flow.
#[derive(Debug, Default)]
struct MysqlSession {
    txs: TxStore<MysqlTx>,
    notes: Notes,
    stage: Stage,
    user: Vec<u8>,
    /// Per direction: bytes of a packet still to pass over.
    skip: [u64; 2],
}

/// A packet's first bytes.
struct Packet<'a> {
    sequence: u8,
    body: &'a [u8],
}

impl MysqlSession {
    /// The client's packet. Says whether TLS follows.
    fn client(&mut self, packet: &Packet<'_>, flow: &FlowInfo) -> bool {
        let mut r = Reader::new(packet.body);
        match self.stage {
            Stage::Greeting | Stage::Login if packet.sequence == 1 => {
                let flags = r.u32_le().unwrap_or(0);
                let rest = packet.body.get(32..).unwrap_or_default();
                if flags & CLIENT_SSL != 0 && rest.is_empty() {
                    return true;
                }
                self.user = rest.split(|b| *b == 0).next().unwrap_or_default().to_vec();
                self.stage = if flags & CLIENT_COMPRESS != 0 {
                    Stage::Over
                } else {
                    Stage::Verdict
                };
            }
            Stage::Commands | Stage::Greeting if packet.sequence == 0 => {
                self.stage = Stage::Commands;
                self.command(r, flow);
            }
            _ => {}
        }
        false
    }

    fn command(&mut self, mut r: Reader<'_>, flow: &FlowInfo) {
        let Some(command) = r.u8() else { return };
        let silent = matches!(
            command,
            command::QUIT | command::STMT_SEND_LONG_DATA | command::STMT_CLOSE
        );
        if !silent {
            self.notes.asked(flow.ts);
        }
        if self.txs.len() >= TRANSACTIONS_MAX {
            return;
        }
        let text = match command {
            command::INIT_DB | command::QUERY | command::STMT_PREPARE => r.rest().to_vec(),
            _ => Vec::new(),
        };
        let tx = self.txs.push(MysqlTx {
            state: TxState::default(),
            command,
            text,
            reply: None,
            silent,
        });
        tx.state.touch(Direction::ToServer);
    }

    fn server(&mut self, packet: &Packet<'_>, flow: &FlowInfo) {
        let mut r = Reader::new(packet.body);
        let reply = match r.u8() {
            Some(0) => Reply::Ok,
            Some(0xff) => Reply::Error(r.u16_le().unwrap_or(0)),
            Some(_) => Reply::Rows,
            None => return,
        };
        match (self.stage, reply) {
            (Stage::Greeting, Reply::Rows) => self.stage = Stage::Login,
            (Stage::Greeting, Reply::Error(_)) => self.stage = Stage::Over,
            (Stage::Verdict, Reply::Ok) => {
                self.notes.login(Login::Succeeded);
                self.stage = Stage::Commands;
            }
            (Stage::Verdict, Reply::Error(code)) => {
                if DENIED.contains(&code) {
                    self.notes.login(Login::Failed);
                }
                self.stage = Stage::Over;
            }
            // Further rounds of authentication.
            (Stage::Verdict, Reply::Rows) => {}
            (Stage::Commands, reply) if packet.sequence == 1 => {
                self.notes
                    .replied(flow.ts, matches!(reply, Reply::Error(_)));
                let open = self
                    .txs
                    .iter_mut()
                    .find(|tx| tx.reply.is_none() && !tx.silent);
                if let Some(tx) = open {
                    tx.reply = Some(reply);
                    tx.state.touch(Direction::ToClient);
                }
            }
            _ => {}
        }
    }
}

impl Session for MysqlSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let d = direction.index();
        let mut skip = self.skip.get(d).copied().unwrap_or(0);
        if input.gap > 0 {
            if skip < input.gap {
                // Where packets begin is not known any more.
                return Parsed::Error;
            }
            skip -= input.gap;
        }
        let mut r = Reader::new(input.bytes);
        let wanted = if self.stage == Stage::Commands {
            COMMAND_MAX
        } else {
            LOGIN_MAX
        };
        let mut needed = 0;
        while !r.is_empty() {
            if skip > 0 {
                let len = r.left().min(usize::try_from(skip).unwrap_or(usize::MAX));
                let _ = r.skip(len);
                skip -= len as u64;
                continue;
            }
            let start = r;
            let Some([a, b, c, sequence]) = r.take(4).and_then(|h| h.first_chunk::<4>().copied())
            else {
                needed = 4 - r.left();
                break;
            };
            let len = u32::from_le_bytes([a, b, c, 0]) as usize;
            let kept = len.min(wanted);
            let Some(body) = r.take(kept) else {
                needed = kept - r.left();
                r = start;
                break;
            };
            skip = (len - kept) as u64;
            let packet = Packet { sequence, body };
            match direction {
                Direction::ToServer => {
                    if self.client(&packet, flow) {
                        let to = registry::number("tls");
                        return Parsed::Switch {
                            consumed: r.position(),
                            to: Some(to).filter(|to| *to != AppProto::UNKNOWN),
                        };
                    }
                }
                Direction::ToClient => self.server(&packet, flow),
            }
            if self.stage == Stage::Over {
                return Parsed::Bypass;
            }
        }
        if let Some(kept) = self.skip.get_mut(d) {
            *kept = skip;
        }
        if needed > 0 {
            return Parsed::NeedMore {
                consumed: r.position(),
                needed,
            };
        }
        Parsed::All
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }
}

fn of(tx: &dyn Transaction) -> Option<&MysqlTx> {
    tx.as_any().downcast_ref()
}

static FIELDS: &[Field] = &[
    Field::new(
        "mysql.query",
        FieldDirection::ToServer,
        Access::Bytes(|tx, _, _| {
            let tx = of(tx)?;
            matches!(tx.command, command::QUERY | command::STMT_PREPARE).then_some(&tx.text[..])
        }),
        "text of a query or of a statement to prepare, at most 4 KiB",
    ),
    Field::new(
        "mysql.command",
        FieldDirection::ToServer,
        Access::Integer {
            value: |tx, _, index| of(tx).filter(|_| index == 0).map(|tx| tx.command.into()),
            names: COMMANDS,
            max: 255,
        },
        "number or name of the command",
    ),
    Field::number(
        "mysql.error_code",
        FieldDirection::ToClient,
        |tx, _, index| match of(tx)?.reply {
            Some(Reply::Error(code)) if index == 0 => Some(code.into()),
            _ => None,
        },
        65_535,
        "number of the error that answers the command",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32).to_le_bytes();
        bytes[3] = sequence;
        [&bytes[..], body].concat()
    }

    fn login(flags: u32, user: &[u8]) -> Vec<u8> {
        let mut body = flags.to_le_bytes().to_vec();
        body.resize(32, 0);
        body.extend_from_slice(user);
        body.push(0);
        body.push(0);
        packet(1, &body)
    }

    fn greeting() -> Vec<u8> {
        let mut body = b"\x0a8.0.31\0".to_vec();
        body.resize(70, 1);
        packet(0, &body)
    }

    fn session(verdict: &[u8]) -> Vec<(Direction, Vec<u8>)> {
        vec![
            (ToClient, greeting()),
            (ToServer, login(0x200, b"joe")),
            (ToClient, packet(2, verdict)),
        ]
    }

    fn run(exchange: &[(Direction, Vec<u8>)], size: usize) -> (Feed, Vec<Note>) {
        let mut feed = Feed::new(&MYSQL, 6, 3306);
        let mut notes = Vec::new();
        for (direction, bytes) in exchange {
            feed.pieces(*direction, bytes, size);
            notes.extend(std::iter::from_fn(|| feed.session.take_note()));
        }
        (feed, notes)
    }

    #[test]
    fn logins_tell_their_outcome() {
        let (_, notes) = run(&session(b"\0\0\0\x02\0\0\0"), 3);
        assert_eq!(notes, [Note::Login(Login::Succeeded)]);
        let (_, notes) = run(&session(b"\xff\x15\x04#28000Access denied"), 1000);
        assert_eq!(notes, [Note::Login(Login::Failed)]);
    }

    #[test]
    fn a_query_and_its_error() {
        let mut exchange = session(b"\0\0\0\x02\0\0\0");
        exchange.push((ToServer, packet(0, b"\x03SELECT 1")));
        exchange.push((
            ToClient,
            [packet(1, b"\x01"), packet(2, b"def"), packet(3, &[7; 9000])].concat(),
        ));
        exchange.push((ToServer, packet(0, b"\x03SELEKT")));
        exchange.push((ToClient, packet(1, b"\xff\x28\x04no")));
        for size in [1, 5, 64, 100_000] {
            let (feed, notes) = run(&exchange, size);
            assert_eq!(feed.field(&MYSQL, 0, "mysql.query", ToServer), ["SELECT 1"]);
            assert_eq!(feed.field(&MYSQL, 1, "mysql.command", ToServer), ["3"]);
            assert_eq!(
                feed.field(&MYSQL, 1, "mysql.error_code", ToClient),
                ["1064"]
            );
            assert_eq!(notes.len(), 5, "{size}: {notes:?}");
            assert!(matches!(notes[4], Note::Replied { failed: true, .. }));
        }
    }

    #[test]
    fn a_request_for_tls_hands_over() {
        let mut feed = Feed::new(&MYSQL, 6, 3306);
        feed.give(ToClient, &greeting());
        let mut body = CLIENT_SSL.to_le_bytes().to_vec();
        body.resize(32, 0);
        let answer = feed.give(ToServer, &packet(1, &body));
        assert!(matches!(answer, Parsed::Switch { consumed: 36, .. }));
    }

    #[test]
    fn greetings_are_known_on_any_port() {
        let key = FlowKey::default();
        assert_eq!(MYSQL.probe(ToClient, &greeting(), &key), Probe::Match);
        assert_eq!(
            MYSQL.probe(ToClient, b"220 ftp ready", &key),
            Probe::NotMine
        );
        assert_eq!(
            MYSQL.probe(ToClient, greeting().get(..3).unwrap(), &key),
            Probe::NeedMore
        );
    }

    #[test]
    fn floods_of_commands_are_bounded() {
        let mut feed = Feed::new(&MYSQL, 6, 3306);
        for _ in 0..1_000 {
            feed.give(ToServer, &packet(0, b"\x0e"));
        }
        assert_eq!(feed.session.transactions().len(), TRANSACTIONS_MAX);
    }

    proptest! {
        #[test]
        fn arbitrary_packets_do_no_harm(pieces in prop::collection::vec((any::<bool>(), 0u8..3, prop::collection::vec(any::<u8>(), 0..60)), 1..8)) {
            let mut all = vec![(true, greeting()), (false, login(0, b"x")), (true, packet(2, &[0]))];
            all.extend(pieces.into_iter().map(|(server, sequence, body)| (server, packet(sequence, &body))));
            survives(&MYSQL, 6, 3306, &all);
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 1..6)) {
            survives(&MYSQL, 6, 3306, &pieces);
        }
    }
}
