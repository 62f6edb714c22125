//! What follows from a rule's options once all are read: contradictions, direction, protocols, where it is inspected, kind,
//! fast pattern.

use super::compare::largest;
use super::draft::{Draft, DraftGroup, GroupKind};
use super::fast;
use super::field_checks;
use super::fields::FieldKeyword;
use super::ir::{
    Action, FlowStateOption, FlowTest, HeaderProto, Hook, Metadata, Number, PacketTest,
    PayloadScope, References, Signature, SignatureKind, StreamTest, Test, TxTest, TxWant,
};
use super::keyword;
use crate::app::FieldDirection;
use crate::packet::{Direction, Transport};

/// Checks and completes a draft.
pub fn finish(mut draft: Draft<'_>) -> Result<Signature, String> {
    draft.unstick();
    if let Some(name) = draft.empty_sticky {
        return Err(format!(
            "{name}: a buffer is named and nothing is tested in it"
        ));
    }
    field_contents(&mut draft)?;
    buffers(&draft)?;
    for group in &draft.groups {
        sizes(&draft, group)?;
        absence(group)?;
    }
    direction(&mut draft)?;
    let directed = draft.signature.flow.to_server
        || draft.signature.flow.to_client
        || draft.signature.transactional;
    if !directed
        && draft
            .groups
            .iter()
            .any(|g| g.name == "http.header.raw" && !g.tests.is_empty())
    {
        return Err("http.header.raw: needs flow:to_server or flow:to_client".into());
    }
    let signature = &mut draft.signature;
    signature.app = draft.protos.clone().unwrap_or_default();
    signature.scope = scope(
        signature,
        &draft.groups,
        draft.needs_packet,
        draft.needs_stream,
    );
    signature.kind = kind(signature, &draft.groups);
    if signature.proto == HeaderProto::PacketHeader && signature.kind != SignatureKind::DecodeEvent
    {
        return Err("pkthdr is for decode-event alone".into());
    }
    if signature.bidirectional
        && signature.src.same(&signature.dst)
        && signature.sport.same(&signature.dport)
    {
        // Both directions are the same header, so one is enough.
        signature.bidirectional = false;
    }
    if !keyword::alerts(signature.action) && !draft.force_alert {
        signature.silent = true;
    }
    if signature.action == Action::Config && signature.config.is_none() {
        return Err("a config rule needs the option config".into());
    }
    signature.fast = fast::choose(draft.context, &draft.groups);
    signature.metadata = Metadata(std::mem::take(&mut draft.metadata).into_boxed_str());
    signature.references = References(std::mem::take(&mut draft.references).into_boxed_str());
    let place = (
        draft.signature.origin.0,
        draft.signature.origin.1,
        draft.signature.sid.0,
    );
    for bit in std::mem::take(&mut draft.bits_tested) {
        draft.context.bits_tested.entry(bit).or_insert(place);
    }
    let groups = draft.take_groups();
    let mut signature = draft.signature;
    signature.groups = groups;
    shrink(&mut signature);
    Ok(signature)
}

/// Gives back memory that growing lists took.
fn shrink(signature: &mut Signature) {
    signature.packet.shrink_to_fit();
    signature.stream.shrink_to_fit();
    signature.state.shrink_to_fit();
    signature.tx.shrink_to_fit();
    signature.app.shrink_to_fit();
    signature.groups.shrink_to_fit();
    for group in &mut signature.groups {
        group.tests.shrink_to_fit();
    }
}

/// Contents that cannot be in their field, or must change their case to be.
fn field_contents(draft: &mut Draft<'_>) -> Result<(), String> {
    for group in draft.groups.iter_mut().filter(|g| g.kind == GroupKind::App) {
        let transformed = draft
            .context
            .set
            .buffers
            .get(usize::from(group.buffer.0))
            .is_some_and(|b| !b.transforms.is_empty());
        if transformed {
            continue;
        }
        for (_, test) in &mut group.tests {
            let Test::Content(content) = test else {
                continue;
            };
            if let Some(note) = field_checks::check(group.name, content)? {
                draft.context.notes.push(note.to_owned());
            }
        }
    }
    Ok(())
}

