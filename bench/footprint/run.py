#!/usr/bin/env python3
"""What wirelet costs on a chip (riscv32imc, built as firmware is): flash, RAM, instructions, panics. Compares with limits.toml.

Exit status: 0 when all is within its limit, 1 when something is not, 77 when the compiler, its linker, the core library for the
target or QEMU is missing. Needs Debian's rustc-web and rust-web-src (or rustup's target) and qemu-system-riscv32, 8 or later.
"""

import base64
import hashlib
import os
import pathlib
import re
import selectors
import shutil
import struct
import subprocess
import sys
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "riscv32imc-unknown-none-elf"
DEBIAN = "/usr/bin/rustc"
# Images of their own: what one of them does would change how the other is compiled.
ECHOES = ["echo", "echo_in_place", "echo_others"]
IMAGES = ["empty", "ground", "proto", "server", "client", "both", "encoder", "decompressor", "ram", *ECHOES]
# The image whose size is counted, and the one that has everything but wirelet.
DIFFERENCES = {
    "flash.core": ("proto", "empty"),
    "flash.server": ("server", "ground"),
    "flash.client": ("client", "ground"),
    "flash.both": ("both", "ground"),
    "flash.client_besides_server": ("both", "server"),
    "flash.server_besides_client": ("both", "client"),
    "flash.encoder": ("encoder", "empty"),
    "flash.decompressor": ("decompressor", "empty"),
}
# The image that links only when nothing in it can panic, and the one that is the same but for that.
PANIC_FREE = {"panics.core": ("panic_free", "proto"), "panics.encoder": ("panic_free_encoder", "encoder")}
HANG = 120  # seconds: a guard, not an expectation


class Missing(Exception):
    """Something that this machine lacks."""


def output(*command):
    """What a command prints; empty when there is no such command, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def toolchain():
    """The beginning of cargo's command, its environment, and the folder that it builds into."""
    env = dict(os.environ)
    sysroot = pathlib.Path(output("rustc", "--print", "sysroot") or "/nonexistent")
    command = ["cargo", "build", "--locked", "--release"]
    compiler = "rustc"
    if (pathlib.Path(output(DEBIAN, "--print", "sysroot") or "/nonexistent") / "lib/rustlib/src/rust/library").is_dir():
        host = output("rustc", "--print", "host-tuple")
        linker = sysroot / "lib/rustlib" / host / "bin"
        if not (linker / "rust-lld").exists() and not shutil.which("rust-lld"):
            raise Missing("rust-lld, which comes with rustup's toolchains")
        compiler = DEBIAN
        # Cargo builds the core library by an option that stable compilers keep behind this variable.
        env |= {"RUSTC": DEBIAN, "RUSTC_BOOTSTRAP": "1", "PATH": f"{linker}:{env['PATH']}"}
        command.append("-Zbuild-std=core,alloc")
    elif not (sysroot / "lib/rustlib" / TARGET / "lib").is_dir():
        raise Missing(f"a core library for {TARGET}: Debian's rustc-web and rust-web-src, or 'rustup target add {TARGET}'")
    version = output(compiler, "--version")
    cache = pathlib.Path(env.get("WIRELET_CACHE") or pathlib.Path.home() / ".cache/wirelet")
    env.setdefault("CARGO_TARGET_DIR", str(cache / ("footprint-" + "-".join(re.findall(r"[\w.]+", version)[1:3]))))
    print(f"compiler: {version}")
    return command, env, pathlib.Path(env["CARGO_TARGET_DIR"]) / TARGET / "release"


def build(command, env):
    """Builds the images that are measured."""
    bins = [word for image in IMAGES for word in ("--bin", image)]
    if subprocess.run([*command, *bins], cwd=HERE, env=env).returncode != 0:
        sys.exit("the images don't build")


