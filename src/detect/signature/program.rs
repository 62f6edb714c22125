//! Programs: the tests of one buffer in the form that verification runs.
//!
//! All programs of an engine lie in one array of 32-byte steps; the bytes of contents lie in one pool, each once.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::rules::{CaptureScope, Compare, Content, DatasetTest, Number, Pcre, Test};
use crate::sys::pcre::{Regex, RegexOptions};

/// Steps of a program: a range of [`Programs::steps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    pub start: u32,
    pub len: u16,
    /// Whether it can match a buffer that does not exist (`absent`).
    pub on_absent: bool,
    /// Whether it begins with `absent` alone: nothing is to be inspected when the buffer is there.
    pub uses_base64: bool,
}

/// One step.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Step {
    /// `content`.
    Content(ContentStep),
    /// `pcre`.
    Pcre(PcreStep),
    /// `isdataat`.
    DataAt {
        at: u32,
        variable: bool,
        relative: bool,
        negate: bool,
    },
    /// `bsize`.
    BufferSize(Compare),
    /// `urilen`.
    Length(Compare),
    /// `absent`.
    Absent { or_else: bool },
    /// `base64_decode` with the program of `base64_data`.
    Base64 {
        bytes: Option<u32>,
        offset: u32,
        relative: bool,
        then: Option<Program>,
    },
    /// The others, as the rule has them.
    Other(Box<Test>),
    /// `dataset`; not stored, as its values are of another file. Last, because what is stored is numbered without it.
    #[serde(skip)]
    Dataset(DatasetStep),
}

/// `dataset`, `datarep`.
#[derive(Debug)]
pub(super) struct DatasetStep {
    pub test: DatasetTest,
    /// Tells one option of the rule set from another.
    pub option: u32,
}

/// `content`, compact.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct ContentStep {
    /// Bytes, in the pool; lower case when `NOCASE`.
    pub start: u32,
    pub len: u16,
    /// Index of the byte that is searched for first.
    pub rare: u16,
    pub flags: u16,
    pub offset: i32,
    pub depth: i32,
    pub distance: i32,
    pub within: i32,
}

impl ContentStep {
    pub const NOCASE: u16 = 1;
    pub const NEGATED: u16 = 1 << 1;
    pub const OFFSET: u16 = 1 << 2;
    pub const DEPTH: u16 = 1 << 3;
    pub const DISTANCE: u16 = 1 << 4;
    pub const WITHIN: u16 = 1 << 5;
    pub const OFFSET_VARIABLE: u16 = 1 << 6;
    pub const DEPTH_VARIABLE: u16 = 1 << 7;
    pub const DISTANCE_VARIABLE: u16 = 1 << 8;
    pub const WITHIN_VARIABLE: u16 = 1 << 9;
    pub const ENDS: u16 = 1 << 10;
    /// A later step must lie near this match: look for other occurrences when it fails.
    pub const NEXT_WITHIN: u16 = 1 << 11;
    /// A later step counts from this match.
    pub const NEXT_DISTANCE: u16 = 1 << 12;

    pub fn has(&self, bits: u16) -> bool {
        self.flags & bits != 0
    }

    /// Neither relative nor placed, and nothing relative follows.
    pub fn stands_alone(&self) -> bool {
        !self.has(
            Self::DISTANCE
                | Self::WITHIN
                | Self::NEXT_WITHIN
                | Self::NEXT_DISTANCE
                | Self::DEPTH
                | Self::OFFSET,
        )
    }
}

/// `pcre`, compact.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PcreStep {
    /// Index in [`Programs::regexes`].
    pub regex: u32,
    pub relative: bool,
    pub negate: bool,
    /// A later step counts from this match.
    pub next_relative: bool,
}

/// What makes two expressions one: text, letters, and where their groups go.
type RegexKey<'r> = (&'r str, &'r str, &'r [(CaptureScope, String)]);

/// An expression, compiled when it is first needed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LazyRegex {
    pub expression: Box<str>,
    pub options: RegexOptions,
    /// Where its groups go, from the first on.
    pub names: Box<[(CaptureScope, Arc<str>)]>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

impl LazyRegex {
    /// An expression whose first group is wanted.
    pub fn capturing(expression: &str) -> Self {
        let options = RegexOptions {
            captures: true,
            ..RegexOptions::default()
        };
        Self {
            expression: expression.into(),
            options,
            names: Box::default(),
            compiled: OnceLock::new(),
        }
    }

    /// The compiled expression; `None` when pcre2 refuses it (such signatures were refused when compiling).
    pub fn get(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| {
                let mut regex = Regex::compile(self.expression.as_bytes(), self.options).ok()?;
                regex.jit();
                Some(regex)
            })
            .as_ref()
    }
}

/// All programs of an engine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Programs {
    pub steps: Vec<Step>,
    pub pool: Vec<u8>,
    pub regexes: Vec<LazyRegex>,
}

impl Programs {
    /// Steps of a program.
    pub fn steps_of(&self, program: Program) -> &[Step] {
        let start = program.start as usize;
        self.steps
            .get(start..start + usize::from(program.len))
            .unwrap_or_default()
    }

