"""Ordinary use of names, TLS, SSH, FTP and mail; and logins whose password crosses the wire in clear."""
import time

from cases import case

QUIET = ["No alert of level YELLOW or above: this is ordinary use."]

ZONE = """
no-resolv
no-hosts
no-daemon
user=root
listen-address=10.20.0.53,2001:db8:20::53
bind-interfaces
local=/shop.example/
local=/20.10.in-addr.arpa/
auth-ttl=300
host-record=www.shop.example,10.20.0.80,2001:db8:20::80
host-record=mail.shop.example,10.20.0.25
host-record=ns.shop.example,10.20.0.53
cname=shop-front.shop.example,www.shop.example
mx-host=shop.example,mail.shop.example,10
mx-host=shop.example,backup.shop.example,20
txt-record=shop.example,"v=spf1 ip4:10.20.0.25 -all"
srv-host=_imaps._tcp.shop.example,mail.shop.example,993
ptr-record=80.0.20.10.in-addr.arpa,www.shop.example
caa-record=shop.example,0,issue,ca.example
naptr-record=shop.example,100,10,U,E2U+sip,!^.*$!sip:info@shop.example!
"""


def names(lab):
    big = "\n".join(f'txt-record=big.shop.example,"{i:03d}-{"x" * 180}"' for i in range(8))
    many = "\n".join(f"host-record=many.shop.example,10.20.1.{i}" for i in range(1, 41))
    conf = lab.write("dnsmasq.conf", ZONE + big + "\n" + many + "\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)


@case("dns_lookup", ["dnsmasq", "bind9-dnsutils"], QUIET + ["AXFR refused and a version query are in it; a signature may call them GREEN or YELLOW only if it says so in `case.toml`."])
def dns_lookup(lab):
    """Ordinary DNS with a real server (dnsmasq): A, AAAA, CNAME, MX, TXT, SRV, PTR, CAA, NAPTR, NXDOMAIN, no data, EDNS with and without DO and cookie, an answer cut short and asked again over TCP, several questions over one TCP connection, over IPv4 and IPv6."""
    lab.edge()
    names(lab)
    lab.capture()
    dig = "dig +time=2 +tries=1"
    for what in ("A www.shop.example", "AAAA www.shop.example", "A shop-front.shop.example", "MX shop.example", "TXT shop.example", "SRV _imaps._tcp.shop.example", "CAA shop.example",
                 "NAPTR shop.example", "-x 10.20.0.80", "A missing.shop.example", "AAAA mail.shop.example", "+noedns A www.shop.example", "+dnssec A www.shop.example", "+nocookie +bufsize=1232 A www.shop.example",
                 "+noedns A many.shop.example", "+bufsize=512 TXT big.shop.example", "+bufsize=4096 TXT big.shop.example", "+tcp A www.shop.example", "+tcp +keepopen A www.shop.example MX shop.example A missing.shop.example",
                 "+subnet=198.51.100.0/24 A www.shop.example", "A WwW.ShOp.ExAmPlE", "HTTPS www.shop.example"):
        lab.run("sk-c", f"{dig} @10.20.0.53 {what}")
    lab.run("sk-c", f"{dig} @2001:db8:20::53 AAAA www.shop.example")
    lab.run("sk-c", "getent ahosts www.shop.example; host shop.example 10.20.0.53")


@case("dns_probe", ["dnsmasq", "bind9-dnsutils"], [
    "Signatures for the version query (`version.bind`), for the zone transfer attempt and for the ANY query may fire, GREEN or YELLOW.", "No `port_scan`."])
def dns_probe(lab):
    """What a curious outsider asks a name server: version.bind, hostname.bind, a zone transfer (refused), ANY, and the names of a hosting list one after another."""
    lab.edge()
    names(lab)
    lab.capture()
    dig = "dig +time=2 +tries=1 @10.20.0.53"
    for what in ("CH TXT version.bind", "CH TXT hostname.bind", "CH TXT authors.bind", "AXFR shop.example", "ANY shop.example"):
        lab.run("sk-c", f"{dig} {what}")
    lab.run("sk-c", f"for n in admin api backup blog cpanel db dev ftp git imap intranet jira ldap login mail mx ns1 ns2 old portal proxy smtp staging test vpn webmail wiki; do {dig} +short A $n.shop.example; done")


@case("tls_versions", ["openssl", "curl", "wget", "gnutls-bin"], QUIET + ["TLS 1.0 and 1.1, a self-signed certificate and an expired one are policy matters: a signature may say GREEN or YELLOW, as `case.toml` then lists."])
def tls_versions(lab):
    """TLS 1.0 to 1.3 with real servers and clients of two libraries (OpenSSL in curl and s_client, GnuTLS in wget and gnutls-cli): SNI, ALPN, a chain of three certificates, a self-signed and an expired certificate, client certificate, resumption, a retried hello, refused handshakes, plain text sent to a TLS port."""
    lab.edge()
    t = lab.tmp
    lab.write("pki.sh", f"""set -e; cd {t}
new() {{ openssl req -new -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "$2" 2>/dev/null; }}
printf 'basicConstraints=critical,CA:true\\nkeyUsage=keyCertSign\\n' > ca.ext
printf 'subjectAltName=DNS:www.shop.example,DNS:shop.example\\n' > leaf.ext
new root "/C=JP/O=Example Trust/CN=Example Root"; openssl x509 -req -in root.csr -signkey root.key -extfile ca.ext -days 3650 -out root.pem 2>/dev/null
new mid "/C=JP/O=Example Trust/CN=Example Issuing 1"; openssl x509 -req -in mid.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile ca.ext -days 1800 -out mid.pem 2>/dev/null
new leaf "/C=JP/O=Shop/CN=www.shop.example"; openssl x509 -req -in leaf.csr -CA mid.pem -CAkey mid.key -CAcreateserial -extfile leaf.ext -days 90 -out leaf.pem 2>/dev/null
new old "/C=JP/O=Shop/CN=old.shop.example"; openssl x509 -req -in old.csr -CA mid.pem -CAkey mid.key -CAcreateserial -days -1 -out old.pem 2>/dev/null || openssl x509 -req -in old.csr -CA mid.pem -CAkey mid.key -CAcreateserial -days 0 -out old.pem
new user "/C=JP/O=Shop/CN=alice"; openssl x509 -req -in user.csr -CA mid.pem -CAkey mid.key -CAcreateserial -days 90 -out user.pem 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out self.key; openssl req -x509 -new -key self.key -subj "/CN=printer.shop.example" -days 30 -out self.pem
cat mid.pem root.pem > chain.pem
""")
    lab.quiet("sk-s", f"bash {t}/pki.sh")
    server = "openssl s_server -quiet -www"
    lab.spawn("sk-s", f"{server} -accept 443 -cert {t}/leaf.pem -key {t}/leaf.key -cert_chain {t}/chain.pem -alpn h2,http/1.1 -servername shop.example -cert2 {t}/leaf.pem -key2 {t}/leaf.key", wait_port=443)
    lab.spawn("sk-s", f"{server} -accept 8443 -cert {t}/leaf.pem -key {t}/leaf.key -cert_chain {t}/chain.pem -cipher ALL:@SECLEVEL=0", wait_port=8443)
    lab.spawn("sk-s", f"{server} -accept 9443 -cert {t}/self.pem -key {t}/self.key", wait_port=9443)
    lab.spawn("sk-s", f"{server} -accept 10443 -cert {t}/old.pem -key {t}/old.key -cert_chain {t}/chain.pem -Verify 2 -CAfile {t}/chain.pem", wait_port=10443)
    lab.capture()
    curl = f"curl -s -m 5 -o /dev/null --cacert {t}/root.pem"
    lab.run("sk-c", f"{curl} https://www.shop.example/")
    lab.run("sk-c", f"{curl} --tls-max 1.2 https://www.shop.example/")
    lab.run("sk-c", f"{curl} --http1.1 --tlsv1.3 https://www.shop.example/ https://www.shop.example/again")
    lab.run("sk-c", f"wget -q -T 5 -O /dev/null --ca-certificate={t}/root.pem https://www.shop.example/")
    lab.run("sk-c", f"{curl} --tlsv1.0 --tls-max 1.0 --ciphers ALL:@SECLEVEL=0 https://www.shop.example:8443/")
    lab.run("sk-c", f"{curl} --tlsv1.1 --tls-max 1.1 --ciphers ALL:@SECLEVEL=0 https://www.shop.example:8443/")
    lab.run("sk-c", f"{curl} --tls-max 1.2 --ciphers ECDHE-RSA-AES128-SHA https://www.shop.example:8443/")
    lab.run("sk-c", f"{curl} -k https://10.20.0.80:9443/")  # no SNI, self-signed
    lab.run("sk-c", f"{curl} https://10.20.0.80:9443/")  # refused by the client: unknown CA
    lab.run("sk-c", f"{curl} -k --tls-max 1.2 --cert {t}/user.pem --key {t}/user.key https://www.shop.example:10443/")
    lab.run("sk-c", f"{curl} -k https://www.shop.example:10443/")  # no client certificate: refused by the server
    s_client = "openssl s_client -connect 10.20.0.80"
    lab.run("sk-c", f"(sleep 0.5; printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5) | {s_client}:443 -servername shop.example -alpn http/1.1 -groups P-384:X25519 -sess_out {t}/session -ign_eof", timeout=8)
    lab.run("sk-c", f"(sleep 0.5; printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5) | {s_client}:443 -servername shop.example -sess_in {t}/session -ign_eof", timeout=8)
    lab.run("sk-c", f"(sleep 0.5; printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5) | {s_client}:443 -tls1_2 -groups secp521r1 -servername no-such-name.example -ign_eof", timeout=8)
    lab.run("sk-c", f"{s_client}:443 -tls1_2 -cipher PSK -psk 00 </dev/null", timeout=8)  # no common cipher
    lab.run("sk-c", f"(sleep 0.5; printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5) | gnutls-cli --insecure -p 443 --alpn=h2 www.shop.example", timeout=8)
    lab.run("sk-c", "curl -s -m 2 http://10.20.0.80:443/")  # plain text to a TLS port


SSHD = """
Port 22
ListenAddress 10.20.0.80
HostKey {tmp}/host_ed25519
HostKey {tmp}/host_rsa
PidFile {tmp}/sshd.pid
UsePAM no
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin no
MaxAuthTries 6
MaxStartups 50
UseDNS no
StrictModes no
AuthorizedKeysFile {tmp}/authorized
LogLevel ERROR
"""
SSH = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=5 -o GSSAPIAuthentication=no"


def sshd(lab):
    lab.quiet("sk-s", f"ssh-keygen -q -t ed25519 -N '' -C key -f {lab.tmp}/host_ed25519; ssh-keygen -q -t rsa -b 3072 -N '' -C key -f {lab.tmp}/host_rsa; mkdir -p /run/sshd; chown 2001:2001 {lab.tmp}/home")
    lab.spawn("sk-s", f"/usr/sbin/sshd -D -e -f {lab.write('sshd.conf', SSHD.format(tmp=lab.tmp))}", wait_port=22)


@case("ssh_login", ["openssh-server", "openssh-client", "sshpass"], ["No alert of level YELLOW or above: a good login, one mistyped password and one good login with a key are ordinary.", "No brute force: one failure is none."])
def ssh_login(lab):
    """SSH: a login with the right password and a command, one mistyped password, a login with a key, a small copy (scp), and a banner read by a monitor."""
    lab.edge()
    sshd(lab)
    lab.quiet("sk-c", f"ssh-keygen -q -t ed25519 -N '' -C key -f {lab.tmp}/user; cp {lab.tmp}/user.pub {lab.tmp}/authorized; chmod 644 {lab.tmp}/authorized")
    lab.capture()
    lab.run("sk-c", f"sshpass -p Spring-2026 ssh {SSH} -o PubkeyAuthentication=no alice@10.20.0.80 'id; ls -la'")
    lab.run("sk-c", f"sshpass -p Sprnig-2026 ssh {SSH} -o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 alice@10.20.0.80 id")
    lab.run("sk-c", f"ssh {SSH} -i {lab.tmp}/user alice@10.20.0.80 'uname -s'")
    lab.run("sk-c", f"head -c 4000 /dev/zero > {lab.tmp}/note; scp -O {SSH} -i {lab.tmp}/user {lab.tmp}/note alice@10.20.0.80:note")
    lab.run("sk-c", "bash -c 'exec 3<>/dev/tcp/10.20.0.80/22; head -n 1 <&3'")


VSFTPD = """
listen=YES
background=NO
local_enable=YES
write_enable=YES
anonymous_enable=YES
anon_root={tmp}/pub
no_anon_password=NO
pam_service_name=sekisho-ftp
connect_from_port_20=YES
pasv_min_port=40000
pasv_max_port=40040
max_login_fails=3
delay_failed_login=0
seccomp_sandbox=NO
xferlog_enable=NO
secure_chroot_dir={tmp}/empty
ftpd_banner=Shop files
"""


def vsftpd(lab):
    lab.quiet("sk-s", f"mkdir -p {lab.tmp}/pub {lab.tmp}/empty; echo 'price list' > {lab.tmp}/pub/prices.txt; head -c 6000 /dev/zero | tr '\\0' a > {lab.tmp}/home/orders.csv; chown -R 2001:2001 {lab.tmp}/home")
    # A pam service of our own: passwords from the namespace's shadow file, nothing else.
    import pathlib
    pam = pathlib.Path("/etc/netns/sk-s/pam.d")
    pam.mkdir()
    (pam / "sekisho-ftp").write_text("auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n")
    lab.spawn("sk-s", f"vsftpd {lab.write('vsftpd.conf', VSFTPD.format(tmp=lab.tmp))}", wait_port=21, wait=0.3)


@case("ftp_session", ["vsftpd", "curl", "tnftp"], ["Nothing above a notice that a password crossed the wire in clear (policy), should a signature say so.", "No brute force: one failed login is none.", "The data connections are known as belonging to the session: no `port_scan`."])
def ftp_session(lab):
    """FTP with a real server: extended passive, passive, active and extended active transfers, upload, listing, rename, delete, resume, anonymous login, a failed login, and a session typed by hand."""
    lab.edge()
    vsftpd(lab)
    lab.write("upload.txt", "new prices\n" * 40)
    lab.capture()
    curl = "curl -s -m 8"
    user = "-u alice:Spring-2026"
    lab.run("sk-c", f"{curl} {user} ftp://10.20.0.80/")
    lab.run("sk-c", f"{curl} {user} -o /dev/null ftp://10.20.0.80/orders.csv")
    lab.run("sk-c", f"{curl} {user} --disable-epsv -o /dev/null ftp://10.20.0.80/orders.csv")
    lab.run("sk-c", f"{curl} {user} --ftp-port - --disable-eprt -o /dev/null ftp://10.20.0.80/orders.csv")
    lab.run("sk-c", f"{curl} {user} --ftp-port - -o /dev/null ftp://10.20.0.80/orders.csv")
    lab.run("sk-c", f"{curl} {user} -C 3000 -o /dev/null ftp://10.20.0.80/orders.csv")
    lab.run("sk-c", f"{curl} {user} -T {lab.tmp}/upload.txt ftp://10.20.0.80/upload.txt -Q '-RNFR upload.txt' -Q '-RNTO prices-2026.txt' -Q '-DELE prices-2026.txt'")
    lab.run("sk-c", f"{curl} -o /dev/null ftp://10.20.0.80/prices.txt")
    lab.run("sk-c", f"{curl} -u alice:spring ftp://10.20.0.80/")
    lab.run("sk-c", "printf 'user alice Spring-2026\\nsyst\\npwd\\nmkdir archive\\ncd archive\\nls\\ncd ..\\nrmdir archive\\nbinary\\nget orders.csv /dev/null\\nsite help\\nquit\\n' | tnftp -n -A 10.20.0.80", timeout=15)


MAILD = """
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if not address.endswith("@shop.example"): return "550 relay denied"
        if address.startswith("nobody@"): return "550 no such user"
        envelope.rcpt_tos.append(address); return "250 OK"
    async def handle_DATA(self, server, session, envelope): return "250 kept"
def login(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"alice", b"Spring-2026")
    return AuthResult(success=good, handled=False)
class Mail(Controller):
    def factory(self):
        tls = None
        if len(sys.argv) > 1:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); tls.load_cert_chain(sys.argv[1])
        return SMTP(self.handler, authenticator=login, auth_require_tls=False, hostname="mail.shop.example", ident="ESMTP ready", tls_context=tls)
Mail(Keep(), hostname="10.20.0.25", port=25).start()
import threading; threading.Event().wait()
"""


def maild(lab):
    lab.quiet("sk-s", f"cd {lab.tmp} && openssl req -x509 -newkey rsa:2048 -nodes -keyout m.key -out m.crt -days 30 -subj /CN=mail.shop.example && cat m.key m.crt > mail.pem")
    lab.spawn("sk-s", f"/usr/bin/python3 {lab.write('maild.py', MAILD)} {lab.tmp}/mail.pem", wait_port=25)


@case("smtp_mail", ["python3-aiosmtpd", "swaks", "dnsmasq"], ["Nothing above a notice that a password crossed the wire in clear (policy), should a signature say so.", "The attachment is a file the sensor can name: `prices.pdf`, and its text."])
def smtp_mail(lab):
    """Mail with a real SMTP server: a plain message, one with two attachments in base64 and HTML, one in quoted-printable, AUTH PLAIN and LOGIN, a refused relay, an unknown recipient, a message after STARTTLS, a message whose lines begin with dots."""
    lab.edge()
    names(lab)
    maild(lab)
    lab.write("prices.pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n" + b"% price list\n" * 60)
    lab.write("note.txt", "Dear customer,\n\nplease find the list attached.\n")
    lab.write("dots.txt", "Date: Sun, 22 Nov 2026 09:00:00 +0900\nFrom: bob@client.example\nTo: alice@shop.example\nSubject: dots\n\n.\n..two\n.hidden\nend\n")
    lab.write("qp.txt", "From: bob@client.example\nTo: alice@shop.example\nSubject: =?UTF-8?B?6Zai5omA44GL44KJ?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nCaf=C3=A9 and a very long line that continues =\nhere, with a link http://www.shop.example/item.php?id=3D2\n")
    lab.capture()
    swaks = "swaks --server 10.20.0.25 --helo client.example --from bob@client.example"
    lab.run("sk-c", f"{swaks} --to alice@shop.example --header 'Subject: hello' --body 'Just a line.'")
    lab.run("sk-c", f"{swaks} --to alice@shop.example --header 'Subject: prices' --body {lab.tmp}/note.txt --attach-type application/pdf --attach-name prices.pdf --attach @{lab.tmp}/prices.pdf --attach-type text/html --attach-name page.html --attach '<html><body>see <a href=\"http://www.shop.example/\">shop</a></body></html>'")
    lab.run("sk-c", f"{swaks} --to alice@shop.example --data @{lab.tmp}/qp.txt")
    lab.run("sk-c", f"{swaks} --to alice@shop.example --data @{lab.tmp}/dots.txt")
    lab.run("sk-c", f"{swaks} --to alice@shop.example --auth PLAIN --auth-user alice --auth-password Spring-2026 --body x")
    lab.run("sk-c", f"{swaks} --to alice@shop.example,carol@shop.example --auth LOGIN --auth-user alice --auth-password Spring-2026 --body x")
    lab.run("sk-c", f"{swaks} --to victim@elsewhere.example --body relay")
    lab.run("sk-c", f"{swaks} --to nobody@shop.example --body x")
    lab.run("sk-c", f"{swaks} --to alice@shop.example --tls --body 'after STARTTLS'")


@case("cleartext_password", ["telnet", "inetutils-telnetd", "vsftpd", "curl", "dovecot-pop3d", "dovecot-imapd", "nginx-light", "socat", "ncat"], ["A password in clear: once for each of telnet, FTP, HTTP Basic, POP3 and IMAP, where a signature exists (policy violation).", "No brute force: every login is right at the first try."])
def cleartext_password(lab):
    """One good login each over telnet, FTP, HTTP Basic, POP3 and IMAP, with the password in clear."""
    import webserver
    lab.edge()
    vsftpd(lab)
    webserver.start(lab, php=False)
    t = lab.tmp
    lab.write("dovecot.conf", f"protocols = pop3 imap\nlisten = 10.20.0.80\nssl = no\ndisable_plaintext_auth = no\nbase_dir = {t}/dovecot\nstate_dir = {t}/dovecot-state\nlog_path = /dev/stderr\n"
              f"mail_location = maildir:{t}/mail/%u\nmail_uid = 2001\nmail_gid = 2001\nfirst_valid_uid = 1000\nauth_failure_delay = 0\nservice anvil {{\n chroot =\n}}\n"
              "passdb {\n driver = static\n args = password=Spring-2026\n}\nuserdb {\n driver = static\n args = uid=2001 gid=2001 home=" + f"{t}/home\n" + "}\n")
    lab.quiet("sk-s", f"mkdir -p {t}/mail/alice/new {t}/mail/alice/cur {t}/mail/alice/tmp; printf 'From: bob@client.example\\nSubject: hi\\n\\nhello\\n' > {t}/mail/alice/new/1.m; chown -R 2001:2001 {t}/mail")
    lab.spawn("sk-s", f"dovecot -F -c {t}/dovecot.conf", wait_port=143)
    lab.write("login.sh", "#!/bin/sh\nprintf 'login: '; read u; printf 'Password: '; stty -echo; read p; stty echo; echo; [ \"$p\" = Spring-2026 ] && { echo \"Welcome $u\"; PS1='$ ' exec sh; }; echo 'Login incorrect'\n", 0o755)
    lab.spawn("sk-s", f"socat TCP4-LISTEN:23,bind=10.20.0.80,reuseaddr EXEC:'/usr/sbin/telnetd -h -E {t}/login.sh',nofork", wait_port=23)
    lab.capture()
    lab.run("sk-c", "curl -s -m 5 -u alice:Spring-2026 ftp://10.20.0.80/")
    lab.run("sk-c", "curl -s -m 5 -u operator:Green-Kettle-7 http://www.shop.example/admin/")
    lab.run("sk-c", "curl -s -m 5 --login-options AUTH=+LOGIN -u alice:Spring-2026 pop3://10.20.0.80/1")
    lab.run("sk-c", "curl -s -m 5 -u alice:Spring-2026 pop3://10.20.0.80/")
    lab.run("sk-c", "(sleep 0.3; printf 'USER alice\\r\\n'; sleep 0.3; printf 'PASS Spring-2026\\r\\nSTAT\\r\\nRETR 1\\r\\nQUIT\\r\\n'; sleep 0.5) | ncat 10.20.0.80 110 || true", timeout=8)
    lab.run("sk-c", "curl -s -m 5 -u alice:Spring-2026 'imap://10.20.0.80/INBOX;UID=1'")
    lab.run("sk-c", "(sleep 0.3; printf 'a LOGIN alice Spring-2026\\r\\nb SELECT INBOX\\r\\nc FETCH 1 BODY[]\\r\\nd LOGOUT\\r\\n'; sleep 0.5) | ncat 10.20.0.80 143", timeout=8)
    lab.run("sk-c", "(sleep 0.5; echo alice; sleep 0.5; echo Spring-2026; sleep 0.5; echo 'echo hello; ls /srv'; sleep 0.5; echo exit; sleep 0.5) | telnet 10.20.0.80 23", timeout=10)
