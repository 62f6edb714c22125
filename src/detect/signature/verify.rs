//! Verification: runs a program over a buffer, with Suricata's semantics of content inspection.
//!
//! Steps run in order over a cursor, the end of the last match. When a step that counts from a content fails, the content
//! looks for its next occurrence. Three answers of a step: everything from here on matches; it does not, but an earlier
//! content may try its next occurrence; it does not and never will in this buffer. Work is bounded by a number of steps
//! and a number of bytes searched a program and buffer; hitting a bound means no match, and is counted.

use std::sync::Arc;

use memchr::{memchr, memchr_iter, memchr2_iter, memmem};

use super::base64;
use super::bytes::{self, Cursor};
use super::flow_vars::Captured;
use super::program::{ContentStep, DatasetStep, PcreStep, Program, Programs, Step};
use crate::alert::{DatasetChange, DatasetCondition};
use crate::rules::{Attached, Base64Mode, Compare, DatasetOperation, Test};
use crate::sys::pcre::{Matched, RegexScratch};

/// What is inspected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Offset of the first of them in the whole, for buffers that are inspected piece by piece.
    pub offset: u64,
    /// Whether nothing follows.
    pub complete: bool,
    /// Byte order of the DCE/RPC message, for `dce`.
    pub little: bool,
    /// Number of the file the bytes are of; 0 for what is not of a file.
    pub file: u32,
}

impl<'a> Subject<'a> {
    /// A buffer that is there as a whole.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            complete: true,
            little: false,
            file: 0,
        }
    }
}

/// A step's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It and all that follow match.
    Match,
    /// Not with this cursor.
    NoMatch,
    /// Not in this buffer.
    Never,
}

/// Bytes that may be searched for one program in one buffer: 3,000 steps over 4 KiB, or a few hundred over a large body.
const SEARCH_BYTES_MAX: usize = 16 << 20;

/// Bytes that `base64_decode` gives at most (Suricata's BASE64_BUFFER_SIZE is 65,535).
const BASE64_MAX: usize = 65_535;

/// One worker's state of verification.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Variables of the signature in hand (`byte_extract`, `byte_math`).
    pub variables: [u64; 256],
    /// Times the limit of steps or bytes ended an inspection.
    pub step_limits: u64,
    /// Times pcre ended at its limit.
    pub pcre_limits: u64,
    steps_max: u32,
    steps: u32,
    search_left: usize,
    cursor: usize,
    /// Where an expression that is tried again starts; 0: at the beginning.
    pcre_start: usize,
    regex: Option<RegexScratch>,
    decoded: Vec<u8>,
    /// What expressions of the signature in hand captured.
    pub captured: Vec<Captured>,
    /// Entropies found since they were last taken.
    pub entropies: Vec<(Arc<str>, f64)>,
    /// Whether what data sets say is noted.
    pub noting: bool,
    /// What they said.
    pub noted: Noted,
}

/// What a match depends on, or shows, of data sets.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// Options on sets that rules change, with their values.
    pub conditions: Vec<DatasetCondition>,
    /// Objects of values, with the names under which alerts show them.
    pub objects: Vec<(Arc<str>, Box<str>)>,
}

/// Captures of one signature, and entropies of one packet, that are kept.
const NOTED_MAX: usize = 32;

impl Verifier {
    pub fn new(steps_max: u32, match_limit: u32, depth_limit: u32) -> Self {
        Self {
            variables: [0; 256],
            step_limits: 0,
            pcre_limits: 0,
            steps_max,
            steps: 0,
            search_left: 0,
            cursor: 0,
            pcre_start: 0,
            regex: RegexScratch::new(match_limit, depth_limit),
            decoded: Vec::new(),
            captured: Vec::new(),
            entropies: Vec::new(),
            noting: false,
            noted: Noted::default(),
        }
    }

    /// Forgets the variables of the last signature.
    pub fn begin(&mut self, variables: u8) {
        self.captured.clear();
        for value in self.variables.iter_mut().take(usize::from(variables)) {
            *value = 0;
        }
    }

    /// Whether the program matches the buffer.
    pub fn matches(&mut self, programs: &Programs, program: Program, subject: Subject<'_>) -> bool {
        let (values, objects) = (self.noted.conditions.len(), self.noted.objects.len());
        let matched = self.start(programs, program, subject);
        if self.noting && !matched {
            self.noted.conditions.truncate(values);
            self.noted.objects.truncate(objects);
        }
        matched
    }

