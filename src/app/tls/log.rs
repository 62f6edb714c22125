//! EVE's `tls` object: the extended set of fields, which is the default.

use super::certificate::{Leaf, iso};
use super::{TlsTx, version};
use crate::alert::Json;
use crate::packet::Direction;

/// `"tls":{…}`.
pub(super) fn tls(tx: &TlsTx, json: &mut Json<'_>) {
    let (client, server) = (tx.side(Direction::ToServer), tx.side(Direction::ToClient));
    json.object("tls");
    if let Some(leaf) = &server.chain.leaf {
        json.str("subject", &leaf.subject)
            .str("issuerdn", &leaf.issuer);
        if !leaf.names.is_empty() {
            json.array("subjectaltname");
            for name in &leaf.names {
                json.text(name);
            }
            json.end_array();
        }
    } else if tx.resumed && server.hello.is_some() && !tx.without_certificate {
        json.bool("session_resumed", true);
    }
    if let Some(leaf) = &server.chain.leaf {
        json.str("serial", &leaf.serial)
            .str("fingerprint", &leaf.fingerprint);
    }
    if let Some(sni) = client.hello.as_ref().and_then(|h| h.sni.as_ref()) {
        json.str("sni", sni);
    }
    let number = if server.version != 0 {
        server.version
    } else {
        client.version
    };
    json.str("version", version::name(number));
    if let Some(leaf) = &server.chain.leaf {
        validity(leaf, json);
    }
    for (key, side) in [("ja3", client), ("ja3s", server)] {
        if let Some((text, digest)) = &side.ja3 {
            json.object(key)
                .str("hash", digest)
                .str("string", text)
                .end();
        }
    }
    if let Some(ja4) = &client.ja4 {
        json.str("ja4", ja4);
    }
    for (key, side) in [("client_alpns", client), ("server_alpns", server)] {
        let alpns = side
            .hello
            .as_ref()
            .map(|h| h.alpns.as_slice())
            .unwrap_or_default();
        if !alpns.is_empty() {
            json.array(key);
            for alpn in alpns {
                json.text(alpn);
            }
            json.end_array();
        }
    }
    if let Some(leaf) = &client.chain.leaf {
        json.object("client")
            .str("subject", &leaf.subject)
            .str("issuerdn", &leaf.issuer);
        json.str("fingerprint", &leaf.fingerprint)
            .str("serial", &leaf.serial);
        validity(leaf, json);
        json.end();
    }
    if let Some(from) = tx.from {
        json.str("from_proto", from.name());
    }
    json.end();
}

fn validity(leaf: &Leaf, json: &mut Json<'_>) {
    if leaf.not_before != 0 {
        json.str("notbefore", iso(leaf.not_before));
    }
    if leaf.not_after != 0 {
        json.str("notafter", iso(leaf.not_after));
    }
}
