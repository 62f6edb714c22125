//! One rule of text to one signature: header, options in order, then what follows from them ([`super::finish`]).

use super::context::Context;
use super::draft::Draft;
use super::finish::finish;
use super::ir::{Action, ActionScope, HeaderProto, Hook, Sid, Signature};
use super::keyword;
use super::lexer::{Header, LINE_BYTES_MAX, Options, control_character, split};
use crate::app::{AppProto, registry};
use crate::packet::{Direction, Transport};

/// What became of a rule.
#[derive(Debug)]
pub enum Parsed {
    /// A signature.
    Signature(Box<Signature>),
    /// Its `requires` is not met: why.
    Skipped(Option<Sid>, String),
}

/// Why a rule was refused, with its sid when it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// sid.
    pub sid: Option<Sid>,
    /// Why, with the keyword's name.
    pub message: String,
}

/// Reads a rule. `origin` is the number of its file and its line.
pub fn parse(context: &mut Context, rule: &[u8], origin: (u16, u32)) -> Result<Parsed, Refused> {
    let text = text(rule).map_err(|message| Refused { sid: None, message })?;
    let (header, body) = split(text).map_err(|message| Refused {
        sid: sid_guess(text),
        message,
    })?;
    let refused = |message| Refused {
        sid: sid_guess(text),
        message,
    };
    // What a rule requires counts before the rest is understood; few rules require anything.
    if body.contains("requires")
        && let Some(why) = unmet(body).map_err(refused)?
    {
        return Ok(Parsed::Skipped(sid_guess(text), why));
    }
    let mut draft = Draft::new(context);
    draft.signature.origin = origin;
    head(&mut draft, &header).map_err(refused)?;
    for option in Options::new(body) {
        let option = option.map_err(refused)?;
        keyword::apply(&mut draft, option).map_err(refused)?;
    }
    if draft.signature.sid == Sid(0) {
        return Err(refused("sid: the rule has none".into()));
    }
    finish(draft)
        .map(|s| Parsed::Signature(Box::new(s)))
        .map_err(refused)
}

