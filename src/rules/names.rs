//! Numbers for names: flowbits, flowints, xbits.

use std::collections::HashMap;

/// Gives each distinct name a number, from 0.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, u32, foldhash::fast::FixedState>,
    /// Names by number.
    pub(super) list: Vec<String>,
}

impl Names {
    /// The names of a list, numbered in its order.
    pub(super) fn of(list: &[String]) -> Self {
        let mut names = Self::default();
        for name in list {
            names.id(name);
        }
        names
    }

    /// The number of a name.
    pub(super) fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
        id
    }
}

/// The name nearest to `wanted` by edit distance, when one is near enough to be meant.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wanted.len() / 3).clamp(1, 3);
    names
        .filter(|name| name.len().abs_diff(wanted.len()) <= most)
        .map(|name| (distance(wanted.as_bytes(), name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) that turn `a` into `b`. `_`, `.` and `-` count as the same.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let plain = |byte: u8| {
        if matches!(byte, b'_' | b'-') {
            b'.'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (&y, &up) in b.iter().zip(row.iter().skip(1)) {
            let cost = diagonal + usize::from(plain(x) != plain(y));
            left = cost.min(left + 1).min(up + 1);
            next.push(left);
            diagonal = up;
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_only_when_near() {
        let names = ["content", "http.uri", "flowbits", "isdataat"];
        let near = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(near("contnet"), Some("content"));
        assert_eq!(near("http_uri"), Some("http.uri"));
        assert_eq!(near("flowbit"), Some("flowbits"));
        assert_eq!(near("whatever"), None);
    }

    #[test]
    fn names_get_the_same_number_again() {
        let mut names = Names::default();
        assert_eq!((names.id("a"), names.id("b"), names.id("a")), (0, 1, 0));
        assert_eq!(names.list, ["a", "b"]);
    }
}
