"""What the scripts against the firmware share: the command line, and a WebSocket peer that does only what it is told."""

import argparse
import base64
import json
import os
import pathlib
import socket
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "interop")]

from firmware import HOST, Device, build_firmware  # noqa: E402
from harness import HANG, Failure, Process, cargo_build, free_port, main  # noqa: E402
from scenario import SKIPPED, Checks, finish, start_server  # noqa: E402

# Sockets of the firmware, those of them that WebSockets can have, and the bounds of its keepalive in seconds.
SOCKETS = 8
PING, PONG = 20, 20


def options(description):
    """The command line of a script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--firmware", metavar="PATH", help="the program to boot (default: build it)")
    parser.add_argument("--wirelet", metavar="PATH", help="the program `wirelet` (default: build it)")
    parser.add_argument("--profile", default="release", help="cargo profile to build `wirelet` with (default: release)")
    chosen = parser.parse_args()
    chosen.firmware = chosen.firmware or build_firmware()
    return chosen


def wirelet(chosen):
    """The path of the program `wirelet`."""
    return chosen.wirelet or cargo_build([("wirelet-cli", "wirelet")], chosen.profile)["wirelet"]


def status(device):
    """What the firmware says about itself; asked again where it has no socket free."""
    end = time.monotonic() + HANG
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{device.port}/status", timeout=HANG) as answer:
                return json.load(answer)
        except (OSError, urllib.error.URLError):
            if time.monotonic() > end:
                raise Failure(f"no status from {device.name}\n{device.tail()}") from None
            time.sleep(0.1)


def quiet(device):
    """Waits until the firmware has no WebSocket any more; whether that came about."""
    end = time.monotonic() + HANG
    while status(device)["connections"]:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Refused(Exception):
    """The opening handshake was answered with something else, or not at all."""


class Peer:
    """One connection, frame by frame. It answers nothing by itself: a peer that is not asked is one that has hung."""

    def __init__(self, device, path="/ws", seconds=HANG):
        self._socket = socket.create_connection(("127.0.0.1", device.port), timeout=seconds)
        self._stream = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        try:
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: device\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
            line = self._stream.readline()
            if line.split()[1:2] != [b"101"]:
                raise Refused(line.decode(errors="replace").strip() or "closed")
            while self._stream.readline() not in (b"\r\n", b""):
                pass
        except (OSError, Refused) as error:
            self.drop()
            raise Refused(str(error)) from None

    def send(self, opcode, payload=b""):
        """One frame, at most 125 bytes."""
        key = os.urandom(4)
        masked = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + key + masked)

    def receive(self):
        """The next frame: (opcode, payload); None at the end."""
        try:
            head = self._stream.read(2)
            if len(head) < 2:
                return None
            length = head[1] & 0x7F
            if length > 125:
                length = int.from_bytes(self._stream.read(2 if length == 126 else 8), "big")
            return head[0] & 0x0F, self._stream.read(length)
        except ConnectionError:
            return None
        except TimeoutError:
            raise Failure(f"nothing came within {self._socket.gettimeout():.0f} s") from None

    def next(self):
        """The next frame that is no ping; pings that come before it are answered."""
        while (frame := self.receive()) and frame[0] == 9:
            self.send(10, frame[1])
        return frame

    def echo(self, text):
        """Whether a text comes back."""
        self.send(1, text)
        return self.next() == (1, text)

    def close(self):
        """The closing handshake; whether it was clean."""
        self.send(8, (1000).to_bytes(2, "big"))
        while (frame := self.receive()) and frame[0] != 8:
            pass
        self.drop()
        return frame == (8, (1000).to_bytes(2, "big"))

    def drop(self):
        """Leaves."""
        self._stream.close()
        self._socket.close()


def connect(device, path="/ws"):
    """A connection, tried until there is a socket free for it."""
    end = time.monotonic() + HANG
    while True:
        try:
            return Peer(device, path)
        except Refused as refusal:
            if time.monotonic() > end:
                raise Failure(f"no connection: {refusal}\n{device.tail()}") from None
            time.sleep(0.05)


__all__ = [
    "HANG", "HOST", "PING", "PONG", "SKIPPED", "SOCKETS", "Checks", "Device", "Failure", "Peer", "Process", "Refused", "connect",
    "finish", "free_port", "main", "options", "quiet", "start_server", "status", "wirelet",
]
