#!/usr/bin/env python3
"""WebSocket servers side by side, each on one core, in turns: what a message, a connection and a handshake cost them.

  python3 bench/servers/run.py                          everything: all servers, all rows; about an hour
  python3 bench/servers/run.py --goals                  wirelet, uWebSockets and raw tokio, and which goals are reached; a quarter of an hour
  python3 bench/servers/run.py --servers uws,wirelet --rows 100x1x20,100x16x20 --rounds 3         a quick look; half a minute
  python3 bench/servers/run.py --servers uws,wirelet --rows echo --baseline HEAD~3      two revisions beside each other
  python3 bench/servers/run.py --for 200                stops after 200 seconds of measuring, ...
  python3 bench/servers/run.py --resume --for 200       ... goes on, as often as it takes, with what was asked for at first, ...
  python3 bench/servers/run.py --resume --record        ... and copies the report to bench/results/<date>/

It builds what it needs into bench/servers/target and bench/servers/work, prints a report in Markdown, and leaves it with plots
and all figures below bench/servers/work/report. README.md in this folder says what each row measures and how to read it.

Nothing else should run on the machine. Needs Linux with two cores, cargo, and for peers that are not written in Rust:
uWebSockets a C++ compiler, make and zlib's headers; libwebsockets a C compiler and its headers, or Debian's apt-get; Bun npm.

Exit status: 0 done; 1 something did not build, start or answer (it is named), or with --require a goal was missed; 75 the time
of --for was over before all was measured."""

import argparse
import datetime
import hashlib
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import machine
import paths
import report
from harness import Failure, main
from log import Log
from progress import Progress
from rows import GOAL_ROWS, GROUPS, LOAD_CORE, ROWS, SERVER_CORE
from servers import MAIN, SERVERS, baseline, build, command, extra, start

UNFINISHED = 75
PROBE_MS = 150
GOAL_ROUNDS, ROUNDS, PEER_ROUNDS = 9, 3, 3
# Open files that a server of the largest row may have, and how many of any limit are for other things than connections.
DESCRIPTORS, OTHER_FILES = 60_000, 500


def parse(words=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     usage="run.py [options]")
    what = parser.add_argument_group("what is measured")
    what.add_argument("--servers", type=names("server", SERVERS), metavar="A,B", help=f"which of: {', '.join(SERVERS)}")
    what.add_argument("--rows", type=names("row or group", {**GROUPS, **ROWS}), metavar="A,B",
                      help=f"which rows ({', '.join(ROWS)}), or groups of them ({', '.join(GROUPS)})")
    what.add_argument("--goals", action="store_true",
                      help=f"the rows that there are goals for, of {', '.join(MAIN)}, in {GOAL_ROUNDS} rounds; prints what is reached")
    what.add_argument("--extra", action="append", default=[], metavar="NAME=COMMAND",
                      help="one more server, which is built already; {port}, {mode} (echo, broadcast or deflate) and {workers} in its "
                           "command are filled in; it takes part in the rows that its command has placeholders for")
    what.add_argument("--baseline", metavar="REVISION", help="also wirelet's server of that revision, built with this folder's source")
    how = parser.add_argument_group("how long")
    how.add_argument("--rounds", type=int, metavar="N", help=f"rounds, in each of which every server has every row (default {ROUNDS})")
    how.add_argument("--peer-rounds", type=int, metavar="N",
                     help=f"as many of them for servers other than {', '.join(MAIN)}, --extra and --baseline (default at most {PEER_ROUNDS})")
    how.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each measurement, after 0.3 s of warming up (default 1)")
    how.add_argument("--for", type=float, dest="time", metavar="S", help="stop after so many seconds of measuring; --resume goes on")
    how.add_argument("--resume", action="store_true", help="go on with the last run; what failed is tried again")
    out = parser.add_argument_group("what comes out")
    out.add_argument("--report", action="store_true", help="measure nothing: report on the last run as far as it is")
    out.add_argument("--record", action="store_true", help="copy the report to bench/results/<date>/ when all is measured; with --report also before")
    out.add_argument("--require", action="store_true", help="exit status 1 when a goal is missed")
    options = parser.parse_args(words)
    if options.resume and (options.servers or options.rows or options.goals or options.extra or options.baseline or options.rounds):
        parser.error("--resume goes on with what was asked for at first")
    return options


def names(what, known):
    """A type for argparse: names, separated by commas, all of which are known."""
    def check(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"there is no {what} {word}; there are {', '.join(known)}")
        return words
    return check


def header(options):
    """What a new run measures, as it stands in the first line of its log."""
    rounds = options.rounds or (GOAL_ROUNDS if options.goals else ROUNDS)
    rows = [key for word in options.rows or (GOAL_ROWS if options.goals else ROWS)
            for key in ([row.key for row in ROWS.values() if row.group == word] if word in GROUPS else [word])]
    return {
        "servers": options.servers or list(MAIN if options.goals else SERVERS),
        "extra": options.extra,
        "baseline": options.baseline and baseline(options.baseline).name.removeprefix("wirelet-"),
        "rows": list(dict.fromkeys(rows)),
        "rounds": rounds,
        "peer_rounds": min(options.peer_rounds or PEER_ROUNDS, rounds),
        "seconds": options.seconds,
    }


