"""The console's own tests in a headless Chromium, for scripts that are skipped where there is none."""

import os
import shutil
import sys

from scenario import SKIPPED, Process

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
