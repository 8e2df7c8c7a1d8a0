"""An echo server of the Python library websockets: PORT [--tls CERTIFICATES KEY] [--deflate OPTION].

TLS is OpenSSL's. OPTION is a JSON object: arguments of ServerPerMessageDeflateFactory, or null: no compression; without it, what
the library does by itself.
"""

import argparse
import asyncio
import json
import ssl

from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(ws):
    """Sends everything back."""
    async for message in ws:
        await ws.send(message)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--deflate", type=json.loads, default=False)
    return parser.parse_args()


async def run():
    """Serves until it is ended."""
    arguments = parse()
    options = {}
    if arguments.tls:
        options["ssl"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["ssl"].load_cert_chain(*arguments.tls)
    if arguments.deflate is not False:
        extensions = [] if arguments.deflate is None else [ServerPerMessageDeflateFactory(**arguments.deflate)]
        options |= {"compression": None, "extensions": extensions, "max_size": None}
    async with serve(echo, "127.0.0.1", arguments.port, **options) as server:
        await server.serve_forever()


asyncio.run(run())
