//! Defragmentation of IPv4 (RFC 791 §3.2) and IPv6 (RFC 8200 §4.5) as the receiving host does it.
//!
//! Where fragments overlap, systems differ in whose bytes they keep, and an attacker who knows the receiver hides in
//! the difference. The receiver's policy (`host-os-policy`) decides for each pair of an older and a newer fragment
//! (Novak, *Target-Based Fragmentation Reassembly*, 2005):
//!
//! ```text
//!   policy      the newer fragment's bytes are kept where it …
//!   first       never
//!   last        always
//!   bsd         begins before the older one
//!   bsd-right   does not begin before it
//!   linux       begins before it or with it
//!   windows     begins before it and ends after it
//!   solaris     begins before it and does not end before it
//! ```
//!
//! What is kept lies in pieces that do not overlap, so that bytes are compared once and a datagram is complete when
//! their lengths add up. Bounds: datagrams, fragments and bytes ([`DefragSettings`]); when one is reached, the datagram
//! that waited longest gives way. Datagrams that stay incomplete time out in packet time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use foldhash::quality::FixedState;

use crate::packet::{DecodeEvent, Layers, Net, Slice, Timestamp, VLAN_MAX};

use super::checksum::{fold, sum};
use super::policy::OsPolicy;
use super::walk::{Begin, Part};

/// Most bytes an IP datagram may have.
const DATAGRAM_MAX: usize = 65_535;

/// What a datagram in waiting takes besides its bytes, in bytes (measured sizes of the tables' entries, rounded up).
const DATAGRAM_COST: usize = 384;

/// What a piece takes besides its bytes.
const PIECE_COST: usize = 64;

/// Bounds of defragmentation (Suricata's `defrag.*`).
#[derive(Clone, Debug)]
pub struct DefragSettings {
    /// Datagrams in waiting (`trackers`).
    pub datagrams_max: usize,
    /// Fragments kept (`max-frags`).
    pub fragments_max: usize,
    /// Bytes kept, with the cost of the tables (`memcap`).
    pub bytes_max: usize,
    /// How long a datagram waits for its next fragment, in seconds of packet time.
    pub timeout_secs: u32,
}

impl Default for DefragSettings {
    fn default() -> Self {
        Self {
            datagrams_max: 65_535,
            fragments_max: 65_535,
            bytes_max: 32 * 1024 * 1024,
            timeout_secs: 60,
        }
    }
}

impl DefragSettings {
    /// Most memory that all of it takes, in bytes.
    pub fn memory_bound(&self) -> u64 {
        // One fragment more may be there while another gives way for it.
        self.bytes_max
            .saturating_add(DATAGRAM_MAX + DATAGRAM_COST + PIECE_COST) as u64
    }
}

/// What defragmentation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefragStats {
    /// IPv4 fragments.
    pub ipv4_fragments: u64,
    /// IPv6 fragments.
    pub ipv6_fragments: u64,
    /// IPv4 datagrams completed.
    pub ipv4_reassembled: u64,
    /// IPv6 datagrams completed.
    pub ipv6_reassembled: u64,
    /// Datagrams that stayed incomplete for too long.
    pub timeouts: u64,
    /// Datagrams that gave way to others.
    pub evicted: u64,
    /// Fragments beyond the largest datagram.
    pub too_large: u64,
    /// Most bytes kept at a time.
    pub bytes_peak: usize,
}

/// A fragment, found on a walk: offsets are in its frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    /// Where the IP header begins.
    ip_at: u32,
    /// Where the part that is not fragmented ends.
    head_end: u32,
    /// The fragment's bytes.
    data_at: u32,
    data_len: u32,
    /// Offset in the datagram.
    offset: u32,
    more: bool,
    /// IPv6: where the number of the header after the fragment header is to be written, from the IP header on, and it.
    next_header: Option<(u32, u8)>,
}

