//! Address and port variables (`$HOME_NET`, `$HTTP_PORTS`), and lists of either with nesting and negation.
//!
//! A list is the union of its members without the union of its negated members; a list with negated members alone starts
//! from everything. Members are literals, variables and lists. The depth of nesting is limited, so a variable that names
//! itself is an error, not a hang.

use std::collections::BTreeMap;

use super::ranges::{Bound, normalize, subtract};

/// Deepest nesting of lists and variables.
const DEPTH_MAX: u8 = 16;

/// The variables of a segment, names without `$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// Address groups.
    pub addresses: BTreeMap<String, String>,
    /// Port groups.
    pub ports: BTreeMap<String, String>,
}

impl Default for Variables {
    /// The names and values that rules expect everywhere.
    fn default() -> Self {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        Self {
            addresses: map(&[
                ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
                ("EXTERNAL_NET", "!$HOME_NET"),
                ("HTTP_SERVERS", "$HOME_NET"),
                ("SMTP_SERVERS", "$HOME_NET"),
                ("SQL_SERVERS", "$HOME_NET"),
                ("DNS_SERVERS", "$HOME_NET"),
                ("TELNET_SERVERS", "$HOME_NET"),
                ("AIM_SERVERS", "$EXTERNAL_NET"),
                ("DC_SERVERS", "$HOME_NET"),
                ("DNP3_SERVER", "$HOME_NET"),
                ("DNP3_CLIENT", "$HOME_NET"),
                ("MODBUS_CLIENT", "$HOME_NET"),
                ("MODBUS_SERVER", "$HOME_NET"),
                ("ENIP_CLIENT", "$HOME_NET"),
                ("ENIP_SERVER", "$HOME_NET"),
            ]),
            ports: map(&[
                ("HTTP_PORTS", "80"),
                ("SHELLCODE_PORTS", "!80"),
                ("ORACLE_PORTS", "1521"),
                ("SSH_PORTS", "22"),
                ("DNP3_PORTS", "20000"),
                ("MODBUS_PORTS", "502"),
                ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
                ("FTP_PORTS", "21"),
                ("GENEVE_PORTS", "6081"),
                ("VXLAN_PORTS", "4789"),
                ("TEREDO_PORTS", "3544"),
                ("SIP_PORTS", "[5060, 5061]"),
            ]),
        }
    }
}

/// What lists are made of: addresses or ports.
pub(super) trait Member: Sized {
    /// Everything.
    fn all() -> Self;
    /// Nothing.
    fn none() -> Self;
    /// One literal.
    fn literal(text: &str) -> Result<Self, String>;
    /// The text of a variable.
    fn variable<'a>(variables: &'a Variables, name: &str) -> Option<&'a str>;
    /// Adds.
    fn join(&mut self, other: Self);
    /// Takes away.
    fn remove(&mut self, other: Self);
    /// Whether nothing is left.
    fn is_none(&self) -> bool;
}

/// Evaluates a list.
pub(super) fn evaluate<M: Member>(
    text: &str,
    variables: &Variables,
    depth: u8,
) -> Result<M, String> {
    if depth > DEPTH_MAX {
        return Err(
            "lists and variables are nested too deeply (does a variable name itself?)".into(),
        );
    }
    let text = text.trim();
    if let Some(negated) = text.strip_prefix('!') {
        let mut set = M::all();
        set.remove(evaluate(negated, variables, depth + 1)?);
        return if set.is_none() {
            Err(format!("{text} leaves nothing"))
        } else {
            Ok(set)
        };
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .ok_or_else(|| format!("no ] closes {text}"))?;
        return list(inner, variables, depth);
    }
    if let Some(name) = text.strip_prefix('$') {
        let value = M::variable(variables, name)
            .ok_or_else(|| format!("the variable ${name} is not defined"))?;
        // A variable's text may be a list without brackets.
        return if value.contains(',') && !value.trim_start().starts_with(['[', '!']) {
            list(value, variables, depth)
        } else {
            evaluate(value, variables, depth + 1).map_err(|why| format!("${name}: {why}"))
        };
    }
    if text.eq_ignore_ascii_case("any") {
        return Ok(M::all());
    }
    if text.is_empty() {
        return Err("an empty list or member".into());
    }
    M::literal(text)
}

fn list<M: Member>(inner: &str, variables: &Variables, depth: u8) -> Result<M, String> {
    let (mut wanted, mut unwanted, mut negated_only) = (M::none(), M::none(), true);
    for member in members(inner) {
        let member = member?.trim();
        if let Some(negated) = member.strip_prefix('!') {
            unwanted.join(evaluate(negated, variables, depth + 1)?);
        } else {
            negated_only = false;
            wanted.join(evaluate(member, variables, depth + 1)?);
        }
    }
    if negated_only {
        wanted = M::all();
    }
    wanted.remove(unwanted);
    if wanted.is_none() {
        Err(format!("[{inner}] leaves nothing"))
    } else {
        Ok(wanted)
    }
}

/// The members of a list, split at commas outside brackets.
fn members(text: &str) -> impl Iterator<Item = Result<&str, String>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut depth = 0_i32;
        let end = text.bytes().position(|b| {
            match b {
                b'[' => depth += 1,
                b']' => depth -= 1,
                _ => {}
            }
            b == b',' && depth == 0
        });
        match end {
            Some(end) => {
                let (member, tail) = text.split_at(end);
                rest = tail.get(1..);
                Some(Ok(member))
            }
            None => {
                rest = None;
                Some(if depth == 0 {
                    Ok(text)
                } else {
                    Err(format!("brackets do not match in {text}"))
                })
            }
        }
    })
}

/// Adds ranges.
pub(super) fn join<T: Bound>(to: &mut Vec<(T, T)>, mut from: Vec<(T, T)>) {
    to.append(&mut from);
    normalize(to);
}

/// Takes ranges away.
pub(super) fn remove<T: Bound>(from: &mut Vec<(T, T)>, what: &[(T, T)]) {
    *from = subtract(from, what);
}
