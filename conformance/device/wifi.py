#!/usr/bin/env python3
"""The network is Wi-Fi that fails: lost, refused, not answering, without an address, silent without a word, lossy. The board joins it again by itself.

A wrapper round the driver of the firmware's network card makes it so, on commands that are typed into the serial console.
It takes the 40 seconds of the firmware's keepalive.
"""

import re

from board import HOST, SOCKETS, Checks, Device, connect, finish, main, options, quiet, start_server, wirelet

REFUSALS = 3
LOSSES = 5
TEXTS = 20


def serves(checks, device):
    """Everything is as it was before."""
    checks.check("no connection is left", quiet(device), device.tail())
    peers = [connect(device) for _ in range(SOCKETS - 1)]
    checks.check("the sockets serve again", all(peer.echo(b"back") for peer in peers))
    return peers


def given_up(device, peers, lines):
    """Waits until the firmware has closed all of its connections."""
    for peer in peers:
        lines = 1 + device.wait_for_line(" ended: ", after=lines)
    for peer in peers:
        peer.drop()


def lost(checks, device, peers):
    """The access point is gone, and refuses when it is back."""
    print("-- lost, and refused", flush=True)
    device.type(f"wifi refuse {REFUSALS}")
    lines = device.type("wifi lost")
    given_up(device, peers, lines)
    checks.check("the loss ends every connection", True)
    for attempt in range(2, REFUSALS + 3):
        lines = device.wait_for_line(f"Wi-Fi: joining, attempt {attempt}", after=lines)
    checks.check("after each refusal it is tried again", True)
    device.wait_for_line("] address", after=lines)
    return serves(checks, device)


def lost_often(checks, device, peers):
    """Lost as soon as it is joined, and again."""
    print("-- lost again and again", flush=True)
    for peer in peers:
        peer.drop()
    attempts = []
    for _ in range(LOSSES):
        lines = device.wait_for_line("Wi-Fi: joining, attempt", after=device.type("wifi lost"))
        attempts.append(device.lines[lines].rpartition(" ")[2])
        device.wait_for_line("] address", after=lines)
    checks.equal("each address has begun the delays anew", attempts, ["2"] * LOSSES)
    return serves(checks, device)


def unanswered(checks, device, peers):
    """The access point does not answer, and then gives no address."""
    print("-- not answered, no address", flush=True)
    device.type("wifi hang 1")
    lines = device.type("wifi lost")
    given_up(device, peers, lines)
    lines = device.wait_for_line("Wi-Fi: no answer within 3 s", after=lines)
    lines = device.wait_for_line("the radio was started again", after=lines)
    device.wait_for_line("] address", after=lines)
    checks.check("an attempt that is not answered is broken off", True)
    device.type("wifi deaf")
    lines = device.type("wifi lost")
    lines = device.wait_for_line("Wi-Fi: no address within 3 s", after=lines)
    checks.check("a network without an address is left", True)
    device.type("wifi clear")
    device.wait_for_line("] address", after=lines)
    return serves(checks, device)


def vanished(device, command):
    """Types a command; returns how many frames have vanished so far."""
    answer = device.lines[device.type(command)]
    return int(re.search(r"(\d+) frames have vanished", answer)[1])


def lossy(checks, device, peers):
    """Every seventh frame vanishes."""
    print("-- lossy", flush=True)
    before = vanished(device, "wifi lossy 7")
    texts = [f"text {number}".encode() for number in range(TEXTS)]
    for peer in peers:
        for text in texts:
            peer.send(1, text)
    echoes = [[peer.next() for _ in texts] for peer in peers]
    checks.equal("nothing is lost that TCP can send again", echoes, [[(1, text) for text in texts]] * len(peers))
    checks.check("frames have vanished", vanished(device, "wifi clear") > before)
    return peers


def silent(checks, device, peers):
    """No frame arrives or leaves any more, for longer than a peer may be silent; the radio says nothing of it."""
    print("-- silent", flush=True)
    lines = device.type("wifi deaf")
    given_up(device, peers, lines)
    checks.check("every connection was given up, with no one to tell it", True)
    device.type("wifi clear")
    return serves(checks, device)


def server(checks, chosen):
    """The firmware as a server."""
    with Device(chosen.firmware, wifi="yes") as device:
        peers = [connect(device) for _ in range(SOCKETS - 1)]
        for fault in (lost, lost_often, unanswered, lossy, silent):
            peers = fault(checks, device, peers)
        checks.check("they close cleanly", all(peer.close() for peer in peers))


def client(checks, chosen):
    """The firmware as a client, whose connection is lost in the middle of its script."""
    print("-- a client", flush=True)
    host, port = start_server(wirelet(chosen))
    with host, Device(chosen.firmware, wifi="yes", demo=f"ws://{HOST}:{port}/ws") as device:
        first = device.wait_for_line("received: hello 0000")
        lines = device.type("wifi lost")
        lost_line = device.wait_for_line("WebSocket 0 ended", after=first)
        checks.check("the loss ends the connection, as a loss", "1006" in device.lines[lost_line], device.lines[lost_line])
        connected = device.wait_for_line("WebSocket 0 open", after=lines)
        device.wait_for_line("received: hello", after=connected)
        checks.check("it connects again by itself, and goes on", True)
        device.wait_for_line("finished: Stopped", after=connected)
        checks.equal("the script runs to its end, the firmware ends in good order", device.wait(), 0)


def run():
    """Both roles."""
    chosen = options(__doc__)
    checks = Checks()
    server(checks, chosen)
    client(checks, chosen)
    return finish(checks)


if __name__ == "__main__":
    main(run)
