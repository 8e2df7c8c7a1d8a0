#!/usr/bin/env python3
"""Our server with a client of the Python library websockets."""

from scenario import PEERS, Checks, finish, main, run_server_with, wirelet

from harness import python_packages
from versions import PYTHON_WEBSOCKETS


def run():
    """Runs the client's checks."""
    program = wirelet(__doc__)
    python = python_packages("python-websockets", PYTHON_WEBSOCKETS)
    checks = Checks()
    run_server_with(checks, program, "python websockets", [python, PEERS / "python_websockets_client.py"])
    return finish(checks)


if __name__ == "__main__":
    main(run)
