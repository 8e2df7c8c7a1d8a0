"""What the figures depend on besides the servers: the machine, its system, compilers and versions."""

import pathlib
import platform
import re
import subprocess

import paths
from servers import version


def said(*command):
    """The first line that a command prints; empty where there is no such command."""
    try:
        result = subprocess.run(command, cwd=paths.ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return result.stdout.partition("\n")[0]


def describe(servers):
    """Names and values, in the order in which they are told."""
    cpus = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", cpus, re.M)
    flags = re.search(r"^flags\s*: (.*)$", cpus, re.M)
    virtual = ", a virtual machine" if flags and "hypervisor" in flags[1].split() else ""
    revision = said("git", "rev-parse", "--short", "HEAD")
    changed = " and changes" if said("git", "status", "--porcelain", "--untracked-files=no", "--", "crates") else ""
    told = {
        "machine": f"{model[1] if model else platform.machine()}, {cpus.count('processor	:')} cores{virtual}",
        "system": f"{platform.system()} {platform.release()}",
        "compilers": ", ".join(filter(None, (said("rustc", "--version"), said("g++", "--version")))),
        "wirelet": f"{revision}{changed}",
    }
    for server in servers:
        if found := version(server):
            told.setdefault(server.title.partition(",")[0].partition(" on ")[0].removeprefix("raw "), found)
    return told
