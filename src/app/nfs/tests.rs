//! Tests of the nfs parser: what it reads, in pieces and from hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::app::feed::{Feed, chunking_never_matters, survives};
use crate::packet::Direction::{ToClient, ToServer};

fn text(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn record(body: &[u8]) -> Vec<u8> {
    [&(0x8000_0000 | body.len() as u32).to_be_bytes()[..], body].concat()
}

fn call(xid: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [xid, 0, 2, rpc::PROGRAM, version, procedure, 1] {
        body.extend(word.to_be_bytes());
    }
    let unix = [
        &[0; 4][..],
        &text(b"host"),
        &[0, 0, 3, 0xe8, 0, 0, 0, 100, 0, 0, 0, 0],
    ]
    .concat();
    body.extend(text(&unix));
    body.extend([0; 8]);
    body.extend_from_slice(arguments);
    record(&body)
}

fn reply(xid: u32, results: &[u8]) -> Vec<u8> {
    let mut body = xid.to_be_bytes().to_vec();
    body.extend([0, 0, 0, 1]);
    body.extend([0; 16]);
    body.extend_from_slice(results);
    record(&body)
}

fn write(xid: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    let arguments = [
        &text(b"HANDLE")[..],
        &offset.to_be_bytes(),
        &(data.len() as u32).to_be_bytes(),
        &[0, 0, 0, 2],
        &text(data),
    ]
    .concat();
    call(xid, 3, 7, &arguments)
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    let ok = [0u8; 4];
    vec![
        (
            ToServer,
            call(1, 3, 3, &[text(b"DIR"), text(b"secret.txt")].concat()),
        ),
        (ToClient, reply(1, &[&ok[..], &text(b"HANDLE")].concat())),
        (ToServer, write(2, 0, b"hello ")),
        (ToClient, reply(2, &ok)),
        (ToServer, write(3, 6, b"world")),
        (
            ToServer,
            call(4, 3, 21, &[&text(b"HANDLE")[..], &[0; 12]].concat()),
        ),
        (ToClient, reply(4, &ok)),
    ]
}

#[test]
fn a_file_is_written_under_its_name() {
    let mut feed = Feed::new(&NFS, 6, 2049);
    for (direction, bytes) in exchange() {
        feed.give(direction, &bytes);
    }
    let logged = feed.logged(&NFS);
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(logged[0]["nfs"]["procedure"], "LOOKUP");
    assert_eq!(logged[0]["rpc"]["creds"]["machine_name"], "host");
    let file = &logged[1]["nfs"];
    assert_eq!(file["procedure"], "WRITE");
    assert_eq!(file["filename"], "secret.txt");
    assert_eq!(file["write"]["chunks"], 3);
    let files = feed
        .session
        .transactions()
        .at(1)
        .unwrap()
        .files(ToServer)
        .unwrap();
    assert_eq!(files.get(0).unwrap().window().bytes, b"hello world");
    assert_eq!(files.get(0).unwrap().state, FileState::Closed);
    let leaked: Vec<(Direction, &'static [u8])> = exchange()
        .into_iter()
        .map(|(d, b)| (d, &*b.leak()))
        .collect();
    chunking_never_matters(&NFS, 2049, &leaked);
}

#[test]
fn data_of_long_records_goes_straight_into_the_file() {
    let mut feed = Feed::new(&NFS, 6, 2049);
    let data = vec![b'x'; 300_000];
    feed.pieces(ToServer, &write(9, 0, &data), 1460);
    let files = feed
        .session
        .transactions()
        .at(0)
        .unwrap()
        .files(ToServer)
        .unwrap();
    assert_eq!(files.get(0).unwrap().size, 300_000);
}

#[test]
fn compounds_name_their_main_operation() {
    let mut body = text(b"");
    body.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 22]);
    body.extend(text(b"FH"));
    body.extend([0, 0, 0, 38]);
    body.extend([0; 28]);
    body.extend(text(b"data"));
    let mut feed = Feed::new(&NFS, 6, 2049);
    feed.give(ToServer, &call(7, 4, 1, &body));
    assert_eq!(feed.logged(&NFS)[0]["nfs"]["procedure"], "WRITE");
    assert_eq!(feed.field(&NFS, 0, "nfs_version", ToServer), ["4"]);
}

#[test]
fn every_prefix_does_no_harm() {
    for (direction, bytes) in exchange() {
        for len in 4..bytes.len() {
            let mut feed = Feed::new(&NFS, 17, 2049);
            feed.give(direction, &bytes[4..len]);
            let _ = feed.logged(&NFS);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_arguments_do_no_harm(calls in prop::collection::vec((2u32..5, 0u32..24, prop::collection::vec(any::<u8>(), 0..80)), 1..8)) {
        let mut pieces = Vec::new();
        for (xid, (version, procedure, arguments)) in (1u32..).zip(calls) {
            pieces.push((false, call(xid, version, procedure, &arguments)));
            pieces.push((true, reply(xid, &[&[0; 4][..], &arguments].concat())));
        }
        survives(&NFS, 6, 2049, &pieces);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80)), 1..6)) {
        survives(&NFS, 17, 2049, &pieces);
    }
}
