//! The signatures of a rule set: all of them in memory, or each read from its text when it is first asked for.
//!
//! Of a public rule set's 26,000 signatures a network needs a few hundred: those whose patterns occur in its traffic. A
//! rule set whose compiled form is in the cache therefore keeps the text, and reads a rule when it is looked at. It was
//! read before, by the same program and with the same variables, or it would not be in the cache.

use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use super::classification::Classes;
use super::context::Context;
use super::ir::{RuleSet, Sid, Signature};
use super::lexer::Lines;
use super::load::RuleFiles;
use super::parser::{Parsed, parse};
use super::variables::Variables;

/// Where a signature's text is, and what it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Number of its file.
    pub file: u16,
    /// Its line, from 1.
    pub line: u32,
    /// Its first byte in the file, with the comments before it.
    pub start: u32,
    /// Its end.
    pub end: u32,
    /// gid, sid, rev.
    pub name: (u32, u32, u32),
}

/// Signatures, in the order of loading.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Signatures {
    /// One for each signature.
    places: Vec<Place>,
    /// All of them, unless `unread` has them.
    #[serde(skip)]
    list: Vec<Signature>,
    #[serde(skip)]
    unread: Option<Box<Unread>>,
}

/// Signatures of which only the text is there.
#[derive(Debug)]
struct Unread {
    files: Vec<Vec<u8>>,
    read: Vec<OnceLock<Option<Box<Signature>>>>,
    context: Mutex<Context>,
}

impl Signatures {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A signature by its index.
    pub fn get(&self, index: usize) -> Option<&Signature> {
        match &self.unread {
            None => self.list.get(index),
            Some(unread) => {
                let read = unread.read.get(index)?;
                read.get_or_init(|| unread.parse(*self.places.get(index)?, index))
                    .as_deref()
            }
        }
    }

    /// gid, sid and revision of a signature, without reading it.
    pub fn name(&self, index: usize) -> Option<(u32, u32, u32)> {
        self.places.get(index).map(|place| place.name)
    }

    /// How many are of a file, by its number, without reading them.
    pub fn of_file(&self, number: usize) -> usize {
        let of_it = |place: &&Place| usize::from(place.file) == number;
        self.places.iter().filter(of_it).count()
    }

    /// The first one.
    pub fn first(&self) -> Option<&Signature> {
        self.get(0)
    }

    /// All of them.
    pub fn iter(&self) -> Iter<'_> {
        Iter { of: self, next: 0 }
    }

    /// Makes room for as many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.list.reserve(more);
        self.places.reserve(more);
    }

    /// Adds one.
    pub(super) fn push(&mut self, signature: Signature, place: Place) {
        self.list.push(signature);
        self.places.push(place);
    }

    /// Puts another one in the place of one.
    pub(super) fn replace(&mut self, index: usize, signature: Signature, place: Place) {
        if let (Some(known), Some(at)) = (self.list.get_mut(index), self.places.get_mut(index)) {
            *known = signature;
            *at = place;
        }
    }

    /// Numbers them when all are there.
    pub(super) fn close(&mut self) {
        for (index, signature) in self.list.iter_mut().enumerate() {
            signature.index = u32::try_from(index).unwrap_or(u32::MAX);
        }
        self.list.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    /// Takes them as a list.
    #[cfg(test)]
    pub(super) fn into_list(self) -> Vec<Signature> {
        self.list
    }
}

impl RuleSet {
    /// From now on its signatures are read from these files when they are asked for. Everything else of the rule set, and
    /// the places of its signatures, must come from a load of the same files with the same variables.
    #[must_use]
    pub fn with_text(mut self, files: RuleFiles, variables: &Variables) -> Self {
        let classes = Classes::of(self.classes.clone(), self.reference_systems.clone());
        let mut context = Context::new(variables.clone(), classes);
        context.resume(&self);
        let mut read = Vec::new();
        read.resize_with(self.signatures.len(), OnceLock::new);
        self.signatures.unread = Some(Box::new(Unread {
            files: files.into_texts(),
            read,
            context: Mutex::new(context),
        }));
        self
    }
}

impl Unread {
    fn parse(&self, place: Place, index: usize) -> Option<Box<Signature>> {
        let file = self.files.get(usize::from(place.file))?;
        let text = file.get(place.start as usize..place.end as usize)?;
        let line = Lines::new(text).next()?;
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = parse(&mut context, &line.text, (place.file, place.line));
        context.notes.clear();
        match parsed {
            Ok(Parsed::Signature(mut signature)) if signature.sid == Sid(place.name.1) => {
                signature.index = u32::try_from(index).unwrap_or(u32::MAX);
                Some(signature)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
impl std::ops::Index<usize> for Signatures {
    type Output = Signature;

    fn index(&self, index: usize) -> &Signature {
        self.get(index).expect("a signature of that index")
    }
}

impl<'a> IntoIterator for &'a Signatures {
    type Item = &'a Signature;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Goes through signatures.
#[derive(Debug)]
pub struct Iter<'a> {
    of: &'a Signatures,
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Signature;

    fn next(&mut self) -> Option<&'a Signature> {
        let signature = self.of.get(self.next)?;
        self.next += 1;
        Some(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{LoadSettings, load_files, read_files};

    const RULES: &str = "# a comment\n\
        alert tcp any any -> any 80 (msg:\"a\"; content:\"x\"; classtype:odd; flowbits:set,b; sid:1;)\n\
        \n\
        alert http any any -> any any (msg:\"b\"; http.uri; to_lowercase; content:\"y\"; \\\n  pcre:\"/z/\"; sid:2; rev:3;)\n\
        alert tcp $HOME_NET any -> any any (nonsense; sid:3;)\n\
        alert tcp any any -> any any (msg:\"old\"; sid:4; rev:1;)\n\
        alert dns any any -> any any (dns.query; content:\"c\"; flowbits:isset,b; xbits:set,e,track ip_src; sid:5;)\n\
        alert tcp any any -> any any (msg:\"new\"; flowint:n,+,1; sid:4; rev:2;)\n";

    #[test]
    fn a_signature_that_is_read_later_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.rules");
        std::fs::write(&path, RULES).unwrap();
        let settings = LoadSettings {
            paths: vec![path],
            ..LoadSettings::default()
        };
        let files = read_files(&settings).unwrap();
        let loaded = load_files(&settings, &files);
        assert_eq!((loaded.signatures.len(), loaded.errors.len()), (4, 1));
        let stored = postcard::to_allocvec(&loaded).unwrap();
        let again: RuleSet = postcard::from_bytes(&stored).unwrap();
        let again = again.with_text(files, &settings.variables);
        assert_eq!(again.signatures.len(), 4);
        // In another order than they were loaded in: what they share has its numbers already.
        for index in [3, 1, 0, 2, 1] {
            let (one, other) = (&loaded.signatures[index], &again.signatures[index]);
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
            assert_eq!(again.signatures.name(index), Some((1, one.sid.0, one.rev)));
        }
        assert_eq!(
            format!("{:?}", loaded.buffers),
            format!("{:?}", again.buffers)
        );
        assert_eq!(loaded.bit_names, again.bit_names);
    }
}
