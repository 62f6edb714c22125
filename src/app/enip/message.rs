//! Messages of EtherNet/IP (CIP volume 2, chapter 2: the encapsulation) and of CIP in them (volume 1, chapter 2).
//!
//! Limits: a message is 65,559 bytes; of what CIP says in one, [`PARTS_MAX`] services of a multiple service packet and
//! [`VALUES_MAX`] path segments and attributes are kept, what is beyond makes the message invalid. Packets in packets
//! are read one level deep.

use crate::app::reader::Reader;

/// Bytes of the encapsulation's header.
pub const HEADER: usize = 24;
/// Services of a multiple service packet. Controllers pack a few dozen.
pub const PARTS_MAX: usize = 512;
/// Path segments and attributes of a message: with less, offsets that overlap could make a message of 64 KB unfold to
/// gigabytes.
pub const VALUES_MAX: usize = 8192;

/// Commands.
pub mod command {
    /// Nothing, to keep a connection.
    pub const NOP: u16 = 0;
    /// Which services a device has.
    pub const LIST_SERVICES: u16 = 4;
    /// Which device it is.
    pub const LIST_IDENTITY: u16 = 0x63;
    /// Which other interfaces it has.
    pub const LIST_INTERFACES: u16 = 0x64;
    /// Begins a session.
    pub const REGISTER: u16 = 0x65;
    /// Ends a session.
    pub const UNREGISTER: u16 = 0x66;
    /// Carries CIP without a connection.
    pub const SEND_RR_DATA: u16 = 0x6f;
    /// Carries CIP of a connection.
    pub const SEND_UNIT_DATA: u16 = 0x70;
}

/// Kinds of items.
mod item {
    pub const IDENTITY: u16 = 0x0c;
    pub const CONNECTED: u16 = 0xb1;
    pub const UNCONNECTED: u16 = 0xb2;
    pub const SERVICES: u16 = 0x100;
}

/// Services that are read further.
mod service {
    pub const GET_ATTRIBUTES: u8 = 3;
    pub const SET_ATTRIBUTES: u8 = 4;
    pub const MULTIPLE: u8 = 10;
}

/// A part of a path: what kind, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Type and format as sent.
    pub kind: u8,
    /// Class, instance, attribute …
    pub value: u32,
}

impl Segment {
    /// Whether it names a class.
    pub fn is_class(self) -> bool {
        self.kind >> 2 == 8
    }
    /// Whether it names an instance.
    pub fn is_instance(self) -> bool {
        self.kind >> 2 == 9
    }
    /// Whether it names an attribute.
    pub fn is_attribute(self) -> bool {
        self.kind >> 2 == 12
    }
}

/// How a service was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// General state.
    pub status: u8,
    /// More about it.
    pub extended: Vec<u8>,
}

/// A request to a service of CIP, or its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cip {
    /// The service, without the bit of an answer.
    pub service: u8,
    /// How it was answered; `None` in requests.
    pub answer: Option<Answer>,
    /// What it is about.
    pub path: Vec<Segment>,
    /// Attributes asked for, or the first one set.
    pub attributes: Vec<u16>,
    /// What a multiple service packet holds.
    pub parts: Vec<Self>,
}

/// What remains to be kept of a message.
struct Budget(usize);

impl Budget {
    fn take(&mut self, values: usize) -> Option<()> {
        self.0 = self.0.checked_sub(values)?;
        Some(())
    }
}

impl Cip {
    fn read(r: &mut Reader<'_>, nested: bool, budget: &mut Budget) -> Option<Self> {
        budget.take(1)?;
        let first = r.u8()?;
        let mut cip = Self {
            service: first & 0x7f,
            ..Self::default()
        };
        if first & 0x80 == 0 {
            cip.request(r, nested, budget)?;
        } else {
            cip.response(r, nested, budget)?;
        }
        Some(cip)
    }

    /// ```text
    /// service(8) | words of path(8) path | data
    /// ```
    fn request(&mut self, r: &mut Reader<'_>, nested: bool, budget: &mut Budget) -> Option<()> {
        let words = r.u8()?;
        let mut path = r.part(2 * usize::from(words))?;
        while !path.is_empty() {
            budget.take(1)?;
            self.path.push(segment(&mut path)?);
        }
        match self.service {
            service::GET_ATTRIBUTES => {
                let count = usize::from(r.u16_le()?);
                let mut list = r.part(2 * count)?;
                budget.take(count)?;
                self.attributes = std::iter::from_fn(|| list.u16_le()).collect();
            }
            service::SET_ATTRIBUTES if r.u16_le()? > 0 => self.attributes.push(r.u16_le()?),
            service::MULTIPLE if !nested => self.multiple(r, budget)?,
            _ => {}
        }
        Some(())
    }

