//! Kerberos 5 over UDP and TCP (RFC 4120): who asks for which ticket, and the encryption it comes in.
//!
//! Each message is a transaction. Names and encryption types are read, nothing is decrypted.
//! Limits: over TCP a message of 64 KiB; 16 parts of a name; the oldest transaction goes when there are too many.

use super::ber::{self, Unread, element, signed};
use super::reader::Reader;
use super::{
    Access, Field, FieldDirection, FieldTest, FlowInfo, Input, Limits, LogHead, Login, Note, Notes,
    Outcome, Parsed, Probe, Protocol, Rides, Session, Transaction, TxList, TxState, TxStore,
    session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// Kerberos.
#[derive(Debug)]
pub struct Krb5;

/// Kerberos.
pub static KRB5: Krb5 = Krb5;

const EVENTS: &[&str] = &["malformed_data", "weak_encryption"];
const MALFORMED_DATA: u8 = 0;
const WEAK_ENCRYPTION: u8 = 1;

const TCP: u8 = 6;
const MESSAGE_MAX: usize = 65_536;
const PARTS_MAX: usize = 16;

/// Message types that are transactions.
static TYPES: &[(&str, u64)] = &[
    ("as_req", 10),
    ("as_rep", 11),
    ("tgs_req", 12),
    ("tgs_rep", 13),
    ("ap_req", 14),
    ("ap_rep", 15),
    ("krb_safe", 20),
    ("krb_priv", 21),
    ("krb_cred", 22),
    ("krb_error", 30),
    ("error", 30),
    ("reserved16", 16),
    ("reserved17", 17),
    ("safe", 20),
    ("priv", 21),
    ("cred", 22),
];

fn type_name(kind: u8) -> String {
    match kind {
        10 => "KRB_AS_REQ".into(),
        11 => "KRB_AS_REP".into(),
        12 => "KRB_TGS_REQ".into(),
        13 => "KRB_TGS_REP".into(),
        14 => "KRB_AP_REQ".into(),
        15 => "KRB_AP_REP".into(),
        30 => "KRB_ERROR".into(),
        other => format!("MessageType({other})"),
    }
}

/// Encryption types (RFC 3961 §8, IANA).
static ENCRYPTIONS: &[(&str, u64)] = &[
    ("des-cbc-crc", 1),
    ("des-cbc-md4", 2),
    ("des-cbc-md5", 3),
    ("des3-cbc-md5", 5),
    ("des3-cbc-sha1", 7),
    ("dsaWithSHA1-CmsOID", 9),
    ("md5WithRSAEncryption-CmsOID", 10),
    ("sha1WithRSAEncryption-CmsOID", 11),
    ("rc2CBC-EnvOID", 12),
    ("rsaEncryption-EnvOID", 13),
    ("rsaES-OAEP-ENV-OID", 14),
    ("des-ede3-cbc-Env-OID", 15),
    ("des3-cbc-sha1-kd", 16),
    ("aes128-cts-hmac-sha1-96", 17),
    ("aes256-cts-hmac-sha1-96", 18),
    ("aes128-cts-hmac-sha256-128", 19),
    ("aes256-cts-hmac-sha384-192", 20),
    ("rc4-hmac", 23),
    ("rc4-hmac-exp", 24),
    ("camellia128-cts-cmac", 25),
    ("camellia256-cts-cmac", 26),
    ("subkey-keymaterial", 65),
];

fn encryption_name(number: i64) -> String {
    let found = ENCRYPTIONS
        .iter()
        .find(|(_, n)| i64::try_from(*n) == Ok(number));
    found.map_or_else(
        || format!("Unknown({number})"),
        |(name, _)| (*name).to_owned(),
    )
}

/// Everything but AES and Camellia.
const fn is_weak(number: i64) -> bool {
    !matches!(number, 17..=20 | 25 | 26)
}

/// Errors that refuse a login: an account that does not exist, that is locked, whose password is wrong (RFC 4120 §7.5.9).
/// That pre-authentication is wanted (25) is a step of every login.
const REFUSED: &[i64] = &[6, 18, 24];

/// Error codes (RFC 4120 §7.5.9).
static ERRORS: &[(&str, u64)] = &[
    ("KDC_ERR_NONE", 0),
    ("KDC_ERR_NAME_EXP", 1),
    ("KDC_ERR_SERVICE_EXP", 2),
    ("KDC_ERR_BAD_PVNO", 3),
    ("KDC_ERR_C_OLD_MAST_KVNO", 4),
    ("KDC_ERR_S_OLD_MAST_KVNO", 5),
    ("KDC_ERR_C_PRINCIPAL_UNKNOWN", 6),
    ("KDC_ERR_S_PRINCIPAL_UNKNOWN", 7),
    ("KDC_ERR_PRINCIPAL_NOT_UNIQUE", 8),
    ("KDC_ERR_NULL_KEY", 9),
    ("KDC_ERR_CANNOT_POSTDATE", 10),
    ("KDC_ERR_NEVER_VALID", 11),
    ("KDC_ERR_POLICY", 12),
    ("KDC_ERR_BADOPTION", 13),
    ("KDC_ERR_ETYPE_NOSUPP", 14),
    ("KDC_ERR_SUMTYPE_NOSUPP", 15),
    ("KDC_ERR_PADATA_TYPE_NOSUPP", 16),
    ("KDC_ERR_TRTYPE_NOSUPP", 17),
    ("KDC_ERR_CLIENT_REVOKED", 18),
    ("KDC_ERR_SERVICE_REVOKED", 19),
    ("KDC_ERR_TGT_REVOKED", 20),
    ("KDC_ERR_CLIENT_NOTYET", 21),
    ("KDC_ERR_SERVICE_NOTYET", 22),
    ("KDC_ERR_KEY_EXPIRED", 23),
    ("KDC_ERR_PREAUTH_FAILED", 24),
    ("KDC_ERR_PREAUTH_REQUIRED", 25),
    ("KDC_ERR_SERVER_NOMATCH", 26),
    ("KDC_ERR_MUST_USE_USER2USER", 27),
    ("KDC_ERR_PATH_NOT_ACCEPTED", 28),
    ("KDC_ERR_SVC_UNAVAILABLE", 29),
    ("KRB_AP_ERR_BAD_INTEGRITY", 31),
    ("KRB_AP_ERR_TKT_EXPIRED", 32),
    ("KRB_AP_ERR_TKT_NYV", 33),
    ("KRB_AP_ERR_REPEAT", 34),
    ("KRB_AP_ERR_NOT_US", 35),
    ("KRB_AP_ERR_BADMATCH", 36),
    ("KRB_AP_ERR_SKEW", 37),
    ("KRB_AP_ERR_BADADDR", 38),
    ("KRB_AP_ERR_BADVERSION", 39),
    ("KRB_AP_ERR_MSG_TYPE", 40),
    ("KRB_AP_ERR_MODIFIED", 41),
    ("KRB_AP_ERR_BADORDER", 42),
    ("KRB_AP_ERR_BADKEYVER", 44),
    ("KRB_AP_ERR_NOKEY", 45),
    ("KRB_AP_ERR_MUT_FAIL", 46),
    ("KRB_AP_ERR_BADDIRECTION", 47),
    ("KRB_AP_ERR_METHOD", 48),
    ("KRB_AP_ERR_BADSEQ", 49),
    ("KRB_AP_ERR_INAPP_CKSUM", 50),
    ("KRB_AP_PATH_NOT_ACCEPTED", 51),
    ("KRB_ERR_RESPONSE_TOO_BIG", 52),
    ("KRB_ERR_GENERIC", 60),
    ("KRB_ERR_FIELD_TOOLONG", 61),
    ("KDC_ERROR_CLIENT_NOT_TRUSTED", 62),
    ("KDC_ERROR_KDC_NOT_TRUSTED", 63),
    ("KDC_ERROR_INVALID_SIG", 64),
    ("KDC_ERR_KEY_TOO_WEAK", 65),
    ("KDC_ERR_CERTIFICATE_MISMATCH", 66),
    ("KRB_AP_ERR_NO_TGT", 67),
    ("KDC_ERR_WRONG_REALM", 68),
    ("KRB_AP_ERR_USER_TO_USER_REQUIRED", 69),
    ("KDC_ERR_CANT_VERIFY_CERTIFICATE", 70),
    ("KDC_ERR_INVALID_CERTIFICATE", 71),
    ("KDC_ERR_REVOKED_CERTIFICATE", 72),
    ("KDC_ERR_REVOCATION_STATUS_UNKNOWN", 73),
    ("KDC_ERR_REVOCATION_STATUS_UNAVAILABLE", 74),
    ("KDC_ERR_CLIENT_NAME_MISMATCH", 75),
    ("KDC_ERR_KDC_NAME_MISMATCH", 76),
];

impl Protocol for Krb5 {
    fn name(&self) -> &'static str {
        "krb5"
    }

    fn rides(&self) -> Rides {
        Rides::Both
    }

    fn ports(&self) -> &'static [u16] {
        &[88]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        let mut r = Reader::new(bytes);
        if key.proto == TCP {
            match r.u32() {
                None => return Probe::NeedMore,
                Some(len) if len > 16_384 => return Probe::NotMine,
                Some(_) => {}
            }
        }
        let outer = ber::header(&mut r);
        let inner = ber::header(&mut r);
        // The first member is the version, 5, as [0] or [1].
        let version = ber::header(&mut r);
        match (outer, inner, version) {
            (Err(Unread::NeedMore(_)), ..)
            | (_, Err(Unread::NeedMore(_)), _)
            | (.., Err(Unread::NeedMore(_)))
                if key.proto == TCP && bytes.len() < 20 =>
            {
                Probe::NeedMore
            }
            (Ok((1, true, 1..=30, _)), Ok((0, true, ber::SEQUENCE, _)), Ok((2, true, _, 3)))
                if r.rest().starts_with(&[2, 1, 5]) =>
            {
                Probe::Match
            }
            (Ok(_), Ok(_), Ok(_)) if key.proto == TCP && r.left() < 3 && bytes.len() < 20 => {
                Probe::NeedMore
            }
            _ => Probe::NotMine,
        }
    }

    fn session(&self, limits: &Limits) -> Box<dyn Session> {
        Box::new(Krb5Session {
            max: limits.transactions.max(1),
            ..Krb5Session::default()
        })
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("krb5"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = of(tx) else { return };
        let m = &tx.message;
        json.object("krb5").str("msg_type", type_name(m.kind));
        if let Some(code) = m.error {
            json.str(
                "failed_request",
                tx.request.map_or_else(|| "UNKNOWN".to_owned(), type_name),
            );
            let name = ERRORS.iter().find(|(_, c)| i64::try_from(*c) == Ok(code));
            json.str(
                "error_code",
                name.map_or_else(|| format!("Unknown({code})"), |(n, _)| (*n).to_owned()),
            );
        }
        let name = |parts: &Option<Vec<Vec<u8>>>| {
            parts
                .as_ref()
                .map_or_else(|| b"<empty>".to_vec(), |p| p.join(&b'/'))
        };
        json.str("cname", name(&m.client));
        json.str("realm", m.realm.as_deref().unwrap_or(b"<empty>"));
        json.str("sname", name(&m.service));
        json.str(
            "encryption",
            m.encryption
                .map_or_else(|| "<none>".to_owned(), encryption_name),
        );
        json.bool("weak_encryption", m.encryption.is_some_and(is_weak));
        if let Some(number) = m.ticket_encryption {
            json.str("ticket_encryption", encryption_name(number))
                .bool("ticket_weak_encryption", is_weak(number));
        }
        json.end();
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx).map(|tx| (tx.message.kind, tx.message.error)) {
            // Preauthentication required is the usual first answer.
            Some((_, Some(25))) => Outcome::Answered(25),
            Some((_, Some(code))) => Outcome::Failure(u32::try_from(code).unwrap_or(u32::MAX)),
            Some((11 | 13, _)) => Outcome::Success(0),
            _ => Outcome::Unknown,
        }
    }
}

