"""The firmware in QEMU: built, booted on a port of 127.0.0.1, with a hand on its cable."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from harness import HANG, MESSAGES, ROOT, Failure, Process, executables, free_port

BOARD = ROOT / "boards" / "qemu-virt"
NAME = "wirelet-qemu-virt"
# The host, as seen from QEMU's user network.
HOST = "10.0.2.2"


def build_firmware(name=NAME):
    """Builds the board's programs; returns the path of the one that is called so."""
    if not shutil.which("qemu-system-riscv32"):
        raise Failure("qemu-system-riscv32: not found (Debian: qemu-system-riscv, in bookworm from backports)")
    built = executables(["sh", "build.sh", MESSAGES], BOARD)
    if name not in built:
        raise Failure(f"cargo built no {name}")
    return built[name]


class Device(Process):
    """An emulated board that runs the firmware. Its port 80 is `port` of 127.0.0.1.

    `settings` are the firmware's own, by name: what a board with flash memory keeps there. It is ready when it has
    logged `ready`: usually an address. `station` is a UDP port of this machine where the Ethernet frames of the board's
    network go; those for it are sent to the port `self.station`.
    """

    def __init__(self, elf=None, ready="] address", station=None, **settings):
        self._folder = tempfile.TemporaryDirectory(prefix="wirelet-")
        self._monitor_path = pathlib.Path(self._folder.name) / "monitor"
        self.port = free_port()
        options = [f"-qmp unix:{self._monitor_path},server=on,wait=off"]
        options += [f"-fw_cfg name=opt/wirelet/{name},string={value}" for name, value in settings.items()]
        if station:
            self.station = free_port()
            options += [f"-netdev socket,id=station,udp=127.0.0.1:{station},localaddr=127.0.0.1:{self.station}",
                        "-netdev hubport,id=place,hubid=0,netdev=station"]
        environment = {**os.environ, "PORT": str(self.port), "QEMU_OPTS": " ".join(options)}
        super().__init__("the firmware", ["sh", BOARD / "run.sh", elf or build_firmware()], env=environment,
                         stdin=subprocess.PIPE)
        self._monitor = None
        self.wait_for_line(ready)

    def wait_for_line(self, text, seconds=HANG, after=0):
        """Waits until the firmware has logged a line with the text, past the first `after` lines; returns its number."""
        end = time.monotonic() + seconds
        while True:
            ended = self.status is not None
            for number, line in enumerate(self.lines[after:], after):
                if text in line:
                    return number
            if ended or time.monotonic() > end:
                why = f"ended with status {self.status}" if ended else f"did not within {seconds:.0f} s"
                raise Failure(f"{self.name} was to log '{text}' and {why}\n{self.tail()}")
            time.sleep(0.02)

    def type(self, line, answer="{}: done"):
        """Types a command of `air.rs` into the serial console, and waits until it is obeyed; returns the number of that line."""
        lines = len(self.lines)
        print(line, file=self._child.stdin, flush=True)
        return self.wait_for_line(answer.format(line), after=lines)

    def set_link(self, cable, up):
        """Pulls a cable, or puts it back: `cable`, the board's own, or `network`, the one behind the hub."""
        self._ask("set_link", name=cable, up=up)

    def _ask(self, command, **arguments):
        """A command of QEMU's monitor."""
        if self._monitor is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(HANG)
            connection.connect(str(self._monitor_path))
            self._monitor = connection.makefile("rw")
            connection.close()
            self._monitor.readline()
            self._ask("qmp_capabilities")
        print(json.dumps({"execute": command, "arguments": arguments}), file=self._monitor, flush=True)
        while answer := self._monitor.readline():
            reply = json.loads(answer)
            if "error" in reply:
                raise Failure(f"QEMU's monitor: {command}: {reply['error']['desc']}")
            if "return" in reply:
                return
        raise Failure(f"QEMU's monitor ended\n{self.tail()}")

    def stop(self):
        """Switches it off."""
        super().stop()
        self._folder.cleanup()
