//! DNS messages from the wire: header, questions and the three sections of records (RFC 1035 §4).
//!
//! Names are read through compression pointers. Limits: 255 labels and pointers and 1,025 bytes a name (dnsmasq's), and
//! for a whole message 64 Ki labels and 256 KiB of names, so that 64 KiB of records that all point to one long name
//! cost no more than an ordinary message. A name cut by a limit says so; broken authorities or additionals
//! leave what was before them usable.
//!
//! Record types without a form of their own keep their raw data. EDNS options are split (RFC 6891 §6.1.2).

use crate::app::reader::Reader;

/// The fixed header (RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the client, repeated by the server.
    pub id: u16,
    /// `QR opcode AA TC RD RA Z AD CD rcode`, from the high bit.
    pub flags: u16,
    /// Number of questions.
    pub questions: u16,
    /// Number of answers.
    pub answers: u16,
    /// Number of authorities.
    pub authorities: u16,
    /// Number of additionals.
    pub additionals: u16,
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 12;

    /// Reads it.
    pub fn read(r: &mut Reader<'_>) -> Option<Self> {
        let mut field = || r.u16();
        Some(Self {
            id: field()?,
            flags: field()?,
            questions: field()?,
            answers: field()?,
            authorities: field()?,
            additionals: field()?,
        })
    }

    /// Whether it announces a response.
    pub const fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// 4 bits.
    pub const fn opcode(self) -> u8 {
        (self.flags >> 11) as u8 & 0xf
    }

    /// 4 bits.
    pub const fn rcode(self) -> u16 {
        self.flags & 0xf
    }

    /// Whether a message of `len` bytes may have such a header: room for its records, and something asked.
    pub fn is_plausible(self, len: usize) -> bool {
        let records = [
            self.questions,
            self.answers,
            self.authorities,
            self.additionals,
        ];
        let records: usize = records.into_iter().map(usize::from).sum();
        if 2 * records > len || (records == 0 && len > Self::LEN) {
            return false;
        }
        self.is_response() || self.questions != 0
    }
}

/// What was odd about a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddity {
    /// A pointer to itself.
    pub loops: bool,
    /// Cut at a limit.
    pub truncated: bool,
    /// More labels than allowed.
    pub labels: bool,
}

impl Oddity {
    fn add(&mut self, other: Self) {
        self.loops |= other.loops;
        self.truncated |= other.truncated;
        self.labels |= other.labels;
    }
}

/// A name in text: labels joined by dots, no dot at the end, the root empty. Bytes are as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The text.
    pub text: Vec<u8>,
    /// Whether it was cut.
    pub truncated: bool,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked about.
    pub name: Name,
    /// Record type.
    pub rrtype: u16,
    /// Class.
    pub class: u16,
}

/// The data of a record, by type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RData {
    /// A or AAAA: 4 or 16 bytes when it is right.
    Address(Vec<u8>),
    /// CNAME, PTR, MX, NS.
    Name(Name),
    /// TXT: its strings.
    Text(Vec<Vec<u8>>),
    /// NULL: anything.
    Null(Vec<u8>),
    /// SOA.
    Soa {
        /// Primary server.
        mname: Name,
        /// Mailbox of the zone's keeper.
        rname: Name,
        /// Serial, refresh, retry, expire, minimum (seconds but for the first).
        numbers: [u32; 5],
    },
    /// SRV (RFC 2782).
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// Port.
        port: u16,
        /// Host.
        target: Name,
    },
    /// SSHFP (RFC 4255).
    Sshfp {
        /// Key algorithm.
        algorithm: u8,
        /// Digest algorithm.
        kind: u8,
        /// Digest.
        fingerprint: Vec<u8>,
    },
    /// OPT: code and data of each option.
    Opt(Vec<(u16, Vec<u8>)>),
    /// Another type.
    Other(Vec<u8>),
}

impl RData {
    /// The name in it that leads on to another.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Name(name) | Self::Soa { mname: name, .. } => Some(name),
            _ => None,
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Owner.
    pub name: Name,
    /// Type.
    pub rrtype: u16,
    /// Class.
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    /// Data.
    pub data: RData,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Header.
    pub header: Header,
    /// Questions.
    pub questions: Vec<Question>,
    /// Answers.
    pub answers: Vec<Record>,
    /// Authorities.
    pub authorities: Vec<Record>,
    /// Additionals.
    pub additionals: Vec<Record>,
    /// The authorities could not be read (the additionals then are not looked for).
    pub bad_authorities: bool,
    /// The additionals could not be read.
    pub bad_additionals: bool,
    /// What was odd about any of its names.
    pub oddity: Oddity,
}

