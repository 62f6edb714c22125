//! IKE version 1: proposals, key exchange, nonce, vendor ids (RFC 2408 §3, RFC 2409 appendix A).

use super::{IkeSession, IkeTx, Payloads, event};
use crate::app::reader::Reader;
use crate::packet::Direction;

const TRANSFORMS_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 32;
const VENDORS_MAX: usize = 32;
/// Bytes kept of a key exchange, a nonce or a vendor id.
const DATA_MAX: usize = 1024;
const ENCRYPTED: u8 = 1;

/// Payload types (RFC 2408 §3.1).
mod payload {
    pub const SA: u8 = 1;
    pub const KEY_EXCHANGE: u8 = 4;
    pub const NONCE: u8 = 10;
    pub const VENDOR: u8 = 13;
}

/// An attribute of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub kind: u16,
    pub number: Option<u32>,
    /// Its bytes, when they are no number.
    pub bytes: Vec<u8>,
}

/// What a side showed of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub key_exchange: Vec<u8>,
    pub nonce: Vec<u8>,
    pub vendors: Vec<Vec<u8>>,
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..DATA_MAX).unwrap_or(bytes).to_vec()
}

impl IkeSession {
    /// Reads a message of version 1.
    pub(super) fn one(&mut self, tx: &mut IkeTx, r: Reader<'_>) {
        if tx.header.next != 0 {
            tx.payloads.push(tx.header.next);
        }
        if tx.header.flags & ENCRYPTED != 0 {
            return;
        }
        let mut payloads = Payloads::new(r, tx.header.next);
        let mut offers = false;
        while let Some(next) = payloads.next() {
            let Ok((kind, contents)) = next else {
                tx.state.raise(event::MALFORMED_DATA);
                break;
            };
            if !tx.payloads.contains(&kind) {
                tx.payloads.push(kind);
            }
            match kind {
                payload::SA => {
                    offers = true;
                    if self.proposals(tx, contents).is_none() {
                        tx.state.raise(event::MALFORMED_DATA);
                    }
                }
                payload::KEY_EXCHANGE => tx.shown.key_exchange = cut(contents),
                payload::NONCE => tx.shown.nonce = cut(contents),
                payload::VENDOR if tx.shown.vendors.len() < VENDORS_MAX => {
                    tx.shown.vendors.push(cut(contents));
                }
                _ => {}
            }
        }
        if !payloads.r.is_empty() {
            tx.state.raise(event::PAYLOAD_EXTRA_DATA);
        }
        let Some(side) = self.shown.get_mut(tx.direction.index()) else {
            return;
        };
        // A new proposal begins a new key exchange.
        if offers {
            *side = Shown::default();
        }
        if !tx.shown.key_exchange.is_empty() {
            side.key_exchange.clone_from(&tx.shown.key_exchange);
        }
        if !tx.shown.nonce.is_empty() {
            side.nonce.clone_from(&tx.shown.nonce);
        }
        if tx.direction == Direction::ToClient {
            if offers {
                self.chosen_count = 0;
                self.chosen.clear();
            }
            if self.chosen_count <= 1 && self.chosen_count + tx.transforms.len() > 1 {
                tx.state.raise(event::MULTIPLE_SERVER_PROPOSAL);
            }
            self.chosen_count += tx.transforms.len();
            if let (true, Some(first)) = (self.chosen.is_empty(), tx.transforms.first()) {
                self.chosen.clone_from(first);
            }
        }
    }

    /// RFC 2408 §3.4: domain of interpretation, situation, proposals with their transforms.
    fn proposals(&mut self, tx: &mut IkeTx, contents: &[u8]) -> Option<()> {
        let mut r = Reader::new(contents);
        self.doi = Some(r.u32()?);
        r.skip(4)?;
        let mut proposals = Payloads::new(r, 2);
        while let Some(Ok((_, proposal))) = proposals.next() {
            let mut r = Reader::new(proposal);
            r.skip(2)?;
            let spi = usize::from(r.u8()?);
            r.skip(1 + spi)?;
            if !tx.payloads.contains(&2) {
                tx.payloads.push(2);
            }
            let mut transforms = Payloads::new(r, 3);
            while let Some(Ok((_, transform))) = transforms.next() {
                if !tx.payloads.contains(&3) {
                    tx.payloads.push(3);
                }
                let mut r = Reader::new(transform);
                r.skip(4)?;
                if tx.transforms.len() < TRANSFORMS_MAX {
                    tx.transforms.push(attributes(r));
                }
            }
        }
        Some(())
    }
}

/// RFC 2408 §3.3: the top bit of the type says that the value stands in place of the length.
fn attributes(mut r: Reader<'_>) -> Vec<Attribute> {
    let mut list = Vec::new();
    while let (Some(kind), Some(value)) = (r.u16(), r.u16()) {
        if list.len() >= ATTRIBUTES_MAX {
            break;
        }
        let short = kind & 0x8000 != 0;
        let bytes: &[u8] = if short {
            &[]
        } else {
            match r.take(usize::from(value)) {
                Some(bytes) => bytes,
                None => break,
            }
        };
        let number = if short {
            Some(u32::from(value))
        } else {
            bytes
                .first_chunk::<4>()
                .filter(|_| bytes.len() == 4)
                .map(|b| u32::from_be_bytes(*b))
        };
        list.push(Attribute {
            kind: kind & 0x7fff,
            number,
            bytes: if number.is_some() {
                Vec::new()
            } else {
                cut(bytes)
            },
        });
    }
    list
}
