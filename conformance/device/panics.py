#!/usr/bin/env python3
"""The firmware panics, and starts again: it says why, and when it has happened five times, it keeps its radio off for a while, in
which its console works.
"""

from board import Checks, Device, connect, finish, main, options

# For how long the radio is kept off the first time, seconds.
OFF = 3
REASON = "the last run ended by a panic: panicked at src/air.rs"


def panic(device):
    """Lets it panic; returns the number of the line in which the next run gives the reason."""
    return device.type("panic", REASON)


def run():
    """Six panics, one after the other."""
    chosen = options(__doc__)
    checks = Checks()
    with Device(chosen.firmware, wifi="yes", panics=str(OFF)) as device:
        checks.check("the first start says nothing of a panic", not any(REASON in line for line in device.lines))
        for number in range(1, 5):
            lines = panic(device)
            checks.check(f"panic {number} is reported with its reason", "somebody has asked for it" in device.lines[lines])
            device.wait_for_line("] address", after=lines)
        for number, seconds in ((5, OFF), (6, 2 * OFF)):
            lines = device.wait_for_line(f"the radio stays off for {seconds} s", after=panic(device))
            answered = device.type("wifi clear")
            checks.check(f"panic {number}: the radio is off, the console answers",
                         not any("Wi-Fi: joining" in line for line in device.lines[lines:answered]))
            device.wait_for_line("] address", after=answered)
        peer = connect(device)
        checks.check("when the time is over it serves", peer.echo(b"back") and peer.close())
    return finish(checks)


if __name__ == "__main__":
    main(run)
