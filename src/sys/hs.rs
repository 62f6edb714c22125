//! Multi-pattern matching by libhs (Vectorscan or Hyperscan): literals, block mode.
//!
//! Why not safe code: over 5,000 literals the best pure Rust matcher is 12 to 15 times slower. Only what the signature
//! engine needs is wrapped: compile literals, scan a block, serialize for the cache. Every literal is reported at most
//! once a scan (`HS_FLAG_SINGLEMATCH`), at its first end.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr::{self, NonNull};

/// A literal to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Literal<'a> {
    /// The bytes, at least one.
    pub bytes: &'a [u8],
    /// Whether ASCII case does not matter.
    pub nocase: bool,
    /// Number reported when it is found. Literals of one database have different numbers.
    pub id: u32,
}

/// Why libhs refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsError {
    /// libhs' error number (negative).
    pub code: i32,
    /// Its message, when it gave one.
    pub message: String,
}

impl HsError {
    fn of(code: c_int) -> Self {
        let message = match code {
            -1 => "invalid parameter",
            -2 => "no memory",
            -4 => "compile error",
            -5 => "database of another version",
            -6 => "database of another platform",
            -7 => "database of another mode",
            -11 => "CPU lacks SSSE3 or SSE4.2",
            -12 => "scratch in use",
            _ => "error",
        };
        Self {
            code,
            message: message.to_owned(),
        }
    }
}

impl std::fmt::Display for HsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for HsError {}

/// A compiled set of literals. Read only; shared by threads.
#[derive(Debug)]
pub struct Database(NonNull<c_void>);

// SAFETY: libhs documents databases as read only after compilation and usable from several threads at a time.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// Compiles literals. An empty set is refused by libhs.
    pub fn compile(literals: &[Literal<'_>]) -> Result<Self, HsError> {
        // libhs takes a literal that begins with NUL for an empty one; as an expression it is none.
        if literals.iter().any(|l| l.bytes.first() == Some(&0)) {
            return Self::compile_escaped(literals);
        }
        let expressions: Vec<*const c_char> =
            literals.iter().map(|l| l.bytes.as_ptr().cast()).collect();
        let lens: Vec<usize> = literals.iter().map(|l| l.bytes.len()).collect();
        let (ids, flags, count) = arrays(literals)?;
        let mut database = ptr::null_mut();
        let mut error: *mut CompileError = ptr::null_mut();
        // SAFETY: the four arrays hold `count` elements each and outlive the call; each expression pointer is valid for
        // its length in `lens` (libhs does not need a terminator for literals that do not begin with NUL); the out
        // pointers are valid.
        let code = unsafe {
            hs_compile_lit_multi(
                expressions.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                lens.as_ptr(),
                count,
                MODE_VECTORED,
                ptr::null(),
                &mut database,
                &mut error,
            )
        };
        Self::compiled(code, database, error)
    }

    /// Compiles literals written as expressions of hexadecimal escapes.
    fn compile_escaped(literals: &[Literal<'_>]) -> Result<Self, HsError> {
        let escaped: Vec<CString> = literals
            .iter()
            .map(|l| {
                let text: String = l.bytes.iter().map(|b| format!("\\x{b:02x}")).collect();
                CString::new(text).unwrap_or_default()
            })
            .collect();
        let expressions: Vec<*const c_char> = escaped.iter().map(|e| e.as_ptr()).collect();
        let (ids, flags, count) = arrays(literals)?;
        let mut database = ptr::null_mut();
        let mut error: *mut CompileError = ptr::null_mut();
        // SAFETY: the three arrays hold `count` elements each and outlive the call; each expression is a C string; the
        // out pointers are valid.
        let code = unsafe {
            hs_compile_multi(
                expressions.as_ptr(),
                flags.as_ptr(),
                ids.as_ptr(),
                count,
                MODE_VECTORED,
                ptr::null(),
                &mut database,
                &mut error,
            )
        };
        Self::compiled(code, database, error)
    }

    fn compiled(
        code: c_int,
        database: *mut c_void,
        error: *mut CompileError,
    ) -> Result<Self, HsError> {
        if let Some(e) = NonNull::new(error) {
            // SAFETY: libhs gave the structure; its message is a C string until it is freed just below.
            let message = unsafe { CStr::from_ptr((*e.as_ptr()).message) }
                .to_string_lossy()
                .into_owned();
            // SAFETY: it is freed once, and not used after.
            unsafe { hs_free_compile_error(e.as_ptr()) };
            return Err(HsError { code, message });
        }
        match NonNull::new(database) {
            Some(database) if code == 0 => Ok(Self(database)),
            _ => Err(HsError::of(code)),
        }
    }

    /// The database as bytes, for the cache.
    pub fn serialize(&self) -> Result<Vec<u8>, HsError> {
        let mut bytes: *mut c_char = ptr::null_mut();
        let mut len = 0usize;
        // SAFETY: the database is valid as long as `self`; the out pointers are valid.
        let code = unsafe { hs_serialize_database(self.0.as_ptr(), &mut bytes, &mut len) };
        if code != 0 || bytes.is_null() {
            return Err(HsError::of(code));
        }
        // SAFETY: libhs says that `bytes` holds `len` bytes; they are copied before they are freed.
        let copy = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) }.to_vec();
        // SAFETY: libhs allocated it by its default allocator, which is malloc; freed once.
        unsafe { libc::free(bytes.cast()) };
        Ok(copy)
    }

    /// A database from bytes that [`Database::serialize`] gave. libhs checks version, platform and its own checksum;
    /// the caller must have verified that the bytes are what was written (they are not fit for hostile input).
    pub fn deserialize(bytes: &[u8]) -> Result<Self, HsError> {
        let mut database = ptr::null_mut();
        // SAFETY: the pointer is valid for the length; libhs copies what it needs; the out pointer is valid.
        let code =
            unsafe { hs_deserialize_database(bytes.as_ptr().cast(), bytes.len(), &mut database) };
        match NonNull::new(database) {
            Some(database) if code == 0 => Ok(Self(database)),
            _ => Err(HsError::of(code)),
        }
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        let mut size = 0usize;
        // SAFETY: the database is valid as long as `self`.
        let code = unsafe { hs_database_size(self.0.as_ptr(), &mut size) };
        if code == 0 { size } else { 0 }
    }

    /// Scans a block: `found` gets the number of each literal that it holds and the offset of the end of its first
    /// occurrence; it answers whether to go on. At most `u32::MAX` bytes are scanned.
    pub fn scan<F: FnMut(u32, usize) -> bool>(
        &self,
        scratch: &mut Scratch,
        block: &[u8],
        mut found: F,
    ) -> Result<(), HsError> {
        let len = c_uint::try_from(block.len()).unwrap_or(c_uint::MAX);
        let data: *const c_char = block.as_ptr().cast();
        // SAFETY: database and scratch are valid and the scratch was grown for this database (checked by libhs); the
        // scratch is borrowed mutably, so it is not in use; the vector is one block, valid for `len` bytes; the context is
        // a closure that outlives the call and is used by this thread only, through the trampoline of its own type.
        let code = unsafe {
            hs_scan_vector(
                self.0.as_ptr(),
                &data,
                &len,
                1,
                0,
                scratch.0.as_ptr(),
                trampoline::<F>,
                (&raw mut found).cast(),
            )
        };
        match code {
            0 | TERMINATED => Ok(()),
            other => Err(HsError::of(other)),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { hs_free_database(self.0.as_ptr()) };
    }
}

