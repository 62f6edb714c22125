//! TCP's state machine as a sensor in the path sees it (RFC 9293 §3.3.2).

/// Where a connection stands (EVE's `tcp.state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TcpState {
    /// Nothing accepted yet.
    #[default]
    None,
    /// SYN seen.
    SynSent,
    /// SYN-ACK seen.
    SynRecv,
    /// Handshake complete, or picked up in the middle.
    Established,
    /// First FIN from the closer.
    FinWait1,
    /// Its FIN acknowledged.
    FinWait2,
    /// Closed for good, waiting for stray segments.
    TimeWait,
    /// FIN from both, last acknowledgment missing.
    LastAck,
    /// FIN received, application has not closed.
    CloseWait,
    /// Both closed at once.
    Closing,
    /// Over.
    Closed,
}

/// One connection.
#[derive(Debug, Default)]
pub struct TcpSession {
    /// State.
    pub state: TcpState,
}
