//! Where each signature is entered, so that a packet finds it: patterns, transactions, headers.

use super::build::{Build, MatcherKey};
use super::sites::{Floating, Site};
use super::{Class, DIRECTIONS, FRONT_BYTES, ProtoTest, Ranked, Reach, TxLook, tx_range};
use crate::app::{AppProto, registry};
use crate::detect::signature::verdict::acts_on_shared;
use crate::packet::Direction;
use crate::rules::{
    BufferSource, FastPattern, PacketTest, PayloadScope, Signature, SignatureKind, TxWant,
};

impl<'r> Build<'r> {
    /// Enters a signature where its candidates are found.
    pub(super) fn enter(&mut self, signature: &'r Signature, ranked: &Ranked, rank: u32) {
        self.compiled.digests = self.compiled.digests.or(signature.digests);
        self.compiled.acts_on_shared |= acts_on_shared(signature);
        if let Some(look) = self.frame_look(signature, rank) {
            self.compiled.frames.push(look);
            return;
        }
        let patterns = signature
            .fast
            .as_ref()
            .map(|fast| (fast, self.source(fast.buffer)));
        match patterns {
            Some((fast, Some(BufferSource::Payload))) => self.enter_payload(ranked, rank, fast),
            Some((fast, Some(BufferSource::Header(_)))) => {
                for direction in covered(ranked) {
                    let key = MatcherKey::Header(fast.buffer.0, direction.index() as u8);
                    self.matchers.entry(key).or_default().add(fast, rank);
                }
            }
            Some((fast, Some(BufferSource::App { .. }))) if ranked.is_tx() => {
                self.enter_tx_pattern(ranked, rank, fast);
            }
            _ if ranked.is_tx() => self.enter_tx(signature, ranked, rank),
            _ => self.enter_packet(signature, ranked, rank),
        }
    }

    pub(super) fn enter_payload(&mut self, ranked: &Ranked, rank: u32, fast: &'r FastPattern) {
        let front = fast
            .bounds
            .is_some_and(|(_, end)| end as usize <= FRONT_BYTES);
        let reach = if front { Reach::Front } else { Reach::All };
        for class in classes(ranked.proto) {
            for direction in covered(ranked) {
                let d = direction.index() as u8;
                let stream =
                    class == Class::Tcp && (ranked.scope != PayloadScope::Packet || ranked.is_tx());
                let mut enter = |site, bounds| {
                    let patterns = self.sites.entry(site).or_default();
                    if !patterns.starts.take(fast, rank) {
                        patterns.floating.push(Floating {
                            fast,
                            bounds,
                            rank,
                            reach,
                        });
                    }
                };
                if stream {
                    // A piece of the stream has two beginnings: with and without the end of the one before.
                    enter(Site::Stream(d), fast.bounds.filter(|_| front));
                }
                if !stream || ranked.scope == PayloadScope::Both {
                    enter(Site::Payload(class as u8, d), fast.bounds);
                }
            }
        }
    }

    pub(super) fn enter_tx_pattern(
        &mut self,
        ranked: &Ranked,
        rank: u32,
        fast: &crate::rules::FastPattern,
    ) {
        let steps = tx_range(&self.compiled.tx_steps, ranked.tx).to_vec();
        let mut directions = [false; 2];
        for step in steps.iter().filter(|s| s.fast) {
            let TxLook::Buffer { field, .. } = step.look else {
                continue;
            };
            let d = step.direction.index();
            if let Some(scans) = self
                .scans
                .get_mut(usize::from(step.proto.0))
                .and_then(|s| s.get_mut(d))
            {
                scans.insert((step.progress, fast.buffer.0), field);
            }
            if let Some(seen) = directions.get_mut(d) {
                *seen = true;
            }
        }
        for (d, _) in directions.iter().enumerate().filter(|(_, seen)| **seen) {
            self.matchers
                .entry(MatcherKey::Tx(fast.buffer.0, d as u8))
                .or_default()
                .add(fast, rank);
        }
    }

