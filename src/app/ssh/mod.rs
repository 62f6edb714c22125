//! SSH up to its encryption: banners and key exchange (RFC 4253), and the HASSH fingerprints made of them.
//!
//! One transaction a flow. Once both sides have sent NEWKEYS the rest is bypassed; what one side sends after its own
//! NEWKEYS is encrypted and passed over. Whether a login worked is not visible.
//! Limits: 256 bytes of banner are read, a key exchange of 64 KiB is buffered.

use super::reader::Reader;
use super::tls::hello::md5_hex;
use super::{
    Access, Field, FieldDirection, FlowInfo, FrameNotes, Input, Limits, LogHead, Parsed, Pattern,
    Protocol, Rides, Session, Transaction, TxList, TxState, TxStore, session_members,
    transaction_members,
};
use crate::alert::Json;
use crate::packet::Direction;

/// SSH.
#[derive(Debug)]
pub struct Ssh;

/// SSH.
pub static SSH: Ssh = Ssh;

const EVENTS: &[&str] = &[
    "invalid_banner",
    "long_banner",
    "invalid_record",
    "long_kex_record",
];
const INVALID_BANNER: u8 = 0;
const LONG_BANNER: u8 = 1;
const INVALID_RECORD: u8 = 2;
const LONG_KEX_RECORD: u8 = 3;

const REQUEST_STATES: &[&str] = &[
    "request_in_progress",
    "request_banner_wait_eol",
    "request_banner_done",
    "request_finished",
];
const RESPONSE_STATES: &[&str] = &[
    "response_in_progress",
    "response_banner_wait_eol",
    "response_banner_done",
    "response_finished",
];
const BANNER_DONE: u8 = 2;
const FINISHED: u8 = 3;

/// Bytes of a banner that are read (RFC 4253 §4.2 allows 255 with its end of line).
const BANNER_MAX: usize = 256;
/// Bytes of a key exchange that are buffered.
const KEX_MAX: usize = 65_535;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

static PATTERNS: &[Pattern] = &[
    Pattern {
        bytes: b"SSH-",
        nocase: false,
        offset: 0,
        depth: 4,
        direction: Direction::ToServer,
    },
    Pattern {
        bytes: b"SSH-",
        nocase: false,
        offset: 0,
        depth: 4,
        direction: Direction::ToClient,
    },
];

