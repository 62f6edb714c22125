//! Application protocols as such: which one a flow speaks, how far a transaction is, frames, configuration; and old forms
//! of fields that take a value.

use super::content::plain;
use super::{Keyword, Quotes, Value, parts};
use crate::app::{AppProto, registry};
use crate::packet::Direction;
use crate::rules::draft::{Draft, GroupKind};
use crate::rules::fields::Fields;
use crate::rules::ir::{
    BufferSource, Compare, ConfigEffect, Hook, ProtocolSide, StreamTest, Test, TxTest, TxWant,
};
use crate::rules::names::nearest;

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "tls.store",
        aliases: &["tls_store"],
        doc: "the rule is about TLS; certificates are not stored by this sensor, which a warning says",
        example: "alert tls any any -> any any (tls.store; sid:1;)",
        parse: |draft, _| {
            draft.require_protos(
                &Fields::all().named("tls.sni").map_or_else(Vec::new, |tls| {
                    tls.fields.iter().map(|(proto, _)| *proto).collect()
                }),
            )?;
            let note = "tls.store: certificates are not stored; the rule matches without it";
            draft.context.notes.push(note.to_owned());
            Ok(())
        },
        ..Keyword::BARE
    },
    Keyword {
        name: "app-layer-protocol",
        doc: "protocol of the flow: [!]name|name…[, to_server | to_client | either | original | final | toserver …][, exact]",
        example: "app-layer-protocol:!failed;",
        quotes: Quotes::Optional,
        negation: true,
        parse: app_layer_protocol,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "app-layer-state",
        doc: "progress of the transaction: [<>]state",
        example: "alert dns any any -> any any (app-layer-state:request_complete; sid:1;)",
        parse: app_layer_state,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "frame",
        doc: "buffer: a frame of the protocol, [protocol.]name",
        example: "",
        quotes: Quotes::Optional,
        parse: frame,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "config",
        doc: "what a config rule changes: logging disable, type tx, scope tx",
        example: "config dns any any -> any any (config:logging disable, type tx, scope tx; sid:1;)",
        parse: config,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "tls.subject",
        doc: "old form of tls.cert_subject with a content",
        example: r#"alert tls any any -> any any (tls.subject:"CN=example"; sid:1;)"#,
        parse: |draft, value| legacy(draft, value, "tls.cert_subject", false),
        ..Keyword::QUOTED
    },
    Keyword {
        name: "tls.issuerdn",
        doc: "old form of tls.cert_issuer with a content",
        example: r#"alert tls any any -> any any (tls.issuerdn:!"CN=example"; sid:1;)"#,
        parse: |draft, value| legacy(draft, value, "tls.cert_issuer", false),
        ..Keyword::QUOTED
    },
    Keyword {
        name: "tls.fingerprint",
        doc: "old form of tls.cert_fingerprint with a content, in any case",
        example: r#"alert tls any any -> any any (tls.fingerprint:"4a:a3:66:76:82:cb:6b:23:bb:c3:58:47:23:a4:63:a7:78:a4:a1:18"; sid:1;)"#,
        parse: |draft, value| legacy(draft, value, "tls.cert_fingerprint", true),
        ..Keyword::QUOTED
    },
];

/// A content on a field, as keywords with a value did before sticky buffers.
pub(super) fn legacy(
    draft: &mut Draft<'_>,
    value: Value<'_>,
    field: &str,
    nocase: bool,
) -> Result<(), String> {
    let keyword = Fields::all()
        .named(field)
        .ok_or_else(|| format!("needs {field}, which no protocol of this sensor has"))?;
    draft.require_field(keyword)?;
    let mut content = plain(value)?;
    content.nocase = nocase;
    draft.test_field(keyword, Test::Content(content))
}

fn app_layer_protocol(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    if draft.protos.is_some() {
        return Err(
            "the rule's protocol is already settled by its header or another keyword".into(),
        );
    }
    let mut words = parts(value.text);
    let names = words.next().unwrap_or_default();
    let (mut side, mut exact) = (None, false);
    for word in words {
        let new = match word {
            "exact" => {
                exact = true;
                continue;
            }
            "final" => ProtocolSide::Final,
            "original" => ProtocolSide::Original,
            "either" => ProtocolSide::Either,
            "to_server" | "toserver" => ProtocolSide::ToServer,
            "to_client" | "toclient" => ProtocolSide::ToClient,
            "direction" => ProtocolSide::Direction,
            other => return Err(format!("\"{other}\" is not a side or exact")),
        };
        if side.replace(new).is_some() {
            return Err("more than one side".into());
        }
    }
    let mut protos = Vec::new();
    for name in names.split('|').map(str::trim) {
        match name {
            "unknown" => protos.push(AppProto::UNKNOWN),
            "failed" => protos.push(AppProto::FAILED),
            name => {
                let found: Vec<AppProto> = registry::named(name)
                    .filter(|p| !exact || p.name() == name)
                    .map(|p| p.proto())
                    .collect();
                if found.is_empty() {
                    return Err(no_protocol(name));
                }
                protos.extend(found);
            }
        }
    }
    let side = side.unwrap_or(ProtocolSide::Direction);
    let negate = value.negated;
    for test in &draft.signature.stream {
        if let StreamTest::AppProtocol {
            protos: other,
            negate: other_negate,
            side: other_side,
        } = test
        {
            // Two of the same side that both must be, or one that must and must not be.
            let same = protos.iter().any(|p| other.contains(p));
            if *other_side == side
                && (!negate && !other_negate || negate != *other_negate && same || negate && same)
            {
                return Err(
                    "contradicts, or repeats, an earlier app-layer-protocol of the rule".into(),
                );
            }
        }
    }
    draft.signature.stream.push(StreamTest::AppProtocol {
        protos,
        negate,
        side,
    });
    Ok(())
}