/// A message.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    client: Option<Vec<Vec<u8>>>,
    realm: Option<Vec<u8>>,
    service: Option<Vec<Vec<u8>>>,
    encryption: Option<i64>,
    ticket_encryption: Option<i64>,
    error: Option<i64>,
}

/// The members of a sequence by their context tag.
struct Members<'a>([Option<&'a [u8]>; 16]);

impl<'a> Members<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(ber::universal(&mut Reader::new(bytes), ber::SEQUENCE)?);
        let mut members = [None; 16];
        while !r.is_empty() {
            let member = element(&mut r).ok().filter(|e| e.class == 2)?;
            if let Some(slot) = members.get_mut(member.tag as usize) {
                *slot = Some(member.body);
            }
        }
        Some(Self(members))
    }

    fn get(&self, tag: usize) -> Option<&'a [u8]> {
        self.0.get(tag).copied().flatten()
    }

    fn number(&self, tag: usize) -> Option<i64> {
        signed(ber::universal(
            &mut Reader::new(self.get(tag)?),
            ber::INTEGER,
        )?)
    }

    /// GeneralString.
    fn text(&self, tag: usize) -> Option<Vec<u8>> {
        ber::universal(&mut Reader::new(self.get(tag)?), 27).map(<[u8]>::to_vec)
    }

    /// PrincipalName: its parts.
    fn name(&self, tag: usize) -> Option<Vec<Vec<u8>>> {
        let name = Self::read(self.get(tag)?)?;
        let mut list = Reader::new(ber::universal(
            &mut Reader::new(name.get(1)?),
            ber::SEQUENCE,
        )?);
        let parts = std::iter::from_fn(|| ber::universal(&mut list, 27).map(<[u8]>::to_vec));
        Some(parts.take(PARTS_MAX).collect())
    }
}

