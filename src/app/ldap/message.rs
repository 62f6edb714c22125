//! LDAP messages (RFC 4511 §4): every operation, as far as rules and EVE look at them.
//!
//! ```text
//! LDAPMessage ::= SEQUENCE { messageID INTEGER, protocolOp CHOICE { … }, controls [0] Controls OPTIONAL }
//! ```
//! A message is bounded by the session (256 KiB); of lists the first 1,024 elements are kept.

use crate::app::ber::{
    self, ENUMERATED, OCTETS, SEQUENCE, context, element, integer, universal, unsigned,
};
use crate::app::reader::Reader;

const LIST_MAX: usize = 1024;

/// An attribute: type and values.
pub type Attribute = (Vec<u8>, Vec<Vec<u8>>);

/// A control: type, criticality, value.
pub type Control = (Vec<u8>, bool, Option<Vec<u8>>);

/// The outcome of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapResult {
    /// Result code.
    pub code: u32,
    /// The part of the name that was found.
    pub dn: Vec<u8>,
    /// Diagnostic message.
    pub message: Vec<u8>,
    /// Name of an extended response.
    pub name: Option<Vec<u8>>,
    /// Value of an extended response, SASL credentials of a bind response.
    pub value: Option<Vec<u8>>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bind: version, name, SASL mechanism and credentials.
    Bind(u32, Vec<u8>, Option<(Vec<u8>, Option<Vec<u8>>)>),
    /// Any response with a result.
    Result(LdapResult),
    /// Search.
    Search {
        /// Where.
        base: Vec<u8>,
        /// Scope, alias handling, size limit, time limit.
        numbers: [u32; 4],
        /// Without values.
        types_only: bool,
        /// Attribute that must be present, when that is the filter.
        present: Option<Vec<u8>>,
        /// Attributes wanted.
        attributes: Vec<Vec<u8>>,
    },
    /// SearchResultEntry, Add: name and attributes.
    Entry(Vec<u8>, Vec<Attribute>),
    /// Modify: name; operation and attribute of each change.
    Modify(Vec<u8>, Vec<(u32, Attribute)>),
    /// Delete: name.
    Delete(Vec<u8>),
    /// ModifyDN: name, new RDN, whether the old one goes, new superior.
    Rename(Vec<u8>, Vec<u8>, bool, Option<Vec<u8>>),
    /// Compare: name, attribute, value.
    Compare(Vec<u8>, Vec<u8>, Vec<u8>),
    /// Extended request, intermediate response: name and value.
    Extended(Option<Vec<u8>>, Option<Vec<u8>>),
    /// Unbind, abandon, references.
    Other,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: u32,
    /// Tag of the operation.
    pub tag: u8,
    /// The operation.
    pub operation: Operation,
    /// Controls, when there are any.
    pub controls: Option<Vec<Control>>,
    /// Bytes it took.
    pub len: usize,
}

/// Names of the operations, by tag.
pub static OPERATIONS: &[(&str, u64)] = &[
    ("bind_request", 0),
    ("bind_response", 1),
    ("unbind_request", 2),
    ("search_request", 3),
    ("search_result_entry", 4),
    ("search_result_done", 5),
    ("search_result_reference", 19),
    ("modify_request", 6),
    ("modify_response", 7),
    ("add_request", 8),
    ("add_response", 9),
    ("del_request", 10),
    ("del_response", 11),
    ("mod_dn_request", 12),
    ("mod_dn_response", 13),
    ("compare_request", 14),
    ("compare_response", 15),
    ("abandon_request", 16),
    ("extended_request", 23),
    ("extended_response", 24),
    ("intermediate_response", 25),
];

