//! Headers of ICMP, IGMP and SCTP.

use super::ip::packet;
use super::{Keyword, Quotes};
use crate::rules::compare::{Range, compare, compare_named};
use crate::rules::ir::{PacketTest, SctpTest};

macro_rules! number {
    ($name:literal, $doc:literal, $example:literal, $max:expr, $test:expr) => {
        Keyword {
            name: $name,
            doc: $doc,
            example: $example,
            parse: |draft, value| {
                let wanted = compare(value.text, $max, Range::Exclusive)?;
                packet(draft, $test(wanted))
            },
            ..Keyword::PLAIN
        }
    };
}

macro_rules! exact {
    ($name:literal, $doc:literal, $test:ident) => {
        Keyword {
            name: $name,
            doc: $doc,
            example: concat!($name, ":0;"),
            quotes: Quotes::Optional,
            parse: |draft, value| {
                let number = value
                    .text
                    .trim()
                    .parse()
                    .map_err(|_| format!("\"{}\" is not 0 to 65,535", value.text))?;
                packet(draft, PacketTest::$test(number))
            },
            ..Keyword::PLAIN
        }
    };
}

pub(super) const KEYWORDS: &[Keyword] = &[
    number!(
        "itype",
        "ICMP type",
        "itype:>10;",
        255,
        PacketTest::IcmpType
    ),
    number!(
        "icode",
        "ICMP code",
        "icode:1<>5;",
        255,
        PacketTest::IcmpCode
    ),
    exact!("icmp_id", "ICMP identifier", IcmpId),
    exact!("icmp_seq", "ICMP sequence number", IcmpSeq),
    number!(
        "icmpv6.mtu",
        "MTU of an ICMPv6 packet too big",
        "icmpv6.mtu:<1280;",
        u64::from(u32::MAX),
        PacketTest::Icmpv6Mtu
    ),
    number!(
        "igmp.type",
        "IGMP type",
        "igmp.type:22;",
        255,
        PacketTest::IgmpType
    ),
    number!(
        "sctp.chunk_cnt",
        "number of SCTP chunks",
        "sctp.chunk_cnt:>1;",
        255,
        |c| PacketTest::Sctp(SctpTest::ChunkCount(c))
    ),
    number!(
        "sctp.vtag",
        "SCTP verification tag",
        "sctp.vtag:0;",
        u64::from(u32::MAX),
        |c| { PacketTest::Sctp(SctpTest::VerificationTag(c)) }
    ),
    Keyword {
        name: "sctp.chunk_type",
        doc: "type of one of the SCTP chunks: number or name",
        example: "sctp.chunk_type:init;",
        parse: |draft, value| {
            let wanted = compare_named(value.text, 255, SCTP_CHUNKS, Range::Exclusive)?;
            packet(draft, PacketTest::Sctp(SctpTest::ChunkType(wanted)))
        },
        ..Keyword::PLAIN
    },
];

/// SCTP chunk types (RFC 9260 §3.2, RFC 3758 for forward_tsn).
const SCTP_CHUNKS: &[(&str, u64)] = &[
    ("data", 0),
    ("init", 1),
    ("init_ack", 2),
    ("sack", 3),
    ("heartbeat", 4),
    ("hb_ack", 5),
    ("abort", 6),
    ("shutdown", 7),
    ("shutdown_ack", 8),
    ("error", 9),
    ("cookie_echo", 10),
    ("cookie_ack", 11),
    ("ecne", 12),
    ("cwr", 13),
    ("shutdown_complete", 14),
    ("forward_tsn", 192),
];
