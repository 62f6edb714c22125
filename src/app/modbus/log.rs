//! The EVE object of Modbus.

use super::ModbusTx;
use super::message::{
    Data, Message, Span, Write, diagnostic_name, exception_name, function_name, mei_name,
};
use crate::alert::Json;

const ACCESS: &[(u8, &str)] = &[
    (1, "READ"),
    (2, "WRITE"),
    (4, "DISCRETES"),
    (8, "COILS"),
    (16, "INPUT"),
    (32, "HOLDING"),
    (64, "SINGLE"),
    (128, "MULTIPLE"),
    (12, "BIT_ACCESS_MASK"),
    (60, "FUNC_MASK"),
    (66, "WRITE_SINGLE"),
    (130, "WRITE_MULTIPLE"),
];
const CATEGORIES: &[(u8, &str)] = &[
    (1, "PUBLIC_ASSIGNED"),
    (2, "PUBLIC_UNASSIGNED"),
    (4, "USER_DEFINED"),
    (8, "RESERVED"),
];
const FAULTS: &[(u8, &str)] = &[
    (1, "DATA_VALUE"),
    (2, "DATA_LENGTH"),
    (4, "EXC_CODE"),
    (8, "FUNC_CODE"),
    (16, "PROTO_ID"),
];

/// Names of the bits that are set, `NONE` without any.
fn bits(json: &mut Json<'_>, name: &str, value: u8, names: &[(u8, &str)]) {
    let mut text = String::new();
    for (_, name) in names.iter().filter(|(mask, _)| value & mask == *mask) {
        if !text.is_empty() {
            text.push_str(" | ");
        }
        text.push_str(name);
    }
    json.str(name, if text.is_empty() { "NONE" } else { &text });
}

/// Writes `"modbus":{…}`.
pub(super) fn modbus(tx: &ModbusTx, json: &mut Json<'_>) {
    json.object("modbus").num("id", tx.state.id + 1);
    for (name, half) in [("request", &tx.request), ("response", &tx.response)] {
        if let Some(half) = half {
            json.object(name);
            message(half, json);
            json.end();
        }
    }
    json.end();
}

fn message(message: &Message, json: &mut Json<'_>) {
    json.num("transaction_id", message.transaction)
        .num("protocol_id", message.protocol)
        .num("unit_id", message.unit)
        .num("function_raw", message.function)
        .str("function_code", function_name(message.function));
    bits(json, "access_type", message.access, ACCESS);
    bits(json, "category", message.category, CATEGORIES);
    bits(json, "error_flags", message.faults, FAULTS);
    match &message.data {
        Data::Exception(code) => coded(json, "exception", *code, exception_name(*code)).end(),
        Data::Diagnostic(number, data) => {
            coded(json, "diagnostic", *number, diagnostic_name(*number))
                .str("data", data)
                .end()
        }
        Data::Mei(number, data) => coded(json, "mei", *number, mei_name(*number))
            .str("data", data)
            .end(),
        Data::Read(span) => read(json, *span),
        Data::Values(data) => json.object("read").str("data", data).end(),
        Data::Write(what) => write(json, what),
        Data::ReadWrite(span, what) => {
            read(json, *span);
            write(json, what)
        }
        Data::Bytes(data) => json.str("data", data),
        Data::Empty => json,
    };
}

fn coded<'a, 'b>(
    json: &'a mut Json<'b>,
    object: &str,
    raw: impl Into<i128>,
    name: &str,
) -> &'a mut Json<'b> {
    json.object(object).num("raw", raw).str("code", name)
}

fn read<'a, 'b>(json: &'a mut Json<'b>, span: Span) -> &'a mut Json<'b> {
    json.object("read")
        .num("address", span.address)
        .num("quantity", span.quantity)
        .end()
}

fn write<'a, 'b>(json: &'a mut Json<'b>, write: &Write) -> &'a mut Json<'b> {
    json.object("write");
    match write {
        Write::Many(span, data) => json
            .num("address", span.address)
            .num("quantity", span.quantity)
            .str("data", data),
        Write::Mask { address, and, or } => json
            .num("address", *address)
            .num("and_mask", *and)
            .num("or_mask", *or),
        Write::One(address, value) => json.num("address", *address).num("data", *value),
    };
    json.end()
}
