"""Rows for industrial.rules: orders to machines, and ordinary reading that looks like them."""
import struct

from .steps import OUTSIDE, talk


def modbus(function, data, unit=1):
    """A request with its header (MODBUS Messaging on TCP/IP 1.0b §3.1.3)."""
    return struct.pack(">HHHBB", 7, 0, len(data) + 2, unit, function) + data


def checksum(data):
    """The checksum of DNP3 (IEEE 1815 §9.2.5)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA6BC if crc & 1 else 0)
    return struct.pack("<H", ~crc & 0xFFFF)


def dnp3(function, objects=b""):
    """A request in one segment from station 2 to station 1."""
    data = bytes([0xC0, 0xC1, function]) + objects
    head = struct.pack("<BBBBHH", 5, 0x64, len(data) + 5, 0xC4, 1, 2)
    blocks = [data[i:i + 16] for i in range(0, len(data), 16)]
    return head + checksum(head) + b"".join(block + checksum(block) for block in blocks)


def enip(command, data=b"", session=7):
    """A message of the encapsulation."""
    return struct.pack("<HHIIQI", command, len(data), session, 0, 0, 0) + data


def cip(service, path, data=b""):
    """A request without a connection."""
    request = bytes([service, len(path) // 2]) + path + data
    return enip(0x6F, struct.pack("<IHHHHHH", 0, 0, 2, 0, 0, 0xB2, len(request)) + request)


def outside(port, *parts):
    """The same from the Internet's side."""
    return talk(port, *parts, host=OUTSIDE, reverse=True)


RELAY = bytes.fromhex("0c01280100090041016400000064000000" "00")
ADDRESS = struct.pack("<IIIIIH", 0x0A4D0051, 0xFFFFFF00, 0x0A4D0001, 0, 0, 0)
COUNT = struct.pack("<H", 6)

TABLE = [
    (1700, outside(502, modbus(6, b"\0\1\0\3")), [outside(502, modbus(3, b"\0\1\0\3")), talk(502, modbus(6, b"\0\1\0\3"))]),
    (1701, talk(502, modbus(8, b"\0\4\0\0")), talk(502, modbus(8, b"\0\0\0\4"))),
    (1702, talk(502, modbus(8, b"\0\1\0\0")), talk(502, modbus(8, b"\0\x0a\0\0"))),
    (1703, outside(502, modbus(43, b"\x0e\1\0")), talk(502, modbus(43, b"\x0e\1\0"))),
    (1704, talk(20000, dnp3(13)), talk(20000, dnp3(15))),
    (1705, talk(20000, dnp3(18)), talk(20000, dnp3(17))),
    (1706, outside(20000, dnp3(5, RELAY)), [talk(20000, dnp3(5, RELAY)), outside(20000, dnp3(1, b"\x3c\2\6"))]),
    (1707, outside(20000, dnp3(21, b"\x3c\2\6")), [talk(20000, dnp3(21, b"\x3c\2\6")), outside(20000, dnp3(20, b"\x3c\2\6"))]),
    (1708, talk(44818, cip(7, b"\x20\x8e\x24\1")), talk(44818, cip(6, b"\x20\x8e\x24\1"))),
    (1709, talk(44818, cip(5, b"\x20\1\x24\1", b"\0")), talk(44818, cip(5, b"\x20\4\x24\1", b"\0"))),
    (1710, talk(44818, cip(16, b"\x20\xf5\x24\1\x30\5", ADDRESS + COUNT)), talk(44818, cip(14, b"\x20\xf5\x24\1\x30\5"))),
    (1711, outside(44818, enip(0x63, session=0)), talk(44818, enip(0x63, session=0))),
]
