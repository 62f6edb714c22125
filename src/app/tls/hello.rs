//! What a TLS hello tells: versions, ciphers, extensions, and the fingerprints made of them (JA3, JA3S, JA4).
//!
//! The same hellos are found in TLS records and in QUIC's CRYPTO frames, so this knows nothing of either.
//! JA3: salesforce/ja3; JA4: FoxIO technical details. GREASE values (RFC 8701) never count.
//! A hello is bounded by its message (see `super`): nothing here grows beyond its input.

use std::fmt::Write;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::alert::hex_digit;
use crate::app::reader::Reader;

/// Which hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// ClientHello.
    Client,
    /// ServerHello.
    Server,
}

/// What was wrong inside a hello. Events of [`super::EVENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A length does not fit.
    Length,
    /// The name in the server name extension is not a host name.
    SniType,
    /// Its length is 0, over 255, or does not fit.
    SniLength,
    /// There is more than one.
    SniMultiple,
}

/// A hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The version field, as sent.
    pub legacy_version: u16,
    /// The version in effect: that of supported_versions when there is one (client: its first valid one).
    pub version: u16,
    /// Random (RFC 8446 §4.1.2).
    pub random: [u8; 32],
    /// Session id.
    pub session_id: Vec<u8>,
    /// Cipher suites offered; one in a server hello. Without GREASE.
    pub ciphers: Vec<u16>,
    /// Extensions in order, without GREASE.
    pub extensions: Vec<u16>,
    /// Supported groups (client), without GREASE.
    pub groups: Vec<u16>,
    /// Point formats (client).
    pub point_formats: Vec<u8>,
    /// Signature algorithms (client), without GREASE.
    pub signatures: Vec<u16>,
    /// Application protocols, empty ones left out.
    pub alpns: Vec<Vec<u8>>,
    /// Server name.
    pub sni: Option<Vec<u8>>,
    /// Whether there was a supported_versions extension.
    pub has_versions: bool,
    /// Whether there was an early_data extension.
    pub early_data: bool,
    /// Whether there was a session_ticket extension.
    pub ticket: bool,
    /// What was wrong.
    pub faults: Vec<Fault>,
    /// Whether everything up to the extensions could be read.
    pub complete: bool,
}

impl Hello {
    /// Reads the body of a hello message. What can be read is kept, what is wrong is noted.
    pub fn read(bytes: &[u8], side: Side) -> Self {
        let mut hello = Self::default();
        if hello.fill(&mut Reader::new(bytes), side).is_none() {
            hello.faults.push(Fault::Length);
        } else {
            hello.complete = true;
        }
        hello
    }

    fn fill(&mut self, r: &mut Reader<'_>, side: Side) -> Option<()> {
        self.legacy_version = r.u16()?;
        // Drafts before 16 said 0x0304 or 0x7f01..0x7f0f here.
        self.version = match self.legacy_version {
            0x0304 | 0x7f01..=0x7f0f => 0x7f01,
            version => version,
        };
        // Drafts 1 to 21 had neither session id nor compression in the server hello.
        let draft = side == Side::Server
            && (self.legacy_version == 0x0304 || self.legacy_version >> 8 == 0x7f);
        self.random.copy_from_slice(r.take(32)?);
        if !draft {
            self.session_id = r.counted8()?.to_vec();
        }
        let ciphers = match side {
            Side::Client => r.counted16()?,
            Side::Server => r.take(2)?,
        };
        if ciphers.len() % 2 != 0 {
            return None;
        }
        self.ciphers = words(ciphers).filter(|c| !is_grease(*c)).collect();
        match side {
            Side::Client => r.counted8().map(|_| ())?,
            Side::Server if draft => {}
            Side::Server => r.skip(1)?,
        }
        if r.left() < 2 {
            return Some(());
        }
        let mut extensions = Reader::new(r.counted16()?);
        while !extensions.is_empty() {
            let (kind, body) = (extensions.u16()?, extensions.counted16()?);
            if let Err(fault) = self.extension(kind, body, side) {
                self.faults.push(fault);
                break;
            }
            if !is_grease(kind) {
                self.extensions.push(kind);
            }
        }
        Some(())
    }

