//! The dialogue of an SMTP connection: which command a line is, which reply answers it, when a mail begins and ends.
//!
//! Commands wait in a queue for their replies, each with the mail it belongs to, so that pipelining (RFC 2920) and
//! chunking (RFC 3030) find their way. As in Suricata, EHLO in the middle resets like RSET, and after DATA the lines
//! are a message as soon as the server said so, or at once when it announced pipelining.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event;
use super::mime::fault;
use super::tx::{SmtpTx, State};
use crate::app::line::Lines;
use crate::app::{
    FileLimits, FlowInfo, FrameNotes, Input, Limits, Parsed, Session, TxList, TxStore, registry,
};
use crate::packet::Direction;

/// Bytes of a command, reply or header line that are kept.
const LINE_MAX: usize = 4096;

/// Commands that wait for a reply. Who sends more without waiting is not understood any more.
const COMMANDS_MAX: usize = 4096;

/// Bytes of recipients that a mail keeps.
const RECIPIENTS_MAX: usize = 64 * 1024;

/// Reply codes that a server may send (RFC 5321 §4.2.3 and the registry).
const CODES: &[u16] = &[
    211, 214, 220, 221, 235, 250, 251, 252, 334, 354, 401, 402, 421, 435, 450, 451, 452, 454, 455,
    500, 501, 502, 503, 504, 511, 521, 522, 525, 530, 534, 535, 541, 543, 550, 551, 552, 553, 554,
    555,
];

/// A command, as far as the dialogue depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Command {
    StartTls,
    Data,
    Bdat,
    BdatLast,
    /// Not a command: the end of a message, which is answered too.
    Message,
    #[default]
    Other,
    Rset,
    Quit,
}

/// The line contradicts the protocol beyond repair.
struct Broken;

/// The state of a connection.
#[derive(Debug, Default)]
pub(super) struct SmtpSession {
    txs: TxStore<SmtpTx>,
    /// The newest mail, by its number.
    current: Option<u64>,
    /// What the client calls itself.
    helo: Option<Arc<[u8]>>,
    /// Commands without a reply, each with its mail.
    waiting: VecDeque<(Command, Option<u64>)>,
    command: Command,
    /// What the client sends is a message (or belongs to TLS).
    data_mode: bool,
    welcomed: bool,
    /// A reply of several lines has begun.
    multiline: bool,
    pipelining: bool,
    chunk_len: u64,
    chunk_taken: u64,
    /// What chunks gave of a line of the message that is not complete; at most [`LINE_MAX`] bytes.
    chunk_line: Vec<u8>,
    /// Per direction: the rest of a cut line is passed over.
    skipping: [bool; 2],
    file: FileLimits,
    file_id: u32,
    /// Frames noted.
    frames: FrameNotes,
}

impl SmtpSession {
    pub fn new(limits: &Limits) -> Self {
        Self {
            file: limits.file(),
            ..Self::default()
        }
    }

    fn tx(&mut self) -> Option<&mut SmtpTx> {
        self.txs.by_id(self.current?)
    }

    fn raise(&mut self, event: u8) {
        if let Some(tx) = self.tx() {
            tx.state.raise(event);
        }
    }

    fn in_message(&self) -> bool {
        self.data_mode
            && matches!(
                self.command,
                Command::Data | Command::Bdat | Command::BdatLast
            )
    }

