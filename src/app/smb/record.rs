//! SMB on the wire: the two headers, names, NTLMSSP (MS-SMB, MS-SMB2, MS-NLMP).

use std::borrow::Cow;

use crate::app::reader::Reader;

/// A message of either version, its header read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// 1 or 2.
    pub(super) version: u8,
    pub(super) command: u16,
    /// NT status; for version 1 without it, DOS class and code.
    pub(super) status: u32,
    pub(super) is_dos_status: bool,
    pub(super) is_response: bool,
    /// Version 1: strings are UTF-16.
    pub(super) unicode: bool,
    pub(super) session: u64,
    pub(super) tree: u32,
    pub(super) message: u64,
    /// The whole message, header included: offsets count from its start.
    pub(super) whole: &'a [u8],
    /// Bytes of the header.
    pub(super) header_len: usize,
    /// Offset of the next message of a compound (version 2), 0 for none.
    pub(super) next: usize,
}

impl<'a> Record<'a> {
    /// Reads a header.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        match bytes.get(..4)? {
            [0xff, b'S', b'M', b'B'] => Self::one(bytes),
            [0xfe, b'S', b'M', b'B'] => Self::two(bytes),
            _ => None,
        }
    }

    fn one(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::starting(bytes, 4);
        let command = u16::from(r.u8()?);
        let status = r.u32_le()?;
        let (flags, flags2) = (r.u8()?, r.u16_le()?);
        r.skip(12)?;
        let tree = u32::from(r.u16_le()?);
        r.skip(2)?;
        let (user, message) = (r.u16_le()?, r.u16_le()?);
        Some(Self {
            version: 1,
            command,
            status,
            is_dos_status: flags2 & 0x4000 == 0,
            is_response: flags & 0x80 != 0,
            unicode: flags2 & 0x8000 != 0,
            session: u64::from(user),
            tree,
            message: u64::from(message),
            whole: bytes,
            header_len: 32,
            next: 0,
        })
    }

    fn two(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::starting(bytes, 4);
        let header_len = usize::from(r.u16_le()?);
        r.skip(2)?;
        let (status, command) = (r.u32_le()?, r.u16_le()?);
        r.skip(2)?;
        let flags = r.u32_le()?;
        let next = r.u32_le()? as usize;
        let message = r.u64_le()?;
        r.skip(4)?;
        let tree = r.u32_le()?;
        let session = r.u64_le()?;
        r.skip(16)?;
        let asynchronous = flags & 2 != 0;
        (header_len == 64).then_some(Self {
            version: 2,
            command,
            status,
            is_dos_status: false,
            is_response: flags & 1 != 0,
            unicode: true,
            session,
            tree: if asynchronous { 0 } else { tree },
            message,
            whole: bytes,
            header_len,
            next,
        })
    }

    /// What follows the header.
    pub(super) fn body(&self) -> Reader<'a> {
        Reader::starting(self.whole, self.header_len)
    }

    /// Bytes at an offset from the start of the header.
    pub(super) fn at(&self, offset: usize, len: usize) -> Option<&'a [u8]> {
        self.whole.get(offset..offset.checked_add(len)?)
    }
}

/// UTF-16 as the reference shows it: without the zeros. Enough for Latin names; others keep their bytes.
pub(super) fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .copied()
        .filter(|b| *b != 0)
        .take(NAME_MAX)
        .collect()
}

/// Bytes of a name kept.
const NAME_MAX: usize = 4096;

/// A string of version 1 up to its zero; UTF-16 begins at an even offset of the message.
pub(super) fn string(r: &mut Reader<'_>, unicode: bool) -> Vec<u8> {
    if !unicode {
        return match r.until(0) {
            Some(text) => plain(text),
            None => plain(r.take_rest()),
        };
    }
    if !r.position().is_multiple_of(2) {
        let _ = r.skip(1);
    }
    let mut out = Vec::new();
    while let Some(unit) = r.take(2) {
        if unit == [0, 0] {
            break;
        }
        if out.len() < NAME_MAX {
            out.extend(unit.iter().copied().filter(|b| *b != 0));
        }
    }
    out
}