/// Kinds of buffers that do not go together.
fn buffers(draft: &Draft<'_>) -> Result<(), String> {
    let has = |kind| {
        draft
            .groups
            .iter()
            .any(|g| g.kind == kind && !g.tests.is_empty())
    };
    if draft.needs_packet && draft.needs_stream {
        return Err("tests of packets do not go with tcp-stream or flow:only_stream".into());
    }
    if draft.needs_packet
        && (has(GroupKind::App) || has(GroupKind::Frame) || !draft.signature.tx.is_empty())
    {
        return Err("tests of packets (flags, ttl, dsize, headers …) do not go with fields of application protocols".into());
    }
    if has(GroupKind::Frame)
        && (has(GroupKind::Payload) || has(GroupKind::App) || has(GroupKind::Header))
    {
        return Err("frames do not go with other buffers".into());
    }
    if let Some(Hook::Progress { to_server, .. }) = draft.signature.hook {
        if draft.signature.transactional {
            return Err("a rule with => looks at both directions and takes no hook".into());
        }
        if (to_server && draft.signature.flow.to_client)
            || (!to_server && draft.signature.flow.to_server)
        {
            return Err("the hook's direction and the flow option contradict each other".into());
        }
    }
    Ok(())
}

/// Contents that cannot fit into what `bsize`, `urilen` or `dsize` allow.
fn sizes(draft: &Draft<'_>, group: &DraftGroup) -> Result<(), String> {
    let limits = group.tests.iter().filter_map(|(_, t)| match t {
        Test::BufferSize(c) => Some(("bsize", *c)),
        Test::Length(c) => Some(("urilen", *c)),
        _ => None,
    });
    let packet = draft.signature.packet.iter().filter_map(|t| match t {
        PacketTest::PayloadSize(c) if group.kind == GroupKind::Payload => Some(("dsize", *c)),
        _ => None,
    });
    let needed = needed_bytes(group);
    for (name, limit) in limits.chain(packet) {
        if let Some(most) = largest(limit).filter(|most| *most < needed) {
            return Err(format!(
                "{name}: at most {most} bytes, but the contents need {needed}, so it never matches"
            ));
        }
    }
    Ok(())
}

/// Bytes that the contents of a group need at least, following what each is relative to.
fn needed_bytes(group: &DraftGroup) -> u64 {
    let (mut end, mut most) = (0_u64, 0_u64);
    for (_, test) in &group.tests {
        let content = match test {
            Test::Content(content) if !content.negate => content,
            // What else moves the cursor may move it anywhere.
            Test::Pcre(_) | Test::ByteJump { .. } => {
                end = 0;
                continue;
            }
            _ => continue,
        };
        let len = content.bytes.len() as u64;
        let fixed = |number: Option<Number>| match number {
            Some(Number::Fixed(n)) => n,
            _ => 0,
        };
        end = if content.relative() {
            end.saturating_add_signed(fixed(content.distance))
                .saturating_add(len)
        } else {
            len.saturating_add_signed(fixed(content.offset).max(0))
        };
        most = most.max(end);
    }
    most
}

/// `absent` stands alone, `absent:or_else` does not.
fn absence(group: &DraftGroup) -> Result<(), String> {
    let Some(or_else) = group.tests.iter().find_map(|(_, t)| {
        if let Test::Absent { or_else } = t {
            Some(*or_else)
        } else {
            None
        }
    }) else {
        return Ok(());
    };
    match (or_else, group.tests.len()) {
        (false, 2..) => Err(format!(
            "absent: {} cannot be absent and tested",
            group.name
        )),
        (true, 1) => Err(format!(
            "absent: or_else needs other tests of {}",
            group.name
        )),
        _ if group
            .tests
            .iter()
            .any(|(_, t)| matches!(t, Test::Content(c) if c.fast_pattern)) =>
        {
            Err("absent: a buffer that may be absent cannot hold the fast pattern".into())
        }
        _ => Ok(()),
    }
}

