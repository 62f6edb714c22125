"""Rows for lateral.rules. The state rules (900-911) have no alert of their own and so no row: the acts need them."""
import struct

from .steps import (agent, dgram, header, http, response, rpc, rpc_bind, rpc_request, s, smb2, smb2_create, smb2_write, talk, times, uuid, wide)

SVCCTL = "367abb81-9844-35f1-ad32-98f038001003"
TSCH = "86d35949-83c9-4044-b424-db363231fd0c"
SAMR = "12345778-1234-abcd-ef00-0123456789ac"
DRSUAPI = "e3514235-4b06-11d1-ab04-00c04fc2dcd2"
SPOOLSS = "12345678-1234-abcd-ef00-0123456789ab"
NETLOGON = "12345678-1234-abcd-ef00-01234567cffb"
EVENTLOG = "82273fdc-e32a-18c3-3f78-827929dc23ea"
LSARPC = "12345778-1234-abcd-ef00-0123456789ab"
WINREG = "338cd001-2244-31f1-aaaa-900038001003"
EFSR = "c681d488-d850-11d0-8c52-00c04fd90f7e"
WINSPOOL = "76f03f96-cdfd-44fc-a22c-64950a001209"
WBEM = "9556dc99-828c-11cf-a37e-00aa003240c7"
MMC20 = "49b2791a-b1ae-4c90-9b8e-e860ba07f889"
UNC = b"\0" * 20 + wide("\\\\198.51.100.7\\a") + b"\0" * 8
ZERO = wide("DC1") + b"\0" * 6 + b"\0" * 8
PE = b"MZ\x90\0" + b"\0" * 74 + b"This program cannot be run in DOS mode." + b"\0" * 60


