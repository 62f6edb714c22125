//! The Huffman code of HPACK (RFC 7541 Appendix B).
//!
//! The code is canonical: codes grow with length, then with the symbol. So the lengths are all there is to know.

/// Length in bits of each octet's code. The end mark has thirty bits too, and is never decoded.
#[rustfmt::skip]
static LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Longest code, in bits.
const BITS_MAX: usize = 30;

/// Codes by length: the first one, how many there are, and where their symbols begin.
struct Code {
    first: [u32; BITS_MAX + 1],
    count: [u32; BITS_MAX + 1],
    start: [usize; BITS_MAX + 1],
    symbols: [u8; 256],
}

static CODE: Code = build();

const fn build() -> Code {
    let mut code = Code {
        first: [0; BITS_MAX + 1],
        count: [0; BITS_MAX + 1],
        start: [0; BITS_MAX + 1],
        symbols: [0; 256],
    };
    let mut next = 0u32;
    let mut at = 0usize;
    let mut bits = 1usize;
    while bits <= BITS_MAX {
        next <<= 1;
        code.first[bits] = next;
        code.start[bits] = at;
        let mut symbol = 0usize;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == bits {
                code.symbols[at] = symbol as u8;
                at += 1;
                next += 1;
                code.count[bits] += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    code
}

/// Decodes a string into `out`, as far as it can be decoded (the padding cannot).
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) {
    let (mut value, mut bits) = (0u32, 0usize);
    for &byte in input {
        for shift in (0..8).rev() {
            value = value << 1 | u32::from(byte >> shift & 1);
            bits += 1;
            let (Some(first), Some(count), Some(start)) = (
                CODE.first.get(bits),
                CODE.count.get(bits),
                CODE.start.get(bits),
            ) else {
                return;
            };
            let Some(index) = value.checked_sub(*first).filter(|i| i < count) else {
                continue;
            };
            let symbol = usize::try_from(index)
                .ok()
                .and_then(|i| CODE.symbols.get(start + i));
            out.push(symbol.copied().unwrap_or(0));
            (value, bits) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc_are_decoded() {
        // RFC 7541 Appendix C.4.1 and C.6.1.
        for (code, text) in [
            (
                &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
                &b"www.example.com"[..],
            ),
            (b"\x64\x02", b"302"),
            (
                b"\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3",
                b"https://www.example.com",
            ),
        ] {
            let mut out = Vec::new();
            decode(code, &mut out);
            assert_eq!(out, text);
        }
    }
}
