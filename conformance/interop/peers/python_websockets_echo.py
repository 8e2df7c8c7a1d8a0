"""An echo server of the Python library websockets. Arguments: PORT [CERTIFICATES KEY], the latter for TLS by OpenSSL."""

import asyncio
import ssl
import sys

from websockets.asyncio.server import serve


async def echo(ws):
    """Sends everything back."""
    async for message in ws:
        await ws.send(message)


async def run():
    """Serves until it is ended."""
    tls = None
    if sys.argv[2:]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*sys.argv[2:])
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), ssl=tls) as server:
        await server.serve_forever()


asyncio.run(run())