    /// Whether a program asks a data set.
    pub fn has_dataset(&self, program: Program) -> bool {
        self.steps_of(program)
            .iter()
            .any(|step| matches!(step, Step::Dataset(_)))
    }

    /// Bytes of a content.
    pub fn bytes_of(&self, content: &ContentStep) -> &[u8] {
        let start = content.start as usize;
        self.pool
            .get(start..start + usize::from(content.len))
            .unwrap_or_default()
    }
}

/// Builds [`Programs`].
#[derive(Debug, Default)]
pub(super) struct ProgramBuilder<'r> {
    programs: Programs,
    /// Contents in the pool by the hash of their bytes; a rare second one of the same hash is stored again.
    contents: HashMap<u64, (u32, u16), foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    regexes: HashMap<RegexKey<'r>, u32, foldhash::fast::RandomState>,
    lower: Vec<u8>,
    /// Options of data sets so far.
    datasets: u32,
}

impl<'r> ProgramBuilder<'r> {
    /// Compiles the tests of a group; `base64` is the group that inspects what `base64_decode` gives.
    pub fn program(&mut self, tests: Vec<&'r Test>, base64: Option<&'r [Test]>) -> Program {
        let then = base64.map(|tests| self.program(tests.iter().collect(), None));
        let mut steps = Vec::with_capacity(tests.len());
        for test in &tests {
            let step = self.step(test, then);
            mark_previous(&mut steps, test);
            steps.push(step);
            // What follows is never reached: base64_data ends the list.
            if matches!(test, Test::Base64Decode { .. }) {
                break;
            }
        }
        let start = u32::try_from(self.programs.steps.len()).unwrap_or(u32::MAX);
        let len = u16::try_from(steps.len()).unwrap_or(u16::MAX);
        self.programs.steps.append(&mut steps);
        Program {
            start,
            len,
            on_absent: tests.iter().any(|t| matches!(t, Test::Absent { .. })),
            uses_base64: then.is_some(),
        }
    }

    /// The programs.
    pub fn finish(mut self) -> Programs {
        self.programs.steps.shrink_to_fit();
        self.programs.pool.shrink_to_fit();
        self.programs
    }

    fn step(&mut self, test: &'r Test, then: Option<Program>) -> Step {
        match test {
            Test::Content(content) => Step::Content(self.content(content)),
            Test::Pcre(pcre) => Step::Pcre(PcreStep {
                regex: self.regex(pcre),
                relative: pcre.relative,
                negate: pcre.negate,
                next_relative: false,
            }),
            Test::IsDataAt {
                at,
                relative,
                negate,
            } => {
                let (at, variable) = split(*at);
                Step::DataAt {
                    at: u32::try_from(at).unwrap_or(u32::MAX),
                    variable,
                    relative: *relative,
                    negate: *negate,
                }
            }
            Test::BufferSize(compare) => Step::BufferSize(*compare),
            Test::Length(compare) => Step::Length(*compare),
            Test::Absent { or_else } => Step::Absent { or_else: *or_else },
            Test::Base64Decode {
                bytes,
                offset,
                relative,
            } => Step::Base64 {
                bytes: *bytes,
                offset: *offset,
                relative: *relative,
                then,
            },
            Test::Dataset(test) => {
                self.datasets += 1;
                Step::Dataset(DatasetStep {
                    test: test.clone(),
                    option: self.datasets,
                })
            }
            other => Step::Other(Box::new(other.clone())),
        }
    }

    fn content(&mut self, content: &Content) -> ContentStep {
        let mut bytes = std::mem::take(&mut self.lower);
        bytes.clear();
        bytes.extend_from_slice(&content.bytes);
        if content.nocase {
            bytes.make_ascii_lowercase();
        }
        let mut flags = 0;
        let mut set = |on: bool, bit: u16| {
            if on {
                flags |= bit;
            }
        };
        set(content.nocase, ContentStep::NOCASE);
        set(content.negate, ContentStep::NEGATED);
        set(content.ends, ContentStep::ENDS);
        let mut number = |value: Option<Number>, present: u16, variable: u16| {
            let Some(value) = value else { return 0 };
            let (value, is_variable) = split(value);
            set(true, present);
            set(is_variable, variable);
            i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
        };
        let mut offset = number(
            content.offset,
            ContentStep::OFFSET,
            ContentStep::OFFSET_VARIABLE,
        );
        let mut depth = number(
            content.depth,
            ContentStep::DEPTH,
            ContentStep::DEPTH_VARIABLE,
        );
        let distance = number(
            content.distance,
            ContentStep::DISTANCE,
            ContentStep::DISTANCE_VARIABLE,
        );
        let within = number(
            content.within,
            ContentStep::WITHIN,
            ContentStep::WITHIN_VARIABLE,
        );
        let fixed = |flags: u16, bit: u16| flags & bit == 0;
        if content.starts {
            flags |= ContentStep::DEPTH;
            flags &= !(ContentStep::OFFSET_VARIABLE | ContentStep::DEPTH_VARIABLE);
            offset = 0;
            depth = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        } else if flags & ContentStep::DEPTH != 0
            && fixed(flags, ContentStep::DEPTH_VARIABLE)
            && fixed(flags, ContentStep::OFFSET_VARIABLE)
        {
            // Depth counts from the offset; from here on it is an end in the buffer. With a variable that is done when
            // its value is known.
            depth = depth.saturating_add(offset);
        }
        let step = ContentStep {
            start: self.pooled(&bytes),
            len: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
            rare: u16::try_from(rarest(&bytes)).unwrap_or(0),
            flags,
            offset,
            depth,
            distance,
            within,
        };
        self.lower = bytes;
        step
    }

