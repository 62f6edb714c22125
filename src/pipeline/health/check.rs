//! Whether a service answers: ping, TCP connect, DNS, HTTP. One try at a time, each on a thread of its own with a timeout,
//! so that one service that hangs delays nobody.
//!
//! A service is down when it did not answer [`TRIES`] times in a row, and up again with the first answer.
//! Sources: RFC 792 and RFC 4443 (echo), RFC 1035 §4 (DNS), RFC 9112 (HTTP).

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crate::detect::anomaly::service_impaired::ServiceCheck as Check;
use crate::sys;

/// Tries that must fail before a service is down.
const TRIES: u32 = 3;

/// A declared service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// For people.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Its port; 0 for ping.
    pub port: u16,
    /// How it is asked.
    pub check: Check,
    /// What it is asked for: a path (HTTP) or a name (DNS).
    pub ask: String,
    /// Seconds between two tries.
    pub every_secs: u32,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u32,
}

/// What is known of a service.
#[derive(Debug)]
pub struct ServiceState {
    /// It.
    pub service: Service,
    /// Why the last try failed; empty when it did not.
    pub error: String,
    failed: u32,
    asked: Option<Instant>,
    answer: Option<Receiver<Result<(), String>>>,
}

impl ServiceState {
    /// Not asked yet.
    pub fn new(service: Service) -> Self {
        Self {
            service,
            error: String::new(),
            failed: 0,
            asked: None,
            answer: None,
        }
    }

    /// Begins a try when one is due, and takes the answer of one under way. Says whether the service is down, when
    /// something new is known.
    pub fn look(&mut self) -> Option<bool> {
        if let Some(answer) = &self.answer {
            let result = match answer.try_recv() {
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err("the check failed".to_owned()),
                Ok(result) => result,
            };
            self.answer = None;
            self.failed = if result.is_ok() { 0 } else { self.failed + 1 };
            self.error = result.err().unwrap_or_default();
            return match self.failed {
                0 => Some(false),
                failed => (failed >= TRIES).then_some(true),
            };
        }
        let every = Duration::from_secs(self.service.every_secs.max(1).into());
        if self.asked.is_none_or(|asked| asked.elapsed() >= every) {
            self.asked = Some(Instant::now());
            let (say, answer) = sync_channel(1);
            let service = self.service.clone();
            let started = std::thread::Builder::new()
                .name("check".to_owned())
                .spawn(move || {
                    let _ = say.try_send(try_once(&service).map_err(|e| e.to_string()));
                });
            self.answer = started.is_ok().then_some(answer);
        }
        None
    }
}

fn try_once(service: &Service) -> std::io::Result<()> {
    let timeout = Duration::from_millis(service.timeout_ms.max(1).into());
    let to = SocketAddr::new(service.address, service.port);
    match service.check {
        Check::Tcp => TcpStream::connect_timeout(&to, timeout).map(drop),
        Check::Http => http(service, to, timeout),
        Check::Dns => dns(service, to, timeout),
        Check::Ping => ping(service.address, timeout),
    }
}

fn wrong(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

fn http(service: &Service, to: SocketAddr, timeout: Duration) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let path = if service.ask.starts_with('/') {
        &service.ask
    } else {
        "/"
    };
    let host = match service.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sekisho-check\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    match head {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            _,
            b'.',
            _,
            b' ',
            b'1'..=b'4',
            _,
            _,
        ] => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', _, b'.', _, b' ', a, b, c] => Err(wrong(&format!(
            "HTTP {}{}{}",
            a as char, b as char, c as char
        ))),
        _ => Err(wrong("no HTTP answer")),
    }
}

/// A socket that may talk to an address of this family.
fn unconnected(address: IpAddr) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// A question for the A record of a name, with a number by which the answer is known.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion desired, one question.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|l| !l.is_empty() && l.len() < 64) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.extend_from_slice(&[0, 0, 1, 0, 1]);
    out
}

fn dns(service: &Service, to: SocketAddr, timeout: Duration) -> std::io::Result<()> {
    let socket = UdpSocket::bind(unconnected(service.address))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(timeout))?;
    let id = (u64::from(std::process::id()) ^ u64::from(service.port)) as u16;
    socket.send(&question(id, &service.ask))?;
    let mut answer = [0; 512];
    let count = socket.recv(&mut answer)?;
    // An answer (QR), whatever the code but SERVFAIL (2) and REFUSED (5).
    match answer.get(..count) {
        Some([a, b, flags, code, ..]) if [*a, *b] == id.to_be_bytes() && flags & 0x80 != 0 => {
            match code & 0x0f {
                2 => Err(wrong("SERVFAIL")),
                5 => Err(wrong("REFUSED")),
                _ => Ok(()),
            }
        }
        _ => Err(wrong("no DNS answer")),
    }
}

fn ping(address: IpAddr, timeout: Duration) -> std::io::Result<()> {
    let socket = UdpSocket::from(sys::echo_socket(address.is_ipv6())?);
    socket.connect(SocketAddr::new(address, 0))?;
    socket.set_read_timeout(Some(timeout))?;
    let (request, reply) = if address.is_ipv6() {
        (128, 129)
    } else {
        (8, 0)
    };
    // The kernel fills identifier and checksum of such sockets.
    socket.send(&[
        request, 0, 0, 0, 0, 0, 0, 1, b's', b'e', b'k', b'i', b's', b'h', b'o', b'.',
    ])?;
    let mut answer = [0; 256];
    let count = socket.recv(&mut answer)?;
    match answer.get(..count) {
        Some([kind, ..]) if *kind == reply => Ok(()),
        _ => Err(wrong("no echo")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn service(check: Check, port: u16) -> Service {
        Service {
            name: "x".to_owned(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
            check,
            ask: "example.org".to_owned(),
            every_secs: 1,
            timeout_ms: 2_000,
        }
    }

    #[test]
    fn a_server_that_answers_is_up_and_one_with_500_or_none_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("address").port();
        let serve = std::thread::spawn(move || {
            for answer in [
                "HTTP/1.1 404 Not Found\r\n\r\n",
                "HTTP/1.1 503 Busy\r\n\r\n",
            ] {
                let (mut stream, _) = listener.accept().expect("accepts");
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read(&mut byte).is_ok_and(|n| n == 1)
                {
                    request.push(byte[0]);
                }
                stream.write_all(answer.as_bytes()).expect("writes");
            }
        });
        assert!(try_once(&service(Check::Http, port)).is_ok());
        let down = try_once(&service(Check::Http, port)).expect_err("503");
        assert_eq!(down.to_string(), "HTTP 503");
        serve.join().expect("ends");
        assert!(
            try_once(&service(Check::Tcp, port)).is_err(),
            "nobody listens any more"
        );
    }

    #[test]
    fn a_resolver_that_fails_is_down() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let port = server.local_addr().expect("address").port();
        let serve = std::thread::spawn(move || {
            for code in [0x83, 0x82] {
                let mut packet = [0; 512];
                let (count, from) = server.recv_from(&mut packet).expect("asked");
                packet[2] |= 0x80;
                packet[3] = code;
                server.send_to(&packet[..count], from).expect("answers");
            }
        });
        assert!(
            try_once(&service(Check::Dns, port)).is_ok(),
            "NXDOMAIN is an answer"
        );
        let down = try_once(&service(Check::Dns, port)).expect_err("SERVFAIL");
        assert_eq!(down.to_string(), "SERVFAIL");
        serve.join().expect("ends");
    }
}