/// Who logs on (MS-NLMP §2.2.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ntlmssp {
    pub(super) domain: Vec<u8>,
    pub(super) user: Vec<u8>,
    pub(super) host: Vec<u8>,
    pub(super) version: Option<String>,
}

impl Ntlmssp {
    /// Finds an AUTHENTICATE message in a security blob, whatever wraps it.
    pub(super) fn find(blob: &[u8]) -> Option<Self> {
        let start = memchr::memmem::find(blob, b"NTLMSSP\0\x03\0\0\0")?;
        let bytes = blob.get(start..)?;
        let part = |at: usize| {
            let mut r = Reader::starting(bytes, at);
            let len = usize::from(r.u16_le()?);
            r.skip(2)?;
            let offset = r.u32_le()? as usize;
            bytes.get(offset..offset.checked_add(len)?).map(plain)
        };
        let flags = Reader::starting(bytes, 60).u32_le().unwrap_or(0);
        let version = Reader::starting(bytes, 64)
            .take(8)
            .filter(|_| flags & 0x0200_0000 != 0);
        let version = version.and_then(|v| match v {
            [major, minor, low, high, _, _, _, revision] => {
                let build = u16::from_le_bytes([*low, *high]);
                Some(format!("{major}.{minor} build {build} rev {revision}"))
            }
            _ => None,
        });
        Some(Self {
            domain: part(28)?,
            user: part(36)?,
            host: part(44)?,
            version,
        })
    }
}

/// Names of the commands of version 1.
pub(super) fn command1(command: u16) -> Cow<'static, str> {
    let name = match command {
        0x00 => "SMB1_COMMAND_CREATE_DIRECTORY",
        0x01 => "SMB1_COMMAND_DELETE_DIRECTORY",
        0x02 => "SMB1_COMMAND_OPEN",
        0x03 => "SMB1_COMMAND_CREATE",
        0x04 => "SMB1_COMMAND_CLOSE",
        0x05 => "SMB1_COMMAND_FLUSH",
        0x06 => "SMB1_COMMAND_DELETE",
        0x07 => "SMB1_COMMAND_RENAME",
        0x08 => "SMB1_COMMAND_QUERY_INFORMATION",
        0x09 => "SMB1_COMMAND_SET_INFORMATION",
        0x0a => "SMB1_COMMAND_READ",
        0x0b => "SMB1_COMMAND_WRITE",
        0x10 => "SMB1_COMMAND_CHECK_DIRECTORY",
        0x23 => "SMB1_COMMAND_QUERY_INFO2",
        0x24 => "SMB1_COMMAND_LOCKING_ANDX",
        0x25 => "SMB1_COMMAND_TRANS",
        0x2b => "SMB1_COMMAND_ECHO",
        0x2c => "SMB1_COMMAND_WRITE_AND_CLOSE",
        0x2d => "SMB1_COMMAND_OPEN_ANDX",
        0x2e => "SMB1_COMMAND_READ_ANDX",
        0x2f => "SMB1_COMMAND_WRITE_ANDX",
        0x32 => "SMB1_COMMAND_TRANS2",
        0x33 => "SMB1_COMMAND_TRANS2_SECONDARY",
        0x34 => "SMB1_COMMAND_FIND_CLOSE2",
        0x71 => "SMB1_COMMAND_TREE_DISCONNECT",
        0x72 => "SMB1_COMMAND_NEGOTIATE_PROTOCOL",
        0x73 => "SMB1_COMMAND_SESSION_SETUP_ANDX",
        0x74 => "SMB1_COMMAND_LOGOFF_ANDX",
        0x75 => "SMB1_COMMAND_TREE_CONNECT_ANDX",
        0x80 => "SMB1_COMMAND_QUERY_INFO_DISK",
        0xa0 => "SMB1_COMMAND_NT_TRANS",
        0xa1 => "SMB1_COMMAND_NT_TRANS_SECONDARY",
        0xa2 => "SMB1_COMMAND_NT_CREATE_ANDX",
        0xa4 => "SMB1_COMMAND_NT_CANCEL",
        other => return other.to_string().into(),
    };
    name.into()
}

