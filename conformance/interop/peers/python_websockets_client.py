"""A client of the Python library websockets that puts our server through its paces. Arguments: URL LIMIT.

LIMIT is the server's longest message. Each check prints a line; the exit status is 0 when the program came to its end.
"""

import asyncio
import json
import sys
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

URL, LIMIT = sys.argv[1], int(sys.argv[2])
HANG = 120  # seconds; a guard, not an expectation
OPTIONS = {"open_timeout": HANG, "close_timeout": HANG, "ping_interval": None, "max_size": None}


def report(name, problem):
    """Prints a check."""
    print(f"FAILED  {name}: {problem}" if problem else f"ok      {name}", flush=True)


async def check(name, function):
    """Runs a check, which raises when something is not as it should be."""
    try:
        async with asyncio.timeout(HANG):
            await function()
    except Exception as error:  # any failure is the check's result
        report(name, f"{type(error).__name__}: {error}")
    else:
        report(name, None)


def equal(got, wanted):
    """Raises unless both are the same."""
    if got != wanted:
        raise AssertionError(f"got {str(got)[:200]!r}, expected {str(wanted)[:200]!r}")


def close_code(ws):
    """The code in the close frame that the server sent: None without a frame, 1005 without a code."""
    return ws.protocol.close_rcvd and ws.protocol.close_rcvd.code


def plain(**options):
    """A connection without compression."""
    return connect(URL, **{**OPTIONS, "compression": None, **options})


async def echo(messages, send=None):
    """Sends messages one by one; each must come back as it was."""
    async with plain() as ws:
        for message in messages:
            await ws.send(message)
            equal(await ws.recv(), message)


async def texts():
    await echo(["hello", "", "héllo ✓ 你好 🦀", "\0", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536])


async def binary():
    await echo([b"", bytes(range(256)), b"\xff" * 125, b"\xfe" * 126, b"\x80" * 65535, b"\0" * 65536])


async def fragments():
    async with plain() as ws:
        for parts in (["frag", "", "ment", "ed ✓"], ["", ""], [b"\x01", b"\x02" * 70000, b""]):
            await ws.send(parts)
            equal(await ws.recv(), type(parts[0])().join(parts))


async def code_point_split_between_fragments():
    async with plain() as ws:
        crab = "🦀".encode()
        await ws.send([crab[:1], crab[1:3], crab[3:]], text=True)
        equal(await ws.recv(), "🦀")


async def pings():
    async with plain() as ws:
        for payload in (b"", b"payload", bytes(range(125))):
            await (await ws.ping(payload))


async def ping_between_fragments():
    async with plain() as ws:
        async def parts():
            yield "one "
            await (await ws.ping(b"between"))
            yield "two"

        await ws.send(parts())
        equal(await ws.recv(), "one two")


async def one_mebibyte():
    text = "0123456789abcdef" * 65536
    await echo([text, text.encode()])


async def longest_message():
    await echo([b"m" * LIMIT])


async def thousand_in_order():
    async with plain() as ws:
        async def send():
            for number in range(1000):
                await ws.send(f"message {number}")

        sending = asyncio.create_task(send())
        for number in range(1000):
            equal(await ws.recv(), f"message {number}")
        await sending


async def trigger_async():
    async with plain() as ws:
        await ws.send("Trigger async")
        # Whether the text itself is echoed too is the server's business.
        while (message := await ws.recv()) != "Async data":
            equal(message, "Trigger async")


async def our_close_codes():
    for code, reason in ((1000, ""), (1000, "done"), (1001, "leaving ✓"), (1003, ""), (1011, "r" * 123), (3000, "lib"),
                         (4999, "app")):
        async with plain() as ws:
            await ws.send("before the end")
            await ws.close(code, reason)
            equal(close_code(ws), code)


async def close_without_code():
    async with plain() as ws:
        ws.transport.write(bytes([0x88, 0x80, 1, 2, 3, 4]))
        await ws.wait_closed()
        equal(close_code(ws), 1005)


