#!/usr/bin/env python3
"""permessage-deflate with the Python library websockets, in both directions."""

import json

from compression import check_both
from scenario import PEERS, main, programs

from harness import python_packages
from versions import PYTHON_WEBSOCKETS


def run():
    """Every set of parameters, from a client of theirs to our server and the other way round."""
    ours = programs(__doc__, "compression-client")
    python = python_packages("python-websockets", PYTHON_WEBSOCKETS)

    def their_client(url, corpus, options):
        return [python, PEERS / "python_websockets_corpus_client.py", url, corpus, json.dumps(options)], {}

    def their_server(port, options):
        return [python, PEERS / "python_websockets_echo.py", str(port), "--deflate", json.dumps(options)], {}

    return check_both(ours, their_client, their_server)


if __name__ == "__main__":
    main(run)
