//! Headers of IP, VLAN, and checksums.

use super::{Keyword, Quotes, Value, parts};
use crate::rules::compare::{Range, compare};
use crate::rules::country::CountryTest;
use crate::rules::draft::Draft;
use crate::rules::ir::{ChecksumOf, Compare, FlagMode, NumberIndex, PacketTest};
use crate::rules::reputation::{Ends, ReputationTest, SCORE_MAX};

/// A number of the header.
macro_rules! number {
    ($name:literal, $doc:literal, $example:literal, $max:expr, $test:ident) => {
        Keyword {
            name: $name,
            doc: $doc,
            example: $example,
            parse: |draft, value| {
                let wanted = compare(value.text, $max, Range::Exclusive)?;
                packet(draft, PacketTest::$test(wanted))
            },
            ..Keyword::PLAIN
        }
    };
}

/// Validity of a checksum.
macro_rules! checksum {
    ($name:literal, $doc:literal, $of:ident) => {
        Keyword {
            name: $name,
            doc: $doc,
            example: concat!($name, ":invalid;"),
            quotes: Quotes::Optional,
            parse: |draft, value| {
                let valid = match value.text.to_ascii_lowercase().as_str() {
                    "valid" => true,
                    "invalid" => false,
                    other => return Err(format!("\"{other}\" is neither valid nor invalid")),
                };
                packet(
                    draft,
                    PacketTest::Checksum {
                        of: ChecksumOf::$of,
                        valid,
                    },
                )
            },
            ..Keyword::PLAIN
        }
    };
}

pub(super) const KEYWORDS: &[Keyword] = &[
    number!("ttl", "time to live, hop limit", "ttl:<5;", 255, Ttl),
    Keyword {
        name: "tos",
        doc: "type of service: [!]number, decimal or x with hex digits",
        example: "tos:!x10;",
        quotes: Quotes::Optional,
        negation: true,
        parse: tos,
        ..Keyword::PLAIN
    },
    number!("id", "IPv4 identification", "id:31337;", 65_535, IpId),
    Keyword {
        name: "ip_proto",
        doc: "protocol number or name in the IP header: [!<>]protocol",
        example: "alert ip any any -> any any (ip_proto:gre; sid:1;)",
        quotes: Quotes::Optional,
        parse: ip_proto,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "l3_proto",
        doc: "version of IP: ipv4 (ip4) or ipv6 (ip6)",
        example: "alert ip any any -> any any (l3_proto:ipv6; sid:1;)",
        parse: |draft, value| {
            let version = match value.text.to_ascii_lowercase().as_str() {
                "ipv4" | "ip4" => 4,
                "ipv6" | "ip6" => 6,
                other => return Err(format!("\"{other}\" is neither ipv4 nor ipv6")),
            };
            // Like ip_proto it narrows the header.
            draft.signature.packet.push(PacketTest::IpVersion(version));
            Ok(())
        },
        ..Keyword::PLAIN
    },
    Keyword {
        name: "ipopts",
        doc: "an IPv4 option is there: rr, eol, nop, ts, sec, esec, lsrr, ssrr, satid, rtralt, qs, cipso, any",
        example: "ipopts:lsrr;",
        parse: ipopts,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "sameip",
        doc: "source and destination address are the same",
        example: "sameip;",
        parse: |draft, _| packet(draft, PacketTest::SameIp),
        ..Keyword::BARE
    },
    Keyword {
        name: "fragbits",
        doc: "IPv4 fragment bits M, D, R: [+*!]bits",
        example: "fragbits:+M;",
        parse: fragbits,
        ..Keyword::PLAIN
    },
    number!(
        "fragoffset",
        "IPv4 fragment offset in units of 8 bytes",
        "fragoffset:>0;",
        65_535,
        FragOffset
    ),
    checksum!(
        "ipv4-csum",
        "checksum of the IPv4 header: valid or invalid",
        Ipv4
    ),
    checksum!("tcpv4-csum", "checksum of TCP over IPv4", TcpV4),
    checksum!("tcpv6-csum", "checksum of TCP over IPv6", TcpV6),
    checksum!("udpv4-csum", "checksum of UDP over IPv4", UdpV4),
    checksum!("udpv6-csum", "checksum of UDP over IPv6", UdpV6),
    checksum!("icmpv4-csum", "checksum of ICMP", IcmpV4),
    checksum!("icmpv6-csum", "checksum of ICMPv6", IcmpV6),
    checksum!("igmp-csum", "checksum of IGMP", Igmp),
    Keyword {
        name: "vlan.id",
        doc: "a VLAN id: number[, layer | any | all | …], layers from 0 outside, or negative from inside",
        example: "vlan.id:100,0;",
        parse: vlan_id,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "iprep",
        doc: "an end is in a category of reputations: any | src | dst | both, category, [<>=] score 0..127 | isset | isnotset",
        example: "",
        parse: iprep,
        ..Keyword::PLAIN
    },
    Keyword {
        name: "geoip",
        doc: "an end is in a country: [any | src | dst | both,] [!]code, code …; needs geoip-database",
        example: "",
        parse: geoip,
        ..Keyword::PLAIN
    },
    number!(
        "vlan.layers",
        "number of VLAN tags",
        "vlan.layers:>1;",
        3,
        VlanLayers
    ),
];

