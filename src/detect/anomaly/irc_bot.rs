//! Bots on IRC (issue 3, part 3): sessions of IRC that no person holds.
//!
//! Per client: evidence that adds up.
//! - an order of the kind that bots obey, heard in a channel or in its topic: 3 each time (at most 6);
//! - something said within two seconds after such an order: 3;
//! - a nickname that looks made by a machine: 2;
//! - nickname and channel at once, without ever saying anything to people: 1;
//! - other clients of ours with a nickname of the same shape in the same channel: 3.
//!
//! Alarm at [`IrcBotSettings::score_min`]. What is *not* a bot: people who chat, also about attacks; one odd nickname; a bouncer that
//! reconnects. Memory: fixed, one record per client and one per channel.

use std::net::IpAddr;

use super::IRC_BOT;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::irc::Line;
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct IrcBotSettings {
    /// Score at which a client is a bot. Default 6: two kinds of evidence, at least.
    pub score_min: u32,
    /// Milliseconds after an order within which a line is an answer to it. Default 2,000: people read first.
    pub answer_ms: u32,
    /// Clients watched. Default 4,096.
    pub clients: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for IrcBotSettings {
    fn default() -> Self {
        Self {
            score_min: 6,
            answer_ms: 2_000,
            clients: 4_096,
            off_secs: 3_600,
        }
    }
}

/// Channels whose clients are compared.
const CHANNELS: usize = 1_024;

#[derive(Clone, Debug, Default)]
struct Client {
    made_nick: bool,
    shape: u64,
    channel: u64,
    joined: u32,
    orders: u32,
    answers: u32,
    said: u32,
    heard: u32,
    alike: u32,
    last_order: Timestamp,
    last: Timestamp,
    live: Live,
}

impl Entry for Client {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.score()) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Client {
    fn score(&self) -> u32 {
        let talks = self.said > self.answers;
        (self.orders * 3).min(6)
            + if self.answers > 0 { 3 } else { 0 }
            + if self.made_nick { 2 } else { 0 }
            + u32::from(self.joined > 0 && !talks)
            + if self.alike >= 2 && self.made_nick {
                3
            } else {
                0
            }
    }

    /// Kinds of evidence.
    fn kinds(&self) -> u32 {
        u32::from(self.orders > 0)
            + u32::from(self.answers > 0)
            + u32::from(self.made_nick)
            + u32::from(self.alike >= 2)
    }
}

/// Who joined a channel with a nickname of one shape.
#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    clients: Bitmap256,
    last: Timestamp,
}

