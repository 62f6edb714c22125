//! Alerts: what the worker writes around `"alert"`, and the line the report stage makes of it.

use std::sync::Arc;

use super::record::{app_proto, direction_name, file_members, flow_members};
use super::{EveSettings, Facing, Subject, address, head};
use crate::alert::{Alert, Json, Outbox, TextRange};
use crate::app::{AppLayer, AppProto, Frame, registry};
use crate::packet::{Direction, Transport};

/// Which transaction, and how, a signature matched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched<'a> {
    /// The transaction's number.
    pub tx: Option<u64>,
    /// Whether it was found in the stream or a transaction (and not in the packet alone).
    pub stream: bool,
    /// The stream's bytes it was found in, when they are at hand.
    pub stream_bytes: Option<&'a [u8]>,
    /// The frame it was found in.
    pub frame: Option<&'a Frame>,
}

/// Writes the members before and after `"alert"` into the outbox; gives their ranges.
pub fn fragments(
    out: &mut Outbox,
    settings: &EveSettings,
    subject: &Subject<'_>,
    app: Option<&AppLayer>,
    matched: &Matched<'_>,
) -> (TextRange, TextRange) {
    let start = out.text.len();
    let mut json = Json::new(&mut out.text);
    head(&mut json, settings, subject, "alert", Facing::Packet);
    if let Some(tx) = matched.tx {
        json.num("tx_id", tx);
    }
    let before = out.since(start);
    let start = out.text.len();
    let mut json = Json::resume(&mut out.text);
    if let Some((flow, direction)) = subject.flow {
        if let Some(app) = app {
            if let Some(tx) = matched.tx.filter(|_| settings.metadata) {
                transaction(&mut json, app, tx, direction);
            }
            app_proto(&mut json, app);
        }
        json.str("direction", direction_name(direction));
        json.object("flow");
        flow_members(&mut json, flow);
        let key = flow.key;
        address(&mut json, settings, "src_ip", key.src);
        address(&mut json, settings, "dest_ip", key.dst);
        if super::has_ports(subject.packet.transport) {
            json.num("src_port", key.sport).num("dest_port", key.dport);
        }
        json.end();
    }
    if let (Some(found), Some((_, direction))) = (matched.frame, subject.flow) {
        let proto = app.map_or(AppProto::UNKNOWN, |app| app.proto);
        let tcp = subject.packet.transport == Transport::Tcp;
        frame(&mut json, settings, found, proto, direction, tcp);
    }
    bytes(&mut json, settings, subject, matched);
    let after = out.since(start);
    (before, after)
}

fn frame(
    json: &mut Json<'_>,
    settings: &EveSettings,
    frame: &Frame,
    proto: AppProto,
    direction: Direction,
    tcp: bool,
) {
    json.object("frame")
        .str("type", frame.name(proto))
        .num("id", frame.id)
        .str(
            "direction",
            match direction {
                Direction::ToServer => "toserver",
                Direction::ToClient => "toclient",
            },
        );
    if tcp {
        json.num("stream_offset", frame.offset);
    }
    json.num("length", frame.len.unwrap_or(frame.received));
    let len = frame.bytes.len().min(settings.payload_bytes);
    let kept = frame.bytes.get(..len).unwrap_or_default();
    json.base64("payload", kept).key("payload_printable");
    printable(json, kept);
    json.bool("complete", frame.is_complete());
    if let Some(tx) = frame.tx {
        json.num("tx_id", tx);
    }
    json.end();
}

fn transaction(json: &mut Json<'_>, app: &AppLayer, id: u64, direction: Direction) {
    let (Some(protocol), Some(session)) = (registry::protocol(app.proto), app.session.as_deref())
    else {
        return;
    };
    let list = session.transactions();
    let Some(tx) = list.position(id).and_then(|at| list.at(at)) else {
        return;
    };
    if !tx.kind().is_empty() {
        json.str("sub_state", tx.kind());
    }
    for (name, side) in [
        ("ts_progress", Direction::ToServer),
        ("tc_progress", Direction::ToClient),
    ] {
        if let Some(state) = protocol.states(side).get(usize::from(tx.progress(side))) {
            json.str(name, state);
        }
    }
    protocol.log_alert(session, tx, direction, json);
    if let Some(files) = tx
        .files(direction)
        .filter(|files| files.iter().next().is_some())
    {
        json.array("files");
        for file in files.iter() {
            json.begin();
            file_members(json, file, id);
            json.end();
        }
        json.end_array();
    }
}

fn bytes(
    json: &mut Json<'_>,
    settings: &EveSettings,
    subject: &Subject<'_>,
    matched: &Matched<'_>,
) {
    let packet = &subject.packet;
    let cut = |bytes: &'_ [u8]| bytes.len().min(settings.payload_bytes);
    let stream = packet.transport == Transport::Tcp && matched.stream;
    if settings.payload {
        let payload = matched
            .stream_bytes
            .filter(|_| stream)
            .unwrap_or_else(|| packet.payload());
        let payload = payload.get(..cut(payload)).unwrap_or_default();
        json.base64("payload", payload).key("payload_printable");
        printable(json, payload);
        json.num("stream", u8::from(stream));
    }
    if settings.packet && !packet.frame.is_empty() {
        json.base64(
            "packet",
            packet.frame.get(..cut(packet.frame)).unwrap_or_default(),
        );
        json.object("packet_info")
            .num("linktype", packet.link.0)
            .end();
    }
}

