"""Bar charts as SVG, readable on light and dark paper."""

import dataclasses
from xml.sax.saxutils import escape

WIDTH, MARGIN, GAP = 960, 16, 24
ROW, BAR = 16, 10
TOP, PANEL_TOP, FOOT = 56, 22, 28
# Of a panel: for the names, and behind the longest bar for the number.
NAMES, NUMBERS = 138, 56

STYLE = """
  .paper { fill: #ffffff } text { font: 11px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 } .about, .foot { fill: #59636e } .panel { font-size: 12px; font-weight: 600 }
  .ours { fill: #0969da } .peer { fill: #afb8c1 } .floor { fill: #d8a657 } .spread { stroke: #1f2328; stroke-width: 1 }
  .name, .number { font-variant-numeric: tabular-nums } .name { text-anchor: end } .strong { font-weight: 700 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .about, .foot { fill: #9198a1 }
    .ours { fill: #4493f8 } .peer { fill: #57606a } .floor { fill: #9e7530 } .spread { stroke: #e6edf3 }
  }
"""


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar: as long as the median, with a line from the least to the largest. `kind` is `ours`, `peer` or `floor`."""

    name: str
    median: float
    low: float
    high: float
    kind: str
    digits: int = 2


@dataclasses.dataclass(frozen=True)
class Panel:
    """Bars with one scale."""

    title: str
    bars: list

    @property
    def height(self):
        """What it takes."""
        return PANEL_TOP + ROW * len(self.bars) + GAP


def bars(title, about, foot, panels):
    """A picture of panels, as many beside each other as there is room for."""
    columns = min(len(panels), 3 if max(len(panel.bars) for panel in panels) > 6 or len(panels) % 2 else 2)
    width = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns
    parts, y = [], TOP
    for at in range(0, len(panels), columns):
        beside = panels[at:at + columns]
        parts += [drawn(panel, MARGIN + column * (width + GAP), y, width) for column, panel in enumerate(beside)]
        y += max(panel.height for panel in beside)
    height = y + FOOT - GAP // 2
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height:g}"/>',
        text(MARGIN, 24, title, "title"),
        text(MARGIN, 42, about, "about"),
        *parts,
        text(MARGIN, height - 12, foot, "foot"),
        "</svg>",
        "",
    ])


def drawn(panel, x, y, width):
    """A panel, with its upper left corner there."""
    room = width - NAMES - NUMBERS
    longest = max((bar.high for bar in panel.bars), default=0) or 1
    parts = [text(x, y + 12, panel.title, "panel")]
    for index, bar in enumerate(panel.bars):
        middle = y + PANEL_TOP + ROW * index + ROW / 2
        begin, scale = x + NAMES, room / longest
        strong = " strong" if bar.kind == "ours" else ""
        parts += [
            text(begin - 6, middle + 4, bar.name, f"name{strong}"),
            f'<rect class="{bar.kind}" x="{begin:.1f}" y="{middle - BAR / 2:.1f}" width="{max(bar.median, 0) * scale:.1f}" height="{BAR}" '
            'rx="1"/>',
            f'<line class="spread" x1="{begin + max(bar.low, 0) * scale:.1f}" x2="{begin + max(bar.high, 0) * scale:.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}"/>',
            text(begin + max(bar.high, bar.median, 0) * scale + 5, middle + 4, number(bar.median, bar.digits), f"number{strong}"),
        ]
    return "\n".join(parts)


def number(value, digits):
    """A number with no more digits than it is worth."""
    return f"{value:,.{0 if abs(value) >= 1000 else min(digits, 1) if abs(value) >= 100 else digits}f}"


def text(x, y, content, classes):
    """A line of text."""
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'
