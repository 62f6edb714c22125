//! EVE's `smb` object.

use super::record::{command1, command2, status_name};
use super::{Handle, Kind, Logon, SmbSession, SmbTx, two};
use crate::alert::{Json, hex_digit};
use crate::app::Transaction;
use crate::app::dcerpc::pdu::{self, Call, Interface, uuid_text};
use crate::app::dcerpc::{log as rpc, names};

/// `"smb":{…}`.
pub(super) fn smb(tx: &SmbTx, session: &SmbSession, json: &mut Json<'_>) {
    json.object("smb").num("id", tx.state().id + 1);
    match (session.dialect, &session.dialect_name) {
        (0, None) => json.str("dialect", "unknown"),
        (0, Some(name)) => json.str("dialect", name),
        (number, _) => json.str("dialect", two::dialect(number).as_bytes()),
    };
    if let Some(command) = tx.command {
        let name = if tx.version == 1 {
            command1(command)
        } else {
            command2(command)
        };
        json.str("command", name.as_bytes());
    }
    // What reads or writes many times has no header of its own in version 1, nor has the choice of a dialect.
    let of_many = tx.version == 1 && matches!(tx.kind, Kind::File { .. });
    if let Some(status) = tx.status.filter(|_| !of_many) {
        answered(status, tx.dos_status, json);
    }
    let (user, tree) = match tx.kind {
        Kind::Negotiate { .. } => (0, 0),
        _ if of_many => (0, 0),
        _ => (tx.session, tx.tree),
    };
    json.num("session_id", user).num("tree_id", tree);
    subject(tx, session, json);
    json.end();
}

/// Errors of the older kind, by class: DOS (1) and server (2). [MS-CIFS] §2.2.2.4.
fn dos_name(class: u8, code: u16) -> Option<&'static str> {
    Some(match (class, code) {
        (1, 0) => "DOS_SUCCESS",
        (1, 1) => "DOS_BAD_FUNC",
        (1, 2) => "DOS_BAD_FILE",
        (1, 3) => "DOS_BAD_PATH",
        (1, 4) => "DOS_TOO_MANY_OPEN_FILES",
        (1, 5) => "DOS_ACCESS_DENIED",
        (2, 1) => "SRV_ERROR",
        (2, 2) => "SRV_BADPW",
        (2, 3) => "SRV_BADTYPE",
        (2, 4) => "SRV_ACCESS",
        (2, 91) => "SRV_BADUID",
        _ => return None,
    })
}

fn answered(status: u32, dos: bool, json: &mut Json<'_>) {
    if dos && status != 0 {
        let [class, _, low, high] = status.to_le_bytes();
        let code = u16::from_le_bytes([low, high]);
        match dos_name(class, code) {
            Some(name) => json.str("status", name),
            None if matches!(class, 1 | 2) => json.str("status", code.to_string()),
            None => json.str("status", format!("UNKNOWN_{class:02x}_{code:04x}")),
        };
        json.str("status_code", format!("0x{code:04x}"));
        return;
    }
    match status_name(status) {
        Some(name) => json.str("status", name),
        None => json.str("status", status.to_string()),
    };
    if status == 0 {
        json.str("status_code", "0x0");
    } else {
        json.str("status_code", format!("0x{status:x}"));
    }
}

/// Who logs on, with which ticket, on which systems.
fn begun(logon: &Logon, json: &mut Json<'_>) {
    if let Some(who) = &logon.who {
        json.object("ntlmssp")
            .str("domain", &who.domain)
            .str("user", &who.user)
            .str("host", &who.host);
        if let Some(version) = &who.version {
            json.str("version", version);
        }
        json.end();
    }
    if let Some(ticket) = &logon.ticket {
        json.object("kerberos").str("realm", &ticket.realm);
        json.array("snames");
        for name in &ticket.service {
            json.text(name);
        }
        json.end_array().end();
    }
    for (side, host) in ["request", "response"].into_iter().zip(&logon.hosts) {
        if let Some([os, manager]) = host {
            json.object(side)
                .str("native_os", os)
                .str("native_lm", manager)
                .end();
        }
    }
}

