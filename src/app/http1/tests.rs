//! Whole exchanges through the session, cut at every offset.

use super::session::Http1;
use super::tx::{Tx, part};
use crate::app::{FlowInfo, Input, Limits, Parsed, Session, Transaction};
use crate::packet::{Direction, FlowKey, Timestamp};

fn flow() -> FlowInfo {
    FlowInfo {
        key: FlowKey::default(),
        ts: Timestamp(0),
        flow_id: 1,
        inline: false,
        original: None,
    }
}

fn feed(session: &mut Http1, direction: Direction, bytes: &[u8], end: bool) -> Parsed {
    session.parse(direction, Input { bytes, gap: 0, end }, &flow())
}

fn session() -> Http1 {
    Http1::new(&Limits::default())
}

/// Everything that rules, logs and files see of a session's transactions.
fn picture(session: &Http1) -> Vec<String> {
    let text = |b: Option<&[u8]>| b.map_or("-".to_owned(), |b| b.escape_ascii().to_string());
    session
        .shared
        .txs
        .iter()
        .map(|tx: &Tx| {
            let mut events: Vec<&str> = tx
                .state
                .events
                .iter()
                .map(|e| super::event::NAMES[usize::from(*e)])
                .collect();
            events.sort_unstable();
            let files: Vec<String> = [Direction::ToServer, Direction::ToClient]
                .into_iter()
                .flat_map(|d| tx.files(d).expect("files").iter())
                .map(|f| {
                    format!(
                        "{}:{}:{:?}:{}",
                        f.name.escape_ascii(),
                        f.size,
                        f.state,
                        f.window().bytes.escape_ascii()
                    )
                })
                .collect();
            format!(
                "{}/{} {} {} {} | {} | {} {} | {} | {:?} {:?}",
                tx.request.progress,
                tx.response.progress,
                text(part(&tx.request.line, tx.request.method)),
                tx.request.target.normalized.escape_ascii(),
                text(tx.request.host.as_deref()),
                tx.request.headers.block().escape_ascii(),
                text(part(&tx.response.line, tx.response.status_text)),
                text(part(&tx.response.line, tx.response.message)),
                tx.response.headers.block().escape_ascii(),
                files,
                events,
            )
        })
        .collect()
}

/// The picture after an exchange, the client's bytes first.
fn exchange(request: &[u8], response: &[u8], chunk: usize) -> Vec<String> {
    let mut session = session();
    for piece in request.chunks(chunk) {
        feed(&mut session, Direction::ToServer, piece, false);
    }
    for piece in response.chunks(chunk) {
        feed(&mut session, Direction::ToClient, piece, false);
    }
    feed(&mut session, Direction::ToServer, b"", true);
    feed(&mut session, Direction::ToClient, b"", true);
    picture(&session)
}

const REQUEST: &[u8] = b"GET /a%2e/b/../c.txt?q=%41 HTTP/1.1\r\nHost: Example.COM:8080\r\nCookie: a=b\r\nX: 1\r\nx: 2\r\n\r\n";

#[test]
fn cutting_an_exchange_anywhere_changes_nothing() {
    let responses: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: z\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5;x=y\nhello\n0\nT: r\n\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n folded\r\n\r\nuntil close",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\rContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ];
    for response in responses {
        let whole = exchange(REQUEST, response, usize::MAX >> 1);
        assert_eq!(whole.len(), 1, "{whole:?}");
        assert!(
            whole[0].starts_with("5/5 GET /a./c.txt?q=A example.com"),
            "{whole:?}"
        );
        for chunk in 1..REQUEST.len().max(response.len()) {
            assert_eq!(exchange(REQUEST, response, chunk), whole, "{chunk}");
        }
    }
}

