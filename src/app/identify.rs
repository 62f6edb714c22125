//! Which protocol a flow speaks: patterns first, then probing by port, then what another flow has announced.
//!
//! Each direction is identified on its own, as in Suricata, because hosts may disagree and rules ask (`app-layer-event:
//! applayer_mismatch_protocol_both_directions`). A direction is *settled* when neither more bytes nor another port could
//! still give an answer.
//!
//! Work is bounded: patterns look at the first bytes only (their depth), a probe that says no is not asked again.

use memchr::memmem;

use super::{AppProto, Pattern, Probe, Protocol, Rides, registry};
use crate::packet::{Direction, FlowKey};

/// Probes remembered per direction as having said no (the bits of a mask).
const PROBES_MAX: usize = 64;

/// A pattern with the protocol it means.
#[derive(Clone, Copy, Debug)]
struct Known {
    proto: AppProto,
    pattern: Pattern,
}

/// What one flow's identification knows so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Per direction: no pattern can match any more.
    pub patterns_done: [bool; 2],
    /// Per direction: no probe can match any more.
    pub probes_done: [bool; 2],
    /// Per direction: announcements were looked up.
    pub expectations_done: [bool; 2],
    /// Per direction: probes that said no.
    refused: [u64; 2],
}

impl Progress {
    /// Whether nothing more can be learned from a direction.
    pub fn settled(&self, direction: Direction) -> bool {
        pick(&self.patterns_done, direction) && pick(&self.probes_done, direction)
    }

    /// Exchanges the directions.
    pub fn swap(&mut self) {
        self.patterns_done.swap(0, 1);
        self.probes_done.swap(0, 1);
        self.expectations_done.swap(0, 1);
        self.refused.swap(0, 1);
    }
}

/// The value of a direction.
pub(super) fn pick<T: Copy>(pair: &[T; 2], direction: Direction) -> T {
    let [to_server, to_client] = *pair;
    if direction == Direction::ToServer {
        to_server
    } else {
        to_client
    }
}

/// Sets the value of a direction.
pub(super) fn set<T>(pair: &mut [T; 2], direction: Direction, value: T) {
    let [to_server, to_client] = pair;
    *(if direction == Direction::ToServer {
        to_server
    } else {
        to_client
    }) = value;
}

/// What identification found in the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identified {
    /// The protocol.
    pub proto: AppProto,
    /// Whether the sender is really the other side.
    pub reversed: bool,
}

/// What the flow already knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints {
    /// Client to server; the destination port may be replaced by what CONNECT named.
    pub key: FlowKey,
    /// A protocol to ask first: the announced one, or what the other direction was identified as.
    pub first: Option<AppProto>,
    /// Whether patterns of the other direction count too (sessions picked up in the middle).
    pub either_way: bool,
}

/// Everything that recognises protocols, for one transport.
#[derive(Debug)]
pub(super) struct Identifier {
    /// Per direction.
    patterns: [Vec<Known>; 2],
    /// Per direction: how many bytes settle the patterns.
    depth: [usize; 2],
    /// Protocols that probe: on their ports, and on any.
    probes: Vec<&'static dyn Protocol>,
}

