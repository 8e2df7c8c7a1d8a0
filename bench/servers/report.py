"""The report on a run: Markdown with a table for each row, JSON with everything, and plots."""

import dataclasses
import json

import paths
import plot
from rows import GOAL_ROWS, GOALS, GROUPS, ROWS, Spread, paired, spread

FOLDER = paths.WORK / "report"
# What wirelet stands beside in the summary, and the groups that are not in it: their figures compare otherwise.
SUMMARY = ("uws", "rawtokio", "bun")
UNSUMMED = ("client", "workers", "idle-50000")
# More of a measurement than this, in percent, and its row is marked.
FROZEN = 2.0


@dataclasses.dataclass(frozen=True)
class Written:
    """A report: its text, the files that were written, and how many goals were missed."""

    text: str
    files: list
    missed: int


@dataclasses.dataclass(frozen=True)
class Freezes:
    """How long the machine stood still: before measurements by the probe, of 150 ms each, and inside of them."""

    probe: Spread
    inside: Spread | None  # percent

    @classmethod
    def of(cls, samples):
        """Of at least one measurement."""
        probes = Spread.of(sample["probe"]["frozen_ms"] for sample in samples)
        loads = [sample["load"] for sample in samples if sample["load"].get("frozen_seconds") is not None]
        return cls(probes, Spread.of(100 * load["frozen_seconds"] / load["seconds"] for load in loads))

    @property
    def probe_text(self):
        """Median and most, milliseconds."""
        return f"{self.probe.median:.1f} ({self.probe.high:.1f})"

    @property
    def inside_text(self):
        """Median and most, percent; marked where it is much."""
        if not self.inside:
            return "–"
        return f"{self.inside.median:.1f} ({self.inside.high:.1f})" + (" !" if self.inside.median > FROZEN else "")


