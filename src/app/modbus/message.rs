//! Messages of Modbus over TCP: the header (MODBUS Messaging on TCP/IP 1.0b §3.1.3) and the data of each function
//! (MODBUS Application Protocol 1.1b3 §6).
//!
//! A message that does not keep the protocol is read as far as it goes, and carries [`Faults`]. A message is at most 260
//! bytes, so what is kept of it needs no further limit.

use crate::app::reader::Reader;
use crate::packet::Direction;

/// Bytes before the unit: transaction, protocol, length.
const HEADER: usize = 6;
/// What the length of a header may be: unit and function at least, the largest unit of data at most.
const LENGTHS: std::ops::RangeInclusive<u16> = 2..=254;
/// Most coils or inputs that a message may name.
const BITS_MAX: u16 = 2000;
/// Most registers that a message may name.
const WORDS_MAX: u16 = 125;
/// A function with this bit is an exception.
pub const EXCEPTION: u8 = 0x80;

/// Kinds of access, as bits of [`Message::access`].
pub mod access {
    /// Reads.
    pub const READ: u8 = 1;
    /// Writes.
    pub const WRITE: u8 = 2;
    /// Discrete inputs.
    pub const DISCRETES: u8 = 4;
    /// Coils.
    pub const COILS: u8 = 8;
    /// Input registers.
    pub const INPUT: u8 = 16;
    /// Holding registers.
    pub const HOLDING: u8 = 32;
    /// One of them.
    pub const SINGLE: u8 = 64;
    /// Several of them.
    pub const MULTIPLE: u8 = 128;
    /// What is one bit wide.
    pub const BITS: u8 = DISCRETES | COILS;
    /// What is accessed.
    pub const WHAT: u8 = BITS | INPUT | HOLDING;
}

/// Groups of functions, as bits of [`Message::category`].
pub mod category {
    /// Assigned by the protocol.
    pub const ASSIGNED: u8 = 1;
    /// Public, but not assigned.
    pub const UNASSIGNED: u8 = 2;
    /// Left to users.
    pub const USER: u8 = 4;
    /// Reserved to companies' old products.
    pub const RESERVED: u8 = 8;
    /// Any of them.
    pub const ALL: u8 = 15;
}

/// What is wrong with a message, as bits of [`Message::faults`].
pub mod fault {
    /// A value out of its range.
    pub const VALUE: u8 = 1;
    /// More or less data than its function has.
    pub const LENGTH: u8 = 2;
    /// An exception that its function does not have.
    pub const EXCEPTION: u8 = 4;
    /// A function that cannot be.
    pub const FUNCTION: u8 = 8;
    /// Not Modbus by its header.
    pub const PROTOCOL: u8 = 16;
}

/// The functions the protocol names.
static FUNCTIONS: &[&str] = &[
    "Unknown",
    "RdCoils",
    "RdDiscreteInputs",
    "RdHoldRegs",
    "RdInputRegs",
    "WrSingleCoil",
    "WrSingleReg",
    "RdExcStatus",
    "Diagnostic",
    "Program484",
    "Poll484",
    "GetCommEventCtr",
    "GetCommEventLog",
    "ProgramController",
    "PollController",
    "WrMultCoils",
    "WrMultRegs",
    "ReportServerID",
    "Program884",
    "ResetCommLink",
    "RdFileRec",
    "WrFileRec",
    "MaskWrReg",
    "RdWrMultRegs",
    "RdFIFOQueue",
];

/// Functions by number.
pub mod function {
    /// Read the exception status.
    pub const EXCEPTION_STATUS: u8 = 7;
    /// Diagnostics, by a number of their own.
    pub const DIAGNOSTIC: u8 = 8;
    /// How many events there were.
    pub const EVENT_COUNTER: u8 = 11;
    /// The log of events.
    pub const EVENT_LOG: u8 = 12;
    /// Who the server is.
    pub const SERVER_ID: u8 = 17;
    /// Read records of files.
    pub const READ_FILE: u8 = 20;
    /// Write records of files.
    pub const WRITE_FILE: u8 = 21;
    /// Read and write registers at once.
    pub const READ_WRITE: u8 = 23;
    /// Read a queue.
    pub const FIFO: u8 = 24;
    /// Encapsulated interface.
    pub const MEI: u8 = 43;
}

/// Number of an exception's function as it was asked for.
fn asked(raw: u8) -> u8 {
    raw & !EXCEPTION
}

