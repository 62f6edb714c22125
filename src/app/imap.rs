//! IMAP (RFC 9051): recognised by greeting and capability, followed as far as logins and STARTTLS go.
//!
//! There are no transactions: rules look at the stream. `LOGIN` and `AUTHENTICATE` are remembered by their tag until
//! the tagged answer tells how they ended. Limits: 1 KiB of a line, 8 open commands, tags of 32 bytes; literals
//! (RFC 9051 §4.3) are passed over by their length.

use super::line::Lines;
use super::tx::session_members;
use super::{
    AppProto, FlowInfo, Input, Limits, Login, NoTransaction, Note, Notes, Parsed, Pattern, Probe,
    Protocol, Rides, Session, Transaction, TxStore, registry,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// IMAP.
#[derive(Debug)]
pub struct Imap;

/// IMAP.
pub static IMAP: Imap = Imap;

const LINE_MAX: usize = 1024;
const OPEN_MAX: usize = 8;
const TAG_MAX: usize = 32;

const fn pattern(bytes: &'static [u8], depth: u16, direction: Direction) -> Pattern {
    Pattern {
        bytes,
        nocase: true,
        offset: 0,
        depth,
        direction,
    }
}

static PATTERNS: &[Pattern] = &[
    pattern(b"* OK ", 5, Direction::ToClient),
    pattern(b"* NO ", 5, Direction::ToClient),
    pattern(b"* BAD ", 6, Direction::ToClient),
    pattern(b"* LIST ", 7, Direction::ToClient),
    pattern(b"* ESEARCH ", 10, Direction::ToClient),
    pattern(b"* STATUS ", 9, Direction::ToClient),
    pattern(b"* FLAGS ", 8, Direction::ToClient),
    // A tag of a few letters, then the command most clients begin with.
    pattern(b" CAPABILITY", 17, Direction::ToServer),
];

impl Protocol for Imap {
    fn name(&self) -> &'static str {
        "imap"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn probe(&self, _direction: Direction, _bytes: &[u8], _key: &FlowKey) -> Probe {
        Probe::NotMine
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(ImapSession::default())
    }

    fn states(&self, _direction: Direction) -> &'static [&'static str] {
        &["started", "complete"]
    }

    fn log(&self, _session: &dyn Session, _tx: &dyn Transaction, _json: &mut Json<'_>) {}

    fn tells_logins(&self) -> bool {
        true
    }
}

/// What a tag stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Login,
    StartTls,
}

/// The state of one flow.
#[derive(Debug, Default)]
struct ImapSession {
    txs: TxStore<NoTransaction>,
    notes: Notes,
    /// Open commands by their tag.
    open: Vec<(Vec<u8>, Command)>,
    /// Per direction: the rest of a long line is passed over.
    skipping: [bool; 2],
    /// Per direction: bytes of a literal still to pass over.
    literal: [u64; 2],
}

impl ImapSession {
    fn command(&mut self, line: &[u8]) {
        let mut words = line.split(|b| *b == b' ');
        let (Some(tag), Some(verb)) = (words.next(), words.next()) else {
            return;
        };
        let command =
            if verb.eq_ignore_ascii_case(b"LOGIN") || verb.eq_ignore_ascii_case(b"AUTHENTICATE") {
                Command::Login
            } else if verb.eq_ignore_ascii_case(b"STARTTLS") {
                Command::StartTls
            } else {
                return;
            };
        if tag.is_empty() || tag.len() > TAG_MAX {
            return;
        }
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push((tag.to_vec(), command));
    }

    /// Says whether TLS follows.
    fn answer(&mut self, line: &[u8]) -> bool {
        let mut words = line.split(|b| *b == b' ');
        let (Some(tag), Some(status)) = (words.next(), words.next()) else {
            return false;
        };
        let Some(at) = self.open.iter().position(|(open, _)| open == tag) else {
            return false;
        };
        let accepted = status.eq_ignore_ascii_case(b"OK");
        let (_, command) = self.open.remove(at);
        match command {
            Command::StartTls => return accepted,
            Command::Login if accepted => self.notes.login(Login::Succeeded),
            // BAD is a mistake of the client's program, NO a refusal (RFC 9051 §7.1).
            Command::Login if status.eq_ignore_ascii_case(b"NO") => {
                self.notes.login(Login::Failed);
            }
            Command::Login => {}
        }
        false
    }
}