/// The bytes as text, when they may be a rule.
fn text(rule: &[u8]) -> Result<&str, String> {
    if rule.len() > LINE_BYTES_MAX {
        return Err(format!("the rule is longer than {LINE_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(rule).map_err(|why| {
        format!(
            "byte {} is not UTF-8; such bytes are written in hex, as |e9|",
            why.valid_up_to()
        )
    })?;
    match control_character(rule) {
        Some(at) => Err(format!(
            "byte {at} is a control character; such bytes are written in hex, as |00|"
        )),
        None => Ok(text),
    }
}

/// What the rule requires and is not there.
fn unmet(body: &str) -> Result<Option<String>, String> {
    for option in Options::new(body) {
        let option = option?;
        if option.name == "requires" {
            let text = option.value.ok_or("requires: needs a value")?;
            if let Some(why) = keyword::unmet(text)? {
                return Ok(Some(why));
            }
        }
    }
    Ok(None)
}

/// The sid of a rule that is refused or skipped, for the message.
fn sid_guess(text: &str) -> Option<Sid> {
    let (_, after) = text.rsplit_once("sid:")?;
    let digits: String = after
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok().map(Sid)
}

/// Reads the header.
fn head(draft: &mut Draft<'_>, header: &Header<'_>) -> Result<(), String> {
    (draft.signature.action, draft.signature.action_scope) = action(header.action)?;
    match header.direction {
        "->" => {}
        "<>" => draft.signature.bidirectional = true,
        "=>" => draft.signature.transactional = true,
        other => return Err(format!("\"{other}\" is not a direction: ->, <> or =>")),
    }
    let (proto, hook) = header
        .proto
        .split_once(':')
        .map_or((header.proto, None), |(p, h)| (p, Some(h)));
    draft.signature.proto = match packet_proto(proto) {
        Some(proto) => proto,
        None => {
            let protos: Vec<AppProto> = registry::named(proto).map(|p| p.proto()).collect();
            if protos.is_empty() {
                return Err(keyword::no_protocol(proto));
            }
            draft.require_protos(&protos)?;
            HeaderProto::App(protos)
        }
    };
    match draft.signature.proto {
        HeaderProto::TcpPacket => draft.needs_packet = true,
        HeaderProto::TcpStream => draft.needs_stream = true,
        _ => {}
    }
    if let Some(hook) = hook {
        set_hook(draft, proto, hook)?;
    }
    let named = |what: &'static str| move |why: String| format!("{what}: {why}");
    draft.signature.src = draft
        .context
        .addresses(header.src)
        .map_err(named("source addresses"))?;
    draft.signature.dst = draft
        .context
        .addresses(header.dst)
        .map_err(named("destination addresses"))?;
    draft.signature.sport = draft
        .context
        .ports(header.sport)
        .map_err(named("source ports"))?;
    draft.signature.dport = draft
        .context
        .ports(header.dport)
        .map_err(named("destination ports"))?;
    if matches!(draft.signature.proto, HeaderProto::Ether | HeaderProto::Arp)
        && !(draft.signature.sport.any && draft.signature.dport.any)
    {
        return Err(format!("{proto} has no ports"));
    }
    Ok(())
}

fn action(text: &str) -> Result<(Action, Option<ActionScope>), String> {
    let (name, scope) = text
        .split_once(':')
        .map_or((text, None), |(n, s)| (n, Some(s)));
    let action =
        match name.to_ascii_lowercase().as_str() {
            "alert" => Action::Alert,
            "drop" => Action::Drop,
            "pass" => Action::Pass,
            "reject" | "rejectsrc" => Action::RejectSource,
            "rejectdst" => Action::RejectDestination,
            "rejectboth" => Action::RejectBoth,
            "config" => Action::Config,
            "accept" => return Err(
                "the action accept belongs to firewall rule sets, which this sensor does not have"
                    .into(),
            ),
            _ => return Err(format!("\"{name}\" is not an action")),
        };
    let scope = match scope {
        None => None,
        Some(_) if matches!(action, Action::Alert | Action::Config) => {
            return Err(format!("the action {name} takes no scope"));
        }
        Some("packet") => Some(ActionScope::Packet),
        Some("flow") => Some(ActionScope::Flow),
        Some(other) => {
            return Err(format!(
                "\"{other}\" is not a scope of actions: packet or flow"
            ));
        }
    };
    Ok((action, scope))
}

/// Protocols of headers that are not application protocols.
fn packet_proto(name: &str) -> Option<HeaderProto> {
    const IGMP: u8 = 2;
    Some(match name.to_ascii_lowercase().as_str() {
        "ip" => HeaderProto::Ip,
        "ipv4" | "ip4" => HeaderProto::Ipv4,
        "ipv6" | "ip6" => HeaderProto::Ipv6,
        "pkthdr" => HeaderProto::PacketHeader,
        "ether" => HeaderProto::Ether,
        "arp" => HeaderProto::Arp,
        "tcp" => HeaderProto::Transport(&[Transport::Tcp]),
        "tcp-pkt" => HeaderProto::TcpPacket,
        "tcp-stream" => HeaderProto::TcpStream,
        "udp" => HeaderProto::Transport(&[Transport::Udp]),
        "icmp" => HeaderProto::Transport(&[Transport::Icmp, Transport::Icmpv6]),
        "icmpv4" => HeaderProto::Transport(&[Transport::Icmp]),
        "icmpv6" => HeaderProto::Transport(&[Transport::Icmpv6]),
        "igmp" => HeaderProto::Transport(&[Transport::Other(IGMP)]),
        "sctp" => HeaderProto::Transport(&[Transport::Sctp]),
        _ => return None,
    })
}

fn set_hook(draft: &mut Draft<'_>, proto: &str, name: &str) -> Result<(), String> {
    let hook = match (&draft.signature.proto, name) {
        (HeaderProto::App(protos), name) => {
            let (kind, state) = match name.split_once(':') {
                Some((kind, state)) => (Some(kind), state),
                None => (None, name),
            };
            let kinds = protos.iter().filter_map(|proto| registry::protocol(*proto));
            let known = kind.map(|kind| {
                let mut all = kinds.flat_map(|protocol| protocol.kinds());
                all.find(|known| **known == kind)
                    .copied()
                    .ok_or_else(|| format!("{proto} has no transactions of the kind \"{kind}\""))
            });
            let kind = known.transpose()?;
            let found = keyword::state(protos, state)
                .ok_or_else(|| format!("\"{state}\" is not a state of {proto}"))?;
            let (proto, direction, state) = found;
            draft.require_protos(&[proto])?;
            let flow = &mut draft.signature.flow;
            match direction {
                Direction::ToServer => flow.to_server = true,
                Direction::ToClient => flow.to_client = true,
            }
            Hook::Progress {
                to_server: direction == Direction::ToServer,
                state,
                kind,
            }
        }
        (_, "flow_start") => Hook::FlowStart,
        // What is looked at is the same: a packet before its flow, or its stream, takes notice of it.
        (_, "all" | "pre_flow" | "pre_stream") => Hook::All,
        (_, other) => {
            return Err(format!(
                "\"{other}\" is not a hook of {proto}: flow_start, pre_flow, pre_stream or all"
            ));
        }
    };
    draft.signature.hook = Some(hook);
    Ok(())
}
