//! What a detector is to the engine: fixed memory, the kinds of records it wants, and two calls.
//!
//! The engine gives each record only to the detectors that want its kind, in the order in which they are registered, so
//! that a flood of one kind costs nothing to the others.

use std::cell::OnceCell;
use std::net::IpAddr;

use super::engine::{AnomalySettings, Report};
use super::place::{Place, Places};
use super::record::{HostRecord, RecordKind};
use super::syn_flood::SynFlood;
use super::{DETECTORS, Family};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// What a detector may ask about besides the record in hand.
///
/// Made anew for each record: what several detectors ask about it is worked out once.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Segments and declared roles.
    pub places: &'a dyn Places,
    /// What was said lately of attacks.
    pub attacks: &'a Attacks,
    /// Floods in progress.
    pub floods: &'a SynFlood,
    record: &'a HostRecord,
    place: OnceCell<Place>,
    flooded: OnceCell<bool>,
}

impl<'a> Seen<'a> {
    /// What may be asked about a record; somebody may have asked for its place already.
    pub fn new(
        place: OnceCell<Place>,
        record: &'a HostRecord,
        places: &'a dyn Places,
        (floods, attacks): (&'a SynFlood, &'a Attacks),
    ) -> Self {
        Self {
            places,
            attacks,
            floods,
            record,
            place,
            flooded: OnceCell::new(),
        }
    }

    /// Where the record happened.
    pub fn place(&self) -> Place {
        let record = self.record;
        *self
            .place
            .get_or_init(|| self.places.place(&record.key, record.interface))
    }

    /// Whether the service that the record is about is being flooded: failures towards it are then nobody's scan.
    pub fn is_flooded(&self) -> bool {
        let key = &self.record.key;
        *self
            .flooded
            .get_or_init(|| self.floods.is_flooded(key.dst, key.dport))
    }
}

/// Attacks that the detectors of a wire spoke of lately, by victim: the latest [`ATTACKS`], each for [`ATTACK_SECS`].
#[derive(Debug, Default)]
pub struct Attacks {
    latest: [Option<(IpAddr, u16, Timestamp)>; ATTACKS],
    next: usize,
}

/// Attacks remembered.
const ATTACKS: usize = 32;
/// Seconds for which an attack explains what its victim shows; also what `pipeline::health` goes by.
pub const ATTACK_SECS: u64 = 60;

impl Attacks {
    /// A report was made.
    pub fn note(&mut self, report: &Report) {
        let family = DETECTORS.get(usize::from(report.detector));
        let attack = family.is_some_and(|d| matches!(d.family, Family::Flood | Family::Load));
        if !attack || report.state == "close" {
            return;
        }
        if let Some(slot) = self.latest.get_mut(self.next) {
            *slot = Some((report.key.dst, report.detector, report.ts));
        }
        self.next = (self.next + 1) % ATTACKS;
    }

    /// The detector that spoke last of an attack on a host, if that is not long ago.
    pub fn on(&self, host: IpAddr, now: Timestamp) -> Option<u16> {
        self.latest
            .iter()
            .flatten()
            .filter(|(victim, _, at)| *victim == host && !now.is_outside(*at, ATTACK_SECS))
            .max_by_key(|(_, _, at)| *at)
            .map(|(_, detector, _)| *detector)
    }
}

/// A detector in the engine.
pub trait Detector: std::fmt::Debug + Send {
    /// The kinds of records it wants.
    fn kinds(&self) -> &'static [RecordKind];

    /// Whether it may want records of one of those kinds about an IP protocol. Asked when the engine is made: who says no
    /// is spared a call for each SYN of a flood.
    fn wants(&self, kind: RecordKind, proto: u8) -> bool {
        let _ = (kind, proto);
        true
    }

    /// Bytes of its tables, all taken when it was made.
    fn memory(&self) -> Memory;

    /// Goes on with other thresholds; what it knows, and the size of its tables, stays.
    fn tune(&mut self, settings: &AnomalySettings);

    /// Takes one record.
    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>);

    /// The time at the end of a batch: what has gone quiet is closed. Not called for the last batch: the end of a
    /// capture ends no incident.
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>);
}

