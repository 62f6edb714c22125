//! From a frame to packets: headers, tunnels, fragments, and what is wrong with them.
//!
//! [`Decoder::decode`] walks the headers of one frame and appends a [`Layers`] for it and for every packet found inside
//! (tunnels, datagrams completed by a fragment). Innermost first, the frame itself last: that is the order in which
//! Suricata inspects them, so alerts of one frame come in the same order. Each header has a file of its own; they share
//! [`walk::Walk`], the state of one walk.
//!
//! What is wrong becomes an event by Suricata's name and never an error. A header that cannot be read ends the walk;
//! what was read before it stands. Limits: [`DecodeSettings::layers_max`] headers a frame, [`PACKETS_MAX`] packets a
//! frame, [`crate::packet::VLAN_MAX`] VLAN tags, and the bounds of [`DefragSettings`].
//!
//! No allocation and no formatting per packet, except to keep fragments.

mod arp;
mod chdlc;
mod checksum;
mod defrag;
mod erspan;
mod esp;
mod ethernet;
mod geneve;
mod gre;
mod icmpv4;
mod icmpv6;
mod igmp;
mod ipv4;
mod ipv6;
mod mpls;
mod nsh;
mod null;
mod policy;
mod ppp;
mod pppoe;
mod raw;
pub mod sctp;
mod sll;
mod stats;
mod tag;
mod tcp;
mod teredo;
mod udp;
mod vlan;
mod vxlan;
mod walk;

pub use checksum::{ChecksumMode, ChecksumStats};
pub use defrag::{DefragSettings, DefragStats};
pub use policy::{HostPolicies, OsPolicy};
pub use stats::DecodeStats;

use crate::packet::{Layers, LinkType, PacketOrigin, Slice, Timestamp, VLAN_MAX};
use crate::stats::{Memory, MemoryBound};

use defrag::Defrag;
use walk::{Begin, Inner, Part, Walk};

/// Most packets one frame may unfold to: nested tunnels and reassembled datagrams.
pub const PACKETS_MAX: usize = 16;

/// A frame as capture hands it over.
#[derive(Clone, Copy, Debug)]
pub struct RawFrame<'a> {
    /// Where the bytes are in the batch.
    pub slice: Slice,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Link layer.
    pub link: LinkType,
    /// When it was captured.
    pub ts: Timestamp,
    /// Number in the capture, from 1.
    pub number: u64,
    /// Input interface.
    pub interface: u16,
    /// Bytes it had on the wire (more than `bytes` when the capture cut it).
    pub original_len: u32,
    /// Whether its checksums were left to a card that it has not passed yet: then they say nothing.
    pub unfinished: bool,
}

/// What may be chosen about decoding.
#[derive(Clone, Debug)]
pub struct DecodeSettings {
    /// Seeds the hash that chooses the worker.
    pub seed: u64,
    /// Which checksums are checked.
    pub checksums: ChecksumMode,
    /// Whether a large TCP segment whose IPv4 total length is zero is one that the sending host left to its network card
    /// to cut (segmentation offload), as captures made on that host show them. Not for traffic that can still be stopped:
    /// on the wire such a packet is a fault that receivers drop.
    pub offloaded_lengths: bool,
    /// Headers decoded in one packet (Suricata's `decoder.max-layers`), 2..=32.
    pub layers_max: u8,
    /// UDP ports (either side) on which Teredo is looked for; empty = every port.
    pub teredo_ports: Vec<u16>,
    /// Whether Teredo is decoded.
    pub teredo: bool,
    /// UDP destination ports of VXLAN; empty = not decoded.
    pub vxlan_ports: Vec<u16>,
    /// UDP ports (either side) of GENEVE; empty = not decoded.
    pub geneve_ports: Vec<u16>,
    /// Defragmentation.
    pub defrag: DefragSettings,
    /// How hosts put overlapping data together (`host-os-policy`).
    pub host_policies: HostPolicies,
}

impl Default for DecodeSettings {
    fn default() -> Self {
        Self {
            seed: crate::packet::hash_key(),
            checksums: ChecksumMode::Auto,
            offloaded_lengths: true,
            layers_max: 16,
            teredo_ports: vec![3544],
            teredo: true,
            vxlan_ports: vec![4789],
            geneve_ports: vec![6081],
            defrag: DefragSettings::default(),
            host_policies: HostPolicies::default(),
        }
    }
}

/// Decodes frames. Owned by the capture thread; everything it keeps between frames is fragments and counters.
#[derive(Debug)]
pub struct Decoder {
    settings: DecodeSettings,
    defrag: Defrag,
    checksums: checksum::Monitor,
    stats: DecodeStats,
}

/// One packet to decode: where its bytes are, how they begin, and what it has from the packet around it.
struct Job {
    slice: Slice,
    begin: Begin,
    link: LinkType,
    origin: PacketOrigin,
    /// How deep in tunnels.
    depth: u8,
    /// Headers decoded around it.
    decoded: u8,
    vlan: [u16; VLAN_MAX],
    vlan_count: u8,
    /// Whether it is only a packet when nothing in it is invalid (Teredo is a guess).
    strict: bool,
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    pub fn new(settings: DecodeSettings) -> Self {
        Self {
            defrag: Defrag::new(settings.defrag.clone(), settings.seed),
            checksums: checksum::Monitor::new(settings.checksums),
            stats: DecodeStats::default(),
            settings,
        }
    }

