"""One Ethernet: addresses lent, addresses stolen, and a router that is none."""
from cases import case

LATER = "Later, with the detectors for bogus traffic:"


def wire(lab, hosts=3):
    """A bridge with the hosts sk-h1 (10.30.0.101) and up; the capture is taken on the bridge, which sees what is sent to all and what is sent to it."""
    lab.namespace("sk-r")
    lab._ip("-n sk-r link add lan address 02:00:00:00:01:03 type bridge")
    lab._ip("-n sk-r link set lan up")
    lab.address("sk-r", "lan", "10.30.0.1/24", "2001:db8:30::1/64")
    for i in range(1, hosts + 1):
        name = f"sk-h{i}"
        lab.namespace(name)
        lab.link(name, "eth0", f"02:00:00:00:06:{i:02x}", "sk-r", f"port{i}", f"02:00:00:00:07:{i:02x}")
        lab._ip(f"-n sk-r link set port{i} master lan")
        lab.address(name, "eth0", f"10.30.0.{100 + i}/24")
        lab._ip(f"-n {name} route add default via 10.30.0.1")


@case("arp_spoof", ["dsniff", "arping"], [f"{LATER} one alert: 10.30.0.1 is claimed by a second MAC address, 02:00:00:00:06:03, again and again."])
def arp_spoof(lab):
    """ARP spoofing: one host tells another that it is the router (dsniff's arpspoof), once a second, then gives it back."""
    wire(lab)
    lab.capture(dev="port1")
    lab.run("sk-h1", "ping -n -c 2 10.30.0.1")
    lab.run("sk-h3", "timeout -s INT 6 arpspoof -i eth0 -t 10.30.0.101 10.30.0.1", timeout=20)
    lab.run("sk-h1", "ping -n -c 2 10.30.0.1")


@case("arp_nearmiss", ["arping"], ["Nothing: a host announces its own address, and a standby takes one over once."])
def arp_nearmiss(lab):
    """The near miss of ARP spoofing: gratuitous ARP after a start, a check for a doubled address, and one takeover of a service address by a standby host."""
    wire(lab)
    lab.capture(dev="port1")
    lab.address("sk-h2", "eth0", "10.30.0.50/24")
    lab.run("sk-h1", "arping -q -c 2 -U -P -i eth0 -S 10.30.0.101 10.30.0.101; arping -q -c 1 -w 1 -d 10.30.0.60; ping -n -c 2 10.30.0.50")
    lab._ip("-n sk-h2 addr del 10.30.0.50/24 dev eth0")
    lab.address("sk-h3", "eth0", "10.30.0.50/24")
    lab.run("sk-h3", "arping -q -c 2 -U -P -i eth0 -S 10.30.0.50 10.30.0.50")
    lab.run("sk-h1", "ping -n -c 2 10.30.0.50")


UDHCPC = "#!/bin/sh\n[ \"$1\" = bound ] && ip addr replace $ip/24 dev $interface\nexit 0\n"


def dhcp_server(lab, ns, first, router):
    conf = lab.write(f"dhcp-{ns}.conf", f"port=0\nno-daemon\nuser=root\ninterface=eth0\nbind-interfaces\ndhcp-authoritative\ndhcp-range=10.30.0.{first},10.30.0.{first + 20},1h\n"
                     f"dhcp-option=option:router,{router}\ndhcp-option=option:dns-server,{router}\ndhcp-option=option:domain-name,shop.example\ndhcp-leasefile={lab.tmp}/leases-{ns}\n")
    lab.spawn(ns, f"dnsmasq -k -C {conf}", wait_port=67, udp=True)


@case("dhcp_lease", ["dnsmasq", "udhcpc"], ["Nothing: an address is lent, renewed and given back."])
def dhcp_lease(lab):
    """DHCP: a host without an address gets one from the server (dnsmasq), and gives it back (udhcpc)."""
    wire(lab)
    lab._ip("-n sk-h1 addr flush dev eth0")
    dhcp_server(lab, "sk-h2", 150, "10.30.0.1")
    script = lab.write("udhcpc.sh", UDHCPC, 0o755)
    lab.capture(dev="port1")
    lab.run("sk-h1", f"timeout -s TERM 4 udhcpc -f -R -i eth0 -s {script} -x hostname:till-7 -t 3", timeout=15)


@case("dhcp_rogue", ["dnsmasq", "udhcpc"], [f"{LATER} two servers answer one discovery with different routers: 10.30.0.1 by 10.30.0.102, 10.30.0.103 by itself. An accident (a device plugged in) or an attack."])
def dhcp_rogue(lab):
    """A second DHCP server on the Ethernet, which names itself as the router."""
    wire(lab)
    lab._ip("-n sk-h1 addr flush dev eth0")
    dhcp_server(lab, "sk-h2", 150, "10.30.0.1")
    dhcp_server(lab, "sk-h3", 200, "10.30.0.103")
    script = lab.write("udhcpc.sh", UDHCPC, 0o755)
    lab.capture(dev="port1")
    lab.run("sk-h1", f"for i in 1 2; do timeout -s TERM 4 udhcpc -f -R -i eth0 -s {script} -x hostname:till-7 -t 3; done", timeout=20)


@case("ra_flood", ["thc-ipv6"], [f"{LATER} one alert: hundreds of IPv6 router advertisements with invented prefixes and routers within a second."])
def ra_flood(lab):
    """A flood of IPv6 router advertisements with invented routers (thc-ipv6's flood_router6), stopped after 0.2 s."""
    wire(lab)
    lab.capture(dev="port1", filter="icmp6")
    lab.run("sk-h3", "timeout -s KILL 0.2 atk6-flood_router6 eth0", timeout=10)


def resolver(lab, forge):
    wire(lab)
    conf = lab.write("dns.conf", "no-daemon\nno-resolv\nno-hosts\nuser=root\nlisten-address=10.30.0.102\nbind-interfaces\n" + "".join(f"host-record=www{i}.shop.example,10.20.0.{80 + i}\n" for i in range(10)))
    lab.spawn("sk-h2", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)
    if forge:
        lies = lab.write("lies", "10.30.0.103 *.shop.example\n")
        lab.spawn("sk-r", f"dnsspoof -i lan -f {lies}", wait=1.0)
    lab.capture(dev="port1")
    lab.run("sk-h1", "for i in 0 1 2 3 4 5 6 7; do dig +noedns +time=2 +tries=1 +short @10.30.0.102 www$i.shop.example; sleep 0.3; done", timeout=30)


@case("dns_rogue", ["dnsmasq", "dsniff", "bind9-dnsutils"], ["`rogue_server` once: each question of 10.30.0.101 gets two answers, one of them names 10.30.0.103, whatever the name."])
def dns_rogue(lab):
    """Forged answers to names: somebody on the way (dsniff's dnsspoof) answers each question beside the real name server."""
    resolver(lab, True)


@case("dns_rogue_nearmiss", ["dnsmasq", "bind9-dnsutils"], ["Nothing: the same questions, answered by the name server alone."])
def dns_rogue_nearmiss(lab):
    """The near miss of forged names: eight questions, eight answers."""
    resolver(lab, False)
