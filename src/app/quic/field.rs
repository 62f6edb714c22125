//! The rule keywords of QUIC.

use super::QuicTx;
use crate::app::{Access, Field, FieldDirection, Transaction};
use crate::packet::Direction;

fn of(tx: &dyn Transaction, direction: Direction) -> Option<&QuicTx> {
    tx.as_any()
        .downcast_ref::<QuicTx>()
        .filter(|tx| tx.direction == direction)
}

fn version<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    scratch: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    scratch.clear();
    scratch.extend_from_slice(&of(tx, d)?.version.to_be_bytes());
    Some(scratch)
}

fn sni<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx, d)?.sni.as_deref()
}

fn agent<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx, d)?.agent.as_deref()
}

fn cyu_hash<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    of(tx, d)?.cyu.get(index).map(|(_, hash)| hash.as_bytes())
}

fn cyu_string<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    of(tx, d)?.cyu.get(index).map(|(text, _)| text.as_bytes())
}

fn ja3_hash<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx, d)?.ja3.as_ref().map(|(_, hash)| hash.as_bytes())
}

fn ja3_string<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx, d)?.ja3.as_ref().map(|(text, _)| text.as_bytes())
}

fn ja4<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx, d)?.ja4.as_ref().map(String::as_bytes)
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc).at(1).also(aliases)
}

use FieldDirection::{Both, ToClient, ToServer};

pub(super) static FIELDS: &[Field] = &[
    field(
        "quic.version",
        &[],
        Both,
        Access::Bytes(version),
        "version of the packet, 4 bytes",
    ),
    field(
        "quic.sni",
        &[],
        ToServer,
        Access::Bytes(sni),
        "server name the client asks for",
    ),
    field(
        "quic.ua",
        &[],
        ToServer,
        Access::Bytes(agent),
        "user agent id of Google's QUIC",
    ),
    field(
        "quic.cyu.hash",
        &[],
        ToServer,
        Access::Multi(cyu_hash),
        "CYU fingerprint, MD5",
    ),
    field(
        "quic.cyu.string",
        &[],
        ToServer,
        Access::Multi(cyu_string),
        "CYU fingerprint, in full",
    ),
    field(
        "ja3.hash",
        &["ja3_hash"],
        ToServer,
        Access::Bytes(ja3_hash),
        "JA3 of the client, MD5",
    ),
    field(
        "ja3.string",
        &["ja3_string"],
        ToServer,
        Access::Bytes(ja3_string),
        "JA3 of the client, in full",
    ),
    field(
        "ja3s.hash",
        &[],
        ToClient,
        Access::Bytes(ja3_hash),
        "JA3S of the server, MD5",
    ),
    field(
        "ja3s.string",
        &[],
        ToClient,
        Access::Bytes(ja3_string),
        "JA3S of the server, in full",
    ),
    field(
        "ja4.hash",
        &["ja4_hash"],
        ToServer,
        Access::Bytes(ja4),
        "JA4 of the client",
    ),
];