    /// ```text
    /// service(8) | reserved(8) status(8) words of more(8) more | data
    /// ```
    fn response(&mut self, r: &mut Reader<'_>, nested: bool, budget: &mut Budget) -> Option<()> {
        r.skip(1)?;
        let status = r.u8()?;
        // The reference sensor takes this number of words for bytes; what is shown is to be the same.
        let more = usize::from(r.u8()?);
        let extended = r.take(more)?.to_vec();
        self.answer = Some(Answer { status, extended });
        if self.service == service::MULTIPLE && !nested {
            self.multiple(r, budget)?;
        }
        Some(())
    }

    /// Volume 1 §A-4.10: how many, where each begins (from here), and they themselves.
    fn multiple(&mut self, r: &mut Reader<'_>, budget: &mut Budget) -> Option<()> {
        let whole = r.rest();
        let count = usize::from(r.u16_le()?);
        let mut offsets = r.part(2 * count)?;
        if count > PARTS_MAX {
            return None;
        }
        for _ in 0..count {
            let at = usize::from(offsets.u16_le()?);
            let mut part = Reader::new(whole.get(at..).filter(|part| !part.is_empty())?);
            self.parts.push(Self::read(&mut part, true, budget)?);
        }
        Some(())
    }

    /// It and what it holds.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.parts)
    }
}

/// Volume 1 §C-1.4.2: only logical segments are read.
fn segment(path: &mut Reader<'_>) -> Option<Segment> {
    let kind = path.u8()?;
    if kind >> 5 != 1 {
        return None;
    }
    let value = match kind & 3 {
        0 => path.u8()?.into(),
        1 => {
            path.skip(1)?;
            path.u16_le()?.into()
        }
        2 => {
            path.skip(1)?;
            path.u32_le()?
        }
        _ => return None,
    };
    Some(Segment { kind, value })
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Version of the encapsulation.
    pub protocol_version: u16,
    /// Vendor by ODVA's number.
    pub vendor: u16,
    /// Kind of device.
    pub device: u16,
    /// The vendor's number of the product.
    pub product: u16,
    /// Major and minor revision.
    pub revision: (u8, u8),
    /// Its state in bits.
    pub status: u16,
    /// Serial number.
    pub serial: u32,
    /// The product by name.
    pub name: Vec<u8>,
    /// Its state as a number.
    pub state: u8,
}

impl Identity {
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let protocol_version = r.u16_le()?;
        // The address of its socket.
        r.skip(16)?;
        Some(Self {
            protocol_version,
            vendor: r.u16_le()?,
            device: r.u16_le()?,
            product: r.u16_le()?,
            revision: (r.u8()?, r.u8()?),
            status: r.u16_le()?,
            serial: r.u32_le()?,
            name: r.counted8()?.to_vec(),
            state: r.u8()?,
        })
    }
}

/// What a device says of its services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Version of the encapsulation.
    pub protocol_version: u16,
    /// Bits: CIP over TCP, over UDP.
    pub capabilities: u16,
    /// Name of the service, 16 bytes.
    pub name: Vec<u8>,
}

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// Nothing that is read.
    #[default]
    None,
    /// CIP: the first message in it, whether a connection's message is its second item, and that one's number.
    Cip(Option<Box<Cip>>, bool, Option<u16>),
    /// Version and options of a session to begin.
    Register(u16, u16),
    /// The first item of a list.
    Identity(Box<Identity>),
    /// The first item of a list.
    Services(Box<Services>),
    /// A list of something else.
    List,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// See [`command`].
    pub command: u16,
    /// Bytes after the header.
    pub len: u16,
    /// Handle of the session.
    pub session: u32,
    /// State.
    pub status: u32,
    /// Options: 0.
    pub options: u32,
    /// What it carries.
    pub payload: Payload,
    /// Whether what it carries could not be read.
    pub invalid: bool,
    /// Where items and CIP lie in it, when asked for: offset, length, whether it is CIP.
    pub spans: Vec<(usize, usize, bool)>,
}

/// Items of which the places are noted.
const SPANS_MAX: usize = 32;

/// Reads items.
struct Items<'a> {
    r: Reader<'a>,
    budget: Budget,
    /// Where the reader's bytes begin in the message.
    base: usize,
    spans: Option<Vec<(usize, usize, bool)>>,
}

/// An item, as far as it is read.
enum Item {
    Other,
    Cip(Cip, Option<u16>),
    Identity(Identity),
    Services(Services),
}

impl Items<'_> {
    fn note(&mut self, at: usize, len: usize, cip: bool) {
        if let Some(spans) = self.spans.as_mut().filter(|s| s.len() < SPANS_MAX) {
            spans.push((at, len, cip));
        }
    }

    /// ```text
    /// type(16) length(16) data
    /// ```
    fn next(&mut self) -> Option<Item> {
        let at = self.base + self.r.position();
        let (kind, len) = (self.r.u16_le()?, usize::from(self.r.u16_le()?));
        let mut data = self.r.part(len)?;
        self.note(at, 4 + len, false);
        match kind {
            item::IDENTITY => Identity::read(&mut data).map(Item::Identity),
            item::SERVICES => Some(Item::Services(Services {
                protocol_version: data.u16_le()?,
                capabilities: data.u16_le()?,
                name: data.take(16)?.to_vec(),
            })),
            item::CONNECTED | item::UNCONNECTED => {
                let mut sequence = None;
                if kind == item::CONNECTED {
                    sequence = Some(data.u16_le()?);
                }
                self.note(at + 4 + data.position(), data.left(), true);
                Cip::read(&mut data, false, &mut self.budget).map(|cip| Item::Cip(cip, sequence))
            }
            _ => Some(Item::Other),
        }
    }
}

