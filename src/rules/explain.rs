//! One signature in words, for `sekisho rules explain`.
//!
//! The words come from the compiled signature, not from the rule's text: what is printed is what is matched.

use std::fmt::{self, Display, Write as _};

use super::fields::Fields;
use super::ir::{
    Action, Buffer, BufferSource, Compare, Content, DatasetOperation, FlagMode, FlowIntOperand,
    FlowIntOperation, FlowStateOption, Group, HeaderProto, Hook, IntCompare, Number, NumberIndex,
    PacketTest, RuleSet, Signature, SignatureKind, StreamTest, Test, ThresholdKind, ThresholdTrack,
    Transform, TxTest, TxWant,
};
use super::reputation::Ends;
use crate::alert::{DatasetChange, XbitOperation, XbitTrack};
use crate::app::registry;
use crate::packet::{Direction, TcpFlags, Transport};

/// The signature in words, a line for each thing that must hold and each thing that follows.
pub fn explain(set: &RuleSet, signature: &Signature) -> String {
    let mut out = String::new();
    let words = Words { set, signature };
    // Writing to a String cannot fail.
    let _ = words.write(&mut out);
    out
}

struct Words<'a> {
    set: &'a RuleSet,
    signature: &'a Signature,
}

impl Words<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let s = self.signature;
        writeln!(
            out,
            "{} (sid {}, revision {}, group {})",
            s.msg, s.sid.0, s.rev, s.gid
        )?;
        let file = self
            .set
            .files
            .get(usize::from(s.origin.0))
            .map_or("", String::as_str);
        writeln!(out, "  from {file}:{}", s.origin.1)?;
        if let Some(class) = s.class.and_then(|c| self.set.classes.get(usize::from(c))) {
            writeln!(
                out,
                "  class {} ({}), priority {}",
                class.name, class.description, s.priority
            )?;
        } else {
            writeln!(out, "  priority {}", s.priority)?;
        }
        writeln!(out, "looks at {}", self.place())?;
        writeln!(out, "  {}", self.header())?;
        self.conditions(out)?;
        writeln!(out, "then {}", self.outcome())?;
        for option in s.state.iter().filter(|o| is_change(o)) {
            writeln!(out, "  {}", self.state(option))?;
        }
        if let Some(fast) = &s.fast {
            let buffer = self.set.buffers.get(usize::from(fast.buffer.0));
            let buffer = buffer.map_or("payload".into(), buffer_name);
            writeln!(out, "searched first: {} in {buffer}", quoted(&fast.bytes))?;
        } else {
            writeln!(
                out,
                "no content is searched first: tested wherever the header fits"
            )?;
        }
        let mut first = true;
        for (key, value) in s.metadata.iter() {
            writeln!(
                out,
                "{}{key} {value}",
                if first { "metadata: " } else { "          " }
            )?;
            first = false;
        }
        for (system, id) in s.references.iter() {
            let prefix = self
                .set
                .reference_systems
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(system));
            match prefix.filter(|(_, prefix)| !prefix.is_empty()) {
                Some((_, prefix)) => writeln!(out, "see {prefix}{id}")?,
                None => writeln!(out, "see {system} {id}")?,
            }
        }
        Ok(())
    }

    fn place(&self) -> &'static str {
        match self.signature.kind {
            SignatureKind::DecodeEvent => "every packet, for what decoding found wrong",
            SignatureKind::IpOnly => "the addresses of each flow, once in each direction",
            SignatureKind::IpOnlyEveryPacket => "the addresses of every packet",
            SignatureKind::ProtocolDetected => "each flow, when its protocol becomes known",
            SignatureKind::ProtocolPackets => "every packet of flows of its protocol",
            SignatureKind::Packet => "every packet",
            SignatureKind::PacketAndStream => "the payload of every packet, and the stream",
            SignatureKind::Stream => "the stream",
            SignatureKind::Transaction => "transactions",
        }
    }

    fn header(&self) -> String {
        let s = self.signature;
        let arrow = match (s.bidirectional, s.transactional) {
            (true, _) => "to or from",
            (_, true) => "to, with the answer from",
            _ => "to",
        };
        let address = |set: &super::AddressSet| {
            if set.any {
                "any address".to_owned()
            } else {
                set.text.to_string()
            }
        };
        let port = |set: &super::PortSet| {
            if set.any {
                "any port".to_owned()
            } else {
                format!("port {}", set.text)
            }
        };
        let mut text = format!(
            "{} from {}, {} {arrow} {}, {}",
            proto(&s.proto),
            address(&s.src),
            port(&s.sport),
            address(&s.dst),
            port(&s.dport)
        );
        if !s.app.is_empty() && !matches!(s.proto, HeaderProto::App(_)) {
            let names: Vec<&str> = s.app.iter().map(|p| p.name()).collect();
            _ = write!(text, "; the flow speaks {}", names.join(" or "));
        }
        text
    }

    fn conditions(&self, out: &mut String) -> fmt::Result {
        let s = self.signature;
        let flow = &s.flow;
        for (on, text) in [
            (flow.to_server, "it goes to the server"),
            (flow.to_client, "it goes to the client"),
            (flow.established, "the connection is established"),
            (flow.not_established, "the connection is not established"),
            (flow.stateless, "whatever the state of the connection"),
            (flow.only_stream, "only in reassembled data"),
            (flow.no_stream, "only in single packets"),
            (flow.only_frag, "only in reassembled fragments"),
            (flow.no_frag, "not in reassembled fragments"),
        ] {
            if on {
                writeln!(out, "  {text}")?;
            }
        }
        match s.hook {
            Some(Hook::FlowStart) => writeln!(out, "  on the first packet of a flow")?,
            Some(Hook::Progress {
                to_server, state, ..
            }) => {
                let direction = if to_server {
                    Direction::ToServer
                } else {
                    Direction::ToClient
                };
                let name = s
                    .app
                    .first()
                    .and_then(|p| registry::protocol(*p))
                    .map(|p| p.states(direction));
                let name = name
                    .and_then(|names| names.get(usize::from(state)))
                    .copied()
                    .unwrap_or("its state");
                writeln!(out, "  when a transaction comes to {name}")?;
            }
            Some(Hook::All) | None => {}
        }
        for test in &s.packet {
            writeln!(out, "  {}", packet(test))?;
        }
        for test in &s.stream {
            writeln!(out, "  {}", stream(test))?;
        }
        for option in s.state.iter().filter(|o| !is_change(o)) {
            writeln!(out, "  {}", self.state(option))?;
        }
        for test in &s.tx {
            writeln!(out, "  {}", transaction(test))?;
        }
        for group in &s.groups {
            self.group(out, group)?;
        }
        Ok(())
    }

    fn group(&self, out: &mut String, group: &Group) -> fmt::Result {
        let buffer = self.set.buffers.get(usize::from(group.buffer.0));
        write!(out, "  in {}", buffer.map_or("payload".into(), buffer_name))?;
        if let Some(BufferSource::App { name, .. }) = buffer.map(|b| &b.source)
            && let Some((_, field)) = Fields::all().named(name).and_then(|k| k.fields.first())
        {
            write!(out, " ({})", field.doc)?;
        }
        match group.only {
            Some(Direction::ToServer) => writeln!(out, ", to the server:")?,
            Some(Direction::ToClient) => writeln!(out, ", to the client:")?,
            None => writeln!(out, ":")?,
        }
        for test in &group.tests {
            writeln!(out, "    {}", self.test(test))?;
        }
        Ok(())
    }

    fn number(&self, number: Number) -> String {
        match number {
            Number::Fixed(n) => n.to_string(),
            Number::Variable(slot) => self
                .signature
                .variable_names
                .get(usize::from(slot))
                .cloned()
                .unwrap_or_else(|| "a variable".into()),
        }
    }

    fn test(&self, test: &Test) -> String {
        let not = |negate: bool| if negate { "not " } else { "" };
        let from = |relative: bool| {
            if relative {
                " after the last match"
            } else {
                ""
            }
        };
        match test {
            Test::Content(content) => self.content(content),
            Test::Pcre(p) => {
                format!(
                    "{}the expression /{}/{}{}",
                    not(p.negate),
                    p.expression,
                    p.flags,
                    from(p.relative)
                )
            }
            Test::IsDataAt {
                at,
                relative,
                negate,
            } => {
                let there = if *negate { "no byte" } else { "a byte" };
                format!("{there} at {}{}", self.number(*at), from(*relative))
            }
            Test::ByteTest {
                bytes,
                operator,
                negate,
                value,
                offset,
                relative,
                ..
            } => format!(
                "{}the number of {} bytes at {}{} {} {}",
                not(*negate),
                self.number(*bytes),
                self.number(*offset),
                from(*relative),
                format!("{operator:?}").to_lowercase(),
                self.number(*value)
            ),
            Test::ByteJump {
                bytes,
                offset,
                relative,
                ..
            } => format!(
                "goes on as far as the number of {} bytes at {}{} says",
                self.number(*bytes),
                self.number(*offset),
                from(*relative)
            ),
            Test::ByteExtract {
                bytes,
                offset,
                relative,
                into,
                ..
            } => format!(
                "{} is the number of {bytes} bytes at {}{}",
                self.number(Number::Variable(*into)),
                self.number(*offset),
                from(*relative)
            ),
            Test::ByteMath {
                bytes,
                offset,
                relative,
                operator,
                value,
                into,
                ..
            } => format!(
                "{} is the number of {} bytes at {}{}, {} {}",
                self.number(Number::Variable(*into)),
                self.number(*bytes),
                self.number(*offset),
                from(*relative),
                format!("{operator:?}").to_lowercase(),
                self.number(*value)
            ),
            Test::Base64Decode {
                offset, relative, ..
            } => format!("base64 is decoded from {offset}{}", from(*relative)),
            Test::BufferSize(size) | Test::Length(size) => {
                format!("its size is {}", compare(*size))
            }
            Test::Absent { or_else: false } => "is absent".into(),
            Test::Absent { or_else: true } => "is absent, or:".into(),
            Test::Entropy { value, .. } => format!(
                "its entropy in millionths of a bit per byte is {}",
                compare(*value)
            ),
            Test::Asn1(_) => "its ASN.1 is malformed as asked".into(),
            Test::Dataset(test) => {
                let name = &test.set.info.name;
                match test.operation {
                    DatasetOperation::Change(DatasetChange::IsSet) => {
                        format!("is in the set {name}")
                    }
                    DatasetOperation::Change(DatasetChange::IsNotSet) => {
                        format!("is not in the set {name}")
                    }
                    DatasetOperation::Change(DatasetChange::Set) => {
                        format!("is not in the set {name} yet, and is added")
                    }
                    DatasetOperation::Change(DatasetChange::Unset) => {
                        format!("is in the set {name}, and is taken out")
                    }
                    DatasetOperation::Reputation(value) => format!(
                        "is in the set {name} with a reputation that is {}",
                        compare(value)
                    ),
                }
            }
        }
    }

    fn content(&self, content: &Content) -> String {
        let mut text = String::new();
        if content.negate {
            text.push_str("not ");
        }
        text.push_str(&quoted(&content.bytes));
        if content.nocase {
            text.push_str(" in any letter case");
        }
        if content.starts {
            text.push_str(" at the start");
        }
        if content.ends {
            text.push_str(" at the end");
        }
        for (number, words) in [
            (content.offset, ", from byte"),
            (content.depth, ", within this many bytes of there:"),
            (content.distance, ", after the last match plus"),
            (content.within, ", ending within this many bytes of there:"),
        ] {
            if let Some(number) = number {
                _ = write!(text, "{words} {}", self.number(number));
            }
        }
        text
    }

    fn state(&self, option: &FlowStateOption) -> String {
        let name = |names: &[String], id: u32| {
            names
                .get(usize::try_from(id).unwrap_or(usize::MAX))
                .cloned()
                .unwrap_or_default()
        };
        let bit = |id: &u32| name(&self.set.bit_names, *id);
        let any = |ids: &[u32]| ids.iter().map(bit).collect::<Vec<_>>().join(" or ");
        match option {
            FlowStateOption::BitSet(id) => format!("the flow's bit {} is set", bit(id)),
            FlowStateOption::BitUnset(id) => format!("the flow's bit {} is cleared", bit(id)),
            FlowStateOption::BitToggle(id) => format!("the flow's bit {} is inverted", bit(id)),
            FlowStateOption::BitIsSet(ids) => format!("the flow's bit {} was set before", any(ids)),
            FlowStateOption::BitIsNotSet(ids) => {
                format!("the flow's bit {} was not set before", any(ids))
            }
            FlowStateOption::Int {
                variable,
                operation,
                operand,
            } => {
                let variable = name(&self.set.int_names, *variable);
                let operand = match operand {
                    FlowIntOperand::Value(n) => n.to_string(),
                    FlowIntOperand::Variable(id) => name(&self.set.int_names, *id),
                    FlowIntOperand::None => String::new(),
                };
                let verb = match operation {
                    FlowIntOperation::Add => "grows by",
                    FlowIntOperation::Subtract => "shrinks by",
                    FlowIntOperation::Assign => "becomes",
                    FlowIntOperation::IsSet => "has a value",
                    FlowIntOperation::IsNotSet => "has no value",
                    FlowIntOperation::Test(IntCompare::Equal) => "is",
                    FlowIntOperation::Test(IntCompare::NotEqual) => "is not",
                    FlowIntOperation::Test(IntCompare::Less) => "is less than",
                    FlowIntOperation::Test(IntCompare::Greater) => "is more than",
                    FlowIntOperation::Test(IntCompare::LessOrEqual) => "is at most",
                    FlowIntOperation::Test(IntCompare::GreaterOrEqual) => "is at least",
                };
                format!("the flow's number {variable} {verb} {operand}")
                    .trim_end()
                    .to_owned()
            }
            FlowStateOption::VarContains { name, negate, .. } => {
                let not = if *negate {
                    "does not contain"
                } else {
                    "contains"
                };
                format!("what was captured as {name} {not} certain bytes")
            }
            FlowStateOption::Xbit(condition) => {
                let whose = match condition.track {
                    XbitTrack::Source => "the source's",
                    XbitTrack::Destination => "the destination's",
                    XbitTrack::Pair => "the two hosts'",
                    XbitTrack::Transaction => "the transaction's",
                };
                let name = name(&self.set.xbit_names, condition.bit);
                match condition.operation {
                    XbitOperation::Set => {
                        format!("{whose} bit {name} is set for {} s", condition.expire_secs)
                    }
                    XbitOperation::Unset => format!("{whose} bit {name} is cleared"),
                    XbitOperation::Toggle => format!("{whose} bit {name} is inverted"),
                    XbitOperation::IsSet => format!("{whose} bit {name} is set"),
                    XbitOperation::IsNotSet => format!("{whose} bit {name} is not set"),
                }
            }
        }
    }

    fn outcome(&self) -> String {
        let s = self.signature;
        let mut text = match s.action {
            Action::Pass => "nothing more is inspected",
            Action::Drop => "the packet is dropped where the sensor is inline",
            Action::RejectSource => "it is dropped, and the source is told",
            Action::RejectDestination => "it is dropped, and the destination is told",
            Action::RejectBoth => "it is dropped, and both ends are told",
            Action::Alert => "",
            Action::Config => "the configuration changes",
        }
        .to_owned();
        if !s.silent {
            text.push_str(if text.is_empty() {
                "an alert"
            } else {
                ", with an alert"
            });
        } else if text.is_empty() {
            text.push_str("no alert");
        }
        if let Some(t) = &s.threshold {
            let whom = match t.track {
                ThresholdTrack::Source => "source",
                ThresholdTrack::Destination => "destination",
                ThresholdTrack::Both => "pair of hosts",
                ThresholdTrack::Rule => "rule",
                ThresholdTrack::Flow => "flow",
            };
            _ = match t.kind {
                ThresholdKind::Limit => write!(
                    text,
                    ", at most {} in {} s for a {whom}",
                    t.count, t.seconds
                ),
                ThresholdKind::Threshold => write!(
                    text,
                    ", at each {} matches in {} s of a {whom}",
                    t.count, t.seconds
                ),
                ThresholdKind::Both => write!(
                    text,
                    ", once in {} s after {} matches of a {whom}",
                    t.seconds, t.count
                ),
                ThresholdKind::DetectionFilter => {
                    write!(
                        text,
                        ", after more than {} matches in {} s of a {whom}",
                        t.count, t.seconds
                    )
                }
                ThresholdKind::Backoff => {
                    write!(
                        text,
                        ", at {} matches of a {whom}, then at each {} times as many",
                        t.count, t.multiplier
                    )
                }
            };
        }
        text
    }
}

