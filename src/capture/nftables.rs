//! The block list behind NFQUEUE: a table of our own in nftables, whose sets of sources the kernel drops before its queue.
//!
//! ```text
//! table ip sekisho-q0 {                                     # and the same for ip6
//!   set blocked { type ipv4_addr; size 4096; flags timeout; }
//!   chain early { type filter hook prerouting priority raw; ip saddr @blocked counter drop; }
//! }
//! ```
//!
//! The tables belong to our socket (NFT_TABLE_F_OWNER, Linux 5.12): when the process ends, however it ends, they go, and
//! nobody else changes them meanwhile. An older kernel keeps them until the next start, with entries that expire.
//! Own netlink messages; the program nft is not needed.
//! Source: include/uapi/linux/netfilter/nf_tables.h, nft(8).
//! Limits: [`BLOCKED_MAX`] sources of each family; what is beyond stays with user space.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::blocked::BlockedSources;
use super::netfilter::{ACK, REQUEST, acknowledged, attribute, message};
use crate::sys::bpf::BLOCKED_MAX;
use crate::sys::netlink::NetfilterSocket;

/// Attributes of a message: kind and value.
type Attributes<'a> = &'a [(u16, &'a [u8])];

/// The tables of one sensor.
#[derive(Debug)]
pub struct NftBlocked {
    /// One answer belongs to one message.
    socket: Mutex<NetfilterSocket>,
    table: String,
    /// Whether the kernel knows IPv6.
    v6: bool,
}

/// How a family's addresses are found and stored.
struct Family {
    /// NFPROTO_IPV4, NFPROTO_IPV6
    number: u8,
    /// nft's number of the type of such addresses.
    key_type: u32,
    /// Where the source stands in the IP header, and its length.
    offset: u32,
    len: u32,
}

const V4: Family = Family {
    number: 2,
    key_type: 7,
    offset: 12,
    len: 4,
};
const V6: Family = Family {
    number: 10,
    key_type: 8,
    offset: 8,
    len: 16,
};

/// NFNL_SUBSYS_NFTABLES
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENT: u16 = SUBSYSTEM << 8 | 14;
/// NLM_F_CREATE
const CREATE: u16 = 0x400;
/// NLA_F_NESTED
const NESTED: u16 = 0x8000;

const TABLE_OWNER: u32 = 2;
const SET_TIMEOUT: u32 = 0x10;
/// NF_IP_PRE_ROUTING, and before connection tracking (NF_IP_PRI_RAW).
const PREROUTING: u32 = 0;
const PRIORITY: i32 = -300;
/// NFT_PAYLOAD_NETWORK_HEADER, NFT_REG_1, NFT_REG_VERDICT, NF_DROP, NF_ACCEPT
const NETWORK_HEADER: u32 = 1;
const REGISTER: u32 = 1;
const VERDICT: u32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

const SET: &[u8] = b"blocked\0";
const CHAIN: &[u8] = b"early\0";

/// Attributes one after the other, as the value of a nested one.
fn nest(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, value) in attributes {
        attribute(&mut out, *kind, value);
    }
    out
}

/// An expression of a rule: its name, and its attributes.
fn expression(name: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    nest(&[(1, name), (2 | NESTED, &nest(attributes))])
}

impl NftBlocked {
    /// Makes the tables, for the sensor whose first queue this is.
    pub fn open(queue: u16) -> std::io::Result<Self> {
        let mut of = Self {
            socket: Mutex::new(NetfilterSocket::open(1 << 16)?),
            table: format!("sekisho-q{queue}\0"),
            v6: false,
        };
        of.make(&V4)?;
        of.v6 = of.make(&V6).is_ok();
        Ok(of)
    }

    fn make(&self, family: &Family) -> std::io::Result<()> {
        // What an earlier sensor of an older kernel left behind.
        let left: &[(u16, &[u8])] = &[(1, self.table.as_bytes())];
        let _ = self.batch(family, &[(DELETE_TABLE, 0, left)]);
        self.table_of(family, TABLE_OWNER)
            .or_else(|error| match error.raw_os_error() {
                // Linux before 5.12 knows no owners.
                Some(libc::EINVAL | libc::EOPNOTSUPP) => self.table_of(family, 0),
                _ => Err(error),
            })
    }

    fn table_of(&self, family: &Family, flags: u32) -> std::io::Result<()> {
        let table = self.table.as_bytes();
        let number = |n: u32| n.to_be_bytes();
        let hook = nest(&[(1, &number(PREROUTING)), (2, &PRIORITY.to_be_bytes())]);
        let size = nest(&[(1, &number(BLOCKED_MAX))]);
        let load = expression(
            b"payload\0",
            &[
                (1, &number(REGISTER)),
                (2, &number(NETWORK_HEADER)),
                (3, &number(family.offset)),
                (4, &number(family.len)),
            ],
        );
        let look = expression(
            b"lookup\0",
            &[(1, SET), (2, &number(REGISTER)), (4, &number(1))],
        );
        let count = expression(b"counter\0", &[]);
        let verdict = nest(&[(2 | NESTED, &nest(&[(1, &number(DROP))]))]);
        let drop = expression(
            b"immediate\0",
            &[(1, &number(VERDICT)), (2 | NESTED, &verdict)],
        );
        let item = 1 | NESTED;
        let expressions = nest(&[(item, &load), (item, &look), (item, &count), (item, &drop)]);
        self.batch(
            family,
            &[
                (NEW_TABLE, CREATE, &[(1, table), (2, &number(flags))]),
                (
                    NEW_SET,
                    CREATE,
                    &[
                        (1, table),
                        (2, SET),
                        (3, &number(SET_TIMEOUT)),
                        (4, &number(family.key_type)),
                        (5, &number(family.len)),
                        (9 | NESTED, &size),
                        (10, &number(1)),
                    ],
                ),
                (
                    NEW_CHAIN,
                    CREATE,
                    &[
                        (1, table),
                        (3, CHAIN),
                        (4 | NESTED, &hook),
                        (5, &number(ACCEPT)),
                        (7, b"filter\0"),
                    ],
                ),
                (
                    NEW_RULE,
                    CREATE,
                    &[(1, table), (2, CHAIN), (4 | NESTED, &expressions)],
                ),
            ],
        )
    }

    /// Sends messages that hold together or not at all, and waits for the answer.
    fn batch(
        &self,
        family: &Family,
        messages: &[(u16, u16, Attributes<'_>)],
    ) -> std::io::Result<()> {
        let mut out = Vec::new();
        message(&mut out, (BATCH_BEGIN, REQUEST), (0, SUBSYSTEM), &[]);
        for (at, (kind, flags, attributes)) in messages.iter().enumerate() {
            // The last one answers for all; one that is wrong answers whatever it was asked.
            let ack = if at + 1 == messages.len() { ACK } else { 0 };
            message(
                &mut out,
                (*kind, REQUEST | ack | flags),
                (family.number, 0),
                attributes,
            );
        }
        message(&mut out, (BATCH_END, REQUEST), (0, SUBSYSTEM), &[]);
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        // An answer that came too late for the message before.
        let mut old = [0; 4096];
        while socket.receive(&mut old, false)?.is_some() {}
        socket.send(&out)?;
        acknowledged(&socket)
    }

    fn element(&self, kind: u16, source: IpAddr, timeout: Option<u64>) -> std::io::Result<()> {
        let (family, bytes) = match source {
            IpAddr::V4(a) => (V4, a.octets().to_vec()),
            IpAddr::V6(a) if self.v6 => (V6, a.octets().to_vec()),
            IpAddr::V6(_) => return Err(std::io::ErrorKind::Unsupported.into()),
        };
        let key = nest(&[(1, &bytes)]);
        let timeout = timeout.map(u64::to_be_bytes);
        let mut attributes: Vec<(u16, &[u8])> = vec![(1 | NESTED, &key)];
        attributes.extend(timeout.as_ref().map(|t| (4, &t[..])));
        let elements = nest(&[(1 | NESTED, &nest(&attributes))]);
        let flags = if kind == NEW_ELEMENT { CREATE } else { 0 };
        let list: &[(u16, &[u8])] = &[
            (1, self.table.as_bytes()),
            (2, SET),
            (3 | NESTED, &elements),
        ];
        self.batch(&family, &[(kind, flags, list)])
    }
}

impl BlockedSources for NftBlocked {
    fn block(&self, source: IpAddr, time: Duration) -> std::io::Result<()> {
        // An entry keeps the time that it was made with.
        self.unblock(source)?;
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.element(NEW_ELEMENT, source, Some(millis.max(1)))
    }

    fn unblock(&self, source: IpAddr) -> std::io::Result<()> {
        match self.element(DELETE_ELEMENT, source, None) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_are_padded_and_say_their_length() {
        let expression = expression(b"lookup\0", &[(1, b"blocked\0")]);
        // 4 + 7, padded to 12; 4 + (4 + 8).
        assert_eq!(expression.len(), 28);
        assert_eq!(expression[..4], [11, 0, 1, 0]);
        assert_eq!(expression[12..16], [16, 0, 2, 0x80]);
    }
}