/// A ticket that a client shows a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Of the service.
    pub(super) realm: Vec<u8>,
    /// The parts of the service's name.
    pub(super) service: Vec<Vec<u8>>,
}

impl Ticket {
    /// Finds an AP-REQ (§5.5.1) in a token of GSS-API (RFC 4121 §4.1), whatever wraps it.
    pub(super) fn find(blob: &[u8]) -> Option<Self> {
        // The mechanism 1.2.840.113554.1.2.2, and the token's type.
        const MARK: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00";
        let start = memchr::memmem::find(blob, MARK)?.checked_add(MARK.len())?;
        let application = |bytes, tag| {
            let found = element(&mut Reader::new(bytes)).ok()?;
            (found.class == 1 && found.tag == tag).then_some(found.body)
        };
        let request = Members::read(application(blob.get(start..)?, 14)?)?;
        let ticket = Members::read(application(request.get(3)?, 1)?)?;
        Some(Self {
            realm: ticket.text(1)?,
            service: ticket.name(2)?,
        })
    }
}

/// Reads a message. The outer `None`: not BER; the inner: of no interest.
#[expect(
    clippy::option_option,
    reason = "a message that tells nothing is not a broken one"
)]
fn read(bytes: &[u8]) -> Option<Option<(u8, Option<Message>)>> {
    let outer = element(&mut Reader::new(bytes)).ok()?;
    if outer.class != 1 {
        return Some(None);
    }
    let kind = u8::try_from(outer.tag).ok()?;
    Some(Some((kind, message(kind, outer.body))))
}

