//! `base64_decode` and the buffer `base64_data` that it fills.

use super::{Argument, Keyword, Value, parts};
use crate::rules::draft::{Draft, GroupKind};
use crate::rules::ir::{BufferSource, Test};

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "base64_decode",
        doc: "decode base64 at a position: bytes n, offset n, relative",
        example: r#"content:"a="; base64_decode:bytes 100, offset 2, relative; base64_data; content:"x";"#,
        argument: Argument::Optional,
        parse: decode,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "base64_data",
        doc: "buffer: what base64_decode gave",
        example: r#"base64_decode; base64_data; content:"x";"#,
        parse: data,
        ..Keyword::BARE
    },
];

fn decode(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (mut bytes, mut offset, mut relative) = (None, 0, false);
    for part in parts(value.text).filter(|p| !p.is_empty()) {
        match part
            .split_once([' ', '\t'])
            .map_or((part, ""), |(name, rest)| (name, rest.trim()))
        {
            ("bytes", n) => {
                let n: u16 = n
                    .parse()
                    .map_err(|_| format!("\"{n}\" is not a number of bytes up to 65,535"))?;
                bytes = (n != 0).then(|| u32::from(n));
            }
            ("offset", n) => offset = n.parse().map_err(|_| format!("\"{n}\" is not an offset"))?,
            ("relative", "") => relative = true,
            _ => return Err(format!("\"{part}\" is not bytes, offset or relative")),
        }
    }
    draft.test_after_last(
        Test::Base64Decode {
            bytes,
            offset,
            relative,
        },
        draft.sticky_name().is_none(),
    )
}

fn data(draft: &mut Draft<'_>, _: Value<'_>) -> Result<(), String> {
    let decoded = draft
        .groups
        .iter()
        .flat_map(|g| &g.tests)
        .any(|(_, t)| matches!(t, Test::Base64Decode { .. }));
    if !decoded {
        return Err("needs base64_decode before it".into());
    }
    draft.stick(
        BufferSource::Base64,
        GroupKind::Base64,
        "base64_data",
        false,
        None,
    );
    Ok(())
}