/// Name of a function, or of the one an exception is about.
pub fn function_name(raw: u8) -> &'static str {
    match asked(raw) {
        function::MEI => "MEI",
        number => FUNCTIONS.get(usize::from(number)).unwrap_or(&"Unknown"),
    }
}

/// Whether the protocol names the function, or the one an exception is about.
pub fn is_named(raw: u8) -> bool {
    function_name(raw) != "Unknown"
}

fn access_of(raw: u8) -> u8 {
    use access::{COILS, DISCRETES, HOLDING, INPUT, MULTIPLE, READ, SINGLE, WRITE};
    match asked(raw) {
        1 => READ | COILS,
        2 => READ | DISCRETES,
        3 => READ | HOLDING,
        4 => READ | INPUT,
        5 => WRITE | COILS | SINGLE,
        6 => WRITE | HOLDING | SINGLE,
        15 => WRITE | COILS | MULTIPLE,
        16 => WRITE | HOLDING | MULTIPLE,
        22 => WRITE | HOLDING,
        function::READ_WRITE => READ | WRITE | HOLDING | MULTIPLE,
        _ => 0,
    }
}

/// MODBUS Application Protocol §5.1: which numbers are whose.
fn category_of(raw: u8) -> u8 {
    match raw {
        0 | 128.. => 0,
        9..=14 | 41..=42 | 90..=91 | 125..=127 => category::RESERVED,
        65..=72 | 100..=110 => category::USER,
        _ => category::UNASSIGNED,
    }
}

/// Names of diagnostics by number.
static DIAGNOSTICS: &[(u16, &str)] = &[
    (0, "RetQueryData"),
    (1, "RestartCommOpt"),
    (2, "RetDiagReg"),
    (3, "ChangeInputDelimiter"),
    (4, "ForceListenOnlyMode"),
    (10, "ClearCtrDiagReg"),
    (11, "RetBusMsgCount"),
    (12, "RetBusCommErrCount"),
    (13, "RetBusExcErrCount"),
    (14, "RetServerMsgCount"),
    (15, "RetServerNoRespCount"),
    (16, "RetServerNAKCount"),
    (17, "RetServerBusyCount"),
    (18, "RetBusCharOverrunCount"),
    (19, "RetOverrunErrCount"),
    (20, "ClearOverrunCounterFlag"),
    (21, "GetClearPlusStats"),
];

/// Name of a diagnostic.
pub fn diagnostic_name(number: u16) -> &'static str {
    let found = DIAGNOSTICS.iter().find(|(n, _)| *n == number);
    found.map_or("Reserved", |(_, name)| name)
}

/// Name of a kind of encapsulated interface.
pub fn mei_name(number: u8) -> &'static str {
    match number {
        13 => "CANOpenGenRefReqResp",
        14 => "RdDevId",
        _ => "Unknown",
    }
}

/// Name of an exception.
pub fn exception_name(number: u8) -> &'static str {
    match number {
        1 => "IllegalFunction",
        2 => "IllegalDataAddr",
        3 => "IllegalDataValue",
        4 => "ServerDeviceFail",
        5 => "Ack",
        6 => "ServerDeviceBusy",
        7 => "NegAck",
        8 => "MemParityErr",
        10 => "GatewayPathUnavailable",
        11 => "GatewayTargetFailToResp",
        _ => "Unknown",
    }
}

/// What is asked to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first, counted from 0.
    pub address: u16,
    /// How many.
    pub quantity: u16,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Several.
    Many(Span, Vec<u8>),
    /// Some bits of a register.
    Mask {
        /// Which.
        address: u16,
        /// Bits kept.
        and: u16,
        /// Bits set.
        or: u16,
    },
    /// One, or what was written of several: address, and value or quantity.
    One(u16, u16),
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    Empty,
    /// Why a request failed.
    Exception(u8),
    /// A diagnostic and its data.
    Diagnostic(u16, Vec<u8>),
    /// An encapsulated interface and its data.
    Mei(u8, Vec<u8>),
    /// A request to read.
    Read(Span),
    /// What was read.
    Values(Vec<u8>),
    /// A request to write, or its answer.
    Write(Write),
    /// A request to do both.
    ReadWrite(Span, Write),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number that the answer repeats.
    pub transaction: u16,
    /// 0 in Modbus.
    pub protocol: u16,
    /// The device behind a gateway.
    pub unit: u8,
    /// The function as it was sent.
    pub function: u8,
    /// Bits of [`access`].
    pub access: u8,
    /// Bits of [`category`].
    pub category: u8,
    /// Bits of [`fault`].
    pub faults: u8,
    /// Its data.
    pub data: Data,
}

