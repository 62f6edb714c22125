//! What the first payload of each direction of a flow looks like, for detectors of P2P, tunnels and misplaced protocols;
//! and what a server's answer says about a login.
//!
//! Pure functions of a few leading bytes: called once per direction ([`classify`]) and for the first answers of a
//! server ([`login`]). They read no more than [`LOOK`] bytes. They do not parse: `app` does.
//!
//! Sources: BEP 3, 5, 15, 29 (BitTorrent); Gnutella 0.6; the eMule protocol (Kulbak and Bickson 2005); devp2p discovery
//! v4; OpenVPN's wire protocol; the WireGuard paper §5.4; RFC 2637, 2661, 7296 §3.1, 2408 §3.1; RFC 1928; RFC 4253 §4.2.

use super::{edonkey, service_names};

/// Bytes looked at.
pub const LOOK: usize = 2_048;

macro_rules! first_bytes {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)+) => {
        /// What a direction begins with.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(u8)]
        pub enum FirstBytes {
            /// Nothing that matters here.
            #[default]
            Nothing,
            $($(#[$doc])* $name,)+
        }

        impl FirstBytes {
            /// By its number in a record.
            pub fn from_number(number: u32) -> Self {
                const ALL: &[FirstBytes] = &[FirstBytes::Nothing, $(FirstBytes::$name),+];
                ALL.get(number as usize).copied().unwrap_or_default()
            }

            /// Its name in evidence.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Nothing => "nothing",
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

first_bytes! {
    /// BitTorrent peer handshake.
    BitTorrent => "BitTorrent",
    /// BitTorrent DHT message.
    BitTorrentDht => "BitTorrent DHT",
    /// uTP connection request; half a verdict.
    UtpSyn => "uTP request",
    /// uTP connection accepted.
    Utp => "BitTorrent uTP",
    /// Announce to a tracker.
    Tracker => "BitTorrent tracker",
    /// Local peer discovery.
    BitTorrentLocal => "BitTorrent local discovery",
    /// eDonkey or eMule hello.
    Edonkey => "eDonkey",
    /// Gnutella.
    Gnutella => "Gnutella",
    /// Ethereum node discovery.
    Ethereum => "Ethereum",
    /// Syncthing discovery.
    Syncthing => "Syncthing",
    /// OpenVPN client reset; half a verdict.
    OpenVpnReset => "OpenVPN request",
    /// OpenVPN server reset in answer.
    OpenVpn => "OpenVPN",
    /// WireGuard handshake.
    WireGuard => "WireGuard",
    /// What may be a WireGuard handshake with bytes of its own in the reserved field; half a verdict.
    WireGuardLike => "WireGuard-like request",
    /// IKE.
    Ike => "IKE",
    /// L2TP control connection.
    L2tp => "L2TP",
    /// PPTP control connection.
    Pptp => "PPTP",
    /// tinc metadata connection.
    Tinc => "tinc",
    /// TLS to a server name of Tor's shape; half a verdict.
    TorName => "Tor name",
    /// TLS answered with a certificate of Tor's shape.
    Tor => "Tor",
    /// SOCKS 4 request.
    Socks4 => "SOCKS 4",
    /// SOCKS 5 greeting; half a verdict.
    Socks5Greeting => "SOCKS 5 greeting",
    /// SOCKS 5 method chosen.
    Socks5 => "SOCKS 5",
    /// HTTP CONNECT.
    Connect => "HTTP CONNECT",
    /// A proxy that carries another tunnel: SSH, OpenVPN, Tor, PPTP, tinc, or a further proxy.
    Nested => "tunnel in a proxy",
    /// SSH banner.
    Ssh => "SSH",
    /// SSH banner in a datagram.
    SshInUdp => "SSH in UDP",
    /// SSH in a WebSocket or behind an HTTP request.
    SshInHttp => "SSH in HTTP",
    /// HTTP request to a server that greets with an SSH banner.
    HttpToSsh => "HTTP to an SSH server",
    /// SSH whose parts are swapped: the end that connected plays the server.
    SshReversed => "SSH with parts swapped",
    /// Encapsulating Security Payload.
    Esp => "IPsec ESP",
    /// HTTP request of version detection.
    ScanTool => "version detection",
    /// TLS ClientHello.
    Tls => "TLS",
    /// TLS to a VPN service, by name.
    VpnService => "VPN service by name",
    /// TLS to a P2P service, by name.
    P2pService => "P2P service by name",
    /// HTTP request.
    Http => "HTTP",
    /// HTTP answer.
    HttpAnswer => "HTTP answer",
    /// MySQL greeting of a server.
    MySql => "MySQL",
    /// A client's first payload without any structure; by itself no verdict.
    Random => "random",
}

impl FirstBytes {
    /// Whether the detectors are told: not of what is everywhere, nor of half a verdict that is weak.
    pub fn is_told(self) -> bool {
        !matches!(self, Self::Nothing | Self::Tls | Self::WireGuardLike)
    }
}

/// Classifies the first payload of a direction. `other` is what the other direction began with.
pub fn classify(
    payload: &[u8],
    (tcp, to_server): (bool, bool),
    (sport, dport): (u16, u16),
    (other, mark): (FirstBytes, u32),
) -> FirstBytes {
    let bytes = payload.get(..LOOK.min(payload.len())).unwrap_or(payload);
    if is_ssh(bytes) {
        return match (tcp, other) {
            (false, _) => FirstBytes::SshInUdp,
            (true, FirstBytes::Http) if !to_server => FirstBytes::HttpToSsh,
            _ => FirstBytes::Ssh,
        };
    }
    if tcp {
        match classify_tcp(bytes, to_server, dport, other) {
            FirstBytes::Http if other == FirstBytes::Ssh => FirstBytes::HttpToSsh,
            verdict => verdict,
        }
    } else {
        classify_udp(bytes, (sport, dport), other, mark)
    }
}

/// Whether a first payload of TCP is as random as encrypted bytes (Wu et al., USENIX Security 2023, §4: what no censor's
/// exemption covers): neither few nor many of its bits are set, and it holds hardly any text.
pub fn is_random(bytes: &[u8]) -> bool {
    // Shorter ones are random by chance.
    let bytes = bytes.get(..bytes.len().min(512)).unwrap_or(bytes);
    if bytes.len() < 32 {
        return false;
    }
    let printable = |b: &u8| (0x20..=0x7e).contains(b);
    let ones: u32 = bytes.iter().map(|b| b.count_ones()).sum();
    // 3.4 to 4.6 set bits a byte.
    let (ones, len) = (u64::from(ones) * 10, bytes.len() as u64);
    let balanced = ones > len * 34 && ones < len * 46;
    let begins_as_text = bytes.iter().take(6).all(printable);
    let text = bytes.iter().filter(|b| printable(b)).count();
    let run = bytes.split(|b| !printable(b)).map(<[u8]>::len).max();
    // Lengths, types and ids at the beginning of a message hold zeros.
    let zeros = bytes.iter().take(16).filter(|b| **b == 0).count();
    balanced && !begins_as_text && text * 2 <= bytes.len() && run < Some(20) && zeros < 2
}

fn is_ssh(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SSH-2.0-") || bytes.starts_with(b"SSH-1.")
}

/// What a first datagram says that the answer must repeat (WireGuard: the sender's index).
pub fn mark(payload: &[u8]) -> u32 {
    word(payload, 4)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk::<4>())
        .map_or(0, |b| u32::from_be_bytes(*b))
}

/// What a later payload of a TCP direction shows, when its first said `mine`: tunnels that begin after a request, and
/// transfers whose beginning is not in the capture.
pub fn later(payload: &[u8], mine: FirstBytes, client: FirstBytes) -> FirstBytes {
    if matches!(client, FirstBytes::Http | FirstBytes::Connect) {
        // RFC 6455 §5.2: final text or binary frame, its length, the mask of a client, the data.
        let carried = match payload {
            [0x81 | 0x82, len @ 0..=125, data @ ..] if data.len() == usize::from(*len) => data,
            [0x82, 126, _, _, data @ ..] => data,
            _ => payload,
        };
        if is_ssh(carried) || is_masked_ssh(payload) {
            return FirstBytes::SshInHttp;
        }
    }
    if mine == FirstBytes::Nothing && is_bittorrent_message(payload) {
        return FirstBytes::BitTorrent;
    }
    let proxied = matches!(
        client,
        FirstBytes::Socks4 | FirstBytes::Socks5Greeting | FirstBytes::Connect
    );
    if proxied && mine == client {
        return inside(payload, client);
    }
    FirstBytes::Nothing
}

/// What a client sends through a proxy. The answer to a password (RFC 1929) and the request of SOCKS itself are neither.
fn inside(payload: &[u8], proxy: FirstBytes) -> FirstBytes {
    if is_ssh(payload) {
        return FirstBytes::Nested;
    }
    match classify_tcp(payload, true, 0, FirstBytes::Nothing) {
        FirstBytes::OpenVpnReset | FirstBytes::Pptp | FirstBytes::Tinc | FirstBytes::TorName => {
            FirstBytes::Nested
        }
        // A browser may say CONNECT to one proxy again and again; SOCKS begins once.
        FirstBytes::Connect if proxy != FirstBytes::Connect => FirstBytes::Nested,
        FirstBytes::Socks5Greeting if proxy == FirstBytes::Connect => FirstBytes::Nested,
        shared @ (FirstBytes::BitTorrent | FirstBytes::Gnutella | FirstBytes::Edonkey) => shared,
        _ => FirstBytes::Nothing,
    }
}

fn is_masked_ssh(payload: &[u8]) -> bool {
    let [0x81 | 0x82, len, a, b, c, d, data @ ..] = payload else {
        return false;
    };
    *len & 0x80 != 0
        && data
            .iter()
            .zip([*a, *b, *c, *d].iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .take(8)
            .eq(*b"SSH-2.0-")
}

/// BEP 3: a request for a block of 16 KiB, or the beginning of one.
fn is_bittorrent_message(bytes: &[u8]) -> bool {
    match bytes {
        [0, 0, 0, 13, 6, rest @ ..] => {
            rest.len() >= 12 && rest.get(8..12) == Some(&[0, 0, 0x40, 0])
        }
        [0, 0, 0x40, 9, 7, _, _, _, _, begin @ ..] => begin
            .first_chunk::<4>()
            .is_some_and(|b| u32::from_be_bytes(*b) & 0x3fff == 0),
        _ => false,
    }
}

fn classify_tcp(bytes: &[u8], to_server: bool, dport: u16, other: FirstBytes) -> FirstBytes {
    if bytes.starts_with(b"\x13BitTorrent protocol") || is_bittorrent_message(bytes) {
        return FirstBytes::BitTorrent;
    }
    if bytes.starts_with(b"GNUTELLA CONNECT/") || bytes.starts_with(b"GNUTELLA/0.") {
        return FirstBytes::Gnutella;
    }
    if edonkey::is_tcp(bytes) {
        return FirstBytes::Edonkey;
    }
    if let [_, _, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, ..] = bytes {
        return FirstBytes::Pptp;
    }
    if let [b'0', b' ', rest @ ..] = bytes
        && rest.len() < 64
        && (rest.ends_with(b" 17\n") || rest.windows(4).any(|w| w == b" 17."))
    {
        return FirstBytes::Tinc;
    }
    if to_server {
        return match bytes {
            [4, 1 | 2, a, b, _, _, _, _, rest @ ..]
                if (*a, *b) != (0, 0) && rest.last() == Some(&0) && rest.len() < 300 =>
            {
                FirstBytes::Socks4
            }
            [5, n, rest @ ..] if *n > 0 && rest.len() == usize::from(*n) => {
                FirstBytes::Socks5Greeting
            }
            // A 16-bit length, then hard reset of a client with key 0 (version 2 or 3).
            [a, b, 0x38 | 0x50, rest @ ..]
                if usize::from(u16::from_be_bytes([*a, *b])) == rest.len() + 1
                    && rest.len() >= 13 =>
            {
                FirstBytes::OpenVpnReset
            }
            [0x16, 3, ..] if server_name(bytes).is_some_and(is_tor_name) => FirstBytes::TorName,
            [0x16, 3, ..] => service_names::of_hello(bytes).unwrap_or(FirstBytes::Tls),
            _ => match classify_http(bytes, dport) {
                FirstBytes::Nothing if is_random(bytes) => FirstBytes::Random,
                verdict => verdict,
            },
        };
    }
    match (other, bytes) {
        (FirstBytes::Socks5Greeting, [5, method, ..]) if *method < 10 => FirstBytes::Socks5,
        (FirstBytes::OpenVpnReset, [_, _, 0x40, ..]) => FirstBytes::OpenVpn,
        (FirstBytes::TorName, [0x16, 3, ..]) if names_tor(bytes) => FirstBytes::Tor,
        (_, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', ..]) => FirstBytes::HttpAnswer,
        // Length of 3 bytes, sequence 0, protocol 10, a version that begins with a digit and a dot.
        (_, [_, _, 0, 0, 10, b'3'..=b'9' | b'1', b'.' | b'0' | b'1', ..]) => FirstBytes::MySql,
        _ => FirstBytes::Nothing,
    }
}

fn classify_http(bytes: &[u8], dport: u16) -> FirstBytes {
    if bytes.starts_with(b"CONNECT ") {
        return FirstBytes::Connect;
    }
    if !is_http_request(bytes) {
        return FirstBytes::Nothing;
    }
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let asks = contains(line, b"info_hash=");
    if is_version_probe(line) {
        FirstBytes::ScanTool
    } else if asks && (contains(line, b"/announce") || contains(line, b"/scrape")) {
        FirstBytes::Tracker
    } else if is_gnutella_download(line, dport) {
        FirstBytes::Gnutella
    } else {
        FirstBytes::Http
    }
}

/// What version detection asks for: names that cannot exist, to see how a server refuses. (Who says in the User-Agent that it
/// scans is for rules.)
fn is_version_probe(line: &[u8]) -> bool {
    const PATHS: [&[u8]; 2] = [b"/nmaplowercheck", b"Tri%6Eity.txt%2ebak"];
    let path = line.splitn(3, |b| *b == b' ').nth(1).unwrap_or_default();
    PATHS.iter().any(|mark| contains(path, mark))
}

/// Gnutella 0.4 and HUGE: a file by its index, or by its hash; on the network's port.
fn is_gnutella_download(line: &[u8], dport: u16) -> bool {
    if contains(line, b"/uri-res/N2R?urn:sha1:") {
        return true;
    }
    let Some(rest) = line.strip_prefix(b"GET /get/") else {
        return false;
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    matches!(dport, 6346..=6349) && digits > 0 && rest.get(digits) == Some(&b'/')
}

fn classify_udp(
    bytes: &[u8],
    (sport, dport): (u16, u16),
    other: FirstBytes,
    mark: u32,
) -> FirstBytes {
    let on = |port| sport == port || dport == port;
    let word = |at: usize| word(bytes, at);
    let dht = bytes.starts_with(b"d1:ad2:id20:") || bytes.starts_with(b"d1:rd2:id20:");
    if dht
        || (bytes.starts_with(b"d1:") && contains(bytes, b"2:id20:") && contains(bytes, b"1:y1:"))
    {
        return FirstBytes::BitTorrentDht;
    }
    if bytes.starts_with(b"BT-SEARCH * HTTP/1.1") {
        return FirstBytes::BitTorrentLocal;
    }
    // connect request of BEP 15
    if bytes.len() == 16 && bytes.starts_with(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0])
    {
        return FirstBytes::Tracker;
    }
    if bytes.starts_with(b"GND") && bytes.get(3).is_some_and(|b| *b & 0xfc == 0) && bytes.len() > 8
    {
        return FirstBytes::Gnutella;
    }
    if edonkey::is_udp(bytes) {
        return FirstBytes::Edonkey;
    }
    if on(21_027) && word(0) == 0x2ea7_d90b {
        return FirstBytes::Syncthing;
    }
    // 32 bytes of hash, 65 of signature (the last 0 or 1), packet type 1 to 4, a list.
    if (98..=1_280).contains(&bytes.len())
        && bytes.get(96).is_some_and(|b| *b <= 1)
        && bytes.get(97).is_some_and(|b| (1..=6).contains(b))
        && bytes.get(98).is_some_and(|b| *b >= 0xc0)
        && (on(30_303) || on(30_301) || on(30_304))
    {
        return FirstBytes::Ethereum;
    }
    match bytes {
        [1, 0, 0, 0, ..] if bytes.len() == 148 => return FirstBytes::WireGuard,
        // The answer of WireGuard repeats the index of the request; its reserved bytes and bits are some services' own.
        [kind, ..]
            if other == FirstBytes::WireGuardLike
                && *kind & 0x3f == 2
                && bytes.len() >= 92
                && mark != 0
                && word(8) == mark =>
        {
            return FirstBytes::WireGuard;
        }
        // With a wrapped client key (tls-crypt-v2) the reset of a client is as long as a datagram may be.
        [kind @ (0x38 | 0x50), rest @ ..]
            if (13..=if *kind == 0x50 { 1_300 } else { 200 }).contains(&rest.len())
                && rest.get(..8).is_some_and(|id| id != [0; 8]) =>
        {
            return FirstBytes::OpenVpnReset;
        }
        [0x40, ..] if other == FirstBytes::OpenVpnReset => return FirstBytes::OpenVpn,
        _ => {}
    }
    if on(51_820)
        && matches!(bytes, [4, 0, 0, 0, ..])
        && bytes.len() >= 32
        && bytes.len().is_multiple_of(16)
    {
        return FirstBytes::WireGuard;
    }
    // uTP: type and version 1, extension, connection id; a SYN has no payload and sequence number 1 or more.
    if let [kind, extension, ..] = bytes
        && bytes.len() >= 20
        && *extension <= 2
        && word(4) != 0
    {
        let id = word(0) as u16;
        if *kind == 0x41 && bytes.len() <= 40 && id != 0 && word(8) == 0 && word(12) != 0 {
            return FirstBytes::UtpSyn;
        }
        if *kind == 0x21 && other == FirstBytes::UtpSyn {
            return FirstBytes::Utp;
        }
    }
    if on(500) || on(4500) {
        let ike = if word(0) == 0 {
            bytes.get(4..)
        } else {
            Some(bytes)
        };
        if let Some(ike) = ike.filter(|_| on(500) || word(0) == 0)
            && ike.len() >= 28
            && matches!(ike.get(17), Some(0x10 | 0x20))
            && ike.get(18).is_some_and(|kind| matches!(kind, 2 | 4 | 34))
            && ike.get(..8).is_some_and(|cookie| cookie != [0; 8])
        {
            return FirstBytes::Ike;
        }
    }
    if on(1701)
        && let [flags, version, a, b, ..] = bytes
        && *flags & 0xc8 == 0xc8
        && *version & 0x0f == 2
        && usize::from(u16::from_be_bytes([*a, *b])) == bytes.len()
    {
        return FirstBytes::L2tp;
    }
    if bytes.len() >= 148 && bytes.first().is_some_and(|kind| *kind & 0x3f == 1) && word(4) != 0 {
        return FirstBytes::WireGuardLike;
    }
    FirstBytes::Nothing
}

/// Whether a payload begins with an HTTP/1 request.
pub fn is_http_request(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 6] = [
        b"GET /",
        b"POST /",
        b"HEAD /",
        b"PUT /",
        b"OPTIONS ",
        b"DELETE /",
    ];
    // Asked of every payload of a client; most are none.
    matches!(bytes, [b'G' | b'P' | b'H' | b'O' | b'D', ..])
        && METHODS.iter().any(|method| bytes.starts_with(method))
}

/// What a request is for: server name and path, without the query; and whether it asks for a fresh copy, whether it
/// carries a password, whether it names the server by its address, and a hash of its user agent (see
/// [`super::RecordKind::Request`]).
pub fn request(bytes: &[u8]) -> (u64, u32) {
    let bytes = bytes.get(..LOOK.min(bytes.len())).unwrap_or(bytes);
    let target = bytes.splitn(3, |b| *b == b' ').nth(1).unwrap_or_default();
    let mut parts = target.splitn(2, |b| *b == b'?');
    let path = parts.next().unwrap_or_default();
    let query = parts.next().map_or(0, |q| hash(q) as u32 & 0x1fff);
    let reload = contains(bytes, b"no-cache") || contains(bytes, b"max-age=0\r");
    const SECRETS: [&[u8]; 5] = [b"password=", b"passwd=", b"pass=", b"pwd=", b"passwort="];
    let secret = SECRETS.iter().any(|word| contains(bytes, word));
    let host = header(bytes, b"Host: ").or_else(|| header(bytes, b"host: "));
    let literal = host.is_some_and(|h| h.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b':')));
    let agent = header(bytes, b"User-Agent: ").or_else(|| header(bytes, b"user-agent: "));
    let agent = agent.map_or(0, |a| hash(a) as u32 & 0xffff);
    (
        hash(path),
        u32::from(reload)
            | u32::from(secret) << 1
            | u32::from(literal) << 2
            | query << 3
            | agent << 16,
    )
}

/// The value of a header.
fn header<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = bytes.get(memchr::memmem::find(bytes, name)? + name.len()..)?;
    rest.get(..memchr::memchr(b'\r', rest).unwrap_or(rest.len()))
}

/// Outcome of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Login {
    /// Refused.
    Failed = 1,
    /// Accepted.
    Succeeded = 2,
    /// Tried; the answer does not tell.
    Tried = 3,
}

