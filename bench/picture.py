"""The results as one picture, SVG: a bar for each subject of each row, and who reached what."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from bench.measure import Outcome
from bench.report import FIGURES, shown, verdict

WIDTH = 860
NAMES = 170  # left of the bars
BARS = 540
LINE = 18
GAP = 26
OURS, THEIRS, REACHED, MISSED, INK = "#1f77b4", "#b8c4ce", "#2a7d3f", "#b3261e", "#1c1c1c"


def svg(outcomes: Sequence[Outcome]) -> str:
    """Bars are as long as the row's first figure, the longest filling the width."""
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(WIDTH))
    root.set("font-family", "system-ui, sans-serif")
    root.set("font-size", "12")
    paper = ET.SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    y = GAP
    for outcome in outcomes:
        y = _row(root, outcome, y) + GAP
    root.set("height", str(y))
    root.set("viewBox", f"0 0 {WIDTH} {y}")
    paper.set("height", str(y))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _row(root: ET.Element, outcome: Outcome, y: int) -> int:
    """Draw it from `y` on; where it ends."""
    row, medians = outcome.row, outcome.medians
    figure = row.figures[0]
    _text(root, 12, y, f"{row.title} ({FIGURES[figure][0]})", weight="bold")
    values = {n: medians[n][figure] for n in row.subjects if figure in medians.get(n, {})}
    longest = max(values.values(), default=0) or 1
    for name, value in values.items():
        y += LINE
        _text(root, NAMES, y, name, anchor="end")
        length = max(1.0, value / longest * BARS)
        colour = OURS if name == row.ours else THEIRS
        ET.SubElement(
            root, "rect", x=str(NAMES + 8), y=str(y - 11), width=f"{length:.1f}", height="13",
            fill=colour,
        )  # fmt: skip
        _text(root, NAMES + 14 + length, y, shown(figure, value))
    for target in row.targets:
        reached = target.value(row.ours, medians)
        if reached is not None:
            y += LINE
            colour = REACHED if target.reached(reached) else MISSED
            _text(root, NAMES + 8, y, " ".join(verdict(target, outcome).split()), colour=colour)
    return y


def _text(
    root: ET.Element,
    x: float,
    y: int,
    text: str,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = INK,
) -> None:
    element = ET.SubElement(root, "text", x=f"{x:.1f}", y=str(y), fill=colour)
    element.set("text-anchor", anchor)
    element.set("font-weight", weight)
    element.text = text
