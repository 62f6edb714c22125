"""Rows for policy.rules."""
import ssl

from .steps import OUTSIDE, dgram, get, header, http, page, post, response, s, smb1, talk, tls

RDP = "\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\x03\0\0\0"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx7ZCn0GqSKm1Y0eS3cX2Jp1vQ0s5cQ3x8bZ1m2n3o4p5q6r7\ns8t9u0v1w2x3y4z5\n"


def ours(port, *parts, outside=True):
    """A server of the home network answers a client outside, or one inside: the host of `OUTSIDE` opens the connection."""
    return talk(port, *parts, reverse=True, host=OUTSIDE if outside else None)


def both(port, *parts):
    return ours(port, *parts), ours(port, *parts, outside=False)


def flap(channel, number, body):
    return b"\x2a" + bytes([channel]) + number.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


TABLE = [
    (500, talk(21, s("220 a\r\n"), "USER bob\r\n", s("331 b\r\n"), "PASS secret\r\n", s("230 c\r\n")), talk(21, s("220 a\r\n"), "USER anonymous\r\n", s("331 b\r\n"), "PASS guest@shop.example\r\n", s("230 c\r\n"))),
    (501, header("Authorization", "Basic Ym9iOnNlY3JldA=="), header("Authorization", "Digest username=bob")),
    (502, talk(110, s("+OK\r\n"), "USER bob\r\n", s("+OK\r\n"), "PASS secret\r\n", s("+OK\r\n")), talk(110, s("+OK\r\n"), "STLS\r\n", s("+OK\r\n"))),
    (503, talk(23, s("\xff\xfd\x18\xff\xfd\x20"), "\xff\xfb\x18"), talk(23, s("hello\r\n"))),
    (504, tls(version=ssl.TLSVersion.TLSv1), tls(version=ssl.TLSVersion.TLSv1_2)),
    (505, talk(443, b"\x16\3\0\0\x2d\1\0\0\x29\3\0" + b"\x11" * 32 + b"\0\0\2\0\x0a\1\0", s(b"\x16\3\0\0\x2a\2\0\0\x26\3\0" + b"\x22" * 32 + b"\0\0\x0a\0")), talk(443, b"\x16\3\0\0\x2d\1\0\0\x29\3\3" + b"\x11" * 32 + b"\0\0\2\0\x0a\1\0", s(b"\x16\3\3\0\x2a\2\0\0\x26\3\3" + b"\x22" * 32 + b"\0\0\x0a\0"))),
    (506, talk(22, s("SSH-1.5-OpenSSH_2.0\r\n"), "SSH-1.5-x\r\n"), talk(22, s("SSH-2.0-OpenSSH_9.2\r\n"), "SSH-2.0-x\r\n")),
    (507, talk(445, smb1(0x72, b"", b"\2NT LM 0.12\0"), s(smb1(0x72, b"\0\0" + b"\0" * 32))), talk(445, smb1(0x72, b"", b"\2NT LM 0.12\0"), s(smb1(0x72, b"\0\0", status=0xC00000BB)))),
    (508, dgram(161, b"\x30\x26\2\1\1\4\6public\xa0\x19\2\4\0\0\0\1\2\1\0\2\1\0\x30\x0b\x30\x09\6\5\x2b\6\1\2\1\5\0"), dgram(161, b"\x30\x26\2\1\1\4\6s3cret\xa0\x19\2\4\0\0\0\1\2\1\0\2\1\0\x30\x0b\x30\x09\6\5\x2b\6\1\2\1\5\0")),
    (509, *both(3306, s("\x4a\0\0\0\x0a8.0.36\0abcdefgh\0mysql_native_password\0"))),
    (510, *both(6379, "INFO\r\n", s("$40\r\n# Server\r\nredis_version:7.0.15\r\n\r\n"))),
    (511, *both(27017, "\x3a\0\0\0listDatabases", s("\x60\0\0\0name\0sizeOnDisk\0totalSize\0"))),
    (512, *both(11211, "stats\r\n", s("STAT pid 123\r\nSTAT uptime 1\r\n"))),
    (513, get("/_cat/indices?v", response("health status index uuid pri rep docs.count docs.deleted store.size\n", ctype="text/plain")), get("/_cat/indices?v", response("denied", "401 Unauthorized", ctype="text/plain"))),
    (514, *both(3389, RDP, s("\3\0\0\x13\x0e\xd0\0\0\x12\x34\0\2\0\x08\0\2\0\0\0"))),
    (515, talk(5900, s("RFB 003.008\n"), "RFB 003.008\n", s("\1\1"), "\1"), talk(5900, s("RFB 003.008\n"), "RFB 003.008\n", s("\1\2"), "\2")),
    (516, tls(sni="router1.teamviewer.com", host=OUTSIDE), tls(sni="teamviewer.shop.example", host=OUTSIDE)),
    (517, tls(sni="relay-1.net.anydesk.com", host=OUTSIDE), tls(sni="anydesk.shop.example", host=OUTSIDE)),
    (518, talk(4899, b"\1\0\0\0\1\0\0\0\x08\x08"), talk(4899, b"\1\0\0\0\2\0\0\0\x08\x08")),
    (519, http("POST /api", host="transfer.sh", body="x"), http("GET /a", host="transfer.sh")),
    (521, talk(5190, flap(1, 1, b"\0\0\0\1")), talk(5190, flap(1, 1, b"\0\0\0\2"))),
    (522, talk(4443, b"OFT2\1\0\1\1" + b"\0" * 248), talk(4443, b"OFT3\1\0\1\1" + b"\0" * 248)),
    (523, talk(443, flap(2, 9, b"\0\4\0\6\0\0\0\0\0\1hello there")), talk(443, flap(2, 9, b"\0\1\0\6\0\0\0\0\0\1hello there"))),
    (524, talk(6667, "NICK alice\r\nUSER alice 0 * :Alice\r\n"), talk(6667, "NICK alice\r\nQUIT\r\n")),
    (525, tls(sni="dns.google"), tls(sni="dns.google.shop.example")),
    (526, post("/pay", "card_number=4111111111111111&cvv=123", to=OUTSIDE), post("/pay", "order_number=4111111111111111", to=OUTSIDE)),
    (527, talk(8081, KEY), talk(8081, KEY.replace("PRIVATE", "PUBLIC"))),
    (529, post("/a", body='{"key":"AKIAIOSFODNN7EXAMPLE"}'), post("/a", body='{"key":"AKIA is a prefix"}')),
]
