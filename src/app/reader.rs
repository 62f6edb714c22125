//! Reads a message front to back: numbers and slices, each answer bounded by what is there.
//!
//! A read past the end gives `None` and leaves the position where it was, so a parser can say how much it lacks.
//! Nothing is copied.

/// A position in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $type:ty, $from:ident, $size:expr) => {
        $(#[$doc])*
        pub fn $name(&mut self) -> Option<$type> {
            let value = self.rest().first_chunk::<$size>().map(|b| <$type>::$from(*b))?;
            self.at += $size;
            Some(value)
        }
    };
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Reads `bytes` from an offset (the end, when it lies beyond).
    pub fn starting(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at: at.min(bytes.len()),
        }
    }

    /// Offset of the next byte.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The whole message, read or not.
    pub const fn all(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Number of bytes left.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// The next byte, not taken.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..len)?;
        self.at += len;
        Some(taken)
    }

    /// A reader over the next `len` bytes.
    pub fn part(&mut self, len: usize) -> Option<Self> {
        self.take(len).map(Self::new)
    }

    /// Steps over `len` bytes.
    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.at = self.bytes.len();
        rest
    }

    /// The bytes before the next `stop`, which is stepped over.
    pub fn until(&mut self, stop: u8) -> Option<&'a [u8]> {
        let rest = self.rest();
        let len = memchr::memchr(stop, rest)?;
        self.at += len + 1;
        rest.get(..len)
    }

    number!(/// One byte.
        u8, u8, from_be_bytes, 1);
    number!(/// 16 bits, big endian.
        u16, u16, from_be_bytes, 2);
    number!(/// 32 bits, big endian.
        u32, u32, from_be_bytes, 4);
    number!(/// 64 bits, big endian.
        u64, u64, from_be_bytes, 8);
    number!(/// 16 bits, little endian.
        u16_le, u16, from_le_bytes, 2);
    number!(/// 32 bits, little endian.
        u32_le, u32, from_le_bytes, 4);
    number!(/// 64 bits, little endian.
        u64_le, u64, from_le_bytes, 8);

    /// 24 bits, big endian.
    pub fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = *self.rest().first_chunk::<3>()?;
        self.at += 3;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// Bytes after their 8-bit length.
    pub fn counted8(&mut self) -> Option<&'a [u8]> {
        let start = *self;
        let len = self.u8()?;
        self.take(usize::from(len)).or_else(|| self.back(start))
    }

    /// Bytes after their 16-bit length.
    pub fn counted16(&mut self) -> Option<&'a [u8]> {
        let start = *self;
        let len = self.u16()?;
        self.take(usize::from(len)).or_else(|| self.back(start))
    }

    /// Bytes after their 24-bit length.
    pub fn counted24(&mut self) -> Option<&'a [u8]> {
        let start = *self;
        let len = self.u24()?;
        self.take(len as usize).or_else(|| self.back(start))
    }

    /// Bytes after their 32-bit length.
    pub fn counted32(&mut self) -> Option<&'a [u8]> {
        let start = *self;
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
            .or_else(|| self.back(start))
    }

    fn back(&mut self, start: Self) -> Option<&'a [u8]> {
        *self = start;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_leaves_the_position() {
        let mut r = Reader::new(&[0, 5, 1, 2]);
        assert_eq!(r.counted16(), None);
        assert_eq!(
            (r.position(), r.u16(), r.u24(), r.left()),
            (0, Some(5), None, 2)
        );
        assert_eq!(
            (r.u16_le(), r.u8(), r.is_empty()),
            (Some(0x201), None, true)
        );
    }

    #[test]
    fn until_steps_over_the_stop() {
        let mut r = Reader::new(b"ab\0c");
        assert_eq!(
            (r.until(0), r.until(0), r.take_rest()),
            (Some(&b"ab"[..]), None, &b"c"[..])
        );
    }
}