impl Fragment {
    pub fn v4(ip_at: u32, header_len: usize, data: Part<'_>, more: bool, layers: &Layers) -> Self {
        Self {
            ip_at,
            head_end: ip_at.saturating_add(header_len as u32),
            data_at: data.at,
            data_len: data.len(),
            offset: u32::from(layers.fragment_offset),
            more,
            next_header: None,
        }
    }

    /// `header_at`: the fragment header; `previous_len`: length of the extension header before it, or 0.
    pub fn v6(
        ip_at: u32,
        header_at: u32,
        previous_len: usize,
        next: u8,
        data: Part<'_>,
        more: bool,
        layers: &Layers,
    ) -> Self {
        // An extension header begins with that number; the fixed header has it at offset 6.
        let at = if previous_len == 0 {
            6
        } else {
            header_at
                .saturating_sub(ip_at)
                .saturating_sub(previous_len as u32)
        };
        Self {
            ip_at,
            head_end: header_at,
            data_at: data.at,
            data_len: data.len(),
            offset: u32::from(layers.fragment_offset),
            more,
            next_header: Some((at, next)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    proto: u8,
    vlan: [u16; VLAN_MAX],
}

/// Bytes of one fragment that are kept; `offset` and `end` are those of the whole fragment, which policies compare.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    offset: u32,
    end: u32,
}

/// A datagram in waiting.
#[derive(Debug)]
pub(super) struct Datagram {
    /// Headers of the fragment that begins it.
    head: Vec<u8>,
    /// By offset; they do not overlap.
    pieces: BTreeMap<u32, Piece>,
    /// Bytes in `pieces`.
    kept: usize,
    /// Its length, when the last fragment was seen.
    len: Option<u32>,
    policy: OsPolicy,
    /// When it is given up, and its number among those of the same time.
    age: (Timestamp, u64),
    v6: bool,
}

/// All datagrams in waiting.
#[derive(Debug)]
pub(super) struct Defrag {
    settings: DefragSettings,
    datagrams: HashMap<Key, Datagram, FixedState>,
    /// By the time at which they are given up.
    ages: BTreeMap<(Timestamp, u64), Key>,
    serial: u64,
    bytes: usize,
    fragments: usize,
    stats: DefragStats,
}

impl Defrag {
    pub fn new(settings: DefragSettings, seed: u64) -> Self {
        Self {
            settings,
            datagrams: HashMap::with_hasher(FixedState::with_seed(seed)),
            ages: BTreeMap::new(),
            serial: 0,
            bytes: 0,
            fragments: 0,
            stats: DefragStats::default(),
        }
    }

    pub fn stats(&self) -> &DefragStats {
        &self.stats
    }

    /// Takes a fragment. Answers the datagram it completes.
    pub fn insert(
        &mut self,
        fragment: &Fragment,
        frame: &[u8],
        layers: &mut Layers,
        policy: OsPolicy,
    ) -> Option<Datagram> {
        let v6 = layers.net == Net::V6;
        let (overlap, conflict, ignored, too_large) = if v6 {
            self.stats.ipv6_fragments += 1;
            (
                DecodeEvent::IPV6_FRAG_OVERLAP,
                DecodeEvent::IPV6_FRAG_CONFLICT,
                DecodeEvent::IPV6_FRAG_IGNORED,
                DecodeEvent::IPV6_FRAG_PKT_TOO_LARGE,
            )
        } else {
            self.stats.ipv4_fragments += 1;
            (
                DecodeEvent::IPV4_FRAG_OVERLAP,
                DecodeEvent::IPV4_FRAG_CONFLICT,
                DecodeEvent::IPV4_FRAG_IGNORED,
                DecodeEvent::IPV4_FRAG_PKT_TOO_LARGE,
            )
        };
        let end = fragment.offset.saturating_add(fragment.data_len);
        let header = if v6 { 0 } else { 20 };
        if header + end as usize > DATAGRAM_MAX {
            self.stats.too_large += 1;
            layers.events.insert(too_large);
            return None;
        }
        let data = frame
            .get(fragment.data_at as usize..)?
            .get(..fragment.data_len as usize)?;
        let head = frame.get(fragment.ip_at as usize..fragment.head_end as usize)?;
        // RFC 8200 §4.5: IPv6 does not tell datagrams apart by protocol.
        let proto = if v6 { 44 } else { layers.ip_proto };
        let key = Key {
            src: layers.src,
            dst: layers.dst,
            id: layers.ip_id,
            proto,
            vlan: layers.vlan,
        };
        self.expire(layers.ts);
        let mut datagram = self.take(&key).unwrap_or_else(|| Datagram {
            head: Vec::new(),
            pieces: BTreeMap::new(),
            kept: 0,
            len: None,
            policy,
            age: (layers.ts, 0),
            v6,
        });
        match datagram.insert(fragment, head, data) {
            Overlap::None => {}
            Overlap::Copy => layers.events.insert(overlap),
            Overlap::Conflict => {
                layers.events.insert(overlap);
                layers.events.insert(conflict);
            }
        }
        if datagram.is_complete() {
            if v6 {
                self.stats.ipv6_reassembled += 1;
            } else {
                self.stats.ipv4_reassembled += 1;
            }
            return Some(datagram);
        }
        self.serial += 1;
        datagram.age = (
            layers
                .ts
                .plus_nanos(u64::from(self.settings.timeout_secs) * 1_000_000_000),
            self.serial,
        );
        if !self.make_room(datagram.cost(), datagram.pieces.len()) {
            layers.events.insert(ignored);
        }
        self.put(key, datagram);
        None
    }

    /// Writes a complete datagram to the end of `extra`; answers where, and how it begins.
    pub fn assemble(&self, datagram: Datagram, extra: &mut Vec<u8>) -> Option<(Slice, Begin)> {
        let Datagram {
            mut head,
            pieces,
            kept,
            v6,
            ..
        } = datagram;
        if v6 {
            let payload = u16::try_from(head.len().checked_sub(40)?.checked_add(kept)?).ok()?;
            head.get_mut(4..6)?.copy_from_slice(&payload.to_be_bytes());
        } else {
            let total = u16::try_from(head.len().checked_add(kept)?).ok()?;
            head.get_mut(2..4)?.copy_from_slice(&total.to_be_bytes());
            head.get_mut(6..8)?.fill(0);
            head.get_mut(10..12)?.fill(0);
            let checksum = !fold(sum(&head));
            head.get_mut(10..12)?
                .copy_from_slice(&checksum.to_ne_bytes());
        }
        let start = extra.len();
        extra.extend_from_slice(&head);
        for piece in pieces.values() {
            extra.extend_from_slice(&piece.bytes);
        }
        let len = u32::try_from(extra.len().checked_sub(start)?).ok()?;
        let begin = if v6 { Begin::Ipv6 } else { Begin::Ipv4 };
        Some((
            Slice {
                start: start as u64,
                len,
                extra: true,
            },
            begin,
        ))
    }

    fn take(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.ages.remove(&datagram.age);
        self.bytes = self.bytes.saturating_sub(datagram.cost());
        self.fragments = self.fragments.saturating_sub(datagram.pieces.len());
        Some(datagram)
    }

    fn put(&mut self, key: Key, datagram: Datagram) {
        self.bytes += datagram.cost();
        self.fragments += datagram.pieces.len();
        self.stats.bytes_peak = self.stats.bytes_peak.max(self.bytes);
        self.ages.insert(datagram.age, key);
        self.datagrams.insert(key, datagram);
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((&(at, _), &key)) = self.ages.first_key_value() {
            if at > now {
                return;
            }
            self.stats.timeouts += 1;
            self.take(&key);
        }
    }

    /// Bytes kept.
    pub(super) fn used(&self) -> usize {
        self.bytes
    }

    /// Lets the datagrams that waited longest give way until `bytes` and `fragments` more fit. Answers whether none had to.
    fn make_room(&mut self, bytes: usize, fragments: usize) -> bool {
        let mut untouched = true;
        while self.bytes.saturating_add(bytes) > self.settings.bytes_max
            || self.fragments.saturating_add(fragments) > self.settings.fragments_max
            || self.datagrams.len() >= self.settings.datagrams_max
        {
            let Some((_, &key)) = self.ages.first_key_value() else {
                return false;
            };
            self.stats.evicted += 1;
            self.take(&key);
            untouched = false;
        }
        untouched
    }
}

/// How a fragment lies on those that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    /// On none of them.
    None,
    /// The same fragment again, byte for byte: a link or a mirror doubled it (RFC 8200 §4.5 takes no offence).
    Copy,
    /// With other limits or other bytes: nobody who fragments a datagram makes these.
    Conflict,
}

impl Datagram {
    fn cost(&self) -> usize {
        DATAGRAM_COST + self.head.len() + self.kept + self.pieces.len() * PIECE_COST
    }

