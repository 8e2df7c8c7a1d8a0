"""An echo of many messages under every set of parameters, between one of our programs and a peer's, and what came of it."""

import json
import pathlib
import random
import tempfile
import typing
import zlib

from deflate import Message, exchange, extension, parameters
from scenario import HANG, Checks, Failure, Process, finish, free_port, start_server
from wire import Tap

BOTH_FRESH = {"server_no_context_takeover", "client_no_context_takeover"}


class Case(typing.NamedTuple):
    """How our side compresses (`--compress=`), the peer's parameters, and the answer (None: declined)."""

    mode: str
    options: dict
    answer: set

    def __str__(self):
        options = " ".join(f"{name}={value}" for name, value in self.options.items()) or "no parameters"
        return f"{self.mode} / {options}"


def bits(server=None, client=None):
    """Parameters in an answer that limit windows."""
    named = {"server_max_window_bits": server, "client_max_window_bits": client}
    return {f"{name}={value}" for name, value in named.items() if value}


# What a client offers to our server. A client's window of 15 bits needs no word in an answer, a server's is repeated.
OFFERS = [
    Case("shared", {}, BOTH_FRESH),
    Case("shared", {"server_no_context_takeover": True, "client_no_context_takeover": True}, BOTH_FRESH),
    *(Case("shared", {"server_max_window_bits": size, "client_max_window_bits": size}, BOTH_FRESH | bits(size, size))
      for size in range(9, 15)),
    Case("shared", {"server_max_window_bits": 15}, BOTH_FRESH | bits(15)),
    # A window of 8 bits is not made, and not widened in silence.
    Case("shared", {"server_max_window_bits": 8}, None),
    Case("windowed:4096", {}, {"client_no_context_takeover"}),
    Case("windowed:4096", {"server_max_window_bits": 10}, {"client_no_context_takeover"} | bits(10)),
    Case("windowed:4096", {"server_no_context_takeover": True}, BOTH_FRESH),
    Case("dedicated:15", {}, set()),
    Case("dedicated:15", {"server_no_context_takeover": True}, {"server_no_context_takeover"}),
    Case("dedicated:15", {"client_no_context_takeover": True}, {"client_no_context_takeover"}),
    *(Case("dedicated:15", {"server_max_window_bits": size, "client_max_window_bits": size}, bits(size, size))
      for size in range(9, 15)),
    # Any window is decompressed, so that the client's need not be limited.
    Case("dedicated:9", {}, bits(server=9)),
    Case("off", {}, None),
]

# What a server does with our client's offer, told by its own options.
SERVERS = [
    Case("shared", {}, BOTH_FRESH),
    Case("windowed:4096", {}, {"server_no_context_takeover"}),
    Case("windowed:4096", {"client_no_context_takeover": True}, BOTH_FRESH),
    Case("dedicated:15", {}, set()),
    Case("dedicated:15", {"server_no_context_takeover": True, "client_no_context_takeover": True}, BOTH_FRESH),
    *(Case("dedicated:15", {"server_max_window_bits": size, "client_max_window_bits": size}, bits(size, size))
      for size in range(9, 15)),
    *(Case("shared", {"client_max_window_bits": size}, BOTH_FRESH | bits(client=size)) for size in (9, 12)),
    # Our client keeps to its 10 bits whatever it is allowed.
    Case("dedicated:10", {}, set()),
    Case("off", {}, None),
]


def check_both(programs, their_client, their_server, offers=OFFERS, servers=SERVERS):
    """Our server with a peer's client, which makes `offers`, then our client with a peer's `servers`; returns the exit status."""
    server, client = programs
    checks = Checks()
    print("-- their client, our server", flush=True)
    check_server(checks, server, offers, their_client)
    print("-- our client, their server", flush=True)
    check_client(checks, client, servers, their_server)
    return finish(checks)


def check_server(checks, program, cases, client):
    """Our server with a peer's client, which `client` returns the command of, given a URL, a corpus and its options."""
    corpus = Corpus()
    with tempfile.TemporaryDirectory(prefix="wirelet-") as folder:
        path = corpus.write(folder)
        for mode in dict.fromkeys(case.mode for case in cases):
            server, port = start_server(program, f"--compress={mode}", "--quiet")
            with server:
                for case in cases:
                    if case.mode == mode:
                        url, tap = tapped(port, "/ws")
                        echo_corpus(checks, str(case), client(url, path, case.options), tap, corpus, case.answer)


