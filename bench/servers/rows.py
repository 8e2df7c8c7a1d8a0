"""What is measured: rows, each a kind of load that all servers of the row get, and the figures that come out of it."""

import dataclasses
import statistics

SERVER_CORE, LOAD_CORE, BOTH_CORES = "0", "1", "0,1"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number of a measurement; `of` takes it out of what the load has printed."""

    title: str
    of: object
    digits: int = 2


def cpu(load):
    """CPU time of what is under test for a message, microseconds."""
    return 1e6 * load["server_cpu_seconds"] / load["messages"]


def rate(load):
    """Messages a second."""
    return load["messages"] / load["seconds"]


CPU = Figure("CPU µs a message", cpu, 3)
RATE = Figure("messages/s", rate, 0)
TIMES = {f"p{digits}": Figure(f"p{title} µs", lambda load, key=f"p{digits}_us": load[key], 1)
         for digits, title in (("50", "50"), ("99", "99"), ("999", "99.9"))}
BUSY = Figure("server busy, %", lambda load: 100 * load["server_cpu_seconds"] / load["seconds"], 0)
ECHO = {"cpu": CPU, "rate": RATE, **TIMES, "busy": BUSY}
OPENED = {
    "handshake": Figure("CPU µs an opening handshake", lambda load: 1e6 * load["server_cpu_seconds"] / load["connections"], 2),
    "handshakes": Figure("opening handshakes/s", lambda load: load["connections"] / load["seconds"], 0),
    "idle": Figure("bytes an idle connection", lambda load: load["idle_bytes_each"], 0),
}
MEMORY = {
    **OPENED,
    "small": Figure("bytes after an echo of 512 B", lambda load: load["after_512_bytes_each"], 0),
    "large": Figure("bytes more after one of 64 KiB", lambda load: load["more_after_64_kib_bytes_each"], 0),
    "base": Figure("KiB without connections", lambda load: load["base_bytes"] / 1024, 0),
}
CLIENT = {
    "cpu": Figure("CPU µs a message", lambda load: 1e6 * load["client_cpu_seconds"] / load["messages"], 3),
    "rate": RATE,
}


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that belong together. The first figure is the one that servers are compared by."""

    name: str
    title: str
    figures: dict
    about: str
    base: str = "uws"


GROUPS = {group.name: group for group in (
    Group("echo", "Echo", ECHO, "connections × messages in flight on each × payload"),
    Group("latency", "Latency", {**{name: TIMES[name] for name in ("p99", "p50", "p999")}, "cpu": CPU, "rate": RATE},
          "messages leave at a fixed rate, and their time counts from when they should have left"),
    Group("idle", "Opening handshakes and idle connections", MEMORY,
          "CPU time of the server and bytes of its resident memory, for each connection"),
    Group("idle-50000", "Memory of many idle connections",
          {"idle": OPENED["idle"], **OPENED, "connections": Figure("connections", lambda load: load["connections"], 0)},
          "bytes of resident memory for each connection; less than 50,000 where the limit on open files cannot be raised"),
    Group("broadcast", "Broadcast", {"cpu": Figure("CPU µs a delivery", cpu, 3), "rate": Figure("deliveries/s", rate, 0), **TIMES},
          "one connection sends 64 B, the server sends it to all 1,000"),
    Group("deflate", "permessage-deflate",
          {**ECHO, "size": Figure("bytes of an answer", lambda load: load["answer_bytes"], 0)},
          "echo of 1 KiB of JSON on 100 connections, no context takeover in either direction"),
    Group("client", "Clients", CLIENT, "against the load as a server that costs as little as possible, one connection", "tungstenite"),
    Group("workers", "Two workers", ECHO,
          "echo on 100 connections; server and load share both cores here, so that figures compare only with each other"),
)}


@dataclasses.dataclass(frozen=True)
class Row:
    """One load. `needs` is what a server has to be able to do; `load` are the words that the load gets for it."""

    key: str
    group: str
    title: str
    load: tuple
    needs: str = "echo"
    workers: int = 1
    # After so many rounds there is nothing to be learned: memory hardly differs between them.
    rounds: int = 1000
    client: str = ""
    fixed_time: bool = True  # whether it takes --seconds

    def takes_part(self, server):
        """Whether a server can do what this row asks for."""
        return self.needs in server.modes

    @property
    def mode(self):
        """What a server is told to do."""
        return "echo" if self.needs == "workers" else self.needs

    @property
    def cores(self):
        """The cores of the server, and of the load."""
        return (BOTH_CORES, BOTH_CORES) if self.group == "workers" else (SERVER_CORE, LOAD_CORE)


