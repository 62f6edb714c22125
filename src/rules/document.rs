//! `docs/rules.md`: the list of keywords, made from the registry so that it cannot be out of date. A test compares the
//! file with what this makes; `SEKISHO_WRITE_DOCS=1 cargo test rules_document` writes it.

use std::fmt::Write as _;

use super::fields::Fields;
use super::keyword::GROUPS;
use crate::app::{Access, FieldDirection};

/// The text of `docs/rules.md`.
pub fn document() -> String {
    let mut out = String::from(HEAD);
    for group in GROUPS {
        _ = write!(
            out,
            "\n### {}\n\n| keyword | what it does | example |\n| --- | --- | --- |\n",
            group.title
        );
        for keyword in group.keywords {
            let mut names = format!("`{}`", keyword.name);
            for alias in keyword.aliases {
                _ = write!(names, ", `{alias}`");
            }
            let example = if keyword.example.is_empty() {
                String::new()
            } else {
                format!("`{}`", cell(keyword.example))
            };
            _ = writeln!(out, "| {names} | {} | {example} |", cell(keyword.doc));
        }
    }
    out.push_str(FIELDS);
    let mut fields: Vec<_> = Fields::all().iter().collect();
    fields.sort_by_key(|k| k.name);
    for keyword in fields {
        let Some((_, field)) = keyword.fields.first() else {
            continue;
        };
        let protocols: Vec<&str> = keyword.fields.iter().map(|(p, _)| p.name()).collect();
        let kind = match field.access {
            Access::Bytes(_) => "buffer",
            Access::Multi(_) => "buffers",
            Access::Streaming(_) => "stream",
            Access::Integer { .. } => "number",
            Access::Test(_) => "test",
        };
        let direction = match keyword.direction(|_| true) {
            FieldDirection::ToServer => "request",
            FieldDirection::ToClient => "response",
            FieldDirection::Both => "both",
        };
        let mut names = format!("`{}`", keyword.name);
        for alias in field.aliases {
            _ = write!(names, ", `{alias}`");
        }
        if let Some(modifier) = field.modifier {
            _ = write!(names, ", after a content `{modifier}`");
        }
        _ = writeln!(
            out,
            "| {names} | {kind} | {direction} | {} | {} |",
            protocols.join(", "),
            cell(field.doc)
        );
    }
    out
}

/// Text that stands in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const HEAD: &str = "\
# The rule language

<!-- Made from the registry of keywords: SEKISHO_WRITE_DOCS=1 cargo test rules_document -->

Suricata's language (versions 8 and 9), with the forms of Snort 2 that rules still use.
A rule is one logical line: action, protocol, source, direction, destination, and options in parentheses.

```
alert http $EXTERNAL_NET any -> $HTTP_SERVERS any (msg:\"what was seen\"; flow:established,to_server; http.uri; content:\"/x\"; sid:1000001; rev:1;)
```

- A backslash at the end of a line continues it; a line that begins with `#` is a comment, and so a disabled rule.
- Actions: `alert`, `drop`, `pass`, `reject` (`rejectsrc`), `rejectdst`, `rejectboth`, `config`; `drop:packet`, `pass:flow` and the like say what they act on.
- Protocols: `ip`, `ipv4`, `ipv6`, `tcp`, `tcp-pkt`, `tcp-stream`, `udp`, `icmp`, `icmpv4`, `icmpv6`, `igmp`, `sctp`, `arp`, `ether`, `pkthdr`, and every application protocol; `tcp:flow_start`, `tls:client_hello_done` and the like say when.
- Directions: `->`, `<>` (either), `=>` (request and response of one transaction).
- Addresses and ports: single, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`, `80:90`, `1024:`, lists in brackets with `!`, variables with `$`.
- A rule that is not understood is refused, with file, line, sid and keyword; the others still load.
- `sekisho rules check` shows what loads and what is refused, `sekisho rules explain SID` one rule in words.

The fast pattern is chosen by how rare a content is, not only by how long; `fast_pattern` overrides it.

## Lists beside the rules

`dataset` asks for values, or changes them (`set`, `unset`): sets are declared where a rule names them first, or as `[[dataset]]` in the configuration (`name`, `type`, `load` or `state`, `memcap`).
`load` is beside the rules; `save` and `state` are in `datasets.folder` (default: `data` in the log folder) and are written when the sensor ends.
Sets with `load` alone are read again at a reload; the others go on with what they have.
A set that rules change is kept in the order of the packets, for all workers together, so that the alerts do not depend on their number.
It changes when the whole rule has matched, and by `memcap` bytes at most (default 16 MiB, said with the memory bounds at start).
A rule that drops or passes by such a set, or by `xbits` of one host, acts by what its own worker has seen; the alert is by all.
`format json` and `ndjson` sets show their objects in `alert.context`.

`iprep` needs `reputation-categories-file`, `reputation-files` and `default-reputation-path`; `geoip` needs `geoip-database` (MaxMind's format; IPv6 too); `filemagic`, `file.magic` and `eve.force-magic` need libmagic (Debian: `libmagic1`).
They are read again at a reload.
`lua` is refused by name.
`nfq_set_mark`, `tls.store` and `flow.elephant` load with a warning that says what they do not do.

## Keywords
";

const FIELDS: &str = "
## Fields of application protocols

A field that a protocol declares is a keyword: buffers are sticky (what follows is searched in them), numbers are compared.
`request` and `response` say where a field exists; a rule is about that direction without being told.

| keyword | kind | where | protocols | what it is |
| --- | --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_document_is_what_the_registry_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
        let wanted = document();
        if std::env::var_os("SEKISHO_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            std::fs::write(path, &wanted).unwrap();
        }
        // Other areas add protocols and their fields: what must be there is everything that the language itself has.
        let (keywords, _) = wanted.split_once("## Fields of").unwrap();
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file.starts_with(keywords),
            "docs/rules.md is out of date: SEKISHO_WRITE_DOCS=1 cargo test rules_document"
        );
    }

    #[test]
    fn every_field_has_a_line_of_documentation() {
        for keyword in Fields::all().iter() {
            for (_, field) in &keyword.fields {
                assert!(!field.doc.is_empty(), "{}", keyword.name);
            }
        }
    }
}