/// The error for a protocol that the registry does not have.
pub(in crate::rules) fn no_protocol(name: &str) -> String {
    let names = registry::PROTOCOLS
        .iter()
        .flat_map(|p| std::iter::once(p.name()).chain(p.aliases().iter().copied()));
    match nearest(name, names) {
        Some(near) => format!("the protocol {name} is not parsed by this sensor; is {near} meant?"),
        None => format!("the protocol {name} is not parsed by this sensor"),
    }
}

/// Protocol, direction and number of a state by its name, among the rule's protocols.
pub(in crate::rules) fn state(
    protos: &[AppProto],
    name: &str,
) -> Option<(AppProto, Direction, u8)> {
    for proto in protos {
        let Some(protocol) = registry::protocol(*proto) else {
            continue;
        };
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (started, complete) = match direction {
                Direction::ToServer => ("request_started", "request_complete"),
                Direction::ToClient => ("response_started", "response_complete"),
            };
            let number = if name == started {
                Some(0)
            } else if name == complete {
                Some(protocol.complete_at(direction))
            } else {
                protocol
                    .states(direction)
                    .iter()
                    .position(|s| *s == name)
                    .and_then(|i| u8::try_from(i).ok())
            };
            if let Some(number) = number {
                return Some((*proto, direction, number));
            }
        }
    }
    None
}

fn app_layer_state(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let protos = draft
        .protos
        .clone()
        .ok_or("needs a rule about an application protocol")?;
    let text = value.text.trim();
    let (order, name) = match text.chars().next() {
        Some(order @ ('<' | '>')) => (Some(order), text.get(1..).unwrap_or_default().trim()),
        _ => (None, text),
    };
    let (proto, direction, number) = state(&protos, name)
        .ok_or_else(|| format!("\"{name}\" is not a state of the rule's protocol"))?;
    draft.ask(direction)?;
    let n = u64::from(number);
    let state = match order {
        None => {
            draft.signature.hook = Some(Hook::Progress {
                to_server: direction == Direction::ToServer,
                state: number,
                kind: None,
            });
            return Ok(());
        }
        Some('<') => Compare::Less(n),
        Some(_) => Compare::Greater(n),
    };
    draft.signature.tx.push(TxTest {
        name: "app-layer-state",
        fields: Vec::new(),
        only: Some(direction),
        want: TxWant::Progress {
            proto,
            direction,
            state,
        },
    });
    Ok(())
}

fn frame(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let text = value.text.trim().to_ascii_lowercase();
    let explicit = text
        .split_once('.')
        .and_then(|(proto, name)| Some((registry::named(proto).next()?.proto(), name)));
    let (proto, name) = match (explicit, draft.protos.as_deref()) {
        (Some((proto, name)), _) => (proto, name.to_owned()),
        (None, Some([proto, ..])) => (*proto, text.clone()),
        (None, _) => return Err("names no protocol, and the rule has none".into()),
    };
    let protocol = registry::protocol(proto).ok_or("names no protocol")?;
    if name != "stream" && !protocol.frames().contains(&name.as_str()) {
        let known = protocol.frames();
        return Err(if known.is_empty() {
            format!("the protocol {} gives no frames here", protocol.name())
        } else {
            format!(
                "\"{name}\" is not a frame of {}, which has {}",
                protocol.name(),
                known.join(", ")
            )
        });
    }
    draft.require_protos(&[proto])?;
    draft.stick(
        BufferSource::Frame { proto, name },
        GroupKind::Frame,
        "frame",
        false,
        None,
    );
    Ok(())
}

fn config(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (mut subsystem, mut kind, mut scope) = (None, None, None);
    for part in parts(value.text) {
        match part.split_once([' ', '\t']).map(|(n, v)| (n, v.trim())) {
            Some(("logging", what @ "disable")) => subsystem = Some(format!("logging {what}")),
            Some(("tracking", what @ "disable")) => {
                let note =
                    "config: tracking is not switched off; the packets are inspected as others";
                draft.context.notes.push(note.to_owned());
                subsystem = Some(format!("tracking {what}"));
            }
            Some(("type", what @ ("tx" | "flow"))) => kind = Some(what.to_owned()),
            Some(("scope", what @ ("tx" | "flow" | "packet"))) => scope = Some(what.to_owned()),
            _ => {
                return Err(format!(
                    "\"{part}\" is not logging disable, type tx | flow or scope tx | flow | packet"
                ));
            }
        }
    }
    let (Some(subsystem), Some(kind), Some(scope)) = (subsystem, kind, scope) else {
        return Err("needs logging, type and scope".into());
    };
    draft.signature.config = Some(ConfigEffect {
        subsystem,
        kind,
        scope,
    });
    Ok(())
}
