//! The text of a message.

use std::io::Write;

use crate::alert::{Alert, Level};
use crate::packet::Timestamp;
use crate::sink::eve::{self, EveSettings};

/// Longest message: what RFC 5425 asks receivers to take.
const STREAM_BYTES_MAX: usize = 8_192;
/// Longest message in a datagram: what RFC 5426 asks receivers to take.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// local5.
const FACILITY: u8 = 21;
/// Enterprise number for documentation (RFC 5612) until there is one of our own.
const SD_ID: &str = "sekisho@32473";

/// Which form, and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 5424 over a stream.
    Stream,
    /// RFC 5424 in a datagram.
    Datagram,
    /// What the C library writes to the local socket.
    Local,
}

/// Makes messages.
#[derive(Debug)]
pub struct Messages {
    format: Format,
    host: String,
    process: u32,
    eve: EveSettings,
    sequence: u64,
    json: Vec<u8>,
}

impl Messages {
    /// For a host name (made printable, at most 255 characters).
    pub fn new(format: Format, host: &str, process: u32) -> Self {
        let host: String = host
            .chars()
            .filter(|c| c.is_ascii_graphic())
            .take(255)
            .collect();
        let host = if host.is_empty() {
            "-".to_owned()
        } else {
            host
        };
        Self {
            format,
            host,
            process,
            eve: EveSettings::default(),
            sequence: 0,
            json: Vec::new(),
        }
    }

    /// The message of an alert.
    pub fn alert(&mut self, alert: &Alert<'_>) -> Vec<u8> {
        self.sequence += 1;
        let most = if self.format == Format::Stream {
            STREAM_BYTES_MAX
        } else {
            DATAGRAM_BYTES_MAX
        };
        let mut out = Vec::with_capacity(1024);
        self.head(&mut out, alert);
        let room = most.saturating_sub(out.len());
        self.json.clear();
        eve::alert::compose(&mut self.json, &self.eve, alert);
        if ascii_len(&self.json) > room {
            self.json.clear();
            eve::alert::compose(
                &mut self.json,
                &self.eve,
                &Alert {
                    tail: b"",
                    ..alert.clone()
                },
            );
        }
        if ascii_len(&self.json) > room {
            self.json.clear();
            let bare = Alert {
                tail: b"",
                evidence: b"",
                metadata: Vec::new(),
                ..alert.clone()
            };
            eve::alert::compose(&mut self.json, &self.eve, &bare);
        }
        ascii(&self.json, &mut out);
        if out.len() > most {
            // Not even the bare alert fits (absurd message texts): the header and its structured data say what counts.
            out.truncate(out.len() - ascii_len(&self.json));
            out.extend_from_slice(b"{}");
        }
        out
    }

    /// A sign of life: the EVE line of the heartbeat, numbered as all messages are.
    pub fn heartbeat(&mut self, ts: Timestamp, line: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let mut out = Vec::with_capacity(512);
        let data = format!("type=\"heartbeat\" seq=\"{}\"", self.sequence);
        // 6: informational.
        self.head_of(&mut out, 6, ts, ("heartbeat", &data));
        ascii(line, &mut out);
        out
    }

    fn head(&self, out: &mut Vec<u8>, alert: &Alert<'_>) {
        let severity = match alert.level {
            Level::Red => 2,
            Level::Orange => 4,
            Level::Yellow => 5,
            Level::Green => 6,
        };
        let id = format!("{}-{}", alert.gid, alert.sid);
        let data = format!(
            "level=\"{}\" sid=\"{}\" seq=\"{}\" efficacy=\"{}\"",
            alert.level.as_str(),
            alert.sid,
            self.sequence,
            alert.efficacy.as_str(),
        );
        self.head_of(out, severity, alert.finding.ts, (&id, &data));
    }

    /// The header, with the message's id and its structured data.
    fn head_of(&self, out: &mut Vec<u8>, severity: u8, ts: Timestamp, (id, data): (&str, &str)) {
        let priority = FACILITY * 8 + severity;
        let _ = match self.format {
            Format::Local => {
                let (_, month, day, h, m, s) = ts.civil();
                const MONTHS: [&str; 12] = [
                    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
                    "Dec",
                ];
                let month = MONTHS.get(month as usize - 1).copied().unwrap_or("Jan");
                write!(
                    out,
                    "<{priority}>{month} {day:2} {h:02}:{m:02}:{s:02} sekisho[{}]: ",
                    self.process
                )
            }
            _ => write!(
                out,
                "<{priority}>1 {} {} sekisho {} {id} [{SD_ID} {data}] ",
                rfc3339(ts),
                self.host,
                self.process,
            ),
        };
    }
}

/// RFC 5424's TIMESTAMP: six digits, `Z` (nine digits break rsyslog, EVE's zone without colon breaks both).
fn rfc3339(ts: Timestamp) -> String {
    let eve = ts.eve();
    let text = std::str::from_utf8(&eve).unwrap_or_default();
    format!("{}Z", text.get(..26).unwrap_or_default())
}

/// JSON with everything that is not ASCII escaped.
fn ascii(json: &[u8], out: &mut Vec<u8>) {
    for chunk in json.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii() {
                out.push(c as u8);
            } else {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

fn ascii_len(json: &[u8]) -> usize {
    let wide = |c: char| if c.is_ascii() { 1 } else { 6 * c.len_utf16() };
    json.utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars())
        .map(wide)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_beyond_ascii_is_escaped_and_its_length_foretold() {
        let json = "{\"a\":\"é😀b\"}".as_bytes();
        let mut out = Vec::new();
        ascii(json, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "{\"a\":\"\\u00e9\\ud83d\\ude00b\"}"
        );
        assert_eq!(out.len(), ascii_len(json));
    }

    #[test]
    fn the_timestamp_has_six_digits_and_a_z() {
        assert_eq!(
            rfc3339(Timestamp::new(1_256_000_000, 83_524_000)),
            "2009-10-20T00:53:20.083524Z"
        );
    }
}
