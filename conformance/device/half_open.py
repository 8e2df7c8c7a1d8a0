#!/usr/bin/env python3
"""Peers that are gone without a word: their connections are given up after a ping without an answer, and only theirs.

It takes the 40 seconds of the firmware's keepalive.
"""

import threading
import time

from board import PING, PONG, SOCKETS, Checks, Device, connect, finish, main, options, status


def answer(peer, alive):
    """A peer that lives: it says nothing by itself and answers every ping, until `alive` is taken back."""
    pings = 0
    while alive.is_set() and (frame := peer.receive()):
        if frame[0] == 9:
            pings += 1
            peer.send(10, frame[1])
        elif frame == (1, b"over"):
            break
    alive.pings = pings


def run():
    """Fills the firmware with peers that never answer, and one that does."""
    chosen = options(__doc__)
    checks = Checks()
    with Device(chosen.firmware) as device:
        living = connect(device)
        alive = threading.Event()
        alive.set()
        thread = threading.Thread(target=answer, args=(living, alive), daemon=True)
        thread.start()
        gone = [connect(device) for _ in range(SOCKETS - 2)]
        began = time.monotonic()
        checks.equal("the sockets are taken", status(device)["connections"], SOCKETS - 1)
        frames = [list(iter(peer.receive, None)) for peer in gone]
        took = time.monotonic() - began
        checks.check("all that never answered were pinged", all(any(opcode == 9 for opcode, _ in seen) for seen in frames), frames)
        checks.check(f"and given up after {PING} + {PONG} s", took > PING + PONG - 2, f"{took:.1f} s")
        checks.equal("who answers stays", status(device)["connections"], 1)
        for peer in gone:
            peer.drop()
        fresh = [connect(device) for _ in gone]
        checks.check("their sockets serve others", all(peer.echo(b"fresh") for peer in fresh))
        checks.check("and close cleanly", all(peer.close() for peer in fresh))
        living.send(1, b"over")
        thread.join()
        checks.check("who answered was pinged, too", alive.pings > 0)
        checks.check("and closes cleanly", living.close())
    return finish(checks)


if __name__ == "__main__":
    main(run)
