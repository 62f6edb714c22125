//! Tests of the reader of DNP3: requests and answers as they are read, cut anywhere, and bytes that are not theirs.

use proptest::prelude::*;
use serde_json::json;

use super::link::frame;
use super::*;
use crate::app::feed::{Feed, chunking_never_matters, survives};
use Direction::{ToClient, ToServer};

/// A request to operate relay 9 at once, in one segment.
fn operate() -> Vec<u8> {
    let mut data = vec![0xc0, 0xc3, 5];
    data.extend(b"\x0c\x01\x28\x01\0\x09\0\x41\x01\xf4\x01\0\0\xf4\x01\0\0\0");
    frame(0xc4, 1, 2, &data)
}

/// An answer whose device was restarted and wants the time, with three inputs.
fn answer() -> Vec<u8> {
    frame(0x44, 2, 1, b"\xc1\xc3\x81\x90\0\x01\x01\0\0\x02\x05")
}

#[test]
fn a_request_is_logged_with_its_points() {
    let mut feed = Feed::new(&DNP3, 6, 20000);
    feed.give(ToServer, &operate());
    let logged = feed.logged(&DNP3);
    assert_eq!(
        logged,
        [
            json!({"dnp3": {"type": "request", "control": {"dir": true, "pri": true, "fcb": false, "fcv": false, "function_code": 4},
            "src": 2, "dst": 1, "application": {
                "control": {"fir": true, "fin": true, "con": false, "uns": false, "sequence": 3}, "function_code": 5,
                "objects": [{"group": 12, "variation": 1, "qualifier": 40, "prefix_code": 2, "range_code": 8,
                    "start": 0, "stop": 0, "count": 1, "points": [{"prefix": 9, "index": 9, "op_type": 1, "qu": 0, "cr": 0,
                        "tcc": 1, "count": 1, "ontime": 500, "offtime": 500, "status_code": 0, "reserved": 0}]}],
                "complete": true}}, "events": []})
        ]
    );
    assert_eq!(feed.field(&DNP3, 0, "dnp3_func", ToServer), ["5"]);
    assert!(feed.field(&DNP3, 0, "dnp3_func", ToClient).is_empty());
}

#[test]
fn an_answer_says_how_the_outstation_is() {
    let mut feed = Feed::new(&DNP3, 6, 20000);
    feed.give(ToClient, &answer());
    let logged = feed.logged(&DNP3);
    let dnp3 = &logged[0]["dnp3"];
    assert_eq!(
        dnp3["iin"],
        json!({"indicators": ["need_time", "device_restart"]})
    );
    let points = &dnp3["application"]["objects"][0]["points"];
    assert_eq!(points[2], json!({"prefix": 0, "index": 2, "state": 1}));
    let tx = feed.session.transactions().at(0).expect("one");
    let holds = |name: &str, text: &str| {
        let field = DNP3.fields().iter().find(|f| f.name == name).expect(name);
        let crate::app::Access::Test(parse) = field.access else {
            panic!("{name}");
        };
        parse(text)
            .expect(text)
            .test(tx, feed.session.as_ref(), ToClient)
    };
    assert!(holds("dnp3_ind", "device_trouble,need_time"));
    assert!(holds("dnp3_ind", "0x9000"));
    assert!(holds("dnp3_ind", "+need_time,device_restart"));
    assert!(!holds("dnp3_ind", "device_trouble"));
    assert!(holds("dnp3_obj", "1, 1"));
    assert!(!holds("dnp3_obj", "1,2"));
}

#[test]
fn segments_are_put_together() {
    let mut feed = Feed::new(&DNP3, 6, 20000);
    let text = b"a file name in two segments";
    let mut object =
        b"\x46\x03\x5b\x01\x35\0\x1a\0\x1b\0\0\0\0\0\0\0\xa4\x01\0\0\0\0\0\0\0\0\x01\0\0\x04\x01\0"
            .to_vec();
    object.extend(text);
    let (first, second) = object.split_at(20);
    feed.give(
        ToServer,
        &frame(0xc4, 1, 2, &[b"\x40\xc0\x19", first].concat()),
    );
    assert_eq!(feed.field(&DNP3, 0, "dnp3.data", ToServer).len(), 1);
    assert!(
        DNP3.log_head(feed.session.transactions().at(0).expect("one"))
            .is_none()
    );
    feed.give(ToServer, &frame(0xc4, 1, 3, &[b"\x81", second].concat()));
    feed.give(ToServer, &frame(0xc4, 1, 2, &[b"\x82", second].concat()));
    assert!(
        DNP3.log_head(feed.session.transactions().at(0).expect("one"))
            .is_none()
    );
    feed.give(ToServer, &frame(0xc4, 1, 2, &[b"\x81", second].concat()));
    let logged = feed.logged(&DNP3);
    assert_eq!(logged.len(), 1);
    let application = &logged[0]["dnp3"]["application"];
    assert_eq!(application["complete"], true);
    assert_eq!(
        application["objects"][0]["points"][0]["filename"],
        std::str::from_utf8(text).expect("text")
    );
}

