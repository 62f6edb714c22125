//! The rule keywords of SMB, with those of the calls in its pipes.

use super::record::Ntlmssp;
use super::{Kind, SmbTx};
use crate::app::dcerpc::field::{INTERFACE, OPERATION, STUB};
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

fn kind(tx: &dyn Transaction) -> Option<&Kind> {
    tx.as_any().downcast_ref::<SmbTx>().map(|tx| &tx.kind)
}

fn tree(tx: &dyn Transaction, wanted: bool) -> Option<&[u8]> {
    match kind(tx)? {
        Kind::Tree { share, pipe, .. } if *pipe == wanted => Some(share),
        _ => None,
    }
}

fn named_pipe<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    tree(tx, true)
}

fn share<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    tree(tx, false)
}

fn logon(tx: &dyn Transaction) -> Option<&Ntlmssp> {
    match kind(tx)? {
        Kind::Logon(logon) => logon.who.as_ref(),
        _ => None,
    }
}

fn user<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    logon(tx).map(|who| who.user.as_slice())
}

fn domain<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    logon(tx).map(|who| who.domain.as_slice())
}

/// `smb.version:1` or `smb.version:2`.
#[derive(Debug)]
struct VersionIs(u8);

fn version(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    match argument.trim() {
        "1" => Ok(Box::new(VersionIs(1))),
        "2" => Ok(Box::new(VersionIs(2))),
        other => Err(format!("{other:?} is not 1 or 2")),
    }
}

impl FieldTest for VersionIs {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, _: Direction) -> bool {
        tx.as_any()
            .downcast_ref::<SmbTx>()
            .is_some_and(|tx| tx.version == self.0)
    }
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, FieldDirection::Both, access, doc).also(aliases)
}

pub(super) static FIELDS: &[Field] = &[
    Field {
        direction: FieldDirection::ToServer,
        ..field(
            "smb.named_pipe",
            &["smb_named_pipe"],
            Access::Bytes(named_pipe),
            "tree of pipes connected to",
        )
    },
    Field {
        direction: FieldDirection::ToServer,
        ..field(
            "smb.share",
            &["smb_share"],
            Access::Bytes(share),
            "share connected to",
        )
    },
    field(
        "file.data",
        &["file_data"],
        Access::Streaming(|tx, direction, index| {
            let tx = tx.as_any().downcast_ref::<SmbTx>()?;
            let over = tx.done == [true; 2];
            tx.files(direction)?.get(index)?.due(over, tx.inline)
        }),
        "the bytes of a file",
    ),
    field(
        "file.name",
        &[],
        Access::Multi(|tx, direction, index, _| {
            Some(tx.files(direction)?.get(index)?.name.as_slice())
        }),
        "the name of a file",
    ),
    field(
        "smb.ntlmssp_user",
        &[],
        Access::Bytes(user),
        "user who logs on",
    ),
    field(
        "smb.ntlmssp_domain",
        &[],
        Access::Bytes(domain),
        "domain of the user who logs on",
    ),
    field(
        "smb.version",
        &["smb_version"],
        Access::Test(version),
        "1, or 2 (which includes 3)",
    ),
    INTERFACE,
    OPERATION,
    STUB,
];
