//! The rule keyword of Modbus, with a little language of its own:
//!
//! ```text
//! modbus: [unit N,] function N [, subfunction N]
//! modbus: [unit N,] function [!]assigned|unassigned|public|user|reserved|all
//! modbus: [unit N,] access read|write [discretes|coils|input|holding] [, address N [, value N]]
//! ```
//!
//! where N of unit, address and value is a number, `<n`, `>n` or `a<>b` (ends excluded). Addresses count from 1.

use super::ModbusTx;
use super::message::{Data, Message, access, category};
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

/// A number or a range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    Equal(u16),
    Less(u16),
    More(u16),
    /// The ends excluded.
    Between(u16, u16),
}

impl Numbers {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let one = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse::<u16>().ok().filter(|_| plain);
            number.ok_or_else(|| format!("{text:?} is not a number, <n, >n or a<>b"))
        };
        if let Some((low, high)) = text.split_once("<>") {
            return Ok(match (one(low)?, one(high)?) {
                (low, high) if low == high => Self::Equal(low),
                (0, high) => Self::Less(high),
                (low, u16::MAX) => Self::More(low),
                (low, high) => Self::Between(low, high),
            });
        }
        if let Some(rest) = text.strip_prefix('<') {
            return one(rest).map(Self::Less);
        }
        match text.strip_prefix('>') {
            Some(rest) => one(rest).map(Self::More),
            None => one(text).map(Self::Equal),
        }
    }

    /// Whether one of `first..=last` is meant.
    fn meet(self, first: u32, last: u32) -> bool {
        match self {
            Self::Equal(n) => (first..=last).contains(&n.into()),
            Self::Less(n) => first < n.into(),
            Self::More(n) => last > n.into(),
            Self::Between(low, high) => last > low.into() && first < high.into(),
        }
    }

    fn holds(self, value: impl Into<u32>) -> bool {
        let value = value.into();
        self.meet(value, value)
    }
}

/// What a message is to be, besides its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Anything,
    Function(u8, Option<u16>),
    Category(u8),
    Access {
        /// Bits of [`access`]: reading or writing, and of what.
        kind: u8,
        address: Option<Numbers>,
        value: Option<Numbers>,
    },
}

/// `modbus: …`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ModbusTest {
    unit: Option<Numbers>,
    want: Want,
}

/// The rest of an option after its word.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.trim().strip_prefix(word).map(str::trim)
}

impl ModbusTest {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some(rest) = after(text, "unit") else {
            let want = Want::parse(text)?;
            return Ok(Self { unit: None, want });
        };
        let (unit, rest) = match rest.split_once(',') {
            None => (rest, None),
            Some((unit, rest)) => (unit, Some(rest)),
        };
        Ok(Self {
            unit: Some(Numbers::parse(unit)?),
            want: rest.map_or(Ok(Want::Anything), Want::parse)?,
        })
    }

    fn holds(self, message: &Message) -> bool {
        if self.unit.is_some_and(|unit| !unit.holds(message.unit)) {
            return false;
        }
        match self.want {
            Want::Anything => true,
            Want::Category(wanted) => message.category & wanted != 0,
            Want::Function(number, sub) => {
                message.function & 0x7f == number
                    && sub.is_none_or(
                        |sub| matches!(message.data, Data::Diagnostic(found, _) if found == sub),
                    )
            }
            Want::Access {
                kind,
                address,
                value,
            } => {
                let what = kind & access::WHAT;
                message.access & kind & (access::READ | access::WRITE) != 0
                    && (what == 0 || message.access & what != 0)
                    && address.is_none_or(|wanted| {
                        let addresses = message.addresses();
                        addresses.is_some_and(|(first, last)| wanted.meet(first, last))
                    })
                    && value.is_none_or(|wanted| {
                        let at = match address {
                            Some(Numbers::Equal(at)) => message.written_at(at),
                            _ => None,
                        };
                        at.is_some_and(|value| wanted.holds(value))
                    })
            }
        }
    }
}

