//! Content encodings undone: gzip, deflate (raw and with a zlib header), brotli, zstd, LZMA, and several one over another.
//!
//! Browsers forgive much: a wrong checksum, a cut end, a zlib header where none should be. When an encoding fails before
//! it gave any output, the next likely one is tried on the same bytes; when all fail, the bytes pass as they are.
//! Limits: 8 KiB of output at a time, 64 KiB kept for a second try, dictionary sizes by format.
//!
//! Source: RFC 1950, 1951, 1952, 7932, 8878; the LZMA SDK's description of `.lzma`.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};

use super::lzma::{Broken, Lzma, Progress};

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 1951, no header.
    Deflate,
    /// RFC 1950.
    Zlib,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// `.lzma`.
    Lzma,
}

/// Where a gzip header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GzipHeader {
    /// The ten fixed bytes: how many were seen.
    Fixed(u8),
    ExtraLen(u8),
    Extra(u16),
    Name,
    Comment,
    Checksum(u8),
    Done,
}

/// The state of one decoder.
enum Codec {
    Gzip {
        header: GzipHeader,
        flags: u8,
        len: u16,
        inflate: Decompress,
    },
    Inflate(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(zstd::stream::raw::Decoder<'static>),
    Lzma(Box<Lzma>),
}

/// What became of a piece of input.
enum Outcome {
    /// All of it was read.
    Read,
    /// The stream ended; what follows is ignored.
    Ended,
    /// It is not of this encoding.
    Broken,
    /// The receiver wants no more.
    Stopped,
}

/// Takes decoded bytes; answers whether it wants more.
type Sink<'a> = dyn FnMut(&[u8]) -> bool + 'a;

impl Codec {
    fn new(encoding: Encoding) -> Option<Self> {
        Some(match encoding {
            Encoding::Gzip => Self::Gzip {
                header: GzipHeader::Fixed(0),
                flags: 0,
                len: 0,
                inflate: Decompress::new(false),
            },
            Encoding::Deflate => Self::Inflate(Decompress::new(false)),
            Encoding::Zlib => Self::Inflate(Decompress::new(true)),
            Encoding::Brotli => Self::Brotli(Box::new(BrotliState::new(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Encoding::Zstd => {
                use zstd::stream::raw::{DParameter, Decoder};
                let mut decoder = Decoder::new().ok()?;
                // RFC 9659: content encoding zstd needs windows of up to 8 MiB.
                decoder.set_parameter(DParameter::WindowLogMax(23)).ok()?;
                Self::Zstd(decoder)
            }
            Encoding::Lzma => Self::Lzma(Box::default()),
        })
    }

    fn push(&mut self, input: &[u8], out: &mut [u8], sink: &mut Sink<'_>) -> Outcome {
        match self {
            Self::Gzip {
                header,
                flags,
                len,
                inflate,
            } => {
                let mut rest = input;
                while *header != GzipHeader::Done {
                    let Some((&byte, after)) = rest.split_first() else {
                        return Outcome::Read;
                    };
                    match gzip_header(*header, flags, len, byte) {
                        Some(next) => *header = next,
                        None => return Outcome::Broken,
                    }
                    rest = after;
                    *header = skip_absent(*header, *flags);
                }
                inflate_push(inflate, rest, out, sink)
            }
            Self::Inflate(inflate) => inflate_push(inflate, input, out, sink),
            Self::Brotli(state) => {
                let mut next_in = 0usize;
                let mut left_in = input.len();
                loop {
                    let (mut next_out, mut left_out, mut total) = (0usize, out.len(), 0usize);
                    let result = BrotliDecompressStream(
                        &mut left_in,
                        &mut next_in,
                        input,
                        &mut left_out,
                        &mut next_out,
                        out,
                        &mut total,
                        state,
                    );
                    let made = out.get(..next_out).unwrap_or_default();
                    if !made.is_empty() && !sink(made) {
                        return Outcome::Stopped;
                    }
                    match result {
                        BrotliResult::NeedsMoreOutput => {}
                        BrotliResult::NeedsMoreInput => return Outcome::Read,
                        BrotliResult::ResultSuccess => return Outcome::Ended,
                        BrotliResult::ResultFailure => return Outcome::Broken,
                    }
                }
            }
            Self::Zstd(decoder) => {
                use zstd::stream::raw::Operation;
                let mut rest = input;
                loop {
                    let Ok(status) = decoder.run_on_buffers(rest, out) else {
                        return Outcome::Broken;
                    };
                    rest = rest.get(status.bytes_read..).unwrap_or_default();
                    let made = out.get(..status.bytes_written).unwrap_or_default();
                    if !made.is_empty() && !sink(made) {
                        return Outcome::Stopped;
                    }
                    if status.remaining == 0 {
                        return Outcome::Ended;
                    }
                    if rest.is_empty() && status.bytes_written < out.len() {
                        return Outcome::Read;
                    }
                    if status.bytes_read == 0 && status.bytes_written == 0 {
                        return Outcome::Broken;
                    }
                }
            }
            Self::Lzma(lzma) => match lzma.push(input, out, sink) {
                Ok(Progress::Read) => Outcome::Read,
                Ok(Progress::Ended) => Outcome::Ended,
                Ok(Progress::Stopped) => Outcome::Stopped,
                Err(Broken) => Outcome::Broken,
            },
        }
    }
}

fn inflate_push(
    inflate: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
    sink: &mut Sink<'_>,
) -> Outcome {
    let mut rest = input;
    loop {
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(rest, out, FlushDecompress::None);
        let read = usize::try_from(inflate.total_in() - before_in).unwrap_or(0);
        let made = usize::try_from(inflate.total_out() - before_out).unwrap_or(0);
        rest = rest.get(read..).unwrap_or_default();
        let full = made == out.len();
        let bytes = out.get(..made).unwrap_or_default();
        if !bytes.is_empty() && !sink(bytes) {
            return Outcome::Stopped;
        }
        match status {
            Ok(Status::StreamEnd) => return Outcome::Ended,
            Ok(_) if full || (!rest.is_empty() && read > 0) => {}
            Ok(_) => return Outcome::Read,
            Err(_) => return Outcome::Broken,
        }
    }
}

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;

/// One byte of a gzip header (RFC 1952 §2.3). Checksums and reserved flags are not looked at: browsers do not either.
fn gzip_header(at: GzipHeader, flags: &mut u8, len: &mut u16, byte: u8) -> Option<GzipHeader> {
    Some(match at {
        GzipHeader::Fixed(n) => {
            let good = match n {
                0 => byte == 0x1f,
                1 => byte == 0x8b,
                2 => byte == 8,
                3 => {
                    *flags = byte;
                    true
                }
                _ => true,
            };
            if !good {
                return None;
            }
            if n == 9 {
                GzipHeader::ExtraLen(0)
            } else {
                GzipHeader::Fixed(n + 1)
            }
        }
        GzipHeader::ExtraLen(0) => {
            *len = u16::from(byte);
            GzipHeader::ExtraLen(1)
        }
        GzipHeader::ExtraLen(_) => {
            *len |= u16::from(byte) << 8;
            if *len == 0 {
                GzipHeader::Name
            } else {
                GzipHeader::Extra(*len)
            }
        }
        GzipHeader::Extra(1) => GzipHeader::Name,
        GzipHeader::Extra(left) => GzipHeader::Extra(left.saturating_sub(1)),
        GzipHeader::Name if byte == 0 => GzipHeader::Comment,
        GzipHeader::Comment if byte == 0 => GzipHeader::Checksum(0),
        GzipHeader::Name | GzipHeader::Comment => at,
        GzipHeader::Checksum(0) => GzipHeader::Checksum(1),
        GzipHeader::Checksum(_) | GzipHeader::Done => GzipHeader::Done,
    })
}

/// Steps over the parts that the flags say are not there.
fn skip_absent(at: GzipHeader, flags: u8) -> GzipHeader {
    let mut at = at;
    loop {
        at = match at {
            GzipHeader::ExtraLen(0) if flags & FEXTRA == 0 => GzipHeader::Name,
            GzipHeader::Name if flags & FNAME == 0 => GzipHeader::Comment,
            GzipHeader::Comment if flags & FCOMMENT == 0 => GzipHeader::Checksum(0),
            GzipHeader::Checksum(0) if flags & FHCRC == 0 => GzipHeader::Done,
            _ => return at,
        };
    }
}

/// One encoding in a chain.
struct Layer {
    encoding: Encoding,
    codec: Option<Codec>,
    /// All input so far, until there was output: for another try.
    held: Vec<u8>,
    holding: bool,
    tries: u8,
    state: LayerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LayerState {
    Decoding,
    /// Bytes pass as they are.
    Passing,
    /// What follows is ignored.
    Done,
}

/// Bytes kept for a second try.
const HELD_MAX: usize = 64 * 1024;

/// Output made at a time.
const OUT_LEN: usize = 8192;

impl Layer {
    fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            codec: Codec::new(encoding),
            held: Vec::new(),
            holding: true,
            tries: 0,
            state: LayerState::Decoding,
        }
    }

    fn push(&mut self, input: &[u8], sink: &mut Sink<'_>) -> bool {
        match self.state {
            LayerState::Passing => return sink(input),
            LayerState::Done => return true,
            LayerState::Decoding => {}
        }
        let mut out = [0u8; OUT_LEN];
        if self.holding {
            if self.held.len() + input.len() <= HELD_MAX {
                self.held.extend_from_slice(input);
            } else {
                self.drop_held();
            }
        }
        let mut again: Option<Vec<u8>> = None;
        loop {
            let Some(codec) = &mut self.codec else {
                self.state = LayerState::Passing;
                return sink(again.as_deref().unwrap_or(input));
            };
            let mut made = false;
            let outcome = codec.push(again.as_deref().unwrap_or(input), &mut out, &mut |bytes| {
                made = true;
                sink(bytes)
            });
            if made {
                self.drop_held();
            }
            match outcome {
                Outcome::Read => return true,
                Outcome::Stopped => return false,
                Outcome::Ended => {
                    self.finish();
                    return true;
                }
                Outcome::Broken if !self.holding => {
                    self.finish();
                    return true;
                }
                Outcome::Broken => {
                    again.get_or_insert_with(|| std::mem::take(&mut self.held));
                    self.tries += 1;
                    self.encoding = match self.encoding {
                        Encoding::Deflate => Encoding::Zlib,
                        Encoding::Zlib => Encoding::Gzip,
                        _ => Encoding::Deflate,
                    };
                    self.codec = if self.tries > 3 {
                        None
                    } else {
                        Codec::new(self.encoding)
                    };
                    if self.codec.is_some() {
                        // The second try may need the bytes once more.
                        self.held = again.clone().unwrap_or_default();
                    }
                }
            }
        }
    }

    fn drop_held(&mut self) {
        self.holding = false;
        self.held = Vec::new();
    }

    fn finish(&mut self) {
        self.state = LayerState::Done;
        self.codec = None;
        self.drop_held();
    }
}

/// A chain of encodings, the outermost (last applied) first.
#[derive(Default)]
pub(in crate::app) struct Decoder {
    layers: Vec<Layer>,
    /// Bytes made by all layers together.
    made: u64,
    stopped: bool,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.layers.iter().map(|l| (l.encoding, l.state)))
            .finish()
    }
}

impl Decoder {
    /// Adds an encoding that was applied after those before.
    pub(in crate::app) fn add(&mut self, encoding: Encoding) {
        self.layers.insert(0, Layer::new(encoding));
    }

    /// Whether nothing is encoded.
    pub(in crate::app) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Nothing more is decoded.
    pub(in crate::app) fn stop(&mut self) {
        self.stopped = true;
        for layer in &mut self.layers {
            layer.finish();
        }
    }

    /// Decodes the next bytes, making at most about `work_max` bytes in all layers together over the body's life.
    /// `sink` answers whether it wants more.
    pub(in crate::app) fn push(&mut self, input: &[u8], work_max: u64, sink: &mut Sink<'_>) {
        fn through(
            layers: &mut [Layer],
            input: &[u8],
            made: &mut u64,
            work_max: u64,
            sink: &mut Sink<'_>,
        ) -> bool {
            match layers.split_first_mut() {
                None => sink(input),
                Some((layer, rest)) => layer.push(input, &mut |bytes| {
                    *made = made.saturating_add(bytes.len() as u64);
                    *made <= work_max && through(rest, bytes, made, work_max, sink)
                }),
            }
        }
        if !self.stopped && !through(&mut self.layers, input, &mut self.made, work_max, sink) {
            self.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &[u8] = b"X5O!P%@AP[4 some text some text some text some text";

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(data).expect("memory");
        e.finish().expect("memory")
    }

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(data).expect("memory");
        e.finish().expect("memory")
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut e = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(data).expect("memory");
        e.finish().expect("memory")
    }

    fn decoded(encodings: &[Encoding], data: &[u8], chunk: usize) -> Vec<u8> {
        let mut decoder = Decoder::default();
        for e in encodings {
            decoder.add(*e);
        }
        let mut out = Vec::new();
        for piece in data.chunks(chunk) {
            decoder.push(piece, u64::MAX, &mut |bytes| {
                out.extend_from_slice(bytes);
                true
            });
        }
        out
    }

    #[test]
    fn every_encoding_and_any_chunking_gives_the_text() {
        let zstd = zstd::stream::encode_all(TEXT, 3).expect("memory");
        for chunk in [1, 2, 3, 7, 1000] {
            assert_eq!(decoded(&[Encoding::Gzip], &gzip(TEXT), chunk), TEXT);
            assert_eq!(decoded(&[Encoding::Deflate], &deflate(TEXT), chunk), TEXT);
            assert_eq!(decoded(&[Encoding::Zstd], &zstd, chunk), TEXT);
            assert_eq!(
                decoded(
                    &[Encoding::Gzip, Encoding::Deflate],
                    &deflate(&gzip(TEXT)),
                    chunk
                ),
                TEXT
            );
        }
    }

    #[test]
    fn a_wrong_encoding_is_tried_as_another_and_plain_bytes_pass() {
        for chunk in [1, 5, 1000] {
            assert_eq!(decoded(&[Encoding::Deflate], &zlib(TEXT), chunk), TEXT);
            assert_eq!(decoded(&[Encoding::Deflate], &gzip(TEXT), chunk), TEXT);
            assert_eq!(decoded(&[Encoding::Gzip], &deflate(TEXT), chunk), TEXT);
            assert_eq!(decoded(&[Encoding::Gzip], TEXT, chunk), TEXT);
        }
    }

    #[test]
    fn gzip_with_optional_fields_bad_checksum_or_no_end_is_read() {
        let mut data = gzip(TEXT);
        let body = data.split_off(10);
        data[3] = FHCRC | FEXTRA | FNAME | FCOMMENT | 0xe0;
        data.extend_from_slice(b"\x03\x00abcname\0comment\0\x12\x34");
        data.extend_from_slice(&body);
        let end = data.len();
        data[end - 6] ^= 0xff;
        for chunk in [1, 4, 1000] {
            assert_eq!(decoded(&[Encoding::Gzip], &data, chunk), TEXT);
            assert_eq!(decoded(&[Encoding::Gzip], &data[..end - 8], chunk), TEXT);
        }
    }

    #[test]
    fn a_receiver_that_wants_no_more_stops_a_bomb() {
        let bomb = gzip(&gzip(&vec![0u8; 30_000_000]));
        let mut decoder = Decoder::default();
        decoder.add(Encoding::Gzip);
        decoder.add(Encoding::Gzip);
        let mut seen = 0usize;
        decoder.push(&bomb, u64::MAX, &mut |bytes| {
            seen += bytes.len();
            seen < 100_000
        });
        assert!(seen < 120_000 && decoder.stopped);
        let mut decoder = Decoder::default();
        decoder.add(Encoding::Gzip);
        decoder.add(Encoding::Gzip);
        decoder.push(&gzip(&vec![0u8; 30_000_000]), 1_000_000, &mut |_| true);
        assert!(decoder.made < 1_100_000);
    }
}
