//! What rules may ask of the files of any protocol, read from [`Transaction::files`]: names, sizes, whether there is one.

use super::ir::Compare;
use crate::app::{Access, Field, FieldDirection, FieldTest, FileState, Session, Transaction};
use crate::packet::Direction;

/// Fields of each protocol that declares `file.data`.
pub static FILE_FIELDS: &[Field] = &[Field {
    name: "file.name",
    aliases: &[],
    modifier: None,
    direction: FieldDirection::Both,
    progress: 0,
    access: Access::Multi(|tx, direction, index, _| {
        tx.files(direction)?.get(index).map(|f| f.name.as_slice())
    }),
    doc: "name of a file",
}];

/// Whether there is a file: what `filestore` wants.
#[derive(Debug)]
pub(super) struct AnyFile;

impl FieldTest for AnyFile {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        tx.files(direction)
            .is_some_and(|files| files.iter().next().is_some())
    }
}

/// A test on the size of a file, known when the file has ended.
#[derive(Debug)]
pub(super) struct FileSize(pub Compare);

impl FieldTest for FileSize {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        tx.files(direction).is_some_and(|files| {
            files.iter().any(|file| match file.state {
                FileState::Open => false,
                FileState::Closed => self.0.test(file.size),
                // A file that was cut is at least as large as what was seen.
                FileState::Truncated | FileState::Error => {
                    matches!(self.0, Compare::Greater(_) | Compare::GreaterOrEqual(_))
                        && self.0.test(file.size)
                }
            })
        })
    }
}
