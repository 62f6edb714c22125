//! EVE's `quic` object.

use super::QuicTx;
use crate::alert::Json;
use crate::packet::Direction;

/// `"quic":{…}`.
pub(super) fn quic(tx: &QuicTx, json: &mut Json<'_>) {
    json.object("quic").str("version", version(tx.version));
    if let Some(sni) = &tx.sni {
        json.str("sni", sni);
    }
    if let Some(agent) = &tx.agent {
        json.str("ua", agent);
    }
    if !tx.cyu.is_empty() {
        json.array("cyu");
        for (text, hash) in &tx.cyu {
            json.begin().str("hash", hash).str("string", text).end();
        }
        json.end_array();
    }
    if let Some((text, hash)) = &tx.ja3 {
        let key = if tx.direction == Direction::ToServer {
            "ja3"
        } else {
            "ja3s"
        };
        json.object(key).str("hash", hash).str("string", text).end();
    }
    if let Some(ja4) = &tx.ja4 {
        json.str("ja4", ja4);
    }
    if !tx.extensions.is_empty() {
        json.array("extensions");
        for (kind, values) in &tx.extensions {
            json.begin();
            if let Some(name) = name(*kind) {
                json.str("name", name);
            }
            json.num("type", *kind);
            if !values.is_empty() {
                json.array("values");
                for value in values {
                    json.text(value);
                }
                json.end_array();
            }
            json.end();
        }
        json.end_array();
    }
    json.end();
}

/// `Q046`, `v2`, or the number in hexadecimal.
fn version(version: u32) -> String {
    match version {
        super::crypto::V2 => "v2".into(),
        0x5130_3339 | 0x5130_3433..=0x5130_3436 => {
            String::from_utf8_lossy(&version.to_be_bytes()).into_owned()
        }
        other => format!("{other:x}"),
    }
}

/// Names of the TLS extensions (IANA).
fn name(kind: u16) -> Option<&'static str> {
    const NAMES: [&str; 60] = [
        "server_name",
        "max_fragment_length",
        "client_certificate_url",
        "trusted_ca_keys",
        "truncated_hmac",
        "status_request",
        "user_mapping",
        "client_authz",
        "server_authz",
        "cert_type",
        "supported_groups",
        "ec_point_formats",
        "srp",
        "signature_algorithms",
        "use_srtp",
        "heartbeat",
        "alpn",
        "status_request_v2",
        "signed_certificate_timestamp",
        "client_certificate_type",
        "server_certificate_type",
        "padding",
        "encrypt_then_mac",
        "extended_master_secret",
        "token_binding",
        "cached_info",
        "tls_lts",
        "compress_certificate",
        "record_size_limit",
        "pwd_protect",
        "pwd_clear",
        "password_salt",
        "ticket_pinning",
        "tls_cert_with_extern_psk",
        "delegated_credentials",
        "session_ticket",
        "tlmsp",
        "tlmsp_proxying",
        "tlmsp_delegate",
        "supported_ekt_ciphers",
        "",
        "pre_shared_key",
        "early_data",
        "supported_versions",
        "cookie",
        "psk_key_exchange_modes",
        "",
        "certificate_authorities",
        "oid_filters",
        "post_handshake_auth",
        "signature_algorithms_cert",
        "key_share",
        "transparency_info",
        "connection_id_deprecated",
        "connection_id",
        "external_id_hash",
        "external_session_id",
        "quic_transport_parameters",
        "ticket_request",
        "dnssec_chain",
    ];
    match kind {
        13_172 => Some("next_protocol_negotiation"),
        65_281 => Some("renegotiation_info"),
        kind => NAMES
            .get(usize::from(kind))
            .copied()
            .filter(|n| !n.is_empty()),
    }
}