def masked(first, payload):
    """A frame of up to 125 bytes with any first byte."""
    key = b"\x11\x22\x33\x44"
    return bytes([first, 0x80 | len(payload)]) + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


async def server_closes(data, code):
    """Sends raw bytes; the server must first answer what came before and then close with the code and a reason."""
    async with plain() as ws:
        await ws.send("before")
        ws.transport.write(data)
        equal(await ws.recv(), "before")
        try:
            message = await ws.recv()
            raise AssertionError(f"received {message!r}")
        except ConnectionClosed:
            equal(close_code(ws), code)


async def protocol_errors():
    for data in (masked(0xC1, b"rsv1"), masked(0x83, b"opcode"), masked(0x09, b"fin"), masked(0x80, b"continuation"),
                 b"\x81\x02hi", masked(0x88, b"\x03"), masked(0x88, b"\x03\xee")):
        await server_closes(data, 1002)


async def invalid_utf8():
    await server_closes(masked(0x81, b"\xc3\x28"), 1007)
    await server_closes(masked(0x01, b"\xed\xa0\x80"), 1007)
    await server_closes(masked(0x88, b"\x03\xe8\xff"), 1007)


async def too_big():
    async with plain() as ws:
        try:
            await ws.send(b"m" * (LIMIT + 1))
            message = await ws.recv()
            raise AssertionError(f"received {len(message)} bytes")
        except ConnectionClosed:
            equal(close_code(ws), 1009)


async def no_subprotocol():
    async with plain(subprotocols=["chat", "superchat"]) as ws:
        equal(ws.subprotocol, None)
        equal("Sec-WebSocket-Protocol" in ws.response.headers, False)
        await ws.send("hello")
        equal(await ws.recv(), "hello")


async def compression_is_negotiated_or_declined():
    async with connect(URL, **OPTIONS) as ws:
        for message in ("hello", "a" * 100_000):
            await ws.send(message)
            equal(await ws.recv(), message)


async def refused(status, url=URL, **options):
    try:
        async with connect(url, **OPTIONS, **options):
            raise AssertionError("was accepted")
    except InvalidStatus as error:
        equal(error.response.status_code, status)


async def unknown_path():
    await refused(404, URL + "/nothing-here")


async def foreign_origin():
    await refused(403, origin="http://elsewhere.example")


async def own_origin():
    host = URL.split("/")[2]
    async with plain(origin=f"http://{host}") as ws:
        await ws.send("hello")
        equal(await ws.recv(), "hello")


async def status_page():
    host = URL.split("/")[2]
    answer = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{host}/status", timeout=HANG))
    equal(answer.headers.get_content_type(), "application/json")
    equal(isinstance(json.load(answer), dict), True)


async def shutdown():
    async with plain() as ws:
        await ws.send("still there")
        equal(await ws.recv(), "still there")
        print("ready for shutdown", flush=True)
        await ws.wait_closed()
        equal(close_code(ws), 1001)


async def run():
    """All checks, one after the other."""
    await check("texts", texts)
    await check("binary messages", binary)
    await check("fragmented messages", fragments)
    await check("a code point split between fragments", code_point_split_between_fragments)
    await check("pings with payloads", pings)
    await check("a ping between fragments", ping_between_fragments)
    await check("one mebibyte, text and binary", one_mebibyte)
    await check("the longest message allowed", longest_message)
    await check("a thousand messages keep their order", thousand_in_order)
    await check("Trigger async", trigger_async)
    await check("the client closes: codes and reasons", our_close_codes)
    await check("the client closes without a code", close_without_code)
    await check("the server closes: 1002", protocol_errors)
    await check("the server closes: 1007", invalid_utf8)
    await check("the server closes: 1009", too_big)
    await check("no subprotocol", no_subprotocol)
    await check("compression offered", compression_is_negotiated_or_declined)
    await check("unknown path: 404", unknown_path)
    await check("foreign origin: 403", foreign_origin)
    await check("own origin", own_origin)
    await check("/status", status_page)
    await check("shutdown: 1001", shutdown)


asyncio.run(run())