impl Protocol for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(SshSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["record.hdr", "record.data", "record.pdu"]
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn states(&self, direction: Direction) -> &'static [&'static str] {
        match direction {
            Direction::ToServer => REQUEST_STATES,
            Direction::ToClient => RESPONSE_STATES,
        }
    }

    fn log_ready(&self, tx: &dyn Transaction, ended: bool) -> bool {
        // The fingerprints come after the banners: wait for them while there is something to come.
        ended
            || of(tx).is_some_and(|tx| {
                tx.sides
                    .iter()
                    .all(|s| s.state >= BANNER_DONE && s.settled())
            })
    }

    fn log_head(&self, tx: &dyn Transaction) -> Option<LogHead> {
        let told = of(tx)?.sides.iter().any(|s| !s.protocol.is_empty());
        told.then_some(LogHead::by_flow("ssh"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let Some(tx) = of(tx) else { return };
        json.object("ssh");
        for (key, side) in ["client", "server"].into_iter().zip(&tx.sides) {
            if side.protocol.is_empty() {
                continue;
            }
            json.object(key).str("proto_version", &side.protocol);
            if !side.software.is_empty() {
                json.str("software_version", &side.software);
            }
            if !side.hassh.is_empty() {
                json.object("hassh")
                    .str("hash", &side.hassh)
                    .str("string", &side.algorithms)
                    .end();
            }
            json.end();
        }
        json.end();
    }
}

/// What one side showed.
#[derive(Debug, Default)]
struct Side {
    state: u8,
    /// `2.0`.
    protocol: Vec<u8>,
    /// `OpenSSH_9.2p1`.
    software: Vec<u8>,
    /// Key exchange, encryption, MAC and compression algorithms, joined by `;`.
    algorithms: Vec<u8>,
    /// Their MD5 (HASSH), empty before the key exchange.
    hassh: String,
    /// A record followed the banner.
    keyed: bool,
    /// Bytes of a record still to pass over.
    skip: usize,
    /// The end of an overlong banner is awaited.
    awaits_line: bool,
}

impl Side {
    /// Nothing more is to be told.
    fn settled(&self) -> bool {
        self.keyed || self.state >= FINISHED
    }
}

/// The transaction of a flow.
#[derive(Debug, Default)]
struct SshTx {
    state: TxState,
    sides: [Side; 2],
}

impl SshTx {
    fn side(&self, direction: Direction) -> &Side {
        let [client, server] = &self.sides;
        if direction == Direction::ToServer {
            client
        } else {
            server
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [client, server] = &mut self.sides;
        if direction == Direction::ToServer {
            client
        } else {
            server
        }
    }
}

impl Transaction for SshTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        // Key exchange comes after the banner: the banner's state lasts until both sides are done.
        if self.sides.iter().all(|s| s.state >= FINISHED) {
            return FINISHED;
        }
        if self.side(direction).state >= BANNER_DONE {
            BANNER_DONE
        } else {
            0
        }
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct SshSession {
    txs: TxStore<SshTx>,
    /// Frames noted.
    frames: FrameNotes,
}

impl Session for SshSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if self.txs.total() == 0 {
            self.txs.push(SshTx::default());
        }
        let Some(tx) = self.txs.last_mut() else {
            return Parsed::Bypass;
        };
        if tx.side(direction).state >= FINISHED {
            return Parsed::All;
        }
        if input.gap > 0 {
            return Parsed::Error;
        }
        let mut r = Reader::new(input.bytes);
        if tx.side(direction).state < BANNER_DONE
            && !r.is_empty()
            && let Some(parsed) = banner(direction, &mut r, tx)
        {
            return parsed;
        }
        records(direction, &mut r, tx, &mut self.frames)
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }
}

/// Reads the banner; `None` when it is done and records follow.
///
/// ```text
/// SSH-protoversion-softwareversion SP comments CR LF
/// ```
fn banner(direction: Direction, r: &mut Reader<'_>, tx: &mut SshTx) -> Option<Parsed> {
    if tx.side(direction).awaits_line {
        if r.until(b'\n').is_none() {
            return Some(Parsed::All);
        }
        tx.side_mut(direction).awaits_line = false;
        tx.side_mut(direction).state = BANNER_DONE;
        tx.state.touch(direction);
        return None;
    }
    let bytes = r.rest();
    let end = memchr::memchr2(b'\n', b'\r', bytes).filter(|e| *e < BANNER_MAX);
    let (line, after) = match end {
        // A carriage return may have its line feed behind it: wait for the next byte.
        Some(end) => match bytes.get(end..) {
            Some([b'\r']) => {
                return Some(Parsed::NeedMore {
                    consumed: 0,
                    needed: 1,
                });
            }
            Some([b'\r', b'\n', ..]) => (bytes.get(..end), end + 2),
            _ => (bytes.get(..end), end + 1),
        },
        None if bytes.len() < BANNER_MAX => {
            return Some(Parsed::NeedMore {
                consumed: 0,
                needed: 1,
            });
        }
        None => (bytes.get(..BANNER_MAX), BANNER_MAX),
    };
    let mut line = Reader::new(line.unwrap_or_default());
    let side = tx.side_mut(direction);
    let parts = line
        .take(4)
        .filter(|t| *t == b"SSH-")
        .and_then(|_| line.until(b'-'))
        .filter(|p| !p.is_empty());
    let Some(protocol) = parts else {
        tx.state.raise(INVALID_BANNER);
        return Some(Parsed::Error);
    };
    side.protocol = protocol.to_vec();
    side.software = line
        .rest()
        .split(|b| *b == b' ')
        .next()
        .unwrap_or_default()
        .to_vec();
    tx.state.touch(direction);
    let _ = r.skip(after);
    if end.is_some() {
        tx.side_mut(direction).state = BANNER_DONE;
        return None;
    }
    tx.state.raise(LONG_BANNER);
    tx.side_mut(direction).awaits_line = true;
    banner(direction, r, tx)
}