impl Message {
    /// Reads the header.
    ///
    /// ```text
    /// command(16) length(16) session(32) status(32) context(64) options(32), little endian
    /// ```
    fn header(r: &mut Reader<'_>) -> Option<Self> {
        let mut head = r.part(HEADER)?;
        let message = Self {
            command: head.u16_le()?,
            len: head.u16_le()?,
            session: head.u32_le()?,
            status: head.u32_le()?,
            ..Self::default()
        };
        head.skip(8)?;
        Some(Self {
            options: head.u32_le()?,
            ..message
        })
    }

    /// Reads a message, or says how many bytes lack.
    pub fn read(r: &mut Reader<'_>, places: bool) -> Result<Self, usize> {
        let mut whole = *r;
        let header = Self::header(&mut whole);
        let mut message = header.ok_or_else(|| HEADER.saturating_sub(r.left()))?;
        let len = usize::from(message.len);
        let left = whole.left();
        let data = whole.take(len).ok_or(len.saturating_sub(left))?;
        *r = whole;
        let mut items = Items {
            r: Reader::new(data),
            budget: Budget(VALUES_MAX),
            base: HEADER,
            spans: places.then(Vec::new),
        };
        let payload = match message.command {
            command::REGISTER => items
                .r
                .u16_le()
                .zip(items.r.u16_le())
                .map(|(version, options)| Payload::Register(version, options)),
            command::LIST_IDENTITY | command::LIST_SERVICES | command::LIST_INTERFACES
                if len > 0 =>
            {
                list(&mut items, message.command)
            }
            command::SEND_RR_DATA | command::SEND_UNIT_DATA => cip(&mut items),
            _ => Some(Payload::None),
        };
        message.invalid = payload.is_none();
        message.payload = payload.unwrap_or_default();
        message.spans = items.spans.unwrap_or_default();
        Ok(message)
    }

    /// Whether bytes are the beginning of a message.
    pub fn probe(bytes: &[u8]) -> bool {
        let mut r = Reader::new(bytes);
        let Some(message) = Self::header(&mut r) else {
            return false;
        };
        let state = matches!(message.status, 0..=3 | 0x64 | 0x65 | 0x69 | 0x6a);
        state
            && match message.command {
                command::NOP => message.options == 0,
                command::REGISTER => message.len == 4,
                command::UNREGISTER => matches!(message.len, 0 | 4),
                command::LIST_INTERFACES => r
                    .u16_le()
                    .is_some_and(|count| r.left() >= 2 * usize::from(count)),
                command::LIST_SERVICES
                | command::LIST_IDENTITY
                | command::SEND_RR_DATA
                | command::SEND_UNIT_DATA
                | 0x72
                | 0x73 => true,
                _ => false,
            }
    }

    /// Whether this one answers `request`.
    pub fn answers(&self, request: &Self) -> bool {
        // The handle of a session is made by the answer that registers it.
        let same = self.command == request.command
            && (self.session == request.session || self.command == command::REGISTER);
        same && match (&request.payload, &self.payload) {
            (Payload::Cip(_, true, mine), Payload::Cip(_, true, theirs)) => {
                mine.is_some() && mine == theirs
            }
            (Payload::Cip(..), Payload::Cip(..)) => true,
            (Payload::Cip(..), _) | (_, Payload::Cip(..)) => false,
            _ => true,
        }
    }
}

/// The first item of a list, once all of them were read.
fn list(items: &mut Items<'_>, command: u16) -> Option<Payload> {
    let mut first = Payload::List;
    for i in 0..items.r.u16_le()? {
        let found = match items.next()? {
            Item::Identity(identity) if command == command::LIST_IDENTITY => {
                Payload::Identity(Box::new(identity))
            }
            Item::Services(services) if command == command::LIST_SERVICES => {
                Payload::Services(Box::new(services))
            }
            _ => Payload::List,
        };
        if i == 0 {
            first = found;
        }
    }
    Some(first)
}

fn cip(items: &mut Items<'_>) -> Option<Payload> {
    // Handle of the interface, timeout.
    items.r.skip(6)?;
    let (mut first, mut connected, mut sequence) = (None, false, None);
    for i in 0..items.r.u16_le()? {
        if let Item::Cip(cip, number) = items.next()? {
            if i == 1 {
                (connected, sequence) = (number.is_some(), number);
            }
            first.get_or_insert_with(|| Box::new(cip));
        }
    }
    Some(Payload::Cip(first, connected, sequence))
}
