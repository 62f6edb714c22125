//! Headers of TCP.

use super::ip::packet;
use super::{Keyword, Value};
use crate::packet::TcpFlags;
use crate::rules::compare::{Range, compare};
use crate::rules::draft::Draft;
use crate::rules::ir::{FlagMode, PacketTest};

macro_rules! number {
    ($name:literal, $aliases:expr, $doc:literal, $example:literal, $max:expr, $test:ident) => {
        Keyword {
            name: $name,
            aliases: $aliases,
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

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword {
        name: "tcp.flags",
        aliases: &["flags"],
        doc: "TCP flags F S R P A U C E: [+*!]flags[,ignored flags], 0 for none, or a number",
        example: "tcp.flags:S,CE; flags:!A;",
        parse: flags,
        ..Keyword::PLAIN
    },
    number!(
        "tcp.seq",
        &["seq"],
        "sequence number",
        "tcp.seq:0;",
        u64::from(u32::MAX),
        TcpSeq
    ),
    number!(
        "tcp.ack",
        &["ack"],
        "acknowledgment number",
        "tcp.ack:>1;",
        u64::from(u32::MAX),
        TcpAck
    ),
    number!(
        "tcp.window",
        &["window"],
        "window, unscaled",
        "tcp.window:!0;",
        65_535,
        TcpWindow
    ),
    number!(
        "tcp.mss",
        &[],
        "maximum segment size option",
        "tcp.mss:<536;",
        65_535,
        TcpMss
    ),
    number!(
        "tcp.wscale",
        &[],
        "window scale option",
        "tcp.wscale:>10;",
        255,
        TcpWscale
    ),
];

fn flags(draft: &mut Draft<'_>, value: Value<'_>) -> Result<(), String> {
    let text = value.text.trim();
    if let Ok(number) = compare(text, 255, Range::Exclusive) {
        // "0" is both a number and Snort's "no flag"; they mean the same. "12" is Snort's reserved bits.
        if !text.bytes().all(|b| matches!(b, b'1' | b'2')) {
            return packet(draft, PacketTest::TcpFlagsNumber(number));
        }
    }
    let (wanted, ignored) = text.split_once(',').unwrap_or((text, ""));
    let (mut mode, mut flags) = (None, 0);
    for letter in wanted.trim().chars() {
        let new_mode = match letter {
            '+' => FlagMode::All,
            '*' => FlagMode::Any,
            '!' | '-' => FlagMode::Not,
            '=' => FlagMode::Exact,
            other => {
                let bit = flag(other)?;
                if flags & bit != 0 {
                    return Err(format!("{other} is given twice"));
                }
                flags |= bit;
                continue;
            }
        };
        if mode.replace(new_mode).is_some() {
            return Err("more than one of + * !".into());
        }
    }
    let mode = mode.unwrap_or_default();
    let mut ignore = 0;
    for letter in ignored.trim().chars() {
        let bit = flag(letter)?;
        if flags & bit != 0 || ignore & bit != 0 {
            return Err(format!("{letter} is given twice"));
        }
        ignore |= bit;
    }
    if ignore != 0 && mode != FlagMode::Exact {
        return Err("ignored flags go with an exact comparison alone".into());
    }
    packet(
        draft,
        PacketTest::TcpFlags {
            flags,
            mode,
            ignore,
        },
    )
}

fn flag(letter: char) -> Result<u8, String> {
    Ok(match letter.to_ascii_uppercase() {
        'F' => TcpFlags::FIN,
        'S' => TcpFlags::SYN,
        'R' => TcpFlags::RST,
        'P' => TcpFlags::PSH,
        'A' => TcpFlags::ACK,
        'U' => TcpFlags::URG,
        'C' | '1' => TcpFlags::CWR,
        'E' | '2' => TcpFlags::ECE,
        '0' => 0,
        other => return Err(format!("'{other}' is not a flag")),
    })
}