/// Reads records (RFC 4253 §6): `length padding_length type payload padding`.
fn records(
    direction: Direction,
    r: &mut Reader<'_>,
    tx: &mut SshTx,
    frames: &mut FrameNotes,
) -> Parsed {
    loop {
        let side = tx.side_mut(direction);
        let passed = side.skip.min(r.left());
        side.skip -= passed;
        let _ = r.skip(passed);
        let consumed = r.position();
        if r.is_empty() {
            return Parsed::All;
        }
        let mut whole = *r;
        let (Some(len), Some(_), Some(kind)) = (whole.u32(), whole.u8(), whole.u8()) else {
            return Parsed::NeedMore {
                consumed,
                needed: 6 - r.left(),
            };
        };
        let body_len = match len.checked_sub(2) {
            Some(body_len) => body_len as usize,
            None => {
                tx.state.raise(INVALID_RECORD);
                return Parsed::Error;
            }
        };
        if kind == KEXINIT && body_len < KEX_MAX && whole.left() < body_len {
            return Parsed::NeedMore {
                consumed,
                needed: body_len - whole.left(),
            };
        }
        let id = Some(tx.state.id);
        frames.note(0, consumed, 6, id);
        frames.note(1, consumed + 6, body_len, id);
        frames.note(2, consumed, body_len + 6, id);
        let side = tx.side_mut(direction);
        match kind {
            KEXINIT if body_len < KEX_MAX => {
                let Some(body) = whole.take(body_len) else {
                    return Parsed::NeedMore {
                        consumed,
                        needed: body_len - whole.left(),
                    };
                };
                *r = whole;
                if side.hassh.is_empty() {
                    side.algorithms = algorithms(direction, body).unwrap_or_default();
                    if !side.algorithms.is_empty() {
                        side.hassh = md5_hex(&side.algorithms);
                    }
                }
                side.keyed = true;
                tx.state.touch(direction);
                continue;
            }
            KEXINIT => tx.state.raise(LONG_KEX_RECORD),
            NEWKEYS => {
                side.state = FINISHED;
                tx.state.touch(direction);
                tx.state.touch(direction.reverse());
                return if tx.sides.iter().all(|s| s.state >= FINISHED) {
                    Parsed::Bypass
                } else {
                    Parsed::All
                };
            }
            _ => {}
        }
        *r = whole;
        let side = tx.side_mut(direction);
        side.keyed = true;
        side.skip = body_len;
    }
}

/// What HASSH is made of (salesforce/hassh): a side's own direction of each list.
fn algorithms(direction: Direction, body: &[u8]) -> Option<Vec<u8>> {
    let mut r = Reader::new(body);
    r.skip(16)?;
    let mut lists = [&[][..]; 10];
    for list in &mut lists {
        *list = r.counted32()?;
    }
    let [
        kex,
        _,
        cipher_out,
        cipher_in,
        mac_out,
        mac_in,
        comp_out,
        comp_in,
        _,
        _,
    ] = lists;
    Some(match direction {
        Direction::ToServer => [kex, cipher_out, mac_out, comp_out].join(&b';'),
        Direction::ToClient => [kex, cipher_in, mac_in, comp_in].join(&b';'),
    })
}

fn of(tx: &dyn Transaction) -> Option<&SshTx> {
    tx.as_any().downcast_ref()
}

fn filled(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

fn protocol<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    filled(&of(tx)?.side(d).protocol)
}

fn software<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    filled(&of(tx)?.side(d).software)
}

fn hassh<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    filled(of(tx)?.side(d).hassh.as_bytes())
}

fn hassh_string<'a>(tx: &'a dyn Transaction, d: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    filled(&of(tx)?.side(d).algorithms)
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc)
        .at(BANNER_DONE)
        .also(aliases)
}

