"""The servers that are compared: how each is built, and the command that starts it."""

import dataclasses
import hashlib
import json
import pathlib
import shlex
import shutil
import subprocess

import paths
from harness import MESSAGES, Failure, Process, executables, free_port, run

UWS_SOURCES = "libuwebsockets-sys"
SERVER_CORE, LOAD_CORE = "0", "1"


@dataclasses.dataclass(frozen=True)
class Server:
    """A server under test. A raw one speaks no WebSocket: it shows what system calls and the runtime alone cost.

    In its command `{program}` stands for what was built, `{port}` and `{mode}` for what a measurement wants.
    """

    name: str
    title: str
    build: str  # the name of its builder in BUILDERS
    command: str
    raw: bool = False
    modes: tuple = ("echo",)


SERVERS = {server.name: server for server in (
    Server("rawepoll", "raw epoll", "load", "{rawepoll} {port} {mode}", raw=True),
    Server("rawuring", "raw io_uring", "load", "{rawuring} {port}", raw=True),
    Server("rawtokio", "raw tokio", "load", "{rawtokio} {port}", raw=True),
    Server("uws", "uWebSockets", "uws", "{uws_server} {port} {mode}"),
    Server("wirelet", "wirelet", "wirelet", "{wirelet_server} {port} {mode}"),
)}


def cargo(package):
    """Builds a package of this folder; returns its programs."""
    return executables(["cargo", "build", MESSAGES, "--locked", "--release", "-p", package], paths.HERE)


def uws():
    """Builds uWebSockets' server from the sources that a registry package carries; nothing else of that package is used."""
    server = paths.HERE / "uws" / "server.cpp"
    sources = package_folder(UWS_SOURCES)
    recipe = f"{sources.name} {hashlib.sha256(server.read_bytes()).hexdigest()}"
    program, stamp = paths.WORK / "uws" / "uws_server", paths.WORK / "uws" / "complete"
    if stamp.is_file() and stamp.read_text() == recipe:
        return {"uws_server": program}
    shutil.rmtree(program.parent, ignore_errors=True)
    copy = program.parent / "uWebSockets"
    shutil.copytree(sources / "uWebSockets", copy, copy_function=shutil.copyfile)
    run(["make", "-s", "-C", copy / "uSockets", "WITH_OPENSSL=0"])
    objects = sorted((copy / "uSockets").glob("*.o"))
    print("$ g++", server, flush=True)
    run(["g++", "-O3", "-march=x86-64-v2", "-flto=auto", "-std=c++20", "-w", f"-I{copy}/src", f"-I{copy}/uSockets/src", server,
         *objects, "-lz", "-lpthread", "-o", program])
    stamp.write_text(recipe)
    return {"uws_server": program}


def package_folder(name):
    """Where cargo keeps the sources of a package that Cargo.lock names; it is fetched if it is not there yet."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    result = subprocess.run(command, cwd=paths.HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise Failure("cargo metadata failed")
    for package in json.loads(result.stdout)["packages"]:
        if package["name"] == name:
            return pathlib.Path(package["manifest_path"]).parent
    raise Failure(f"{name} is not in Cargo.lock")


BUILDERS = {
    "load": lambda: cargo("wirelet-bench-load"),
    "wirelet": lambda: cargo("wirelet-bench-server"),
    "peers": lambda: cargo("wirelet-bench-peers"),
    "uws": uws,
    "given": dict,
}


def build(servers):
    """Builds these servers, and what loads them; returns all programs by name."""
    programs = {}
    for name in dict.fromkeys(["load", *(server.build for server in servers)]):
        programs |= BUILDERS[name]()
    return programs


def start(server, programs, mode):
    """Starts a server on a port of its own, on its core, and waits until it listens."""
    port = free_port()
    words = {**programs, "port": port, "mode": mode}
    command = [word.format(**words) for word in shlex.split(server.command)]
    process = Process(server.title, ["taskset", "-c", SERVER_CORE, *command])
    process.wait_for_port(port)
    process.port = port
    return process
