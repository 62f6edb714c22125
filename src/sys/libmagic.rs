//! libmagic, when it is there: what kind of file some bytes begin. It is loaded at run time, so that only who asks for
//! kinds of files needs it. The library and its database are read once, by whoever asks first ([`load`]), so that a
//! confined process opens nothing later; each thread then has a handle of its own.
//!
//! Why unsafe: a C library whose functions are looked up by name. Source: libmagic(3) and magic.h.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

/// `struct magic_set`, which the library keeps.
type Handle = *mut c_void;

/// MAGIC_NONE
const NONE: c_int = 0;

/// The functions that are used, found once, and the database.
struct Library {
    open: unsafe extern "C" fn(c_int) -> Handle,
    load_buffers: unsafe extern "C" fn(Handle, *mut *mut c_void, *mut usize, usize) -> c_int,
    buffer: unsafe extern "C" fn(Handle, *const c_void, usize) -> *const c_char,
    error: unsafe extern "C" fn(Handle) -> *const c_char,
    close: unsafe extern "C" fn(Handle),
    database: Vec<u8>,
}

/// Where the compiled database is, unless the library says something else.
const DATABASES: [&str; 3] = [
    "/usr/share/misc/magic.mgc",
    "/usr/lib/file/magic.mgc",
    "/usr/share/file/misc/magic.mgc",
];

fn library() -> Result<&'static Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let library = open()?;
            // Whether the database fits the library shows when a handle takes it.
            Cookie::new(&library)?;
            Ok(library)
        })
        .as_ref()
        .map_err(Clone::clone)
}

fn open() -> Result<Library, String> {
    // SAFETY: the library is loaded and never closed, so that its functions stay valid; each is given the type that its
    // manual page declares, and a null pointer (a name that is not there) is not made a function. magic_getpath with a
    // null pointer gives a text that belongs to the library.
    unsafe {
        let library = libc::dlopen(c"libmagic.so.1".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            return Err("needs libmagic (Debian: libmagic1)".to_owned());
        }
        let find = |name: &CStr| {
            let symbol = libc::dlsym(library, name.as_ptr());
            if symbol.is_null() {
                Err(format!("libmagic has no {}", name.to_string_lossy()))
            } else {
                Ok(symbol)
            }
        };
        let path: unsafe extern "C" fn(*const c_char, c_int) -> *const c_char =
            std::mem::transmute(find(c"magic_getpath")?);
        let path = path(std::ptr::null(), 0);
        let own = if path.is_null() {
            String::new()
        } else {
            CStr::from_ptr(path).to_string_lossy().into_owned()
        };
        let own = own
            .split(':')
            .filter(|part| !part.is_empty())
            .flat_map(|part| [PathBuf::from(format!("{part}.mgc")), PathBuf::from(part)]);
        let database = own
            .chain(DATABASES.map(PathBuf::from))
            .filter(|path| path.extension().is_some_and(|e| e == "mgc"))
            .find_map(|path| std::fs::read(path).ok())
            .ok_or("libmagic's database magic.mgc is not there (Debian: libmagic-mgc)")?;
        Ok(Library {
            open: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> Handle>(find(
                c"magic_open",
            )?),
            load_buffers: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(Handle, *mut *mut c_void, *mut usize, usize) -> c_int,
            >(find(c"magic_load_buffers")?),
            buffer: std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(Handle, *const c_void, usize) -> *const c_char,
            >(find(c"magic_buffer")?),
            error: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(Handle) -> *const c_char>(
                find(c"magic_error")?,
            ),
            close: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(Handle)>(find(
                c"magic_close",
            )?),
            database,
        })
    }
}

/// A handle of one thread; closed with this.
struct Cookie {
    handle: Handle,
    close: unsafe extern "C" fn(Handle),
}

impl Cookie {
    fn new(library: &Library) -> Result<Self, String> {
        // SAFETY: the functions have the types of the manual page. The handle is closed with `this`. The database is
        // only read (the library maps a file read-only for the same purpose) and lives as long as the process: a library
        // in the OnceLock is never dropped, and one that failed is dropped after its handle.
        unsafe {
            let handle = (library.open)(NONE);
            if handle.is_null() {
                return Err("libmagic has no memory".to_owned());
            }
            let this = Self {
                handle,
                close: library.close,
            };
            let mut buffer = library.database.as_ptr().cast_mut().cast::<c_void>();
            let mut size = library.database.len();
            if (library.load_buffers)(handle, &raw mut buffer, &raw mut size, 1) != 0 {
                let text = (library.error)(handle);
                let why = if text.is_null() {
                    "its database is not one".into()
                } else {
                    CStr::from_ptr(text).to_string_lossy().into_owned()
                };
                return Err(format!("libmagic: {why}"));
            }
            Ok(this)
        }
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        // SAFETY: opened by this library, and closed once.
        unsafe { (self.close)(self.handle) }
    }
}

/// Loads the library and its database, or says why that cannot be.
pub fn load() -> Result<(), String> {
    library().map(|_| ())
}

/// What the bytes begin, in libmagic's words; `None` without the library.
pub fn describe(bytes: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        static COOKIE: RefCell<Option<Cookie>> = const { RefCell::new(None) };
    }
    let library = library().ok()?;
    COOKIE.with_borrow_mut(|cookie| {
        if cookie.is_none() {
            *cookie = Cookie::new(library).ok();
        }
        let cookie = cookie.as_ref()?;
        // SAFETY: the handle is open and of this thread alone; the bytes are borrowed for the call; the text belongs to
        // the handle until its next call, and is copied.
        unsafe {
            let text = (library.buffer)(cookie.handle, bytes.as_ptr().cast(), bytes.len());
            (!text.is_null()).then(|| CStr::from_ptr(text).to_bytes().to_vec())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_where_the_library_is() {
        if load().is_err() {
            assert_eq!(describe(b"%PDF-1.4\n"), None);
            return;
        }
        let found = describe(b"%PDF-1.4\n").unwrap();
        assert!(found.starts_with(b"PDF document"), "{found:?}");
        // Another thread has a handle of its own.
        let other = std::thread::spawn(|| describe(b"GIF89a\x01\x00\x01\x00\x00\x00\x00"));
        assert!(
            other
                .join()
                .unwrap()
                .unwrap()
                .starts_with(b"GIF image data")
        );
    }
}
