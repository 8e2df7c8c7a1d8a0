#!/usr/bin/env python3
"""The firmware as the tutorial's client: against `wirelet serve` and against Flask-Sock, on the host.

A relay in between checks what goes over the wire. Flask's development server writes an HTTP response into the connection
when it is over: after its close frame, or before it. The last server is no echo: it only pings.
"""

import base64
import hashlib
import socket
import threading
import time

from board import HOST, Checks, Device, Process, finish, free_port, main, options, start_server, wirelet

from demo_flask_sock import close_first, response_first
from harness import python_packages
from scenario import HELLOS, PEERS, check_demo, closes_with_1000, relay_demo
from versions import FLASK_SOCK
from wire import frames

# The demo's watchdog, seconds, and the pings of a server that says nothing else: as often, so far apart.
WATCHDOG = 5
PINGS, PAUSE = 3, 4


def ping_only(listener, heard):
    """Answers the handshake, then only pings; `heard` gets what the client has sent, and when the last ping was sent."""
    connection, _ = listener.accept()
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    key = next(line.split(b": ")[1] for line in data.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def ping():
        for _ in range(PINGS):
            time.sleep(PAUSE)
            connection.sendall(b"\x89\x00")
            heard["ping"] = time.monotonic()

    threading.Thread(target=ping, daemon=True).start()
    while part := connection.recv(4096):
        data += part
        heard["sent"], heard["end"] = data, time.monotonic()
        if closes_with_1000(frames(data)[0]):
            connection.sendall(b"\x88\x02\x03\xe8")
            break
    connection.close()


def no_echo(checks, chosen):
    """The script does not depend on what comes back, and control frames are signs of life."""
    print("-- a server that only pings", flush=True)
    heard = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=ping_only, args=(listener, heard), daemon=True)
        server.start()
        with Device(chosen.firmware, demo=f"ws://{HOST}:{listener.getsockname()[1]}/") as device:
            checks.equal("it ends in good order", device.wait(), 0)
        server.join(5)
    sent = [frame for frame in frames(heard["sent"])[0] if frame[1] < 8]
    texts = [payload.decode() for fin, opcode, payload in sent if fin and opcode == 1]
    checks.equal("five texts, and the fragments", (texts, sent[5:]), (HELLOS, [
        (False, 1, b"a" * 32), (False, 0, b"b" * 32), (True, 0, b"")]))
    silence = heard["end"] - heard["ping"]
    checks.check(f"it closes {WATCHDOG} s after the last ping, no earlier", silence > WATCHDOG - 0.5, silence)


def run():
    """Boots it for each of the servers."""
    chosen = options(__doc__)
    checks = Checks()

    def start(path):
        return lambda port: Device(chosen.firmware, demo=f"ws://{HOST}:{port}{path}")

    print("-- wirelet serve", flush=True)
    server, port = start_server(wirelet(chosen))
    with server:
        demo = relay_demo(start("/ws"), port)
    check_demo(checks, demo)
    checks.check("the server closes with 1000", closes_with_1000(demo.received), demo.received[-1:])

    python = python_packages("flask-sock", *FLASK_SOCK)
    port = free_port()
    with Process("Flask-Sock", [python, PEERS / "flask_sock_echo.py", str(port)]) as server:
        server.wait_for_port(port)
        for name, order in (("response after", close_first), ("response before", response_first)):
            print(f"-- Flask-Sock, {name} its close frame", flush=True)
            demo = relay_demo(start("/"), port, order)
            check_demo(checks, demo)
            checks.equal("it came in this order", closes_with_1000(demo.received), order is close_first)
    no_echo(checks, chosen)
    return finish(checks)


if __name__ == "__main__":
    main(run)
