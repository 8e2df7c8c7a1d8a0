#!/usr/bin/env python3
"""Compressed echo of 1 KiB JSON: wirelet, Bun and sockudo-ws, each on one core, in turns in the same run.

    python3 bench/compression/run.py                     all settings, 1 and 16 in flight; about six minutes
    python3 bench/compression/run.py --settings reset --rounds 3 --seconds 1      a quick look
    python3 bench/compression/run.py --servers wirelet,bun --connections 1,16
    python3 bench/compression/run.py --require 1.5       exit status 1 unless wirelet has that many times the better peer's
                                                         messages, in answers that are no longer than that peer's

Servers run on core 0, the load on core 1. Nothing else should run: a figure from a busy machine says nothing.
Exit status 77 where something is missing (a second core, npm).
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "conformance"))

from harness import Failure, Process, bun, cargo_build, free_port, main  # noqa: E402

BUN = "bun@1.4.5"
SETTINGS = {
    "plain": "not compressed",
    "browser": "what browsers offer, each server in its preset",
    "reset": "no context takeover, either direction",
    "takeover": "context takeover, both directions",
}
# How wirelet compresses in each of them.
MODES = {"plain": "off", "browser": "shared", "reset": "shared", "takeover": "dedicated:15"}
NAMES = ("wirelet", "bun", "sockudo", "sockudo, fed")
PACKAGE = "wirelet-bench-compression"
PORT = object()
SERVER_CORE, LOAD_CORE = "0", "1"
SKIPPED = 77


class Rig:
    """What is built here, and how it is run."""

    def __init__(self):
        self.programs = cargo_build([(PACKAGE, name) for name in ("load", "wirelet_echo", "sockudo_echo")], "release", HERE)

    def server(self, name, setting, options):
        """The command of a server, without its port's number."""
        if name == "bun":
            return [bun(BUN), HERE / "bun_echo.js", PORT, setting]
        if name == "wirelet":
            return [self.programs["wirelet_echo"], PORT, options.wirelet or MODES[setting], *options.level]
        return [self.programs["sockudo_echo"], PORT, setting, "feed" if "fed" in name else "send"]

    def start(self, name, command, **options):
        """A server on a port of its own, on its core. PORT in its command stands for the port."""
        port = free_port()
        words = [str(port) if word is PORT else word for word in command]
        server = Process(name, ["taskset", "-c", SERVER_CORE, *words], **options)
        server.wait_for_port(port)
        server.port = port
        return server

    def measure(self, server, setting, connections, in_flight, seconds):
        """One measurement of a server."""
        command = ["taskset", "-c", LOAD_CORE, self.programs["load"], f"127.0.0.1:{server.port}", "/ws", setting,
                   str(connections), str(in_flight), str(seconds), str(server.pid)]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        if result.returncode:
            raise Failure(f"{server.name}, {setting}: {result.stderr.strip()}\n{server.tail()}")
        return json.loads(result.stdout)


def rate(measured):
    """Messages a second, without the time in which a core stood still and what waited at its end."""
    return (measured["messages"] - measured["frozen_messages"]) / max(measured["seconds"] - measured["frozen_seconds"], 1e-9)


def size(measured):
    """The answers' payload by that of the documents."""
    return measured["answer_bytes"] / measured["plain_bytes"]


def versions(names):
    """A line for each thing that the figures depend on."""
    lock = (HERE / "Cargo.lock").read_text()
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    yield f"machine  {model[1] if model else platform.machine()}, Linux {platform.release()}"
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    for name in dict.fromkeys(name.split(",")[0] for name in names):
        if name == "bun":
            yield f"bun      {subprocess.run([bun(BUN), '--version'], capture_output=True, text=True).stdout.strip()}"
            continue
        crate = {"wirelet": "wirelet", "sockudo": "sockudo-ws"}[name]
        version = re.search(rf'name = "{crate}"\nversion = "([^"]*)"', lock)[1]
        yield f"{name:8} {version}, {rustc}"
    zlib = re.search(r'name = "zlib-rs"\nversion = "([^"]*)"', lock)[1]
    yield f"zlib-rs  {zlib}"


def turns(rig, running, setting, connections, in_flight, options):
    """All rounds of one row: name -> measurements, those of one round beside each other in time."""
    results = {name: [] for name in running}
    order = list(running)
    for index in range(options.rounds):
        shift = index % len(order)
        for name in order[shift:] + order[:shift]:
            measured = rig.measure(running[name], setting, connections, in_flight, options.seconds)
            results[name].append(measured)
    return results


def median(measurements, function):
    """The median of a figure over the rounds."""
    return statistics.median(map(function, measurements))


