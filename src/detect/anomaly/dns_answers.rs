//! What a DNS answer says beyond its question: the addresses it gives, its outcome, and a digest that tells two answers
//! apart. For [`super::beacon`], [`super::rogue_server`] and [`super::service_trouble`].
//!
//! Reads the header, skips the questions, and reads at most [`RECORDS`] answers. Source: RFC 1035 §4.

use std::net::IpAddr;

use super::first_bytes::hash;

/// Answers that are read.
const RECORDS: usize = 16;
/// Addresses that are kept.
const ADDRESSES: usize = 4;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its identification.
    pub id: u16,
    /// Its outcome: 0 none wrong, 2 server failure, 3 no such name.
    pub code: u8,
    /// The same for answers with the same addresses in any order.
    pub digest: u32,
    /// Hash of the name asked for.
    pub name: u32,
    addresses: [Option<IpAddr>; ADDRESSES],
}

impl Answer {
    /// The addresses, at most four.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().flatten().copied()
    }
}

/// The identification of a query; nothing for an answer.
pub fn query_id(message: &[u8]) -> Option<u16> {
    let [a, b, flags, ..] = message else {
        return None;
    };
    (flags & 0xf8 == 0).then(|| u16::from_be_bytes([*a, *b]))
}

/// Reads an answer; nothing for a query.
pub fn read(message: &[u8]) -> Option<Answer> {
    let [a, b, flags, code, q0, q1, n0, n1, ..] = message else {
        return None;
    };
    if flags & 0xf8 != 0x80 {
        return None;
    }
    let mut answer = Answer {
        id: u16::from_be_bytes([*a, *b]),
        code: code & 0x0f,
        digest: 0,
        name: 0,
        addresses: [None; ADDRESSES],
    };
    let questions = u16::from_be_bytes([*q0, *q1]);
    let answers = usize::from(u16::from_be_bytes([*n0, *n1]));
    let mut at = 12;
    for _ in 0..questions.min(4) {
        let end = skip_name(message, at)?;
        answer.name = hash(message.get(at..end)?) as u32;
        at = end + 4;
    }
    let mut kept = 0;
    for _ in 0..answers.min(RECORDS) {
        let Some(end) = skip_name(message, at) else {
            break;
        };
        let Some([k0, k1, _, _, _, _, _, _, l0, l1]) =
            message.get(end..).and_then(|m| m.first_chunk::<10>())
        else {
            break;
        };
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some(data) = message.get(end + 10..end + 10 + len) else {
            break;
        };
        // Names in data are compressed and the order rotates: the sum of the addresses' hashes is the digest.
        let address = match (u16::from_be_bytes([*k0, *k1]), len) {
            (1, 4) => data.first_chunk::<4>().map(|a| IpAddr::from(*a)),
            (28, 16) => data.first_chunk::<16>().map(|a| IpAddr::from(*a)),
            _ => None,
        };
        if let Some(address) = address {
            answer.digest = answer.digest.wrapping_add(hash(data) as u32 | 1);
            if let Some(slot) = answer.addresses.get_mut(kept) {
                *slot = Some(address);
                kept += 1;
            }
        }
        at = end + 10 + len;
    }
    Some(answer)
}

/// The offset behind a name.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..128 {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            _ => at += 1 + len,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(addresses: &[[u8; 4]], code: u8) -> Vec<u8> {
        let mut bytes = vec![
            0,
            7,
            0x81,
            0x80 | code,
            0,
            1,
            0,
            addresses.len() as u8,
            0,
            0,
            0,
            0,
        ];
        bytes.extend(b"\x03www\x07example\0\0\x01\0\x01");
        for address in addresses {
            bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            bytes.extend(address);
        }
        bytes
    }

    #[test]
    fn the_order_of_addresses_does_not_matter_and_their_value_does() {
        let read = |bytes: &[u8]| read(bytes).expect("answer");
        let (a, b) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        assert_eq!(
            read(&message(&[a, b], 0)).digest,
            read(&message(&[b, a], 0)).digest
        );
        assert_ne!(
            read(&message(&[a], 0)).digest,
            read(&message(&[b], 0)).digest
        );
        let one = read(&message(&[a, b], 0));
        assert_eq!(
            one.addresses().collect::<Vec<_>>(),
            [IpAddr::from(a), IpAddr::from(b)]
        );
        assert_eq!((one.id, read(&message(&[], 2)).code), (7, 2));
    }

    #[test]
    fn cut_messages_give_what_they_have() {
        let whole = message(&[[192, 0, 2, 1], [192, 0, 2, 2]], 0);
        for cut in 0..whole.len() {
            read(&whole[..cut]);
            query_id(&whole[..cut]);
        }
        assert_eq!(
            read(&whole[..whole.len() - 8]).map(|a| a.addresses().count()),
            Some(1)
        );
        assert_eq!(query_id(&[0, 9, 1, 0]), Some(9));
        assert_eq!(query_id(&whole), None);
    }
}
