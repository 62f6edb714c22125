//! The EVE object of DNP3: link, application, objects with their points.
//!
//! Of the points of a message the first [`POINTS_LOGGED`] are written: one byte can hold eight of them.

use super::Dnp3Tx;
use super::field::INDICATIONS;
use super::object::{Object, Value};
use crate::alert::Json;

/// Points of a message that are written.
const POINTS_LOGGED: usize = 2048;
/// The function of an answer that was not asked for.
const UNSOLICITED: u8 = 130;

/// Writes the members of a request or response.
pub(super) fn message(tx: &Dnp3Tx, json: &mut Json<'_>) {
    let request = tx.is_request();
    json.str(
        "type",
        match tx.function {
            _ if request => "request",
            UNSOLICITED => "unsolicited_response",
            _ => "response",
        },
    );
    let bit = |byte: u8, mask: u8| byte & mask != 0;
    let control = tx.link.control;
    json.object("control")
        .bool("dir", bit(control, 0x80))
        .bool("pri", bit(control, 0x40))
        .bool("fcb", bit(control, 0x20))
        .bool("fcv", bit(control, 0x10))
        .num("function_code", control & 15)
        .end();
    json.num("src", tx.link.source)
        .num("dst", tx.link.destination)
        .object("application");
    json.object("control")
        .bool("fir", bit(tx.control, 0x80))
        .bool("fin", bit(tx.control, 0x40))
        .bool("con", bit(tx.control, 0x20))
        .bool("uns", bit(tx.control, 0x10))
        .num("sequence", tx.control & 15)
        .end();
    json.num("function_code", tx.function);
    if !tx.objects.is_empty() {
        json.array("objects");
        let mut left = POINTS_LOGGED;
        for one in &tx.objects {
            object(*one, &tx.message, &mut left, json);
        }
        json.end_array();
    }
    json.bool("complete", tx.complete).end();
    if !request {
        json.object("iin");
        if tx.indications != 0 {
            json.array("indicators");
            for (name, mask) in INDICATIONS {
                if u64::from(tx.indications) & mask != 0 {
                    json.text(name);
                }
            }
            json.end_array();
        }
        json.end();
    }
}

fn object(object: Object, message: &[u8], left: &mut usize, json: &mut Json<'_>) {
    json.begin()
        .num("group", object.group)
        .num("variation", object.variation)
        .num("qualifier", object.qualifier)
        .num("prefix_code", object.prefix_code())
        .num("range_code", object.range_code())
        .num("start", object.start)
        .num("stop", object.stop)
        .num("count", object.count);
    let mut any = false;
    object.each_point(message, &mut |prefix, index, point| {
        let Some(less) = left.checked_sub(1) else {
            return false;
        };
        *left = less;
        if !any {
            json.array("points");
        }
        any = true;
        json.begin().num("prefix", prefix).num("index", index);
        if object.prefix_is_size() {
            json.num("size", prefix);
        }
        point.read(&mut |name, value| {
            match value {
                Value::Integer(number) => json.num(name, number),
                Value::Float(number) => json.float(name, number),
                Value::Text(text) => json.str(name, text),
                Value::Binary([]) => return,
                // The reference sensor's names have this before them.
                Value::Binary(bytes) => json.base64(&format!("data->{name}"), bytes),
            };
        });
        json.end();
        true
    });
    if any {
        json.end_array();
    }
    json.end();
}
