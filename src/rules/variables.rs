//! Address and port variables (`$HOME_NET`, `$HTTP_PORTS`), and lists of either with nesting and negation.
//!
//! A list is the union of its members without the union of its negated members; a list with negated members alone starts
//! from everything, of addresses in each family by itself: `!10.0.0.0/8` is every other IPv4 address and no IPv6 address, as
//! in Suricata. Members are literals, variables and lists; a list in a list is its members.
//! The depth of nesting is limited, so a variable that names itself is an error, not a hang.

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
    /// `wanted` without `unwanted`. What is negated alone, of its kind (a family of addresses), starts from everything.
    fn without(wanted: Self, unwanted: Self) -> Self;
    /// Whether nothing is left.
    fn is_none(&self) -> bool;
}

/// A list that was evaluated.
pub(super) struct Evaluated<M> {
    /// Its members.
    pub set: M,
    /// Whether something in it, or in a variable that it names, is negated.
    pub negation: bool,
}

/// Evaluates a list.
pub(super) fn evaluate<M: Member>(
    text: &str,
    variables: &Variables,
) -> Result<Evaluated<M>, String> {
    let mut sides = Sides::<M>::none();
    sides.gather(text.trim(), variables, false, 0)?;
    let negation = !sides.unwanted.is_none();
    let set = M::without(sides.wanted, sides.unwanted);
    if set.is_none() {
        Err(format!("{text} leaves nothing"))
    } else {
        Ok(Evaluated { set, negation })
    }
}

/// What a list wants and what it does not. Lists inside a list are of the same sides, as if their brackets were not there;
/// a negated list is evaluated by itself, and what it means is unwanted.
struct Sides<M> {
    wanted: M,
    unwanted: M,
}

impl<M: Member> Sides<M> {
    fn none() -> Self {
        Self {
            wanted: M::none(),
            unwanted: M::none(),
        }
    }

    /// Adds a list, with or without brackets; each member is negated if the list is.
    fn gather(
        &mut self,
        text: &str,
        variables: &Variables,
        negated: bool,
        depth: u8,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(
                "lists and variables are nested too deeply (does a variable name itself?)".into(),
            );
        }
        for member in members(text) {
            let member = member?.trim();
            match member.strip_prefix('!') {
                Some(rest) => {
                    // A second `!` says nothing more.
                    let rest = rest.trim_start_matches(['!', ' ']);
                    self.member(rest, variables, !negated, depth)?;
                }
                None => self.member(member, variables, negated, depth)?,
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        text: &str,
        variables: &Variables,
        negated: bool,
        depth: u8,
    ) -> Result<(), String> {
        let inner = if let Some(inner) = text.strip_prefix('[') {
            inner
                .strip_suffix(']')
                .ok_or_else(|| format!("no ] closes {text}"))?
        } else if let Some(name) = text.strip_prefix('$') {
            M::variable(variables, name)
                .ok_or_else(|| format!("the variable ${name} is not defined"))?
        } else {
            let literal = if text.eq_ignore_ascii_case("any") {
                M::all()
            } else if text.is_empty() {
                return Err("an empty list or member".into());
            } else {
                M::literal(text)?
            };
            let side = if negated {
                &mut self.unwanted
            } else {
                &mut self.wanted
            };
            side.join(literal);
            return Ok(());
        };
        if !negated {
            return self.gather(inner, variables, false, depth + 1);
        }
        let mut own = Self::none();
        own.gather(inner, variables, false, depth + 1)?;
        self.unwanted.join(M::without(own.wanted, own.unwanted));
        Ok(())
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

/// `wanted` without `unwanted`, or `all` without them if nothing is wanted by name.
pub(super) fn without<T: Bound>(
    wanted: Vec<(T, T)>,
    unwanted: &[(T, T)],
    all: (T, T),
) -> Vec<(T, T)> {
    if unwanted.is_empty() {
        wanted
    } else if wanted.is_empty() {
        subtract(&[all], unwanted)
    } else {
        subtract(&wanted, unwanted)
    }
}
