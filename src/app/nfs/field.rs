//! The rule keywords of NFS.

use super::{four, of};
use crate::app::number::Comparison;
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

/// Procedures of version 2 (RFC 1094 §2.2), by number.
static TWO: &[(&str, u64)] = &[
    ("null", 0),
    ("getattr", 1),
    ("setattr", 2),
    ("root", 3),
    ("lookup", 4),
    ("readlink", 5),
    ("read", 6),
    ("writecache", 7),
    ("write", 8),
    ("create", 9),
    ("remove", 10),
    ("rename", 11),
    ("link", 12),
    ("symlink", 13),
    ("mkdir", 14),
    ("rmdir", 15),
    ("readdir", 16),
    ("statfs", 17),
];

/// Procedures of version 3 (RFC 1813 §3.3), by number.
static THREE: &[(&str, u64)] = &[
    ("null", 0),
    ("getattr", 1),
    ("setattr", 2),
    ("lookup", 3),
    ("access", 4),
    ("readlink", 5),
    ("read", 6),
    ("write", 7),
    ("create", 8),
    ("mkdir", 9),
    ("symlink", 10),
    ("mknod", 11),
    ("remove", 12),
    ("rmdir", 13),
    ("rename", 14),
    ("link", 15),
    ("readdir", 16),
    ("readdirplus", 17),
    ("fsstat", 18),
    ("fsinfo", 19),
    ("pathconf", 20),
    ("commit", 21),
];

fn names(version: u32) -> &'static [(&'static str, u64)] {
    match version {
        ..=2 => TWO,
        3 => THREE,
        _ => four::OPERATIONS,
    }
}

/// The name of a procedure in a version, or its number.
pub(super) fn procedure_name(version: u32, procedure: u32) -> String {
    names(version)
        .iter()
        .find(|(_, number)| *number == u64::from(procedure))
        .map_or_else(|| procedure.to_string(), |(name, _)| (*name).to_owned())
}

/// `nfs_procedure`: a number or range (its ends included), or a name, which each version has its own number for.
#[derive(Debug)]
enum Procedure {
    Number(Comparison),
    Name { name: String, negated: bool },
}

fn procedure(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = argument.trim();
    let (negated, name) = text
        .strip_prefix('!')
        .map_or((false, text), |name| (true, name.trim()));
    let known = [TWO, THREE, four::OPERATIONS].iter().any(|list| {
        list.iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    });
    if known {
        let name = name.to_ascii_lowercase();
        return Ok(Box::new(Procedure::Name { name, negated }));
    }
    let comparison = match Comparison::parse(text, &[], u64::from(u32::MAX))? {
        // Unlike other numbers, ranges of procedures include their ends.
        Comparison::Between(a, b) => Comparison::Between(a.saturating_sub(1), b + 1),
        other => other,
    };
    Ok(Box::new(Procedure::Number(comparison)))
}

impl FieldTest for Procedure {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, _: Direction) -> bool {
        let Some(tx) = of(tx) else { return false };
        match self {
            Self::Number(comparison) => comparison.holds(tx.procedure.into()),
            Self::Name { name, negated } => {
                (procedure_name(tx.version, tx.procedure) == *name) != *negated
            }
        }
    }
}

pub(super) static FIELDS: &[Field] = &[
    Field {
        aliases: &["nfs.procedure"],
        ..Field::new(
            "nfs_procedure",
            FieldDirection::Both,
            Access::Test(procedure),
            "procedure or operation, by number or name",
        )
    },
    Field {
        aliases: &["nfs.version"],
        ..Field::number(
            "nfs_version",
            FieldDirection::Both,
            |tx, _, index| of(tx).filter(|_| index == 0).map(|tx| tx.version.into()),
            u32::MAX as u64,
            "version of the protocol",
        )
    },
    Field {
        aliases: &["file_data"],
        ..Field::new(
            "file.data",
            FieldDirection::Both,
            Access::Streaming(|tx, direction, index| {
                let nfs = of(tx)?;
                let over = nfs.done == [true; 2];
                tx.files(direction)?.get(index)?.due(over, nfs.inline)
            }),
            "the bytes of a file",
        )
    },
    Field::new(
        "file.name",
        FieldDirection::Both,
        Access::Multi(|tx, _, index, _| {
            let tx = of(tx).filter(|_| index == 0)?;
            (!tx.name.is_empty()).then_some(&tx.name[..])
        }),
        "the name of a file",
    ),
];
