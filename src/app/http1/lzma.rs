//! LZMA as the old `.lzma` files have it: 13 bytes of header, then one range-coded stream.
//!
//! Decodes as far as the input given so far goes. A symbol that runs dry is undone and tried again with more input; what
//! is kept for that is at most some tens of bytes. The dictionary is at most 1 MiB: what refers further back is broken.
//! Parameters beyond `lc + lp` = 4 (which no encoder writes) are refused, as liblzma does.
//!
//! Source: Igor Pavlov's LZMA specification (public domain, 2015).

/// Dictionary kept, whatever the header asks for (libhtp's default memory limit).
const DICT_MAX: usize = 1 << 20;

/// How far a piece went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All input was read.
    Read,
    /// The stream ended.
    Ended,
    /// The receiver wants no more.
    Stopped,
}

/// The stream is not LZMA, or refers beyond the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The input ends within a symbol.
struct Dry;

// Where each table of probabilities begins in the one vector that holds them.
const IS_MATCH: usize = 0;
const IS_REP: usize = IS_MATCH + 12 * 16;
const IS_REP0: usize = IS_REP + 12;
const IS_REP1: usize = IS_REP0 + 12;
const IS_REP2: usize = IS_REP1 + 12;
const IS_REP0_LONG: usize = IS_REP2 + 12;
const SLOT: usize = IS_REP0_LONG + 12 * 16;
const SPECIAL: usize = SLOT + 4 * 64;
const ALIGN: usize = SPECIAL + 128;
const LENGTH: usize = ALIGN + 16;
const REP_LENGTH: usize = LENGTH + LENGTH_SIZE;
const LITERAL: usize = REP_LENGTH + LENGTH_SIZE;

// Within a table of lengths.
const CHOICE: usize = 0;
const LOW: usize = 2;
const MID: usize = LOW + 16 * 8;
const HIGH: usize = MID + 16 * 8;
const LENGTH_SIZE: usize = HIGH + 256;

/// A probability of one half, of 2048.
const HALF: u16 = 1024;

/// The range coder and what it has adapted to.
#[derive(Clone, Copy, Debug, Default)]
struct Coder {
    range: u32,
    code: u32,
    state: usize,
    rep: [u32; 4],
}

/// One decoded symbol.
enum Symbol {
    Literal(u8),
    /// Copy this many bytes from so far back (1 = the last byte).
    Match(usize, usize),
    End,
}

/// A streaming decoder.
#[derive(Debug, Default)]
pub(super) struct Lzma {
    /// Undecided input.
    input: Vec<u8>,
    probs: Vec<u16>,
    /// Changed probabilities of the symbol in work, to undo them.
    undo: Vec<(usize, u16)>,
    coder: Coder,
    lc: u32,
    lp_mask: u64,
    pb_mask: u64,
    started: bool,
    /// Bytes decoded so far.
    total: u64,
    /// Bytes that the header promises; none: until the end mark.
    size: Option<u64>,
    /// The last bytes decoded, as a ring once it is full.
    dict: Vec<u8>,
    next: usize,
}

