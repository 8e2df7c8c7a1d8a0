#!/usr/bin/env python3
"""Runs Autobahn|Testsuite against wirelet's servers and clients and compares every verdict with the expected results.

    python3 conformance/autobahn.py all                       server and client, every case
    python3 conformance/autobahn.py server --cases '1.*,7.1.*'  some cases of one role
    python3 conformance/autobahn.py all --shard ci            the quick list: every subsection but those of 9
    python3 conformance/autobahn.py all --shard rest          what the quick list leaves out
    python3 conformance/autobahn.py server --url ws://127.0.0.1:8080/ws   a server that already runs
    python3 conformance/autobahn.py client --client COMMAND   another client: called as COMMAND URL AGENT
    python3 conformance/autobahn.py device                    the firmware in QEMU, 4 KiB of buffer, chunk by chunk
    python3 conformance/autobahn.py device --firmware ELF     another server in QEMU, see conformance/examples.py
    python3 conformance/autobahn.py embedded-client           the microcontrollers' client, on this machine
    python3 conformance/autobahn.py device-client             the same client in the firmware in QEMU
    python3 conformance/autobahn.py all --bless               write the expected results

Exit status 0 only if every case ran, none is FAILED, NON-STRICT, UNIMPLEMENTED (but for what the role declines, see DECLINED)
or badly closed, and all is as expected.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time

from firmware import HOST, Device, build_firmware
from harness import HANG, HERE, ROOT, Failure, Process, cache_folder, cache_lock, cargo_build, free_port, main, run

# The sections of this project's bar.
SECTIONS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13)

# What CI always runs: every subsection of 1-7, 10, 12 and 13. Of 6.4, whose cases wait a second each, two; of 12 and 13, whose
# cases send a thousand messages each, those with short messages, whole and in fragments.
CI_SHARD = """
    1.* 2.* 3.* 4.* 5.*
    6.1.* 6.2.* 6.3.* 6.4.1 6.4.3
    6.5.1 6.5.5 6.6.1 6.6.2 6.6.11 6.7.1 6.7.4 6.8.1 6.8.2 6.9.1 6.9.4 6.10.1 6.10.3 6.11.1 6.11.5 6.12.1 6.12.8
    6.13.1 6.13.5 6.14.1 6.14.10 6.15.1 6.16.1 6.16.3 6.17.1 6.17.5 6.18.1 6.18.5 6.19.1 6.19.5 6.20.1 6.20.7
    6.21.1 6.21.8 6.22.1 6.22.34 6.23.1 6.23.7
    7.* 10.*
    12.*.1 12.*.11 12.1.4 13.*.1 13.*.11 13.3.4 13.7.3
