//! DHCP over IPv4 (RFC 2131, options of RFC 2132): each message is a transaction of its own.
//!
//! Options are read up to the end option, then those in the overloaded file and server name fields (RFC 2132 §9.3).
//! Not done: long options in several parts (RFC 3396). Limits: 128 options a message; the message is one datagram.

use super::reader::Reader;
use super::tx::{session_members, transaction_members};
use super::{
    Field, FieldDirection, FlowInfo, Input, Limits, LogHead, Note, Notes, Parsed, Probe, Protocol,
    Rides, Session, Transaction, TxState, TxStore,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// DHCP.
#[derive(Debug)]
pub struct Dhcp;

/// DHCP.
pub static DHCP: Dhcp = Dhcp;

const EVENTS: &[&str] = &["truncated_options", "malformed_options"];
const TRUNCATED_OPTIONS: u8 = 0;
const MALFORMED_OPTIONS: u8 = 1;

/// Fixed part of a message with the magic number (RFC 2131 §2), less the last bytes of it that old clients leave out.
const MESSAGE_MIN: usize = 232;
const OPTIONS_MAX: usize = 128;

/// Option codes (RFC 2132).
mod option {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const DNS_SERVERS: u8 = 6;
    pub const HOSTNAME: u8 = 12;
    pub const REQUESTED_IP: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const END: u8 = 255;
}

/// Names of message types (RFC 2132 §9.6), from 1.
const TYPES: [&str; 8] = [
    "discover", "offer", "request", "decline", "ack", "nak", "release", "inform",
];
const ACK: u8 = 5;

/// Names of parameters that clients ask for.
const PARAMETERS: [(u8, &str); 8] = [
    (1, "subnet_mask"),
    (3, "router"),
    (6, "dns_server"),
    (15, "domain"),
    (35, "arp_timeout"),
    (42, "ntp_server"),
    (66, "tftp_server_name"),
    (150, "tftp_server_ip"),
];

impl Protocol for Dhcp {
    fn name(&self) -> &'static str {
        "dhcp"
    }

    fn rides(&self) -> Rides {
        Rides::Udp
    }

    fn ports(&self) -> &'static [u16] {
        &[67, 68]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        if bytes.len() >= MESSAGE_MIN + 8 {
            Probe::Match
        } else {
            Probe::NotMine
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(DhcpSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    /// Only what hands out an address is logged, as Suricata does unless told otherwise.
    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        (of(tx)?.kind() == Some(ACK)).then_some(LogHead::by_packet("dhcp"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            tx.log(json, false);
        }
    }

    fn log_alert(
        &self,
        _session: &dyn Session,
        tx: &dyn Transaction,
        _direction: Direction,
        json: &mut Json<'_>,
    ) {
        if let Some(tx) = of(tx) {
            tx.log(json, true);
        }
    }
}

/// A message.
#[derive(Debug, Default)]
struct DhcpTx {
    state: TxState,
    opcode: u8,
    id: u32,
    /// Of the client, offered to it, of the next server, of the relay.
    addresses: [[u8; 4]; 4],
    hardware: Vec<u8>,
    options: Vec<(u8, Vec<u8>)>,
}

impl DhcpTx {
    fn read(bytes: &[u8], direction: Direction) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let opcode = r.u8()?;
        r.skip(1)?;
        let hardware_len = usize::from(r.u8()?).min(16);
        r.skip(1)?;
        let id = r.u32()?;
        r.skip(4)?;
        let mut addresses = [[0; 4]; 4];
        for address in &mut addresses {
            *address = r.take(4)?.try_into().ok()?;
        }
        let hardware = r.take(16)?.get(..hardware_len)?.to_vec();
        let (server_name, file) = (r.take(64)?, r.take(128)?);
        r.skip(4)?;
        let mut tx = Self {
            state: TxState::only(direction),
            opcode,
            id,
            addresses,
            hardware,
            options: Vec::new(),
        };
        if tx.read_options(r).is_none() {
            tx.state.raise(TRUNCATED_OPTIONS);
        }
        let overload = tx
            .option(option::OVERLOAD)
            .and_then(|value| value.first().copied())
            .unwrap_or(0);
        // RFC 2132 §9.3: 1 the file field, 2 the server name, 3 both.
        if overload & 1 != 0 {
            let _ = tx.read_options(Reader::new(file));
        }
        if overload & 2 != 0 {
            let _ = tx.read_options(Reader::new(server_name));
        }
        Some(tx)
    }

    /// Reads options up to the end option; `None` when they stop before.
    fn read_options(&mut self, mut r: Reader<'_>) -> Option<()> {
        loop {
            let code = r.u8()?;
            match code {
                option::END => return Some(()),
                option::PAD => {}
                code => {
                    let value = r.counted8()?;
                    let short = match code {
                        option::CLIENT_ID => value.len() < 2,
                        option::LEASE_TIME | option::RENEWAL_TIME | option::REBINDING_TIME => {
                            value.len() != 4
                        }
                        _ => false,
                    };
                    if short {
                        self.state.raise(MALFORMED_OPTIONS);
                    }
                    if self.options.len() < OPTIONS_MAX {
                        self.options.push((code, value.to_vec()));
                    }
                }
            }
        }
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        let found = self.options.iter().find(|(known, _)| *known == code)?;
        Some(&found.1)
    }

    fn number(&self, code: u8) -> Option<u32> {
        Reader::new(self.option(code)?).u32()
    }

    fn kind(&self) -> Option<u8> {
        self.option(option::MESSAGE_TYPE)?.first().copied()
    }

    fn log(&self, json: &mut Json<'_>, extended: bool) {
        let [client, assigned, next_server, relay] = &self.addresses;
        json.object("dhcp").str(
            "type",
            match self.opcode {
                1 => "request",
                2 => "reply",
                _ => "<unknown>",
            },
        );
        json.num("id", self.id)
            .hex("client_mac", &self.hardware, Some(b':'))
            .str("assigned_ip", dotted(assigned));
        if extended {
            json.str("client_ip", dotted(client));
            if self.opcode == 2 {
                json.str("relay_ip", dotted(relay))
                    .str("next_server_ip", dotted(next_server));
            }
        }
        let mut seen = [false; 256];
        for (code, value) in &self.options {
            // A member is written once, whatever a message repeats.
            if seen
                .get_mut(usize::from(*code))
                .is_none_or(|seen| std::mem::replace(seen, true))
            {
                continue;
            }
            Self::log_option(json, *code, value, extended);
        }
        json.end();
    }

    fn log_option(json: &mut Json<'_>, code: u8, value: &[u8], extended: bool) {
        let seconds = Reader::new(value).u32();
        match (code, seconds) {
            (option::CLIENT_ID, _) if value.len() > 1 => {
                json.hex("client_id", value.get(1..).unwrap_or_default(), Some(b':'));
            }
            (option::LEASE_TIME, Some(seconds)) if extended => {
                json.num("lease_time", seconds);
            }
            (option::REBINDING_TIME, Some(seconds)) if extended => {
                json.num("rebinding_time", seconds);
            }
            (option::RENEWAL_TIME, Some(seconds)) => {
                json.num("renewal_time", seconds);
            }
            (option::HOSTNAME, _) if !value.is_empty() => {
                json.str("hostname", value);
            }
            (option::MESSAGE_TYPE, _) => {
                let kind = value.first().copied().unwrap_or(0);
                let name = usize::from(kind)
                    .checked_sub(1)
                    .and_then(|at| TYPES.get(at))
                    .unwrap_or(&"unknown");
                json.str("dhcp_type", name);
            }
            (option::SUBNET_MASK, Some(_)) if extended => {
                json.str("subnet_mask", dotted(value));
            }
            (option::REQUESTED_IP, Some(_)) if extended => {
                json.str("requested_ip", dotted(value));
            }
            (option::PARAMETERS, _) if extended => {
                json.array("params");
                for asked in value {
                    if let Some((_, name)) = PARAMETERS.iter().find(|(code, _)| code == asked) {
                        json.text(name);
                    }
                }
                json.end_array();
            }
            (option::DNS_SERVERS | option::ROUTERS, _) if extended => {
                json.array(if code == option::ROUTERS {
                    "routers"
                } else {
                    "dns_servers"
                });
                for address in value.chunks_exact(4) {
                    json.text(dotted(address));
                }
                json.end_array();
            }
            (option::VENDOR_CLASS, _) if extended && !value.is_empty() => {
                json.str("vendor_class_identifier", value);
            }
            _ => {}
        }
    }

    fn note(&self) -> Option<Note> {
        Some(Note::Dhcp {
            kind: self.kind()?,
            server: self.number(option::SERVER).unwrap_or(0),
            router: self.number(option::ROUTERS).unwrap_or(0),
        })
    }
}

/// An IPv4 address as text; nothing when it is not four bytes.
fn dotted(bytes: &[u8]) -> String {
    match bytes.first_chunk::<4>() {
        Some(address) => std::net::Ipv4Addr::from(*address).to_string(),
        None => String::new(),
    }
}

impl Transaction for DhcpTx {
    transaction_members!();
    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct DhcpSession {
    txs: TxStore<DhcpTx>,
    notes: Notes,
}

impl Session for DhcpSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if input.bytes.is_empty() {
            return Parsed::All;
        }
        let Some(tx) = DhcpTx::read(input.bytes, direction) else {
            return Parsed::Error;
        };
        if let Some(note) = tx.note() {
            self.notes.push(note);
        }
        self.txs.push(tx);
        Parsed::All
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }
}

