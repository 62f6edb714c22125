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

/// The protocols a name in a rule header means (`http` means HTTP/1 and HTTP/2).
pub fn named(name: &str) -> impl Iterator<Item = &'static dyn Protocol> + '_ {
    PROTOCOLS
        .iter()
        .copied()
        .filter(move |p| p.name() == name || p.aliases().contains(&name))
}
