//! DCE/RPC over TCP (version 5) and UDP (version 4) (C706, MS-RPCE). SMB carries the same units in its pipes and uses
//! [`pdu`] and [`names`] for them.
//!
//! A call and its answer are one transaction, paired by call id (UDP: activity and sequence number); fragments are put
//! together. Limits: 1,024 live calls, 1 MiB of parameters a direction, 8 MiB in a flow, 64 interfaces. After a gap the
//! next header is looked for. What is encrypted stays so: only its size is told.

pub mod field;
pub mod log;
pub mod names;
pub mod pdu;

use super::reader::Reader;
use super::{
    Field, FlowInfo, FrameNotes, Input, Limits, LogHead, Outcome, Parsed, Probe, Protocol, Rides,
    Session, Transaction, TxList, TxState, TxStore, session_members, transaction_members,
};
use crate::alert::Json;
use crate::packet::{Direction, FlowKey};
use pdu::{Call, Header, Interfaces};

/// DCE/RPC.
#[derive(Debug)]
pub struct Dcerpc;

/// DCE/RPC.
pub static DCERPC: Dcerpc = Dcerpc;

const TCP: u8 = 6;
const LIVE_MAX: usize = 1024;
const FLOW_STUB_MAX: usize = 8 << 20;

impl Protocol for Dcerpc {
    fn name(&self) -> &'static str {
        "dcerpc"
    }

    fn rides(&self) -> Rides {
        Rides::Both
    }

    fn ports(&self) -> &'static [u16] {
        &[135]
    }

    fn probe_any_port(&self) -> bool {
        true
    }

    fn probe(&self, direction: Direction, bytes: &[u8], key: &FlowKey) -> Probe {
        let request = if key.proto == TCP {
            match bytes {
                [] | [5] => return Probe::NeedMore,
                [5, 0, ..] if bytes.len() < Header::LEN => return Probe::NeedMore,
                _ if !Header::is_plausible(bytes) => return Probe::NotMine,
                _ => Header::read(bytes).is_some_and(|h| pdu::is_request(h.kind)),
            }
        } else {
            match Datagram::read(bytes) {
                Some(d) if d.is_plausible() => pdu::is_request(d.kind),
                _ => return Probe::NotMine,
            }
        };
        if request == (direction == Direction::ToServer) {
            Probe::Match
        } else {
            Probe::MatchReversed
        }
    }

    fn session(&self, _limits: &Limits) -> Box<dyn Session> {
        Box::new(DcerpcSession::default())
    }

    fn fields(&self) -> &'static [Field] {
        field::FIELDS
    }

    fn frames(&self) -> &'static [&'static str] {
        &["pdu", "hdr", "data"]
    }

    fn log_head(&self, _tx: &dyn Transaction) -> Option<LogHead> {
        Some(LogHead::by_flow("dcerpc"))
    }

    fn log(&self, session: &dyn Session, tx: &dyn Transaction, json: &mut Json<'_>) {
        let session = session.as_any().downcast_ref::<DcerpcSession>();
        if let (Some(tx), Some(session)) = (tx.as_any().downcast_ref(), session) {
            log::dcerpc(tx, &session.interfaces, json);
        }
    }

    fn outcome(&self, tx: &dyn Transaction) -> Outcome {
        match tx.as_any().downcast_ref::<DcerpcTx>() {
            Some(tx) if tx.done[1] => match tx.call.response {
                pdu::FAULT | pdu::BINDNAK => Outcome::Failure(u32::from(tx.call.response)),
                _ => Outcome::Answered(0),
            },
            _ => Outcome::Unknown,
        }
    }
}

/// The header of a datagram (C706 §12.5.1).
#[derive(Clone, Copy, Debug)]
struct Datagram<'a> {
    kind: u8,
    flags: [u8; 2],
    drep: [u8; 2],
    activity: [u8; 16],
    sequence: u32,
    operation: u16,
    fragment: u16,
    body: &'a [u8],
    /// Whether the body is as long as announced.
    whole: bool,
}