/// What the payload of a server says about a login at a port.
pub fn login(bytes: &[u8], port: u16) -> Option<Login> {
    use Login::{Failed, Succeeded};
    match (port, bytes) {
        (21 | 990 | 2121, [b'5', b'3', b'0', b' ' | b'-', rest @ ..])
            if !contains(rest.get(..80.min(rest.len()))?, b"lease login") =>
        {
            Some(Failed)
        }
        (21 | 990 | 2121, [b'2', b'3', b'0', b' ' | b'-', ..]) => Some(Succeeded),
        (25 | 465 | 587, [b'5', b'3', b'5', b' ' | b'-', ..]) => Some(Failed),
        (25 | 465 | 587, [b'2', b'3', b'5', b' ' | b'-', ..]) => Some(Succeeded),
        (110, [b'-', b'E', b'R', b'R', ..]) => Some(Failed),
        (143, _)
            if contains(bytes, b" NO [AUTHENTICATIONFAILED]") || contains(bytes, b" NO LOGIN") =>
        {
            Some(Failed)
        }
        (23 | 2323, _)
            if bytes.len() < 200
                && (contains(bytes, b"ogin incorrect")
                    || contains(bytes, b"ogin failed")
                    || contains(bytes, b"uthentication failed")) =>
        {
            Some(Failed)
        }
        // MQTT CONNACK: 0 accepted; 2 identifier, 4 user or password, 5 not authorized.
        (1883, [0x20, 2, _, 0, ..]) => Some(Succeeded),
        (1883, [0x20, 2, _, 4 | 5, ..]) => Some(Failed),
        (3306, [_, _, 0, _, 0xff, 0x15, 0x04, ..]) => Some(Failed),
        (5432, [b'E', rest @ ..]) if contains(rest, b"C28P01") => Some(Failed),
        (
            _,
            [
                b'H',
                b'T',
                b'T',
                b'P',
                b'/',
                b'1',
                b'.',
                _,
                b' ',
                b'4',
                b'0',
                b'1',
                ..,
            ],
        ) => Some(Failed),
        _ => None,
    }
}

