//! FTP: the control connection (RFC 959, 2428, 4217). Data connections are [`data`]'s.
//!
//! A command with its replies is a transaction; a reply without a command (the welcome) is one of its own. Commands
//! that nothing is known of make none. What PORT, EPRT, PASV and EPSV negotiate, together with the transfer command
//! that follows, announces a data connection. After an accepted AUTH TLS the flow is TLS's.
//! Limits: lines are cut at [`LINE_MAX`]; a transaction keeps [`REPLIES_MAX`] reply lines.

mod command;
pub mod data;

use std::collections::VecDeque;
use std::net::IpAddr;

use super::line::Lines;
use super::{
    Access, Expectation, ExpectedContext, Field, FieldDirection, FieldTest, FlowInfo, Input,
    Limits, LogHead, Outcome, Parsed, Pattern, Probe, Protocol, Rides, Session, Transaction,
    TxList, TxState, TxStore, registry, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// Bytes of a line that are kept (Suricata's `max-line-length`).
const LINE_MAX: usize = 4096;

/// Reply lines that a transaction keeps.
const REPLIES_MAX: usize = 256;

/// Live transactions (Suricata's `max-tx`).
const TRANSACTIONS_MAX: usize = 1024;

/// Announcements that wait to be taken.
const ANNOUNCED_MAX: usize = 8;

/// Bytes of a file name.
const FILE_NAME_MAX: usize = 4096;

const EVENTS: &[&str] = &[
    "request_command_too_long",
    "response_command_too_long",
    "too_many_transactions",
    "file_before_port",
    "file_without_name",
];
const REQUEST_COMMAND_TOO_LONG: u8 = 0;
const RESPONSE_COMMAND_TOO_LONG: u8 = 1;
const TOO_MANY_TRANSACTIONS: u8 = 2;
const FILE_BEFORE_PORT: u8 = 3;
const FILE_WITHOUT_NAME: u8 = 4;

const STATES: &[&str] = &["in_progress", "finished"];
const FINISHED: u8 = 1;

const fn pattern(bytes: &'static [u8], nocase: bool, direction: Direction) -> Pattern {
    Pattern {
        bytes,
        nocase,
        offset: 0,
        depth: bytes.len() as u16,
        direction,
    }
}

static PATTERNS: &[Pattern] = &[
    pattern(b"220 (", true, Direction::ToClient),
    pattern(b"FEAT", true, Direction::ToServer),
    pattern(b"USER ", false, Direction::ToServer),
    pattern(b"PORT ", true, Direction::ToServer),
];

/// FTP.
#[derive(Debug)]
pub struct Ftp;

/// FTP.
pub static FTP: Ftp = Ftp;

impl Protocol for Ftp {
    fn name(&self) -> &'static str {
        "ftp"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn ports(&self) -> &'static [u16] {
        &[21]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        let Some((front, rest)) = bytes.split_at_checked(5) else {
            return Probe::NeedMore;
        };
        let mine = match direction {
            Direction::ToServer => front.starts_with(b"QUIT"),
            Direction::ToClient => front.starts_with(b"220 ") || front.starts_with(b"220-"),
        };
        match (mine, direction) {
            (false, _) => Probe::NotMine,
            (true, Direction::ToClient) if !rest.contains(&b'\n') => Probe::NeedMore,
            (true, _) => Probe::Match,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(FtpSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn states(&self, _direction: Direction) -> &'static [&'static str] {
        STATES
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("ftp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            tx.log(json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        let Some(code) = of(tx).and_then(|tx| tx.replies.iter().rev().find_map(Reply::number))
        else {
            return Outcome::Unknown;
        };
        match code / 100 {
            2 => Outcome::Success(code),
            4 | 5 => Outcome::Failure(code),
            _ => Outcome::Answered(code),
        }
    }
}

/// A line of a reply.
#[derive(Debug, Default)]
struct Reply {
    /// Three digits, or nothing.
    code: Vec<u8>,
    text: Vec<u8>,
    cut: bool,
}

impl Reply {
    /// `ddd text`; a line of another form is all text.
    fn of_line(line: &[u8], cut: bool) -> Option<Self> {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return None;
        }
        let (code, text) = match line {
            [a, b, c, b' ', text @ ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
                (line.get(..3), text)
            }
            _ => (None, line),
        };
        Some(Self {
            code: code.unwrap_or_default().to_vec(),
            text: text.to_vec(),
            cut,
        })
    }

    fn number(&self) -> Option<u32> {
        std::str::from_utf8(&self.code).ok()?.parse().ok()
    }
}

/// A command with its replies.
#[derive(Debug, Default)]
struct FtpTx {
    state: TxState,
    /// `None`: replies without a command.
    command: Option<&'static str>,
    /// The whole line, without white space at its end.
    request: Vec<u8>,
    request_cut: bool,
    replies: Vec<Reply>,
    /// Port that was negotiated, 0 when none was.
    dynamic_port: u16,
    active: bool,
    done: bool,
    /// The client's address, for `ftpbounce`.
    client: Option<IpAddr>,
}

impl FtpTx {
    /// What follows the command's name and a space.
    fn argument(&self) -> Option<&[u8]> {
        self.request
            .get(self.command?.len() + 1..)
            .filter(|data| !data.is_empty())
    }

    /// Whether it asks the server to connect to a third host.
    fn is_bounce(&self) -> bool {
        self.command == Some("PORT")
            && command::address_of_port(&self.request).is_some_and(|told| {
                self.client
                    .is_some_and(|client| client != IpAddr::from(told))
            })
    }

    fn log(&self, json: &mut Json<'_>) {
        json.object("ftp");
        if let Some(name) = self.command {
            json.str("command", name);
            if let Some(data) = self.argument() {
                json.str("command_data", data)
                    .bool("command_truncated", self.request_cut);
            }
        }
        if self.replies.iter().any(|r| !r.code.is_empty()) {
            json.array("completion_code");
            for reply in self.replies.iter().filter(|r| !r.code.is_empty()) {
                json.text(&reply.code);
            }
            json.end_array();
        }
        if self.replies.iter().any(|r| !r.text.is_empty()) {
            json.array("reply");
            for reply in self.replies.iter().filter(|r| !r.text.is_empty()) {
                json.text(&reply.text);
            }
            json.end_array();
        }
        if self.dynamic_port != 0 {
            json.num("dynamic_port", self.dynamic_port);
        }
        if matches!(self.command, Some("PORT" | "EPRT" | "PASV" | "EPSV")) {
            json.str("mode", if self.active { "active" } else { "passive" });
        }
        json.str("reply_received", if self.done { "yes" } else { "no" });
        json.bool("reply_truncated", self.replies.iter().any(|r| r.cut));
        json.end();
    }
}

impl Transaction for FtpTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        // A transaction begins with its whole request.
        if direction == Direction::ToServer || self.done {
            FINISHED
        } else {
            0
        }
    }
}