impl<'a> Datagram<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        if r.u8()? != 4 {
            return None;
        }
        let (kind, flags) = (r.u8()?, [r.u8()?, r.u8()?]);
        let drep = [r.u8()?, r.u8()?];
        let little = drep.first().is_some_and(|d| *d != 0);
        r.skip(2 + 16 + 16)?;
        let activity = pdu::uuid(&mut r, true)?;
        r.skip(8)?;
        let sequence = pdu::u32(&mut r, little)?;
        let operation = pdu::u16(&mut r, little)?;
        r.skip(4)?;
        let len = usize::from(pdu::u16(&mut r, little)?);
        let fragment = pdu::u16(&mut r, little)?;
        r.skip(2)?;
        let whole = r.left() >= len;
        let body = r.take(len.min(r.left()))?;
        Some(Self {
            kind,
            flags,
            drep,
            activity,
            sequence,
            operation,
            fragment,
            body,
            whole,
        })
    }

    fn is_plausible(&self) -> bool {
        let [a, b] = self.drep;
        let [_, flags] = self.flags;
        self.whole
            && self.fragment == 0
            && self.kind <= 10
            && flags & 0xfc == 0
            && a & 0xee == 0
            && b <= 3
    }
}

/// A call with its answer.
#[derive(Debug, Default)]
pub struct DcerpcTx {
    state: TxState,
    /// The call.
    pub call: Call,
    /// Minor version.
    minor: u8,
    /// Request and response are complete.
    done: [bool; 2],
    /// Request and response will never be complete: bytes were lost.
    lost: [bool; 2],
    /// Over UDP: activity and sequence number.
    activity: Option<([u8; 16], u32)>,
}

impl Transaction for DcerpcTx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        let [request, response] = self.done;
        u8::from(if direction == Direction::ToServer {
            request
        } else {
            response
        })
    }
    fn is_little_endian(&self) -> bool {
        self.call.little
    }
}

/// The state of one flow.
#[derive(Debug, Default)]
pub struct DcerpcSession {
    txs: TxStore<DcerpcTx>,
    /// Interfaces asked for and granted.
    pub interfaces: Interfaces,
    /// Bytes were lost, and no header was found since, by direction.
    lost: [bool; 2],
    /// Bytes of parameters kept since they were last counted.
    stub: usize,
    /// Frames noted.
    frames: FrameNotes,
}

impl DcerpcSession {
    /// The transaction that a unit of this type and call belongs to, made when there is none.
    fn call(&mut self, header: Header, direction: Direction) -> &mut DcerpcTx {
        let side = direction.index();
        let found = self.txs.iter().position(|t| {
            t.call.id == header.call_id
                && !t.done.get(side).is_some_and(|d| *d)
                && !t.lost.get(side).is_some_and(|l| *l)
                && match direction {
                    Direction::ToServer => header.kind == t.call.request,
                    // A fault answers anything.
                    Direction::ToClient => answers(header.kind, t.call.request),
                }
        });
        let position = match found {
            Some(position) => position,
            None => {
                self.open(DcerpcTx {
                    call: Call {
                        id: header.call_id,
                        little: header.little,
                        ..Call::default()
                    },
                    minor: header.minor,
                    ..DcerpcTx::default()
                });
                self.txs.len().saturating_sub(1)
            }
        };
        let tx = self.txs.get_mut(position);
        tx.state.touch(Direction::ToServer);
        tx.state.touch(Direction::ToClient);
        tx
    }

    fn open(&mut self, tx: DcerpcTx) -> &mut DcerpcTx {
        if self.txs.len() >= LIVE_MAX {
            if let Some(oldest) = self.txs.find_mut(|t| t.done != [true; 2]) {
                oldest.done = [true; 2];
                oldest.state.touch(Direction::ToServer);
                oldest.state.touch(Direction::ToClient);
            } else {
                self.txs.remove(0);
            }
        }
        self.txs.push(tx)
    }

