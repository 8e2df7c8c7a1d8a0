#!/usr/bin/env python3
"""Our client against the tutorial's server: Flask-Sock on Flask's development server.

When its handler returns, that server writes an HTTP response into the connection. Two of its threads write at the end, so
the response follows the close frame or precedes it, each about as often. Neither may disturb the client: a relay in between
brings about the one and then the other.
"""

from scenario import PEERS, Checks, Process, check_demo, closes_with_1000, finish, free_port, main, run_demo, wirelet

from harness import python_packages
from versions import FLASK_SOCK


CLOSE = b"\x88\x02\x03\xe8"


def split(last_words):
    """The close frame and the HTTP response in what the server sent at the end."""
    before, frame, after = last_words.partition(CLOSE)
    return frame, before + after


def close_first(last_words):
    """The close frame, then the response."""
    frame, response = split(last_words)
    return frame + response


def response_first(last_words):
    """The response, then the close frame."""
    frame, response = split(last_words)
    return response + frame


def run():
    """Runs the client twice and looks at what went over the wire."""
    program = wirelet(__doc__)
    python = python_packages("flask-sock", *FLASK_SOCK)
    port = free_port()
    checks = Checks()
    with Process("Flask-Sock", [python, PEERS / "flask_sock_echo.py", str(port)]) as server:
        server.wait_for_port(port)
        for name, order in (("close frame, then response", close_first), ("response, then close frame", response_first)):
            print(f"-- {name}", flush=True)
            demo = run_demo(program, port, last_words=order)
            check_demo(checks, demo)
            checks.check("an HTTP response came after the last frame", demo.after_received.startswith(b"HTTP/1."),
                         demo.after_received)
            checks.equal("in this order", closes_with_1000(demo.received), order is close_first)
    return finish(checks)


if __name__ == "__main__":
    main(run)