/// The state of a control connection.
#[derive(Debug, Default)]
struct FtpSession {
    txs: TxStore<FtpTx>,
    /// Per direction: the rest of a cut line is passed over.
    skipping: [bool; 2],
    /// The newest command.
    command: Option<&'static str>,
    /// AUTH TLS was asked for and not answered.
    asked_for_tls: bool,
    /// What PORT and its kin negotiated for the next transfer.
    port: u16,
    active: bool,
    announced: VecDeque<(Expectation, ExpectedContext)>,
    told: Option<ExpectedContext>,
}

impl FtpSession {
    fn requests(&mut self, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let mut lines = Lines::new(input.bytes, LINE_MAX);
        let [skipping, _] = &mut self.skipping;
        let mut skips = *skipping;
        while let Some(line) = lines.next(&mut skips) {
            self.command = command::of_line(line.text);
            self.asked_for_tls = command::asks_for_tls(line.text);
            let Some(name) = self.command else { continue };
            if self.txs.len() > TRANSACTIONS_MAX {
                if let Some(oldest) = self.txs.find_mut(|tx| !tx.done) {
                    oldest.done = true;
                    oldest.state.raise(TOO_MANY_TRANSACTIONS);
                }
                return Parsed::Error;
            }
            let mut tx = FtpTx {
                command: Some(name),
                request: line.text.trim_ascii_end().to_vec(),
                request_cut: line.cut,
                client: Some(flow.key.src),
                ..FtpTx::default()
            };
            tx.state.touch(Direction::ToServer);
            if line.cut {
                tx.state.raise(REQUEST_COMMAND_TOO_LONG);
            }
            self.transfer(name, line.text, &mut tx, flow);
            self.txs.push(tx);
        }
        let [skipping, _] = &mut self.skipping;
        *skipping = skips;
        waiting(&lines, input)
    }