/// Bytes that do not hold a whole message yet; at least so many lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacks(pub usize);

impl Message {
    /// Reads a message from the front. Without a direction only what requests and answers have in common is read.
    ///
    /// ```text
    /// transaction(16) protocol(16)=0 length(16) | unit(8) function(8) data …
    /// ```
    pub fn read(r: &mut Reader<'_>, direction: Option<Direction>) -> Result<Self, Lacks> {
        let mut head = r.part(HEADER).ok_or(Lacks(HEADER - r.left().min(HEADER)))?;
        let [transaction, protocol, length] =
            [head.u16(), head.u16(), head.u16()].map(Option::unwrap_or_default);
        let mut message = Self {
            transaction,
            protocol,
            unit: 0,
            function: 0,
            access: 0,
            category: 0,
            faults: if protocol == 0 { 0 } else { fault::PROTOCOL },
            data: Data::Empty,
        };
        let len = usize::from(length);
        if !LENGTHS.contains(&length) {
            message.faults |= fault::LENGTH;
            let _ = r.skip(len.min(r.left()));
            return Ok(message);
        }
        let left = r.left();
        let mut body = r.part(len).ok_or(Lacks(len - left.min(len)))?;
        message.unit = body.u8().unwrap_or_default();
        message.function = body.u8().unwrap_or_default();
        message.access = access_of(message.function);
        let data = body.rest();
        let whole = match direction {
            Some(Direction::ToServer) => message.request(&mut body),
            Some(Direction::ToClient) => message.response(&mut body),
            None => message.either(&mut body),
        };
        match whole {
            Some(()) if body.is_empty() => {}
            Some(()) => message.faults |= fault::LENGTH,
            None => {
                message.faults |= fault::LENGTH;
                if message.data == Data::Empty {
                    message.data = Data::Bytes(data.to_vec());
                }
            }
        }
        message.category = message.categorise();
        Ok(message)
    }

    fn categorise(&self) -> u8 {
        let known = |is| {
            if is {
                category::ASSIGNED
            } else {
                category::RESERVED
            }
        };
        match (asked(self.function), &self.data) {
            (function::DIAGNOSTIC, Data::Diagnostic(number, _)) => {
                known(diagnostic_name(*number) != "Reserved")
            }
            (function::MEI, Data::Mei(number, _)) => known(mei_name(*number) != "Unknown"),
            (function::DIAGNOSTIC | function::MEI, _) => 0,
            _ if is_named(self.function) => category::ASSIGNED,
            _ => category_of(self.function),
        }
    }

    fn wrong(&mut self, fault: u8, is: bool) {
        if is {
            self.faults |= fault;
        }
    }

    fn is(&self, access: u8) -> bool {
        self.access & access != 0
    }

    fn request(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let len = r.left();
        match asked(self.function) {
            function::DIAGNOSTIC => {
                self.wrong(fault::LENGTH, len != 4);
                self.diagnostic(r)?;
                if let Data::Diagnostic(number, data) = &self.data {
                    let wrong = match (number, data.as_slice()) {
                        (1, [first, second]) => *second != 0 || !matches!(first, 0 | 0xff),
                        (3, [_, second]) => *second != 0,
                        (0 | 4, _) => false,
                        (number, [first, second]) => {
                            diagnostic_name(*number) != "Reserved" && (*first, *second) != (0, 0)
                        }
                        _ => false,
                    };
                    self.wrong(fault::VALUE, wrong);
                }
                return Some(());
            }
            function::MEI => return self.mei(r),
            function::READ_FILE | function::WRITE_FILE if len == 0 => self.faults |= fault::LENGTH,
            function::EXCEPTION_STATUS
            | function::EVENT_COUNTER
            | function::EVENT_LOG
            | function::SERVER_ID
                if len > 0 =>
            {
                self.faults |= fault::LENGTH;
            }
            function::FIFO if len != 2 => self.faults |= fault::LENGTH,
            _ => {
                let raw = self.function;
                self.wrong(fault::FUNCTION, raw == 0 || raw >= EXCEPTION);
                if self.is(access::READ) {
                    self.read_request(r)?;
                    return if self.is(access::WRITE) {
                        self.write_request(r)
                    } else {
                        Some(())
                    };
                }
                if self.is(access::WRITE) {
                    return self.write_request(r);
                }
            }
        }
        self.bytes(r)
    }