fn of(tx: &dyn Transaction) -> Option<&DhcpTx> {
    tx.as_any().downcast_ref()
}

fn time(tx: &dyn Transaction, index: usize, code: u8) -> Option<u64> {
    of(tx)?.number(code).filter(|_| index == 0).map(u64::from)
}

static FIELDS: &[Field] = &[
    Field::number(
        "dhcp.leasetime",
        FieldDirection::Both,
        |tx, _, index| time(tx, index, option::LEASE_TIME),
        u64::MAX,
        "seconds that an address is lent for",
    ),
    Field::number(
        "dhcp.rebinding_time",
        FieldDirection::Both,
        |tx, _, index| time(tx, index, option::REBINDING_TIME),
        u64::MAX,
        "seconds until the client asks any server",
    ),
    Field::number(
        "dhcp.renewal_time",
        FieldDirection::Both,
        |tx, _, index| time(tx, index, option::RENEWAL_TIME),
        u64::MAX,
        "seconds until the client asks its server again",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, survives};

    fn message(opcode: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![opcode, 1, 6, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 0];
        bytes.extend([0; 4]);
        bytes.extend([192, 0, 2, 9, 192, 0, 2, 1, 0, 0, 0, 0]);
        bytes.extend([2, 0, 0, 0, 0, 1]);
        bytes.resize(236, 0);
        bytes.extend([0x63, 0x82, 0x53, 0x63]);
        bytes.extend_from_slice(options);
        bytes
    }

    const LENT: &[u8] = b"\x35\x01\x05\x36\x04\xc0\0\x02\x01\x33\x04\0\0\x0e\x10\x3a\x04\0\0\x07\x08\x01\x04\xff\xff\xff\0\x03\x04\xc0\0\x02\x01\x06\x08\xc0\0\x02\x02\xc0\0\x02\x03\x0c\x04host\xff";

    #[test]
    fn an_acknowledgement_tells_lease_and_servers() {
        let mut feed = Feed::new(&DHCP, 17, 67);
        feed.give(Direction::ToClient, &message(2, LENT));
        let tx = feed.session.transactions().at(0).unwrap();
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.begin();
        DHCP.log_alert(&*feed.session, tx, Direction::ToClient, &mut json);
        json.end();
        let logged: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let dhcp = &logged["dhcp"];
        assert_eq!(dhcp["type"], "reply");
        assert_eq!(dhcp["assigned_ip"], "192.0.2.9");
        assert_eq!(dhcp["client_mac"], "02:00:00:00:00:01");
        assert_eq!(dhcp["dhcp_type"], "ack");
        assert_eq!(dhcp["lease_time"], 3600);
        assert_eq!(dhcp["dns_servers"], json!(["192.0.2.2", "192.0.2.3"]));
        assert!(DHCP.log_head(tx).is_some());
        assert_eq!(
            feed.field(&DHCP, 0, "dhcp.leasetime", Direction::ToClient),
            ["3600"]
        );
        let note = feed.session.take_note();
        assert_eq!(
            note,
            Some(Note::Dhcp {
                kind: 5,
                server: 0xc000_0201,
                router: 0xc000_0201
            })
        );
    }

    #[test]
    fn a_request_is_not_logged_and_looked_at_one_way_only() {
        let mut feed = Feed::new(&DHCP, 17, 67);
        feed.give(Direction::ToServer, &message(1, b"\x35\x01\x01\xff"));
        let tx = feed.session.transactions().at(0).unwrap();
        assert!(DHCP.log_head(tx).is_none());
        assert_eq!(tx.state().inspected, [false, true]);
    }

    #[test]
    fn options_that_stop_are_an_event_at_every_length() {
        let whole = message(2, LENT);
        for len in 0..whole.len() {
            let mut feed = Feed::new(&DHCP, 17, 67);
            feed.give(Direction::ToClient, &whole[..len]);
            let logged = feed.logged(&DHCP);
            assert_eq!(logged.is_empty(), len < 240, "{len}");
            if len >= 240 {
                assert_eq!(logged[0]["events"], json!(["truncated_options"]), "{len}");
            }
        }
    }

    #[test]
    fn overloaded_fields_hold_options() {
        let mut bytes = message(2, b"\x34\x01\x01\xff");
        bytes[108..113].copy_from_slice(b"\x35\x01\x05\xff\0");
        let mut feed = Feed::new(&DHCP, 17, 67);
        feed.give(Direction::ToClient, &bytes);
        assert_eq!(feed.logged(&DHCP)[0]["dhcp"]["dhcp_type"], "ack");
    }

    proptest! {
        #[test]
        fn arbitrary_options_do_no_harm(options in prop::collection::vec(any::<u8>(), 0..300), op in 0u8..4) {
            survives(&DHCP, 17, 67, &[(true, message(op, &options)), (false, options)]);
        }
    }
}