    /// A command that opens a data connection announces it.
    fn transfer(&mut self, name: &'static str, line: &[u8], tx: &mut FtpTx, flow: &FlowInfo) {
        let filename = match name {
            "RETR" | "STOR" | "APPE" | "STOU" if line.len() >= 6 => {
                line.get(5..).unwrap_or_default()
            }
            "RETR" | "STOR" | "APPE" => return tx.state.raise(FILE_WITHOUT_NAME),
            "STOU" => b"<stou>",
            "NLST" | "LIST" | "MLSD" => &[],
            _ => return,
        };
        if self.port == 0 {
            return tx.state.raise(FILE_BEFORE_PORT);
        }
        let (port, active) = (
            std::mem::take(&mut self.port),
            std::mem::take(&mut self.active),
        );
        let filename = filename.get(..FILE_NAME_MAX).unwrap_or(filename).to_vec();
        // In active mode the server connects, and its data goes "to the server" of that connection.
        let upload = command::is_upload(name) != active;
        let context = ExpectedContext {
            command: name.into(),
            filename,
            upload,
        };
        let key = FlowKey {
            sport: 0,
            dport: port,
            ..flow.key
        };
        if self.announced.len() < ANNOUNCED_MAX {
            self.announced.push_back((
                Expectation {
                    key,
                    proto: registry::number("ftp-data"),
                    tag: 0,
                },
                context,
            ));
        }
    }

    fn replies(&mut self, input: Input<'_>) -> Parsed {
        let mut lines = Lines::new(input.bytes, LINE_MAX);
        let [_, skipping] = &mut self.skipping;
        let mut skips = *skipping;
        while let Some(line) = lines.next(&mut skips) {
            if self.asked_for_tls && self.command.is_none() && line.text.starts_with(b"234 ") {
                self.reply(line.text, line.cut);
                return Parsed::Switch {
                    consumed: lines.consumed(),
                    to: Some(registry::number("tls")),
                };
            }
            self.reply(line.text, line.cut);
        }
        let [_, skipping] = &mut self.skipping;
        *skipping = skips;
        waiting(&lines, input)
    }

    /// A line of a reply belongs to the oldest command that waits for one, else to what came last.
    fn reply(&mut self, line: &[u8], cut: bool) {
        let waits = self.txs.iter().position(|tx| !tx.done);
        let position = waits.or_else(|| self.txs.len().checked_sub(1));
        let tx = match position {
            Some(position) => self.txs.get_mut(position),
            None => self.txs.push(FtpTx::default()),
        };
        tx.state.touch(Direction::ToClient);
        let negotiated = match tx.command {
            Some("PORT") => Some((
                command::port_of_six(tx.argument().unwrap_or_default()),
                true,
            )),
            Some("EPRT") => Some((command::port_of_eprt(&tx.request), true)),
            Some("PASV") if line.starts_with(b"227 ") => Some((command::port_of_pasv(line), false)),
            Some("EPSV") if line.starts_with(b"229 ") => Some((command::port_of_epsv(line), false)),
            _ => None,
        };
        match negotiated {
            Some((Some(port), active)) => {
                (tx.dynamic_port, tx.active) = (port, active);
                (self.port, self.active) = (port, active);
            }
            // An unreadable port: the reply says nothing more.
            Some((None, true)) => {
                tx.done = true;
                return;
            }
            _ => {}
        }
        if let Some(reply) = Reply::of_line(line, cut)
            && tx.replies.len() < REPLIES_MAX
        {
            tx.replies.push(reply);
            if cut {
                tx.state.raise(RESPONSE_COMMAND_TOO_LONG);
            }
        }
        // RFC 959 §4.2: after 1yz another reply follows.
        let preliminary = matches!(line, [b'1', b, c, space, ..]
            if b.is_ascii_digit() && c.is_ascii_digit() && space.is_ascii_whitespace());
        tx.done |= !preliminary;
    }
}

