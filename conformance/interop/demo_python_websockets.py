#!/usr/bin/env python3
"""Our client against a server of the Python library websockets."""

from scenario import PEERS, Checks, Process, check_demo, closes_with_1000, finish, free_port, main, run_demo, wirelet

from harness import python_packages
from versions import PYTHON_WEBSOCKETS


def run():
    """Runs the client and looks at what went over the wire."""
    program = wirelet(__doc__)
    python = python_packages("python-websockets", PYTHON_WEBSOCKETS)
    port = free_port()
    checks = Checks()
    with Process("python websockets", [python, PEERS / "python_websockets_echo.py", str(port)]) as server:
        server.wait_for_port(port)
        demo = run_demo(program, port)
    check_demo(checks, demo)
    checks.check("the server closes with 1000", closes_with_1000(demo.received), demo.received[-1:])
    return finish(checks)


if __name__ == "__main__":
    main(run)
