#!/usr/bin/env python3
"""The firmware as the tutorial's client: against `wirelet serve` and against Flask-Sock, on the host.

A relay in between checks what goes over the wire. Flask's development server writes an HTTP response into the connection
when it is over: after its close frame, or before it.
"""

from board import HOST, Checks, Device, Process, finish, free_port, main, options, start_server, wirelet

from demo_flask_sock import close_first, response_first
from harness import python_packages
from scenario import PEERS, check_demo, closes_with_1000, relay_demo
from versions import FLASK_SOCK


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
    return finish(checks)


if __name__ == "__main__":
    main(run)