def compared(header):
    """The servers of a run."""
    others = [*map(extra, header["extra"]), *([baseline(header["baseline"])] if header["baseline"] else [])]
    return [*(SERVERS[name] for name in header["servers"]), *others]


def plan(header, servers):
    """(round, row, server) of all measurements, in their order: who is first moves on from round to round."""
    jobs = []
    for index in range(header["rounds"]):
        for row in (ROWS[key] for key in header["rows"]):
            able = [server for server in servers if row.takes_part(server)]
            shift = index % max(len(able), 1)
            for server in able[shift:] + able[:shift]:
                main_one = server.name in MAIN or server.name not in SERVERS
                if index < min(row.rounds, header["rounds"] if main_one else header["peer_rounds"]):
                    jobs.append((index, row, server))
    return jobs


def measure(programs, server, row, seconds):
    """One measurement: what the freeze probe says, then what the load does."""
    probe = freezes(programs)
    time_options = ["--seconds", seconds] if row.fixed_time else []
    load = ["taskset", "-c", row.cores[1], programs["load"], *allowed(row.load), *time_options]
    if row.client:
        words = {**programs, "direction": row.client, "size": row.load[2]}
        words = ["taskset", "-c", row.cores[0], *command(server.client, words)]
        return {"probe": probe, "load": output([*load, "--command", *words])}
    with start(server, programs, row.cores[0], row.mode, row.workers) as process:
        raw = ["--raw"] if server.raw else []
        try:
            return {"probe": probe, "load": output([*load, *raw, "--port", process.port, "--pid", process.pid])}
        except Failure as failure:
            raise Failure(f"{failure}\n{process.tail()}" if process.lines else str(failure)) from None


def freezes(programs):
    """How long the server's core stood still just now, by a program with real-time priority where that is allowed."""
    probe = ["taskset", "-c", SERVER_CORE, programs["freezes"], PROBE_MS]
    try:
        return output(["chrt", "-f", "10", *probe])
    except (Failure, FileNotFoundError):
        return output(probe)


def output(words):
    """What a program prints as JSON."""
    words = list(map(str, words))
    try:
        result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise Failure("no result within two minutes") from None
    if result.returncode:
        raise Failure(result.stderr.strip() or f"exit status {result.returncode}")
    return json.loads(result.stdout)


def work(log, jobs, programs, limit):
    """Measures what the log does not have yet, until the time is over, and tells what failed."""
    done = log.done()
    jobs = [job for job in jobs if (job[0], job[1].key, job[2].name) not in done]
    progress, began = Progress(len(jobs)), time.monotonic()
    for index, row, server in jobs:
        if limit and time.monotonic() - began > limit:
            break
        progress.begin(f"round {index + 1}, {row.group} {row.title}, {server.title}")
        sample = {"round": index, "row": row.key, "server": server.name, "at": datetime.datetime.now().isoformat(timespec="seconds")}
        try:
            log.add({**sample, **measure(programs, server, row, log.header["seconds"])})
        except Failure as failure:
            progress.say(f"{server.title}, {row.group} {row.title}: {failure}")
            log.add({**sample, "error": str(failure)})
        progress.end()
    progress.close()


def raise_limit():
    """Lets servers and load have as many connections as the largest row, where that is allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(DESCRIPTORS, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def allowed(words):
    """The words for the load, with no more connections than there may be open files in a process."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES
    words = list(words)
    if "--connections" in words:
        at = words.index("--connections") + 1
        words[at] = min(words[at], limit)
    return words


def digest(programs):
    """What was measured: a hash of each program."""
    return {name: hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()[:16] for name, path in sorted(programs.items())}


def opened(options):
    """The log of this run, with its programs built."""
    last = Log.resume() if options.resume or options.report else None
    asked = last.header if last else header(options)
    if options.report:
        return last, {}
    servers = compared(asked)
    programs = build(servers)
    if last is None:
        return Log.begin({**asked, "machine": machine.describe(servers), "programs": digest(programs)}), programs
    changed = [name for name, value in digest(programs).items() if last.header["programs"].get(name) != value]
    if changed:
        raise Failure(f"{', '.join(changed)} changed since the run began: begin a new one")
    return last, programs


def compare():
    """Builds, measures, reports; returns the exit status."""
    options = parse()
    log, programs = opened(options)
    raise_limit()
    servers = compared(log.header)
    jobs = plan(log.header, servers)
    if not options.report:
        work(log, jobs, programs, options.time)
    missing = {(index, row.key, server.name) for index, row, server in jobs} - log.done()
    failures = log.failures()
    if missing and not failures and not options.report:
        print(f"{len(jobs) - len(missing)} of {len(jobs)} measurements are done; --resume goes on", file=sys.stderr)
        return UNFINISHED
    written = report.write(log, servers, len(missing))
    print(written.text)
    if options.record and (options.report or not missing):
        record(written)
    if failures:
        lines = dict.fromkeys(f"{server} in {row}: {error}" for (_, row, server), error in failures.items())
        raise Failure("failed: " + "\n".join(lines))
    return 1 if options.require and written.missed else 0


def record(written):
    """Copies the report to where results are checked in."""
    folder = paths.RESULTS / datetime.date.today().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    for file in written.files:
        shutil.copy(file, folder)
    print(f"recorded in {folder.relative_to(paths.ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main(compare)