""".split()

# permessage-deflate. The boards' roles run these sections when they are named (--cases '12.*,13.*').
COMPRESSION = (12, 13)
# By role, the cases that it does not agree to in the opening handshake, since its windows are smaller. The suite calls that
# UNIMPLEMENTED, and a case here that is anything else fails the run as well.
DECLINED = {}

AGENT = "wirelet"
# What `all` means, and what needs more than the workspace: QEMU, a board.
ROLES = ("server", "client")
BOARDS = ("device", "embedded-client", "device-client")
CLIENTS = ("client", "embedded-client", "device-client")
# Connections at once that the firmware is asked for: half of its eight sockets, since the last ones may still be closing.
DEVICE_JOBS = 4
VERDICTS = ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED")
GOOD = {"OK", "INFORMATIONAL"}

# Milliseconds for a thousand messages of 16 bytes to 128 KiB; then of 8 to 128 KiB in fragments.
COMPRESSION_COST = (400, 400, 420, 500, 600, 1600, 1600, 3000, 6000, 13000, 800, 1100, 2200, 3800, 7400, 7700, 7700, 8300)

# The suite's bounds measure the machine as well as the peer; no case that passes ever reaches them.
PATIENCE = 60
# Nothing moved for so long: a hang.
STALL = 1200.0


def number(case):
    """Sort key of a case: 6.10.1 comes after 6.9.4."""
    return tuple(int(part) for part in case.split("."))


def install():
    """Installs the suite unless it is there; returns its folder."""
    folder = cache_folder() / "autobahn"
    with cache_lock("autobahn"):
        run([HERE / "install-autobahn.sh", folder])
    return folder


def known_cases(suite):
    """Every case of our sections, asked from the suite itself."""
    listed = subprocess.run([suite / "cases"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return [case for case in listed.stdout.split() if number(case)[0] in SECTIONS]


def select(cases, patterns):
    """The cases that match a list of numbers and patterns like 7.1.*; a pattern without a case is a mistake."""
    chosen = set()
    for pattern in patterns:
        expression = re.compile(re.escape(pattern).replace(r"\*", ".*"))
        found = {case for case in cases if expression.fullmatch(case)}
        if not found:
            raise Failure(f"no case matches '{pattern}' (sections: {', '.join(map(str, SECTIONS))})")
        chosen |= found
    return sorted(chosen, key=number)


def cost(case):
    """About how many milliseconds a case takes, for an even split."""
    section, sub, *rest = number(case)
    if section in COMPRESSION:
        return COMPRESSION_COST[rest[0] - 1]
    if (section, sub) in ((9, 3), (9, 4)):  # 4 MiB in fragments of 64 bytes, 256 bytes, 1 KiB, ...
        return max(6000 >> (rest[0] - 1), 300)
    if section == 9:
        return 400
    if (section, sub) in ((6, 4), (5, 19), (5, 20)):
        return 1000
    return 5


def split(cases, count):
    """Shards of about the same cost."""
    shards = [[] for _ in range(max(1, min(count, len(cases))))]
    loads = [0] * len(shards)
    for case in sorted(cases, key=lambda case: (-cost(case), number(case))):
        lightest = loads.index(min(loads))
        shards[lightest].append(case)
        loads[lightest] += cost(case)
    return [sorted(shard, key=number) for shard in shards]


class Progress:
    """Counts the cases that all processes of a role have started."""

    def __init__(self, role, total):
        self._role, self._total, self._count = role, total, 0
        self._lock = threading.Lock()
        self.last = time.monotonic()

    def line(self, line):
        """Looks at a line of a suite's output."""
        self.last = time.monotonic()
        if not line.startswith("Running test case ID "):
            return
        with self._lock:
            self._count += 1
            if self._count == self._total or self._count % 25 == 0:
                print(f"  {self._role}: {self._count} of {self._total} cases", flush=True)


def watch(processes, progress):
    """Waits until all of them have ended; a run in which nothing moves any more is stopped."""
    while any(process.status is None for process in processes):
        time.sleep(0.05)
        if time.monotonic() - progress.last > STALL:
            hung = next(process for process in processes if process.status is None)
            raise Failure(f"nothing moved for {STALL:.0f} s, {hung.name} still runs\n{hung.tail()}")
    for process in processes:
        if process.wait():
            raise Failure(f"{process.name} ended with status {process.status}\n{process.tail()}")


def write_spec(folder, shard, extra):
    """A folder for one process of the suite with its specification."""
    folder.mkdir(parents=True)
    spec = {
        "outdir": str(folder),
        "cases": shard,
        "exclude-cases": [],
        "exclude-agent-cases": {},
        "options": {"openHandshakeTimeout": PATIENCE, "closeHandshakeTimeout": PATIENCE},
        **extra,
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=1))
    return folder / "spec.json"


def wstest(suite, mode, spec, name, progress):
    """Starts one process of the suite."""
    command = [suite / "wstest", "--mode", mode, "--webport", "0", "--spec", spec]
    environment = {**os.environ, "AUTOBAHN_PATIENCE": str(PATIENCE)}
    return Process(name, command, on_line=progress.line, env=environment, cwd=spec.parent)


def test_server(role, suite, url, shards, reports):
    """The suite's clients, one for each shard, against the server at the address."""
    progress = Progress(role, sum(map(len, shards)))
    clients = []
    for index, shard in enumerate(shards):
        servers = [{"agent": AGENT, "url": url, "options": {"serverConnectionDropTimeout": PATIENCE}}]
        spec = write_spec(reports / str(index), shard, {"servers": servers})
        clients.append(wstest(suite, "fuzzingclient", spec, f"fuzzing client {index}", progress))
    watch(clients, progress)


def start_fuzzing_server(suite, folder, shard, name, progress):
    """One of the suite's servers on a port of its own; another port if somebody was faster."""
    for attempt in range(5):
        port = free_port()
        url = f"ws://127.0.0.1:{port}"
        shutil.rmtree(folder, ignore_errors=True)
        server = wstest(suite, "fuzzingserver", write_spec(folder, shard, {"url": url}), name, progress)
        try:
            server.wait_for_port(port)
            return server, url
        except Failure:
            if server.status is None or attempt == 4:
                raise


def program(*command):
    """How a client is started that is a program."""
    return lambda name, url: Process(name, [*command, url, AGENT])