def flash(elf):
    """Bytes of code, of constants and of initial values in an image, as they lie in flash."""
    data = elf.read_bytes()
    offset, = struct.unpack_from("<I", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x2E)
    code = constants = 0
    for at in range(offset, offset + size * count, size):
        _, kind, flags, _, _, length = struct.unpack_from("<IIIIII", data, at)
        if flags & 2 and kind != 8:  # loaded, and not all zeros
            code, constants = (code + length, constants) if flags & 4 else (code, constants + length)
    return code, constants


# What a line of wirelet is for, by the beginning of its path.
PARTS = {
    "crates/wirelet-proto/src/handshake/": "opening handshake",
    "crates/wirelet-proto/": "frames, messages, deadlines",
    "crates/wirelet-embedded/src/client/": "client: attempts, redirects, answers",
    "crates/wirelet-embedded/src/http/": "HTTP: responses, files, passwords",
    "crates/wirelet-embedded/src/server/": "server: requests, routes",
    "crates/wirelet-embedded/": "sockets, queues, handlers",
    "bench/": "the image's own",
}


def parts(elf):
    """Bytes of code by what they are for: each instruction counts for the innermost line of wirelet that it comes from."""
    listing = output("llvm-objdump", "-d", "--no-show-raw-insn", str(elf))
    places = [int(place, 16) for place in re.findall(r"^\s*([0-9a-f]+):\s", listing, re.M)]
    request = "\n".join(map(hex, places)) + "\n"
    answer = subprocess.run(["llvm-symbolizer", f"--obj={elf}", "--inlines", "--no-demangle"], input=request, capture_output=True,
                            text=True, check=True).stdout
    counts = {}
    for place, following, frames in zip(places, places[1:] + places[-1:], answer.split("\n\n")):
        lines = re.findall(r"((?:crates|bench)/\S+):\d+:\d+$", frames, re.M)
        name = next((PARTS[start] for start in PARTS if lines and lines[0].startswith(start)), "Rust's core library")
        counts[name] = counts.get(name, 0) + min(following - place, 4)
    return counts


def print_parts(folder):
    """Where the code of the larger images comes from, if LLVM's tools are there to tell."""
    if not shutil.which("llvm-symbolizer") or not shutil.which("llvm-objdump"):
        print("\n(llvm-symbolizer and llvm-objdump would tell where the code comes from)")
        return
    columns = {image: parts(folder / image) for image in ("proto", "server", "client", "both")}
    print("\nbytes of code, by the line they come from " + "".join(f"{image:>10}" for image in columns))
    for name in dict.fromkeys([*PARTS.values(), "Rust's core library"]):
        print(f"  {name:40}" + "".join(f"{column.get(name, 0):10}" for column in columns.values()))


def qemu(elf, *options):
    """The machine's command."""
    return ["qemu-system-riscv32", "-M", "virt", "-m", "8M", "-smp", "1", "-bios", "none", "-display", "none",
            "-monitor", "none", "-serial", "stdio", *options, "-kernel", str(elf)]


