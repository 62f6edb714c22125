//! Tests of the reader of EtherNet/IP and CIP: requests and answers as they are read, cut anywhere, and bytes that are not theirs.

use proptest::prelude::*;
use serde_json::json;

use super::message::{PARTS_MAX, VALUES_MAX};
use super::*;
use crate::app::feed::{Feed, chunking_never_matters, survives};
use Direction::{ToClient, ToServer};

fn pdu(command: u16, session: u32, data: &[u8]) -> Vec<u8> {
    let mut out = command.to_le_bytes().to_vec();
    out.extend((data.len() as u16).to_le_bytes());
    out.extend(session.to_le_bytes());
    out.extend([0; 16]);
    out.extend(data);
    out
}

/// CIP without a connection: an empty address, then the message.
fn rr(cip: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 6];
    data.extend(b"\x02\0\0\0\0\0\xb2\0");
    data.extend((cip.len() as u16).to_le_bytes());
    data.extend(cip);
    pdu(0x6f, 7, &data)
}

/// CIP of a connection, with its sequence number.
fn unit(sequence: u16, cip: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 6];
    data.extend(b"\x02\0\xa1\0\x04\0\x01\0\0\0\xb1\0");
    data.extend((cip.len() as u16 + 2).to_le_bytes());
    data.extend(sequence.to_le_bytes());
    data.extend(cip);
    pdu(0x70, 7, &data)
}

const GET: &[u8] = b"\x0e\x03\x20\x01\x24\x01\x30\x07";

#[test]
fn a_request_and_its_answer_are_one_transaction() {
    let mut feed = Feed::new(&ENIP, 6, 44818);
    feed.give(ToServer, &pdu(0x65, 0, b"\x01\0\0\0"));
    feed.give(ToClient, &pdu(0x65, 7, b"\x01\0\0\0"));
    feed.give(ToServer, &rr(GET));
    feed.give(ToClient, &rr(b"\x8e\0\x04\x02\x17\x01"));
    let logged = feed.logged(&ENIP);
    assert_eq!(logged.len(), 2);
    assert_eq!(
        logged[0]["enip"]["response"],
        json!({"command": "register_session", "status": "success", "register_session": {"protocol_version": 1, "options": 0}})
    );
    assert_eq!(
        logged[1]["enip"],
        json!({"request": {"command": "send_r_r_data", "status": "success", "cip": {"service": "Get Attributes Single",
            "path": [{"segment_type": "class", "value": 1}, {"segment_type": "instance", "value": 1},
                {"segment_type": "attribute", "value": 7}], "class_name": "Identity"}},
            "response": {"command": "send_r_r_data", "status": "success", "cip": {"service": "Get Attributes Single",
                "status": "Path Segment Error", "status_extended": "1701",
                "status_extended_meaning": "Invalid produced or consumed application path"}}})
    );
    assert_eq!(
        feed.field(&ENIP, 1, "enip.cip_extendedstatus", ToClient),
        ["279"]
    );
    assert_eq!(feed.field(&ENIP, 1, "enip_command", ToServer), ["111"]);
    let tx = feed.session.transactions().at(1).expect("two");
    assert_eq!(ENIP.outcome(tx), Outcome::Failure(4));
}

#[test]
fn answers_of_a_connection_are_paired_by_number() {
    let mut feed = Feed::new(&ENIP, 6, 44818);
    feed.give(ToServer, &unit(5, GET));
    feed.give(ToServer, &unit(6, GET));
    feed.give(ToClient, &unit(6, b"\x8e\0\0\0"));
    feed.give(ToClient, &unit(9, b"\x8e\0\0\0"));
    let logged = feed.logged(&ENIP);
    assert_eq!(logged.len(), 3);
    assert!(logged[0]["enip"]["response"].is_null());
    assert!(logged[1]["enip"]["response"].is_object());
    assert!(logged[2]["enip"]["request"].is_null());
}

#[test]
fn several_services_in_a_packet_are_each_looked_at() {
    let mut feed = Feed::new(&ENIP, 6, 44818);
    let mut multiple = b"\x0a\x02\x20\x02\x24\x01\x02\0\x06\0\x0a\0".to_vec();
    multiple.extend(b"\x07\x01\x20\x8e");
    multiple.extend(b"\x03\x01\x20\xf5\x02\0\x05\0\x06\0");
    feed.give(ToServer, &rr(&multiple));
    let logged = feed.logged(&ENIP);
    let parts = &logged[0]["enip"]["request"]["cip"]["multiple"];
    assert_eq!(parts[0]["service"], "Stop");
    assert_eq!(parts[1]["class_name"], "TCP/IP Interface");
    let tx = feed.session.transactions().at(0).expect("one");
    let holds = |name: &str, text: &str| {
        let field = ENIP.fields().iter().find(|f| f.name == name).expect(name);
        let crate::app::Access::Test(parse) = field.access else {
            panic!("{name}");
        };
        parse(text)
            .expect(text)
            .test(tx, feed.session.as_ref(), ToServer)
    };
    assert!(holds("cip_service", "7"));
    assert!(holds("cip_service", "3,245,6"));
    assert!(!holds("cip_service", "3,245,7"));
    assert!(holds("enip.cip_class", "142"));
    assert!(holds("enip.cip_attribute", ">5"));
    assert!(holds("enip.cip_instance", "count 1"));
}

