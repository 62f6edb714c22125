"""Rows for dos-tools.rules."""
from .steps import PLAIN, dgram, dns, get, header, http, ping, post, s, talk, times

RANGES = ",".join(f"{n}-{n + 5}" for n in range(18))
EXTRA = [(f"X-{n}abc", f"v{n}") for n in range(8)]
CLDAP = b"\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectclass0\0"

TABLE = [
    (801, talk(8700, "U dun goofed"), talk(8700, "you done good")),
    (802, dgram(8700, "U dun goofed"), dgram(8700, "you done good")),
    (803, times(4, http("GET /", headers=PLAIN + EXTRA)), times(4, http("GET /", headers=PLAIN + EXTRA[:2]))),
    (804, talk(8701, "GET / HTTP/1.1\r\nHost: a\r\n", *["X-a: 4321\r\n"] * 11), talk(8701, "GET / HTTP/1.1\r\nHost: a\r\n", "X-a: 4321\r\n")),
    (805, header("Range", "bytes=" + RANGES), header("Range", "bytes=0-5,10-15")),
    (806, dgram(123, b"\x17\0\3\x2a" + b"\0" * 4), dgram(123, b"\x23\0\6\xec" + b"\0" * 44)),
    (807, dgram(11211, b"\0\1\0\0\0\1\0\0stats\r\n"), dgram(11211, b"\0\1\0\0\0\1\0\0quit\r\n")),
    (808, dgram(19, "x", " !\"#$%&'()*+,-./0123456789"), dgram(18, "x", " !\"#$%&'()*+,-./0123456789")),
    (809, dgram(19, "x"), dgram(20, "x")),
    (810, dgram(19, "x", sport=7), dgram(20, "x", sport=7)),
    (813, times(21, dns("shop.example", 255)), times(3, dns("shop.example", 255))),
    (814, ping(b"skillz\0\0\0\0", kind=0), ping(b"skills\0\0\0\0", kind=0)),
    (815, dgram(31335, "*HELLO*"), dgram(31335, "hello")),
    (818, post("/a", "&".join(f"Aa{n}=1" for n in range(900))), post("/a", "&".join(f"Aa{n}=1" for n in range(40)))),
]
