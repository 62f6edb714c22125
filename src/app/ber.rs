//! ASN.1 in BER (X.690), as LDAP, SNMP and Kerberos use it: elements of definite length, read where they lie.
//!
//! Nothing recurses: a caller opens an element's body and reads on, so depth is bounded by the protocol's own grammar.

use super::reader::Reader;

/// An element: identifier and contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// 0 universal, 1 application, 2 context-specific, 3 private.
    pub class: u8,
    /// Whether the contents are elements.
    pub constructed: bool,
    /// Tag number.
    pub tag: u32,
    /// Contents.
    pub body: &'a [u8],
}

/// Why an element cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// So many bytes more are needed at least.
    NeedMore(usize),
    /// It is not BER of definite length.
    Broken,
}

/// Universal tags.
pub const INTEGER: u32 = 2;
/// OCTET STRING.
pub const OCTETS: u32 = 4;
/// OBJECT IDENTIFIER.
pub const OID: u32 = 6;
/// ENUMERATED.
pub const ENUMERATED: u32 = 10;
/// SEQUENCE.
pub const SEQUENCE: u32 = 16;

/// Class, constructed, tag and length of an element, its contents not looked at.
pub fn header(r: &mut Reader<'_>) -> Result<(u8, bool, u32, usize), Unread> {
    let more = Unread::NeedMore(1);
    let first = r.u8().ok_or(more)?;
    let mut tag = u32::from(first & 0x1f);
    if tag == 0x1f {
        tag = 0;
        loop {
            let byte = r.u8().ok_or(more)?;
            if tag >= 1 << 21 {
                return Err(Unread::Broken);
            }
            tag = tag << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let byte = r.u8().ok_or(more)?;
    let mut len = usize::from(byte);
    if byte & 0x80 != 0 {
        let count = usize::from(byte & 0x7f);
        if count == 0 || count > 4 {
            return Err(Unread::Broken);
        }
        let bytes = r.take(count).ok_or(more)?;
        len = bytes.iter().fold(0, |len, b| len << 8 | usize::from(*b));
    }
    Ok((first >> 6, first & 0x20 != 0, tag, len))
}

/// The next element.
pub fn element<'a>(r: &mut Reader<'a>) -> Result<Element<'a>, Unread> {
    let mut inner = *r;
    let (class, constructed, tag, len) = header(&mut inner)?;
    let body = inner
        .take(len)
        .ok_or_else(|| Unread::NeedMore(len.saturating_sub(inner.left())))?;
    *r = inner;
    Ok(Element {
        class,
        constructed,
        tag,
        body,
    })
}

/// The next element, when it is universal and has this tag.
pub fn universal<'a>(r: &mut Reader<'a>, tag: u32) -> Option<&'a [u8]> {
    let mut inner = *r;
    let found = element(&mut inner)
        .ok()
        .filter(|e| e.class == 0 && e.tag == tag)?;
    *r = inner;
    Some(found.body)
}

/// The next element, when it is context-specific and has this tag.
pub fn context<'a>(r: &mut Reader<'a>, tag: u32) -> Option<&'a [u8]> {
    let mut inner = *r;
    let found = element(&mut inner)
        .ok()
        .filter(|e| e.class == 2 && e.tag == tag)?;
    *r = inner;
    Some(found.body)
}

/// The next element as an INTEGER that is not negative and fits.
pub fn integer(r: &mut Reader<'_>) -> Option<u32> {
    unsigned(universal(r, INTEGER)?)
}

/// An integer's contents, when it is not negative and fits.
pub fn unsigned(bytes: &[u8]) -> Option<u32> {
    let (first, _) = bytes.split_first()?;
    if first & 0x80 != 0 || bytes.len() > 5 {
        return None;
    }
    u32::try_from(bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b))).ok()
}

/// An integer's contents with their sign, when they fit.
pub fn signed(bytes: &[u8]) -> Option<i64> {
    let (first, _) = bytes.split_first()?;
    if bytes.len() > 8 {
        return None;
    }
    let start = if first & 0x80 != 0 { -1 } else { 0 };
    Some(bytes.iter().fold(start, |n, b| n << 8 | i64::from(*b)))
}

/// An object identifier's contents as `1.3.6.1…`; arcs of more than 64 bits end it.
pub fn oid(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let mut arc = 0u64;
    for (i, byte) in bytes.iter().enumerate() {
        if arc >= 1 << 57 {
            break;
        }
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if out.is_empty() && i < 10 {
            let first = (arc / 40).min(2);
            let _ = write!(out, "{first}.{}", arc - first * 40);
        } else {
            let _ = write!(out, ".{arc}");
        }
        arc = 0;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_tags_of_every_form_are_read() {
        let mut r = Reader::new(&[0x30, 0x82, 0, 2, 5, 0, 0x7f, 0x81, 0x01, 0]);
        assert_eq!(universal(&mut r, SEQUENCE), Some(&[5, 0][..]));
        assert_eq!(
            element(&mut r),
            Ok(Element {
                class: 1,
                constructed: true,
                tag: 129,
                body: &[]
            })
        );
        assert_eq!(
            element(&mut Reader::new(&[4, 9, 1])),
            Err(Unread::NeedMore(8))
        );
        assert_eq!(
            element(&mut Reader::new(&[0x30, 0x80])),
            Err(Unread::Broken)
        );
    }

    #[test]
    fn numbers_keep_their_sign_and_oids_their_arcs() {
        assert_eq!(
            (unsigned(&[0, 255]), unsigned(&[255]), signed(&[255])),
            (Some(255), None, Some(-1))
        );
        assert_eq!(oid(&[0x2b, 6, 1, 4, 1, 0x8b, 0x3a]), "1.3.6.1.4.1.1466");
        assert_eq!(oid(&[0x88, 0x37, 3]), "2.999.3");
    }
}