#[test]
fn a_device_says_what_it_is() {
    let mut identity = b"\x01\0".to_vec();
    identity.extend([0; 16]);
    identity.extend(b"\x01\0\x0e\0\x36\0\x14\x0b\x60\x31\x06\x6c\x06\0\x051756-\x03");
    let mut data = b"\x01\0\x0c\0".to_vec();
    data.extend((identity.len() as u16).to_le_bytes());
    data.extend(&identity);
    let mut feed = Feed::new(&ENIP, 17, 44818);
    feed.give(ToServer, &pdu(0x63, 0, b""));
    feed.give(ToClient, &pdu(0x63, 0, &data));
    let logged = feed.logged(&ENIP);
    let identity = &logged[0]["enip"]["response"]["identity"];
    assert_eq!(identity["vendor_id"], "Rockwell Automation/Allen-Bradley");
    assert_eq!(identity["device_type"], "Programmable Logic Controller");
    assert_eq!(identity["revision"], "20.11");
    assert_eq!(
        feed.field(&ENIP, 0, "enip.product_name", ToClient),
        ["1756-"]
    );
    assert_eq!(feed.field(&ENIP, 0, "enip.revision", ToClient), ["5131"]);
    assert_eq!(feed.field(&ENIP, 0, "enip.state", ToClient), ["3"]);
}

#[test]
fn what_cannot_be_read_is_an_event() {
    for cip in [
        &b"\x0e\x05\x20\x01"[..],
        b"\x0e\x01\x91\x01",
        b"\x0a\x01\x20\x02\x01\0\xff\xff",
        b"",
    ] {
        let mut feed = Feed::new(&ENIP, 6, 44818);
        feed.give(ToServer, &rr(cip));
        assert_eq!(feed.logged(&ENIP)[0]["events"], json!(["invalid_pdu"]));
    }
}

#[test]
fn packets_that_overlap_do_not_unfold() {
    // Every part is the same list of attributes.
    let attributes = 100u16;
    let parts = PARTS_MAX as u16;
    let mut cip = b"\x0a\x01\x20\x02".to_vec();
    cip.extend(parts.to_le_bytes());
    for _ in 0..parts {
        cip.extend((2 + 2 * parts).to_le_bytes());
    }
    cip.extend(b"\x03\0");
    cip.extend(attributes.to_le_bytes());
    cip.extend(vec![1; 2 * usize::from(attributes)]);
    let message = Message::read(&mut Reader::new(&rr(&cip)), false).expect("whole");
    assert!(message.invalid && VALUES_MAX < usize::from(parts) * usize::from(attributes));
}

#[test]
fn transactions_are_bounded() {
    let mut feed = Feed::new(&ENIP, 6, 44818);
    for i in 0..LIVE_MAX + 5 {
        feed.give(ToServer, &unit(i as u16, GET));
    }
    assert_eq!(feed.session.transactions().len(), LIVE_MAX);
    assert_eq!(
        feed.logged(&ENIP)[0]["events"],
        json!(["too_many_transactions"])
    );
}

#[test]
fn only_messages_that_can_be_are_recognised() {
    let key = |proto| FlowKey {
        proto,
        ..FlowKey::default()
    };
    let probe = |bytes: &[u8], proto| ENIP.probe(ToServer, bytes, &key(proto));
    assert_eq!(probe(&pdu(0x63, 0, b""), 17), Probe::Match);
    assert_eq!(probe(&rr(GET), 6), Probe::Match);
    assert_eq!(probe(&rr(GET)[..20], 6), Probe::NeedMore);
    assert_eq!(probe(&rr(GET)[..20], 17), Probe::NotMine);
    assert_eq!(probe(&pdu(0x65, 0, b""), 6), Probe::NotMine);
    assert_eq!(probe(&pdu(0x67, 0, b""), 6), Probe::NotMine);
}

#[test]
fn a_gap_is_passed_over_to_the_next_message() {
    let mut feed = Feed::new(&ENIP, 6, 44818);
    feed.give(ToServer, &rr(GET));
    assert_eq!(feed.gap(ToServer, 100, b""), Parsed::All);
    assert_eq!(feed.give(ToServer, &[7; 30]), Parsed::All);
    assert_eq!(feed.give(ToServer, &rr(GET)), Parsed::All);
    assert_eq!(feed.session.transactions().len(), 2);
}

#[test]
fn pieces_never_matter() {
    let client = [pdu(0x65, 0, b"\x01\0\0\0"), rr(GET), unit(1, GET)].concat();
    let server = [
        pdu(0x65, 7, b"\x01\0\0\0"),
        rr(b"\x8e\0\0\0"),
        unit(1, b"\x8e\0\0\0"),
    ]
    .concat();
    chunking_never_matters(&ENIP, 44818, &[(ToServer, &client), (ToClient, &server)]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(tcp: bool, pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 1..6)) {
        survives(&ENIP, if tcp { 6 } else { 17 }, 44818, &pieces);
    }

    #[test]
    fn arbitrary_messages_do_no_harm(messages in proptest::collection::vec((any::<bool>(), 0usize..6, proptest::collection::vec(any::<u8>(), 0..60)), 1..8)) {
        let pieces: Vec<(bool, Vec<u8>)> = messages
            .into_iter()
            .map(|(server, command, data)| {
                let bytes = match command {
                    0 => rr(&data),
                    1 => unit(1, &data),
                    2 => rr(&[&b"\x0a\x01\x20\x02"[..], &data].concat()),
                    other => pdu([0x63, 4, 0x64][other - 3], 7, &data),
                };
                (server, bytes)
            })
            .collect();
        survives(&ENIP, 6, 44818, &pieces);
    }
}