def printed(elf):
    """The lines that an image prints, counting instructions: a word, a number, a name."""
    done = subprocess.run(qemu(elf, "-icount", "shift=0"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=HANG)
    if done.returncode != 0:
        sys.exit(f"{elf.name} failed:\n{done.stdout}{done.stderr}")
    return [line.split(" ") for line in done.stdout.splitlines()]


class Machine:
    """A booted image whose serial port is the network."""

    def __init__(self, elf, *options):
        self.process = subprocess.Popen(qemu(elf, *options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def send(self, data):
        """Sends bytes."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def expect(self, end):
        """Waits until `end` has arrived; answers what came before it, and forgets both."""
        deadline = time.monotonic() + HANG
        while end not in self.received:
            self.received += self.read(end, deadline)
        before, self.received = self.received.split(end, 1)
        return before

    def expect_message(self, payload):
        """Reads one message of a server, in short frames, and compares it."""
        message, last = b"", False
        while not last:
            head = self.take(2)
            last = bool(head[0] & 0x80)
            message += self.take(head[1])
        if message != payload:
            sys.exit(f"an image does not work: {payload!r} was echoed as {message!r}")

    def take(self, n):
        """The next `n` bytes."""
        deadline = time.monotonic() + HANG
        while len(self.received) < n:
            self.received += self.read(f"{n} bytes", deadline)
        taken, self.received = self.received[:n], self.received[n:]
        return taken

    def read(self, what, deadline):
        """What arrives next; `what` is waited for."""
        selector = selectors.DefaultSelector()
        selector.register(self.process.stdout, selectors.EVENT_READ)
        ready = selector.select(max(0, deadline - time.monotonic()))
        chunk = os.read(self.process.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            sys.exit(f"an image does not work: {what!r} did not come, but {self.received!r}")
        return chunk


KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (b"GET /ws HTTP/1.1\r\nHost: device\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n")
COMPRESSED_HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"  # RFC 7692 7.2.3.1
HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"  # RFC 6455 5.7


def accept(key):
    """The answer to a Sec-WebSocket-Key (RFC 6455 1.3)."""
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def check_images(folder):
    """What is measured works: the servers upgrade and echo, the client does too."""
    for image in ("proto", "server"):
        with Machine(folder / image) as machine:
            if image == "server":
                machine.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
                machine.expect(b"200 OK")
                machine.expect(b"\r\n\r\nIt works")
            machine.send(UPGRADE)
            machine.expect(b"101 Switching Protocols")
            machine.expect(accept(KEY) + b"\r\n")
            machine.expect(b"\r\n")
            machine.send(HELLO)
            # A server that echoes what it has so far answers in as many fragments as the serial port made of it.
            machine.expect_message(b"Hello")
    with Machine(folder / "client") as machine:
        request = machine.expect(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1]
        machine.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept(key) + b"\r\n\r\n\x81\x05Hello")
        machine.expect(b"\x81\x85")
    for image, sent, back in (("encoder", b"{}\n", b"\xaa\xae\xe5\x02\x00"), ("decompressor", COMPRESSED_HELLO, b"Hello")):
        with Machine(folder / image) as machine:
            machine.send(sent)
            machine.expect(back)
    print("images: the servers answer, upgrade and echo; the client connects and echoes; messages are compressed and read")


def panics(command, env, folder, image, same):
    """How many places can panic in an image that is the same as another: 0 when it links without a panic handler."""
    done = subprocess.run([*command, "--bin", image], cwd=HERE, env=env, capture_output=True, text=True)
    if done.returncode == 0:
        return 0
    if "a_panic_can_be_reached" not in done.stderr:
        sys.exit(f"{image} does not build, and not for a panic:\n{done.stderr}")
    places = panicking_places(folder / same)
    print(f"{same} can panic:", *(places or ["(llvm-objdump and llvm-addr2line would tell where)"]), sep="\n  ")
    return max(1, len(places))


def calls(elf):
    """Each call in an image: where it is, the function it stands in, the address it goes to; and the functions' addresses."""
    functions, found, upper, inside = {}, [], {}, None
    for line in output("llvm-objdump", "-d", "--no-show-raw-insn", "--demangle", str(elf)).splitlines():
        if label := re.match(r"([0-9a-f]{8}) <(.*)>:$", line):
            if not label[2].startswith(".L"):
                inside = int(label[1], 16)
                functions[inside] = label[2]
            upper = {}
        elif instruction := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line):
            at, name, operands = int(instruction[1], 16), instruction[2], instruction[3]
            if name == "auipc":
                register, value = operands.split(", ")[:2]
                upper[register] = at + (int(value.split()[0], 0) << 12)
            elif name in ("jalr", "jr") and (far := re.search(r"(-?\w+)\((\w+)\)", operands)) and far[2] in upper:
                found.append((at, inside, (upper[far[2]] + int(far[1], 0)) & 0xFFFFFFFF))
            elif name[0] in "bcj" and (near := re.search(r"0x([0-9a-f]{8})\b", operands)):
                found.append((at, inside, int(near[1], 16)))
    return functions, found


def panicking_places(elf):
    """The lines of wirelet that lead to a panic, through functions of the core library."""
    functions, found = calls(elf)
    guilty = {at for at, name in functions.items() if re.search(r"core::panicking|_fail\b|rust_begin_unwind|unwrap_failed", name)}
    seen, places = set(), set()
    while guilty - seen:
        seen |= guilty
        for at, inside, to in found:
            if to not in seen or inside in seen:
                continue
            frames = re.findall(r"^\S*?((?:crates|bench)/\S+:\d+)", output("llvm-addr2line", "-i", "-e", str(elf), hex(at)), re.M)
            if frames:
                places.add(" ← ".join(frames[:3]))
            else:
                guilty = guilty | {inside}
    return sorted(places)


def measure(command, env, folder):
    """All numbers by name, and the echo's table."""
    sizes = {image: flash(folder / image) for image in IMAGES}
    values = {name: sum(sizes[more]) - sum(sizes[less]) for name, (more, less) in DIFFERENCES.items()}
    print("\nflash, bytes                    code  constants     in all   without it   difference")
    for name, (more, less) in DIFFERENCES.items():
        code, constants = sizes[more]
        print(f"{name:28} {code:7}    {constants:7}    {code + constants:7}      {sum(sizes[less]):7}      {values[name]:7}")
    print_parts(folder)
    print("\nRAM, bytes")
    for _, size, *name in printed(folder / "ram"):
        print(f"  {size:>6}  {' '.join(name)}")
        values["ram." + " ".join(name)] = int(size)
    echo = {}
    for _, length, count, *name in (line for image in ECHOES for line in printed(folder / image)):
        echo.setdefault(" ".join(name), {})[int(length)] = int(count)
    for length, count in echo["wirelet"].items():
        values[f"echo.{length}"] = count
    for length, count in echo["wirelet in place"].items():
        values[f"echo_in_place.{length}"] = count
    print_echo(echo)
    values |= {name: panics(command, env, folder, *images) for name, images in PANIC_FREE.items()}
    return values


def print_echo(echo):
    """The instructions of an echo, and how many times as many others need."""
    lengths = sorted(echo["wirelet"])
    best = {False: echo["wirelet"], True: echo["wirelet in place"]}
    print("\ninstructions of an echo, memory to memory" + "".join(f"{length:>8} B  × ours" for length in lengths))
    for name, counts in echo.items():
        columns = "".join(f"{counts[length]:>10}  {counts[length] / best['in place' in name][length]:>6.2f}" for length in lengths)
        print(f"  {name:39}{columns}")


def compare(values):
    """Whether all numbers are within their limits, which are goals, or what was once measured and 5 % more."""
    limits = tomllib.loads((HERE / "limits.toml").read_text())
    good = True
    print("\n                                  now      goal  measured     limit")
    for name, rule in limits.items():
        goal, was, limit, now = rule["goal"], rule["measured"], rule["limit"], values[name]
        honest = limit == goal or (limit <= was * 1.05 and rule.get("reason"))
        verdict = "OVER" if now > limit else "ok" if now <= goal else "within the limit, over the goal"
        if not honest:
            verdict += "; the LIMIT is neither the goal nor what was measured + 5 % with a reason"
        good = good and honest and now <= limit
        print(f"{name:28} {now:8}  {goal:8}  {was:8}  {limit:8}  {verdict}")
    return good


def main():
    """Runs everything; returns the exit status."""
    try:
        if not shutil.which("qemu-system-riscv32"):
            raise Missing("qemu-system-riscv32 (Debian: qemu-system-riscv, in bookworm from backports)")
        command, env, folder = toolchain()
    except Missing as missing:
        print(f"footprint: missing: {missing}")
        return 77
    build(command, env)
    check_images(folder)
    return 0 if compare(measure(command, env, folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