fn is_change(option: &FlowStateOption) -> bool {
    match option {
        FlowStateOption::BitSet(_)
        | FlowStateOption::BitUnset(_)
        | FlowStateOption::BitToggle(_) => true,
        FlowStateOption::BitIsSet(_)
        | FlowStateOption::BitIsNotSet(_)
        | FlowStateOption::VarContains { .. } => false,
        FlowStateOption::Int { operation, .. } => {
            matches!(
                operation,
                FlowIntOperation::Add | FlowIntOperation::Subtract | FlowIntOperation::Assign
            )
        }
        FlowStateOption::Xbit(c) => {
            !matches!(c.operation, XbitOperation::IsSet | XbitOperation::IsNotSet)
        }
    }
}

fn proto(proto: &HeaderProto) -> String {
    match proto {
        HeaderProto::Ip => "IP".into(),
        HeaderProto::Ipv4 => "IPv4".into(),
        HeaderProto::Ipv6 => "IPv6".into(),
        HeaderProto::PacketHeader => "any packet".into(),
        HeaderProto::Ether => "Ethernet frame".into(),
        HeaderProto::Arp => "ARP".into(),
        HeaderProto::Transport(list) => list.iter().map(transport).collect::<Vec<_>>().join(" or "),
        HeaderProto::TcpPacket => "single TCP packets".into(),
        HeaderProto::TcpStream => "TCP streams".into(),
        HeaderProto::App(list) => list
            .iter()
            .map(|p| p.name())
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn transport(transport: &Transport) -> String {
    match transport {
        Transport::Tcp => "TCP".into(),
        Transport::Udp => "UDP".into(),
        Transport::Icmp => "ICMP".into(),
        Transport::Icmpv6 => "ICMPv6".into(),
        Transport::Sctp => "SCTP".into(),
        Transport::Other(number) => format!("IP protocol {number}"),
        Transport::None => "no transport".into(),
    }
}

fn buffer_name(buffer: &Buffer) -> String {
    let mut name = match &buffer.source {
        BufferSource::Payload => "the payload".to_owned(),
        BufferSource::Header(header) => format!("the {header:?} header"),
        BufferSource::App { name, .. } => (*name).to_owned(),
        BufferSource::Base64 => "the decoded base64".to_owned(),
        BufferSource::Frame { proto, name } => format!("the frame {}.{name}", proto.name()),
    };
    for transform in &buffer.transforms {
        name.push_str(match transform {
            Transform::CompressWhitespace => ", white space compressed",
            Transform::StripWhitespace => ", white space left out",
            Transform::StripPseudoHeaders => ", pseudo headers left out",
            Transform::DotPrefix => ", with a dot in front",
            Transform::UrlDecode => ", percent-decoded",
            Transform::Xor { .. } => ", xored",
            Transform::ToLowercase => ", in lower case",
            Transform::ToUppercase => ", in upper case",
            Transform::HeaderLowercase => ", names in lower case",
            Transform::Domain => ", its domain",
            Transform::Tld => ", its top-level domain",
            Transform::FromBase64 { .. } => ", base64 decoded",
            Transform::Md5 => ", its MD5",
            Transform::Sha1 => ", its SHA-1",
            Transform::Sha256 => ", its SHA-256",
            Transform::PcreCapture(_) => ", a part by expression",
            Transform::Subslice { .. } => ", a part",
            Transform::Gunzip { .. } | Transform::ZlibDeflate { .. } => ", decompressed",
        });
    }
    name
}

fn compare(compare: Compare) -> String {
    match compare {
        Compare::Equal(n) => n.to_string(),
        Compare::NotEqual(n) => format!("not {n}"),
        Compare::Less(n) => format!("less than {n}"),
        Compare::LessOrEqual(n) => format!("at most {n}"),
        Compare::Greater(n) => format!("more than {n}"),
        Compare::GreaterOrEqual(n) => format!("at least {n}"),
        Compare::Between(a, b) => format!("{a} to {b}"),
        Compare::Outside(a, b) => format!("not {a} to {b}"),
        Compare::Masked {
            mask,
            value,
            negate,
        } => {
            format!(
                "{}{value:#x} under the mask {mask:#x}",
                if negate { "not " } else { "" }
            )
        }
    }
}

fn packet(test: &PacketTest) -> String {
    let is = |what: &str, c: &Compare| format!("{what} is {}", compare(*c));
    match test {
        PacketTest::TcpFlags {
            flags,
            mode,
            ignore,
        } => {
            let how = match mode {
                FlagMode::Exact => "exactly the TCP flags",
                FlagMode::All => "at least the TCP flags",
                FlagMode::Any => "one of the TCP flags",
                FlagMode::Not => "not all of the TCP flags",
            };
            let ignored = if *ignore == 0 {
                String::new()
            } else {
                format!(", whatever {}", letters(*ignore))
            };
            format!("{how} {}{ignored}", letters(*flags))
        }
        PacketTest::TcpFlagsNumber(c) => is("the byte of TCP flags", c),
        PacketTest::Ttl(c) => is("the time to live", c),
        PacketTest::Tos(c) => is("the type of service", c),
        PacketTest::IpId(c) => is("the IP identification", c),
        PacketTest::IpProto(c) => is("the IP protocol", c),
        PacketTest::IpOption(None) => "an IP option is there".into(),
        PacketTest::IpOption(Some(n)) => format!("the IP option {n} is there"),
        PacketTest::Reputation(test) => match test.score {
            Some(score) => format!(
                "{} in the category {} with a score that is {}",
                ends(test.ends),
                test.category,
                compare(score)
            ),
            None => format!("{} not in the category {}", ends(test.ends), test.category),
        },
        PacketTest::Country(test) => {
            let countries: Vec<_> = test
                .countries
                .iter()
                .map(|code| String::from_utf8_lossy(code).into_owned())
                .collect();
            let not = if test.negate { "none of " } else { "" };
            format!("{} in {not}{}", ends(test.ends), countries.join(", "))
        }
        PacketTest::SameIp => "source and destination are the same address".into(),
        PacketTest::FragBits { bits, mode } => format!("fragment bits {bits:#x} ({mode:?})"),
        PacketTest::FragOffset(c) => is("the fragment offset", c),
        PacketTest::IcmpType(c) => is("the ICMP type", c),
        PacketTest::IcmpCode(c) => is("the ICMP code", c),
        PacketTest::IcmpId(n) => format!("the ICMP identifier is {n}"),
        PacketTest::IcmpSeq(n) => format!("the ICMP sequence number is {n}"),
        PacketTest::Icmpv6Mtu(c) => is("the ICMPv6 MTU", c),
        PacketTest::IgmpType(c) => is("the IGMP type", c),
        PacketTest::TcpSeq(c) => is("the sequence number", c),
        PacketTest::TcpAck(c) => is("the acknowledgment number", c),
        PacketTest::TcpWindow(c) => is("the window", c),
        PacketTest::TcpMss(c) => is("the maximum segment size", c),
        PacketTest::TcpWscale(c) => is("the window scale", c),
        PacketTest::PayloadSize(c) => is("the payload's size", c),
        PacketTest::Event(event) => format!("the event {}", event.name()),
        PacketTest::Checksum { of, valid } => format!(
            "the {of:?} checksum is {}",
            if *valid { "valid" } else { "invalid" }
        ),
        PacketTest::VlanId(test) => is("a VLAN id", &test.want),
        PacketTest::IpVersion(version) => format!("IP is of version {version}"),
        PacketTest::RpcCall { program, .. } => format!("it calls program {program} of ONC RPC"),
        PacketTest::VlanLayers(c) => is("the number of VLAN tags", c),
        PacketTest::Sctp(test) => format!("SCTP: {test:?}"),
        PacketTest::Never => "never".into(),
    }
}

fn letters(flags: u8) -> String {
    let all = [
        (TcpFlags::FIN, 'F'),
        (TcpFlags::SYN, 'S'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::ACK, 'A'),
        (TcpFlags::URG, 'U'),
        (TcpFlags::ECE, 'E'),
        (TcpFlags::CWR, 'C'),
    ];
    let text: String = all
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, letter)| *letter)
        .collect();
    if text.is_empty() { "none".into() } else { text }
}

