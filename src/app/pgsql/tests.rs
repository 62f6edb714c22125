//! Tests of the pgsql parser: what it reads, in pieces and from hostile bytes.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::app::feed::{Feed, chunking_never_matters, survives};
use crate::packet::Direction::{ToClient, ToServer};

fn typed(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0joe\0database\0shop\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    vec![
        (ToServer, startup()),
        (ToClient, typed(b'R', b"\0\0\0\x05salt")),
        (ToServer, typed(b'p', b"md5secret\0")),
        (
            ToClient,
            [
                typed(b'R', b"\0\0\0\0"),
                typed(b'S', b"server_version\x0015\0"),
                typed(b'K', b"\0\0\0\x07\0\0\0\x09"),
                typed(b'Z', b"I"),
            ]
            .concat(),
        ),
        (ToServer, typed(b'Q', b"SELECT 1\0")),
        (
            ToClient,
            [
                typed(b'T', b"\0\x01"),
                typed(b'D', b"\0\x01\0\0\0\x011"),
                typed(b'D', &[7; 5000]),
                typed(b'C', b"SELECT 2\0"),
                typed(b'Z', b"I"),
            ]
            .concat(),
        ),
    ]
}

fn run(exchange: &[(Direction, Vec<u8>)]) -> (Feed, Vec<Note>) {
    let mut feed = Feed::new(&PGSQL, 6, 5432);
    let mut notes = Vec::new();
    for (direction, bytes) in exchange {
        feed.give(*direction, bytes);
        notes.extend(std::iter::from_fn(|| feed.session.take_note()));
    }
    (feed, notes)
}

#[test]
fn a_login_and_a_query() {
    let (feed, notes) = run(&exchange());
    let logged = feed.logged(&PGSQL);
    assert_eq!(logged.len(), 3);
    assert_eq!(
        logged[0]["pgsql"]["request"]["startup_parameters"],
        json!({"user": "joe", "optional_parameters": [{"database": "shop"}]})
    );
    assert_eq!(logged[1]["pgsql"]["request"]["password_redacted"], true);
    assert_eq!(
        logged[1]["pgsql"]["response"]["message"],
        "authentication_ok"
    );
    let query = &logged[2]["pgsql"];
    assert_eq!(query["request"]["simple_query"], "SELECT 1");
    assert_eq!(query["response"]["data_rows"], 2);
    assert_eq!(query["response"]["command_completed"], "SELECT 2");
    assert_eq!(feed.field(&PGSQL, 2, "pgsql.query", ToServer), ["SELECT 1"]);
    assert_eq!(notes.first(), Some(&Note::Login(Login::Succeeded)));
    assert_eq!(notes.len(), 3, "{notes:?}");
    let pieces: Vec<(Direction, &[u8])> = exchange_ref();
    chunking_never_matters(&PGSQL, 5432, &pieces);
}

fn exchange_ref() -> Vec<(Direction, &'static [u8])> {
    exchange()
        .into_iter()
        .map(|(d, bytes)| (d, &*bytes.leak()))
        .collect()
}

#[test]
fn a_refused_login() {
    let error = typed(b'E', b"SFATAL\0C28P01\0Mpassword authentication failed\0\0");
    let (feed, notes) = run(&[
        (ToServer, startup()),
        (ToClient, typed(b'R', b"\0\0\0\x03")),
        (ToServer, typed(b'p', b"wrong\0")),
        (ToClient, error),
    ]);
    assert_eq!(notes, [Note::Login(Login::Failed)]);
    assert_eq!(feed.logged(&PGSQL)[1]["pgsql"]["response"]["code"], "28P01");
    let whole = feed
        .logged(&PGSQL)
        .iter()
        .map(ToString::to_string)
        .collect::<String>();
    assert!(!whole.contains("wrong"));
}

#[test]
fn encryption_hands_over_only_when_agreed() {
    let ask = [&8u32.to_be_bytes()[..], &SSL.to_be_bytes()].concat();
    let (feed, _) = run(&[(ToServer, ask.clone()), (ToClient, b"S".to_vec())]);
    assert!(matches!(feed.last, Parsed::Switch { consumed: 1, .. }));
    let (feed, _) = run(&[
        (ToServer, ask),
        (ToClient, b"N".to_vec()),
        (ToServer, startup()),
    ]);
    assert_eq!(feed.last, Parsed::All);
    assert_eq!(
        feed.logged(&PGSQL)[0]["pgsql"]["response"]["ssl_accepted"],
        false
    );
}

#[test]
fn every_prefix_does_no_harm() {
    for (direction, bytes) in exchange() {
        for len in 0..bytes.len().min(200) {
            let mut feed = Feed::new(&PGSQL, 6, 5432);
            feed.give(direction, &bytes[..len]);
            let _ = feed.logged(&PGSQL);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_messages_do_no_harm(pieces in prop::collection::vec((any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 1..8)) {
        let mut all = vec![(false, startup())];
        all.extend(pieces.into_iter().map(|(server, kind, body)| (server, typed(kind, &body))));
        survives(&PGSQL, 6, 5432, &all);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 1..6)) {
        survives(&PGSQL, 6, 5432, &pieces);
    }
}
