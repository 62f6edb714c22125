//! The rule keywords of DNS, mDNS and LLMNR: names by section, opcode, response code, record types.
//!
//! A section's unnamed (root) records are passed over, so that one in front cannot hide the names behind it.

use super::DnsTx;
use super::message::{Message, Name, RCODES, RRTYPES, Record};
use crate::app::{Access, Field, FieldDirection, FieldTest, Transaction, http2, number};
use crate::packet::Direction;

fn of(tx: &dyn Transaction, direction: Direction) -> Option<&DnsTx> {
    tx.as_any()
        .downcast_ref::<DnsTx>()
        .filter(|tx| tx.direction == direction)
        .or_else(|| http2::message(tx, direction))
}

/// The `index`-th name of a section that is not empty.
fn nth<'a>(names: impl Iterator<Item = &'a Name>, index: usize) -> Option<&'a [u8]> {
    names
        .map(|n| n.text.as_slice())
        .filter(|n| !n.is_empty())
        .nth(index)
}

fn owners(records: &[Record]) -> impl Iterator<Item = &Name> {
    records.iter().map(|r| &r.name)
}

fn query<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    nth(of(tx, d)?.message.questions.iter().map(|q| &q.name), index)
}

fn answer<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    nth(owners(&of(tx, d)?.message.answers), index)
}

fn authority<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    nth(
        owners(&of(tx, d).filter(|tx| tx.response)?.message.authorities),
        index,
    )
}

fn additional<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    nth(
        owners(&of(tx, d).filter(|tx| tx.response)?.message.additionals),
        index,
    )
}

/// The places of all names of a response: owners, and names in the data, in the order of the message.
pub(super) fn name_order(message: &Message) -> Vec<(u8, u16, bool)> {
    let mut order = Vec::new();
    let index = |i: usize| u16::try_from(i).unwrap_or(u16::MAX);
    for (i, q) in message.questions.iter().enumerate() {
        if !q.name.text.is_empty() {
            order.push((0, index(i), false));
        }
    }
    for (section, records) in [&message.answers, &message.authorities, &message.additionals]
        .into_iter()
        .enumerate()
    {
        for (i, r) in records.iter().enumerate() {
            let section = section as u8 + 1;
            if !r.name.text.is_empty() {
                order.push((section, index(i), false));
            }
            if r.data.name().is_some_and(|n| !n.text.is_empty()) {
                order.push((section, index(i), true));
            }
        }
    }
    order
}

fn any_name<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let tx = of(tx, d)?;
    let (section, record, in_data) = *tx.names.get(index)?;
    let message = &tx.message;
    let records = match section {
        0 => {
            return message
                .questions
                .get(usize::from(record))
                .map(|q| q.name.text.as_slice());
        }
        1 => &message.answers,
        2 => &message.authorities,
        _ => &message.additionals,
    };
    let record = records.get(usize::from(record))?;
    Some(if in_data {
        &record.data.name()?.text
    } else {
        &record.name.text
    })
}

fn opcode(tx: &dyn Transaction, d: Direction, index: usize) -> Option<u64> {
    (index == 0).then_some(u64::from(of(tx, d)?.message.header.opcode()))
}

fn rcode(tx: &dyn Transaction, d: Direction, index: usize) -> Option<u64> {
    (index == 0).then_some(u64::from(of(tx, d)?.message.header.rcode()))
}

/// Requests: the types asked for; responses: the types answered.
fn rrtype(tx: &dyn Transaction, d: Direction, index: usize) -> Option<u64> {
    let tx = of(tx, d)?;
    let found = match d {
        Direction::ToServer => tx.message.questions.get(index).map(|q| q.rrtype),
        Direction::ToClient => tx.message.answers.get(index).map(|r| r.rrtype),
    };
    found.map(u64::from)
}

fn rrtype_test(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    number::list(argument, RRTYPES, 65535, rrtype)
}

const fn field(
    name: &'static str,
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc).at(1)
}

/// DNS.
pub(super) static DNS: &[Field] = &[
    Field {
        name: "dns.query",
        aliases: &["dns_query"],
        modifier: None,
        direction: FieldDirection::ToServer,
        progress: 1,
        access: Access::Multi(query),
        doc: "a name asked for, in requests",
    },
    field(
        "dns.query.name",
        FieldDirection::Both,
        Access::Multi(query),
        "a name in the question section",
    ),
    field(
        "dns.queries.rrname",
        FieldDirection::Both,
        Access::Multi(query),
        "a name in the question section",
    ),
    field(
        "dns.answer.name",
        FieldDirection::Both,
        Access::Multi(answer),
        "owner of a record in the answer section",
    ),
    field(
        "dns.answers.rrname",
        FieldDirection::Both,
        Access::Multi(answer),
        "owner of a record in the answer section",
    ),
    field(
        "dns.authorities.rrname",
        FieldDirection::Both,
        Access::Multi(authority),
        "owner of a record in the authority section",
    ),
    field(
        "dns.additionals.rrname",
        FieldDirection::Both,
        Access::Multi(additional),
        "owner of a record in the additional section",
    ),
    field(
        "dns.response.rrname",
        FieldDirection::ToClient,
        Access::Multi(any_name),
        "any name in a response, owner or data",
    ),
    field(
        "dns.opcode",
        FieldDirection::Both,
        Access::Integer {
            value: opcode,
            names: &[],
            max: 255,
        },
        "the header's opcode",
    ),
    field(
        "dns.rcode",
        FieldDirection::Both,
        Access::Integer {
            value: rcode,
            names: RCODES,
            max: 65535,
        },
        "the header's response code",
    ),
    field(
        "dns.rrtype",
        FieldDirection::Both,
        Access::Test(rrtype_test),
        "record types asked or answered",
    ),
];

/// mDNS: always sent to the server.
pub(super) static MDNS: &[Field] = &[
    field(
        "mdns.queries.rrname",
        FieldDirection::Both,
        Access::Multi(query),
        "a name in the question section",
    ),
    field(
        "mdns.answers.rrname",
        FieldDirection::Both,
        Access::Multi(answer),
        "owner of a record in the answer section",
    ),
    field(
        "mdns.authorities.rrname",
        FieldDirection::Both,
        Access::Multi(authority),
        "owner of a record in the authority section",
    ),
    field(
        "mdns.additionals.rrname",
        FieldDirection::Both,
        Access::Multi(additional),
        "owner of a record in the additional section",
    ),
    field(
        "mdns.response.rrname",
        FieldDirection::Both,
        Access::Multi(any_name),
        "any name in a response, owner or data",
    ),
];

/// LLMNR.
pub(super) static LLMNR: &[Field] = &[
    field(
        "llmnr.queries.rrname",
        FieldDirection::Both,
        Access::Multi(query),
        "a name in the question section",
    ),
    field(
        "llmnr.answers.rrname",
        FieldDirection::Both,
        Access::Multi(answer),
        "owner of a record in the answer section",
    ),
    field(
        "llmnr.authorities.rrname",
        FieldDirection::Both,
        Access::Multi(authority),
        "owner of a record in the authority section",
    ),
    field(
        "llmnr.additionals.rrname",
        FieldDirection::Both,
        Access::Multi(additional),
        "owner of a record in the additional section",
    ),
    field(
        "llmnr.response.rrname",
        FieldDirection::ToClient,
        Access::Multi(any_name),
        "any name in a response, owner or data",
    ),
];
