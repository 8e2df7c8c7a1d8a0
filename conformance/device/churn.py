#!/usr/bin/env python3
"""24 clients at once want the firmware's eight sockets, each of them five times; some leave without a word.

Who finds none free tries again. All are served, and nothing is left behind.
"""

import threading

from board import SOCKETS, Checks, Device, connect, finish, main, options, quiet

CLIENTS = 24
ROUNDS = 5


def client(device, number, results):
    """Connects, talks and leaves, again and again: with a closing handshake, or without."""
    for turn in range(ROUNDS):
        peer = connect(device)
        text = f"client {number}, round {turn}".encode()
        echoed = peer.echo(text)
        if (number + turn) % 3:
            results.append(echoed and peer.close())
        else:
            results.append(echoed)
            peer.drop()


def run():
    """Runs all of them at once."""
    chosen = options(__doc__)
    checks = Checks()
    with Device(chosen.firmware) as device:
        results = []
        threads = [threading.Thread(target=client, args=(device, number, results), daemon=True) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        checks.equal(f"{CLIENTS} clients were served {ROUNDS} times each by {SOCKETS} sockets",
                     (len(results), results.count(True)), (CLIENTS * ROUNDS,) * 2)
        checks.check("no connection is left", quiet(device), device.tail())
        peers = [connect(device) for _ in range(SOCKETS - 1)]
        checks.check("all sockets but the spare one serve again", all(peer.echo(b"again") for peer in peers))
        checks.check("and close cleanly", all(peer.close() for peer in peers))
    return finish(checks)


if __name__ == "__main__":
    main(run)