    fn is_complete(&self) -> bool {
        self.len.is_some_and(|len| self.kept == len as usize) && !self.head.is_empty()
    }

    /// Takes a fragment's bytes. Answers whether they overlap others.
    fn insert(&mut self, fragment: &Fragment, head: &[u8], data: &[u8]) -> Overlap {
        let (offset, end) = (
            fragment.offset,
            fragment.offset.saturating_add(fragment.data_len),
        );
        if data.is_empty() {
            return Overlap::None;
        }
        // What lies beyond the end that a last fragment gave is not part of the datagram.
        let limit = self.len.unwrap_or(end).min(end);
        if !fragment.more && self.len.is_none() {
            self.len = Some(end);
            self.cut(end);
        }
        let overlapping: Vec<u32> = self
            .pieces
            .range(..end)
            .rev()
            .take_while(|(start, piece)| start.saturating_add(piece.bytes.len() as u32) > offset)
            .map(|(start, _)| *start)
            .collect();
        let copy = overlapping.iter().all(|start| {
            self.pieces.get(start).is_some_and(|piece| {
                (piece.offset, piece.end) == (offset, end) && piece.bytes == data
            })
        });
        let overlap = match (overlapping.is_empty(), copy) {
            (true, _) => Overlap::None,
            (false, true) => Overlap::Copy,
            (false, false) => Overlap::Conflict,
        };
        // Bytes of the newer fragment from `from` on are still to be placed; older pieces come in order.
        let mut from = offset;
        let mut wins_first_byte = true;
        for start in overlapping.iter().rev() {
            let Some(piece) = self.pieces.remove(start) else {
                continue;
            };
            self.kept = self.kept.saturating_sub(piece.bytes.len());
            let stop = start.saturating_add(piece.bytes.len() as u32);
            if newer_wins(self.policy, (piece.offset, piece.end), (offset, end)) {
                // The older piece keeps what sticks out on either side.
                self.keep(*start, offset, *start, &piece);
                self.keep(end.max(*start), stop, *start, &piece);
            } else {
                if *start <= offset {
                    wins_first_byte = false;
                }
                self.place(from, (*start).min(limit), offset, end, data);
                from = from.max(stop);
                self.kept += piece.bytes.len();
                self.pieces.insert(*start, piece);
            }
        }
        self.place(from, limit, offset, end, data);
        if offset == 0 && (wins_first_byte || self.head.is_empty()) {
            self.head = head.to_vec();
            if let Some((at, next)) = fragment.next_header
                && let Some(byte) = self.head.get_mut(at as usize)
            {
                *byte = next;
            }
        }
        overlap
    }