/// Makes a detector of a type that has `settings`, `bytes`, `record` and `tick` and asks for nothing but the record. The
/// middle says which of all settings are its own; what may follow, [`Detector::wants`].
macro_rules! plain_detector {
    ($name:ty, |$this:tt, $all:ident| $settings:expr, $($kind:ident)|+
        $(, |$me:tt, $asked:tt| $wants:expr)?) => {
        plain_detector!(@ $name, |$this, $all| $settings, [$($kind),+], [$(|$me, $asked| $wants)?],
            |detector, record, _seen, reports| detector.record(record, reports));
    };
    // The same for one whose thresholds differ by the role of the segment, which it asks for when it needs it.
    ($name:ty, by role, |$this:tt, $all:ident| $settings:expr, $($kind:ident)|+
        $(, |$me:tt, $asked:tt| $wants:expr)?) => {
        plain_detector!(@ $name, |$this, $all| $settings, [$($kind),+], [$(|$me, $asked| $wants)?],
            |detector, record, seen, reports| detector.record(record, &|| seen.place().role, reports));
    };
    (@ $name:ty, |$this:tt, $all:ident| $settings:expr, [$($kind:ident),+],
        [$(|$me:tt, $asked:tt| $wants:expr)?],
        |$detector:ident, $record:ident, $seen:ident, $reports:ident| $take:expr) => {
        impl super::detector::Detector for $name {
            fn kinds(&self) -> &'static [super::record::RecordKind] {
                &[$(super::record::RecordKind::$kind),+]
            }
            fn memory(&self) -> crate::stats::Memory {
                Self::memory(self)
            }
            $(fn wants(&self, kind: super::record::RecordKind, proto: u8) -> bool {
                let ($me, $asked) = (self, (kind, proto));
                $wants
            })?
            fn tune(&mut self, settings: &super::AnomalySettings) {
                let ($this, $all) = (&*self, settings);
                let mine = $settings;
                self.settings = mine;
            }
            fn take(
                &mut self,
                $record: &super::record::HostRecord,
                $seen: &super::detector::Seen<'_>,
                $reports: &mut Vec<super::engine::Report>,
            ) {
                let $detector = self;
                $take;
            }
            fn pass(
                &mut self,
                now: crate::packet::Timestamp,
                reports: &mut Vec<super::engine::Report>,
            ) {
                self.tick(now, reports);
            }
        }
    };
}
pub(super) use plain_detector;

#[cfg(test)]
pub(super) mod tests {
    use std::net::IpAddr;

    use super::super::place::{HostRole, Role, Undeclared};
    use super::super::syn_flood::{SynFlood, SynFloodSettings};
    use super::*;
    use crate::packet::FlowKey;

    /// Gives records to a detector in a segment of a role, with a tick after each thousand.
    pub fn run_with(
        detector: &mut dyn Detector,
        role: Role,
        records: Vec<HostRecord>,
    ) -> Vec<Report> {
        run_at(detector, &Undeclared(role), records)
    }

    /// The same with places of one's own.
    pub fn run_at(
        detector: &mut dyn Detector,
        places: &dyn Places,
        records: Vec<HostRecord>,
    ) -> Vec<Report> {
        let floods = SynFlood::new(SynFloodSettings {
            services: 8,
            ..SynFloodSettings::default()
        });
        let attacks = Attacks::default();
        let mut reports = Vec::new();
        for (i, record) in records.iter().enumerate() {
            assert!(
                detector.kinds().contains(&record.kind),
                "{:?} is not wanted",
                record.kind
            );
            assert!(
                detector.wants(record.kind, record.key.proto),
                "{:?} of {} is not wanted",
                record.kind,
                record.key.proto
            );
            let seen = Seen::new(OnceCell::new(), record, places, (&floods, &attacks));
            detector.take(record, &seen, &mut reports);
            if i % 1_000 == 999 {
                detector.pass(record.ts, &mut reports);
            }
        }
        reports
    }

    /// One host with a declared role.
    #[derive(Debug)]
    pub struct Declared {
        pub role: Role,
        pub host: IpAddr,
        pub is: HostRole,
    }

    impl Places for Declared {
        fn place(&self, key: &FlowKey, interface: u16) -> Place {
            Undeclared(self.role).place(key, interface)
        }
        fn has_role(&self, address: IpAddr, role: HostRole) -> bool {
            address == self.host && role == self.is
        }
        fn declares(&self, role: HostRole) -> bool {
            role == self.is
        }
    }
}
