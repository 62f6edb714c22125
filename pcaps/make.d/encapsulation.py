"""The same small visit and the same attack inside every kind of header, and cut into fragments."""
import pathlib

import services
import webserver
from cases import case

CARRIER = pathlib.Path(__file__).with_name("carrier.py")
SAME = "What fires for a union-select injection answered with 200 fires here once, as it does without the encapsulation."
QUIET_WORDS = "The visit before it is quiet; no `port_scan`, no `syn_flood`."


def visit(lab, address):
    """One ordinary page, then one injection that works. The client's inner address is not one of ours (HOME_NET), the server's is."""
    host = f"[{address}]" if ":" in address else address
    lab.run("sk-c", f"curl -g -s -m 5 -o /dev/null http://{host}/")
    lab.run("sk-c", f"curl -g -s -m 5 -o /dev/null -w '%{{http_code}}' 'http://{host}/item.php?id=0+UNION+SELECT+1,name,secret+FROM+account'")
    lab.run("sk-c", f"ping -n -c 2 {address}")


def carried(lab, kind, outer=("198.51.100.10", "10.20.0.80"), inner=("203.0.113.1", "172.20.0.2")):
    for ns, near, far in (("sk-c", 0, 1), ("sk-s", 1, 0)):
        lab.spawn(ns, f"/usr/bin/python3 {CARRIER} {kind} tun0 {outer[near]} {outer[far]} {inner[near]} {inner[far]}", wait=0.5)


def tunnel_case(kind, words, **options):
    name = "encap_" + kind.replace("-", "_")

    @case(name, webserver.PACKAGES, [SAME, QUIET_WORDS])
    def make(lab):
        lab.edge()
        webserver.start(lab)
        carried(lab, kind, **options)
        lab.capture()
        visit(lab, options.get("inner", ("", "172.20.0.2"))[1])
    return make


def describe(kind, words, **options):
    import cases
    tunnel_case(kind, words, **options)
    cases._known["encap_" + kind.replace("-", "_")].about = f"An ordinary visit and an SQL injection inside {words}. The two ends are programs in user space (`make.d/carrier.py`), since the kernel the capture was made on has no such device."


V6 = ("2001:db8:c::10", "2001:db8:20::80")
describe("gre", "GRE (RFC 2784)")
describe("gre-key", "GRE with key and sequence number (RFC 2890)")
describe("gretap", "Ethernet over GRE")
describe("ipip", "IPv4 in IPv4 (RFC 2003)")
describe("6in4", "IPv6 in IPv4 (RFC 4213)", inner=("2001:db8:77::1", "2001:db8:77::2"))
describe("4in6", "IPv4 in IPv6 (RFC 2473)", outer=V6)
describe("geneve", "GENEVE (RFC 8926)")


def link_case(kind, words, inner=("203.0.113.1", "172.20.0.2")):
    def make(lab):
        for ns in ("sk-c", "sk-s"):
            lab.namespace(ns)
        lab.link("sk-c", "eth0", "02:00:00:00:0c:10", "sk-s", "eth0", "02:00:00:00:05:80")
        lab.quiet("sk-c", "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
        webserver.start(lab)
        for ns, peer, near, far in (("sk-c", "02:00:00:00:05:80", 0, 1), ("sk-s", "02:00:00:00:0c:10", 1, 0)):
            lab.spawn(ns, f"/usr/bin/python3 {CARRIER} {kind} tun0 eth0 {peer} {inner[near]} {inner[far]}", wait=0.5)
        lab.capture("sk-s", "eth0")
        visit(lab, inner[1])
    make.__doc__ = f"An ordinary visit and an SQL injection inside {words}, between two hosts on one wire. The headers are put on and taken off by programs in user space (`make.d/carrier.py`)."
    case("encap_" + kind, webserver.PACKAGES, [SAME, QUIET_WORDS])(make)


link_case("vlan", "an IEEE 802.1Q tag (VLAN 20)")
link_case("qinq", "two VLAN tags (IEEE 802.1ad: 100, then 20)")
link_case("mpls", "two MPLS labels (RFC 3032)")
link_case("pppoe", "a PPPoE session (RFC 2516; without the discovery before it)")


@case("encap_vxlan", webserver.PACKAGES, [SAME, QUIET_WORDS])
def vxlan(lab):
    """An ordinary visit and an SQL injection inside VXLAN (RFC 7348), with the kernel's own devices."""
    lab.edge()
    webserver.start(lab)
    for ns, local, remote, address in (("sk-c", "198.51.100.10", "10.20.0.80", "203.0.113.1/32"), ("sk-s", "10.20.0.80", "198.51.100.10", "172.20.0.2/32")):
        lab.quiet(ns, f"ip link add vx0 type vxlan id 77 local {local} remote {remote} dstport 4789 && ethtool -K vx0 tx off gso off gro off tso off; ip link set vx0 mtu 1400 up; ip addr add {address} dev vx0; ip route add 172.20.0.2 dev vx0; ip route add 203.0.113.1 dev vx0")
    lab.capture()
    visit(lab, "172.20.0.2")


@case("fragments_ping", [], ["Nothing above GREEN: large pings in fragments, put together whole, are ordinary.", "No fragment event (overlap, gap, too large)."])
def fragments_ping(lab):
    """Large pings that are cut into fragments and answered in fragments, over IPv4 and IPv6 (ping -s 4000)."""
    lab.edge()
    lab.capture()
    lab.run("sk-c", "ping -n -c 2 -s 4000 10.20.0.80; ping -n -c 2 -s 4000 2001:db8:20::80", timeout=30)


@case("fragments_udp", ["dnsmasq", "bind9-dnsutils"], ["Nothing above GREEN. The DNS answers are read whole: the record after the first fragment is in the DNS log."])
def fragments_udp(lab):
    """DNS answers of 1.5 to 3 kB over UDP, which the server's system cuts into fragments, over IPv4 and IPv6."""
    lab.edge()
    big = "\n".join(f'txt-record=big.shop.example,"{i:03d}-{"x" * 180}"' for i in range(14))
    conf = lab.write("dnsmasq.conf", services.ZONE + "edns-packet-max=4096\n" + big + "\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)
    lab.capture()
    lab.run("sk-c", "dig +time=2 +tries=1 +bufsize=4096 +ignore @10.20.0.53 TXT big.shop.example; dig +time=2 +tries=1 +bufsize=4096 +ignore @2001:db8:20::53 TXT big.shop.example")


@case("fragments_attack", webserver.PACKAGES, ["The injection fires once: it stands across the last two fragments of a large request that a router on the way cut, so it is seen only after the fragments are put together.", QUIET_WORDS])
def fragments_attack(lab):
    """An SQL injection in a large TCP segment that a router with a small link (MTU 576) cuts into IPv4 fragments; the client does not set DF."""
    lab.edge()
    webserver.start(lab)
    lab.quiet("sk-c", "sysctl -qw net.ipv4.ip_no_pmtu_disc=1")
    lab._ip("-n sk-r link set dmz mtu 576")
    lab._ip("-n sk-r -6 addr flush dev dmz")
    lab.capture()
    lab.run("sk-c", "curl -s -m 5 -o /dev/null -w '%{http_code}' -H 'X-Filler: " + "tea-" * 275 + "' -H 'X-Last: 1' 'http://10.20.0.80/api/ok.json'")
    lab.run("sk-c", "curl -s -m 5 -o /dev/null -w '%{http_code}' -d 'pass=x&note=" + "tea+" * 222 + "' --data-urlencode \"user=x' UNION SELECT name FROM account --\" http://10.20.0.80/login.php")