/// Names of the result codes.
pub static RESULTS: &[(&str, u64)] = &[
    ("success", 0),
    ("operations_error", 1),
    ("protocol_error", 2),
    ("time_limit_exceeded", 3),
    ("size_limit_exceeded", 4),
    ("compare_false", 5),
    ("compare_true", 6),
    ("auth_method_not_supported", 7),
    ("stronger_auth_required", 8),
    ("referral", 10),
    ("admin_limit_exceeded", 11),
    ("unavailable_critical_extension", 12),
    ("confidentiality_required", 13),
    ("sasl_bind_in_progress", 14),
    ("no_such_attribute", 16),
    ("undefined_attribute_type", 17),
    ("inappropriate_matching", 18),
    ("constraint_violation", 19),
    ("attribute_or_value_exists", 20),
    ("invalid_attribute_syntax", 21),
    ("no_such_object", 32),
    ("alias_problem", 33),
    ("invalid_dns_syntax", 34),
    ("is_leaf", 35),
    ("alias_dereferencing_problem", 36),
    ("inappropriate_authentication", 48),
    ("invalid_credentials", 49),
    ("insufficient_access_rights", 50),
    ("busy", 51),
    ("unavailable", 52),
    ("unwilling_to_perform", 53),
    ("loop_detect", 54),
    ("sort_control_missing", 60),
    ("offset_range_error", 61),
    ("naming_violation", 64),
    ("object_class_violation", 65),
    ("not_allowed_on_non_leaf", 66),
    ("not_allowed_on_rdn", 67),
    ("entry_already_exists", 68),
    ("object_class_mods_prohibited", 69),
    ("results_too_large", 70),
    ("affects_multiple_dsas", 71),
    ("control_error", 76),
    ("other", 80),
    ("server_down", 81),
    ("local_error", 82),
    ("encoding_error", 83),
    ("decoding_error", 84),
    ("timeout", 85),
    ("auth_unknown", 86),
    ("filter_error", 87),
    ("user_canceled", 88),
    ("param_error", 89),
    ("no_memory", 90),
    ("connect_error", 91),
    ("not_supported", 92),
    ("control_not_found", 93),
    ("no_results_returned", 94),
    ("more_results_to_return", 95),
    ("client_loop", 96),
    ("referral_limit_exceeded", 97),
    ("invalid_response", 100),
    ("ambiguous_response", 101),
    ("tls_not_supported", 112),
    ("intermediate_response", 113),
    ("unknown_type", 114),
    ("canceled", 118),
    ("no_such_operation", 119),
    ("too_late", 120),
    ("cannot_cancel", 121),
    ("assertion_failed", 122),
    ("authorization_denied", 123),
    ("e_sync_refresh_required", 4096),
    ("no_operation", 16654),
];

/// Whether a tag is of an operation that clients send.
pub fn is_request(tag: u8) -> bool {
    matches!(tag, 0 | 2 | 3 | 6 | 8 | 10 | 12 | 14 | 16 | 23)
}

/// Whether a tag is of an operation at all.
pub fn is_operation(tag: u32) -> bool {
    matches!(tag, 0..=16 | 19 | 23..=25)
}

impl Message {
    /// Reads the contents of the outer sequence.
    pub fn read(body: &[u8], len: usize) -> Option<Self> {
        let mut r = Reader::new(body);
        let id = integer(&mut r)?;
        let operation = element(&mut r)
            .ok()
            .filter(|e| e.class == 1 && is_operation(e.tag))?;
        let tag = u8::try_from(operation.tag).ok()?;
        let controls = context(&mut r, 0).map(controls);
        let operation = self::operation(tag, operation.body)?;
        Some(Self {
            id,
            tag,
            operation,
            controls,
            len,
        })
    }

    /// Its result, when it has one.
    pub fn result(&self) -> Option<&LdapResult> {
        match &self.operation {
            Operation::Result(result) => Some(result),
            _ => None,
        }
    }
}

fn octets(r: &mut Reader<'_>) -> Option<Vec<u8>> {
    universal(r, OCTETS).map(<[u8]>::to_vec)
}

fn enumerated(r: &mut Reader<'_>) -> Option<u32> {
    unsigned(universal(r, ENUMERATED)?)
}

fn boolean(r: &mut Reader<'_>) -> Option<bool> {
    Some(universal(r, 1)?.iter().any(|b| *b != 0))
}

