//! What servers say they are: banners and `Server` headers as a product and a version, without text.
//!
//! Pure functions of the first bytes that a server sends. They read no more than [`LOOK`] bytes. Banners can lie; what
//! they contradict lowers the grade of an attack, it never hides it.
//!
//! Sources: RFC 4253 §4.2 (SSH), RFC 9110 §10.2.4 (Server), RFC 959 and 5321 (replies 220), MySQL's handshake V10,
//! RFC 6143 §7.1.1 (RFB).

/// Bytes of an answer that are read.
pub const LOOK: usize = 1_024;

macro_rules! products {
    ($($name:ident, $text:literal, $os:literal, [$($needle:literal),*];)+) => {
        /// A product.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Product {
            /// Not known.
            #[default]
            Unknown,
            $(#[doc = $text] $name,)+
        }

        impl Product {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// By its number in a record.
            pub fn from_number(number: u32) -> Self {
                Self::ALL.iter().copied().find(|p| *p as u32 == number).unwrap_or_default()
            }

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Unknown => "",
                    $(Self::$name => $text,)+
                }
            }

            /// The operating system it runs on, when there is but one; empty otherwise.
            pub const fn os(self) -> &'static str {
                match self {
                    Self::Unknown => "",
                    $(Self::$name => $os,)+
                }
            }
        }

        /// What banners contain, in lower case; the version follows.
        const NEEDLES: &[(&str, Product)] = &[$($(($needle, Product::$name),)*)+];
    };
}

products! {
    OpenSsh, "OpenSSH", "", ["openssh_"];
    Dropbear, "Dropbear", "", ["dropbear_"];
    LibSsh, "libssh", "", ["libssh"];
    CiscoSsh, "Cisco SSH", "Cisco IOS", ["ssh-2.0-cisco", "ssh-1.99-cisco"];
    ApacheTomcat, "Apache Tomcat", "", ["apache-coyote", "tomcat"];
    Apache, "Apache httpd", "", ["apache"];
    OpenResty, "OpenResty", "", ["openresty"];
    Nginx, "nginx", "", ["nginx"];
    Iis, "Microsoft IIS", "Windows", ["microsoft-iis"];
    HttpApi, "Microsoft HTTPAPI", "Windows", ["microsoft-httpapi"];
    Lighttpd, "lighttpd", "", ["lighttpd"];
    Caddy, "Caddy", "", ["caddy"];
    LiteSpeed, "LiteSpeed", "", ["litespeed"];
    Jetty, "Jetty", "", ["jetty"];
    Gunicorn, "gunicorn", "", ["gunicorn"];
    Werkzeug, "Werkzeug", "", ["werkzeug"];
    Uvicorn, "uvicorn", "", ["uvicorn"];
    PythonHttp, "Python http.server", "", ["simplehttp", "basehttp"];
    Express, "Express", "", ["express"];
    Boa, "Boa", "", ["boa/"];
    GoAhead, "GoAhead", "", ["goahead"];
    Cloudflare, "Cloudflare", "", ["cloudflare"];
    WebLogic, "WebLogic", "", ["weblogic"];
    Squid, "Squid", "", ["squid"];
    Vsftpd, "vsftpd", "", ["vsftpd"];
    ProFtpd, "ProFTPD", "", ["proftpd"];
    PureFtpd, "Pure-FTPd", "", ["pure-ftpd"];
    FileZilla, "FileZilla Server", "Windows", ["filezilla server"];
    MicrosoftFtp, "Microsoft FTP", "Windows", ["microsoft ftp"];
    Postfix, "Postfix", "", ["postfix"];
    Exim, "Exim", "", ["exim"];
    Sendmail, "Sendmail", "", ["sendmail"];
    MicrosoftMail, "Microsoft ESMTP", "Windows", ["microsoft esmtp"];
    Dovecot, "Dovecot", "", ["dovecot"];
    Courier, "Courier", "", ["courier"];
    Cyrus, "Cyrus", "", ["cyrus"];
    MariaDb, "MariaDB", "", ["mariadb"];
    MySql, "MySQL", "", [];
    Vnc, "VNC", "", ["rfb "];
}

/// A version: three numbers of 16 bits, major first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = [32, 16, 0].map(|shift| self.0 >> shift & 0xffff);
        if patch == 0 {
            write!(f, "{major}.{minor}")
        } else {
            write!(f, "{major}.{minor}.{patch}")
        }
    }
}

