//! Telnet (RFC 854): what the server says, without the negotiation, as far as it tells how a login ended.
//!
//! There are no transactions: rules look at the stream. The dialogue is free text, so the reading is a heuristic over
//! the server's words: a prompt for the user, one for the password, then words of refusal or a new prompt for the user
//! (refused), or a shell's prompt (accepted). Limits: the last 256 bytes of what the server said.

use super::tx::session_members;
use super::{
    FlowInfo, FrameNotes, Input, Limits, Login, NoTransaction, Note, Notes, Parsed, Probe,
    Protocol, Rides, Session, Transaction, TxStore,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// Telnet.
#[derive(Debug)]
pub struct Telnet;

/// Telnet.
pub static TELNET: Telnet = Telnet;

/// Interpret as command (RFC 854).
const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;

const TEXT_MAX: usize = 256;

impl Protocol for Telnet {
    fn name(&self) -> &'static str {
        "telnet"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn flushes_stream(&self) -> bool {
        false
    }

    fn ports(&self) -> &'static [u16] {
        &[23, 2323]
    }

    /// Negotiation, or text.
    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        match bytes {
            [] | [IAC] => Probe::NeedMore,
            [IAC, SE..=DONT, ..] => Probe::Match,
            [first, ..] if first.is_ascii_graphic() || first.is_ascii_whitespace() => Probe::Match,
            _ => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(TelnetSession::default())
    }

    fn frames(&self) -> &'static [&'static str] {
        &["pdu", "ctl", "data"]
    }

    fn states(&self, _direction: Direction) -> &'static [&'static str] {
        &["started", "complete"]
    }

    fn log(&self, _session: &dyn Session, _tx: &dyn Transaction, _json: &mut Json<'_>) {}

    fn tells_logins(&self) -> bool {
        true
    }
}

/// How far the login has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// The server asks for a password.
    AsksPassword,
    /// The client sent it.
    PasswordSent,
    /// Logged in.
    Inside,
}

/// Where in a command the server's bytes stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Command {
    #[default]
    None,
    /// After IAC.
    Begun,
    /// One byte of option follows.
    Option,
    /// In a subnegotiation; whether IAC was just seen.
    Sub(bool),
}

/// The state of one flow.
#[derive(Debug, Default)]
struct TelnetSession {
    txs: TxStore<NoTransaction>,
    notes: Notes,
    stage: Stage,
    command: [Command; 2],
    /// What the server said since the client last spoke.
    text: Vec<u8>,
    /// Commands and lines, for rules on frames.
    frames: FrameNotes,
    /// The frame that is begun in each direction.
    begun: [Option<u8>; 2],
}

impl Command {
    /// Takes one byte; gives it back when it is text.
    fn take(&mut self, byte: u8) -> Option<u8> {
        let (next, text) = match (*self, byte) {
            (Self::None, IAC) => (Self::Begun, None),
            (Self::None, text) => (Self::None, Some(text)),
            (Self::Begun, IAC) => (Self::None, Some(IAC)),
            (Self::Begun, SB) => (Self::Sub(false), None),
            (Self::Begun, WILL..=DONT) => (Self::Option, None),
            (Self::Begun | Self::Option, _) => (Self::None, None),
            (Self::Sub(true), SE) => (Self::None, None),
            (Self::Sub(seen), byte) => (Self::Sub(byte == IAC && !seen), None),
        };
        *self = next;
        text
    }
}

impl TelnetSession {
    /// Notes commands, and text up to the end of its line, as frames. To be called before the bytes are taken.
    fn note_frames(&mut self, direction: Direction, bytes: &[u8]) {
        const CONTROL: u8 = 1;
        const DATA: u8 = 2;
        let mut command = self.command[direction.index()];
        for (at, &byte) in bytes.iter().enumerate() {
            let begun = &mut self.begun[direction.index()];
            if command == Command::None
                && byte == IAC
                && let Some(kind) = begun.take()
            {
                self.frames.end(0, at);
                self.frames.end(kind, at);
            }
            if begun.is_none() {
                let kind = if byte == IAC { CONTROL } else { DATA };
                *begun = Some(kind);
                self.frames.begin(0, at, None);
                self.frames.begin(kind, at, None);
            }
            let before = command;
            let text = command.take(byte);
            let ends = command == Command::None && (before != Command::None || text == Some(b'\n'));
            if ends && let Some(kind) = begun.take() {
                self.frames.end(0, at + 1);
                self.frames.end(kind, at + 1);
            }
        }
    }

