"""Echoes over real sockets, in lock-step, so that the server does the same in each run.

A round: the server is stopped while it waits (SIGSTOP), all connections are written to, it goes on (SIGCONT), and all
answers are read. So it finds all connections ready at once, as one does that has more to do than time. Written to while it
runs it would find as many ready as the machine's mood has it. The stop costs the server one turn of its runtime for each
round, in which it finds nothing.
"""

import contextlib
import os
import pathlib
import signal
import socket
import time

import callgrind
from harness import Failure, Process

CONNECTIONS = 20
PAYLOAD = b"twenty bytes of text"
KEY = bytes.fromhex("37fa213d")
MESSAGE = b"\x82\x94" + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(PAYLOAD))  # RFC 6455 5.2: binary, masked
ANSWER = b"\x82\x14" + PAYLOAD
REQUEST = (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
# Rounds of the two runs whose difference is counted: the first has what the beginning costs, and the pools filled.
SHORT = 20
LONG = {1: 220, 16: 100}
HANG = 60  # seconds: a guard, not an expectation; a run takes two


def instructions(program, in_flight, raw, folder):
    """What an echoed message costs the server: the difference of two runs, of which one has more rounds."""
    runs = []
    for rounds in (SHORT, LONG[in_flight]):
        out = folder / f"{pathlib.Path(program).name}.{in_flight}.{rounds}"
        serve(program, in_flight, raw, rounds, out)
        runs.append(callgrind.Counts.read(out))
    return runs[1].per(runs[0], (LONG[in_flight] - SHORT) * CONNECTIONS * in_flight)


def serve(program, in_flight, raw, rounds, out):
    """One run of a server, in so many rounds, whose counts are then in the file `out`."""
    out.unlink(missing_ok=True)
    end = time.monotonic() + HANG
    command = callgrind.command(out, program)
    with Process(pathlib.Path(program).name, command, env=callgrind.environment()) as server, contextlib.ExitStack() as stack:
        port = listening(server, end)
        peers = [stack.enter_context(connect(port, raw)) for _ in range(CONNECTIONS)]
        sent, expected = MESSAGE * in_flight, (MESSAGE if raw else ANSWER) * in_flight
        try:
            for _ in range(rounds):
                exchange(server, peers, sent, expected, end)
            wait_for_state(server, "S", end)
        except OSError as error:
            raise Failure(f"{server.name}: {error}\n{server.tail()}") from None
        server.terminate()
        server.wait(HANG)
    if not out.exists():
        raise Failure(f"{server.name} ended without counts\n{server.tail()}")


def listening(server, end):
    """The port, which is the first line that the server prints."""
    while not server.lines:
        guard(server, end)
        time.sleep(0.01)
    return int(server.lines[0])


def connect(port, raw):
    """A connection, after its opening handshake unless it is of bytes alone."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=HANG)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not raw:
        peer.sendall(REQUEST)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += received(peer.recv(4096))
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Failure(f"the server refused: {head!r}")
    return peer


def exchange(server, peers, sent, expected, end):
    """One round."""
    wait_for_state(server, "S", end)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        wait_for_state(server, "T", end)
        for peer in peers:
            peer.sendall(sent)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    for peer in peers:
        answer = b""
        while len(answer) < len(expected):
            answer += received(peer.recv(len(expected) - len(answer)))
        if answer != expected:
            raise Failure(f"{server.name} does not echo, but {answer!r}")


def received(data):
    """Received bytes, of which there must be some."""
    if not data:
        raise Failure("the server closed a connection")
    return data


def wait_for_state(server, state, end):
    """Waits until the server sleeps (S) or is stopped (T), as the system says. It has one thread."""
    while pathlib.Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0] != state:
        guard(server, end)
        time.sleep(0.0002)


def guard(server, end):
    """Fails when the server has ended, or takes too long: callgrind may hang."""
    if server.status is not None:
        raise Failure(f"{server.name} ended with status {server.status}\n{server.tail()}")
    if time.monotonic() > end:
        server.kill()
        raise Failure(f"{server.name} hung for {HANG} s, and was killed\n{server.tail()}")
