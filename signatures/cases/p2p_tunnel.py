"""Rows for p2p-tunnel.rules."""
import struct

from .steps import dgram, dns, get, http, page, ping, s, talk, times, tls

PEER = b"\x13BitTorrent protocol" + b"\0" * 8 + b"h" * 20 + b"-TR3000-abcdefghijkl"
UTP = b"\1\0" + b"\0" * 18
V4 = b"\xcb\0\x71\x07"


def frame(data):
    """A binary WebSocket frame from a server."""
    return b"\x82" + bytes([len(data)]) + data


def discv4(kind, size=120):
    return b"h" * 32 + b"s" * 64 + b"\1" + bytes([kind]) + b"\xde" + b"x" * (size - 99)


TABLE = [
    (600, talk(51413, PEER), talk(51413, b"\x14BitTorrent protocol" + b"\0" * 8)),
    (601, dgram(51413, UTP + PEER), dgram(51413, UTP + b"\x12BitTorrent protoco" + b"\0" * 20)),
    (602, dgram(6881, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"), dgram(6881, b"d1:ad2:id20:abcdefghij0123456789e1:q4:pong1:t2:aa1:y1:qe")),
    (603, get("/announce?info_hash=%124Vx%9a&peer_id=-TR3000-a&port=51413"), get("/press/announce?info_hash=no")),
    (604, dgram(6969, b"\0\0\4\x17\x27\x10\x19\x80\0\0\0\0abcd"), dgram(6969, b"\0\0\4\x17\x27\x10\x19\x80\0\0\0\1abcd")),
    (605, page("d8:announce20:http://t.example/ann4:infod6:lengthi5eee", "application/x-bittorrent"), page("d8:announce without a body", "text/plain")),
    (607, talk(4662, b"\xe3" + struct.pack("<I", 60) + b"\1\x10" + b"u" * 59), talk(4662, b"\xe3" + struct.pack("<I", 60) + b"\2\x10" + b"u" * 59)),
    (609, talk(6346, "GNUTELLA CONNECT/0.6\r\nUser-Agent: gtk-gnutella\r\n\r\n"), talk(6346, "GNUTELLA DISCONNECT/0.6\r\n\r\n")),
    (610, talk(6347, "GET /uri-res/N2R?urn:sha1:ABCDEFGHIJKLMNOPQRSTUVWXYZ234567 HTTP/1.1\r\nHost: a\r\n\r\n"), talk(6347, "GET /uri-res/list HTTP/1.1\r\nHost: a\r\n\r\n")),
    (611, talk(411, s("$Lock EXTENDEDPROTOCOLABCABC Pk=hub|")), talk(411, s("$Look at this Pk=hub|"))),
    (612, times(4, dgram(30303, discv4(1))), times(4, dgram(30303, discv4(9)))),
    (613, talk(8333, b"\xf9\xbe\xb4\xd9version\0\0\0\0\0" + b"\0" * 40), talk(8333, b"\xf9\xbe\xb4\xd9verack\0\0\0\0\0\0" + b"\0" * 8)),
    (614, dgram(1194, b"\x38abcdefgh\0\0\0\0\0"), dgram(1194, b"\x38abcdefgh\1\0\0\0\0")),
    (615, talk(1194, b"\0\x0e\x38abcdefgh\0\0\0\0\0"), talk(1194, b"\0\x0e\x38abcdefgh\1\0\0\0\0")),
    (616, dgram(51820, b"\1\0\0\0" + b"k" * 128 + b"\0" * 16), dgram(51820, b"\1\0\0\0" + b"k" * 128 + b"m" * 16)),
    (617, talk(1723, b"\0\x9c\0\1\x1a\x2b\x3c\x4d\0\1" + b"\0" * 146), talk(1723, b"\0\x10\0\1\x1a\x2b\x3c\x4d\0\5" + b"\0" * 6)),
    (618, dns("zabcaA-Aaahhh-Drink-mal-ein-J\xe4germeister-.t.evil.example".replace("\xe4", "a"), 10), dns("drink.shop.example")),
    (619, dns("aGVsbG8.=auth.t.evil.example", 16), dns("auth.t.shop.example")),
    (620, ping("SSH-2.0-OpenSSH_9.2p1\r\n"), ping("SSH is a protocol")),
    (621, ping(b"\xd5\x20\x08\x80" + b"\0" * 24), ping(b"\xd5\x20\x08\x81" + b"\0" * 24)),
    (622, http("CONNECT ssh.evil.example:22", host="ssh.evil.example:22"), http("CONNECT www.shop.example:443", host="www.shop.example:443")),
    (623, talk(8082, s(frame(b"SSH-2.0-OpenSSH_9.2\r\n"))), talk(8082, s(frame(b"hello SSH")))),
    (624, talk(443, "SSH-2.0-OpenSSH_9.2\r\n", s("SSH-2.0-OpenSSH_9.2\r\n")), talk(22, "SSH-2.0-OpenSSH_9.2\r\n", s("SSH-2.0-OpenSSH_9.2\r\n"))),
    (625, talk(1080, "\5\1\0", s("\5\0"), b"\5\1\0\1" + V4 + b"\1\xbb"), talk(1080, "\5\1\0", s("\5\xff"), "\5\2\0\1")),
    (626, talk(1080, b"\4\1\0\x50" + V4 + b"bob\0"), talk(1080, b"\4\3\0\x50" + V4 + b"bob\0")),
    (628, get("/tor/status-vote/current/consensus.z"), get("/tor/about.html")),
    (630, dns("api.nordvpn.com"), dns("nordvpn.shop.example")),
    (631, dns("a1b2.ngrok.io"), dns("ngrok.shop.example")),
    (632, dgram(5000, "SSH-2.0-OpenSSH_9.2\r\n"), dgram(5000, "SSH 2.0\r\n")),
]
