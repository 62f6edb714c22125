"""Two hosts with the sensor between them: clients outside (sk-c), a web server (sk-s), the sensor (sk-x) without an address.

sk-c 198.51.100.10 ══ a0 sensor b0 ══ sk-s 198.51.100.80
"""
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "pcaps" / "make.d")]
sys.dont_write_bytecode = True
import webserver  # noqa: E402
from lab import Lab  # noqa: E402
from packages import BASE_PACKAGES, install  # noqa: E402

SERVER = "198.51.100.80"
FIRST = 11  # clients: 198.51.100.11 and up

CONFIG = """
log-dir = "{logs}"
workers = {workers}
[control]
socket = "{tmp}/control.sock"
[vars]
HOME_NET = "[198.51.100.80/32]"
[[inline]]
ports = ["a0", "b0"]
method = "{method}"
{inline}
[[segment]]
name = "dmz"
role = "dmz"
interfaces = ["a0", "b0"]
subnets = ["198.51.100.80/32"]
"""

# Clients that look at a page again and again, each from an address of its own. A line an answer: client, time, good, seconds.
CLIENTS = """
import asyncio, random, sys, time
first, count, pause, end, out = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), time.time() + float(sys.argv[4]), open(sys.argv[5], "a", buffering=1)
async def ask(source):
    reader, writer = await asyncio.open_connection("198.51.100.80", 80, local_addr=(source, 0))
    try:
        writer.write(b"GET /docs/terms.txt HTTP/1.1\\r\\nHost: www.shop.example\\r\\nUser-Agent: Mozilla/5.0\\r\\nConnection: close\\r\\n\\r\\n")
        return (await reader.read(-1)).startswith(b"HTTP/1.1 200")
    finally:
        writer.close()
async def client(number):
    await asyncio.sleep(random.random() * pause)
    while time.time() < end:
        began = time.time()
        try:
            good = await asyncio.wait_for(ask(f"198.51.100.{number}"), 5)
        except (OSError, asyncio.TimeoutError):
            good = False
        out.write(f"{number} {began} {int(good)} {time.time() - began:.4f}\\n")
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
async def main():
    await asyncio.gather(*(client(first + n) for n in range(count)))
asyncio.run(main())
"""


