#!/usr/bin/env python3
"""Make the captures that show each rule of this folder firing, and its near miss not firing.

usage: signatures/make_cases.py [CATEGORY...]     all categories when none is named; needs root on Linux and openssl

Two network namespaces, `sg-a` (192.168.77.10) and `sg-b` (10.77.0.80), joined by one veth pair whose ends have every offload off.
The tables in `cases/` say what is sent. A client in `sg-a` and a server in `sg-b`, both of this process, hold real TCP connections
and exchange real datagrams; what arrives at the server's end is written to `pcaps/sig_<category>/traffic.pcap` and
`pcaps/sig_<category>_nearmiss/traffic.pcap`, with `case.toml` and `README.md`. The namespaces are deleted at the end.
"""
import ctypes
import fcntl
import importlib
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from cases import steps  # noqa: E402

PCAPS = HERE.parent / "pcaps"
A, B = ("sg-a", "192.168.77.10"), ("sg-b", "10.77.0.80")
CLONE_NEWNET = 0x40000000
ETHTOOL = (0x15, 0x17, 0x1F, 0x24, 0x2C)  # ETHTOOL_SRXCSUM, STXCSUM, STSO, SGSO, SGRO of linux/ethtool.h
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    """Puts this thread into a namespace; sockets keep the one they were made in."""
    path = f"/run/netns/{namespace}" if namespace else "/proc/1/ns/net"
    fd = os.open(path, os.O_RDONLY)
    if LIBC.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


class Inside:
    """`with Inside("sg-a"):` makes sockets there."""

    home = None

    def __init__(self, namespace):
        self.namespace = namespace

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        enter(self.namespace)

    def __exit__(self, *_):
        LIBC.setns(self.home, CLONE_NEWNET)
        os.close(self.home)


def run(command):
    subprocess.run(command, shell=True, check=True)


def offloads_off(interface):
    """A veth end hands over segments of 64 kB without checksums unless told not to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in ETHTOOL:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(s, 0x8946, request)
            except OSError:
                pass  # not every kernel knows every one


class Place:
    """The two namespaces and a capture at the server's end."""

    def __enter__(self):
        for name, _ in (A, B):
            if pathlib.Path("/run/netns", name).exists():
                raise SystemExit(f"{name} already exists: delete it first (ip netns del {name})")
        for name, _ in (A, B):
            run(f"ip netns add {name}")
        run(f"ip link add sg0 netns {A[0]} type veth peer name sg0 netns {B[0]}")
        for (name, address), (_, other) in ((A, B), (B, A)):
            run(f"ip -n {name} addr add {address}/32 dev sg0")
            run(f"ip -n {name} addr add fd77::{address.split('.')[-1]}/64 dev sg0 nodad")
            run(f"ip -n {name} link set sg0 up")
            run(f"ip -n {name} link set lo up")
            run(f"ip -n {name} route add {other} dev sg0")
            if name == B[0]:  # addresses of the outside, where a rule asks for $EXTERNAL_NET
                run(f"ip -n {name} addr add {steps.OUTSIDE}/32 dev sg0")
            else:
                run(f"ip -n {name} route add {steps.OUTSIDE} dev sg0")
            with Inside(name):
                offloads_off("sg0")
        time.sleep(1.5)  # router solicitations and the like pass before the capture
        return self

    def __exit__(self, *_):
        for name, _ in (A, B):
            subprocess.run(f"ip netns del {name}", shell=True, check=False)


class Capture:
    """Writes what passes the server's end to a file."""

    def __init__(self, path):
        self.path = path
        with Inside(B[0]):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind(("sg0", 0))
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
        self.socket.settimeout(0.2)
        self.over = False
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        self.thread = threading.Thread(target=self.copy, daemon=True)
        self.thread.start()

    def copy(self):
        while True:
            try:
                frame = self.socket.recv(262144)
            except TimeoutError:
                if self.over:
                    return
                continue
            if frame[12:14] == b"\x86\xdd" and frame[38:40] == b"\xff\x02":
                continue  # the kernel looks for neighbours and joins groups
            now = time.time()
            self.file.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)

    def close(self):
        time.sleep(0.3)
        self.over = True
        self.thread.join()
        self.file.close()


def make(category, kind, table):
    name = f"sig_{category}" + ("_nearmiss" if kind == 2 else "")
    folder = PCAPS / name
    folder.mkdir(parents=True, exist_ok=True)
    with Place():
        world = steps.World(Inside, A, B)
        capture = Capture(folder / "traffic.pcap")
        for row in table:
            if row[kind] is None:
                continue
            try:
                world.play(row[kind])
            except Exception as error:  # whatever it is, name the row
                raise SystemExit(f"{category} {row[0]}: {error}") from error
        world.close()
        capture.close()
    sids = [1900000 + row[0] for row in table if row[kind] is not None]
    about = f"every rule of {category.replace('_', '-')}.rules " + ("nearly fires" if kind == 2 else "fires")
    text = [f'# made by signatures/make_cases.py from signatures/cases/{category}.py', f'about = "{about}"', ""]
    for sid in sids:
        text += ["[[absent]]" if kind == 2 else "[[alert]]", f"sid = {sid}"] + ([] if kind == 2 else ["min = 1"]) + [""]
    (folder / "case.toml").write_text("\n".join(text[:-1]) + "\n")
    (folder / "README.md").write_text(
        f"# {name}\n\n{about[0].upper() + about[1:]}: {len(sids)} rules.\n"
        f"Made by `signatures/make_cases.py {category}`: real connections and datagrams between two network namespaces, "
        f"a scripted client and a scripted server, from the table in `signatures/cases/{category}.py`.\n"
        "Licence: made by the sekisho project, Apache-2.0 as the project.\n")
    print(f"{name}: {len(sids)} rules, {(folder / 'traffic.pcap').stat().st_size} bytes")


def main():
    every = sorted(p.stem for p in (HERE / "cases").glob("*.py") if p.stem not in ("__init__", "steps"))
    for category in sys.argv[1:] or every:
        table = importlib.import_module(f"cases.{category}").TABLE
        make(category, 1, table)
        make(category, 2, table)


if __name__ == "__main__":
    main()
