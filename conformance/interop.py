#!/usr/bin/env python3
"""Runs the interoperability scripts, or those that are named: `python3 conformance/interop.py [NAME ...]`."""

import argparse

from harness import cargo_build, main
from scripts import run_scripts

SCRIPTS = ("embedded_wss", "demo_wirelet", "demo_flask_sock", "demo_python_websockets", "serve_python_websockets", "serve_node_ws",
           "serve_chromium", "compression_python_websockets", "compression_node_ws", "compression_bun",
           "compression_chromium")


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
    return run_scripts("interop", options.names or SCRIPTS, ["--wirelet", program, "--profile", options.profile])


if __name__ == "__main__":
    main(cli)
