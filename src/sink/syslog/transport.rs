//! Connections to a syslog receiver.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Format;
use crate::sink::delivery::Deliver;

/// How long connecting and writing may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `udp://host:port`
    Udp(String),
    /// `tcp://host:port`
    Tcp(String),
    /// `tls://host:port`
    Tls(String),
    /// `unix:///dev/log`
    Unix(PathBuf),
}

impl Target {
    /// Reads it; a missing port is 514, for TLS 6514.
    pub fn parse(text: &str) -> Result<Self, String> {
        let with_port = |rest: &str, port: u16| {
            let has_port = rest.rsplit_once(':').is_some_and(|(host, p)| {
                !host.is_empty() && p.parse::<u16>().is_ok() && !p.contains(']')
            });
            if has_port {
                rest.to_owned()
            } else {
                format!("{rest}:{port}")
            }
        };
        match text.split_once("://") {
            Some(("udp", rest)) if !rest.is_empty() => Ok(Self::Udp(with_port(rest, 514))),
            Some(("tcp", rest)) if !rest.is_empty() => Ok(Self::Tcp(with_port(rest, 514))),
            Some(("tls", rest)) if !rest.is_empty() => Ok(Self::Tls(with_port(rest, 6514))),
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            _ => Err(format!(
                "wants udp://host:port, tcp://host:port, tls://host:port or unix:///path, not '{text}'"
            )),
        }
    }

    /// The form its messages have.
    pub fn format(&self) -> Format {
        match self {
            Self::Udp(_) => Format::Datagram,
            Self::Tcp(_) | Self::Tls(_) => Format::Stream,
            Self::Unix(_) => Format::Local,
        }
    }
}

/// Files for TLS, all PEM.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificates of the authorities that may vouch for the receiver.
    pub authority: Option<PathBuf>,
    /// Our own certificate chain, when the receiver asks for one.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Name the receiver's certificate must have; default: the host of the target.
    pub server_name: Option<String>,
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    Unix(UnixDatagram),
}

/// A connection that is made when needed, and made again when it breaks.
pub struct Transport {
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    link: Option<Link>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transport({:?})", self.target)
    }
}

impl Transport {
    /// Checks files and names; does not connect yet.
    pub fn new(target: Target, files: &TlsFiles) -> io::Result<Self> {
        let mut transport = Self {
            target,
            tls: None,
            server_name: None,
            link: None,
        };
        if let Target::Tls(address) = &transport.target {
            let host = address
                .rsplit_once(':')
                .map_or(address.as_str(), |(host, _)| host)
                .trim_matches(['[', ']']);
            let name = files.server_name.clone().unwrap_or_else(|| host.to_owned());
            transport.server_name = Some(ServerName::try_from(name).map_err(invalid)?);
            transport.tls = Some(Arc::new(tls_config(files)?));
        }
        Ok(transport)
    }

    fn connect(&self) -> io::Result<Link> {
        Ok(match &self.target {
            Target::Udp(address) => {
                let to = resolve(address)?;
                let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
                socket.connect(to)?;
                Link::Udp(socket)
            }
            Target::Tcp(address) => Link::Tcp(tcp(address)?),
            Target::Tls(address) => {
                let (Some(config), Some(name)) = (&self.tls, &self.server_name) else {
                    return Err(invalid("TLS is not configured"));
                };
                let session =
                    ClientConnection::new(Arc::clone(config), name.clone()).map_err(invalid)?;
                let mut stream = StreamOwned::new(session, tcp(address)?);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                // With TLS 1.3 a receiver that refuses our certificate says so only after our handshake succeeded:
                // a connection counts as up when a moment passed without an alert.
                stream
                    .sock
                    .set_read_timeout(Some(Duration::from_millis(50)))?;
                let mut byte = [0u8; 1];
                match stream.read(&mut byte) {
                    Ok(0) => {
                        return Err(io::Error::new(
                            io::ErrorKind::ConnectionAborted,
                            "receiver closed",
                        ));
                    }
                    Ok(_) => {}
                    Err(e)
                        if matches!(
                            e.kind(),
                            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                        ) => {}
                    Err(e) => return Err(e),
                }
                Link::Tls(Box::new(stream))
            }
            Target::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Link::Unix(socket)
            }
        })
    }
}

impl Deliver for Transport {
    fn name(&self) -> String {
        match &self.target {
            Target::Udp(to) => format!("syslog udp://{to}"),
            Target::Tcp(to) => format!("syslog tcp://{to}"),
            Target::Tls(to) => format!("syslog tls://{to}"),
            Target::Unix(path) => format!("syslog unix://{}", path.display()),
        }
    }

    fn deliver(&mut self, message: &[u8]) -> io::Result<()> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect()?,
        };
        match &mut link {
            Link::Udp(socket) => drop(socket.send(message)?),
            Link::Unix(socket) => drop(socket.send(message)?),
            Link::Tcp(stream) => {
                still_there(stream)?;
                frame(stream, message)?;
            }
            Link::Tls(stream) => {
                still_there(&mut stream.sock)?;
                frame(stream.as_mut(), message)?;
            }
        }
        self.link = Some(link);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(Link::Tls(mut stream)) = self.link.take() {
            // RFC 5425 §4.4: the sender must send close_notify.
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    }
}

/// Octet counting: `LENGTH SP MESSAGE`.
fn frame(stream: &mut dyn Write, message: &[u8]) -> io::Result<()> {
    let mut framed = format!("{} ", message.len()).into_bytes();
    framed.extend_from_slice(message);
    stream.write_all(&framed)?;
    stream.flush()
}

/// A receiver never sends anything over plain TCP: what can be read is its end.
fn still_there(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut byte = [0u8; 1];
    let peeked = stream.peek(&mut byte);
    stream.set_nonblocking(false)?;
    match peeked {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "receiver closed the connection",
        )),
        _ => Ok(()),
    }
}

fn resolve(address: &str) -> io::Result<SocketAddr> {
    address
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no address for {address}")))
}

fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&resolve(address)?, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn tls_config(files: &TlsFiles) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let Some(authority) = &files.authority else {
        return Err(invalid(
            "syslog over TLS wants syslog.ca-file: the authority that vouches for the receiver",
        ));
    };
    for certificate in CertificateDer::pem_file_iter(authority).map_err(|e| named(authority, e))? {
        roots
            .add(certificate.map_err(|e| named(authority, e))?)
            .map_err(|e| named(authority, e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_root_certificates(roots);
    match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
                .map_err(|e| named(certificate, e))?
                .collect();
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| named(key, e))?;
            builder
                .with_client_auth_cert(chain.map_err(|e| named(certificate, e))?, key)
                .map_err(invalid)
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(invalid("syslog.cert-file and syslog.key-file go together")),
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
}

fn named(path: &std::path::Path, error: impl std::fmt::Display) -> io::Error {
    invalid(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_their_protocols_port() {
        assert_eq!(
            Target::parse("udp://10.0.0.1"),
            Ok(Target::Udp("10.0.0.1:514".to_owned()))
        );
        assert_eq!(
            Target::parse("tls://log.example:7000"),
            Ok(Target::Tls("log.example:7000".to_owned()))
        );
        assert_eq!(
            Target::parse("tls://[2001:db8::1]"),
            Ok(Target::Tls("[2001:db8::1]:6514".to_owned()))
        );
        assert!(Target::parse("http://x").is_err() && Target::parse("unix://x").is_err());
    }
}
