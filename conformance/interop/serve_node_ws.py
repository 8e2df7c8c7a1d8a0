#!/usr/bin/env python3
"""Our server with a client of ws, the library of Node.js."""

import os

from scenario import PEERS, Checks, finish, main, run_server_with, wirelet

from harness import node_packages
from versions import NODE_WS


def run():
    """Runs the client's checks."""
    program = wirelet(__doc__)
    folder = node_packages("node-ws", NODE_WS)
    checks = Checks()
    run_server_with(checks, program, "ws", ["node", PEERS / "node_ws_client.mjs"],
                    env={**os.environ, "NODE_MODULES": str(folder / "node_modules")})
    return finish(checks)


if __name__ == "__main__":
    main(run)
