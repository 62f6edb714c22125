"""The laboratory: network namespaces joined by veth pairs, a capture, and bounded processes.

A case asks for a topology, starts servers, runs clients and tools, and leaves; the laboratory then stops what it
started (by process id), closes the capture and deletes the namespaces, also when the case failed.
Nothing here is connected to the machine's own interfaces: a namespace has only the veth ends made for it, and the
router drops what has no route, so no packet can leave.

Names inside: `sk-c` client or attacker outside, `sk-r` router, `sk-s` server (DMZ), `sk-i` inside host,
`sk-x` the sensor (tests/field), `sk-h1`… further hosts.
Files below /etc/netns/<namespace>/ are mounted over /etc by `ip netns exec`: that is how the accounts of the
servers (passwd, shadow) and the name server (resolv.conf) exist only in there.
"""
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

NAMESPACES = ("sk-c", "sk-r", "sk-s", "sk-i", "sk-x") + tuple(f"sk-h{i}" for i in range(1, 33))
NETNS_ETC = pathlib.Path("/etc/netns")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

# The accounts of the server namespace. The password of alice is "Spring-2026", of bob "letmein".
PASSWD = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
sshd:x:105:65534::/run/sshd:/usr/sbin/nologin
ftp:x:106:65534::/srv/ftp:/usr/sbin/nologin
dnsmasq:x:107:65534::/:/usr/sbin/nologin
irc:x:39:39:ircd:/run/ircd:/usr/sbin/nologin
dovecot:x:108:65534::/:/usr/sbin/nologin
dovenull:x:109:65534::/:/usr/sbin/nologin
alice:x:2001:2001:Alice:{home}:/bin/sh
bob:x:2002:2002:Bob:{home}:/bin/sh
"""
GROUP = """root:x:0:
daemon:x:1:
bin:x:2:
adm:x:4:
tty:x:5:
mail:x:8:
utmp:x:43:
www-data:x:33:
irc:x:39:
nogroup:x:65534:
dovecot:x:110:
alice:x:2001:
bob:x:2002:
"""


class Lab:
    """One run of one case."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = pathlib.Path(folder)
        self._lock = open("/run/sekisho-pcaps.lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # the names of namespaces and folder are fixed: one laboratory at a time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends us finds nothing left
        for left in NAMESPACES:  # by a run that was killed: the lock is ours
            if pathlib.Path("/run/netns", left).exists():
                self._remove(left)
        self.tmp = pathlib.Path("/tmp/sekisho-pcaps")  # fixed, since it shows in some answers
        if self.tmp.exists():
            shutil.rmtree(self.tmp)  # left by a run that was killed
        self.tmp.mkdir(mode=0o755)
        self.log = []  # commands as they go into the README: (namespace, command)
        self.requests = []  # labelled requests: requests.txt
        self.children = []
        self.captures = []
        self.made = []  # namespaces made by this run: only these are deleted

    # --- namespaces -------------------------------------------------------------------------------------------

    def _ip(self, command):
        subprocess.run("ip " + command, shell=True, check=True)

    def namespace(self, name):
        assert name in NAMESPACES
        etc = NETNS_ETC / name
        etc.mkdir(parents=True, exist_ok=True)
        home = self.tmp / "home"
        home.mkdir(exist_ok=True)
        (etc / "passwd").write_text(PASSWD.format(home=home))
        (etc / "group").write_text(GROUP)
        digest = lambda word: subprocess.run(
            ["openssl", "passwd", "-6", "-salt", "sekisho", word], capture_output=True, text=True, check=True
        ).stdout.strip()
        shadow = "root:*:19700:0:99999:7:::\n"
        for user, word in (("alice", "Spring-2026"), ("bob", "letmein")):
            shadow += f"{user}:{digest(word)}:19700:0:99999:7:::\n"
        (etc / "shadow").write_text(shadow)
        (etc / "shadow").chmod(0o600)
        (etc / "resolv.conf").write_text("nameserver 10.20.0.53\noptions timeout:2 attempts:1\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n10.20.0.80 www.shop.example shop.example\n")
        self._ip(f"netns add {name}")
        self.made.append(name)
        for key in ("net.ipv6.conf.all.accept_ra=0", "net.ipv6.conf.default.accept_ra=0",
                    "net.ipv6.conf.default.router_solicitations=0", "net.ipv6.conf.default.accept_dad=0"):
            self.quiet(name, f"sysctl -qw {key}")
        self._ip(f"-n {name} link set lo up")

    def link(self, a, a_if, a_mac, b, b_if, b_mac, mtu=1500):
        """A veth pair with every offload off, so that the checksums on the wire are the real ones."""
        self._ip(f"link add {a_if} address {a_mac} mtu {mtu} netns {a} type veth peer name {b_if} address {b_mac} mtu {mtu} netns {b}")
        for ns, dev in ((a, a_if), (b, b_if)):
            self.quiet(ns, f"ethtool -K {dev} tx off rx off sg off tso off gso off gro off >/dev/null 2>&1")
            self._ip(f"-n {ns} link set {dev} up")

    def address(self, ns, dev, *addresses):
        for address in addresses:
            self._ip(f"-n {ns} addr add {address} dev {dev}" + (" nodad" if ":" in address else ""))

    def edge(self, inside=False):
        """Outside client 198.51.100.10, router, server 10.20.0.80 (and .53, .25); optional inside host 10.30.0.30."""
        for name in ("sk-c", "sk-r", "sk-s") + (("sk-i",) if inside else ()):
            self.namespace(name)
        self.link("sk-c", "eth0", "02:00:00:00:0c:10", "sk-r", "out", "02:00:00:00:01:01")
        self.link("sk-s", "eth0", "02:00:00:00:05:80", "sk-r", "dmz", "02:00:00:00:01:02")
        self.address("sk-c", "eth0", "198.51.100.10/24", "2001:db8:c::10/64")
        self.address("sk-r", "out", "198.51.100.1/24", "2001:db8:c::1/64")
        self.address("sk-r", "dmz", "10.20.0.1/24", "2001:db8:20::1/64")
        self.address("sk-s", "eth0", "10.20.0.80/24", "10.20.0.53/24", "10.20.0.25/24", "2001:db8:20::80/64", "2001:db8:20::53/64")
        self.quiet("sk-r", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        hosts = [("sk-c", "198.51.100.1", "2001:db8:c::1"), ("sk-s", "10.20.0.1", "2001:db8:20::1")]
        if inside:
            self.link("sk-i", "eth0", "02:00:00:00:0a:30", "sk-r", "lan", "02:00:00:00:01:03")
            self.address("sk-i", "eth0", "10.30.0.30/24", "2001:db8:30::30/64")
            self.address("sk-r", "lan", "10.30.0.1/24", "2001:db8:30::1/64")
            hosts.append(("sk-i", "10.30.0.1", "2001:db8:30::1"))
        for ns, via4, via6 in hosts:
            self._ip(f"-n {ns} route add default via {via4}")
            self._ip(f"-n {ns} -6 route add default via {via6} dev eth0")
        self._ip("-n sk-r route add blackhole default")  # nothing beyond: answers to spoofed sources end here
        self._ip("-n sk-r -6 route add blackhole default")

    def crowd_on_dmz(self, count, sysctl):
        """Turn the router's `dmz` side into a bridge with further hosts 10.20.0.101 and up beside the server."""
        self._ip("-n sk-r addr flush dev dmz")
        self._ip("-n sk-r link set dmz name port0")
        self._ip("-n sk-r link add dmz address 02:00:00:00:01:02 type bridge")
        self._ip("-n sk-r link set port0 master dmz")
        self._ip("-n sk-r link set dmz up")
        self._ip("-n sk-r link set port0 up")
        self.address("sk-r", "dmz", "10.20.0.1/24")
        for i in range(1, count + 1):
            name = f"sk-h{i}"
            self.namespace(name)
            self.link(name, "eth0", f"02:00:00:00:06:{i:02x}", "sk-r", f"port{i}", f"02:00:00:00:07:{i:02x}")
            self._ip(f"-n sk-r link set port{i} master dmz")
            self.address(name, "eth0", f"10.20.0.{100 + i}/24")
            self._ip(f"-n {name} route add default via 10.20.0.1")
            self.quiet(name, f"sysctl -qw {sysctl}")

    # --- commands ---------------------------------------------------------------------------------------------

    def _environment(self):
        """What programs see: nothing of the environment of whoever runs this, since a server may give it away."""
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.tmp), "LANG": "C.UTF-8", "PWD": str(self.tmp)}

    def quiet(self, ns, command, timeout=60):
        """Run without writing it into the README (preparation)."""
        return subprocess.run(["ip", "netns", "exec", ns, "bash", "-c", command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=timeout, cwd=self.tmp, env=self._environment())

    def run(self, ns, command, timeout=60):
        """Run a client or tool to its end, or to the time limit; failing is allowed (attacks fail)."""
        self.log.append((ns, command))
        child = subprocess.Popen(["ip", "netns", "exec", ns, "bash", "-c", command], stdin=subprocess.DEVNULL, cwd=self.tmp,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                                 env=self._environment())
        try:
            out, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                out, _ = child.communicate(timeout=3)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                out, _ = child.communicate()
        if os.environ.get("VERBOSE"):
            print(f"[{ns}] {command}\n{out[-2000:]}")
        return out

    def request(self, label, arguments, ns="sk-c", host="http://www.shop.example"):
        """One curl request as a browser would look, noted in requests.txt with its label and the status it got."""
        command = f"curl -s -m 5 -A '{BROWSER}' -o /dev/null -w '%{{http_code}}' " + arguments.replace("URL", host)
        status = self.run(ns, command, timeout=10).strip()[-3:]
        self.log.pop()
        self.requests.append((label, status, "curl " + arguments.replace("URL", host)))
        return status

    def spawn(self, ns, command, wait_port=None, udp=False, wait=0.0):
        """Start a server; it is stopped when the laboratory closes."""
        self.log.append((ns, command + " &"))
        out = open(self.tmp / f"spawn-{len(self.children)}.log", "w")
        child = subprocess.Popen(["ip", "netns", "exec", ns, "bash", "-c", "exec " + command], stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.tmp, env=self._environment())
        self.children.append(child)
        if wait_port:
            flag = "-lnuH" if udp else "-lntH"
            for _ in range(100):
                if f":{wait_port} " in self.quiet(ns, f"ss {flag}").stdout:
                    break
                time.sleep(0.1)
            else:
                print(f"{self.name}: port {wait_port} not open: {command}\n{pathlib.Path(out.name).read_text()[-1500:]}")
        time.sleep(wait)
        return child

    def stop(self, child):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            if child.poll() is None:
                try:
                    os.killpg(child.pid, sig)
                    child.wait(timeout=2)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass

    def write(self, name, text, mode=0o644):
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    # --- capture ----------------------------------------------------------------------------------------------

    def capture(self, ns="sk-r", dev="dmz", name="traffic.pcap", tool=None, filter=""):
        raw = self.tmp / name
        command = tool or f"tcpdump -Z root -i {dev} -s 0 -B 32768 -U -w {raw} {filter}"
        command = command.replace("OUT", str(raw))
        log = open(self.tmp / f"capture-{name}.log", "w+")
        child = subprocess.Popen(["ip", "netns", "exec", ns, "bash", "-c", "exec " + command], stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        for _ in range(100):
            if raw.exists() and raw.stat().st_size > 0:
                break
            time.sleep(0.05)
        time.sleep(0.3)
        self.captures.append((child, raw, name))

    def finish_capture(self):
        if not self.captures:
            return
        time.sleep(1.3)  # let the kernel's last block arrive
        for child, raw, name in self.captures:
            os.kill(child.pid, signal.SIGINT)
            child.wait(timeout=10)
            log = (self.tmp / f"capture-{name}.log").read_text()
            if "0 packets dropped by kernel" not in log and "packets dropped" in log:
                print(f"{self.name}: the capture lost packets:\n{log}")
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(raw, self.folder / name)
        self.captures = []

    # --- end --------------------------------------------------------------------------------------------------

    def close(self):
        for child in reversed(self.children):
            self.stop(child)
        for child, _, _ in self.captures:
            self.stop(child)
        for ns in self.made:
            self._remove(ns)
        shutil.rmtree(self.tmp, ignore_errors=True)
        self._lock.close()

    def _remove(self, ns):
        """Ends what lives in a namespace, and deletes it."""
        # Daemons that left their session still live there: nobody else's process can.
        for sig in (signal.SIGTERM, signal.SIGKILL):
            pids = subprocess.run(["ip", "netns", "pids", ns], capture_output=True, text=True).stdout.split()
            for pid in pids:
                try:
                    os.kill(int(pid), sig)
                except ProcessLookupError:
                    pass
            if pids:
                time.sleep(0.3)
        subprocess.run(["ip", "netns", "del", ns], check=False)
        shutil.rmtree(NETNS_ETC / ns, ignore_errors=True)
