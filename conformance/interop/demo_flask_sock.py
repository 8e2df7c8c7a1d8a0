#!/usr/bin/env python3
"""Our client against the tutorial's server: Flask-Sock on Flask's development server.

When its handler returns, that server writes an HTTP response into the connection: after its close frame, and now and
then before it, since two of its threads write. The client must not be disturbed by either. A relay in between shows that
the response was there.
"""

from scenario import PEERS, Checks, Process, check_demo, finish, free_port, main, run_demo, wirelet

from harness import python_packages
from versions import FLASK_SOCK


def run():
    """Runs the client and looks at what went over the wire."""
    program = wirelet(__doc__)
    python = python_packages("flask-sock", *FLASK_SOCK)
    port = free_port()
    checks = Checks()
    with Process("Flask-Sock", [python, PEERS / "flask_sock_echo.py", str(port)]) as server:
        server.wait_for_port(port)
        demo = run_demo(program, port)
    check_demo(checks, demo)
    checks.check("the server wrote an HTTP response after its last frame", demo.after_received.startswith(b"HTTP/1."),
                 demo.after_received)
    return finish(checks)


if __name__ == "__main__":
    main(run)