impl Lzma {
    /// Decodes the next bytes.
    pub(super) fn push(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Broken> {
        let mut held = std::mem::take(&mut self.input);
        held.extend_from_slice(input);
        let mut at = 0usize;
        if !self.started {
            match self.start(&held)? {
                Some(taken) => at = taken,
                None => {
                    self.input = held;
                    return Ok(Progress::Read);
                }
            }
        }
        let mut filled = 0usize;
        let progress = loop {
            if self.size.is_some_and(|size| self.total >= size) {
                break Progress::Ended;
            }
            let (before, from) = (self.coder, at);
            self.undo.clear();
            match self.symbol(&held, &mut at) {
                Err(Dry) => {
                    for &(index, prob) in self.undo.iter().rev() {
                        if let Some(slot) = self.probs.get_mut(index) {
                            *slot = prob;
                        }
                    }
                    (self.coder, at) = (before, from);
                    break Progress::Read;
                }
                Ok(Symbol::End) => break Progress::Ended,
                Ok(Symbol::Literal(byte)) => {
                    self.keep(byte);
                    if let Some(slot) = out.get_mut(filled) {
                        *slot = byte;
                    }
                    filled += 1;
                }
                Ok(Symbol::Match(len, back)) => {
                    let left = self.size.map_or(u64::MAX, |size| size - self.total);
                    for _ in 0..len.min(usize::try_from(left).unwrap_or(usize::MAX)) {
                        let byte = self.back(back).ok_or(Broken)?;
                        self.keep(byte);
                        if filled >= out.len() {
                            if !sink(out) {
                                return Ok(Progress::Stopped);
                            }
                            filled = 0;
                        }
                        if let Some(slot) = out.get_mut(filled) {
                            *slot = byte;
                        }
                        filled += 1;
                    }
                }
            }
            if filled >= out.len() {
                if !sink(out) {
                    return Ok(Progress::Stopped);
                }
                filled = 0;
            }
        };
        if filled > 0 && !sink(out.get(..filled).unwrap_or_default()) {
            return Ok(Progress::Stopped);
        }
        held.drain(..at.min(held.len()));
        self.input = held;
        Ok(progress)
    }

    /// Reads the header and the coder's first five bytes.
    fn start(&mut self, input: &[u8]) -> Result<Option<usize>, Broken> {
        let Some(&properties) = input.first() else {
            return Ok(None);
        };
        if properties >= 9 * 5 * 5 {
            return Err(Broken);
        }
        let (lc, rest) = (u32::from(properties % 9), properties / 9);
        let (lp, pb) = (u32::from(rest % 5), u32::from(rest / 5));
        if lc + lp > 4 {
            return Err(Broken);
        }
        let Some(header) = input.first_chunk::<18>() else {
            return Ok(None);
        };
        let mut size = [0u8; 8];
        size.copy_from_slice(header.get(5..13).unwrap_or(&[0; 8]));
        let size = u64::from_le_bytes(size);
        self.size = (size != u64::MAX).then_some(size);
        let [.., first, a, b, c, d] = *header;
        if first != 0 {
            return Err(Broken);
        }
        self.coder = Coder {
            range: u32::MAX,
            code: u32::from_be_bytes([a, b, c, d]),
            state: 0,
            rep: [0; 4],
        };
        (self.lc, self.lp_mask, self.pb_mask) = (lc, (1 << lp) - 1, (1 << pb) - 1);
        self.probs = vec![HALF; LITERAL + (0x300 << (lc + lp))];
        self.started = true;
        Ok(Some(header.len()))
    }

    fn keep(&mut self, byte: u8) {
        self.total += 1;
        if self.dict.len() < DICT_MAX {
            self.dict.push(byte);
        } else if let Some(slot) = self.dict.get_mut(self.next) {
            *slot = byte;
            self.next = (self.next + 1) % DICT_MAX;
        }
    }

    /// The byte `back` bytes ago (1 = the last one).
    fn back(&self, back: usize) -> Option<u8> {
        let len = self.dict.len();
        if back == 0 || back > len {
            return None;
        }
        let index = if len < DICT_MAX {
            len - back
        } else {
            (self.next + DICT_MAX - back) % DICT_MAX
        };
        self.dict.get(index).copied()
    }

    fn normalize(&mut self, input: &[u8], at: &mut usize) -> Result<(), Dry> {
        if self.coder.range < 1 << 24 {
            let byte = *input.get(*at).ok_or(Dry)?;
            *at += 1;
            self.coder.range <<= 8;
            self.coder.code = self.coder.code << 8 | u32::from(byte);
        }
        Ok(())
    }

    fn bit(&mut self, index: usize, input: &[u8], at: &mut usize) -> Result<usize, Dry> {
        self.normalize(input, at)?;
        let Some(slot) = self.probs.get_mut(index) else {
            return Err(Dry);
        };
        let prob = *slot;
        self.undo.push((index, prob));
        let bound = (self.coder.range >> 11) * u32::from(prob);
        if self.coder.code < bound {
            self.coder.range = bound;
            *slot = prob + ((2048 - prob) >> 5);
            Ok(0)
        } else {
            self.coder.range -= bound;
            self.coder.code -= bound;
            *slot = prob - (prob >> 5);
            Ok(1)
        }
    }

    fn direct(&mut self, count: u32, input: &[u8], at: &mut usize) -> Result<u32, Dry> {
        let mut value = 0u32;
        for _ in 0..count {
            self.normalize(input, at)?;
            self.coder.range >>= 1;
            let one = self.coder.code >= self.coder.range;
            if one {
                self.coder.code -= self.coder.range;
            }
            value = value << 1 | u32::from(one);
        }
        Ok(value)
    }

    fn tree(&mut self, base: usize, bits: u32, input: &[u8], at: &mut usize) -> Result<usize, Dry> {
        let mut m = 1usize;
        for _ in 0..bits {
            m = m << 1 | self.bit(base + m, input, at)?;
        }
        Ok(m - (1 << bits))
    }

    fn tree_reverse(
        &mut self,
        base: usize,
        bits: u32,
        input: &[u8],
        at: &mut usize,
    ) -> Result<u32, Dry> {
        let (mut m, mut value) = (1usize, 0u32);
        for i in 0..bits {
            let bit = self.bit(base + m, input, at)?;
            m = m << 1 | bit;
            value |= u32::from(bit == 1) << i;
        }
        Ok(value)
    }

    fn length(
        &mut self,
        base: usize,
        position: usize,
        input: &[u8],
        at: &mut usize,
    ) -> Result<usize, Dry> {
        if self.bit(base + CHOICE, input, at)? == 0 {
            return Ok(2 + self.tree(base + LOW + position * 8, 3, input, at)?);
        }
        if self.bit(base + CHOICE + 1, input, at)? == 0 {
            return Ok(10 + self.tree(base + MID + position * 8, 3, input, at)?);
        }
        Ok(18 + self.tree(base + HIGH, 8, input, at)?)
    }

    fn literal(&mut self, input: &[u8], at: &mut usize) -> Result<Symbol, Dry> {
        let previous = usize::from(self.back(1).unwrap_or(0));
        let low = usize::try_from(self.total & self.lp_mask).unwrap_or(0);
        let base = LITERAL + 0x300 * ((low << self.lc) + (previous >> (8 - self.lc)));
        let mut symbol = 1usize;
        if self.coder.state >= 7 {
            let back = usize::try_from(self.coder.rep[0])
                .unwrap_or(usize::MAX)
                .saturating_add(1);
            let mut matched = usize::from(self.back(back).unwrap_or(0));
            while symbol < 0x100 {
                let expected = matched >> 7 & 1;
                matched <<= 1;
                let bit = self.bit(base + ((1 + expected) << 8) + symbol, input, at)?;
                symbol = symbol << 1 | bit;
                if bit != expected {
                    break;
                }
            }
        }
        while symbol < 0x100 {
            symbol = symbol << 1 | self.bit(base + symbol, input, at)?;
        }
        self.coder.state = match self.coder.state {
            0..=3 => 0,
            state @ 4..=9 => state - 3,
            state => state - 6,
        };
        Ok(Symbol::Literal(u8::try_from(symbol & 0xff).unwrap_or(0)))
    }

    fn distance(&mut self, len: usize, input: &[u8], at: &mut usize) -> Result<u32, Dry> {
        let slot = self.tree(SLOT + 64 * (len - 2).min(3), 6, input, at)?;
        let slot = u32::try_from(slot).unwrap_or(0);
        if slot < 4 {
            return Ok(slot);
        }
        let bits = (slot >> 1) - 1;
        let base = (2 | (slot & 1)) << bits;
        if slot < 14 {
            let table = SPECIAL + usize::try_from(base - slot).unwrap_or(0);
            return Ok(base + self.tree_reverse(table, bits, input, at)?);
        }
        let high = self.direct(bits - 4, input, at)? << 4;
        Ok(base
            .wrapping_add(high)
            .wrapping_add(self.tree_reverse(ALIGN, 4, input, at)?))
    }

    fn symbol(&mut self, input: &[u8], at: &mut usize) -> Result<Symbol, Dry> {
        let position = usize::try_from(self.total & self.pb_mask).unwrap_or(0);
        let state = self.coder.state;
        if self.bit(IS_MATCH + state * 16 + position, input, at)? == 0 {
            return self.literal(input, at);
        }
        if self.bit(IS_REP + state, input, at)? == 0 {
            let len = self.length(LENGTH, position, input, at)?;
            self.coder.state = if state < 7 { 7 } else { 10 };
            let distance = self.distance(len, input, at)?;
            let [a, b, c, _] = self.coder.rep;
            self.coder.rep = [distance, a, b, c];
            if distance == u32::MAX {
                return Ok(Symbol::End);
            }
            return Ok(Symbol::Match(len, self.last_distance()));
        }
        if self.bit(IS_REP0 + state, input, at)? == 0 {
            if self.bit(IS_REP0_LONG + state * 16 + position, input, at)? == 0 {
                self.coder.state = if state < 7 { 9 } else { 11 };
                return Ok(Symbol::Match(1, self.last_distance()));
            }
        } else {
            let [a, b, c, d] = self.coder.rep;
            self.coder.rep = if self.bit(IS_REP1 + state, input, at)? == 0 {
                [b, a, c, d]
            } else if self.bit(IS_REP2 + state, input, at)? == 0 {
                [c, a, b, d]
            } else {
                [d, a, b, c]
            };
        }
        let len = self.length(REP_LENGTH, position, input, at)?;
        self.coder.state = if state < 7 { 8 } else { 11 };
        Ok(Symbol::Match(len, self.last_distance()))
    }

    fn last_distance(&self) -> usize {
        usize::try_from(self.coder.rep[0])
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(data: &[u8], chunk: usize) -> (Vec<u8>, Result<Progress, Broken>) {
        let (mut lzma, mut out, mut buffer) = (Lzma::default(), Vec::new(), [0u8; 16]);
        let mut last = Ok(Progress::Read);
        for piece in data.chunks(chunk) {
            last = lzma.push(piece, &mut buffer, &mut |bytes| {
                out.extend_from_slice(bytes);
                true
            });
            if last != Ok(Progress::Read) {
                break;
            }
        }
        (out, last)
    }

    /// [`text`] as xz --format=lzma writes it (with an end mark).
    const MARKED: &[u8] = b"\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x3a\x1a\x08\xce\x76\xc7\xe5\xe9\xd6\x07\x34\xc3\xd1\x0e\xbf\xce\x55\xe1\xaa\xbd\xe4\x69\x54\xf5\xd6\x8b\x00\x91\x6e\x2a\x9a\xd6\x6b\x4a\xca\x15\xeb\x25\xf2\x32\xe8\xf7\x57\x1c\x73\x03\x24\x4f\x11\xa2\x9c\x25\xde\xb7\x3f\x9f\x61\x1e\xec\xe9\x60\x48\x87\x9a\x34\xc5\xe3\x6b\x66\x77\x32\xff\xf9\xc9\x80\xc2\x5c\x10\x35\x96\xd1\x8b\xd6\xb8\xd6\xe3\x43\x7c\x9f\x7f\xff\xe5\x91\x00\x00";

    fn text() -> Vec<u8> {
        let mut text =
            b"the quick brown fox, the quick brown fox, the quicker brown fox; 0123456789 "
                .to_vec();
        text.extend_from_slice(&b"ab".repeat(200));
        text.extend((0..=255u8).step_by(7));
        text
    }

    #[test]
    fn any_chunking_gives_the_text() {
        for chunk in [1, 2, 3, 5, 17, 1000] {
            assert_eq!(
                decoded(MARKED, chunk),
                (text(), Ok(Progress::Ended)),
                "{chunk}"
            );
        }
        let mut sized = MARKED.to_vec();
        sized[5..13].copy_from_slice(&(text().len() as u64).to_le_bytes());
        assert_eq!(decoded(&sized, 7), (text(), Ok(Progress::Ended)));
        assert_eq!(
            decoded(&MARKED[..MARKED.len() - 30], 7).1,
            Ok(Progress::Read)
        );
    }

    #[test]
    fn what_is_not_lzma_is_broken() {
        assert_eq!(
            decoded(b"\xffplain text that is no lzma", 100).1,
            Err(Broken)
        );
        let mut data = MARKED.to_vec();
        data[13] = 1;
        assert_eq!(decoded(&data, 100).1, Err(Broken));
    }
}
