"""Runs scripts that print a line for each check, and adds up what they found."""

import subprocess
import sys

from harness import HERE, die_with_parent

SKIPPED = 77


def run_script(folder, name, arguments):
    """Runs a script, shows what it prints and counts its checks; returns (passed, failed, skipped)."""
    print(f"\n== {name}", flush=True)
    script = subprocess.Popen([sys.executable, HERE / folder / f"{name}.py", *arguments], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    passed = failed = 0
    try:
        for line in script.stdout:
            print(line, end="", flush=True)
            passed += line.startswith("ok  ")
            failed += line.startswith("FAILED  ")
        status = script.wait()
    finally:
        script.terminate()
        script.wait()
    if status == SKIPPED:
        return passed, failed, 1
    if status and not failed:
        print(f"FAILED  {name}: exit status {status}", flush=True)
        failed = 1
    return passed, failed, 0


def run_scripts(folder, names, arguments):
    """Runs scripts of a folder; returns the exit status: 77 where none of them could run."""
    results = [run_script(folder, name, arguments) for name in names]
    passed, failed, skipped = (sum(column) for column in zip(*results))
    print()
    if skipped:
        print(f"{skipped} scripts skipped")
    print(f"{passed} passed, {failed} failed")
    if failed:
        return 1
    return SKIPPED if skipped == len(results) else 0
