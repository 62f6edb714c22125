//! Buffers: which bytes a test looks at, and what is done to them before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::KeywordName;
use crate::app::{AppProto, Field};

/// What a buffer is taken from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum BufferSource {
    /// Packet payload and, for stream-capable rules, the reassembled stream (contents without a sticky buffer).
    Payload,
    /// A header of the packet.
    Header(HeaderBuffer),
    /// A byte field of application protocols: the keyword's declaration by each protocol that has it.
    App {
        /// Keyword.
        #[serde(with = "crate::rules::stored::keyword_name")]
        name: KeywordName,
        /// Declarations.
        #[serde(with = "crate::rules::stored::fields")]
        fields: Vec<(AppProto, &'static Field)>,
    },
    /// What `base64_decode` of the same signature gave.
    Base64,
    /// A frame of a protocol (`frame:http1.request`).
    Frame {
        /// Protocol.
        proto: AppProto,
        /// Frame type.
        name: String,
    },
}

/// Headers of a packet as buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HeaderBuffer {
    /// `ether.hdr`
    Ether,
    /// `ipv4.hdr`
    Ipv4,
    /// `ipv6.hdr`
    Ipv6,
    /// `tcp.hdr`
    Tcp,
    /// `udp.hdr`
    Udp,
    /// `icmpv4.hdr`
    Icmpv4,
    /// `icmpv6.hdr`
    Icmpv6,
    /// `sctp.hdr`
    Sctp,
    /// `sctp.chunk_data`
    SctpChunkData,
    /// `arp` header
    Arp,
    /// `igmp.hdr`
    Igmp,
    /// `ip.src`: the source address, 4 or 16 bytes.
    SourceAddress,
    /// `ip.dst`: the destination address, 4 or 16 bytes.
    DestinationAddress,
}

/// A change of a buffer before it is inspected. Applied in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transform {
    /// Several white-space bytes become one space.
    CompressWhitespace,
    /// White space goes.
    StripWhitespace,
    /// Pseudo header lines go.
    StripPseudoHeaders,
    /// A dot is put in front.
    DotPrefix,
    /// Percent-decoding and `+`.
    UrlDecode,
    /// Exclusive or with a repeated key, from `offset` on (bytes before it stay).
    Xor {
        /// The key.
        key: XorKey,
        /// Where it begins.
        offset: u32,
    },
    /// Lower case.
    ToLowercase,
    /// Upper case.
    ToUppercase,
    /// Normalises header line endings: only the names, lower case (`header_lowercase`).
    HeaderLowercase,
    /// Registered domain / top-level domain of a host name.
    Domain,
    /// See `Domain`.
    Tld,
    /// Base64.
    FromBase64 {
        /// Bytes to take.
        bytes: Option<u32>,
        /// Where to begin.
        offset: u32,
        /// rfc4648, rfc2045, strict.
        mode: Base64Mode,
    },
    /// A digest as hex text… of the buffer, raw bytes.
    Md5,
    /// See `Md5`.
    Sha1,
    /// See `Md5`.
    Sha256,
    /// First capture group of an expression.
    PcreCapture(Arc<str>),
    /// Bytes of the buffer: `subslice`.
    Subslice {
        /// From (negative: from the end).
        offset: i32,
        /// Number of bytes (`None`: to the end; negative: so many before the end stay out).
        len: Option<i32>,
        /// Whether a range beyond the buffer gives what there is; otherwise it gives nothing.
        truncate: bool,
    },
    /// gunzip
    Gunzip {
        /// Most bytes out.
        max: u32,
    },
    /// zlib inflate
    ZlibDeflate {
        /// Most bytes out.
        max: u32,
    },
}

/// Key of the `xor` transform.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum XorKey {
    /// Written in the rule.
    Bytes(Vec<u8>),
    /// Taken from the buffer.
    Extract {
        /// Number of bytes.
        bytes: u8,
        /// Where.
        offset: u16,
    },
}

/// How base64 is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Base64Mode {
    /// RFC 4648: stops at the first invalid character.
    #[default]
    Rfc4648,
    /// RFC 2045: skips invalid characters.
    Rfc2045,
    /// All or nothing.
    Strict,
}

/// A buffer: a source and what is done to it. Shared by all signatures that name the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Buffer {
    /// Source.
    pub source: BufferSource,
    /// Changes.
    pub transforms: Vec<Transform>,
}

/// Index of a [`Buffer`] in [`RuleSet::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BufferId(pub u16);
