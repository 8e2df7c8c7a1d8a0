#!/usr/bin/env python3
"""Another station in the firmware's network asks by multicast DNS (RFC 6762) who has its name, and what serves HTTP."""

import socket
import struct

from board import HANG, Checks, Device, finish, main, options

MAC, ADDRESS = bytes.fromhex("020000000009"), bytes((10, 0, 2, 99))
GROUP_MAC, GROUP = bytes.fromhex("01005e0000fb"), bytes((224, 0, 0, 251))
PORT = 5353
A, PTR = 1, 12


def checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(payload):
    """An Ethernet frame with a UDP datagram to the group."""
    udp = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 255, 17, 0, ADDRESS, GROUP)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return GROUP_MAC + MAC + b"\x08\x00" + head + udp


def labels(name):
    """A name as DNS has it."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def answer(wire, to, name, kind, wanted, times=10):
    """Asks so many times, until somebody answers with what is wanted; the answer, or None."""
    wire.settimeout(0.2)
    try:
        while wire.recv(2048):
            pass  # answers to what was asked before
    except TimeoutError:
        pass
    question = struct.pack("!HHHHHH", 0, 0, 1, 0, 0, 0) + labels(name) + struct.pack("!HH", kind, 1)
    for _ in range(times):
        wire.sendto(frame(question), to)
        wire.settimeout(HANG / 10)
        try:
            while True:
                data = wire.recv(2048)
                if data[:6] == GROUP_MAC and data[6:12] != MAC and data[23] == 17 and wanted in data[42:]:
                    return data[42:]
        except TimeoutError:
            pass
    return None


def run():
    """Stands at the board's hub, beside QEMU's network."""
    chosen = options(__doc__)
    checks = Checks()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))
        with Device(chosen.firmware, station=wire.getsockname()[1]) as device:
            lines = "\n".join(device.lines)
            name = lines.partition("] name ")[2].split()[0]
            checks.check("its name has the end of its address", name.startswith("wirelet-") and name.endswith(".local"), name)
            to = ("127.0.0.1", device.station)
            checks.check("it answers to its name with its address", answer(wire, to, name, A, bytes((10, 0, 2, 15))))
            label = name.partition(".")[0].encode()
            checks.check("and says that it serves HTTP", answer(wire, to, "_http._tcp.local", PTR, label))
            checks.check("it does not answer to another name",
                         answer(wire, to, "wirelet-000000.local", A, bytes((10, 0, 2, 15)), 1) is None)
    return finish(checks)


if __name__ == "__main__":
    main(run)