/// What a parser of lines answers at the end of its input.
fn waiting(lines: &Lines<'_>, input: Input<'_>) -> Parsed {
    if lines.rest().is_empty() || input.end {
        Parsed::All
    } else {
        Parsed::NeedMore {
            consumed: lines.consumed(),
            needed: 1,
        }
    }
}

impl Session for FtpSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if input.gap > 0 {
            return Parsed::Error;
        }
        match direction {
            Direction::ToServer => self.requests(input, flow),
            Direction::ToClient => self.replies(input),
        }
    }

    fn take_expectation(&mut self) -> Option<Expectation> {
        let (expectation, context) = self.announced.pop_front()?;
        self.told = Some(context);
        Some(expectation)
    }

    fn expectation_context(&self, _tag: u64) -> Option<ExpectedContext> {
        self.told.clone()
    }
}

fn of(tx: &dyn Transaction) -> Option<&FtpTx> {
    tx.as_any().downcast_ref()
}

/// Replies of a command, by index.
fn reply(tx: &dyn Transaction, index: usize) -> Option<&Reply> {
    let tx = of(tx)?;
    tx.command.and(tx.replies.get(index))
}

/// `ftp.mode`, `ftp.reply_received`, `ftpbounce`.
#[derive(Debug)]
enum Test {
    Active(bool),
    Received(bool),
    Bounce,
}

impl FieldTest for Test {
    fn test(&self, tx: &dyn Transaction, _session: &dyn Session, _direction: Direction) -> bool {
        of(tx).is_some_and(|tx| match self {
            Self::Active(wanted) => tx.active == *wanted,
            Self::Received(wanted) => tx.command.is_some() && tx.done == *wanted,
            Self::Bounce => tx.is_bounce(),
        })
    }
}

fn mode(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    match argument.trim().to_ascii_lowercase().as_str() {
        "active" => Ok(Box::new(Test::Active(true))),
        "passive" => Ok(Box::new(Test::Active(false))),
        other => Err(format!("ftp.mode is active or passive, not {other:?}")),
    }
}

fn received(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    match argument.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(Box::new(Test::Received(true))),
        "false" | "0" | "no" | "off" => Ok(Box::new(Test::Received(false))),
        other => Err(format!("ftp.reply_received is yes or no, not {other:?}")),
    }
}

fn bounce(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    if argument.trim().is_empty() {
        Ok(Box::new(Test::Bounce))
    } else {
        Err("ftpbounce takes no value".into())
    }
}

const fn field(
    name: &'static str,
    direction: FieldDirection,
    progress: u8,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc).at(progress)
}

