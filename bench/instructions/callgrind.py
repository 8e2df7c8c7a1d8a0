"""Callgrind: how programs are started under it, and what its files say.

The format of the files: "Callgrind Format Specification" in Valgrind's manual.
"""

import collections
import os
import pathlib
import re
import shutil
import subprocess

VERSION = re.compile(r"valgrind-(\S+)")
NAME = re.compile(r"(c?(?:ob|fl|fi|fe|fn))=\((\d+)\)(?: (.*))?$")
# Both are names of files; those of callees have the same numbers as those of callers.
KINDS = {"ob": "ob", "cob": "ob", "fl": "fl", "fi": "fl", "fe": "fl", "cfl": "fl", "cfi": "fl", "fn": "fn", "cfn": "fn"}


def version():
    """Valgrind's version, or None where it is not installed."""
    if not shutil.which("valgrind"):
        return None
    printed = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, timeout=60).stdout
    found = VERSION.match(printed)
    return found[1] if found else printed.strip()


def command(out, *program):
    """The command that counts the instructions of a program, before which may stand options, into the file `out`.

    Threads take turns in the order in which they ask (`--fair-sched`): none can starve.
    """
    return ["valgrind", "--tool=callgrind", "-q", "--fair-sched=yes", f"--callgrind-out-file={out}", *program]


def environment():
    """The environment of a program that is counted.

    Without `rep movsb` in the system's memcpy, of which callgrind counts each byte as an instruction, and without the
    variant for processors with transactions: so all processors with AVX2 copy in the same way.
    """
    return os.environ | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-ERMS,-RTM"}


class Counts:
    """Instructions by function and by line of source."""

    def __init__(self):
        self.total = 0
        self.own = collections.Counter()  # by function, without those it calls
        self.all = collections.Counter()  # by function, with all it calls; what calls itself counts more than once
        self.lines = collections.Counter()  # by (function, file, line), where "file" is that of what was inlined

    @classmethod
    def read(cls, path):
        """What is in a file of callgrind's."""
        counts, names = cls(), {}
        now = {"fl": "", "fn": ""}
        line, called = 0, None
        for text in pathlib.Path(path).read_text().splitlines():
            if not text:
                continue
            if text[0] in "0123456789+-*":
                position, cost = text.split(" ", 1)
                line = absolute(position, line)
                counts.add(now, line, int(cost), called)
                called = None
            elif text.startswith("calls="):
                called = names["fn", now["cfn"]]
            elif name := NAME.match(text):
                key, number, new = name.groups()
                if new is not None:
                    names[KINDS[key], number] = new
                now[key] = number if key == "cfn" else names[KINDS[key], number]
                if key in ("fi", "fe"):
                    now["fl"] = now[key]
        return counts

    def add(self, now, line, cost, called):
        """A line of costs: the function's own, or those of a call of another."""
        self.all[now["fn"]] += cost if called != now["fn"] else 0
        if called is None:
            self.total += cost
            self.own[now["fn"]] += cost
            self.lines[now["fn"], now["fl"], line] += cost

    def per(self, other, operations):
        """What one of so many operations costs that this run has more than the other."""
        result = Counts()
        result.total = (self.total - other.total) / operations
        for mine, theirs, into in ((self.own, other.own, result.own), (self.all, other.all, result.all),
                                   (self.lines, other.lines, result.lines)):
            for key, cost in mine.items():
                if cost != theirs[key]:
                    into[key] = (cost - theirs[key]) / operations
        return result


def absolute(position, before):
    """A line's number, which may be said relative to the one before."""
    if position == "*":
        return before
    return before + int(position) if position[0] in "+-" else int(position)
