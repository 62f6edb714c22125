//! Tests of the flow table.

use super::*;
use crate::packet::{Embedded, Layers, Net, TcpFlags};

fn layers(number: u64, secs: u64, src: [u8; 4], sport: u16, transport: Transport) -> Layers {
    let ip_proto = match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        _ => 1,
    };
    let mut layers = Layers {
        number,
        ts: Timestamp::new(secs, 0),
        net: Net::V4,
        src: src.into(),
        dst: [10, 0, 0, 1].into(),
        sport,
        dport: 80,
        ip_proto,
        transport,
        has_flow: true,
        ..Layers::default()
    };
    if transport == Transport::Icmp {
        (layers.sport, layers.dport) = (8, 0);
    }
    layers.hash = FixedState::with_seed(7).hash_one(src);
    layers
}

fn reply(of: &Layers) -> Layers {
    let mut back = of.clone();
    std::mem::swap(&mut back.src, &mut back.dst);
    std::mem::swap(&mut back.sport, &mut back.dport);
    back
}

fn look(table: &mut FlowTable<()>, layers: &Layers) -> Option<Found> {
    look_with(table, layers, &[0; 60])
}

fn look_with(table: &mut FlowTable<()>, layers: &Layers, frame: &[u8]) -> Option<Found> {
    let found = table.lookup(&Packet { frame, layers });
    if let Some(found) = found {
        table.settle(found.handle);
    }
    found
}

fn ended(table: &mut FlowTable<()>) -> Vec<(u64, EndReason)> {
    std::iter::from_fn(|| {
        loop {
            return Some(match table.take_ended()? {
                Ended::Flow(slot) => {
                    let result = (slot.flow.first_number, slot.flow.reason);
                    table.recycle(slot);
                    result
                }
                Ended::HalfOpen(ended) => (ended.half_open.first_number, ended.reason),
                Ended::Silent(_) => continue,
            });
        }
    })
    .collect()
}

#[test]
fn both_directions_share_a_flow_that_ends_when_silent() {
    let mut table = FlowTable::new(FlowSettings::default());
    let ask = layers(1, 100, [10, 0, 0, 9], 4000, Transport::Udp);
    let first = look(&mut table, &ask).expect("a flow");
    assert!(first.opened && first.first && !first.established);
    let answer = look(&mut table, &reply(&ask)).expect("the same flow");
    assert_eq!(
        (answer.handle, answer.direction, answer.opened),
        (first.handle, Direction::ToClient, false)
    );
    assert!(answer.established);
    let slot = table.get(first.handle).expect("alive");
    assert_eq!(
        (slot.flow.packets, slot.flow.bytes, slot.flow.state),
        ([1, 1], [60, 60], FlowState::Established)
    );
    assert!(slot.flow.id > 0 && slot.flow.id < 1 << 53);
    table.tick(Timestamp::new(399, 0));
    assert!(ended(&mut table).is_empty());
    table.tick(Timestamp::new(402, 0));
    assert_eq!(ended(&mut table), [(1, EndReason::Timeout)]);
    assert!(table.is_empty());
}

#[test]
fn a_packet_after_the_timeout_opens_a_new_flow() {
    let mut table = FlowTable::new(FlowSettings::default());
    look(
        &mut table,
        &layers(1, 100, [10, 0, 0, 9], 4000, Transport::Udp),
    );
    let again = look(
        &mut table,
        &layers(2, 130, [10, 0, 0, 9], 4000, Transport::Udp),
    )
    .expect("a flow");
    assert!(again.opened);
    assert_eq!(ended(&mut table), [(1, EndReason::Timeout)]);
}

