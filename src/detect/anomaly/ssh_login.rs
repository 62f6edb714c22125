//! Whether logins of SSH succeed, read from the sizes of encrypted packets, and which end plays which part.
//!
//! After the keys are taken into use (RFC 4253 §7.3) client and server speak in turns (RFC 4252): SERVICE_REQUEST and
//! SERVICE_ACCEPT (17 bytes and more before padding), then a request to log in and FAILURE (with the list of methods, as
//! long as that or longer) or SUCCESS (a single byte: always the shortest packet there is). So the first answer that is
//! shorter than the one to SERVICE_REQUEST is the success, whatever the cipher.
//! Refusals of a session are all of one length, since they list the same methods. Longer answers are no refusals: that a
//! key would do (PK_OK), what to type (INFO_REQUEST), a banner. So only the shortest so far count.
//! The part that an end plays shows in the messages of the key exchange, which are still in the clear: only a client
//! sends 30, 32 or 34 (RFC 4253 §8, RFC 4419). A host that connects out and then plays the server lets its peer log in.
//!
//! What it does *not* know: the method that failed. So the first refusal of a session (most clients ask for "none" first)
//! counts only when the session ends without a success. Captures that begin in the middle give nothing.
//! Retransmissions count as packets.

use super::first_bytes::Login;

/// Refusals of one session that are told at most: a client offers all its keys before it asks for a password.
const TOLD_MAX: u8 = 3;

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Keys are exchanged.
    #[default]
    Keys,
    /// The client has taken the keys into use.
    Taken,
    /// It has sent something encrypted.
    Asked,
    /// The server has answered; requests to log in follow.
    Authenticating,
    /// It is over.
    Done,
}

/// What is remembered of a session: a few bytes per flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct SshLogin {
    state: State,
    /// Length of the answer to SERVICE_REQUEST.
    accept: u16,
    /// Length of the shortest answer since then, which is a refusal.
    lowest: u16,
    refused: u8,
    told: u8,
}

/// What a packet shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Outcome of a login.
    Outcome(Login),
    /// The end that was connected to plays the client.
    Reversed,
}

impl SshLogin {
    /// Takes a payload that follows the banner of its direction.
    pub fn payload(&mut self, payload: &[u8], to_server: bool) -> Shown {
        let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        match (self.state, to_server) {
            (State::Keys, true) => {
                // 12 bytes of packet, 10 of padding, NEWKEYS.
                if let [0, 0, 0, 12, 10, 21, ..] = payload {
                    self.state = if len > 16 { State::Asked } else { State::Taken };
                }
            }
            (State::Keys, false) => {
                if let [0, 0, _, _, _, 30 | 32 | 34, ..] = payload {
                    self.state = State::Done;
                    return Shown::Reversed;
                }
            }
            (State::Taken, true) => self.state = State::Asked,
            (State::Asked, false) => {
                (self.accept, self.lowest) = (len, u16::MAX);
                self.state = State::Authenticating;
            }
            (State::Authenticating, false) if len < self.accept => {
                self.state = State::Done;
                return Shown::Outcome(Login::Succeeded);
            }
            (State::Authenticating, false) if len <= self.lowest => {
                self.lowest = len;
                self.refused = self.refused.saturating_add(1);
                // The first may be to a request that only asks which methods there are.
                if self.refused > 1 && self.told < TOLD_MAX {
                    self.told += 1;
                    return Shown::Outcome(Login::Failed);
                }
            }
            _ => {}
        }
        Shown::Nothing
    }

    /// How many refusals of the session were told: a client that is let in after all offered the wrong keys first.
    pub const fn told(&self) -> u8 {
        self.told
    }

    /// The connection ends.
    pub fn end(&mut self) -> Shown {
        let only = self.state == State::Authenticating && self.refused == 1;
        self.state = State::Done;
        if only {
            Shown::Outcome(Login::Failed)
        } else {
            Shown::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWKEYS: &[u8] = &[0, 0, 0, 12, 10, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn run(answers: &[usize], end: bool) -> Vec<Login> {
        let mut session = SshLogin::default();
        let mut out = Vec::new();
        let mut take = |shown| {
            if let Shown::Outcome(login) = shown {
                out.push(login);
            }
        };
        take(session.payload(NEWKEYS, true));
        for len in answers {
            take(session.payload(&[9; 64], true));
            take(session.payload(&vec![7; *len], false));
        }
        if end {
            take(session.end());
        }
        out
    }

    #[test]
    fn the_shortest_answer_is_the_success() {
        assert_eq!(run(&[44, 52, 28], true), [Login::Succeeded]);
        assert_eq!(
            run(&[44, 52, 52, 28], true),
            [Login::Failed, Login::Succeeded]
        );
    }

    #[test]
    fn a_session_without_success_failed_once_per_password_but_not_for_every_key() {
        assert_eq!(run(&[64, 80], true), [Login::Failed]);
        assert_eq!(run(&[64, 80], false), []);
        assert_eq!(run(&[56, 56, 56, 56, 56, 56, 56], true).len(), 3);
    }

    #[test]
    fn a_key_that_would_do_and_a_question_are_no_refusals() {
        // OpenSSH 9.2 with a key: none, PK_OK, success; with two wrong keys before it.
        assert_eq!(run(&[44, 68, 100, 28], true), [Login::Succeeded]);
        let wrong = run(&[44, 68, 68, 68, 100, 28], true);
        assert_eq!(wrong, [Login::Failed, Login::Failed, Login::Succeeded]);
        // A banner of 300 bytes comes first; each question is followed by a refusal.
        let asked = run(&[44, 300, 52, 60, 52, 60, 52], true);
        assert_eq!(asked, [Login::Failed; 3]);
    }

    #[test]
    fn who_plays_the_client_shows_in_the_key_exchange() {
        let request = [0, 0, 0, 44, 6, 30, 0, 0, 0, 32];
        assert_eq!(
            SshLogin::default().payload(&request, false),
            Shown::Reversed
        );
        assert_eq!(SshLogin::default().payload(&request, true), Shown::Nothing);
    }

    #[test]
    fn a_session_from_the_middle_says_nothing() {
        let mut session = SshLogin::default();
        for i in 0..40 {
            assert_eq!(session.payload(&[200; 48], i % 2 == 0), Shown::Nothing);
        }
        assert_eq!(session.end(), Shown::Nothing);
    }
}
