//! Reassembly: from accepted TCP segments to in-order bytes.
//!
//! Passive ("IDS") mode follows Suricata: bytes are handed to the application layer when the receiver has acknowledged
//! them, and are inspected with the next packet of their direction; so overlaps and segments that the receiver never
//! took cannot hide an attack. Inline mode hands over bytes at once, before they are delivered.

/// Bytes of one direction that detection may look at as raw stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamWindow<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Offset in the stream of the first of them (0 = first byte after the SYN).
    pub offset: u64,
    /// How many bytes at the front of `bytes` were part of an earlier window.
    pub seen: usize,
}
