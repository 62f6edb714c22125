"""What a row of a table may do: connections, datagrams, echoes, names, TLS, raw packets.

A row is (number, fires, near miss); the number is the sid less 1900000. A step is a function of the world; a list of steps is a step.
Text is latin-1, so that `\\xff` in a table is one byte.
"""
import functools
import pathlib
import socket
import ssl
import struct
import subprocess
import tempfile
import time

OUTSIDE = "203.0.113.80"  # RFC 5737; on the server's side, stands for the Internet
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PLAIN = [("User-Agent", BROWSER), ("Accept", "*/*"), ("Accept-Language", "en"), ("Referer", "http://www.shop.example/")]


def b(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


class World:
    """The two ends, and what a step needs of them."""

    def __init__(self, inside, client, server):
        self.inside = inside
        self.client, self.server = client, server
        self.listeners = {}

    def play(self, step):
        if isinstance(step, (list, tuple)):
            for one in step:
                self.play(one)
        else:
            step(self)

    def listener(self, port, host):
        if (port, host) not in self.listeners:
            with self.inside(self.server[0]):
                s = socket.socket()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((host, port))
                s.listen(64)
            self.listeners[port, host] = s
        return self.listeners[port, host]

    def connect(self, port, host=None, reverse=False):
        """(client's socket, server's socket). `reverse`: the server's host opens the connection."""
        host = host or self.server[1]
        if reverse:
            with self.inside(self.client[0]):
                listener = socket.socket()
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self.client[1], port))
                listener.listen(1)
            with self.inside(self.server[0]):
                ours = socket.socket()
                ours.bind((host, 0))
            ours.connect((self.client[1], port))
            theirs, _ = listener.accept()
            listener.close()
        else:
            listener = self.listener(port, host)
            with self.inside(self.client[0]):
                ours = socket.socket()
            ours.connect((host, port))
            theirs, _ = listener.accept()
        for s in (ours, theirs):
            s.settimeout(10)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ours, theirs

    def close(self):
        for s in self.listeners.values():
            s.close()


def give(sender, receiver, data):
    """Sends, and waits until all of it has arrived: the other side answers only then."""
    sender.sendall(data)
    left = len(data)
    while left:
        got = receiver.recv(left)
        assert got, "closed early"
        left -= len(got)


class S(bytes):
    """Bytes that the server sends."""


def s(text):
    return S(b(text))


def talk(port, *parts, host=None, reverse=False):
    """One TCP connection: text goes from the client, `s(text)` from the server, in order, each part in its own segment(s)."""

    def step(world):
        client, server = world.connect(port, host, reverse)
        for part in parts:
            if isinstance(part, S):
                give(server, client, part)
            else:
                give(client, server, b(part))
        client.close()
        server.close()

    return step


def response(body="ok", status="200 OK", ctype="text/html", headers=()):
    body = b(body)
    lines = [f"HTTP/1.1 {status}", "Server: nginx", f"Content-Type: {ctype}", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers)]
    return S(b("\r\n".join(lines) + "\r\n\r\n") + body)


def http(line, headers=None, body=None, host="www.shop.example", answer=None, port=80, to=None, form=None):
    """A request as written (`line` = "GET /x HTTP/1.1" or its first two words) and its answer, on a connection of its own."""
    if not line.endswith(" HTTP/1.1"):
        line += " HTTP/1.1"
    fields = [("Host", host)] + (PLAIN if headers is None else list(headers))
    if form is not None:
        body = form
        fields.append(("Content-Type", "application/x-www-form-urlencoded"))
    data = b"" if body is None else b(body)
    if body is not None and not any(k.lower() == "content-length" for k, _ in fields):
        fields.append(("Content-Length", str(len(data))))
    head = b(line) + b"\r\n" + b"".join(b(k) + b": " + b(v) + b"\r\n" for k, v in fields) + b"\r\n"
    return talk(port, head + data, answer if answer is not None else response(), host=to)


def get(uri, answer=None, **k):
    """`answer` is the text of the page, or a whole `response(…)`."""
    if answer is not None and not isinstance(answer, S):
        answer = response(answer)
    return http("GET " + uri, answer=answer, **k)


def page(text, ctype="text/html", **k):
    """An innocent request with this answer."""
    return get("/page", response(text, ctype=ctype, **k))


