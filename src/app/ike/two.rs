//! IKE version 2: proposals with their weaknesses, notifications (RFC 7296 §3, numbers of IANA's IKEv2 registry).

use super::{IkeSession, IkeTx, Payloads, event};
use crate::app::reader::Reader;
use crate::packet::Direction;

const NOTIFY_MAX: usize = 32;

/// Payload types (RFC 7296 §3.2).
mod payload {
    pub const SA: u8 = 33;
    pub const NOTIFY: u8 = 41;
    /// What follows is encrypted.
    pub const ENCRYPTED: [u8; 2] = [46, 53];
}

/// What the responder chose: encryption, pseudo-random function, integrity, group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub encryption: Option<u16>,
    pub prf: Option<u16>,
    pub integrity: Option<u16>,
    pub group: Option<u16>,
}

/// Whether encryption also protects integrity (RFC 5282, 7634).
fn is_aead(encryption: u16) -> bool {
    matches!(encryption, 14..=16 | 18..=20 | 25..=28)
}

impl IkeSession {
    /// Reads a message of version 2.
    pub(super) fn two(&mut self, tx: &mut IkeTx, r: Reader<'_>) {
        let mut payloads = Payloads::new(r, tx.header.next);
        while let Some(next) = payloads.next() {
            let Ok((kind, contents)) = next else {
                tx.state.raise(event::MALFORMED_DATA);
                break;
            };
            tx.payloads.push(kind);
            match kind {
                payload::SA => self.offers(tx, contents),
                payload::NOTIFY => {
                    if let Some([_, _, a, b, ..]) = contents.get(..4)
                        && tx.notify.len() < NOTIFY_MAX
                    {
                        tx.notify.push(u16::from_be_bytes([*a, *b]));
                    }
                }
                kind if payload::ENCRYPTED.contains(&kind) => break,
                _ => {}
            }
        }
    }

    /// RFC 7296 §3.3: proposals, each with its transforms.
    fn offers(&mut self, tx: &mut IkeTx, contents: &[u8]) {
        let mut proposals = Payloads::new(Reader::new(contents), 2);
        while let Some(Ok((_, proposal))) = proposals.next() {
            if self.offer(tx, proposal).is_none() {
                tx.state.raise(event::MALFORMED_DATA);
            }
        }
    }

    fn offer(&mut self, tx: &mut IkeTx, proposal: &[u8]) -> Option<()> {
        let mut r = Reader::new(proposal);
        r.skip(1)?;
        let protocol = r.u8()?;
        let spi = usize::from(r.u8()?);
        r.skip(1 + spi)?;
        let (mut has_group, mut has_integrity, mut aead) = (false, false, false);
        let mut transforms = Payloads::new(r, 3);
        let mut chosen = Chosen::default();
        while let Some(Ok((_, transform))) = transforms.next() {
            let [kind, _, a, b, ..] = transform else {
                return None;
            };
            let id = u16::from_be_bytes([*a, *b]);
            match kind {
                1 => {
                    aead |= is_aead(id);
                    chosen.encryption = Some(id);
                    if matches!(id, 1..=9 | 11) {
                        tx.state.raise(event::WEAK_CRYPTO_ENC);
                    }
                }
                2 => {
                    chosen.prf = Some(id);
                    match id {
                        0 => tx.state.raise(event::INVALID_PROPOSAL),
                        1 | 2 => tx.state.raise(event::WEAK_CRYPTO_PRF),
                        _ => {}
                    }
                }
                3 => {
                    has_integrity |= id != 0;
                    chosen.integrity = Some(id);
                    if matches!(id, 1..=7) {
                        tx.state.raise(event::WEAK_CRYPTO_AUTH);
                    }
                }
                4 => {
                    has_group = true;
                    chosen.group = Some(id);
                    match id {
                        0 => tx.state.raise(event::INVALID_PROPOSAL),
                        1 | 2 | 5 | 22 => tx.state.raise(event::WEAK_CRYPTO_DH),
                        _ => {}
                    }
                }
                5 => {}
                _ => tx.state.raise(event::UNKNOWN_PROPOSAL),
            }
        }
        if !has_group {
            tx.state.raise(event::WEAK_CRYPTO_NO_DH);
        }
        // Authentication header: nothing is encrypted.
        if protocol == 2 {
            tx.state.raise(event::NO_ENCRYPTION);
        }
        if !has_integrity && !aead {
            tx.state.raise(event::WEAK_CRYPTO_NO_AUTH);
        }
        if tx.direction == Direction::ToClient {
            self.chosen_two = chosen;
        }
        Some(())
    }
}
