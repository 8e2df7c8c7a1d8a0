#!/usr/bin/env python3
"""WebSocket servers side by side, each on one core, in turns.

    python3 bench/servers/run.py --servers uws,rawtokio,wirelet
    python3 bench/servers/run.py --servers uws,wirelet --rows 100x1x20,100x16x20 --rounds 5
    python3 bench/servers/run.py --servers uws,wirelet --extra 'before=/tmp/before/wirelet_server {port} {mode}'
"""

import argparse
import dataclasses
import json
import pathlib
import resource
import statistics
import subprocess
import sys

import paths
from harness import Failure, main
from servers import LOAD_CORE, SERVER_CORE, SERVERS, Server, build, start

ECHOES = ("1x1x20", "1x16x20", "100x1x20", "1000x1x20", "100x16x20", "1000x16x20", "100x1x512", "100x16x512", "100x1x4096",
          "100x16x4096", "100x1x65536", "100x16x65536", "10x1x1048576")


def measure(programs, server, row, seconds):
    """One measurement: the freeze probe, then the load on a server that was started for it."""
    with start(server, programs, "echo") as process:
        probe = output(["taskset", "-c", SERVER_CORE, programs["freezes"]])
        connections, in_flight, size = row.split("x")
        load = ["taskset", "-c", LOAD_CORE, programs["load"], "--mode", "raw" if server.raw else "echo", "--port", process.port,
                "--pid", process.pid, "--conns", connections, "--inflight", in_flight, "--size", size, "--secs", seconds]
        try:
            return {"probe": probe, **output(load)}
        except Failure as failure:
            raise Failure(f"{server.title}, {row}: {failure}\n{process.tail()}") from None


def output(command):
    """What a program prints as JSON."""
    command = [str(word) for word in command]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if result.returncode:
        raise Failure(f"{command[3]} ended with status {result.returncode}: {result.stdout.strip()} {result.stderr.strip()}")
    return json.loads(result.stdout)


def cpu(sample):
    """The server's CPU time for a message, in microseconds."""
    return 1e6 * sample["server_cpu_seconds"] / sample["messages"]


def rate(sample):
    """Messages a second."""
    return sample["messages"] / sample["seconds"]


def show(row, samples, base):
    """Prints the table of one row."""
    print(f"\n### {row} (connections x in flight x bytes)\n")
    print(f"| server | CPU us/message | min..max | to {base} | messages/s | p50 us | p99 us | p99.9 us | load's core | frozen in run, % | "
          "probe, ms of 150 |\n|---|---|---|---|---|---|---|---|---|---|---|")
    for title, taken in samples.items():
        middle = lambda figure: statistics.median(map(figure, taken))  # noqa: E731
        cpus = [cpu(sample) for sample in taken]
        ratio = statistics.median(cpu(a) / cpu(b) for a, b in zip(taken, samples[base])) if base in samples else float("nan")
        probes = [sample["probe"]["frozen_ms"] for sample in taken]
        print(f"| {title} | {statistics.median(cpus):.3f} | {min(cpus):.3f}..{max(cpus):.3f} | {ratio:.3f} | {middle(rate):,.0f} | "
              f"{middle(lambda s: s['p50_us']):.1f} | {middle(lambda s: s['p99_us']):.1f} | {middle(lambda s: s['p999_us']):.1f} | "
              f"{middle(lambda s: s['load_cpu_seconds'] / s['seconds']):.2f} | "
              f"{middle(lambda s: 100 * s['frozen_seconds'] / s['seconds']):.1f} | {statistics.median(probes):.1f} (max {max(probes):.1f}) |",
              flush=True)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="uws,rawtokio,wirelet", type=lambda text: text.split(","))
    parser.add_argument("--extra", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rows", default=list(ECHOES), type=lambda text: text.split(","))
    parser.add_argument("--rounds", default=9, type=int)
    parser.add_argument("--seconds", default=1.0, type=float)
    parser.add_argument("--json", type=pathlib.Path)
    return parser.parse_args()


def compare():
    """Builds, measures, prints."""
    options = parse()
    unknown = [name for name in options.servers if name not in SERVERS]
    if unknown:
        raise Failure(f"no server is called {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    servers = [SERVERS[name] for name in options.servers]
    for word in options.extra:
        name, _, command = word.partition("=")
        servers.append(Server(name, name, "given", command))
    programs = build(servers)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    everything = {}
    for row in options.rows:
        samples = {server.title: [] for server in servers}
        for index in range(options.rounds):
            shift = index % len(servers)
            for server in servers[shift:] + servers[:shift]:
                samples[server.title].append(measure(programs, server, row, options.seconds))
                print(f"\r{row} round {index + 1} {server.title}   ", end="", file=sys.stderr, flush=True)
        print("\r", end="", file=sys.stderr)
        everything[row] = samples
        show(row, samples, servers[0].title)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))
    return 0


if __name__ == "__main__":
    main(compare)
