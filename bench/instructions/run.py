#!/usr/bin/env python3
"""Instructions as callgrind counts them: of the core's operations, and of an echo through the tokio driver on real sockets.

    python3 bench/instructions/run.py                      all, beside the baselines in limits.toml
    python3 bench/instructions/run.py --check              exit status 1 where something is more than 3 % over its baseline
    python3 bench/instructions/run.py --record             what is counted now is the baseline from now on
    python3 bench/instructions/run.py echo --profile       and where they are spent: functions, lines of source
    python3 bench/instructions/run.py core --profile --case decode.20 --top 60
    python3 bench/instructions/run.py --list               the names of all cases

A case's profile says what one operation or message costs. A baseline that has become better by more than 3 % should be
recorded again, or what was gained can be lost unseen; `git diff` shows what --record has changed.

The machine may be busy: instructions are counted, not time. A run takes ten seconds, the first build a minute or two.

Exit status: 0 good; 1 over a limit, or something failed; 2 a wrong command line; 77 valgrind is missing, or with --check the
baselines are of another machine (another compiler, processor, glibc or valgrind).
"""

import argparse
import fnmatch
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "conformance"))
sys.dont_write_bytecode = True

import callgrind  # noqa: E402
import core  # noqa: E402
import echo  # noqa: E402
import limits  # noqa: E402
from harness import Failure, cargo_build, main  # noqa: E402

PACKAGE = "wirelet-bench-instructions"
SKIPPED = 77
# Name -> program, messages in flight on each connection, whether it echoes bytes without a protocol.
ECHOES = {
    "echo.tokio.1": ("tokio_echo", 1, True),
    "echo.tokio.16": ("tokio_echo", 16, True),
    "echo.wirelet.1": ("wirelet_echo", 1, False),
    "echo.wirelet.16": ("wirelet_echo", 16, False),
}
# A connection that is accepted, opened, used once and closed.
CONNECT = "echo.connect"
# Name -> of which two echoes it is the difference.
DIFFERENCES = {"echo.more_than_tokio.1": ("echo.wirelet.1", "echo.tokio.1")}


def measure(options):
    """Counts by the name of the case."""
    programs = cargo_build([(PACKAGE, name) for name in ("core_operations", "wirelet_echo", "tokio_echo")], "release", HERE)
    folder = HERE / "target" / "callgrind"
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    if options.what in ("core", "all"):
        progress("core")
        counts |= core.instructions(programs["core_operations"], folder)
    if options.what in ("echo", "all"):
        for name, (program, in_flight, raw) in ECHOES.items():
            if wanted(name, options):
                progress(name)
                counts[name] = echo.instructions(programs[program], in_flight, raw, folder)
        if wanted(CONNECT, options):
            progress(CONNECT)
            counts[CONNECT] = echo.opening(programs["wirelet_echo"], folder)
    progress("")
    counts = {name: each for name, each in counts.items() if wanted(name, options)}
    if not counts:
        raise Failure(f"no case is called {' or '.join(options.case)}; --list names all")
    return counts


def wanted(name, options):
    """Whether the command line asks for a case."""
    return not options.case or any(fnmatch.fnmatchcase(name, pattern) for pattern in options.case)


def progress(what):
    """Shows on a terminal what is counted now."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what and f'counting {what} ...'}", end="", file=sys.stderr, flush=True)


def numbers(counts):
    """Instructions by name, differences among them."""
    values = {name: each.total for name, each in counts.items()}
    for name, (more, less) in DIFFERENCES.items():
        if more in values and less in values:
            values[name] = values[more] - values[less]
    return values


def profile(name, counts, top):
    """Prints where a case's instructions are spent."""
    print(f"\n{name}: {counts.total:.1f} instructions")
    for title, table in (("a function and all it calls", counts.all), ("a function itself", counts.own)):
        # What calls everything is how the program begins.
        inner = [(function, cost) for function, cost in table.most_common() if cost < 0.999 * counts.total]
        rows(title, inner[:top], counts.total)
    lines = [(f"{shortened(file)}:{line}  {function}", cost) for (function, file, line), cost in counts.lines.most_common(top)]
    rows("line of source (0: none is known), and the function into which it was inlined", lines, counts.total)


def rows(title, table, total):
    """Prints names with their instructions and how much of all that is."""
    print(f"\n{'instructions':>14}    %  {title}")
    for name, cost in table:
        print(f"{cost:14.1f}{100 * cost / total:5.0f}  {name}")


def shortened(file):
    """A file's name from its package's on."""
    return re.sub(r"^.*/(?=(?:crates|bench|library)/)|^.*/registry/src/[^/]*/", "", file)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["core", "echo", "all"], default="all", help="what is counted (default: all)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="exit status 1 where something is over its limit")
    action.add_argument("--record", action="store_true", help="write what is counted into limits.toml")
    action.add_argument("--profile", action="store_true", help="where the instructions are spent")
    action.add_argument("--list", action="store_true", help="the names of all cases that have a baseline")
    parser.add_argument("--case", action="append", metavar="NAME", help="only this one; may be a pattern (decode.*), and repeated")
    parser.add_argument("--top", type=int, default=30, metavar="N", help="with --profile: rows of each table (default: 30)")
    return parser.parse_args()


def cli():
    """Runs it; returns the exit status."""
    options = parse()
    was, rules = limits.recorded()
    if options.list:
        print(*rules, sep="\n")
        return 0
    if not callgrind.version():
        print("instructions: missing: valgrind (Debian: apt-get install valgrind)")
        return SKIPPED
    counts = measure(options)
    values = numbers(counts)
    everything = options.what == "all" and not options.case
    if options.record:
        limits.record(values, everything)
    failed = limits.compare(values, everything)
    if options.profile:
        for name, each in counts.items():
            profile(name, each, options.top)
    if was != limits.machine() and not options.record:
        print(f"\nThe baselines are of another machine; nothing is judged.\n  recorded on: {was}\n  this is:     {limits.machine()}")
        return SKIPPED if options.check else 0
    if failed and options.check:
        print(f"\nFAILED  more instructions than the baseline and 3 %, no baseline, or not counted: {', '.join(failed)}\n"
              f"Where they are spent: python3 bench/instructions/run.py --profile --case {failed[0]}")
    return 1 if failed and options.check else 0


if __name__ == "__main__":
    main(cli)