def write(log, servers, missing=0):
    """Writes the report on what there is, while so many measurements are missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    table = Results(log, servers)
    plots = {f"servers-{name}.svg": svg for name, svg in table.plots()}
    goals, missed = table.goals() if table.has_goals else ("", 0)
    text = "\n".join([table.head(missing), table.summary(), goals, table.groups(plots)])
    contents = {"servers.md": text, "servers.json": json.dumps(table.as_json(), indent=1) + "\n", **plots}
    for name, content in contents.items():
        (FOLDER / name).write_text(content)
    return Written(text, [FOLDER / name for name in contents], missed)


def line(cells):
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def table(titles, rows):
    """A Markdown table."""
    return "\n".join([line(titles), line(["---"] * len(titles)), *map(line, rows)]) + "\n"


class Results:
    """What a run has measured, by row and server."""

    def __init__(self, log, servers):
        self.log = log
        self.servers = {server.name: server for server in servers}
        self.rows = [ROWS[key] for key in log.header["rows"]]

    @property
    def has_goals(self):
        """Whether everything that goals are about is part of the run."""
        return {"wirelet", "uws"} <= set(self.servers) and set(GOAL_ROWS) <= {row.key for row in self.rows}

    def samples(self, row):
        """Server -> its measurements in a row, for those that have some."""
        found = {server: self.log.good(row.key, name) for name, server in self.servers.items() if row.takes_part(server)}
        return {server: samples for server, samples in found.items() if samples}

    def base(self, row, samples):
        """The server that others are divided by in a row."""
        wanted = self.servers.get(GROUPS[row.group].base)
        return wanted if wanted in samples else next(iter(samples))

    def head(self, missing):
        """What the figures depend on."""
        header = self.log.header
        every = [sample for sample in self.log.samples if "error" not in sample]
        lines = [f"- {name}: {value}" for name, value in header["machine"].items()]
        if every:
            begin, end = every[0]["at"], every[-1]["at"]
            freezes = Freezes.of(every)
            inside = [sample for sample in every if sample["load"].get("frozen_seconds") is not None]
            share = sum(s["load"]["frozen_seconds"] for s in inside) / max(sum(s["load"]["seconds"] for s in inside), 1e-9)
            lines.append(f"- measured {begin} to {end}, {len(every)} measurements of {header['seconds']:g} s in turns; rounds: "
                         f"{header['rounds']}, for peers that no goal is about {header['peer_rounds']}")
            if missing:
                lines.append(f"- **incomplete**: {missing} measurements are missing; tables say how many rounds there were")
            lines.append(f"- the machine stood still for {100 * share:.2f} % of all measurements; the probe before each of them found "
                         f"{freezes.probe.median:.1f} ms of 150 (most: {freezes.probe.high:.1f})")
            if 100 * share > FROZEN:
                lines.append("- **the machine was not quiet**: no figure here means anything but bytes of memory")
        return "\n".join(["# Servers side by side", "", *lines, "", "Figures are medians, with the least and the largest of the rounds. "
                          "A ratio is the median of the rounds' own ratios. “Probe” and “frozen” say how long the machine stood still: "
                          "before a measurement (ms of 150, median and most), and in it (%, median and most; `!` where it is too much "
                          "for the figure to mean anything).", ""])

    def summary(self):
        """The table of what matters most: wirelet, those it is measured by, and the best library in Rust."""
        wirelet, others = self.servers.get("wirelet"), [self.servers[name] for name in SUMMARY if name in self.servers]
        libraries = [server for server in self.servers.values() if server.builder == "peers"]
        lines = []
        for row in self.rows:
            samples = self.samples(row)
            if row.group in UNSUMMED or wirelet not in samples:
                continue
            for key in shown(row):
                figure = GROUPS[row.group].figures[key]
                medians = {server: spread(mine, figure).median for server, mine in samples.items()}
                best = min((server for server in libraries if server in medians), key=medians.get, default=None)
                base = self.base(row, samples)
                ratio = paired(samples[wirelet], samples[base], figure) if base.name == GROUPS[row.group].base else None
                number = lambda server: plot.number(medians[server], figure.digits) if server in medians else ""  # noqa: E731
                name = row.title if row.group == "idle" else f"{GROUPS[row.group].title}, {row.title}"
                lines.append([f"{name}: {figure.title}", f"**{number(wirelet)}**",
                              f"{ratio.median:.2f}" if ratio else "", *map(number, others), f"{number(best)} {best.title}" if best else ""])
        titles = ["", "wirelet", "to uWebSockets", *(server.title for server in others), "best other in Rust"]
        return "\n".join(["## Summary", "", table(titles, lines), ""]) if lines else ""

    def groups(self, plots):
        """All tables."""
        text = []
        for name, group in GROUPS.items():
            rows = [row for row in self.rows if row.group == name]
            if not any(map(self.samples, rows)):
                continue
            text += [f"## {group.title}", "", f"{group.about[0].upper()}{group.about[1:]}.", ""]
            if f"servers-{name}.svg" in plots:
                text += [f"![{group.title}](servers-{name}.svg)", ""]
            for row in rows:
                if len(rows) > 1 or row.title.lower() not in group.title.lower():
                    text += [f"### {row.title}", ""]
                text += [self.table(row), ""]
        return "\n".join(text)

    def table(self, row):
        """The table of a row, the best first."""
        samples, figures = self.samples(row), GROUPS[row.group].figures
        if not samples:
            return "Not measured yet.\n"
        base, first = self.base(row, samples), next(iter(figures.values()))
        titles = ["", first.title, "min – max", f"to {base.title}", "min – max",
                  *(figure.title for figure in list(figures.values())[1:]), "rounds", "probe, ms", "frozen, %"]
        best = sorted(samples, key=lambda server: spread(samples[server], first).median)
        lines = [self.line(server, samples[server], samples[base], figures) for server in best]
        reasons = {server: reason for (_, key, server), reason in self.log.failures().items() if key == row.key}
        lines += [[self.servers[server].title, f"**failed**: {reason.splitlines()[0]}", *[""] * (len(titles) - 2)]
                  for server, reason in reasons.items()]
        return table(titles, lines)

    def line(self, server, mine, bases, figures):
        """The cells of a server in the table of a row."""
        first, *others = figures.values()
        value, ratio, freezes = spread(mine, first), paired(mine, bases, first), Freezes.of(mine)
        ours = server.name == "wirelet"
        number = lambda value, digits: f"{value:,.{digits}f}"  # noqa: E731
        ratios = [number(ratio.median, 2), f"{ratio.low:.2f} – {ratio.high:.2f}"] if ratio else ["", ""]
        cells = [server.title, number(value.median, first.digits), f"{number(value.low, first.digits)} – {number(value.high, first.digits)}",
                 *ratios, *(number(spread(mine, figure).median, figure.digits) for figure in others)]
        cells = [f"**{cell}**" if ours and cell else cell for cell in cells]
        return [*cells, str(len(mine)), freezes.probe_text, freezes.inside_text]

    def goals(self):
        """The table of goals, and how many are missed."""
        lines, missed = [], 0
        for goal in GOALS:
            found = self.goal(goal)
            reached = found is not None and found[0].median <= goal.limit
            missed += not reached
            lines.append(self.goal_line(goal, found, reached))
        titles = ["wirelet's CPU time by uWebSockets', or as it says", "raw tokio's", "wirelet", "min – max", "goal", "", "probe, ms", "frozen, %"]
        note = ("Instructions a message are counted, not timed: `bench/instructions`, where the goals are 420 with 16 in flight, and those "
                "of a bare tokio echo and 450 more with one.")
        return "\n".join(["## Goals", "", table(titles, lines), f"{len(GOALS) - missed} of {len(GOALS)} are reached. {note}", ""]), missed

    def goal(self, goal):
        """The spread that a goal is about, and the measurements of it; None where something was not measured."""
        figure = GROUPS[ROWS[goal.row].group].figures[goal.figure]
        mine = self.log.good(goal.row, "wirelet")
        if not goal.to:
            return (spread(mine, figure), mine) if mine else None
        others = self.log.good(goal.of, "wirelet") if goal.to == "row" else self.log.good(goal.row, goal.of)
        ratios = paired(mine, others, figure)
        return (ratios, mine) if ratios else None

    def goal_line(self, goal, found, reached):
        """The cells of a goal."""
        digits = 2 if goal.to else 0
        if found is None:
            return [goal.title, "", "not measured", "", f"≤ {goal.limit:,.{digits}f}", "missed", "", ""]
        value, samples = found
        floor = ""
        if goal.to == "server":
            figure = GROUPS[ROWS[goal.row].group].figures[goal.figure]
            ratio = paired(self.log.good(goal.row, "rawtokio"), self.log.good(goal.row, goal.of), figure)
            floor = f"{ratio.median:.2f}" if ratio else ""
        freezes = Freezes.of(samples)
        return [goal.title, floor, f"**{value.median:,.{digits}f}**", f"{value.low:,.{digits}f} – {value.high:,.{digits}f}",
                f"≤ {goal.limit:,.{digits}f}", "reached" if reached else "missed", freezes.probe_text, freezes.inside_text]

    def plots(self):
        """(name, SVG) of each group."""
        for name, group in GROUPS.items():
            panels = [panel for row in self.rows if row.group == name for panel in self.panels(row, group)]
            if panels:
                yield name, plot.bars(group.title, group.about, self.foot(name), panels)

    def panels(self, row, group):
        """The panels of a row: one for its first figure, and more where that does not say it all."""
        samples = self.samples(row)
        wanted = ("p50", "p99", "p999") if row.group == "latency" else shown(row)
        for key in wanted if samples else ():
            figure = group.figures[key]
            taken = {server: spread(mine, figure) for server, mine in samples.items()}
            title = figure.title if len(wanted) > 1 else f"{row.title}: {figure.title}"
            marks = [plot.Bar(server.title, value.median, value.low, value.high, kind(server), figure.digits)
                     for server, value in sorted(taken.items(), key=lambda item: item[1].median)]
            yield plot.Panel(title, marks)

    def foot(self, name):
        """How long the machine stood still while a group was measured."""
        keys = {row.key for row in self.rows if row.group == name}
        freezes = Freezes.of([sample for sample in self.log.samples if sample["row"] in keys and "error" not in sample])
        inside = f"; in measurements {freezes.inside.median:.1f} % (most {freezes.inside.high:.1f})" if freezes.inside else ""
        return (f"shorter is better; median, line from least to largest; machine frozen: probe {freezes.probe.median:.1f} ms of 150 "
                f"(most {freezes.probe.high:.1f}){inside}")

    def as_json(self):
        """Everything, for programs: medians, and each measurement."""
        rows = []
        for row in self.rows:
            group, samples = GROUPS[row.group], self.samples(row)
            base = self.base(row, samples) if samples else None
            servers = {server.name: {
                "title": server.title,
                "figures": {key: dataclasses.asdict(spread(mine, figure)) for key, figure in group.figures.items()},
                "ratio": ratio_json(paired(mine, samples[base], next(iter(group.figures.values())))),
                "measurements": mine,
            } for server, mine in samples.items()}
            rows.append({"row": row.key, "group": row.group, "title": row.title, "base": base and base.name, "servers": servers})
        goals = [{"title": goal.title, "row": goal.row, "figure": goal.figure, "limit": goal.limit,
                  "value": ratio_json((self.goal(goal) or [None])[0])} for goal in GOALS] if self.has_goals else []
        return {"run": self.log.header, "goals": goals, "rows": rows}


def shown(row):
    """The figures of a row that say most of it."""
    return ("handshake", "idle", "large") if row.group == "idle" else list(GROUPS[row.group].figures)[:1]


def ratio_json(ratio):
    """A spread for JSON."""
    return ratio and dataclasses.asdict(ratio)


def kind(server):
    """How a server's bar is drawn."""
    if server.raw:
        return "floor"
    return "ours" if server.name.startswith("wirelet") else "peer"