    fn response(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let len = r.left();
        match asked(self.function) {
            _ if self.function >= EXCEPTION => return self.exception(r),
            function::DIAGNOSTIC => return self.diagnostic(r),
            function::MEI => return self.mei(r),
            function::EXCEPTION_STATUS if len != 1 => self.faults |= fault::LENGTH,
            function::EVENT_COUNTER if len != 4 => self.faults |= fault::LENGTH,
            _ if self.is(access::READ) => return self.values(r),
            _ if self.is(access::WRITE) => return self.written(r),
            _ => {}
        }
        self.bytes(r)
    }

    fn either(&mut self, r: &mut Reader<'_>) -> Option<()> {
        match asked(self.function) {
            _ if self.function >= EXCEPTION => self.exception(r),
            function::DIAGNOSTIC => self.diagnostic(r),
            function::MEI => self.mei(r),
            _ => self.bytes(r),
        }
    }

    fn bytes(&mut self, r: &mut Reader<'_>) -> Option<()> {
        self.data = Data::Bytes(r.take_rest().to_vec());
        Some(())
    }

    /// §7: which exceptions a function may answer with.
    fn exception(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let code = r.u8()?;
        let function = asked(self.function);
        let wrong = match code {
            // The functions without addresses and values have their number with the exception's bit here, so that these
            // two never are out of place in an answer; the reference sensor does the same.
            2 | 3 => false,
            8 => !matches!(function, function::READ_FILE | function::WRITE_FILE),
            _ => exception_name(code) == "Unknown",
        };
        self.wrong(fault::EXCEPTION, wrong);
        self.data = Data::Exception(code);
        Some(())
    }

    fn diagnostic(&mut self, r: &mut Reader<'_>) -> Option<()> {
        match r.u16() {
            Some(number) => self.data = Data::Diagnostic(number, r.take_rest().to_vec()),
            None => self.faults |= fault::LENGTH,
        }
        Some(())
    }

    fn mei(&mut self, r: &mut Reader<'_>) -> Option<()> {
        match r.u8() {
            Some(number) => self.data = Data::Mei(number, r.take_rest().to_vec()),
            None => self.faults |= fault::LENGTH,
        }
        Some(())
    }

    fn quantity_max(&self) -> u16 {
        if self.is(access::BITS) {
            BITS_MAX
        } else {
            WORDS_MAX
        }
    }

    /// Bytes of so many values: eight bits a byte, or two bytes a register. (The reference sensor counts what was read as
    /// bits always, and so sees a mismatch in each answer with registers; here is none.)
    fn bytes_of(&self, quantity: u16) -> usize {
        let quantity = usize::from(quantity);
        if self.is(access::BITS) {
            quantity.div_ceil(8)
        } else {
            2 * quantity
        }
    }

    fn read_request(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let len = r.left();
        let span = Span {
            address: r.u16()?,
            quantity: r.u16()?,
        };
        let quantities = 1..=self.quantity_max();
        self.wrong(fault::VALUE, !quantities.contains(&span.quantity));
        self.wrong(
            fault::LENGTH,
            self.function != function::READ_WRITE && len > 4,
        );
        self.data = Data::Read(span);
        Some(())
    }

    fn values(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let Some(count) = r.u8() else {
            self.faults |= fault::LENGTH;
            return Some(());
        };
        self.wrong(fault::VALUE, !(1..=250).contains(&count));
        self.wrong(fault::VALUE, r.left() != usize::from(count));
        self.data = Data::Values(r.take_rest().to_vec());
        Some(())
    }

    fn write_request(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let address = r.u16()?;
        if self.is(access::SINGLE) {
            let value = r.u16()?;
            let wrong = self.is(access::COILS) && !matches!(value, 0 | 0xff00);
            self.wrong(fault::VALUE, wrong);
            self.data = Data::Write(Write::One(address, value));
            return Some(());
        }
        if !self.is(access::MULTIPLE) {
            return self.mask(address, r);
        }
        let (quantity, count) = (r.u16()?, usize::from(r.u8()?));
        self.wrong(fault::LENGTH, quantity == 0 || r.left() != count);
        let bytes = self.bytes_of(quantity);
        self.wrong(
            fault::VALUE,
            quantity > self.quantity_max() || count != bytes,
        );
        let write = Write::Many(Span { address, quantity }, r.take_rest().to_vec());
        self.data = match self.data {
            Data::Read(span) => Data::ReadWrite(span, write),
            _ => Data::Write(write),
        };
        Some(())
    }