/// Whether `bytes` hold `word`.
fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

/// FNV-1a over bytes: stable, for records.
pub fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}

/// The label between `www.` and `.com` of a ClientHello, found without parsing it.
fn server_name(hello: &[u8]) -> Option<&[u8]> {
    let start = memchr::memmem::find(hello, b"www.")? + 4;
    let rest = hello.get(start..)?;
    rest.get(..memchr::memmem::find(rest, b".com")?)
}

/// Tor invents names of 8 to 20 letters of base 32; a real name seldom has this look without vowels in their places.
fn is_tor_name(label: &[u8]) -> bool {
    (8..=25).contains(&label.len()) && label.iter().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// A certificate whose only names are of Tor's shape: `www.<label>.net`, and an issuer `www.<label>.com`.
fn names_tor(hello: &[u8]) -> bool {
    let mut names = memchr::memmem::find_iter(hello, b"www.").filter_map(|at| {
        let rest = hello.get(at + 4..)?;
        let end = rest.iter().position(|b| *b == b'.')?;
        Some((rest.get(..end)?, rest.get(end..end + 4)?))
    });
    let (Some((issuer, b".com")), Some((subject, b".net"))) = (names.next(), names.next()) else {
        return false;
    };
    issuer != subject && is_tor_name(issuer) && is_tor_name(subject) && names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(payload: &[u8], ports: (u16, u16)) -> FirstBytes {
        classify(payload, (false, true), ports, (FirstBytes::Nothing, 0))
    }

    fn tcp(payload: &[u8], to_server: bool, other: FirstBytes) -> FirstBytes {
        classify(payload, (true, to_server), (40_000, 1_080), (other, 0))
    }

    #[test]
    fn a_tunnel_inside_a_proxy_is_seen_and_what_proxies_are_for_is_not() {
        use FirstBytes::{Connect, Nested, Nothing, Socks4, Socks5Greeting};
        let inner = |payload: &[u8], proxy| later(payload, proxy, proxy);
        let openvpn = [&[0, 14, 0x38][..], &[7; 13]].concat();
        for proxy in [Socks4, Socks5Greeting, Connect] {
            assert_eq!(inner(&openvpn, proxy), Nested, "{proxy:?}");
            assert_eq!(inner(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", proxy), Nothing);
            assert_eq!(
                inner(&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3], proxy),
                Nothing
            );
        }
        assert_eq!(inner(b"SSH-2.0-OpenSSH_9.2\r\n", Socks5Greeting), Nested);
        assert_eq!(
            inner(b"CONNECT a:443 HTTP/1.1\r\n\r\n", Socks5Greeting),
            Nested
        );
        assert_eq!(inner(b"CONNECT a:443 HTTP/1.1\r\n\r\n", Connect), Nothing);
        // The request of SOCKS 5 itself, and a name and a password.
        assert_eq!(
            inner(&[5, 1, 0, 1, 192, 0, 2, 1, 1, 187], Socks5Greeting),
            Nothing
        );
        assert_eq!(inner(b"\x01\x05alice\x06secret", Socks5Greeting), Nothing);
    }

    #[test]
    fn encrypted_bytes_are_random_and_messages_with_a_header_are_not() {
        let mut state = 7u64;
        let noise: Vec<u8> = (0..200)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert!(is_random(&noise));
        assert!(!is_random(&noise[..20]));
        let framed = [&[0, 0, 0, 180, 1, 0, 0, 9][..], &noise[..180]].concat();
        assert!(!is_random(&framed));
        assert!(!is_random(
            b"HELO mail.example.com and a good day to you, server"
        ));
    }

    #[test]
    fn a_tunnel_is_named_when_both_sides_speak_it() {
        let mut reset = vec![0x38];
        reset.extend([7; 13]);
        assert_eq!(udp(&reset, (1, 1194)), FirstBytes::OpenVpnReset);
        let answer = classify(
            &[0x40, 1, 2],
            (false, false),
            (1, 1194),
            (FirstBytes::OpenVpnReset, 0),
        );
        assert_eq!(answer, FirstBytes::OpenVpn);
        assert_eq!(
            tcp(&[5, 1, 0], true, FirstBytes::Nothing),
            FirstBytes::Socks5Greeting
        );
        assert_eq!(
            tcp(&[5, 0], false, FirstBytes::Socks5Greeting),
            FirstBytes::Socks5
        );
        assert_eq!(
            tcp(&[5, 0], false, FirstBytes::Nothing),
            FirstBytes::Nothing
        );
    }

    #[test]
    fn wireguard_is_known_by_its_index_whatever_its_reserved_bytes() {
        let mut request = vec![0xc1, 9, 9, 9, 1, 2, 3, 4];
        request.extend([5; 196]);
        assert_eq!(udp(&request, (1, 2408)), FirstBytes::WireGuardLike);
        let mut answer = vec![0xc2, 9, 9, 9, 7, 7, 7, 7, 1, 2, 3, 4];
        answer.extend([5; 88]);
        let verdict = |mark| {
            classify(
                &answer,
                (false, false),
                (1, 2408),
                (FirstBytes::WireGuardLike, mark),
            )
        };
        assert_eq!(verdict(mark(&request)), FirstBytes::WireGuard);
        assert_eq!(verdict(0x0102_0305), FirstBytes::Nothing);
    }

    #[test]
    fn ssh_is_found_where_it_does_not_belong() {
        let banner = b"SSH-2.0-x\r\n";
        assert_eq!(udp(banner, (1, 1234)), FirstBytes::SshInUdp);
        assert_eq!(tcp(banner, false, FirstBytes::Http), FirstBytes::HttpToSsh);
        assert_eq!(
            tcp(b"GET / HTTP/1.1\r\n\r\n", true, FirstBytes::Ssh),
            FirstBytes::HttpToSsh
        );
        let mut frame = vec![0x82, banner.len() as u8];
        frame.extend(banner);
        let in_http = |bytes: &[u8]| later(bytes, FirstBytes::HttpAnswer, FirstBytes::Http);
        assert_eq!(in_http(&frame), FirstBytes::SshInHttp);
        let mut masked = vec![0x82, 0x80 | banner.len() as u8, 1, 2, 3, 4];
        masked.extend(
            banner
                .iter()
                .zip([1, 2, 3, 4].iter().cycle())
                .map(|(b, m)| b ^ m),
        );
        assert_eq!(in_http(&masked), FirstBytes::SshInHttp);
        assert_eq!(in_http(b"<p>SSH-2.0-x is a banner"), FirstBytes::Nothing);
    }

    #[test]
    fn version_detection_leaves_marks() {
        let ask = |request: &[u8]| tcp(request, true, FirstBytes::Nothing);
        assert_eq!(
            ask(b"GET /nmaplowercheck1596343808 HTTP/1.1\r\nHost: a\r\n\r\n"),
            FirstBytes::ScanTool
        );
        assert_eq!(
            ask(b"GET / HTTP/1.1\r\nReferer: /nmaplowercheck\r\n\r\n"),
            FirstBytes::Http
        );
    }

    #[test]
    fn a_download_is_known_from_its_middle() {
        let request = [0, 0, 0, 13, 6, 0, 0, 1, 14, 0, 1, 192, 0, 0, 0, 0x40, 0];
        let mine = FirstBytes::Nothing;
        assert_eq!(later(&request, mine, mine), FirstBytes::BitTorrent);
        assert_eq!(later(&[0; 17], mine, mine), FirstBytes::Nothing);
    }

    #[test]
    fn ordinary_first_bytes_are_nothing() {
        assert_eq!(udp(&[0x38; 400], (1, 443)), FirstBytes::Nothing);
        assert_eq!(udp(&[], (1, 500)), FirstBytes::Nothing);
        assert_eq!(
            tcp(&[0x16, 3, 1, 2, 0, 1], true, FirstBytes::Nothing),
            FirstBytes::Tls
        );
    }

    #[test]
    fn every_verdict_has_its_number() {
        for number in 1..9_999 {
            let verdict = FirstBytes::from_number(number);
            assert!(verdict == FirstBytes::Nothing || verdict as u32 == number);
        }
        assert_eq!(FirstBytes::from_number(1) as u32, 1);
        assert_eq!(FirstBytes::from_number(9_999), FirstBytes::Nothing);
    }

    #[test]
    fn failures_of_a_login_are_told_from_greetings() {
        assert_eq!(login(b"530 Login incorrect.\r\n", 21), Some(Login::Failed));
        assert_eq!(login(b"530 Please login with USER and PASS.\r\n", 21), None);
        assert_eq!(login(b"HTTP/1.1 200 OK\r\n", 80), None);
    }
}
