//! The versions of SSL and TLS: numbers, names, and which may begin a record.

/// SSL 2.0, as this module writes it.
pub const SSL2: u16 = 0x0200;
/// TLS 1.2.
pub const TLS12: u16 = 0x0303;
/// TLS 1.3.
pub const TLS13: u16 = 0x0304;

/// EVE's `tls.version`: a name, or the number in decimal.
pub fn name(version: u16) -> String {
    let draft = version & 0xff;
    match version {
        0 => "UNDETERMINED".into(),
        SSL2 => "SSLv2".into(),
        0x0300 => "SSLv3".into(),
        0x0301 => "TLSv1".into(),
        0x0302 => "TLS 1.1".into(),
        TLS12 => "TLS 1.2".into(),
        TLS13 => "TLS 1.3".into(),
        0x7f01 => "TLS 1.3 draft-<16".into(),
        0x7f10..=0x7f1c => format!("TLS 1.3 draft-{draft}"),
        0xfb14..=0xfb17 | 0xfb1a => format!("TLS 1.3 draft-{draft}-fb"),
        other => other.to_string(),
    }
}

/// Whether a record may carry it.
pub const fn is_valid(version: u16) -> bool {
    matches!(version, 0x0300..=0x0304 | 0x7f01 | 0x7f10..=0x7f1c | 0xfb14..=0xfb17 | 0xfb1a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_have_names_and_unknown_numbers_stay_numbers() {
        assert_eq!(
            [name(0x7f12), name(0xfb1a), name(5)],
            ["TLS 1.3 draft-18", "TLS 1.3 draft-26-fb", "5"]
        );
        assert!(is_valid(0x0300) && !is_valid(SSL2) && !is_valid(0));
    }
}