/// Working memory of scans: one a thread, for all databases it was grown for.
#[derive(Debug)]
pub struct Scratch(NonNull<c_void>);

// SAFETY: it is plain memory without ties to a thread; `&mut` makes sure that one thread uses it at a time.
unsafe impl Send for Scratch {}

impl Scratch {
    /// Scratch for the given databases; `None` when there is none to scan.
    pub fn for_databases<'a>(
        databases: impl IntoIterator<Item = &'a Database>,
    ) -> Result<Option<Self>, HsError> {
        let mut raw = ptr::null_mut();
        for database in databases {
            // SAFETY: `raw` is null or what the last call gave; libhs replaces it when it must grow.
            let code = unsafe { hs_alloc_scratch(database.0.as_ptr(), &mut raw) };
            if code != 0 {
                if let Some(raw) = NonNull::new(raw) {
                    drop(Self(raw));
                }
                return Err(HsError::of(code));
            }
        }
        Ok(NonNull::new(raw).map(Self))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: owned, freed once.
        unsafe { hs_free_scratch(self.0.as_ptr()) };
    }
}

/// Version of libhs with its build.
pub fn version() -> String {
    // SAFETY: libhs returns a static C string.
    unsafe { CStr::from_ptr(hs_version()) }
        .to_string_lossy()
        .into_owned()
}

/// What libhs knows of this CPU: databases compiled for another one do not fit.
pub fn platform() -> (u32, u64) {
    let mut platform = Platform::default();
    // SAFETY: the out pointer is valid and of libhs' layout (hs_compile.h, hs_platform_info).
    unsafe { hs_populate_platform(&mut platform) };
    (platform.tune, platform.cpu_features)
}

