//! Flows and streams: direction, state, size of streams, counters of flows.

use super::{Keyword, Value, parts};
use crate::rules::compare::{self, Range};
use crate::rules::draft::Draft;
use crate::rules::ir::{Compare, FlowCounter, PacketTest, StreamSide, StreamTest};

/// A counter of the flow that has a direction in its name.
macro_rules! counter {
    ($name:literal, $doc:literal, $counter:ident) => {
        Keyword {
            name: $name,
            doc: $doc,
            example: concat!($name, ":>10;"),
            parse: |draft, value| {
                let value = compare::compare(value.text, u64::MAX, Range::Exclusive)?;
                draft.signature.stream.push(StreamTest::FlowCounter {
                    counter: FlowCounter::$counter,
                    value,
                });
                Ok(())
            },
            ..Keyword::PLAIN
        }
    };
}

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "flow.elephant",
        doc: "the flow's rate is over that of flow.rate-tracking: toserver, toclient, either, both; this sensor has no \
              such setting, and without it nothing matches (as in Suricata), which a warning says",
        example: "flow.elephant:either;",
        parse: |draft, value| {
            if !matches!(value.text, "toserver" | "toclient" | "either" | "both") {
                let text = value.text;
                return Err(format!(
                    "\"{text}\" is not toserver, toclient, either or both"
                ));
            }
            let note = "flow.elephant: rates of flows are not configured; the rule never matches";
            draft.context.notes.push(note.to_owned());
            super::ip::packet(draft, PacketTest::Never)
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "flow",
        doc: "direction and state: to_server, to_client, established, not_established, stateless, only_stream, no_stream, …",
        example: r#"flow:established,to_server; content:"a";"#,
        parse: flow,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "stream_size",
        doc: "bytes of a side's stream so far: server | client | both | either, operator, number",
        example: "stream_size:server,<,1000;",
        parse: stream_size,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "tcp.session",
        doc: "phase of the TCP connection: a list of setup, established, closing",
        example: "tcp.session:setup,closing;",
        parse: tcp_session,
        ..Keyword::PLAIN
    },
    counter!("flow.age", "seconds since the flow's first packet", Age),
    counter!(
        "flow.pkts_toserver",
        "packets from the client",
        PacketsToServer
    ),
    counter!(
        "flow.pkts_toclient",
        "packets from the server",
        PacketsToClient
    ),
    counter!(
        "flow.bytes_toserver",
        "bytes from the client",
        BytesToServer
    ),
    counter!(
        "flow.bytes_toclient",
        "bytes from the server",
        BytesToClient
    ),
    Keyword {
        name: "flow.pkts",
        doc: "packets of the flow: toserver | toclient | either | both, number",
        example: "flow.pkts:toserver,>10;",
        parse: |draft, value| {
            counted(
                draft,
                value,
                [FlowCounter::PacketsToServer, FlowCounter::PacketsToClient],
            )
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "flow.bytes",
        doc: "bytes of the flow: toserver | toclient | either | both, number",
        example: "flow.bytes:both,>1mb;",
        parse: |draft, value| {
            counted(
                draft,
                value,
                [FlowCounter::BytesToServer, FlowCounter::BytesToClient],
            )
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "bypass",
        doc: "after a match the flow is no longer inspected",
        example: r#"content:"a"; bypass;"#,
        parse: |draft, _| {
            draft.signature.bypass = true;
            Ok(())
        },
        ..Keyword::BARE
    },
];

fn flow(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    if draft.flow_seen {
        return Err("given twice".into());
    }
    let mut test = draft.signature.flow;
    let hooked = test;
    for word in parts(value.text) {
        let slot = match word {
            "to_server" | "from_client" | "toserver" | "fromclient" => &mut test.to_server,
            "to_client" | "from_server" | "toclient" | "fromserver" => &mut test.to_client,
            "established" => &mut test.established,
            "not_established" => &mut test.not_established,
            "stateless" => &mut test.stateless,
            "only_stream" => &mut test.only_stream,
            "no_stream" => &mut test.no_stream,
            "only_frag" => &mut test.only_frag,
            "no_frag" => &mut test.no_frag,
            other => return Err(format!("\"{other}\" is not one of its options")),
        };
        let direction = word.contains("server") || word.contains("client");
        if *slot && !(direction && (hooked.to_server || hooked.to_client)) {
            return Err(format!("{word} is given twice"));
        }
        *slot = true;
    }
    if test.to_server && test.to_client {
        return Err("to_server and to_client contradict each other (or the rule's hook)".into());
    }
    if [test.established, test.not_established, test.stateless]
        .iter()
        .filter(|on| **on)
        .count()
        > 1
    {
        return Err("established, not_established and stateless contradict each other".into());
    }
    if test.only_stream && test.no_stream {
        return Err("only_stream and no_stream contradict each other".into());
    }
    if test.only_frag && test.no_frag {
        return Err("only_frag and no_frag contradict each other".into());
    }
    if draft.signature.transactional && (test.to_server || test.to_client) {
        return Err("a rule with => looks at both directions".into());
    }
    let more = test.established
        || test.not_established
        || test.stateless
        || test.only_frag
        || test.no_frag;
    draft.flow_seen |= more || test.only_stream || test.no_stream;
    draft.needs_stream |= test.only_stream;
    draft.needs_packet |= test.no_stream;
    draft.signature.flow = test;
    Ok(())
}

fn tcp_session(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (mut setup, mut established, mut closing) = (false, false, false);
    for word in value.text.split(',') {
        let phase = match word {
            "setup" => &mut setup,
            "established" => &mut established,
            "closing" => &mut closing,
            other => return Err(format!("\"{other}\" is not setup, established or closing")),
        };
        if std::mem::replace(phase, true) {
            return Err(format!("\"{word}\" stands there twice"));
        }
    }
    draft.needs_packet = true;
    draft.signature.stream.push(StreamTest::TcpSession {
        setup,
        established,
        closing,
    });
    Ok(())
}

fn stream_size(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words = parts(value.text);
    let (Some(side), Some(sign), Some(number), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("side,operator,number expected".into());
    };
    let side = match side {
        "server" => StreamSide::Server,
        "client" => StreamSide::Client,
        "both" => StreamSide::Both,
        "either" => StreamSide::Either,
        other => return Err(format!("\"{other}\" is not server, client, both or either")),
    };
    let number: u64 = number
        .parse::<u32>()
        .map_err(|_| format!("\"{number}\" is not a number"))?
        .into();
    let size = match sign {
        "<" => Compare::Less(number),
        "<=" => Compare::LessOrEqual(number),
        ">" => Compare::Greater(number),
        ">=" => Compare::GreaterOrEqual(number),
        "=" => Compare::Equal(number),
        "!=" | "!" => Compare::NotEqual(number),
        other => return Err(format!("\"{other}\" is not an operator")),
    };
    draft.signature.stream.push(StreamTest::Size { side, size });
    Ok(())
}

fn counted(
    draft: &mut Draft<'_>,
    value: Value<'_>,
    [server, client]: [FlowCounter; 2],
) -> Result<(), String> {
    let (side, number) = value
        .text
        .split_once(',')
        .ok_or("direction,number expected")?;
    let value = compare::compare(number, u64::MAX, Range::Exclusive)?;
    let tests = &mut draft.signature.stream;
    match side.trim() {
        "toserver" => tests.push(StreamTest::FlowCounter {
            counter: server,
            value,
        }),
        "toclient" => tests.push(StreamTest::FlowCounter {
            counter: client,
            value,
        }),
        // "both" asks each direction for itself, "either" one of them.
        "both" => {
            tests.push(StreamTest::FlowCounter {
                counter: server,
                value,
            });
            tests.push(StreamTest::FlowCounter {
                counter: client,
                value,
            });
        }
        "either" => tests.push(StreamTest::FlowCounterEither {
            counters: [server, client],
            value,
        }),
        other => {
            return Err(format!(
                "\"{other}\" is not toserver, toclient, both or either"
            ));
        }
    }
    Ok(())
}
