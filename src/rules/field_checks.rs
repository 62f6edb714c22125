//! What contents of some fields must look like to ever match: host names are in lower case, digests are 32 hex digits.
//!
//! Where only the case differs the content is changed, as rule writers paste digests in either; what cannot match is
//! refused.

use super::ir::Content;

/// Checks a content of the field `name`, and puts it into the field's case. Answers a remark when something is
/// superfluous.
pub fn check(name: &str, content: &mut Content) -> Result<Option<&'static str>, String> {
    match name {
        "http.host" => {
            if content.nocase {
                return Ok(Some(
                    "http.host is always in lower case; nocase changes nothing",
                ));
            }
            if content.bytes.iter().any(u8::is_ascii_uppercase) {
                return Err(
                    "http.host is always in lower case, so a content with capitals never matches"
                        .into(),
                );
            }
        }
        "http.method" => {
            let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
            if blank(content.bytes.first()) || blank(content.bytes.last()) {
                return Err(
                    "a method has no blanks around it, so the content never matches".into(),
                );
            }
        }
        "http.protocol" if content.bytes.contains(&b' ') => {
            return Err("http.protocol holds no blank, so the content never matches".into());
        }
        "ja3.hash" | "ja3s.hash" | "email.body_md5" => {
            content.bytes.make_ascii_lowercase();
            if content.bytes.len() != 32 || !content.bytes.iter().all(u8::is_ascii_hexdigit) {
                return Err(format!(
                    "{name} is 32 hex digits, so the content never matches"
                ));
            }
        }
        "tls.cert_fingerprint" => {
            content.bytes.make_ascii_lowercase();
            if content.bytes.len() != 59 || !content.bytes.contains(&b':') {
                return Err("a fingerprint is 20 hex bytes with colons between, so the content never matches".into());
            }
        }
        "tls.cert_serial" => {
            content.bytes.make_ascii_uppercase();
            if content.bytes.len() > 2 && !content.bytes.contains(&b':') {
                return Err(
                    "a serial number has colons between its bytes, so the content never matches"
                        .into(),
                );
            }
        }
        _ => {}
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::keyword::plain_content;

    #[test]
    fn digests_are_put_into_lower_case_and_measured() {
        let mut digest = plain_content("ABCDEF0123456789ABCDEF0123456789").unwrap();
        assert_eq!(check("ja3.hash", &mut digest), Ok(None));
        assert!(digest.bytes.starts_with(b"abcdef"));
        assert!(check("ja3.hash", &mut plain_content("abc").unwrap()).is_err());
        assert!(check("http.host", &mut plain_content("Example.com").unwrap()).is_err());
        assert!(check("http.method", &mut plain_content("GET ").unwrap()).is_err());
        let mut serial = plain_content("0a:1b").unwrap();
        assert_eq!(check("tls.cert_serial", &mut serial), Ok(None));
        assert_eq!(serial.bytes, b"0A:1B");
    }
}
