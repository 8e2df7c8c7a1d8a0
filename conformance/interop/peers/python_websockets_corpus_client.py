"""A client of the Python library websockets that has a corpus echoed. Arguments: URL CORPUS OFFER.

OFFER is a JSON object: arguments of ClientPerMessageDeflateFactory. Prints what the library says was agreed.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URL, CORPUS, OFFER = sys.argv[1], json.load(open(sys.argv[2])), json.loads(sys.argv[3])
HANG = 300  # seconds; a guard, not an expectation


def parts(entry):
    """A message as it is to be sent: whole, or a list of fragments."""
    message = entry["text"] if "text" in entry else bytes.fromhex(entry["binary"])
    size = -(-len(message) // entry["fragments"])
    if entry["fragments"] == 1:
        return message, message
    return message, [message[start:start + size] for start in range(0, len(message), size)]


async def run():
    """Sends the corpus message by message."""
    extensions = [ClientPerMessageDeflateFactory(**OFFER)]
    async with asyncio.timeout(HANG), connect(URL, compression=None, extensions=extensions, max_size=None,
                                              ping_interval=None) as ws:
        print(ws.protocol.extensions, flush=True)
        for entry in CORPUS:
            message, sent = parts(entry)
            await ws.send(sent)
            if await ws.recv() != message:
                raise SystemExit("an echo is not what was sent")


asyncio.run(run())
