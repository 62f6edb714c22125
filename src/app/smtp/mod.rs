//! SMTP (RFC 5321) with pipelining (RFC 2920), chunking (RFC 3030), STARTTLS (RFC 3207), and MIME of the messages.
//!
//! A mail is a transaction: from the first command after the last one's end to the reply to its message. After an
//! accepted STARTTLS the flow is TLS's. Chunks of BDAT (RFC 3030) are one message, as DATA is.
//! Limits: lines are cut at 4096 bytes, except those of bodies, which are read in pieces; 64 KiB of recipients;
//! for messages see [`mime`].

mod base64;
mod mime;
mod parameter;
mod session;
mod tx;

use super::{
    Access, Field, FieldDirection, Limits, LogHead, Outcome, Pattern, Probe, Protocol, Rides,
    Session, Transaction,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

use session::SmtpSession;
use tx::{SmtpTx, State};

/// Numbers of [`EVENTS`].
mod event {
    pub const INVALID_REPLY: u8 = 0;
    pub const INVALID_PIPELINED_SEQUENCE: u8 = 4;
    pub const INVALID_BDAT: u8 = 6;
    pub const NO_SERVER_WELCOME_MESSAGE: u8 = 7;
    pub const TLS_REJECTED: u8 = 8;
    pub const DATA_COMMAND_REJECTED: u8 = 9;
    pub const MIME_INVALID_BASE64: u8 = 12;
    pub const MIME_INVALID_QP: u8 = 13;
    pub const MIME_LONG_LINE: u8 = 14;
    pub const MIME_LONG_ENC_LINE: u8 = 15;
    pub const MIME_LONG_HEADER_NAME: u8 = 16;
    pub const MIME_LONG_HEADER_VALUE: u8 = 17;
    pub const MIME_LONG_BOUNDARY: u8 = 18;
    pub const MIME_LONG_FILENAME: u8 = 19;
    pub const DUPLICATE_FIELDS: u8 = 20;
    pub const UNPARSABLE_CONTENT: u8 = 21;
    pub const TRUNCATED_LINE: u8 = 22;
}

/// In capitals, as EVE prints them; rules may write them small.
const EVENTS: &[&str] = &[
    "INVALID_REPLY",
    "UNABLE_TO_MATCH_REPLY_WITH_REQUEST",
    "MAX_COMMAND_LINE_LEN_EXCEEDED",
    "MAX_REPLY_LINE_LEN_EXCEEDED",
    "INVALID_PIPELINED_SEQUENCE",
    "BDAT_CHUNK_LEN_EXCEEDED",
    "INVALID_BDAT",
    "NO_SERVER_WELCOME_MESSAGE",
    "TLS_REJECTED",
    "DATA_COMMAND_REJECTED",
    "FAILED_PROTOCOL_CHANGE",
    "MIME_PARSE_FAILED",
    "MIME_INVALID_BASE64",
    "MIME_INVALID_QP",
    "MIME_LONG_LINE",
    "MIME_LONG_ENC_LINE",
    "MIME_LONG_HEADER_NAME",
    "MIME_LONG_HEADER_VALUE",
    "MIME_LONG_BOUNDARY",
    "MIME_LONG_FILENAME",
    "DUPLICATE_FIELDS",
    "UNPARSABLE_CONTENT",
    "TRUNCATED_LINE",
];

const CLIENT_STATES: &[&str] = &["request_started", "request_data", "request_complete"];
const SERVER_STATES: &[&str] = &["response_started", "response_data", "response_complete"];

const fn pattern(bytes: &'static [u8]) -> Pattern {
    Pattern {
        bytes,
        nocase: true,
        offset: 0,
        depth: bytes.len() as u16,
        direction: Direction::ToServer,
    }
}

static PATTERNS: &[Pattern] = &[pattern(b"EHLO"), pattern(b"HELO")];

/// SMTP.
#[derive(Debug)]
pub struct Smtp;

/// SMTP.
pub static SMTP: Smtp = Smtp;

impl Protocol for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn ports(&self) -> &'static [u16] {
        &[25, 465]
    }

    fn probe_any_port(&self) -> bool {
        true
    }

    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        if direction == Direction::ToServer {
            // FTP knows the word too: there its own port decides.
            return match bytes.get(..4) {
                Some(word) if word.eq_ignore_ascii_case(b"QUIT") && key.dport != 21 => Probe::Match,
                None if b"QUIT"
                    .get(..bytes.len())
                    .is_some_and(|w| w.eq_ignore_ascii_case(bytes)) =>
                {
                    Probe::NeedMore
                }
                _ => Probe::NotMine,
            };
        }
        if !self.ports().contains(&key.dport) && !self.ports().contains(&key.sport) {
            return Probe::NotMine;
        }
        self.confirm(direction, bytes, key)
    }

    fn confirm(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        if direction == Direction::ToServer {
            return self.probe(direction, bytes, key);
        }
        match bytes {
            [b'2', b'2', b'0', b' ' | b'-', rest @ ..] => match rest {
                [] => Probe::NeedMore,
                [first, ..] if !first.is_ascii_alphanumeric() => Probe::NotMine,
                rest if rest.contains(&b'\n') => Probe::Match,
                _ => Probe::NeedMore,
            },
            short if b"220".starts_with(short.get(..3).unwrap_or(short)) && short.len() < 4 => {
                Probe::NeedMore
            }
            _ => Probe::NotMine,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(SmtpSession::new(limits))
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["command_line", "data", "response_line"]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn states(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::ToServer => CLIENT_STATES,
            Direction::ToClient => SERVER_STATES,
        }
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("smtp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            tx.log(json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx) {
            Some(tx) if tx.mime.is_some() && tx.server == State::Complete => Outcome::Answered(250),
            _ => Outcome::Unknown,
        }
    }
}

