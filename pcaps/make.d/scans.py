"""Port scans, and clients that look like one."""
import webserver
from cases import case

SERVICES = "for p in 21 22 25 80 110 143; do ncat -l -k 10.20.0.80 $p -c 'echo ready; sleep 0.1' & done; wait\n"
NMAP = "nmap -n -Pn -T4 --max-retries 0"
FOUND = "`port_scan` once, from 198.51.100.10 against 10.20.0.80."
PACKAGES = ["nmap", "ncat"]


def services(lab):
    """Six services that greet and close."""
    lab.spawn("sk-s", f"bash {lab.write('services.sh', SERVICES)}", wait_port=143, wait=0.3)


@case("port_scan_syn", PACKAGES, [FOUND, "No `syn_flood`: the probes go to many ports, not to one service."])
def port_scan_syn(lab):
    """A half-open scan (nmap -sS) of nmap's 1,000 usual ports; six are open, the others refuse."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sS --max-rate 400 --top-ports 1000 10.20.0.80")


@case("port_scan_connect", PACKAGES, [FOUND, "No `syn_flood`."])
def port_scan_connect(lab):
    """A scan with whole connections (nmap -sT) of nmap's 1,000 usual ports; six are open, the others refuse."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sT --max-rate 400 --top-ports 1000 10.20.0.80")


@case("port_scan_stealth", PACKAGES, [FOUND, "Flags that no client sends (FIN alone, none, FIN+PSH+URG) are seen as such by the decoder and the stream."])
def port_scan_stealth(lab):
    """FIN, NULL and Xmas scans (nmap -sF, -sN, -sX) of 100 ports each: open ports say nothing, closed ones answer with a reset."""
    lab.edge()
    services(lab)
    lab.capture()
    for flag in ("-sF", "-sN", "-sX"):
        lab.run("sk-c", f"{NMAP} {flag} --top-ports 100 10.20.0.80")


@case("port_scan_udp", PACKAGES, [FOUND, "The evidence is ICMP port unreachable, which the server limits to a few a second."])
def port_scan_udp(lab):
    """A UDP scan (nmap -sU) of 60 usual ports; nothing is open, so the server answers with ICMP port unreachable."""
    lab.edge()
    lab.quiet("sk-s", "sysctl -qw net.ipv4.icmp_ratelimit=0")
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sU --top-ports 60 10.20.0.80")


@case("port_scan_filtered", PACKAGES, ["`port_scan` once, from 198.51.100.10: nothing answers, which for a scanner is a failure as well."])
def port_scan_filtered(lab):
    """A half-open scan of 100 ports of an address where a firewall drops everything: no answer at all."""
    lab.edge()
    lab._ip("-n sk-r neigh replace 10.20.0.200 lladdr 02:00:00:00:05:c8 dev dmz nud permanent")  # a host that never answers
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sS --top-ports 100 10.20.0.200")


@case("port_sweep", PACKAGES, ["`port_scan` once, from 198.51.100.10: one port (445) on 60 addresses, of which two exist."])
def port_sweep(lab):
    """A horizontal scan: port 445 of 60 addresses (nmap -sS), as a worm looks for file servers. Two hosts exist and refuse, the others do not answer."""
    lab.edge()
    for i in range(100, 160):
        lab._ip(f"-n sk-r neigh replace 10.20.0.{i} lladdr 02:00:00:00:05:{i:02x} dev dmz nud permanent")
    lab.address("sk-s", "eth0", "10.20.0.110/24", "10.20.0.120/24")
    lab._ip("-n sk-r neigh del 10.20.0.110 dev dmz")
    lab._ip("-n sk-r neigh del 10.20.0.120 dev dmz")
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sS -p 445 10.20.0.100-159")


@case("port_scan_slow", PACKAGES, ["`port_scan` once, from 198.51.100.10: 40 probes at two a second are few, but nearly all fail."])
def port_scan_slow(lab):
    """A patient scan: 40 ports, two probes a second (nmap --scan-delay), in random order."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", "nmap -n -Pn -sS --max-retries 0 --scan-delay 500ms --max-scan-delay 500ms --top-ports 40 10.20.0.80", timeout=60)


@case("port_scan_nearmiss", webserver.PACKAGES + PACKAGES, [
    "Nothing: no `port_scan` for a client that uses six services of one server, nor for one that keeps retrying a service that is down."])
def port_scan_nearmiss(lab):
    """The near miss of the scans: one client uses six open services of a server, three times each; a second one retries a dead service (port 8080) twenty times, and a third one asks five servers' closed ident port as old mail servers do."""
    lab.edge()
    services(lab)
    lab.address("sk-c", "eth0", "198.51.100.11/24", "198.51.100.12/24")
    lab.capture()
    lab.run("sk-c", "for i in 1 2 3; do for p in 21 22 25 80 110 143; do ncat -s 198.51.100.10 --recv-only -w 2 10.20.0.80 $p; done; done")
    lab.run("sk-c", "for i in $(seq 20); do ncat -s 198.51.100.11 -w 1 10.20.0.80 8080; sleep 0.2; done")
    lab.run("sk-c", "for a in 10.20.0.80 10.20.0.53 10.20.0.25; do ncat -s 198.51.100.12 -w 1 $a 113; done")


@case("port_scan_os", PACKAGES, [FOUND, "The odd packets of nmap's system detection show as decode and stream events."])
def port_scan_os(lab):
    """nmap -O -sV on 60 ports: a scan, then version questions to the open services, then the odd packets that tell systems apart."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sS -O -sV --version-intensity 2 --max-os-tries 1 --top-ports 60 10.20.0.80", timeout=120)


@case("port_scan_decoy", PACKAGES, ["`port_scan` for 198.51.100.10 (min 1); the four decoys may be named as well, since the wire cannot tell."])
def port_scan_decoy(lab):
    """A half-open scan of 60 ports hidden among four decoy sources (nmap -D)."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sS --max-rate 200 -D 198.51.100.61,198.51.100.62,198.51.100.63,198.51.100.64,ME --top-ports 60 10.20.0.80")


@case("port_scan_fragments", PACKAGES, [FOUND, "The TCP headers are cut into fragments of 8 bytes: the scan is seen after they are put together."])
def port_scan_fragments(lab):
    """A half-open scan of 60 ports in tiny fragments (nmap -f)."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", f"{NMAP} -sS -f --max-rate 200 --top-ports 60 10.20.0.80")


@case("port_scan_ipv6", PACKAGES, ["`port_scan` once, from 2001:db8:c::10."])
def port_scan_ipv6(lab):
    """A half-open scan of 100 ports over IPv6 (nmap -6)."""
    lab.edge()
    services(lab)
    lab.capture()
    lab.run("sk-c", f"{NMAP} -6 -sS --max-rate 200 --top-ports 100 2001:db8:20::80")


@case("port_scan_masscan", PACKAGES + ["masscan"], [FOUND])
def port_scan_masscan(lab):
    """masscan: 200 ports of one host at 400 packets a second, with its own stack's marks (no TCP options, fixed window)."""
    lab.edge()
    services(lab)
    lab.quiet("sk-c", "ping -n -c 1 198.51.100.1")
    lab.capture()
    lab.run("sk-c", "masscan --rate 400 --wait 1 -e eth0 --source-ip 198.51.100.50 --router-mac 02:00:00:00:01:01 -p 1-200 10.20.0.80", timeout=30)
