//! RFB, the protocol of VNC (RFC 6143): the handshake, one transaction, up to the description of the screen.
//!
//! The two sides speak in turn; what comes out of turn ends the reading. Limits: 4 KiB of a name or reason.

use super::reader::Reader;
use super::{
    Access, Field, FieldDirection, FlowInfo, FrameNotes, Input, Limits, LogHead, Login, Note,
    Notes, Outcome, Parsed, Pattern, Probe, Protocol, Rides, Session, Transaction, TxList, TxState,
    TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};

/// RFB.
#[derive(Debug)]
pub struct Rfb;

/// RFB.
pub static RFB: Rfb = Rfb;

const EVENTS: &[&str] = &[
    "unimplemented_security_type",
    "unknown_security_result",
    "malformed_message",
    "confused_state",
];
const UNIMPLEMENTED_SECURITY_TYPE: u8 = 0;
const UNKNOWN_SECURITY_RESULT: u8 = 1;
const MALFORMED_MESSAGE: u8 = 2;
const CONFUSED_STATE: u8 = 3;

const TEXT_MAX: usize = 4096;

static RESULTS: &[(&str, u64)] = &[
    ("ok", 0),
    ("fail", 1),
    ("too_many", 2),
    ("toomany", 2),
    ("unknown", 3),
];

static PATTERNS: &[Pattern] = &[pattern(Direction::ToServer), pattern(Direction::ToClient)];

const fn pattern(direction: Direction) -> Pattern {
    Pattern {
        bytes: b"RFB ",
        nocase: false,
        offset: 0,
        depth: 5,
        direction,
    }
}

