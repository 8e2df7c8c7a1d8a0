#!/usr/bin/env python3
"""Runs the scripts against the firmware in QEMU, or those that are named: `python3 conformance/device.py [NAME ...]`."""

import argparse

from firmware import build_firmware
from harness import cargo_build, main
from scripts import run_scripts

SCRIPTS = ("console", "demo", "churn", "server_gone", "half_open", "cable", "wifi", "panics", "name")
# Those that talk to `wirelet serve`.
WITH_SERVER = {"demo", "server_gone", "wifi"}


def cli():
    """Runs what the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(SCRIPTS)} (default: all)")
    parser.add_argument("--profile", default="release", help="cargo profile to build `wirelet` with (default: release)")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(SCRIPTS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    names = options.names or SCRIPTS
    arguments = ["--firmware", build_firmware()]
    if WITH_SERVER & set(names):
        arguments += ["--wirelet", cargo_build([("wirelet-cli", "wirelet")], options.profile)["wirelet"]]
    return run_scripts("device", names, arguments)


if __name__ == "__main__":
    main(cli)