fn message(kind: u8, body: &[u8]) -> Option<Message> {
    let outer = Members::read(body)?;
    let mut m = Message {
        kind,
        ..Message::default()
    };
    match kind {
        10 | 12 => {
            let body = Members::read(outer.get(4)?)?;
            m.client = body.name(1);
            m.realm = Some(body.text(2)?);
            m.service = body.name(3);
        }
        11 | 13 => {
            m.realm = Some(outer.text(3)?);
            m.client = Some(outer.name(4)?);
            let ticket = element(&mut Reader::new(outer.get(5)?))
                .ok()
                .filter(|e| e.class == 1 && e.tag == 1)?;
            let ticket = Members::read(ticket.body)?;
            m.service = Some(ticket.name(2)?);
            m.ticket_encryption = Some(Members::read(ticket.get(3)?)?.number(0)?);
            m.encryption = Some(Members::read(outer.get(6)?)?.number(0)?);
        }
        30 => {
            m.error = Some(outer.number(6)?);
            m.realm = outer.text(7);
            m.client = outer.name(8);
            m.service = Some(outer.name(10)?);
        }
        _ => return None,
    }
    Some(m)
}

/// The transaction of a message.
#[derive(Debug)]
struct Krb5Tx {
    state: TxState,
    message: Message,
    /// What an answer answers, when that was seen.
    request: Option<u8>,
}

