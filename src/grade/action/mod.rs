//! What is done about an attack inline: decided here, carried out by the workers of the live path.
//!
//! ```text
//!  Grader ─decides─▶ Action ─BlockList::apply─▶ BlockList ◀─BlockList::passes─ every worker, per packet
//! ```
//!
//! The rules of the house (detectors.md §2, §4.7):
//! - **A source that can be spoofed is never punished.** [`Action::DropSource`] and [`Action::LimitSource`] need a completed
//!   handshake ([`crate::alert::Finding::source_verified`]). A flood with invented sources limits the *service* for clients
//!   that were never seen before; known clients pass.
//! - An internal host is contained, not cut off: peers it had before, and names and addresses (DNS, DHCP), pass;
//!   first contacts are limited.
//! - What is ours is not blocked: addresses in `actions.never`, and the network's own servers (resolver, DHCP, domain
//!   controller, proxy) as far as the asset map knows them.
//! - Every restriction ends by itself.
//!
//! On replay nothing is enforced: the alert says what would have been done (`sekisho.action`), so that what comes out does
//! not depend on the number of workers.

mod block_list;
mod policy;

pub use block_list::{BlockEntry, BlockList, Contact, Passage, Refused};
pub use policy::{ActionSettings, Case, Decision, decide};

use std::net::IpAddr;

/// Something done about an attack. Seconds are packet time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    #[default]
    None,
    /// Everything from a source is dropped.
    DropSource {
        /// Whom; it completed a handshake.
        address: IpAddr,
        /// For how long, in seconds.
        secs: u32,
    },
    /// A source may open at most so many flows.
    LimitSource {
        /// Whom; it completed a handshake.
        address: IpAddr,
        /// New flows in ten seconds, 1..=10,000.
        per_ten_secs: u32,
        /// For how long, in seconds.
        secs: u32,
        /// Requests that it holds open itself are ended: reset at both ends when they next show. Never those that the
        /// path makes slow.
        ends_held: bool,
    },
    /// Clients that were never seen before may together open so many flows towards a service; known clients pass.
    LimitService {
        /// The server.
        address: IpAddr,
        /// Its port; 0: all of its ports.
        port: u16,
        /// New flows of unknown clients in ten seconds, 1..=1,000,000.
        per_ten_secs: u32,
        /// For how long, in seconds.
        secs: u32,
    },
    /// A host of ours may go on with peers it had, and makes few new contacts.
    Contain {
        /// The host.
        host: IpAddr,
        /// First contacts in ten seconds, 1..=10,000.
        per_ten_secs: u32,
        /// For how long, in seconds.
        secs: u32,
    },
}

impl Action {
    /// Its name in output.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DropSource { .. } => "drop_source",
            Self::LimitSource { .. } => "limit_source",
            Self::LimitService { .. } => "limit_service",
            Self::Contain { .. } => "contain",
        }
    }

    /// Whom it restricts, and the port (0: all).
    pub const fn target(&self) -> Option<(IpAddr, u16)> {
        match *self {
            Self::None => None,
            Self::DropSource { address, .. } | Self::LimitSource { address, .. } => {
                Some((address, 0))
            }
            Self::LimitService { address, port, .. } => Some((address, port)),
            Self::Contain { host, .. } => Some((host, 0)),
        }
    }

    /// For how long, in seconds.
    pub const fn secs(&self) -> u32 {
        match *self {
            Self::None => 0,
            Self::DropSource { secs, .. }
            | Self::LimitSource { secs, .. }
            | Self::LimitService { secs, .. }
            | Self::Contain { secs, .. } => secs,
        }
    }
}