static FIELDS: &[Field] = &[
    field(
        "ftp.command",
        FieldDirection::ToServer,
        FINISHED,
        Access::Bytes(|tx, _, _| of(tx)?.command.map(str::as_bytes)),
        "name of the command, in capitals",
    ),
    field(
        "ftp.command_data",
        FieldDirection::ToServer,
        FINISHED,
        Access::Bytes(|tx, _, _| of(tx)?.argument()),
        "what follows the command",
    ),
    field(
        "ftp.reply",
        FieldDirection::ToClient,
        FINISHED,
        Access::Multi(|tx, _, index, _| Some(reply(tx, index)?.text.as_slice())),
        "lines of the reply, without their codes",
    ),
    field(
        "ftp.completion_code",
        FieldDirection::ToClient,
        FINISHED,
        Access::Multi(|tx, _, index, _| Some(reply(tx, index)?.code.as_slice())),
        "codes of the reply's lines",
    ),
    field(
        "ftp.dynamic_port",
        FieldDirection::Both,
        FINISHED,
        Access::Integer {
            value: |tx, _, index| {
                of(tx)
                    .filter(|tx| index == 0 && tx.dynamic_port != 0)
                    .map(|tx| tx.dynamic_port.into())
            },
            names: &[],
            max: u16::MAX as u64,
        },
        "port negotiated for the data connection",
    ),
    field(
        "ftp.mode",
        FieldDirection::Both,
        FINISHED,
        Access::Test(mode),
        "who opens the data connection",
    ),
    field(
        "ftp.reply_received",
        FieldDirection::ToClient,
        0,
        Access::Test(received),
        "whether the command was answered",
    ),
    field(
        "ftpbounce",
        FieldDirection::ToServer,
        FINISHED,
        Access::Test(bounce),
        "PORT names a host other than the client",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};
    use Direction::{ToClient, ToServer};

    fn talk(pieces: &[(Direction, &str)]) -> Feed {
        let mut feed = Feed::new(&FTP, 6, 21);
        for (direction, text) in pieces {
            feed.give(*direction, text.as_bytes());
        }
        feed
    }

    #[test]
    fn commands_and_replies_are_logged() {
        let mut feed = talk(&[
            (ToClient, "220 (vsFTPd 3.0.3)\r\n"),
            (ToServer, "USER anonymous\r\n"),
            (ToClient, "331 Please specify the password.\r\n"),
            (ToServer, "PORT 192,168,0,13,234,10\r\n"),
            (ToClient, "200 PORT command successful.\r\n"),
            (ToServer, "RETR temp.txt\r\n"),
            (ToClient, "150 Opening.\r\n226 Transfer complete.\r\n"),
        ]);
        let logs = feed.logged(&FTP);
        assert_eq!(logs.len(), 4);
        assert_eq!(
            logs[0]["ftp"]["completion_code"],
            serde_json::json!(["220"])
        );
        assert_eq!(logs[1]["ftp"]["command_data"], "anonymous");
        assert_eq!(logs[2]["ftp"]["dynamic_port"], 59914);
        assert_eq!(logs[2]["ftp"]["mode"], "active");
        assert_eq!(
            logs[3]["ftp"]["reply"],
            serde_json::json!(["Opening.", "Transfer complete."])
        );
        let expectation = feed.session.take_expectation().expect("announced");
        assert_eq!(expectation.key.dport, 59914);
        let context = feed.session.expectation_context(0).expect("context");
        assert_eq!(
            (context.command, context.filename, context.upload),
            (b"RETR".to_vec(), b"temp.txt".to_vec(), true)
        );
    }

    #[test]
    fn transfers_without_port_or_name_are_events() {
        let feed = talk(&[(ToServer, "RETR x\r\nSTOR\r\n")]);
        let logs = feed.logged(&FTP);
        assert_eq!(logs[0]["events"], serde_json::json!(["file_before_port"]));
        assert_eq!(logs[1]["events"], serde_json::json!(["file_without_name"]));
    }

    #[test]
    fn a_long_command_is_cut_and_told() {
        let long = format!("RETR {}\r\n", "a".repeat(5000));
        let feed = talk(&[(ToServer, &long), (ToServer, "RETR index.html\r\n")]);
        let logs = feed.logged(&FTP);
        assert_eq!(
            logs[0]["ftp"]["command_data"].as_str().map(str::len),
            Some(4091)
        );
        assert_eq!(logs[0]["ftp"]["command_truncated"], true);
        assert_eq!(logs[1]["ftp"]["command_data"], "index.html");
    }

    #[test]
    fn a_bounce_names_a_third_host() {
        let tx = |line: &str| FtpTx {
            command: Some("PORT"),
            request: line.into(),
            client: Some([192, 168, 0, 13].into()),
            ..FtpTx::default()
        };
        assert!(!tx("PORT 192,168,0,13,234,10").is_bounce());
        assert!(tx("PORT 10,0,0,1,0,80").is_bounce());
        assert!(!tx("PORT nonsense").is_bounce());
    }

    #[test]
    fn an_accepted_auth_tls_changes_the_protocol() {
        let feed = talk(&[(ToServer, "AUTH TLS\r\n"), (ToClient, "234 Proceed.\r\n")]);
        assert!(matches!(
            feed.last,
            Parsed::Switch {
                consumed: 14,
                to: Some(_)
            }
        ));
    }

    #[test]
    fn pieces_never_matter() {
        let client = format!(
            "USER a\r\nPASV\r\nRETR {}\nSTOR b\r\nEPSV\r\nLIST\r\nQUIT\r\n",
            "n".repeat(4200)
        );
        let server = "220 hi\r\n331 a\r\n227 (1,2,3,4,5,6)\r\n150 b\r\n226 c\r\n229 (|||5|)\r\n221-bye\r\n221 bye\r\n";
        chunking_never_matters(
            &FTP,
            21,
            &[(ToServer, client.as_bytes()), (ToClient, server.as_bytes())],
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..5)) {
            survives(&FTP, 6, 21, &pieces);
        }
    }
}
