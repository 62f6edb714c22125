//! The rule keywords of EtherNet/IP and CIP.
//!
//! What only requests have, and what only answers have, is looked at in both directions, as the reference sensor does:
//! a rule without a direction may match on the request and again with its answer.

use super::message::{Cip, Identity, Message, Payload, Segment, Services};
use super::{name, of};
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction, number};
use crate::packet::Direction;

/// Values of a transaction that are looked at.
const VALUES_MAX: usize = 8192;

fn half(tx: &dyn Transaction, direction: Direction) -> Option<&Message> {
    of(tx)?.half(direction)
}

fn cip(message: &Message) -> Option<&Cip> {
    match &message.payload {
        Payload::Cip(cip, ..) => cip.as_deref(),
        _ => None,
    }
}

/// Requests to services, also those in a packet of several.
fn requests(tx: &dyn Transaction) -> impl Iterator<Item = &Cip> {
    let request = half(tx, Direction::ToServer).and_then(cip);
    request
        .into_iter()
        .flat_map(Cip::all)
        .filter(|cip| cip.answer.is_none())
}

fn segments(tx: &dyn Transaction, index: usize, is: fn(Segment) -> bool) -> Option<u64> {
    let all = requests(tx).flat_map(|cip| cip.path.iter().copied());
    let mut values = all.filter(|s| is(*s)).take(VALUES_MAX);
    values.nth(index).map(|s| s.value.into())
}

fn class(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    segments(tx, index, Segment::is_class)
}

fn instance(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    segments(tx, index, Segment::is_instance)
}

fn attributes(cip: &Cip) -> impl Iterator<Item = u64> {
    let path = cip.path.iter().filter(|s| s.is_attribute());
    path.map(|s| s.value.into())
        .chain(cip.attributes.iter().map(|a| u64::from(*a)))
}

fn attribute(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    requests(tx)
        .flat_map(attributes)
        .take(VALUES_MAX)
        .nth(index)
}

fn answers(tx: &dyn Transaction) -> impl Iterator<Item = &super::message::Answer> {
    let response = half(tx, Direction::ToClient).and_then(cip);
    response
        .into_iter()
        .flat_map(Cip::all)
        .filter_map(|cip| cip.answer.as_ref())
}

fn cip_status(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    let mut all = answers(tx);
    all.nth(index).map(|answer| answer.status.into())
}

fn cip_extended(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    let pairs = answers(tx).filter_map(|answer| match *answer.extended {
        [low, high] => Some(u64::from(u16::from_le_bytes([low, high]))),
        _ => None,
    });
    { pairs }.nth(index)
}

fn identity(tx: &dyn Transaction) -> Option<&Identity> {
    match &half(tx, Direction::ToClient)?.payload {
        Payload::Identity(identity) => Some(identity),
        _ => None,
    }
}

fn services(tx: &dyn Transaction) -> Option<&Services> {
    match &half(tx, Direction::ToClient)?.payload {
        Payload::Services(services) => Some(services),
        _ => None,
    }
}

/// A number of the device's identity.
macro_rules! of_identity {
    ($read:expr) => {
        |tx, _, index| {
            let read: fn(&Identity) -> u64 = $read;
            identity(tx).filter(|_| index == 0).map(read)
        }
    };
}

fn version(tx: &dyn Transaction, direction: Direction, index: usize) -> Option<u64> {
    let message = half(tx, direction).filter(|_| index == 0)?;
    let version = match &message.payload {
        Payload::Register(version, _) => *version,
        Payload::Services(services) if direction == Direction::ToClient => {
            services.protocol_version
        }
        Payload::Identity(identity) if direction == Direction::ToClient => {
            identity.protocol_version
        }
        _ => return None,
    };
    Some(version.into())
}

/// `cip_service: service [, class [, attribute]]`
#[derive(Debug, PartialEq, Eq)]
struct ServiceTest {
    service: u8,
    class: Option<u32>,
    attribute: Option<u32>,
}

impl ServiceTest {
    fn parse(argument: &str) -> Result<Self, String> {
        let wrong = |text: &str| format!("{text:?} is not a number of it");
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let number = text.parse::<u32>().ok().filter(|_| plain);
            number.ok_or_else(|| wrong(text))
        };
        let mut parts = argument.split(',').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let service = u8::try_from(number(first)?).map_err(|_| wrong(first))?;
        if service > 0x7f {
            return Err(wrong(first));
        }
        let class = parts.next().map(number).transpose()?;
        // A negated attribute has never meant anything but "any".
        let attribute = match parts.next() {
            Some(text) => match text.strip_prefix('!') {
                Some(text) => number(text).map(|_| None)?,
                None => Some(number(text)?),
            },
            None => None,
        };
        match parts.next() {
            Some(more) => Err(wrong(more)),
            None => Ok(Self {
                service,
                class,
                attribute,
            }),
        }
    }

    fn holds(&self, cip: &Cip) -> bool {
        cip.service == self.service
            && self.class.is_none_or(|class| {
                let mut path = cip.path.iter();
                path.any(|s| s.is_class() && s.value == class)
            })
            && (self.class.is_none()
                || self.attribute.is_none_or(|attribute| {
                    attributes(cip).any(|found| found == u64::from(attribute))
                }))
    }
}

impl FieldTest for ServiceTest {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        half(tx, direction)
            .and_then(cip)
            .is_some_and(|cip| cip.all().any(|cip| self.holds(cip)))
    }
}