    fn extension(&mut self, kind: u16, body: &[u8], side: Side) -> Result<(), Fault> {
        if body.is_empty() && kind != EARLY_DATA && kind != SESSION_TICKET {
            return Ok(());
        }
        let mut r = Reader::new(body);
        match kind {
            SERVER_NAME => return self.server_name(&mut r),
            SUPPORTED_GROUPS => {
                let groups = r.counted16().ok_or(Fault::Length)?;
                if side == Side::Client {
                    self.groups.extend(words(groups).filter(|g| !is_grease(*g)));
                }
            }
            EC_POINT_FORMATS => {
                let formats = r.counted8().ok_or(Fault::Length)?;
                if side == Side::Client {
                    self.point_formats.extend_from_slice(formats);
                }
            }
            SIGNATURE_ALGORITHMS => {
                let algorithms = r
                    .counted16()
                    .filter(|a| a.len() % 2 == 0)
                    .ok_or(Fault::Length)?;
                if side == Side::Client {
                    self.signatures
                        .extend(words(algorithms).filter(|a| !is_grease(*a)));
                }
            }
            ALPN => {
                let mut names = Reader::new(r.counted16().ok_or(Fault::Length)?);
                while let Some(name) = names.counted8() {
                    if !name.is_empty() {
                        self.alpns.push(name.to_vec());
                    }
                }
            }
            SUPPORTED_VERSIONS if side == Side::Client => {
                let versions = r.counted8().filter(|v| v.len() >= 2).ok_or(Fault::Length)?;
                self.has_versions = true;
                if let Some(version) = words(versions).find(|v| super::version::is_valid(*v)) {
                    self.version = version;
                }
            }
            SUPPORTED_VERSIONS => {
                self.version = r.u16().ok_or(Fault::Length)?;
                self.has_versions = true;
            }
            EARLY_DATA => self.early_data = true,
            SESSION_TICKET => self.ticket = true,
            _ => {}
        }
        Ok(())
    }

    /// RFC 6066 §3.
    fn server_name(&mut self, r: &mut Reader<'_>) -> Result<(), Fault> {
        r.u16().ok_or(Fault::Length)?;
        if r.u8().ok_or(Fault::Length)? != 0 {
            return Err(Fault::SniType);
        }
        let len = r.u16().ok_or(Fault::Length)?;
        let name = r
            .take(usize::from(len))
            .filter(|n| !n.is_empty() && n.len() <= 255)
            .ok_or(Fault::SniLength)?;
        if self.sni.is_some() {
            self.faults.push(Fault::SniMultiple);
        } else {
            self.sni = Some(name.to_vec());
        }
        Ok(())
    }

    /// The JA3 (client) or JA3S (server) string.
    pub fn ja3(&self, side: Side) -> String {
        let mut out = self.legacy_version.to_string();
        let mut list = |values: &mut dyn Iterator<Item = u16>| {
            out.push(',');
            for (i, value) in values.enumerate() {
                let dash = if i > 0 { "-" } else { "" };
                let _ = write!(out, "{dash}{value}");
            }
        };
        list(&mut self.ciphers.iter().copied());
        list(&mut self.extensions.iter().copied());
        if side == Side::Client {
            list(&mut self.groups.iter().copied());
            list(&mut self.point_formats.iter().map(|f| u16::from(*f)));
        }
        out
    }

    /// The JA4 fingerprint of a client hello; `transport` is `t` (TCP) or `q` (QUIC).
    pub fn ja4(&self, transport: char) -> String {
        let version = match self.version.max(self.legacy_version) {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            _ => "00",
        };
        let name = if self.extensions.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        };
        let (first, last) = alpn_ends(self.alpns.first().map_or(&[][..], Vec::as_slice));
        let (ciphers, extensions) = (self.ciphers.len().min(99), self.extensions.len().min(99));
        let mut sorted = self.ciphers.clone();
        sorted.sort_unstable();
        let mut kept: Vec<u16> = self
            .extensions
            .iter()
            .copied()
            .filter(|e| *e != ALPN && *e != SERVER_NAME)
            .collect();
        kept.sort_unstable();
        let b = short_sha256(&hex_list(&sorted));
        let c = short_sha256(&format!(
            "{}_{}",
            hex_list(&kept),
            hex_list(&self.signatures)
        ));
        format!("{transport}{version}{name}{ciphers:02}{extensions:02}{first}{last}_{b}_{c}")
    }
}

