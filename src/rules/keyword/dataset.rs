//! `dataset`: values listed in a file.
//!
//! Sets are loaded with the rules and only read afterwards: `isset` and `isnotset`. Rules that add to a set while traffic
//! flows (`set`, `unset`, `state`, `save`) are refused by name, since several workers would have to share it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::transform::hex;
use super::{Keyword, Value, parts};
use crate::rules::draft::Draft;
use crate::rules::ir::{Dataset, DatasetKind, Test};

pub(super) const KEYWORDS: &[Keyword] = &[Keyword {
    name: "dataset",
    doc: "the buffer is (isset) or is not (isnotset) in a set: name, type string | md5 | sha256 | ipv4 | ip, load FILE",
    example: "",
    parse: dataset,
    ..Keyword::PLAIN
}];

/// Values in one set, at most.
pub(super) const VALUES_MAX: usize = 10_000_000;

fn dataset(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let negate = match words.next().unwrap_or_default() {
        "isset" => false,
        "isnotset" => true,
        other => return Err(format!("\"{other}\": isset and isnotset are supported")),
    };
    let name = words
        .next()
        .filter(|n| !n.is_empty())
        .ok_or("the set's name is missing")?;
    let (mut kind, mut load) = (None, None);
    for word in words {
        match word.split_once([' ', '\t']).map(|(n, v)| (n, v.trim())) {
            Some(("type", text)) => {
                kind = Some(match text {
                    "string" => DatasetKind::String,
                    "md5" => DatasetKind::Md5,
                    "sha256" => DatasetKind::Sha256,
                    "ipv4" => DatasetKind::Ipv4,
                    "ip" => DatasetKind::Ip,
                    other => return Err(format!("\"{other}\" is not a type of sets")),
                });
            }
            Some(("load", file)) => load = Some(file),
            Some(("hashsize" | "memcap", _)) => {}
            _ => return Err(format!("\"{word}\" is not type, load, memcap or hashsize")),
        }
    }
    if draft.sticky_name().is_none() {
        return Err("needs a sticky buffer before it".into());
    }
    let set = match (draft.context.datasets.get(name), load) {
        (Some(known), _) if kind.is_none_or(|k| k == known.kind) => known.clone(),
        (Some(_), _) => return Err(format!("the set {name} was loaded with another type")),
        (None, None) => {
            return Err(format!(
                "the set {name} is not loaded: load FILE is missing"
            ));
        }
        (None, Some(file)) => {
            let kind = kind.ok_or("type is missing")?;
            let path = draft.context.folder.join(file);
            let bytes = std::fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
            let values = values(&bytes, kind)
                .map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))?;
            let set = Arc::new(Dataset {
                name: name.to_owned(),
                kind,
                values,
            });
            draft.context.datasets.insert(name.to_owned(), set.clone());
            set
        }
    };
    draft.test(Test::Dataset { set, negate })
}

/// The values of a file, one a line.
fn values(bytes: &[u8], kind: DatasetKind) -> Result<HashSet<Box<[u8]>>, (usize, String)> {
    let mut all = HashSet::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let number = number + 1;
        let text = std::str::from_utf8(line)
            .map_err(|_| (number, "is not text".to_owned()))?
            .trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        // What follows a comma is a reputation, which this keyword does not look at.
        let text = text.split(',').next().unwrap_or_default();
        let value = match kind {
            DatasetKind::String => base64(text),
            DatasetKind::Md5 => hex(text).filter(|v| v.len() == 16),
            DatasetKind::Sha256 => hex(text).filter(|v| v.len() == 32),
            DatasetKind::Ipv4 => text
                .parse::<std::net::Ipv4Addr>()
                .ok()
                .map(|a| a.octets().to_vec()),
            DatasetKind::Ip => text.parse::<IpAddr>().ok().map(|a| match a {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            }),
        };
        let value = value.ok_or_else(|| {
            (
                number,
                format!("\"{text}\" is not a value of the set's type"),
            )
        })?;
        if all.len() >= VALUES_MAX {
            return Err((number, format!("more than {VALUES_MAX} values")));
        }
        all.insert(value.into_boxed_slice());
    }
    Ok(all)
}

/// Decodes base64 with or without padding; `None` when it is not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u8);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_type() {
        assert!(
            values(b"c3VyaWNhdGE=\n\n# x\n", DatasetKind::String)
                .unwrap()
                .contains(&b"suricata"[..])
        );
        assert!(
            values(b"1.2.3.4\n", DatasetKind::Ipv4)
                .unwrap()
                .contains(&[1_u8, 2, 3, 4][..])
        );
        assert_eq!(values(b"ab\nzz\n", DatasetKind::Md5).unwrap_err().0, 1);
    }
}
