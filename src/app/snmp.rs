//! SNMP over UDP, versions 1, 2c and 3 (RFC 1157, RFC 3416, RFC 3412): who asks for what, with which community or user.
//!
//! Each message is a transaction. What version 3 encrypts is only told to be encrypted; values of variables are not read.
//! Limits: 1,024 variables of a message; the oldest transaction goes when there are too many.

use super::ber::{self, OCTETS, SEQUENCE, element, integer, oid, universal, unsigned};
use super::reader::Reader;
use super::{
    Access, Field, FieldDirection, FlowInfo, Input, Limits, LogHead, Parsed, Probe, Protocol,
    Rides, Session, Transaction, TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// SNMP.
#[derive(Debug)]
pub struct Snmp;

/// SNMP.
pub static SNMP: Snmp = Snmp;

const EVENTS: &[&str] = &[
    "malformed_data",
    "unknown_security_model",
    "version_mismatch",
];
const MALFORMED_DATA: u8 = 0;
const UNKNOWN_SECURITY_MODEL: u8 = 1;
const VERSION_MISMATCH: u8 = 2;

const VARIABLES_MAX: usize = 1024;

static PDU_TYPES: &[(&str, u64)] = &[
    ("get_request", 0),
    ("get_next_request", 1),
    ("response", 2),
    ("set_request", 3),
    ("trap_v1", 4),
    ("get_bulk_request", 5),
    ("inform_request", 6),
    ("trap_v2", 7),
    ("report", 8),
];

static TRAP_TYPES: &[(&str, u64)] = &[
    ("coldstart", 0),
    ("warmstart", 1),
    ("linkdown", 2),
    ("linkup", 3),
    ("authenticationfailure", 4),
    ("egpneighborloss", 5),
    ("enterprisespecific", 6),
    ("cold_start", 0),
    ("warm_start", 1),
    ("link_down", 2),
    ("link_up", 3),
    ("authentication_failure", 4),
    ("egp_neighbor_loss", 5),
    ("enterprise_specific", 6),
];

const TRAP_NAMES: [&str; 7] = [
    "coldStart",
    "warmStart",
    "linkDown",
    "linkUp",
    "authenticationFailure",
    "egpNeighborLoss",
    "enterpriseSpecific",
];

const ERRORS: [&str; 19] = [
    "NoError",
    "TooBig",
    "NoSuchName",
    "BadValue",
    "ReadOnly",
    "GenErr",
    "NoAccess",
    "WrongType",
    "WrongLength",
    "WrongEncoding",
    "WrongValue",
    "NoCreation",
    "InconsistentValue",
    "ResourceUnavailable",
    "CommitFailed",
    "UndoFailed",
    "AuthorizationError",
    "NotWritable",
    "InconsistentName",
];

impl Protocol for Snmp {
    fn name(&self) -> &'static str {
        "snmp"
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn ports(&self) -> &'static [u16] {
        &[161, 162]
    }

    fn probe(&self, direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        match read(bytes) {
            // Responses (2) and reports (8) are sent by agents.
            Some((_, message)) => match message.pdu.map(|p| p.kind) {
                Some(2 | 8) if direction == Direction::ToServer => Probe::MatchReversed,
                Some(0 | 1 | 3 | 5) if direction == Direction::ToClient => Probe::MatchReversed,
                _ => Probe::Match,
            },
            None => Probe::NotMine,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(SnmpSession {
            max: limits.transactions.max(1),
            ..SnmpSession::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("snmp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = of(tx) else { return };
        json.object("snmp").num("version", tx.version);
        if tx.message.encrypted {
            json.str("pdu_type", "encrypted").end();
            return;
        }
        if let Some(pdu) = &tx.message.pdu {
            match PDU_TYPES
                .iter()
                .find(|(_, kind)| *kind == u64::from(pdu.kind))
            {
                Some((name, _)) => json.str("pdu_type", name),
                None => json.str("pdu_type", format!("Unknown(0x{:x})", pdu.kind)),
            };
            if pdu.error != 0 {
                let name = usize::try_from(pdu.error)
                    .ok()
                    .and_then(|e| ERRORS.get(e).copied());
                json.str(
                    "error",
                    name.map_or_else(|| format!("ErrorStatus({})", pdu.error), str::to_owned),
                );
            }
            if let Some(trap) = &pdu.trap {
                let name = TRAP_NAMES.get(usize::from(trap.kind)).copied();
                json.str(
                    "trap_type",
                    name.map_or_else(|| format!("TrapType({})", trap.kind), str::to_owned),
                );
                json.str("trap_oid", &trap.enterprise)
                    .str("trap_address", &trap.address);
            }
            if !pdu.variables.is_empty() {
                json.array("vars");
                for variable in &pdu.variables {
                    json.text(variable);
                }
                json.end_array();
            }
        }
        if let Some(community) = &tx.message.community {
            json.str("community", community);
        }
        if let Some(user) = &tx.message.user {
            json.str("usm", user);
        }
        json.end();
    }
}

/// A message.
#[derive(Debug, Default)]
struct Message {
    community: Option<Vec<u8>>,
    /// User of the user-based security model (RFC 3414).
    user: Option<Vec<u8>>,
    foreign_security: bool,
    encrypted: bool,
    pdu: Option<Pdu>,
}

#[derive(Debug, Default)]
struct Pdu {
    kind: u8,
    error: u32,
    trap: Option<Trap>,
    variables: Vec<String>,
}

/// What a version 1 trap says (RFC 1157 §4.1.6).
#[derive(Debug)]
struct Trap {
    kind: u8,
    enterprise: String,
    address: String,
}

/// Reads a message; its version counts from 1.
fn read(bytes: &[u8]) -> Option<(u32, Message)> {
    let mut outer = Reader::new(universal(&mut Reader::new(bytes), SEQUENCE)?);
    let version = integer(&mut outer)?;
    let mut message = Message::default();
    match version {
        0 | 1 => {
            message.community = Some(universal(&mut outer, OCTETS)?.to_vec());
            message.pdu = Some(pdu(&mut outer)?);
            Some((version + 1, message))
        }
        3 => {
            let mut header = Reader::new(universal(&mut outer, SEQUENCE)?);
            integer(&mut header)?;
            integer(&mut header)?;
            universal(&mut header, OCTETS)?;
            let model = integer(&mut header)?;
            let parameters = universal(&mut outer, OCTETS)?;
            if model == 3 {
                let mut usm = Reader::new(universal(&mut Reader::new(parameters), SEQUENCE)?);
                universal(&mut usm, OCTETS)?;
                integer(&mut usm)?;
                integer(&mut usm)?;
                message.user = Some(universal(&mut usm, OCTETS)?.to_vec());
            } else {
                message.foreign_security = true;
            }
            match universal(&mut outer, SEQUENCE) {
                Some(scoped) => {
                    let mut scoped = Reader::new(scoped);
                    universal(&mut scoped, OCTETS)?;
                    universal(&mut scoped, OCTETS)?;
                    message.pdu = Some(pdu(&mut scoped)?);
                }
                None => {
                    universal(&mut outer, OCTETS)?;
                    message.encrypted = true;
                }
            }
            Some((version, message))
        }
        _ => None,
    }
}

fn pdu(r: &mut Reader<'_>) -> Option<Pdu> {
    let found = element(r).ok().filter(|e| e.class == 2 && e.constructed)?;
    let kind = u8::try_from(found.tag).ok()?;
    let mut body = Reader::new(found.body);
    let mut pdu = Pdu {
        kind,
        ..Pdu::default()
    };
    if kind == 4 {
        let enterprise = oid(universal(&mut body, ber::OID)?);
        // IpAddress is [APPLICATION 0].
        let address = element(&mut body)
            .ok()
            .filter(|e| e.class == 1 && e.tag == 0)?
            .body;
        let address = <[u8; 4]>::try_from(address).map_or_else(
            |_| String::new(),
            |a| std::net::Ipv4Addr::from(a).to_string(),
        );
        let trap = u8::try_from(integer(&mut body)?).ok()?;
        integer(&mut body)?;
        element(&mut body).ok()?;
        pdu.trap = Some(Trap {
            kind: trap,
            enterprise,
            address,
        });
    } else {
        universal(&mut body, ber::INTEGER)?;
        let error = unsigned(universal(&mut body, ber::INTEGER)?);
        // GetBulk has its counts here.
        pdu.error = if kind == 5 { 0 } else { error.unwrap_or(0) };
        universal(&mut body, ber::INTEGER)?;
    }
    let mut list = Reader::new(universal(&mut body, SEQUENCE)?);
    while let (Some(variable), true) = (
        universal(&mut list, SEQUENCE),
        pdu.variables.len() < VARIABLES_MAX,
    ) {
        pdu.variables
            .push(oid(universal(&mut Reader::new(variable), ber::OID)?));
    }
    Some(pdu)
}

/// The transaction of a message.
#[derive(Debug)]
struct SnmpTx {
    state: TxState,
    /// Version of the flow's first message, from 1.
    version: u32,
    message: Message,
}

impl Transaction for SnmpTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct SnmpSession {
    txs: TxStore<SnmpTx>,
    version: u32,
    max: usize,
}

impl Session for SnmpSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if input.bytes.is_empty() {
            return Parsed::All;
        }
        let Some((version, message)) = read(input.bytes) else {
            if let Some(tx) = self.txs.last_mut() {
                tx.state.raise(MALFORMED_DATA);
            }
            return Parsed::All;
        };
        if self.version == 0 {
            self.version = version;
        }
        if self.txs.len() >= self.max {
            self.txs.remove(0);
        }
        let mut state = TxState::default();
        state.inspected[direction.reverse().index()] = true;
        state.touch(direction);
        if version != self.version {
            state.raise(VERSION_MISMATCH);
        }
        if message.foreign_security {
            state.raise(UNKNOWN_SECURITY_MODEL);
        }
        self.txs.push(SnmpTx {
            state,
            version: self.version,
            message,
        });
        Parsed::All
    }
}

fn of(tx: &dyn Transaction) -> Option<&SnmpTx> {
    tx.as_any().downcast_ref()
}

fn version(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)
        .filter(|_| index == 0)
        .map(|tx| u64::from(tx.version))
}

fn pdu_type(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?
        .message
        .pdu
        .as_ref()
        .filter(|_| index == 0)
        .map(|p| u64::from(p.kind))
}

fn trap(tx: &dyn Transaction) -> Option<&Trap> {
    of(tx)?.message.pdu.as_ref()?.trap.as_ref()
}

fn trap_type(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    trap(tx).filter(|_| index == 0).map(|t| u64::from(t.kind))
}

fn community<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx)?.message.community.as_deref()
}