    /// Bytes of parameters that may still be kept.
    fn budget(&mut self) -> usize {
        if self.stub >= FLOW_STUB_MAX {
            self.stub = self
                .txs
                .iter()
                .flat_map(|t| &t.call.stub)
                .map(Vec::len)
                .sum();
        }
        FLOW_STUB_MAX.saturating_sub(self.stub)
    }

    /// Takes one unit; `None` when it makes no sense.
    fn unit(&mut self, direction: Direction, header: Header, body: &[u8]) -> Option<()> {
        let budget = self.budget();
        match header.kind {
            pdu::BIND | pdu::ALTER_CONTEXT => {
                self.interfaces.bind(header, body)?;
                let tx = self.open(DcerpcTx {
                    call: Call {
                        id: header.call_id,
                        request: header.kind,
                        fragments: [1, 0],
                        little: header.little,
                        ..Call::default()
                    },
                    minor: header.minor,
                    done: [true, false],
                    ..DcerpcTx::default()
                });
                tx.state.touch(Direction::ToServer);
            }
            pdu::BINDACK | pdu::ALTER_CONTEXT_RESP | pdu::BINDNAK => {
                if header.kind != pdu::BINDNAK {
                    self.interfaces.answer(header, body)?;
                }
                let tx = self.call(header, direction);
                tx.call.response = header.kind;
                tx.call.fragments = [tx.call.fragments[0], 1];
                tx.done = [tx.done[0], true];
            }
            pdu::REQUEST => {
                let (context, operation, stub) = pdu::request(header, body)?;
                let tx = self.call(header, direction);
                tx.call.context = context;
                tx.call.operation = operation;
                tx.call.requested = true;
                let kept = tx.call.add(0, stub, budget);
                tx.done = [header.is_last(), tx.done[1]];
                self.stub += kept;
            }
            pdu::RESPONSE | pdu::FAULT => {
                let tx = self.call(header, direction);
                tx.call.response = header.kind;
                let kept = tx.call.add(1, body, budget);
                tx.done = [tx.done[0], header.is_last()];
                self.stub += kept;
            }
            _ => {}
        }
        Some(())
    }

    fn stream(&mut self, direction: Direction, input: Input<'_>) -> Parsed {
        let side = direction.index();
        let mut r = Reader::new(input.bytes);
        if input.gap > 0 {
            // Calls in flight in this direction will never be complete.
            for tx in self.txs.iter_mut() {
                let (request, response) = (!tx.done[0], !tx.done[1] && side == 1);
                tx.lost = [tx.lost[0] || request, tx.lost[1] || response];
                tx.done = [true, tx.done[1] || response];
                tx.state.touch(direction);
            }
            self.lost[side] = true;
        }
        if self.lost[side] {
            while r.left() >= 2 && !r.rest().starts_with(&[5, 0]) {
                let _ = r.skip(1);
            }
            if !r.rest().starts_with(&[5, 0]) {
                return Parsed::NeedMore {
                    consumed: r.position(),
                    needed: 1,
                };
            }
            self.lost[side] = false;
        }
        loop {
            let (consumed, mut whole) = (r.position(), r);
            if r.is_empty() {
                return Parsed::All;
            }
            if r.left() < Header::LEN {
                return Parsed::NeedMore {
                    consumed,
                    needed: Header::LEN - r.left(),
                };
            }
            let Some(header) =
                Header::read(r.rest()).filter(|h| usize::from(h.frag_len) >= Header::LEN)
            else {
                return Parsed::Error;
            };
            let len = usize::from(header.frag_len);
            let Some(unit) = whole.take(len) else {
                return Parsed::NeedMore {
                    consumed,
                    needed: len - r.left(),
                };
            };
            r = whole;
            self.frames.note(0, consumed, len, None);
            self.frames.note(1, consumed, Header::LEN, None);
            self.frames
                .note(2, consumed + Header::LEN, len - Header::LEN, None);
            let body = unit.get(Header::LEN..).unwrap_or_default();
            if !body.is_empty() && self.unit(direction, header, body).is_none() {
                return Parsed::Error;
            }
        }
    }

