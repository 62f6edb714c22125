//! The `replace` keyword: where in a packet's payload the bytes stand that a rule wants changed.
//!
//! Only contents are looked at again, in their order, each bound by its offset and depth or by its distance and within to
//! the one before; another place is tried when a later content does not fit. Limits: [`TRIES`] places in all.

use crate::rules::{BufferSource, Content, Number, RuleSet, Signature, Test};

/// Places tried for the contents of one signature.
const TRIES: usize = 4_096;

/// What is to be written where in the payload: offset and bytes.
pub type Replacement = (u32, Vec<u8>);

/// The replacements of a signature that matched, when it has some.
pub fn replacements(rules: &RuleSet, signature: &Signature, payload: &[u8]) -> Vec<Replacement> {
    let contents: Vec<&Content> = signature
        .groups
        .iter()
        .filter(|g| {
            rules
                .buffers
                .get(usize::from(g.buffer.0))
                .is_some_and(|b| matches!(b.source, BufferSource::Payload))
        })
        .flat_map(|g| &g.tests)
        .filter_map(|test| match test {
            Test::Content(content) if !content.negate => Some(content),
            _ => None,
        })
        .collect();
    if contents.iter().all(|c| c.replace.is_none()) {
        return Vec::new();
    }
    let mut places = Vec::new();
    let mut tries = TRIES;
    if !place(&contents, payload, 0, &mut places, &mut tries) {
        return Vec::new();
    }
    contents
        .iter()
        .zip(places)
        .filter_map(|(content, at)| Some((u32::try_from(at).ok()?, content.replace.clone()?)))
        .collect()
}

/// Finds places for all contents; `last` is the end of the one before.
fn place(
    contents: &[&Content],
    payload: &[u8],
    last: usize,
    places: &mut Vec<usize>,
    tries: &mut usize,
) -> bool {
    let [content, rest @ ..] = contents else {
        return true;
    };
    let len = content.bytes.len();
    let fixed = |number: Option<Number>| match number {
        Some(Number::Fixed(n)) => Some(n),
        _ => None,
    };
    let size = payload.len() as i64;
    let base = if content.relative() { last as i64 } else { 0 };
    let from = base
        + fixed(content.distance)
            .or(fixed(content.offset))
            .unwrap_or(0);
    let room = fixed(content.within).or(fixed(content.depth));
    let until = room.map_or(size, |room| from.saturating_add(room).min(size));
    let from = usize::try_from(from.max(0)).unwrap_or(usize::MAX);
    let until = usize::try_from(until.max(0)).unwrap_or(0);
    for at in from..=until.saturating_sub(len) {
        *tries = match tries.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        let Some(found) = payload.get(at..at + len).filter(|_| at + len <= until) else {
            return false;
        };
        let same = if content.nocase {
            found.eq_ignore_ascii_case(&content.bytes)
        } else {
            found == content.bytes
        };
        let fits =
            same && (!content.starts || at == from) && (!content.ends || at + len == payload.len());
        if !fits {
            continue;
        }
        places.push(at);
        if place(rest, payload, at + len, places, tries) {
            return true;
        }
        places.pop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(rule: &str) -> RuleSet {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("r.rules");
        std::fs::write(&path, rule).expect("writes");
        crate::rules::load(&crate::rules::LoadSettings {
            paths: vec![path],
            ..Default::default()
        })
        .expect("loads")
    }

    #[test]
    fn the_bytes_that_matched_are_the_ones_replaced() {
        let rule = r#"alert tcp any any -> any any (msg:"x"; content:"user="; content:"root"; replace:"nobo"; within:6; content:"!"; distance:0; sid:1;)"#;
        let rules = loaded(rule);
        let signature = rules.signatures.first().expect("one");
        let payload = b"root user=xx root user= root !";
        assert_eq!(
            replacements(&rules, signature, payload),
            [(24, b"nobo".to_vec())]
        );
        assert!(replacements(&rules, signature, b"user= root").is_empty());
    }
}