#[test]
fn ping_and_its_reply_share_a_flow_and_errors_join_the_flow_they_quote() {
    let mut table = FlowTable::new(FlowSettings::default());
    let mut ping = layers(1, 100, [10, 0, 0, 9], 0, Transport::Icmp);
    let opened = look(&mut table, &ping).expect("a flow");
    let mut pong = ping.clone();
    std::mem::swap(&mut pong.src, &mut pong.dst);
    pong.sport = 0;
    assert_eq!(
        look(&mut table, &pong).map(|found| found.handle),
        Some(opened.handle)
    );
    let query = layers(2, 100, [10, 0, 0, 9], 4000, Transport::Udp);
    let flow = look(&mut table, &query).expect("a flow");
    ping.sport = 3;
    ping.embedded = Some(Embedded {
        offset: 0,
        proto: 17,
        sport: query.sport,
        dport: query.dport,
    });
    let mut quoted = [0; 60];
    quoted[0] = 0x45;
    quoted[12..16].copy_from_slice(&[10, 0, 0, 9]);
    quoted[16..20].copy_from_slice(&[10, 0, 0, 1]);
    let error = look_with(&mut table, &ping, &quoted).expect("joins");
    assert_eq!(error.handle, flow.handle);
    let happened = table.get(flow.handle).expect("alive").flow.happened;
    assert!(happened.has(FlowEvents::REFUSED));
    ping.embedded = None;
    assert_eq!(look(&mut table, &ping), None);
}

#[test]
fn an_unanswered_syn_is_said_once_and_soon() {
    let mut table = FlowTable::<()>::new(FlowSettings::default());
    let mut ask = layers(1, 100, [10, 0, 0, 9], 4000, Transport::Tcp);
    ask.tcp.flags = TcpFlags(TcpFlags::SYN);
    look(&mut table, &ask);
    let mut answered = layers(2, 100, [10, 0, 0, 8], 4000, Transport::Tcp);
    answered.tcp.flags = TcpFlags(TcpFlags::SYN);
    look(&mut table, &answered);
    let mut answer = reply(&answered);
    answer.tcp.flags = TcpFlags(TcpFlags::SYN | TcpFlags::ACK);
    look(&mut table, &answer);
    let silent = |table: &mut FlowTable<()>, secs| {
        table.tick(Timestamp::new(secs, 0));
        let mut said = Vec::new();
        while let Some(ended) = table.take_ended() {
            match ended {
                Ended::Silent(silent) => said.push((silent.first_number, "silent")),
                Ended::Flow(slot) => {
                    let unanswered = slot.flow.happened.has(FlowEvents::UNANSWERED);
                    let what = if unanswered { "unanswered" } else { "ended" };
                    said.push((slot.flow.first_number, what));
                    table.recycle(slot);
                }
                Ended::HalfOpen(_) => {}
            }
        }
        said
    };
    assert_eq!(silent(&mut table, 102), []);
    assert_eq!(silent(&mut table, 104), [(1, "silent")]);
    assert_eq!(silent(&mut table, 110), []);
    let at_the_end = silent(&mut table, 10_000);
    assert!(at_the_end.contains(&(1, "ended")), "{at_the_end:?}");
}

#[test]
fn a_syn_flood_competes_with_itself_only() {
    let settings = FlowSettings {
        flows_max: 1024,
        pending_max: 256,
        ..FlowSettings::default()
    };
    let mut table = FlowTable::new(settings);
    let mut number = 0;
    let mut good = Vec::new();
    for i in 0..256u16 {
        number += 1;
        let packet = layers(
            number,
            100,
            [192, 168, (i >> 8) as u8, i as u8],
            5000 + i,
            Transport::Tcp,
        );
        let found = table
            .lookup(&Packet {
                frame: &[],
                layers: &packet,
            })
            .expect("room");
        let flow = &mut table.get_mut(found.handle).expect("alive").flow;
        flow.open_session().state = TcpState::Established;
        flow.state = FlowState::Established;
        table.settle(found.handle);
        good.push(packet);
    }
    for i in 0..50_000u32 {
        number += 1;
        look(
            &mut table,
            &layers(number, 101, i.to_be_bytes(), 1, Transport::Tcp),
        )
        .expect("room");
        for (number, reason) in ended(&mut table) {
            assert_eq!(reason, EndReason::Forced);
            assert!(number > 256);
        }
        assert!(table.len() <= 512);
    }
    for packet in &good {
        assert!(!look(&mut table, packet).expect("still there").opened);
    }
    assert!(table.stats().evicted_pending > 49_000);
    assert_eq!(table.stats().evicted_established, 0);
}

