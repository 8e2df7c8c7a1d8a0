#!/usr/bin/env python3
"""What TLS costs the embedded client on a chip (riscv32imac, built as firmware is): flash, heap, stack, instructions.

The image talks over QEMU's serial port to OpenSSL's TLS, which sends it a message in one record of 16 KiB. Exit status 77 when the
compiler, its linker, the core library for the target, QEMU 8 or openssl is missing.
"""

import base64
import hashlib
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "footprint"))
sys.dont_write_bytecode = True

import run as footprint  # noqa: E402

footprint.TARGET = "riscv32imac-unknown-none-elf"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
MESSAGE = b"x" * 16_000


def build():
    """Builds both images; answers the folder that they are in."""
    command, env, folder = footprint.toolchain()
    command += ["--target", footprint.TARGET]
    for options in (["--bin", "plain"], ["--bin", "secure", "--features", "secure"]):
        if subprocess.run([*command, *options], cwd=HERE, env=env).returncode != 0:
            sys.exit("the images don't build")
    return folder


def openssl(folder, *arguments):
    """Runs openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder, curve):
    """A root, an authority under it, and a certificate for localhost under that."""
    key = ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes", f"-{'sha384' if curve == 'P-384' else 'sha256'}"]
    openssl(folder, "req", "-x509", *key, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=root", "-days", "30",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    issued = {"middle": ("root", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign"),
              "leaf": ("middle", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth")}
    for name, (issuer, extensions) in issued.items():
        (folder / f"{name}.ext").write_text(extensions)
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", key[-1],
                "-CAcreateserial", "-out", f"{name}.pem", "-days", "30", "-extfile", f"{name}.ext")
    (folder / "chain.pem").write_text((folder / "leaf.pem").read_text() + (folder / "middle.pem").read_text())


class Server:
    """OpenSSL between memory and the machine's serial port."""

    def __init__(self, machine, folder):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(folder / "chain.pem", folder / "leaf.key")
        self.machine = machine
        self.inbound, self.outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inbound, self.outbound, server_side=True)

    def wait(self, step):
        """The result of a step of TLS, with as many records as it takes."""
        while True:
            try:
                result = step()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self.inbound.write(self.machine.read("a record", footprint.time.monotonic() + footprint.HANG))

    def flush(self):
        """Sends what TLS has to send."""
        if records := self.outbound.read():
            self.machine.send(records)

    def take(self, n):
        """The next bytes of text."""
        text = b""
        while len(text) < n:
            text += self.wait(lambda: self.tls.read(n - len(text)))
        return text

    def send(self, text):
        """Sends text."""
        self.wait(lambda: self.tls.write(text))


def talk(server):
    """A WebSocket: its handshake, an echo of one long message in fragments, and its end."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += server.take(1)
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1]
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    server.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept + b"\r\n\r\n")
    server.send(b"\x82\x7e" + len(MESSAGE).to_bytes(2, "big") + MESSAGE)
    echoed = b""
    while len(echoed) < len(MESSAGE):
        echoed += frame(server)
    if echoed != MESSAGE:
        sys.exit("the image does not work: it does not echo")
    server.send(b"\x88\x02\x03\xe8")
    if frame(server) != b"\x03\xe8":
        sys.exit("the image does not work: it does not close")


def frame(server):
    """The payload of a client's frame."""
    length = server.take(2)[1] & 0x7F
    if length == 126:
        length = int.from_bytes(server.take(2), "big")
    key = server.take(4)
    return bytes(byte ^ key[at % 4] for at, byte in enumerate(server.take(length)))


def measure(elf, curve):
    """Boots the image with certificates of a curve; answers what it prints at its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        certificates(folder, curve)
        root = ssl.PEM_cert_to_DER_cert((folder / "root.pem").read_text())
        with footprint.Machine(elf, "-icount", "shift=0") as machine:
            machine.send(len(root).to_bytes(2, "big") + root)
            server = Server(machine, folder)
            server.wait(server.tls.do_handshake)
            talk(server)
            try:
                server.tls.unwrap()  # It waits for the client's notice, which comes before the report.
            except ssl.SSLWantReadError:
                server.flush()
            report = machine.expect(b"\nend\n").split(b"\nheap ", 1)[1].decode()
    return server.tls.cipher()[0], "heap " + report


def main():
    """Runs it; returns the exit status."""
    try:
        if not shutil.which("openssl") or not shutil.which("qemu-system-riscv32"):
            raise footprint.Missing("openssl, or qemu-system-riscv32")
        folder = build()
    except footprint.Missing as missing:
        print(f"missing: {missing}")
        return 77
    sizes = {image: footprint.flash(folder / image) for image in ("plain", "secure")}
    for image, (code, constants) in sizes.items():
        print(f"{image}: code {code}, constants {constants}")
    print(f"flash of TLS: {sum(sizes['secure']) - sum(sizes['plain'])} bytes")
    for curve in ("P-256", "P-384"):
        cipher, report = measure(folder / "secure", curve)
        print(f"\nroot, authority and server with {curve}, {cipher}\n{report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
