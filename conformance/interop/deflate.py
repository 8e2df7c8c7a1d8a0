"""permessage-deflate as it was on the wire, judged by Python's zlib: what was agreed, and whether both sides kept to it.

Every message is decompressed with a window of exactly the agreed size, forgotten after each message where no context is
taken over: what refers back farther than was agreed does not decompress.
"""

import re
import typing
import zlib

from scenario import Failure
from wire import head, raw_frames

# Output is taken in steps of so many bytes: zlib keeps to its window between steps, and reaches farther within one.
STEP = 32


class Window(typing.NamedTuple):
    """How one side compresses."""

    bits: int
    takeover: bool


class Message(typing.NamedTuple):
    """A message: what it means, and its payload's bytes on the wire."""

    opcode: int
    payload: bytes
    compressed: bool
    length: int


class Agreement(typing.NamedTuple):
    """What both sides have agreed on."""

    server: Window
    client: Window


def extension(data):
    """The value of Sec-WebSocket-Extensions in one side's part of the opening handshake; empty without one."""
    text, _ = head(data)
    found = re.findall(r"(?im)^sec-websocket-extensions:[ \t]*(.*?)[ \t]*\r?$", text)
    return ", ".join(found)


def agreement(answer):
    """What a server's answer means (RFC 7692 7.1); None: nothing is compressed."""
    if not answer:
        return None
    name, *parameters = [part.strip() for part in answer.split(";")]
    if name != "permessage-deflate":
        raise Failure(f"the server's answer is {answer}")
    values = dict(parameter.partition("=")[::2] for parameter in parameters)
    return Agreement(*(Window(int(values.get(f"{side}_max_window_bits", "15").strip('"')),
                              f"{side}_no_context_takeover" not in values) for side in ("server", "client")))


def messages(data, window):
    """The messages that one side sent, decompressed."""
    _, position = head(data)
    inflate, found, parts = None, [], None
    for first, payload, _ in raw_frames(data, position):
        opcode = first & 0x0F
        if opcode >= 8:
            if first & 0x70:
                raise Failure("a control frame has a reserved bit")
            continue
        if opcode:
            parts, kind, compressed = [], opcode, bool(first & 0x40)
            if compressed and window is None:
                raise Failure("a message is compressed though nothing was agreed")
        elif first & 0x40:
            raise Failure("RSV1 in a fragment that is not the first one")
        parts.append(payload)
        if not first & 0x80:
            continue
        wire = b"".join(parts)
        plain = wire
        if compressed:
            if inflate is None or not window.takeover:
                inflate = zlib.decompressobj(-window.bits)
            plain = decompress(inflate, wire)
        found.append(Message(kind, plain, compressed, len(wire)))
    return found


def decompress(inflate, wire):
    """RFC 7692 7.2.2. Raises zlib.error where the data refers to what the window does not hold any more."""
    rest, plain = wire + b"\x00\x00\xff\xff", []
    while True:
        part = inflate.decompress(rest, STEP)
        plain.append(part)
        rest = inflate.unconsumed_tail
        if not rest and len(part) < STEP:
            break
    if inflate.eof:
        raise Failure("the peer ends its stream with BFINAL, which this judge does not follow")
    return b"".join(plain)


class Exchange(typing.NamedTuple):
    """What a connection was, seen from the wire."""

    offer: str
    answer: str
    sent: list
    received: list


def exchange(passage):
    """A connection's handshake and messages."""
    answer = extension(passage.from_server)
    agreed = agreement(answer) or Agreement(None, None)
    return Exchange(extension(passage.from_client), answer, messages(passage.from_client, agreed.client),
                    messages(passage.from_server, agreed.server))


def parameters(answer):
    """The parameters in an answer, as a set; values without quotes. None without an answer."""
    if not answer:
        return None
    return {parameter.strip().replace('"', "") for parameter in answer.split(";")[1:]}