impl Message {
    /// Reads a whole message; `None` when its questions or answers cannot be read.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let header = Header::read(&mut r)?;
        let mut parse = Parse {
            r,
            oddity: Oddity::default(),
            labels: LABELS_MAX,
            names: NAME_BYTES_MAX,
        };
        let mut questions = Vec::new();
        for _ in 0..header.questions {
            questions.push(parse.question()?);
        }
        let answers = parse.section(header.answers)?;
        let mut message = Self {
            header,
            questions,
            answers,
            ..Self::default()
        };
        match parse.section(header.authorities) {
            Some(records) => message.authorities = records,
            None => message.bad_authorities = true,
        }
        if !message.bad_authorities {
            match parse.section(header.additionals) {
                Some(records) => message.additionals = records,
                None => message.bad_additionals = true,
            }
        }
        message.oddity = parse.oddity;
        Some(message)
    }

    /// Looks at the first bytes of a message of `len` bytes: is it DNS? All of it is read when all is there.
    pub fn probe(bytes: &[u8], len: usize) -> Option<Header> {
        let header = Header::read(&mut Reader::new(bytes))?;
        let whole = bytes.get(..len);
        (header.is_plausible(len) && whole.is_none_or(|b| Self::read(b).is_some()))
            .then_some(header)
    }
}

const LABELS_MAX: u32 = 65_536;
const NAME_BYTES_MAX: usize = 256 * 1024;
const NAME_MAX: usize = 1025;
const STEPS_MAX: u32 = 255;

struct Parse<'a> {
    r: Reader<'a>,
    oddity: Oddity,
    /// Labels and pointers that may still be followed in the message.
    labels: u32,
    /// Bytes of names that may still be kept of the message.
    names: usize,
}

impl Parse<'_> {
    /// Reads the name at the position; the position moves behind it, or behind its first pointer.
    fn name(&mut self) -> Option<Name> {
        let mut text = Vec::with_capacity(32);
        let mut odd = Oddity::default();
        let mut at = self.r;
        let mut after: Option<Reader<'_>> = None;
        let mut steps = 0;
        while let Some(byte) = at.peek() {
            match byte >> 6 {
                0 if byte == 0 => {
                    at.skip(1)?;
                    break;
                }
                0 => {
                    let label = at.counted8()?;
                    if !odd.truncated {
                        if !text.is_empty() {
                            text.push(b'.');
                        }
                        text.extend_from_slice(label);
                    }
                }
                // RFC 1035 §4.1.4: two high bits, then the offset from the start of the message.
                3 => {
                    let here = at.position();
                    let offset = usize::from(at.u16()? & 0x3fff);
                    if offset > at.all().len() {
                        return None;
                    }
                    if offset == here {
                        odd.loops = true;
                        self.oddity.add(odd);
                        after?;
                        break;
                    }
                    after.get_or_insert(at);
                    at = Reader::starting(at.all(), offset);
                }
                _ => return None,
            }
            steps += 1;
            self.labels = self.labels.saturating_sub(1);
            if steps > STEPS_MAX || self.labels == 0 {
                odd.labels = true;
                self.oddity.add(odd);
                after?;
                odd.truncated = true;
                break;
            }
            if text.len() > NAME_MAX.min(self.names) {
                text.truncate(NAME_MAX.min(self.names));
                odd.truncated = true;
                if after.is_some() {
                    break;
                }
            }
        }
        self.names = self.names.saturating_sub(text.len());
        self.oddity.add(odd);
        self.r = after.unwrap_or(at);
        Some(Name {
            text,
            truncated: odd.truncated,
        })
    }

    fn question(&mut self) -> Option<Question> {
        Some(Question {
            name: self.name()?,
            rrtype: self.r.u16()?,
            class: self.r.u16()?,
        })
    }

    fn section(&mut self, count: u16) -> Option<Vec<Record>> {
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Option<Record> {
        let name = self.name()?;
        let (rrtype, class, ttl) = (self.r.u16()?, self.r.u16()?, self.r.u32()?);
        let len = usize::from(self.r.u16()?);
        let start = self.r.position();
        let end = start
            .checked_add(len)
            .filter(|end| *end <= self.r.all().len())?;
        // Names in the data may point anywhere in the message, so it is read in place, but not beyond its end.
        let whole = std::mem::replace(&mut self.r, Reader::new(&[]));
        self.r = Reader::starting(whole.all().get(..end)?, start);
        let data = self.data(rrtype)?;
        self.r = Reader::starting(whole.all(), end);
        Some(Record {
            name,
            rrtype,
            class,
            ttl,
            data,
        })
    }

    fn data(&mut self, rrtype: u16) -> Option<RData> {
        Some(match rrtype {
            A | AAAA => RData::Address(self.r.take_rest().to_vec()),
            NS | CNAME | PTR => RData::Name(self.name()?),
            MX => {
                self.r.u16()?;
                RData::Name(self.name()?)
            }
            SOA => {
                let (mname, rname) = (self.name()?, self.name()?);
                let mut number = || self.r.u32();
                RData::Soa {
                    mname,
                    rname,
                    numbers: [number()?, number()?, number()?, number()?, number()?],
                }
            }
            TXT => {
                let mut strings = Vec::new();
                while !self.r.is_empty() {
                    strings.push(self.r.counted8()?.to_vec());
                }
                RData::Text(strings)
            }
            NULL => RData::Null(self.r.take_rest().to_vec()),
            SRV => RData::Srv {
                priority: self.r.u16()?,
                weight: self.r.u16()?,
                port: self.r.u16()?,
                target: self.name()?,
            },
            SSHFP => RData::Sshfp {
                algorithm: self.r.u8()?,
                kind: self.r.u8()?,
                fingerprint: self.r.take_rest().to_vec(),
            },
            OPT => {
                let mut options = Vec::new();
                while !self.r.is_empty() {
                    options.push((self.r.u16()?, self.r.counted16()?.to_vec()));
                }
                RData::Opt(options)
            }
            _ => RData::Other(self.r.take_rest().to_vec()),
        })
    }
}

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const NULL: u16 = 10;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const OPT: u16 = 41;
const SSHFP: u16 = 44;

