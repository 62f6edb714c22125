//! Reputations of addresses (`iprep`): which categories an address is in, with a score.
//!
//! Categories: `number,short name,description` a line, numbers 0 to 59. Reputations: `address or network,category,score` a
//! line, scores 0 to 127. An address of its own goes before networks, a longer prefix before a shorter one, each by
//! category. Lines that begin with `#` or a blank are passed over; the first line of a file may name the columns.
//!
//! Limits: [`ENTRIES_MAX`] addresses and networks.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// Categories (Suricata's SREP_MAX_CATS).
const CATEGORIES_MAX: u8 = 60;

/// Highest score (Suricata's SREP_MAX_VAL).
pub const SCORE_MAX: u8 = 127;

/// Addresses and networks of all files.
const ENTRIES_MAX: usize = 10_000_000;

/// Where reputations are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReputationSettings {
    /// The categories.
    pub categories: Option<PathBuf>,
    /// Folder of the files.
    pub folder: PathBuf,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// A network of one category: prefix length (of 128 bits), category, first address.
type Network = (u8, u8, u128);

/// All reputations.
#[derive(Debug, Default)]
pub struct Reputations {
    categories: HashMap<String, u8, foldhash::fast::FixedState>,
    hosts: HashMap<(u8, u128), u8, foldhash::fast::RandomState>,
    /// Addresses of `hosts`.
    listed: HashSet<u128, foldhash::fast::RandomState>,
    networks: HashMap<Network, u8, foldhash::fast::RandomState>,
    /// Prefix lengths that occur, the longest first.
    lengths: Vec<u8>,
}

impl Reputations {
    /// Reads all files.
    pub fn load(settings: &ReputationSettings) -> Result<Self, String> {
        let path = settings.categories.as_deref();
        let path = path.ok_or("needs categories (reputation-categories-file)")?;
        if settings.files.is_empty() {
            return Err("needs lists of addresses (reputation-files)".into());
        }
        let mut this = Self::default();
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
        };
        let named =
            |path: &Path, (line, why): (usize, String)| format!("{}:{line}: {why}", path.display());
        this.read_categories(&read(path)?)
            .map_err(|wrong| named(path, wrong))?;
        for file in &settings.files {
            let path = settings.folder.join(file);
            this.read_scores(&read(&path)?)
                .map_err(|wrong| named(&path, wrong))?;
        }
        this.lengths = this.networks.keys().map(|(len, ..)| *len).collect();
        this.lengths.sort_unstable_by(|a, b| b.cmp(a));
        this.lengths.dedup();
        Ok(this)
    }

    fn read_categories(&mut self, text: &str) -> Result<(), (usize, String)> {
        for (at, line) in lines(text) {
            let mut parts = line.splitn(3, ',').map(str::trim);
            let number = parts.next().and_then(|n| n.parse::<u8>().ok());
            let (Some(number), Some(name)) = (number, parts.next()) else {
                return Err((at, "is not NUMBER,NAME,DESCRIPTION".into()));
            };
            if number >= CATEGORIES_MAX {
                return Err((at, format!("categories are below {CATEGORIES_MAX}")));
            }
            self.categories.insert(name.to_owned(), number);
        }
        Ok(())
    }

    fn read_scores(&mut self, text: &str) -> Result<(), (usize, String)> {
        for (at, line) in lines(text) {
            let parts: Vec<&str> = line.splitn(4, ',').map(str::trim).collect();
            if parts.first() == Some(&"ip") {
                continue;
            }
            let [address, category, score, ..] = parts.as_slice() else {
                return Err((at, "is not ADDRESS,CATEGORY,SCORE".into()));
            };
            let category = category.parse().ok().filter(|c| *c < CATEGORIES_MAX);
            let category =
                category.ok_or((at, format!("categories are below {CATEGORIES_MAX}")))?;
            let score = score.parse().ok().filter(|s| *s <= SCORE_MAX);
            let score = score.ok_or((at, format!("scores are 0 to {SCORE_MAX}")))?;
            let (address, length) = match address.split_once('/') {
                Some((address, length)) => (address, Some(length)),
                None => (*address, None),
            };
            let wrong = || (at, format!("\"{address}\" is not an address or network"));
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            if self.hosts.len() + self.networks.len() >= ENTRIES_MAX {
                return Err((at, format!("more than {ENTRIES_MAX} addresses")));
            }
            match length {
                None => {
                    self.hosts.insert((category, bits(address)), score);
                    self.listed.insert(bits(address));
                }
                Some(length) => {
                    let whole = if address.is_ipv4() { 32 } else { 128 };
                    let length = length.parse::<u8>().ok().filter(|l| *l <= whole);
                    let length = length.ok_or_else(wrong)? + (128 - whole);
                    let first = bits(address) & mask(length);
                    self.networks.insert((length, category, first), score);
                }
            }
        }
        Ok(())
    }

    /// The number of a category.
    pub fn category(&self, name: &str) -> Option<u8> {
        self.categories.get(name).copied()
    }

    /// The score of an address in a category.
    pub fn score(&self, address: IpAddr, category: u8) -> Option<u8> {
        let address = bits(address);
        // As Suricata has it: an address that is listed by itself in any category has the score 0 in the others.
        let own = self.hosts.get(&(category, address));
        let own = own.or_else(|| self.listed.contains(&address).then_some(&0));
        let of_network = || {
            self.lengths
                .iter()
                .find_map(|len| self.networks.get(&(*len, category, address & mask(*len))))
        };
        own.or_else(of_network).copied()
    }
}

