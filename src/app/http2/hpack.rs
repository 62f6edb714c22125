//! HPACK (RFC 7541): header blocks of HTTP/2.
//!
//! Limits: a dynamic table of at most 64 KiB, whatever the peers agree on; a block makes at most [`MADE_MAX`] bytes (one
//! byte of input may stand for a whole table entry).

use std::collections::VecDeque;

use super::huffman;

/// Largest dynamic table, in the RFC's count (name, value and 32 bytes an entry).
const TABLE_MAX: usize = 65_536;

/// Bytes that one block may unfold to.
pub(super) const MADE_MAX: usize = 256 * 1024;

/// What a block says, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A header field.
    Field(&'a [u8], &'a [u8]),
    /// The sender's table has another size from here on.
    SizeUpdate(u64),
    /// An index that nothing is at.
    NotIndexed,
    /// An integer that does not fit.
    Overflow,
    /// The block made too much.
    TooMuch,
}

/// The block ends within a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Truncated;

/// One direction's dynamic table.
#[derive(Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: 4096,
        }
    }
}

enum Integer {
    Value(u64),
    Overflow,
}

/// An integer with an N-bit prefix (§5.1), and what follows it.
fn integer(input: &[u8], bits: u32) -> Result<(Integer, &[u8]), Truncated> {
    let (&first, mut rest) = input.split_first().ok_or(Truncated)?;
    let max = (1u64 << bits) - 1;
    let value = u64::from(first) & max;
    if value < max {
        return Ok((Integer::Value(value), rest));
    }
    let mut value = max;
    let mut shift = 0u32;
    let mut overflow = false;
    loop {
        let (&byte, after) = rest.split_first().ok_or(Truncated)?;
        rest = after;
        let part = u64::from(byte & 0x7f)
            .checked_shl(shift)
            .filter(|p| shift < 57 && p >> shift == u64::from(byte & 0x7f));
        match part.and_then(|p| value.checked_add(p)) {
            Some(sum) => value = sum,
            None => overflow |= byte & 0x7f != 0,
        }
        shift = shift.saturating_add(7);
        if byte & 0x80 == 0 {
            return Ok((
                if overflow {
                    Integer::Overflow
                } else {
                    Integer::Value(value)
                },
                rest,
            ));
        }
    }
}

/// A string (§5.2) into `out`.
fn string<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Truncated> {
    let coded = input.first().is_some_and(|b| b & 0x80 != 0);
    let (len, rest) = integer(input, 7)?;
    let Integer::Value(len) = len else {
        return Err(Truncated);
    };
    let len = usize::try_from(len).map_err(|_| Truncated)?;
    let (text, rest) = rest.split_at_checked(len).ok_or(Truncated)?;
    out.clear();
    if coded {
        huffman::decode(text, out);
    } else {
        out.extend_from_slice(text);
    }
    Ok(rest)
}

impl Table {
    /// The peer allows this size (SETTINGS_HEADER_TABLE_SIZE).
    pub(super) fn set_max(&mut self, max: u64) {
        self.max = usize::try_from(max).unwrap_or(usize::MAX).min(TABLE_MAX);
        self.evict(self.max);
    }

    fn evict(&mut self, max: usize) {
        while self.size > max {
            let Some((name, value)) = self.entries.pop_back() else {
                break;
            };
            self.size = self.size.saturating_sub(32 + name.len() + value.len());
        }
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = 32 + name.len() + value.len();
        self.evict(self.max.saturating_sub(size));
        if size <= self.max {
            self.size += size;
            self.entries.push_front((name.to_vec(), value.to_vec()));
        }
    }