    fn requests(&mut self, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        let mut lines = Lines::new(input.bytes, LINE_MAX);
        let [mut skipping, _] = self.skipping;
        loop {
            if self.in_message() && !skipping {
                if matches!(self.command, Command::Bdat | Command::BdatLast) {
                    if lines.rest().is_empty() {
                        break;
                    }
                    self.chunk(&mut lines);
                    continue;
                }
                if self
                    .tx()
                    .and_then(|tx| tx.mime.as_ref())
                    .is_some_and(|mime| mime.in_body())
                {
                    let Some((text, end)) = body_line(lines.rest(), input.end) else {
                        break;
                    };
                    let at = lines.consumed();
                    let (text, end) = (lines.take(text), lines.take(end));
                    self.frames
                        .note(1, at, text.len() + end.len(), self.current);
                    self.message_line(text, end);
                    continue;
                }
            }
            let before = lines.rest();
            let Some(line) = lines.next(&mut skipping) else {
                break;
            };
            let taken = before.len() - lines.rest().len();
            let end = if line.cut {
                &[]
            } else {
                before.get(line.text.len()..taken).unwrap_or_default()
            };
            let (is_line, at) = (!self.in_message(), lines.consumed() - taken);
            let outcome = self.request(line.text, end, flow);
            if is_line {
                let len = line.text.len() + end.len();
                self.frames.note(0, at, len, self.current);
            } else {
                self.frames.note(1, at, taken, self.current);
            }
            if outcome.is_err() {
                return Parsed::Error;
            }
            if line.cut {
                self.raise(event::TRUNCATED_LINE);
            }
        }
        let [kept, _] = &mut self.skipping;
        *kept = skipping;
        rest(&lines, input)
    }

    /// A line of the client.
    fn request(&mut self, text: &[u8], end: &[u8], flow: &FlowInfo) -> Result<(), Broken> {
        // RSET and QUIT belong to the mail there is.
        let closes = !self.data_mode && (begins(text, "rset") || begins(text, "quit"));
        let total = self.txs.total();
        let begins_mail = match self.tx() {
            None => total == 0 || !closes,
            Some(tx) => tx.client == State::Complete && !closes,
        };
        if begins_mail {
            let mut tx = SmtpTx::new(self.helo.clone(), flow.inline);
            tx.state.touch(Direction::ToServer);
            self.current = Some(self.txs.push(tx).state.id);
        }
        if let Some(tx) = self.tx() {
            tx.state.touch(Direction::ToServer);
        }
        if !self.welcomed {
            self.raise(event::NO_SERVER_WELCOME_MESSAGE);
        }
        if self.data_mode {
            if self.command == Command::Data {
                self.message_line(text, end);
            }
            return Ok(());
        }
        let known = self.tx().is_some();
        self.command = if !known {
            if begins(text, "rset") {
                self.reset()
            } else {
                Command::Quit
            }
        } else if begins(text, "starttls") {
            Command::StartTls
        } else if begins(text, "data") {
            self.command = Command::Data;
            if !self.data() {
                return Ok(());
            }
            Command::Data
        } else if begins(text, "bdat") {
            self.bdat(text)
        } else if begins(text, "helo") || begins(text, "ehlo") {
            self.hello(text)
        } else if begins(text, "mail from") {
            self.sender(text);
            Command::Other
        } else if begins(text, "rcpt to") {
            self.recipient(text);
            Command::Other
        } else if begins(text, "rset") {
            self.reset()
        } else if begins(text, "quit") {
            Command::Quit
        } else {
            Command::Other
        };
        self.expect_reply(self.command)
    }

    fn reset(&mut self) -> Command {
        self.chunk_taken = 0;
        self.chunk_line.clear();
        Command::Rset
    }

    /// Puts a command into the queue. After STARTTLS and DATA the client has to wait (RFC 2920 §3.1).
    fn expect_reply(&mut self, command: Command) -> Result<(), Broken> {
        if matches!(
            self.waiting.back(),
            Some((Command::StartTls | Command::Data, _))
        ) {
            self.raise(event::INVALID_PIPELINED_SEQUENCE);
        }
        if self.waiting.len() >= COMMANDS_MAX {
            return Err(Broken);
        }
        let owner = self.tx().map(|tx| tx.state.id);
        self.waiting.push_back((command, owner));
        Ok(())
    }

    /// DATA. Answers whether it is the first of its mail.
    fn data(&mut self) -> bool {
        let pipelining = self.pipelining;
        let Some(tx) = self.tx() else { return true };
        tx.client = tx.client.max(State::Data);
        if tx.mime.is_some() {
            tx.state.raise(event::UNPARSABLE_CONTENT);
            return false;
        }
        tx.mime = Some(Box::default());
        self.data_mode |= pipelining;
        true
    }