/// Names of the commands of version 2.
pub(super) fn command2(command: u16) -> Cow<'static, str> {
    const NAMES: [&str; 19] = [
        "SMB2_COMMAND_NEGOTIATE_PROTOCOL",
        "SMB2_COMMAND_SESSION_SETUP",
        "SMB2_COMMAND_SESSION_LOGOFF",
        "SMB2_COMMAND_TREE_CONNECT",
        "SMB2_COMMAND_TREE_DISCONNECT",
        "SMB2_COMMAND_CREATE",
        "SMB2_COMMAND_CLOSE",
        "SMB2_COMMAND_FLUSH",
        "SMB2_COMMAND_READ",
        "SMB2_COMMAND_WRITE",
        "SMB2_COMMAND_LOCK",
        "SMB2_COMMAND_IOCTL",
        "SMB2_COMMAND_CANCEL",
        "SMB2_COMMAND_KEEPALIVE",
        "SMB2_COMMAND_FIND",
        "SMB2_COMMAND_CHANGE_NOTIFY",
        "SMB2_COMMAND_GET_INFO",
        "SMB2_COMMAND_SET_INFO",
        "SMB2_COMMAND_OPLOCK_BREAK",
    ];
    NAMES
        .get(usize::from(command))
        .map_or_else(|| command.to_string().into(), |name| (*name).into())
}

/// Names of NT status values (MS-ERREF §2.3.1), those that file and logon traffic shows.
pub(super) fn status_name(status: u32) -> Option<&'static str> {
    STATUS
        .iter()
        .find(|(code, _)| *code == status)
        .map(|(_, name)| *name)
}

