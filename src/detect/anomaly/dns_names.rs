//! What a DNS message asks, in a few numbers: for [`super::dns_tunnel`] and [`super::dga`]; and the text of its domain, in
//! pieces that fit into records, so that an alert can name it.
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
    let (count, at) = labels_of(message, &mut labels)?;
    let kind = u16::from_be_bytes(*message.get(at + 1..)?.first_chunk::<2>()?);
    let labels = labels.get(..count)?;
    let top = *labels.last()?;
    // Reverse zones and names of the local link say nothing about domains.
    if [b"arpa".as_slice(), b"local"].contains(&top) {
        return None;
    }
    let plausible = is_top(top) && count >= 2;
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

/// The labels of the first question's name, their number, and the offset of the byte that ends it.
fn labels_of<'a>(message: &'a [u8], labels: &mut [&'a [u8]; 32]) -> Option<(usize, usize)> {
    let (mut count, mut at) = (0, 12);
    loop {
        let len = usize::from(*message.get(at)?);
        if len == 0 {
            return Some((count, at));
        }
        *labels.get_mut(count)? = message.get(at + 1..at + 1 + len).filter(|_| len < 64)?;
        count += 1;
        at += 1 + len;
    }
}

/// Whether a label may be a top-level domain.
fn is_top(label: &[u8]) -> bool {
    (2..=12).contains(&label.len()) && label.iter().all(u8::is_ascii_alphabetic)
}

/// Bytes of a domain that are kept: four records.
const TEXT_BYTES: usize = 44;
/// Bytes of it in a record.
const PIECE: usize = 11;

/// The last two labels of a name in small letters, at most 44 bytes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainText {
    bytes: [u8; TEXT_BYTES],
    len: u8,
}

impl Default for DomainText {
    fn default() -> Self {
        Self {
            bytes: [0; TEXT_BYTES],
            len: 0,
        }
    }
}

impl DomainText {
    /// The domain of a message's first question; nothing where it has none. What is no letter, digit, hyphen or
    /// underscore becomes a question mark.
    pub fn of(message: &[u8]) -> Option<Self> {
        let mut labels: [&[u8]; 32] = [&[]; 32];
        let (count, _) = labels_of(message, &mut labels)?;
        let [.., name, top] = labels.get(..count)? else {
            return None;
        };
        if !is_top(top) {
            return None;
        }
        let mut text = Self::default();
        let letters = name.iter().chain(b".").chain(top.iter());
        for (slot, byte) in text.bytes.iter_mut().zip(letters) {
            let plain = byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
            *slot = if plain {
                byte.to_ascii_lowercase()
            } else {
                b'?'
            };
            text.len += 1;
        }
        Some(text)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Name and top-level domain; both whole unless the name was too long.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        let bytes = self.as_bytes();
        let dot = memchr::memrchr(b'.', bytes).unwrap_or(bytes.len());
        let (name, top) = bytes.split_at(dot);
        (name, top.get(1..).unwrap_or_default())
    }

    /// Value and detail of its records: eight bytes and three; in the detail's top byte which piece it is, and how many
    /// bytes of the text end with it.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let len = usize::from(self.len);
        (0..len.div_ceil(PIECE)).map(move |at| {
            let mut piece = [0u8; PIECE];
            let text = self.bytes.iter().skip(at * PIECE).take(PIECE);
            for (slot, byte) in piece.iter_mut().zip(text) {
                *slot = *byte;
            }
            let [a, b, c, d, e, f, g, h, i, j, k] = piece;
            let held = (len - at * PIECE).min(PIECE) as u8;
            let value = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (value, u32::from_be_bytes([(at as u8) << 4 | held, i, j, k]))
        })
    }

    /// Puts a piece in its place; the first one begins a new text.
    pub fn put(&mut self, value: u64, detail: u32) {
        let [head, i, j, k] = detail.to_be_bytes();
        let (at, held) = (usize::from(head >> 4), usize::from(head & 0xf));
        if at == 0 {
            *self = Self::default();
        }
        let piece = value.to_be_bytes().into_iter().chain([i, j, k]);
        let place = self.bytes.iter_mut().skip(at * PIECE);
        for (slot, byte) in place.zip(piece.take(held)) {
            *slot = byte;
        }
        self.len = (at * PIECE + held).min(TEXT_BYTES) as u8;
    }
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
pub fn looks_invented(label: &[u8]) -> bool {
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
    fn a_domain_survives_its_pieces() {
        for name in [
            "www.Example.com",
            "a.bc",
            &format!("x.{}.info", "q".repeat(60)),
        ] {
            let text = DomainText::of(&query(name, 1)).expect("domain");
            let mut put = DomainText::default();
            for (value, detail) in text.pieces() {
                put.put(value, detail);
            }
            assert_eq!(put, text);
        }
        let text = DomainText::of(&query("www.Ex mple.com", 1)).expect("domain");
        assert_eq!(text.as_bytes(), b"ex?mple.com");
        assert_eq!(text.parts(), (b"ex?mple".as_slice(), b"com".as_slice()));
        assert_eq!(DomainText::of(&query("printer", 1)), None);
        assert_eq!(DomainText::of(&query("a.b.192", 1)), None);
        // Records may say anything.
        let mut put = DomainText::default();
        for detail in [0, u32::MAX, 0x4f00_0000, 0x3f11_2233] {
            put.put(u64::MAX, detail);
            assert!(put.as_bytes().len() <= TEXT_BYTES);
        }
    }

    #[test]
    fn invented_labels_differ_from_words() {
        assert!(looks_invented(b"xkqjvhtrwpz") && looks_invented(b"a8f3k29dk1"));
        assert!(!looks_invented(b"wikipedia") && !looks_invented(b"example"));
    }
}