/// Direction of a transaction's test.
fn tx_direction(draft: &Draft<'_>, test: &TxTest) -> FieldDirection {
    if let Some(only) = test.only {
        return match only {
            Direction::ToServer => FieldDirection::ToServer,
            Direction::ToClient => FieldDirection::ToClient,
        };
    }
    if matches!(test.want, TxWant::Event(..)) {
        return FieldDirection::Both;
    }
    let keyword = FieldKeyword {
        name: test.name,
        fields: test.fields.clone(),
    };
    keyword.direction(|p| draft.possible(p))
}

/// Infers the direction from buffers that exist in one direction alone, and refuses contradictions.
fn direction(draft: &mut Draft<'_>) -> Result<(), String> {
    let (mut to_server, mut to_client, mut both) = (None, None, None);
    let mut note = |direction, name| match direction {
        FieldDirection::ToServer => to_server = Some(name),
        FieldDirection::ToClient => to_client = Some(name),
        FieldDirection::Both => both = Some(name),
    };
    for group in draft
        .groups
        .iter()
        .filter(|g| g.kind == GroupKind::App && !g.tests.is_empty())
    {
        note(draft.direction_of(group), group.name);
    }
    for test in &draft.signature.tx {
        // Events and states belong to a direction only by what the rule says elsewhere.
        if !test.fields.is_empty() {
            note(tx_direction(draft, test), test.name);
        }
    }
    if draft.signature.transactional {
        return transactional(draft, to_server, to_client, both);
    }
    if let (Some(request), Some(response)) = (to_server, to_client) {
        return Err(format!(
            "{request} is of requests and {response} of responses; a rule with => can have both"
        ));
    }
    let asked = draft
        .asked
        .is_some_and(|d| d == Direction::ToServer)
        .then_some("an option");
    let asked_client = draft
        .asked
        .is_some_and(|d| d == Direction::ToClient)
        .then_some("an option");
    let flow = &mut draft.signature.flow;
    if let Some(name) = to_server.or(asked) {
        if flow.to_client {
            return Err(format!(
                "{name} is of requests, but the rule is about to_client"
            ));
        }
        flow.to_server = true;
    }
    if let Some(name) = to_client.or(asked_client) {
        if flow.to_server {
            return Err(format!(
                "{name} is of responses, but the rule is about to_server"
            ));
        }
        flow.to_client = true;
    }
    Ok(())
}

/// A `=>` rule has tests of both directions, each in one.
fn transactional(
    draft: &mut Draft<'_>,
    to_server: Option<&str>,
    to_client: Option<&str>,
    both: Option<&str>,
) -> Result<(), String> {
    if to_server.is_none() || to_client.is_none() {
        return Err("a rule with => needs tests of the request and of the response".into());
    }
    if let Some(name) = both {
        return Err(format!(
            "{name} is in both directions; a rule with => must say which (to_server or to_client)"
        ));
    }
    let directions: Vec<Option<Direction>> = draft
        .groups
        .iter()
        .map(|g| match draft.direction_of(g) {
            FieldDirection::ToServer => Some(Direction::ToServer),
            FieldDirection::ToClient => Some(Direction::ToClient),
            FieldDirection::Both => None,
        })
        .collect();
    for (group, direction) in draft.groups.iter_mut().zip(directions) {
        group.only = direction;
    }
    let directions: Vec<FieldDirection> = draft
        .signature
        .tx
        .iter()
        .map(|t| tx_direction(draft, t))
        .collect();
    for (test, direction) in draft.signature.tx.iter_mut().zip(directions) {
        test.only = match direction {
            FieldDirection::ToServer => Some(Direction::ToServer),
            FieldDirection::ToClient => Some(Direction::ToClient),
            FieldDirection::Both => test.only,
        };
    }
    Ok(())
}

