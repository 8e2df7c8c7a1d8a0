"""The servers and clients that are compared: how each is built, and how it is started."""

import dataclasses
import hashlib
import json
import pathlib
import re
import shlex
import shutil
import subprocess

import paths
from harness import MESSAGES, Failure, Process, bun, executables, free_port, run

BUN = "bun@1.4.5"
UWS_SOURCES = "libuwebsockets-sys"


@dataclasses.dataclass(frozen=True)
class Server:
    """Something under test: a server, a client, or both.

    In a command `{PROGRAM}` stands for a program that was built, `{port}`, `{mode}` and `{workers}` for what a measurement wants of a
    server, `{port}`, `{direction}` and `{size}` for what it wants of a client.
    """

    name: str
    title: str
    builder: str  # a name in BUILDERS, or of a baseline
    command: str = ""
    client: str = ""
    modes: tuple = ("echo",)
    raw: bool = False  # speaks no WebSocket: shows what system calls and a runtime alone cost
    crate: str = ""  # whose version is told


def peer(name, title, crate, *modes, client=False):
    """A library in Rust that `peers` has a server of, and perhaps a client."""
    client = f"{{peer_client}} {{port}} {name} {{direction}} {{size}}" if client else ""
    command = f"{{peer_server}} {name} {{port}} {{mode}} {{workers}}"
    modes = ("echo", *modes, *(["client"] if client else []))
    return Server(name, title, "peers", command, client, modes, crate=crate)


WIRELET = "{wirelet_server} {port} {mode} {workers}"
WIRELET_CLIENT = "{wirelet_client} {port} %s {direction} {size}"

SERVERS = {server.name: server for server in (
    Server("rawepoll", "raw epoll", "load", "{raw_epoll} {port} {mode}", modes=("echo", "broadcast"), raw=True),
    Server("rawuring", "raw io_uring", "load", "{raw_uring} {port}", raw=True),
    Server("rawtokio", "raw tokio", "load", "{raw_tokio} {port} {workers}", modes=("echo", "workers"), raw=True, crate="tokio"),
    Server("uws", "uWebSockets", "uws", "{uws_server} {port} {mode} {workers}", modes=("echo", "broadcast", "deflate", "workers"),
           crate=UWS_SOURCES),
    Server("wirelet", "wirelet", "wirelet", WIRELET, WIRELET_CLIENT % "once",
           ("echo", "broadcast", "deflate", "workers", "client")),
    Server("wirelet-reconnecting", "wirelet, reconnecting", "wirelet", client=WIRELET_CLIENT % "reconnecting", modes=("client",)),
    Server("bun", "Bun", "bun", "{bun} {bun_server} {port} {mode}", modes=("echo", "broadcast", "deflate")),
    Server("lws", "libwebsockets", "lws", "{lws_server} {port}"),
    peer("fastwebsockets", "fastwebsockets", "fastwebsockets", "workers", client=True),
    peer("tungstenite", "tokio-tungstenite", "tokio-tungstenite", "broadcast", "workers", client=True),
    peer("tungstenite-fed", "tokio-tungstenite, fed", "tokio-tungstenite"),
    peer("tokio-websockets", "tokio-websockets", "tokio-websockets", client=True),
    peer("tokio-websockets-fed", "tokio-websockets, fed", "tokio-websockets"),
    peer("sockudo", "sockudo-ws", "sockudo-ws", "deflate"),
    peer("sockudo-fed", "sockudo-ws, fed", "sockudo-ws", "deflate"),
    peer("sockudo-compio", "sockudo-ws on compio", "sockudo-ws"),
    peer("web-socket", "web-socket", "web-socket"),
    peer("soketto", "soketto", "soketto"),
    peer("yawc", "yawc", "yawc", "deflate"),
    peer("yawc-fed", "yawc, fed", "yawc", "deflate"),
    peer("wtx", "wtx", "wtx"),
)}
# Those that goals are about; of the others fewer rounds are measured.
MAIN = ("uws", "rawtokio", "wirelet")


def extra(words):
    """A server that exists already, from `NAME=COMMAND`."""
    name, equals, command = words.partition("=")
    if not (name and equals and command) or name in SERVERS:
        raise Failure(f"--extra {words}: NAME=COMMAND is expected, with a new name")
    modes = ("echo", *(["broadcast", "deflate"] if "{mode}" in command else []), *(["workers"] if "{workers}" in command else []))
    return Server(name, name, "nothing", command, modes=modes)


def baseline(revision):
    """wirelet's server of another revision, with this folder's source for it."""
    result = subprocess.run(["git", "rev-parse", "--short", "--verify", "--quiet", f"{revision}^{{commit}}"], cwd=paths.ROOT,
                            capture_output=True, text=True)
    if result.returncode:
        raise Failure(f"--baseline {revision}: no such revision")
    name = f"wirelet-{result.stdout.strip()}"
    command = WIRELET.replace("wirelet_server", name)
    return Server(name, name.replace("-", " "), name, command, modes=("echo", "broadcast", "deflate", "workers"))


def build_baseline(name):
    """Builds the server of a revision, below the work folder."""
    folder = paths.WORK / name
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    archive = folder / "source.tar"
    run(["git", "archive", "-o", archive, name.removeprefix("wirelet-")], cwd=paths.ROOT)
    run(["tar", "-xf", archive, "-C", source])
    here = source / "bench" / "servers"
    shutil.copytree(paths.HERE, here, ignore=shutil.ignore_patterns("target", "work", "*.py"), dirs_exist_ok=True)
    # Not --locked: the libraries of that revision may depend on other versions.
    command = ["cargo", "build", MESSAGES, "--release", "-p", "wirelet-bench-wirelet", "--bin", "wirelet_server",
               "--target-dir", str(folder / "target")]
    return {name: executables(command, here)["wirelet_server"]}


