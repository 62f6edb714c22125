//! EVE's `ldap` object.

use super::LdapTx;
use super::message::{Attribute, LdapResult, Message, OPERATIONS, Operation, RESULTS};
use crate::alert::Json;

/// `"ldap":{…}`.
pub(super) fn ldap(tx: &LdapTx, json: &mut Json<'_>) {
    json.object("ldap");
    if let Some(request) = &tx.request {
        json.object("request").num("message_id", request.id);
        message(request, json);
        json.end();
    }
    if !tx.responses.is_empty() {
        json.array("responses");
        for response in &tx.responses {
            json.begin();
            if tx.request.is_none() {
                json.num("message_id", response.id);
            }
            message(response, json);
            json.end();
        }
        json.end_array();
    }
    json.end();
}

/// Controls and filters are left out: EVE's schema does not know them.
fn message(message: &Message, json: &mut Json<'_>) {
    let tag = u64::from(message.tag);
    let name = OPERATIONS
        .iter()
        .find(|(_, t)| *t == tag)
        .map_or("unknown", |(name, _)| name);
    json.str("operation", name);
    if message.operation != Operation::Other {
        json.object(name);
        operation(message, json);
        json.end();
    }
}

fn operation(message: &Message, json: &mut Json<'_>) {
    match &message.operation {
        Operation::Bind(version, name, sasl) => {
            json.num("version", *version).str("name", name);
            if let Some((mechanism, credentials)) = sasl {
                json.object("sasl").str("mechanism", mechanism);
                if let Some(credentials) = credentials {
                    json.hex("credentials", credentials, None);
                }
                json.end();
            }
        }
        Operation::Result(r) => result(message.tag, r, json),
        Operation::Search {
            base,
            numbers: [scope, deref, size, time],
            types_only,
            attributes,
            ..
        } => {
            json.str("base_object", base)
                .num("scope", *scope)
                .num("deref_alias", *deref);
            json.num("size_limit", *size)
                .num("time_limit", *time)
                .bool("types_only", *types_only);
            strings("attributes", attributes, json);
        }
        Operation::Entry(name, attributes) => {
            let (key, kind) = if message.tag == 8 {
                ("entry", "name")
            } else {
                ("base_object", "type")
            };
            json.str(key, name);
            if !attributes.is_empty() {
                json.array("attributes");
                for (attribute, values) in attributes {
                    json.begin().str(kind, attribute);
                    strings("values", values, json);
                    json.end();
                }
                json.end_array();
            }
        }
        Operation::Modify(name, changes) => modify(name, changes, json),
        Operation::Delete(name) => {
            json.str("dn", name);
        }
        Operation::Rename(name, rdn, old, superior) => {
            json.str("entry", name)
                .str("new_rdn", rdn)
                .bool("delete_old_rdn", *old);
            if let Some(superior) = superior {
                json.str("new_superior", superior);
            }
        }
        Operation::Compare(name, attribute, value) => {
            json.str("entry", name).object("attribute_value_assertion");
            json.str("description", attribute).str("value", value).end();
        }
        Operation::Extended(name, value) => named(name.as_deref(), value.as_deref(), json),
        Operation::Other => {}
    }
}

fn named(name: Option<&[u8]>, value: Option<&[u8]>, json: &mut Json<'_>) {
    if let Some(name) = name {
        json.str("name", name);
    }
    if let Some(value) = value {
        json.str("value", value);
    }
}

fn result(tag: u8, result: &LdapResult, json: &mut Json<'_>) {
    match RESULTS
        .iter()
        .find(|(_, code)| *code == u64::from(result.code))
    {
        Some((name, _)) => json.str("result_code", name),
        None => json.str("result_code", format!("unknown-{}", result.code)),
    };
    json.str("matched_dn", &result.dn)
        .str("message", &result.message);
    match (&result.value, tag) {
        (Some(credentials), 1) => {
            json.hex("server_sasl_creds", credentials, None);
        }
        (value, _) => named(result.name.as_deref(), value.as_deref(), json),
    }
}

fn modify(name: &[u8], changes: &[(u32, Attribute)], json: &mut Json<'_>) {
    json.str("object", name);
    if changes.is_empty() {
        return;
    }
    json.array("changes");
    for (operation, (attribute, values)) in changes {
        json.begin();
        match operation {
            0 => json.str("operation", "add"),
            1 => json.str("operation", "delete"),
            2 => json.str("operation", "replace"),
            other => json.str("operation", other.to_string()),
        };
        json.object("modification").str("attribute_type", attribute);
        strings("attribute_values", values, json);
        json.end().end();
    }
    json.end_array();
}

fn strings(key: &str, list: &[Vec<u8>], json: &mut Json<'_>) {
    if list.is_empty() {
        return;
    }
    json.array(key);
    for text in list {
        json.text(text);
    }
    json.end_array();
}
