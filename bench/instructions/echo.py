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
CLOSE = b"\x88\x82" + bytes(4) + b"\x03\xe8"  # RFC 6455 5.5.1: 1000, masked
CLOSED = b"\x88\x02\x03\xe8"
# Rounds of the two runs whose difference is counted: the first has what the beginning costs, and the pools filled.
SHORT = 20
LONG = {1: 220, 16: 100}
OPENED = {"short": 10, "long": 60}  # rounds of the two runs for opened connections
HANG = 60  # seconds: a guard, not an expectation; a run takes two


def instructions(program, in_flight, raw, folder):
    """What an echoed message costs the server: the difference of two runs, of which one has more rounds."""
    runs = []
    for rounds in (SHORT, LONG[in_flight]):
        out = folder / f"{pathlib.Path(program).name}.{in_flight}.{rounds}"
        serve(program, in_flight, raw, rounds, out)
        runs.append(callgrind.Counts.read(out))
    return runs[1].per(runs[0], (LONG[in_flight] - SHORT) * CONNECTIONS * in_flight)


def opening(program, folder):
    """What a connection costs the server that is accepted, opened, echoes one message and is closed by its peer."""
    runs = []
    for rounds in OPENED.values():
        out = folder / f"{pathlib.Path(program).name}.opened.{rounds}"
        counted(program, out, lambda server, port, end, rounds=rounds: open_and_close(server, port, rounds, end))
        runs.append(callgrind.Counts.read(out))
    return runs[1].per(runs[0], (OPENED["long"] - OPENED["short"]) * CONNECTIONS)


def open_and_close(server, port, rounds, end):
    """In each round all connections are accepted, opened, used and closed, step by step."""
    for _ in range(rounds):
        with contextlib.ExitStack() as stack:
            # The system completes them while the server waits to go on.
            with stopped(server, end):
                connections = (socket.create_connection(("127.0.0.1", port), timeout=HANG) for _ in range(CONNECTIONS))
                peers = [stack.enter_context(connection) for connection in connections]
                for peer in peers:
                    peer.sendall(REQUEST)
            for peer in peers:
                opened(peer)
            exchange(server, peers, MESSAGE, ANSWER, end)
            exchange(server, peers, CLOSE, CLOSED, end)
            for peer in peers:
                if peer.recv(1):
                    raise Failure(f"{server.name} speaks behind its close frame")


def serve(program, in_flight, raw, rounds, out):
    """One run of a server that echoes, in so many rounds, whose counts are then in the file `out`."""
    def echoes(server, port, end):
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(connect(port, raw)) for _ in range(CONNECTIONS)]
            sent, expected = MESSAGE * in_flight, (MESSAGE if raw else ANSWER) * in_flight
            for _ in range(rounds):
                exchange(server, peers, sent, expected, end)
            wait_for_state(server, "S", end)
    counted(program, out, echoes)


def counted(program, out, use):
    """Runs a server under callgrind while `use` does something with it; its counts are then in the file `out`."""
    out.unlink(missing_ok=True)
    end = time.monotonic() + HANG
    command = callgrind.command(out, program)
    with Process(pathlib.Path(program).name, command, env=callgrind.environment()) as server:
        port = listening(server, end)
        try:
            use(server, port, end)
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
        opened(peer)
    return peer


def opened(peer):
    """Reads the answer to the request, which must be yes."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += received(peer.recv(4096))
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Failure(f"the server refused: {head!r}")


def exchange(server, peers, sent, expected, end):
    """One round."""
    with stopped(server, end):
        for peer in peers:
            peer.sendall(sent)
    for peer in peers:
        answer = b""
        while len(answer) < len(expected):
            answer += received(peer.recv(len(expected) - len(answer)))
        if answer != expected:
            raise Failure(f"{server.name} does not echo, but {answer!r}")


@contextlib.contextmanager
def stopped(server, end):
    """The server is stopped while it waits, and goes on afterwards."""
    wait_for_state(server, "S", end)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        wait_for_state(server, "T", end)
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


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