impl Worth for Channel {
    fn worth(&self) -> u64 {
        self.last.secs()
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct IrcBot {
    settings: IrcBotSettings,
    clients: Watch<(IpAddr, IpAddr), Client>,
    channels: SetTable<(u64, u64), Channel>,
}

impl IrcBot {
    /// Takes its memory.
    pub fn new(settings: IrcBotSettings) -> Self {
        Self {
            clients: Watch::new(IRC_BOT, settings.clients),
            channels: SetTable::new(CHANNELS),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let Some(line) = Line::from_number(record.detail) else {
            return;
        };
        let place = (record.key.src, record.key.dst);
        let Some(client) = self.clients.entry(place, Client::default) else {
            return;
        };
        client.last = record.ts;
        match line {
            Line::Nick => {
                client.made_nick = false;
                client.shape = record.value;
            }
            Line::MadeNick => {
                client.made_nick = true;
                client.shape = record.value;
            }
            Line::Join => {
                client.joined += 1;
                client.channel = record.value;
            }
            Line::Said => {
                client.said += 1;
                let limit = u64::from(self.settings.answer_ms) * 1_000_000;
                let answers = client.last_order != Timestamp(0)
                    && record.ts.since(client.last_order) <= limit;
                client.answers += u32::from(answers);
            }
            Line::Heard => client.heard += 1,
            Line::Order => {
                client.orders += 1;
                client.last_order = record.ts;
            }
        }
        if line == Line::Join || line == Line::MadeNick {
            let meeting = (client.shape, client.channel);
            if meeting.0 != 0
                && meeting.1 != 0
                && let Some(channel) = self.channels.entry(meeting, Channel::default)
            {
                channel.last = record.ts;
                channel.clients.insert(endpoint_hash(record.key.src, 0));
                client.alike = channel.clients.estimate();
            }
        }
        let score = client.score();
        let min = self.settings.score_min;
        if score < min || client.kinds() < 2 {
            return;
        }
        let size = u64::from(client.orders + client.answers).max(1);
        self.clients.alarm(
            place,
            record,
            (record.key, size),
            reports,
            Client::default,
            |client| Says {
                confidence: 0.9,
                efficacy: if client.answers > 0 {
                    Efficacy::Likely
                } else {
                    Efficacy::Reached
                },
                reason: if client.answers > 0 {
                    "it answers its orders"
                } else {
                    "it hears its orders"
                },
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("score", score)
                        .num("score_min", min)
                        .num("orders_heard", client.orders)
                        .num("answers_to_orders", client.answers)
                        .bool("made_nickname", client.made_nick)
                        .num("clients_alike_in_channel", client.alike)
                        .num("lines_said", client.said)
                        .num("lines_heard", client.heard)
                        .num("port", record.key.dport);
                }),
            },
        );
    }
}

impl Detector for IrcBot {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Irc]
    }
    fn memory(&self) -> Memory {
        self.clients.memory() + self.channels.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.irc_bot.clone();
    }

    fn take(&mut self, record: &HostRecord, _: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.clients
            .tick(now, self.settings.off_secs, reports, Client::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn line(src: u32, line: Line, subject: u64, ms: u64) -> HostRecord {
        HostRecord {
            detail: line as u32,
            value: subject,
            ..record(RecordKind::Irc, 6, src, 1, 6667, ms)
        }
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut bots = IrcBot::new(IrcBotSettings::default());
        run_with(&mut bots, Role::Intranet, records)
    }

    #[test]
    fn a_client_that_hears_and_answers_an_order_is_a_bot_at_its_answer() {
        let reports = run(vec![
            line(1, Line::Nick, 5, 0),
            line(1, Line::Join, 9, 100),
            line(1, Line::Heard, 9, 5_000),
            line(1, Line::Order, 9, 10_000),
            line(1, Line::Said, 9, 10_300),
        ]);
        assert_eq!(reports.len(), 1);
        assert_eq!(
            (reports[0].number, reports[0].efficacy),
            (10_300, Efficacy::Likely)
        );
        println!("IRC bot: alert at its first answer, one order");
    }

    #[test]
    fn a_made_nickname_and_orders_are_enough() {
        let reports = run(vec![
            line(1, Line::MadeNick, 5, 0),
            line(1, Line::Join, 9, 100),
            line(1, Line::Order, 9, 10_000),
        ]);
        assert_eq!(reports.len(), 1);
    }

    #[test]
    fn three_of_one_shape_in_one_channel_are_a_herd() {
        let mut records = Vec::new();
        for src in 1..=4 {
            records.push(line(src, Line::MadeNick, 5, u64::from(src) * 1_000));
            records.push(line(src, Line::Join, 9, u64::from(src) * 1_000 + 10));
        }
        assert!(!run(records).is_empty());
    }

    #[test]
    fn people_who_chat_are_quiet_whatever_they_talk_about() {
        let mut records = vec![line(1, Line::Nick, 5, 0), line(1, Line::Join, 9, 100)];
        for i in 0..200u64 {
            records.push(line(1, Line::Heard, 9, 1_000 + i * 4_000));
            records.push(line(1, Line::Said, 9, 3_500 + i * 4_000));
        }
        // Somebody tries a command on the channel's own helper; nobody answers at once.
        records.push(line(1, Line::Order, 9, 900_000));
        records.push(line(1, Line::Said, 9, 910_000));
        assert!(run(records).is_empty());
        let odd = vec![line(1, Line::MadeNick, 5, 0), line(1, Line::Join, 9, 100)];
        assert!(run(odd).is_empty());
    }

    #[test]
    fn random_clients_take_no_more_memory() {
        let mut bots = IrcBot::new(IrcBotSettings {
            clients: 64,
            ..IrcBotSettings::default()
        });
        let bytes = Detector::memory(&bots).bytes;
        let records = (0..50_000u32)
            .map(|i| line(i, Line::Join, u64::from(i), u64::from(i)))
            .collect();
        run_with(&mut bots, Role::Intranet, records);
        assert_eq!(Detector::memory(&bots).bytes, bytes);
    }
}
