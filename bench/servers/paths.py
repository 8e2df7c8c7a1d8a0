"""Where this comparison keeps things. Importing it makes `conformance/harness.py` importable, and keeps in this folder what that installs."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = HERE / "work"
RESULTS = ROOT / "bench" / "results"

sys.path.insert(0, str(ROOT / "conformance"))
os.environ["WIRELET_CACHE"] = str(WORK)
os.environ["CARGO_TARGET_DIR"] = str(HERE / "target")
