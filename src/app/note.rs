//! What a parser tells the behavioural detectors: logins and their outcome, requests and how long they waited.
//!
//! A [`Notes`] is kept by sessions of protocols that log in or answer requests; the application layer takes the notes
//! after each piece of input. Limits: [`NOTES_MAX`] notes between two takings, [`OPEN_MAX`] open requests whose time is
//! kept; what is beyond them is not told.

use std::collections::VecDeque;

use crate::packet::Timestamp;

/// Notes kept until they are taken.
pub const NOTES_MAX: usize = 32;
/// A certificate that lasts longer than this, in seconds, is nothing to tell: 30 days.
pub const CERTIFICATE_SECS: u64 = 30 * 86_400;
/// Requests of a flow whose beginning is remembered (pipelining; most protocols have one).
const OPEN_MAX: usize = 64;

/// Outcome of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Refused.
    Failed,
    /// Accepted.
    Succeeded,
    /// Tried; the protocol does not show the answer.
    Tried,
}

/// One thing worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A login and its outcome.
    Login(Login),
    /// A message of DHCP.
    Dhcp {
        /// Type of message (RFC 2132 §9.6).
        kind: u8,
        /// Address of the server that speaks (option 54), or 0.
        server: u32,
        /// First router it hands out (option 3), or 0.
        router: u32,
    },
    /// The server's certificate has ended, or ends within [`CERTIFICATE_SECS`]: when, in seconds since the epoch.
    Certificate(u64),
    /// The client asked, and waits.
    Asked,
    /// The server answered the oldest open request.
    Replied {
        /// Microseconds between request and answer.
        micros: u64,
        /// Whether it was refused or failed.
        failed: bool,
    },
}

/// Notes of a session, and its open requests.
#[derive(Debug, Default)]
pub struct Notes {
    list: VecDeque<Note>,
    open: VecDeque<Timestamp>,
}

impl Notes {
    /// Adds a note.
    pub fn push(&mut self, note: Note) {
        if self.list.len() < NOTES_MAX {
            self.list.push_back(note);
        }
    }

    /// A login came to an end.
    pub fn login(&mut self, outcome: Login) {
        self.push(Note::Login(outcome));
    }

    /// A request arrived.
    pub fn asked(&mut self, now: Timestamp) {
        if self.open.len() < OPEN_MAX {
            self.open.push_back(now);
            self.push(Note::Asked);
        }
    }

    /// The oldest open request is answered; nothing when none is open.
    pub fn replied(&mut self, now: Timestamp, failed: bool) {
        if let Some(since) = self.open.pop_front() {
            let micros = now.since(since) / 1_000;
            self.push(Note::Replied { micros, failed });
        }
    }

    /// Nothing is open any more: whatever was asked counts as answered.
    pub fn idle(&mut self, now: Timestamp, failed: bool) {
        while !self.open.is_empty() {
            self.replied(now, failed);
        }
    }

    /// The oldest note not yet taken.
    pub fn take(&mut self) -> Option<Note> {
        self.list.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_how_long_the_oldest_request_waited() {
        let mut notes = Notes::default();
        notes.asked(Timestamp::new(10, 0));
        notes.asked(Timestamp::new(11, 0));
        notes.replied(Timestamp::new(12, 500), false);
        let taken: Vec<Note> = std::iter::from_fn(|| notes.take()).collect();
        assert_eq!(taken.len(), 3);
        assert_eq!(
            taken.last(),
            Some(&Note::Replied {
                micros: 2_000_000,
                failed: false
            })
        );
    }

    #[test]
    fn notes_and_open_requests_are_bounded() {
        let mut notes = Notes::default();
        for _ in 0..1_000 {
            notes.asked(Timestamp::default());
            notes.login(Login::Failed);
        }
        assert_eq!(std::iter::from_fn(|| notes.take()).count(), NOTES_MAX);
        for _ in 0..1_000 {
            notes.replied(Timestamp::default(), false);
        }
        assert_eq!(notes.open.len(), 0);
    }
}