fn stream(test: &StreamTest) -> String {
    match test {
        StreamTest::Size { side, size } => {
            format!("bytes of the stream ({side:?}): {}", compare(*size))
        }
        StreamTest::AppProtocol {
            protos,
            negate,
            side,
        } => {
            let names: Vec<&str> = protos.iter().map(|p| p.name()).collect();
            format!(
                "the protocol ({side:?}) is {}{}",
                if *negate { "not " } else { "" },
                names.join(" or ")
            )
        }
        StreamTest::FlowCounter { counter, value } => {
            format!("{counter:?} of the flow is {}", compare(*value))
        }
        StreamTest::FlowCounterEither {
            counters: [a, b],
            value,
        } => {
            format!("{a:?} or {b:?} of the flow is {}", compare(*value))
        }
        StreamTest::AppLayerEvent(name) => format!("the event {name}"),
        StreamTest::TcpSession {
            setup,
            established,
            closing,
        } => {
            let phases = [
                (*setup, "being set up"),
                (*established, "established"),
                (*closing, "being closed"),
            ];
            let wanted: Vec<&str> = phases.iter().filter(|p| p.0).map(|p| p.1).collect();
            format!("the connection is {}", wanted.join(" or "))
        }
    }
}

fn transaction(test: &TxTest) -> String {
    match &test.want {
        TxWant::Number(number) => {
            let which = match number.of {
                NumberIndex::Any => String::new(),
                NumberIndex::All => " (all)".into(),
                NumberIndex::AllOrAbsent => " (all, or none is there)".into(),
                NumberIndex::OrAbsent => " (or none is there)".into(),
                NumberIndex::At { index, .. } => format!(" (number {index})"),
                NumberIndex::Matches(c) => format!(" ({} of them)", compare(c)),
                NumberIndex::Count(c) => {
                    return format!("the number of {} is {}", test.name, compare(c));
                }
            };
            format!("{} is {}{which}", test.name, compare(number.want))
        }
        TxWant::Test(want) => format!("{}: {want:?}", test.name),
        TxWant::Event(proto, number) => {
            let protocol = registry::protocol(*proto);
            let name = protocol
                .and_then(|p| p.events().get(usize::from(*number)))
                .copied()
                .unwrap_or("?");
            format!(
                "the event {}.{name}",
                protocol.map_or("?", |p| p.event_prefix())
            )
        }
        TxWant::Progress {
            proto,
            direction,
            state,
        } => {
            let names = registry::protocol(*proto).map_or(&[][..], |p| p.states(*direction));
            let n = match state {
                Compare::Less(n) | Compare::Greater(n) => usize::try_from(*n).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            let name = names.get(n).copied().unwrap_or("?");
            let order = if matches!(state, Compare::Less(_)) {
                "before"
            } else {
                "beyond"
            };
            format!("the transaction is {order} {name}")
        }
    }
}

/// Bytes in quotes, with what is not printable in hex between bars, as rules write them.
fn quoted(bytes: &[u8]) -> String {
    struct Quoted<'a>(&'a [u8]);
    impl Display for Quoted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_char('"')?;
            let mut hex = false;
            for &byte in self.0 {
                let plain = (0x20..0x7f).contains(&byte) && !matches!(byte, b'|' | b'"');
                if plain {
                    if hex {
                        f.write_char('|')?;
                    }
                    f.write_char(char::from(byte))?;
                } else {
                    f.write_char(if hex { ' ' } else { '|' })?;
                    write!(f, "{byte:02x}")?;
                }
                hex = !plain;
            }
            if hex {
                f.write_char('|')?;
            }
            f.write_char('"')
        }
    }
    Quoted(bytes).to_string()
}

