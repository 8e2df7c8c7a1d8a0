#!/usr/bin/env python3
"""The embedded client with wss against a server with OpenSSL's TLS: Python's websockets."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from scenario import HELLOS, PEERS, SKIPPED, Checks, Process, finish, free_port, main, profile

from harness import ROOT, cargo_build, python_packages, run as run_command
from versions import PYTHON_WEBSOCKETS

AUTHORITY = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]


def openssl(folder, *arguments):
    """Runs openssl in a folder."""
    run_command(["openssl", *arguments], cwd=folder, stderr=subprocess.DEVNULL)


def certificates(folder):
    """Two roots, an authority under the first, and a server's certificate for localhost under that: all of P-256."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for root in ("root", "stranger"):
        openssl(folder, "req", "-x509", *key, "-keyout", f"{root}.key", "-out", f"{root}.pem", "-subj", f"/CN={root}",
                "-days", "30", *AUTHORITY)
    issued = {"middle": ("root", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign"),
              "leaf": ("middle", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth")}
    for name, (issuer, extensions) in issued.items():
        (folder / f"{name}.ext").write_text(extensions)
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-days", "30", "-extfile", f"{name}.ext")
    (folder / "chain.pem").write_text((folder / "leaf.pem").read_text() + (folder / "middle.pem").read_text())


def talk(checks, program, url, folder):
    """The demo with a root that is trusted, and with one that did not sign."""
    demo = Process("wirelet-linux demo", [program, "demo", url, folder / "root.pem"])
    checks.equal("exit status 0 after the silence", demo.wait(), 0)
    output = "\n".join(demo.lines)
    checks.check("every echo is printed", all(text in output for text in HELLOS), output)
    stranger = Process("wirelet-linux demo", [program, "demo", url, folder / "stranger.pem"],
                       on_line=lambda line: stranger.terminate() if "UnknownIssuer" in line else None)
    stranger.wait()
    output = "\n".join(stranger.lines)
    checks.check("a chain to another root is refused", "UnknownIssuer" in output, output)


def run():
    """Makes certificates, and runs the client."""
    chosen = profile(__doc__)
    if not shutil.which("openssl"):
        print("openssl: not found")
        sys.exit(SKIPPED)
    program = cargo_build([("wirelet-linux", "wirelet-linux")], chosen, ROOT / "boards" / "linux")["wirelet-linux"]
    python = python_packages("python-websockets", PYTHON_WEBSOCKETS)
    port, checks = free_port(), Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        certificates(folder)
        server = [python, PEERS / "python_websockets_echo.py", str(port), "--tls", folder / "chain.pem", folder / "leaf.key"]
        with Process("python websockets", server) as server:
            server.wait_for_port(port)
            talk(checks, program, f"wss://localhost:{port}/", folder)
    return finish(checks)


if __name__ == "__main__":
    main(run)
