//! Descriptions of sessions, as SIP carries them (RFC 4566).

use crate::alert::Json;

/// A description: lines of one letter each, in their prescribed order.
#[derive(Debug, Default)]
pub(super) struct Sdp {
    pub(super) origin: Vec<u8>,
    pub(super) session_name: Vec<u8>,
    pub(super) session_info: Option<Vec<u8>>,
    pub(super) uri: Option<Vec<u8>>,
    pub(super) email: Option<Vec<u8>>,
    pub(super) phone: Option<Vec<u8>>,
    pub(super) connection: Option<Vec<u8>>,
    pub(super) bandwidths: Vec<Vec<u8>>,
    /// Time, and when it repeats.
    pub(super) times: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) timezone: Option<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) attributes: Vec<Vec<u8>>,
    pub(super) media: Vec<Media>,
}

/// A medium of it.
#[derive(Debug, Default)]
pub(super) struct Media {
    pub(super) media: Vec<u8>,
    pub(super) info: Option<Vec<u8>>,
    pub(super) connection: Option<Vec<u8>>,
    pub(super) bandwidths: Vec<Vec<u8>>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) attributes: Vec<Vec<u8>>,
}

/// Lines read.
const LINES_MAX: usize = 1024;

/// Lines not taken yet.
struct Lines<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Lines<'a> {
    /// The next line's letter and value, with what follows it.
    fn peek(&self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let (line, next) = self.rest.split_at_checked(end)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [letter, b'=', value @ ..] if self.left > 0 => Some((*letter, value, next.get(1..)?)),
            _ => None,
        }
    }

    fn take(&mut self, letter: u8) -> Option<Vec<u8>> {
        let (found, value, next) = self.peek()?;
        (found == letter).then(|| {
            self.rest = next;
            self.left -= 1;
            value.to_vec()
        })
    }

    fn all(&mut self, letter: u8) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.take(letter)).collect()
    }
}

impl Sdp {
    /// Reads a body; `None` when it is no description.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut lines = Lines {
            rest: body,
            left: LINES_MAX,
        };
        lines.take(b'v').filter(|v| v == b"0")?;
        let mut sdp = Self {
            origin: lines.take(b'o')?,
            session_name: lines.take(b's')?,
            session_info: lines.take(b'i'),
            uri: lines.take(b'u'),
            email: lines.take(b'e'),
            phone: lines.take(b'p'),
            connection: lines.take(b'c'),
            bandwidths: lines.all(b'b'),
            ..Self::default()
        };
        while let Some(time) = lines.take(b't') {
            sdp.times.push((time, lines.take(b'r')));
        }
        if sdp.times.is_empty() {
            return None;
        }
        sdp.timezone = lines.take(b'z');
        sdp.key = lines.take(b'k');
        sdp.attributes = lines.all(b'a');
        while let Some(media) = lines.take(b'm') {
            sdp.media.push(Media {
                media,
                info: lines.take(b'i'),
                connection: lines.take(b'c'),
                bandwidths: lines.all(b'b'),
                key: lines.take(b'k'),
                attributes: lines.all(b'a'),
            });
        }
        Some(sdp)
    }

    /// `"sdp":{…}`.
    pub(super) fn log(&self, json: &mut Json<'_>) {
        json.object("sdp")
            .str("origin", &self.origin)
            .str("session_name", &self.session_name);
        optional("session_info", self.session_info.as_ref(), json);
        optional("uri", self.uri.as_ref(), json);
        optional("email", self.email.as_ref(), json);
        optional("phone_number", self.phone.as_ref(), json);
        optional("connection_data", self.connection.as_ref(), json);
        list("bandwidths", &self.bandwidths, json);
        json.array("time_descriptions");
        for (time, repeat) in &self.times {
            json.begin().str("time", time);
            optional("repeat_time", repeat.as_ref(), json);
            json.end();
        }
        json.end_array();
        optional("timezone", self.timezone.as_ref(), json);
        optional("encryption_key", self.key.as_ref(), json);
        list("attributes", &self.attributes, json);
        if !self.media.is_empty() {
            json.array("media_descriptions");
            for media in &self.media {
                json.begin().str("media", &media.media);
                optional("media_info", media.info.as_ref(), json);
                list("bandwidths", &media.bandwidths, json);
                optional("connection_data", media.connection.as_ref(), json);
                optional("encryption_key", media.key.as_ref(), json);
                list("attributes", &media.attributes, json);
                json.end();
            }
            json.end_array();
        }
        json.end();
    }
}

fn optional(name: &str, value: Option<&Vec<u8>>, json: &mut Json<'_>) {
    if let Some(value) = value {
        json.str(name, value);
    }
}

fn list(name: &str, values: &[Vec<u8>], json: &mut Json<'_>) {
    if values.is_empty() {
        return;
    }
    json.array(name);
    for value in values {
        json.text(value);
    }
    json.end_array();
}
