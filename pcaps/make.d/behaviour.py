"""What hosts do over time: hoarded connections, stalled queues, chains of infection, loops, abused servers."""
from cases import case
from local import wire

HOARD = """import socket, sys, time
held = []
for i in range(int(sys.argv[1])):
    one = socket.create_connection(("10.20.0.80", 80))
    held.append(one)
    time.sleep(0.004)
time.sleep(2)
for one in held:
    one.close()
"""

HOLDER = """import http.server, socket, socketserver, time
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 600
    daemon_threads = True
class Handler(http.server.BaseHTTPRequestHandler):
    def setup(self):
        super().setup()
        self.connection.settimeout(20)
Server(("10.20.0.80", 80), Handler).serve_forever()
"""


def hold(lab, count):
    lab.edge()
    lab.spawn("sk-s", f"/usr/bin/python3 {lab.write('server.py', HOLDER)}", wait_port=80)
    lab.capture()
    lab.run("sk-c", f"ulimit -n 4096; /usr/bin/python3 {lab.write('hoard.py', HOARD)} {count}", timeout=60)


@case("session_hoard", [], ["`session_exhaustion` once, from 198.51.100.10: 560 connections to one service at a time, none of which asks for anything."])
def session_hoard(lab):
    """One client opens 560 connections to a web server and holds them."""
    hold(lab, 560)


@case("session_nearmiss", [], ["Nothing: 120 connections of one client are many, not too many."])
def session_nearmiss(lab):
    """The near miss of hoarded connections: one client with 120 of them."""
    hold(lab, 120)


# A small shop whose pages all read one table; /report locks it.
LOCK = """import http.server, sys, threading, time
table = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        with table:
            time.sleep(float(sys.argv[1]) if self.path.startswith("/report") else 0.005)
        body = b"<html>ok</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100
Server(("10.20.0.80", 80), Handler).serve_forever()
"""


def queue(lab, seconds):
    lab.edge()
    lab.address("sk-c", "eth0", *(f"198.51.100.{i}/24" for i in range(21, 41)))
    lab.spawn("sk-s", f"/usr/bin/python3 {lab.write('shop.py', LOCK)} {seconds}", wait_port=80)
    lab.capture()
    lab.run("sk-c", "for i in $(seq 21 40); do curl -s -o /dev/null --interface 198.51.100.$i http://10.20.0.80/item/$i; done", timeout=30)
    lab.run("sk-c", "curl -s -o /dev/null http://10.20.0.80/report & sleep 0.3; "
            "for i in $(seq 21 40); do curl -s -m 20 -o /dev/null --interface 198.51.100.$i http://10.20.0.80/item/$i & sleep 0.2; done; wait", timeout=40)


@case("queue_lock", ["curl"], ["`queue_stall` once: the report of 198.51.100.10 holds a lock for 7 s, and twenty visitors wait behind it.", "No `slow_http`, no `request_flood`: the requests are whole and few."])
def queue_lock(lab):
    """One user's report locks the table that every page of a shop reads; the requests of twenty others pile up behind it."""
    queue(lab, 7)


@case("queue_nearmiss", ["curl"], ["Nothing: the same report takes half a second, and the queue drains."])
def queue_nearmiss(lab):
    """The near miss of a stalled queue: the report holds the table for half a second."""
    queue(lab, 0.5)


# The same behind a data base: a report locks the table that every page reads.
ITEMS = "create table item (id int primary key, name text); insert into item select n, 'item ' || n from generate_series(1, 100) n;"