impl Transaction for Krb5Tx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        1
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct Krb5Session {
    txs: TxStore<Krb5Tx>,
    /// Type of the last request, until it is answered.
    request: Option<u8>,
    max: usize,
    /// Logins and their outcome.
    notes: Notes,
}

impl Krb5Session {
    /// Takes one message; false when it is not BER.
    fn message(&mut self, direction: Direction, bytes: &[u8]) -> bool {
        let Some(read) = read(bytes) else {
            if let Some(tx) = self.txs.last_mut() {
                tx.state.raise(MALFORMED_DATA);
            }
            return false;
        };
        let Some((kind, message)) = read else {
            return true;
        };
        match (kind, message.as_ref().and_then(|m| m.error)) {
            // A ticket: the password was right.
            (11, _) => self.notes.login(Login::Succeeded),
            (30, Some(error)) if REFUSED.contains(&error) => self.notes.login(Login::Failed),
            _ => {}
        }
        if let Some(message) = message {
            if self.txs.len() >= self.max {
                self.txs.remove(0);
            }
            let mut state = TxState::default();
            state.inspected[direction.reverse().index()] = true;
            state.touch(direction);
            if message.encryption.is_some_and(is_weak) {
                state.raise(WEAK_ENCRYPTION);
            }
            let request = if matches!(kind, 11 | 13 | 30) {
                self.request
            } else {
                None
            };
            self.txs.push(Krb5Tx {
                state,
                message,
                request,
            });
        }
        match kind {
            10 | 12 | 14 => self.request = Some(kind),
            11 | 13 | 15 | 30 => self.request = None,
            _ => {}
        }
        true
    }
}

impl Session for Krb5Session {
    session_members!();

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if flow.key.proto != TCP {
            if !input.bytes.is_empty() {
                self.message(direction, input.bytes);
            }
            return Parsed::All;
        }
        if input.gap > 0 {
            return Parsed::Error;
        }
        let mut r = Reader::new(input.bytes);
        loop {
            let (consumed, mut whole) = (r.position(), r);
            if r.is_empty() {
                return Parsed::All;
            }
            let Some(len) = whole.u32() else {
                return Parsed::NeedMore {
                    consumed,
                    needed: 4 - r.left(),
                };
            };
            let len = len as usize;
            if len > MESSAGE_MAX {
                return Parsed::Error;
            }
            let Some(message) = whole.take(len) else {
                return Parsed::NeedMore {
                    consumed,
                    needed: len - whole.left(),
                };
            };
            r = whole;
            if len > 0 && !self.message(direction, message) {
                return Parsed::Error;
            }
        }
    }
}

fn of(tx: &dyn Transaction) -> Option<&Krb5Tx> {
    tx.as_any().downcast_ref()
}

fn kind(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)
        .filter(|_| index == 0)
        .map(|tx| u64::from(tx.message.kind))
}

fn error(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?
        .message
        .error
        .filter(|_| index == 0)
        .and_then(|e| u64::try_from(e).ok())
}

fn client<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    of(tx)?
        .message
        .client
        .as_ref()?
        .get(index)
        .map(Vec::as_slice)
}

fn service<'a>(
    tx: &'a dyn Transaction,
    _: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    of(tx)?
        .message
        .service
        .as_ref()?
        .get(index)
        .map(Vec::as_slice)
}

/// `krb5.ticket_encryption:weak`, `krb5.ticket_encryption:rc4-hmac,23,!18`.
#[derive(Debug)]
enum TicketEncryption {
    Weak(bool),
    /// Types and whether each is wanted.
    List(Vec<(i64, bool)>),
}

