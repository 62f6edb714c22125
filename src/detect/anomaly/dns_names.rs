//! What a DNS message asks, in a few numbers: for [`super::dns_tunnel`] and [`super::dga`].
//!
//! Reads the first question only; names with compression pointers or broken labels give nothing.
//! A record's `value` is the hash of the domain (high 32 bits) and of the name below it (low 32 bits); its `detail` packs
//! information bytes (bits 0..12), length of the name (12..20), rare type (bit 20), invented look (bit 21), failed
//! answer (bit 22), type that nobody asks for (bit 23).

use super::first_bytes::hash;

/// A question in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsName {
    /// Hash of the last two labels; of nothing where the name has no plausible top-level domain.
    pub domain: u32,
    /// Hash of the labels below.
    pub below: u32,
    /// Bytes of information below the domain: length × entropy / 8.
    pub info: u32,
    /// Length of the name.
    pub len: u32,
    /// TXT, NULL, CNAME, MX, SRV, KEY or private types.
    pub rare: bool,
    /// NULL, KEY or private types, which no program of our days asks for.
    pub unheard: bool,
    /// The registered label looks invented.
    pub invented: bool,
    /// The message is an answer that says that the name does not exist.
    pub failed: bool,
}

impl DnsName {
    /// For a record: value and detail.
    pub fn pack(&self) -> (u64, u32) {
        let value = u64::from(self.domain) << 32 | u64::from(self.below);
        let flags = u32::from(self.rare) << 20
            | u32::from(self.invented) << 21
            | u32::from(self.failed) << 22
            | u32::from(self.unheard) << 23;
        (
            value,
            self.info.min(0xfff) | self.len.min(0xff) << 12 | flags,
        )
    }

    /// From a record's value and detail.
    pub fn unpack(value: u64, detail: u32) -> Self {
        Self {
            domain: (value >> 32) as u32,
            below: value as u32,
            info: detail & 0xfff,
            len: detail >> 12 & 0xff,
            rare: detail >> 20 & 1 == 1,
            invented: detail >> 21 & 1 == 1,
            failed: detail >> 22 & 1 == 1,
            unheard: detail >> 23 & 1 == 1,
        }
    }
}

/// Reads a message: a query, or an answer that a name does not exist; nothing for other answers.
pub fn read(message: &[u8]) -> Option<DnsName> {
    let (flags, code) = (*message.get(2)?, *message.get(3)?);
    let answer = flags & 0x80 != 0;
    let failed = answer && code & 0x0f == 3;
    if (answer && !failed) || flags & 0x78 != 0 || message.get(4..6)? == [0, 0] {
        return None;
    }
    let mut labels: [&[u8]; 32] = [&[]; 32];
    let (mut count, mut at) = (0, 12);
    loop {
        let len = usize::from(*message.get(at)?);
        if len == 0 {
            break;
        }
        *labels.get_mut(count)? = message.get(at + 1..at + 1 + len).filter(|_| len < 64)?;
        count += 1;
        at += 1 + len;
    }
    let kind = u16::from_be_bytes(*message.get(at + 1..)?.first_chunk::<2>()?);
    let labels = labels.get(..count)?;
    let top = *labels.last()?;
    // Reverse zones and names of the local link say nothing about domains.
    if [b"arpa".as_slice(), b"local"].contains(&top) {
        return None;
    }
    let plausible =
        (2..=12).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic) && count >= 2;
    let kept = if plausible { 2 } else { 0 };
    let (below, domain) = labels.split_at(count.saturating_sub(kept));
    let mut counts = [0u32; 256];
    let mut len_below = 0u32;
    let mut below_hash = 0u64;
    for label in below {
        below_hash = below_hash.rotate_left(7) ^ hash(label);
        for byte in *label {
            if let Some(count) = counts.get_mut(usize::from(byte.to_ascii_lowercase())) {
                *count += 1;
            }
            len_below += 1;
        }
    }
    let total = f64::from(len_below.max(1));
    let entropy: f64 = counts
        .iter()
        .filter(|n| **n > 0)
        .map(|n| {
            let share = f64::from(*n) / total;
            -share * share.log2()
        })
        .sum();
    Some(DnsName {
        domain: domain_hash(domain.iter().copied()),
        below: below_hash as u32,
        info: (f64::from(len_below) * entropy.min(5.0) / 8.0) as u32,
        len: (at - 12) as u32,
        unheard: matches!(kind, 10 | 25) || kind >= 65_280,
        rare: matches!(kind, 5 | 10 | 15 | 16 | 25 | 33) || kind >= 65_280,
        invented: domain.first().is_some_and(|label| looks_invented(label)),
        failed,
    })
}

/// The number by which a domain is known ([`DnsName::domain`]), from its labels.
pub fn domain_hash<'a>(labels: impl Iterator<Item = &'a [u8]>) -> u32 {
    let hash = labels.fold(0u64, |h, label| {
        h.rotate_left(7)
            ^ label.iter().fold(7u64, |h, b| {
                h.wrapping_mul(131) ^ u64::from(b.to_ascii_lowercase())
            })
    });
    (hash ^ hash >> 32) as u32
}

/// A label of eight or more letters or digits with hardly a vowel, digits among letters, or a long run of consonants.
fn looks_invented(label: &[u8]) -> bool {
    if label.len() < 8 || label.contains(&b'-') {
        return false;
    }
    let vowel = |b: &u8| {
        matches!(
            b.to_ascii_lowercase(),
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y'
        )
    };
    let vowels = label.iter().filter(|b| vowel(b)).count();
    let digits = label.iter().filter(|b| b.is_ascii_digit()).count();
    let run = label
        .split(|b| vowel(b) || b.is_ascii_digit())
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0);
    vowels * 4 < label.len() || run >= 5 || (digits >= 2 && digits < label.len())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A query for a name.
    pub fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn a_name_is_split_at_its_domain() {
        let a = read(&query("aaaa.example.com", 1)).expect("name");
        let b = read(&query("bbbb.example.com", 16)).expect("name");
        assert_eq!(a.domain, b.domain);
        assert_ne!(a.below, b.below);
        assert!(!a.rare && b.rare && !a.invented);
        let (value, detail) = b.pack();
        assert_eq!(DnsName::unpack(value, detail), b);
    }

    #[test]
    fn broken_messages_give_nothing() {
        let whole = query("www.example.com", 1);
        for end in 0..whole.len() - 3 {
            assert_eq!(read(&whole[..end]), None);
        }
        assert_eq!(read(&[0xff; 64]), None);
    }

    #[test]
    fn invented_labels_differ_from_words() {
        assert!(looks_invented(b"xkqjvhtrwpz") && looks_invented(b"a8f3k29dk1"));
        assert!(!looks_invented(b"wikipedia") && !looks_invented(b"example"));
    }
}
