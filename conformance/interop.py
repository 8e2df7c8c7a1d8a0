#!/usr/bin/env python3
"""Runs the interoperability scripts, or those that are named: `python3 conformance/interop.py [NAME ...]`."""

import argparse
import subprocess
import sys

from harness import HERE, cargo_build, die_with_parent, main

SCRIPTS = ("demo_wirelet", "demo_flask_sock", "demo_python_websockets", "serve_python_websockets", "serve_node_ws",
           "serve_chromium")
SKIPPED = 77


def run_script(name, program):
    """Runs a script, shows what it prints and counts its checks; returns (passed, failed, skipped)."""
    print(f"\n== {name}", flush=True)
    script = subprocess.Popen([sys.executable, HERE / "interop" / f"{name}.py", "--wirelet", program], text=True,
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


def cli():
    """Runs what the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(SCRIPTS)} (default: all)")
    parser.add_argument("--wirelet", metavar="PATH", help="the program to test (default: build it)")
    parser.add_argument("--profile", default="release", help="cargo profile to build it with (default: release)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(SCRIPTS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    program = options.wirelet or cargo_build([("wirelet-cli", "wirelet")], options.profile)["wirelet"]
    results = [run_script(name, program) for name in options.names or SCRIPTS]
    passed, failed, skipped = (sum(column) for column in zip(*results))
    print()
    if skipped:
        print(f"{skipped} scripts skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    main(cli)
