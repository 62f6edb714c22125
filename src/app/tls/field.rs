//! The rule keywords of TLS: names, certificates, fingerprints, versions, states, validity.

use super::hello::Hello;
use super::{CLIENT_HELLO_DONE, SERVER_CERT_DONE, TlsTx};
use crate::app::{Access, Field, FieldDirection, FieldTest, Session, Transaction};
use crate::packet::Direction;

fn of(tx: &dyn Transaction) -> Option<&TlsTx> {
    tx.as_any().downcast_ref()
}

fn hello_of(tx: &dyn Transaction, d: Direction) -> Option<&Hello> {
    of(tx)?.side(d).hello.as_ref()
}

fn sni<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    hello_of(tx, Direction::ToServer)?.sni.as_deref()
}

fn alpn<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    hello_of(tx, d)?.alpns.get(index).map(Vec::as_slice)
}

fn random<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    Some(&hello_of(tx, d)?.random)
}

fn random_time<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    hello_of(tx, d)?.random.get(..4)
}

fn random_bytes<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    hello_of(tx, d)?.random.get(4..)
}

fn subject<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    Some(&of(tx)?.side(d).chain.leaf.as_ref()?.subject)
}

fn issuer<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    Some(&of(tx)?.side(d).chain.leaf.as_ref()?.issuer)
}

fn serial<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    Some(&of(tx)?.side(d).chain.leaf.as_ref()?.serial)
}

fn fingerprint<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    Some(&of(tx)?.side(d).chain.leaf.as_ref()?.fingerprint)
}

fn alternative<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    of(tx)?
        .side(d)
        .chain
        .leaf
        .as_ref()?
        .names
        .get(index)
        .map(Vec::as_slice)
}

fn certificate<'a>(
    tx: &'a dyn Transaction,
    d: Direction,
    index: usize,
    _: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    of(tx)?
        .side(d)
        .chain
        .certificates
        .get(index)
        .map(Vec::as_slice)
}

fn chain_len(tx: &dyn Transaction, d: Direction, index: usize) -> Option<u64> {
    let count = of(tx)?.side(d).chain.certificates.len() as u64;
    (index == 0).then_some(count)
}

fn ja3_hash<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx)?
        .side(d)
        .ja3
        .as_ref()
        .map(|(_, hash)| hash.as_bytes())
}

fn ja3_string<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx)?
        .side(d)
        .ja3
        .as_ref()
        .map(|(text, _)| text.as_bytes())
}

fn ja4<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    of(tx)?
        .side(Direction::ToServer)
        .ja4
        .as_ref()
        .map(String::as_bytes)
}

/// `tls.version:1.2`, `tls.version:0x7f12`.
#[derive(Debug)]
struct VersionIs {
    version: u16,
    /// Drafts of 1.3 count as 1.3, unless the number was given.
    raw: bool,
}

fn version(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = argument.trim().trim_matches('"').trim();
    let (version, raw) = match text {
        "1.0" => (0x0301, false),
        "1.1" => (0x0302, false),
        "1.2" => (0x0303, false),
        "1.3" => (0x0304, false),
        hex if hex.len() == 6 && hex.starts_with("0x") => {
            let number = hex
                .get(2..)
                .and_then(|digits| u16::from_str_radix(digits, 16).ok());
            (
                number.ok_or_else(|| format!("tls.version: {hex:?} is not a number"))?,
                true,
            )
        }
        other => {
            return Err(format!(
                "tls.version: {other:?} is none of 1.0, 1.1, 1.2, 1.3, 0xNNNN"
            ));
        }
    };
    Ok(Box::new(VersionIs { version, raw }))
}

impl FieldTest for VersionIs {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let Some(tx) = of(tx) else { return false };
        let seen = tx.side(direction).version;
        let seen = if !self.raw && seen >> 8 == 0x7f {
            super::version::TLS13
        } else {
            seen
        };
        seen == self.version
    }
}

/// `ssl_version:tls1.0,tls1.1`, `ssl_version:!sslv3`.
#[derive(Debug)]
struct VersionIn {
    negated: bool,
    /// SSL 2, SSL 3, TLS 1.0 … 1.3.
    wanted: [bool; 6],
}

