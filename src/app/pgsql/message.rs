//! Messages of PostgreSQL: what is kept of them, and how EVE writes it.

use crate::alert::Json;
use crate::app::reader::Reader;

/// Parameters and fields of one message that are kept.
const PARAMETERS_MAX: usize = 64;

/// A message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Ssl,
    Startup {
        version: u32,
        /// Names and values, `user` first when it is there.
        parameters: Vec<(Vec<u8>, Vec<u8>)>,
    },
    Cancel {
        process: u32,
        key: u32,
    },
    Password,
    SaslInitial {
        mechanism: Vec<u8>,
        parameter: Vec<u8>,
    },
    SaslResponse(Vec<u8>),
    Query(Vec<u8>),
    CopyData {
        count: u64,
        bytes: u64,
    },
    CopyDone,
    CopyFail(Vec<u8>),
    Terminate,
}

/// Types of messages that a client sends.
pub(super) fn is_request(kind: u8) -> bool {
    b"QPBEDCSHFXpdcf".contains(&kind)
}

/// Types of messages that a server sends.
pub(super) fn is_answer(kind: u8) -> bool {
    b"RKSZTDCEINAGHWdc123nstvVI".contains(&kind)
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec()
}

impl Request {
    /// Names and values, each ended by a zero.
    pub fn startup(version: u32, body: &[u8]) -> Self {
        let mut r = Reader::new(body);
        let mut parameters = Vec::new();
        while let Some(name) = r.until(0).filter(|name| !name.is_empty())
            && let Some(value) = r.until(0)
            && parameters.len() < PARAMETERS_MAX
        {
            parameters.push((name.to_vec(), value.to_vec()));
        }
        Self::Startup {
            version,
            parameters,
        }
    }

    pub fn cancel(body: &[u8]) -> Self {
        let mut r = Reader::new(body);
        Self::Cancel {
            process: r.u32().unwrap_or(0),
            key: r.u32().unwrap_or(0),
        }
    }

    /// `sasl`: 1 while the first answer to an offer of SASL is awaited, 2 afterwards.
    pub fn read(kind: u8, body: &[u8], sasl: &mut u8) -> Option<Self> {
        Some(match kind {
            b'Q' => Self::Query(text(body)),
            b'X' => Self::Terminate,
            b'd' => Self::CopyData { count: 0, bytes: 0 },
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(text(body)),
            b'p' if *sasl == 1 => {
                *sasl = 2;
                let mut r = Reader::new(body);
                let mechanism = r.until(0)?.to_vec();
                let _ = r.u32();
                let parameter = r.rest().to_vec();
                Self::SaslInitial {
                    mechanism,
                    parameter,
                }
            }
            b'p' if *sasl == 2 => Self::SaslResponse(body.to_vec()),
            b'p' => Self::Password,
            _ => return None,
        })
    }

    pub fn log(&self, json: &mut Json<'_>) {
        match self {
            Self::Ssl => json.str("message", "SSL Request"),
            Self::Startup {
                version,
                parameters,
            } => {
                json.str(
                    "protocol_version",
                    format!("{}.{}", version >> 16, version & 0xffff),
                )
                .object("startup_parameters");
                if let Some((_, user)) = parameters.iter().find(|(name, _)| name == b"user") {
                    json.str("user", user);
                }
                // Names that EVE knows; others would be members of a client's choosing.
                let mut others = parameters
                    .iter()
                    .filter_map(|(name, value)| Some((startup_name(name)?, value)))
                    .peekable();
                if others.peek().is_some() {
                    json.array("optional_parameters");
                    for (name, value) in others {
                        json.begin().str(name, value).end();
                    }
                    json.end_array();
                }
                json.end()
            }
            Self::Cancel { process, key } => json
                .str("message", "cancel_request")
                .num("process_id", *process)
                .num("secret_key", *key),
            Self::Password => json.bool("password_redacted", true),
            Self::SaslInitial {
                mechanism,
                parameter,
            } => json
                .str("sasl_authentication_mechanism", mechanism_name(mechanism))
                .str("sasl_param", parameter),
            Self::SaslResponse(response) => json.str("sasl_response", response),
            Self::Query(query) => json.str("simple_query", query),
            Self::CopyData { count, bytes } => json
                .object("copy_data_in")
                .num("msg_count", *count)
                .num("data_size", *bytes)
                .end(),
            Self::CopyDone => json.str("message", "copy_done"),
            Self::CopyFail(_) => json.str("message", "copy_fail"),
            Self::Terminate => json.str("message", "termination_message"),
        };
    }
}

/// Parameters of a startup message that EVE has members for.
const STARTUP: [&str; 7] = [
    "application_name",
    "client_encoding",
    "database",
    "datestyle",
    "extra_float_digits",
    "options",
    "replication",
];

fn mechanism_name(mechanism: &[u8]) -> &[u8] {
    match mechanism {
        b"SCRAM-SHA-256" => b"scram_SHA256",
        b"SCRAM-SHA-256-PLUS" => b"scram_SHA256_plus",
        other => other,
    }
}

/// A message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Whether it agrees to encrypt.
    Encryption(bool),
    /// A step of the login, by its number, with its data.
    Authentication(u32, Vec<u8>),
    Parameter(Vec<u8>, Vec<u8>),
    Key {
        process: u32,
        key: u32,
    },
    /// Number of columns.
    Columns(u16),
    CopyIn(u16),
    CopyOut(u16),
    CopyDone,
    Complete(Vec<u8>),
    /// Fields of an error or a notice by their letter.
    Error(Vec<(u8, Vec<u8>)>),
    Notice(Vec<(u8, Vec<u8>)>),
}

