#!/usr/bin/env python3
"""Instructions as callgrind counts them: of an echo through the tokio driver, on real sockets.

    python3 bench/instructions/run.py echo              instructions of an echoed message, wirelet and tokio alone
    python3 bench/instructions/run.py echo --profile    and where they are spent: functions, lines of source
    python3 bench/instructions/run.py echo --profile --case wirelet.16 --top 60

The machine may be busy: instructions are counted, not time. Exit status 1 when something fails, 77 where valgrind is missing.
"""

import argparse
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "conformance"))
sys.dont_write_bytecode = True

import callgrind  # noqa: E402
import echo  # noqa: E402
from harness import cargo_build, main  # noqa: E402

PACKAGE = "wirelet-bench-instructions"
SKIPPED = 77
# Name -> program, messages in flight on each connection, whether it echoes bytes without a protocol.
ECHOES = {
    "tokio.1": ("tokio_echo", 1, True),
    "tokio.16": ("tokio_echo", 16, True),
    "wirelet.1": ("wirelet_echo", 1, False),
    "wirelet.16": ("wirelet_echo", 16, False),
}


def measure_echoes(wanted, options):
    """Counts of an echoed message by the name of the case."""
    programs = cargo_build([(PACKAGE, "wirelet_echo"), (PACKAGE, "tokio_echo")], "release", HERE)
    folder = HERE / "target" / "callgrind"
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for name in wanted:
        program, in_flight, raw = ECHOES[name]
        print(f"... {name}", file=sys.stderr, flush=True)
        counts[name] = echo.instructions(programs[program], in_flight, raw, folder)
    return counts


def profile(name, counts, top):
    """Prints where a case's instructions are spent."""
    print(f"\n{name}: {counts.total:.1f} instructions a message")
    for title, table in (("a function and all it calls", counts.all), ("a function itself", counts.own)):
        print(f"\n{'instructions':>14}    %  {title}")
        for function, cost in table.most_common(top):
            print(f"{cost:14.1f}{100 * cost / counts.total:5.0f}  {function}")
    print(f"\n{'instructions':>14}    %  line of source (0: none is known), in the function into which it was inlined")
    for (function, file, line), cost in counts.lines.most_common(top):
        print(f"{cost:14.1f}{100 * cost / counts.total:5.0f}  {shortened(file)}:{line}  {function}")


def shortened(file):
    """A file's name from its package's on."""
    return re.sub(r"^.*/(?=(?:crates|bench|library)/)|^.*/registry/src/[^/]*/", "", file)


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["echo"], help="what is counted")
    parser.add_argument("--case", action="append", metavar="NAME", help=f"only this one; may be repeated: {', '.join(ECHOES)}")
    parser.add_argument("--profile", action="store_true", help="where the instructions are spent")
    parser.add_argument("--top", type=int, default=30, metavar="N", help="with --profile: rows of each table (default: 30)")
    options = parser.parse_args()
    for name in options.case or []:
        if name not in ECHOES:
            parser.error(f"there is no case {name}; there are {', '.join(ECHOES)}")
    return options


def cli():
    """Runs it; returns the exit status."""
    options = parse()
    if not callgrind.version():
        print("instructions: missing: valgrind (Debian: apt-get install valgrind)")
        return SKIPPED
    wanted = options.case or list(ECHOES)
    counts = measure_echoes(wanted, options)
    print(f"\ninstructions of an echoed message of {len(echo.PAYLOAD)} bytes, {echo.CONNECTIONS} connections")
    for name in wanted:
        print(f"  {name:14}{counts[name].total:10.1f}")
    if options.profile:
        for name in wanted:
            profile(name, counts[name], options.top)
    return 0


if __name__ == "__main__":
    main(cli)
