"""An echo server of the Python library websockets. Argument: PORT."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(ws):
    """Sends everything back."""
    async for message in ws:
        await ws.send(message)


async def run():
    """Serves until it is ended."""
    async with serve(echo, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(run())
