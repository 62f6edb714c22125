//! Perl-compatible expressions by pcre2, with JIT and bounded work.
//!
//! Why not safe code: the rule language is PCRE's, look-around and back references included. A match that exceeds its
//! limits counts as no match and says so. Without a JIT stack of its own, JIT code may use 32 KiB of the thread's stack
//! (pcre2jit(3)).

use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use pcre2_sys as raw;

/// A compiled expression. Read only; shared by threads.
#[derive(Debug)]
pub struct Regex {
    code: NonNull<raw::pcre2_code_8>,
    captures: u32,
}

// SAFETY: pcre2 documents compiled patterns as read only and usable from several threads at a time (pcre2api(3),
// "Multithreading"); JIT compilation happens before the value is shared.
unsafe impl Send for Regex {}
// SAFETY: as above.
unsafe impl Sync for Regex {}

/// Options of an expression, by their letters in rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegexOptions {
    /// `i`
    pub caseless: bool,
    /// `s`
    pub dot_all: bool,
    /// `m`
    pub multi_line: bool,
    /// `x`
    pub extended: bool,
    /// `A`
    pub anchored: bool,
    /// `E`
    pub dollar_end_only: bool,
    /// `G`
    pub ungreedy: bool,
    /// Whether the groups are wanted. When not, plain groups do not capture, unless the expression refers to them.
    pub captures: bool,
}

impl RegexOptions {
    /// From the letters `i s m x A E G`; others are ignored.
    pub fn from_letters(letters: &str) -> Self {
        let has = |letter| letters.contains(letter);
        Self {
            caseless: has('i'),
            dot_all: has('s'),
            multi_line: has('m'),
            extended: has('x'),
            anchored: has('A'),
            dollar_end_only: has('E'),
            ungreedy: has('G'),
            captures: false,
        }
    }

    /// As pcre2's option bits; captures have none.
    pub fn bits(self) -> u32 {
        [
            (self.caseless, raw::PCRE2_CASELESS),
            (self.dot_all, raw::PCRE2_DOTALL),
            (self.multi_line, raw::PCRE2_MULTILINE),
            (self.extended, raw::PCRE2_EXTENDED),
            (self.anchored, raw::PCRE2_ANCHORED),
            (self.dollar_end_only, raw::PCRE2_DOLLAR_ENDONLY),
            (self.ungreedy, raw::PCRE2_UNGREEDY),
        ]
        .into_iter()
        .filter(|(on, _)| *on)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    /// What pcre2 says.
    pub message: String,
    /// Byte of the expression.
    pub offset: usize,
}

impl std::fmt::Display for RegexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at offset {}", self.message, self.offset)
    }
}

impl std::error::Error for RegexError {}

/// What a match found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// Start and end of the match in the subject.
    At(usize, usize),
    /// It does not match.
    None,
    /// A limit was exceeded.
    Limit,
}

impl Regex {
    /// Compiles an expression, without JIT code.
    pub fn compile(expression: &[u8], options: RegexOptions) -> Result<Self, RegexError> {
        let bits = options.bits();
        let plain = if options.captures {
            0
        } else {
            raw::PCRE2_NO_AUTO_CAPTURE
        };
        // Error 115: reference to a group that does not exist: the expression uses its groups after all.
        let code = match Self::compile_bits(expression, bits | plain) {
            Err((115, _)) if plain != 0 => Self::compile_bits(expression, bits),
            other => other,
        }
        .map_err(|(_, error)| error)?;
        let mut captures = 0u32;
        // SAFETY: the code is valid; CAPTURECOUNT writes a u32 (pcre2_pattern_info(3)).
        unsafe {
            raw::pcre2_pattern_info_8(
                code.as_ptr(),
                raw::PCRE2_INFO_CAPTURECOUNT,
                (&raw mut captures).cast(),
            );
        }
        Ok(Self { code, captures })
    }

    fn compile_bits(
        expression: &[u8],
        bits: u32,
    ) -> Result<NonNull<raw::pcre2_code_8>, (c_int, RegexError)> {
        let mut error: c_int = 0;
        let mut offset = 0usize;
        // SAFETY: the expression is valid for its length; the out pointers are valid; a null context means defaults.
        let code = unsafe {
            raw::pcre2_compile_8(
                expression.as_ptr(),
                expression.len(),
                bits,
                &mut error,
                &mut offset,
                ptr::null_mut(),
            )
        };
        NonNull::new(code).ok_or_else(|| {
            (
                error,
                RegexError {
                    message: message(error),
                    offset,
                },
            )
        })
    }

