#!/usr/bin/env python3
"""Our client against our server: `wirelet demo` against `wirelet serve`."""

from scenario import Checks, check_demo, closes_with_1000, finish, main, run_demo, start_server, wirelet


def run():
    """Runs both and looks at what went over the wire."""
    program = wirelet(__doc__)
    checks = Checks()
    server, port = start_server(program)
    with server:
        demo = run_demo(program, port, "/ws")
    check_demo(checks, demo)
    checks.check("the server closes with 1000", closes_with_1000(demo.received), demo.received[-1:])
    return finish(checks)


if __name__ == "__main__":
    main(run)