def firmware(elf):
    """How the client in the firmware is started."""

    def boot(name, url):
        device = Device(elf, autobahn=url.replace("127.0.0.1", HOST))
        device.name = name
        return device

    return boot


def test_client(role, suite, client, shards, reports):
    """The client, one process for each shard, against one of the suite's servers each: `client(name, url)` starts it."""
    progress = Progress(role, sum(map(len, shards)))
    servers = [start_fuzzing_server(suite, reports / str(index), shard, f"fuzzing server {index}", progress)
               for index, shard in enumerate(shards)]
    clients = [client(f"client {index}", url) for index, (_, url) in enumerate(servers)]
    try:
        watch(clients, progress)
    finally:
        for server, _ in servers:
            server.stop()


def merge(reports):
    """One index of all shards' results: case -> (verdict, close verdict, close code, report)."""
    merged = {}
    for index in sorted(reports.glob("*/index.json")):
        for results in json.loads(index.read_text()).values():
            for case, result in results.items():
                merged[case] = {**result, "reportfile": f"{index.parent.name}/{result['reportfile']}"}
    merged = {case: merged[case] for case in sorted(merged, key=number)}
    (reports / "index.json").write_text(json.dumps({AGENT: merged}, indent=1) + "\n")
    return merged


def outcome(result):
    """What the expected results hold of a case."""
    return [result["behavior"], result["behaviorClose"], result["remoteCloseCode"]]


def verdict(result):
    """The worse one of a case's two verdicts, as one of VERDICTS."""
    both = {result["behavior"], result["behaviorClose"]}
    if result["behaviorClose"] == "INFORMATIONAL" and result["behavior"] == "OK":
        return "OK"
    for name in ("UNIMPLEMENTED", "NON-STRICT"):
        if name in both and both <= {name, *GOOD}:
            return name
    if not both <= GOOD:
        return "FAILED"  # as are WRONG CODE, UNCLEAN and FAILED BY CLIENT
    return "INFORMATIONAL" if "INFORMATIONAL" in both else "OK"


def print_table(role, results):
    """Counts by section and verdict."""
    table = collections.defaultdict(collections.Counter)
    for case, result in results.items():
        table[number(case)[0]][verdict(result)] += 1
    print(f"\n{role:>16}" + "".join(f"{name:>15}" for name in VERDICTS))
    total = sum(table.values(), collections.Counter())
    for name, row in [*sorted(table.items()), ("all", total)]:
        print(f"{name:>16}" + "".join(f"{row[verdict_name]:15}" for verdict_name in VERDICTS))


def problems(results, cases, declined, expected):
    """Everything that keeps a role from passing, a line each. Without `expected`, only what no blessing can excuse."""
    for case in cases:
        result = results.get(case)
        if result is None:
            yield f"{case}: did not run"
            continue
        got = outcome(result)
        shown = f"{got[0]}, close {got[1]}, code {got[2]}"
        if got[1] not in GOOD or got[0] not in ({"UNIMPLEMENTED"} if case in declined else GOOD):
            yield f"{case}: {shown} ({result['reportfile']})"
        elif expected is not None and case not in expected:
            yield f"{case}: {shown}, but there is no expected result; see --bless"
        elif expected is not None and expected[case] != got:
            wanted = expected[case]
            yield f"{case}: {shown}, expected {wanted[0]}, close {wanted[1]}, code {wanted[2]} ({result['reportfile']})"


def load_expected(path, every_case):
    """The checked-in results of a role."""
    if not path.is_file():
        raise Failure(f"{path} is missing; --bless writes it")
    expected = json.loads(path.read_text())
    unknown = sorted(set(expected) - set(every_case), key=number)
    if unknown:
        raise Failure(f"{path} names cases that do not exist: {', '.join(unknown)}")
    return expected