/// Adds a test of the packet, which makes the rule one of packets.
pub(super) fn packet(draft: &mut Draft<'_>, test: PacketTest) -> Result<(), String> {
    draft.needs_packet = true;
    draft.signature.packet.push(test);
    Ok(())
}

/// `iprep:ENDS,CATEGORY,OPERATOR,SCORE`, `iprep:ENDS,CATEGORY,isset|isnotset`.
fn iprep(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let words: Vec<&str> = parts(value.text).collect();
    let [ends, name, wanted @ ..] = words.as_slice() else {
        return Err("wants ENDS,CATEGORY,OPERATOR,SCORE".into());
    };
    let ends =
        Ends::from_name(ends).ok_or_else(|| format!("\"{ends}\" is not any, src, dst or both"))?;
    let score = match wanted {
        ["isset"] => Some(Compare::GreaterOrEqual(0)),
        ["isnotset"] => None,
        [operator @ ("<" | "<=" | ">" | ">="), score] => {
            let text = format!("{operator}{score}");
            Some(compare(&text, SCORE_MAX.into(), Range::Exclusive)?)
        }
        ["=", score] => Some(compare(score, SCORE_MAX.into(), Range::Exclusive)?),
        _ => {
            return Err(format!(
                "\"{}\" is not isset, isnotset, or <, <=, >, >=, = with a score",
                wanted.join(",")
            ));
        }
    };
    let all = draft.context.reputations()?;
    let category = all
        .category(name)
        .ok_or_else(|| format!("\"{name}\" is not a category of reputation-categories-file"))?;
    draft
        .signature
        .packet
        .push(PacketTest::Reputation(ReputationTest {
            ends,
            category,
            score,
            all,
        }));
    Ok(())
}

/// `geoip:[ENDS,][!]CODE,CODE …`.
fn geoip(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let mut words: Vec<&str> = parts(value.text).collect();
    let ends = words.first().and_then(|word| match *word {
        "dest" => Some(Ends::Destination),
        word => Ends::from_name(word),
    });
    if ends.is_some() {
        words.remove(0);
    }
    let mut negate = false;
    let mut countries = Vec::new();
    for word in words {
        let code = match word.strip_prefix('!') {
            Some(code) => {
                negate = true;
                code
            }
            None => word,
        };
        let code = <[u8; 2]>::try_from(code.as_bytes())
            .ok()
            .filter(|code| code.iter().all(u8::is_ascii_uppercase));
        countries.push(code.ok_or_else(|| format!("\"{word}\" is not a country's two letters"))?);
    }
    if countries.is_empty() || countries.len() > COUNTRIES_MAX {
        return Err(format!("wants 1 to {COUNTRIES_MAX} countries"));
    }
    let database = draft.context.countries()?;
    let test = CountryTest {
        ends: ends.unwrap_or(Ends::Any),
        countries,
        negate,
        database,
    };
    packet(draft, PacketTest::Country(test))
}

