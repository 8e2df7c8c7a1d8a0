"""What the interoperability scripts share: their command line, a list of checks, and the two programs under test."""

import argparse
import pathlib
import sys
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from harness import HANG, Failure, Process, cargo_build, free_port, main  # noqa: E402
from wire import Relay, frames  # noqa: E402

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
SKIPPED = 77

HELLOS = [f"hello {number:04}" for number in range(5)]
FRAGMENTED = "a" * 32 + "b" * 32


class Checks:
    """Named checks, each printed as it is made."""

    def __init__(self):
        self.failed = 0

    def check(self, name, holds, detail=""):
        """One check; `detail` says what was there instead."""
        print(f"ok      {name}" if holds else f"FAILED  {name}" + (f": {detail}" if detail else ""), flush=True)
        self.failed += not holds

    def equal(self, name, got, wanted):
        """A check that two values are the same."""
        self.check(name, got == wanted, f"got {got!r}, expected {wanted!r}")


def arguments(description):
    """The command line of every script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wirelet", metavar="PATH", help="the program to test (default: build it)")
    parser.add_argument("--profile", default="release", help="cargo profile to build with (default: release)")
    return parser.parse_args()


def wirelet(description):
    """The path of the program: from the command line, else freshly built."""
    return programs(description)[0]


def programs(description, *more):
    """The paths of the program and of `more`, which are binaries of the crate `conformance`."""
    options = arguments(description)
    wanted = [("conformance", name) for name in more]
    if not options.wirelet:
        wanted.insert(0, ("wirelet-cli", "wirelet"))
    built = cargo_build(wanted, options.profile) if wanted else {}
    return [options.wirelet or built["wirelet"], *(built[name] for name in more)]


def profile(description):
    """The profile that another program than `wirelet` is to be built with."""
    return arguments(description).profile


def start_server(program, *options):
    """`wirelet serve` on a port of its own; returns the process and the port."""
    port = free_port()
    server = Process("wirelet serve", [program, "serve", "--addr", f"127.0.0.1:{port}", *options])
    server.wait_for_port(port)
    return server, port


class Demo(typing.NamedTuple):
    """What a run of the tutorial's client left behind: its output, both sides' frames and what followed them."""

    output: str
    sent: list
    after_sent: bytes
    received: list
    after_received: bytes


def run_demo(program, port, path="/", last_words=None):
    """The tutorial's client through a relay to the server at the port."""

    def start(relay):
        return Process("wirelet demo", [program, "demo", f"ws://127.0.0.1:{relay}{path}", "--watchdog", "5s"])

    return relay_demo(start, port, last_words)


def relay_demo(start, port, last_words=None):
    """A client that `start` starts, given a relay's port, through that relay to the server at the port."""
    relay = Relay(port, last_words)
    client = start(relay.port)
    status = client.wait()
    if status:
        raise Failure(f"{client.name} ended with status {status}\n{client.tail()}")
    relay.join(HANG)
    return Demo("\n".join(client.lines), *frames(relay.from_client), *frames(relay.from_server))


def check_demo(checks, demo):
    """The tutorial's sequence, on the wire and in what the client prints."""
    checks.check("exit status 0 after the watchdog", True)
    texts = [payload.decode() for fin, opcode, payload in demo.sent if opcode == 1 and fin]
    checks.equal("five texts sent", texts, HELLOS)
    fragments = [frame for frame in demo.sent if frame[1] == 0 or (frame[1] == 1 and not frame[0])]
    checks.equal("one text sent in three fragments, the last one empty", fragments,
                 [(False, 1, b"a" * 32), (False, 0, b"b" * 32), (True, 0, b"")])
    echoes = [payload.decode() for fin, opcode, payload in demo.received if opcode == 1 and fin]
    checks.equal("all of them came back, the fragmented one whole", echoes, [*HELLOS, FRAGMENTED])
    checks.check("every echo is printed", all(text in demo.output for text in [*HELLOS, FRAGMENTED]), demo.output)
    checks.check("the client closes with 1000", closes_with_1000(demo.sent), demo.sent[-1:])
    checks.equal("the client sends nothing after its close frame", demo.after_sent, b"")


def closes_with_1000(sequence):
    """Whether the last frame is a close frame with the code 1000."""
    return bool(sequence) and sequence[-1][1] == 8 and sequence[-1][2][:2] == (1000).to_bytes(2, "big")


def run_server_with(checks, program, name, command, **options):
    """Our server with a peer's client, called as COMMAND URL LIMIT, which prints its checks as we do.

    When it prints "ready for shutdown" the server is told to end; the peer then looks at the close code.
    """
    limit = 2 << 20
    server, port = start_server(program, "--max-message", str(limit))

    def line(text):
        print(text, flush=True)
        if text == "ready for shutdown":
            server.terminate()

    with server:
        peer = Process(name, [*command, f"ws://127.0.0.1:{port}/ws", str(limit)], on_line=line, **options)
        status = peer.wait(12 * HANG)  # Each of its checks has a bound of its own.
        checks.failed += sum(text.startswith("FAILED ") for text in peer.lines)
        checks.check(f"the client of {name} ran to its end", status == 0, f"status {status}")
        ended = server.wait() if "ready for shutdown" in peer.lines else "not asked to end"
        checks.check("the server ended in good order", ended == 0, f"{ended}\n{server.tail()}")


def finish(checks):
    """The exit status of a script."""
    return 1 if checks.failed else 0


__all__ = [
    "Checks", "Failure", "HANG", "PEERS", "Process", "SKIPPED", "check_demo", "closes_with_1000", "finish", "free_port", "main",
    "profile", "programs", "relay_demo", "run_demo", "run_server_with", "start_server", "wirelet",
]