def database(lab, seconds):
    lab.edge(inside=True)
    bin = "setpriv --reuid=2001 --regid=2001 --clear-groups /usr/lib/postgresql/15/bin"
    (lab.tmp / "db").mkdir(mode=0o777)
    (lab.tmp / "db").chmod(0o777)
    lab.quiet("sk-s", f"{bin}/initdb -D {lab.tmp}/db/data -A trust --no-sync")
    lab.quiet("sk-s", f"echo 'host all all 0.0.0.0/0 trust' >> {lab.tmp}/db/data/pg_hba.conf")
    lab.spawn("sk-s", f"{bin}/postgres -D {lab.tmp}/db/data -c listen_addresses=10.20.0.80 -c unix_socket_directories={lab.tmp}/db -c fsync=off", wait_port=5432)
    psql = "PGSSLMODE=disable psql -q -h 10.20.0.80 -U alice -d postgres -c"
    lab.quiet("sk-s", f'{psql} "{ITEMS}"')
    lab.capture()
    lab.run("sk-i", f"for i in $(seq 20); do {psql} \"select name from item where id = $i\" > /dev/null; done", timeout=40)
    holder = lab.spawn("sk-c", f'env PGSSLMODE=disable psql -q -h 10.20.0.80 -U alice -d postgres -c "begin; lock table item; select pg_sleep({seconds}); commit"')
    lab.run("sk-i", f"sleep 0.4; for i in $(seq 20); do {psql} \"select name from item where id = $i\" > /dev/null & sleep 0.15; done; wait", timeout=40)
    holder.wait(timeout=20)


@case("database_lock", ["postgresql-15", "postgresql-client-15"], ["`queue_stall` once: the transaction of 198.51.100.10 holds a lock for 7 s, and twenty queries of the shop wait behind it."])
def database_lock(lab):
    """PostgreSQL: one transaction locks the table that every page of a shop reads; twenty queries of the web server pile up behind it."""
    database(lab, 7)


@case("database_nearmiss", ["postgresql-15", "postgresql-client-15"], ["Nothing: the transaction takes half a second."])
def database_nearmiss(lab):
    """The near miss of a stalled data base: the lock is held for half a second."""
    database(lab, 0.5)


# The same with MySQL's protocol.
ROWS = "create table shop.item (id int primary key, name text) engine=innodb; insert into shop.item select seq, concat('item ', seq) from seq_1_to_100;"


def mysql(lab, seconds):
    lab.edge(inside=True)
    server = "setpriv --reuid=2001 --regid=2001 --clear-groups"
    (lab.tmp / "db").mkdir(mode=0o777)
    (lab.tmp / "db").chmod(0o777)
    lab.quiet("sk-s", f"{server} mariadb-install-db --no-defaults --datadir={lab.tmp}/db/data --auth-root-authentication-method=normal --skip-test-db")
    lab.spawn("sk-s", f"{server} /usr/sbin/mariadbd --no-defaults --datadir={lab.tmp}/db/data --socket={lab.tmp}/db/sock --bind-address=10.20.0.80 --skip-name-resolve --skip-grant-tables --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=16M", wait_port=3306)
    client = "mariadb --no-defaults --skip-ssl -h 10.20.0.80 -u alice -N -e"
    lab.quiet("sk-s", f'{client} "create database shop; {ROWS}"')
    lab.capture()
    lab.run("sk-i", f"for i in $(seq 20); do {client} \"select name from shop.item where id = $i\" > /dev/null; done", timeout=40)
    holder = lab.spawn("sk-c", f'{client} "lock tables shop.item write; do sleep({seconds}); unlock tables"')
    lab.run("sk-i", f"sleep 0.4; for i in $(seq 20); do {client} \"select name from shop.item where id = $i\" > /dev/null & sleep 0.15; done; wait", timeout=40)
    holder.wait(timeout=20)


@case("mysql_lock", ["mariadb-server", "mariadb-client"], ["`queue_stall` once: the session of 198.51.100.10 locks a table for 7 s, and twenty queries of the shop wait behind it."])
def mysql_lock(lab):
    """MySQL's protocol (MariaDB): one session locks the table that every page of a shop reads; twenty queries of the web server pile up behind it."""
    mysql(lab, 7)


@case("mysql_nearmiss", ["mariadb-server", "mariadb-client"], ["Nothing: the table is locked for half a second."])
def mysql_nearmiss(lab):
    """The near miss of a stalled MySQL data base: the table is locked for half a second."""
    mysql(lab, 0.5)


