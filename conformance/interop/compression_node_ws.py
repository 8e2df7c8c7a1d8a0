#!/usr/bin/env python3
"""permessage-deflate with ws, the library of Node.js, in both directions."""

import json
import os
import re

from compression import check_both
from scenario import PEERS, main, programs

from harness import node_packages
from versions import NODE_WS


def option(parameters):
    """Parameters as the library's option perMessageDeflate. Its threshold is lowered to that of short messages."""
    names = {name: re.sub("_(.)", lambda match: match[1].upper(), name) for name in parameters}
    return json.dumps({"threshold": 256, **{names[name]: value for name, value in parameters.items()}})


def run():
    """Every set of parameters, from a client of theirs to our server and the other way round."""
    ours = programs(__doc__, "compression-client")
    modules = node_packages("node-ws", NODE_WS) / "node_modules"
    environment = {"env": {**os.environ, "NODE_MODULES": str(modules)}}

    def their_client(url, corpus, options):
        return ["node", PEERS / "node_ws_corpus_client.mjs", url, corpus, option(options)], environment

    def their_server(port, options):
        return ["node", PEERS / "node_ws_echo.mjs", str(port), option(options)], environment

    return check_both(ours, their_client, their_server)


if __name__ == "__main__":
    main(run)
