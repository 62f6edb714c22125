//! The rule keywords of DCE/RPC; SMB declares them too, for the calls in its pipes.

use super::pdu::{Call, Interfaces};
use super::{DcerpcSession, DcerpcTx};
use crate::app::number::Comparison;
use crate::app::smb;
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

/// The call of a transaction of DCE/RPC or of SMB.
fn call(tx: &dyn Transaction) -> Option<&Call> {
    match tx.as_any().downcast_ref::<DcerpcTx>() {
        Some(tx) => Some(&tx.call),
        None => smb::call_of(tx),
    }
}

fn interfaces(session: &dyn Session) -> Option<&Interfaces> {
    match session.as_any().downcast_ref::<DcerpcSession>() {
        Some(session) => Some(&session.interfaces),
        None => smb::interfaces_of(session),
    }
}

/// `dcerpc.iface:UUID[,version][,any_frag]`.
#[derive(Debug)]
struct InterfaceIs {
    uuid: [u8; 16],
    version: Option<Comparison>,
    any_fragment: bool,
}

/// Makes a test of the option's argument.
pub fn interface(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let mut parts = argument.split(',').map(str::trim);
    let text = parts.next().unwrap_or_default();
    let uuid = uuid(text).ok_or_else(|| format!("{text:?} is not a UUID"))?;
    let (mut version, mut any_fragment) = (None, false);
    for part in parts {
        match part {
            "any_frag" if !any_fragment => any_fragment = true,
            part if version.is_none() && !any_fragment => {
                version = Some(Comparison::parse(part, &[], 65_535)?)
            }
            part => return Err(format!("{part:?} has no place here")),
        }
    }
    Ok(Box::new(InterfaceIs {
        uuid,
        version,
        any_fragment,
    }))
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    if groups != [8, 4, 4, 4, 12] {
        return None;
    }
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |b, d| b << 4 | *d as u8))
        .collect();
    bytes.try_into().ok()
}

impl FieldTest for InterfaceIs {
    fn test(&self, tx: &dyn Transaction, session: &dyn Session, _: Direction) -> bool {
        let (Some(call), Some(interfaces)) = (call(tx), interfaces(session)) else {
            return false;
        };
        // Over SMB neither the context nor the first fragment is asked for (the reference's way).
        let over_smb = !tx.as_any().is::<DcerpcTx>();
        call.requested
            && interfaces.0.iter().any(|i| {
                i.result == Some(0)
                    && i.uuid == self.uuid
                    && (over_smb || (i.context == call.context && (self.any_fragment || i.first)))
                    && self.version.is_none_or(|v| v.holds(u64::from(i.version.0)))
            })
    }
}

/// `dcerpc.opnum:15`, `dcerpc.opnum:12,13-17`, `dcerpc.opnum:>3`.
#[derive(Debug)]
enum OperationIs {
    /// Ranges, ends included.
    Ranges(Vec<(u32, u32)>),
    Comparison(Comparison),
}

/// Makes a test of the option's argument.
pub fn operation(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let range = |part: &str| {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        let (a, b) = (a.trim().parse().ok()?, b.trim().parse().ok()?);
        (a <= b).then_some((a, b))
    };
    let ranges: Option<Vec<(u32, u32)>> = argument.split(',').map(range).collect();
    Ok(Box::new(match ranges {
        Some(ranges) => OperationIs::Ranges(ranges),
        None => OperationIs::Comparison(Comparison::parse(argument, &[], 65_535)?),
    }))
}

impl FieldTest for OperationIs {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, _: Direction) -> bool {
        let Some(call) = call(tx).filter(|c| c.requested) else {
            return false;
        };
        let number = u32::from(call.operation);
        match self {
            Self::Ranges(ranges) => ranges.iter().any(|(a, b)| (*a..=*b).contains(&number)),
            Self::Comparison(comparison) => comparison.holds(u64::from(number)),
        }
    }
}

fn stub<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    call(tx)?
        .stub
        .get(d.index())
        .map(Vec::as_slice)
        .filter(|s| !s.is_empty())
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, FieldDirection::Both, access, doc).also(aliases)
}

/// `dcerpc.iface`.
pub const INTERFACE: Field = field(
    "dcerpc.iface",
    &["dce_iface"],
    Access::Test(interface),
    "an interface that was granted and is called",
);
/// `dcerpc.opnum`.
pub const OPERATION: Field = field(
    "dcerpc.opnum",
    &["dce_opnum"],
    Access::Test(operation),
    "operations called",
);
/// `dcerpc.stub_data`.
pub const STUB: Field = field(
    "dcerpc.stub_data",
    &["dce_stub_data"],
    Access::Bytes(stub),
    "parameters of a call",
);

pub(super) static FIELDS: &[Field] = &[INTERFACE, OPERATION, STUB];