impl Want {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = after(text, "function") {
            return Self::function(rest);
        }
        match after(text, "access") {
            Some(rest) => Self::access(rest),
            None => Err(format!(
                "unit, function or access expected, not {:?}",
                text.trim()
            )),
        }
    }

    fn function(text: &str) -> Result<Self, String> {
        let (name, sub) = match text.split_once(',') {
            None => (text, None),
            Some((name, sub)) => {
                let number = after(sub, "subfunction").ok_or("subfunction expected")?;
                let number = number
                    .parse()
                    .map_err(|_| format!("{number:?} is not a subfunction"))?;
                (name.trim(), Some(number))
            }
        };
        if let Ok(number) = name.parse::<u8>() {
            return if (1..128).contains(&number) {
                Ok(Self::Function(number, sub))
            } else {
                Err(format!("{number} is not a function: 1 to 127"))
            };
        }
        let (negated, word) = name.strip_prefix('!').map_or((false, name), |w| (true, w));
        let bits = match word {
            "assigned" => category::ASSIGNED,
            "unassigned" => category::UNASSIGNED,
            "public" => category::ASSIGNED | category::UNASSIGNED,
            "user" => category::USER,
            "reserved" => category::RESERVED,
            "all" => category::ALL,
            other => return Err(format!("{other:?} is no group of functions")),
        };
        Ok(Self::Category(if negated {
            category::ALL & !bits
        } else {
            bits
        }))
    }

    fn access(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let (kind, what) = if let Some(what) = after(first, "read") {
            (access::READ, what)
        } else if let Some(what) = after(first, "write") {
            (access::WRITE, what)
        } else {
            return Err("read or write expected".into());
        };
        let what = match what {
            "" => 0,
            "coils" => access::COILS,
            "holding" => access::HOLDING,
            "discretes" | "input" if kind == access::WRITE => {
                return Err(format!("{what} cannot be written"));
            }
            "discretes" => access::DISCRETES,
            "input" => access::INPUT,
            other => {
                return Err(format!(
                    "{other:?} is not coils, discretes, input or holding"
                ));
            }
        };
        let mut numbers = |word: &str| match parts.next() {
            None => Ok(None),
            Some(part) => {
                let text = after(part, word).ok_or_else(|| format!("{word} expected"))?;
                Numbers::parse(text).map(Some)
            }
        };
        let (address, value) = (numbers("address")?, numbers("value")?);
        if value.is_some() {
            if !matches!(address, Some(Numbers::Equal(_))) {
                return Err("a value needs one address, not a range".into());
            }
            if kind == access::READ {
                return Err("only what is written has a value in the request".into());
            }
        }
        match parts.next() {
            Some(more) => Err(format!("{more:?} follows where nothing may")),
            None => Ok(Self::Access {
                kind: kind | what,
                address,
                value,
            }),
        }
    }
}

impl FieldTest for ModbusTest {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, _: Direction) -> bool {
        let tx = tx.as_any().downcast_ref::<ModbusTx>();
        // What is asked for stands in the request; an answer without one is all there is.
        tx.and_then(|tx| tx.request.as_ref().or(tx.response.as_ref()))
            .is_some_and(|message| self.holds(message))
    }
}

fn modbus(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    Ok(Box::new(ModbusTest::parse(argument)?))
}

pub(super) static FIELDS: &[Field] = &[Field::new(
    "modbus",
    FieldDirection::ToServer,
    Access::Test(modbus),
    "unit, function or access of a request: unit 1, function 8, subfunction 4; access write coils, address 5, value 1",
)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::reader::Reader;

    fn request(bytes: &[u8]) -> Message {
        Message::read(&mut Reader::new(bytes), Some(Direction::ToServer)).expect("a message")
    }

    fn holds(test: &str, message: &Message) -> bool {
        ModbusTest::parse(test).expect(test).holds(message)
    }

    #[test]
    fn a_request_to_write_registers_is_tested_on_unit_address_and_value() {
        let write = request(b"\0\x0a\0\0\0\x0b\x05\x10\0\x01\0\x02\x04\0\x0a\x01\x02");
        for test in [
            "unit 5",
            "unit 4<>6, function 16",
            "function assigned",
            "function !user",
            "access write",
            "access write holding",
            "access write holding, address 2",
            "access write holding, address <3",
            "access write holding, address 3, value 258",
            "access write holding, address 3, value >200",
            "unit >4, access write holding, address 2, value 9<>11",
        ] {
            assert!(holds(test, &write), "{test}");
        }
        for test in [
            "unit 6",
            "unit <5, function 16",
            "function 3",
            "function user",
            "access read",
            "access write coils",
            "access write, address 1",
            "access write, address >3",
            "access write, address 3, value 10",
            "access write, address 4, value 10",
        ] {
            assert!(!holds(test, &write), "{test}");
        }
    }

    #[test]
    fn coils_are_single_bits() {
        let write = request(b"\0\x01\0\0\0\x09\x01\x0f\0\x13\0\x0a\x02\xcd\x01");
        assert!(holds("access write coils, address 20, value 1", &write));
        assert!(holds("access write coils, address 21, value 0", &write));
        assert!(holds("access write coils, address 28, value 1", &write));
        assert!(!holds("access write coils, address 29, value 1", &write));
        assert!(!holds("access write coils, address 30, value 0", &write));
    }

    #[test]
    fn diagnostics_have_a_number_of_their_own() {
        let listen = request(b"\x0a\0\0\0\0\x06\0\x08\0\x04\0\0");
        assert!(holds("function 8, subfunction 4", &listen));
        assert!(!holds("function 8, subfunction 3", &listen));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            "",
            "functoin 1",
            "function 0",
            "function 300",
            "function some",
            "function 8, 4",
            "unit",
            "unit x",
            "unit 1, unit 2",
            "access",
            "access write input",
            "access read coils, value 1",
            "access write, address 1<>5, value 1",
            "access read, address 1, value 1",
            "access write, address 1, value 1, more",
            "access write, address 70000",
        ] {
            assert!(ModbusTest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