    fn start(&mut self, programs: &Programs, program: Program, subject: Subject<'_>) -> bool {
        self.cursor = 0;
        self.steps = 0;
        self.pcre_start = 0;
        self.search_left = SEARCH_BYTES_MAX;
        let steps = programs.steps_of(program);
        self.run(programs, steps, subject) == Answer::Match
    }

    fn run(&mut self, programs: &Programs, steps: &[Step], subject: Subject<'_>) -> Answer {
        let Some((step, rest)) = steps.split_first() else {
            return Answer::Match;
        };
        self.steps += 1;
        if self.steps >= self.steps_max {
            if self.steps == self.steps_max {
                self.step_limits += 1;
            }
            return Answer::Never;
        }
        let answer = match step {
            Step::Content(content) => return self.content(programs, content, rest, subject),
            Step::Pcre(pcre) => return self.pcre(programs, *pcre, rest, subject),
            Step::Base64 {
                bytes,
                offset,
                relative,
                then,
            } => {
                return self.base64(programs, (*bytes, *offset, *relative), *then, subject);
            }
            Step::DataAt {
                at,
                variable,
                relative,
                negate,
            } => self.data_at(*at, *variable, *relative, *negate, subject.bytes.len()),
            Step::BufferSize(compare) => buffer_size(
                *compare,
                subject.offset.saturating_add(subject.bytes.len() as u64),
                subject.complete,
            ),
            Step::Length(compare) => {
                let len = subject.bytes.len().min(usize::from(u16::MAX)) as u64;
                if compare.test(len) {
                    Answer::Match
                } else {
                    Answer::Never
                }
            }
            Step::Absent { or_else } => yes_or(*or_else, Answer::NoMatch),
            Step::Dataset(step) => yes_or(self.dataset(step, subject.bytes), Answer::Never),
            Step::Other(test) => self.other(test, subject),
        };
        if answer == Answer::Match {
            self.run(programs, rest, subject)
        } else {
            answer
        }
    }

    /// Whether a buffer fits a data set. Of a set that rules change it is assumed, and what it depends on is noted when
    /// that is asked for.
    fn dataset(&mut self, step: &DatasetStep, bytes: &[u8]) -> bool {
        let test = &step.test;
        let set = &test.set;
        let change = match test.operation {
            DatasetOperation::Reputation(wanted) => {
                return set.look_up(bytes, false).is_some_and(|attached| {
                    let reputation = match attached {
                        Attached::Reputation(reputation) => *reputation,
                        _ => 0,
                    };
                    wanted.test(reputation.into())
                });
            }
            DatasetOperation::Change(change) => change,
        };
        if bytes.is_empty() {
            return false;
        }
        let mut own = [0; 16];
        if set.info.kind.key(bytes, &mut own).is_none() {
            // What cannot be in it is not in it.
            return change == DatasetChange::IsNotSet;
        }
        if set.changes() {
            if self.noting && self.noted.conditions.len() < NOTED_MAX {
                let condition = DatasetCondition {
                    set: set.number,
                    option: step.option,
                    change,
                    subdomain: test.subdomain,
                    value: bytes.into(),
                };
                if self.noted.conditions.last() != Some(&condition) {
                    self.noted.conditions.push(condition);
                }
            }
            return true;
        }
        let found = set.look_up(bytes, test.subdomain);
        if self.noting
            && change == DatasetChange::IsSet
            && self.noted.objects.len() < NOTED_MAX
            && let (Some(Attached::Json(object)), Some(name)) = (found, &test.context)
        {
            self.noted.objects.push((Arc::clone(name), object.clone()));
        }
        found.is_some() == (change == DatasetChange::IsSet)
    }