/// IPv4 as the IPv6 addresses that stand for them, which no IPv6 packet carries.
fn bits(address: IpAddr) -> u128 {
    u128::from(match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4),
        IpAddr::V6(v6) => v6,
    })
}

fn mask(length: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(length.min(128)))
        .unwrap_or(0)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with([' ', '\t', '#', '\r']))
        .map(|(at, line)| (at + 1, line.trim_end()))
}

/// Which end of a packet is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// One of them is enough.
    Any,
    /// The source.
    Source,
    /// The destination.
    Destination,
    /// Both.
    Both,
}

impl Ends {
    /// From its name in rules.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "src" => Self::Source,
            "dst" => Self::Destination,
            "both" => Self::Both,
            _ => return None,
        })
    }

    /// Whether it holds for the ends asked about.
    pub fn hold(self, src: IpAddr, dst: IpAddr, mut test: impl FnMut(IpAddr) -> bool) -> bool {
        match self {
            Self::Any => test(src) || test(dst),
            Self::Source => test(src),
            Self::Destination => test(dst),
            Self::Both => test(src) && test(dst),
        }
    }
}

/// `iprep`.
#[derive(Clone, Debug)]
pub struct ReputationTest {
    /// Of whom.
    pub ends: Ends,
    /// In which category.
    pub category: u8,
    /// The score wanted; `None`: none at all (`isnotset`).
    pub score: Option<super::ir::Compare>,
    /// All scores.
    pub all: std::sync::Arc<Reputations>,
}

impl PartialEq for ReputationTest {
    fn eq(&self, other: &Self) -> bool {
        (self.ends, self.category, self.score) == (other.ends, other.category, other.score)
    }
}

impl ReputationTest {
    /// Whether it holds.
    pub fn holds(&self, src: IpAddr, dst: IpAddr) -> bool {
        self.ends.hold(src, dst, |address| {
            let score = self.all.score(address, self.category);
            match self.score {
                Some(wanted) => score.is_some_and(|score| wanted.test(score.into())),
                None => score.is_none(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scores: &str) -> Result<Reputations, (usize, String)> {
        let mut all = Reputations::default();
        all.read_categories("# numbers\n1,BadHosts,Known bad hosts\n2,Google,\n")?;
        all.read_scores(scores)?;
        all.lengths = vec![128, 120, 112, 96];
        Ok(all)
    }

    #[test]
    fn an_address_goes_before_its_network() {
        let all = read(
            "ip,category,score\n192.0.2.1,1,10\n192.0.2.0/24,1,88\n192.0.0.0/16,2,5\n2001:db8::/32,1,7\n",
        )
        .unwrap();
        let of = |text: &str, category| all.score(text.parse().unwrap(), category);
        assert_eq!(of("192.0.2.1", 1), Some(10));
        assert_eq!(of("192.0.2.2", 1), Some(88));
        assert_eq!(of("192.0.3.2", 1), None);
        assert_eq!(of("192.0.2.1", 2), Some(0));
        assert_eq!(of("192.0.2.7", 2), Some(5));
        assert_eq!(all.category("BadHosts"), Some(1));
    }

    #[test]
    fn wrong_lines_are_named() {
        assert_eq!(read("192.0.2.1,1\n").unwrap_err().0, 1);
        assert_eq!(read("\n192.0.2.1,60,1\n").unwrap_err().0, 2);
        assert_eq!(read("192.0.2.1,1,128\n").unwrap_err().0, 1);
        assert_eq!(read("192.0.2.0/33,1,1\n").unwrap_err().0, 1);
    }
}
