//! The list of protocols: one line each.

use super::{AppProto, Protocol};

/// Every protocol, in the order of their numbers. Files add themselves here.
pub static PROTOCOLS: &[&dyn Protocol] = &[
    &super::dns::DNS,
    &super::dns::MDNS,
    &super::dns::LLMNR,
    &super::tls::TLS,
    &super::ssh::SSH,
    &super::http1::HTTP,
    &super::http2::HTTP2,
    &super::websocket::WEBSOCKET,
    &super::mqtt::MQTT,
    &super::ldap::LDAP,
    &super::ftp::FTP,
    &super::ftp::data::FTP_DATA,
    &super::dcerpc::DCERPC,
    &super::smb::SMB,
    &super::quic::QUIC,
    &super::snmp::SNMP,
    &super::krb5::KRB5,
    &super::smtp::SMTP,
    &super::tftp::TFTP,
    &super::sip::SIP,
    &super::rfb::RFB,
    &super::dhcp::DHCP,
    &super::pop3::POP3,
    &super::imap::IMAP,
    &super::telnet::TELNET,
    &super::mysql::MYSQL,
    &super::pgsql::PGSQL,
    &super::rdp::RDP,
    &super::http2::DOH2,
    &super::bittorrent_dht::BITTORRENT_DHT,
    &super::ntp::NTP,
    &super::nfs::NFS,
    &super::ike::IKE,
    &super::modbus::MODBUS,
    &super::dnp3::DNP3,
    &super::enip::ENIP,
];

/// The protocol of a number.
pub fn protocol(proto: AppProto) -> Option<&'static dyn Protocol> {
    PROTOCOLS.get(usize::from(proto.0)).copied()
}

/// The number of a protocol by its name (EVE's `app_proto`).
pub fn number(name: &str) -> AppProto {
    PROTOCOLS
        .iter()
        .position(|p| p.name() == name)
        .and_then(|i| u8::try_from(i).ok())
        .map_or(AppProto::UNKNOWN, AppProto)
}

/// The protocol whose events and frames a protocol gives: its own, but those of HTTP/2 when DNS is inside of it.
pub fn events_of(proto: AppProto) -> AppProto {
    match protocol(proto) {
        Some(known) if known.name() == "doh2" => number("http2"),
        _ => proto,
    }
}

/// The protocols that raise a protocol's events.
pub fn raising(proto: AppProto) -> impl Iterator<Item = AppProto> {
    PROTOCOLS
        .iter()
        .map(|p| p.proto())
        .filter(move |other| events_of(*other) == events_of(proto))
}

/// The protocols a name in a rule header means (`http` means HTTP/1 and HTTP/2).
pub fn named(name: &str) -> impl Iterator<Item = &'static dyn Protocol> + '_ {
    PROTOCOLS
        .iter()
        .copied()
        .filter(move |p| p.name() == name || p.aliases().contains(&name))
}