def check_client(checks, program, cases, server):
    """Our client with a peer's server, which `server` returns the command of, given a port and its options."""
    corpus = Corpus()
    with tempfile.TemporaryDirectory(prefix="wirelet-") as folder:
        path = corpus.write(folder)
        for case in cases:
            port = free_port()
            words, options = server(port, case.options)
            with Process("the peer", words, **options) as peer:
                peer.wait_for_port(port)
                url, tap = tapped(port, "/")
                command = [program, url, path, case.mode]
                echo_corpus(checks, str(case), (command, {}), tap, corpus, case.answer)


def tapped(port, path):
    """A URL that leads to the port, and what listens in on the way."""
    tap = Tap(port)
    return f"ws://127.0.0.1:{tap.port}{path}", tap


def echo_corpus(checks, name, command, tap, corpus, answer):
    """Runs a client, a command and the options of its process, to its end, and looks at its one connection."""
    words, options = command
    with Process("the client", words, **options) as client:
        status = client.wait()
    if status:
        checks.check(f"{name}: every message came back", False, f"exit status {status}\n{client.tail()}")
        return
    passages = tap.finish(HANG)
    if len(passages) != 1:
        checks.check(f"{name}: one connection", False, len(passages))
        return
    check_exchange(checks, name, passages[0], corpus, answer)


def check_exchange(checks, name, passage, corpus, answer):
    """An echo of the whole corpus under the expected answer to the offer (a set of parameters, or None: declined)."""
    try:
        seen = exchange(passage)
    except (Failure, zlib.error) as error:
        checks.check(f"{name}: the messages decompress with what was agreed", False,
                     f"{error}; the answer was '{extension(passage.from_server)}'")
        return
    if answer is None:
        checks.equal(f"{name}: declined", seen.answer, "")
    else:
        checks.equal(f"{name}: agreed on {' '.join(sorted(answer)) or 'no parameters'}", parameters(seen.answer), answer)
    wanted = [(message.opcode, message.payload) for message in corpus.messages]
    for side, all_messages in (("client", seen.sent), ("server", seen.received)):
        got = [(message.opcode, message.payload) for message in all_messages]
        checks.check(f"{name}: the {side}'s messages are the corpus", got == wanted, difference(got, wanted))
        count = sum(message.compressed for message in all_messages)
        if answer is None:
            checks.equal(f"{name}: nothing of the {side}'s is compressed", count, 0)
            continue
        # Short ones and noise may go as they are.
        ratio = sum(message.length for message in all_messages) / max(1, corpus.plain)
        checks.check(f"{name}: the {side} compresses: {count} of {len(all_messages)} messages, {ratio:.0%} of the bytes",
                     count >= corpus.compressible and ratio < 0.5, seen.answer)


def difference(got, wanted):
    """Where two lists of messages part."""
    for index, (left, right) in enumerate(zip(got, wanted)):
        if left != right:
            return f"message {index}: {left[1][:40]!r} ({len(left[1])} bytes) instead of {right[1][:40]!r} ({len(right[1])})"
    return f"{len(got)} messages instead of {len(wanted)}"


class Corpus:
    """Messages for an echo, in a file that clients of any language can read.

    A list of objects: `text` or `binary` (hexadecimal), and whether the message is to be sent in `fragments`, so many.
    """

    def __init__(self):
        chance = random.Random(7692)
        noise = chance.randbytes(20_000)
        record = '{{"id":{0},"name":"sensor {1}","value":{2},"unit":"°C","state":"open"}}'
        records = [record.format(number, number % 7, chance.random()) for number in range(2000)]
        self._entries = [("hello", 1), ("", 1), (b"", 1), ("héllo ✓ 你好 🦀" * 200, 1), (noise, 1), (bytes(70_000), 1)]
        self._entries += [("[" + ",".join(records[start:start + 18]) + "]", 1) for start in range(0, 360, 18)]
        self._entries += [("[" + ",".join(records[:900]) + "]", 1), ("[" + ",".join(records[900:1400]) + "]", 4),
                          (noise[:500] * 60, 3), ("a" * 100_000, 1)]
        self.messages = [Message(*((1, entry.encode()) if isinstance(entry, str) else (2, entry)), False, len(entry))
                         for entry, _ in self._entries]
        self.plain = sum(len(message.payload) for message in self.messages)
        # What is long and repeats itself; the noise does not, nor does its repetition within a small window.
        self.compressible = sum(len(message.payload) > 1100 for message in self.messages) - 2

    def write(self, folder):
        """Writes the file; returns its path."""
        document = []
        for entry, fragments in self._entries:
            text = isinstance(entry, str)
            value = {"text": entry} if text else {"binary": entry.hex()}
            document.append({**value, "fragments": fragments})
        path = pathlib.Path(folder) / "corpus.json"
        path.write_text(json.dumps(document))
        return path
