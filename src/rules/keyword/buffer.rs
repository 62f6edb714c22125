//! Buffers of packets: headers, addresses, and the way back to the payload.

use super::Keyword;
use crate::rules::draft::GroupKind;
use crate::rules::ir::{BufferSource, HeaderBuffer};

/// A header as a sticky buffer.
macro_rules! header {
    ($name:literal, $doc:literal, $header:ident, $many:literal) => {
        Keyword {
            name: $name,
            doc: $doc,
            example: concat!($name, r#"; content:"|00|";"#),
            parse: |draft, _| {
                draft.needs_packet = true;
                draft.stick(
                    BufferSource::Header(HeaderBuffer::$header),
                    GroupKind::Header,
                    $name,
                    $many,
                    None,
                );
                Ok(())
            },
            ..Keyword::BARE
        }
    };
}

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "pkt_data",
        doc: "back to the payload: ends the sticky buffer",
        example: r#"tcp.hdr; content:"a"; pkt_data; content:"b";"#,
        parse: |draft, _| {
            draft.unstick();
            Ok(())
        },
        ..Keyword::BARE
    },
    header!("ether.hdr", "buffer: the Ethernet header", Ether, false),
    header!(
        "ipv4.hdr",
        "buffer: the IPv4 header with its options",
        Ipv4,
        false
    ),
    header!(
        "ipv6.hdr",
        "buffer: the IPv6 header with its extension headers",
        Ipv6,
        false
    ),
    header!(
        "tcp.hdr",
        "buffer: the TCP header with its options",
        Tcp,
        false
    ),
    header!("udp.hdr", "buffer: the UDP header", Udp, false),
    header!("icmpv4.hdr", "buffer: the ICMPv4 header", Icmpv4, false),
    header!("icmpv6.hdr", "buffer: the ICMPv6 header", Icmpv6, false),
    header!("igmp.hdr", "buffer: the IGMP header", Igmp, false),
    header!("sctp.hdr", "buffer: the SCTP common header", Sctp, false),
    header!(
        "sctp.chunk_data",
        "buffer: the data of SCTP DATA chunks, one after the other",
        SctpChunkData,
        true
    ),
    header!(
        "ip.src",
        "buffer: the source address, 4 or 16 bytes",
        SourceAddress,
        false
    ),
    header!(
        "ip.dst",
        "buffer: the destination address, 4 or 16 bytes",
        DestinationAddress,
        false
    ),
];