    fn content(
        &mut self,
        programs: &Programs,
        content: &ContentStep,
        rest: &[Step],
        subject: Subject<'_>,
    ) -> Answer {
        let buffer = subject.bytes;
        let pattern = programs.bytes_of(content);
        let negated = content.has(ContentStep::NEGATED);
        let relative = content.has(ContentStep::DISTANCE | ContentStep::WITHIN);
        let previous = if relative { self.cursor } else { 0 };
        let absent = if negated {
            Answer::Match
        } else {
            Answer::NoMatch
        };
        let mut again = 0;
        loop {
            let Some((offset, depth)) = self.bounds(content, previous, subject) else {
                return Answer::NoMatch;
            };
            let offset = if again != 0 { again } else { offset };
            if offset > depth || depth == 0 {
                return self.finish(absent, programs, rest, subject);
            }
            let area = buffer.get(offset..depth).unwrap_or_default();
            let found = if content.has(ContentStep::ENDS) && depth < buffer.len() {
                None
            } else {
                self.find(content, pattern, area).map(|at| at + offset)
            };
            let Some(found) = found else {
                return match (negated, relative) {
                    (true, _) => self.run(programs, rest, subject),
                    (false, true) => Answer::NoMatch,
                    (false, false) => Answer::Never,
                };
            };
            let end = found + pattern.len();
            if negated {
                // Suricata compares the end in the buffer with the length of the area searched.
                if content.has(ContentStep::ENDS) && area.len() != end {
                    return self.run(programs, rest, subject);
                }
                return if content.stands_alone() {
                    Answer::Never
                } else {
                    Answer::NoMatch
                };
            }
            self.cursor = end;
            if !content.has(ContentStep::ENDS) || end == buffer.len() {
                if rest.is_empty() {
                    return Answer::Match;
                }
                match self.run(programs, rest, subject) {
                    Answer::NoMatch => {}
                    decided => return decided,
                }
                if !content.has(ContentStep::NEXT_WITHIN) {
                    return Answer::Never;
                }
            }
            again = found + 1;
        }
    }

    fn finish(
        &mut self,
        answer: Answer,
        programs: &Programs,
        rest: &[Step],
        subject: Subject<'_>,
    ) -> Answer {
        if answer == Answer::Match {
            self.run(programs, rest, subject)
        } else {
            answer
        }
    }

    /// Where a content is searched: start and end in the buffer. `None`: it lies before the piece in hand.
    fn bounds(
        &self,
        content: &ContentStep,
        previous: usize,
        subject: Subject<'_>,
    ) -> Option<(usize, usize)> {
        let len = subject.bytes.len();
        let total = len as i64;
        let value = |fixed: i32, variable: u16| -> i64 {
            if content.has(variable) {
                self.variables
                    .get(fixed as usize & 0xff)
                    .map_or(0, |v| i64::from(*v as u32))
            } else {
                i64::from(fixed)
            }
        };
        let previous_at = previous as i64;
        let piece = i64::try_from(subject.offset).unwrap_or(i64::MAX);
        let mut depth = total;
        let mut offset;
        if content.has(ContentStep::DISTANCE | ContentStep::WITHIN) {
            let distance = if content.has(ContentStep::DISTANCE) {
                value(content.distance, ContentStep::DISTANCE_VARIABLE)
            } else {
                0
            };
            offset = (previous_at + distance).max(0);
            if content.has(ContentStep::WITHIN) {
                let end =
                    previous_at + value(content.within, ContentStep::WITHIN_VARIABLE) + distance;
                // A negative end wraps around in the reference, and means no bound.
                if end >= 0 {
                    depth = depth.min(end);
                }
                if piece != 0 && previous == 0 {
                    depth = self.shift(depth, piece, total)?;
                }
            }
            if content.has(ContentStep::DEPTH) {
                depth = depth.min(previous_at + value(content.depth, ContentStep::DEPTH_VARIABLE));
            }
            if content.has(ContentStep::OFFSET) {
                offset = offset.max(value(content.offset, ContentStep::OFFSET_VARIABLE));
            }
        } else {
            if content.has(ContentStep::DEPTH) {
                depth = value(content.depth, ContentStep::DEPTH_VARIABLE);
                if piece != 0 {
                    depth = self.shift(depth, piece, total)?;
                }
            }
            offset = value(content.offset, ContentStep::OFFSET_VARIABLE);
        }
        if content.has(ContentStep::OFFSET_VARIABLE | ContentStep::DEPTH_VARIABLE) {
            depth += offset;
        }
        let depth = depth.clamp(0, total);
        Some((
            usize::try_from(offset).unwrap_or(usize::MAX),
            usize::try_from(depth).unwrap_or(0).min(len),
        ))
    }

    /// An end in the whole, as an end in the piece that begins at `piece`.
    fn shift(&self, end: i64, piece: i64, total: i64) -> Option<i64> {
        if end <= piece {
            None
        } else if end >= piece.saturating_add(total) {
            Some(end)
        } else {
            Some(end - piece)
        }
    }

