//! IKE in EVE, record version 2.

use super::one::{Attribute, Shown};
use super::{IkeSession, IkeTx};
use crate::alert::Json;
use crate::packet::Direction;

/// Kinds of attributes that EVE shows (RFC 2409 appendix A).
const KINDS: [(u16, &str); 7] = [
    (1, "alg_enc"),
    (2, "alg_hash"),
    (3, "alg_auth"),
    (4, "alg_dh"),
    (11, "sa_life_type"),
    (12, "sa_life_duration"),
    (14, "sa_key_length"),
];

/// Names of values by kind (RFC 2409 appendix A and IANA's registry), as EVE spells them.
const VALUES: &[(u16, u32, &str)] = &[
    (1, 1, "EncDesCbc"),
    (1, 2, "EncIdeaCbc"),
    (1, 3, "EncBlowfishCbc"),
    (1, 4, "EncRc5R16B64Cbc"),
    (1, 5, "EncTripleDesCbc"),
    (1, 6, "EncCastCbc"),
    (1, 7, "EncAesCbc"),
    (1, 8, "EncCamelliaCbc"),
    (2, 1, "HashMd5"),
    (2, 2, "HashSha"),
    (2, 3, "HashTiger"),
    (2, 4, "HashSha2_256"),
    (2, 5, "HashSha2_384"),
    (2, 6, "HashSha2_512"),
    (3, 1, "AuthPreSharedKey"),
    (3, 2, "AuthDssSignatures"),
    (3, 3, "AuthRsaSignatures"),
    (3, 4, "AuthEncryptionWithRsa"),
    (3, 5, "AuthRevisedEncryptionWithRsa"),
    (4, 1, "GroupDefault768BitModp"),
    (4, 2, "GroupAlternate1024BitModpGroup"),
    (4, 3, "GroupEc2nOnGp2p155"),
    (4, 4, "GroupEc2nOnGp2p185"),
    (4, 5, "GroupModp1536Bit"),
    (4, 14, "GroupModp2048Bit"),
    (4, 15, "GroupModp3072Bit"),
    (4, 16, "GroupModp4096Bit"),
    (4, 17, "GroupModp6144Bit"),
    (4, 18, "GroupModp8192Bit"),
    (4, 19, "GroupRandomEcp256"),
    (4, 20, "GroupRandomEcp384"),
    (4, 21, "GroupRandomEcp521"),
    (11, 1, "LifeTypeSeconds"),
    (11, 2, "LifeTypeKilobytes"),
];

/// Payloads of version 1 (RFC 2408 §3.1, RFC 3947, RFC 6407).
const ONE: [(u8, &str); 21] = [
    (1, "SecurityAssociation"),
    (2, "Proposal"),
    (3, "Transform"),
    (4, "KeyExchange"),
    (5, "Identification"),
    (6, "Certificate"),
    (7, "CertificateRequest"),
    (8, "Hash"),
    (9, "Signature"),
    (10, "Nonce"),
    (11, "Notification"),
    (12, "Delete"),
    (13, "VendorID"),
    (15, "SaKekPayload"),
    (16, "SaTekPayload"),
    (17, "KeyDownload"),
    (18, "SequenceNumber"),
    (19, "ProofOfPossession"),
    (20, "NatDiscovery"),
    (21, "NatOriginalAddress"),
    (22, "GroupAssociatedPolicy"),
];

/// Payloads of version 2 (RFC 7296 §3.2).
const TWO: [(u8, &str); 16] = [
    (33, "SecurityAssociation"),
    (34, "KeyExchange"),
    (35, "IdentInitiator"),
    (36, "IdentResponder"),
    (37, "Certificate"),
    (38, "CertificateRequest"),
    (39, "Authentication"),
    (40, "Nonce"),
    (41, "Notify"),
    (42, "Delete"),
    (43, "VendorID"),
    (44, "TrafficSelectorInitiator"),
    (45, "TrafficSelectorResponder"),
    (46, "EncryptedAndAuthenticated"),
    (47, "Configuration"),
    (48, "ExtensibleAuthentication"),
];

/// Notifications of version 2 (RFC 7296 §3.10.1); those below 16,384 are errors.
const NOTIFICATIONS: [(u16, &str); 29] = [
    (1, "UNSUPPORTED_CRITICAL_PAYLOAD"),
    (4, "INVALID_IKE_SPI"),
    (5, "INVALID_MAJOR_VERSION"),
    (7, "INVALID_SYNTAX"),
    (9, "INVALID_MESSAGE_ID"),
    (11, "INVALID_SPI"),
    (14, "NO_PROPOSAL_CHOSEN"),
    (17, "INVALID_KE_PAYLOAD"),
    (24, "AUTHENTICATION_FAILED"),
    (34, "SINGLE_PAIR_REQUIRED"),
    (35, "NO_ADDITIONAL_SAS"),
    (36, "INTERNAL_ADDRESS_FAILURE"),
    (37, "FAILED_CP_REQUIRED"),
    (38, "TS_UNACCEPTABLE"),
    (39, "INVALID_SELECTORS"),
    (43, "TEMPORARY_FAILURE"),
    (44, "CHILD_SA_NOT_FOUND"),
    (16384, "INITIAL_CONTACT"),
    (16385, "SET_WINDOW_SIZE"),
    (16386, "ADDITIONAL_TS_POSSIBLE"),
    (16387, "IPCOMP_SUPPORTED"),
    (16388, "NAT_DETECTION_SOURCE_IP"),
    (16389, "NAT_DETECTION_DESTINATION_IP"),
    (16390, "COOKIE"),
    (16391, "USE_TRANSPORT_MODE"),
    (16392, "HTTP_CERT_LOOKUP_SUPPORTED"),
    (16393, "REKEY_SA"),
    (16394, "ESP_TFC_PADDING_NOT_SUPPORTED"),
    (16395, "NON_FIRST_FRAGMENTS_ALSO"),
];