    fn mask(&mut self, address: u16, r: &mut Reader<'_>) -> Option<()> {
        let (and, or) = (r.u16()?, r.u16()?);
        self.data = Data::Write(Write::Mask { address, and, or });
        Some(())
    }

    fn written(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let address = r.u16()?;
        if !self.is(access::SINGLE | access::MULTIPLE) {
            return self.mask(address, r);
        }
        let value = r.u16()?;
        if self.is(access::MULTIPLE) {
            self.wrong(fault::VALUE, value == 0 || value > self.quantity_max());
        }
        self.data = Data::Write(Write::One(address, value));
        Some(())
    }

    /// Whether this message and `other` are request and answer. Where their data disagree, this one gets a fault.
    pub fn answers(&mut self, other: &Self) -> bool {
        let same = self.transaction == other.transaction
            && self.unit == other.unit
            && self.access == other.access
            && function_name(self.function) == function_name(other.function);
        if !same {
            return false;
        }
        if self.category != category::ASSIGNED {
            return true;
        }
        let agree = match (&self.data, &other.data) {
            (Data::Exception(_), _)
            | (_, Data::Exception(_))
            | (Data::Bytes(_), Data::Bytes(_)) => true,
            (Data::Bytes(_), _) => return self.faults & fault::LENGTH != 0,
            (_, Data::Bytes(_)) => return other.faults & fault::LENGTH != 0,
            (Data::Values(data), Data::Read(span)) | (Data::Read(span), Data::Values(data)) => {
                data.len() == self.bytes_of(span.quantity)
            }
            (Data::Values(data), Data::ReadWrite(span, _))
            | (Data::ReadWrite(span, _), Data::Values(data)) => {
                data.len() == 2 * usize::from(span.quantity)
            }
            (Data::Write(mine), Data::Write(theirs)) => match (mine, theirs) {
                (Write::One(..), Write::One(..)) | (Write::Mask { .. }, Write::Mask { .. }) => {
                    mine == theirs
                }
                (Write::One(address, value), Write::Many(span, _))
                | (Write::Many(span, _), Write::One(address, value)) => {
                    (*address, *value) == (span.address, span.quantity)
                }
                _ => return false,
            },
            (Data::Diagnostic(mine, _), Data::Diagnostic(theirs, _)) => return mine == theirs,
            (Data::Mei(mine, _), Data::Mei(theirs, _)) => return mine == theirs,
            _ => return false,
        };
        self.wrong(fault::VALUE, !agree);
        true
    }

    /// The first and last address that a request is about, counted from 1 as manuals do.
    pub fn addresses(&self) -> Option<(u32, u32)> {
        let (address, quantity) = match &self.data {
            Data::Write(Write::One(address, _) | Write::Mask { address, .. }) => (*address, 1),
            Data::Read(span)
            | Data::Write(Write::Many(span, _))
            | Data::ReadWrite(_, Write::Many(span, _)) => (span.address, span.quantity),
            _ => return None,
        };
        let first = u32::from(address) + 1;
        let last = u32::from(address) + u32::from(quantity);
        (last >= first && last <= 65_536).then_some((first, last))
    }

    /// The value that a request writes at an address, counted from 1.
    pub fn written_at(&self, address: u16) -> Option<u16> {
        let (first, last) = self.addresses()?;
        if !(first..=last).contains(&u32::from(address)) {
            return None;
        }
        let (span, data) = match &self.data {
            Data::Write(Write::One(_, value)) if self.is(access::COILS) => {
                return Some(u16::from(*value != 0));
            }
            Data::Write(Write::One(_, value)) => return Some(*value),
            Data::Write(Write::Many(span, data)) | Data::ReadWrite(_, Write::Many(span, data)) => {
                (span, data)
            }
            _ => return None,
        };
        let index = usize::from(address.checked_sub(span.address)?.checked_sub(1)?);
        if self.is(access::COILS) {
            let byte = data.get(index / 8)?;
            return Some(u16::from(byte >> (index % 8) & 1));
        }
        let pair = data.get(2 * index..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*pair))
    }
}