    fn entry(&self, index: u64) -> Option<(&[u8], &[u8])> {
        let index = usize::try_from(index).ok()?.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.as_bytes(), value.as_bytes())),
            None => self
                .entries
                .get(index - STATIC.len())
                .map(|(n, v)| (n.as_slice(), v.as_slice())),
        }
    }

    /// Reads a block.
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        found: &mut dyn FnMut(Item<'_>),
    ) -> Result<(), Truncated> {
        let (mut name, mut value) = (Vec::new(), Vec::new());
        let mut rest = input;
        let mut made = 0usize;
        while let Some(&first) = rest.first() {
            let (bits, indexed, keep) = match first {
                0x80.. => (7, true, false),
                0x40..=0x7f => (6, false, true),
                0x20..=0x3f => {
                    let (size, after) = integer(rest, 5)?;
                    rest = after;
                    match size {
                        Integer::Value(size) => {
                            self.set_max(size.min(TABLE_MAX as u64));
                            found(Item::SizeUpdate(size));
                        }
                        Integer::Overflow => found(Item::Overflow),
                    }
                    continue;
                }
                _ => (4, false, false),
            };
            let (index, after) = integer(rest, bits)?;
            rest = after;
            let index = match index {
                Integer::Value(index) => index,
                Integer::Overflow => {
                    found(Item::Overflow);
                    u64::MAX
                }
            };
            if indexed {
                match self.entry(index) {
                    Some((name, value)) => {
                        made += name.len() + value.len() + 4;
                        if made > MADE_MAX {
                            found(Item::TooMuch);
                            return Ok(());
                        }
                        found(Item::Field(name, value));
                    }
                    None => found(Item::NotIndexed),
                }
                continue;
            }
            let mut known = true;
            if index == 0 {
                rest = string(rest, &mut name)?;
            } else {
                name.clear();
                match self.entry(index) {
                    Some((entry, _)) => name.extend_from_slice(entry),
                    None => known = false,
                }
            }
            rest = string(rest, &mut value)?;
            if !known {
                found(Item::NotIndexed);
                continue;
            }
            made += name.len() + value.len() + 4;
            if made > MADE_MAX {
                found(Item::TooMuch);
                return Ok(());
            }
            found(Item::Field(&name, &value));
            if keep {
                self.insert(&name, &value);
            }
        }
        Ok(())
    }
}

/// The static table (Appendix A).
static STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(table: &mut Table, block: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let end = table.decode(block, &mut |item| {
            out.push(match item {
                Item::Field(n, v) => format!("{}={}", n.escape_ascii(), v.escape_ascii()),
                other => format!("{other:?}"),
            });
        });
        if end.is_err() {
            out.push("truncated".to_owned());
        }
        out
    }

    #[test]
    fn three_requests_of_the_rfc_share_a_table() {
        // RFC 7541 Appendix C.4.
        let mut table = Table::default();
        let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(
            read(&mut table, first),
            [
                ":method=GET",
                ":scheme=http",
                ":path=/",
                ":authority=www.example.com"
            ]
        );
        let second = b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf";
        let want = [
            ":method=GET",
            ":scheme=http",
            ":path=/",
            ":authority=www.example.com",
            "cache-control=no-cache",
        ];
        assert_eq!(read(&mut table, second), want);
        assert_eq!(table.size, 110);
    }

    #[test]
    fn wrong_indexes_sizes_and_ends_are_told() {
        let mut table = Table::default();
        assert_eq!(read(&mut table, b"\xbf\x80"), ["NotIndexed", "NotIndexed"]);
        assert_eq!(read(&mut table, b"\x20"), ["SizeUpdate(0)"]);
        assert_eq!(read(&mut table, b"\x41\x8c\xf1"), ["truncated"]);
        assert_eq!(
            read(
                &mut table,
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
            )[0],
            "Overflow"
        );
    }

    #[test]
    fn a_small_block_cannot_make_much() {
        let mut table = Table::default();
        table.set_max(65_536);
        let mut block = b"\x40\x01a\x7f\x81\xff\x01".to_vec();
        block.extend(std::iter::repeat_n(b'x', 127 + 32_641));
        assert_eq!(read(&mut table, &block).len(), 1);
        let bomb = vec![0xbe; 10_000];
        let out = read(&mut table, &bomb);
        assert!(
            out.len() < 12 && out.last().is_some_and(|l| l == "TooMuch"),
            "{}",
            out.len()
        );
    }
}
