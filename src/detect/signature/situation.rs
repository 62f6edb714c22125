//! Situations: what is known of a packet before its payload is scanned, and which signatures can match then.
//!
//! A scan costs by the patterns that are looked for. Whether a session is established, what it speaks and on which port
//! is known before; signatures that ask for something else cannot match, so their patterns need not be looked for. Each
//! usual situation has databases of its own; what is not usual is scanned with all patterns. A situation only leaves out
//! what the test of the header would refuse, so it changes no alert.

use serde::{Deserialize, Serialize};

use super::compiled::{Class, Ranked, need};
use super::sets::SetId;
use crate::app::{AppProto, registry};
use crate::packet::Direction;
use crate::rules::{PortSet, Signature};

/// The protocol in a situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum App {
    /// Not known, or none that a signature on payloads names.
    Unnamed,
    /// This one, by EVE's name.
    Is(&'static str),
}

/// The server's port in a situation. The client's is then at least [`CLIENT_PORT_MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// Whatever.
    Any,
    /// This one.
    Is(u16),
    /// None that another situation of the same transport names.
    Other,
}

/// Ports that clients use (RFC 6335 §6: 0 to 1023 are the system's).
const CLIENT_PORT_MIN: u16 = 1024;

/// One situation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    class: Class,
    /// Whether the flow is established; `None`: either.
    established: Option<bool>,
    app: App,
    port: Port,
}

const fn tcp(app: App, port: Port) -> Situation {
    Situation {
        class: Class::Tcp,
        established: Some(true),
        app,
        port,
    }
}

const fn udp(app: App, port: Port) -> Situation {
    Situation {
        class: Class::Udp,
        established: None,
        app,
        port,
    }
}

/// What most packets are, by what networks carry; the most frequent first. Each costs a few databases.
const USUAL: &[Situation] = &[
    tcp(App::Is("http"), Port::Is(80)),
    tcp(App::Is("smb"), Port::Is(445)),
    // No handshake was seen: most signatures ask for one.
    Situation {
        class: Class::Tcp,
        established: Some(false),
        app: App::Unnamed,
        port: Port::Any,
    },
    tcp(App::Unnamed, Port::Other),
    tcp(App::Unnamed, Port::Is(80)),
    tcp(App::Unnamed, Port::Is(443)),
    tcp(App::Unnamed, Port::Is(445)),
    tcp(App::Is("http"), Port::Other),
    tcp(App::Is("tls"), Port::Is(443)),
    tcp(App::Is("tls"), Port::Other),
    tcp(App::Is("ssh"), Port::Is(22)),
    tcp(App::Is("smtp"), Port::Is(25)),
    udp(App::Unnamed, Port::Other),
    udp(App::Is("dns"), Port::Is(53)),
    udp(App::Unnamed, Port::Is(443)),
    udp(App::Is("quic"), Port::Is(443)),
];

/// The situations of a rule set. Number 0 is any packet; the others count from 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "u128", into = "u128")]
pub(super) struct Situations {
    list: Vec<Usual>,
    /// Protocols that signatures on payloads name, as bits: what it was made of.
    named: u128,
}

impl From<u128> for Situations {
    fn from(named: u128) -> Self {
        Self::new(named)
    }
}

impl From<Situations> for u128 {
    fn from(situations: Situations) -> Self {
        situations.named
    }
}

/// A situation as packets are compared with it.
#[derive(Clone, Debug)]
struct Usual {
    situation: Situation,
    /// Protocols that fit, by number.
    apps: u128,
    /// Ports of other situations of the transport, for [`Port::Other`].
    others: Vec<u16>,
}

/// What is known of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub class: Class,
    pub established: bool,
    pub app: AppProto,
    /// Ports of the server and of the client; `None`: they cannot be relied on.
    pub ports: Option<(u16, u16)>,
}

impl Situations {
    /// The usual situations, given the protocols that signatures on payloads name.
    pub fn new(named: u128) -> Self {
        let list = USUAL
            .iter()
            .map(|situation| Usual {
                situation: *situation,
                apps: match situation.app {
                    App::Unnamed => !named,
                    App::Is(name) => bit(registry::number(name)),
                },
                others: USUAL
                    .iter()
                    .filter(|s| s.class == situation.class)
                    .filter_map(|s| match s.port {
                        Port::Is(port) => Some(port),
                        Port::Any | Port::Other => None,
                    })
                    .collect(),
            })
            .collect();
        Self { list, named }
    }

    /// Number of situations, the one of any packet included.
    pub fn len(&self) -> usize {
        self.list.len() + 1
    }

    /// Whether a situation is of a class of packets. Any packet's is of all.
    pub fn is_of(&self, number: usize, class: Class) -> bool {
        match number.checked_sub(1) {
            None => true,
            Some(at) => self
                .list
                .get(at)
                .is_some_and(|usual| usual.situation.class == class),
        }
    }

    /// Whether it is one in which packets are not part of a stream.
    pub fn is_alone(&self, number: usize) -> bool {
        number
            .checked_sub(1)
            .and_then(|at| self.list.get(at))
            .is_some_and(|usual| usual.situation.established == Some(false))
    }

