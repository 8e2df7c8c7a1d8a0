#!/usr/bin/env python3
"""Our encoder and Python's zlib.

  run.py [N]    N messages (default 1,000,000), random and structured, compressed by our encoder: each comes back through Python's
                zlib, and through zlib-rs, miniz_oxide and our own decompressor (crates/testkit/examples/deflate.rs). Then telemetry:
                how much longer than zlib's with level 6, memory level 8, the same window, context takeover, sync flush.

Exit status: 0 when every message came back and no kind of telemetry is more than 15 percent longer than zlib's, else 1.
"""

import pathlib
import struct
import subprocess
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ["cargo", "run", "--quiet", "--release", "-p", "testkit", "--example", "deflate", "--"]
TAIL = b"\x00\x00\xff\xff"
HEAD = struct.Struct("<BII")
SIZES = [200, 400, 1024, 2048, 3072]  # of the example's telemetry, four kinds of each
LIMIT = 15.0  # percent


class Failed(Exception):
    """What did not hold."""


def records(*arguments):
    """Window bits, context takeover, whether a stream begins, message and payload, as the example writes them."""
    with subprocess.Popen([*EXAMPLE, *arguments, "--pipe"], cwd=ROOT, stdout=subprocess.PIPE) as process:
        while head := process.stdout.read(HEAD.size):
            flags, message, payload = HEAD.unpack(head)
            yield flags & 15, flags & 64 != 0, flags & 128 != 0, process.stdout.read(message), process.stdout.read(payload)
    if process.returncode:
        raise Failed(f"the example ended with status {process.returncode}")


def check(wanted):
    """Every message comes back through Python's zlib."""
    count = 0
    for bits, takeover, begins, message, payload in records(str(wanted)):
        if begins or not takeover:
            # zlib knows no window of 8 bits.
            inflate = zlib.decompressobj(-max(bits, 9))
        back = inflate.decompress(payload + TAIL)
        if back != message or inflate.eof or inflate.unconsumed_tail or inflate.unused_data:
            raise Failed(f"message {count} with a window of {bits} bits: {message!r} came back as {back!r}")
        count += 1
    if count != wanted:
        raise Failed(f"{count} messages of {wanted}")
    print(f"{count} messages came back through Python's zlib {zlib.ZLIB_RUNTIME_VERSION}")


def compare():
    """Telemetry, beside zlib."""
    sums, streams = {}, {}
    for bits, _, begins, message, payload in records("telemetry"):
        if begins:
            deflate = zlib.compressobj(6, zlib.DEFLATED, -bits, 8)
            streams[bits] = streams.get(bits, -1) + 1
        theirs = len(deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)) - len(TAIL)
        total = sums.setdefault((bits, streams[bits]), [0, 0, 0])
        for index, length in enumerate([len(message), len(payload), theirs]):
            total[index] += length
    worst = -100.0
    for bits in streams:
        print(f"\nwindow of {bits} bits\n{'kind':<8} {'bytes':>5} {'ours':>8} {'zlib':>8} {'longer':>8}")
        everything = [0, 0]
        for (of, stream), (plain, ours, theirs) in sums.items():
            if of == bits:
                longer = (ours / theirs - 1) * 100
                worst = max(worst, longer)
                everything = [everything[0] + ours, everything[1] + theirs]
                kind = ["Sensors", "Status", "Log", "Samples"][stream // len(SIZES)]
                size = SIZES[stream % len(SIZES)]
                print(f"{kind:<8} {size:>5} {plain / ours:>7.2f}x {plain / theirs:>7.2f}x {longer:>+7.1f}%")
        print(f"all {(everything[0] / everything[1] - 1) * 100:>+35.1f}%")
    if worst > LIMIT:
        raise Failed(f"{worst:.1f} percent longer than zlib's")


def main():
    try:
        check(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
        compare()
    except Failed as failure:
        sys.exit(f"deflate: {failure}")


if __name__ == "__main__":
    main()
