#!/usr/bin/env python3
"""Our server and its console with Chromium: runs the console's own tests. Skipped where there is no Chromium or Node.js.

CHROMIUM names the browser when it is not on the PATH.
"""

import os
import shutil
import sys

from scenario import SKIPPED, Checks, Process, finish, main, wirelet

from harness import ROOT, cache_lock, run as run_command

TESTS = ROOT / "console" / "test"
# The whole of a browser test: a hang guard.
HANG = 1800.0


def skip(reason):
    """Ends the script as skipped."""
    print(f"skipped: {reason}", flush=True)
    sys.exit(SKIPPED)


def install():
    """The tests' packages, anew when their lock file has changed."""
    lock, installed = TESTS / "package-lock.json", TESTS / "node_modules" / ".package-lock.json"
    with cache_lock("console-test"):
        if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
            run_command(["npm", "ci", "--prefix", TESTS, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])


def console_tests(checks, scripts, **environment):
    """Runs the console's tests in an environment that says which server to test."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        skip("no Chromium found; CHROMIUM names one")
    if not shutil.which("node") or not shutil.which("npm"):
        skip("no Node.js found")
    install()
    environment = {**os.environ, "CHROMIUM": chromium, **environment}
    for script in scripts:
        tests = Process(script, ["node", TESTS / script], on_line=lambda line: print(f"    {line}", flush=True),
                        env=environment, cwd=TESTS)
        status = tests.wait(HANG)
        summary = next((line for line in reversed(tests.lines) if "passed" in line), None)
        checks.check(f"console/test/{script}" + (f": {summary}" if summary else ""), status == 0, f"exit status {status}")


def run():
    """Runs the tests that need no browser and those that do."""
    program = wirelet(__doc__)
    checks = Checks()
    console_tests(checks, ("units.js", "browser.js"), WIRELET_BIN=str(program))
    return finish(checks)


if __name__ == "__main__":
    main(run)