    /// Whether the link layer is one that can be decoded.
    pub fn supports(link: LinkType) -> bool {
        Begin::of_link(link) != Begin::Unknown
    }

    /// Decodes a frame: appends its packets to `out`, the innermost first, the frame's own last. Bytes of reassembled
    /// packets are appended to `extra`, and their slices say so.
    pub fn decode(&mut self, raw: RawFrame<'_>, extra: &mut Vec<u8>, out: &mut Vec<Layers>) {
        let first = out.len();
        let len = u32::try_from(raw.bytes.len()).unwrap_or(u32::MAX);
        let mut job = Job {
            slice: Slice { len, ..raw.slice },
            begin: Begin::of_link(raw.link),
            link: raw.link,
            origin: PacketOrigin::Wire,
            depth: 0,
            decoded: 0,
            vlan: [0; VLAN_MAX],
            vlan_count: 0,
            strict: false,
        };
        self.stats.packets += 1;
        self.stats.bytes += u64::from(len);
        let verify = !raw.unfinished && self.checksums.verify(self.stats.packets);
        while let Some(next) = self.one(&job, &raw, verify, extra, out) {
            if out.len().saturating_sub(first) >= PACKETS_MAX {
                break;
            }
            job = next;
        }
        let packets = out.get_mut(first..).unwrap_or_default();
        for packet in packets.iter() {
            if packet.invalid || !packet.events.is_empty() {
                self.stats.note(packet);
            }
        }
        if packets.len() > 1 {
            packets.reverse();
        }
    }

    /// Decodes one packet into `out`; answers the packet found in it, if any.
    #[inline]
    fn one(
        &mut self,
        job: &Job,
        raw: &RawFrame<'_>,
        verify: bool,
        extra: &mut Vec<u8>,
        out: &mut Vec<Layers>,
    ) -> Option<Job> {
        let position = out.len();
        out.push(Layers::EMPTY);
        let (outer, inner) = out.split_at_mut_checked(position)?;
        let layers = inner.first_mut()?;
        layers.frame = job.slice;
        layers.number = raw.number;
        layers.ts = raw.ts;
        layers.interface = raw.interface;
        layers.link = job.link;
        layers.origin = job.origin;
        layers.depth = job.depth;
        layers.vlan = job.vlan;
        layers.vlan_count = job.vlan_count;
        let frame = resolve(job.slice, raw, extra);
        let mut walk = Walk {
            frame,
            layers,
            settings: &self.settings,
            stats: &mut self.stats,
            checksums: &mut self.checksums,
            verify,
            decoded: job.decoded,
            inner: None,
            fragment: None,
        };
        let done = walk.begin(
            job.begin,
            Part {
                at: 0,
                bytes: frame,
            },
        );
        let Walk {
            inner,
            fragment,
            decoded,
            ..
        } = walk;
        if let Some(parent) = outer
            .last_mut()
            .filter(|_| job.origin != PacketOrigin::Wire)
        {
            // A tunnel whose inside is not what it says is no tunnel: only its outer packet remains.
            if done.is_err() || (job.strict && layers.invalid) {
                out.pop();
                return None;
            }
            parent.encapsulates = true;
        }
        let next = Job {
            vlan: [0; VLAN_MAX],
            vlan_count: 0,
            strict: false,
            ..*job
        };
        if let Some(fragment) = fragment {
            let policy = self.settings.host_policies.of(layers.dst);
            let complete = self.defrag.insert(&fragment, frame, layers, policy)?;
            let (slice, begin) = self.defrag.assemble(complete, extra)?;
            let (vlan, vlan_count) = (layers.vlan, layers.vlan_count);
            let origin = PacketOrigin::Defrag;
            return Some(Job {
                slice,
                begin,
                link: LinkType::RAW,
                origin,
                decoded: 0,
                vlan,
                vlan_count,
                ..next
            });
        }
        let Inner {
            at,
            len,
            begin,
            origin,
            strict,
        } = inner?;
        let start = job.slice.start.checked_add(u64::from(at))?;
        let slice = Slice {
            start,
            len,
            extra: job.slice.extra,
        };
        Some(Job {
            slice,
            begin,
            link: begin.link(),
            origin,
            depth: job.depth.saturating_add(1),
            decoded,
            strict,
            ..next
        })
    }

    /// Counters.
    pub fn stats(&self) -> &DecodeStats {
        &self.stats
    }

    /// What the checksums showed.
    pub fn checksums(&self) -> &ChecksumStats {
        self.checksums.stats()
    }

    /// What defragmentation did.
    pub fn defrag_stats(&self) -> &DefragStats {
        self.defrag.stats()
    }

    /// Most memory it may take.
    pub fn memory_bound(&self) -> MemoryBound {
        let memory = Memory {
            bytes: self.settings.defrag.memory_bound(),
            used: self.defrag.used() as u64,
        };
        memory.of("defragmentation")
    }
}

/// The bytes of a packet: in the frame, or in the reassembled ones.
fn resolve<'a>(slice: Slice, raw: &RawFrame<'a>, extra: &'a [u8]) -> &'a [u8] {
    let (all, base) = if slice.extra {
        (extra, 0)
    } else {
        (raw.bytes, raw.slice.start)
    };
    slice
        .start
        .checked_sub(base)
        .and_then(|start| usize::try_from(start).ok())
        .and_then(|start| all.get(start..)?.get(..slice.len as usize))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