/// Names of the record types (IANA), as EVE prints them.
pub static RRTYPES: &[(&str, u64)] = &[
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("WKS", 11),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("NSAP", 22),
    ("NSAPPTR", 23),
    ("SIG", 24),
    ("KEY", 25),
    ("PX", 26),
    ("GPOS", 27),
    ("AAAA", 28),
    ("LOC", 29),
    ("NXT", 30),
    ("SRV", 33),
    ("ATMA", 34),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("A6", 38),
    ("DNAME", 39),
    ("OPT", 41),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("HIP", 55),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("HTTPS", 65),
    ("SPF", 99),
    ("TKEY", 249),
    ("TSIG", 250),
    ("MAILA", 254),
    ("ANY", 255),
    ("URI", 256),
];

/// Names of the response codes (IANA), as EVE prints them.
pub static RCODES: &[(&str, u64)] = &[
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
    ("BADVERS", 16),
    ("BADKEY", 17),
    ("BADTIME", 18),
    ("BADMODE", 19),
    ("BADNAME", 20),
    ("BADALG", 21),
    ("BADTRUNC", 22),
];

/// The name of a value, when it has one.
pub fn name_of(names: &'static [(&'static str, u64)], value: u16) -> Option<&'static str> {
    names
        .iter()
        .find(|(_, v)| *v == u64::from(value))
        .map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(counts: [u16; 4], flags: u16) -> Vec<u8> {
        let mut m = vec![0x12, 0x34];
        m.extend(flags.to_be_bytes());
        counts.iter().for_each(|c| m.extend(c.to_be_bytes()));
        m
    }

    #[test]
    fn pointers_are_followed_and_the_rest_goes_on_behind_the_first() {
        let mut m = header([1, 1, 0, 0], 0x8180);
        m.extend(b"\x03www\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x07\x04mail\xc0\x10");
        let message = Message::read(&m).unwrap();
        assert_eq!(message.questions[0].name.text, b"www.example");
        assert_eq!(message.answers[0].name.text, b"www.example");
        assert_eq!(
            message.answers[0].data.name().unwrap().text,
            b"mail.example"
        );
        assert_eq!(message.oddity, Oddity::default());
    }

    #[test]
    fn a_pointer_to_itself_ends_the_name_and_is_told() {
        let mut m = header([1, 1, 0, 0], 0x8180);
        m.extend(b"\x01a\x00\x00\x01\x00\x01\x01b\xc0\x15\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x00");
        // Offset 0x15 is the pointer itself: never followed, nothing known about what comes after a first pointer.
        assert_eq!(Message::read(&m), None);
        m.truncate(19);
        m.extend(b"\x00\xc0\x0c");
        assert!(Message::read(&m).is_none());
    }

    #[test]
    fn two_pointers_that_chase_each_other_hit_the_label_limit() {
        let mut m = header([1, 0, 0, 0], 0x0100);
        m.extend(b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01");
        let message = Message::read(&m).unwrap();
        assert!(message.oddity.labels && message.oddity.truncated);
    }

    #[test]
    fn many_records_pointing_to_a_long_name_stay_bounded() {
        let mut m = header([1, 4000, 0, 0], 0x8180);
        for _ in 0..15 {
            m.push(63);
            m.extend([b'x'; 63]);
        }
        m.extend(b"\x00\x00\x01\x00\x01");
        for _ in 0..4000 {
            m.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x00");
        }
        let message = Message::read(&m).unwrap();
        let kept: usize = message.answers.iter().map(|r| r.name.text.len()).sum();
        assert!(kept <= NAME_BYTES_MAX, "{kept}");
        assert!(message.oddity.truncated);
    }

    #[test]
    fn broken_additionals_leave_the_answers() {
        let mut m = header([1, 0, 0, 1], 0x8180);
        m.extend(b"\x01a\x00\x00\x01\x00\x01\x00\x00\x29\xff");
        let message = Message::read(&m).unwrap();
        assert!(
            message.bad_additionals && !message.bad_authorities && message.questions.len() == 1
        );
    }
}