static FIELDS: &[Field] = &[
    field(
        "ssh.proto",
        &["ssh_proto"],
        FieldDirection::Both,
        Access::Bytes(protocol),
        "protocol version of the banner",
    ),
    field(
        "ssh.software",
        &["ssh_software"],
        FieldDirection::Both,
        Access::Bytes(software),
        "software of the banner",
    ),
    field(
        "ssh.hassh",
        &["ssh-hassh"],
        FieldDirection::ToServer,
        Access::Bytes(hassh),
        "HASSH of the client, MD5",
    ),
    field(
        "ssh.hassh.string",
        &["ssh-hassh-string"],
        FieldDirection::ToServer,
        Access::Bytes(hassh_string),
        "HASSH of the client, in full",
    ),
    field(
        "ssh.hassh.server",
        &["ssh-hassh-server"],
        FieldDirection::ToClient,
        Access::Bytes(hassh),
        "HASSH of the server, MD5",
    ),
    field(
        "ssh.hassh.server.string",
        &["ssh-hassh-server-string"],
        FieldDirection::ToClient,
        Access::Bytes(hassh_string),
        "HASSH of the server, in full",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 2).to_be_bytes()[..], &[0, kind], body].concat()
    }

    fn kexinit() -> Vec<u8> {
        let mut body = vec![0; 16];
        for list in ["kex", "key", "c1", "c2", "m1", "m2", "z1", "z2", "", ""] {
            body.extend((list.len() as u32).to_be_bytes());
            body.extend(list.as_bytes());
        }
        body.extend([0; 5]);
        record(KEXINIT, &body)
    }

    fn exchange() -> (Vec<u8>, Vec<u8>) {
        let client = [
            &b"SSH-2.0-PuTTY_0.7 comment\r\n"[..],
            &kexinit(),
            &record(30, &[1; 40]),
            &record(NEWKEYS, &[]),
        ]
        .concat();
        let server = [
            &b"SSH-2.0-OpenSSH_9\n"[..],
            &kexinit(),
            &record(31, &[2; 400]),
            &record(NEWKEYS, &[0; 10]),
        ]
        .concat();
        (client, server)
    }

    #[test]
    fn banners_and_fingerprints_are_read() {
        let (client, server) = exchange();
        let mut feed = Feed::new(&SSH, 6, 22);
        feed.give(Direction::ToServer, &client);
        assert_eq!(feed.give(Direction::ToClient, &server), Parsed::Bypass);
        let log = &feed.logged(&SSH)[0]["ssh"];
        assert_eq!(log["client"]["software_version"], "PuTTY_0.7");
        assert_eq!(log["server"]["proto_version"], "2.0");
        assert_eq!(log["client"]["hassh"]["string"], "kex;c1;m1;z1");
        assert_eq!(log["server"]["hassh"]["string"], "kex;c2;m2;z2");
        assert_eq!(
            feed.field(&SSH, 0, "ssh.hassh", Direction::ToServer)[0].len(),
            32
        );
    }

    #[test]
    fn pieces_never_matter() {
        let (client, server) = exchange();
        chunking_never_matters(
            &SSH,
            22,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
        let long = [&b"SSH-2.0-"[..], &[b'x'; 400], b"\r\n", &kexinit()].concat();
        chunking_never_matters(&SSH, 22, &[(Direction::ToServer, &long)]);
    }

    #[test]
    fn a_long_banner_is_cut_and_told() {
        let mut feed = Feed::new(&SSH, 6, 22);
        feed.give(
            Direction::ToServer,
            &[&b"SSH-2.0-"[..], &[b'x'; 5000]].concat(),
        );
        feed.give(Direction::ToServer, b"end\n");
        let log = &feed.logged(&SSH)[0];
        assert_eq!(log["events"], serde_json::json!(["long_banner"]));
        assert_eq!(
            log["ssh"]["client"]["software_version"]
                .as_str()
                .map(str::len),
            Some(BANNER_MAX - 8)
        );
    }

    #[test]
    fn a_record_of_no_length_is_invalid() {
        let mut feed = Feed::new(&SSH, 6, 22);
        assert_eq!(
            feed.give(Direction::ToServer, b"SSH-2.0-a\r\n\0\0\0\x01\0\0"),
            Parsed::Error
        );
        assert_eq!(
            feed.logged(&SSH)[0]["events"],
            serde_json::json!(["invalid_record"])
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(banner: bool, pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..5)) {
            let mut pieces = pieces;
            if banner {
                pieces.insert(0, (false, b"SSH-2.0-x\r\n".to_vec()));
            }
            survives(&SSH, 6, 22, &pieces);
        }
    }
}
