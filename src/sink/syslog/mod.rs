//! Alerts as syslog: RFC 5424 messages over UDP (RFC 5426), TCP with octet counting (RFC 6587 §3.4.1), TLS (RFC 5425,
//! the server's name verified), and the local socket.
//!
//! A message is a header, one structured-data element, and the alert's EVE JSON in ASCII (`\uXXXX` for the rest, no BOM):
//! legal everywhere, and stock rsyslog and syslog-ng both keep it as it is. A message that would be too long loses its
//! optional members (payload, packet, application layer) and is never split.
//! Delivery, with its queue and spool, is [`super::delivery`]'s.

mod message;
mod transport;

pub use message::{Format, Messages};
pub use transport::{Target, TlsFiles, Transport};

use crate::alert::Level;
use std::path::PathBuf;

/// Settings of a syslog output.
#[derive(Clone, Debug, Default)]
pub struct SyslogSettings {
    /// `udp://host:port`, `tcp://…`, `tls://…`, `unix:///dev/log`; empty: off.
    pub target: String,
    /// Alerts below this level are not sent.
    pub level: Option<Level>,
    /// Files for TLS.
    pub tls: TlsFiles,
    /// Folder of the spool; `None`: the log folder.
    pub spool_dir: Option<PathBuf>,
    /// Bytes the spool may take.
    pub spool_bytes: u64,
    /// Milliseconds to wait at the end for what is not delivered yet.
    pub drain_ms: u64,
}