/// What the first bytes of a server say of its software.
pub fn read(payload: &[u8], port: u16) -> Option<(Product, Version)> {
    let bytes = payload.get(..LOOK.min(payload.len()))?;
    let line = if bytes.starts_with(b"HTTP/1.") {
        header(bytes, b"server:")?
    } else if bytes.starts_with(b"SSH-")
        || bytes.starts_with(b"220")
        || bytes.starts_with(b"+OK")
        || bytes.starts_with(b"* OK")
        || bytes.starts_with(b"RFB ")
    {
        bytes.split(|b| *b == b'\n').next()?
    } else {
        return mysql(bytes, port);
    };
    named(line)
}

/// The value of a header, name in lower case with its colon.
fn header<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    bytes
        .split(|b| *b == b'\n')
        .skip(1)
        .take_while(|line| line.len() > 1)
        .find_map(|line| {
            let (head, value) = line.split_at_checked(name.len())?;
            head.eq_ignore_ascii_case(name).then_some(value)
        })
}

fn named(line: &[u8]) -> Option<(Product, Version)> {
    let line: Vec<u8> = line.iter().take(128).map(u8::to_ascii_lowercase).collect();
    NEEDLES.iter().find_map(|(needle, product)| {
        let at = memchr::memmem::find(&line, needle.as_bytes())?;
        let rest = line.get(at + needle.len()..).unwrap_or_default();
        Some((*product, version(rest)))
    })
}

/// Numbers and dots close behind the name.
fn version(rest: &[u8]) -> Version {
    let start = rest.iter().take(12).position(u8::is_ascii_digit);
    let Some(digits) = start.and_then(|at| rest.get(at..)) else {
        return Version::default();
    };
    let mut parts = [0u64; 3];
    let mut at = 0;
    for byte in digits {
        match (byte, parts.get_mut(at)) {
            (b'0'..=b'9', Some(part)) => *part = (*part * 10 + u64::from(byte - b'0')) & 0xffff,
            (b'.', Some(_)) => at += 1,
            _ => break,
        }
    }
    let [major, minor, patch] = parts;
    Version(major << 32 | minor << 16 | patch)
}

/// MySQL's greeting: length, sequence 0, protocol 10, version as text.
fn mysql(bytes: &[u8], port: u16) -> Option<(Product, Version)> {
    let [_, _, 0, 0, 10, text @ ..] = bytes else {
        return None;
    };
    let text = text.split(|b| *b == 0).next()?;
    if text.len() > 64 || !text.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if memchr::memmem::find(&lower, b"mariadb").is_some() {
        // 5.5.5-10.6.12-MariaDB: the first version is there for old clients.
        let own = lower.strip_prefix(b"5.5.5-").unwrap_or(&lower);
        return Some((Product::MariaDb, version(own)));
    }
    (port != 0).then(|| (Product::MySql, version(&lower)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_are_products_with_versions() {
        let cases: &[(&[u8], Product, &str)] = &[
            (
                b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
                Product::OpenSsh,
                "9.2",
            ),
            (
                b"HTTP/1.1 200 OK\r\nDate: x\r\nServer: Apache/2.4.57 (Debian)\r\n\r\n",
                Product::Apache,
                "2.4.57",
            ),
            (
                b"HTTP/1.1 404 Not Found\r\nserver: Microsoft-IIS/10.0\r\n\r\n",
                Product::Iis,
                "10.0",
            ),
            (
                b"HTTP/1.1 200 OK\r\nServer: Apache-Coyote/1.1\r\n\r\n",
                Product::ApacheTomcat,
                "1.1",
            ),
            (b"220 (vsFTPd 3.0.5)\r\n", Product::Vsftpd, "3.0.5"),
            (
                b"220 mail.example.org ESMTP Postfix\r\n",
                Product::Postfix,
                "0.0",
            ),
            (
                b"\x4a\0\0\0\x0a5.5.5-10.6.12-MariaDB\0rest",
                Product::MariaDb,
                "10.6.12",
            ),
            (b"\x4a\0\0\0\x0a8.0.36\0rest", Product::MySql, "8.0.36"),
        ];
        for (bytes, product, version) in cases {
            let (found, says) = read(bytes, 1).expect("a banner");
            assert_eq!((found, says.to_string().as_str()), (*product, *version));
            assert_eq!(Product::from_number(found as u32), found);
        }
    }

    #[test]
    fn no_bytes_make_it_fail() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 200 OK\r\nServer",
            b"220",
            b"\0\0\0\0\x0a",
            b"SSH-",
            &[255; 4_000],
        ] {
            let _ = read(bytes, 3306);
        }
        // A header of the body is not the server's.
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\n\r\nServer: nginx/1.0\r\n", 80),
            None
        );
    }
}