fn subject(tx: &SmbTx, session: &SmbSession, json: &mut Json<'_>) {
    let fuid = |handle: &Handle| {
        if tx.version == 1 {
            short(handle)
        } else {
            long(handle)
        }
    };
    match &tx.kind {
        Kind::Generic => {}
        Kind::Logon(logon) => begun(logon, json),
        Kind::Negotiate {
            dialects,
            client,
            server,
        } => {
            if !dialects.is_empty() {
                json.array("client_dialects");
                for dialect in dialects {
                    json.text(dialect);
                }
                json.end_array();
            }
            if let Some(client) = client {
                json.str("client_guid", long(client));
            }
            json.str("server_guid", long(server));
            if session.max_read > 0 {
                json.num("max_read_size", session.max_read);
            }
            if session.max_write > 0 {
                json.num("max_write_size", session.max_write);
            }
        }
        Kind::Tree {
            share,
            pipe,
            share_type,
            services,
        } => {
            json.str(if *pipe { "named_pipe" } else { "share" }, share);
            if tx.version == 1 {
                json.object("service");
                for (name, service) in ["request", "response"].iter().zip(services) {
                    if let Some(service) = service {
                        json.str(name, service);
                    }
                }
                json.end();
            } else {
                let names = ["UNKNOWN", "FILE", "PIPE", "PRINT"];
                json.str(
                    "share_type",
                    names.get(usize::from(*share_type)).unwrap_or(&"UNKNOWN"),
                );
            }
        }
        Kind::Create {
            name,
            disposition,
            delete,
            directory,
            times,
            size,
            handle,
        } => {
            match (name.is_empty(), directory) {
                (true, _) => json.str("filename", "<share_root>"),
                (false, true) => json.str("directory", name),
                (false, false) => json.str("filename", name),
            };
            let names = [
                "FILE_SUPERSEDE",
                "FILE_OPEN",
                "FILE_CREATE",
                "FILE_OPEN_IF",
                "FILE_OVERWRITE",
                "FILE_OVERWRITE_IF",
            ];
            json.str(
                "disposition",
                names.get(*disposition as usize).unwrap_or(&"UNKNOWN"),
            )
            .str("access", if *delete { "delete on close" } else { "normal" });
            for (name, time) in ["created", "accessed", "modified", "changed"]
                .iter()
                .zip(times)
            {
                json.num(name, *time);
            }
            json.num("size", *size)
                .str("fuid", handle.as_ref().map(fuid).unwrap_or_default());
        }
        Kind::File {
            name,
            share,
            handle,
            ..
        } => {
            json.str("filename", name)
                .str("share", share)
                .str("fuid", fuid(handle));
        }
        Kind::Rename { from, to, handle } => {
            if tx.version == 2 {
                json.object("set_info")
                    .str("class", "FILE_INFO")
                    .str("info_level", "SMB2_FILE_RENAME_INFO")
                    .end();
            }
            json.object("rename").str("from", from).str("to", to).end();
            json.str(
                "fuid",
                if tx.version == 2 {
                    long(handle)
                } else {
                    String::new()
                },
            );
        }
        Kind::SetPath {
            name,
            delete,
            handle,
        } => {
            let shown = if name.is_empty() {
                &b"<share_root>"[..]
            } else {
                name
            };
            let access = if *delete { "delete on close" } else { "normal" };
            json.str("filename", shown)
                .str("access", access)
                .str("fuid", fuid(handle));
        }
        Kind::Ioctl(function) => {
            json.str("function", function_name(*function));
        }
        Kind::Dcerpc {
            call,
            requested,
            answered,
        } => dcerpc(call, *requested, *answered, session, json),
    }
}

