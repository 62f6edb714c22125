//! What rules may ask of the files of any protocol, read from [`Transaction::files`]: names, kinds, sizes, whether there is one.

use super::ir::Compare;
use crate::app::{Access, Field, FieldDirection, FieldTest, FileState, Session, Transaction};
use crate::packet::Direction;

/// Fields of a protocol that declares `file.data`. They are known as the bytes of files come, so they are looked at as long
/// as those: `progress` is that of `file.data`.
pub(super) fn file_fields(progress: u8) -> [Field; 2] {
    let field = |name, access, doc| Field {
        progress,
        ..Field::new(name, FieldDirection::Both, access, doc)
    };
    [
        field(
            "file.name",
            Access::Multi(|tx, direction, index, _| {
                tx.files(direction)?.get(index).map(|f| f.name.as_slice())
            }),
            "name of a file",
        ),
        field(
            MAGIC,
            Access::Multi(|tx, direction, index, _| {
                let file = tx.files(direction)?.get(index)?;
                // What cannot be told yet is not there yet, so that a negated test waits, too.
                match file.magic() {
                    None if file.state == FileState::Open => None,
                    told => Some(told.unwrap_or_default()),
                }
            }),
            "kind of a file, in libmagic's words",
        ),
    ]
}

/// The field that needs libmagic.
pub(super) const MAGIC: &str = "file.magic";

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
