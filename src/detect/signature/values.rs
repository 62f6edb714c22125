//! Values of a transaction's fields: read, transformed and kept while the transaction is inspected.
//!
//! A value that lies in the transaction is asked for again each time (a few nanoseconds); one that had to be built, or is
//! transformed, is kept until the next transaction. Buffers keep their memory, so nothing is allocated once they grew.

use super::program::LazyRegex;
use super::transform;
use super::verify::Subject;
use crate::app::{Access, Field, Transaction};
use crate::packet::Direction;
use crate::rules::{BufferId, RuleSet, Transform};
use crate::sys::pcre::RegexScratch;

/// Values of a multi-buffer that are looked at.
pub(super) const VALUES_MAX: usize = 4096;

/// Where a value is.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Not asked for yet.
    #[default]
    Unknown,
    /// It does not exist.
    Absent,
    /// In the transaction.
    There,
    /// In `Slot::built`, from and to.
    Built(usize, usize),
    /// In `Slot::transformed`; offset in its whole and whether it is complete.
    Transformed(u64, bool),
}

#[derive(Debug, Default)]
struct Slot {
    stamp: u32,
    place: Place,
    built: Vec<u8>,
    transformed: Vec<u8>,
}

/// Values of the transaction in hand.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// By buffer and direction, then by index of the value.
    slots: Vec<Vec<Slot>>,
    stamp: u32,
    swap: Vec<u8>,
}

/// Transforms of each buffer, with their expressions.
#[derive(Debug, Default)]
pub(super) struct Transforms {
    pub by_buffer: Vec<Vec<(Transform, Option<LazyRegex>)>>,
}

impl Transforms {
    /// The transforms of a rule set's buffers.
    pub fn of_rules(rules: &RuleSet) -> Self {
        let with_regex = |transform: &Transform| {
            let regex = match transform {
                Transform::PcreCapture(expression) => Some(LazyRegex::capturing(expression)),
                _ => None,
            };
            (transform.clone(), regex)
        };
        Self {
            by_buffer: rules
                .buffers
                .iter()
                .map(|b| b.transforms.iter().map(with_regex).collect())
                .collect(),
        }
    }

    pub fn of(&self, buffer: BufferId) -> &[(Transform, Option<LazyRegex>)] {
        self.by_buffer
            .get(usize::from(buffer.0))
            .map_or(&[], Vec::as_slice)
    }
}

impl Values {
    pub fn new(buffers: usize) -> Self {
        Self {
            slots: (0..buffers * 2).map(|_| Vec::new()).collect(),
            ..Self::default()
        }
    }

    /// Another transaction, or the same after it changed.
    pub fn forget(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            for slot in self.slots.iter_mut().flatten() {
                slot.place = Place::Unknown;
            }
        }
    }

    /// A value of a buffer by its index; single values have index 0.
    #[allow(clippy::too_many_arguments)]
    pub fn value<'b>(
        &'b mut self,
        transforms: &Transforms,
        regex: Option<&mut RegexScratch>,
        buffer: BufferId,
        field: &Field,
        tx: &'b dyn Transaction,
        direction: Direction,
        index: usize,
    ) -> Option<Subject<'b>> {
        let stamp = self.stamp;
        let list = self
            .slots
            .get_mut(usize::from(buffer.0) * 2 + direction.index())?;
        if list.len() <= index {
            if index >= VALUES_MAX {
                return None;
            }
            list.resize_with(index + 1, Slot::default);
        }
        let slot = list.get_mut(index)?;
        if slot.stamp != stamp {
            slot.stamp = stamp;
            slot.place = Place::Unknown;
        }
        if matches!(slot.place, Place::Unknown) {
            slot.find(
                transforms.of(buffer),
                regex,
                &mut self.swap,
                field,
                tx,
                direction,
                index,
            );
        }
        match slot.place {
            Place::Unknown | Place::Absent => None,
            Place::Built(from, to) => slot.built.get(from..to).map(Subject::whole),
            Place::Transformed(offset, complete) => Some(Subject {
                offset,
                complete,
                ..Subject::whole(&slot.transformed)
            }),
            Place::There => {
                slot.built.clear();
                read(field, tx, direction, index, &mut slot.built)
            }
        }
    }
}

impl Slot {
    #[allow(clippy::too_many_arguments)]
    fn find(
        &mut self,
        transforms: &[(Transform, Option<LazyRegex>)],
        mut scratch: Option<&mut RegexScratch>,
        swap: &mut Vec<u8>,
        field: &Field,
        tx: &dyn Transaction,
        direction: Direction,
        index: usize,
    ) {
        self.built.clear();
        let Some(subject) = read(field, tx, direction, index, &mut self.built) else {
            self.place = Place::Absent;
            return;
        };
        let Some((first, rest)) = transforms.split_first() else {
            let (at, len) = (subject.bytes.as_ptr() as usize, subject.bytes.len());
            let start = self.built.as_ptr() as usize;
            self.place = match at.checked_sub(start) {
                Some(from) if len > 0 && from + len <= self.built.len() => {
                    Place::Built(from, from + len)
                }
                _ => Place::There,
            };
            return;
        };
        let (offset, complete) = (subject.offset, subject.complete);
        run(
            first,
            scratch.as_deref_mut(),
            subject.bytes,
            &mut self.transformed,
        );
        for transform in rest {
            std::mem::swap(&mut self.transformed, swap);
            run(
                transform,
                scratch.as_deref_mut(),
                swap,
                &mut self.transformed,
            );
        }
        self.place = Place::Transformed(offset, complete);
    }
}

fn run(
    (transform, regex): &(Transform, Option<LazyRegex>),
    scratch: Option<&mut RegexScratch>,
    input: &[u8],
    out: &mut Vec<u8>,
) {
    transform::apply(transform, regex.as_ref().zip(scratch), input, out);
}

/// Reads a field as it is.
fn read<'b>(
    field: &Field,
    tx: &'b dyn Transaction,
    direction: Direction,
    index: usize,
    scratch: &'b mut Vec<u8>,
) -> Option<Subject<'b>> {
    match field.access {
        Access::Bytes(read) if index == 0 => read(tx, direction, scratch).map(Subject::whole),
        Access::Multi(read) => read(tx, direction, index, scratch).map(Subject::whole),
        Access::Streaming(read) => read(tx, direction, index).map(|window| Subject {
            offset: window.offset,
            complete: window.complete,
            file: window.file,
            ..Subject::whole(window.bytes)
        }),
        _ => None,
    }
}