fn dcerpc(call: &Call, requested: bool, answered: bool, session: &SmbSession, json: &mut Json<'_>) {
    json.object("dcerpc");
    json.str(
        "request",
        if requested {
            pdu::kind_name(call.request)
        } else {
            "REQUEST_LOST"
        },
    );
    json.str(
        "response",
        if answered {
            pdu::kind_name(call.response)
        } else {
            "UNREPLIED"
        },
    );
    let of_call = |i: &&Interface| i.context == call.context;
    match call.request {
        pdu::REQUEST if requested => {
            json.num("opnum", call.operation).object("req");
            rpc::part(call, 0, json);
            json.end();
            interfaces(call, session.interfaces.0.iter().filter(of_call), json);
        }
        pdu::BIND if requested => interfaces(call, session.interfaces.0.iter(), json),
        _ => {}
    }
    if answered && call.response == pdu::RESPONSE {
        json.object("res");
        rpc::part(call, 1, json);
        json.end();
    }
    json.num("call_id", call.id).end();
}

fn interfaces<'a>(call: &Call, list: impl Iterator<Item = &'a Interface>, json: &mut Json<'_>) {
    let mut list = list.peekable();
    if list.peek().is_none() {
        return;
    }
    json.array("interfaces");
    for interface in list {
        let (major, minor) = interface.version;
        let uuid = uuid_text(&interface.uuid);
        json.begin()
            .str("uuid", &uuid)
            .str("version", format!("{major}.{minor}"));
        if let (pdu::BIND, Some(result)) = (call.request, interface.result) {
            json.num("ack_result", result)
                .num("ack_reason", interface.reason);
        }
        if let Some(known) = names::known(&uuid) {
            json.str("service", known.service);
            if let (pdu::REQUEST, Some(name)) =
                (call.request, names::procedure(known, call.operation))
            {
                json.str("procedure", name);
            }
        }
        json.end();
    }
    json.end_array();
}

/// A handle of version 2, in the order the reference prints it.
fn long(handle: &Handle) -> String {
    const ORDER: [(usize, bool); 16] = [
        (3, false),
        (2, false),
        (1, false),
        (0, false),
        (5, true),
        (4, false),
        (7, true),
        (6, false),
        (9, true),
        (8, false),
        (11, true),
        (10, false),
        (15, false),
        (14, false),
        (13, false),
        (12, false),
    ];
    let mut out = String::with_capacity(36);
    for (at, dash) in ORDER {
        if dash {
            out.push('-');
        }
        let byte = handle.get(at).copied().unwrap_or(0);
        out.push(hex_digit(byte >> 4).into());
        out.push(hex_digit(byte & 15).into());
    }
    out
}

/// A file id of version 1.
fn short(handle: &Handle) -> String {
    let [a, b, ..] = handle;
    format!("{b:02x}{a:02x}")
}

fn function_name(function: u32) -> String {
    let name = match function {
        0x0011_0018 => "FSCTL_PIPE_WAIT",
        0x0011_400c => "FSCTL_PIPE_PEEK",
        0x0011_c017 => "FSCTL_PIPE_TRANSCEIVE",
        0x0006_0194 => "FSCTL_DFS_GET_REFERRALS",
        0x0006_01b0 => "FSCTL_DFS_GET_REFERRALS_EX",
        0x0009_009c => "FSCTL_GET_OBJECT_ID",
        0x0009_00a4 => "FSCTL_SET_REPARSE_POINT",
        0x0009_00c0 => "FSCTL_CREATE_OR_GET_OBJECT_ID",
        0x0009_8208 => "FSCTL_FILE_LEVEL_TRIM",
        0x0014_01d4 => "FSCTL_LMR_REQUEST_RESILIENCY",
        0x0014_0204 => "FSCTL_VALIDATE_NEGOTIATE_INFO",
        0x0014_01fc => "FSCTL_QUERY_NETWORK_INTERFACE_INFO",
        0x0014_4064 => "FSCTL_SRV_ENUMERATE_SNAPSHOTS",
        0x0014_0078 => "FSCTL_SRV_REQUEST_RESUME_KEY",
        0x0014_40f2 => "FSCTL_SRV_COPYCHUNK",
        0x0014_80f2 => "FSCTL_SRV_COPYCHUNK_WRITE",
        0x0014_41bb => "FSCTL_SRV_READ_HASH",
        other => return other.to_string(),
    };
    name.into()
}