def show(results, connections, in_flight):
    """A table of one row of the comparison; the ratios are medians of the rounds' own ratios."""
    print(f"\n{connections} connections, {in_flight} in flight on each")
    print(f"  {'':14}{'messages/s':>12}{'min..max':>18}{'wirelet/it':>12}{'CPU µs each':>13}{'answers, % of plain':>21}"
          f"{'frozen %':>10}{'RSS KiB':>9}  {'checked':>8}")
    for name, measurements in results.items():
        rates = [rate(measured) for measured in measurements]
        ratio = paired(results, name)
        cpu = median(measurements, lambda measured: 1e6 * measured["cpu_seconds"] / measured["messages"])
        frozen = median(measurements, lambda measured: 100 * measured["frozen_seconds"] / measured["seconds"])
        spread = f"{min(rates):,.0f}..{max(rates):,.0f}"
        print(f"  {name:14}{statistics.median(rates):12,.0f}{spread:>18}{ratio:>12}{cpu:13.2f}"
              f"{100 * median(measurements, size):21.1f}{frozen:10.1f}{measurements[-1]['resident_kib']:9}"
              f"  {sum(measured['checked'] for measured in measurements):8}")


def paired(results, name):
    """How many times a server's messages wirelet has, as text."""
    if name == "wirelet" or "wirelet" not in results:
        return ""
    return f"{ratio_to(results, name):.2f}"


def ratio_to(results, name):
    """How many times a server's messages wirelet has: the median of the rounds' ratios."""
    pairs = zip(results["wirelet"], results[name])
    return statistics.median(rate(ours) / rate(theirs) for ours, theirs in pairs)


def judge(results, required):
    """What is missing to the required ratio, or None. The better peer is the one with more messages."""
    peers = [name for name in results if name != "wirelet"]
    best = max(peers, key=lambda name: median(results[name], rate))
    ratio = ratio_to(results, best)
    ours, theirs = median(results["wirelet"], size), median(results[best], size)
    print(f"  wirelet has {ratio:.2f} times the messages of the better peer ({best}); answers {100 * ours:.1f} % of plain, "
          f"the peer's {100 * theirs:.1f} %")
    if required is None:
        return None
    if ratio < required:
        return f"{ratio:.2f} times {best}'s messages, {required} are required"
    if ours > theirs:
        return f"answers of {100 * ours:.1f} % of plain, {best}'s are of {100 * theirs:.1f} %"
    return None


def parse():
    """The command line."""
    def names(allowed):
        return lambda text: [check(word, allowed) for word in text.split(",")]

    def check(word, allowed):
        if word not in allowed:
            raise argparse.ArgumentTypeError(f"{word}: one of {', '.join(allowed)} is expected")
        return word

    def numbers(text):
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=names(SETTINGS), default=["browser", "reset", "takeover"],
                        help=f"some of {','.join(SETTINGS)}; default: all but plain")
    parser.add_argument("--servers", type=names(("wirelet", "bun", "sockudo")), default=["wirelet", "bun", "sockudo"])
    parser.add_argument("--connections", type=numbers, default=[16], help="default: 16")
    parser.add_argument("--in-flight", type=numbers, default=[1, 16], help="messages on each connection; default: 1,16")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each server in each row (default: 9)")
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each (default: 1.5)")
    parser.add_argument("--wirelet", metavar="MODE", help="how wirelet compresses, as for `wirelet serve --compress=MODE`")
    parser.add_argument("--level", nargs=1, default=[], help="wirelet's level, 1 to 9 (default: its own)")
    parser.add_argument("--require", type=float, metavar="RATIO", help="fail below this many times the better peer")
    return parser.parse_args()


def cli():
    """Runs the comparison; returns the exit status."""
    options = parse()
    if len(os.sched_getaffinity(0)) < 2 or not shutil.which("taskset") or not shutil.which("npm"):
        print("skipped: two cores, taskset and npm are needed")
        return SKIPPED
    names = [name for name in NAMES if name.split(",")[0] in options.servers]
    rig = Rig()
    print("\n".join(versions(names)))
    print(f"load when it began: {os.getloadavg()[0]:.2f}")
    missing = []
    for setting in options.settings:
        print(f"\n== {setting}: {SETTINGS[setting]}")
        running = {name: rig.start(name, rig.server(name, setting, options)) for name in names}
        for connections in options.connections:
            for in_flight in options.in_flight:
                results = turns(rig, running, setting, connections, in_flight, options)
                if (connections, in_flight) == (options.connections[0], options.in_flight[0]):
                    for name in running:
                        print(f"  {name:14}{results[name][0]['extension'] or 'no extension'}")
                show(results, connections, in_flight)
                if "wirelet" in names and len(names) > 1 and (problem := judge(results, options.require)):
                    missing.append(f"{setting}, {connections} × {in_flight}: {problem}")
        for server in running.values():
            server.stop()
    for line in missing:
        print(f"FAILED  {line}")
    return 1 if missing else 0


if __name__ == "__main__":
    main(cli)
