"""Rows for brute-force.rules: counted refusals, and the same refusals too few or of another kind."""
from .steps import dgram, get, http, post, response, s, smb2, talk, times

UNAUTHORIZED = response("no", "401 Unauthorized", headers=[("WWW-Authenticate", 'Basic realm="x"')])
FORBIDDEN = response("no", "403 Forbidden", headers=[("WWW-Authenticate", 'Basic realm="x"')])


def refused(port, hello, ask, answer):
    return talk(port, *([s(hello)] if hello else []), ask, s(answer))


def kdc(code):
    """A KRB-ERROR with this error code, as a TCP reply."""
    body = b"\xa0\3\2\1\5\xa1\3\2\1\x1e\xa4\x11\x18\x0f20261122070000Z\xa5\3\2\1\1\xa6\3\2\1" + bytes([code]) + b"\xa9\3\x1b\1A"
    return b"\x7e" + bytes([len(body) + 2]) + b"\x30" + bytes([len(body)]) + body


def framed(body):
    return len(body).to_bytes(4, "big") + body


SETUP = smb2(1, b"\x19\0" + b"\0" * 22)

TABLE = [
    (202, times(9, refused(21, "220 ready\r\n", "PASS x\r\n", "530 Login incorrect.\r\n")), times(9, refused(21, "220 ready\r\n", "PASS x\r\n", "230 Login successful.\r\n"))),
    (203, times(6, refused(23, "login: ", "root\r\n", "\r\nLogin incorrect\r\n")), times(2, refused(23, "login: ", "root\r\n", "\r\nLogin incorrect for this hour\r\n"))),
    (204, times(9, refused(110, "+OK\r\n", "PASS x\r\n", "-ERR authentication failed\r\n")), times(9, refused(110, "+OK\r\n", "PASS x\r\n", "+OK logged in\r\n"))),
    (205, times(21, get("/private", UNAUTHORIZED)), times(21, get("/private", FORBIDDEN))),
    (206, times(7, refused(3306, "\x4a\0\0\0\x0a8.0", "\x20\0\0\1x", "\x17\0\0\2\xff\x15\4#28000Access denied")), times(7, refused(3306, "\x4a\0\0\0\x0a8.0", "\x20\0\0\1x", "\7\0\0\2\0\0\0\2\0\0\0"))),
    (207, times(7, refused(5432, "", "\0\0\0\x08\0\3\0\0", "E\0\0\0\x30SFATAL\0C28P01\0Mpassword\0\0")), times(7, refused(5432, "", "\0\0\0\x08\0\3\0\0", "E\0\0\0\x30SFATAL\0C3D000\0Mno database\0\0"))),
    (208, times(9, talk(445, SETUP, s(smb2(1, b"\x09\0" + b"\0" * 7, status=0xC000006D, answer=True)))), times(9, talk(445, SETUP, s(smb2(1, b"\x09\0" + b"\0" * 7, status=0xC0000016, answer=True))))),
    (209, times(9, talk(88, framed(b"\x6a\x10" + b"\0" * 14), s(framed(kdc(24))))), times(9, talk(88, framed(b"\x6a\x10" + b"\0" * 14), s(framed(kdc(25)))))),
    (210, times(11, dgram(88, b"\x6a\x10" + b"\0" * 14, kdc(6))), times(11, dgram(88, b"\x6a\x10" + b"\0" * 14, kdc(25)))),
    (211, times(5, talk(5900, s("RFB 003.008\n"), "RFB 003.008\n", s("\0\0\0\1\0\0\0\x16Authentication failure"))), times(5, talk(5900, s("RFB 003.008\n"), "RFB 003.008\n", s("\0\0\0\0")))),
    (212, times(7, talk(6379, "AUTH x\r\n", s("-WRONGPASS invalid username-password pair\r\n"))), times(7, talk(6379, "AUTH x\r\n", s("+OK pass\r\n")))),
    (213, times(9, talk(1883, "\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd", s("\x20\2\0\5"))), times(9, talk(1883, "\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd", s("\x20\2\0\0")))),
    (214, post("/xmlrpc.php", body="<methodName>system.multicall</methodName>" + "<string>wp.getUsersBlogs</string>" * 3), post("/xmlrpc.php", body="<methodName>system.multicall</methodName><string>wp.getUsersBlogs</string>")),
    (215, times(11, post("/wp-login.php", "log=a&pwd=b")), times(11, http("GET /wp-login.php"))),
    (216, times(16, dgram(5060, "REGISTER sip:a SIP/2.0\r\n\r\n", "SIP/2.0 403 Forbidden\r\nCSeq: 1 REGISTER\r\n\r\n")), times(16, dgram(5060, "REGISTER sip:a SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\nCSeq: 1 REGISTER\r\n\r\n"))),
    (218, talk(23, s("login: "), "root\r\n", s("Password: "), "xc3511\r\n"), talk(23, s("login: "), "root\r\n", s("Password: "), "correct horse\r\n")),
    (219, get("/manager/html", headers=[("Authorization", "Basic dG9tY2F0OnRvbWNhdA=="), ("Accept", "*/*")]), get("/manager/html", headers=[("Authorization", "Basic YWxpY2U6U3ByaW5nLTIwMjY="), ("Accept", "*/*")])),
]
