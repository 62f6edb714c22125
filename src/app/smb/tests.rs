//! Sessions of SMB as bytes, and what must come of them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::app::feed::{Feed, chunking_never_matters, survives};
use crate::packet::Direction::{ToClient, ToServer};

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = (message.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(message);
    out
}

/// A message of version 2 with message id, tree 5 and session 9.
fn two(command: u16, response: bool, id: u64, status: u32, body: &[u8]) -> Vec<u8> {
    let mut out = b"\xfeSMB\x40\0\0\0".to_vec();
    out.extend(status.to_le_bytes());
    out.extend(command.to_le_bytes());
    out.extend([1, 0]);
    out.extend(u32::from(response).to_le_bytes());
    out.extend([0; 4]);
    out.extend(id.to_le_bytes());
    out.extend([0; 4]);
    out.extend(5_u32.to_le_bytes());
    out.extend(9_u64.to_le_bytes());
    out.extend([0; 16]);
    out.extend_from_slice(body);
    framed(&out)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_refused_session_setup_is_a_failed_login_and_a_guest_proves_nothing() {
    let mut feed = Feed::new(&SMB, 6, 445);
    let setup = [&[25, 0][..], &[0; 22]].concat();
    let answer = |flags: u8| vec![9, 0, flags, 0, 0, 0, 0, 0];
    for (id, status, flags) in [
        (1, 0xc000_0016, 0),
        (2, 0xc000_006d, 0),
        (3, 0, 1),
        (4, 0, 0),
    ] {
        feed.give(ToServer, &two(1, false, id, 0, &setup));
        feed.give(ToClient, &two(1, true, id, status, &answer(flags)));
    }
    let notes: Vec<Note> = std::iter::from_fn(|| feed.session.take_note()).collect();
    assert_eq!(
        notes,
        [Note::Login(Login::Failed), Note::Login(Login::Succeeded)]
    );
}

fn tree_request(path: &str) -> Vec<u8> {
    let name = wide(path);
    let mut body = vec![9, 0, 0, 0, 72, 0];
    body.extend((name.len() as u16).to_le_bytes());
    body.extend(name);
    two(3, false, 1, 0, &body)
}

fn tree_response(kind: u8) -> Vec<u8> {
    two(
        3,
        true,
        1,
        0,
        &[16, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    )
}

fn create_request(name: &str) -> Vec<u8> {
    let name = wide(name);
    let mut body = vec![57, 0];
    body.extend([0; 34]);
    body.extend([5, 0, 0, 0, 0, 0, 0, 0, 120, 0]);
    body.extend((name.len() as u16).to_le_bytes());
    body.extend([0; 8]);
    body.extend(name);
    two(5, false, 2, 0, &body)
}

const HANDLE: Handle = *b"0123456789abcdef";

fn create_response() -> Vec<u8> {
    let mut body = vec![89, 0, 0, 0, 1, 0, 0, 0];
    body.extend([0; 32 + 8]);
    body.extend(6_u64.to_le_bytes());
    body.extend([0; 8]);
    body.extend(HANDLE);
    body.extend([0; 8]);
    two(5, true, 2, 0, &body)
}

fn write_request(id: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = vec![49, 0, 112, 0];
    body.extend((data.len() as u32).to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend(HANDLE);
    body.extend([0; 16]);
    body.extend_from_slice(data);
    two(9, false, id, 0, &body)
}

fn close_request() -> Vec<u8> {
    let mut body = vec![24, 0, 0, 0, 0, 0, 0, 0];
    body.extend(HANDLE);
    two(6, false, 8, 0, &body)
}

#[test]
fn a_share_a_file_and_its_bytes() {
    let write = [
        write_request(3, 0, b"abc"),
        write_request(4, 3, b"def"),
        close_request(),
    ]
    .concat();
    let exchange = [
        (ToServer, tree_request("\\\\srv\\docs")),
        (ToClient, tree_response(1)),
        (ToServer, create_request("a.txt")),
        (ToClient, create_response()),
        (ToServer, write),
    ];
    let mut feed = Feed::new(&SMB, 6, 445);
    for (direction, bytes) in &exchange {
        feed.give(*direction, bytes);
    }
    let logged = feed.logged(&SMB);
    assert_eq!(logged.len(), 4);
    assert_eq!(logged[0]["smb"]["share"], json!("\\\\srv\\docs"));
    assert_eq!(logged[0]["smb"]["share_type"], json!("FILE"));
    assert_eq!(logged[0]["smb"]["tree_id"], json!(5));
    assert_eq!(logged[1]["smb"]["filename"], json!("a.txt"));
    assert_eq!(logged[1]["smb"]["disposition"], json!("FILE_OVERWRITE_IF"));
    assert_eq!(logged[1]["smb"]["status"], json!("STATUS_SUCCESS"));
    assert_eq!(
        logged[1]["smb"]["fuid"],
        json!("33323130-3534-3736-3938-626166656463")
    );
    assert_eq!(logged[2]["smb"]["command"], json!("SMB2_COMMAND_WRITE"));
    assert_eq!(logged[3]["smb"]["command"], json!("SMB2_COMMAND_CLOSE"));
    let list = feed.session.transactions();
    let file = list
        .at(2)
        .and_then(|tx| tx.files(ToServer))
        .and_then(|f| f.get(0))
        .expect("a file");
    assert_eq!((file.size, file.state), (6, FileState::Closed));
    let exchange: Vec<_> = exchange.iter().map(|(d, b)| (*d, b.as_slice())).collect();
    chunking_never_matters(&SMB, 445, &exchange);
}

#[test]
fn long_writes_pass_by() {
    let data = vec![7; 200_000];
    let mut feed = Feed::new(&SMB, 6, 445);
    feed.give(ToServer, &tree_request("\\\\srv\\docs"));
    feed.give(ToClient, &tree_response(1));
    feed.pieces(
        ToServer,
        &[write_request(3, 0, &data), close_request()].concat(),
        1460,
    );
    let list = feed.session.transactions();
    let file = list
        .at(1)
        .and_then(|tx| tx.files(ToServer))
        .and_then(|f| f.get(0))
        .expect("a file");
    assert_eq!((file.size, file.state), (200_000, FileState::Closed));
    assert_eq!(list.len(), 3);
}

#[test]
fn a_call_in_a_pipe() {
    let bind =
        b"\x05\0\x0b\x03\x10\0\0\0\x48\0\0\0\x01\0\0\0\xb8\x10\xb8\x10\0\0\0\0\x01\0\0\0\0\0\x01\0\
\x82\x06\xf7\x1f\x51\x0a\xe8\x30\x07\x6d\x74\x0b\xe8\xce\xe9\x8b\x01\0\0\0\
\x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\0\x2b\x10\x48\x60\x02\0\0\0";
    let mut feed = Feed::new(&SMB, 6, 445);
    feed.give(ToServer, &tree_request("\\\\srv\\IPC$"));
    feed.give(ToClient, &tree_response(2));
    feed.give(ToServer, &write_request(3, 0, bind));
    let logged = feed.logged(&SMB);
    assert_eq!(logged[0]["smb"]["named_pipe"], json!("\\\\srv\\IPC$"));
    assert_eq!(logged[1]["smb"]["dcerpc"]["request"], json!("BIND"));
    assert_eq!(logged[1]["smb"]["dcerpc"]["response"], json!("UNREPLIED"));
    assert_eq!(
        logged[1]["smb"]["dcerpc"]["interfaces"][0]["service"],
        json!("atsvc")
    );
    assert_eq!(
        feed.field(&SMB, 0, "smb.named_pipe", ToServer),
        ["\\\\srv\\IPC$"]
    );
}

/// A message of version 1, multiplex id 7.
fn one(command: u8, response: bool, words: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\xffSMB".to_vec();
    out.push(command);
    out.extend([0; 4]);
    out.push(if response { 0x80 } else { 0 });
    out.extend([0, 0x40]);
    out.extend([0; 12]);
    out.extend([3, 0, 1, 0, 2, 0, 7, 0]);
    out.push((words.len() / 2) as u8);
    out.extend_from_slice(words);
    out.extend((bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
    framed(&out)
}

#[test]
fn version_one() {
    let exchange = [
        (
            ToServer,
            one(0x72, false, &[], b"\x02LANMAN1.0\0\x02NT LM 0.12\0"),
        ),
        (ToClient, one(0x72, true, &[1, 0], b"")),
        (
            ToServer,
            one(
                0x75,
                false,
                &[0xff, 0, 0, 0, 0, 0, 1, 0],
                b"\0\\\\srv\\IPC$\0?????\0",
            ),
        ),
        (
            ToClient,
            one(0x75, true, &[0xff, 0, 0, 0, 0, 0], b"IPC\0\0"),
        ),
    ];
    let mut feed = Feed::new(&SMB, 6, 139);
    for (direction, bytes) in &exchange {
        feed.give(*direction, bytes);
    }
    let logged = feed.logged(&SMB);
    assert_eq!(logged[0]["smb"]["dialect"], json!("NT LM 0.12"));
    assert_eq!(
        logged[0]["smb"]["client_dialects"],
        json!(["LANMAN1.0", "NT LM 0.12"])
    );
    assert_eq!(
        logged[1]["smb"]["command"],
        json!("SMB1_COMMAND_TREE_CONNECT_ANDX")
    );
    assert_eq!(logged[1]["smb"]["named_pipe"], json!("\\srv\\IPC$"));
    assert_eq!(
        logged[1]["smb"]["service"],
        json!({"request": "?????", "response": "IPC"})
    );
    let exchange: Vec<_> = exchange.iter().map(|(d, b)| (*d, b.as_slice())).collect();
    chunking_never_matters(&SMB, 139, &exchange);
}

#[test]
fn probing() {
    let key = FlowKey::default();
    assert_eq!(SMB.probe(ToServer, &tree_request("x"), &key), Probe::Match);
    assert_eq!(
        SMB.probe(ToClient, &tree_request("x"), &key),
        Probe::MatchReversed
    );
    assert_eq!(
        SMB.probe(ToServer, b"GET / HTTP/1.0\r\n", &key),
        Probe::NotMine
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..8)) {
        survives(&SMB, 6, 445, &pieces);
    }

    #[test]
    fn arbitrary_bodies(
        commands in prop::collection::vec((any::<bool>(), 0_u16..20, 0_u64..4, prop::collection::vec(any::<u8>(), 0..200)), 1..12)
    ) {
        let pieces: Vec<_> = commands
            .iter()
            .flat_map(|(response, command, id, body)| {
                let words = body.get(..body.len().min(60) & !1).unwrap_or_default();
                let old = [0x72, 0x73, 0x75, 0xa2, 0x2e, 0x2f, 0x0b, 0x2c, 0x04, 0x25, 0x07];
                let old = old[usize::from(*command) % old.len()];
                [(*response, two(*command, *response, *id, 0, body)), (*response, one(old, *response, words, body))]
            })
            .collect();
        survives(&SMB, 6, 445, &pieces);
    }
}
