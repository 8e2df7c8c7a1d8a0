#!/usr/bin/env python3
"""Our server and its console with Chromium: runs the console's own tests. Skipped where there is no Chromium or Node.js.

CHROMIUM names the browser when it is not on the PATH.
"""

from chromium import console_tests
from scenario import Checks, finish, main, wirelet


def run():
    """Runs the tests that need no browser and those that do."""
    program = wirelet(__doc__)
    checks = Checks()
    console_tests(checks, ("units.js", "browser.js"), WIRELET_BIN=str(program))
    return finish(checks)


if __name__ == "__main__":
    main(run)