    /// First occurrence of a content in an area.
    fn find(&mut self, content: &ContentStep, pattern: &[u8], area: &[u8]) -> Option<usize> {
        if pattern.is_empty() || pattern.len() > area.len() {
            return None;
        }
        if area.len() == pattern.len() {
            return equal(content, pattern, area).then_some(0);
        }
        if area.len() > self.search_left {
            self.search_left = 0;
            if self.steps < self.steps_max {
                self.steps = self.steps_max;
                self.step_limits += 1;
            }
            return None;
        }
        self.search_left -= area.len();
        let nocase = content.has(ContentStep::NOCASE);
        if !nocase {
            if let [single] = pattern {
                return memchr(*single, area);
            }
            // The library's searcher costs some 50 ns to build, more than to look through a segment for a rare byte, and
            // is linear whatever the input.
            if area.len() > 4096 {
                return memmem::find(area, pattern);
            }
        }
        let rare = usize::from(content.rare);
        let byte = *pattern.get(rare)?;
        let last = area.len() - (pattern.len() - rare) + 1;
        let places = area.get(rare..last)?;
        let mut verify = |at: usize| -> Option<usize> {
            self.search_left = self.search_left.saturating_sub(8);
            area.get(at..at + pattern.len())
                .is_some_and(|bytes| equal(content, pattern, bytes))
                .then_some(at)
        };
        if nocase && byte.is_ascii_alphabetic() {
            memchr2_iter(byte, byte.to_ascii_uppercase(), places).find_map(&mut verify)
        } else {
            memchr_iter(byte, places).find_map(&mut verify)
        }
    }

    fn pcre(
        &mut self,
        programs: &Programs,
        pcre: PcreStep,
        rest: &[Step],
        subject: Subject<'_>,
    ) -> Answer {
        let previous = self.cursor;
        self.pcre_start = 0;
        loop {
            if !self.pcre_once(programs, pcre, subject.bytes) {
                return Answer::NoMatch;
            }
            if !pcre.next_relative {
                return self.run(programs, rest, subject);
            }
            let next = self.pcre_start;
            match self.run(programs, rest, subject) {
                Answer::NoMatch => {}
                decided => return decided,
            }
            if next == 0 {
                return Answer::NoMatch;
            }
            self.cursor = previous;
            self.pcre_start = next;
        }
    }

    fn pcre_once(&mut self, programs: &Programs, pcre: PcreStep, buffer: &[u8]) -> bool {
        let base = if pcre.relative { self.cursor } else { 0 };
        let (Some(regex), Some(subject), Some(scratch)) = (
            programs
                .regexes
                .get(pcre.regex as usize)
                .and_then(|r| r.get()),
            buffer.get(base..),
            self.regex.as_mut(),
        ) else {
            return false;
        };
        let start = self.pcre_start.saturating_sub(base);
        match regex.find(subject, start, scratch) {
            Matched::None => pcre.negate,
            Matched::At(..) if pcre.negate => false,
            Matched::At(from, to) => {
                self.cursor = base + to;
                self.pcre_start = base + from + 1;
                if let Some(lazy) = programs.regexes.get(pcre.regex as usize) {
                    for (group, (scope, name)) in (1..).zip(&lazy.names) {
                        let value = scratch
                            .group(group)
                            .and_then(|(from, to)| subject.get(from..to));
                        if let Some(value) = value.filter(|_| self.captured.len() < NOTED_MAX) {
                            self.captured.push(Captured {
                                scope: *scope,
                                name: Arc::clone(name),
                                value: value.to_vec(),
                            });
                        }
                    }
                }
                true
            }
            Matched::Limit => {
                self.pcre_limits += 1;
                false
            }
        }
    }

    fn base64(
        &mut self,
        programs: &Programs,
        (bytes, offset, relative): (Option<u32>, u32, bool),
        then: Option<Program>,
        subject: Subject<'_>,
    ) -> Answer {
        let start = if relative { self.cursor } else { 0 };
        let Some(input) = subject.bytes.get(start.saturating_add(offset as usize)..) else {
            return Answer::NoMatch;
        };
        let limit = bytes.map_or(BASE64_MAX, |n| n as usize).min(BASE64_MAX);
        let input = input.get(..limit).unwrap_or(input);
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        base64::decode(input, Base64Mode::Rfc4648, &mut decoded);
        let answer = match then {
            Some(program) if !decoded.is_empty() => {
                self.cursor = 0;
                self.run(
                    programs,
                    programs.steps_of(program),
                    Subject {
                        bytes: &decoded,
                        offset: 0,
                        ..subject
                    },
                )
            }
            _ => Answer::NoMatch,
        };
        self.decoded = decoded;
        yes_or(answer == Answer::Match, Answer::NoMatch)
    }

