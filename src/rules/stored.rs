//! Fields of protocols as they are written into the cache of compiled rule sets: by their place among all keywords
//! ([`Fields`]), which is the same as long as the program is. What names a place that is not there is refused.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize};

use super::fields::Fields;
use crate::app::{AppProto, Field};

/// A field by its place: keyword, and declaration of that keyword.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place(u16, u16);

impl Place {
    fn of(field: &'static Field) -> Option<Self> {
        static PLACES: OnceLock<HashMap<usize, Place, foldhash::fast::FixedState>> =
            OnceLock::new();
        let places = PLACES.get_or_init(|| {
            let keywords = (0u16..).zip(Fields::all().iter());
            keywords
                .flat_map(|(keyword, k)| {
                    let declared = (0u16..).zip(&k.fields);
                    declared.map(move |(at, (_, field))| {
                        (std::ptr::from_ref(*field) as usize, Self(keyword, at))
                    })
                })
                .collect()
        });
        places.get(&(std::ptr::from_ref(field) as usize)).copied()
    }

    fn field(self) -> Option<&'static Field> {
        let keyword = Fields::all().iter().nth(usize::from(self.0))?;
        keyword
            .fields
            .get(usize::from(self.1))
            .map(|(_, field)| *field)
    }
}

/// A field.
pub mod field {
    use super::{Deserialize, Deserializer, Field, Place, Serialize};

    /// Writes its place.
    pub fn serialize<S: serde::Serializer>(
        field: &&'static Field,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let place = Place::of(field);
        place
            .ok_or_else(|| serde::ser::Error::custom("a field that is no keyword"))?
            .serialize(serializer)
    }

    /// Finds it.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<&'static Field, D::Error> {
        let place = Place::deserialize(deserializer)?;
        place
            .field()
            .ok_or_else(|| serde::de::Error::custom("no such field"))
    }
}

/// A field with a serializer of its own, for lists and options of fields.
#[derive(Serialize, Deserialize)]
struct Wrapped(#[serde(with = "field")] &'static Field);

/// A field, or none.
pub mod field_or_none {
    use super::{Deserialize, Deserializer, Field, Serialize, Wrapped};

    /// Writes its place.
    pub fn serialize<S: serde::Serializer>(
        field: &Option<&'static Field>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        field.map(Wrapped).serialize(serializer)
    }

    /// Finds it.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<&'static Field>, D::Error> {
        let field: Option<Wrapped> = Deserialize::deserialize(deserializer)?;
        Ok(field.map(|f| f.0))
    }
}

/// The declarations of a keyword.
pub(super) mod fields {
    use super::{AppProto, Deserialize, Deserializer, Field, Wrapped};

    type List = Vec<(AppProto, &'static Field)>;

    pub fn serialize<S: serde::Serializer>(
        fields: &List,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(fields.iter().map(|(proto, field)| (proto, Wrapped(field))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<List, D::Error> {
        let fields: Vec<(AppProto, Wrapped)> = Deserialize::deserialize(deserializer)?;
        Ok(fields.into_iter().map(|(p, f)| (p, f.0)).collect())
    }
}

/// The name of a keyword.
pub(super) mod keyword_name {
    use super::{Deserialize, Deserializer, Fields};

    pub fn serialize<S: serde::Serializer>(
        name: &&'static str,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<&'static str, D::Error> {
        let name: &str = Deserialize::deserialize(deserializer)?;
        let known = Fields::all().iter().find(|k| k.name == name);
        known
            .map(|k| k.name)
            .ok_or_else(|| serde::de::Error::custom("no such keyword"))
    }
}
