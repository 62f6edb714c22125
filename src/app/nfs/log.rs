//! NFS in EVE: the objects `rpc` and `nfs`.

use super::field::procedure_name;
use super::{NfsTx, four, three};
use crate::alert::Json;

/// Statuses (RFC 1813 §2.6), by number.
const STATUS: [(u32, &str); 29] = [
    (0, "OK"),
    (1, "ERR_PERM"),
    (2, "ERR_NOENT"),
    (5, "ERR_IO"),
    (6, "ERR_NXIO"),
    (13, "ERR_ACCES"),
    (17, "ERR_EXIST"),
    (18, "ERR_XDEV"),
    (19, "ERR_NODEV"),
    (20, "ERR_NOTDIR"),
    (21, "ERR_ISDIR"),
    (22, "ERR_INVAL"),
    (27, "ERR_FBIG"),
    (28, "ERR_NOSPC"),
    (30, "ERR_ROFS"),
    (31, "ERR_MLINK"),
    (63, "ERR_NAMETOOLONG"),
    (66, "ERR_NOTEMPTY"),
    (69, "ERR_DQUOT"),
    (70, "ERR_STALE"),
    (71, "ERR_REMOTE"),
    (10001, "ERR_BADHANDLE"),
    (10002, "ERR_NOT_SYNC"),
    (10003, "ERR_BAD_COOKIE"),
    (10004, "ERR_NOTSUPP"),
    (10005, "ERR_TOOSMALL"),
    (10006, "ERR_SERVERFAULT"),
    (10007, "ERR_BADTYPE"),
    (10008, "ERR_JUKEBOX"),
];

/// CRC-32 of a handle (IEEE 802.3), by which records name it.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    })
}

/// Writes both objects.
pub(super) fn write(tx: &NfsTx, json: &mut Json<'_>) {
    json.object("rpc")
        .num("xid", tx.xid)
        .str("status", if tx.denied { "DENIED" } else { "ACCEPTED" });
    json.str("auth_type", tx.credentials.flavor_name());
    if tx.credentials.is_unix() {
        json.object("creds")
            .str("machine_name", &tx.credentials.machine)
            .num("uid", tx.credentials.uid)
            .num("gid", tx.credentials.gid)
            .end();
    }
    json.end();
    json.object("nfs").num("version", tx.version);
    json.str(
        "procedure",
        procedure_name(tx.version, tx.procedure).to_uppercase(),
    )
    .str("filename", &tx.name);
    if !tx.handle.is_empty() {
        json.str("hhash", format!("{:x}", checksum(&tx.handle)));
    }
    json.num("id", tx.state.id + 1)
        .bool("file_tx", tx.transfer.is_some())
        .str("type", "response");
    let status = tx.status.unwrap_or(0);
    match STATUS.iter().find(|(number, _)| *number == status) {
        Some((_, name)) => json.str("status", name),
        None => json.str("status", status.to_string()),
    };
    if let Some(transfer) = &tx.transfer {
        let way = match transfer.direction {
            crate::packet::Direction::ToClient => "read",
            crate::packet::Direction::ToServer => "write",
        };
        json.object(way)
            .bool("first", true)
            .bool("last", transfer.ended)
            .num("last_xid", transfer.last_xid)
            .num("chunks", transfer.chunks)
            .end();
    }
    let rename = match tx.version {
        2 => 11,
        3 => three::RENAME,
        _ => four::RENAME,
    };
    if tx.procedure == rename {
        json.object("rename")
            .str("from", &tx.name)
            .str("to", &tx.to)
            .end();
    }
    json.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_ethernet() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }
}