fn ssl_version(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let text = argument.trim();
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut wanted = [false; 6];
    for word in text
        .split([',', ' '])
        .map(str::trim)
        .filter(|w| !w.is_empty())
    {
        let names = ["sslv2", "sslv3", "tls1.0", "tls1.1", "tls1.2", "tls1.3"];
        let index = names.iter().position(|n| n.eq_ignore_ascii_case(word));
        match index.and_then(|i| wanted.get_mut(i)) {
            Some(seen) if *seen => return Err(format!("ssl_version: {word:?} is named twice")),
            Some(seen) => *seen = true,
            None => {
                return Err(format!(
                    "ssl_version: {word:?} is none of {}",
                    names.join(", ")
                ));
            }
        }
    }
    if wanted == [false; 6] {
        return Err("ssl_version: names no version".into());
    }
    Ok(Box::new(VersionIn { negated, wanted }))
}

impl FieldTest for VersionIn {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let Some(tx) = of(tx) else { return false };
        let [ssl2, ssl3, tls10, tls11, tls12, tls13] = self.wanted;
        let wanted = match tx.side(direction).version {
            super::version::SSL2 => ssl2,
            0x0300 => ssl3,
            0x0301 => tls10,
            0x0302 => tls11,
            0x0303 => tls12,
            0x0304 | 0x7f01 | 0x7f10..=0x7f1c => tls13,
            _ => return false,
        };
        wanted != self.negated
    }
}

/// `ssl_state:client_hello`, `ssl_state:!server_hello|client_keyx`.
#[derive(Debug)]
struct StateIs {
    /// client_hello, server_hello, client_keyx, server_keyx, unknown: whether it is asked for, and whether negated.
    asked: [Option<bool>; 5],
}

fn ssl_state(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let mut asked = [None; 5];
    for word in argument.trim().split(['|', ',']).map(str::trim) {
        let (negated, word) = word
            .strip_prefix('!')
            .map_or((false, word), |rest| (true, rest));
        let names = [
            "client_hello",
            "server_hello",
            "client_keyx",
            "server_keyx",
            "unknown",
        ];
        match names
            .iter()
            .position(|n| *n == word)
            .and_then(|i| asked.get_mut(i))
        {
            Some(slot) => *slot = Some(negated),
            None => {
                return Err(format!(
                    "ssl_state: {word:?} is none of {}",
                    names.join(", ")
                ));
            }
        }
    }
    Ok(Box::new(StateIs { asked }))
}

impl FieldTest for StateIs {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let Some(tx) = of(tx) else { return false };
        let side = tx.side(direction);
        let (hello, keyx) = (side.hello.is_some(), side.key_exchange);
        let seen = match direction {
            Direction::ToServer => [hello, false, keyx, false, false],
            Direction::ToClient => [false, hello, false, keyx, false],
        };
        self.asked
            .iter()
            .zip(seen)
            .any(|(asked, seen)| asked.is_some_and(|negated| seen != negated))
    }
}

/// `tls.subject:"CN=…"` and its like: the text somewhere in a name of the certificate.
#[derive(Debug)]
struct Contains {
    text: Vec<u8>,
    negated: bool,
    read: crate::app::ReadOne,
}

impl FieldTest for Contains {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let mut scratch = Vec::new();
        (self.read)(tx, direction, &mut scratch)
            .is_some_and(|value| memchr::memmem::find(value, &self.text).is_some() != self.negated)
    }
}

fn quoted(argument: &str) -> (Vec<u8>, bool) {
    let text = argument.trim();
    let (negated, text) = text
        .strip_prefix('!')
        .map_or((false, text), |rest| (true, rest.trim()));
    let text = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text);
    (text.as_bytes().to_vec(), negated)
}

fn subject_has(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let (text, negated) = quoted(argument);
    Ok(Box::new(Contains {
        text,
        negated,
        read: subject,
    }))
}

fn issuer_has(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let (text, negated) = quoted(argument);
    Ok(Box::new(Contains {
        text,
        negated,
        read: issuer,
    }))
}

fn fingerprint_has(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    let (text, negated) = quoted(argument);
    Ok(Box::new(Contains {
        text: text.to_ascii_lowercase(),
        negated,
        read: fingerprint,
    }))
}

/// How a date of the certificate must lie.
#[derive(Debug)]
enum Validity {
    /// Exactly then.
    At(i64),
    /// Then or before.
    Before(i64),
    /// Then or after.
    After(i64),
    /// From, to.
    Within(i64, i64),
    /// Over when the last packet came.
    Expired,
    /// Not over when the last packet came.
    Valid,
}

#[derive(Debug)]
struct Date {
    how: Validity,
    end: bool,
}