fn operation(tag: u8, body: &[u8]) -> Option<Operation> {
    let mut r = Reader::new(body);
    Some(match tag {
        0 => {
            let (version, name) = (integer(&mut r)?, octets(&mut r)?);
            let sasl = context(&mut r, 3).and_then(|body| {
                let mut r = Reader::new(body);
                Some((octets(&mut r)?, octets(&mut r)))
            });
            Operation::Bind(version, name, sasl)
        }
        1 | 5 | 7 | 9 | 11 | 13 | 15 | 24 => {
            let (code, dn, message) = (enumerated(&mut r)?, octets(&mut r)?, octets(&mut r)?);
            let _referral = context(&mut r, 3);
            let (name, value) = match tag {
                1 => (None, context(&mut r, 7)),
                24 => (context(&mut r, 10), context(&mut r, 11)),
                _ => (None, None),
            };
            let owned = |bytes: &[u8]| bytes.to_vec();
            Operation::Result(LdapResult {
                code,
                dn,
                message,
                name: name.map(owned),
                value: value.map(owned),
            })
        }
        3 => {
            let base = octets(&mut r)?;
            let numbers = [
                enumerated(&mut r)?,
                enumerated(&mut r)?,
                integer(&mut r)?,
                integer(&mut r)?,
            ];
            let types_only = boolean(&mut r)?;
            let filter = element(&mut r).ok()?;
            let present = (filter.class == 2 && filter.tag == 7).then(|| filter.body.to_vec());
            let attributes = strings(universal(&mut r, SEQUENCE).unwrap_or_default());
            Operation::Search {
                base,
                numbers,
                types_only,
                present,
                attributes,
            }
        }
        4 | 8 => {
            let name = octets(&mut r)?;
            let mut list = Reader::new(universal(&mut r, SEQUENCE)?);
            let mut attributes = Vec::new();
            while let (Some(body), true) =
                (universal(&mut list, SEQUENCE), attributes.len() < LIST_MAX)
            {
                attributes.push(attribute(body)?);
            }
            Operation::Entry(name, attributes)
        }
        6 => {
            let name = octets(&mut r)?;
            let mut list = Reader::new(universal(&mut r, SEQUENCE)?);
            let mut changes = Vec::new();
            while let (Some(body), true) =
                (universal(&mut list, SEQUENCE), changes.len() < LIST_MAX)
            {
                let mut change = Reader::new(body);
                changes.push((
                    enumerated(&mut change)?,
                    attribute(universal(&mut change, SEQUENCE)?)?,
                ));
            }
            Operation::Modify(name, changes)
        }
        10 => Operation::Delete(body.to_vec()),
        12 => {
            let (name, rdn, old) = (octets(&mut r)?, octets(&mut r)?, boolean(&mut r)?);
            Operation::Rename(name, rdn, old, context(&mut r, 0).map(<[u8]>::to_vec))
        }
        14 => {
            let name = octets(&mut r)?;
            let mut ava = Reader::new(universal(&mut r, SEQUENCE)?);
            Operation::Compare(name, octets(&mut ava)?, octets(&mut ava)?)
        }
        23 | 25 => {
            let name = context(&mut r, 0).map(<[u8]>::to_vec);
            Operation::Extended(name, context(&mut r, 1).map(<[u8]>::to_vec))
        }
        _ => Operation::Other,
    })
}

fn strings(body: &[u8]) -> Vec<Vec<u8>> {
    let mut r = Reader::new(body);
    std::iter::from_fn(|| octets(&mut r))
        .take(LIST_MAX)
        .collect()
}

fn attribute(body: &[u8]) -> Option<Attribute> {
    let mut r = Reader::new(body);
    let name = octets(&mut r)?;
    // SET OF.
    Some((name, strings(universal(&mut r, 17).unwrap_or_default())))
}

fn controls(body: &[u8]) -> Vec<Control> {
    let mut r = Reader::new(body);
    let mut list = Vec::new();
    while let (Some(body), true) = (universal(&mut r, ber::SEQUENCE), list.len() < LIST_MAX) {
        let mut control = Reader::new(body);
        let Some(name) = octets(&mut control) else {
            break;
        };
        let critical = boolean(&mut control).unwrap_or(false);
        list.push((name, critical, octets(&mut control)));
    }
    list
}