fn ticket_encryption(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = argument.trim();
    match text {
        "weak" => return Ok(Box::new(TicketEncryption::Weak(true))),
        "!weak" => return Ok(Box::new(TicketEncryption::Weak(false))),
        _ => {}
    }
    let one = |word: &str| {
        let (wanted, word) = word
            .strip_prefix('!')
            .map_or((true, word), |w| (false, w.trim()));
        let named = ENCRYPTIONS
            .iter()
            .find(|(name, _)| *name == word)
            .and_then(|(_, n)| i64::try_from(*n).ok());
        let number = named.or_else(|| word.parse().ok());
        number
            .map(|n| (n, wanted))
            .ok_or_else(|| format!("{word:?} is not an encryption type"))
    };
    let list: Result<Vec<_>, _> = text
        .split([',', ' '])
        .filter(|w| !w.is_empty())
        .map(one)
        .collect();
    match list? {
        list if list.is_empty() => Err("names no encryption type".into()),
        list => Ok(Box::new(TicketEncryption::List(list))),
    }
}

impl FieldTest for TicketEncryption {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, _: Direction) -> bool {
        let Some(number) = of(tx).and_then(|tx| tx.message.ticket_encryption) else {
            return false;
        };
        match self {
            Self::Weak(weak) => is_weak(number) == *weak,
            Self::List(list) => match list.iter().find(|(n, _)| *n == number) {
                Some((_, wanted)) => *wanted,
                None => list.iter().all(|(_, wanted)| !wanted),
            },
        }
    }
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, FieldDirection::Both, access, doc)
        .at(1)
        .also(aliases)
}