/// The extensions of a hello message's body as they lie there, in order, GREASE included; empty when it is broken.
pub fn extensions(bytes: &[u8], side: Side) -> Vec<(u16, &[u8])> {
    fn list<'a>(r: &mut Reader<'a>, side: Side) -> Option<&'a [u8]> {
        r.skip(34)?;
        r.counted8()?;
        if side == Side::Client {
            r.counted16()?;
            r.counted8()?;
        } else {
            r.skip(3)?;
        }
        r.counted16()
    }
    let mut r = Reader::new(list(&mut Reader::new(bytes), side).unwrap_or_default());
    std::iter::from_fn(|| Some((r.u16()?, r.counted16()?))).collect()
}

/// MD5 in lower-case hexadecimal, as JA3, JA3S and HASSH are written.
pub fn md5_hex(text: &[u8]) -> String {
    hex(&Md5::digest(text))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

fn short_sha256(text: &str) -> String {
    let mut digest = hex(&Sha256::digest(text.as_bytes()));
    digest.truncate(12);
    digest
}

fn hex_list(values: &[u16]) -> String {
    let mut out = String::with_capacity(values.len() * 5);
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        for byte in value.to_be_bytes() {
            out.push(hex_digit(byte >> 4).into());
            out.push(hex_digit(byte & 15).into());
        }
    }
    out
}

/// First and last character of the first ALPN; hexadecimal digits when they are not alphanumeric.
fn alpn_ends(alpn: &[u8]) -> (char, char) {
    let (Some(&first), Some(&last)) = (alpn.first(), alpn.last()) else {
        return ('0', '0');
    };
    if alpn.len() == 2 && is_grease(u16::from_be_bytes([first, last])) {
        return ('0', '0');
    }
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return (char::from(first), char::from(last));
    }
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    (digit(first >> 4), digit(last & 15))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes
        .chunks_exact(2)
        .filter_map(|pair| pair.first_chunk().map(|p| u16::from_be_bytes(*p)))
}

/// RFC 8701: both bytes the same, each ending in `a`.
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_hello_has_the_known_ja4() {
        let mut hello = Hello::default();
        assert_eq!(hello.ja4('t'), "t00i000000_e3b0c44298fc_d2e2adf7177b");
        hello.version = 0x0303;
        hello.alpns.push(b"h3-16".to_vec());
        hello.extensions = vec![0, ALPN];
        hello.ciphers = vec![0x1111, 0x0a20, 0xbada];
        assert_eq!(hello.ja4('q'), "q12d0302h6_f500716053f9_d2e2adf7177b");
    }

    #[test]
    fn alpn_that_is_not_text_shows_hexadecimal_ends() {
        assert_eq!(alpn_ends(&[0xab]), ('a', 'b'));
        assert_eq!(alpn_ends(&[0x30, 0xab]), ('3', 'b'));
        assert_eq!(alpn_ends(&[0x2a, 0x2a]), ('0', '0'));
        assert_eq!(alpn_ends(b"b"), ('b', 'b'));
    }

    #[test]
    fn only_the_sixteen_grease_values_are_grease() {
        assert_eq!((0..=u16::MAX).filter(|v| is_grease(*v)).count(), 16);
        assert!(is_grease(0xfafa) && !is_grease(0x0a1a));
    }

    #[test]
    fn a_wrong_server_name_is_told_and_ends_the_extensions() {
        let mut bytes = vec![3, 3];
        bytes.extend([7; 32]);
        bytes.extend(b"\x00\x00\x02\x13\x01\x01\x00\x00\x0d\x00\x00\x00\x05\x00\x03\x01\x00\x00\x00\x23\x00\x00");
        let hello = Hello::read(&bytes, Side::Client);
        assert!(hello.complete && hello.sni.is_none() && !hello.ticket);
        assert_eq!(
            (hello.faults.as_slice(), hello.ja3(Side::Client).as_str()),
            (&[Fault::SniType][..], "771,4865,,,")
        );
    }
}
