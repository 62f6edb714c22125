//! Events of the decoder, the stream engine and the application layer.

use super::{Keyword, Quotes, Value};
use crate::app::registry;
use crate::packet::DecodeEvent;
use crate::rules::draft::Draft;
use crate::rules::ir::{PacketTest, StreamTest, TxTest, TxWant};
use crate::rules::names::nearest;

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "decode-event",
        doc: "the packet is broken in this way",
        example: "alert pkthdr any any -> any any (decode-event:ipv4.trunc_pkt; sid:1;)",
        parse: |draft, value| event(draft, "decoder.", value),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "engine-event",
        doc: "old name of decode-event",
        example: "alert pkthdr any any -> any any (engine-event:ipv4.trunc_pkt; sid:1;)",
        parse: |draft, value| event(draft, "decoder.", value),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "stream-event",
        doc: "the TCP stream is strange in this way",
        example: "stream-event:rst_but_no_session;",
        parse: |draft, value| event(draft, "stream.", value),
        ..Keyword::PLAIN
    },
    Keyword {
        name: "app-layer-event",
        doc: "a parser's event, PROTOCOL.EVENT, or one of identification, applayer_…",
        example: "app-layer-event:applayer_detect_protocol_only_one_direction;",
        quotes: Quotes::Optional,
        parse: app_layer_event,
        ..Keyword::PLAIN
    },
];

fn event(draft: &mut Draft<'_>, prefix: &str, value: Value<'_>) -> Result<(), String> {
    let name = match value.text.trim() {
        // Names that rules of older versions use.
        "3whs_synack_resend_with_different_ack" => "3whs_synack_resend_with_diff_ack",
        "est_synack_resend_with_different_ack" => "est_synack_resend_with_diff_ack",
        name => name,
    };
    let event =
        DecodeEvent::from_name(&format!("{prefix}{name}")).or_else(|| DecodeEvent::from_name(name));
    let event = event.ok_or_else(|| {
        let names = DecodeEvent::NAMES
            .iter()
            .filter_map(|n| n.strip_prefix(prefix));
        unknown(name, names)
    })?;
    draft.signature.packet.push(PacketTest::Event(event));
    Ok(())
}

fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, names) {
        Some(near) => format!("\"{name}\" is not an event; is {near} meant?"),
        None => format!("\"{name}\" is not an event"),
    }
}

/// Events of identification, which are of the flow.
const IDENTIFICATION: &[&str] = &[
    "applayer_mismatch_protocol_both_directions",
    "applayer_wrong_direction_first_data",
    "applayer_detect_protocol_only_one_direction",
    "applayer_proto_detection_skipped",
    "applayer_no_tls_after_starttls",
    "applayer_unexpected_protocol",
];

fn app_layer_event(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let name = value.text.trim();
    if name.starts_with("applayer_") {
        let event = IDENTIFICATION
            .iter()
            .find(|e| **e == name)
            .ok_or_else(|| unknown(name, IDENTIFICATION.iter().copied()))?;
        draft
            .signature
            .stream
            .push(StreamTest::AppLayerEvent(event));
        return Ok(());
    }
    let (prefix, event) = name.split_once('.').ok_or("PROTOCOL.EVENT expected")?;
    let mut protocols = registry::PROTOCOLS
        .iter()
        .filter(|p| {
            p.event_prefix() == prefix || p.name() == prefix || p.aliases().contains(&prefix)
        })
        .peekable();
    if protocols.peek().is_none() {
        return Err(format!(
            "the protocol {prefix} is not parsed by this sensor"
        ));
    }
    let mut known = Vec::new();
    for protocol in protocols {
        if let Some(number) = protocol
            .events()
            .iter()
            .position(|e| e.eq_ignore_ascii_case(event))
        {
            let number = u8::try_from(number).map_err(|_| "too many events")?;
            let raising: Vec<_> = registry::raising(protocol.proto()).collect();
            draft.require_protos(&raising)?;
            draft.signature.tx.push(TxTest {
                name: "app-layer-event",
                fields: Vec::new(),
                only: None,
                want: TxWant::Event(protocol.proto(), number),
            });
            return Ok(());
        }
        known.extend(protocol.events());
    }
    Err(format!(
        "{prefix}: {}",
        unknown(event, known.into_iter().copied())
    ))
}
