//! A signature while its options are read: which buffer is current, where tests go, what was said already.
//!
//! Order matters in the language: modifiers speak of the last content, sticky buffers of what follows, transforms of the
//! buffer just named. A buffer becomes a [`Group`] when its first test arrives. A buffer with one value has one group for
//! all mentions; one with several values (`tls.certs`, `file.data`) gets a group for each mention.

use std::sync::Arc;

use super::context::Context;
use super::fields::{FieldKeyword, Fields};
use super::ir::{
    Action, AddressSet, BufferId, BufferSource, Content, FlowTest, Group, HeaderProto, Number,
    PayloadScope, PortSet, Sid, Signature, SignatureKind, Test, Transform,
};
use crate::app::{AppProto, Digests, FieldDirection, registry};
use crate::packet::Direction;

/// Tests in one signature, at most.
const TESTS_MAX: usize = 512;
/// Buffers in one signature, at most.
const GROUPS_MAX: usize = 64;

/// What a group is about, as far as the rules of the language go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Payload.
    Payload,
    /// A header of the packet.
    Header,
    /// A field of application protocols.
    App,
    /// The output of `base64_decode`.
    Base64,
    /// A frame.
    Frame,
}

/// A group in the making.
#[derive(Debug)]
pub struct DraftGroup {
    /// The buffer.
    pub buffer: BufferId,
    /// Its kind.
    pub kind: GroupKind,
    /// What the rule calls it.
    pub name: &'static str,
    /// Only in this direction.
    pub only: Option<Direction>,
    /// Tests with their place among all tests of the rule.
    pub tests: Vec<(u16, Test)>,
}

/// The sticky buffer in force.
#[derive(Debug)]
struct Sticky {
    source: BufferSource,
    kind: GroupKind,
    name: &'static str,
    many: bool,
    only: Option<Direction>,
    transforms: Vec<Transform>,
    group: Option<usize>,
}

/// A signature in the making.
#[derive(Debug)]
pub struct Draft<'c> {
    /// What the rules of a load share.
    pub context: &'c mut Context,
    /// What is settled so far.
    pub signature: Signature,
    /// Groups so far.
    pub groups: Vec<DraftGroup>,
    sticky: Option<Sticky>,
    tests: u16,
    /// Application protocols still possible; `None`: no restriction.
    pub protos: Option<Vec<AppProto>>,
    /// A header test needs packets (`dsize`, `flags`, …).
    pub needs_packet: bool,
    /// `tcp-stream`, `flow:only_stream`.
    pub needs_stream: bool,
    /// A `flow` option with more than a direction was seen.
    pub flow_seen: bool,
    /// `priority` was given.
    pub priority_given: bool,
    /// Direction that options asked for (`file.data: to_server`).
    pub asked: Option<Direction>,
    /// Text of the references, a line each.
    pub references: String,
    /// Text of the metadata.
    pub metadata: String,
    /// Flowbits it touches: whether tested, number.
    pub bits_tested: Vec<u32>,
    /// `alert` was given.
    pub force_alert: bool,
    /// A sticky buffer that got no test.
    pub empty_sticky: Option<&'static str>,
}

impl<'c> Draft<'c> {
    /// An empty one.
    pub fn new(context: &'c mut Context) -> Self {
        let any_address = Arc::new(AddressSet {
            any: true,
            ..AddressSet::default()
        });
        let any_port = Arc::new(PortSet {
            any: true,
            ..PortSet::default()
        });
        let signature = Signature {
            index: 0,
            sid: Sid(0),
            gid: 1,
            rev: 0,
            msg: "".into(),
            class: None,
            priority: 3,
            metadata: Default::default(),
            references: Default::default(),
            origin: (0, 0),
            action: Action::Alert,
            action_scope: None,
            silent: false,
            proto: HeaderProto::Ip,
            app: Vec::new(),
            scope: PayloadScope::Stream,
            kind: SignatureKind::Packet,
            src: any_address.clone(),
            dst: any_address,
            sport: any_port.clone(),
            dport: any_port,
            bidirectional: false,
            transactional: false,
            hook: None,
            flow: FlowTest::default(),
            packet: Vec::new(),
            stream: Vec::new(),
            state: Vec::new(),
            groups: Vec::new(),
            tx: Vec::new(),
            fast: None,
            variables: 0,
            variable_names: Vec::new(),
            threshold: None,
            tag: None,
            target: None,
            filestore: false,
            digests: Digests::default(),
            config: None,
            bypass: false,
        };
        Self {
            context,
            signature,
            groups: Vec::new(),
            sticky: None,
            tests: 0,
            protos: None,
            needs_packet: false,
            needs_stream: false,
            flow_seen: false,
            priority_given: false,
            asked: None,
            references: String::new(),
            metadata: String::new(),
            bits_tested: Vec::new(),
            force_alert: false,
            empty_sticky: None,
        }
    }