#[test]
fn uploads_become_files_whatever_the_cut() {
    let body = "--B\r\nContent-Disposition: form-data; name=f; filename=\"e.php\"\r\n\r\n<?php ?>\r\n--B--\r\n";
    let multipart = format!(
        "POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let put = "PUT /x/y.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let response = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    for (request, file) in [
        (multipart.as_str(), "e.php:8:Closed:<?php ?>"),
        (put, "/x/y.txt:5:Closed:abcde"),
    ] {
        let whole = exchange(request.as_bytes(), response, usize::MAX >> 1);
        assert!(whole[0].contains(file), "{whole:?}");
        for chunk in 1..request.len() {
            assert_eq!(
                exchange(request.as_bytes(), response, chunk),
                whole,
                "{chunk}"
            );
        }
    }
}

#[test]
fn pipelined_requests_meet_their_responses() {
    let requests = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxyGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let responses = b"HTTP/1.1 201 A\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 202 B\r\nContent-Length: 1\r\n\r\n2HTTP/1.1 203 C\r\nContent-Length: 1\r\n\r\n3";
    let whole = exchange(requests, responses, usize::MAX >> 1);
    assert_eq!(whole.len(), 3);
    for (tx, (uri, status)) in whole
        .iter()
        .zip([("/1", "201"), ("/2", "202"), ("/3", "203")])
    {
        assert!(tx.contains(uri) && tx.contains(status), "{tx}");
    }
    for chunk in 1..requests.len() {
        assert_eq!(exchange(requests, responses, chunk), whole, "{chunk}");
    }
}

#[test]
fn an_accepted_connect_hands_the_rest_to_another_protocol() {
    let mut session = session();
    let connect = b"CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n";
    // A blank line that follows is the request's; a hello sent at once is not.
    assert_eq!(
        feed(&mut session, Direction::ToServer, connect, false),
        Parsed::All
    );
    assert_eq!(
        feed(&mut session, Direction::ToServer, b"\x16\x03\x01", false),
        Parsed::NeedMore {
            consumed: 0,
            needed: 0
        }
    );
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    assert_eq!(
        feed(&mut session, Direction::ToClient, answer, false),
        Parsed::Switch {
            consumed: answer.len(),
            to: None
        }
    );
    let tx = session.shared.txs.iter().next().expect("a transaction");
    assert_eq!(
        (
            tx.request.host.as_deref(),
            tx.request.port,
            tx.response.progress
        ),
        (Some(&b"h.example"[..]), Some(443), 5)
    );
}

#[test]
fn a_response_without_request_is_a_transaction() {
    let mut session = session();
    feed(
        &mut session,
        Direction::ToClient,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        false,
    );
    let seen = picture(&session);
    assert!(
        seen[0].contains("5/5") && seen[0].contains("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST"),
        "{seen:?}"
    );
}

#[test]
fn a_gap_in_a_body_is_a_gap_in_its_file() {
    let mut session = session();
    feed(&mut session, Direction::ToServer, REQUEST, false);
    feed(
        &mut session,
        Direction::ToClient,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        false,
    );
    session.parse(
        Direction::ToClient,
        Input {
            bytes: b"ij",
            gap: 5,
            end: false,
        },
        &flow(),
    );
    let tx = session.shared.txs.iter().next().expect("a transaction");
    let file = tx
        .files(Direction::ToClient)
        .and_then(|f| f.get(0))
        .expect("a file");
    assert_eq!((file.size, file.gaps, tx.response.progress), (10, true, 5));
}

#[test]
fn too_many_transactions_and_endless_lines_end_the_session() {
    let mut flood = session();
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!((0..2000).any(|_| feed(&mut flood, Direction::ToServer, get, false) == Parsed::Error));
    assert!(flood.shared.txs.iter().count() <= super::session::TX_MAX);
    // Headers alone, pipelined and never answered, are bounded as well.
    let mut fat = session();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(15_000)
    );
    assert!(
        (0..400).any(
            |_| feed(&mut fat, Direction::ToServer, request.as_bytes(), false) == Parsed::Error
        )
    );
    for endless in [
        &b"x"[..],
        b"GET / HTTP/1.1\r\na: ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0",
    ] {
        let mut session = session();
        feed(&mut session, Direction::ToServer, endless, false);
        assert!((0..100).any(
            |_| feed(&mut session, Direction::ToServer, &[b'0'; 1000], false) == Parsed::Error
        ));
    }
}
