//! Tests of the ike parser: what it reads, in pieces and from hostile bytes.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::app::feed::{Feed, survives};
use crate::packet::Direction::{ToClient, ToServer};

fn payload(next: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u16 + 4).to_be_bytes();
    [&[next, 0, len[0], len[1]], body].concat()
}

fn message(version: u8, responder: u8, exchange: u8, next: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xaa; 8];
    bytes.extend([responder; 8]);
    bytes.extend([
        next,
        version,
        exchange,
        if version == 0x20 { 8 } else { 0 },
        0,
        0,
        0,
        0,
    ]);
    bytes.extend((body.len() as u32 + 28).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// AES-CBC 128, SHA, group 2, seconds.
fn main_mode(responder: u8) -> Vec<u8> {
    let transform = [
        &[1, 1, 0, 0][..],
        &[
            0x80, 1, 0, 7, 0x80, 14, 0, 128, 0x80, 2, 0, 2, 0x80, 4, 0, 2,
        ],
        &[0x80, 11, 0, 1, 0, 12, 0, 4, 0, 1, 0x51, 0x80],
    ]
    .concat();
    let proposal = [&[1, 1, 0, 1][..], &payload(0, &transform)].concat();
    let sa = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &payload(0, &proposal)].concat();
    let body = [payload(13, &sa), payload(0, &[0xab; 4])].concat();
    message(0x10, responder, 2, 1, &body)
}

fn sa_init() -> Vec<u8> {
    let mut transforms = payload(3, &[1, 0, 0, 3]);
    transforms.extend(payload(3, &[2, 0, 0, 1]));
    transforms.extend(payload(3, &[3, 0, 0, 1]));
    transforms.extend(payload(0, &[4, 0, 0, 2]));
    let proposal = [&[1, 1, 0, 4][..], &transforms].concat();
    let body = [
        payload(41, &payload(0, &proposal)),
        payload(0, &[0, 0, 0, 14]),
    ]
    .concat();
    message(0x20, 0, 34, 33, &body)
}

#[test]
fn main_mode_shows_what_was_chosen() {
    let mut feed = Feed::new(&IKE, 17, 500);
    feed.give(ToServer, &main_mode(0));
    feed.give(ToClient, &main_mode(0xbb));
    let logged = feed.logged(&IKE);
    assert_eq!(logged[0]["events"], json!([]));
    assert_eq!(
        logged[1]["ike"]["attributes"][0],
        json!({"key": "alg_enc", "value": "EncAesCbc", "raw": 7})
    );
    assert_eq!(logged[0]["ike"]["ikev1"]["vendor_ids"], json!(["abababab"]));
    assert_eq!(
        feed.field(&IKE, 1, "ike.resp_spi", ToClient),
        ["bbbbbbbbbbbbbbbb"]
    );
    let test = IKE
        .fields()
        .iter()
        .find_map(|f| match f.access {
            super::super::Access::Test(make) => Some(make),
            _ => None,
        })
        .unwrap();
    let tx = feed.session.transactions().at(1).unwrap();
    for (text, expected) in [("sa_key_length=128", true), ("alg_hash>2", false)] {
        let test = test(text).unwrap();
        assert_eq!(test.test(tx, &*feed.session, ToClient), expected, "{text}");
    }
}

#[test]
fn weak_proposals_are_told() {
    let mut feed = Feed::new(&IKE, 17, 500);
    feed.give(ToServer, &sa_init());
    let logged = feed.logged(&IKE);
    assert_eq!(
        logged[0]["events"],
        json!([
            "weak_crypto_enc",
            "weak_crypto_prf",
            "weak_crypto_auth",
            "weak_crypto_dh"
        ])
    );
    assert_eq!(
        logged[0]["ike"]["ikev2"]["notify"],
        json!(["NO_PROPOSAL_CHOSEN"])
    );
    assert_eq!(logged[0]["ike"]["ikev2"]["errors"], 1);
}

#[test]
fn esp_on_port_4500_is_passed_over() {
    let mut feed = Feed::new(&IKE, 17, 4500);
    assert_eq!(feed.give(ToServer, &[1, 2, 3, 4, 5]), Parsed::All);
    feed.give(ToServer, &[&[0; 4][..], &sa_init()].concat());
    assert_eq!(feed.logged(&IKE).len(), 1);
}

#[test]
fn every_prefix_does_no_harm() {
    for whole in [main_mode(0), sa_init()] {
        for len in 0..whole.len() {
            let mut feed = Feed::new(&IKE, 17, 500);
            feed.give(ToServer, &whole[..len]);
            let _ = feed.logged(&IKE);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_payloads_do_no_harm(messages in prop::collection::vec((any::<bool>(), any::<bool>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..120)), 1..6)) {
        let pieces: Vec<(bool, Vec<u8>)> = messages
            .into_iter()
            .map(|(server, one, next, body)| (server, message(if one { 0x10 } else { 0x20 }, 1, 34, next, &body)))
            .collect();
        survives(&IKE, 17, 500, &pieces);
    }
}