    /// Makes JIT code for it. Whether that was possible; without it, matching is interpreted, and so it is with a pcre2
    /// whose JIT code is known to miss ([`jit_is_right`]).
    pub fn jit(&mut self) -> bool {
        jit_is_right() && self.jit_unchecked()
    }

    fn jit_unchecked(&mut self) -> bool {
        // SAFETY: the code is valid and, by `&mut`, not in use.
        unsafe { raw::pcre2_jit_compile_8(self.code.as_ptr(), raw::PCRE2_JIT_COMPLETE) == 0 }
    }

    /// Number of its capture groups.
    pub fn captures(&self) -> u32 {
        self.captures
    }

    /// Looks for the first match that starts at or after `start`.
    pub fn find(&self, subject: &[u8], start: usize, scratch: &mut RegexScratch) -> Matched {
        if start > subject.len() {
            return Matched::None;
        }
        // SAFETY: code, match data and context are valid; the subject is valid for its length, and `start` is within it.
        let code = unsafe {
            raw::pcre2_match_8(
                self.code.as_ptr(),
                subject.as_ptr(),
                subject.len(),
                start,
                0,
                scratch.data.as_ptr(),
                scratch.context.as_ptr(),
            )
        };
        match code {
            0.. => scratch
                .group(0)
                .map_or(Matched::None, |(from, to)| Matched::At(from, to)),
            raw::PCRE2_ERROR_NOMATCH => Matched::None,
            _ => Matched::Limit,
        }
    }
}

/// Whether JIT code of this pcre2 finds what interpreting finds, where some versions do not: in 10.45 to 10.47 the search
/// for a first byte skips alternatives of different length before a bounded class (PCRE2Project/pcre2, issue 874). Those
/// come with the crate where the system has none of its own. Asked once a process.
fn jit_is_right() -> bool {
    static RIGHT: OnceLock<bool> = OnceLock::new();
    *RIGHT.get_or_init(|| {
        let probe = || Regex::compile(PROBE.0, RegexOptions::default()).ok();
        let (Some(mut compiled), Some(plain), Some(mut scratch)) =
            (probe(), probe(), RegexScratch::new(3_500, 1_500))
        else {
            return false;
        };
        compiled.jit_unchecked()
            && compiled.find(PROBE.1, 0, &mut scratch) == plain.find(PROBE.1, 0, &mut scratch)
    })
}

/// An expression and a text that it matches.
const PROBE: (&[u8], &[u8]) = (
    br"\/(?:admin|login|news|process|get)[\w\/]{0,20}\.php$",
    b"/login/status.php",
);

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { raw::pcre2_code_free_8(self.code.as_ptr()) };
    }
}

/// Working memory of matches, with their limits: one a thread.
#[derive(Debug)]
pub struct RegexScratch {
    data: NonNull<raw::pcre2_match_data_8>,
    context: NonNull<raw::pcre2_match_context_8>,
}

// SAFETY: plain memory without ties to a thread; `&mut` makes sure that one thread uses it at a time.
unsafe impl Send for RegexScratch {}

impl RegexScratch {
    /// Groups kept: the whole match and 31 captures.
    const GROUPS: u32 = 32;

    /// Scratch with limits on steps and depth of backtracking. `None`: no memory.
    pub fn new(match_limit: u32, depth_limit: u32) -> Option<Self> {
        // SAFETY: null means the default allocator.
        let data =
            NonNull::new(unsafe { raw::pcre2_match_data_create_8(Self::GROUPS, ptr::null_mut()) })?;
        // SAFETY: as above.
        let context = unsafe { raw::pcre2_match_context_create_8(ptr::null_mut()) };
        let Some(context) = NonNull::new(context) else {
            // SAFETY: owned, freed once.
            unsafe { raw::pcre2_match_data_free_8(data.as_ptr()) };
            return None;
        };
        // SAFETY: the context is valid.
        unsafe {
            raw::pcre2_set_match_limit_8(context.as_ptr(), match_limit);
            raw::pcre2_set_depth_limit_8(context.as_ptr(), depth_limit);
        }
        Some(Self { data, context })
    }

