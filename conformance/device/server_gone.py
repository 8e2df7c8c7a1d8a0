#!/usr/bin/env python3
"""The firmware as a client of a server that is not there, comes, is killed, and comes again."""

from board import HOST, Checks, Device, Process, finish, free_port, main, options, wirelet


def run():
    """Lets the server come and go."""
    chosen = options(__doc__)
    program = wirelet(chosen)
    checks = Checks()
    port = free_port()

    def serve():
        server = Process("wirelet serve", [program, "serve", "--addr", f"127.0.0.1:{port}"])
        server.wait_for_port(port)
        return server

    with Device(chosen.firmware, demo=f"ws://{HOST}:{port}/ws") as device:
        first = device.wait_for_line("not connected:")
        second = device.wait_for_line("not connected:", after=first + 1)
        checks.check("without a server it tries again", second > first)
        with serve() as server:
            connected = device.wait_for_line("WebSocket 0 open", after=second)
            checks.check("it connects once there is one", True)
            device.wait_for_line("received: hello 0000", after=connected)
            server.kill()
            lost = device.wait_for_line("WebSocket 0 ended", after=connected)
            checks.check("killed, the server is missed at once, as a loss", "1006" in device.lines[lost], device.lines[lost])
            waits = device.wait_for_line("next attempt in", after=lost)
        with serve():
            device.wait_for_line("finished: Stopped", after=waits)
            checks.equal("the script runs to its end, the firmware ends in good order", device.wait(), 0)
    return finish(checks)


if __name__ == "__main__":
    main(run)
