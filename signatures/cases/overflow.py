"""Rows for overflow.rules: messages whose lengths and forms a protocol forbids, and the longest that it allows."""
import struct

from .steps import dgram, response, s, talk

ENCRYPT = b"\xff\xfa\x26"
PSS = bytes.fromhex("300b06092a864886f70d01010a3024a00d300b0609608648016503040201a10d300b06092a864886f70d010108a204020200de")
WHOLE = bytes.fromhex("303d06092a864886f70d01010a3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b0609608648016503040201a203020120")


def signed(mac, algorithm=b"\x0bhmac-sha256\0"):
    """A dynamic update with a transaction signature of so many bytes (RFC 8945 §4.2)."""
    data = algorithm + b"\0\0\x59\x32\xd8\xab\1\x2c" + struct.pack(">H", mac) + b"m" * mac + b"\x12\x34\0\0\0\0"
    return b"\x12\x34\x28\0\0\1\0\0\0\0\0\1\7example\3com\0\0\6\0\1\x03key\0\0\xfa\0\xff\0\0\0\0" + struct.pack(">H", len(data)) + data


def over_tcp(message):
    return struct.pack(">H", len(message)) + message


TABLE = [
    (1600, talk(23, ENCRYPT + b"\7" + b"A" * 100 + b"\xff\xf0"), talk(23, ENCRYPT + b"\7" + b"A" * 8 + b"\xff\xf0")),
    (1601, talk(23, b"\x16\x08" * 40 + b"\n"), talk(23, b"\x16\x08ls\n")),
    (1602, dgram(53, signed(33)), dgram(53, signed(32))),
    (1603, talk(53, over_tcp(signed(21, b"\x09hmac-sha1\0"))), talk(53, over_tcp(signed(20, b"\x09hmac-sha1\0")))),
    (1604, dgram(9995, b"\0\x0a\0\1" + b"\0" * 28), dgram(9995, b"\0\x0a\0\x20" + b"\0" * 28)),
    (1605, talk(4433, s(b"\x30\x82\3\x6e" + PSS + b"\x30\x6b")), talk(4433, s(b"\x30\x82\3\x6e" + WHOLE + b"\x30\x6b"))),
    (1606, talk(8089, response("early"), "GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n"), talk(8089, response("timeout", "408 Request Timeout"), "GET / HTTP/1.1\r\nHost: www.shop.example\r\n\r\n")),
]
