//! Outputs. One file or folder a sink; each takes finished log lines and graded alerts and owns its way out.
//!
//! A sink never loses anything silently: what it could not deliver it counts, and says at the end.

pub mod console;
pub mod delivery;
pub mod eve;
mod eve_file;
pub mod evidence;
mod expect;
pub mod pcap;
pub mod syslog;

pub use eve_file::EveFile;
pub use expect::Expectations;

use crate::grade::Event;

/// A way out.
pub trait Sink: Send {
    /// Takes one event. Errors are counted and reported by [`Sink::finish`], not thrown at the packet path.
    fn event(&mut self, event: &Event<'_>);

    /// Everything until here has been given: hand it on.
    fn flush(&mut self);

    /// Its file was moved away (log rotation): open it again. Those without a file do nothing.
    fn reopen(&mut self) {}

    /// The end: delivers what is left. The error says what was lost and why.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// What a sink could not do.
#[derive(Debug)]
pub struct SinkError {
    /// Which sink, and where it delivers to.
    pub sink: String,
    /// Events lost.
    pub lost: u64,
    /// The first error.
    pub error: std::io::Error,
}

impl std::fmt::Display for SinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} ({} events lost)",
            self.sink, self.error, self.lost
        )
    }
}

impl std::error::Error for SinkError {}