def bytes_of(size):
    """A size as people write it."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def echo(connections, in_flight, size):
    """An echo with so many messages in flight on each connection."""
    load = ("echo", "--connections", connections, "--in-flight", in_flight, "--size", size)
    title = f"{connections:,} × {in_flight} × {bytes_of(size)}"
    return Row(f"{connections}x{in_flight}x{size}", "echo", title, load)


def workers(count, in_flight):
    """An echo of a server with so many threads, while the load waits in the system: it has the same two cores."""
    load = ("echo", "--waits", "--connections", 100, "--in-flight", in_flight, "--size", 20)
    return Row(f"workers-{count}x{in_flight}", "workers", f"{count} worker{'s' * (count > 1)}, 100 × {in_flight} × 20 B", load,
               "workers", workers=count)


def broadcast(in_flight):
    """A message to a thousand connections, so many on their way at a time."""
    load = ("broadcast", "--connections", 1000, "--in-flight", in_flight, "--size", 64)
    return Row(f"broadcast-{in_flight}", "broadcast", f"1 → 1,000, {in_flight} in flight", load, "broadcast")


def deflate(in_flight):
    """A compressed echo."""
    load = ("echo", "--deflate", "--connections", 100, "--in-flight", in_flight)
    return Row(f"deflate-{in_flight}", "deflate", f"{in_flight} in flight", load, "deflate")


def client(direction, size):
    """A client that sends, or receives, as fast as it can."""
    load = ("client", "--size", size, *(["--sends"] if direction == "sends" else []))
    return Row(f"{direction}-{size}", "client", f"{direction} {bytes_of(size)}", load, "client", client=direction)


ECHOES = ("1x1x20", "1x16x20", "100x1x20", "1000x1x20", "10000x1x20", "100x16x20", "1000x16x20", "100x1x512", "100x16x512",
          "100x1x4096", "100x16x4096", "100x1x65536", "100x16x65536", "10x1x1048576")
PACE = 20_000
ROWS = {row.key: row for row in (
    *(echo(*map(int, key.split("x"))) for key in ECHOES),
    Row("latency", "latency", f"100 connections, 20 B, {PACE:,} messages/s in all",
        ("paced", "--connections", 100, "--rate", PACE, "--size", 20)),
    Row("idle", "idle", "5,000 idle connections", ("idle", "--echoes", "--connections", 5000), fixed_time=False),
    Row("idle-50000", "idle-50000", "50,000, or as many as may be open", ("idle", "--connections", 50_000), rounds=3, fixed_time=False),
    broadcast(1), broadcast(16),
    deflate(1), deflate(16),
    *(client(direction, size) for direction in ("sends", "receives") for size in (20, 4096)),
    *(workers(count, in_flight) for in_flight in (1, 16) for count in (1, 2)),
)}


@dataclasses.dataclass(frozen=True)
class Goal:
    """What wirelet's median has to be, at most: as it is, or by that of another server or of another row."""

    title: str
    row: str
    figure: str
    limit: float
    to: str = "server"  # "server": by uWebSockets'; "row": by wirelet's own in `of`; "": as it is
    of: str = "uws"


def echo_goal(key, limit):
    """A goal for the CPU time of an echo."""
    return Goal(ROWS[key].title, key, "cpu", limit)


GOALS = (
    echo_goal("1x1x20", 1.03), echo_goal("100x1x20", 1.08), echo_goal("1000x1x20", 1.15), echo_goal("100x16x20", 1.05),
    echo_goal("1000x16x20", 1.10), echo_goal("100x16x512", 1.05), echo_goal("100x1x4096", 1.05), echo_goal("100x16x4096", 0.75),
    echo_goal("100x1x65536", 1.05), echo_goal("100x16x65536", 0.9), echo_goal("10x1x1048576", 0.85),
    Goal("idle connection, bytes", "idle", "idle", 1280, ""),
    Goal("more after one echo of 64 KiB, bytes", "idle", "large", 131, ""),
    Goal("opening handshake", "idle", "handshake", 0.8),
    Goal("broadcast delivery, 1 in flight", "broadcast-1", "cpu", 1.0),
    Goal("broadcast delivery, 16 in flight", "broadcast-16", "cpu", 1.0),
    Goal("two workers by one, 1 in flight", "workers-2x1", "cpu", 1.1, "row", "workers-1x1"),
    Goal("two workers by one, 16 in flight", "workers-2x16", "cpu", 1.1, "row", "workers-1x16"),
)
GOAL_ROWS = tuple(dict.fromkeys(key for goal in GOALS for key in (goal.row, *([goal.of] if goal.to == "row" else []))))


@dataclasses.dataclass(frozen=True)
class Spread:
    """Some numbers: their median, the least and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers):
        """The spread of at least one number; None of none."""
        numbers = list(numbers)
        return cls(statistics.median(numbers), min(numbers), max(numbers)) if numbers else None


def spread(samples, figure):
    """The spread of a figure over samples."""
    return Spread.of(figure.of(sample["load"]) for sample in samples)


def paired(samples, others, figure):
    """The spread of a figure's ratios to that of other samples of the same rounds."""
    by_round = {sample["round"]: figure.of(sample["load"]) for sample in others}
    pairs = [(figure.of(sample["load"]), by_round[sample["round"]]) for sample in samples if sample["round"] in by_round]
    return Spread.of(ours / theirs for ours, theirs in pairs if theirs)
