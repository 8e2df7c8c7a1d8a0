#!/usr/bin/env python3
"""permessage-deflate with the Python library websockets, in both directions."""

import json

from compression import OFFERS, SERVERS, check_client, check_server
from scenario import PEERS, Checks, finish, main, programs

from harness import python_packages
from versions import PYTHON_WEBSOCKETS


def run():
    """Every set of parameters, from a client of theirs to our server and the other way round."""
    server, client = programs(__doc__, "compression-client")
    python = python_packages("python-websockets", PYTHON_WEBSOCKETS)

    def their_client(url, corpus, options):
        return [python, PEERS / "python_websockets_corpus_client.py", url, corpus, json.dumps(options)], {}

    def their_server(port, options):
        return [python, PEERS / "python_websockets_echo.py", str(port), "--deflate", json.dumps(options)], {}

    checks = Checks()
    print("-- their client, our server", flush=True)
    check_server(checks, server, OFFERS, their_client)
    print("-- our client, their server", flush=True)
    check_client(checks, client, SERVERS, their_server)
    return finish(checks)


if __name__ == "__main__":
    main(run)
