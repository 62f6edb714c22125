//! The passive map of hosts: which services live where, what they say they are, what each host is for. "Did it work?" is
//! judged against it, and people see what is on their network.
//!
//! ```text
//!  HostRecord ─▶ AssetMap ─┬─ hosts:  services {listening, refused, silent}, software, system, roles
//!                          └─ meters: is a service hurt (handshakes of known clients, delay, 5xx)?
//! ```
//!
//! A host enters the map when it does something that a spoofed packet cannot: completes a handshake, or answers one.
//! Roles are *proposed* from what is seen ([`roles`]) and count only after [`AssetSettings::observe_secs`]; the operator
//! declares or confirms them in `[[asset]]`.
//!
//! Deliberately not here: sending anything; names of users; vulnerabilities of versions.
//! Limits: fixed tables, the least useful host gives way (not ours first, then without services, then longest unseen).

mod host;
mod map;
mod meter;
pub mod roles;
pub mod software;

pub use host::{Host, SERVICES_MAX, Service, Status};
pub use map::{AssetMap, AssetSettings};
pub use meter::{Hurt, Meters};
pub use software::{Product, Version};
