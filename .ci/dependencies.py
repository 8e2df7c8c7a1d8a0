#!/usr/bin/env python3
"""Checks that every Cargo.lock is what its manifests ask for, and what we depend on against deny.toml: by cargo-deny where it is
installed, else licences, bans and sources alone.

Without cargo-deny the advisories are not looked at, which the last line then says.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def licence_is_allowed(expression, allowed):
    """Whether an SPDX expression can be met by allowed licences alone. Rust's old 'A/B' means 'A OR B'."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            right = both()
            result = result or right
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            right = one()
            result = result and right
        return result

    def one():
        token = tokens.pop(0)
        if token == "(":
            result = either()
            tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token += " WITH " + tokens.pop(0)
        return token in allowed

    return either() and not tokens


def problems(packages, rules):
    """A line for each package that breaks a rule."""
    allowed = set(rules["licenses"]["allow"])
    banned = {entry["crate"] for entry in rules["bans"]["deny"]}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        if not licence or not licence_is_allowed(licence, allowed):
            yield f"{name}: licence {licence or 'unknown'} is not allowed"
        if package["name"] in banned:
            yield f"{name}: banned"
        if package["source"] and not re.fullmatch(r"registry\+.*/crates\.io-index", package["source"]):
            yield f"{name}: comes from {package['source']}"


def stale_locks():
    """A line for each Cargo.lock that a build with --locked would refuse: those outside the workspace are easily forgotten."""
    locks = subprocess.run(["git", "ls-files", "*Cargo.lock"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    for lock in map(pathlib.Path, locks.stdout.split()):
        update = ["cargo", "update", "--workspace", "--locked"]
        result = subprocess.run(update, cwd=ROOT / lock.parent, capture_output=True, text=True)
        if result.returncode:
            lines = result.stderr.splitlines()
            error = next((line for line in lines if line.startswith("error")), "cargo update failed")
            yield f"{lock}: {error}; `cargo metadata` in that folder mends it"


def main():
    """Runs the checks; returns the exit status."""
    stale = list(stale_locks())
    print(*stale, sep="\n", end="\n" if stale else "")
    return max(1 if stale else 0, judge())


def judge():
    """Checks against deny.toml; returns the exit status."""
    if subprocess.run(["cargo", "deny", "--version"], cwd=ROOT, capture_output=True).returncode == 0:
        return subprocess.run(["cargo", "deny", "--all-features", "check"], cwd=ROOT).returncode
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    metadata = subprocess.run(["cargo", "metadata", "--format-version", "1", "--all-features"], cwd=ROOT, check=True,
                              stdout=subprocess.PIPE)
    packages = json.loads(metadata.stdout)["packages"]
    found = list(problems(packages, rules))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(packages)} packages, {len(found)} problems; licences, bans and sources were checked, "
          "advisories were not (cargo-deny is not installed)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
