//! Checksums of IPv4, TCP, UDP and ICMP (RFC 1071), and what they show about the capture.
//!
//! A host that leaves checksums to its network card hands packets to the capture with only the
//! pseudo-header's sum in the field. Such packets are told apart from damaged ones and counted, so that replay can say
//! that the capture shows offloaded checksums; they are not silently accepted, because an attacker could write the
//! same bytes and the receiver would discard them.

use crate::sys::word_sum;

/// Packets after which [`ChecksumMode::Auto`] looks at the share of wrong checksums, and again each time as many.
const SAMPLE_PACKETS: u64 = 1000;

/// Auto mode stops checking when at least one packet in this many had a wrong checksum.
const WRONG_ONE_IN: u64 = 10;

/// Which checksums are checked (Suricata's `checksum-checks`, `-k`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumMode {
    /// All, until a tenth of the packets are wrong: then the capture was taken where the network card computes them.
    #[default]
    Auto,
    /// All, always.
    Full,
    /// None.
    None,
}

/// What checksums showed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChecksumStats {
    /// Transport checksums checked.
    pub checked: u64,
    /// Wrong ones.
    pub wrong: u64,
    /// Those of the wrong ones that hold the pseudo-header's sum: the sender's card was to complete them.
    pub partial: u64,
    /// Wrong IPv4 header checksums.
    pub wrong_ip: u64,
    /// IPv4 header checksums of zero among them, which offloading senders leave.
    pub zero_ip: u64,
    /// Whether auto mode gave up checking.
    pub given_up: bool,
}

impl ChecksumStats {
    /// Whether the capture was taken on a host that leaves checksums to its network card: wrong ones are frequent, and
    /// most of them are of the kind only an unfinished packet has.
    pub fn offloaded(&self) -> bool {
        self.wrong > 0
            && self.partial.saturating_mul(2) >= self.wrong
            && self.wrong.saturating_mul(20) >= self.checked
    }
}

/// Decides whether to check, and counts.
#[derive(Debug)]
pub(super) struct Monitor {
    mode: ChecksumMode,
    stats: ChecksumStats,
}

impl Monitor {
    pub fn new(mode: ChecksumMode) -> Self {
        Self {
            mode,
            stats: ChecksumStats::default(),
        }
    }

    pub fn stats(&self) -> &ChecksumStats {
        &self.stats
    }

    /// Whether the checksums of packet number `packets` are to be checked.
    #[inline]
    pub fn verify(&mut self, packets: u64) -> bool {
        match self.mode {
            ChecksumMode::None => false,
            ChecksumMode::Full => true,
            ChecksumMode::Auto => {
                let wrong = self.stats.wrong;
                if packets.is_multiple_of(SAMPLE_PACKETS)
                    && wrong.saturating_mul(WRONG_ONE_IN) > packets
                {
                    self.stats.given_up = true;
                }
                !self.stats.given_up
            }
        }
    }

    /// Notes a wrong IPv4 header checksum.
    #[cold]
    pub fn wrong_ip(&mut self, zero: bool) {
        self.stats.wrong_ip += 1;
        self.stats.zero_ip += u64::from(zero);
    }

    /// Checks a transport checksum: the sum over pseudo-header and segment must be all ones. Answers whether it is wrong.
    #[inline]
    pub fn transport_is_wrong(&mut self, pseudo: u64, segment: &[u8], field: [u8; 2]) -> bool {
        self.stats.checked += 1;
        let wrong = fold(pseudo.wrapping_add(sum(segment))) != 0xffff;
        if wrong {
            self.note_wrong(pseudo, field);
        }
        wrong
    }

    #[cold]
    fn note_wrong(&mut self, pseudo: u64, field: [u8; 2]) {
        self.stats.wrong += 1;
        self.stats.partial +=
            u64::from(u16::from_ne_bytes(field) == fold(pseudo) || field == [0, 0]);
    }
}

/// The ones' complement sum of the bytes as 16-bit words in *native* order, not yet folded.
///
/// Ones' complement addition does not care about byte order as long as everything is added in the same one
/// (RFC 1071 §2 B), so nothing is swapped. Words of 32 bits go into sums of 64 bits; a frame has far fewer words than would
/// overflow them.
#[inline]
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (mut total, rest) = word_sum(bytes);
    let (fours, rest) = rest.as_chunks::<4>();
    for word in fours {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let (words, odd) = rest.as_chunks::<2>();
    for word in words {
        total += u64::from(u16::from_ne_bytes(*word));
    }
    if let Some(last) = odd.first() {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

/// Folds a sum to 16 bits with end-around carry.
#[inline]
pub(super) fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) as u16
}

/// The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1): `addresses` are source and destination as they lie in
/// the IP header.
#[inline]
pub(super) fn pseudo(addresses: &[u8], protocol: u8, len: usize) -> u64 {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    sum(addresses)
        + u64::from(u16::from_ne_bytes([0, protocol]))
        + u64::from(u32::from_ne_bytes(len.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 §4.1, word by word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn agrees_with_the_rfc_for_every_length() {
        let bytes: Vec<u8> = (0..300u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for len in 0..bytes.len() {
            let mine = u16::from_be_bytes(fold(sum(&bytes[..len])).to_ne_bytes());
            let theirs = plain(&bytes[..len]);
            assert!(
                mine == theirs || (mine.is_multiple_of(0xffff) && theirs.is_multiple_of(0xffff)),
                "{len}: {mine:x} {theirs:x}"
            );
        }
        assert_eq!(fold(u64::MAX), 0xffff);
    }

    #[test]
    fn auto_mode_gives_up_when_a_tenth_is_wrong() {
        let mut monitor = Monitor::new(ChecksumMode::Auto);
        for i in 1..=2000u64 {
            if monitor.verify(i) && i % 5 == 0 {
                assert!(monitor.transport_is_wrong(0x1234, &[1, 2], [9, 9]));
            }
        }
        assert!(monitor.stats().given_up);
        assert_eq!(monitor.stats().wrong, 199);
        assert!(!monitor.stats().offloaded());
    }

    #[test]
    fn a_field_with_the_pseudo_headers_sum_is_an_offloaded_one() {
        let mut monitor = Monitor::new(ChecksumMode::Full);
        let pseudo = pseudo(&[10, 0, 0, 1, 10, 0, 0, 2], 6, 20);
        let field = fold(pseudo).to_ne_bytes();
        let mut segment = [7u8; 20];
        segment[16..18].copy_from_slice(&field);
        assert!(monitor.transport_is_wrong(pseudo, &segment, field));
        assert!(monitor.stats().offloaded());
    }
}
