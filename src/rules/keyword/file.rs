//! Files in traffic: old forms with a value, storing, lists of digests.

use std::collections::HashSet;

use super::app::legacy;
use super::field::direction_prefix;
use super::transform::hex;
use super::{Argument, Keyword, Quotes, Value};
use crate::app::{Digests, FieldTest, Session, Transaction};
use crate::packet::Direction;
use crate::rules::compare::{Range, compare};
use crate::rules::dataset::VALUES_MAX;
use crate::rules::draft::Draft;
use crate::rules::fields::Fields;
use crate::rules::file_fields::{AnyFile, FileSize, MAGIC};
use crate::rules::ir::{Test, TxTest, TxWant};
use crate::sys::libmagic;

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "filename",
        doc: "the file's name contains this, in any case",
        example: r#"alert http any any -> any any (filename:"secret"; sid:1;)"#,
        quotes: Quotes::Optional,
        negation: true,
        parse: |draft, value| legacy(draft, value, "file.name", true),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "fileext",
        doc: "the file's name ends with this extension, in any case",
        example: r#"alert http any any -> any any (fileext:"exe"; sid:1;)"#,
        quotes: Quotes::Optional,
        negation: true,
        parse: extension,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "filemagic",
        doc: "the file's kind in libmagic's words contains this, in any case",
        example: "",
        quotes: Quotes::Required,
        negation: true,
        parse: |draft, value| {
            wants_magic(draft)?;
            legacy(draft, value, MAGIC, true)
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "filestore",
        doc: "keep the file that matched",
        example: r#"alert http any any -> any any (filename:"x"; filestore; sid:1;)"#,
        argument: Argument::Optional,
        parse: store,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "filesize",
        doc: "size of a file, once it has ended: `>N`, `<N`, `N<>M`",
        example: r#"alert http any any -> any any (filesize:>1000; sid:1;)"#,
        quotes: Quotes::Optional,
        parse: size,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "filemd5",
        doc: "the file's MD5 is, or with ! is not, in a list: one digest a line, in hexadecimal",
        negation: true,
        quotes: Quotes::Optional,
        parse: |draft, value| listed(draft, value, Kind::Md5),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "filesha1",
        doc: "the file's SHA-1 is, or with ! is not, in a list",
        negation: true,
        quotes: Quotes::Optional,
        parse: |draft, value| listed(draft, value, Kind::Sha1),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "filesha256",
        doc: "the file's SHA-256 is, or with ! is not, in a list",
        negation: true,
        quotes: Quotes::Optional,
        parse: |draft, value| listed(draft, value, Kind::Sha256),
        ..Keyword::PLAIN
    },
];

/// The kinds of files are asked for: libmagic has to be there.
pub(in crate::rules) fn wants_magic(draft: &mut Draft<'_>) -> Result<(), String> {
    libmagic::load()?;
    draft.signature.digests.magic = true;
    Ok(())
}

/// Only what has a file can match. Where the protocol has none that is known here, the rule stands as it is.
fn store(draft: &mut Draft<'_>, _: Value<'_>) -> Result<(), String> {
    draft.signature.filestore = true;
    if let Some(field) = Fields::all().named("file.name")
        && draft.require_field(field).is_ok()
    {
        draft.signature.tx.push(TxTest {
            name: "filestore",
            fields: field.fields.clone(),
            only: None,
            want: TxWant::Test(Box::new(AnyFile)),
        });
    }
    Ok(())
}

fn extension(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let field = Fields::all()
        .named("file.name")
        .ok_or("needs file.name, which no protocol of this sensor has")?;
    draft.require_field(field)?;
    let dotted = format!(".{}", value.text);
    let mut content = super::content::plain(Value {
        text: &dotted,
        negated: value.negated,
    })?;
    content.nocase = true;
    content.ends = true;
    draft.test_field(field, Test::Content(content))
}

/// Kinds of digests, in the order of [`crate::app::File::digests`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Md5,
    Sha1,
    Sha256,
}

