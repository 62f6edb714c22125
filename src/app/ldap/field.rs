//! The rule keywords of LDAP.

use super::LdapTx;
use super::message::{Message, OPERATIONS, Operation, RESULTS};
use crate::app::{Access, Field, FieldDirection, FieldTest, Transaction, number};
use crate::packet::Direction;

fn of(tx: &dyn Transaction) -> Option<&LdapTx> {
    tx.as_any().downcast_ref()
}

fn request_operation(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?
        .request
        .as_ref()
        .filter(|_| index == 0)
        .map(|r| u64::from(r.tag))
}

fn response_operations(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?.responses.get(index).map(|r| u64::from(r.tag))
}

fn responses_operation(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    number::list(argument, OPERATIONS, 255, response_operations)
}

fn count(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)
        .filter(|_| index == 0)
        .map(|tx| tx.responses.len() as u64)
}

fn codes(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?
        .responses
        .iter()
        .filter_map(Message::result)
        .nth(index)
        .map(|r| u64::from(r.code))
}

fn result_code(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    number::list(argument, RESULTS, u64::from(u32::MAX), codes)
}

fn request_dn<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    match &of(tx)?.request.as_ref()?.operation {
        Operation::Bind(_, name, _)
        | Operation::Entry(name, _)
        | Operation::Modify(name, _)
        | Operation::Delete(name)
        | Operation::Rename(name, ..)
        | Operation::Compare(name, ..)
        | Operation::Search { base: name, .. } => Some(name),
        _ => None,
    }
}

fn response_dn<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    Some(match &of(tx)?.responses.get(index)?.operation {
        Operation::Entry(name, _) => name,
        Operation::Result(result) => &result.dn,
        _ => &[],
    })
}

fn response_message<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    Some(
        of(tx)?
            .responses
            .get(index)?
            .result()
            .map_or(&[], |r| &r.message),
    )
}

fn request_attribute<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    match &of(tx)?.request.as_ref()?.operation {
        Operation::Search { attributes, .. } => attributes.get(index).map(Vec::as_slice),
        Operation::Modify(_, changes) => changes.get(index).map(|(_, (name, _))| name.as_slice()),
        Operation::Entry(_, attributes) => attributes.get(index).map(|(name, _)| name.as_slice()),
        Operation::Compare(_, name, _) if index == 0 => Some(name),
        _ => None,
    }
}

fn response_attribute<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let names = of(tx)?.responses.iter().flat_map(|r| match &r.operation {
        Operation::Entry(_, attributes) => attributes.as_slice(),
        _ => &[],
    });
    names.map(|(name, _)| name.as_slice()).nth(index)
}

const fn field(
    name: &'static str,
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc).at(1)
}

use FieldDirection::{ToClient, ToServer};

pub(super) static FIELDS: &[Field] = &[
    field(
        "ldap.request.operation",
        ToServer,
        Access::Integer {
            value: request_operation,
            names: OPERATIONS,
            max: 255,
        },
        "operation of the request",
    ),
    field(
        "ldap.responses.operation",
        ToClient,
        Access::Test(responses_operation),
        "operations of the responses",
    ),
    field(
        "ldap.responses.count",
        ToClient,
        Access::Integer {
            value: count,
            names: &[],
            max: u32::MAX as u64,
        },
        "number of responses",
    ),
    field(
        "ldap.responses.result_code",
        ToClient,
        Access::Test(result_code),
        "result codes of the responses",
    ),
    field(
        "ldap.request.dn",
        ToServer,
        Access::Bytes(request_dn),
        "name the request is about",
    ),
    field(
        "ldap.responses.dn",
        ToClient,
        Access::Multi(response_dn),
        "names in the responses",
    ),
    field(
        "ldap.responses.message",
        ToClient,
        Access::Multi(response_message),
        "diagnostic messages",
    ),
    field(
        "ldap.request.attribute_type",
        ToServer,
        Access::Multi(request_attribute),
        "attributes asked for or changed",
    ),
    field(
        "ldap.responses.attribute_type",
        ToClient,
        Access::Multi(response_attribute),
        "attributes of the entries found",
    ),
];
