//! Parameters of mail header fields: `value; name=text; name="text"` (RFC 2045 §5.1), and those cut into sections
//! (RFC 2231 §3).

/// Sections of a parameter that are put together.
const SECTIONS_MAX: usize = 64;

/// The parameters after the first `;`, in order, until one cannot be read.
fn parameters(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let begin = value
        .iter()
        .position(|b| *b == b';')
        .map_or(value.len(), |at| at + 1);
    let mut rest = value.get(begin..).unwrap_or_default();
    std::iter::from_fn(move || {
        let equals = rest.iter().position(|b| *b == b'=')?;
        let name = rest.get(..equals)?.trim_ascii();
        rest = rest.get(equals + 1..)?;
        let text = match quoted(rest) {
            Some((text, after)) => {
                rest = after.trim_ascii_start();
                text
            }
            None => {
                let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
                let (text, after) = rest.split_at_checked(end)?;
                rest = after;
                text.trim_ascii_end()
            }
        };
        rest = rest.strip_prefix(b";").unwrap_or(rest);
        Some((name, text))
    })
}

/// A text in quotation marks, and what follows it. A backslash takes their meaning from the ones inside.
fn quoted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = bytes.strip_prefix(b"\"")?;
    let mut escaped = false;
    let end = inside.iter().position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\';
        ends
    });
    let end = end.or_else(|| inside.iter().position(|b| *b == b'"'))?;
    Some((inside.get(..end)?, inside.get(end + 1..)?))
}

/// The text of a parameter: whole, in sections `name*0`, `name*1`, …, or in the encoded form `name*`.
pub(super) fn parameter(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let find = |wanted: &str| {
        parameters(value)
            .filter(|(n, _)| n.eq_ignore_ascii_case(wanted.as_bytes()))
            .last()
    };
    if let Some((_, text)) = find(name) {
        return Some(text.to_vec());
    }
    let section = |number: usize| {
        find(&format!("{name}*{number}")).or_else(|| find(&format!("{name}*{number}*")))
    };
    let mut whole = match section(0) {
        Some((_, text)) => text.to_vec(),
        None => return find(&format!("{name}*")).map(|(_, text)| text.to_vec()),
    };
    for number in 1..SECTIONS_MAX {
        let Some((_, text)) = section(number) else {
            break;
        };
        whole.extend_from_slice(text);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(value: &str, name: &str) -> Option<String> {
        parameter(value.as_bytes(), name).map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn parameters_are_read_in_every_form() {
        let value = "attachment; filename=\"a;b.exe\"; size=3";
        assert_eq!(get(value, "filename").as_deref(), Some("a;b.exe"));
        assert_eq!(get(value, "size").as_deref(), Some("3"));
        assert_eq!(
            get("x;FileName = a.txt ; y=1", "filename").as_deref(),
            Some(" a.txt")
        );
        assert_eq!(
            get(
                "x; filename*0=\"ab\"; filename*1=cd; filename*3=e",
                "filename"
            )
            .as_deref(),
            Some("abcd")
        );
        assert_eq!(
            get("x; filename*=UTF-8''a%20b", "filename").as_deref(),
            Some("UTF-8''a%20b")
        );
        assert_eq!(
            get("x; filename=\"a\\\"b\"", "filename").as_deref(),
            Some("a\\\"b")
        );
        assert_eq!(get("filename=x", "filename"), None);
        assert_eq!(get("x; filename=", "filename").as_deref(), Some(""));
    }
}