/// Countries of one rule (Suricata's GEOOPTION_MAXLOCATIONS).
const COUNTRIES_MAX: usize = 64;

fn tos(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let (negated, text) = value
        .text
        .strip_prefix('!')
        .map_or((value.negated, value.text), |t| (true, t.trim()));
    let number = match text.strip_prefix(['x', 'X']) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    let number = number
        .filter(|n| *n <= 255)
        .ok_or_else(|| format!("\"{text}\" is not a number from 0 to 255"))?;
    packet(
        draft,
        PacketTest::Tos(if negated {
            Compare::NotEqual(number)
        } else {
            Compare::Equal(number)
        }),
    )
}

fn ip_proto(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let text = value.text.trim();
    let (sign, name) = match text.chars().next() {
        Some(sign @ ('!' | '<' | '>')) => (Some(sign), text.get(1..).unwrap_or_default().trim()),
        _ => (None, text),
    };
    let number = match name.parse::<u8>() {
        Ok(number) => Some(number),
        Err(_) => PROTOCOLS
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, number)| *number),
    };
    let number = u64::from(number.ok_or_else(|| format!("\"{name}\" is not an IP protocol"))?);
    let test = PacketTest::IpProto(match sign {
        Some('!') => Compare::NotEqual(number),
        Some('<') => Compare::Less(number),
        Some('>') => Compare::Greater(number),
        _ => Compare::Equal(number),
    });
    // It narrows the header's protocol and does not make the rule one of packets alone.
    draft.signature.packet.push(test);
    Ok(())
}

/// IP protocols by name (IANA, Assigned Internet Protocol Numbers).
const PROTOCOLS: &[(&str, u8)] = &[
    ("ip", 0),
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("ipv4", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("udp", 17),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("xtp", 36),
    ("ddp", 37),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("skip", 57),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ospfigp", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("fc", 133),
    ("mobility-header", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
];

fn ipopts(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    // Option numbers with the copy flag and class (RFC 791 §3.1, IANA).
    let number = match value.text.trim() {
        "eol" => 0,
        "nop" => 1,
        "rr" => 7,
        "qs" => 25,
        "ts" => 68,
        "sec" => 130,
        "lsrr" => 131,
        "esec" => 133,
        "cipso" => 134,
        "satid" => 136,
        "ssrr" => 137,
        "rtralt" => 148,
        "any" => return packet(draft, PacketTest::IpOption(None)),
        other => return Err(format!("\"{other}\" is not the name of an option")),
    };
    packet(draft, PacketTest::IpOption(Some(number)))
}

fn fragbits(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let text = value.text.trim();
    let (mode, letters) = match text.chars().next() {
        Some('+') => (FlagMode::All, text.get(1..)),
        Some('*') => (FlagMode::Any, text.get(1..)),
        Some('!' | '-') => (FlagMode::Not, text.get(1..)),
        Some('=') => (FlagMode::Exact, text.get(1..)),
        _ => (FlagMode::Exact, Some(text)),
    };
    let mut bits = 0;
    for letter in letters.unwrap_or_default().trim().chars() {
        let bit = match letter {
            'M' | 'm' => 1,
            'D' | 'd' => 2,
            'R' | 'r' => 4,
            other => return Err(format!("'{other}' is not M, D or R")),
        };
        if bits & bit != 0 {
            return Err(format!("{letter} is given twice"));
        }
        bits |= bit;
    }
    packet(draft, PacketTest::FragBits { bits, mode })
}

fn vlan_id(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let test = super::field::numbers(value.text, 4094, &[])?;
    if let NumberIndex::At { index, .. } = test.of
        && !(-3..=2).contains(&index)
    {
        return Err(format!("\"{index}\" is not a layer from -3 to 2"));
    }
    packet(draft, PacketTest::VlanId(test))
}