fn user<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx)?.message.user.as_deref()
}

fn trap_oid<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    trap(tx).map(|t| t.enterprise.as_bytes())
}

fn trap_address<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    trap(tx).map(|t| t.address.as_bytes())
}

const fn field(name: &'static str, access: Access, doc: &'static str) -> Field {
    Field::new(name, FieldDirection::Both, access, doc).at(1)
}

static FIELDS: &[Field] = &[
    field(
        "snmp.version",
        Access::Integer {
            value: version,
            names: &[],
            max: u32::MAX as u64,
        },
        "version: 1, 2 or 3",
    ),
    field(
        "snmp.pdu_type",
        Access::Integer {
            value: pdu_type,
            names: PDU_TYPES,
            max: u32::MAX as u64,
        },
        "what is asked",
    ),
    field(
        "snmp.trap_type",
        Access::Integer {
            value: trap_type,
            names: TRAP_TYPES,
            max: 255,
        },
        "kind of a version 1 trap",
    ),
    field(
        "snmp.community",
        Access::Bytes(community),
        "community of versions 1 and 2c",
    ),
    field("snmp.usm", Access::Bytes(user), "user of version 3"),
    field(
        "snmp.trap_oid",
        Access::Bytes(trap_oid),
        "enterprise of a version 1 trap",
    ),
    field(
        "snmp.trap_address",
        Access::Bytes(trap_address),
        "agent of a version 1 trap",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, survives};

    const GET: &[u8] =
        b"\x30\x26\x02\x01\x01\x04\x06public\xa1\x19\x02\x01\x07\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";
    const TRAP: &[u8] =
        b"\x30\x20\x02\x01\x00\x04\x01p\xa4\x18\x06\x05\x2b\x06\x01\x04\x01\x40\x04\x7f\x00\x00\x01\x02\x01\x02\x02\x01\x00\x43\x01\x00\x30\x00";

    #[test]
    fn requests_and_traps_are_read() {
        let mut feed = Feed::new(&SNMP, 17, 161);
        feed.give(Direction::ToServer, GET);
        feed.give(Direction::ToServer, TRAP);
        let log = feed.logged(&SNMP);
        assert_eq!(log[0]["snmp"]["pdu_type"], "get_next_request");
        assert_eq!(
            log[0]["snmp"]["vars"],
            serde_json::json!(["1.3.6.1.2.1.1.1.0"])
        );
        assert_eq!(log[1]["snmp"]["trap_type"], "linkDown");
        assert_eq!(log[1]["snmp"]["trap_address"], "127.0.0.1");
        assert_eq!(log[1]["events"], serde_json::json!(["version_mismatch"]));
        assert_eq!(
            feed.field(&SNMP, 0, "snmp.community", Direction::ToServer),
            ["public"]
        );
    }

    #[test]
    fn other_asn1_is_not_mine() {
        let key = FlowKey::default();
        assert_eq!(SNMP.probe(Direction::ToServer, GET, &key), Probe::Match);
        assert_eq!(
            SNMP.probe(Direction::ToServer, &GET[..20], &key),
            Probe::NotMine
        );
        assert_eq!(
            SNMP.probe(Direction::ToServer, b"\x30\x03\x02\x01\x09", &key),
            Probe::NotMine
        );
    }

    proptest! {
        #[test]
        fn damaged_messages_do_no_harm(at in 0usize..40, value: u8, tail in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut m = GET.to_vec();
            if let Some(b) = m.get_mut(at) { *b = value; }
            survives(&SNMP, 17, 161, &[(false, m), (true, TRAP.to_vec()), (true, tail)]);
        }
    }
}