static FIELDS: &[Field] = &[
    field(
        "krb5_msg_type",
        &["krb5.msg_type"],
        Access::Integer {
            value: kind,
            names: TYPES,
            max: 255,
        },
        "message type",
    ),
    field(
        "krb5_err_code",
        &["krb5.err_code"],
        Access::Integer {
            value: error,
            names: ERRORS,
            max: u32::MAX as u64,
        },
        "error code",
    ),
    field(
        "krb5.cname",
        &["krb5_cname"],
        Access::Multi(client),
        "parts of the client's name",
    ),
    field(
        "krb5.sname",
        &["krb5_sname"],
        Access::Multi(service),
        "parts of the service's name",
    ),
    field(
        "krb5.ticket_encryption",
        &[],
        Access::Test(ticket_encryption),
        "encryption of the ticket",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, flow, survives};

    fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
        assert!(body.len() < 128);
        [&[tag, body.len() as u8][..], body].concat()
    }

    fn name(parts: &[&str]) -> Vec<u8> {
        let list: Vec<u8> = parts.iter().flat_map(|p| tlv(27, p.as_bytes())).collect();
        tlv(
            0x30,
            &[tlv(0xa0, &[2, 1, 1]), tlv(0xa1, &tlv(0x30, &list))].concat(),
        )
    }

    #[test]
    fn a_ticket_is_found_in_what_wraps_it() {
        let ticket = [
            tlv(0xa0, &[2, 1, 5]),
            tlv(0xa1, &tlv(27, b"LAN")),
            tlv(0xa2, &name(&["cifs", "files"])),
        ];
        let ticket = tlv(0x61, &tlv(0x30, &ticket.concat()));
        let request = [tlv(0xa0, &[2, 1, 5]), tlv(0xa3, &ticket)];
        let request = tlv(0x6e, &tlv(0x30, &request.concat()));
        let mut blob = b"spnego".to_vec();
        blob.extend(b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00");
        blob.extend(&request);
        let found = Ticket::find(&blob).unwrap();
        assert_eq!(found.realm, b"LAN");
        assert_eq!(found.service, [b"cifs".to_vec(), b"files".to_vec()]);
        assert_eq!(Ticket::find(&blob[..blob.len() - 1]), None);
    }

    fn error() -> Vec<u8> {
        let members = [
            tlv(0xa0, &[2, 1, 5]),
            tlv(0xa1, &[2, 1, 30]),
            tlv(0xa6, &[2, 1, 24]),
            tlv(0xaa, &name(&["krbtgt", "LAN"])),
        ];
        tlv(0x7e, &tlv(0x30, &members.concat()))
    }

    fn request() -> Vec<u8> {
        let body = [
            tlv(0xa1, &name(&["alice"])),
            tlv(0xa2, &tlv(27, b"LAN")),
            tlv(0xa3, &name(&["krbtgt", "LAN"])),
        ];
        let members = [
            tlv(0xa1, &[2, 1, 5]),
            tlv(0xa2, &[2, 1, 10]),
            tlv(0xa4, &tlv(0x30, &body.concat())),
        ];
        tlv(0x6a, &tlv(0x30, &members.concat()))
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    #[test]
    fn a_wrong_password_is_a_failed_login_and_wanted_preauthentication_is_none() {
        let mut feed = Feed::new(&KRB5, 17, 88);
        feed.give(Direction::ToServer, &request());
        feed.give(Direction::ToClient, &error());
        assert_eq!(feed.session.take_note(), Some(Note::Login(Login::Failed)));
        let wanted: Vec<u8> = error();
        let at = wanted.windows(3).position(|w| w == [2, 1, 24]).unwrap();
        let mut wanted = wanted;
        wanted[at + 2] = 25;
        feed.give(Direction::ToClient, &wanted);
        assert_eq!(feed.session.take_note(), None);
    }

    #[test]
    fn a_request_and_its_refusal_are_read() {
        let mut feed = Feed::new(&KRB5, 17, 88);
        feed.give(Direction::ToServer, &request());
        feed.give(Direction::ToClient, &error());
        let log = feed.logged(&KRB5);
        assert_eq!(log[0]["krb5"]["cname"], "alice");
        assert_eq!(log[0]["krb5"]["encryption"], "<none>");
        assert_eq!(log[1]["krb5"]["failed_request"], "KRB_AS_REQ");
        assert_eq!(log[1]["krb5"]["error_code"], "KDC_ERR_PREAUTH_FAILED");
        assert_eq!(log[1]["krb5"]["sname"], "krbtgt/LAN");
        assert_eq!(
            feed.field(&KRB5, 0, "krb5.sname", Direction::ToServer),
            ["krbtgt", "LAN"]
        );
        assert_eq!(
            KRB5.outcome(feed.session.transactions().at(1).expect("two")),
            Outcome::Failure(24)
        );
    }

    #[test]
    fn pieces_never_matter() {
        let (client, server) = (framed(&request()), framed(&error()));
        chunking_never_matters(
            &KRB5,
            88,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
    }

    #[test]
    fn the_probe_asks_for_version_five() {
        assert_eq!(
            KRB5.probe(Direction::ToServer, &request(), &flow(17, 88).key),
            Probe::Match
        );
        assert_eq!(
            KRB5.probe(Direction::ToServer, &framed(&request()), &flow(6, 88).key),
            Probe::Match
        );
        assert_eq!(
            KRB5.probe(
                Direction::ToServer,
                &framed(&request())[..6],
                &flow(6, 88).key
            ),
            Probe::NeedMore
        );
        assert_eq!(
            KRB5.probe(
                Direction::ToServer,
                b"\x30\x10\x02\x01\x01\x04\x06public",
                &flow(17, 88).key
            ),
            Probe::NotMine
        );
    }

    #[test]
    fn ticket_encryptions_are_named_numbered_and_negated() {
        assert!(ticket_encryption("rc4-hmac,18").is_ok() && ticket_encryption("!weak").is_ok());
        assert!(ticket_encryption("rot13").is_err() && ticket_encryption("").is_err());
    }

    proptest! {
        #[test]
        fn damaged_messages_do_no_harm(at in 0usize..90, value: u8, tail in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut m = request();
            if let Some(b) = m.get_mut(at) { *b = value; }
            survives(&KRB5, 17, 88, &[(false, m.clone()), (true, tail.clone())]);
            survives(&KRB5, 6, 88, &[(false, framed(&m)), (true, tail)]);
        }
    }
}
