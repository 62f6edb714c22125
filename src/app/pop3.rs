//! POP3 (RFC 1939, extensions of RFC 2449, SASL of RFC 5034): commands with their replies, one transaction each.
//!
//! The greeting is a transaction without a request. Mail (`RETR`, `TOP`) is passed over, listings are kept up to a bound.
//! Limits: 4 KiB of a line, 64 lines of a reply, 256 live transactions.

use super::line::Lines;
use super::tx::{session_members, transaction_members};
use super::{
    AppProto, FlowInfo, Input, Limits, LogHead, Login, Note, Notes, Outcome, Parsed, Probe,
    Protocol, Rides, Session, Transaction, TxList, TxState, TxStore, registry,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// POP3.
#[derive(Debug)]
pub struct Pop3;

/// POP3.
pub static POP3: Pop3 = Pop3;

const EVENTS: &[&str] = &[
    "too_many_transactions",
    "request_too_long",
    "incorrect_argument_count",
    "unknown_command",
    "response_too_long",
];
const TOO_MANY_TRANSACTIONS: u8 = 0;
const REQUEST_TOO_LONG: u8 = 1;
const INCORRECT_ARGUMENT_COUNT: u8 = 2;
const UNKNOWN_COMMAND: u8 = 3;
const RESPONSE_TOO_LONG: u8 = 4;

const LINE_MAX: usize = 4096;
const LINES_MAX: usize = 64;
const TRANSACTIONS_MAX: usize = 256;
/// RFC 2449 §4: a command is at most 255 bytes with its line end, the first line of a reply 512.
const REQUEST_MAX: usize = 253;
const RESPONSE_MAX: usize = 510;

/// Commands with the least and most arguments they take.
const COMMANDS: &[(&str, usize, usize)] = &[
    ("USER", 1, 1),
    ("PASS", 0, usize::MAX),
    ("STAT", 0, 0),
    ("LIST", 0, 1),
    ("RETR", 1, 1),
    ("DELE", 1, 1),
    ("NOOP", 0, 0),
    ("RSET", 0, 0),
    ("QUIT", 0, 0),
    ("TOP", 2, 2),
    ("UIDL", 0, 1),
    ("APOP", 2, 2),
    ("CAPA", 0, 0),
    ("STLS", 0, 0),
    ("AUTH", 0, 2),
    ("UTF8", 0, 0),
    ("LANG", 0, 1),
];

impl Protocol for Pop3 {
    fn name(&self) -> &'static str {
        "pop3"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[110]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let begins = |word: &[u8], after: &[u8]| match bytes.get(..word.len()) {
            Some(front) if front.eq_ignore_ascii_case(word) => match bytes.get(word.len()) {
                Some(next) if after.contains(next) => Probe::Match,
                Some(_) => Probe::NotMine,
                None => Probe::NeedMore,
            },
            Some(_) => Probe::NotMine,
            None if word
                .get(..bytes.len())
                .is_some_and(|front| front.eq_ignore_ascii_case(bytes)) =>
            {
                Probe::NeedMore
            }
            None => Probe::NotMine,
        };
        let answers: Vec<Probe> = match direction {
            Direction::ToClient => vec![begins(b"+OK", b" \r\n"), begins(b"-ERR", b" \r\n")],
            Direction::ToServer => COMMANDS
                .iter()
                .map(|(word, ..)| begins(word.as_bytes(), b" \r\n"))
                .collect(),
        };
        [Probe::Match, Probe::NeedMore]
            .into_iter()
            .find(|answer| answers.contains(answer))
            .unwrap_or(Probe::NotMine)
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(Pop3Session::default())
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("pop3"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = tx.as_any().downcast_ref::<Pop3Tx>() {
            tx.log(json);
        }
    }

    fn tells_logins(&self) -> bool {
        true
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match tx
            .as_any()
            .downcast_ref::<Pop3Tx>()
            .and_then(|tx| tx.reply.as_ref())
        {
            Some(reply) if reply.accepted => Outcome::Success(0),
            Some(_) => Outcome::Failure(0),
            None => Outcome::Unknown,
        }
    }
}

/// What a command is to the dialogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// One line of reply.
    #[default]
    Single,
    /// A listing follows an accepted command.
    Listing,
    /// Mail follows.
    Mail,
    /// A login: its reply tells the outcome.
    Login,
    /// A SASL exchange begins or goes on.
    Auth,
    /// TLS follows.
    StartTls,
}