fn attributes(list: &[Attribute], json: &mut Json<'_>) {
    for attribute in list {
        let Some((_, name)) = KINDS.iter().find(|(kind, _)| *kind == attribute.kind) else {
            continue;
        };
        let value = VALUES
            .iter()
            .find(|(kind, number, _)| *kind == attribute.kind && Some(*number) == attribute.number)
            .map_or("Unknown", |(.., value)| value);
        json.begin().str("key", name).str("value", value);
        match attribute.number {
            Some(number) => json.num("raw", number),
            None => json.hex("raw", &attribute.bytes, None),
        };
        json.end();
    }
}

fn shows(list: &[Attribute]) -> bool {
    list.iter()
        .any(|attribute| KINDS.iter().any(|(kind, _)| *kind == attribute.kind))
}

/// Writes `"ike":{…}`.
pub(super) fn write(session: &IkeSession, tx: &IkeTx, json: &mut Json<'_>) {
    let header = &tx.header;
    json.object("ike")
        .num("_v", 2)
        .num("version_major", header.version >> 4)
        .num("version_minor", header.version & 15)
        .str("init_spi", format!("{:016x}", header.initiator))
        .str("resp_spi", format!("{:016x}", header.responder))
        .num("message_id", header.message)
        .num("exchange_type", header.exchange);
    if tx.is_one() {
        if shows(&tx.chosen) {
            json.array("attributes");
            attributes(&tx.chosen, json);
            json.end_array();
        }
    } else {
        // RFC 7296 §3.1: the initiator's flag.
        let initiator = header.flags & 8 != 0;
        json.str("role", if initiator { "initiator" } else { "responder" });
    }
    let names: &[(u8, &str)] = if tx.is_one() { &ONE } else { &TWO };
    let known = |kind: &u8| names.iter().find(|(number, _)| number == kind);
    if tx.payloads.iter().any(|kind| known(kind).is_some()) {
        json.array("payload");
        for (_, name) in tx.payloads.iter().filter_map(known) {
            json.text(name);
        }
        json.end_array();
    }
    if tx.is_one() {
        one(session, tx, json);
    } else {
        let errors = tx.notify.iter().filter(|kind| **kind < 16_384).count();
        json.object("ikev2").num("errors", errors as u64);
        if !tx.notify.is_empty() {
            json.array("notify");
            for kind in &tx.notify {
                match NOTIFICATIONS.iter().find(|(number, _)| number == kind) {
                    Some((_, name)) => json.text(name),
                    None => json.text(format!("NotifyType({kind})")),
                };
            }
            json.end_array();
        }
        json.end();
    }
    json.end();
}

fn one(session: &IkeSession, tx: &IkeTx, json: &mut Json<'_>) {
    json.object("ikev1");
    if let Some(doi) = session.doi {
        json.num("doi", doi);
    }
    let encrypted = tx.header.flags & 1 != 0;
    json.bool("encrypted_payloads", encrypted);
    if !encrypted {
        let [client, server] = &session.shown;
        json.object("client");
        shown(client, json);
        let proposes = tx.direction == Direction::ToServer;
        if proposes && tx.transforms.iter().any(|list| shows(list)) {
            json.array("proposals");
            for list in &tx.transforms {
                attributes(list, json);
            }
            json.end_array();
        }
        json.end();
        if !server.key_exchange.is_empty() || !server.nonce.is_empty() {
            json.object("server");
            shown(server, json);
            json.end();
        }
        if !tx.shown.vendors.is_empty() {
            json.array("vendor_ids");
            for vendor in &tx.shown.vendors {
                json.text(hex(vendor));
            }
            json.end_array();
        }
    }
    json.end();
}

fn shown(side: &Shown, json: &mut Json<'_>) {
    if !side.key_exchange.is_empty() {
        json.hex("key_exchange_payload", &side.key_exchange, None)
            .num(
                "key_exchange_payload_length",
                side.key_exchange.len() as u64,
            );
    }
    if !side.nonce.is_empty() {
        json.hex("nonce_payload", &side.nonce, None)
            .num("nonce_payload_length", side.nonce.len() as u64);
    }
}

/// Bytes as hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