    fn data_at(&self, at: u32, variable: bool, relative: bool, negate: bool, len: usize) -> Answer {
        let mut at = at as usize;
        if variable {
            let value = self.variables.get(at).copied().unwrap_or(0);
            if value >= 100_000_000 {
                return yes_or(negate, Answer::NoMatch);
            }
            at = value as usize;
        }
        let there = if relative {
            self.cursor + at <= len
        } else {
            at < len
        };
        if there != negate {
            return Answer::Match;
        }
        let try_again = if relative {
            negate || variable
        } else {
            variable
        };
        if try_again {
            Answer::NoMatch
        } else {
            Answer::Never
        }
    }

    fn other(&mut self, test: &Test, subject: Subject<'_>) -> Answer {
        let mut cursor = Cursor {
            at: self.cursor,
            variables: &mut self.variables,
        };
        let matched = bytes::test(test, subject, &mut cursor);
        self.cursor = cursor.at;
        if let Test::Entropy {
            buffer,
            bytes,
            offset,
            ..
        } = test
            && self.entropies.len() < NOTED_MAX
            && !subject.bytes.is_empty()
            && let Some(found) = bytes::entropy(subject.bytes, *bytes, *offset)
        {
            self.entropies.push((Arc::clone(buffer), found));
        }
        yes_or(matched, Answer::NoMatch)
    }
}

fn yes_or(matched: bool, otherwise: Answer) -> Answer {
    if matched { Answer::Match } else { otherwise }
}

fn equal(content: &ContentStep, pattern: &[u8], bytes: &[u8]) -> bool {
    if content.has(ContentStep::NOCASE) {
        bytes.eq_ignore_ascii_case(pattern)
    } else {
        bytes == pattern
    }
}