/// Printable ASCII as it is, line ends kept, the rest as dots: what analysts read.
fn printable(json: &mut Json<'_>, bytes: &[u8]) {
    let text: Vec<u8> = bytes
        .iter()
        .map(|&b| {
            if (0x20..0x7f).contains(&b) || b == b'\n' || b == b'\r' {
                b
            } else {
                b'.'
            }
        })
        .collect();
    json.text(text);
}

/// What data sets know of the values that matched, as members of an object.
pub fn context(objects: &[(Arc<str>, Box<str>)]) -> Option<Arc<str>> {
    let (first, more) = objects.split_first()?;
    let member = |(name, object): &(Arc<str>, Box<str>)| format!("\"{name}\":{object}");
    let mut text = member(first);
    for (at, object) in more.iter().enumerate() {
        // A name once: the first that matched.
        if objects.iter().take(at + 1).all(|known| known.0 != object.0) {
            text.push(',');
            text.push_str(&member(object));
        }
    }
    Some(text.into())
}

/// Writes the whole line of a graded alert (without the newline): the worker's parts around the graded middle.
pub fn compose(out: &mut Vec<u8>, settings: &EveSettings, alert: &Alert<'_>) {
    out.push(b'{');
    out.extend_from_slice(alert.head);
    let mut json = Json::resume(out);
    json.object("alert")
        .str("action", if alert.blocked { "blocked" } else { "allowed" });
    json.num("gid", alert.gid)
        .num("signature_id", alert.sid)
        .num("rev", alert.rev);
    json.str("signature", alert.message)
        .str("category", alert.category)
        .num("severity", alert.severity);
    metadata(&mut json, alert);
    if let Some(context) = &alert.finding.context {
        json.key("context");
        json.raw(format!("{{{context}}}").as_bytes());
    }
    json.end();
    if !alert.capture_file.is_empty() {
        json.str("capture_file", &alert.capture_file);
    }
    if !settings.strict {
        ours(&mut json, alert);
    }
    out.extend_from_slice(alert.tail);
    out.push(b'}');
}

/// The rule's metadata as lists of strings, as Suricata writes it, with the level among them.
fn metadata(json: &mut Json<'_>, alert: &Alert<'_>) {
    json.object("metadata");
    for (at, (key, value)) in alert.metadata.iter().enumerate() {
        let is_key = !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        let first = !alert.metadata.iter().take(at).any(|(k, _)| k == key);
        if !is_key || !first || value.is_empty() {
            continue;
        }
        json.array(key).text(value);
        for (_, more) in alert.metadata.iter().skip(at + 1).filter(|(k, _)| k == key) {
            json.text(more);
        }
        json.end_array();
    }
    json.array("sekisho_level")
        .text(alert.level.as_str())
        .end_array()
        .end();
}

fn ours(json: &mut Json<'_>, alert: &Alert<'_>) {
    json.object("sekisho")
        .str("level", alert.level.as_str())
        .str("segment", &alert.segment);
    json.str("phenomenon", alert.phenomenon.as_str())
        .array("threat");
    for threat in &alert.threats {
        json.text(threat.as_str());
    }
    json.end_array().str("efficacy", alert.efficacy.as_str());
    json.float(
        "confidence",
        f64::from((alert.confidence * 100.0).round()) / 100.0,
    )
    .str("why", &alert.why);
    if !alert.detector.is_empty() {
        json.str("detector", alert.detector);
    }
    if !alert.finding.state.is_empty() {
        json.str("state", alert.finding.state);
    }
    if alert.finding.incident != 0 {
        json.str("incident", format!("{:016x}", alert.finding.incident));
    }
    if alert.impact != 0 {
        json.num("impact_bits", alert.impact);
    }
    if alert.digest {
        json.bool("digest", true);
    }
    if !alert.action.0.is_empty() {
        let (name, why) = &alert.action;
        json.object("action")
            .str("name", name)
            .str("why", why)
            .end();
    }
    if !alert.techniques.is_empty() {
        json.array("attack");
        for technique in &alert.techniques {
            json.text(technique);
        }
        json.end_array();
    }
    if !alert.evidence.is_empty() {
        json.key("evidence");
        let mut object = Vec::with_capacity(alert.evidence.len() + 2);
        object.push(b'{');
        object.extend_from_slice(alert.evidence);
        object.push(b'}');
        json.raw(&object);
    }
    json.end();
}

/// Members before `"alert"` for an alert that no packet in hand shows (behavioural detectors).
pub fn detector_head(
    out: &mut Outbox,
    settings: &EveSettings,
    (number, ts): (u64, crate::packet::Timestamp),
    key: &crate::packet::FlowKey,
) -> TextRange {
    let start = out.text.len();
    let mut json = Json::new(&mut out.text);
    json.str("timestamp", ts.eve());
    if settings.numbers && number != 0 {
        json.num("pcap_cnt", number);
    }
    json.str("event_type", "alert");
    super::vlan(&mut json, &key.vlan, u8::from(key.vlan[0] != 0));
    let known = |address: std::net::IpAddr| !address.is_unspecified();
    if known(key.src) {
        address(&mut json, settings, "src_ip", key.src);
    }
    if known(key.dst) {
        address(&mut json, settings, "dest_ip", key.dst);
    }
    if key.dport != 0 {
        json.num("dest_port", key.dport);
    }
    // The sensor's own troubles are about no host, and no protocol.
    if known(key.src) || known(key.dst) {
        super::protocol(&mut json, key.proto);
    }
    out.since(start)
}
