"""Rows for decoder-anomaly.rules: packets made by hand, since no kernel sends them."""
import struct

from .steps import fragment6, icmp, ip4, ping, raw_ip, raw_ip6, talk, tcp_segment

SERVER = "10.77.0.80"
BODY = icmp(8, 0, b"A" * 1200)
UDP = struct.pack(">HHHH", 4000, 4001, 48, 0) + b"t" * 40
ECHO6 = struct.pack(">BBHHH", 128, 0, 0, 7, 1) + b"A" * 1200


def segments(flags, sport, dport, same=False, **k):
    source = SERVER if same else "192.168.77.10"
    return ip4(6, tcp_segment(source, SERVER, sport, dport, flags, **k), source=source)


TABLE = [
    (1100, raw_ip(ip4(17, UDP[:32], 0, True, 11), ip4(17, UDP[16:40], 16, False, 11)), raw_ip(ip4(17, UDP[:32], 0, True, 12), ip4(17, UDP[:32], 0, True, 12), ip4(17, UDP[32:], 32, False, 12))),
    (1101, raw_ip(ip4(1, BODY[:800], 0, True, 13), ip4(1, b"B" * 800, 65000, False, 13)), raw_ip(ip4(1, BODY[:800], 0, True, 14), ip4(1, BODY[800:], 800, False, 14))),
    (1102, raw_ip6(fragment6(58, 0, True, 21, ECHO6[:808]), fragment6(58, 400, False, 21, ECHO6[400:1208])), raw_ip6(fragment6(58, 0, True, 22, ECHO6[:808]), fragment6(58, 0, True, 22, ECHO6[:808]), fragment6(58, 808, False, 22, ECHO6[808:]))),
    (1103, raw_ip6(fragment6(58, 0, True, 23, ECHO6[:808]), fragment6(58, 65000, False, 23, b"B" * 800)), raw_ip6(fragment6(58, 0, True, 24, ECHO6[:808]))),
    (1104, raw_ip6(fragment6(58, 0, True, 25, ECHO6[:805])), raw_ip6(fragment6(58, 0, True, 26, ECHO6[:808]))),
    (1105, raw_ip(segments(2, 139, 139, same=True)), raw_ip(segments(2, 139, 139))),
    (1107, raw_ip6((43, struct.pack(">BBBBI", 59, 2, 0, 1, 0) + b"\xfd" + b"\0" * 15)), raw_ip6((43, struct.pack(">BBBBI", 59, 2, 2, 0, 0) + b"\xfd" + b"\0" * 15))),
    (1112, raw_ip6(fragment6(58, 0, False, 27, ECHO6)), raw_ip6((58, ECHO6))),
    (1113, raw_ip6((44, struct.pack(">BBHI", 44, 0, 0, 28) + struct.pack(">BBHI", 58, 0, 0, 28) + ECHO6)), raw_ip6((58, ECHO6))),
    (1108, raw_ip(segments(0x38, 40005, 139, payload=b"BYE", urgent=3)), raw_ip(segments(0x18, 40006, 139, payload=b"BYE"))),
    (1111, ping(b"\x45\0\0\x1c" + b"\0" * 16 + b"12345678", kind=5, code=1), ping("x", kind=8)),
    (1114, raw_ip6(fragment6(44, 0, True, 29, struct.pack(">BBHI", 58, 0, 1, 30) + ECHO6[:800])), raw_ip6(fragment6(58, 0, True, 29, ECHO6[:808]))),
]
