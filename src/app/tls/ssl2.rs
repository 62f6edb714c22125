//! SSL 2 records, of which one is still met: the hello by which old clients offered TLS (RFC 5246 appendix E.2).
//!
//! A record's length is 15 bits (2 bytes of header) or 14 bits with padding (3 bytes); its first byte is the type.

use super::record::Broken;
use super::{CLIENT_HELLO_DONE, SERVER_CERT_DONE, SERVER_HELLO, TlsTx, version};
use crate::app::reader::Reader;
use crate::packet::Direction;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO_MESSAGE: u8 = 4;
const CLIENT_CERTIFICATE: u8 = 8;

/// Whether bytes begin like a client hello: strict, since it is asked of any flow.
///
/// ```text
/// 1LLLLLLL LLLLLLLL  type=1  version  cipher_len  session_len  challenge_len
/// ```
pub(super) fn is_client_hello(bytes: &[u8]) -> bool {
    let mut r = Reader::new(bytes);
    let (Some(len), Some(kind), Some(offered)) = (r.u16(), r.u8(), r.u16()) else {
        return false;
    };
    let (Some(ciphers), Some(session), Some(challenge)) = (r.u16(), r.u16(), r.u16()) else {
        return false;
    };
    let body = 9 + usize::from(ciphers) + usize::from(session) + usize::from(challenge);
    len & 0x8000 != 0
        && kind == CLIENT_HELLO
        && (offered == 2 || version::is_valid(offered))
        && ciphers % 3 == 0
        && body == usize::from(len & 0x7fff)
}

/// Takes one record; answers how many bytes it lacks.
pub(super) fn record(
    direction: Direction,
    r: &mut Reader<'_>,
    tx: &mut TlsTx,
) -> Result<usize, Broken> {
    let mut whole = *r;
    let Some(first) = whole.u16() else {
        return Ok(1);
    };
    let (len, padded) = if first & 0x8000 != 0 {
        (first & 0x7fff, false)
    } else {
        (first & 0x3fff, true)
    };
    if len == 0 {
        tx.raise("INVALID_SSLV2_HEADER");
        return Err(Broken);
    }
    if padded && whole.u8().is_none() {
        return Ok(1);
    }
    let len = usize::from(len);
    let Some(body) = whole.take(len) else {
        return Ok(len - whole.left());
    };
    *r = whole;
    tx.side_mut(direction).version = version::SSL2;
    tx.state.touch(direction);
    let mut body = Reader::new(body);
    match body.u8() {
        Some(0) => tx.raise("ERROR_MESSAGE_ENCOUNTERED"),
        Some(CLIENT_HELLO) => {
            let offered = body.u16();
            let (Some(offered), 4..) = (offered, body.left()) else {
                tx.raise("INVALID_SSL_RECORD");
                return Err(Broken);
            };
            tx.side_mut(direction).version = offered;
            tx.advance(Direction::ToServer, CLIENT_HELLO_DONE);
        }
        Some(SERVER_HELLO_MESSAGE) => tx.advance(Direction::ToClient, SERVER_HELLO),
        Some(CLIENT_CERTIFICATE) => tx.advance(Direction::ToClient, SERVER_CERT_DONE),
        _ => {}
    }
    Ok(0)
}