    /// Keeps the bytes `from..to` of an older piece that began at `start`.
    fn keep(&mut self, from: u32, to: u32, start: u32, piece: &Piece) {
        let range = from.saturating_sub(start) as usize..to.saturating_sub(start) as usize;
        if let Some(bytes) = piece.bytes.get(range).filter(|bytes| !bytes.is_empty()) {
            self.kept += bytes.len();
            self.pieces.insert(
                from,
                Piece {
                    bytes: bytes.to_vec(),
                    offset: piece.offset,
                    end: piece.end,
                },
            );
        }
    }

    /// Keeps the bytes `from..to` of the newer fragment, which is `offset..end`.
    fn place(&mut self, from: u32, to: u32, offset: u32, end: u32, data: &[u8]) {
        let range = from.saturating_sub(offset) as usize..to.saturating_sub(offset) as usize;
        if let Some(bytes) = data.get(range).filter(|bytes| !bytes.is_empty()) {
            self.kept += bytes.len();
            self.pieces.insert(
                from,
                Piece {
                    bytes: bytes.to_vec(),
                    offset,
                    end,
                },
            );
        }
    }

    /// Drops what lies beyond `end`.
    fn cut(&mut self, end: u32) {
        let beyond = self.pieces.split_off(&end);
        self.kept = self
            .kept
            .saturating_sub(beyond.values().map(|piece| piece.bytes.len()).sum());
        if let Some((start, piece)) = self
            .pieces
            .last_entry()
            .map(|entry| (*entry.key(), entry.into_mut()))
        {
            let keep = end.saturating_sub(start) as usize;
            self.kept = self
                .kept
                .saturating_sub(piece.bytes.len().saturating_sub(keep));
            piece.bytes.truncate(keep);
        }
    }
}

/// Whether a newer fragment's bytes replace an older one's where both have some; each is (offset, end).
fn newer_wins(policy: OsPolicy, older: (u32, u32), newer: (u32, u32)) -> bool {
    match policy {
        OsPolicy::Bsd | OsPolicy::Hpux10 | OsPolicy::Irix => newer.0 < older.0,
        OsPolicy::BsdRight => newer.0 >= older.0,
        OsPolicy::Linux | OsPolicy::OldLinux => newer.0 <= older.0,
        OsPolicy::First | OsPolicy::OldSolaris | OsPolicy::Hpux11 | OsPolicy::MacOs => false,
        OsPolicy::Last => true,
        OsPolicy::Windows | OsPolicy::Vista | OsPolicy::Windows2003 => {
            newer.0 < older.0 && newer.1 > older.1
        }
        OsPolicy::Solaris => newer.0 < older.0 && newer.1 >= older.1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode_with, frame, ipv4, ipv6, names};
    use super::super::{ChecksumMode, DecodeSettings, Decoder, HostPolicies};
    use super::*;
    use crate::packet::{LinkType, PacketOrigin};

    fn decoder(policy: OsPolicy, defrag: DefragSettings) -> Decoder {
        Decoder::new(DecodeSettings {
            checksums: ChecksumMode::Full,
            host_policies: HostPolicies::new(policy),
            defrag,
            ..DecodeSettings::default()
        })
    }

    /// A fragment of protocol 200, which nothing decodes further.
    fn v4(id: u8, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
        let mut packet = ipv4(200, &[], data);
        packet[5] = id;
        packet[6..8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
        packet[10..12].fill(0);
        let checksum = !fold(sum(&packet[..20]));
        packet[10..12].copy_from_slice(&checksum.to_ne_bytes());
        frame(0x0800, &packet)
    }

    fn v6(id: u8, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
        let field = (offset | u16::from(more)).to_be_bytes();
        // A hop-by-hop header before the fragment header: its "next header" must be mended.
        let head = [
            44, 0, 5, 2, 0, 0, 0, 0, 200, 0, field[0], field[1], 0, 0, 0, id,
        ];
        frame(0x86dd, &ipv6(0, &[&head[..], data].concat()))
    }

    /// Sends fragments, answers the payload of what is reassembled and the events seen.
    fn send(decoder: &mut Decoder, frames: &[Vec<u8>]) -> (Option<Vec<u8>>, Vec<&'static str>) {
        let (mut whole, mut events) = (None, Vec::new());
        for (i, bytes) in frames.iter().enumerate() {
            let mut extra = vec![0xaa; 3];
            let found = decode_with(decoder, bytes, LinkType::ETHERNET, i as u64 + 1, &mut extra);
            let outer = found.last().expect("the fragment");
            assert!(outer.fragment && !outer.has_flow);
            assert_eq!(outer.encapsulates, found.len() > 1);
            events.extend(names(outer));
            if let [inner, _] = &found[..] {
                assert_eq!(
                    (inner.origin, inner.frame.extra, inner.fragment),
                    (PacketOrigin::Defrag, true, false)
                );
                assert!(!inner.bad_ip_checksum && inner.ip_proto == 200);
                let start = inner.frame.start as usize + inner.payload_offset as usize;
                whole = Some(extra[start..start + inner.payload_len as usize].to_vec());
            }
        }
        (whole, events)
    }

    #[test]
    fn overlaps_are_put_together_as_the_policies_of_the_paper_say() {
        // Novak 2005, figure 3: offsets and lengths in units of 8 bytes; letters in order of arrival.
        let parts: &[(u16, usize)] = &[
            (0, 3),
            (4, 2),
            (6, 3),
            (10, 1),
            (13, 2),
            (15, 3),
            (18, 2),
            (20, 2),
            (22, 1),
            (1, 4),
            (6, 3),
            (9, 3),
            (12, 3),
            (16, 1),
            (19, 1),
            (20, 1),
            (22, 2),
        ];
        let expected = [
            (OsPolicy::Bsd, "AAAJJBCCCLLLMMMFFFGGHHIQ"),
            (OsPolicy::Linux, "AAAJJBKKKLLLMMMFFFGGPHQQ"),
            (OsPolicy::Windows, "AAAJBBCCCLLLMEEFFFGGHHIQ"),
            (OsPolicy::Solaris, "AAAJBBCCCLLLMMMFFFGGHHIQ"),
            (OsPolicy::First, "AAAJBBCCCLDLMEEFFFGGHHIQ"),
            (OsPolicy::Last, "AJJJJBKKKLLLMMMFNFGOPHQQ"),
        ];
        for (policy, letters) in expected {
            for build in [v4, v6] {
                let frames: Vec<_> = parts
                    .iter()
                    .zip(b'A'..)
                    .map(|((offset, blocks), letter)| {
                        build(1, offset * 8, letter != b'Q', &vec![letter; blocks * 8])
                    })
                    .collect();
                let (whole, events) =
                    send(&mut decoder(policy, DefragSettings::default()), &frames);
                let whole = whole.expect("reassembled");
                let got: String = whole.chunks(8).map(|block| block[0] as char).collect();
                assert_eq!(got, letters, "{policy:?}");
                assert!(
                    events.iter().any(|name| name.ends_with("frag_overlap")),
                    "{events:?}"
                );
            }
        }
        // No result was published for this one: its rule alone is checked.
        assert!(newer_wins(OsPolicy::BsdRight, (0, 16), (8, 24)));
        assert!(!newer_wins(OsPolicy::BsdRight, (8, 24), (0, 16)));
    }

    #[test]
    fn a_doubled_fragment_overlaps_but_contradicts_nothing() {
        for build in [v4, v6] {
            let first = build(1, 0, true, b"aaaaaaaa");
            let last = build(1, 8, false, b"bb");
            let doubled = [first.clone(), first.clone(), last.clone()];
            let mut defrag = decoder(OsPolicy::Bsd, DefragSettings::default());
            let (whole, events) = send(&mut defrag, &doubled);
            assert_eq!(whole.as_deref(), Some(&b"aaaaaaaabb"[..]));
            assert!(events.iter().any(|name| name.ends_with("frag_overlap")));
            assert!(!events.iter().any(|name| name.ends_with("frag_conflict")));
            for other in [
                build(1, 0, true, b"aaaaaaax"),
                build(1, 0, true, b"aaaaaaaaaaaaaaaa"),
            ] {
                let mut defrag = decoder(OsPolicy::Bsd, DefragSettings::default());
                let (_, events) = send(&mut defrag, &[first.clone(), other]);
                assert!(events.iter().any(|name| name.ends_with("frag_conflict")));
            }
        }
    }

    #[test]
    fn any_order_of_arrival_gives_the_datagram() {
        let parts = [
            v4(1, 0, true, b"aaaaaaaa"),
            v4(1, 8, true, b"bbbbbbbb"),
            v4(1, 16, false, b"cc"),
        ];
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let frames = order.map(|i: usize| parts[i].clone());
            let mut decoder = decoder(OsPolicy::Bsd, DefragSettings::default());
            let (whole, events) = send(&mut decoder, &frames);
            assert_eq!(
                (whole.as_deref(), events.len()),
                (Some(&b"aaaaaaaabbbbbbbbcc"[..]), 0)
            );
            assert_eq!(
                (
                    decoder.defrag.bytes,
                    decoder.defrag.fragments,
                    decoder.defrag.ages.len()
                ),
                (0, 0, 0)
            );
        }
    }

    #[test]
    fn what_lies_beyond_the_end_is_not_part_of_it() {
        let frames = [
            v4(1, 16, true, b"xxxxxxxx"),
            v4(1, 8, false, b"bbbb"),
            v4(1, 0, true, b"aaaaaaaa"),
        ];
        let (whole, _) = send(
            &mut decoder(OsPolicy::Bsd, DefragSettings::default()),
            &frames,
        );
        assert_eq!(whole.as_deref(), Some(&b"aaaaaaaabbbb"[..]));
    }

    #[test]
    fn datagrams_time_out_in_packet_time() {
        let settings = DefragSettings {
            timeout_secs: 1,
            ..DefragSettings::default()
        };
        let mut decoder = decoder(OsPolicy::Bsd, settings);
        let frames = [
            v4(1, 0, true, b"aaaaaaaa"),
            v4(2, 0, true, b"aaaaaaaa"),
            v4(1, 8, false, b"b"),
        ];
        assert_eq!(send(&mut decoder, &frames), (None, vec![]));
        assert_eq!(decoder.defrag_stats().timeouts, 2);
    }

    #[test]
    fn too_large_datagrams_are_an_event() {
        let mut decoder = decoder(OsPolicy::Bsd, DefragSettings::default());
        let (_, events) = send(
            &mut decoder,
            &[v4(1, 65_520, true, &[0; 32]), v6(1, 65_520, true, &[0; 32])],
        );
        assert_eq!(
            events,
            [
                "decoder.ipv4.frag_pkt_too_large",
                "decoder.ipv6.frag_pkt_too_large"
            ]
        );
        assert_eq!(decoder.defrag.datagrams.len(), 0);
    }

    #[test]
    fn a_flood_of_fragments_stays_within_the_bounds() {
        let settings = DefragSettings {
            bytes_max: 20_000,
            datagrams_max: 40,
            fragments_max: 60,
            timeout_secs: 60,
        };
        let mut decoder = decoder(OsPolicy::Bsd, settings.clone());
        let frames: Vec<_> = (0..200u16)
            .map(|i| v4(i as u8, (i % 7) * 8, true, &[1; 8]))
            .collect();
        let (_, events) = send(&mut decoder, &frames);
        assert!(events.contains(&"decoder.ipv4.frag_ignored"));
        let (defrag, stats) = (&decoder.defrag, decoder.defrag_stats());
        assert!(
            defrag.datagrams.len() <= settings.datagrams_max
                && defrag.datagrams.len() == defrag.ages.len()
        );
        assert!(stats.bytes_peak <= settings.memory_bound() as usize && stats.evicted > 100);
    }
}