fn of(tx: &dyn Transaction) -> Option<&SmtpTx> {
    tx.as_any().downcast_ref()
}

/// A field of the message's header.
fn header<'a>(tx: &'a dyn Transaction, name: &str, index: usize) -> Option<&'a [u8]> {
    of(tx)?.mime.as_ref()?.header(name, index)
}

const fn field(name: &'static str, progress: u8, access: Access, doc: &'static str) -> Field {
    Field::new(name, FieldDirection::ToServer, access, doc).at(progress)
}

const STARTED: u8 = State::Started as u8;
const DATA: u8 = State::Data as u8;

static FIELDS: &[Field] = &[
    field(
        "smtp.helo",
        STARTED,
        Access::Bytes(|tx, _, _| of(tx)?.helo.as_deref()),
        "what the client calls itself",
    ),
    field(
        "smtp.mail_from",
        STARTED,
        Access::Bytes(|tx, _, _| of(tx)?.sender.as_deref()),
        "sender on the envelope",
    ),
    field(
        "smtp.rcpt_to",
        STARTED,
        Access::Multi(|tx, _, index, _| Some(of(tx)?.recipients.get(index)?.as_slice())),
        "recipients on the envelope",
    ),
    field(
        "email.from",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "from", 0)),
        "From of the message",
    ),
    field(
        "email.subject",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "subject", 0)),
        "Subject of the message",
    ),
    field(
        "email.to",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "to", 0)),
        "To of the message",
    ),
    field(
        "email.cc",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "cc", 0)),
        "Cc of the message",
    ),
    field(
        "email.date",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "date", 0)),
        "Date of the message",
    ),
    field(
        "email.message_id",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "message-id", 0)),
        "Message-Id of the message",
    ),
    field(
        "email.x_mailer",
        DATA,
        Access::Bytes(|tx, _, _| header(tx, "x-mailer", 0)),
        "X-Mailer of the message",
    ),
    field(
        "email.received",
        DATA,
        Access::Multi(|tx, _, index, _| header(tx, "received", index)),
        "Received fields of the message",
    ),
    field(
        "email.url",
        DATA,
        Access::Multi(|tx, _, index, _| Some(of(tx)?.mime.as_ref()?.urls.get(index)?.as_slice())),
        "addresses in texts of the message, without http://",
    ),
    field(
        "email.body_md5",
        DATA,
        Access::Bytes(|tx, _, _| {
            of(tx)?
                .mime
                .as_ref()?
                .body_md5
                .as_deref()
                .map(str::as_bytes)
        }),
        "MD5 of the message's body, in hexadecimal",
    ),
    Field {
        aliases: &["file_data"],
        ..field(
            "file.data",
            DATA,
            Access::Streaming(|tx, direction, index| {
                let tx = of(tx)?;
                tx.files(direction)?
                    .get(index)?
                    .due(tx.client == State::Complete, tx.inline)
            }),
            "the bytes of attachments, decoded",
        )
    },
    field(
        "file.name",
        DATA,
        Access::Multi(|tx, direction, index, _| {
            Some(of(tx)?.files(direction)?.get(index)?.name.as_slice())
        }),
        "the names of attachments",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::Parsed;
    use crate::app::feed::{Feed, chunking_never_matters, survives};
    use Direction::{ToClient, ToServer};

    fn talk(pieces: &[(Direction, &str)]) -> Feed {
        let mut feed = Feed::new(&SMTP, 6, 25);
        for (direction, text) in pieces {
            feed.give(*direction, text.as_bytes());
        }
        feed
    }

    const MAIL: &[(Direction, &str)] = &[
        (ToClient, "220-mail.test ready\r\n220 go on\r\n"),
        (ToServer, "EHLO me\r\n"),
        (ToClient, "250-mail.test\r\n250 SIZE\r\n"),
        (ToServer, "MAIL FROM:<a@x> SIZE=12\r\n"),
        (ToClient, "250 ok\r\n"),
        (ToServer, "RCPT TO: <b@y>\r\n"),
        (ToClient, "250 ok\r\n"),
        (ToServer, "DATA\r\n"),
        (ToClient, "354 go\r\n"),
        (
            ToServer,
            "From: a@x\r\nTo: b@y, c@z\r\nContent-Disposition: attachment; filename=t.txt\r\n\
             Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n.\r\nQUIT\r\n",
        ),
        (ToClient, "250 queued\r\n221 bye\r\n"),
    ];

    #[test]
    fn a_mail_is_logged_with_its_envelope_and_message() {
        let feed = talk(MAIL);
        let logs = feed.logged(&SMTP);
        assert_eq!(
            (logs.len(), &logs[0]["events"]),
            (1, &serde_json::json!([]))
        );
        let expected =
            serde_json::json!({"helo": "me", "mail_from": "<a@x>", "rcpt_to": ["<b@y>"]});
        assert_eq!(logs[0]["smtp"], expected);
        assert_eq!(logs[0]["email"]["to"], serde_json::json!(["b@y", "c@z"]));
        assert_eq!(logs[0]["email"]["attachment"], serde_json::json!(["t.txt"]));
        assert_eq!(feed.field(&SMTP, 0, "email.from", ToServer), ["a@x"]);
        let tx = feed.session.transactions().at(0).expect("mail");
        assert_eq!((tx.progress(ToServer), tx.progress(ToClient)), (2, 2));
        let file = tx
            .files(ToServer)
            .and_then(|files| files.get(0))
            .expect("attachment");
        assert_eq!(file.window().bytes, b"hello");
    }

    #[test]
    fn pieces_never_matter() {
        let side = |wanted: Direction| -> Vec<u8> {
            MAIL.iter()
                .filter(|(d, _)| *d == wanted)
                .flat_map(|(_, text)| text.bytes())
                .collect()
        };
        // The dialogue depends on who speaks when; each turn alone may arrive in any pieces.
        for (direction, text) in MAIL {
            chunking_never_matters(&SMTP, 25, &[(*direction, text.as_bytes())]);
        }
        chunking_never_matters(&SMTP, 25, &[(ToClient, &side(ToClient))]);
    }

    #[test]
    fn chunks_of_bdat_are_a_message_however_its_lines_are_cut() {
        let first = "Subject: in chunks\r\nFrom: a\r\n\r\nfirst li";
        let second = "ne\r\n.\r\nEICAR";
        let client = format!(
            "EHLO me\r\nMAIL FROM:<a>\r\nBDAT {}\r\n{first}BDAT {} LAST\r\n{second}QUIT\r\n",
            first.len(),
            second.len()
        );
        let feed = talk(&[
            (ToClient, "220 hi\r\n"),
            (ToServer, &client),
            (ToClient, "250 x\r\n250 x\r\n250 x\r\n250 x\r\n221 x\r\n"),
        ]);
        let field = |name| feed.field(&SMTP, 0, name, ToServer);
        assert_eq!(field("email.subject"), ["in chunks"]);
        assert_eq!(feed.logged(&SMTP)[0]["email"]["from"], "a");
    }

    #[test]
    fn chunks_are_counted_and_two_mails_are_two_transactions() {
        let feed = talk(&[
            (ToClient, "220 hi\r\n"),
            (
                ToServer,
                "EHLO me\r\nMAIL FROM:<a>\r\nBDAT 5\r\nQUIT\nBDAT 3 LAST\r\n...MAIL FROM:<b>\r\n",
            ),
            (ToClient, "250 x\r\n250 x\r\n250 x\r\n250 x\r\n250 x\r\n"),
        ]);
        let logs = feed.logged(&SMTP);
        assert_eq!(logs.len(), 2);
        assert_eq!(
            (&logs[0]["smtp"]["mail_from"], &logs[1]["smtp"]["mail_from"]),
            (&"<a>".into(), &"<b>".into())
        );
        assert_eq!(logs[0]["events"], serde_json::json!([]));
    }

    #[test]
    fn a_welcome_is_known_by_its_port_or_by_the_client() {
        let key = |dport| FlowKey {
            dport,
            ..FlowKey::default()
        };
        let probe = |dport| SMTP.probe(ToClient, b"220 mail.test\r\n", &key(dport));
        assert_eq!((probe(25), probe(587)), (Probe::Match, Probe::NotMine));
        assert_eq!(
            SMTP.confirm(ToClient, b"220 mail.test\r\n", &key(587)),
            Probe::Match
        );
        assert_eq!(SMTP.probe(ToServer, b"QUIT\r\n", &key(21)), Probe::NotMine);
    }

    #[test]
    fn faults_of_the_dialogue_are_events() {
        let events = |pieces: &[(Direction, &str)]| talk(pieces).logged(&SMTP)[0]["events"].clone();
        assert_eq!(
            events(&[(ToServer, "HELO a\r\n")]),
            serde_json::json!(["NO_SERVER_WELCOME_MESSAGE"])
        );
        let hello = (ToClient, "220 a\r\n");
        assert_eq!(
            events(&[hello, (ToServer, "HELO a\r\nHELO b\r\n")]),
            serde_json::json!(["DUPLICATE_FIELDS"])
        );
        assert_eq!(
            events(&[hello, (ToServer, "BDAT x\r\n")]),
            serde_json::json!(["INVALID_BDAT"])
        );
        let pipelined = serde_json::json!(["INVALID_PIPELINED_SEQUENCE"]);
        assert_eq!(events(&[hello, (ToServer, "DATA\r\nNOOP\r\n")]), pipelined);
        let rejected = [
            hello,
            (ToServer, "DATA\r\n"),
            (ToClient, "554 no\r\n"),
            (ToServer, "DATA\r\n"),
        ];
        assert_eq!(
            events(&rejected),
            serde_json::json!(["DATA_COMMAND_REJECTED", "UNPARSABLE_CONTENT"])
        );
        let tls = [hello, (ToServer, "STARTTLS\r\n"), (ToClient, "454 no\r\n")];
        assert_eq!(events(&tls), serde_json::json!(["TLS_REJECTED"]));
        let long = format!("NOOP {}\r\n", "x".repeat(5000));
        assert_eq!(
            events(&[hello, (ToServer, &long)]),
            serde_json::json!(["TRUNCATED_LINE"])
        );
        let feed = talk(&[hello, (ToServer, "NOOP\r\n"), (ToClient, "999 what\r\n")]);
        assert_eq!(
            (feed.last, &feed.logged(&SMTP)[0]["events"]),
            (Parsed::Error, &serde_json::json!(["INVALID_REPLY"]))
        );
    }

    #[test]
    fn an_accepted_starttls_changes_the_protocol() {
        let feed = talk(&[
            (ToClient, "220 a\r\n"),
            (ToServer, "STARTTLS\r\n"),
            (ToClient, "220 go\r\n"),
        ]);
        assert!(matches!(
            feed.last,
            Parsed::Switch {
                consumed: 8,
                to: Some(_)
            }
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(data: bool, pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..6)) {
            let mut pieces = pieces;
            if data {
                pieces.insert(0, (true, b"220 a\r\n".to_vec()));
                pieces.insert(1, (false, b"DATA\r\n".to_vec()));
                pieces.insert(2, (true, b"354 a\r\n".to_vec()));
            }
            survives(&SMTP, 6, 25, &pieces);
        }
    }
}