/// Numbers and flags of literals, and how many there are.
fn arrays(literals: &[Literal<'_>]) -> Result<(Vec<c_uint>, Vec<c_uint>, c_uint), HsError> {
    let ids = literals.iter().map(|l| l.id).collect();
    let flags = literals
        .iter()
        .map(|l| SINGLEMATCH | if l.nocase { CASELESS } else { 0 })
        .collect();
    let count = c_uint::try_from(literals.len()).map_err(|_| HsError::of(-1))?;
    Ok((ids, flags, count))
}

extern "C" fn trampoline<F: FnMut(u32, usize) -> bool>(
    id: c_uint,
    _from: c_ulonglong,
    to: c_ulonglong,
    _flags: c_uint,
    context: *mut c_void,
) -> c_int {
    // SAFETY: `scan` passes a pointer to a live closure of type `F`, and libhs calls from the same thread only.
    let found = unsafe { &mut *context.cast::<F>() };
    c_int::from(!found(id, to as usize))
}

const CASELESS: c_uint = 1;
const SINGLEMATCH: c_uint = 8;
/// `HS_MODE_VECTORED`: what is scanned is a list of blocks, here always one. Databases for single blocks (`HS_MODE_BLOCK`)
/// hold an automaton for short blocks besides, up to 1 MiB each; without it et-open's take a fourth of the memory and the
/// time to load, and scans take the same time.
const MODE_VECTORED: c_uint = 4;
/// `HS_SCAN_TERMINATED`: the callback asked to stop.
const TERMINATED: c_int = -3;

#[repr(C)]
struct CompileError {
    message: *mut c_char,
    expression: c_int,
}

#[repr(C)]
#[derive(Default)]
struct Platform {
    tune: c_uint,
    cpu_features: c_ulonglong,
    reserved: [c_ulonglong; 2],
}

type Found = extern "C" fn(c_uint, c_ulonglong, c_ulonglong, c_uint, *mut c_void) -> c_int;

unsafe extern "C" {
    fn hs_compile_lit_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        lens: *const usize,
        elements: c_uint,
        mode: c_uint,
        platform: *const Platform,
        database: *mut *mut c_void,
        error: *mut *mut CompileError,
    ) -> c_int;
    fn hs_compile_multi(
        expressions: *const *const c_char,
        flags: *const c_uint,
        ids: *const c_uint,
        elements: c_uint,
        mode: c_uint,
        platform: *const Platform,
        database: *mut *mut c_void,
        error: *mut *mut CompileError,
    ) -> c_int;
    fn hs_free_compile_error(error: *mut CompileError) -> c_int;
    fn hs_free_database(database: *mut c_void) -> c_int;
    fn hs_database_size(database: *const c_void, size: *mut usize) -> c_int;
    fn hs_serialize_database(
        database: *const c_void,
        bytes: *mut *mut c_char,
        len: *mut usize,
    ) -> c_int;
    fn hs_deserialize_database(
        bytes: *const c_char,
        len: usize,
        database: *mut *mut c_void,
    ) -> c_int;
    fn hs_alloc_scratch(database: *const c_void, scratch: *mut *mut c_void) -> c_int;
    fn hs_free_scratch(scratch: *mut c_void) -> c_int;
    fn hs_scan_vector(
        database: *const c_void,
        data: *const *const c_char,
        len: *const c_uint,
        count: c_uint,
        flags: c_uint,
        scratch: *mut c_void,
        found: Found,
        context: *mut c_void,
    ) -> c_int;
    fn hs_version() -> *const c_char;
    fn hs_populate_platform(platform: *mut Platform) -> c_int;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Database {
        Database::compile(&[
            Literal {
                bytes: b"abc",
                nocase: false,
                id: 7,
            },
            Literal {
                bytes: b"X\0y",
                nocase: true,
                id: 9,
            },
        ])
        .unwrap()
    }

    fn scan(database: &Database, block: &[u8]) -> Vec<(u32, usize)> {
        let mut scratch = Scratch::for_databases([database]).unwrap().unwrap();
        let mut found = Vec::new();
        database
            .scan(&mut scratch, block, |id, to| {
                found.push((id, to));
                true
            })
            .unwrap();
        found.sort_unstable();
        found
    }

    #[test]
    fn each_literal_is_reported_once_at_its_first_end() {
        assert_eq!(scan(&database(), b"..abc abc x\0Y ABC"), [(7, 5), (9, 13)]);
        assert_eq!(scan(&database(), b"ABC x y"), []);
        assert_eq!(scan(&database(), b""), []);
    }

    #[test]
    fn a_literal_may_begin_with_nul_and_hold_newlines() {
        let database = Database::compile(&[
            Literal {
                bytes: b"\0\0",
                nocase: false,
                id: 1,
            },
            Literal {
                bytes: b"\0A\n",
                nocase: true,
                id: 2,
            },
        ])
        .unwrap();
        assert_eq!(scan(&database, b"x\0a\n\0\0"), [(1, 6), (2, 4)]);
    }

    #[test]
    fn scan_stops_when_asked() {
        let database = database();
        let mut scratch = Scratch::for_databases([&database]).unwrap().unwrap();
        let mut calls = 0;
        database
            .scan(&mut scratch, b"abc x\0y abc", |_, _| {
                calls += 1;
                false
            })
            .unwrap();
        assert_eq!(calls, 1);
    }

    #[test]
    fn serialized_database_matches_the_same() {
        let bytes = database().serialize().unwrap();
        let copy = Database::deserialize(&bytes).unwrap();
        assert_eq!(scan(&copy, b"abcx\0y"), [(7, 3), (9, 6)]);
        assert!(copy.size() > 0);
    }

    #[test]
    fn truncated_bytes_are_refused() {
        let bytes = database().serialize().unwrap();
        assert!(Database::deserialize(&bytes[..20]).is_err());
        assert!(Database::deserialize(b"").is_err());
    }

    #[test]
    fn an_empty_set_is_refused() {
        assert!(Database::compile(&[]).is_err());
        assert!(Scratch::for_databases([]).unwrap().is_none());
    }
}