class Pair:
    """The two hosts, the server, and the sensor."""

    def __init__(self, arguments, config="", inline="", rules=()):
        if os.geteuid() != 0:
            raise SystemExit("needs root: it makes network namespaces")
        # Programs of the laboratory run in its own folder.
        arguments.sensor = str(pathlib.Path(arguments.sensor).resolve())
        if not pathlib.Path(arguments.sensor).exists():
            raise SystemExit(f"{arguments.sensor} is missing: cargo build --release")
        install(BASE_PACKAGES + webserver.PACKAGES + ["iproute2"])
        self.sensor_program = arguments.sensor
        self.lab = lab = Lab("field", HERE / "out")
        try:
            self._build()
            self.logs = lab.tmp / "log"
            self.logs.mkdir()
            text = CONFIG.format(logs=self.logs, tmp=lab.tmp, method=arguments.method, workers=arguments.workers, inline=inline) + config
            self.config = lab.write("sensor.toml", text)
            self.rules = [lab.write(f"rules/{name}", text) for name, text in rules]
            more = "".join(f" -s {path}" for path in self.rules)
            self.sensor = lab.spawn("sk-x", f"{arguments.sensor} run -c {self.config}{more}")
            self.wait()
        except BaseException:
            lab.close()
            raise

    def _build(self):
        lab = self.lab
        for name in ("sk-c", "sk-s", "sk-x"):
            lab.namespace(name)
        lab.quiet("sk-x", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        for host in ("sk-c", "sk-s"):
            lab.quiet(host, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        lab.link("sk-c", "eth0", "02:00:00:00:0c:10", "sk-x", "a0", "02:00:00:00:01:01")
        lab.link("sk-s", "eth0", "02:00:00:00:05:80", "sk-x", "b0", "02:00:00:00:01:02")
        lab.address("sk-c", "eth0", *[f"198.51.100.{n}/24" for n in (10, *range(FIRST, FIRST + 60))])
        lab.address("sk-s", "eth0", f"{SERVER}/24")
        # Answers to invented sources go back to where they came from, and end there.
        lab._ip("-n sk-s route add default via 198.51.100.10")
        lab._ip("-n sk-s neigh add 198.51.100.10 lladdr 02:00:00:00:0c:10 dev eth0 nud permanent")
        lab._ip(f"-n sk-c neigh add {SERVER} lladdr 02:00:00:00:05:80 dev eth0 nud permanent")
        webserver.start(lab, php=False)

    def wait(self):
        for _ in range(300):
            asked = self.lab.quiet("sk-c", f"curl -s -m 1 -o /dev/null http://{SERVER}/docs/terms.txt").returncode
            if asked == 0 and (self.logs / "eve.json").exists():
                return
            if self.sensor.poll() is not None:
                raise SystemExit(f"the sensor ended:\n{self.said()}")
            time.sleep(0.1)
        raise SystemExit(f"the sensor does not forward:\n{self.said()}")

    def said(self):
        """What the sensor printed."""
        return (self.lab.tmp / f"spawn-{self.lab.children.index(self.sensor) if self.sensor in self.lab.children else len(self.lab.children)}.log").read_text()

    def clients(self, name, first, count, pause, seconds):
        """Starts clients; what became of their requests is read with `answers`."""
        script = self.lab.write("clients.py", CLIENTS)
        return self.lab.spawn("sk-c", f"/usr/bin/python3 {script} {first} {count} {pause} {seconds} {self.lab.tmp}/{name}")

    def answers(self, name, start, end):
        """(seconds, good) of the requests that began between two times."""
        found = []
        for line in (self.lab.tmp / name).read_text().splitlines():
            _, began, good, took = line.split()
            if start <= float(began) < end:
                found.append((float(took), good == "1"))
        return found

    def ctl(self, *words):
        """`sekisho ctl`, its answer."""
        command = f"{self.sensor_program} ctl --socket {self.lab.tmp}/control.sock {' '.join(words)}"
        done = self.lab.quiet("sk-x", command)
        return done.stdout if done.returncode == 0 else f"failed: {done.stderr.strip()}"

    def packets(self):
        """Frames that the hosts sent and received: (sent, received) of each."""
        counts = {}
        for host in ("sk-c", "sk-s"):
            link = json.loads(self.lab.quiet(host, "ip -j -s link show dev eth0").stdout)[0]["stats64"]
            counts[host] = (link["tx"]["packets"], link["rx"]["packets"])
        return counts

    def links(self):
        """Counters of the ends of both cables, {end: {counter: number}}: `c` and `s` are the hosts', `a` and `b` the sensor's."""
        counts = {}
        for end, space, name in (("c", "sk-c", "eth0"), ("a", "sk-x", "a0"), ("b", "sk-x", "b0"), ("s", "sk-s", "eth0")):
            link = json.loads(self.lab.quiet(space, f"ip -j -s link show dev {name}").stdout)[0]["stats64"]
            counts[end] = {f"{way} {what}": link[way][what] for way in ("rx", "tx") for what in ("packets", "dropped", "errors")}
        return counts

    def account(self):
        """All counters on the way of a frame, read when nothing moves: twice the same, or None."""
        before = None
        for _ in range(100):
            stats = json.loads(self.ctl("--json", "stats"))
            now = self.links()
            now["sensor"] = {
                "taken": stats["decoder"]["pkts"], "kernel dropped": stats["capture"]["kernel_drops"],
                "forwarded": stats["ips"]["accepted"], "blocked": stats["ips"]["blocked"], "own": stats["ips"]["rejected"],
                "not sent": stats["sekisho"]["send_errors"], "not inspected": stats["sekisho"]["uninspected"],
            }
            # Of the machine: frames for which the queue between two ends of a cable (netdev_max_backlog) had no room.
            lines = pathlib.Path("/proc/net/softnet_stat").read_text().splitlines()
            now["machine"] = {"backlog full": sum(int(line.split()[1], 16) for line in lines)}
            ends = {name: now[name] for name in ("c", "s", "a", "b", "sensor")}
            if ends == before:
                return now
            before = ends
            time.sleep(0.7)  # the sensor asks the kernel for its drops every half second
        return None

    def process(self):
        """The process that looks at packets: the guardian's child."""
        parents = [self.sensor.pid]
        for _ in range(4):
            pid = parents[-1]
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if not children:
                break
            parents.append(int(children[0]))
        return parents[-1]

    def memory_kib(self):
        """What it holds in memory."""
        for line in pathlib.Path(f"/proc/{self.process()}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    def alerts(self, detector):
        """Alerts of a detector, so far."""
        found = []
        for line in (self.logs / "eve.json").read_text(errors="replace").splitlines():
            if '"event_type":"alert"' in line and f'"{detector}"' in line:
                found.append(json.loads(line))
        return found

    def close(self):
        self.lab.close()


def arguments(parser):
    parser.add_argument("--sensor", default=str(ROOT / "target/release/sekisho"), help="the program")
    parser.add_argument("--method", default="af-packet", help="af-packet or af-xdp")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=int, help="how long")
    parser.add_argument("--keep", help="copy the sensor's log folder to here")