#[test]
fn a_full_table_refuses_rather_than_give_up_active_flows() {
    let settings = FlowSettings {
        flows_max: 64,
        pending_max: 16,
        ..FlowSettings::default()
    };
    let mut table = FlowTable::new(settings);
    let mut number = 0;
    for i in 0..4000u16 {
        number += 1;
        let ask = layers(
            number,
            100,
            [10, 1, (i >> 8) as u8, i as u8],
            53,
            Transport::Udp,
        );
        if look(&mut table, &ask).is_some() {
            look(&mut table, &reply(&ask));
        }
        ended(&mut table);
    }
    assert_eq!((table.len(), table.stats().evicted_established), (64, 0));
    assert!(table.stats().refused > 0);
    let late = layers(number + 1, 200, [10, 9, 9, 9], 53, Transport::Udp);
    assert!(
        look(&mut table, &late)
            .expect("silent ones give way")
            .opened
    );
    assert_eq!(table.stats().evicted_established, 1);
}

#[test]
fn flows_end_in_the_order_of_their_first_packets() {
    let mut table = FlowTable::new(FlowSettings::default());
    for i in 1..=200u64 {
        look(
            &mut table,
            &layers(i, 100 + i % 7, [10, 3, 0, i as u8], 99, Transport::Udp),
        );
    }
    table.tick(Timestamp::new(4_000_000_000, 0));
    let numbers: Vec<u64> = ended(&mut table)
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    look(
        &mut table,
        &layers(201, 50, [10, 3, 0, 1], 99, Transport::Udp),
    );
    table.expire_all(EndReason::Shutdown);
    assert_eq!(ended(&mut table), [(201, EndReason::Shutdown)]);
}

#[test]
fn flows_end_in_slices_in_the_order_in_which_they_end_at_once() {
    let filled = || {
        let mut table = FlowTable::new(FlowSettings::default());
        for i in 1..=2_000u64 {
            let [.., high, low] = i.to_be_bytes();
            let transport = if i % 3 == 0 {
                Transport::Tcp
            } else {
                Transport::Udp
            };
            let mut packet = layers(i, 100, [10, 3, high, low], 99, transport);
            packet.tcp.flags = TcpFlags(TcpFlags::SYN);
            let found = look(&mut table, &packet).expect("a flow");
            table.settle(found.handle);
        }
        table
    };
    let (mut once, mut slices) = (filled(), filled());
    once.expire_all(EndReason::Shutdown);
    let all = ended(&mut once);
    assert_eq!((all.len(), once.len()), (2_000, 0));
    let mut told = Vec::new();
    for below in [0, 1, 500, 501, 1_999, u64::MAX] {
        slices.expire_below(below, EndReason::Shutdown);
        let slice = ended(&mut slices);
        assert!(slice.iter().all(|(number, _)| *number < below));
        told.extend(slice);
    }
    assert_eq!((told, slices.len()), (all, 0));
}

#[test]
fn silent_flows_are_given_up_for_what_is_attached_to_them() {
    let mut table = FlowTable::new(FlowSettings::default());
    for i in 1..=100u64 {
        let second = if i <= 50 { 100 } else { 120 };
        let packet = layers(i, second, [10, 3, 0, i as u8], 99, Transport::Udp);
        look(&mut table, &packet).expect("a flow");
    }
    let now = Timestamp::new(135, 0);
    table.give_up_idle(now, 1_000, |()| false);
    assert!(ended(&mut table).is_empty());
    // The hand goes round; a call looks at so many.
    for _ in 0..5 {
        table.give_up_idle(now, 20, |()| true);
    }
    let mut numbers: Vec<u64> = ended(&mut table).into_iter().map(|(n, _)| n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert_eq!(table.stats().evicted_for_memory, 50);
}

#[test]
fn a_closed_connection_gives_way_to_a_new_syn() {
    let mut table = FlowTable::new(FlowSettings::default());
    let mut syn = layers(1, 100, [10, 0, 0, 9], 4000, Transport::Tcp);
    syn.tcp.flags = TcpFlags(TcpFlags::SYN);
    let found = look(&mut table, &syn).expect("a flow");
    let flow = &mut table.get_mut(found.handle).expect("alive").flow;
    let session = flow.open_session();
    session.state = TcpState::Closed;
    session.side_mut(Direction::ToServer).isn = 77;
    flow.state = FlowState::Closed;
    table.settle(found.handle);
    syn.number = 2;
    assert!(look(&mut table, &syn).expect("a flow").opened);
    assert_eq!(ended(&mut table), [(1, EndReason::TcpReuse)]);
}