#[test]
fn what_breaks_the_protocol_is_an_event() {
    let good = operate();
    let mut link = good.clone();
    link[8] ^= 1;
    let mut data = good.clone();
    let last = data.len() - 1;
    data[last] ^= 1;
    let unknown = frame(0xc4, 1, 2, b"\xc0\xc0\x02\x6e\x01\x07\x01");
    let points = frame(0xc4, 1, 2, b"\xc0\xc0\x02\x1e\x01\x09\xff\xff\0\0");
    for (bytes, event, parsed) in [
        (link, "BAD_LINK_CRC", Parsed::Error),
        (data, "BAD_TRANSPORT_CRC", Parsed::All),
        (frame(0xc4, 1, 2, b"\xc0"), "LEN_TOO_SMALL", Parsed::All),
        (unknown, "UNKNOWN_OBJECT", Parsed::All),
        (points, "TOO_MANY_POINTS", Parsed::All),
    ] {
        let mut feed = Feed::new(&DNP3, 6, 20000);
        assert_eq!(feed.give(ToServer, &bytes), parsed);
        assert_eq!(feed.logged(&DNP3)[0]["events"], json!([event]));
    }
}

#[test]
fn unfinished_messages_are_bounded() {
    let mut feed = Feed::new(&DNP3, 6, 20000);
    for i in 0..3 * LIVE_MAX {
        feed.give(ToServer, &frame(0xc4, 1, i as u16, &[0x40, 0xc0, 2, 1, 2]));
    }
    let list = feed.session.transactions();
    let live = (0..list.len()).filter(|i| list.at(*i).is_some_and(|tx| tx.progress(ToServer) == 0));
    assert_eq!(live.count(), LIVE_MAX);
    assert_eq!(feed.logged(&DNP3)[LIVE_MAX]["events"], json!(["FLOODED"]));
    let mut feed = Feed::new(&DNP3, 6, 20000);
    feed.give(ToServer, &frame(0xc4, 1, 2, &[0x40, 0xc0, 2, 1]));
    for i in 1..100u8 {
        let mut data = vec![i & 0x3f];
        data.resize(250, 0);
        feed.give(ToServer, &frame(0xc4, 1, 2, &data));
    }
    assert_eq!(
        feed.logged(&DNP3)[0]["events"],
        json!(["TOO_LONG_REASSEMBLY"])
    );
}

#[test]
fn greetings_links_and_confirmations_are_passed_over() {
    let mut feed = Feed::new(&DNP3, 6, 20000);
    assert_eq!(
        feed.give(ToClient, b"Outstation DNP3 ready\r\n"),
        Parsed::All
    );
    assert_eq!(feed.give(ToServer, &frame(0xc9, 1, 2, b"")), Parsed::All);
    assert_eq!(
        feed.give(ToServer, &frame(0xc4, 1, 2, b"\xc0\xc0\0")),
        Parsed::All
    );
    assert_eq!(feed.session.transactions().len(), 0);
    let key = FlowKey::default();
    assert_eq!(
        DNP3.probe(ToServer, b"Welcome to DNP3", &key),
        Probe::MatchReversed
    );
    assert_eq!(DNP3.probe(ToServer, &operate(), &key), Probe::Match);
    assert_eq!(DNP3.probe(ToServer, &answer(), &key), Probe::MatchReversed);
    assert_eq!(
        DNP3.probe(ToServer, b"\x05\x64\x04\0\0\0\0\0\0\0", &key),
        Probe::NotMine
    );
    assert_eq!(DNP3.probe(ToServer, b"\x05\x64", &key), Probe::NeedMore);
}

#[test]
fn pieces_never_matter() {
    let client = [operate(), frame(0xc9, 1, 2, b""), operate()].concat();
    let server = [answer(), answer()].concat();
    chunking_never_matters(&DNP3, 20000, &[(ToServer, &client), (ToClient, &server)]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80)), 1..6)) {
        survives(&DNP3, 6, 20000, &pieces);
    }

    #[test]
    fn arbitrary_objects_do_no_harm(messages in proptest::collection::vec((any::<bool>(), 0u8..123, 0u8..16, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..120)), 1..6)) {
        let pieces: Vec<(bool, Vec<u8>)> = messages
            .into_iter()
            .map(|(server, group, variation, qualifier, data)| {
                let head = [0xc0, 0xc0, 0x81, 0, 0, group, variation, qualifier & 0x7f];
                (server, frame(if server { 0x44 } else { 0xc4 }, 1, 2, &[&head[..], &data].concat()))
            })
            .collect();
        survives(&DNP3, 6, 20000, &pieces);
    }
}