    fn pooled(&mut self, bytes: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(bytes);
        let known = self.contents.get(&hash).copied();
        if let Some((start, len)) = known {
            let at = start as usize;
            if self.programs.pool.get(at..at + usize::from(len)) == Some(bytes) {
                return start;
            }
        }
        let start = u32::try_from(self.programs.pool.len()).unwrap_or(u32::MAX);
        self.programs.pool.extend_from_slice(bytes);
        self.contents.insert(
            hash,
            (start, u16::try_from(bytes.len()).unwrap_or(u16::MAX)),
        );
        start
    }

    fn regex(&mut self, pcre: &'r Pcre) -> u32 {
        let captures = !pcre.captures.is_empty();
        let key = (
            pcre.expression.as_str(),
            pcre.flags.as_str(),
            pcre.captures.as_slice(),
        );
        if let Some(index) = self.regexes.get(&key) {
            return *index;
        }
        let index = u32::try_from(self.programs.regexes.len()).unwrap_or(u32::MAX);
        self.programs.regexes.push(LazyRegex {
            expression: pcre.expression.as_str().into(),
            options: RegexOptions {
                captures,
                ..RegexOptions::from_letters(&pcre.flags)
            },
            names: pcre
                .captures
                .iter()
                .map(|(scope, name)| (*scope, name.as_str().into()))
                .collect(),
            compiled: OnceLock::new(),
        });
        self.regexes.insert(key, index);
        index
    }
}

/// A step that counts from the last match tells the content or expression before it to look for another occurrence when
/// what follows fails. After a plain `distance` that cannot help: the first occurrence leaves the most room.
fn mark_previous(steps: &mut [Step], test: &Test) {
    let (within, distance) = match test {
        Test::Content(content) if content.within.is_some() => (true, content.distance.is_some()),
        Test::Content(content) if content.distance.is_some() => (content.negate, true),
        Test::Pcre(pcre) if pcre.relative => (true, true),
        Test::IsDataAt { relative: true, .. }
        | Test::ByteTest { relative: true, .. }
        | Test::ByteJump { relative: true, .. }
        | Test::ByteExtract { relative: true, .. }
        | Test::ByteMath { relative: true, .. } => (true, true),
        _ => return,
    };
    for step in steps.iter_mut().rev() {
        match step {
            Step::Content(content) => {
                if within {
                    content.flags |= ContentStep::NEXT_WITHIN;
                }
                if distance {
                    content.flags |= ContentStep::NEXT_DISTANCE;
                }
                return;
            }
            Step::Pcre(pcre) => {
                pcre.next_relative = true;
                return;
            }
            _ => {}
        }
    }
}

fn split(number: Number) -> (i64, bool) {
    match number {
        Number::Fixed(value) => (value, false),
        Number::Variable(slot) => (i64::from(slot), true),
    }
}

/// Index of the byte that is rarest in traffic. Bytes of contents are compared in lower case.
fn rarest(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .enumerate()
        .min_by_key(|(_, b)| frequency(**b))
        .map_or(0, |(i, _)| i)
}

/// How common a byte is in headers, text and binary protocols: a rough rank, 0 rarest. Measured shares of such traffic
/// agree on the order of the groups, which is all that matters.
pub(super) fn frequency(byte: u8) -> u8 {
    match byte {
        0 => 255,
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 240,
        b'l' | b'c' | b'd' | b'p' | b'm' | b'u' | b'h' | b'/' | b'.' | b'0' | b'1' => 220,
        b'2'..=b'9' | b'-' | b':' | b'=' | b'"' | b'\r' | b'\n' | b'g' | b'f' | b'b' | b'w' => 190,
        b'y'
        | b'v'
        | b'k'
        | b'x'
        | b','
        | b';'
        | b'_'
        | b'<'
        | b'>'
        | b'&'
        | b'%'
        | b'A'..=b'Z'
        | 1
        | 0xff => 150,
        b'j' | b'q' | b'z' | b'(' | b')' | b'\'' | b'{' | b'}' | b'[' | b']' | b'?' | b'+'
        | b'*' | b'\t' => 110,
        2..=16 => 100,
        b'!' | b'#' | b'$' | b'@' | b'|' | b'~' | b'^' | b'`' | b'\\' => 60,
        _ => 40,
    }
}
