#!/usr/bin/env python3
"""permessage-deflate with Bun, in both directions."""

import json

from compression import BOTH_FRESH, OFFERS, Case, bits, check_both
from scenario import PEERS, main, programs

from harness import bun
from versions import BUN


# Bun's server knows sizes of compressors, each with a window of its own. It keeps no context unless it is told to.
DEDICATED = {"compress": "dedicated", "decompress": "dedicated"}
SERVERS = [
    Case("shared", {}, BOTH_FRESH),
    Case("shared", DEDICATED, BOTH_FRESH),
    Case("windowed:4096", DEDICATED, {"server_no_context_takeover"}),
    Case("dedicated:15", {}, BOTH_FRESH),
    Case("dedicated:15", DEDICATED, set()),
    Case("dedicated:15", {"compress": "4KB", "decompress": "dedicated"}, bits(server=9)),
    Case("dedicated:15", {"compress": "8KB", "decompress": "shared"}, bits(server=10) | {"client_no_context_takeover"}),
    Case("off", {}, None),
]


def run():
    """Every set of parameters, from a client of theirs to our server and the other way round."""
    ours = programs(__doc__, "compression-client")
    program = bun(BUN)

    def their_client(url, corpus, options):
        return [program, PEERS / "bun_corpus_client.js", url, corpus, json.dumps(options or True)], {}

    def their_server(port, options):
        return [program, PEERS / "bun_echo.js", str(port), json.dumps(options or True)], {}

    # Its client offers `permessage-deflate; client_max_window_bits` and nothing else.
    offers = [case for case in OFFERS if not case.options]
    return check_both(ours, their_client, their_server, offers, SERVERS)


if __name__ == "__main__":
    main(run)
