//! The rule keywords of DNP3.

use super::{Dnp3Tx, of};
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction, number};
use crate::packet::Direction;

/// The functions by name (IEEE 1815 table 4-1, in the spelling of the reference sensor).
static FUNCTIONS: number::Names = &[
    ("confirm", 0),
    ("read", 1),
    ("write", 2),
    ("select", 3),
    ("operate", 4),
    ("direct_operate", 5),
    ("direct_operate_nr", 6),
    ("immed_freeze", 7),
    ("immed_freeze_nr", 8),
    ("freeze_clear", 9),
    ("freeze_clear_nr", 10),
    ("freeze_at_time", 11),
    ("freeze_at_time_nr", 12),
    ("cold_restart", 13),
    ("warm_restart", 14),
    ("initialize_data", 15),
    ("initialize_appl", 16),
    ("start_appl", 17),
    ("stop_appl", 18),
    ("save_config", 19),
    ("enable_unsolicited", 20),
    ("disable_unsolicited", 21),
    ("assign_class", 22),
    ("delay_measure", 23),
    ("record_current_time", 24),
    ("open_file", 25),
    ("close_file", 26),
    ("delete_file", 27),
    ("get_file_info", 28),
    ("authenticate_file", 29),
    ("abort_file", 30),
    ("activate_config", 31),
    ("autenthicate_req", 32),
    ("autenthicate_err", 33),
    ("response", 129),
    ("unsolicited_response", 130),
    ("authenticate_resp", 131),
];

/// The indications of an outstation, from the lowest bit on.
pub(super) static INDICATIONS: number::Names = &[
    ("no_func_code_support", 0x0001),
    ("object_unknown", 0x0002),
    ("parameter_error", 0x0004),
    ("event_buffer_overflow", 0x0008),
    ("already_executing", 0x0010),
    ("config_corrupt", 0x0020),
    ("reserved_2", 0x0040),
    ("reserved_1", 0x0080),
    ("all_stations", 0x0100),
    ("class_1_events", 0x0200),
    ("class_2_events", 0x0400),
    ("class_3_events", 0x0800),
    ("need_time", 0x1000),
    ("local_control", 0x2000),
    ("device_trouble", 0x4000),
    ("device_restart", 0x8000),
];

/// The message, when it goes this way and is more than an event.
fn sent(tx: &dyn Transaction, direction: Direction) -> Option<&Dnp3Tx> {
    of(tx).filter(|tx| tx.direction == direction && (tx.done || !tx.given_up))
}

fn function(tx: &dyn Transaction, direction: Direction, index: usize) -> Option<u64> {
    let tx = sent(tx, direction).filter(|_| index == 0)?;
    Some(tx.function.into())
}

fn indications(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    let tx = sent(tx, Direction::ToClient).filter(|_| index == 0)?;
    Some(tx.indications.into())
}

/// Names alone mean any of them.
fn indication(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = argument.trim();
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!');
    let named = text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains("0x");
    if bare && named {
        return number::bits(&format!("*{text}"), INDICATIONS, 0xffff, indications);
    }
    number::bits(text, INDICATIONS, 0xffff, indications)
}

/// `dnp3_obj: group, variation`
#[derive(Debug)]
struct ObjectTest {
    group: u8,
    variation: u8,
}

impl FieldTest for ObjectTest {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        sent(tx, direction).is_some_and(|tx| {
            let mut objects = tx.objects.iter();
            objects.any(|o| (o.group, o.variation) == (self.group, self.variation))
        })
    }
}

fn object(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let wrong = || format!("{argument:?} is not group, variation");
    let (group, variation) = argument.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u8>().map_err(|_| wrong());
    Ok(Box::new(ObjectTest {
        group: number(group)?,
        variation: number(variation)?,
    }))
}

pub(super) static FIELDS: &[Field] = &[
    Field::new(
        "dnp3_func",
        FieldDirection::Both,
        Access::Integer {
            value: function,
            names: FUNCTIONS,
            max: 255,
        },
        "function of the message, by number or name",
    )
    .also(&["dnp3.func"]),
    Field::new(
        "dnp3_ind",
        FieldDirection::ToClient,
        Access::Test(indication),
        "what the outstation says of itself: any of the bits named, device_restart,need_time",
    )
    .also(&["dnp3.ind"]),
    Field::new(
        "dnp3_obj",
        FieldDirection::Both,
        Access::Test(object),
        "an object of the message: group, variation",
    )
    .at(1)
    .also(&["dnp3.obj"]),
    Field::new(
        "dnp3.data",
        FieldDirection::Both,
        Access::Bytes(|tx, direction, _| {
            let message = &sent(tx, direction)?.message;
            (!message.is_empty()).then_some(message.as_slice())
        }),
        "the message, put together, without checksums",
    )
    .also(&["dnp3_data"]),
];