/// `bsize` of a buffer that may still grow: what can come true later is no final mismatch.
fn buffer_size(compare: Compare, size: u64, complete: bool) -> Answer {
    if compare.test(size) {
        return Answer::Match;
    }
    let may_grow = !complete;
    let later = match compare {
        Compare::Less(_) | Compare::LessOrEqual(_) => false,
        Compare::Greater(_) | Compare::GreaterOrEqual(_) => may_grow,
        Compare::Equal(n) => may_grow && size < n,
        Compare::Between(a, _) => may_grow && size < a,
        Compare::NotEqual(_) | Compare::Outside(..) | Compare::Masked { .. } => true,
    };
    if later {
        Answer::NoMatch
    } else {
        Answer::Never
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::program::ProgramBuilder;
    use super::*;
    use crate::rules::{Variables, load_text};

    /// Inspects `buffer` with the options of a rule.
    fn on(options: &str, subject: Subject<'_>) -> bool {
        let rule = format!("alert udp any any -> any any ({options} sid:1;)");
        let rules = load_text("test", &rule, &Variables::default());
        assert!(rules.errors.is_empty(), "{options}: {:?}", rules.errors);
        let groups = &rules.signatures[0].groups;
        let is_base64 = |g: &&crate::rules::Group| {
            matches!(
                rules.buffers[usize::from(g.buffer.0)].source,
                crate::rules::BufferSource::Base64
            )
        };
        let base64 = groups.iter().find(is_base64).map(|g| g.tests.as_slice());
        let mut builder = ProgramBuilder::default();
        let program = builder.program(groups[0].tests.iter().collect(), base64);
        let programs = builder.finish();
        let mut verifier = Verifier::new(3000, 3500, 1500);
        verifier.begin(rules.signatures[0].variables);
        verifier.matches(&programs, program, subject)
    }

    fn yes(options: &str, buffer: &[u8]) {
        assert!(
            on(options, Subject::whole(buffer)),
            "{options} on {buffer:?}"
        );
    }

    fn no(options: &str, buffer: &[u8]) {
        assert!(
            !on(options, Subject::whole(buffer)),
            "{options} on {buffer:?}"
        );
    }

    #[test]
    fn contents_are_found_anywhere_with_or_without_case() {
        yes("content:\"bcd\";", b"abcde");
        no("content:\"BCD\";", b"abcde");
        yes("content:\"BCD\"; nocase;", b"abcde");
        yes("content:\"|00 ff|\";", b"a\x00\xff");
        yes("content:\"a\"; content:\"b\";", b"ba");
        no("content:\"a\";", b"");
    }

    #[test]
    fn offset_and_depth_bound_the_place() {
        yes("content:\"abc\"; depth:3;", b"abcd");
        no("content:\"abc\"; depth:3;", b".abc");
        yes("content:\"abc\"; offset:1; depth:3;", b".abc");
        no("content:\"abc\"; offset:1; depth:3;", b"..abc");
        no("content:\"abc\"; offset:1;", b"abc");
        yes("content:\"abc\"; startswith;", b"abcd");
        no("content:\"abc\"; startswith;", b"xabc");
        yes("content:\"abc\"; endswith;", b"abcabc");
        no("content:\"abc\"; endswith;", b"abcx");
        yes("content:\"abc\"; startswith; endswith;", b"abc");
        no("content:\"abc\"; startswith; endswith;", b"abcabc");
    }

    #[test]
    fn distance_and_within_count_from_the_last_match() {
        yes("content:\"a\"; content:\"b\"; distance:1;", b"a.b");
        no("content:\"a\"; content:\"b\"; distance:1;", b"ab");
        yes("content:\"a\"; content:\"b\"; within:2;", b"a.b");
        no("content:\"a\"; content:\"b\"; within:2;", b"a..b");
        yes(
            "content:\"a\"; content:\"b\"; distance:1; within:1;",
            b"a.b",
        );
        no(
            "content:\"a\"; content:\"b\"; distance:1; within:1;",
            b"a..b",
        );
        yes(
            "content:\"cd\"; content:\"ab\"; distance:-4; within:2;",
            b"abcd",
        );
        yes(
            "content:\"d\"; content:\"abc\"; distance:-10; within:9;",
            b"abcd",
        );
    }

    #[test]
    fn a_failed_neighbour_makes_the_first_look_further() {
        yes("content:\"a\"; content:\"b\"; within:1;", b"a a ab");
        yes(
            "content:\"a\"; content:\"b\"; distance:0; within:1; content:\"c\"; distance:0; within:1;",
            b"ab abc",
        );
        yes(
            "content:\"a\"; content:\"b\"; distance:0; content:\"c\"; within:1; distance:0;",
            b"a b b bc",
        );
        no(
            "content:\"a\"; content:\"b\"; within:1; content:\"z\"; within:1;",
            &b"ab".repeat(50),
        );
        yes("content:\"a\"; byte_test:1,=,5,0,relative;", b"a\x01a\x05");
        yes("content:\"a\"; isdataat:!2,relative;", b"a...a.");
    }

    #[test]
    fn negations_need_absence_in_their_place() {
        yes("content:!\"b\";", b"aaa");
        no("content:!\"b\";", b"aba");
        yes("content:\"a\"; content:!\"b\"; within:1;", b"a.b");
        no("content:\"a\"; content:!\"b\"; within:1;", b"ab");
        yes("content:\"a\"; content:!\"b\"; within:1;", b"ab ac");
        yes("content:!\"GET\"; depth:3;", b"POST GET");
        no("content:!\"GET\"; depth:3;", b"GET");
        yes("content:\"a\"; content:!\"b\"; distance:5;", b"ab");
        yes("content:!\"abc\"; endswith;", b"abcd");
    }

    #[test]
    fn isdataat_looks_for_bytes() {
        yes("content:\"a\"; isdataat:2,relative;", b"a..");
        no("content:\"a\"; isdataat:2,relative;", b"a.");
        yes("content:\"a\"; isdataat:3;", b"a...");
        no("content:\"a\"; isdataat:3;", b"a..");
        yes("content:\"a\"; isdataat:!3;", b"a..");
        no("content:\"a\"; isdataat:!2;", b"a..");
    }

    #[test]
    fn numbers_are_tested_in_their_format() {
        yes(
            "content:\"a\"; byte_test:2,=,0x0102,0,relative;",
            b"a\x01\x02",
        );
        yes(
            "content:\"a\"; byte_test:2,=,0x0201,0,relative,little;",
            b"a\x01\x02",
        );
        yes(
            "content:\"a\"; byte_test:3,>,100,0,relative,string,dec;",
            b"a101",
        );
        no(
            "content:\"a\"; byte_test:3,>,100,0,relative,string,dec;",
            b"a099",
        );
        yes(
            "content:\"a\"; byte_test:4,=,255,0,relative,string,hex;",
            b"a0xff",
        );
        no("content:\"a\"; byte_test:2,=,1,0,relative;", b"a\x01");
        yes("content:\"a\"; byte_test:1,!&,0x80,0,relative;", b"a\x7f");
        yes(
            "content:\"a\"; byte_test:1,=,3,0,relative,bitmask 0xf0;",
            b"a\x35",
        );
    }

    #[test]
    fn jumps_move_the_cursor() {
        yes("byte_jump:1,0; content:\"x\"; within:1;", b"\x02..x");
        no("byte_jump:1,0; content:\"x\"; within:1;", b"\x01..x");
        yes(
            "byte_jump:1,0,multiplier 2; content:\"x\"; within:1;",
            b"\x01..x",
        );
        yes(
            "byte_jump:1,0,align; content:\"x\"; within:1;",
            b"\x01....x",
        );
        yes(
            "byte_jump:1,0,from_beginning; content:\"x\"; within:1;",
            b"\x02.x",
        );
        yes(
            "byte_jump:1,0,from_end,post_offset -2; content:\"x\"; within:1;",
            b"\x00..x.",
        );
        no("byte_jump:1,0; content:!\"x\"; within:1;", b"\x09..");
    }

    #[test]
    fn extracted_variables_are_used_later() {
        yes(
            "byte_extract:1,0,n; content:\"x\"; offset:n; depth:1;",
            b"\x02.x",
        );
        no(
            "byte_extract:1,0,n; content:\"x\"; offset:n; depth:1;",
            b"\x01.x",
        );
        yes(
            "byte_extract:1,0,n; content:\"x\"; distance:n; within:1;",
            b"\x02..x",
        );
        yes("byte_extract:1,0,n; byte_test:1,=,n,1;", b"\x07\x07");
        no("byte_extract:1,0,n; byte_test:1,=,n,1;", b"\x07\x08");
        yes(
            "byte_math:bytes 1,offset 0,oper +,rvalue 1,result n; byte_test:1,=,n,1;",
            b"\x07\x08",
        );
        yes("byte_extract:1,0,n; isdataat:!n,relative;", b"\x04...");
    }

    #[test]
    fn expressions_count_from_the_last_match_when_asked() {
        yes("content:\"a\"; pcre:\"/b+c/\";", b"bbca");
        yes("content:\"a\"; pcre:\"/^b+c/R\";", b"abbc");
        no("content:\"a\"; pcre:\"/^b+c/R\";", b"a.bbc");
        yes("content:\"a\"; pcre:\"/^b/R\";", b"a.ab");
        yes("content:\"a\"; pcre:!\"/b/\";", b"a");
        no("content:\"a\"; pcre:!\"/b/\";", b"ab");
        yes(
            "pcre:\"/a./\"; content:\"c\"; distance:0; within:1;",
            b"ab abc",
        );
        yes("content:\"A\"; nocase; pcre:\"/b\\x2fc/i\";", b"aB/C");
    }

    #[test]
    fn base64_is_inspected_where_it_is_decoded() {
        yes(
            "content:\"k=\"; base64_decode:relative; base64_data; content:\"foo\";",
            b"k=Zm9vYmFy",
        );
        no(
            "content:\"k=\"; base64_decode:relative; base64_data; content:\"baz\";",
            b"k=Zm9vYmFy",
        );
        yes(
            "base64_decode:bytes 4,offset 1; base64_data; content:\"foo\"; endswith;",
            b".Zm9vYmFy",
        );
        no(
            "base64_decode:offset 99; base64_data; content:\"foo\";",
            b"Zm9v",
        );
    }

    #[test]
    fn sizes_of_growing_buffers_are_not_final() {
        assert_eq!(buffer_size(Compare::Equal(3), 3, false), Answer::Match);
        assert_eq!(buffer_size(Compare::Equal(3), 2, false), Answer::NoMatch);
        assert_eq!(buffer_size(Compare::Equal(3), 2, true), Answer::Never);
        assert_eq!(buffer_size(Compare::Less(3), 3, false), Answer::Never);
        assert_eq!(buffer_size(Compare::Greater(3), 3, false), Answer::NoMatch);
    }

    #[test]
    fn a_piece_counts_from_the_whole() {
        let piece = |offset| Subject {
            offset,
            ..Subject::whole(b"..abc")
        };
        assert!(on("content:\"abc\"; depth:105;", piece(100)));
        assert!(!on("content:\"abc\"; depth:100;", piece(100)));
        assert!(!on("content:\"abc\"; depth:104;", piece(100)));
    }

    #[test]
    fn entropy_and_asn1() {
        let random: Vec<u8> = (0..=255).collect();
        yes("content:\"|00|\"; entropy:value > 7.9;", &random);
        no("content:\"a\"; entropy:value > 1;", b"aaaa");
        yes("asn1:oversize_length 10;", b"\x30\x84\x00\x00\x01\x00");
        no("asn1:oversize_length 10000;", b"\x30\x82\x01\x00");
    }

    #[test]
    fn the_worst_case_ends_at_the_limit() {
        let buffer = b"a".repeat(10_000);
        let chain = "content:\"a\"; ".to_owned()
            + &"content:\"a\"; within:100; ".repeat(6)
            + "content:\"b\"; within:9;";
        no(&chain, &buffer);
        let nocase = format!("content:\"{}b\"; nocase;", "a".repeat(200));
        no(&nocase, &buffer);
    }

    /// A content of the property test: bytes, and how it is placed.
    #[derive(Clone, Debug)]
    struct Part {
        bytes: Vec<u8>,
        place: Place,
    }

    #[derive(Clone, Copy, Debug)]
    enum Place {
        Anywhere,
        Absolute(usize, usize),
        Relative(i64, usize),
    }

    fn part() -> impl Strategy<Value = Part> {
        let bytes = prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'c']), 1..3);
        let place = prop_oneof![
            Just(Place::Anywhere),
            (0usize..6, 0usize..6).prop_map(|(offset, extra)| Place::Absolute(offset, extra)),
            (-3i64..4, 0usize..4).prop_map(|(distance, extra)| Place::Relative(distance, extra)),
        ];
        (bytes, place).prop_map(|(bytes, place)| Part { bytes, place })
    }

    fn text(parts: &[Part]) -> String {
        parts
            .iter()
            .enumerate()
            .fold(String::new(), |mut rule, (i, part)| {
                let bytes = String::from_utf8(part.bytes.clone()).unwrap();
                rule += &format!("content:\"{bytes}\"; ");
                rule += &match part.place {
                    Place::Absolute(offset, extra) => {
                        format!("offset:{offset}; depth:{}; ", part.bytes.len() + extra)
                    }
                    Place::Relative(distance, extra) if i > 0 => {
                        format!("distance:{distance}; within:{}; ", part.bytes.len() + extra)
                    }
                    _ => String::new(),
                };
                rule
            })
    }

    /// All ends at which the parts can match, tried one by one: what a rule means, without any cleverness.
    fn naive(parts: &[Part], first: bool, cursor: usize, buffer: &[u8]) -> bool {
        let Some((part, rest)) = parts.split_first() else {
            return true;
        };
        let len = part.bytes.len();
        (0..(buffer.len() + 1).saturating_sub(len)).any(|at| {
            let end = at + len;
            let placed = match part.place {
                Place::Absolute(offset, extra) => at >= offset && end <= offset + len + extra,
                Place::Relative(distance, extra) if !first => {
                    let start = (cursor as i64 + distance).max(0);
                    let stop = cursor as i64 + distance + (len + extra) as i64;
                    at as i64 >= start && (stop < 0 || end as i64 <= stop)
                }
                _ => true,
            };
            placed && buffer[at..end] == part.bytes[..] && naive(rest, false, end, buffer)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// Chains whose every link but the first is relative mean what the naive matcher says. (A content that stands
        /// alone inside a chain is final in the reference: only its first occurrence counts for what is relative to it
        /// through `within`, so such chains are compared from the last free content on.)
        #[test]
        fn relative_chains_agree_with_the_naive_matcher(
            mut parts in prop::collection::vec(part(), 1..4),
            buffer in prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'c', b'.']), 0..24),
        ) {
            for part in parts.iter_mut().skip(1) {
                if !matches!(part.place, Place::Relative(..)) {
                    part.place = Place::Relative(0, 1);
                }
            }
            let expected = naive(&parts, true, 0, &buffer);
            let rule = text(&parts);
            prop_assert_eq!(on(&rule, Subject::whole(&buffer)), expected, "{} on {:?}", rule, String::from_utf8_lossy(&buffer));
        }
    }
}