    fn datagram(&mut self, bytes: &[u8]) -> Option<()> {
        let d = Datagram::read(bytes)
            .filter(|d| d.whole && matches!(d.kind, pdu::REQUEST | pdu::RESPONSE | pdu::FAULT))?;
        let side = usize::from(d.kind != pdu::REQUEST);
        let [flags, _] = d.flags;
        let key = Some((d.activity, d.sequence));
        let budget = self.budget();
        let found = self
            .txs
            .iter()
            .position(|t| t.activity == key && !t.done.get(side).is_some_and(|d| *d));
        let position = match found {
            Some(position) => position,
            None => {
                let little = d.drep.first().is_some_and(|d| *d & 0x10 != 0);
                self.open(DcerpcTx {
                    activity: key,
                    call: Call {
                        little,
                        ..Call::default()
                    },
                    ..DcerpcTx::default()
                });
                self.txs.len().saturating_sub(1)
            }
        };
        let tx = self.txs.get_mut(position);
        if side == 0 {
            tx.call.operation = d.operation;
            tx.call.requested = true;
        } else {
            tx.call.response = d.kind;
        }
        let kept = tx.call.add(side, d.body, budget);
        // Flags: 4 it is a fragment, 2 it is the last one.
        if let (Some(done), true) = (tx.done.get_mut(side), flags & 4 == 0 || flags & 2 != 0) {
            *done = true;
        }
        tx.state.touch(Direction::ToServer);
        tx.state.touch(Direction::ToClient);
        self.stub += kept;
        Some(())
    }
}

/// Whether a unit of type `response` answers one of type `request`.
fn answers(response: u8, request: u8) -> bool {
    match response {
        pdu::RESPONSE | pdu::FAULT => request == pdu::REQUEST,
        pdu::BINDACK | pdu::BINDNAK => request == pdu::BIND,
        pdu::ALTER_CONTEXT_RESP => request == pdu::ALTER_CONTEXT,
        _ => false,
    }
}

impl Session for DcerpcSession {
    session_members!();

    fn parse(&mut self, direction: Direction, input: Input<'_>, flow: &FlowInfo) -> Parsed {
        if flow.key.proto == TCP {
            return self.stream(direction, input);
        }
        match self.datagram(input.bytes) {
            None if self.txs.total() == 0 => Parsed::Error,
            _ => Parsed::All,
        }
    }

    fn frame_notes(&mut self) -> Option<&mut FrameNotes> {
        Some(&mut self.frames)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::feed::{Feed, chunking_never_matters, survives};

    fn unit(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() + 16) as u16;
        [
            &[5, 0, kind, flags, 0x10, 0, 0, 0][..],
            &len.to_le_bytes(),
            &[0, 0],
            &call.to_le_bytes(),
            body,
        ]
        .concat()
    }

    fn bind() -> Vec<u8> {
        let mut body = vec![0; 8];
        body.extend([1, 0, 0, 0, 0, 0, 1, 0]);
        body.extend([
            0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10,
            3, 2, 0, 0, 0,
        ]);
        body.extend([0; 20]);
        unit(pdu::BIND, 3, 1, &body)
    }

