//! Tests of the reader of Modbus: requests and answers as they are read, cut anywhere, and bytes that are not theirs.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::app::feed::{Feed, chunking_never_matters, survives};
use Direction::{ToClient, ToServer};

const READ: &[u8] = b"\0\x01\0\0\0\x06\x02\x01\x78\x90\0\x13";
const COILS: &[u8] = b"\0\x01\0\0\0\x06\x02\x01\x03\xcd\x6b\x05";
const REFUSAL: &[u8] = b"\0\x01\0\0\0\x03\x02\x81\x02";

fn events(feed: &Feed, tx: usize) -> Vec<String> {
    let logged = feed.logged(&MODBUS);
    let events = logged.get(tx).expect("a transaction")["events"].clone();
    serde_json::from_value(events).expect("names")
}

#[test]
fn a_request_and_its_answer_are_one_transaction() {
    let mut feed = Feed::new(&MODBUS, 6, 502);
    feed.give(ToServer, READ);
    feed.give(ToClient, COILS);
    let logged = feed.logged(&MODBUS);
    assert_eq!(
        logged,
        [json!({"modbus": {"id": 1,
            "request": {"transaction_id": 1, "protocol_id": 0, "unit_id": 2, "function_raw": 1, "function_code": "RdCoils",
                "access_type": "READ | COILS", "category": "PUBLIC_ASSIGNED", "error_flags": "NONE",
                "read": {"address": 30864, "quantity": 19}},
            "response": {"transaction_id": 1, "protocol_id": 0, "unit_id": 2, "function_raw": 1, "function_code": "RdCoils",
                "access_type": "READ | COILS", "category": "PUBLIC_ASSIGNED", "error_flags": "NONE",
                "read": {"data": "\\xcdk\u{5}"}}}, "events": []})]
    );
}

#[test]
fn a_refusal_answers_too() {
    let mut feed = Feed::new(&MODBUS, 6, 502);
    feed.give(ToServer, READ);
    feed.give(ToClient, REFUSAL);
    let tx = feed.session.transactions().at(0).expect("one");
    assert_eq!(MODBUS.outcome(tx), Outcome::Failure(2));
    assert_eq!(feed.session.transactions().len(), 1);
    assert_eq!(events(&feed, 0), Vec::<String>::new());
}

#[test]
fn what_breaks_the_protocol_is_an_event() {
    for (direction, bytes, event) in [
        (
            ToClient,
            &b"\0\x0a\0\0\0\x06\0\x06\0\x01\0\x03"[..],
            "unsolicited_response",
        ),
        (ToServer, b"\0\0\0\0\0\x02\0\0", "invalid_function_code"),
        (
            ToServer,
            b"\0\0\0\x01\0\x06\0\x01\0\0\0\x01",
            "invalid_protocol_id",
        ),
        (ToServer, b"\0\x0a\0\0\0\x04\0\x06\0\x01", "invalid_length"),
        (ToServer, b"\0\0\0\0\0\0", "invalid_length"),
        (ToServer, b"\0\0\0\0\0\x06\0\x01\0\0\0\0", "invalid_value"),
        (ToServer, b"\0\0\0\0\0\x06\0\x03\0\0\0\x7e", "invalid_value"),
    ] {
        let mut feed = Feed::new(&MODBUS, 6, 502);
        feed.give(direction, bytes);
        assert_eq!(events(&feed, 0), [event], "{bytes:?}");
    }
}

#[test]
fn an_answer_that_does_not_fit_its_request_is_an_event() {
    let mut feed = Feed::new(&MODBUS, 6, 502);
    feed.give(ToServer, READ);
    feed.give(ToClient, b"\0\x01\0\0\0\x05\x02\x01\x02\xcd\x6b");
    assert_eq!(events(&feed, 0), ["value_mismatch"]);
    let mut feed = Feed::new(&MODBUS, 6, 502);
    feed.give(ToServer, READ);
    feed.give(ToClient, b"\0\x01\0\0\0\x03\x02\x81\xff");
    assert_eq!(events(&feed, 0), ["invalid_exception_code"]);
}

#[test]
fn registers_are_two_bytes_each() {
    for (answer, told) in [
        (&b"\0\x01\0\0\0\x07\x02\x03\x04\0\x01\0\x02"[..], &[][..]),
        (b"\0\x01\0\0\0\x05\x02\x03\x02\0\x01", &["value_mismatch"]),
    ] {
        let mut feed = Feed::new(&MODBUS, 6, 502);
        feed.give(ToServer, b"\0\x01\0\0\0\x06\x02\x03\0\0\0\x02");
        feed.give(ToClient, answer);
        assert_eq!(events(&feed, 0), told);
    }
}

#[test]
fn a_flood_of_requests_ends_the_flow() {
    let mut feed = Feed::new(&MODBUS, 6, 502);
    for i in 0..=LIVE_MAX {
        let mut request = READ.to_vec();
        request[..2].copy_from_slice(&(i as u16).to_be_bytes());
        assert_eq!(feed.give(ToServer, &request), Parsed::All, "{i}");
    }
    assert_eq!(events(&feed, LIVE_MAX), ["flooded"]);
    assert_eq!(feed.give(ToServer, READ), Parsed::Error);
    assert_eq!(feed.session.transactions().len(), LIVE_MAX + 1);
}

#[test]
fn only_whole_messages_of_known_functions_are_recognised() {
    let probe = |bytes: &[u8]| MODBUS.probe(ToServer, bytes, &FlowKey::default());
    assert_eq!(probe(READ), Probe::Match);
    assert_eq!(probe(REFUSAL), Probe::Match);
    assert_eq!(probe(&READ[..8]), Probe::NeedMore);
    assert_eq!(probe(b"GET / HTTP/1.1\r\n"), Probe::NotMine);
    assert_eq!(probe(b"\0\0\0\0\0\x02\0\x63"), Probe::NotMine);
}

#[test]
fn pieces_never_matter() {
    let client = [READ, b"\0\x02\0\0\0\x09\x01\x0f\0\x13\0\x0a\x02\xcd\x01"].concat();
    let server = [COILS, b"\0\x02\0\0\0\x06\x01\x0f\0\x13\0\x0a"].concat();
    chunking_never_matters(&MODBUS, 502, &[(ToServer, &client), (ToClient, &server)]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 1..6)) {
        survives(&MODBUS, 6, 502, &pieces);
    }

    #[test]
    fn arbitrary_messages_do_no_harm(messages in proptest::collection::vec((any::<bool>(), 0u8..50, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 1..8)) {
        let pieces: Vec<(bool, Vec<u8>)> = messages
            .into_iter()
            .map(|(server, function, refused, data)| {
                let head = [0, 1, 0, 0, 0, data.len() as u8 + 2, 1, function | u8::from(refused) << 7];
                (server, [&head[..], &data].concat())
            })
            .collect();
        survives(&MODBUS, 6, 502, &pieces);
        for (_, bytes) in &pieces {
            if let Ok(message) = Message::read(&mut Reader::new(bytes), Some(ToServer)) {
                for address in [0, 1, 2, u16::MAX] {
                    let _ = message.written_at(address);
                }
            }
        }
    }
}
