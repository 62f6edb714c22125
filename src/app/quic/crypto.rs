//! Initial packets' protection (RFC 9001 §5, RFC 9369 §3.3): its keys follow from the first connection id, so anyone
//! on the path may read them.

#[cfg(test)]
use ring::aead;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::hkdf;

use crate::packet::Direction;

/// QUIC version 2.
pub const V2: u32 = 0x6b33_43cf;

/// Keys of both directions.
pub(super) struct Keys([Key; 2]);

struct Key {
    header: quic::HeaderProtectionKey,
    packet: LessSafeKey,
    iv: [u8; 12],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// From the version and the connection id of the client's first Initial; `None` for versions without them.
    pub(super) fn initial(version: u32, connection: &[u8]) -> Option<Self> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt(version)?);
        let initial = salt.extract(connection);
        let side = |label: &[u8]| {
            let mut secret = [0; 32];
            expand(&initial, label, &mut secret)?;
            Key::new(&secret, version == V2)
        };
        Some(Self([side(b"client in")?, side(b"server in")?]))
    }

    /// Removes the protection of a packet: `header` bytes up to the packet number, then `length` bytes of number and payload.
    pub(super) fn open(
        &self,
        direction: Direction,
        packet: &[u8],
        header: usize,
        length: usize,
    ) -> Option<Vec<u8>> {
        let [client, server] = &self.0;
        let key = if direction == Direction::ToServer {
            client
        } else {
            server
        };
        let mut bytes = packet.get(..header.checked_add(length)?)?.to_vec();
        // RFC 9001 §5.4.2: the sample lies where the payload would begin if the number had four bytes.
        let sample = bytes.get(header + 4..header + 20)?;
        let [first_mask, masks @ ..] = key.header.new_mask(sample).ok()?;
        let first = bytes.first_mut()?;
        *first ^= first_mask & if *first & 0x80 != 0 { 0x0f } else { 0x1f };
        let number_len = usize::from(*first & 3) + 1;
        let mut number = 0u32;
        for (byte, mask) in bytes
            .get_mut(header..header + number_len)?
            .iter_mut()
            .zip(masks)
        {
            *byte ^= mask;
            number = number << 8 | u32::from(*byte);
        }
        let mut nonce = key.iv;
        for (byte, n) in nonce
            .iter_mut()
            .rev()
            .zip(number.to_be_bytes().iter().rev())
        {
            *byte ^= n;
        }
        let payload = bytes.split_off(header + number_len);
        let mut payload = payload;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = key
            .packet
            .open_in_place(nonce, Aad::from(&bytes), &mut payload)
            .ok()?
            .len();
        payload.truncate(opened);
        Some(payload)
    }
}

impl Key {
    fn new(secret: &[u8; 32], v2: bool) -> Option<Self> {
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, secret);
        let (key, iv_label, header): (&[u8], &[u8], &[u8]) = if v2 {
            (b"quicv2 key", b"quicv2 iv", b"quicv2 hp")
        } else {
            (b"quic key", b"quic iv", b"quic hp")
        };
        let (mut packet_key, mut iv, mut header_key) = ([0; 16], [0; 12], [0; 16]);
        expand(&prk, key, &mut packet_key)?;
        expand(&prk, iv_label, &mut iv)?;
        expand(&prk, header, &mut header_key)?;
        Some(Self {
            header: quic::HeaderProtectionKey::new(&quic::AES_128, &header_key).ok()?,
            packet: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &packet_key).ok()?),
            iv,
        })
    }
}

struct Len(usize);
impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 §7.1).
fn expand(prk: &hkdf::Prk, label: &[u8], out: &mut [u8]) -> Option<()> {
    let len = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_len = [u8::try_from(6 + label.len()).ok()?];
    let info: [&[u8]; 5] = [&len, &label_len, b"tls13 ", label, &[0]];
    prk.expand(&info, Len(out.len()))
        .and_then(|okm| okm.fill(out))
        .ok()
}

/// The salt of a version.
fn salt(version: u32) -> Option<&'static [u8]> {
    Some(match version {
        // Q050.
        0x5130_3530 => {
            b"\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45"
        }
        0xff00_001d..=0xff00_0020 => {
            b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99"
        }
        0xface_b002 | 0xff00_0017..=0xff00_001c => {
            b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02"
        }
        1 | 0xff00_0021..=0xff00_0022 => {
            b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
        }
        V2 => b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
        _ => return None,
    })
}

/// Bytes that protection adds.
#[cfg(test)]
pub(super) const TAG_LEN: usize = aead::MAX_TAG_LEN;

#[cfg(test)]
impl Keys {
    /// Protects a packet whose number has one byte (for tests).
    pub(super) fn seal(
        &self,
        direction: Direction,
        header: &[u8],
        number: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let key = &self.0[direction.index()];
        let aad = [header, &[number]].concat();
        let mut nonce = key.iv;
        nonce[11] ^= number;
        let mut body = payload.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.packet
            .seal_in_place_append_tag(nonce, Aad::from(&aad), &mut body)
            .expect("sealed");
        let mut out = [&aad[..], &body].concat();
        let mask = key
            .header
            .new_mask(&out[header.len() + 4..header.len() + 20])
            .expect("mask");
        out[0] ^= mask[0] & 0x0f;
        out[header.len()] ^= mask[1];
        out
    }
}