    /// `BDAT size [LAST]` (RFC 3030 §2).
    fn bdat(&mut self, text: &[u8]) -> Command {
        let mut words = text
            .get(4..)
            .unwrap_or_default()
            .split(|b| *b == b' ')
            .filter(|word| !word.is_empty());
        let size = words.next().filter(|_| text.get(4) == Some(&b' '));
        let size = size.and_then(|word| std::str::from_utf8(word).ok()?.parse::<u32>().ok());
        let last = words.next();
        let last_is_right =
            last.is_none_or(|word| word.eq_ignore_ascii_case(b"last")) && words.next().is_none();
        let Some(size) = size.filter(|_| last_is_right) else {
            self.raise(event::INVALID_BDAT);
            return Command::Other;
        };
        (self.chunk_len, self.chunk_taken) = (size.into(), 0);
        if size == 0 && last.is_some() {
            self.chunk_message(&[], true);
        }
        self.data_mode |= size > 0;
        if let Some(tx) = self.tx() {
            tx.client = tx.client.max(if size == 0 && last.is_some() {
                State::Complete
            } else {
                State::Data
            });
        }
        if last.is_some() {
            Command::BdatLast
        } else {
            Command::Bdat
        }
    }

    /// Bytes of a chunk: they are counted, and their lines, which know no dot at the end, are the message.
    fn chunk(&mut self, lines: &mut Lines<'_>) {
        let left = self.chunk_len.saturating_sub(self.chunk_taken);
        let bytes = lines.take(usize::try_from(left).unwrap_or(usize::MAX));
        let taken = bytes.len();
        self.chunk_taken = self.chunk_taken.saturating_add(taken as u64);
        let last = self.command == Command::BdatLast && self.chunk_taken >= self.chunk_len;
        self.chunk_message(bytes, last);
        if self.chunk_taken < self.chunk_len {
            return;
        }
        self.data_mode = false;
        if let Some(tx) = self.tx().filter(|_| taken > 0) {
            tx.state.touch(Direction::ToServer);
            if last {
                tx.client = State::Complete;
            }
        }
    }

    /// Gives the message what a chunk brings of it; `last`: it ends with these bytes.
    fn chunk_message(&mut self, bytes: &[u8], last: bool) {
        let mut line = std::mem::take(&mut self.chunk_line);
        let limits = self.file;
        if let Some(tx) = self.tx() {
            tx.note_inspection();
            let mime = tx.mime.get_or_insert_default();
            let mut faults = 0;
            let mut rest = bytes;
            while !rest.is_empty() {
                // Pieces, so that what waits for the end of its line stays bounded.
                let (piece, after) = rest.split_at(rest.len().min(LINE_MAX));
                rest = after;
                line.extend_from_slice(piece);
                let mut read = 0;
                while let Some(unread) = line.get(read..).filter(|unread| !unread.is_empty())
                    && let Some((text, end)) = body_line(unread, last && rest.is_empty())
                {
                    let (text, more) = unread.split_at(text);
                    let end = more.get(..end).unwrap_or_default();
                    faults |= mime.line(text, end, &mut tx.files, limits);
                    read += text.len() + end.len();
                }
                line.drain(..read.min(line.len()));
            }
            if last {
                if !line.is_empty() {
                    faults |= mime.line(&line, b"", &mut tx.files, limits);
                }
                mime.complete(&mut tx.files);
            }
            tx.raise_faults(faults);
        }
        if last {
            line.clear();
            self.file_id = self.file_id.wrapping_add(1);
        }
        self.chunk_line = line;
    }

    fn hello(&mut self, text: &[u8]) -> Command {
        if self.helo.is_some() {
            self.raise(event::DUPLICATE_FIELDS);
        } else {
            let name: Arc<[u8]> = argument(text, 4).into();
            self.helo = Some(name.clone());
            for tx in self.txs.iter_mut() {
                tx.helo = Some(name.clone());
            }
        }
        // RFC 5321 §4.1.4: in the middle of a mail it resets.
        let begun = self.tx().is_some_and(|tx| {
            tx.sender.is_some() || !tx.recipients.is_empty() || tx.client != State::Started
        });
        if begun { self.reset() } else { Command::Other }
    }