def post(uri, form=None, body=None, **k):
    return http("POST " + uri, form=form, body=body, **k)


def agent(name, uri="/", **k):
    return get(uri, headers=[("User-Agent", name), ("Accept", "*/*")], **k)


def header(name, value, uri="/", **k):
    return get(uri, headers=PLAIN + [(name, value)], **k)


def cookie(value, uri="/", **k):
    return header("Cookie", value, uri, **k)


def upload(filename, content, uri="/upload", field="file"):
    edge = "----edge7d1f"
    body = b(f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n') + b(content) + b(f"\r\n--{edge}--\r\n")
    return http("POST " + uri, headers=PLAIN + [("Content-Type", f"multipart/form-data; boundary={edge}")], body=body)


def times(count, step):
    return [step] * count


def dgram(port, data, answer=None, sport=0, host=None):
    """One datagram, and an answer when there is one."""

    def step(world):
        to = host or world.server[1]
        with world.inside(world.server[0]):
            server = socket.socket(type=socket.SOCK_DGRAM)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((to, port))
        with world.inside(world.client[0]):
            client = socket.socket(type=socket.SOCK_DGRAM)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind((world.client[1], sport))
        for one in (server, client):
            one.settimeout(5)
        client.sendto(b(data), (to, port))
        _, address = server.recvfrom(65535)
        if answer is not None:
            server.sendto(b(answer), address)
            client.recvfrom(65535)
        client.close()
        server.close()

    return step


def dns(name, rrtype=1, rcode=0, tcp=False):
    """A question with its answer (an address for type A, nothing otherwise)."""
    question = b"".join(bytes([len(x)]) + b(x) for x in name.split(".") if x) + b"\0" + struct.pack(">HH", rrtype, 1)
    ask = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + question
    records = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x07" if rrtype == 1 else b""
    reply = struct.pack(">HHHHHH", 0x1234, 0x8180 | rcode, 1, 1 if records else 0, 0, 0) + question + records
    if tcp:
        return talk(53, struct.pack(">H", len(ask)) + ask, S(struct.pack(">H", len(reply)) + reply))
    return dgram(53, ask, reply)


@functools.cache
def certificate(subject):
    folder = tempfile.mkdtemp(prefix="sekisho-cases-")
    path = pathlib.Path(folder, "both.pem")
    config = pathlib.Path(folder, "openssl.cnf")
    config.write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-config", str(config), "-utf8",
                    "-subj", subject, "-keyout", folder + "/k", "-out", folder + "/c"], check=True, capture_output=True)
    path.write_bytes(pathlib.Path(folder, "k").read_bytes() + pathlib.Path(folder, "c").read_bytes())
    return str(path)


def tls(subject="/CN=www.shop.example", sni="www.shop.example", port=443, version=ssl.TLSVersion.TLSv1_2, host=None):
    """A TLS session with a certificate of this subject (TLS 1.2 shows it)."""

    def step(world):
        import threading
        client, server = world.connect(port, host)
        there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        there.set_ciphers("ALL:@SECLEVEL=0")
        there.load_cert_chain(certificate(subject))
        here = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        here.set_ciphers("ALL:@SECLEVEL=0")
        here.check_hostname, here.verify_mode = False, ssl.CERT_NONE
        for context in (there, here):
            context.minimum_version = context.maximum_version = version

        def serve():
            with there.wrap_socket(server, server_side=True) as session:
                session.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with here.wrap_socket(client, server_hostname=sni) as session:
            session.sendall(b"x")
        thread.join()

    return step


def raw_ip(*packets):
    """Whole IPv4 packets as given by `ip4`, from the client's host."""

    def step(world):
        with world.inside(world.client[0]):
            out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for packet in packets:
            if callable(packet):
                packet = packet(world)
            out.sendto(packet, (world.server[1], 0))
            time.sleep(0.01)
        out.close()

    return step


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(protocol, payload, offset=0, more=False, ident=1, source=None, target=None, ttl=64):
    """A packet from client to server; `offset` in bytes."""

    def build(world):
        src = socket.inet_aton(source or world.client[1])
        dst = socket.inet_aton(target or world.server[1])
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, (0x2000 if more else 0) | offset // 8, ttl, protocol, 0, src, dst)
        return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload

    return build


