"""The measurements of a run, in a file with one JSON object a line, so that a run can stop and go on."""

import json

import paths
from harness import Failure

FILE = paths.WORK / "run.jsonl"


class Log:
    """A run: its header, which says what is measured, and what has been measured so far."""

    def __init__(self, header, samples):
        self.header = header
        self.samples = samples

    @classmethod
    def begin(cls, header):
        """A new run. The one before is kept under another name."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        if FILE.exists():
            FILE.replace(FILE.with_suffix(".previous.jsonl"))
        FILE.write_text(json.dumps(header) + "\n")
        return cls(header, [])

    @classmethod
    def resume(cls):
        """The run that was begun last. A line that was cut off is not a measurement."""
        if not FILE.exists():
            raise Failure("there is no run to go on with")
        lines = FILE.read_text().split("\n")
        if lines[-1]:
            FILE.write_text("\n".join(lines[:-1]) + "\n")
        header, *samples = map(json.loads, lines[:-1])
        return cls(header, samples)

    def add(self, sample):
        """Keeps a measurement."""
        with FILE.open("a") as file:
            file.write(json.dumps(sample) + "\n")
        self.samples.append(sample)

    def good(self, row, server):
        """The measurements of a server in a row that did not fail."""
        return [sample for sample in self.samples
                if (sample["row"], sample["server"]) == (row, server) and "error" not in sample]

    def failures(self):
        """(round, row, server) of what has failed and has not been measured since, with the reason."""
        done = self.done()
        return {key(sample): sample["error"] for sample in self.samples if key(sample) not in done}

    def done(self):
        """(round, row, server) of all measurements that did not fail."""
        return {key(sample) for sample in self.samples if "error" not in sample}


def key(sample):
    """Which measurement a sample is of: (round, row, server)."""
    return sample["round"], sample["row"], sample["server"]
