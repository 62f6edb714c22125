//! The certificates of a handshake: the chain as sent, and what the first of them says (RFC 5280, RFC 5246 §7.4.2).
//!
//! Nothing is verified; a certificate that does not parse is kept as bytes with an event.
//! Limits: a chain of [`CHAIN_MAX`] certificates, [`NAMES_MAX`] alternative names, 128 KiB a message (see `super`).

use sha1::{Digest, Sha1};
use x509_parser::prelude::*;

use crate::app::reader::Reader;

/// Most certificates kept of a chain.
pub const CHAIN_MAX: usize = 64;
/// Most alternative names kept of a certificate.
pub const NAMES_MAX: usize = 4096;

/// What the first certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaf {
    /// Subject, as `C=…, O=…, CN=…`.
    pub subject: Vec<u8>,
    /// Issuer.
    pub issuer: Vec<u8>,
    /// Serial number, `0A:1B…`.
    pub serial: Vec<u8>,
    /// Alternative names.
    pub names: Vec<Vec<u8>>,
    /// Start of validity, seconds since the epoch (negative before 1970).
    pub not_before: i64,
    /// End of validity.
    pub not_after: i64,
    /// SHA-1, `0a:1b…`.
    pub fingerprint: Vec<u8>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The certificates, DER.
    pub certificates: Vec<Vec<u8>>,
    /// The first of them, when it could be read.
    pub leaf: Option<Leaf>,
}

impl Chain {
    /// Reads the body of a Certificate message; what is wrong is told as names of events.
    pub fn read(bytes: &[u8]) -> (Self, Option<&'static str>) {
        let mut chain = Self::default();
        let Some(list) = Reader::new(bytes).counted24() else {
            return (chain, None);
        };
        let mut r = Reader::new(list);
        let mut fault = None;
        while !r.is_empty() && chain.certificates.len() < CHAIN_MAX {
            let Some(der) = r.counted24() else {
                fault = Some("INVALID_CERTIFICATE");
                break;
            };
            if chain.leaf.is_none() && chain.certificates.is_empty() {
                match Leaf::read(der) {
                    Ok(leaf) => chain.leaf = Some(leaf),
                    Err(event) => {
                        fault = Some(event);
                        continue;
                    }
                }
            }
            chain.certificates.push(der.to_vec());
        }
        (chain, fault)
    }
}

impl Leaf {
    fn read(der: &[u8]) -> Result<Self, &'static str> {
        let (_, x509) = X509Certificate::from_der(der).map_err(|e| event(&e))?;
        let names = match x509.tbs_certificate.subject_alternative_name() {
            Ok(Some(sans)) => sans
                .value
                .general_names
                .iter()
                .take(NAMES_MAX)
                .map(alternative)
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            subject: x509.subject().to_string().into_bytes(),
            issuer: x509.issuer().to_string().into_bytes(),
            serial: joined(x509.tbs_certificate.raw_serial(), true),
            names,
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            fingerprint: joined(&Sha1::digest(der), false),
        })
    }
}

fn alternative(name: &GeneralName<'_>) -> Vec<u8> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) => text.as_bytes().to_vec(),
        GeneralName::IPAddress(bytes) => format!("{bytes:?}").into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

fn joined(bytes: &[u8], upper: bool) -> Vec<u8> {
    let digits: &[u8; 16] = if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let digit = |n: u8| digits.get(usize::from(n)).copied().unwrap_or(b'0');
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            out.push(b':');
        }
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    out
}

fn event(error: &x509_parser::nom::Err<X509Error>) -> &'static str {
    use x509_parser::nom::Err;
    match error {
        Err::Incomplete(_) => "CERTIFICATE_INVALID_LENGTH",
        Err::Error(e) | Err::Failure(e) => match e {
            X509Error::InvalidVersion => "CERTIFICATE_INVALID_VERSION",
            X509Error::InvalidSerial => "CERTIFICATE_INVALID_SERIAL",
            X509Error::InvalidAlgorithmIdentifier => "CERTIFICATE_INVALID_ALGORITHMIDENTIFIER",
            X509Error::InvalidX509Name => "CERTIFICATE_INVALID_X509NAME",
            X509Error::InvalidDate => "CERTIFICATE_INVALID_DATE",
            X509Error::InvalidExtensions => "CERTIFICATE_INVALID_EXTENSIONS",
            X509Error::Der(_) => "CERTIFICATE_INVALID_DER",
            _ => "INVALID_CERTIFICATE",
        },
    }
}

/// `2026-11-22T05:40:01`, years before 1970 and after 9999 included.
pub fn iso(epoch_secs: i64) -> String {
    let (days, rest) = (epoch_secs.div_euclid(86_400), epoch_secs.rem_euclid(86_400));
    // Howard Hinnant's civil-from-days.
    let z = days.saturating_add(719_468);
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_before_1970_and_after_2038_are_written() {
        assert_eq!(iso(-86_400), "1969-12-31T00:00:00");
        assert_eq!(iso(2_177_367_003), "2038-12-31T00:10:03");
    }

    #[test]
    fn a_chain_of_broken_certificates_raises_an_event_and_keeps_going() {
        let (chain, fault) = Chain::read(&[0, 0, 10, 0, 0, 2, 0x30, 0, 0, 0, 2, 1, 2]);
        assert!(chain.leaf.is_none() && fault.is_some(), "{fault:?}");
        let (chain, fault) = Chain::read(&[0, 0, 3, 0, 0, 9]);
        assert_eq!(
            (chain.certificates.len(), fault),
            (0, Some("INVALID_CERTIFICATE"))
        );
    }
}
