//! Countries of addresses (`geoip`), from a database in MaxMind's format: GeoLite2-Country, GeoIP2, DB-IP and the like.
//!
//! Reading of the file is the `maxminddb` crate's. The database is read once, when rules are loaded. Suricata looks at IPv4
//! only; here a database that has IPv6 is asked for that, too.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use maxminddb::{PathElement, Reader};

use super::reputation::Ends;

/// A database of countries.
pub struct Countries {
    reader: Reader<Vec<u8>>,
}

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Countries({})", self.reader.metadata().database_type)
    }
}

/// ISO 3166-1 alpha-2.
pub type Country = [u8; 2];

impl Countries {
    /// Reads a database.
    pub fn load(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
        Self::parse(bytes).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|why| why.to_string())?;
        Ok(Self { reader })
    }

    /// The country of an address; `None` when the database does not know.
    pub fn of(&self, address: IpAddr) -> Option<Country> {
        let found = self.reader.lookup(address).ok()?;
        let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let code: &str = found.decode_path(&path).ok()??;
        code.as_bytes().try_into().ok()
    }
}

/// `geoip`.
#[derive(Clone, Debug)]
pub struct CountryTest {
    /// Of whom.
    pub ends: Ends,
    /// One of these.
    pub countries: Vec<Country>,
    /// A known one that is none of these.
    pub negate: bool,
    /// The database.
    pub database: Arc<Countries>,
}

impl PartialEq for CountryTest {
    fn eq(&self, other: &Self) -> bool {
        (self.ends, &self.countries, self.negate) == (other.ends, &other.countries, other.negate)
    }
}

impl CountryTest {
    /// Whether it holds. What is in no country fits neither way.
    pub fn holds(&self, src: IpAddr, dst: IpAddr) -> bool {
        self.ends.hold(src, dst, |address| {
            let country = self.database.of(address);
            country.is_some_and(|country| self.countries.contains(&country) != self.negate)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A database with one network, 192.0.2.0/24 in DE: a tree of 24 nodes with records of 24 bits, the data, and what the
    /// database is.
    pub fn database() -> Vec<u8> {
        let mut bytes = Vec::new();
        let (nodes, network) = (24_u32, 0xc000_0200_u32);
        for node in 0..nodes {
            let bit = network >> (31 - node) & 1;
            // The first thing of the data lies 16 bytes behind the tree.
            let next = if node + 1 == nodes {
                nodes + 16
            } else {
                node + 1
            };
            for side in 0..2 {
                let record = if side == bit { next } else { nodes };
                bytes.extend_from_slice(&record.to_be_bytes()[1..]);
            }
        }
        bytes.extend_from_slice(&[0; 16]);
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.push(0x40 | text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        };
        bytes.push(0xe1);
        text(&mut bytes, "country");
        bytes.push(0xe1);
        text(&mut bytes, "iso_code");
        text(&mut bytes, "DE");
        bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        bytes.push(0xe9);
        let number = |bytes: &mut Vec<u8>, name: &str, kind: u8, value: u8| {
            text(bytes, name);
            // uint16 is type 5, uint32 type 6.
            bytes.extend_from_slice(&[kind << 5 | 1, value]);
        };
        number(&mut bytes, "node_count", 6, 24);
        number(&mut bytes, "record_size", 5, 24);
        number(&mut bytes, "ip_version", 5, 4);
        text(&mut bytes, "database_type");
        text(&mut bytes, "Test");
        text(&mut bytes, "languages");
        bytes.extend_from_slice(&[0x00, 0x04]);
        number(&mut bytes, "binary_format_major_version", 5, 2);
        number(&mut bytes, "binary_format_minor_version", 5, 0);
        text(&mut bytes, "build_epoch");
        bytes.extend_from_slice(&[0x01, 0x02, 1]);
        text(&mut bytes, "description");
        bytes.push(0xe0);
        bytes
    }

    #[test]
    fn an_address_is_in_its_country() {
        let database = Arc::new(Countries::parse(database()).unwrap());
        let inside = IpAddr::from([192, 0, 2, 77]);
        let outside = IpAddr::from([192, 0, 3, 1]);
        assert_eq!(database.of(inside), Some(*b"DE"));
        assert_eq!(database.of(outside), None);
        assert_eq!(database.of("2001:db8::1".parse().unwrap()), None);
        let test = |ends, country: &Country, negate| CountryTest {
            ends,
            countries: vec![*b"FR", *country],
            negate,
            database: Arc::clone(&database),
        };
        assert!(test(Ends::Any, b"DE", false).holds(outside, inside));
        assert!(!test(Ends::Both, b"DE", false).holds(outside, inside));
        assert!(!test(Ends::Source, b"NL", true).holds(outside, inside));
        assert!(test(Ends::Destination, b"NL", true).holds(outside, inside));
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(Countries::parse(b"nothing".to_vec()).is_err());
    }
}
