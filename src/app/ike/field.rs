//! The rule keywords of IKE.

use super::log::hex;
use super::of;
use crate::app::number::Comparison;
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

/// Attributes of the chosen transform (RFC 2409 appendix A) by their names in rules.
const ATTRIBUTES: [(&str, u16); 10] = [
    ("alg_enc", 1),
    ("alg_hash", 2),
    ("alg_auth", 3),
    ("alg_dh", 4),
    ("sa_group_type", 5),
    ("sa_life_type", 11),
    ("sa_life_duration", 12),
    ("alg_prf", 13),
    ("sa_key_length", 14),
    ("sa_field_size", 15),
];

/// `ike.chosen_sa_attribute:alg_hash=2`.
#[derive(Debug)]
struct ChosenIs {
    kind: u16,
    comparison: Comparison,
}

fn chosen(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = argument.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .ok_or("an attribute and its value are expected")?;
    let (name, rest) = text.split_at(end);
    let (_, kind) = ATTRIBUTES
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("\"{name}\" is not an attribute of a security association"))?;
    Ok(Box::new(ChosenIs {
        kind: *kind,
        comparison: Comparison::parse(rest, &[], u64::from(u32::MAX))?,
    }))
}

impl FieldTest for ChosenIs {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let Some(tx) = of(tx).filter(|_| direction == Direction::ToClient) else {
            return false;
        };
        let number = if tx.is_one() {
            tx.chosen
                .iter()
                .find(|attribute| attribute.kind == self.kind)
                .and_then(|attribute| attribute.number)
        } else {
            let chosen = &tx.chosen_two;
            let id = match self.kind {
                1 => chosen.encryption,
                3 => chosen.integrity,
                4 => chosen.group,
                13 => chosen.prf,
                _ => None,
            };
            id.map(u32::from)
        };
        number.is_some_and(|number| self.comparison.holds(number.into()))
    }
}

fn filled(text: String, out: &mut Vec<u8>) -> Option<&[u8]> {
    out.extend_from_slice(text.as_bytes());
    (!out.is_empty()).then_some(&out[..])
}

fn len(bytes: &[u8], index: usize) -> Option<u64> {
    (index == 0 && !bytes.is_empty()).then_some(bytes.len() as u64)
}

pub(super) static FIELDS: &[Field] = &[
    Field::new(
        "ike.init_spi",
        FieldDirection::Both,
        Access::Bytes(|tx, _, out| filled(format!("{:016x}", of(tx)?.header.initiator), out)),
        "SPI of the initiator, in hexadecimal",
    ),
    Field::new(
        "ike.resp_spi",
        FieldDirection::Both,
        Access::Bytes(|tx, _, out| filled(format!("{:016x}", of(tx)?.header.responder), out)),
        "SPI of the responder, in hexadecimal",
    ),
    Field::number(
        "ike.exchtype",
        FieldDirection::Both,
        |tx, _, index| {
            of(tx)
                .filter(|_| index == 0)
                .map(|tx| tx.header.exchange.into())
        },
        255,
        "type of exchange",
    ),
    Field::new(
        "ike.chosen_sa_attribute",
        FieldDirection::ToClient,
        Access::Test(chosen),
        "an attribute that the responder chose: name, comparison, number",
    ),
    Field::new(
        "ike.vendor",
        FieldDirection::ToServer,
        Access::Multi(|tx, _, index, out| {
            let vendor = of(tx)?.shown.vendors.get(index)?;
            filled(hex(vendor), out)
        }),
        "a vendor id of the initiator, in hexadecimal",
    ),
    Field::new(
        "ike.key_exchange_payload",
        FieldDirection::Both,
        Access::Bytes(|tx, _, _| {
            let key = &of(tx)?.shown.key_exchange;
            (!key.is_empty()).then_some(&key[..])
        }),
        "public value of the key exchange",
    ),
    Field::number(
        "ike.key_exchange_payload_length",
        FieldDirection::Both,
        |tx, _, index| len(&of(tx)?.shown.key_exchange, index),
        u32::MAX as u64,
        "length of the key exchange's public value",
    ),
    Field::new(
        "ike.nonce_payload",
        FieldDirection::Both,
        Access::Bytes(|tx, _, _| {
            let nonce = &of(tx)?.shown.nonce;
            (!nonce.is_empty()).then_some(&nonce[..])
        }),
        "nonce",
    ),
    Field::number(
        "ike.nonce_payload_length",
        FieldDirection::Both,
        |tx, _, index| len(&of(tx)?.shown.nonce, index),
        u32::MAX as u64,
        "length of the nonce",
    ),
];