    // ── application protocols ──

    /// Restricts the signature to `protos`; an error when that leaves none.
    pub fn require_protos(&mut self, protos: &[AppProto]) -> Result<(), String> {
        let Some(current) = &self.protos else {
            self.protos = Some(protos.to_vec());
            return Ok(());
        };
        let left: Vec<AppProto> = current
            .iter()
            .copied()
            .filter(|p| protos.contains(p))
            .collect();
        if left.is_empty() {
            let names =
                |list: &[AppProto]| list.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "needs the protocol {}, but the rule is about {}",
                names(protos),
                names(current)
            ));
        }
        self.protos = Some(left);
        Ok(())
    }

    /// Restricts it to the protocols of a keyword.
    pub fn require_field(&mut self, keyword: &FieldKeyword) -> Result<(), String> {
        let protos: Vec<AppProto> = keyword.fields.iter().map(|(p, _)| *p).collect();
        self.require_protos(&protos)
    }

    /// Restricts it to the protocols of a name (`dcerpc`).
    pub fn require_named(&mut self, name: &str) -> Result<(), String> {
        let protos: Vec<AppProto> = registry::named(name).map(|p| p.proto()).collect();
        if protos.is_empty() {
            return Err(format!(
                "needs the protocol {name}, which this sensor does not parse"
            ));
        }
        self.require_protos(&protos)
    }

    // ── buffers ──

    /// Makes a field the current buffer.
    pub fn stick_field(
        &mut self,
        keyword: &FieldKeyword,
        only: Option<Direction>,
    ) -> Result<(), String> {
        self.require_field(keyword)?;
        let source = BufferSource::App {
            name: keyword.name,
            fields: keyword.fields.clone(),
        };
        self.stick(source, GroupKind::App, keyword.name, keyword.many(), only);
        Ok(())
    }

    /// Makes something the current buffer.
    pub fn stick(
        &mut self,
        source: BufferSource,
        kind: GroupKind,
        name: &'static str,
        many: bool,
        only: Option<Direction>,
    ) {
        self.unstick();
        self.sticky = Some(Sticky {
            source,
            kind,
            name,
            many,
            only,
            transforms: Vec::new(),
            group: None,
        });
    }

    /// Back to the payload (`pkt_data`).
    pub fn unstick(&mut self) {
        if let Some(sticky) = self.sticky.take()
            && sticky.group.is_none()
            && self.empty_sticky.is_none()
        {
            self.empty_sticky = Some(sticky.name);
        }
    }

    /// The name of the sticky buffer in force.
    pub fn sticky_name(&self) -> Option<&'static str> {
        self.sticky.as_ref().map(|s| s.name)
    }

    /// The kind of the sticky buffer in force.
    pub fn sticky_kind(&self) -> Option<GroupKind> {
        self.sticky.as_ref().map(|s| s.kind)
    }

    /// Whether the sticky buffer has tests already.
    pub fn sticky_has_tests(&self) -> bool {
        self.sticky.as_ref().is_some_and(|s| s.group.is_some())
    }

    /// Adds a transform to the buffer just named.
    pub fn transform(&mut self, transform: Transform) -> Result<(), String> {
        let sticky = self
            .sticky
            .as_mut()
            .ok_or("a transform follows the buffer that it changes, and there is none")?;
        if sticky.kind == GroupKind::Base64 {
            return Err("base64_data cannot be transformed".into());
        }
        if sticky.group.take().is_some() {
            // After tests a transform starts the buffer anew, without the transforms of the tests before.
            sticky.transforms.clear();
        }
        if sticky.transforms.len() >= 16 {
            return Err("more than 16 transforms on one buffer".into());
        }
        sticky.transforms.push(transform);
        Ok(())
    }

    /// Index of the group of the current buffer, made when it is new.
    fn current(&mut self) -> Result<usize, String> {
        let Some(sticky) = self.sticky.as_mut() else {
            return self.payload();
        };
        if let Some(group) = sticky.group {
            return Ok(group);
        }
        let buffer = self.context.buffer(&sticky.source, &sticky.transforms)?;
        let found = self
            .groups
            .iter()
            .position(|g| g.buffer == buffer && g.only == sticky.only);
        let at = match found {
            Some(at) if !sticky.many => at,
            _ => {
                if self.groups.len() >= GROUPS_MAX {
                    return Err(format!("more than {GROUPS_MAX} buffers in one rule"));
                }
                self.groups.push(DraftGroup {
                    buffer,
                    kind: sticky.kind,
                    name: sticky.name,
                    only: sticky.only,
                    tests: Vec::new(),
                });
                self.groups.len() - 1
            }
        };
        sticky.group = Some(at);
        Ok(at)
    }

    /// Index of the payload's group.
    fn payload(&mut self) -> Result<usize, String> {
        if let Some(at) = self
            .groups
            .iter()
            .position(|g| g.kind == GroupKind::Payload)
        {
            return Ok(at);
        }
        let buffer = self.context.buffer(&BufferSource::Payload, &[])?;
        self.groups.push(DraftGroup {
            buffer,
            kind: GroupKind::Payload,
            name: "payload",
            only: None,
            tests: Vec::new(),
        });
        Ok(self.groups.len() - 1)
    }

    /// Index of the group of a field, for old modifiers: the last one with that buffer, or a new one.
    fn field_group(&mut self, keyword: &FieldKeyword) -> Result<usize, String> {
        let source = BufferSource::App {
            name: keyword.name,
            fields: keyword.fields.clone(),
        };
        let buffer = self.context.buffer(&source, &[])?;
        if let Some(at) = self.groups.iter().rposition(|g| g.buffer == buffer) {
            return Ok(at);
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(format!("more than {GROUPS_MAX} buffers in one rule"));
        }
        self.groups.push(DraftGroup {
            buffer,
            kind: GroupKind::App,
            name: keyword.name,
            only: None,
            tests: Vec::new(),
        });
        Ok(self.groups.len() - 1)
    }

    // ── tests ──

    fn add(&mut self, group: usize, test: Test) -> Result<(), String> {
        if usize::from(self.tests) >= TESTS_MAX {
            return Err(format!("more than {TESTS_MAX} tests in one rule"));
        }
        let place = self.tests;
        self.tests += 1;
        if let Some(group) = self.groups.get_mut(group) {
            group.tests.push((place, test));
        }
        Ok(())
    }

    /// Adds a test to the current buffer.
    pub fn test(&mut self, test: Test) -> Result<(), String> {
        let group = self.current()?;
        self.add(group, test)
    }

    /// Adds a test that may be relative. Without a sticky buffer a relative test belongs to the buffer of the last test,
    /// which an old modifier may have moved out of the payload.
    pub fn test_after_last(&mut self, test: Test, relative: bool) -> Result<(), String> {
        let group = match (&self.sticky, relative) {
            (None, true) => self.last_group().map_or_else(|| self.payload(), Ok)?,
            _ => self.current()?,
        };
        self.add(group, test)
    }

    /// Adds a test to the buffer of a field (`pcre:"/x/U"`).
    pub fn test_field(&mut self, keyword: &FieldKeyword, test: Test) -> Result<(), String> {
        let group = self.field_group(keyword)?;
        self.add(group, test)
    }

    /// The group of the last test that reads bytes.
    fn last_group(&self) -> Option<usize> {
        let last = |g: &DraftGroup| {
            g.tests
                .iter()
                .rev()
                .find(|(_, t)| moves_cursor(t))
                .map(|(place, _)| *place)
        };
        let groups = self
            .groups
            .iter()
            .enumerate()
            .filter_map(|(i, g)| Some((last(g)?, i)));
        groups.max().map(|(_, group)| group)
    }

    /// Whether the current buffer has a content or expression to be relative to.
    pub fn has_anchor(&self, field: Option<&FieldKeyword>) -> bool {
        let anchored = |g: &DraftGroup| {
            g.tests
                .iter()
                .any(|(_, t)| matches!(t, Test::Content(_) | Test::Pcre(_)))
        };
        match field {
            Some(keyword) => self
                .groups
                .iter()
                .any(|g| g.name == keyword.name && anchored(g)),
            None => match &self.sticky {
                Some(sticky) => sticky
                    .group
                    .and_then(|i| self.groups.get(i))
                    .is_some_and(anchored),
                None => self
                    .groups
                    .iter()
                    .any(|g| g.kind == GroupKind::Payload && anchored(g)),
            },
        }
    }

    /// Group and position of the last content: of the sticky buffer when there is one, else of all.
    fn last_content_at(&self) -> Option<(usize, usize)> {
        let mut best: Option<(u16, usize, usize)> = None;
        for (g, group) in self.groups.iter().enumerate() {
            if let Some(sticky) = &self.sticky {
                let same = sticky
                    .group
                    .is_some_and(|s| self.groups.get(s).is_some_and(|s| s.buffer == group.buffer));
                if !same {
                    continue;
                }
            }
            let found = group
                .tests
                .iter()
                .enumerate()
                .rev()
                .find(|(_, (_, t))| matches!(t, Test::Content(_)));
            if let Some((i, (place, _))) = found
                && best.is_none_or(|(b, _, _)| *place > b)
            {
                best = Some((*place, g, i));
            }
        }
        best.map(|(_, g, i)| (g, i))
    }

    /// The last content, which modifiers speak of.
    pub fn last_content(&mut self) -> Result<&mut Content, String> {
        let (g, i) = self.last_content_at().ok_or("needs a content before it")?;
        match self.groups.get_mut(g).and_then(|g| g.tests.get_mut(i)) {
            Some((_, Test::Content(content))) => Ok(content),
            _ => Err("needs a content before it".into()),
        }
    }

    /// The content or expression before the last content, in its buffer.
    pub fn before_last_content(&self) -> Option<&Test> {
        let (g, i) = self.last_content_at()?;
        let tests = self.groups.get(g)?.tests.get(..i)?;
        tests
            .iter()
            .rev()
            .map(|(_, t)| t)
            .find(|t| matches!(t, Test::Content(_) | Test::Pcre(_)))
    }

    /// Every content.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.groups
            .iter()
            .flat_map(|g| &g.tests)
            .filter_map(|(_, t)| {
                if let Test::Content(c) = t {
                    Some(c)
                } else {
                    None
                }
            })
    }

    /// Kind of the buffer that the last content is in.
    pub fn last_content_kind(&self) -> Option<GroupKind> {
        let (g, _) = self.last_content_at()?;
        Some(self.groups.get(g)?.kind)
    }

    /// The last test of the current buffer (or of all, without a sticky one) when it is a content.
    pub fn last_anchor_content(&mut self) -> Option<&mut Content> {
        let group = match &self.sticky {
            Some(sticky) => sticky.group?,
            None => self.last_group()?,
        };
        let tests = &mut self.groups.get_mut(group)?.tests;
        let last = tests
            .iter_mut()
            .rev()
            .map(|(_, t)| t)
            .find(|t| matches!(t, Test::Content(_) | Test::Pcre(_)) || moves_cursor(t))?;
        if let Test::Content(content) = last {
            Some(content)
        } else {
            None
        }
    }

    /// An old modifier: the last content of the payload moves to the buffer of a field.
    pub fn move_last_content(&mut self, keyword: &FieldKeyword) -> Result<(), String> {
        if let Some(name) = self.sticky_name() {
            return Err(format!(
                "cannot follow the sticky buffer {name}; pkt_data ends it"
            ));
        }
        let payload = self
            .groups
            .iter()
            .position(|g| g.kind == GroupKind::Payload);
        let at = payload.and_then(|g| {
            let tests = &self.groups.get(g)?.tests;
            Some((
                g,
                tests
                    .iter()
                    .rposition(|(_, t)| matches!(t, Test::Content(_)))?,
            ))
        });
        let (from, at) = at.ok_or("needs a content before it")?;
        self.require_field(keyword)?;
        let Some(group) = self.groups.get_mut(from) else {
            return Err("needs a content before it".into());
        };
        let entry = group.tests.remove(at);
        if let (_, Test::Content(content)) = &entry
            && content.replace.is_some()
        {
            group.tests.insert(at, entry);
            return Err("cannot be used with replace".into());
        }
        let to = self.field_group(keyword)?;
        if let Some(group) = self.groups.get_mut(to) {
            group.tests.push(entry);
        }
        Ok(())
    }

    // ── variables ──

    /// A new slot for a variable of `byte_extract` or `byte_math`.
    pub fn define(&mut self, name: &str) -> Result<u8, String> {
        if name.is_empty() || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(format!("\"{name}\" is not a name for a variable"));
        }
        if self.signature.variable_names.iter().any(|n| n == name) {
            return Err(format!("the variable {name} is already defined"));
        }
        let slot = u8::try_from(self.signature.variable_names.len())
            .map_err(|_| "more than 255 variables in one rule")?;
        self.signature.variable_names.push(name.to_owned());
        self.signature.variables = slot.saturating_add(1);
        Ok(slot)
    }

    /// A number between `min` and `max`, or a variable defined before.
    pub fn number(&self, text: &str, min: i64, max: i64) -> Result<Number, String> {
        let text = text.trim();
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let slot = self.signature.variable_names.iter().position(|n| n == text);
            let slot = slot.and_then(|s| u8::try_from(s).ok());
            return slot
                .map(Number::Variable)
                .ok_or_else(|| format!("the variable {text} is not defined before it is used"));
        }
        integer(text)
            .filter(|n| (min..=max).contains(n))
            .map(Number::Fixed)
            .ok_or_else(|| {
                format!("\"{text}\" is not a number from {min} to {max}, nor a variable")
            })
    }

    // ── directions ──

    /// Notes a direction that an option asks for.
    pub fn ask(&mut self, direction: Direction) -> Result<(), String> {
        if self.signature.transactional {
            return Ok(());
        }
        let flow = &self.signature.flow;
        let against = match direction {
            Direction::ToServer => flow.to_client,
            Direction::ToClient => flow.to_server,
        };
        if against || self.asked.is_some_and(|d| d != direction) {
            return Err("asks for the direction opposite to what the rule said before".into());
        }
        self.asked = Some(direction);
        Ok(())
    }

    /// Whether a protocol is still possible.
    pub fn possible(&self, proto: AppProto) -> bool {
        self.protos
            .as_ref()
            .is_none_or(|list| list.contains(&proto))
    }

    /// Direction of a group: where its field exists for the protocols still possible.
    pub fn direction_of(&self, group: &DraftGroup) -> FieldDirection {
        if let Some(only) = group.only {
            return match only {
                Direction::ToServer => FieldDirection::ToServer,
                Direction::ToClient => FieldDirection::ToClient,
            };
        }
        match Fields::all().named(group.name) {
            Some(keyword) if group.kind == GroupKind::App => {
                keyword.direction(|p| self.possible(p))
            }
            _ => FieldDirection::Both,
        }
    }

    /// The groups, in order, without those that lost their tests.
    pub fn take_groups(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.groups)
            .into_iter()
            .filter(|g| !g.tests.is_empty())
            .map(|g| Group {
                buffer: g.buffer,
                only: g.only,
                tests: g.tests.into_iter().map(|(_, t)| t).collect(),
            })
            .collect()
    }
}

/// Whether a test reads at the cursor or moves it, so that relative tests can follow it.
fn moves_cursor(test: &Test) -> bool {
    matches!(
        test,
        Test::Content(_)
            | Test::Pcre(_)
            | Test::ByteTest { .. }
            | Test::ByteJump { .. }
            | Test::ByteExtract { .. }
            | Test::ByteMath { .. }
            | Test::IsDataAt { .. }
    )
}

/// A decimal or hexadecimal number with a sign.
pub fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text.strip_prefix('+').unwrap_or(text)), |d| {
            (true, d)
        });
    let value = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    Some(if negative { -value } else { value })
}