    fn sender(&mut self, text: &[u8]) {
        let Some(tx) = self.tx() else { return };
        if tx.sender.is_some() {
            return tx.state.raise(event::DUPLICATE_FIELDS);
        }
        tx.sender = Some(argument(text, 9).to_vec());
    }

    fn recipient(&mut self, text: &[u8]) {
        let Some(tx) = self.tx() else { return };
        let recipient = argument(text, 7);
        let kept: usize = tx
            .recipients
            .iter()
            .map(|r| r.len() + size_of::<Vec<u8>>())
            .sum();
        if kept + recipient.len() <= RECIPIENTS_MAX {
            tx.recipients.push(recipient.to_vec());
        }
    }

    /// A line of the message.
    fn message_line(&mut self, text: &[u8], end: &[u8]) {
        let (limits, file_id) = (self.file, self.file_id);
        let over = text == b".";
        let Some(tx) = self.tx() else {
            self.data_mode &= !over;
            return;
        };
        tx.note_inspection();
        tx.state.touch(Direction::ToServer);
        if let Some(mime) = &mut tx.mime {
            if over {
                mime.complete(&mut tx.files);
            } else {
                let faults = mime.line(text, end, &mut tx.files, limits);
                tx.raise_faults(faults);
            }
        }
        if over {
            tx.client = State::Complete;
            self.file_id = file_id.wrapping_add(1);
            self.data_mode = false;
            // The server answers the message: that is no command, but it waits for a reply like one. A full queue only
            // loses this reply.
            let _ = self.expect_reply(Command::Message);
        }
    }

    fn replies(&mut self, input: Input<'_>) -> Parsed {
        let mut lines = Lines::new(input.bytes, LINE_MAX);
        let [_, mut skipping] = self.skipping;
        loop {
            let before = lines.consumed();
            let Some(line) = lines.next(&mut skipping) else {
                break;
            };
            let owner = self
                .waiting
                .front()
                .map_or(self.current, |(_, owner)| *owner);
            let taken = lines.consumed() - before;
            self.frames.note(2, before, taken, owner);
            // An overlong line is no reason to give up: it is told, and passed over when it is no reply.
            if line.cut {
                self.raise(event::TRUNCATED_LINE);
                if code(line.text).is_none() {
                    continue;
                }
            }
            let upgrade = match self.reply(line.text) {
                Ok(upgrade) => upgrade,
                Err(Broken) => return Parsed::Error,
            };
            if upgrade {
                return Parsed::Switch {
                    consumed: lines.consumed(),
                    to: Some(registry::number("tls")),
                };
            }
        }
        let [_, kept] = &mut self.skipping;
        *kept = skipping;
        rest(&lines, input)
    }

    /// A line of the server. Answers whether TLS begins.
    fn reply(&mut self, text: &[u8]) -> Result<bool, Broken> {
        if text.is_empty() && !self.welcomed {
            return Ok(false);
        }
        let (command, owner) = match self.waiting.front() {
            Some((command, owner)) => (Some(*command), *owner),
            None => (None, self.current),
        };
        if let Some(tx) = owner.and_then(|id| self.txs.by_id(id)) {
            tx.state.touch(Direction::ToClient);
        }
        let Some(code) = code(text) else {
            self.raise(event::INVALID_REPLY);
            return Err(Broken);
        };
        self.multiline = text.get(3) == Some(&b'-');
        let last = !self.multiline;
        let Some(command) = command else {
            if !self.welcomed {
                self.welcomed = last;
                if code != 220 {
                    self.raise(event::INVALID_REPLY);
                }
            }
            return Ok(false);
        };
        let mut upgrade = false;
        match (command, code) {
            (Command::StartTls, 220) => {
                self.data_mode = true;
                upgrade = last;
                self.complete(owner);
            }
            (Command::StartTls, _) => self.raise(event::TLS_REJECTED),
            (Command::Data, 354) => {
                self.answer(owner, State::Data);
                self.data_mode = true;
            }
            (Command::Data, _) => {
                self.data_mode &= !self.pipelining;
                self.raise(event::DATA_COMMAND_REJECTED);
            }
            (Command::Bdat, _) => self.answer(owner, State::Data),
            (Command::BdatLast | Command::Message, _) if last => {
                self.answer(owner, State::Complete)
            }
            (Command::Rset, 250) | (Command::Quit, 221) if last => self.complete(owner),
            _ => {}
        }
        if last {
            self.waiting.pop_front();
        } else if self.welcomed
            && code == 250
            && text
                .get(4..)
                .is_some_and(|t| t.eq_ignore_ascii_case(b"pipelining"))
        {
            self.pipelining = true;
        }
        Ok(upgrade)
    }