impl Protocol for Rfb {
    fn name(&self) -> &'static str {
        "rfb"
    }

    fn rides(&self) -> Rides {
        Rides::Tcp
    }

    fn patterns(&self) -> &'static [Pattern] {
        PATTERNS
    }

    fn ports(&self) -> &'static [u16] {
        &[]
    }

    fn probe(&self, _direction: Direction, bytes: &[u8], _key: &FlowKey) -> Probe {
        match bytes.get(..12) {
            Some(line) if version(line).is_some() => Probe::Match,
            None if b"RFB ".starts_with(bytes.get(..4).unwrap_or(bytes)) => Probe::NeedMore,
            _ => Probe::NotMine,
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(RfbSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn events(&self) -> &'static [&'static str] {
        EVENTS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["pdu"]
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_packet("rfb"))
    }

    fn log(&self, _session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        if let Some(tx) = of(tx) {
            tx.log(json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match of(tx).and_then(|tx| tx.result) {
            Some(0) => Outcome::Success(0),
            Some(code) => Outcome::Failure(code),
            None => Outcome::Unknown,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    ServerVersion,
    ClientVersion,
    Offer,
    /// Version 3.3: the server chooses.
    Choice,
    Selection,
    Challenge,
    Response,
    Result,
    Reason,
    ClientInit,
    ServerInit,
    Over,
}

impl Stage {
    fn speaker(self) -> Option<Direction> {
        match self {
            Self::Over => None,
            Self::ClientVersion | Self::Selection | Self::Response | Self::ClientInit => {
                Some(Direction::ToServer)
            }
            _ => Some(Direction::ToClient),
        }
    }
}

/// A screen: width, height, its pixels, its name.
#[derive(Debug)]
struct Screen {
    width: u16,
    height: u16,
    /// Bits, depth, big endian, true colour.
    format: [u8; 4],
    max: [u16; 3],
    shift: [u8; 3],
    name: Vec<u8>,
}

/// A handshake.
#[derive(Debug, Default)]
struct RfbTx {
    state: TxState,
    versions: [Option<[Vec<u8>; 2]>; 2],
    security: Option<u32>,
    challenge: Option<[u8; 16]>,
    response: Option<[u8; 16]>,
    result: Option<u32>,
    reason: Option<Vec<u8>>,
    shared: Option<bool>,
    screen: Option<Screen>,
    over: bool,
}

impl RfbTx {
    fn log(&self, json: &mut Json<'_>) {
        json.object("rfb");
        let [client, server] = &self.versions;
        for (name, version) in [
            ("server_protocol_version", server),
            ("client_protocol_version", client),
        ] {
            if let Some([major, minor]) = version {
                json.object(name)
                    .str("major", major)
                    .str("minor", minor)
                    .end();
            }
        }
        json.object("authentication");
        if let Some(security) = self.security {
            json.num("security_type", security);
            if security == 2 {
                json.object("vnc");
                if let Some(challenge) = &self.challenge {
                    json.hex("challenge", challenge, None);
                }
                if let Some(response) = &self.response {
                    json.hex("response", response, None);
                }
                json.end();
            }
        }
        if let Some(result) = self.result {
            match RESULTS
                .iter()
                .find(|(_, number)| *number == u64::from(result))
            {
                Some((name, _)) => json.str("security_result", name.to_ascii_uppercase()),
                None => json.str("security_result", format!("UNKNOWN ({result})")),
            };
        }
        json.end();
        if let Some(reason) = &self.reason {
            json.str("server_security_failure_reason", reason);
        }
        if let Some(shared) = self.shared {
            json.bool("screen_shared", shared);
        }
        if let Some(screen) = &self.screen {
            let [bits, depth, big, colour] = screen.format;
            json.object("framebuffer")
                .num("width", screen.width)
                .num("height", screen.height)
                .str("name", &screen.name)
                .object("pixel_format")
                .num("bits_per_pixel", bits)
                .num("depth", depth)
                .bool("big_endian", big != 0)
                .bool("true_color", colour != 0);
            for (name, max) in ["red_max", "green_max", "blue_max"].iter().zip(screen.max) {
                json.num(name, max);
            }
            for (name, shift) in ["red_shift", "green_shift", "blue_shift"]
                .iter()
                .zip(screen.shift)
            {
                json.num(name, shift);
            }
            json.end().end();
        }
        json.end();
    }
}

impl Transaction for RfbTx {
    transaction_members!();

    fn progress(&self, _direction: Direction) -> u8 {
        u8::from(self.over)
    }
}

/// Major and minor of a version line.
fn version(line: &[u8]) -> Option<[Vec<u8>; 2]> {
    match line {
        [b'R', b'F', b'B', b' ', a, b, c, b'.', x, y, z, b'\n'] => {
            Some([vec![*a, *b, *c], vec![*x, *y, *z]])
        }
        _ => None,
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
struct RfbSession {
    txs: TxStore<RfbTx>,
    stage: Stage,
    /// Messages, for rules on frames.
    frames: FrameNotes,
    /// Logins and their outcome.
    notes: Notes,
}

/// What a message led to.
enum Step {
    Next(Stage),
    /// Reading ends with an event.
    Event(u8),
    /// The message is not there yet.
    More,
}

impl RfbTx {
    /// Reads the message of a stage.
    fn step(&mut self, stage: Stage, r: &mut Reader<'_>) -> Step {
        self.read(stage, r).unwrap_or(Step::More)
    }

    fn read(&mut self, stage: Stage, r: &mut Reader<'_>) -> Option<Step> {
        Some(match stage {
            Stage::ServerVersion | Stage::ClientVersion => {
                let Some(numbers) = version(r.take(12)?) else {
                    return Some(Step::Event(MALFORMED_MESSAGE));
                };
                let is_server = stage == Stage::ServerVersion;
                let old = numbers == [b"003".to_vec(), b"003".to_vec()];
                if let Some(own) = self.versions.get_mut(usize::from(is_server)) {
                    *own = Some(numbers);
                }
                Step::Next(match (is_server, old) {
                    (true, _) => Stage::ClientVersion,
                    (false, true) => Stage::Choice,
                    (false, false) => Stage::Offer,
                })
            }
            Stage::Offer => match r.counted8()? {
                [] => Step::Next(Stage::Reason),
                _ => Step::Next(Stage::Selection),
            },
            Stage::Choice | Stage::Selection => {
                let chosen = if stage == Stage::Choice {
                    r.u32()?
                } else {
                    u32::from(r.u8()?)
                };
                self.security = Some(chosen);
                match chosen {
                    0 if stage == Stage::Choice => Step::Next(Stage::Reason),
                    1 => Step::Next(Stage::ClientInit),
                    2 => Step::Next(Stage::Challenge),
                    _ => Step::Event(UNIMPLEMENTED_SECURITY_TYPE),
                }
            }
            Stage::Challenge => {
                self.challenge = Some(r.take(16)?.try_into().ok()?);
                Step::Next(Stage::Response)
            }
            Stage::Response => {
                self.response = Some(r.take(16)?.try_into().ok()?);
                Step::Next(Stage::Result)
            }
            Stage::Result => {
                let result = r.u32()?;
                self.result = Some(result);
                match result {
                    0 => Step::Next(Stage::ClientInit),
                    1 => Step::Next(Stage::Reason),
                    2 => Step::Next(Stage::Over),
                    _ => Step::Event(UNKNOWN_SECURITY_RESULT),
                }
            }
            Stage::Reason => {
                let len = r.u32()? as usize;
                if len > TEXT_MAX {
                    return Some(Step::Event(MALFORMED_MESSAGE));
                }
                self.reason = Some(r.take(len)?.to_vec());
                Step::Next(Stage::Over)
            }
            Stage::ClientInit => {
                self.shared = Some(r.u8()? != 0);
                Step::Next(Stage::ServerInit)
            }
            Stage::ServerInit => {
                let (width, height) = (r.u16()?, r.u16()?);
                let format = r.take(4)?.try_into().ok()?;
                let max = [r.u16()?, r.u16()?, r.u16()?];
                let shift = r.take(3)?.try_into().ok()?;
                r.skip(3)?;
                let len = r.u32()? as usize;
                if len > TEXT_MAX {
                    return Some(Step::Event(MALFORMED_MESSAGE));
                }
                let name = r.take(len)?.to_vec();
                self.screen = Some(Screen {
                    width,
                    height,
                    format,
                    max,
                    shift,
                    name,
                });
                Step::Next(Stage::Over)
            }
            Stage::Over => Step::Next(Stage::Over),
        })
    }
}

impl Session for RfbSession {
    session_members!(frames);

    fn parse(&mut self, direction: Direction, input: Input<'_>, _flow: &FlowInfo) -> Parsed {
        if self.txs.total() == 0 {
            self.txs.push(RfbTx::default());
        }
        let mut r = Reader::new(input.bytes);
        let Some(tx) = self.txs.last_mut() else {
            self.stage = Stage::Over;
            return Parsed::All;
        };
        if input.gap > 0 && self.stage != Stage::Over {
            tx.over = true;
            self.stage = Stage::Over;
        }
        while !r.is_empty() {
            let Some(speaker) = self.stage.speaker() else {
                return Parsed::All;
            };
            let consumed = r.position();
            let step = if speaker == direction {
                tx.step(self.stage, &mut r)
            } else {
                Step::Event(CONFUSED_STATE)
            };
            match step {
                Step::Next(stage) => {
                    if self.stage == Stage::Result {
                        self.notes.login(match stage {
                            Stage::ClientInit => Login::Succeeded,
                            _ => Login::Failed,
                        });
                    }
                    self.stage = stage;
                    let len = r.position().saturating_sub(consumed);
                    self.frames.note(0, consumed, len, None);
                }
                Step::Event(event) => {
                    tx.state.raise(event);
                    self.stage = Stage::Over;
                }
                Step::More => {
                    return Parsed::NeedMore {
                        consumed,
                        needed: 1,
                    };
                }
            }
            tx.over = self.stage == Stage::Over;
            tx.state.touch(Direction::ToServer);
            tx.state.touch(Direction::ToClient);
        }
        Parsed::All
    }

    fn take_note(&mut self) -> Option<Note> {
        self.notes.take()
    }
}

fn of(tx: &dyn Transaction) -> Option<&RfbTx> {
    tx.as_any().downcast_ref()
}

fn name<'a>(tx: &'a dyn Transaction, _: Direction, _: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    Some(of(tx)?.screen.as_ref()?.name.as_slice())
}

fn security(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?.security.filter(|_| index == 0).map(u64::from)
}

fn result(tx: &dyn Transaction, _: Direction, index: usize) -> Option<u64> {
    of(tx)?.result.filter(|_| index == 0).map(u64::from)
}

const fn field(
    name: &'static str,
    direction: FieldDirection,
    access: Access,
    doc: &'static str,
) -> Field {
    Field::new(name, direction, access, doc)
}

static FIELDS: &[Field] = &[
    field(
        "rfb.name",
        FieldDirection::ToClient,
        Access::Bytes(name),
        "name of the screen",
    ),
    field(
        "rfb.sectype",
        FieldDirection::ToServer,
        Access::Integer {
            value: security,
            names: &[],
            max: u32::MAX as u64,
        },
        "way of authentication chosen",
    ),
    field(
        "rfb.secresult",
        FieldDirection::ToClient,
        Access::Integer {
            value: result,
            names: RESULTS,
            max: u32::MAX as u64,
        },
        "result of authentication",
    ),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};
    use crate::packet::Direction::{ToClient, ToServer};

    const SCREEN: &[u8] =
        b"\x05\0\x03\x20\x20\x18\0\x01\0\xff\0\xff\0\xff\x10\x08\0\0\0\0\0\0\0\x04vnc1";

    fn exchange() -> Vec<(Direction, &'static [u8])> {
        vec![
            (ToClient, b"RFB 003.007\n"),
            (ToServer, b"RFB 003.007\n"),
            (ToClient, b"\x01\x02"),
            (ToServer, b"\x02"),
            (ToClient, b"0123456789abcdef"),
            (ToServer, b"fedcba9876543210"),
            (ToClient, b"\0\0\0\0"),
            (ToServer, b"\x01"),
            (ToClient, SCREEN),
            (ToClient, b"pixels"),
        ]
    }

    #[test]
    fn a_refused_password_is_a_failed_login() {
        for (result, outcome) in [
            (b"\0\0\0\x01", Login::Failed),
            (b"\0\0\0\0", Login::Succeeded),
        ] {
            let mut feed = Feed::new(&RFB, 6, 5900);
            for (direction, bytes) in exchange() {
                let is_result = bytes == b"\0\0\0\0" && direction == ToClient;
                feed.give(direction, if is_result { result } else { bytes });
                if is_result {
                    break;
                }
            }
            assert_eq!(feed.session.take_note(), Some(Note::Login(outcome)));
            assert_eq!(feed.session.take_note(), None);
        }
    }

    #[test]
    fn a_handshake() {
        let mut feed = Feed::new(&RFB, 6, 5900);
        for (direction, bytes) in exchange() {
            feed.give(direction, bytes);
        }
        let logged = feed.logged(&RFB);
        let rfb = &logged[0]["rfb"];
        assert_eq!(
            rfb["server_protocol_version"],
            json!({"major": "003", "minor": "007"})
        );
        assert_eq!(rfb["authentication"]["security_type"], json!(2));
        assert_eq!(rfb["authentication"]["security_result"], json!("OK"));
        assert_eq!(rfb["framebuffer"]["width"], json!(1280));
        assert_eq!(rfb["framebuffer"]["pixel_format"]["red_shift"], json!(16));
        assert_eq!(logged[0]["events"], json!([]));
        assert_eq!(feed.field(&RFB, 0, "rfb.name", ToClient), ["vnc1"]);
        assert_eq!(feed.field(&RFB, 0, "rfb.sectype", ToServer), ["2"]);
        chunking_never_matters(&RFB, 5900, &exchange());
    }

    #[test]
    fn out_of_turn() {
        let mut feed = Feed::new(&RFB, 6, 5900);
        feed.give(ToServer, b"RFB 003.007\n");
        assert_eq!(feed.logged(&RFB)[0]["events"], json!(["confused_state"]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 1..6)) {
            let mut all = vec![(true, b"RFB 003.008\n".to_vec()), (false, b"RFB 003.008\n".to_vec())];
            all.extend(pieces);
            survives(&RFB, 6, 5900, &all);
        }
    }
}