    /// Start and end of a group in the subject of the last successful match.
    pub fn group(&self, number: u32) -> Option<(usize, usize)> {
        if number >= Self::GROUPS {
            return None;
        }
        let at = number as usize * 2;
        // SAFETY: the vector has two entries for each of the `GROUPS` groups, initialised by pcre2 at creation
        // (unset) and by each match.
        let (from, to) = unsafe {
            let vector = raw::pcre2_get_ovector_pointer_8(self.data.as_ptr());
            (*vector.add(at), *vector.add(at + 1))
        };
        (from <= to && to != usize::MAX).then_some((from, to))
    }
}

impl Drop for RegexScratch {
    fn drop(&mut self) {
        // SAFETY: both owned, freed once.
        unsafe {
            raw::pcre2_match_data_free_8(self.data.as_ptr());
            raw::pcre2_match_context_free_8(self.context.as_ptr());
        }
    }
}

fn message(code: c_int) -> String {
    let mut text = [0u8; 128];
    // SAFETY: the buffer is valid for its length; pcre2 terminates the text.
    unsafe { raw::pcre2_get_error_message_8(code, text.as_mut_ptr(), text.len()) };
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(expression: &str, letters: &str, subject: &[u8]) -> Matched {
        let mut regex =
            Regex::compile(expression.as_bytes(), RegexOptions::from_letters(letters)).unwrap();
        let mut scratch = RegexScratch::new(3500, 1500).unwrap();
        let interpreted = regex.find(subject, 0, &mut scratch);
        regex.jit();
        assert_eq!(regex.find(subject, 0, &mut scratch), interpreted);
        interpreted
    }

    #[test]
    fn letters_mean_what_rules_mean() {
        assert_eq!(find("b.d", "", b"abcd"), Matched::At(1, 4));
        assert_eq!(find("B.D", "i", b"abcd"), Matched::At(1, 4));
        assert_eq!(find("a.b", "", b"a\nb"), Matched::None);
        assert_eq!(find("a.b", "s", b"a\nb"), Matched::At(0, 3));
        assert_eq!(find("^b", "m", b"a\nb"), Matched::At(2, 3));
        assert_eq!(find("b", "A", b"ab"), Matched::None);
        assert_eq!(find("b$", "", b"ab\n"), Matched::At(1, 2));
        assert_eq!(find("b$", "E", b"ab\n"), Matched::None);
        assert_eq!(find("a b", "x", b"ab"), Matched::At(0, 2));
        assert_eq!(find("a.*", "G", b"abc"), Matched::At(0, 1));
    }

    #[test]
    fn jit_code_that_misses_is_not_used() {
        let expression = std::str::from_utf8(PROBE.0).unwrap();
        assert_eq!(find(expression, "", PROBE.1), Matched::At(0, 17));
        assert_eq!(
            find(r"(?:admin|login)[\w\/]{0,20}\.php", "", b"GET /login/a.php"),
            Matched::At(5, 16)
        );
    }

    #[test]
    fn back_references_make_groups_capture() {
        assert_eq!(find(r"(a|b)\1", "", b"abb"), Matched::At(1, 3));
    }

    #[test]
    fn a_bad_expression_names_its_place() {
        let error = Regex::compile(b"a(b", RegexOptions::default()).unwrap_err();
        assert_eq!(error.offset, 3);
        assert!(!error.message.is_empty());
    }

    #[test]
    fn catastrophic_backtracking_ends_at_the_limit() {
        let mut regex = Regex::compile(b"(a+)+$", RegexOptions::default()).unwrap();
        regex.jit();
        let mut scratch = RegexScratch::new(3500, 1500).unwrap();
        let subject = [&[b'a'; 64][..], b"b"].concat();
        assert_eq!(regex.find(&subject, 0, &mut scratch), Matched::Limit);
    }

    #[test]
    fn groups_can_be_read() {
        let options = RegexOptions {
            captures: true,
            ..RegexOptions::default()
        };
        let regex = Regex::compile(b"x(a+)(b)?", options).unwrap();
        let mut scratch = RegexScratch::new(3500, 1500).unwrap();
        assert_eq!(regex.find(b"..xaa", 0, &mut scratch), Matched::At(2, 5));
        assert_eq!(scratch.group(1), Some((3, 5)));
        assert_eq!(scratch.group(2), None);
        assert_eq!(scratch.group(99), None);
        assert_eq!(regex.captures(), 2);
    }
}