/// Where contents of the payload are looked for.
fn scope(
    signature: &Signature,
    groups: &[DraftGroup],
    needs_packet: bool,
    needs_stream: bool,
) -> PayloadScope {
    if needs_stream {
        return PayloadScope::Stream;
    }
    if needs_packet {
        return PayloadScope::Packet;
    }
    if !may_be_tcp(&signature.proto) {
        return PayloadScope::Packet;
    }
    let positioned = groups.iter().filter(|g| g.kind == GroupKind::Payload).flat_map(|g| &g.tests).any(|(_, t)| {
        matches!(t, Test::Content(c) if c.depth.is_some() || c.offset.is_some() || c.starts)
    });
    if positioned
        || signature
            .stream
            .iter()
            .any(|t| matches!(t, StreamTest::Size { .. }))
    {
        return PayloadScope::Both;
    }
    PayloadScope::Stream
}

/// Whether the header lets TCP pass.
fn may_be_tcp(proto: &HeaderProto) -> bool {
    match proto {
        HeaderProto::Transport(list) => list.contains(&Transport::Tcp),
        HeaderProto::Ether | HeaderProto::Arp | HeaderProto::PacketHeader => false,
        _ => true,
    }
}

/// What has to be looked at to decide the signature.
fn kind(signature: &Signature, groups: &[DraftGroup]) -> SignatureKind {
    let has = |kind| groups.iter().any(|g| g.kind == kind && !g.tests.is_empty());
    if matches!(signature.hook, Some(Hook::Progress { .. })) {
        return SignatureKind::Transaction;
    }
    if matches!(signature.proto, HeaderProto::Ether | HeaderProto::Arp) {
        return SignatureKind::Packet;
    }
    let buffers = groups.iter().any(|g| !g.tests.is_empty()) || !signature.tx.is_empty();
    let only_sets = signature
        .state
        .iter()
        .all(|s| matches!(s, FlowStateOption::BitSet(_) | FlowStateOption::Xbit(_)));
    // `ip_proto` and `iprep` narrow the header and are no tests of their own.
    let packet: Vec<&PacketTest> = signature
        .packet
        .iter()
        .filter(|t| !matches!(t, PacketTest::IpProto(_) | PacketTest::Reputation(_)))
        .collect();
    let directed = signature.flow.to_server || signature.flow.to_client;
    let flow_tests = FlowTest {
        to_server: false,
        to_client: false,
        // Where contents are looked for is no test when there is none.
        only_stream: false,
        no_stream: false,
        ..signature.flow
    } != FlowTest::default();
    let plain =
        !buffers && packet.is_empty() && !flow_tests && only_sets && signature.hook.is_none();
    if plain && signature.app.is_empty() {
        if !signature.stream.is_empty()
            && signature
                .stream
                .iter()
                .all(|t| matches!(t, StreamTest::AppProtocol { .. }))
        {
            return SignatureKind::ProtocolDetected;
        }
        if signature.stream.is_empty() && !directed && signature.proto != HeaderProto::PacketHeader
        {
            return if signature.src.carved || signature.dst.carved {
                SignatureKind::IpOnlyEveryPacket
            } else {
                SignatureKind::IpOnly
            };
        }
    }
    let decode = |t: &&PacketTest| matches!(t, PacketTest::Event(e) if !e.is_stream());
    if !buffers
        && !packet.is_empty()
        && packet.iter().all(decode)
        && signature.stream.is_empty()
        && !flow_tests
    {
        return SignatureKind::DecodeEvent;
    }
    if has(GroupKind::Header) {
        return SignatureKind::Packet;
    }
    if has(GroupKind::App) || has(GroupKind::Frame) || !signature.tx.is_empty() {
        return SignatureKind::Transaction;
    }
    if has(GroupKind::Payload) {
        return match signature.scope {
            PayloadScope::Packet => SignatureKind::Packet,
            PayloadScope::Stream => SignatureKind::Stream,
            PayloadScope::Both => SignatureKind::PacketAndStream,
        };
    }
    if !signature.app.is_empty() && packet.is_empty() && signature.stream.is_empty() && !flow_tests
    {
        return SignatureKind::ProtocolPackets;
    }
    SignatureKind::Packet
}
