#!/usr/bin/env python3
"""Cables are pulled: the network's, behind a hub, for a moment and for long; then the board's own.

It takes the 40 seconds of the firmware's keepalive.
"""

from board import SOCKETS, Checks, Device, connect, finish, main, options, quiet


def serves(checks, device):
    """Everything is as it was before."""
    checks.check("no connection is left", quiet(device), device.tail())
    peers = [connect(device) for _ in range(SOCKETS - 1)]
    checks.check("the sockets serve again", all(peer.echo(b"back") for peer in peers))
    return peers


def a_moment(checks, device, peers):
    """Without the network's cable for a moment: TCP sends again."""
    print("-- the network's cable, for a moment", flush=True)
    device.set_link("network", False)
    texts = [f"while it was out {number}".encode() for number in range(len(peers))]
    for peer, text in zip(peers, texts):
        peer.send(1, text)
    device.set_link("network", True)
    checks.equal("the connections live on, nothing is lost", [peer.receive() for peer in peers], [(1, text) for text in texts])


def given_up(device, peers, lines):
    """Waits until the firmware has closed all of its connections."""
    for peer in peers:
        lines = 1 + device.wait_for_line(" ended: ", after=lines)
    for peer in peers:
        peer.drop()


def for_long(checks, device, peers):
    """Without the network's cable for longer than a peer may be silent."""
    print("-- the network's cable, for long", flush=True)
    lines = len(device.lines)
    device.set_link("network", False)
    given_up(device, peers, lines)
    checks.check("every connection was given up, with no one to tell it", True)
    device.set_link("network", True)
    return serves(checks, device)


def own_cable(checks, device, peers):
    """Without the board's cable, which it sees."""
    print("-- the board's cable", flush=True)
    lines = len(device.lines)
    device.set_link("cable", False)
    device.wait_for_line("the cable is out", after=lines)
    given_up(device, peers, lines)
    checks.check("it is noticed, and ends every connection", True)
    lines = len(device.lines)
    device.set_link("cable", True)
    device.wait_for_line("address ", after=lines)
    checks.check("plugged in, the board asks for an address again", True)
    return serves(checks, device)


def run():
    """Pulls them one after the other."""
    chosen = options(__doc__)
    checks = Checks()
    with Device(chosen.firmware) as device:
        peers = [connect(device) for _ in range(SOCKETS - 1)]
        a_moment(checks, device, peers)
        peers = for_long(checks, device, peers)
        peers = own_cable(checks, device, peers)
        checks.check("they close cleanly", all(peer.close() for peer in peers))
    return finish(checks)


if __name__ == "__main__":
    main(run)