def cargo(package):
    """Builds a package of this folder; returns its programs."""
    return executables(["cargo", "build", MESSAGES, "--locked", "--release", "-p", package], paths.HERE)


def uws():
    """uWebSockets' server, from the sources that a registry package carries. Nothing else of that package is used."""
    source = paths.HERE / "uws" / "server.cpp"
    package = package_folder(UWS_SOURCES)

    def build(folder):
        copy = folder / "uWebSockets"
        shutil.copytree(package / "uWebSockets", copy, copy_function=shutil.copyfile)
        silent(["make", "-s", "-C", copy / "uSockets", "WITH_OPENSSL=0"])
        objects = sorted((copy / "uSockets").glob("*.o"))
        run(["g++", "-O3", "-march=x86-64-v2", "-flto=auto", "-std=c++20", "-w", f"-I{copy}/src", f"-I{copy}/uSockets/src", source,
             *objects, "-lz", "-lpthread", "-o", folder / "uws_server"])

    return {"uws_server": once("uws", [package.name, source.read_text()], build) / "uws_server"}


def lws():
    """libwebsockets' server, against the system's library, or else against Debian's packages, unpacked in this folder."""
    source = paths.HERE / "lws" / "server.c"

    def build(folder):
        flags = ["-lwebsockets"]
        if not pathlib.Path("/usr/include/libwebsockets.h").exists():
            flags = unpacked_lws(folder)
        run(["gcc", "-O3", source, "-o", folder / "lws_server", *flags])

    return {"lws_server": once("lws", [source.read_text()], build) / "lws_server"}


def unpacked_lws(folder):
    """Compiler flags for libwebsockets out of Debian's packages, which are not installed."""
    development, headers = "libwebsockets-dev", ("libcap-dev", "libssl-dev")
    try:
        depends = subprocess.run(["apt-cache", "depends", development], capture_output=True, text=True).stdout
        library = re.search(r"libwebsockets\d+\S*", depends)[0]
        silent(["apt-get", "download", "-o", "APT::Sandbox::User=root", development, library, *headers], cwd=folder)
        for package in folder.glob("*.deb"):
            run(["dpkg-deb", "-x", package, folder])
        shared = next(folder.glob("usr/lib/*/libwebsockets.so"))
    except (Failure, FileNotFoundError, TypeError, StopIteration):
        raise Failure(f"libwebsockets: not found; install it ({development} on Debian), or do without lws by --servers") from None
    includes = [f"-I{folder}/usr/include", *(f"-I{path.parent}" for path in folder.glob("usr/include/*/openssl"))]
    return [*includes, f"-L{shared.parent}", "-lwebsockets", "-Wl,--allow-shlib-undefined",
            "-Wl,-rpath,$ORIGIN/" + str(shared.parent.relative_to(folder))]


def silent(command, **options):
    """Runs a command whose output is of interest only when it fails."""
    result = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if result.returncode:
        raise Failure(f"exit status {result.returncode} from: {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")


def once(name, recipe, build):
    """The folder `name` of the work folder, made by `build(folder)` unless it was made by the same recipe."""
    recipe = hashlib.sha256("\0".join(recipe).encode()).hexdigest()
    folder = paths.WORK / name
    stamp = folder / "complete"
    if stamp.is_file() and stamp.read_text() == recipe:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"building {name} ...", flush=True)
    build(folder)
    stamp.write_text(recipe)
    return folder


def package_folder(name):
    """Where cargo keeps the sources of a package that Cargo.lock names; it fetches them."""
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
    "wirelet": lambda: cargo("wirelet-bench-wirelet"),
    "peers": lambda: cargo("wirelet-bench-peers"),
    "uws": uws,
    "lws": lws,
    "bun": lambda: {"bun": bun(BUN), "bun_server": paths.HERE / "bun" / "server.js"},
    "nothing": dict,
}


def build(servers):
    """Builds these servers, and what loads them; returns all programs by name. Whatever does not build is named."""
    programs, failed = {}, []
    for name in dict.fromkeys(["load", *(server.builder for server in servers)]):
        try:
            programs |= BUILDERS[name]() if name in BUILDERS else build_baseline(name)
        except Failure as failure:
            titles = [server.title for server in servers if server.builder == name] or ["the load"]
            failed.append(f"{', '.join(titles)}: {failure}")
    if failed:
        raise Failure("not built: " + "\n".join(failed))
    return programs


def command(text, words):
    """A command whose placeholders are filled in."""
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", shlex.quote(str(value)))
    return shlex.split(text)


def start(server, programs, cores, mode, workers):
    """Starts a server on a port of its own, on these cores, and waits until it listens."""
    port = free_port()
    words = command(server.command, {**programs, "port": port, "mode": mode, "workers": workers})
    process = Process(server.title, ["taskset", "-c", cores, *words])
    try:
        process.wait_for_port(port, 20)
    except Failure:
        process.stop()
        raise
    process.port = port
    return process


def version(server):
    """The version of what a server is made of, as text."""
    if server.name == "bun":
        return BUN.split("@")[1]
    if server.name == "lws":
        header = next(iter([*paths.WORK.glob("lws/usr/include/lws_config.h"), pathlib.Path("/usr/include/lws_config.h")]))
        found = header.exists() and re.search(r'LWS_LIBRARY_VERSION "([^"]*)"', header.read_text())
        return found[1].rstrip("-") if found else "of the system"
    lock = (paths.HERE / "Cargo.lock").read_text()
    found = server.crate and re.search(rf'name = "{server.crate}"\nversion = "([^"]*)"', lock)
    if server.name == "uws":
        return f"sources in {UWS_SOURCES} {found[1]}"
    return found[1] if found else ""
