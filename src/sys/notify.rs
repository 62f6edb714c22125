//! Words to systemd (sd_notify(3)): ready, stopping, alive. Nothing happens when nobody listens.
//!
//! systemd hears the main process only; a child's words go through its parent, as one byte each ([`relayed`]).

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::time::Duration;

/// The way to systemd.
#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    parent: Option<UnixStream>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// From the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
    pub fn from_environment() -> Self {
        let address = std::env::var("NOTIFY_SOCKET").ok().and_then(|name| {
            match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name.as_bytes()),
                None => SocketAddr::from_pathname(&name),
            }
            .ok()
        });
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        let watchdog = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|usec| *usec > 0)
            .map(Duration::from_micros);
        Self {
            socket,
            parent: None,
            watchdog,
        }
    }

    /// As the environment has it, but said to the parent, which passes it on.
    pub fn through(parent: UnixStream) -> Self {
        Self {
            socket: None,
            parent: Some(parent),
            ..Self::from_environment()
        }
    }

    /// How often systemd wants to hear that we are alive: half of its patience.
    pub fn alive_every(&self) -> Option<Duration> {
        self.watchdog.map(|w| w / 2)
    }

    /// Says something, such as `READY=1`.
    pub fn say(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
        if let Some(mut parent) = self.parent.as_ref()
            && let Some(first) = state.as_bytes().get(..1)
        {
            let _ = parent.write(first);
        }
    }
}

/// What a child said with a byte: the first letter of the word.
pub fn relayed(byte: u8) -> Option<&'static str> {
    match byte {
        b'R' => Some("READY=1"),
        b'W' => Some("WATCHDOG=1"),
        b'S' => Some("STOPPING=1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn words_of_a_child_arrive_as_they_were_said() {
        let (mut parent, child) = UnixStream::pair().expect("pair");
        let notify = Notify::through(child);
        let words = ["READY=1", "WATCHDOG=1", "STOPPING=1"];
        for word in words {
            notify.say(word);
        }
        drop(notify);
        let mut bytes = Vec::new();
        parent.read_to_end(&mut bytes).expect("reads");
        let heard: Vec<&str> = bytes.into_iter().filter_map(relayed).collect();
        assert_eq!(heard, words);
    }
}