fn service(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    Ok(Box::new(ServiceTest::parse(argument)?))
}

const fn number(
    name: &'static str,
    value: fn(&dyn Transaction, Direction, usize) -> Option<u64>,
    max: u64,
    doc: &'static str,
) -> Field {
    Field::number(name, FieldDirection::Both, value, max, doc)
}

const fn named(
    name: &'static str,
    value: fn(&dyn Transaction, Direction, usize) -> Option<u64>,
    names: &'static [(&'static str, u64)],
    max: u64,
    doc: &'static str,
) -> Field {
    let access = Access::Integer { value, names, max };
    Field::new(name, FieldDirection::Both, access, doc)
}

/// A table of names the other way round.
const fn turned<const N: usize>(table: &[(u32, &'static str)]) -> [(&'static str, u64); N] {
    let mut out = [("", 0u64); N];
    let mut i = 0;
    while i < N && i < table.len() {
        out[i] = (table[i].1, table[i].0 as u64);
        i += 1;
    }
    out
}

static COMMANDS: [(&str, u64); name::COMMANDS.len()] = turned(name::COMMANDS);
static STATES: [(&str, u64); name::STATES.len()] = turned(name::STATES);

const BYTE: u64 = u8::MAX as u64;
const WORD: u64 = u16::MAX as u64;
const LONG: u64 = u32::MAX as u64;

pub(super) static FIELDS: &[Field] = &[
    Field::new(
        "cip_service",
        FieldDirection::Both,
        Access::Test(service),
        "a service of CIP: service[, class[, attribute]]",
    ),
    named(
        "enip_command",
        |tx, direction, index| {
            let message = half(tx, direction).filter(|_| index == 0)?;
            Some(message.command.into())
        },
        &COMMANDS,
        WORD,
        "command of the encapsulation, by number or name",
    )
    .also(&["enip.command"]),
    named(
        "enip.status",
        |tx, direction, index| {
            let message = half(tx, direction).filter(|_| index == 0)?;
            Some(message.status.into())
        },
        &STATES,
        LONG,
        "state of the encapsulation, by number or name",
    ),
    number(
        "enip.protocol_version",
        version,
        WORD,
        "version of the encapsulation",
    ),
    number(
        "enip.capabilities",
        |tx, _, index| {
            let services = services(tx).filter(|_| index == 0)?;
            Some(services.capabilities.into())
        },
        WORD,
        "what a service of the device can",
    ),
    number(
        "enip.vendor_id",
        of_identity!(|i| i.vendor.into()),
        WORD,
        "the device's vendor",
    ),
    number(
        "enip.device_type",
        of_identity!(|i| i.device.into()),
        WORD,
        "kind of device",
    ),
    number(
        "enip.product_code",
        of_identity!(|i| i.product.into()),
        WORD,
        "the vendor's number of the product",
    ),
    number(
        "enip.revision",
        of_identity!(|i| u16::from_be_bytes([i.revision.0, i.revision.1]).into()),
        WORD,
        "the device's revision: major in the upper byte",
    ),
    number(
        "enip.identity_status",
        of_identity!(|i| i.status.into()),
        WORD,
        "the device's state in bits",
    ),
    number(
        "enip.serial",
        of_identity!(|i| i.serial.into()),
        LONG,
        "the device's serial number",
    ),
    number(
        "enip.state",
        of_identity!(|i| i.state.into()),
        BYTE,
        "the device's state",
    ),
    Field::new(
        "enip.product_name",
        FieldDirection::Both,
        Access::Bytes(|tx, _, _| Some(identity(tx)?.name.as_slice())),
        "the device's product by name",
    ),
    Field::new(
        "enip.service_name",
        FieldDirection::Both,
        Access::Bytes(|tx, _, _| Some(services(tx)?.name.as_slice())),
        "name of a service of the device, 16 bytes",
    ),
    Field::new(
        "enip.cip_class",
        FieldDirection::Both,
        Access::Test(|argument| number::list(argument, &[], LONG, class)),
        "classes in paths of requests",
    ),
    Field::new(
        "enip.cip_instance",
        FieldDirection::Both,
        Access::Test(|argument| number::list(argument, &[], LONG, instance)),
        "instances in paths of requests",
    ),
    Field::new(
        "enip.cip_attribute",
        FieldDirection::Both,
        Access::Test(|argument| number::list(argument, &[], LONG, attribute)),
        "attributes in requests",
    ),
    number(
        "enip.cip_status",
        cip_status,
        BYTE,
        "general states of answers",
    ),
    number(
        "enip.cip_extendedstatus",
        cip_extended,
        WORD,
        "extended states of answers, where they are two bytes",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_told_by_class_and_attribute() {
        let cip = Cip {
            service: 16,
            path: vec![
                Segment {
                    kind: 0x20,
                    value: 0xf5,
                },
                Segment {
                    kind: 0x30,
                    value: 5,
                },
            ],
            ..Cip::default()
        };
        for (test, is) in [
            ("16", true),
            ("16, 245", true),
            (" 16 ,245 , 5", true),
            ("16,245,!6", true),
            ("16,245,6", false),
            ("16,1", false),
            ("14", false),
        ] {
            assert_eq!(
                ServiceTest::parse(test).expect(test).holds(&cip),
                is,
                "{test}"
            );
        }
        for wrong in ["", "128", "1,", "1,2,3,4", "-1", "a"] {
            assert!(ServiceTest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