@case("storm_loop", ["arping"], ["`storm` once, a loop: one ARP question goes round and round two switches that are joined twice."])
def storm_loop(lab):
    """Two switches are joined by two cables without spanning tree; one question to all comes back for ever. The capture ends after 400 frames, and the loop is cut."""
    lab.namespace("sk-r")
    lab._ip("-n sk-r link add lan type bridge")
    lab._ip("-n sk-r link set lan up")
    lab.namespace("sk-h1")
    lab.link("sk-h1", "eth0", "02:00:00:00:06:01", "sk-r", "port1", "02:00:00:00:07:01")
    lab._ip("-n sk-r link set port1 master lan")
    lab.address("sk-h1", "eth0", "10.30.0.101/24")
    lab.namespace("sk-h2")
    lab._ip("-n sk-h2 link add lan type bridge")
    lab._ip("-n sk-h2 link set lan up")
    for i in (2, 3):
        lab.link("sk-h2", f"up{i}", f"02:00:00:00:06:{i:02x}", "sk-r", f"port{i}", f"02:00:00:00:07:{i:02x}")
        lab._ip(f"-n sk-h2 link set up{i} master lan")
        lab._ip(f"-n sk-r link set port{i} master lan")
    raw = lab.tmp / "traffic.pcap"
    lab.capture(dev="port1", tool=f"tcpdump -Z root -i port1 -s 0 -c 400 -U -w {raw}")
    # A short life, whatever happens: the cable is pulled after half a second.
    lab.run("sk-h1", "(arping -q -c 1 -w 1 -i eth0 10.30.0.77 &) ; sleep 0.4")
    lab._ip("-n sk-r link set port3 down")


VICTIM = """import socket, struct, sys, time
# 198.51.100.99 never asked: its address is forged on questions for a large record.
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for i in range(int(sys.argv[1])):
    question = struct.pack("!HHHHHH", i, 0x0100, 1, 0, 0, 1) + b"\\x05large\\x04shop\\x07example\\0\\0\\x10\\0\\x01" + b"\\0\\0\\x29\\x10\\0\\0\\0\\0\\0\\0\\0"
    udp = struct.pack("!HHHH", 20000 + i, 53, 8 + len(question), 0) + question
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), i, 0, 64, 17, 0, socket.inet_aton("198.51.100.99"), socket.inet_aton("10.20.0.53"))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    raw.sendto(head + udp, ("10.20.0.53", 0))
    time.sleep(0.01)
"""


@case("reflector_dns", ["dnsmasq"], ["`reflector` once: our resolver 10.20.0.53 sends large answers to 198.51.100.99, which never asked."])
def reflector_dns(lab):
    """Our own name server is abused: 150 questions with the forged address of a victim, each answered with a record of 720 bytes."""
    lab.edge()
    lab.address("sk-c", "eth0", "198.51.100.99/24")
    text = ",".join(["x" * 240] * 3)
    conf = lab.write("dns.conf", f"no-daemon\nno-resolv\nno-hosts\nuser=root\nlisten-address=10.20.0.53\nbind-interfaces\nedns-packet-max=4096\ntxt-record=large.shop.example,{text}\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=53, udp=True)
    lab.capture()
    lab.run("sk-c", f"/usr/bin/python3 {lab.write('forge.py', VICTIM)} 150", timeout=30)


@case("worm_chain", ["nmap", "ncat"], ["`worm_scan` twice: 10.30.0.101 first; then 10.30.0.102, which it reached on the same port: RED, patient zero 10.30.0.101."])
def worm_chain(lab):
    """A worm spreads: one inside host tries port 445 of its neighbours; one of those it reached does the same half a minute later."""
    wire(lab, hosts=3)
    for i in range(150, 200):
        for ns in ("sk-h1", "sk-h2"):
            lab._ip(f"-n {ns} neigh replace 10.30.0.{i} lladdr 02:00:00:00:09:{i:02x} dev eth0 nud permanent")
    lab.spawn("sk-h2", "ncat -l -k 10.30.0.102 445", wait_port=445)
    # Frames to nobody go to every port, so that the port of the first host sees the second one's scan too.
    lab.capture(dev="port1")
    scan = "nmap -n -Pn -sT -T4 --max-retries 0 --max-rate 15 -p 445 {} 10.30.0.150-190"
    lab.run("sk-h1", scan.format("10.30.0.102"), timeout=60)
    lab.run("sk-h2", scan.format(""), timeout=60)