    fn exchange() -> (Vec<u8>, Vec<u8>) {
        let mut ack = vec![0; 8];
        ack.extend([4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        ack.extend([0; 22]);
        let client = [
            bind(),
            unit(pdu::REQUEST, pdu::FIRST, 2, b"\0\0\0\0\0\0\x0f\0AAAA"),
            unit(pdu::REQUEST, pdu::LAST, 2, b"\0\0\0\0\0\0\x0f\0BBBB"),
        ];
        let server = [
            unit(pdu::BINDACK, 3, 1, &ack),
            unit(pdu::RESPONSE, 3, 2, b"\0\0\0\0\0\0\0\0yes"),
        ];
        (client.concat(), server.concat())
    }

    #[test]
    fn calls_are_put_together_and_named() {
        let (client, server) = exchange();
        let mut feed = Feed::new(&DCERPC, 6, 135);
        feed.give(Direction::ToServer, &client);
        feed.give(Direction::ToClient, &server);
        let log = feed.logged(&DCERPC);
        assert_eq!(log[0]["dcerpc"]["request"], "BIND");
        assert_eq!(log[0]["dcerpc"]["interfaces"][0]["ack_result"], 0);
        let call = &log[1]["dcerpc"];
        assert_eq!(
            call["req"],
            serde_json::json!({"opnum": 15, "frag_cnt": 2, "stub_data_size": 8})
        );
        assert_eq!(call["interfaces"][0]["service"], "svcctl");
        assert_eq!(call["interfaces"][0]["procedure"], "OpenSCManagerW");
        assert_eq!(call["response"], "RESPONSE");
        assert_eq!(
            feed.field(&DCERPC, 1, "dcerpc.stub_data", Direction::ToServer),
            ["AAAABBBB"]
        );
    }

    #[test]
    fn pieces_never_matter() {
        let (client, server) = exchange();
        chunking_never_matters(
            &DCERPC,
            135,
            &[
                (Direction::ToServer, &client),
                (Direction::ToClient, &server),
            ],
        );
    }

    #[test]
    fn interface_and_operation_are_tested_against_what_was_granted() {
        let (client, server) = exchange();
        let mut feed = Feed::new(&DCERPC, 6, 135);
        feed.give(Direction::ToServer, &client);
        feed.give(Direction::ToClient, &server);
        let tx = feed.session.transactions().at(1).expect("two");
        let check = |test: Result<Box<dyn crate::app::FieldTest>, String>| {
            test.expect("a test")
                .test(tx, &*feed.session, Direction::ToServer)
        };
        assert!(check(field::interface(
            "367abb81-9844-35f1-ad32-98f038001003"
        )));
        assert!(check(field::interface(
            "367abb81-9844-35f1-ad32-98f038001003,=2,any_frag"
        )));
        assert!(!check(field::interface(
            "367abb81-9844-35f1-ad32-98f038001003,<2"
        )));
        assert!(
            check(field::operation("1,10-20"))
                && check(field::operation(">14"))
                && !check(field::operation("16"))
        );
        assert!(field::interface("367abb81").is_err() && field::operation("5-1").is_err());
    }

    #[test]
    fn after_a_gap_the_next_header_is_found() {
        let (client, _) = exchange();
        let mut feed = Feed::new(&DCERPC, 6, 135);
        feed.give(Direction::ToServer, &client[..client.len() - 28]);
        feed.gap(
            Direction::ToServer,
            100,
            &[
                &b"rubbish"[..],
                &unit(pdu::REQUEST, 3, 9, b"\0\0\0\0\0\0\x01\0C"),
            ]
            .concat(),
        );
        let log = feed.logged(&DCERPC);
        assert_eq!(log[1]["dcerpc"]["request"], "REQUEST_LOST");
        assert_eq!(log[2]["dcerpc"]["req"]["opnum"], 1);
    }

    #[test]
    fn datagrams_are_paired_by_activity() {
        let packet = |kind: u8| {
            let mut p = vec![4, kind, 0, 0, 0x10, 0, 0, 0];
            p.extend([7; 56]);
            p.extend([1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0]);
            p.extend(b"hi");
            p
        };
        let mut feed = Feed::new(&DCERPC, 17, 8000);
        feed.give(Direction::ToServer, &packet(0));
        feed.give(Direction::ToClient, &packet(2));
        let log = feed.logged(&DCERPC);
        assert_eq!(
            (
                log.len(),
                log[0]["dcerpc"]["res"]["stub_data_size"].as_u64()
            ),
            (1, Some(2))
        );
        assert_eq!(log[0]["dcerpc"]["rpc_version"], "4.0");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(kind in 0u8..21, flags: u8, server: bool, body in proptest::collection::vec(any::<u8>(), 0..120)) {
            survives(&DCERPC, 6, 135, &[(false, bind()), (server, unit(kind, flags, 1, &body)), (server, body.clone())]);
            survives(&DCERPC, 17, 135, &[(server, [&[4, kind][..], &body].concat())]);
        }
    }
}
