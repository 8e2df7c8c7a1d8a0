#!/usr/bin/env python3
"""Builds the examples for chips, boots those of QEMU's machine and lets them talk to those of this machine, both ways.

    python3 conformance/examples.py              builds and checks all boards, boots both programs of qemu-virt
    python3 conformance/examples.py --autobahn   and runs Autobahn's fixed shard against the server

A board whose core library is missing is named and left out.
"""

import argparse
import re
import subprocess
import sys

from firmware import HOST, Device
from harness import HANG, HERE, MESSAGES, ROOT, Failure, Process, executables, free_port, main, run

EXAMPLES = ROOT / "examples" / "embedded"
GUIDES = ROOT / "docs"
# Built and booted here, then built or checked alone.
BOOTED = ("std", "qemu-virt")
OTHERS = ("esp32c3", "esp32c6", "rp2040-cyw43", "stm32-ethernet")
# build.sh could not build a board on this machine.
LEFT_OUT = 77


# A reader takes in an example at once.
LONGEST = 80
# By how much a task may be larger or smaller than in the guide: compilers differ.
TOLERANCE = 0.05


def check_sources():
    """Formatting, and the length of what a reader begins with."""
    run(["cargo", "fmt", "--all", "--check"], cwd=EXAMPLES)
    for name in ("server.rs", "client.rs"):
        for path in sorted(EXAMPLES.glob(f"*/{name}")):
            lines = len(path.read_text().splitlines())
            if lines > LONGEST:
                raise Failure(f"{path}: {lines} lines, more than {LONGEST}")


def check_guides():
    """What a guide says to be from an example is in it, word for word."""
    for guide in sorted(GUIDES.glob("*.md")):
        for source, code in re.findall(r"<!-- from (\S+) -->\n```\S*\n(.*?)```", guide.read_text(), re.DOTALL):
            if code.rstrip() not in (ROOT / source).read_text():
                raise Failure(f"{guide}: what it has from {source} is not there any more")


def rows(lines):
    """The lines of a table of Markdown, by what they begin with; the numbers that were measured are the last four cells."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {tuple(row[:-4]): [int(number) for number in row[-4:]] for row in cells if row[-1].isdigit()}


def check_memory(firmware):
    """The table in the guide is what the program prints, but for what compilers differ in."""
    with Device(firmware, ready="] |") as device:
        if device.wait():
            raise Failure(f"the program ended with status {device.status}\n{device.tail()}")
        printed = [line.split("] ", 1)[-1] for line in device.lines if "] |" in line]
    wanted = rows(line for line in (GUIDES / "memory.md").read_text().splitlines() if line.startswith("| "))
    measured = rows(printed)
    if not measured or measured.keys() != wanted.keys() or any(
            abs(number - old) > old * TOLERANCE for row in measured for number, old in zip(measured[row], wanted[row])):
        raise Failure("docs/memory.md has another table than this:\n" + "\n".join(printed))
    print(f"memory: {len(measured)} sizes, as docs/memory.md has them", flush=True)


def build_others():
    """Builds or checks what can't be booted here."""
    status = subprocess.run([EXAMPLES / "build.sh", *OTHERS], stdin=subprocess.DEVNULL).returncode
    if status not in (0, LEFT_OUT):
        raise Failure(f"build.sh ended with status {status}")


def server_answers(firmware, programs):
    """The server in QEMU answers the client of this machine; one after the other, since a place must become free again."""
    with Device(firmware) as device:
        for _ in range(12):
            client = Process("the client", [programs["std-client"], f"ws://127.0.0.1:{device.port}/ws"])
            if client.wait() or not any("hello" in line for line in client.lines):
                raise Failure(f"the client has no answer\n{client.tail()}\n{device.tail()}")
    print("server: booted, 12 connections answered", flush=True)


def client_is_answered(firmware, programs):
    """The client in QEMU gets its answers from the server of this machine, closes, and switches its machine off."""
    port = free_port()
    with Process("the server", [programs["std-server"], f"127.0.0.1:{port}"]) as server:
        server.wait_for_port(port, HANG)
        with Device(firmware, url=f"ws://{HOST}:{port}/ws") as device:
            if device.wait():
                raise Failure(f"the client ended with status {device.status}\n{device.tail()}")
            for text, times in (("connected", 1), ("hello", 3), ("closed: 1000", 1)):
                if sum(text in line for line in device.lines) != times:
                    raise Failure(f"the client was to log '{text}' {times} times\n{device.tail()}")
    print("client: booted, 3 answers, closed with 1000", flush=True)


def cli():
    """Runs what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--autobahn", action="store_true", help="run Autobahn's fixed shard against the server, too")
    options = parser.parse_args()
    check_sources()
    check_guides()
    programs = executables([str(EXAMPLES / "build.sh"), MESSAGES, *BOOTED], EXAMPLES)
    server_answers(programs["qemu-virt-server"], programs)
    client_is_answered(programs["qemu-virt-client"], programs)
    check_memory(programs["qemu-virt-memory"])
    if options.autobahn:
        run([sys.executable, HERE / "autobahn.py", "device", "--shard", "ci", "--firmware", programs["qemu-virt-server"]])
    build_others()
    return 0


if __name__ == "__main__":
    main(cli)
