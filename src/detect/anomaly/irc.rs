//! Lines of IRC, as far as bots differ from people: nicknames, channels, and what is said in them.
//!
//! Pure functions of a payload; no more than [`LINES`] lines of it. Source: RFC 2812 §3.1 to §3.3.

use super::first_bytes::hash;

/// Lines of a payload that are read.
pub const LINES: usize = 32;

/// A line that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Line {
    /// The client takes an ordinary nickname.
    Nick = 1,
    /// The client takes a nickname that looks made by a machine.
    MadeNick = 2,
    /// The client joins a channel (subject: the channel).
    Join = 3,
    /// The client says something.
    Said = 4,
    /// Somebody says something in a channel or to the client.
    Heard = 5,
    /// Somebody gives an order of the kind that bots obey, or a topic holds one.
    Order = 6,
}

impl Line {
    /// By its number in a record.
    pub fn from_number(number: u32) -> Option<Self> {
        [
            Self::Nick,
            Self::MadeNick,
            Self::Join,
            Self::Said,
            Self::Heard,
            Self::Order,
        ]
        .into_iter()
        .find(|line| *line as u32 == number)
    }
}

/// Whether a client's first payload is IRC.
pub fn is_client(bytes: &[u8]) -> bool {
    const VERBS: [&[u8]; 4] = [b"NICK ", b"CAP LS", b"CAP REQ", b"PASS "];
    let irc = VERBS.iter().any(|verb| starts(bytes, verb));
    // `USER a b c :d` has four words; FTP and POP have one.
    let user = starts(bytes, b"USER ")
        && bytes
            .split(|b| *b == b'\n')
            .next()
            .is_some_and(|l| l.iter().filter(|b| **b == b' ').count() >= 4);
    // POP and FTP know PASS too, but never first.
    irc && (!starts(bytes, b"PASS ") || memchr::memmem::find(bytes, b"NICK ").is_some()) || user
}

/// The lines of a payload that matter, with the hash of their subject.
pub fn lines(bytes: &[u8], from_client: bool) -> impl Iterator<Item = (Line, u64)> + '_ {
    bytes
        .split(|b| *b == b'\n')
        .take(LINES)
        .filter_map(move |line| read(line.trim_ascii(), from_client))
}

fn read(line: &[u8], from_client: bool) -> Option<(Line, u64)> {
    // A server's line begins with who says it.
    let line = match line.strip_prefix(b":") {
        Some(rest) => rest.get(rest.iter().position(|b| *b == b' ')? + 1..)?,
        None => line,
    };
    let mut words = line.splitn(3, |b| *b == b' ');
    let (verb, subject) = (words.next()?, words.next()?);
    let text = words.next().unwrap_or_default();
    if verb.eq_ignore_ascii_case(b"NICK") && from_client {
        let kind = if is_made(subject) {
            Line::MadeNick
        } else {
            Line::Nick
        };
        return Some((kind, hash(&shape(subject))));
    }
    if verb.eq_ignore_ascii_case(b"JOIN") && from_client {
        return Some((Line::Join, hash(subject)));
    }
    let says = verb.eq_ignore_ascii_case(b"PRIVMSG") || verb.eq_ignore_ascii_case(b"NOTICE");
    let topic = verb == b"332" || verb.eq_ignore_ascii_case(b"TOPIC");
    if says && from_client {
        return Some((Line::Said, hash(subject)));
    }
    if (says || topic) && !from_client {
        let text = memchr::memchr(b':', text).map_or(text, |at| text.get(at + 1..).unwrap_or(text));
        let kind = if is_order(text) {
            Line::Order
        } else {
            Line::Heard
        };
        return Some((kind, hash(subject)));
    }
    None
}

/// Letters become `a`, digits `0`: nicknames of one bot differ in these only.
fn shape(nick: &[u8]) -> Vec<u8> {
    nick.iter()
        .take(32)
        .map(|b| match b {
            b'0'..=b'9' => b'0',
            b if b.is_ascii_alphabetic() => b'a',
            b => *b,
        })
        .collect()
}

/// Four or more digits in a row, or brackets and bars around system names: `[DEU|XP|48213]`, `bot-93415`.
fn is_made(nick: &[u8]) -> bool {
    let mut run = 0;
    let longest = nick.iter().fold(0, |longest, b| {
        run = if b.is_ascii_digit() { run + 1 } else { 0 };
        run.max(longest)
    });
    let bars = nick
        .iter()
        .filter(|b| matches!(b, b'|' | b'[' | b']' | b'{' | b'}'))
        .count();
    longest >= 4 || (bars >= 3 && longest >= 2)
}

/// An order begins with a sign and a verb of attack, scan or download.
fn is_order(text: &[u8]) -> bool {
    const VERBS: [&[u8]; 24] = [
        b"ddos",
        b"syn",
        b"udp",
        b"icmp",
        b"flood",
        b"scan",
        b"advscan",
        b"download",
        b"dl",
        b"update",
        b"wget",
        b"exec",
        b"execute",
        b"shell",
        b"cmd",
        b"spread",
        b"http",
        b"attack",
        b"asc",
        b"keylog",
        b"visit",
        b"login",
        b"join",
        b"die",
    ];
    let text = text.trim_ascii();
    let Some((sign, rest)) = text.split_first() else {
        return false;
    };
    if !matches!(sign, b'.' | b'!' | b'@' | b'$' | b'-' | b'^' | b'*') {
        return false;
    }
    let end = rest
        .iter()
        .position(|b| !b.is_ascii_alphanumeric())
        .unwrap_or(rest.len());
    let verb = rest.get(..end).unwrap_or_default();
    VERBS.iter().any(|known| verb.eq_ignore_ascii_case(known))
}

fn starts(bytes: &[u8], word: &[u8]) -> bool {
    bytes
        .get(..word.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &[u8], client: bool) -> Vec<Line> {
        lines(text, client).map(|(line, _)| line).collect()
    }

    #[test]
    fn a_session_of_irc_is_told_from_mail_and_files() {
        assert!(is_client(b"NICK joe\r\nUSER joe 0 * :Joe\r\n"));
        assert!(is_client(b"USER joe 8 * :Joe Average\r\n"));
        assert!(!is_client(b"USER joe\r\n") && !is_client(b"PASS secret\r\n"));
        assert!(!is_client(b"GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn orders_are_told_from_talk() {
        let heard = |text: &str| kinds(format!(":m!u@h PRIVMSG #c :{text}\r\n").as_bytes(), false);
        assert_eq!(heard(".scan 10.0.0.0 445"), [Line::Order]);
        assert_eq!(heard("!ddos 192.0.2.1 80"), [Line::Order]);
        assert_eq!(heard("did you download it? .exe I mean"), [Line::Heard]);
        assert_eq!(heard("... well"), [Line::Heard]);
        assert_eq!(
            kinds(b":s 332 bot #c :.advscan asn1smb 100\r\n", false),
            [Line::Order]
        );
    }

    #[test]
    fn made_nicknames_share_a_shape() {
        let nick = |name: &str| lines(format!("NICK {name}\r\n").as_bytes(), true).next();
        assert_eq!(nick("[DEU|XP|48213]"), nick("[DEU|XP|10077]"));
        assert_eq!(nick("[DEU|XP|48213]").map(|(l, _)| l), Some(Line::MadeNick));
        assert_eq!(nick("joe_42").map(|(l, _)| l), Some(Line::Nick));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for len in 0..200usize {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 31 + len * 7) as u8).collect();
            lines(&bytes, true).count();
            lines(&bytes, false).count();
        }
    }
}
