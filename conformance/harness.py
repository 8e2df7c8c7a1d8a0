"""What the conformance and interoperability runs share: the cache folder, builds, child processes and ports.

Nothing here sleeps for a fixed time to wait for something: ports are tried until they answer, processes are waited for,
and every wait has a bound that only a hang can reach.
"""

import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

# A hang guard, not an expectation: a machine that is busy may need minutes for what usually takes a second.
HANG = 300.0


# How cargo says what it built, while its errors stay readable.
MESSAGES = "--message-format=json-render-diagnostics"


class Failure(Exception):
    """Something that the person who runs this should read, without a stack trace."""


def cache_folder():
    """Where what is installed from package registries is kept between runs."""
    return pathlib.Path(os.environ.get("WIRELET_CACHE") or pathlib.Path.home() / ".cache" / "wirelet")


@contextlib.contextmanager
def cache_lock(name):
    """Lets one process at a time install `name`."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with open(cache_folder() / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command, **options):
    """Runs a command to its end; its failure is ours. Without input, so that nothing can wait for a person."""
    try:
        subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, **options)
    except FileNotFoundError:
        raise Failure(f"{command[0]}: not found") from None
    except subprocess.CalledProcessError as error:
        raise Failure(f"exit status {error.returncode} from: {' '.join(str(part) for part in command)}") from None


def install(name, recipe, build):
    """The folder `name` of the cache, made by `build(folder)` unless one of the same `recipe` is there.

    `build` works in a temporary folder which takes its place at the end.
    """
    folder = cache_folder() / name
    stamp = folder / "complete"
    with cache_lock(name):
        if stamp.is_file() and stamp.read_text() == recipe:
            return folder
        new = folder.with_name(f"{name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        print(f"installing {recipe} ...", flush=True)
        build(new)
        (new / "complete").write_text(recipe)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return folder


def python_packages(name, *requirements):
    """The interpreter of a virtual environment with these Python packages."""

    def build(folder):
        run([sys.executable, "-m", "venv", folder])
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
             *requirements])

    version = ".".join(map(str, sys.version_info[:2]))
    return install(name, f"python {version}: {' '.join(requirements)}", build) / "bin" / "python"


def node_packages(name, *requirements):
    """A folder whose `node_modules` holds these npm packages."""
    if not shutil.which("npm"):
        raise Failure("npm: not found (Node.js 20 or newer is needed)")

    def build(folder):
        (folder / "package.json").write_text('{"private": true}\n')
        run(["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error",
             *requirements])

    return install(name, "node: " + " ".join(requirements), build)


def bun(version):
    """The program Bun of a version, from npm. Its script, which would only move it, is not run."""
    folder = node_packages("bun", version)
    programs = sorted(folder.glob("node_modules/@oven/bun-*/bin/bun"))
    if not programs:
        raise Failure(f"{folder}: npm installed no Bun for this machine")
    return programs[0]


def cargo_build(binaries, profile="release", folder=ROOT):
    """Builds `(package, binary)` pairs of a workspace in one go and returns the path of each binary by name."""
    command = ["cargo", "build", MESSAGES, "--profile", profile]
    for package in dict.fromkeys(package for package, _ in binaries):
        command += ["-p", package]
    for _, binary in binaries:
        command += ["--bin", binary]
    paths = executables(command, folder)
    missing = [binary for _, binary in binaries if binary not in paths]
    if missing:
        raise Failure(f"cargo built no {', '.join(missing)}")
    return paths


def executables(command, folder):
    """Runs a command that builds with cargo and prints its messages; returns the path of each binary by name."""
    print("$", " ".join(command), flush=True)
    try:
        result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise Failure(f"{command[0]}: not found") from None
    if result.returncode:
        raise Failure("the build failed")
    paths = {}
    for line in result.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            paths[message["target"]["name"]] = message["executable"]
    return paths


def free_port():
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent():
    """For a child, before it becomes its program: to be ended when its parent ends, even if that was killed (Linux)."""
    if _LIBC:
        pr_set_pdeathsig = 1
        _LIBC.prctl(pr_set_pdeathsig, signal.SIGTERM)


class Process:
    """A child process whose output lines are kept (and handed to `on_line`), and which never outlives this one."""

    alive = set()

    def __init__(self, name, command, on_line=None, **options):
        self.name = name
        self.lines = []
        self._on_line = on_line
        options = {"stdin": subprocess.DEVNULL, **options}
        try:
            self._child = subprocess.Popen(
                [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="backslashreplace", bufsize=1, preexec_fn=die_with_parent, **options)
        except FileNotFoundError:
            raise Failure(f"{command[0]}: not found") from None
        Process.alive.add(self)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._child.stdout:
            line = line.rstrip("\n")
            self.lines.append(line)
            if self._on_line:
                self._on_line(line)

    @property
    def pid(self):
        """Its number in the system."""
        return self._child.pid

    @property
    def status(self):
        """The exit status, None while it runs."""
        return self._child.poll()

    def wait(self, seconds=HANG):
        """Waits for its end and for the last of its output; returns the exit status."""
        try:
            status = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failure(f"{self.name} did not end within {seconds:.0f} s\n{self.tail()}") from None
        self._reader.join(10)
        Process.alive.discard(self)
        return status

    def wait_for_port(self, port, seconds=HANG):
        """Waits until somebody accepts connections on the port, for as long as this process lives."""
        end = time.monotonic() + seconds
        while True:
            if self.status is not None:
                self._reader.join(10)
                raise Failure(f"{self.name} ended with status {self.status} before it listened\n{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise Failure(f"{self.name} did not listen on port {port} within {seconds:.0f} s\n{self.tail()}")
                time.sleep(0.02)

    def terminate(self):
        """Asks it to end (SIGTERM), without waiting."""
        self._child.terminate()

    def kill(self):
        """Ends it at once (SIGKILL): it can't say good-bye."""
        self._child.kill()
        self._child.wait()

    def stop(self):
        """Ends it, politely first."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._reader.join(10)
        Process.alive.discard(self)

    def tail(self, count=25):
        """Its last lines, for a report."""
        return "\n".join(f"    | {line}" for line in self.lines[-count:]) or "    | (no output)"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def stop_all():
    """Ends every child that still runs."""
    for process in list(Process.alive):
        process.stop()


def main(function):
    """Runs a script's main function: failures are one line, and no child is left behind, whatever ends the script."""

    def interrupted(number, _frame):
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    atexit.register(stop_all)
    try:
        sys.exit(function())
    except Failure as failure:
        print(f"{pathlib.Path(sys.argv[0]).name}: {failure}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
