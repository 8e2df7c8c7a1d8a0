"""The core's operations, from memory to memory, all in one run of the program `core_operations`."""

import callgrind
from harness import Failure, Process

HANG = 120  # seconds: a guard, not an expectation; a run takes one
NOTHING = "nothing"  # the operation that does nothing: what counting costs


def instructions(program, folder):
    """What each operation costs, by its name."""
    out = folder / "core"
    for old in folder.glob("core.*"):
        old.unlink()
    command = callgrind.command(out, "--toggle-collect=core_operations::counted*", "--dump-after=core_operations::dump", program)
    with Process("core", command, env=callgrind.environment()) as run:
        if run.wait(HANG):
            raise Failure(f"core ended with status {run.status}\n{run.tail()}")
    repeated, names = int(run.lines[0]), run.lines[1:]
    # Two parts for each operation: the first call, which may look for what the processor has, and the others.
    parts = {name: callgrind.Counts.read(f"{out}.{2 * at + 2}") for at, name in enumerate(names)}
    nothing = parts.pop(NOTHING)
    return {name: counts.per(nothing, repeated) for name, counts in parts.items()}