impl Kind {
    fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Whether a file's digest is in a list.
#[derive(Debug)]
struct Listed {
    kind: Kind,
    list: HashSet<Box<[u8]>>,
    negated: bool,
}

impl FieldTest for Listed {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        tx.files(direction).is_some_and(|files| {
            files.iter().any(|file| {
                let [md5, sha1, sha256] = match file.digests() {
                    Some(all) => all,
                    None => return false,
                };
                let digest = match self.kind {
                    Kind::Md5 => md5,
                    Kind::Sha1 => sha1,
                    Kind::Sha256 => sha256,
                };
                !digest.is_empty() && self.list.contains(digest.as_slice()) != self.negated
            })
        })
    }
}

/// `filemd5:[!]FILE` and its kin; the file lies beside the rules unless its path is absolute.
fn listed(draft: &mut Draft<'_>, value: Value<'_>, kind: Kind) -> Result<(), String> {
    let path = draft.context.folder.join(value.text);
    let bytes = std::fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let list = digests(&bytes, kind.bytes())
        .map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))?;
    let asked = Digests {
        md5: kind == Kind::Md5,
        sha1: kind == Kind::Sha1,
        sha256: kind == Kind::Sha256,
        magic: false,
    };
    draft.signature.digests = draft.signature.digests.or(asked);
    let name = match kind {
        Kind::Md5 => "filemd5",
        Kind::Sha1 => "filesha1",
        Kind::Sha256 => "filesha256",
    };
    let test = Listed {
        kind,
        list,
        negated: value.negated,
    };
    whole_file(draft, name, None, Box::new(test))
}

/// `filesize:[to_server|to_client,] COMPARISON`.
fn size(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (only, text) = direction_prefix(draft, Some(value.text))?;
    let test = FileSize(compare(
        text.unwrap_or_default(),
        u64::MAX,
        Range::Exclusive,
    )?);
    whole_file(draft, "filesize", only, Box::new(test))
}

/// A test of what is known of a file when its last byte has come. It is made where the content of files is inspected,
/// because transactions go on until then.
fn whole_file(
    draft: &mut Draft<'_>,
    name: &'static str,
    only: Option<Direction>,
    test: Box<dyn FieldTest>,
) -> Result<(), String> {
    let keyword = Fields::all()
        .named("file.data")
        .ok_or("needs files, which no protocol of this sensor has")?;
    draft.require_field(keyword)?;
    draft.signature.tx.push(TxTest {
        name,
        fields: keyword.fields.clone(),
        only,
        want: TxWant::Test(test),
    });
    Ok(())
}

/// The digests of a list, one a line; what follows one (the name of a file), and lines without one, are passed over.
fn digests(bytes: &[u8], len: usize) -> Result<HashSet<Box<[u8]>>, (usize, String)> {
    let mut all = HashSet::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let text = line.get(..digits).unwrap_or_default();
        if text.is_empty() {
            continue;
        }
        let value = std::str::from_utf8(text).ok().and_then(hex);
        let value = value
            .filter(|v| v.len() == len)
            .ok_or_else(|| (number + 1, format!("not {} hexadecimal digits", 2 * len)))?;
        if all.len() >= VALUES_MAX {
            return Err((number + 1, format!("more than {VALUES_MAX} digests")));
        }
        all.insert(value.into_boxed_slice());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_file_may_be_asked_in_one_direction() {
        use crate::rules::{Variables, load_text};
        let text = "alert http any any -> any any (filesize:>1; sid:1;)
alert http any any => any any (http.uri; content:\"/a\"; filesize: to_client, <100; sid:2;)
alert http any any -> any any (filesize:to_nobody,3; sid:3;)\n";
        let rules = load_text("sizes.rules", text, &Variables::default());
        let wrong: Vec<u32> = rules.errors.iter().map(|e| e.line).collect();
        assert_eq!(wrong, [3], "{:?}", rules.errors);
    }

    #[test]
    fn lists_are_as_the_tools_write_them() {
        let list = digests(
            b"# md5sum\nd41d8cd98f00b204e9800998ecf8427e  empty\r\n\nD41D8CD98F00B204E9800998ECF8427F\n",
            16,
        )
        .unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(digests(b"x\nabcd\n", 16).unwrap_err().0, 2);
    }
}