#[derive(Debug)]
struct Request {
    command: Vec<u8>,
    args: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Reply {
    accepted: bool,
    header: Vec<u8>,
    data: Vec<Vec<u8>>,
}

/// A command with its reply.
#[derive(Debug, Default)]
struct Pop3Tx {
    state: TxState,
    kind: Kind,
    request: Option<Request>,
    reply: Option<Reply>,
    complete: bool,
}

impl Pop3Tx {
    fn log(&self, json: &mut Json<'_>) {
        json.object("pop3");
        if let Some(request) = &self.request {
            json.object("request")
                .str("command", &request.command)
                .array("args");
            for arg in &request.args {
                json.text(arg);
            }
            json.end_array().end();
        }
        if let Some(reply) = &self.reply {
            json.object("response")
                .bool("success", reply.accepted)
                .str("status", if reply.accepted { "OK" } else { "ERR" })
                .str("header", &reply.header)
                .array("data");
            for line in &reply.data {
                json.text(line);
            }
            json.end_array().end();
        }
        json.end();
    }
}

impl Transaction for Pop3Tx {
    transaction_members!();
    fn progress(&self, direction: Direction) -> u8 {
        let there = match direction {
            Direction::ToServer => self.request.is_some(),
            Direction::ToClient => self.reply.is_some() && self.complete,
        };
        u8::from(there || self.complete)
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct Pop3Session {
    txs: TxStore<Pop3Tx>,
    notes: Notes,
    skipping: [bool; 2],
    /// The client's next line answers a challenge.
    challenged: bool,
    /// The lines of a listing or of mail follow, up to the lone dot.
    body: bool,
}

impl Pop3Session {
    fn request(&mut self, line: &[u8], cut: bool) {
        if self.txs.len() >= TRANSACTIONS_MAX {
            for tx in self.txs.too_many().filter(|tx| !tx.complete) {
                tx.complete = true;
                tx.state.raise(TOO_MANY_TRANSACTIONS);
            }
            return;
        }
        let tx = self.txs.push(Pop3Tx::default());
        tx.state.touch(Direction::ToServer);
        if std::mem::take(&mut self.challenged) {
            tx.kind = Kind::Auth;
            tx.request = Some(Request {
                command: b"<SASL DATA>".to_vec(),
                args: Vec::new(),
            });
            return;
        }
        let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
        let command = words.next().unwrap_or_default().to_ascii_uppercase();
        let args: Vec<Vec<u8>> = words.take(16).map(<[u8]>::to_vec).collect();
        if cut || line.len() > REQUEST_MAX {
            tx.state.raise(REQUEST_TOO_LONG);
        }
        match COMMANDS
            .iter()
            .find(|(name, ..)| name.as_bytes() == command)
        {
            None => tx.state.raise(UNKNOWN_COMMAND),
            Some((_, least, most)) => {
                if args.len() < *least || args.len() > *most {
                    tx.state.raise(INCORRECT_ARGUMENT_COUNT);
                }
            }
        }
        tx.kind = match command.as_slice() {
            b"LIST" | b"UIDL" if args.is_empty() => Kind::Listing,
            b"CAPA" => Kind::Listing,
            b"AUTH" if args.is_empty() => Kind::Listing,
            b"RETR" | b"TOP" => Kind::Mail,
            b"PASS" | b"APOP" => Kind::Login,
            b"AUTH" => Kind::Auth,
            b"STLS" => Kind::StartTls,
            _ => Kind::Single,
        };
        tx.request = Some(Request { command, args });
    }

    /// Says whether TLS follows.
    fn reply(&mut self, line: &[u8], cut: bool) -> bool {
        if self.body {
            self.body_line(line);
            return false;
        }
        if !self.txs.iter().any(|tx| !tx.complete) {
            self.txs.push(Pop3Tx::default());
        }
        let Some(tx) = self.txs.find_mut(|tx| !tx.complete) else {
            return false;
        };
        let challenge = line.strip_prefix(b"+").filter(|rest| {
            !rest
                .get(..2)
                .is_some_and(|ok| ok.eq_ignore_ascii_case(b"OK"))
        });
        let accepted = challenge.is_some()
            || line
                .get(..3)
                .is_some_and(|ok| ok.eq_ignore_ascii_case(b"+OK"));
        let header = match challenge {
            Some(text) => text,
            None => line
                .iter()
                .position(|b| *b == b' ')
                .and_then(|at| line.get(at + 1..))
                .unwrap_or_default(),
        };
        if cut || line.len() > RESPONSE_MAX {
            tx.state.raise(RESPONSE_TOO_LONG);
        }
        tx.reply = Some(Reply {
            accepted,
            header: header.to_vec(),
            data: Vec::new(),
        });
        tx.state.touch(Direction::ToClient);
        tx.complete = true;
        match tx.kind {
            Kind::Listing | Kind::Mail if accepted => {
                tx.complete = false;
                self.body = true;
            }
            Kind::Auth if challenge.is_some() => self.challenged = true,
            Kind::Login | Kind::Auth => self.notes.login(if accepted {
                Login::Succeeded
            } else {
                Login::Failed
            }),
            Kind::StartTls => return accepted,
            _ => {}
        }
        false
    }

    fn body_line(&mut self, line: &[u8]) {
        let over = line == b".";
        self.body = !over;
        let Some(tx) = self.txs.find_mut(|tx| !tx.complete) else {
            return;
        };
        tx.complete |= over;
        if over {
            tx.state.touch(Direction::ToClient);
        } else if tx.kind == Kind::Listing
            && let Some(reply) = &mut tx.reply
            && reply.data.len() < LINES_MAX
        {
            reply.data.push(line.to_vec());
        }
    }
}

impl Session for Pop3Session {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        let d = direction.index();
        let Some(mut skipping) = self.skipping.get(d).copied() else {
            return Parsed::Error;
        };
        if input.gap > 0 {
            // The rest of the line in which bytes are missing tells nothing.
            skipping = true;
        }
        let mut lines = Lines::new(input.bytes, LINE_MAX);
        let mut switch = false;
        while !switch && let Some(line) = lines.next(&mut skipping) {
            match direction {
                Direction::ToServer => self.request(line.text, line.cut),
                Direction::ToClient => switch = self.reply(line.text, line.cut),
            }
        }
        if let Some(kept) = self.skipping.get_mut(d) {
            *kept = skipping;
        }
        let consumed = lines.consumed();
        if switch {
            let to = registry::number("tls");
            return Parsed::Switch {
                consumed,
                to: Some(to).filter(|to| *to != AppProto::UNKNOWN),
            };
        }
        if consumed < input.bytes.len() {
            return Parsed::NeedMore {
                consumed,
                needed: 1,
            };
        }
        Parsed::All
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    fn exchange() -> Vec<(Direction, &'static [u8])> {
        vec![
            (ToClient, b"+OK ready\r\n"),
            (ToServer, b"USER joe\r\n"),
            (ToClient, b"+OK\r\n"),
            (ToServer, b"PASS wrong\r\n"),
            (ToClient, b"-ERR no\r\n"),
            (ToServer, b"AUTH PLAIN\r\n"),
            (ToClient, b"+ \r\n"),
            (ToServer, b"AGpvZQByaWdodA==\r\n"),
            (ToClient, b"+OK in\r\n"),
            (ToServer, b"LIST\r\nRETR 1\r\nBOGUS\r\n"),
            (
                ToClient,
                b"+OK 1\r\n1 12\r\n.\r\n+OK 12 octets\r\n-ERR mail\r\n.\r\n-ERR what\r\n",
            ),
        ]
    }

    #[test]
    fn commands_and_replies_pair() {
        let mut feed = Feed::new(&POP3, 6, 110);
        for (direction, bytes) in exchange() {
            feed.give(direction, bytes);
        }
        let logged = feed.logged(&POP3);
        assert_eq!(logged.len(), 8);
        assert_eq!(logged[0]["pop3"]["response"]["header"], "ready");
        assert_eq!(
            logged[1]["pop3"]["request"],
            json!({"command": "USER", "args": ["joe"]})
        );
        assert_eq!(logged[2]["pop3"]["response"]["status"], "ERR");
        assert_eq!(logged[4]["pop3"]["request"]["command"], "<SASL DATA>");
        assert_eq!(logged[5]["pop3"]["response"]["data"], json!(["1 12"]));
        assert_eq!(logged[6]["pop3"]["response"]["data"], json!([]));
        assert_eq!(logged[7]["events"], json!(["unknown_command"]));
        let notes: Vec<Note> = std::iter::from_fn(|| feed.session.take_note()).collect();
        assert_eq!(
            notes,
            [Note::Login(Login::Failed), Note::Login(Login::Succeeded)]
        );
        chunking_never_matters(&POP3, 110, &exchange());
    }

    #[test]
    fn probing_knows_both_sides() {
        let key = FlowKey::default();
        assert_eq!(POP3.probe(ToClient, b"+OK hi", &key), Probe::Match);
        assert_eq!(POP3.probe(ToClient, b"+O", &key), Probe::NeedMore);
        assert_eq!(POP3.probe(ToClient, b"220 hi", &key), Probe::NotMine);
        assert_eq!(POP3.probe(ToServer, b"user joe", &key), Probe::Match);
        assert_eq!(POP3.probe(ToServer, b"GET / H", &key), Probe::NotMine);
    }

    #[test]
    fn floods_of_commands_are_bounded() {
        let mut feed = Feed::new(&POP3, 6, 110);
        for _ in 0..2_000 {
            feed.give(ToServer, b"NOOP\r\n");
        }
        assert!(feed.session.transactions().len() <= TRANSACTIONS_MAX);
    }

    #[test]
    fn stls_hands_over() {
        let mut feed = Feed::new(&POP3, 6, 110);
        feed.give(ToServer, b"STLS\r\n");
        assert!(matches!(
            feed.give(ToClient, b"+OK go\r\n"),
            Parsed::Switch { .. }
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
            survives(&POP3, 6, 110, &pieces);
        }

        #[test]
        fn arbitrary_dialogues_do_no_harm(lines in prop::collection::vec((any::<bool>(), "(USER a|PASS b|AUTH PLAIN|LIST|RETR 1|\\+OK x|-ERR|\\+ |\\.)\r\n"), 1..20)) {
            let pieces: Vec<(bool, Vec<u8>)> = lines.into_iter().map(|(s, l)| (s, l.into_bytes())).collect();
            survives(&POP3, 6, 110, &pieces);
        }
    }
}