def sealed(operation, size=200):
    """An operation over TCP whose stub is encrypted: only the header can be read."""
    return rpc_request(operation, b"\x9d\x3c" * (size // 2))


TIMESTAMP = b"\xa3\x18\x30\x16\x30\x14\xa1\3\2\1\2\xa2\x0d\4\x0b\x30\x09\xa0\3\2\1%b\xa2\2\4\0"


def kdc_req(tag, etypes, name=b"krbtgt", before=b""):
    """The part of a Kerberos request that names the service and the encryption types, as a TCP message."""
    kinds = b"".join(b"\2\1" + bytes([e]) for e in etypes)
    types = b"\x30" + bytes([len(kinds)]) + kinds
    body = before + b"\xa3\x10\x30\x0e\xa0\3\2\1\2\xa1\7\x30\5\x1b" + bytes([len(name)]) + name + b"\xa8" + bytes([len(types)]) + types
    inner = b"\x30" + bytes([len(body)]) + body
    whole = bytes([tag]) + bytes([len(inner)]) + inner
    return struct.pack(">I", len(whole)) + whole


def ldap(text):
    return talk(389, b"\x30\x84\0\0\1\0\2\1\7\x63\x84\0\0\0\xf7\4\x0eDC=shop,DC=lab" + text)


def act(interface, operation, near, stub=b"\0" * 40, near_stub=None):
    return rpc(interface, (operation, stub)), rpc(interface, (near, near_stub if near_stub is not None else stub))


def tree(share):
    """A connection to a share (MS-SMB2 §2.2.9)."""
    path = wide(share)
    return smb2(3, struct.pack("<HHHH", 9, 0, 72, len(path)) + path)


TABLE = [
    (912, *act(SVCCTL, 12, 0)),
    (913, *act(SVCCTL, 19, 0)),
    (914, *act(SVCCTL, 11, 0)),
    (915, *act(SVCCTL, 1, 0)),
    (916, *act(SVCCTL, 16, 0)),
    (917, *act(TSCH, 1, 0)),
    (918, *act(TSCH, 12, 0)),
    (919, *act(SAMR, 13, 1)),
    (920, *act(SAMR, 36, 1)),
    (921, *act(SAMR, 25, 1)),
    (922, *act(SAMR, 58, 1)),
    (923, *act(SAMR, 50, 1)),
    (924, talk(49155, rpc_bind(DRSUAPI, 4), sealed(3)), talk(49155, rpc_bind(DRSUAPI, 4), sealed(12))),
    (926, talk(49155, rpc_bind(DRSUAPI, 4), rpc_request(16, b"\x9d" * 64 + b"\x09\x06" + b"\0" * 30), sealed(3)), talk(49155, rpc_bind(DRSUAPI, 4), rpc_request(12, b"\x9d" * 64 + b"\x09\x06" + b"\0" * 30), sealed(12))),
    (927, *act(DRSUAPI, 5, 12)),
    (928, *act(SPOOLSS, 89, 1)),
    (929, talk(49156, rpc_bind(WINSPOOL), sealed(39)), talk(49156, rpc_bind(WINSPOOL), sealed(0))),
    (930, *act(SPOOLSS, 65, 65, UNC, b"\0" * 40)),
    (931, *act(EFSR, 0, 0, UNC, b"\0" * 40)),
    (932, times(6, rpc(NETLOGON, (4, ZERO))), times(6, rpc(NETLOGON, (4, wide("DC1") + b"\0" * 6 + b"\x8a\x11\x5c\x01\x77\x31\x90\x44")))),
    (933, *act(NETLOGON, 30, 21)),
    (934, *act(EVENTLOG, 0, 7)),
    (935, *act(LSARPC, 29, 44)),
    (936, *act(WINREG, 22, 15)),
    (937, talk(49157, rpc_bind(WBEM, 0, auth=b"NTLMSSP\0\1\0\0\0" + b"\0" * 24)), talk(49157, rpc_bind(WBEM, 0))),
    (938, talk(49157, rpc_request(24, b"\0" * 30 + b"Win32_Process\0Create\0cmd.exe /c whoami")), talk(49157, rpc_request(20, b"\0" * 30 + b"Win32_Processor\0Name\0"))),
    (939, talk(135, rpc_request(4, b"\0" * 80 + uuid(MMC20) + b"\0" * 80)), talk(135, rpc_request(4, b"\0" * 80 + uuid(SVCCTL) + b"\0" * 80))),
    (940, talk(445, smb2_write(PE)), talk(445, smb2_write(b"PK\3\4" + PE))),
    (941, talk(445, smb2_create("PSEXESVC.exe")), talk(445, smb2_create("setup.exe"))),
    (942, talk(445, smb2_create("PSEXESVC-PC1-1234-stdin")), talk(445, smb2_create("srvsvc"))),
    (943, talk(445, smb2_create("__1607523456.78")), talk(445, smb2_create("__init__.py"))),
    (944, rpc(SVCCTL, (15, b"\0" * 20 + wide("%COMSPEC% /Q /c echo cd ^> \\\\127.0.0.1\\C$\\__output"))), rpc(SVCCTL, (0, b"\0" * 20 + wide("%ComSpecial% value")))),
    (945, talk(445, smb2_create("Windows\\NTDS\\ntds.dit")), talk(445, smb2_create("Windows\\notes.txt"))),
    (961, talk(445, smb2_create("Windows\\System32\\config\\SAM")), talk(445, smb2_create("Windows\\System32\\config\\software.txt"))),
    (946, talk(445, smb2_create("shop.lab\\Policies\\{31B2}\\Machine\\Preferences\\Groups\\Groups.xml")), talk(445, smb2_create("shop.lab\\Policies\\{31B2}\\gpt.ini"))),
    (947, ldap(b"\xa0\x3f\xa3\x18\4\x0esamAccountType\4\x09805306368\x87\x14servicePrincipalName"), ldap(b"\xa3\x18\4\x0esamAccountType\4\x09805306368")),
    (948, ldap(b"\xa9\x3f\x81\x171.2.840.113556.1.4.803\x82\x12userAccountControl\x83\x074194304"), ldap(b"\xa9\x3f\x81\x171.2.840.113556.1.4.803\x82\x12userAccountControl\x83\x012")),
    (949, ldap(b"\x31.2.840.113556.1.4.803\x82\x12userAccountControl\x83\x06524288\x30\x18\4\x18msDS-AllowedToDelegateTo"), ldap(b"\x31.2.840.113556.1.4.803\x82\x12userAccountControl\x83\x012")),
    (950, ldap(b"\x30\x60\4\x28msDS-AllowedToActOnBehalfOfOtherIdentity\4\x0dms-mcs-admpwd"), ldap(b"\x30\x60\4\x0dms-mcs-admpwd")),
    (962, talk(88, kdc_req(0x6A, [18, 17, 23], before=TIMESTAMP % b"\x17")), talk(88, kdc_req(0x6A, [18, 17, 23], before=TIMESTAMP % b"\x12"))),
    (951, talk(88, kdc_req(0x6A, [23])), talk(88, kdc_req(0x6A, [18, 17, 23]))),
    (952, talk(88, *[kdc_req(0x6C, [23], b"MSSQL")] * 6), talk(88, *[kdc_req(0x6C, [18, 23], b"MSSQL")] * 6)),
    (955, talk(389, b"\x30\x60\2\1\5\x66\x5b\4\x10CN=a,DC=s,DC=lab\x30\x47\x30\x45\x0a\1\2\x30\x40\4\x16msDS-KeyCredentialLink1\x26"), talk(389, b"\x30\x60\2\1\5\x63\x5b\4\x10CN=a,DC=s,DC=lab\4\x16msDS-KeyCredentialLink")),
    (956, http("POST /wsman", port=5985, headers=[("User-Agent", "Microsoft WinRM Client")], body="x"), http("POST /wsman", port=5985, headers=[("User-Agent", "monitor/1")], body="x")),
    (957, http("POST /wsman", port=5985, headers=[("User-Agent", "Ruby WinRM Client (2.8.3)")], body="x"), http("POST /wsman", port=5985, headers=[("User-Agent", "monitor/2")], body="x")),
    (958, dgram(5355, b"\x12\x34\0\0\0\1\0\0\0\0\0\0\4wpad\0\0\1\0\1", b"\x12\x34\x80\0\0\1\0\1\0\0\0\0\4wpad\0\0\1\0\1\4wpad\0\0\1\0\1\0\0\0\x1e\0\4\x0a\x4d\0\x50"), dgram(5355, b"\x12\x34\0\0\0\1\0\0\0\0\0\0\4wpad\0\0\1\0\1", b"\x12\x34\x80\0\0\1\0\0\0\0\0\0\4wpad\0\0\1\0\1")),
    (959, dgram(137, b"\x12\x34\1\x10\0\1\0\0\0\0\0\0\x20FHFAEBEECACACACACACACACACACACAAA\0\0\x20\0\1", b"\x12\x34\x85\0\0\0\0\1\0\0\0\0\x20FHFAEBEECACACACACACACACACACACAAA\0\0\x20\0\1\0\0\0\xa5\0\6\0\0\x0a\x4d\0\x50"), dgram(137, b"\x12\x34\1\x10\0\1\0\0\0\0\0\0\x20FHFAEBEECACACACACACACACACACACAAA\0\0\x20\0\1")),
    (964, talk(445, tree("\\\\10.77.0.80\\smb"), smb2_create("shell-cmd.dll")), talk(445, tree("\\\\files\\tools"), smb2_create("viewer.dll"))),
]
