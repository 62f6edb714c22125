//! Files in traffic: old forms with a value, storing, hashes.

use super::app::legacy;
use super::{Argument, Keyword, Quotes, Value};
use crate::rules::draft::Draft;
use crate::rules::fields::Fields;
use crate::rules::ir::Test;

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
        name: "filestore",
        doc: "keep the file that matched",
        example: r#"alert http any any -> any any (filename:"x"; filestore; sid:1;)"#,
        argument: Argument::Optional,
        parse: |draft, _| {
            draft.signature.filestore = true;
            Ok(())
        },
        ..Keyword::PLAIN
    },
];

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