    fn server(&mut self, bytes: &[u8]) {
        let [_, command] = &mut self.command;
        for &byte in bytes {
            if let Some(text) = command.take(byte) {
                if self.text.len() >= TEXT_MAX {
                    self.text.drain(..TEXT_MAX / 2);
                }
                self.text.push(text.to_ascii_lowercase());
            }
        }
        let ends = |words: &[&[u8]]| {
            let end = self.text.trim_ascii_end();
            words.iter().any(|word| end.ends_with(word))
        };
        let says = |words: &[&[u8]]| {
            words
                .iter()
                .any(|word| memchr::memmem::find(&self.text, word).is_some())
        };
        let asks_user = ends(&[
            b"login:",
            b"username:",
            b"user name:",
            b"user:",
            b"account:",
        ]);
        let asks_password = ends(&[b"password:", b"passwd:", b"passcode:"]);
        let refused = says(&[
            b"incorrect",
            b"login failed",
            b"failed login",
            b"authentication fail",
            b"access denied",
            b"bad password",
            b"invalid password",
            b"login invalid",
            b"not authorized",
        ]);
        let before = self.stage;
        self.stage = match (before, refused, asks_user, asks_password) {
            (Stage::PasswordSent, refused, user, password) if refused || user || password => {
                self.notes.login(Login::Failed);
                if password {
                    Stage::AsksPassword
                } else {
                    Stage::Idle
                }
            }
            (Stage::PasswordSent, ..)
                if ends(&[b"$", b"#", b">", b"%"]) || says(&[b"last login", b"welcome"]) =>
            {
                self.notes.login(Login::Succeeded);
                Stage::Inside
            }
            (Stage::Idle, _, _, true) => Stage::AsksPassword,
            _ => before,
        };
        if self.stage != before {
            self.text.clear();
        }
    }

    fn client(&mut self, bytes: &[u8]) {
        let [command, _] = &mut self.command;
        let mut spoke = false;
        for &byte in bytes {
            spoke |= matches!(command.take(byte), Some(b'\r' | b'\n'));
        }
        if spoke {
            if self.stage == Stage::AsksPassword {
                self.stage = Stage::PasswordSent;
            }
            self.text.clear();
        }
    }
}

impl Session for TelnetSession {
    session_members!(frames);

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if self.frames.wanted {
            self.note_frames(direction, input.bytes);
        }
        match direction {
            Direction::ToServer => self.client(input.bytes),
            Direction::ToClient => self.server(input.bytes),
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

    use super::*;
    use crate::app::feed::{Feed, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    fn notes(exchange: &[(Direction, &[u8])]) -> Vec<Note> {
        let mut feed = Feed::new(&TELNET, 6, 23);
        for (direction, bytes) in exchange {
            feed.pieces(*direction, bytes, 1);
        }
        std::iter::from_fn(|| feed.session.take_note()).collect()
    }

    #[test]
    fn a_refused_and_an_accepted_login() {
        let said = notes(&[
            (
                ToClient,
                b"\xff\xfd\x18\xff\xfa\x18\x01\xff\xf0Ubuntu\r\nhost login: ",
            ),
            (ToServer, b"joe\r\n"),
            (ToClient, b"joe\r\nPassword: "),
            (ToServer, b"wrong\r\n"),
            (ToClient, b"\r\nLogin incorrect\r\nhost login: "),
            (ToServer, b"joe\r\n"),
            (ToClient, b"Password: "),
            (ToServer, b"right\r\0"),
            (ToClient, b"\r\nLast login: today\r\njoe@host:~$ "),
            (ToServer, b"ls\r\n"),
            (ToClient, b"password: incorrect$ "),
        ]);
        assert_eq!(
            said,
            [Note::Login(Login::Failed), Note::Login(Login::Succeeded)]
        );
    }

    #[test]
    fn a_banner_that_says_password_is_no_login() {
        assert!(notes(&[(ToClient, b"the password is incorrect$ ")]).is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
            survives(&TELNET, 6, 23, &pieces);
        }
    }
}
