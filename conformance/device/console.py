#!/usr/bin/env python3
"""The console that the firmware serves, in a headless Chromium: its own tests. Skipped where there is no Chromium."""

from board import Checks, Device, finish, main, options

from serve_chromium import console_tests


def run():
    """Runs the browser's tests."""
    chosen = options(__doc__)
    checks = Checks()
    with Device(chosen.firmware) as device:
        console_tests(checks, ["browser.js"], WIRELET_URL=f"http://127.0.0.1:{device.port}")
        checks.check("the firmware still runs", device.status is None, device.tail())
    return finish(checks)


if __name__ == "__main__":
    main(run)
