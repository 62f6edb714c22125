#!/usr/bin/python3
"""One end of a tunnel in user space, for kernels without the tunnel devices.

    carrier.py KIND DEVICE LOCAL REMOTE INNER PEER

A TUN or TAP device DEVICE gets the address INNER; PEER is reached through it;
what the kernel sends into it goes out wrapped as KIND says, and
what arrives wrapped goes in. LOCAL and REMOTE are addresses, or for the kinds below IP the interface and the peer's
MAC address. Kinds: gre, gre-key, gretap (RFC 2784, 2890), ipip (RFC 2003), 6in4 (RFC 4213), 4in6 (RFC 2473),
geneve (RFC 8926), vlan, qinq (IEEE 802.1Q, 802.1ad), mpls (RFC 3032), pppoe (RFC 2516, session stage only).
"""
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

kind, device, local, remote, inner, peer_inner = sys.argv[1:7]
LINK_KINDS = ("vlan", "qinq", "mpls", "pppoe")
tap = kind in ("gretap", "geneve", "vlan", "qinq")

tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH", device.encode(), (0x0002 if tap else 0x0001) | 0x1000))  # TUNSETIFF, no packet information
mac = "02:00:00:00:0e:%02x" % (sum(inner.encode()) % 256)
if tap:
    subprocess.run(["ip", "link", "set", device, "address", mac], check=True)
subprocess.run(["ip", "link", "set", device, "mtu", "1400", "up"], check=True)
subprocess.run(["ip", "addr", "add", inner, "dev", device] + (["nodad"] if ":" in inner else []), check=True)
subprocess.run(["ip", "route", "replace", peer_inner, "dev", device], check=True)


def ethertype(packet):
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


if kind in LINK_KINDS:
    hardware = bytes.fromhex(remote.replace(":", ""))
    own = bytes.fromhex(open(f"/sys/class/net/{local}/address").read().strip().replace(":", ""))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((local, 3))
    wire.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel takes the outer VLAN tag off
elif kind == "geneve":
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind((local, 6081))
else:
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    protocol = {"gre": 47, "gre-key": 47, "gretap": 47, "ipip": 4, "6in4": 41, "4in6": 4}[kind]
    wire = socket.socket(family, socket.SOCK_RAW, protocol)
    wire.bind((local, 0))
sequence = 0


def send(packet):
    global sequence
    if kind == "gre":
        wire.sendto(struct.pack("!HH", 0, ethertype(packet)) + packet, (remote, 0))
    elif kind == "gre-key":
        wire.sendto(struct.pack("!HHII", 0x3000, ethertype(packet), 77, sequence) + packet, (remote, 0))
        sequence += 1
    elif kind == "gretap":
        wire.sendto(struct.pack("!HH", 0, 0x6558) + packet, (remote, 0))
    elif kind in ("ipip", "6in4", "4in6"):
        wire.sendto(packet, (remote, 0))
    elif kind == "geneve":
        wire.sendto(struct.pack("!BBHI", 0, 0, 0x6558, 77 << 8) + packet, (remote, 6081))
    elif kind == "vlan":
        wire.send(packet[:12] + struct.pack("!HH", 0x8100, 20) + packet[12:])
    elif kind == "qinq":
        wire.send(packet[:12] + struct.pack("!HHHH", 0x88A8, 100, 0x8100, 20) + packet[12:])
    elif kind == "mpls":  # two labels, the lower one the bottom of the stack
        wire.send(hardware + own + struct.pack("!HII", 0x8847, 16 << 12 | 64, 77 << 12 | 0x100 | 64) + packet)
    elif kind == "pppoe":
        point = 0x0057 if packet[0] >> 4 == 6 else 0x0021
        wire.send(hardware + own + struct.pack("!HBBHHH", 0x8864, 0x11, 0, 0x1234, len(packet) + 2, point) + packet)


def receive():
    if kind == "geneve":
        data, _ = wire.recvfrom(65536)
        return data[8 + (data[0] & 0x3F) * 4:]
    if kind in LINK_KINDS:
        frame, control, _, source = wire.recvmsg(65536, 256)
        if source[2] == 4:  # PACKET_OUTGOING: our own
            return None
        tagged = any(struct.unpack_from("I", data)[0] & 0x10 for level, what, data in control if (level, what) == (263, 8))
        what = struct.unpack_from("!H", frame, 12)[0]
        if kind == "mpls":
            return frame[22:] if what == 0x8847 else None
        if kind == "pppoe":
            return frame[22:22 + struct.unpack_from("!H", frame, 18)[0] - 2] if what == 0x8864 else None
        while what in (0x8100, 0x88A8):
            tagged, frame = True, frame[:12] + frame[16:]
            what = struct.unpack_from("!H", frame, 12)[0]
        return frame if tagged else None
    data, peer = wire.recvfrom(65536)
    if peer[0].split("%")[0] != remote:
        return None
    if wire.family == socket.AF_INET:
        data = data[(data[0] & 15) * 4:]  # a raw IPv4 socket gives the header too
    if kind == "gre-key":
        return data[12:]
    return data[4:] if kind in ("gre", "gretap") else data


while True:
    for ready in select.select([tun, wire], [], [])[0]:
        try:
            if ready is tun:
                send(os.read(tun, 65536))
            else:
                packet = receive()
                if packet:
                    os.write(tun, packet)
        except OSError as fault:
            print(fault, file=sys.stderr, flush=True)
