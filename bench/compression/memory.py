#!/usr/bin/env python3
"""What an open, compressed connection costs a server: resident memory with 500 of them that have echoed, less that with one.

    python3 bench/compression/memory.py                 all servers, in the ways in which they can be set
    python3 bench/compression/memory.py wirelet bun     some

It counts what the process holds, so that the allocator's share and freed pages that it keeps count too. What wirelet itself
allocates for a connection, to the byte, is in docs/compression.md.
"""

import json
import os
import sys

from run import BUN, HERE, PORT, ROOT, Rig

from harness import bun, main, node_packages, python_packages

sys.path.insert(0, str(ROOT / "conformance" / "interop"))
from versions import NODE_WS, PYTHON_WEBSOCKETS  # noqa: E402

CONNECTIONS = 500
PEERS = ROOT / "conformance" / "interop" / "peers"
# Server, its options, and what the load offers. `browser`: permessage-deflate; client_max_window_bits.
WAYS = [
    ("wirelet", "off", "plain"),
    ("wirelet", "shared", "browser"),
    ("wirelet", "windowed:4096", "browser"),
    ("wirelet", "dedicated:9", "browser"),
    ("wirelet", "dedicated:12", "browser"),
    ("wirelet", "dedicated:15", "browser"),
    ("bun", False, "plain"),
    ("bun", True, "browser"),
    ("bun", {"compress": "4KB", "decompress": "4KB"}, "browser"),
    ("bun", {"compress": "dedicated", "decompress": "dedicated"}, "browser"),
    ("ws", False, "plain"),
    ("ws", True, "browser"),
    ("ws", {"serverMaxWindowBits": 10, "clientMaxWindowBits": 10, "zlibDeflateOptions": {"memLevel": 3}}, "browser"),
    ("websockets", None, "plain"),
    ("websockets", {"server_max_window_bits": 12, "client_max_window_bits": 12, "compress_settings": {"memLevel": 5}}, "browser"),
    ("websockets", {}, "browser"),
    ("sockudo", "plain", "plain"),
    ("sockudo", "reset", "browser"),
    ("sockudo", "takeover", "browser"),
]


def command(rig, name, way):
    """A server's command and the options of its process."""
    if name == "wirelet":
        return [rig.programs["wirelet_echo"], PORT, way], {}
    if name == "bun":
        return [bun(BUN), PEERS / "bun_echo.js", PORT, json.dumps(way)], {}
    if name == "ws":
        modules = str(node_packages("node-ws", NODE_WS) / "node_modules")
        return ["node", PEERS / "node_ws_echo.mjs", PORT, json.dumps(way)], {"env": {**os.environ, "NODE_MODULES": modules}}
    if name == "websockets":
        python = python_packages("python-websockets", PYTHON_WEBSOCKETS)
        return [python, PEERS / "python_websockets_echo.py", PORT, "--deflate", json.dumps(way)], {}
    return [rig.programs["sockudo_echo"], PORT, way, "send"], {}


def each(rig, name, way, setting):
    """Bytes for each connection, and what was agreed."""
    words, options = command(rig, name, way)
    with rig.start(name, words, **options) as server:
        # The first one lets the process allocate what all connections share.
        one = rig.measure(server, setting, 1, 1, 0.5)
        many = rig.measure(server, setting, CONNECTIONS, 1, 1)
    return (many["resident_kib"] - one["resident_kib"]) * 1024 / (CONNECTIONS - 1), many["extension"]


def run():
    """Prints a line for each way."""
    rig = Rig()
    print(f"{CONNECTIONS} connections, each has echoed 1 KiB of JSON at least once")
    for name, way, setting in WAYS:
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        size, agreed = each(rig, name, way, setting)
        print(f"{name:11}{json.dumps(way):95}{size:12,.0f} bytes  {agreed}", flush=True)


if __name__ == "__main__":
    main(run)
