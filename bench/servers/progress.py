"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time

WIDTH = 24
# Without a terminal: seconds between two lines.
EVERY = 15.0


def clock(seconds):
    """Seconds as minutes and seconds."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{seconds:02}"


def bar(done, total):
    """A bar, and how much of it is done."""
    full = WIDTH * done // max(total, 1)
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {done}/{total}"


class Progress:
    """Shows on stderr what is being measured. `total` measurements are to come."""

    def __init__(self, total, stream=sys.stderr):
        self._total, self._done = total, 0
        self._stream, self._terminal = stream, stream.isatty()
        self._began = self._told = time.monotonic()

    def begin(self, what):
        """A measurement begins."""
        left = ""
        if self._done:
            each = (time.monotonic() - self._began) / self._done
            left = f", {clock(each * (self._total - self._done))} left"
        line = f"{bar(self._done, self._total)}{left}  {what}"
        if self._terminal:
            print(f"\r\x1b[K{line[:118]}", end="", file=self._stream, flush=True)
        elif self._done == 0 or time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            print(line, file=self._stream, flush=True)

    def end(self):
        """A measurement has ended."""
        self._done += 1

    def say(self, text):
        """A line that stays."""
        print(f"\r\x1b[K{text}" if self._terminal else text, file=self._stream, flush=True)

    def close(self):
        """Nothing more is shown."""
        if self._terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
