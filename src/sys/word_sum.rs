//! The sum of a block of 32-bit words, for checksums (RFC 1071), with the widest registers that the processor has.
//!
//! The body is plain code that the compiler turns into vector instructions. The program is built for any x86-64, whose
//! instructions add two words at a time; where AVX2 is there, the same body is compiled for it a second time and adds eight,
//! and a full-sized frame takes half the time. Nothing here knows about packets.

/// Bytes of a block from which on asking for AVX2 pays: below, both bodies take a few steps.
const WIDE_FROM: usize = 128;

/// The words of 32 bits in native order, added up, and what is left behind the last 32 bytes.
#[inline]
pub fn word_sum(bytes: &[u8]) -> (u64, &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= WIDE_FROM && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { wide(bytes) };
    }
    plain(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide(bytes: &[u8]) -> (u64, &[u8]) {
    plain(bytes)
}

#[inline(always)]
fn plain(bytes: &[u8]) -> (u64, &[u8]) {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            // 2^32 words would have to come before a lane overflows.
            *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
        }
    }
    let sum = lanes.iter().fold(0u64, |sum, lane| sum.wrapping_add(*lane));
    (sum, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bodies_add_up_the_same() {
        let bytes: Vec<u8> = (0..9_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
            .collect();
        for len in (0..300).chain([1_460, 1_500, 8_999, 9_000]) {
            let block = &bytes[..len];
            let whole = len / 32 * 32;
            let words = block[..whole].chunks(4);
            let sum: u64 = words
                .map(|w| u64::from(u32::from_ne_bytes(w.try_into().expect("four"))))
                .sum();
            assert_eq!(word_sum(block), (sum, &block[whole..]), "{len}");
            assert_eq!(plain(block), (sum, &block[whole..]), "{len}");
        }
    }
}