def write_expected(path, results):
    """Writes a role's results, a line for each case."""
    previous = json.loads(path.read_text()) if path.is_file() else {}
    merged = {**previous, **{case: outcome(result) for case, result in results.items()}}
    lines = [f"{json.dumps(case)}: {json.dumps(merged[case])}" for case in sorted(merged, key=number)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def start_server(role, programs, options):
    """The server of a role, listening."""
    if role == "device":
        return Device(options.firmware)
    port = free_port()
    server = Process("wirelet serve", [programs["server"], "serve", "--addr", f"127.0.0.1:{port}", f"--compress={options.compress}"])
    server.port = port
    server.wait_for_port(port, HANG)
    return server


def run_role(role, suite, programs, cases, options):
    """Runs the cases of a role; returns their results."""
    reports = options.reports.resolve() / role
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    shards = split(cases, min(options.jobs, DEVICE_JOBS) if role == "device" else options.jobs)
    print(f"{role}: {len(cases)} cases in {len(shards)} processes", flush=True)
    if role in CLIENTS:
        test_client(role, suite, programs[role], shards, reports)
    elif options.url:
        test_server(role, suite, options.url, shards, reports)
    else:
        with start_server(role, programs, options) as server:
            try:
                test_server(role, suite, f"ws://127.0.0.1:{server.port}/ws", shards, reports)
            finally:
                if server.status is not None:
                    print(f"{server.name} ended with status {server.status}:\n{server.tail()}", flush=True)
    return merge(reports)


def judge(role, results, cases, every_case, options):
    """Prints a role's table and its problems; returns whether it passed."""
    path = options.expected / f"{role}.json"
    print_table(role, results)
    declined = set(select(every_case, DECLINED.get(role, []))) & set(cases)
    if declined:
        print(f"{role}: {len(declined)} cases declined, as they should be: {', '.join(DECLINED[role])}")
    found = list(problems(results, cases, declined, None if options.bless else load_expected(path, every_case)))
    for problem in found:
        print(f"  {problem}")
    if found:
        print(f"{role}: {len(found)} of {len(cases)} cases are not as they should be; reports: {options.reports / role}")
        return False
    if options.bless:
        write_expected(path, results)
        print(f"{role}: {len(cases)} cases written to {path}")
    else:
        print(f"{role}: {len(cases)} cases, all as expected")
    return True


def programs_for(roles, options):
    """Builds what the roles need."""
    binaries = []
    if "server" in roles and not options.url:
        binaries.append(("wirelet-cli", "wirelet"))
    if "client" in roles and not options.client:
        binaries.append(("conformance", "autobahn-client"))
    built = cargo_build(binaries, options.profile) if binaries else {}
    programs = {"server": built.get("wirelet"), "client": program(built.get("autobahn-client"), options.compress)}
    if "embedded-client" in roles and not options.client:
        board = cargo_build([("wirelet-linux", "autobahn")], options.profile, ROOT / "boards" / "linux")
        programs["embedded-client"] = program(board["autobahn"])
    if "device-client" in roles and not options.client:
        programs["device-client"] = firmware(build_firmware())
    if options.client:
        programs.update(dict.fromkeys(CLIENTS, program(*shlex.split(options.client))))
    return programs


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=[*ROLES, *BOARDS, "all"])
    parser.add_argument("--cases", help="numbers and patterns, separated by commas: '1.*,7.1.*'")
    parser.add_argument("--shard", choices=["ci", "rest"], help="a fixed list of cases, or all others")
    parser.add_argument("--url", help="test the server at this address")
    parser.add_argument("--client", metavar="COMMAND", help="test this client: called as COMMAND URL AGENT")
    parser.add_argument("--firmware", metavar="ELF", help="what `device` boots (default: that of boards/qemu-virt)")
    parser.add_argument("--compress", metavar="MODE", default="shared",
                        help="how wirelet compresses, as for `wirelet serve` (default: shared)")
    parser.add_argument("--bless", action="store_true", help="write the expected results")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--profile", default="release", help="cargo profile of what is tested (default: release)")
    parser.add_argument("--expected", type=pathlib.Path, default=HERE / "expected", help="folder of expected results")
    parser.add_argument("--reports", type=pathlib.Path, default=HERE / "reports", help="folder for the suite's reports")
    options = parser.parse_args()
    if options.cases and options.shard:
        parser.error("--cases and --shard exclude each other")
    if options.jobs < 1:
        parser.error("--jobs starts at 1")
    return options


def cli():
    """Runs what the command line asks for; returns the exit status."""
    options = parse()
    roles = ROLES if options.role == "all" else (options.role,)
    suite = install()
    every_case = known_cases(suite)
    cases = select(every_case, options.cases.split(",") if options.cases else ["*"])
    if options.role in BOARDS and not options.cases:
        cases = [case for case in cases if number(case)[0] not in COMPRESSION]
    if options.shard:
        quick = set(select(every_case, CI_SHARD))
        cases = [case for case in cases if (case in quick) == (options.shard == "ci")]
    programs = programs_for(roles, options)
    started = time.monotonic()
    passed = [judge(role, run_role(role, suite, programs, cases, options), cases, every_case, options)
              for role in roles]
    print(f"autobahn: {sum(passed)} of {len(roles)} roles passed in {time.monotonic() - started:.0f} s")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    main(cli)