impl Answer {
    pub fn read(kind: u8, body: &[u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        Some(match kind {
            b'R' => Self::Authentication(r.u32()?, r.rest().to_vec()),
            b'S' => Self::Parameter(r.until(0)?.to_vec(), text(r.rest())),
            b'K' => Self::Key {
                process: r.u32()?,
                key: r.u32()?,
            },
            b'T' => Self::Columns(r.u16()?),
            b'G' | b'H' => {
                r.skip(1)?;
                let columns = r.u16()?;
                if kind == b'G' {
                    Self::CopyIn(columns)
                } else {
                    Self::CopyOut(columns)
                }
            }
            b'c' => Self::CopyDone,
            b'C' => Self::Complete(text(body)),
            b'E' => Self::Error(fields(r)),
            b'N' => Self::Notice(fields(r)),
            _ => return None,
        })
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// SQLSTATE of an error.
    pub fn sqlstate(&self) -> &[u8] {
        match self {
            Self::Error(fields) => fields
                .iter()
                .find(|(letter, _)| *letter == b'C')
                .map_or(&[], |(_, value)| value),
            _ => &[],
        }
    }

    fn log(&self, json: &mut Json<'_>) {
        match self {
            Self::Encryption(agreed) => {
                json.bool("ssl_accepted", *agreed);
            }
            Self::Authentication(5, salt) => {
                json.str("authentication_md5_password", salt);
            }
            Self::Authentication(12, last) => {
                json.str("authentication_sasl_final", last);
            }
            Self::Authentication(step, _) => {
                let name = match step {
                    0 => "authentication_ok",
                    3 => "authentication_cleartext_password",
                    9 => "authentication_sspi",
                    10 => "authentication_sasl",
                    11 => "authentication_sasl_continue",
                    _ => "authentication_unknown",
                };
                json.str("message", name);
            }
            Self::Key { process, key } => {
                json.num("process_id", *process).num("secret_key", *key);
            }
            Self::Columns(count) => {
                json.num("field_count", *count);
            }
            Self::CopyIn(columns) => {
                json.object("copy_in_response")
                    .num("columns", *columns)
                    .end();
            }
            Self::CopyOut(columns) => {
                json.object("copy_out_response")
                    .num("columns", *columns)
                    .end();
            }
            Self::CopyDone => {
                json.str("message", "copy_done");
            }
            Self::Complete(tag) => {
                json.str("command_completed", tag);
            }
            Self::Error(fields) | Self::Notice(fields) => {
                for (letter, value) in fields {
                    if let Some((_, name)) = FIELDS.iter().find(|(l, _)| l == letter) {
                        json.str(name, value);
                    }
                }
            }
            Self::Parameter(..) => {}
        }
    }
}

/// Letters of error fields (documentation, "Error and Notice Message Fields"), those that EVE has names for.
const FIELDS: [(u8, &str); 7] = [
    (b'S', "severity_localizable"),
    (b'V', "severity_non_localizable"),
    (b'C', "code"),
    (b'M', "message"),
    (b'F', "file"),
    (b'L', "line"),
    (b'R', "routine"),
];

fn fields(mut r: Reader<'_>) -> Vec<(u8, Vec<u8>)> {
    let mut all: Vec<(u8, Vec<u8>)> = Vec::new();
    while let Some(letter) = r.u8().filter(|letter| *letter != 0)
        && let Some(value) = r.until(0)
        && all.len() < PARAMETERS_MAX
    {
        if !all.iter().any(|(known, _)| *known == letter) {
            all.push((letter, value.to_vec()));
        }
    }
    all
}

/// Writes the answers of a transaction; those of a kind once, the parameters as a list.
pub(super) fn log_answers(answers: &[Answer], json: &mut Json<'_>) {
    let mut seen = Vec::new();
    for answer in answers {
        // `message` may come from several kinds.
        let kind = match answer {
            Answer::Authentication(5, _) => (1, 5),
            Answer::Authentication(12, _) => (1, 12),
            Answer::Authentication(..) | Answer::CopyDone => (2, 0),
            Answer::Error(_) | Answer::Notice(_) => (2, 0),
            Answer::Parameter(..) => (3, 0),
            Answer::Encryption(_) => (4, 0),
            Answer::Key { .. } => (5, 0),
            Answer::Columns(_) => (6, 0),
            Answer::CopyIn(_) => (7, 0),
            Answer::CopyOut(_) => (8, 0),
            Answer::Complete(_) => (9, 0),
        };
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        if kind.0 != 3 {
            answer.log(json);
            continue;
        }
        json.array("parameter_status");
        for answer in answers {
            if let Answer::Parameter(name, value) = answer
                && let Some((_, member)) = REPORTED.iter().find(|(known, _)| *known == name)
            {
                json.begin().str(member, value).end();
            }
        }
        json.end_array();
    }
}

/// EVE's name for a parameter that a client sets when it begins.
fn startup_name(name: &[u8]) -> Option<&'static str> {
    let reported = REPORTED.iter().find(|(known, _)| *known == name);
    let known = || STARTUP.iter().find(|known| known.as_bytes() == name);
    reported
        .map(|(_, member)| *member)
        .or_else(|| known().copied())
}

/// Parameters that a server reports, with EVE's names for them.
const REPORTED: [(&[u8], &str); 11] = [
    (b"application_name", "application_name"),
    (b"client_encoding", "client_encoding"),
    (b"DateStyle", "date_style"),
    (b"integer_datetimes", "integer_datetimes"),
    (b"IntervalStyle", "interval_style"),
    (b"is_superuser", "is_superuser"),
    (b"server_encoding", "server_encoding"),
    (b"server_version", "server_version"),
    (b"session_authorization", "session_authorization"),
    (
        b"standard_conforming_strings",
        "standard_conforming_strings",
    ),
    (b"TimeZone", "time_zone"),
];