/// Length of the literal that a line announces at its end: `{12}` or `{12+}`.
fn literal_len(line: &[u8]) -> u64 {
    let Some(rest) = line.strip_suffix(b"}") else {
        return 0;
    };
    let rest = rest.strip_suffix(b"+").unwrap_or(rest);
    let digits = rest.rsplit(|b| *b == b'{').next().unwrap_or_default();
    if digits.is_empty() || digits.len() > 12 || digits.len() == rest.len() {
        return 0;
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

impl Session for ImapSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        let d = direction.index();
        let (Some(mut skipping), Some(mut literal)) =
            (self.skipping.get(d).copied(), self.literal.get(d).copied())
        else {
            return Parsed::Error;
        };
        if input.gap > 0 {
            if literal >= input.gap {
                literal -= input.gap;
            } else {
                (literal, skipping) = (0, true);
            }
        }
        let mut lines = Lines::new(input.bytes, LINE_MAX);
        let mut switch = false;
        loop {
            if literal > 0 {
                let len = lines
                    .rest()
                    .len()
                    .min(usize::try_from(literal).unwrap_or(usize::MAX));
                literal -= lines.take(len).len() as u64;
                if literal > 0 {
                    break;
                }
            }
            let Some(line) = lines.next(&mut skipping) else {
                break;
            };
            literal = literal_len(line.text);
            match direction {
                Direction::ToServer => self.command(line.text),
                Direction::ToClient => switch |= self.answer(line.text),
            }
            if switch {
                break;
            }
        }
        if let (Some(kept), Some(left)) = (self.skipping.get_mut(d), self.literal.get_mut(d)) {
            (*kept, *left) = (skipping, literal);
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

    use super::*;
    use crate::app::feed::{Feed, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    fn notes(exchange: &[(Direction, &[u8])], size: usize) -> Vec<Note> {
        let mut feed = Feed::new(&IMAP, 6, 143);
        let mut all = Vec::new();
        for (direction, bytes) in exchange {
            feed.pieces(*direction, bytes, size);
            while let Some(note) = feed.session.take_note() {
                all.push(note);
            }
        }
        all
    }

    #[test]
    fn logins_end_with_their_tagged_answer_however_the_bytes_come() {
        let exchange: &[(Direction, &[u8])] = &[
            (ToClient, b"* OK ready\r\n"),
            (ToServer, b"a1 LOGIN joe wrong\r\n"),
            (
                ToClient,
                b"* CAPABILITY IMAP4rev1\r\na1 NO [AUTHENTICATIONFAILED] no\r\n",
            ),
            (ToServer, b"a2 LOGIN {3}\r\njoe {4}\r\na3 X\r\n"),
            (ToClient, b"+ go\r\na2 OK logged in\r\n"),
        ];
        let expected = [Note::Login(Login::Failed), Note::Login(Login::Succeeded)];
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(notes(exchange, size), expected, "{size}");
        }
    }

    #[test]
    fn starttls_hands_over() {
        let mut feed = Feed::new(&IMAP, 6, 143);
        feed.give(ToServer, b"a STARTTLS\r\n");
        assert!(matches!(
            feed.give(ToClient, b"a OK begin\r\n\x16\x03"),
            Parsed::Switch { consumed: 12, .. }
        ));
    }

    #[test]
    fn an_answer_without_a_command_tells_nothing() {
        assert!(notes(&[(ToClient, b"a1 OK x\r\na2 NO y\r\n")], 100).is_empty());
        assert_eq!(literal_len(b"x {99999999999999999}"), 0);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
            survives(&IMAP, 6, 143, &pieces);
        }
    }
}
