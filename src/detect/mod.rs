//! Detection: signatures over packets, streams and transactions ([`signature`]), and behaviour of hosts ([`anomaly`]).

pub mod anomaly;
pub mod signature;