    pub(super) fn enter_tx(&mut self, signature: &Signature, ranked: &Ranked, rank: u32) {
        let steps = tx_range(&self.compiled.tx_steps, ranked.tx).to_vec();
        // A signature that wants an event cannot match before it is raised.
        let event = signature.tx.iter().find_map(|t| match t.want {
            TxWant::Event(proto, number) => Some((proto, number)),
            _ => None,
        });
        if let Some((proto, number)) = event {
            for proto in registry::raising(proto) {
                for direction in covered(ranked) {
                    if let Some(plan) = self
                        .compiled
                        .plans
                        .get_mut(usize::from(proto.0))
                        .and_then(|p| p.get_mut(direction.index()))
                    {
                        plan.events.push((number, rank));
                    }
                }
            }
            return;
        }
        let protocols: Vec<AppProto> = if ranked.app.is_any() {
            (0..registry::PROTOCOLS.len())
                .filter_map(|i| u8::try_from(i).ok())
                .map(AppProto)
                .collect()
        } else {
            signature.app.clone()
        };
        for proto in protocols {
            for direction in DIRECTIONS {
                let first = steps
                    .iter()
                    .filter(|s| {
                        (s.proto == proto || s.proto == AppProto::UNKNOWN)
                            && s.direction == direction
                    })
                    .filter(|s| !matches!(s.look, TxLook::Payload { .. }))
                    .map(|s| s.progress)
                    .min();
                let Some(first) = first else { continue };
                if let Some(always) = self
                    .tx_always
                    .get_mut(usize::from(proto.0))
                    .and_then(|a| a.get_mut(direction.index()))
                {
                    always.entry(first).or_default().push(rank);
                }
            }
        }
    }

    pub(super) fn enter_packet(&mut self, signature: &Signature, ranked: &Ranked, rank: u32) {
        match ranked.kind {
            SignatureKind::IpOnly => {
                // Another segment may have other addresses: only literal sets are found by interval.
                let literal =
                    !signature.src.text.contains('$') && !signature.dst.text.contains('$');
                let narrow = |set: &crate::rules::AddressSet| !set.text.contains('$') && !set.any;
                if signature.bidirectional
                    || !(literal || narrow(&signature.src) || narrow(&signature.dst))
                {
                    self.addresses.add_everywhere(rank);
                } else {
                    let any = crate::rules::AddressSet {
                        any: true,
                        ..Default::default()
                    };
                    let src = if signature.src.text.contains('$') {
                        &any
                    } else {
                        &*signature.src
                    };
                    let dst = if signature.dst.text.contains('$') {
                        &any
                    } else {
                        &*signature.dst
                    };
                    self.addresses.add(rank, src, dst);
                }
                return;
            }
            SignatureKind::ProtocolDetected => {
                self.compiled.protocol.push(rank);
                return;
            }
            _ => {}
        }
        let event = signature.packet.iter().find_map(|t| match t {
            PacketTest::Event(event) => Some(*event),
            _ => None,
        });
        if let Some(event) = event {
            if let Some(list) = self.compiled.events.get_mut(usize::from(event.0)) {
                list.push(rank);
            }
            return;
        }
        let ports = &signature.dport;
        let few = !signature.bidirectional
            && !ports.any
            && !ports.text.contains('$')
            && ports
                .ranges
                .iter()
                .map(|(a, b)| usize::from(b - a) + 1)
                .sum::<usize>()
                <= 16;
        for class in classes(ranked.proto) {
            for direction in covered(ranked) {
                let (c, d) = (class as usize, direction.index());
                if few && matches!(class, Class::Tcp | Class::Udp | Class::Sctp) {
                    if let Some(always) = self.compiled.always.get_mut(c).and_then(|a| a.get_mut(d))
                    {
                        for port in ports.ranges.iter().flat_map(|(a, b)| *a..=*b) {
                            always.by_port.entry(port).or_default().push(rank);
                        }
                    }
                } else if let Some(always) = self.always.get_mut(c).and_then(|a| a.get_mut(d)) {
                    always.entry(ranked.needs).or_default().push(rank);
                }
            }
        }
    }
}

pub(super) fn covered(ranked: &Ranked) -> impl Iterator<Item = Direction> + use<> {
    let directions = ranked.directions;
    DIRECTIONS
        .into_iter()
        .filter(move |d| directions & 1 << d.index() != 0)
}

pub(super) fn classes(proto: ProtoTest) -> Vec<Class> {
    use Class::{Icmp, NonIp, OtherIp, Sctp, Tcp, Udp};
    match proto {
        ProtoTest::AnyPacket | ProtoTest::Ether => vec![Tcp, Udp, Icmp, Sctp, OtherIp, NonIp],
        ProtoTest::Ip | ProtoTest::V4 | ProtoTest::V6 | ProtoTest::List => {
            vec![Tcp, Udp, Icmp, Sctp, OtherIp]
        }
        ProtoTest::Arp => vec![NonIp],
        ProtoTest::Tcp => vec![Tcp],
        ProtoTest::Udp => vec![Udp],
        ProtoTest::TcpOrUdp => vec![Tcp, Udp],
        ProtoTest::Icmp | ProtoTest::Icmpv4 | ProtoTest::Icmpv6 => vec![Icmp],
        ProtoTest::Sctp => vec![Sctp],
        ProtoTest::Number(_) => vec![OtherIp],
    }
}