impl Identifier {
    /// For a transport, from the registry.
    pub fn new(protocols: &[&'static dyn Protocol], rides: Rides) -> Self {
        let mut patterns: [Vec<Known>; 2] = Default::default();
        let mut depth = [0; 2];
        let mut probes = Vec::new();
        for protocol in protocols
            .iter()
            .filter(|p| p.rides() == rides || p.rides() == Rides::Both)
        {
            for pattern in protocol.patterns() {
                let [to_server, to_client] = &mut patterns;
                let [depth_server, depth_client] = &mut depth;
                let (list, deepest) = match pattern.direction {
                    Direction::ToServer => (to_server, depth_server),
                    Direction::ToClient => (to_client, depth_client),
                };
                list.push(Known {
                    proto: protocol.proto(),
                    pattern: *pattern,
                });
                *deepest = usize::from(pattern.depth).max(*deepest);
            }
            if !protocol.ports().is_empty() || protocol.probe_any_port() {
                probes.push(*protocol);
            }
        }
        Self {
            patterns,
            depth,
            probes,
        }
    }

    /// From the registry's protocols.
    pub fn of_registry(rides: Rides) -> Self {
        Self::new(registry::PROTOCOLS, rides)
    }

    /// Looks at the first bytes of a direction. `None`: not known, or not yet (`progress` tells).
    pub fn identify(
        &self,
        direction: Direction,
        bytes: &[u8],
        hints: &Hints,
        progress: &mut Progress,
    ) -> Option<Identified> {
        if !pick(&progress.patterns_done, direction)
            && let Some(found) = self.by_pattern(direction, bytes, hints, progress)
        {
            set(&mut progress.patterns_done, direction, true);
            return Some(found);
        }
        if !pick(&progress.probes_done, direction) {
            return self.by_probe(direction, bytes, hints, progress);
        }
        None
    }

    fn by_pattern(
        &self,
        direction: Direction,
        bytes: &[u8],
        hints: &Hints,
        progress: &mut Progress,
    ) -> Option<Identified> {
        let either_way = hints.either_way;
        let find = |side: Direction| {
            let [to_server, to_client] = &self.patterns;
            let list = if side == Direction::ToServer {
                to_server
            } else {
                to_client
            };
            list.iter()
                .find(|known| matches(&known.pattern, bytes))
                .map(|known| known.proto)
        };
        let enough = |side: Direction| bytes.len() >= pick(&self.depth, side);
        if let Some(proto) = find(direction) {
            // The same bytes may begin either side's messages: the probe tells whose they are.
            let reversed = either_way
                && registry::protocol(proto).is_some_and(|protocol| {
                    protocol.probe(direction, bytes, &hints.key) == Probe::MatchReversed
                });
            return Some(Identified { proto, reversed });
        }
        let mut done = enough(direction);
        if either_way {
            if let Some(proto) = find(direction.reverse()) {
                return Some(Identified {
                    proto,
                    reversed: true,
                });
            }
            done &= enough(direction.reverse());
        }
        set(&mut progress.patterns_done, direction, done);
        None
    }

    fn by_probe(
        &self,
        direction: Direction,
        bytes: &[u8],
        hints: &Hints,
        progress: &mut Progress,
    ) -> Option<Identified> {
        let key = &hints.key;
        let read = |protocol: &'static dyn Protocol, probe: Probe| match probe {
            Probe::Match => Ok(Identified {
                proto: protocol.proto(),
                reversed: false,
            }),
            Probe::MatchReversed => Ok(Identified {
                proto: protocol.proto(),
                reversed: true,
            }),
            other => Err(other),
        };
        if let Some(protocol) = hints.first.and_then(registry::protocol)
            && let Ok(found) = read(protocol, protocol.confirm(direction, bytes, key))
        {
            return Some(found);
        }
        let mut waiting = false;
        let mut refused = pick(&progress.refused, direction);
        // Those of the server's port, then those of the client's port, then those that know themselves anywhere.
        for round in 0..3 {
            for (i, protocol) in self.probes.iter().enumerate().take(PROBES_MAX) {
                let ports = protocol.ports();
                let asked = match round {
                    0 => ports.contains(&key.dport),
                    1 => ports.contains(&key.sport) && !ports.contains(&key.dport),
                    _ => {
                        protocol.probe_any_port()
                            && !ports.contains(&key.dport)
                            && !ports.contains(&key.sport)
                    }
                };
                if !asked || refused & 1 << i != 0 {
                    continue;
                }
                match read(*protocol, protocol.probe(direction, bytes, key)) {
                    Ok(found) => return Some(found),
                    Err(Probe::NeedMore) => waiting = true,
                    Err(_) => refused |= 1 << i,
                }
            }
        }
        set(&mut progress.refused, direction, refused);
        set(&mut progress.probes_done, direction, !waiting);
        None
    }
}

/// Whether a pattern occurs where it must.
fn matches(pattern: &Pattern, bytes: &[u8]) -> bool {
    let depth = bytes.len().min(usize::from(pattern.depth));
    let Some(area) = bytes.get(usize::from(pattern.offset)..depth) else {
        return false;
    };
    let wanted = pattern.bytes;
    if area.len() < wanted.len() {
        return false;
    }
    match (pattern.nocase, area.len() == wanted.len()) {
        (false, true) => area == wanted,
        (false, false) => memmem::find(area, wanted).is_some(),
        (true, _) => area
            .windows(wanted.len())
            .any(|window| window.eq_ignore_ascii_case(wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(bytes: &'static [u8], nocase: bool, offset: u16, depth: u16) -> Pattern {
        Pattern {
            bytes,
            nocase,
            offset,
            depth,
            direction: Direction::ToServer,
        }
    }

    #[test]
    fn patterns_match_only_between_offset_and_depth() {
        assert!(matches(&pattern(b"GET ", false, 0, 4), b"GET / HTTP/1.0"));
        assert!(!matches(&pattern(b"GET ", false, 0, 4), b" GET / HTTP/1.0"));
        assert!(!matches(&pattern(b"get ", false, 0, 4), b"GET /"));
        assert!(matches(&pattern(b"ssh-", true, 0, 16), b"junk\nSSH-2.0"));
        assert!(matches(
            &pattern(b"SMB", false, 5, 8),
            b"\0\0\0\x10\xffSMBx"
        ));
        assert!(!matches(&pattern(b"SMB", false, 5, 8), b"\0\0\0\x10\xffSM"));
    }
}