static STATUS: &[(u32, &str)] = &[
    (0, "STATUS_SUCCESS"),
    (0x102, "STATUS_TIMEOUT"),
    (0x103, "STATUS_PENDING"),
    (0x105, "STATUS_MORE_ENTRIES"),
    (0x10b, "STATUS_NOTIFY_CLEANUP"),
    (0x10c, "STATUS_NOTIFY_ENUM_DIR"),
    (0x8000_0005, "STATUS_BUFFER_OVERFLOW"),
    (0x8000_0006, "STATUS_NO_MORE_FILES"),
    (0x8000_002d, "STATUS_STOPPED_ON_SYMLINK"),
    (0xc000_0001, "STATUS_UNSUCCESSFUL"),
    (0xc000_0002, "STATUS_NOT_IMPLEMENTED"),
    (0xc000_0003, "STATUS_INVALID_INFO_CLASS"),
    (0xc000_0004, "STATUS_INFO_LENGTH_MISMATCH"),
    (0xc000_0008, "STATUS_INVALID_HANDLE"),
    (0xc000_000d, "STATUS_INVALID_PARAMETER"),
    (0xc000_000e, "STATUS_NO_SUCH_DEVICE"),
    (0xc000_000f, "STATUS_NO_SUCH_FILE"),
    (0xc000_0010, "STATUS_INVALID_DEVICE_REQUEST"),
    (0xc000_0011, "STATUS_END_OF_FILE"),
    (0xc000_0016, "STATUS_MORE_PROCESSING_REQUIRED"),
    (0xc000_0022, "STATUS_ACCESS_DENIED"),
    (0xc000_0023, "STATUS_BUFFER_TOO_SMALL"),
    (0xc000_0033, "STATUS_OBJECT_NAME_INVALID"),
    (0xc000_0034, "STATUS_OBJECT_NAME_NOT_FOUND"),
    (0xc000_0035, "STATUS_OBJECT_NAME_COLLISION"),
    (0xc000_0039, "STATUS_OBJECT_PATH_INVALID"),
    (0xc000_003a, "STATUS_OBJECT_PATH_NOT_FOUND"),
    (0xc000_003b, "STATUS_OBJECT_PATH_SYNTAX_BAD"),
    (0xc000_0043, "STATUS_SHARING_VIOLATION"),
    (0xc000_0054, "STATUS_FILE_LOCK_CONFLICT"),
    (0xc000_0055, "STATUS_LOCK_NOT_GRANTED"),
    (0xc000_0056, "STATUS_DELETE_PENDING"),
    (0xc000_0059, "STATUS_UNKNOWN_REVISION"),
    (0xc000_005e, "STATUS_NO_LOGON_SERVERS"),
    (0xc000_0061, "STATUS_PRIVILEGE_NOT_HELD"),
    (0xc000_0064, "STATUS_NO_SUCH_USER"),
    (0xc000_006a, "STATUS_WRONG_PASSWORD"),
    (0xc000_006d, "STATUS_LOGON_FAILURE"),
    (0xc000_006e, "STATUS_ACCOUNT_RESTRICTION"),
    (0xc000_006f, "STATUS_INVALID_LOGON_HOURS"),
    (0xc000_0070, "STATUS_INVALID_WORKSTATION"),
    (0xc000_0071, "STATUS_PASSWORD_EXPIRED"),
    (0xc000_0072, "STATUS_ACCOUNT_DISABLED"),
    (0xc000_007f, "STATUS_DISK_FULL"),
    (0xc000_009a, "STATUS_INSUFFICIENT_RESOURCES"),
    (0xc000_00a2, "STATUS_MEDIA_WRITE_PROTECTED"),
    (0xc000_00ac, "STATUS_PIPE_NOT_AVAILABLE"),
    (0xc000_00ad, "STATUS_INVALID_PIPE_STATE"),
    (0xc000_00ae, "STATUS_PIPE_BUSY"),
    (0xc000_00b0, "STATUS_PIPE_DISCONNECTED"),
    (0xc000_00b1, "STATUS_PIPE_CLOSING"),
    (0xc000_00b5, "STATUS_IO_TIMEOUT"),
    (0xc000_00ba, "STATUS_FILE_IS_A_DIRECTORY"),
    (0xc000_00bb, "STATUS_NOT_SUPPORTED"),
    (0xc000_00c9, "STATUS_NETWORK_NAME_DELETED"),
    (0xc000_00ca, "STATUS_NETWORK_ACCESS_DENIED"),
    (0xc000_00cb, "STATUS_BAD_DEVICE_TYPE"),
    (0xc000_00cc, "STATUS_BAD_NETWORK_NAME"),
    (0xc000_00d0, "STATUS_REQUEST_NOT_ACCEPTED"),
    (0xc000_00d5, "STATUS_FILE_RENAMED"),
    (0xc000_0101, "STATUS_DIRECTORY_NOT_EMPTY"),
    (0xc000_0103, "STATUS_NOT_A_DIRECTORY"),
    (0xc000_0120, "STATUS_CANCELLED"),
    (0xc000_0121, "STATUS_CANNOT_DELETE"),
    (0xc000_0123, "STATUS_FILE_DELETED"),
    (0xc000_0128, "STATUS_FILE_CLOSED"),
    (0xc000_014b, "STATUS_PIPE_BROKEN"),
    (0xc000_015b, "STATUS_LOGON_TYPE_NOT_GRANTED"),
    (0xc000_0184, "STATUS_INVALID_DEVICE_STATE"),
    (0xc000_018d, "STATUS_TRUSTED_RELATIONSHIP_FAILURE"),
    (0xc000_0193, "STATUS_ACCOUNT_EXPIRED"),
    (0xc000_01a1, "STATUS_ALREADY_DISCONNECTED"),
    (0xc000_0203, "STATUS_USER_SESSION_DELETED"),
    (0xc000_0224, "STATUS_PASSWORD_MUST_CHANGE"),
    (0xc000_0225, "STATUS_NOT_FOUND"),
    (0xc000_0234, "STATUS_ACCOUNT_LOCKED_OUT"),
    (0xc000_0257, "STATUS_PATH_NOT_COVERED"),
    (0xc000_0275, "STATUS_NOT_A_REPARSE_POINT"),
    (0xc000_035c, "STATUS_NETWORK_SESSION_EXPIRED"),
];
