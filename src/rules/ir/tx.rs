//! What a rule asks of a transaction.

use super::buffer::BufferId;
use super::packet::Compare;
use super::test::Test;
use crate::app::{AppProto, Field, FieldTest};
use crate::packet::Direction;

/// Tests of one buffer. A buffer with several values (`tls.certs`) may have several groups; each needs a value of its
/// own search, as each mention of the keyword starts one.
#[derive(Clone, Debug)]
pub struct Group {
    /// The buffer.
    pub buffer: BufferId,
    /// Only in this direction (`file.data: to_server`, or a one-way field of a `=>` rule).
    pub only: Option<Direction>,
    /// Steps, in order.
    pub tests: Vec<Test>,
}

/// A test on a transaction that is not on bytes.
#[derive(Debug)]
pub struct TxTest {
    /// Keyword.
    pub name: &'static str,
    /// Declarations by protocol (number fields and test fields).
    pub fields: Vec<(AppProto, &'static Field)>,
    /// Only in this direction.
    pub only: Option<Direction>,
    /// What is wanted.
    pub want: TxWant,
}

/// A test on the numbers of a field, of which there may be several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberTest {
    /// What a number must satisfy.
    pub want: Compare,
    /// How many of the numbers must.
    pub of: NumberIndex,
    /// The numbers looked at, from `slice.0` to before `slice.1`; negative: from the end; 0 as end: to the end.
    pub slice: (i32, i32),
}

impl From<Compare> for NumberTest {
    fn from(want: Compare) -> Self {
        Self {
            want,
            of: NumberIndex::Any,
            slice: (0, 0),
        }
    }
}

/// Which of several numbers must satisfy a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberIndex {
    /// One of them.
    #[default]
    Any,
    /// All of them, and there is one. Decided when the direction is complete.
    All,
    /// All of them, or there is none. Decided when the direction is complete.
    AllOrAbsent,
    /// One of them, or there is none when the direction is complete.
    OrAbsent,
    /// The one at an index (negative: from the end).
    At {
        /// Index.
        index: i32,
        /// Whether an index out of bounds satisfies it too, once the direction is complete.
        or_outside: bool,
    },
    /// So many of them.
    Matches(Compare),
    /// So many are there, whatever they are. `want` is not looked at.
    Count(Compare),
}

/// What a [`TxTest`] wants.
#[derive(Debug)]
pub enum TxWant {
    /// The field's number, or numbers.
    Number(NumberTest),
    /// The field's own test.
    Test(Box<dyn FieldTest>),
    /// An event of the transaction: protocol and number.
    Event(AppProto, u8),
    /// `app-layer-state`: the progress of a direction, as an index of `Protocol::states`.
    Progress {
        /// Whose.
        proto: AppProto,
        /// Of which direction.
        direction: Direction,
        /// Wanted.
        state: Compare,
    },
}
