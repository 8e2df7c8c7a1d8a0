#!/usr/bin/env python3
"""permessage-deflate with Chromium, against our server; what the console shows of it. Skipped where there is no Chromium.

CHROMIUM names the browser when it is not on the PATH.
"""

import tempfile

from chromium import console_tests
from compression import BOTH_FRESH, Corpus, check_exchange
from scenario import HANG, Checks, finish, main, start_server, wirelet
from wire import Tap

# Chromium offers `permessage-deflate; client_max_window_bits`.
MODES = {
    "shared": BOTH_FRESH,
    "windowed:4096": {"client_no_context_takeover"},
    "dedicated:15": set(),
    "dedicated:9": {"server_max_window_bits=9"},
}


def run():
    """An echo of the corpus in each mode, from a page of the console."""
    program = wirelet(__doc__)
    checks, corpus = Checks(), Corpus()
    # A page has no call for fragments.
    with tempfile.TemporaryDirectory(prefix="wirelet-") as folder:
        path = corpus.write(folder)
        for mode, answer in MODES.items():
            server, port = start_server(program, f"--compress={mode}", "--quiet")
            with server:
                tap = Tap(port)
                url = f"http://127.0.0.1:{tap.port}"
                console_tests(checks, ["compression.js"], WIRELET_URL=url, CORPUS=str(path))
                passages = [passage for passage in tap.finish(HANG) if passage.from_client.startswith(b"GET /ws?corpus ")]
                checks.equal(f"{mode}: one connection with the corpus", len(passages), 1)
                for passage in passages:
                    check_exchange(checks, mode, passage, corpus, answer)
    return finish(checks)


if __name__ == "__main__":
    main(run)
