//! A mail: who sends it to whom, its message, and how it was answered.

use std::sync::Arc;

use super::mime::Mime;
use crate::alert::Json;
use crate::app::{Files, Transaction, TxState, transaction_members};
use crate::packet::Direction;

/// How far a direction has come: the progress values of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    #[default]
    Started = 0,
    Data = 1,
    Complete = 2,
}

/// A mail.
#[derive(Debug)]
pub(super) struct SmtpTx {
    pub state: TxState,
    pub client: State,
    pub server: State,
    /// What the client calls itself: the connection's, shared.
    pub helo: Option<Arc<[u8]>>,
    pub sender: Option<Vec<u8>>,
    pub recipients: Vec<Vec<u8>>,
    pub mime: Option<Box<Mime>>,
    pub files: Files,
    pub inline: bool,
}

impl SmtpTx {
    pub fn new(helo: Option<Arc<[u8]>>, inline: bool) -> Self {
        Self {
            state: TxState::default(),
            client: State::Started,
            server: State::Started,
            helo,
            sender: None,
            recipients: Vec::new(),
            mime: None,
            files: Files::default(),
            inline,
        }
    }

    /// Called before more is taken: what detection has seen of files need not be shown again.
    pub fn note_inspection(&mut self) {
        let [updated, _] = self.state.updated;
        if !updated {
            self.files.note_inspection(false, self.inline);
        }
    }

    /// Writes `smtp` and `email`.
    pub fn log(&self, json: &mut Json<'_>) {
        json.object("smtp");
        if let Some(helo) = &self.helo {
            json.str("helo", helo);
        }
        if let Some(sender) = &self.sender {
            json.str("mail_from", sender);
        }
        list(json, "rcpt_to", &self.recipients);
        json.end();
        let Some(mime) = &self.mime else { return };
        json.object("email");
        if let Some(from) = mime.header("from", 0) {
            json.str("from", from);
        }
        for name in ["to", "cc"] {
            if let Some(value) = mime.header(name, 0) {
                list(json, name, &addresses(value));
            }
        }
        json.str("status", "PARSE_DONE");
        list(json, "attachment", &mime.attachments);
        let urls: Vec<&[u8]> = mime.urls.iter().rev().map(Vec::as_slice).collect();
        list(json, "url", &urls);
        json.end();
    }
}

fn list(json: &mut Json<'_>, name: &str, values: &[impl AsRef<[u8]>]) {
    if values.is_empty() {
        return;
    }
    json.array(name);
    for value in values {
        json.text(value);
    }
    json.end_array();
}

/// Addresses between commas that are not in quotation marks, without the white space before them.
fn addresses(value: &[u8]) -> Vec<&[u8]> {
    let mut quoted = false;
    value
        .split(|b| {
            quoted ^= *b == b'"';
            *b == b',' && !quoted
        })
        .map(|address| {
            let begin = address
                .iter()
                .position(|b| !matches!(b, b' ' | b'\t'))
                .unwrap_or(address.len());
            address.get(begin..).unwrap_or_default()
        })
        .filter(|address| !address.is_empty())
        .collect()
}

impl Transaction for SmtpTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        match direction {
            Direction::ToServer => self.client as u8,
            Direction::ToClient => self.server as u8,
        }
    }
    fn files(&self, direction: Direction) -> Option<&Files> {
        (direction == Direction::ToServer).then_some(&self.files)
    }
    fn files_mut(&mut self, direction: Direction) -> Option<&mut Files> {
        (direction == Direction::ToServer).then_some(&mut self.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotation_marks_do_not_part_addresses() {
        let expected: Vec<&[u8]> = vec![b"\"B, A\" <a@x>", b"c@y"];
        assert_eq!(addresses(b" \"B, A\" <a@x>,\tc@y, "), expected);
    }
}
