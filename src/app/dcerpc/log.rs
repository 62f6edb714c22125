//! EVE's `dcerpc` object, and the parts of it that SMB's shares.

use super::DcerpcTx;
use super::names;
use super::pdu::{self, Call, Interface, Interfaces, uuid_text};
use crate::alert::Json;

/// `"dcerpc":{…}`.
pub(super) fn dcerpc(tx: &DcerpcTx, interfaces: &Interfaces, json: &mut Json<'_>) {
    let call = &tx.call;
    json.object("dcerpc");
    let [request_done, response_done] = tx.done;
    let [request_lost, response_lost] = tx.lost;
    if request_done && !request_lost {
        json.str("request", pdu::kind_name(call.request));
        if call.request == pdu::REQUEST {
            json.object("req").num("opnum", call.operation);
            part(call, 0, json);
            json.end();
        }
        if tx.activity.is_none() {
            self::interfaces(
                call,
                interfaces.0.iter().filter(|i| concerns(i, call)),
                json,
            );
        }
    } else {
        json.str("request", "REQUEST_LOST");
    }
    if response_done && !response_lost {
        json.str("response", pdu::kind_name(call.response));
        if call.response == pdu::RESPONSE {
            json.object("res");
            part(call, 1, json);
            json.end();
        }
    } else {
        json.str("response", "UNREPLIED");
    }
    match &tx.activity {
        Some((activity, sequence)) => {
            json.str("activityuuid", uuid_text(activity))
                .num("seqnum", *sequence)
                .str("rpc_version", "4.0");
        }
        None => {
            json.num("call_id", call.id)
                .str("rpc_version", format!("5.{}", tx.minor));
        }
    }
    json.end();
}

/// Fragments and bytes of a direction.
pub fn part(call: &Call, direction: usize, json: &mut Json<'_>) {
    let (count, stub) = (call.fragments.get(direction), call.stub.get(direction));
    json.num("frag_cnt", count.copied().unwrap_or(0))
        .num("stub_data_size", stub.map_or(0, Vec::len) as u64);
}

fn concerns(interface: &Interface, call: &Call) -> bool {
    match call.request {
        pdu::REQUEST => interface.context == call.context,
        pdu::BIND => interface.call_id == call.id,
        _ => false,
    }
}

/// `"interfaces":[…]`, unless there is none.
pub fn interfaces<'a>(call: &Call, list: impl Iterator<Item = &'a Interface>, json: &mut Json<'_>) {
    let mut list = list.peekable();
    if list.peek().is_none() {
        return;
    }
    json.array("interfaces");
    for interface in list {
        let (major, minor) = interface.version;
        let uuid = uuid_text(&interface.uuid);
        json.begin()
            .str("uuid", &uuid)
            .str("version", format!("{major}.{minor}"));
        if let Some(result) = interface.result {
            json.num("ack_result", result);
        }
        if let Some(known) = names::known(&uuid) {
            json.str("service", known.service);
            if let (pdu::REQUEST, Some(name)) =
                (call.request, names::procedure(known, call.operation))
            {
                json.str("procedure", name);
            }
        }
        json.end();
    }
    json.end_array();
}