impl FieldTest for Date {
    fn test(&self, tx: &dyn Transaction, _: &dyn Session, direction: Direction) -> bool {
        let Some(tx) = of(tx) else { return false };
        let Some(leaf) = &tx.side(direction).chain.leaf else {
            return false;
        };
        let date = if self.end {
            leaf.not_after
        } else {
            leaf.not_before
        };
        let now = i64::try_from(tx.last.secs()).unwrap_or(i64::MAX);
        date != 0
            && match self.how {
                Validity::At(then) => date == then,
                Validity::Before(then) => date <= then,
                Validity::After(then) => date >= then,
                Validity::Within(from, to) => (from..=to).contains(&date),
                Validity::Expired => now > date,
                Validity::Valid => now <= date,
            }
    }
}

fn not_before(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    Ok(Box::new(Date {
        how: validity(argument)?,
        end: false,
    }))
}

fn not_after(argument: &str) -> Result<Box<dyn FieldTest>, String> {
    Ok(Box::new(Date {
        how: validity(argument)?,
        end: true,
    }))
}

fn expired(_: &str) -> Result<Box<dyn FieldTest>, String> {
    Ok(Box::new(Date {
        how: Validity::Expired,
        end: true,
    }))
}

fn valid(_: &str) -> Result<Box<dyn FieldTest>, String> {
    Ok(Box::new(Date {
        how: Validity::Valid,
        end: true,
    }))
}

fn validity(argument: &str) -> Result<Validity, String> {
    let text = argument.trim();
    if let Some((from, to)) = text.split_once("<>") {
        let (from, to) = (date(from)?, date(to)?);
        return if to > from {
            Ok(Validity::Within(from, to))
        } else {
            Err("the range ends before it begins".into())
        };
    }
    match text.split_at_checked(1) {
        Some(("<", then)) => Ok(Validity::Before(date(then)?)),
        Some((">", then)) => Ok(Validity::After(date(then)?)),
        _ => Ok(Validity::At(date(text)?)),
    }
}

/// Seconds since the epoch from `2015`, `2015-10-22`, `2015-10-22 23:59:59`, `2015-10-22T23`, or seconds themselves.
fn date(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a date");
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if digits(text) && text.len() != 4 {
        return text.parse().map_err(|_| wrong());
    }
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let mut parts = [1i64; 3];
    let mut times = [0i64; 3];
    let fill = |text: &str, by: char, into: &mut [i64; 3]| -> Result<(), String> {
        for (i, part) in text.split(by).enumerate() {
            let slot = into.get_mut(i).filter(|_| digits(part)).ok_or_else(wrong)?;
            *slot = part.parse().map_err(|_| wrong())?;
        }
        Ok(())
    };
    fill(day, '-', &mut parts)?;
    if !time.is_empty() {
        fill(time, ':', &mut times)?;
    }
    let ([year, month, day], [hour, minute, second]) = (parts, times);
    if !(1..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 24
    {
        return Err(wrong());
    }
    // Howard Hinnant's days-from-civil.
    let y = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    Ok(days * 86_400 + hour * 3600 + minute.min(60) * 60 + second.min(61))
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    direction: FieldDirection,
    progress: u8,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc)
        .at(progress)
        .also(aliases)
}

use FieldDirection::{Both, ToClient, ToServer};

/// Client and server count their certificates' progress alike (2).
const CERT: u8 = SERVER_CERT_DONE;
/// And their hellos' (1).
const HELLO: u8 = CLIENT_HELLO_DONE;

