//! First bytes of eDonkey (TCP, and its servers' UDP) and of Kad, its network without servers.
//!
//! ```text
//! TCP  protocol (e3 eDonkey, c5 eMule, d4 packed) · length of what follows, 32 bits LE · opcode · …
//! UDP  protocol (e3 server, e4 Kad, e5 Kad packed) · opcode · …
//! ```
//!
//! One byte says little; what counts is that the lengths inside add up to the length of the segment or datagram.
//! Not here: obfuscated sessions (they look random: [`super::obfuscated`]), what is exchanged.
//! Source: "The eMule Protocol Specification" (Kulbak and Bickson 2005); opcodes of Kademlia2 as aMule documents them.

/// Opcodes of TCP that begin a session or are common in it: hello, login, its answer, hello answer, offered files, messages
/// of servers, parts, names and states of files, slots, eMule's own info.
const OPCODES: &[u8] = &[
    0x01, 0x02, 0x14, 0x15, 0x16, 0x19, 0x33, 0x34, 0x38, 0x40, 0x42, 0x46, 0x47, 0x4a, 0x4b, 0x4c,
    0x4e, 0x4f, 0x50, 0x51, 0x52, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5b, 0x5c, 0x5d,
];
/// Bytes of a contact in answers of Kad: id, address, two ports, version or type.
const CONTACT: usize = 25;

/// Whether a segment begins with a message of eDonkey or eMule.
pub fn is_tcp(bytes: &[u8]) -> bool {
    let [
        protocol @ (0xe3 | 0xc5 | 0xd4),
        a,
        b,
        c,
        d,
        opcode,
        rest @ ..,
    ] = bytes
    else {
        return false;
    };
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    let here = bytes.len().saturating_sub(5);
    // Hello with the length of a user hash: long ones are cut by the segment, short ones followed by more.
    if (*protocol, *opcode, rest.first()) == (0xe3, 1, Some(&0x10)) && length.abs_diff(here) < 64 {
        return true;
    }
    let known = match protocol {
        // zlib (RFC 1950) follows.
        0xd4 => rest.first() == Some(&0x78),
        _ => OPCODES.contains(opcode),
    };
    let ends = length == here
        || bytes
            .get(length.saturating_add(5))
            .is_some_and(|next| matches!(next, 0xe3 | 0xc5 | 0xd4));
    known && length > 1 && ends
}

/// Whether a datagram is Kad's, or asks a server of eDonkey.
pub fn is_udp(bytes: &[u8]) -> bool {
    let len = bytes.len();
    let at = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let contacts = |head: usize, count: usize| count > 0 && len == head + CONTACT * count;
    match bytes {
        // Find nodes, a value, or store: who is asked for, and who is meant.
        [0xe4, 0x20 | 0x21, 2 | 4 | 11, ..] => len == 35,
        [0xe4, 0x28 | 0x29, ..] => contacts(19, usize::from(at(18))),
        [0xe4, 0x09, ..] => contacts(23, usize::from(u16::from_le_bytes([at(21), at(22)]))),
        // Hello: id, port, version, number of tags.
        [0xe4, 0x11 | 0x19, ..] => len >= 22 && (1..=12).contains(&at(20)) && at(21) <= 8,
        [
            0xe5,
            0x28 | 0x29 | 0x33 | 0x3b | 0x43 | 0x44,
            0x78,
            0x01 | 0x5e | 0x9c | 0xda,
            ..,
        ] => true,
        // The state of a server, with a challenge of 55aa and 16 random bits.
        [0xe3, 0x96, _, _, 0xaa, 0x55] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(protocol: u8, opcode: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 1).to_le_bytes();
        [&[protocol], &length[..], &[opcode], body].concat()
    }

    #[test]
    fn messages_whose_lengths_add_up_are_edonkey() {
        assert!(is_tcp(&message(0xe3, 0x4c, &[7; 60])));
        assert!(is_tcp(&message(0xc5, 0x01, &[7; 30])));
        let two = [message(0xe3, 0x58, &[1; 16]), message(0xc5, 0x81, &[2; 9])].concat();
        assert!(is_tcp(&two));
        let hello = message(0xe3, 1, &[&[0x10][..], &[9; 80]].concat());
        assert!(is_tcp(&hello) && is_tcp(&hello[..60]));
        assert!(is_tcp(&message(0xd4, 0x40, &[0x78, 0x9c, 1, 2, 3])));
    }

    #[test]
    fn the_first_byte_alone_is_not() {
        let mut wrong = message(0xe3, 0x4c, &[7; 60]);
        wrong[1] += 1;
        assert!(!is_tcp(&wrong));
        assert!(!is_tcp(&message(0xe3, 0xee, &[7; 60])));
        assert!(!is_tcp(&[0xe3]) && !is_tcp(&[]));
    }

    #[test]
    fn kad_is_known_by_the_lengths_of_its_questions_and_answers() {
        let asks = [&[0xe4, 0x21, 0x0b][..], &[5; 32]].concat();
        assert!(is_udp(&asks) && !is_udp(&asks[..34]));
        let answers = |n: u8| [&[0xe4, 0x29][..], &[5; 16], &[n], &[6; 100]].concat();
        assert!(is_udp(&answers(4)) && !is_udp(&answers(3)));
        let hello = [&[0xe4, 0x11][..], &[5; 16], &[0x40, 0x12, 9, 1], &[3; 9]].concat();
        assert!(is_udp(&hello));
        assert!(is_udp(&[0xe3, 0x96, 1, 2, 0xaa, 0x55]));
        // Voice, QUIC and others that happen to begin with the same byte.
        assert!(!is_udp(&[0xe4; 160]) && !is_udp(&[0xe3, 0x96, 1, 2]));
        assert!(!is_udp(&[0xe5; 1_200]) && !is_udp(&[]));
    }
}