    fn answer(&mut self, owner: Option<u64>, state: State) {
        if let Some(tx) = owner.and_then(|id| self.txs.by_id(id)) {
            tx.server = tx.server.max(state);
        }
    }

    fn complete(&mut self, owner: Option<u64>) {
        if let Some(tx) = owner.and_then(|id| self.txs.by_id(id)) {
            (tx.client, tx.server) = (State::Complete, State::Complete);
            tx.state.touch(Direction::ToServer);
        }
    }
}

impl SmtpTx {
    fn raise_faults(&mut self, faults: u16) {
        if faults == 0 {
            return;
        }
        let events = [
            (fault::BASE64, event::MIME_INVALID_BASE64),
            (fault::QUOTED_PRINTABLE, event::MIME_INVALID_QP),
            (fault::LONG_LINE, event::MIME_LONG_LINE),
            (fault::LONG_ENCODED_LINE, event::MIME_LONG_ENC_LINE),
            (fault::LONG_HEADER_NAME, event::MIME_LONG_HEADER_NAME),
            (fault::LONG_HEADER_VALUE, event::MIME_LONG_HEADER_VALUE),
            (fault::LONG_BOUNDARY, event::MIME_LONG_BOUNDARY),
            (fault::LONG_FILE_NAME, event::MIME_LONG_FILENAME),
        ];
        for (_, event) in events.iter().filter(|(bit, _)| faults & bit != 0) {
            self.state.raise(*event);
        }
    }
}

impl Session for SmtpSession {
    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if input.gap > 0 {
            return Parsed::Error;
        }
        match direction {
            Direction::ToServer => self.requests(input, flow),
            Direction::ToClient => self.replies(input),
        }
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }

    fn transactions(&self) -> &dyn TxList {
        &self.txs
    }

    fn transactions_mut(&mut self) -> &mut dyn TxList {
        &mut self.txs
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// What a parser of lines answers at the end of its input.
fn rest(lines: &Lines<'_>, input: Input<'_>) -> Parsed {
    if lines.rest().is_empty() || input.end {
        Parsed::All
    } else {
        Parsed::NeedMore {
            consumed: lines.consumed(),
            needed: 1,
        }
    }
}

/// Whether a line begins with a word, in any case.
fn begins(text: &[u8], word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|front| front.eq_ignore_ascii_case(word.as_bytes()))
}

/// The word after `prefix` bytes and a separator; what follows a space are options.
fn argument(text: &[u8], prefix: usize) -> &[u8] {
    let rest = text.get(prefix + 1..).unwrap_or_default();
    rest.split(|b| *b == b' ')
        .find(|word| !word.is_empty())
        .unwrap_or_default()
}

/// The code at the front of a reply, when it is one.
fn code(text: &[u8]) -> Option<u16> {
    let code = std::str::from_utf8(text.get(..3)?).ok()?.parse().ok()?;
    CODES.contains(&code).then_some(code)
}

/// Lengths of the next line of a body and of its end. A carriage return alone ends one too; a line longer than the
/// bound is given in pieces.
fn body_line(bytes: &[u8], last: bool) -> Option<(usize, usize)> {
    let window = bytes.get(..LINE_MAX).unwrap_or(bytes);
    match memchr::memchr2(b'\r', b'\n', window) {
        Some(at) => match bytes.get(at..) {
            Some([b'\r', b'\n', ..]) => Some((at, 2)),
            Some([b'\r']) if !last => None,
            _ => Some((at, 1)),
        },
        None if bytes.len() >= LINE_MAX => Some((LINE_MAX, 0)),
        None => None,
    }
}
