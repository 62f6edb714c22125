//! Modbus over TCP (MODBUS Messaging on TCP/IP 1.0b): what controllers are told and answer.
//!
//! A request and its answer are one transaction, paired by transaction, unit, function and data. Serial Modbus and Modbus
//! over UDP or TLS are not read. Limits: a message is 260 bytes, a flow keeps 500 unanswered transactions; then one more
//! that says `flooded`, and the flow is given up.

mod field;
mod log;
pub mod message;

use super::reader::Reader;
use super::{
    Field, FlowInfo, Input, Limits, LogHead, Outcome, Parsed, Probe, Protocol, Rides, Session,
    Transaction, TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use message::{Data, Lacks, Message, access, fault, is_named};

/// Modbus.
#[derive(Debug)]
pub struct Modbus;

/// Modbus.
pub static MODBUS: Modbus = Modbus;

const EVENTS: &[&str] = &[
    "unsolicited_response",
    "invalid_function_code",
    "invalid_length",
    "invalid_value",
    "invalid_exception_code",
    "value_mismatch",
    "flooded",
    "invalid_protocol_id",
];
const UNSOLICITED_RESPONSE: u8 = 0;
const VALUE_MISMATCH: u8 = 5;
const FLOODED: u8 = 6;

/// The event of each fault of a message.
const FAULTS: [(u8, u8); 5] = [
    (fault::FUNCTION, 1),
    (fault::LENGTH, 2),
    (fault::VALUE, 3),
    (fault::EXCEPTION, 4),
    (fault::PROTOCOL, 7),
];

/// Unanswered transactions of a flow (the reference sensor's figure).
const LIVE_MAX: usize = 500;

impl Protocol for Modbus {
    fn name(&self) -> &'static str {
        "modbus"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn ports(&self) -> &'static [u16] {
        &[502]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        match Message::read(&mut Reader::new(bytes), None) {
            Ok(message) if message.faults == 0 && is_named(message.function) => Probe::Match,
            Ok(_) => Probe::NotMine,
            Err(Lacks(_)) => Probe::NeedMore,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(ModbusSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("modbus"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            log::modbus(tx, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx).and_then(|tx| tx.response.as_ref()) {
            None => Outcome::Unknown,
            Some(response) => match response.data {
                Data::Exception(code) => Outcome::Failure(code.into()),
                _ => Outcome::Success(response.function.into()),
            },
        }
    }
}

/// A request and its answer.
#[derive(Debug, Default)]
struct ModbusTx {
    state: TxState,
    request: Option<Message>,
    response: Option<Message>,
}

impl Transaction for ModbusTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        u8::from(self.response.is_some())
    }
}

impl ModbusTx {
    fn raise(&mut self, message: &Message, direction: Direction) {
        let disagrees = direction == Direction::ToClient
            && message.access & (access::READ | access::WRITE) != 0
            && message.faults & (fault::LENGTH | fault::VALUE) != 0;
        if disagrees {
            self.state.raise(VALUE_MISMATCH);
            return;
        }
        for (fault, event) in FAULTS {
            if message.faults & fault != 0 {
                self.state.raise(event);
            }
        }
    }

    /// Takes its half of the exchange.
    fn take(&mut self, message: Message, direction: Direction) {
        self.raise(&message, direction);
        self.state.touch(Direction::ToServer);
        self.state.touch(Direction::ToClient);
        *(match direction {
            Direction::ToServer => &mut self.request,
            Direction::ToClient => &mut self.response,
        }) = Some(message);
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct ModbusSession {
    txs: TxStore<ModbusTx>,
    /// More was left unanswered than is kept.
    flooded: bool,
}

impl ModbusSession {
    /// Puts a message to the one it answers, or opens a transaction. `None`: the flow has too many.
    fn message(&mut self, mut message: Message, direction: Direction) -> Option<()> {
        let found = self.txs.iter().position(|tx| {
            let (other, mine) = match direction {
                Direction::ToServer => (&tx.response, &tx.request),
                Direction::ToClient => (&tx.request, &tx.response),
            };
            let other = other.as_ref().filter(|_| mine.is_none());
            other.is_some_and(|other| message.answers(other))
        });
        if let Some(position) = found {
            self.txs.get_mut(position).take(message, direction);
            return Some(());
        }
        if self.flooded && self.txs.len() >= LIVE_MAX {
            return None;
        }
        self.flooded = self.txs.len() >= LIVE_MAX;
        let flooded = self.flooded;
        let tx = self.txs.push(ModbusTx::default());
        if flooded {
            tx.state.raise(FLOODED);
        }
        tx.take(message, direction);
        if direction == Direction::ToClient {
            tx.state.raise(UNSOLICITED_RESPONSE);
        }
        Some(())
    }
}

impl Session for ModbusSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if input.gap > 0 {
            return Parsed::Error;
        }
        let mut r = Reader::new(input.bytes);
        while !r.is_empty() {
            let consumed = r.position();
            match Message::read(&mut r, Some(direction)) {
                Err(Lacks(needed)) => return Parsed::NeedMore { consumed, needed },
                Ok(message) => {
                    if self.message(message, direction).is_none() {
                        return Parsed::Error;
                    }
                }
            }
        }
        Parsed::All
    }
}

fn of(tx: &dyn Transaction) -> Option<&ModbusTx> {
    tx.as_any().downcast_ref()
}

#[cfg(test)]
mod tests;