pub(super) static FIELDS: &[Field] = &[
    field(
        "tls.sni",
        &["tls_sni"],
        ToServer,
        HELLO,
        Access::Bytes(sni),
        "server name the client asks for",
    ),
    field(
        "tls.alpn",
        &[],
        Both,
        HELLO,
        Access::Multi(alpn),
        "application protocols offered or chosen",
    ),
    field(
        "tls.random",
        &[],
        Both,
        HELLO,
        Access::Bytes(random),
        "the 32 bytes of random of a hello",
    ),
    field(
        "tls.random_time",
        &[],
        Both,
        HELLO,
        Access::Bytes(random_time),
        "their first 4 bytes",
    ),
    field(
        "tls.random_bytes",
        &[],
        Both,
        HELLO,
        Access::Bytes(random_bytes),
        "their last 28 bytes",
    ),
    field(
        "tls.cert_subject",
        &["tls_cert_subject"],
        Both,
        CERT,
        Access::Bytes(subject),
        "subject of the certificate",
    ),
    field(
        "tls.cert_issuer",
        &["tls_cert_issuer"],
        Both,
        CERT,
        Access::Bytes(issuer),
        "issuer of the certificate",
    ),
    field(
        "tls.cert_serial",
        &["tls_cert_serial"],
        Both,
        CERT,
        Access::Bytes(serial),
        "serial number, 0A:1B…",
    ),
    field(
        "tls.cert_fingerprint",
        &["tls_cert_fingerprint"],
        Both,
        CERT,
        Access::Bytes(fingerprint),
        "SHA-1, 0a:1b…",
    ),
    field(
        "tls.subjectaltname",
        &[],
        ToClient,
        CERT,
        Access::Multi(alternative),
        "alternative names of the certificate",
    ),
    field(
        "tls.certs",
        &[],
        Both,
        CERT,
        Access::Multi(certificate),
        "the certificates, DER",
    ),
    field(
        "tls.cert_chain_len",
        &[],
        ToClient,
        CERT,
        Access::Integer {
            value: chain_len,
            names: &[],
            max: u32::MAX as u64,
        },
        "number of certificates in the chain",
    ),
    field(
        "tls.subject",
        &[],
        Both,
        CERT,
        Access::Test(subject_has),
        "text in the subject of the certificate",
    ),
    field(
        "tls.issuerdn",
        &[],
        Both,
        CERT,
        Access::Test(issuer_has),
        "text in the issuer of the certificate",
    ),
    field(
        "tls.fingerprint",
        &[],
        Both,
        CERT,
        Access::Test(fingerprint_has),
        "SHA-1 of the certificate",
    ),
    field(
        "tls.version",
        &[],
        Both,
        HELLO,
        Access::Test(version),
        "version of the hello",
    ),
    field(
        "ssl_version",
        &[],
        Both,
        HELLO,
        Access::Test(ssl_version),
        "version, among several",
    ),
    field(
        "ssl_state",
        &[],
        Both,
        HELLO,
        Access::Test(ssl_state),
        "handshake messages seen",
    ),
    field(
        "tls_cert_notbefore",
        &[],
        ToClient,
        CERT,
        Access::Test(not_before),
        "start of the certificate's validity",
    ),
    field(
        "tls_cert_notafter",
        &[],
        ToClient,
        CERT,
        Access::Test(not_after),
        "end of the certificate's validity",
    ),
    field(
        "tls_cert_expired",
        &[],
        ToClient,
        CERT,
        Access::Test(expired),
        "the certificate's validity is over",
    ),
    field(
        "tls_cert_valid",
        &[],
        ToClient,
        CERT,
        Access::Test(valid),
        "the certificate's validity is not over",
    ),
    field(
        "ja3.hash",
        &["ja3_hash"],
        ToServer,
        HELLO,
        Access::Bytes(ja3_hash),
        "JA3 of the client, MD5",
    ),
    field(
        "ja3.string",
        &["ja3_string"],
        ToServer,
        HELLO,
        Access::Bytes(ja3_string),
        "JA3 of the client, in full",
    ),
    field(
        "ja3s.hash",
        &[],
        ToClient,
        HELLO,
        Access::Bytes(ja3_hash),
        "JA3S of the server, MD5",
    ),
    field(
        "ja3s.string",
        &[],
        ToClient,
        HELLO,
        Access::Bytes(ja3_string),
        "JA3S of the server, in full",
    ),
    field(
        "ja4.hash",
        &["ja4_hash"],
        ToServer,
        HELLO,
        Access::Bytes(ja4),
        "JA4 of the client",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form() {
        assert_eq!(date("1445852105"), Ok(1_445_852_105));
        assert_eq!(date("1970"), Ok(0));
        assert_eq!(date("2015-10-22T23:59:59"), Ok(1_445_558_399));
        assert_eq!(date("2015-10 "), Ok(1_443_657_600));
        assert!(date("soon").is_err() && date("2015-13").is_err());
    }

    #[test]
    fn wrong_arguments_are_refused_with_their_text() {
        assert!(
            ssl_version("tls1.0,tls1.0").is_err()
                && ssl_version("").is_err()
                && ssl_version("tls9").is_err()
        );
        assert!(
            version("0x7f12").is_ok()
                && version("\"1.2\"").is_ok()
                && version("2").unwrap_err().contains("\"2\"")
        );
        assert!(ssl_state("client_hello|!server_keyx").is_ok() && ssl_state("later").is_err());
        assert!(
            not_after("2016<>2015").is_err()
                && not_after("2015<>2016").is_ok()
                && not_before("<2010").is_ok()
        );
    }
}
