//! The fields of application protocols as keywords: what each protocol of the registry declares, by name.
//!
//! No list is kept here: a field that a parser declares is a keyword, so parser and language cannot drift apart.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::file_fields::file_fields;
use crate::app::{Access, AppProto, Field, FieldDirection, registry};

/// A keyword that protocols declare.
#[derive(Debug)]
pub struct FieldKeyword {
    /// Its name.
    pub name: &'static str,
    /// The declaration of each protocol that has it.
    pub fields: Vec<(AppProto, &'static Field)>,
}

impl FieldKeyword {
    /// Whether each mention of it starts a search of its own (several values in a transaction).
    pub fn many(&self) -> bool {
        self.fields
            .iter()
            .any(|(_, f)| matches!(f.access, Access::Multi(_) | Access::Streaming(_)))
    }

    /// Whether it holds bytes that contents are searched in.
    pub fn is_bytes(&self) -> bool {
        self.fields.iter().any(|(_, f)| {
            matches!(
                f.access,
                Access::Bytes(_) | Access::Multi(_) | Access::Streaming(_)
            )
        })
    }

    /// The directions it exists in for protocols of which `holds` is true.
    pub fn direction(&self, holds: impl Fn(AppProto) -> bool) -> FieldDirection {
        let mut all = self
            .fields
            .iter()
            .filter(|(p, _)| holds(*p))
            .map(|(_, f)| f.direction);
        let Some(first) = all.next() else {
            return FieldDirection::Both;
        };
        if all.all(|d| d == first) {
            first
        } else {
            FieldDirection::Both
        }
    }
}

/// Every keyword that protocols declare.
#[derive(Debug, Default)]
pub struct Fields {
    list: Vec<FieldKeyword>,
    names: HashMap<&'static str, usize, foldhash::fast::FixedState>,
    modifiers: HashMap<&'static str, usize, foldhash::fast::FixedState>,
}

impl Fields {
    /// Those of the registry.
    pub fn all() -> &'static Self {
        static ALL: OnceLock<Fields> = OnceLock::new();
        ALL.get_or_init(|| {
            let protocols = registry::PROTOCOLS.iter().enumerate();
            Self::of(
                protocols.filter_map(|(i, p)| Some((AppProto(u8::try_from(i).ok()?), p.fields()))),
            )
        })
    }

    fn of(protocols: impl Iterator<Item = (AppProto, &'static [Field])>) -> Self {
        let mut all = Self::default();
        for (proto, fields) in protocols {
            let data = fields.iter().find(|f| f.name == "file.data");
            // Made once, like the others, and never freed.
            let common: &'static [Field] = match data {
                Some(data) => Box::leak(Box::new(file_fields(data.progress))),
                None => &[],
            };
            for field in fields.iter().chain(common) {
                let at = *all.names.entry(field.name).or_insert_with(|| {
                    all.list.push(FieldKeyword {
                        name: field.name,
                        fields: Vec::new(),
                    });
                    all.list.len() - 1
                });
                for alias in field.aliases {
                    all.names.entry(alias).or_insert(at);
                }
                if let Some(modifier) = field.modifier {
                    all.modifiers.entry(modifier).or_insert(at);
                }
                if let Some(keyword) = all.list.get_mut(at)
                    && !keyword.fields.iter().any(|(p, _)| *p == proto)
                {
                    keyword.fields.push((proto, field));
                }
            }
        }
        all
    }

    /// The keyword of a name or alias.
    pub fn named(&self, name: &str) -> Option<&FieldKeyword> {
        self.list.get(*self.names.get(name)?)
    }

    /// The keyword that an old modifier of contents means (`http_uri`).
    pub fn modifier(&self, name: &str) -> Option<&FieldKeyword> {
        self.list.get(*self.modifiers.get(name)?)
    }

    /// Every keyword.
    pub fn iter(&self) -> impl Iterator<Item = &FieldKeyword> {
        self.list.iter()
    }

    /// Every name, alias and modifier.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.names.keys().chain(self.modifiers.keys()).copied()
    }
}