    /// The number of a packet's situation.
    pub fn of(&self, known: Known) -> usize {
        let Some((server, _)) = known.ports.filter(|(_, c)| *c >= CLIENT_PORT_MIN) else {
            return 0;
        };
        let app = bit(known.app);
        let fits = |usual: &Usual| {
            let situation = &usual.situation;
            situation.class == known.class
                && situation.established.is_none_or(|e| e == known.established)
                && (usual.apps & app != 0 || app == 0 && situation.app == App::Unnamed)
                && match situation.port {
                    Port::Any => true,
                    Port::Is(port) => port == server,
                    Port::Other => !usual.others.contains(&server),
                }
        };
        self.list.iter().position(fits).map_or(0, |at| at + 1)
    }

    /// Whether a signature can match in a situation, in a direction. `segmented`: variables differ by segment.
    pub fn admits(
        &self,
        number: usize,
        direction: Direction,
        signature: &Signature,
        ranked: &Ranked,
        segmented: bool,
    ) -> bool {
        let Some(usual) = number.checked_sub(1).and_then(|at| self.list.get(at)) else {
            return true;
        };
        let refused = match usual.situation.established {
            Some(true) => need::NOT_ESTABLISHED,
            Some(false) => need::ESTABLISHED,
            None => 0,
        };
        if ranked.needs & refused != 0 {
            return false;
        }
        // A named protocol's signatures are kept in its own situations; a set that fits any is kept everywhere.
        if !ranked.app.is_any() && ranked.app.0 & usual.apps == 0 {
            return false;
        }
        let server = |id: SetId, set: &PortSet| {
            id == SetId::ANY
                || segmented && set.text.contains('$')
                || set.any
                || match usual.situation.port {
                    Port::Any => true,
                    Port::Is(port) => set.contains(port),
                    Port::Other => set
                        .ranges
                        .iter()
                        .flat_map(|(first, last)| *first..=*last)
                        .any(|port| !usual.others.contains(&port)),
                }
        };
        let client = |id: SetId, set: &PortSet| {
            id == SetId::ANY
                || segmented && set.text.contains('$')
                || set.any
                || set.ranges.iter().any(|(_, last)| *last >= CLIENT_PORT_MIN)
        };
        let forward =
            || client(ranked.sport, &signature.sport) && server(ranked.dport, &signature.dport);
        let backward =
            || server(ranked.sport, &signature.sport) && client(ranked.dport, &signature.dport);
        if ranked.bidirectional || ranked.transactional {
            return forward() || backward();
        }
        match direction {
            Direction::ToServer => forward(),
            Direction::ToClient => backward(),
        }
    }
}

fn bit(proto: AppProto) -> u128 {
    1u128.checked_shl(u32::from(proto.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(class: Class, established: bool, app: &str, ports: (u16, u16)) -> Known {
        Known {
            class,
            established,
            app: registry::number(app),
            ports: Some(ports),
        }
    }

    fn situations() -> Situations {
        let named = ["http", "smb", "dns", "rfb"]
            .iter()
            .fold(0, |bits, name| bits | bit(registry::number(name)));
        Situations::new(named)
    }

    #[test]
    fn usual_packets_have_their_own_situation() {
        let situations = situations();
        let web = situations.of(known(Class::Tcp, true, "http", (80, 40_000)));
        let share = situations.of(known(Class::Tcp, true, "smb", (445, 40_000)));
        let raw = situations.of(known(Class::Tcp, true, "", (9_999, 40_000)));
        let middle = situations.of(known(Class::Tcp, false, "", (9_999, 40_000)));
        let media = situations.of(known(Class::Udp, false, "", (9_999, 40_000)));
        let all = [web, share, raw, middle, media];
        assert!(all.iter().all(|number| *number > 0));
        let mut each = all.to_vec();
        each.sort_unstable();
        each.dedup();
        assert_eq!(each.len(), all.len());
        assert!(situations.is_alone(middle) && !situations.is_alone(raw));
    }

    #[test]
    fn what_is_not_usual_is_any_packet() {
        let situations = situations();
        // A protocol that signatures name, without a situation of its own.
        assert_eq!(
            situations.of(known(Class::Tcp, true, "rfb", (5900, 40_000))),
            0
        );
        // A client on a system port.
        assert_eq!(situations.of(known(Class::Tcp, true, "http", (80, 25))), 0);
        assert_eq!(situations.of(known(Class::Icmp, true, "", (0, 40_000))), 0);
        let no_ports = Known {
            ports: None,
            ..known(Class::Tcp, true, "http", (0, 0))
        };
        assert_eq!(situations.of(no_ports), 0);
    }

    #[test]
    fn a_protocol_without_signatures_is_like_none() {
        let situations = situations();
        let ldap = situations.of(known(Class::Tcp, true, "ldap", (389, 40_000)));
        let none = situations.of(known(Class::Tcp, true, "", (389, 40_000)));
        assert_eq!(ldap, none);
    }
}