def icmp(kind, code, payload, ident=7, seq=1):
    """An ICMP message with identifier and sequence number, checksum set."""
    rest = struct.pack(">HH", ident, seq) + b(payload)
    return struct.pack(">BBH", kind, code, checksum(struct.pack(">BBH", kind, code, 0) + rest)) + rest


def ping(payload, kind=8, code=0, **k):
    return raw_ip(ip4(1, icmp(kind, code, payload, **k)))


def tcp_segment(source, target, sport, dport, flags, seq=1, ack=0, options=b"", payload=b"", window=1024, urgent=0):
    """A TCP segment with its checksum over these addresses."""
    head = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, (20 + len(options)) // 4 << 4, flags, window, 0, urgent) + options
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack(">BBH", 0, 6, len(head) + len(payload))
    value = checksum(pseudo + head + payload)
    return head[:16] + struct.pack(">H", value) + head[18:] + payload


def raw_ip6(*packets):
    """Payloads after the fixed IPv6 header, as (next header, bytes), from the client's host."""

    def step(world):
        with world.inside(world.client[0]):
            out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
            out.bind(("sg0", 0))
            mine = out.getsockname()[4]
        with world.inside(world.server[0]):
            probe = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            probe.bind(("sg0", 0))
            yours = probe.getsockname()[4]
        a, z = (socket.inet_pton(socket.AF_INET6, f"fd77::{x[1].split('.')[-1]}") for x in (world.client, world.server))
        for following, payload in packets:
            out.send(yours + mine + b"\x86\xdd" + struct.pack(">IHBB", 0x60000000, len(payload), following, 64) + a + z + payload)
            time.sleep(0.01)
        out.close()
        probe.close()

    return step


def fragment6(following, offset, more, ident, payload):
    return 44, struct.pack(">BBHI", following, 0, offset | int(more), ident) + payload


# SMB and DCERPC -----------------------------------------------------------------------------------------------------

def uuid(text):
    import uuid as u
    return u.UUID(text).bytes_le


NDR = uuid("8a885d04-1ceb-11c9-9fe8-08002b104860") + struct.pack("<I", 2)


def rpc_bind(interface, version=1, minor=0, auth=b""):
    body = struct.pack("<HHIB3x", 4280, 4280, 0, 1) + struct.pack("<HBx", 0, 1) + uuid(interface) + struct.pack("<HH", version, minor) + NDR
    tail = b"" if not auth else struct.pack("<BBBxI", 10, 6, 0, 0) + auth
    return struct.pack("<BBBBIHHI", 5, 0, 11, 3, 16, 16 + len(body) + len(tail), len(auth), 1) + body + tail


def rpc_request(operation, stub=b"", context=0):
    return struct.pack("<BBBBIHHIIHH", 5, 0, 0, 3, 16, 24 + len(stub), 0, 2, len(stub), context, operation) + stub


def smb2(command, body, status=0, answer=False):
    head = b"\xfeSMB" + struct.pack("<HHIHHIIQIIQ16s", 64, 1, status, command, 1, int(answer), 0, 4, 0xFEFF, 1, 0x11, b"")
    return struct.pack(">I", len(head) + len(body)) + head + body


def smb2_write(data):
    """A write to a pipe or file: 48 bytes of parameters, then the data."""
    return smb2(9, struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), 0, b"\1" * 16, 0, 0, 0, 0, 0) + data)


def smb2_create(name):
    name = name.encode("utf-16-le")
    return smb2(5, struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x12019F, 0, 7, 1, 0x40, 120, len(name), 0, 0) + name)


def smb1(command, words, data=b"", status=0, mid=0x41, flags=0x18):
    head = b"\xffSMB" + struct.pack("<BIBHHQHHHHH", command, status, flags, 0xC007, 0, 0, 0, 0x0800, 0xFEFF, 0x0800, mid)
    body = bytes([len(words) // 2]) + words + struct.pack("<H", len(data)) + data
    return struct.pack(">I", len(head) + len(body)) + head + body


def rpc(interface, *operations, port=445, stub=b"\0" * 40):
    """Binds to an interface over an SMB2 pipe and calls operations of it; an operation is a number or (number, stub)."""
    parts = [smb2_write(rpc_bind(interface))]
    for one in operations:
        number, data = one if isinstance(one, tuple) else (one, stub)
        parts.append(smb2_write(rpc_request(number, data)))
    return talk(port, *parts)


def wide(text):
    return text.encode("utf-16-le")