/// Whose address is asked about.
fn ends(ends: Ends) -> &'static str {
    match ends {
        Ends::Any => "source or destination is",
        Ends::Source => "the source is",
        Ends::Destination => "the destination is",
        Ends::Both => "source and destination are",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Variables, load_text};

    #[test]
    fn a_signature_is_told_in_words() {
        let rule = r#"drop tcp $HOME_NET any -> any 80:90 (msg:"m"; flow:established,to_server; content:"a|0d 0a|b"; nocase; offset:3; content:!"x"; distance:2; flowbits:isset,in; flowbits:set,out; threshold:type limit, track by_src, count 1, seconds 60; reference:url,e.com; classtype:misc-attack; sid:5; rev:2;)"#;
        let set = load_text("x.rules", rule, &Variables::default());
        let text = explain(&set, &set.signatures[0]);
        for part in [
            "m (sid 5, revision 2, group 1)",
            "from x.rules:1",
            "TCP from $HOME_NET, any port to any address, port 80:90",
            "the connection is established",
            "\"a|0d 0a|b\" in any letter case, from byte 3",
            "not \"x\", after the last match plus 2",
            "bit in was set before",
            "bit out is set",
            "dropped where the sensor is inline, with an alert, at most 1 in 60 s for a source",
            "see https://e.com",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }
}
