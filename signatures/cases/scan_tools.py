"""Rows for scan-tools.rules: a tool's name, and a browser whose name only sounds like it."""
from .steps import agent, dgram, dns, get, header, http, post, response, s, talk, times

MISSING = response("no", "404 Not Found")
NAMES = [
    (700, "sqlmap/1.7#stable (https://sqlmap.org)", "sql map reader"), (701, "Mozilla/5.00 (Nikto/2.5.0)", "Niko browser"), (702, "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)", "nmap manual reader"),
    (703, "WPScan v3.8", "WP Scanner photo app"), (704, "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)", "Nuclei physics journal"), (705, "gobuster/3.6", "go buster"),
    (706, "Fuzz Faster U Fool v2.1.0", "Fuzz"), (707, "DirBuster-1.0", "Dir Buster"), (708, "Wfuzz/3.1.0", "fuzz/1"), (709, "feroxbuster/2.10", "ferox"), (710, "Mozilla/4.0 (Hydra)", "Hydra/1 player"),
    (711, "acunetix-product (WVS)", "acuity"), (712, "Mozilla/4.0 (compatible; MSIE 8.0; Nessus)", "Ness"), (713, "Mozilla/5.0 [en] (X11, U; OpenVAS-VT 9.0.3)", "OpenVMS"), (714, "Arachni/v1.6.1", "Arachnid encyclopedia"),
    (715, "masscan/1.3 (https://github.com/robertdavidgraham/masscan)", "mass scanner pro"), (716, "Mozilla/5.0 zgrab/0.x", "grab/1"), (717, "w3af.org", "w3a"), (718, "Mozilla/4.0 (compatible; MSIE 7.0) Havij", "Havana"),
    (719, "bsqlbf 2.6", "sql"), (720, "Mozilla/5.0 Jorgee", "Jorge"), (721, "ZmEu", "Zeus"), (722, "Morfeus Fucking Scanner", "Morpheus"), (723, "commix/v3.8", "commit"), (724, "XSpider", "Spider"), (725, "WhatWeb/0.5.5", "What Web"),
    (726, "Wapiti 3.1.7", "Wap"), (727, "dirsearch", "dir search"), (728, "Mozilla/5.0 (compatible; CensysInspect/1.1)", "Census Inspector"), (729, "Mozilla/5.0 SF/2.10b", "Mozilla/5.0 San Francisco"),
]
PROBE = "GET /nice%20ports%2C/Tri%6Eity.txt%2ebak HTTP/1.0\r\n\r\n"
AXFR = b"\0\x1e\x12\x34\0\0\0\1\0\0\0\0\0\0\4shop\7example\0\0\xfc\0\1"
VERSION_BIND = b"\0\x1e\0\6\1\0\0\1\0\0\0\0\0\0\7version\4bind\0\0\x10\0\3"


def sip(agent_name):
    return dgram(5060, f"OPTIONS sip:100@a SIP/2.0\r\nUser-Agent: {agent_name}\r\n\r\n")


TABLE = [(number, agent(name), agent(near)) for number, name, near in NAMES] + [
    (730, get("/nice%20ports%2C/Tri%6Eity.txt%2ebak"), get("/film/Trinity.txt")),
    (747, get("/nmaplowercheck1632"), get("/nmap/check")),
    (731, talk(8500, PROBE), talk(8500, "GET /Trinity.txt HTTP/1.0\r\n\r\n")),
    (732, talk(8600, VERSION_BIND), talk(8600, b"\0\x1e\0\6\1\0\0\1\0\0\0\0\0\0\7service\4bind\0\0\x10\0\3")),
    (733, dns("version.bind", 16), dns("version.shop.example", 16)),
    (734, talk(53, AXFR), talk(53, AXFR.replace(b"\xfc\0\1", b"\x0f\0\1"))),
    (735, sip("friendly-scanner"), sip("friendly phone")),
    (736, sip("sipcli/v1.8"), sip("sip client")),
    (737, http("GET http://azenv.net/", host="azenv.net"), http("GET http://www.shop.example/")),
    (738, get("/?x=http://c9abcdefgh.oast.fun/a"), get("/?x=http://www.toast.fun/a")),
    (739, dns("c9abcdefgh.oast.fun"), dns("www.toast.fun")),
    (740, times(6, get("/phpmyadmin/index.php", MISSING)), get("/phpmyadmin/index.php", MISSING)),
    (741, times(61, get("/missing", MISSING)), times(5, get("/missing", MISSING))),
    (743, get("/acunetix-wvs-test-for-some-inexistent-file"), get("/acunetix.html")),
    (745, get("/w00tw00t.at.blackhats.romanian.anti-sec:)"), get("/woot.at.home")),
    (746, get("/?x=http://a1b2.burpcollaborator.net/"), get("/?x=http://collaborator.example/")),
    (744, talk(502, b"\0\0\0\0\0\5\1\x2b\x0e\1\0"), talk(502, b"\0\1\0\0\0\6\1\3\0\0\0\1")),
]
